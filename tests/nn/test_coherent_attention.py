"""Coherent semantic attention against its definition, written out a place at a time, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from restore_ml.nn.coherent_attention import LEAST, attention, coherent, feature_hole


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def holes(*pictures: list[tuple[int, int]], side: int = 4) -> Tensor:
    """N x 1 x side x side bool, missing at these rows and columns."""
    hole = torch.zeros(len(pictures), 1, side, side, dtype=torch.bool)
    for number, places in enumerate(pictures):
        for row, column in places:
            hole[number, 0, row, column] = True
    return hole


def by_hand(features: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One picture, C x h x w and h x w: the filled features, and the weights of the known places, a row a hole."""
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    made, rows, before, row_before = features.copy(), [], None, None
    width = hole.shape[1]
    known = [(y, x) for y in range(hole.shape[0]) for x in range(width) if not hole[y, x]]
    for y in range(hole.shape[0]):
        for x in range(width):
            if not hole[y, x]:
                continue
            own = features[:, y, x]
            likeness = [cosine(own, features[:, v, u]) for v, u in known]
            best = int(np.argmax(likeness))
            nearest, row = features[:, known[best][0], known[best][1]], np.zeros(hole.size)
            row[known[best][0] * width + known[best][1]] = 1
            if before is not None:
                adjacent, outer = max(cosine(own, before), 0.0), max(likeness[best], LEAST)
                share = adjacent / (adjacent + outer)
                nearest, row = share * before + (1 - share) * nearest, share * row_before + (1 - share) * row
            made[:, y, x], before, row_before = nearest, nearest, row
            rows.append(row)
    return made, np.array(rows)


SCATTERED = [(0, 1), (1, 0), (1, 1), (1, 3), (2, 2), (3, 0)]


def test_a_batch_is_filled_as_its_definition_says() -> None:
    """Three holes of different lengths in one batch, in the order of reading."""
    features, hole = noise(3, 5, 4, 4) + 0.3, holes(SCATTERED, [(3, 3)], [(0, 0), (2, 1)])
    made = coherent(features, hole)
    order, rows = attention(features.flatten(2).transpose(1, 2), hole.flatten(1))
    for number in range(3):
        wanted, weights = by_hand(features[number].double().numpy(), hole[number, 0].numpy())
        np.testing.assert_allclose(made[number].numpy(), wanted, atol=1e-5)
        np.testing.assert_allclose(rows[number, :len(weights)].numpy(), weights, atol=1e-6)
        assert order[number].tolist() == [*np.flatnonzero(hole[number].numpy()), *[16] * (6 - len(weights))]
    assert torch.equal(made * ~hole, features * ~hole)  # what is known stays to the bit


def test_rows_are_shares_of_known_places() -> None:
    features, hole = noise(2, 3, 6, 6, seed=3), holes([(y, x) for y in range(1, 5) for x in range(1, 5)], side=6)
    _, rows = attention(features.flatten(2).transpose(1, 2), hole.expand(2, -1, -1, -1).flatten(1))
    assert rows.shape == (2, 16, 36) and (rows >= 0).all()
    np.testing.assert_allclose(rows.sum(2).numpy(), 1, atol=1e-6)
    assert not rows[:, :, hole.flatten()].any()


@pytest.mark.parametrize(("second", "wanted"), [
    ((-1.0, 0.05), (0.6, 0.8)),  # opposite to what was made before, (1, 0), which then counts nothing
    ((0.8, -0.6), (1.0, 0.0)),  # orthogonal to one known feature, near to the other, which was made before
    ((0.0, 0.0), (1.0, 0.0))])  # like nothing at all: the first known one, and no 0 / 0
def test_shares_stay_in_range(second: tuple[float, float], wanted: tuple[float, float]) -> None:
    places = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [1.0, 0.1], second]])  # two known, two missing
    missing = torch.tensor([[False, False, True, True]])
    _, rows = attention(places, missing)
    assert (rows >= 0).all() and rows.sum(2).flatten().tolist() == pytest.approx([1, 1])
    assert (rows @ places)[0].flatten().tolist() == pytest.approx([1.0, 0.0, *wanted])


