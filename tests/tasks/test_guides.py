"""Guides of guided_colorization: palettes, references and texts, and how they are drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.cluster.vq import kmeans2
from scipy.interpolate import RBFInterpolator
from skimage import data

from restore_ml import registry
from restore_ml.arrays import words
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import fit_chroma, lab_to_rgb, rgb_to_lab
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.guided_colorization.gamut import snapped
from restore_ml.tasks.guided_colorization.palette import COLOURS as FIVE
from restore_ml.tasks.guided_colorization.palette import palette
from restore_ml.tasks.guided_colorization.reference import augmented, thin_plate
from restore_ml.tasks.guided_colorization.vocabulary import COLOURS as OF_COLOURS
from restore_ml.tasks.guided_colorization.vocabulary import VOCABULARY, named, numbers, pairs, told

OPTIONAL = registry.parts("guided_colorization").optional
assert OPTIONAL is not None


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def stripes(colours: list[tuple[int, int, int]], widths: list[int]) -> np.ndarray:
    """Upright stripes, 16 pixels high."""
    return np.concatenate([np.full((16, width, 3), colour, np.uint8)
                           for colour, width in zip(colours, widths, strict=True)], 1)


# --- palettes ---------------------------------------------------------------------------------------------------------


def test_a_palette_is_the_colours_of_the_picture_the_most_frequent_first() -> None:
    colours = [(200, 40, 40), (40, 160, 60), (60, 70, 200), (220, 200, 60), (150, 60, 150)]
    sample = lab_sample(stripes(colours, [2, 10, 4, 6, 8]))
    for seed in range(5):
        found = palette(sample.inputs["L"], sample.target["ab"], rng(seed)).reshape(FIVE, 3)
        order = [colours[place] for place in (1, 4, 3, 2, 0)]
        np.testing.assert_allclose(found, rgb_to_lab(np.array(order) / 255), atol=1e-3)


def test_clusters_are_of_ab_and_lightness_is_their_mean() -> None:
    dark, light = (90, 30, 30), (190, 110, 105)  # much the same a and b
    sample = lab_sample(stripes([dark, light, (40, 160, 60), (60, 70, 200), (220, 200, 60), (128, 128, 128)],
                                [6, 6, 5, 4, 3, 2]))
    both = rgb_to_lab(np.array([dark, light]) / 255)
    assert np.abs(np.diff(both[:, 1:], axis=0)).max() < 8 < np.abs(np.diff(both[:, 0]))
    for seed in range(12):
        found = palette(sample.inputs["L"], sample.target["ab"], rng(seed)).reshape(FIVE, 3)
        np.testing.assert_allclose(found[0], both.mean(0), atol=1e-3)


def test_a_picture_of_one_colour_has_it_five_times() -> None:
    sample = lab_sample(np.full((40, 40, 3), (200, 40, 40), np.uint8))
    found = palette(sample.inputs["L"], sample.target["ab"], rng()).reshape(FIVE, 3)
    np.testing.assert_allclose(found, np.tile(rgb_to_lab(np.array([[200, 40, 40]]) / 255), (5, 1)), atol=1e-3)


def test_clustering_has_converged() -> None:
    """Of a photograph: scipy's k-means, with all pixels and more rounds, is hardly nearer to its pixels."""
    sample = lab_sample(np.ascontiguousarray(data.coffee()[::4, ::4]))
    ab = sample.target["ab"].reshape(-1, 2)

    def distortion(centres: np.ndarray) -> float:
        return float(np.linalg.norm(ab[:, None] - centres[None], axis=2).min(1).mean())

    made = [palette(sample.inputs["L"], sample.target["ab"], rng(seed)).reshape(5, 3)[:, 1:] for seed in range(3)]
    theirs = [kmeans2(ab.astype(np.float64), 5, iter=30, minit="++", rng=rng(seed))[0] for seed in range(3)]
    assert np.mean([*map(distortion, made)]) < 1.05 * np.mean([*map(distortion, theirs)])


# --- references -------------------------------------------------------------------------------------------------------


def test_a_thin_plate_goes_through_its_nodes_and_is_straight_where_they_are() -> None:
    nodes, places = rng(1).random((9, 2)), rng(2).random((30, 2))
    values = rng(3).random((9, 2))
    np.testing.assert_allclose(thin_plate(nodes, values, nodes), values, atol=1e-9)
    theirs = RBFInterpolator(nodes, values, kernel="thin_plate_spline", degree=1)(places)
    np.testing.assert_allclose(thin_plate(nodes, values, places), theirs, atol=1e-8)
    plane = np.array([[2.0, -1], [0.5, 3]])
    np.testing.assert_allclose(thin_plate(nodes, 1 + nodes @ plane, places), 1 + places @ plane, atol=1e-9)


