"""What a person gives and gets beside pictures: clips, volumes, label maps and notes, by command, folder and HTTP."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli, registry
from restore_ml.base.files import write_text
from restore_ml.data import nifti
from restore_ml.data.file_kinds import (
    BOXES,
    CLASSES,
    CLIP,
    LABELS,
    NUMBERS,
    PICTURE,
    VOLUME,
    Boxes,
    Form,
    Read,
)
from restore_ml.data.file_kinds.clips import Film
from restore_ml.data.nifti import Volume
from restore_ml.promotion import champions
from restore_ml.serving.engine import Engine
from restore_ml.serving.items import items
from restore_ml.serving.limits import Limits
from restore_ml.tasks.photos import Asked, Exchange, Given, Got, Option, Plain, Restorer, Way
from tests.serving.conftest import MODELS, add_model, picture
from tests.serving.test_server import send, sentence

LYING = np.array([[0, 0, 2.0, -9], [-1.5, 0, 0, 20], [0, 1.0, 0, 5], [0, 0, 0, 1]])
TASK = "frame_interpolation"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion gives the mean of two frames."""
    root = tmp_path_factory.mktemp("kinds") / "project"
    MODELS["frame_blend"] = (TASK, "frame_blend", {})
    try:
        add_model(root, "frame_blend")
    finally:
        del MODELS["frame_blend"]
    write_text(root / "params.yaml", "profile: quick\n")
    champions.install(root, TASK, "frame_blend", {"sentence": "frame_blend wins"})
    return root


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(project))
    return tmp_path


def run(*arguments: object) -> int:
    return cli.main(["restore", "--task", TASK, *map(str, arguments)])


def clip(count: int = 4) -> np.ndarray:
    return np.stack([picture(number) for number in range(count)])


