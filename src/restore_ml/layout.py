"""Where everything lies, relative to the project's root. The only place that spells these folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

from restore_ml.errors import UserError


def root() -> Path:
    """The project: $RESTORE_ML_ROOT, else the nearest folder upwards with params.yaml, else the current one.

    `UserError` where the variable names no folder, or a relative one, which would be another one in each folder.
    """
    given = os.environ.get("RESTORE_ML_ROOT")
    if given:
        if not os.path.isabs(given) or not os.path.isdir(given):
            raise UserError(f"RESTORE_ML_ROOT is {given!r}, which is no absolute path of a folder; set it to the "
                            "project's folder, or unset it and run the command there.")
        return Path(given)
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


# Tracked by DVC, in the order in which they are built.
DATA = Path("data")  # data/<collection>/{collection.json,pictures/**}
CODE = Path("code")  # code/{train,restore,degrade,score}/*.json, code/<task>.runs.json
PREPARED = Path("prepared")  # prepared/<domain>/{train,validation}/{manifest.parquet,*.arrow}, .../test/<set>/
SAMPLES = Path("samples")  # samples/<task>/train/**, samples/<task>/{inputs,targets}/<set>/<degradation>.arrow
VALIDATION = Path("validation")  # validation/<task>.json
MODELS = Path("models")  # models/<run>/{model.json,weights.safetensors,history.csv}; models/none
RESTORED = Path("restored")  # restored/<task>/<run>/{status.json,<set>/<degradation>.arrow}
SCORES = Path("scores")  # scores/<task>.parquet
COMPARISON = Path("comparison")  # comparison/<task>/{table.csv,table.md,metrics.json,plots/}
CHAMPIONS = Path("champions")  # champions/<task>/{champion,previous}

# Never tracked: what differs from machine to machine and from day to day.
STATE = Path(".state")
CHECKPOINTS = STATE / "checkpoints"  # <fingerprint>/
COSTS = STATE / "costs"  # <fingerprint>.json: seconds, memory
MLFLOW = STATE / "mlflow"  # mlflow.db, artifacts/
PREFECT = STATE / "prefect"
REPORTS = Path("reports")  # gallery/, data_docs/
