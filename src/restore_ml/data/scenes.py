"""Multi-band scenes of two dates: a safetensors file with `target`, `reference` and perhaps `labels`.

On disk bands are uint16 digital numbers (reflectance x 10000, the convention of Sentinel-2), in memory float32
reflectance.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from restore_ml.data.pictures import MIN_SIDE, Refused, read_bytes

SCENE_SUFFIX = ".safetensors"
REFLECTANCE = 10000
"""Digital numbers per unit of reflectance."""


def read_scene(path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
    """{"target", "reference": H x W x B float32 reflectance, "labels": H x W x 1 uint8 if there are any}.

    Both dates must be uint16 arrays of one shape. Anything else raises `Refused`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(read_bytes(path, within, most=None))
    except Refused:
        raise
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise Refused(f"not a safetensors file: {error}") from None
    if set(stored) not in ({"target", "reference"}, {"target", "reference", "labels"}):
        raise Refused(f"a scene holds target, reference and perhaps labels, not {sorted(stored)}")
    shape = stored["target"].shape
    if len(shape) != 3 or stored["reference"].shape != shape:
        raise Refused("target and reference must be two H x W x bands arrays of one shape")
    if {stored[key].dtype.name for key in ("target", "reference")} != {"uint16"}:
        raise Refused("target and reference must be uint16 (reflectance x 10000)")
    if min(shape[:2]) < MIN_SIDE or not shape[2]:
        raise Refused(f"too small: {shape[1]} x {shape[0]} with {shape[2]} bands")
    scene = {key: stored[key].astype(np.float32) / np.float32(REFLECTANCE) for key in ("target", "reference")}
    if "labels" in stored:
        if stored["labels"].dtype != np.uint8 or stored["labels"].shape != (*shape[:2], 1):
            raise Refused("labels must be H x W x 1 uint8")
        scene["labels"] = stored["labels"]
    return scene
