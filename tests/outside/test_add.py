"""What is taken in and what is refused for its names and its case: as a new user meets it, at the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.runs import settings
from restore_ml.runs.plain_yaml import read_mapping
from tests.outside import project as made
from tests.outside.project import WHERE, Add, kept


def test_outputs_are_kept_under_the_samples_names_and_become_a_run(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", name="picture_{}_x2_theirs.png")
    status, said = add()
    assert status == 0
    assert "brought/outputs/super_resolution/theirs/photos/x2: 3 of 3 outputs taken in." in said
    assert "Names were matched without leading zeros of numbers, '_x2_theirs' after the name." in said
    assert "graph/super_resolution/runs.yaml: the run theirs, of kind outside." in said
    assert sorted(path.name for path in kept(root).iterdir()) == [
        "outputs.json", "picture_001.png", "picture_002.png", "picture_003.png"]
    run = settings.load(root / layout.PARAMS).runs["super_resolution/theirs"]
    assert (run.method, run.outputs) == ("outside", "brought/outputs/super_resolution/theirs")
    facts = read_json(kept(root) / "outputs.json")
    assert facts["inputs"] == {entry["id"]: entry["sha256"] for entry in read_json(
        tmp_path / "exported/manifest.json")["samples"].values()}


def test_called_again_it_replaces_and_leaves_the_entry(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    assert add()[0] == 0
    before = (root / layout.runs_file("super_resolution")).read_text()
    made.results(root, tmp_path / "again", lambda picture: 255 - picture, name="picture_{:03d}.bmp")
    assert add(folder=tmp_path / "again")[0] == 0
    assert (root / layout.runs_file("super_resolution")).read_text() == before
    assert sorted(path.suffix for path in kept(root).iterdir()) == [".bmp", ".bmp", ".bmp", ".json"]
    assert not [*(root / layout.STATE).glob("replaced-*")]


def test_missing_files_are_named_and_nothing_is_taken(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    (tmp_path / "results/picture_002.png").unlink()
    status, said = add()
    assert status == 2 and "nothing was taken in" in said and "picture_002: there is no file." in said
    assert "--partial" in said and not kept(root).exists()
    (tmp_path / "results/zebra.png").write_bytes((tmp_path / "results/picture_001.png").read_bytes())
    assert "Files that are no sample's by their names: zebra.png." in add()[1]
    assert "theirs" not in (root / layout.runs_file("super_resolution")).read_text()
    status, said = add("--partial")
    assert status == 0 and "2 of 3 outputs taken in" in said and "Left out: picture_002: there is no file." in said
    assert list(read_json(kept(root) / "outputs.json")["left_out"].values()) == ["there is no file"]


def test_two_files_for_one_picture(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    made.save(tmp_path / "results/picture_002.jpg", made.poor(made.truths(root)[1]["hr"]))
    status, said = add("--partial")
    assert status == 2 and ("Two files for one sample, picture_002: picture_002.jpg, picture_002.png. Leave one of "
                            "them.") in said


def test_an_empty_folder_a_file_and_none(tmp_path: Path, add: Add) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/.DS_Store").touch()
    status, said = add()
    assert status == 2 and "is empty; give the folder with the tool's results." in said
    assert "is a file; give the folder" in add(folder=tmp_path / "exported/README.md")[1]
    assert "There is no folder" in add(folder=tmp_path / "nowhere")[1]


def test_the_exported_folder_itself_is_no_result(tmp_path: Path, add: Add) -> None:
    assert "is the folder of exported inputs itself" in add(folder=tmp_path / "exported")[1]
    assert "holds the exported inputs" in add(folder=tmp_path / "exported/lr")[1]


def test_a_folder_for_another_case(root: Path, tmp_path: Path, add: Add) -> None:
    made.build(root, degradation="x3")
    assert cli.main(["inputs", "export", *WHERE[:5], "x3", str(tmp_path / "x3")]) == 0
    made.results(root, tmp_path / "x3/results")
    status, said = add(folder=tmp_path / "x3/results")
    assert status == 2 and "are those of super_resolution photos/x3, not of super_resolution photos/x2" in said


def test_a_folder_for_another_set(root: Path, tmp_path: Path, add: Add) -> None:
    made.build(root, names=lambda number: f"other {number}", test_set="more")
    made.results(root, tmp_path / "results", name="other_{}.png")
    status, said = add()
    assert status == 2 and "The files have the names of the test set more: give --set more?" in said


def test_the_very_files_of_another_case_are_refused(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", name="picture_{:03d}_x2.png")
    assert add()[0] == 0
    made.build(root, degradation="x2_noise")
    where = (*WHERE[:5], "x2_noise")
    cli.main(["inputs", "export", *where, str(tmp_path / "noise")])
    status, said = add(where=where, name="again")
    assert status == 2 and ("3 of 3 files are those that were taken in for photos/x2 (run theirs): this is the folder "
                            "of that case.") in said
    assert "If they were wrong there, delete brought/outputs/super_resolution/theirs/photos/x2 first." in said
    made.results(root, tmp_path / "results", lambda picture: picture // 2 * 2, name="picture_{:03d}_x2.png")
    status, said = add(where=where, name="again")
    assert status == 0 and "The names of the files say x2, and they are taken in for x2_noise" in said


def test_names_of_nothing_and_files_of_nothing(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", name="zebra{:c}.png")
    assert "No file is named like a sample: they are called picture_001, picture_002, the files zebra" in add()[1]
    (tmp_path / "empty/inner").mkdir(parents=True)
    (tmp_path / "empty/log.txt").write_text("done")
    made.results(root, tmp_path / "empty/inner")
    said = add(folder=tmp_path / "empty")[1]
    assert "There is no file in it that could be a picture file" in said and "There are some in inner below it" in said


def test_inputs_that_changed_since_the_export_are_refused(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    made.results(root, tmp_path / "exported/results")
    made.change_inputs(root)
    said = add()[1]
    assert "The inputs of super_resolution photos/x2 have changed since they were exported: export them again" in said
    said = add(folder=tmp_path / "exported/results")[1]
    assert "have changed since they were exported (1 changed): export them again" in said
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "new")]) == 0
    assert "were exported before and after a change; name the folder that the tool was given" in add()[1]
    assert add("--inputs", str(tmp_path / "new"))[0] == 0
    assert add("--inputs", str(tmp_path / "exported"))[0] == 2


def test_without_an_export_nobody_knows_what_the_tool_was_given(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    (root / layout.EXPORTS / "super_resolution/photos/x2.json").unlink()
    assert "were not exported on this machine. Name the folder" in add()[1]
    assert "holds no exported inputs" in add("--inputs", str(tmp_path))[1]
    assert add("--inputs", str(tmp_path / "exported"))[0] == 0


def test_names_that_cannot_be(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    assert "bicubic is a run of super_resolution that is built here" in add(name="bicubic")[1]
    for name in ("a/b", "none", "champion", ".."):
        assert "is no name for a run" in add(name=name)[1]
    assert "has no test set 'photo'; it has photos. Did you mean 'photos'?" in add(
        where=("--task", "super_resolution", "--set", "photo", "--case", "x2"))[1]
    assert "has no case 'x9'; it has x2." in add(where=(*WHERE[:5], "x9"))[1]
    assert "There are no test samples of inpainting" in add(where=("--task", "inpainting", *WHERE[2:]))[1]
    assert add(where=(*WHERE[:5], "photos/x2"))[0] == 0 and add(name="1.5")[0] == 0
    assert "1.5" in {run.name for run in settings.load(root / layout.PARAMS).runs.values()}


@pytest.mark.parametrize("name", ["1e5", "2024-01-01", "0x1F", "1_000", "null", "12"])
def test_a_name_that_yaml_would_read_as_something_else_is_quoted(root: Path, tmp_path: Path, add: Add,
                                                                 name: str) -> None:
    made.results(root, tmp_path / "results")
    assert add(name=name)[0] == 0
    assert settings.load(root / layout.PARAMS).runs[f"super_resolution/{name}"].outputs.endswith(f"/{name}")


def test_an_entry_that_does_not_hold_leaves_nothing(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    path = root / layout.runs_file("super_resolution")
    path.write_text(json.dumps(read_mapping(path, settings.GRAPH_KEYS)))  # all on one line
    before = path.read_text()
    status, said = add()
    assert status == 2 and "must have a line 'runs:'" in said
    assert not (root / layout.BROUGHT).exists() and path.read_text() == before


def test_an_add_that_is_interrupted_leaves_what_was_there(root: Path, tmp_path: Path, add: Add,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    made.results(root, tmp_path / "results")
    runs = (root / layout.runs_file("super_resolution"))
    without = runs.read_text()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("restore_ml.outside.kept.write_json", full)
        assert add()[0] == 2 and runs.read_text() == without and not kept(root).exists()
    assert add()[0] == 0
    before = {path.name: path.read_bytes() for path in kept(root).iterdir()}
    made.results(root, tmp_path / "results", lambda picture: 255 - picture)
    move, moved = shutil.move, []

    def once(source: Path, target: Path) -> None:
        moved.append(source)
        if len(moved) == 2:
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("restore_ml.outside.kept.shutil.move", once)
        assert add()[0] == 130
    assert len(moved) == 3 and {path.name: path.read_bytes() for path in kept(root).iterdir()} == before
    assert not [*(root / layout.STATE).glob("*-*")] and "theirs" in runs.read_text()


def test_signs_of_a_file_s_name_reach_no_terminal(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    (tmp_path / "results/a\x1b[31m\n.png").write_bytes(b"x")
    status, said = add()
    assert status == 0 and "No sample's: a\\x1b[31m\\n.png; left where they are." in said and "\x1b" not in said


def test_samples_that_were_renamed_since_the_export_are_not_mixed_up(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "exported/results")
    path = root / "samples/super_resolution/inputs/photos/x2.arrow"
    records = [Record(one.id, {name: np.array(value) for name, value in one.arrays.items()}, one.facts)
               for one in Shard(path)]
    one, other = (dict(record.facts) for record in records[:2])
    records[0].facts["name"], records[1].facts["name"] = other["name"], one["name"]
    shards.write(path, records)
    status, said = add(folder=tmp_path / "exported/results")
    assert status == 2 and not kept(root).exists()
    assert "2 samples of super_resolution photos/x2 have other names than when they were exported (picture_00" in said
