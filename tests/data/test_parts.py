"""Files that hold several records: each part is a record of its own, from the folder to the shards."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from restore_ml.base.files import read_json
from restore_ml.data import collections, domains, inbox
from restore_ml.data.domain import identity
from restore_ml.data.ledger import Ledger
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from tests.data.test_toy_domain import hashes, rows

FILE = '''
"""Stacks: an .npy file of N x H x W x 3 holds N records, those of a file being of one group."""

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Domain
from restore_ml.data.pictures import Refused


class Stacks(Domain):
    name, what, channels = "stacks", "slices", (3,)
    suffixes = frozenset((".npy",))

    def parts(self, path, within=None):
        return [f"{number:03d}" for number in range(len(np.load(path)))]

    def group(self, record):
        return record.split("/")[0]

    def read(self, path, within=None):
        if not path.parent.is_file():
            raise Refused("no slice of a stack")
        picture = np.load(path.parent)[int(path.name)]
        if not picture.any():
            raise Refused("an empty slice")
        return {"image": picture}

    def luma(self, arrays):
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture):
        return {"image": picture}


DOMAIN = Stacks()
'''


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file put among the domains, and nothing else changed."""
    folder = tmp_path / "domains"
    folder.mkdir()
    (folder / "stacks.py").write_text(FILE)
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop("restore_ml.data.domains.stacks", None)


def stack(number: int, slices: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(number).integers(0, 256, (slices, 4, 5, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def fill(folder: Path, numbers: range) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        np.save(folder / f"patient {number}.npy", stack(number))
    return folder


@pytest.mark.usefixtures("stacks")
def test_from_a_file_of_many_to_shards(tmp_path: Path) -> None:
    """Six patients of three slices; one slice is empty, and a slice of one patient is tested on."""
    source = fill(tmp_path / "in", range(6))
    broken = stack(1)
    broken[2] = 0
    np.save(source / "patient 1.npy", broken)
    report = collections.add(tmp_path, "mine", source, role="train", domain="stacks")
    assert report.good == 17 and report.refused == [("patient 1.npy/002", "an empty slice")]
    about = collections.describe(tmp_path / "data/mine")
    assert len(about["pictures"]) == 17 and about["pictures"]["patient 2.npy/001"] == {"group": "patient 2.npy"}
    (tmp_path / "tests").mkdir()
    np.save(tmp_path / "tests/other.npy", stack(3)[1:2])
    collections.add(tmp_path, "tested", tmp_path / "tests", domain="stacks")
    assert [check.good for check in collections.check(tmp_path)] == [17, 1]

    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    found = rows(tmp_path / "prepared")
    assert summary.counts["stacks/test/tested"] == 1 and len(found) == 17 - 3 + 1
    first = found["mine/pictures/patient 0.npy/000"]
    assert (first["name"], first["group"]) == ("patient 0.npy/000", "patient 0.npy")
    sides: dict[str, set[str]] = {}
    for row in found.values():
        sides.setdefault(str(row["group"]), set()).add(str(row["split"]))
    assert all(len(side) == 1 for side in sides.values()) and {"validation"} in sides.values()
    shards = Shards(tmp_path / "prepared/stacks/test/tested")
    assert np.array_equal(shards[0].arrays["image"], stack(3)[1]) and shards[0].id == identity(shards[0].arrays)


@pytest.mark.usefixtures("stacks")
def test_a_ledger_knows_each_part_and_a_changed_file_loses_all_of_its_own(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collections.add(tmp_path, "mine", fill(tmp_path / "in", range(4)), role="train", domain="stacks")
    prepare(tmp_path / "data", tmp_path / "plain", 1)
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    assert hashes(tmp_path / "prepared") == hashes(tmp_path / "plain")
    read: list[str] = []
    kind = domains.get("stacks")
    plain = type(kind).read
    monkeypatch.setattr(type(kind), "read", lambda self, path, within=None: read.append(
        f"{path.parent.name}/{path.name}") or plain(self, path, within))
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    assert read == []
    np.save(tmp_path / "data/mine/pictures/patient 2.npy", stack(99))
    prepare(tmp_path / "data", tmp_path / "prepared", 1, ledger=Ledger(tmp_path / "ledger.sqlite", "x"))
    assert read == [f"patient 2.npy/{number:03d}" for number in range(3)]
    prepare(tmp_path / "data", tmp_path / "plain", 1)
    assert hashes(tmp_path / "prepared") == hashes(tmp_path / "plain")


@pytest.mark.usefixtures("stacks")
def test_a_file_that_nothing_is_known_of_is_quarantined_not_guessed(tmp_path: Path) -> None:
    collections.add(tmp_path, "mine", fill(tmp_path / "in", range(2)), role="train", domain="stacks")
    np.save(tmp_path / "data/mine/pictures/dropped.npy", stack(7))
    (tmp_path / "data/mine/pictures/patient 0.npy").unlink()
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.reasons == {"no slice": 4}
    assert summary.counts["stacks/train"] + summary.counts["stacks/validation"] == 3


@pytest.mark.usefixtures("stacks")
def test_an_inbox_takes_a_file_of_many_and_names_its_parts(tmp_path: Path) -> None:
    box = fill(tmp_path / "box", range(2))
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="stacks")
    assert taken.added == ["patient 0.npy", "patient 1.npy"]
    pictures = read_json(tmp_path / "data/mine/collection.json")["pictures"]
    assert len(pictures) == 6 and pictures["patient 1.npy/002"] == {"group": "patient 1.npy"}
    taken.finish()
    np.save(box / "again.npy", stack(1))
    assert inbox.take(tmp_path, box, "mine", settle=0.0, domain="stacks").already == ["again.npy"]
    assert prepare(tmp_path / "data", tmp_path / "prepared", 1).counts["stacks/validation"] == 3
