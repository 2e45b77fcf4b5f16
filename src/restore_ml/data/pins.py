"""data.dvc: which state of data/ is pinned, and what of the embedded pictures a person has taken out of it.

DVC keeps what stands under `meta:` when it writes the file again; `meta: {without: [...]}` is ours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError, conflict
from restore_ml.base.files import write_text
from restore_ml.base.programs import ProgramError, dvc

POINTER = Path("data.dvc")


def is_dvc(root: Path) -> bool:
    """Whether the project is a DVC repository."""
    return (root / ".dvc").is_dir()


def read(root: Path) -> str | None:
    """The hash of data/ that data.dvc pins; None where nothing is pinned, `UserError` for a conflict in the file."""
    path = root / POINTER
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    if told := conflict(path, text):
        raise UserError(told)
    return _md5(text)


def _md5(text: str) -> str:
    named = re.search(r"md5: (\S+)", text)
    return named[1] if named else "no hash"


def add(root: Path) -> str:
    """Pin data/ as it is; its hash. `UserError` with DVC's words where that cannot be."""
    try:
        dvc(root, "add", str(layout.DATA))
    except ProgramError as error:
        raise ProgramError(f"The pictures are in {layout.DATA}/, and not pinned: {error} Then run `dvc add "
                           f"{layout.DATA}`.") from None
    return _md5((root / POINTER).read_text(encoding="utf-8"))


def matches(root: Path, pinned: str) -> bool:
    """Whether data/ is there and is what `pinned` says; data.dvc stays as it was."""
    folder = root / layout.DATA
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    before = (root / POINTER).read_text(encoding="utf-8")
    try:
        return add(root) == pinned
    finally:
        if (root / POINTER).read_text(encoding="utf-8") != before:
            write_text(root / POINTER, before)


def fetched_from_cache(root: Path, pinned: str) -> bool:
    """Whether data/, where there is nothing yet, could be filled from DVC's cache."""
    folder = root / layout.DATA
    if (folder.is_dir() and any(folder.iterdir())) or not is_cached(root, pinned):
        return False
    try:
        dvc(root, "checkout", str(POINTER))
    except ProgramError:  # some of its pictures are not in the cache
        return False
    return True


def is_cached(root: Path, pinned: str) -> bool:
    """Whether DVC's cache knows the pinned state."""
    return (Path(dvc(root, "cache", "dir").strip()) / "files" / "md5" / pinned[:2] / pinned[2:]).exists()


def difference(root: Path, pinned: str) -> str:
    """The sentence for data/ that is not what is pinned, with what helps."""
    if is_cached(root, pinned):
        helps = f"After a change of branch `dvc checkout {POINTER}` brings what is pinned."
    elif dvc(root, "remote", "list").strip():
        helps = f"If collections were added elsewhere, `dvc pull {POINTER}` fetches them."
    else:
        helps = ("If collections were added elsewhere, they must be fetched from there, and no remote of DVC is set up "
                 "here: ask whoever pinned them to `dvc push` (docs/remotes.md).")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pillow", "scipy"))
    return (f"data/ is not what {POINTER} pins ({pinned}). {helps} If you changed data/ and mean it, run `dvc add "
            f"data`. Else the libraries give other pixels ({libraries}): install the versions of constraints.txt.")


def without(root: Path) -> list[str]:
    """What data.dvc says was taken out of the embedded pictures: collections, and `<collection>/<file>`."""
    from restore_ml.runs.plain_yaml import read_mapping

    meta = read_mapping(root / POINTER, ("outs", "meta")).get("meta")
    names = meta.get("without") if isinstance(meta, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def set_without(root: Path, names: Sequence[str]) -> bool:
    """Note in data.dvc what was taken out; whether that changed the file."""
    from ruamel.yaml import YAML

    if sorted(without(root)) == sorted(names):
        return False
    yaml, path = YAML(), root / POINTER
    content = yaml.load(path.read_text(encoding="utf-8"))
    meta = content.setdefault("meta", {})
    if names:
        meta["without"] = sorted(names)
    else:
        del meta["without"]
        if not meta:
            del content["meta"]
    text = io.StringIO()
    yaml.dump(content, text)
    write_text(path, text.getvalue())
    return True
