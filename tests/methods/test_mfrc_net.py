"""mfrc_net: the card's counts, where fields of view stand, the features' term by hand, a short training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import lab2rgb
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.methods.colorization.mfrc_net import MfrcNet
from restore_ml.nn.features import FeatureNet
from restore_ml.nn.fields_of_view import FieldsOfView
from tests.methods.by_hand import Calls, step_with
from tests.methods.colour_project import PIX2PIX, batch_of, context, count, error, make, scene, trained

SMALL = {"levels": 6, "width": 16, "disc_width": 16, "disc_layers": 2, "patch": 64, "dropout": False}
PICTURES = np.stack([scene(1)[:32, :32], scene(2)[:32, :32]])


def made(**settings: Any) -> MfrcNet:
    return MfrcNet({**SMALL, **settings})


def fields(blocks: Any) -> list[int]:
    """The channels of the fields of view that end each block, 0 where there are none."""
    return [block[1].out_channels if isinstance(block[-1], FieldsOfView) else 0 for block in blocks]


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper, rgb, small = MfrcNet({}).build(), MfrcNet({"space": "rgb"}).build(), made().build()
    assert count(paper["generator"]) == 54_409_858 + 2 * (15_456 + 61_120 + 243_072 + 2 * 969_472)
    assert count(rgb["generator"]) - count(paper["generator"]) == 54_411_907 - 54_409_858
    assert [count(small["generator"]), count(paper["discriminator"])] == [1_870_418, 2_765_633]


def test_fields_of_view_stand_behind_maps_of_8_pixels_and_more() -> None:
    with torch.device("meta"):
        paper = MfrcNet({}).build()["generator"]
    assert fields(paper.down) == [64, 128, 256, 512, 512, 0, 0, 0]
    assert fields(paper.up) == [0, 0, 512, 512, 256, 128, 64, 0]
    small = made(mode="kernels").build()["generator"]
    assert fields(small.down) == [16, 32, 64, 0, 0, 0]
    sides = [layer.kernel_size for layer in small.down[0][-1].modules() if isinstance(layer, nn.Conv2d)]  # type: ignore[index,union-attr]
    assert (7, 7) in sides and (5, 5) in sides


class Features(nn.Module):
    """Two taps: twice the picture and its mean over colours, once `normalise` was asked for."""

    source = "mini-1"

    def forward(self, x: Tensor, taps: Any, normalise: bool = True) -> dict[str, Tensor]:
        assert normalise
        return {tap: 2 * x if tap == "relu1_1" else x.mean(1, keepdim=True) for tap in taps}


@pytest.mark.parametrize("space", ["lab", "rgb"])
def test_the_features_term_by_hand(space: str) -> None:
    """10 sum w_l mean |difference| between true RGB and that of the made ab with the true lightness."""
    method = made(space=space, perceptual=10.0, perceptual_taps={"relu1_1": 0.25, "relu2_1": 0.5})
    inputs, target = batch_of(PICTURES)
    lift = nn.Parameter(torch.tensor(0.02))
    painter = Calls(lambda shown: torch.cat([0.1 * shown, 0.05 - 0.1 * shown, shown], 1)[:, :method.channels[1]] + lift)
    networks = {"generator": painter, "discriminator": Calls(lambda pair: pair.mean((1, 2, 3)))}
    terms = method.generator_loss(step_with(inputs, target, networks, Features()))
    assert list(terms) == ["adversarial", "l1", "perceptual@mini-1"]
    colours = painter(method.condition(inputs["L"])).detach().double()
    rgb = (colours + 1) / 2 if space == "rgb" else torch.from_numpy(lab2rgb(
        torch.cat([inputs["L"].double(), 110 * colours], 1).movedim(1, -1).numpy())).movedim(-1, 1)
    assert rgb.min() >= 0 and rgb.max() <= 1
    apart = rgb - target["rgb"].double()
    expected = 10 * (0.25 * 2 * apart.abs().mean() + 0.5 * apart.mean(1).abs().mean())
    assert terms["perceptual@mini-1"].item() == pytest.approx(expected.item(), rel=2e-3)
    assert torch.autograd.grad(terms["perceptual@mini-1"], lift)[0].abs() > 0


def test_the_features_term_is_nothing_for_the_truth_and_for_no_weight_or_network() -> None:
    inputs, target = batch_of(PICTURES)
    networks = {"generator": Calls(lambda shown: target["ab"] / 110),
                "discriminator": Calls(lambda pair: pair.mean((1, 2, 3)))}
    torch.manual_seed(0)
    terms = made(perceptual_taps=MfrcNet.paper["perceptual_taps"]).generator_loss(
        step_with(inputs, target, networks, FeatureNet(4)))
    assert terms["perceptual@random"].item() < 1e-3 and terms["l1"].item() == 0
    without = made(perceptual=0.0).generator_loss(step_with(inputs, target, networks, FeatureNet(4)))
    assert set(without) == {"adversarial", "l1"} == set(made().generator_loss(step_with(inputs, target, networks)))


def test_every_tap_moves_the_generator_and_nothing_else() -> None:
    torch.manual_seed(0)
    features = FeatureNet(4).requires_grad_(False)
    method = make("mfrc_net", l1=0.0)
    step = context(method, PICTURES)
    step.slots = {"features": features}
    terms = method.generator_loss(step)  # type: ignore[attr-defined]
    terms["perceptual@random"].backward()
    moved = [weight.grad is not None and bool(weight.grad.any())
             for weight in step.networks["generator"].up[-1].parameters()]  # type: ignore[union-attr]
    assert all(moved) and not any(weight.grad is not None for weight in features.parameters())
    assert all(weight.grad is None for weight in step.networks["discriminator"].parameters())


def test_the_recipe_and_what_is_refused() -> None:
    paper = MfrcNet.paper
    assert paper.items() >= PIX2PIX.items()
    assert [paper[key] for key in ("space", "levels", "mode", "gan", "gradient_penalty", "l1", "perceptual")] == [
        "lab", 8, "dilations", "bce", 0.0, 100.0, 10.0]
    assert paper["perceptual_taps"] == {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4,
                                        "relu5_1": 1.0}
    assert any(isinstance(layer, nn.Dropout) for layer in made(dropout=True).build()["generator"].modules())
    for wrong in ({"mode": "dilated"}, {"space": "yuv"}, {"gan": "hinge"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            made(**wrong)


def test_it_learns(project: Path) -> None:
    method, model, _ = trained(project, "mfrc_net")
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
