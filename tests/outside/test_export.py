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
