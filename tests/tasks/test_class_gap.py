"""cls_gap by hand: a judge that goes by the mean colour, pictures in folders of classes, what has no figure."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import to_rgb8
from restore_ml.method import Model
from restore_ml.methods.classification.classical_classifier import ClassicalClassifier, colours
from restore_ml.metrics.classes import gap_recovered
from restore_ml.restoring.harness import restore
from restore_ml.runs import settings
from restore_ml.tasks.base import Material
from restore_ml.tasks.classification.task import names
from restore_ml.tasks.colorization.evaluation import PROTOCOL
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.protocol import SetRow

TRAINING = registry.parts("classification").training
RED, BLUE = np.array([60.0, 40.0]), np.array([-10.0, -45.0])
HUES = {"rose": RED, "sea": BLUE}
FIGURES = ("cls_gap", "cls_acc", "cls_acc_truth", "cls_acc_grey")


def picture(label: str, seed: int = 0, side: int = 32) -> np.ndarray:
    """The same rough lightness whatever the class is: only the colour tells."""
    draws = np.random.default_rng(seed)
    lightness = draws.uniform(40, 60, (side, side, 1))
    return to_rgb8(lightness, np.broadcast_to(HUES.get(label, np.zeros(2)), (side, side, 2)))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real classifier, which learned pictures in colour and some grey ones that are stones."""
    folder: Path = tmp_path_factory.mktemp("train")
    sets = {"class_sets": {"things": ["rose", "sea", "stone"]}}
    pictures = [Record(f"{number:064x}", {"image": picture(label, number), "label": np.frombuffer(
        label.encode().ljust(32, b"\0"), np.uint8)}, {"name": f"{label}/{number}"})
        for number, label in enumerate(["rose", "sea", "stone"] * 8)]
    shards.write(folder / "00.arrow", TRAINING.records(pictures, 1, sets))
    for name, pool in TRAINING.pools(pictures, 1, sets).items():
        shards.write(folder / "pools" / name / "pool.arrow", pool)
    method = ClassicalClassifier({"features": "hog_colour", "class_sets": ["things"]})
    return method, Model(arrays=method.prepare(Material(folder), 1))


def row(label: str, ab: Any, number: int = 0, folder: str = "") -> SetRow:
    sample = lab_sample(picture(label, 100 + number))
    made = sample.target["ab"] if ab is None else np.broadcast_to(np.float32(ab), sample.target["ab"].shape)
    facts = {"name": f"{folder or label}/{number}"}
    return SetRow(Record(f"{number:064x}", sample.inputs, facts), {"ab": made}, sample.target)


@pytest.mark.parametrize(("coloured", "grey", "truth", "gap"), [
    (0.5, 0.25, 0.75, 0.5), (0.25, 0.25, 0.75, 0.0), (0.75, 0.25, 0.75, 1.0), (0.0, 0.25, 0.75, -0.5),
    (1.0, 0.25, 0.75, 1.5)])
def test_the_gap_by_hand(coloured: float, grey: float, truth: float, gap: float) -> None:
    assert gap_recovered(coloured, grey, truth) == pytest.approx(gap)


@pytest.mark.parametrize("truth", [0.4, 0.3])
def test_there_is_no_gap_where_truth_is_no_better_than_grey(truth: float) -> None:
    assert math.isnan(gap_recovered(0.5, 0.4, truth))


def test_the_judge_is_asked_about_colour_truth_and_grey(judge: Any) -> None:
    """Of four pictures two get their colour, one the other's and one none: 2 of 4, true 4 of 4, grey 0 of 4."""
    rows = [row("rose", RED, 0), row("sea", BLUE, 1), row("rose", BLUE, 2), row("sea", (0, 0), 3)]
    found = PROTOCOL.measure_set(iter(rows), None, judge)
    assert found == {"cls_gap": 0.5, "cls_acc": 0.5, "cls_acc_truth": 1.0, "cls_acc_grey": 0.0}
    assert tuple(found) == FIGURES == tuple(metric.name for metric in PROTOCOL.set_metrics)
    true = PROTOCOL.measure_set(iter([row(label, None, number) for number, label in enumerate(HUES)]), None, judge)
    assert true["cls_gap"] == true["cls_acc"] == 1.0


