"""Gated convolution (DeepFill v2) against the released code's layers, and every term worked out from fixed tensors."""

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting import gated_conv
from restore_ml.methods.inpainting.gated_conv import METHOD, GatedConvolution
from restore_ml.nn.blending import to_known_level
from restore_ml.nn.contextual_attention import ContextualAttention
from restore_ml.nn.gated_conv import GatedConv2d
from tests.methods.holes import Fixed, Judge, context_of, pictures


class Two(nn.Module):
    """A generator that gives two pictures whatever it is shown, and remembers what that was."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(first.clone()), nn.Parameter(second.clone())
        self.seen: list[tuple[Tensor, ...]] = []

    def forward(self, *shown: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(shown)
        return self.first, self.second


def method(**settings: Any) -> GatedConvolution:
    return METHOD({"patch": 16, "width": 2} | settings)


def step(**settings: Any) -> tuple[GatedConvolution, Context, Tensor, Tensor, Two, Judge]:
    """Method, context, truth in [-1, 1], mask (3 x 5 of 16 x 16 pixels), generator and judge."""
    truth, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[:, :, 9:12, 1:6] = 1
    generator, judge = Two(pictures(2, 16, 1) * 2 - 1, pictures(2, 16, 2) * 2 - 1), Judge()
    context = context_of(truth, mask, {"generator": generator, "discriminator": judge})
    return method(**settings), context, 2 * truth - 1, mask, generator, judge


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in ("masks", "width", "dilations", "disc_width", "l1", "adversarial", "lr",
                                                 "disc_lr", "betas", "batch", "patch", "blend", "ema")} == {
        "masks": ["strokes_or_box"], "width": 24, "dilations": [2, 4, 8, 16], "disc_width": 64, "l1": 1.0,
        "adversarial": 1.0, "lr": 1e-4, "disc_lr": 1e-4, "betas": [0.5, 0.999], "batch": 16, "patch": 256,
        "blend": "none", "ema": 0.0}
    phase, = paper.phases()
    judge, own = phase.players
    assert phase.steps == paper.settings["steps"]
    assert (judge.loss, own.loss) == (paper.discriminator_loss, paper.generator_loss)
    assert (list(judge.networks), list(own.networks)) == (["discriminator"], ["generator"])
    assert paper.multiple == 8 and METHOD.stored_networks == ("generator",)


def test_optimisers_and_schedule() -> None:
    judge, own = method(lr=0.5, disc_lr=0.25, betas=[0.3, 0.9], schedule="cosine").phases()[0].players
    for player, rate in ((judge, 0.25), (own, 0.5)):
        made = player.optimiser([nn.Parameter(torch.zeros(1))])
        assert type(made) is torch.optim.Adam
        assert (made.param_groups[0]["lr"], made.param_groups[0]["betas"]) == (rate, (0.3, 0.9))
    assert own.schedule(0, 40) == 1 and own.schedule(20, 40) == pytest.approx(0.5) and judge.schedule(39, 40) == 1
    assert {player.schedule(39, 40) for player in method().phases()[0].players} == {1.0}


def test_wrong_settings_are_sentences() -> None:
    for settings, said in (({"patch": 60}, "multiple of 8"), ({"width": 1}, "at least 2"),
                           ({"schedule": "linear"}, "constant or cosine"), ({"blend": "mean"}, "level")):
        with pytest.raises(UserError, match=said):
            method(**settings)


def test_published_parameter_counts() -> None:
    with torch.device("meta"), mock.patch("torch.nn.utils.parametrizations._SpectralNorm._power_method"):
        networks = METHOD({}).build()
    generator = networks["generator"]
    assert (count(generator.coarse), count(generator.refinement)) == (1_631_151, 2_421_327)
    assert (count(generator), count(networks["discriminator"])) == (4_052_478, 5_946_816)


def rows(network: nn.Module) -> list[tuple[Any, ...]]:
    """Convolutions in their order: kernel, stride, dilation, features (gates apart) and the activation's name; what
    enlarges as `up`."""
    found: list[tuple[Any, ...]] = []
    for part in network.modules():
        if isinstance(part, GatedConv2d):
            inner = part.convolution
            found.append((inner.kernel_size[0], inner.stride[0], inner.dilation[0], inner.out_channels // 2,
                          type(part.activation).__name__))
        elif isinstance(part, nn.Upsample):
            assert part.scale_factor == 2 and part.mode == "nearest"
            found.append(("up",))
    return found


def row(channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1, kind: str = "ELU") -> tuple[Any, ...]:
    return (kernel, stride, dilation, channels, kind)


END = [row(96), row(96), ("up",), row(48), row(48), ("up",), row(24), row(12)]
"""Both networks' last gated layers."""


