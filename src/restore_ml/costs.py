"""What a training or a restoring cost: seconds and memory, which cannot repeat and so lie outside what DVC tracks.

Each file is keyed by the result that it belongs to and names the machine; the tables join it for display.
"""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path
from typing import Any

from restore_ml import layout
from restore_ml.files import sha256_of_file, write_json


def write(root: Path, kind: str, result: Path, figures: dict[str, Any]) -> None:
    """Write `figures`, the process's peak memory and the machine to .state/costs/<kind>-<hash of result>.json."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(path(root, kind, result), figures | {"peak_memory_mb": round(peak, 1), "machine": machine()})


def path(root: Path, kind: str, result: Path) -> Path:
    """Where the costs of `result` (a model.json or status.json) lie; `kind` is `train` or `restore`."""
    return root / layout.COSTS / f"{kind}-{sha256_of_file(result)[:16]}.json"


def machine() -> str:
    """The processor and the number of its cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"
