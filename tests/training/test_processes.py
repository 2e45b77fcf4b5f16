"""Training in two processes by the real `accelerate launch` (gloo): the same results, and no end that hangs."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file

from restore_ml.base.errors import UserError
from restore_ml.training import processes
from restore_ml.training.train import train_run
from tests.training import launching

pytestmark = pytest.mark.slow


def weights(root: Path, run: str) -> dict[str, torch.Tensor]:
    return load_file(next((root / "models").rglob(f"{run}/weights.safetensors")))


def history(root: Path, run: str) -> list[tuple[str, float]]:
    with open(next((root / "models").rglob(f"{run}/history.csv"))) as file:
        return [(f"{row['phase']} {row['step']} {row['term']}", float(row["value"])) for row in csv.DictReader(file)]


def checkpoint_folder(root: Path) -> Path:
    return next((root / ".state/checkpoints").iterdir())


def test_two_processes_give_what_one_gives(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    facts = train_run(launching.project(one, 1), one, one / "models/vdsr")
    launching.project(two, 2)
    status, text, other = launching.train(two, "vdsr")
    assert (status, other.get("status")) == (0, "ok"), text
    assert other["processes"] == 2 and other["fingerprint"] != facts["fingerprint"]
    assert [other[key] for key in ("steps", "training_ops", "parameters")] == [
        facts[key] for key in ("steps", "training_ops", "parameters")]
    mine, theirs = weights(one, "vdsr"), weights(two, "vdsr")
    assert mine.keys() == theirs.keys()
    moved = max(float((value - value.mean()).abs().max()) for value in mine.values())
    assert moved > 0.1
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-5, rtol=0)
    left, right = history(one, "vdsr"), history(two, "vdsr")
    assert [key for key, _ in left] == [key for key, _ in right] and len(left) == 30
    assert [value for _, value in left] == pytest.approx([value for _, value in right], rel=1e-4)
    assert (checkpoint_folder(two) / "done").exists()


def test_a_killed_process_ends_all_and_the_next_start_goes_on_to_the_same_bits(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        launching.toy_project(root, 2)
    status, text, facts = launching.train(whole, "toy")
    assert (status, facts.get("status")) == (0, "ok"), text
    status, text, facts = launching.train(cut, "toy", TOY_MODE="kill")
    assert status == -signal.SIGKILL and not facts, text
    assert not (checkpoint_folder(cut) / "done").exists()
    status, text, facts = launching.train(cut, "toy")
    assert (status, facts.get("status")) == (0, "ok"), text
    for name in ("model.json", "weights.safetensors", "history.csv"):
        assert (cut / "models/toy/toy" / name).read_bytes() == (whole / "models/toy/toy" / name).read_bytes()
    saved = [load_file(checkpoint_folder(root) / "checkpoint.safetensors") for root in (whole, cut)]
    assert saved[0].keys() == saved[1].keys() >= {"state.pool", "state@1.pool"}
    assert all(torch.equal(value, saved[1][name]) for name, value in saved[0].items())
    assert not torch.equal(saved[0]["state.pool"], saved[0]["state@1.pool"])


def test_what_is_not_finite_stops_all_with_the_sentence_of_a_single_process(tmp_path):
    reasons = []
    for processes_ in (1, 2):
        root = tmp_path / str(processes_)
        launching.toy_project(root, processes_, poison=3)
        status, text, facts = launching.train(root, "toy")
        assert (status, facts.get("status")) == (0, "failed"), text
        reasons.append(facts["reason"])
    assert reasons[0] == reasons[1] and "step 3" in reasons[0] and "generator.mse is nan" in reasons[0]


def test_a_lack_of_memory_in_one_process_is_the_training_s(tmp_path):
    launching.toy_project(tmp_path, 2)
    status, text, facts = launching.train(tmp_path, "toy", TOY_MODE="memory")
    assert (status, facts.get("status"), facts.get("reason")) == (0, "transient", "MemoryError"), text
    assert not (checkpoint_folder(tmp_path) / "done").exists()


def test_a_bug_in_one_process_is_shown_once(tmp_path):
    launching.toy_project(tmp_path, 2)
    status, text, facts = launching.train(tmp_path, "toy", TOY_MODE="bug")
    assert status == 1 and not facts
    assert text.count("Traceback (most recent call last)") == text.count("\nZeroDivisionError: a bug in the toy") == 1
    assert text.count("This is a bug of restore-ml") == 1


def test_they_listen_on_the_loopback_alone_and_end_with_their_parent(tmp_path):
    launching.project(tmp_path, 2, steps=1000000)
    parent = launching.start(tmp_path, "vdsr")
    try:
        end = time.monotonic() + 120
        while not [path for path in tmp_path.glob(".state/checkpoints/*/history.csv") if path.stat().st_size > 30]:
            assert time.monotonic() < end and parent.poll() is None
            time.sleep(0.1)
        family = [process for process in psutil.Process(parent.pid).children(recursive=True)
                  if "pipelines.machinery.process" in process.cmdline()]
        assert len(family) == 2
        connections = [link for process in (psutil.Process(parent.pid), *family)
                       for link in process.net_connections("inet")]
        listening = {link.laddr.ip for link in connections if link.status == psutil.CONN_LISTEN}
        assert connections and listening <= {"127.0.0.1", "::1"}
        assert {link.laddr.ip for link in connections} <= {"127.0.0.1", "::1"}
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_a_training_in_another_number_of_processes_is_refused(tmp_path):
    with pytest.raises(UserError, match="one of 2 processes and was started in 1"):
        train_run(launching.project(tmp_path, 2), tmp_path, tmp_path / "models/vdsr")
    assert not (tmp_path / "models").exists()


def test_a_single_process_says_nothing():
    process = PartialState(cpu=True)
    tensor = torch.arange(3.0)
    processes.average([tensor], process)
    processes.assert_equal([tensor], process)
    processes.wait(process)
    assert torch.equal(tensor, torch.arange(3.0))
    assert processes.main_says(True, process) and not processes.main_says(False, process)
    assert [list(values) for values in processes.of_all({"a": tensor}, process)] == [["a"]]
