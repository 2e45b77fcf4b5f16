"""The deep image prior's input, loss and restoring, worked out by hand on networks that do next to nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.inpainting import dip_watermark
from tests.methods.holes import Maps, pictures

TINY = {"widths": [4, 4], "extra_levels": 0, "steps": 3}


class Painted(nn.Module):
    """One colour for the whole picture, learnt; remembers what it was shown and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Parameter(torch.full((1, 3, 1, 1), 0.2))
        self.shown: list[Tensor] = []
        self.gave: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x.detach().clone())
        made = self.colour + torch.zeros(1, 3, *x.shape[-2:])
        self.gave.append(made.detach().clone())
        return made


def holed() -> tuple[Tensor, Tensor]:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:4, 1:6] = 1
    return pictures(1, 8), mask


def painted(**settings: Any) -> tuple[dip_watermark.DIPWatermark, Painted]:
    method, network = dip_watermark.METHOD(TINY | settings), Painted()
    method.network = lambda: network  # type: ignore[method-assign]
    return method, network


def test_published_recipe() -> None:
    settings = dip_watermark.METHOD({}).settings
    assert {key: settings[key] for key in ("input", "arch", "upsample", "mse", "l1", "perceptual", "steps", "lr",
                                           "jitter", "average", "noise_channels", "extra_levels", "cases")} == {
        "input": "image_mask", "arch": "unet_deconv", "upsample": "deconv", "mse": 1.0, "l1": 1.0, "perceptual": 0.01,
        "steps": 3000, "lr": 0.01, "jitter": 0.03, "average": 0.99, "noise_channels": 32, "extra_levels": 1,
        "cases": ["watermark", "text", "scratches"]}
    assert dip_watermark.TAPS == ("relu1_2", "relu2_2", "relu3_3")


def test_a_run_may_be_shown_on_some_cases_only() -> None:
    method = dip_watermark.METHOD({"cases": ["watermark"]})
    assert [method.unsupported(name) for name in ("watermark", "text", "centre")] == [
        None, "left out by the run's setting cases", "made for watermarks and other thin damage"]
    with pytest.raises(UserError, match="'centre' is none of watermark, text, scratches"):
        dip_watermark.METHOD({"cases": ["centre"]})


@pytest.mark.parametrize(("kind", "channels"), [("image_mask", 4), ("noise", 32), ("both", 36)])
def test_what_the_network_is_shown(kind: str, channels: int) -> None:
    image, mask = holed()
    method = dip_watermark.METHOD({"input": kind})
    given = method.network_input(image, mask, 5)
    assert given.shape == (1, channels, 8, 8)
    if kind != "noise":
        assert torch.equal(given[:, :3], torch.where(mask > 0, torch.zeros(()), image))
        assert torch.equal(given[:, 3:4], mask)
    if kind != "image_mask":
        noise = given[:, -32:]
        assert 0 <= noise.min() < 0.001 and 0.099 < noise.max() < 0.1 and abs(noise.mean() - 0.05) < 0.002
        assert torch.equal(given, method.network_input(image, mask, 5))
        assert not torch.equal(given, method.network_input(image, mask, 6))


def test_loss_by_hand() -> None:
    image, mask = holed()
    output, features = pictures(1, 8, 1).requires_grad_(), Maps()
    method = dip_watermark.METHOD({"mse": 0.5, "l1": 2.0, "perceptual": 0.25})
    known = 1 - mask
    wanted = {"relu1_2": image * known, "relu2_2": 2 * image * known, "relu3_3": 3 * image * known}
    apart = ((output - image) * known).detach().double()
    plain = 0.5 * apart.square().mean().item() + 2 * apart.abs().mean().item()
    assert method.loss(output, image, mask, {}, None).item() == pytest.approx(plain)
    assert not features.seen
    whole = method.loss(output, image, mask, wanted, features)
    assert whole.item() == pytest.approx(plain + 0.25 * 6 * apart.abs().mean().item(), rel=1e-5)
    assert features.seen == [(dip_watermark.TAPS, True)]
    gradient, = torch.autograd.grad(whole, output)
    hole = mask.expand_as(gradient) > 0
    assert not gradient[hole].any() and gradient[~hole].abs().min() > 0


