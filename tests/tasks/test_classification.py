"""The task classification: who is asked what, what training sees, what is measured and shown."""

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.arrays import text, words
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shards
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.keeper import Outcome
from restore_ml.degrading.left_out import write_left_out
from restore_ml.tasks.classification.drawing import RIGHT, WRONG, enlarged, labelled
from restore_ml.tasks.classification.training import distorted
from restore_ml.tasks.protocol import SetRow, protocol
from restore_ml.tasks.squares import grey_square, square

PARTS = registry.parts("classification")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("classification")
SETS = {"class_sets": {"pets": ["cat", "dog"], "animals": ["cow", "dog", "hen"]}}


def record(label: str, number: int = 0, side: int = 12, channels: int = 1) -> Record:
    image = np.random.default_rng(number).integers(0, 256, (side, side + 4, channels), dtype=np.uint8)
    return Record(f"{number:064x}", {"image": image, "label": text(label, 32)}, {"name": f"{label} {number}"})


def test_each_class_set_is_a_question():
    assert CASES.degradations({}) == ["digits", "crops"] and CASES.degradations(SETS) == ["pets", "animals"]
    one = CASES.sample(record("dog", channels=3), "animals", 1, SETS)
    assert int(one.target["label"]) == 1 and words(one.inputs["classes"]) == "cow\ndog\nhen"
    assert one.facts == {"class": "dog"} and int(CASES.sample(record("dog"), "pets", 1, SETS).target["label"]) == 1
    seen = CASES.sample(record("7"), "digits", 1, {})
    assert int(seen.target["label"]) == 7 and seen.inputs["image"].shape == (12, 16, 3)
    assert (seen.inputs["image"] == record("7").arrays["image"]).all()
    with pytest.raises(UserError, match=r"no class set 'digit'; there are digits, crops. Did you mean 'digits'"):
        CASES.sample(record("7"), "digit", 1, {})


def test_who_is_not_asked():
    assert CASES.leaves_out(record("dog"), "pets", SETS) is None
    assert "'cow'" in CASES.leaves_out(record("cow"), "pets", SETS)
    assert "'cow'" in CASES.leaves_out(record("cow"), "digits", {})


def test_a_picture_counts_as_left_out_where_no_question_takes_it(tmp_path):
    """A cat is no animal of the second set, a cow no pet: each is in one case, and only the fish is named."""
    pictures = [record(label, number) for number, label in enumerate(["cat", "dog", "cow", "fish"])]
    shards.write(tmp_path / "prepared/labelled/test/zoo/00.arrow", pictures)
    outcome = degrade_cases(PARTS, tmp_path / "prepared", tmp_path / "out", 1, SETS)
    assert outcome.counts == {"zoo/pets": 2, "zoo/animals": 2}
    assert write_left_out(TASK, tmp_path / "prepared", tmp_path / "out", Outcome(), outcome) == 1
    assert outcome.left_out == {"zoo": {pictures[3].id: "its class 'fish' is in no class set that it could be asked "
                                                        "of"}}


@pytest.mark.parametrize(("sets", "words_"), [
    ({}, "must give each class set its classes"), (["a"], "must give each class set its classes"),
    ({"Pets": ["a", "b"]}, "named in small letters"), ({"pets": ["a"]}, "two or more"), ({"pets": "ab"}, "two or more"),
    ({"pets": ["a", "a"]}, "two or more"), ({"pets": [0, 1]}, "must be a text"),
    ({"pets": ["a", "b\nc"]}, "in one line"),
])
def test_class_sets_that_make_no_sense(sets, words_):
    with pytest.raises(UserError, match=words_):
        TASK.resolve({"class_sets": sets})


@pytest.fixture
def material(tmp_path):
    """Two cats, a dog, a cow: records and pools as they lie on disk."""
    pictures = [record(label, number) for number, label in enumerate(["cat", "cat", "dog", "cow"])]
    shards.write(tmp_path / "00.arrow", TRAINING.records(pictures, 1, SETS))
    for name, pool in TRAINING.pools(pictures, 1, SETS).items():
        shards.write(tmp_path / "pools" / name / "pool.arrow", pool)
    return pictures, Shards(tmp_path), {name: Shards(tmp_path / "pools" / name) for name in ("pets", "animals")}


def test_training_sees_its_own_class_set_alone(material):
    pictures, records, pools = material
    run = {"class_set": "animals", "patch": 12}
    counts = {}
    for seed in range(60):
        cat = TRAINING.sample(records[0], pools, np.random.default_rng(seed), run, {})
        label = int(cat.target["label"])
        counts[label] = counts.get(label, 0) + 1
        stood = pictures[{0: 3, 1: 2}[label]]
        assert (cat.inputs["image"] == square(stood.arrays["image"], 12)).all()
        assert words(cat.inputs["classes"]) == "cow\ndog\nhen"
    assert set(counts) == {0, 1} and min(counts.values()) > 15
    cow = TRAINING.sample(records[3], pools, np.random.default_rng(0), run, {})
    assert int(cow.target["label"]) == 0
    assert (cow.inputs["image"] == square(pictures[3].arrays["image"], 12)).all()
    with pytest.raises(UserError, match=r"no training picture of the class set 'digits'.*There are pets, animals"):
        TRAINING.sample(records[0], pools, np.random.default_rng(0), {"class_set": "digits", "patch": 12}, {})


def test_the_pools_hold_the_classes_numbers(material):
    _, _, pools = material
    assert [int(one.arrays["number"]) for one in pools["pets"]] == [0, 0, 1]
    assert sorted(int(one.arrays["number"]) for one in pools["animals"]) == [0, 1]


