"""Brains: axial slices of patients, of whom up to five contrasts of magnetic resonance lie on one grid.

A patient is a folder of NIfTI files, one a contrast; the last word of a file's name says which (t1, T1w, t1n; t1ce,
t1c, t1gd, or T1w with BIDS' ce-; t2, T2w; pd, PDw; flair, t2f). Other NIfTI files beside them are left alone. Every
volume is turned to one orientation (RAS) whatever the file's own is, so that left is left in all of them; slices show
the front at the top and the patient's left at the left. `restore_ml.data.nifti.from_ras` turns results back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.data import nifti
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.ledger import mark
from restore_ml.data.likeness import Likeness
from restore_ml.data.nifti import Volume
from restore_ml.data.pictures import Refused
from restore_ml.data.public_layouts import Found, Layout

CONTRASTS = ("t1", "t1ce", "t2", "pd", "flair")
"""The order of the channels."""
CLASSES = ("background", "necrosis", "edema", "enhancing tumour")
"""What the labels 0 to 3 mean. BraTS writes the last one as 4 (until 2022) or 3."""
PERCENTILE = 99.5
"""Of the voxels that are not zero: what is brighter is clipped, and becomes 255."""

_WORDS = {"t1": "t1", "t1w": "t1", "t1n": "t1", "t1ce": "t1ce", "t1c": "t1ce", "t1gd": "t1ce",
          "t2": "t2", "t2w": "t2", "pd": "pd", "pdw": "pd", "flair": "flair", "t2f": "flair", "seg": "labels"}
_BRATS = re.compile(r"(?:.*/)?(?P<patient>[^/]+)/(?P=patient)[_-]"
                    r"(?:t1|t1ce|t2|flair|seg|t1n|t1c|t2w|t2f)\.nii(?:\.gz)?")
_BIDS = re.compile(r"(?:.*/)?(?P<patient>sub-[^/_]+)/(?:[^/]+/)*(?P=patient)_[^/]+\.nii(?:\.gz)?")
_SLICE = re.compile(r"slice_(\d{3,})")
_NEGATIVE = 0.05  # a larger share of negative voxels is no noise: somebody has centred the intensities


class Brains(Domain):
    """`contrasts`: H x W x 5 uint8 in the order of CONTRASTS, zero where `there` (5 uint8, 1 or 0) says that a contrast
    is absent; `labels`: H x W x 1 uint8, an index into CLASSES, where somebody has drawn them."""

    name = "brains"
    what = "slices"
    counted = ("slices", "patients")
    suffixes = nifti.SUFFIXES
    main = "contrasts"
    channels = (len(CONTRASTS),)
    layouts = (Layout("brats", lambda paths: any(map(_BRATS.fullmatch, paths)), lambda paths, role: _brats(paths)),
               Layout("bids", lambda paths: any(map(_BIDS.fullmatch, paths)), lambda paths, role: _bids(paths)),
               Layout("folders", lambda paths: False, lambda paths, role: _folders(paths)))
    likeness = Likeness(distance=4, correlation=0.999)
    """Slices of different patients correlate up to 0.996 (four of BraTS), copies with a little noise from 0.9995."""

    def promises(self, record: str) -> bool:
        """A folder of a patient, or a NIfTI file that lies in none."""
        return nifti.is_nifti(record) or not re.fullmatch(r"\.[A-Za-z]\w{1,4}", PurePosixPath(record).suffix)

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """A folder a patient, of the files whose names say a contrast (or of all, where none does). A file in no folder
        is named, since nobody knows whose it is."""
        folders: dict[str, list[str]] = {}
        records = {}
        for file in filter(nifti.is_nifti, files):
            folder, slash, _ = file.rpartition("/")
            if slash:
                folders.setdefault(folder, []).append(file)
            else:
                records[file] = [file]
        for folder, members in folders.items():
            records[folder] = [file for file in members if contrast(file)] or members
        return records

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """The slices that show anything, from below to above: slice_045 is number 45 of the turned volume."""
        volumes = _patient(path, within)
        shown = np.logical_or.reduce([volume.any(axis=(0, 1)) for name, volume in volumes if name != "labels"])
        return [f"slice_{number:03d}" for number in np.flatnonzero(shown).tolist()]

    def group(self, record: str) -> str:
        """The patient: BIDS' sub-..., else the folder that holds the files. One patient in two places is one group."""
        folders = [part for part in PurePosixPath(record).parts if not _SLICE.fullmatch(part)]
        return next((part for part in folders if part.startswith("sub-")), folders[-1] if folders else "")

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """One slice of a patient."""
        number = _SLICE.fullmatch(path.name)
        if not number:
            raise Refused("no slice of a patient: which slices a folder has is found when it is added")
        volumes = dict(_patient(path.parent, within))
        depth = next(iter(volumes.values())).shape[2]
        if int(number[1]) >= depth:
            raise Refused(f"no such slice: there are {depth}")
        slices = {name: axial(volume)[int(number[1])] for name, volume in volumes.items()}
        labels = slices.pop("labels", None)
        height, width = next(iter(slices.values())).shape
        arrays = {"contrasts": np.zeros((height, width, len(CONTRASTS)), np.uint8),
                  "there": np.array([name in slices for name in CONTRASTS], np.uint8)}
        for channel, name in enumerate(CONTRASTS):
            if name in slices:
                arrays["contrasts"][:, :, channel] = slices[name]
        if not arrays["contrasts"].any():
            raise Refused("an empty slice")
        if labels is not None:
            arrays["labels"] = np.ascontiguousarray(labels[:, :, None])
        return arrays

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The first contrast that is there."""
        first = int(np.flatnonzero(arrays["there"])[0])
        return np.ascontiguousarray(arrays["contrasts"][:, :, first])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Five contrasts: the channels, red in negative, and the darker of red and green; all of them there."""
        red, green, blue = np.moveaxis(picture, 2, 0)
        contrasts = np.stack([red, green, 255 - red, blue, np.minimum(red, green)], axis=2)
        return {"contrasts": contrasts, "there": np.ones(len(CONTRASTS), np.uint8)}

    def embedded(self) -> dict[str, Maker]:
        """The average brain of 152 people to test on; drawn patients with lesions to test on and to learn from."""
        from restore_ml.data.sources import brain_phantom, brain_template

        return {"brains": brain_template.make, "brains_phantom": brain_phantom.make_test,
                "brains_train": brain_phantom.make_training}



