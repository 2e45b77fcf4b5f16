"""The task contrast_synthesis: what is hidden in tests and in training, what is left out, and the figures by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.domains import brains
from restore_ml.data.shards import Record, Shard
from restore_ml.data.sources.brain_phantom import BRIGHTNESS
from restore_ml.degrading.cases import degrade_cases
from restore_ml.tasks.contrast_synthesis import lesions
from restore_ml.tasks.contrast_synthesis import task as task_file
from restore_ml.tasks.protocol import SetRow, protocol
from tests.tasks.examples import example

PARTS = registry.parts("contrast_synthesis")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("contrast_synthesis")


def record(there=(1, 1, 1, 1, 1), side: int = 40, labels: bool = True, name: str = "a") -> Record:
    """Contrast c is 10 (c + 1) everywhere, but for a corner that tells the sides apart."""
    contrasts = np.zeros((side, side + 8, 5), np.uint8) + np.arange(10, 60, 10, dtype=np.uint8)
    contrasts[:4, :4] += 100
    contrasts *= np.array(there, np.uint8)
    drawn = np.zeros((side, side + 8, 1), np.uint8)
    drawn[:4, :4] = 3
    arrays = {"contrasts": contrasts, "there": np.array(there, np.uint8), **({"labels": drawn} if labels else {})}
    return Record(name * 64, arrays, {"name": name})


def test_the_contrasts_are_those_of_the_brains_in_their_order():
    assert task_file.CONTRASTS == brains.CONTRASTS == tuple(BRIGHTNESS)
    assert len(brains.CLASSES) == TASK.target["labels"].channels


@pytest.mark.parametrize(("name", "hidden"), [("missing_t1", [0]), ("missing_t1ce_flair", [1, 4]),
                                              ("missing_t1ce_t2_pd_flair", [1, 2, 3, 4])])
def test_what_is_wanted_is_hidden_and_the_rest_is_given(name, hidden):
    source = record()
    sample = CASES.sample(source, name, 1, {})
    shown = [channel for channel in range(5) if channel not in hidden]
    assert np.flatnonzero(sample.inputs["wanted"]).tolist() == hidden
    assert np.flatnonzero(sample.inputs["given"]).tolist() == shown
    assert not sample.inputs["contrasts"][..., hidden].any()
    assert np.array_equal(sample.inputs["contrasts"][..., shown], source.arrays["contrasts"][..., shown])
    assert np.array_equal(sample.target["truth"], source.arrays["contrasts"])
    assert np.array_equal(sample.target["labels"], source.arrays["labels"])
    assert sample.target["there"].tolist() == [1] * 5
    for key, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[key]) is None


def test_a_contrast_that_a_patient_never_had_is_neither_given_nor_wanted():
    sample = CASES.sample(record((1, 0, 1, 1, 1), labels=False), "missing_flair", 1, {})
    assert sample.inputs["given"].tolist() == [1, 0, 1, 1, 0] and sample.inputs["wanted"].tolist() == [0, 0, 0, 0, 1]
    assert sample.target["there"].tolist() == [1, 0, 1, 1, 1] and not sample.target["labels"].any()


def test_slices_without_the_truth_of_a_case_are_left_out_of_that_case_in_words(tmp_path):
    from restore_ml.data import shards

    for place in ("test/clinic/ab.arrow",):
        shards.write(tmp_path / "prepared/brains" / place, [record(name="a"), record((1, 0, 1, 0, 0), name="b")])
    settings = {"cases": ["missing_t1ce", "missing_t2", "missing_t1_t2"]}
    outcome = degrade_cases(PARTS, tmp_path / "prepared", tmp_path / "out", 1, settings)
    assert outcome.counts == {"clinic/missing_t1ce": 1, "clinic/missing_t2": 2, "clinic/missing_t1_t2": 1}
    assert outcome.left_out == {"clinic": {}}, "one of the cases takes it"
    assert [one.id for one in Shard(tmp_path / "out/inputs/clinic/missing_t1ce.arrow")] == ["a" * 64]
    assert CASES.leaves_out(record((1, 0, 1, 0, 0)), "missing_t1ce_flair", {}) == (
        "there is no t1ce or flair to compare with in missing_t1ce_flair")


def test_slices_that_are_too_small_or_alone():
    shown = record().arrays["contrasts"]
    assert TASK.accepts(shown, {}) is None and TASK.accepts(shown[:32], {}) is None
    assert TASK.accepts(shown[:31], {}) == "a side is below 32 pixels"
    assert TASK.accepts(record((0, 0, 1, 0, 0)).arrays["contrasts"], {}) == (
        "one contrast alone: nothing to make another one from")
    assert TASK.accepts(record((0, 0, 1, 0, 1)).arrays["contrasts"], {}) is None


@pytest.mark.parametrize("name", ["missing", "missing_", "missing_t3", "missing_t2_t1", "missing_t1_t1", "t1", "x_t1",
                                  "missing_t1_t1ce_t2_pd_flair"])
def test_degradations_that_there_are_not(name):
    with pytest.raises(UserError, match="is no degradation of contrast_synthesis; write missing_t2"):
        CASES.degradations({"cases": [name]})


def test_known_contrasts_are_kept_to_the_bit_and_absent_ones_stay_zero():
    sample = CASES.sample(record((1, 0, 1, 1, 1)), "missing_flair", 1, {})
    made = TASK.compose(sample.inputs, {"contrasts": np.full((40, 48, 5), 77, np.uint8)})["contrasts"]
    assert (made[..., 4] == 77).all() and not made[..., 1].any() and made.dtype == np.uint8
    assert np.array_equal(made[..., [0, 2, 3]], sample.target["truth"][..., [0, 2, 3]])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([(1, 1, 1, 1, 1), (1, 0, 1, 1, 1), (0, 0, 1, 0, 1)]))
def test_training_hides_one_to_most_missing_of_the_contrasts_there_are(seed, most, there):
    stored = next(iter(TRAINING.records([record(there)], 1, {})))
    sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32, "most_missing": most}, {})
    wanted, seen = sample.inputs["wanted"], sample.inputs["given"]
    assert wanted.sum() == 1 and (wanted * there).sum() == 1 and not (wanted * seen).any() and seen.any()
    assert not (seen > there).any() and sample.target["there"].tolist() == list(there)
    hidden = sum(there) - seen.sum()
    assert 1 <= hidden <= min(most, sum(there) - 1)
    assert np.array_equal(sample.inputs["contrasts"], sample.target["truth"] * seen.astype(np.uint8))
    assert sample.target["truth"].shape == (32, 32, 5)
    assert np.array_equal(sample.target["truth"].max(axis=2) > 100, sample.target["labels"][..., 0] == 3)


def test_training_draws_every_contrast_and_every_number_of_hidden_ones():
    stored = next(iter(TRAINING.records([record()], 1, {})))
    run = {"patch": 32, "most_missing": 4, "contrasts": ["t1", "t1ce", "t2", "flair"]}
    samples = [TRAINING.sample(stored, {}, np.random.default_rng(seed), run, {}) for seed in range(200)]
    wanted = np.array([sample.inputs["wanted"] for sample in samples]).mean(0)
    assert wanted[3] == 0 and (wanted[[0, 1, 2, 4]] > 0.15).all()
    seen = np.array([sample.inputs["given"] for sample in samples])
    assert not seen[:, 3].any() and set(seen.sum(1)) == {1, 2, 3}
    alone = [TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32}, {}) for seed in range(50)]
    assert all(sample.inputs["given"].sum() == 4 for sample in alone)
    corners = {tuple(np.argwhere(sample.target["labels"][..., 0] > 0).mean(0) > 16)
               for sample in samples if sample.target["labels"].any()}
    assert len(corners) == 4  # turned and mirrored


def test_training_on_a_patient_with_too_few_contrasts_is_a_sentence():
    stored = next(iter(TRAINING.records([record((1, 0, 0, 1, 0))], 1, {})))
    with pytest.raises(UserError, match="fewer than two of the contrasts t1, t2"):
        TRAINING.sample(stored, {}, np.random.default_rng(0), {"patch": 32, "contrasts": ["t1", "t2"]}, {})


def test_the_figures_by_hand():
    """Two wanted contrasts: each figure is the mean of theirs."""
    rng = np.random.default_rng(0)
    truth = rng.integers(40, 200, (40, 48, 5), dtype=np.uint8)
    truth[:, :10] = 0
    made = np.clip(truth.astype(int) + rng.integers(-9, 10, truth.shape), 0, 255).astype(np.uint8)
    labels = np.zeros((40, 48, 1), np.uint8)
    labels[10:20, 20:30], labels[12:14, 22:24] = 2, 1
    inputs = {"wanted": np.array([0, 1, 0, 0, 1], np.float32)}
    values = RULES.measure(inputs, {"contrasts": made}, {"truth": truth, "labels": labels}, None)
    rows = []
    for channel in (1, 4):
        x, y = made[..., channel].astype(float), truth[..., channel].astype(float)
        off, inside, lesion = (x - y) ** 2, np.s_[:, 10:], np.s_[10:20, 20:30]
        rows.append([10 * np.log10(255 ** 2 / off[region].mean()) for region in (inside, lesion, np.s_[:])] + [
            np.abs(x - y)[inside].sum() / y[inside].sum(),
            structural_similarity(x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)])
    expected = dict(zip(("psnr_brain", "psnr_lesion", "psnr", "nmae", "ssim"), np.mean(rows, axis=0), strict=True))
    assert np.isnan(values.pop("dice_lesion"))  # without a segmenter
    assert values == {name: pytest.approx(value, rel=1e-6) for name, value in expected.items()}
    whole = RULES.measure(inputs, {"contrasts": truth}, {"truth": truth, "labels": 0 * labels}, None)
    assert np.isnan(whole.pop("psnr_lesion")) and np.isnan(whole.pop("dice_lesion"))
    assert whole == {"psnr_brain": 60.0, "psnr": 60.0, "nmae": 0.0, "ssim": pytest.approx(1.0)}


def patients(count: int = 6, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Targets of slices in a frame of nothing. The brain is 60 in every contrast; FLAIR alone shows the lesion, as 200.
    """
    made, rng = [], np.random.default_rng(seed)
    for _ in range(count):
        truth, labels = np.zeros((40, 48, 5), np.uint8), np.zeros((40, 48, 1), np.uint8)
        truth[6:36, 6:42] = 60
        y, x = rng.integers(10, 20, 2)
        labels[y:y + 10, x:x + 12], labels[y + 3:y + 6, x + 3:x + 6] = 2, 1
        truth[..., 4][labels[..., 0] > 0] = 200
        made.append({"truth": truth, "labels": labels, "there": np.ones(5, np.float32)})
    return made


