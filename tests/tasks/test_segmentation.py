"""The task segmentation: what is tested and learned from, how touching nuclei are told apart, and the figures."""

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.metrics import segmentation as figures
from restore_ml.tasks.photos import Restorer
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.segmentation.instances import OUTLINE, outlined, split_touching
from restore_ml.tasks.segmentation.training import bent, displacements, numbered, regreyed
from tests.tasks.examples import example

PARTS = registry.parts("segmentation")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("segmentation")


def discs(*middles: tuple[int, int], radius: float = 6, shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    """Discs numbered from 1, H x W int32."""
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    made = np.zeros(shape, np.int32)
    for number, (row, column) in enumerate(middles, 1):
        made[np.hypot(rows - row, columns - column) <= radius] = number
    return made


def record(channels: int = 1, outlines: bool = True) -> Record:
    """Grey where nothing is, 10 times its number in a nucleus."""
    instances = discs((10, 10), (10, 30), (28, 20))
    image = np.repeat((5 + 10 * instances)[..., None], channels, 2).astype(np.uint8)
    return Record("a" * 64, {"image": image, **({"instances": instances[..., None]} if outlines else {})}, {})


@pytest.mark.parametrize("channels", [1, 3])
def test_a_field_is_tested_as_it_is(channels):
    source = record(channels)
    sample = CASES.sample(source, "plain", 1, {})
    assert sample.inputs["image"].shape == (40, 48, 3) and (sample.inputs["image"] == source.arrays["image"]).all()
    assert np.array_equal(sample.target["instances"], source.arrays["instances"])
    assert np.array_equal(sample.target["labels"], source.arrays["instances"] > 0)
    assert sample.facts == {"nuclei": 3} and CASES.degradations({}) == ["plain"]
    for name, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[name]) is None


def test_fields_that_nobody_has_outlined_or_that_are_too_small():
    assert CASES.leaves_out(record(outlines=False), "plain", {}) == "nobody has outlined its nuclei"
    assert CASES.leaves_out(record(), "plain", {}) is None
    assert TASK.accepts(np.zeros((31, 90, 1), np.uint8), {}) == "a side is below 32 pixels"
    assert TASK.accepts(np.zeros((32, 90, 1), np.uint8), {}) is None
    assert list(TRAINING.records([record(outlines=False)], 1, {})) == []


def test_touching_discs_are_split_and_a_disc_is_not():
    whole = discs((20, 14), (20, 25), (20, 42), radius=6)
    for apart, sigma in ((3, 0.0), (5, 1.0)):
        found = split_touching(whole > 0, apart, sigma)
        assert found.dtype == np.int32 and found.max() == 3 and np.array_equal(found > 0, whole > 0)
        assert figures.aggregated_jaccard(whole, found) > 0.95
    assert split_touching(whole == 0).max() >= 1 and split_touching(np.zeros((9, 9), bool)).max() == 0
    assert split_touching(np.ones((9, 9), bool)).max() == 1
    assert split_touching(discs((20, 14), (20, 25)) > 0, apart=40).max() == 1  # peaks nearer than that are one


def test_every_piece_is_a_nucleus_however_small():
    spots = np.zeros((12, 12), bool)
    spots[1, 1] = spots[1, 3] = spots[2, 2] = spots[8:10, 8:10] = True
    found = split_touching(spots, apart=5, sigma=1.0)
    assert np.unique(found[spots]).tolist() == [1, 2, 3, 4] and not found[~spots].any()


def test_a_small_nucleus_keeps_its_side_of_the_neck():
    truth = discs((20, 14)) + 2 * discs((20, 25), radius=4)
    truth[truth == 3] = 1
    found = split_touching(truth > 0)
    assert found.max() == 2 and figures.aggregated_jaccard(truth, found) > 0.9


