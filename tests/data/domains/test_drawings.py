"""Drawings: the embedded ones, the operators that make them, the public layouts, leakage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter, label

from restore_ml.base.files import write_json
from restore_ml.data import collections, domains, likeness, mat_files, shelf
from restore_ml.data.domains.faces import PARSING
from restore_ml.data.pictures import Refused
from restore_ml.data.prepare import prepare
from restore_ml.data.sources import drawn_faces, face_sketches, orl
from restore_ml.seeds import generator
from tests.data.domains.test_faces import portrait, reasons, rows, save

KIND = domains.get("drawings")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some persons of each side."""
    root = tmp_path_factory.mktemp("drawings")
    made = {"drawings": (face_sketches.lay_out_orl, orl.TEST[:3]),
            "drawings_train": (face_sketches.lay_out_orl, ("s1", orl.VALIDATION[0])),
            "drawings_drawn": (face_sketches.lay_out_drawn, drawn_faces.TEST[:2]),
            "drawings_drawn_train": (face_sketches.lay_out_drawn, (drawn_faces.TRAIN[0], drawn_faces.VALIDATION[0]))}
    try:
        for name, (lay_out, persons) in made.items():
            folder = root / "data" / name
            write_json(folder / "collection.json", {"name": name, **lay_out(folder / "pictures", persons)})
    except shelf.Missing as error:
        pytest.skip(str(error))
    prepare(root / "data", root / "prepared", 1)
    return root


def test_the_embedded_collections_are_taken_whole_each_person_on_the_side_that_faces_has(embedded: Path) -> None:
    found = rows(embedded / "prepared")
    assert reasons(embedded / "prepared") == {}
    counts = {(row["collection"], row["split"]): 0 for row in found.values()}
    for row in found.values():
        counts[row["collection"], row["split"]] += 1
        person = str(row["group"])
        assert row["split"] == (orl if person.startswith("s") else drawn_faces).split_of(person)
    assert counts == {("drawings", "test"): 15, ("drawings_train", "train"): 5, ("drawings_train", "validation"): 5,
                      ("drawings_drawn", "test"): 6, ("drawings_drawn_train", "train"): 3,
                      ("drawings_drawn_train", "validation"): 3}
    for report in collections.list_collections(embedded):
        assert report["synthetic"] and "rendered from" in report["source"] and report["licence"]
    assert "AT&T" in collections.describe(embedded / "data/drawings")["licence"]


def test_the_makers_take_every_person_of_faces() -> None:
    asked = {name: maker.keywords["persons"] for name, maker in KIND.embedded().items()}  # type: ignore[attr-defined]
    assert asked.keys() == {"drawings", "drawings_train", "drawings_drawn", "drawings_drawn_train"}
    assert {*asked["drawings"], *asked["drawings_train"]} == {f"s{number}" for number in range(1, 41)}
    assert set(asked["drawings"]).isdisjoint(asked["drawings_train"]) and len(asked["drawings"]) == 10
    assert set(asked["drawings_drawn"]).isdisjoint(asked["drawings_drawn_train"])
    assert len(asked["drawings_drawn"]) >= 10 and len(asked["drawings_drawn_train"]) == 40


def test_arrays_of_a_record(embedded: Path) -> None:
    folder = embedded / "data/drawings/pictures"
    real = KIND.read(folder / "s4/2.png", folder)
    assert {name: value.shape for name, value in real.items()} == {
        "photo": (112, 92, 1), "sketch": (112, 92, 1), "papercut": (112, 92, 3)}
    assert np.array_equal(real["photo"], orl.pictures()["s4", 2])
    folder = embedded / "data/drawings_drawn/pictures"
    drawn = KIND.read(folder / "d100/2.png", folder)
    assert {name: value.shape for name, value in drawn.items()} == {
        "photo": (128, 128, 3), "sketch": (128, 128, 1), "papercut": (128, 128, 3), "parsing": (128, 128, 1)}
    image, parsing, *_ = drawn_faces.draw("d100", 2)
    assert np.array_equal(drawn["photo"], image) and np.array_equal(drawn["parsing"], parsing)


def test_making_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for place in ("a", "b"):
        drawn_faces.draw.cache_clear()
        face_sketches.lay_out_drawn(tmp_path / place, ("d003",))
        made.append({path.name: path.read_bytes() for path in sorted((tmp_path / place / "d003").iterdir())})
    assert made[0] == made[1] and len(made[0]) == 3 * 4


