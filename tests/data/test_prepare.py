"""The prepare stage on real files: layout, determinism, what changes when pictures come, and no leak into training."""

import io
import resource
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.data.collections import add
from restore_ml.data.likeness import Crops, Looks, fingerprints, look, luma
from restore_ml.data.manifest import COLUMNS, manifests, read_table
from restore_ml.data.pictures import pixel_hash, read_picture
from restore_ml.data.prepare import PREFIX, prepare
from restore_ml.data.shards import Shards
from restore_ml.data.splits import split_of
from restore_ml.seeds import derive
from tests.embedded_pictures import lay_out_photos_and_scenes


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def noise(number: int, side: int = 32) -> np.ndarray:
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))


def save(folder: Path, name: str, array: np.ndarray, **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.squeeze()).save(folder / name, **options)
    return folder / name


def quarantine(out: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in read_table(out / "quarantine.parquet").to_pylist()}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    lay_out_photos_and_scenes(root)
    prepare(root / "data", root / "prepared", 1)
    return root


@pytest.fixture
def copy(project, tmp_path) -> Path:
    """A project with the embedded test tiles, to add to."""
    shutil.copytree(project / "data/photos", tmp_path / "data/photos")
    return tmp_path


def test_layout_and_counts(project):
    counts = {path.parent.relative_to(project / "prepared").as_posix(): rows
              for path in manifests(project / "prepared") if (rows := read_table(path).num_rows)}
    assert counts == {"photos/train": 28, "photos/validation": 3, "photos/test/photos": 34, "scenes/train": 12,
                      "scenes/validation": 2, "scenes/test/scenes": 12}
    assert quarantine(project / "prepared") == {}
    assert not list((project / "prepared").glob(".*"))


def test_manifests_describe_the_records(project):
    for path in manifests(project / "prepared"):
        table, records = read_table(path), Shards(path.parent)
        assert table.schema.equals(COLUMNS) and table["id"].to_pylist() == records.ids == sorted(records.ids)
        for row, record in zip(table.to_pylist(), records, strict=True):
            main = record.arrays.get("image", record.arrays.get("target"))
            assert (row["height"], row["width"], row["channels"]) == main.shape and row["dtype"] == main.dtype.name
            assert record.id == pixel_hash(*(record.arrays[name] for name in sorted(record.arrays)))
            assert record.facts == {key: row[key] for key in ("name", "collection", "group", "synthetic")}
            assert row["synthetic"] == (row["collection"].startswith("scenes")) and row["licence"]
            assert (path.parent / f"{record.id[:PREFIX]}.arrow").is_file()


def test_records_hold_the_pixels(project):
    tile = next(record for record in Shards(project / "prepared/photos/test/photos")
                if record.facts["name"] == "chelsea_33_54")
    assert np.array_equal(tile.arrays["image"], read_picture(project / "data/photos/pictures/chelsea_33_54.png"))
    assert tile.facts["group"] == "chelsea"
    scene = Shards(project / "prepared/scenes/train")[0]
    assert {name: value.dtype.name for name, value in scene.arrays.items()} == {
        "labels": "uint8", "reference": "float32", "target": "float32"}


def test_twice_gives_the_same_bytes(project, tmp_path):
    prepare(project / "data", tmp_path / "again", 1)
    assert hashes(tmp_path / "again") == hashes(project / "prepared")


def test_adding_a_training_picture_changes_only_its_shard(copy):
    chosen = [noise(number) for number in range(40) if split_of(pixel_hash(noise(number)), 1) == "train"]
    for number, array in enumerate(chosen):
        save(copy / "in", f"{number:02d}.png", array)
    # nothing falls into validation, so the one nearest to it stands in; the newcomer is not nearer
    nearest = min(derive("split", 1, pixel_hash(array)) for array in chosen)
    extra = next(noise(number) for number in range(4242, 5000)
                 if derive("split", 1, pixel_hash(noise(number))) > nearest)
    save(copy / "one", "extra.png", extra)
    add(copy, "first", copy / "in", role="train")
    prepare(copy / "data", copy / "prepared", 1)
    before = hashes(copy / "prepared")
    add(copy, "another", copy / "one", role="train")
    prepare(copy / "data", copy / "prepared", 1)
    after = hashes(copy / "prepared")
    shard = f"photos/train/{pixel_hash(extra)[:PREFIX]}.arrow"
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {
        shard, "photos/train/manifest.parquet"}


def test_adding_a_test_set_leaves_training_as_it_is(copy):
    for number in range(5):
        save(copy / "in", f"{number}.png", noise(900 + number))
        save(copy / "learn", f"{number}.png", noise(number))
    add(copy, "learned", copy / "learn", role="train")
    prepare(copy / "data", copy / "prepared", 1)
    before = hashes(copy / "prepared")
    add(copy, "mytest", copy / "in", role="test")
    prepare(copy / "data", copy / "prepared", 1)
    after = hashes(copy / "prepared")
    new = {name for name in after if name.startswith("photos/test/mytest/")}
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == new and len(new) > 1


