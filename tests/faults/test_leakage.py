"""No test picture, no part of one and nothing that shows the same is ever in what is trained on."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import registry
from restore_ml.data.collections import add
from restore_ml.data.embedded_photos import PHOTOGRAPHS
from restore_ml.data.likeness import Crops, Looks, fingerprints, look, luma
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.pictures import pixel_hash, read_picture
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from restore_ml.degrading.training import degrade_training
from tests.embedded_pictures import lay_out_photos_and_scenes


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded pictures, a person's collection with disguised test pictures among fair ones, and one with test
    pictures in the folder of both splits; prepared, and degraded for training."""
    root = tmp_path_factory.mktemp("leak")
    lay_out_photos_and_scenes(root)
    tiles = root / "data/photos/pictures"
    sly = root / "in/sly"
    sly.mkdir(parents=True)
    for name, change in FOUND.items():
        Image.fromarray(change(read_picture(tiles / "coffee_204_200.png"))).save(sly / f"{name}.png")
    for number in range(6):
        fair(number).save(sly / f"fair {number}.png")
    (sly / "bytes.png").write_bytes((tiles / "chelsea_33_54.png").read_bytes())
    add(root, "sly", sly, role="train")
    both = root / "in/both"
    for folder in ("trainA", "trainB", "testA", "testB"):
        (both / folder).mkdir(parents=True)
    for folder, number in (("trainA", 20), ("trainB", 21), ("testA", 20), ("testB", 22)):
        fair(number).save(both / folder / f"{number}.png")
    add(root, "both", both, role="mixed")
    prepare(root / "data", root / "prepared", 1)
    for name in ("super_resolution", "inpainting"):
        degrade_training(registry.parts(name), root / "prepared", root / f"samples/{name}", 1, SETTINGS[name])
    return root


SETTINGS = {"super_resolution": {"scales": [2], "variants": []}, "inpainting": {"size": 64, "pool": 1}}


def fair(number: int) -> Image.Image:
    """A picture that shows something else."""
    rng = np.random.default_rng(700 + number)
    coarse = rng.integers(0, 256, (16, 18, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((144, 128), Image.Resampling.BICUBIC)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def sized(picture: np.ndarray, factor: float) -> np.ndarray:
    height, width = picture.shape[:2]
    image = Image.fromarray(picture).resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    return np.asarray(image)


def shifted(picture: np.ndarray, value: int) -> np.ndarray:
    return np.clip(picture.astype(int) + value, 0, 255).astype(np.uint8)


Change = Callable[[np.ndarray], np.ndarray]
FOUND: dict[str, Change] = {
    "the same": lambda p: p, "jpeg 90": lambda p: jpeg(p, 90), "jpeg 30": lambda p: jpeg(p, 30),
    "half": lambda p: sized(p, 0.5), "three halves": lambda p: sized(p, 1.5), "grey": luma,
    "brighter": lambda p: shifted(p, 25), "darker": lambda p: shifted(p, -25),
    "half and jpeg": lambda p: jpeg(sized(p, 0.5), 60), "crop": lambda p: p[20:140, 30:170],
    "border": lambda p: np.pad(p, ((40, 40), (40, 40), (0, 0))), "in a collage": lambda p: np.hstack([p, p[::-1]]),
    "mirrored": lambda p: p[:, ::-1], "upside down": lambda p: p[::-1], "turned": np.rot90,
    "turned twice": lambda p: np.rot90(p, 2), "transposed": lambda p: p.transpose(1, 0, 2),
    "mirrored jpeg": lambda p: jpeg(np.ascontiguousarray(p[:, ::-1]), 60),
    "turned half": lambda p: sized(np.ascontiguousarray(np.rot90(p)), 0.5),
}
"""Disguises that are always seen through."""


def test_every_disguise_is_quarantined_by_name(project: Path) -> None:
    found = {row["path"]: row["reason"] for row in read_table(project / "prepared/quarantine.parquet").to_pylist()}
    sly = {path.removeprefix("sly/pictures/").removesuffix(".png"): reason for path, reason in found.items()
           if path.startswith("sly/")}
    assert {name for name in {**FOUND, "bytes": None} if name not in sly} == set()
    assert not any("fair" in name for name in sly)
    assert all(sly[name].endswith("the test picture photos/pictures/coffee_204_200.png") or "coffee" in sly[name]
               for name in FOUND)
    assert sly["bytes"] == "duplicate of the test picture photos/pictures/chelsea_33_54.png"


def test_a_picture_in_both_splits_is_tested_and_not_trained(project: Path) -> None:
    found = {row["path"]: row["reason"] for row in read_table(project / "prepared/quarantine.parquet").to_pylist()}
    assert found["both/pictures/trainA/20.png"] == "duplicate of the test picture both/pictures/testA/20.png"
    assert "both/pictures/trainB/21.png" not in found
    tested = read_table(project / "prepared/photos/test/both/manifest.parquet")["name"].to_pylist()
    assert sorted(tested) == ["testA/20", "testB/22"]


def grey_of(record: object) -> np.ndarray:
    arrays = record.arrays  # type: ignore[attr-defined]
    image = next(arrays[name] for name in ("image", "hr", "target") if name in arrays)
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image.mean(axis=2, keepdims=True), 0, 1) * 255).astype(np.uint8)
    return luma(image)


def turns(grey: np.ndarray) -> list[np.ndarray]:
    """The eight ways to lay a picture down."""
    return [np.rot90(side, number) for side in (grey, grey[:, ::-1]) for number in range(4)]


def test_nothing_trained_on_equals_resembles_or_overlaps_a_test_picture(project: Path) -> None:
    """Over all shards and pools of training and validation: by pixel hash, by perceptual hash in all eight positions,
    and by fingerprints of parts; the whole photographs of which only tiles are tested count as test pictures."""
    tests = {path.parent: Shards(path.parent) for path in manifests(project / "prepared") if "test" in path.parts[-3:]}
    tested = {f"{folder.name}/{record.facts['name']}": record for folder, shards in tests.items() for record in shards}
    assert len(tested) == 34 + 12 + 2
    hashes = {record.id for record in tested.values()}
    assert hashes == {pixel_hash(*(record.arrays[name] for name in sorted(record.arrays)))
                      for record in tested.values()}
    looks = Looks({name: look(grey_of(record)) for name, record in tested.items()})
    crops = Crops({name: fingerprints(grey_of(record)) for name, record in tested.items()})
    folders = [*(path.parent for path in manifests(project / "prepared") if "test" not in path.parts[-3:]),
               *(project / f"samples/{name}/train" for name in SETTINGS)]
    seen = 0
    for folder in folders:
        for record in Shards(folder):
            assert record.id not in hashes
            for grey in map(np.ascontiguousarray, turns(grey_of(record))):
                assert looks.near(look(grey)) is None, record.facts
                assert crops.overlap(fingerprints(grey)) is None, record.facts
            seen += 1
    assert seen > 60
    wholes = {photo.name for photo in PHOTOGRAPHS if photo.split == "test"}
    trained = read_table(project / "prepared/photos/train/manifest.parquet")["group"].to_pylist()
    assert not wholes & set(trained)
    pools = Shards(project / "samples/inpainting/train/pools/masks")
    assert all(set(record.arrays) == {"mask"} for record in pools)  # no pixels of any picture


def test_training_samples_come_from_training_pictures_alone(project: Path) -> None:
    trained = set(read_table(project / "prepared/photos/train/manifest.parquet")["id"].to_pylist())
    for name in SETTINGS:
        ids = [record.id for record in Shards(project / f"samples/{name}/train")]
        assert ids and set(ids) <= trained
