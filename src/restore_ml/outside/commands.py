"""The bodies of `restore-ml inputs export` and `restore-ml outputs add`."""

from __future__ import annotations

import argparse
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.registry import tables

INPUTS = "write test inputs for other tools"
OUTPUTS = "take in what other tools made of them, as a run of the table"


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `inputs` and `outputs` to the parser; `command` of the parsed arguments is the function to call."""
    inputs = subparsers.add_parser("inputs", help=INPUTS, description=f"{INPUTS.capitalize()} (docs/other-tools.md).")
    export = inputs.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "export", help="write the inputs of a case to a folder",
        description="Write the inputs of a test case as files, with a manifest and a README that says what is wanted.",
        epilog="example:\n  restore-ml inputs export --task super_resolution --set photos --case x4 /tmp/x4",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_case(export)
    export.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    export.set_defaults(command=export_command)
    outputs = subparsers.add_parser("outputs", help=OUTPUTS,
                                    description=f"{OUTPUTS.capitalize()} (docs/other-tools.md).")
    add = outputs.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "add", help="take in the results of a case",
        description="Take in the results of a case, in place of those that the run had of it. The run is scored and "
                    "shown as any other; it has no model, so it is never champion, served or exported.",
        epilog="example:\n  restore-ml outputs add swinir --task super_resolution --set photos --case x4 /tmp/swinir",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add.add_argument("name", metavar="NAME", help="of the run, as the tables will show it")
    _add_case(add)
    add.add_argument("folder", type=Path, metavar="DIR", help="the folder with the tool's results")
    add.add_argument("--inputs", type=Path, metavar="DIR", help="the folder of exported inputs that the tool was given "
                     "(default: the one above the results, or the last export on this machine)")
    add.add_argument("--partial", action="store_true", help="take what can be used and leave the rest out; the run "
                     "then has no rank on this case")
    add.set_defaults(command=add_command)


def _add_case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", required=True, choices=tables())
    parser.add_argument("--set", required=True, metavar="SET", help="the test set")
    parser.add_argument("--case", required=True, metavar="CASE", help="the case of it, such as x4")


def export_command(options: argparse.Namespace) -> int:
    """`restore-ml inputs export`."""
    from restore_ml.outside.export import export

    print(export(layout.project(), options.task, *_case(options), options.folder))
    return 0


def add_command(options: argparse.Namespace) -> int:
    """`restore-ml outputs add`."""
    from restore_ml.outside.add import add

    print("\n".join(add(layout.project(), options.name, options.task, *_case(options), options.folder, options.inputs,
                        options.partial)))
    return 0


def _case(options: argparse.Namespace) -> tuple[str, str]:
    """Test set and degradation."""
    test_set, _, degradation = options.case.rpartition("/")
    if test_set not in ("", options.set):
        raise UserError(f"--case {options.case} names another test set than --set {options.set}; write --case "
                        f"{degradation}.")
    return options.set, degradation
