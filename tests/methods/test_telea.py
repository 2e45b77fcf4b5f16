"""Telea's method: what it must keep, what it must not look at, and how well it fills."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.degradations.irregular_masks import irregular_bucket
from restore_ml.method import Model
from restore_ml.methods.inpainting.telea import METHOD, telea
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator

SEEDS = st.integers(0, 2**32)


def picture(seed: int, channels: int = 3) -> np.ndarray:
    """Smooth waves."""
    rng = generator("telea", seed)
    y, x = np.mgrid[:48, :56] / 48
    waves = [127 + 100 * np.sin(5 * (y * rng.random() + x * rng.random()) + rng.random() * 6) for _ in range(channels)]
    return np.stack(waves, axis=2).astype(np.uint8)


def hole(seed: int, k: int = 2) -> np.ndarray:
    return irregular_bucket(48, 56, generator("hole", seed), k)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, level=st.integers(0, 255), channels=st.sampled_from([1, 3]))
def test_a_constant_picture_stays_constant_up_to_opencvs_rounding(seed, level, channels):
    image = np.full((48, 56) if channels == 1 else (48, 56, 3), level, np.uint8)
    drift = telea(image, hole(seed)).astype(int) - level
    assert np.abs(drift).max() <= 10 and np.abs(drift[hole(seed) > 0]).mean() < 2


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, radius=st.sampled_from([1, 3, 5, 10]))
def test_known_pixels_stay_and_values_under_the_hole_tell_nothing(seed, radius):
    image, mask = picture(seed), hole(seed)
    noise = generator("other", seed).integers(0, 256, image.shape, dtype=np.uint8)
    other = np.where(mask[..., None] > 0, noise, image)
    filled = telea(image, mask, radius)
    assert np.array_equal(filled[mask == 0], image[mask == 0])
    assert np.array_equal(filled, telea(other, mask, radius))


def test_it_is_opencvs():
    image, mask = picture(1), hole(1)
    image[mask > 0] = 0
    assert np.array_equal(telea(image, mask), cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA))


def test_it_fills_better_than_the_mean():
    gains = []
    for seed in range(8):
        image, mask = picture(seed), hole(seed)
        known = np.where(mask[..., None] > 0, 0, image)
        mean = image[mask == 0].mean(axis=0)
        errors = [((guess.astype(float) - image)[mask > 0] ** 2).mean()
                  for guess in (np.broadcast_to(mean, image.shape), telea(known, mask))]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert min(gains) > 6


def test_a_picture_without_a_known_pixel_stays_empty():
    assert not telea(picture(1), np.ones((48, 56), np.uint8)).any()
    assert np.array_equal(telea(picture(1), np.zeros((48, 56), np.uint8)), picture(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_method_on_tensors(channels):
    image, mask = picture(2, channels), hole(2)
    inputs = {"image": torch.from_numpy(image).permute(2, 0, 1)[None] / 255, "mask": torch.from_numpy(mask)[None, None]}
    output = METHOD({}).restore(Model(), inputs, 1)["image"]
    expected = telea(image if channels == 3 else image[..., 0], mask)
    got = np.rint(output[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    assert np.array_equal(got, expected.reshape(image.shape))


def test_the_radius_is_the_runs_and_levels_are_rounded():
    image, mask = picture(2), hole(2)
    seen = (torch.from_numpy(image).permute(2, 0, 1)[None] - 0.4) / 255
    inputs = {"image": seen, "mask": torch.from_numpy(mask)[None, None]}
    blank = np.where(mask[..., None] > 0, 0, image).astype(np.uint8)
    for radius in (3, 9):
        output = METHOD({"radius": radius}).restore(Model(), inputs, 1)["image"]
        got = np.rint(output[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        assert np.array_equal(got, cv2.inpaint(blank, mask, radius, cv2.INPAINT_TELEA))


def test_the_harness_keeps_known_pixels():
    image, mask = picture(3), hole(3)
    inputs = {"image": image * (1 - mask[..., None]), "mask": mask[..., None]}
    output = restore(METHOD({}), Model(), inputs, 1)["image"]
    assert np.array_equal(output[mask == 0], image[mask == 0]) and output.dtype == np.uint8


@pytest.mark.benchmark_data
def test_on_photographs_it_beats_the_mean_by_far_where_holes_are_thin(benchmark_data):
    from restore_ml.data.pictures import read_picture
    from restore_ml.data.shards import Record

    cases = registry.parts("inpainting").cases
    paths = sorted((benchmark_data / "inpaint_context_encoder" / "paris").glob("*.png"))[:8]
    if not paths:
        pytest.skip("There are no street pictures among the benchmark pictures.")
    gains = {}
    for case in ("text", "irregular_3"):
        errors = []
        for path in paths:
            sample = cases.sample(Record(path.name, {"image": read_picture(path)}), case, 1, {"size": 128})
            hole, truth = sample.inputs["mask"][..., 0] > 0, sample.target["image"].astype(float)
            filled = restore(METHOD({}), Model(), sample.inputs, 1)["image"]
            assert np.array_equal(filled[~hole], sample.target["image"][~hole])
            mean = truth[~hole].mean(axis=0)
            errors.append([((guess - truth)[hole] ** 2).mean() for guess in (mean, filled)])
        gains[case] = np.mean([10 * np.log10(mean / telea) for mean, telea in errors])
    assert gains["text"] > 5 and gains["irregular_3"] > 2