def test_a_reference_is_a_mirrored_cropped_bent_copy() -> None:
    height, width = 60, 80
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([3 * columns, 4 * rows, 0 * rows + 100], 2).astype(np.uint8)
    mirrored, shares, bends = 0, [], []
    for seed in range(40):
        made = augmented(picture, rng(seed))
        assert made.shape == picture.shape and made.dtype == np.uint8 and (made[..., 2] == 100).all()
        x, y = made[..., 0] / 3, made[..., 1] / 4
        along = np.polyfit(np.arange(10, 70), x[20:40, 10:70].mean(0), 1)
        down = np.polyfit(np.arange(10, 50), y[10:50, 30:50].mean(1), 1)
        mirrored += along[0] < 0
        shares += [abs(along[0]), down[0]]
        bends.append(np.abs(x[30] - np.polyval(along, np.arange(width))).max())
        assert down[0] > 0
    assert 10 < mirrored < 30
    assert 0.8 < np.mean(shares) < 0.9 and min(shares) > 0.5 and max(shares) < 1.25
    assert 1 < np.mean(bends) < 12
    np.testing.assert_array_equal(augmented(picture, rng(3)), augmented(picture, rng(3)))


class Plain:
    """Draws of no crop and no bend."""

    def __init__(self, mirror: int, share: float = 1.0) -> None:
        self.mirror, self.share = mirror, share

    def integers(self, most: int) -> int:
        return self.mirror

    def uniform(self, low: object, high: object, size: object = None) -> np.ndarray:
        return np.full(2, self.share) if size else np.zeros(2)  # shares, then the corner

    def normal(self, mean: float, deviation: float, size: tuple[int, int]) -> np.ndarray:
        return np.zeros(size)


def test_without_crop_and_bend_a_reference_is_the_picture_or_its_mirror_image() -> None:
    """To the pixel; half of it at twice the size has every second pixel's middle between two."""
    picture = rng(4).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(augmented(picture, Plain(0)), picture)  # type: ignore[arg-type]
    np.testing.assert_array_equal(augmented(picture, Plain(1)), picture[:, ::-1])  # type: ignore[arg-type]
    half = augmented(picture, Plain(0, 0.5))  # type: ignore[arg-type]
    square = picture[3:5, 7:9].astype(float)  # place 7, 15 reads 3.25, 7.25
    expected = np.einsum("i,j,ijc->c", [0.75, 0.25], [0.75, 0.25], square)
    np.testing.assert_allclose(half[7, 15], expected, atol=1.01)


def test_colours_of_a_reference_are_those_of_the_picture() -> None:
    picture = np.ascontiguousarray(data.coffee()[:256, :256])
    made = augmented(picture, rng(5))
    assert not np.array_equal(made, picture)
    for one, other in zip(picture.reshape(-1, 3).mean(0), made.reshape(-1, 3).mean(0), strict=True):
        assert abs(one - other) < 25


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "below", "name"), [
    (15, "pink", "red"), (50, "red", "orange"), (85, "orange", "yellow"), (112, "yellow", "green"),
    (180, "green", "cyan"), (225, "cyan", "blue"), (310, "blue", "purple"), (335, "purple", "pink")])
def test_where_names_of_hues_begin(least: float, below: str, name: str) -> None:
    """At L of 65 dark orange is no brown and light red no pink."""
    angles = np.radians([least - 0.5, least + 0.5])
    found = named(np.full(2, 65.0), 40 * np.stack([np.cos(angles), np.sin(angles)], 1))
    assert [OF_COLOURS[number] for number in found] == [below, name]


@pytest.mark.parametrize(("colour", "name"), [
    ((200, 30, 30), "red"), ((160, 32, 32), "red"), ((240, 150, 30), "orange"), ((110, 65, 30), "brown"),
    ((230, 220, 40), "yellow"), ((40, 150, 50), "green"), ((0, 200, 210), "cyan"), ((40, 60, 200), "blue"),
    ((135, 206, 235), "blue"), ((130, 30, 150), "purple"), ((230, 110, 180), "pink"), ((250, 190, 190), "pink"),
    ((128, 130, 128), "grey")])
def test_names_of_colours(colour: tuple[int, int, int], name: str) -> None:
    lab = rgb_to_lab(np.array(colour) / 255)
    assert VOCABULARY[int(named(lab[0], lab[1:]))] == name


