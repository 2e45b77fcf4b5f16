"""deep_colorization: what is drawn, standardised, predicted, refined and composed, by hand."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab, yuv2rgb
from torch import nn

from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Model
from restore_ml.methods.colorization import deep_colorization
from restore_ml.methods.colorization.deep_colorization import ColourMLPs, DeepColorization
from restore_ml.nn.bilateral import joint_bilateral
from restore_ml.nn.daisy_features import daisy
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import SMALL, batch_of

SETTINGS = {**SMALL["deep_colorization"], "semantic_radius": 2, "refine_range": 0.1}


def made(**settings: Any) -> DeepColorization:
    return DeepColorization({**SETTINGS, **settings})


def constants(clusters: int = 1) -> dict[str, np.ndarray]:
    """Features pass unchanged (mean 0, deviation 1)."""
    return {"centres": draw(47, 51).numpy() / 7, "spread": np.array([0.1], np.float32),
            "mean": np.zeros(128, np.float32), "sd": np.ones(128, np.float32),
            "clusters": draw(clusters, 128, seed=9).numpy()}


def test_the_features_in_their_order() -> None:
    """49 of the patch, 32 of DAISY, 47 classes smoothed along the grey by half the radius."""
    grey, held = draw(2, 1, 14, 12), constants()
    for radius in (0, 2):
        found = made(semantic_radius=radius, position=0.5).features(grey, held)
        vectors = deep_colorization.semantic_vectors(grey, 0.5)
        classes = deep_colorization.soft_classes(vectors, held)
        if radius:
            classes = joint_bilateral(classes, grey, 2, 1.0, 0.1)
        expected = torch.cat([deep_colorization.patch_vectors(grey), daisy(grey, 4), classes], 1)
        torch.testing.assert_close(found, expected)
    down, right = vectors[0, 49:].numpy()
    np.testing.assert_allclose(down, np.linspace(0, 0.5, 14)[:, None].repeat(12, 1), atol=1e-6)
    np.testing.assert_allclose(right, np.linspace(0, 0.5, 12)[None].repeat(14, 0), atol=1e-6)
    torch.testing.assert_close(vectors[:, :49], deep_colorization.patch_vectors(grey) / 7)


def test_standardised_features_and_the_nearest_cluster() -> None:
    held = constants(3) | {"mean": draw(128, seed=1).numpy(), "sd": 1 + draw(128, seed=2).numpy()}
    grey, method = draw(4, 1, 12, 12, seed=3), made(clusters=3)
    raw = method.features(grey, held).numpy()
    expected = (raw - held["mean"][:, None, None]) / held["sd"][:, None, None]
    held["clusters"][1] = expected[2].mean((1, 2)) + 1e-3
    features, cluster = method._standardised(grey, held)
    np.testing.assert_allclose(features.numpy(), expected, atol=1e-5)
    distances = np.square(expected.mean((2, 3))[:, None] - held["clusters"]).sum(-1)
    assert cluster.tolist() == distances.argmin(1).tolist() and cluster[2] == 1


def test_each_picture_is_coloured_by_the_network_of_its_cluster() -> None:
    torch.manual_seed(0)
    networks, features = ColourMLPs(3, 8), draw(2, 5, 128)
    found = networks(features, torch.tensor([2, 0]))
    for picture, number in ((0, 2), (1, 0)):
        x = features[picture]
        layers = [layer for layer in networks.networks[number] if isinstance(layer, nn.Linear)]
        for layer in layers[:-1]:
            x = (x @ layer.weight.T + layer.bias).clamp(min=0)
        torch.testing.assert_close(found[picture], x @ layers[-1].weight.T + layers[-1].bias)
    assert [layer.out_features for layer in layers] == [8, 8, 8, 2]
    assert layers[0].weight.std().item() == pytest.approx(np.sqrt(2 / 128), rel=0.2)
    assert layers[-1].weight.std().item() == pytest.approx(0.01, rel=0.6)
    assert all((layer.bias == 0).all() for layer in layers)


def two_coloured(seed: int = 0) -> np.ndarray:
    """Pixels of two colours of different lightness, at random."""
    choice = np.random.default_rng(seed).integers(2, size=(2, 16, 16))
    return np.array([[30, 80, 40], [200, 150, 220]], np.uint8)[choice]


def test_the_loss_compares_each_drawn_pixel_with_its_own_truth() -> None:
    """A network that knows both colours from the grey in the middle of the patch: off by 0.2 in U, it costs 0.02."""
    rgb = two_coloured()
    inputs, target = batch_of(rgb)
    method = made(pixels_per_image=40)
    method.constants = constants()
    yuv = np.array([[0.299, 0.587, 0.114], [-0.14713, -0.28886, 0.436], [0.615, -0.51499, -0.10001]])
    colours = (yuv @ (np.array([[30, 80, 40], [200, 150, 220]]) / 255).T).T[:, 1:] / (0.436, 0.615)

    def know(features: torch.Tensor, cluster: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(colours).float()[(features[..., 24] > 0.5).long()] + torch.tensor([0.2, 0.0])

    network = Calls(know)
    [player] = method.phases()[0].players
    terms = player.loss(step_with(inputs, target, {"colorizer": network}))
    assert list(terms) == ["squares"] and terms["squares"].item() == pytest.approx(0.02, rel=1e-3)
    features, cluster = network.calls[0]
    assert features.shape == (2, 40, 128) and cluster.tolist() == [0, 0]
    assert len(features[..., 0].unique()) > 1


def test_restore_scales_u_and_v_and_joins_them_to_the_grey() -> None:
    lightness = {"L": 40 + 20 * draw(1, 1, 10, 9)}
    network = Calls(lambda features, cluster: torch.tensor([0.3, -0.2]).expand(*features.shape[:2], 2))
    output = made().restore(Model({"colorizer": network}, constants()), lightness, 1)
    grey = grey_from_lightness(lightness["L"])[0, 0].double().numpy()
    rgb = yuv2rgb(np.stack([grey, np.full_like(grey, 0.3 * 0.436), np.full_like(grey, -0.2 * 0.615)], -1))
    np.testing.assert_allclose(output["rgb"][0].permute(1, 2, 0).numpy(), rgb, atol=1e-4)
    np.testing.assert_allclose(output["ab"][0].permute(1, 2, 0).numpy(), rgb2lab(rgb)[..., 1:], atol=5e-2)
    bright = made().restore(Model({"colorizer": Calls(lambda f, c: 0 * f[..., :2] + 3)}, constants()), lightness, 1)
    assert bright["rgb"].max() == 1 and bright["rgb"].min() == 0


@pytest.mark.parametrize("iterations", [0, 1, 2])
def test_restore_smooths_u_and_v_by_its_settings(iterations: int) -> None:
    """Where the grey is flat the filter is a Gaussian blur, once an iteration; pixels keep their places."""
    noise = draw(1, 144, 2, seed=5) - 0.5
    method = made(refine_iterations=iterations, refine_radius=5, refine_sigma=1.2)
    model = Model({"colorizer": Calls(lambda features, cluster: noise)}, constants())
    output = method.restore(model, {"L": torch.full((1, 1, 12, 12), 60.0)}, 1)
    uv = noise[0].reshape(12, 12, 2).double().numpy() * (0.436, 0.615)
    for _ in range(iterations):
        uv = cv2.GaussianBlur(uv, (11, 11), 1.2, borderType=cv2.BORDER_REFLECT)
    grey = float(grey_from_lightness(torch.full((1, 1, 1, 1), 60.0)))
    rgb = yuv2rgb(np.concatenate([np.full((12, 12, 1), grey), uv], -1))
    np.testing.assert_allclose(output["rgb"][0].permute(1, 2, 0).numpy(), rgb.clip(0, 1), atol=1e-3)


def test_the_refinement_stops_at_edges_by_its_range() -> None:
    lightness = torch.full((1, 1, 12, 12), 30.0)
    lightness[..., 6:] = 80.0
    sides = (torch.arange(144) % 12 >= 6).float()[None, :, None].expand(1, 144, 2) - 0.5
    colour = [made(refine_range=wide).restore(Model({"colorizer": Calls(lambda f, c: sides)}, constants()),
                                              {"L": lightness}, 1)["rgb"] for wide in (0.05, 50.0)]
    step = [float((rgb[..., 6] - rgb[..., 5]).abs().mean()) for rgb in colour]
    assert step[0] > step[1]


def test_the_spread_is_the_mean_squared_distance_to_the_nearest_centre(material: Material) -> None:
    held = made(prepare_crops=12).prepare(material, 1)
    crops = deep_colorization._crops(material, 32, 12, 1)
    vectors = torch.cat([deep_colorization.semantic_vectors(crop, 1.0) for crop in crops])
    rows = vectors.permute(0, 2, 3, 1).reshape(-1, 51)[::7].numpy()
    nearest = np.square(rows[:, None] - held["centres"]).sum(-1).min(1)
    assert held["spread"].item() == pytest.approx(nearest.mean(), rel=0.3)
    assert held["centres"].shape == (47, 51) and held["clusters"].shape == (1, 128)
    # One cluster is the mean of the crops' mean features, which are standardised.
    described = torch.cat([made().features(crop, held) for crop in crops]).mean((2, 3)).numpy()
    np.testing.assert_allclose(held["clusters"][0], ((described - held["mean"]) / held["sd"]).mean(0), atol=1e-3)


def test_the_recipe() -> None:
    method = made(lr=0.02, weight_decay=0.03)
    optimiser = optimiser_of(method.phases()[0].players[0], method.build())
    assert isinstance(optimiser, torch.optim.Adam)
    assert [optimiser.defaults[key] for key in ("lr", "weight_decay")] == [0.02, 0.03]
    assert deep_colorization.UV_SCALE == (0.436, 0.615) and DeepColorization.paper["hidden"] == 64