def test_distortions():
    """None at strength 0; else the whole moves, and nothing of it is mirrored or turned by much."""
    picture = np.zeros((28, 28, 1), np.uint8)
    picture[6:22, 12:15] = 255
    assert distorted(picture, 0.0, np.random.default_rng(0)) is picture
    centres, slants, lengths = [], [], []
    for seed in range(200):
        moved = distorted(picture, 1.0, np.random.default_rng(seed))[..., 0].astype(float)
        rows, columns = np.mgrid[:28, :28]
        centre = (moved * rows).sum() / moved.sum(), (moved * columns).sum() / moved.sum()
        spread = (moved * (rows - centre[0]) ** 2).sum()
        slants.append((moved * (rows - centre[0]) * (columns - centre[1])).sum() / spread)
        lengths.append(np.sqrt(spread / moved.sum()))
        centres.append(centre)
    assert np.abs(np.array(centres) - (13.5, 13)).max(axis=0) == pytest.approx([2.1, 2.1], abs=0.5)
    assert np.abs(slants).max() == pytest.approx(0.2, abs=0.05) and abs(np.mean(slants)) < 0.03
    assert max(lengths) / min(lengths) == pytest.approx((1.1 / 0.9) ** 2, abs=0.15)


def test_squares():
    small = np.arange(4, dtype=np.uint8).reshape(2, 2, 1) * 60
    assert square(small, 2) is small
    assert square(small, 4)[..., 0].tolist() == [[0, 15, 45, 60], [30, 45, 75, 90], [90, 105, 135, 150],
                                                 [120, 135, 165, 180]]
    assert square(np.repeat(small, 3, 2), 1)[0, 0].tolist() == [90, 90, 90]
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert (grey_square(np.repeat(levels, 3, 2), 16) == levels[..., 0]).all()


def answer(label, answer, probabilities=None, classes=("a", "b", "c")):
    output = {"label": np.array(answer, np.int32)}
    if probabilities is not None:
        output["probabilities"] = np.array(probabilities, np.float32)
    inputs = {"image": np.zeros((8, 8, 3), np.uint8), "classes": text("\n".join(classes), 9)}
    return inputs, output, {"label": np.array(label, np.int32)}


def test_the_figures_of_a_picture():
    assert RULES.measure(*answer(1, 1), None) == {"accuracy": 1.0, "brier": 0.0}
    assert RULES.measure(*answer(1, 2), None) == {"accuracy": 0.0, "brier": 2.0}
    values = RULES.measure(*answer(0, 0, [0.5, 0.25, 0.25]), None)
    assert values == {"accuracy": 1.0, "brier": pytest.approx(0.375)}
    with pytest.raises(ValueError, match="the class 3 is none of the 3"):
        RULES.measure(*answer(0, 3), None)
    with pytest.raises(ValueError, match="of 2 classes, not of 3"):
        RULES.measure(*answer(0, 0, [0.5, 0.5]), None)


def test_the_figures_of_a_set():
    """Of four a two are right, of two b one is taken for a."""
    pairs = [(0, 0), (0, 0), (0, 1), (0, 2), (1, 1), (1, 0)]
    rows = [SetRow(Record(str(number), inputs), output, target)
            for number, (inputs, output, target) in enumerate(answer(*pair) for pair in pairs)]
    found = RULES.measure_set(iter(rows), None, None)
    assert found == {"macro_f1": pytest.approx((4 / 7 + 2 / 4 + 0) / 3), "balanced_accuracy": 0.5, "worst_recall": 0.5,
                     "worst_confusion": 0.5}
    assert RULES.measure_set(iter([]), None, None) == {}


def test_what_is_shown():
    inputs, output, target = answer(1, 1)
    shown = RULES.show(inputs, output, target)
    assert {value.shape for value in shown.values()} == {(64, 64, 3)} and (shown["input"] == 0).all()
    assert (shown["truth"] == shown["output"]).all() and (shown["truth"][-1, -1] == RIGHT).all()
    wrong = RULES.show(*answer(1, 0, [0.6, 0.3, 0.1]))["output"]
    assert (wrong[-1, -1] == WRONG).all() and (wrong[:26] == 0).all() and (wrong[35:50] > 0).any()
    assert RULES.show(inputs, None, target).keys() == {"input", "truth"}
    assert enlarged(np.zeros((28, 40, 3), np.uint8)).shape == (84, 120, 3)
    assert (labelled(shown["input"], "a", RIGHT, {"a": 1.0}) == labelled(shown["input"], "a", RIGHT)).all()
    assert RULES.canary() is None and int(RULES.trivial(CASES.sample(record("dog"), "pets", 1, SETS))) == 0


class Restorer:
    """Stands for a loaded model that answers with the last class."""

    def __init__(self, **settings):
        self.method, self.given = type("Method", (), {"settings": settings}), []

    def __call__(self, inputs):
        self.given.append(inputs)
        return {"label": np.array(len(words(inputs["classes"]).split("\n")) - 1, np.int32)}


def test_a_person_gets_the_class_on_the_picture():
    photos, picture = registry.photos("classification"), np.zeros((20, 32, 3), np.uint8)
    restorer = Restorer(class_sets=["crops", "digits"])
    shown = photos.restore(picture, None, None, restorer)
    assert words(restorer.given[0]["classes"]).split("\n") == TASK.defaults["class_sets"]["crops"]
    assert (shown == labelled(enlarged(picture), "vehicle", RIGHT)).all() and shown.shape == (80, 128, 3)
    one = Restorer(class_set="digits")
    assert (photos.restore(picture, None, None, one) == labelled(enlarged(picture), "9", RIGHT)).all()
    with pytest.raises(UserError, match="classes of pets are not known here"):
        photos.restore(picture, None, None, Restorer(class_set="pets"))
