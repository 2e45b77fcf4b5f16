"""What MLflow's pages say in words: of a run, of a task's experiment, and of its registered model.

Markdown, made from the files that are there now (comparison, decision, manifests), so `sync` refreshes it in place.
"""

from __future__ import annotations

import ast
import importlib.util
import math
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import addresses, layout
from restore_ml.base.files import read_json, sha256
from restore_ml.data import licences
from restore_ml.evaluation.footprint import sentence
from restore_ml.evaluation.tables import interval, number, tied
from restore_ml.evaluation.words import counted, groups
from restore_ml.tasks.protocol import Protocol, protocol
from restore_ml.tracking.entry import Entry
from restore_ml.tracking.shared_view import INTERVAL, RANK

NOTE = "mlflow.note.content"
ABOUT = 1200
"""Characters of a docstring that are shown."""
LIMIT = 5000
"""Characters of a tag."""


class Task:
    """The rows of a task's primary case, as comparison/<task>/table.csv has them, and the words about them."""

    def __init__(self, root: Path, task: str) -> None:
        import pandas as pd

        self.root, self.task = root, task
        self.rules: Protocol | None = protocol(task) if task in registry.tables() else None
        path = root / layout.COMPARISON / task / "table.csv"
        text = ("case", "run", "method", "status", "reason", "baseline", "reading")
        table = pd.read_csv(path, dtype=dict.fromkeys(text, str),
                            keep_default_na=True) if path.exists() else pd.DataFrame()
        rows = table[table["primary"].astype(bool)] if len(table) else table
        self.rows: dict[str, dict[str, Any]] = {
            str(row["run"]): {**row, **{name: "" for name in text if isinstance(row[name], float)}}
            for row in rows.to_dict("records")}
        self.cases = int(table["case"].nunique()) if len(table) else 0
        path = root / layout.CHAMPIONS / task / "champion"
        self.champion = path if all((path / name).exists() for name in ("model.json", "decision.json")) else None
        self.champion_sha256 = sha256((path / "model.json").read_bytes()) if self.champion else ""

    def run_tags(self, entry: Entry, is_champion: bool) -> dict[str, str]:
        """The tags of a run that say where it stands; they change with the other runs, so they are refreshed."""
        row = self.rows.get(entry.run) if entry.role == "run" else None
        words = [] if row is None or math.isnan(row["rank"]) else [str(int(row["rank"]))]
        words += ["tied" * (row is not None and tied(row)), "champion" * is_champion]
        rank = ", ".join(word for word in words if word)
        low, high = self._ends(row)
        return {RANK: rank or "–", INTERVAL: f"[{low}, {high}]" if low else "–",
                NOTE: self._run_note(entry, row, is_champion)[:LIMIT]}

    def _ends(self, row: dict[str, Any] | None) -> tuple[str, str]:
        if row is None or self.rules is None:
            return "", ""
        metric = self.rules.metric(self.rules.primary)
        low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
        return ("", "") if math.isnan(low) else (number(low, metric.digits), number(high, metric.digits))

    def _run_note(self, entry: Entry, row: dict[str, Any] | None, is_champion: bool) -> str:
        stored = " The champion's stored weights; the run of that name has been trained anew or is gone."
        parts = [f"**{entry.run}**: {about(entry.task, str(entry.model['method']))}"
                 + stored * (entry.role == "champion")]
        if is_champion:
            parts.append(f"It is the champion of {words(self.task)}.")
        parts.append(self._rank(row) if row else "")
        reason = entry.tags().get("reason") or (row or {}).get("reason", "")
        if reason and entry.tags()["status"] != layout.OUTSIDE:
            parts.append(f"**{(row or {}).get('status') or entry.tags()['status']}**: {reason}")
        reading = str(entry.model.get("reading") or "")
        if reading:
            parts.append(f"**Our reading** of a source that says too little: {reading}")
        parts.append(sentence(entry.footprint))
        material = trained_under(entry)
        if material:
            imported = entry.model.get("kind") == "imported"
            parts.append(f"**{'Weights of others, under' if imported else 'Trained on'}** {material}.")
        if self.rules is not None:
            parts.append(f"[Its pictures, its intervals and the whole table]({page(self.task, entry.run)}) "
                         f"(while `make ui` runs; the same page is reports/gallery/{self.task}.html). "
                         "All its figures, by test case: the table `cases.json` among the artifacts.")
        return "\n\n".join(part for part in parts if part)

    def _rank(self, row: dict[str, Any]) -> str:
        """Where the run stands on the primary case."""
        assert self.rules is not None
        metric = self.rules.metric(self.rules.primary)
        ranked = sum(not math.isnan(other["rank"]) for other in self.rows.values())
        if math.isnan(row["rank"]):
            return f"No rank on {row['case']}: {row['pictures_ok']} of {row['pictures']} pictures were restored."
        value = interval(row[metric.name], row[f"{metric.name}_low"], row[f"{metric.name}_high"], metric.digits)
        text = (f"**Rank {int(row['rank'])} of {ranked}** on {row['case']} "
                f"({counted(self.task, row['pictures'], row['groups'])}"
                f"{', synthetic' if row['synthetic'] else ''}): {metric.name} {value} "
                f"{metric.unit}".rstrip())
        if row["baseline"] and row["baseline"] != row["run"]:
            gain = interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], metric.digits,
                            signed=True)
            text += f", {gain} against {row['baseline']}"
        return text + ("; it cannot be told from the first." if tied(row) else ".")

    def experiment(self) -> str:
        """The description of the task's experiment."""
        if self.rules is None:
            return f"Feature networks that runs of other tasks need ({words(self.task)}); there is nothing to choose."
        metric = self.rules.metric(self.rules.primary)
        best = "highest" if metric.direction > 0 else "lowest"
        guards = ", ".join(guard.metric for guard in self.rules.guards)
        case = next((str(row["case"]) for row in self.rows.values()), "the primary case")
        first = next(iter(self.rows.values()), None)
        parts = [f"**{words(self.task).capitalize()}**: {len(self.rows)} runs on the same test pictures, "
                 f"{best} {metric.name} on {case} first."
                 + (f" {counted(self.task, first['pictures'], first['groups'])}"
                    f"{', synthetic' if first['synthetic'] else ''}; {self.cases} cases in all." if first else ""),
                 f"`rank`: `tied` cannot be told from the first (its paired 95 % interval holds 0). `interval`: 95 % "
                 f"bootstrap over {groups(self.task)}. "
                 f"{f'Guards, which a champion must hold: {guards}. ' if guards else ''}"
                 "`ms_per_megapixel` and `training_seconds` were measured on this machine.",
                 "Superseded runs are kept: take `AND tags.state = 'current'` out of the search to see them.",
                 f"[Pictures, intervals, learning curves and promotions]({page(self.task)}) (while `make ui` runs)."]
        return "\n\n".join(parts)

    def registered_model(self, run: str, version: str, material: str, provisional: bool) -> str:
        """The description of the task's registered model: who is champion, since when, on what evidence."""
        start = f"Models for {words(self.task)}: pictures in, PNG out."
        if not run:
            return f"{start} There is no champion yet."
        parts = [start, f"**Champion: {run}**, version {version}"
                 + (", provisionally: it leads the table or is the task's default, and `restore-ml promote` has not "
                    "decided yet." if provisional
                    else f", since {self._since()}.")]
        if not provisional and self.champion is not None:
            parts += _evidence(read_json(self.champion / "decision.json"))
        else:
            row = self.rows.get(run)
            parts.append(self._rank(row) if row and self.rules else "")
        parts.append(f"**Trained on** {material}." if material else "")
        name = f"restore-{self.task.replace('_', '-')}"
        parts.append(f"[The page of the task]({page(self.task)}) (while `make ui` runs). "
                     f"Load it: `mlflow.pyfunc.load_model(\"models:/{name}@champion\")`.")
        return "\n\n".join(part for part in parts if part)

    def _since(self) -> str:
        """The day on which the champion's decision was written."""
        assert self.champion is not None
        return datetime.fromtimestamp((self.champion / "decision.json").stat().st_mtime).strftime("%Y-%m-%d")


