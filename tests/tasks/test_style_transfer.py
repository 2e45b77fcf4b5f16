"""The task style_transfer: which pairs are shown and learned from, and what is measured, by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from skimage.metrics import structural_similarity

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.evaluation.comparison import build_table
from restore_ml.evaluation.tables import markdown
from restore_ml.metrics.style import content_distance, style_distance
from restore_ml.nn.features import FeatureNet
from restore_ml.runs.merging import merged
from restore_ml.tasks.protocol import SetRow, protocol, with_distances
from restore_ml.tasks.style_transfer.evaluation import CONTENT_TAPS, STYLE_TAPS
from tests.evaluation import made

PARTS = registry.parts("style_transfer")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("style_transfer")
ROOT = Path(__file__).parents[2]


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def record(picture: np.ndarray, **facts) -> Record:
    return Record("a" * 64, {"image": picture}, facts)


def test_a_pair_is_two_whole_pictures_whose_shorter_sides_are_alike():
    wide = noise(40, 80)
    painting = record(np.full((100, 70, 1), 9, np.uint8), name="swirls/moon.png")
    asked = []

    def partner(role):
        asked.append(role)
        return painting

    sample = CASES.sample(record(wide), "painting", 1, {"size": 40}, partner)
    assert asked == ["style"] and sample.target == {} and sample.facts == {"style": "swirls/moon.png"}
    assert np.array_equal(sample.inputs["content"], wide)
    assert sample.inputs["style"].shape == (57, 40, 3) and (sample.inputs["style"] == 9).all()
    half = CASES.sample(record(wide), "painting", 1, {"size": 32}, partner).inputs["content"]
    assert half.shape == (32, 64, 3)
    for name, spec in TASK.inputs.items():
        assert spec.problem(sample.inputs[name]) is None
    assert CASES.degradations({}) == ["painting"] and CASES.resolve({}) == {"size": 256, "most": 0}


def test_pictures_that_cannot_be_painted_are_left_out_in_words():
    assert TASK.accepts(noise(40, 40, channels=1), {}) == "no colour channels"
    assert TASK.accepts(noise(31, 40), {}) == "a side is below 32 pixels" and TASK.accepts(noise(32, 32), {}) is None
    with pytest.raises(UserError, match="The degradation 'x2' of style_transfer is unknown; there is painting"):
        CASES.sample(record(noise(40, 40)), "x2", 1, {}, record)


@pytest.mark.parametrize("size", [31, 0, True, 64.0, "64"])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(UserError, match=r"`size` of style_transfer is .* whole number of at least 32"):
        TASK.resolve({"size": size})


@pytest.mark.parametrize("most", [-1, True, 2.0, "12"])
def test_numbers_of_pairs_that_make_no_sense(most):
    with pytest.raises(UserError, match=r"`most` of style_transfer is .* or 0 for all"):
        CASES.resolve({"most": most})


def test_twelve_pairs_at_cpu_and_all_where_there_is_time():
    samples = yaml.safe_load((ROOT / "graph/style_transfer/runs.yaml").read_text())["samples"]
    most = {profile: CASES.resolve(merged(samples, profile, "samples"))["most"]
            for profile in ("quick", "cpu", "gpu", "paper")}
    assert most == {"quick": 10, "cpu": 12, "gpu": 0, "paper": 0}


def test_training_draws_a_crop_of_each_for_itself():
    """Crops of one photograph and of one painting, mirrored each half the time."""
    content, style = noise(48, 60), noise(50, 44, 1)
    stored = next(iter(TRAINING.records([record(content)], 1, {})))
    painting = next(iter(TRAINING.partner_records("style", [record(style)], 1, {})))
    found = set()
    for seed in range(40):
        sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32}, {}, lambda role: painting)
        assert sample.target == {} and set(sample.inputs) == {"content", "style"}
        sides = []
        for name, whole in (("content", content), ("style", style)):
            crop = sample.inputs[name]
            assert crop.shape == (32, 32, 3)
            windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32, 3))[:, :, 0]
            straight, mirrored = ((windows == picture).all((2, 3, 4)).any() for picture in (crop, crop[:, ::-1]))
            assert straight != mirrored
            sides.append(bool(straight))
        found.add(tuple(sides))
    assert len(found) == 4
    small = next(iter(TRAINING.records([record(content)], 1, {"at_most": 40}))).arrays["image"]
    assert small.shape == (40, 50, 3)


def test_what_is_kept_of_the_photograph_by_hand():
    content, made = noise(40, 48), noise(40, 48, 1)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    y, y_made = (16 + picture.astype(float) @ weights for picture in (content, made))
    value = RULES.measure({"content": content, "style": made}, {"image": made}, {}, None)
    assert value == {"ssim_content": pytest.approx(structural_similarity(
        y, y_made, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False), abs=1e-6)}


def test_the_distances_of_a_case_are_means_over_its_pairs_and_named_after_the_network():
    torch.manual_seed(0)
    judge = FeatureNet(2, "minivgg-01234567").requires_grad_(False)
    rows = [SetRow(Record(str(seed), {"content": noise(32, 32, seed), "style": noise(48, 40, seed + 5)}, {}),
                   {"image": noise(32, 32, seed + 9)}, {}) for seed in (0, 1)]
    found = RULES.measure_set(iter(rows), None, judge)

    def maps(picture, taps):
        return judge(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255, taps)

    content = [content_distance(maps(row.output["image"], CONTENT_TAPS),
                                maps(row.record.arrays["content"], CONTENT_TAPS)) for row in rows]
    style = [style_distance(maps(row.output["image"], STYLE_TAPS), maps(row.record.arrays["style"], STYLE_TAPS))
             for row in rows]
    assert found == {"content_minivgg": pytest.approx(float(sum(content) / 2), rel=1e-5),
                     "style_minivgg": pytest.approx(float(sum(style) / 2), rel=1e-5)}
    copies = [SetRow(row.record, {"image": row.record.arrays["content"]}, {}) for row in rows]
    assert RULES.measure_set(iter(copies), None, judge)["content_minivgg"] == 0
    same = [Record("0", {"content": noise(32, 32), "style": noise(32, 32, 1)}, {})]
    painted = [SetRow(one, {"image": one.arrays["style"]}, {}) for one in same]
    assert RULES.measure_set(iter(painted), None, judge)["style_minivgg"] == 0
    judge.source = "vgg16-89abcdef"
    assert set(RULES.measure_set(iter(rows), None, judge)) == {"content_vgg16", "style_vgg16"}
    assert RULES.measure_set(iter(rows), None, None) == RULES.measure_set(iter([]), None, judge) == {}
    shown = with_distances(RULES, ["ssim_content", *found]).metrics
    assert [(metric.name, metric.direction) for metric in shown] == [
        ("ssim_content", 1), ("content_minivgg", 0), ("style_minivgg", 0)]


def test_the_table_has_the_distances_of_the_network_that_there_is_and_no_empty_columns():
    rows = made.rows("style_transfer", {"content_copy": {"ssim_content": 1.0}}, case="photos/painting")
    about = {"content_copy": {"method": "content_copy", "figures": {
        "photos/painting": {"content_vgg16": 0.0, "style_vgg16": 3.25}}}}
    text = markdown("style_transfer", build_table("style_transfer", rows, about))
    assert "| ssim_content ↑ [95 %] | content_vgg16 | style_vgg16 | vs baseline |" in text and "| 3.2500 |" in text
    table = text.partition("\n\n##")[2]
    assert "minivgg" not in table and "imagenet" not in table


def test_who_judges_is_said_over_the_table():
    rows = made.rows("style_transfer", {"content_copy": {"ssim_content": 1.0}}, case="photos/painting")
    about = {"content_copy": {"method": "content_copy", "figures": {}}}
    text = markdown("style_transfer", build_table("style_transfer", rows, about)).partition("\n\n##")[0]
    for said in ("minivgg is this project's own small one", "the network that neural_style_transfer moves pixels by",
                 "Nobody knows the truth"):
        assert said in text


def test_both_pictures_are_shown_and_nothing_is_asked_of_canaries():
    inputs = {"content": np.full((60, 90, 3), 7, np.uint8), "style": np.full((30, 40, 3), 200, np.uint8)}
    shown = RULES.show(inputs, None, {})["input"]
    assert (shown[40:, 70:] == 200).all() and (shown[:40] == 7).all() and (shown[:, :70] == 7).all()
    assert (inputs["content"] == 7).all()
    assert RULES.canary() is None
    sample = CASES.sample(record(noise(40, 40)), "painting", 1, {"size": 40}, lambda role: record(noise(40, 40)))
    sample.inputs["style"] = 255 - sample.inputs["content"]
    assert np.array_equal(RULES.trivial(sample), sample.inputs["content"])
