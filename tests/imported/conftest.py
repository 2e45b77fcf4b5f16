"""A small project on disk, with a network of three layers whose weights are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore_ml import registry
from tests.graphs import write_runs

TASK, SETTINGS = "super_resolution", {"layers": 3, "width": 4}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the runs bicubic and vdsr, without DVC."""
    (tmp_path / "params.yaml").write_text("profile: quick\nseed: 1\n")
    write_runs(tmp_path, TASK, {"bicubic": {}, "vdsr": {"quick": {"layers": 4, "width": 8}}})
    (tmp_path / "brought").mkdir()
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """The weights of vdsr with three layers of 4."""
    torch.manual_seed(5)
    return registry.method(TASK, "vdsr", SETTINGS).networks()["net"].state_dict()
