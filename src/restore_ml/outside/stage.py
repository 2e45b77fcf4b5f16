"""The stages `train` and `restore` of a run of kind `outside`: nothing is trained, and nothing is run to restore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256, write_json
from restore_ml.data.pictures import Refused
from restore_ml.data.shards import Record, write
from restore_ml.outside.inputs import Inputs, changed
from restore_ml.outside.kept import AGAIN, Kept, output_of

NO_MODEL = "its outputs were made by another tool and brought in; it has no model"


def train(spec: dict[str, Any], root: Path, out: Path) -> dict[str, Any]:
    """Write the model.json of a run without a model; returns it. `spec`: code/train/<task>/<run>.json.

    Raises:
        UserError: the outputs are not on this machine.
    """
    home = layout.outputs(spec["task"], spec["run"])
    if not spec["outputs"]:
        raise UserError(f"The outputs of the run {spec['run']} are not in {root / home}; `dvc pull {home}.dvc` brings "
                        "them, or take the run out of its runs.yaml.")
    record = {**{key: spec[key] for key in ("run", "task", "method", "settings", "seed", "slots", "outputs")},
              "kind": layout.OUTSIDE, "fingerprint": sha256(canonical_json(spec).encode())[:32], "reading": "",
              "status": layout.OUTSIDE, "reason": NO_MODEL, "steps": 0, "parameters": {}, "parameters_total": None,
              "training_ops": None, "weights_sha256": ""}
    write_json(out / "model.json", record)
    return record


def restore(spec: dict[str, Any], root: Path, out: Path) -> dict[str, Any]:
    """Write restored/<task>/<run> from what was brought in, and its status; returns that.

    A case for which nothing was brought in is unsupported. One whose inputs are no longer those that the tool was given
    is failed, and so is a sample whose file cannot be used: each with its reason.
    """
    from restore_ml.restoring.stage import cases_of

    task, run = spec["task"], spec["run"]
    status: dict[str, Any] = {"run": run, "seed": spec["seed"], "status": "ok", "reason": "", "cases": {},
                              "multiply_adds": None}
    for case in cases_of(root / layout.inputs(task)):
        folder = root / layout.outputs(task, run) / case
        status["cases"][case] = ({"status": "unsupported", "reason": "no outputs were brought in for this case",
                                  "failed": {}} if case not in spec["outputs"] else
                                 _case(root, task, case, folder, out / f"{case}.arrow"))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "status.json", status)
    return status


def _case(root: Path, task: str, case: str, folder: Path, out: Path) -> dict[str, Any]:
    """Write one case; what status.json says of it."""
    entry: dict[str, Any] = {"status": "ok", "reason": "", "failed": {}}
    kept, inputs = Kept(folder), Inputs(root, task, *case.split("/"))
    if difference := changed(kept.inputs, inputs.hashes()):
        return entry | {"status": "failed", "reason": f"the inputs of this case are not those that the tool was given "
                                                      f"({difference}): {AGAIN}"}

    def records() -> Iterator[Record]:
        for _, record in inputs:
            paths = kept.paths(record.id)
            try:
                if paths is None:
                    raise Refused(kept.reason(record.id))
                output, _ = output_of(task, record, paths)
            except Refused as refused:
                entry["failed"][record.id] = refused.reason
                continue
            yield Record(record.id, output, record.facts)

    if not write(out, records()) and entry["failed"]:
        entry |= {"status": "failed", "reason": next(iter(entry["failed"].values()))}
    return entry
