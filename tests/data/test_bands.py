"""Bands by name: colours, numbers of Sentinel-2, what is not named; and pictures in false colour."""

import numpy as np
import pytest

from restore_ml.arrays import text
from restore_ml.data import bands
from restore_ml.data.domains import get
from restore_ml.tasks.false_color import chosen, false_color_composite, stretched

SENTINEL = ("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12")


@pytest.mark.parametrize(("name", "micrometres"), [
    ("blue", 0.49), ("B2", 0.49), ("b4", 0.665), ("NIR", 0.842), ("B8A", 0.865), ("B10", 1.375), ("swir2", 2.19),
    ("B12", 2.19), ("B1", 0.443), ("3", None), ("other", None)])
def test_wavelengths(name, micrometres):
    assert bands.wavelength(name) == micrometres


def test_names_of_a_scene():
    named = {"bands": text("B2 B3 B4 B8 B11", 64)}
    assert bands.names_of(named, 5) == ("B2", "B3", "B4", "B8", "B11") and bands.names_of(named, 4)[-1] == "B8"
    assert bands.names_of({}, 4) == ("blue", "green", "red", "nir") and bands.names_of({}, 3) == ("1", "2", "3")
    assert bands.names_of({"bands": text("", 64)}, 4) == bands.FOUR


def test_places_of_colours():
    assert bands.places(SENTINEL, bands.LAND) == [0, 1, 2, 3, 8, 9]
    assert bands.places(SENTINEL, ("cirrus",)) is None and bands.places((), ()) == []


def test_all_bands_of_a_date():
    near, far = np.zeros((2, 2, 4), np.float32), np.ones((2, 2, 3), np.float32)
    assert bands.whole({"target": near, "target_further": far}, "target")[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert bands.whole({"target": near}, "target") is near


@pytest.mark.parametrize(("names", "shown"), [
    (SENTINEL, ["B12", "B4", "B11"]),
    ((*SENTINEL, "B10"), ["B12", "B4", "B10"]),  # 2.1, 0.65 and 1.38 micrometres themselves
    (("blue", "green", "red", "nir"), ["nir", "red", "green"]),
    (("red", "nir", "swir1"), ["swir1", "red", "nir"]),
    (("1", "2", "3", "4", "5"), ["1", "2", "3"]), (("5", "red", "6"), ["red", "5", "6"]),
    (("red", "thermal", "nir", "swir1"), ["swir1", "red", "nir"])])
def test_false_colour_shows_the_nearest_bands_there_are(names, shown):
    assert [names[place] for place in chosen(names)] == shown
    values = np.arange(len(names), dtype=np.float32)[None, None] * np.ones((3, 5, 1), np.float32)
    picture = false_color_composite(values, names)
    assert picture.shape == (3, 5, 3) and [names[int(place)] for place in picture[1, 2]] == shown


def test_fewer_than_three_bands_are_repeated():
    assert chosen(("nir", "red")) == [0, 1, 1] and chosen(("red",)) == [0, 0, 0]


def test_a_picture_is_stretched_by_another_ones_percentiles():
    like = np.linspace(0, 1, 101)[:, None, None] * np.array([1.0, 2.0, 0.0])
    picture = np.array([[[0.02, 0.04, 0.0], [0.98, 1.96, 0.0], [0.5, 1.0, 0.0], [-1, 5, 0]]])
    assert stretched(picture, like).tolist() == [[[0, 0, 0], [255, 255, 0], [128, 128, 0], [0, 255, 0]]]


def test_scenes_made_from_pictures_have_six_named_bands():
    arrays = get("scenes").from_rgb(np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8))
    assert bands.names_of(arrays, 6) == bands.LAND
    for date in ("target", "reference"):
        both = bands.whole(arrays, date)
        assert both.shape == (20, 24, 6) and both.dtype == np.float32 and both.min() > 0 and both.max() < 1
