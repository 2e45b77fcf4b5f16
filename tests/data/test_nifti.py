"""Reading and writing volumes; expected values are those of nibabel 5.4.2 on the same bytes, or counted by hand."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.data import nifti
from restore_ml.data.nifti import Volume
from restore_ml.data.pictures import Refused

SHAPE = (2, 3, 4)
VALUES = np.arange(24).reshape(SHAPE)
FORTY_EIGHT = [tuple(zip(order, signs, strict=True)) for order in itertools.permutations(range(3))
               for signs in itertools.product((1, -1), repeat=3)]


def header(order: str = "<", dims: tuple[int, ...] = (3, 2, 3, 4, 1, 1, 1, 1), code: int = 4, bits: int = 16,
           offset: float = 352, slope: float = 0, intercept: float = 0, qform: int = 0, sform: int = 0,
           pixdim: tuple[float, ...] = (1, 1, 1, 1), quaternion: tuple[float, ...] = (0, 0, 0, 0, 0, 0),
           rows: tuple[float, ...] = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), magic: bytes = b"n+1\0",
           size: int = 348) -> bytes:
    """A header put together by the table of the format, independently of the writer."""
    data = bytearray(352)
    struct.pack_into(f"{order}i", data, 0, size)
    struct.pack_into(f"{order}8h", data, 40, *dims)
    struct.pack_into(f"{order}hh", data, 70, code, bits)
    struct.pack_into(f"{order}4f", data, 76, *pixdim)
    struct.pack_into(f"{order}3f", data, 108, offset, slope, intercept)
    struct.pack_into(f"{order}hh", data, 252, qform, sform)
    struct.pack_into(f"{order}6f", data, 256, *quaternion)
    struct.pack_into(f"{order}12f", data, 280, *rows)
    data[344:348] = magic
    return bytes(data)


def voxels(kind: str = "<i2") -> bytes:
    return VALUES.astype(kind).tobytes(order="F")


def affine_of(turn: tuple[tuple[int, int], ...], sizes: tuple[float, ...] = (1, 2, 3)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (space, sign) in enumerate(turn):
        affine[space, axis] = sign * sizes[axis]
    affine[:3, 3] = (-5, 7, 11)
    return affine


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("code", "kind"), [(2, "u1"), (4, "i2"), (8, "i4"), (16, "f4"), (64, "f8"), (256, "i1"),
                                            (512, "u2"), (768, "u4"), (1024, "i8"), (1280, "u8")])
def test_both_byte_orders_of_every_type(order: str, code: int, kind: str) -> None:
    data = header(order, code=code, bits=8 * np.dtype(kind).itemsize) + voxels(order + kind)
    volume = nifti.decode(data)
    assert np.array_equal(volume.values, VALUES) and volume.values.dtype == np.dtype(kind)
    assert volume.values.dtype.isnative and np.array_equal(nifti.decode(gzip.compress(data)).values, VALUES)


def test_slope_and_intercept_and_what_lies_before_the_voxels() -> None:
    scaled = nifti.decode(header(slope=0.5, intercept=-3) + voxels())
    assert scaled.values.dtype == np.float64 and np.array_equal(scaled.values, VALUES * 0.5 - 3)
    assert nifti.decode(header(slope=0, intercept=9) + voxels()).values.dtype == np.int16  # a slope of 0 scales nothing
    behind = header(offset=400) + b"\7" * 48 + voxels()
    assert np.array_equal(nifti.decode(behind).values, VALUES)


def test_a_flat_and_a_four_dimensional_volume() -> None:
    assert nifti.decode(header(dims=(2, 6, 4, 0, 0, 0, 0, 0)) + voxels()).values.shape == (6, 4, 1)
    assert nifti.decode(header(dims=(5, 2, 3, 4, 1, 1, 1, 1)) + voxels()).values.shape == SHAPE


@pytest.mark.parametrize(("settings_", "expected", "oriented"), [
    # rows as nibabel.Nifti1Image.affine gives them
    ({"sform": 1, "rows": (-2, 0, 0, 90, 0, 2, 0, -126, 0, 0, 2, -72)},
     [[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72]], True),
    ({"qform": 1, "pixdim": (1, 2, 3, 4), "quaternion": (0, 0, 1, -0.0, 239, 5)},
     [[-2, 0, 0, 0], [0, -3, 0, 239], [0, 0, 4, 5]], True),
    ({"qform": 1, "pixdim": (-1, 2, 3, 4), "quaternion": (0.5, 0.5, 0.5, 10, 20, 30)},
     [[0, 0, -4, 10], [2, 0, 0, 20], [0, 3, 0, 30]], True),
    ({"qform": 2, "sform": 1, "quaternion": (0, 0, 1, 7, 7, 7), "rows": (3, 0, 0, 1, 0, 3, 0, 2, 0, 0, 3, 3)},
     [[3, 0, 0, 1], [0, 3, 0, 2], [0, 0, 3, 3]], True),
    ({"pixdim": (1, 2, 3, 4)}, [[2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]], False)])
def test_where_the_affine_comes_from(settings_: dict[str, object], expected: list[list[float]], oriented: bool) -> None:
    volume = nifti.decode(header(**settings_) + voxels())  # type: ignore[arg-type]
    assert np.allclose(volume.affine[:3], expected, atol=1e-6) and volume.oriented is oriented


@pytest.mark.parametrize("turn", FORTY_EIGHT)
def test_all_48_orientations_to_ras_and_back(turn: tuple[tuple[int, int], ...]) -> None:
    """A voxel is found at the same place in space before, after, and back in the file's own orientation."""
    volume = Volume(VALUES, affine_of(turn))
    assert nifti.axes(volume.affine) == turn
    ras = nifti.to_ras(volume)
    assert (np.diag(ras.affine) > 0).all() and np.count_nonzero(ras.affine[:3, :3]) == 3
    for index in itertools.product(*map(range, SHAPE)):
        place = volume.affine @ (*index, 1)
        there = tuple(np.rint(np.linalg.solve(ras.affine, place))[:3].astype(int))
        assert ras.values[there] == VALUES[index]
    back = nifti.from_ras(ras.values, volume)
    assert np.array_equal(back.values, VALUES) and np.array_equal(back.affine, volume.affine)
    again = nifti.decode(nifti.encode(back))
    assert np.array_equal(again.values, VALUES) and np.allclose(again.affine, volume.affine)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=3), st.sampled_from(FORTY_EIGHT))
