"""Edits of the real sources, one at a time in a copy: which trainings and restorings they make stale, and which not.

Read from the content of the folder `code`, which is all that DVC sees of the sources.
"""

from __future__ import annotations

import ast
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from restore_ml.method import Method
from restore_ml.registry import method_class
from restore_ml.runs import fingerprints, settings, sources
from restore_ml.runs.sources import Sources

ROOT = Path(__file__).parents[2]
Stale = Callable[..., tuple[set[str], set[str]]]


RUNS = ("representation/features", "super_resolution/bicubic", "super_resolution/vdsr",
        "super_resolution/sa_subpixel_sr", "inpainting/telea", "inpainting/glcic", "inpainting/edge_connect",
        "inpainting/dip_watermark", "colorization/gray_slicing", "colorization/gabor_pix2pix", "cloud_removal/rs_aplus")
"""One of each kind, and two tasks that share a loss."""


@pytest.fixture(scope="module")
def params() -> settings.Params:
    loaded = settings.load(ROOT / "params.yaml")
    return dataclasses.replace(loaded, runs={key: loaded.runs[key] for key in RUNS})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources; `pipelines` lies beside `restore_ml`."""
    folder = tmp_path_factory.mktemp("sources")
    for source in (ROOT / "src" / "restore_ml", ROOT / "pipelines"):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def before(tree: Path, params: settings.Params) -> dict[str, object]:
    return fingerprints.code(tree, params, Sources([tree]))


@pytest.fixture
def stale(tree: Path, params: settings.Params, before: dict[str, object]) -> Stale:
    """`stale(name, old, new)`: the runs whose training, and those whose restoring, an edit makes stale."""
    def edit(name: str, old: str, new: str) -> tuple[set[str], set[str]]:
        path = tree / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        assert old in text, (name, old)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
        try:
            after = fingerprints.code(tree, params, Sources([tree]))
        finally:
            path.write_text(text, encoding="utf-8") if text else path.unlink()
        changed = [key.removesuffix(".json") for key in after if after[key] != before.get(key)]
        return tuple({key.partition("/")[2] for key in changed if key.startswith(f"{kind}/") and key.count("/") == 2}
                     for kind in ("train", "restore"))  # type: ignore[return-value]
    return edit


def everything(params: settings.Params) -> set[str]:
    return set(params.runs)


def test_what_the_package_offers_to_people_makes_nothing_stale(stale: Stale, params: settings.Params) -> None:
    """`restore_ml.compare` and what type checkers need; what the package does when it is imported counts for all."""
    root = "restore_ml/__init__.py"
    assert stale(root, '    if name == "compare":', '    if name in ("compare", "other"):') == (set(), set())
    assert stale(root, "from typing import TYPE_CHECKING, Any", "from typing import TYPE_CHECKING, Any, cast") == (
        set(), set())
    assert stale(root, "import compare as compare", "import compare as compare, Function as Function") == (set(), set())
    assert stale(root, "", "import numpy\n\nnumpy.seterr(all='raise')\n") == (
        everything(params), everything(params) - {"representation/features"})


def test_the_neutral_modules_are_these():
    """Each of them was looked at: it names, places, finds or times things, and cannot change a number."""
    looked_at = {"restore_ml.base", *(f"restore_ml.base.{name}" for name in (
        "addresses", "costs", "errors", "files", "layout", "programs")), "restore_ml.registry"}
    assert looked_at == sources.NEUTRAL


@pytest.mark.parametrize("name", sorted(sources.NEUTRAL))
def test_a_neutral_module_counts_for_nobody(stale: Stale, name: str):
    place = name.replace(".", "/")
    path = f"{place}/__init__.py" if (ROOT / "src" / place).is_dir() else f"{place}.py"
    assert (ROOT / "src" / path).exists() and stale(path, "", "\n\nUNUSED = 1\n") == (set(), set())


@pytest.mark.parametrize("name", ["metrics/fidelity.py", "tasks/inpainting/evaluation.py", "evaluation/scoring.py",
                                  "report/gallery.py", "tracking/sync.py", "degrading/contracts.py"])
def test_a_metric_or_a_page_retrains_and_restores_nothing(stale: Stale, name: str):
    assert (ROOT / "src/restore_ml" / name).exists()
    assert stale(f"restore_ml/{name}", "", "\n\nUNUSED = 1\n") == (set(), set())


def test_a_new_task_retrains_nothing(stale: Stale):
    assert stale("restore_ml/tasks/fog/task.py", "", "TASK = None\n") == (set(), set())


def test_a_task_s_test_cases_retrain_nothing(stale: Stale, params: settings.Params):
    """In the folder of a task what training sees is one module and what is tested another."""
    trained, _ = stale("restore_ml/tasks/colorization/cases.py", "", "\n\nUNUSED = 1\n")
    assert trained == set()
    trained, _ = stale("restore_ml/tasks/colorization/training.py", "", "\n\nUNUSED = 1\n")
    assert trained == {key for key, run in params.runs.items() if run.task == "colorization"}


def test_a_loss_retrains_exactly_its_users(stale: Stale, params: settings.Params):
    """Those that import it, by themselves or by way of the translation that the colour GANs share."""
    users = {key for key, run in params.runs.items()
             if any(name in Path(_source(run)).read_text(encoding="utf-8")
                    for name in ("losses.adversarial", "nn.colour_translation"))}
    trained, _ = stale("restore_ml/losses/adversarial.py", "\ndef ", "\nUNUSED = 1\n\n\ndef ")
    assert trained == users and 0 < len(users) < len(params.runs)


def test_a_line_of_the_seeds_retrains_everything(stale: Stale, params: settings.Params):
    trained, restored = stale("restore_ml/seeds.py", "[:8], \"big\") >> 1", "[:8], \"little\") >> 1")
    assert trained == everything(params)
    assert restored == {key for key in params.runs if not key.startswith("representation/")}


@pytest.mark.parametrize(("name", "old", "new"), [
    ("restoring/harness.py", "\ndef restore(", "\ndef _drawn_for_a_page(value):\n    return value\n\n\ndef restore("),
    ("method.py", "    def restore(self", "    def labels_of_a_page(self):\n        return {}\n\n    def restore(self"),
    ("tasks/base.py", "", "\n\ndef labels_of_a_page():\n    return {}\n")])
def test_a_new_hook_that_showing_calls_retrains_and_restores_nothing(stale: Stale, name: str, old: str, new: str):
    assert stale(f"restore_ml/{name}", old, new) == (set(), set())


def test_a_new_hook_that_restoring_calls_retrains_nothing(tree: Path, stale: Stale, params: settings.Params):
    """The hook with its default in the protocol, and the line of the harness that calls it."""
    harness = tree / "restore_ml/restoring/harness.py"
    text = harness.read_text(encoding="utf-8")
    line = "    task = registry.task(method.task)\n"
    assert line in text
    harness.write_text(text.replace(line, f"{line}    method.before_restoring(inputs)\n"), encoding="utf-8")
    try:
        hook = "    def before_restoring(self, inputs):\n        return None\n\n"
        trained, restored = stale("restore_ml/method.py", "    def restore(self", f"{hook}    def restore(self")
    finally:
        harness.write_text(text, encoding="utf-8")
    assert trained == set() and restored == {key for key in params.runs if not key.startswith("representation/")}


def _source(run: settings.Run) -> str:
    import inspect

    return inspect.getsourcefile(method_class(run.task, run.method)) or ""


def _defaults() -> list[str]:
    """The hooks of the protocol with a body."""
    import inspect

    return sorted(name for name, value in vars(Method).items()
                  if inspect.isfunction(value) and not name.startswith("_") and name != "restore")


CALLED_BY = {"restore_arrays": "restore"}
"""Defaults that nothing but another default calls: who overrides that one does not go through them."""
SHOWN = ("footprint",)
"""Hooks that pages alone call: no training or restoring goes through them."""


@pytest.mark.parametrize("hook", _defaults())
def test_the_default_of_a_hook_counts_for_all_that_do_not_override_it(tree: Path, stale: Stale, hook: str,
                                                                      params: settings.Params):
    text = (tree / "restore_ml/method.py").read_text(encoding="utf-8")
    protocol = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Method")
    default = next(node for node in protocol.body if isinstance(node, ast.FunctionDef) and node.name == hook)
    lines = text.splitlines(keepends=True)
    end = default.body[0].end_lineno  # of its docstring
    assert end
    head = "".join(lines[default.lineno - 1:end])
    trained, restored = stale("restore_ml/method.py", head, f"{head}        marker = 1\n")
    if hook in SHOWN:
        assert not trained and not restored
        return
    names = {hook, CALLED_BY.get(hook, hook)}
    keep = {key for key, run in params.runs.items()
            if names.isdisjoint(fingerprints.overridden(method_class(run.task, run.method)))}
    restoring = keep - {"representation/features"}
    learning = {key for key in keep if method_class(params.runs[key].task, params.runs[key].method).stored_networks}
    assert trained | restored in (keep, restoring, learning), "whoever goes through a stage that calls it"
