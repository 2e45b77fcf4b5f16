"""cls_gap by hand: a judge that goes by the mean colour, its interval, what has no figure; the case in_classes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from restore_ml import registry
from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.data import embedded_photos, shards
from restore_ml.data.shards import Record
from restore_ml.data.sources import class_crops
from restore_ml.degradations.colour import to_rgb8
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.contracts import _origin
from restore_ml.method import Model
from restore_ml.methods.classification.classical_classifier import ClassicalClassifier, colours
from restore_ml.metrics.classes import gap_interval, gap_recovered
from restore_ml.restoring.harness import restore
from restore_ml.runs import graph, settings
from restore_ml.tasks.base import Material
from restore_ml.tasks.classification.task import names
from restore_ml.tasks.colorization.evaluation import PROTOCOL
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.protocol import SetRow

TRAINING = registry.parts("classification").training
COLORIZATION = registry.parts("colorization")
RED, BLUE = np.array([60.0, 40.0]), np.array([-10.0, -45.0])
HUES = {"rose": RED, "sea": BLUE}
FIGURES = ("cls_gap", "cls_gap_low", "cls_gap_high", "cls_acc", "cls_acc_truth", "cls_acc_grey")


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


def row(label: str, ab: Any, number: int = 0, folder: str = "", **facts: str) -> SetRow:
    sample = lab_sample(picture(label, 100 + number))
    made = sample.target["ab"] if ab is None else np.broadcast_to(np.float32(ab), sample.target["ab"].shape)
    named = {"name": f"{folder or label}/{number}", **facts}
    return SetRow(Record(f"{number:064x}", sample.inputs, named), {"ab": made}, sample.target)


@pytest.mark.parametrize(("coloured", "grey", "truth", "gap"), [
    (0.5, 0.25, 0.75, 0.5), (0.25, 0.25, 0.75, 0.0), (0.75, 0.25, 0.75, 1.0), (0.0, 0.25, 0.75, -0.5),
    (1.0, 0.25, 0.75, 1.5)])
def test_the_gap_by_hand(coloured: float, grey: float, truth: float, gap: float) -> None:
    assert gap_recovered(coloured, grey, truth) == pytest.approx(gap)


@pytest.mark.parametrize(("counts", "low", "high"), [
    ([(10, 0, 10), (0, 0, 10)], 0.0, 1.0),  # one of four worlds is the first photograph twice, one the other
    ([(1, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1)], 0.0, 0.75),  # the first one four times: 1 in 256; three times: 12
    ([(1, 0, 2)] * 4 + [(5, 5, 5)], 0.5, 0.5),  # the last one adds nothing to the gap, however often it is drawn
    ([(3, 2, 4), (0, 2, 4)], -1.0, 0.5)])
def test_the_interval_of_the_gap_by_hand(counts: list[tuple[int, ...]], low: float, high: float) -> None:
    found = gap_interval(np.array(counts))
    assert found[:2] == (low, high) and found[2] < 0.002


def test_an_interval_that_would_leave_out_its_own_tail_is_none() -> None:
    low, high, without = gap_interval(np.array([(1, 0, 2), (1, 1, 1)]))
    assert math.isnan(low) and math.isnan(high) and without == pytest.approx(0.25, abs=0.03)
    assert gap_interval(np.array([(1, 0, 2), (1, 1, 1), (1, 0, 2)]))[:2] == (0.5, 0.5)  # 1 of 27 worlds
    assert math.isnan(gap_interval(np.array([(1, 0, 2)]))[0])


@pytest.mark.parametrize("truth", [0.4, 0.3])
def test_there_is_no_gap_where_truth_is_no_better_than_grey(truth: float) -> None:
    assert math.isnan(gap_recovered(0.5, 0.4, truth))


def test_the_judge_is_asked_about_colour_truth_and_grey(judge: Any) -> None:
    """Of four pictures two get their colour, one the other's and one none: 2 of 4, true 4 of 4, grey 0 of 4. As four
    photographs, one world in 16 has none of the two, one in 16 no other one."""
    rows = [row("rose", RED, 0), row("sea", BLUE, 1), row("rose", BLUE, 2), row("sea", (0, 0), 3)]
    found = PROTOCOL.measure_set(iter(rows), None, judge)
    assert found == {"cls_gap": 0.5, "cls_gap_low": 0.0, "cls_gap_high": 1.0, "cls_acc": 0.5, "cls_acc_truth": 1.0,
                     "cls_acc_grey": 0.0}
    assert tuple(found) == FIGURES == tuple(metric.name for metric in PROTOCOL.set_metrics)
    true = PROTOCOL.measure_set(iter([row(label, None, number) for number, label in enumerate(HUES)]), None, judge)
    assert true["cls_gap"] == true["cls_acc"] == 1.0


def test_pictures_of_one_photograph_are_drawn_together(judge: Any) -> None:
    """Of each of two photographs one picture of two is known, so every world has half of the gap."""
    rows = [row("rose", RED if number % 2 else BLUE, number, group=f"photograph {number // 2}") for number in range(4)]
    found = PROTOCOL.measure_set(iter(rows), None, judge)
    assert found["cls_gap_low"] == found["cls_gap"] == found["cls_gap_high"] == 0.5


def test_colours_outside_of_srgb_are_shown_to_the_judge_as_to_a_person(judge: Any) -> None:
    """The ab is brought into the gamut with hue and lightness kept, so a gaudy red is still a rose."""
    assert PROTOCOL.measure_set(iter([row("rose", RED * 3)]), None, judge)["cls_acc"] == 1.0


def test_grey_things_show_no_gap(judge: Any) -> None:
    found = PROTOCOL.measure_set(iter([row("stone", None)]), None, judge)
    assert all(math.isnan(found.pop(name)) for name in FIGURES[:3])
    assert found == {"cls_acc": 1.0, "cls_acc_truth": 1.0, "cls_acc_grey": 1.0}


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


def labelled(label: str, number: int, group: str = "", side: int = 40) -> Record:
    image = picture(label, number, side)
    return Record(f"{number:064x}", {"image": image, "label": text(label, 32)},
                  {"name": f"{label}/{number}", "collection": "crops", "group": group, "synthetic": False})


def test_labelled_pictures_have_a_case_of_their_own_and_are_never_enlarged() -> None:
    cases, plain = COLORIZATION.cases, Record("0" * 64, {"image": picture("sea", 1, 80)})
    assert cases is not None and cases.degradations({}) == ["lab_grey", "in_classes"]
    crop = labelled("rose", 1)
    assert cases.leaves_out(crop, "in_classes", {}) is cases.leaves_out(plain, "lab_grey", {}) is None
    assert cases.leaves_out(crop, "lab_grey", {}) == "it has a class"
    assert cases.leaves_out(plain, "in_classes", {}) == "it has no class"
    for size, side in ((64, 40), (40, 40), (32, 32), (0, 40)):
        assert cases.sample(crop, "in_classes", 1, {"size": size}).target["rgb"].shape == (side, side, 3)
    np.testing.assert_array_equal(cases.sample(crop, "in_classes", 1, {"size": 64}).target["rgb"],
                                  crop.arrays["image"])
    wide = Record("1" * 64, {**crop.arrays, "image": np.pad(crop.arrays["image"], ((0, 0), (9, 5), (0, 0)))})
    np.testing.assert_array_equal(cases.sample(wide, "in_classes", 1, {"size": 64}).target["rgb"],
                                  wide.arrays["image"][:, 7:47])
    assert cases.sample(plain, "lab_grey", 1, {"size": 64}).target["rgb"].shape == (64, 64, 3)


@pytest.mark.parametrize("most", [72, {"in_classes": -1}, {"in_classes": True}, {"in_classes": 2.5}, {"x2": 3}])
def test_how_many_are_tested_is_said_by_case(most: Any) -> None:
    with pytest.raises(UserError, match=r"`most` of colorization is .* such as \{in_classes: 72\}"):
        COLORIZATION.check_settings({"most": most})
    COLORIZATION.check_settings({"most": {"in_classes": 0, "lab_grey": 5}})


def test_test_sets_of_another_kind_of_data_are_tested_on(tmp_path: Path) -> None:
    """Of a photograph with two classes and one with one, each class of each once before any is there twice; what the
    task does not take of such a set is not said."""
    prepared, out = tmp_path / "prepared", tmp_path / "out"
    photo = Record("f" * 64, {"image": picture("sea", 9, 40)}, {"name": "beach", "collection": "photos"})
    dull = Record("e" * 64, {"image": picture("stone", 8, 40)}, {"name": "grey", "collection": "photos"})
    crops = [*(labelled("rose", number, "one") for number in range(3)), labelled("sea", 3, "one"),
             *(labelled("rose", number, "two") for number in range(4, 6)), labelled("stone", 6, "two")]
    shards.write(prepared / "photos" / "test" / "photos" / "00.arrow", [dull, photo])
    shards.write(prepared / "labelled" / "test" / "crops" / "00.arrow", crops)
    for most, wanted in ((0, [0, 1, 2, 3, 4, 5]), (3, [0, 3, 4]), (4, [0, 1, 3, 4])):
        outcome = degrade_cases(COLORIZATION, prepared, out, 1, {"size": 32, "most": {"in_classes": most}})
        found = list(shards.Shard(out / "inputs" / "crops" / "in_classes.arrow"))
        assert [int(record.id, 16) for record in found] == wanted
        assert found[0].facts["name"] == "rose/0" and found[0].facts["group"] == "one"
        assert {case: count for case, count in outcome.counts.items() if count} == {
            "photos/lab_grey": 1, "crops/in_classes": len(wanted)}
        assert outcome.left_out == {"photos": {dull.id: "nearly grey"}, "crops": {}}
    tables = {prepared / kind / "test" / name / "manifest.parquet": pd.DataFrame({"id": [identity]})
              for kind, name, identity in (("photos", "photos", photo.id), ("labelled", "crops", crops[0].id))}
    frame = pd.DataFrame([("test", "crops/in_classes", "crops", crops[0].id), ("test", "x/lab_grey", "crops", photo.id),
                          ("test", "photos/lab_grey", "photos", photo.id)],
                         columns=["split", "case", "test_set", "id"])
    assert _origin(COLORIZATION.task, frame, tables, prepared) == ["test", "not in the test manifest", "test"]


def test_the_other_colorization_has_its_own_cases_alone() -> None:
    guided = registry.parts("guided_colorization").cases
    assert guided is not None and guided.also_from == () and "most" not in guided.defaults
    assert graph.domains_of("guided_colorization") == ["photos", "photos"]
    assert graph.domains_of("colorization") == ["photos", "labelled"]
    assert PROTOCOL.primary_case(["a/in_classes", "labelled_crops/in_classes", "own/lab_grey"]) == "own/lab_grey"


def test_no_photograph_that_the_crops_of_the_test_show_is_learned_from() -> None:
    """Some of the photographs are cut into test tiles of `photos`, none is among those that it trains on."""
    tested = {area.photo if not area.photo[0].isdigit() else f"imagenet_{area.photo}" for area in class_crops.AREAS
              if area.split == "test"}
    splits = {photograph.name: photograph.split for photograph in embedded_photos.PHOTOGRAPHS}
    assert tested <= splits.keys() and {splits[name] for name in tested} == {"test"}
