"""The collections that need no download, of every domain that has any: the same bytes under data/ everywhere."""

from __future__ import annotations

from pathlib import Path

from restore_ml import layout
from restore_ml.data import collections, domains
from restore_ml.data.embedded_photos import installed
from restore_ml.errors import UserError
from restore_ml.files import sha256_of_file, write_json


def lay_out(root: Path) -> list[Path]:
    """Lay the embedded collections under root/data; returns their folders, new or already there.

    Run again it changes nothing. Every collection appears whole or not at all. `UserError` when a package ships other
    files than those that are known (nothing is written then), or when a folder of that name holds something else.
    """
    makers = {name: make for domain in domains.names() for name, make in domains.get(domain).embedded().items()}
    for name, make in makers.items():
        with collections.incoming(root) as folder:
            write_json(folder / collections.DESCRIPTION, {"name": name, **make(folder / collections.PICTURES)})
            target = root / layout.DATA / name
            if target.exists():
                _same_files(folder, target)
            else:
                collections.put_in_place(folder, target)
    return [root / layout.DATA / name for name in makers]


def _same_files(made: Path, there: Path) -> None:
    """`UserError` unless both folders hold the same files with the same bytes."""
    def hashes(folder: Path) -> dict[str, str]:
        return {path.relative_to(folder).as_posix(): sha256_of_file(path)
                for path in sorted(folder.rglob("*")) if path.is_file()}

    new, old = hashes(made), hashes(there)
    if new != old:
        differing = sorted(name for name in {*new, *old} if new.get(name) != old.get(name))
        shown = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        raise UserError(f"{there} differs from the embedded collection in {shown}. Installed: "
                        f"{', '.join(installed(name) for name in ('numpy', 'pillow'))}. Move that folder away and run "
                        "`restore-ml data init` again to get the embedded one.")
