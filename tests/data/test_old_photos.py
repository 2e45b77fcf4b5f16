"""old_photos: the files of the package as they are, damaged as they were found, of one group."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_ml.base.files import write_json
from restore_ml.data import collections, shelf
from restore_ml.data.domains.photos import DOMAIN
from restore_ml.data.prepare import prepare
from restore_ml.data.shards import Shards
from restore_ml.data.sources import old_photos


def test_the_photographs_are_those_of_the_package_and_none_is_refused(tmp_path: Path) -> None:
    if shelf.fault(shelf.package("nikola")):
        pytest.skip("The shelf of this machine has no nikola.")
    folder = tmp_path / "data/old_photos"
    about = DOMAIN.embedded()["old_photos"](folder / "pictures")
    write_json(folder / "collection.json", {"name": "old_photos", **about})
    assert collections.describe(folder)["as_found"] is True and about["licence"] == "public domain"
    for name in about["pictures"]:
        assert (folder / "pictures" / name).read_bytes() == shelf.read("nikola", old_photos.FOLDER + name)
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.counts["photos/test/old_photos"] == 6 and summary.quarantined == 0
    records = list(Shards(tmp_path / "prepared/photos/test/old_photos"))
    assert {record.facts["group"] for record in records} == {"Nikola Tesla"}
    assert all(record.facts["as_found"] is True for record in records)
    assert {min(record.arrays["image"].shape[:2]) for record in records} == {252, 275, 288, 322, 324}
