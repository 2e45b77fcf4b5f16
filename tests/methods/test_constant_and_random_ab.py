"""mean_ab and random_ab: colours that know nothing of the picture, against values by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material
from tests.methods.colour_project import error, make, trained

LIGHTNESS = np.random.default_rng(0).uniform(0, 100, (13, 11, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Three pictures of unequal size, so that pixels and pictures do not average alike."""
    draws, folder = np.random.default_rng(1), tmp_path_factory.mktemp("unequal")
    sizes = [(8, 8), (24, 40), (16, 12)]
    shards.write(folder / "00.arrow", [
        Record(f"{number:064x}", {"rgb": draws.integers(70 * number, 70 * number + 90, (*size, 3)).astype(np.uint8)})
        for number, size in enumerate(sizes)])
    return Material(folder)


def colours(material: Material) -> list[np.ndarray]:
    return [rgb2lab(record.arrays["rgb"])[..., 1:] for record in material.records]


def test_the_mean_is_that_of_all_pixels(unequal: Material) -> None:
    constants = make("mean_ab").prepare(unequal, 1)
    expected = np.concatenate([ab.reshape(-1, 2) for ab in colours(unequal)]).mean(0)
    np.testing.assert_allclose(constants["mean"], expected, atol=1e-4)
    assert set(constants) == {"mean"} and constants["mean"].dtype == np.float32


def test_the_mean_is_everywhere() -> None:
    output = harness.restore(make("mean_ab"), Model(arrays={"mean": np.float32([7, -20])}), {"L": LIGHTNESS}, 1)
    assert set(output) == {"ab"} and output["ab"].shape == (13, 11, 2)
    assert (output["ab"] == [7, -20]).all()


def test_the_mean_of_the_scenes_is_nearer_than_grey(project: Path) -> None:
    method, model, facts = trained(project, "mean_ab")
    assert facts["parameters_total"] == 2
    constant, grey = error(method, model)
    assert constant < grey


def test_random_keeps_the_colours_of_every_picture_in_order(unequal: Material) -> None:
    kept = make("random_ab", side=10).prepare(unequal, 1)["colours"]
    expected = [np.rint(imresize(ab.astype(np.float32), output_size=(10, 10))) for ab in colours(unequal)]
    assert kept.shape == (3, 10, 10, 2) and kept.dtype == np.int8
    np.testing.assert_allclose(kept, expected, atol=1)
    assert (kept == np.array(expected)).mean() > 0.99


def test_random_draws_no_picture_twice_of_more_than_it_keeps(unequal: Material) -> None:
    every = make("random_ab", side=4).prepare(unequal, 1)["colours"]
    seen = set()
    for seed in range(12):
        kept = make("random_ab", side=4, pictures=2).prepare(unequal, seed)["colours"]
        numbers = [next(n for n in range(3) if np.array_equal(every[n], one)) for one in kept]
        assert len(numbers) == 2 and numbers[0] < numbers[1]
        seen.add(tuple(numbers))
    assert seen == {(0, 1), (0, 2), (1, 2)}  # another seed keeps others


def test_random_stretches_one_whole_map_over_the_picture() -> None:
    maps = np.random.default_rng(2).integers(-100, 100, (5, 6, 6, 2)).astype(np.int8)
    found = set()
    for seed in range(40):
        ab = harness.restore(make("random_ab"), Model(arrays={"colours": maps}), {"L": LIGHTNESS}, seed)["ab"]
        expected = [cv2.resize(one.astype(np.float32), (11, 13), interpolation=cv2.INTER_LINEAR) for one in maps]
        [number] = [n for n in range(5) if np.allclose(ab, expected[n], atol=1e-2)]
        found.add(number)
        again = harness.restore(make("random_ab"), Model(arrays={"colours": maps}), {"L": LIGHTNESS / 2}, seed)["ab"]
        assert np.array_equal(ab, again)  # the seed decides, not the picture
    assert found == {0, 1, 2, 3, 4}


def test_random_colours_each_picture_of_a_batch() -> None:
    maps = np.random.default_rng(2).integers(-100, 100, (5, 6, 6, 2)).astype(np.int8)
    ab = make("random_ab").restore(Model(arrays={"colours": maps}), {"L": torch.zeros(3, 1, 8, 9)}, 1)["ab"]
    assert ab.shape == (3, 2, 8, 9)


def test_random_colours_are_as_vivid_as_true_ones_and_wrong(project: Path) -> None:
    method, model, _ = trained(project, "random_ab", side=32)
    chroma = np.linalg.norm(harness.restore(method, model, {"L": LIGHTNESS}, 1)["ab"], axis=-1).mean()
    true = np.linalg.norm(model.arrays["colours"].astype(float), axis=-1).mean()
    assert 0.7 * true < chroma < 1.4 * true
