"""Pictures with holes for the methods that copy from the known part, and their known patches found one by one."""

import numpy as np

from restore_ml.seeds import generator


def textured(seed: int, height: int = 20, width: int = 23, channels: int = 3, levels: int = 4) -> np.ndarray:
    """Blotches of a few levels, so that many patches are alike: H x W x C uint8."""
    rng = generator("textured", seed)
    coarse = rng.integers(0, levels, (height // 3 + 1, width // 3 + 1, channels))
    blotches = coarse.repeat(3, 0).repeat(3, 1)[:height, :width]
    spots = rng.random((height, width, 1)) < 0.1
    return np.where(spots, rng.integers(0, levels, (height, width, channels)), blotches).astype(np.uint8) * 60 + 20


def holes(height: int = 20, width: int = 23) -> dict[str, np.ndarray]:
    """Masks, H x W uint8: in the middle, over a corner and a side, thin lines, and single pixels all over."""
    made = {name: np.zeros((height, width), np.uint8) for name in ("middle", "border", "lines")}
    made["middle"][7:13, 9:16] = 1
    made["border"][:6, :5] = 1
    made["border"][14:, 8:13] = 1
    made["lines"][9:11] = 1
    made["lines"][:, 17] = 1
    made["dust"] = (generator("dust").random((height, width)) < 0.4).astype(np.uint8)
    return made


def whole_patches(known: np.ndarray, side: int) -> tuple[int, list[tuple[int, int]]]:
    """The largest odd side up to `side` of which a patch is wholly known, and the centres of these."""
    height, width = known.shape
    while True:
        r = side // 2
        found = [(y, x) for y in range(r, height - r) for x in range(r, width - r)
                 if all(known[y + j, x + i] for j in range(-r, r + 1) for i in range(-r, r + 1))]
        if found:
            return side, found
        side -= 2


def stripes(height: int = 40, width: int = 44) -> np.ndarray:
    """Oblique stripes of three colours, each four pixels wide: H x W x 3 uint8."""
    y, x = np.mgrid[:height, :width]
    return np.array([[250, 20, 40], [10, 200, 90], [60, 90, 240]], np.uint8)[(x + y) // 4 % 3]


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    """The colours of N x C or H x W x C."""
    return set(map(tuple, picture.reshape(-1, picture.shape[-1]).tolist()))
