"""vdsr: its losses, first weights, optimisers and what restoring does around the network, by hand."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr, ycbcr2rgb
from torch import nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.super_resolution import vdsr
from restore_ml.methods.super_resolution.vdsr import VDSRNet
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.enlarging import method, paper

LR, HR = draw(2, 3, 5, 6), draw(2, 3, 15, 18, seed=1)
INPUTS = {"lr": LR, "scale": torch.tensor([3, 3])}


def luma(rgb: torch.Tensor) -> np.ndarray:
    return rgb2ycbcr(rgb.double().numpy(), channel_axis=1)[:, :1] / 255


@pytest.mark.parametrize("loss", ["sse", "mse", "l1"])
def test_the_losses_by_hand(loss):
    """The network sees the enlarged Y of 0 ... 1, compared with the truth's: half the sum over a patch, or means."""
    network = Calls(lambda y: 0.9 * y + 0.05)
    [player] = method("vdsr", loss=loss).phases()[0].players
    terms = player.loss(step_with(INPUTS, {"hr": HR}, {"net": network}))
    enlarged = np.stack([imresize(y, 3.0) for y in luma(LR).transpose(0, 2, 3, 1)]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(network.calls[0][0].numpy(), enlarged, atol=1e-5)
    error = 0.9 * enlarged + 0.05 - luma(HR)
    expected = {"sse": np.square(error).sum() / 2 / 2, "mse": np.square(error).mean(), "l1": np.abs(error).mean()}
    assert list(terms) == [loss] and terms[loss].item() == pytest.approx(expected[loss], rel=1e-4)


def test_the_network_is_its_convolutions_with_relu_between_and_the_input_added():
    torch.manual_seed(0)
    net, x = VDSRNet(4, 5, channels=2), draw(1, 2, 9, 8)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    y = x
    for layer in layers[:-1]:
        y = functional.conv2d(y, layer.weight, layer.bias, padding=1).clamp(min=0)
    expected = x + functional.conv2d(y, layers[-1].weight, layers[-1].bias, padding=1)
    torch.testing.assert_close(net(x), expected)
    assert len(layers) == 4 and [layer.out_channels for layer in layers] == [5, 5, 5, 2]


def test_first_weights():
    """He's deviation sqrt(2 / fan-in) everywhere, but `last_std` in the last layer where it is set; biases 0."""
    torch.manual_seed(0)
    for last_std in (0.0, 1e-3):
        net = VDSRNet(4, 64, last_std=last_std)
        layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        expected = [np.sqrt(2 / 9), *[np.sqrt(2 / 9 / 64)] * 2, last_std or np.sqrt(2 / 9 / 64)]
        assert [layer.weight.std().item() for layer in layers] == pytest.approx(expected, rel=0.15)
        assert all((layer.bias == 0).all() for layer in layers)


def test_restore_replaces_y_and_keeps_the_enlarged_chroma():
    """Y of the network, Cb and Cr of the bicubic picture, back to RGB: with Y = 0.5 everywhere."""
    network = Calls(lambda y: torch.full_like(y, 0.5))
    inputs = {"lr": 0.4 + 0.2 * LR[:1], "scale": torch.tensor([3])}
    sr = method("vdsr").restore(Model({"net": network}), inputs, 1)["sr"]
    small = rgb2ycbcr(inputs["lr"][0].double().permute(1, 2, 0).numpy())
    enlarged = imresize(small, 3.0)
    np.testing.assert_allclose(network.calls[0][0][0, 0].numpy(), enlarged[..., 0] / 255, atol=1e-5)
    enlarged[..., 0] = 127.5
    np.testing.assert_allclose(sr[0].permute(1, 2, 0).numpy(), ycbcr2rgb(enlarged), atol=1e-4)
    bright = method("vdsr").restore(Model({"net": lambda y: 0 * y + 2.0}), inputs, 1)["sr"]
    assert bright.max() == 1


def test_a_large_picture_is_restored_in_pieces_that_reach_as_far_as_the_network(monkeypatch):
    torch.manual_seed(0)
    run, inputs = method("vdsr", layers=5, last_std=0.01), {"lr": draw(1, 3, 30, 30), "scale": torch.tensor([2])}
    net = run.build()["net"]
    seen: list[int] = []
    model = Model({"net": Calls(lambda y: (seen.append(y.shape[-1]), net(y))[1])})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()  # what lies at the rim of the reach is felt
        y = torch.full((1, 1, 20, 20), 0.5)
        net.last.weight.mul_(-0.3 / (net(y) - y).max())
        whole = run.restore(model, inputs, 1)["sr"]
        monkeypatch.setattr(vdsr, "PIECE", 32)
        torch.testing.assert_close(run.restore(model, inputs, 1)["sr"], whole)
    assert seen[0] == 60 and max(seen[1:]) <= 32


def test_optimisers():
    networks = method("vdsr").build()
    for settings, kind, expected in (
            ({"lr": 0.2, "momentum": 0.8, "weight_decay": 0.01, "optimiser": "sgd"}, torch.optim.SGD,
             {"lr": 0.2, "momentum": 0.8, "weight_decay": 0.01, "nesterov": False}),
            ({"lr": 0.02, "weight_decay": 0.03, "optimiser": "adam"}, torch.optim.Adam,
             {"lr": 0.02, "weight_decay": 0.03})):
        optimiser = optimiser_of(method("vdsr", **settings).phases()[0].players[0], networks)
        assert type(optimiser) is kind and {key: optimiser.defaults[key] for key in expected} == expected


def test_clipping_and_schedules():
    """theta / rate, or a norm, or none; by ten after each quarter, or to 0 along a line or a cosine."""
    def player(**settings):
        return method("vdsr", **settings).phases()[0].players[0]

    assert player(clip=0.02, clip_by="value").clip_value(0.1) == pytest.approx(0.2)
    assert (player(clip=0.4, clip_by="norm").clip_norm, player(clip=0.4, clip_by="norm").clip_value) == (0.4, None)
    assert (player(clip=0.0).clip_norm, player(clip=0.0).clip_value) == (None, None)
    for name, expected in (("step", [1, .1, .01, .001]), ("linear", [1, .75, .5, .25]),
                           ("cosine", [1, (1 + .5 ** .5) / 2, .5, (1 - .5 ** .5) / 2])):
        schedule = player(schedule=name).schedule
        assert [schedule(step, 8) for step in (0, 2, 4, 6)] == pytest.approx(expected)
    assert [paper("vdsr").settings[key] for key in ("layers", "width", "lr", "clip", "loss", "schedule")] == [
        20, 64, 0.1, 1e-4, "sse", "step"]
