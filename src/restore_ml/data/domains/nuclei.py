"""Nuclei: fields of view under a microscope, with each nucleus outlined where somebody has done so.

A field is one of
- a picture file alone;
- a picture and a label map beside it, `<name>.png` and `<name>.instances.png` (0 background, a number a nucleus; 8 or
  16 bits, or a palette): in a collection both lie in a folder `<name>`;
- a folder as the Data Science Bowl of 2018 has it: `<id>/images/<id>.png`, and `<id>/masks/*.png`, one a nucleus.

Pictures of 16 bits come in whatever range a camera gave them, so each is scaled by its own (`eight_bit`); a colour
picture whose channels are equal becomes grey. Masks are filled where they have holes, and where they overlap a pixel
belongs to the smaller nucleus, so that one within another stays; a mask of which nothing is left so (a second copy) is
left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.data import likeness
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.pictures import (
    PROMISING,
    SUFFIXES,
    Refused,
    deep_colour,
    deep_values,
    opened,
    read_bytes,
    read_picture,
    upright,
    upright_image,
)
from restore_ml.data.public_layouts import Found, Layout

LABELS = ".instances"
"""What a label map's name has after the picture's, before its ending."""
BRIGHTEST = 0.999
"""The share of a 16-bit picture's levels that are not clipped."""

_BOWL = re.compile(r"(?P<field>(?:.*/)?[^/]+)/(?P<part>images|masks)/[^/]+")


class Nuclei(Domain):
    """`image`: H x W x C uint8, C = 1 or 3; `instances`: H x W x 1 int32, 0 background, 1 to n each a nucleus without
    gaps, where they are outlined (an empty field has zeros alone)."""

    name = "nuclei"
    what = "fields"
    counted = ("pictures", "fields")
    suffixes = PROMISING
    layouts = (Layout("dsb2018", lambda paths: any(item["part"] == "masks" for item in map(_BOWL.fullmatch, paths)
                                                   if item), lambda paths, role: _bowl(paths)),
               Layout("folders", lambda paths: False, lambda paths, role: _folders(paths)))

    def promises(self, record: str) -> bool:
        """A picture file, or a folder of a field."""
        suffix = PurePosixPath(record).suffix.lower()
        return suffix in self.suffixes or not re.fullmatch(r"\.[a-z]\w{1,4}", suffix)

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """A field is the folder of its images and masks, or what its picture and label map have in common, else the
        file."""
        records: dict[str, list[str]] = {}
        pictures = [file for file in files if _is_picture(file)]
        pairs = {_stem(file) for file in pictures if _is_labels(file)} & {
            _stem(file) for file in pictures if not _is_labels(file)}
        crowd = Counter(file.rpartition("/")[0] for file in pictures)
        for file in pictures:
            record = file
            folder = file.rpartition("/")[0]
            if bowl := _BOWL.fullmatch(file):
                record = bowl["field"]
            elif _stem(file) in pairs:
                record = folder if folder and crowd[folder] == 2 else _stem(file)
            records.setdefault(record, []).append(file)
        return records

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The field's picture, and its nuclei where they are outlined."""
        if path.is_dir():
            bowl = any((path / part).is_dir() for part in ("images", "masks"))
            return _read_bowl(path, within) if bowl else _read_pair(path, within)
        if _is_labels(path.name):
            raise Refused("a label map without its picture")
        if not path.exists() and not path.is_symlink() and not path.suffix:
            raise Refused("a picture and a label map that lie beside each other belong into a folder of their name")
        return {"image": read_image(path, within)}

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The picture's own."""
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture's grey levels; the nuclei are the connected areas brighter than their mean."""
        from scipy.ndimage import label

        grey = likeness.luma(picture)
        return {"image": grey[:, :, None], "instances": label(grey > grey.mean())[0][:, :, None].astype(np.int32)}

    def embedded(self) -> dict[str, Maker]:
        """Real fields of two packages, and drawn ones, to test on and to learn from."""
        from restore_ml.data.sources import nuclei_drawn, nuclei_fields

        return {"nuclei": nuclei_fields.make_test, "nuclei_drawn": nuclei_drawn.make_test,
                "nuclei_drawn_train": nuclei_drawn.make_training, "nuclei_train": nuclei_fields.make_training}


