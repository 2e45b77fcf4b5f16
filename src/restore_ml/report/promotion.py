"""The page of a task's promotion decisions: the latest in full, the earlier ones as sentences. One file, no server."""

from __future__ import annotations

from importlib import resources
from typing import Any

from restore_ml.evaluation.words import counted, of_groups
from restore_ml.report.svg import Axis

HEADINGS = {"promoted": "{run} is the champion", "kept": "{champion} stays the champion",
            "rollback": "{run} was put back"}


def page(task: str, records: list[dict[str, Any]]) -> str:
    """HTML of the decisions `records` (see `restore_ml.promotion.decisions`), oldest first; the last one is shown in
    full. Equal records give equal text."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    environment.filters |= {"figure": _figure, "gain": _gain}
    text = resources.files("restore_ml.report").joinpath("promotion.html.j2").read_text(encoding="utf-8")
    top = records[-1]
    decided = next((record for record in reversed(records) if record["kind"] != "rollback"), top)
    now: dict[str, Any] = {
        "synthetic": False, "compared_with": "", "noise": None, "considered": [], "refused": {}, "guards": [],
        "canaries": None, "where": [], "install": "", "metric": "", **decided}
    bars, zero = _bars(now.get("pictures") or [])
    heading = HEADINGS[top["kind"]].format(run=top["run"], champion=top["champion"] or "Nobody")
    return environment.from_string(text).render(
        title=task.replace("_", " "), heading=heading, top=top, now=now, facts=_summary_rows(task, top),
        strip=_strip(task, now), bars=bars, zero=zero,
        asked={one["run"] for one in now["considered"]}, earlier=list(reversed(records[:-1])))


def _summary_rows(task: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    """What a decision was made from, by name."""
    latency = record.get("latency") or {}
    speed = "" if latency.get("ms_per_megapixel") is None else (
        f"{latency['ms_per_megapixel']:g} ms per megapixel, measured once on {latency['machine']}, "
        f"{latency.get('threads', 1)} threads")
    rule = record.get("rule") or {}
    asked = "" if not rule else (f"confidence {rule['confidence']:g}, minimum gain {rule['minimum_gain']:g}, at least "
                                 f"{counted(task, rule['min_pictures'], rule['min_photographs'])}")
    case = record.get("case") and f"{record['case']}, {record['metric']}, {len(record.get('pictures') or [])} pictures"
    team = ", ".join(record.get("members") or [])
    seeds = f"{team}; {record['install']} is the one installed" if len(record.get("members") or []) > 1 else ""
    rows = [("decided on", case), ("rule", asked), ("seeds", seeds), ("latency", speed),
             ("profile", record.get("profile")), ("data", record.get("data")), ("code", record.get("commit")),
             ("model", record.get("model_sha256")), ("evidence", record.get("evidence"))]
    return [(name, str(value)) for name, value in rows if value]


def _strip(task: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Where the interval, the mean and zero lie on a strip, in per cent; None without an interval."""
    gain = record.get("gain") or {}
    if gain.get("low") is None or gain.get("mean") is None:
        return None
    room = 0.06 * ((max(gain["high"], 0.0) - min(gain["low"], 0.0)) or 1.0)
    across = Axis.around([gain["low"] - room, gain["high"] + room, -room, room], 0.0, 100.0, zero=True)
    low = across.place(gain["low"])
    return {"low": low, "width": round(across.place(gain["high"]) - low, 2), "zero": across.place(0.0),
            "mean": across.place(gain["mean"]),
            "text": f"{record['metric']} {_gain(gain)} at {100 * gain['confidence']:.4g} % over "
                    f"{of_groups(task, gain['photographs'])}"}


def _bars(pictures: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """A bar for each picture from the largest gain to the largest loss, and where zero lies, in per cent."""
    compared = sorted((entry for entry in pictures if entry.get("difference") is not None),
                      key=lambda entry: (-entry["difference"], entry["name"]))
    across = Axis.around([entry["difference"] for entry in compared], 0.0, 100.0, zero=True)
    return [{**entry, **across.bar(entry["difference"]), "text": f"{_rounded(entry['difference'], '+')}"}
            for entry in compared], across.place(0.0)


def _rounded(value: float, sign: str = "") -> str:
    """Four digits; what is left of a sum that should be nought is nought."""
    return f"{0.0 if abs(value) < 1e-9 else value:{sign}.4g}"


def _figure(value: Any) -> str:
    return "–" if value is None else f"{value:.5g}"


def _gain(gain: dict[str, Any] | None) -> str:
    """`+0.88 [+0.56, +1.25]` of a mapping with `gain` or `mean`, `low` and `high`."""
    mean = None if gain is None else gain.get("mean", gain.get("gain"))
    if gain is None or mean is None:
        return "–"
    ends = "" if gain["low"] is None else f" [{_rounded(gain['low'], '+')}, {_rounded(gain['high'], '+')}]"
    return _rounded(mean, "+") + ends
