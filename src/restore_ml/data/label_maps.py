"""The reader of label maps: pictures whose values are classes, not brightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from restore_ml.data.pictures import Refused, opened, read_bytes


def read_labels(path: Path, classes: int, size: tuple[int, int], within: Path | None = None) -> np.ndarray:
    """H x W x 1 uint8 labels from 0 to `classes` - 1: the grey levels, or palette numbers, of a lossless file.

    `size`: (H, W) that it must have. `within`: see `pictures.read_bytes`.

    Raises:
        Refused: a lossy or colour file, another size, a label that is no class.
    """
    with opened(read_bytes(path, within), path.suffix) as (image, _):
        if image.format in ("JPEG", "MPO"):
            raise Refused("labels in a JPEG file, which changes them: save them as PNG")
        if image.mode not in ("1", "L", "P"):
            raise Refused(f"labels of the kind {image.mode}: save them as grey levels or with a palette, in 8 bits")
        labels = np.asarray(image).astype(np.uint8)
    if labels.shape != size:
        raise Refused(f"labels of {labels.shape[1]} x {labels.shape[0]} for a picture of {size[1]} x {size[0]}")
    if labels.max() >= classes:
        raise Refused(f"the label {labels.max()} is no class: there are 0 to {classes - 1}")
    return labels[:, :, None]
