"""cyclegan_color: the card's counts, both players' terms by hand, unpaired pictures, the fixed way back, a training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey
from restore_ml.method import Context, Model
from restore_ml.methods.colorization.cyclegan_color import CycleGanColor, Luma, condition
from restore_ml.metrics.colour import chroma_ratio
from restore_ml.restoring import harness
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import PIX2PIX, count, error, scene, trained

SMALL = {"width": 4, "blocks": 1, "disc_width": 4, "disc_layers": 2, "patch": 16, "pool": 3, "batch": 2}
INPUTS, TARGET = {"L": 30 + 40 * draw(2, 1, 16, 16)}, {"rgb": draw(2, 3, 16, 16, seed=1)}
LIFTS = {"colourer": nn.Parameter(torch.tensor(0.1)), "greyer": nn.Parameter(torch.tensor(-0.2))}


def made(**settings: Any) -> CycleGanColor:
    return CycleGanColor({**SMALL, **settings})


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper, fixed = CycleGanColor({}).build(), CycleGanColor({"fixed_gray": True}).build()
    assert {name: count(network) for name, network in paper.items()} == {
        "colourer": 11_378_179, "greyer": 11_378_179, "colour_judge": 2_764_737, "grey_judge": 2_764_737}
    assert {name: count(network) for name, network in fixed.items()} == {
        "colourer": 11_378_179, "greyer": 0, "colour_judge": 2_764_737}


def test_the_fixed_way_back_is_the_luma() -> None:
    picture = 2 * draw(2, 3, 5, 7) - 1
    luma = Luma()(picture)
    torch.testing.assert_close(luma, grey(picture, "y601")[:, None].repeat(1, 3, 1, 1))
    np.testing.assert_allclose(luma[:, 2], picture[:, 0] * 0.299 + picture[:, 1] * 0.587 + picture[:, 2] * 0.114,
                               atol=1e-6)
    torch.testing.assert_close(Luma()(luma), luma)  # a grey picture stays


def test_the_grey_that_is_shown_has_the_input_s_lightness_and_three_equal_channels() -> None:
    shown = condition(INPUTS["L"])
    assert shown.shape == (2, 3, 16, 16)
    lab = rgb2lab(((shown + 1) / 2).movedim(1, -1).double().numpy())
    np.testing.assert_allclose(lab[..., 0], INPUTS["L"][:, 0], atol=1e-3)
    np.testing.assert_allclose(lab[..., 1:], 0, atol=1e-2)


def players(fixed: bool = False) -> dict[str, nn.Module]:
    """Generators that darken and brighten, judges that tell red from green and green from blue."""
    networks: dict[str, nn.Module] = {
        "colourer": Calls(lambda x: 0.5 * x + LIFTS["colourer"] * torch.tensor([1.0, 2.0, -1.0]).view(3, 1, 1)),
        "greyer": Luma() if fixed else Calls(lambda x: 1.5 * x + LIFTS["greyer"]),
        "colour_judge": Calls(lambda x: 2 * x[:, :1] - x[:, 1:2])}
    return networks if fixed else {**networks, "grey_judge": Calls(lambda x: x[:, 1:2] - 3 * x[:, 2:])}


def step(networks: dict[str, nn.Module], method: CycleGanColor, number: int = 0,
         before: torch.Tensor | None = None) -> Context:
    context = step_with(INPUTS, TARGET, networks)
    context.step, context.state = number, method.extra_state()
    if before is not None:
        context.state["before"] = before
    return context


BEFORE = 2 * draw(2, 3, 16, 16, seed=5) - 1
X, Y = condition(INPUTS["L"]).double().numpy(), BEFORE.double().numpy()
LIFT = 0.1 * np.array([1.0, 2.0, -1.0])[:, None, None]
G_X, F_Y = 0.5 * X + LIFT, 1.5 * Y - 0.2


def test_the_generators_terms() -> None:
    """Whole squares to 1 and `cycle` times the way there and back, of the colours of the step before."""
    terms = made(cycle=10.0).generator_loss(step(players(), made(), 1, BEFORE))
    expected = {"adversarial_colour": np.square(2 * G_X[:, 0] - G_X[:, 1] - 1).mean(),
                "cycle_grey": 10 * np.abs(1.5 * G_X - 0.2 - X).mean(),
                "adversarial_grey": np.square(F_Y[:, 1] - 3 * F_Y[:, 2] - 1).mean(),
                "cycle_colour": 10 * np.abs(0.5 * F_Y + LIFT - Y).mean()}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    for name, term in terms.items():  # a cycle moves both generators, an adversary one
        reached = [lift for lift, value in LIFTS.items()
                   if torch.autograd.grad(term, value, retain_graph=True, allow_unused=True)[0] is not None]
        assert reached == (list(LIFTS) if "cycle" in name else ["colourer" if "colour" in name else "greyer"])
    half = made(cycle=5.0).generator_loss(step(players(), made(), 1, BEFORE))
    assert [half[name].item() for name in ("cycle_grey", "cycle_colour")] == pytest.approx(
        [expected["cycle_grey"] / 2, expected["cycle_colour"] / 2], rel=1e-5)


def test_the_discriminators_terms() -> None:
    """Half the squares of true pictures to 1 and of made ones to 0; no gradient to the generators."""
    terms = made().discriminator_loss(step(players(), made(), 1, BEFORE))
    expected = {"real_colour": np.square(2 * Y[:, 0] - Y[:, 1] - 1).mean() / 2,
                "fake_colour": np.square(2 * G_X[:, 0] - G_X[:, 1]).mean() / 2,
                "real_grey": np.square(X[:, 1] - 3 * X[:, 2] - 1).mean() / 2,
                "fake_grey": np.square(F_Y[:, 1] - 3 * F_Y[:, 2]).mean() / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())


def test_with_a_fixed_way_back_the_luminance_and_the_colour_judge_alone_teach() -> None:
    """Neither the grey side's judge nor the cycle of coloured pictures, which would be learning from pairs."""
    method, networks = made(fixed_gray=True), players(fixed=True)
    context = step(networks, method, 1, BEFORE)
    terms = method.generator_loss(context) | method.discriminator_loss(context)
    luma = np.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], G_X)
    expected = {"adversarial_colour": np.square(2 * G_X[:, 0] - G_X[:, 1] - 1).mean(),
                "cycle_grey": 10 * np.abs(luma - X[:, 0]).mean(),
                "real_colour": np.square(2 * Y[:, 0] - Y[:, 1] - 1).mean() / 2,
                "fake_colour": np.square(2 * G_X[:, 0] - G_X[:, 1]).mean() / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert set(method.extra_state()) == {"colour", "colour_held", "before"}
    [phase] = method.phases()
    assert [player.networks for player in phase.players] == [["colourer"], ["colour_judge"]]


def test_the_coloured_pictures_are_never_those_of_the_grey_ones() -> None:
    """At the first step the neighbours' in the batch, then those of the step before, whatever is shown."""
    method, networks = made(), players()
    own = 2 * TARGET["rgb"] - 1
    first = step(networks, method)
    assert torch.equal(method._true(first)[1], own.flip(0)) and torch.equal(method._true(first)[1], own.flip(0))
    assert torch.equal(first.state["before"], own)
    second = step_with(INPUTS, {"rgb": draw(2, 3, 16, 16, seed=9)}, networks)
    second.step, second.state = 1, first.state
    method.generator_loss(second)
    method.discriminator_loss(second)
    assert torch.equal(networks["greyer"].calls[0][0], own)  # type: ignore[union-attr,index]
    torch.testing.assert_close(second.state["before"], 2 * draw(2, 3, 16, 16, seed=9) - 1)
    assert method.extra_state()["before"].shape == (2, 3, 16, 16)


def test_the_judges_see_earlier_pictures() -> None:
    """A full pool shows an older picture in half of the cases, and keeps the new one in its place."""
    method, networks = made(pool=1, batch=1), players()
    state, older = method.extra_state(), 0
    for number in range(40):
        context = step_with({"L": torch.full((1, 1, 16, 16), 20.0 + number)}, {"rgb": TARGET["rgb"][:1]}, networks)
        context.step, context.state = number, state
        context.generator = torch.Generator().manual_seed(number)
        method.discriminator_loss(context)
        new = networks["colourer"].calls[-1][0]  # type: ignore[union-attr,index]
        newest = 0.5 * new + torch.from_numpy(LIFT).float()
        older += not torch.allclose(networks["colour_judge"].calls[-1][0], newest, atol=1e-6)  # type: ignore[union-attr,index]
        assert not state["colour"].requires_grad
    assert 10 < older < 30 and int(state["colour_held"]) == int(state["grey_held"]) == 1


def test_one_forward_pass_a_step_and_who_moves_what() -> None:
    method, networks = made(steps=9), players()
    [phase] = method.phases()
    context = step(networks, method)
    for player in phase.players:
        player.loss(context)
    assert [len(networks[name].calls) for name in networks] == [2, 2, 3, 3]  # type: ignore[arg-type]
    assert phase.steps == 9 and [(player.name, player.networks) for player in phase.players] == [
        ("generators", ["colourer", "greyer"]), ("discriminators", ["colour_judge", "grey_judge"])]
    assert method.stored_networks == ("colourer",)


def test_the_recipe_and_what_is_refused() -> None:
    method = made(lr=0.02, disc_lr=0.03, betas=[0.4, 0.9])
    networks = method.build()
    for player, rate in zip(method.phases()[0].players, (0.02, 0.03), strict=True):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.4, 0.9))
        assert [player.schedule(number, 8) for number in (0, 4, 5, 7)] == [1, 1, 0.75, 0.25]
    assert [CycleGanColor.paper[key] for key in ("fixed_gray", "cycle", "pool", "lr", "betas", "batch")] == [
        False, 10.0, 50, 2e-4, [0.5, 0.999], 1]
    assert {**CycleGanColor.paper, "dropout": True}.items() >= PIX2PIX.items()
    assert sum(type(layer).__name__ == "ResidualBlock" for layer in networks["colourer"].modules()) == 1
    assert networks["grey_judge"](torch.zeros(1, 3, 16, 16)).shape == (1, 1, 2, 2)
    assert method.extra_state()["grey"].shape == (3, 3, 16, 16)
    with pytest.raises(UserError, match="patch"):
        made(patch=18)


