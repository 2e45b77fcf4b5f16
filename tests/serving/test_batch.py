"""A folder restored: resumed, reported, and never a file outside of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_ml import cli
from restore_ml.serving.items import jobs, pictures_in
from restore_ml.serving.report import read_journal
from tests.serving.conftest import mask, picture


@pytest.fixture
def folder(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(served))
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "a.png", "sub/=b <i>.png")):
        Image.fromarray(picture(number)).save(source / name)
    (source / "half.jpg").write_bytes((source / "a.jpg").read_bytes()[:300])
    (source / "notes.txt").write_text("no picture")
    (source / "out.png").symlink_to("/etc/hosts")
    return source


def run(folder: Path, out: Path, *more: str, task: str = "super_resolution") -> int:
    return cli.main(["restore", "--task", task, str(folder), "-o", str(out), *more])


def table(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "report.csv", encoding="utf-8", newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def test_a_folder_is_restored_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(folder, out) == 1
    said = capsys.readouterr().out
    assert "3 restored, 0 kept from before, 2 failed, 1 files that are no pictures" in said
    rows = table(out)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.jpg": "ok", "a.png": "ok", "sub/=b <i>.png": "ok", "half.jpg": "failed", "out.png": "failed"}
    assert "truncated" in rows["half.jpg"]["reason"].lower() and "leads out" in rows["out.png"]["reason"]
    assert rows["a.jpg"]["output"] == "a.jpg.png" and rows["a.png"]["output"] == "a.png.png"
    assert Image.open(out / "sub/=b <i>.png").size == (112, 80)
    page = (out / "report.html").read_text()
    assert "=b &lt;i&gt;.png" in page and "<i>" not in page and "2 failed" in page

    before = (out / "a.jpg.png").stat().st_mtime_ns
    (folder / "half.jpg").unlink(), (folder / "out.png").unlink()
    assert run(folder, out) == 0
    assert "0 restored, 3 kept from before, 0 failed" in capsys.readouterr().out
    assert (out / "a.jpg.png").stat().st_mtime_ns == before


def test_only_what_changed_is_done_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (folder / "half.jpg").unlink(), (folder / "out.png").unlink()
    assert run(folder, out) == 0
    Image.fromarray(picture(9)).save(folder / "a.png")  # another picture
    (out / "a.jpg.png").write_bytes(b"torn")
    with open(out / "journal.jsonl", "a") as journal:
        journal.write('{"source": "sub')  # a kill in the middle of a line
    capsys.readouterr()
    assert run(folder, out) == 0
    assert "2 restored, 1 kept" in capsys.readouterr().out
    assert run(folder, out, "--scale", "3") == 0 and "3 restored" in capsys.readouterr().out
    assert run(folder, out, "--scale", "3", "--model", "bicubic") == 0 and "3 restored" in capsys.readouterr().out
    assert len(read_journal(out / "journal.jsonl")) == 3
    assert all(json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines())


def test_ctrl_c_keeps_what_is_done(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    from restore_ml.serving import batch

    real, calls = batch.answer, []

    def interrupted(*given: object) -> dict:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(batch, "answer", interrupted)
    (folder / "half.jpg").unlink(), (folder / "out.png").unlink()
    assert run(folder, tmp_path / "out") == 130
    assert "1 restored, 0 kept from before, 0 failed, 2 left" in capsys.readouterr().out
    assert list(table(tmp_path / "out")) == ["a.jpg"]
    assert run(folder, tmp_path / "out") == 0 and "2 restored, 1 kept" in capsys.readouterr().out


def test_masks_by_name_or_one_for_all(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "half.jpg").unlink(), (folder / "out.png").unlink()
    masks, one = tmp_path / "masks", Image.fromarray(mask()[:, :, 0])
    (masks / "sub").mkdir(parents=True)
    one.save(masks / "a.png"), one.save(masks / "sub/=b <i>.bmp"), one.save(tmp_path / "one.png")
    assert run(folder, tmp_path / "out", "--mask", str(masks), task="inpainting") == 0
    found = np.asarray(Image.open(tmp_path / "out/a.png.png"))
    hole = mask()[:, :, 0] > 0
    assert np.array_equal(found[~hole], picture(1)[~hole]) and (found[hole] != picture(1)[hole]).any()
    (masks / "a.png").unlink()
    assert run(folder, tmp_path / "out", "--mask", str(masks), task="inpainting") == 1
    assert "no mask a.jpg" in table(tmp_path / "out")["a.jpg"]["reason"]
    assert run(folder, tmp_path / "all", "--mask", str(tmp_path / "one.png"), task="inpainting") == 0


@pytest.mark.parametrize(("arguments", "said"), [
    (["IN", "-o", "IN"], "among their originals"), (["EMPTY", "-o", "OUT"], "no picture in"),
    (["IN", "-o", "IN/a.png"], "is a file"), (["IN", "-o", "OUT", "--mask", "nosuch"], "There is no nosuch"),
    (["IN", "-o", "OUT", "--model", "nosuch"], "no model 'nosuch'")])
def test_a_mistake_is_a_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                 arguments: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    names = {"IN": str(folder), "EMPTY": str(tmp_path / "empty"), "OUT": str(tmp_path / "out")}
    given = [argument.replace("IN", names["IN"]) if argument.startswith("IN") else names.get(argument, argument)
             for argument in arguments]
    assert cli.main(["restore", "--task", "super_resolution", *given]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_no_output_leaves_its_folder(folder: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir(), elsewhere.mkdir()
    (out / "sub").symlink_to(elsewhere)
    assert run(folder, out) == 1
    assert not list(elsewhere.iterdir())
    assert "leads out of" in table(out)["sub/=b <i>.png"]["reason"]


def test_the_output_folder_may_lie_in_the_input_folder(folder: Path) -> None:
    run(folder, folder / "done")
    names, others = pictures_in(folder, [folder / "done"], [])
    assert len(names) == 5 and others == 1


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("aA.b", min_size=1, max_size=4).map(lambda stem: f"{stem}x"), max_size=6),
       st.lists(st.sampled_from([".png", ".PNG", ".jpg", ".png.png", ".jpg.png"]), min_size=6, max_size=6))
def test_outputs_never_meet(stems: list[str], endings: list[str]) -> None:
    names = sorted({stem + ending for stem, ending in zip(stems, endings, strict=False)})
    outputs = [job.output.lower() for job in jobs(names)]
    assert len(set(outputs)) == len(names) and all(output.endswith(".png") for output in outputs)


@settings(deadline=None, max_examples=100)
@given(st.sets(st.sampled_from(["a", "a.labels", "A", "a.labels.labels", "a.png", "a.png.labels", "b"])),
       st.lists(st.sampled_from([".png", ".jpg"]), min_size=7, max_size=7))
def test_nor_do_the_files_beside_them(stems: set[str], endings: list[str]) -> None:
    def written(name: str, output: str) -> list[str]:
        return [output, f"{output[:-len('.png')]}.labels.png"]

    names = [stem + end for stem, end in zip(sorted(stems), endings, strict=False)]
    files = [path.lower() for job in jobs(names, written=written) for path in written(job.source, job.output)]
    assert len(set(files)) == len(files) == 2 * len(names)


def test_a_file_of_somebody_else_stays(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also an original in a folder above, and after a kill that came between an output and its line."""
    out = tmp_path / "out"
    (folder / "half.jpg").unlink(), (folder / "out.png").unlink()
    (out / "sub").mkdir(parents=True)
    (out / "a.jpg.png").write_bytes(b"a person's own")
    assert run(folder, out) == 1
    assert "2 restored, 0 kept from before, 1 failed" in capsys.readouterr().out
    assert (out / "a.jpg.png").read_bytes() == b"a person's own"
    assert "was not restored from here, and it stays" in table(out)["a.jpg"]["reason"]
    assert run(folder, out) == 1 and (out / "a.jpg.png").read_bytes() == b"a person's own"
    (out / "a.jpg.png").unlink()
    assert run(folder, out) == 0 and "1 restored, 2 kept" in capsys.readouterr().out.splitlines()[-1]
    lines = (out / "journal.jsonl").read_text().splitlines(keepends=True)
    (out / "journal.jsonl").write_text("".join(line for line in lines if '"a.png"' not in line))  # the kill
    assert run(folder, out) == 0 and "1 restored, 2 kept" in capsys.readouterr().out.splitlines()[-1]
    upwards = folder / "sub"
    before = (folder / "a.png").read_bytes()
    Image.fromarray(picture(7)).save(upwards / "a.jpg")
    assert run(upwards, folder) == 1 and (folder / "a.png").read_bytes() == before


def test_a_bug_at_one_picture_is_called_one_and_kept(folder: Path, tmp_path: Path, served: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    from restore_ml.serving import batch

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(batch, "answer", broken)
    assert run(folder, tmp_path / "out") == 1
    reason = table(tmp_path / "out")["a.jpg"]["reason"]
    assert reason.startswith("a bug of restore-ml, ZeroDivisionError: by nothing (what led to it is kept in ")
    kept = next(iter((served / ".state/bugs").iterdir()))
    assert str(kept) in reason and "Traceback" in kept.read_text()
