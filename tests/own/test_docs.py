"""The pages docs/own-*.md say what happens: their code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from restore_ml.own.result import Comparison
from tests.tracking import small_project

PAGE = Path(__file__).parents[2] / "docs" / "own-function.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = small_project.build(tmp_path / "project")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    return root


def test_the_ten_lines_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand on the page, in a project that has one inpainting case."""
    from tests.own.made import inpainting

    inpainting(project)
    first, _ = blocks()
    assert len(first.splitlines()) <= 10
    names: dict[str, object] = {}
    exec(first, names)  # the page's own lines
    assert isinstance(names["result"], Comparison) and not names["result"].problems
    assert "navier_stokes against who leads, telea: " in capsys.readouterr().out


def test_a_torch_module_by_a_lambda_runs(project: Path) -> None:
    names: dict[str, object] = {"torch": torch}
    exec("import restore_ml\n" + blocks()[1], names)
    assert isinstance(names["result"], Comparison) and not names["result"].problems
