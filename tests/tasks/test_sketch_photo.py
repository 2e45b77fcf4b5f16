"""The task sketch_photo: both directions, pairs and strangers in training, and the figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degrading.training import degrade_training
from restore_ml.method import Model
from restore_ml.metrics.fsim import fsim
from restore_ml.metrics.nlda import recognised
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material
from restore_ml.tasks.photos import Restorer
from restore_ml.tasks.protocol import SetRow, protocol
from restore_ml.tasks.sketch_photo.training import half_of
from restore_ml.training.sampler import Sampler

PARTS = registry.parts("sketch_photo")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("sketch_photo")


def drawing(person: int, number: int = 0, side: int = 40, channels: int = 3) -> Record:
    """Photo and sketch tell whose they are: the photo is 10 + person, its sketch 200 - person, of noise below 2."""
    rng = np.random.default_rng([person, number])
    photo = (10 + person + rng.integers(0, 2, (side, side + 8, channels))).astype(np.uint8)
    sketch = (200 - person + rng.integers(0, 2, (side, side + 8, 1))).astype(np.uint8)
    return Record(f"{10 * person + number:064x}", {"photo": photo, "sketch": sketch, "papercut": photo},
                  {"name": f"{person}/{number}", "group": f"p{person}"})


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Twelve persons of two drawings each."""
    root = tmp_path_factory.mktemp("drawings")
    records = sorted((drawing(2 * person, number) for person in range(12) for number in range(2)),
                     key=lambda record: record.id)
    shards.write(root / "prepared/drawings/train/00.arrow", records)
    outcome = degrade_training(PARTS, root / "prepared", root, 1, {})
    assert outcome.counts["drawing"] == 24 == outcome.counts["photo"] + outcome.counts["sketch"]
    assert min(outcome.counts["photo"], outcome.counts["sketch"]) >= 4
    return Material(root / "train")


@pytest.mark.parametrize(("name", "source", "truth"), [("photo_to_sketch", "photo", "sketch"),
                                                       ("sketch_to_photo", "sketch", "photo")])
def test_a_case_is_the_pair_in_its_direction(name: str, source: str, truth: str) -> None:
    record = drawing(3, channels=1)
    sample = CASES.sample(record, name, 1, {})
    assert int(sample.inputs["direction"]) == ["photo", "sketch"].index(source)
    assert np.array_equal(sample.inputs["source"], np.repeat(record.arrays[source], 3, axis=2))
    assert np.array_equal(sample.target["truth"], np.repeat(record.arrays[truth], 3, axis=2))
    for key, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[key]) is None


def test_directions_are_a_setting_and_others_are_refused() -> None:
    assert CASES.degradations({}) == ["photo_to_sketch", "sketch_to_photo"]
    assert CASES.degradations({"directions": ["sketch_to_photo"]}) == ["sketch_to_photo"]
    for wrong in ([], ["x2"]):
        with pytest.raises(UserError, match=r"`directions` of sketch_photo is .* photo_to_sketch and sketch_to_photo"):
            TASK.resolve({"directions": wrong})
    with pytest.raises(UserError, match="'x2' of sketch_photo is unknown; there are photo_to_sketch and"):
        CASES.sample(drawing(1), "x2", 1, {})
    assert TASK.accepts(np.zeros((31, 40, 1), np.uint8), {}) == "a side is below 32 pixels"
    assert TASK.accepts(np.zeros((32, 32, 3), np.uint8), {}) is None


def whose(value: float) -> int:
    """The person of a photo (below 100) or of a sketch, by the mean."""
    return round(value - 10.5 if value < 100 else 200.5 - value)


@pytest.mark.parametrize("direction", ["photo_to_sketch", "sketch_to_photo"])
def test_pairs_are_cut_at_one_place(direction: str) -> None:
    record = drawing(4)
    record.arrays["sketch"] = record.arrays["photo"][:, :, :1] + np.uint8(100)
    [stored] = TRAINING.records([record], 1, {})
    for seed in range(8):
        sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 24, "direction": direction}, {})
        photo, sketch = sample.inputs["source"], sample.target["truth"]
        if direction == "sketch_to_photo":
            photo, sketch = sketch, photo
        assert int(sample.inputs["direction"]) == ["photo_to_sketch", "sketch_to_photo"].index(direction)
        assert photo.shape == sketch.shape == (24, 24, 3)
        assert np.array_equal(photo[:, :, :1] + 100, sketch[:, :, :1])


