"""The average brain of 152 people: its real T1 and T2, and PD and FLAIR computed from its tissue maps.

No package carries a brain in more than two contrasts. Proton density and FLAIR are computed for each voxel from its
shares of white matter, grey matter and fluid by the equations of spin echo and of inversion recovery
(`SEQUENCES`, `TISSUES`; values at 1.5 T), times the fine structure of the real T1 where it departs from what the tissue
maps alone would give, times a smooth field, with Rician noise. T1 and T2 are the template's own values within the
brain; the skull is left out of all four, since the tissue maps know nothing of it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import nifti, shelf
from restore_ml.data.nifti import Volume
from restore_ml.seeds import generator

PACKAGE, FOLDER = "bids-manager", "bidsmgr/qc/templates/mni2009c_2mm_"
SUBJECT = "mni152"
SEED = 1
BLOCK = 4
"""Slices next to each other that are taken, and that are then left out: neighbours show nearly the same."""
LEAST = 0.15
"""The least share of a slice that is brain."""
TISSUES = {"wm": (0.77, 600.0, 80.0), "gm": (0.86, 950.0, 100.0), "csf": (1.0, 4000.0, 2000.0)}
"""Proton density, T1 and T2 in milliseconds."""
SEQUENCES = {"pd": (3300.0, 30.0, None), "flair": (9000.0, 110.0, 2500.0)}
"""Repetition, echo and inversion time in milliseconds; None: spin echo."""
NOTICE = """Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. Permission to use, copy, modify, and distribute this software and its documentation for
any purpose and without fee is hereby granted, provided that the above copyright notice appear in all
copies. The authors and McGill University make no representations about the suitability of this software
for any purpose. It is provided "as is" without express or implied warranty. The authors are not
responsible for any data loss, equipment damage, property loss, or injury to subjects or patients
resulting from the use or misuse of this software package.
"""
"""The template's licence, which must be in every copy, as the package gives it."""
HOW = ("pd and flair are computed from the tissue maps by the signal equations of spin echo (TR 3300, TE 30 ms) and "
       "inversion recovery (TR 9000, TE 110, TI 2500 ms), with the fine structure of the real T1, a smooth field and "
       "Rician noise; t1 and t2 are measured")


def signal(sequence: str, tissue: str) -> float:
    """What a voxel of one tissue gives.

    >>> round(signal("flair", "wm"), 4), round(signal("flair", "csf"), 4)
    (0.1886, 0.033)
    """
    (density, t1, t2), (repetition, echo, inversion) = TISSUES[tissue], SEQUENCES[sequence]
    if inversion is None:
        return density * (1 - math.exp(-repetition / t1)) * math.exp(-echo / t2)
    return density * abs(1 - 2 * math.exp(-inversion / t1) + math.exp(-repetition / t1)) * math.exp(-echo / t2)


def make(folder: Path) -> dict[str, Any]:
    """Lay out the average brain as one patient."""
    volumes = contrasts()
    path = folder / SUBJECT
    path.mkdir(parents=True)
    for name, volume in volumes.items():
        nifti.write(path / f"{name}.nii", volume)
    (path / "LICENCE.txt").write_text(NOTICE, encoding="utf-8")
    pictures = {f"{SUBJECT}/slice_{number:03d}": {"group": SUBJECT, "block": str(block), "computed_contrasts": HOW}
                for block, number in slices(volumes["t1"].values)}
    return {"role": "test", "domain": "brains", "synthetic": False, "licence": shelf.package(PACKAGE).licence,
            "pictures": pictures,
            "source": "MNI ICBM 152 nonlinear asymmetrical template 2009c at 2 mm (Fonov et al., NeuroImage 2011), "
                      f"from the package bids-manager; one average subject; {HOW}"}


def slices(brain: np.ndarray) -> list[tuple[int, int]]:
    """Block and number of the axial slices that are taken."""
    shown = np.flatnonzero((brain > 0).mean(axis=(0, 1)) >= LEAST)
    start = int(shown[0])
    return [((number - start) // (2 * BLOCK), number) for number in shown.tolist()
            if (number - start) // BLOCK % 2 == 0]


def contrasts() -> dict[str, Volume]:
    """T1, T2, PD and FLAIR on one grid, uint8, zero outside of the brain.

    Raises:
        restore_ml.data.shelf.Missing: the package is not on the shelf.
    """
    read = {name: nifti.decode(shelf.read(PACKAGE, f"{FOLDER}{name}.nii.gz"))
            for name in ("T1w", "T2w", "brain_mask", "gm", "wm")}
    whole = {name: np.rint(volume.values * 255) for name, volume in read.items()}  # they are stored in 255ths
    inside, affine = whole["brain_mask"] > 127, read["T1w"].affine
    shares = {name: whole[name] / 255 * inside for name in ("wm", "gm")}
    shares["csf"] = np.clip(inside - shares["wm"] - shares["gm"], 0, 1)
    volumes = {"t1": whole["T1w"] * inside, "t2": whole["T2w"] * inside}
    fine = _fine_structure(volumes["t1"], shares, inside)
    for sequence in SEQUENCES:
        values = sum(share * signal(sequence, tissue) for tissue, share in shares.items()) * fine
        volumes[sequence] = np.clip(_measured(values, inside, sequence), 0, 255)
    return {name: Volume(np.rint(values).astype(np.uint8), affine) for name, values in volumes.items()}


def _fine_structure(t1: np.ndarray, shares: dict[str, np.ndarray], inside: np.ndarray) -> np.ndarray:
    """How far the T1 departs from what the shares of its tissues give, as a factor near 1, without its slow changes,
    and not in fluid, which has no structure."""
    from scipy.ndimage import gaussian_filter

    means = {tissue: float((t1 * share).sum() / share.sum()) for tissue, share in shares.items()}
    expected = sum(share * means[tissue] for tissue, share in shares.items())
    ratio = np.where(inside, t1 / np.maximum(expected, 1), 1)
    smooth = gaussian_filter(ratio * inside, 2) / np.maximum(gaussian_filter(inside.astype(np.float64), 2), 1e-3)
    fine = np.clip(ratio / np.maximum(smooth, 0.1), 0.85, 1.15)
    return 1 + (fine - 1) * (1 - shares["csf"])


def _measured(values: np.ndarray, inside: np.ndarray, sequence: str) -> np.ndarray:
    """A smooth field and Rician noise of 1 % of the brightest tissue, which becomes 230."""
    rng = generator(SEED, "brain template", sequence)
    field = np.ones(values.shape)
    for axis, size in enumerate(values.shape):
        positions = (np.arange(size) * 2 - (size - 1)) / (size - 1)
        first, second = rng.uniform(-0.05, 0.05, 2)
        field = field * np.expand_dims(1 + first * positions + second * positions * positions, [
            other for other in range(3) if other != axis])
    brightest = max(signal(sequence, tissue) for tissue in TISSUES)
    one, two = rng.normal(0, 0.01 * brightest, (2, *values.shape))
    noisy = np.sqrt((values * field + one) ** 2 + two**2)
    return np.where(inside, noisy * (230 / brightest), 0)
