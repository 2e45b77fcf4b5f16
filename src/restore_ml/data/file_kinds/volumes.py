"""Volumes: NIfTI files, read as slices of one orientation and written back in the file's own."""

from __future__ import annotations

import gzip
import math
import zlib

import numpy as np

from restore_ml.data import nifti
from restore_ml.data.file_kinds.kind import FileKind, Form, Read, Refused
from restore_ml.data.nifti import Volume


class VolumeFile(FileKind):
    """`value`: Z x H x W, the numbers as the file means them; slices from below to above, the front at the top and the
    patient's left at the left, as in `restore_ml.data.domains.brains`. `origin`: the `Volume` as it lies in the file.
    """

    name = "volume"
    what = "a NIfTI file (.nii or .nii.gz)"
    reads = nifti.SUFFIXES
    writes = {".nii.gz": "NIfTI", ".nii": "NIfTI"}  # noqa: RUF012 - a constant of its class

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """See `restore_ml.data.nifti`."""
        volume = nifti.decode(data)
        return Read(np.ascontiguousarray(_axial(nifti.to_ras(volume).values)), volume)

    def pixels(self, data: bytes) -> tuple[int, str]:
        """Voxels, by the dimensions of the header."""
        head = data[:348]
        if data[:2] == b"\x1f\x8b":
            try:
                head = zlib.decompressobj(31).decompress(data[:65536], 348)
            except zlib.error as error:
                raise Refused(f"truncated or broken gzip: {error}") from None
        if len(head) < 56:
            raise Refused(f"truncated: {len(head)} of 348 bytes of the header")
        order = "<" if int(np.frombuffer(head, "<i4", 1)[0]) == 348 else ">"
        count, *sides = np.frombuffer(head, f"{order}i2", 8, 40).tolist()
        shape = [max(1, side) for side in sides[:max(1, min(7, count))]]
        return math.prod(shape), f"{' x '.join(map(str, shape))} voxels"

    def misfit(self, one: Read, other: Read) -> str | None:
        """Volumes that belong together lie on one grid, in whatever order their files have its axes."""
        return None if nifti.same_grid(nifti.to_ras(one.origin), nifti.to_ras(other.origin)) else (
            f"it lies on another grid ({_grid(one.origin)}; the other one {_grid(other.origin)}): bring both onto one")

    def encode(self, value: np.ndarray, form: Form) -> bytes:
        """Z x H x W, slices as those that were read: turned back into the orientation of the file `form.origin`, with
        its affine; `ValueError` without one."""
        if not isinstance(form.origin, Volume):
            raise ValueError("A volume can only be written like another one.")
        data = nifti.encode(nifti.from_ras(_from_axial(value), form.origin))
        return gzip.compress(data, mtime=0) if form.ending == ".nii.gz" else data

    def sides(self, value: np.ndarray) -> tuple[int, int]:
        """Of a frame or slice."""
        return value.shape[1], value.shape[2]

    def told(self, value: np.ndarray) -> str:
        """Its voxels."""
        return f"{value.shape[2]} x {value.shape[1]} x {value.shape[0]} voxels (left to right, back to front, upwards)"


def _axial(values: np.ndarray) -> np.ndarray:
    from restore_ml.data.domains.brains import axial

    return axial(values)


def _from_axial(slices: np.ndarray) -> np.ndarray:
    from restore_ml.data.domains.brains import from_axial

    return from_axial(slices)


def _grid(volume: Volume) -> str:
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return f"{' x '.join(map(str, volume.values.shape))} voxels of {' x '.join(f'{size:g}' for size in sizes)} mm"


VOLUME = VolumeFile()
