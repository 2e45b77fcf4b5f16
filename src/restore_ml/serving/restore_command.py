"""Restoring a person's own files: which model, a file's bytes in, a file's bytes out. Used by `restore-ml restore`
and by the models that MLflow serves, so both give the same."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import inside, read_json, write_whole
from restore_ml.registry import tables

if TYPE_CHECKING:
    import numpy as np

    from restore_ml.data.containers import Container
    from restore_ml.data.file_kinds import FileKind, Form, Read
    from restore_ml.method import Method, Model
    from restore_ml.tasks.photos import Asked

URL_SAFE = str.maketrans("-_", "+/")
"""The two letters of base64's alphabet for addresses."""


class NoModel(UserError):
    """There is no model of a task that could be used: it must be built first."""


def read_file(kind: FileKind, path: Path, what: str, within: Path | None = None) -> Read:
    """What a person's file holds; a missing or broken one is a `UserError` that names it."""
    from restore_ml.data.pictures import Refused

    try:
        return kind.read(path, within)
    except Refused as refused:
        if refused.reason == "not there":
            raise UserError(f"There is no {what} {path}; give the path of {kind.what}.") from None
        raise UserError(f"The {what} {path} cannot be used: {refused.reason}.") from None


def decode_file(kind: FileKind, data: bytes, what: str, suffix: str = "") -> Read:
    """The same for a file's bytes; `suffix`: the ending of its name, where it has one."""
    from restore_ml.data.pictures import Refused

    try:
        return kind.decode(data, suffix)
    except Refused as refused:
        raise UserError(f"The {what} cannot be used: {refused.reason}.") from None


def decode(data: bytes, what: str = "picture") -> np.ndarray:
    """The bytes of a picture file as H x W x C uint8 (C 1 or 3); a `UserError` says why not."""
    from restore_ml.data.file_kinds import PICTURE

    picture: np.ndarray = decode_file(PICTURE, data, what).value
    return picture


def from_base64(text: str, column: str, what: str = "a picture file") -> bytes:
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
        raise UserError(f"The column {column!r} must hold base64 of {what}.") from None


def encode(picture: np.ndarray, form: str = "PNG", original: Container | None = None, scale: float = 1) -> bytes:
    """An H x W x 3 (or x 1) uint8 picture as the bytes of a file (see `restore_ml.data.file_kinds.pictures`).

    `original`: whose colour profile and resolution go along, the latter for a picture that was enlarged by `scale`.
    """
    from restore_ml.data.file_kinds import PICTURE, Form

    ending = next((ending for ending, name in PICTURE.writes.items() if name == form), f".{form.lower()}")
    return PICTURE.encode(picture, Form(ending, original, scale))


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
        if read_json(folder / "model.json")["status"] == layout.OUTSIDE:
            raise UserError(outside(model))
        return folder
    folder = root / layout.champion(task)
    if not (folder / "model.json").exists():
        from restore_ml.runs.settings import default_of

        default = default_of(root, task)
        if default and (root / layout.model(task, default) / "model.json").exists():
            return root / layout.model(task, default)
        raise NoModel(f"There is no champion for {task} yet; `restore-ml promote` makes one after a rebuild, or name "
                      "a run with --model RUN.")
    return folder


def outside(run: str) -> str:
    """The sentence for who asks for the model of another tool's outputs."""
    return (f"The run {run} is outputs of another tool (kind {layout.OUTSIDE}): it is compared and shown, but it has "
            "no model, so nothing can be restored with it, served or exported. Name another run with --model.")


def load(folder: Path, root: Path) -> tuple[Method, Model]:
    """The method and model of a folder. A folder that brings what fills its slots (`models/` in it) uses its own."""
    from restore_ml.restoring.loading import load_model

    return load_model(folder, folder if (folder / layout.MODELS).is_dir() else root)


def restore_picture(method: Method, model: Model, picture: np.ndarray, mask: np.ndarray | None = None,
                    scale: int | None = None, seed: int = 1) -> np.ndarray:
    """Restore one picture (H x W x C uint8, any size): H x W x 3 uint8. `mask`: H x W, 1 = missing; `scale`: factor."""
    from restore_ml.serving.photos import restore_photo

    return restore_photo(method, model, picture, mask, scale, seed)


def restore_row(method: Method, model: Model, files: Mapping[str, bytes], asked: Asked) -> dict[str, str]:
    """The same from files to files, both by name: bytes in; texts out, base64 of what is no text. What is served."""
    from restore_ml.serving.photos import answer, of_task, way_of

    photos = of_task(method.task)
    known, results = photos.names(), photos.results()
    way = way_of(method.task, files)
    given = {name: decode_file(known[name].kind, data, name) for name, data in files.items()}
    main = given.get(way.main.name, next(iter(given.values())))
    answered = answer(method, model, given, asked)
    return {name: to_text(results[name].kind, found, main) for name, found in answered.items()}


