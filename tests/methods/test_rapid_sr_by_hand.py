"""rapid_sr: its loss, network, first weights, ensemble, optimiser and schedule against values by hand."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr, ycbcr2rgb
from torch import nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.super_resolution.rapid_sr import RapidSR, RapidSRNet, SummedConv
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

LR, HR = draw(2, 3, 5, 6), draw(2, 3, 10, 12, seed=1)


def luma(rgb: torch.Tensor) -> np.ndarray:
    return rgb2ycbcr(rgb.double().numpy(), channel_axis=1)[:, :1] / 255


def repeated(y: torch.Tensor, scale: int) -> torch.Tensor:
    return y.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def test_the_loss_by_hand():
    """Mean absolute error of the enlarged Y plus the network's detail from the small Y."""
    network = Calls(lambda y, scale: 0.2 * repeated(y, scale) - 0.03)
    inputs = {"lr": LR, "scale": torch.tensor([2, 2])}
    [player] = RapidSR({}).phases()[0].players
    terms = player.loss(step_with(inputs, {"hr": HR}, {"net": network}))
    small = luma(LR)
    enlarged = np.stack([imresize(y, 2.0) for y in small.transpose(0, 2, 3, 1)]).transpose(0, 3, 1, 2)
    detail = 0.2 * np.kron(small, np.ones((2, 2))) - 0.03
    np.testing.assert_allclose(network.calls[0][0].numpy(), small, atol=1e-5)
    assert network.calls[0][1] == 2 and list(terms) == ["l1"]
    assert terms["l1"].item() == pytest.approx(np.abs(enlarged + detail - luma(HR)).mean(), rel=1e-4)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_network_by_hand(scale):
    """Less 0.45, head and ReLU, blocks with ReLU, the first features added, the tail of the scale, a shuffle."""
    torch.manual_seed(0)
    net, y = RapidSRNet(2, 8, [2, 3]), draw(1, 1, 6, 5)
    first = functional.conv2d(y - 0.45, net.head.weight, net.head.bias, padding=1).clamp(min=0)
    x = first
    for block in net.body:
        x = functional.conv2d(x, block.kernel(), block.bias, padding=1).clamp(min=0)
    tail = net.tails[f"x{scale}"]
    detail = functional.conv2d(x + first, tail.weight, tail.bias, padding=1)
    expected = detail.view(1, scale, scale, 6, 5).permute(0, 3, 1, 4, 2).reshape(1, 1, 6 * scale, 5 * scale)
    torch.testing.assert_close(net(y, scale), expected)


def test_first_weights():
    """A block: 0.3 of He's deviation, 0.5 / sqrt(width) in the 1 x 1 kernel; tails of 0.003; biases 0."""
    torch.manual_seed(0)
    net = RapidSRNet(1, 64, [2])
    block = net.body[0]
    found = [block.square.std().item(), block.point.std().item(), net.head.weight.std().item(),
             net.tails["x2"].weight.std().item()]
    assert found == pytest.approx([0.3 * np.sqrt(2 / 576), 0.5 / 8, np.sqrt(2 / 9), 0.003], rel=0.15)
    assert all((bias == 0).all() for bias in (block.bias, net.head.bias, net.tails["x2"].bias))
    kernel = SummedConv(3).kernel()
    assert kernel.shape == (3, 3, 3, 3)


def test_restore_adds_the_detail_to_y_and_keeps_the_enlarged_chroma():
    inputs = {"lr": 0.4 + 0.2 * LR[:1], "scale": torch.tensor([2])}
    network = Calls(lambda y, scale: repeated(y, scale) / 4)
    sr = RapidSR({"ensemble": 1}).restore(Model({"net": network}), inputs, 1)["sr"]
    small = rgb2ycbcr(inputs["lr"][0].double().permute(1, 2, 0).numpy())
    expected = imresize(small, 2.0)
    expected[..., 0] += np.kron(small[..., 0], np.ones((2, 2))) / 4
    np.testing.assert_allclose(sr[0].permute(1, 2, 0).numpy(), np.clip(ycbcr2rgb(expected), 0, 1), atol=1e-4)
    dark = RapidSR({}).restore(Model({"net": lambda y, scale: 0 * repeated(y, scale) - 2}), inputs, 1)["sr"]
    assert dark.min() == 0


def test_the_ensemble_is_the_mean_over_eight_symmetries():
    """A network that knows up from down and left from right: each result is turned back before the mean."""
    def lopsided(y, scale):
        rows, columns = (torch.arange(scale * side).float() for side in y.shape[2:])
        return repeated(y, scale) * (1 + rows[:, None] + 7 * columns) / 100

    inputs = {"lr": draw(1, 3, 4, 3), "scale": torch.tensor([2])}
    method, y = RapidSR({"ensemble": 8}), luma(inputs["lr"])[0, 0]
    network = Calls(lopsided)
    found = method._detail(network, torch.from_numpy(y)[None, None].float(), 2)[0, 0].numpy()
    total = np.zeros((8, 6))
    for turns in range(4):
        for flip in (False, True):
            turned = np.rot90(y, turns)
            turned = turned[:, ::-1] if flip else turned
            rows, columns = np.arange(2 * turned.shape[0]), np.arange(2 * turned.shape[1])
            made = np.kron(turned, np.ones((2, 2))) * (1 + rows[:, None] + 7 * columns) / 100
            total += np.rot90(made[:, ::-1] if flip else made, -turns)
    np.testing.assert_allclose(found, total / 8, rtol=1e-4)
    assert len(network.calls) == 8 and found.shape == (8, 6)


@pytest.mark.parametrize(("width", "scales"), [(16, [2, 3, 4]), (9, [2, 3]), (4, [2])])
def test_muon_takes_the_blocks_kernels_by_name_at_any_width(width, scales):
    """A tail of scale s has s * s outputs: at width s * s its kernel looks like a block's."""
    method = RapidSR({"width": width, "blocks": 2, "scales": scales, "lr": 0.03, "adam_lr": 0.004})
    networks = method.build()
    player = method.phases()[0].players[0]
    muon, adam = optimiser_of(player, networks).param_groups
    names = {id(parameter): name for name, parameter in networks["net"].named_parameters()}
    assert sorted(names[id(parameter)] for parameter in muon["params"]) == [
        f"body.{block}.{kernel}" for block in (0, 1) for kernel in ("point", "square")]
    assert sorted(names[id(p)] for p in adam["params"]) == sorted(
        [f"body.{block}.bias" for block in (0, 1)] + [f"{layer}.{part}" for part in ("weight", "bias")
                                                      for layer in ("head", *(f"tails.x{s}" for s in scales))])
    assert (muon["lr"], adam["lr"], muon["orthogonal"], adam["orthogonal"]) == (0.03, 0.004, True, False)
    assert player.networks == ["net"]


@pytest.mark.parametrize("warm_up", [0, 1, 4])
def test_the_schedule_rises_and_falls(warm_up):
    schedule = RapidSR({"warm_up": warm_up}).phases()[0].players[0].schedule
    expected = [min(1, (step + 1) / warm_up if warm_up else 1) * (1 + np.cos(np.pi * step / 20)) / 2
                for step in range(20)]
    assert [schedule(step, 20) for step in range(20)] == pytest.approx(expected)


def test_the_network_is_kept_for_restoring_by_its_only_name():
    assert list(RapidSR({"width": 4, "blocks": 1}).build()) == ["net"]
    assert isinstance(RapidSR({"width": 4, "blocks": 3}).build()["net"].body, nn.ModuleList)
    assert [phase.steps for phase in RapidSR({"steps": 7}).phases()] == [7]
