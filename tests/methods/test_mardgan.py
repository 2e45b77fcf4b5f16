"""mardgan: the card's checks on its modules, and its layers against their definitions."""

from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml.base.errors import UserError
from restore_ml.methods.super_resolution.mardgan import CSAB, DRDAM, ERDB, Discriminator, Generator, Path
from tests.methods.by_hand import Calls, draw
from tests.methods.enlarging import paper, parameters

SMALL = {"width": 8, "blocks": 1, "growth": 3}


def generator(**settings) -> Generator:
    torch.manual_seed(1)
    return Generator(**{**SMALL, **settings}).eval()


def normed(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if hasattr(layer, "parametrizations")]


def test_the_paper_s_size_is_kept():
    """A reading, whose counts are only remembered here."""
    with torch.device("meta"), mock.patch.object(_SpectralNorm, "_power_method"):
        networks = paper("mardgan").build()
        assert parameters(networks["generator"]) == 3_725_906
        assert parameters(networks["discriminator"]) == 23_561_793
        assert parameters(CSAB(64, [1, 2, 4])) - parameters(CSAB(64)) == (21 * 64 + 1) * 64


@pytest.mark.parametrize("spp", [[], [1, 2]])
def test_csab_by_its_definition(spp):
    torch.manual_seed(0)
    block, x = CSAB(32, spp).eval(), draw(2, 32, 5, 7) - 0.3
    with torch.no_grad():
        pooled = x.mean((2, 3))[:, :, None, None]
        if spp:
            halves = [x[:, :, rows, columns].mean((2, 3)) for rows in (slice(0, 3), slice(2, 5))
                      for columns in (slice(0, 4), slice(3, 7))]
            cells = torch.cat([x.mean((2, 3)), torch.stack(halves, 2).flatten(1)], 1)
            pooled = functional.conv2d(cells[:, :, None, None], block.pyramid.weight, block.pyramid.bias)
        one, slope, two, _ = block.channel
        inner = functional.prelu(functional.conv2d(pooled, one.weight, one.bias), slope.weight)
        channel = 1 / (1 + (-functional.conv2d(inner, two.weight, two.bias)).exp())
        weighted = channel * x
        maps = torch.stack([weighted.mean(1), weighted.max(1).values], 1)
        layer = block.spatial[0]
        spatial = 1 / (1 + (-functional.conv2d(maps, layer.weight, layer.bias, padding=3)).exp())
        torch.testing.assert_close(block(x), x + spatial * weighted)
    assert inner.shape[1] == 2 and len(normed(block)) == (4 if spp else 3)
    for attention in (channel, spatial):
        assert attention.min() > 0 and attention.max() < 1


def test_erdb_by_its_definition():
    torch.manual_seed(0)
    block, x = ERDB(8, 3).eval(), draw(1, 8, 6, 5) - 0.4

    def layer(number: int, *maps: torch.Tensor) -> torch.Tensor:
        convolution, slope = block.dense[number]
        assert "weight" in convolution.parametrizations
        return functional.prelu(functional.conv2d(torch.cat(maps, 1), convolution.weight, convolution.bias, padding=1),
                                slope.weight)

    with torch.no_grad():
        y1 = layer(0, x)
        y2 = layer(1, x, y1) + functional.conv2d(x, block.shortcut.weight, block.shortcut.bias)
        y3 = layer(2, x, y1, y2)
        y4 = layer(3, x, y1, y2, y3) + y2
        y5 = functional.conv2d(torch.cat([x, y1, y2, y3, y4], 1), block.last.weight, block.last.bias, padding=1)
        torch.testing.assert_close(block(x), x + 0.2 * y5)
        block.last = Calls(lambda maps: torch.zeros_like(maps[:, :8]))
        assert torch.equal(block(x), x)


def test_drdam_and_a_path_by_their_definitions():
    torch.manual_seed(0)
    block, x = DRDAM(8, 3).eval(), draw(1, 8, 6, 5)
    path = Path(5, 8, 2, 3).eval()
    with torch.no_grad():
        torch.testing.assert_close(block(x), x + 0.2 * block.body[1](block.body[0](x)))
        assert [type(layer) for layer in block.body] == [ERDB, CSAB]
        first = functional.prelu(functional.conv2d(x, path.first[0].weight, path.first[0].bias, padding=2),
                                 path.first[1].weight)
        y = amplified = path.amb(first)
        for layer in path.group:
            y = layer(y)
        torch.testing.assert_close(path(x), amplified + y)
    assert [type(layer) for layer in path.group] == [DRDAM, DRDAM, nn.Conv2d] and isinstance(path.amb, CSAB)