def test_nuclei_at_the_edge_of_a_field_are_split_too():
    truth = discs((0, 14), (0, 26), (39, 10), (39, 21))
    found = split_touching(truth > 0)
    assert found.max() == 4 and figures.aggregated_jaccard(truth, found) > 0.9


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([0.0, 1.0]))
@hypothesis.example(192, 1, 1.0)  # a pixel of its own that smoothing leaves without a peak
def test_what_is_connected_is_numbered_and_no_number_stands_for_two_pieces(seed, apart, sigma):
    rng = np.random.default_rng(seed)
    spots = rng.random((12, 14)) < rng.choice([0.1, 0.4, 0.7])
    found, pieces = split_touching(spots, apart, sigma), numbered(spots[..., None].astype(np.int32))[..., 0]
    assert np.array_equal(found > 0, spots) and set(np.unique(found)) - {0} == set(range(1, found.max() + 1))
    assert all(len(np.unique(pieces[found == number])) == 1 for number in range(1, found.max() + 1))


def test_labels_become_instances_after_tiles_and_given_instances_are_kept():
    truth = discs((20, 14), (20, 25))
    labels = (truth > 0).astype(np.uint8)[..., None]
    made = TASK.compose({}, {"labels": labels})
    assert figures.aggregated_jaccard(truth, made["instances"][..., 0]) > 0.95
    assert made["instances"].shape == (40, 48, 1) and made["labels"] is labels
    own = {"labels": labels, "instances": labels.astype(np.int32)}
    assert TASK.compose({}, own)["instances"].max() == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 2.0, 6.0]))
def test_training_sees_the_same_square_of_picture_and_nuclei(seed, elastic):
    stored = next(iter(TRAINING.records([record()], 1, {})))
    sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32, "elastic": elastic}, {})
    image, nuclei = sample.inputs["image"][..., 0], sample.target["instances"][..., 0]
    assert image.shape == (32, 32) and np.array_equal(sample.target["labels"][..., 0], nuclei > 0)
    assert sorted(set(nuclei.ravel()) - {0}) == list(range(1, nuclei.max() + 1))
    sure = np.isin(image, (5, 15, 25, 35))  # between them lies what was interpolated
    assert sure.mean() > 0.6
    if elastic == 0:
        assert np.array_equal(image > 5, nuclei > 0)
    else:
        assert ((image > 10) == (nuclei > 0)).mean() > 0.93


def test_training_turns_and_mirrors():
    stored = next(iter(TRAINING.records([record()], 1, {})))
    run, rngs = {"patch": 40}, [np.random.default_rng(seed) for seed in range(60)]
    samples = [TRAINING.sample(stored, {}, rng, run, {}).target["labels"][..., 0] for rng in rngs]
    middles = {tuple((np.argwhere(sample).mean(0) > 19.5).tolist()) for sample in samples}
    assert len(middles) >= 3


def test_displacements_are_smooth_and_as_large_as_they_should_be():
    fields = np.stack([displacements(48, 4.0, np.random.default_rng(seed)) for seed in range(200)])
    assert fields.shape == (200, 48, 48, 2) and fields.dtype == np.float32
    centres = fields[:, [7, 24, 40]][:, :, [7, 24, 40]]  # where the vectors of the coarse grid lie
    assert 3.5 < centres.std() < 4.5 and abs(fields.mean()) < 0.3
    assert np.abs(np.diff(fields, axis=1)).max() < 3 and np.abs(np.corrcoef(fields[..., 24, 24, :].T)[0, 1]) < 0.25
    assert not displacements(48, 0.0, np.random.default_rng(0)).any()


