"""What a person gives and gets of each task that takes more than one picture: by command, folder and HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file as save_arrays

from restore_ml import cli, registry
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_json, write_text
from restore_ml.data import nifti
from restore_ml.data.domains.brains import eight_bit
from restore_ml.data.file_kinds import BOXES, CLASSES, CLIP, LABELS, PICTURE, POINTS, Form, Points, Read
from restore_ml.data.file_kinds.clips import Film
from restore_ml.data.nifti import Volume
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Model
from restore_ml.restoring.harness import restore
from restore_ml.serving import restore_command
from restore_ml.serving.items import items
from restore_ml.serving.photos import answer
from restore_ml.tasks.photos import Asked
from tests.serving.conftest import picture

RUNS = {"video_super_resolution": "super_resolution.bicubic", "style_transfer": "content_copy",
        "segmentation": "classical_segmentation", "contrast_synthesis": "nearest_contrast",
        "guided_colorization": "nearest_hint", "sketch_photo": "copy_input"}
LYING = np.array([[0, 0, 2.0, -9], [-1.5, 0, 0, 20], [0, 1.0, 0, 5], [0, 0, 0, 1]])


def maps() -> dict[str, np.ndarray]:
    """Every contrast is made from t1 or t2 by turning its levels around; t2 is the nearer one."""
    errors = np.full((5, 5), 9, np.float32)
    errors[2] = 1
    return {"maps": np.tile(255 - np.arange(256, dtype=np.float32), (5, 5, 1)), "errors": errors}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files") / "project"
    for task, name in RUNS.items():
        folder = root / "models" / task / "run"
        folder.mkdir(parents=True)
        facts: dict[str, Any] = {
            "run": "run", "task": task, "method": name, "settings": registry.method(task, name, {}).settings,
            "seed": 1, "slots": {}, "status": "ok", "reason": "", "weights_sha256": ""}
        if task == "contrast_synthesis":
            save_arrays(maps(), folder / "arrays.safetensors")
            facts["arrays_sha256"] = sha256_of_file(folder / "arrays.safetensors")
        write_json(folder / "model.json", facts)
    write_text(root / "params.yaml", "profile: quick\n")
    return root


Run = Callable[..., int]


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(project))
    yield lambda task, *rest: cli.main(["restore", "--task", task, "--model", "run", *map(str, rest)])


def row(project: Path, task: str, files: dict[str, bytes], scale: int | None = None, **options: str) -> dict[str, str]:
    """What the server answers for a row."""
    _, method, model = restore_command.load_for(project, task, "run")
    return restore_command.restore_row(method, model, files, Asked(scale, 1, options))


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def png(values: np.ndarray) -> bytes:
    return PICTURE.encode(values, Form(".png"))


# --- video super-resolution -------------------------------------------------------------------------------------------


def clip(count: int = 3) -> np.ndarray:
    return np.stack([picture(number, 20, 24) for number in range(count)])


def test_a_clip_gets_larger_frames(run: Run, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, film = "video_super_resolution", CLIP.encode(clip(), Form(".avi", Film(10.0)))
    for number, frame in enumerate(clip()):
        save(tmp_path / f"in/walk/{number}.png", frame)
    (tmp_path / "in/film.avi").write_bytes(film)
    assert run(task, tmp_path / "in/walk", "-o", tmp_path / "large", "--scale", 2) == 0
    found = CLIP.read(tmp_path / "large").value
    assert found.shape == (3, 40, 48, 3)
    assert np.abs(found[:, ::2, ::2].astype(int) - clip()).max() < 40
    assert run(task, tmp_path / "in/film.avi", "-o", tmp_path / "large.avi", "--scale", 2) == 0
    read = CLIP.read(tmp_path / "large.avi")
    assert np.array_equal(read.value, found) and read.origin.rate == 10.0
    assert run(task, tmp_path / "in", "-o", tmp_path / "out") == 0
    assert CLIP.read(tmp_path / "out/walk").value.shape == (3, 80, 96, 3) and (tmp_path / "out/film.mp4").exists()
    reply = row(project, task, {"clip": film}, 3)
    assert CLIP.decode(base64.b64decode(reply["clip"])).value.shape == (3, 60, 72, 3)
    assert run(task, tmp_path / "in/walk", "-o", tmp_path / "x", "--scale", 5) == 2
    assert "cannot enlarge a clip by 5; it can by 2 or 3 or 4" in capsys.readouterr().err
    (tmp_path / "half.mp4").write_bytes(film[:len(film) // 2])
    assert run(task, tmp_path / "half.mp4", "-o", tmp_path / "x.mp4") == 2
    assert "half.mp4 cannot be used" in capsys.readouterr().err


def test_the_factor_of_a_clip_is_the_model_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = registry.photos("video_super_resolution")
    assert photos is not None
    for degradation, factor in (("x4", 4), ("x3_bd", 3), ("x2", 2)):
        method = registry.method("video_super_resolution", "vespcn", {"degradation": degradation})
        assert photos.factor(method, None) == factor and photos.factor(method, 2) == 2
    bicubic = registry.method("video_super_resolution", "super_resolution.bicubic", {})
    monkeypatch.setattr("restore_ml.tasks.video_super_resolution.photos.MAX_PIXELS", 3 * 20 * 24 * 16 - 1)
    with pytest.raises(UserError, match="Enlarging 3 frames of 24 x 20 pixels by 4 would make more than"):
        answer(bicubic, Model(), {"clip": Read(clip())}, Asked())
    assert answer(bicubic, Model(), {"clip": Read(clip())}, Asked(3))["clip"].value.shape == (3, 60, 72, 3)


# --- style transfer ---------------------------------------------------------------------------------------------------


def test_a_photograph_and_a_painting(run: Run, project: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    task, photo, painting = "style_transfer", picture(1), save(tmp_path / "painting.png", picture(2, 300, 280))
    save(tmp_path / "in/a.png", photo), save(tmp_path / "in/b.png", picture(3))
    assert run(task, tmp_path / "in/a.png", "--with", f"style={painting}", "-o", tmp_path / "a.png") == 0
    assert np.array_equal(PICTURE.read(tmp_path / "a.png").value, photo)  # the copy
    assert run(task, tmp_path / "in", "--with", f"style={painting}", "-o", tmp_path / "out") == 0
    assert np.array_equal(PICTURE.read(tmp_path / "out/b.png").value, picture(3))
    for side, shape in (("256", (256, 274, 3)), ("512", (280, 300, 3))):
        reply = row(project, task, {"content": png(picture(2, 280, 300)), "style": png(photo)}, side=side)
        assert PICTURE.decode(base64.b64decode(reply["image"])).value.shape == shape
    assert run(task, tmp_path / "in/a.png", "-o", tmp_path / "x.png") == 2
    assert "takes content and style, not content" in capsys.readouterr().err
    small = save(tmp_path / "small.png", picture(1, 20, 40))
    assert run(task, tmp_path / "in/a.png", "--with", f"style={small}", "-o", tmp_path / "x.png") == 2
    assert "The style of 40 x 20 pixels is too small" in capsys.readouterr().err


# --- what is read off a picture ---------------------------------------------------------------------------------------


def cells() -> np.ndarray:
    rows, columns = np.mgrid[:64, :80]
    field = np.full((64, 80, 3), 20, np.uint8)
    for row_, column in ((16, 16), (40, 30), (20, 60)):
        field[np.hypot(rows - row_, columns - column) < 8] = 220
    return field


def test_nuclei_are_outlined_and_numbered(run: Run, project: Path, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in/x.png", cells())
    assert run("segmentation", tmp_path / "in/x.png", "-o", tmp_path / "x.png") == 0
    labels, drawn = LABELS.read(tmp_path / "x.labels.png").value, PICTURE.read(tmp_path / "x.png").value
    numbers = [int(labels[place]) for place in ((16, 16, 0), (40, 30, 0), (20, 60, 0))]
    assert sorted(numbers) == [1, 2, 3] and labels.max() == 3 and labels[0, 0] == 0
    changed = (drawn != cells()).any(axis=2)
    assert changed.any() and (labels[changed] > 0).all()
    assert run("segmentation", tmp_path / "in", "-o", tmp_path / "out") == 0
    assert np.array_equal(LABELS.read(tmp_path / "out/x.labels.png").value, labels)
    reply = row(project, "segmentation", {"image": png(cells())})
    assert list(reply) == ["image", "labels"]
    assert np.array_equal(LABELS.decode(base64.b64decode(reply["labels"])).value, labels)
    (tmp_path / "bad.png").write_bytes(png(cells())[:200])
    assert run("segmentation", tmp_path / "bad.png", "-o", tmp_path / "y.png") == 2
    assert "bad.png cannot be used" in capsys.readouterr().err
    monkeypatch.setattr("restore_ml.tasks.segmentation.photos.MOST", 2)
    with pytest.raises(UserError, match="There are 3 nuclei in the picture; at most 2 can be numbered"):
        row(project, "segmentation", {"image": png(cells())})


def test_results_of_a_folder_do_not_meet(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture may be called as the label map of another is."""
    one, other = cells(), cells()[:, :50]
    save(tmp_path / "in/a.png", one), save(tmp_path / "in/a.labels.png", other)
    for word in ("2 restored, 0 kept", "0 restored, 2 kept"):
        assert run("segmentation", tmp_path / "in", "-o", tmp_path / "out") == 0
        assert f"{word} from before, 0 failed" in capsys.readouterr().out
    for name, given in (("a.png", one), ("a.labels.png", other)):
        assert PICTURE.read(tmp_path / f"out/{name}.png").value.shape == given.shape
        assert LABELS.read(tmp_path / f"out/{name}.labels.png").value.shape[:2] == given.shape[:2]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "a.labels.png.labels.png", "a.labels.png.png", "a.png.labels.png", "a.png.png"]


