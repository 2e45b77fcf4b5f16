"""The task detection: boxes of outlines, what training sees of them, what is measured and shown."""

import math

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.detection.drawing import MISSED, RIGHT, WRONG
from restore_ml.tasks.detection.task import boxes_of, within
from restore_ml.tasks.detection.training import ROWS, cut
from restore_ml.tasks.protocol import SetRow, protocol

PARTS = registry.parts("detection")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("detection")


def field(height: int = 60, width: int = 80) -> Record:
    """Objects 1 (6 x 8 pixels), 3 (two pixels, a sliver), 4 (12 x 10) and no 2; each as bright as its number."""
    instances = np.zeros((height, width, 1), np.int32)
    instances[10:18, 20:26], instances[0:2, 40:50], instances[30:40, 50:62] = 1, 3, 4
    return Record("a" * 64, {"image": (instances * 50).astype(np.uint8), "instances": instances}, {})


def test_boxes_are_the_edges_of_what_is_outlined():
    assert boxes_of(field().arrays["instances"]).tolist() == [[20, 10, 26, 18], [50, 30, 62, 40]]
    assert boxes_of(np.zeros((5, 5, 1), np.int32)).shape == (0, 4)


def test_a_case_is_the_whole_field():
    sample = CASES.sample(field(), "plain", 1, {})
    assert sample.inputs["image"].shape == (60, 80, 3) and sample.facts == {"objects": 2}
    assert sample.target["boxes"].tolist() == [[20, 10, 26, 18], [50, 30, 62, 40]]
    assert sample.target["labels"].tolist() == [0, 0] and RULES.trivial(sample).tolist() == [[0, 0, 0, 0]]
    empty = Record("b" * 64, {"image": field().arrays["image"], "instances": np.zeros((60, 80, 1), np.int32)}, {})
    assert CASES.sample(empty, "plain", 1, {}).target["boxes"].tolist() == [[0, 0, 0, 0]]
    assert CASES.leaves_out(field(), "plain", {}) is None and CASES.degradations({}) == ["plain"]
    bare = Record("c" * 64, {"image": field().arrays["image"]}, {})
    assert CASES.leaves_out(bare, "plain", {}) == "its nuclei are not outlined"
    assert list(TRAINING.records([bare], 1, {})) == []
    with pytest.raises(UserError, match="there is plain"):
        CASES.sample(field(), "small", 1, {})
    assert TASK.accepts(np.zeros((31, 90, 1), np.uint8), {}) == "a side is below 32 pixels"
    assert TASK.accepts(np.zeros((32, 90, 1), np.uint8), {}) is None


def test_a_square_keeps_the_boxes_whose_centres_are_in_it():
    boxes = np.array([[0, 0, 10, 10], [8, 8, 20, 20], [17, 2, 29, 12], [2, 18, 10, 34]], np.float32)
    assert cut(boxes, 4, 4, 20).tolist() == [[0, 0, 6, 6], [4, 4, 16, 16], [13, 0, 20, 8]]
    assert cut(boxes, 6, 0, 20).tolist() == [[2, 8, 14, 20], [11, 2, 20, 12]]
    assert cut(np.array([[0, 0, 9, 30]], np.float32), 4, 10, 20).tolist() == [[0, 0, 5, 20]]
    assert cut(np.array([[0, 0, 9, 30]], np.float32), 7, 10, 20).shape == (0, 4)


@pytest.mark.parametrize("zoom", [[1.0, 1.0], [0.5, 2.0]])
def test_boxes_stay_on_their_objects_in_training(zoom):
    """The middle of each box is as bright as an object, whatever was cut, mirrored, turned and resized."""
    stored = next(iter(TRAINING.records([field()], 1, {})))
    assert stored.arrays["boxes"].shape == (2, 4)
    seen, sides = 0, set()
    for seed in range(80):
        run = {"patch": 40, "zoom": zoom}
        sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), run, {})
        image, boxes = sample.inputs["image"], sample.target["boxes"]
        assert image.shape == (40, 40, 3) and boxes.shape == (ROWS, 4) and (sample.target["labels"] == 0).all()
        for left, top, right, bottom in boxes[boxes.any(axis=1)]:
            assert 0 <= left < right <= 40 and 0 <= top < bottom <= 40
            assert image[int((top + bottom) / 2), int((left + right) / 2), 0] in range(49, 202)
            seen += 1
            sides.add(round(float(right - left), 2))
    assert seen > 40 and ({6.0, 8.0, 10.0, 12.0} <= sides if zoom == [1.0, 1.0] else max(sides) > 20)


