"""The degrade stage on small prepared folders: files, facts, independence of pictures, memory, contract."""

import os
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from restore_ml import registry
from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256, sha256_of_file
from restore_ml.data import shards
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard, Shards
from restore_ml.degradations.clouds import scene
from restore_ml.degrading.cases import CHUNKS, degrade_cases
from restore_ml.degrading.contract_table import write_contract
from restore_ml.degrading.stage import degrade
from restore_ml.degrading.training import degrade_training
from restore_ml.kinds import FLOAT
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Parts, Sample, Task, Training, no_partner

SETTINGS = {"size": 48, "pool": 2, "cases": ["centre", "irregular_3", "watermark"]}


def photo(number: int, side: int = 64) -> Record:
    image = generator("degrading", number).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    facts = {"name": f"photo{number}", "collection": "c", "group": f"g{number // 2}", "synthetic": False}
    return Record(sha256(image.tobytes()), {"image": image}, facts)


def prepare(root, training, test, small=()):
    """prepared/photos with training pictures by number, the test set `set`, and `tiny` with too small pictures."""
    for folder, numbers, side in (("train", training, 64), ("test/set", test, 64), ("test/tiny", small, 40)):
        records = [photo(number, side) for number in numbers]
        shards.write(root / "photos" / folder / "0.arrow", sorted(records, key=lambda record: record.id))
    return root


def hashes(folder):
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in sorted(folder.rglob("*.arrow"))}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory):
    root = tmp_path_factory.mktemp("degraded")
    prepare(root / "prepared", range(6), range(10, 13), [20])
    out = root / "samples" / "inpainting"
    told = []
    outcome = degrade(registry.parts("inpainting"), root / "prepared", out, 1, SETTINGS, lambda *row: told.append(row))
    return root, out, outcome, told


def test_every_case_with_pictures_has_inputs_and_targets_with_the_same_ids_and_facts(degraded):
    _, out, outcome, _ = degraded
    cases = ["set/centre", "set/irregular_3", "set/watermark"]
    assert outcome.counts == {**dict.fromkeys(cases, 3), "tiny/centre": 0, "tiny/irregular_3": 0, "tiny/watermark": 0}
    assert outcome.left_out == {"set": {}, "tiny": {photo(20, 40).id: "the shorter side is below 48 pixels"}}
    assert not (out / "inputs" / "tiny").exists()
    for case in cases:
        inputs, targets = Shard(out / "inputs" / f"{case}.arrow"), Shard(out / "targets" / f"{case}.arrow")
        assert [record.id for record in inputs] == sorted(photo(number).id for number in range(10, 13))
        for given, truth in zip(inputs, targets, strict=True):
            assert given.id == truth.id and given.facts == truth.facts
            assert set(given.arrays) == {"image", "mask"} and set(truth.arrays) == {"image"}
            assert {"name", "collection", "group", "synthetic", "hole_ratio"} <= set(given.facts)
            known = given.arrays["mask"][..., 0] == 0
            assert np.array_equal(given.arrays["image"][known], truth.arrays["image"][known])


def test_training_shards_are_cut_by_prefix_and_progress_is_told(degraded):
    _, out, _, told = degraded
    records = Shards(out / "train")
    assert records.ids == sorted(photo(number).id for number in range(6))
    for path in (out / "train").glob("*.arrow"):
        assert all(record.id.startswith(path.stem) for record in Shard(path))
    assert [row for row in told if row[0] == "training pictures"][-1][1:] == (6, 6)
    assert [row for row in told if row[0] == "test cases"][-1][1:] == (6, 6)
    assert len(Shards(out / "train" / "pools" / "masks")) > 0


