"""Which test files a change touches, on a project of a few lines whose answers can be read off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml.base.errors import UserError
from tests.changed import ROOT, Reach, changed

FILES = {
    "src/restore_ml/__init__.py": "",
    "src/restore_ml/low.py": "X = 1",
    "src/restore_ml/middle.py": "from restore_ml import low",
    "src/restore_ml/top.py": "def f():\n    from restore_ml.middle import Y\n    return open('page.css')",
    "src/restore_ml/page.css": "",
    "src/restore_ml/registry.py": "def tables():\n    return ()",
    "src/restore_ml/methods/__init__.py": "",
    "src/restore_ml/methods/colour/__init__.py": "",
    "src/restore_ml/methods/colour/blue.py": "from restore_ml import low",
    "src/restore_ml/methods/colour/red.py": "",
    "src/restore_ml/tasks/__init__.py": "", "src/restore_ml/tasks/base.py": "",
    "src/restore_ml/tasks/colour/__init__.py": "", "src/restore_ml/tasks/colour/cases.py": "",
    "pipelines/__init__.py": "", "pipelines/__main__.py": "", "pipelines/train.py": "from restore_ml import middle",
    "flows/__init__.py": "", "flows/rebuild.py": "",
    "docs/page.md": "",
    "tests/__init__.py": "", "tests/helper.py": "from restore_ml import top",
    "tests/unit/__init__.py": "", "tests/unit/conftest.py": "from restore_ml import middle",
    "tests/unit/test_plain.py": "",
    "tests/test_low.py": "from restore_ml import low",
    "tests/test_top.py": "from tests import helper",
    "tests/test_blue.py": "method('colour', 'blue')",
    "tests/test_all.py": "from restore_ml.registry import tables",
    "tests/test_flow.py": "import pytest\npytestmark = pytest.mark.pipeline\nrun('python', '-m', 'flows.rebuild')",
    "tests/test_stage.py": "run(sys.executable, '-m', 'pipelines', 'train')",
    "tests/test_page.py": "open('docs/page.md')",
    "tests/test_alone.py": "import os",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("changed")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(("path", "expected"), [
    ("src/restore_ml/low.py", ["test_low", "test_blue", "unit/test_plain", "test_all", "test_top", "test_stage"]),
    ("src/restore_ml/top.py", ["test_top"]),
    ("src/restore_ml/page.css", ["test_top"]),
    ("src/restore_ml/methods/colour/blue.py", ["test_blue", "test_all"]),
    ("src/restore_ml/methods/colour/red.py", ["test_all"]),
    ("src/restore_ml/methods/colour/deleted.py", []),
    ("src/restore_ml/tasks/colour/cases.py", ["test_blue", "test_all"]),
    ("src/restore_ml/tasks/base.py", []),
    ("pipelines/train.py", ["test_stage"]),
    ("flows/rebuild.py", ["test_flow"]),
    ("docs/page.md", ["test_page"]),
    ("docs/other.md", []),
    ("tests/helper.py", ["test_top"]),
    ("tests/unit/conftest.py", ["unit/test_plain"]),
    ("tests/test_alone.py", ["test_alone"]),
    ("tests/unit/__init__.py", ["unit/test_plain"]),
])
def test_a_change_touches_those_that_can_reach_it(project, path, expected):
    found = Reach(project).touched([path])
    assert set(found) == {f"tests/{name}.py" for name in expected}
    assert list(found.values()) == sorted(found.values())  # nearest first


def test_distances_are_imports(project):
    found = Reach(project).touched(["src/restore_ml/low.py"])
    assert found["tests/test_low.py"] == 1 and found["tests/test_blue.py"] == 2  # through the method that it names
    assert found["tests/test_top.py"] == 4  # helper, top, middle, low


def test_what_counts_for_all_touches_all(project):
    assert len(Reach(project).touched(["pyproject.toml"])) == sum("/test_" in name for name in FILES)


def test_only_rebuilds_and_servers_are_heavy(project):
    reach = Reach(project)
    assert [name for name in reach.files if reach.heavy(name)] == ["tests/test_flow.py"]


def test_the_real_project_s_own_tests_are_reached():
    reach = Reach(ROOT)
    assert "tests/walk/test_all_methods.py" in reach.touched(["src/restore_ml/methods/inpainting/glcic.py"])
    assert "tests/nn/test_unet.py" in list(reach.touched(["src/restore_ml/nn/unet.py"]))[:5]
    assert set(reach.touched(["src/restore_ml/metrics/ifc.py"])) >= {"tests/metrics/test_ifc.py"}
    assert set(reach.touched(["src/restore_ml/tasks/inpainting/cases.py"])) >= {"tests/walk/test_all_methods.py"}
    assert reach.touched(["tests/test_changed.py"]) == {"tests/test_changed.py": 0}


def test_git_says_what_changed(tmp_path):
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words], cwd=tmp_path, check=True,
                       capture_output=True)

    with pytest.raises(UserError, match="run `make test` without CHANGED"):
        changed(tmp_path)
    git("init", "-q")
    for name in ("kept.py", "edited.py", "deleted.py", ".gitignore"):
        (tmp_path / name).write_text("ignored.py\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    (tmp_path / "edited.py").write_text("other\n")
    (tmp_path / "deleted.py").unlink()
    (tmp_path / "new.py").write_text("")
    (tmp_path / "ignored.py").write_text("")
    assert changed(tmp_path) == ["deleted.py", "edited.py", "new.py"]


@pytest.mark.parametrize(("first", "status"), [("pass", 0), ("assert False", 1)])
def test_the_time_ends_the_session_with_the_status_of_what_ran(tmp_path, first, status):
    (tmp_path / "test_quick.py").write_text(f"def test_quick():\n    {first}\n")
    (tmp_path / "test_slow.py").write_text("def test_slow():\n    while True:\n        pass\n")
    script = ("import sys, pytest; from tests.changed import Deadline; d = Deadline(1.0); "
              "s = pytest.main(['-p', 'no:cacheprovider', 'test_quick.py', 'test_slow.py'], plugins=[d]); "
              "print('LEFT', sorted(d.left)); sys.exit(s)")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
                          capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    assert "LEFT ['test_slow.py']" in done.stdout
