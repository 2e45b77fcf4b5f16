"""What the tags of a TIFF file say of its numbers, read before they are taken for a picture.

Pillow takes some numbers for what they are not: 16-bit levels with zero for white, 12-bit levels as if they were 16-bit
ones, signed levels, a fourth channel without a stated meaning as transparency, a camera's preview for the photograph.
`TiffTags.of` refuses what cannot be read rightly and says how to read the rest (TIFF 6.0, Adobe 1992, and the DNG
specification for raw data).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from restore_ml.data.unread import RAW

NEW_SUBFILE, BITS, PHOTOMETRIC, SAMPLES, MAXIMUM, PLANAR = 254, 258, 262, 277, 281, 284
SUB_IFDS, INK_SET, EXTRA, FORMAT, DNG = 330, 332, 338, 339, 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR, PALETTE, HOLES, CMYK = 0, 1, 2, 3, 4, 5
SENSOR = (32803, 34892)  # a colour filter array, linear raw
ASSOCIATED, UNASSOCIATED = 1, 2


class UnreadableLayout(Exception):
    """Why the numbers of a TIFF file cannot be taken for a picture; the text is the reason."""


@dataclass(frozen=True)
class TiffTags:
    """How the first image of a TIFF file is to be read.

    `bits` a sample; `photometric`, `samples` and `extra` as tags 262, 277 and 338 say; `white`: the level of white,
    of black where `inverted`.
    """

    bits: int
    photometric: int
    samples: int
    extra: tuple[int, ...]
    white: int
    inverted: bool

    @property
    def deep_colour(self) -> bool:
        """Whether it holds 16-bit colour, of which Pillow keeps only the high bytes."""
        return self.bits == 16 and self.photometric == COLOUR

    @property
    def meaningless(self) -> int:
        """How many channels beyond the colour's have no meaning: 0 unspecified, or no tag at all."""
        if self.photometric not in (BLACK_IS_ZERO, WHITE_IS_ZERO, COLOUR):
            return 0
        beyond = self.samples - (3 if self.photometric == COLOUR else 1)
        return beyond if beyond > 0 and not {*self.extra} & {ASSOCIATED, UNASSOCIATED} else 0

    @property
    def associated(self) -> bool:
        """Whether colours are stored already multiplied with their opacity."""
        return self.extra[:1] == (ASSOCIATED,)

    @classmethod
    def of(cls, data: bytes) -> TiffTags | None:
        """The tags of a TIFF file's bytes; None where it is no TIFF file or its tags cannot be read (Pillow says why).

        `UnreadableLayout`: numbers whose meaning is not known or not supported.
        """
        if data[:4] not in (b"II*\0", b"MM\0*"):
            return None
        try:
            tags = _directory(data, int.from_bytes(data[4:8], "little" if data[:2] == b"II" else "big"))
            return None if tags is None else cls._checked(tags, data)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, SyntaxError, OSError):
            return None

    @classmethod
    def _checked(cls, tags: dict[int, tuple[int, ...]], data: bytes) -> TiffTags:
        bits, photometric = tags.get(BITS, (1,)), tags.get(PHOTOMETRIC, (BLACK_IS_ZERO,))[0]
        samples, formats = tags.get(SAMPLES, (1,))[0], {*tags.get(FORMAT, (1,))}
        _refuse_what_is_no_photograph(tags, photometric, data)
        if 2 in formats and bits[0] <= 16:
            raise UnreadableLayout("signed levels, whose range is not known")
        if len(set(bits)) > 1:
            raise UnreadableLayout(f"channels of {' and '.join(map(str, bits))} bits, which are not read")
        if tags.get(INK_SET, (1,))[0] == 2:
            raise UnreadableLayout("inks other than cyan, magenta, yellow and black, which are not read")
        if bits[0] == 16 and photometric == COLOUR and tags.get(PLANAR, (1,))[0] == 2:
            raise UnreadableLayout("16-bit colour with each channel in a plane of its own, which is not read")
        if bits[0] == 16 and formats == {1} and photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR):
            raise UnreadableLayout("16-bit colours that are not RGB, which are not read: save it as RGB")
        white = 2 ** bits[0] - 1 if bits[0] <= 16 else 0
        most = {*tags.get(MAXIMUM, ())}
        if bits[0] == 16 and len(most) == 1 and (largest := most.pop()) in [2**used - 1 for used in range(9, 16)]:
            white = largest  # levels of fewer bits in 16
        return cls(bits[0], photometric, samples, tags.get(EXTRA, ()), white, photometric == WHITE_IS_ZERO)


def _refuse_what_is_no_photograph(tags: dict[int, tuple[int, ...]], photometric: int, data: bytes) -> None:
    """Raw data of a camera, a preview in front of another image, a mask that belongs to another image."""
    inner = [_directory(data, offset) or {} for offset in tags.get(SUB_IFDS, ())[:8]]
    if DNG in tags or photometric in SENSOR or any(item.get(PHOTOMETRIC, (0,))[0] in SENSOR for item in inner):
        raise UnreadableLayout(RAW)
    if tags.get(NEW_SUBFILE, (0,))[0] & 1 and (inner or _NEXT in tags):
        raise UnreadableLayout("its first image is a reduced copy of another one in it: save the large one alone")
    if photometric == HOLES or tags.get(NEW_SUBFILE, (0,))[0] & 4:
        raise UnreadableLayout("its first image is a transparency mask, not a picture")


_NEXT = -1  # there is another image behind this one


def _directory(data: bytes, offset: int) -> dict[int, tuple[int, ...]] | None:
    """The whole numbers among the tags of the directory at `offset`, by tag."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if not 8 <= offset < len(data):
        return None
    directory = ImageFileDirectory_v2(data[:8])
    file = io.BytesIO(data)
    file.seek(offset)
    directory.load(file)
    tags: dict[int, tuple[int, ...]] = {}
    for tag in (NEW_SUBFILE, BITS, PHOTOMETRIC, SAMPLES, MAXIMUM, PLANAR, SUB_IFDS, INK_SET, EXTRA, FORMAT, DNG):
        if tag in directory:
            value = directory[tag]
            numbers = tuple(value) if isinstance(value, tuple | list | bytes) else (value,)
            if all(isinstance(number, int) for number in numbers):
                tags[tag] = numbers
            elif tag == DNG:
                tags[tag] = ()
    if directory.next:
        tags[_NEXT] = (directory.next,)
    return tags
