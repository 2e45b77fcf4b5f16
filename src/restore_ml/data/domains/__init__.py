"""The kinds of data, one file each; found, not listed.

A file defines a class derived from `restore_ml.data.domain.Domain` and its one object, `DOMAIN`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import TYPE_CHECKING

from restore_ml.base.errors import UserError, shown

if TYPE_CHECKING:
    from restore_ml.data.domain import Domain


def names() -> tuple[str, ...]:
    """All domains, sorted; no file is imported for it."""
    return _names(tuple(__path__))


@lru_cache
def _names(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders)))


def get(name: str) -> Domain:
    """The domain of that name; `UserError` where there is none."""
    if name not in names():
        raise UserError(f"domain is {shown(name)}; it must be one of {', '.join(names())}.")
    domain: Domain = importlib.import_module(f"{__name__}.{name}").DOMAIN
    return domain
