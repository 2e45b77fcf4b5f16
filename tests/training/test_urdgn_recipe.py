"""Who plays, and rates and weights that fall, against what they are by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.training.urdgn_recipe import adversarial_weight, errors, falling_rate, optimiser, who_plays
from tests.methods.by_hand import Calls, draw

WEIGHT = nn.Parameter(torch.tensor(2.0))


def test_errors_by_hand():
    """Means of -log D of the true and -log(1 - D) of the made; only the discriminator is moved by them."""
    truth, lift = draw(3, 3, 4, 4), nn.Parameter(torch.tensor(0.5))
    judge = Calls(lambda x: WEIGHT * x.mean((1, 2, 3))[:, None] - 1)
    made = draw(3, 3, 4, 4, seed=1) + lift
    real, fake = errors(judge, truth, made)
    scores = [1 / (1 + np.exp(-(2 * x.detach().double().numpy().mean((1, 2, 3)) - 1))) for x in (truth, made)]
    assert real.item() == pytest.approx(-np.log(scores[0]).mean(), rel=1e-5)
    assert fake.item() == pytest.approx(-np.log(1 - scores[1]).mean(), rel=1e-5)
    slopes = torch.autograd.grad(real + fake, [WEIGHT, lift], allow_unused=True)
    assert slopes[0] is not None and slopes[1] is None


@pytest.mark.parametrize(("real", "fake", "margin", "plays"), [
    (0.5, 0.5, 0.3, (1, 1)), (0.2, 0.5, 0.3, (0, 1)), (0.5, 0.2, 0.3, (0, 1)), (0.8, 0.5, 0.3, (1, 0)),
    (0.5, 0.8, 0.3, (1, 0)), (0.2, 0.9, 0.3, (1, 1)), (0.9, 0.2, 0.3, (1, 1)), (0.35, 0.5, 0.4, (0, 1)),
    (0.5, 0.65, 0.4, (1, 0)), (0.2, 0.5, 0.0, (1, 1)), (0.5, 1.5, 0.0, (1, 1))])
def test_who_plays(real, fake, margin, plays):
    """The discriminator rests below the margin, the generator above one less it; both play where both would rest."""
    given = [torch.tensor(value, requires_grad=True) for value in (real, fake)]
    gates = who_plays(*given, margin)
    assert tuple(gate.item() for gate in gates) == plays
    assert not any(gate.requires_grad for gate in gates) and gates[0].dtype == torch.float32


def test_the_adversarial_weight_falls_to_its_floor():
    assert [adversarial_weight(epoch, 0.01, 0.99, 0.005) for epoch in (0, 1, 2)] == pytest.approx(
        [0.01, 0.0099, 0.01 * 0.99**2])
    assert adversarial_weight(10**4, 0.01, 0.99, 0.005) == 0.005


def test_the_rate_warms_up_and_falls():
    rate = falling_rate(1e-3, 0.99, 115)
    assert [rate(step, 10**6) for step in (0, 49, 50, 99, 100, 114, 115, 230)] == pytest.approx(
        [1 / 50, 1 / 50, 1 / 5, 1 / 5, 1, 1, 0.99, 0.99**2])
    assert rate(10**7, 10**8) == pytest.approx(1e-3), "a rate of 1e-6"
    assert falling_rate(1e-2, 0.5, 10)(10**6, 10**8) == pytest.approx(1e-4)


def test_the_optimisers():
    for kind, expected in (("rmsprop", {"alpha": 0.9, "eps": 1e-8}), ("adam", {"betas": (0.5, 0.999), "eps": 1e-8})):
        made = optimiser(kind, 2e-3, [("weight", WEIGHT)])
        assert type(made).__name__.lower() == kind and made.defaults["lr"] == 2e-3
        assert {name: made.defaults[name] for name in expected} == expected


@pytest.mark.parametrize("kind", ["rmsprop", "adam"])
def test_a_player_that_is_stopped_keeps_its_weights_and_averages(kind):
    """Zero gradients are no step, though momentum would move on; one that is not zero is a step of all."""
    weight, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    made = optimiser(kind, 0.1, [("weight", weight), ("other", other)])

    def step(*gradients: float) -> None:
        weight.grad, other.grad = (torch.full_like(p, value) for p, value in zip((weight, other), gradients,
                                                                                 strict=True))
        made.step()

    step(0.5, 2.0)
    kept = [weight.detach().clone(), other.detach().clone()]
    state = {name: value.clone() for name, value in made.state[weight].items() if torch.is_tensor(value)}
    step(0.0, 0.0)
    assert torch.equal(weight, kept[0]) and torch.equal(other, kept[1])
    assert state and all(torch.equal(made.state[weight][name], value) for name, value in state.items())
    step(0.0, 1.0)
    assert not torch.equal(other, kept[1])
    assert any(not torch.equal(made.state[weight][name], value) for name, value in state.items())
