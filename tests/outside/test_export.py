"""What an export writes, and where it may go."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base.files import sha256_of_file
from tests.outside import project as made
from tests.outside.project import WHERE


@pytest.mark.parametrize("words", [["inputs", "export"], ["outputs", "add"]])
def test_each_command_shows_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    assert f"restore-ml {' '.join(words)}" in capsys.readouterr().out.split("example")[1]


def test_an_export_says_what_is_given_and_wanted(root: Path, tmp_path: Path) -> None:
    manifest = json.loads((tmp_path / "exported/manifest.json").read_text())
    assert [manifest[key] for key in ("task", "set", "case", "seed")] == ["super_resolution", "photos", "x2", 1]
    entry = manifest["samples"]["picture_001"]
    assert entry["told"] == {"scale": 2}
    assert entry["wanted"]["sr"] == {"kind": "picture", "height": 72, "width": 64, "channels": 3}
    assert ".png" in manifest["endings"]["sr"] and ".heic" not in manifest["endings"]["sr"]
    path, digest = next(iter(entry["files"].items()))
    assert path == "lr/picture_001.png"
    assert sha256_of_file(tmp_path / "exported" / path) == digest
    assert np.array_equal(np.asarray(Image.open(tmp_path / "exported" / path)), made.inputs(root)[0]["lr"])
    text = (tmp_path / "exported/README.md").read_text()
    assert "restore-ml outputs add NAME --task super_resolution --set photos --case x2 RESULTS" in text
    assert "a picture file, 64 x 72 pixels, colour (RGB, 8 bit)" in text
    assert "ranks by psnr_y (higher is better)" in text and "the bicubic degradation of the benchmarks" in text


def test_where_an_export_may_go(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0  # again into the same
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    made.build(root, degradation="x3")
    for folder, words in ((tmp_path / "full", "is not empty"), (tmp_path / "full/mine.txt", "is a file"),
                          (tmp_path / "exported", "holds the inputs of super_resolution photos/x2")):
        assert cli.main(["inputs", "export", *WHERE[:5], "x3", str(folder)]) == 2
        assert words in capsys.readouterr().err


def test_a_manifest_of_somebody_else_takes_no_file_away(tmp_path: Path, root: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "exported/manifest.json"
    manifest = json.loads(path.read_text())
    (tmp_path / "mine.txt").write_text("mine")
    first = next(iter(manifest["samples"]))
    for away in ("../mine.txt", str(tmp_path / "mine.txt")):
        files = {**manifest["samples"][first]["files"], away: "0"}
        path.write_text(json.dumps({**manifest, "samples": {**manifest["samples"], first: {
            **manifest["samples"][first], "files": files}}}))
        assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 2
        assert "was changed by hand" in capsys.readouterr().err and (tmp_path / "mine.txt").exists()
    for key, value in (("samples", 3), ("samples", {first: {}}), ("task", None)):
        path.write_text(json.dumps({**manifest, key: value}))
        assert cli.main(["outputs", "add", "theirs", *WHERE, str(tmp_path), "--inputs", str(path.parent)]) == 2
        assert "was changed by hand" in capsys.readouterr().err


def test_results_of_old_inputs_are_not_taken_for_those_of_new_ones(tmp_path: Path, root: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    made.results(root, tmp_path / "exported/results")
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0  # the same inputs
    made.change_inputs(root)
    before = (tmp_path / "exported/manifest.json").read_bytes()
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 2
    assert "what lies beside them (results) was made of the old ones; name a new folder" in capsys.readouterr().err
    assert (tmp_path / "exported/manifest.json").read_bytes() == before
    (tmp_path / "exported/results").rename(tmp_path / "elsewhere")
    assert cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")]) == 0
