"""The comparison of a task's runs: one row per case and run, as CSV, Markdown, JSON and text.

Everything written is a function of score rows and what the score stage wrote of each run: no dates, no seconds.
Costs, which differ from machine to machine, are joined for display only (`join_costs`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base import costs, layout
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.evaluation.published import Printed, agreeing
from restore_ml.evaluation.statistics import bootstraps, ranks, wins
from restore_ml.evaluation.tables import markdown
from restore_ml.tasks.protocol import CAP, Protocol, protocol, with_distances

if TYPE_CHECKING:
    import pandas

SEED = 1
"""Of the bootstrap: the same resamples for every table of every rebuild."""
DIGITS = 6


def compare(task: str, scores: pandas.DataFrame, about: Mapping[str, Mapping[str, Any]], out: Path,
            primary_case: str = "") -> pandas.DataFrame:
    """Write table.csv, table.md, metrics.json, plots/primary.csv and plots/curves.csv; returns the table.

    `scores`: rows of `restore_ml.evaluation.scoring`; `about`: what `about_run` says of each run; `out`:
    comparison/<task>; `primary_case`: the case that ranks, where it is another than the protocol's own.
    """
    rules = with_distances(protocol(task), scores.columns)
    table = build_table(task, scores, about, primary_case)
    write_text(out / "table.csv", _csv(table))
    write_text(out / "table.md", markdown(task, table, printed_by_case(task, scores)))
    write_json(out / "metrics.json", metrics_json(rules, table))
    write_text(out / "plots" / "primary.csv", _csv(_primary_plot(rules, table)))
    write_text(out / "plots" / "curves.csv", _csv(training_curves(about, sorted(scores["run"].unique()))))
    return table


def build_table(task: str, scores: pandas.DataFrame, about: Mapping[str, Mapping[str, Any]],
                primary_case: str = "") -> pandas.DataFrame:
    """One row per case and run: the primary case first, then cases by name; in each, runs by rank, then by name.

    Columns: case, primary (whether it is the primary case), rank (whole numbers, NaN unless every picture is ok), run,
    method, status, reason, pictures, pictures_ok, groups, the metrics' means, `<primary>_low` and `_high` (95 %),
    `vs_baseline`, `_low`, `_high` (paired difference of the primary metric, positive better), the same `vs_best`, wins,
    capped (pictures whose primary metric is as high as it can count, `protocol.CAP`), baseline (run of the
    differences), parameters, training_ops, reading, synthetic. Means are over pictures that are ok; only runs that did
    all pictures of a case are ranked, so that no run gains by failing on the hard ones. Without score rows the table is
    empty.
    """
    import pandas

    rules = with_distances(protocol(task), scores.columns)
    if scores.empty:
        return pandas.DataFrame(columns=columns(rules))
    runs = sorted(scores["run"].unique())
    models_by_run = {run: {"parameters": math.nan, "training_ops": math.nan, "method": run, "reading": ""} | {
        key: value for key, value in about.get(run, {}).items() if value is not None} for run in runs}
    baseline = _baseline(rules, models_by_run)
    primary = first_case(rules, scores["case"], primary_case)
    rows: list[dict[str, Any]] = []
    for case in sorted(scores["case"].unique(), key=lambda name: (name != primary, name)):
        rows += _case_rows(rules, scores[scores["case"] == case], models_by_run, baseline, case == primary)
    return pandas.DataFrame(rows, columns=columns(rules))


def printed_by_case(task: str, scores: pandas.DataFrame) -> dict[str, Printed]:
    """Of each case that has any, the printed figures that may stand in its measured rows."""
    found = {str(case): agreeing(task, str(case), rows["picture"].unique()) for case, rows in scores.groupby("case")}
    return {case: printed for case, printed in found.items() if printed}


def first_case(rules: Protocol, cases: Iterable[str], named: str) -> str:
    """The case that ranks: the one that the task's runs.yaml names, where it is there, else the protocol's own."""
    present = set(cases)
    return named if named in present else rules.primary_case(present)


def named_case(root: Path, task: str) -> str:
    """The case that the task's runs.yaml names, as the stage `code` wrote it down; empty where it names none."""
    path = root / layout.code("compare", task)
    return str(read_json(path)["primary_case"]) if path.exists() else ""


