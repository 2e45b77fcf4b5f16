"""Samples of cloud detection: where clouds and shadows lie, which bands are shown, the figures by hand."""

import math

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.arrays import text, words
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations import clouds
from restore_ml.degradations.clouds import scene
from restore_ml.degrading.cases import check
from restore_ml.seeds import generator
from restore_ml.tasks.cloud_detection.clouding import clouded, ground
from restore_ml.tasks.cloud_detection.training import KINDS
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import protocol
from tests.tasks.examples import example

TASK = registry.task("cloud_detection")
PARTS = registry.parts("cloud_detection")
RULES = protocol("cloud_detection")
CASES = PARTS.cases.defaults["cases"]
SIX = ("blue", "green", "red", "nir", "swir1", "swir2")
SENTINEL = "B2 B3 B4 B8 B5 B6 B7 B8A B11 B12"


def procedural(index: int = 0, size: int = 64) -> Record:
    return Record(f"{index:064x}", scene(7, index, size), {"name": f"scene{index}", "synthetic": True})


def real(names: str = SENTINEL, size: int = 64) -> Record:
    bands = generator("real", size).random((size, size, len(names.split())), np.float32) / 4
    arrays = {"target": bands[..., :4], "reference": bands[..., :4], "bands": text(names, 64)}
    if bands.shape[2] > 4:
        arrays |= {"target_further": bands[..., 4:], "reference_further": bands[..., 4:]}
    return Record("e" * 64, arrays, {"name": "real", "synthetic": False})


@pytest.mark.parametrize("case", [*CASES, "thin_05", "thick_40_four_bands"])
def test_the_truth_says_where_clouds_and_shadows_were_laid(case):
    record = procedural()
    sample = PARTS.cases.sample(record, case, 1, {})
    add_optional(PARTS.optional, sample, case, 1, record.id)
    check(TASK, sample, PARTS.optional)
    codes, seen = sample.target["codes"][..., 0], sample.inputs["target"]
    share = int(case.split("_")[1]) / 100
    assert set(np.unique(codes)) == ({0, 2, 4} if "shadow" in case else {0, 4})
    assert abs((codes == 4).mean() - share) < 0.001 and sample.facts["cloud_ratio"] == (codes == 4).mean()
    assert sample.facts["shadow_ratio"] == (codes == 2).mean() and sample.facts["kind"] in case
    assert sample.inputs["azimuth"] == pytest.approx(sample.facts["azimuth"]) and 0 <= sample.facts["azimuth"] <= 360
    under, _ = ground(record, generator(1, record.id, sample.facts["kind"]))
    under = under[..., :seen.shape[2]]
    assert np.array_equal(seen[codes == 0], under[codes == 0]) and (seen[codes == 4] != under[codes == 4]).mean() > 0.95
    assert words(sample.inputs["bands"]).split() == list(SIX[:4] if "four" in case else SIX)
    dark = codes == 2
    assert (seen[dark] <= under[dark] + 1e-4).all()
    assert not dark.any() or seen[dark].mean() < 0.85 * under[dark].mean()


@pytest.mark.parametrize(("what", "least", "most"), [("thick", 1.0, 1.6), ("thin", 0.3, 0.6 * 1.6)])
def test_thick_clouds_hide_the_ground_and_thin_ones_three_to_six_tenths_of_it(what, least, most):
    """Over black ground light comes from the cloud alone, whose spectrum is 1 to 1.6 times as bright."""
    sample = clouded(np.zeros((64, 64, 6), np.float32), SIX, f"{what}_30", generator(1))
    spectrum = np.array(list(clouds.CLOUD.values()))
    assert least - 0.001 <= (sample.inputs["target"] / spectrum).max() <= most + 0.001


def test_shadows_lie_away_from_the_sun_by_8_to_32_pixels():
    distances = []
    for index in range(12):
        sample = PARTS.cases.sample(procedural(index), "thick_10_shadow", 1, {})
        codes = sample.target["codes"][..., 0]
        cloud = (codes == 4).astype(np.uint8)
        angle = math.radians(sample.facts["azimuth"])
        found = []
        for distance in np.arange(8, 32.5, 0.5):
            down, right = round(distance * math.cos(angle)), round(-distance * math.sin(angle))
            moved = (clouds.shifted(cloud, down, right) > 0) & (cloud == 0)
            if np.array_equal(moved, codes == 2):
                found.append(distance)
        assert found, index
        distances.append(found[0])
    assert max(distances) - min(distances) > 8


