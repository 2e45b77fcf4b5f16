"""ONNX files give what torch gives, at sizes that they were not traced with; what cannot be exported says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.serving.restore_command import load_for

pytest.importorskip("onnxscript", reason="The extra `onnx` is not installed.")
onnx = pytest.importorskip("onnx", reason="The extra `onnx` is not installed.")
pytest.importorskip("onnxruntime", reason="The extra `onnx` is not installed.")


@pytest.mark.slow
def test_a_network_and_a_whole_restore(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    from restore_ml.serving.export import open_session

    monkeypatch.setenv("RESTORE_ML_ROOT", str(served))
    monkeypatch.setattr("restore_ml.data.licences.of_model", lambda root, folder: {"CC-BY-NC-4.0": 2, "MIT": 1})
    path = tmp_path / "vdsr.onnx"
    assert cli.main(["export", "--task", "super_resolution", "--model", "vdsr", "-o", str(path), "--scale", "3"]) == 0
    said = capsys.readouterr().out
    assert "the network 'net' of vdsr" in said
    assert "sizes. For research only, as it learned from 2 pictures under CC-BY-NC-4.0." in said
    notes = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert notes["licences"] == "2 pictures under CC-BY-NC-4.0, 1 under MIT"
    assert notes["run"] == "vdsr" and notes["scale"] == "3" and "rgb_to_ycbcr" in notes["restore"]
    _, _, model = load_for(served, "super_resolution", "vdsr")
    luma = torch.rand(1, 1, 57, 91)
    found = open_session(path.read_bytes(), 1).run(None, {"input": luma.numpy()})[0]
    assert np.abs(found - model.networks["net"](luma).numpy()).max() < 1e-5

    path = tmp_path / "glcic.onnx"
    assert cli.main(["export", "--task", "inpainting", "--model", "glcic", "-o", str(path)]) == 0
    assert "the whole restore of glcic" in capsys.readouterr().out
    _, method, model = load_for(served, "inpainting", "glcic")
    given = {"image": torch.rand(1, 3, 44, 76), "mask": (torch.rand(1, 1, 44, 76) > 0.7).float()}
    found = open_session(path.read_bytes(), 1).run(None, {name: value.numpy() for name, value in given.items()})[0]
    assert np.abs(found - method.restore(model, given, 1)["image"].numpy()).max() < 1e-5


@pytest.mark.parametrize(("arguments", "said"), [
    (["--task", "inpainting", "--model", "telea", "-o", "a.onnx"], "learned nothing"),
    (["--task", "super_resolution", "-o", "a.bin"], "end in .onnx"),
    (["--task", "inpainting", "--model", "glcic", "--scale", "2", "-o", "a.onnx"], "takes no scale")])
def test_what_cannot_be_exported_is_a_sentence(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str], arguments: list[str],
                                               said: str) -> None:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(served))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", *arguments]) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_missing_packages_are_named(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from restore_ml.serving.export import export

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx, onnxruntime, onnxscript; `pip install"):
        export(served, "super_resolution", "vdsr", tmp_path / "a.onnx")