def test_one_missing_place_is_a_copy_of_its_nearest() -> None:
    features, hole = noise(1, 4, 3, 3), holes([(1, 1)], side=3)
    flat = features.flatten(2)[0].double().numpy()
    cosines = flat.T @ flat[:, 4] / np.linalg.norm(flat, axis=0)
    cosines[4] = -np.inf
    made = coherent(features, hole)
    assert torch.equal(made[0, :, 1, 1], features.flatten(2)[0, :, int(cosines.argmax())])


def test_one_colour_gives_itself() -> None:
    features, hole = noise(2, 4, 4, 4, seed=5), holes(SCATTERED, [(0, 0), (0, 1), (0, 2)])
    constant = torch.tensor([1.0, -2.0, 0.5, 3.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(coherent(torch.where(hole, features, constant), hole), constant.expand(2, -1, 4, 4))


def test_nothing_known_and_nothing_missing() -> None:
    features, hole = noise(3, 4, 4, 4), holes([], SCATTERED)
    hole = torch.cat([hole, torch.ones(1, 1, 4, 4, dtype=torch.bool)])
    made = coherent(features, hole)
    assert torch.equal(made[[0, 2]], features[[0, 2]]) and not torch.equal(made[1], features[1])
    assert coherent(features, torch.zeros_like(hole)) is features


@pytest.mark.parametrize("identity", [False, True])
def test_gradients_go_to_known_places_and_by_choice_to_what_was_replaced(identity: bool) -> None:
    features, hole = noise(2, 3, 4, 4, seed=1).requires_grad_(), holes(SCATTERED, [(3, 3)])
    weights = noise(2, 3, 4, 4, seed=2)
    torch.testing.assert_close(coherent(features, hole, identity), coherent(features, hole))  # the same values
    gradient, = torch.autograd.grad((coherent(features, hole, identity) * weights).sum(), features)
    for number in range(2):
        _, rows = by_hand(features[number].detach().double().numpy(), hole[number, 0].numpy())
        missing, upstream = hole[number].flatten().numpy(), weights[number].flatten(1).double().numpy()
        wanted = np.where(missing, upstream if identity else 0, upstream) + upstream[:, missing] @ rows
        np.testing.assert_allclose(gradient[number].flatten(1).numpy(), wanted, atol=1e-5)


def test_arithmetic_of_half_the_bits_keeps_what_is_known() -> None:
    features, hole = noise(1, 4, 4, 4).bfloat16(), holes(SCATTERED)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = coherent(features, hole)
    assert made.dtype == torch.bfloat16 and torch.equal(made * ~hole, features * ~hole)
    wanted, _ = by_hand(features[0].double().numpy(), hole[0, 0].numpy())
    np.testing.assert_allclose(made[0].float().numpy(), wanted, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(("overlap", "count"), [(0, 256), (4, 252)])
def test_the_hole_of_features(overlap: int, count: int) -> None:
    """The middle 128 of 256 pixels are rows and columns 8 to 23 of 32; with an overlap of 4 less the four corners."""
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 64 + overlap:192 - overlap, 64 + overlap:192 - overlap] = 1
    hole = feature_hole(mask)
    wanted = torch.zeros(32, 32, dtype=torch.bool)
    wanted[8:24, 8:24] = True
    if overlap:
        for y in (8, 23):
            for x in (8, 23):
                wanted[y, x] = False
    assert hole.shape == (1, 1, 32, 32) and torch.equal(hole[0, 0], wanted) and int(hole.sum()) == count
    assert feature_hole(mask, 2).shape == (1, 1, 64, 64) and not feature_hole(torch.zeros(1, 1, 64, 64)).any()


def test_a_feature_is_missing_above_five_sixteenths() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 1, 1:4] = 1  # the first feature's 4 x 4 pixels begin one beyond the border
    mask[0, 0, 2, 1:3] = 1
    assert feature_hole(mask, 1)[0, 0].tolist() == [[False, False], [False, False]]  # 4 and 5 pixels
    mask[0, 0, 0, 1:3] = 1
    assert feature_hole(mask, 1)[0, 0].tolist() == [[True, True], [False, False]]
