"""Null-space LDA against the card's toy figures and its invariants."""

import numpy as np
import pytest

from restore_ml.metrics import nlda


def toy() -> tuple[np.ndarray, np.ndarray]:
    """The card's: 24 persons, 50 values, a true picture and a made one of each."""
    k, d = np.arange(24)[:, None], np.arange(50)[None]
    true = np.sin(0.7 * k * (d + 1) + 0.1 * d)
    return true, true + np.cos(0.9 * k * (d + 2))


def test_the_card_s_toy() -> None:
    true, made = toy()
    learned = np.concatenate([made[:12], true[:12]])
    axes = nlda.directions(learned, np.tile(np.arange(12), 2))
    assert axes.shape == (50, 11)
    np.testing.assert_allclose(axes.T @ axes, np.eye(11), atol=1e-9)
    assert np.abs((made[:12] - true[:12]) @ axes).max() < 1e-12  # all of a class are one point
    owners = [str(number) for number in range(12, 24)]
    gallery, probes = ((rows[12:] - learned.mean(0)) @ axes for rows in (made, true))
    rates = [nlda.rank1(gallery[:, :kept], owners, probes[:, :kept], owners) for kept in (2, 5, 11)]
    assert rates == pytest.approx([0.667, 0.833, 0.75], abs=5e-4)


def test_the_first_direction_parts_the_classes_most() -> None:
    true, made = toy()
    axes = nlda.directions(np.concatenate([made[:12], true[:12]]), np.tile(np.arange(12), 2))
    spreads = (true[:12] @ axes).std(0)
    assert (np.diff(spreads) <= 1e-9).all() and spreads[0] > 1.2 * spreads[-1]


def test_rank_1_by_hand() -> None:
    gallery, owners = np.array([[1.0, 0], [0, 1], [-1, 0]]), ["a", "b", "c"]
    probes = np.array([[5.0, 1], [0.1, 0.2], [1, -9]])  # nearest by angle: a, b, a
    assert nlda.rank1(gallery, owners, probes, ["a", "b", "c"]) == pytest.approx(2 / 3)


def test_persons_are_recognised_where_made_pictures_are_like_the_true_ones() -> None:
    rng = np.random.default_rng(0)
    persons = [f"p{number}" for number in range(12) for _ in range(3)]
    own = np.repeat(rng.normal(0, 1, (12, 200)), 3, axis=0)
    true = own + rng.normal(0, 0.3, own.shape)
    like = nlda.recognised(true + rng.normal(0, 0.3, own.shape), true, persons)
    unlike = nlda.recognised(rng.normal(0, 1, own.shape), true, persons)
    assert 0.05 < unlike < 0.5  # six persons are asked for
    assert like > 0.7
    assert nlda.recognised(own, true, persons) == nlda.recognised(own, true, persons)


@pytest.mark.parametrize(("there", "learned"), [(338, 150), (944, 300), (10, 5), (11, 5)])
def test_how_many_persons_are_learned_from(monkeypatch, there, learned) -> None:
    """150 of CUFS's 338 test persons and 300 of CUFSF's 944 in 20 partings, as published; half of any other number."""
    seen, asked = [], []

    def directions(samples, classes):
        seen.append(frozenset(samples[:, 0].tolist()))
        assert len(samples) == 2 * learned and len(np.unique(classes)) == learned
        return np.eye(2)[:, :1]

    monkeypatch.setattr(nlda, "directions", directions)
    monkeypatch.setattr(nlda, "rank1", lambda gallery, owners, probes, persons: asked.append(owners) or len(persons))
    persons = [f"p{number:03d}" for number in range(there)]
    own = np.stack([np.arange(there), np.ones(there)], 1)
    assert nlda.recognised(own, own, persons) == there - learned
    assert len(seen) == len(set(seen)) == 20 or there < 338
    for numbers, names in zip(seen, asked, strict=True):  # the others are asked for, all of them
        assert {f"p{int(number):03d}" for number in numbers}.isdisjoint(names) and len(set(names)) == there - learned


def test_equal_pictures_have_no_direction() -> None:
    same = np.ones((8, 30))
    assert np.isnan(nlda.recognised(same, same, [f"p{number}" for number in range(8)]))