def scene(sky: tuple[int, int, int], ground: tuple[int, int, int], ball: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((96, 96, 3), sky, np.uint8)
    picture[50:] = ground
    cv2.circle(picture, (60, 48), 11, ball, -1)
    return picture


def test_what_is_told_of_a_scene() -> None:
    sample = lab_sample(scene((120, 170, 230), (60, 140, 50), (200, 40, 40)))
    known = pairs(sample.inputs["L"], sample.target["ab"])
    assert known[:3] == [("red", "ball"), ("blue", "sky"), ("green", "ground")]
    assert [where for _, where in known[3:]] == ["middle", "left", "right"]
    assert told(sample.inputs["L"], sample.target["ab"], None) == "red ball blue sky green ground"
    other = lab_sample(scene((200, 60, 60), (60, 140, 50), (200, 60, 60)))  # no ball to be seen, and no sky
    assert pairs(other.inputs["L"], other.target["ab"])[:2] == [("red", "top"), ("green", "bottom")]
    noisy = scene((120, 170, 230), (60, 140, 50), (200, 40, 40)).astype(int)
    noisy[:40] += rng().integers(-30, 31, (40, 96, 1))
    busy = lab_sample(noisy.clip(0, 255).astype(np.uint8))
    assert ("blue", "top") in pairs(busy.inputs["L"], busy.target["ab"])
    dark = lab_sample(scene((20, 40, 110), (60, 140, 50), (200, 40, 40)))
    assert ("blue", "top") in pairs(dark.inputs["L"], dark.target["ab"])
    faded = np.full((30, 30, 3), 90, np.uint8)
    faded[:, ::4] = (190, 50, 50)  # most of it is grey, what colour there is, is red
    part = lab_sample(faded)
    assert {colour for colour, _ in pairs(part.inputs["L"], part.target["ab"])} == {"red"}
    grey = lab_sample(np.full((30, 30, 3), 90, np.uint8))
    assert {colour for colour, _ in pairs(grey.inputs["L"], grey.target["ab"])} == {"grey"}


@pytest.mark.parametrize(("left", "width", "height"), [(0, 20, 20), (40, 8, 30), (30, 6, 6), (20, 60, 60)])
def test_what_is_no_ball(left: int, width: int, height: int) -> None:
    """Cut by the edge; not round; too small; too large."""
    picture = np.full((96, 96, 3), (60, 140, 50), np.uint8)
    cv2.ellipse(picture, (left + width // 2, 48), (width // 2, height // 2), 0, 0, 360, (200, 40, 40), -1)
    sample = lab_sample(picture)
    assert "ball" not in dict((where, colour) for colour, where in pairs(sample.inputs["L"], sample.target["ab"]))


def test_training_tells_some_of_it_in_any_order() -> None:
    sample = lab_sample(scene((120, 170, 230), (60, 140, 50), (200, 40, 40)))
    known = {f"{colour} {where}" for colour, where in pairs(sample.inputs["L"], sample.target["ab"])}
    texts = [told(sample.inputs["L"], sample.target["ab"], rng(seed)).split() for seed in range(60)]
    assert {len(text) for text in texts} == {2, 4, 6}
    said = [" ".join(text[place:place + 2]) for text in texts for place in range(0, len(text), 2)]
    assert set(said) == known and len({tuple(text) for text in texts}) > 20


def test_numbers_of_words() -> None:
    assert numbers("A red, BALL under no".replace("under no", "on the grass")).tolist() == [1, 11, 13, 0, 0, 0, 0, 0]
    assert numbers("").tolist() == [0] * 8 and len(VOCABULARY) == len(set(VOCABULARY)) == 18
    with pytest.raises(UserError, match=r"word 'rad' means nothing here; .*red, orange.*ball, sky.*Did you mean 'red'"):
        numbers("rad ball")
    with pytest.raises(UserError, match="9 words of the vocabulary; at most 8"):
        numbers("red " * 9)


def test_optional_inputs_are_drawn_as_they_are_declared() -> None:
    sample = lab_sample(scene((120, 170, 230), (60, 140, 50), (200, 40, 40)))
    assert OPTIONAL is not None
    made = {name: OPTIONAL.draw(name, sample, "hints_10", rng(1)) for name in OPTIONAL.inputs}
    assert all(OPTIONAL.inputs[name].problem(value) is None for name, value in made.items())
    np.testing.assert_array_equal(made["palette"], palette(sample.inputs["L"], sample.target["ab"], rng(1)))
    np.testing.assert_array_equal(made["reference"], augmented(sample.target["rgb"], rng(1)))
    assert words(made["text"]) == "red ball blue sky green ground"
    assert {words(OPTIONAL.draw("text", sample, "", rng(seed))) for seed in range(5)} != {words(made["text"])}


def test_other_tools_get_the_guides() -> None:
    sample = lab_sample(stripes([(200, 40, 40), (40, 160, 60), (60, 70, 200), (220, 200, 60), (150, 60, 150)],
                                [8, 7, 6, 5, 4]))
    assert OPTIONAL is not None
    height, width = sample.inputs["L"].shape[:2]
    inputs = {**sample.inputs, "hint": np.zeros((height, width, 2), np.float32),
              "hinted": np.zeros((height, width, 1), np.float32)}
    files = registry.sample_files("guided_colorization")
    assert set(files.given(inputs)) == {"grey", "painted", "hinted"} and files.told(inputs) == {}
    inputs |= {name: OPTIONAL.draw(name, sample, "hints_0", rng(1)) for name in OPTIONAL.inputs}
    assert files.given(inputs)["reference"].value is inputs["reference"]
    assert files.told(inputs) == {"palette": ["#c82828", "#28a03c", "#3c46c8", "#dcc83c", "#963c96"],
                                  "text": words(inputs["text"])}


# --- a person's guides ------------------------------------------------------------------------------------------------


def test_a_colour_snaps_into_the_gamut_at_the_lightness_of_its_pixel() -> None:
    lightness, ab = rng(1).uniform(3, 97, 500), rng(2).uniform(-90, 90, (500, 2))
    found = snapped(lightness, ab)
    back = rgb_to_lab(lab_to_rgb(np.concatenate([lightness[:, None], found], 1)))
    np.testing.assert_allclose(back[:, 0], lightness, atol=0.01)
    np.testing.assert_allclose(back[:, 1:], found, atol=0.1)
    there = (fit_chroma(lightness, ab) == ab).all(1)
    assert 50 < there.sum() < 450
    np.testing.assert_allclose(found[there], ab[there], rtol=1e-6)
    towards_grey = fit_chroma(lightness, ab)
    assert np.linalg.norm(found - ab, axis=1).mean() < np.linalg.norm(towards_grey - ab, axis=1).mean() - 1
    one_by_one = np.concatenate([snapped(lightness[place:place + 1], ab[place:place + 1]) for place in range(40)])
    np.testing.assert_array_equal(one_by_one, found[:40])
    assert snapped(np.zeros(0), np.zeros((0, 2))).shape == (0, 2)


def test_a_round_sets_the_lightness_clips_and_reads_the_colour_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lightness, ab = np.array([30.0]), np.array([[20.0, 90.0]])
    monkeypatch.setattr("restore_ml.tasks.guided_colorization.gamut.MOST_ROUNDS", 1)
    once = rgb_to_lab(lab_to_rgb(np.array([[30.0, 20.0, 90.0]])))[:, 1:]
    np.testing.assert_allclose(snapped(lightness, ab), fit_chroma(lightness, once), rtol=1e-6)
    monkeypatch.setattr("restore_ml.tasks.guided_colorization.gamut.MOST_ROUNDS", 2)
    twice = rgb_to_lab(lab_to_rgb(np.concatenate([[[30.0]], once], 1)))[:, 1:]
    np.testing.assert_allclose(snapped(lightness, ab), fit_chroma(lightness, twice), rtol=1e-6)
    monkeypatch.setattr("restore_ml.tasks.guided_colorization.gamut.SETTLED", 200.0)
    np.testing.assert_allclose(snapped(lightness, ab), fit_chroma(lightness, once), rtol=1e-6)


@pytest.mark.parametrize(("lightness", "ab", "rounds"), [
    (85, (98, -60), 6), (95, (-86, 83), 15), (70, (80, 67), 6), (50, (20, 95), 2)])
def test_rounds_go_on_until_a_colour_moves_by_no_more_than_a_unit(
        lightness: float, ab: tuple[float, float], rounds: int) -> None:
    """Up to 20 of them, as the card says."""
    steps = [np.array([ab], float)]
    for _ in range(20):
        steps.append(rgb_to_lab(lab_to_rgb(np.concatenate([[[lightness]], steps[-1]], 1)))[:, 1:])
        if np.abs(steps[-1] - steps[-2]).max() <= 1:
            break
    assert len(steps) - 1 == rounds
    expected = fit_chroma(np.array([lightness]), steps[-1])
    np.testing.assert_allclose(snapped(np.array([lightness], float), steps[0]), expected, rtol=1e-6)