def test_a_slanted_volume_takes_the_nearest_axes(angles: list[float], turn: tuple[tuple[int, int], ...]) -> None:
    """Turned by less than 17 degrees about each axis, a volume keeps the axes that it had."""
    affine = affine_of(turn)
    for axis, angle in enumerate(angles):
        turned, (one, two) = np.eye(4), [other for other in range(3) if other != axis]
        turned[[one, one, two, two], [one, two, one, two]] = (np.cos(angle), -np.sin(angle), np.sin(angle),
                                                              np.cos(angle))
        affine = turned @ affine
    assert nifti.axes(affine) == turn


def test_a_result_of_another_shape_is_not_taken_back() -> None:
    volume = Volume(VALUES, affine_of(((1, 1), (0, -1), (2, 1))))
    assert nifti.to_ras(volume).values.shape == (3, 2, 4)
    with pytest.raises(ValueError, match=r"A result of \(2, 3, 4\) does not fit a volume of \(2, 3, 4\)"):
        nifti.from_ras(VALUES, volume)


def test_same_places_by_a_tenth_of_a_voxel() -> None:
    one, nudged, moved = (Volume(VALUES, np.diag([2.0, 2, 2, 1])) for _ in range(3))
    nudged.affine[0, 3], moved.affine[0, 3] = 0.19, 0.21
    assert nifti.same_grid(one, nudged) and not nifti.same_grid(one, moved)
    assert not nifti.same_grid(one, Volume(VALUES[:1], one.affine))


