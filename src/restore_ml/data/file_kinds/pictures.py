"""Pictures, masks and label maps: files of pixels."""

from __future__ import annotations

import io

import numpy as np

from restore_ml import kinds
from restore_ml.arrays import ArraySpec
from restore_ml.data.containers import Container, read_container
from restore_ml.data.file_kinds.kind import FileKind, Form, Read, Refused, other_size, size_in_words
from restore_ml.data.pictures import MIN_SIDE, PROMISING, decode_picture, opened, upright_image

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
            ".bmp": "BMP"}
"""What can be written, by the name's ending."""


class Picture(FileKind):
    """`value`: H x W x C uint8, C = 1 or 3; of a 16-bit file uint16 where the kind is `deep`. `origin`: its `Container`
    (colour profile and resolution)."""

    name = "picture"
    what = "a picture file"
    reads = PROMISING
    writes = SUFFIXES

    def __init__(self, least: int = MIN_SIDE, deep: bool = False) -> None:
        """`least`: pixels of the shorter side; `deep`: whether 16-bit values are kept."""
        self.least, self.deep = least, deep

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """See `restore_ml.data.pictures`."""
        return Read(decode_picture(data, suffix, self.least, self.deep), read_container(data))

    def pixels(self, data: bytes) -> tuple[int, str]:
        """Of the header."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as image:
                return image.width * image.height, f"{image.width} x {image.height} pixels"
        except Exception:  # what the reader says of it counts
            return 0, ""

    def misfit(self, one: Read, other: Read) -> str | None:
        """Pictures that belong together have one size."""
        return other_size(one.value.shape, other.value.shape)

    def encode(self, value: np.ndarray, form: Form) -> bytes:
        """H x W x 3 (or x 1) uint8; JPEG and WebP at quality 95, PNG at zlib's level 4: a third of the time of its
        usual 6, for 5 % more bytes; 4 megapixels feel that. An ending that `writes` has not names Pillow's format."""
        from PIL import Image

        kind = self.writes.get(form.ending, form.ending[1:].upper())
        image = Image.fromarray(value[:, :, 0] if value.ndim == 3 and value.shape[2] == 1 else value)
        options = (form.origin.options(kind, form.enlarged)[0]
                   if isinstance(form.origin, Container) and image.mode == "RGB" else {})
        buffer = io.BytesIO()
        image.save(buffer, kind, quality=95, compress_level=4, **options)
        return buffer.getvalue()

    def remarks(self, form: Form) -> str:
        """A colour profile or a resolution that the format cannot hold."""
        return (form.origin.options(self.writes[form.ending], form.enlarged)[1]
                if isinstance(form.origin, Container) else "")

    def sides(self, value: np.ndarray) -> tuple[int, int]:
        """Of the array."""
        return value.shape[0], value.shape[1]

    def told(self, value: np.ndarray) -> str:
        """Its size."""
        return f"{size_in_words(value.shape)} pixels"


class MaskFile(FileKind):
    """`value`: H x W uint8, 1 = missing. `origin`: the `Mask`, which says how the file was understood."""

    name = "mask"
    what = "a picture file, white where to restore"
    reads = PROMISING

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """See `restore_ml.data.mask_files`."""
        from restore_ml.data.mask_files import decode_mask

        mask = decode_mask(data, suffix)
        return Read(mask.hole, mask)

    pixels = Picture.pixels

    def misfit(self, one: Read, other: Read) -> str | None:
        """A mask has its picture's size."""
        return other_size(one.value.shape, other.value.shape)


class LabelMap(FileKind):
    """`value`: H x W x 1 uint8 or int32, a number a class or an object, 0 the background."""

    name = "label map"
    what = "a PNG file, a grey level (8 or 16 bits) or a colour of its palette for each class"
    reads = frozenset((".png", ".tif", ".tiff", ".bmp"))
    writes = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}  # noqa: RUF012 - a constant of its class

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """Grey levels or the numbers of a palette, never colours."""
        with opened(data, suffix) as (image, _):
            if image.format in ("JPEG", "MPO", "WEBP"):
                raise Refused("labels in a lossy file, whose numbers are not what they were: save them as PNG")
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
                raise Refused("labels in colours: save them as grey levels or with a palette, a number a class")
            small = image.mode in ("1", "L", "P")
            values = np.asarray(upright_image(image)).astype(np.int32)[:, :, None]
        if values.min() < 0:
            raise Refused("labels below zero")
        return Read(values.astype(np.uint8) if small else values)

    pixels = Picture.pixels

    def misfit(self, one: Read, other: Read) -> str | None:
        """A label map has its picture's size."""
        return other_size(one.value.shape, other.value.shape)

    def encode(self, value: np.ndarray, form: Form) -> bytes:
        """Classes with a palette, the colours of `restore_ml.kinds`, in 8 bits; objects as grey levels of 16."""
        from PIL import Image

        numbers = value[:, :, 0] if value.ndim == 3 else value
        if numbers.min() < 0 or numbers.max() > 65535:
            raise ValueError(f"A label map holds the numbers 0 to 65535, not {numbers.min()} to {numbers.max()}.")
        if numbers.dtype == np.uint8:
            image = Image.fromarray(numbers)
            colours = kinds.LABELS.draw(np.arange(256, dtype=np.uint8)[None, :, None], ArraySpec(kinds.LABELS))[0]
            image.putpalette(colours.tobytes())
        else:
            image = Image.fromarray(numbers.astype(np.uint16))
        buffer = io.BytesIO()
        image.save(buffer, self.writes[form.ending])
        return buffer.getvalue()

    sides = Picture.sides

    def told(self, value: np.ndarray) -> str:
        """Its size and how many labels there are beside the background."""
        return f"{size_in_words(value.shape)} pixels, {len(np.unique(value[value > 0]))} labels"


PICTURE = Picture()
MASK = MaskFile()
LABELS = LabelMap()
