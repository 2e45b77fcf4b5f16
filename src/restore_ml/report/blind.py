"""What the blind-test page needs: of each task's primary case the true pictures, every run's and a control's.

The page follows the colorization Turing test of Zhang, Isola and Efros, "Colorful Image Colorization" (2016): pairs of
a true and a restored picture, each shown for one second, ten practice pairs with feedback, and among the test pairs one
in ten against a control that attentive people always tell from the truth.

reading: the control of colorization is the source's (the colours of another picture on this one's lightness); that of
other tasks is the damaged input itself. The source shows each picture at 256 pixels; larger pictures are shrunk to that
for colorization and cut out in the middle for other tasks, where detail is what is judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.base import layout
from restore_ml.base.files import canonical_json, sha256, sha256_of_file
from restore_ml.report.pictures import TaskPictures
from restore_ml.report.view import Store, TaskView, spread, title
from restore_ml.seeds import generator
from restore_ml.tasks.panels import panel
from restore_ml.tasks.protocol import Arrays

PICTURES = 40
"""The most that are shown of a task: the source's number of test pairs."""
SIDE = 256
"""Pixels of the screen that a picture takes."""


def blind(root: Path, view: TaskView, files: Store) -> dict[str, Any] | None:
    """A task's part of the page, or None where no run has a picture, nobody knows a truth, or the truth is words and
    outlines, which nobody takes for real. `page` is the hash of all the rest: answers with the same `page` are answers
    to the same pictures. Of clips the frame in the middle is shown."""
    pictures = view.pictures
    cases = pictures.cases()
    case = str(view.table["case"].iloc[0])
    if case not in cases:
        return None
    chosen = [identity for identity, _ in spread(pictures.samples(case), PICTURES)]
    truth = pictures.show(case, chosen[0]).get("truth") if chosen else None
    if chosen and (truth is None or truth.caption or truth.shares or truth.annotated):
        return None
    runs = [run for run in view.runs if pictures.restored(case, run)]
    shown = [_picture(pictures, case, identity, chosen, runs, files) for identity in chosen]
    shown = [picture for picture in shown if any(picture["runs"])]
    if not shown:
        return None
    part = {"task": view.task, "title": title(view.task), "case": case, "side": SIDE,
            "shrink": view.rules.shrinks_in_blind_test, "pictures": shown,
            "runs": [{"name": run, "model": sha256_of_file(root / layout.model(view.task, run) / "model.json")[:16]}
                     for run in runs]}
    return part | {"page": sha256(canonical_json(part).encode())[:16]}


def _picture(pictures: TaskPictures, case: str, identity: str, all_pictures: list[str], runs: list[str],
             files: Store) -> dict[str, Any]:
    """Where the truth, the control and each run's picture lie (None where a run has none)."""
    shown = pictures.show(case, identity)
    outputs = [pictures.show(case, identity, run).get("output") if identity in pictures.restored(case, run) else None
               for run in runs]
    return {"id": identity, "truth": files.add(shown["truth"].still)["ref"],
            "control": files.add(_control(pictures, case, identity, all_pictures, shown["input"].still))["ref"],
            "runs": [None if output is None else files.add(output.still)["ref"] for output in outputs]}


def _control(pictures: TaskPictures, case: str, identity: str, all_pictures: list[str], seen: np.ndarray) -> np.ndarray:
    """A picture that is easily told from the truth."""
    inputs, target = pictures.arrays(case, identity)
    others = [other for other in all_pictures if other != identity]
    if "ab" not in target or not others:
        return seen
    other = others[int(generator("blind control", identity).integers(len(others)))]
    strange: Arrays = {"ab": _resized(pictures.arrays(case, other)[1]["ab"], inputs["L"].shape[:2])}
    return panel(pictures.protocol.show(inputs, strange, target)["output"]).still


def _resized(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """H x W x C of another size, by the nearest pixel."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, array.shape[:2], strict=True))
    return array[rows][:, columns]
