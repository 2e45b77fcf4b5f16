"""`restore-ml best-on`: its options, and what they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import MISTAKE, UserError


def add_options(parser: argparse.ArgumentParser, tasks: tuple[str, ...]) -> None:
    """The options of the command."""
    parser.add_argument("folder", type=Path, help="a folder of pictures (or of what else the task is made from); they "
                        "are read in place")
    parser.add_argument("--task", required=True, choices=tasks)
    parser.add_argument("--as", dest="name", default="", metavar="NAME", help="what the tables call the pictures "
                        "(default: after the folder)")
    parser.add_argument("--runs", default="", metavar='"RUN RUN"', help="only these runs (default: all that have a "
                        "model of today's code and training pictures)")
    parser.add_argument("--cases", default="", metavar='"CASE CASE"', help="only these degradations, such as x4 "
                        "(default: all that the task tests)")
    parser.add_argument("--pictures", type=int, metavar="N", help="at most N of them, drawn by their names "
                        "(default: all)")
    parser.add_argument("--crop", type=int, metavar="N", help="only the middle N x N pixels of each "
                        "(default: whole)")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="files or folders to leave "
                        "out; repeatable")
    parser.add_argument("--workers", type=int, metavar="N", help="runs at work at once (default: one a "
                        "core)")
    parser.add_argument("--yes", action="store_true", help="do not ask where it takes long or much room")


def best_on(options: argparse.Namespace) -> int:
    """Say which run is best on a person's pictures; the exit status is 2 where she said no."""
    root = layout.project()
    for option in ("--pictures", "--crop", "--workers"):
        value = getattr(options, option.removeprefix("--"))
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; give a whole number of at least 1.")
    from restore_ml.own.best import Wish
    from restore_ml.own.best import best_on as work
    from restore_ml.own.plan import cores

    wish = Wish(options.task, options.folder, options.name, _words(options.runs), _words(options.cases),
                options.pictures or 0, options.crop or 0, tuple(options.exclude), options.workers or cores(),
                options.yes)
    return MISTAKE if work(root, wish) is None else 0


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.replace(",", " ").split()))
