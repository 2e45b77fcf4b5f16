"""Fmask: the computed pixels of its card, each equation by hand, shadows that are moved, and codes that win."""

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.cloud_detection import fmask
from restore_ml.methods.cloud_detection.fmask import Fmask, Scene
from restore_ml.restoring import harness

SIX = ("blue", "green", "red", "nir", "swir1", "swir2")
PIXELS = {  # of the card: NDSI, NDVI, whiteness, potential cloud, water, snow
    "cloud": ((0.40, 0.41, 0.42, 0.45, 0.38, 0.28), (0.0380, 0.0345, 0.0488), (True, False, False)),
    "forest": ((0.04, 0.08, 0.05, 0.45, 0.20, 0.09), (-0.4286, 0.8, 0.8235), (False, False, False)),
    "soil": ((0.12, 0.17, 0.22, 0.30, 0.36, 0.32), (-0.3585, 0.1538, 0.5882), (False, False, False)),
    "water": ((0.07, 0.06, 0.04, 0.02, 0.01, 0.005), (0.7143, -0.3333, 0.5882), (False, True, False)),
    "snow": ((0.80, 0.82, 0.80, 0.72, 0.10, 0.07), (0.7826, -0.0526, 0.0331), (True, False, True)),
    "roof": ((0.24, 0.25, 0.26, 0.28, 0.30, 0.28), (-0.0909, 0.0370, 0.0800), (True, False, False))}
FOREST = PIXELS["forest"][0]


def scene(name: str = "forest", height: int = 40, width: int = 40, **changes: float) -> Scene:
    bands = np.broadcast_to(np.array(PIXELS[name][0]), (height, width, 6)).copy()
    for band, value in changes.items():
        bands[..., SIX.index(band)] = value
    return Scene.of(bands, SIX)


def with_patches(height: int = 40, width: int = 40, **patches: tuple[slice, slice]) -> np.ndarray:
    """Forest with rectangles of the card's pixels."""
    bands = np.broadcast_to(np.array(FOREST), (height, width, 6)).copy()
    for name, (rows, columns) in patches.items():
        bands[rows, columns] = PIXELS[name][0]
    return bands


def codes(bands: np.ndarray, azimuth: float | None = None, names: tuple[str, ...] = SIX, **settings) -> np.ndarray:
    inputs = {"target": bands.astype(np.float32), "bands": text(" ".join(names), 64)}
    inputs |= {} if azimuth is None else {"azimuth": np.array([azimuth], np.float32)}
    method = Fmask({"cloud_buffer": 0, "shadow_buffer": 0, **settings})
    return harness.restore(method, Model(), inputs, 1)["codes"][..., 0]


@pytest.mark.parametrize("name", PIXELS)
def test_the_computed_pixels_of_the_card(name: str) -> None:
    values, (ndsi, ndvi, whiteness), (potential, wet, snowy) = PIXELS[name]
    one = scene(name)
    assert one.ndsi[0, 0] == pytest.approx(ndsi, abs=6e-5)
    assert one.ndvi[0, 0] == pytest.approx(ndvi, abs=6e-5)
    assert one.whiteness[0, 0] == pytest.approx(whiteness, abs=6e-5)
    assert fmask.potential_cloud(one)[0, 0] == potential
    assert fmask.water(one)[0, 0] == wet and fmask.snow(one)[0, 0] == snowy
    assert len(set(values)) > 3


@pytest.mark.parametrize(("name", "variability"), [("cloud", 0.9512), ("roof", 0.9091), ("soil", 0.4118),
                                                   ("snow", 0.2174)])
def test_variability_of_the_card(name: str, variability: float) -> None:
    one = scene(name)
    none = np.zeros((40, 40), bool)
    over_water, over_land = fmask.probabilities(one, none, none)
    assert over_land[0, 0] == pytest.approx(variability, abs=6e-5)
    assert over_water[0, 0] == pytest.approx(min(PIXELS[name][0][4], 0.11) / 0.11)


@pytest.mark.parametrize(("changes", "still"), [
    ({"swir2": 0.031}, True), ({"swir2": 0.029}, False),  # (1)
    ({"swir1": 0.045}, False),  # an NDSI above 0.8
    ({"nir": 4.0}, False), ({"nir": 3.6}, True),  # an NDVI above 0.8 (of red 0.42, at 3.78)
    ({"green": 0.65}, True), ({"green": 0.70}, False),  # (2)
    ({"blue": 0.30, "red": 0.43}, True), ({"blue": 0.29, "red": 0.43}, False),  # (3)
    ({"nir": 0.29}, True), ({"nir": 0.28}, False)])  # (4): 0.38 x 0.75 = 0.285
