"""Who may challenge a champion: the runs of a task with their replicates, and what each shows on the primary case.

A *replicate* is a run with the settings of another (`of:` in runs.yaml) under another seed. A run and its replicates
are one challenger: what it shows of a picture is the mean over them, so that a lucky seed wins nothing, and what would
be installed is the median one by the deciding metric (of an even number the worse of the two in the middle; equal ones
by name).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from restore_ml.base import layout
from restore_ml.base.files import sha256
from restore_ml.evaluation.comparison import model_facts
from restore_ml.evaluation.statistics import Estimate, paired

if TYPE_CHECKING:
    import pandas

SEED = 2
"""Of the bootstrap, so that a decision can be worked out again."""


@dataclass(frozen=True)
class Challenger:
    """A run with its replicates on the primary case.

    `values`: the deciding metric a picture, mean over the replicates; `mean` of it; `install`: the run whose weights
    would be installed; `rows`: that run's score rows on the case, by picture.
    """

    run: str
    members: tuple[str, ...]
    values: np.ndarray
    mean: float
    install: str
    rows: pandas.DataFrame = field(repr=False)


def gather(rows: pandas.DataFrame, models: Path, metric: str, direction: int, *, skipped: Sequence[str],
           replicates: Mapping[str, Sequence[str]],
           wanted: Mapping[str, int]) -> tuple[list[Challenger], dict[str, str]]:
    """The challengers that did every picture of the case, best first (then by name), and why the others are none.

    `rows`: the score rows of one case. `skipped`: runs that are no challengers and no news (the champion itself).
    `replicates`: run -> all runs of its team, itself included; runs that are not named stand alone. `wanted`: run ->
    the number of seeds that the profile asks of it (1 where not named).
    """
    by_run = {str(run): frame.set_index("picture").sort_index() for run, frame in rows.groupby("run", sort=True)}
    teams = {run: tuple(replicates.get(run, (run,))) for run in by_run}
    followers = {member for run, members in replicates.items() for member in members if member != run}
    taken: list[Challenger] = []
    refused: dict[str, str] = {}
    for run, members in teams.items():
        if run in followers or set(members) & set(skipped):
            continue
        reason = _missing(run, members, by_run, models, metric, wanted.get(run, 1))
        if reason:
            refused[run] = reason
            continue
        values = np.mean([by_run[member][metric].to_numpy(np.float64) for member in members], axis=0)
        means = {member: float(by_run[member][metric].mean()) for member in members}
        ordered = sorted(members, key=lambda member: (direction * means[member], member))  # worst first
        chosen = ordered[(len(ordered) - 1) // 2]
        taken.append(Challenger(run, members, values, float(values.mean()), chosen, by_run[chosen]))
    return sorted(taken, key=lambda one: (-direction * one.mean, one.run)), refused


def _missing(run: str, members: Sequence[str], by_run: Mapping[str, pandas.DataFrame], models: Path, metric: str,
             wanted: int) -> str:
    """Why a team cannot challenge, or an empty text."""
    if len(members) < wanted:
        return (f"it has {len(members)} of the {wanted} seeds that the profile asks for; `restore-ml seeds` adds the "
                "others to its task's runs.yaml")
    for member in members:
        own = by_run.get(member)
        reason = "it has no score rows" if own is None else _unfit(own, models, member, metric)
        if reason:
            return reason if member == run else f"{member}: {reason}"
    return ""


def _unfit(own: pandas.DataFrame, models: Path, run: str, metric: str) -> str:
    """Why the rows of one run cannot be compared, or an empty text."""
    status = model_facts(models, run)["status"]
    bad = own[own["status"] != "ok"]
    if status == layout.OUTSIDE:
        return "it is outputs of another tool (kind outside), which have no model that could be champion"
    if status not in ("ok", ""):
        return f"its training ended as {status}"
    if len(bad):
        word = bad["status"].iloc[0] if len(bad) == len(own) else f"partly failed: {len(bad)} of {len(own)} pictures"
        return f"{word}: {bad['reason'].iloc[0]}"
    missing = own[metric].isna()
    return f"it has no {metric}" + ("" if missing.all() else " of every picture") if missing.any() else ""


def same_model(models: Path, digest: str, runs: Sequence[str]) -> list[str]:
    """The runs whose model.json (settings and the hash of the weights) has the given SHA-256."""
    return [run for run in runs if digest and (models / run / "model.json").exists()
            and sha256((models / run / "model.json").read_bytes()) == digest]


def widened(confidence: float, photographs: int) -> float:
    """The confidence at which a percentile bootstrap over so few photographs covers what it says.

    The bootstrap of a mean of n values is too narrow twice: its spread lacks the factor sqrt(n / (n - 1)) and it uses
    normal for t quantiles. Source: T. Hesterberg, "What Teachers Should Know About the Bootstrap" (The American
    Statistician 69, 2015), the expanded percentile interval: quantiles at Phi(-+ sqrt(n / (n - 1)) t_{n - 1}).
    """
    t = stats.t.ppf((1 + confidence) / 2, photographs - 1)
    return float(1 - 2 * stats.norm.cdf(-math.sqrt(photographs / (photographs - 1)) * t))


def gain(values: np.ndarray, champion: np.ndarray, groups: Sequence[str], direction: int,
         confidence: float) -> Estimate:
    """The paired gain of a challenger over the champion, positive better, with its widened interval."""
    both = ~np.isnan(values - champion)
    photographs = len({group for group, there in zip(groups, both, strict=True) if there})
    sure = widened(confidence, photographs) if photographs > 1 else confidence
    return paired(direction * values, direction * champion, groups, SEED, min(sure, 1 - 1e-9))


def where(scores: pandas.DataFrame, run: str, champion: str, metric: str, direction: int,
          confidence: float) -> list[dict[str, Any]]:
    """Who wins where: for each case that both did, the means, the gain with its interval, per-picture wins and losses
    and the winner (`run`, `champion` or `neither`, by whether the interval leaves zero out)."""
    cases = []
    for case, rows in scores.groupby("case", sort=True):
        good = rows[(rows["status"] == "ok") & rows[metric].notna()]
        one, two = (good[good["run"] == name].set_index("picture").sort_index() for name in (run, champion))
        both = one.index.intersection(two.index).sort_values()
        if not len(both):
            continue
        a, b = (frame.loc[both, metric].to_numpy(np.float64) for frame in (one, two))
        estimate = gain(a, b, list(one.loc[both, "group"]), direction, confidence)
        low, high = number(estimate.low), number(estimate.high)
        winner = "neither" if low is None or high is None or low <= 0 <= high else run if low > 0 else champion
        cases.append({"case": str(case), "pictures": len(both), "challenger": number(a.mean()),
                      "champion": number(b.mean()), "gain": number(estimate.mean), "low": low, "high": high,
                      "wins": int(np.sum(direction * (a - b) > 0)), "losses": int(np.sum(direction * (a - b) < 0)),
                      "winner": winner})
    return cases


def number(value: float) -> float | None:
    """A figure for JSON: None for NaN, else rounded to nine digits after the point."""
    return None if math.isnan(value) else round(float(value), 9)
