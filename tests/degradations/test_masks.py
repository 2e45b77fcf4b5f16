"""Masks: values, shares and determinism for every generator, and the published statistics of the brush strokes."""

from functools import partial

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from restore_ml.degradations import masks
from restore_ml.degradations.irregular_masks import BUCKETS, irregular_bucket
from restore_ml.degradations.object_masks import _outline, object_outline
from restore_ml.seeds import generator

GENERATORS = {
    "centre": masks.center_square, "random_square": masks.random_square, "random_rect": masks.random_rect,
    "several_rects": masks.several_rects, "half": masks.half, "pattern": masks.ce_random_pattern,
    "brush_stroke": masks.brush_stroke, "stroke_or_box": masks.stroke_or_box, "random_walk": masks.random_walk,
    "bernoulli": masks.bernoulli, "text": masks.text, "scratch": masks.scratch, "stripes": masks.stripes,
    "wedges": masks.wedges, "border": masks.border, "object": object_outline,
    **{f"irregular_{k}": partial(irregular_bucket, k=k) for k in BUCKETS},
}


@pytest.mark.parametrize("name", GENERATORS)
@settings(deadline=None, max_examples=10)
@given(height=st.integers(48, 160), width=st.integers(48, 160), seed=st.integers(0, 2**32))
def test_every_generator_gives_a_repeatable_mask_with_holes_and_known_pixels(name, height, width, seed):
    make = GENERATORS[name]
    mask = make(height, width, generator(seed))
    assert mask.shape == (height, width) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 1}
    assert np.array_equal(mask, make(height, width, generator(seed)))


@pytest.mark.parametrize("name", sorted(set(GENERATORS) - {"centre"}))
def test_other_seeds_give_other_masks(name):
    drawn = {GENERATORS[name](96, 96, generator(seed)).tobytes() for seed in range(12)}
    assert len(drawn) >= (2 if name == "half" else 10)


@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("k", BUCKETS)
@settings(deadline=None, max_examples=15)
@given(size=st.integers(32, 160), seed=st.integers(0, 2**32))
def test_irregular_masks_lie_in_their_class(k, border, size, seed):
    mask = irregular_bucket(size, size + 7, generator(seed), k, border)
    assert BUCKETS[k][0] < mask.mean() <= BUCKETS[k][1]
    if not border:
        frame = int(np.ceil(size * 50 / 512))
        assert not mask[:frame].any() and not mask[-frame:].any()
        assert not mask[:, :frame].any() and not mask[:, -frame:].any()


@settings(deadline=None, max_examples=60)
@given(height=st.integers(16, 160), width=st.integers(16, 160), seed=st.integers(0, 2**32))
def test_an_object_is_one_piece_of_5_to_30_per_cent_and_no_rectangle(height, width, seed):
    mask = object_outline(height, width, generator(seed))
    assert 0.05 <= mask.mean() <= 0.3 and ndimage.label(mask, np.ones((3, 3)))[1] == 1
    assert ndimage.label(1 - np.pad(mask, 1))[1] == 1, "no hole in the hole"
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask.sum() < 0.9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_objects_are_of_every_size_and_place_with_a_smooth_outline():
    drawn = np.stack([object_outline(96, 96, generator("object", seed)) for seed in range(300)])
    shares = drawn.mean((1, 2))
    assert shares.min() < 0.09 and shares.max() > 0.27 and 0.14 < shares.mean() < 0.23
    places = drawn.mean(0)
    for part in (places[:48], places[48:], places[:, :48], places[:, 48:]):
        assert abs(part.mean() - places.mean()) < 0.02
    opened = np.stack([cv2.morphologyEx(each, cv2.MORPH_OPEN, masks.shape_disc(1)) for each in drawn])
    assert (opened == drawn).mean() > 0.998, "the outline is dilated by a pixel"
    wide = [np.ptp(np.flatnonzero(each.any(0))) / np.ptp(np.flatnonzero(each.any(1))) for each in drawn]
    assert np.quantile(wide, 0.1) < 0.7 and np.quantile(wide, 0.9) > 1.4


def test_an_outline_has_6_to_8_corners_and_passes_each_along_the_line_between_its_neighbours():
    """The handles of each Bezier curve are found back from its points."""
    t = np.arange(1, 12)[:, None] / 12
    inner = np.hstack([3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t)])
    seen = set()
    for seed in range(40):
        points = _outline(generator("outline", seed)).reshape(-1, 12, 2)
        corners, seen = points[:, 0], seen | {len(points)}
        after, before = np.roll(corners, -1, axis=0), np.roll(corners, 1, axis=0)
        chords = (after - before) / np.linalg.norm(after - before, axis=1, keepdims=True)
        away = np.linalg.norm(after - corners, axis=1)
        radius, turn = np.hypot(*corners.T), np.arctan2(corners[:, 1], corners[:, 0])
        assert (radius >= 0.2).all() and (radius <= 0.5).all()
        even = np.arange(len(corners)) * 2 * np.pi / len(corners)
        assert (np.abs(np.angle(np.exp(1j * (turn - even)))) <= 2 * np.pi / len(corners) / 3 + 1e-9).all()
        parts = []
        for number, curve in enumerate(points):
            ends = (1 - t) ** 3 * corners[number] + t ** 3 * after[number]
            leaving, arriving = np.linalg.lstsq(inner, curve[1:] - ends, rcond=None)[0]
            parts += [(leaving - corners[number]) / away[number] @ chords[number],
                      (after[number] - arriving) / away[number] @ np.roll(chords, -1, axis=0)[number]]
            np.testing.assert_allclose(leaving - corners[number], parts[-2] * away[number] * chords[number], atol=1e-9)
        np.testing.assert_allclose(parts, parts[0])
        assert 0.3 <= parts[0] <= 0.4  # half of a roughness of 0.6 to 0.8
    assert seen == {6, 7, 8}


