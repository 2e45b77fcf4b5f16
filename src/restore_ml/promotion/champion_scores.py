"""How the champion stands today: its stored weights, restored and scored on the present test pictures.

Of a task with a sweep (`restore_ml.promotion.sweeps`) the rows of that stand beside them.

The stage `champion` does it whenever the test samples, the champion or its code change, since its run may have been
trained anew or have left its task's runs.yaml. Its rows carry the run name `champion <run> (<hash>)`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.promotion import sweeps
from restore_ml.promotion.champion_folders import digest
from restore_ml.tasks.protocol import protocol

if TYPE_CHECKING:
    import pandas as pd

    from restore_ml.method import Method, Model


def name(folder: Path) -> str:
    """What the rows of the champion in `folder` are called: `champion vdsr (1a2b3c4d)`, by the hash of its model."""
    return f"champion {read_json(folder / 'model.json')['run']} ({digest(folder)[:8]})"


def path(root: Path, task: str) -> Path:
    """Where the stage keeps the rows: scores/champion/<task>.parquet."""
    return root / layout.champion_scores(task)


def rows(root: Path, task: str, scores: pd.DataFrame) -> pd.DataFrame | None:
    """The champion's rows on the pictures of `scores` (None without a champion): those of the stage where they are of
    this champion and these pictures, else restored and scored now."""
    from restore_ml.evaluation.scoring import read_scores

    folder = root / layout.champion(task)
    if not (folder / "model.json").exists():
        return None
    if path(root, task).exists():
        stored = sweeps.tested(task, read_scores(path(root, task)))
        if set(stored["run"]) == {name(folder)} and _places(stored) == _places(scores):
            return stored
    return sweeps.tested(task, score_champion(root, task))


def is_current(root: Path, task: str) -> bool:
    """Whether the rows that are kept are those of the present champion, its sweep among them where the task has one."""
    import pyarrow.parquet as pq

    folder, table = root / layout.champion(task), path(root, task)
    if not (folder / "model.json").exists() or not table.exists():
        return False
    kept = pq.read_table(table, columns=["run", "case"]).to_pandas()
    if protocol(task).sweep is not None and sweeps.of_sweep(task, kept).empty:
        return False  # it was promoted just now: the stage makes the sweep
    return set(sweeps.tested(task, kept)["run"]) == {name(folder)}


def take_over(root: Path, task: str, own: pd.DataFrame) -> None:
    """Keep the rows of the run that was promoted just now as the champion's: its weights, seed and threads are the
    same, so the stage would find the same figures, and need not restore everything a second time. A sweep is missing
    then, and the stage runs for it."""
    from restore_ml.evaluation.scoring import write_scores

    write_scores(path(root, task), own.assign(run=name(root / layout.champion(task))))


def _places(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(frame["case"], frame["picture"], strict=True))


def score_champion(root: Path, task: str) -> pd.DataFrame:
    """Restore every test case of the task, and its sweep, with the champion's stored weights and score it; no rows
    without one.

    A champion that cannot be loaded any more, a case that it does not support and a picture on which it fails keep
    their rows with the reason. A lack of memory leaves a mark (`layout.retry_mark`), so that the next rebuild tries
    again.
    """
    import pandas

    from restore_ml.evaluation.scoring import score
    from restore_ml.restoring.stage import restore_cases, unrestored

    folder, samples = root / layout.champion(task), root / layout.samples(task)
    retry = root / layout.retry_mark("champion", task)
    if not (folder / "model.json").exists():
        retry.unlink(missing_ok=True)
        return score(task, samples, samples, [])
    run, seed = name(folder), int(read_json(folder / "model.json")["seed"])
    inputs, loaded = root / layout.inputs(task), _loaded(root, folder)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / run
        status = (unrestored(run, seed, inputs, "failed", loaded) if isinstance(loaded, str)
                  else restore_cases(*loaded, inputs, out, run, seed))
        write_json(out / "status.json", status)
        if status.get("transient"):
            write_text(retry, "")
        else:
            retry.unlink(missing_ok=True)
        own = score(task, samples, Path(temporary), [{"run": run, "seed": seed}])
    swept = None if isinstance(loaded, str) else sweeps.rows(root, task, run, *loaded, seed)
    return own if swept is None else pandas.concat([own, swept], ignore_index=True)


def _loaded(root: Path, folder: Path) -> tuple[Method, Model] | str:
    """The champion's method and model, or why it cannot be loaded: its method may have gone."""
    import torch

    from restore_ml.serving.restore_command import load

    torch.set_num_threads(int(read_json(folder / "model.json").get("threads") or 1))
    try:
        return load(folder, root)
    except UserError as error:
        return str(error)