def test_sketches_are_lighter_than_photos_and_dark_where_lines_are(embedded: Path) -> None:
    """The shares are those that the card of the procedural source gives for its own pictures, with some room."""
    folder = embedded / "data/drawings_drawn/pictures"
    for path in sorted(folder.glob("*/*.sketch.png")):
        sketch = np.asarray(Image.open(path)) / 255
        photo = np.asarray(Image.open(path.with_name(path.name.replace(".sketch", ""))).convert("L")) / 255
        assert 0.75 < sketch.mean() < 0.97 and sketch.mean() > photo.mean()
        assert sketch[32:96, 32:96].min() < 0.3  # the face has lines


def test_pencil_by_its_formula() -> None:
    """At a width of 128 on a picture without grain, computed another way."""
    grey = likeness.luma(drawn_faces.draw("d000", 1)[0]) / 255
    found = face_sketches.pencil(grey)
    even = gaussian_filter(grey, 1, mode="nearest")
    dodge = np.minimum(even / gaussian_filter(even, 8, mode="nearest"), 1)  # 1 - G(1 - g) = G(g)
    scaled = even / np.percentile(even, 95)
    edges = (1 + 12) * gaussian_filter(scaled, 1.6, mode="nearest") - 12 * gaussian_filter(scaled, 2.56,
                                                                                          mode="nearest")
    lines = np.where(edges >= 0.62, 1.0, 1 + np.tanh(8 * (edges - 0.62)))
    assert np.abs(found - (dodge + lines) / 2).max() < 1e-6


def test_a_white_wall_is_white_paper_and_a_black_one_is_full_of_strokes() -> None:
    rng = generator("test")
    assert face_sketches.pencil(np.ones((64, 64))).min() == 1
    assert face_sketches.hatched(np.ones((64, 64)), rng).min() > 0.99
    dark = face_sketches.hatched(np.zeros((64, 64)), rng)
    assert 0.35 < (dark < 0.01).mean() < 0.65 and set(np.round(np.unique(dark), 6)) == {0, 1}


def test_warping_moves_by_the_amplitude() -> None:
    ramp = np.tile(np.arange(200.0), (200, 1))
    moved = face_sketches.warped(ramp, generator("warp"), 2.0, 20)[20:-20, 20:-20] - ramp[20:-20, 20:-20]
    assert 1.0 < moved.std() < 3.0 and np.abs(np.diff(moved, axis=1)).max() < 1
    assert np.array_equal(face_sketches.warped(ramp, generator("warp"), 0.0, 20), ramp)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_a_papercut_is_one_sheet(seed: int, blobs: int) -> None:
    """Discs anywhere; 8-connected, as the paper's corners hold together through bridges two pixels wide."""
    rng = np.random.default_rng(seed)
    rows_, columns = np.mgrid[:64, :64]
    drawing = np.ones((64, 64))
    for y, x, radius in zip(rng.integers(0, 64, blobs), rng.integers(0, 64, blobs), rng.integers(4, 9, blobs),
                            strict=True):
        drawing[(rows_ - y)**2 + (columns - x)**2 <= radius**2] = 0
    sheet = face_sketches.papercut(drawing)
    assert label(sheet, np.ones((3, 3)))[1] == 1
    deep = gaussian_filter(drawing, 0.7, mode="nearest") < 0.72
    assert (sheet & deep).sum() == deep.sum()  # no disc of these is small enough to be dropped


def test_two_islands_are_joined_by_a_bridge_of_two_pixels() -> None:
    drawing = np.ones((40, 60))
    drawing[10:30, 5:20] = 0
    drawing[15:25, 40:50] = 0
    sheet = face_sketches.papercut(drawing)
    assert sheet[:, 30].sum() == 2 and face_sketches.papercut(np.ones((20, 20))).sum() == 0


# ------------------------------------------------------------------------------------------------ leakage

def pair(folder: Path, name: str, seed: int) -> None:
    save(folder / f"{name}.png", portrait(seed))
    save(folder / f"{name}.sketch.png", portrait(seed + 1000, channels=1))


@pytest.mark.parametrize(("change", "reason"), [
    ("same pixels under another name", "duplicate of the test picture tested/pictures/anna/1.png"),
    ("photo re-encoded", "near-duplicate of the test picture tested/pictures/anna/1.png"),
    ("same photo, another sketch", "near-duplicate of the test picture tested/pictures/anna/1.png")])
