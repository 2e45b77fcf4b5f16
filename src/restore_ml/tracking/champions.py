"""Champions on disk: champions/<task>/{champion,previous}, written whole or not at all, moved by the promotion rule.

A champion's folder holds all that it takes to restore with it (weights, settings, features where restoring uses them)
and decision.json, so that it outlives the run, the cache and the MLflow store. DVC keeps it (`dvc_add`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import layout, settings
from restore_ml.errors import UserError
from restore_ml.files import read_json, sync_folder, write_json
from restore_ml.registry import TASKS, method_class
from restore_ml.tracking.provenance import Lock

if TYPE_CHECKING:
    import pandas as pd

CHAMPION, PREVIOUS, NEXT, OLD = "champion", "previous", ".next", ".old"


def promote(root: Path) -> list[str]:
    """Decide for each task that has scores and move its champion where the rule says so; a sentence a task.

    The caller hands the folders to DVC afterwards (`dvc_add`) and syncs MLflow.
    """
    import pandas as pd

    from restore_ml.evaluation.promotion import decide, read_champion

    params = settings.load(root / "params.yaml")
    lock = Lock(root)
    sentences = []
    for task in TASKS:
        home = root / layout.CHAMPIONS / task
        recover(home)
        path = root / layout.SCORES / f"{task}.parquet"
        if not path.exists():
            continue
        scores = pd.read_parquet(path)
        held = read_champion(home / CHAMPION)
        if held is not None and len(scores):
            again = _scored_again(root, task, scores, held)
            if again is not None:
                name, rows = again
                held, scores = {**held, "scored_as": name}, pd.concat([scores, rows], ignore_index=True)
        decision = decide(task, scores, root / layout.MODELS, held, params.promotion, profile=params.profile)
        if decision.promoted:
            install(root, task, decision.run, {**decision.as_json(), "data": lock.data, "profile": params.profile})
        sentences.append(f"{task}: {decision.sentence}")
    return sentences or ["Nothing is scored yet, so nothing can be promoted; `make repro` builds and scores the runs."]


def install(root: Path, task: str, run: str, decision: dict[str, Any]) -> Path:
    """Put models/<run> in the champion's place and keep the one it replaces as `previous`; returns the folder."""
    home, source = root / layout.CHAMPIONS / task, root / layout.MODELS / run
    following = home / NEXT
    shutil.rmtree(following, ignore_errors=True)
    _copy(source, following)
    facts = read_json(source / "model.json")
    if facts["needs"] != "none" and method_class(task, facts["method"]).restores_with_features:
        _copy(root / layout.MODELS / facts["needs"], following / layout.MODELS / facts["needs"])
    write_json(following / "decision.json", decision)  # last: a folder with a decision is complete
    sync_folder(following)
    _advance(home)
    return home / CHAMPION


def rollback(root: Path, task: str) -> str:
    """Put the previous champion back in its place (and the present one aside, so that it can be undone)."""
    home = root / layout.CHAMPIONS / task
    recover(home)
    if not (home / PREVIOUS / "decision.json").exists():
        raise UserError(f"There is no previous champion of {task} in {home}.")
    shutil.rmtree(home / NEXT, ignore_errors=True)
    (home / PREVIOUS).rename(home / NEXT)
    _advance(home)
    run = read_json(home / CHAMPION / "model.json")["run"]
    return f"{run} is the champion of {task} again."


def recover(home: Path) -> None:
    """Finish what a kill cut short: a complete `.next` whose place is empty becomes the champion; the rest goes."""
    following = home / NEXT
    if (following / "decision.json").exists() and not (home / CHAMPION).exists():
        following.rename(home / CHAMPION)
    if not (home / PREVIOUS).exists() and (home / OLD).exists():
        (home / OLD).rename(home / PREVIOUS)
    if not (home / CHAMPION).exists() and (home / PREVIOUS).exists():
        (home / PREVIOUS).rename(home / CHAMPION)
    for name in (NEXT, OLD):
        shutil.rmtree(home / name, ignore_errors=True)


def _advance(home: Path) -> None:
    """`.next` becomes champion, champion becomes previous. Renames only: at every moment one of them is whole."""
    if (home / CHAMPION).exists():
        if (home / PREVIOUS).exists():
            (home / PREVIOUS).rename(home / OLD)
        (home / CHAMPION).rename(home / PREVIOUS)
    (home / NEXT).rename(home / CHAMPION)
    shutil.rmtree(home / OLD, ignore_errors=True)
    sync_folder(home)


def _copy(source: Path, target: Path) -> None:
    """Copy a model's own files (not its training history), each flushed to disk."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*")):
        if path.suffix in (".json", ".safetensors"):
            shutil.copyfile(path, target / path.name)
            with open(target / path.name, "rb+") as file:
                os.fsync(file.fileno())


def _scored_again(root: Path, task: str, scores: pd.DataFrame,
                  held: dict[str, Any]) -> tuple[str, pd.DataFrame] | None:
    """The champion's stored weights, restored and scored on today's primary case, when no present run is that model.

    Its run may have been trained anew or have left params.yaml, and the test pictures may have grown.
    """
    home = root / layout.CHAMPIONS / task / CHAMPION
    present = root / layout.MODELS / held["run"] / "model.json"
    if present.exists() and present.read_bytes() == (home / "model.json").read_bytes() and (
            scores["run"] == held["run"]).any():
        return None
    from restore_ml.data import shards
    from restore_ml.evaluation.protocol import protocol
    from restore_ml.evaluation.scoring import score
    from restore_ml.restoration import restore
    from restore_ml.restore_command import load
    from restore_ml.seeds import derive

    case = protocol(task).primary_case(scores["case"])
    samples = root / layout.SAMPLES / task
    seed = int(read_json(home / "model.json")["seed"])
    method, model = load(home, root)
    name = f"champion {held['run']}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        shards.write(out / f"{case}.arrow", (
            shards.Record(record.id, restore(method, model, record.arrays, derive(seed, "restore", record.id, case)),
                          record.facts) for record in shards.Shard(samples / "inputs" / f"{case}.arrow")))
        write_json(out / "status.json", {"run": name, "status": "ok", "reason": "",
                                         "cases": {case: {"status": "ok", "reason": "", "failed": {}}}})
        rows = score(task, samples, Path(folder), [{"run": name, "seed": seed}])
    return name, rows[rows["case"] == case]


def dvc_add(root: Path) -> list[str]:
    """Hand every champion's folder to DVC (`dvc add`, which does nothing for what it has); returns the folders.

    Nothing happens outside a DVC project. `UserError` when DVC refuses.
    """
    folders = [str(path.relative_to(root)) for path in sorted((root / layout.CHAMPIONS).glob("*/*"))
               if path.name in (CHAMPION, PREVIOUS) and path.is_dir()]
    if not folders or not (root / ".dvc").is_dir():
        return []
    done = subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", *folders], cwd=root, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        raise UserError(f"DVC could not take the champions in: {' '.join(done.stderr.split())}")
    return folders
