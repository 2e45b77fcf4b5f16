"""Contextual attention against the released code's steps, written as loops over places."""

import numpy as np
import torch
from torch import Tensor

from restore_ml.nn.contextual_attention import ContextualAttention, fused

HEIGHT, WIDTH = 12, 16
"""Of the map; half of that of the places that are compared: no square, so that rows and columns cannot be exchanged."""


def given(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A map and a mask of 4 times its size with a hole of 4 x 3 of the map's places, of which 2 x 2 are compared."""
    x, mask = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)), torch.zeros(
        1, 1, 4 * HEIGHT, 4 * WIDTH)
    mask[..., 16:32, 20:36] = 1
    return x, mask


def by_loops(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """places x patches of one map C x H x W and its mask at half the map's size."""
    small = x[:, ::2, ::2]
    height, width = small.shape[1:]
    padded, edged = (np.pad(each, ((0, 0), (1, 1), (1, 1))) for each in (small, mask[None]))
    places = [(row, column) for row in range(height) for column in range(width)]
    patches = {place: padded[:, place[0]:place[0] + 3, place[1]:place[1] + 3] for place in places}
    clear = {place: not edged[0, place[0]:place[0] + 3, place[1]:place[1] + 3].any() for place in places}
    scores = np.array([[(patches[a] * patches[b]).sum() / max(np.sqrt((patches[b] ** 2).sum()), 1e-4) for b in places]
                       for a in places])
    for order in (places, sorted(places, key=lambda place: (place[1], place[0]))):
        rank = [order.index(place) for place in places]
        sorted_scores = np.empty_like(scores)
        sorted_scores[np.ix_(rank, rank)] = scores
        summed = sorted_scores.copy()
        summed[1:, 1:] += sorted_scores[:-1, :-1]
        summed[:-1, :-1] += sorted_scores[1:, 1:]
        scores = summed[np.ix_(rank, rank)]
    flags = np.array([clear[place] for place in places], float)
    shares = np.exp(10 * (scores * flags) - (10 * scores * flags).max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True) * flags


def test_attention_is_the_released_codes() -> None:
    x, mask = given()
    found = ContextualAttention().attention(x, mask)[0].numpy()
    wanted = by_loops(x[0].double().numpy(), mask[0, 0, ::8, ::8].numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert (wanted.sum(0) == 0).sum() == 4 * 4  # 2 x 2 places are missing, so 4 x 4 patches touch the hole


def test_known_patches_are_pasted_where_they_belong() -> None:
    """Each compared place lends its 4 x 4 values around it; a quarter of each falls on a place of the map."""
    x, mask = given(1)
    layer = ContextualAttention()
    shares = layer.attention(x, mask)[0].double().numpy()
    source = np.pad(x[0].double().numpy(), ((0, 0), (1, 1), (1, 1)))
    wanted = np.zeros_like(source)
    columns = WIDTH // 2
    for place, row in enumerate(shares):
        top, left = (2 * number for number in divmod(place, columns))
        for patch, share in enumerate(row):
            down, right = (2 * number for number in divmod(patch, columns))
            wanted[:, top:top + 4, left:left + 4] += share * source[:, down:down + 4, right:right + 4] / 4
    np.testing.assert_allclose(layer(x, mask)[0].numpy(), wanted[:, 1:-1, 1:-1], atol=1e-4)


def test_a_map_that_is_known_and_matches_itself_comes_back_inside() -> None:
    """With features that are large enough every place takes its own patch alone."""
    x = 30 * torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    made = ContextualAttention()(x, torch.zeros(2, 1, HEIGHT, WIDTH))
    torch.testing.assert_close(made[..., 1:-1, 1:-1], x[..., 1:-1, 1:-1])
    torch.testing.assert_close(made[..., 0, 1:-1], x[..., 0, 1:-1] / 2)  # at the border half of the patches is missing


def test_nothing_of_the_hole_is_pasted_and_nothing_known_gives_nothing() -> None:
    x, mask = given()
    x = x.clone().requires_grad_()
    layer = ContextualAttention()
    shares = layer.attention(x, mask)
    assert ((shares.sum(-1) <= 1 + 1e-5) & (shares.sum(-1) > 0)).all()
    hole = torch.nn.functional.max_pool2d(mask[..., ::8, ::8], 3, 1, 1).flatten() > 0
    assert not shares[..., hole].any() and shares[..., ~hole].max() > 0.5
    gradient, = torch.autograd.grad(layer(x, mask).square().sum(), x)
    assert gradient.abs().sum() > 0 and torch.isfinite(gradient).all()
    assert not layer(x, torch.ones_like(mask)).any()
    assert torch.isfinite(torch.autograd.grad(layer(x * 0, mask).sum(), x)[0]).all()  # patches of zeros have no norm


def test_scores_of_neighbours_are_added_along_rows_and_columns() -> None:
    """One pair scores 1: pairs that lie one place further on both sides, in either direction, get it too, and those one
    place on in rows and columns both."""
    height, width = 4, 5
    scores = torch.zeros(1, 20, 20)
    at = {(row, column): row * width + column for row in range(height) for column in range(width)}
    scores[0, at[1, 2], at[2, 3]] = 1
    made = fused(scores, height, width)[0]
    wanted = torch.zeros(20, 20)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if 3 + right < width and 2 + down < height:
                wanted[at[1 + down, 2 + right], at[2 + down, 3 + right]] = 1
    inside = torch.zeros(20, 20, dtype=torch.bool)
    for (row, column), place in at.items():
        for (other, beside), patch in at.items():
            inside[place, patch] = abs(row - 1) <= 1 and abs(column - 2) <= 1 and abs(other - 2) <= 1 \
                and abs(beside - 3) <= 1
    torch.testing.assert_close(made[inside], wanted[inside])
    assert 9 - 2 < made.sum() <= 9  # as in the released code, the end of a row and the start of the next are neighbours
