"""ID-CGAN: the card's counts, layers and field, both players' terms by hand, whose biases and statistics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.method import Model, Phase
from restore_ml.methods.restoration.idcgan import GREY, IDCGAN, Generator, judge, without_biases
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.holes import Maps, softplus
from tests.methods.layers import parameters

SEEN, TRUTH = {"image": draw(2, 3, 16, 16)}, {"image": draw(2, 3, 16, 16, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> IDCGAN:
    return IDCGAN({"width": 4, "disc_width": 2, "patch": 16, "steps": {"pixel": 4, "refined": 6}, **settings})


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper = IDCGAN({}).build()
        assert parameters(paper["generator"]) == 263_686 and parameters(paper["discriminator"]) == 1_561_105
        assert paper["discriminator"](torch.empty(1, 6, 256, 256)).shape == (1, 1, 30, 30)
        assert parameters(Generator(16)) == 17_542 and parameters(judge(12)) == 99_973


def test_the_layers_one_after_the_other() -> None:
    kinds = [type(layer).__name__ for layer in Generator(8).modules() if not list(layer.children())]
    down = ["LeakyReLU", "Conv2d", "BatchNorm2d"]
    up = ["ConvTranspose2d", "BatchNorm2d"]
    assert kinds == ["Conv2d", *5 * down, "LeakyReLU", *up, *4 * ["ReLU", *up], "ReLU", "ConvTranspose2d"]
    slopes = {layer.negative_slope for layer in Generator(8).modules() if isinstance(layer, nn.LeakyReLU)}
    widths = [layer.out_channels for layer in Generator(8).modules()
              if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    assert slopes == {0.2} and widths == [8, 8, 8, 8, 4, 1, 4, 8, 8, 8, 8, 3]  # one channel where it is narrowest
    assert [type(stage[1]).__name__ for stage in judge(2).stages[:-1]] == ["Identity", *3 * ["BatchNorm2d"]]  # type: ignore[index]


def test_which_maps_are_added() -> None:
    """What the second and the fourth convolution gave, before the next one's LeakyReLU: counted on a network whose
    blocks add powers of ten, and whose third block on the way back doubles."""
    net = Generator(2)

    class Plus(nn.Module):
        def __init__(self, number: float) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: Tensor) -> Tensor:
            return x + self.number

    net.first = Plus(0.0)  # type: ignore[assignment]
    net.down = nn.ModuleList(Plus(10.0**power) for power in range(5))
    net.up = nn.ModuleList(Plus(0.0) for _ in range(5))
    net.up[2] = Calls(lambda x: 2 * x)
    seen: list[Tensor] = []
    net.last = nn.Sequential(Calls(lambda x: seen.append(x) or x))  # type: ignore[func-returns-value]
    net(torch.zeros(1, 2, 3, 3))
    # all five and convolutions 2 to 4 before the third block, convolution 2 alone behind it
    assert seen[0].unique().tolist() == [2 * (11_111 + 111) + 1]


def test_the_field_and_a_grey_start() -> None:
    """A pixel depends on 25 x 25 pixels; without its last convolution the network says grey."""
    net = Generator(2).eval()
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.constant_(layer.weight, 0.05)
    picture = torch.ones(1, 3, 61, 59, requires_grad=True)
    output = net(picture)
    output[0, 0, 30, 29].backward()
    assert picture.grad is not None and output.shape == picture.shape
    reached = picture.grad[0, 0].abs() > 0
    assert (int(reached.any(0).sum()), int(reached.any(1).sum())) == (25, 25)
    nn.init.zeros_(net.last[1].weight)  # type: ignore[arg-type]
    assert not net(picture).any()


def players() -> dict[str, nn.Module]:
    """A painter that darkens, and a judge that scores the damaged picture's red times the other's green, less its
    blue."""
    return {"generator": Calls(lambda x: 0.5 * x + LIFT),
            "discriminator": Calls(lambda pair: pair[:, :1] * pair[:, 4:5] - pair[:, 5:6])}


def by_hand(residual: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    damaged, true = 2 * SEEN["image"] - 1, 2 * TRUTH["image"] - 1
    return damaged, 0.5 * damaged + 0.1 + (damaged if residual else 0), true


def score(damaged: Tensor, picture: Tensor) -> Tensor:
    return damaged[:, :1] * picture[:, 1:2] - picture[:, 2:3]


@pytest.mark.parametrize("residual", [False, True])
def test_the_discriminator_s_terms(residual: bool) -> None:
    """The whole of both, beside the damaged picture, without a gradient for the generator."""
    terms = made(residual=residual).discriminator_loss(step_with(SEEN, TRUTH, players()))
    damaged, cleared, true = by_hand(residual)
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert terms["real"].item() == pytest.approx(softplus(-score(damaged, true)), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(score(damaged, cleared)), rel=1e-5)


def test_the_generator_s_terms() -> None:
    features = Maps()
    step = step_with(SEEN, TRUTH, players(), features)
    terms = made(mse=7.0, perceptual=3.0, adversarial=0.2).generator_loss(step)
    damaged, cleared, true = by_hand()
    apart = (cleared - true).square().mean().item()
    assert set(terms) == {"mse", "adversarial", "perceptual@imagenet-89abcdef"}
    assert terms["mse"].item() == pytest.approx(7 * apart, rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(0.2 * softplus(-score(damaged, cleared)), rel=1e-5)
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(3 * apart, rel=1e-4)
    assert features.seen == 2 * [(("relu2_2",), False)] and pytest.approx(255 * 0.225, rel=1e-3) == GREY
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_the_feature_network_sees_grey_levels_as_small_as_the_authors() -> None:
    """Squares stand for features: those of x / GREY times GREY are x^2 / GREY."""

    class Squares(Maps):
        def forward(self, x: Tensor, taps: Iterable[str], normalise: bool = True) -> dict[str, Tensor]:
            return {tap: value.square() for tap, value in super().forward(x, taps, normalise).items()}

    terms = made(mse=0.0, perceptual=3.0, adversarial=0.0).generator_loss(step_with(SEEN, TRUTH, players(), Squares()))
    _, cleared, true = by_hand()
    wanted = 3 * ((cleared.square() - true.square()) / 57.4).square().mean().item()
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("settings", "names"), [
    ({"mse": 0.0, "perceptual": 0.0}, {"adversarial"}), ({"perceptual": 0.0, "adversarial": 0.0}, {"mse"}),
    ({"adversarial": 0.0}, {"mse", "perceptual@imagenet-89abcdef"})])
def test_the_runs_of_the_comparison(settings: dict[str, float], names: set[str]) -> None:
    method = made(**settings)
    networks = players() if "adversarial" in names else {"generator": players()["generator"]}
    assert set(method.generator_loss(step_with(SEEN, TRUTH, networks, Maps()))) == names
    assert set(method.build()) == set(networks)
    assert [player.name for player in method.phases()[1].players] == [
        *(["discriminator"] if "adversarial" in names else []), "generator"]


def test_without_a_feature_network_there_is_no_such_term() -> None:
    assert set(made().generator_loss(step_with(SEEN, TRUTH, players()))) == {"mse", "adversarial"}


def test_the_phases_and_one_forward_pass_a_step() -> None:
    method, networks = made(schedule="cosine", lr=0.02, betas=[0.4, 0.9]), players()
    pixel, refined = method.phases()
    assert (pixel.steps, refined.steps) == (4, 6)
    assert [[player.name for player in phase.players] for phase in (pixel, refined)] == [
        ["generator"], ["discriminator", "generator"]]
    step = step_with(SEEN, TRUTH, networks)
    assert set(pixel.players[0].loss(step)) == {"mse"}
    for player in refined.players:
        player.loss(step)
    assert len(networks["generator"].calls) == 1  # type: ignore[arg-type]
    for phase in (pixel, refined):
        for player in phase.players:
            optimiser = optimiser_of(player, method.build())
            assert isinstance(optimiser, torch.optim.Adam)
            assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (0.02, (0.4, 0.9))
    rates = [pixel.players[0].schedule(0, 4), refined.players[1].schedule(1, 6), refined.players[1].schedule(6, 6)]
    assert rates == pytest.approx([1, 0.5, 0]) and refined.players[0].schedule(5, 6) == 1
    assert made().phases()[1].players[1].schedule(5, 6) == 1
    assert [IDCGAN.paper[key] for key in ("mse", "perceptual", "adversarial", "lr", "betas", "batch", "patch",
                                          "perceptual_tap", "residual", "eval_norm")] == [
        150.0, 150.0, 1.0, 2e-4, [0.5, 0.999], 7, 256, "relu2_2", False, "picture"]


def test_biases_are_zeroed_after_each_step() -> None:
    """Of convolutions alone, and of the network that was moved."""
    method = made()
    networks = method.build()
    for network in networks.values():
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.5)
    step = step_with(SEEN, TRUTH, networks)
    phases: list[Phase] = method.phases()
    for player in (phases[0].players[0], phases[1].players[0]):
        assert player.after is not None
        player.after(step)
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                assert module.bias is not None and not module.bias.any() and module.weight.all()
            elif isinstance(module, nn.BatchNorm2d):
                assert module.bias.all()
    untouched = judge(2)
    nn.init.ones_(untouched.stages[0][0].bias)  # type: ignore[index]
    phases[1].players[1].after(step_with(SEEN, TRUTH, {**networks, "discriminator": untouched}))  # type: ignore[misc]
    assert untouched.stages[0][0].bias.all()  # type: ignore[index]
    without_biases(untouched)
    assert not untouched.stages[0][0].bias.any()  # type: ignore[index]


@pytest.mark.parametrize("residual", [False, True])
def test_restore_by_hand(residual: bool) -> None:
    """One picture at a time, in [0, 1]."""
    painter = Calls(lambda x: 0.5 * x + 0.1)
    output = made(residual=residual).restore(Model({"generator": painter}), SEEN, 1)["image"]
    np.testing.assert_allclose(output.numpy(), ((by_hand(residual)[1] + 1) / 2).clip(0, 1).numpy(), atol=1e-6)
    assert [call[0].shape[0] for call in painter.calls] == [1, 1]


def test_what_is_added_is_nothing_at_first() -> None:
    with torch.no_grad():
        output = made(residual=True).restore(Model(made(residual=True).build()), SEEN, 1)["image"]
    torch.testing.assert_close(output, SEEN["image"])
    assert made().build()["generator"].last[1].weight.all()  # type: ignore[index,union-attr]


def test_whose_statistics_normalise() -> None:
    for kind, held in (("picture", 0), ("running", 3 * 10)):
        generator = made(eval_norm=kind).build()["generator"]
        assert sum("running" in key or "tracked" in key for key in generator.state_dict()) == held


def test_it_restores_what_it_learned_from() -> None:
    assert made(kinds=["haze"]).unsupported("haze") is None
    assert made().unsupported("haze") == "learned from rain alone (its setting kinds)"
