"""PEN-Net against its authors' layers and settings, and every term against the same worked out from fixed tensors."""

from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.inpainting.pen_net import METHOD, Generator
from restore_ml.nn.blending import blended
from tests.methods.holes import batch, context_of
from tests.methods.pyramids import SMALL, STEPS, step


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in (
        "widths", "masks", "hole", "valid", "pyramid", "adversarial", "compat", "batch", "patch", "lr", "betas",
        "schedule", "initial", "blend", "steps")} == {
        "widths": [32, 64, 128, 256, 512, 512], "masks": ["random_square"], "hole": 6.0, "valid": 1.0, "pyramid": 0.5,
        "adversarial": 0.1, "compat": True, "batch": 16, "patch": 256, "lr": 1e-4, "betas": [0.5, 0.999],
        "schedule": "constant", "initial": "normal", "blend": "none", "steps": {"alone": 0, "adversarial": 330_000}}
    phase, = paper.phases()
    assert (phase.name, phase.steps, [(player.name, list(player.networks)) for player in phase.players]) == (
        "adversarial", 330_000, [("discriminator", ["discriminator"]), ("generator", ["generator"])])
    assert [player.loss for player in phase.players] == [paper.discriminator_loss, paper.generator_loss]
    for player in phase.players:
        optimiser = player.optimiser([nn.Parameter(torch.zeros(1))])
        assert type(optimiser) is torch.optim.Adam
        assert (optimiser.param_groups[0]["lr"], optimiser.param_groups[0]["betas"]) == (1e-4, (0.5, 0.999))
        assert player.schedule(0, 330_000) == player.schedule(329_999, 330_000) == 1
    assert paper.multiple == 64 and paper.tile == 512 and paper.stored_networks == ("generator",)


def test_published_parameter_counts() -> None:
    with torch.device("meta"), mock.patch.object(_SpectralNorm, "_power_method"):
        networks = METHOD({}).build()
    assert {name: sum(parameter.numel() for parameter in network.parameters()) for name, network in networks.items()
            } == {"generator": 10_231_538, "discriminator": 4_318_401}


