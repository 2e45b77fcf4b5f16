"""A person's folder read in place: what it holds has the ids, names and groups that a collection would give it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json, write_text
from restore_ml.data import collections, domains, shards
from restore_ml.data.chunks import Chosen, places
from restore_ml.data.domain import identity
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Record
from restore_ml.own.folder import Folder, cropped, take_in
from restore_ml.own.learned import Learned
from restore_ml.own.plan import plan

PHOTOS = domains.get("photos")


def project(root: Path, *learned: np.ndarray) -> Path:
    """A project whose training pictures, in one shard, are called `seen`, `seen 1` and so on."""
    write_text(root / "params.yaml", "profile: quick\n")
    records = [Record(identity({"image": image}), {"image": image}, {"name": f"seen {number}" if number else "seen"})
               for number, image in enumerate(learned)]
    shards.write(root / layout.PREPARED / "photos" / "train" / "00.arrow", records)
    return root


def taken(root: Path, path: Path, name: str = "mine", **more: int) -> tuple[list[Record], Folder]:
    folder = Folder(path, PHOTOS, (), root / "arranged")
    take_in(folder, name, root / "out", Learned(root, PHOTOS), more.get("crop", 0))
    return list(Chosen(places(root / "out"))), folder


@pytest.mark.parametrize("names", [
    ("a.png", "sub/b.tif", "sub/a.png", "sub/deep.er/c.d.png"),
    ("image_SRF_2/one_SRF_2_HR.png", "image_SRF_2/two_SRF_2_HR.png", "image_SRF_2/two_SRF_2_LR.png",
     "image_SRF_3/two_SRF_3_HR.png", "image_SRF_3/one_SRF_3_HR.png")])
def test_records_are_those_of_a_collection(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Ids, facts and pixels as `restore-ml data add` and `prepare` have them, in folders of folders and in layouts."""
    source = tmp_path / "pictures"
    for number, place in enumerate(names):
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(skimage.data.astronaut()[60 * number:60 * number + 50, :70]).save(source / place)
    root = project(tmp_path / "project", skimage.data.coffee()[:80, :80])
    collections.add(tmp_path, "mine", source)
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    known = list(Chosen(places(tmp_path / "prepared/photos/test/mine")))
    own, _ = taken(root, source)
    assert [record.id for record in own] == [record.id for record in known] and len(own) >= 2
    for one, other in zip(own, known, strict=True):
        assert one.facts == other.facts and np.array_equal(one.arrays["image"], other.arrays["image"])


def test_what_models_learned_from_is_left_out(tmp_path: Path) -> None:
    """The picture itself, one that looks like it (mirrored, saved anew), and a piece of it."""
    whole = np.ascontiguousarray(skimage.data.coffee()[:240, :320])
    source = tmp_path / "pictures"
    source.mkdir()
    Image.fromarray(whole).save(source / "same.png")
    Image.fromarray(whole[:, ::-1]).resize((160, 120)).save(source / "mirrored.jpg", quality=90)
    Image.fromarray(whole[100:220, 120:300]).save(source / "piece.png")
    Image.fromarray(skimage.data.astronaut()[:100, :100]).save(source / "other.png")
    cat = np.ascontiguousarray(skimage.data.chelsea()[80:260, 80:380])
    Image.fromarray(cat[20:170, 60:240]).save(source / "ear.png")
    root = project(tmp_path / "project", whole, cat)
    for _ in range(2):  # the second time from what was remembered
        own, folder = taken(root, source)
        assert [record.facts["name"] for record in own] == ["other"]
        assert dict(folder.report.refused) == {
            "same": "it is the picture train/seen, which models learned from",
            "mirrored": "it shows the same as train/seen, which models learned from",
            "piece": "it shares an area with train/seen, which models learned from",
            "ear": "it shares an area with train/seen 1, which models learned from"}
    for path in (root / layout.PREPARED).rglob("*.arrow"):
        path.unlink()
    own, folder = taken(root, source)
    assert len(own) == 5 and "cannot be told: prepared/ has no training photographs" in folder.report.note


def test_a_crop_is_the_middle_and_leaves_small_pictures_whole() -> None:
    picture = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    assert np.array_equal(cropped({"image": picture}, PHOTOS, 4)["image"], picture[0:4, 2:6])
    assert np.array_equal(cropped({"image": picture}, PHOTOS, 6)["image"], picture[:, 1:7])
    assert cropped({"image": picture}, PHOTOS, 0)["image"] is picture
    with pytest.raises(UserError, match="--crop cuts single pictures; scenes are more than that"):
        cropped({"target": picture, "mask": picture}, domains.get("scenes"), 4)


def test_a_crop_is_what_is_taken_in(tmp_path: Path) -> None:
    root = project(tmp_path / "project", skimage.data.coffee()[:80, :80])
    (tmp_path / "pictures").mkdir()
    Image.fromarray(skimage.data.astronaut()[:60, :80]).save(tmp_path / "pictures" / "a.png")
    (record,), _ = taken(root, tmp_path / "pictures", crop=40)
    assert np.array_equal(record.arrays["image"], skimage.data.astronaut()[10:50, 20:60])
    assert record.id == identity(record.arrays)


def test_a_draw_does_not_depend_on_what_else_is_called(tmp_path: Path) -> None:
    for number in range(9):
        Image.fromarray(skimage.data.astronaut()[50 * number:50 * number + 40, :40]).save(tmp_path / f"{number}.png")
    folder = Folder(tmp_path, PHOTOS, (), tmp_path / ".arranged")
    folder.choose(4)
    drawn = [item.path for item in folder.found]
    assert len(drawn) == 4 and drawn == sorted(drawn) and "5 more were not drawn" in folder.report.note
    (tmp_path / drawn[0]).unlink()
    again = Folder(tmp_path, PHOTOS, ("8.png",) if "8.png" not in drawn else (), tmp_path / ".arranged")
    again.choose(4)
    assert set(drawn[1:]) <= {item.path for item in again.found}


def test_whatever_else_lay_there_goes(tmp_path: Path) -> None:
    root = project(tmp_path / "project", skimage.data.coffee()[:80, :80])
    source = tmp_path / "pictures"
    source.mkdir()
    Image.fromarray(skimage.data.astronaut()[:60, :60]).save(source / "a.png")
    write_json(root / "out" / "old.json", {})
    Image.fromarray(skimage.data.astronaut()[:60, :60]).save(source / "b.bmp")
    own, folder = taken(root, source)
    assert folder.report.refused == [("b", "the same pixels as 'a'")] and folder.report.good == 1
    assert len(own) == 1 and [path.suffix for path in (root / "out").iterdir()] == [".arrow"]


def test_what_it_will_cost_counts_faces_and_not_the_folders_of_persons(tmp_path: Path) -> None:
    for person in ("anna", "ben", "carl", "dora"):
        for number in range(3):
            (tmp_path / "faces" / person).mkdir(parents=True, exist_ok=True)
            Image.fromarray(skimage.data.astronaut()[number:160 + number, :120]).save(
                tmp_path / "faces" / person / f"{number}.png")
    folder = Folder(tmp_path / "faces", domains.get("faces"), (), tmp_path / "arranged")
    made = plan(tmp_path, registry.parts("face_super_resolution"), {}, 1, [], folder, 0)
    assert made.sentence(1).startswith("12 pictures (0.0041 megapixels each, as they are tested)")
