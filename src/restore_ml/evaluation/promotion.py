"""The promotion rule: a pure function of tracked files that says whether the champion of a task moves, and why.

The first champion is the best run by the task's primary metric on its primary case among those whose guards hold;
baselines compete. Later a challenger replaces the champion only when the whole paired bootstrap interval of its gain on
the same pictures lies above zero, its mean gain reaches the task's minimum and its guards hold against the champion.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.errors import UserError
from restore_ml.evaluation.comparison import build_table, model_facts
from restore_ml.evaluation.protocol import Guard, Protocol, protocol
from restore_ml.evaluation.statistics import paired
from restore_ml.files import read_json
from restore_ml.registry import TASKS, nearest
from restore_ml.settings import PROFILES

if TYPE_CHECKING:
    import pandas

SEED = 2
"""Of the bootstrap, so that a decision can be worked out again."""
KEYS = ("confidence", "min_pictures", "minimum_gain")


@dataclass(frozen=True)
class Rule:
    """How sure a decision must be: `promotion:` of params.yaml, resolved for a task."""

    confidence: float = 0.95
    min_pictures: int = 10
    minimum_gain: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Whether the champion of `task` moves to `run`, the `sentence` that says so, and what it rests on.

    `champion`: the run that held the place, empty for the first. `gain`: {mean, low, high} of the paired difference of
    the primary metric, positive better, against the champion (for the first champion: the baseline); None where there
    is nothing to compare with. `pictures`: per picture {picture, name, challenger, champion}, `wins` and `losses` count
    them. `refused`: run -> sentence, the runs that could not be champion.
    """

    task: str
    promoted: bool
    run: str
    champion: str
    sentence: str
    case: str = ""
    metric: str = ""
    value: float | None = None
    gain: dict[str, float | None] | None = None
    compared_with: str = ""
    pictures: list[dict[str, Any]] = field(default_factory=list)
    wins: int = 0
    losses: int = 0
    synthetic: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    rule: dict[str, float] = field(default_factory=dict)
    weights_sha256: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values (no NaN)."""
        return asdict(self)


def resolve(task: str, settings: dict[str, Any]) -> Rule:
    """The rule of a task from `promotion:` of params.yaml: `confidence`, `min_pictures` and `minimum_gain` (a number
    for every task or a mapping from tasks); the task's own minimum gain is the default. Unknown keys are refused."""
    for key in settings:
        if key not in KEYS:
            raise UserError(f"promotion has the unknown key {key!r}.{nearest(str(key), KEYS)}")
    gain = settings.get("minimum_gain", {})
    if isinstance(gain, dict):
        for name in gain:
            if name not in TASKS:
                raise UserError(f"minimum_gain of promotion names the unknown task {name!r}."
                                f"{nearest(str(name), TASKS)}")
        gain = gain.get(task, protocol(task).minimum_gain)
    confidence, least = settings.get("confidence", 0.95), settings.get("min_pictures", 10)
    if not _is_number(confidence) or not 0.5 <= confidence < 1:
        raise UserError(f"confidence of promotion is {confidence!r}; it must be a number from 0.5 to below 1.")
    if not isinstance(least, int) or isinstance(least, bool) or least < 2:
        raise UserError(f"min_pictures of promotion is {least!r}; it must be a whole number of at least 2.")
    if not _is_number(gain) or gain < 0:
        raise UserError(f"minimum_gain of promotion is {gain!r}; it must be a number of at least 0.")
    return Rule(float(confidence), least, float(gain))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def decide(task: str, scores: pandas.DataFrame, models: Path, champion: dict[str, Any] | None,
           settings: dict[str, Any], *, profile: str) -> Decision:
    """Whether a run becomes champion of the task.

    `scores`: the task's score rows; `models`: the folder models/; `champion`: None, or `run` and `weights_sha256` of
    the champion and, where its stored weights were restored and scored anew, `scored_as`, the run under which those
    rows stand in `scores`; `settings`: `promotion:` of params.yaml; `profile`: the active one. `UserError` for settings
    that cannot be; every other refusal is a decision with `promoted` False and a sentence.
    """
    rules, rule = protocol(task), resolve(task, settings)
    if profile not in PROFILES:
        raise UserError(f"The profile {profile!r} is none of {', '.join(PROFILES)}.{nearest(profile, PROFILES)}")
    held = "" if champion is None else str(champion["run"])
    base: dict[str, Any] = {"task": task, "champion": held, "rule": asdict(rule)}
    if scores.empty:
        return _no(base, f"{task} has no score rows; nothing can be promoted.")
    case = rules.primary_case(scores["case"])
    rows = scores[scores["case"] == case]
    base |= {"case": case, "metric": rules.primary, "synthetic": bool(rows["synthetic"].any())}
    table = build_table(task, rows, models).set_index("run")
    obstacle = _obstacle(task, case, rule, profile, table) or (_stale(table, models, champion) if champion else None)
    if obstacle:
        return _no(base, obstacle)
    rival = "" if champion is None else str(champion.get("scored_as") or held)
    reference = rival or str(table["baseline"].iloc[0])
    eligible, refused = _eligible(rules, table, models, reference, rival)
    base["refused"] = refused
    if not eligible:
        return _no(base, f"No run of {task} can be champion: every one failed or broke a guard.")
    run = eligible[0]
    base |= _evidence(rules, rule, rows, run, reference if reference != run else "")
    base |= {"run": run, "value": float(table.loc[run, rules.primary]),
             "weights_sha256": model_facts(models, run)["weights_sha256"]}
    if champion is None:
        value = base["value"]
        return Decision(promoted=True, sentence=f"{run} becomes the first champion of {task}: {rules.primary} "
                        f"{value:.4g} on {case}, the best of {len(eligible)} runs whose guards hold.", **base)
    return _challenge(rules, rule, base, held)