def test_before_it_the_generator_may_play_alone() -> None:
    own = METHOD(SMALL | {"steps": STEPS, "schedule": "cosine"})
    alone, both = own.phases()
    assert (alone.name, alone.steps, both.name, both.steps) == ("alone", 60, "adversarial", 40)
    first, (judge, second) = alone.players[0], both.players
    assert len(alone.players) == 1 and first.loss == own.content_loss and list(first.networks) == ["generator"]
    for player, steps in ((first, 60), (judge, 40), (second, 40)):  # each phase has a fall of its own
        assert [player.schedule(place, steps) for place in (0, steps // 2, steps)] == pytest.approx([1, 0.5, 0])
    constant = METHOD(SMALL | {"steps": STEPS})
    assert {player.schedule(30, 40) for phase in constant.phases() for player in phase.players} == {1.0}


def test_wrong_settings_are_sentences() -> None:
    for settings, said in (({"widths": [8, 8]}, "at least 3"), ({"patch": 60}, "a multiple of 8 of at least 48"),
                           ({"patch": 40}, "a multiple of 8 of at least 48"), ({"steps": {"both": 1}}, "must name"),
                           ({"initial": "zeros"}, "normal or he"), ({"schedule": "linear"}, "constant or cosine"),
                           ({"blend": "feather"}, "none, level or poisson")):
        with pytest.raises(UserError, match=said):
            METHOD(SMALL | settings)
    with pytest.raises(UserError, match="that 4 divides, not 6"):
        METHOD(SMALL | {"widths": [6, 8, 8]}).networks()
    METHOD(SMALL | {"patch": 48})


def test_the_layers_are_the_authors() -> None:
    with torch.device("meta"):
        network = Generator(METHOD.paper["widths"], True)
    assert [(each.in_channels, each.out_channels, each.kernel_size, each.stride, each.padding)
            for each in network.down] == [(before, after, (3, 3), (2, 2), (1, 1)) for before, after in (
                (4, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 512))]
    assert [(each.in_channels, each.out_channels, each.kernel_size, each.stride) for each in network.up] == [
        (before, after, (3, 3), (1, 1)) for before, after in ((128, 32), (256, 64), (512, 128), (1024, 256),
                                                              (512, 512))]
    assert [(each.in_channels, each.out_channels, each.kernel_size) for each in network.heads] == [
        (before, 3, (1, 1)) for before in (64, 128, 256, 512, 1024)]
    assert [(each.kernel, [layer.in_channels for layer in each.fuse], each.compat) for each in network.transfer] == [
        (3, [32] * 4, True), (3, [64] * 4, True), (3, [128] * 4, True), (3, [256] * 4, True), (1, [], True)]
    assert [type(each).__name__ for each in network.last] == ["Conv2d", "ReLU", "Conv2d", "Tanh"]
    assert (network.last[0].in_channels, network.last[0].out_channels, network.last[2].out_channels) == (64, 32, 3)
    assert not any(each.compat for each in METHOD(SMALL | {"compat": False}).build()["generator"].transfer)


def convolved(layer: nn.Conv2d, x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, stride=stride, padding=layer.weight.shape[-1] // 2)


def test_the_pyramid_is_encoded_filled_from_below_and_decoded() -> None:
    torch.manual_seed(0)
    network, x, mask = Generator([4, 8, 12, 16], False), torch.randn(2, 4, 48, 64), batch(2, 48)[0]["mask"]
    first = F.leaky_relu(convolved(network.down[0], x, 2), 0.2)
    second = F.leaky_relu(convolved(network.down[1], first, 2), 0.2)
    third = F.leaky_relu(convolved(network.down[2], second, 2), 0.2)
    deepest = F.relu(convolved(network.down[3], third, 2))
    third = network.transfer[2](third, deepest, mask)
    second = network.transfer[1](second, third, mask)
    first = network.transfer[0](first, second, mask)

    def twice(x: Tensor) -> Tensor:
        return F.interpolate(x, (2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)

    inner, x_now = [], deepest
    for number, skip in ((2, third), (1, second), (0, first)):
        x_now = torch.cat([F.relu(convolved(network.up[number], twice(x_now))), skip], 1)
        inner.insert(0, torch.tanh(convolved(network.heads[number], x_now)))
    end = twice(x_now)
    wanted = torch.tanh(convolved(network.last[2], F.relu(convolved(network.last[0], end))))
    pictures_made, made = network(x, mask)
    torch.testing.assert_close(made, wanted)
    assert [tuple(each.shape) for each in pictures_made] == [(2, 3, 24, 32), (2, 3, 12, 16), (2, 3, 6, 8)]
    for each, other in zip(pictures_made, inner, strict=True):
        torch.testing.assert_close(each, other)


def test_five_inner_pictures_of_doubling_sizes() -> None:
    network = Generator([4] * 6, True)
    inner, made = network(torch.rand(1, 4, 64, 128), torch.zeros(1, 1, 64, 128))
    assert [tuple(each.shape[2:]) for each in inner] == [(32, 64), (16, 32), (8, 16), (4, 8), (2, 4)]
    assert made.shape == (1, 3, 64, 128)


def test_first_weights() -> None:
    for initial, wanted in (("normal", 0.02), ("he", np.sqrt(2 / 1.04 / (9 * 32)))):
        torch.manual_seed(0)
        layer = METHOD(SMALL | {"widths": [32, 64, 64], "initial": initial}).build()["generator"].down[1]
        assert layer.weight.std().item() == pytest.approx(wanted, rel=0.05) and not layer.bias.any()


def test_terms_of_the_pixels() -> None:
    own, context, truth, mask, drawn = step(hole=6.0, valid=2.0, pyramid=0.5)
    terms = own.content_loss(context)
    wanted, hole = 2 * truth - 1, mask.expand(-1, 3, -1, -1) > 0
    apart = (drawn.output.detach() - wanted).abs()
    inner = sum((each.detach() - F.interpolate(wanted, each.shape[2:], mode="bilinear", align_corners=True)
                 ).abs().mean() for each in drawn.inner)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({
        "hole": 6 * apart[hole].mean().item(), "valid": 2 * apart[~hole].mean().item(), "pyramid": 0.5 * inner.item()})
    for name, inside in (("hole", True), ("valid", False)):
        gradient, = torch.autograd.grad(terms[name], drawn.output, retain_graph=True)
        assert gradient[hole].any() == inside and gradient[~hole].any() != inside
    terms["pyramid"].backward()
    assert drawn.output.grad is None and all(each.grad.any() for each in drawn.inner)


def test_a_batch_without_holes_has_finite_terms() -> None:
    own, context, *_ = step()
    for mask in (torch.zeros(2, 1, 16, 16), torch.ones(2, 1, 16, 16)):
        context.inputs["mask"] = mask
        assert all(term.isfinite() for term in own.content_loss(context).values())


def test_the_generator_sees_the_picture_with_a_white_hole_and_the_hole() -> None:
    own, context, truth, mask, drawn = step()
    own.content_loss(context)
    (seen, shown_mask), = drawn.seen
    hole = mask > 0
    torch.testing.assert_close(seen[:, :3], torch.where(hole, torch.ones(()), 2 * truth - 1))
    assert torch.equal(seen[:, 3:], mask) and torch.equal(shown_mask, mask)


def test_the_judge_calls_true_pictures_real_and_composed_ones_fake() -> None:
    own, context, truth, mask, drawn = step()
    judge = context.networks["discriminator"]
    with torch.no_grad():
        judge.bias.fill_(-0.6)
    terms = own.discriminator_loss(context)
    (real,), (fake,) = judge.seen
    assert torch.equal(real, 2 * truth - 1)
    assert torch.equal(fake, torch.where(mask > 0, drawn.output.detach(), 2 * truth - 1))
    wanted = {"real": (1 - judge.score(real)).clamp(min=0).mean() / 2,
              "fake": (1 + judge.score(fake)).clamp(min=0).mean() / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {name: value.item() for name, value in wanted.items()})
    assert terms["real"] > 0 and terms["fake"] > 0 and not terms["real"].isclose(terms["fake"])
    sum(terms.values()).backward()
    assert drawn.output.grad is None and judge.bias.grad is not None


def test_the_generator_is_to_pass_for_real_in_the_hole() -> None:
    own, context, truth, mask, drawn = step(adversarial=0.2)
    terms = own.generator_loss(context)
    judge = context.networks["discriminator"]
    (fake,), = judge.seen
    assert torch.equal(fake, torch.where(mask > 0, drawn.output.detach(), 2 * truth - 1)) and len(drawn.seen) == 1
    assert {"hole", "valid", "pyramid", "adversarial"} == set(terms)
    assert terms["adversarial"].item() == pytest.approx(-0.2 * judge.score(fake).mean().item())
    plain = own.content_loss(context)
    assert all(plain[name].item() == terms[name].item() for name in plain)
    gradient, = torch.autograd.grad(terms["adversarial"], drawn.output)
    hole = (mask > 0).expand_as(gradient)
    assert (gradient[hole] < 0).all() and not gradient[~hole].any()  # a brighter filling has a higher score


@pytest.mark.parametrize("blend", ["none", "level"])
def test_restoring_gives_the_whole_picture_in_0_to_1(blend: str) -> None:
    own, _, truth, mask, drawn = step(blend=blend)
    image = torch.where(mask > 0, torch.tensor(0.37), truth)  # what lies under the hole tells nothing
    made = own.restore(Model({"generator": drawn}), {"image": image, "mask": mask}, 1)["image"]
    torch.testing.assert_close(made, blended(blend, (drawn.output.detach() + 1) / 2, truth, mask))
    (seen, _), = drawn.seen
    torch.testing.assert_close(seen[:, :3], torch.where(mask > 0, torch.ones(()), 2 * truth - 1))


def test_training_lowers_the_error_in_the_hole() -> None:
    torch.manual_seed(0)
    own = METHOD(SMALL | {"lr": 3e-3, "initial": "he", "steps": STEPS})
    networks, (alone, _) = own.build(), own.phases()
    inputs, target = batch(4, 48)
    player, = alone.players
    optimiser = player.optimiser(list(networks["generator"].named_parameters()))

    def error() -> float:
        with torch.no_grad():
            made = own.restore(Model({"generator": networks["generator"]}), inputs, 1)["image"]
        return float(((made - target["image"]).square() * inputs["mask"]).sum())

    first = error()
    for number in range(30):
        optimiser.zero_grad()
        sum(player.loss(context_of(target["image"], inputs["mask"], networks, step=number)).values()).backward()
        optimiser.step()
    assert error() < 0.63 * first  # 2 dB
