"""Parsing maps of faces in MATLAB files, as sets of photos with sketches carry them.

The one layout that is read is that of the composition-aided GANs (Yu, Gao et al., IEEE Transactions on Cybernetics
2021, and their lists): a variable `res_label`, H x W x 11, the share of each of Helen's eleven classes in a pixel, or H
x W, their numbers. Files of MATLAB 5 to 7 are read; they hold numbers, and nothing of them is run.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from restore_ml.data.pictures import MAX_PIXELS, Refused, read_bytes

VARIABLE = "res_label"
HELEN = (0, 2, 3, 3, 4, 4, 5, 6, 7, 8, 1)
"""Of Helen's classes (background, skin, left and right brow, left and right eye, nose, upper lip, inner mouth, lower
lip, hair) the labels of `domains.faces.PARSING`."""


def read_parsing(path: Path, within: Path | None = None) -> np.ndarray:
    """H x W x 1 uint8 labels of `domains.faces.PARSING`: in each pixel the class with the largest share, the first of
    equals.

    Raises:
        Refused: no such file, another layout.
    """
    from scipy.io import loadmat, whosmat

    data = read_bytes(path, within)
    try:
        shapes = {name: shape for name, shape, _ in whosmat(io.BytesIO(data))}
        shape = shapes.get(VARIABLE, ())
        if len(shape) not in (2, 3) or shape[2:] not in ((), (len(HELEN),)):
            raise Refused(f"no variable {VARIABLE} of H x W x {len(HELEN)} or H x W: "
                          f"{', '.join(f'{name} {shape}' for name, shape in sorted(shapes.items())) or 'nothing'}")
        if shape[0] * shape[1] > MAX_PIXELS:
            raise Refused(f"decompression bomb: {shape[1]} x {shape[0]} is more than {MAX_PIXELS} pixels")
        values = loadmat(io.BytesIO(data), variable_names=[VARIABLE])[VARIABLE]
    except Refused:
        raise
    except NotImplementedError:
        raise Refused("a MATLAB file of version 7.3, which is not read: save it as version 7") from None
    except Exception as error:  # scipy raises nearly anything on broken bytes
        raise Refused(f"no whole MATLAB file: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise Refused(f"{VARIABLE} holds no finite numbers")
    numbers = values.argmax(axis=2) if values.ndim == 3 else values
    if not np.isin(numbers, range(len(HELEN))).all():
        raise Refused(f"{VARIABLE} holds other numbers than Helen's classes 0 to {len(HELEN) - 1}")
    return np.array(HELEN, np.uint8)[numbers.astype(np.intp)][:, :, None]
