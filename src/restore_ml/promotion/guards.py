"""What beside the deciding metric a challenger must hold: metrics, size, latency. Each guard with value and limit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.evaluation.comparison import model_facts
from restore_ml.promotion.rule import Rule
from restore_ml.tasks.protocol import Guard, Protocol

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Check:
    """One guard: its `name`, the challenger's `value`, what it is held against, whether it `holds`, and in words why
    not. `reference`: the champion's value (None for limits); `margin`: how much worse is allowed."""

    name: str
    value: float | None
    reference: float | None
    margin: float | None
    least: float | None
    most: float | None
    holds: bool
    sentence: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def metric_checks(rules: Protocol, rule: Rule, rows: pandas.DataFrame, reference: pandas.DataFrame | None,
                  name: str) -> list[Check]:
    """Every metric guard of the rule for a challenger's rows on the primary case against those of the `reference`
    called `name` (the champion's, or a baseline's before there is one; None: only the bounds are checked)."""
    return [_check(rules, guard, rows, reference, name) for guard in rule.guards(rules)]


def _check(rules: Protocol, guard: Guard, rows: pandas.DataFrame, reference: pandas.DataFrame | None,
           name: str) -> Check:
    value = _mean(rows, guard.metric)
    other = math.nan if reference is None or guard.margin is None else _mean(reference, guard.metric)
    bounded, what = (_median(rows, guard.metric), f"the median of {guard.metric}") if guard.middle else (
        value, guard.metric)
    sentence = ""
    if math.isnan(value):
        sentence = f"{guard.metric} was not measured"
    elif guard.least is not None and bounded < guard.least:
        sentence = f"{what} is {bounded:.4g}, below {guard.least:g}"
    elif guard.most is not None and bounded > guard.most:
        sentence = f"{what} is {bounded:.4g}, above {guard.most:g}"
    elif guard.margin is not None and not math.isnan(other):
        loss = rules.metric(guard.metric).direction * (other - value)
        if loss > guard.margin + 1e-12:
            sentence = f"{guard.metric} is {value:.4g}, worse than {name}'s {other:.4g} by more than {guard.margin:g}"
    shown = bounded if guard.margin is None else value
    return Check(guard.metric, None if math.isnan(shown) else shown, None if math.isnan(other) else other,
                 guard.margin, guard.least, guard.most, not sentence, sentence)


def _mean(rows: pandas.DataFrame, metric: str) -> float:
    """The mean over pictures that have the metric; NaN where there is none."""
    return float(rows[metric].mean()) if metric in rows else math.nan


def _median(rows: pandas.DataFrame, metric: str) -> float:
    """The median over the same pictures."""
    return float(rows[metric].median()) if metric in rows else math.nan


def size_checks(rule: Rule, models: Path, run: str) -> list[Check]:
    """The parameters and the megabytes (10^6 bytes of safetensors, what fills its slots not counted) of a run."""
    parameters = model_facts(models, run)["parameters"]
    size = sum(path.stat().st_size for path in (models / run).glob("*.safetensors")) / 1e6
    return [limit("parameters", parameters, rule.max_parameters), limit("megabytes", size, rule.max_megabytes)]


def limit(name: str, value: float, most: float | None) -> Check:
    """A figure that may not be above `most` (None: no limit, it is only recorded). A limit on what is not known is
    broken."""
    sentence = ""
    if most is not None and not value <= most:
        sentence = f"{name} is not known, and may be at most {most:g}" if math.isnan(value) else (
            f"{name} is {value:.4g}, above {most:g}")
    return Check(name, None if math.isnan(value) else value, None, None, None, most, not sentence, sentence)
