"""Promotion decisions as they are kept: champions/<task>/history, one JSON file a distinct decision, and in MLflow.

A file is named by its number, what it is (`promoted`, `kept`, `rollback`) and the hash of its content. One set of
evidence (score rows, models, rule, profile) decides once: while the last word on it led to the champion that is there,
nothing is decided or written again. So a rollback holds until there is new evidence.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base import layout
from restore_ml.base.files import canonical_json, read_json, sha256, write_json
from restore_ml.base.programs import NoRepository, ProgramError, git
from restore_ml.base.provenance import UNKNOWN
from restore_ml.promotion.champion_folders import digest
from restore_ml.promotion.rule import Rule

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

VERSION = 1
"""Of the rule itself; raise it when the same evidence may give another answer."""
VIEW = 1
"""What a decision looks like in MLflow; raise it when that changes."""
PROMOTED, KEPT, ROLLBACK = "promoted", "kept", "rollback"


def folder(root: Path, task: str) -> Path:
    """champions/<task>/history."""
    return root / layout.champions(task) / "history"


def history(root: Path, task: str) -> list[dict[str, Any]]:
    """All decisions of a task, oldest first."""
    return [read_json(path) for path in sorted(folder(root, task).glob("[0-9]*.json"))]


def append(root: Path, task: str, record: dict[str, Any]) -> bool:
    """Keep a decision unless the very same one is there; returns whether it was new. A rollback is an event and always
    new: its number is part of it."""
    home = folder(root, task)
    earlier = sorted(home.glob("[0-9]*.json"))
    number = int(earlier[-1].name.split("-")[0]) + 1 if earlier else 1
    if record["kind"] == ROLLBACK:
        record = {**record, "number": number}
    fingerprint = short(record)
    if any(path.stem.endswith(f"-{fingerprint}") for path in earlier):
        return False
    write_json(home / f"{number:04d}-{record['kind']}-{fingerprint}.json", record)
    return True


def short(record: dict[str, Any]) -> str:
    """The first eight digits of the hash of a decision's content."""
    return sha256(canonical_json(record).encode())[:8]


def evidence(task: str, scores: pd.DataFrame, models: Path, rule: Rule, profile: str, seeds: Mapping[str, int],
             teams: Mapping[str, Iterable[str]]) -> str:
    """The hash of all that a decision rests on but the champion: score rows in any order, models, rule, profile, and
    who replicates whom."""
    ordered = scores.sort_values(["run", "case", "picture"], ignore_index=True)[sorted(scores.columns)]
    parts = {"version": VERSION, "task": task, "scores": sha256(ordered.to_csv(index=False).encode()),
             "rule": asdict(rule), "profile": profile, "seeds": dict(seeds),
             "teams": {run: list(members) for run, members in teams.items()},
             "models": {run: digest(models / run) for run in sorted(scores["run"].unique())}}
    return sha256(canonical_json(parts).encode())[:16]


def last_word(root: Path, task: str, evidence: str) -> dict[str, Any] | None:
    """The last decision on this evidence, if the champion that it left is the one that is there; else None."""
    decided = [record for record in history(root, task) if record["evidence"] == evidence]
    present = digest(root / layout.champion(task))
    return decided[-1] if decided and decided[-1]["model_sha256"] == present else None


def heal(root: Path, task: str) -> None:
    """A champion whose decision a kill kept out of the history gets it written there."""
    path = root / layout.champion(task) / "decision.json"
    record = read_json(path) if path.exists() else {}
    if record.get("kind") == PROMOTED:
        append(root, task, record)


def latency(root: Path, task: str, model_sha256: str) -> dict[str, Any] | None:
    """The latency that some earlier decision measured of this very model, so that it is measured only once."""
    for record in reversed(history(root, task)):
        if record.get("challenger_sha256") == model_sha256 and record.get("latency"):
            return dict(record["latency"])
    return None


def commit(root: Path) -> str:
    """The commit of the project's code, with `+changes` where files differ from it; `unknown` outside git and, after a
    sentence on standard error, where git refuses to answer."""
    try:
        head = git(root, "rev-parse", "--verify", "HEAD").strip()
        return head + ("+changes" if git(root, "status", "--porcelain", "--untracked-files=no").strip() else "")
    except NoRepository:
        return UNKNOWN
    except ProgramError as error:
        print(f"{error} Until then the commits of decisions count as {UNKNOWN}.", file=sys.stderr)
        return UNKNOWN


def log(client: MlflowClient, experiment: str, root: Path, task: str, fingerprints: Iterable[str]) -> tuple[list[str],
                                                                                                   list[str]]:
    """Write each decision that MLflow does not have as the run `promotion <hash>`, with its page and decision.json;
    returns the names written and those that were there. `fingerprints`: the fingerprints in the experiment."""
    from restore_ml.report.promotion import page

    written, kept, marks = [], [], set(fingerprints)
    for record in history(root, task):
        title = f"promotion {short(record)}"
        fingerprint = sha256(canonical_json({"view": VIEW, "decision": record}).encode())[:32]
        if fingerprint in marks:
            kept.append(title)
            continue
        now = int(time.time() * 1000)
        tags = {"task": task, "entry": f"promotion/{short(record)}", "state": "current", "decision": record["kind"],
                "run": record["run"], "champion": record["champion"], "data": record.get("data", ""),
                "profile": record.get("profile", ""), "git_commit": record.get("commit", ""),
                "evidence": record["evidence"], "mlflow.note.content": record["sentence"],
                "mlflow.source.name": "restore-ml promote"}
        run = client.create_run(experiment, start_time=now, run_name=title,
                                tags={key: str(value)[:5000] for key, value in tags.items() if value})
        _figures(client, run.info.run_id, record)
        with tempfile.TemporaryDirectory() as name:
            write_json(Path(name) / "decision.json", record)
            (Path(name) / "promotion.html").write_text(page(task, [record]), encoding="utf-8")
            client.log_artifacts(run.info.run_id, name)
        client.set_terminated(run.info.run_id, "FINISHED", end_time=now)
        client.set_tag(run.info.run_id, "fingerprint", fingerprint)  # last: what a kill cut short has none
        written.append(title)
    return written, kept


def _figures(client: MlflowClient, identity: str, record: dict[str, Any]) -> None:
    from restore_ml.tracking.writing import log as write

    gain = record.get("gain") or {}
    metrics = {f"gain.{key}": gain.get(key) for key in ("mean", "low", "high")}
    metrics |= {"value": record.get("value"), "wins": record.get("wins"), "losses": record.get("losses"),
                "ms_per_megapixel": (record.get("latency") or {}).get("ms_per_megapixel")}
    metrics |= {f"guard.{check['name']}": check["value"] for check in record.get("guards", [])}
    params = {**record.get("rule", {}), "metric": record.get("metric"), "case": record.get("case"),
              "compared_with": record.get("compared_with")}
    write(client, identity, {key: str(value) for key, value in params.items() if value not in (None, "", {})},
          {key: float(value) for key, value in metrics.items() if value is not None}, [], int(time.time() * 1000))
