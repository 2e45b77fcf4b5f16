"""One entry of the view: a run of ours with all that belongs to it, read from tracked files, and its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.files import canonical_json, read_json, sha256
from restore_ml.evaluation import without_truth
from restore_ml.evaluation.comparison import first_case, named_case
from restore_ml.evaluation.footprint import footprint
from restore_ml.tasks.protocol import protocol

if TYPE_CHECKING:
    import pandas as pd

VIEW = 2
"""What an entry looks like in the store; raise it when that changes, and `sync` writes every entry anew."""
DIGITS = 4
"""Decimals of the metrics that MLflow's table shows; the finest metric of any protocol is read to four."""
MODEL = "model"
"""The tag `kind` of an entry that has a model, whose rows a person chooses between; a table or a decision has none."""
ROW_FACTS = ("task", "run", "case", "test_set", "degradation", "picture", "name", "group", "synthetic", "seed",
             "status", "reason")
"""The columns of scores/<task>/<run>.parquet that are no metrics."""


@dataclass
class Entry:
    """A run (or a champion, `role` champion) as its files describe it.

    `folder`: the model's folder. `scores`: its rows of scores/<task>/<run>.parquet (empty before scoring). `data`: the
    hash of the pictures.
    """

    root: Path
    task: str
    run: str
    folder: Path
    scores: pd.DataFrame
    data: str
    role: str = "run"
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the entry is called in the store, the same for all its results: `run/vdsr`, `champion/vdsr`."""
        return f"{self.role}/{self.run}"

    @cached_property
    def model(self) -> dict[str, Any]:
        """What model.json says."""
        return read_json(self.folder / "model.json")

    @cached_property
    def footprint(self) -> dict[str, int]:
        """What the deployed form takes, of the few methods that have one."""
        return footprint(self.model)

    @property
    def usable(self) -> bool:
        """Whether there is a model that can be loaded and served."""
        return self.model["status"] == "ok"

    @cached_property
    def status(self) -> dict[str, Any]:
        """What restored/<task>/<run>/status.json says; empty for support runs and champions."""
        path = self.root / layout.restored(self.task, self.run) / "status.json"
        return read_json(path) if self.role == "run" and path.exists() else {}

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal code, data, settings and result, whatever the machine, the day or the commit."""
        history = self.folder / "history.csv"
        parts = {"view": VIEW, "key": self.key, "task": self.task, "data": self.data, "code": self.code,
                 "model": self.model, "status": self.status, "case": named_case(self.root, self.task),
                 "history": sha256(history.read_bytes()) if history.exists() else "",
                 "scores": sha256(self.scores.to_csv(index=False).encode())}
        parts |= {"footprint": self.footprint} if self.footprint else {}
        parts |= {without_truth.KEY: found} if (found := self.without_truth()) else {}
        return sha256(canonical_json(parts).encode())[:32]

    @cached_property
    def model_sha256(self) -> str:
        """The hash of model.json, which names settings and weights: by it a champion is known again."""
        return sha256((self.folder / "model.json").read_bytes())

    def params(self) -> dict[str, str]:
        """The resolved settings and what else makes the run what it is, flat (`steps.first`), and what its deployed
        form takes."""
        names = ("method", "seed", "threads", "processes", "precision")
        parameters = {key: self.model.get(key, "") for key in names}
        slots = self.model.get("slots", {})
        named = {**parameters, **slots, **_flat(self.model["settings"]), **self.footprint}
        return {key: str(value)[:6000] for key, value in named.items() if str(value) != ""}

    def metrics(self) -> dict[str, float]:
        """The few figures that a person chooses by: the primary metric and the guards' on the primary case, and the
        number of parameters. Rounded, since MLflow's table cuts long numbers; all others and all digits: `cases`."""
        figures: dict[str, float] = {}
        if self.model.get("parameters_total") is not None:
            figures["parameters"] = float(self.model["parameters_total"])
        if self.task not in registry.tables() or not len(self.scores):
            return figures
        rules = protocol(self.task)
        case = self.scores["case"] == first_case(rules, self.scores["case"], named_case(self.root, self.task))
        rows = self.scores[case & (self.scores["status"] == "ok")]
        for metric in dict.fromkeys((rules.primary, *(guard.metric for guard in rules.guards))):
            if metric in rows and rows[metric].notna().any():
                figures[metric] = round(float(rows[metric].mean()), DIGITS)
        return figures

    def cases(self) -> pd.DataFrame:
        """A row for each test case: the means of all metrics over the pictures that are ok, and how many those are."""
        import pandas as pd

        rows = []
        for case, of_case in self.scores.groupby("case") if len(self.scores) else ():
            means = of_case.loc[of_case["status"] == "ok"].drop(columns=[*ROW_FACTS], errors="ignore").mean()
            counts = {status: int((of_case["status"] == status).sum()) for status in ("ok", "failed", "unsupported")}
            rows.append({"case": case, **means, "pictures": len(of_case), **counts})
        return pd.DataFrame(rows)

    def without_truth(self) -> dict[str, Any]:
        """By case and picture, the figures of what nobody knows the truth of; of a champion none."""
        path = self.root / layout.about(self.task, self.run)
        return read_json(path).get(without_truth.KEY, {}) if self.role == "run" and path.exists() else {}

    def _measured(self) -> dict[str, dict[str, Any]]:
        """The files of costs that this machine kept: `train` and `restore`, with `time`, when they were written."""
        results = {"train": self.folder / "model.json"}
        if self.role == "run":
            results["restore"] = self.root / layout.RESTORED / self.task / self.run / "status.json"
        files = {kind: costs.path(self.root, kind, path) for kind, path in results.items() if path.exists()}
        return {kind: {**read_json(path), "time": path.stat().st_mtime} for kind, path in files.items()
                if path.exists()}

    def costs(self) -> dict[str, float]:
        """Seconds and memory on this machine, where they were kept; they differ from day to day and are no result."""
        measured = self._measured()
        train, restore = measured.get("train", {}), measured.get("restore", {})
        figures = {"training_seconds": train.get("seconds"), "restoring_seconds": restore.get("seconds"),
                   "ms_per_megapixel": restore.get("ms_per_megapixel"),
                   "peak_memory_mb": max((part["peak_memory_mb"] for part in (train, restore)
                                          if part.get("peak_memory_mb") is not None), default=None)}
        return {name: float(value) for name, value in figures.items() if value is not None}

    def times(self) -> tuple[int, int] | None:
        """When training began and restoring ended, in milliseconds since 1970, as if they had followed each other
        without a pause: the end is when the costs were written, the length the recorded seconds. None without costs."""
        measured = self._measured().values()
        seconds = sum(part.get("seconds") or 0.0 for part in measured)
        end = round(1000 * max((part["time"] for part in measured), default=0.0))
        return (end - max(1, round(1000 * seconds)), end) if end else None

    def tags(self) -> dict[str, str]:
        """What never changes for this result."""
        reasons = {self.model.get("reason", ""), self.status.get("reason", "")} - {""}
        failed = {case: facts["reason"] for case, facts in self.status.get("cases", {}).items()
                  if facts["status"] != "ok"}
        tags = {"task": self.task, "run": self.run, "entry": self.key, "kind": MODEL,
                "method": str(self.model["method"]),
                "status": self.model["status"] if not self.usable else self.status.get("status", "ok"),
                "reason": "; ".join(sorted(reasons)), "data": self.data, "model_sha256": self.model_sha256,
                "reading": str(self.model.get("reading", "")),
                "cases_without_result": "; ".join(f"{case}: {reason}" for case, reason in sorted(failed.items()))}
        return {key: value[:5000] for key, value in tags.items() if value}

    def curves(self) -> list[tuple[str, int, float]]:
        """The training history as (term, step over all phases, value); steps in the file count within a phase."""
        path = self.folder / "history.csv"
        return curves(path.read_text(encoding="utf-8")) if path.exists() else []


def curves(text: str) -> list[tuple[str, int, float]]:
    """Lines `phase,step,term,value` as (`phase/term`, step over all phases, value). Unfinished lines are left out."""
    points, offset, last, phase = [], 0, -1, ""
    for line in text.splitlines(keepends=True):
        parts = line.rstrip("\n").split(",")
        if not line.endswith("\n") or len(parts) != 4 or not parts[1].isdigit():
            continue
        if parts[0] != phase:
            phase, offset = parts[0], last + 1
        last = offset + int(parts[1])
        try:
            points.append((f"{phase}/{parts[2]}", last, float(parts[3])))
        except ValueError:  # a line cut by a kill in the middle of its number
            continue
    return points


def _flat(settings: dict[str, Any], start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{start}{key}."))
        else:
            flat[f"{start}{key}"] = value
    return flat
