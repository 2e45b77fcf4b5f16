"""What a training or a restoring cost: seconds and memory, which cannot repeat and so lie outside what DVC tracks.

Each file is keyed by the result that it belongs to and names the machine; the tables join it for display.
"""

from __future__ import annotations

import os
import platform
import re
import resource
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file, write_json


def write(root: Path, kind: str, result: Path, figures: dict[str, Any]) -> None:
    """Write `figures`, the task, the run, the profile, the process's peak memory and the machine to
    .state/costs/<kind>-<hash of result>.json. `result`: <task>/<run>/<file>."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(path(root, kind, result), figures | {"peak_memory_mb": round(peak, 1), "machine": machine(),
                                                    "task": result.parent.parent.name, "run": result.parent.name,
                                                    "profile": _profile(root)})


def of_run(root: Path, task: str, run: str, profile: str) -> float | None:
    """Seconds of training and restoring that the run of the task took last under `profile` on this machine; None where
    no training is recorded. Two tasks may have runs of the same name."""
    seconds: dict[str, float] = {}
    for file in sorted((root / layout.COSTS).glob("*.json"), key=lambda file: file.stat().st_mtime):
        try:
            costs = read_json(file)
            if tuple(costs[key] for key in ("task", "run", "profile", "machine")) == (task, run, profile, machine()):
                seconds[file.name.partition("-")[0]] = float(costs["seconds"])
        except (UserError, KeyError, TypeError, ValueError):  # of an earlier version, or broken: nothing hangs on it
            continue
    return sum(seconds.values()) if "train" in seconds else None


def _profile(root: Path) -> str:
    path = root / "params.yaml"
    match = re.search(r"^profile:\s*(\w+)", path.read_text(encoding="utf-8-sig") if path.exists() else "", re.MULTILINE)
    return match[1] if match else ""


def path(root: Path, kind: str, result: Path) -> Path:
    """Where the costs of `result` (a model.json or status.json) lie; `kind` is `train` or `restore`."""
    return root / layout.COSTS / f"{kind}-{sha256_of_file(result)[:16]}.json"


def machine() -> str:
    """The processor and the number of its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
