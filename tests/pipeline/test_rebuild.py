"""The real thing end to end: DVC, Prefect, MLflow and Great Expectations over real pictures, as a person uses them.

The tests of this module go on from one another's project, in order: what is there is built upon, as in a working day.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.machinery import server
from restore_ml.data.shards import Shards
from tests.graphs import EMPTY, edit_runs

pytestmark = pytest.mark.pipeline


def ran(output: str) -> set[str]:
    """The stages that DVC ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


def costs_of(project, kind: str) -> set[Path]:
    return set((project.root / ".state/costs").glob(f"{kind}-*.json"))


def post(url: str, path: str, body: dict) -> list[dict]:
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def edit(project, name: str, old: str, new: str) -> None:
    path = project.root / name
    text = path.read_text()
    assert old in text, (name, old)
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def built(project):
    """The project after its first rebuild, and what that printed."""
    done = project.rebuild()
    project.printed = done.stdout
    return project


def test_one_command_leaves_tables_models_gallery_and_docs(built):
    runs = {"super_resolution": ("bicubic", "vdsr"), "inpainting": ("telea",), "colorization": ("gray_ab0",)}
    stages = {"code", "prepare", "register", "representation:degrade", "representation:validate"}
    for task, names in runs.items():
        stages |= {f"{task}:{stage}" for stage in ("degrade", "validate", f"champion@{task}", f"compare@{task}")}
        stages |= {f"{task}:{stage}@{name}" for name in names for stage in ("train", "restore", "score")}
    assert set(built.locked()) == stages
    for words in ("bicubic", "vdsr", "telea", "Gallery", "Data Docs", "MLflow"):
        assert words in built.printed
    page = re.search("^Page: .*reports/gallery/super_resolution.html$", built.printed, re.MULTILINE)
    assert page and page.start() < built.printed.index("\nGallery ")
    for name in ("reports/gallery/index.html", "reports/gallery/super_resolution.html", "reports/data_docs/index.html",
                 ".state/mlflow/mlflow.db", "comparison/super_resolution/table.md"):
        assert (built.root / name).is_file(), name
    rows = pd.concat(pd.read_parquet(path) for path in (built.root / "scores/super_resolution").glob("*.parquet"))
    assert set(rows["run"]) == {"bicubic", "vdsr"} and (rows["status"] == "ok").all()
    assert len(rows) == 2 * 5 * 34
    assert built.dvc("status", "-q", check=False).returncode == 0
    assert "psnr_y" in built.dvc("metrics", "show", "--md").stdout


def test_every_stage_is_a_child_of_the_rebuild_in_prefect(built):
    url = server.find(built.root)
    assert url
    runs = post(url, "/flow_runs/filter", {"limit": 200})
    parents = [run for run in runs if run["parent_task_run_id"] is None]
    children = [run for run in runs if run["parent_task_run_id"] is not None]
    assert len(parents) == 1 and parents[0]["state_type"] == "COMPLETED"
    said = [line for log in built.root.glob(".state/parallel/*.log") for line in log.read_text().splitlines()
            if "Prefect" in line]
    assert len(children) == len(built.locked()) + 1, (said, sorted(run["name"] for run in children))  # and the workers'
    assert {run["state_type"] for run in children} == {"COMPLETED"}
    tasks = {task["name"] for task in post(url, "/task_runs/filter", {"limit": 200})}
    assert {"train_method", "restore_pictures", "score", "generate_masks_for_tests", "downsample_for_training",
            "to_lab_for_tests", "log_comparison"} <= tasks


def test_nothing_to_do_runs_nothing_and_sync_changes_nothing(built):
    before = (built.root / ".state/mlflow/mlflow.db").read_bytes()
    done = built.dvc("repro")
    assert not ran(done.stdout)
    again = built.run(sys.executable, "-m", "restore_ml.cli", "sync")
    assert " 0 written" in again.stdout
    assert (built.root / ".state/mlflow/mlflow.db").read_bytes() == before


