"""The samples of colorization and of representation: sizes, lightness kept, histogram, grey pictures refused."""

import numpy as np
import pytest
from skimage import color, data

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import to_rgb8
from restore_ml.degradations.resize import imresize

TASK = registry.task("colorization")
PARTS = registry.parts("colorization")
REPRESENTATION = registry.task("representation")


def record(image: np.ndarray) -> Record:
    return Record("a" * 64, {"image": image}, {"name": "picture"})


@pytest.mark.parametrize("size", [0, 64, 128])
def test_test_sample(size):
    image = data.coffee()
    sample = PARTS.cases.sample(record(image), "lab_grey", 1, {"size": size})
    rgb, ab, lightness = sample.target["rgb"], sample.target["ab"], sample.inputs["L"]
    shape = (size, size) if size else image.shape[:2]
    assert lightness.shape == (*shape, 1) and ab.shape == (*shape, 2) and rgb.shape == (*shape, 3)
    assert lightness.dtype == ab.dtype == np.float32 and rgb.dtype == np.uint8
    there = color.rgb2lab(rgb)
    np.testing.assert_allclose(lightness[..., 0], there[..., 0], atol=2e-3)
    np.testing.assert_allclose(ab, there[..., 1:], atol=2e-3)
    np.testing.assert_array_equal(to_rgb8(lightness, ab), rgb)
    if size == 0:
        np.testing.assert_array_equal(rgb, image)


def test_the_centre_of_the_picture_is_tested():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = (200, 30, 60)
    rgb = PARTS.cases.sample(record(image), "lab_grey", 1, {"size": 50}).target["rgb"]
    np.testing.assert_array_equal(rgb[:, 3:-3], np.broadcast_to([200, 30, 60], (50, 44, 3)))


def test_the_whole_short_side_is_tested():
    image = data.coffee()  # 400 x 600
    rgb = PARTS.cases.sample(record(image), "lab_grey", 1, {"size": 64}).target["rgb"]
    np.testing.assert_array_equal(rgb, imresize(image, output_size=(64, 96))[:, 16:80])


@pytest.mark.parametrize(("saturation", "answer"), [(3.5, "nearly grey"), (6.5, None)])
def test_a_picture_is_coloured_from_5_units_of_ab_on(saturation, answer):
    lab = np.broadcast_to([60.0, saturation, 0.0], (40, 40, 3))
    assert TASK.accepts(np.rint(255 * color.lab2rgb(lab)).astype(np.uint8), {}) == answer


def test_near_grey_pictures_are_refused():
    grey = np.repeat(data.camera()[..., None], 3, 2)
    assert TASK.accepts(grey, {}) == "nearly grey"
    assert TASK.accepts(grey[..., :1], {}) == "no colour channels"
    assert TASK.accepts(data.astronaut()[:20], {}) == "smaller than 32 pixels"
    assert TASK.accepts(data.astronaut(), {}) is None
    dot = grey.copy()
    dot[-1, -1] = (255, 0, 0)
    assert TASK.accepts(dot, {}) is None


def test_training_pictures_are_near_the_scale_of_the_test():
    large, small = record(data.astronaut()), record(data.coffee()[:100, :90])
    first, second = PARTS.training.records([large, small], 1, {"size": 64})
    assert first.arrays["rgb"].shape == (128, 128, 3) and second.arrays["rgb"].shape == (100, 90, 3)
    whole = next(PARTS.training.records([large], 1, {"size": 0}))
    np.testing.assert_array_equal(whole.arrays["rgb"], data.astronaut())


@pytest.mark.parametrize("patch", [32, 200])
def test_training_samples_vary_repeat_and_fit(patch):
    stored = next(PARTS.training.records([record(data.coffee())], 1, {"size": 64}))
    samples = [PARTS.training.sample(stored, {}, np.random.default_rng(seed), {"patch": patch}, {})
               for seed in (0, 1, 0)]
    assert samples[0].inputs["L"].shape == (patch, patch, 1) and samples[0].target["ab"].shape == (patch, patch, 2)
    np.testing.assert_array_equal(samples[0].target["rgb"], samples[2].target["rgb"])
    assert (samples[0].target["rgb"] != samples[1].target["rgb"]).any()
    np.testing.assert_array_equal(to_rgb8(samples[1].inputs["L"], samples[1].target["ab"]), samples[1].target["rgb"])


