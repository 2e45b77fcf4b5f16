"""A task of another kind and its kind of data go through everything by adding files, none edited."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from restore_ml.data.shards import Shard
from restore_ml.kinds import LABELS
from tests.pipeline import toy
from tests.pipeline.conftest import Project, make_project

pytestmark = pytest.mark.pipeline
RUNS = {"super_resolution": {"bicubic": {}}, "representation": {"features": {}}}
WATCHED = ("train", "restore", "score", "degrade")


def code(root: Path) -> dict[str, str]:
    """What the code folder says of every run and task that was there before."""
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for kind in WATCHED for path in (root / "code" / kind).rglob("*.json") if "motion" not in path.as_posix()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    small = {"quick": {"width": 4, "steps": 4, "batch": 4, "patch": 32, "buckets": 8, "calibration": 4}}
    project = make_project(tmp_path_factory.mktemp("toy"), RUNS | {"representation": {"features": small}})
    project.dvc("repro", "code")
    before = code(project.root)
    toy.lay(project.root)
    project.run("restore-ml", "graph")
    project.run("restore-ml", "data", "init", "--all")
    said = project.rebuild("--task", "motion")
    yield project, before, said
    project.run("python", "-m", "flows.clean", check=False)


def test_no_other_run_is_touched(built: tuple[Project, dict[str, str], object]) -> None:
    project, before, _ = built
    assert before and code(project.root) == before


def test_clips_become_class_maps(built: tuple[Project, dict[str, str], object]) -> None:
    project, _, _ = built
    inputs = Shard(project.root / "samples/motion/inputs/films/plain.arrow")
    assert len(inputs) == 3 and inputs[0].arrays["clip"].shape == (3, 36, 48, 3)
    assert inputs[0].arrays["beside"].shape == (16, 16, 3)
    for run in ("still", "mover"):
        outputs = Shard(project.root / f"restored/motion/{run}/films/plain.arrow")
        assert len(outputs) == 3
        for record in outputs:
            value = record.arrays["map"]
            assert value.shape == (36, 48, 1) and value.dtype.name == LABELS.dtype and value.max() <= 1


def test_the_table_has_the_figures_of_the_set(built: tuple[Project, dict[str, str], object]) -> None:
    project, _, said = built
    table = pd.read_csv(project.root / "comparison/motion/table.csv").set_index("run")
    assert set(table.index) == {"still", "mover"} and set(table["status"]) == {"ok"}
    maps = [record.arrays["map"] for record in Shard(project.root / "restored/motion/mover/films/plain.arrow")]
    assert table["moving"]["mover"] == pytest.approx(sum(value.mean() for value in maps) / 3, abs=1e-5)
    assert table["moving"]["still"] == 0 and table["seen"]["still"] == table["seen"]["mover"] > 0
    assert table["quiet"]["still"] == 1
    assert "motion" in said.stdout


def test_it_is_shown_and_registered(built: tuple[Project, dict[str, str], object]) -> None:
    project, _, _ = built
    page = (project.root / "reports/gallery/motion.html").read_text(encoding="utf-8")
    assert "mover" in page and "still" in page
    program = ("import mlflow, json; from restore_ml.tracking import store; from pathlib import Path; "
               "client = store.client(Path('.')); "
               "print(json.dumps([model.name for model in client.search_registered_models()]))")
    names = json.loads(project.run("python", "-c", program).stdout.splitlines()[-1])
    assert "restore-motion" in names


def test_a_person_with_a_photograph_is_told(built: tuple[Project, dict[str, str], object], tmp_path: Path) -> None:
    from PIL import Image

    project, _, _ = built
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    done = project.run("restore-ml", "restore", "--task", "motion", str(tmp_path / "x.png"), "-o",
                       str(tmp_path / "y.png"), check=False)  # by the default run: there is no champion
    assert done.returncode == 2 and "takes films, not photographs" in done.stderr
