"""Contracts: they hold on real samples, and each kind of poison is refused by name before anything is trained."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.data.collections import add
from restore_ml.data.prepare import prepare
from restore_ml.degrading.contracts import validate
from restore_ml.degrading.stage import degrade
from restore_ml.registry import parts
from tests.embedded_pictures import lay_out_photos_and_scenes

TASKS = ["super_resolution", "inpainting", "representation"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("contracts")
    lay_out_photos_and_scenes(root)
    for name in ("scenes", "scenes_train"):
        shutil.rmtree(root / "data" / name)
    keep(root / "data/photos", ("chelsea", "camera"))
    keep(root / "data/photos_train", ("text", "page", "grace", "coins"))
    build(root)
    return root


def keep(folder: Path, beginnings: tuple[str, ...]) -> None:
    """Fewer pictures: the tests are about the tables."""
    about = json.loads((folder / "collection.json").read_text())
    for name in [name for name in about["pictures"] if not name.startswith(beginnings)]:
        (folder / "pictures" / name).unlink()
        del about["pictures"][name]
    (folder / "collection.json").write_text(json.dumps(about))


def build(root: Path) -> None:
    prepare(root / "data", root / "prepared", 1)
    for name in TASKS:
        small = {"scales": [2]} if name == "super_resolution" else {"size": 64}
        degrade(parts(name), root / "prepared", root / "samples" / name, 1, small if name != "representation" else {})


def check(root: Path, tasks: list[str] = TASKS) -> dict[str, bool]:
    return validate(root / "prepared", root / "samples", tasks, root / "validation", root / "docs")


def test_the_contract_holds_and_its_file_is_steady(project, tmp_path):
    assert check(project) == dict.fromkeys(TASKS, True)
    files = {name: (project / f"validation/{name}.json").read_bytes() for name in TASKS}
    content = json.loads(files["inpainting"])
    assert content["success"] is True and sorted(content["suites"]) == [
        "inpainting_tests", "inpainting_training", "photos_disjoint", "photos_learn", "photos_test", "quarantine"]
    assert "representation_tests" not in json.loads(files["representation"])["suites"]
    assert (project / "docs/index.html").is_file() and "inpainting_tests" in (project / "docs/index.html").read_text()
    # more pictures, another test set and a refused file change no byte of it
    shutil.copytree(project / "data", tmp_path / "data")
    rng = np.random.default_rng(1)
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (160, 150, 3), dtype=np.uint8)).save(tmp_path / f"in/{number}.png")
    (tmp_path / "in/bad.png").write_bytes(b"")
    add(tmp_path, "more", tmp_path / "in", role="test")
    build(tmp_path)
    assert check(tmp_path) == dict.fromkeys(TASKS, True)
    assert {name: (tmp_path / f"validation/{name}.json").read_bytes() for name in TASKS} == files


def edit(path: Path, change) -> None:
    frame = pd.read_parquet(path)
    changed = change(frame)
    (frame if changed is None else changed).to_parquet(path)


def put(column, value, row=0):
    def change(frame):
        frame.loc[row, column] = value
    return change


LEARN, TEST = "prepared/photos/train/manifest.parquet", "prepared/photos/test/photos/manifest.parquet"
SAMPLES = "samples/inpainting/contract.parquet"


def first_id(frame: pd.DataFrame) -> None:
    frame.loc[1, "id"] = frame.loc[0, "id"]


POISON = {
    "two rows of one picture": (LEARN, first_id, "photos_learn: ColumnValuesToBeUnique(column='id')"),
    "no licence": (LEARN, put("licence", ""), "photos_learn: ColumnValuesToMatchRegex(column='licence'"),
    "missing licence": (TEST, put("licence", None), "photos_test: ColumnValuesToNotBeNull(column='licence')"),
    "no hash": (LEARN, put("id", "abc"), "photos_learn: ColumnValuesToMatchRegex(column='id'"),
    "too small": (TEST, put("height", 3), "photos_test: ColumnValuesToBeBetween(column='height'"),
    "four channels": (LEARN, put("channels", 4), "photos_learn: ColumnValuesToBeInSet(column='channels'"),
    "float pixels": (LEARN, put("dtype", "float32"), "photos_learn: ColumnValuesToBeInSet(column='dtype'"),
    "text for a number": (LEARN, lambda frame: frame.astype({"width": "str"}),
                          "photos_learn: ColumnValuesToBeOfType(column='width'"),
    "a column is gone": (LEARN, lambda frame: frame.drop(columns="group"),
                         "photos_learn: ColumnValuesToNotBeNull(column='group')"),
    "a column too many": (TEST, lambda frame: frame.assign(truth=1), "photos_test: TableColumnsToMatchOrderedList"),
    "no test picture": (TEST, lambda frame: frame.iloc[:0], "photos_test: TableRowCountToBeBetween"),
    "a wrong split": (LEARN, put("split", "test"), "photos_learn: ColumnDistinctValuesToEqualSet"),
    "a reason is missing": ("prepared/quarantine.parquet", lambda frame: pd.DataFrame(
        [{"path": "x", "collection": "x", "split": "", "id": "", "reason": ""}]),
        "quarantine: ColumnValuesToMatchRegex(column='reason'"),
    "NaN in a sample": (SAMPLES, put("finite", False), "inpainting_tests: ColumnValuesToBeInSet(column='finite'"),
    "an empty hole": (SAMPLES, put("inputs.mask.mean", 0.0),
                      "inpainting_tests: ColumnValuesToBeBetween(column='inputs.mask.mean'"),
    "a mask of 255": (SAMPLES, put("inputs.mask.max", 255.0),
                      "inpainting_tests: ColumnValuesToBeBetween(column='inputs.mask.max'"),
    "another size": (SAMPLES, put("inputs.mask.height", 63),
                     "inpainting_tests: ColumnValuesToBeInSet(column='aligned'"),
    "the truth as an input": (SAMPLES, put("arrays", "inputs.image,inputs.mask,inputs.truth,target.image"),
                              "inpainting_tests: ColumnValuesToBeInSet(column='arrays'"),
    "not in the manifest": (SAMPLES, put("id", "f" * 64), "inpainting_tests: ColumnValuesToBeInSet(column='origin'"),
    "wrong dtype": (SAMPLES, put("target.image.dtype", "float32"),
                    "inpainting_tests: ColumnValuesToBeInSet(column='target.image.dtype'"),
    "no training material": (SAMPLES, lambda frame: frame[frame["split"] == "test"],
                             "inpainting_training: ColumnDistinctValuesToContainSet(column='split'"),
    "an array is gone": (SAMPLES, lambda frame: frame.drop(columns="inputs.mask.dtype"),
                         "inpainting_tests: ColumnValuesToNotBeNull(column='inputs.mask.dtype'"),
    "no split at all": (SAMPLES, lambda frame: frame.drop(columns="split"),
                        "inpainting_training: ColumnValuesToNotBeNull(column='split')"),
}

# several kinds at once where they do not hide one another (and the sentence shows ten failures): a run takes seconds
GROUPS = [["two rows of one picture", "missing licence", "too small", "NaN in a sample", "an empty hole",
           "a mask of 255"],
          ["no licence", "no hash", "four channels", "float pixels", "another size", "the truth as an input"],
          ["text for a number", "a column too many", "a reason is missing", "wrong dtype"],
          ["a column is gone", "no test picture", "not in the manifest"],
          ["a wrong split", "no training material", "an array is gone"], ["no split at all"]]


def test_every_kind_is_tried():
    assert sorted(kind for kinds in GROUPS for kind in kinds) == sorted(POISON)


@pytest.fixture
def poisoned(project, tmp_path) -> Path:
    for name in ("prepared", "samples"):
        shutil.copytree(project / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("kinds", GROUPS, ids=lambda kinds: f"{kinds[0]}...")
def test_poison_is_refused(poisoned, kinds):
    for kind in kinds:
        edit(poisoned / POISON[kind][0], POISON[kind][1])
    (poisoned / "validation").mkdir()
    (poisoned / "validation/inpainting.json").write_text("old")
    with pytest.raises(UserError, match="nothing is trained") as error:
        check(poisoned, ["inpainting"])
    assert [kind for kind in kinds if POISON[kind][2] not in str(error.value)] == []
    assert not (poisoned / "validation/inpainting.json").exists() and (poisoned / "docs/index.html").is_file()


def test_the_sentence_names_the_rows(poisoned):
    edit(poisoned / LEARN, put("licence", " "))
    path = pd.read_parquet(poisoned / LEARN).loc[0, "path"]
    with pytest.raises(UserError) as error:
        check(poisoned, ["inpainting"])
    assert f"1 rows fail: {path} (' ')" in str(error.value) and "index.html" in str(error.value)


def test_one_broken_task_leaves_the_files_of_the_others(poisoned):
    edit(poisoned / SAMPLES, put("finite", False))
    with pytest.raises(UserError, match="inpainting_tests"):
        check(poisoned)
    assert {path.stem for path in (poisoned / "validation").iterdir()} == {"super_resolution", "representation"}


def test_a_test_picture_in_training_is_named(poisoned):
    """Splits must be disjoint, and a training sample must come from the training manifest."""
    leaked = pd.read_parquet(poisoned / TEST).iloc[:1].assign(split="train")
    edit(poisoned / LEARN, lambda frame: pd.concat([frame, leaked]))
    with pytest.raises(UserError, match=r"photos_disjoint: .*test\+train") as error:
        check(poisoned, ["inpainting"])
    assert leaked["id"].iloc[0] in str(error.value)


def test_missing_and_broken_tables_are_sentences(poisoned):
    (poisoned / SAMPLES).write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="is broken"):
        check(poisoned, ["inpainting"])
    (poisoned / SAMPLES).unlink()
    with pytest.raises(UserError, match="does not exist"):
        check(poisoned, ["inpainting"])
