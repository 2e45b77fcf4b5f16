"""A poisoned model file is refused with a sentence, and no pickle is ever opened."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file, write_json
from restore_ml.evaluation.scoring import score
from restore_ml.restoring.loading import load_model
from restore_ml.restoring.stage import restore_run
from tests.tracking import small_project


@pytest.fixture
def built(tmp_path):
    return small_project.build(tmp_path / "project", pictures=1)


class Evil:
    """A pickle that runs code when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def renamed(folder: Path, **facts: Any) -> None:
    """Let model.json name the weights that lie there now: whoever poisons them can do that, too."""
    digest = sha256_of_file(folder / "weights.safetensors")
    write_json(folder / "model.json", read_json(folder / "model.json") | {"weights_sha256": digest, **facts})


def cut(folder: Path, mark: Path) -> None:
    os.truncate(folder / "weights.safetensors", 1000)


def cut_and_renamed(folder: Path, mark: Path) -> None:
    cut(folder, mark)
    renamed(folder)


def flipped(folder: Path, mark: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-3] ^= 0x40
    (folder / "weights.safetensors").write_bytes(data)


def flipped_header(folder: Path, mark: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[2] ^= 0x40
    (folder / "weights.safetensors").write_bytes(data)
    renamed(folder)


def not_finite(folder: Path, mark: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, folder / "weights.safetensors")
    renamed(folder)


def other_shape(folder: Path, mark: Path) -> None:
    renamed(folder, settings=read_json(folder / "model.json")["settings"] | {"width": 5})


def missing_key(folder: Path, mark: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "weights.safetensors")
    renamed(folder)


def pickled(folder: Path, mark: Path) -> None:
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Evil(mark)))
    renamed(folder)


def pickled_beside(folder: Path, mark: Path) -> None:
    (folder / "weights.safetensors").unlink()
    for name in ("weights.pt", "model.pkl", "python_model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Evil(mark)))


SENTENCES = {cut: "SHA-256 differs", cut_and_renamed: "no safetensors file", flipped: "SHA-256 differs",
             flipped_header: "no safetensors file", not_finite: "not finite", other_shape: "does not fit the settings",
             missing_key: "does not fit the settings", pickled: "no safetensors file", pickled_beside: "do not exist"}


@pytest.mark.parametrize("poison", SENTENCES, ids=lambda poison: poison.__name__)
def test_a_poisoned_model_is_refused_and_the_other_runs_go_on(built, tmp_path, poison):
    folder, mark = built / "models/super_resolution/vdsr", tmp_path / "ran"
    poison(folder, mark)
    with pytest.raises(UserError, match=SENTENCES[poison]) as caught:
        load_model(folder, built)
    assert "weights.safetensors" in str(caught.value)
    task = small_project.TASK
    for run in ("vdsr", "bicubic"):
        restore_run(read_json(built / f"code/train/{task}/{run}.json"), built, built / f"restored/{task}/{run}")
    rows = score(task, built / "samples" / task, built / "restored" / task, [{"run": "vdsr"}, {"run": "bicubic"}])
    assert dict(zip(rows["run"], rows["status"], strict=True)) == {"vdsr": "failed", "bicubic": "ok"}
    assert SENTENCES[poison] in rows[rows["run"] == "vdsr"]["reason"].iloc[0]
    assert not mark.exists()


def test_mlflow_opens_no_pickled_model(tmp_path, monkeypatch):
    from restore_ml.tracking import store

    store.environment()
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    folder, mark = tmp_path / "model", tmp_path / "ran"
    folder.mkdir()
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Evil(mark)))
    (folder / "MLmodel").write_text(json.dumps({
        "flavors": {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl",
                                        "cloudpickle_version": "3.0.0", "python_version": "3.11.7", "env": {}}},
        "mlflow_version": mlflow.__version__, "model_uuid": "0" * 32}))
    with pytest.raises(MlflowException, match=r"(?i)pickle"):
        mlflow.pyfunc.load_model(str(folder))
    assert not mark.exists()
