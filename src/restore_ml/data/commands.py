"""The bodies of `restore-ml data init|add|list|check`. Each takes the parsed arguments and returns an exit code."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from restore_ml import layout
from restore_ml.data import collections, domains
from restore_ml.data.collections import PICTURES, ROLES, Progress
from restore_ml.errors import UserError
from restore_ml.files import write_text

POINTER = Path("data.dvc")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `data` and its commands to the parser; `command` of the parsed arguments is the function to call."""
    parser = subparsers.add_parser("data", help="lay out, add and check collections of pictures")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser("init", help="lay out the photographs that ship inside the installed packages",
                               description="Lay out the embedded photographs and procedural scenes under data/ and pin "
                                           "them with DVC. Run again it changes nothing.")
    init.set_defaults(command=init_command)
    add = commands.add_parser("add", help="add a folder of pictures as a collection",
                              epilog="example:\n  restore-ml data add holiday ~/Pictures --role train --licence own",
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    add.add_argument("name", help="of the collection: small letters, digits, - and _")
    add.add_argument("path", type=Path, help="the folder; its pictures are copied, subfolders too")
    add.add_argument("--role", choices=ROLES, default="test",
                     help="test: a test set of its own (default); train: 95 %% train, 5 %% validation; mixed: as the "
                          "layout's own folders say, the rest like train")
    add.add_argument("--source", default="", help="where the pictures come from")
    add.add_argument("--licence", default="", help="what one may do with them")
    add.add_argument("--layout", default="auto",
                     help="how the folder is laid out: one of the domain's own layouts, or plain (default: auto)")
    add.add_argument("--domain", choices=domains.names(), default="photos", help="the kind of data (default: photos)")
    add.add_argument("--exclude", action="append", default=[], metavar="PATTERN",
                     help="files or folders to leave out, such as '*_small.jpg' or 'raw/*' (may be given again); "
                          "thumbnails and bins of network disks are left out anyhow")
    add.set_defaults(command=add_command)
    commands.add_parser("list", help="list the collections").set_defaults(command=list_command)
    check = commands.add_parser("check", help="decode every picture and name the ones that cannot be used")
    check.set_defaults(command=check_command)


def init_command(options: argparse.Namespace) -> int:
    """`restore-ml data init`: lay out what is embedded; `UserError` when data/ then differs from what data.dvc pins."""
    from restore_ml.data.embedded import lay_out

    root = layout.root()
    pinned = root / POINTER
    before = pinned.read_text(encoding="utf-8") if pinned.exists() else None
    for folder in lay_out(root):
        print(f"{folder.relative_to(root)}: {_count(folder)} files")
    if not _is_dvc(root):
        print(f"{root} is no DVC repository, so data/ is not pinned; `dvc init` and `dvc add data` would do it.")
        return 0
    _dvc_add(root)
    after = pinned.read_text(encoding="utf-8")
    if before is not None and _md5(before) != _md5(after):
        write_text(pinned, before)
        libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pillow", "scipy"))
        raise UserError(f"data/ ({_md5(after)}) is not what {POINTER} pins ({_md5(before)}). If collections were added "
                        "to this project, fetch them with `dvc pull`; if you changed data/ and mean it, run `dvc add "
                        f"data`; else the libraries give other pixels ({libraries}): install the versions of "
                        "constraints.txt.")
    print(f"data/ is what {POINTER} pins." if before else f"Pinned in {POINTER}: commit that file.")
    return 0


def add_command(options: argparse.Namespace) -> int:
    """`restore-ml data add NAME PATH`: copy the good pictures, say which were not, run `dvc add`."""
    root = layout.root()
    report = collections.add(root, options.name, options.path, options.role, options.source, options.licence,
                             options.layout, options.domain, _bar(), options.exclude)
    print(report)
    if _is_dvc(root):
        _dvc_add(root)
        print(f"Pinned in {POINTER}: commit it, `dvc push` the pictures, and `dvc repro` to use them.")
    return 0


def list_command(options: argparse.Namespace) -> int:
    """`restore-ml data list`: one line a collection."""
    root = layout.root()
    rows = [("name", "role", "domain", "files", "synthetic", "licence", "source")]
    for about in collections.list_collections(root):
        rows.append((about["name"], about["role"], about["domain"], str(_count(root / layout.DATA / about["name"])),
                     "yes" if about["synthetic"] else "no", about["licence"], about["source"]))
    if len(rows) == 1:
        print("There are no collections; `restore-ml data init` lays out the embedded ones.")
        return 0
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(value.ljust(width) for value, width in zip(row, widths, strict=False)), row[-1]]))
    return 0


def check_command(options: argparse.Namespace) -> int:
    """`restore-ml data check`: decode everything, and say what the last rebuild left out and why.

    `UserError` with the counts when a picture cannot be used.
    """
    from restore_ml.data import left_out

    reports = collections.check(layout.root(), _bar())
    for report in reports:
        print(report)
    unused = left_out.in_words(left_out.left_out(layout.root()))
    if unused:
        print(unused)
    bad = sum(len(report.refused) for report in reports)
    if bad:
        raise UserError(f"{bad} files cannot be used; `dvc repro` lists them in prepared/quarantine.parquet and goes "
                        "on without them.")
    return 0


def _count(folder: Path) -> int:
    return sum(1 for path in (folder / PICTURES).rglob("*") if not path.is_dir())


def _bar() -> Progress | None:
    """A progress bar on a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = tqdm(desc=what, total=total, leave=False)
        bar = bars[what]
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


def _is_dvc(root: Path) -> bool:
    return (root / ".dvc").is_dir()


def _md5(pointer: str) -> str:
    """The hash in a .dvc file."""
    found = re.search(r"md5: (\S+)", pointer)
    return found[1] if found else "no hash"


def _dvc_add(root: Path) -> None:
    """`dvc add data` as a process of its own."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(layout.DATA)], cwd=root, env=environment,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The pictures are in data/, but `dvc add data` failed: {last} Run `dvc add data` again.")
