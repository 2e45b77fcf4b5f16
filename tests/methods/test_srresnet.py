"""srresnet: its published size, its layers one by one, its loss, its starts and what Muon moves."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.super_resolution.srresnet import SRResNet
from restore_ml.nn.blocks import sub_pixel
from restore_ml.nn.muon import Muon
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.enlarging import fixed_batch, method, paper, parameters, step_of

SMALL = {"blocks": 2, "width": 6, "scales": [2, 3]}
LR, TRUTH = {"lr": draw(2, 3, 5, 4), "scale": torch.tensor([3, 3])}, {"hr": draw(2, 3, 15, 12, seed=1)}


def repeated(lr: torch.Tensor, scale: int) -> torch.Tensor:
    return lr.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def test_the_published_size_and_recipe():
    run = paper("srresnet")
    with torch.device("meta"):
        assert parameters(run.build()["net"]) == 1_546_771
        assert parameters(SRResNet([4], bias=True)) == 1_549_462
    [phase] = run.phases()
    [player] = phase.players
    optimiser = optimiser_of(player, {"net": SRResNet([2], 1, 4)})
    assert type(optimiser) is torch.optim.Adam and optimiser.defaults["lr"] == 1e-4
    assert (phase.steps, run.settings["batch"], run.settings["patch"], run.settings["loss"]) == (10**6, 16, 96, "mse")
    assert [player.schedule(step, 10**6) for step in (0, 10**6 - 1)] == [1, 1] and player.networks == ["net"]


def test_the_network_layer_by_layer():
    torch.manual_seed(1)
    net, x = SRResNet(**SMALL).eval(), draw(1, 3, 5, 6)
    assert [layer.bias for layer in net.modules() if isinstance(layer, nn.Conv2d)] == [None] * (1 + 5 + 2 * 2)
    end = net.ends["x3"]
    with torch.no_grad():
        first = functional.prelu(functional.conv2d(x, net.head[0].weight, padding=4), net.head[1].weight)
        y = first
        for block in net.body[:2]:
            y = y + block.body(y)
        y = first + net.body[3](functional.conv2d(y, net.body[2].weight, padding=1))
        y = functional.pixel_shuffle(functional.conv2d(y, end[0].weight, padding=1), 3)
        y = functional.conv2d(functional.prelu(y, end[2].weight), end[3].weight, padding=4)
        torch.testing.assert_close(net(x, 3), y)
        assert net(x, 2).shape == (1, 3, 10, 12)


@pytest.mark.parametrize(("scale", "channels"), [(2, [24]), (3, [54]), (4, [24, 24]), (8, [24, 24, 24])])
def test_sub_pixel_layers(scale, channels):
    layers = sub_pixel(scale, 6)
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == channels
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.PixelShuffle, nn.PReLU] * len(channels)
    assert layers(draw(1, 6, 3, 2)).shape == (1, 6, 3 * scale, 2 * scale)


def test_batches_do_not_mix():
    torch.manual_seed(0)
    net, pair = SRResNet(**SMALL).eval(), draw(2, 3, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(net(pair, 2)[:1], net(pair[:1], 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", ["mse", "l1"])
@pytest.mark.parametrize("residual", ["none", "bicubic"])
def test_the_loss_by_hand(loss, residual):
    """Against the truth in RGB; over bicubic the network sees the colours less 0.45."""
    net = Calls(lambda lr, scale: repeated(2 * lr, scale))
    run = method("srresnet", loss=loss, residual=residual, scales=[3])
    terms = run.phases()[0].players[0].loss(step_with(LR, TRUTH, {"net": net}))
    seen = LR["lr"].double() - (0.45 if residual == "bicubic" else 0)
    made = repeated(2 * seen, 3) + (imresize(LR["lr"].double(), 3.0) if residual == "bicubic" else 0)
    error = (made - TRUTH["hr"]).numpy()
    assert list(terms) == [loss]
    assert terms[loss].item() == pytest.approx(np.square(error).mean() if loss == "mse" else np.abs(error).mean(),
                                               rel=1e-5)
    torch.testing.assert_close(net.calls[0][0].double(), seen, atol=1e-6, rtol=0)


def test_restore_clips():
    model = Model({"net": Calls(lambda lr, scale: repeated(3 * lr - 1, scale))})
    sr = paper("srresnet", scales=[3]).restore(model, LR, 1)["sr"]
    torch.testing.assert_close(sr, repeated(3 * LR["lr"] - 1, 3).clip(0, 1))


def test_the_start_at_the_bicubic_picture():
    """The trunk adds nothing, the last convolutions are drawn from N(0, last_std)."""
    run = method("srresnet", **{**SMALL, "width": 16}, residual="bicubic", last_std=0.01)
    torch.manual_seed(0)
    net = run.build()["net"].train()
    x = draw(2, 3, 8, 8)
    first = net.head(x)
    assert torch.equal(net.trunk(first), first)
    for end in net.ends.values():
        assert end[-1].weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert end[0].weight.std().item() > 0.03
    fresh = SRResNet(**SMALL)
    assert fresh.body[-1].weight.min() == 1 == fresh.body[0].body[-1].weight.min()
    small = method("srresnet", **SMALL, residual="bicubic", last_std=1e-5)
    sr = small.restore(Model(small.build()), {"lr": x, "scale": torch.tensor([2])}, 1)["sr"]
    torch.testing.assert_close(sr, imresize(x, 2.0).clip(0, 1), atol=1e-3, rtol=0)


def test_muon_moves_trunk_and_sub_pixel_layers_and_adam_the_rest():
    run = method("srresnet", **SMALL, optimiser="muon", lr=3e-3, muon_lr=0.04, schedule="cosine", warm_up=10)
    networks, [player] = run.build(), run.phases()[0].players
    net, optimiser = networks["net"], optimiser_of(player, networks)
    assert isinstance(optimiser, Muon)
    inner, others = optimiser.param_groups
    kernels = [block.body[place].weight for block in net.body[:2] for place in (0, 3)]
    kernels += [net.body[2].weight, *(end[0].weight for end in net.ends.values())]
    assert {id(p) for p in inner["params"]} == {id(p) for p in kernels}
    assert len(kernels) + len(others["params"]) == len(list(net.parameters()))
    assert (inner["lr"], others["lr"]) == (0.04, 3e-3)
    assert [player.schedule(step, 100) for step in (0, 50, 100)] == pytest.approx([0.1, 0.5, 0], abs=1e-3)


def test_only_its_own_scales():
    run = paper("srresnet", scales=[2, 3])
    assert run.unsupported("x3_blur") is None and run.unsupported("x4") == "not trained for x4"
    for scales in ([], [5], [2, 6]):
        with pytest.raises(UserError, match=r"scales of srresnet is .*; it must be a list of 2, 3, 4 and 8"):
            paper("srresnet", scales=scales)


@pytest.mark.parametrize("scale", [2, 3])
def test_thirty_adam_steps_learn_one_batch(scale):
    torch.manual_seed(0)
    run = method("srresnet", **SMALL)
    networks, batch, [player] = run.build(), fixed_batch(scale, 24), run.phases()[0].players
    optimiser, losses = torch.optim.Adam(networks["net"].parameters(), 5e-3), []
    for step in range(31):
        loss = player.loss(step_of(batch, networks, step))["mse"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