def _evidence(decision: dict[str, Any]) -> list[str]:
    """What a decision rested on, from the keys that it has (a rollback has few)."""
    parts = [f"**Evidence**: {decision['sentence']}"] if decision.get("sentence") else []
    lines = []
    if decision.get("case") and decision.get("gain"):
        gain = decision["gain"]
        ends = "" if gain.get("low") is None else f" [{gain['low']:+.4g}, {gain['high']:+.4g}]"
        lines.append(f"- {decision['case']}: {decision['metric']} {gain['mean']:+.4g}{ends} against "
                     f"{decision['compared_with']}, better on {decision['wins']} pictures, worse on "
                     f"{decision['losses']}")
    lines += [f"- guard {guard['name']}: {guard['value']:.4g}, {'holds' if guard['holds'] else 'broken'}"
              for guard in decision.get("guards") or [] if guard.get("value") is not None]
    lines += [f"- {name} `{str(decision[key])[:12]}`" for name, key in
              (("evidence", "evidence"), ("data", "data"), ("code", "commit")) if decision.get(key)]
    return [*parts, "\n".join(lines)] if lines else parts


def words(task: str) -> str:
    """`super_resolution` as `super resolution`."""
    return task.replace("_", " ")


def page(task: str, run: str = "") -> str:
    """The gallery's page of a task, at the row of a run, as `make ui` serves it."""
    return f"{addresses.UI}/gallery/{task}.html" + (f"#run-{run}" if run else "")


@lru_cache(maxsize=512)
def about(task: str, method: str) -> str:
    """The docstring of a method's module, which says what it is and names its source; read, not imported."""
    if method == layout.OUTSIDE:
        return "outputs of another tool, brought in and measured like all others; it has no model."
    try:
        module = registry.method_module(task, method)
        spec = importlib.util.find_spec(module)
        text = Path(str(spec.origin)).read_text(encoding="utf-8") if spec and spec.origin else ""
        docstring = ast.get_docstring(ast.parse(text)) or ""
    except (ImportError, OSError, SyntaxError, ValueError, registry.UserError):
        return f"{method}."
    return " ".join(docstring.split())[:ABOUT] or f"{method}."


def trained_under(entry: Entry) -> str:
    """`14 pictures under CC0-1.0, 3 under MIT`: see `restore_ml.data.licences`; empty where it learned nothing."""
    return licences.described(licences.of_model(entry.root, entry.folder))
