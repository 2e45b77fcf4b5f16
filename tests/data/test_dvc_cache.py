"""Links into DVC's cache are pictures; links to anywhere else lead out of the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data import collections
from restore_ml.data.dvc_cache import is_cached
from restore_ml.data.pictures import Refused, read_picture
from restore_ml.data.prepare import prepare

ENTRY = "files/md5/ab/0123456789abcdef0123456789abcd"
PICTURE = np.random.default_rng(4).integers(0, 256, (24, 30, 3), dtype=np.uint8)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository with a collection of one picture, and none of this machine's own settings."""
    for name in ("DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "p/.dvc").mkdir(parents=True)
    (tmp_path / "in").mkdir()
    Image.fromarray(PICTURE).save(tmp_path / "in/a.png")
    collections.add(tmp_path / "p", "mine", tmp_path / "in")
    return tmp_path / "p"


def linked(project: Path, cache: Path, entry: str = ENTRY) -> Path:
    """The collection's picture moved into a cache and linked from there, as `cache.type symlink` does."""
    path, home = project / "data/mine/pictures/a.png", cache / entry
    home.parent.mkdir(parents=True, exist_ok=True)
    path.rename(home)
    path.symlink_to(home)
    return path


def configure(path: Path, cache: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[core]\n    analytics = false\n[cache]\n    type = symlink\n    dir = {cache}\n")


@pytest.mark.parametrize("entry", [ENTRY, "ab/0123456789abcdef0123456789abcd"])
def test_the_cache_of_the_repository(project: Path, entry: str) -> None:
    path = linked(project, project / ".dvc/cache", entry)
    assert np.array_equal(read_picture(path, path.parent), PICTURE)
    (report,) = collections.check(project)
    assert (report.good, report.refused) == (1, [])
    summary = prepare(project / "data", project / "prepared", 1)
    assert summary.counts["photos/test/mine"] == 1 and summary.quarantined == 0


@pytest.mark.parametrize(("file", "given"), [
    ("p/.dvc/config", "../../shared"), ("p/.dvc/config.local", "{tmp}/shared"),
    ("DVC_GLOBAL_CONFIG_DIR/config", "{tmp}/shared"), ("DVC_SYSTEM_CONFIG_DIR/config", "{tmp}/shared")])
def test_a_cache_that_is_configured(project: Path, file: str, given: str) -> None:
    path = linked(project, project.parent / "shared")
    with pytest.raises(Refused, match="leads out"):
        read_picture(path, path.parent)
    configure(project.parent / file, given.format(tmp=project.parent))
    assert np.array_equal(read_picture(path, path.parent), PICTURE)


@pytest.mark.parametrize("entry", ["secret.png", "files/md5/ab/short", "files/md5/ab/0123456789ABCDEF0123456789abcd"])
def test_only_what_dvc_put_there_counts(project: Path, entry: str) -> None:
    path = linked(project, project / ".dvc/cache", entry)
    with pytest.raises(Refused, match="leads out"):
        read_picture(path, path.parent)


def test_broken_settings_and_folders_outside_a_repository(project: Path, tmp_path: Path) -> None:
    (project / ".dvc/config").write_text("[cache\ndir")
    path = linked(project, project / ".dvc/cache")
    assert np.array_equal(read_picture(path, path.parent), PICTURE)
    assert not is_cached(path.resolve(), tmp_path / "in")
