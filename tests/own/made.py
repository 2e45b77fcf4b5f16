"""Small rebuilt projects for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import write_json
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.evaluation.scoring import score, write_scores
from restore_ml.method import Model
from restore_ml.restoring.stage import restore_cases
from tests.tasks.examples import picture

CASE = "photos/irregular_3"


def inpainting(root: Path) -> None:
    """Samples of one case of inpainting and the scores of telea."""
    cases = registry.parts("inpainting").cases
    assert cases is not None
    samples_of = []
    for number in range(2):
        record = Record(f"{number:064x}", {"image": picture()[:, ::1 - 2 * number].copy()}, {})
        facts = {"name": f"picture {number}", "group": str(number), "synthetic": False}
        sample = cases.sample(record, "irregular_3", 1, {"size": 64})
        samples_of.append((Record(record.id, sample.inputs, facts), Record(record.id, sample.target, facts)))
    samples, restored = root / layout.samples("inpainting"), root / layout.restored("inpainting")
    shards.write_together([samples / side / f"{CASE}.arrow" for side in ("inputs", "targets")], samples_of)
    status = restore_cases(registry.method("inpainting", "telea", {}), Model(), samples / "inputs", restored / "telea",
                           "telea", 1)
    write_json(restored / "telea" / "status.json", status)
    rows = score("inpainting", samples, restored, [{"run": "telea"}])
    write_scores(root / layout.scores("inpainting", "telea"), rows)
    write_json(root / layout.about("inpainting", "telea"), {"method": "telea"})