def test_restore_by_hand() -> None:
    """The network's picture from [-1, 1] to [0, 1], and its own ab."""
    with torch.no_grad():
        output = made().restore(Model({"colourer": players()["colourer"]}), INPUTS, 1)
    rgb = (G_X + 1) / 2
    np.testing.assert_allclose(output["rgb"].numpy(), rgb, atol=1e-5)
    np.testing.assert_allclose(output["ab"].numpy(), np.moveaxis(rgb2lab(np.moveaxis(rgb, 1, -1))[..., 1:], -1, 1),
                               atol=5e-2)


@pytest.mark.parametrize("fixed", [False, True])
def test_it_learns_to_colour(project: Path, fixed: bool) -> None:
    """Without pairs: the scenes' two colours are found by their textures, nearer than grey, and vivid."""
    method, model, facts = trained(project, "cyclegan_color", fixed_gray=fixed)
    learned, without = error(method, model)
    assert learned < without
    lab = rgb2lab(scene(100)).astype(np.float32)
    made = harness.restore(method, model, {"L": lab[..., :1]}, 1)["ab"]
    assert chroma_ratio(made, lab[..., 1:]) > 0.3
    assert set(facts["parameters"]) >= {"colourer", "colour_judge"} and set(model.networks) == {"colourer"}
