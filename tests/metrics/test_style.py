"""Distances of content and style by hand: shares of the wanted maps, whatever their size and scale."""

import pytest
import torch

from restore_ml.metrics.style import content_distance, gram, style_distance


def test_gram_of_the_card_divided_by_the_places() -> None:
    """F = arange(24).reshape(2, 3, 4) / 10: F F^T is [[5.06, 12.98], [12.98, 38.18]]."""
    maps = torch.arange(24, dtype=torch.float64).reshape(1, 2, 3, 4) / 10
    torch.testing.assert_close(gram(maps) * 12, torch.tensor([[[5.06, 12.98], [12.98, 38.18]]], dtype=torch.float64))


def test_gram_does_not_know_where_anything_is() -> None:
    maps = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    shuffled = maps.flatten(2)[..., torch.randperm(20, generator=torch.Generator().manual_seed(1))].reshape(maps.shape)
    torch.testing.assert_close(gram(shuffled), gram(maps))
    torch.testing.assert_close(gram(torch.cat([maps, maps], 3)), gram(maps))  # nor how much of it there is
    assert gram(maps).shape == (2, 3, 3)


def test_shares_by_hand() -> None:
    """Content: (1 + 9) / (10 + 20) and 4 / (9 + 1); style: Gram matrices of one channel are mean squares."""
    wanted = {"a": torch.tensor([[[[2.0, 4.0]]]]), "b": torch.tensor([[[[1.0]]]])}
    maps = {"a": torch.tensor([[[[3.0, 1.0]]]]), "b": torch.tensor([[[[3.0]]]]), "c": torch.ones(1, 1, 1, 1)}
    assert content_distance(maps, wanted).item() == pytest.approx((10 / 30 + 4 / 10) / 2)
    of_a, of_b = (5 - 10) ** 2 / (5 ** 2 + 10 ** 2), (9 - 1) ** 2 / (9 ** 2 + 1)
    assert style_distance(maps, wanted).item() == pytest.approx((of_a + of_b) / 2)


def test_the_same_is_nothing_away_nothing_is_one_away_and_units_do_not_matter() -> None:
    wanted = {"a": torch.rand(1, 3, 4, 4), "b": torch.rand(1, 2, 2, 2)}
    nothing = {tap: torch.zeros_like(value) for tap, value in wanted.items()}
    other = {tap: value.flip(1) + 0.1 for tap, value in wanted.items()}
    for distance in (content_distance, style_distance):
        assert distance(wanted, wanted).item() == 0
        assert distance(nothing, wanted).item() == pytest.approx(1)
        ten = ({tap: 10 * value for tap, value in maps.items()} for maps in (other, wanted))
        assert distance(*ten).item() == pytest.approx(distance(other, wanted).item(), rel=1e-4)


def test_dead_maps_are_no_division_by_nothing() -> None:
    dead = {"a": torch.zeros(1, 2, 3, 3)}
    assert content_distance(dead, dead).item() == style_distance(dead, dead).item() == 0
