"""cyclegan: the card's counts, both players' terms by hand, the pool of made pictures, a generator a direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.sketch_photo.cyclegan import CycleGan
from restore_ml.nn.cyclegan_parts import judge, pooled
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

SMALL = {"width": 4, "blocks": 1, "disc_width": 4, "disc_layers": 2, "patch": 16, "pool": 3}
INPUTS, TARGET = {"source": draw(2, 3, 16, 16)}, {"truth": draw(2, 3, 16, 16, seed=1)}
LIFTS = {"photo_to_sketch": nn.Parameter(torch.tensor(0.1)), "sketch_to_photo": nn.Parameter(torch.tensor(-0.2))}


def made(**settings: Any) -> CycleGan:
    return CycleGan({**SMALL, **settings})


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper = CycleGan({}).build()
    assert {name: count(network) for name, network in paper.items()} == {
        "photo_to_sketch": 11_378_179, "sketch_to_photo": 11_378_179, "photo_judge": 2_764_737,
        "sketch_judge": 2_764_737}
    six = CycleGan({"blocks": 6, "width": 8}).build()["photo_to_sketch"]
    assert sum(type(layer).__name__ == "ResidualBlock" for layer in six.modules()) == 6


def test_the_judge_is_normalised_within_a_picture() -> None:
    network = judge(4, 3)
    kinds = [[type(layer).__name__ for layer in stage] for stage in network.stages]  # type: ignore[arg-type]
    assert kinds == [["Conv2d", "Identity", "LeakyReLU"], *[["Conv2d", "InstanceNorm2d", "LeakyReLU"]] * 3, ["Conv2d"]]
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert all(stage[0].bias is not None for stage in network.stages)  # type: ignore[index]
    assert [stage[1].num_features for stage in network.stages[1:-1]] == [8, 16, 32]  # type: ignore[index]


def players() -> dict[str, nn.Module]:
    """Generators that darken and brighten, judges that tell red from green and green from blue."""
    return {"photo_to_sketch": Calls(lambda x: 0.5 * x + LIFTS["photo_to_sketch"]),
            "sketch_to_photo": Calls(lambda x: 1.5 * x + LIFTS["sketch_to_photo"]),
            "photo_judge": Calls(lambda x: 2 * x[:, :1] - x[:, 1:2]),
            "sketch_judge": Calls(lambda x: x[:, 1:2] - 3 * x[:, 2:])}


def step(networks: dict[str, nn.Module], method: CycleGan) -> Context:
    context = step_with(INPUTS, TARGET, networks)
    context.state = method.extra_state()
    return context


P, S = (2 * tensor.double().numpy() - 1 for tensor in (INPUTS["source"], TARGET["truth"]))
G_P, F_S = 0.5 * P + 0.1, 1.5 * S - 0.2
FIRST = {"adversarial_sketch": np.square(G_P[:, 1] - 3 * G_P[:, 2] - 1).mean(),
         "adversarial_photo": np.square(2 * F_S[:, 0] - F_S[:, 1] - 1).mean(),
         "cycle_sketch": 10 * np.abs(1.5 * G_P - 0.2 - P).mean(),
         "cycle_photo": 10 * np.abs(0.5 * F_S + 0.1 - S).mean()}
IDENTITY = {"identity_sketch": 5 * np.abs(0.5 * S + 0.1 - S).mean(),
            "identity_photo": 5 * np.abs(1.5 * P - 0.2 - P).mean()}


@pytest.mark.parametrize(("identity", "expected"), [(0.0, FIRST), (0.5, FIRST | IDENTITY)])
def test_the_generators_terms(identity: float, expected: dict[str, float]) -> None:
    """Whole squares to 1, 10 times the way there and back, 10 times 0.5 of what should have stayed."""
    terms = made(identity=identity).generator_loss(step(players(), made()))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    for name, term in terms.items():  # a cycle moves both generators, the rest one
        reached = [lift for lift, value in LIFTS.items()
                   if torch.autograd.grad(term, value, retain_graph=True, allow_unused=True)[0] is not None]
        assert reached == (list(LIFTS) if "cycle" in name else
                           ["photo_to_sketch" if "sketch" in name else "sketch_to_photo"])


def test_the_weight_of_the_cycle_counts_for_the_identity_too() -> None:
    terms = made(cycle=2.0, identity=0.25).generator_loss(step(players(), made()))
    assert terms["cycle_photo"].item() == pytest.approx(FIRST["cycle_photo"] / 5, rel=1e-5)
    assert terms["identity_sketch"].item() == pytest.approx(IDENTITY["identity_sketch"] / 10, rel=1e-5)


def test_the_cycle_of_identities_is_nothing() -> None:
    networks = {**players(), **{name: Calls(lambda x: x + 0 * LIFTS["photo_to_sketch"]) for name in LIFTS}}
    terms = made(identity=0.5).generator_loss(step(networks, made()))
    assert [terms[name].item() for name in (*FIRST, *IDENTITY)][2:] == [0, 0, 0, 0]


def test_the_discriminators_terms() -> None:
    """Half the squares of true pictures to 1 and of made ones to 0; no gradient to the generators."""
    terms = made().discriminator_loss(step(players(), made()))
    expected = {"real_sketch": np.square(S[:, 1] - 3 * S[:, 2] - 1).mean() / 2,
                "fake_sketch": np.square(G_P[:, 1] - 3 * G_P[:, 2]).mean() / 2,
                "real_photo": np.square(2 * P[:, 0] - P[:, 1] - 1).mean() / 2,
                "fake_photo": np.square(2 * F_S[:, 0] - F_S[:, 1]).mean() / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())


def test_one_forward_pass_a_step_and_who_moves_what() -> None:
    method, networks = made(steps=9), players()
    [phase] = method.phases()
    context = step(networks, method)
    for player in phase.players:
        player.loss(context)
    assert [len(networks[name].calls) for name in networks] == [2, 2, 3, 3]  # type: ignore[arg-type]
    assert phase.steps == 9 and [(player.name, list(player.networks)) for player in phase.players] == [
        ("generators", ["photo_to_sketch", "sketch_to_photo"]), ("discriminators", ["photo_judge", "sketch_judge"])]
    assert method.stored_networks == ("photo_to_sketch", "sketch_to_photo")


def test_the_recipe() -> None:
    method = made(lr=0.02, betas=[0.4, 0.9])
    networks = method.build()
    for player in method.phases()[0].players:
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (0.02, (0.4, 0.9))
        assert [player.schedule(number, 8) for number in (0, 4, 5, 7)] == [1, 1, 0.75, 0.25]
    assert [CycleGan.paper[key] for key in ("cycle", "identity", "pool", "lr", "betas", "batch", "unpaired")] == [
        10.0, 0.0, 50, 2e-4, [0.5, 0.999], 1, True]
    assert networks["photo_to_sketch"](torch.zeros(1, 3, 16, 16)).shape == (1, 3, 16, 16)
    with pytest.raises(UserError, match="unpaired of cyclegan is False; it must be True"):
        made(unpaired=False)


def pictures(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, 4, 4).clone()


def shown_for(context: Context, *values: float) -> list[float]:
    return pooled(context, "photo", pictures(*values))[:, 0, 0, 0].tolist()


def pool_of(size: int, seed: int = 0) -> Context:
    state = made(pool=size, patch=4).extra_state()
    return Context({}, {}, [], {}, step=0, steps=1, generator=torch.Generator().manual_seed(seed), state=state)


def test_a_pool_fills_first_and_then_swaps_half_of_the_time() -> None:
    context = pool_of(4)
    assert shown_for(context, 1, 2, 3) == [1, 2, 3] and int(context.state["photo_held"]) == 3
    assert context.state["photo"][:, 0, 0, 0].tolist() == [1, 2, 3, 0]
    assert shown_for(context, 4) == [4] and int(context.state["sketch_held"]) == 0
    swapped, held = 0, {1.0, 2.0, 3.0, 4.0}
    for value in range(5, 405):
        [shown] = shown_for(context, float(value))
        if shown != value:  # it was in the pool, and the new one is in its place
            assert shown in held
            held = held - {shown} | {float(value)}
            swapped += 1
        assert set(context.state["photo"][:, 0, 0, 0].tolist()) == held
    assert 160 < swapped < 240 and int(context.state["photo_held"]) == 4


def test_every_place_of_a_full_pool_is_drawn() -> None:
    context = pool_of(3)
    shown_for(context, 1, 2, 3)
    drawn = {shown_for(context, 9.0)[0] for _ in range(60)}
    assert drawn == {1, 2, 3, 9}


def test_an_empty_pool_gives_what_it_gets() -> None:
    context, new = pool_of(0), pictures(1, 2)
    assert pooled(context, "photo", new) is new


def test_what_the_pool_holds_is_not_changed_by_later_steps_and_draws_are_the_step_s() -> None:
    first, second = ([shown_for(context, *map(float, range(start, start + 4))) for start in (0, 4, 8)]
                     for context in (pool_of(4, 3), pool_of(4, 3)))
    assert first == second
    context = pool_of(2)
    pooled(context, "sketch", made_now := pictures(5, 6))
    made_now.zero_()
    assert context.state["sketch"][:, 0, 0, 0].tolist() == [5, 6]


def test_the_pool_is_what_the_discriminators_see() -> None:
    method = made(pool=2)
    networks = players()
    context = step(networks, method)
    method.discriminator_loss(context)
    np.testing.assert_allclose(context.state["sketch"].numpy(), G_P, atol=1e-6)
    np.testing.assert_allclose(context.state["photo"].numpy(), F_S, atol=1e-6)
    assert method.extra_state()["photo"].shape == (2, 3, 16, 16)


def test_restore_takes_the_generator_of_the_direction() -> None:
    model = Model({name: network for name, network in players().items() if name in LIFTS})
    with torch.no_grad():
        output = made().restore(model, {**INPUTS, "direction": torch.tensor([1, 0])}, 1)["picture"].double().numpy()
    np.testing.assert_allclose(output[0], (1.5 * P[0] - 0.2 + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(output[1], (0.5 * P[1] + 0.1 + 1) / 2, atol=1e-6)


def test_a_few_steps_lower_the_cycle() -> None:
    method = made(lr=4e-3)
    torch.manual_seed(0)
    networks = method.build()
    moves = [(player, optimiser_of(player, networks)) for player in method.phases()[0].players]
    state, values = method.extra_state(), []
    for _ in range(20):
        context = step_with(INPUTS, TARGET, networks)
        context.state = state
        for player, optimiser in moves:
            optimiser.zero_grad()
            terms = player.loss(context)
            sum(terms.values()).backward(inputs=[p for group in optimiser.param_groups for p in group["params"]])  # type: ignore[union-attr]
            optimiser.step()
            values.append(sum(term.item() for name, term in terms.items() if "cycle" in name))
    assert values[-2] < 0.9 * values[0]
