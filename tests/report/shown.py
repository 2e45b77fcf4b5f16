"""Samples of every kind as a task's protocol may show them, from what small_project has: an input, an output, a truth.

`python -m tests.report.shown FOLDER` lays out a page of each kind to look at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.tasks.panels import Panel, boxed, dotted, hinted, outlined

Show = Callable[[Any, Arrays, Arrays | None, Arrays], dict[str, Any]]


def clips(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Five frames that move to the right; the input has every second one."""
    truth = np.stack([np.roll(target["hr"], 4 * step, axis=1) for step in range(5)])
    shown: dict[str, Any] = {"input": Panel(truth[::2], "every second frame"), "truth": Panel(truth)}
    return shown if output is None else {**shown, "output": Panel(truth // 2 + np.stack([output["sr"]] * 5) // 2)}


def segmentation(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Objects outlined over the picture."""
    labels = np.zeros(target["hr"].shape[:2], np.uint8)
    for number, place in enumerate((2, 14, 26), 1):
        labels[place:place + 10, place - 1:place + 12] = number
    shown: dict[str, Any] = {"input": target["hr"],
                             "truth": Panel(outlined(target["hr"], labels), "3 nuclei", annotated=True)}
    return shown if output is None else {**shown, "output": Panel(outlined(target["hr"], np.roll(labels, 3, 1)),
                                                                  "3 nuclei, 1 of them split", annotated=True)}


def detection(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Boxes with names."""
    boxes = np.array([[2, 3, 20, 18], [15, 16, 38, 37], [0, 0, 0, 0]], np.float32)
    shown: dict[str, Any] = {"input": target["hr"], "truth": Panel(
        boxed(target["hr"], boxes, ("cell", "nucleus"), (1, 2)), annotated=True)}
    return shown if output is None else {**shown, "output": Panel(
        boxed(target["hr"], boxes + np.float32([1, 0, 2, 0]), ("cell 0.93", "nucleus 0.61"), (1, 2)), annotated=True)}


def classification(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """A class with its probabilities."""
    shown: dict[str, Any] = {"input": target["hr"], "truth": Panel(target["hr"], "crosswalk", annotated=True)}
    shares = {"bicycle": 0.52, "crosswalk": 0.003, "bridge": 0.3, "bus": 0.1, "car": 0.05, "stairs": 0.027}
    return shown if output is None else {**shown, "output": Panel(target["hr"], "bicycle", shares, "crosswalk", True)}


def contrasts(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Four contrasts in a row, one of them asked for."""
    red, green, blue = (np.repeat(target["hr"][..., channel:channel + 1], 3, 2) for channel in range(3))
    shown: dict[str, Any] = {"input": Panel(red, "t1"), "t2": green, "flair": Panel(blue, "given, not used"),
                             "pd": Panel(np.zeros_like(red), "missing"), "truth": Panel(255 - red, "t1ce")}
    return shown if output is None else {**shown, "output": 255 - output["sr"][..., [0, 0, 0]]}


def style(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Content and style beside the result; nobody knows a truth, and the style has a shape of its own."""
    shown: dict[str, Any] = {"input": Panel(target["hr"], "content"), "style": target["hr"][:24, ::-1]}
    return shown if output is None else {**shown, "output": output["sr"][..., ::-1]}


def several(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Three results of one picture."""
    shown: dict[str, Any] = {"input": target["hr"][..., [0, 0, 0]], "truth": target["hr"]}
    return shown if output is None else {**shown, "output": Panel(
        output["sr"], others=[255 - output["sr"], output["sr"][:, ::-1]])}


def hints(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """Hints drawn on the grey picture."""
    grey = target["hr"].mean(axis=2, keepdims=True).astype(np.uint8)
    points = np.array([[8, 8], [30, 12], [20, 30]])
    where = np.zeros(grey.shape[:2], np.uint8)
    where[4:6, 30:33] = 1
    drawn = dotted(grey, points, target["hr"][points[:, 1], points[:, 0]])
    shown: dict[str, Any] = {"input": Panel(drawn, "3 hints"), "scribbles": hinted(grey, target["hr"], where),
                             "truth": target["hr"]}
    return shown if output is None else {**shown, "output": output["sr"]}


def guides(_: Any, inputs: Arrays, output: Arrays | None, target: Arrays) -> dict[str, Any]:
    """A grey picture and a reference beside it; what is told in words comes from elsewhere."""
    shown: dict[str, Any] = {"input": target["hr"][..., [0, 0, 0]], "reference": target["hr"][:24, ::-1],
                             "truth": target["hr"]}
    return shown if output is None else {**shown, "output": output["sr"]}


SHOWS: dict[str, Show] = {show.__name__: show for show in (clips, segmentation, detection, classification, contrasts,
                                                         style, hints, several, guides)}


def main(folder: Path) -> None:
    """A project, and a gallery of each kind."""
    import shutil

    from restore_ml.report.gallery import build
    from restore_ml.tasks.super_resolution.evaluation import SuperResolution
    from tests.tracking import small_project

    root = small_project.build(folder / "project", pictures=4)
    small_project.add_run(root, "bicubic", "bicubic", {})
    small_project.rescore(root)
    for name, show in SHOWS.items():
        SuperResolution.show = show  # type: ignore[method-assign]
        shutil.rmtree(folder / name, ignore_errors=True)
        print(build(root, folder / name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