def test_the_table_of_the_contract(degraded):
    _, out, outcome, _ = degraded
    cases = [case for case, count in outcome.counts.items() if count]
    table = pd.read_parquet(out / "contract.parquet")
    assert table.split.value_counts().to_dict() == {
        "test": 9, "train": 6, "pool": len(Shards(out / "train" / "pools" / "masks"))}
    test = table[table.split == "test"]
    assert sorted(test.case.unique()) == cases and test.finite.all()
    assert (test["inputs.image.height"] == 48).all() and (test["target.image.width"] == 48).all()
    assert (test["inputs.image.dtype"] == "uint8").all() and (test["inputs.mask.max"] == 1).all()
    assert test.arrays.unique().tolist() == ["inputs.image,inputs.mask,target.image"]
    for case in cases:
        for record in Shard(out / "inputs" / f"{case}.arrow"):
            row = test[(test.case == case) & (test.id == record.id)].iloc[0]
            assert row["inputs.mask.mean"] == record.arrays["mask"].mean()
            assert row["inputs.image.max"] == record.arrays["image"].max() and row.kind == case.split("/")[1]
    train = table[table.split == "train"]
    assert train["inputs.mask.mean"].isna().all() and (train["record.image.channels"] == 3).all()
    assert train["inputs.image.min"].isna().all() and set(train.name) == {f"photo{number}" for number in range(6)}


def test_all_again_gives_the_same_bytes(degraded, tmp_path):
    root, out, cases, _ = degraded
    again = degrade(registry.parts("inpainting"), root / "prepared", tmp_path, 1, SETTINGS)
    assert again == cases and hashes(tmp_path) == hashes(out)
    assert sha256_of_file(tmp_path / "contract.parquet") == sha256_of_file(out / "contract.parquet")
    # A second run into the same folder leaves nothing of the first.
    half = {**SETTINGS, "cases": ["half"]}
    degrade_cases(registry.parts("inpainting"), root / "prepared", tmp_path, 1, half)
    assert [path.name for path in (tmp_path / "inputs").rglob("*.arrow")] == ["half.arrow"]


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_the_bytes_do_not_depend_on_how_the_pictures_are_cut(degraded, tmp_path, chunk):
    """The mapper works from the last item to the first; the contract is cut by CHUNK, so it is set too."""
    def backwards(function, items):
        return reversed([function(item) for item in reversed(list(items))])

    root, out, cases, _ = degraded
    again = degrade(registry.parts("inpainting"), root / "prepared", tmp_path, 1, SETTINGS, mapper=backwards,
                              chunk=chunk)
    assert again == cases and hashes(tmp_path) == hashes(out)
    assert sha256_of_file(tmp_path / "contract.parquet") == sha256_of_file(out / "contract.parquet")
    assert not (tmp_path / CHUNKS).exists()


def test_a_chunk_without_accepted_pictures_leaves_a_gap_and_no_file(tmp_path):
    prepare(tmp_path / "prepared", [0], [10, 11, 12])
    parts = doubling()
    parts.task.accepts = lambda picture, settings: "too dark" if picture.mean() < 127.5 else None
    for chunk in (1, 64):
        degrade_cases(parts, tmp_path / "prepared", tmp_path / f"out{chunk}", 1, {"right": True}, chunk=chunk)
    assert hashes(tmp_path / "out1") == hashes(tmp_path / "out64")


def test_another_seed_gives_other_masks(degraded, tmp_path):
    root, out, _, _ = degraded
    degrade_cases(registry.parts("inpainting"), root / "prepared", tmp_path, 2, SETTINGS)
    for part, name, equal in (("inputs", "mask", False), ("targets", "image", True)):
        pairs = zip(Shard(tmp_path / part / "set/irregular_3.arrow"), Shard(out / part / "set/irregular_3.arrow"),
                    strict=True)
        assert all(np.array_equal(new.arrays[name], old.arrays[name]) == equal for new, old in pairs)