def _is_picture(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in PROMISING


def _is_labels(file: str) -> bool:
    path = PurePosixPath(file)
    return path.suffix.lower() in SUFFIXES and path.stem.lower().endswith(LABELS)


def _stem(file: str) -> str:
    """A picture's path without its ending, and without what makes it a label map.

    >>> _stem("a/b.instances.png"), _stem("a/b.c.tif")
    ('a/b', 'a/b.c')
    """
    stem = str(PurePosixPath(file).with_suffix(""))
    return stem[:-len(LABELS)] if _is_labels(file) else stem


def _bowl(paths: Sequence[str]) -> tuple[list[Found], str]:
    """Each folder of images and masks is a field and a group of its own."""
    inside = {bowl["field"] for path in paths if (bowl := _BOWL.fullmatch(path))}
    chosen = [Found(record, group=PurePosixPath(record).name) for record in DOMAIN.records(paths) if record in inside]
    other = sum(not _BOWL.fullmatch(path) for path in paths)
    return chosen, f"Read as a folder for each of {len(chosen)} fields; {other} other files are not taken."


def _folders(paths: Sequence[str]) -> tuple[list[Found], str]:
    """What lies in one folder of the first level is of one group."""
    chosen = [Found(record, group=record.split("/")[0] if "/" in record else "") for record in DOMAIN.records(paths)]
    groups = {item.group for item in chosen} - {""}
    return chosen, f"Read as a folder for each of {len(groups)} groups, none of which is split."


def read_image(path: Path, within: Path | None = None) -> np.ndarray:
    """A picture as H x W x C uint8: as `read_picture` reads it, but 16 bits by `eight_bit`, and grey where it is."""
    data = read_bytes(path, within)
    with opened(data, path.suffix) as (image, tags):
        deep = None
        if deep_colour(image, data, tags):
            values = deep_values(data)
            deep = upright(values[:, :, :3], image) if values.shape[2] == 3 else None  # transparency is read as usual
        elif image.mode.startswith("I;16") and (tags is None or not tags.inverted):
            deep = np.asarray(upright_image(image))[:, :, None].astype(np.uint16)
    picture = read_picture(path, within) if deep is None else eight_bit(deep)
    if picture.shape[2] == 3 and not np.diff(picture.astype(np.int16), axis=2).any():
        picture = picture[:, :, :1]
    return np.ascontiguousarray(picture)


def eight_bit(levels: np.ndarray) -> np.ndarray:
    """16-bit levels as uint8: up to 255 as they are (8 bits that were stored in 16); others from their least to the one
    that BRIGHTEST of them do not exceed, in whole numbers.

    >>> [eight_bit(np.array(levels, np.uint16)).tolist() for levels in ([0, 100, 255], [600, 1600, 4600])]
    [[0, 100, 255], [0, 64, 255]]
    """
    if levels.max() <= 255:
        return levels.astype(np.uint8)
    ordered = np.sort(levels, axis=None)
    black, white = int(ordered[0]), int(ordered[min(len(ordered) - 1, int(BRIGHTEST * len(ordered)))])
    span = max(white - black, 1)
    return ((np.minimum(levels.astype(np.int64) - black, span) * 510 + span) // (2 * span)).astype(np.uint8)


def read_labels(path: Path, within: Path | None = None) -> np.ndarray:
    """A label map as H x W int64, the numbers as they are stored."""
    data = read_bytes(path, within)
    with opened(data, path.suffix) as (image, _):
        if image.format in ("JPEG", "WEBP"):
            raise Refused("labels in a lossy file, whose numbers are not what they were")
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
            raise Refused(f"labels in {'colour' if image.mode in ('RGB', 'RGBA') else f'the mode {image.mode}'}: save "
                          "them as grey levels, a number a nucleus")
        values = np.asarray(upright_image(image)).astype(np.int64)
    if values.min() < 0:
        raise Refused("labels below zero")
    return values


def without_gaps(labels: np.ndarray) -> np.ndarray:
    """The numbers 1 to n in their order instead of those that are there, as H x W x 1 int32.

    >>> without_gaps(np.array([[0, 7], [3, 7]]))[:, :, 0].tolist()
    [[0, 2], [1, 2]]
    """
    there = np.unique(labels[labels > 0])
    return np.where(labels > 0, np.searchsorted(there, labels) + 1, 0).astype(np.int32)[:, :, None]


def _read_pair(folder: Path, within: Path | None) -> dict[str, np.ndarray]:
    """A folder of a picture and its label map."""
    files = sorted(path for path in folder.iterdir() if _is_picture(path.name))
    maps = [path for path in files if _is_labels(path.name)]
    pictures = [path for path in files if path not in maps]
    if len(maps) != 1 or len(pictures) != 1:
        raise Refused(f"{len(pictures)} pictures and {len(maps)} label maps in a folder of one field: "
                      f"{', '.join(path.name for path in files[:4])}")
    image = _of(pictures[0], read_image, within)
    labels = _of(maps[0], read_labels, within)
    _check_size(maps[0], labels, image)
    return {"image": image, "instances": without_gaps(labels)}


def _of(path: Path, reader: Callable[[Path, Path | None], np.ndarray], within: Path | None) -> np.ndarray:
    """What a reader makes of a file; a refusal names the file."""
    try:
        return reader(path, within)
    except Refused as error:
        raise Refused(f"{path.name}: {error.reason}") from None


def _check_size(path: Path, labels: np.ndarray, image: np.ndarray) -> None:
    if labels.shape != image.shape[:2]:
        raise Refused(f"{path.name}: {labels.shape[1]} x {labels.shape[0]} pixels, but the picture has "
                      f"{image.shape[1]} x {image.shape[0]}")


def _read_bowl(folder: Path, within: Path | None) -> dict[str, np.ndarray]:
    """A folder of images and masks."""
    pictures = sorted(path for path in (folder / "images").glob("*") if _is_picture(path.name))
    if len(pictures) != 1:
        raise Refused(f"{len(pictures)} pictures in images, where a field has one")
    arrays = {"image": _of(pictures[0], read_image, within)}
    if (folder / "masks").is_dir():
        files = sorted(path for path in (folder / "masks").iterdir() if _is_picture(path.name))
        masks = []
        for file in files:
            mask = _of(file, _read_mask, within)
            _check_size(file, mask, arrays["image"])
            masks.append(mask)
        arrays["instances"] = combined(masks, arrays["image"].shape[:2])
    return arrays


def _read_mask(path: Path, within: Path | None) -> np.ndarray:
    """The mask of one nucleus, its holes filled."""
    from scipy.ndimage import binary_fill_holes

    values = read_labels(path, within)
    mask = values > 0
    if not (values[mask] == values.max()).all():
        raise Refused(f"{len(np.unique(values))} levels, where the mask of one nucleus has zero and another one")
    if mask.all():
        raise Refused("it covers the whole picture")
    if mask.any():
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]  # a hole lies within
        mask[box] = binary_fill_holes(mask[box])
    return mask


def combined(masks: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """One H x W x 1 int32 array from H x W masks: where they overlap the smaller nucleus lies above, of equal ones the
    first."""
    labels = np.zeros(shape, np.int64)
    for number in sorted(range(len(masks)), key=lambda number: (-int(masks[number].sum()), -number)):
        labels[masks[number]] = number + 1
    return without_gaps(labels)


DOMAIN = Nuclei()
