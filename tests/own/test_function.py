"""`restore_ml.compare`: a function of a person's in the table of a task."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import restore_ml
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard
from restore_ml.evaluation.scoring import read_scores, score, write_scores
from restore_ml.evaluation.statistics import paired
from restore_ml.own.result import SIDE, data_uri
from restore_ml.promotion import champion_scores
from tests.own.made import inpainting
from tests.tasks.examples import example
from tests.tracking import small_project

TASK = small_project.TASK


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("own") / "project")


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(built))
    return built


@pytest.fixture
def copy(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(built, tmp_path / "project", symlinks=True)
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path / "project"))
    return tmp_path / "project"


def cubic(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Bicubic of OpenCV, which has no antialiasing to do when it enlarges."""
    scale = int(inputs["scale"])
    return cv2.resize(inputs["lr"], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def nearest(inputs: dict[str, np.ndarray]) -> np.ndarray:
    return inputs["lr"].repeat(2, 0).repeat(2, 1)


def test_the_methods_own_arithmetic_gets_the_stored_figures(project: Path) -> None:
    """The same outputs have the same figures: what measures a function is what measured the runs."""
    stored = {record.id: record.arrays["sr"] for record in Shard(project / f"restored/{TASK}/bicubic/photos/x2.arrow")}
    outputs = iter(stored[name] for name in sorted(stored))  # the pictures come in the order of their ids
    result = restore_ml.compare(lambda inputs: next(outputs), task=TASK, sets=["photos"], name="again")
    rows = result.scores
    own, baseline = (rows[rows["run"] == run].drop(columns=["run", "seed"]).reset_index(drop=True)
                     for run in ("again", "bicubic"))
    assert own.equals(baseline) and len(own) == 3
    assert result.table.set_index("run").loc["again", "vs_baseline"] == 0


def test_a_row_with_intervals_beside_leader_and_baseline(project: Path) -> None:
    result = restore_ml.compare(nearest, task=TASK, sets="photos", name="nearest")
    table = result.table.set_index("run")
    assert not result.champion and result.baseline == "bicubic" and result.cases == ["photos/x2"]
    assert set(table.index) == {"nearest", "bicubic", result.reference}
    rows = result.scores[result.scores["case"] == "photos/x2"]
    own, base, first = (rows[rows["run"] == run].sort_values("picture") for run in ("nearest", "bicubic",
                                                                                    result.reference))
    for column, other in (("vs_baseline", base), ("vs_champion", first)):
        known = paired(own["psnr_y"].to_numpy(), other["psnr_y"].to_numpy(), list(own["group"]), 1)
        assert table.loc["nearest", [column, f"{column}_low", f"{column}_high"]].tolist() == [known.mean, known.low,
                                                                                              known.high]
    assert table.loc["nearest", "vs_baseline"] < 0 and "so worse" in str(result)
    assert read_scores(project / layout.scores(TASK, "bicubic"))["psnr_y"].tolist() == base["psnr_y"].tolist()


def test_the_champion_is_the_stored_one(copy: Path) -> None:
    """Its rows are those of the stage `champion`, whatever today's run of the same name has."""
    home = copy / layout.champion(TASK)
    shutil.copytree(copy / layout.model(TASK, "vdsr"), home)
    own = read_scores(copy / layout.scores(TASK, "vdsr"))
    write_scores(champion_scores.path(copy, TASK), own.assign(run=champion_scores.name(home), psnr_y=40.0))
    result = restore_ml.compare(cubic, task=TASK)
    assert result.champion and result.reference == "vdsr (champion)"
    table = result.table.set_index("run")
    assert table.loc["vdsr (champion)", "psnr_y"] == 40.0 and len(table) == 3
    assert "mine against the champion, vdsr: " in str(result)
    write_scores(champion_scores.path(copy, TASK), own.assign(run="champion vdsr (another)", psnr_y=40.0))
    assert not restore_ml.compare(cubic, task=TASK).champion


def test_a_torch_module_needs_no_more_than_a_lambda(project: Path) -> None:
    net = torch.nn.Upsample(scale_factor=2, mode="nearest")

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image).permute(2, 0, 1)[None] / 255

    with_torch = restore_ml.compare(lambda inputs: net(tensor(inputs["lr"])), task=TASK)
    with_numpy = restore_ml.compare(nearest, task=TASK)
    assert with_torch.scores.equals(with_numpy.scores)
    grad = torch.nn.Conv2d(3, 3, 1)
    assert not restore_ml.compare(lambda inputs: grad(net(tensor(inputs["lr"])))[0].clamp(0, 1), task=TASK).problems