def doubled(frames: np.ndarray) -> np.ndarray:
    """What frame_blend makes of a clip."""
    made = np.repeat(frames, 2, axis=0)[:-1].copy()
    made[1::2] = np.rint((frames[:-1].astype(np.float64) + frames[1:]) / 2)
    return made


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal but for the rounding of a half."""
    return one.shape == other.shape and int(np.abs(one.astype(int) - other).max()) <= 1


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def test_two_pictures_give_the_one_between(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = save(here / "1.png", picture(1)), save(here / "2.png", picture(2))
    assert run(one, "--with", f"after={two}", "-o", here / "between.png") == 0
    assert "between.png: 56 x 40 pixels, restored with frame_blend" in capsys.readouterr().out
    found = PICTURE.read(here / "between.png").value
    assert close(found, doubled(np.stack([picture(1), picture(2)]))[1])
    pair = here / "pair"
    save(pair / "before.jpg", picture(1)), save(pair / "After.png", picture(2))
    assert run(pair, "-o", here / "again.png") == 0 and (here / "again.png").exists()


def test_a_film_becomes_twice_as_many_frames_and_a_folder_stays_one(here: Path) -> None:
    (here / "film.avi").write_bytes(CLIP.encode(clip(), Form(".avi", Film(10.0))))
    assert run(here / "film.avi", "-o", here / "smooth.avi") == 0
    read = CLIP.read(here / "smooth.avi")
    assert close(read.value, doubled(clip())) and read.origin.rate == 20.0 and np.array_equal(read.value[::2], clip())
    for number, frame in enumerate(clip()):
        save(here / f"walk/f{number + 9}.png", frame)  # f10 comes after f9
    assert run(here / "walk", "-o", here / "smooth") == 0
    assert np.array_equal(CLIP.read(here / "smooth").value, read.value)
    assert sorted(path.name for path in (here / "smooth").iterdir()) == [f"000{number}.png" for number in range(7)]
    assert run(here / "walk", "-o", here / "smooth.mp4") == 0


@pytest.mark.parametrize(("arguments", "said"), [
    (["IN/1.png", "-o", "OUT/x.png"], "takes before and after, or clip, not before; give what is missing with --with"),
    (["IN/1.png", "--with", "next=IN/2.png", "-o", "OUT/x.png"], "takes no 'next'; it takes before and after, or clip"),
    (["IN/1.png", "--with", "aftr=IN/2.png", "-o", "OUT/x.png"], "Did you mean 'after'?"),
    (["IN/1.png", "--with", "after", "-o", "OUT/x.png"], "--with 'after' is no NAME=VALUE"),
    (["IN/1.png", "--with", "after=IN/small.png", "-o", "OUT/x.png"], "The after cannot be used: it is 20 x 30"),
    (["IN/1.png", "--with", "after=IN/no.png", "-o", "OUT/x.png"], "There is no after IN/no.png; give the path of a"),
    (["IN/1.png", "--with", "after=IN/2.png", "-o", "OUT/x.mp4"], "ends in '.mp4'; name a file that ends in .png"),
    (["IN/1.png", "--with", "after=IN/2.png", "--set", "a=b", "-o", "OUT/x.png"], "There is no option 'a'"),
    (["IN/film.mp4", "-o", "OUT/x.png"], "ends in '.png'; name a file that ends in .mp4, .avi, or a folder."),
    (["IN/film.mp4", "-o", "IN"], "is not empty; name a new one for the frames."),
    (["IN/half.mp4", "-o", "OUT/x.mp4"], "The clip IN/half.mp4 cannot be used:"),
    (["IN/one.avi", "-o", "OUT/x.mp4"], "The clip has one frame; two are needed"),
    (["IN/gap", "-o", "OUT/x.mp4"], "The clip IN/gap cannot be used: a gap: frame 2 is missing."),
])
def test_mistakes_are_sentences(here: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    save(here / "IN/1.png", picture(1)), save(here / "IN/2.png", picture(2))
    save(here / "IN/small.png", picture(2)[:30, :20])
    film = CLIP.encode(clip(), Form(".mp4"))
    (here / "IN/film.mp4").write_bytes(film), (here / "IN/half.mp4").write_bytes(film[:len(film) // 2])
    (here / "IN/one.avi").write_bytes(CLIP.encode(clip(1), Form(".avi")))
    for number in (0, 1, 3):
        save(here / f"IN/gap/{number}.png", picture(number))
    monkeypatch.chdir(here)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and "Traceback" not in error
    assert not (here / "OUT").exists()


def table(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "report.csv", encoding="utf-8", newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def test_a_folder_of_films_and_of_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = here / "in", here / "out"
    film = CLIP.encode(clip(), Form(".mp4"))
    (source / "sub").mkdir(parents=True)
    (source / "sub/a.mov").write_bytes(film), (source / "half.mp4").write_bytes(film[:len(film) // 2])
    for number, frame in enumerate(clip()):
        save(source / f"walk/{number}.png", frame)
    save(source / "pair/before.png", picture(1)), save(source / "pair/after.png", picture(2))
    (source / "notes.txt").write_text("nothing")
    assert run(source, "-o", out) == 1
    assert "3 restored, 0 kept from before, 1 failed, 1 files that are no pictures" in capsys.readouterr().out
    rows = table(out)
    assert {name: (row["status"], row["output"]) for name, row in rows.items()} == {
        "half.mp4": ("failed", "half.mp4"), "pair": ("ok", "pair.png"), "sub/a.mov": ("ok", "sub/a.mp4"),
        "walk": ("ok", "walk")}
    assert np.array_equal(CLIP.read(out / "walk").value[::2], clip()) and len(CLIP.read(out / "sub/a.mp4").value) == 7
    assert (rows["walk"]["width"], rows["walk"]["height"]) == ("56", "40")
    (source / "half.mp4").unlink()
    assert run(source, "-o", out) == 0 and "0 restored, 3 kept" in capsys.readouterr().out
    save(source / "walk/1.png", picture(7)), (out / "pair.png").write_bytes(b"torn"), (out / "walk/0000.png").unlink()
    assert run(source, "-o", out) == 0 and "2 restored, 1 kept" in capsys.readouterr().out
    assert np.array_equal(CLIP.read(out / "walk").value[2], picture(7))
    page = (out / "report.html").read_text()
    assert page.count("<img") == 1 and 'href="walk"' in page  # the pair's result is the one picture


def test_frames_of_somebody_else_stay(here: Path) -> None:
    for number, frame in enumerate(clip()):
        save(here / f"in/walk/{number}.png", frame)
    save(here / "out/walk/0000.png", picture(9))
    assert run(here / "in", "-o", here / "out") == 1
    assert "was not restored from here, and it stays" in table(here / "out")["walk"]["reason"]
    assert len(list((here / "out/walk").iterdir())) == 1


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def engine(project: Path) -> Engine:
    return Engine(project, TASK, "champion", Limits(megabytes=1.0, megapixels=0.05, pictures=4, queue=3, seconds=2.0))


def test_films_and_pairs_over_http(engine: Engine) -> None:
    film = CLIP.encode(clip(), Form(".avi", Film(10.0)))
    pair = {"before": text(PICTURE.encode(picture(1), Form(".png"))),
            "after": text(PICTURE.encode(picture(2), Form(".png")))}
    reply = send(engine, {"instances": [{"clip": text(film)}, pair]})
    assert reply.status_code == 200, reply.text
    first, second = reply.json()["predictions"]
    assert list(first) == ["clip"] and list(second) == ["image"]
    read = CLIP.decode(base64.b64decode(first["clip"]))
    assert read.value.shape == (7, 40, 56, 3) and read.origin.rate == 20.0  # MPEG-4
    assert close(PICTURE.decode(base64.b64decode(second["image"])).value, doubled(clip()[1:3])[1])
    told = engine.metadata()["signature"]
    assert {entry["name"]: entry["required"] for entry in told["inputs"]} == {
        "clip": False, "before": False, "after": False}
    assert [entry["name"] for entry in told["outputs"]] == ["clip", "image"]


@pytest.mark.parametrize(("status", "row", "said"), [
    (422, {"clip": text(CLIP.encode(clip(), Form(".mp4"))[:700])}, "The clip cannot be used: no film that can be"),
    (422, {"clip": text(b"#EXTM3U\n/etc/passwd")}, "not a film of a known format"),
    (422, {"clip": "@@"}, "must hold base64 of an .mp4"),
    (413, {"clip": text(CLIP.encode(clip(30), Form(".avi")))}, "The clip of 30 frames of 56 x 40 pixels makes 0.07"),
    (422, {"before": text(PICTURE.encode(picture(1), Form(".png")))}, "Row 0 has before; frame_interpolation takes"),
    (422, {"image": "aGk="}, "There is no column 'image'; the columns are clip and before and after."),
    (422, {"before": "aGk=", "after": "aGk="}, "The before is not a picture file"),
    (422, {"clip": None}, "A row has no before"),
])
def test_what_is_refused_over_http(engine: Engine, status: int, row: dict[str, str], said: str) -> None:
    assert said in sentence(send(engine, {"instances": [row]}), status)


class Reading(Exchange):
    """A toy that takes contrasts and boxes, and gives a volume, a label map and a class."""

    ways = (Way((Given("t1", VOLUME, required=False, fits="t1"), Given("t2", VOLUME, required=False, fits="t1"),
                 Given("where", BOXES, required=False)), (Got("volume", VOLUME), Got("class", CLASSES))),
            Way((Given("image", PICTURE), Given("near", BOXES, fits="image"), Given("about", NUMBERS, required=False)),
                (Got("labels", LABELS), Got("boxes", BOXES))))
    options = (Option("want", "which contrast", ("flair", "pd")),)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        if "image" in given:
            boxes = given["near"].value
            return {"labels": Read(np.full((*given["image"].value.shape[:2], 1), len(boxes.classes), np.uint8)),
                    "boxes": Read(boxes)}
        first = next(iter(given.values()))
        return {"volume": Read(first.value + 1, first.origin),
                "class": Read({asked.options["want"]: 0.75, f"{len(given)} given": 0.25})}


@pytest.fixture
def reading(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "photos", lambda _: Reading())
    values = np.arange(20 * 6 * 17, dtype=np.int16).reshape(20, 6, 17)
    (here / "p1").mkdir()
    nifti.write(here / "p1/T1.nii.gz", Volume(values, LYING))
    nifti.write(here / "p1/t2.nii", Volume(values * 2, LYING))
    nifti.write(here / "other.nii", Volume(values[:, :, :16], LYING))
    save(here / "a.png", picture(1))
    (here / "near.json").write_bytes(BOXES.encode(
        Boxes(np.array([[1, 2, 9, 12]], np.float32), ("cat",), np.ones(1, np.float32)), Form(".json")))
    return here


def test_volumes_go_back_in_their_own_orientation(reading: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.arange(20 * 6 * 17, dtype=np.int16).reshape(20, 6, 17)
    assert run(reading / "p1", "-o", reading / "made.nii.gz", "--set", "want=pd") == 0  # a patient's folder is one
    found = nifti.read(reading / "made.nii.gz")
    assert np.array_equal(found.values, values + 1) and np.allclose(found.affine, LYING)
    assert json.loads((reading / "made.class.json").read_text()) == {
        "class": "pd", "probabilities": {"pd": 0.75, "2 given": 0.25}}
    assert "made.nii.gz: 17 x 20 x 6 voxels" in capsys.readouterr().out
    assert run(reading / "p1/t2.nii", "-o", reading / "made.nii") == 0
    assert np.array_equal(nifti.read(reading / "made.nii").values, 2 * values + 1)
    assert run(reading / "p1/T1.nii.gz", "--with", f"t2={reading / 'other.nii'}", "-o", reading / "x.nii") == 2
    assert "The t2 cannot be used: it lies on another grid (20 x 6 x 16 voxels" in capsys.readouterr().err
    (reading / "made.nii").unlink(), (reading / "made.nii.gz").unlink()
    assert run(reading, "-o", reading / "all") == 0
    assert {name: row["output"] for name, row in table(reading / "all").items()} == {
        "p1": "p1.nii.gz", "other.nii": "other.nii"}
    assert (reading / "all/p1.class.json").exists()


def test_label_maps_and_notes_come_back(reading: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(reading / "a.png", "--with", f"near={reading / 'near.json'}", "-o", reading / "l.png") == 0
    assert (LABELS.read(reading / "l.png").value == 1).all()
    assert BOXES.read(reading / "l.boxes.json").value.classes == ("cat",)
    for content, said in (('{"boxes": [', "near.json cannot be used: no readable JSON: Expecting value in line 1"),
                          ('{"boxes": [{"box": [1, 2, 99, 12]}]}', "box 0 lies outside of the picture of 56 x 40")):
        (reading / "near.json").write_text(content)
        assert run(reading / "a.png", "--with", f"near={reading / 'near.json'}", "-o", reading / "l.png") == 2
        assert said in capsys.readouterr().err
    assert run(reading / "a.png", "--with", f"near={reading / 'near.json'}", "--set", "want=t9", "-o",
               reading / "l.png") == 2
    assert "want is 't9'; it must be one of flair, pd." in capsys.readouterr().err


def test_volumes_and_notes_over_http_and_in_mlflow(reading: Path, project: Path) -> None:
    import pandas as pd

    from restore_ml.tracking.model import Restorer as Served

    engine = Engine(project, TASK, "champion", Limits(megapixels=0.01))
    row = {"t1": text((reading / "p1/T1.nii.gz").read_bytes())}
    noted = {"image": text((reading / "a.png").read_bytes()), "near": (reading / "near.json").read_text()}
    reply = send(engine, {"instances": [row, noted], "params": {"want": "pd"}})
    assert reply.status_code == 200, reply.text
    served = Served()
    served.method, served.model = engine.method, engine.model
    table = served.predict(None, pd.DataFrame([row, noted]), {"want": "pd"}).to_dict("records")
    found = [{name: value for name, value in entry.items() if isinstance(value, str)} for entry in table]
    assert found == reply.json()["predictions"] and [list(entry) for entry in found] == [
        ["volume", "class"], ["labels", "boxes"]]
    volume = nifti.decode(base64.b64decode(found[0]["volume"]))
    assert volume.values.shape == (20, 6, 17) and np.allclose(volume.affine, LYING)
    assert json.loads(found[0]["class"])["class"] == "pd"
    assert "params" in engine.metadata()["signature"]
    assert "must be one of" in sentence(send(engine, {"instances": [row], "params": {"want": "x"}}), 422)
    assert "line 1" in sentence(send(engine, {"instances": [noted | {"near": "{"}]}), 422)
    assert "20 x 6 x 17 voxels makes" in sentence(send(engine, {"instances": [row] * 8}), 413)


class Brighter:
    """A method that gives back what it is shown."""

    task = "segmenting"


def test_plain_kinds_need_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from restore_ml.arrays import ArraySpec
    from restore_ml.kinds import CLIP as FRAMES
    from restore_ml.kinds import LABELS as CLASS_NUMBERS
    from restore_ml.kinds import PICTURE as PIXELS
    from restore_ml.tasks.base import Task

    class Toy(Task):
        name = "segmenting"
        inputs = {"grey": ArraySpec(PIXELS, 1), "frames": ArraySpec(FRAMES, 3)}
        output = {"labels": ArraySpec(CLASS_NUMBERS, 4, size_of="grey")}

    monkeypatch.setattr(registry, "task", lambda _: Toy())
    toy = Plain(Way((Given("image", PICTURE, array="grey"),), (Got("map", LABELS, array="labels"),)))
    seen = []

    def restore(method: object, model: object, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        seen.append(inputs)
        return {"labels": (inputs["grey"] > 100).astype(np.uint8)}

    found = toy.answer({"image": Read(picture(1))}, Asked(), Restorer(Brighter(), None, 1, restore))  # type: ignore[arg-type]
    assert seen[0]["grey"].shape == (40, 56, 1) and found["map"].value.shape == (40, 56, 1)
    assert LABELS.decode(LABELS.encode(found["map"].value, Form(".png"))).value.max() <= 1


def test_what_of_a_folder_is_one() -> None:
    toy = registry.photos(TASK)
    assert toy is not None
    found, left = items(toy, ["0.png", "1.png", "a/0.png", "a/1.png", "b/after.png", "b/before.png", "c/film.mp4",
                              "d/only.png", "e/x.txt"])
    assert {job.source: (dict(job.files), job.output) for job in found} == {
        "a": ({"clip": "a"}, "a"), "b": ({"after": "b/after.png", "before": "b/before.png"}, "b.png"),
        "c/film.mp4": ({"clip": "c/film.mp4"}, "c/film.mp4")}
    pictures = registry.photos("inpainting")
    assert pictures is not None  # a picture that happens to be called so is one of many
    found, left = items(pictures, ["a/image.png", "a/mask.png", "a/x.png", "b/image.png", "c/image.png", "c/mask.png"],
                        ["mask"])
    assert [job.output for job in found] == ["a/image.png", "a/mask.png", "a/x.png", "b/image.png", "c.png"]
    found, left = items(toy, ["0.png", "1.png", "a/0.png", "a/1.png", "b/after.png", "b/before.png", "c/film.mp4",
                              "d/only.png", "e/x.txt"])
    assert left == 4  # frames beside folders, one frame alone, a text
