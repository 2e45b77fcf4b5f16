"""A rebuild's lanes: what is shown while others still work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flows.work import parallel
from flows.work.estimate import Estimate
from flows.work.units import Unit
from flows.work.watching import Watch


class Lanes:
    """Two lanes; the unit `slow` ends when the page of the other task is there."""

    count = 2

    def __init__(self, page: threading.Event) -> None:
        self.page, self.all, self.in_time = page, [], False

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass

    def run(self, unit: Unit) -> str:
        if unit.name == "slow":
            self.in_time = self.page.wait(60)
        return ""


def test_the_page_of_a_finished_task_is_shown_while_another_task_is_built(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = threading.Event()
    shown: list[str] = []

    def build_page(root: Path, folder: Path, task: str) -> Path:
        return folder / f"{task}.html"

    def sync(root: Path, tasks: list[str]) -> None:
        shown.extend(tasks)
        page.set()

    monkeypatch.setattr("restore_ml.report.gallery.build_page", build_page)
    monkeypatch.setattr("restore_ml.tracking.sync.sync", sync)
    monkeypatch.setattr(parallel, "_table", lambda root, task: f"table of {task}")
    lanes = Lanes(page)
    waiting = [Unit("table", (), task="inpainting", table=True), Unit("slow", (), task="colorization")]
    build = parallel._Build(tmp_path, Estimate(tmp_path, "quick"), Watch(tmp_path, 2, 0.0), [])
    assert build.run(waiting, lanes) == [] and lanes.in_time and shown == ["inpainting"]  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert printed.index("table of inpainting") < printed.index("inpainting.html") < printed.index("slow done after")
