"""RapidSR: its branches, its starts, its symmetries, and that a few steps beat bicubic."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Model
from restore_ml.methods.super_resolution.rapid_sr import RapidSR, RapidSRNet, SummedConv
from restore_ml.nn.muon import Muon

SMALL = {"blocks": 2, "width": 8, "scales": [2, 3]}


def picture(side: int = 24, seed: int = 1) -> torch.Tensor:
    """A smooth picture with an edge, N x 3 x H x W."""
    draws = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = functional.interpolate(draws, (side, side), mode="bilinear")
    smooth[..., side // 3:side // 2, :] *= 0.5
    return smooth


def test_a_block_is_its_three_branches():
    torch.manual_seed(1)
    block, x = SummedConv(6), torch.randn(2, 6, 9, 7)
    branches = (functional.conv2d(x, block.square, padding=1) + functional.conv2d(x, block.point) + x
                + block.bias[:, None, None])
    torch.testing.assert_close(block(x), branches, atol=1e-5, rtol=1e-5)


def test_parameters_are_those_of_the_branches():
    """head 640, twelve blocks of 64 * 64 * 10 + 64, tails of 64 * s * s * 9 + s * s for s = 2, 3, 4."""
    net = RapidSRNet(12, 64, [2, 3, 4])
    assert sum(parameter.numel() for parameter in net.parameters()) == 640 + 12 * 41_024 + 29 * 577


@pytest.mark.parametrize(("scale", "ensemble"), [(2, 1), (3, 1), (2, 8)])
def test_any_size_gives_scale_times_the_size_near_bicubic(scale, ensemble):
    torch.manual_seed(1)
    method, lr = RapidSR({**SMALL, "ensemble": ensemble}), torch.rand(1, 3, 17, 12)
    model = Model(method.build())
    with torch.no_grad():
        sr = method.restore(model, {"lr": lr, "scale": torch.tensor([scale])}, 1)["sr"]
    assert sr.shape == (1, 3, 17 * scale, 12 * scale)
    assert (sr - imresize(lr, float(scale)).clip(0, 1)).abs().mean() < 0.02


def test_the_ensemble_follows_flips_and_turns():
    torch.manual_seed(1)
    method, lr = RapidSR({**SMALL, "ensemble": 8}), picture()
    model = Model(method.build())

    def restored(given):
        with torch.no_grad():
            return method.restore(model, {"lr": given, "scale": torch.tensor([2])}, 1)["sr"]

    torch.testing.assert_close(restored(lr.rot90(1, (2, 3))), restored(lr).rot90(1, (2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(restored(lr.flip(3)), restored(lr).flip(3), atol=1e-4, rtol=0)


def test_muon_moves_the_blocks_and_adam_the_rest():
    method = RapidSR({**SMALL, "width": 16, "scales": [2, 4]})  # the tail of x4 has as many outputs as inputs
    net = method.build()["net"]
    optimiser = method.phases()[0].players[0].optimiser([(f"net.{name}", p) for name, p in net.named_parameters()])
    assert isinstance(optimiser, Muon)
    inner, others = (group["params"] for group in optimiser.param_groups)
    assert {id(p) for p in inner} == {id(p) for block in net.body for p in (block.square, block.point)}
    assert len(inner) + len(others) == len(list(net.parameters()))


def test_only_its_own_scales_and_ensembles():
    method = RapidSR(SMALL)
    assert method.unsupported("x3_blur") is None
    assert method.unsupported("x4") == "not trained for x4"
    with pytest.raises(UserError, match="ensemble of rapid_sr is 4; it must be 1 or 8"):
        RapidSR({"ensemble": 4})


def test_the_rate_rises_and_falls():
    schedule = RapidSR({"warm_up": 10}).phases()[0].players[0].schedule
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == rates[9] and 0 < rates[-1] < 0.001
    assert RapidSR({"warm_up": 0}).phases()[0].players[0].schedule(0, 100) == 1


def test_eighty_steps_are_better_than_bicubic():
    torch.manual_seed(1)
    method = registry.method_class("super_resolution", "rapid_sr")({**SMALL, "scales": [2], "warm_up": 5})
    networks = method.build()
    player = method.phases()[0].players[0]
    optimiser = player.optimiser([(f"net.{name}", p) for name, p in networks["net"].named_parameters()])
    hr = torch.cat([picture(48, seed) for seed in range(4)])
    lr = imresize(hr, 0.5)
    bicubic = float((imresize(lr, 2.0) - hr).mean(1).abs().mean()) * 219 / 255
    for step in range(80):
        context = Context({"lr": lr, "scale": torch.full((4,), 2)}, {"hr": hr}, ["a"] * 4, networks, step=step,
                          steps=80, generator=torch.Generator())
        for group, rate in zip(optimiser.param_groups, (0.02, 0.002), strict=True):
            group["lr"] = rate * player.schedule(step, 80)
        loss = player.loss(context)["l1"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.8 * bicubic
