"""Efros and Leung's sampling: equal to a plain version, exact on patterns, random by its seed alone."""

import numpy as np
import pytest

from restore_ml.base.errors import SettingError
from restore_ml.method import Model
from restore_ml.methods.inpainting.efros_leung import METHOD, Windows, batches, drawn, efros_leung, front, gaussian
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.exemplars import colours, holes, textured, whole_patches


def plain_error(values: np.ndarray, known: np.ndarray, r: int, q: tuple[int, int], p: tuple[int, int]
                ) -> tuple[int, int]:
    """Weighted squared difference of the windows around q (a source) and p, over the known pixels of p's, and the
    weight used."""
    total, used = 0, 0
    for j in range(-r, r + 1):
        for i in range(-r, r + 1):
            y, x = p[0] + j, p[1] + i
            if 0 <= y < known.shape[0] and 0 <= x < known.shape[1] and known[y, x]:
                weight = max(1, round(1000 * np.exp(-(j * j + i * i) / 2 / ((2 * r + 1) / 6.4) ** 2)))
                used += weight
                total += weight * int(((values[q[0] + j, q[1] + i] - values[y, x]) ** 2).sum())
    return total, used


def plain(picture: np.ndarray, mask: np.ndarray, window: int, rng: np.random.Generator, limit: float = 0.3,
          growth: float = 1.1) -> np.ndarray:
    """The whole method pixel by pixel."""
    values, known = np.where(mask[..., None] > 0, 0, picture).astype(int), mask == 0
    height, width = known.shape
    side, centres = whole_patches(known, window)
    r = side // 2
    while not known.all():
        beside = {(y, x): sum(bool(known[j, i]) for j in range(max(y - 1, 0), min(y + 2, height))
                              for i in range(max(x - 1, 0), min(x + 2, width)))
                  for y in range(height) for x in range(width) if not known[y, x]}
        mixed = [(int(k) // width, int(k) % width) for k in rng.permutation(
            np.array([y * width + x for (y, x), count in beside.items() if count]))]
        mixed.sort(key=lambda p: -beside[p])
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for y, x in mixed:
            groups.setdefault((y % 2, x % 2), []).append((y, x))
        done = 0
        for group in groups.values():
            found = []
            for p in group:
                errors = [plain_error(values, known, r, q, p) for q in centres]
                least = min(total for total, _ in errors)
                found.append([(q, total / max(used, 1) / values.shape[2] / 255**2)
                              for q, (total, used) in zip(centres, errors, strict=True) if 10 * total <= 11 * least])
            numbers = rng.integers([len(each) for each in found])
            picked = [each[number] for each, number in zip(found, numbers, strict=True)]
            for p, (q, error) in zip(group, picked, strict=True):
                if error < limit:
                    values[p], known[p], done = values[q], True, done + 1
        if not done:
            limit *= growth
    return values.astype(np.uint8)


@pytest.mark.parametrize(("hole", "channels"), [("middle", 3), ("border", 1), ("dust", 3)])
def test_it_equals_the_plain_version(hole: str, channels: int) -> None:
    part = np.s_[4:17, 4:18] if hole == "middle" else np.s_[:9, :11]
    picture, mask = textured(len(hole), channels=channels)[part], holes()[hole][part]
    for seed in (1, 2):
        assert np.array_equal(efros_leung(picture, mask, 5, 0, generator(seed)),
                              plain(picture, mask, 5, generator(seed)))


def test_pixels_whose_best_window_is_unlike_wait_for_others() -> None:
    """On noise of black and white few windows are alike: the limit, and how slowly it grows, decide who is first."""
    picture = (generator("noise").random((9, 11, 1)) < 0.5).astype(np.uint8) * 255
    mask = holes()["border"][:9, :11]
    expected = plain(picture, mask, 5, generator(1))
    assert np.array_equal(efros_leung(picture, mask, 5, 0, generator(1)), expected)
    assert not np.array_equal(expected, plain(picture, mask, 5, generator(1), limit=2.0))
    assert not np.array_equal(expected, plain(picture, mask, 5, generator(1), growth=10.0))


def test_weights_are_a_gaussian_in_whole_numbers() -> None:
    weights = gaussian(11)
    assert weights.shape == (11, 11) and weights[5, 5] == 1000 and weights.min() >= 1
    assert weights[5, 6] == weights[4, 5] == round(1000 * np.exp(-0.5 / (11 / 6.4) ** 2)) == 844
    assert weights[0, 5] == round(1000 * np.exp(-12.5 / (11 / 6.4) ** 2)) == 15 and weights[0, 0] == 1


def test_errors_by_hand() -> None:
    values = np.arange(20, dtype=np.int16).reshape(4, 5, 1)
    windows = Windows(values, 3, np.array([1, 2]), np.array([1, 3]))
    patch, seen = np.zeros((1, 3, 3, 1)), np.zeros((1, 3, 3), bool)
    patch[0, 0, 0], patch[0, 1, 1], patch[0, 2, 2] = 2, 5, 99
    seen[0, 0, 0] = seen[0, 1, 1] = True
    corner = round(1000 * np.exp(-1 / (3 / 6.4) ** 2))
    errors, used = windows.errors(patch, seen)
    assert used.tolist() == [1000 + corner]
    assert errors.tolist() == [[corner * 2**2 + 1000 * 1, corner * 5**2 + 1000 * 8**2]]