def test_a_label_map_of_somebody_else_stays_and_nothing_lies_beside_it(
        run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in/a.png", cells())
    own = save(tmp_path / "out/a.labels.png", cells())
    before = own.read_bytes()
    assert run("segmentation", tmp_path / "in", "-o", tmp_path / "out") == 1
    capsys.readouterr()
    assert "There is a file a.labels.png in" in (tmp_path / "out/report.csv").read_text()
    assert own.read_bytes() == before and not (tmp_path / "out/a.png").exists()


class Says:
    """A method that answers what it is told, whatever it is shown."""

    def __init__(self, task: str, settings: dict[str, Any], **output: Any) -> None:
        self.task, self.settings, self.output = task, settings, output


def told(monkeypatch: pytest.MonkeyPatch, says: Says) -> None:
    """`restore_file` and rows use that method."""
    monkeypatch.setattr("restore_ml.serving.photos.restore", lambda *_: {
        name: np.asarray(value) for name, value in says.output.items()})
    monkeypatch.setattr(restore_command, "load_for", lambda *_: (Path("model"), says, Model()))
    monkeypatch.setattr(restore_command, "run_name", lambda _: "says")


def test_boxes_lie_beside_the_drawn_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.array([[1, 2, 9, 12], [0, 0, 0, 0], [20, 5, 40, 30], [3, 3, 8, 8]], np.float32)
    says = Says("detection", {}, boxes=boxes, labels=np.zeros(4, np.float32),
                scores=np.array([0.6, 0.9, 0.75, 0.4], np.float32))
    told(monkeypatch, says)
    source = save(tmp_path / "a.png", picture(1))
    sentence = restore_command.restore_file(tmp_path, "detection", "run", source, tmp_path / "b.png")
    assert sentence.startswith(f"{tmp_path / 'b.png'}: 56 x 40 pixels")
    found = json.loads((tmp_path / "b.boxes.json").read_text())
    assert found == {"boxes": [{"class": "nucleus", "score": 0.75, "box": [20, 5, 40, 30]},
                               {"class": "nucleus", "score": 0.6, "box": [1, 2, 9, 12]}]}
    drawn = PICTURE.read(tmp_path / "b.png").value
    assert (drawn[5, 20:40] == (0, 158, 115)).all() and np.array_equal(drawn[35:], picture(1)[35:])
    reply = restore_command.restore_row(says, Model(), {"image": png(picture(1))}, Asked())  # type: ignore[arg-type]
    assert json.loads(reply["boxes"]) == found and list(reply) == ["image", "boxes"]
    says.output |= {"boxes": np.zeros((1, 4), np.float32), "labels": np.zeros(1), "scores": np.zeros(1)}
    reply = restore_command.restore_row(says, Model(), {"image": png(picture(1))}, Asked())  # type: ignore[arg-type]
    assert BOXES.decode(reply["boxes"].encode()).value.classes == ()
    assert np.array_equal(PICTURE.decode(base64.b64decode(reply["image"])).value, picture(1))


def test_a_class_and_its_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = np.array([0, 0, 0.25, 0.25, 0.5, 0, 0, 0, 0, 0], np.float32)
    says = Says("classification", {"class_set": "digits"}, label=np.array(4), probabilities=shares)
    told(monkeypatch, says)
    source = save(tmp_path / "a.png", picture(1, 8, 8))  # a digit of 8 pixels
    restore_command.restore_file(tmp_path, "classification", "run", source, tmp_path / "b.png")
    assert PICTURE.read(tmp_path / "b.png").value.shape == (64, 64, 3)
    found = json.loads((tmp_path / "b.class.json").read_text())
    assert found["class"] == "4" and found["probabilities"]["2"] == 0.25 and len(found["probabilities"]) == 10
    says.output["label"], says.output["probabilities"] = np.array(3), np.full(10, 0.1)
    reply = restore_command.restore_row(says, Model(), {"image": png(picture(1))}, Asked())  # type: ignore[arg-type]
    assert json.loads(reply["class"])["class"] == "3"  # the answer, of ten that are equally probable
    del says.output["probabilities"]
    reply = restore_command.restore_row(says, Model(), {"image": png(picture(1))}, Asked())  # type: ignore[arg-type]
    assert CLASSES.decode(reply["class"].encode()).value == {"3": 1.0}
    with pytest.raises(UserError, match=r"The picture .*note\.txt cannot be used"):
        (tmp_path / "note.txt").write_text("no picture")
        restore_command.restore_file(tmp_path, "classification", "run", tmp_path / "note.txt", tmp_path / "c.png")


# --- sketches and colours ---------------------------------------------------------------------------------------------


def test_the_direction_of_a_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watched(method: Any, model: Any, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        asked.append(int(inputs["direction"]))
        return restore(method, model, inputs, seed)

    monkeypatch.setattr("restore_ml.serving.photos.restore", watched)
    given, copy = {"image": Read(picture(1))}, registry.method("sketch_photo", "copy_input", {})
    for options in ({}, {"direction": "photo_to_sketch"}, {"direction": "sketch_to_photo"}):
        found = answer(copy, Model(), given, Asked(options=options))
        assert np.array_equal(found["image"].value, picture(1))
    assert asked == [0, 0, 1]
    one = registry.method("sketch_photo", "pix2pix", {"direction": "sketch_to_photo"})
    with pytest.raises(UserError, match="cannot do photo_to_sketch: made for sketch_to_photo"):
        answer(one, Model(), given, Asked(options={"direction": "photo_to_sketch"}))


def test_points_are_hints_beside_dabs(run: Run, project: Path, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.full((40, 60, 3), 120, np.uint8)
    grey[10:14, 5:9] = (190, 90, 90)  # a dab
    save(tmp_path / "in/a.png", grey)
    points = tmp_path / "points/a.json"
    points.parent.mkdir()
    points.write_text('{"points": [{"x": 54.6, "y": 30, "colour": [40, 60, 200]}]}')
    task = "guided_colorization"
    assert run(task, tmp_path / "in/a.png", "-o", tmp_path / "dab.png") == 0
    assert run(task, tmp_path / "in/a.png", "--with", f"points={points}", "-o", tmp_path / "both.png") == 0
    dab, both = (PICTURE.read(tmp_path / name).value for name in ("dab.png", "both.png"))
    first, second = (rgb_to_lab(value / 255) for value in (dab, both))
    assert np.abs(first[..., 0] - second[..., 0]).max() < 0.5  # the lightness stays
    assert first[30, 55, 1] > 20 and second[30, 55, 2] < -30 and np.array_equal(dab[:10, :10], both[:10, :10])
    assert run(task, tmp_path / "in", "--with", f"points={points.parent}", "-o", tmp_path / "out") == 0
    assert np.array_equal(PICTURE.read(tmp_path / "out/a.png").value, both)
    reply = row(project, task, {"image": png(grey), "points": points.read_bytes()})
    assert np.array_equal(PICTURE.decode(base64.b64decode(reply["image"])).value, both)
    for said, content in (("no colours; write", '{"points": [{"x": 5, "y": 3}]}'),
                          ("lies outside of the picture of 60 x 40", '{"points": [{"x": 60, "y": 3}]}'),
                          ("no readable JSON: Expecting value in line 1", '{"points": [')):
        points.write_text(content)
        assert run(task, tmp_path / "in/a.png", "--with", f"points={points}", "-o", tmp_path / "x.png") == 2
        assert said in capsys.readouterr().err


def test_a_point_colours_one_pixel_also_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(method: Any, model: Any, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        seen.append(inputs)
        return {"ab": inputs["hint"]}

    monkeypatch.setattr("restore_ml.serving.photos.restore", watched)
    method, grey = registry.method("guided_colorization", "nearest_hint", {}), np.full((40, 60, 3), 120, np.uint8)
    points = Points(np.array([[7, 3], [59.4, 39.4]], np.float32), np.array([[90, 90, 90], [200, 30, 30]], np.uint8))
    answer(method, Model(), {"image": Read(grey), "points": Read(points)}, Asked())
    assert np.argwhere(seen[0]["hinted"][..., 0]).tolist() == [[3, 7], [39, 59]]
    np.testing.assert_allclose(seen[0]["hint"][3, 7], [0, 0], atol=0.1)
    np.testing.assert_allclose(seen[0]["hint"][39, 59], rgb_to_lab(np.array([[[200, 30, 30]]]) / 255)[0, 0, 1:],
                               atol=0.01)
    none = Points(np.zeros((0, 2), np.float32), np.zeros((0, 3), np.uint8))
    answer(method, Model(), {"image": Read(grey), "points": Read(none)}, Asked())
    assert not seen[1]["hinted"].any() and POINTS.misfit(Read(none), Read(grey)) is None


# --- contrasts --------------------------------------------------------------------------------------------------------


def volume(seed: int, largest: int) -> np.ndarray:
    """36 x 5 x 40 voxels (front to back, upwards, right to left), the lowest slice empty."""
    values = np.random.default_rng(seed).integers(1, largest, (36, 5, 40)).astype(np.int16)
    values[:, 0] = 0
    return values


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    (tmp_path / "in/p1").mkdir(parents=True)
    nifti.write(tmp_path / "in/p1/p1_T1w.nii.gz", Volume(volume(1, 900), LYING))
    nifti.write(tmp_path / "in/p1/p1_T2w.nii.gz", Volume(volume(2, 400), LYING))
    return tmp_path


def test_a_contrast_is_made_on_the_files_own_grid(run: Run, project: Path, patient: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    task, one, two = "contrast_synthesis", patient / "in/p1/p1_T1w.nii.gz", patient / "in/p1/p1_T2w.nii.gz"
    assert run(task, one, "--with", f"t2={two}", "--set", "wanted=flair", "-o", patient / "flair.nii") == 0
    assert "they reach as far as those of t1." in capsys.readouterr().out
    made = nifti.read(patient / "flair.nii")
    top = np.percentile(volume(1, 900)[volume(1, 900) != 0], 99.5)
    expected = (255.0 - eight_bit(volume(2, 400))) * top / 255  # from t2, which is nearer, at the level of t1
    assert made.values.dtype == np.float32 and np.allclose(made.affine, LYING)
    np.testing.assert_allclose(made.values[:, 1:], expected[:, 1:], rtol=1e-5)
    assert not made.values[:, 0].any()
    assert run(task, patient / "in", "-o", patient / "out", "--set", "wanted=flair") == 0  # a patient's folder is one
    np.testing.assert_array_equal(nifti.read(patient / "out/p1.nii.gz").values, made.values)
    reply = row(project, task, {"t1": one.read_bytes(), "t2": two.read_bytes()}, wanted="flair")
    np.testing.assert_array_equal(nifti.decode(base64.b64decode(reply["volume"])).values, made.values)
    assert run(task, patient / "in/p1", "-o", patient / "t2.nii", "--set", "wanted=t2") == 0  # without a look at it
    np.testing.assert_allclose(nifti.read(patient / "t2.nii").values[:, 1:],
                               ((255.0 - eight_bit(volume(1, 900))) * top / 255)[:, 1:], rtol=1e-5)


def test_the_missing_contrast_is_the_one_that_the_model_makes(patient: Path) -> None:
    collagan = registry.method("contrast_synthesis", "collagan", {})  # t1, t1ce, t2, flair
    photos = registry.photos("contrast_synthesis")
    assert photos is not None
    seen: list[dict[str, np.ndarray]] = []

    class Watch:
        method = collagan

        def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            seen.append(inputs)
            return {"contrasts": inputs["contrasts"] + np.arange(5, dtype=np.uint8)}

    def asked(*names: str, wanted: str = "missing") -> Any:
        given = {name: Read(np.full((2, 32, 32), 7 + place, np.int16)) for place, name in enumerate(names)}
        return photos.answer(given, Asked(options={"wanted": wanted}), Watch())["volume"].value  # type: ignore[arg-type]

    made = asked("t1", "t2", "flair")
    assert seen[0]["given"].tolist() == [1, 0, 1, 0, 1] and seen[0]["wanted"].tolist() == [0, 1, 0, 0, 0]
    assert len(seen) == 2 and (seen[0]["contrasts"] == [255, 0, 255, 0, 255]).all()
    np.testing.assert_allclose(made, 7 / 255, rtol=1e-5)
    for names, wanted, said in (
            (("t1", "t2"), "missing", "t1ce and flair are missing; choose the one to make with --set wanted=t1ce."),
            (("t1", "t1ce", "t2", "flair"), "missing", "None of the contrasts that it makes is missing"),
            (("t1",), "pd", "This model cannot make pd; it makes t1, t1ce, t2, flair."),
            (("pd",), "t1", "nothing to make t1 from; give one or more of t1ce, t2, flair beside it"),
            (("t1",), "t1", "nothing to make t1 from")):
        with pytest.raises(UserError, match=said):
            asked(*names, wanted=wanted)


def test_bad_volumes_are_refused_in_a_sentence(run: Run, patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, one = "contrast_synthesis", patient / "in/p1/p1_T1w.nii.gz"
    nifti.write(patient / "shifted_t2.nii", Volume(volume(2, 400), LYING + np.pad(np.full((3, 1), 4.0),
                                                                                     ((0, 1), (3, 0)))))
    nifti.write(patient / "centred_t2.nii", Volume(volume(2, 400) - np.int16(200), LYING))
    nifti.write(patient / "empty_t2.nii", Volume(volume(2, 400) * np.int16(0), LYING))
    nifti.write(patient / "scan.nii", Volume(volume(2, 400), LYING))
    (patient / "torn_t2.nii.gz").write_bytes(one.read_bytes()[:900])
    for name, said in (("shifted", "The t2 cannot be used: it lies on another grid"),
                       ("centred", "of its voxels are negative"), ("empty", "all its voxels are zero"),
                       ("torn", "torn_t2.nii.gz cannot be used")):
        [path] = patient.glob(f"{name}_t2.nii*")
        assert run(task, one, "--with", f"t2={path}", "--set", "wanted=pd", "-o", patient / "x.nii") == 2
        assert said in capsys.readouterr().err
    assert run(task, patient / "scan.nii", "--set", "wanted=pd", "-o", patient / "x.nii") == 2
    assert "scan.nii does not say what it is; end it with one of t1, t1ce, t2" in capsys.readouterr().err
    assert run(task, one, "--with", f"t1={one}", "--set", "wanted=pd", "-o", patient / "x.nii") == 2
    assert "is t1 by its name, which is given with --with t1=" in capsys.readouterr().err
    photos = registry.photos(task)
    assert photos is not None
    found, left = items(photos, ["scan.nii", "p1_seg.nii", "a_t2f.nii", "p/a_t1.nii", "p/a_t2.nii", "p/a_seg.nii"])
    assert [dict(job.files) for job in found] == [{"flair": "a_t2f.nii"}, {"t1": "p/a_t1.nii", "t2": "p/a_t2.nii"}]
    assert left == 3


def test_a_file_that_has_its_axes_otherwise_lies_on_the_same_grid(patient: Path) -> None:
    turned = np.array([[2.0, 0, 0, -9], [0, -1.5, 0, 20], [0, 0, 1.0, 5], [0, 0, 0, 1]])
    method = registry.method("contrast_synthesis", "nearest_contrast", {})
    from restore_ml.data.file_kinds import VOLUME

    files = [Volume(volume(1, 900), LYING), Volume(volume(2, 400).transpose(2, 0, 1).copy(), turned)]
    one, two = (VOLUME.decode(nifti.encode(file)) for file in files)
    found = answer(method, Model(arrays=maps()), {"t1": one, "t2": two}, Asked(options={"wanted": "pd"}))["volume"]
    np.testing.assert_array_equal(nifti.decode(VOLUME.encode(found.value, Form(".nii", found.origin))).affine, LYING)


def test_a_folder_of_a_picture_and_its_points_is_one() -> None:
    photos = registry.photos("guided_colorization")
    assert photos is not None
    found, left = items(photos, ["p/image.png", "p/points.json", "q/image.png", "q/points.json", "q/x.png"])
    assert [(job.output, dict(job.files)) for job in found] == [
        ("p.png", {"image": "p/image.png", "points": "p/points.json"}), ("q/image.png", {"image": "q/image.png"}),
        ("q/x.png", {"image": "q/x.png"})] and left == 1
