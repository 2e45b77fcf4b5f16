"""Volumes in NIfTI-1 files: read, turned to one orientation and back into the file's own, written.

A file is a header of 348 bytes, perhaps extensions, and the voxels in Fortran order, all of it often packed with gzip
(NIfTI-1 data format, National Institute of Mental Health, 2007). The affine says where a voxel lies, in millimetres to
the patient's right, front and top (RAS+). It comes from the first of these that the file has: the sform (three rows of
a matrix), the qform (a quaternion), the sizes of the voxels alone, which count as RAS, as the format's method 1 says.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from restore_ml.data.pictures import Refused, read_bytes

SUFFIXES = frozenset((".nii", ".nii.gz"))
MAX_UNPACKED = 2**31
"""The largest volume that is read, in bytes without gzip."""

_HEADER = 348
_DATA = 352  # the first byte that voxels may lie at: the header and four bytes that say whether extensions follow
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_ALIGNED = 2  # sform code of coordinates that are aligned with another scan

Axes = tuple[tuple[int, int], ...]
"""For each axis of a volume: the axis of space that it runs along (0 right, 1 front, 2 top), and 1 or -1: whether it
runs towards that end or away from it."""


@dataclass(frozen=True)
class Volume:
    """`values`: X x Y x Z, as they are stored, or float64 where the file scales them; `affine`: 4 x 4 float64, from
    voxel indices to millimetres in RAS+; `oriented`: whether the file itself says how the volume lies."""

    values: np.ndarray
    affine: np.ndarray
    oriented: bool = True


def is_nifti(name: str) -> bool:
    """Whether the name promises a NIfTI file.

    >>> is_nifti("P1/T1.NII.gz"), is_nifti("P1/t1.gz")
    (True, False)
    """
    return name.lower().endswith((".nii", ".nii.gz"))


def read(path: Path, within: Path | None = None) -> Volume:
    """Read one volume; `Refused` where the file cannot be used. `within`: see `pictures.read_bytes`."""
    return decode(read_bytes(path, within))


def decode(data: bytes) -> Volume:
    """The same from a file's bytes, packed or not."""
    stream: io.BufferedIOBase = io.BytesIO(data)
    if data[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    try:
        header = stream.read(_HEADER)
        order = _byte_order(header)
        shape, dtype, offset = _layout(header, order)
        size = math.prod(shape) * dtype.itemsize
        if offset + size > MAX_UNPACKED:
            raise Refused(f"a volume of {offset + size} bytes, at most {MAX_UNPACKED} are read")
        stream.read(offset - _HEADER)
        voxels = stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Refused(f"truncated or broken gzip: {error}") from None
    if len(voxels) < size:
        raise Refused(f"truncated: {len(voxels)} of {size} bytes of voxels")
    values = np.frombuffer(voxels, dtype).reshape(shape, order="F")
    affine, oriented = _affine(header, order)
    return Volume(_scaled(values.astype(dtype.newbyteorder("="), copy=False), header, order), affine, oriented)


def _byte_order(header: bytes) -> str:
    """`<` or `>`, by which the size of the header is 348."""
    if len(header) < _HEADER:
        raise Refused(f"truncated: {len(header)} of {_HEADER} bytes of the header")
    sizes = {order: int(np.frombuffer(header, f"{order}i4", 1)[0]) for order in "<>"}
    if 540 in sizes.values():
        raise Refused("NIfTI-2, which is not read: save it as NIfTI-1")
    order = next((order for order, size in sizes.items() if size == _HEADER), "")
    if not order:
        raise Refused(f"no NIfTI file: its header says that it has {sizes['<']} bytes, not {_HEADER}")
    magic = header[344:348]
    if magic == b"ni1\0":
        raise Refused("its voxels lie in another file (.hdr and .img): save it as one .nii file")
    if magic != b"n+1\0":
        raise Refused("an ANALYZE header without NIfTI's mark, which says nothing of left and right")
    return order


def _numbers(header: bytes, order: str, kind: str, offset: int, count: int) -> np.ndarray:
    return np.frombuffer(header, order + kind, count, offset)


def _layout(header: bytes, order: str) -> tuple[tuple[int, int, int], np.dtype, int]:
    """Shape, data type and first byte of the voxels."""
    dims = _numbers(header, order, "i2", 40, 8).tolist()
    count = dims[0]
    if not 1 <= count <= 7 or min(dims[1:count + 1]) < 1:
        raise Refused(f"a wrong header: the dimensions {dims}")
    if math.prod(dims[4:count + 1]) > 1:
        raise Refused(f"{math.prod(dims[4:count + 1])} volumes in one file, where one is needed")
    x, y, z = [*dims[1:count + 1], 1, 1][:3]
    code, bits = _numbers(header, order, "i2", 70, 2).tolist()
    if code not in _DTYPES:
        raise Refused(f"voxels of the data type {code}, which is not read: save them as whole or real numbers")
    dtype = np.dtype(order + _DTYPES[code])
    if bits != 8 * dtype.itemsize:
        raise Refused(f"a wrong header: {bits} bits a voxel for the data type {code}")
    offset = float(_numbers(header, order, "f4", 108, 1)[0])
    if not _DATA <= offset < 2**24:
        raise Refused(f"a wrong header: voxels from byte {offset:g}")
    return (x, y, z), dtype, int(offset)


def _scaled(values: np.ndarray, header: bytes, order: str) -> np.ndarray:
    """The values as the file means them: slope and intercept, where it has any."""
    slope, intercept = _numbers(header, order, "f4", 112, 2).astype(np.float64).tolist()
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise Refused(f"a wrong header: the slope {slope:g} and the intercept {intercept:g}")
    if slope and (slope, intercept) != (1.0, 0.0):
        values = values.astype(np.float64) * slope + intercept
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Refused("voxels that are no finite numbers")
    return values


def _affine(header: bytes, order: str) -> tuple[np.ndarray, bool]:
    """The affine, and whether the file has one of its own."""
    qform, sform = _numbers(header, order, "i2", 252, 2).tolist()
    sizes = _numbers(header, order, "f4", 76, 4).astype(np.float64)
    affine = np.eye(4)
    if sform > 0:
        affine[:3] = _numbers(header, order, "f4", 280, 12).reshape(3, 4)
    else:
        if not np.isfinite(sizes[1:]).all() or (sizes[1:] <= 0).any():
            raise Refused("a wrong header: voxels of {:g} x {:g} x {:g} mm".format(*sizes[1:]))
        affine[:3, :3] = np.diag(sizes[1:])
        if qform > 0:
            b, c, d, *shift = _numbers(header, order, "f4", 256, 6).astype(np.float64).tolist()
            handed = np.diag([1, 1, -1.0 if sizes[0] < 0 else 1.0])
            affine[:3, :3] = _rotation(b, c, d) @ handed @ affine[:3, :3]
            affine[:3, 3] = shift
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise Refused("a wrong header: its orientation has no three directions")
    return affine, max(qform, sform) > 0


def _rotation(b: float, c: float, d: float) -> np.ndarray:
    """The rotation of the unit quaternion (a, b, c, d) with a >= 0."""
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    return np.array([[a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                     [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                     [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c]])


def axes(affine: np.ndarray) -> Axes:
    """Along which axis of space each axis of the volume runs, the nearest ones for a slanted volume.

    >>> axes(np.diag([-1.0, -1, 1, 1]))
    ((0, -1), (1, -1), (2, 1))
    """
    matrix = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(matrix)
    turn = left @ right  # the rotation (or mirrored one) nearest to it, without shear
    best = max(permutations(range(3)), key=lambda order: sum(abs(turn[order[axis], axis]) for axis in range(3)))
    return tuple((space, 1 if turn[space, axis] > 0 else -1) for axis, space in enumerate(best))


def to_ras(volume: Volume) -> Volume:
    """The same volume with its axes in the order right, front, top, each towards that end; nothing is interpolated."""
    turn, matrix = axes(volume.affine), np.zeros((4, 4))  # from the indices of the turned volume to those of this one
    matrix[3, 3] = 1
    for axis, (space, sign) in enumerate(turn):
        matrix[axis, space] = sign
        matrix[axis, 3] = 0 if sign > 0 else volume.values.shape[axis] - 1
    return Volume(_turned(volume.values, turn), volume.affine @ matrix, volume.oriented)


def _turned(values: np.ndarray, turn: Axes) -> np.ndarray:
    for axis, (_, sign) in enumerate(turn):
        values = values if sign > 0 else np.flip(values, axis)
    return values.transpose([next(axis for axis, (space, _) in enumerate(turn) if space == wanted)
                             for wanted in range(3)])


def from_ras(values: np.ndarray, like: Volume) -> Volume:
    """A result that lies as `to_ras(like)` does, turned back so that it lies in space as the file of `like` does.

    `ValueError` where it has another shape.
    """
    turn = axes(like.affine)
    back = values.transpose([space for space, _ in turn])
    for axis, (_, sign) in enumerate(turn):
        back = back if sign > 0 else np.flip(back, axis)
    if back.shape != like.values.shape:
        raise ValueError(f"A result of {values.shape} does not fit a volume of {like.values.shape}.")
    return Volume(np.ascontiguousarray(back), like.affine, like.oriented)


def same_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes have their voxels at the same places, to a tenth of a voxel."""
    if first.values.shape != second.values.shape:
        return False
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
    corners[:, :3] *= np.array(first.values.shape) - 1
    apart = np.abs((first.affine - second.affine) @ corners.T).max()
    return bool(apart <= 0.1 * np.linalg.norm(first.affine[:3, :3], axis=0).min())


def encode(volume: Volume) -> bytes:
    """The bytes of a .nii file (little-endian, the affine as its sform); `ValueError` for values of no such type."""
    values = volume.values
    code = next((code for code, name in _DTYPES.items() if np.dtype(name) == values.dtype), None)
    if code is None or values.ndim != 3:
        raise ValueError(f"An array of {values.ndim} axes of {values.dtype} is no NIfTI volume.")
    header = bytearray(_DATA)
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    for offset, kind, numbers in (
            (0, "i4", [_HEADER]), (40, "i2", [3, *values.shape, 1, 1, 1, 1]), (70, "i2", [code, 8 * values.itemsize]),
            (76, "f4", [1, *sizes, 1, 1, 1, 1]), (108, "f4", [_DATA, 1, 0]),
            (252, "i2", [0, _ALIGNED if volume.oriented else 0]), (280, "f4", volume.affine[:3].ravel())):
        data = np.array(numbers, f"<{kind}").tobytes()
        header[offset:offset + len(data)] = data
    header[123] = 2  # lengths are in millimetres
    header[344:348] = b"n+1\0"
    return bytes(header) + values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(order="F")


def write(path: Path, volume: Volume) -> None:
    """Write a volume, packed where the name ends with .gz (without a date in it)."""
    data = encode(volume)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data)