def test_boxes_end_at_the_edges_and_rows_without_one_go():
    boxes = np.array([[-4, 5, 12, 90], [0, 0, 0, 0], [70, 10, 95, 20], [80, 0, 90, 10], [9, 9, 5, 12]], np.float32)
    output = {"boxes": boxes, "labels": np.arange(5, dtype=np.float32), "scores": np.linspace(1, 0.2, 5).astype("f4")}
    kept = TASK.compose({"image": np.zeros((60, 80, 3), np.uint8)}, output)
    assert kept["boxes"].tolist() == [[0, 5, 12, 60], [70, 10, 80, 20]] and kept["labels"].tolist() == [0, 2]
    assert kept["scores"].tolist() == pytest.approx([1.0, 0.6])
    none = TASK.compose({"image": np.zeros((60, 80, 3), np.uint8)}, {name: value[3:] for name, value in output.items()})
    assert none["boxes"].tolist() == [[0, 0, 0, 0]] and none["scores"].tolist() == [0]
    assert within(boxes, 80, 60).dtype == np.float32


TRUE = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], np.float32)


def found(boxes, scores, truth=TRUE):
    output = {"boxes": np.array(boxes, np.float32).reshape(-1, 4), "labels": np.zeros(len(scores), np.float32),
              "scores": np.array(scores, np.float32)}
    return {"image": np.zeros((48, 48, 3), np.uint8)}, output, {
        "boxes": truth, "labels": np.zeros(len(truth), np.float32)}


BOXES = [[0, 0, 10, 10], [40, 40, 48, 48], [20, 0, 30, 9], [0, 20, 10, 30]]


def test_the_figures_of_a_picture_by_hand():
    """At 0.5 two of three answers are right, of three objects; by scores all three are found, after one false one."""
    values = RULES.measure(*found(BOXES, [0.9, 0.8, 0.5, 0.4]), None)
    assert values == {"f1": pytest.approx(4 / 6), "precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3),
                      "ap50": pytest.approx((1 + 3 / 4 + 3 / 4) / 3)}
    values = RULES.measure(*found([[0, 0, 0, 0]], [0.0]), None)
    assert values == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "ap50": 0.0}
    empty = np.zeros((1, 4), np.float32)
    values = RULES.measure(*found([[0, 0, 0, 0]], [0.0], empty), None)
    assert values["f1"] == 1 and all(math.isnan(values[name]) for name in ("precision", "recall", "ap50"))
    values = RULES.measure(*found(BOXES, [0.9, 0.8, 0.5, 0.4], empty), None)
    assert values["f1"] == 0 and values["precision"] == 0 and math.isnan(values["recall"])
    inputs, output, target = found(BOXES, [0.9, 0.8, 0.5, 0.4])
    with pytest.raises(ValueError, match="2 scores for 4 boxes"):
        RULES.measure(inputs, {**output, "scores": output["scores"][:2]}, target, None)


def test_the_figure_of_a_set_is_over_all_boxes():
    rows = [SetRow(Record("0", {}), *found(BOXES[:2], [0.9, 0.6])[1:]), SetRow(Record("1", {}),
                                                                              *found(BOXES[2:3], [0.7])[1:])]
    assert RULES.measure_set(iter(rows), None, None) == {"map50": pytest.approx(2 / 6)}


def test_right_false_and_missed_boxes_have_their_colours():
    shown = RULES.show(*found(BOXES, [0.9, 0.8, 0.5, 0.4]))
    assert (shown["truth"][0, 5] == RIGHT).all() and (shown["truth"][20, 5] == RIGHT).all()
    assert (shown["output"][0, 5] == RIGHT).all() and (shown["output"][40, 44] == WRONG).all()
    assert (shown["output"][20, 5] == MISSED).all() and (shown["input"] == 0).all()
    assert (shown["output"][8, 25] == RIGHT).all() and (shown["truth"][9, 25] == RIGHT).all()


def test_a_person_gets_the_boxes_that_are_sure():
    inputs, output, target = found(BOXES, [0.9, 0.8, 0.5, 0.4])
    photos = registry.photos("detection")
    shown = photos.restore(inputs["image"], None, None, lambda given: output)
    assert shown.shape == (48, 48, 3) and (shown[0, 5] == RIGHT).all() and (shown[40, 44] == RIGHT).all()
    assert not shown[20, 5].any() and (photos.shown(inputs, target)[20, 5] == RIGHT).all()
