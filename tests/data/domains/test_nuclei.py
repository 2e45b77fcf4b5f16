"""Nuclei: the embedded collections, public layouts, scaling of 16 bits, masks, and what is kept out of training."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from PIL import Image
from scipy import ndimage

from restore_ml.base.files import sha256_of_file
from restore_ml.data import collections, domains, inbox, inbox_files, shelf
from restore_ml.data.domains.nuclei import DOMAIN, combined, eight_bit, without_gaps
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from restore_ml.data.sources import nuclei_drawn
from tests.data.domains.making import lay_out, needs, prepared, size

HEIGHT, WIDTH = 40, 48


def picture(number: int) -> np.ndarray:
    coarse = np.random.default_rng(number).integers(0, 256, (5, 6), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8), np.uint8))


def outlines(number: int, count: int = 3) -> np.ndarray:
    """Squares of 5 pixels with numbers that leave gaps."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for index in range(count):
        top, left = 3 + 7 * index, (11 * number + 13 * index) % 40
        labels[top:top + 5, left:left + 5] = 300 * (index + 1) + number
    return labels


def save_pair(folder: Path, name: str, number: int, ending: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(number)).save(folder / f"{name}{ending}")
    Image.fromarray(outlines(number)).save(folder / f"{name}.instances.png")


def save_bowl(folder: Path, number: int, masks: list[np.ndarray] | None = None, mode: str = "RGBA") -> Path:
    """A field as the Data Science Bowl has it."""
    labels = outlines(number)
    (folder / "images").mkdir(parents=True)
    Image.fromarray(picture(number)).convert(mode).save(folder / f"images/{folder.name}.png")
    (folder / "masks").mkdir()
    for index, mask in enumerate([labels == value for value in np.unique(labels)[1:]] if masks is None else masks):
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"masks/{index:02d}.png")
    return folder


# --- what a record is