def test_a_bent_picture_is_read_at_the_displaced_places():
    """x to the right, y down; a whole displacement moves pixels as they are, and edges are mirrored."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (20, 24, 1), dtype=np.uint8)
    instances = rng.integers(0, 9, (20, 24, 1), dtype=np.int32)
    shift = np.zeros((10, 10, 2), np.float32)
    shift[..., 0], shift[..., 1] = 3, -2
    seen, numbers = bent(image, instances, (4, 5), shift)
    assert np.array_equal(seen, image[2:12, 8:18]) and np.array_equal(numbers, instances[2:12, 8:18])
    seen, numbers = bent(image, instances, (0, 14), shift)
    rows = [2, 1, *range(8)]
    columns = [*range(17, 24), 22, 21, 20]
    assert np.array_equal(seen, image[rows][:, columns]) and np.array_equal(numbers, instances[rows][:, columns])
    shift[..., 0] = 0.5
    seen, _ = bent(image, instances, (4, 5), shift)
    between = (image[2:12, 5:15].astype(float) + image[2:12, 6:16]) / 2
    assert np.abs(seen - between).max() <= 1


class Drawn:
    """A generator that draws these numbers one after the other."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def test_grey_levels_vary_within_their_range():
    """By hand: half of 0.8 off is a contrast of 0.6, so that 102 levels are free, of which a quarter is added."""
    image = np.array([[[0], [100], [255]]], np.uint8)
    seen = regreyed(image, 0.8, Drawn(0.5, 0.25))
    assert seen[0, :, 0].tolist() == [26, 86, 178] and seen.dtype == np.uint8
    assert regreyed(image, 0.8, Drawn(1.0, 1.0))[0, :, 0].tolist() == [204, 224, 255]
    assert regreyed(image, 0.8, Drawn(0.0, 1.0))[0, :, 0].tolist() == [0, 100, 255]
    assert regreyed(image, 0.0, Drawn()) is image
    stored = next(iter(TRAINING.records([record()], 1, {})))
    run = {"patch": 40, "grey": 0.9}
    samples = [TRAINING.sample(stored, {}, np.random.default_rng(seed), run, {}) for seed in range(40)]
    grounds = {int(sample.inputs["image"].min()) for sample in samples}
    assert min(grounds) < 15 and max(grounds) > 120
    assert all((sample.inputs["image"][..., 0] > sample.inputs["image"].min())[sample.target["labels"][..., 0] > 0]
               .mean() > 0.6 for sample in samples)


def test_what_a_bend_cuts_is_numbered_anew():
    cut = np.array([[7, 7, 0, 7, 3]])[..., None]
    assert numbered(cut)[0, :, 0].tolist() == [1, 1, 0, 2, 3] and numbered(cut).dtype == np.int32


def test_training_says_which_setting_is_too_large():
    stored = next(iter(TRAINING.records([record()], 1, {})))
    with pytest.raises(UserError, match="`patch` is 64, but a training picture is 40 x 48; lower `patch`"):
        TRAINING.sample(stored, {}, np.random.default_rng(0), {"patch": 64}, {})


def test_the_figures_are_of_labels_and_of_instances():
    inputs, wrong, target = example("segmentation").sample()
    values = RULES.measure(inputs, wrong, target, None)
    true, found = target["instances"][..., 0], wrong["instances"][..., 0]
    assert values == {"aji": figures.aggregated_jaccard(true, found), "map": figures.bowl_precision(true, found),
                      "dice": figures.dice(true > 0, found > 0), "iou": figures.iou(true > 0, found > 0),
                      "accuracy": figures.accuracy(true > 0, found > 0),
                      "mean_iou": figures.mean_iou((true > 0).astype(int), (found > 0).astype(int), 2),
                      "boundary_f1": figures.boundary_f1(true, found)}
    assert values["aji"] == pytest.approx((280 + 320 + 336) / (640 + 600 + 384 + 16))


def test_outlines_are_drawn_on_the_innermost_pixels():
    instances = np.zeros((12, 12), np.int32)
    instances[3:8, 3:8] = 1
    field = np.full((12, 12, 3), 9, np.uint8)
    drawn = outlined(field, instances)
    ring = instances.astype(bool)
    ring[4:7, 4:7] = False
    assert (drawn[ring] == OUTLINE).all() and (drawn[~ring] == 9).all() and (field == 9).all()


def test_a_person_gets_her_picture_with_outlines():
    photos, picture = registry.photos("segmentation"), np.full((40, 48, 3), 60, np.uint8)
    truth = discs((20, 14), (20, 25))
    given = {}

    def restore(method, model, inputs, seed):
        given.update(inputs)
        return {"labels": (truth > 0)[..., None], "instances": truth[..., None]}

    shown = photos.restore(picture, None, None, Restorer(None, None, 1, restore))
    assert np.array_equal(given["image"], picture) and np.array_equal(shown, outlined(picture, truth))
    assert photos.probes(None) == ("plain",)


def test_what_anybody_gets_for_nothing_is_no_nucleus():
    assert not RULES.trivial(CASES.sample(record(), "plain", 1, {})).any()