def contrast(file: str) -> str:
    """Which contrast a file's name says, `labels` for those of BraTS, or an empty text.

    >>> contrast("sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz"), contrast("P1/P1-t2f.nii"), contrast("P1/notes.nii")
    ('t1ce', 'flair', '')
    """
    words = re.split(r"[_.\- ]", re.sub(r"\.nii(\.gz)?$", "", PurePosixPath(file).name.lower()))
    contrast_name = _WORDS.get(words[-1], "")
    return "t1ce" if contrast_name == "t1" and "ce" in words[:-1] else contrast_name


def _brats(paths: Sequence[str]) -> tuple[list[Found], str]:
    """The patients that are named as their folders are."""
    return _of_patients([path for path in paths if _BRATS.fullmatch(path)], paths, "BraTS")


def _bids(paths: Sequence[str]) -> tuple[list[Found], str]:
    """The patients sub-..., each session of whom is a record of its own."""
    return _of_patients([path for path in paths if _BIDS.fullmatch(path) and contrast(path)], paths, "BIDS")


def _of_patients(chosen: list[str], paths: Sequence[str], layout: str) -> tuple[list[Found], str]:
    folders = {path.rpartition("/")[0] for path in chosen}
    taken = [Found(record, group=DOMAIN.group(record)) for record in DOMAIN.records(paths) if record in folders]
    return taken, (f"Read as a {layout} folder: {len({item.group for item in taken})} patients, "
                   f"{len(paths) - len(chosen)} other files are not taken.")


def _folders(paths: Sequence[str]) -> tuple[list[Found], str]:
    """All that lies in one folder of the first level is of one patient."""
    chosen = [Found(record, group=record.split("/")[0]) for record in DOMAIN.records(paths)]
    patients = {item.group for item in chosen}
    return chosen, f"Read as a folder for each of {len(patients)} patients, none of whom is split."


def axial(values: np.ndarray) -> np.ndarray:
    """X x Y x Z in RAS as Z slices of H x W, from below to above: rows from front to back, columns from left to right.
    """
    return values.transpose(2, 1, 0)[:, ::-1]


def from_axial(slices: np.ndarray) -> np.ndarray:
    """The reverse of `axial`."""
    return slices[:, ::-1].transpose(2, 1, 0)