def test_each_test_of_the_first_pass(changes: dict[str, float], still: bool) -> None:
    assert fmask.potential_cloud(scene("cloud", **changes)).all() == still


@pytest.mark.parametrize(("nir", "red", "wet"), [
    (0.10, 0.11, True), (0.115, 0.12, False), (0.10, 0.09, False), (0.045, 0.04, True), (0.055, 0.05, False),
    (0.045, 0.03, False)])
def test_water_is_dark_in_the_infrared(nir: float, red: float, wet: bool) -> None:
    assert fmask.water(scene(nir=nir, red=red)).all() == wet


@pytest.mark.parametrize(("green", "nir", "swir1", "snowy"), [
    (0.2, 0.2, 0.14, True), (0.2, 0.2, 0.155, False), (0.2, 0.105, 0.1, False), (0.095, 0.2, 0.01, False)])
def test_snow(green: float, nir: float, swir1: float, snowy: bool) -> None:
    assert fmask.snow(scene(green=green, nir=nir, swir1=swir1)).all() == snowy


def test_scaling_all_bands_changes_no_ratio() -> None:
    for name in PIXELS:
        one, dimmer = scene(name), Scene.of(0.9 * np.broadcast_to(np.array(PIXELS[name][0]), (3, 3, 6)), SIX)
        for index in ("ndsi", "ndvi", "whiteness"):
            assert getattr(dimmer, index)[0, 0] == pytest.approx(getattr(one, index)[0, 0])


def test_reflectances_at_0_count_as_a_hundred_thousandth_and_all_0_as_nothing() -> None:
    bands = np.broadcast_to(np.array(FOREST), (2, 3, 6)).copy()
    bands[0, 0], bands[1, 1, 3], bands[0, 2, 0] = 0, -0.2, 0
    one = Scene.of(bands, SIX)
    assert one.nir[1, 1] == one.blue[0, 0] == 1e-5 and np.isfinite(one.ndvi).all()
    assert one.seen.sum() == 5 and not one.seen[0, 0] and one.seen[0, 2]  # a band at 0 alone was measured


def test_cirrus_makes_potential_cloud_and_adds_to_the_probability_over_land() -> None:
    bands = np.concatenate([np.broadcast_to(np.array(FOREST), (4, 4, 6)), np.zeros((4, 4, 1))], 2)
    bands[0, 0, 6], bands[0, 1, 6] = 0.011, 0.009
    one = Scene.of(bands, (*SIX, "B10"))
    assert fmask.potential_cloud(one).sum() == 1 and fmask.potential_cloud(one)[0, 0]
    none = np.zeros((4, 4), bool)
    over_water, over_land = fmask.probabilities(one, none, none)
    plain = fmask.probabilities(scene(height=4, width=4), none, none)
    np.testing.assert_allclose(over_land - plain[1], bands[..., 6] / 0.04)
    np.testing.assert_array_equal(over_water, plain[0])


def hot(values: np.ndarray, name: str = "cloud") -> Scene:
    """A row of the card's pixel at these temperatures (degrees Celsius)."""
    bands = np.broadcast_to(np.array(PIXELS[name][0]), (1, len(values), 6))
    return Scene.of(np.concatenate([bands, (values[None, :, None] + 273.15) / 100], 2), (*SIX, "thermal"))


def test_temperatures_by_hand() -> None:
    celsius = np.array([0.0, 5.0, 10.0, 15.0, 20.0, 25.0])
    one = hot(celsius)
    np.testing.assert_allclose(one.celsius[0], celsius)
    land, sea = np.zeros((1, 6), bool), np.zeros((1, 6), bool)
    land[0, 1:5], sea[0, 4:] = True, True
    of_water, low, high = fmask.temperatures(one, land, sea)
    # of 5, 10, 15, 20: 5 + 15 x 0.175 and 5 + 15 x 0.825; of 20, 25: 20 + 5 x 0.825
    assert (of_water, low, high) == pytest.approx((24.125, 7.625, 17.375))
    over_water, over_land = fmask.probabilities(one, land, sea)
    np.testing.assert_allclose(over_water[0], (24.125 - celsius) / 4)  # the cloud's SWIR is above 0.11
    np.testing.assert_allclose(over_land[0], (1 - 0.0487805) * (21.375 - celsius) / 17.75, rtol=1e-6)
    assert fmask.temperatures(one, land, np.zeros_like(sea))[0] == pytest.approx(17.375)
    assert fmask.temperatures(one, np.zeros_like(land), sea)[1:] == pytest.approx((4.375, 20.625))


