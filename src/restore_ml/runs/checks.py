"""What a setting may be: each refuses what it must not be in a sentence that says where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError, short, shown
from restore_ml.registry import nearest
from restore_ml.runs.plain_yaml import LARGEST


def section(raw: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    """The mapping under `key`, empty where there is none."""
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{key} in {path} is {shown(value)}; it must be a mapping.")
    return dict(value)


def mapping(raw: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    """The mapping of mappings (or nothing) under `key`."""
    value = section(raw, key, path)
    for name, entry in value.items():
        if not isinstance(entry, dict | None):
            raise UserError(f"{short(name)} under {key} in {path} is {shown(entry)}; it must be a mapping.")
    return value


def known(entry: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Refuse a key that is none of `keys`, and name the nearest that is."""
    for key in entry:
        if key not in keys:
            raise UserError(f"{where} has the unknown key {shown(key)}.{right_one(key, keys)}")


def right_one(word: str, words: Iterable[str]) -> str:
    """The nearest of `words`, or all of them where none is near."""
    return nearest(word, words) or f" There are {', '.join(words) or 'none'}."


def one_of(value: Any, choices: tuple[str, ...], where: str) -> str:
    """`value`, which must be one of `choices`."""
    if value not in choices:
        raise UserError(f"{where} is {shown(value)}; it must be one of {', '.join(choices)}."
                        f"{nearest(str(value), choices)}")
    return str(value)


def whole(value: Any, where: str, least: int, most: int = LARGEST) -> int:
    """`value`, which must be a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        at_most = f" and at most {most}" if most < LARGEST else ""
        raise UserError(f"{where} is {shown(value)}; it must be a whole number of at least {least}{at_most}.")
    return value


def same_kind(default: Any, value: Any, where: str, least: int = 0) -> None:
    """A number for a number (a whole one for a whole one), a list or mapping for one, with entries of the same kind;
    None always, anything for None. What is above 0 by default may not be negative, whole numbers not below `least`."""
    if default is None or value is None:
        return
    kind = int | float if isinstance(default, float) else type(default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{where} is {shown(value)}; it must be of the same kind as {default!r}.")
    least = least if kind is int else 0
    if isinstance(default, int | float) and value < least and default >= max(least, 1e-300):
        raise UserError(f"{where} is {value}; it must be at least {least}.")
    if isinstance(value, list) and default:
        for inner in value:
            same_kind(default[0], inner, f"an entry of {where}", least)
    if isinstance(value, dict) and default:
        for inner in value.values():
            same_kind(next(iter(default.values())), inner, f"an entry of {where}", least)
