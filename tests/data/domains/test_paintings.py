"""Paintings: what is embedded and how it is painted, public layouts, and what leaks."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from restore_ml.data import collections, domains, shelf
from restore_ml.data.embedded_photos import PHOTOGRAPHS, decoded
from restore_ml.data.pictures import read_picture
from restore_ml.data.sources import painters
from restore_ml.data.sources import paintings as source
from restore_ml.data.sources.painters import FAMILIES
from restore_ml.seeds import generator
from tests.data.domains.collected import clip, hashes, made, picture, prepared

PAINTINGS = domains.get("paintings")
MAKERS = PAINTINGS.embedded()
PHOTO = (np.indices((192, 192)).sum(0)[..., None] * np.array([1, 2, 3]) % 256).astype(np.uint8)
"""A picture of whole numbers that no decoder touches."""


def add(root: Path, path: Path, name: str = "mine", **options: str) -> collections.Report:
    return collections.add(root, name, path, domain="paintings", **options)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("paintings")
    made(root, "paintings", MAKERS["paintings"])
    return root


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training side in two families that are painted in a moment: what is said is the same for all."""
    root = tmp_path_factory.mktemp("paintings_train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "FAMILIES", {name: FAMILIES[name] for name in ("ink", "planes")})
        made(root, "paintings_train", MAKERS["paintings_train"])
    return root


def colours(*splits: str) -> dict[str, str]:
    """The split of one colour photograph of each group, by its name; those of foolbox are not painted."""
    found: dict[str, tuple[str, str]] = {}
    for photo, value in decoded(splits):
        if photo.package != "foolbox" and value.shape[2] == 3 and min(value.shape[:2]) >= 192:
            found.setdefault(photo.group or photo.name, (photo.name, photo.split))
    return dict(found.values())


def test_test_side_by_family(tested: Path) -> None:
    """A painting of each test photograph in each of seven families, all of them synthetic."""
    about = collections.describe(tested / "data/paintings")
    assert (about["role"], about["domain"], about["synthetic"]) == ("test", "paintings", True)
    photos = colours("test")
    assert {"astronaut", "coffee", "flower", "chelsea"} <= photos.keys()
    assert about["pictures"].keys() == {f"{family}/{name}.png" for family in FAMILIES for name in photos}
    assert {facts["group"] for facts in about["pictures"].values()} == {f"{family} (test)" for family in FAMILIES}
    licences = {photo.name: (photo.licence, photo.source) for photo in PHOTOGRAPHS}
    for name, facts in about["pictures"].items():
        assert (facts["licence"], facts["source"]) == licences[Path(name).stem] and "split" not in facts
    rows, refused = prepared(tested)
    assert refused == {} and len(rows) == len(about["pictures"])
    assert all(row["synthetic"] and (row["width"], row["height"], row["channels"]) == (192, 192, 3)
               for row in rows.values())


def test_training_side_shares_no_photograph_and_no_group(tested: Path, training: Path) -> None:
    about = collections.describe(training / "data/paintings_train")
    photos = colours("train", "validation")
    assert about["role"] == "train" and about["pictures"].keys() == {
        f"{family}/{name}.png" for family in ("ink", "planes") for name in photos}
    for name, facts in about["pictures"].items():
        split = photos[Path(name).stem]
        assert facts["split"] == split and facts["group"] == f"{name.partition('/')[0]} ({split})"
    assert set(photos.values()) == {"train", "validation"} and not photos.keys() & colours("test").keys()
    rows, refused = prepared(training)
    assert refused == {} and len(rows) == len(about["pictures"])
    sides: dict[str, set[str]] = {}
    for row in rows.values():
        sides.setdefault(row["group"], set()).add(row["split"])
    assert len(sides) == 4 and all(len(side) == 1 for side in sides.values())
    other = collections.describe(tested / "data/paintings")["pictures"].values()
    assert not sides.keys() & {facts["group"] for facts in other}


def test_the_illustrations_are_those_of_the_package(tmp_path: Path) -> None:
    about = made(tmp_path, "paintings_book", MAKERS["paintings_book"])
    assert (about["role"], about["synthetic"], about["licence"]) == ("test", False, "public domain")
    folder = tmp_path / "data/paintings_book/pictures"
    assert {read_picture(folder / name).shape[:2] for name in about["pictures"]} == {(768, 464), (917, 600)}
    for name in about["pictures"]:
        assert (folder / name).read_bytes() == shelf.read("nikola", f"nikola/data/samplesite/images/{name}")
    rows, refused = prepared(tmp_path)
    assert refused == {} and {row["group"] for row in rows.values()} == {"A Bid for Fortune"}


def test_what_is_embedded_is_the_same_bytes_twice(training: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FAMILIES", {name: FAMILIES[name] for name in ("ink", "planes")})
    made(tmp_path, "paintings_train", MAKERS["paintings_train"])
    assert hashes(tmp_path / "data") == hashes(training / "data")


@pytest.mark.parametrize(("family", "pinned"), [
    ("strokes", "2f91367cfd86f161"), ("swirls", "b26cbace86eea2e8"), ("dots", "cc5f22ef598c2fad"),
    ("mosaic", "9a8cf640ff79e325"), ("ink", "b1a029ccc01bb208"), ("planes", "07280c1a719a7a72"),
    ("hatching", "7228eff863f400b2")])
def test_one_painting_of_each_family_is_pinned(family: str, pinned: str) -> None:
    """Whole numbers throughout, so these bytes come out everywhere."""
    found = source.painted(PHOTO, family, "pinned")
    assert found.shape == (192, 192, 3) and found.dtype == np.uint8
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == pinned


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    return next(value for photo, value in decoded(("test",)) if photo.name == "coffee")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_painting_shows_the_photograph_and_follows_its_seed(coffee: np.ndarray, family: str) -> None:
    """Its coarse tones correlate with the photograph's; another seed gives another painting."""
    photo, first = source.square(coffee), source.painted(coffee, family, "coffee")
    coarse = [painters.grey_of(value).reshape(12, 16, 12, 16).mean(axis=(1, 3)).ravel() for value in (photo, first)]
    assert np.corrcoef(coarse)[0, 1] > 0.55
    assert not np.array_equal(first, photo) and not np.array_equal(first, source.painted(coffee, family, "other"))


def test_strokes_have_24_colours_at_most(coffee: np.ndarray) -> None:
    found = source.painted(coffee, "strokes", "coffee").reshape(-1, 3)
    known = {tuple(colour) for colour in painters.palette(source.square(coffee)).tolist()}
    assert {tuple(colour) for colour in np.unique(found, axis=0).tolist()} <= known and len(known) == 24


def test_strokes_come_closer_than_one_colour(coffee: np.ndarray) -> None:
    photo = source.square(coffee).astype(int)
    found = source.painted(coffee, "strokes", "coffee").astype(int)
    assert np.abs(found - photo).mean() < 0.4 * np.abs(photo - photo.mean((0, 1))).mean()


def test_swirls_are_blue_and_yellow_and_streaked_along_edges() -> None:
    """Beside a vertical edge, where the tone is even, the streaks run downwards: they vary less down than across."""
    photo = np.full((192, 192, 3), 70, np.uint8)
    photo[:, 96:] = 190
    found = painters.swirls(photo, generator("a test"))
    beside = painters.grey_of(found)[:, 99:103]
    across, down = np.abs(np.diff(beside, axis=1)).mean(), np.abs(np.diff(beside, axis=0)).mean()
    assert down < 0.6 * across
    dark, light = found[:, 10:80].mean((0, 1)), found[:, 110:180].mean((0, 1))
    assert dark[2] > dark[0] + 30 and light[0] > light[2] + 30


def test_dots_lie_apart_and_fill_the_picture() -> None:
    """On black the dots are dark on light ground; there is hardly a place for one more."""
    found = painters.dots(np.zeros((192, 192, 3), np.uint8), generator("a test"))
    ground = (found == (240, 234, 214)).all(axis=2)
    blocks = ~ground.reshape(24, 8, 24, 8).all(axis=(1, 3))
    assert blocks.all() and 0.2 < ground.mean() < 0.7


def test_mosaic_cells_have_one_colour_each_with_a_border_between() -> None:
    from scipy.ndimage import label

    rng = np.random.default_rng(1)
    found = painters.mosaic(rng.integers(0, 256, (192, 192, 3), dtype=np.uint8), generator("a test"))
    inner = ~(found == (34, 30, 30)).all(axis=2)
    cells, count = label(inner)
    assert 200 < count < 300 and 0.1 < 1 - inner.mean() < 0.35
    for number in range(1, count + 1, 10):
        assert len(np.unique(found[cells == number], axis=0)) == 1


def test_ink_has_little_colour_and_dark_lines_on_edges(coffee: np.ndarray) -> None:
    found = source.painted(coffee, "ink", "coffee").astype(int)
    photo = source.square(coffee).astype(int)
    assert np.ptp(found, axis=2).mean() < 0.4 * np.ptp(photo, axis=2).mean()
    edge = np.full((192, 192, 3), 60, np.uint8)
    edge[:, 96:] = 220
    drawn = painters.grey_of(painters.ink(edge, generator("a test")))
    assert drawn[:, 94].mean() + 40 < drawn[:, 60].mean() and drawn[:, 150].mean() > drawn[:, 60].mean()


def test_planes_are_flat_and_bounded_by_straight_lines() -> None:
    rng = np.random.default_rng(2)
    found = painters.planes(rng.integers(0, 256, (192, 192, 3), dtype=np.uint8), generator("a test"))
    assert 17 <= len(np.unique(found.reshape(-1, 3), axis=0)) <= 137  # 16 lines cut a plane into 137 pieces at most


def test_hatching_is_denser_where_it_is_darker() -> None:
    photo = np.repeat(np.linspace(0, 255, 192).astype(np.uint8)[None], 192, axis=0)[..., None].repeat(3, axis=2)
    inked = (painters.hatching(photo, generator("a test"))[..., 0] < 128).mean(axis=0).reshape(8, 24).mean(axis=1)
    assert (np.diff(inked) <= 0.01).all() and inked[0] > 0.5 and inked[-1] == 0


def test_blur_and_slopes_are_those_of_scipy() -> None:
    from scipy.ndimage import sobel, uniform_filter

    values = np.random.default_rng(1).integers(0, 256, (40, 50))
    for radius in (1, 3):
        plain = uniform_filter(values.astype(float), 2 * radius + 1, mode="nearest")
        assert np.abs(painters.blurred(values, radius) - plain).max() < 2
    right, down = painters.slopes(values)
    assert np.array_equal(right, sobel(values, axis=1, mode="nearest"))
    assert np.array_equal(down, sobel(values, axis=0, mode="nearest"))


def test_a_folder_an_artist(tmp_path: Path) -> None:
    for artist, count in (("monet", 3), ("van gogh", 2)):
        for number in range(count):
            picture(tmp_path / f"in/style/{artist}/{number}.png", clip(hash_of(artist, number), 1)[0])
    (tmp_path / "in/style/monet/about.txt").write_text("a painter")
    report = add(tmp_path, tmp_path / "in", role="train")
    assert report.note == "Read as a folder for each of 2 artists, none of whom is split."
    about = collections.describe(tmp_path / "data/mine")
    assert (report.good, report.skipped, about["layout"]) == (5, 1, "folders")
    assert {name: facts["group"] for name, facts in about["pictures"].items()} == {
        f"style/{artist}/{number}.png": f"style/{artist}" for artist, count in (("monet", 3), ("van gogh", 2))
        for number in range(count)}
    rows, refused = prepared(tmp_path)
    sides = {(row["group"], row["split"]) for row in rows.values()}
    assert refused == {} and len(sides) == 2 and {split for _, split in sides} == {"train", "validation"}


def hash_of(*parts: object) -> int:
    return int(generator(*parts).integers(10_000))


@pytest.mark.parametrize(("role", "good"), [("train", 3), ("test", 2), ("mixed", 5)])
def test_cyclegan_folders_hold_the_paintings_on_side_a(tmp_path: Path, role: str, good: int) -> None:
    for folder, count in (("trainA", 3), ("trainB", 4), ("testA", 2), ("testB", 1)):
        for number in range(count):
            picture(tmp_path / f"in/{folder}/{number}.png", clip(hash_of(folder, number), 1)[0])
    report = add(tmp_path, tmp_path / "in", role=role)
    assert report.good == good and collections.describe(tmp_path / "data/mine")["layout"] == "cyclegan"
    assert report.note == ("Read as a CycleGAN folder of paintings (A) and photographs (B): "
                           f"{good} files of side A are taken, {10 - good} other files are not.")


def test_a_tested_artist_trains_nothing(tmp_path: Path) -> None:
    from restore_ml.base.files import read_json, write_json

    for number in range(4):
        picture(tmp_path / f"in/{'ab'[number % 2]}/{number}.png", clip(number, 1)[0])
    add(tmp_path, tmp_path / "in", role="mixed")
    about = read_json(tmp_path / "data/mine/collection.json")
    about["pictures"]["a/0.png"]["split"] = "test"
    write_json(tmp_path / "data/mine/collection.json", about)
    rows, refused = prepared(tmp_path)
    assert refused == {"mine/pictures/a/2.png": "same group as the test picture mine/pictures/a/0.png"}
    assert {row["split"] for row in rows.values() if row["group"] == "b"} == {"train"}


def test_equal_and_similar_paintings_are_kept_out(tmp_path: Path, coffee: np.ndarray) -> None:
    painted = source.painted(coffee, "swirls", "coffee")
    picture(tmp_path / "test/a.png", painted)
    picture(tmp_path / "train/same/other name.bmp", painted)
    picture(tmp_path / "train/again/coded.jpg", painted)
    picture(tmp_path / "train/lighter/x.png", (painted.astype(int) * 9 // 10 + 20).astype(np.uint8))
    picture(tmp_path / "train/cut/x.png", painted[20:150, 30:])
    picture(tmp_path / "train/fair/x.png", source.painted(coffee, "mosaic", "coffee"))
    add(tmp_path, tmp_path / "test", "tested")
    add(tmp_path, tmp_path / "train", role="train")
    rows, refused = prepared(tmp_path)
    near = "near-duplicate of the test picture tested/pictures/a.png"
    assert refused == {"mine/pictures/same/other name.bmp": "duplicate of the test picture tested/pictures/a.png",
                       "mine/pictures/again/coded.jpg": near, "mine/pictures/lighter/x.png": near,
                       "mine/pictures/cut/x.png": "shares an area with the test picture tested/pictures/a.png"}
    assert rows["mine/pictures/fair/x.png"]["split"] == "train"
