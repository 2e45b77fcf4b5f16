"""GAPNet: its layers and ablations, and the term that it adds to PEN-Net's, against fixed tensors."""

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml.methods.inpainting.gapnet import METHOD, GatedConv, Generator
from restore_ml.methods.inpainting.pen_net import PENNet
from restore_ml.nn.self_attention import SelfAttention
from tests.methods.holes import Maps, batch
from tests.methods.pyramids import SMALL, STEPS, step

WIDTHS = [8, 12, 16, 20]


def network(**settings: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(WIDTHS, **{"compat": False, "gated": True, "rat": True, "sa": True} | settings)


def given() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 4, 48, 64, generator=torch.Generator().manual_seed(1)), batch(2, 48)[0]["mask"]


def test_recipe_of_the_reading() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in (
        "widths", "hole", "valid", "pyramid", "adversarial", "perceptual", "content_taps", "lr", "betas", "batch",
        "patch", "masks", "compat", "gated", "rat", "sa")} == {
        "widths": [32, 64, 128, 256, 512], "hole": 6.0, "valid": 1.0, "pyramid": 0.5, "adversarial": 0.1,
        "perceptual": 0.1, "content_taps": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"], "lr": 1e-4,
        "betas": [0.5, 0.999], "batch": 16, "patch": 256, "masks": ["random_square"], "compat": False, "gated": True,
        "rat": True, "sa": True}
    assert paper.multiple == 32 and isinstance(paper, PENNet) and METHOD.reading