def test_draws_come_from_seed_picture_and_kind_alone():
    drawn = {PARTS.cases.sample(procedural(index), case, seed, {}).target["codes"].tobytes()
             for index, case, seed in [(0, "thick_20", 1), (1, "thick_20", 1), (0, "thick_20", 2), (0, "thick_20", 1)]}
    assert len(drawn) == 3
    whole, four = (PARTS.cases.sample(procedural(), case, 1, {}) for case in ("thin_20", "thin_20_four_bands"))
    assert np.array_equal(whole.inputs["target"][..., :4], four.inputs["target"])
    assert np.array_equal(whole.target["codes"], four.target["codes"])


def test_all_bands_of_a_real_scene_are_shown_but_heat():
    record = real()
    sample = PARTS.cases.sample(record, "thick_20", 1, {})
    clear = sample.target["codes"][..., 0] == 0
    under = np.concatenate([record.arrays["target"], record.arrays["target_further"]], 2)
    assert words(sample.inputs["bands"]) == SENTINEL and np.array_equal(sample.inputs["target"][clear], under[clear])
    four = PARTS.cases.sample(record, "thick_20_four_bands", 1, {})
    assert words(four.inputs["bands"]) == "B2 B3 B4 B8" and four.inputs["target"].shape[2] == 4
    hot = PARTS.cases.sample(real("blue green red nir swir1 thermal swir2"), "thick_20", 1, {})
    assert words(hot.inputs["bands"]) == "blue green red nir swir1 swir2" and hot.inputs["target"].shape[2] == 6


@pytest.mark.parametrize(("names", "case", "refused"), [
    (SENTINEL, "thick_20", False), ("blue green red nir", "thick_20", True),
    ("blue green red nir", "thin_20_shadow", True),
    ("blue green red nir", "thick_20_four_bands", False), ("red nir swir1", "thick_20_four_bands", True)])
def test_scenes_that_lack_the_bands_of_a_case_are_left_out(names, case, refused):
    reason = PARTS.cases.leaves_out(real(names), case, {})
    assert bool(reason) == refused and PARTS.cases.leaves_out(procedural(), case, {}) is None
    if refused:
        assert reason.startswith("its bands are not named as blue, green, red, nir")
    nameless = Record("a" * 64, {"target": np.zeros((40, 40, 4), np.float32)}, {})
    assert (PARTS.cases.leaves_out(nameless, case, {}) is None) == ("four" in case)


def test_labels_of_real_scenes_are_not_painted_over():
    labelled = procedural()
    labelled.facts["synthetic"] = False
    shown, names = ground(labelled, generator(1))
    assert np.array_equal(shown, labelled.arrays["target"]) and names == SIX[:4]


def test_cases_by_name():
    assert PARTS.cases.degradations({}) == CASES
    assert RULES.primary_case(f"scenes/{case}" for case in CASES) == "scenes/thick_20_shadow"
    for wrong in ("fog", "thick_20_cold", "cloud_20", "thick_20_four_bands_shadow"):
        with pytest.raises(UserError, match=f"{wrong!r} is no case of cloud_detection; write thick_20"):
            PARTS.cases.degradations({"cases": [wrong]})
    with pytest.raises(UserError, match="'fog' is no kind of clouds"):
        clouded(np.zeros((40, 40, 4), np.float32), SIX[:4], "fog", generator(1))


@pytest.mark.parametrize(("size", "refused"), [(31, True), (32, False)])
def test_tiny_scenes_are_refused(size, refused):
    assert bool(TASK.accepts(np.zeros((size, 64, 4), np.float32), {})) == refused


def test_training_records_are_scenes_of_six_bands_in_one_order():
    kept = list(PARTS.training.records([procedural(), real(), Record("b" * 64, real("red nir swir1").arrays, {}),
                                        Record("c" * 64, real("blue green red nir").arrays, {})], 1, {}))
    assert [record.id[:1] for record in kept] == ["0", "e"]
    assert all(record.arrays["target"].shape == (64, 64, 6) for record in kept)
    assert all(words(record.arrays["bands"]).split() == list(SIX) for record in kept)
    arrays = real().arrays
    assert np.array_equal(kept[1].arrays["target"][..., 4:], arrays["target_further"][..., 4:])