def test_a_tested_pair_takes_its_whole_person_out_of_training(tmp_path: Path, change: str, reason: str) -> None:
    photo = drawn_faces.draw("d100", 1)[0]
    sketch = face_sketches.of_drawn(photo, "d100", 1)
    save(tmp_path / "tests/anna/1.png", photo)
    save(tmp_path / "tests/anna/1.sketch.png", sketch)
    name = "9.jpg" if change == "photo re-encoded" else "9.png"
    save(tmp_path / f"in/someone/{name}", photo, **({"quality": 75} if name.endswith("jpg") else {}))
    save(tmp_path / "in/someone/9.sketch.png", 255 - sketch if change.endswith("another sketch") else sketch)
    pair(tmp_path / "in/someone", "10", 5)
    pair(tmp_path / "in/ben", "1", 6)
    collections.add(tmp_path, "tested", tmp_path / "tests", domain="drawings")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="drawings")
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    leak = f"mine/pictures/someone/{name}"
    assert reasons(tmp_path / "prepared") == {
        leak: reason, "mine/pictures/someone/10.png": f"same group as {leak}, which is kept out: {reason}"}


def test_a_person_who_is_tested_does_not_train(tmp_path: Path) -> None:
    folder = tmp_path / "data/set"
    for number, name in enumerate(("anna/1", "anna/2", "ben/1", "cleo/1")):
        pair(folder / "pictures", name, number)
    write_json(folder / "collection.json", {
        "name": "set", "role": "mixed", "domain": "drawings", "synthetic": False, "source": "x", "licence": "y",
        "pictures": {"anna/1.png": {"group": "anna", "split": "test"}, "anna/2.png": {"group": "anna"},
                     "ben/1.png": {"group": "ben"}, "cleo/1.png": {"group": "cleo"}}})
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {
        "set/pictures/anna/2.png": "same group as the test picture set/pictures/anna/1.png"}


# ------------------------------------------------------------------------------------------------ layouts

def cufs(folder: Path, databases: tuple[str, ...] = ("AR", "CUFSF")) -> Path:
    for number, base in enumerate(databases):
        for side, count in (("train", 3), ("test", 2)):
            for index in range(1, count + 1):
                save(folder / base / f"{side}_photos/{index}.jpg", portrait(100 * number + 10 * count + index))
                save(folder / base / f"{side}_sketches/{index}.jpg",
                     portrait(100 * number + 10 * count + index + 5000, channels=1))
    return folder


def test_cufs(tmp_path: Path) -> None:
    report = collections.add(tmp_path, "cufs", cufs(tmp_path / "in"), role="mixed", domain="drawings")
    about = collections.describe(tmp_path / "data/cufs")
    assert about["layout"] == "cufs" and report.good == 10 and report.refused == []
    assert about["pictures"]["AR_test_2/2.jpg"] == {"group": "AR_test_2", "split": "test"}
    assert about["pictures"]["CUFSF_train_2/2.jpg"] == {"group": "CUFSF_train_2"}
    arrays = KIND.read(tmp_path / "data/cufs/pictures/AR_test_2/2.jpg")
    assert np.array_equal(arrays["photo"], np.asarray(Image.open(tmp_path / "in/AR/test_photos/2.jpg")))
    assert np.array_equal(arrays["sketch"][:, :, 0], np.asarray(Image.open(tmp_path / "in/AR/test_sketches/2.jpg")))
    assert collections.add(tmp_path, "tests", cufs(tmp_path / "in"), role="test", domain="drawings").good == 4
    trained = collections.add(tmp_path, "train", cufs(tmp_path / "alone", ("",)), role="train", domain="drawings")
    assert trained.good == 3
    assert "split" not in collections.describe(tmp_path / "data/train")["pictures"]["train_1/1.jpg"]


