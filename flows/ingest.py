"""Take the pictures of an inbox folder into a collection: checked, quarantined with reasons, handed to DVC.

    python -m flows.ingest --inbox ~/inbox --collection holiday [--role test] [--commit] [--watch 60]

Files that are still being written stay for the next round, duplicates are recognised by their pixels, and a file leaves
the inbox only after `dvc add`. With `--commit` the pointer data.dvc is committed to git, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from flows import command
from pipelines.steps import Steps
from restore_ml import layout
from restore_ml.data import inbox as inboxes
from restore_ml.errors import UserError

POINTER = f"{layout.DATA}.dvc"


def main(arguments: list[str] | None = None) -> int:
    """Ingest once, or every `--watch` seconds; returns the exit status."""
    parser = command.parser_of("ingest", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.ingest --inbox ~/inbox --collection holiday --watch 60 --commit")
    add_options(parser, required=True)
    parser.add_argument("--watch", type=float, default=0.0, metavar="SECONDS", help="look again every so many seconds")
    return command.run("ingest", parser, arguments, lambda options: {**parameters(options), "wait": options.wait},
                       lambda options: max(0.0, options.watch))


def add_options(parser: Any, required: bool) -> None:
    """The options of the inbox, for every flow that ingests."""
    parser.add_argument("--inbox", required=required, metavar="FOLDER", help="where pictures are dropped")
    parser.add_argument("--collection", default="inbox", required=required, metavar="NAME",
                        help="the collection that they join; made where there is none")
    parser.add_argument("--role", default="train", choices=("train", "test"), help="of the collection (default: train)")
    parser.add_argument("--source", default="", help="of a new collection: where its pictures come from")
    parser.add_argument("--licence", default="", help="of a new collection: what one may do with them")
    parser.add_argument("--settle", type=float, default=2.0, metavar="SECONDS",
                        help="a file whose size stays the same so long is finished (default: 2)")
    parser.add_argument("--commit", action="store_true", help="commit what changed of the pointers to git")


def parameters(options: Any) -> dict[str, Any]:
    """The flow's parameters of these options."""
    inbox = Path(options.inbox).expanduser().resolve() if options.inbox else None
    return {"inbox": inbox, "collection": options.collection, "role": options.role, "settle": options.settle,
            "commit": options.commit, **({"source": options.source, "licence": options.licence}
                                         if hasattr(options, "watch") else {})}


def work(step: Steps, inbox: Path, collection: str, role: str, source: str, licence: str, settle: float,
         commit: bool) -> inboxes.Round:
    """The flow's work; returns what the round did."""
    root = layout.root().resolve()
    found = step("take_pictures", inboxes.take, root, inbox, collection, role, source, licence, settle)
    print(found)
    if found.taken:
        step("dvc_add", dvc_add, root, retries=2)
        step("clear_inbox", found.finish)
    if commit and pointer_changed(root):
        step("commit_pointer", commit_files, root, [POINTER], f"Add pictures to {collection}")
    step.table("ingest", f"```\n{found}\n```")
    return found


def dvc_add(root: Path) -> None:
    """Pin the pictures."""
    done = subprocess.run([sys.executable, "-m", "dvc", "add", "--quiet", str(layout.DATA)], cwd=root,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"`dvc add {layout.DATA}` failed: {' '.join(done.stderr.split())}")


def pointer_changed(root: Path) -> bool:
    """Whether git has not committed data.dvc as it is."""
    return bool(_git(root, "status", "--porcelain", "--", POINTER).strip())


def commit_files(root: Path, paths: list[str], message: str) -> None:
    """Commit these files alone; what else is staged stays staged. Nothing happens where they have not changed."""
    there = [path for path in paths if (root / path).exists()]
    _git(root, "add", "--", *there)
    if not _git(root, "status", "--porcelain", "--", *there).strip():
        return
    _git(root, "commit", "--quiet", "--only", "-m", message, "--", *there)
    print(f"Committed {', '.join(there[:3])}{' and others' if len(there) > 3 else ''}: {message}.")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`git {arguments[0]}` said: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
