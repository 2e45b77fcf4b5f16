"""Files of an earlier result in DVC's cache, where DVC deletes a stage's outputs before it runs it again."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

from pipelines.machinery.lock import stage_of


def files_of(root: Path, lock: Path, stage: str, folder: Path) -> dict[str, Path]:
    """The files of the output `folder` as the lock has it, by their paths below it; none where the cache lacks any."""
    try:
        outs = stage_of((root / lock).read_text(encoding="utf-8"), stage).get("outs", [])
        digest = next(entry["md5"] for entry in outs if entry["path"] == folder.as_posix())
        entries = json.loads(_object(root, digest).read_text(encoding="utf-8"))
        return {entry["relpath"]: path for entry in entries if (path := _object(root, entry["md5"])).exists()}
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return {}


def _object(root: Path, digest: str) -> Path:
    return cache(root) / "files" / "md5" / digest[:2] / digest[2:]


def cache(root: Path) -> Path:
    """The folder of DVC's cache: the project's own, or the one that its settings name."""
    folder = Path("cache")
    for name in ("config", "config.local"):
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(root / ".dvc" / name, encoding="utf-8")
        folder = Path(settings.get("cache", "dir", fallback=str(folder)))
    return root / ".dvc" / folder