def test_of_the_windows_within_a_tenth_of_the_best_each_is_as_likely() -> None:
    errors = np.tile(np.array([[111.0, 100.0, 300.0, 110.0, 100.0]]), (3000, 1))
    counts = np.bincount(drawn(errors, generator("draw")), minlength=5)
    assert counts[0] == counts[2] == 0 and (np.abs(counts[[1, 3, 4]] - 1000) < 100).all()
    assert set(drawn(np.array([[0.0, 1.0, 0.0]] * 50), generator("zero")).tolist()) == {0, 2}


def test_a_round_begins_with_the_pixels_that_have_the_most_neighbours() -> None:
    known = np.ones((7, 9), bool)
    known[1:6, 2:8] = False
    known[3, 2] = True
    around = front(known)
    assert around[0, 0] == 0 and around[1, 2] == 5 and around[2, 2] == 4 and around[3, 3] == 1 and around[3, 5] == 0
    groups = batches(known, generator("order"))
    flat = np.concatenate(groups)
    assert sorted(flat.tolist()) == np.flatnonzero(around).tolist() and len(groups) == 4
    for group in groups:
        assert len({(each // 9 % 2, each % 9 % 2) for each in group.tolist()}) == 1
        assert (np.diff(around.flat[group].astype(int)) <= 0).all()
    assert around.flat[groups[0][0]] == around.max()
    other = np.concatenate(batches(known, generator("other")))
    assert other.tolist() != flat.tolist() and sorted(other) == sorted(flat)


@pytest.mark.parametrize(("window", "period", "wrong"), [(7, 4, False), (7, 6, False), (11, 6, False), (3, 6, True)])
def test_a_checkerboard_is_continued_exactly_where_the_window_exceeds_the_period(window, period, wrong) -> None:
    y, x = np.mgrid[:40, :40] // (period // 2)
    picture = (((x + y) % 2) * 200 + 20).astype(np.uint8)[..., None]
    mask = np.zeros((40, 40), np.uint8)
    mask[12:28, 12:28] = 1
    filled = efros_leung(picture, mask, window, 0, generator(1))
    assert ((filled != picture).sum() > 40) if wrong else np.array_equal(filled, picture)


@pytest.mark.parametrize("hole", ["middle", "border", "lines", "dust"])
def test_it_copies_known_pixels_keeps_them_and_does_not_look_into_the_hole(hole: str) -> None:
    picture, mask = textured(3, levels=5), holes()[hole]
    filled = efros_leung(picture, mask, 7, 0, generator(1))
    assert np.array_equal(filled[mask == 0], picture[mask == 0])
    assert colours(filled[mask > 0]) <= colours(picture[mask == 0])
    blanked = np.where(mask[..., None] > 0, 255 - picture, picture)
    assert np.array_equal(filled, efros_leung(blanked, mask, 7, 0, generator(1)))
    if hole != "dust":  # of which few windows are left to draw from
        assert not np.array_equal(filled, efros_leung(picture, mask, 7, 0, generator(2)))


def test_pixels_unlike_all_that_is_known_are_filled_at_last() -> None:
    """A known window of black and a white known line: the pixels beside the line differ by more than the first limit,
    which grows."""
    picture, mask = np.zeros((9, 12, 1), np.uint8), np.zeros((9, 12), np.uint8)
    mask[:, 5:], mask[:, 11] = 1, 0
    picture[:, 11] = 255
    filled = efros_leung(picture, mask, 5, 0, generator(1))
    assert (filled[:, :11] == 0).all() and (filled[:, 11] == 255).all()


def test_few_known_pixels_none_and_all() -> None:
    picture, one = textured(1, 5, 6), np.ones((5, 6), np.uint8)
    one[2, 4] = 0
    assert (efros_leung(picture, one, 11, 0, generator(1)) == picture[2, 4]).all()
    for channels in (1, 3):
        picture = textured(2, channels=channels)
        assert np.array_equal(efros_leung(picture, np.zeros((20, 23), np.uint8), 7, 0, generator(1)), picture)
        missing = efros_leung(picture, np.ones((20, 23), np.uint8), 7, 0, generator(1))
        assert missing.shape == picture.shape and missing.dtype == np.uint8 and (missing == 128).all()


def test_in_the_harness_with_the_runs_settings() -> None:
    picture, mask = textured(5), holes()["border"]
    inputs = {"image": picture, "mask": mask[..., None]}
    for settings in ({"window": 5}, {"window": 3}, {"window": 5, "sources": 9}):
        s = {"sources": 0, **settings}
        expected = efros_leung(picture, mask, s["window"], s["sources"], generator(4, "draws"))
        assert np.array_equal(restore(METHOD(settings), Model(), inputs, 4)["image"], expected)
    assert METHOD.paper == {"window": 11, "sources": 0}


def test_what_it_refuses() -> None:
    with pytest.raises(SettingError, match="odd"):
        METHOD({"window": 6})
