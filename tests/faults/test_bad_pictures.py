"""Bad pictures at every entrance: each file is read as documented or refused by name, and takes no other with it."""

from __future__ import annotations

import base64
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data import collections, inbox, inbox_files
from restore_ml.data.manifest import read_table
from restore_ml.data.pictures import read_picture
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from restore_ml.serving.batch import restore_folder
from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Limits
from restore_ml.serving.restore_command import restore_file
from tests.faults import zoo
from tests.serving.conftest import add_model
from tests.serving.test_server import send

BEFORE = {"name": "zoo", "role": "test", "domain": "photos", "synthetic": False, "source": "a zoo", "licence": "own"}


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all files; tests only read it."""
    root = tmp_path_factory.mktemp("zoo")
    zoo.fill(root / "in", root / "outside")
    return root / "in"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of all files that the test may change."""
    zoo.fill(tmp_path / "in", tmp_path / "outside")
    return tmp_path / "in"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with bicubic enlargement."""
    root = tmp_path_factory.mktemp("model")
    add_model(root, "bicubic")
    (root / "params.yaml").write_text("profile: quick\n")
    return root


def same_reasons(found: dict[str, str]) -> None:
    wanted = zoo.reasons()
    assert set(found) == set(wanted)
    assert {name: wanted[name] for name in wanted if wanted[name] not in found[name]} == {}


def names() -> set[str]:
    """The files that are read, as collections call them."""
    return set(zoo.READ) | {collections.printable(os.fsdecode(name)) for name in zoo.RENAMED}


def test_what_the_reader_makes_of_each(animals: Path) -> None:
    """Lossless ones give exactly the pixels that were encoded."""
    numbers = {name: number for number, name in enumerate(zoo.READ)}
    for name in ("plain.png", "sixteen.png", "sixteen.tif", "palette.png", "animated.png", "animated.webp", "pages.tif",
                 "icc.png", "CAPITALS.PNG", "animated.gif"):
        assert np.array_equal(read_picture(animals / name, animals), zoo.pixels(numbers[name])), name
    assert np.array_equal(read_picture(animals / "sixteen grey.png"), zoo.pixels(numbers["sixteen grey.png"])[:, :, :1])
    upright = np.rot90(zoo.pixels(numbers["turned.jpg"]), -1)
    assert np.abs(read_picture(animals / "turned.jpg").astype(int) - upright).mean() < 2
    alpha = zoo.pixels(numbers["alpha.png"]).astype(float) * 128 / 255 + 255 * 127 / 255
    assert np.abs(read_picture(animals / "alpha.png") - alpha).max() <= 1
    cmyk = read_picture(animals / "cmyk.jpg").astype(int) - zoo.pixels(numbers["cmyk.jpg"])
    assert np.abs(cmyk).mean() < 12


def test_add_takes_the_good_and_names_the_rest(animals: Path, tmp_path: Path) -> None:
    report = collections.add(tmp_path, "mine", animals)
    assert report.good == len(zoo.READ) + len(zoo.RENAMED) and len(report.renamed) == len(zoo.RENAMED)
    same_reasons(dict(report.refused))
    same_reasons(collections.describe(tmp_path / "data/mine")["refused"])
    folder = tmp_path / "data/mine/pictures"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names()
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    str(report).encode()
    assert len(zoo.reasons()) > 15


def test_check_and_prepare_name_what_was_put_there_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    zoo.fill(tmp_path / "data/zoo/pictures", tmp_path / "outside")
    write_json(tmp_path / "data/zoo/collection.json", BEFORE)
    (tmp_path / "params.yaml").write_text("profile: quick\n")
    (report,) = collections.check(tmp_path)
    assert report.good == len(zoo.READ) + len(zoo.RENAMED)
    found = dict(report.refused)
    assert "not an image" in found.pop("notes.txt")
    same_reasons(found)
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    assert cli.main(["data", "check"]) == 2
    shown = capsys.readouterr()
    assert "files cannot be used" in shown.err and "refused 'bomb.png': decompression bomb" in shown.out
    assert cli.main(["data", "list"]) == 0

    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    table = {row["path"]: row["reason"] for row in read_table(tmp_path / "prepared/quarantine.parquet").to_pylist()}
    prefix = "zoo/pictures/"
    assert "not an image" in table.pop(f"{prefix}notes.txt") and "not an image" in table.pop(f"{prefix}.hidden.png")
    for name in zoo.RENAMED:
        assert "control characters or is not UTF-8" in table.pop(prefix + collections.printable(os.fsdecode(name)))
    same_reasons({path.removeprefix(prefix): reason for path, reason in table.items()})
    manifest = read_table(tmp_path / "prepared/photos/test/zoo/manifest.parquet").to_pylist()
    assert {row["path"].removeprefix(prefix) for row in manifest} == set(zoo.READ)
    records = Shards(tmp_path / "prepared/photos/test/zoo")
    assert len(records) == len(zoo.READ) == summary.counts["photos/test/zoo"]
    assert all(record.arrays["image"].dtype == np.uint8 for record in records)


def test_inbox_quarantines_each_with_its_reason(own: Path, tmp_path: Path) -> None:
    long = own / f"{'a' * 251}.png"  # the file of its reason must still find a name
    long.write_bytes(b"")
    found = inbox.take(tmp_path, own, "mine", settle=0.01)
    assert len(found.added) == len(zoo.READ) + len(zoo.RENAMED) and not found.duplicates
    refused = dict(found.refused)
    assert refused.pop(long.name) == "zero bytes" and "not an image" in refused.pop("notes.txt")
    same_reasons(refused)
    quarantine = own / inbox_files.QUARANTINE
    kept = [path for path in quarantine.iterdir() if not path.name.endswith(".reason.txt")]
    notes = [path.read_text() for path in quarantine.glob("*.reason.txt")]
    assert len(kept) == len(notes) == len(zoo.reasons()) + 2
    for name, reason in zoo.reasons().items():
        assert any(note.startswith(f"{name}: ") and reason in note for note in notes), name
    str(found).encode()
    found.finish()
    assert {path.relative_to(own).as_posix() for path in own.rglob("*") if not path.is_dir()
            and inbox_files.QUARANTINE not in path.parts} == {".hidden.png"}
    folder = tmp_path / "data/mine/pictures"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == names()
    str(inbox.take(tmp_path, own, "mine", settle=0.01)).encode()


def test_restore_command(animals: Path, model: Path, tmp_path: Path) -> None:
    for number, name in enumerate([*zoo.READ, *map(os.fsdecode, zoo.RENAMED)]):
        said = restore_file(model, "super_resolution", "bicubic", animals / name, tmp_path / f"{number}.png")
        height, width = (zoo.WIDTH, zoo.HEIGHT) if name == "turned.jpg" else (zoo.HEIGHT, zoo.WIDTH)
        assert f"{2 * width} x {2 * height} pixels" in said
        assert read_picture(tmp_path / f"{number}.png").shape == (2 * height, 2 * width, 3)
    before = set(tmp_path.iterdir())
    for name, reason in zoo.reasons().items():
        if "leads out" in reason:  # a person may name a link; only folders are held together
            continue
        with pytest.raises(UserError) as error:
            restore_file(model, "super_resolution", "bicubic", animals / name, tmp_path / "out.png")
        said = str(error.value)
        assert name in said and (reason in said or "There is no picture" in said), said
    with pytest.raises(UserError, match="not a plain file"):
        restore_file(model, "super_resolution", "bicubic", animals / "device.png", tmp_path / "out.png")
    assert set(tmp_path.iterdir()) == before


def test_restore_command_as_typed(animals: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(model))
    for name in (*zoo.reasons(), "x" * 300 + ".png", "no/such.png"):
        given = ["restore", "--task", "super_resolution", "--model", "bicubic", str(animals / name), "-o",
                 str(tmp_path / "out.png")]
        code = cli.main(given)
        shown = capsys.readouterr()
        assert code in ((0, 2) if name == "out.png" else (2,)) and "Traceback" not in shown.err
        assert name == "out.png" or name in shown.err


def test_a_folder_of_them(animals: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert restore_folder(model, "super_resolution", "bicubic", animals, out) == 1
    good = len(zoo.READ) + len(zoo.RENAMED)
    said = capsys.readouterr().out
    assert f"{good} restored, 0 kept from before, {len(zoo.reasons())} failed, 1 files that are no pictures" in said
    with open(out / "report.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"caf\ufffd.png", "new\nline\t.png"} <= {row["source"] for row in rows}
    failed = {row["source"]: row["reason"] for row in rows if row["status"] == "failed"}
    same_reasons(failed)
    assert sum(path.is_file() for path in out.rglob("*.png")) == good
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>&amp; " not in page and "decompression bomb" in page
    assert restore_folder(model, "super_resolution", "bicubic", animals, out) == 1
    assert f"0 restored, {good} kept from before" in capsys.readouterr().out


@pytest.fixture(scope="module")
def engine(model: Path) -> Iterator[Engine]:
    yield Engine(model, "super_resolution", "bicubic", Limits(megapixels=1.0), threads=1)


def test_serving(engine: Engine) -> None:
    for number, (name, make) in enumerate({**zoo.READ, **zoo.RENAMED}.items()):
        reply = send(engine, {"instances": [{"image": base64.b64encode(make(number)).decode()}]})
        assert reply.status_code == (415 if str(name).endswith(".gif") else 200), (name, reply.text)
    for name, (make, _) in zoo.REFUSED.items():
        reply = send(engine, {"instances": [{"image": base64.b64encode(make(1)).decode()}]})
        assert 400 <= reply.status_code < 500 and list(reply.json()) == ["error"], (name, reply.text)
        assert reply.status_code == 413 or not name.startswith("bomb")
        assert "/tmp" not in reply.text


@pytest.fixture
def plain_folder() -> Iterator[Path]:
    """A folder that is not pytest's, which closes its own to other users whenever another run of it starts."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_without_permission(plain_folder: Path) -> None:
    """Every entrance in a process that may not read one file and one folder."""
    source, work = plain_folder / "in", plain_folder / "work"
    (source / "closed").mkdir(parents=True)
    work.mkdir()
    for name in ("good.png", "shut.png", "closed/inside.png"):
        (source / name).write_bytes(zoo.encoded(zoo.pixels(len(name))))
    if os.geteuid() == 0:  # who may read everything: the process becomes nobody once it has its modules
        for folder in (plain_folder, *plain_folder.parents):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        for path in (source, work, *source.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    (source / "shut.png").chmod(0)
    (source / "closed").chmod(0)
    try:
        done = subprocess.run([sys.executable, "-c", SHUT, str(source), str(work)], capture_output=True, text=True,
                              check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    finally:
        (source / "closed").chmod(0o700)
    said = done.stdout
    assert done.returncode == 0, done.stderr[-2000:]
    assert "add: 1 good [('closed', 'a folder that cannot be read: Permission denied')" in said
    assert "('shut.png', 'no permission to read it')" in said
    assert "check: 1 good [('shut.png', 'no permission to read it')]" in said
    for name in ("shut.png", "closed/inside.png"):
        assert f"command: The picture {source / name} cannot be used: no permission to read it." in said
    assert "folder: 1 [['shut.png', 'no permission to read it']" in said
    assert f"The folder {source / 'closed'} cannot be opened; what is in it is left out." in done.stderr
    assert "inbox: other: 1 added, 1 refused, 1 folders that cannot be read" in said
    assert "'closed': cannot be read" in said and "'shut.png': no permission to read it" in said


NOBODY = 65534
SHUT = """
import contextlib, csv, io, os, sys, tempfile
from pathlib import Path
from restore_ml.data import collections, inbox, inbox_files
from restore_ml.base.errors import UserError
from restore_ml.serving.restore_command import encode, read_file
from restore_ml.data.file_kinds import PICTURE
from restore_ml.serving import batch
from tests.faults import zoo
from tests.serving.conftest import add_model

def visit(source, work):
    report = collections.add(work, "mine", source)
    print("add:", report.good, "good", report.refused)
    shut = work / "data/mine/pictures/shut.png"
    shut.write_bytes(b"x")
    shut.chmod(0)
    for report in collections.check(work):
        print("check:", report.good, "good", report.refused)
    for name in ("shut.png", "closed/inside.png"):
        try:
            read_file(PICTURE, source / name, "picture")
        except UserError as error:
            print("command:", error)
    code = batch.restore_folder(work, "super_resolution", "bicubic", source, work / "out")
    rows = csv.DictReader((work / "out/report.csv").read_text(encoding="utf-8").splitlines())
    print("folder:", code, [[row["source"], row["reason"]] for row in rows if row["reason"]])
    print("inbox:", inbox.take(work, source, "other", "test", settle=0.01))

source, work = map(Path, sys.argv[1:])
add_model(work, "bicubic")
if os.geteuid() == 0:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        (Path(folder) / "in").mkdir()
        for name in ("good.png", "other.png"):
            (Path(folder) / "in" / name).write_bytes(encode(zoo.pixels(len(name))))
        add_model(Path(folder) / "work", "bicubic")
        visit(Path(folder) / "in", Path(folder) / "work")  # brings what Python loads late: nobody may read its folder
    for path in (work, *work.rglob("*")):
        os.chown(path, 65534, 65534)
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
visit(source, work)
"""


def test_a_collection_keeps_what_it_says_of_refused_files(animals: Path, tmp_path: Path) -> None:
    """collection.json can be read again, whatever the names were."""
    collections.add(tmp_path, "mine", animals, role="train", source="ünï 図", licence="CC0")
    assert read_json(tmp_path / "data/mine/collection.json")["source"] == "ünï 図"
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    reasons = read_table(tmp_path / "prepared/quarantine.parquet")["reason"].to_pylist()
    assert sum(reason.startswith("left out when it was added: ") for reason in reasons) == len(zoo.reasons())
