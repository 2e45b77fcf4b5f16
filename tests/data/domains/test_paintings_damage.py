"""Ways of damaging paintings: each is refused with its reason by name, or kept with the right meaning, beside a good
one. A painting has no annotation but what its own file says of it and the folder of its artist."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.files import read_json, write_json
from restore_ml.data import collections, domains
from tests.data.domains.collected import clip, picture, prepared

PAINTINGS = domains.get("paintings")
PIXELS = clip(1, 1)[0]
GOOD = clip(9, 1)[0]


def cut_file(folder: Path) -> None:
    path = picture(folder / "x/bad.png", PIXELS)
    path.write_bytes(path.read_bytes()[:100])


def empty_file(folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"")


def text_called_png(folder: Path) -> None:
    (folder / "bad.png").write_text("no picture")


def heic(folder: Path) -> None:
    (folder / "bad.heic").write_bytes(bytes(4) + b"ftypheic" + bytes(40))


def floats(folder: Path) -> None:
    Image.fromarray(np.random.default_rng(1).random((40, 40)).astype(np.float32)).save(folder / "bad.tif")


def nothing_to_see(folder: Path) -> None:
    Image.new("RGBA", (40, 40), (200, 10, 10, 0)).save(folder / "bad.png")


def too_small(folder: Path) -> None:
    picture(folder / "bad.png", PIXELS[:10])


def bomb(folder: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))


def turned(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS))).save(folder / "kept.png", exif=exif)


def broken_exif(folder: Path) -> None:
    Image.fromarray(PIXELS).save(folder / "kept.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")


def transparent_corner(folder: Path) -> None:
    layer = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    layer[:6, :6, 3] = 0
    Image.fromarray(layer).save(folder / "kept.png")


def sixteen_bits(folder: Path) -> None:
    Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(folder / "kept.png")


def few_colours(folder: Path) -> None:
    Image.fromarray((PIXELS[:, :, 0] // 64).astype(np.uint8)).convert("P").save(folder / "kept.png")


def ink_colours(folder: Path) -> None:
    Image.fromarray(PIXELS).convert("CMYK").save(folder / "kept.tif")


def two_artists_with_equal_names(folder: Path) -> None:
    picture(folder / "monet/kept.png", PIXELS)
    picture(folder / "manet/kept.png", clip(2, 1)[0])


def artists_that_differ_by_letters_case(folder: Path) -> None:
    picture(folder / "monet/kept.png", PIXELS)
    picture(folder / "Monet/kept.png", clip(2, 1)[0])


def periods_of_an_artist(folder: Path) -> None:
    picture(folder / "monet/early/kept.png", PIXELS)


def a_link_out_of_the_folder(folder: Path) -> None:
    picture(folder.parent / "elsewhere.png", PIXELS)
    (folder / "bad.png").symlink_to(folder.parent / "elsewhere.png")


def thumbnails_of_a_disk(folder: Path) -> None:
    picture(folder / "monet/kept.png", PIXELS)
    picture(folder / "monet/@eaDir/kept.png/thumb.png", PIXELS)


def a_painting_in_no_folder(folder: Path) -> None:
    picture(folder / "kept.png", PIXELS)


BAD_PNG = "bad.png"
CONTENT = [
    (cut_file, {"x/bad.png": "truncated: image file is truncated"}, {}),
    (empty_file, {"bad.jpg": "zero bytes"}, {}),
    (text_called_png, {BAD_PNG: "not an image of a known format"}, {}),
    (heic, {"bad.heic": "a HEIC picture, which is not read: save it as PNG, TIFF or JPEG"}, {}),
    (floats, {"bad.tif": "floating-point pixels, whose range is not known"}, {}),
    (nothing_to_see, {BAD_PNG: "transparent everywhere: there is nothing to see"}, {}),
    (too_small, {BAD_PNG: "too small: 48 x 10, the shorter side must be at least 16"}, {}),
    (bomb, {BAD_PNG: "decompression bomb: "}, {})]
SAID_OF_ITSELF = [
    (turned, {}, {"kept.png": PIXELS}),
    (broken_exif, {}, {"kept.png": PIXELS}),
    (transparent_corner, {}, {"kept.png": np.where((np.indices((36, 48)) < 6).all(0)[..., None], 255, PIXELS)}),
    (sixteen_bits, {}, {"kept.png": PIXELS[:, :, :1]}),
    (few_colours, {}, {"kept.png": (PIXELS[:, :, :1] // 64).repeat(3, axis=2)}),
    (ink_colours, {}, {"kept.tif": PIXELS})]
LAYOUT = [
    (two_artists_with_equal_names, {}, {"monet/kept.png": PIXELS, "manet/kept.png": clip(2, 1)[0]}),
    (artists_that_differ_by_letters_case, {}, {"Monet/kept.png": clip(2, 1)[0], "monet/kept_2.png": PIXELS}),
    (periods_of_an_artist, {}, {"monet/early/kept.png": PIXELS}),
    (a_link_out_of_the_folder, {BAD_PNG: "a link that leads out of the folder"}, {}),
    (thumbnails_of_a_disk, {}, {"monet/kept.png": PIXELS}),
    (a_painting_in_no_folder, {}, {"kept.png": PIXELS})]


@pytest.mark.parametrize(("damage", "refused", "kept"), CONTENT + SAID_OF_ITSELF + LAYOUT,
                         ids=lambda value: getattr(value, "__name__", ""))
def test_damage(tmp_path: Path, damage: Callable[[Path], None], refused: dict[str, str],
                kept: dict[str, np.ndarray]) -> None:
    source = tmp_path / "in"
    picture(source / "good/one.png", GOOD)
    damage(source)
    report = collections.add(tmp_path, "mine", source, domain="paintings")
    found = dict(report.refused)
    for name, reason in refused.items():
        assert found.pop(name).startswith(reason)
    assert found == {} and report.good == 1 + len(kept)
    pictures = tmp_path / "data/mine/pictures"
    for name, values in {"good/one.png": GOOD, **kept}.items():
        assert np.array_equal(PAINTINGS.read(pictures / name)["image"], values)
    said = collections.describe(tmp_path / "data/mine")["pictures"]
    groups = {name: facts["group"] for name, facts in said.items() if "group" in facts}
    assert groups == {name: Path(name).parent.as_posix() for name in {"good/one.png", *kept} if "/" in name}


@pytest.mark.parametrize("group", [3, "", None], ids=["a number", "an empty text", "nothing"])
def test_a_broken_group_stops_with_a_sentence(tmp_path: Path, group: object) -> None:
    from restore_ml.base.errors import UserError

    picture(tmp_path / "in/monet/one.png", GOOD)
    collections.add(tmp_path, "mine", tmp_path / "in", domain="paintings")
    about = read_json(tmp_path / "data/mine/collection.json")
    about["pictures"]["monet/one.png"]["group"] = group
    write_json(tmp_path / "data/mine/collection.json", about)
    with pytest.raises(UserError, match=r"group of 'monet/one\.png' .*; it must be a text"):
        collections.describe(tmp_path / "data/mine")


def test_a_painting_that_breaks_later_is_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"in/artist {number}/one.png", clip(number, 1)[0])
    collections.add(tmp_path, "mine", tmp_path / "in", domain="paintings", role="train")
    path = tmp_path / "data/mine/pictures/artist 1/one.png"
    path.write_bytes(path.read_bytes()[:100])
    rows, refused = prepared(tmp_path)
    assert len(rows) == 2 and list(refused) == ["mine/pictures/artist 1/one.png"]


def test_the_same_painting_for_training_and_testing_of_a_cyclegan_folder(tmp_path: Path) -> None:
    for folder, number in (("trainA", 1), ("trainA", 2), ("testA", 1), ("trainB", 3)):
        picture(tmp_path / f"in/{folder}/{number}.png", clip(number, 1)[0])
    collections.add(tmp_path, "mine", tmp_path / "in", domain="paintings", role="mixed")
    rows, refused = prepared(tmp_path)
    assert refused == {"mine/pictures/trainA/1.png": "duplicate of the test picture mine/pictures/testA/1.png"}
    assert {name: row["split"] for name, row in rows.items()} == {"mine/pictures/testA/1.png": "test",
                                                                 "mine/pictures/trainA/2.png": "train"}
