"""Shared fixtures: where the benchmark pictures are, one thread per test process."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("RESTORE_ML_SHELF", str(Path(__file__).parents[1] / ".state" / "shelf"))
"""Projects that tests lay out elsewhere read from the shelf of this one."""


@pytest.fixture(scope="session")
def benchmark_data() -> Path:
    """The folder with benchmark pictures: $RESTORE_ML_BENCHMARK_DATA, else ../shared/data beside the project."""
    given = os.environ.get("RESTORE_ML_BENCHMARK_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"There are no benchmark pictures in {folder}; set RESTORE_ML_BENCHMARK_DATA to their folder.")
    return folder


@pytest.fixture(scope="session")
def published_weights() -> None:
    """Skips a test where the shelf has no weights of others (`make setup` fetches them)."""
    from restore_ml.data import shelf
    from restore_ml.nn import foreign_weights

    try:
        for name in foreign_weights.WEIGHTS:
            foreign_weights.load(name)
    except shelf.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Test processes run side by side: each gets one thread, and the same bits everywhere."""
    import torch

    torch.set_num_threads(1)