def test_training_samples_are_turned_crops_under_each_kind_of_cloud():
    (record,) = PARTS.training.records([procedural()], 1, {})
    kinds, corners = set(), set()
    for visit in range(60):
        sample, again = (PARTS.training.sample(record, {}, generator(visit), {"patch": 40}, {}) for _ in range(2))
        assert np.array_equal(sample.inputs["target"], again.inputs["target"])
        assert sample.inputs["target"].shape == (40, 40, 6)
        kinds.add(sample.facts["kind"])
        corners.add(sample.inputs["target"].tobytes())
        clear = sample.inputs["target"][sample.target["codes"][..., 0] == 0]
        whole = {row.tobytes() for row in record.arrays["target"].reshape(-1, 6)}
        assert all(row.tobytes() in whole for row in clear[::50])
    assert kinds == set(KINDS) and len(corners) == 60
    only = {PARTS.training.sample(record, {}, generator(visit), {"patch": 40, "clouds": ["thin_30"]}, {}).facts["kind"]
            for visit in range(5)}
    assert only == {"thin_30"}
    with pytest.raises(UserError, match="lower `patch`"):
        PARTS.training.sample(record, {}, generator(1), {"patch": 65}, {})


def test_training_crops_are_turned_in_all_eight_ways():
    (record,) = PARTS.training.records([procedural()], 1, {})
    whole = record.arrays["target"]
    turned = [np.rot90(part, turns) for part in (whole, whole[:, ::-1]) for turns in range(4)]
    seen = set()
    for visit in range(50):
        sample = PARTS.training.sample(record, {}, generator(visit), {"patch": 64, "clouds": ["thin_05"]}, {})
        clear = sample.target["codes"][..., 0] == 0
        seen |= {way for way, one in enumerate(turned) if np.array_equal(sample.inputs["target"][clear], one[clear])}
    assert seen == set(range(8))


def test_figures_by_hand():
    """Of a cloud of 600 pixels 540 are found and 210 beside it, 60 of them shadow; a shadow of 600 is not found."""
    inputs, output, target = example("cloud_detection").sample()
    figures = RULES.measure(inputs, output, target, None)
    assert figures == pytest.approx({"iou": 540 / 810, "precision": 540 / 750, "recall": 0.9, "shadow_iou": 0.0,
                                     "hidden_iou": 600 / 1350})
    assert set(figures) == {metric.name for metric in RULES.metrics}
    half = {"codes": np.where(np.arange(64)[:, None, None] < 20, target["codes"], 0).astype(np.uint8)}
    figures = RULES.measure(inputs, half, target, None)
    assert figures == pytest.approx({"iou": 0.5, "precision": 1.0, "recall": 0.5, "shadow_iou": 0.0,
                                     "hidden_iou": 0.25})
    nothing = RULES.measure(inputs, {"codes": np.zeros_like(target["codes"])}, target, None)
    assert (nothing["iou"], nothing["recall"], nothing["hidden_iou"]) == (0, 0, 0) and math.isnan(nothing["precision"])
    best = RULES.measure(inputs, target, target, None)
    assert set(best.values()) == {1.0}
    bare = {"codes": np.where(target["codes"] == 2, 0, target["codes"]).astype(np.uint8)}
    assert math.isnan(RULES.measure(inputs, bare, bare, None)["shadow_iou"])


def test_what_was_not_measured_and_other_codes_count_as_no_cloud():
    inputs, _, target = example("cloud_detection").sample()
    land = {"codes": np.where(target["codes"] == 0, 1, target["codes"]).astype(np.uint8)}
    assert set(RULES.measure(inputs, land, target, None).values()) == {1.0}  # water and snow are clear
    gone = {"codes": np.where(np.arange(64)[:, None, None] < 20, 255, target["codes"]).astype(np.uint8)}
    assert RULES.measure(inputs, gone, target, None)["recall"] == 0.5
    assert RULES.measure(inputs, target, gone, None)["precision"] == 1.0


def test_the_picture_has_outlines_of_clouds_and_shadows():
    inputs, output, target = example("cloud_detection").sample()
    shown = RULES.show(inputs, output, target)
    assert {name: value.shape for name, value in shown.items()} == dict.fromkeys(("input", "truth", "output"),
                                                                                 (64, 64, 3))
    plain = shown["input"]
    assert np.array_equal(shown["truth"][60:], plain[60:]) and np.array_equal(shown["truth"][:, :9], plain[:, :9])
    assert (shown["truth"][10, 20] == (230, 159, 0)).all() and (shown["truth"][35, 20] == (86, 180, 233)).all()
    assert np.array_equal(shown["output"][45:54, 12:38], plain[45:54, 12:38])
    assert "output" not in RULES.show(inputs, None, target)


def test_nobody_gets_more_than_clear_land_for_nothing():
    sample = PARTS.cases.sample(procedural(), "thick_20", 1, {})
    assert not RULES.trivial(sample).any() and RULES.trivial(sample).shape == sample.target["codes"].shape