def test_a_picture_and_its_label_map(tmp_path: Path) -> None:
    save_pair(tmp_path, "f", 1)
    arrays = DOMAIN.read(tmp_path)
    assert np.array_equal(arrays["image"], picture(1)[:, :, None]) and arrays["instances"].dtype == np.int32
    expected = (outlines(1) // 300).astype(np.int32)  # 301, 601, 901 become 1, 2, 3
    assert np.array_equal(arrays["instances"][:, :, 0], expected)
    assert np.array_equal(DOMAIN.luma(arrays), picture(1))


def test_levels_of_sixteen_bits_are_scaled_by_the_picture_itself(tmp_path: Path) -> None:
    """By hand: 1000 levels from 500; 999 of them are at most 500 + 999 * 4 = 4496, which becomes white."""
    levels = (500 + 4 * np.arange(1000)).astype(np.uint16)
    scaled = eight_bit(levels)
    assert scaled[0] == 0 and scaled[-1] == 255 and scaled[500] == 128  # 2000 / 3996 * 255 = 127.6
    assert eight_bit(np.array([0, 7, 235], np.uint16)).tolist() == [0, 7, 235]
    assert eight_bit(np.full(9, 4000, np.uint16)).tolist() == [0] * 9
    bright = np.full((40, 40), 1000, np.uint16)
    bright[:2] = 3000
    bright[0, 0] = 60000  # a hot pixel does not darken the rest
    Image.fromarray(bright).save(tmp_path / "a.png")
    Image.fromarray(bright).save(tmp_path / "b.tif")
    for name in ("a.png", "b.tif"):
        image = DOMAIN.read(tmp_path / name)["image"]
        assert image[0, 0, 0] == 255 and image[1, 1, 0] == 255 and not image[2:].any()


def test_colour_of_sixteen_bits_and_colour_that_is_grey(tmp_path: Path) -> None:
    import cv2

    levels = np.zeros((20, 20, 3), np.uint16)
    levels[..., 2], levels[5:10, :, 1] = 1000, 2000  # OpenCV writes blue, green, red
    cv2.imwrite(str(tmp_path / "deep.png"), levels)
    image = DOMAIN.read(tmp_path / "deep.png")["image"]
    assert image.shape == (20, 20, 3) and image[0, 0].tolist() == [128, 0, 0] and image[6, 0].tolist() == [128, 255, 0]
    Image.fromarray(picture(1)).convert("RGBA").save(tmp_path / "grey.png")
    assert np.array_equal(DOMAIN.read(tmp_path / "grey.png")["image"], picture(1)[:, :, None])


def test_overlapping_masks_holes_and_copies(tmp_path: Path) -> None:
    """A ring is filled, the nucleus within it stays, a pixel of two belongs to the smaller, a copy and an empty mask
    are no nuclei."""
    ring, within, beside = (np.zeros((HEIGHT, WIDTH), bool) for _ in range(3))
    ring[4:24, 4:24] = True
    ring[8:20, 8:20] = False
    within[10:14, 10:14] = True
    beside[20:30, 18:40] = True  # 220 pixels, of which 4 x 6 lie in the ring
    beside[25, 25] = False
    found = DOMAIN.read(save_bowl(tmp_path / "f", 1, [ring, within, ring, beside, ring & False]))["instances"][:, :, 0]
    assert found.max() == 3 and [int((found == value).sum()) for value in (1, 2, 3)] == [400 - 16 - 24, 16, 220]
    assert (found[10:14, 10:14] == 2).all() and (found[20:24, 18:24] == 3).all() and found[25, 25] == 3
    assert found[9, 9] == 1 and found[30, 30] == 0


def test_a_field_without_masks_and_one_without_nuclei(tmp_path: Path) -> None:
    place = save_bowl(tmp_path / "f", 1, [])
    assert not DOMAIN.read(place)["instances"].any()
    shutil.rmtree(place / "masks")
    assert set(DOMAIN.read(place)) == {"image"}


@settings(max_examples=60, deadline=None)
@given(st.lists(numpy_arrays(bool, (6, 7)), max_size=6))
def test_every_marked_pixel_belongs_to_one_nucleus_and_numbers_have_no_gaps(masks: list[np.ndarray]) -> None:
    found = combined(masks, (6, 7))
    union = np.zeros((6, 7), bool)
    for mask in masks:
        union |= mask
    assert np.array_equal(found[:, :, 0] > 0, union)
    assert np.unique(found[found > 0]).tolist() == list(range(1, found.max() + 1))
    for value in range(1, found.max() + 1):
        assert any((mask | (found[:, :, 0] != value)).all() for mask in masks)  # within one of the masks


@settings(max_examples=40, deadline=None)
@given(numpy_arrays(np.int64, (5, 6), elements=st.integers(0, 40)))
def test_numbers_without_gaps_keep_order_and_areas(labels: np.ndarray) -> None:
    found = without_gaps(labels)[:, :, 0]
    pairs = sorted({*zip(labels.ravel().tolist(), found.ravel().tolist(), strict=True)})
    assert [new for old, new in pairs if old] == list(range(1, len([old for old, _ in pairs if old]) + 1))
    assert all(new == 0 for old, new in pairs if old == 0)


# --- public layouts


def test_dsb2018(tmp_path: Path) -> None:
    for number in range(3):
        save_bowl(tmp_path / f"in/stage1_train/{'abc'[number]}{number}", number)
    (tmp_path / "in/stage1_train_labels.csv").write_text("x")
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    assert report.good == 3 and report.refused == []
    assert report.note == "Read as a folder for each of 3 fields; 1 other files are not taken."
    about = collections.describe(tmp_path / "data/mine")
    assert about["layout"] == "dsb2018" and about["pictures"]["stage1_train/b1"] == {"group": "b1"}
    arrays = DOMAIN.read(tmp_path / "data/mine/pictures/stage1_train/c2")
    assert np.array_equal(arrays["instances"][:, :, 0], outlines(2) // 300)
    assert arrays["image"].shape == (HEIGHT, WIDTH, 1)


def test_a_label_map_beside_each_picture(tmp_path: Path) -> None:
    """At the top, in a folder with others, alone in a folder; a picture without one; what is copied is read alike."""
    save_pair(tmp_path / "in", "top", 1)
    save_pair(tmp_path / "in/slide", "a", 2, ".tif")
    save_pair(tmp_path / "in/slide", "b", 3)
    save_pair(tmp_path / "in/alone", "c", 4)
    Image.fromarray(picture(5)).save(tmp_path / "in/slide/d.png")
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    assert report.good == 5 and report.refused == []
    home = tmp_path / "data/mine/pictures"
    assert {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()} == {
        "top/top.png", "top/top.instances.png", "slide/a/a.tif", "slide/a/a.instances.png", "slide/b/b.png",
        "slide/b/b.instances.png", "alone/c.png", "alone/c.instances.png", "slide/d.png"}
    assert [check.good for check in collections.check(tmp_path)] == [5]
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    records = [record for split in ("train", "validation")
               for record in Shards(tmp_path / f"prepared/nuclei/{split}")]
    counts = {record.facts["name"]: int(record.arrays["instances"].max()) if "instances" in record.arrays else None
              for record in records}
    assert counts == {"top": 3, "slide/a": 3, "slide/b": 3, "alone": 3, "slide/d": None}
    for number, name in ((1, "top"), (2, "slide/a")):
        assert np.array_equal(DOMAIN.read(home / name)["instances"][:, :, 0], outlines(number) // 300)


def test_a_folder_a_group(tmp_path: Path) -> None:
    save_pair(tmp_path / "in/slide 1", "a", 1)
    save_pair(tmp_path / "in/slide 1", "b", 2)
    save_pair(tmp_path / "in", "c", 3)
    report = collections.add(tmp_path, "mine", tmp_path / "in", layout_name="folders", domain="nuclei")
    assert report.note == "Read as a folder for each of 1 groups, none of which is split."
    assert collections.describe(tmp_path / "data/mine")["pictures"] == {
        "slide 1/a": {"group": "slide 1"}, "slide 1/b": {"group": "slide 1"}}


def test_an_inbox_takes_pairs_and_keeps_refused_ones_together(tmp_path: Path) -> None:
    box = tmp_path / "box"
    save_pair(box, "good", 1)
    save_pair(box, "bad", 2)
    Image.fromarray(outlines(2)[:-1]).save(box / "bad.instances.png")
    save_pair(box, "late", 3)
    (box / "late.instances.png").rename(box / "late.instances.png.part")
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="nuclei")
    reason = "bad.instances.png: 48 x 39 pixels, but the picture has 48 x 40"
    assert taken.refused == [("bad", reason)] and "good" in taken.added
    assert {path.name for path in (box / inbox_files.QUARANTINE / "bad").iterdir()} == {"bad.png", "bad.instances.png"}
    taken.finish()
    assert not (box / "good.png").exists() and not (box / "good.instances.png").exists()
    save_pair(box, "good", 1)
    assert inbox.take(tmp_path, box, "mine", settle=0.0, domain="nuclei").already == ["good"]


@pytest.mark.benchmark_data
def test_real_fields_of_dsb2018(tmp_path: Path, benchmark_data: Path) -> None:
    folder = benchmark_data / "nuclei_dsb2018/stage1_train"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    taken = sorted(folder.iterdir())[:6]
    for place in taken:
        shutil.copytree(place, tmp_path / "in/stage1_train" / place.name)
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    assert report.good == 6 and report.refused == []
    for place in taken[:3]:
        arrays = DOMAIN.read(place)
        masks = [np.asarray(Image.open(path)) > 0 for path in (place / "masks").iterdir()]
        assert arrays["instances"].max() == len(masks)
        union = ndimage.binary_fill_holes(np.any(masks, axis=0))
        assert (arrays["instances"][:, :, 0] > 0)[np.any(masks, axis=0)].all()
        assert not (arrays["instances"][:, :, 0] > 0)[~union].any()
    counts, reasons = prepared(tmp_path)
    assert sum(counts.values()) == 6 and reasons == {}


# --- the embedded collections

ALL = ("nuclei", "nuclei_drawn", "nuclei_drawn_train", "nuclei_train")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, object]]]:
    needs("stardist", "ndev-sampledata")
    root = tmp_path_factory.mktemp("nuclei")
    return root, lay_out(root, "nuclei", *ALL)


