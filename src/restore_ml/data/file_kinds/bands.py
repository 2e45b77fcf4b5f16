"""Bands of numbers in an .npy file: what no picture file holds. They travel between tools alone, so that this kind is
none of `KINDS`, which people use."""

from __future__ import annotations

import io

import numpy as np

from restore_ml.data.file_kinds.kind import FileKind, Form, Read, Refused, other_size, size_in_words


class BandFile(FileKind):
    """`value`: H x W x B float32, in whatever unit the task says."""

    name = "bands"
    what = "an .npy file of H x W x B floating-point numbers"
    reads = frozenset((".npy",))
    writes = {".npy": "NumPy"}  # noqa: RUF012 - a constant of its class

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """Numbers alone; objects are refused, and so is what is not finite."""
        try:
            values = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError, MemoryError) as error:
            raise Refused(f"no whole .npy file of numbers: {' '.join(str(error).split())}") from None
        if not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or values.dtype.kind not in "iuf":
            raise Refused("no array of height, width and bands")
        if not np.isfinite(values).all():
            raise Refused("numbers that are not finite")
        return Read(np.ascontiguousarray(values if values.ndim == 3 else values[:, :, None], dtype=np.float32))

    def misfit(self, one: Read, other: Read) -> str | None:
        """Bands that belong together have one size."""
        return other_size(one.value.shape, other.value.shape)

    def encode(self, value: np.ndarray, form: Form) -> bytes:
        """The array as it is."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
        return buffer.getvalue()

    def sides(self, value: np.ndarray) -> tuple[int, int]:
        """Of the array."""
        return value.shape[0], value.shape[1]

    def told(self, value: np.ndarray) -> str:
        """Its size and number of bands."""
        return f"{size_in_words(value.shape)} with {value.shape[2]} bands"


BANDS = BandFile()
