"""colorful_colorization: the card's counts, its loss against the formula, a real short training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.method import Method, Model
from restore_ml.nn.ab_classes import class_centres
from restore_ml.nn.colorful_network import ColorfulNet
from restore_ml.tasks.base import Material
from tests.methods.colour_project import batch_of, context, count, error, make, scene, trained


def test_colorful_network_has_the_paper_s_parameters() -> None:
    with torch.device("meta"):
        network = ColorfulNet()
        norms = sum(count(module) for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
        assert (count(network), count(network) - norms) == (32_235_385, 32_230_393)
        assert count(ColorfulNet(16)) == 2_032_585
        assert network(torch.empty(1, 1, 256, 256)).shape == (1, 313, 64, 64)
        assert network(torch.empty(2, 1, 64, 40)).shape == (2, 313, 16, 10)


def colorful_with(weights: np.ndarray, **changes: Any) -> Method:
    method = make("colorful_colorization", **changes)
    method.constants = {"class_weights": weights.astype(np.float32)}
    return method


def test_colorful_loss_is_the_weighted_soft_cross_entropy() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2, 313)
    method = colorful_with(weights)
    step = context(method, np.stack([scene(1)[:32, :32], scene(2)[:32, :32]]))
    logits = torch.randn(2, 313, 8, 8)
    step.networks = {"colorizer": lambda lightness: logits}  # type: ignore[dict-item]
    found = float(method.loss(step)["classes"])  # type: ignore[attr-defined]
    truth, total = step.target["ab"][..., ::4, ::4].numpy(), 0.0
    for n, y, x in np.ndindex(2, 8, 8):
        squared = np.square(class_centres() - truth[n, :, y, x]).sum(1)
        nearest = np.argsort(squared, kind="stable")[:5]
        z = np.exp(-squared[nearest] / 50) / np.exp(-squared[nearest] / 50).sum()
        log_p = logits[n, :, y, x].log_softmax(0).numpy()
        total -= weights[nearest[0]] * (z * log_p[nearest]).sum()
    assert found == pytest.approx(total / (2 * 8 * 8), rel=1e-4)


def test_colorful_loss_ignores_grey_pictures() -> None:
    method = colorful_with(np.ones(313))
    networks = {"colorizer": method.build()["colorizer"].eval().requires_grad_(False)}
    colour, grey = scene(1)[:32, :32], np.repeat(scene(1)[:32, :32, :1], 3, -1)
    losses = [float(method.loss(context(method, np.stack(pictures), networks))["classes"])  # type: ignore[attr-defined]
              for pictures in ([grey], [colour], [colour, grey])]
    assert losses[0] == 0 and losses[1] > 1 and losses[2] == pytest.approx(losses[1] / 2, rel=1e-5)


def test_colorful_weights_come_from_the_training_split(material: Material) -> None:
    constants = make("colorful_colorization").prepare(material, 1)
    assert constants["prior"].sum() == pytest.approx(1, rel=1e-5)
    assert (constants["prior"] * constants["class_weights"]).sum() == pytest.approx(1, rel=1e-5)
    common = class_centres()[constants["class_weights"].argmin()]
    assert min(np.abs(common - colour).max() for colour in ((-6, -32), (-34, 38))) <= 10
    assert (make("colorful_colorization", rebalance=False).prepare(material, 1)["class_weights"] == 1).all()


def test_colorful_decoding_of_one_hot_logits_is_the_class_everywhere() -> None:
    logits = torch.zeros(1, 313, 4, 6)
    logits[:, 239] = 1e3
    model = Model({"colorizer": lambda lightness: logits})  # type: ignore[dict-item]
    ab = make("colorful_colorization").restore(model, {"L": torch.zeros(1, 1, 16, 24)}, 1)["ab"]
    assert ab.shape == (1, 2, 16, 24)
    assert torch.allclose(ab, torch.tensor([60.0, 30.0]).view(1, 2, 1, 1).expand_as(ab), atol=1e-3)


def test_the_learning_rate_drops_where_the_paper_drops_it() -> None:
    player = make("colorful_colorization", steps=450_000).phases()[0].players[0]
    rates = [3e-5 * player.schedule(step, 450_000) for step in (0, 199_999, 200_000, 374_999, 375_000, 449_999)]
    assert rates == pytest.approx([3e-5, 3e-5, 1e-5, 1e-5, 3e-6, 3e-6])


def test_colorful_learns_and_temperature_trades_mean_for_mode(project: Path) -> None:
    method, model, _ = trained(project, "colorful_colorization")
    learned, grey = error(method, model)
    assert learned < 0.85 * grey  # 0.5 to 0.76 of it, by processor: a few steps
    lightness = batch_of(scene(100)[None])[0]
    chroma = []
    for temperature in (1.0, 0.38, 0.05):
        method.settings["temperature"] = temperature
        chroma.append(float(method.restore(model, lightness, 1)["ab"].norm(dim=1).mean()))
    assert chroma[0] < min(chroma[1:])


def test_colorful_settings_are_checked() -> None:
    with pytest.raises(UserError, match="patch"):
        make("colorful_colorization", patch=30)
