"""Partners and optional and derived inputs: drawn from seeds, the same in training and in tests."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.arrays import ArraySpec
from restore_ml.data import domains, shards
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard, Shards
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.training import degrade_training
from restore_ml.kinds import FLOAT, PICTURE, VECTOR
from restore_ml.method import Method, Model
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Cases, Material, OptionalInputs, Parts, Sample, Task, Training, no_partner
from restore_ml.training.sampler import Sampler


class Style(Task):
    name = "style"
    roles = {"content": "photos", "style": "paintings"}
    inputs = {"content": ArraySpec(PICTURE, 3), "style": ArraySpec(PICTURE, 3)}
    target = {}
    output = {"image": ArraySpec(PICTURE, 3, size_of="content")}


def both(record: Record, partner) -> Sample:
    return Sample({"content": record.arrays["image"], "style": partner("style").arrays["image"]}, {})


class StyleTraining(Training):
    task = Style()

    def records(self, pictures, seed, settings):
        yield from pictures

    def partner_records(self, role, pictures, seed, settings):
        for picture in pictures:
            yield Record(picture.id, {"image": 255 - picture.arrays["image"]})

    def sample(self, record, pools, rng, run, options, partner=no_partner):
        return both(record, partner)


class StyleCases(Cases):
    task = Style()

    def degradations(self, settings):
        return ["plain"]

    def sample(self, picture, degradation, seed, settings, partner=no_partner):
        return both(picture, partner)


class Mean(OptionalInputs):
    """The mean colour of the content: what a person might give as a palette."""

    inputs = {"colour": ArraySpec(VECTOR, 3)}

    def draw(self, name, sample, degradation, rng):
        return sample.inputs["content"].mean((0, 1), dtype=np.float32) + np.float32(rng.random())


PARTS = Parts(Style(), StyleTraining(), StyleCases(), Mean())


class Paint(Method):
    task = "style"
    paper = {"batch": 4}
    inputs = ("colour",)
    derived = {"grey": ArraySpec(FLOAT, 1, size_of="content")}

    def derive(self, inputs, target, rng):
        return {"grey": inputs["content"].mean(2, keepdims=True, dtype=np.float32)}

    def restore(self, model, inputs, seed):
        assert set(inputs) == {"content", "style", "colour", "grey"} and inputs["style"].shape[-1] == 9
        shade = inputs["grey"] / 255 + 0 * inputs["colour"].sum()
        return {"image": shade.repeat(1, 3, 1, 1)}


def picture(number: int, side: int, value: int | None = None) -> Record:
    image = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Record(f"{number:064x}", {"image": image if value is None else np.full_like(image, value)},
                  {"name": f"p{number}"})


@pytest.fixture(autouse=True)
def _paintings(monkeypatch):
    """A second kind of data, read as photographs are."""
    photos = domains.get("photos")
    monkeypatch.setattr(domains, "get", lambda name: photos)


@pytest.fixture
def prepared(tmp_path):
    for domain, numbers, side in (("photos", range(8), 40), ("paintings", range(100, 105), 9)):
        for folder, chosen in (("train", numbers), ("test/first", list(numbers)[:3])):
            shards.write(tmp_path / "prepared" / domain / folder / "0.arrow", [picture(n, side) for n in chosen])
    return tmp_path / "prepared"


def test_partners_are_drawn_from_the_other_domain_and_stay_the_same(prepared, tmp_path):
    outcome = degrade_cases(PARTS, prepared, tmp_path / "a", 1, {})
    assert outcome.counts == {"first/plain": 3}
    styles = {number: picture(number, 9).arrays["image"] for number in range(100, 103)}
    record = Shard(tmp_path / "a/inputs/first/plain.arrow")
    drawn = [next(number for number, style in styles.items() if np.array_equal(style, one.arrays["style"]))
             for one in record]
    degrade_cases(PARTS, prepared, tmp_path / "b", 1, {})
    first, second = (tmp_path / out / "inputs/first/plain.arrow" for out in "ab")
    assert first.read_bytes() == second.read_bytes()
    degrade_cases(PARTS, prepared, tmp_path / "c", 4, {})
    again = [one.arrays["style"].tobytes() for one in Shard(tmp_path / "c/inputs/first/plain.arrow")]
    assert len(drawn) == 3 and again != [styles[number].tobytes() for number in drawn]


def test_a_changed_partner_makes_the_samples_again(prepared, tmp_path):
    ledger = Ledger(tmp_path / "ledger", 1)
    degrade_cases(PARTS, prepared, tmp_path / "out", 1, {}, ledger=ledger)
    shards.write(prepared / "paintings/test/first/0.arrow", [picture(n, 9, value=7) for n in range(100, 103)])
    degrade_cases(PARTS, prepared, tmp_path / "out", 1, {}, ledger=ledger)
    assert all((one.arrays["style"] == 7).all() for one in Shard(tmp_path / "out/inputs/first/plain.arrow"))


def test_training_draws_partners_optional_and_derived_inputs(prepared, tmp_path):
    outcome = degrade_training(PARTS, prepared, tmp_path, 1, {})
    assert outcome.counts == {"content": 8, "style": 5}
    assert Shards(tmp_path / "train/roles/style").ids == [f"{number:064x}" for number in range(100, 105)]
    method = Paint({})
    sampler = Sampler(PARTS, Material(tmp_path / "train"), {"batch": 4}, 3, method=method)
    batch, same = sampler[5], Sampler(PARTS, Material(tmp_path / "train"), {"batch": 4}, 3, method=method)[5]
    assert all(np.array_equal(batch.inputs[name], same.inputs[name]) for name in batch.inputs)
    inverted = {(255 - picture(number, 9).arrays["image"]).tobytes() for number in range(100, 105)}
    assert {style.tobytes() for style in batch.inputs["style"]} <= inverted
    assert np.array_equal(batch.inputs["grey"], batch.inputs["content"].mean(-1, keepdims=True, dtype=np.float32))
    ready = sampler.floats(batch, torch.device("cpu"))
    assert ready.inputs["colour"].shape == (4, 3) and ready.inputs["grey"].shape == (4, 1, 40, 40)
    plain = Sampler(PARTS, Material(tmp_path / "train"), {"batch": 4}, 3)[5]
    assert set(plain.inputs) == {"content", "style"}
    assert all(np.array_equal(plain.inputs[name], batch.inputs[name]) for name in plain.inputs)


def test_a_picture_may_play_no_part_in_a_role(prepared, tmp_path):
    """Where it is alone in its shard there is no file, also when the shard is made anew beside another picture."""
    class Odd(StyleTraining):
        def partner_records(self, role, pictures, seed, settings):
            yield from (picture for picture in pictures if int(picture.id, 16) % 2)

    parts, ledger = Parts(Style(), Odd(), StyleCases(), Mean()), Ledger(tmp_path / "ledger", 1)
    folder = prepared / "paintings/train"
    shards.write(folder / "0.arrow", [picture(100, 9)])
    for paintings, expected in (([100], 0), ([100, 102], 0), ([100, 101, 102], 1), ([100, 103], 1)):
        shards.write(folder / "0.arrow", [picture(number, 9) for number in paintings])
        assert degrade_training(parts, prepared, tmp_path, 1, {}, ledger=ledger).counts["style"] == expected
    assert Shards(tmp_path / "train/roles/style").ids == [f"{103:064x}"]


def test_restoring_gives_a_method_what_it_names_and_derives(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "task", lambda name: Style())
    monkeypatch.setattr(registry, "parts", lambda name: PARTS)
    degrade_cases(PARTS, prepared, tmp_path, 1, {})
    inputs = Shard(tmp_path / "inputs/first/plain.arrow")[0].arrays
    assert set(inputs) == {"content", "style", "colour"}
    method = Paint({})
    whole = restore(method, Model(), inputs, 1)["image"]
    assert np.abs(whole[..., 0] - inputs["content"].mean(2)).max() <= 0.5 + 1e-4
    method.tile, method.overlap = 24, 8  # the style picture, of another size, stays whole in every tile
    assert np.array_equal(restore(method, Model(), inputs, 1)["image"], whole)
