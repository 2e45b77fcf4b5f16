"""What each stage and run depends on, written down exactly: the folder `code`, which DVC tracks.

For every run there is one file with its resolved settings, threads, precision, the versions of torch and numpy, and a
hash of the syntax tree of each module that its method and its stage import, transitively. Docstrings, comments and
layout do not count. So a new block in `nn` retrains only who uses it, a mended bug in a shared loss all who use it, and
a metric none. The imports are found by reading the sources; nothing is executed for it.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from restore_ml import layout
from restore_ml.data import domains
from restore_ml.files import read_json, sha256, sha256_of_file, write_json
from restore_ml.method import Method
from restore_ml.registry import method_class, method_module, tables
from restore_ml.settings import Params, Run
from restore_ml.training.precision import resolve

LIBRARIES = ("numpy", "torch")
"""Whose versions a training or restoring depends on."""
TRAIN, FEATURES = "restore_ml.training.train", "restore_ml.training.features"
GRADIENTS = ("restore_ml.training.loop", "restore_ml.training.sampler", FEATURES)
"""What `restore_ml.training.train` imports only for methods that gradients train."""
NETWORK_OF_FEATURES = "restore_ml.nn.features"

Edge = tuple[str, str]


def write_code(root: Path, params: Params) -> list[Path]:
    """Write the folder `code` of the project `root`; files of runs that are gone are removed.

    Returns the files, sorted. A file whose content stays the same is left alone.
    """
    out = root / layout.CODE
    content = code(root, params)
    for path in sorted(out.rglob("*")) if out.is_dir() else []:
        if path.is_file() and path.relative_to(out).as_posix() not in content:
            path.unlink()
    for name, value in content.items():
        path = out / name
        if not path.exists() or _differs(path, value):
            write_json(path, value)
    return [out / name for name in sorted(content)]


def stale(root: Path, params: Params) -> bool:
    """Whether the folder `code` no longer says what holds (another torch, another processor, an edited package)."""
    folder = root / layout.CODE
    content = code(root, params)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    return found != set(content) or any(_differs(folder / name, value) for name, value in content.items())


def _differs(path: Path, value: Any) -> bool:
    from restore_ml.errors import UserError

    try:
        return read_json(path) != value
    except UserError:
        return True


def code(root: Path, params: Params, sources: Sources | None = None) -> dict[str, Any]:
    """The content of the folder `code`: file names (`train/vdsr.json`) -> JSON values."""
    sources = sources or Sources([Path(__file__).parents[1], root])
    versions = {name: version(name).partition("+")[0] for name in LIBRARIES}
    common = {"threads": params.threads, "precision": resolve(params.precision), "versions": versions}
    tasks = sorted({*params.tasks, *(run.task for run in params.runs.values())})
    content: dict[str, Any] = {
        "prepare.json": {"seed": params.seed,
                         "modules": sources.hashes(["pipelines.prepare", "restore_ml.data.prepare",
                                                    *(f"{domains.__name__}.{name}" for name in domains.names())])},
        "validate.json": {"tasks": tasks, "modules": sources.hashes(
            ["pipelines.validate", "restore_ml.degrading.contracts",
             *(f"restore_ml.tasks.{task}.task" for task in tasks)])},
    }
    for task in tasks:
        content |= _of_task(sources, params, task)
    for run in params.runs.values():
        content |= _of_run(sources, params, run, common)
    return content


def _of_task(sources: Sources, params: Params, task: str) -> dict[str, Any]:
    definition, settings = f"restore_ml.tasks.{task}.task", params.tasks.get(task, {})
    content: dict[str, Any] = {f"degrade/{task}.json": {
        "task": task, "settings": settings, "seed": params.seed,
        "modules": sources.hashes(["pipelines.degrade", "restore_ml.degrading.cases", "restore_ml.degrading.training",
                                   "restore_ml.degrading.left_out",
                                   *(f"restore_ml.tasks.{task}.{part}"
                                     for part in ("task", "training", "cases", "optional"))])}}
    if task not in tables():
        return content
    protocol = f"restore_ml.tasks.{task}.evaluation"
    content[f"score/{task}.json"] = {
        "task": task, "settings": settings, "weights": _weights(params),
        "modules": sources.hashes(["pipelines.score", "restore_ml.evaluation.scoring", protocol, definition])}
    own = {f"restore_ml.methods.{task}.{run.method}" for run in params.runs_of(task)}
    known = {method_module(run.task, run.method) for run in params.runs_of(task)}
    content[f"champion/{task}.json"] = {
        "task": task, "weights": _weights(params), "modules": sources.hashes(
            ["pipelines.champion", "restore_ml.tracking.standing", "restore_ml.restoration", protocol, definition,
             *sorted(own & known)])}
    content[f"compare/{task}.json"] = {
        "task": task, "modules": sources.hashes(["pipelines.compare", "restore_ml.evaluation.comparison", protocol])}
    content[f"{task}.runs.json"] = [
        {"run": run.name, "method": run.method, "needs": run.needs, "seed": run.seed,
         "kind": kind(run),
         "reading": method_class(run.task, run.method).reading} for run in params.runs_of(task)]
    return content


def _of_run(sources: Sources, params: Params, run: Run, common: dict[str, Any]) -> dict[str, Any]:
    method, module = method_class(run.task, run.method), method_module(run.task, run.method)
    facts = {"run": run.name, "task": run.task, "method": run.method, "needs": run.needs, "seed": run.seed,
             "settings": run.settings, "weights": _weights(params) if run.needs != "none" else {}, **common}
    package = "" if module.startswith("restore_ml.") else module.partition(".")[0]
    skipped = _unused(method, run)
    entries = [module, f"restore_ml.tasks.{run.task}.task", *([f"restore_ml.tasks.{run.task}.optional"] if method.inputs
                                                              else [])]
    content = {f"train/{run.name}.json": facts | {
        "processes": params.processes_of(run) if method.stored_networks else 1,
        "modules": sources.hashes(["pipelines.train", TRAIN, f"restore_ml.tasks.{run.task}.training", *entries],
                                  package, skipped)}}
    if run.task in tables():
        content[f"restore/{run.name}.json"] = facts | {
            "modules": sources.hashes(["pipelines.restore", "restore_ml.restoration", *entries], package, skipped)}
    return content


def _unused(method: type[Method], run: Run) -> frozenset[Edge]:
    """Imports that this run never reaches: the loop where nothing is trained, the features where none are used."""
    edges: set[Edge] = set()
    if not method.stored_networks:
        edges |= {(TRAIN, module) for module in GRADIENTS}
    if run.needs == "none":
        edges.add((FEATURES, NETWORK_OF_FEATURES))
    return frozenset(edges)


def kind(run: Run) -> str:
    """`network`, `per picture` (optimised on the picture itself), `fitted` or `no training`."""
    method = method_class(run.task, run.method)
    if method.stored_networks:
        return "network"
    if method.per_picture:
        return "per picture"
    return "fitted" if method.prepare is not Method.prepare else "no training"


def _weights(params: Params) -> dict[str, str]:
    """The files that a user supplies: by path, with their contents' hash, so that a changed file retrains."""
    given = dict(params.weights)
    return given | {f"{name}.sha256": sha256_of_file(Path(path)) for name, path in given.items()
                    if Path(path).is_file()}