def test_each_path_sees_as_far_as_its_kernel():
    net = generator(width=8)
    for path, reach in zip(net.paths, (1, 2, 3), strict=True):
        x = torch.zeros(1, 8, 15, 15, requires_grad=True)
        path.first[0](x)[0, :, 7, 7].sum().backward()
        rows = x.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
        assert (int(rows.min()), int(rows.max())) == (7 - reach, 7 + reach)


def test_the_generator_s_fusion_and_sub_pixel_layers():
    net, x = generator(), draw(1, 3, 5, 7)
    fused = Calls(net.fusion[0].forward)
    net.fusion[0] = fused
    bottleneck = fused.function
    with torch.no_grad():
        first = functional.prelu(functional.conv2d(x, net.head[0].weight, net.head[0].bias, padding=1),
                                 net.head[1].weight)
        features = torch.cat([path(first) for path in net.paths], 1)
        y = first + net.fusion[2](functional.prelu(bottleneck(features), net.fusion[1].weight))
        for number in (0, 3):
            convolution = net.up[number]
            y = functional.prelu(functional.pixel_shuffle(functional.conv2d(
                y, convolution.weight, convolution.bias, padding=1), 2), net.up[number + 2].weight)
        torch.testing.assert_close(net(x), functional.conv2d(y, net.tail.weight, net.tail.bias, padding=4))
    assert fused.calls[0][0].shape[1] == 3 * 8


def test_without_its_features_the_output_does_not_change():
    """Nothing else leads from the picture to the sub-pixel layers."""
    net = generator()
    with torch.no_grad():
        for layer in (net.fusion[2], net.head[0]):
            layer.weight.zero_()
        net.head[0].bias.zero_()
        found = [net(draw(1, 3, 40, 40, seed=seed))[..., 60:100, 60:100] for seed in (1, 2)]
    torch.testing.assert_close(found[0], found[1])
    assert found[0].unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).std((2, 4)).max() < 1e-6  # by sub-pixel


@pytest.mark.parametrize(("scale", "shape"), [(4, (17, 23)), (2, (17, 23)), (8, (5, 4))])
def test_any_size_gives_scale_times_the_size(scale, shape):
    with torch.no_grad():
        assert generator(scale=scale)(draw(1, 3, *shape)).shape == (1, 3, scale * shape[0], scale * shape[1])


def test_spectral_normalisation_holds_the_largest_singular_value_at_one():
    torch.manual_seed(0)
    networks = (Generator(**SMALL, spp=[1, 2]), Discriminator(4, 16))
    layers = [layer for network in networks for layer in normed(network)]
    with torch.no_grad():
        for _ in range(60):
            for layer in layers:
                layer.weight  # noqa: B018 - in training mode each look is a power iteration
        for layer in layers:
            largest = torch.linalg.svdvals(layer.weight.flatten(1))[0].item()
            assert largest == pytest.approx(1, abs=0.05)
    # 4 CSAB layers and in each ERDB 5; three paths of an AMB and one DRDAM
    assert len(normed(networks[0])) == 3 * (2 * 4 + 5)
    assert len(normed(networks[1])) == 10


def test_the_discriminator_layer_by_layer():
    net = Discriminator(4, 16)
    convolutions = [layer for layer in net.net if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels // 4 for layer in convolutions] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert [layer.stride[0] for layer in convolutions] == [1, 2] * 4
    kinds = [next(base for base in type(layer).__mro__ if base.__module__.startswith("torch.nn.modules"))
             for layer in net.net]
    assert kinds == [nn.Conv2d, nn.LeakyReLU] * 8 + [nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear, nn.LeakyReLU,
                                                     nn.Linear]
    assert {layer.negative_slope for layer in net.net if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert net.net[16].output_size == 6 and net.net[18].in_features == 36 * 32
    assert net(draw(2, 3, 32, 32)).shape == net(draw(2, 3, 17, 24)).shape == (2, 1)


@pytest.mark.parametrize(("settings", "words"), [
    ({"spp": [0, 2]}, "spp of mardgan is .*; it must be a list of whole numbers from 1 on"),
    ({"scales": [3]}, "scales of mardgan is"), ({"scales": [2, 4]}, "scales of mardgan is")])
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(UserError, match=words):
        paper("mardgan", **settings)


def test_only_its_own_scale_is_supported():
    run = paper("mardgan")
    assert run.unsupported("x4_noise") is None and run.unsupported("x2") == "made for x4"
