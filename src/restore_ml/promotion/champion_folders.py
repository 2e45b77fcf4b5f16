"""Champions on disk: champions/<task>/{champion,previous}, each whole or not there, moved by renames alone.

A champion's folder holds all that it takes to restore with it (weights, settings, what fills the slots that restoring
uses) and decision.json, so that it outlives the run, the cache and the MLflow store. Names that start with a point are
steps of a move; `recover` finishes or undoes a move that a kill cut short.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import copy_files, read_json, sha256, sync_folder, write_json
from restore_ml.registry import method_class

CHAMPION, PREVIOUS = "champion", "previous"
NEXT, OLD, SWAP = ".next", ".old", ".swap"


def champion_folder(root: Path, task: str) -> Path | None:
    """champions/<task>/champion where promote has put a model and its decision, else None."""
    folder = root / layout.champion(task)
    return folder if all((folder / name).exists() for name in ("model.json", "decision.json")) else None


def digest(folder: Path) -> str:
    """The SHA-256 of a model folder's model.json, which names its settings and the hash of its weights; empty where
    there is none."""
    path = folder / "model.json"
    return sha256(path.read_bytes()) if path.exists() else ""


def read_champion(folder: Path) -> dict[str, Any] | None:
    """What the promotion rule needs of champions/<task>/champion: run, weights_sha256, model_sha256; None where there
    is no champion."""
    if not (folder / "model.json").exists():
        return None
    model = read_json(folder / "model.json")
    return {"run": str(model["run"]), "weights_sha256": str(model.get("weights_sha256") or ""),
            "model_sha256": digest(folder)}


def install(root: Path, task: str, run: str, decision: dict[str, Any]) -> Path:
    """Put models/<task>/<run> in the champion's place, keep the one it replaces as `previous`; returns the folder."""
    home, source = root / layout.champions(task), root / layout.model(task, run)
    following = home / NEXT
    shutil.rmtree(following, ignore_errors=True)
    copy_files(source, following, layout.MODEL_FILES)
    model = read_json(source / "model.json")
    used = method_class(task, model["method"]).restoring_slots
    for other in sorted({filled for slot, filled in model.get("slots", {}).items() if slot in used}):
        if layout.is_run(other):
            copy_files(root / layout.slot(other), following / layout.slot(other), layout.MODEL_FILES)
    write_json(following / "decision.json", decision)  # last: a folder with a decision is complete
    sync_folder(following)
    if (home / CHAMPION).exists():
        if (home / PREVIOUS).exists():
            (home / PREVIOUS).rename(home / OLD)
        (home / CHAMPION).rename(home / PREVIOUS)
    following.rename(home / CHAMPION)
    shutil.rmtree(home / OLD, ignore_errors=True)
    sync_folder(home)
    return home / CHAMPION


def swap(home: Path) -> None:
    """Exchange `champion` and `previous`; a `UserError` where there is no previous one."""
    recover(home)
    if not (home / PREVIOUS / "decision.json").exists():
        raise UserError(f"There is no previous champion of {home.name} in {home}.")
    (home / PREVIOUS).rename(home / SWAP)
    if (home / CHAMPION).exists():
        (home / CHAMPION).rename(home / PREVIOUS)
    (home / SWAP).rename(home / CHAMPION)
    sync_folder(home)


def recover(home: Path) -> None:
    """Finish what a kill cut short where the champion's place is empty, undo it elsewhere: afterwards champion and
    previous are whole and nothing else is left."""
    for name in (NEXT, SWAP, PREVIOUS):  # who may stand in an empty place, the one that was on its way first
        if not (home / CHAMPION).exists() and (home / name / "decision.json").exists():
            (home / name).rename(home / CHAMPION)
    for name in (SWAP, OLD):
        if not (home / PREVIOUS).exists() and (home / name).exists():
            (home / name).rename(home / PREVIOUS)
    for name in (NEXT, OLD, SWAP):
        shutil.rmtree(home / name, ignore_errors=True)
