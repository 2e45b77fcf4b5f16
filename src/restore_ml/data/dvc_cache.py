"""Where DVC keeps its cache: links from a collection into it (`cache.type symlink`) are DVC's own, not an escape.

Read from DVC's configuration files without importing DVC (its settings `cache.dir`, in the order in which DVC reads
them: system, global, repository, local).
"""

from __future__ import annotations

import configparser
import os
import re
from functools import lru_cache
from pathlib import Path

_ENTRY = re.compile(r"(?:.*/)?[0-9a-f]{2}/[0-9a-f]{30}")
"""How DVC names a file of its cache: by its MD5, after `files/md5/` since version 3."""


def is_cached(real: Path, folder: Path) -> bool:
    """Whether the resolved path `real` is a file of the cache of the DVC repository in which `folder` lies."""
    repository = next((parent for parent in (folder, *folder.parents) if (parent / ".dvc").is_dir()), None)
    if repository is None:
        return False
    return any(real.is_relative_to(cache) and _ENTRY.fullmatch(real.relative_to(cache).as_posix()) is not None
               for cache in _caches(repository, tuple(_version(path) for path in _configurations(repository))))


@lru_cache(maxsize=16)
def _caches(repository: Path, versions: tuple[tuple[str, int], ...]) -> tuple[Path, ...]:
    """The default cache and those that are configured, resolved; `versions` of the configuration: see `_version`."""
    caches = [repository / ".dvc" / "cache"]
    for path in (Path(name) for name, changed in versions if changed >= 0):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(path, encoding="utf-8")
            configured = parser.get("cache", "dir", fallback="").strip().strip("'\"")
        except (configparser.Error, OSError, UnicodeError):
            continue
        if configured:
            caches.append(path.parent / Path(configured).expanduser())
    return tuple(dict.fromkeys(configured.resolve() for configured in caches))


def _configurations(repository: Path) -> list[Path]:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    site = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]
    return [Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or f"{site}/dvc") / "config",
            Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or f"{home}/dvc") / "config",
            repository / ".dvc" / "config", repository / ".dvc" / "config.local"]


def _version(path: Path) -> tuple[str, int]:
    """A configuration file and when it was changed; -1 where there is none."""
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), -1