def test_lists(tmp_path: Path) -> None:
    box = tmp_path / "in"
    for number in (1, 2, 3):
        save(box / f"photos/{number}.png", portrait(number))
        save(box / f"drawn/{number}.png", portrait(number + 50, channels=1))
    save(box / "maps/1.png", np.full((48, 48, 1), 8, np.uint8))
    (box / "maps/2.mat").write_bytes(b"MATLAB")
    savemat(box / "maps/3.mat", {"res_label": np.repeat(np.arange(6, 54)[:, None] % 11, 48, axis=1)})
    (box / "train_list.txt").write_text("photos/1.png||drawn/1.png||maps/1.png||anna\n"
                                        "photos/2.png||drawn/2.png||maps/2.mat||ben\n")
    (box / "test_list.txt").write_text("photos/3.png||drawn/3.png||maps/3.mat||\n")
    report = collections.add(tmp_path, "mine", box, role="mixed", domain="drawings")
    assert report.good == 3 and report.note == "Read as lists: 3 photos with their sketches."
    [(file, reason)] = report.refused
    assert file == "maps/2.mat" and reason.startswith("no whole MATLAB file: ")
    assert collections.describe(tmp_path / "data/mine")["pictures"] == {
        "anna/1.png": {"group": "anna"}, "ben/2.png": {"group": "ben"},
        "photos_3/3.png": {"group": "photos_3", "split": "test"}}
    assert KIND.read(tmp_path / "data/mine/pictures/anna/1.png")["parsing"].min() == 8
    assert "parsing" not in KIND.read(tmp_path / "data/mine/pictures/ben/2.png")
    parsing = KIND.read(tmp_path / "data/mine/pictures/photos_3/3.png")["parsing"]
    assert parsing[:11, 7, 0].tolist() == [5, 6, 7, 8, 1, 0, 2, 3, 3, 4, 4]  # Helen's 6 to 10, then 0 to 5


def test_parsing_maps_in_matlab_files(tmp_path: Path) -> None:
    """Helen's eleven classes: the largest share counts, the first of equals; background where there is none."""
    shares = np.zeros((3, 4, 11), np.float32)
    for place, number in enumerate((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)):
        shares[place // 4, place % 4, number] = 0.6
        shares[place // 4, place % 4, (number + 3) % 11] = 0.4
    savemat(tmp_path / "a.mat", {"res_label": shares, "other": np.arange(3)}, do_compression=True)
    names = [PARSING[label] for label in mat_files.read_parsing(tmp_path / "a.mat")[:, :, 0].ravel()]
    assert names == ["background", "skin", "brows", "brows", "eyes", "eyes", "nose", "upper lip", "inner mouth",
                     "lower lip", "hair", "background"]


@pytest.mark.parametrize(("content", "reason"), [
    ({"res_label": np.zeros((3, 4, 19))}, r"no variable res_label of H x W x 11 or H x W: res_label \(3, 4, 19\)"),
    ({"labels": np.zeros((3, 4))}, r"no variable res_label .*: labels \(3, 4\)"),
    ({"res_label": np.full((3, 4), 11)}, "other numbers than Helen's classes 0 to 10"),
    ({"res_label": np.full((3, 4), 0.5)}, "other numbers than Helen's"),
    ({"res_label": np.full((3, 4, 11), np.nan)}, "holds no finite numbers"),
    ({"res_label": "a text of letters"}, "no variable res_label|holds no finite numbers"),
    (b"\0" * 64, "no whole MATLAB file"), (b"", "zero bytes"),
    (b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\0\x02IM" + b"\x89HDF", "version 7.3, which is not read")])
def test_matlab_files_that_are_no_parsing_map(tmp_path: Path, content: dict[str, object] | bytes, reason: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
    with pytest.raises(Refused, match=reason):
        mat_files.read_parsing(path)


@pytest.mark.benchmark_data
def test_real_pairs_of_cuhk(tmp_path: Path, benchmark_data: Path) -> None:
    """By a list, as the folders have names of their own; photo and sketch are aligned by their landmarks."""
    source = benchmark_data / "faces_sketch_cuhk"
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    lines = []
    for photo in sorted((source / "photos_warped_images3").glob("*.jpg"))[:10]:
        for folder in ("photos_warped_images3", "warped_images3"):
            copy = tmp_path / "in" / folder / photo.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((source / folder / photo.name).read_bytes())
        lines.append(f"photos_warped_images3/{photo.name}||warped_images3/{photo.name}||||{photo.stem}")
    (tmp_path / "in/list.txt").write_text("\n".join(lines))
    report = collections.add(tmp_path, "cuhk", tmp_path / "in", domain="drawings")
    assert (report.good, report.refused) == (10, [])
    arrays = KIND.read(next((tmp_path / "data/cuhk/pictures").glob("*/*[0-9].jpg")))
    assert arrays["photo"].shape[:2] == arrays["sketch"].shape[:2] == (168, 163)
