"""One file that another tool made, read and held against what is wanted: its kind, its size, its colours.

What can be read without a guess is taken and said (`notes`); what would need one is refused (`Refused`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.data.file_kinds import CLIP, LABELS, VOLUME, FileKind, Picture, ending
from restore_ml.data.file_kinds.bands import BANDS
from restore_ml.data.frame_folders import is_frame
from restore_ml.data.pictures import PROMISING, Refused, decode_picture, deep_colour, deep_values, opened, read_bytes
from restore_ml.tasks.sample_files import Wanted

COLOURED = 8
"""The least difference of two channels, in levels, at which a picture is not grey."""
LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000")


@dataclass
class Output:
    """The value of a file, and what was noted while it was read, in words that many files may share."""

    value: Any
    notes: list[str] = field(default_factory=list)


def promises(wanted: Wanted, path: Path) -> bool:
    """Whether the name promises such a file (a folder: a clip)."""
    if path.is_dir():
        return wanted.kind is CLIP and any(is_frame(file.name) for file in path.iterdir())
    if wanted.kind is VOLUME:
        return VOLUME.promises(path.name) or ending(path.name) in PROMISING
    if wanted.kind is LABELS:
        return ending(path.name) in PROMISING
    return wanted.kind.promises(path.name)


def read(path: Path, wanted: Wanted, inputs: Arrays, given: Mapping[str, Any]) -> Output:
    """What the file (or folder of frames) holds. `inputs`: the sample; `given`: its files by name. `Refused` where it
    is not what is wanted."""
    kind: FileKind = wanted.kind
    if isinstance(kind, Picture):
        output = _picture(path)
        _check_size(output.value.shape[:2], wanted, inputs, given)
        return _with_channels(output, wanted, given)
    if kind is CLIP:
        return _clip(path, wanted, inputs, given)
    if kind is VOLUME and not VOLUME.promises(path.name):
        output = _picture(path)
        if not _is_grey(output.value):
            raise Refused("a picture in colour, where a slice in grey levels is wanted")
        output.value = output.value[None, :, :, 0]
    else:
        output = Output(kind.read(path).value)
    if kind is VOLUME:
        if len(output.value) != 1:
            raise Refused(f"{len(output.value)} slices, where one is wanted")
        _check_size(output.value.shape[1:], wanted, inputs, given)
    elif wanted.size is not None:
        _check_size(output.value.shape[:2], wanted, inputs, given)
    if kind is BANDS and output.value.shape[2] != wanted.channels:
        raise Refused(f"{output.value.shape[2]} bands, where {wanted.channels} are wanted")
    return output


def _picture(path: Path) -> Output:
    """H x W x C uint8. 16 bits are rounded; an alpha channel that hides nothing is left out."""
    data = read_bytes(path)
    notes = []
    with opened(data, path.suffix, 1) as (image, tags):
        deep = deep_colour(image, data, tags)
        wide = deep or image.mode.startswith("I")
        if wide:
            values = deep_values(data) if deep else np.asarray(image)
            colours = values[..., :3] if values.ndim == 3 else values
            if colours.max() <= 255 and colours.any():
                raise Refused(f"16 bits a channel, but no value above {int(colours.max())}: levels of 8 bits were "
                              "written without scaling, save them as 8 bit")
            notes.append("16 bits a channel, rounded to 8")
        if deep and values.shape[2] == 4:
            _check_alpha(int(values[..., 3].min()), 65535)
            notes.append("an alpha channel that hides nothing, left out")
        elif image.has_transparency_data and not deep:
            _check_alpha(int(np.asarray(image.convert("RGBA").getchannel("A")).min()), 255)
            notes.append("an alpha channel that hides nothing, left out")
        if image.format in LOSSY:
            notes.append(f"{image.format}, which loses something: the figures are those of the files")
    return Output(decode_picture(data, path.suffix, 1), notes)


def _check_alpha(least: int, opaque: int) -> None:
    if least < opaque:
        raise Refused("an alpha channel that is not opaque everywhere, and nobody knows on which colour: save it "
                      "without one")


def _with_channels(output: Output, wanted: Wanted, given: Mapping[str, Any]) -> Output:
    """Grey as three equal channels where that can be right, and equal channels as grey where grey is wanted."""
    channels = output.value.shape[-1]
    if channels == wanted.channels:
        return output
    if wanted.channels == 1:
        if not _is_grey(output.value):
            raise Refused("in colour, where grey is wanted")
        return Output(output.value[..., :1], output.notes)
    if any(not _is_grey(value) for value in given.values() if isinstance(value, np.ndarray) and value.shape[-1] == 3):
        raise Refused("grey, where colour is wanted and the input has colour: a tool for one channel needs the colours "
                      "put back")
    return Output(np.repeat(output.value, 3, axis=-1), [*output.notes, "grey, taken as three equal channels"])


def _is_grey(value: np.ndarray) -> bool:
    return value.shape[-1] == 1 or int(np.ptp(value.astype(np.int16), axis=-1).max()) < COLOURED


def _clip(path: Path, wanted: Wanted, inputs: Arrays, given: Mapping[str, Any]) -> Output:
    frames = CLIP.read(path).value
    notes = [] if path.is_dir() or ending(path.name) == ".avi" else [
        f"{ending(path.name)}, which loses something: the figures are those of the files"]
    if len(frames) != wanted.frames:
        raise Refused(f"{len(frames)} frames, where {wanted.frames} are wanted")
    _check_size(frames.shape[1:3], wanted, inputs, given)
    return Output(frames, notes)


def _check_size(size: tuple[int, ...], wanted: Wanted, inputs: Arrays, given: Mapping[str, Any]) -> None:
    """`Refused` for another size, with what may have happened."""
    if wanted.size is None or tuple(size) == tuple(wanted.size):
        return
    (height, width), (high, wide) = size, wanted.size
    told = f"{width} x {height} pixels, where {wide} x {high} are wanted"
    first = next((value.shape[-3:-1] for value in given.values() if isinstance(value, np.ndarray) and value.ndim > 2),
                 None)
    scale = int(inputs["scale"]) if "scale" in inputs else 1
    if (height, width) == (wide, high):
        why = "it was turned"
    elif scale > 1 and first == (height, width):
        why = "it is as large as the input: nothing was enlarged"
    elif scale > 1 and first and height % first[0] == 0 and width * first[0] == height * first[1]:
        why = f"it is {height // first[0]} times as large as the input, and this case asks for {scale} times"
    elif 0 <= high - height < 64 and 0 <= wide - width < 64:
        lost = [f"{count} {what}" for count, what in ((wide - width, "columns"), (high - height, "rows")) if count]
        why = (f"{' and '.join(lost)} are missing; some tools crop to a multiple of 8 or 16 "
               "first: let it pad the input instead, and cut the result to the size that is wanted")
    elif 0 <= height - high < 64 and 0 <= width - wide < 64:
        why = "the tool padded the input: cut the result to the size that is wanted"
    else:
        why = "nothing is resized here"
    raise Refused(f"{told}: {why}")