def test_it_shows_itself_in_jupyter_and_in_a_terminal(project: Path) -> None:
    result = restore_ml.compare(cubic, task=TASK, name="cubic")
    page = result._repr_html_()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 6 and "http" not in page and "<script" not in page
    for text in pictures:
        assert max(Image.open(io.BytesIO(base64.b64decode(text))).size) <= SIDE
    assert page.index("worst: ") < page.index("best: ")
    assert "<th>vs who leads</th>" in page and "<th>vs champion</th>" not in page, "there is no champion"
    for word in ("input", "result", "truth"):
        assert page.count(f"<figcaption>{word}</figcaption>") == 2
    worst, best = result.strips
    own = result.scores[result.scores["run"] == "cubic"].set_index("name")["psnr_y"]
    assert (worst.picture, best.picture) == (own.idxmin(), own.idxmax()) and worst.value == own.min()
    given = cubic({"lr": worst.panels["input"], "scale": np.array(1)})
    assert given.shape == worst.panels["input"].shape
    text = repr(result)
    assert text == str(result) and max(map(len, text.splitlines())) <= 120
    assert text.startswith(f"{TASK}, photos/x2, 3 pictures of 3 photographs") and "table.md" not in text


@pytest.mark.parametrize(("low", "mean", "high", "words"), [
    (0.1, 0.2, 0.3, "+0.20 [+0.10, +0.30] in psnr_y, so better."),
    (-0.1, 0.2, 0.5, "+0.20 [-0.10, +0.50] in psnr_y, so not told apart."),
    (-0.5, -0.2, 0.1, "-0.20 [-0.50, +0.10] in psnr_y, so not told apart."),
    (-0.3, -0.2, -0.1, "-0.20 [-0.30, -0.10] in psnr_y, so worse.")])
def test_the_interval_decides_the_verdict(project: Path, low: float, mean: float, high: float, words: str) -> None:
    result = restore_ml.compare(cubic, task=TASK)
    table = result.table.assign(vs_champion=mean, vs_champion_low=low, vs_champion_high=high)
    whom = result.reference
    alone = dataclasses.replace(result, reference="")
    assert alone.verdict("photos/x2") == "No run restored every picture, so mine is held against none."
    other = dataclasses.replace(result, table=pandas.concat([table, table.assign(case="photos/x3")]))
    assert other.verdict("photos/x3").startswith(f"mine against who leads on photos/x2, {whom}: ")
    assert dataclasses.replace(result, table=table).verdict("photos/x2") == f"mine against who leads, {whom}: {words}"


