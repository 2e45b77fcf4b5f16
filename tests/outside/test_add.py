"""What is taken in, what is said of it and what is refused: as a new user would meet it, at the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.degradations.resize import imresize
from restore_ml.runs import settings
from tests.outside import project as made

WHERE = ("--task", "super_resolution", "--set", "photos", "--case", "x2")
Add = Callable[..., tuple[int, str]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three samples whose inputs were exported to `exported` beside it."""
    root = made.build(tmp_path / "project")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0
    return root


@pytest.fixture
def add(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Add:
    """`restore-ml outputs add theirs`: exit status and everything it said."""
    def run(*more: str, folder: Path = tmp_path / "results", where: tuple[str, ...] = WHERE,
            name: str = "theirs") -> tuple[int, str]:
        capsys.readouterr()
        status = cli.main(["outputs", "add", name, *where, str(folder), *more])
        said = capsys.readouterr()
        return status, said.out + said.err
    return run


def kept(root: Path) -> Path:
    return root / "brought/outputs/super_resolution/theirs/photos/x2"


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


def test_the_truth_itself_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", target["hr"])
    status, said = add()
    assert status == 2
    assert "3 of 3 outputs are the truth itself, to the bit: picture_001, picture_002, picture_003." in said
    assert add("--partial")[0] == 2 and not kept(root).exists()


def test_nearly_the_truth_is_refused_where_most_are(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", np.clip(target["hr"].astype(int) + 1, 0, 255).astype(
            np.uint8) if number > 1 else target["hr"])
    status, said = add()
    assert status == 2 and "3 of 3 outputs are the truth itself, to the bit or nearly so" in said