def test_a_picture_more_changes_no_other_sample(degraded, tmp_path):
    _, out, _, _ = degraded
    prepare(tmp_path / "prepared", range(7), range(10, 14))
    more = tmp_path / "samples"
    degrade(registry.parts("inpainting"), tmp_path / "prepared", more, 1, SETTINGS)
    before, after = hashes(out / "train"), hashes(more / "train")
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {f"{photo(6).id[:2]}.arrow"} and set(before) <= set(after)
    old = {record.id: record for record in Shard(out / "inputs/set/irregular_3.arrow")}
    new = {record.id: record for record in Shard(more / "inputs/set/irregular_3.arrow")}
    assert set(new) == {*old, photo(13).id}
    for key, record in old.items():
        assert all(np.array_equal(new[key].arrays[name], record.arrays[name]) for name in ("image", "mask"))


def test_scenes_are_degraded_from_their_own_domain(tmp_path):
    def record(index):
        return Record(f"{index:064x}", scene(1, index, 48), {"name": f"s{index}", "synthetic": True})

    shards.write(tmp_path / "prepared/scenes/train/0.arrow", [record(0), record(1)])
    shards.write(tmp_path / "prepared/scenes/test/scenes/0.arrow", [record(2)])
    outcome = degrade(registry.parts("cloud_removal"), tmp_path / "prepared", tmp_path / "out", 1,
                      {"size": 48, "pool": 1})
    four = [f"scenes/{name}" for name in ("cloud_10", "cloud_20", "cloud_40", "stripes")]
    others = ["scenes/cloud_20_all_bands", "scenes/as_found"]
    assert outcome.counts == {**dict.fromkeys(four, 1), **dict.fromkeys(others, 0)}
    table = pd.read_parquet(tmp_path / "out" / "contract.parquet")
    test = table[table.split == "test"]
    assert test.synthetic.all() and (test["target.truth.max"] <= 1).all() and (test["target.truth.channels"] == 4).all()


def test_no_training_folder_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="dvc repro prepare"):
        degrade_training(registry.parts("inpainting"), tmp_path, tmp_path / "out", 1, SETTINGS)


def test_a_case_without_accepted_pictures_writes_nothing(tmp_path):
    prepare(tmp_path / "prepared", [0], [], [20, 21])
    outcome = degrade_cases(registry.parts("inpainting"), tmp_path / "prepared", tmp_path / "out", 1, SETTINGS)
    assert set(outcome.counts.values()) == {0} and len(outcome.left_out["tiny"]) == 2
    assert not list((tmp_path / "out").rglob("*.arrow"))


class Doubling(Task):
    """A task whose samples are large and made on the spot."""

    name = "doubling"
    inputs = {"x": ArraySpec(FLOAT, 1)}
    target = {"y": ArraySpec(FLOAT, 1, size_of="x")}


class DoublingCases(Cases):
    task = Doubling()

    def degradations(self, settings):
        return ["twice"]

    def sample(self, picture, degradation, seed, settings, partner=no_partner):
        x = np.full((256, 256, 1), float(picture.arrays["image"].mean()), np.float32)
        truths = {True: 2 * x, False: 2 * x.astype(np.float64), "half": x[:128]}
        return Sample({"x": x}, {"y": truths[settings["right"]]})


class DoublingTraining(Training):
    task = Doubling()

    def records(self, pictures, seed, settings):
        for picture in pictures:
            yield Record(picture.id, {"x": np.zeros((256, 256, 1), np.float32)}, picture.facts)

    def sample(self, record, pools, rng, run, options, partner=no_partner):
        raise NotImplementedError


def doubling() -> Parts:
    return Parts(Doubling(), DoublingTraining(), DoublingCases())


class Few(DoublingCases):
    defaults = {"most": 0}


def ids(root, out="out"):
    return [record.id for record in Shard(root / out / "inputs/set/twice.arrow")]