def test_warm_ground_is_neither_cloud_nor_snow() -> None:
    assert fmask.potential_cloud(hot(np.array([26.9, 27.1]))).tolist() == [[True, False]]
    assert fmask.snow(hot(np.array([3.7, 3.9]), "snow")).tolist() == [[True, False]]


def test_very_cold_pixels_are_cloud_whatever_they_reflect() -> None:
    """Dark clouds in a thermal scene: 35 degrees below T_low, and no less. Their digital numbers, hundredths of a
    kelvin, go through the task's contract."""
    for cold, found in ((-16.0, True), (-14.0, False)):
        one = thermal_patch("forest", "forest", 20.0, cold)
        bands = np.stack([getattr(one, name) for name in SIX], 2)
        kelvin = (one.celsius[..., None] + 273.15) / 100
        assert fmask.cloud_mask(one, 0.2, 0.03)[12, 12] == found
        seen = codes(np.concatenate([bands, kelvin], 2), None, (*SIX, "thermal"))
        assert (seen[12, 12] == 4) == found and seen[2, 2] == 0 and 0 < kelvin.min() < 6.6


def thermal_patch(ground: str, patch: str, warm: float, cold: float) -> Scene:
    """Ground of the card's pixel with a patch of another one in rows and columns 10 to 15, at these degrees Celsius."""
    bands = np.concatenate([np.broadcast_to(np.array(PIXELS[ground][0]), (30, 30, 6)), np.full((30, 30, 1), warm)], 2)
    bands[10:16, 10:16] = (*PIXELS[patch][0], cold)
    bands[..., 6] = (bands[..., 6] + 273.15) / 100
    return Scene.of(bands, (*SIX, "thermal"))


def test_land_that_is_sure_to_be_cloud_needs_no_first_pass() -> None:
    """Soil has a variability of 0.4118. In ground of 40 degrees it is (44 - T) / 8 times as likely: 0.99 at 24.77."""
    for cold, found in ((24.5, True), (25.0, False)):
        one = thermal_patch("soil", "soil", 40.0, cold)
        assert not fmask.potential_cloud(one).any() and fmask.cloud_mask(one, 0.2, 0.03)[12, 12] == found
    # Wet ground is never sure: a dark soil that is water by its indices, as cold.
    one = thermal_patch("soil", "water", 40.0, 10.0)
    none = np.zeros((30, 30), bool)
    assert fmask.water(one)[12, 12] and fmask.probabilities(one, ~fmask.water(one), none)[1][12, 12] > 0.99
    assert not fmask.cloud_mask(one, 0.2, 0.03)[12, 12]


def test_what_stands_for_the_sea_is_water_without_a_veil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under thin cloud water reflects short-wave infrared too; its temperature is none of the clear sea's."""
    one = thermal_patch("water", "water", 20.0, 26.0)
    one.swir2[10:16, 10:16] = 0.031
    asked: list[np.ndarray] = []
    monkeypatch.setattr(fmask, "temperatures", lambda scene, land, sea: asked.append(sea) or (20.0, 20.0, 20.0))
    fmask.cloud_mask(one, 0.2, 0.03)
    assert fmask.water(one).all() and not asked[0][12, 12] and asked[0].sum() == 900 - 36


def test_the_threshold_over_land_is_a_percentile_of_clear_land_and_more() -> None:
    """Soil has a probability of 0.4118; what could be cloud must be above that by 0.2, or above 0.2 alone."""
    bands = np.broadcast_to(np.array(PIXELS["soil"][0]), (20, 20, 6)).copy()
    thin = np.array([0.20, 0.22, 0.24, 0.42, 0.40, 0.33])  # NDVI 0.2727, NDSI -0.2903, whiteness 0.1818: 0.7097
    bands[5:9, 5:9] = thin
    one = Scene.of(bands, SIX)
    assert fmask.potential_cloud(one)[6, 6] and not fmask.potential_cloud(one)[0, 0]
    assert fmask.cloud_mask(one, 0.29, 0.03)[6, 6] and not fmask.cloud_mask(one, 0.31, 0.03)[6, 6]
    # Clear land is 384 of 400 pixels.
    assert fmask.cloud_mask(one, 0.70, 0.97)[6, 6] and not fmask.cloud_mask(one, 0.70, 0.95)[6, 6]
    bands[:, 10:] = FOREST  # half of the land has 0.1765: the high percentile is still the soil's
    two = Scene.of(bands, SIX)
    assert fmask.cloud_mask(two, 0.29, 0.03)[6, 6] and not fmask.cloud_mask(two, 0.35, 0.03)[6, 6]


