"""The task face_identity: whose face a record is, and what training sees of it."""

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.data.shards import Record
from restore_ml.tasks.face_identity.training import LEAST

PARTS = registry.parts("face_identity")
TASK, TRAINING = PARTS.task, PARTS.training


def face(number: int, group: str | None, channels: int = 1) -> Record:
    image = np.random.default_rng(number).integers(0, 256, (48, 40, channels), dtype=np.uint8)
    return Record(f"{number:064x}", {"image": image}, {"group": group, "name": str(number)})


def test_a_person_has_one_number_whatever_else_there_is():
    records = [face(0, "anna"), face(1, "ben"), face(2, "anna"), face(3, None), face(4, None)]
    numbers = [int(record.arrays["person"]) for record in TRAINING.records(records, 1, {})]
    assert numbers[0] == numbers[2] and len(set(numbers)) == 4, "one without a person stands for itself"
    assert int(next(iter(TRAINING.records([face(9, "anna")], 5, {}))).arrays["person"]) == numbers[0]
    assert all(0 <= number < 2**31 for number in numbers)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_sees_about_the_whole_face(channels):
    record = next(iter(TRAINING.records([face(0, "anna", channels)], 1, {})))
    middle = face(0, "anna", channels).arrays["image"][4:44]
    assert np.array_equal(record.arrays["image"], middle)
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (100, 100, channels)).copy()
    spans = []
    for seed in range(60):
        sample = TRAINING.sample(Record("a", {"image": ramp, "person": record.arrays["person"]}), {},
                                 np.random.default_rng(seed), {"patch": 32}, {})
        assert np.array_equal(sample.inputs["image"], sample.target["image"])
        assert int(sample.target["person"]) == int(record.arrays["person"])
        for name, spec in TASK.arrays.items():
            assert spec.problem({**sample.target, **sample.inputs}[name]) is None
        row = sample.inputs["image"][5, :, 0].astype(int)
        spans.append((row[-1] - row[0]) / 100 * 32 / 31)
    assert min(map(abs, spans)) > LEAST - 0.04 and max(map(abs, spans)) <= 1.02
    assert 10 < sum(span < 0 for span in spans) < 50, "mirrored half the time"


def test_what_is_no_face_to_learn_from():
    assert TASK.accepts(np.zeros((40, 40, 2), np.uint8), {}) == "2 channels"
    assert TASK.accepts(np.zeros((31, 40, 1), np.uint8), {}) == "a side is below 32 pixels"
    assert TASK.accepts(np.zeros((32, 40, 3), np.uint8), {}) is None and PARTS.cases is None and not TASK.output
