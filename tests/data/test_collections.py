"""Adding folders of pictures: what is taken, what is refused and named, and that nothing is half added."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data import collections, domains
from restore_ml.data.collections import Report, add, check, describe, list_collections
from restore_ml.data.public_layouts import Found
from restore_ml.data.scenes import read_scene

RNG = np.random.default_rng(5)


def picture(path: Path, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return path


def names(root: Path, name: str) -> list[str]:
    folder = root / "data" / name / "pictures"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_subfolders_and_odd_names(tmp_path):
    source = tmp_path / "my pictures"
    for name in ("a b.png", "sub/ünï 図.png", "sub/deep/new\nline.png", "sub/deep/new_line.png"):
        picture(source / name)
    (source / "notes.txt").write_text("text")
    picture(source / ".hidden.png")
    report = add(tmp_path, "mine", source, source="my camera", licence="own")
    assert names(tmp_path, "mine") == ["a b.png", "sub/deep/new_line.png", "sub/deep/new_line_2.png", "sub/ünï 図.png"]
    assert (report.good, report.skipped, len(report.renamed), report.refused) == (4, 1, 1, [])
    assert "4 photographs" in str(report) and "1 renamed" in str(report)
    about = describe(tmp_path / "data/mine")
    assert (about["role"], about["source"], about["licence"], about["synthetic"]) == ("test", "my camera", "own", False)


def test_names_that_are_not_utf8(tmp_path):
    source = picture(tmp_path / "in" / "a.png").parent
    os.rename(os.fsencode(source / "a.png"), os.fsencode(source) + b"/caf\xe9.png")
    add(tmp_path, "mine", source)
    assert names(tmp_path, "mine") == ["caf_.png"]


def test_broken_files_are_named_and_the_good_kept(tmp_path):
    source = tmp_path / "in"
    picture(source / "good.png")
    (source / "bad.jpg").write_bytes(b"")
    (source / "worse.png").write_text("no picture")
    (source / "out.png").symlink_to(picture(tmp_path / "elsewhere.png"))
    report = add(tmp_path, "mine", source)
    assert names(tmp_path, "mine") == ["good.png"]
    refused = {"bad.jpg": "zero bytes", "worse.png": "not an image of a known format",
               "out.png": "a link that leads out of the folder"}
    assert dict(report.refused) == refused == describe(tmp_path / "data/mine")["refused"]
    assert "3 refused" in str(report) and "'bad.jpg': zero bytes" in str(report)
    assert not (tmp_path / "data/mine/pictures/good.png").is_symlink()


def test_files_are_copies(tmp_path):
    source = picture(tmp_path / "in" / "a.png")
    add(tmp_path, "mine", source.parent)
    copy = tmp_path / "data/mine/pictures/a.png"
    assert copy.read_bytes() == source.read_bytes() and copy.stat().st_ino != source.stat().st_ino


@pytest.mark.parametrize("name", ["", "None", "none", "A", "a/b", "..", "a b", "-a", "ä", "x" * 64, "a.b", "a\n"])
def test_bad_names(tmp_path, name):
    picture(tmp_path / "in/a.png")
    with pytest.raises(UserError, match="no name for a collection"):
        add(tmp_path, name, tmp_path / "in")
    assert not (tmp_path / "data").exists()


def test_taken_names_missing_folders_and_wrong_roles(tmp_path):
    picture(tmp_path / "in/a.png")
    add(tmp_path, "mine", tmp_path / "in")
    before = read_json(tmp_path / "data/mine/collection.json")
    with pytest.raises(UserError, match="already"):
        add(tmp_path, "mine", tmp_path / "in", role="train")
    assert read_json(tmp_path / "data/mine/collection.json") == before
    with pytest.raises(UserError, match="is not a folder"):
        add(tmp_path, "other", tmp_path / "nowhere")
    with pytest.raises(UserError, match="is not a folder"):
        add(tmp_path, "other", tmp_path / "in/a.png")
    with pytest.raises(UserError, match="role is 'tests'"):
        add(tmp_path, "other", tmp_path / "in", role="tests")
    with pytest.raises(UserError, match="lies in data already"):
        add(tmp_path, "other", tmp_path / "data/mine")
    (tmp_path / "void/sub").mkdir(parents=True)
    (tmp_path / "void/broken.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"no readable photograph: 1 files.*\n.*'broken.png': not an image"):
        add(tmp_path, "other", tmp_path / "void")
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"mine"}


def test_a_crash_adds_nothing(tmp_path, monkeypatch):
    for number in range(3):
        picture(tmp_path / f"in/{number}.png")

    def fail(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add(tmp_path, "mine", tmp_path / "in", progress=fail)
    assert not (tmp_path / "data/mine").exists() and list((tmp_path / ".state").iterdir()) == []


def test_list_and_check(tmp_path):
    assert list_collections(tmp_path) == []
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    for name in ("two", "one"):
        add(tmp_path, name, tmp_path / "in")
    assert [about["name"] for about in list_collections(tmp_path)] == ["one", "two"]
    assert check(tmp_path) == [Report("one", 2, what="photographs"), Report("two", 2, what="photographs")]
    (tmp_path / "data/one/pictures/a.png").write_bytes(b"")
    (tmp_path / "data/one/pictures/note.txt").write_text("no picture")
    seen = []
    reports = check(tmp_path, lambda *step: seen.append(step))
    assert reports[0].refused == [("a.png", "zero bytes"), ("note.txt", "not an image of a known format")]
    assert reports[1].refused == [] and seen[-1] == ("checking two", 2, 2)


@pytest.mark.parametrize(("change", "words"), [
    ({"role": "exam"}, "role in"), ({"domain": "x"}, "domain in"), ({"licence": " "}, "licence in"),
    ({"name": "other"}, "name is 'mine'"), ({"synthetic": "no"}, "synthetic in"), ({"pictures": []}, "pictures in"),
    ({"pictures": {"a.png": {"split": "exam"}}}, "split of 'a.png'")])
def test_mistakes_in_collection_json(tmp_path, change, words):
    picture(tmp_path / "in/a.png")
    add(tmp_path, "mine", tmp_path / "in")
    path = tmp_path / "data/mine/collection.json"
    write_json(path, {**read_json(path), **change})
    with pytest.raises(UserError, match=words):
        list_collections(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"has no collection\.json"):
        list_collections(tmp_path)


def test_selfexsr_takes_the_high_resolution_of_the_lowest_factor(tmp_path):
    for factor in (4, 2, 3):
        for kind in ("HR", "LR", "bicubic"):
            for number in ("001", "002"):
                picture(tmp_path / f"Set/image_SRF_{factor}/img_{number}_SRF_{factor}_{kind}.png")
    report = add(tmp_path, "set", tmp_path / "Set")
    assert names(tmp_path, "set") == ["image_SRF_2/img_001_SRF_2_HR.png", "image_SRF_2/img_002_SRF_2_HR.png"]
    assert "2 HR pictures of factor 2 are taken, 16 other files" in report.note and report.note in str(report)
    about = describe(tmp_path / "data/set")
    assert about["layout"] == "selfexsr"
    assert about["pictures"]["image_SRF_2/img_001_SRF_2_HR.png"] == {"group": "img_001"}
    add(tmp_path, "all", tmp_path / "Set", layout_name="plain")
    assert len(names(tmp_path, "all")) == 18


def test_cyclegan_folders(tmp_path):
    for folder in ("trainA", "trainB", "testA", "testB"):
        picture(tmp_path / "maps" / folder / "1.png")
    for role, taken in (("mixed", 4), ("train", 2), ("test", 2)):
        report = add(tmp_path, role, tmp_path / "maps", role=role)
        assert report.good == taken and "CycleGAN" in report.note
    about = describe(tmp_path / "data/mixed")
    assert about["pictures"] == {f"test{side}/1.png": {"split": "test"} for side in "AB"}


def test_layouts_by_path():
    select = domains.get("photos").select
    assert select("auto", ["a.png", "trainA/x.png"], "test")[0] == "plain"
    assert select("auto", ["trainA/x.png", "testB/y.png"], "test")[:2] == ("cyclegan", [Found("testB/y.png", "test")])
    assert select("plain", ["x.png"], "test") == ("plain", [Found("x.png")], "")
    assert select("selfexsr", ["x.png"], "test")[1] == []
    assert select("cyclegan", ["valA/x.png", "other/y.png"], "train")[1] == [Found("valA/x.png", "validation")]
    assert select("folders", ["anna/1.png", "anna/old/2.png", "3.png"], "train")[1] == [
        Found("anna/1.png", group="anna"), Found("anna/old/2.png", group="anna"), Found("3.png")]


def scene_file(path: Path, **changes) -> Path:
    arrays = {key: RNG.integers(0, 5000, (20, 30, 4), dtype=np.uint16) for key in ("target", "reference")}
    arrays["labels"] = RNG.integers(0, 5, (20, 30, 1), dtype=np.uint8)
    arrays |= changes
    save_file({key: value for key, value in arrays.items() if value is not None}, path)
    return path


def test_scenes(tmp_path):
    (tmp_path / "in").mkdir()
    path = scene_file(tmp_path / "in/s.safetensors")
    found = read_scene(path)
    assert found["target"].dtype == np.float32 and found["target"].max() <= 0.5
    assert found["target"].shape == (20, 30, 4) and found["labels"].shape == (20, 30, 1)
    assert set(read_scene(scene_file(tmp_path / "in/u.safetensors", labels=None))) == {"target", "reference"}
    scene_file(tmp_path / "in/b.safetensors", reference=np.zeros((20, 30, 3), np.uint16))
    (tmp_path / "in/c.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0{bad}")
    scene_file(tmp_path / "in/d.safetensors", target=np.zeros((20, 30, 4), np.float32))
    scene_file(tmp_path / "in/e.safetensors", labels=np.zeros((20, 30), np.uint8))
    scene_file(tmp_path / "in/f.safetensors", extra=np.zeros(3, np.uint8))
    report = add(tmp_path, "s2", tmp_path / "in", domain="scenes")
    assert report.good == 2 and sorted(name[0] for name, _ in report.refused) == ["b", "c", "d", "e", "f"]
    assert describe(tmp_path / "data/s2")["domain"] == "scenes"


@pytest.mark.benchmark_data
def test_set5_of_the_benchmarks(tmp_path, benchmark_data):
    source = benchmark_data / "sr_selfexsr" / "Set5"
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    report = add(tmp_path, "set5", source)
    assert report.good == 5 and len(names(tmp_path, "set5")) == 5


def test_printable():
    assert collections.printable("a\x00b\n\udce9") == "a_b__" and collections.printable("ü 図") == "ü 図"
