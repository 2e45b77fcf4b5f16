"""How sure a promotion must be: the section `promotion` of params.yaml, checked and resolved for a task.

Every setting is one value for all tasks or a mapping from tasks to values; `margins` is always by task. Unknown keys
and wrong kinds are refused in a sentence that names the nearest right one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.registry import nearest, tables
from restore_ml.tasks.protocol import Guard, Protocol, protocol

KEYS = ("metric", "primary_case", "default", "confidence", "minimum_gain", "min_pictures", "min_photographs", "margins",
        "max_parameters", "max_megabytes", "max_ms_per_megapixel", "canaries", "canary_tolerance")


@dataclass(frozen=True)
class Rule:
    """What a challenger must show, resolved for a task.

    `metric`: decides, on the task's primary case. `confidence`: of the interval of its gain. `minimum_gain`: in its
    units. `min_pictures`, `min_photographs`: test pictures, and photographs that they were cut from, below which
    nothing moves (a first champion needs the pictures only). `margins`: metric -> how much worse its mean may be than
    the champion's (None switches the protocol's own margin off). `max_parameters`, `max_megabytes` (10^6 bytes of
    safetensors) and `max_ms_per_megapixel`: limits, None for no limit. `canaries`: whether the canary pictures must be
    restored sanely, `canary_tolerance`: dB that one may lie below the trivial restoration. `primary_case`:
    the case that decides, where the task's runs.yaml names another than the protocol's own. `default`: the run that
    people get where no metric can choose one; such a task has no champion by metric.
    """

    metric: str
    confidence: float = 0.95
    minimum_gain: float = 0.0
    min_pictures: int = 10
    min_photographs: int = 5
    margins: dict[str, float | None] = field(default_factory=dict)
    max_parameters: float | None = None
    max_megabytes: float | None = None
    max_ms_per_megapixel: float | None = None
    canaries: bool = True
    canary_tolerance: float = 3.0
    primary_case: str = ""
    default: str = ""

    def guards(self, rules: Protocol) -> list[Guard]:
        """The protocol's guards with these margins in place of its own, then the metrics that only `margins` names.
        The metric that decides is no guard."""
        own = {guard.metric: guard for guard in rules.guards}
        for metric, margin in self.margins.items():
            declared = own.get(metric, Guard(metric))
            own[metric] = replace(declared, margin=margin)
        return [guard for name, guard in own.items() if name != self.metric]


def resolve(task: str, settings: dict[str, Any]) -> Rule:
    """The rule of a task from `promotion:` of params.yaml; the task's own metric and minimum gain are the defaults."""
    for key in settings:
        if key not in KEYS:
            raise UserError(f"promotion has the unknown key {key!r}.{nearest(str(key), KEYS)}")
    rules = protocol(task)
    metric = _of_task(settings, "metric", task, rules.primary)
    if not isinstance(metric, str) or rules.metric(metric).direction == 0:
        raise UserError(f"metric of promotion is {metric!r}; it must name a metric of {task} that says which way is "
                        "better.")
    gain = rules.minimum_gain if metric == rules.primary else 0.0
    canaries = _of_task(settings, "canaries", task, True)
    if not isinstance(canaries, bool):
        raise UserError(f"canaries of promotion is {canaries!r}; it must be true or false.")
    confidence = _of_task(settings, "confidence", task, 0.95)
    if not _is_number(confidence) or not 0.5 <= confidence < 1:
        raise UserError(f"confidence of promotion is {confidence!r}; it must be a number from 0.5 to below 1.")
    return Rule(metric, float(confidence), _number(settings, "minimum_gain", task, gain),
                _whole(settings, "min_pictures", task, 10), _whole(settings, "min_photographs", task, 5),
                _margins(rules, settings), _limit(settings, "max_parameters", task),
                _limit(settings, "max_megabytes", task), _limit(settings, "max_ms_per_megapixel", task), canaries,
                _number(settings, "canary_tolerance", task, 3.0), str(_of_task(settings, "primary_case", task, "")),
                str(_of_task(settings, "default", task, "")))


def _of_task(settings: dict[str, Any], key: str, task: str, default: Any) -> Any:
    """The value of a setting for the task: the mapping's entry, or the one value of all tasks."""
    value = settings.get(key, default)
    if not isinstance(value, dict):
        return value
    for name in value:
        if name not in tables():
            raise UserError(f"{key} of promotion names the unknown task {name!r}.{nearest(str(name), tables())}")
    return value.get(task, default)


def _number(settings: dict[str, Any], key: str, task: str, default: float) -> float:
    value = _of_task(settings, key, task, default)
    if not _is_number(value) or value < 0:
        raise UserError(f"{key} of promotion is {value!r}; it must be a number of at least 0.")
    return float(value)


def _whole(settings: dict[str, Any], key: str, task: str, default: int) -> int:
    value = _of_task(settings, key, task, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        raise UserError(f"{key} of promotion is {value!r}; it must be a whole number of at least 2.")
    return value


def _limit(settings: dict[str, Any], key: str, task: str) -> float | None:
    value = _of_task(settings, key, task, None)
    if value is not None and (not _is_number(value) or value <= 0):
        raise UserError(f"{key} of promotion is {value!r}; it must be a number above 0, or null for no limit.")
    return None if value is None else float(value)


def _margins(rules: Protocol, settings: dict[str, Any]) -> dict[str, float | None]:
    value = settings.get("margins") or {}
    if not isinstance(value, dict) or any(not isinstance(entry, dict | None) for entry in value.values()):
        raise UserError("margins of promotion must be a mapping from tasks to mappings from metrics to margins.")
    margins: dict[str, float | None] = {}
    for metric, margin in (_of_task(settings, "margins", rules.task, {}) or {}).items():
        if rules.metric(str(metric)).direction == 0:
            raise UserError(f"margins of promotion names {metric}, of which neither way is better.")
        if margin is not None and (not _is_number(margin) or margin < 0):
            raise UserError(f"The margin of {metric} in promotion is {margin!r}; it must be a number of at least 0, or "
                            "null for none.")
        margins[str(metric)] = None if margin is None else float(margin)
    return margins


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
