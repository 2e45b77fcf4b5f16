"""Seven ways to paint a photograph, in whole numbers: painterly strokes and six procedural families.

Each takes a square H x W x 3 uint8 picture and a generator and gives one of the same size. Square roots are those of
float64, which every processor rounds alike, and are rounded down; nothing else leaves the whole numbers, so that the
same bytes come out everywhere.

Sources: strokes after Hertzmann, Painterly rendering with curved brush strokes of multiple sizes (SIGGRAPH 1998);
line-integral convolution after Cabral and Leedom (SIGGRAPH 1993); pointillism by Poisson-disc dots, mosaic by Voronoi
cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Painter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
PALETTE = 24
"""Colours of a painterly rendering."""
_WAVE = np.array([round(64 * math.sin(2 * math.pi * number / 64)) for number in range(64)], np.int64)
_STAND = 1 << 8


def grey_of(picture: np.ndarray) -> np.ndarray:
    """H x W int64 luma from 0 to 255."""
    return (picture.astype(np.int64) @ np.array([77, 150, 29]) + 128) >> 8


def blurred(values: np.ndarray, radius: int) -> np.ndarray:
    """Means over squares of 2 radius + 1 pixels, rounded down, the border repeated; H x W or H x W x C int64."""
    side = 2 * radius + 1
    for axis in (0, 1):
        pad = [(radius + 1, radius) if number == axis else (0, 0) for number in range(values.ndim)]
        sums = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis, dtype=np.int64)
        upper, lower = (np.take(sums, np.arange(start, start + values.shape[axis]), axis) for start in (side, 0))
        values = (upper - lower) // side
    return values


def slopes(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences to the right and downwards (Sobel) of H x W int64 luma."""
    near = np.pad(grey, 1, mode="edge")
    rows, columns = near[:-2] + 2 * near[1:-1] + near[2:], near[:, :-2] + 2 * near[:, 1:-1] + near[:, 2:]
    return rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]


