"""Cases without a truth: which pictures they take, that they have no targets, and the contract that they keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256, sha256_of_file
from restore_ml.data import shards
from restore_ml.data.ledger import Ledger
from restore_ml.data.manifest import COLUMNS
from restore_ml.data.shards import Record, Shard
from restore_ml.degrading.cases import check
from restore_ml.degrading.contracts import task_suites
from restore_ml.degrading.stage import degrade
from restore_ml.seeds import generator
from restore_ml.tasks.base import Sample

SETTINGS = {"size": 48, "cases": ["old_photo", "rain"]}


def photo(number: int, found: bool, side: int = 64) -> Record:
    image = generator("without truth", number).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    facts = {"name": f"photo{number}", "collection": "c", "group": f"g{number}", "synthetic": False,
             **({"as_found": True} if found else {})}
    return Record(sha256(image.tobytes()), {"image": image}, facts)


def prepare(root: Path, old: tuple[int, ...] = (20, 21, 22)) -> Path:
    """Training and test photographs, and the test set `old` of pictures as they were found, one of them too small."""
    folders = {"train": [photo(number, False) for number in range(3)],
               "test/set": [photo(number, False) for number in (10, 11)],
               "test/old": [photo(number, True) for number in old] + [photo(30, True, 40)]}
    for folder, records in folders.items():
        shards.write(root / "photos" / folder / "0.arrow", sorted(records, key=lambda record: record.id))
    return root


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    root = tmp_path_factory.mktemp("degraded")
    prepare(root / "prepared")
    asked = {"restoration": SETTINGS, "inpainting": {"size": 48, "pool": 2, "cases": ["half"]}}
    found = {task: degrade(registry.parts(task), root / "prepared", root / "samples" / task, 1, settings)
             for task, settings in asked.items()}
    return root, found


def test_pictures_as_found_are_of_that_case_alone_and_no_others_are(degraded):
    _, found = degraded
    assert found["restoration"].counts == {"set/old_photo": 2, "set/rain": 2, "set/as_found": 0, "old/old_photo": 0,
                                           "old/rain": 0, "old/as_found": 3}
    assert found["inpainting"].counts == {"set/half": 2, "old/half": 0}


def test_they_have_inputs_and_no_targets(degraded):
    root, _ = degraded
    samples = root / "samples/restoration"
    case = Shard(samples / "inputs/old/as_found.arrow")
    assert len(case) == 3 and not (samples / "targets/old").exists()
    assert set(case[0].arrays) == {"image", "scratches"} and not case[0].arrays["scratches"].any()
    assert {record.facts["kind"] for record in case} == {"as_found"}
    assert {record.facts["group"] for record in case} == {"g20", "g21", "g22"}
    assert sorted(path.name for path in (samples / "targets").rglob("*.arrow")) == ["old_photo.arrow", "rain.arrow"]


def test_nobody_is_told_of_pictures_that_were_not_meant_but_of_those_that_are_too_small(degraded):
    _, found = degraded
    small = photo(30, True, 40).id
    assert {name: reasons for name, reasons in found["restoration"].left_out.items() if name in ("old", "set")} == {
        "old": {small: "the shorter side is below 48 pixels"}, "set": {}}
    assert found["inpainting"].left_out["old"] == {}


def test_the_same_bytes_in_chunks_and_with_a_ledger_and_nothing_is_made_twice(degraded, tmp_path):
    root, _ = degraded
    parts = registry.parts("restoration")

    def made(out: Path) -> dict[str, str]:
        return {path.relative_to(out).as_posix(): sha256_of_file(path) for path in sorted(out.rglob("*.arrow"))}

    whole = made(root / "samples/restoration")
    ledger = Ledger(tmp_path / "ledger", "maker")
    degrade(parts, root / "prepared", tmp_path / "out", 1, SETTINGS, ledger=ledger, chunk=2)
    assert made(tmp_path / "out") == whole
    before = (tmp_path / "out/inputs/old/as_found.arrow").stat().st_mtime_ns
    degrade(parts, root / "prepared", tmp_path / "out", 1, SETTINGS, ledger=ledger, chunk=2)
    assert made(tmp_path / "out") == whole
    assert (tmp_path / "out/inputs/old/as_found.arrow").stat().st_mtime_ns == before
    prepare(tmp_path / "more", (20, 21, 22, 23))
    degrade(parts, tmp_path / "more", tmp_path / "out", 1, SETTINGS, ledger=ledger, chunk=2)
    kept = {record.id: record.arrays["image"].tobytes() for record in Shard(tmp_path / "out/inputs/old/as_found.arrow")}
    assert len(kept) == 4 and all(kept[record.id] == record.arrays["image"].tobytes()
                                  for record in Shard(root / "samples/restoration/inputs/old/as_found.arrow"))


def test_a_set_that_is_gone_takes_its_inputs_with_it(degraded, tmp_path):
    root, _ = degraded
    degrade(registry.parts("restoration"), root / "prepared", tmp_path, 1, SETTINGS)
    prepare(tmp_path / "prepared", ())
    degrade(registry.parts("restoration"), tmp_path / "prepared", tmp_path, 1, SETTINGS)
    assert not (tmp_path / "inputs/old").exists() and (tmp_path / "targets/set/rain.arrow").exists()


def test_a_sample_without_a_truth_must_not_bring_one():
    task, image = registry.task("restoration"), np.zeros((8, 8, 3), np.uint8)
    optional = registry.parts("restoration").optional
    inputs = {"image": image, "scratches": np.zeros((8, 8, 1), np.uint8)}
    check(task, Sample(inputs, {}), optional, has_truth=False)
    with pytest.raises(ValueError, match=r"target of restoration are \['image'\], not \[\]"):
        check(task, Sample(inputs, {"image": image}), optional, has_truth=False)
    with pytest.raises(ValueError, match="target"):
        check(task, Sample(inputs, {}), optional)


def suites(root: Path) -> dict:
    frame = pd.read_parquet(root / "samples/restoration/contract.parquet")
    empty = COLUMNS.empty_table().to_pandas()
    tables = {}
    for folder in ("train", "test/set", "test/old"):
        ids = [record.id for record in Shard(root / "prepared/photos" / folder / "0.arrow")]
        tables[root / "prepared/photos" / folder / "manifest.parquet"] = pd.concat([empty, pd.DataFrame({"id": ids})])
    return {suite.name: suite for suite in task_suites(registry.task("restoration"), frame, tables, root / "prepared")}


def test_the_contract_has_a_suite_for_them_and_the_others_keep_theirs(degraded):
    made = suites(degraded[0])
    assert set(made) == {"restoration_training", "restoration_tests", "restoration_as_found"}
    assert len(made["restoration_as_found"].frame) == 3 and len(made["restoration_tests"].frame) == 4
    assert set(made["restoration_as_found"].frame["arrays"]) == {"inputs.image,inputs.scratches"}
    assert made["restoration_as_found"].frame["aligned"].all() and made["restoration_tests"].frame["aligned"].all()
    told = [str(expectation) for expectation in made["restoration_as_found"].expectations]
    assert any("inputs.image,inputs.scratches" in text for text in told) and not any("target." in text for text in told)
    assert not any("RowCount" in text for text in told)  # there need be none
    assert not any("scratches.mean" in text for suite in made.values() for text in map(str, suite.expectations))


def test_nothing_is_learned_from_a_collection_as_found(tmp_path):
    from PIL import Image

    from restore_ml.data.collections import add, describe

    (tmp_path / "album").mkdir()
    Image.fromarray(photo(1, True).arrays["image"]).save(tmp_path / "album/a.png")
    with pytest.raises(UserError, match="nothing is learned"):
        add(tmp_path, "album", tmp_path / "album", role="train", as_found=True)
    add(tmp_path, "album", tmp_path / "album", as_found=True)
    assert describe(tmp_path / "data/album")["as_found"] is True
    text = (tmp_path / "data/album/collection.json").read_text()
    (tmp_path / "data/album/collection.json").write_text(text.replace('"role": "test"', '"role": "train"'))
    with pytest.raises(UserError, match="must be test"):
        describe(tmp_path / "data/album")
    (tmp_path / "data/album/collection.json").write_text(text.replace('"as_found": true', '"as_found": 3'))
    with pytest.raises(UserError, match="as_found in"):
        describe(tmp_path / "data/album")


def test_the_fact_goes_from_the_collection_to_the_prepared_picture_and_others_have_none(tmp_path):
    from PIL import Image

    from restore_ml.data.collections import add
    from restore_ml.data.prepare import prepare as prepare_stage

    for name, number in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        Image.fromarray(photo(number, True).arrays["image"]).save(tmp_path / name / "a.png")
        add(tmp_path, name, tmp_path / name, as_found=name == "old")
    prepare_stage(tmp_path / "data", tmp_path / "prepared", 1)
    facts = {name: next(iter(Shard(next((tmp_path / "prepared/photos/test" / name).glob("*.arrow"))))).facts
             for name in ("old", "new")}
    assert facts["old"]["as_found"] is True and "as_found" not in facts["new"]
