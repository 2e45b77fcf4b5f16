"""How patients' folders are damaged: each is refused with its reason by file name, or kept with the right meaning."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from restore_ml.data import collections, nifti
from restore_ml.data.domains.brains import DOMAIN
from restore_ml.data.nifti import Volume
from tests.data.domains.making import prepared
from tests.data.domains.test_brains import SHAPE, patients, save, volume

EYE = np.eye(4)


def put(place: Path, name: str, values: np.ndarray, affine: np.ndarray = EYE) -> None:
    nifti.write(place / name, Volume(values, affine))


def patch(place: Path, name: str, offset: int, data: bytes) -> None:
    whole = bytearray((place / name).read_bytes())
    whole[offset:offset + len(data)] = data
    (place / name).write_bytes(whole)


def cut(place: Path) -> None:
    (place / "t2.nii").write_bytes((place / "t2.nii").read_bytes()[:-100])


def cut_gzip(place: Path) -> None:
    (place / "t2.nii").unlink()
    (place / "t2.nii.gz").write_bytes(gzip.compress(nifti.encode(Volume(volume(1), EYE)))[:-200])


def shifted(shift: float) -> Callable[[Path], None]:
    affine = np.eye(4)
    affine[0, 3] = shift
    return lambda place: put(place, "t2.nii", volume(1), affine)


def centred(place: Path) -> None:
    values = volume(1).astype(np.float32)
    put(place, "t2.nii", (values - values[values > 0].mean()) * (values > 0))


def with_nan(place: Path) -> None:
    values = volume(1).astype(np.float32)
    values[0, 0, 0] = np.nan
    put(place, "t2.nii", values)


def broken_labels(place: Path) -> None:
    (place / "seg.nii.gz").write_bytes(b"\x1f\x8b" + b"no gzip" * 20)


def labels(place: Path, *classes: float, shape: tuple[int, int, int] = SHAPE) -> None:
    values = np.zeros(shape, np.float32)
    values.ravel()[:len(classes)] = classes
    put(place, "seg.nii", values)


def only_labels(place: Path) -> None:
    labels(place, 1)
    (place / "t1.nii").unlink()
    (place / "t2.nii").unlink()


def two_patients(place: Path) -> None:
    save(place, 5, ("t1",), prefix="other_")


def no_contrast(place: Path) -> None:
    for number, path in enumerate(sorted(place.iterdir())):
        path.rename(place / f"scan{number}.nii")


def link_out(place: Path) -> None:
    outside = place.parents[1] / "outside.nii"
    put(place.parents[1], "outside.nii", volume(1))
    (place / "t2.nii").unlink()
    os.symlink(outside, place / "t2.nii")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    # content
    "truncated file": (cut, "t2.nii: truncated: 2780 of 2880 bytes of voxels"),
    "truncated gzip": (cut_gzip, "t2.nii.gz: truncated or broken gzip: Compressed file ended before the end-of-stream "
                                 "marker was reached"),
    "header with the wrong bits": (lambda place: patch(place, "t2.nii", 72, b"\x08\x00"),
                                   "t2.nii: a wrong header: 8 bits a voxel for the data type 4"),
    "header with a negative size": (lambda place: patch(place, "t2.nii", 42, b"\xff\xff"),
                                    "t2.nii: a wrong header: the dimensions [3, -1, 24, 3, 1, 1, 1, 1]"),
    "a text with the ending of a volume": (lambda place: (place / "t2.nii").write_text("x" * 400) and None,
                                           "t2.nii: no NIfTI file: its header says that it has 2021161080 bytes, not "
                                           "348"),
    "contrast of another size": (lambda place: put(place, "t2.nii", volume(1)[:, :-1]),
                                 "t2.nii: another grid than t1.nii (20 x 23 x 3 voxels of 1 x 1 x 1 mm from 0, 0, 0; "
                                 "20 x 24 x 3 voxels of 1 x 1 x 1 mm from 0, 0, 0): bring the contrasts of a patient "
                                 "onto one"),
    "contrast of the same size at another place": (
        shifted(2), "t2.nii: another grid than t1.nii (20 x 24 x 3 voxels of 1 x 1 x 1 mm from 2, 0, 0; 20 x 24 x 3 "
                    "voxels of 1 x 1 x 1 mm from 0, 0, 0): bring the contrasts of a patient onto one"),
    "a series in time": (lambda place: patch(place, "t2.nii", 40, np.array([4, 20, 24, 1, 3], "<i2").tobytes()),
                         "t2.nii: 3 volumes in one file, where one is needed"),
    "nothing but zeros": (lambda place: put(place, "t2.nii", volume(1) * 0), "t2.nii: all its voxels are zero"),
    "intensities that were centred": (centred, "t2.nii: 55% of its voxels are negative: give the intensities as they "
                                               "were measured"),
    "voxels that are no numbers": (with_nan, "t2.nii: voxels that are no finite numbers"),
    "slices that are too small": (lambda place: [put(place, f"{name}.nii", volume(1)[:15]) for name in ("t1", "t2")]
                                  and None,
                                  "t1.nii: too small: slices of 15 x 24, the shorter side must be at least 16"),
    # annotation
    "labels of another size": (lambda place: labels(place, 1, shape=(20, 24, 2)),
                               "seg.nii: another grid than t1.nii (20 x 24 x 2 voxels of 1 x 1 x 1 mm from 0, 0, 0; 20 "
                               "x 24 x 3 voxels of 1 x 1 x 1 mm from 0, 0, 0): bring the contrasts of a patient onto "
                               "one"),
    "an unknown class": (lambda place: labels(place, 1, 7, 9),
                         "seg.nii: unknown classes 7, 9: BraTS has 0, 1, 2 and 4 (or 3)"),
    "classes that are no whole numbers": (lambda place: labels(place, 0.5),
                                          "seg.nii: unknown classes 0.5: BraTS has 0, 1, 2 and 4 (or 3)"),
    "two classes for one thing": (lambda place: labels(place, 3, 4),
                                  "seg.nii: the classes 3 and 4, of which a file has one: the enhancing tumour"),
    "broken labels": (broken_labels, "seg.nii.gz: truncated or broken gzip: Unknown compression method"),
    "labels without a contrast": (only_labels, "labels without a contrast: seg.nii"),
    # layout
    "two patients in one folder": (two_patients, "two files for t1: other_t1.nii and t1.nii (a folder holds one "
                                                 "patient, a contrast once)"),
    "a contrast packed and unpacked": (lambda place: put(place, "T1w.nii.gz", volume(1)),
                                       "two files for t1: T1w.nii.gz and t1.nii (a folder holds one patient, a "
                                       "contrast once)"),
    "names that say no contrast": (no_contrast, "no name says a contrast (such as t1.nii.gz): scan0.nii, scan1.nii"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_patient_is_refused_and_the_others_stay(tmp_path: Path, name: str) -> None:
    harm, reason = DAMAGE[name]
    source = patients(tmp_path / "in", range(2))
    save(source / "damaged", 7)
    harm(source / "damaged")
    report = collections.add(tmp_path, "mine", source, role="train", domain="brains")
    assert report.refused == [("damaged", reason)] and report.good == 6
    assert collections.describe(tmp_path / "data/mine")["refused"] == {"damaged": reason}
    assert not (tmp_path / "data/mine/pictures/damaged").exists()


def test_a_link_out_of_the_folder_is_named_and_the_contrast_counts_as_absent(tmp_path: Path) -> None:
    source = patients(tmp_path / "in", range(2))
    link_out(source / "patient_1")
    report = collections.add(tmp_path, "mine", source, domain="brains")
    assert report.good == 6 and report.refused == [("patient_1/t2.nii", "a link that leads out of the folder")]
    assert DOMAIN.read(tmp_path / "data/mine/pictures/patient_1/slice_000")["there"].tolist() == [1, 0, 0, 0, 0]


def test_files_in_no_folder_are_named(tmp_path: Path) -> None:
    source = patients(tmp_path / "in", range(2))
    save(source, 7, ("t1", "t2"))
    report = collections.add(tmp_path, "mine", source, domain="brains")
    reason = "it lies in no folder of its patient: put the files of each patient into a folder"
    assert report.refused == [("t1.nii", reason), ("t2.nii", reason)] and report.good == 6


def test_a_patient_in_both_roots_is_on_one_side(tmp_path: Path) -> None:
    for root, number in (("train", 1), ("train", 2), ("train", 4), ("test", 2), ("test", 3)):
        save(tmp_path / f"in/{root}/patient_{number}", 10 * number + (root == "test"))
    collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="brains")
    about = collections.describe(tmp_path / "data/mine")
    for name, facts in about["pictures"].items():
        if name.startswith("test/"):
            facts["split"] = "test"
    collections.write_json(tmp_path / "data/mine/collection.json", about)
    counts, reasons = prepared(tmp_path)
    assert counts == {"brains/test/mine": 6, "brains/train": 3, "brains/validation": 3}
    assert reasons == {f"mine/pictures/train/patient_2/slice_00{number}": "same group as the test picture "
                       "mine/pictures/test/patient_2/slice_002" for number in range(3)}


def test_numbers_that_are_missing_stay_missing_and_ten_comes_after_nine(tmp_path: Path) -> None:
    """Empty slices are left out; the others keep their numbers, in their order."""
    values = np.zeros((20, 24, 1002), np.uint8)
    for number in (2, 9, 10, 100, 1001):
        values[5:9, 5:9, number] = number % 250 + 1
    (tmp_path / "in/P").mkdir(parents=True)
    put(tmp_path / "in/P", "t1.nii", values)
    assert DOMAIN.parts(tmp_path / "in/P") == ["slice_002", "slice_009", "slice_010", "slice_100", "slice_1001"]
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="brains")
    assert report.good == 5
    with pytest.raises(nifti.Refused, match="an empty slice"):
        DOMAIN.read(tmp_path / "in/P/slice_003")
    with pytest.raises(nifti.Refused, match="no such slice: there are 1002"):
        DOMAIN.read(tmp_path / "in/P/slice_1002")


def test_a_mirrored_file_is_turned_and_one_without_orientation_counts_as_it_lies(tmp_path: Path) -> None:
    """T1 is stored from left to right, T2 and the labels from right to left: the same place is the same pixel."""
    values = volume(3)
    mirrored = np.diag([-1.0, 1, 1, 1])
    mirrored[0, 3] = SHAPE[0] - 1
    (tmp_path / "P").mkdir()
    put(tmp_path / "P", "t1.nii", values)
    put(tmp_path / "P", "t2.nii", values[::-1], mirrored)
    put(tmp_path / "P", "seg.nii", (values[::-1] > 500).astype(np.uint8), mirrored)
    arrays = DOMAIN.read(tmp_path / "P/slice_001")
    assert np.array_equal(arrays["contrasts"][:, :, 0], arrays["contrasts"][:, :, 2])
    assert np.array_equal(arrays["labels"][:, :, 0], axial_slice(values) > 500)
    nifti.write(tmp_path / "P/t2.nii", Volume(values, EYE, oriented=False))
    assert not nifti.read(tmp_path / "P/t2.nii").oriented
    assert np.array_equal(DOMAIN.read(tmp_path / "P/slice_001")["contrasts"][:, :, 2], arrays["contrasts"][:, :, 0])


def axial_slice(values: np.ndarray) -> np.ndarray:
    return values[:, ::-1, 1].T


def test_the_same_grid_within_a_tenth_of_a_voxel_is_kept(tmp_path: Path) -> None:
    source = patients(tmp_path / "in", range(1))
    shifted(0.05)(source / "patient_0")
    assert collections.add(tmp_path, "mine", source, domain="brains").refused == []


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    place = save(tmp_path / "P", 1, ("t1",))
    before = DOMAIN.read(place / "slice_001")["contrasts"]
    put(place, "t1.nii", volume(99))
    assert not np.array_equal(DOMAIN.read(place / "slice_001")["contrasts"], before)
