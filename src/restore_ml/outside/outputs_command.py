"""The command `restore-ml outputs add`."""

from __future__ import annotations

import argparse
from pathlib import Path

from restore_ml.base import layout
from restore_ml.outside.options import add_case, case_of

ABOUT = "take in what other tools made of them, as a run of the table"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `outputs` to the parser; `command` of the parsed arguments is the function to call."""
    outputs = subparsers.add_parser("outputs", help=ABOUT,
                                    description=f"{ABOUT.capitalize()} (docs/other-tools.md).")
    add = outputs.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "add", help="take in the results of a case",
        description="Take in the results of a case, in place of those that the run had of it. The run is scored and "
                    "shown as any other; it has no model, so it is never champion, served or exported.",
        epilog="example:\n  restore-ml outputs add swinir --task super_resolution --set photos --case x4 /tmp/swinir",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add.add_argument("name", metavar="NAME", help="of the run, as the tables will show it")
    add_case(add)
    add.add_argument("folder", type=Path, metavar="DIR", help="the folder with the tool's results")
    add.add_argument("--inputs", type=Path, metavar="DIR", help="the folder of exported inputs that the tool was given "
                     "(default: the one above the results, else the inputs as they were exported on this machine, if "
                     "they never changed)")
    add.add_argument("--partial", action="store_true", help="take what can be used and leave the rest out; the run "
                     "then has no rank on this case")
    add.set_defaults(command=add_command)


def add_command(options: argparse.Namespace) -> int:
    """`restore-ml outputs add`."""
    from restore_ml.outside.add import add

    print("\n".join(add(layout.project(), options.name, options.task, *case_of(options), options.folder, options.inputs,
                        options.partial)))
    return 0
