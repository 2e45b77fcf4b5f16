"""The embedded pictures: laid out once, whole, the same everywhere; a changed wheel is noticed."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.data import domains, embedded_photos
from restore_ml.data.collections import PICTURES, describe
from restore_ml.data.domains import scenes
from restore_ml.data.embedded import lay_out
from restore_ml.data.embedded_photos import PHOTOGRAPHS, TILE
from restore_ml.data.pictures import read_picture
from restore_ml.data.scenes import read_scene
from restore_ml.data.sources import old_photos, real_scenes
from restore_ml.degradations.clouds import scene


@pytest.fixture(scope="module", autouse=True)
def _two_domains() -> Iterator[None]:
    """Those that need no shelf and are made in a moment; each other kind of data has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domains, "names", lambda: ["photos", "scenes"])
        patch.setattr(real_scenes, "makers", dict)
        patch.setattr(old_photos, "makers", dict)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    lay_out(folder)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_collections_and_counts(root):
    counts = {folder.name: len(list((folder / PICTURES).iterdir())) for folder in (root / "data").iterdir()}
    assert counts == {"photos": 34, "photos_train": 31, "scenes": 12, "scenes_train": 14}
    assert [folder.name for folder in lay_out(root)] == ["photos", "photos_train", "scenes", "scenes_train"]
    for folder in (root / "data").iterdir():
        about = describe(folder)
        assert about["synthetic"] == (about["domain"] == "scenes")
        assert set(about["pictures"]) == {path.name for path in (folder / PICTURES).iterdir()}
    photos = {**describe(root / "data/photos")["pictures"], **describe(root / "data/photos_train")["pictures"]}
    assert all(facts["licence"] and facts["source"] and facts["group"] for facts in photos.values())


def test_twice_changes_nothing_and_leaves_nothing_behind(root):
    before = hashes(root)
    lay_out(root)
    assert hashes(root) == before
    assert list((root / ".state").iterdir()) == []


def test_bytes_are_the_same_in_another_place(root, tmp_path):
    lay_out(tmp_path)
    assert hashes(tmp_path / "data") == hashes(root / "data")


def test_tiles_are_cut_from_the_photographs(root):
    from skimage import data

    about = describe(root / "data/photos")
    for name, source in (("astronaut_256_64", data.astronaut()), ("coffee_396_200", data.coffee()),
                         ("camera_64_256", data.camera()[:, :, None])):
        x, y = (int(part) for part in name.split("_")[1:])
        tile = read_picture(root / f"data/photos/pictures/{name}.png")
        assert np.array_equal(tile, source[y:y + TILE, x:x + TILE])
    groups = {facts["group"] for facts in about["pictures"].values()}
    assert groups == set(about["reserved"]) == {
        "astronaut", "coffee", "flower", "chelsea", "camera", "imagenet_02_438", "imagenet_04_949", "imagenet_07_609",
        "imagenet_10_541", "imagenet_13_471", "imagenet_15_99"}
    assert sum(facts["licence"].startswith("MIT") for facts in about["pictures"].values()) == 12, "two tiles of each"


def test_tiles_lie_inside_and_do_not_overlap():
    sources = embedded_photos._sources()
    for photo in PHOTOGRAPHS:
        height, width = read_picture(sources[photo.name]).shape[:2]
        assert bool(photo.tiles) == (photo.split == "test")
        for x, y in photo.tiles:
            assert 0 <= x <= width - TILE and 0 <= y <= height - TILE
        for (x, y), (u, v) in combinations(photo.tiles, 2):
            assert abs(x - u) >= TILE or abs(y - v) >= TILE


def test_training_files_are_the_wheels_own(root):
    table = {photo.file: photo for photo in PHOTOGRAPHS}
    for path in (root / "data/photos_train/pictures").iterdir():
        assert sha256_of_file(path) == table[path.name].sha256
    pictures = describe(root / "data/photos_train")["pictures"]
    assert {name for name, facts in pictures.items() if facts["split"] == "validation"} == {"retina.jpg", "rocket.jpg",
                                                                                              "coins.png"}
    assert pictures["motorcycle_left.png"]["group"] == pictures["motorcycle_right.png"]["group"] == "motorcycle"


def test_scenes_hold_the_generator_values(root):
    found = read_scene(root / "data/scenes/pictures/scene_103.safetensors")
    made = scene(scenes.SEED, 103, size=scenes.SIZE, bands=scenes.BANDS)
    for key in ("target", "reference"):
        assert found[key].dtype == np.float32 and np.abs(found[key] - made[key]).max() <= 0.5e-4 + 1e-6
    assert np.array_equal(found["labels"], made["labels"])


def test_a_changed_wheel_is_refused_and_nothing_written(tmp_path, monkeypatch):
    changed = (embedded_photos.Photograph("skimage", "moon.png", "0" * 64, "x", "y"),
               embedded_photos.Photograph("sklearn", "gone.jpg", "0" * 64, "x", "y"), *PHOTOGRAPHS[:2])
    monkeypatch.setattr(embedded_photos, "PHOTOGRAPHS", changed)
    with pytest.raises(UserError, match=r"moon.png, gone.jpg .*scikit-image \d+\.\d+.*scikit-learn \d+\.\d+"):
        lay_out(tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_changed_folder_is_named_not_overwritten(tmp_path):
    lay_out(tmp_path)
    path = tmp_path / "data/photos/pictures/chelsea_33_54.png"
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(path)
    changed = sha256_of_file(path)
    with pytest.raises(UserError, match=r"pictures/chelsea_33_54\.png"):
        lay_out(tmp_path)
    assert sha256_of_file(path) == changed


def test_a_crash_in_the_middle_leaves_whole_collections(tmp_path, monkeypatch):
    def fail(folder, splits):
        folder.mkdir(parents=True)
        (folder / "half").write_text("half")
        raise RuntimeError("power cut")

    monkeypatch.setattr(scenes, "procedural", fail)
    with pytest.raises(RuntimeError):
        lay_out(tmp_path)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"photos", "photos_train"}
    monkeypatch.undo()
    assert len(lay_out(tmp_path)) == 4
