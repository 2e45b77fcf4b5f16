"""A headless Chromium for pages opened as files, and a small project with two cases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from restore_ml.report.gallery import build
from tests import many_runs
from tests.tracking import small_project

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--force-prefers-reduced-motion")


@pytest.fixture(autouse=True)
def _no_log_of_others(request: pytest.FixtureRequest) -> None:
    """The log of the browser holds what this test opened: the tests of this folder share one browser."""
    if "browser" in request.fixturenames:
        driver = request.getfixturevalue("browser")
        driver.get("about:blank")  # a page of before may go on asking its server
        driver.get_log("browser")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="The clicks need selenium (the extra `dev`).")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("The clicks need chromium and chromedriver on the PATH.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--window-size=1366,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield made
    finally:
        made.quit()


@pytest.fixture(scope="session")
def clicked_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures in two cases, photos/x2 and more/x2, and three runs of which one failed."""
    root = small_project.build(tmp_path_factory.mktemp("clicks") / "project", pictures=5)  # with one case
    for kind in ("inputs", "targets"):
        folder = root / "samples" / small_project.TASK / kind
        shutil.copytree(folder / "photos", folder / "more")
    small_project.add_run(root, "bicubic", "bicubic", {})
    small_project.add_run(root, "vdsr", "vdsr", {"layers": 3, "width": 4})
    small_project.add_run(root, "broken", "vdsr", {"layers": 3, "width": 4}, failed="diverged at step 7")
    small_project.rescore(root)
    build(root, root / "reports" / "gallery")
    return root


@pytest.fixture(scope="session")
def many_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty runs of which one is promoted, with the gallery and the page of the promotion."""
    root = many_runs.build(tmp_path_factory.mktemp("many") / "project")
    many_runs.promote(root, many_runs.run_name(0))
    build(root, root / "reports" / "gallery")
    return root


def answers(session: str = "0123456789abcdef", **changes: Any) -> dict[str, Any]:
    """A file of answers as the page saves it: 20 pairs of vdsr and 2 control pairs, all told from the truth."""
    trials = [{"kind": "test", "picture": f"{place % 10:064x}", "first": "truth", "second": "vdsr", "answer": "first",
               "ms": 500, "shown_ms": [1000, 1001]} for place in range(20)]
    trials += [{"kind": "catch", "picture": f"{place:064x}", "first": "control", "second": "truth", "answer": "second",
                "ms": 500, "shown_ms": [1000, 1001]} for place in range(2)]
    return {"format": "restore-ml turing 1", "session": session, "rater": "", "task": "super_resolution",
            "case": "photos/x2", "page": "89abcdef01234567", "mode": "truth", "methods": ["vdsr"], "seed": 7,
            "seconds": 1, "models": {"vdsr": "0011223344556677"}, "started": "2026-01-01T00:00:00Z", "practice": 0,
            "complete": True, "trials": trials, **changes}


def saved(folder: Path, *files: dict[str, Any]) -> list[Path]:
    """The files in a folder, by the identity of their session."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{facts['session']}.json" for facts in files]
    for path, facts in zip(paths, files, strict=True):
        path.write_text(json.dumps(facts), encoding="utf-8")
    return paths
