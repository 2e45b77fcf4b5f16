"""The command `restore-ml inputs export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from restore_ml.base import layout
from restore_ml.outside.options import add_case, case_of

ABOUT = "write test inputs for other tools"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `inputs` to the parser; `command` of the parsed arguments is the function to call."""
    inputs = subparsers.add_parser("inputs", help=ABOUT, description=f"{ABOUT.capitalize()} (docs/other-tools.md).")
    export = inputs.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "export", help="write the inputs of a case to a folder",
        description="Write the inputs of a test case as files, with a manifest and a README that says what is wanted.",
        epilog="example:\n  restore-ml inputs export --task super_resolution --set photos --case x4 /tmp/x4",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_case(export)
    export.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    export.set_defaults(command=export_command)


def export_command(options: argparse.Namespace) -> int:
    """`restore-ml inputs export`."""
    from restore_ml.outside.export import export

    print(export(layout.project(), options.task, *case_of(options), options.folder))
    return 0
