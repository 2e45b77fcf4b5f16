"""Clips and collections that the tests of clips and paintings share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.files import sha256_of_file, write_json
from restore_ml.data import collections, shelf
from restore_ml.data.domain import Maker
from restore_ml.data.manifest import manifests, read_table
from restore_ml.data.prepare import prepare


def made(root: Path, name: str, maker: Maker) -> dict[str, Any]:
    """An embedded collection laid under root/data, checked as any is; the test is skipped where its package is not
    there."""
    folder = root / "data" / name
    try:
        about = maker(folder / collections.PICTURES)
    except shelf.Missing as error:
        pytest.skip(str(error))
    write_json(folder / collections.DESCRIPTION, {"name": name, **about})
    return collections.describe(folder)


def prepared(root: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The rows of all manifests, and the reasons of what is quarantined, by the path below data/."""
    prepare(root / "data", root / "prepared", 1)
    rows = {row["path"]: row for path in manifests(root / "prepared") for row in read_table(path).to_pylist()}
    table = read_table(root / "prepared/quarantine.parquet")
    return rows, {row["path"]: row["reason"] for row in table.to_pylist()}


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path."""
    return {path.relative_to(folder).as_posix(): sha256_of_file(path)
            for path in sorted(folder.rglob("*")) if path.is_file()}


def clip(number: int, frames: int = 5, size: tuple[int, int] = (36, 48), channels: int = 3) -> np.ndarray:
    """Frames in which a picture moves a pixel to the left each time; another one for each number."""
    rng = np.random.default_rng(number)
    height, width = size
    coarse = rng.integers(0, 256, (height // 6 + 1, (width + frames) // 6 + 1, channels), dtype=np.uint8)
    wide = np.kron(coarse, np.ones((6, 6, 1), np.uint8))
    return np.stack([wide[:height, step:step + width] for step in range(frames)])


def save(folder: Path, frames: np.ndarray, names: Sequence[str] | None = None) -> Path:
    """Write the frames as PNG files, 0000.png and so on where no `names` are given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in zip(names or [f"{number:04d}.png" for number in range(len(frames))], frames, strict=True):
        picture(folder / name, frame)
    return folder


def picture(path: Path, values: np.ndarray) -> Path:
    """Write H x W x C as a picture file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values).save(path)
    return path


def film(path: Path, frames: np.ndarray, coding: str = "mp4v") -> Path:
    """Write T x H x W x 3 RGB as a film."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*coding), 25, (frames.shape[2], frames.shape[1]))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    return path
