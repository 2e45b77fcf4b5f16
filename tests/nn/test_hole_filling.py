"""What the classical methods of inpainting share: the frame around `fill`, and equations on the pixels' grid."""

import numpy as np
import pytest

from restore_ml.method import Model
from restore_ml.nn.hole_filling import HoleFill, differences, harmonic, neighbour_counts, surroundings
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator


class Remembers(HoleFill):
    """Gives `value` everywhere and remembers what it was shown."""

    paper = {}
    value = 0.25

    def fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        self.seen = image, hole
        return np.full(image.shape, self.value)


def neighbours(y: int, x: int, height: int, width: int) -> list[tuple[int, int]]:
    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return [(i, j) for i, j in around if 0 <= i < height and 0 <= j < width]


def by_the_definition(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """One equation for each pixel: a known one is itself, a missing one the mean of its neighbours."""
    height, width = hole.shape
    system, right = np.eye(height * width), np.where(hole[..., None], 0, image).reshape(height * width, -1)
    for y, x in np.argwhere(hole):
        around = neighbours(y, x, height, width)
        for i, j in around:
            system[y * width + x, i * width + j] = -1 / len(around)
    return np.linalg.solve(system, right).reshape(image.shape)


HOLES = {"inside": np.s_[2:5, 3:7], "corner": np.s_[:4, :3], "a side": np.s_[:, 5:], "other corner": np.s_[5:, 4:]}


@pytest.mark.parametrize("place", HOLES.values(), ids=HOLES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_missing_pixel_is_the_mean_of_its_neighbours(place, channels):
    image, hole = generator("harmonic").random((8, 9, channels)), np.zeros((8, 9), bool)
    hole[place] = True
    hole[6, 1] = True
    filled = harmonic(np.where(hole[..., None], 9.0, image), hole)
    np.testing.assert_allclose(filled, by_the_definition(image, hole), atol=1e-12)
    assert np.array_equal(filled[~hole], image[~hole])


def test_one_known_pixel_is_enough():
    hole = np.ones((6, 5), bool)
    hole[0, 4] = False
    image = np.zeros((6, 5, 3))
    image[0, 4] = 0.2, 0.5, 0.9
    np.testing.assert_allclose(harmonic(image, hole), np.broadcast_to([0.2, 0.5, 0.9], (6, 5, 3)), atol=1e-12)


@pytest.mark.parametrize(("place", "rows", "columns"), [
    (np.s_[2:4, 3:6], (1, 5), (2, 7)), (np.s_[:1, :1], (0, 2), (0, 2)), (np.s_[7:, 8:], (6, 8), (7, 9)),
    (np.s_[:, :], (0, 8), (0, 9)), (np.s_[1:7, 1:2], (0, 8), (0, 3))])
def test_the_surroundings_hold_the_hole_with_its_neighbours(place, rows, columns):
    hole = np.zeros((8, 9), bool)
    hole[place] = True
    assert surroundings(hole) == (slice(*rows), slice(*columns))


def test_differences_and_counts_end_at_the_border():
    image = generator("differences").random((3, 4, 2))
    found, counts = differences(image), neighbour_counts(3, 4)
    for y, x in np.ndindex(3, 4):
        around = neighbours(y, x, 3, 4)
        assert counts[y, x] == len(around)
        for direction, (down, right) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
            inside = (y + down, x + right) in around
            expected = image[y + down, x + right] - image[y, x] if inside else 0
            np.testing.assert_allclose(found[direction, y, x], np.broadcast_to(expected, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_method_is_shown_the_known_pixels_only_and_changes_the_missing_ones_only(channels):
    method = Remembers({})
    image = generator("picture").integers(1, 256, (5, 6, channels), dtype=np.uint8)
    mask = np.zeros((5, 6, 1), np.uint8)
    mask[1:3, 2:5] = 1
    output = method.restore_arrays(Model(), {"image": image, "mask": mask}, 1)["image"]
    seen, hole = method.seen
    assert np.array_equal(hole, mask[..., 0] > 0) and hole.dtype == bool and seen.dtype == np.float64
    assert np.array_equal(seen, np.where(mask > 0, 0, image / 255))
    assert output.dtype == np.float32 and (output[hole] == 0.25).all()
    assert np.array_equal(output[~hole], image[~hole] / np.float32(255))


@pytest.mark.parametrize(("value", "expected"), [(1.5, 1.0), (-0.5, 0.0)])
def test_what_overshoots_is_clipped(value, expected):
    method = Remembers({})
    method.value = value
    inputs = {"image": np.full((2, 2, 3), 90, np.uint8), "mask": np.array([[0, 1], [1, 1]], np.uint8)[..., None]}
    output = method.restore_arrays(Model(), inputs, 1)["image"]
    assert (output[0, 1] == expected).all() and (output[0, 0] == np.float32(90 / 255)).all()


def test_nothing_known_becomes_mid_grey_and_nothing_missing_stays():
    method = Remembers({})
    image = generator("whole").integers(0, 256, (4, 5, 3), dtype=np.uint8)
    for level, expected in ((1, np.full(image.shape, 128, np.uint8)), (0, image)):
        mask = np.full((4, 5, 1), level, np.uint8)
        assert np.array_equal(restore(method, Model(), {"image": image, "mask": mask}, 1)["image"], expected)
    assert not hasattr(method, "seen")


def test_how_a_hole_is_filled_is_for_subclasses():
    assert HoleFill.task == "inpainting"
    with pytest.raises(NotImplementedError):
        HoleFill.fill(Remembers({}), np.zeros((2, 2, 3)), np.zeros((2, 2), bool))