def test_lesions_are_looked_for_in_what_was_made():
    """Found with the true FLAIR but for a rim, of which the smoothing takes a part; gone with a FLAIR that lacks them;
    half of each where half was made."""
    targets = patients()
    segmenter = RULES.context(targets)
    assert segmenter is not None
    test, inputs = patients(1, seed=7)[0], {"wanted": np.array([0, 0, 0, 0, 1], np.float32)}
    lesion = test["labels"][..., 0] > 0
    found = segmenter(test["truth"])
    assert found.shape == lesion.shape and found.dtype == bool and not found[:6].any()

    def judged(contrasts: np.ndarray) -> float:
        return RULES.measure(inputs, {"contrasts": contrasts}, test, segmenter)["dice_lesion"]

    assert judged(test["truth"]) == pytest.approx(2 * (found & lesion).sum() / (found.sum() + lesion.sum()))
    assert judged(test["truth"]) > 0.9
    gone = test["truth"].copy()
    gone[6:36, 6:42, 4] = 60
    assert judged(gone) == 0
    elsewhere = gone.copy()
    elsewhere[8:18, 30:40, 4] = 200
    assert judged(elsewhere) == 0 and segmenter(elsewhere)[10:16, 32:38].all()
    healthy = {**test, "labels": 0 * test["labels"]}
    assert np.isnan(RULES.measure(inputs, {"contrasts": gone}, healthy, segmenter)["dice_lesion"])
    assert not segmenter(np.zeros((40, 48, 5), np.uint8)).any()
    speck, lacking = gone.copy(), test["truth"].copy()
    speck[20, 20, 4], lacking[..., 0] = 200, 0
    assert not segmenter(speck).any()  # one pixel is noise
    assert lesions.dice(segmenter(lacking), found) > 0.9  # a patient without T1