def test_a_drawing_smaller_than_the_crop_is_mirrored_at_its_edges() -> None:
    [stored] = TRAINING.records([drawing(1, side=33)], 1, {})
    sample = TRAINING.sample(stored, {}, np.random.default_rng(0), {"patch": 64}, {})
    assert sample.inputs["source"].shape == (64, 64, 3)
    assert {whose(float(array.mean())) for array in (sample.inputs["source"], sample.target["truth"])} == {1}


def test_crops_are_mirrored_in_half_of_the_visits_and_never_turned() -> None:
    record = drawing(0)
    record.arrays["photo"] = np.broadcast_to(np.arange(48, dtype=np.uint8)[None, :, None], (40, 48, 3))
    [stored] = TRAINING.records([record], 1, {})
    slopes = [np.diff(TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32}, {})
                      .inputs["source"].astype(int), axis=1).mean() for seed in range(100)]
    assert set(slopes) == {-1.0, 1.0} and 30 < slopes.count(1.0) < 70


def test_strangers_never_meet_their_own_sketch_and_no_person_is_seen_twice(material: Material) -> None:
    """The photos come from the one half of the persons, the sketches from the other, whatever is drawn."""
    sampler = Sampler(PARTS, material, {"batch": 6, "patch": 32, "unpaired": True}, 5)
    photos, sketches, pairs = set(), set(), set()
    for step in range(20):
        batch = sampler[step]
        assert (batch.inputs["direction"] == 0).all()
        for source, truth in zip(batch.inputs["source"], batch.target["truth"], strict=True):
            assert source.mean() < 100 < truth.mean()
            pair = whose(float(source.mean())), whose(float(truth.mean()))
            photos.add(pair[0])
            sketches.add(pair[1])
            pairs.add(pair)
    assert not photos & sketches and len(photos) + len(sketches) == 12  # all persons, each on one side
    assert len(pairs) > 12
    same = Sampler(PARTS, material, {"batch": 6, "patch": 32, "unpaired": True}, 5)[19]
    assert np.array_equal(same.target["truth"], batch.target["truth"])
    other = Sampler(PARTS, material, {"batch": 6, "patch": 32, "unpaired": True}, 6)[19]
    assert not np.array_equal(other.target["truth"], batch.target["truth"])


def test_strangers_are_cut_and_mirrored_each_by_itself() -> None:
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8)[None, :, None], (40, 48, 3))
    other = Record("b", {"photo": ramp, "sketch": ramp[..., :1]})
    for half in (0, 1):
        record = Record("a", {"photo": ramp, "sketch": ramp[..., :1], "half": np.array(half, np.int32)})
        samples = [TRAINING.sample(record, {}, np.random.default_rng(seed), {"patch": 32, "unpaired": True}, {},
                                   lambda role: other) for seed in range(40)]
        signs = {tuple(int(np.sign(array[0].astype(int)[-1, 0] - array[0].astype(int)[0, 0]))
                       for array in (sample.inputs["source"], sample.target["truth"])) for sample in samples}
        assert len(signs) == 4


def test_the_half_is_the_person_s(material: Material) -> None:
    assert all(half_of(drawing(person, 0)) == half_of(drawing(person, 1)) for person in range(30))
    assert 5 < sum(half_of(drawing(person)) for person in range(30)) < 25
    assert half_of(Record("a" * 64, {}, {})) in (0, 1)
    stored = {record.id: int(record.arrays["half"]) for record in material.records}
    assert stored == {drawing(2 * person, number).id: half_of(drawing(2 * person, number))
                      for person in range(12) for number in range(2)}


