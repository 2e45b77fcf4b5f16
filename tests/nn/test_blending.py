"""What a network says, made to agree with the known pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_ml.nn.blending import BLENDS, blended, poisson, to_known_level
from restore_ml.nn.hole_filling import harmonic

DRAWS = torch.Generator().manual_seed(3)


@pytest.fixture
def hole() -> torch.Tensor:
    mask = torch.zeros(2, 1, 16, 20)
    mask[0, :, 4:11, 5:12], mask[1, :, :6, 9:] = 1, 1
    return mask


@pytest.fixture
def truth() -> torch.Tensor:
    return torch.rand(2, 3, 16, 20, generator=DRAWS) * 0.6 + 0.2


def test_a_gain_and_an_offset_of_each_channel_are_undone(truth: torch.Tensor, hole: torch.Tensor) -> None:
    gain, offset = torch.tensor([0.5, 2.0, 1.3]), torch.tensor([0.3, -0.2, 0.1])
    said = truth * gain[:, None, None] + offset[:, None, None]
    torch.testing.assert_close(to_known_level(said, truth * (1 - hole), hole), truth)


def test_the_level_is_numpys_least_squares(truth: torch.Tensor, hole: torch.Tensor) -> None:
    said = torch.rand(2, 3, 16, 20, generator=DRAWS) * 0.1 + truth * 0.5
    fitted = to_known_level(said, truth, hole)
    known = hole[1, 0].numpy() == 0
    gain, offset = np.polyfit(said[1, 2].numpy()[known], truth[1, 2].numpy()[known], 1)
    np.testing.assert_allclose(fitted[1, 2].numpy(), gain * said[1, 2].numpy() + offset, atol=1e-5)


def test_what_is_flat_or_upside_down_gets_the_known_mean(truth: torch.Tensor, hole: torch.Tensor) -> None:
    known = hole[0, 0] == 0
    for said in (torch.full_like(truth, 0.9), 1 - truth):
        fitted = to_known_level(said, truth, hole)
        assert fitted[0, 1].sub(truth[0, 1][known].mean()).abs().max() < 1e-6


def test_a_faint_picture_is_fitted_and_a_fainter_one_counts_as_flat(hole: torch.Tensor) -> None:
    """A ramp of columns of variance 1e-4, and the same of 1e-8, which is below 1e-6."""
    ramp = torch.linspace(-1, 1, 20).expand(2, 3, 16, 20)
    truth, known = 0.5 + 0.2 * ramp, (hole == 0).expand(2, 3, 16, 20)
    spread = torch.stack([ramp[number][known[number]].std(correction=0) for number in range(2)]).view(2, 1, 1, 1)
    torch.testing.assert_close(to_known_level(0.3 + 1e-2 * ramp / spread, truth, hole), truth)
    flat = to_known_level(0.3 + 1e-4 * ramp / spread, truth, hole)
    for number in range(2):
        mean = truth[number, 1][hole[number, 0] == 0].mean().item()
        assert flat[number].sub(mean).abs().max() < 1e-6


def test_poisson_keeps_gradients_inside_and_known_values_outside(truth: torch.Tensor, hole: torch.Tensor) -> None:
    said = truth + torch.linspace(-0.1, 0.1, 20)  # a ramp too much: harmonic, so it is taken off to the last digit
    fixed = poisson(said, truth * (1 - hole), hole)
    torch.testing.assert_close(fixed[0], truth[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(fixed * (1 - hole), truth * (1 - hole))


def test_poisson_of_a_constant_is_the_heat_filling(truth: torch.Tensor, hole: torch.Tensor) -> None:
    flat = poisson(torch.full_like(truth, 0.7), truth * (1 - hole), hole)
    for number in range(2):
        heat = harmonic((truth * (1 - hole))[number].double().numpy().transpose(1, 2, 0), hole[number, 0].numpy() > 0)
        np.testing.assert_allclose(flat[number].numpy().transpose(1, 2, 0), heat, atol=1e-6)


@pytest.mark.parametrize("kind", BLENDS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_known_and_nothing_known(truth: torch.Tensor, kind: str, value: float) -> None:
    said = torch.rand(2, 3, 16, 20, generator=DRAWS)
    result = blended(kind, said, truth, torch.full((2, 1, 16, 20), value))
    assert result.dtype == torch.float32 and result.min() >= 0 and result.max() <= 1
    if value or kind == "none":
        torch.testing.assert_close(result, said)


def test_what_is_under_the_hole_tells_nothing(truth: torch.Tensor, hole: torch.Tensor) -> None:
    said = torch.rand(2, 3, 16, 20, generator=DRAWS)
    for kind in BLENDS:
        assert torch.equal(blended(kind, said, truth * (1 - hole), hole),
                           blended(kind, said, truth * (1 - hole) + 9 * hole, hole))