def test_without_l1_and_features_the_noise_fed_hourglass_is_the_plain_prior() -> None:
    """Five levels, interpolation, noise, squared error on what is known; 2,217,831 parameters (published code)."""
    method = dip_watermark.METHOD({"arch": "hourglass_deconv", "input": "noise", "widths": [128] * 5, "l1": 0.0,
                                   "upsample": "bilinear", "perceptual": 0.0})
    image, mask = holed()
    output = pictures(1, 8, 1)
    wanted = ((output - image) * (1 - mask)).square().mean()
    torch.testing.assert_close(method.loss(output, image, mask, {}, None), wanted)
    with torch.device("meta"):
        network = method.network()
    assert sum(p.numel() for p in network.parameters()) == 2_217_831
    assert not any(isinstance(part, nn.ConvTranspose2d) for part in network.modules())


def test_restoring_fits_the_known_pixels_and_gives_the_average_of_the_steps() -> None:
    image, mask = holed()
    features = Maps()
    method, network = painted(steps=4, average=0.5, lr=0.01, jitter=0.0, perceptual=0.01)
    wild = torch.where(mask > 0, torch.tensor(0.9), image)
    made = method.restore(Model(slots={"features": features}), {"image": wild, "mask": mask}, 3)["image"]
    assert len(network.gave) == 4 and torch.equal(network.gave[0], torch.full((1, 3, 8, 8), 0.2))
    assert all(torch.equal(shown, method.network_input(wild, mask, 3)) for shown in network.shown)
    weights = torch.tensor([1.0, 2, 4, 8]) / 15
    torch.testing.assert_close(made, sum(w * each for w, each in zip(weights, network.gave, strict=True)))
    moved = [float(each[0, 0, 0, 0]) for each in network.gave]
    assert moved[1] - moved[0] == pytest.approx(0.01, rel=1e-3)  # Adam's first step is its rate, towards the picture
    assert len(features.seen) == 5  # the picture's own maps once, then one pass a step
    bare, network = painted(steps=2, perceptual=0.0)
    features = Maps()
    bare.restore(Model(slots={"features": features}), {"image": image, "mask": mask}, 3)
    assert not features.seen and len(network.gave) == 2


def test_jitter_is_normal_noise_on_the_input_anew_each_step() -> None:
    image, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    method, network = painted(steps=3, jitter=0.03, perceptual=0.0)
    method.restore(Model(), {"image": image, "mask": mask}, 3)
    noise = [shown - method.network_input(image, mask, 3) for shown in network.shown]
    for each in noise:
        assert each.std().item() == pytest.approx(0.03, rel=0.03) and abs(each.mean().item()) < 0.001
    assert not torch.equal(noise[0], noise[1])
    again, other = painted(steps=3, jitter=0.03, perceptual=0.0)
    again.restore(Model(), {"image": image, "mask": mask}, 3)
    assert all(torch.equal(a, b) for a, b in zip(network.shown, other.shown, strict=True))
    third, different = painted(steps=3, jitter=0.03, perceptual=0.0)
    third.restore(Model(), {"image": image, "mask": mask}, 4)
    assert not torch.equal(network.shown[0], different.shown[0])  # the seed's own


def test_the_first_weights_follow_the_seed_alone() -> None:
    image, mask = holed()
    method = dip_watermark.METHOD({"widths": [4, 4], "extra_levels": 0, "steps": 1, "jitter": 0.0, "average": 0.0,
                                   "perceptual": 0.0})
    first, second, again = (method.restore(Model(), {"image": image, "mask": mask}, seed)["image"]
                            for seed in (3, 4, 3))
    assert torch.equal(first, again) and not torch.allclose(first, second, atol=1e-3)


def test_the_perceptual_target_is_the_known_part_of_the_picture() -> None:
    """A picture painted in the target's own colour costs nothing, whatever lies under the mask."""
    mask = holed()[1]
    image = torch.where(mask > 0, torch.tensor(0.9), torch.tensor(0.2)).expand(1, 3, 8, 8)
    method, network = painted(steps=2, jitter=0.0, perceptual=1.0)
    made = method.restore(Model(slots={"features": Maps()}), {"image": image, "mask": mask}, 3)["image"]
    torch.testing.assert_close(made, torch.full((1, 3, 8, 8), 0.2), atol=1e-6, rtol=0)
    assert torch.equal(network.gave[1], network.gave[0])