def test_so_many_pictures_as_are_asked_for_and_each_photograph_before_any_twice(tmp_path):
    """Six photographs of two tiles each, one of them too dark: five once, then those of the first ids twice."""
    prepare(tmp_path / "prepared", [0], range(12))
    parts = Parts(Doubling(), DoublingTraining(), Few())
    dark = photo(4).id
    shown = photo(4).arrays["image"]
    parts.task.accepts = lambda picture, settings: "too dark" if np.array_equal(picture, shown) else None
    everyone = sorted((photo(number).id, number // 2) for number in range(12) if number != 4)
    firsts = {group: min(key for key, other in everyone if other == group) for _, group in everyone}
    seconds = sorted({key for key, _ in everyone} - {*firsts.values()})
    for most, wanted in ((0, [key for key, _ in everyone]), (4, sorted(firsts.values())[:4]),
                         (8, sorted([*firsts.values(), *seconds[:2]])), (50, [key for key, _ in everyone])):
        found = degrade_cases(parts, tmp_path / "prepared", tmp_path / "out", 1, {"right": True, "most": most})
        assert ids(tmp_path) == wanted and found.counts["set/twice"] == len(wanted)
        reasons = found.left_out["set"]
        assert reasons.pop(dark) == "too dark" and set(reasons) == {key for key, _ in everyone} - {*wanted}
        assert set(reasons.values()) <= {
            f"not among the {most} pictures of a test set that the setting `most` asks for"}


def test_what_is_asked_for_later_is_made_and_what_is_no_more_goes(tmp_path):
    """With a ledger that remembers what lay there; the same bytes as of a first run."""
    prepare(tmp_path / "prepared", [0], range(12))
    parts, ledger = Parts(Doubling(), DoublingTraining(), Few()), Ledger(tmp_path / "ledger", "m")
    for most in (3, 9, 5):
        for out, memory in (("out", ledger), (f"new{most}", None)):
            degrade_cases(parts, tmp_path / "prepared", tmp_path / out, 1, {"right": True, "most": most},
                          ledger=memory, chunk=5)
        assert len(ids(tmp_path)) == most and hashes(tmp_path / "out") == hashes(tmp_path / f"new{most}")


def test_memory_stays_flat(tmp_path):
    """Sixty samples of half a megabyte: never more than a few at once."""
    prepare(tmp_path / "prepared", range(60), range(60))
    tracemalloc.start()
    degrade(doubling(), tmp_path / "prepared", tmp_path / "out", 1, {"right": True})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(Shard(tmp_path / "out/targets/set/twice.arrow")) == 60
    assert peak < 12 * 2**20


def test_a_sample_that_breaks_the_tasks_own_contract_is_refused_and_leaves_no_file(tmp_path):
    prepare(tmp_path / "prepared", [0], [1])
    for wrong, sentence in ((False, "'y' of doubling cannot be: it is float64"), ("half", "'x' asks for .256, 256.")):
        with pytest.raises(ValueError, match=sentence):
            degrade_cases(doubling(), tmp_path / "prepared", tmp_path / "out", 1, {"right": wrong})
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_files_written_together_appear_together_or_not_at_all(tmp_path):
    def rows():
        yield Record("a", {"x": np.zeros(1, np.uint8)}), Record("a", {"x": np.ones(1, np.uint8)})
        raise OSError("the cable is out")

    with pytest.raises(OSError, match="cable"):
        shards.write_together([tmp_path / "one.arrow", tmp_path / "two.arrow"], rows())
    assert not list(tmp_path.iterdir())


ROUNDS = [([0, 1, 2, 3], [10, 11, 12]), ([0, 1, 2, 3], [10, 11, 12]), ([0, 1, 2, 3, 4], [10, 11, 12]),
          ([0, 2, 4], [10, 11, 12, 13, 14]), ([0, 2, 4], [13]), ([5], [20])]
"""Training and test pictures: the same again, one more, some fewer and more, fewer, quite others."""


def write_prepared(root, training, test):
    """As the stage prepare writes them: by prefix, and a shard that stays the same is not touched."""
    for folder, numbers in (("train", training), ("test/set", test)):
        place = root / "photos" / folder
        groups = {}
        for number in numbers:
            groups.setdefault(photo(number).id[:1], []).append(photo(number))  # some shards hold several
        for path in place.glob("*.arrow"):
            if path.stem not in groups:
                path.unlink()
        for prefix, members in groups.items():
            path = place / f"{prefix}.arrow"
            records = sorted(members, key=lambda record: record.id)
            if not path.exists() or [record.id for record in Shard(path)] != [record.id for record in records]:
                shards.write(path, records)


@pytest.mark.parametrize(("name", "chunk"), [("inpainting", 64), ("inpainting", 2), ("colorization", 64),
                                             ("super_resolution", 1)])
def test_a_ledger_saves_work_and_changes_no_byte(tmp_path, monkeypatch, name, chunk):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    settings = {"inpainting": {"size": 48, "pool": 1, "cases": ["centre", "strokes"]}, "colorization": {"size": 32},
                "super_resolution": {"scales": [2], "variants": ["x2_noise"]}}[name]
    parts, out = registry.parts(name), tmp_path / "with"
    degraded = []
    real, record = type(parts.cases).sample, type(parts.training).records
    monkeypatch.setattr(type(parts.cases), "sample", lambda self, picture, *rest: (
        degraded.append(picture.id), real(self, picture, *rest))[1])
    monkeypatch.setattr(type(parts.training), "records", lambda self, pictures, *rest: (
        degraded.extend(picture.id for picture in pictures), record(self, pictures, *rest))[1])
    seen = set()
    for number, (training, test) in enumerate(ROUNDS):
        write_prepared(tmp_path / "prepared", training, test)
        degraded.clear()
        known, rows = Ledger(tmp_path / "ledger", name), Ledger(tmp_path / "rows", name)
        degrade_training(parts, tmp_path / "prepared", out, 1, settings, ledger=known)
        cases = degrade_cases(parts, tmp_path / "prepared", out, 1, settings, chunk=chunk, ledger=known)
        write_contract(out, ledger=rows)
        here = {photo(one).id for one in (*training, *test)}
        assert set(degraded) == here - seen
        seen = here
        afresh = tmp_path / f"without{number}"
        assert degrade(parts, tmp_path / "prepared", afresh, 1, settings) == cases
        assert hashes(out) == hashes(afresh)
        assert sha256_of_file(out / "contract.parquet") == sha256_of_file(afresh / "contract.parquet")


def test_samples_that_somebody_has_touched_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    write_prepared(tmp_path / "prepared", [0, 1], [10])
    parts, out = registry.parts("inpainting"), tmp_path / "out"
    made = []
    for harm in (None, "inputs/set/centre.arrow", "targets/set/centre.arrow", "train/pools/masks/pool.arrow",
                 f"train/{photo(0).id[:2]}.arrow"):
        if harm:
            (out / harm).write_bytes((out / harm).read_bytes()[:-9] + b"otherwise")
            (out / "inputs/set/.centre.arrow.killed").write_bytes(b"left behind")
        degrade(parts, tmp_path / "prepared", out, 1, {"size": 48, "pool": 1, "cases": ["centre"]},
                          ledger=Ledger(tmp_path / "ledger", 1))
        made.append(hashes(out))
        assert not (out / "inputs/set/.centre.arrow.killed").exists()
    assert made == [made[0]] * 5


def test_a_training_shard_of_which_nothing_is_taken_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    write_prepared(tmp_path / "prepared", [0, 1, 2], [])
    parts, known = doubling(), Ledger(tmp_path / "ledger", 1)
    monkeypatch.setattr(Doubling, "accepts", lambda self, picture, settings: asked.append(1) or "never")
    asked = []
    for calls in (3, 3):
        outcome = degrade_training(parts, tmp_path / "prepared", tmp_path / "out", 1, {}, ledger=known)
        assert outcome.counts == {"picture": 0} and set(outcome.left_out["picture"].values()) == {"never"}
        assert hashes(tmp_path / "out") == {} and len(asked) == calls
