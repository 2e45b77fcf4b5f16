"""The task guided_colorization: the simulator of hints, what is tested, measured and shown, and a person's picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import rgb2lab

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import to_rgb8
from restore_ml.method import Model
from restore_ml.restoring import harness
from restore_ml.seeds import generator
from restore_ml.tasks.guided_colorization.evaluation import palette_distance
from restore_ml.tasks.guided_colorization.hints import hints, number_of_hints
from restore_ml.tasks.guided_colorization.photos import reduced
from restore_ml.tasks.guided_colorization.scribbles import scribbles
from restore_ml.tasks.photos import Restorer
from restore_ml.tasks.protocol import protocol

PARTS, COLORIZATION = registry.parts("guided_colorization"), registry.parts("colorization")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("guided_colorization")
PICTURE = Record("a" * 64, {"image": data.coffee()}, {"name": "coffee"})


def ab_map(height: int = 20, width: int = 30) -> np.ndarray:
    """Every pixel has a colour of its own."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([rows, -columns], 2)


# --- the simulator ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(1, 4), st.integers(0, 5))
def test_a_hint_is_a_square_with_the_mean_of_its_true_colours(seed, count, least, more):
    """Drawn again by hand from the same generator: side, row, column; later ones cover earlier ones."""
    ab, draws = ab_map(), np.random.default_rng(seed)
    made = hints(ab, count, (least, least + more), np.random.default_rng(seed))
    hint, hinted = np.zeros((20, 30, 2)), np.zeros((20, 30))
    for _ in range(count):
        side = int(draws.integers(least, least + more + 1))
        top = int(min(max(draws.normal((20 - side + 1) / 2, (20 - side + 1) / 4), 0), 20 - side))
        left = int(min(max(draws.normal((30 - side + 1) / 2, (30 - side + 1) / 4), 0), 30 - side))
        hint[top:top + side, left:left + side] = [top + (side - 1) / 2, -left - (side - 1) / 2]
        hinted[top:top + side, left:left + side] = 1
    np.testing.assert_allclose(made["hint"], hint, atol=1e-4)
    np.testing.assert_array_equal(made["hinted"][..., 0], hinted)
    assert made["hint"].dtype == made["hinted"].dtype == np.float32


def test_where_hints_lie():
    """Of single pixels: every place is reached, their mean is the middle and their deviation about a quarter."""
    made = (hints(ab_map(41, 81), 1, (1, 1), np.random.default_rng(seed))["hinted"] for seed in range(600))
    places = np.concatenate([np.argwhere(hinted[..., 0]) for hinted in made])
    assert np.abs(places.mean(0) - [20, 40]).max() < 2
    np.testing.assert_allclose(places.std(0), [41 / 4, 81 / 4], rtol=0.12)
    assert places.min(0).tolist() == [0, 0] and places.max(0).tolist() == [40, 80]


def test_a_hint_of_no_colour_is_not_no_hint():
    made = hints(np.zeros((8, 8, 2), np.float32), 1, (3, 3), np.random.default_rng(0))
    assert not made["hint"].any() and made["hinted"].sum() == 9


def test_a_square_larger_than_the_picture_is_the_picture():
    assert hints(ab_map(5, 7), 1, (9, 9), np.random.default_rng(0))["hinted"].sum() == 25


def test_numbers_of_hints_are_geometric_with_none_among_them():
    numbers = np.array([number_of_hints(1 / 8, np.random.default_rng(seed)) for seed in range(4000)])
    assert numbers.min() == 0 and (numbers == 0).mean() == pytest.approx(1 / 8, abs=0.02)
    assert (numbers == 1).mean() == pytest.approx(7 / 64, abs=0.02) and numbers.mean() == pytest.approx(7, abs=0.4)
    assert {number_of_hints(1.0, np.random.default_rng(seed)) for seed in range(20)} == {0}


# --- strokes ----------------------------------------------------------------------------------------------------------


