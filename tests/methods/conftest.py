"""The small project that the colorization methods are trained in, one for each test module."""

from pathlib import Path

import pytest

from restore_ml.tasks.base import Material
from tests.methods import colour_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_project.fill(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def material(project: Path) -> Material:
    return Material(project / "samples" / "colorization" / "train")
