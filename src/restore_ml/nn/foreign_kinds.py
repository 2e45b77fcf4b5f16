"""What a file is that somebody brings as weights, told by its first bytes and never by its name.

What is no weights at all (a pointer of Git LFS, a web page, a cut download, a program) is refused in a sentence that
says what it is and what to do. Nothing of a file runs here.
"""

from __future__ import annotations

import html
import io
import json
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from restore_ml.base.errors import UserError, short

TORCH, LEGACY, SAFETENSORS, NPZ, MATLAB, PICKLE = (
    "torch file", "torch file of before 1.6", "safetensors", "npz", "MATLAB file", "pickle of numpy arrays")
READ = "Read are safetensors, .pth, .pt and .ckpt of torch, .npz and .mat"
AGAIN = "download it again, and compare its size with that on the page"
HEAD = 4096
LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, as its own library has it."""
LEGACY_MARK = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which torch began its files before they were zip archives."""
POINTER = b"version https://git-lfs.github.com/spec/"
PAGES = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")
ARCHIVES = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
OTHERS = {
    ".onnx": ("an ONNX file, a network and no weights by name", "take the authors' .pth or .safetensors"),
    ".h5": ("an HDF5 file (Keras)", "save its arrays as .npz: `np.savez(\"weights.npz\", **{w.name: w.numpy() for w in "
                                    "model.weights})`"),
    ".t7": ("a file of Lua Torch", "save its arrays as .npz (the package torchfile reads them)"),
    ".caffemodel": ("a file of Caffe", "save its arrays as .npz with Caffe's own Python"),
    ".index": ("one of the files of a TensorFlow checkpoint", "save its arrays as .npz: `r = tf.train.load_checkpoint("
               "\"PREFIX\"); np.savez(\"weights.npz\", **{n: r.get_tensor(n) for n in "
               "r.get_variable_to_shape_map()})`"),
}
OTHERS |= {".hdf5": OTHERS[".h5"], ".keras": OTHERS[".h5"], ".meta": OTHERS[".index"]}


def kind_of(path: Path) -> str:
    """One of the kinds above.

    Raises:
        UserError: no such file, or one that holds no weights that are read; the sentence says what it is.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise UserError(f"{what}; give the path of a file of weights.")
    size = path.stat().st_size
    if not size:
        raise UserError(f"{path.name} is empty (0 bytes); {AGAIN}.")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    _refuse_text(path, head, size)
    if head.startswith(b"PK"):
        return _of_archive(path, size)
    if head.startswith(b"MATLAB"):
        return _of_matlab(path, head)
    if head[:1] == b"\x80":
        return LEGACY if LEGACY_MARK in head[:64] else PICKLE
    if _is_safetensors(head):
        _check_safetensors(path, size)
        return SAFETENSORS
    _refuse_other(path, head)
    raise UserError(f"{path.name} is none of the kinds that are read ({size} bytes that begin with "
                    f"{head[:8].hex(' ')}). {READ}.")


def _refuse_text(path: Path, head: bytes, size: int) -> None:
    if head.startswith(POINTER) or (b"/annex/objects/" in head[:200] and size < 1000):
        told = re.search(rb"^size (\d+)$", head, re.MULTILINE)
        of = f" of {int(told[1]):,} bytes" if told else ""
        raise UserError(f"{path.name} is a pointer of Git LFS ({size} bytes of text that stand for a file{of}), not "
                        "the weights: run `git lfs pull` in its repository, or download the file from its page.")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:20].lower().startswith(PAGES):
        found = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
        title = " ".join(html.unescape(found[1].decode("utf-8", "replace")).split()) if found else ""
        says = f" (its title: {short(title)!r})" if title else ""
        raise UserError(f"{path.name} is a web page{says}, not the weights: the link led to a page about the file, or "
                        "to one that refuses it. Open the link in a browser and save the file itself.")
    if text[:1] in (b"{", b"["):
        try:
            words = " ".join(head.decode("utf-8").split())
        except UnicodeDecodeError:
            return
        raise UserError(f"{path.name} is a text, not weights: {short(words)!r}. Download the file itself.")


def _of_archive(path: Path, size: int) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise UserError(f"{path.name} is cut off: it begins as a file of torch or numpy and its end is not there "
                        f"({size:,} bytes); {AGAIN}.") from None
    if any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names):
        raise UserError(f"{path.name} is TorchScript, a program together with its weights, and programs of others are "
                        f"not run here. Where you trust it: {_line(path, 'torch.jit.load({0}).state_dict()')}, and "
                        "import weights.pth.")
    if any(name.endswith("data.pkl") for name in names):
        return TORCH
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    raise UserError(f"{path.name} is a zip archive of other files ({short(', '.join(names)) or 'nothing'}); unpack it "
                    f"and give the file of weights. {READ}.")


def _of_matlab(path: Path, head: bytes) -> str:
    if head.startswith(b"MATLAB 7.3"):
        raise UserError(f"{path.name} is a MATLAB file of version 7.3, which is not read; save it in MATLAB with "
                        "`save(file, 'name', '-v7')`.")
    return MATLAB


def _is_safetensors(head: bytes) -> bool:
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER


def _check_safetensors(path: Path, size: int) -> None:
    """`UserError` where the header tells of more bytes than there are."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    told = 0
    if len(header) == length:
        try:
            entries = json.loads(header)
            told = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"),
                       default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise UserError(f"{path.name} begins as safetensors, and its header cannot be read; {AGAIN}.") from None
    if 8 + length + told > size:
        raise UserError(f"{path.name} is cut off: its header tells of {8 + length + told:,} bytes and there are "
                        f"{size:,}; {AGAIN}.")


