"""Restoration samples: damage by name, scratches, training crops, what is measured and what a person gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import Read
from restore_ml.data.shards import Record
from restore_ml.degradations import dense, masks
from restore_ml.degradations.noise import gaussian_noise
from restore_ml.degradations.resize import imresize
from restore_ml.method import Method, Model
from restore_ml.metrics.fidelity import l1_percent, psnr, psnr_y, ssim, ssim_y
from restore_ml.metrics.without_truth import grain
from restore_ml.nn.learned_restoration import LearnedRestoration
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from restore_ml.tasks.photos import Asked, Restorer
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.restoration.damages import KINDS, covered, damage

TASK = registry.task("restoration")
PARTS = registry.parts("restoration")
PROTOCOL = protocol("restoration")
CASES = ["old_photo", "haze", "rain", "noise_25", "blur", "watermark"]
SIZE = {"size": 64}


def photo(seed: int = 0, height: int = 96, width: int = 150, channels: int = 3) -> Record:
    image = generator("photo", seed).integers(0, 200, (height, width, channels), dtype=np.uint8)
    return Record(f"{seed:064x}", {"image": image}, {"name": f"photo{seed}", "group": "g", "collection": "c"})


# --- what is tested ---------------------------------------------------------------------------------------------------


def test_the_cases_and_an_unknown_one():
    assert PARTS.cases.degradations({}) == CASES and PARTS.cases.without_truth == ("as_found",)
    assert PARTS.cases.degradations({"cases": ["rain_heavy", "noise_50"]}) == ["rain_heavy", "noise_50"]
    with pytest.raises(UserError, match="Did you mean 'watermark'"):
        PARTS.cases.degradations({"cases": ["watermrk"]})
    with pytest.raises(UserError, match="'centre' is no case"):
        PARTS.cases.sample(photo(), "centre", 1, SIZE)
    assert set(CASES) <= set(KINDS)


@pytest.mark.parametrize("case", [*CASES, "rain_heavy", "noise", "noise_15", "noise_50"])
def test_a_sample_is_damaged_and_its_target_is_the_picture(case):
    sample = PARTS.cases.sample(photo(), case, 1, SIZE)
    image, truth, scratches = sample.inputs["image"], sample.target["image"], sample.target["scratches"]
    assert list(sample.inputs) == ["image"] and image.shape == truth.shape == (64, 64, 3)
    assert scratches.shape == (64, 64, 1) and {image.dtype, truth.dtype, scratches.dtype} == {np.dtype(np.uint8)}
    square = imresize(photo().arrays["image"], output_size=(64, 100))[:, 18:82]
    assert np.array_equal(truth, square) and not np.array_equal(image, truth)
    assert sample.facts == {"kind": case, "scratched": scratches.mean()}
    assert scratches.any() == (case == "old_photo")


def test_the_damage_is_that_of_the_name():
    image = photo().arrays["image"]
    noisy = gaussian_noise(image, 50, generator(3))
    assert np.array_equal(damage(image, "noise_50", generator(3)).inputs["image"], noisy)
    assert np.array_equal(damage(image, "rain", generator(3)).inputs["image"], dense.rain(image, generator(3))[0])
    assert np.array_equal(damage(image, "rain_heavy", generator(3)).inputs["image"],
                          dense.rain(image, generator(3), heavy=True)[0])
    assert np.array_equal(damage(image, "haze", generator(3)).inputs["image"], dense.haze(image, generator(3))[0])
    marked = damage(image, "watermark", generator(3)).inputs["image"]
    changed = (marked != image).any(2)
    assert 0.005 < changed.mean() < 0.2  # a mark, and nothing beside it
    deviations = {float(np.std(damage(np.full((64, 64, 3), 128, np.uint8), "noise", generator(seed)).inputs["image"]))
                  for seed in range(12)}
    assert {min((15, 25, 50), key=lambda one, value=value: abs(one - value)) for value in deviations} == {15, 25, 50}


def test_scratches_are_white_and_marked_and_the_rest_is_the_aged_picture():
    image = photo().arrays["image"]
    rng = generator(5)
    seen, truth = dense.old_photo(image, rng)
    assert rng.random() < 1.0
    scratches = masks.scratch(96, 150, rng)[..., None]
    sample = damage(image, "old_photo", generator(5))
    assert np.array_equal(sample.target["scratches"], scratches) and np.array_equal(sample.target["image"], truth)
    assert (sample.inputs["image"][scratches[..., 0] > 0] == 255).all()
    known = scratches[..., 0] == 0
    assert np.array_equal(sample.inputs["image"][known], seen[known])


def test_the_share_of_scratched_photographs():
    image = photo(height=32, width=32).arrays["image"]
    scratched = sum(damage(image, "old_photo", generator(6, number), 0.25).target["scratches"].any()
                    for number in range(200))
    assert 30 < scratched < 70
    assert not any(damage(image, "old_photo", generator(7, number), 0.0).target["scratches"].any()
                   for number in range(9))


def test_draws_come_from_seed_picture_and_degradation_alone():
    def seen(seed: int, picture: Record, case: str) -> bytes:
        return PARTS.cases.sample(picture, case, seed, SIZE).inputs["image"].tobytes()

    twin = Record("f" * 64, photo().arrays, photo().facts)
    assert seen(1, photo(), "rain") == seen(1, photo(), "rain")
    assert len({seen(1, photo(), "rain"), seen(2, photo(), "rain"), seen(1, twin, "rain")}) == 3
    whole = PARTS.cases.sample(photo(), "noise_25", 1, {"size": 0})
    expected = gaussian_noise(photo().arrays["image"], 25, generator(1, photo().id, "noise_25"))
    assert np.array_equal(whole.inputs["image"], expected)


def test_a_picture_as_it_was_found_stays_whole_and_has_no_target():
    sample = PARTS.cases.sample(photo(), "as_found", 1, SIZE)
    assert sample.target == {} and np.array_equal(sample.inputs["image"], photo().arrays["image"])
    large = photo(height=200, width=300)
    assert np.array_equal(PARTS.cases.sample(large, "as_found", 1, SIZE).inputs["image"],
                          imresize(large.arrays["image"], output_size=(128, 192)))
    assert PARTS.cases.sample(large, "as_found", 1, {"size": 0}).inputs["image"].shape == (200, 300, 3)
    assert PARTS.cases.sample(photo(channels=1), "as_found", 1, SIZE).inputs["image"].shape == (96, 150, 3)


@pytest.mark.parametrize(("shape", "refused"), [
    ((64, 64, 3), False), ((63, 90, 3), True), ((64, 64, 1), False), ((64, 64, 4), True)])
def test_small_or_odd_pictures_are_refused(shape, refused):
    assert bool(TASK.accepts(np.zeros(shape, np.uint8), SIZE)) == refused


def test_whole_pictures_need_32_pixels():
    assert TASK.accepts(np.zeros((31, 64, 3), np.uint8), {"size": 0})
    assert TASK.accepts(np.zeros((32, 64, 3), np.uint8), {"size": 0}) is None


# --- what training sees -----------------------------------------------------------------------------------------------


def record(height: int = 96, width: int = 96) -> Record:
    return next(iter(PARTS.training.records([photo(0, height, width)], 1, {"size": 48})))


def test_training_records_have_at_most_twice_the_size_and_say_it():
    one, = PARTS.training.records([photo(0, 200, 300, 1)], 1, {"size": 48})
    assert one.arrays["image"].shape == (96, 144, 3) and one.arrays["size"].tolist() == [48]
    assert one.facts["name"] == "photo0"
    assert next(iter(PARTS.training.records([photo(0, 60, 70)], 1, {"size": 48}))).arrays["image"].shape == (60, 70, 3)


def test_a_training_sample_is_damaged_in_the_size_of_the_tests_and_then_cut():
    """Everything is drawn again here, in the order of the sample."""
    for visit in range(4):
        rng = generator(8, visit)
        top, left = int(rng.integers(49)), int(rng.integers(49))
        square = record().arrays["image"][top:top + 48, left:left + 48]
        rng.integers(2), rng.integers(4)  # the mirror and the quarter turns
        turned = {np.ascontiguousarray(np.rot90(side, k)).tobytes() for side in (square, square[:, ::-1])
                  for k in range(4)}
        rng.integers(1)  # the kind
        sample = PARTS.training.sample(record(), {}, generator(8, visit), {"patch": 48, "kinds": ["rain"]}, {})
        assert sample.target["image"].tobytes() in turned
        seen = dense.rain(sample.target["image"], rng)[0]
        assert np.array_equal(sample.inputs["image"], seen)
        cut = PARTS.training.sample(record(), {}, generator(8, visit), {"patch": 20, "kinds": ["rain"]}, {})
        row, column = int(rng.integers(29)), int(rng.integers(29))
        assert np.array_equal(cut.inputs["image"], seen[row:row + 20, column:column + 20])
        assert np.array_equal(cut.target["image"], sample.target["image"][row:row + 20, column:column + 20])


def test_scratches_are_cut_with_their_picture():
    found = 0
    for visit in range(12):
        sample = PARTS.training.sample(record(), {}, generator(9, visit), {"patch": 24, "kinds": ["old_photo"]}, {})
        scratches = sample.target["scratches"][..., 0] > 0
        assert scratches.shape == (24, 24) and (sample.inputs["image"][scratches] == 255).all()
        found += scratches.any()
    assert 2 < found < 12


def test_half_of_the_old_photographs_are_scratched_in_training():
    run = {"patch": 48, "kinds": ["old_photo"]}
    scratched = sum(PARTS.training.sample(record(), {}, generator(10, visit), run, {}).target["scratches"].any()
                    for visit in range(120))
    assert 40 < scratched < 80


def test_kinds_are_drawn_equally_often_and_all_where_none_is_named():
    counts = Counter(PARTS.training.sample(record(), {}, generator(11, visit), {"patch": 32, "kinds": [
        "noise_15", "blur", "blur"]}, {}).facts["kind"] for visit in range(150))
    assert set(counts) == {"noise_15", "blur"} and 75 < counts["blur"] < 125
    drawn = {PARTS.training.sample(record(), {}, generator(12, visit), {"patch": 16}, {}).facts["kind"]
             for visit in range(60)}
    assert drawn == {"old_photo", "haze", "rain", "noise", "blur", "watermark"}


def test_a_patch_larger_than_the_size_is_damaged_whole():
    sample = PARTS.training.sample(record(), {}, generator(13), {"patch": 64, "kinds": ["haze"]}, {})
    assert sample.inputs["image"].shape == (64, 64, 3)
    with pytest.raises(UserError, match="lower `patch`"):
        PARTS.training.sample(record(), {}, generator(13), {"patch": 128}, {})
    with pytest.raises(UserError, match="Did you mean 'rain'"):
        PARTS.training.sample(record(), {}, generator(13), {"patch": 32, "kinds": ["rainn"]}, {})


# --- who learns what --------------------------------------------------------------------------------------------------


class Learner(LearnedRestoration):
    paper = {"kinds": ["rain"]}


def test_who_learned_a_kind_restores_its_cases_and_refuses_the_others():
    assert Learner({}).unsupported("rain") is None and Learner({}).unsupported("haze") == (
        "learned from rain alone (its setting kinds)")
    assert Learner({"kinds": ["noise"]}).unsupported("noise_25") is None
    assert Learner({"kinds": ["noise_15"]}).unsupported("noise_25") == (
        "learned from noise_15 alone (its setting kinds)")
    assert Learner({"kinds": ["haze", "rain", "blur"]}).unsupported("old_photo") == (
        "learned from haze, rain, blur alone (its setting kinds)")
    for kinds in (["snow"], ["rain", "snow"], []):
        with pytest.raises(UserError, match="it must name some of haze, rain"):
            Learner({"kinds": kinds})


def test_pictures_as_they_were_found_are_old_photographs():
    assert covered("as_found", ["old_photo"]) and not covered("as_found", ["noise", "rain"])
    assert Learner({"kinds": ["old_photo"]}).unsupported("as_found") is None and Learner({}).unsupported("as_found")


# --- what is measured and shown ---------------------------------------------------------------------------------------


def test_everything_is_measured_over_the_whole_picture():
    sample = PARTS.cases.sample(photo(), "noise_25", 1, SIZE)
    seen, truth = sample.inputs["image"], sample.target["image"]
    found = PROTOCOL.measure(sample.inputs, {"image": seen}, sample.target, None)
    assert found == {"psnr": psnr(seen, truth), "ssim": pytest.approx(ssim(seen, truth)), "l1": l1_percent(seen, truth),
                     "psnr_y": psnr_y(seen, truth, 0), "ssim_y": ssim_y(seen, truth, 0)}
    right = PROTOCOL.measure(sample.inputs, {"image": truth}, sample.target, None)
    assert right["psnr"] == right["psnr_y"] == 60.0
    assert PROTOCOL.measure_without_truth({"image": truth}, {"image": seen}) == {"grain": grain(seen)}


def test_what_is_shown_with_and_without_a_truth():
    sample = PARTS.cases.sample(photo(), "rain", 1, SIZE)
    shown = PROTOCOL.show(sample.inputs, {"image": sample.target["image"]}, sample.target)
    assert list(shown) == ["input", "truth", "output"] and shown["input"] is sample.inputs["image"]
    assert list(PROTOCOL.show(sample.inputs, {"image": sample.inputs["image"]}, {})) == ["input", "output"]
    assert list(PROTOCOL.show(sample.inputs, None, {})) == ["input"]
    assert PROTOCOL.trivial(sample) is sample.inputs["image"]


# --- scratches that somebody marked -----------------------------------------------------------------------------------


class TellsScratches(Method):
    """Gives 0 where it is told of a scratch, else 1."""

    task = "restoration"
    paper = {}
    inputs = ("scratches",)

    def restore_arrays(self, model, inputs, seed):
        marked = inputs.get("scratches", np.zeros((*inputs["image"].shape[:2], 1), np.uint8))
        return {"image": np.repeat(1 - marked.astype(np.float32), 3, axis=2)}


def test_the_optional_input_is_the_scratches_themselves():
    optional = PARTS.optional
    sample = PARTS.cases.sample(photo(), "old_photo", 1, SIZE)
    assert np.array_equal(optional.draw("scratches", sample, "old_photo", generator(1)), sample.target["scratches"])
    found = PARTS.cases.sample(photo(), "as_found", 1, SIZE)
    empty = optional.draw("scratches", found, "as_found", generator(1))
    assert empty.shape == (96, 150, 1) and empty.dtype == np.uint8 and not empty.any()


def test_a_person_may_mark_scratches_and_is_told_what_happens_where_not():
    photos, method = registry.photos("restoration"), TellsScratches({})
    restorer = Restorer(method, Model(), 1, restore)
    picture = Read(photo().arrays["image"][..., :1], "origin")
    marked = np.zeros((96, 150), np.uint8)
    marked[10, 20] = 255
    answer = photos.answer({"image": picture, "scratches": Read(marked)}, Asked(), restorer)["image"]
    assert answer.origin == "origin" and np.array_equal(answer.value[..., 0] == 0, marked > 0)
    assert (photos.answer({"image": picture}, Asked(), restorer)["image"].value == 255).all()
    assert "--with scratches=" in photos.remark(method, {"image": picture})
    assert not photos.remark(method, {"image": picture, "scratches": Read(marked)})
    assert not photos.remark(registry.method("restoration", "identity", {}), {"image": picture})
    with pytest.raises(UserError, match="of the same size"):
        photos.restore(photo().arrays["image"], marked[1:], None, restorer)
    assert [entry.name for entry in photos.ways[0].gives if entry.required] == ["image"]


def test_identity_gives_the_input():
    sample = PARTS.cases.sample(photo(), "rain", 1, SIZE)
    method = registry.method("restoration", "identity", {})
    assert np.array_equal(restore(method, Model(), sample.inputs, 1)["image"], sample.inputs["image"])
    assert not method.trains and method.unsupported("as_found") is None
