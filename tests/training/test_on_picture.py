"""Optimisation on the picture: against closed forms, for pixels and networks, for Adam and L-BFGS."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import SettingError
from restore_ml.training.on_picture import RunningMean, optimise


def sgd(rate: float):
    return lambda parameters: torch.optim.SGD(parameters, rate)


def test_pixels_move_down_the_loss_by_the_closed_form():
    """Gradient descent on (x - 3)^2 with rate 0.1 keeps 0.8 of the distance each step."""
    pixels = torch.zeros(2, 2).requires_grad_()
    last = optimise([pixels], lambda step: (pixels - 3).square().sum(), sgd(0.1), 5)
    torch.testing.assert_close(pixels.detach(), torch.full((2, 2), 3 - 3 * 0.8**5))
    assert last == pytest.approx(4 * (3 * 0.8**4) ** 2, rel=1e-5)  # before the last step


def test_lbfgs_finds_the_minimum_of_a_quadratic_and_asks_several_times_a_step():
    target, asked = torch.tensor([1.0, -2.0, 0.5]), []
    matrix = torch.tensor([[3.0, 1, 0], [1, 2, 0], [0, 0, 1]])
    pixels = torch.zeros(3).requires_grad_()

    def loss(step: int) -> Tensor:
        asked.append(step)
        return (pixels - target) @ matrix @ (pixels - target)

    optimise([pixels], loss, lambda p: torch.optim.LBFGS(p, max_iter=10, line_search_fn="strong_wolfe"), 2)
    torch.testing.assert_close(pixels.detach(), target, atol=1e-4, rtol=0)
    assert asked == sorted(asked) and set(asked) == {0, 1} and asked.count(0) > 3


def test_a_network_moves_and_what_is_not_named_gets_no_gradient():
    moved, frozen = nn.Linear(2, 2), nn.Linear(2, 1)
    before = moved.weight.detach().clone()
    given = torch.ones(1, 2)
    with torch.no_grad():  # as the harness calls it
        optimise(list(moved.parameters()), lambda step: frozen(moved(given)).square().sum(), sgd(0.1), 1)
    assert not torch.equal(before, moved.weight) and frozen.weight.grad is None


def test_each_step_is_its_own_and_after_runs_without_gradients():
    pixels, steps, grads = torch.zeros(1).requires_grad_(), [], []

    def after(step: int) -> None:
        grads.append(torch.is_grad_enabled())
        steps.append(("after", step))
        pixels.clamp_(max=0.5)

    def loss(step: int) -> Tensor:
        steps.append(("loss", step))
        return (pixels - 9).square().sum()

    state = torch.get_rng_state()
    optimise([pixels], loss, sgd(0.1), 2, after)
    assert steps == [("loss", 0), ("after", 0), ("loss", 1), ("after", 1)] and grads == [False, False]
    assert pixels.item() == 0.5 and torch.equal(state, torch.get_rng_state())


def test_gradients_of_one_step_do_not_reach_the_next():
    pixels = torch.zeros(1).requires_grad_()
    optimise([pixels], lambda step: (1 - step) * pixels.sum(), sgd(1.0), 2)  # slopes 1, then 0
    assert pixels.item() == -1


def test_no_step_is_refused_in_a_sentence():
    for steps in (0, -1):
        with pytest.raises(SettingError, match=f"cannot be optimised in {steps} steps; set `steps`"):
            optimise([torch.zeros(1).requires_grad_()], lambda step: torch.zeros(()), sgd(1.0), steps)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_moves_anything(bad):
    pixels = torch.zeros(1).requires_grad_()
    with pytest.raises(FloatingPointError, match="not finite at step 1"):
        optimise([pixels], lambda step: pixels.sum() * (bad if step else 1.0), sgd(1.0), 3)
    assert pixels.item() == -1


def test_the_running_mean_is_corrected_for_its_start():
    mean = RunningMean(0.5)
    for value in (1.0, 2.0, 4.0, 8.0):
        mean.add(torch.tensor([value]))
    assert mean.value.item() == pytest.approx((1 * 1 + 2 * 2 + 4 * 4 + 8 * 8) / 15)
    last = RunningMean(0.0)
    for value in (1.0, 2.0):
        last.add(torch.tensor([value], requires_grad=True))
    assert last.value.item() == 2 and not last.value.requires_grad
