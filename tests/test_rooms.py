"""The rooms of the library, lowest first: each may import, when it is loaded, from those before it and none behind it.

A function may import a higher room for its own time (`promote` writes a page, a model in MLflow restores): that costs
nobody anything who does not call it, and is left out here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import restore_ml

LIBRARY = Path(restore_ml.__file__).parent
ROOMS = ("seeds", "base", "kinds", "arrays", "registry", "method", "data", "degradations", "metrics", "tasks",
         "degrading", "losses", "training", "runs", "restoring", "nn", "methods", "imported", "evaluation", "outside",
         "promotion", "report", "own", "tracking", "serving", "commands", "cli")


def imports(tree: ast.Module) -> Iterator[str]:
    """The rooms that a module imports when it is loaded."""
    for statement in tree.body:
        names = []
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module == "restore_ml":
            names = [f"restore_ml.{alias.name}" for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            names = [statement.module or ""]
        yield from (name.split(".")[1] for name in names if name.startswith("restore_ml."))


def upwards(source: str, room: str) -> list[str]:
    """The rooms above its own that a module imports."""
    return [other for other in imports(ast.parse(source)) if ROOMS.index(other) > ROOMS.index(room)]


def test_imports_point_one_way() -> None:
    wrong = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        inside = path.relative_to(LIBRARY)
        if inside.name == "__init__.py" and len(inside.parts) == 1:
            continue
        if above := upwards(path.read_text(), inside.parts[0].removesuffix(".py")):
            wrong[str(inside)] = above
    assert not wrong


def test_an_import_from_above_is_seen() -> None:
    assert upwards("from restore_ml.serving import engine\nimport restore_ml.base.files", "data") == ["serving"]
    assert upwards("from restore_ml import registry, seeds", "base") == ["registry"]
    assert upwards("def late():\n    from restore_ml.serving import engine", "data") == []


def test_every_room_is_in_the_list() -> None:
    there = {path.name.removesuffix(".py") for path in LIBRARY.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__init__", "__pycache__"} == set(ROOMS)


def test_no_room_imports_prefect_or_dvc() -> None:
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                     else [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            assert not [name for name in names if name.split(".")[0] in ("prefect", "dvc")], path