def columns(rules: Protocol) -> list[str]:
    """The columns of the table, in order."""
    gains = [f"{name}{end}" for name in ("vs_baseline", "vs_best") for end in ("", "_low", "_high")]
    of_sets = [metric.name for metric in rules.set_metrics if metric not in rules.metrics]
    return ["case", "primary", "rank", "run", "method", "status", "reason", "pictures", "pictures_ok", "groups",
            *(metric.name for metric in rules.metrics), *of_sets, f"{rules.primary}_low", f"{rules.primary}_high",
            *gains, "wins", "capped", "baseline", "parameters", "training_ops", "reading", "synthetic"]


def _case_rows(rules: Protocol, scores: pandas.DataFrame, models_by_run: dict[str, dict[str, Any]], baseline: str,
               primary: bool) -> list[dict[str, Any]]:
    metric = rules.metric(rules.primary)
    pictures = scores.drop_duplicates("picture").sort_values("picture")
    order, groups = list(pictures["picture"]), list(pictures["group"])
    by_run = {str(run): rows.set_index("picture").reindex(order) for run, rows in scores.groupby("run", sort=True)}
    values = {run: rows[metric.name].to_numpy(np.float64) for run, rows in by_run.items()}
    complete = {run: bool((rows["status"] == "ok").all()) for run, rows in by_run.items()}
    means = [_mean(values[run]) if complete[run] else math.nan for run in by_run]
    places = dict(zip(by_run, ranks(means, metric.direction), strict=True))
    best = min((run for run in by_run if places[run] == 1), default="")
    won = dict(zip(by_run, wins(np.stack(list(values.values())), metric.direction), strict=True))
    others = {name: metric.direction * values.get(run, np.full(len(order), math.nan))
              for name, run in (("vs_baseline", baseline), ("vs_best", best))}
    series = [array for own in values.values()
              for array in (own, *(metric.direction * own - other for other in others.values()))]
    estimates = iter(bootstraps(np.stack(series), groups, SEED))
    rows = []
    for run, own in by_run.items():
        status, reason = _status(own)
        estimate = next(estimates)
        row = {"case": own["case"].iloc[0], "primary": primary, "rank": places[run], "run": run,
               "method": models_by_run[run]["method"], "status": status, "reason": reason, "pictures": len(order),
               "pictures_ok": int((own["status"] == "ok").sum()), "groups": len(set(groups))}
        row |= {entry.name: _mean(own[entry.name].to_numpy(np.float64)) for entry in rules.metrics}
        row |= models_by_run[run].get("figures", {}).get(row["case"], {})
        row |= {f"{metric.name}_low": estimate.low, f"{metric.name}_high": estimate.high}
        for column in others:
            gain = next(estimates)
            row |= {column: gain.mean, f"{column}_low": gain.low, f"{column}_high": gain.high}
        row |= {"wins": int(won[run]), "capped": int((values[run] >= CAP).sum()) if metric.unit == "dB" else 0,
                "baseline": baseline, "parameters": models_by_run[run]["parameters"],
                "training_ops": models_by_run[run]["training_ops"], "reading": models_by_run[run]["reading"],
                "synthetic": bool(pictures["synthetic"].any())}
        rows.append(row)
    return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0, -row["pictures_ok"], row["run"]))


def _mean(values: np.ndarray) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if finite.size else math.nan


def _status(rows: pandas.DataFrame) -> tuple[str, str]:
    """Of a run on a case: `ok`, `unsupported`, `failed`, or `partly failed` with the first reason."""
    bad = rows[rows["status"] != "ok"]
    if bad.empty:
        return "ok", ""
    reason = str(bad["reason"].iloc[0])
    if len(bad) < len(rows):
        return "partly failed", f"{len(bad)} of {len(rows)} pictures: {reason}"
    return str(bad["status"].iloc[0]), reason


def model_facts(models: Path, run: str) -> dict[str, Any]:
    """method, parameters, training_ops, reading, status and weights_sha256 of <run>/model.json in a task's folder of
    models (NaN and empty where there is none)."""
    path = models / run / "model.json"
    description = read_json(path) if path.exists() else {}
    return {"method": str(description.get("method") or run), "parameters": _number(description.get("parameters_total")),
            "training_ops": _number(description.get("training_ops")), "reading": str(description.get("reading") or ""),
            "status": str(description.get("status") or ""),
            "weights_sha256": str(description.get("weights_sha256") or "")}


