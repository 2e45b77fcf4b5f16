"""The sources that something uses, found by reading them: hashes of syntax trees; nothing is executed for it.

Docstrings, comments and layout do not count. Most modules count as a whole, with all that they import. Two kinds do
not:

- `NEUTRAL` modules cannot change a number (errors, paths, files, clocks, finding things by name): they count for
  nobody.
- `PROTOCOL` modules are what every method goes through: the protocol itself, the loop, the harness, the stages. Of
  these each definition (a function, a method or an attribute of a class) counts where its name occurs in what counts
  already: too much rather than too little. So a hook that is added for restoring, scoring or showing retrains nothing.
  The default of a hook counts for whoever does not override it.

Of the package itself what stands there for people alone (`__getattr__`, which finds `restore_ml.compare` when somebody
asks for it, and what type checkers need) counts for nobody: no module of the library goes that way.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from restore_ml.base.files import sha256

NEUTRAL = frozenset({"restore_ml.base", "restore_ml.base.addresses", "restore_ml.base.costs", "restore_ml.base.errors",
                     "restore_ml.base.files", "restore_ml.base.layout", "restore_ml.base.programs",
                     "restore_ml.registry"})
"""What may be changed without changing any result: look twice before adding one."""
ROOT = "restore_ml"
METHOD = "restore_ml.method"
PROTOCOL = frozenset({METHOD, "restore_ml.restoring.harness", "restore_ml.restoring.loading",
                      "restore_ml.restoring.stage", "restore_ml.tasks.base", "restore_ml.training.divergence",
                      "restore_ml.training.loop", "restore_ml.training.state", "restore_ml.training.train"})

Edge = tuple[str, str]
"""(importer, imported)"""


@dataclass(frozen=True)
class Definition:
    """A piece of a protocol module: what it is called, whose member it is, its hash, what it names and imports."""

    name: str
    owner: str
    digest: str
    names: frozenset[str]
    imports: tuple[str, ...]
    always: bool
    """Whether it counts with its owner (special methods, and statements that bind no name)."""


@dataclass(frozen=True)
class Module:
    """A module read: the hash of its tree, what it imports and names, which names it asks of `super()`."""

    digest: str
    imports: tuple[str, ...]
    names: frozenset[str]
    supers: frozenset[str]
    definitions: tuple[Definition, ...]


class Sources:
    """The modules of restore_ml, of the pipeline's stages and of packages that ship methods, read and never run."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders`: where `restore_ml` and `pipelines` lie; other packages are looked for on sys.path."""
        self.folders = list(folders)
        self._modules: dict[str, Module | None] = {}
        self._closures: dict[tuple[Any, ...], dict[str, str]] = {}

    def exists(self, name: str) -> bool:
        """Whether there is such a module."""
        return self._path(name) is not None

    def hashes(self, entries: Iterable[str], package: str = "", skipped: frozenset[Edge] = frozenset(),
               overridden: frozenset[str] = frozenset()) -> dict[str, str]:
        """Dotted names -> hashes of the entries and of all that they use, in restore_ml and in `package`.

        `skipped` names (importer, imported) pairs that are not followed; `overridden` the names of `Method` whose
        defaults the method replaces. Of `pipelines` only the entries count.
        """
        names = tuple(sorted(entries))
        key = (names, package, skipped, overridden)
        if key not in self._closures:
            self._closures[key] = _Closure(self, package, skipped, overridden).of(names)
        return dict(self._closures[key])

    def module(self, name: str) -> Module | None:
        """A module, read once; None where there is none."""
        if name not in self._modules:
            path = self._path(name)
            self._modules[name] = None if path is None else _read(
                str(path), path.stat().st_mtime_ns, path.stat().st_size, name, path.name == "__init__.py")
        return self._modules[name]

    def _path(self, name: str) -> Path | None:
        relative = Path(*name.split("."))
        for folder in [*self.folders, *(Path(entry) for entry in sys.path if entry)]:
            for path in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
                if path.is_file():
                    return path
        spec = importlib.util.find_spec(name.partition(".")[0])  # an editable package has a finder of its own
        for location in (spec.submodule_search_locations or []) if spec else []:
            inner = Path(location).joinpath(*name.split(".")[1:])
            for path in (inner.with_suffix(".py"), inner / "__init__.py"):
                if path.is_file():
                    return path
        return None


