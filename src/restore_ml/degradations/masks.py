"""Binary masks of missing pixels: `generator(height, width, rng) -> H x W uint8 in {0, 1}`, 1 = missing.

Lengths that a paper gives for 256-pixel pictures scale with s = min(H, W) / 256. The same generator state always
gives the same mask. The realised hole ratio is `mask.mean()`. Definitions: the method card, table of masks (1.3);
irregular masks by hole ratio live in `irregular_masks`.
"""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator


def length_scale(height: int, width: int) -> float:
    """The factor on all lengths in pixels: min(H, W) / 256."""
    return min(height, width) / 256


def pixels(length: float, least: int = 1) -> int:
    """A length rounded to whole pixels, at least `least`."""
    return max(least, round(length))


def shape_disc(radius: int) -> np.ndarray:
    """A disc as a (2r+1) x (2r+1) uint8 structuring element."""
    span = np.arange(-radius, radius + 1)
    return (span[:, None] ** 2 + span[None] ** 2 <= radius ** 2).astype(np.uint8)


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """The mask grown by a disc of `radius` pixels (0: unchanged)."""
    return cv2.dilate(mask, shape_disc(radius)) if radius > 0 else mask


def center_square(height: int, width: int, rng: Rng | None = None, overlap: int = 0) -> np.ndarray:
    """Rows and columns [L/4 + overlap, 3L/4 - overlap): a quarter of the area without overlap.

    Context Encoders and CSA keep an `overlap` of 4 pixels at 128 and 256 pixels, whose truth is still predicted.
    """
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 + overlap:height - height // 4 - overlap, width // 4 + overlap:width - width // 4 - overlap] = 1
    return mask


def random_square(height: int, width: int, rng: Rng) -> np.ndarray:
    """One square of half the shorter side, its place uniform (PEN-Net, the random block of EdgeConnect)."""
    side = min(height, width) // 2
    return _box(height, width, rng, side, side)


def random_rect(height: int, width: int, rng: Rng) -> np.ndarray:
    """One rectangle, both sides uniform whole numbers in [96 s, 128 s], its place uniform (GLCIC training)."""
    s = length_scale(height, width)
    rows, columns = (int(rng.integers(pixels(96 * s), pixels(128 * s) + 1)) for _ in range(2))
    return _box(height, width, rng, rows, columns)


def several_rects(height: int, width: int, rng: Rng) -> np.ndarray:
    """2 to 4 rectangles with sides in [32 s, 128 s] (the masks of GLCIC's demonstration)."""
    s = length_scale(height, width)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(2, 5)):
        rows, columns = (int(rng.integers(pixels(32 * s), pixels(128 * s) + 1)) for _ in range(2))
        mask |= _box(height, width, rng, rows, columns)
    return mask


def _box(height: int, width: int, rng: Rng, rows: int, columns: int) -> np.ndarray:
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    mask = np.zeros((height, width), np.uint8)
    mask[top:top + rows, left:left + columns] = 1
    return mask


