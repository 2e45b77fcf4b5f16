"""The promotion history of a task: decisions of the promotion rule, newest first, with what each of them rests on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.files import sha256
from restore_ml.evaluation.tables import interval, number
from restore_ml.report.svg import Axis
from restore_ml.tasks.protocol import Protocol

WIDTH, HEIGHT, EDGE = 260.0, 64.0, 2.0


def history(root: Path, task: str, rules: Protocol) -> list[dict[str, Any]]:
    """Every decision that is kept, newest first: champions/<task>/history/*.json by name, and those of the champion and
    of the one before it where the history lacks them. Files that are no decisions are left out; keys may be missing."""
    home = root / layout.champions(task)
    paths = [home / "previous" / "decision.json", home / "champion" / "decision.json"]
    kept = sorted((home / "history").glob("*.json"), key=lambda path: path.name)
    decisions: dict[str, dict[str, Any]] = {}
    known = {_mark(path) for path in kept}
    for path in [*(path for path in paths[:1] if _mark(path) not in known), *kept,
                 *(path for path in paths[1:] if _mark(path) not in known)]:
        facts = _read(path)
        if facts is not None:
            decisions[_mark(path)] = facts
    present = _mark(paths[1])
    return [_shown(facts, rules, mark == present) for mark, facts in reversed(decisions.items())]


def _mark(path: Path) -> str:
    """The file's content without its layout, so that a decision that is kept twice is shown once."""
    facts = _read(path)
    return "" if facts is None else sha256(json.dumps(facts, sort_keys=True).encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("sentence"), str) else None


def _shown(facts: dict[str, Any], rules: Protocol, present: bool) -> dict[str, Any]:
    names = [metric.name for metric in rules.metrics]
    metric = rules.metric(facts["metric"]) if facts.get("metric") in names else rules.metric(rules.primary)
    gain = facts.get("gain") or {}
    mean, low, high = (_number(gain.get(key)) for key in ("mean", "low", "high"))
    rule = facts.get("rule") or {}
    return {"sentence": facts["sentence"], "run": str(facts.get("run") or ""), "present": present,
            "promoted": bool(facts.get("promoted")), "kind": str(facts.get("kind") or ""),
            "case": str(facts.get("case") or ""), "metric": metric.name,
            "value": number(_number(facts.get("value")), metric.digits), "unit": metric.unit,
            "gain": "" if math.isnan(mean) else interval(mean, low, high, metric.digits, signed=True),
            "against": str(facts.get("compared_with") or facts.get("champion") or ""),
            "wins": facts.get("wins"), "losses": facts.get("losses"), "profile": str(facts.get("profile") or ""),
            "data": str(facts.get("data") or "")[:12], "confidence": rule.get("confidence"),
            "synthetic": bool(facts.get("synthetic")), "bars": bars(facts.get("pictures"), metric),
            "refused": sorted((str(run), str(why)) for run, why in (facts.get("refused") or {}).items())}


def bars(pictures: Any, metric: Any) -> dict[str, Any] | None:
    """A bar for each picture, from the challenger's largest gain to its largest loss; None where nothing is known."""
    gains = []
    for entry in pictures if isinstance(pictures, list) else []:
        gain = (metric.direction or 1) * (_number(entry.get("challenger")) - _number(entry.get("champion")))
        if not math.isnan(gain):
            gains.append((gain, str(entry.get("name") or entry.get("picture") or "")))
    top = max((abs(gain) for gain, _ in gains), default=0.0)
    if not gains or top == 0:
        return None
    gains.sort(key=lambda gain: (-gain[0], gain[1]))
    up, across = Axis.around([gain for gain, _ in gains], HEIGHT - EDGE, EDGE, zero=True), WIDTH / len(gains)
    return {"width": WIDTH, "height": HEIGHT, "zero": up.place(0.0),
            "bars": [{**up.bar(gain), "x": round((place + 0.1) * across, 2), "width": round(0.8 * across, 2),
                      "text": f"{name}: {number(gain, metric.digits, signed=True)}"}
                     for place, (gain, name) in enumerate(gains)]}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