class _Closure:
    """All that some entries use: whole modules, and of protocol modules the definitions whose names occur."""

    def __init__(self, sources: Sources, package: str, skipped: frozenset[Edge], overridden: frozenset[str]) -> None:
        self.sources, self.roots, self.skipped, self.overridden = sources, ("restore_ml", package), skipped, overridden
        self.whole: dict[str, str] = {}
        self.protocol: dict[str, set[Definition]] = {}
        self.names: set[str] = set()
        self.supers: set[str] = set()
        self.waiting: list[str] = []

    def of(self, entries: Iterable[str]) -> dict[str, str]:
        """Hashes by dotted name."""
        self.waiting = list(entries)
        while self.waiting or self._define():
            while self.waiting:
                self._follow(self.waiting.pop())
        parts = {name: sha256(repr(sorted((found.owner, found.name, found.digest) for found in kept)).encode())
                 for name, kept in self.protocol.items() if kept}
        return dict(sorted((self.whole | parts).items()))

    def _follow(self, name: str) -> None:
        if name in self.whole or name in self.protocol or name in NEUTRAL:
            return
        module = self.sources.module(name)
        if module is None:
            return
        self.waiting += _parents(name)
        if name in PROTOCOL:
            self.protocol[name] = set()
            return
        self.whole[name] = module.digest
        self.names |= module.names
        self.supers |= module.supers
        self._imported(name, module.imports)

    def _imported(self, name: str, imports: Iterable[str]) -> None:
        self.waiting += [other for other in imports if other and (name, other) not in self.skipped
                         and other.partition(".")[0] in self.roots]

    def _define(self) -> bool:
        """Take in the definitions whose names occur by now; whether there were any."""
        more = False
        for name, kept in self.protocol.items():
            module = self.sources.module(name)
            for definition in module.definitions if module else ():
                if definition in kept or not self._counts(name, definition, kept):
                    continue
                kept.add(definition)
                self.names |= definition.names
                self._imported(name, definition.imports)
                more = True
        return more

    def _counts(self, module: str, definition: Definition, kept: set[Definition]) -> bool:
        if definition.owner and not any(other.name == definition.owner and not other.owner for other in kept):
            return False
        if module == METHOD and definition.owner == "Method" and definition.name in self.overridden - self.supers:
            return False
        return definition.always or definition.name in self.names


def _parents(name: str) -> Iterator[str]:
    """The packages whose `__init__` runs when the module is imported."""
    parts = name.split(".")[:-1]
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1) if parts[0] != "pipelines")


@lru_cache(maxsize=4096)
def _read(path: str, mtime: int, size: int, name: str, is_package: bool) -> Module:
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    if name == ROOT:
        tree.body = [node for node in tree.body if not _for_people(node)]
    imported = tuple(dict.fromkeys(_imports(tree, name, is_package)))
    definitions = tuple(_definitions(tree, name, is_package)) if name in PROTOCOL else ()
    return Module(sha256(repr(_plain(tree)).encode()), imported, _names(tree), _supers(tree), definitions)


def _for_people(node: ast.stmt) -> bool:
    """Whether a statement of the package's own module only serves people who import it, and type checkers."""
    if isinstance(node, ast.ImportFrom):
        return node.module in ("__future__", "typing")
    return (isinstance(node, ast.FunctionDef) and node.name == "__getattr__") or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))


def _definitions(tree: ast.Module, name: str, is_package: bool) -> Iterator[Definition]:
    """The pieces of a protocol module. Imports are pieces too: they count where what they bind is used."""
    for node in tree.body:
        if _is_text(node) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            continue
        if isinstance(node, ast.ClassDef):
            header = ast.Module([*node.decorator_list, *node.bases, *node.keywords], [])  # type: ignore[list-item]
            yield _definition(node.name, "", header, name, is_package)
            for member in node.body:
                for bound in _bound(member):
                    yield _definition(bound, node.name, member, name, is_package)
        else:
            for bound in _bound(node):
                yield _definition(bound, "", node, name, is_package)


def _definition(bound: str, owner: str, node: ast.AST, module: str, is_package: bool) -> Definition:
    imports = tuple(dict.fromkeys(_imports(node, module, is_package)))
    return Definition(bound, owner, sha256(repr(_plain(node)).encode()), _names(node), imports,
                      bound == "" or (bound.startswith("__") and bound.endswith("__")))


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds; [""] for one that only does something, which always counts."""
    if _is_text(node):
        return []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return []
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]
    return names or [""]


def _names(tree: ast.AST) -> frozenset[str]:
    """All names that occur in a tree: variables, attributes, keywords, what is imported, what `getattr` asks for."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names |= {*node.name.split("."), node.asname or ""}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            names |= {inner.value for inner in node.args if isinstance(inner, ast.Constant)
                      and isinstance(inner.value, str)}
    return frozenset(names)


def _supers(tree: ast.AST) -> frozenset[str]:
    """The names that are asked of `super()`: there a default that is overridden runs all the same."""
    return frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(
        node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "super")


def _plain(node: Any) -> Any:
    """A tree as nested tuples, without positions, docstrings and empty fields (which Python's versions differ in).

    Bare strings after assignments document attributes; they go with the docstrings.
    """
    if isinstance(node, list):
        return [_plain(entry) for entry in node if not _is_text(entry)]
    if not isinstance(node, ast.AST):
        return (type(node).__name__, node)
    fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if value is not None and value != [])
    return (type(node).__name__, *fields)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(node: ast.AST, name: str, is_package: bool) -> Iterator[str]:
    """Names that the import statements below `node` may mean, except those for type checkers alone."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for other in node.orelse:
            yield from _imports(other, name, is_package)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, name, is_package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, name, is_package)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    base = parts[:len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])