def test_counts_by_side_and_group(embedded: tuple[Path, dict[str, dict]]) -> None:
    root, about = embedded
    assert DOMAIN.embedded().keys() == set(ALL)
    sides: dict[str, set[str]] = {}
    for name, made in about.items():
        for facts in made["pictures"].values():
            split = "test" if made["role"] == "test" else facts["split"]
            sides.setdefault(f"{name}:{split}", set()).add(facts["group"])
    assert {side: len(groups) for side, groups in sides.items()} == {
        "nuclei:test": 1, "nuclei_drawn:test": 12, "nuclei_drawn_train:train": 54, "nuclei_drawn_train:validation": 6,
        "nuclei_train:train": 1}
    assert len(set.union(*sides.values())) == 74  # no group on two sides
    assert {name: len(made["pictures"]) for name, made in about.items()} == {
        "nuclei": 4, "nuclei_drawn": 12, "nuclei_drawn_train": 60, "nuclei_train": 10}
    assert [about[name]["synthetic"] for name in ALL] == [False, True, True, False]
    assert [about[name]["licence"] for name in ALL] == [
        "BSD 3-Clause; DSB 2018 (BBBC038): CC0", "same licence as this project", "same licence as this project",
        "BSD 3-Clause"]
    assert "Data Science Bowl 2018" in about["nuclei"]["source"] and about["nuclei"]["reserved"].keys() == {"img2d"}
    assert size(root / "data") < 40e6


