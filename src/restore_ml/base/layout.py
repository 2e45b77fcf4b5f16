"""Where everything lies, relative to the project's root. The only place that spells these paths."""

from __future__ import annotations

import os
import re
from pathlib import Path

from restore_ml.base.errors import UserError


def root() -> Path:
    """The project: $RESTORE_ML_ROOT, else the nearest folder upwards with params.yaml, else the current one.

    `UserError` where the variable names no folder, or a relative one, which would be another one in each folder.
    """
    configured = os.environ.get("RESTORE_ML_ROOT")
    if configured:
        if not os.path.isabs(configured) or not os.path.isdir(configured):
            raise UserError(f"RESTORE_ML_ROOT is {configured!r}, which is no absolute path of a folder; set it to the "
                            "project's folder, or unset it and run the command there.")
        return Path(configured)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()), here)


def project() -> Path:
    """The same, `UserError` where it is no project: nothing is ever made in a folder that is none."""
    folder = root()
    try:
        text = (folder / "params.yaml").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise UserError(f"{folder} is no project of restore-ml (it has no params.yaml); run the command in the "
                        "project's folder, or set RESTORE_ML_ROOT to it.") from None
    if not re.search(r"^\W*profile\W*:", text, re.MULTILINE):
        raise UserError(f"{folder / 'params.yaml'} has no line `profile:`, so {folder} is the project of something "
                        "else; run the command in the project's folder, or set RESTORE_ML_ROOT to it.")
    return folder

# What is asked for.
PARAMS = Path("params.yaml")
GRAPH = Path("graph")  # task.yaml; <task>/{dvc.yaml,runs.yaml,dvc.lock}
STAGES = Path("dvc.yaml")

# Tracked by DVC, in the order in which they are built.
BROUGHT = Path("brought")  # outputs/<task>/<run>/<set>/<degradation>/**, weights/<file>
DATA = Path("data")  # <collection>/{collection.json,pictures/**}
CODE = Path("code")
PREPARED = Path("prepared")  # <domain>/{train,validation}/{manifest.parquet,*.arrow}, <domain>/test/<set>/
SAMPLES = Path("samples")
VALIDATION = Path("validation")
MODELS = Path("models")
RESTORED = Path("restored")
SCORES = Path("scores")
COMPARISON = Path("comparison")
CHAMPIONS = Path("champions")

MODEL_FILES = (".json", ".safetensors")
"""The endings of what belongs to a model; the rest of its folder tells of its training."""

NONE = "none"
"""The run in an empty slot; models/none is a file that never changes."""
LEFT_OUT = "left out"
"""The status of a run that is not built at the active profile, and the key in code/ that says where it is."""
OUTSIDE = "outside"
"""The method, kind and status of a run whose outputs another tool made (`restore_ml.outside`)."""

# Never tracked: what differs from machine to machine and from day to day.
STATE = Path(".state")
CHECKPOINTS = STATE / "checkpoints"  # <fingerprint>/
COSTS = STATE / "costs"  # <kind>-<hash of a result>.json: seconds, memory
TRANSIENT = STATE / "transient"  # <stage>/<task>/<run>: ended for want of memory or disk, to be tried again
EXPORTS = STATE / "exports"  # <task>/<set>/<degradation>.json: hashes of the inputs that were exported here
MLFLOW = STATE / "mlflow"  # mlflow.db, artifacts/
PREFECT = STATE / "prefect"
REPORTS = Path("reports")  # gallery/, data_docs/


def runs_file(task: str) -> Path:
    """The runs of a task, its settings and its promotion margins."""
    return GRAPH / task / "runs.yaml"


def stages_file(task: str = "") -> Path:
    """The dvc.yaml of a task, or of the project."""
    return GRAPH / task / "dvc.yaml" if task else STAGES


def lock_file(task: str = "") -> Path:
    """The dvc.lock of a task, or of the project."""
    return stages_file(task).with_name("dvc.lock")


def code(kind: str, task: str, run: str = "") -> Path:
    """What a stage depends on beside its data: code/<kind>/<task>.json, or of one run code/<kind>/<task>/<run>.json."""
    return CODE / kind / task / f"{run}.json" if run else CODE / kind / f"{task}.json"


def brought_weights(file: str) -> Path:
    """A file of weights that somebody else trained."""
    return BROUGHT / "weights" / file


def samples(task: str) -> Path:
    """train/**, contract.parquet, {inputs,targets}/<set>/<degradation>.arrow."""
    return SAMPLES / task


def material(task: str) -> Path:
    """What runs of the task learn from."""
    return SAMPLES / task / "train"


def inputs(task: str) -> Path:
    """The degraded test pictures of a task."""
    return SAMPLES / task / "inputs"


def validation(task: str) -> Path:
    """That the contract of a task's samples holds."""
    return VALIDATION / f"{task}.json"


def models(task: str) -> Path:
    """The models of a task's runs."""
    return MODELS / task


def model(task: str, run: str) -> Path:
    """model.json, weights.safetensors, arrays.safetensors, history.csv."""
    return MODELS / task / run


def slot(run: str) -> Path:
    """The model that fills a slot: of `task/run`, or the file models/none."""
    return MODELS / run


def is_run(filler: str) -> bool:
    """Whether what fills a slot is a run (`task/run`), whose model lies in the project, and no network of others."""
    return "/" in filler


def restored(task: str, run: str = "") -> Path:
    """status.json, <set>/<degradation>.arrow of a run; the folder with those of all runs."""
    return RESTORED / task / run if run else RESTORED / task


def scores(task: str, run: str = "") -> Path:
    """A row a picture and case of a run; the folder with those of all runs."""
    return SCORES / task / f"{run}.parquet" if run else SCORES / task


def about(task: str, run: str) -> Path:
    """What a table says of a run beside its scores: method, parameters, reading, learning curves."""
    return SCORES / task / f"{run}.json"


def champion_scores(task: str) -> Path:
    """The rows of the champion's stored weights."""
    return SCORES / "champion" / f"{task}.parquet"


def comparison(task: str) -> Path:
    """table.csv, table.md, metrics.json, plots/."""
    return COMPARISON / task


def outputs(task: str, run: str) -> Path:
    """What another tool made of a task's test pictures: <set>/<degradation>/{outputs.json,**}."""
    return BROUGHT / "outputs" / task / run


def champions(task: str) -> Path:
    """champion/, previous/, history/."""
    return CHAMPIONS / task


def champion(task: str) -> Path:
    """The model that people's pictures are restored with."""
    return CHAMPIONS / task / "champion"


def retry_mark(stage: str, task: str, run: str = "") -> Path:
    """The mark of a stage that ended for want of memory or disk: DVC takes such an end for up to date."""
    return TRANSIENT / stage / task / run if run else TRANSIENT / stage / f"{task}"


def stage(name: str, task: str, run: str = "") -> str:
    """How DVC is asked for a stage of a task from the project's root: `graph/<task>/dvc.yaml:train@<run>`."""
    return f"{stages_file(task).as_posix()}:{name}@{run}" if run else f"{stages_file(task).as_posix()}:{name}"
