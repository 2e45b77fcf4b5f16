"""A kind of data that one file defines goes through everything, with no other edit."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.data import collections, domains, inbox, inbox_files
from restore_ml.data.domain import identity
from restore_ml.data.embedded import lay_out
from restore_ml.data.ledger import Ledger
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards

FILE = '''
"""Clips: a folder of frames a record, in a folder for each film, which is never split."""

from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Domain
from restore_ml.data.pictures import Refused, read_picture


class Films(Domain):
    name, what, main, channels = "films", "clips", "frames", (3,)
    suffixes = frozenset((".png",))
    likeness = likeness.Likeness(distance=2, correlation=0.999)

    def records(self, files):
        found = {}
        for file in files:
            path = PurePosixPath(file)
            if path.suffix.lower() in self.suffixes and len(path.parts) > 1:
                found.setdefault(path.parent.as_posix(), []).append(file)
        return found

    def promises(self, record):
        return True

    def group(self, record):
        return record.split("/")[0]

    def read(self, path, within=None):
        if not path.is_dir():
            raise Refused("not a folder of frames")
        frames = [read_picture(file, within) for file in sorted(path.glob("*.png"))]
        if len(frames) < 2:
            raise Refused(f"too short: {len(frames)} frames, at least 2 are needed")
        if len({frame.shape for frame in frames}) > 1:
            raise Refused("frames of different sizes")
        return {"frames": np.stack(frames)}

    def luma(self, arrays):
        return likeness.luma(arrays["frames"][0])

    def from_rgb(self, picture):
        return {"frames": np.stack([picture, picture])}


DOMAIN = Films()
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file put among the domains, and nothing else changed."""
    folder = tmp_path / "domains"
    folder.mkdir()
    (folder / "films.py").write_text(FILE)
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop("restore_ml.data.domains.films", None)


