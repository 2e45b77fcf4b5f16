"""A project of the layout before each task had a file of its own, moved by one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.runs import migration, settings

ROOT = Path(__file__).parents[2]
OLD = """\
# How much is computed.
profile: cpu
seed: 3
threads: 2          # of each stage
weights: {}

tasks:
  super_resolution:
    settings: {scales: [2, 3]}
    quick: {scales: [2]}
  inpainting: {}
  representation: {}

support:
  features:
    task: representation
    quick: {width: 8, lr: 0.002}

runs:
  bicubic: {task: super_resolution, needs: none}
  vdsr:
    task: super_resolution
    needs: none
    quick: {layers: 3, lr: 1.0e-3}
  sa_subpixel_sr:
    task: super_resolution
    needs: features
    cpu: {skip: bicubic, steps: {pixel: 0, settle: 3, gan: 5}}
  vdsr_s2: {of: vdsr, task: super_resolution, needs: none, seed: 4}
  telea: {task: inpainting, needs: none}

promotion:
  confidence: 0.9           # of the interval
  margins:
    super_resolution: {ssim_y: 0.002}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The old project after an update of its code: today's dvc.yaml and graph/task.yaml, its own runs and results."""
    write_text(tmp_path / "params.yaml", OLD)
    for name in ("dvc.yaml", "graph/task.yaml"):
        write_text(tmp_path / name, (ROOT / name).read_text(encoding="utf-8"))
    write_text(tmp_path / "dvc.lock", "schema: '2.0'\nstages:\n  train@vdsr:\n    cmd: x\n")
    write_json(tmp_path / "models/vdsr/model.json", {"run": "vdsr", "needs": "none"})
    write_text(tmp_path / "scores/super_resolution.parquet", "rows")
    write_json(tmp_path / "data/mine/collection.json", {"name": "mine"})
    champion = tmp_path / "champions/super_resolution/champion"
    write_json(champion / "model.json", {"run": "sa_subpixel_sr", "needs": "features", "weights_sha256": "abc"})
    write_json(champion / "models/features/model.json", {"run": "features", "needs": "none"})
    write_text(champion / "models/features/weights.safetensors", "weights")
    write_text(champion / "weights.safetensors", "its weights")
    return tmp_path


def test_runs_margins_and_champions_move_and_collections_stay(root: Path, monkeypatch: pytest.MonkeyPatch,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="restore-ml migrate"):
        settings.load(root / "params.yaml")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    assert cli.main(["migrate"]) == 0
    said = capsys.readouterr().out
    assert "graph/super_resolution/runs.yaml: 4 runs of params.yaml." in said
    assert "sa_subpixel_sr: its network begins as interpolation" in said and "vdsr:" not in said
    params = settings.load(root / "params.yaml")
    assert (params.profile, params.seed, params.threads) == ("cpu", 3, 2)
    assert params.tasks["super_resolution"] == {"scales": [2, 3]}
    assert list(params.runs) == ["representation/features", *(f"super_resolution/{name}" for name in (
        "bicubic", "vdsr", "sa_subpixel_sr", "vdsr_s2")), "inpainting/telea"]
    assert params.runs["super_resolution/sa_subpixel_sr"].slots == {"features": "representation/features"}
    assert params.runs["super_resolution/sa_subpixel_sr"].settings["steps"] == {"pixel": 0, "gan": 5}
    assert params.runs["super_resolution/sa_subpixel_sr"].settings["start"] == "interpolation"
    assert (params.runs["super_resolution/vdsr_s2"].of, params.runs["super_resolution/vdsr_s2"].seed) == ("vdsr", 4)
    assert params.promotion["confidence"] == 0.9
    assert params.promotion["margins"]["super_resolution"] == {"ssim_y": 0.002}
    text = (root / "params.yaml").read_text()
    assert "# of each stage" in text and "# of the interval" in text and "runs:" not in text
    settings.set_profile("quick", root / "params.yaml")
    quick = settings.load(root / "params.yaml")
    assert quick.tasks["super_resolution"] == {"scales": [2]}
    assert quick.runs["super_resolution/vdsr"].settings["lr"] == 0.001

    champion = root / "champions/super_resolution/champion"
    assert read_json(champion / "model.json") == {"run": "sa_subpixel_sr", "weights_sha256": "abc",
                                                  "slots": {"features": "representation/features"}}
    assert (champion / "weights.safetensors").read_text() == "its weights"
    assert (champion / "models/representation/features/weights.safetensors").read_text() == "weights"
    assert not (champion / "models/features").exists()
    assert (root / "data/mine/collection.json").exists()
    for gone in ("models/vdsr", "scores/super_resolution.parquet", "dvc.lock"):
        assert not (root / gone).exists(), gone
    for task in ("super_resolution", "inpainting", "representation"):
        assert (root / f"graph/{task}/dvc.yaml").read_bytes() == (root / "graph/task.yaml").read_bytes()
    graph = (root / "dvc.yaml").read_text()
    assert "graph/inpainting/runs.yaml" in graph and "graph/colorization/runs.yaml" not in graph

    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert migration.migrate(root) == []
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_would_be_refused_is_left_as_it_was(root: Path) -> None:
    write_text(root / "params.yaml", OLD.replace("pixel: 0", "pixl: 0"))
    with pytest.raises(UserError, match="Did you mean 'pixel'"):
        migration.migrate(root)
    assert "pixl" in (root / "params.yaml").read_text() and (root / "dvc.lock").exists()
    assert not (root / "graph/super_resolution").exists() and (root / "models/vdsr").exists()


def test_without_the_template_nothing_is_touched(root: Path) -> None:
    shutil.rmtree(root / "graph")
    with pytest.raises(UserError, match="take it from the repository"):
        migration.migrate(root)
    assert (root / "params.yaml").read_text() == OLD