def _no(base: dict[str, Any], sentence: str) -> Decision:
    return Decision(**{"run": "", **base, "promoted": False, "sentence": sentence})


def _obstacle(task: str, case: str, rule: Rule, profile: str, table: pandas.DataFrame) -> str | None:
    """Why nothing at all can be promoted, or None."""
    pictures = int(table["pictures"].iloc[0])
    if profile == "quick":
        return "The profile quick trains too little to choose a champion; rebuild with cpu, gpu or paper."
    if pictures < rule.min_pictures:
        return f"{task} {case} has {pictures} test pictures; promoting needs at least {rule.min_pictures}."
    return None


def _stale(table: pandas.DataFrame, models: Path, champion: dict[str, Any]) -> str | None:
    """Why the champion cannot be compared with on these rows, or None."""
    held, scored = str(champion["run"]), champion.get("scored_as")
    row = str(scored or held)
    if row not in table.index:
        return f"The champion {held} has no score rows on these pictures; restore and score it, then promote again."
    known = str(champion.get("weights_sha256") or "")
    if not scored and known and known != model_facts(models, held)["weights_sha256"]:
        return (f"The champion {held} was trained anew since: its rows are not the champion's. Restore and score the "
                f"champion's stored weights, then promote again.")
    if table.loc[row, "status"] != "ok":
        return f"The champion {held} was not scored on all pictures ({table.loc[row, 'reason']}); nothing is compared."
    return None


def _eligible(rules: Protocol, table: pandas.DataFrame, models: Path, reference: str,
              rival: str) -> tuple[list[str], dict[str, str]]:
    """Runs that may become champion, best first, and why the others may not. The champion itself is in neither."""
    refused: dict[str, str] = {}
    for run, row in table.iterrows():
        name = str(run)
        if name == rival:
            continue
        status = model_facts(models, name)["status"]
        if status not in ("ok", ""):
            refused[name] = f"its training ended as {status}"
        elif row["status"] != "ok":
            refused[name] = f"{row['status']}: {row['reason']}"
        elif math.isnan(row[rules.primary]):
            refused[name] = f"it has no {rules.primary}"
        else:
            broken = [sentence for guard in rules.guards
                      if (sentence := _broken(rules, guard, table, name, reference)) is not None]
            if broken:
                refused[name] = "; ".join(broken)
    direction = rules.metric(rules.primary).direction
    names = [str(run) for run in table.index if str(run) not in refused and str(run) != rival]
    return sorted(names, key=lambda run: (-direction * float(table.loc[run, rules.primary]), run)), refused


