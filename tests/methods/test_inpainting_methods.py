from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.method import Context, Method, Model
from restore_ml.methods.inpainting import context_encoder, edge_connect, gated_conv, glcic, partial_conv
from restore_ml.nn.features import FeatureNet
from restore_ml.restoring.harness import restore
from tests.methods.holes import batch

SMALL: dict[str, dict[str, Any]] = {
    "partial_conv": {"widths": [8, 8, 8], "patch": 32, "batch": 4},
    "context_encoder": {"width": 4, "bottleneck": 16, "disc_width": 4, "patch": 32, "overlap": 2},
    "glcic": {"width": 4, "dilations": [2, 1], "disc_width": 4, "disc_hidden": 8, "patch": 32, "optimiser": "adam",
              "lr": 2e-3, "valid_weight": 1.0},
    "gated_conv": {"width": 4, "dilations": [2, 1], "disc_width": 4, "patch": 32, "batch": 4, "adversarial": 0.01},
    "edge_connect": {"width": 4, "blocks": 1, "disc_width": 4, "sigma": 1.0, "patch": 32,
                     "steps": {"edge": 2, "inpaint_gt_edges": 2, "inpaint_predicted": 2, "joint": 2}},
}
METHODS = {"partial_conv": partial_conv.METHOD, "context_encoder": context_encoder.METHOD, "glcic": glcic.METHOD,
           "edge_connect": edge_connect.METHOD, "gated_conv": gated_conv.METHOD}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def make(name: str, **settings: Any) -> Method:
    method = METHODS[name](SMALL[name] | settings)
    method.constants = {"mean": np.array([0.4, 0.5, 0.6], np.float32)}
    return method


def context(networks: dict[str, nn.Module], step: int = 0, features: Any = None) -> Context:
    inputs, target = batch()
    return Context(inputs, target, ["a", "b", "c", "d"], networks, step=step, steps=1, slots={"features": features},
                   generator=torch.Generator().manual_seed(step))


def play(method: Method, networks: dict[str, nn.Module], player: Any, shared: Context) -> dict[str, Tensor]:
    terms = player.loss(shared)
    total = sum(terms.values(), torch.zeros(()))
    total.backward(inputs=[p for name in player.networks for p in networks[name].parameters()])
    return terms


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        counts = {name: {key: count(network) for key, network in cls({}).build().items()}
                  for name, cls in METHODS.items()}
        seven = partial_conv.METHOD({"widths": [64, 128, 256, 512, 512, 512, 512]}).build()
        judge = glcic.METHOD({}).build()["discriminator"]
        without_norm = sum(p.numel() for module in glcic.completion(64, [2, 4, 8, 16]).modules()
                           if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for p in module.parameters())
    assert sum(counts["partial_conv"].values()) == 32_859_732
    assert sum(count(network) for network in seven.values()) == 25_779_796
    assert counts["context_encoder"] == {"generator": 71_130_531, "discriminator": 2_766_529}
    assert counts["glcic"] == {"completion": 6_072_131, "discriminator": 45_063_681}
    assert without_norm == 6_066_179
    assert isinstance(judge, glcic.Discriminator)
    assert (count(judge.local), count(judge.whole)) == (19_253_248, 25_808_384)
    assert counts["edge_connect"] == {"edges": 10_761_089, "colours": 10_774_595, "edge_judge": 2_762_752,
                                      "colour_judge": 2_763_776}


@pytest.mark.parametrize("name", METHODS)
def test_every_phase_moves_its_own_networks_alone(name: str) -> None:
    torch.manual_seed(0)
    method = make(name)
    networks = method.build()
    features = FeatureNet(2, "minivgg-01234567").requires_grad_(False)
    for phase in method.phases():
        shared = context(networks, features=features)
        for player in phase.players:
            for network in networks.values():
                network.zero_grad()
            terms = play(method, networks, player, shared)
            assert all(torch.isfinite(term) for term in terms.values()) and terms
            moved = {key for key, network in networks.items()
                     if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())}
            assert moved == set(player.networks), (phase.name, player.name)


@pytest.mark.parametrize("name", METHODS)
def test_training_lowers_the_error_in_the_hole(name: str) -> None:
    torch.manual_seed(0)
    method = make(name, **({"lr": 3e-3} if name != "glcic" else {"lr": 5e-3, "width": 8}))
    networks = method.build()
    phase = method.phases()[1 if name == "edge_connect" else 0]
    optimisers = [player.optimiser([p for key in player.networks for p in networks[key].parameters()])
                  for player in phase.players]

    def error() -> float:
        inputs, target = batch()
        for network in networks.values():
            network.eval()
        with torch.no_grad():
            made = method.restore(Model(networks), inputs, 1)["image"]
        for network in networks.values():
            network.train()
        return float(((made - target["image"]).square() * inputs["mask"]).sum())

    for step in range(80):
        shared = context(networks, step)
        for player, optimiser in zip(phase.players, optimisers, strict=True):
            optimiser.zero_grad()
            play(method, networks, player, shared)
            optimiser.step()
        if step == 2:
            first = error()
    assert error() < 0.63 * first  # 2 dB


@pytest.mark.parametrize("name", METHODS)
def test_values_under_the_hole_tell_nothing_and_known_pixels_stay(name: str) -> None:
    torch.manual_seed(0)
    method = make(name)
    model = Model({key: network.eval() for key, network in method.build().items()})
    rng = np.random.default_rng(2)
    image, mask = rng.integers(0, 256, (38, 45, 3), dtype=np.uint8), np.zeros((38, 45, 1), np.uint8)
    mask[9:29, 11:34] = 1
    other = np.where(mask > 0, 255 - image, image)
    first = restore(method, model, {"image": image, "mask": mask}, 1)["image"]
    assert np.array_equal(first, restore(method, model, {"image": other, "mask": mask}, 1)["image"])
    assert first.shape == image.shape and np.array_equal(first[mask[..., 0] == 0], image[mask[..., 0] == 0])
