"""Restoring a person's own picture: which model, picture bytes in, picture bytes out. Used by `restore-ml restore`
and by the models that MLflow serves, so both give the same picture."""

from __future__ import annotations

import base64
import binascii
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml import layout
from restore_ml.errors import UserError
from restore_ml.files import inside, write_whole
from restore_ml.registry import TASKS

if TYPE_CHECKING:
    import numpy as np

    from restore_ml.method import Method, Model

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
            ".bmp": "BMP"}
"""What `restore-ml restore -o` can write, by the name's ending."""


def read(path: Path, what: str = "picture") -> np.ndarray:
    """A picture file as H x W x C uint8 (C 1 or 3); a missing or broken one is a `UserError` that names it."""
    from restore_ml.data.pictures import Refused, read_picture

    try:
        return read_picture(path)
    except Refused as refused:
        if refused.reason == "not there":
            raise UserError(f"There is no {what} {path}; give the path of a picture file.") from None
        raise UserError(f"The {what} {path} cannot be used: {refused.reason}.") from None


def decode(data: bytes, what: str = "picture") -> np.ndarray:
    """The same for bytes that came over the wire."""
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return read(Path(name), what)
    except UserError as error:
        raise UserError(str(error).replace(f" {name}", "")) from None
    finally:
        Path(name).unlink(missing_ok=True)


def from_base64(text: str, column: str) -> bytes:
    """The bytes that a column of a served table holds."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise UserError(f"The column {column!r} must hold base64 of a picture file.") from None


def encode(picture: np.ndarray, form: str = "PNG") -> bytes:
    """An H x W x 3 (or x 1) uint8 picture as the bytes of a file; JPEG and WebP at quality 95.

    PNG at zlib's level 4: a third of the time of its usual 6, for 5 % more bytes; 4 megapixels feel that.
    """
    from PIL import Image

    image = Image.fromarray(picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    buffer = io.BytesIO()
    image.save(buffer, form, quality=95, compress_level=4)
    return buffer.getvalue()


def as_mask(picture: np.ndarray) -> np.ndarray:
    """A picture as a mask, H x W uint8: 1 (missing, to be filled) where it is lighter than mid-grey."""
    return (picture.mean(axis=2) >= 127.5).astype("uint8")


def model_folder(root: Path, task: str, model: str) -> Path:
    """The folder of a task's champion, or of the run called `model`; `UserError` where there is none."""
    if model != "champion":
        folder = inside(root / layout.models(task), model)
        if not (folder / "model.json").exists():
            others = [name for name in TASKS if (root / layout.model(name, model) / "model.json").exists()]
            if others:
                raise UserError(f"The run {model!r} is of the task {others[0]}, not {task}; give --task {others[0]}.")
            raise UserError(f"There is no model {model!r} in {root / layout.models(task)}; `restore-ml runs` lists the "
                            "runs, and `make repro` builds them.")
        return folder
    folder = root / layout.champion(task)
    if not (folder / "model.json").exists():
        raise UserError(f"There is no champion for {task} yet; `restore-ml promote` makes one after a rebuild, or name "
                        "a run with --model RUN.")
    return folder


def load(folder: Path, root: Path) -> tuple[Method, Model]:
    """The method and model of a folder. A folder that brings what fills its slots (`models/` in it) uses its own."""
    from restore_ml.restoration import load_model

    return load_model(folder, folder if (folder / layout.MODELS).is_dir() else root)


def restore_picture(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                    scale: int | None = None, seed: int = 1) -> np.ndarray:
    """Restore one picture (H x W x C uint8, any size): H x W x 3 uint8. `mask`: H x W, 1 = missing; `scale`: factor."""
    from restore_ml.photos import restore_photo

    if scale is not None and not 1 <= scale <= 16:
        raise UserError(f"The scale is {scale}; give a whole number such as 2, 3 or 4.")
    if mask is not None and method.task != "inpainting":
        raise UserError(f"{method.task} takes no mask; leave it out, or restore with --task inpainting.")
    if scale is not None and method.task != "super_resolution":
        raise UserError(f"{method.task} takes no scale; leave it out, or restore with --task super_resolution.")
    return restore_photo(method, model, picture, mask, scale, seed)


def restore_bytes(method: Method, model: Model, image: bytes, mask: bytes | None = None, scale: int | None = None,
                  seed: int = 1) -> bytes:
    """The same from file to file: a picture file's bytes (and its mask's) in, a PNG's bytes out. What is served."""
    picture = decode(image, "image")
    hole = None if mask is None else as_mask(decode(mask, "mask"))
    return encode(restore_picture(method, model, picture, hole, scale, seed))


def load_for(root: Path, task: str, model: str, precision: str = "auto") -> tuple[Path, Method, Model]:
    """The folder, method and model of a task's champion or of one of its runs.

    `precision`: `fp32`, `bf16`, or `auto` for the faster of the two that is as good (`restore_ml.inference`).
    """
    folder = model_folder(root, task, model)
    method, loaded = load(folder, root)
    from restore_ml.inference import choose

    loaded.precision = choose(method, loaded, precision)
    return folder, method, loaded


def restore_file(root: Path, task: str, model: str, source: Path, target: Path, *, mask: Path | None = None,
                 scale: int | None = None, seed: int = 1, precision: str = "auto") -> str:
    """Restore the picture file `source` into `target`; returns a sentence that says with which run it was done."""
    form = SUFFIXES.get(target.suffix.lower())
    if form is None:
        raise UserError(f"{target} ends in {target.suffix!r}; name a file that ends in {', '.join(SUFFIXES)}.")
    picture = read(source)
    hole = None if mask is None else as_mask(read(mask, "mask"))
    folder, method, loaded = load_for(root, task, model, precision)
    restored = restore_picture(method, loaded, picture, hole, scale, seed)
    data = encode(restored, form)
    write_bytes(target, data)
    height, width = restored.shape[:2]
    return (f"{target}: {width} x {height} pixels, restored with {run_name(folder)} "
            f"({', '.join([task, *([loaded.precision] if loaded.networks else [])])}).")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    def fill(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_whole(path, fill)


def run_name(folder: Path) -> str:
    """The run whose model lies in `folder`."""
    from restore_ml.files import read_json

    return str(read_json(folder / "model.json")["run"])