def test_parameter_counts_of_the_reading() -> None:
    with torch.device("meta"), mock.patch.object(_SpectralNorm, "_power_method"):
        networks = METHOD({}).build()

    def count(part: Any) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    made: Any = networks["generator"]
    assert {name: count(getattr(made, name)) for name in ("down", "transfer", "up", "attend", "last", "heads")} == {
        "down": 3_137_728, "transfer": 783_840, "up": 3_945_472, "attend": 1_337, "last": 867, "heads": 2_892}
    assert count(made) == 7_872_136 and count(networks["discriminator"]) == 4_318_401
    assert len(made.transfer) == 4 and len(made.down) == 5
    assert [each.features.stride for each in made.down] == [(2, 2)] * 5
    assert [(each.features.in_channels, each.features.out_channels) for each in made.down] == [
        (4, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
    assert [(each.features.in_channels, each.features.out_channels, each.gate.stride) for each in made.up] == [
        (64, 32, (1, 1)), (128, 32, (1, 1)), (256, 64, (1, 1)), (512, 128, (1, 1)), (512, 256, (1, 1))]
    assert [(each.kernel, len(each.fuse)) for each in made.transfer] == [(3, 4)] * 4
    assert isinstance(made.attend, SelfAttention) and made.attend.factor == 4


def test_a_gated_convolution_is_features_times_their_gate() -> None:
    torch.manual_seed(0)
    layer, x = GatedConv(3, 5, 2), torch.randn(2, 3, 8, 12)
    features = F.conv2d(x, layer.features.weight, layer.features.bias, stride=2, padding=1)
    assert layer.gate is not None
    gate = F.conv2d(x, layer.gate.weight, layer.gate.bias, stride=2, padding=1)
    wanted = torch.where(features > 0, features, 0.2 * features) / (1 + torch.exp(-gate))
    torch.testing.assert_close(layer(x), wanted)
    assert layer(x).shape == (2, 5, 4, 6) and not torch.equal(layer.features.weight, layer.gate.weight)
    plain = GatedConv(3, 5, 2, gated=False)
    plain.features.load_state_dict(layer.features.state_dict())
    with torch.no_grad():
        layer.gate.bias.fill_(1e4)  # everything is let through
    torch.testing.assert_close(layer(x), plain(x))
    assert sum(each.numel() for each in plain.parameters()) == 3 * 5 * 9 + 5


def test_transfer_is_added_to_each_level_from_the_deepest_on() -> None:
    made, (x, mask) = network(), given()
    levels = []
    for layer in made.down:
        x = layer(x)
        levels.append(x)
    for number in (2, 1, 0):
        levels[number] = levels[number] + made.transfer[number](levels[number], levels[number + 1], mask)
    for skip, wanted in zip(made.skips(*given()), levels, strict=True):
        torch.testing.assert_close(skip, wanted)
    assert levels[-1].shape == (2, 20, 3, 4)


def test_a_transfer_of_zeros_leaves_the_levels() -> None:
    made = network()
    with torch.no_grad():
        for parameter in made.transfer.parameters():
            parameter.zero_()
    without = network(rat=False)
    without.down.load_state_dict(made.down.state_dict())
    for first, second in zip(made.skips(*given()), without.skips(*given()), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(network().skips(*given())[0], without.skips(*given())[0])


def test_the_decoder_takes_each_skip_and_attends_before_the_output() -> None:
    made, (x, mask) = network(), given()
    with torch.no_grad():
        made.attend.gamma.fill_(0.7)
    first, second, third, deepest = made.skips(x, mask)

    def twice(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    inner = []
    x = torch.cat([made.up[3](twice(deepest)), third], 1)
    inner.append(torch.tanh(made.heads[2](x)))
    x = torch.cat([made.up[2](twice(x)), second], 1)
    inner.append(torch.tanh(made.heads[1](x)))
    x = torch.cat([made.attend(made.up[1](twice(x))), first], 1)
    inner.append(torch.tanh(made.heads[0](x)))
    wanted = torch.tanh(made.last[0](made.up[0](twice(x))))
    pictures, output = made(*given())
    torch.testing.assert_close(output, wanted)
    assert [tuple(each.shape) for each in pictures] == [(2, 3, 24, 32), (2, 3, 12, 16), (2, 3, 6, 8)]
    for each, other in zip(pictures, reversed(inner), strict=True):
        torch.testing.assert_close(each, other)
    assert output.shape == (2, 3, 48, 64)


@pytest.mark.parametrize("part", ["gated", "rat", "sa"])
def test_each_part_that_is_left_out_leaves_out_its_layers(part: str) -> None:
    without = network(**{part: False})
    kinds = {"gated": "gate", "rat": "transfer", "sa": "attend"}

    def has(made: nn.Module, name: str) -> bool:
        return any(name in key for key, _ in made.named_parameters())

    for name, word in kinds.items():
        assert has(without, word) == (name != part) and has(network(), word)
    built = METHOD(SMALL | {part: False}).build()["generator"]
    assert has(built, kinds[part]) is False and has(METHOD(SMALL).build()["generator"], kinds[part])
    assert without(*given())[1].shape == (2, 3, 48, 64)
    assert all(each.compat for each in METHOD(SMALL | {"compat": True}).build()["generator"].transfer)


@pytest.mark.parametrize(("initial", "features", "gates"), [("normal", 0.02, 0.02), ("he", 0.1634, 0.02)])
def test_first_weights(initial: str, features: float, gates: float) -> None:
    """He's for a leaky ReLU of 0.2 and 32 channels is sqrt(2 / 1.04 / 288) = 0.0817."""
    torch.manual_seed(0)
    layer = METHOD(SMALL | {"widths": [32, 64, 64], "initial": initial}).build()["generator"].down[1]
    assert layer.features.weight.std().item() == pytest.approx(features, rel=0.05)
    assert layer.gate.weight.std().item() == pytest.approx(gates, rel=0.05)
    assert not layer.gate.bias.any() and not layer.features.bias.any()
    plain = METHOD(SMALL | {"widths": [32, 64, 64], "initial": "he", "gated": False}).build()["generator"].down[1]
    assert plain.features.weight.std().item() == pytest.approx(0.0817, rel=0.05)


def test_self_attention_is_the_identity_at_first() -> None:
    whole, without = network(), network(sa=False)
    without.load_state_dict({key: value for key, value in whole.state_dict().items() if "attend" not in key})
    assert torch.equal(whole(*given())[1], without(*given())[1])


def test_features_of_the_generators_whole_picture_are_compared() -> None:
    features = Maps()
    own, context, truth, _, drawn = step(METHOD, features, perceptual=0.5, content_taps=["relu1_1", "relu2_1"])
    terms = own.generator_loss(context)
    apart = ((drawn.output.detach() + 1) / 2 - truth).abs().mean().item()
    name = "perceptual@imagenet-89abcdef"
    assert terms[name].item() == pytest.approx(0.5 * (1 + 2) * apart)  # the second tap is twice the picture
    assert features.seen == [(("relu1_1", "relu2_1"), True)] * 2
    assert set(terms) == {"hole", "valid", "pyramid", "adversarial", name}
    plain = PENNet.generator_loss(own, context)
    assert all(plain[key].item() == terms[key].item() for key in plain)
    gradient, = torch.autograd.grad(terms[name], drawn.output)
    wanted = 0.5 * 3 / 2 * torch.sign((drawn.output.detach() + 1) / 2 - truth) / truth.numel()
    torch.testing.assert_close(gradient, wanted)


def test_without_features_or_weight_and_alone_that_term_is_left_out() -> None:
    names = {"hole", "valid", "pyramid", "adversarial"}
    for features, weight in ((None, 0.5), (Maps(), 0.0)):
        own, context, *_ = step(METHOD, features, perceptual=weight)
        assert set(own.generator_loss(context)) == names
    own, context, *_ = step(METHOD, Maps(), steps=STEPS)
    alone, both = own.phases()
    assert set(alone.players[0].loss(context)) == names - {"adversarial"}
    assert set(both.players[1].loss(context)) == names | {"perceptual@imagenet-89abcdef"}
