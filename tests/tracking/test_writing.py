import re
from pathlib import Path

import pandas as pd
import pytest

from restore_ml import registry
from restore_ml.base.files import read_json, write_json
from restore_ml.evaluation.scoring import read_task
from restore_ml.promotion import champions
from restore_ml.serving.restore_command import load
from restore_ml.tracking import writing
from restore_ml.tracking.entry import Entry
from tests.tracking import small_project

TASK = "super_resolution"


def entry(root: Path, run: str = "vdsr") -> Entry:
    return Entry(root, TASK, run, root / f"models/{TASK}" / run, pd.DataFrame({"run": []}), "data")


@pytest.fixture
def with_features(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """vdsr needs a feature network, and restores with it."""
    facts = read_json(project / f"models/{TASK}/vdsr/model.json")
    write_json(project / f"models/{TASK}/vdsr/model.json", facts | {"slots": {"features": "representation/features"}})
    write_json(project / "models/representation/features/model.json", {"run": "features"})
    (project / "models/representation/features/weights.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(registry.method_class(TASK, "vdsr"), "restoring_slots", ("features",))
    return project


def test_a_model_carries_its_features_only_if_restoring_uses_them(with_features: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    writing.stage(entry(with_features), tmp_path / "with")
    assert (tmp_path / "with/models/representation/features/weights.safetensors").read_bytes() == b"weights"
    monkeypatch.setattr(registry.method_class(TASK, "vdsr"), "restoring_slots", ())
    writing.stage(entry(with_features), tmp_path / "without")
    assert sorted(path.name for path in (tmp_path / "without/models").rglob("model.json")) == ["model.json"]


def test_a_champion_brings_its_features(with_features: Path, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    folder = champions.install(with_features, TASK, "vdsr", {"sentence": "a"})
    (with_features / "models/representation/features/weights.safetensors").write_bytes(b"trained anew")
    assert (folder / "models/representation/features/weights.safetensors").read_bytes() == b"weights"
    champion = Entry(with_features, TASK, "vdsr", folder, pd.DataFrame({"run": []}), "data", role="champion")
    writing.stage(champion, tmp_path / "staged")
    assert (tmp_path / "staged/models/representation/features/weights.safetensors").read_bytes() == b"weights"

    asked: list[Path] = []
    monkeypatch.setattr("restore_ml.training.slots.load_slots", lambda root, slots, weights: asked.append(root) or {})
    load(folder, with_features)
    load(with_features / f"models/{TASK}/vdsr", with_features)
    assert asked == [folder, with_features]


def test_requirements_name_exact_versions_that_install_elsewhere() -> None:
    lines = writing.requirements()
    assert {line.partition("==")[0] for line in lines} >= {"torch", "numpy", "safetensors", "mlflow"}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "no local tags such as +cpu"


@pytest.mark.parametrize(("name", "text"), [("psnr/photos/x2", "psnr/photos/x2"), ("a+b (c)", "a_b _c_")])
def test_names_that_mlflow_takes(name: str, text: str) -> None:
    assert writing.clean(name) == text


@pytest.mark.parametrize("part", ["model", "history", "scores", "code", "data", "status"])
def test_the_fingerprint_changes_with_every_part(project: Path, part: str) -> None:
    scores = read_task(project, TASK)

    def fingerprint(rows: pd.DataFrame = scores, data: str = "d", code: str = "c") -> str:
        return Entry(project, TASK, "vdsr", project / f"models/{TASK}/vdsr", rows[rows["run"] == "vdsr"], data,
                     code={"train": code}).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    if part == "model":
        facts = read_json(project / f"models/{TASK}/vdsr/model.json")
        write_json(project / f"models/{TASK}/vdsr/model.json", facts | {"weights_sha256": "other"})
        after = fingerprint()
    elif part == "history":
        (project / f"models/{TASK}/vdsr/history.csv").write_text("phase,step,term,value\n")
        after = fingerprint()
    elif part == "status":
        status = project / f"restored/{TASK}/vdsr/status.json"
        write_json(status, read_json(status) | {"reason": "other"})
        after = fingerprint()
    elif part == "scores":
        after = fingerprint(rows=scores.assign(psnr_y=scores["psnr_y"] + 1e-9))
    else:
        after = fingerprint(**{part: "other"})
    assert after != before


def test_costs_and_commits_are_no_part_of_it(project: Path) -> None:
    before = entry(project).fingerprint
    for path in (project / ".state/costs").glob("*.json"):
        path.unlink()
    small_project.write_lock(project)
    assert entry(project).fingerprint == before


def test_the_figures_are_those_of_the_case_that_ranks(project: Path) -> None:
    rows = read_task(project, TASK)
    rows = rows[rows["run"] == "vdsr"]
    own = rows.assign(case="mine/x2", psnr_y=20.0)
    run = Entry(project, TASK, "vdsr", project / f"models/{TASK}/vdsr", pd.concat([rows, own]), "d")
    assert run.metrics()["psnr_y"] == pytest.approx(rows["psnr_y"].mean(), abs=0.01) != 20.0
    write_json(project / f"code/compare/{TASK}.json", {"primary_case": "mine/x2"})
    assert run.metrics()["psnr_y"] == 20.0
