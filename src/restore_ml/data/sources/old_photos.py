"""The embedded collection `old_photos`: photographs of about 1900 that are as they were found, out of the shelf.

Nobody knows how they looked when they were new, so they are looked at and never scored. All show one man and his
laboratory: one group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore_ml.data import shelf
from restore_ml.data.domain import Maker

FOLDER = "nikola/data/samplesite/galleries/demo/"
PHOTOGRAPHS = ("tesla2_lg.jpg", "tesla4_lg.jpg", "tesla_conducts_lg.webp", "tesla_lightning1_lg.jpg",
               "tesla_lightning2_lg.jpg", "tesla_tower1_lg.jpg")


def makers() -> dict[str, Maker]:
    """What lays out `old_photos`."""
    return {"old_photos": _as_found}


def _as_found(folder: Path) -> dict[str, Any]:
    """The files as they are."""
    files = {name: shelf.read("nikola", FOLDER + name) for name in PHOTOGRAPHS}
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {"role": "test", "domain": "photos", "synthetic": False, "as_found": True, "licence": "public domain",
            "source": "photographs of Nikola Tesla and his laboratory, about 1890 to 1910, from nikola",
            "pictures": {name: {"group": "Nikola Tesla"} for name in PHOTOGRAPHS}}
