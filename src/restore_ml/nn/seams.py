"""Pasting a part of one picture into another: where to cut, and how to blend what was cut.

Sources: Boykov, Kolmogorov, minimum cuts (2004), as Hays and Efros cut (SIGGRAPH 2007); Perez, Gangnet, Blake, "Poisson
image editing", SIGGRAPH 2003. Pictures are H x W x C floats, regions H x W bool.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from restore_ml.nn.hole_filling import harmonic

UNIT = 10_000
"""Capacities are whole numbers: so many make 1."""
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def distance_to(hole: np.ndarray) -> np.ndarray:
    """Each pixel's distance from the nearest missing one, in pixels, float32; 0 in the hole."""
    return cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def minimum_cut(difference: np.ndarray, hole: np.ndarray, band: np.ndarray, away: np.ndarray
                ) -> tuple[np.ndarray, float]:
    """The region that is taken from the donor, and what its seam costs.

    `difference`: H x W, squared difference of picture and donor. All of `hole` is taken, of `band` (known pixels) what
    makes the sum of two costs least: |difference(p) - difference(q)| for each pair of neighbours of which one is
    taken, and `away` (H x W) for each known pixel that is. In the hole the difference counts as 0, so a seam along its
    rim costs what picture and donor differ there.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    inside = np.where(hole, 0, difference)
    number = np.full(hole.shape, 0)  # the source: what stays
    number[hole] = 1  # the sink: what is taken
    number[band] = 2 + np.arange(band.sum())
    rows, columns, costs = [np.zeros(band.sum(), int)], [number[band]], [away[band]]
    for down, right in NEIGHBOURS:
        here, there = (_shifted(number.shape, *move) for move in ((down, right), (-down, -right)))
        apart = number[here] != number[there]
        rows.append(number[here][apart])
        columns.append(number[there][apart])
        costs.append(np.abs(inside[here] - inside[there])[apart])
    size = 2 + int(band.sum())
    capacities = sparse.coo_array((np.rint(UNIT * np.concatenate(costs)).astype(np.int32),
                                   (np.concatenate(rows), np.concatenate(columns))), (size, size)).tocsr()
    result = maximum_flow(capacities, 0, 1)
    left = capacities - result.flow
    left.eliminate_zeros()
    stays: Any = breadth_first_order(left, 0, return_predecessors=False)
    taken = ~np.isin(number, stays)
    return taken, result.flow_value / UNIT


def _shifted(shape: tuple[int, ...], down: int, right: int) -> tuple[slice, slice]:
    """The pixels that have a neighbour so far away inside the picture."""
    height, width = shape
    return (slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right)))


def poisson_paste(picture: np.ndarray, donor: np.ndarray, region: np.ndarray) -> np.ndarray:
    """`picture` with the donor's gradients in `region`, whose rim has the picture's values (float64): the donor plus
    the harmonic continuation of the difference. Not all of the picture may lie in the region."""
    if not region.any():
        return picture.astype(np.float64)
    difference = np.where(region[..., None], 0.0, picture.astype(np.float64) - donor)
    return np.where(region[..., None], donor + harmonic(difference, region), picture)
