"""The mixture over the colours' code: its size, its loss and its draws against values by hand, its features."""

import math

import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.methods.colorization.colorful_colorization import ColorfulNet
from restore_ml.nn.colour_mixture import Mixture, MixtureNet, conv7_3, drawn_from, likely_mean, mixture_loss
from tests.methods.by_hand import draw

MEANS = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], [[5.0, 5.0], [0.0, 1.0], [2.0, 2.0]]])
LOGITS = torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.1, 0.3]]).log()


def test_the_network_of_the_paper() -> None:
    with torch.device("meta"):
        network = MixtureNet()
        mixture = network(torch.empty(2, 512, 28, 28))
    assert sum(one.numel() for one in network.parameters()) == 117_851_336
    assert mixture.means.shape == (2, 8, 64) and mixture.logits.shape == (2, 8)
    strides = [layer.stride[0] for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    assert strides == [1, 1, 1, 2, 1]
    assert [type(layer) for layer in network.convolutions[:3]] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


def test_the_network_drops_a_quarter_before_and_behind_the_hidden_layer() -> None:
    network = MixtureNet(2, 4, (3, 3, 3, 3, 2), 50, 2, 3)
    network.convolutions[-1].bias.data.fill_(1.0)
    network.convolutions[-1].weight.data.fill_(0.0)
    nn.init.constant_(network.hidden.weight, 0.05)
    nn.init.constant_(network.hidden.bias, 0.0)
    nn.init.constant_(network.head.weight, 1.0)
    nn.init.constant_(network.head.bias, 0.0)
    features = draw(400, 2, 4, 4)
    whole = network.eval()(features)
    assert whole.means[0, 0, 0].item() == pytest.approx(50 * math.tanh(0.05 * 8), rel=1e-5)
    network.train()
    torch.manual_seed(0)
    shares = network(features).logits[:, 0] / whole.logits[:, 0]
    # the variance behind both: of the hidden numbers 1/3 (all alike), of each of 50 outputs another 1/3
    assert 0.95 < shares.mean() < 1.03 and 0.1 < shares.std() < 0.3


def test_the_loss_is_the_nearest_component_s_alone() -> None:
    z = torch.tensor([[0.9, 0.2], [0.0, 0.0]])
    means, logits = MEANS.clone().requires_grad_(True), LOGITS.clone().requires_grad_(True)
    loss = mixture_loss(Mixture(means, logits), z)
    first = (0.1 ** 2 + 0.2 ** 2) / 0.2 - math.log(0.7)
    second = 1 / 0.2 - math.log(0.1)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)
    loss.backward()
    assert means.grad is not None and logits.grad is not None
    assert (means.grad.abs().sum(2) > 0).tolist() == [[False, True, False], [False, True, False]]
    torch.testing.assert_close(means.grad[0, 1], (MEANS[0, 1] - z[0]) / 0.1 / 2)
    torch.testing.assert_close(logits.grad[0], (torch.tensor([0.1, 0.7, 0.2]) - torch.tensor([0.0, 1.0, 0.0])) / 2)
    nearer = MEANS.clone()
    nearer[0, 1] = (MEANS[0, 1] + z[0]) / 2
    assert mixture_loss(Mixture(nearer, LOGITS), z) < loss


def test_the_likeliest_means_come_first() -> None:
    mixture = Mixture(MEANS, LOGITS + 3)
    assert [likely_mean(mixture, number).tolist() for number in range(3)] == [
        [[1, 0], [5, 5]], [[0, 3], [2, 2]], [[0, 0], [0, 1]]]
    equal = Mixture(MEANS, torch.zeros(2, 3))
    assert torch.equal(likely_mean(equal, 1), MEANS[:, 1])


def test_draws_follow_the_weights_and_the_variance_of_a_tenth() -> None:
    far = MEANS * 100
    drawn = torch.stack([drawn_from(Mixture(far, LOGITS), seed) for seed in range(600)])
    shifts = drawn[:, :, None] - far
    place = shifts.square().sum(3).argmin(2)
    shares = torch.stack([(place == number).float().mean(0) for number in range(3)], 1)
    assert (shares - LOGITS.exp()).abs().max() < 0.06
    noise = shifts.gather(2, place[:, :, None, None].expand(-1, -1, 1, 2))[:, :, 0]
    assert noise.var().item() == pytest.approx(0.1, rel=0.1) and noise.mean().abs() < 0.03
    assert torch.equal(drawn[3], drawn_from(Mixture(far, LOGITS), 3))
    alone = drawn_from(Mixture(far[1:], LOGITS[1:]), 3)
    assert torch.equal(alone[0], drawn[3, 1])


def test_the_features_are_those_behind_the_last_convolution_of_conv7() -> None:
    torch.manual_seed(0)
    network, lightness = ColorfulNet(2).eval(), 100 * draw(1, 1, 16, 16)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.1)
    x, convolutions = (lightness - 50) / 100, 0
    for layer in network.trunk:
        x = layer(x)
        convolutions += isinstance(layer, nn.Conv2d)
        if convolutions == 19 and isinstance(layer, nn.ReLU):  # 2 + 2 + 3 + 3 + 3 + 3 + 3
            break
    features = conv7_3(network.trunk, lightness, 16)
    assert features.shape == (1, 16, 2, 2) and not features.requires_grad
    torch.testing.assert_close(features, x)
    with pytest.raises(UserError, match="gives 16 features and feature_channels asks for 512"):
        conv7_3(network.trunk, lightness, 512)