def half(height: int, width: int, rng: Rng) -> np.ndarray:
    """The left or the right half (EdgeConnect, mask type 2)."""
    mask = np.zeros((height, width), np.uint8)
    if rng.integers(2):
        mask[:, width // 2:] = 1
    else:
        mask[:, :width // 2] = 1
    return mask


def ce_random_pattern(height: int, width: int, rng: Rng, span: int = 2048, most_tries: int = 1000) -> np.ndarray:
    """The random region of Context Encoders: between 20 and 30 % of the window.

    Uniform noise of 0.06 low-resolution cells a pixel, bicubic to `span` (10000 in the paper), thresholded below 0.25;
    windows are drawn until their ratio fits. The noise is drawn per window: only its own cells and two more around it
    for the bicubic support are needed, which gives windows of the same distribution as the one large pattern.
    Raises `RuntimeError` when none of `most_tries` windows fits (windows of few cells: below 16 pixels).
    """
    cells = pixels(0.06 * span)
    step = span / cells
    for _ in range(most_tries):
        rows, columns = (int(np.ceil(length / step)) + 5 for length in (height, width))
        noise = rng.random((rows, columns), dtype=np.float32)
        smooth = cv2.resize(noise, (round(columns * step), round(rows * step)), interpolation=cv2.INTER_CUBIC)
        top, left = (int(2 * step + rng.random() * step) for _ in range(2))
        mask = (smooth[top:top + height, left:left + width] < 0.25).astype(np.uint8)
        if 0.2 < mask.mean() < 0.3:
            return mask
    raise RuntimeError(f"No {height} x {width} window of the random pattern is 20 to 30 % missing.")


def brush_stroke(height: int, width: int, rng: Rng, strokes: int | None = None,
                 widths: tuple[float, float] = (12, 40)) -> np.ndarray:
    """Free-form strokes of gated convolution: 1 to 3 zig-zag poly-lines with round joints, then random flips.

    `strokes`: their number, drawn from 1, 2, 3 when None. `widths`: of a stroke, in pixels at 256 (times s here).
    The released code calls the flip without using its result; the paper's flip is done here.
    """
    s = length_scale(height, width)
    narrow, wide = pixels(widths[0] * s), pixels(widths[1] * s)
    mean_step = np.hypot(height, width) / 8
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4)) if strokes is None else strokes):
        thickness = int(rng.integers(narrow, wide + 1))
        corners = int(rng.integers(4, 12))
        low = 2 * np.pi / 5 - rng.uniform(0, 2 * np.pi / 15)
        high = 2 * np.pi / 5 + rng.uniform(0, 2 * np.pi / 15)
        path = [(int(rng.integers(width)), int(rng.integers(height)))]
        for corner in range(corners):
            angle = rng.uniform(low, high)
            if corner % 2 == 0:
                angle = 2 * np.pi - angle
            step = np.clip(rng.normal(mean_step, mean_step // 2), 0, 2 * mean_step)
            x, y = path[-1]
            path.append((int(np.clip(x + step * np.cos(angle), 0, width)),
                         int(np.clip(y + step * np.sin(angle), 0, height))))
        cv2.polylines(mask, [np.array(path, np.int32)], False, 1, thickness)
        for point in path:
            cv2.circle(mask, point, thickness // 2, 1, -1)
    return flip(mask, rng)


def flip(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """Upside down and left to right, each with probability 1/2."""
    vertical, horizontal = rng.integers(2), rng.integers(2)
    return np.ascontiguousarray(mask[::-1 if vertical else 1, ::-1 if horizontal else 1])


def stroke_or_box(height: int, width: int, rng: Rng) -> np.ndarray:
    """The training mask of gated convolution: strokes, and one box of 128 s whose sides lose up to 16 s each side."""
    s = length_scale(height, width)
    full, loss = pixels(128 * s), round(16 * s)
    rows, columns = (max(1, full - int(rng.integers(loss + 1)) - int(rng.integers(loss + 1))) for _ in range(2))
    return brush_stroke(height, width, rng) | _box(height, width, rng, rows, columns)


def random_walk(height: int, width: int, rng: Rng, share: tuple[float, float] = (0.15, 0.5)) -> np.ndarray:
    """A walk over the four neighbours from a random start, stopped at the frame, dilated by 3 x 3.

    reading: `share` of H W steps, drawn uniformly between 15 % and 50 % (other sources walk H W steps, undilated).
    """
    steps = int(rng.uniform(*share) * height * width)
    moves = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[rng.integers(4, size=steps)]
    y, x = int(rng.integers(height)), int(rng.integers(width))
    mask = np.zeros((height, width), np.uint8)
    mask[y, x] = 1
    mask[_stopped(y, moves[:, 0], height), _stopped(x, moves[:, 1], width)] = 1
    return cv2.dilate(mask, np.ones((3, 3), np.uint8))


def _stopped(start: int, moves: np.ndarray, length: int) -> np.ndarray:
    """Where a walk on 0 ... length - 1 stands after each of its moves, when it stays at the ends that it runs against.

    Some moves together shift a place and then clip it to bounds of their own, and so do two such runs, one after the
    other; runs of twice the length each time give all of them in log2(moves) passes.
    """
    shift, low, high = moves.copy(), np.zeros_like(moves), np.full_like(moves, length - 1)
    reach = 1
    while reach < len(moves):
        lowest, highest = (np.clip(bound[:-reach] + shift[reach:], low[reach:], high[reach:]) for bound in (low, high))
        shift[reach:] = shift[:-reach] + shift[reach:]
        low[reach:], high[reach:] = lowest, highest
        reach *= 2
    return np.clip(start + shift, low, high)


def bernoulli(height: int, width: int, rng: Rng, probability: float = 0.5) -> np.ndarray:
    """Each pixel missing with `probability` (deep image prior: 0.5)."""
    return (rng.random((height, width)) < probability).astype(np.uint8)


def text(height: int, width: int, rng: Rng) -> np.ndarray:
    """2 to 6 lines of random ASCII in Hershey letters, glyphs dilated by one pixel.

    reading: letters keep a height of at least 5 pixels, so that small pictures get text and not blots.
    """
    s = length_scale(height, width)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(2, 7))):
        letters = "".join(map(chr, rng.integers(33, 127, size=int(rng.integers(8, 33)))))
        scale = max(float(rng.uniform(0.5, 1.0)) * s, 0.2)
        start = int(rng.integers(-width // 8, max(1, width // 2))), int(rng.integers(round(8 * s) + 4, height))
        cv2.putText(mask, letters, start, cv2.FONT_HERSHEY_SIMPLEX, scale, 1, max(1, round(2 * s)))
    return dilate(mask, 1)


def scratch(height: int, width: int, rng: Rng) -> np.ndarray:
    """3 to 8 nearly vertical scratches of 1 to 3 pixels, and up to 20 specks of dust of radius 1 to 3 pixels."""
    s = length_scale(height, width)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(3, 9))):
        corners = int(rng.integers(4, 9))
        length = rng.uniform(0.4, 1.0) * height
        top = rng.uniform(0, height - length)
        x = rng.uniform(0, width) + np.concatenate([[0.0], rng.normal(0, 4 * s, corners - 1)]).cumsum()
        path = np.stack([x, np.linspace(top, top + length, corners)], axis=1)
        cv2.polylines(mask, [path.round().astype(np.int32)], False, 1, int(rng.integers(1, 4)))
    for _ in range(int(rng.integers(0, 21))):
        position = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(mask, position, int(rng.integers(1, 4)), 1, -1)
    return mask


def stripes(height: int, width: int, rng: Rng) -> np.ndarray:
    """A failing line sensor: 1 to 3 missing rows in every 8th to 16th row."""
    period, phase = int(rng.integers(8, 17)), int(rng.integers(16))
    mask = np.zeros((height, width), np.uint8)
    for top in range(phase % period, height, period):
        mask[top:top + int(rng.integers(1, 4))] = 1
    return mask


def wedges(height: int, width: int, rng: Rng) -> np.ndarray:
    """The gaps of a scan-line corrector that is off: wedges that widen from the middle column to both edges.

    reading: one wedge in every 12 to 16 rows, 0 rows wide in the middle and half a period at the edges.
    """
    period, phase = int(rng.integers(12, 17)), int(rng.integers(16))
    distance = np.abs(np.arange(width) - (width - 1) / 2) / (width / 2)
    rows = (np.arange(height) + phase) % period
    return (np.abs(rows[:, None] - period / 2) < distance[None] * period / 4).astype(np.uint8)


def border(height: int, width: int, rng: Rng) -> np.ndarray:
    """A frame to be painted anew (outpainting): each of the four sides loses between L/16 and L/8."""
    mask = np.ones((height, width), np.uint8)
    top, bottom = (int(rng.integers(pixels(height / 16), pixels(height / 8) + 1)) for _ in range(2))
    left, right = (int(rng.integers(pixels(width / 16), pixels(width / 8) + 1)) for _ in range(2))
    mask[top:height - bottom, left:width - right] = 0
    return mask
