"""What a person is told when a command ends: sentences for people, disks and other programs, a kept trace for a bug."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml import cli
from restore_ml.base import errors, layout
from restore_ml.base.errors import UserError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text("profile: cpu\n")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("number", "text"), [
    (errno.ENOSPC, "There is no space left for /a/b; free some"),
    (errno.EDQUOT, "There is no space left for /a/b; free some"),
    (errno.EACCES, "There is no permission for /a/b (Permission denied); let this user"),
    (errno.EROFS, "There is no permission for /a/b (Read-only file system)"),
    (errno.EISDIR, "/a/b is a folder; name a file."),
    (errno.ENOTDIR, "/a/b lies below something that is a file"),
    (errno.ENAMETOOLONG, "/a/b has a name that is too long"),
    (errno.ELOOP, "/a/b is a link that leads round in a circle"),
    (errno.EIO, "/a/b cannot be read or written: the disk reports an error"),
    (errno.ENODEV, "/a/b cannot be used (No such device)"),
    (errno.ENOENT, "There is no /a/b; give the path"),
])
def test_an_error_of_the_system_is_a_sentence(project: Path, number: int, text: str) -> None:
    told = errors.sentence(OSError(number, os.strerror(number), "/a/b"))
    assert told is not None and told.startswith(text) and told.endswith(".")


def test_a_lack_of_memory_and_a_lost_connection_are_sentences(project: Path) -> None:
    assert "memory" in str(errors.sentence(MemoryError()))
    assert "memory" in str(errors.sentence(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")))
    assert "connection failed" in str(errors.sentence(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")))


def test_another_librarys_word_about_a_file_is_a_sentence(project: Path) -> None:
    import pyarrow.parquet

    (project / "scores.parquet").write_bytes(b"no table")
    with pytest.raises(pyarrow.ArrowInvalid) as caught:
        pyarrow.parquet.read_table(project / "scores.parquet")
    assert "`dvc checkout` brings back what was built" in str(errors.sentence(caught.value))


@pytest.mark.parametrize("bug", [ValueError("a"), KeyError("b"), AssertionError(), RuntimeError("c")])
def test_everything_else_is_a_bug(project: Path, bug: Exception) -> None:
    assert errors.sentence(bug) is None


def test_a_file_of_the_project_that_is_not_there_may_be_a_bug(project: Path) -> None:
    assert errors.sentence(FileNotFoundError(errno.ENOENT, "no", str(project / "models/vdsr/x"))) is None


def test_a_bug_is_said_to_be_one_and_its_trace_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("three by nothing")

    monkeypatch.setattr("restore_ml.registry.method_names", broken)
    assert cli.main(["methods"]) == 1
    said = capsys.readouterr().err
    kept, = (project / ".state/bugs").iterdir()
    assert "Traceback" in said and "This is a bug of restore-ml, no mistake of yours" in said and str(kept) in said
    text = kept.read_text()
    assert "restore-ml methods" in text and "ZeroDivisionError: three by nothing" in text and "Traceback" in text
    assert f"Python {sys.version.split()[0]}" in text


def test_without_a_project_a_bug_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("RESTORE_ML_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert errors.report(ValueError("x"), "a command") == 1
    assert "bug of restore-ml" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_mistake_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report(UserError("Give another."), "a command") == 2
    assert capsys.readouterr().err == "error: Give another.\n" and not (project / ".state").exists()


def test_term_ends_in_order_with_a_word(project: Path) -> None:
    code = ("import sys, time\nfrom restore_ml.base import errors\n"
            "try:\n    with errors.heeding_termination():\n"
            "        try:\n            print('ready', flush=True)\n            time.sleep(60)\n"
            "        finally:\n            print('tidied', flush=True)\n"
            "except errors.Terminated as error:\n    sys.exit(errors.report(error, 'a command'))\n")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "tidied\n")
    assert err == "Ended by the signal TERM; the next start goes on from here.\n"


def test_after_the_block_term_ends_the_process_as_ever() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with errors.heeding_termination():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_names_that_the_terminal_cannot_show_are_shown_as_escapes() -> None:
    code = ("from restore_ml.base import errors\nerrors.prepare_screen()\nprint('写真', '\\udcff')\n"
            "errors.report(errors.UserError('写真'), 'x')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False,
                          env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert done.stdout == b"\\u5199\\u771f \\udcff\n" and done.stderr == b"error: \\u5199\\u771f\n"


def test_opencv_says_nothing_of_its_own() -> None:
    """Without `prepare_screen` it warns on standard error of a file that it cannot read."""
    code = "from restore_ml.base import errors\nerrors.prepare_screen()\nimport cv2\nprint(cv2.imread('/none.png'))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"None\n", b"")


CONFLICT = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n"


def test_a_merge_conflict_is_told_by_its_marks() -> None:
    assert "holds a merge conflict" in str(errors.conflict(Path("dvc.lock"), CONFLICT))
    assert errors.conflict(Path("a.md"), "Title\n=======\ntext\n") is None


@pytest.mark.parametrize("name", ["no/such/folder", "relative", "params.yaml"])
def test_a_root_that_is_none_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given = name if name == "relative" else str(project / name)
    (project / "relative").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("RESTORE_ML_ROOT", given)
    with pytest.raises(UserError, match="no absolute path of a folder"):
        layout.root()


@pytest.mark.parametrize("params", [None, "lr: 0.1\nmodel: {profiles: 3}\n"])
def test_nothing_is_made_in_a_folder_that_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str], params: str | None) -> None:
    for name in ("RESTORE_ML_ROOT", "RESTORE_ML_SHELF"):
        monkeypatch.delenv(name, raising=False)
    if params is not None:
        (tmp_path / "params.yaml").write_text(params)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.png").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    for arguments in (["data", "add", "mine", "."], ["data", "init"], ["data", "list"], ["sync"], ["compare"],
                      ["restore", "--task", "colorization", "p.png", "-o", "x.png"], ["promote"], ["seeds"],
                      ["serve", "--task", "colorization"], ["gallery"], ["shelf", "--fetch", "none"]):
        assert cli.main(arguments) == 2, arguments
        assert "project's folder" in capsys.readouterr().err, arguments
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["\ufeffprofile: cpu\n", "profile : cpu\n", '{"profile": "cpu"}\n', "profile: cpu\n"])
def test_a_project_is_known_however_its_params_are_written(project: Path, text: str) -> None:
    (project / "params.yaml").write_text(text, encoding="utf-8")
    assert layout.project() == project
