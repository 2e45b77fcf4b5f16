"""The gallery: static pages (no server, nothing fetched from elsewhere) with every run's pictures side by side.

Pictures are named by their content, so building again writes only what is new; what no page shows any more is deleted.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import layout
from restore_ml.errors import UserError
from restore_ml.files import write_text
from restore_ml.registry import TASKS
from restore_ml.report.pictures import save_png, save_thumbnail
from restore_ml.report.view import TaskView

THUMBNAIL = 320
"""Pictures with a longer side get a thumbnail of that many pixels; smaller ones are shown as they are."""
TEMPLATES = ("base.html.j2", "index.html.j2", "task.html.j2", "style.css.j2", "script.js.j2")


def build(root: Path, out: Path, pictures: int = 6) -> str:
    """Write the gallery of the project at `root` into `out`; at most `pictures` of each case. Returns a sentence.

    `UserError` when no task has a comparison yet.
    """
    there = [task for task in TASKS if (root / layout.COMPARISON / task / "table.csv").exists()]
    if not there:
        raise UserError(f"There is nothing to show in {root / layout.COMPARISON} yet; `make repro` builds it.")
    files = Files(out)
    templates = environment()
    shown = []
    for task in there:
        view = TaskView(root, task, files, pictures).gather()
        write_text(out / f"{task}.html", templates.get_template("task.html.j2").render(task=view, tasks=there))
        shown.append(view)
    write_text(out / "index.html", templates.get_template("index.html.j2").render(shown=shown, tasks=there))
    files.sweep()
    for stale in set(out.glob("*.html")) - {out / f"{name}.html" for name in (*there, "index")}:
        stale.unlink()
    return f"{out / 'index.html'}: {len(there)} tasks, {len(files.used)} pictures, {files.written} of them new."


class Files:
    """The picture files below `out`/pictures, named by their content."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "pictures"
        self.used: set[Path] = set()
        self.written = 0

    def add(self, picture: np.ndarray) -> dict[str, Any]:
        """Make sure that the picture is there; its links (`full`, `small`) from a page, `width` and `height`."""
        digest = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
        full = small = self.folder / digest[:2] / f"{digest[:20]}.png"
        if not full.exists():
            save_png(full, picture)
            self.written += 1
        if max(picture.shape[:2]) > THUMBNAIL:
            small = full.with_suffix(".jpg")
            if not small.exists():
                save_thumbnail(small, picture, THUMBNAIL)
        self.used |= {full, small}
        height, width = picture.shape[:2]
        return {"full": full.relative_to(self.out).as_posix(), "small": small.relative_to(self.out).as_posix(),
                "width": width, "height": height}

    def sweep(self) -> None:
        """Delete the pictures that no page shows any more."""
        for path in self.folder.glob("*/*"):
            if path not in self.used:
                path.unlink()


def environment() -> Any:
    """The templates of this package, with every value escaped."""
    import jinja2
    import markupsafe

    folder = resources.files("restore_ml.report")
    sources = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in TEMPLATES}
    made = jinja2.Environment(loader=jinja2.DictLoader(sources), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                              undefined=jinja2.StrictUndefined)
    made.filters["breakable"] = lambda name: markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))
    return made