def test_over_water_cloud_is_bright_in_the_short_wave_infrared() -> None:
    """NDVI -0.11 and a near infrared of 0.10 make water; (10) above a half asks for a SWIR of 0.055."""
    for swir, found in ((0.06, True), (0.05, False)):
        bands = np.broadcast_to(np.array(PIXELS["water"][0]), (20, 20, 6)).copy()
        bands[5:12, 5:12] = (0.19, 0.17, 0.125, 0.10, swir, 0.035)
        one = Scene.of(bands, SIX)
        assert fmask.water(one).all() and fmask.potential_cloud(one)[8, 8]
        assert fmask.cloud_mask(one, 0.2, 0.03)[8, 8] == found


def test_a_pixel_follows_the_majority_of_its_neighbours() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1, 1] = True
    assert not fmask.smoothed(mask).any()
    mask = np.ones((9, 9), bool)
    mask[4, 4] = False
    assert fmask.smoothed(mask).all()
    half = np.zeros((6, 6), bool)
    half[:3] = True
    assert np.array_equal(fmask.smoothed(half), half)  # at the edges too, which are mirrored
    four = np.zeros((5, 5), bool)
    four[1:3, 1:3] = True
    assert not fmask.smoothed(four).any()  # each sees four of nine


def test_hollows_of_the_infrared_are_filled_to_where_they_run_over() -> None:
    """A pit of 0.10 in ground of 0.30 that is open to the edge at 0.22; the edges stand at 0.25."""
    bands = np.broadcast_to(np.array(FOREST), (15, 15, 6)).copy()
    bands[..., 3] = 0.30
    bands[5:8, 5:8, 3], bands[6, 8:, 3] = 0.10, 0.22
    dark = fmask.potential_shadow(Scene.of(bands, SIX), 0.25)
    assert dark[5:8, 5:8].all() and dark[6, 8:].all() and dark.sum() == 9 + 7
    # With edges as low as the way out, that is no hollow any more; the pit is.
    assert fmask.potential_shadow(Scene.of(bands, SIX), 0.22).sum() == 9
    bands[5:8, 5:8, 3] = 0.235
    assert fmask.potential_shadow(Scene.of(bands, SIX), 0.25).sum() == 7  # 0.015 is no depth
    # A pit beside what was not measured runs out there.
    bands[5:8, 5:8, 3], bands[6, 8:, 3], bands[5:8, 4] = 0.10, 0.30, 0
    assert not fmask.potential_shadow(Scene.of(bands, SIX), 0.05).any()


