"""Multi-band scenes of two dates: a safetensors file with `target`, `reference` and what else is known of them.

On disk bands are uint16 digital numbers (reflectance x 10000, the convention of Sentinel-2), in memory float32
reflectance. `labels`: classes of land; `mask`: what of the target shows no ground (see MASK); `target_further` and
`reference_further`: bands beyond those that tasks take. The file's metadata may name the `bands`, those first that
`target` holds, then the further ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from restore_ml.arrays import text
from restore_ml.data.pictures import MIN_SIDE, Refused, read_bytes

SCENE_SUFFIX = ".safetensors"
REFLECTANCE = 10000
"""Digital numbers per unit of reflectance."""
MASK = ("clear", "cloud", "shadow", "snow", "nothing measured")
"""What the codes 0 to 4 of a mask mean."""
BAND_BYTES = 64
"""Bytes of the names of a scene's bands, with spaces between them."""
_OPTIONAL = {"labels", "mask"}
_FURTHER = {"target_further", "reference_further"}


def read_scene(path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
    """{"target", "reference": H x W x B float32 reflectance}, and where the file holds them "labels", "mask" (H x W x 1
    uint8), "target_further", "reference_further" (H x W x B' float32) and "bands" (a text of 64 bytes).

    Both dates must be uint16 arrays of one shape. Anything else raises `Refused`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_bytes(path, within, most=None)
    try:
        stored = load(data)
        names = _bands(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise Refused(f"not a safetensors file: {error}") from None
    further = _FURTHER & set(stored)
    both = {"target", "reference"}
    if not both <= set(stored) <= both | _OPTIONAL | _FURTHER or len(further) == 1:
        raise Refused("a scene holds target, reference and perhaps labels, mask and further bands of both, not "
                      f"{sorted(stored)}")
    shape = stored["target"].shape
    if len(shape) != 3 or stored["reference"].shape != shape:
        raise Refused("target and reference must be two H x W x bands arrays of one shape")
    if {stored[key].dtype.name for key in ("target", "reference", *further)} != {"uint16"}:
        raise Refused("target and reference must be uint16 (reflectance x 10000)")
    if min(shape[:2]) < MIN_SIDE or not shape[2]:
        raise Refused(f"too small: {shape[1]} x {shape[0]} with {shape[2]} bands")
    if further and (stored["target_further"].shape != stored["reference_further"].shape
                    or stored["target_further"].shape[:-1] != shape[:2]):
        raise Refused("the further bands must be two H x W x bands arrays of the size of the target")
    for key in sorted(_OPTIONAL & set(stored)):
        if stored[key].dtype != np.uint8 or stored[key].shape != (*shape[:2], 1):
            raise Refused(f"{key} must be H x W x 1 uint8")
    if "mask" in stored:
        check_codes(stored["mask"])
    scene = {key: stored[key].astype(np.float32) / np.float32(REFLECTANCE)
             for key in ("target", "reference", *sorted(further))}
    scene |= {key: stored[key] for key in sorted(_OPTIONAL & set(stored))}
    if names:
        count = shape[2] + (stored["target_further"].shape[2] if further else 0)
        if len(names.split()) != count:
            raise Refused(f"{len(names.split())} names for {count} bands")
        if len(names.encode()) > BAND_BYTES:
            raise Refused(f"the names of the bands take {len(names.encode())} bytes: at most {BAND_BYTES} are kept")
        scene["bands"] = text(names, BAND_BYTES)
    return scene


def check_codes(mask: np.ndarray) -> None:
    """`Refused` where a mask holds another code than those of MASK."""
    if mask.max(initial=0) >= len(MASK):
        codes = ", ".join(f"{code} {what}" for code, what in enumerate(MASK))
        raise Refused(f"a mask with the code {int(mask.max())}: there are {codes}")


def _bands(data: bytes) -> str:
    """The names of the bands in the metadata of a safetensors file, or an empty text."""
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    return str(header.get("__metadata__", {}).get("bands", ""))