def test_colours_outside_of_srgb_are_shown_to_the_judge_as_to_a_person(judge: Any) -> None:
    """The ab is brought into the gamut with hue and lightness kept, so a gaudy red is still a rose."""
    assert PROTOCOL.measure_set(iter([row("rose", RED * 3)]), None, judge)["cls_acc"] == 1.0


def test_grey_things_show_no_gap(judge: Any) -> None:
    found = PROTOCOL.measure_set(iter([row("stone", None)]), None, judge)
    assert math.isnan(found.pop("cls_gap")) and found == {"cls_acc": 1.0, "cls_acc_truth": 1.0, "cls_acc_grey": 1.0}


def test_pictures_in_no_folder_of_a_class_have_no_figures(judge: Any) -> None:
    assert PROTOCOL.measure_set(iter([row("rose", RED, folder="holidays")]), None, judge) == {}
    assert PROTOCOL.measure_set(iter([]), None, judge) == {}
    assert PROTOCOL.measure_set(iter([row("rose", RED)]), None, None) == {}
    mixed = [row("rose", RED, folder="holidays"), row("sea", BLUE)]
    assert PROTOCOL.measure_set(iter(mixed), None, judge)["cls_acc"] == 1.0


def test_a_judge_that_says_no_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"does not say which classes it knows; name a run of classical_classifier"):
        PROTOCOL.measure_set(iter([row("rose", RED)]), None, (object(), Model()))


def test_the_classifier_knows_by_colour_what_gradients_do_not_tell(judge: Any) -> None:
    method, model = judge
    assert method.knows(model) == {"things": ["rose", "sea", "stone"]}
    asked = names(["rose", "sea", "stone"])
    for number, label in enumerate(["rose", "sea", "stone"]):
        image = picture(label, 50 + number, 40)  # of another size than was learned
        assert int(restore(method, model, {"image": image, "classes": asked}, 1)["label"]) == number
    one = picture("rose", 3)
    features, plain = method.features_of(one), ClassicalClassifier({}).features_of(one)
    np.testing.assert_array_equal(features[:324], plain)
    np.testing.assert_array_equal(features[324:], colours(one))


def test_the_histogram_of_colours_by_hand() -> None:
    """Half black (a, b and L near 0: 0 lies in the fifth bin of -64 to 64), a quarter of a strong red beyond the last
    bins, a quarter white."""
    image = np.zeros((4, 4, 3), np.uint8)
    image[2] = (255, 0, 0)  # L 53.24, a 80.09, b 67.20
    image[3] = 254  # L 99.65, a about -0.002, b about 0.005: a falls into the fourth bin
    found = np.square(colours(image))
    assert found.shape == (72,) and found.dtype == np.float32
    assert found[:64].sum() == pytest.approx(1) and found[64:].sum() == pytest.approx(1)
    assert found[63] == pytest.approx(0.25)  # the last of a and of b
    assert found[4 * 8 + 4] == pytest.approx(0.5) and found[3 * 8 + 4] == pytest.approx(0.25)
    assert found[64 + 0] == pytest.approx(0.5) and found[64 + 4] == found[64 + 7] == pytest.approx(0.25)


def test_the_judge_of_the_table_learned_twelve_classes_in_colour() -> None:
    params = settings.load()
    run = params.runs[params.judges["colorization"]]
    assert run.task == "classification" and run.settings["features"] == "hog_colour"
    assert run.settings["class_sets"] == ["crops"]
    assert len(registry.task("classification").defaults["class_sets"]["crops"]) == 12
