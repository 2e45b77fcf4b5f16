"""Where a result shall go is asked before the work, and nobody's file is overwritten unasked."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base import files
from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import Read
from restore_ml.serving import outputs, photos
from restore_ml.serving.restore_command import decode, from_base64
from tests.faults import limiting
from tests.tracking import small_project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("outputs") / "project")


@pytest.fixture
def photo(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(built))
    path = tmp_path / "old.png"
    Image.fromarray(small_project.picture(5, 60)[:41, :57]).save(path)
    return path


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring fails the test: what is refused must be refused before."""
    monkeypatch.setattr(photos, "answer", lambda *_: pytest.fail("The work was done first."))


def restore(photo: Path, out: Path | str, *more: str) -> int:
    return cli.main(["restore", "--task", "super_resolution", str(photo), "-o", str(out), "--model", "vdsr", *more])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert said.out == "" and "Traceback" not in said.err and said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(("out", "text"), [
    ("folder.png", "is a folder; name a file in it."),
    ("old.png/x.png", "is no folder. Name another place."),
    ("old.png/deeper/x.png", "is no folder. Name another place."),
    ("pipe.png", "is no plain file"),
    (f"{'n' * 300}.png", "names on that disk have at most 255 bytes"),
    (f"new/{'n' * 300}/x.png", "names on that disk have at most 255 bytes"),
    ("old.png", "itself, which would be lost; name another file"),
    ("link.png", "itself, which would be lost"),
    ("hard.png", "itself, which would be lost"),
    ("./sub/../old.png", "itself, which would be lost"),
])
def test_a_place_that_cannot_be_is_refused_before_the_work(
        photo: Path, tmp_path: Path, no_work: None, out: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.png").mkdir(), (tmp_path / "sub").mkdir(), os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(photo), os.link(photo, tmp_path / "hard.png")
    before = photo.read_bytes()
    assert restore(photo, f"{tmp_path}/{out}") == 2
    assert text in sentence(capsys)
    assert photo.read_bytes() == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize(("form", "side", "fits"), [
    ("webp", 8192, False), ("webp", 8191, True), ("jpg", 32751, False), ("jpg", 32750, True), ("png", 40_000, True)])
def test_a_format_that_cannot_hold_the_picture_is_refused_before_the_work(
        photo: Path, tmp_path: Path, form: str, side: int, fits: bool, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """WebP holds 16,383 pixels a side and JPEG, as libjpeg writes it, 65,500; here they are doubled."""
    Image.fromarray(np.zeros((16, side), np.uint8)).save(photo)
    done = []

    def double(method: object, model: object, given: dict[str, Read], asked: object) -> dict[str, Read]:
        done.append(1)
        height, width = given["image"].value.shape[:2]
        return {"image": Read(np.zeros((2 * height, 2 * width, 3), np.uint8))}

    monkeypatch.setattr(photos, "answer", double)
    status = restore(photo, tmp_path / f"new.{form}", "--scale", "2")
    assert (status, bool(done), (tmp_path / f"new.{form}").exists()) == ((0, True, True) if fits else (2, False, False))
    if not fits:
        assert f"would be {2 * side} x 32 pixels" in sentence(capsys)


def test_a_mask_is_not_overwritten_either(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="itself"):
        outputs.check_file(photo, [tmp_path / "other.png", photo])
    outputs.check_file(tmp_path / "new.png", [photo])
    outputs.check_file(tmp_path / "new/deeper/new.png")


def command(photo: Path, out: Path, prepare: str = "", **more: object) -> subprocess.CompletedProcess[str]:
    arguments = ["restore", "--task", "super_resolution", str(photo), "-o", str(out), "--model", "bicubic"]
    code = f"import sys\nfrom restore_ml import cli\n{prepare}\nsys.exit(cli.main({arguments!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, encoding="utf-8",
                          **more)  # type: ignore[call-overload, no-any-return]


def test_a_full_disk_is_a_sentence(photo: Path, tmp_path: Path) -> None:
    Image.fromarray(small_project.picture(5, 200)).save(photo)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))"
    done = command(photo, tmp_path / "new.png", limit)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"error: There is no space left for {tmp_path / 'new.png'}; free some" in done.stderr
    assert not (tmp_path / "new.png").exists()


def test_a_folder_that_may_not_be_written_is_a_sentence(photo: Path, tmp_path: Path) -> None:
    if not limiting.heeds_permissions():
        pytest.skip("Permissions cannot be taken from this user.")
    (tmp_path / "closed").mkdir(mode=0o555)
    done = command(photo, tmp_path / "closed/new.png", preexec_fn=limiting.obey_permissions)
    assert done.returncode == 2 and "there is no permission to write in" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_a_name_changes_nothing(photo: Path, tmp_path: Path) -> None:
    done = command(photo, tmp_path / "写真.png", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0 and "\\u5199\\u771f.png: 114 x 82 pixels" in done.stdout, done.stderr
    assert (tmp_path / "写真.png").is_file()


def test_restoring_needs_no_temporary_folder(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mkstemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, lambda *_, **__: pytest.fail("A file was written to be read again."))
    assert np.array_equal(decode(photo.read_bytes()), small_project.picture(5, 60)[:41, :57])
    with pytest.raises(UserError, match="The image cannot be used: truncated"):
        decode(photo.read_bytes()[:200], "image")


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_file_has_the_permissions_that_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_disk_without_permissions_and_flushing_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CIFS, FAT and FUSE disks answer."""
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def unknown(handle: int) -> None:
        raise OSError(22, "Invalid argument")

    for owner, name in ((os, "chmod"), (os, "fchmod"), (os, "chown"), (Path, "chmod")):
        monkeypatch.setattr(owner, name, refused)
    monkeypatch.setattr(os, "fsync", unknown)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x" and os.listdir(tmp_path) == ["a"]


def test_a_disk_that_loses_what_is_flushed_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        files.write_text(tmp_path / "a", "x")
    assert not os.listdir(tmp_path)


PLAIN = ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElK"
         "S0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SV"
         "lpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g"
         "4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==")
"""What coreutils' base64 makes of the bytes 0 to 255."""


@pytest.mark.parametrize("text", [
    PLAIN, "\n".join(PLAIN[start:start + 76] for start in range(0, len(PLAIN), 76)),
    PLAIN.replace("/", "_").replace("+", "-"),
    PLAIN.rstrip("="), f"data:image/png;base64,{PLAIN}",
    f" DATA:image/png;charset=x;BASE64,\r\n{PLAIN}\r\n", PLAIN + "\n"])
def test_base64_as_others_write_it(text: str) -> None:
    assert from_base64(text, "image") == bytes(range(256))


@pytest.mark.parametrize("text", ["a", "a?bc", "ab=c", "äöüß", "data:image/png,abcd", "http://x/y.png"])
def test_what_is_no_base64_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"base64"):
        from_base64(text, "image")