def test_what_is_written_is_what_the_format_says(tmp_path: Path) -> None:
    volume = Volume(VALUES.astype(np.int16), affine_of(((0, -1), (1, -1), (2, 1))))
    expected = header(dims=(3, 2, 3, 4, 1, 1, 1, 1), slope=1, sform=2, pixdim=(1, 1, 2, 3),
                      rows=(-1, 0, 0, -5, 0, -2, 0, 7, 0, 0, 3, 11)) + voxels()
    written = bytearray(nifti.encode(volume))
    assert written[123] == 2
    written[123] = 0  # millimetres
    written[92:108] = bytes(16)  # sizes beyond the third axis
    assert bytes(written) == expected
    for name in ("a.nii", "a.nii.gz"):
        nifti.write(tmp_path / name, volume)
        assert np.array_equal(nifti.read(tmp_path / name).values, VALUES)
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # no date
    with pytest.raises(ValueError, match="An array of 3 axes of bool is no NIfTI volume"):
        nifti.encode(Volume(VALUES > 3, volume.affine))


@pytest.mark.parametrize(("data", "reason"), [
    (header()[:200], "truncated: 200 of 348 bytes of the header"),
    (header() + voxels()[:-1], "truncated: 47 of 48 bytes of voxels"),
    (gzip.compress(header() + voxels(), mtime=0)[:-12], "truncated or broken gzip: Compressed file ended before the "
                                               "end-of-stream marker was reached"),
    (header(size=540) + voxels(), "NIfTI-2, which is not read: save it as NIfTI-1"),
    (b"x" * 400, f"no NIfTI file: its header says that it has {0x78787878} bytes, not 348"),
    (header(magic=b"ni1\0") + voxels(), "its voxels lie in another file (.hdr and .img): save it as one .nii file"),
    (header(magic=bytes(4)) + voxels(),
     "an ANALYZE header without NIfTI's mark, which says nothing of left and right"),
    (header(dims=(9, 2, 3, 4, 1, 1, 1, 1)), "a wrong header: the dimensions [9, 2, 3, 4, 1, 1, 1, 1]"),
    (header(dims=(3, 2, -3, 4, 1, 1, 1, 1)), "a wrong header: the dimensions [3, 2, -3, 4, 1, 1, 1, 1]"),
    (header(dims=(4, 2, 3, 4, 20, 1, 1, 1)), "20 volumes in one file, where one is needed"),
    (header(code=128, bits=24), "voxels of the data type 128, which is not read: save them as whole or real numbers"),
    (header(code=2, bits=16), "a wrong header: 16 bits a voxel for the data type 2"),
    (header(offset=0), "a wrong header: voxels from byte 0"),
    (header(offset=float("nan")), "a wrong header: voxels from byte nan"),
    (header(slope=float("inf")) + voxels(), "a wrong header: the slope inf and the intercept 0"),
    (header(pixdim=(1, 1, 0, 1)) + voxels(), "a wrong header: voxels of 1 x 0 x 1 mm"),
    (header(sform=1, rows=(1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0)) + voxels(),
     "a wrong header: its orientation has no three directions"),
    (header(dims=(3, 32767, 32767, 32767, 1, 1, 1, 1)),
     f"a volume of {352 + 2 * 32767**3} bytes, at most {2**31} are read"),
    (header(code=16, bits=32) + np.full(24, np.nan, "<f4").tobytes(), "voxels that are no finite numbers"),
])
def test_what_cannot_be_read_is_refused_in_words(data: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        nifti.decode(data)
    assert refused.value.reason == reason


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 351), st.binary(min_size=1, max_size=4))
def test_no_header_however_broken_raises_anything_else(place: int, noise: bytes) -> None:
    data = bytearray(header(sform=1) + voxels())
    data[place:place + len(noise)] = noise
    try:
        assert nifti.decode(bytes(data)).values.ndim == 3
    except Refused as error:
        assert error.reason