def test_hollows_run_over_at_the_level_of_dark_clear_land(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 17.5th percentile of the near infrared of what is neither potential cloud nor water."""
    bands = with_patches(cloud=np.s_[5:15, 5:15], water=np.s_[:, 30:])
    bands[:, 15:30, 3] = np.linspace(0.30, 0.45, 15)
    land = np.ones((40, 40), bool)
    land[5:15, 5:15] = land[:, 30:] = False
    levels: list[float] = []
    monkeypatch.setattr(fmask, "potential_shadow",
                        lambda scene, level: levels.append(level) or np.zeros(scene.nir.shape, bool))
    codes(bands, 180.0)
    assert levels == [pytest.approx(np.percentile(bands[..., 3][land], 17.5), abs=1e-6)]


def test_a_shadow_is_where_the_ground_is_darkest_away_from_the_sun() -> None:
    cloud, dark = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    cloud[40:46, 40:46], dark[20:26, 40:46] = True, True
    found = fmask.shadow_mask(cloud, dark, 180.0, range(5, 41), 0.3)  # the sun stands in the south
    assert np.array_equal(found, dark)
    assert not fmask.shadow_mask(cloud, dark, 0.0, range(5, 41), 0.3).any()
    assert not fmask.shadow_mask(cloud, dark, 90.0, range(5, 41), 0.3).any()
    assert not fmask.shadow_mask(cloud, dark, 180.0, range(5, 14), 0.3).any()
    # Two rows of six overlap: a third; exactly as much as is asked is not enough.
    assert fmask.shadow_mask(cloud, dark, 180.0, range(16, 17), 0.3).sum() == 36
    assert not fmask.shadow_mask(cloud, dark, 180.0, range(16, 17), 1 / 3).any()


def test_clumps_have_shadows_of_their_own_and_what_lies_under_clouds_or_outside_counts_not() -> None:
    cloud, dark = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    cloud[30:34, 10:14], cloud[34:36, 14:16] = True, True  # one clump, by a corner
    cloud[50:54, 40:44] = True
    dark[20:24, 10:14], dark[24:26, 14:16], dark[30:34, 40:44] = True, True, True
    assert np.array_equal(fmask.shadow_mask(cloud, dark, 180.0, range(5, 41), 0.3), dark)
    dark[24:26, 14:16] = False  # four fifths of the clump fall on dark ground, and the whole of it has its shadow there
    assert fmask.shadow_mask(cloud, dark, 180.0, range(10, 11), 0.3)[24:26, 14:16].all()
    low, away = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    low[8:14, 5:9], away[:2, 5:9] = True, True  # 12 rows up, two of its six rows are in the scene
    assert np.array_equal(fmask.shadow_mask(low, away, 180.0, range(12, 13), 0.9), away)
    two = low.copy()
    two[2:6, 5:9] = True  # of the six rows that are moved to 1 ... 6, the first and the last are beside the cloud
    beside = np.zeros((20, 20), bool)
    beside[[1, 6], 5:9] = True
    found = fmask.shadow_mask(two, beside, 180.0, range(7, 8), 0.9)
    assert np.array_equal(found, beside)


def test_codes_of_a_scene_and_which_of_them_wins() -> None:
    bands = with_patches(60, 60, cloud=np.s_[30:42, 20:32], water=np.s_[:20, 40:], snow=np.s_[45:, :8],
                         roof=np.s_[50:54, 12:16])
    bands[10:22, 20:32, 3] *= 0.3  # the shadow, 20 pixels to the north
    found = codes(bands, 180.0)
    assert (found[31:41, 21:31] == 4).all() and (found[10:22, 20:32] == 2).mean() > 0.95
    assert (found[:19, 41:] == 1).all() and (found[47:, :6] == 3).all() and found[25, 5] == 0
    assert (found[51:53, 13:15] == 4).all()  # without a thermal band roofs pass
    assert not (codes(bands) == 2).any()  # nobody knows where the sun stood
    bands[58, 58] = 0
    assert codes(bands, 180.0)[58, 58] == 255
    grown = codes(bands, 180.0, cloud_buffer=3, shadow_buffer=2)
    assert (grown[28:44, 25] == 4).all() and grown[26, 25] == 0 and grown[23, 25] == 2 and grown[24, 25] == 0
    assert found[20, 25] == 2 and codes(bands, 180.0, cloud_buffer=12)[20, 25] == 4  # cloud wins over its shadow


def test_buffers_are_discs() -> None:
    point = np.zeros((21, 21), bool)
    point[10, 10] = True
    rows, columns = np.mgrid[-10:11, -10:11]
    assert np.array_equal(fmask.grown(point, 5), rows**2 + columns**2 <= 25)
    assert np.array_equal(fmask.grown(point, 0), point)


def test_published_settings() -> None:
    assert Fmask.paper == {"cloud_buffer": 5, "shadow_buffer": 10, "probability": 0.2, "least_land": 0.03,
                           "similarity": 0.3, "nearest": 5, "farthest": 40}


def test_bands_are_found_by_their_names() -> None:
    bands = with_patches(cloud=np.s_[10:30, 10:30])
    more = np.concatenate([np.full((40, 40, 1), 0.7), bands[..., ::-1]], 2)
    assert np.array_equal(codes(more, None, ("B8A", "B12", "B11", "B8", "B4", "B3", "B2")), codes(bands))
    with pytest.raises(UserError, match=r"fmask needs the bands blue.* this scene has blue, green, red, nir"):
        codes(bands[..., :4], None, SIX[:4])


def test_four_bands_are_not_enough() -> None:
    method = registry.method("cloud_detection", "fmask", {})
    assert method.unsupported("thick_20_four_bands") == "needs both bands of short-wave infrared"
    assert method.unsupported("thick_20") is None and registry.method("cloud_detection", "fmask_lite", {}
                                                                      ).unsupported("thick_20_four_bands") is None
