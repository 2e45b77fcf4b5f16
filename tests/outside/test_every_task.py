"""Each task with tables can be exported, restored by anybody, taken in and scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.data.shards import Shard
from restore_ml.evaluation.scoring import score
from restore_ml.kinds import PICTURE
from restore_ml.outside import stage
from restore_ml.registry import parts, tables, task
from restore_ml.runs import settings
from restore_ml.runs.brought import outputs_by_case
from restore_ml.runs.fingerprints import code
from tests.outside import project as made
from tests.walk.entries import params

SIZES = {"face_super_resolution": (64, 64)}
CASES = {"contrast_synthesis": "missing_t1ce_flair", "style_transfer": "painting"}


def case_of(name: str) -> str:
    return CASES.get(name) or parts(name).cases.degradations(params("quick").tasks.get(name, {}))[0]


@pytest.mark.parametrize("name", tables())
def test_a_task_goes_out_and_comes_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    root, degradation = tmp_path / "project", case_of(name)
    made.build(root, name, degradation, count=2, size=SIZES.get(name, (64, 72)))
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    where = ["--task", name, "--set", "photos", "--case", degradation]
    assert cli.main(["inputs", "export", *where, str(tmp_path / "exported")]) == 0, capsys.readouterr().err
    manifest = read_json(tmp_path / "exported/manifest.json")
    assert all((tmp_path / "exported" / path).is_file() for entry in manifest["samples"].values()
               for path in entry["files"])
    made.write_all(root, name, f"photos/{degradation}", manifest, tmp_path / "results")
    assert cli.main(["outputs", "add", "theirs", *where, str(tmp_path / "results")]) == 0, capsys.readouterr().err
    assert "2 of 2 outputs taken in." in capsys.readouterr().out
    spec = {"run": "theirs", "task": name, "method": "outside", "settings": {}, "seed": 1, "slots": {},
            "outputs": outputs_by_case(root, name, "theirs")}
    status = stage.restore(spec, root, root / layout.restored(name, "theirs"))
    assert status["cases"] == {f"photos/{degradation}": {"status": "ok", "reason": "", "failed": {}}}
    rows = score(name, root / layout.samples(name), root / layout.restored(name), [{"run": "theirs", "seed": 1}])
    assert (rows["status"] == "ok").all(), rows["reason"].tolist()
    assert code(root, settings.load(root / layout.PARAMS))[f"restore/{name}/theirs.json"]["outputs"] == spec["outputs"]


def restored(root: Path, name: str, case: str) -> list[dict[str, np.ndarray]]:
    spec = {"run": "theirs", "task": name, "seed": 1, "outputs": outputs_by_case(root, name, "theirs")}
    stage.restore(spec, root, root / layout.restored(name, "theirs"))
    return [record.arrays for record in Shard(root / layout.restored(name, "theirs") / f"{case}.arrow")]


def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, degradation: str) -> Path:
    """A project of two samples, exported."""
    root = made.build(tmp_path / "project", name, degradation, count=2, size=(64, 72))
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    cli.main(["inputs", "export", "--task", name, "--set", "photos", "--case", degradation, str(tmp_path / "exported")])
    return root


def add(tmp_path: Path, name: str, degradation: str) -> int:
    return cli.main(["outputs", "add", "theirs", "--task", name, "--set", "photos", "--case", degradation,
                     str(tmp_path / "results")])


def test_several_files_of_a_sample_lie_in_folders_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    taken(tmp_path, monkeypatch, "contrast_synthesis", "missing_t1ce_flair")
    (tmp_path / "results/t1ce").mkdir(parents=True)
    assert add(tmp_path, "contrast_synthesis", "missing_t1ce_flair") == 2
    assert "t1ce and flair are wanted of each sample, each in a folder of its name; there is no flair." in (
        capsys.readouterr().err)


def test_known_pixels_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = taken(tmp_path, monkeypatch, "inpainting", "centre")
    mask = np.asarray(Image.open(tmp_path / "exported/mask/picture_001.png"))
    assert np.array_equal(mask, 255 * made.inputs(root, "inpainting", "photos/centre")[0]["mask"][..., 0])
    for number, target in enumerate(made.truths(root, "inpainting", "photos/centre"), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", made.poor(target["image"], number, 30.0))
    assert add(tmp_path, "inpainting", "centre") == 0
    for output, given in zip(restored(root, "inpainting", "photos/centre"),
                             made.inputs(root, "inpainting", "photos/centre"), strict=True):
        hole = given["mask"][..., 0] > 0
        assert np.array_equal(output["image"][~hole], given["image"][~hole])
        assert not np.array_equal(output["image"][hole], given["image"][hole])


def test_a_hole_left_as_it_was_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    root = taken(tmp_path, monkeypatch, "inpainting", "centre")
    for number, given in enumerate(made.inputs(root, "inpainting", "photos/centre"), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", given["image"])
    assert add(tmp_path, "inpainting", "centre") == 0
    assert "2 of 2 outputs are the input itself (image), unchanged" in capsys.readouterr().out


def test_a_truth_in_the_hole_alone_is_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    root = taken(tmp_path, monkeypatch, "inpainting", "centre")
    for number, (target, given) in enumerate(zip(made.truths(root, "inpainting", "photos/centre"), made.inputs(
            root, "inpainting", "photos/centre"), strict=True), 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png",
                  np.where(given["mask"] > 0, target["image"], np.uint8(7)))
    assert add(tmp_path, "inpainting", "centre") == 2
    assert "2 of 2 outputs are the truth itself, to the bit" in capsys.readouterr().err


def test_colours_are_those_of_the_file_and_grey_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    root = taken(tmp_path, monkeypatch, "colorization", "lab_grey")
    truths = made.truths(root, "colorization", "photos/lab_grey")
    for number, target in enumerate(truths, 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", target["rgb"])
    assert add(tmp_path, "colorization", "lab_grey") == 2
    assert "are the truth itself" in capsys.readouterr().err
    for number, target in enumerate(truths, 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", target["rgb"][..., ::-1])
    assert add(tmp_path, "colorization", "lab_grey") == 0
    assert "Red and blue seem to be exchanged in 2 of 2" in capsys.readouterr().out
    output = restored(root, "colorization", "photos/lab_grey")[0]
    assert np.array_equal(output["rgb"], truths[0]["rgb"][..., ::-1]) and output["ab"].dtype == np.float32
    for number, target in enumerate(truths, 1):
        made.save(tmp_path / f"results/picture_{number:03d}.png", target["rgb"][..., :1])
    assert add(tmp_path, "colorization", "lab_grey") == 0
    said = capsys.readouterr().out
    assert "grey, taken as three equal channels" in said
    assert "2 of 2 outputs are what anybody gets for nothing (no colour)" in said


def test_a_binary_map_is_parted_and_a_numbered_one_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = taken(tmp_path, monkeypatch, "segmentation", "plain")
    numbers = np.zeros((64, 72, 1), np.uint8)
    numbers[5:15, 5:15], numbers[30:45, 30:50] = 255, 255
    for number in (1, 2):
        made.save(tmp_path / f"results/picture_{number:03d}.png", numbers)
    assert add(tmp_path, "segmentation", "plain") == 0
    output = restored(root, "segmentation", "photos/plain")[0]
    assert output["instances"].max() == 2 and set(np.unique(output["labels"])) == {0, 1}
    numbers[30:45, 30:50] = 9
    for number in (1, 2):
        made.save(tmp_path / f"results/picture_{number:03d}.png", numbers)
    assert add(tmp_path, "segmentation", "plain") == 0
    assert set(np.unique(restored(root, "segmentation", "photos/plain")[0]["instances"])) == {0, 9, 255}


def test_the_names_of_classified_pictures_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    degradation = case_of("classification")
    root = taken(tmp_path, monkeypatch, "classification", degradation)
    manifest = read_json(tmp_path / "exported/manifest.json")
    assert [*manifest["samples"]] == ["0001", "0002"] and "picture" not in str(manifest["samples"])
    (tmp_path / "results").mkdir()
    for number, text in (("1", '{"class": "zebra"}'), ("2", '{"label": 3}')):
        (tmp_path / f"results/{number}.json").write_text(text)
    assert add(tmp_path, "classification", degradation) == 2
    said = capsys.readouterr().err
    assert "1.json: the class 'zebra', where the classes are" in said and "2.json: no class in it" in said
    classes = manifest["samples"]["0001"]["told"]["classes"]
    chances = ", ".join(f'"{name}": {round(1 / len(classes), 3)}' for name in classes[1:])
    (tmp_path / "results/1.json").write_text(f'{{"probabilities": {{"{classes[0]}": 0.9, {chances}}}}}')
    (tmp_path / "results/2.json").write_text(f'{{"class": "{classes[3]}"}}')
    assert add(tmp_path, "classification", degradation) == 0
    first, second = restored(root, "classification", f"photos/{degradation}")
    assert int(first["label"]) == 0 and len(first["probabilities"]) == len(classes)
    assert int(second["label"]) == 3 and "probabilities" not in second


def test_boxes_classes_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    root = taken(tmp_path, monkeypatch, "detection", "plain")
    (tmp_path / "results").mkdir()
    box = '"box": [1, 2, 9, 12]'
    for text, words in ((f'{{"boxes": [{{"class": "cell", {box}}}]}}', "the class 'cell'"),
                        (f'{{"boxes": [{{"score": 2, {box}}}]}}', "a score that is not between 0 and 1")):
        for number in (1, 2):
            (tmp_path / f"results/picture_{number:03d}.json").write_text(text)
        assert add(tmp_path, "detection", "plain") == 2
        assert words in capsys.readouterr().err
    (tmp_path / "results/picture_001.json").write_text(f'{{"boxes": [{{"score": 0.25, {box}}}]}}')
    (tmp_path / "results/picture_002.json").write_text('{"boxes": []}')
    assert add(tmp_path, "detection", "plain") == 0
    first, second = restored(root, "detection", "photos/plain")
    assert first["boxes"].tolist() == [[1, 2, 9, 12]] and first["scores"].tolist() == [0.25]
    assert second["boxes"].tolist() == [[0, 0, 0, 0]] and second["scores"].tolist() == [0]


def test_clips_are_folders_of_frames_or_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    root = taken(tmp_path, monkeypatch, "video_super_resolution", "x4")
    truths = [target["hr"] for target in made.truths(root, "video_super_resolution", "photos/x4")]
    for number, clip in enumerate(truths, 1):
        for place, frame in enumerate(clip[:-1] if number == 2 else clip):
            made.save(tmp_path / f"results/picture_{number:03d}_out/{place:04d}.png", made.poor(frame, place))
    assert add(tmp_path, "video_super_resolution", "x4") == 2
    count = len(truths[1])
    assert f"picture_002_out: {count - 1} frames, where {count} are wanted." in capsys.readouterr().err
    made.save(tmp_path / f"results/picture_002_out/{count - 1:04d}.png", made.poor(truths[1][-1], 1))
    assert add(tmp_path, "video_super_resolution", "x4") == 0
    assert restored(root, "video_super_resolution", "photos/x4")[0]["sr"].shape == truths[0].shape


def test_bands_must_be_finite_and_as_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    degradation = case_of("cloud_removal")
    root = taken(tmp_path, monkeypatch, "cloud_removal", degradation)
    shape = made.inputs(root, "cloud_removal", f"photos/{degradation}")[0]["target"].shape
    (tmp_path / "results").mkdir()
    np.save(tmp_path / "results/picture_001.npy", np.full(shape, np.nan))
    np.save(tmp_path / "results/picture_002.npy", np.zeros((*shape[:2], shape[2] + 1)))
    assert add(tmp_path, "cloud_removal", degradation) == 2
    said = capsys.readouterr().err
    assert "picture_001.npy: numbers that are not finite." in said
    assert f"picture_002.npy: {shape[2] + 1} bands, where {shape[2]} are wanted." in said


def test_what_the_picture_tasks_want_is_eight_bit_colour() -> None:
    pictures = [name for name in tables() if next(iter(task(name).output.values())).kind is PICTURE]
    assert {"super_resolution", "inpainting", "sketch_photo", "style_transfer", "frame_interpolation"} <= {*pictures}


def test_names_of_nothing_in_the_folders_of_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    name, degradation = "contrast_synthesis", CASES["contrast_synthesis"]
    root = taken(tmp_path, monkeypatch, name, degradation)
    manifest = read_json(tmp_path / "exported/manifest.json")
    made.write_all(root, name, f"photos/{degradation}", manifest, tmp_path / "results")
    for number, path in enumerate(sorted((tmp_path / "results").rglob("*.nii.gz"))):
        path.rename(path.with_name(f"zebra{chr(97 + number)}.nii.gz"))
    where = ["--task", name, "--set", "photos", "--case", degradation]
    assert cli.main(["outputs", "add", "theirs", *where, str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert "No file is named like a sample" in said and "give that folder" not in said