def from_text(text: str, column: str, kind: FileKind) -> bytes:
    """The bytes of a file that came as `to_text` sends it."""
    return text.encode("utf-8", "surrogatepass") if kind.text else from_base64(text, column, kind.what)


def to_text(kind: FileKind, found: Read, main: Read) -> str:
    """A result as it travels, in its kind's first format."""
    data = kind.encode(found.value, form_of(kind, found, main, next(iter(kind.writes))))
    return data.decode() if kind.text else base64.b64encode(data).decode()


def form_of(kind: FileKind, found: Read, main: Read, suffix: str) -> Form:
    """How a result is written that keeps the origin it has. `main`: the file that it was made from."""
    from restore_ml.data.file_kinds import Form, Picture

    both = isinstance(kind, Picture) and isinstance(found.value, type(main.value))
    return Form(suffix, found.origin, found.value.shape[0] / main.value.shape[0] if both else 1.0)


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
                 others: Mapping[str, Path] | None = None, scale: int | None = None, seed: int = 1,
                 options: Mapping[str, str] | None = None, texts: Mapping[str, str] | None = None,
                 precision: str = "auto") -> str:
    """Restore the file `source` into `target`; returns a sentence that says with which run it was done.

    `others`: what else is given, by name; `texts`: what is given in words in place of a file (a palette). What comes
    back beside the main result lies beside `target`, with its name before the ending. `source` may be a
    folder of files that are named as what they are given for.
    """
    from restore_ml.data.file_kinds import ending
    from restore_ml.serving import places
    from restore_ml.serving.photos import answer, checked, of_task, way_of
    from restore_ml.tasks.photos import Asked

    photos, more, said = of_task(task), dict(others or {}) | ({} if mask is None else {"mask": mask}), texts or {}
    paths = {**(places.members(photos, source) or {places.main_name(photos, source, {**more, **said}): source}), **more}
    try:
        way = way_of(task, [*paths, *said])
    except UserError:
        model_folder(root, task, model)  # a run of another task says more
        raise
    targets = places.of_results(way, target)
    for got in way.gets:
        places.check(got.kind, targets[got.name], paths.values())
    asked = Asked(scale, seed, checked(task, scale, options or {}))
    given = {name: read_file(photos.names()[name].kind, path, "picture" if name == "image" else name)
             for name, path in paths.items()} | in_words(task, said)
    folder, method, loaded = load_for(root, task, model, precision)
    main = given.get(way.main.name, next(iter(given.values())))
    places.check_sides(way, targets, main, photos.factor(method, scale))
    answered = answer(method, loaded, given, asked)
    remarks = "".join(f" {found.origin}" for name, found in given.items() if name == "mask")
    remarks += f" {remark}" if (remark := photos.remark(method, given)) else ""
    for got in way.gets:
        found, suffix = answered[got.name], ending(targets[got.name].name)
        write_files(targets[got.name], files_of(got.kind, found, main, suffix))
        remarks += got.kind.remarks(form_of(got.kind, found, main, suffix))
    first = way.gets[0]
    return (f"{target}: {first.kind.told(answered[first.name].value)}, restored with {run_name(folder)} "
            f"({', '.join([task, *([loaded.precision] if loaded.networks else [])])}).{remarks}")


def in_words(task: str, texts: Mapping[str, str]) -> dict[str, Read]:
    """What is given in words in place of files, by name; `UserError` for what the task does not take or what means
    nothing."""
    from restore_ml.serving.photos import of_task, way_of

    known = of_task(task).names()
    for name in texts.keys() - known.keys():
        way_of(task, [name])
    return {name: decode_file(known[name].kind, told.encode("utf-8", "surrogatepass"), name)
            for name, told in texts.items()}


def files_of(kind: FileKind, found: Read, main: Read, suffix: str) -> dict[str, bytes]:
    """A result as the files of a folder where `suffix` is empty, else as one file without a name."""
    from restore_ml.data.file_kinds import CLIP

    form = form_of(kind, found, main, suffix)
    return dict(CLIP.frames(found.value, form)) if not suffix else {"": kind.encode(found.value, form)}


def write_files(target: Path, files: Mapping[str, bytes]) -> None:
    """Write what `files_of` gives, each file whole or not at all; frames of before that are none any more go."""
    if "" in files:
        write_bytes(target, files[""])
        return
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*.png"):
        if stale.name not in files and stale.stem.isdigit():
            stale.unlink()
    for name, data in files.items():
        write_bytes(target / name, data)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    def fill(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_whole(path, fill)


def run_name(folder: Path) -> str:
    """The run whose model lies in `folder`."""
    from restore_ml.base.files import read_json

    return str(read_json(folder / "model.json")["run"])
