"""The gallery: static pages (no server, nothing fetched from elsewhere) with leaderboards, every run's pictures,
learning curves, promotions, and a blind test.

Pages are opened as files, where browsers forbid scripts to fetch: what the scripts need stands in the page as JSON.
Pictures are named by their content, so building again writes only what is new; what no page shows any more is deleted.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from restore_ml.base import addresses, layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.registry import group, tables
from restore_ml.report.blind import blind
from restore_ml.report.pairs import first_pair, pairs, refs
from restore_ml.report.pictures import fill_png, fill_thumbnail
from restore_ml.report.view import FIRST, TaskView

THUMBNAIL = 320
"""Pictures with a longer side get a thumbnail of that many pixels; smaller ones are shown as they are."""
TEMPLATES = ("base.html.j2", "index.html.j2", "task.html.j2", "sections.html.j2", "turing.html.j2", "compare.html.j2",
             "hints.html.j2")
ASSETS = ("style.css", "task.css", "turing.css", "board.js", "film.js", "browser.js", "viewer.js", "plan.js",
          "turing.js", "compare.css", "pixels.js", "panes.js", "compare.js", "hints.css", "hints.js")
"""Copied beside the pages as they are."""


def build(root: Path, out: Path, pictures: int = 12) -> str:
    """Write the gallery of the project at `root` into `out`; at most `pictures` of each case. Returns a sentence.

    `UserError` when no task has a comparison yet.
    """
    there = [task for task in tables() if (root / layout.comparison(task) / "table.csv").exists()]
    if not there:
        raise UserError(f"There is nothing to show in {root / layout.COMPARISON} yet; `make repro` builds it.")
    files = Files(out)
    templates = environment()
    shown, tests = [], []
    for task in there:
        view = TaskView(root, task, files, pictures)
        shown.append(_write_page(out, view, there))
        tests.append(blind(root, view, files))
    tests = [test for test in tests if test is not None]
    files.settle()
    write_text(out / "index.html", templates.get_template("index.html.j2").render(
        groups=grouped(shown), tasks=grouped(there), mlflow=f"{addresses.UI}/mlflow/"))
    write_text(out / "turing.html", templates.get_template("turing.html.j2").render(tests=tests, tasks=grouped(there)))
    write_text(out / "hints.html", hints_page(tasks=grouped(there)))
    _write_assets(out)
    files.sweep()
    kept = (*there, *map(two, there), "index", "turing", "hints")
    for stale in set(out.glob("*.html")) - {out / f"{name}.html" for name in kept}:
        stale.unlink()
    return f"{out / 'index.html'}: {len(there)} tasks, {files.count()} pictures, {files.written} of them new."


def build_page(root: Path, out: Path, task: str, pictures: int = 12) -> Path:
    """Write the page of one task whose comparison is there, and leave every other page as it is; returns the page.

    It links to the pages that are there; `build` writes the index and deletes what is shown no longer. The pictures of
    the task's blind test are written as well: then `build` has none left to write.
    """
    files = Files(out)
    view = TaskView(root, task, files, pictures)
    there = [name for name in tables() if name == task or (out / f"{name}.html").exists()]
    _write_page(out, view, there)
    blind(root, view, files)
    files.settle()
    _write_assets(out)
    return out / f"{task}.html"


def _write_page(out: Path, view: TaskView, tasks: list[str]) -> dict[str, Any]:
    """Write a task's page and the one that compares two of its rows, which link to those of `tasks`; returns what is
    shown."""
    facts = view.gather()
    compared = pairs(facts["browser"])
    for ref in sorted(refs(compared)):
        view.files.embed(ref)
    address, pair = f"{two(view.task)}.html", first_pair(compared)
    write_text(out / f"{view.task}.html", environment().get_template("task.html.j2").render(
        task=facts, tasks=grouped(tasks), first=FIRST, mlflow=f"{addresses.UI}/mlflow/{view.task}",
        two=f"{address}#{pair}" if pair else ""))
    write_text(out / address, environment().get_template("compare.html.j2").render(
        task=facts, tasks=grouped(tasks), pairs=compared))
    return facts


def two(task: str) -> str:
    """The name of the page that compares two rows of a task."""
    return f"compare_{task}"


Shown = TypeVar("Shown", str, dict[str, Any])


def grouped(shown: Sequence[Shown]) -> list[tuple[str, list[Shown]]]:
    """Tasks, or what is shown of them, by the groups that the tasks name, in the order in which these come first.

    A task names its group by the word `GROUP` in its `__init__.py`; else it is the kind of data that it draws from.
    """
    groups: dict[str, list[Shown]] = {}
    for entry in shown:
        groups.setdefault(group(entry if isinstance(entry, str) else entry["name"]), []).append(entry)
    return list(groups.items())


def hints_page(tasks: Sequence[Any] = (), served: str = "", run: str = "") -> str:
    """The page on which a person places hints on a grey picture. `served`: the task of the server that gives it out,
    which also colours there, with the model `run`; without one hints are only placed and saved."""
    text: str = environment().get_template("hints.html.j2").render(tasks=tasks, served=served, run=run,
                                                                    server=f"{addresses.SERVE}/hints.html")
    return text


def _write_assets(out: Path) -> None:
    for name in ASSETS:
        write_text(out / "assets" / name, asset(name))


class Files:
    """The picture files below `out`/pictures, named by their content.

    They are flushed to disk together (`settle`) before any gets its name: a thousand single flushes take minutes on a
    busy disk.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "pictures"
        self.used: set[Path] = set()
        self.parts: dict[Path, Path] = {}
        self.written = 0

    def add(self, picture: np.ndarray) -> dict[str, Any]:
        """Make sure that the picture is there once all is settled; its links (`full`, `small`) from a page, its `width`
        and `height`, how many `frames` it has, and `ref`, from which scripts make the links: the name, with a `+` where
        there is a thumbnail.

        `picture`: H x W x 3, or T x H x W x 3 of a clip, whose frames lie one below the other in one file.
        """
        digest = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
        frames = picture if picture.ndim == 4 else picture[None]
        full = small = self.folder / digest[:2] / f"{digest[:20]}.png"
        if max(frames.shape[1:3]) > THUMBNAIL:
            small = full.with_suffix(".jpg")
        if full not in self.used and not full.exists():
            fill_png(self._part(full), np.concatenate(list(frames)))
            self.written += 1
        if small not in self.used and not small.exists() and small != full:
            fill_thumbnail(self._part(small), frames, THUMBNAIL)
        self.used |= {full, small}
        count, height, width = frames.shape[:3]
        return {"full": full.relative_to(self.out).as_posix(), "small": small.relative_to(self.out).as_posix(),
                "width": width, "height": height, "frames": count, "ref": full.stem + "+" * (small != full)}

    def embed(self, ref: str) -> None:
        """Make sure that the pixels of a picture that was added lie beside it as a script too: a page that is opened as
        a file can show a picture, but only read what a script hands over."""
        name = ref.rstrip("+")
        full = self.folder / name[:2] / f"{name}.png"
        script = full.with_suffix(".js")
        if script not in self.used and not script.exists():
            text = base64.b64encode(self.parts.get(full, full).read_bytes()).decode("ascii")
            self._part(script).write_text(f'Pixels.take("{name}","{text}");\n', encoding="ascii")
        self.used.add(script)

    def count(self) -> int:
        """How many files the pages show."""
        return sum(path.suffix != ".js" for path in self.used)

    def _part(self, path: Path) -> Path:
        """Where to write what `settle` gives that name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        self.parts[path] = part
        return part

    def settle(self) -> None:
        """Flush what was written, then give it its names: a file under its name is whole, whenever the power fails."""
        if self.parts:
            os.sync()
        for path, part in self.parts.items():
            os.replace(part, path)
        self.parts.clear()

    def sweep(self) -> None:
        """Delete the pictures that no page shows any more."""
        for path in self.folder.glob("*/*"):
            if path not in self.used:
                path.unlink()


def asset(name: str) -> str:
    """A style sheet, script or template of this package."""
    return resources.files("restore_ml.report").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def environment() -> Any:
    """The templates of this package, with every value escaped; compiled once."""
    import jinja2
    import markupsafe

    made = jinja2.Environment(loader=jinja2.DictLoader({name: asset(name) for name in TEMPLATES}), autoescape=True,
                              trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters["breakable"] = lambda name: markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))
    made.filters["link"] = link
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "ensure_ascii": False, "separators": (",", ":"),
                                          "allow_nan": False}
    return made


def link(ref: str, small: bool = False) -> str:
    """The file of a picture's `ref`, seen from a page."""
    name = ref.rstrip("+")
    return f"pictures/{name[:2]}/{name}.{'jpg' if small and ref.endswith('+') else 'png'}"
