"""One small project for all walks of a session."""

import pytest

from tests.walk.material import Project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("walk"))
