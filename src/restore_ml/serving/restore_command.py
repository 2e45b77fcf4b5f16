"""Restoring a person's own picture: which model, picture bytes in, picture bytes out. Used by `restore-ml restore`
and by the models that MLflow serves, so both give the same picture."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import inside, write_whole
from restore_ml.registry import tables
from restore_ml.serving import outputs

if TYPE_CHECKING:
    import numpy as np

    from restore_ml.arrays import Arrays
    from restore_ml.data.containers import Container
    from restore_ml.data.mask_files import Mask
    from restore_ml.method import Method, Model

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
            ".bmp": "BMP"}
"""What `restore-ml restore -o` can write, by the name's ending."""
URL_SAFE = str.maketrans("-_", "+/")
"""The two letters of base64's alphabet for addresses."""


class NoModel(UserError):
    """There is no model of a task that could be used: it must be built first."""


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
    from restore_ml.data.pictures import Refused, decode_picture

    try:
        return decode_picture(data)
    except Refused as refused:
        raise UserError(f"The {what} cannot be used: {refused.reason}.") from None


def from_base64(text: str, column: str) -> bytes:
    """The bytes that a column of a served table holds: base64 in either alphabet, in one line or many, with or without
    its last `=`, and with or without a browser's `data:image/png;base64,` before it."""
    head, comma, rest = text.partition(",")
    if comma and head.strip().lower().startswith("data:"):
        if not head.lower().rstrip().endswith(";base64"):
            raise UserError(f"The column {column!r} holds a data address that is not base64; write it with ;base64.")
        text = rest
    plain = "".join(text.split()).rstrip("=").translate(URL_SAFE)
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:  # other letters, or texts that are not ASCII
        raise UserError(f"The column {column!r} must hold base64 of a picture file.") from None


