"""Files in which others keep the weights of their networks: with `foreign_checkpoints` the only module that opens them,
and the only one that opens a pickle.

A file of somebody else's is believed in nothing but numbers. A pickle is read by `plain_arrays`, which knows three
names, those that numpy writes its arrays with, calls none of numpy's own code for them and refuses every other name
before anything of it runs; a file of torch's is read with `weights_only`; of one of dlib's the numbers alone are taken.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError

Arrays = dict[str, np.ndarray]
KINDS = "biuf"
"""Of numbers: numpy's letters for booleans, whole numbers and floating-point numbers."""


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


def plain_floats(shapes: Iterable[tuple[int, ...]]) -> Callable[[bytes], list[np.ndarray]]:
    """A reader of a network that dlib wrote: its arrays of these shapes (four lengths each) in their order, float32.

    Each array stands behind its header (the format's number 2 and the lengths) as little-endian numbers; what lies
    between the arrays says nothing about them and is passed over. The reader's `ValueError`: an array is not there.
    """
    def read(data: bytes) -> list[np.ndarray]:
        arrays, place = [], 0
        for shape in shapes:
            header = b"".join(map(_whole_number, (2, *shape)))
            found, count = data.find(header, place), math.prod(shape)
            place = found + len(header) + 4 * count
            if found < 0 or place > len(data):
                raise ValueError(f"no array of {shape} where one belongs")
            arrays.append(np.frombuffer(data, "<f4", count, place - 4 * count).reshape(shape).copy())
        return arrays
    return read


def _whole_number(value: int) -> bytes:
    """As dlib writes one: how many bytes it has, then these, the lowest first."""
    raw = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes([len(raw)]) + raw


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
