"""From which pixels are nuclei to which nucleus each of them is, and how nuclei are outlined."""

from __future__ import annotations

import numpy as np

APART, SIGMA = 2, 0.5
"""Pixels that the peaks of two nuclei are apart at least, and the smoothing of the distance: of 2 to 7 and 0 to 2 the
best for Otsu's foreground of the validation fields (AJI 0.77; 0.64 with 5 and 1, those of the method card
`classical_segmentation`, which are for larger nuclei; `benchmarks/watershed.py`)."""
OUTLINE = (255, 196, 0)


def split_touching(foreground: np.ndarray, apart: int = APART, sigma: float = SIGMA) -> np.ndarray:
    """H x W bool -> H x W int32, 0 background, 1 to n each a nucleus.

    Watershed on the distance to the background, from its peaks, which are at least `apart` pixels from each other.
    `sigma`: by how much the distance is smoothed before (pixels). What is connected (by edges) has a nucleus at least.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, label, maximum_position
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    components, count = label(foreground)
    if not count or foreground.all():  # without a background there is no distance to it
        return foreground.astype(np.int32)
    distance = distance_transform_edt(foreground)
    if sigma:
        distance = gaussian_filter(distance, sigma)
    peaks = peak_local_max(distance, min_distance=apart, labels=components, exclude_border=False)
    # Smoothing may leave a pixel or two without a peak, between larger nuclei.
    left_out = np.setdiff1d(np.arange(1, count + 1), components[tuple(peaks.T)])
    peaks = np.array([*peaks, *maximum_position(distance, components, left_out)], int).reshape(-1, 2)
    markers = np.zeros(foreground.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    split: np.ndarray = watershed(-distance, markers, mask=foreground)
    return split.astype(np.int32)


def outlined(picture: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """The H x W x 3 uint8 picture with the innermost pixels of each nucleus (H x W) drawn in one colour."""
    from skimage.segmentation import find_boundaries

    drawn = picture.copy()
    drawn[find_boundaries(instances, mode="inner")] = OUTLINE
    return drawn
