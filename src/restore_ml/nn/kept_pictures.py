"""Training pictures that a model carries with it, to copy from."""

from __future__ import annotations

import numpy as np

from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material


def kept(material: Material, count: int, *seed: object) -> list[Record]:
    """All training pictures, or of more than `count` that many, drawn by the seed; in the order of their ids."""
    records = material.records
    places = sorted(range(len(records)), key=lambda place: records[place].id)
    if len(places) > count:
        drawn = generator(*seed).choice(len(places), count, replace=False)
        places = [places[place] for place in np.sort(drawn)]
    return [records[place] for place in places]