def halves(size: int = 40) -> np.ndarray:
    """Two colours, left and right."""
    ab = np.zeros((size, size, 2), np.float32)
    ab[:, :size // 2], ab[:, size // 2:] = (30, 5), (-20, -10)
    return ab


def test_a_stroke_keeps_to_its_colour_and_has_it():
    for seed in range(30):
        made = scribbles(halves(), 1, 1, np.random.default_rng(seed))
        columns = np.argwhere(made["hinted"][..., 0])[:, 1]
        side = 0 if columns.max() < 20 else 20
        assert columns.min() >= side
        np.testing.assert_allclose(made["hint"][made["hinted"][..., 0] > 0],
                                   np.tile(halves()[0, side], (len(columns), 1)), atol=1e-4)
        assert not made["hint"][made["hinted"][..., 0] == 0].any()
        assert made["hint"].dtype == made["hinted"].dtype == np.float32


def test_strokes_are_lines_of_that_width_that_bend():
    lengths, turned = [], []
    for seed in range(60):
        ab = np.zeros((100, 100, 2), np.float32)
        hinted = scribbles(ab, 1, 1, np.random.default_rng(seed))["hinted"][..., 0]
        assert cv2.connectedComponents(hinted.astype(np.uint8), connectivity=8)[0] == 2
        lengths.append(hinted.sum())
        rows, columns = np.nonzero(hinted)
        deviation = np.linalg.svd(np.stack([rows - rows.mean(), columns - columns.mean()]))[1][1] / np.sqrt(len(rows))
        turned.append(deviation > 1)
        wide = scribbles(ab, 1, 5, np.random.default_rng(seed))["hinted"][..., 0]
        assert wide.sum() >= min(2.5 * hinted.sum(), 25)
    assert 20 < np.mean(lengths) < 70 and min(lengths) >= 1 and max(lengths) <= 80 and np.mean(turned) > 0.5


@pytest.mark.parametrize("side", [1, 4])
def test_a_stroke_on_one_colour_by_hand(side):
    """Drawn again from the same generator: a place, an angle, and four pieces of 0.3 to 1 times 0.2 of the shorter
    side, each of which ends at the edge."""
    for seed in range(12):
        draws = np.random.default_rng(seed)
        y, x = (min(max(draws.normal((length - side) / 2, length / 4), 0), length - side) for length in (50, 80))
        angle, expected = draws.uniform(0, 2 * np.pi), np.zeros((50, 80))
        for _ in range(4):
            for _ in range(round(draws.uniform(0.3, 1) * 0.2 * 50)):
                top, left = round(y), round(x)
                expected[top:top + side, left:left + side] = 1
                ahead = y + np.sin(angle), x + np.cos(angle)
                if not (0 <= ahead[0] <= 50 - side and 0 <= ahead[1] <= 80 - side):
                    break
                y, x = ahead
            angle += draws.normal(0, 0.8)
        made = scribbles(np.zeros((50, 80, 2), np.float32), 1, side, np.random.default_rng(seed))
        np.testing.assert_array_equal(made["hinted"][..., 0], expected)


def test_a_colour_of_a_stroke_is_the_mean_beneath_it():
    ab = np.stack(np.meshgrid(np.linspace(0, 40, 60), np.linspace(0, 40, 60)), 2).astype(np.float32)
    for seed in range(10):
        made = scribbles(ab, 1, 3, np.random.default_rng(seed))
        there = made["hinted"][..., 0] > 0
        np.testing.assert_allclose(made["hint"][there], np.tile(ab[there].mean(0), (there.sum(), 1)), rtol=1e-4)
        assert there.sum() > 9 and np.linalg.norm(ab[there] - ab[there].mean(0), axis=1).max() < 2 * 12 + 3


def test_a_stroke_wider_than_the_picture_is_the_picture():
    made = scribbles(ab_map(5, 7), 2, 9, np.random.default_rng(0))
    assert made["hinted"].sum() >= 25


def test_a_test_sample_with_strokes():
    sample, more, other = (CASES.sample(PICTURE, f"scribbles_{number}", seed, {"size": 64, "side": 2})
                           for number, seed in ((4, 1), (9, 1), (4, 2)))
    assert sample.facts == {"scribbles": 4}
    there = sample.inputs["hinted"] > 0
    assert (more.inputs["hinted"] > 0)[there].all() and more.inputs["hinted"].sum() > there.sum()
    assert not np.array_equal(sample.inputs["hinted"], other.inputs["hinted"])
    expected = scribbles(sample.target["ab"], 4, 2, generator(1, PICTURE.id, "scribbles"))
    np.testing.assert_array_equal(sample.inputs["hint"], expected["hint"])
    assert 4 < there.sum() < 64 * 64 / 4


# --- cases and training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 10, 50])
def test_a_test_sample_is_that_of_colorization_with_hints(number):
    options = {"size": 64, "side": 3}
    sample = CASES.sample(PICTURE, f"hints_{number}", 5, options)
    plain = COLORIZATION.cases.sample(PICTURE, "lab_grey", 5, {"size": 64})
    np.testing.assert_array_equal(sample.inputs["L"], plain.inputs["L"])
    assert all(np.array_equal(sample.target[name], plain.target[name]) for name in ("ab", "rgb"))
    assert sample.facts == {"hints": number}
    covered = int(sample.inputs["hinted"].sum())
    assert covered == 9 * number if number < 2 else 9 * number >= covered > 3 * number
    assert not sample.inputs["hint"][sample.inputs["hinted"][..., 0] == 0].any()
    for name, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[name]) is None
    again = CASES.sample(PICTURE, f"hints_{number}", 5, options)
    np.testing.assert_array_equal(sample.inputs["hint"], again.inputs["hint"])


