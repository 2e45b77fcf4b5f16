"""The simulator of references: a picture whose colours are right, but not its places, as a similar picture's would be.

Source: the method card `reference_guided` (flip, crop and thin-plate warp of the target); thin-plate splines after
Bookstein, IEEE PAMI 11(6), 1989.
"""

from __future__ import annotations

import cv2
import numpy as np

LEAST = 0.7
"""A crop keeps at least this share of each side."""
NODES, BENT = 4, 0.05
"""The warp moves a grid of NODES x NODES points by normal steps with BENT of the side as deviation."""
COARSE = 16
"""The spline is read at COARSE x COARSE places and enlarged: it is smooth, and its logarithms are dear."""


def augmented(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An H x W x 3 uint8 picture mirrored (in half of the draws), cropped and bent, at the size that it had; what comes
    from beyond its edge is mirrored there."""
    height, width = picture.shape[:2]
    mirror = bool(rng.integers(2))
    shares = rng.uniform(LEAST, 1, 2)
    corner = rng.uniform(0, 1 - shares)
    moves = rng.normal(0, BENT, (NODES * NODES, 2))
    bent = thin_plate(_grid(np.linspace(0, 1, NODES)), moves, _grid(_centres(COARSE))).reshape(COARSE, COARSE, 2)
    bent = cv2.resize(bent, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = (corner[0] + shares[0] * (_centres(height)[:, None] + bent[..., 0]),
            corner[1] + shares[1] * (_centres(width)[None] + bent[..., 1]))
    y, x = (((1 - side if mirrored else side) * length - 0.5).astype(np.float32)
            for side, length, mirrored in ((y, height, False), (x, width, mirror)))
    return cv2.remap(np.ascontiguousarray(picture), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _centres(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count


def _grid(line: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(line, line, indexing="ij"), 2).reshape(-1, 2)


def thin_plate(nodes: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The thin-plate spline through `values` (n x k) at `nodes` (n x 2), read at `places` (m x 2): m x k, float64."""
    def kernel(of: np.ndarray) -> np.ndarray:
        squares = np.square(of[:, None] - nodes[None]).sum(2)
        return 0.5 * squares * np.log(np.maximum(squares, 1e-300))  # r^2 log r, 0 at r = 0

    def plane(of: np.ndarray) -> np.ndarray:
        return np.concatenate([np.ones((len(of), 1)), of], 1)

    count = len(nodes)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count], system[:count, count:] = kernel(nodes), plane(nodes)
    system[count:, :count] = plane(nodes).T
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))
    bent: np.ndarray = kernel(places) @ weights[:count] + plane(places) @ weights[count:]
    return bent
