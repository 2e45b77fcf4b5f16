"""FSRNet layer by layer."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.nn.face_priors import FSRNet
from tests.methods.by_hand import draw


@pytest.mark.parametrize("residual", [False, True])
def test_the_network_layer_by_layer(residual):
    torch.manual_seed(0)
    net, face = FSRNet(4, 1, 2, 6, 1, 2, residual=residual).eval(), draw(2, 3, 32, 24)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    base = face if residual else 0

    def sized(x, width, halved):
        assert x.shape == (2, width, *(length // (2 if halved else 1) for length in (32, 24)))
        return x

    def block(x, module):
        first, norm, second, last = module.body[0], module.body[1], module.body[3], module.body[4]
        return x + last(functional.conv2d(functional.relu(norm(functional.conv2d(
            x, first.weight, first.bias, padding=1))), second.weight, second.bias, padding=1))

    def layer(x, modules, stride=1, padding=1):
        return functional.relu(modules[1](functional.conv2d(x, modules[0].weight, modules[0].bias, stride, padding)))

    with torch.no_grad():
        x = block(sized(layer(face, net.coarse[:2]), 4, False), net.coarse[3])
        coarse = base + functional.conv2d(x, net.coarse[4].weight, net.coarse[4].bias, padding=1)
        told = net.prior.features
        x = block(sized(layer(coarse, told[:2], 2, 3), 6, True), told[3])
        features = layer(told[4](x), told[5:7], 1, 0)
        heads = [functional.conv2d(features, head.weight, head.bias) for head in (net.prior.landmarks, net.prior.parts)]
        x = sized(layer(coarse, net.encoder[:2], 2), 4, True)
        for module in net.encoder[3:5]:
            x = block(x, module)
        seen = functional.conv2d(x, net.encoder[5].weight, net.encoder[5].bias, padding=1)
        up = net.decoder[3]
        x = layer(torch.cat([seen, features], 1), net.decoder[:2])
        x = functional.conv_transpose2d(x, up.weight, up.bias, stride=2, padding=1)
        x = block(sized(functional.relu(net.decoder[4](x)), 4, False), net.decoder[6])
        fine = base + functional.conv2d(x, net.decoder[7].weight, net.decoder[7].bias, padding=1)
        result = net(face)
    for value, expected in zip(result, (fine, coarse, *heads), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    assert result.heatmaps.shape == (2, 5, 16, 12) and result.parsing.shape == (2, 9, 16, 12)
    if residual:
        torch.manual_seed(0)
        gap = FSRNet(4, 1, 2, 6, 1, 2, residual=True).eval()(face).fine - face
        assert 0 < gap.abs().max() < 0.1, "small differences at first"


def test_what_each_result_teaches():
    """Nothing is cut off: the fine face teaches the coarse one through its encoder, and the prior network's features;
    landmarks and parts teach the coarse face through the prior network, and neither encoder nor decoder."""
    torch.manual_seed(0)
    net, face = FSRNet(4, 1, 1, 6, 1, 1), draw(2, 3, 16, 16)
    made = net(face)

    def taught(result: torch.Tensor) -> set[str]:
        net.zero_grad()
        result.square().sum().backward(retain_graph=True)
        parts = {"coarse": net.coarse, "features": net.prior.features, "landmarks": net.prior.landmarks,
                 "parts": net.prior.parts, "encoder": net.encoder, "decoder": net.decoder}
        return {name for name, part in parts.items()
                if any(p.grad is not None and p.grad.any() for p in part.parameters())}

    assert taught(made.coarse) == {"coarse"}
    assert taught(made.fine) == {"coarse", "features", "encoder", "decoder"}
    assert taught(made.heatmaps) == {"coarse", "features", "landmarks"}
    assert taught(made.parsing) == {"coarse", "features", "parts"}
    with torch.no_grad():
        net.decoder[0].weight[:, 4:] = 0
    made = net(face)
    assert taught(made.fine) == {"coarse", "encoder", "decoder"}, "without the prior's features too"
