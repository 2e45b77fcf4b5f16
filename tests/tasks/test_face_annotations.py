"""What is known of training faces beside attributes: landmarks and parsing, cut, resized and mirrored with the face."""

import numpy as np

from restore_ml import registry
from restore_ml.data.domains.faces import PARSING
from restore_ml.data.shards import Record
from restore_ml.tasks.face_super_resolution import annotations
from tests.tasks.test_face_super_resolution import picture

TRAINING = registry.parts("face_super_resolution").training


def annotated() -> Record:
    """A face of 112 x 92 with landmarks, six of them, and with a parsing map."""
    record = picture(channels=3)
    points = np.array([[30, 40], [60, 44], [45, 60.25], [33, 80], [58, 2], [1, 1]], np.float32)
    labels = (np.add.outer(np.arange(112) // 7, np.arange(92) // 5) % 9).astype(np.uint8)[..., None]
    return Record(record.id, record.arrays | {"landmarks": points, "parsing": labels}, record.facts)


def test_a_record_s_annotations_lie_in_the_face_that_was_cut_and_resized():
    """Ten rows above the square are gone, 92 pixels are 64: a landmark on the edge between two pixels stays there."""
    record = annotated()
    made = next(iter(TRAINING.records([record], 1, {}))).arrays
    assert set(made) == {"hr", "attributes", "landmarks", "parsing"} and made["landmarks"].dtype == np.float32
    by_hand = [[(x + 0.5) * 64 / 92 - 0.5, (y - 10 + 0.5) * 64 / 92 - 0.5]
               for x, y in [(30, 40), (60, 44), (45, 60.25), (33, 80), (58, 2)]]
    np.testing.assert_allclose(made["landmarks"], by_hand, rtol=1e-6)
    nearest = [int((number + 0.5) * 92 / 64) for number in range(64)]
    assert np.array_equal(made["parsing"], record.arrays["parsing"][10:102][nearest][:, nearest])
    wide = Record("0" * 64, {name: value.transpose(1, 0, 2) for name, value in record.arrays.items()
                             if name != "landmarks"} | {"landmarks": record.arrays["landmarks"][:, ::-1]}, {})
    turned = next(iter(TRAINING.records([wide], 1, {}))).arrays
    np.testing.assert_allclose(turned["landmarks"], np.array(by_hand)[:, ::-1], rtol=1e-6)
    assert np.array_equal(turned["parsing"], made["parsing"].transpose(1, 0, 2))
    for points in (None, record.arrays["landmarks"][:4]):
        few = picture(channels=3)
        few.arrays.update({} if points is None else {"landmarks": points})
        assert set(next(iter(TRAINING.records([few], 1, {}))).arrays) == {"hr", "attributes"}


def test_a_mirrored_face_has_its_landmarks_and_its_parsing_mirrored():
    record = next(iter(TRAINING.records([annotated()], 1, {})))
    seen = set()
    for seed in range(8):
        truth = TRAINING.sample(record, {}, np.random.default_rng(seed), {"patch": 64}, {}).target
        mirrored = not np.array_equal(truth["hr"], record.arrays["hr"])
        seen.add(mirrored)
        points = record.arrays["landmarks"]
        if mirrored:
            points = (np.array([63, 0]) + np.array([-1, 1]) * points)[[1, 0, 2, 4, 3]]
        np.testing.assert_allclose(truth["landmarks"], points, atol=1e-5)
        assert np.array_equal(truth["parsing"], record.arrays["parsing"][:, ::-1 if mirrored else 1])
    assert seen == {True, False}


def test_annotations_change_nothing_else_of_a_sample():
    plain, told = (next(iter(TRAINING.records([record], 1, {}))) for record in (picture(channels=3), annotated()))
    for seed in range(6):
        run = {"patch": 64, "kinds": ["plain", "noise", "blur_noise"]}
        first, second = (TRAINING.sample(record, {}, np.random.default_rng(seed), run, {}) for record in (plain, told))
        assert np.array_equal(first.inputs["lr"], second.inputs["lr"])
        assert np.array_equal(first.target["hr"], second.target["hr"])
        assert set(second.target) - set(first.target) == {"landmarks", "parsing"}


def test_what_a_method_learns_from_says_what_is_known():
    assert len(PARSING) == annotations.PARTS and annotations.learned(None) == {}
    record = next(iter(TRAINING.records([annotated()], 1, {})))
    truth = TRAINING.sample(record, {}, np.random.default_rng(0), {"patch": 64}, {}).target
    told = annotations.learned(truth)
    assert told["landmarks"] is truth["landmarks"] and told["parsing"] is truth["parsing"]
    assert told["annotated"].tolist() == [1, 1]
    assert annotations.learned({"hr": truth["hr"], "parsing": truth["parsing"]})["annotated"].tolist() == [0, 1]
    unknown = annotations.learned({"hr": truth["hr"]})
    assert set(unknown) == set(annotations.LEARNED) and not any(value.any() for value in unknown.values())
    for name, spec in annotations.LEARNED.items():
        assert spec.problem(told[name]) is None and spec.problem(unknown[name]) is None
        assert told[name].shape == unknown[name].shape