def _refuse_other(path: Path, head: bytes) -> None:
    for start, name in ARCHIVES.items():
        if head.startswith(start):
            raise UserError(f"{path.name} is an archive ({name}); unpack it and give the file of weights.")
    if head[257:262] == b"ustar":
        raise UserError(f"{path.name} is an archive (tar); unpack it and give the file of weights.")
    if head.startswith(b"\x93NUMPY"):
        raise UserError(f"{path.name} is one array (.npy); a network has many: save them by name with `np.savez`.")
    ending = ".h5" if head.startswith(b"\x89HDF") else ".index" if ".data-0" in path.name else path.suffix.lower()
    if ending in OTHERS:
        what, remedy = OTHERS[ending]
        raise UserError(f"{path.name} is {what}, which is not read; {remedy}.")


def refuse_pickle(path: Path, data: bytes, reason: str) -> UserError:
    """The sentence for a file of torch that holds more than tensors: `data` are its pickles, which are looked through
    and not run; `reason`: what torch's reader said."""
    names = list(dict.fromkeys(_named(data)))
    code = [name for name in names if not name.startswith(("torch.", "collections.", "_codecs.", "__builtin__."))
            or name.startswith("torch.nn.modules.")]
    modules = [name for name in code if name.startswith("torch.nn.modules.")]
    own = next((name for name in code if name not in modules), code[0] if code else "")
    if modules:
        return UserError(f"{path.name} is a whole pickled network (of the class {own}), a program together with its "
                         "weights, and programs of others are not run here. Where you trust it and have its code: "
                         f"{_line(path, 'torch.load({0}, weights_only=False).state_dict()')}, and import weights.pth.")
    if code:
        return UserError(f"{path.name} holds other things beside its tensors ({short(', '.join(code))}), which would "
                         "run code when they are read; it is not opened. Where you trust it: "
                         f"{_line(path, 'torch.load({0}, weights_only=False)[KEY]')} with the KEY of its weights "
                         "(`state_dict` mostly), and import weights.pth.")
    return UserError(f"{path.name} cannot be read as a file of torch ({short(reason, 200)}); {AGAIN}.")


def _line(path: Path, expression: str) -> str:
    plain = re.fullmatch(r"[\w.+-]+", path.name, re.ASCII)  # others named it, and a shell will read this line
    made = expression.format(f"'{path.name if plain else 'FILE'}'")
    return f"`python -c \"import torch; torch.save({made}, 'weights.pth')\"`"


def _named(data: bytes) -> Iterator[str]:
    """The names that the pickles in `data` would import, without importing them."""
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            texts: list[str] = []
            for code, value, _ in pickletools.genops(stream):
                if code.name in ("GLOBAL", "INST"):
                    yield ".".join(str(value).split(" "))
                elif code.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:])
                elif isinstance(value, str):
                    texts.append(value)
    except (ValueError, pickle.UnpicklingError, OverflowError, MemoryError):  # behind the pickles lie the numbers
        return
