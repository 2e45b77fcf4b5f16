"""Tiles against the whole picture, and what a large picture costs."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.serving.restore_command import load_for, restore_picture
from restore_ml.tasks.colorization import photos as colour_photos
from restore_ml.tasks.inpainting import photos
from tests.serving.conftest import picture


def test_tiles_of_a_convolution_leave_no_seam(served: Path) -> None:
    """Three layers see three pixels; over an overlap of 32 a tile's border counts for little."""
    _, method, model = load_for(served, "super_resolution", "vdsr")
    shown = picture(4, 96, 150)
    tiled = copy(method)
    tiled.tile, tiled.overlap = 64, 32
    gap = np.abs(restore_picture(method, model, shown).astype(int) - restore_picture(tiled, model, shown).astype(int))
    assert gap.max() <= 4 and gap.mean() < 0.05


def test_the_pieces_of_vdsr_leave_no_trace(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, method, model = load_for(served, "super_resolution", "vdsr", "fp32")
    shown = picture(4, 60, 90)
    whole = restore_picture(method, model, shown)
    monkeypatch.setattr("restore_ml.methods.super_resolution.vdsr.PIECE", 48)
    assert np.abs(restore_picture(method, model, shown).astype(int) - whole.astype(int)).max() <= 1


def test_what_normalises_by_all_it_sees_is_not_tiled(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of an instance-normalised network differ in tone; beyond `WHOLE_PIXELS` memory goes before seams."""
    _, method, model = load_for(served, "inpainting", "glcic", "fp32")
    model.networks["watching"] = torch.nn.InstanceNorm2d(1)
    shown, hole = picture(5, 160, 240), np.zeros((160, 240), np.uint8)
    hole[60:70, 100:120] = 1
    seen: list[int] = []
    real = method.restore
    monkeypatch.setattr(type(method), "restore",
                        lambda self, model, inputs, seed: (seen.append(max(inputs["image"].shape[2:])),
                                                           real(model, inputs, seed))[1])
    monkeypatch.setattr(photos, "FILL_TILE", 64)
    monkeypatch.setattr(photos, "FILL_OVERLAP", 32)
    restore_picture(method, model, shown, hole)
    assert len(seen) == 1 and seen[0] > 64
    monkeypatch.setattr(photos, "WHOLE_PIXELS", 1000)
    restore_picture(method, model, shown, hole)
    assert len(seen) > 2 and max(seen[1:]) <= 64


def test_large_inpainting_is_tiled_where_its_holes_are(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, method, model = load_for(served, "inpainting", "glcic")
    shown, hole = picture(5, 160, 240), np.zeros((160, 240), np.uint8)
    hole[60:70, 100:120] = 1
    whole = restore_picture(method, model, shown, hole)
    seen: list[tuple[int, ...]] = []
    real = method.restore
    monkeypatch.setattr(type(method), "restore",
                        lambda self, model, inputs, seed: (seen.append(tuple(inputs["image"].shape[2:])),
                                                           real(model, inputs, seed))[1])
    monkeypatch.setattr(photos, "FILL_TILE", 64)
    monkeypatch.setattr(photos, "FILL_OVERLAP", 32)
    found = restore_picture(method, model, shown, hole)
    assert len(seen) > 1 and max(max(size) for size in seen) <= 64, "never more than a tile at once"
    assert np.array_equal(found[hole == 0], shown[hole == 0]) and found.shape == whole.shape
    assert (found[hole > 0] != 0).any() and method.tile is None, "the method itself stays as it is"


def test_a_mask_without_a_hole_is_refused_however_large_the_picture(served: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    _, method, model = load_for(served, "inpainting", "glcic")
    shown = picture(5, 40, 60)
    for tile in (photos.FILL_TILE, 32):
        monkeypatch.setattr(photos, "FILL_TILE", tile)
        with pytest.raises(UserError, match="marks nothing"):
            restore_picture(method, model, shown, np.zeros((40, 60), np.uint8))


def test_strips_change_no_colour(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, method, model = load_for(served, "colorization", "colorful")
    shown = picture(6, 70, 90)
    whole = restore_picture(method, model, shown)
    monkeypatch.setattr(colour_photos, "STRIP", 90 * 16)
    assert np.abs(restore_picture(method, model, shown).astype(int) - whole.astype(int)).max() <= 1