def test_the_figures_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(40, 200, (48, 40, 3), dtype=np.uint8)
    made = np.clip(truth.astype(int) + rng.integers(-30, 31, truth.shape), 0, 255).astype(np.uint8)
    grey, true = (picture.astype(float) @ [0.299, 0.587, 0.114] for picture in (made, truth))
    values = RULES.measure({}, {"picture": made}, {"truth": truth}, None)
    assert values["ssim"] == pytest.approx(structural_similarity(
        grey, true, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False), abs=1e-6)
    assert values["fsim"] == pytest.approx(fsim(grey, true))
    assert values["psnr"] == pytest.approx(10 * np.log10(255 ** 2 / np.square(grey - true).mean()))
    same = RULES.measure({}, {"picture": truth}, {"truth": truth}, None)
    assert same == {"ssim": pytest.approx(1), "fsim": pytest.approx(1), "psnr": 60.0}


def rows(persons: int, sides: tuple[int, ...] = (20,)) -> list[SetRow]:
    made = []
    for person in range(persons):
        for number in range(2):
            rng = np.random.default_rng(person)
            side = sides[person % len(sides)]
            face = rng.integers(0, 200, (side, side, 1))
            noise = np.random.default_rng([person, number, 7]).integers(0, 30, (2, side, side, 1))
            made.append(SetRow(Record(f"{person}{number}", {}, {"group": f"p{person}"}),
                               {"picture": np.repeat(face + noise[0], 3, 2).astype(np.uint8)},
                               {"truth": np.repeat(face + noise[1], 3, 2).astype(np.uint8)}))
    return made


def test_recognition_is_a_figure_of_the_set() -> None:
    right = RULES.measure_set(iter(rows(6)), None, None)["rank1_nlda"]
    shuffled = [SetRow(row.record, row.output, other.target) for row, other in
                zip(rows(6), [*rows(6)[2:], *rows(6)[:2]], strict=True)]
    value = RULES.measure_set(iter(shuffled), None, None)["rank1_nlda"]
    persons = [row.record.facts["group"] for row in rows(6)]
    made, true = (np.stack([side["picture" if "picture" in side else "truth"][..., 0].ravel() for side in sides])
                  for sides in ([row.output for row in shuffled], [row.target for row in shuffled]))
    assert value < 0.7 < right and value == pytest.approx(recognised(made, true, persons), abs=1e-6)
    assert RULES.measure_set(iter(rows(3)), None, None) == {}
    assert RULES.measure_set(iter(rows(6, (20, 24))), None, None) == {}
    assert [metric.name for metric in RULES.set_metrics] == ["rank1_nlda"]


def test_what_is_shown_and_the_trivial_result() -> None:
    sample = CASES.sample(drawing(3), "sketch_to_photo", 1, {})
    shown = RULES.show(sample.inputs, {"picture": sample.target["truth"]}, sample.target)
    assert np.array_equal(shown["input"], sample.inputs["source"])
    assert shown["output"] is shown["truth"] is sample.target["truth"]
    assert RULES.trivial(sample) is sample.inputs["source"]
    assert RULES.show(sample.inputs, None, sample.target).keys() == {"input", "truth"}


@pytest.mark.parametrize(("size", "inner"), [((100, 120), (100, 120)), ((256, 300), (128, 150))])
def test_a_person_s_face_is_drawn_at_the_scale_of_training(size: tuple[int, int], inner: tuple[int, int]) -> None:
    seen = []

    def watched(method, model, inputs, seed):
        seen.append((inputs["source"].shape[:2], int(inputs["direction"])))
        return restore(method, model, inputs, seed)

    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    photos = registry.photos("sketch_photo")
    method = registry.method("sketch_photo", "copy_input", {})
    result = photos.restore(picture, None, None, Restorer(method, Model(), 1, watched))
    assert result.shape == picture.shape and result.dtype == np.uint8
    assert seen == [(inner, 0)] and (size != inner or np.array_equal(result, picture))
    method.unsupported = lambda degradation: "no" if degradation == "photo_to_sketch" else None
    photos.restore(picture, None, None, Restorer(method, Model(), 1, watched))
    assert seen[1] == (inner, 1)
    assert photos.probes(method) == ("photo_to_sketch", "sketch_to_photo")
