"""YAML files that people write, read without trust: only what JSON can hold, of bounded size and depth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError, conflict, short, shown

MOST_VALUES, DEEPEST = 100_000, 64
"""Values with every alias unfolded; mappings and lists in each other."""
LARGEST = 2**63 - 1
"""Of whole numbers."""


def read_mapping(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """The mapping that a YAML file holds: texts, whole and finite numbers, true, false, null, lists and mappings of
    them. `keys`: what is expected in it, for the sentence of the `UserError` that every other file is."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        text = path.read_text(encoding="utf-8-sig")
        if told := conflict(path, text):
            raise UserError(told)
        _unfolds(text, path)  # before anything is built: the parser's C code ends the process on deep nesting
        raw = YAML(typ="safe").load(text)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the command in the project's folder.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line} is not readable YAML: {error.problem or error.context}.") from None
    except Exception as error:  # dates and numbers that are none raise nearly anything
        raise UserError(f"{path} is not readable YAML: {short(' '.join(str(error).split()))}.") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold a mapping with the keys {', '.join(keys)}.")
    _plain(raw, path)
    return raw


def _unfolds(text: str, path: Path) -> None:
    """Refuse nesting beyond `DEEPEST`, and aliases that unfold to more than `MOST_VALUES` values or hold themselves."""
    from ruamel.yaml import YAML

    sizes: dict[str, int] = {}
    inside: list[tuple[str | None, int]] = []
    total = 0
    for event in YAML(typ="safe").parse(text):
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in sizes:
                raise UserError(f"{path}: the alias *{short(event.anchor)} stands within its own anchor or has none.")
            total += sizes[event.anchor]
        elif kind == "ScalarEvent":
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            inside.append((event.anchor, total))
            total += 1
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, before = inside.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > MOST_VALUES or len(inside) > DEEPEST:
            raise UserError(f"{path} holds more than {MOST_VALUES} values (each use of an alias counts), or more than "
                            f"{DEEPEST} mappings and lists in each other; it is no file of settings.")


def _plain(raw: dict[str, Any], path: Path) -> None:
    """Refuse what is no JSON: keys that are not texts, dates, sets, binary, infinite numbers and texts not in UTF-8."""
    left: list[tuple[str, Any]] = [("", raw)]
    while left:
        where, value = left.pop()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise UserError(f"The key {shown(key)} {f'of {where} ' if where else ''}in {path} is no text; put "
                                    "it in quotes.")
            left += [(f"{where}.{short(key)}".lstrip("."), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            left += [(where, inner) for inner in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where} in {path} is {value}; it must be a finite number.")
        elif isinstance(value, int) and abs(value) > LARGEST:
            raise UserError(f"{where} in {path} is {shown(value)}, more than 64 bits hold.")
        elif not isinstance(value, str | int | float | None):
            raise UserError(f"{where} in {path} is {shown(value)}, a {type(value).__name__}; write a text (in quotes),"
                            " a number, true or false, a list or a mapping.")
