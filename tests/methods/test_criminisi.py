"""Criminisi's region filling: priorities by hand, equal to a plain version, and what it must keep."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from restore_ml.base.errors import SettingError
from restore_ml.method import Model
from restore_ml.methods.inpainting import criminisi as module
from restore_ml.methods.inpainting.criminisi import METHOD, Exemplars, Priorities, criminisi
from restore_ml.nn.known_patches import sources
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.exemplars import colours, holes, stripes, textured, whole_patches


def plain_priority(grey: np.ndarray, known: np.ndarray, confidence: np.ndarray, r: int, y: int, x: int) -> float:
    """P of one missing pixel, from the definition."""
    height, width = known.shape

    def inside(j: int, i: int) -> bool:
        return 0 <= j < height and 0 <= i < width

    near = [(y + j, x + i) for j in range(-r, r + 1) for i in range(-r, r + 1) if inside(y + j, x + i)]
    c = sum(confidence[q] for q in near if known[q]) / len(near)
    best, gradient = -1.0, (0.0, 0.0)
    for j, i in near:
        five = [(j, i), (j - 1, i), (j + 1, i), (j, i - 1), (j, i + 1)]
        if all(inside(*q) and known[q] for q in five):
            g = ((grey[j + 1, i] - grey[j - 1, i]) / 510, (grey[j, i + 1] - grey[j, i - 1]) / 510)
            size = round((510 * g[0]) ** 2 + (510 * g[1]) ** 2)
            if size > best:
                best, gradient = size, g

    def hole_at(j: int, i: int) -> float:
        return 1.0 - known[min(max(j, 0), height - 1), min(max(i, 0), width - 1)]

    smooth = {-1: 1, 0: 2, 1: 1}
    n = (sum(smooth[i] * (hole_at(y + 1, x + i) - hole_at(y - 1, x + i)) for i in smooth),
         sum(smooth[j] * (hole_at(y + j, x + 1) - hole_at(y + j, x - 1)) for j in smooth))
    length = np.hypot(*n) or 1.0
    isophote = (-gradient[1], gradient[0])
    d = abs(isophote[0] * n[0] / length + isophote[1] * n[1] / length) + 1e-3
    return round(c * d, 9)


def plain(picture: np.ndarray, mask: np.ndarray, patch: int, space: str) -> np.ndarray:
    """The whole method pixel by pixel, everything computed anew for every patch."""
    filled, known = np.where(mask[..., None] > 0, 0, picture).astype(np.uint8), mask == 0
    height, width = known.shape
    side, centres = whole_patches(known, patch)
    r, confidence = side // 2, known.astype(float)
    colour = picture.shape[2] == 3
    values = (cv2.cvtColor(filled, cv2.COLOR_RGB2LAB) if colour and space == "lab" else filled).astype(int)
    grey = (cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY) if colour else filled[..., 0]).astype(int)
    while not known.all():
        best, place = -1.0, (0, 0)
        for y, x in np.argwhere(~known):
            beside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            if any(0 <= j < height and 0 <= i < width and known[j, i] for j, i in beside):
                p = plain_priority(grey, known, confidence, r, y, x)
                if p > best:
                    best, place = p, (int(y), int(x))
        y, x = place
        offsets = [(j, i) for j in range(-r, r + 1) for i in range(-r, r + 1)
                   if 0 <= y + j < height and 0 <= x + i < width]
        seen = [(j, i) for j, i in offsets if known[y + j, x + i]]
        source = min(centres, key=lambda q: (
            sum(int(((values[q[0] + j, q[1] + i] - values[y + j, x + i]) ** 2).sum()) for j, i in seen),
            (q[0] - y) ** 2 + (q[1] - x) ** 2, q))
        trust = sum(confidence[y + j, x + i] for j, i in seen) / len(offsets)
        for j, i in offsets:
            if not known[y + j, x + i]:
                for plane in (filled, values, grey):
                    plane[y + j, x + i] = plane[source[0] + j, source[1] + i]
                confidence[y + j, x + i], known[y + j, x + i] = trust, True
    return filled


@pytest.mark.parametrize(("hole", "channels", "space"), [
    ("middle", 3, "lab"), ("border", 3, "rgb"), ("lines", 1, "lab"), ("dust", 3, "lab"), ("middle", 1, "rgb")])
def test_it_equals_the_plain_version(hole: str, channels: int, space: str) -> None:
    part = np.s_[:12, :13] if hole == "dust" else np.s_[:, :]
    picture, mask = textured(len(hole), channels=channels)[part], holes()[hole][part]
    assert np.array_equal(criminisi(picture, mask, 5, space), plain(picture, mask, 5, space))


def test_a_priority_by_hand() -> None:
    """A hole right of column 3, and a step of 100 levels between rows 3 and 4: at (3, 4) and (4, 4) the isophote is
    along x and so is the normal."""
    grey, known = np.zeros((8, 8), np.int32), np.ones((8, 8), np.uint8)
    grey[4:], known[:, 4:] = 100, 0
    grey[known == 0] = 0
    priority = Priorities(3).of(grey, known, known.astype(float))
    assert (priority[:, :4] == -1).all() and (priority[:, 5:] == -1).all()
    assert priority[1, 4] == pytest.approx(3 / 9 * 0.001) and priority[0, 4] == pytest.approx(2 / 6 * 0.001)
    # The patch of (3, 4) reaches column 3, where no gradient is known (column 4 is missing).
    assert priority[3, 4] == pytest.approx(3 / 9 * 0.001)
    wide = Priorities(5).of(grey, known, known.astype(float))
    assert wide[3, 4] == wide[4, 4] == pytest.approx(10 / 25 * (100 / 510 + 0.001), abs=1e-9)
    assert Priorities(5).of(grey, known, known / 2)[3, 4] == pytest.approx(5 / 25 * (100 / 510 + 0.001), abs=1e-9)


def test_a_priority_computed_around_a_patch_is_that_of_the_whole_picture() -> None:
    rng = generator("around")
    grey, known = rng.integers(0, 255, (50, 47)).astype(np.int32), np.ones((50, 47), np.uint8)
    known[8:40, 10:47] = 0
    confidence, priorities = known * rng.random(known.shape), Priorities(5)
    priority = priorities.of(grey, known, confidence)
    for y, x in ((8, 12), (20, 10), (39, 46), (23, 12)):
        around = np.s_[max(y - 2, 0):y + 3, max(x - 2, 0):x + 3]
        new = known[around] == 0
        known[around] = 1
        grey[around] = np.where(new, rng.integers(0, 255, new.shape), grey[around])
        confidence[around] = np.where(new, 0.3, confidence[around])
        priorities.renew(priority, y, x, grey, known, confidence)
        assert np.array_equal(priority, priorities.of(grey, known, confidence))


def test_of_equal_sources_the_nearest_is_taken_then_the_first() -> None:
    values = np.zeros((9, 30, 1), np.int16)
    y, x = np.array([1, 4, 4, 4]), np.array([2, 8, 16, 20])
    exemplars, nothing = Exemplars(values, 3, y, x), np.zeros((3, 3, 1), np.int32)
    assert exemplars.nearest(nothing, np.ones((3, 3), bool), 4, 19) == (4, 20)
    assert exemplars.nearest(nothing, np.ones((3, 3), bool), 4, 12) == (4, 8)
    values[4, 20] = 7
    exemplars, seen = Exemplars(values, 3, y, x), np.ones((3, 3), bool)
    assert exemplars.nearest(nothing, seen, 4, 19) == (4, 16)
    seen[1, 1] = False
    assert exemplars.nearest(nothing, seen, 4, 19) == (4, 20)


def test_stripes_are_continued_exactly() -> None:
    picture, mask = stripes(), np.zeros((40, 44), np.uint8)
    mask[14:26, 15:29] = 1
    assert np.array_equal(criminisi(np.where(mask[..., None] > 0, 0, picture), mask), picture)


@pytest.mark.parametrize("hole", ["middle", "border", "lines", "dust"])
def test_it_copies_known_pixels_keeps_them_and_does_not_look_into_the_hole(hole: str) -> None:
    picture, mask = textured(3, levels=5), holes()[hole]
    filled = criminisi(picture, mask, 7)
    assert np.array_equal(filled[mask == 0], picture[mask == 0])
    assert colours(filled[mask > 0]) <= colours(picture[mask == 0])
    assert np.array_equal(filled, criminisi(np.where(mask[..., None] > 0, 255 - picture, picture), mask, 7))


def test_each_patch_fills_at_least_a_pixel_and_trusts_it_less_than_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, asked, nearest, renew = holes()["middle"], list[int](), Exemplars.nearest, Priorities.renew
    trusted = []

    def counted(self: Exemplars, patch: np.ndarray, seen: np.ndarray, y: int, x: int) -> tuple[int, int]:
        asked.append(y)
        return nearest(self, patch, seen, y, x)

    def noted(self: Priorities, priority: np.ndarray, y: int, x: int, *planes: np.ndarray) -> None:
        trusted.append(planes[2].copy())
        renew(self, priority, y, x, *planes)

    monkeypatch.setattr(module.Exemplars, "nearest", counted)
    monkeypatch.setattr(module.Priorities, "renew", noted)
    criminisi(textured(1), mask, 5)
    assert 4 <= len(asked) <= mask.sum()
    assert (trusted[-1][mask == 0] == 1).all() and (trusted[-1][mask > 0] < 1).all() and (trusted[-1] > 0).all()
    assert all((now[before > 0] == before[before > 0]).all() for before, now in pairwise(trusted))


def test_where_no_patch_is_wholly_known_the_patch_becomes_smaller() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 3::4] = 1
    side, y, x = sources(mask == 0, 9, 0, generator("any"))
    assert side == 3 and sorted(set(x.tolist())) == [1, 5, 9, 13] and sorted(set(y.tolist())) == list(range(1, 15))
    one = np.ones((5, 6), np.uint8)
    one[2, 4] = 0
    picture = textured(1, 5, 6)
    assert (criminisi(picture, one) == picture[2, 4]).all()


def test_sources_are_drawn_in_reading_order_from_the_generator() -> None:
    known = holes()["middle"] == 0
    _, y, x = sources(known, 5, 0, generator("any"))
    centres = list(zip(y.tolist(), x.tolist(), strict=True))
    assert centres == whole_patches(known, 5)[1]
    drawn = [list(zip(*(each.tolist() for each in sources(known, 5, 20, generator(name))[1:]), strict=True))
             for name in "aab"]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 20
    assert drawn[0] == sorted(set(drawn[0])) and set(drawn[0]) <= set(centres)


@pytest.mark.parametrize("channels", [1, 3])
def test_wholly_known_and_wholly_missing(channels: int) -> None:
    picture = textured(2, channels=channels)
    assert np.array_equal(criminisi(picture, np.zeros((20, 23), np.uint8)), picture)
    missing = criminisi(picture, np.ones((20, 23), np.uint8))
    assert missing.shape == picture.shape and missing.dtype == np.uint8 and (missing == 128).all()


def test_in_the_harness_with_the_runs_settings() -> None:
    picture, mask = textured(5), holes()["border"]
    inputs = {"image": picture, "mask": mask[..., None]}
    for patch, space, most in ((5, "lab", 0), (3, "rgb", 0), (5, "lab", 9)):
        expected = criminisi(picture, mask, patch, space, most, generator(4, "sources"))
        settings = {"patch": patch, "space": space, "sources": most}
        assert np.array_equal(restore(METHOD(settings), Model(), inputs, 4)["image"], expected)
    assert METHOD.paper == {"patch": 9, "space": "lab", "sources": 0}


def test_what_it_refuses() -> None:
    with pytest.raises(SettingError, match="odd"):
        METHOD({"patch": 8})
    with pytest.raises(SettingError, match="lab or rgb"):
        METHOD({"space": "hsv"})
