"""classical_classifier: the card's figures on scikit-learn's digits, neighbours and machines by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.classification.classical_classifier import ClassicalClassifier, machines, nearest
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material
from restore_ml.tasks.classification.task import names

TRAINING = registry.parts("classification").training


@pytest.fixture(scope="module")
def digits():
    """1,437 to learn from and 360 to test on, stratified, of 17 levels as 8 bits (0 to 240)."""
    pictures, labels = load_digits(return_X_y=True)
    return train_test_split((pictures * 15).astype(np.uint8), labels, test_size=360, random_state=0, stratify=labels)


def voted(train, labels, one, k, p):
    return int(np.bincount(labels[nearest(train, one, k, p)]).argmax())


@pytest.mark.parametrize(("k", "p", "figure"), [(1, 1, 0.986), (1, 2, 0.983), (5, 1, 0.969), (5, 2, 0.978)])
def test_neighbours_reach_the_card(digits, k, p, figure):
    train, test, labels, truth = digits
    right = [voted(train, labels, one, k, p) == label for one, label in zip(test, truth, strict=True)]
    assert np.mean(right) == pytest.approx(figure, abs=0.0045)


def test_linear_machines_on_pixels_reach_the_card(digits):
    train, test, labels, truth = digits
    model = machines(train, labels, 1.0, 1)
    answers = model["numbers"][(test @ model["weights"].T + model["offsets"]).argmax(axis=1)]
    assert np.mean(answers == truth) == pytest.approx(0.964, abs=0.012)
    assert model["weights"].shape == (10, 64) and model["weights"].dtype == np.float32


def test_linear_machines_on_gradients_reach_the_card(digits):
    train, test, labels, truth = digits
    method = ClassicalClassifier({})
    features, asked = (np.stack([method.features_of(one.reshape(8, 8, 1)) for one in part]) for part in (train, test))
    model = machines(features, labels, 1.0, 1)
    answers = model["numbers"][(asked @ model["weights"].T + model["offsets"]).argmax(axis=1)]
    assert np.mean(answers == truth) == pytest.approx(0.978, abs=0.0045)


def test_a_picture_is_its_own_nearest_neighbour(digits):
    train, _, labels, _ = digits
    assert all(voted(train, labels, one, 1, 2) == label for one, label in zip(train[:60], labels[:60], strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2]), st.integers(1, 6))
def test_neighbours_are_those_of_scikit_learn(seed, p, k):
    rng = np.random.default_rng(seed)
    rows, one = rng.integers(0, 256, (30, 9)).astype(np.uint8), rng.integers(0, 256, 9).astype(np.uint8)
    found = nearest(rows, one, k, p)
    brute = np.linalg.norm(rows.astype(float) - one, ord=p, axis=1)
    np.testing.assert_allclose(brute[found], np.sort(brute)[:k])
    labels = rng.integers(0, 3, 30)
    theirs = KNeighborsClassifier(k, p=p, algorithm="brute").fit(rows, labels).predict(one[None])[0]
    assert len(set(brute)) < 30 or voted(rows, labels, one, k, p) == theirs
    assert (nearest(rows.astype(np.float32), one.astype(np.float32), k, p) == found).all() or len(set(brute)) < 30


def test_of_equals_the_first_is_nearest_and_the_first_class_wins():
    rows = np.array([[9], [5], [1], [5]], np.uint8)
    assert nearest(rows, np.array([5], np.uint8), 2, 2).tolist() == [1, 3]
    assert nearest(rows, np.array([3], np.uint8), 3, 1).tolist() == [1, 2, 3]
    assert nearest(np.array([[0], [255]], np.uint8), np.array([200], np.uint8), 1, 2).tolist() == [1]  # no wrapping


def test_machines_separate_two_classes_and_know_when_there_is_one():
    rows = np.array([[0.0, 1], [0.2, 1], [1, 0], [0.9, 0.1]])
    model = machines(rows, np.array([4, 4, 7, 7]), 1.0, 1)
    assert model["numbers"].tolist() == [4, 7]
    assert model["numbers"][(rows @ model["weights"].T + model["offsets"]).argmax(1)].tolist() == [4, 4, 7, 7]
    line = machines(np.array([[0.2], [0.3], [0.8], [0.9]]), np.array([0, 0, 1, 1]), 1000.0, 1)  # the offset decides
    assert (np.array([[0.4], [0.7]]) @ line["weights"].T + line["offsets"]).argmax(1).tolist() == [0, 1]
    single = machines(rows, np.array([3, 3, 3, 3]), 1.0, 1)
    assert single["numbers"].tolist() == [3] and not single["weights"].any()


def picture(label: str, number: int) -> Record:
    """A bar that is upright for a cat and lies for a dog, at a place that differs."""
    from restore_ml.arrays import text

    image = np.full((16, 16, 1), 20, np.uint8)
    bar = np.s_[:, 6 + number:9 + number] if label == "cat" else np.s_[6 + number:9 + number, :]
    image[bar] = 220
    return Record(f"{number}{label}".encode().hex().ljust(64, "0"), {"image": image, "label": text(label, 32)}, {})


PETS = ["ant", "cat", "dog"]
"""Of the first there is no picture."""


@pytest.fixture
def material(tmp_path):
    sets = {"class_sets": {"digits": PETS}}
    pictures = [picture(label, number) for label in ("cat", "dog") for number in (-3, -1, 1, 3)]
    for name, pool in TRAINING.pools(pictures, 1, sets).items():
        shards.write(tmp_path / "pools" / name / "pool.arrow", pool)
    return Material(tmp_path)


@pytest.mark.parametrize("settings_", [{}, {"features": "pixels"}, {"features": "pixels", "classifier": "neighbours"},
                                       {"classifier": "neighbours", "k": 3, "p": 1}])
def test_bars_are_told_apart(material, settings_):
    method = ClassicalClassifier({**settings_, "class_sets": ["digits"]})
    model = Model(arrays=method.prepare(material, 1))
    again = ClassicalClassifier({**settings_, "class_sets": ["digits"]}).prepare(material, 1)
    assert all(np.array_equal(value, again[name]) for name, value in model.arrays.items())
    for label, number in (("cat", 0), ("dog", 0), ("cat", 2), ("dog", -2)):
        image = np.repeat(picture(label, number).arrays["image"], 3, axis=2)
        output = restore(method, model, {"image": image, "classes": names(PETS)}, 1)
        assert output["label"].shape == () and int(output["label"]) == PETS.index(label)
        if settings_.get("k") == 3:
            assert output["probabilities"].shape == (3,) and output["probabilities"].sum() == pytest.approx(1)
            assert output["probabilities"][PETS.index(label)] >= 2 / 3 - 1e-6
        else:
            assert "probabilities" not in output


def test_margins_are_weights_times_features_plus_offsets():
    """A machine whose weights are nothing answers by its offsets."""
    method = ClassicalClassifier({"class_sets": ["digits"], "features": "pixels", "side": 2})
    arrays = {"weights": np.zeros((2, 4), np.float32), "offsets": np.array([-3, 1], np.float32),
              "numbers": np.array([2, 0]), "classes": names(PETS)}
    model = Model(arrays={f"digits.{name}": value for name, value in arrays.items()})
    inputs = {"image": np.full((2, 2, 3), 100, np.uint8), "classes": names(PETS)}
    assert int(method.restore_arrays(model, inputs, 1)["label"]) == 0
    model.arrays["digits.weights"][0, 3] = 0.05
    assert int(method.restore_arrays(model, inputs, 1)["label"]) == 2  # -3 + 5 against 1


def test_what_it_did_not_learn(material):
    method = ClassicalClassifier({"class_sets": ["digits"]})
    model = Model(arrays=method.prepare(material, 1))
    with pytest.raises(UserError, match="does not know these classes: cow, hen"):
        method.restore_arrays(model, {"image": np.zeros((16, 16, 3), np.uint8), "classes": names(["cow", "hen"])}, 1)
    assert method.unsupported("digits") is None
    assert method.unsupported("crops") == "did not learn the classes of crops"
    with pytest.raises(UserError, match="no training picture of the class set 'crops'"):
        ClassicalClassifier({}).prepare(material, 1)


def test_features():
    method = ClassicalClassifier({})
    grey = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    assert method.features_of(grey).shape == (324,) and method.features_of(grey).dtype == np.float32
    assert np.array_equal(method.features_of(np.repeat(grey, 3, 2)), method.features_of(grey))
    pixels = ClassicalClassifier({"features": "pixels", "side": 28}).features_of(grey[2:30, 2:30])
    assert np.array_equal(pixels, grey[2:30, 2:30].ravel())
