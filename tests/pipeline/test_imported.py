"""A run with weights of others in a real project: imported by the command, never trained, restored and scored."""

from __future__ import annotations

import json
import re
import sys

import pandas as pd
import pytest
import torch

from restore_ml import registry
from tests.pipeline.conftest import Project, make_project

pytestmark = pytest.mark.pipeline
TASK, SETTINGS = "super_resolution", {"layers": 3, "width": 4, "last_std": 0.001}
COMPARED = f"graph/{TASK}/dvc.yaml:compare@{TASK}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    made = make_project(tmp_path_factory.mktemp("project"), {TASK: {"bicubic": {}}},
                        {TASK: {"settings": {"scales": [2], "variants": []}}})
    yield made
    made.run(sys.executable, "-m", "flows.clean", check=False)


def weights(project: Project, seed: int) -> str:
    """A file of weights as authors publish one."""
    torch.manual_seed(seed)
    state = registry.method(TASK, "vdsr", SETTINGS).networks()["net"].state_dict()
    path = project.root.parent / "published.pth"
    torch.save({"epoch": 80, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return str(path)


def command(project: Project, *words: str) -> str:
    return project.run(sys.executable, "-m", "restore_ml.cli", *words).stdout


def bring(project: Project, seed: int) -> str:
    return command(project, "weights", "import", "theirs", weights(project, seed), "--method", "vdsr", "--licence",
                   "research only", "--set", "layers=3", "--set", "width=4", "--set", "last_std=0.001")


def ran(output: str) -> set[str]:
    return {name.rpartition(":")[2] for name in re.findall(r"Running stage '([^']+)'", output)}


def test_it_goes_from_the_file_to_the_table_without_training(project):
    assert "brought/weights/published.pth.dvc" in bring(project, 1)
    assert command(project, "graph") == "Nothing to change.\n"
    done = project.dvc("repro", COMPARED).stdout
    assert {"code", "train@theirs", "restore@theirs", "score@theirs"} <= ran(done)
    model = project.root / "models" / TASK / "theirs"
    facts = json.loads((model / "model.json").read_text())
    assert (facts["status"], facts["kind"], facts["steps"]) == ("ok", "imported", 0)
    assert {path.name for path in model.iterdir()} == {"model.json", "mapping.json", "weights.safetensors"}
    table = pd.read_csv(project.root / "comparison" / TASK / "table.csv").set_index("run")
    assert list(table["status"]) == ["ok", "ok"] and table.loc["theirs", "parameters"] == 225
    assert "published.pth" in table.loc["theirs", "reading"]
    assert table.loc["theirs", "pictures_ok"] == table.loc["bicubic", "pictures_ok"] > 0


def test_nothing_is_stale_afterwards_and_another_file_touches_this_run_alone(project):
    assert not ran(project.dvc("repro", COMPARED).stdout)
    bring(project, 2)
    assert ran(project.dvc("repro", COMPARED).stdout) == {
        "code", "train@theirs", "restore@theirs", "score@theirs", f"compare@{TASK}"}


def test_it_is_shown_registered_and_used_as_any_other(project):
    command(project, "sync")
    command(project, "gallery", "--pictures", "2")
    assert "imported" in (project.root / "reports/gallery" / f"{TASK}.html").read_text()
    picture = next((project.root / "data/photos/pictures").glob("*.png"))
    told = command(project, "restore", "--task", TASK, str(picture), "--model", "theirs", "--scale", "2", "-o",
                   str(project.root / "large.png"))
    assert "restored with theirs" in told and (project.root / "large.png").stat().st_size
