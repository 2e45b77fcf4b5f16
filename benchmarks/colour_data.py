"""Whether colorizations lack photographs: the same runs trained on the project's own and on many more.

    python benchmarks/colour_data.py 'pix2pix_color {}' 'pix2pix_color {"steps": 800}' [--pictures T91 BSD200]

Each argument is a run of colorization and JSON that changes its settings of the active profile. It is trained twice: on
samples/colorization (as `make repro` does) and on the coloured pictures of the folders `--pictures` (default: T91 and
BSD200 of $RESTORE_ML_BENCHMARK_DATA) beside them. Both are scored on the test photographs, with the paired difference
to the polynomial fit of the same pictures and its 95 % interval over photographs. Choose nothing by it: these are test
pictures. Needs prepared/ and samples/ (`make repro`), and models/ for runs with slots.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sr_sets
from validation import named, train

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shard, Shards
from restore_ml.evaluation.statistics import paired
from restore_ml.restoring.harness import restore
from restore_ml.runs import settings
from restore_ml.tasks.protocol import protocol

TASK, FLOOR, FIGURES = "colorization", "gray_transform_poly3", ("rmse_ab", "auc_balanced")
PARTS, RULES = registry.parts(TASK), protocol(TASK)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN_JSON")
    parser.add_argument("--pictures", nargs="+", type=Path, help="folders of coloured pictures")
    options = parser.parse_args()
    root = layout.root().resolve()
    params = settings.load(root / layout.PARAMS)
    with tempfile.TemporaryDirectory() as scratch:
        many = enlarged(root, Path(scratch), params, options.pictures)
        print("| run | trained on | rmse_ab, to the fit | auc_balanced, to the fit | median chroma_ratio |\n"
              "|---|---|---|---|---|", flush=True)
        for place, what in ((root, "the project's"), (many, "many")):
            floor = scores(train(place, params, named(params, f"{TASK}/{FLOOR}"), {}, 1), root)
            for asked in [FLOOR, *options.runs]:
                name, _, changes = asked.partition(" ")
                run = named(params, f"{TASK}/{name}")
                print(line(asked, what, scores(train(place, params, run, json.loads(changes or "{}"), 1), root), floor),
                      flush=True)


def enlarged(root: Path, scratch: Path, params: settings.Params, folders: list[Path] | None) -> Path:
    """A project whose training material of colorization also has the pictures of the folders."""
    pictures, _ = sr_sets.read(folders or sr_sets.training_folders(sr_sets.data()), 0)
    asked = params.tasks[TASK]
    coloured = [picture for picture in pictures if PARTS.task.accepts(picture.arrays["image"], asked) is None]
    material = scratch / layout.SAMPLES / TASK / "train"
    own = list(Shards(root / layout.SAMPLES / TASK / "train"))
    shards.write(material / "0.arrow", [*own, *PARTS.training.records(coloured, 1, asked)])
    everything = [*(Record(record.id, {"image": record.arrays["rgb"]}, record.facts) for record in own), *coloured]
    for name, records in PARTS.training.pools(everything, 1, asked).items():
        shards.write(material / "pools" / name / "pool.arrow", records)
    for name in (layout.PREPARED, layout.MODELS):
        (scratch / name).symlink_to(root / name)
    print(f"{len(own)} pictures of the project, {len(coloured)} more")
    return scratch


def scores(loaded: Any, root: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Figures of the test squares, and whose they are."""
    method, model = loaded
    case = Path(RULES.primary_set) / f"{RULES.primary_degradation}.arrow"
    inputs, targets = (list(Shard(root / layout.SAMPLES / TASK / kind / case)) for kind in ("inputs", "targets"))
    context = RULES.context([target.arrays for target in targets])
    rows = [RULES.measure(given.arrays, restore(method, model, given.arrays, 1), target.arrays, context)
            for given, target in zip(inputs, targets, strict=True)]
    groups = [str(given.facts["group"]) for given in inputs]
    return {name: np.array([row[name] for row in rows]) for name in (*FIGURES, "chroma_ratio")}, groups


def line(asked: str, what: str, found: tuple[dict[str, np.ndarray], list[str]],
         floor: tuple[dict[str, np.ndarray], list[str]]) -> str:
    cells = []
    for name in FIGURES:
        mine, its = found[0][name], floor[0][name]
        difference = paired(mine, its, found[1], 1)
        cells.append(f"{mine.mean():.4g}, {mine.mean() - its.mean():+.3g} "
                     f"[{difference.low:+.3g}, {difference.high:+.3g}]")
    return f"| {asked} | {what} | {' | '.join(cells)} | {np.median(found[0]['chroma_ratio']):.2f} |"


if __name__ == "__main__":
    main()
