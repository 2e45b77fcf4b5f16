"""deep_unet_pix2pix: the card's counts, what follows each level, the compared losses by hand, a short training."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.methods.colorization.deep_unet_pix2pix import DeepUNetPix2Pix
from tests.methods.by_hand import draw, step_with
from tests.methods.colour_project import PIX2PIX, context, count, error, make, scene, trained
from tests.walk.entries import runs

SMALL = {"levels": 3, "width": 4, "disc_width": 4, "disc_layers": 2, "patch": 16, "dropout": False}


def made(**settings: Any) -> DeepUNetPix2Pix:
    return DeepUNetPix2Pix({**SMALL, **settings})


@pytest.mark.parametrize(("settings", "parameters"), [
    ({}, 74_844_547), ({"space": "lab"}, 74_842_498), ({"extra_convs": 0}, 54_411_907),
    ({"extra_convs": 0, "levels": 7, "space": "lab"}, 41_824_898), ({"extra_convs": 2}, 74_844_547 + 20_432_640)])
def test_parameters_of_the_card(settings: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = DeepUNetPix2Pix(settings).build()["generator"]
    assert count(network) == parameters


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_every_level_but_the_deepest_is_followed_both_ways(extra: int) -> None:
    network = made(extra_convs=extra, dropout=True).build()["generator"]
    base = [3, 4]  # layers of a level before: activation, convolution, normalisation; upward dropout too
    for blocks, own, activation in ((network.down, base[0], nn.LeakyReLU), (network.up, base[1], nn.ReLU)):
        assert isinstance(blocks, nn.ModuleList)
        assert [len(block) for block in blocks] == [own + bool(extra)] * 2 + [own]  # type: ignore[arg-type]
        for block in list(blocks)[:2] if extra else []:
            added, channels = block[-1], block[1].out_channels  # type: ignore[index]
            assert [type(layer) for layer in added] == [activation, nn.Conv2d, nn.BatchNorm2d] * extra
            for convolution in added[1::3]:
                assert (convolution.in_channels, convolution.out_channels, convolution.kernel_size, convolution.stride,
                        convolution.bias) == (channels, channels, (3, 3), (1, 1), None)
                assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.3)  # pix2pix's start
    if extra:
        assert network.down[0][-1][0].negative_slope == 0.2  # type: ignore[index]


def test_what_follows_is_behind_the_dropout() -> None:
    up = made(dropout=True).build()["generator"].up[0]  # type: ignore[index]
    assert isinstance(up[-2], nn.Dropout) and isinstance(up[-1], nn.Sequential)  # type: ignore[index]


ERRORS = torch.tensor([0.05, -0.3, 0.8, 1.5]).view(1, 1, 2, 2)


@pytest.mark.parametrize(("settings", "expected"), [
    ({"recon": "l1", "recon_weight": 7.0}, {"l1": 7 * (0.05 + 0.3 + 0.8 + 1.5) / 4}),
    ({"recon": "smooth_l1", "recon_weight": 7.0}, {"smooth_l1": 7 * (0.05**2 / 2 + 0.09 / 2 + 0.64 / 2 + 1.0) / 4}),
    ({"recon": "smooth_l1", "recon_weight": 100.0, "beta": 0.1},
     {"smooth_l1": 100 * (0.05**2 / 0.2 + 0.25 + 0.75 + 1.45) / 4})])
def test_the_distances_by_hand(settings: dict[str, Any], expected: dict[str, float]) -> None:
    true = draw(1, 1, 2, 2)
    terms = made(**settings).distance(true + ERRORS, true)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("recon", ["l1", "smooth_l1"])
@pytest.mark.parametrize("gan", ["bce", "lsgan"])
@pytest.mark.parametrize("penalty", [0.0, 10.0])
def test_the_grid_of_losses(recon: str, gan: str, penalty: float) -> None:
    """All eight of the card: finite terms of these names, and a judge with batch statistics only without a penalty."""
    torch.manual_seed(0)
    method = made(recon=recon, gan=gan, gradient_penalty=penalty, space="lab")
    networks = method.build()
    step = step_with({"L": 30 + 40 * draw(2, 1, 16, 16)}, {"ab": 60 * draw(2, 2, 16, 16) - 30}, networks)
    judged, painted = method.discriminator_loss(step), method.generator_loss(step)
    assert set(judged) == {"real", "fake"} | ({"penalty"} if penalty else set())
    assert set(painted) == {"adversarial", recon}
    assert all(torch.isfinite(term) for term in (judged | painted).values())
    batch = any(isinstance(layer, nn.BatchNorm2d) for layer in networks["discriminator"].modules())
    assert batch is (penalty == 0)


@pytest.mark.parametrize("profile", ["gpu", "paper"])
def test_each_of_the_eight_losses_is_a_run(profile: str) -> None:
    """And with the other losses as they are, pix2pix's generator of eight and of seven levels."""
    found = [entry.method(entry.settings).settings for entry in runs(profile).values()
             if entry.method is DeepUNetPix2Pix]
    losses = [(s["recon"], s["gan"], s["gradient_penalty"]) for s in found if s["extra_convs"] == 1]
    assert sorted(losses) == sorted(product(("l1", "smooth_l1"), ("bce", "lsgan"), (0.0, 10.0)))
    assert {s["beta"] for s in found if s["recon"] == "smooth_l1"} == {0.1}
    assert sorted(s["levels"] for s in found if s["extra_convs"] == 0) == [7, 8] and len(found) == 10


def test_gradients_neither_vanish_nor_explode() -> None:
    """Those of the first and the last convolution of the generator, of six levels with one and two more each."""
    pictures = np.stack([np.tile(scene(number), (2, 2, 1))[:64, :64] for number in (1, 2)])
    for extra in (1, 2):
        torch.manual_seed(0)
        method = make("deep_unet_pix2pix", levels=6, width=4, disc_width=4, patch=64, extra_convs=extra)
        step = context(method, pictures)
        sum(method.generator_loss(step).values()).backward()  # type: ignore[attr-defined,union-attr]
        network = step.networks["generator"]
        first, last = network.down[0][1].weight.grad.norm(), network.up[-1][1].weight.grad.norm()  # type: ignore[index,union-attr]
        assert 1e-3 < first / last < 1e3 and 1e-3 < last < 1e3


def test_the_recipe_and_what_is_refused() -> None:
    paper = DeepUNetPix2Pix.paper
    assert paper.items() >= PIX2PIX.items()
    assert [paper[key] for key in ("space", "levels", "extra_convs", "recon", "recon_weight", "gan",
                                   "gradient_penalty")] == ["rgb", 8, 1, "l1", 100.0, "bce", 10.0]
    for wrong in ({"extra_convs": 3}, {"recon": "l2"}, {"gan": "hinge"}, {"space": "yuv"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            made(**wrong)


@pytest.mark.parametrize("extra", [0, 1])
def test_it_learns(project: Path, extra: int) -> None:
    method, model, _ = trained(project, "deep_unet_pix2pix", extra_convs=extra)
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
