"""Optional inputs that a person gives beside her pictures, and what she is told where she gives none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from restore_ml import cli
from restore_ml.base.files import sha256_of_file, write_json, write_text
from restore_ml.registry import method
from tests.serving.conftest import picture

MEAN = "No attributes were given, so the model was told the mean of its training faces"
TOLD = {"Eyeglasses": 1, "Bald": -1, "Male": 1, "Smiling": -1}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an untrained AEUN whose attributes matter much."""
    root = tmp_path_factory.mktemp("faces") / "project"
    folder = root / "models/face_super_resolution/aeun"
    folder.mkdir(parents=True)
    settings = {"patch": 64, "width": 4, "d_width": 4, "d_hidden": 8}
    made = method("face_super_resolution", "aeun", settings)
    torch.manual_seed(3)
    network = made.build()["generator"]
    with torch.no_grad():
        network.decoder[0][0].weight[-18:] *= 1000
    save_file({f"generator.{key}": value.contiguous() for key, value in network.state_dict().items()},
              folder / "weights.safetensors")
    save_arrays({"mean": np.full(18, 0.5, np.float32)}, folder / "arrays.safetensors")
    write_json(folder / "model.json", {
        "run": "aeun", "task": "face_super_resolution", "method": "aeun", "settings": made.settings, "seed": 1,
        "slots": {}, "status": "ok", "reason": "", "weights_sha256": sha256_of_file(folder / "weights.safetensors"),
        "arrays_sha256": sha256_of_file(folder / "arrays.safetensors")})
    write_text(root / "params.yaml", "profile: quick\n")
    return root


@pytest.fixture
def faces(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(project))
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("anna", "ben", "carl")):
        Image.fromarray(picture(number, 12, 10)).save(folder / f"{name}.png")
    return folder


def run(source: Path, out: Path, attributes: Path | None = None) -> int:
    given = [] if attributes is None else ["--with", f"attributes={attributes}"]
    return cli.main(["restore", "--task", "face_super_resolution", "--model", "aeun", str(source), "-o", str(out),
                     *given])


def test_a_picture_with_and_without_what_is_known(faces: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert run(faces / "anna.png", tmp_path / "mean.png") == 0
    said = capsys.readouterr().out
    assert "mean.png: 64 x 64 pixels, restored with aeun" in said and said.count(MEAN) == 1
    file = tmp_path / "anna.json"
    file.write_text(json.dumps(TOLD))
    assert run(faces / "anna.png", tmp_path / "told.png", file) == 0
    assert MEAN not in capsys.readouterr().out
    one, other = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("mean.png", "told.png"))
    assert one.shape == (64, 64, 3) and (one != other).any()
    file.write_text("{}x")
    assert run(faces / "anna.png", tmp_path / "no.png", file) == 2
    assert "anna.json cannot be used: no readable JSON" in capsys.readouterr().err


def test_a_folder_counts_the_mean_and_notices_what_is_told_later(faces: Path, tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    out, told = tmp_path / "out", tmp_path / "attributes"
    told.mkdir()
    (told / "anna.json").write_text(json.dumps(TOLD))
    assert run(faces, out, told) == 0
    said = capsys.readouterr().out
    assert "3 restored, 0 kept" in said and f"2 of 3: {MEAN}" in said
    assert run(faces, out, told) == 0 and "0 restored, 3 kept" in capsys.readouterr().out
    (told / "ben.json").write_text(json.dumps(TOLD))
    before = (out / "ben.png").read_bytes()
    assert run(faces, out, told) == 0
    assert "1 restored, 2 kept" in capsys.readouterr().out
    assert (out / "ben.png").read_bytes() != before
    (told / "carl.json").write_text(json.dumps({"Male": 2}))
    assert run(faces, out, told) == 1
    assert "2 kept from before, 1 failed" in capsys.readouterr().out
