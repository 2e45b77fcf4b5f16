"""Drawn fields of nuclei, many of which touch: what tells apart methods that separate them.

A nucleus is a blob whose radius goes up and down around it, r (1 + 0.12 cos 2a + 0.05 cos 3a); every second one is put
beside one that is there, at 0.85 to 1 of the sum of their radii. One that lies under another by more than 12 % is drawn
again. Each has a brightness that falls outwards, and texture; blur and noise follow. Everything is stored in 8 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data.sources.nuclei_fields import save
from restore_ml.seeds import generator

SIZE, SEED = 128, 1
TESTED, LEARNED, VALIDATED = range(1000, 1012), range(54), range(54, 60)
"""Numbers of the fields."""
NUMBER, RADIUS, BRIGHTNESS = (24, 52), (4.0, 8.0), (0.35, 0.95)
OVERLAP, TRIES = 0.12, 30


def make_test(folder: Path) -> dict[str, Any]:
    """The fields that are tested on."""
    return _make(folder, "test", dict.fromkeys(TESTED, "test"))


def make_training(folder: Path) -> dict[str, Any]:
    """The fields to learn from, and those to choose settings on."""
    return _make(folder, "train", {**dict.fromkeys(LEARNED, "train"), **dict.fromkeys(VALIDATED, "validation")})


def _make(folder: Path, role: str, splits: dict[int, str]) -> dict[str, Any]:
    pictures = {}
    for number, split in splits.items():
        name = f"drawn_{number:04d}"
        save(folder, name, *field(number))
        pictures[name] = {"group": name, "split": split}
    return {"role": role, "domain": "nuclei", "synthetic": True, "licence": "same licence as this project",
            "source": "drawn nuclei of this project (restore_ml.data.sources.nuclei_drawn)", "pictures": pictures}


def field(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn field: SIZE x SIZE uint8, and the numbers of its nuclei, SIZE x SIZE uint16."""
    from scipy.ndimage import gaussian_filter

    rng = generator(SEED, "nuclei", number)
    labels, light = np.zeros((SIZE, SIZE), np.uint16), np.full((SIZE, SIZE), float(rng.uniform(0.03, 0.08)))
    texture = gaussian_filter(rng.normal(size=light.shape), 1.5)
    texture = 1 + 0.1 * texture / texture.std()
    there: list[tuple[float, float, float]] = []
    wanted = int(rng.integers(*NUMBER, endpoint=True))
    for _ in range(TRIES * wanted):
        if len(there) == wanted:
            break
        nucleus = _placed(rng, there)
        around, distance = _distance(*nucleus, turn=float(rng.uniform(0, 2 * np.pi)))
        inside = distance < 1
        if not inside.any() or (labels[around][inside] > 0).mean() > OVERLAP:
            continue
        there.append(nucleus)
        free = inside & (labels[around] == 0)
        labels[around][free] = len(there)
        light[around][free] = (rng.uniform(*BRIGHTNESS) * (1 - 0.35 * distance ** 2) * texture[around])[free]
    light = gaussian_filter(light, 0.8) + rng.normal(0, 0.02, light.shape)
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8), labels


def _placed(rng: np.random.Generator, there: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Row, column and radius of a nucleus: anywhere, or beside one that is there."""
    radius = float(rng.uniform(*RADIUS))
    if there and rng.random() < 0.5:
        row, column, other = there[int(rng.integers(len(there)))]
        angle, apart = rng.uniform(0, 2 * np.pi), (radius + other) * rng.uniform(0.85, 1)
        return float(row + apart * np.sin(angle)), float(column + apart * np.cos(angle)), radius
    row, column = rng.uniform(0, SIZE, 2)
    return float(row), float(column), radius


def _distance(row: float, column: float, radius: float, turn: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """The square that a nucleus may reach, and the distance of each pixel in it from the middle, 1 on the outline."""
    reach = 1.2 * radius
    rows, columns = (slice(max(0, int(centre - reach)), max(0, int(centre + reach) + 2)) for centre in (row, column))
    down = np.arange(SIZE, dtype=np.float64)[rows, None] - row
    right = np.arange(SIZE, dtype=np.float64)[columns] - column
    angle = np.arctan2(down, right) - turn
    outline: np.ndarray = radius * (1 + 0.12 * np.cos(2 * angle) + 0.05 * np.cos(3 * angle))
    return (rows, columns), np.hypot(down, right) / outline