# --- syntax trees -----------------------------------------------------------------------------------------------------


class Sources:
    """The modules of restore_ml, of the pipeline's stages and of packages that ship methods, read and never run."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders`: where `restore_ml` and `pipelines` lie; other packages are looked for on sys.path."""
        self.folders = list(folders)
        self._modules: dict[str, tuple[str, tuple[str, ...]] | None] = {}
        self._closures: dict[tuple[tuple[str, ...], str, frozenset[Edge]], dict[str, str]] = {}

    def hashes(self, entries: Iterable[str], package: str = "",
               skipped: frozenset[Edge] = frozenset()) -> dict[str, str]:
        """Dotted names -> hashes of the entries and of all that they import, in restore_ml and in `package`.

        `skipped` names (importer, imported) pairs that are not followed. Of `pipelines` only the entries count.
        """
        names = tuple(sorted(entries))
        key = (names, package, skipped)
        if key not in self._closures:
            found: dict[str, str] = {}
            waiting = list(names)
            while waiting:
                name = waiting.pop()
                module = self._module(name) if name not in found else None
                if module is None:
                    continue
                found[name] = module[0]
                waiting += [other for other in module[1] if (name, other) not in skipped
                            and other.partition(".")[0] in ("restore_ml", package)]
                waiting += list(_parents(name))
            self._closures[key] = dict(sorted(found.items()))
        return dict(self._closures[key])

    def imports(self, name: str) -> tuple[str, ...]:
        """The names that a module's import statements may mean, its own and other packages'; none for no module."""
        module = self._module(name)
        return () if module is None else module[1]

    def _module(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """The hash of a module's syntax tree and the modules that it may import; None where there is none."""
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
        for place in (spec.submodule_search_locations or []) if spec else []:
            inner = Path(place).joinpath(*name.split(".")[1:])
            for path in (inner.with_suffix(".py"), inner / "__init__.py"):
                if path.is_file():
                    return path
        return None


def _parents(name: str) -> Iterator[str]:
    """The packages whose `__init__` runs when the module is imported."""
    parts = name.split(".")[:-1]
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1) if parts[0] != "pipelines")


@lru_cache(maxsize=4096)
def _read(path: str, mtime: int, size: int, name: str, is_package: bool) -> tuple[str, tuple[str, ...]]:
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    imported = tuple(dict.fromkeys(_imports(tree, name, is_package)))
    return sha256(repr(_plain(tree)).encode()), imported


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