def palette(picture: np.ndarray, count: int = PALETTE) -> np.ndarray:
    """`count` x 3 int64 colours by median cut: the box with the most pixels times extent is halved."""
    boxes = [picture.reshape(-1, 3).astype(np.int64)]
    while len(boxes) < count:
        extents = [box.max(axis=0) - box.min(axis=0) for box in boxes]
        number = max(range(len(boxes)), key=lambda at: (len(boxes[at]) - 1) * int(extents[at].max()))
        box = boxes.pop(number)
        box = box[np.argsort(box[:, int(extents[number].argmax())], kind="stable")]
        boxes += [box[:len(box) // 2], box[len(box) // 2:]]
    return np.stack([box.sum(axis=0) // len(box) for box in boxes])


def nearest(colours: np.ndarray, palette_colours: np.ndarray) -> np.ndarray:
    """Of ... x 3 colours, each the nearest one of `palette_colours`."""
    apart = ((colours[..., None, :] - palette_colours) ** 2).sum(axis=-1)
    return palette_colours[apart.argmin(axis=-1)]


def _directed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors brought to a length of _STAND, those without any to the right."""
    x = np.where((x == 0) & (y == 0), 1, x)
    length = np.maximum(np.sqrt((x * x + y * y).astype(np.float64)).astype(np.int64), 1)
    return x * _STAND // length, y * _STAND // length


def painterly(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Curved strokes of three sizes along the normal of the gradient, the smaller ones where the larger ones err."""
    import cv2

    palette_colours = palette(picture)
    canvas = np.empty_like(picture)
    canvas[:] = palette_colours[rng.integers(PALETTE)]
    side = len(picture)
    for radius in (7, 4, 2):
        wanted = blurred(picture.astype(np.int64), radius)
        colours = nearest(wanted, palette_colours)
        x, y = slopes(blurred(grey_of(picture), radius))
        along, down = _directed(-y, x)
        error = blurred(np.abs(canvas.astype(np.int64) - wanted).sum(axis=2), radius // 2)
        grid = range(radius // 2, side, max(radius, 3))
        starts = [(row, column) for row in grid for column in grid if radius == 7 or error[row, column] > 60]
        for number in rng.permutation(len(starts)).tolist():
            row, column = starts[number]
            colour = colours[row, column]
            at_x, at_y, last_x, last_y = column * _STAND, row * _STAND, 0, 0
            for step in range(7):
                cv2.circle(canvas, (column, row), radius, colour.tolist(), -1, cv2.LINE_8)
                step_x, step_y = int(along[row, column]), int(down[row, column])
                if step_x * last_x + step_y * last_y < 0:
                    step_x, step_y = -step_x, -step_y
                last_x, last_y = step_x, step_y
                at_x, at_y = at_x + step_x * radius, at_y + step_y * radius
                row, column = at_y // _STAND, at_x // _STAND
                if not (0 <= row < side and 0 <= column < side):
                    break
                there = wanted[row, column]
                if step > 1 and np.abs(there - canvas[row, column]).sum() < np.abs(there - colour).sum():
                    break
    return canvas


_NIGHT = np.array([(18, 26, 66), (33, 66, 130), (84, 128, 176), (214, 190, 96), (250, 232, 150)])


def swirls(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise drawn out along a smooth field that follows the picture's edges, in blue and yellow."""
    side, reach = len(picture), 10
    x, y = slopes(blurred(grey_of(picture), 4))
    coarse = rng.integers(-160, 161, (2, side // 24 + 2, side // 24 + 2))
    drift = blurred(np.moveaxis(coarse.repeat(24, axis=1).repeat(24, axis=2)[:, :side, :side], 0, 2), 12)
    along, down = _directed(3 * blurred(-y, 4) + drift[..., 0], 3 * blurred(x, 4) + drift[..., 1])
    noise = rng.integers(0, 256, (side, side))
    rows, columns = np.indices((side, side))
    total = noise.copy()
    for sign in (1, -1):
        at_y, at_x = rows * _STAND + _STAND // 2, columns * _STAND + _STAND // 2
        for _ in range(reach):
            row, column = (np.clip(at // _STAND, 0, side - 1) for at in (at_y, at_x))
            at_y, at_x = at_y + sign * down[row, column], at_x + sign * along[row, column]
            total += noise[np.clip(at_y // _STAND, 0, side - 1), np.clip(at_x // _STAND, 0, side - 1)]
    streaks = (total // (2 * reach + 1) - 128) * 5 // 4
    tone = np.clip(blurred(grey_of(picture), 1) + streaks, 0, 255) * (len(_NIGHT) - 1)
    low, part = np.minimum(tone // 255, len(_NIGHT) - 2), tone % 255
    part = np.where(tone == 255 * (len(_NIGHT) - 1), 255, part)[..., None]
    return ((_NIGHT[low] * (255 - part) + _NIGHT[low + 1] * part) // 255).astype(np.uint8)


def dots(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dots at least three pixels apart, as many as there is room for, in strong colours on light ground."""
    import cv2

    side, apart = len(picture), 3
    free = np.ones((side, side), bool)
    colours = blurred(picture.astype(np.int64), 1)
    mean = grey_of(picture)[..., None]
    strong = np.clip(mean + (colours - mean) * 7 // 4, 0, 255)
    canvas = np.empty_like(picture)
    canvas[:] = (240, 234, 214)
    reach = np.arange(-apart + 1, apart)
    near = (reach[:, None] ** 2 + reach ** 2 < apart ** 2)
    for position in rng.permutation(side * side).tolist():
        row, column = divmod(position, side)
        if not free[row, column]:
            continue
        top, left = max(row - apart + 1, 0), max(column - apart + 1, 0)
        window = free[top:row + apart, left:column + apart]
        cut = near[top - row + apart - 1:, left - column + apart - 1:]
        window &= ~cut[:window.shape[0], :window.shape[1]]
        colour = np.clip(strong[row, column] + rng.integers(-24, 25, 3), 0, 255)
        cv2.circle(canvas, (column, row), 1 + int(rng.integers(2)), colour.tolist(), -1, cv2.LINE_8)
    return canvas


def _cell_means(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each pixel the mean colour of its cell; the sums are whole numbers that float64 holds."""
    counts = np.maximum(np.bincount(labels.ravel()), 1)
    sums = [np.bincount(labels.ravel(), picture[..., channel].ravel()).astype(np.int64) for channel in range(3)]
    return (np.stack(sums, axis=1) // counts[:, None])[labels]


def mosaic(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Voronoi cells in the mean colour of each, with dark borders."""
    side, cell = len(picture), 12
    grid = np.arange(cell // 2, side, cell)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points + rng.integers(-cell // 2, cell // 2 + 1, points.shape)
    axis = np.arange(side)
    apart = (axis[:, None] - points[:, 0])[:, None, :] ** 2 + (axis[:, None] - points[:, 1])[None, :, :] ** 2
    labels = apart.argmin(axis=2)
    painted = _cell_means(picture, labels)
    border = np.zeros((side, side), bool)
    border[:-1] |= labels[:-1] != labels[1:]
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    painted[border] = (34, 30, 30)
    return painted.astype(np.uint8)


def ink(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink wash: a few pale tones with noise of several scales, dark strokes along the edges, hardly any colour."""
    side = len(picture)
    noise = np.zeros((side, side), np.int64)
    for scale in (4, 8, 16, 32):
        coarse = rng.integers(-scale, scale + 1, (side // scale + 1, side // scale + 1))
        noise += blurred(coarse.repeat(scale, axis=0).repeat(scale, axis=1)[:side, :side], scale // 2)
    grey = grey_of(picture)
    wash = np.clip(blurred(grey, 3) + noise // 2, 0, 255)
    tone = 92 + 38 * (wash // 56)
    stroke = grey - blurred(grey, 3) + noise // 8 < -9
    tone = np.where(stroke, 30 + noise // 4, tone)
    tint = (blurred(picture.astype(np.int64), 4) - blurred(grey, 4)[..., None]) // 6
    return np.clip(tone[..., None] + tint + np.array([4, 2, -8]), 0, 255).astype(np.uint8)


def planes(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cubist: random lines cut the picture into flat facets, each side of a line a little lighter or darker."""
    side, lines = len(picture), 16
    rows, columns = np.indices((side, side))
    code, shade = np.zeros((side, side), np.int64), np.zeros((side, side), np.int64)
    for number in range(lines):
        (a, b), through = rng.integers(-16, 17, 2), rng.integers(0, side, 2)
        beyond = a * (columns - through[0]) + b * (rows - through[1]) > 0
        code += beyond.astype(np.int64) << number
        shade += np.where(beyond, 1, -1) * rng.integers(2, 9)
    _, labels = np.unique(code, return_inverse=True)
    facets = _cell_means(picture, labels.reshape(side, side))
    return np.clip(facets * 5 // 4 - 24 + shade[..., None], 0, 255).astype(np.uint8)


def hatching(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three layers of waving parallel lines on paper, each where the picture is darker than the layer's level."""
    side = len(picture)
    rows, columns = np.indices((side, side))
    grey = blurred(grey_of(picture), 1)
    jitter = blurred(rng.integers(0, 65, (side, side)), 2)
    canvas = np.empty((side, side, 3), np.int64)
    canvas[:] = (242, 236, 222)
    for (a, b), level in zip(((9, 9), (-9, 9), (2, 13)), (190, 130, 76), strict=True):
        wave = _WAVE[(a * columns + b * rows + jitter * 2) % len(_WAVE)]
        canvas[(grey < level) & (wave > (grey - level) // 2 + 44)] = (48, 40, 58)
    return canvas.astype(np.uint8)


FAMILIES: dict[str, Painter] = {"strokes": painterly, "swirls": swirls, "dots": dots, "mosaic": mosaic, "ink": ink,
                                "planes": planes, "hatching": hatching}
"""By the name of its folder."""
