"""Drawn patients with a lesion: a head of nested surfaces, bent by one smooth field for all contrasts of a patient.

From the outside: skull, fluid, grey matter, white matter behind a folded border, two ventricles, two deep grey nuclei;
somewhere in the brain a lesion of edema, an enhancing rim and a necrotic core. Each class has a brightness in each
contrast (`BRIGHTNESS`), which a patient's scanner changes a little; blur, a smooth field and noise follow. FLAIR alone
shows edema and no fluid, T1ce alone the rim: no contrast can be made from one other alone. Everything is stored in 8
bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import nifti
from restore_ml.data.nifti import Volume
from restore_ml.seeds import generator

SIZE, DEPTH = 96, 6
"""Voxels across a slice; slices of a patient."""
VOXEL = (2.0, 2.0, 12.0)
"""Millimetres."""
SEED = 1
TESTED, LEARNED, VALIDATED = range(100, 112), range(32), range(32, 36)
"""Numbers of the patients."""
SKULL, WHITE, GREY, FLUID, EDEMA, NECROSIS, ENHANCING = range(1, 8)
BRIGHTNESS = {  # background, then the classes in their order
    "t1": (0, .25, .80, .58, .18, .50, .30, .55),
    "t1ce": (0, .25, .80, .58, .18, .48, .28, 1.0),
    "t2": (0, .15, .35, .52, 1.0, .80, .88, .65),
    "pd": (0, .20, .64, .75, .67, .82, .78, .72),
    "flair": (0, .15, .42, .56, .08, 1.0, .50, .80)}
"""PD: white matter, grey matter and fluid in the ratio of spin echo at TR 3300 and TE 30 ms; the rest is a choice."""
BRATS = {NECROSIS: 1, EDEMA: 2, ENHANCING: 4}
BRIGHTEST = 1.2
"""What becomes 255."""


def make_test(folder: Path) -> dict[str, Any]:
    """The patients that are tested on."""
    return _make(folder, "test", {number: "test" for number in TESTED})


def make_training(folder: Path) -> dict[str, Any]:
    """The patients to learn from, and those to choose settings on."""
    return _make(folder, "train", {**dict.fromkeys(LEARNED, "train"), **dict.fromkeys(VALIDATED, "validation")})


def _make(folder: Path, role: str, splits: dict[int, str]) -> dict[str, Any]:
    pictures = {}
    for number, split in splits.items():
        name = f"phantom_{number:03d}"
        path = folder / name
        path.mkdir(parents=True)
        for kind, values in patient(number).items():
            volume = Volume(values, np.diag([-VOXEL[0], -VOXEL[1], VOXEL[2], 1.0]))  # left and back, as BraTS has it
            nifti.write(path / f"{name}_{kind}.nii", volume)
        for index in range(DEPTH):
            pictures[f"{name}/slice_{index:03d}"] = {"group": name, "split": split}
    return {"role": role, "domain": "brains", "synthetic": True, "licence": "same licence as this project",
            "source": "drawn heads with lesions of this project (restore_ml.data.sources.brain_phantom)",
            "pictures": pictures}


def patient(number: int) -> dict[str, np.ndarray]:
    """The volumes of a drawn patient, SIZE x SIZE x DEPTH uint8: five contrasts, and `seg` in the classes of BraTS."""
    from scipy.ndimage import gaussian_filter

    rng = generator(SEED, "brain phantom", number)
    classes = _classes(rng)
    field = 1 + 0.08 * _smooth(rng, 3)
    texture = gaussian_filter(rng.normal(size=classes.shape), (1.5, 1.5, 0.5))
    texture = 1 + 0.03 * texture / texture.std()
    contrasts = {}
    for kind, levels in BRIGHTNESS.items():
        own = np.array(levels) * np.concatenate([[0], rng.uniform(0.94, 1.06, len(levels) - 1)])
        values = gaussian_filter(own[classes], (0.7, 0.7, 0)) * field * texture
        values = np.clip(values + rng.normal(0, 0.015, classes.shape) * (values > 0.02), 0, BRIGHTEST)
        contrasts[kind] = np.rint(values * (255 / BRIGHTEST)).astype(np.uint8)
    contrasts["seg"] = np.array([BRATS.get(value, 0) for value in range(8)], np.uint8)[classes]
    return contrasts


def _axes() -> tuple[np.ndarray, np.ndarray]:
    """The coordinates of the voxels: from -1.2 to 1.2 across, from -0.5 to 0.5 in depth."""
    return np.linspace(-1.2, 1.2, SIZE), np.linspace(-0.5, 0.5, DEPTH)


def _smooth(rng: np.random.Generator, waves: int, highest: float = 3.0) -> np.ndarray:
    """A smooth field from -1 to 1, SIZE x SIZE x DEPTH: the mean of a few plane waves.

    The wave sin(ax + by + cz + p) is the imaginary part of a product of three, one for each axis.
    """
    across, depth = _axes()
    total = np.zeros((SIZE, SIZE, DEPTH))
    for a, b, c in rng.uniform(-highest, highest, (waves, 3)):
        side = np.exp(1j * (b * across + rng.uniform(0, 2 * np.pi)))[:, None] * np.exp(1j * c * depth)
        total += (np.exp(1j * a * across)[:, None, None] * side).imag
    return total / waves


def _classes(rng: np.random.Generator) -> np.ndarray:
    """The class of each voxel."""
    across, depth = _axes()
    shape = rng.uniform(0.78, 1.0, 2)  # no head is round, or as wide as another
    shift = rng.uniform(-0.08, 0.08, 2)
    x = (across[:, None, None] + shift[0] + 0.16 * _smooth(rng, 4)) / shape[0]
    y = (across[:, None] + shift[1] + 0.16 * _smooth(rng, 4)) / shape[1]
    z = depth + 0.16 * _smooth(rng, 4)
    radius = np.sqrt(x * x + y * y + 0.45 * z * z)
    angle = np.arctan2(y, x)
    folds = 0.07 * np.sin(rng.integers(7, 12) * angle + rng.uniform(0, 6)) + 0.05 * np.sin(
        rng.integers(15, 23) * angle + rng.uniform(0, 6)) + 0.06 * _smooth(rng, 6, 14.0)
    classes = np.zeros(radius.shape, np.intp)
    for limit, kind in ((1.12, SKULL), (0.97, FLUID), (0.90, GREY)):
        classes[radius < limit] = kind
    classes[radius + folds < 0.68] = WHITE
    _put_inside(rng, classes, x, y, z)
    ellipse = _lesion(rng, x, y, z) + 0.25 * _smooth(rng, 5, 12.0)
    brain = (classes == WHITE) | (classes == GREY)
    for limit, kind in ((2.4, EDEMA), (1.0, ENHANCING), (0.4, NECROSIS)):
        classes[brain & (ellipse < limit)] = kind
    return classes


def _put_inside(rng: np.random.Generator, classes: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    """Two ventricles and two deep nuclei, much the same on both sides."""
    apart, back, width, length = rng.uniform((0.11, -0.15, 0.05, 0.2), (0.18, 0.1, 0.1, 0.34))
    beside, front, size = rng.uniform((0.3, -0.1, 0.1), (0.38, 0.12, 0.15))
    for side in (-1, 1):
        tilt = x - side * (apart + 0.25 * (y - back) ** 2)
        classes[(tilt / width) ** 2 + ((y - back) / length) ** 2 + (z / 0.6) ** 2 < 1] = FLUID
        nucleus = ((x - side * beside) / size) ** 2 + ((y - front) / (1.5 * size)) ** 2 + (z / 0.45) ** 2 < 1
        classes[nucleus & (classes == WHITE)] = GREY


def _lesion(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The distance from the middle of a lesion, in its own radii."""
    turn, far, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6), rng.uniform(-0.3, 0.3)
    radii = rng.uniform(0.12, 0.2, 3) * (1, 1, 2)
    middle = (far * np.cos(turn), far * np.sin(turn), depth)
    return np.sqrt(sum(((value - at) / radius) ** 2
                       for value, at, radius in zip((x, y, z), middle, radii, strict=True)))
