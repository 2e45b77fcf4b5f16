"""Drawings made from pictures of faces: pencil sketches, hatched sketches and paper-cuts, each by a fixed rule.

`pencil`: the mean of a pencil dodge and of XDoG (Winnemoeller, Kyprianidis and Olsen 2012). `hatched`: XDoG lines over
strokes that grow denser where it is dark. `papercut`: one connected sheet of red paper. `warped` moves a drawing by a
smooth field, as an artist exaggerates. All take and give H x W levels from 0 (black) to 1 but where said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml.data import likeness
from restore_ml.data.domain import Maker
from restore_ml.data.person_folders import write_picture
from restore_ml.data.sources import drawn_faces, orl
from restore_ml.seeds import generator

ENLARGED = 3
"""ORL's small pictures are drawn at this scale and brought back."""
ORL_PICTURES, DRAWN_PICTURES = 5, 3
"""The first pictures of each person of which drawings are made."""
RED = (199, 13, 20)
"""Of the paper."""
WARP = 1.0
"""How far pencil sketches are moved: 0 lies on the photo (as in CUFS), 1 exaggerates (as in CUFSF)."""


def blurred(levels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur."""
    from scipy.ndimage import gaussian_filter

    blurred: np.ndarray = gaussian_filter(levels, sigma, mode="nearest")
    return blurred


def pencil(grey: np.ndarray) -> np.ndarray:
    """A pencil sketch; the constants are those of a picture 64 wide, scaled to the width. The grain is blurred first:
    an artist does not draw it."""
    width = grey.shape[1]
    grey = blurred(grey, width / 128)
    soft = blurred(1 - grey, width / 16)
    dodge = np.clip(grey / np.maximum(1 - soft, 1e-6), 0, 1)
    even = grey / max(float(np.percentile(grey, 95)), 1e-6)
    sigma = 0.8 * width / 64
    edges = 13 * blurred(even, sigma) - 12 * blurred(even, 1.6 * sigma)
    lines = np.where(edges >= 0.62, 1, 1 + np.tanh(8 * (edges - 0.62)))
    return (dodge + lines) / 2


def hatched(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """XDoG lines (sigma 1.6, k 1.6, tau 0.98, phi 60) and strokes of 21 px along a diagonal where it is dark."""
    edges = blurred(grey, 1.6) - 0.98 * blurred(grey, 2.56)
    lines = np.where(edges >= 0, 1, 1 + np.tanh(60 * edges))
    height, width = grey.shape
    noise = rng.integers(-2**20, 2**20, (height + 20, width + 20))
    strokes = sum(noise[step:step + height, 20 - step:20 - step + width] for step in range(21))
    return np.minimum(lines, 1 - (1 - blurred(grey, 1)) * (strokes > 0))


def warped(drawing: np.ndarray, rng: np.random.Generator, pixels: float, length: float) -> np.ndarray:
    """The drawing moved by a smooth random field of that deviation, which varies over `length` pixels."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[:drawing.shape[0], :drawing.shape[1]]
    down, along = (pixels * drawn_faces.smooth(rng, (drawing.shape[0], drawing.shape[1]), length) for _ in range(2))
    moved: np.ndarray = map_coordinates(drawing, [rows + down, columns + along], order=1, mode="nearest")
    return moved


def papercut(drawing: np.ndarray) -> np.ndarray:
    """H x W bool, where the sheet of paper is: the dark of the drawing, its islands (a 500th of the picture and more)
    joined to the largest one by the shortest bridges, two pixels wide."""
    from scipy.ndimage import distance_transform_edt, label

    ink = blurred(drawing, 0.7) < 0.72
    pieces, count = label(ink)
    if not count:
        return ink
    areas = np.bincount(pieces.ravel())[1:]
    largest = int(areas.argmax()) + 1
    sheet = pieces == largest
    distance, nearest = distance_transform_edt(~sheet, return_indices=True)
    for piece in np.flatnonzero(areas >= ink.size / 500) + 1:
        if piece == largest:
            continue
        places = np.argwhere(pieces == piece)
        start = places[distance[places[:, 0], places[:, 1]].argmin()]
        sheet |= pieces == piece
        for row, column in _line(start, nearest[:, start[0], start[1]]):
            sheet[row:row + 2, column:column + 2] = True
    return sheet


def _line(start: np.ndarray, end: np.ndarray) -> list[tuple[int, int]]:
    """Bresenham's line between two pixels, both ends among it."""
    steps = int(np.abs(end - start).max())
    return [tuple((start + ((end - start) * step * 2 + steps) // (2 * steps)).tolist()) for step in range(steps + 1)]


def levels(drawing: np.ndarray) -> np.ndarray:
    """H x W x 1 uint8."""
    return np.rint(np.clip(drawing, 0, 1) * 255).astype(np.uint8)[:, :, None]


def of_orl(picture: np.ndarray, person: str, number: int) -> np.ndarray:
    """The hatched sketch, H x W x 1 uint8, of one of ORL's pictures."""
    rng = generator("hatched sketch", person, number)
    height, width = picture.shape[:2]
    large = np.asarray(Image.fromarray(picture[:, :, 0]).resize((ENLARGED * width, ENLARGED * height),
                                                                Image.Resampling.BICUBIC))
    drawing = warped(hatched(large / 255, rng), rng, 2.5, 48)
    return levels(drawing.reshape(height, ENLARGED, width, ENLARGED).mean(axis=(1, 3)))


def of_drawn(picture: np.ndarray, person: str, number: int) -> np.ndarray:
    """The pencil sketch, H x W x 1 uint8, of a drawn face."""
    rng = generator("pencil sketch", person, number)
    grey = likeness.luma(picture) / 255
    return levels(warped(pencil(grey), rng, WARP * picture.shape[1] / 128, picture.shape[1] / 4))


def makers() -> dict[str, Maker]:
    """`drawings` of ORL's faces and `drawings_drawn` of drawn ones to test on, those of other persons to train on."""
    others = [person for person in orl.PERSONS if person not in orl.TEST]
    return {"drawings": partial(lay_out_orl, persons=orl.TEST),
            "drawings_train": partial(lay_out_orl, persons=others),
            "drawings_drawn": partial(lay_out_drawn, persons=drawn_faces.TEST),
            "drawings_drawn_train": partial(lay_out_drawn, persons=(*drawn_faces.TRAIN, *drawn_faces.VALIDATION))}


def lay_out_orl(folder: Path, persons: Iterable[str]) -> dict[str, Any]:
    """Real photos of these persons with hatched sketches and paper-cuts; returns what they are."""
    pictures, described = orl.pictures(), {}
    for person in persons:
        for number in range(1, ORL_PICTURES + 1):
            photo = pictures[person, number]
            name = _put(folder, person, number, photo, of_orl(photo, person, number))
            described[name] = {"group": person, "split": orl.split_of(person)}
    return _collection(described, f"{orl.SOURCE}; the drawings are rendered from the photos", orl.LICENCE)


def lay_out_drawn(folder: Path, persons: Iterable[str]) -> dict[str, Any]:
    """Drawn faces of these persons with pencil sketches, paper-cuts and parsing maps; returns what they are."""
    described = {}
    for person in persons:
        for number in range(1, DRAWN_PICTURES + 1):
            photo, parsing, *_ = drawn_faces.draw(person, number)
            name = _put(folder, person, number, photo, of_drawn(photo, person, number))
            write_picture(folder / f"{person}/{number}.parsing.png", parsing)
            described[name] = {"group": person, "split": drawn_faces.split_of(person)}
    return _collection(described, f"{drawn_faces.SOURCE}; the drawings are rendered from them", drawn_faces.LICENCE)


def _put(folder: Path, person: str, number: int, photo: np.ndarray, sketch: np.ndarray) -> str:
    write_picture(folder / f"{person}/{number}.png", photo)
    write_picture(folder / f"{person}/{number}.sketch.png", sketch)
    cut = Image.fromarray(papercut(pencil(likeness.luma(photo) / 255)).astype(np.uint8)).convert("P")
    cut.putpalette([255, 255, 255, *RED])
    cut.save(folder / f"{person}/{number}.papercut.png", compress_level=0, bits=1)
    return f"{person}/{number}.png"


def _collection(described: dict[str, Any], source: str, licence: str) -> dict[str, Any]:
    splits = {stated["split"] for stated in described.values()}
    return {"role": "test" if splits == {"test"} else "train", "domain": "drawings", "synthetic": True,
            "source": source, "licence": licence, "pictures": described}
