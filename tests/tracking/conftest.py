"""One small project and one migrated store, built once; each test gets its own copy."""

import shutil
from pathlib import Path

import pytest

from restore_ml.tracking import store
from tests.graphs import edit_runs
from tests.tracking import small_project


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("built") / "project")


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("migrated")
    assert store.migrate(root) is None
    return store.database(root)


def _copy(built: Path, migrated: Path, root: Path) -> Path:
    shutil.copytree(built, root)
    store.artifacts(root).mkdir(parents=True)
    shutil.copyfile(migrated, store.database(root))
    return root


@pytest.fixture
def project(_built: Path, _migrated: Path, tmp_path: Path) -> Path:
    """A project of three runs (one failed) with an empty, migrated store."""
    return _copy(_built, _migrated, tmp_path / "project")


@pytest.fixture
def short(project: Path) -> Path:
    """The same with the runs vdsr and broken only, which is half the work to sync."""
    edit_runs(project, small_project.TASK, bicubic=None)
    for kind in ("parquet", "json"):
        (project / f"scores/{small_project.TASK}/bicubic.{kind}").unlink()
    return project


@pytest.fixture(scope="session")
def synced(_built: Path, _migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was synced once, for tests that only look."""
    from restore_ml.tracking.sync import sync

    root = _copy(_built, _migrated, tmp_path_factory.mktemp("synced") / "project")
    report = sync(root)
    assert sorted(report.written) == [f"super_resolution: {name}" for name in
                                      ("comparison", "run/bicubic", "run/broken", "run/vdsr")]
    return root