def _broken(rules: Protocol, guard: Guard, table: pandas.DataFrame, run: str, reference: str) -> str | None:
    """What of a guard does not hold for a run, in a few words, or None."""
    value = float(table.loc[run, guard.metric])
    if math.isnan(value):
        return f"{guard.metric} was not measured"
    if guard.least is not None and value < guard.least:
        return f"{guard.metric} is {value:.4g}, below {guard.least:g}"
    if guard.most is not None and value > guard.most:
        return f"{guard.metric} is {value:.4g}, above {guard.most:g}"
    if guard.margin is None or reference not in table.index or run == reference:
        return None
    other = float(table.loc[reference, guard.metric])
    loss = rules.metric(guard.metric).direction * (other - value)
    if loss > guard.margin:
        return f"{guard.metric} is {value:.4g}, worse than {reference}'s {other:.4g} by more than {guard.margin:g}"
    return None


def _evidence(rules: Protocol, rule: Rule, rows: pandas.DataFrame, run: str, other: str) -> dict[str, Any]:
    """The gain of `run` over `other` on the same pictures and the pictures' own values."""
    order = sorted(rows["picture"].unique())
    direction = rules.metric(rules.primary).direction
    mine = rows[rows["run"] == run].set_index("picture").reindex(order)
    if not other:
        return {}
    theirs = rows[rows["run"] == other].set_index("picture").reindex(order)
    a, b = (frame[rules.primary].to_numpy(np.float64) for frame in (mine, theirs))
    gain = paired(direction * a, direction * b, list(mine["group"]), SEED, rule.confidence)
    pictures = [{"picture": picture, "name": str(name), "challenger": _json(x), "champion": _json(y)}
                for picture, name, x, y in zip(order, mine["name"], a, b, strict=True)]
    return {"gain": {"mean": _json(gain.mean), "low": _json(gain.low), "high": _json(gain.high)},
            "compared_with": other, "pictures": pictures, "wins": int(np.sum(direction * (a - b) > 0)),
            "losses": int(np.sum(direction * (a - b) < 0))}


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _challenge(rules: Protocol, rule: Rule, base: dict[str, Any], held: str) -> Decision:
    run, gain = base["run"], base["gain"]
    if gain["mean"] is None:
        return _no(base, f"{held} stays: no picture has {rules.primary} of both it and {run}.")
    text = (f"{rules.primary} {gain['mean']:+.4g}" + ("" if gain["low"] is None else
            f" [{gain['low']:+.4g}, {gain['high']:+.4g}] at {100 * rule.confidence:g} %")
            + f", better on {base['wins']} and worse on {base['losses']} of {len(base['pictures'])} pictures")
    if gain["low"] is None:
        sentence = f"{held} stays: the pictures come from one photograph, which says nothing of others ({run}: {text})."
    elif gain["low"] <= 0:
        sentence = f"{held} stays: {run} does not win beyond the interval ({text})."
    elif gain["mean"] < rule.minimum_gain:
        sentence = f"{held} stays: {run} gains less than {rule.minimum_gain:g} ({text})."
    else:
        return Decision(promoted=True, sentence=f"{run} replaces {held}: {text}.", **base)
    return _no(base, sentence)


def read_champion(folder: Path) -> dict[str, Any] | None:
    """What `decide` needs of champions/<task>/champion (its model.json), or None where there is none."""
    if not (folder / "model.json").exists():
        return None
    facts = read_json(folder / "model.json")
    return {"run": facts["run"], "weights_sha256": facts.get("weights_sha256") or ""}