def clip(number: int, frames: int = 3) -> np.ndarray:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (frames, 4, 5, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def save(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04d}.png")


def films(folder: Path, numbers: range, takes: int = 2) -> Path:
    for film in numbers:
        for take in range(takes):
            save(folder / f"film {film}/take {take}", clip(10 * film + take))
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {row["path"]: row for path in manifests(out) for row in read_table(path).to_pylist()}


@pytest.mark.usefixtures("toy")
def test_from_a_folder_to_shards(tmp_path: Path) -> None:
    """Six films of two takes; a take of a tested film, one that is too short and one of two sizes are kept out."""
    source = films(tmp_path / "in", range(6))
    save(source / "film 0/short", clip(900, 1))
    save(source / "film 1/two sizes", clip(901))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(source / "film 1/two sizes/9.png")
    (source / "film 2/take 0/notes.txt").write_text("no frame")
    (source / "film 3/@eaDir").mkdir()
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(source / "film 3/@eaDir/thumb.png")
    report = collections.add(tmp_path, "mine", source, role="train", domain="films")
    assert report.good == 12 and str(report).startswith("mine: 12 clips, 2 refused.")
    assert dict(report.refused) == {"film 0/short": "too short: 1 frames, at least 2 are needed",
                                    "film 1/two sizes": "frames of different sizes"}
    assert collections.describe(tmp_path / "data/mine")["pictures"]["film 2/take 1"] == {"group": "film 2"}
    assert not (tmp_path / "data/mine/pictures/film 0/short").exists()
    assert not (tmp_path / "data/mine/pictures/film 2/take 0/notes.txt").exists()
    tested = tmp_path / "tests"
    save(tested / "other/take", clip(10))  # that of film 1
    collections.add(tmp_path, "tested", tested, domain="films")
    (check, _) = collections.check(tmp_path)
    assert (check.good, check.refused) == (12, [])

    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    found = rows(tmp_path / "prepared")
    assert found.keys() == {f"mine/pictures/film {film}/take {take}" for film in (0, 2, 3, 4, 5) for take in (0, 1)} | {
        "tested/pictures/other/take"}
    first = found["mine/pictures/film 0/take 0"]
    assert (first["width"], first["height"], first["channels"], first["dtype"]) == (40, 32, 3, "uint8")
    assert first["group"] == "film 0" and first["name"] == "film 0/take 0"
    sides: dict[str, set[str]] = {}
    for row in found.values():
        sides.setdefault(str(row["group"]), set()).add(str(row["split"]))
    assert all(len(side) == 1 for side in sides.values()) and sides["other"] == {"test"}
    assert sum(side == {"validation"} for side in sides.values()) == 1
    reasons = {row["path"]: row["reason"] for row in read_table(tmp_path / "prepared/quarantine.parquet").to_pylist()}
    assert reasons["mine/pictures/film 1/take 0"] == "duplicate of the test picture tested/pictures/other/take"
    assert reasons["mine/pictures/film 1/take 1"].startswith("same group as mine/pictures/film 1/take 0")
    assert len(reasons) == 4 and summary.counts["films/test/tested"] == 1 and "films/train: 8 clips" in str(summary)
    record = Shards(tmp_path / "prepared/films/train").find(str(next(
        row["id"] for row in found.values() if row["split"] == "train")))
    assert record.arrays["frames"].shape == (3, 32, 40, 3) and record.id == identity(record.arrays)


@pytest.mark.usefixtures("toy")
def test_a_ledger_knows_a_folder_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collections.add(tmp_path, "mine", films(tmp_path / "in", range(4)), role="train", domain="films")
    prepare(tmp_path / "data", tmp_path / "plain", 1)
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    read: list[Path] = []
    kind = domains.get("films")
    plain = type(kind).read
    monkeypatch.setattr(type(kind), "read", lambda self, path, within=None: read.append(path) or plain(
        self, path, within))
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    assert read == [] and hashes(tmp_path / "prepared") == hashes(tmp_path / "plain")
    changed = tmp_path / "data/mine/pictures/film 2/take 1"
    save(changed, clip(777))
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    assert read == [changed]
    prepare(tmp_path / "data", tmp_path / "plain", 1)
    assert hashes(tmp_path / "prepared") == hashes(tmp_path / "plain")


@pytest.mark.usefixtures("toy")
def test_an_inbox_takes_whole_clips(tmp_path: Path) -> None:
    box = films(tmp_path / "box", range(2))
    (box / "film 1/take 1/0002.png").rename(box / "film 1/take 1/0002.png.part")
    save(box / "film 9/short", clip(5, 1))
    found = inbox.take(tmp_path, box, "mine", settle=0.0, domain="films")
    assert found.added == ["film 0/take 0", "film 0/take 1", "film 1/take 0"]
    assert found.growing == ["film 1/take 1/0002.png.part"]  # the whole take waits for its last frame
    assert found.refused == [("film 9/short", "too short: 1 frames, at least 2 are needed")]
    assert (box / inbox_files.QUARANTINE / "film 9__short/0000.png").is_file()
    found.finish()
    assert {path.parent.name for path in box.glob("film */*/*.png")} == {"take 1"}
    save(box / "again", clip(0))
    assert inbox.take(tmp_path, box, "mine", settle=0.0).already == ["again"]


@pytest.mark.usefixtures("toy")
def test_the_command_line_and_what_needs_no_download_know_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path / "p"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p/params.yaml").write_text("profile: quick\n")
    source = films(tmp_path / "in", range(2))
    assert cli.main(["data", "add", "mine", str(source), "--domain", "films", "--role", "train"]) == 0
    assert "mine: 4 clips." in capsys.readouterr().out
    assert cli.main(["data", "add", "other", str(source), "--domain", "films", "--layout", "selfexsr"]) == 2
    assert "layout of films is 'selfexsr'; it must be one of auto, plain" in capsys.readouterr().err
    assert cli.main(["data", "check"]) == 0
    others = {name for domain in domains.names() for name in domains.get(domain).embedded()} - {"scenes"}
    assert {folder.name for folder in lay_out(tmp_path / "q", without=others)} == {"scenes"}


@pytest.mark.parametrize("name", domains.names())
def test_every_domain_says_what_it_must(name: str) -> None:
    kind = domains.get(name)
    arrays = kind.from_rgb(np.random.default_rng(1).integers(0, 256, (32, 40, 3), dtype=np.uint8))
    main, grey = arrays[kind.main], kind.luma(arrays)
    assert kind.name == name and main.shape[-3:-1] == (32, 40) and main.dtype.name == kind.dtype
    assert kind.channels is None or main.shape[-1] in kind.channels
    assert (grey is None) == (kind.likeness is None)
    assert grey is None or (grey.shape == (32, 40) and grey.dtype == np.uint8)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in kind.suffixes)
    assert kind.promises(f"a/B{min(kind.suffixes).upper()}") and not kind.promises("a/notes.txt")


def test_a_domain_that_there_is_not() -> None:
    with pytest.raises(UserError, match=r"domain is 'nothing'; it must be one of .*photos.*, scenes\."):
        domains.get("nothing")