def test_the_provisional_champion_restores_in_a_fresh_process(built):
    code = f"""
import base64, io, sys
import mlflow, numpy as np, pandas as pd
from PIL import Image
mlflow.set_tracking_uri("sqlite:///{built.root}/.state/mlflow/mlflow.db")
def png(array):
    buffer = io.BytesIO(); Image.fromarray(array).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
picture = np.tile(np.arange(0, 200, 4, dtype=np.uint8)[:, None, None], (1, 41, 3))
mask = np.zeros((50, 41), np.uint8); mask[20:30, 15:25] = 255
model = mlflow.pyfunc.load_model("models:/restore-inpainting@champion")
answer = model.predict(pd.DataFrame({{"image": [png(picture)], "mask": [png(mask)]}}))
out = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["image"][0]))))
assert out.shape == picture.shape and (out[mask == 0] == picture[mask == 0]).all()
assert abs(out[mask > 0].astype(int) - picture[mask > 0]).max() < 40
print("restored")
"""
    environment = built.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/",
                          check=False)
    assert done.stdout.strip().endswith("restored"), done.stderr


def test_no_test_picture_trains_anything(built):
    built.dvc("repro", "graph/representation/dvc.yaml:degrade")  # the feature network's material too
    samples = built.root / "samples"
    found = {folder: set(Shards(folder).ids) for folder in (built.root / "prepared").glob("*/test/*")}
    assert sum(len(ids) for folder, ids in found.items() if folder.parts[-3] in ("photos", "scenes")) == 34 + 12
    tests = set().union(*found.values())
    trained = {task.name: set(Shards(task / "train").ids) for task in samples.iterdir()}
    assert all(trained.values()) and "representation" in trained
    assert not tests & set().union(*trained.values())
    counts = Shards(samples / "colorization/train/pools/ab_histogram")[0].arrays["counts"]
    pixels = sum(record.arrays["rgb"][..., 0].size for record in Shards(samples / "colorization/train"))
    assert counts.sum() == pixels  # the histogram counts the training pictures and nothing else


@pytest.mark.parametrize(("name", "old", "new", "trained"), [
    ("graph/super_resolution/runs.yaml", "steps: 20", "steps: 21", {"train@vdsr"}),
    ("src/restore_ml/methods/super_resolution/vdsr.py", "class VDSRNet(nn.Module):",
     "UNUSED = 1\n\n\nclass VDSRNet(nn.Module):", {"train@vdsr"}),
    ("src/restore_ml/degradations/colour.py", "WHITE = (", "UNUSED = 1\nWHITE = (",
     {"train@vdsr", "train@gray_ab0"}),  # a sample of colorization is in Lab
    ("src/restore_ml/metrics/fidelity.py", "_RADIUS = 5", "_RADIUS = 2 + 3", set()),
    ("src/restore_ml/training/loop.py", '"""The one training loop:', '"""The only training loop:', set()),
    ("src/restore_ml/losses/variation.py", '"""', '"""More. ', set()),
], ids=["settings", "method", "block", "metric", "docstring", "unused loss"])
def test_an_edit_retrains_exactly_those_who_use_it(built, name, old, new, trained):
    edit(built, name, old, new)
    plan = built.dvc("repro", "code")
    assert ran(plan.stdout) == {"code"}
    pending = json.loads(built.dvc("status", "--json").stdout)
    stale = {stage.partition(":")[2] for stage, changes in pending.items() if ":train" in stage and any(
        "changed deps" in change for change in changes)}
    edit(built, name, new, old)
    built.dvc("repro", "code")
    assert stale == trained


def test_a_folder_of_benchmark_pictures_becomes_a_test_set_and_retrains_nothing(built, benchmark_data, tmp_path):
    folder = tmp_path / "Set5"
    folder.mkdir()
    for path in (benchmark_data / "sr_selfexsr" / "Set5").rglob("*SRF_2_HR.png"):
        shutil.copy(path, folder)
    assert len(list(folder.iterdir())) == 5
    (folder / "broken.png").write_bytes(b"no picture")
    added = built.run(sys.executable, "-m", "restore_ml.cli", "data", "add", "set5", str(folder))
    assert "broken.png" in added.stdout + added.stderr
    before, trained = built.locked(), costs_of(built, "train")
    done = built.rebuild()
    after = built.locked()
    assert "prepare" in ran(done.stdout) and costs_of(built, "train") == trained
    assert all(before[stage] == after[stage] for stage in before if ":train" in stage)
    restored = json.loads(max(costs_of(built, "restore"), key=lambda path: path.stat().st_mtime).read_text())
    assert restored["copied"] > restored["pictures"] > 0  # only the new pictures were restored
    table = pd.read_csv(built.root / "comparison/super_resolution/table.csv")
    row = table[(table["case"] == "set5/x2") & (table["run"] == "bicubic")].iloc[0]
    assert row["psnr_y"] == pytest.approx(33.66, abs=0.03)  # published; 8-bit RGB reads 0.02 dB above 8-bit luma
    assert "set5/x2" in (built.root / "reports/gallery/super_resolution.html").read_text()


