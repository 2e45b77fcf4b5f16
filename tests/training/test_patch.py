"""Crops larger than every picture are refused before they take the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.tasks.base import Material
from restore_ml.training import train


@pytest.mark.parametrize(("patch", "refused"), [(61, True), (4096, True), (60, False), (16, False), (None, False)])
def test_a_patch_larger_than_every_picture_is_a_sentence(tmp_path: Path, patch: int | None, refused: bool) -> None:
    sides = [(40, 30), (20, 60)]
    shards.write(tmp_path / "00.arrow", [shards.Record(f"{number:064x}", {"hr": np.zeros((*side, 3), np.uint8)})
                                         for number, side in enumerate(sides)])
    spec = {"run": "vdsr", "task": "super_resolution", "settings": {} if patch is None else {"patch": patch}}
    if refused:
        with pytest.raises(UserError, match=f"`patch` of the run vdsr is {patch} pixels, .* longer than 60; lower"):
            train._check_patch(spec, Material(tmp_path))
    else:
        train._check_patch(spec, Material(tmp_path))