def test_large_pictures_are_shrunk_for_the_notebook() -> None:
    text = data_uri(np.zeros((300, 600, 3), np.uint8)).removeprefix("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(text))).size == (SIDE, SIDE // 2)


def test_the_cheapest_import_stays_cheap() -> None:
    code = ("import sys, restore_ml\nassert not {'numpy', 'torch', 'pandas'} & set(sys.modules)\n"
            "try: restore_ml.other\nexcept AttributeError as error: print(error)\nprint(restore_ml.compare.__module__)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["module 'restore_ml' has no attribute 'other'", "restore_ml.own.function"]


def once(wrong: Any) -> Any:
    """A function that is right but for its second call."""
    calls: list[int] = []

    def function(inputs: dict[str, np.ndarray]) -> Any:
        calls.append(1)
        return wrong(inputs) if len(calls) == 2 else nearest(inputs)

    return function


def broken(inputs: dict[str, np.ndarray]) -> np.ndarray:
    raise RuntimeError("no\n  luck")


WRONG = {
    "size": (lambda inputs: inputs["lr"], r"the output 'sr' is \(24, 24\) pixels; it must be \(48, 48\)"),
    "channels": (lambda inputs: nearest(inputs)[..., :1], "it has 1 channels, not 3"),
    "grey": (lambda inputs: nearest(inputs)[..., 0], r"'sr' is an array of shape \(48, 48\); one picture is H x W x C"),
    "NaN": (lambda inputs: nearest(inputs) * np.nan, r"'sr' holds values that are not finite .*: 6912 of 6912"),
    "0 to 255": (lambda inputs: nearest(inputs).astype(float), "'sr' holds floats from .* from 0 to 1"),
    "-1 to 1": (lambda inputs: nearest(inputs) / 127.5 - 1, "'sr' holds floats from -.* as floats from 0 to 1"),
    "range": (lambda inputs: nearest(inputs).astype(int) - 400, "'sr' holds values from -.*from 0 to 255"),
    "nothing": (lambda inputs: None, r"the function gave nothing \(None\)"),
    "words": (lambda inputs: "sr", "'sr' is no array of numbers but str"),
    "ragged": (lambda inputs: [[1, 2], [3]], "'sr' is no array of numbers but list"),
    "name": (lambda inputs: {"image": nearest(inputs)}, "the function gave 'image'; super_resolution wants sr"),
    "lacks": (lambda inputs: {}, "the output has no array 'sr'"),
    "tensor": (lambda inputs: torch.zeros(48, 48), r"'sr' is a tensor of shape \(48, 48\); a tensor of one picture has "
               "C x H x W"),
    "raises": (broken, "the function raised RuntimeError: no luck"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_function_does_wrong_names_case_and_picture(project: Path, kind: str) -> None:
    wrong, words = WRONG[kind]
    result = restore_ml.compare(once(wrong), task=TASK)
    assert len(result.problems) == 1 and re.fullmatch(rf"photos/x2, picture 1.png: .*{words}.*\.", result.problems[0])
    row = result.table.set_index("run").loc["mine"]
    assert (row["status"], row["pictures_ok"]) == ("partly failed", 2) and np.isnan(row["rank"])
    assert result.problems[0][:60] in " ".join(str(result).split())
    assert "it failed on 1 of 3 pictures, so it is not judged." in result.verdict("photos/x2")


def test_a_function_that_changes_its_input_is_told_and_harms_nothing(project: Path) -> None:
    def spoils(inputs: dict[str, np.ndarray]) -> np.ndarray:
        made = nearest(inputs)
        inputs["lr"][:] = 0
        inputs.clear()
        return made

    result = restore_ml.compare(spoils, task=TASK)
    assert result.scores.equals(restore_ml.compare(nearest, task=TASK).scores)
    assert result.problems == ["photos/x2, picture 0.png and 2 more: the function changed its input 'lr'; it was given "
                               "a copy, so nothing is lost."]


def test_a_function_that_never_works_ends_with_its_own_error(project: Path) -> None:
    with pytest.raises(UserError, match=r"restored no picture: the function raised RuntimeError: no luck\.") as caught:
        restore_ml.compare(broken, task=TASK)
    assert isinstance(caught.value.__cause__, RuntimeError)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "superresolution"}, "There is no comparison for 'superresolution'.*super_resolution"),
    "set": ({"sets": ["photo"]}, "has no test set 'photo'; it has photos.*photos"),
    "case": ({"cases": ["x3"]}, "has no case 'x3' of photos; it has photos/x2"),
    "none": ({"cases": []}, "No case of super_resolution is chosen; it has photos/x2"),
    "name": ({"name": "My function"}, "'My function' is no name for a row"),
    "run": ({"name": "vdsr"}, "has a run 'vdsr' already"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_sentences(project: Path, kind: str) -> None:
    given, words = MISTAKES[kind]
    with pytest.raises(UserError, match=words):
        restore_ml.compare(nearest, **{"task": TASK} | given)


def test_what_is_missing_says_what_makes_it(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = copy / f"samples/{TASK}/targets/photos/x2.arrow"
    kept = list(Shard(targets))[:2]
    inputs = list(Shard(copy / f"samples/{TASK}/inputs/photos/x2.arrow"))[:2]
    shards.write(targets, kept)
    shards.write(copy / f"samples/{TASK}/inputs/photos/x2.arrow", inputs)
    with pytest.raises(UserError, match=r"are of other pictures than those in samples.*make repro TASK=super_res"):
        restore_ml.compare(nearest, task=TASK)
    shutil.rmtree(copy / "scores")
    with pytest.raises(UserError, match=r"No run of super_resolution is scored.*`make repro TASK=super_resolution`"):
        restore_ml.compare(nearest, task=TASK)
    with pytest.raises(UserError, match=r"There are no test samples of inpainting.*`make repro TASK=inpainting`"):
        restore_ml.compare(nearest, task="inpainting")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    with pytest.raises(UserError, match="is no project of restore-ml"):
        restore_ml.compare(nearest, task=TASK)


def test_tiles_of_one_photograph_are_resampled_together(copy: Path) -> None:
    for side in ("inputs", "targets"):
        path = copy / f"samples/{TASK}/{side}/photos/x2.arrow"
        shards.write(path, [Record(record.id, {name: value.copy() for name, value in record.arrays.items()},
                                   record.facts | {"group": str(number // 2)})
                            for number, record in enumerate(Shard(path))])
    result = restore_ml.compare(nearest, task=TASK)
    rows = result.scores.sort_values("picture")
    own, base = (rows.loc[rows["run"] == run, "psnr_y"].to_numpy() for run in ("mine", result.reference))
    known = paired(own, base, ["0", "0", "1"], 1)
    row = result.table.set_index("run").loc["mine"]
    assert [row["vs_champion_low"], row["vs_champion_high"]] == [known.low, known.high]
    assert known.high != paired(own, base, ["0", "1", "2"], 1).high


def test_only_the_sets_that_are_named_are_restored(copy: Path) -> None:
    for side in ("inputs", "targets"):
        folder = copy / f"samples/{TASK}/{side}"
        shutil.copytree(folder / "photos", folder / "others")
    assert restore_ml.compare(nearest, task=TASK, sets=["photos"]).cases == ["photos/x2"]
    with pytest.raises(UserError, match="have no case others/x2"):
        restore_ml.compare(nearest, task=TASK, sets=["others"])


def test_a_wrong_size_is_told_before_known_pixels_are_put_back(copy: Path) -> None:
    inpainting(copy)
    calls: list[int] = []

    def shrinks(seen: dict[str, np.ndarray]) -> np.ndarray:
        calls.append(1)
        return seen["image"][:1, :1] if len(calls) == 1 else seen["image"]

    problems = restore_ml.compare(shrinks, task="inpainting").problems
    assert problems == ["photos/irregular_3, picture 0: the output 'image' is (1, 1) pixels; it must be (64, 64)."]


def test_known_pixels_are_put_back_as_for_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a function does outside of the hole counts nothing."""
    inputs, _, target = example("inpainting").sample()
    facts = {"name": "astronaut", "group": "astronaut", "synthetic": False}
    for side, arrays in (("inputs", inputs), ("targets", target)):
        shards.write(tmp_path / f"samples/inpainting/{side}/photos/irregular_3.arrow", [Record("a", arrays, facts)])
    shards.write(tmp_path / "restored/mean_fill/photos/irregular_3.arrow", [Record("a", target, facts)])
    write_json(tmp_path / "restored/mean_fill/status.json", {"cases": {"photos/irregular_3": {"status": "ok"}}})
    rows = score("inpainting", tmp_path / "samples/inpainting", tmp_path / "restored", [{"run": "mean_fill"}])
    write_scores(tmp_path / layout.scores("inpainting", "mean_fill"), rows)
    write_json(tmp_path / layout.about("inpainting", "mean_fill"), {"method": "mean_fill"})
    (tmp_path / "params.yaml").write_text("profile: quick\n")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))

    def fill(seen: dict[str, np.ndarray]) -> np.ndarray:
        return np.where(seen["mask"] > 0, target["image"], 255 - seen["image"])

    result = restore_ml.compare(fill, task="inpainting")
    assert result.table.set_index("run").loc["mine", ["psnr", "vs_baseline"]].tolist() == [60.0, 0.0]
    assert "of one photograph nothing is said of others" in str(result)
    assert result._repr_html_().count("<img") == 3
