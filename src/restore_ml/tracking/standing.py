"""How the champion stands today: its stored weights, restored and scored on the present test pictures.

The stage `champion` does it whenever the test samples, the champion or the code change, since its run may have been
trained anew or have left params.yaml. Its rows carry the run name `champion <run> (<hash>)`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import layout
from restore_ml.data import shards
from restore_ml.errors import UserError
from restore_ml.files import read_json, write_json
from restore_ml.seeds import derive
from restore_ml.tracking.champion_folders import CHAMPION, digest

if TYPE_CHECKING:
    import pandas as pd


def name(folder: Path) -> str:
    """What the rows of the champion in `folder` are called: `champion vdsr (1a2b3c4d)`, by the hash of its model."""
    return f"champion {read_json(folder / 'model.json')['run']} ({digest(folder)[:8]})"


def path(root: Path, task: str) -> Path:
    """Where the stage keeps the rows: scores/champion/<task>.parquet."""
    return root / layout.SCORES / CHAMPION / f"{task}.parquet"


def rows(root: Path, task: str, scores: pd.DataFrame) -> pd.DataFrame | None:
    """The champion's rows on the pictures of `scores` (None without a champion): those of the stage where they are of
    this champion and these pictures, else restored and scored now."""
    import pandas as pd

    folder = root / layout.CHAMPIONS / task / CHAMPION
    if not (folder / "model.json").exists():
        return None
    if path(root, task).exists():
        known = pd.read_parquet(path(root, task))
        if set(known["run"]) == {name(folder)} and _places(known) == _places(scores):
            return known
    return score_champion(root, task)


def is_current(root: Path, task: str) -> bool:
    """Whether the rows that are kept are those of the present champion."""
    import pyarrow.parquet as pq

    folder, place = root / layout.CHAMPIONS / task / CHAMPION, path(root, task)
    if not (folder / "model.json").exists() or not place.exists():
        return False
    return set(pq.read_table(place, columns=["run"])["run"].to_pylist()) == {name(folder)}


def take_over(root: Path, task: str, own: pd.DataFrame) -> None:
    """Keep the rows of the run that was promoted just now as the champion's: its weights, seed and threads are the
    same, so the stage would find the same figures, and need not restore everything a second time."""
    from restore_ml.evaluation.scoring import write_scores

    folder = root / layout.CHAMPIONS / task / CHAMPION
    write_scores(path(root, task), own.assign(run=name(folder)))


def _places(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["case"], frame["picture"], strict=True))


def score_champion(root: Path, task: str) -> pd.DataFrame:
    """Restore every test case of the task with the champion's stored weights and score it; no rows without one.

    A champion that cannot be loaded any more, a case that it does not support and a picture on which it fails keep
    their rows with the reason.
    """
    from restore_ml.evaluation.scoring import score

    folder, samples = root / layout.CHAMPIONS / task / CHAMPION, root / layout.SAMPLES / task
    if not (folder / "model.json").exists():
        return score(task, samples, samples, [])
    run, seed = name(folder), int(read_json(folder / "model.json")["seed"])
    with tempfile.TemporaryDirectory() as temporary:
        _restore(root, folder, samples / "inputs", Path(temporary) / run, seed)
        return score(task, samples, Path(temporary), [{"run": run, "seed": seed}])


def _restore(root: Path, folder: Path, inputs: Path, out: Path, seed: int) -> None:
    """What the stage `restore` does for a run, from the champion's folder."""
    import torch

    from restore_ml.restore_command import load

    facts: dict[str, Any] = {"run": out.name, "status": "ok", "reason": "", "cases": {}}
    torch.set_num_threads(int(read_json(folder / "model.json").get("threads") or 1))
    try:
        method, model = load(folder, root)
    except UserError as error:  # its method may have gone
        write_json(out / "status.json", facts | {"status": "failed", "reason": str(error)})
        return
    for place in sorted(inputs.glob("*/*.arrow")):
        case = place.relative_to(inputs).with_suffix("").as_posix()
        reason = method.unsupported(case.split("/")[1])
        entry: dict[str, Any] = {"status": "unsupported" if reason else "ok", "reason": reason or "", "failed": {}}
        facts["cases"][case] = entry
        if not reason and not shards.write(out / f"{case}.arrow", _restored(method, model, place, case, seed, entry)):
            entry |= {"status": "failed", "reason": next(iter(entry["failed"].values()), "it restored nothing")}
    write_json(out / "status.json", facts)


def _restored(method: Any, model: Any, place: Path, case: str, seed: int,
              entry: dict[str, Any]) -> Iterator[shards.Record]:
    from restore_ml.restoring.harness import restore

    for record in shards.Shard(place):
        try:
            output = restore(method, model, record.arrays, derive(seed, "restore", record.id, case))
        except Exception as error:  # one picture must not take the others with it
            entry["failed"][record.id] = " ".join(f"{type(error).__name__}: {error}".split())
        else:
            yield shards.Record(record.id, output, record.facts)
