"""The view of an experiment that MLflow opens by a key in the address: current runs, best first, and what to choose by.

MLflow 3.17 keeps a shared view as an experiment's tag `mlflow.sharedViewState.<key>`: JSON of the search and of the
table's columns, whose names its own page gives them (``metrics.`psnr_y` ``). A page whose address ends in
`?viewStateShareKey=<key>` opens with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from restore_ml.tasks.protocol import Protocol, protocol
from restore_ml.tracking.entry import MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "best-first"
TAG = f"mlflow.sharedViewState.{KEY}"
CURRENT = f"tags.kind = '{MODEL}' AND tags.state = 'current'"
"""The search of the view; without its second half the superseded runs are there too."""
RANK, INTERVAL = "rank", "interval"
"""Tags of a run that the view shows beside the figures."""
COSTS = ("parameters", "ms_per_megapixel", "training_seconds")
NAME, CREATED, FIGURE, TEXT = 170, 145, 85, 108
"""Widths of columns in pixels: with two guards all but the status are seen on a laptop."""


def state(rules: Protocol) -> dict[str, Any]:
    """What MLflow's page is to show of a task's experiment."""
    first, *guards = dict.fromkeys((rules.primary, *(guard.metric for guard in rules.guards)))
    columns = {f"tags.`{RANK}`": TEXT, f"metrics.`{first}`": FIGURE, f"tags.`{INTERVAL}`": TEXT,
               **dict.fromkeys((f"metrics.`{name}`" for name in (*guards, *COSTS)), FIGURE),
               "tags.`status`": FIGURE}
    fixed = {"attributes.`Run Name`": NAME, "runDateAndNestInfo": CREATED}  # the table's own names of them
    return {"searchFilter": CURRENT, "orderByKey": f"metrics.`{first}`",
            "orderByAsc": rules.metric(first).direction < 0, "startTime": "ALL", "lifecycleFilter": "Active",
            "datasetsFilter": [], "modelVersionFilter": "All Runs", "selectedColumns": [*columns],
            "columnOrder": [*fixed, *columns], "columnWidths": {**fixed, **columns},
            "runsHiddenMode": "FIRST_20_RUNS"}


def ensure(client: MlflowClient, experiment_id: str, task: str, note: str) -> bool:
    """Give a task's experiment its view and its description; returns whether anything was another before."""
    tags = {TAG: json.dumps(state(protocol(task)), sort_keys=True), "mlflow.note.content": note,
            "mlflow.experimentKind": "custom_model_development"}  # else the page asks which product it is to be
    there = client.get_experiment(experiment_id).tags
    stale = {key: value for key, value in tags.items() if there.get(key) != value}
    for key, value in stale.items():
        client.set_experiment_tag(experiment_id, key, value)
    return bool(stale)


def address(experiment_id: str) -> str:
    """The part of the view's address behind that of the server."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"
