"""Filling holes by equations on the pixels' grid: what the classical methods of inpainting share.

Pictures are H x W x C float64 in [0, 1], holes H x W bool (True = missing). Pixels have up to four neighbours; beyond
the picture there is none (no flow over its border, Neumann).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Model
from restore_ml.nn.hole_methods import HolesOnly


class HoleFill(HolesOnly):
    """A classical method that fills the holes of one picture; subclasses say how in `fill`.

    Values under the hole are zeroed first and tell nothing. Where nothing is known, everything becomes mid grey; where
    nothing is missing, the picture comes back as it is.
    """

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """The picture with values for the pixels in `hole`, some of which are missing and some not; what it says of
        known pixels is not used, and values beyond [0, 1] are clipped."""
        raise NotImplementedError

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x C uint8, `mask` H x W x 1 -> `image`, float32 in [0, 1]; nothing random."""
        hole = inputs["mask"][..., 0] > 0
        image = np.where(hole[..., None], 0.0, inputs["image"] / 255)
        if hole.all():
            return {"image": np.full(image.shape, 0.5, np.float32)}
        filled = self.fill(image, hole) if hole.any() else image
        return {"image": np.where(hole[..., None], np.clip(filled, 0, 1), image).astype(np.float32)}


def surroundings(hole: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the smallest box that holds every missing pixel with its neighbours."""
    spans = []
    for axis, length in ((1, hole.shape[0]), (0, hole.shape[1])):
        places = np.flatnonzero(hole.any(axis=axis))
        spans.append(slice(max(int(places[0]) - 1, 0), min(int(places[-1]) + 2, length)))
    return spans[0], spans[1]


def differences(image: np.ndarray) -> np.ndarray:
    """Of each pixel its neighbours (above, below, left, right) less itself, 4 x H x W x C; 0 beyond the picture."""
    around = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return np.stack([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]) - image


def neighbour_counts(height: int, width: int) -> np.ndarray:
    """How many of its four neighbours each pixel has inside the picture, H x W."""
    inside = np.pad(np.ones((height, width)), 1)
    return inside[:-2, 1:-1] + inside[2:, 1:-1] + inside[1:-1, :-2] + inside[1:-1, 2:]


def harmonic(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Every missing pixel the mean of its neighbours: the steady state of heat, known pixels held (Dirichlet).

    One sparse system is solved for all channels. At least one pixel must be known: then there is one solution.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    box = surroundings(hole)
    part, missing = image[box], hole[box]
    rows, columns = (_path(length) for length in missing.shape)
    laplacian = sparse.kronsum(columns, rows, format="csr")[missing.ravel()]
    system, rim = laplacian[:, missing.ravel()], laplacian[:, ~missing.ravel()]
    solver = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    filled = image.copy()
    filled[box][missing] = solver.solve(-(rim @ part[~missing]))
    return filled


def _path(length: int) -> Any:
    """The negative second difference of a line of pixels with free ends, length x length sparse."""
    from scipy import sparse

    steps = sparse.diags_array([-np.ones(length), np.ones(length - 1)], offsets=[0, 1], shape=(length - 1, length))
    return steps.T @ steps
