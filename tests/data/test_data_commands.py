"""`restore-ml data ...` with a real DVC repository."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.data import domains, embedded_photos
from restore_ml.data.commands import add_parser
from restore_ml.data.domains import scenes
from restore_ml.data.sources import old_photos, real_scenes


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser("restore-ml")
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["data", *arguments])
    return options.command(options)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "params.yaml").write_text("profile: cpu\n")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    # two photographs are enough here; what is laid out has its own tests
    monkeypatch.setattr(domains, "names", lambda: ["photos", "scenes"])
    monkeypatch.setattr(real_scenes, "makers", dict)
    monkeypatch.setattr(old_photos, "makers", dict)
    monkeypatch.setattr(embedded_photos, "PHOTOGRAPHS", tuple(
        photo for photo in embedded_photos.PHOTOGRAPHS if photo.name in ("chelsea", "coins", "page")))
    monkeypatch.setattr(scenes, "INDICES", {"train": range(1), "validation": range(1, 2), "test": range(2, 3)})
    return tmp_path


@pytest.fixture
def repository(project) -> Path:
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=project, check=True)
    return project


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        values = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(values).save(folder / name)
    return folder


def test_init_add_list_check(repository, capsys):
    assert call("init") == 0
    assert "Pinned in data.dvc" in capsys.readouterr().out
    pointer = (repository / "data.dvc").read_text()
    assert call("init") == 0 and (repository / "data.dvc").read_text() == pointer
    assert "data/ is what data.dvc pins" in capsys.readouterr().out
    folder = pictures(repository / "in", "a b.png", "c.png")
    assert call("add", "mine", str(folder), "--role", "train", "--licence", "own") == 0
    assert "mine: 2 photographs." in capsys.readouterr().out and (repository / "data.dvc").read_text() != pointer
    assert call("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["mine", "train", "photos", "2"], ["photos", "test", "photos", "2"], ["photos_train", "train", "photos", "2"],
        ["scenes", "test", "scenes", "1"], ["scenes_train", "train", "scenes", "2"]]
    assert call("check") == 0 and "mine: 2 photographs." in capsys.readouterr().out
    (repository / "data/mine/pictures/c.png").unlink()
    (repository / "data/mine/pictures/c.png").write_bytes(b"")
    with pytest.raises(UserError, match="1 files cannot be used"):
        call("check")
    assert "'c.png': zero bytes" in capsys.readouterr().out
    # what is laid out now is not what is pinned: said, and the pin stays
    pinned = (repository / "data.dvc").read_text()
    with pytest.raises(UserError, match=r"is not what data\.dvc pins"):
        call("init")
    assert (repository / "data.dvc").read_text() == pinned


def test_without_dvc_the_pictures_are_there_all_the_same(project, capsys):
    assert call("list") == 0 and "no collections" in capsys.readouterr().out
    assert call("init") == 0
    assert "is no DVC repository" in capsys.readouterr().out and not (project / "data.dvc").exists()
    assert call("add", "mine", str(pictures(project / "in", "a.png"))) == 0
    assert (project / "data/mine/collection.json").is_file()


def test_a_failing_dvc_is_a_sentence(project):
    (project / ".dvc").mkdir()
    with pytest.raises(UserError, match="`dvc add data` failed"):
        call("add", "mine", str(pictures(project / "in", "a.png")))
    assert (project / "data/mine").is_dir()


def test_bad_arguments(project, capsys):
    with pytest.raises(SystemExit):
        call("add", "mine")
    with pytest.raises(SystemExit):
        call("add", "mine", ".", "--role", "exam")
    assert "exam" in capsys.readouterr().err