def test_the_networks_are_the_released_codes() -> None:
    with torch.device("meta"):
        network = gated_conv.Generator(24, [2, 4, 8, 16])
    wide = [row(96, dilation=rate) for rate in (2, 4, 8, 16)]
    assert rows(network.coarse) == [row(24, 5), row(48, stride=2), row(48), row(96, stride=2), row(96), row(96), *wide,
                                    *END]
    refinement = network.refinement
    assert rows(refinement.dilated) == [row(24, 5), row(24, stride=2), row(48), row(48, stride=2), row(96), row(96),
                                        *wide]
    assert rows(refinement.compared) == [row(24, 5), row(24, stride=2), row(48), row(96, stride=2), row(96),
                                         row(96, kind="ReLU")]
    assert rows(refinement.attended) == [row(96), row(96)] and rows(refinement.drawing) == END
    assert isinstance(refinement.attention, ContextualAttention)
    for sequence, before in ((network.coarse, 5), (refinement.dilated, 3), (refinement.compared, 3),
                             (refinement.drawing, 192)):
        assert sequence[0].convolution.in_channels == before
    for sequence in (network.coarse, refinement.drawing):
        assert isinstance(sequence[-1], nn.Tanh)
        assert (sequence[-2].in_channels, sequence[-2].out_channels, sequence[-2].kernel_size) == (12, 3, (3, 3))


def test_weights_begin_as_glorots() -> None:
    torch.manual_seed(0)
    network = gated_conv.Generator(8, [2])
    for layer in (network.coarse[3].convolution, network.refinement.drawing[0].convolution):
        before, after = layer.in_channels * 9, layer.out_channels * 9
        bound = (6 / (before + after)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()


def test_the_judge_is_six_normalised_layers_and_no_head() -> None:
    torch.manual_seed(0)
    network = gated_conv.discriminator(8)
    layers = list(network)[::2]
    assert [layer.out_channels for layer in layers] == [8, 16, 32, 32, 32, 32] and layers[0].in_channels == 4
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in layers} == {((5, 5), (2, 2), (2, 2))}
    assert [(type(part), part.negative_slope) for part in list(network)[1::2]] == [(nn.LeakyReLU, 0.2)] * 6
    for _ in range(30):
        assert network(torch.rand(1, 4, 128, 64)).shape == (1, 32, 2, 1)
    assert [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in layers] == pytest.approx(
        [1] * 6, abs=0.05)


def test_the_second_network_sees_the_first_ones_filling() -> None:
    network, shown = gated_conv.Generator(2, [1]), pictures(2, 16) * 2 - 1
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., 3:9, 4:7] = 1
    network.coarse = Fixed(pictures(2, 16, 1))
    network.refinement = Fixed(pictures(2, 16, 2))
    first, second = network(shown, mask)
    (seen,), = network.coarse.seen
    assert torch.equal(seen, torch.cat([shown, torch.ones(2, 1, 16, 16), mask], 1))
    assert torch.equal(first, network.coarse.output) and torch.equal(second, network.refinement.output)
    (filled, told), = network.refinement.seen
    assert torch.equal(filled, torch.where(mask > 0, first, shown)) and torch.equal(told, mask)


def test_the_branches_are_joined() -> None:
    torch.manual_seed(0)
    network = gated_conv.Refinement(2, [1, 2])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that the attention's part is not lost on its way
    filled, mask = pictures(1, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 0:8] = 1
    attended = network.attended(network.attention(network.compared(filled), mask))
    wanted = network.drawing(torch.cat([network.dilated(filled), attended], 1))
    torch.testing.assert_close(network(filled, mask), wanted)
    assert not torch.allclose(network(filled, mask), network(filled, 0 * mask))