def jpeg(array: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(array.squeeze()).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def test_no_test_picture_trains_in_any_disguise(copy):
    """Copies of test tiles, of the photographs they were cut from, and of parts of them are quarantined."""
    from skimage import data

    tile = read_picture(copy / "data/photos/pictures/coffee_204_200.png")
    whole = data.astronaut()
    half = np.asarray(Image.fromarray(tile).resize((128, 128)))
    disguises = {"same.png": tile, "jpeg.png": jpeg(tile), "half.png": half, "grey.png": luma(tile),
                 "crop.png": tile[30:130, 60:200], "whole.png": whole, "whole_jpeg.png": jpeg(whole),
                 "other_crop.png": whole[100:400, 50:350], "camera.png": data.camera()}
    for name, array in disguises.items():
        save(copy / "in", name, array)
    save(copy / "in", "fair.png", noise(7))
    add(copy, "sly", copy / "in", role="train")
    prepare(copy / "data", copy / "prepared", 1)
    found = quarantine(copy / "prepared")
    assert set(found) == {f"sly/pictures/{name}" for name in disguises}
    assert found["sly/pictures/same.png"] == "duplicate of the test picture photos/pictures/coffee_204_200.png"
    assert found["sly/pictures/jpeg.png"].startswith("near-duplicate of the test picture photos/pictures/coffee")
    assert found["sly/pictures/crop.png"].startswith("shares an area with the test picture photos/pictures/coffee")
    assert "(astronaut)" in found["sly/pictures/whole_jpeg.png"]
    rows = read_table(copy / "prepared/photos/train/manifest.parquet").to_pylist()
    assert [row["name"] for row in rows if row["collection"] == "sly"] == ["fair"]
    assert len(Shards(copy / "prepared/photos/test/photos")) == 34


def test_no_shard_that_is_learned_from_shares_anything_with_a_test_shard(project):
    for domain, key in (("photos", "image"), ("scenes", "target")):
        test = [record for path in sorted((project / f"prepared/{domain}/test").iterdir()) for record in Shards(path)]
        learn = [record for split in ("train", "validation")
                 for record in Shards(project / f"prepared/{domain}/{split}")]
        assert test and learn and not {item.id for item in test} & {item.id for item in learn}
        if domain == "photos":
            looks = Looks({item.id: look(luma(item.arrays[key])) for item in test})
            crops = Crops({item.id: fingerprints(luma(item.arrays[key])) for item in test})
            for item in learn:
                grey = luma(item.arrays[key])
                assert looks.near(look(grey)) is None and crops.overlap(fingerprints(grey)) is None


def test_refused_files_are_listed_with_the_reason(copy):
    save(copy / "in", "good.png", noise(1))
    (copy / "in/broken.png").write_bytes(b"nothing")
    save(copy / "in", "small.png", noise(2, 8))
    add(copy, "mine", copy / "in", role="test")
    folder = copy / "data/mine/pictures"
    (folder / "later.jpg").write_bytes(b"")
    (folder / "ü 1.png").symlink_to(copy / "in/good.png")
    save(folder, "twin.png", noise(1))
    summary = prepare(copy / "data", copy / "prepared", 1)
    assert quarantine(copy / "prepared") == {
        "mine/pictures/broken.png": "left out when it was added: not an image of a known format",
        "mine/pictures/small.png": "left out when it was added: too small: 8 x 8, the shorter side must be at least 16",
        "mine/pictures/later.jpg": "zero bytes", "mine/pictures/ü 1.png": "a link that leads out of the folder",
        "mine/pictures/twin.png": "duplicate of mine/pictures/good.png"}
    assert summary.counts["photos/test/mine"] == 1 and summary.quarantined == 5
    assert "photos/test/mine: 1 photographs" in str(summary) and "quarantined: 5" in str(summary)


def test_names_by_hand_that_are_no_text(copy):
    path = copy / "data/photos/pictures"
    data = (path / "chelsea_33_54.png").read_bytes()
    (path / "a\udce9.png").write_bytes(data)
    prepare(copy / "data", copy / "prepared", 1)
    assert quarantine(copy / "prepared") == {
        "photos/pictures/a_.png": "its name holds control characters or is not UTF-8"}


def test_missing_files_named_in_collection_json_are_quarantined(copy):
    (copy / "data/photos/pictures/chelsea_33_54.png").unlink()
    prepare(copy / "data", copy / "prepared", 1)
    assert quarantine(copy / "prepared") == {"photos/pictures/chelsea_33_54.png": "not there"}


def test_mixed_collections_state_their_own_split(copy):
    for number, folder in enumerate(("trainA", "trainB", "valA", "testA", "testB")):
        save(copy / "in" / folder, "1.png", noise(50 + number))
    add(copy, "maps", copy / "in", role="mixed")
    prepare(copy / "data", copy / "prepared", 1)
    rows = [row for path in manifests(copy / "prepared") for row in pq.read_table(path).to_pylist()]
    splits = {row["name"]: row["split"] for row in rows if row["collection"] == "maps"}
    by_hash = {f"train{side}/1": split_of(pixel_hash(noise(50 + number)), 1) for number, side in enumerate("AB")}
    assert splits == {"testA/1": "test", "testB/1": "test", "valA/1": "validation", **by_hash}


def test_a_stated_split_of_one_group_has_nothing_to_validate_on_and_says_so(copy):
    for number in range(3):
        save(copy / "in/anna", f"{number}.png", noise(70 + number))
    add(copy, "faces", copy / "in", role="train", layout_name="folders")
    said = str(prepare(copy / "data", copy / "prepared", 1))
    assert "photos/train: 3 photographs" in said and "photos: nothing to validate on" in said
    save(copy / "more/berta", "1.png", noise(80))
    add(copy, "others", copy / "more", role="train", layout_name="folders")
    said = str(prepare(copy / "data", copy / "prepared", 1))
    assert "nothing to validate on" not in said
    splits = {path.parent.name: read_table(path)["group"].to_pylist() for path in manifests(copy / "prepared")
              if path.parts[-4:-2] != ("test", "photos") and path.parent.name in ("train", "validation")
              and path.parts[-3] == "photos"}
    assert sorted(map(tuple, map(set, splits.values()))) == [("anna",), ("berta",)]


def test_what_a_network_disk_puts_into_a_collection_is_no_picture(copy):
    save(copy / "data/photos/pictures/@eaDir/a.png", "SYNOPHOTO_THUMB_M.jpg", noise(3))
    summary = prepare(copy / "data", copy / "prepared", 1)
    assert quarantine(copy / "prepared") == {"photos/pictures/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg":
                                             "left out: put there by a disk or program (@eaDir)"}
    assert summary.counts["photos/test/photos"] == 34


def test_a_failure_leaves_no_pixels_behind(copy):
    def fail(what, done, total):
        raise RuntimeError(what)

    with pytest.raises(RuntimeError, match="decoding pictures"):
        prepare(copy / "data", copy / "prepared", 1, fail)
    assert not (copy / "prepared/.pixels").exists()


def test_nothing_to_prepare(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        prepare(tmp_path / "data", tmp_path / "out", 1)
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="no pictures"):
        prepare(tmp_path / "data", tmp_path / "out", 1)
    (tmp_path / "data/byhand").mkdir()
    with pytest.raises(UserError, match="restore-ml data add"):
        prepare(tmp_path / "data", tmp_path / "out", 1)


def test_memory_stays_flat(tmp_path):
    """70 pictures of 0.8 MB: the peak grows by far less than their 55 MB."""
    folder = tmp_path / "data/many/pictures"
    rng = np.random.default_rng(0)
    for number in range(70):
        save(folder, f"{number}.bmp", rng.integers(0, 256, (512, 512, 3), dtype=np.uint8))
    (tmp_path / "data/many/collection.json").write_text(
        '{"name": "many", "role": "train", "domain": "photos", "synthetic": false, "source": "x", "licence": "x"}')
    peaks = []
    prepare(tmp_path / "data", tmp_path / "out", 1, lambda what, done, total: peaks.append(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024) if what == "decoding pictures" else None, chunk=5)
    assert len(peaks) == 14 and peaks[-1] - peaks[2] < 20


@pytest.mark.parametrize("chunk", [1, 4, 11, 1000])
def test_the_bytes_do_not_depend_on_how_the_pictures_are_cut(copy, chunk):
    """34 test tiles and 8 others, one of them broken and one a crop of a test tile."""
    tile = read_picture(copy / "data/photos/pictures/coffee_204_200.png")
    for number in range(6):
        save(copy / "in", f"{number}.png", noise(number))
    save(copy / "in", "crop.png", tile[20:150, 30:180])
    add(copy, "mine", copy / "in", role="train")
    (copy / "data/mine/pictures/later.png").write_bytes(b"nothing")
    prepare(copy / "data", copy / "whole", 1)
    prepare(copy / "data", copy / "cut", 1, chunk=chunk)
    assert hashes(copy / "cut") == hashes(copy / "whole")
    assert {path.rpartition("/")[2] for path in quarantine(copy / "cut")} == {"crop.png", "later.png"}


def test_the_bytes_do_not_depend_on_which_chunk_ends_first(copy):
    """A mapper that works from the last item to the first, and gives the results in order all the same."""
    def backwards(function, items):
        items = list(items)
        return reversed([function(item) for item in reversed(items)])

    prepare(copy / "data", copy / "whole", 1)
    prepare(copy / "data", copy / "cut", 1, mapper=backwards, chunk=3)
    assert hashes(copy / "cut") == hashes(copy / "whole")
