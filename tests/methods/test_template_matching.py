"""template_matching: where templates are found, how the threshold is chosen, by hand."""

import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.detection.template_matching import TemplateMatching, best_threshold, rescaled
from restore_ml.metrics.boxes import overlaps
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material


def field(number: int, side: int = 12, count: int = 4) -> Record:
    """Bright discs of one size on a dark ground with a little grain."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 12, (96, 96, 1)).astype(np.uint8)
    boxes = []
    rows, columns = np.mgrid[:side, :side]
    disc = (rows - (side - 1) / 2) ** 2 + (columns - (side - 1) / 2) ** 2 < (side / 2) ** 2
    for place in rng.permutation(9)[:count]:
        top, left = (int(value) for value in 8 + 30 * np.array(divmod(int(place), 3)) + rng.integers(0, 8, 2))
        image[top:top + side, left:left + side][disc] = 200
        boxes.append([left, top, left + side, top + side])
    return Record(f"{number:064x}", {"image": image, "boxes": np.array(boxes, np.float32)}, {})


def fitted(tmp_path, records, **settings):
    shards.write(tmp_path / "00.arrow", records)
    method = TemplateMatching(settings)
    return method, Model(arrays=method.prepare(Material(tmp_path), 1))


@pytest.mark.parametrize(("side", "margin", "least"), [(11, 0.25, 0.8), (12, 0.25, 0.99), (15, 0.2, 0.99)])
def test_discs_are_found_where_they_are(tmp_path, side, margin, least):
    """Templates of 16, 18 and 21 pixels: where the margin is whole pixels, the boxes are the true ones."""
    method, model = fitted(tmp_path, [field(number, side) for number in range(3)], sizes=1, margin=margin)
    assert len(model.arrays["template_0_0"]) == round((1 + 2 * margin) * side)
    assert model.arrays["side_0_0"].tolist() == [side]
    test = field(7, side)
    output = restore(method, model, {"image": np.repeat(test.arrays["image"], 3, 2)}, 1)
    sure = output["scores"] >= 0.45  # the threshold is the weakest training object, these are hardly weaker
    shared = overlaps(output["boxes"][sure], test.arrays["boxes"])
    assert sure.sum() == 4 and (shared.max(axis=0) > least).all()
    assert np.triu(overlaps(output["boxes"], output["boxes"]), 1).max() <= 0.45
    assert (np.diff(output["scores"]) <= 0).all() and output["scores"].max() <= 1


def test_a_template_is_the_mean_of_the_objects_of_its_size(tmp_path):
    """Discs of 8 and of 16 pixels give two templates; an object at the edge has no whole window and is left out."""
    records = [field(0, 16), field(1, 8)]
    edge = np.vstack([records[1].arrays["boxes"], [[0, 40, 8, 48]]]).astype(np.float32)
    records[1] = Record(records[1].id, {**records[1].arrays, "boxes": edge}, {})
    _, model = fitted(tmp_path, records, sizes=2, margin=0.25)
    small, large = model.arrays["template_0_0"], model.arrays["template_0_1"]
    assert small.shape == (12, 12) and large.shape == (24, 24)
    windows = [records[1].arrays["image"][int(top) - 2:int(top) + 10, int(left) - 2:int(left) + 10, 0].astype(float)
               for left, top, _, _ in records[1].arrays["boxes"][:4]]
    np.testing.assert_allclose(small, np.mean(windows, axis=0), atol=1e-4)
    assert large[12, 12] == 200 and large[0, 0] < 12


def test_the_threshold_answers_most_rightly():
    """F1 after each answer, of 4 true: 2/5, 4/6, 4/7, 6/8, 6/9: the fourth score."""
    scores = np.array([0.5, 0.9, 0.7, 0.8, 0.6])
    right = np.array([False, True, False, True, True])
    assert best_threshold(scores, right, 4) == 0.6
    assert best_threshold(scores[1:4], np.array([True, True, False]), 2) == 0.7  # right, wrong, right: 2/3, 2/4, 4/5
    assert best_threshold(scores, np.zeros(5, bool), 4) == 0.5 and best_threshold(scores[:0], right[:0], 4) == 0.5
    assert rescaled(np.array([0.0, 0.3, 0.6, 0.8, 1.0]), 0.6).tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_the_stored_threshold_is_the_best_on_training_fields(tmp_path):
    method, model = fitted(tmp_path, [field(number) for number in range(4)], sizes=1)
    lowest = min(method.candidates(model, field(number).arrays["image"])[2][3] for number in range(4))
    assert float(model.arrays["threshold"][0]) == pytest.approx(lowest, abs=1e-6)  # four right ones in each, then false


def test_nothing_like_an_object_is_no_box(tmp_path):
    method, model = fitted(tmp_path, [field(0)], sizes=1)
    output = restore(method, model, {"image": np.full((50, 40, 3), 90, np.uint8)}, 1)
    assert output["boxes"].tolist() == [[0, 0, 0, 0]] and output["scores"].tolist() == [0]
    tiny = restore(method, model, {"image": np.full((10, 40, 3), 90, np.uint8)}, 1)
    assert not tiny["boxes"].any()


def test_without_objects_there_is_nothing_to_match(tmp_path):
    empty = Record("0" * 64, {"image": np.zeros((40, 40, 1), np.uint8), "boxes": np.zeros((0, 4), np.float32)}, {})
    with pytest.raises(UserError, match="no outlined object in the training fields"):
        fitted(tmp_path, [empty])
