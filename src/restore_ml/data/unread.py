"""Kinds of picture files that are not read, told by their ending or by their first bytes, so that each is refused by
name instead of passed over (or, worse, read as the small preview that stands in front of it)."""

from __future__ import annotations

RAW = "a camera's raw file, which is not read: develop it and save it as TIFF or PNG"
_MODERN = "which is not read: save it as PNG, TIFF or JPEG"

RAW_SUFFIXES = frozenset((
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"))
SUFFIXES: dict[str, str] = {
    **dict.fromkeys(RAW_SUFFIXES, RAW),
    **dict.fromkeys((".heic", ".heif", ".hif"), f"a HEIC picture, {_MODERN}"),
    ".avif": f"an AVIF picture, {_MODERN}", ".jxl": f"a JPEG XL picture, {_MODERN}",
    **dict.fromkeys((".psd", ".psb", ".xcf", ".kra", ".afphoto"), f"a file of a painting program, {_MODERN}"),
    **dict.fromkeys((".exr", ".hdr"), "a picture of unbounded light, which is not read: save it as 16-bit TIFF or PNG"),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".pdf"), "a drawing or document, not a picture of pixels"),
    **dict.fromkeys((".tga", ".dds", ".pcx", ".ico", ".icns", ".jxr", ".wdp", ".djvu", ".jpf", ".jpx"),
                    f"a kind of picture file {_MODERN}"),
}
"""Endings of picture files that are not read, each with the reason."""

_BRANDS = {b"heic": ".heic", b"heix": ".heic", b"hevc": ".heic", b"heim": ".heic", b"heis": ".heic", b"mif1": ".heic",
           b"msf1": ".heic", b"avif": ".avif", b"avis": ".avif", b"crx ": ".cr3"}
_MAGIC = {b"FUJIFILMCCD-RAW": ".raf", b"FOVb": ".x3f", b"\0MRM": ".mrw", b"IIRO": ".orf", b"IIRS": ".orf",
          b"MMOR": ".orf", b"IIU\0": ".rw2", b"\xff\x0a": ".jxl", b"\0\0\0\x0cJXL ": ".jxl", b"8BPS": ".psd",
          b"gimp xcf": ".xcf", b"v/1\x01": ".exr", b"#?RADIANCE": ".hdr", b"%!PS": ".eps", b"%PDF": ".pdf",
          b"II\xbc\x01": ".jxr"}


def kind_not_read(data: bytes, suffix: str = "") -> str | None:
    """Why a file with these first bytes (a few dozen are enough) and this ending is of a kind that is not read.

    None where it may be a picture of a known format: the content decides, so that a JPEG called `.heic` is read.

    >>> kind_not_read(bytes(4) + b"ftypheic" + bytes(8))
    'a HEIC picture, which is not read: save it as PNG, TIFF or JPEG'
    >>> kind_not_read(b"II*" + bytes(9), ".nef") == RAW
    True
    >>> kind_not_read(b"II*" + bytes(9), ".tif") is None
    True
    >>> kind_not_read(b"a text", ".png") is None
    True
    """
    if data[4:8] == b"ftyp":
        brands = (data[8:12], *(data[start:start + 4] for start in range(16, min(len(data), 64), 4)))
        if suffix := next((_BRANDS[brand] for brand in brands if brand in _BRANDS), ""):
            return SUFFIXES[suffix]
    for start, kind in _MAGIC.items():
        if data.startswith(start):
            return SUFFIXES[kind]
    tiff = data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if tiff and (suffix.lower() in RAW_SUFFIXES or data[8:10] == b"CR"):
        return RAW
    if data[:4] == b"HEAP" or data[6:14] == b"HEAPCCDR":
        return RAW
    return None
