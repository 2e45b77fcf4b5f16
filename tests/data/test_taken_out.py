"""What a person took out of the embedded collections stays out in other clones, whatever a record is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from restore_ml.data import embedded
from restore_ml.data.collections import PICTURES
from tests.data.domains.collected import clip, film, picture, save


def clips(folder: Path) -> dict[str, Any]:
    """Two folders of frames, and a film of two parts."""
    save(folder / "walk", clip(1))
    save(folder / "run", clip(2))
    film(folder / "long.avi", clip(3, 40), "MJPG")
    parts = ("walk", "run", "long.avi/0000-0019", "long.avi/0020-0039")
    return {"role": "test", "domain": "clips", "synthetic": True, "source": "x", "licence": "y",
            "pictures": {part: {"group": part.partition("/")[0]} for part in parts}}


def faces(folder: Path) -> dict[str, Any]:
    """Two pictures of one person, each with its landmarks."""
    for number in (1, 2):
        picture(folder / f"anna/{number}.png", clip(number)[0])
        (folder / f"anna/{number}.json").write_text('{"landmarks": [[3, 4]]}')
    return {"role": "test", "domain": "faces", "synthetic": True, "source": "x", "licence": "y",
            "pictures": {f"anna/{number}.png": {"group": "anna"} for number in (1, 2)}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(embedded, "_makers", lambda: {"clips": ("clips", clips), "faces": ("faces", faces)})
    return tmp_path


def files(root: Path, name: str) -> list[str]:
    folder = root / "data" / name / PICTURES
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "removed", "absent", "left"), [
    ("clips", ["walk"], ["clips/walk"], ["long.avi", *(f"run/{number:04d}.png" for number in range(5))]),
    ("clips", ["long.avi", "run"], ["clips/long.avi/0000-0019", "clips/long.avi/0020-0039", "clips/run"],
     [f"walk/{number:04d}.png" for number in range(5)]),
    ("faces", ["anna/1.png", "anna/1.json"], ["faces/anna/1.png"], ["anna/2.json", "anna/2.png"]),
    ("faces", ["anna"], ["faces/anna/1.png", "faces/anna/2.png"], []),
])
def test_it_is_noted_by_record_and_left_out_elsewhere(root: Path, tmp_path: Path, name: str, removed: list[str],
                                                      absent: list[str], left: list[str]) -> None:
    embedded.lay_out(root)
    for record in removed:
        embedded.remove(root / "data" / name / PICTURES / record)
    assert embedded.absent(root) == absent and files(root, name) == left
    embedded.lay_out(tmp_path / "clone", absent)
    assert files(tmp_path / "clone", name) == left
    assert embedded.absent(tmp_path / "clone") == absent
    embedded.put_back(tmp_path / "clone")
    assert embedded.absent(tmp_path / "clone") == []


def test_a_part_alone_cannot_be_taken_out_of_a_film(root: Path) -> None:
    embedded.lay_out(root, ["clips/long.avi/0000-0019", "clips/none", "faces"])
    assert "long.avi" in files(root, "clips") and embedded.absent(root) == ["faces"]
