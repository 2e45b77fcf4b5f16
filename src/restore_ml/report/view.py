"""What the pages of the gallery show of a task, as plain values for the templates and the scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.evaluation import published, without_truth
from restore_ml.evaluation.comparison import printed_by_case
from restore_ml.evaluation.footprint import sentences
from restore_ml.evaluation.scoring import read_task
from restore_ml.evaluation.tables import DONE
from restore_ml.evaluation.words import counted, groups
from restore_ml.metrics import without_truth as without_truth_words
from restore_ml.promotion.champion_folders import champion_folder
from restore_ml.report.board import board
from restore_ml.report.comparison import read_table
from restore_ml.report.curves import learning_curves
from restore_ml.report.pictures import TaskPictures
from restore_ml.report.sweep import chart
from restore_ml.report.timeline import history
from restore_ml.tasks.panels import Panel
from restore_ml.tasks.protocol import Metric, with_figures

if TYPE_CHECKING:
    import pandas as pd

FIGURES = 2
"""Metrics under each picture: the primary one and the next of the protocol."""
FIRST = 8
"""Runs whose pictures and curves are shown before a person asks for more; champion and baseline are shown too."""
SHARES = 5
"""Bars below a picture, beside that of the true class."""


class Store(Protocol):
    """Where pictures go (`gallery.Files`)."""

    def add(self, picture: np.ndarray) -> dict[str, Any]:
        """Links to the picture."""
        ...

    def embed(self, ref: str) -> None:
        """Lets scripts read the picture of that `ref`."""
        ...


class TaskView:
    """Gathers one task's page: its leaderboards, its pictures with all runs, its curves and its promotions."""

    def __init__(self, root: Path, task: str, files: Store, pictures: int) -> None:
        """`pictures`: the most that are shown of a case."""
        import pandas as pd

        self.root, self.task, self.files, self.limit = root, task, files, pictures
        self.pictures = TaskPictures(root, task)
        self.table = read_table(root, task)
        self.rules = with_figures(self.pictures.protocol, self.table)
        first = self.rules.metric(self.rules.primary)
        self.metrics = [first, *(metric for metric in self.rules.metrics if metric is not first)][:FIGURES]
        scores = read_task(root, task)
        self.scores = pd.DataFrame({"case": [], "run": [], "picture": []}) if scores is None else scores
        self.runs = [str(run) for run in self.table["run"].unique()]
        methods = dict(zip(self.table["run"], self.table["method"], strict=True))
        self.kinds = {run: kind_of_run(root, task, run, str(methods[run])) for run in self.runs}
        """What each run's method is: `network`, `fitted` ... (`restore_ml.runs.fingerprints.kind`)."""
        self.guides = {run: guides_of(task, str(methods[run])) for run in self.runs}
        """The optional inputs that each run's method is given."""

    def gather(self) -> dict[str, Any]:
        """Everything that the templates need, cases in the order of the table (the primary one first). `browser` is for
        the script: runs, metrics and, of each case, its pictures."""
        champion = self._champion()
        grouped = list(self.table.groupby("case", sort=False))
        printed = printed_by_case(self.task, self.scores)
        boards = [board(self.rules, rows, champion, self.kinds, printed.get(str(case))) for case, rows in grouped]
        cases = [self._case(str(case), rows) for case, rows in grouped]
        found = [self._case_without_truth(case) for case in self.pictures.cases_without_truth()]
        baseline = str(self.table["baseline"].iloc[0])
        failed = self.table.loc[self.table["status"] == "failed", "run"]
        readings = self.table.drop_duplicates("run").sort_values("run")
        return {"name": self.task, "title": title(self.task), "boards": boards, "champion": champion,
                "metric": self.metrics[0].heading, "baseline": baseline, "runs": self.runs,
                "broken": sorted(set(failed)), "groups": groups(self.task),
                "kinds": sorted({*self.kinds.values()} - {""}),
                "cover": self._cover(boards[0], cases[0]),
                "without_truth": [{"name": case["name"], "counted": counted(self.task, case["count"], case["groups"])}
                                  for case in found],
                "told": [(metric.name, without_truth_words.WORDS.get(metric.name, ""))
                         for metric in self.pictures.protocol.figures_without_truth],
                "measured": self.rules.reading,
                "readings": [(row.run, row.reading) for row in readings.itertuples() if row.reading],
                "footprints": sentences(self.root, self.task, sorted(self.runs)),
                "machines": sorted({text for text in self.table["machine"] if text}),
                "curves": learning_curves(self.root, self.task, self.runs),
                "sweep": chart(self.root, self.task, champion),
                "promotions": history(self.root, self.task, self.rules),
                "printed": published.blocks(self.task), "printed_explained": published.EXPLAINED,
                "browser": {"task": self.task, "runs": self.runs, "methods": self._methods(), "cases": cases + found,
                            "kinds": [self.kinds[run] for run in self.runs],
                            "first": FIRST, "always": sorted({champion, baseline} & {*self.runs}),
                            "metrics": _described(self.metrics)}}

    def _methods(self) -> list[str]:
        """The method of each run."""
        methods = dict(zip(self.table["run"], self.table["method"], strict=True))
        return [str(methods[run]) for run in self.runs]

    def _champion(self) -> str:
        folder = champion_folder(self.root, self.task)
        return "" if folder is None else str(read_json(folder / "model.json")["run"])

    def _cover(self, rows: dict[str, Any], case: dict[str, Any]) -> dict[str, Any] | None:
        """Input, best picture and truth of the first shown picture, for the first page; where nobody knows a truth,
        what else there is beside the input (a style)."""
        for picture in case["pictures"][:1]:
            given = {shot["key"]: shot for shot in picture["given"] if "picture" in shot}
            other = next((shot for name, shot in given.items() if name != "input"), None)
            cover = {"input": given["input"], "best": None, "run": "", "other": given.get("truth", other)}
            for row in rows["rows"]:
                tile = next((tile for tile in picture["tiles"] if self.runs[tile["run"]] == row["run"]), None)
                if tile is not None and "picture" in tile:
                    return cover | {"best": tile, "run": row["run"]}
            return cover
        return None

    def _case(self, case: str, rows: pd.DataFrame) -> dict[str, Any]:
        """A case for the script: its runs in the order of the ranks (as places in `runs`) and its pictures."""
        first = rows.iloc[0]
        records = rows.to_dict("records")
        return {"name": case, "synthetic": bool(first["synthetic"]), "count": int(first["pictures"]),
                "runs": [self.runs.index(row["run"]) for row in records if row["status"] != "unsupported"],
                "pictures": self._pictures(case, records)}

    def _case_without_truth(self, case: str) -> dict[str, Any]:
        """The same of a case whose truth nobody knows: the runs that restored it, in the order of the first table, and
        figures of its own (`metrics`)."""
        metrics = self.pictures.protocol.figures_without_truth
        samples = self.pictures.samples(case)
        runs = [run for run in self.runs if self.pictures.restored(case, run)]
        by_place: dict[tuple[str, str], dict[str, Any]] = {}
        for run in runs:
            path = self.root / layout.about(self.task, run)
            figures = read_json(path).get(without_truth.KEY, {}).get(case, {}) if path.exists() else {}
            by_place |= {(run, identity): {"status": "ok", **figures.get(identity, {})} for identity, _ in samples}
        rows = [{"run": run, "status": "ok"} for run in runs]
        chosen = spread(samples, self.limit)
        return {"name": case, "synthetic": False, "count": len(samples),
                "groups": len({str(facts.get("group") or identity) for identity, facts in samples}),
                "runs": [self.runs.index(run) for run in runs], "metrics": _described(metrics),
                "pictures": [self._picture(case, identity, facts, rows, by_place, metrics)
                             for identity, facts in chosen]}

    def _pictures(self, case: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if case not in self.pictures.cases():
            return []
        scores = self.scores[self.scores["case"] == case]
        by_place = {(row["run"], row["picture"]): row for row in scores.to_dict("records")}
        first = self.metrics[0]
        worst: dict[str, list[tuple[float, str]]] = {row["run"]: [] for row in rows if row["status"] in DONE}
        for (run, identity), row in by_place.items():
            if run in worst and row["status"] == "ok" and not math.isnan(row[first.name]):
                worst[run].append((first.direction * row[first.name], identity))
        order = [[identity for _, identity in sorted(found)] for found in worst.values()]
        chosen = choose(self.pictures.samples(case), order, self.limit)
        return [self._picture(case, identity, facts, rows, by_place, self.metrics) for identity, facts in chosen]

    def _picture(self, case: str, identity: str, facts: dict[str, Any], rows: list[dict[str, Any]],
                 by_place: dict[tuple[str, str], dict[str, Any]], metrics: Sequence[Metric]) -> dict[str, Any]:
        unused = guides_of_task(self.task) - {guide for row in rows if row["status"] != "unsupported"
                                              for guide in self.guides[row["run"]]}
        shown = {name: one for name, one in self.pictures.show(case, identity).items()
                 if name not in {"output", *unused}}
        shown |= {"truth": shown.pop("truth")} if "truth" in shown else {}  # the last of those that are given
        given = [{"key": name, **self._shot(one)} for name, one in shown.items()]
        told = [{"key": name, "told": [said] if isinstance(said, str) else said}
                for name, said in self.pictures.told(case, identity).items() if name not in unused]
        last = len(given) - ("truth" in shown)
        given[last:last] = told
        sizes = [one.frames.shape[2:0:-1] for one in shown.values()]
        width, height = max(sizes, key=lambda size: size[0] * size[1])
        refs = {shot["key"]: shot["picture"] for shot in given if "picture" in shot}
        tiles = [self._tile(case, identity, row, by_place.get((row["run"], identity)), metrics) for row in rows
                 if row["status"] != "unsupported"]
        return {"name": str(facts.get("name") or identity[:16]), "id": identity[:16],
                "synthetic": bool(facts.get("synthetic")), "input": refs["input"], "given": given,
                "truth": refs.get("truth"), "width": width, "height": height,
                "tiles": [tile for tile in tiles if tile.get("status") != "unsupported"]}

    def _shot(self, shown: Panel) -> dict[str, Any]:
        """A panel for the script: its file and, where it has them, frames, words and bars."""
        frames = shown.frames
        added = self.files.add(frames if len(frames) > 1 else frames[0])
        said: dict[str, Any] = {"picture": added["ref"], "size": [added["width"], added["height"]]}
        if len(frames) > 1:
            said["frames"] = len(frames)
        if shown.caption:
            said["caption"] = shown.caption
        if len(shown.others):
            said["others"] = [self.files.add(other)["ref"] for other in shown.others]
        if shown.shares:
            ordered = sorted(shown.shares.items(), key=lambda item: -item[1])
            kept = ordered[:SHARES] + [item for item in ordered[SHARES:] if item[0] == shown.right]
            said["shares"] = [[name, round(float(share), 4), name == shown.right] for name, share in kept]
        return said

    def _tile(self, case: str, identity: str, row: dict[str, Any], score: dict[str, Any] | None,
              metrics: Sequence[Metric]) -> dict[str, Any]:
        """A run's picture with its figures (None where not measured), or its status and why there is none."""
        tile: dict[str, Any] = {"run": self.runs.index(row["run"])}
        if score is not None and score["status"] != "ok":
            return tile | {"status": score["status"], "reason": score["reason"] or "no reason was given"}
        try:
            shown = self.pictures.show(case, identity, row["run"])
        except (UserError, KeyError, ValueError) as error:
            return tile | {"status": "failed", "reason": f"its picture cannot be shown: {error}"}
        if "output" not in shown:
            return tile | {"status": "failed", "reason": "there is no restored picture"}
        values = [math.nan if score is None else float(score.get(metric.name, math.nan)) for metric in metrics]
        guides = {"guides": list(self.guides[row["run"]])} if self.guides[row["run"]] else {}
        return tile | self._shot(shown["output"]) | guides | {
                       "values": [round(value, 6) if math.isfinite(value) else None for value in values]}


def _described(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Metrics for the script."""
    return [{"name": metric.name, "direction": metric.direction, "digits": metric.digits, "unit": metric.unit}
            for metric in metrics]


Sample = tuple[str, dict[str, Any]]


def choose(samples: list[Sample], worst: list[list[str]], limit: int) -> list[Sample]:
    """At most `limit` samples in the order of names: half of them spread over the photographs, the others the worst
    pictures of each run in turn. `worst`: of each run, best run first, the ids from its worst picture on."""
    known = {identity for identity, _ in samples}
    chosen = {identity for identity, _ in spread(samples, (limit + 1) // 2)}
    for place in range(max((len(found) for found in worst), default=0)):
        for found in worst:
            if len(chosen) < limit and place < len(found) and found[place] in known:
                chosen.add(found[place])
    rest = [sample for sample in samples if sample[0] not in chosen]
    chosen |= {identity for identity, _ in spread(rest, max(0, limit - len(chosen)))}
    return [sample for sample in spread(samples, len(samples)) if sample[0] in chosen]


def spread(samples: list[Sample], limit: int) -> list[Sample]:
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


def kind_of_run(root: Path, task: str, run: str, method: str) -> str:
    """What a run's model says of itself (`imported`), else what its method is."""
    path = root / layout.model(task, run) / "model.json"
    told = read_json(path).get("kind", "") if path.exists() else ""
    return str(told) or kind_of(task, method)


def kind_of(task: str, method: str) -> str:
    """What a method is in a word or two; empty where its class is not there any more."""
    if method == layout.OUTSIDE:
        return method
    from restore_ml.registry import method_class
    from restore_ml.runs.fingerprints import kind_of_method

    try:
        return kind_of_method(method_class(task, method))
    except (UserError, ImportError):
        return ""


def guides_of(task: str, method: str) -> tuple[str, ...]:
    """The optional inputs of the task that a method is given; none of what another tool did or whose class is gone."""
    if not guides_of_task(task):
        return ()
    from restore_ml.registry import method_class

    try:
        return tuple(method_class(task, method).inputs)
    except (UserError, ImportError):
        return ()


def guides_of_task(task: str) -> frozenset[str]:
    """The names of the inputs that only some methods of the task are given."""
    from restore_ml.registry import parts

    optional = parts(task).optional
    return frozenset(optional.inputs if optional else ())


def title(task: str) -> str:
    """`super_resolution` as `Super resolution`."""
    return task.replace("_", " ").capitalize()