def test_pictures_without_room_for_an_object_are_refused():
    with pytest.raises(RuntimeError, match="fits 4 x 4"):
        object_outline(4, 4, generator(0))


def test_irregular_masks_without_room_are_refused():
    with pytest.raises(ValueError, match="cannot be more than 50%"):
        irregular_bucket(5, 5, generator(0), 6, border=False)


def test_brush_strokes_have_the_published_statistics():
    ratios = np.array([masks.brush_stroke(256, 256, generator("brush", seed)).mean() for seed in range(1000)])
    assert abs(ratios.mean() - 0.162) < 0.02
    assert abs(ratios.std() - 0.081) < 0.015
    small = np.array([masks.brush_stroke(64, 64, generator("small", seed)).mean() for seed in range(500)])
    assert abs(small.mean() - 0.159) < 0.025


def test_brush_strokes_are_flipped():
    """The zig-zag favours no side once half of the masks are flipped."""
    total = sum(masks.brush_stroke(64, 64, generator("flip", seed)).astype(int) for seed in range(600)) / 600
    assert abs(total[:32].mean() - total[32:].mean()) < 0.03
    assert abs(total[:, :32].mean() - total[:, 32:].mean()) < 0.03


@pytest.mark.parametrize(("size", "overlap", "side"), [(128, 0, 64), (128, 4, 56), (256, 4, 120), (64, 2, 28)])
def test_the_centre_square_keeps_its_overlap(size, overlap, side):
    mask = masks.center_square(size, size, overlap=overlap)
    assert mask.sum() == side ** 2
    assert np.array_equal(mask, mask[::-1, ::-1])
    assert mask[size // 4 + overlap, size // 4 + overlap] == 1 and mask[size // 4 + overlap - 1, size // 2] == 0


def test_rectangles_have_the_sides_of_glcic():
    for seed in range(200):
        mask = masks.random_rect(256, 256, generator(seed))
        rows, columns = mask.any(axis=1).sum(), mask.any(axis=0).sum()
        assert 96 <= rows <= 128 and 96 <= columns <= 128 and mask.sum() == rows * columns


def test_the_random_square_reaches_every_corner():
    tops = {int(masks.random_square(64, 64, generator(seed)).any(axis=1).argmax()) for seed in range(400)}
    assert min(tops) == 0 and max(tops) == 32


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_the_random_pattern_covers_20_to_30_per_cent_in_smooth_blots(seed):
    mask = masks.ce_random_pattern(128, 128, generator(seed))
    assert 0.2 < mask.mean() < 0.3
    # Cells are 16.7 pixels wide: the hole is far from single pixels.
    assert ndimage.binary_erosion(mask, iterations=2).sum() > 0.4 * mask.sum()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_a_walk_is_one_piece(seed):
    _, pieces = ndimage.label(masks.random_walk(64, 64, generator(seed)), structure=np.ones((3, 3)))
    assert pieces == 1


def test_bernoulli_has_its_probability():
    for probability in (0.1, 0.5, 0.9):
        assert abs(masks.bernoulli(256, 256, generator(1), probability).mean() - probability) < 0.01


def test_stripes_are_whole_rows_of_one_to_three():
    for seed in range(50):
        mask = masks.stripes(128, 64, generator(seed))
        assert np.array_equal(mask.any(axis=1), mask.all(axis=1))
        runs, count = ndimage.label(mask[:, 0])
        assert 1 <= np.bincount(runs)[1:].max() <= 3 and 128 // 16 - 1 <= count <= 128 // 8 + 1


def test_wedges_widen_towards_the_edges():
    mask = masks.wedges(192, 256, generator(2))
    middle, edge = mask[:, 126:130].mean(), mask[:, :4].mean()
    assert middle < 0.1 and 0.35 < edge < 0.6


def test_the_frame_leaves_the_middle():
    for seed in range(30):
        mask = masks.border(128, 96, generator(seed))
        assert mask[0].all() and mask[-1].all() and mask[:, 0].all() and mask[:, -1].all()
        assert not mask[16:-16, 12:-12].any()


def test_scratches_run_downwards():
    """Across a row there are a few short runs, down a column long ones."""
    mask = masks.scratch(256, 256, generator(5))
    across, down = np.abs(np.diff(mask.astype(int), axis=1)).sum(), np.abs(np.diff(mask.astype(int), axis=0)).sum()
    assert across > 2 * down


@settings(deadline=None, max_examples=25)
@given(radius=st.integers(0, 6))
def test_dilation_by_a_disc_is_the_set_of_near_pixels(radius):
    mask = np.zeros((31, 31), np.uint8)
    mask[15, 15] = 1
    distance = np.hypot(*np.mgrid[-15:16, -15:16])
    assert np.array_equal(masks.dilate(mask, radius), (distance <= radius).astype(np.uint8))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 12), st.lists(st.integers(-2, 2), max_size=90), st.data())
def test_a_walk_stops_at_the_ends_as_one_move_after_the_other_does(length, moves, data):
    start = place = data.draw(st.integers(0, length - 1))
    expected = []
    for move in moves:
        place = min(max(place + move, 0), length - 1)
        expected.append(place)
    assert masks._stopped(start, np.array(moves, np.int64), length).tolist() == expected
