"""What the models of a task may have learned from: pictures that show the same prove nothing about them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from restore_ml.base import layout
from restore_ml.data.domain import Domain
from restore_ml.data.ledger import Ledger
from restore_ml.data.likeness import NOTHING, Crops, Look, Looks, fingerprints, look
from restore_ml.data.shards import Shard

SIDES = ("train", "validation")


class Learned:
    """The training and validation pictures of a kind of data in a project, by id, look and fingerprints."""

    def __init__(self, root: Path, kind: Domain) -> None:
        """They are read from prepared/<kind>; what is found of a shard is remembered in .state."""
        self.kind = kind
        self.names: dict[str, str] = {}
        looks: dict[str, Look] = {}
        prints: dict[str, np.ndarray] = {}
        ledger = Ledger.of_stage(root, f"own-learned-{kind.name}", {"kind": kind.name})
        for side in SIDES:
            for path in sorted((root / layout.PREPARED / kind.name / side).glob("*.arrow")):
                text, raw = ledger.get(path, side), ledger.raw(path)
                if text is None:
                    text, raw = _read(path, kind)
                    ledger.put(path, text, side, raw)
                flat, start = np.frombuffer(raw, np.uint64), 0
                for identity, name, how, count in json.loads(text):
                    shown = f"{side}/{name}"
                    self.names[identity] = shown
                    looks[shown], prints[shown] = Look.from_json(how), flat[start:start + count]
                    start += count
        ledger.save()
        self.looks, self.crops = Looks(looks, kind.likeness), Crops(prints, kind.likeness)

    def same(self, identity: str, arrays: dict[str, np.ndarray]) -> str:
        """Why a picture is none that the models have not seen, in a few words; an empty text where it is."""
        if identity in self.names:
            return f"it is the picture {self.names[identity]}, which models learned from"
        grey = None if self.kind.likeness is None else self.kind.luma(arrays)
        if grey is None or not self.names:
            return ""
        near = self.looks.near(look(grey))
        if near is not None:
            return f"it shows the same as {near}, which models learned from"
        shared = self.crops.overlap(fingerprints(grey))
        return f"it shares an area with {shared}, which models learned from" if shared else ""


def _read(path: Path, kind: Domain) -> tuple[str, bytes]:
    """Of each record of a shard its id, name, look and number of fingerprints; and these."""
    rows, prints = [], [np.empty(0, np.uint64)]
    for record in Shard(path):
        grey = None if kind.likeness is None else kind.luma(record.arrays)
        if grey is None:
            how, own = NOTHING, prints[0][:0]
        else:
            how, own = look(grey), fingerprints(grey)
        prints.append(own)
        rows.append([record.id, str(record.facts.get("name", record.id)), how.as_json(), len(own)])
    return json.dumps(rows), np.concatenate(prints).tobytes()
