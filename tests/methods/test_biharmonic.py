"""The biharmonic filling against its definition, and what sets it apart from heat."""

import numpy as np
import pytest

from restore_ml.method import Model
from restore_ml.methods.inpainting.biharmonic import METHOD
from restore_ml.nn.hole_filling import harmonic
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator


def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return METHOD({}).fill(np.where(hole[..., None], 0, image), hole)


def waves(side: int = 32) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return np.stack([0.5 + 0.3 * np.sin(4 * x + 3 * y + c) for c in range(3)], axis=2)


def by_the_definition(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The Laplacian (of the neighbours that there are), twice, is 0 in every missing pixel."""
    height, width = hole.shape
    laplacian = np.zeros((height * width, height * width))
    for y, x in np.ndindex(height, width):
        for i, j in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= i < height and 0 <= j < width:
                laplacian[y * width + x, y * width + x] -= 1
                laplacian[y * width + x, i * width + j] += 1
    missing = hole.ravel()
    twice, flat = (laplacian @ laplacian)[missing], image.reshape(height * width, -1).copy()
    flat[missing] = np.linalg.solve(twice[:, missing], -twice[:, ~missing] @ flat[~missing])
    return flat.reshape(image.shape)


@pytest.mark.parametrize("place", [np.s_[3:7, 4:9], np.s_[:5, :4], np.s_[:, 6:10], np.s_[2:, 1:]])
def test_the_laplacian_of_the_laplacian_is_nought_in_the_hole(place):
    y, x = np.mgrid[:10, :12] / 12
    image = np.stack([0.5 + 0.2 * np.sin(3 * x + c) * np.cos(2 * y) for c in range(3)], axis=2)
    hole = np.zeros((10, 12), bool)
    hole[place] = True
    expected, known = by_the_definition(image, hole), image[~hole]
    np.testing.assert_allclose(fill(image, hole), np.clip(expected, known.min(0), known.max(0)), atol=1e-8)


def test_holes_apart_are_filled_as_if_alone():
    hole, other = np.zeros((2, 32, 32), bool)
    hole[4:12, 5:11] = other[20:26, 18:28] = True
    both = fill(waves(), hole | other)
    np.testing.assert_allclose(both[hole], fill(waves(), hole)[hole], atol=1e-10)
    np.testing.assert_allclose(both[other], fill(waves(), other)[other], atol=1e-10)


def test_a_ramp_is_continued_exactly():
    y, x = np.mgrid[:24, :24] / 24
    ramp = np.stack([0.2 + 0.3 * x + 0.3 * y, 0.9 - 0.6 * x, 0.1 + 0.5 * y], axis=2)
    hole = np.zeros((24, 24), bool)
    hole[6:18, 5:19] = True
    np.testing.assert_allclose(fill(ramp, hole), ramp, atol=1e-3)


def test_it_beats_heat_on_a_smooth_picture():
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    errors = [np.abs(guess - waves())[hole].mean() for guess in (fill(waves(), hole), harmonic(waves(), hole))]
    assert errors[0] < errors[1] / 2


def test_it_stays_in_the_range_of_what_is_known():
    x = np.arange(24) / 24
    bump = np.broadcast_to((1 - (x - 0.5) ** 2 * 4)[:, None], (24, 24, 3))
    hole = np.zeros((24, 24), bool)
    hole[:, 6:18] = True
    filled, highest = fill(bump, hole), bump[~hole].max()
    assert filled.max() == highest and by_the_definition(bump, hole).max() > highest + 0.1


def test_in_the_harness():
    image = np.rint(waves() * 255).astype(np.uint8)
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[8:20, 20:] = 1
    hole, noise = mask[..., 0] > 0, generator("noise").integers(0, 256, image.shape, dtype=np.uint8)
    filled = restore(METHOD({}), Model(), {"image": image, "mask": mask}, 1)["image"]
    assert np.array_equal(filled[~hole], image[~hole])
    assert np.array_equal(filled[hole], np.rint(fill(image / 255, hole) * 255).astype(np.uint8)[hole])
    wild = {"image": np.where(mask > 0, noise, image), "mask": mask}
    assert np.array_equal(filled, restore(METHOD({}), Model(), wild, 1)["image"])
