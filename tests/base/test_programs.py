"""git and DVC: their words are kept, no answer is told from a refusal, and another DVC is waited for."""

from __future__ import annotations

import ast
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from restore_ml.base import programs
from restore_ml.base.programs import NoRepository, ProgramError, dvc, git
from restore_ml.base.provenance import UNCOMMITTED, UNKNOWN, commits
from restore_ml.promotion import decisions


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "dvc.lock").write_text("stages:\n  train@a:\n    md5: aaa\n")
    git(root, "add", "dvc.lock")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_no_repository_and_no_commit_are_no_refusals(tmp_path: Path) -> None:
    with pytest.raises(NoRepository):
        git(tmp_path, "status")
    git(tmp_path, "init", "--quiet")
    for arguments in (("log",), ("rev-parse", "--verify", "HEAD")):
        with pytest.raises(NoRepository):
            git(tmp_path, *arguments)
    assert commits(tmp_path, {"a": {"x"}}) == {"a": UNCOMMITTED} and decisions.commit(tmp_path) == UNKNOWN


def test_what_git_says_is_kept(repository: Path) -> None:
    with pytest.raises(ProgramError, match=r"`git show` failed in .*: fatal: bad object 0000000") as caught:
        git(repository, "show", "0" * 40)
    assert not isinstance(caught.value, NoRepository)


def test_the_commit_that_brought_a_result(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD").strip()
    (repository / "dvc.lock").write_text("stages:\n  train@a:\n    md5: aaa\n  train@b:\n    md5: bbb\n")
    wanted = {"a": {"aaa"}, "b": {"bbb"}, "both": {"aaa", "bbb"}, "none": set()}
    assert commits(repository, wanted) == {"a": first, "b": UNCOMMITTED, "both": UNCOMMITTED, "none": UNCOMMITTED}
    assert decisions.commit(repository) == f"{first}+changes"
    git(repository, "commit", "--quiet", "--all", "-m", "second")
    second = git(repository, "rev-parse", "HEAD").strip()
    assert commits(repository, wanted) == {"a": first, "b": second, "both": second, "none": UNCOMMITTED}
    git(repository, "rm", "--quiet", "dvc.lock")
    git(repository, "commit", "--quiet", "-m", "third")
    assert set(commits(repository, wanted).values()) == {UNCOMMITTED}


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can give a folder away.")
def test_a_repository_of_somebody_else_makes_nothing_uncommitted(repository: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without an exception for it
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345)
    assert commits(repository, {"a": {"aaa"}, "b": {"bbb"}}) == {"a": UNKNOWN, "b": UNKNOWN}
    said = capsys.readouterr().err
    assert "dubious ownership" in said and "git config --global --add safe.directory" in said
    assert decisions.commit(repository) == UNKNOWN


def test_the_repository_of_a_hook_is_not_ours(repository: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert git(repository, "log", "--format=%s").strip() == "first"


def test_what_dvc_says_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(ProgramError, match=r"`dvc add data` failed in .* is not a git repository.* `git init`"):
        dvc(tmp_path, "add", "data")


def test_another_dvc_is_waited_for_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("a")
    lock = tmp_path / ".dvc/tmp/lock"
    lock.parent.mkdir(exist_ok=True)
    started = threading.Event()
    real = programs._run

    def run(*arguments):
        started.set()
        return real(*arguments)

    with open(lock, "a+b") as held, pytest.MonkeyPatch.context() as patched:
        fcntl.flock(held, fcntl.LOCK_EX)
        patched.setattr(programs, "_run", run)
        worker = threading.Thread(target=dvc, args=(tmp_path, "add", "data"))
        worker.start()
        assert started.wait(60)
        assert "Another DVC command is at work in this project; waiting" in capsys.readouterr().err
        assert not (tmp_path / "data.dvc").exists()
        fcntl.flock(held, fcntl.LOCK_UN)
    worker.join(120)
    assert "md5:" in (tmp_path / "data.dvc").read_text()
    assert dvc(tmp_path, "status", "--json", "data.dvc").strip() == "{}" and not capsys.readouterr().err


@pytest.mark.parametrize(("program", "places"), [
    ("git", ["src/restore_ml/base/programs.py"]),
    ("dvc", ["flows/work/dvc.py", "src/restore_ml/base/programs.py"])])  # a rebuild shows DVC's words as they come
def test_nobody_else_starts_them(program: str, places: list[str]) -> None:
    """A command is a list: no other one begins with the program or names it behind `-m`."""
    root = Path(__file__).parents[2]
    found = set()
    for path in (path for folder in ("src", "flows", "pipelines") for path in (root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if f'"{program}"' in text else ():
            words = [getattr(word, "value", None) for word in node.elts[:3]] if isinstance(node, ast.List) else []
            if words[:1] == [program] or words[1:] == ["-m", program]:
                found.add(path.relative_to(root).as_posix())
    assert sorted(found) == places
