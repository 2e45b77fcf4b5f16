"""The stage `train`: trains (or fits) one run in a child process, so that its end is not the stage's.

If the child alone is killed, for want of memory mostly, a second one continues from the checkpoint; if that one is
killed too, the run is marked transient and the next rebuild tries it again. A training in several processes is
started by the child (`pipelines.machinery.launched`), which is killed when one of them was.
"""

import sys
from contextlib import nullcontext
from typing import Any

from pipelines.machinery.lock import holds
from pipelines.machinery.progress import bar
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json, write_text

CHILDREN = 2
FRESH = "fresh"


def stage(step: Steps, key: str) -> None:
    """Train the run `key` (task/run)."""
    step("train_method", train_method, key, step)


def work(key: str, word: str) -> int:
    """In the child: train the run; its outcome is in models/<task>/<run>/model.json."""
    spec = _spec(key)
    processes = spec.get("processes", 1)
    if processes == 1:
        train(key, word)
        return 0
    from pipelines.machinery.launched import launch

    return launch(key, word, processes, spec["threads"])


def train(key: str, word: str, shown: bool = True) -> dict[str, Any]:
    """Train the run in this process, or this process's part of it; the content of its model.json."""
    from restore_ml.training.train import train_run

    root = layout.root()
    with bar(f"train {key}") if shown else nullcontext() as progress:
        return train_run(_spec(key), root, root / layout.model(*key.split("/")), progress=progress, fresh=word == FRESH)


def train_method(key: str, step: Steps) -> None:
    """Have the children train; a result that the lock already holds is made anew, an unfinished training goes on.
    Of a run that is not built at this profile there is only a model.json that says so."""
    root = layout.root()
    if reason := _spec(key).get(layout.LEFT_OUT):
        write_json(root / layout.model(*key.split("/")) / "model.json",
                   _spec(key) | {"status": layout.LEFT_OUT, "reason": f"it is {reason}"})
        return
    retry = root / layout.retry_mark("train", *key.split("/"))
    word = FRESH if not retry.exists() and holds(root, *key.split("/")) else ""
    status = -1
    while status < 0 and step.children:
        status = step.children.pop(0).run(word)
        word = ""
        if status < 0 and step.children:
            print(f"The training of {key} was killed by signal {-status}; it goes on from its last checkpoint.",
                  file=sys.stderr)
    if status < 0:
        _give_up(key, f"its process was killed twice, the last time by signal {-status}")
    elif status > 0:
        raise UserError(f"The training of {key} stopped, for the reason above.")
    if read_json(root / layout.model(*key.split("/")) / "model.json")["status"] == "transient":
        write_text(retry, "")
    else:
        retry.unlink(missing_ok=True)


def _spec(key: str) -> dict[str, Any]:
    return read_json(layout.root() / layout.code("train", *key.split("/")))


def _give_up(key: str, reason: str) -> None:
    from restore_ml.registry import method_class
    from restore_ml.tasks.base import Material
    from restore_ml.training.train import fingerprint

    root, spec = layout.root(), _spec(key)
    description = {name: spec[name] for name in ("run", "task", "method", "settings", "seed", "precision", "threads")}
    description |= {"processes": spec.get("processes", 1), "slots": spec.get("slots", {})}
    write_json(root / layout.model(*key.split("/")) / "model.json", description | {
        "fingerprint": fingerprint(spec, Material(root / layout.material(spec["task"])), root),
        "reading": method_class(spec["task"], spec["method"]).reading, "status": "transient", "reason": reason,
        "steps": 0, "parameters": {}, "parameters_total": 0, "training_ops": 0, "weights_sha256": ""})
