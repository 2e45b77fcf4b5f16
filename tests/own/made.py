"""Small rebuilt projects for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.data import shards
from restore_ml.data.domain import identity
from restore_ml.data.shards import Record
from restore_ml.degrading.stage import degrade
from restore_ml.evaluation.comparison import about_run
from restore_ml.evaluation.scoring import score, write_scores
from restore_ml.method import Model
from restore_ml.own.measuring import distances
from restore_ml.restoring.stage import restore_cases, restore_run
from restore_ml.runs import settings
from restore_ml.runs.fingerprints import write_code
from restore_ml.training.train import train_run
from tests.graphs import write_runs
from tests.tasks.examples import picture

TASK = "super_resolution"
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


def photograph(number: int) -> np.ndarray:
    """A piece of the astronaut that shares nothing with the others, 64 x 64 x 3 uint8."""
    row, column = (10 + 70 * place for place in divmod(number, 7))
    return np.ascontiguousarray(skimage.data.astronaut()[row:row + 64, column:column + 64])


def rebuilt(root: Path) -> Path:
    """A project of three runs of super_resolution as a rebuild leaves it: two trained, scored on the set `photos` of
    three pictures, one that is not built."""
    write_text(root / "params.yaml", "profile: quick\nseed: 1\nthreads: 1\nprecision: fp32\n")
    runs = {"bicubic": {}, "vdsr": {"quick": {"steps": 2, "width": 4, "layers": 3, "batch": 2, "patch": 32}},
            "later": {"method": "vdsr"}}
    write_runs(root, TASK, runs, samples={"settings": {"scales": [2, 3], "variants": []}})
    for side, numbers in (("train", (0, 1, 2)), ("test/photos", (10, 11, 12))):
        records = {identity({"image": photograph(number)}): number for number in numbers}
        shards.write(root / layout.PREPARED / "photos" / side / "00.arrow", (
            Record(key, {"image": photograph(number)}, {"name": f"piece {number}", "collection": "photos", "group":
                                                        f"piece {number}", "synthetic": False})
            for key, number in sorted(records.items())))
    params = settings.load(root / "params.yaml")
    degrade(registry.parts(TASK), root / layout.PREPARED, root / layout.samples(TASK), params.seed, params.tasks[TASK])
    write_code(root, params)
    for run in ("bicubic", "vdsr"):
        train_run(read_json(root / layout.code("train", TASK, run)), root, root / layout.model(TASK, run))
        out = root / layout.restored(TASK, run)
        restore_run(read_json(root / layout.code("restore", TASK, run)), root, out)
        rows = score(TASK, root / layout.samples(TASK), out.parent, [{"run": run, "seed": 1}],
                     distances(root, TASK, "photos/x2"))
        write_scores(root / layout.scores(TASK, run), rows)
        write_json(root / layout.about(TASK, run), about_run(root / layout.model(TASK, run)))
    return root
