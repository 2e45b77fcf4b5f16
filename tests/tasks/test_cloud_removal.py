"""Samples of cloud removal: no truth under the gaps, shares, pools, composition."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.arrays import text, words
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.clouds import scene
from restore_ml.degrading.cases import check
from restore_ml.metrics.without_truth import seam
from restore_ml.seeds import generator
from restore_ml.tasks.cloud_removal.training import KINDS
from restore_ml.tasks.protocol import protocol

TASK = registry.task("cloud_removal")
PARTS = registry.parts("cloud_removal")
CASES = PARTS.cases.defaults["cases"]

SETTINGS = {"size": 48, "pool": 3}
BEFORE = "1562d77f944e70470b94da8587fdd404539ba40b7290299b05f939b992afe29a"
"""Of the inputs of a case of four bands, as they were before scenes could have more."""


def record(index: int = 0, size: int = 64) -> Record:
    return Record(f"{index:064x}", scene(7, index, size), {"name": f"scene{index}", "synthetic": True})


@pytest.fixture(scope="module")
def pools(tmp_path_factory) -> dict[str, Shards]:
    folder = tmp_path_factory.mktemp("pools")
    shards.write(folder / "pool.arrow", PARTS.training.pools([record()], 1, SETTINGS)["masks"])
    return {"masks": Shards(folder)}


@pytest.mark.parametrize("case", [*CASES, "wedges", "snow_30", "cloud_20_shadow", "cloud_05"])
def test_nothing_of_the_truth_is_left_under_the_gap(case):
    first = record()
    sample = PARTS.cases.sample(first, case, 1, {})
    hole = sample.inputs["mask"][..., 0] > 0
    seen, truth = sample.inputs["target"], sample.target["truth"]
    assert seen.dtype == truth.dtype == np.float32 and seen.shape == truth.shape == (64, 64, 4)
    assert hole.any() and np.array_equal(seen[~hole], truth[~hole]) and np.array_equal(truth, first.arrays["target"])
    assert np.array_equal(sample.inputs["reference"], first.arrays["reference"])
    if "shadow" in case:
        return
    # Another truth under the gap leaves the inputs as they are.
    other = first.arrays | {"target": np.where(hole[..., None], np.float32(0.321), truth)}
    again = PARTS.cases.sample(Record(first.id, other, {}), case, 1, {})
    assert np.array_equal(again.inputs["target"], seen)


def many(index: int = 0) -> Record:
    """A scene with two further bands."""
    arrays = scene(7, index, 64, 6)
    further = {f"{date}_further": np.ascontiguousarray(arrays[date][..., 4:]) for date in ("target", "reference")}
    near = {date: np.ascontiguousarray(arrays[date][..., :4]) for date in ("target", "reference")}
    return Record(f"{index:064x}", {**near, **further, "bands": text("B2 B3 B4 B8 B11 B12", 64)}, {})


@pytest.mark.parametrize("kind", ["cloud_20", "stripes", "snow_30", "cloud_20_shadow"])
def test_all_bands_have_the_gap_of_the_four(kind):
    named, unnamed = many(), record()
    near, whole = (PARTS.cases.sample(named, case, 1, {}) for case in (kind, f"{kind}_all_bands"))
    assert near.inputs["target"].shape == (64, 64, 4) and whole.inputs["target"].shape == (64, 64, 6)
    assert np.array_equal(near.inputs["mask"], whole.inputs["mask"]) and near.facts == whole.facts
    assert whole.facts["kind"] == kind
    for name, key in (("truth", "target"), ("reference", "reference")):
        values = {**whole.inputs, **whole.target}[name]
        both = np.concatenate([named.arrays[key], named.arrays[f"{key}_further"]], 2)
        assert np.array_equal(values, both) and np.array_equal({**near.inputs, **near.target}[name], both[..., :4])
    clear = whole.inputs["mask"][..., 0] == 0
    assert np.array_equal(whole.inputs["target"][clear], whole.target["truth"][clear])
    assert words(near.inputs["bands"]) == "B2 B3 B4 B8" and words(whole.inputs["bands"]) == "B2 B3 B4 B8 B11 B12"
    assert words(PARTS.cases.sample(unnamed, kind, 1, {}).inputs["bands"]) == "blue green red nir"


def test_scenes_with_further_bands_are_tested_in_all_of_them_alone():
    assert PARTS.cases.leaves_out(many(), "cloud_20", {}) == "it is tested in all of its bands"
    assert PARTS.cases.leaves_out(record(), "cloud_20_all_bands", {}) == "it has no further bands"
    assert PARTS.cases.leaves_out(many(), "stripes_all_bands", {}) is None
    assert PARTS.cases.leaves_out(record(), "stripes", {}) is None


def found(codes: np.ndarray, bands: int = 3) -> Record:
    """A scene as it was found, with the codes of its mask."""
    values = generator("found").random((40, 48, bands)).astype(np.float32)
    return Record("f" * 64, {"target": values, "reference": values / 2, "mask": codes.astype(np.uint8),
                             "bands": text("red nir swir1", 64)}, {"as_found": True})


def test_real_gaps_stay_as_they_are_and_have_no_truth():
    codes = np.arange(40)[:, None, None].repeat(48, 1) // 8  # clear, cloud, shadow, snow, nothing: 8 rows each
    record = found(codes)
    sample = PARTS.cases.sample(record, "as_found", 1, {})
    assert sample.target == {} and PARTS.cases.without_truth == ("as_found",)
    assert np.array_equal(sample.inputs["target"], record.arrays["target"])
    assert np.array_equal(sample.inputs["reference"], record.arrays["reference"])
    rows = np.flatnonzero(sample.inputs["mask"][:, 0, 0])
    assert rows.tolist() == [*range(8, 24), *range(32, 40)]
    assert np.array_equal(sample.inputs["mask"], (codes > 0) & (codes != 3))
    assert sample.facts == {"kind": "as_found", "hole_ratio": 0.6}
    assert words(sample.inputs["bands"]) == "red nir swir1"
    check(TASK, sample, has_truth=False)
    assert PARTS.cases.leaves_out(record, "as_found", {}) is None


@pytest.mark.parametrize(("code", "reason"), [(0, "nothing of it is marked as hidden"), (1, "all of it is hidden"),
                                              (3, "nothing of it is marked as hidden")])
def test_scenes_without_a_gap_or_a_clear_pixel_are_left_out(code, reason):
    assert PARTS.cases.leaves_out(found(np.full((40, 48, 1), code)), "as_found", {}) == reason
    if not code:
        assert PARTS.cases.leaves_out(record(), "as_found", {}) == reason


def test_each_band_that_has_a_name_is_measured_alone():
    rules = protocol("cloud_removal")
    four, red_edge = ["blue", "green", "red", "nir"], many()
    red_edge.arrays["bands"] = text("B2 B3 B4 B8 B8A B12", 64)
    for made, case, names in ((record(), "cloud_20", four),
                              (many(), "cloud_20_all_bands", [*four, "swir1", "swir2"]),
                              (red_edge, "cloud_20_all_bands", [*four, "b8a", "swir2"])):
        sample = PARTS.cases.sample(made, case, 1, {})
        truth, mask = sample.target["truth"], sample.inputs["mask"]
        restored = truth + np.float32(0.1) * np.arange(1, len(names) + 1, dtype=np.float32) * mask
        found = rules.measure(sample.inputs, {"image": restored}, sample.target, None)
        own = {f"psnr_{name}": pytest.approx(20 - 20 * np.log10(place), abs=1e-3)
               for place, name in enumerate(names, 1)}
        assert {name: value for name, value in found.items() if name in {*own}} == own
        assert {name for name in found if name.startswith("psnr_")} == {"psnr_hole", *own}
        assert {*found} <= {metric.name for metric in rules.metrics}
    right = rules.measure(sample.inputs, {"image": truth}, sample.target, None)
    assert right["psnr_blue"] == 60.0, "capped"
    unknown = {**sample.inputs, "bands": text("B2 B3 B4 B8 1 B12", 64)}
    assert {*rules.measure(unknown, {"image": truth}, sample.target, None)} == {*right} - {"psnr_b8a"}


def test_without_a_truth_the_seam_is_measured_and_what_was_seen_and_the_reference_are_shown():
    mask = np.zeros((40, 48, 1))
    mask[10:20, 10:30] = 1
    sample, rules = PARTS.cases.sample(found(mask), "as_found", 1, {}), protocol("cloud_removal")
    output = {"image": np.where(mask > 0, np.float32(0.9), sample.inputs["target"])}
    assert rules.measure_without_truth(sample.inputs, output) == {"seam": seam(output["image"], mask)}
    assert {metric.name for metric in rules.figures_without_truth} == {"seam"}
    shown = rules.show(sample.inputs, output, {})
    assert list(shown) == ["input", "seen", "reference", "output"]
    hole = mask[..., 0] > 0
    assert (shown["input"][hole] == 255).all() and np.array_equal(shown["input"][~hole], shown["seen"][~hole])
    like = sample.inputs["reference"][..., [2, 0, 1]].astype(float)
    low, high = np.percentile(like, (2, 98), axis=(0, 1))
    assert np.array_equal(shown["reference"], np.rint(255 * np.clip((like - low) / (high - low), 0, 1)))
    seen = sample.inputs["target"][..., [2, 0, 1]].astype(float)
    low, high = np.percentile(seen[~hole], (2, 98), axis=0)
    assert np.array_equal(shown["seen"], np.rint(255 * np.clip((seen - low) / (high - low), 0, 1)))
    assert np.array_equal(shown["output"][~hole], shown["seen"][~hole])
    assert list(rules.show(sample.inputs, None, {})) == ["input", "seen", "reference"]


def test_samples_of_four_bands_are_what_they_were():
    first = PARTS.cases.sample(record(), "cloud_20", 1, {})
    digest = sha256(b"".join(np.ascontiguousarray(first.inputs[name]).tobytes()
                             for name in ("target", "reference", "mask"))).hexdigest()
    assert digest == BEFORE


def test_a_picture_is_in_false_colour_and_white_where_nothing_is_seen():
    for made, places in ((record(), (3, 2, 1)), (many(), (5, 2, 4))):
        case = "cloud_20_all_bands" if "target_further" in made.arrays else "cloud_20"
        sample = PARTS.cases.sample(made, case, 1, {})
        shown = protocol("cloud_removal").show(sample.inputs, {"image": sample.inputs["reference"]}, sample.target)
        hole, truth = sample.inputs["mask"][..., 0] > 0, sample.target["truth"][..., list(places)]
        assert (shown["input"][hole] == 255).all() and np.array_equal(shown["input"][~hole], shown["truth"][~hole])
        low, high = np.percentile(truth, (2, 98), axis=(0, 1))
        for name, values in (("truth", truth), ("output", sample.inputs["reference"][..., list(places)])):
            np.testing.assert_array_equal(shown[name], np.rint(255 * np.clip((values.astype(float) - low)
                                                                             / (high - low), 0, 1)))


@pytest.mark.parametrize(("case", "share"), [("cloud_10", 0.1), ("cloud_20", 0.2), ("cloud_40", 0.4)])
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_clouds_cover_the_share_in_their_name(case, share, seed):
    sample = PARTS.cases.sample(record(), case, seed, {})
    assert abs(sample.inputs["mask"].mean() - share) < 0.005
    assert sample.facts["hole_ratio"] == sample.inputs["mask"].mean() and 0 <= sample.facts["changed_ratio"] <= 1


def test_a_shadow_is_dark_and_belongs_to_the_mask():
    plain, both = (PARTS.cases.sample(record(), case, 1, {}) for case in ("cloud_20", "cloud_20_shadow"))
    hole = both.inputs["mask"][..., 0] > 0
    bright = both.inputs["target"].min(axis=2) >= 0.8
    assert both.inputs["mask"].mean() > 0.22 and abs(bright.mean() - 0.2) < 0.005
    dark = hole & ~bright
    assert np.allclose(both.inputs["target"][dark], 0.3 * both.target["truth"][dark], atol=1e-4)
    assert plain.inputs["mask"].mean() < both.inputs["mask"].mean()


def test_draws_come_from_seed_picture_and_degradation_alone():
    drawn = {PARTS.cases.sample(record(index), case, seed, {}).inputs["mask"].tobytes()
             for index, case, seed in [(0, "cloud_20", 1), (1, "cloud_20", 1), (0, "cloud_20", 2), (0, "cloud_20", 1)]}
    assert len(drawn) == 3


def test_cases_by_name():
    usual = ["cloud_10", "cloud_20", "cloud_40", "stripes"]
    assert PARTS.cases.degradations({}) == CASES == [*usual, "cloud_20_all_bands"]
    assert PARTS.cases.degradations({"cases": ["wedges_all_bands", "snow_05_all_bands"]})
    for wrong in ("fog", "fog_all_bands", "cloud_20_some_bands"):
        with pytest.raises(UserError, match=f"'{wrong}' is no case of cloud_removal; write .* with _all_bands"):
            PARTS.cases.degradations({"cases": [wrong]})
    with pytest.raises(UserError, match="Did you mean 'pool'"):
        PARTS.check_settings({"pol": 3})


@pytest.mark.parametrize(("size", "refused"), [(31, True), (32, False)])
def test_tiny_scenes_are_refused(size, refused):
    assert bool(TASK.accepts(np.zeros((size, 64, 4), np.float32), {})) == refused


def test_the_pool_and_the_training_records(pools):
    kinds = [entry.facts["kind"] for entry in pools["masks"]]
    assert sorted(set(kinds)) == sorted(KINDS) and len(kinds) == 3 * len(KINDS)
    assert all(entry.arrays["mask"].shape == (48, 48, 1) for entry in pools["masks"])
    (kept,) = PARTS.training.records([record()], 1, SETTINGS)
    assert set(kept.arrays) == {"target", "reference"} and kept.id == record().id


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=5)
@given(visit=st.integers(0, 10**6))
def test_training_samples(kind, visit, pools):
    run = {"patch": 32, "masks": [kind]}
    sample, again = (PARTS.training.sample(record(), pools, generator(visit), run, {}) for _ in range(2))
    hole = sample.inputs["mask"][..., 0] > 0
    seen, truth = sample.inputs["target"], sample.target["truth"]
    assert seen.shape == truth.shape == (32, 32, 4) and np.array_equal(seen, again.inputs["target"])
    assert np.array_equal(seen[~hole], truth[~hole])
    assert not hole.any() or (seen[hole] == 0).all() or (seen[hole] >= 0.8).all()


def test_both_dates_of_a_training_sample_are_cut_and_turned_alike(pools):
    whole = record()
    same = Record(whole.id, {"target": whole.arrays["reference"], "reference": whole.arrays["reference"]})
    for visit in range(10):
        sample = PARTS.training.sample(same, pools, generator(visit), {"patch": 40}, {})
        assert np.array_equal(sample.target["truth"], sample.inputs["reference"])


def test_mistakes_in_a_run_are_sentences(pools):
    with pytest.raises(UserError, match="lower `patch`"):
        PARTS.training.sample(record(), pools, generator(1), {"patch": 64}, {})
    with pytest.raises(UserError, match="no training masks 'cloud_33'"):
        PARTS.training.sample(record(), pools, generator(1), {"patch": 32, "masks": ["cloud_33"]}, {})


def test_composition_is_band_by_band_and_exact():
    sample = PARTS.cases.sample(record(), "cloud_20", 1, {})
    output = generator(1).random((64, 64, 4), dtype=np.float32)
    composed = TASK.compose(sample.inputs, {"image": output})["image"]
    hole = sample.inputs["mask"][..., 0] > 0
    assert composed.dtype == np.float32
    assert np.array_equal(composed[hole], output[hole])
    assert np.array_equal(composed[~hole], sample.target["truth"][~hole])


def test_the_share_that_changed_is_of_the_hidden_pixels_with_labels_from_100_on():
    left = np.arange(64) < 20
    labels = np.broadcast_to(np.where(left, 100, 99)[None, :, None], (64, 64, 1)).astype(np.uint8)
    sample = PARTS.cases.sample(Record("c" * 64, record().arrays | {"labels": labels}), "cloud_20", 1, {})
    hole = sample.inputs["mask"][..., 0] > 0
    assert sample.facts["changed_ratio"] == pytest.approx(hole[:, left].sum() / hole.sum())
    assert 0 < sample.facts["changed_ratio"] < 1


def test_a_gap_is_0_in_the_inputs_and_snow_darkens_towards_the_last_band():
    for case in ("stripes", "wedges"):
        sample = PARTS.cases.sample(record(), case, 1, {})
        assert not sample.inputs["target"][sample.inputs["mask"][..., 0] > 0].any()
    sample = PARTS.cases.sample(record(), "snow_30", 1, {})
    snow = sample.inputs["target"][sample.inputs["mask"][..., 0] > 0]
    np.testing.assert_allclose(snow[:, 3] / snow[:, 0], 0.9, atol=1e-3)
    assert snow[:, 0].min() > 0.69 and snow[:, 0].max() < 0.91


def test_the_masks_of_the_pool_are_of_their_kinds_and_differ(pools):
    masks = {entry.id: entry for entry in pools["masks"]}
    assert len({entry.arrays["mask"].tobytes() for entry in masks.values()}) == len(masks)
    for entry in masks.values():
        mask = entry.arrays["mask"]
        assert entry.facts["ratio"] == mask.mean()
        if entry.facts["kind"] == "stripes":
            assert (mask == mask[:, :1]).all()  # whole rows
        else:
            assert abs(mask.mean() - int(entry.facts["kind"][-2:]) / 100) < 0.01


def test_training_draws_each_kind_and_each_mask_of_the_pool(pools):
    run, kinds, drawn = {"patch": 48, "masks": ["cloud_05", "cloud_40", "cloud_40"]}, [], set()
    for visit in range(120):
        sample = PARTS.training.sample(record(), pools, generator("kinds", visit), run, {})
        mask = sample.inputs["mask"][..., 0]
        kinds.append(sample.facts["kind"])
        assert abs(mask.mean() - int(kinds[-1][-2:]) / 100) < 0.01
        sums = [np.sort(mask.sum(axis)).tobytes() for axis in (0, 1)]  # turning leaves them, or exchanges the two
        drawn.add((kinds[-1], *sorted(sums)))
    assert 20 < kinds.count("cloud_05") < 60 and len(drawn) == 6  # three masks of each


def test_training_crops_of_both_dates_are_turned_in_all_eight_ways(pools):
    corner = np.zeros((48, 48, 1), np.float32)
    corner[:20, :10] = 0.5
    dates = Record("d" * 64, {"target": corner, "reference": corner + 1})
    (kept,) = PARTS.training.records([dates], 1, SETTINGS)
    seen, masks = set(), set()
    for visit in range(80):
        sample = PARTS.training.sample(kept, pools, generator("turns", visit), {"patch": 48, "masks": ["stripes"]}, {})
        assert np.array_equal(sample.inputs["reference"], sample.target["truth"] + 1)
        seen.add(sample.target["truth"].tobytes())
        mask = sample.inputs["mask"][..., 0]
        masks.add(bool((mask == mask[:, :1]).all()))
    turned = [np.rot90(part, turns) for part in (corner, corner[:, ::-1]) for turns in range(4)]
    assert seen == {np.ascontiguousarray(part).tobytes() for part in turned}
    assert masks == {True, False}  # the mask is turned as well