def test_prepare_takes_all_of_them(embedded: tuple[Path, dict[str, dict]]) -> None:
    counts, reasons = prepared(embedded[0])
    assert reasons == {}
    assert counts == {"nuclei/test/nuclei": 4, "nuclei/test/nuclei_drawn": 12, "nuclei/train": 64,
                      "nuclei/validation": 6}


def test_the_tiles_make_the_field_of_125_nuclei(embedded: tuple[Path, dict[str, dict]]) -> None:
    import tifffile

    home = embedded[0] / "data/nuclei/pictures"
    mask, image = (tifffile.imread(io.BytesIO(shelf.read("stardist", f"stardist/data/images/{name}.tif")))
                   for name in ("mask2d", "img2d"))
    assert len(np.unique(mask)) == 126
    for top, left in ((0, 0), (0, 256), (256, 0), (256, 256)):
        arrays = DOMAIN.read(home / f"img2d_{left}_{top}")
        part = mask[top:top + 256, left:left + 256]
        assert np.array_equal(arrays["image"][:, :, 0], image[top:top + 256, left:left + 256])
        assert np.array_equal(arrays["instances"][:, :, 0] > 0, part > 0)
        assert arrays["instances"].max() == len(np.unique(part)) - 1
        assert len(np.unique(np.stack([part, arrays["instances"][:, :, 0]]).reshape(2, -1), axis=1).T) == len(
            np.unique(part))  # one number for one number


def test_the_frames_of_the_assay_are_those_of_the_file(embedded: tuple[Path, dict[str, dict]]) -> None:
    import tifffile

    data = shelf.read("ndev-sampledata", "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff")
    stack = tifffile.imread(io.BytesIO(data))
    home, total = embedded[0] / "data/nuclei_train/pictures", 0
    for frame in range(10):
        arrays = DOMAIN.read(home / f"scratch_assay_{frame:02d}")
        assert np.array_equal(arrays["instances"][:, :, 0] > 0, stack[2, frame] > 0)
        assert np.array_equal(np.asarray(Image.open(home / f"scratch_assay_{frame:02d}/scratch_assay_{frame:02d}.png")),
                              stack[0, frame])
        assert 59 <= arrays["instances"].max() <= 83
        total += int(arrays["instances"].max())
    assert total == 730


def test_drawn_nuclei_touch_and_are_whole() -> None:
    """Ten fields: the nuclei of each make at most three quarters as many connected areas, and each is one area."""
    for number in range(1000, 1010):
        image, labels = nuclei_drawn.field(number)
        count = int(labels.max())
        assert (image.dtype, image.shape, labels.shape) == (np.uint8, (128, 128), (128, 128))
        assert np.unique(labels).tolist() == list(range(count + 1)) and 20 <= count <= 52
        assert ndimage.label(labels > 0)[1] <= 0.75 * count
        assert 0.1 < (labels > 0).mean() < 0.4
        assert image[labels > 0].mean() > 3 * image[labels == 0].mean()
        parts = [ndimage.label(labels == value)[1] for value in range(1, count + 1)]
        assert np.mean(np.array(parts) == 1) > 0.9