def test_one_truth_among_results_is_refused_and_one_near_it_is_not(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    near = made.truths(root)[2]["hr"].astype(int) + 1
    made.save(tmp_path / "results/picture_003.png", np.clip(near, 0, 255).astype(np.uint8))
    assert add()[0] == 0
    made.results(root, tmp_path / "results")
    made.save(tmp_path / "results/picture_001.png", made.truths(root)[0]["hr"])
    status, said = add()
    assert status == 2 and "1 of 3 outputs are the truth itself, to the bit: picture_001." in said


def test_a_truth_that_anybody_restores_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    root = made.build(tmp_path / "project", count=2)
    for side, name, array in (("targets", "hr", np.full((72, 64, 3), 90, np.uint8)),
                              ("inputs", "lr", np.full((36, 32, 3), 90, np.uint8))):
        path = root / f"samples/super_resolution/{side}/photos/x2.arrow"
        shards.write(path, [Record(one.id, {key: np.array(value) for key, value in one.arrays.items()} | {
            name: array}, one.facts) for one in Shard(path)])
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")])
    for number in (1, 2):
        made.save(tmp_path / f"results/picture_{number:03d}.png", np.full((72, 64, 3), 90, np.uint8))
    assert cli.main(["outputs", "add", "theirs", *WHERE, str(tmp_path / "results")]) == 0
    assert "2 of 2 outputs are what anybody gets for nothing (bicubic)" in capsys.readouterr().out


def test_what_anybody_gets_is_said_and_taken(root: Path, tmp_path: Path, add: Add) -> None:
    for number, given in enumerate(made.inputs(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", imresize(given["lr"], 2))
    status, said = add()
    assert status == 0 and "3 of 3 outputs are what anybody gets for nothing (bicubic)" in said


def test_the_input_itself_is_as_large_as_the_input(root: Path, tmp_path: Path, add: Add) -> None:
    for number, given in enumerate(made.inputs(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", given["lr"])
    status, said = add()
    assert status == 2 and ("3 files (picture_001.png, picture_002.png, picture_003.png): 32 x 36 pixels, where 64 x "
                            "72 are wanted: it is as large as the input: nothing was enlarged.") in said


@pytest.mark.parametrize(("size", "why"), [
    ((64, 56), "8 columns and 8 rows are missing; some tools crop to a multiple of 8 or 16 first"),
    ((72, 56), "8 columns are missing"), ((80, 64), "the tool padded the input"),
    ((64, 72), "it was turned"), ((144, 128), "it is 4 times as large as the input, and this case asks for 2 times"),
    ((300, 300), "nothing is resized here")])
def test_another_size_is_refused_with_what_may_have_happened(root: Path, tmp_path: Path, add: Add,
                                                             size: tuple[int, int], why: str) -> None:
    made.results(root, tmp_path / "results", lambda picture: np.resize(picture, (*size, 3)))
    status, said = add()
    assert status == 2 and f"{size[1]} x {size[0]} pixels, where 64 x 72 are wanted: {why}" in said


def test_red_and_blue_exchanged_is_said_and_nothing_is_exchanged(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", lambda picture: np.ascontiguousarray(picture[..., ::-1]))
    written = (tmp_path / "results/picture_001.png").read_bytes()
    status, said = add()
    assert status == 0 and "Red and blue seem to be exchanged in 3 of 3 outputs with colours" in said
    assert "They are taken as they are; if the tool wrote BGR" in said
    assert (kept(root) / "picture_001.png").read_bytes() == written


def test_right_colours_are_not_doubted(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    assert "exchanged" not in add()[1]


def test_two_files_for_one_picture(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    made.save(tmp_path / "results/picture_002.jpg", made.poor(made.truths(root)[1]["hr"]))
    status, said = add("--partial")
    assert status == 2 and ("Two files for one sample, picture_002: picture_002.jpg, picture_002.png. Leave one of "
                            "them.") in said


def test_an_alpha_channel_that_hides_nothing_is_left_out(root: Path, tmp_path: Path, add: Add) -> None:
    opaque = np.full((72, 64, 1), 255, np.uint8)
    made.results(root, tmp_path / "results", lambda picture: np.concatenate([picture, opaque], 2))
    status, said = add()
    assert status == 0 and "an alpha channel that hides nothing, left out" in said


def test_an_alpha_channel_that_hides_something_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    half = np.full((72, 64, 1), 254, np.uint8)
    made.results(root, tmp_path / "results", lambda picture: np.concatenate([picture, half], 2))
    status, said = add()
    assert status == 2 and "an alpha channel that is not opaque everywhere" in said


def test_grey_where_colour_is_asked_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", lambda picture: picture[..., :1])
    status, said = add()
    assert status == 2 and "grey, where colour is wanted and the input has colour" in said


def deep(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits a channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", values[..., ::-1])[1].tobytes())


def test_sixteen_bits_are_rounded_and_said(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        deep(tmp_path / f"results/picture_{number:03d}.png", made.poor(target["hr"], number).astype(np.uint16) * 257)
    status, said = add()
    assert status == 0 and "16 bits a channel, rounded to 8." in said


def test_sixteen_bits_with_levels_of_eight_are_refused(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        deep(tmp_path / f"results/picture_{number:03d}.png", made.poor(target["hr"], number).astype(np.uint16))
    status, said = add()
    assert status == 2 and "levels of 8 bits were written without scaling" in said


def test_a_lossy_file_is_said(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", name="picture_{:03d}.jpg")
    status, said = add()
    assert status == 0 and "JPEG, which loses something" in said


def test_an_unreadable_file_is_named(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    whole = io.BytesIO()
    Image.fromarray(made.truths(root)[0]["hr"]).save(whole, "PNG")
    (tmp_path / "results/picture_001.png").write_bytes(whole.getvalue()[:500])
    (tmp_path / "results/picture_003.png").write_bytes(b"<html>")
    status, said = add()
    assert status == 2 and "picture_001.png: " in said and "truncated" in said.lower()
    assert "picture_003.png: not an image of a known format." in said


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


def change_inputs(root: Path) -> None:
    """Another seed, another input: one pixel of the second sample."""
    path = root / "samples/super_resolution/inputs/photos/x2.arrow"
    records = [Record(one.id, {name: np.array(value) for name, value in one.arrays.items()}, one.facts)
               for one in Shard(path)]
    records[1].arrays["lr"][3, 4, 0] ^= 1
    shards.write(path, records)


def test_inputs_that_changed_since_the_export_are_refused(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    made.results(root, tmp_path / "exported/results")
    change_inputs(root)
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


@pytest.mark.parametrize("words", [["inputs", "export"], ["outputs", "add"]])
def test_each_command_shows_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    assert f"restore-ml {' '.join(words)}" in capsys.readouterr().out.split("example")[1]


def test_an_export_says_what_is_given_and_wanted(root: Path, tmp_path: Path) -> None:
    manifest = json.loads((tmp_path / "exported/manifest.json").read_text())
    assert [manifest[key] for key in ("task", "set", "case", "seed")] == ["super_resolution", "photos", "x2", 1]
    entry = manifest["samples"]["picture_001"]
    assert entry["told"] == {"scale": 2}
    assert entry["wanted"]["sr"] == {"kind": "picture", "height": 72, "width": 64, "channels": 3}
    assert ".png" in manifest["endings"]["sr"] and ".heic" not in manifest["endings"]["sr"]
    path, digest = next(iter(entry["files"].items()))
    assert path == "lr/picture_001.png"
    from restore_ml.base.files import sha256_of_file

    assert sha256_of_file(tmp_path / "exported" / path) == digest
    assert np.array_equal(np.asarray(Image.open(tmp_path / "exported" / path)), made.inputs(root)[0]["lr"])
    text = (tmp_path / "exported/README.md").read_text()
    assert "restore-ml outputs add NAME --task super_resolution --set photos --case x2 RESULTS" in text
    assert "a picture file, 64 x 72 pixels, colour (RGB, 8 bit)" in text
    assert "ranks by psnr_y (higher is better)" in text and "the bicubic degradation of the benchmarks" in text


def test_where_an_export_may_go(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0  # again into the same
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    made.build(root, degradation="x3")
    for folder, words in ((tmp_path / "full", "is not empty"), (tmp_path / "full/mine.txt", "is a file"),
                          (tmp_path / "exported", "holds the inputs of super_resolution photos/x2")):
        assert cli.main(["inputs", "export", *WHERE[:5], "x3", str(folder)]) == 2
        assert words in capsys.readouterr().err