def about_run(model: Path) -> dict[str, Any]:
    """What a table says of a run beside its scores, from its model's folder: method, parameters, training_ops,
    reading, status, and the learning curves (the text of history.csv, empty without gradients)."""
    fields = {key: None if isinstance(value, float) and math.isnan(value) else value
             for key, value in model_facts(model.parent, model.name).items()}
    history = model / "history.csv"
    return fields | {"history": history.read_text(encoding="utf-8") if history.exists() else ""}


def read_about(root: Path, task: str, runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the score stage wrote of each run (scores/<task>/<run>.json)."""
    return {run: read_json(root / layout.about(task, run)) for run in runs}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _baseline(rules: Protocol, models_by_run: dict[str, dict[str, Any]]) -> str:
    """The run of the first of the protocol's baselines that is there, of several with one method that which is named
    after it; an empty text when none is."""
    for method in rules.baselines:
        runs = [run for run, entry in models_by_run.items() if method == entry["method"]]
        if runs:
            own = method.rpartition(".")[2]
            return own if own in runs else runs[0]
    return ""


def metrics_json(rules: Protocol, table: pandas.DataFrame) -> dict[str, Any]:
    """The primary metric on the primary case, run -> mean, for `dvc metrics show` (all figures are in table.csv);
    what was not measured is left out."""
    rows = table[table["primary"].astype(bool)].to_dict("records")
    means = {row["run"]: round(row[rules.primary], DIGITS) for row in rows if not math.isnan(row[rules.primary])}
    return {rules.primary: means} if means else {}


def _primary_plot(rules: Protocol, table: pandas.DataFrame) -> pandas.DataFrame:
    """The primary metric and its interval on the primary case, a row a run that was measured."""
    columns = ["run", rules.primary, f"{rules.primary}_low", f"{rules.primary}_high"]
    rows = table[table["primary"].astype(bool)]
    return rows.loc[rows[rules.primary].notna(), columns]


def training_curves(about: Mapping[str, Mapping[str, Any]], runs: list[str]) -> pandas.DataFrame:
    """The logged loss terms of all runs in one table (run, phase, step, term, value); runs without gradients have
    none."""
    import pandas

    texts = {run: about.get(run, {}).get("history", "") for run in runs}
    parts = [pandas.read_csv(io.StringIO(text)).assign(run=run) for run, text in texts.items() if text]
    columns = ["run", "phase", "step", "term", "value"]
    curves = [part[columns] for part in parts if not part.empty]
    return pandas.concat(curves, ignore_index=True) if curves else pandas.DataFrame(columns=columns)


def _csv(table: pandas.DataFrame) -> str:
    """CSV with a fixed layout: floats rounded to six decimals and without trailing zeros, whole numbers whole."""
    text = table.map(_cell).to_csv(index=False, lineterminator="\n")
    return str(text)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        rounded = round(float(value), DIGITS)
        return str(int(rounded)) if rounded.is_integer() and abs(rounded) < 2**63 else repr(rounded)
    return value


def join_costs(table: pandas.DataFrame, task: str, root: Path) -> pandas.DataFrame:
    """The table with training_seconds, ms_per_megapixel, peak_memory_mb and machine, NaN (or empty) where this machine
    never measured them. `root` is the project; the result is for display, never for a tracked file."""
    measured = {run: _costs(root, task, run) for run in table["run"].unique()}
    return table.assign(**{column: [measured[run].get(column, empty) for run in table["run"]] for column, empty in
                           (("training_seconds", math.nan), ("ms_per_megapixel", math.nan),
                            ("peak_memory_mb", math.nan), ("machine", ""))})


def _costs(root: Path, task: str, run: str) -> dict[str, Any]:
    by_run: dict[str, Any] = {}
    for kind, path in (("train", root / layout.model(task, run) / "model.json"),
                       ("restore", root / layout.restored(task, run) / "status.json")):
        if not path.exists():
            continue
        measured = costs.path(root, kind, path)
        if not measured.exists():
            continue
        restored = read_json(measured)
        if kind == "train":
            by_run["training_seconds"] = _number(restored.get("seconds"))
        else:
            by_run["ms_per_megapixel"] = _number(restored.get("ms_per_megapixel"))
        peak = _number(restored.get("peak_memory_mb"))
        by_run["peak_memory_mb"] = float(np.fmax(by_run.get("peak_memory_mb", math.nan), peak))
        by_run["machine"] = str(restored.get("machine") or "")
    return by_run

