"""PatchMatch completion: search and votes equal to plain versions, and what must hold of them."""

import numpy as np
import pytest

from restore_ml.base.errors import SettingError
from restore_ml.method import Model
from restore_ml.methods.inpainting.patchmatch_fill import METHOD, STEPS, Matches, halved, patchmatch_fill, smooth
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.exemplars import holes, stripes, textured, whole_patches

SMALL = {"patch": 5, "rounds": 2, "iterations": 2, "gamma": 1.3, "coarsest": 8}


def filled(picture: np.ndarray, mask: np.ndarray, seed: int = 1, **settings: int) -> np.ndarray:
    return patchmatch_fill(picture, mask, {**SMALL, **settings}, generator(seed))


def patch_of(picture: np.ndarray, y: int, x: int, r: int) -> np.ndarray:
    return picture[y - r:y + r + 1, x - r:x + r + 1].astype(int)


def plain_matches(values: np.ndarray, estimate: np.ndarray, known: np.ndarray, side: int, turns: int,
                  rng: np.random.Generator) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Centres of the patches with missing pixels -> match and distance, patch by patch."""
    height, width = known.shape
    r, whole = side // 2, whole_patches(known, side)[1]
    queries = [(y, x) for y in range(r, height - r) for x in range(r, width - r) if (y, x) not in set(whole)]

    def distance(q: tuple[int, int], s: tuple[int, int]) -> int:
        return int(((patch_of(estimate, *q, r) - patch_of(values, *s, r)) ** 2).sum())

    first = rng.integers(len(whole), size=len(queries))
    best = {q: (*whole[n], distance(q, whole[n])) for q, n in zip(queries, first, strict=True)}

    def attempt(candidates: dict[tuple[int, int], tuple[int, int]]) -> None:
        for q, s in candidates.items():
            if s in set(whole) and distance(q, s) < best[q][2]:
                best[q] = (*s, distance(q, s))

    for turn in range(turns):
        for step in STEPS:
            for down, right in ((-step, 0), (0, -step)) if turn % 2 == 0 else ((step, 0), (0, step)):
                beside = {q: best.get((q[0] + down, q[1] + right)) for q in queries}
                attempt({q: (s[0] - down, s[1] - right) for q, s in beside.items() if s})
        reach = max(height, width)
        while reach >= 1:
            move = rng.integers(-reach, reach + 1, (2, len(queries)))
            attempt({q: (best[q][0] + int(move[0, n]), best[q][1] + int(move[1, n])) for n, q in enumerate(queries)})
            reach //= 2
    return best


def plain_vote(values: np.ndarray, missing: np.ndarray, matches: dict[tuple[int, int], tuple[int, int, int]], side: int,
               gamma: float) -> np.ndarray:
    """Each missing pixel from the patches over it."""
    r, result = side // 2, values.copy()
    spread = np.percentile([d for *_, d in matches.values()], 75)
    known = np.argwhere(~missing)
    for y, x in np.argwhere(missing):
        total, sums = 0.0, np.zeros(values.shape[2])
        for j in range(-r, r + 1):
            for i in range(-r, r + 1):
                if (q := (int(y) - j, int(x) - i)) in matches:
                    s_y, s_x, d = matches[q]
                    depth = np.sqrt(((known - np.array(q)) ** 2).sum(1).min())
                    weight = np.exp(-d / (2 * spread)) * gamma ** -depth
                    total += weight
                    sums += weight * values[s_y + j, s_x + i]
        result[y, x] = np.rint(sums / total)
    return result


@pytest.mark.parametrize(("hole", "channels"), [("middle", 3), ("border", 1), ("lines", 3), ("middle", 0)])
def test_search_and_votes_equal_the_plain_versions(hole: str, channels: int) -> None:
    """Of a texture, and of stripes (0 channels here), where many patches are equally near: the first one stays."""
    part = np.s_[3:18, 5:20]
    whole = textured(4, channels=channels, levels=3) if channels else stripes(20, 23)
    picture, missing = whole[part], holes()[hole][part] > 0
    values = np.where(missing[..., None], np.uint8(0), picture)
    estimate = smooth(values, ~missing)
    matches = Matches(values, ~missing, 5, generator("draws"))
    matches.look_at(estimate)
    for turn in range(2):
        matches.improve(turn)
    expected = plain_matches(values, estimate, ~missing, 5, 2, generator("draws"))
    found = zip(matches.y, matches.x, matches.to_y, matches.to_x, matches.distance, strict=True)
    assert {(int(y), int(x)): (int(a), int(b), int(d)) for y, x, a, b, d in found} == expected
    assert np.array_equal(matches.vote(missing, 1.3), plain_vote(values, missing, expected, 5, 1.3))


def test_distances_never_increase_and_no_match_holds_a_missing_pixel() -> None:
    picture, missing = textured(6, levels=4), holes()["border"] > 0
    matches = Matches(np.where(missing[..., None], np.uint8(0), picture), ~missing, 5, generator("draws"))
    matches.look_at(smooth(picture, ~missing))
    centres = set(whole_patches(~missing, 5)[1])
    before = start = matches.distance.copy()
    for turn in range(4):
        matches.improve(turn)
        assert (matches.distance <= before).all()
        assert set(zip(matches.to_y.tolist(), matches.to_x.tolist(), strict=True)) <= centres
        before = matches.distance.copy()
    assert before.sum() < 0.6 * start.sum()
    finer = Matches(np.zeros((40, 46, 3), np.uint8), ~missing.repeat(2, 0).repeat(2, 1), 5, generator("finer"))
    drawn = finer.to_y.copy(), finer.to_x.copy()
    finer.start_from(matches)
    assert set(zip(finer.to_y.tolist(), finer.to_x.tolist(), strict=True)) <= set(
        whole_patches(~missing.repeat(2, 0).repeat(2, 1), 5)[1])
    twice = 0
    for n, (y, x) in enumerate(zip(finer.y, finer.x, strict=True)):
        number = matches.number[y // 2, x // 2]
        wanted = 2 * matches.to_y[number] + y % 2, 2 * matches.to_x[number] + x % 2
        as_drawn = drawn[0][n], drawn[1][n]
        fits = number >= 0 and wanted[0] < 40 and wanted[1] < 46 and finer.whole[wanted]
        assert (finer.to_y[n], finer.to_x[n]) == (wanted if fits else as_drawn)
        twice += bool(fits)
    assert twice > len(finer.y) // 2


def test_half_the_size_is_the_mean_of_what_is_known() -> None:
    values = np.array([[10, 20, 7], [30, 99, 9], [4, 99, 99]], np.uint8)[..., None]
    known = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 0]], bool)
    smaller, some = halved(values, known)
    assert smaller[..., 0].tolist() == [[20, 8], [4, 0]] and some.tolist() == [[True, True], [True, False]]


def test_the_first_estimate_is_a_plane_where_the_border_is_one() -> None:
    y, x = np.mgrid[:12, :14]
    picture = np.stack([20 + 6 * y + 5 * x, 240 - 7 * x - y, 0 * x + 90], 2).astype(np.uint8)
    known = np.ones((12, 14), bool)
    known[3:9, 4:11] = False
    assert np.array_equal(smooth(np.where(known[..., None], picture, 0).astype(np.uint8), known), picture)
    known[:, 7:] = False
    sides = smooth(np.where(known[..., None], 50, 0).astype(np.uint8), known)
    assert (sides == 50).all()


def test_stripes_are_continued_exactly() -> None:
    picture, mask = stripes(), np.zeros((40, 44), np.uint8)
    mask[17:24, 18:26] = 1
    assert np.array_equal(filled(picture, mask, patch=7, rounds=6, iterations=4), picture)


@pytest.mark.parametrize("hole", ["middle", "border", "lines", "dust"])
def test_known_pixels_stay_the_hole_is_not_read_and_the_seed_decides(hole: str) -> None:
    picture, mask = textured(3, levels=5), holes()[hole]
    result = filled(picture, mask)
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    known = picture[mask == 0]
    assert (result >= known.min(0)).all() and (result <= known.max(0)).all()
    assert np.array_equal(result, filled(np.where(mask[..., None] > 0, 255 - picture, picture), mask))
    if hole != "dust":  # of which few patches are left to draw from
        assert not np.array_equal(result, filled(picture, mask, seed=2))


def test_few_known_pixels_none_and_all() -> None:
    picture, one = textured(1, 5, 6), np.ones((5, 6), np.uint8)
    one[2, 4] = 0
    assert (filled(picture, one) == picture[2, 4]).all()
    for channels in (1, 3):
        picture = textured(2, channels=channels)
        assert np.array_equal(filled(picture, np.zeros((20, 23), np.uint8)), picture)
        missing = filled(picture, np.ones((20, 23), np.uint8))
        assert missing.shape == picture.shape and missing.dtype == np.uint8 and (missing == 128).all()


def test_levels_rounds_and_searches_follow_each_other() -> None:
    """Written out for two levels: a search goes on where the coarser one ended, known pixels are those of the level."""
    picture, mask = textured(7, 24, 26, levels=5), np.zeros((24, 26), np.uint8)
    mask[8:15, 9:17] = 1
    rng, known = generator(3), mask == 0
    values = np.where(known[..., None], picture, np.uint8(0))
    small = halved(values, known)
    coarse = Matches(*small, 5, rng)
    estimate = smooth(*small)
    for _ in range(3):
        coarse.look_at(estimate)
        coarse.improve(0)
        coarse.improve(1)
        estimate = coarse.vote(~small[1], 1.3)
    fine = Matches(values, known, 5, rng)
    fine.start_from(coarse)
    estimate = np.where(known[..., None], values, np.kron(estimate, np.ones((2, 2, 1), np.uint8)))
    for _ in range(3):
        fine.look_at(estimate)
        fine.improve(0)
        fine.improve(1)
        estimate = fine.vote(~known, 1.3)
    assert np.array_equal(filled(picture, mask, seed=3, rounds=3, coarsest=12), estimate)


def test_levels_stop_at_the_coarsest(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, init = list[tuple[int, ...]](), Matches.__init__

    def noted(self: Matches, values: np.ndarray, known: np.ndarray, side: int, rng: np.random.Generator) -> None:
        sizes.append(known.shape)
        init(self, values, known, side, rng)

    monkeypatch.setattr(Matches, "__init__", noted)
    picture, mask = stripes(), np.zeros((40, 44), np.uint8)
    mask[12:25, 14:30] = 1
    for coarsest, expected in ((8, [(10, 11), (20, 22), (40, 44)]), (11, [(20, 22), (40, 44)]), (40, [(40, 44)])):
        sizes.clear()
        filled(picture, mask, patch=3, coarsest=coarsest)
        assert sizes == expected
    sizes.clear()
    filled(picture, mask, patch=7, coarsest=8)  # no patch of 7 is wholly known at 10 x 11
    assert sizes == [(20, 22), (40, 44)]


def test_in_the_harness_with_the_runs_settings() -> None:
    picture, mask = textured(5), holes()["border"]
    inputs = {"image": picture, "mask": mask[..., None]}
    expected = patchmatch_fill(picture, mask, SMALL, generator(4, "draws"))
    assert np.array_equal(restore(METHOD(SMALL), Model(), inputs, 4)["image"], expected)
    assert METHOD.paper == {"patch": 7, "rounds": 10, "iterations": 4, "gamma": 1.3, "coarsest": 16}


def test_what_it_refuses() -> None:
    with pytest.raises(SettingError, match="odd"):
        METHOD({"patch": 6})
