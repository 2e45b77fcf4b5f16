"""The fitting of an untrained network to one picture: its inputs, noise, averages and the way back to older weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from restore_ml.training.deep_prior import Fallback, fit, fixed_noise, fresh, meshgrid


class Number(nn.Module):
    """One learnt number, drawn all over the picture; remembers what it was shown."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.number, self.shown = nn.Parameter(torch.tensor(start)), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x.detach().clone())
        return self.number + 0 * x


def test_noise_is_uniform_and_belongs_to_the_seed() -> None:
    noise = fixed_noise(8, torch.zeros(1, 3, 20, 30), 5)
    assert noise.shape == (1, 8, 20, 30) and 0 <= noise.min() < 0.001 and 0.099 < noise.max() < 0.1
    assert torch.equal(noise, fixed_noise(8, torch.zeros(1, 3, 20, 30), 5))
    assert not torch.equal(noise, fixed_noise(8, torch.zeros(1, 3, 20, 30), 6))


def test_the_meshgrid_says_column_and_row() -> None:
    grid = meshgrid(torch.zeros(1, 3, 3, 5))
    assert grid.shape == (1, 2, 3, 5)
    assert grid[0, 0, 1].tolist() == [0, 0.25, 0.5, 0.75, 1] and grid[0, 1, :, 2].tolist() == [0, 0.5, 1]


def test_first_weights_belong_to_the_seed_and_touch_no_global_draws() -> None:
    state, like = torch.get_rng_state(), torch.zeros(1)
    first, second, again = (fresh(lambda: nn.Linear(3, 3), like, seed).weight for seed in (1, 2, 1))
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state()) and first.requires_grad


def test_a_fresh_network_normalises_by_the_picture_at_hand() -> None:
    with torch.no_grad():
        network = fresh(lambda: nn.BatchNorm2d(2), torch.zeros(1), 1)
    x = 3 + torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    shown = fit(network, x, lambda output: output.square().mean(), 1, steps=1, lr=0.1)
    torch.testing.assert_close(shown.mean((2, 3)), torch.zeros(1, 2), atol=1e-5, rtol=0)


def test_outputs_are_averaged_over_the_steps_or_the_last_is_given() -> None:
    given = torch.zeros(1, 1, 2, 2)
    # Adam's steps down a slope of 1 are its rate each: the outputs are 0, -0.5, -1.
    last = fit(Number(), given, lambda output: output.mean(), 1, steps=3, lr=0.5)
    torch.testing.assert_close(last, torch.full_like(given, -1.0), atol=1e-5, rtol=0)
    mean = fit(Number(), given, lambda output: output.mean(), 1, steps=3, lr=0.5, average=0.5)
    torch.testing.assert_close(mean, torch.full_like(given, (0 * 1 - 0.5 * 2 - 1 * 4) / 7), atol=1e-5, rtol=0)


def test_jitter_is_normal_noise_on_what_is_given_anew_each_step() -> None:
    given, network = torch.rand(1, 2, 50, 60), Number()
    fit(network, given, lambda output: output.mean(), 1, steps=3, lr=0.1, jitter=0.2)
    noise = [shown - given for shown in network.shown]
    assert all(each.std().item() == pytest.approx(0.2, rel=0.05) and abs(each.mean()) < 0.01 for each in noise)
    assert not torch.equal(noise[0], noise[1])
    other, same = Number(), Number()
    fit(other, given, lambda output: output.mean(), 2, steps=1, lr=0.1, jitter=0.2)
    fit(same, given, lambda output: output.mean(), 1, steps=1, lr=0.1, jitter=0.2)
    assert torch.equal(same.shown[0], network.shown[0]) and not torch.equal(other.shown[0], network.shown[0])


def test_weight_jitter_shakes_kernels_in_their_own_units_and_biases_never() -> None:
    network, given = nn.Conv2d(40, 40, 3), torch.zeros(1, 40, 3, 3)
    before, bias = network.weight.detach().clone(), network.bias.detach().clone()
    fit(network, given, lambda output: 0 * output.sum(), 1, steps=1, lr=0.1, weight_jitter=0.5)
    moved = network.weight.detach() - before
    assert (moved.std() / before.std()).item() == pytest.approx(0.5, rel=0.03)
    assert torch.equal(network.bias, bias)
    first = network.weight.detach().clone()
    fit(network, given, lambda output: 0 * output.sum(), 1, steps=2, lr=0.1, weight_jitter=0.5)
    twice = network.weight.detach() - first
    assert twice.std() > 0.55 * first.std() and not torch.allclose(twice, 2 * moved, atol=1e-3)  # anew, and it stays


def test_the_weights_of_the_last_look_come_back_when_the_error_leaps() -> None:
    network, guard = Number(1.0), Fallback(2, 5.0)
    place: list[float] = []
    for step, (number, error) in enumerate([(1.0, 0.9), (2.0, 0.5), (3.0, 9.0), (4.0, 1.57), (5.0, 9.0), (6.0, 1.59 *
                                                                                                         math.sqrt(10))]):
        with torch.no_grad():
            network.number.fill_(number)
        guard.last = error
        guard.look(network, step)
        place.append(network.number.item())
    # 5 dB is a factor of 3.16: 1.57 is within it of 0.5 and becomes the next measure, 5.03 is beyond it of 1.57.
    assert place == [1, 2, 3, 4, 5, 4]


def test_fitting_goes_back_when_it_breaks() -> None:
    """The objective turns over after four steps and drives the number away."""
    network, steps = Number(), iter(range(100))

    def objective(output: Tensor) -> Tensor:
        return (output.mean() - 0.1).square() if next(steps) < 4 else (output.mean() + 3).square()

    fit(network, torch.zeros(1, 1, 2, 2), objective, 1, steps=6, lr=0.02, fallback=Fallback(2, 5.0))
    assert network.number.item() == pytest.approx(0.0774, abs=0.002)  # near four steps of 0.02
    unguarded, steps = Number(), iter(range(100))
    fit(unguarded, torch.zeros(1, 1, 2, 2), objective, 1, steps=6, lr=0.02)
    assert unguarded.number.item() < 0.07
