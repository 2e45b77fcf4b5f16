"""Take the pictures of an inbox folder into a collection: checked, quarantined with reasons, handed to DVC.

    python -m flows.ingest --inbox ~/inbox --collection holiday [--role test] [--commit] [--watch 60]

Files that are still being written stay for the next round, duplicates are recognised by their pixels, and a file leaves
the inbox only after `dvc add`. With `--commit` the pointer data.dvc is committed to git, and nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import command

if TYPE_CHECKING:
    from prefect import Flow


def main(arguments: list[str] | None = None) -> int:
    """Ingest once, or every `--watch` seconds; returns the exit status."""
    parser = command.parser_of("ingest", (__doc__ or "").split("\n\n", maxsplit=1)[0],
                               "python -m flows.ingest --inbox ~/inbox --collection holiday --watch 60 --commit")
    add_options(parser, required=True)
    parser.add_argument("--watch", type=float, default=0.0, metavar="SECONDS", help="look again every so many seconds")
    return command.run(_flow, parser, arguments, lambda options: {**parameters(options), "wait": options.wait},
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
            "commit": options.commit, "source": options.source, "licence": options.licence}


def _flow() -> Flow[..., Any]:
    from flows import deployed

    return deployed.ingest


if __name__ == "__main__":
    sys.exit(main())
