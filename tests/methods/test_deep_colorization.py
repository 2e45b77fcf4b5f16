"""deep_colorization: its features and clusters, its loss against the formula, a real short training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2yuv

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_yuv
from restore_ml.method import Method, Model
from restore_ml.methods.colorization import deep_colorization
from restore_ml.tasks.base import Material
from tests.methods.colour_project import batch_of, context, count, error, make, scene, trained


def test_deep_colorization_has_128_features_and_16706_parameters() -> None:
    with torch.device("meta"):
        assert count(make("deep_colorization").build()["colorizer"]) == 16_706
        assert count(make("deep_colorization", clusters=3).build()["colorizer"]) == 3 * 16_706
    assert deep_colorization.FEATURES == 49 + 32 + 47 == 128


def test_patches_are_the_neighbourhood_row_by_row() -> None:
    grey = np.random.default_rng(1).uniform(size=(9, 11)).astype(np.float32)
    found = deep_colorization.patch_vectors(torch.from_numpy(grey)[None, None])[0].numpy()
    padded = np.pad(grey, 3, mode="symmetric")
    for y, x in ((0, 0), (4, 5), (8, 10)):
        assert (found[:, y, x] == padded[y : y + 7, x : x + 7].ravel()).all()


def test_soft_classes_are_gaussian_responsibilities() -> None:
    draws = np.random.default_rng(2)
    centres, vectors = draws.normal(size=(47, 51)), draws.normal(size=(1, 51, 2, 3))
    constants = {"centres": centres.astype(np.float32), "spread": np.array([40.0], np.float32)}
    found = deep_colorization.soft_classes(torch.from_numpy(vectors).float(), constants).numpy()
    likelihood = np.exp(-np.square(vectors[:, None] - centres[None, :, :, None, None]).sum(2) / 80)
    np.testing.assert_allclose(found, likelihood / likelihood.sum(1, keepdims=True), atol=1e-5)


@pytest.fixture(scope="module")
def deep(project: Path) -> tuple[Method, Model, dict[str, Any]]:
    return trained(project, "deep_colorization", clusters=2)


def test_deep_features_are_standardised_on_the_training_split(deep: Any, material: Material) -> None:
    method, model, _ = deep
    grey = torch.cat([grey_from_lightness(batch_of(record.arrays["rgb"][None])[0]["L"]) for record in material.records])
    features, _ = method._standardised(grey, model.arrays)
    assert features.shape[1] == 128
    assert float(features.mean((0, 2, 3)).abs().mean()) < 0.2 and 0.8 < float(features.std((0, 2, 3)).mean()) < 1.2


def test_deep_colorization_learns_with_a_network_a_cluster(deep: Any) -> None:
    method, model, facts = deep
    learned, grey = error(method, model)
    assert learned < 0.5 * grey
    assert facts["parameters_total"] == 2 * 16_706 and model.arrays["clusters"].shape == (2, 128)


def test_deep_colorization_keeps_luma_and_is_deterministic(deep: Any, material: Material) -> None:
    method, model, _ = deep
    inputs, _ = batch_of(scene(7)[None])
    output = method.restore(model, inputs, 1)
    inside = ((output["rgb"] > 1e-3) & (output["rgb"] < 1 - 1e-3)).all(1, keepdim=True)
    luma = rgb_to_yuv(output["rgb"])[:, :1]
    assert inside.float().mean() > 0.5
    assert torch.allclose(luma[inside], grey_from_lightness(inputs["L"])[inside], atol=1e-4)
    assert torch.equal(output["rgb"], method.restore(model, inputs, 2)["rgb"])
    again, other = method.prepare(material, 1), method.prepare(material, 2)
    assert all((again[name] == model.arrays[name]).all() for name in again)
    assert (other["centres"] != again["centres"]).any()


def test_deep_loss_is_the_mean_square_at_the_drawn_pixels(deep: Any) -> None:
    method, model, _ = deep
    method.constants = model.arrays
    nothing = lambda features, cluster: 0 * features[..., :2]  # noqa: E731
    step = context(method, scene(3)[None, :32, :32], {"colorizer": nothing})
    found = float(method.loss(step)["squares"])
    chosen = torch.randint(32 * 32, (1, 128, 1), generator=torch.Generator().manual_seed(0))[0, :, 0]
    truth = rgb2yuv(scene(3)[:32, :32])[..., 1:].reshape(-1, 2)[chosen] / (0.436, 0.615)
    assert found == pytest.approx(np.square(truth).mean(), rel=1e-4)
