"""Inpainting samples: holes, known pixels, pools, training crops, composition."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.irregular_masks import BUCKETS
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.edges import edge_precision_recall
from restore_ml.metrics.fidelity import ssim_edgeconnect, ssim_pen_net
from restore_ml.metrics.hole import l2_hole, spread_hole
from restore_ml.seeds import generator
from restore_ml.tasks.inpainting.holes import DIRECT, OBSERVED, POOLED
from restore_ml.tasks.protocol import protocol

TASK = registry.task("inpainting")
PARTS = registry.parts("inpainting")
CASES = PARTS.cases.defaults["cases"]
SIZE = {"size": 64, "pool": 4}
HOLES = sorted({*DIRECT, *POOLED})


def photo(seed: int = 0, height: int = 96, width: int = 150, channels: int = 3) -> Record:
    """A picture without a black pixel."""
    image = generator("photo", seed).integers(1, 256, (height, width, channels), dtype=np.uint8)
    return Record(f"{seed:064x}", {"image": image}, {"name": f"photo{seed}", "group": "g", "collection": "c"})


@pytest.fixture(scope="module")
def pools(tmp_path_factory) -> dict[str, Shards]:
    folder = tmp_path_factory.mktemp("pools")
    shards.write(folder / "pool.arrow", PARTS.training.pools([photo()], 1, SIZE)["masks"])
    return {"masks": Shards(folder)}


@pytest.mark.parametrize("case", [*HOLES, *OBSERVED])
def test_a_test_sample_is_the_truth_outside_its_mask_and_nothing_under_a_hole(case):
    sample = PARTS.cases.sample(photo(), case, 1, SIZE)
    image, mask, truth = sample.inputs["image"], sample.inputs["mask"], sample.target["image"]
    assert image.shape == truth.shape == (64, 64, 3) and mask.shape == (64, 64, 1)
    assert image.dtype == mask.dtype == truth.dtype == np.uint8
    known = mask[..., 0] == 0
    assert known.any() and not known.all()
    assert np.array_equal(image[known], truth[known])
    assert sample.facts["hole_ratio"] == mask.mean() and sample.facts["kind"] == case
    if case in OBSERVED:
        assert image[~known].any() and not np.array_equal(image, truth)
    else:
        assert not image[~known].any()


def test_draws_come_from_seed_picture_and_degradation_alone():
    def mask(seed: int, picture: int, case: str) -> bytes:
        return PARTS.cases.sample(photo(picture), case, seed, SIZE).inputs["mask"].tobytes()

    assert mask(1, 0, "strokes") == mask(1, 0, "strokes")
    assert len({mask(1, 0, "strokes"), mask(2, 0, "strokes"), mask(1, 1, "strokes"), mask(1, 0, "walk")}) == 4
    drawn = POOLED["strokes"](64, 64, generator(1, photo(0).id, "strokes"))
    assert mask(1, 0, "strokes") == drawn.astype(np.uint8).tobytes()


@pytest.mark.parametrize("k", BUCKETS)
def test_irregular_cases_hold_their_class(k):
    ratio = PARTS.cases.sample(photo(k), f"irregular_{k}", 3, SIZE).inputs["mask"].mean()
    assert BUCKETS[k][0] < ratio <= BUCKETS[k][1]


def test_the_picture_is_resized_to_its_shorter_side_and_cut_in_the_middle():
    record = photo(height=96, width=150)
    truth = PARTS.cases.sample(record, "centre", 1, SIZE).target["image"]
    resized = imresize(record.arrays["image"], output_size=(64, 100))
    assert np.array_equal(truth, resized[:, 18:82])
    whole = PARTS.cases.sample(record, "centre", 1, {"size": 0})
    assert np.array_equal(whole.target["image"], record.arrays["image"])


def test_grey_pictures_become_three_equal_channels():
    truth = PARTS.cases.sample(photo(channels=1), "centre", 1, SIZE).target["image"]
    assert truth.shape[2] == 3 and np.ptp(truth, axis=2).max() == 0


@pytest.mark.parametrize(("shape", "refused"), [((64, 64, 3), False), ((63, 200, 3), True), ((64, 64, 1), False),
                                                ((64, 64, 4), True)])
def test_small_or_odd_pictures_are_refused(shape, refused):
    assert bool(TASK.accepts(np.zeros(shape, np.uint8), SIZE)) == refused


def test_default_cases_and_an_unknown_one():
    assert PARTS.cases.degradations({}) == CASES
    assert PARTS.cases.degradations({"cases": ["walk", "mosaic"]}) == ["walk", "mosaic"]
    with pytest.raises(UserError, match="Did you mean 'irregular_3'"):
        PARTS.cases.degradations({"cases": ["iregular_3"]})
    with pytest.raises(UserError, match="'haze' is no case of inpainting"):
        PARTS.cases.degradations({"cases": ["haze"]})
    with pytest.raises(UserError, match="Did you mean 'cases'"):
        PARTS.check_settings({"case": ["walk"]})


def test_training_records_are_never_enlarged_and_at_most_twice_the_size():
    records = list(PARTS.training.records([photo(0, 300, 420), photo(1, 80, 70, 1)], 1, SIZE))
    assert records[0].arrays["image"].shape == (128, 179, 3) and records[1].arrays["image"].shape == (80, 70, 3)
    assert [record.id for record in records] == [photo(0).id, photo(1).id]


def test_the_pool_holds_every_kind_in_equal_number(pools):
    kinds = [record.facts["kind"] for record in pools["masks"]]
    assert set(kinds) == set(POOLED) and all(kinds.count(kind) == 4 for kind in POOLED)
    for record in pools["masks"]:
        mask = record.arrays["mask"]
        assert mask.shape == (64, 64, 1) and mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
        assert record.facts["ratio"] == mask.mean()
    assert len({record.arrays["mask"].tobytes() for record in pools["masks"]}) == len(pools["masks"])


@pytest.mark.parametrize("kind", [*HOLES, *OBSERVED, "irregular"])
@settings(deadline=None, max_examples=5)
@given(visit=st.integers(0, 10**6), patch=st.sampled_from([32, 48, 64]))
def test_training_samples(kind, visit, patch, pools):
    record = photo()
    sample = PARTS.training.sample(record, pools, generator(1, visit), {"patch": patch, "masks": [kind]}, {})
    again = PARTS.training.sample(record, pools, generator(1, visit), {"patch": patch, "masks": [kind]}, {})
    image, mask, truth = sample.inputs["image"], sample.inputs["mask"], sample.target["image"]
    assert image.shape == truth.shape == (patch, patch, 3) and mask.shape == (patch, patch, 1)
    assert np.array_equal(image, again.inputs["image"]) and np.array_equal(mask, again.inputs["mask"])
    known = mask[..., 0] == 0
    assert np.array_equal(image[known], truth[known])
    assert kind in OBSERVED or not image[~known].any()
    assert sample.facts["kind"] in (["irregular_" + str(k) for k in BUCKETS] if kind == "irregular" else [kind])


@pytest.mark.parametrize("kind", sorted(POOLED))
def test_a_mask_of_the_pool_marks_what_is_missing(kind, pools):
    """Flipped or not, in training as in the pool: 1 is a hole and what is there is black."""
    known = set()
    for record in pools["masks"]:
        if record.facts["kind"] == kind:
            mask = record.arrays["mask"][..., 0]
            known |= {np.ascontiguousarray(turned).tobytes()
                      for turned in (mask, mask[::-1], mask[:, ::-1], mask[::-1, ::-1])}
    for visit in range(12):
        sample = PARTS.training.sample(photo(), pools, generator(3, visit), {"patch": 64, "masks": [kind]}, {})
        mask = sample.inputs["mask"]
        assert mask[..., 0].tobytes() in known and sample.facts["hole_ratio"] == mask.mean()
        assert np.array_equal(sample.inputs["image"], np.where(mask > 0, 0, sample.target["image"]))


def test_a_mask_of_the_pool_is_fitted_to_the_patch_by_the_nearest_neighbour(pools):
    strokes = [record.arrays["mask"] for record in pools["masks"] if record.facts["kind"] == "strokes"]
    halves = {np.ascontiguousarray(mask[::down, ::right][::2, ::2]).tobytes()
              for mask in strokes for down in (1, -1) for right in (1, -1)}
    seen = [PARTS.training.sample(photo(), pools, generator(4, visit), {"patch": 32, "masks": ["strokes"]}, {})
            for visit in range(40)]
    drawn = {sample.inputs["mask"].tobytes() for sample in seen}
    assert drawn <= halves and len(drawn) > 4  # of four masks, flipped either way
    assert all(set(np.unique(sample.inputs["mask"])) <= {0, 1} for sample in seen)


def test_each_name_in_masks_is_drawn_equally_often_and_a_group_shares_its_part(pools):
    run, counts = {"patch": 32, "masks": ["irregular", "random_square", "random_square"]}, Counter()
    for visit in range(600):
        counts[PARTS.training.sample(photo(), pools, generator(5, visit), run, {}).facts["kind"]] += 1
    assert 340 < counts["random_square"] < 460  # two thirds; one in four if every kind counted the same
    assert all(15 < counts[f"irregular_{k}"] < 55 for k in BUCKETS) and set(counts) == {
        "random_square", *(f"irregular_{k}" for k in BUCKETS)}


def test_all_masks_of_the_pool_are_drawn(pools):
    drawn = {np.sort(PARTS.training.sample(photo(), pools, generator(6, visit), {"patch": 64, "masks": ["strokes"]}, {})
                     .inputs["mask"].reshape(64, 64).sum(0)).tobytes() for visit in range(60)}
    assert len(drawn) == 4  # a flip leaves the columns' sums as they are, but for their order


def test_a_training_crop_is_a_flipped_part_of_the_picture(pools):
    record, seen, flipped = photo(height=40, width=40), set(), 0
    windows = {}
    for top in range(9):
        for left in range(9):
            part = record.arrays["image"][top:top + 32, left:left + 32]
            windows[part.tobytes()] = top, left, False
            windows[np.ascontiguousarray(part[:, ::-1]).tobytes()] = top, left, True
    for visit in range(150):
        sample = PARTS.training.sample(record, pools, generator(visit), {"patch": 32}, {})
        top, left, turned = windows[sample.target["image"].tobytes()]
        seen.add((top, left))
        flipped += turned
    assert len(seen) > 50 and 50 < flipped < 100


def test_the_overlap_of_context_encoders(pools):
    run = {"patch": 64, "masks": ["centre"], "overlap": 4}
    mask = PARTS.training.sample(photo(), pools, generator(1), run, {}).inputs["mask"][..., 0]
    assert mask.sum() == 24 ** 2 and mask[20:44, 20:44].all()


def test_mistakes_in_a_run_are_sentences(pools):
    with pytest.raises(UserError, match="lower `patch`"):
        PARTS.training.sample(photo(), pools, generator(1), {"patch": 128}, {})
    with pytest.raises(UserError, match="Did you mean 'strokes'"):
        PARTS.training.sample(photo(), pools, generator(1), {"patch": 32, "masks": ["stroke"]}, {})


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_composition_keeps_known_pixels_to_the_bit(seed):
    rng = generator(seed)
    inputs = {"image": rng.integers(0, 256, (20, 24, 3), dtype=np.uint8),
              "mask": rng.integers(0, 2, (20, 24, 1), dtype=np.uint8)}
    output = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    composed = TASK.compose(inputs, {"image": output})["image"]
    hole = inputs["mask"][..., 0] > 0
    assert composed.dtype == np.uint8
    assert np.array_equal(composed[hole], output[hole]) and np.array_equal(composed[~hole], inputs["image"][~hole])


def test_edges_in_the_hole_are_measured_on_the_primary_case_alone():
    columns = np.where(np.arange(150) // 12 % 2, 220, 30).astype(np.uint8)
    stripes = np.broadcast_to(columns[:, None], (96, 150, 3)).copy()
    rules, sample = protocol("inpainting"), PARTS.cases.sample(Record("a" * 64, {"image": stripes}), "centre", 1, SIZE)
    truth = sample.target["image"]
    restored = {"image": np.where(sample.inputs["mask"] > 0, np.roll(truth, 2, axis=1), truth)}
    found = rules.measure_on_primary(sample.inputs, restored, sample.target)
    precision, recall = edge_precision_recall(restored["image"], sample.target["image"], sample.inputs["mask"])
    assert found == {"edge_precision": precision, "edge_recall": recall} and 0 <= recall < 1
    assert not {*found} & {*rules.measure(sample.inputs, restored, sample.target, None)}
    assert {*found} <= {metric.name for metric in rules.metrics}


def test_figures_of_published_tables_stand_beside_the_others():
    rules, sample = protocol("inpainting"), PARTS.cases.sample(photo(), "centre", 1, SIZE)
    hole, truth = sample.inputs["mask"], sample.target["image"]
    restored = np.where(hole > 0, truth // 2, truth)
    found = rules.measure(sample.inputs, {"image": restored}, sample.target, None)
    assert found["l2_hole"] == l2_hole(restored, truth, hole) and found["spread"] == spread_hole(restored, truth, hole)
    assert 0.45 < found["spread"] < 0.55 and "accepted" not in found
    assert found["ssim_pen_net"] == ssim_pen_net(restored, truth)
    assert found["ssim_edgeconnect"] == ssim_edgeconnect(restored, truth)
    assert {*found} <= {metric.name for metric in rules.metrics}
    taken = np.zeros_like(hole)
    taken[:, :24] = 1  # of 64 columns, of which 16 to 47 are the hole's
    own = rules.measure(sample.inputs, {"image": restored, "accepted": taken}, sample.target, None)
    assert own == found | {"accepted": 0.25}


def test_the_outline_of_an_object_is_a_hole_that_is_tested_where_it_is_asked_for():
    assert "object" in DIRECT and "object" not in CASES
    PARTS.cases.check(PARTS.cases.resolve({"cases": ["object"]}))
