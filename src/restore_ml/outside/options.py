"""The options of both commands that name a test case."""

from __future__ import annotations

import argparse

from restore_ml.base.errors import UserError
from restore_ml.registry import tables


def add_case(parser: argparse.ArgumentParser) -> None:
    """The options that name a case."""
    parser.add_argument("--task", required=True, choices=tables())
    parser.add_argument("--set", required=True, metavar="SET", help="the test set")
    parser.add_argument("--case", required=True, metavar="CASE", help="the case of it, such as x4")


def case_of(options: argparse.Namespace) -> tuple[str, str]:
    """Test set and degradation."""
    test_set, _, degradation = options.case.rpartition("/")
    if test_set not in ("", options.set):
        raise UserError(f"--case {options.case} names another test set than --set {options.set}; write --case "
                        f"{degradation}.")
    return options.set, degradation