def encode(picture: np.ndarray, form: str = "PNG", original: Container | None = None, scale: float = 1) -> bytes:
    """An H x W x 3 (or x 1) uint8 picture as the bytes of a file; JPEG and WebP at quality 95.

    `original`: whose colour profile and resolution go along, the latter for a picture that was enlarged by `scale`.
    PNG at zlib's level 4: a third of the time of its usual 6, for 5 % more bytes; 4 megapixels feel that.
    """
    from PIL import Image

    image = Image.fromarray(picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    buffer = io.BytesIO()
    options = original.options(form, scale)[0] if original is not None and image.mode == "RGB" else {}
    image.save(buffer, form, quality=95, compress_level=4, **options)
    return buffer.getvalue()


def read_mask(path: Path) -> Mask:
    """The mask of a file; one that is missing, broken or marks nothing or everything is a `UserError`."""
    from restore_ml.data import mask_files
    from restore_ml.data.pictures import Refused

    try:
        return mask_files.read_mask(path)
    except Refused as refused:
        if refused.reason == "not there":
            raise UserError(f"There is no mask {path}; give the path of a picture file.") from None
        raise UserError(f"The mask {path} cannot be used: {refused.reason}.") from None


def decode_mask(data: bytes) -> Mask:
    """The same for bytes that came over the wire."""
    from restore_ml.data import mask_files
    from restore_ml.data.pictures import Refused

    try:
        return mask_files.decode_mask(data)
    except Refused as refused:
        raise UserError(f"The mask cannot be used: {refused.reason}.") from None


def model_folder(root: Path, task: str, model: str) -> Path:
    """The folder of a task's champion, or of the run called `model`; `NoModel` where there is none.

    Where no champion stands, the run that the task's runs.yaml names as `default` takes its place.
    """
    if model != "champion":
        folder = inside(root / layout.models(task), model)
        if not (folder / "model.json").exists():
            others = [name for name in tables() if (root / layout.model(name, model) / "model.json").exists()]
            if others:
                raise UserError(f"The run {model!r} is of the task {others[0]}, not {task}; give --task {others[0]}.")
            raise NoModel(f"There is no model {model!r} in {root / layout.models(task)}; `restore-ml runs` lists the "
                            "runs, and `make repro` builds them.")
        return folder
    folder = root / layout.champion(task)
    if not (folder / "model.json").exists():
        default = default_run(root, task)
        if default and (root / layout.model(task, default) / "model.json").exists():
            return root / layout.model(task, default)
        raise NoModel(f"There is no champion for {task} yet; `restore-ml promote` makes one after a rebuild, or name "
                      "a run with --model RUN.")
    return folder


def default_run(root: Path, task: str) -> str:
    """The run that the task's runs.yaml names for people where there is no champion, or an empty text."""
    from restore_ml.runs import settings

    path = root / layout.PARAMS
    return settings.load(path).defaults.get(task, "") if path.exists() else ""


def load(folder: Path, root: Path) -> tuple[Method, Model]:
    """The method and model of a folder. A folder that brings what fills its slots (`models/` in it) uses its own."""
    from restore_ml.restoring.loading import load_model

    return load_model(folder, folder if (folder / layout.MODELS).is_dir() else root)


def restore_picture(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                    scale: int | None = None, seed: int = 1, given: Arrays | None = None) -> np.ndarray:
    """Restore one picture (H x W x C uint8, any size): H x W x 3 uint8. `mask`: H x W, 1 = missing; `scale`: factor;
    `given`: the optional inputs that a person gave."""
    from restore_ml.serving.photos import of_task, restore_photo

    if scale is not None and not 1 <= scale <= 16:
        raise UserError(f"The scale is {scale}; give a whole number such as 2, 3 or 4.")
    photos = of_task(method.task)
    if mask is not None and not photos.takes_mask:
        raise UserError(f"{method.task} takes no mask; leave it out, or restore with --task inpainting.")
    if scale is not None and not photos.enlarges:
        raise UserError(f"{method.task} takes no scale; leave it out, or restore with --task super_resolution.")
    return restore_photo(method, model, picture, mask, scale, seed, given)


def restore_bytes(method: Method, model: Model, image: bytes, mask: bytes | None = None, scale: int | None = None,
                  seed: int = 1) -> bytes:
    """The same from file to file: a picture file's bytes (and its mask's) in, a PNG's bytes out. What is served."""
    from restore_ml.data.containers import read_container

    picture = decode(image, "image")
    hole = None if mask is None else decode_mask(mask).hole
    restored = restore_picture(method, model, picture, hole, scale, seed)
    return encode(restored, original=read_container(image), scale=restored.shape[0] / picture.shape[0])


def load_for(root: Path, task: str, model: str, precision: str = "auto") -> tuple[Path, Method, Model]:
    """The folder, method and model of a task's champion or of one of its runs.

    `precision`: `fp32`, `bf16`, or `auto` for the faster of the two that is as good (see
    `restore_ml.restoring.arithmetic`).
    """
    folder = model_folder(root, task, model)
    method, loaded = load(folder, root)
    from restore_ml.restoring.arithmetic import choose

    loaded.precision = choose(method, loaded, precision)
    return folder, method, loaded


def restore_file(root: Path, task: str, model: str, source: Path, target: Path, *, mask: Path | None = None,
                 scale: int | None = None, seed: int = 1, precision: str = "auto") -> str:
    """Restore the picture file `source` into `target`; returns a sentence that says with which run it was done."""
    from restore_ml.data.containers import read_container
    from restore_ml.serving.photos import of_task

    form = SUFFIXES.get(target.suffix.lower())
    if form is None:
        raise UserError(f"{target} ends in {target.suffix!r}; name a file that ends in {', '.join(SUFFIXES)}.")
    outputs.check_file(target, [path for path in (source, mask) if path is not None])
    picture = read(source)
    marked = None if mask is None else read_mask(mask)
    folder, method, loaded = load_for(root, task, model, precision)
    outputs.check_size(target, form, *sides_of(method, picture, scale))
    photos = of_task(task)
    given = photos.given(source)
    restored = restore_picture(method, loaded, picture, None if marked is None else marked.hole, scale, seed, given)
    height, width = restored.shape[:2]
    original, enlarged = read_container(source.read_bytes()), height / picture.shape[0]
    write_bytes(target, encode(restored, form, original, enlarged))
    said = photos.remark(method, given)
    remarks = ("" if marked is None else f" {marked}") + original.options(form, enlarged)[1]
    return (f"{target}: {width} x {height} pixels, restored with {run_name(folder)} "
            f"({', '.join([task, *([loaded.precision] if loaded.networks else [])])}).{remarks}"
            f"{' ' if said else ''}{said}")


def sides_of(method: Method, picture: np.ndarray, scale: int | None) -> tuple[int, int]:
    """Width and height in pixels of what becomes of a picture."""
    from restore_ml.serving.photos import of_task

    factor = of_task(method.task).factor(method, scale)
    return picture.shape[1] * factor, picture.shape[0] * factor


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    def fill(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_whole(path, fill)


def run_name(folder: Path) -> str:
    """The run whose model lies in `folder`."""
    from restore_ml.base.files import read_json

    return str(read_json(folder / "model.json")["run"])
