"""The stage `score`: one row a picture and case of a run, and what the table says of the run."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_json


def stage(step: Steps, key: str) -> None:
    """Score the run `key` (task/run)."""
    step("score", score_pictures, key)


def score_pictures(key: str) -> int:
    """Write scores/<task>/<run>.parquet and .json; returns the number of rows."""
    from restore_ml.data.ledger import Ledger
    from restore_ml.evaluation import without_truth
    from restore_ml.evaluation.comparison import about_run, first_case
    from restore_ml.evaluation.scoring import cases_on_disk, score, write_scores
    from restore_ml.evaluation.set_figures import set_figures
    from restore_ml.tasks.protocol import protocol

    root, (task, run) = layout.root(), key.split("/")
    spec = read_json(root / layout.code("score", task))
    samples = root / layout.samples(task)
    ledger = Ledger.of_stage(root, f"score-{task}-{run}", spec)
    status = read_json(root / layout.restored(task, run) / "status.json")
    if status["status"] == layout.LEFT_OUT:
        write_scores(root / layout.scores(task, run), score(task, samples, root, []))
        write_json(root / layout.about(task, run), {key: status[key] for key in ("run", "status", "reason")})
        return 0
    primary = first_case(protocol(task), cases_on_disk(samples), spec["primary_case"])
    rows = score(task, samples, root / layout.restored(task), [{"run": run, "seed": status["seed"]}],
                 _distances(root, task, spec, primary), ledger, primary)
    ledger.save()
    write_scores(root / layout.scores(task, run), rows)
    figures = set_figures(task, samples, root / layout.restored(task, run), _judge(root, spec))
    about = about_run(root / layout.model(task, run)) | {"figures": figures}
    if found := without_truth.figures(task, samples, root / layout.restored(task, run)):
        about |= {without_truth.KEY: found}
    write_json(root / layout.about(task, run), about)
    return len(rows)


def _distances(root: Path, task: str, spec: dict[str, Any], primary: str) -> Any:
    """The distances by networks of others that the tables of the task have; None where they have none. `primary`: the
    case that ranks."""
    if not spec["perceptual"]:
        return None
    from restore_ml.data.ledger import Ledger, mark
    from restore_ml.evaluation.perceptual import load

    maker = {"spec": spec, "targets": mark(root / layout.samples(task) / "targets"), "torch": version("torch")}
    return load(spec["perceptual"]["figures"], primary, Ledger.of_stage(root, f"truths-{task}", maker))


def _judge(root: Path, spec: dict[str, Any]) -> Any:
    """What the run gives that the task's figures of whole sets need; None where none is named."""
    if spec["judge"] == layout.NONE:
        return None
    from restore_ml.training.slots import load_slot

    return load_slot(root, spec["judge"], {})