def test_a_folder_that_does_not_exist_is_a_sentence(built, tmp_path):
    done = built.run(sys.executable, "-m", "restore_ml.cli", "data", "add", "nothing", str(tmp_path / "no"),
                     check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and str(tmp_path / "no") in done.stderr
    assert not (built.root / "data" / "nothing").exists()


def test_forcing_really_trains_and_leaves_the_lock_as_it_was(built):
    before = built.locked()
    costs = built.root / ".state/costs"
    shutil.rmtree(costs)
    done = built.dvc("repro", "--force")
    assert {"graph/super_resolution/dvc.yaml:train@vdsr", "graph/inpainting/dvc.yaml:restore@telea",
            "graph/inpainting/dvc.yaml:compare@inpainting"} <= ran(done.stdout)
    played = [json.loads(path.read_text())["steps"] for path in costs.glob("train-*.json")]
    assert sorted(played) == [0, 0, 0, 20]  # bicubic, telea, gray_ab0, and every step of vdsr
    assert built.locked() == before


def test_an_emptied_store_is_filled_again(built):
    shutil.rmtree(built.root / ".state/mlflow")
    done = built.run(sys.executable, "-m", "restore_ml.cli", "sync")
    assert re.search(r"MLflow: [1-9]\d* written, 0 kept", done.stdout)
    again = built.run(sys.executable, "-m", "restore_ml.cli", "sync")
    assert " 0 written" in again.stdout


def test_a_run_of_other_profiles_is_said_and_not_built(built):
    """Its stages only say so: no table, model or picture has it, and nothing is left to do."""
    edit_runs(built.root, "colorization", gpu_alone={**EMPTY, "method": "gray_ab0", "profiles": ["gpu", "paper"]})
    done = built.rebuild()
    assert not {"train@gray_ab0", "restore@gray_ab0"} & {name.rpartition(":")[2] for name in ran(done.stdout)}
    assert {f"colorization:{stage}@gpu_alone" for stage in ("train", "restore", "score")} <= set(built.locked())
    model = json.loads((built.root / "models/colorization/gpu_alone/model.json").read_text())
    assert (model["status"], model["reason"]) == ("left out", "it is built at gpu and paper alone")
    for name in ("comparison/colorization/table.md", "reports/gallery/colorization.html"):
        assert "gray_ab0" in (built.root / name).read_text() and "gpu_alone" not in (built.root / name).read_text()
    assert built.dvc("status", "-q", check=False).returncode == 0
    assert " 0 written" in built.run(sys.executable, "-m", "restore_ml.cli", "sync").stdout
    assert "built at gpu and paper alone" in built.run(sys.executable, "-m", "restore_ml.cli", "runs").stdout
    asked = built.rebuild("--methods", "gpu_alone", check=False)
    assert asked.returncode == 2 and "Traceback" not in asked.stderr
    assert "The run 'gpu_alone' is built at gpu and paper alone, and the profile is quick" in asked.stderr
    edit_runs(built.root, "colorization", gpu_alone={**EMPTY, "method": "gray_ab0", "profiles": ["quick", "gpu"]})
    built.rebuild("--task", "colorization")
    assert "gpu_alone" in (built.root / "comparison/colorization/table.md").read_text()
    edit_runs(built.root, "colorization", gpu_alone=None)


def test_a_broken_picture_of_training_is_quarantined_and_named(project, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(1)
    for number in range(2):
        Image.fromarray(noise.integers(0, 256, (64, 72, 3), dtype=np.uint8)).save(folder / f"whole{number}.png")
    project.run(sys.executable, "-m", "restore_ml.cli", "data", "add", "half", str(folder), "--role", "train")
    (project.root / "data/half/pictures/half.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 30)
    project.dvc("repro", "prepare")
    refused = pd.read_parquet(project.root / "prepared/quarantine.parquet")
    assert any("half.png" in str(value) for value in refused.astype(str).to_numpy().ravel())
