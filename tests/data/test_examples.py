"""The examples in the docstrings of the data side."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ("copying", "folders", "left_out", "splits", "unread", "likeness", "pictures", "chunks")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"restore_ml.data.{name}"))
    assert result.attempted > 0 and result.failed == 0
