"""The stage `prepare`: pictures become manifests, splits, a quarantine and decoded shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from pipelines.machinery.progress import bar
from pipelines.machinery.runners import Runner
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json


def stage(step: Steps, key: str) -> None:
    """Prepare all collections: decoding and writing go over the workers of a parallel rebuild, where there are some."""
    collections = step("scan", scan)
    pictures, refused = step("decode", decode, collections)
    placed, quarantined = step("assign", assign, pictures, collections)
    step("write_shards", write_shards, placed)
    print(step("write_manifests", write_manifests, placed, collections.refused + refused + quarantined))


def scan() -> Any:
    """List the files of all collections."""
    from restore_ml.data import prepare

    return prepare.scan(layout.root() / layout.DATA)


def decode(collections: Any) -> Any:
    """Decode every record once, to a folder of raw values that the later steps read."""
    from restore_ml.data import prepare

    return _tidy(lambda progress, mapper: prepare.decode(
        layout.root() / layout.DATA, collections.entries, layout.root() / layout.PREPARED / prepare.SPILL, progress,
        mapper, ledger=_ledger()))


def assign(pictures: Any, collections: Any) -> Any:
    """Give every record its split, or put it in quarantine."""
    from restore_ml.data import splits

    seed = read_json(layout.root() / layout.CODE / "prepare.json")["seed"]
    return _tidy(lambda progress, mapper: splits.assign(pictures, seed, collections.reserved))


def write_shards(placed: Any) -> None:
    """Write the shards of decoded pixels."""
    from restore_ml.data import prepare

    root = layout.root()
    out = root / layout.PREPARED
    _tidy(lambda progress, mapper: prepare.write_shards(out, placed, out / prepare.SPILL, root / layout.DATA, progress,
                                                        mapper, _ledger()))


def write_manifests(placed: Any, refused: Any) -> str:
    """Write the manifests and the quarantine, and take the raw values away; returns what there is now, in words."""
    from restore_ml.data import prepare

    out = layout.root() / layout.PREPARED
    shutil.rmtree(out / prepare.SPILL)
    return str(prepare.write_manifests(out, placed, refused))


def _ledger() -> Any:
    """What earlier rebuilds know of the pictures and shards, as far as the code has stayed the same."""
    from restore_ml.data.ledger import Ledger

    root = layout.root()
    return Ledger.of_stage(root, "prepare", read_json(root / layout.CODE / "prepare.json")["modules"])


def _tidy(work: Callable[[Any, Any], Any]) -> Any:
    """Call `work(progress, mapper)`; where it fails, no raw values are left behind."""
    from restore_ml.data.prepare import SPILL

    try:
        with bar("prepare") as progress, Runner.from_environment().mapper() as mapper:
            return work(progress, mapper)
    except BaseException:
        shutil.rmtree(layout.root() / layout.PREPARED / SPILL, ignore_errors=True)
        raise
