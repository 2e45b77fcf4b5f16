"""One small repository, made once; each test gets a copy."""

import pytest

from tests.remotes.repository import Repository


@pytest.fixture(scope="package")
def template(tmp_path_factory):
    """A repository with its data in the cache."""
    return Repository.make(tmp_path_factory.mktemp("template") / "repository")