def test_the_hole_is_shown_as_mid_grey() -> None:
    generator, image, mask = Two(pictures(1, 8), pictures(1, 8)), pictures(1, 8), torch.zeros(1, 1, 8, 8)
    mask[..., 2:4, 3:7] = 1
    first, second = GatedConvolution.fill(generator, {"image": image, "mask": mask})
    (shown, told), = generator.seen
    assert torch.equal(told, mask) and first is generator.first and second is generator.second
    torch.testing.assert_close(shown, torch.where(mask > 0, torch.zeros(()), 2 * image - 1))


def test_both_pictures_are_compared_whole_and_the_filling_is_to_pass_for_real() -> None:
    own, context, truth, mask, generator, judge = step(l1=0.5, adversarial=0.25)
    terms = own.generator_loss(context)
    assert set(terms) == {"coarse", "refined", "adversarial"}
    for name, made in (("coarse", generator.first), ("refined", generator.second)):
        assert terms[name].item() == pytest.approx(0.5 * float((made - truth).detach().abs().mean()), rel=1e-5)
    (seen,), = judge.seen
    assert torch.equal(seen, torch.cat([torch.where(mask > 0, generator.second.detach(), truth), mask], 1))
    assert terms["adversarial"].item() == pytest.approx(-0.25 * float(judge.score(seen).mean().detach()), rel=1e-5)
    gradient, = torch.autograd.grad(terms["adversarial"], generator.second, retain_graph=True)
    assert (gradient[mask.expand_as(gradient) > 0] < 0).all()  # a brighter filling has a higher score: it is wanted
    assert not gradient[mask.expand_as(gradient) == 0].any()
    sum(terms.values()).backward()
    assert (generator.first.grad != 0).all() and (generator.second.grad != 0).all()
    torch.testing.assert_close(generator.first.grad, 0.5 * (generator.first - truth).sign().detach() / truth.numel())


def test_the_judge_calls_true_pictures_real_and_refined_ones_fake() -> None:
    own, context, truth, mask, generator, judge = step()
    with torch.no_grad():
        judge.bias.fill_(0.1)
    terms = own.discriminator_loss(context)
    (real,), (fake,) = judge.seen
    assert torch.equal(real, torch.cat([truth, mask], 1))
    assert torch.equal(fake, torch.cat([torch.where(mask > 0, generator.second.detach(), truth), mask], 1))
    assert terms["real"].item() == pytest.approx(float((1 - judge.score(real)).clamp(min=0).mean().detach()), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(float((1 + judge.score(fake)).clamp(min=0).mean().detach()), rel=1e-5)
    assert not terms["real"].isclose(terms["fake"])
    sum(terms.values()).backward()
    assert generator.first.grad is None and generator.second.grad is None and judge.bias.grad is not None


def test_the_players_share_one_pass() -> None:
    own, context, _, _, generator, _ = step()
    own.discriminator_loss(context)
    own.generator_loss(context)
    assert len(generator.seen) == 1


def test_the_refined_picture_is_restored_and_blended_where_that_is_asked_for() -> None:
    refined, image, mask = pictures(1, 16, 3) * 2 - 1, pictures(1, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 2:9, 3:7] = 1
    model, inputs = Model({"generator": Two(0 * refined, refined)}), {"image": image * (1 - mask), "mask": mask}
    plain = method().restore(model, inputs, 1)["image"]
    torch.testing.assert_close(plain, (refined + 1) / 2)
    level = method(blend="level").restore(model, inputs, 1)["image"]
    torch.testing.assert_close(level, to_known_level((refined + 1) / 2, image * (1 - mask), mask).clip(0, 1))
    assert not torch.allclose(level, plain)


def test_large_pictures_are_tiled() -> None:
    """Every place is compared with every other one: a whole photograph of 4000 pixels would need 500 GB for that."""
    assert METHOD.tile == 512 and METHOD.tile % METHOD.multiple == 0 and METHOD.overlap == 64
