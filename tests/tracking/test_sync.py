import base64
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.files import read_json, sha256, write_json
from restore_ml.evaluation.scoring import read_task
from restore_ml.tracking import store
from restore_ml.tracking.sync import sync
from tests.graphs import edit_runs
from tests.tracking import small_project

NAME = "restore-super-resolution"


def entries(root: Path, view: str = "ACTIVE_ONLY") -> dict[str, dict]:
    """Current state of the store: entry -> tags, with the metrics under `metrics`."""
    from mlflow.entities import ViewType

    client = store.client(root)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    runs = client.search_runs([experiment], "", getattr(ViewType, view))
    return {f"{run.data.tags['entry']} {run.data.tags['state']}": {**run.data.tags, "id": run.info.run_id,
            "metrics": run.data.metrics, "params": run.data.params, "ended": run.info.status} for run in runs}


def test_a_second_sync_changes_nothing(synced: Path) -> None:
    seen = entries(synced)
    database = sha256(store.database(synced).read_bytes())
    files = sorted(path for path in store.artifacts(synced).rglob("*") if path.is_file())

    second = sync(synced)
    assert not second.changed and len(second.kept) == 4
    assert entries(synced) == seen
    assert sorted(path for path in store.artifacts(synced).rglob("*") if path.is_file()) == files
    assert sha256(store.database(synced).read_bytes()) == database


def test_an_entry_holds_what_the_files_say(synced: Path) -> None:

    found = entries(synced)
    vdsr, broken = found["run/vdsr current"], found["run/broken current"]
    rows = read_task(synced, "super_resolution")
    mean = rows[rows["run"] == "vdsr"]["psnr_y"].mean()
    assert vdsr["metrics"]["psnr_y"] == pytest.approx(mean, abs=5e-5)
    assert {name for name in vdsr["metrics"] if "/" not in name} == {
        "psnr_y", "ssim_y", "parameters", "restoring_seconds", "ms_per_megapixel", "peak_memory_mb"}
    assert vdsr["params"]["layers"] == "3" and vdsr["params"]["method"] == "vdsr"
    assert vdsr["data"] == "0123456789abcdef0123456789abcdef.dir"
    assert vdsr["git_commit"] == "uncommitted" and vdsr["profile"] == "quick"
    assert broken["ended"] == "FAILED" and "diverged at step 7" in broken["reason"]
    client = store.client(synced)
    curve = client.get_metric_history(vdsr["id"], "train/net.mse")
    assert [(point.step, round(point.value, 4)) for point in curve] == [(0, 1.0), (1, 0.5), (2, 0.3333), (3, 0.25),
                                                                       (4, 0.2)]
    pictures = [file.path for file in client.list_artifacts(vdsr["id"], "pictures")]
    assert len(pictures) == 3 and all(path.endswith(".png") for path in pictures)
    comparison = found["comparison current"]
    place = client.get_experiment_by_name(NAME).experiment_id
    cases = client.load_table(place, "cases.json", run_ids=[vdsr["id"]])
    assert list(cases["case"]) == ["photos/x2"] and cases["psnr_y"][0] == pytest.approx(mean)
    assert {"ssim_y", "psnr_rgb"} <= set(cases.columns) and list(cases["ok"]) == [3]
    names = {file.path for file in client.list_artifacts(comparison["id"])}
    assert {"comparison.json", "table.csv", "table.md"} <= names
    versions = client.search_model_versions(f"name = '{NAME}'")
    assert {version.tags["run"] for version in versions} == {"bicubic", "vdsr"}, "a failed run has no version"


def test_an_emptied_store_is_filled_again(short: Path) -> None:
    sync(short)
    before = {key: value["fingerprint"] for key, value in entries(short).items()}
    store.database(short).write_bytes(b"")
    assert len(sync(short).written) == 3
    assert {key: value["fingerprint"] for key, value in entries(short).items()} == before


def test_a_broken_store_is_set_aside_and_filled_anew(short: Path) -> None:
    store.database(short).write_bytes(b"no database at all" * 100)
    report = sync(short)
    assert len(report.written) == 3 and "mlflow.old-1" in str(report)
    assert (short / ".state/mlflow.old-1/mlflow.db").read_bytes().startswith(b"no database")


def test_lost_artifacts_are_written_again(short: Path) -> None:
    sync(short)
    shutil.rmtree(store.artifacts(short))
    report = sync(short)
    assert len(report.written) == 3
    assert not sync(short).changed
    assert entries(short)["run/vdsr current"]["fingerprint"]


def test_an_unfinished_entry_is_written_anew(short: Path) -> None:
    sync(short)
    client = store.client(short)
    half = entries(short)["run/vdsr current"]
    client.delete_tag(half["id"], "fingerprint")  # what a kill in the middle leaves
    assert sync(short).written == ["super_resolution: run/vdsr"]
    assert entries(short)["run/vdsr current"]["id"] != half["id"]