def test_histogram_counts_every_training_pixel():
    pictures = [record(data.astronaut()), record(np.full((40, 50, 3), (255, 0, 0), np.uint8))]
    pool = PARTS.training.pools(pictures, 1, {"size": 64})
    counts = pool["ab_histogram"][0].arrays["counts"]
    assert pool["ab_histogram"][0].id == "ab_histogram" and counts.shape == (221, 221) and counts.dtype == np.float32
    assert counts.sum() == 128 * 128 + 40 * 50
    assert counts[110 + 80, 110 + 67] >= 2000  # pure red is (80.09, 67.20)
    stored = next(PARTS.training.records(pictures[:1], 1, {"size": 64})).arrays["rgb"]
    ab = np.rint(color.rgb2lab(stored)[..., 1:]).astype(int).reshape(-1, 2)
    assert counts[110, 110] == pytest.approx((ab == 0).all(1).sum(), abs=2)


def test_wrong_settings_and_names_are_refused():
    for wrong in ({"sise": 64}, {"size": 8}, {"size": 64.5}, {"size": True}):
        with pytest.raises(UserError):
            PARTS.check_settings(wrong)
    with pytest.raises(UserError, match="lab_grey"):
        PARTS.cases.sample(record(data.astronaut()), "x2", 1, {})


def test_representation_gives_clean_crops():
    assert REPRESENTATION.accepts(data.camera()[..., None], {}) == "no colour channels"
    assert REPRESENTATION.accepts(data.astronaut()[:31], {}) == "smaller than 32 pixels"
    assert REPRESENTATION.accepts(data.astronaut()[:32], {}) is None
    training = registry.parts("representation").training
    stored = next(training.records([record(data.coffee())], 1, {}))
    np.testing.assert_array_equal(stored.arrays["image"], data.coffee())
    for patch in (64, 700):
        sample = training.sample(stored, {}, np.random.default_rng(0), {"patch": patch}, {})
        assert sample.inputs["image"].shape == (patch, patch, 3)
        np.testing.assert_array_equal(sample.inputs["image"], sample.target["image"])
    assert registry.parts("representation").cases is None


@pytest.mark.parametrize("task", ["colorization", "representation"])
def test_a_training_crop_is_a_part_of_the_picture_mirrored_left_to_right_in_half_of_the_visits(task):
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    windows = {}
    for top in range(9):
        for left in range(9):
            part = image[top:top + 32, left:left + 32]
            windows[part.tobytes()] = top, left, False
            windows[np.ascontiguousarray(part[:, ::-1]).tobytes()] = top, left, True
    name, training = ("rgb" if task == "colorization" else "image"), registry.parts(task).training
    drawn = [windows[training.sample(Record("a" * 64, {name: image}), {}, np.random.default_rng(visit), {"patch": 32},
                                     {}).target[name].tobytes()] for visit in range(120)]
    assert len({place[:2] for place in drawn}) > 40 and 40 < sum(place[2] for place in drawn) < 80


def test_a_small_picture_is_mirrored_at_its_edges_with_the_edge_pixel_twice():
    image = np.random.default_rng(1).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    whole = np.concatenate([image, image[:-13:-1]])  # 12 rows more, the last one first
    for visit in range(8):
        rgb = PARTS.training.sample(record_of(image), {}, np.random.default_rng(visit), {"patch": 32}, {}).target["rgb"]
        assert np.array_equal(rgb, whole) or np.array_equal(rgb, whole[:, ::-1])


def record_of(rgb: np.ndarray) -> Record:
    return Record("a" * 64, {"rgb": rgb})


def test_the_histogram_is_skimage_s_of_the_same_pixels():
    image = data.astronaut()[:64, :64]
    counts = PARTS.training.pools([record(image)], 1, {"size": 64})["ab_histogram"][0].arrays["counts"]
    ab = np.rint(color.rgb2lab(image)[..., 1:]).astype(int) + 110
    expected = np.zeros((221, 221))
    np.add.at(expected, (ab[..., 0], ab[..., 1]), 1)
    assert np.abs(counts - expected).sum() < 0.01 * counts.sum()  # halves may turn
