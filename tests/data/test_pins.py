"""What a person took out of the embedded pictures stays out; what differs from the pin is told with what helps."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml.base.errors import UserError
from restore_ml.base.programs import dvc, git
from restore_ml.data import pins
from tests.data.test_data_commands import call, pictures, project  # noqa: F401 - a fixture


@pytest.fixture
def repository(project, monkeypatch) -> Path:  # noqa: F811
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    git(project, "init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=project, check=True)
    assert call("init") == 0
    commit(project, "start")
    return project


def commit(root: Path, message: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", message)


def remove(root: Path, *names: str) -> None:
    for name in names:
        path = root / "data" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    dvc(root, "add", "data")


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted((root / "data").rglob("*"))
            if path.is_file()}


def test_what_was_taken_out_stays_out_here_and_in_every_clone(repository, tmp_path_factory, monkeypatch, capsys):
    remove(repository, "scenes", "photos_train/pictures/page.png")
    left, pinned = content(repository), pins.read(repository)
    capsys.readouterr()
    assert call("init") == 0
    said = capsys.readouterr().out
    assert content(repository) == left and pins.read(repository) == pinned
    assert "data/ is what data.dvc pins." in said
    assert "Left out of data/: scenes, photos_train/page.png;" in said or (
        "Left out of data/: photos_train/page.png, scenes;" in said)
    assert pins.without(repository) == ["photos_train/page.png", "scenes"]
    assert call("init") == 0 and "noted in data.dvc" not in capsys.readouterr().out  # it is noted already
    commit(repository, "without scenes")
    # DVC itself keeps the note
    dvc(repository, "add", "data")
    assert git(repository, "status", "--porcelain") == ""

    clone = tmp_path_factory.mktemp("clone") / "project"  # neither data/ nor DVC's cache
    git(repository, "clone", "--quiet", str(repository), str(clone))
    monkeypatch.setenv("RESTORE_ML_ROOT", str(clone))
    assert call("init") == 0 and "data/ is what data.dvc pins." in capsys.readouterr().out
    assert content(clone) == left and pins.read(clone) == pinned
    assert git(clone, "status", "--porcelain") == ""

    assert call("init", "--all") == 0 and "Pinned in data.dvc" in capsys.readouterr().out
    assert (clone / "data/scenes").is_dir() and pins.without(clone) == []
    assert (clone / "data/photos_train/pictures/page.png").is_file()


def test_a_change_of_branch_is_told_with_what_helps(repository, tmp_path_factory):
    other = git(repository, "rev-parse", "--abbrev-ref", "HEAD").strip()
    git(repository, "checkout", "--quiet", "-b", "mine")
    assert call("add", "mine", str(pictures(tmp_path_factory.mktemp("given") / "in", "a.png"))) == 0
    commit(repository, "mine")
    git(repository, "checkout", "--quiet", other)
    pinned = (repository / "data.dvc").read_text()
    with pytest.raises(UserError, match=r"After a change of branch `dvc checkout data\.dvc` brings what is pinned"):
        call("init")
    assert (repository / "data.dvc").read_text() == pinned and (repository / "data/mine").is_dir()
    dvc(repository, "checkout", "data.dvc")
    assert not (repository / "data/mine").exists() and call("init") == 0
    # an emptied data/ is filled from DVC's cache, collections of one's own included
    git(repository, "checkout", "--quiet", "mine")
    shutil.rmtree(repository / "data")
    assert call("init") == 0 and (repository / "data/mine/pictures/a.png").is_file()


def test_pictures_that_lie_elsewhere_are_said_to(repository, tmp_path_factory, monkeypatch):
    assert call("add", "mine", str(pictures(tmp_path_factory.mktemp("given") / "in", "a.png"))) == 0
    commit(repository, "mine")
    clone = tmp_path_factory.mktemp("clone") / "project"
    git(repository, "clone", "--quiet", str(repository), str(clone))
    monkeypatch.setenv("RESTORE_ML_ROOT", str(clone))
    with pytest.raises(UserError, match="no remote of DVC is set up here: ask whoever pinned them to `dvc push`"):
        call("init")
    dvc(clone, "remote", "add", "--default", "there", str(clone.parent / "remote"))
    with pytest.raises(UserError, match=r"`dvc pull data\.dvc` fetches them"):
        call("init")


def test_a_conflict_in_the_pin_is_told_before_anything_is_copied(repository, tmp_path_factory):
    text = (repository / "data.dvc").read_text()
    (repository / "data.dvc").write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> mine\n")
    for command in (("init",), ("add", "mine", str(pictures(tmp_path_factory.mktemp("given") / "in", "a.png")))):
        with pytest.raises(UserError, match=r"data\.dvc holds a merge conflict .* `git checkout --ours data\.dvc`"):
            call(*command)
    assert not (repository / "data/mine").exists()
