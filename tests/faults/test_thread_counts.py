"""What the number of threads may change: nothing with the same number, little with another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import determinism
from benchmarks.determinism import Result, difference, equal, work

WEIGHTS, VALUES, DECIBEL = 1e-3, 2.0, 0.05
"""What is promised across thread counts for short trainings: the largest difference of a weight, of a restored value
(of 255) and of a PSNR."""


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


def done(method: str, threads: int, folder: Path) -> Result:
    folder.mkdir()
    work(method, threads, folder)
    found: Result = {}
    for part in ("weights", "restored", "scores"):
        with np.load(folder / f"{part}.npz", allow_pickle=False) as stored:
            found[part] = dict(stored)
    return found


@pytest.mark.parametrize("method", ["vdsr"])
def test_the_same_threads_give_the_same_bits_and_others_nearly_the_same(method: str, tmp_path: Path) -> None:
    found = {(threads, again): done(method, threads, tmp_path / f"{threads}{again}")
             for threads in (1, 2) for again in range(2)}
    for threads in (1, 2):
        assert equal(found[threads, 0], found[threads, 1]), threads
        assert found[threads, 0]["weights"] and found[threads, 0]["restored"] and found[threads, 0]["scores"]
    one, two = found[1, 0], found[2, 0]
    assert difference(one["weights"], two["weights"])[0] <= WEIGHTS
    assert difference(one["restored"], two["restored"])[0] <= VALUES
    assert difference(one["scores"], two["scores"])[0] <= DECIBEL


def test_the_comparison_sees_a_single_bit() -> None:
    one: Result = {"weights": {"a": np.float32([1, 0])}, "restored": {}, "scores": {}}
    for other in ([1, -0.0], [np.nextafter(np.float32(1), np.float32(2)), 0]):
        assert not equal(one, {**one, "weights": {"a": np.float32(other)}})
    assert determinism.worst([(0.0, 1.0)]) == "same bits" and "1.0e-03 of 2" in determinism.worst([(1e-3, 2.0)])