def test_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nuclei_drawn, "TESTED", range(1000, 1004))
    makers = [DOMAIN.embedded()["nuclei_drawn"]]
    if not shelf.fault(shelf.package("stardist")):
        makers.append(DOMAIN.embedded()["nuclei"])
    for number, make in enumerate(makers):
        made = [make(tmp_path / f"{name}{number}") for name in ("a", "b")]
        files = [{path.relative_to(tmp_path / f"{name}{number}"): sha256_of_file(path)
                  for path in (tmp_path / f"{name}{number}").rglob("*.png")} for name in ("a", "b")]
        assert made[0] == made[1] and files[0] == files[1] and len(files[0]) == 8
        assert len(set(files[0].values())) == 8


def test_the_bytes_of_a_test_tile_are_pinned(tmp_path: Path) -> None:
    """Whole numbers throughout."""
    needs("stardist")
    DOMAIN.embedded()["nuclei"](tmp_path / "p")
    assert sha256_of_file(tmp_path / "p/img2d_0_0/img2d_0_0.instances.png") == (
        "727825f7de4ed6db361806bc2d51f06d2f4e15e0405e18209da77c9d592680e2")


# --- what is tested on trains nothing


def test_a_field_that_is_tested_on_trains_nothing(tmp_path: Path) -> None:
    """By group, by equal pixels under another name, and by its look when it was encoded again or changed a little."""
    for number in range(8):
        save_bowl(tmp_path / f"in/slide {number // 2}/f{number}", number, mode="L")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    tests = tmp_path / "tests"
    save_pair(tests, "other name", 1)
    Image.fromarray(picture(2)).save(tests / "encoded again.jpg", quality=85)
    changed = picture(3).astype(np.int16) + np.random.default_rng(0).integers(-6, 7, (HEIGHT, WIDTH))
    Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8)).save(tests / "changed.png")
    collections.add(tmp_path, "tested", tests, domain="nuclei")
    about = collections.describe(tmp_path / "data/mine")
    about["pictures"]["slide 2/f4"] = {"group": "slide 2", "split": "test"}
    about["pictures"]["slide 2/f5"] = {"group": "slide 2"}
    collections.write_json(tmp_path / "data/mine/collection.json", about)
    counts, reasons = prepared(tmp_path)
    assert sum(counts.get(f"nuclei/{split}", 0) for split in ("train", "validation")) == 3
    assert reasons == {
        "mine/pictures/slide 0/f1": "duplicate of the test picture tested/pictures/other name",
        "mine/pictures/slide 1/f2": "near-duplicate of the test picture tested/pictures/encoded again.jpg",
        "mine/pictures/slide 1/f3": "near-duplicate of the test picture tested/pictures/changed.png",
        "mine/pictures/slide 2/f5": "same group as the test picture mine/pictures/slide 2/f4"}


def test_a_crop_of_the_test_field_trains_nothing(embedded: tuple[Path, dict[str, dict]], tmp_path: Path) -> None:
    """The tiles know the crop, what is reserved of the field knows the whole."""
    needs("stardist")
    data = shelf.read("stardist", "stardist/data/images/img2d.tif")
    whole = np.asarray(Image.open(io.BytesIO(data))).astype(np.uint8)
    lay_out(tmp_path, "nuclei", "nuclei")
    (tmp_path / "in").mkdir()
    Image.fromarray(whole[30:220, 20:230]).save(tmp_path / "in/crop.png")
    Image.fromarray(whole).resize((400, 400)).save(tmp_path / "in/whole.png")
    Image.fromarray(picture(1)).save(tmp_path / "in/other.png")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    _, reasons = prepared(tmp_path)
    assert reasons == {
        "mine/pictures/crop.png": "shares an area with the test picture nuclei/pictures/img2d_0_0",
        "mine/pictures/whole.png": "near-duplicate of the test picture nuclei (img2d)"}


def test_the_domain_is_found() -> None:
    assert domains.get("nuclei") is DOMAIN
    arrays = DOMAIN.from_rgb(np.kron(picture(1)[:, :, None], np.ones((1, 1, 3), np.uint8)))
    assert arrays["instances"].shape == (HEIGHT, WIDTH, 1) and arrays["instances"].max() > 3