def _patient(folder: Path, within: Path | None) -> tuple[tuple[str, np.ndarray], ...]:
    """A patient's volumes in RAS, 0 to 255 (labels: classes), by contrast."""
    if not folder.is_dir():
        raise Refused("it lies in no folder of its patient: put the files of each patient into a folder" if
                      folder.is_file() else "not a folder of a patient")
    files = sorted(path.name for path in folder.iterdir() if nifti.is_nifti(path.name))
    marks = tuple((name, mark(folder / name)) for name in files)
    arrays = _read_patient(folder, within, marks)
    if isinstance(arrays, str):
        raise Refused(arrays)
    return arrays


@lru_cache(maxsize=2)
def _read_patient(folder: Path, within: Path | None, marks: tuple[tuple[str, object], ...],
                  ) -> tuple[tuple[str, np.ndarray], ...] | str:
    """The volumes, or why they cannot be used: the slices of one patient are asked for one after the other."""
    try:
        return tuple(_volumes(folder, within, [name for name, _ in marks]).items())
    except Refused as error:
        return error.reason


def _volumes(folder: Path, within: Path | None, names: list[str]) -> dict[str, np.ndarray]:
    files: dict[str, str] = {}
    for name in names:
        if kind := contrast(name):
            if kind in files:
                raise Refused(f"two files for {kind}: {files[kind]} and {name} (a folder holds one patient, a contrast "
                              "once)")
            files[kind] = name
    if not files:
        raise Refused(f"no name says a contrast (such as t1.nii.gz): {', '.join(names[:3])}")
    if set(files) == {"labels"}:
        raise Refused(f"labels without a contrast: {files['labels']}")
    ordered = sorted(files, key=(*CONTRASTS, "labels").index)
    volumes, first = {}, ""
    for kind in ordered:
        try:
            volume = nifti.to_ras(nifti.read(folder / files[kind], within))
            first = first or kind
            volumes[kind] = volume
            if not nifti.same_grid(volumes[first], volume):
                raise Refused(f"another grid than {files[first]} ({_grid(volume)}; {_grid(volumes[first])}): bring the "
                              "contrasts of a patient onto one")
            _check_side(volume)
        except Refused as error:
            raise Refused(f"{files[kind]}: {error.reason}") from None
    return {kind: _checked(kind, files[kind], volume) for kind, volume in volumes.items()}


def _grid(volume: Volume) -> str:
    sizes, shift = np.linalg.norm(volume.affine[:3, :3], axis=0), volume.affine[:3, 3]
    return (f"{' x '.join(map(str, volume.values.shape))} voxels of {' x '.join(f'{size:g}' for size in sizes)} mm "
            f"from {', '.join(f'{value:g}' for value in shift)}")


def _check_side(volume: Volume) -> None:
    if min(volume.values.shape[:2]) < Brains.min_side:
        raise Refused(f"too small: slices of {volume.values.shape[0]} x {volume.values.shape[1]}, the shorter side "
                      f"must be at least {Brains.min_side}")


def _checked(kind: str, file: str, volume: Volume) -> np.ndarray:
    try:
        return _classes(volume.values) if kind == "labels" else eight_bit(volume.values)
    except Refused as error:
        raise Refused(f"{file}: {error.reason}") from None


def eight_bit(values: np.ndarray) -> np.ndarray:
    """Intensities as uint8: from 0 to the PERCENTILE of those that are not zero, which becomes 255.

    `Refused`: nothing but zeros, or intensities that have been centred.
    """
    seen = values[values != 0]
    if not seen.size:
        raise Refused("all its voxels are zero")
    share = float((seen < 0).mean())
    if share > _NEGATIVE:
        raise Refused(f"{share:.0%} of its voxels are negative: give the intensities as they were measured")
    top = float(np.percentile(seen, PERCENTILE))
    if top <= 0:
        raise Refused("all its voxels are negative")
    return np.rint(np.clip(values.astype(np.float64) / top, 0, 1) * 255).astype(np.uint8)


def _classes(values: np.ndarray) -> np.ndarray:
    """Labels as BraTS writes them, as indices into CLASSES."""
    there = np.unique(values).tolist()
    unknown = [value for value in there if value not in (0, 1, 2, 3, 4)]
    if unknown:
        raise Refused(f"unknown classes {', '.join(f'{value:g}' for value in unknown[:5])}: BraTS has 0, 1, 2 and 4 "
                      "(or 3)")
    if {3, 4} <= set(there):
        raise Refused("the classes 3 and 4, of which a file has one: the enhancing tumour")
    return np.where(values == 4, 3, values).astype(np.uint8)


DOMAIN = Brains()