def test_fewer_hints_are_the_first_of_more():
    few, many, other = (CASES.sample(PICTURE, f"hints_{number}", seed, {"size": 64}).inputs["hinted"] > 0
                        for number, seed in ((10, 1), (50, 1), (10, 2)))
    assert (many[few]).all() and many.sum() > few.sum() and not np.array_equal(few, other)
    elsewhere = CASES.sample(Record("b" * 64, PICTURE.arrays, {}), "hints_10", 1, {"size": 64}).inputs["hinted"] > 0
    assert not np.array_equal(few, elsewhere)


def test_degradations_follow_the_setting():
    assert CASES.degradations({}) == ["hints_0", "hints_1", "hints_10", "hints_50", "scribbles_10"]
    assert CASES.degradations({"numbers": [500], "strokes": []}) == ["hints_500"]
    assert CASES.degradations({"numbers": [0], "strokes": [3, 1]}) == ["hints_0", "scribbles_3", "scribbles_1"]


@pytest.mark.parametrize("wrong", [{"numbers": []}, {"numbers": [-1]}, {"numbers": [True]}, {"numbers": [501]},
                                   {"numbers": [1.5]}, {"numbers": 3}, {"strokes": [-1]}, {"strokes": [True]},
                                   {"strokes": 3}, {"side": 0}, {"side": 2.0}, {"side": True}, {"size": 16}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        PARTS.check_settings(wrong)


@pytest.mark.parametrize("name", ["hints", "hints_", "hints_-1", "hints_01", "hints_501", "hints_1000", "lab_grey",
                                  "scribbles", "scribbles_501", "strokes_10"])
def test_degradations_that_there_are_not(name):
    with pytest.raises(UserError, match="write hints_0, hints_10"):
        CASES.sample(PICTURE, name, 1, {})


def test_training_sees_the_squares_of_colorization_with_hints_drawn_anew():
    stored = next(TRAINING.records([PICTURE], 1, {"size": 64}))
    sample = TRAINING.sample(stored, {}, np.random.default_rng(3), {"patch": 64}, {})
    plain = COLORIZATION.training.sample(stored, {}, np.random.default_rng(3), {"patch": 64}, {})
    np.testing.assert_array_equal(sample.inputs["L"], plain.inputs["L"])
    np.testing.assert_array_equal(sample.target["ab"], plain.target["ab"])
    draws = np.random.default_rng(3)
    COLORIZATION.training.sample(stored, {}, draws, {"patch": 64}, {})
    number = number_of_hints(1 / 8, draws)
    np.testing.assert_array_equal(sample.inputs["hint"], hints(sample.target["ab"], number, (1, 9), draws)["hint"])
    run = {"patch": 64, "hint_rate": 1.0}
    assert not TRAINING.sample(stored, {}, np.random.default_rng(1), run, {}).inputs["hinted"].any()
    run = {"patch": 64, "hint_rate": 1e-3, "hint_sides": [1, 1]}
    assert TRAINING.sample(stored, {}, np.random.default_rng(1), run, {}).inputs["hinted"].sum() > 20


# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_hint_error_by_hand():
    sample = CASES.sample(PICTURE, "hints_10", 1, {"size": 64})
    output = {"ab": sample.target["ab"] + np.float32([3, 4])}
    context = RULES.context([sample.target])
    values = RULES.measure(sample.inputs, output, sample.target, context)
    there = sample.inputs["hinted"][..., 0] > 0
    expected = np.linalg.norm(output["ab"] - sample.inputs["hint"], axis=2)[there].mean()
    assert values["hint_error"] == pytest.approx(expected, rel=1e-5)
    followed = RULES.measure(sample.inputs, {"ab": sample.inputs["hint"]}, sample.target, context)
    assert followed["hint_error"] == 0
    plain = protocol("colorization").measure({"L": sample.inputs["L"]}, output, sample.target, context)
    own = ("hint_error", "psnr_nohint", "palette_fidelity")
    assert {name: value for name, value in values.items() if name not in own} == plain
    assert set(values) == {metric.name for metric in RULES.metrics}
    none = CASES.sample(PICTURE, "hints_0", 1, {"size": 64})
    assert np.isnan(RULES.measure(none.inputs, output, none.target, context)["hint_error"])


def test_the_psnr_beside_the_hints_by_hand():
    """Of an error of 3 and 4 where nothing is hinted and of any other where it is."""
    sample = CASES.sample(PICTURE, "hints_10", 1, {"size": 64})
    output = {"ab": sample.target["ab"] + np.where(sample.inputs["hinted"] > 0, 50, np.float32([3, 4]))}
    context = RULES.context([sample.target])

    def figure(inputs):
        return RULES.measure(inputs, output, sample.target, context)["psnr_nohint"]

    assert figure(sample.inputs) == pytest.approx(20 * np.log10(220 / np.sqrt(12.5)), abs=1e-4)
    assert figure({**sample.inputs, "hinted": 0 * sample.inputs["hinted"]}) < figure(sample.inputs) - 1
    assert np.isnan(figure({**sample.inputs, "hinted": 0 * sample.inputs["hinted"] + 1}))
    exact = RULES.measure(sample.inputs, {"ab": sample.target["ab"]}, sample.target, context)
    assert exact["psnr_nohint"] == 60


def test_palette_fidelity_by_hand():
    """Five stripes of the palette's colours: 0; one of them moved by 3 and 4: 1; all of one colour: the distances."""
    lightness = np.full((20, 50, 1), 50, np.float32)
    colours = np.float32([[40, 10], [-30, 20], [5, -40], [0, 0], [20, 50]])
    ab = np.repeat(np.repeat(colours[None], 10, 1), 20, 0)
    wanted = np.concatenate([np.full((5, 1), 70, np.float32), colours], 1)  # lightness does not count
    assert palette_distance(wanted.ravel(), lightness, ab) == pytest.approx(0, abs=1e-5)
    assert palette_distance(wanted[::-1].ravel(), lightness, ab) == pytest.approx(0, abs=1e-5)
    moved = wanted + np.float32([[0, 3, 4], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert palette_distance(moved.ravel(), lightness, ab) == pytest.approx(1, abs=1e-5)
    expected = np.linalg.norm(colours, axis=1).mean()
    assert palette_distance(wanted.ravel(), lightness, 0 * ab) == pytest.approx(expected, rel=1e-5)
    sample = CASES.sample(PICTURE, "hints_1", 1, {"size": 64})
    inputs = {**sample.inputs, "palette": wanted.ravel()}
    context, output = RULES.context([sample.target]), {"ab": sample.target["ab"]}
    values = RULES.measure(inputs, output, sample.target, context)
    assert values["palette_fidelity"] == palette_distance(wanted.ravel(), sample.inputs["L"], sample.target["ab"])
    assert np.isnan(RULES.measure(sample.inputs, output, sample.target, context)["palette_fidelity"])
    assert not {metric.name: metric.direction for metric in RULES.metrics}["palette_fidelity"] > 0


@pytest.mark.parametrize("case", ["hints_10", "scribbles_10"])
def test_what_is_shown_is_the_grey_picture_alone_and_with_its_hints(case):
    """Each pixel of the drawing three times as large, those that are given in their colour with a white rim."""
    sample = CASES.sample(PICTURE, case, 1, {"size": 64})
    shown = RULES.show(sample.inputs, {"ab": sample.target["ab"]}, sample.target)
    grey = to_rgb8(sample.inputs["L"], 0 * sample.inputs["hint"])
    np.testing.assert_array_equal(shown["input"], grey)
    np.testing.assert_array_equal(shown["output"], shown["truth"])
    drawn, there = shown["hints"].picture, sample.inputs["hinted"][..., 0] > 0
    assert shown["hints"].annotated and drawn.shape == (192, 192, 3) and list(shown) == ["input", "truth", "output",
                                                                                         "hints"]
    np.testing.assert_array_equal(drawn[1::3, 1::3][there], to_rgb8(sample.inputs["L"], sample.inputs["hint"])[there])
    np.testing.assert_array_equal(drawn[1::3, 1::3][~there], grey[~there])
    assert (drawn == 255).all(2).sum() > 3 * np.sqrt(there.sum())


def test_without_hints_none_are_shown_and_a_reference_is():
    sample = CASES.sample(PICTURE, "hints_0", 1, {"size": 64})
    assert list(RULES.show(sample.inputs, None, sample.target)) == ["input", "truth"]
    inputs = {**sample.inputs, "reference": sample.target["rgb"][::-1], "palette": np.zeros(15, np.float32)}
    shown = RULES.show(inputs, None, sample.target)
    assert list(shown) == ["input", "truth", "reference"] and shown["reference"] is inputs["reference"]


def test_a_grey_input_is_trivially_restored_to_no_colour():
    sample = CASES.sample(PICTURE, "hints_10", 1, {"size": 64})
    assert not RULES.trivial(sample).any()


# --- a person's picture -----------------------------------------------------------------------------------------------


def painted(height: int = 60, width: int = 90) -> np.ndarray:
    """A grey picture with one red and one blue dab of its own lightness."""
    lightness = rgb2lab(data.astronaut()[:height, 100:100 + width])[..., :1].clip(30, 70)
    ab = np.zeros((height, width, 2))
    ab[10:16, 10:16], ab[40:46, 70:76] = (40, 20), (10, -40)
    return to_rgb8(lightness, ab)


def test_the_coloured_pixels_of_a_grey_picture_are_its_hints():
    seen: list[Arrays] = []

    def restore(method, model, inputs, seed):
        seen.append(inputs)
        return {"ab": inputs["hint"]}

    photos, picture = registry.photos("guided_colorization"), painted()
    method = registry.method("guided_colorization", "nearest_hint", {})
    result = photos.restore(picture, None, None, Restorer(method, Model(), 1, restore))
    [inputs] = seen
    there = np.zeros((60, 90))
    there[10:16, 10:16] = there[40:46, 70:76] = 1
    np.testing.assert_array_equal(inputs["hinted"][..., 0], there)
    np.testing.assert_allclose(inputs["hint"][12, 12], [40, 20], atol=1.5)
    assert not inputs["hint"][there == 0].any() and all(TASK.inputs[name].problem(value) is None
                                                       for name, value in inputs.items())
    assert np.abs(result.astype(int) - picture).max() <= 1
    coloured = photos.restore(picture, None, None, Restorer(method, Model(), 1, harness.restore))
    lab = rgb2lab(coloured)
    assert lab[5:20, :20, 1].min() > 25 and lab[40:, 60:, 2].max() < -20
    assert np.abs(lab[..., 0] - rgb2lab(picture)[..., 0]).max() < 1


def test_hints_of_a_large_picture_are_made_smaller_without_paling():
    hint, hinted = np.zeros((40, 60, 2), np.float32), np.zeros((40, 60, 1), np.float32)
    hint[7:10, 8:10], hinted[7:10, 8:10] = (30, -10), 1
    small = reduced(hint, hinted, (20, 30))
    np.testing.assert_array_equal(np.argwhere(small["hinted"][..., 0]), [[3, 4], [4, 4]])
    np.testing.assert_allclose(small["hint"][3:5, 4], [[30, -10]] * 2, atol=1e-4)
    assert not small["hint"][small["hinted"][..., 0] == 0].any()
    assert reduced(hint, hinted, (40, 60))["hint"] is hint
    assert not reduced(0 * hint, 0 * hinted, (20, 30))["hinted"].any()


def test_a_sepia_print_is_refused_in_words():
    sepia = np.broadcast_to(np.uint8([150, 120, 80]), (40, 40, 3))
    method = registry.method("guided_colorization", "nearest_hint", {})
    with pytest.raises(UserError, match="More than half of the picture is coloured"):
        registry.photos("guided_colorization").restore(sepia, None, None, Restorer(method, Model(), 1, harness.restore))
    assert registry.photos("guided_colorization").probes(method) == ("hints_10",)