def test_a_new_result_supersedes_and_an_old_one_comes_back(short: Path) -> None:
    sync(short)
    first = entries(short)["run/vdsr current"]["id"]
    small_project.add_run(short, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    assert "super_resolution: run/vdsr" in sync(short).superseded
    found = entries(short)
    assert found["run/vdsr superseded"]["id"] == first and found["run/vdsr current"]["id"] != first

    small_project.add_run(short, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=1)
    report = sync(short)
    assert report.written == [] and report.refreshed == ["super_resolution: run/vdsr"]
    assert entries(short)["run/vdsr current"]["id"] == first


def test_a_run_taken_out_of_params_is_archived_and_can_return(short: Path) -> None:
    sync(short)
    params = short / "graph/super_resolution/runs.yaml"
    text = params.read_text()
    edit_runs(short, "super_resolution", broken=None)
    assert sync(short).archived == ["super_resolution: run/broken"]
    assert not any("broken" in key for key in entries(short))
    assert "run/broken archived" in entries(short, "DELETED_ONLY")
    assert not sync(short).changed
    params.write_text(text)
    assert sync(short).written == []
    assert "run/broken current" in entries(short)


def test_the_commit_that_holds_the_result_is_named(short: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", "-C", short, *identity, *arguments], check=True, capture_output=True,
                              text=True).stdout.strip()

    git("init", "-q")
    sync(short)
    git("add", "graph")
    git("commit", "-qm", "results")
    commit = git("rev-parse", "HEAD")
    git("commit", "-qm", "something else", "--allow-empty")
    report = sync(short)
    assert report.written == [] and len(report.refreshed) == 2
    assert entries(short)["run/vdsr current"]["git_commit"] == commit
    small_project.add_run(short, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    small_project.write_lock(short)
    sync(short)
    found = entries(short)
    assert found["run/vdsr current"]["git_commit"] == "uncommitted"
    assert found["run/broken current"]["git_commit"] == commit


def test_the_provisional_alias_gives_way_to_the_champion(project: Path) -> None:
    report = sync(project)
    client = store.client(project)
    version = client.get_model_version_by_alias(NAME, "champion")
    assert version.tags["provisional"] == "true"
    assert "provisionally" in str(report) and "no champion is chosen yet" in str(report)  # as promote says
    assert "The champion of" not in str(report)

    other = next(name for name in ("bicubic", "vdsr") if name != version.tags["run"])
    folder = project / "champions/super_resolution/champion"
    shutil.copytree(project / "models/super_resolution" / other, folder)
    write_json(folder / "decision.json", {"sentence": f"{other} becomes the first champion."})
    sync(project)
    moved = client.get_model_version_by_alias(NAME, "champion")
    assert moved.tags["run"] == other and "provisional" not in moved.tags
    assert moved.tags["decision"] == f"{other} becomes the first champion."
    tags = client.get_model_version(NAME, version.version).tags
    assert "provisional" not in tags
    assert not sync(project).changed


def test_the_default_of_a_task_stands_for_it_provisionally(project: Path) -> None:
    """Where no metric chooses, it is not the run that leads the table."""
    sync(project)
    client = store.client(project)
    led = client.get_model_version_by_alias(NAME, "champion").tags["run"]
    other = next(name for name in ("bicubic", "vdsr") if name != led)
    path = project / "graph/super_resolution/runs.yaml"
    path.write_text(f"default: {other}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    sync(project)
    version = client.get_model_version_by_alias(NAME, "champion")
    assert version.tags["run"] == other and version.tags["provisional"] == "true"


def test_a_champion_whose_run_was_trained_anew_keeps_its_version(short: Path) -> None:
    folder = short / "champions/super_resolution/champion"
    shutil.copytree(short / "models/super_resolution/vdsr", folder)
    write_json(folder / "decision.json", {"sentence": "vdsr becomes the first champion.", "data": "abc"})
    champion = read_json(folder / "model.json")
    small_project.add_run(short, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    sync(short)
    client = store.client(short)
    version = client.get_model_version_by_alias(NAME, "champion")
    run = client.get_run(version.run_id)
    place = client.get_logged_model(run.data.tags["model_id"]).artifact_location.removeprefix("file://")
    stored = read_json(Path(place) / "artifacts/project/models/super_resolution/vdsr/model.json")
    assert stored["weights_sha256"] == champion["weights_sha256"]
    assert not sync(short).changed


def test_models_hold_no_pickle(synced: Path) -> None:
    names = {path.suffix for path in store.artifacts(synced).rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pickle", ".pt", ".pth", ".bin"}
    assert list(store.artifacts(synced).rglob("code/restore_ml/restoring/harness.py"))


PREDICT = """
import sys, base64, json
import mlflow, pandas as pd
frame = pd.DataFrame({"image": [sys.stdin.read()]})
model = mlflow.pyfunc.load_model("models:/restore-super-resolution@champion")
import restore_ml
answer = {"image": model.predict(frame, params={"scale": 2})["image"][0], "package": restore_ml.__file__}
try:
    model.predict(pd.DataFrame({"image": ["bm8gcGljdHVyZQ=="]}))
except mlflow.MlflowException as error:
    answer["refusal"] = str(error)
print(json.dumps(answer))
"""


def test_a_model_serves_pictures_in_a_fresh_process_without_pickle(synced: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(small_project.picture(9, 32)[:17, :31]).save(buffer, "PNG")
    environment = {**os.environ, **store.ENVIRONMENT, "MLFLOW_TRACKING_URI": store.tracking_uri(synced),
                   "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PREDICT], input=base64.b64encode(buffer.getvalue()).decode(),
                          env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    restored = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["image"]))))
    assert restored.shape == (34, 62, 3) and restored.dtype == np.uint8
    assert answer["refusal"] == "The image cannot be used: not an image of a known format."
