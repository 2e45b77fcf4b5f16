"""What the pages of the gallery show of a task, as plain values for the templates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from restore_ml import layout
from restore_ml.errors import UserError
from restore_ml.evaluation.tables import count, interval, number
from restore_ml.files import read_json
from restore_ml.report.comparison import read_table
from restore_ml.report.pictures import TaskPictures
from restore_ml.tracking.aliases import champion_folder

if TYPE_CHECKING:
    import pandas as pd

FIGURES = 2
"""Metrics under each picture: the primary one and the next of the protocol."""
STRIP = 3
"""Pictures of a task on the first page."""


class Store(Protocol):
    """Where pictures go (`gallery.Files`)."""

    def add(self, picture: np.ndarray) -> dict[str, Any]:
        """Links to the picture."""
        ...


class TaskView:
    """Gathers one task's page: its tables, and of each case the pictures with all runs side by side."""

    def __init__(self, root: Path, task: str, files: Store, pictures: int) -> None:
        """`pictures`: the most that are shown of a case."""
        import pandas as pd

        self.root, self.task, self.files, self.limit = root, task, files, pictures
        self.pictures = TaskPictures(root, task)
        self.rules = self.pictures.protocol
        self.table = read_table(root, task)
        path = root / layout.SCORES / f"{task}.parquet"
        self.scores = pd.read_parquet(path) if path.exists() else pd.DataFrame({"case": [], "run": [], "picture": []})

    def gather(self) -> dict[str, Any]:
        """Everything that the templates need, cases in the order of the table (the primary one first)."""
        cases = [self._case(str(case), rows) for case, rows in self.table.groupby("case", sort=False)]
        primary = next((case for case in cases if case["primary"]), cases[0])
        readings = self.table.drop_duplicates("run").sort_values("run")
        return {"name": self.task, "title": title(self.task), "cases": cases, "primary": primary,
                "champion": self._champion(), "metric": self.rules.metric(self.rules.primary).heading,
                "baseline": str(self.table["baseline"].iloc[0]), "runs": int(self.table["run"].nunique()),
                "broken": sorted({row["run"] for case in cases for row in case["rows"] if row["status"] == "failed"}),
                "readings": [(row.run, row.reading) for row in readings.itertuples() if row.reading],
                "machines": sorted({text for text in self.table["machine"] if text})}

    def _champion(self) -> str:
        folder = champion_folder(self.root, self.task)
        return "" if folder is None else str(read_json(folder / "model.json")["run"])

    def _case(self, case: str, rows: pd.DataFrame) -> dict[str, Any]:
        first = rows.iloc[0]
        records = rows.to_dict("records")
        return {"name": case, "anchor": case.replace("/", "-"), "primary": bool(first["primary"]),
                "synthetic": bool(first["synthetic"]), "count": int(first["pictures"]), "groups": int(first["groups"]),
                "headings": self._headings(), "rows": [self._row(row) for row in records],
                "pictures": self._pictures(case, records)}

    def _headings(self) -> list[str]:
        first = self.rules.metric(self.rules.primary)
        others = [metric.heading for metric in self.rules.metrics if metric is not first]
        return [f"{first.heading} [95 %]", *others, "vs baseline", "wins", "pictures", "parameters",
                "training multiply-adds", "training s", "ms / megapixel", "memory MB"]

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        first = self.rules.metric(self.rules.primary)
        others = [(number(row[metric.name], metric.digits), row[metric.name]) for metric in self.rules.metrics
                  if metric is not first]
        cells = [(interval(row[first.name], row[f"{first.name}_low"], row[f"{first.name}_high"], first.digits),
                  row[first.name]), *others,
                 (interval(row["vs_baseline"], row["vs_baseline_low"], row["vs_baseline_high"], first.digits,
                           signed=True), row["vs_baseline"]),
                 (str(row["wins"]), row["wins"]), (f"{row['pictures_ok']}/{row['pictures']}", row["pictures_ok"]),
                 (count(row["parameters"]), row["parameters"]), (count(row["training_ops"]), row["training_ops"]),
                 (number(row["training_seconds"], 0), row["training_seconds"]),
                 (number(row["ms_per_megapixel"], 0), row["ms_per_megapixel"]),
                 (number(row["peak_memory_mb"], 0), row["peak_memory_mb"])]
        rank = row["rank"]
        return {"rank": "" if math.isnan(rank) else str(int(rank)), "run": row["run"], "method": row["method"],
                "status": row["status"], "reason": row["reason"], "reading": row["reading"],
                "cells": [(text, "" if math.isnan(value) else f"{value:.9g}") for text, value in cells]}

    def _pictures(self, case: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if case not in self.pictures.cases():
            return []
        scores = self.scores[self.scores["case"] == case]
        by_place = {(row["run"], row["picture"]): row for row in scores.to_dict("records")}
        chosen = spread(self.pictures.samples(case), self.limit)
        return [self._picture(case, identity, facts, rows, by_place) for identity, facts in chosen]

    def _picture(self, case: str, identity: str, facts: dict[str, Any], rows: list[dict[str, Any]],
                 by_place: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
        shown = self.pictures.show(case, identity)
        metrics = [self.rules.metric(self.rules.primary)]
        metrics += [metric for metric in self.rules.metrics if metric is not metrics[0]][:FIGURES - 1]
        tiles = [self._tile(case, identity, row, by_place.get((row["run"], identity)), metrics) for row in rows]
        for place, metric in enumerate(metrics):
            values = [tile["values"][place] for tile in tiles if tile["values"]]
            known = [metric.direction * value for value in values if not math.isnan(value)]
            for tile in tiles:
                if tile["values"] and known and metric.direction:
                    tile["figures"][place]["best"] = metric.direction * tile["values"][place] == max(known)
        return {"name": str(facts.get("name") or identity[:16]), "synthetic": bool(facts.get("synthetic")),
                "collection": str(facts.get("collection") or ""), "input": self.files.add(shown["input"]),
                "truth": self.files.add(shown["truth"]), "tiles": tiles}

    def _tile(self, case: str, identity: str, row: dict[str, Any], score: dict[str, Any] | None,
              metrics: list[Any]) -> dict[str, Any]:
        """A run's picture with its figures, or why there is none."""
        tile: dict[str, Any] = {"run": row["run"], "reading": row["reading"], "status": "ok", "reason": "",
                                "picture": None, "figures": [], "values": []}
        if score is not None and score["status"] != "ok":
            return tile | {"status": score["status"], "reason": score["reason"]}
        try:
            shown = self.pictures.show(case, identity, row["run"])
        except (UserError, KeyError, ValueError) as error:
            return tile | {"status": "failed", "reason": f"its picture cannot be shown: {error}"}
        if "output" not in shown:
            return tile | {"status": "failed", "reason": "there is no restored picture"}
        values = [math.nan if score is None else float(score.get(metric.name, math.nan)) for metric in metrics]
        figures = [{"name": metric.name, "text": number(value, metric.digits), "unit": metric.unit, "best": False}
                   for metric, value in zip(metrics, values, strict=True)]
        return tile | {"picture": self.files.add(shown["output"]), "figures": figures, "values": values}


def spread(samples: list[tuple[str, dict[str, Any]]], limit: int) -> list[tuple[str, dict[str, Any]]]:
    """At most `limit` samples: first one of each photograph (`group`) in the order of names, then the others."""
    ordered = sorted(samples, key=lambda sample: (str(sample[1].get("name") or ""), sample[0]))
    seen: dict[str, int] = {}
    places: list[tuple[int, int]] = []
    for identity, facts in ordered:
        group = str(facts.get("group") or identity)
        seen[group] = seen.get(group, 0) + 1
        places.append((seen[group], len(places)))
    chosen = sorted(place for _, place in sorted(places)[:limit])
    return [ordered[place] for place in chosen]


def title(task: str) -> str:
    """`super_resolution` as `Super resolution`."""
    return task.replace("_", " ").capitalize()
