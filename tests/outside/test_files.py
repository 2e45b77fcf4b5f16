"""What the files of a folder of outputs hold: what is said of it and what is refused, at the command line."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.degradations.resize import imresize
from tests.outside import project as made
from tests.outside.project import WHERE, Add, kept


def test_the_truth_itself_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", target["hr"])
    status, said = add()
    assert status == 2
    assert "3 of 3 outputs are the truth itself, to the bit: picture_001, picture_002, picture_003." in said
    assert add("--partial")[0] == 2 and not kept(root).exists()


def test_nearly_the_truth_is_refused_where_most_are(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", np.clip(target["hr"].astype(int) + 1, 0, 255).astype(
            np.uint8) if number > 1 else target["hr"])
    status, said = add()
    assert status == 2 and "3 of 3 outputs are the truth itself, to the bit or nearly so" in said


def test_one_truth_among_results_is_refused_and_one_near_it_is_not(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    near = made.truths(root)[2]["hr"].astype(int) + 1
    made.save(tmp_path / "results/picture_003.png", np.clip(near, 0, 255).astype(np.uint8))
    assert add()[0] == 0
    made.results(root, tmp_path / "results")
    made.save(tmp_path / "results/picture_001.png", made.truths(root)[0]["hr"])
    status, said = add()
    assert status == 2 and "1 of 3 outputs are the truth itself, to the bit: picture_001." in said


def test_a_truth_that_anybody_restores_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    root = made.build(tmp_path / "project", count=2)
    for side, name, array in (("targets", "hr", np.full((72, 64, 3), 90, np.uint8)),
                              ("inputs", "lr", np.full((36, 32, 3), 90, np.uint8))):
        path = root / f"samples/super_resolution/{side}/photos/x2.arrow"
        shards.write(path, [Record(one.id, {key: np.array(value) for key, value in one.arrays.items()} | {
            name: array}, one.facts) for one in Shard(path)])
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    cli.main(["inputs", "export", *WHERE, str(tmp_path / "exported")])
    for number in (1, 2):
        made.save(tmp_path / f"results/picture_{number:03d}.png", np.full((72, 64, 3), 90, np.uint8))
    assert cli.main(["outputs", "add", "theirs", *WHERE, str(tmp_path / "results")]) == 0
    assert "2 of 2 outputs are what anybody gets for nothing (bicubic)" in capsys.readouterr().out


def test_what_anybody_gets_is_said_and_taken(root: Path, tmp_path: Path, add: Add) -> None:
    for number, given in enumerate(made.inputs(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", imresize(given["lr"], 2))
    status, said = add()
    assert status == 0 and "3 of 3 outputs are what anybody gets for nothing (bicubic)" in said


def test_the_input_itself_is_as_large_as_the_input(root: Path, tmp_path: Path, add: Add) -> None:
    for number, given in enumerate(made.inputs(root), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", given["lr"])
    status, said = add()
    assert status == 2 and ("3 files (picture_001.png, picture_002.png, picture_003.png): 32 x 36 pixels, where 64 x "
                            "72 are wanted: it is as large as the input: nothing was enlarged.") in said


@pytest.mark.parametrize(("size", "why"), [
    ((64, 56), "8 columns and 8 rows are missing; some tools crop to a multiple of 8 or 16 first"),
    ((72, 56), "8 columns are missing"), ((80, 64), "the tool padded the input"),
    ((64, 72), "it was turned"), ((144, 128), "it is 4 times as large as the input, and this case asks for 2 times"),
    ((300, 300), "nothing is resized here")])
def test_another_size_is_refused_with_what_may_have_happened(root: Path, tmp_path: Path, add: Add,
                                                             size: tuple[int, int], why: str) -> None:
    made.results(root, tmp_path / "results", lambda picture: np.resize(picture, (*size, 3)))
    status, said = add()
    assert status == 2 and f"{size[1]} x {size[0]} pixels, where 64 x 72 are wanted: {why}" in said


def test_red_and_blue_exchanged_is_said_and_nothing_is_exchanged(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", lambda picture: np.ascontiguousarray(picture[..., ::-1]))
    written = (tmp_path / "results/picture_001.png").read_bytes()
    status, said = add()
    assert status == 0 and "Red and blue seem to be exchanged in 3 of 3 outputs with colours" in said
    assert "They are taken as they are; if the tool wrote BGR" in said
    assert (kept(root) / "picture_001.png").read_bytes() == written


def test_right_colours_are_not_doubted(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    assert "exchanged" not in add()[1]


def test_an_alpha_channel_that_hides_nothing_is_left_out(root: Path, tmp_path: Path, add: Add) -> None:
    opaque = np.full((72, 64, 1), 255, np.uint8)
    made.results(root, tmp_path / "results", lambda picture: np.concatenate([picture, opaque], 2))
    status, said = add()
    assert status == 0 and "an alpha channel that hides nothing, left out" in said


def test_an_alpha_channel_that_hides_something_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    half = np.full((72, 64, 1), 254, np.uint8)
    made.results(root, tmp_path / "results", lambda picture: np.concatenate([picture, half], 2))
    status, said = add()
    assert status == 2 and "an alpha channel that is not opaque everywhere" in said


def test_grey_where_colour_is_asked_is_refused(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", lambda picture: picture[..., :1])
    status, said = add()
    assert status == 2 and "grey, where colour is wanted and the input has colour" in said


def deep(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits a channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", values[..., ::-1])[1].tobytes())


def test_sixteen_bits_are_rounded_and_said(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        deep(tmp_path / f"results/picture_{number:03d}.png", made.poor(target["hr"], number).astype(np.uint16) * 257)
    status, said = add()
    assert status == 0 and "16 bits a channel, rounded to 8." in said


def test_sixteen_bits_with_levels_of_eight_are_refused(root: Path, tmp_path: Path, add: Add) -> None:
    for number, target in enumerate(made.truths(root), 1):
        deep(tmp_path / f"results/picture_{number:03d}.png", made.poor(target["hr"], number).astype(np.uint16))
    status, said = add()
    assert status == 2 and "levels of 8 bits were written without scaling" in said


def test_a_lossy_file_is_said(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results", name="picture_{:03d}.jpg")
    status, said = add()
    assert status == 0 and "JPEG, which loses something" in said


def test_an_unreadable_file_is_named(root: Path, tmp_path: Path, add: Add) -> None:
    made.results(root, tmp_path / "results")
    whole = io.BytesIO()
    Image.fromarray(made.truths(root)[0]["hr"]).save(whole, "PNG")
    (tmp_path / "results/picture_001.png").write_bytes(whole.getvalue()[:500])
    (tmp_path / "results/picture_003.png").write_bytes(b"<html>")
    status, said = add()
    assert status == 2 and "picture_001.png: " in said and "truncated" in said.lower()
    assert "picture_003.png: not an image of a known format." in said
