"""Where everything lies, relative to the project's root. The only place that spells these folders."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The project: $RESTORE_ML_ROOT, else the nearest folder upwards with params.yaml, else the current one."""
    given = os.environ.get("RESTORE_ML_ROOT")
    if given:
        return Path(given)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "params.yaml").exists()), here)


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
