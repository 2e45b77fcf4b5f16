"""The ledger: it vouches for unchanged files only, and no harm to it changes a byte of what is made."""

import hashlib
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json
from restore_ml.data import decoding, ledger
from restore_ml.data.ledger import ABSENT, Ledger, keep_only, mark
from restore_ml.data.manifest import read_table
from restore_ml.data.pictures import pixel_hash
from restore_ml.data.prepare import PREFIX, prepare


def hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))


def collection(root: Path, name: str, numbers, role: str = "train") -> Path:
    folder = root / "data" / name / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    write_json(folder.parent / "collection.json", {"name": name, "role": role, "domain": "photos", "synthetic": False,
                                                   "source": "x", "licence": "x"})
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Hundreds of small files: no waiting for the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    collection(tmp_path, "learn", range(30))
    collection(tmp_path, "tests", range(100, 106), "test")
    return tmp_path


def remembering(root: Path, **options) -> Path:
    prepare(root / "data", root / "with", 1, ledger=Ledger(root / ".state/x.sqlite", "code"), **options)
    return root / "with"


def afresh(root: Path) -> dict[str, str]:
    prepare(root / "data", root / "without", 1)
    found = hashes(root / "without")
    (root / "without").rename(root / f"old{len(list(root.glob('old*')))}")
    return found


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files that are decoded."""
    seen: list[str] = []
    real = decoding.read
    monkeypatch.setattr(decoding, "read", lambda data, entry: (seen.append(entry.path), real(data, entry))[1])
    return seen


def test_an_unchanged_project_is_not_read_and_keeps_its_files(root, read):
    before = hashes(remembering(root))
    inodes = {path: path.stat().st_ino for path in (root / "with").rglob("*.arrow")}
    assert len(read) == 36
    assert hashes(remembering(root)) == before == afresh(root)
    assert len(read) == 36 + 36  # the second 36 are those of the preparation without a ledger
    assert {path: path.stat().st_ino for path in (root / "with").rglob("*.arrow")} == inodes


def test_new_pictures_are_decoded_and_only_their_shards_written(root, read):
    remembering(root)
    inodes = {path: path.stat().st_ino for path in (root / "with").rglob("*.arrow")}
    read.clear()
    collection(root, "learn", [500, 501])
    remembering(root)
    assert sorted(read) == ["learn/pictures/500.png", "learn/pictures/501.png"]
    changed = {path.stem for path in (root / "with").rglob("*.arrow") if inodes.get(path) != path.stat().st_ino}
    assert changed == {pixel_hash(picture(number))[:PREFIX] for number in (500, 501)}
    assert hashes(root / "with") == afresh(root)


def test_a_new_test_set_is_compared_with_pictures_that_are_not_read_again(root, read):
    remembering(root)
    read.clear()
    tests = collection(root, "more", [], "test")
    whole = np.concatenate([np.random.default_rng(7).integers(0, 256, (90, 90, 3), dtype=np.uint8)] * 2)
    Image.fromarray(whole).save(root / "data/learn/pictures/whole.png")
    remembering(root)
    assert read == ["learn/pictures/whole.png"]
    Image.fromarray(whole[:90]).save(tests / "part.png")
    remembering(root)
    assert read == ["learn/pictures/whole.png", "more/pictures/part.png"]
    reasons = {row["path"]: row["reason"] for row in read_table(root / "with/quarantine.parquet").to_pylist()}
    assert reasons == {"learn/pictures/whole.png": "shares an area with the test picture more/pictures/part.png"}
    assert hashes(root / "with") == afresh(root)
    (tests / "part.png").unlink()  # and back: the picture is decoded again, no shard holds it
    collection(root, "more", [300], "test")
    assert hashes(remembering(root)) == afresh(root)


CHANGES = st.lists(st.tuples(st.sampled_from(["add", "delete", "replace", "rename", "break", "test", "twin"]),
                             st.integers(0, 39)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGES, min_size=1, max_size=3), st.sampled_from([1, 3, 64]))
def test_any_changes_give_the_bytes_of_a_preparation_from_nothing(tmp_path_factory, rounds, chunk):
    root = tmp_path_factory.mktemp("changes")
    learn = collection(root, "learn", range(8))
    tests = collection(root, "tests", [100, 101], "test")
    remembering(root)
    for changes in rounds:
        for what, number in changes:
            file = learn / f"{number}.png"
            if what in ("add", "replace"):
                Image.fromarray(picture(number + (1000 if what == "replace" else 0))).save(file)
            elif what == "delete":
                file.unlink(missing_ok=True)
            elif what == "rename" and file.exists():
                file.rename(learn / f"moved{number}.png")
            elif what == "break":
                file.write_bytes(b"no picture")
            elif what == "test":
                Image.fromarray(picture(number)).save(tests / f"{number}.png")
            elif what == "twin":
                Image.fromarray(picture(number)).save(learn / f"twin{number}.bmp")
        assert hashes(remembering(root, chunk=chunk)) == afresh(root)


def test_a_shard_that_somebody_has_touched_is_made_again(root):
    before = hashes(remembering(root))
    shards = sorted((root / "with").rglob("*.arrow"))
    data = shards[0].read_bytes()
    place = data.index(picture_of(shards[0]))
    shards[0].write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1:])
    shards[1].write_bytes(b"")
    shards[2].unlink()
    (root / "with/photos/train/.left.arrow").write_bytes(b"by a killed process")
    (root / "with/photos/test/gone").mkdir()
    (root / "with/photos/test/gone/manifest.parquet").write_bytes(b"of a test set that was removed")
    assert hashes(remembering(root)) == before
    assert not (root / "with/photos/test/gone").exists()


def picture_of(path: Path) -> bytes:
    from restore_ml.data.shards import Shard

    return Shard(path)[0].arrays["image"].tobytes()


def test_a_file_that_changes_while_it_is_prepared_is_a_sentence(root, monkeypatch):
    remembering(root)
    for path in (root / "with").rglob("*.arrow"):
        path.unlink()
    file = root / "data/learn/pictures/3.png"
    real = decoding.again

    def late(data, one, old, intact):
        facts = file.stat()
        Image.fromarray(picture(999)).save(file)
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return real(data, one, old, intact)

    monkeypatch.setattr("restore_ml.data.prepare.again", late)
    with pytest.raises(UserError, match=r"learn/pictures/3.png was changed while it was prepared"):
        remembering(root)


@pytest.mark.parametrize("harm", ["garbage", "cut", "locked", "folder", "columns"])
def test_a_harmed_ledger_costs_time_and_nothing_else(root, harm, monkeypatch):
    before = hashes(remembering(root))
    path = root / ".state/x.sqlite"
    blocker = None
    if harm == "garbage":
        path.write_bytes(b"this is no database, and it is longer than a header of one hundred bytes" * 9)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif harm == "folder":
        path.unlink()
        path.mkdir()
    elif harm == "columns":
        with sqlite3.connect(path) as database:
            database.execute("DROP TABLE made")
            database.execute("CREATE TABLE made (other TEXT)")
    else:
        monkeypatch.setattr(ledger, "PATIENCE", 0.05)
        blocker = sqlite3.connect(path)
        blocker.execute("BEGIN EXCLUSIVE")
    assert hashes(remembering(root)) == before
    if blocker is not None:
        blocker.close()
    assert hashes(remembering(root)) == before


def test_other_code_or_settings_know_nothing(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    first = Ledger(tmp_path / "l", {"code": 1})
    first.put(file, "value")
    first.save()
    assert Ledger(tmp_path / "l", {"code": 1}).get(file) == "value"
    assert Ledger(tmp_path / "l", {"code": 2}).get(file) is None
    assert Ledger(tmp_path / "l", {"code": 1}).get(file) is None


def test_an_entry_holds_for_that_file_and_that_key(tmp_path):
    file, known = tmp_path / "file", Ledger(tmp_path / "l", 1)
    file.write_text("x")
    known.put(file, "value", "key", b"raw")
    assert (known.get(file, "key"), known.get(file, None), known.get(file), known.raw(file)) == (
        "value", "value", None, b"raw")
    os.utime(file, ns=(1, 1))
    assert known.get(file, "key") is None
    known.put(file, "value")
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    os.utime(copy, ns=(1, 1))
    os.replace(copy, file)  # the same size and time, another inode
    assert known.get(file) is None
    known.put(tmp_path / "none", "absent")
    assert mark(tmp_path / "none") == ABSENT and known.get(tmp_path / "none") == "absent"
    (tmp_path / "none").write_text("there")
    assert known.get(tmp_path / "none") is None
    (tmp_path / "link").symlink_to(file)
    known.put(tmp_path / "link", "value")
    assert known.get(tmp_path / "link") is None
    known.put(file, "value")
    known.prune(tmp_path, [file])
    assert known.get(file) == "value" and known.get(tmp_path / "none", None) is None


def test_digest_follows_the_bytes(tmp_path):
    known, file = Ledger(tmp_path / "l", 1), tmp_path / "file"
    for text in ("one", "three"):
        file.write_text(text)
        assert known.digest(file) == known.digest(file) == hashlib.sha256(text.encode()).hexdigest()


def test_only_what_is_wanted_is_kept(tmp_path):
    for name in ("a/b/keep", "a/b/go", "c/go", "go"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    keep_only(tmp_path, [tmp_path / "a/b/keep"])
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "a/b", "a/b/keep"]