def test_the_segmenter_is_the_same_whoever_is_judged_and_absent_without_lesions():
    targets = patients()
    first, second = RULES.context(iter(targets)), RULES.context(targets)
    test = patients(1, seed=3)[0]["truth"]
    noisy = np.clip(test + np.random.default_rng(0).normal(0, 40, test.shape), 0, 255).astype(np.uint8)
    assert np.array_equal(first(noisy), second(noisy)) and first(noisy).any()
    healthy = [{**target, "labels": 0 * target["labels"]} for target in targets]
    assert RULES.context(healthy) is None
    assert RULES.measure_set([SetRow(record(), {}, healthy[0])], None, None) == {}


def test_the_segmenter_learns_from_steps_through_all_pixels(monkeypatch):
    """Of 6 brains of 1080 pixels, every 13th: the last patients too."""
    seen = []
    monkeypatch.setattr(lesions, "PIXELS", 500)
    monkeypatch.setattr("sklearn.tree.DecisionTreeClassifier.fit", lambda self, x, y: seen.append((x, y)) or self)
    RULES.context(patients())
    [(pixels, sick)] = seen
    assert pixels.shape == (-(-6 * 1080 // 13), 5) and pixels.dtype == np.float32 and len(sick) == len(pixels)
    assert np.abs(pixels[:, :4] - pixels[:, :1]).max() < 1e-3  # FLAIR is not smoothed into the others
    assert 0.05 < sick[-80:].mean() < 0.2 and pixels[sick, 4].min() > pixels[~sick, 4].mean() + 20


def test_the_true_contrasts_have_their_figure_too():
    """The mean over slices with a lesion, whatever the method made."""
    targets = patients(4)
    segmenter = RULES.context(targets)
    healthy = {**targets[0], "labels": 0 * targets[0]["labels"]}
    rows = [SetRow(record(), {"contrasts": 0 * target["truth"]}, target) for target in [*targets[1:], healthy]]
    expected = np.mean([lesions.dice(segmenter(one["truth"]), one["labels"][..., 0] > 0) for one in targets[1:]])
    assert RULES.measure_set(iter(rows), segmenter, None) == {"dice_lesion_true": pytest.approx(expected)}


@pytest.mark.parametrize(("found", "truth", "value"), [([1, 1, 0, 0], [1, 0, 1, 1], 0.4), ([0, 0], [0, 0], 1.0),
                                                       ([1, 1], [0, 0], 0.0), ([0, 0], [1, 1], 0.0)])
def test_dice_by_hand(found, truth, value):
    assert lesions.dice(np.array(found, bool), np.array(truth, bool)) == pytest.approx(value)


def test_contrasts_are_shown_in_a_row_and_hatched_where_they_are_not_given():
    inputs, output, target = example("contrast_synthesis").sample()
    shown = RULES.show(inputs, output, target)
    for place, channel in enumerate((0, 2, 3, 4)):
        part = np.s_[:, 16 * place:16 * place + 16]
        assert (shown["truth"][part] == target["truth"][..., [channel]]).all()
        assert (shown["output"][part] == output["contrasts"][..., [channel]]).all()
        seen = shown["input"][part]
        if channel == 4:
            assert set(np.unique(seen)) == {30, 90}
        else:
            assert (seen == inputs["contrasts"][..., [channel]]).all()


def test_what_anybody_gets_for_nothing_is_the_mean_of_the_given_contrasts():
    sample = CASES.sample(record(), "missing_t1ce_flair", 1, {})
    value = RULES.trivial(sample)
    assert (value[10:, 10:] == [10, 27, 30, 40, 27]).all() and value.dtype == np.uint8  # (10 + 30 + 40) / 3


def test_drawn_patients_hide_in_no_contrast_what_another_shows():
    """T1ce differs from T1 in the lesion alone, and FLAIR, not T2, loses the fluid: several contrasts tell more."""
    t1, t1ce, t2, flair = (np.array(BRIGHTNESS[name]) for name in ("t1", "t1ce", "t2", "flair"))
    assert np.flatnonzero(t1ce - t1).tolist() == [5, 6, 7]
    assert t2[4] == t2.max() and flair[4] == min(flair[1:])
