"""A small project whose inputs were exported, and the command that takes results in."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_ml import cli
from tests.outside import project as made
from tests.outside.project import WHERE, Add


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three samples whose inputs were exported to `exported` beside it."""
    root = made.build(tmp_path / "project")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0
    return root


@pytest.fixture
def add(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Add:
    """`restore-ml outputs add theirs`: exit status and everything it said."""
    def run(*more: str, folder: Path = tmp_path / "results", where: tuple[str, ...] = WHERE,
            name: str = "theirs") -> tuple[int, str]:
        capsys.readouterr()
        status = cli.main(["outputs", "add", name, *where, str(folder), *more])
        said = capsys.readouterr()
        return status, said.out + said.err
    return run
