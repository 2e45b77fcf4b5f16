"""Files of weights that a person brings, read as arrays by name: safetensors, torch's own, npz, MATLAB.

Together with `restore_ml.nn.foreign_files`, which reads those that this project knows, the only module that opens
them. What nests (`params_ema`, `state_dict`, a cell of MATLAB) becomes one name with points. Arrays alone are taken:
torch's files are read with `weights_only`, npz without pickles, and of everything else that a file holds nothing runs.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError, short
from restore_ml.nn.foreign_files import plain_arrays
from restore_ml.nn.foreign_kinds import (
    AGAIN,
    LEGACY,
    LEGACY_MARK,
    MATLAB,
    NPZ,
    PICKLE,
    SAFETENSORS,
    TORCH,
    kind_of,
    refuse_pickle,
)

DEEPEST, MANY = 32, 100_000
"""Dictionaries in each other, and values in all of them: a list that holds itself twice, and again, has no end."""
MOST = 200
"""Times as many numbers as a file has bytes: more are no weights, but a file made to fill the memory."""
UNFOLDED, SLACK = 50, 1 << 20
"""Times as many bytes as an archive has, and some more for small ones, that its members may unfold to."""
OPTIMISER = re.compile(r"(^|\.)state\.\d+\.step$|(^|[._])(exp_avg(_sq)?|max_exp_avg_sq|momentum_buffer|optimizers?|"
                       r"optim(iser)?s?(_[a-z])?|optimizer_states?|param_groups|adam(_1)?|rmsprop|momentum|"
                       r"square_avg)([._:]|$)", re.IGNORECASE)
"""In names: what an optimiser keeps of each weight."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds: float32 arrays by name in the file's order.

    `kind`: of file; `ordered`: whether that order is the author's (safetensors sorts by name); `aside`: names of arrays
    that are no weights (counters, an optimiser's).
    """

    kind: str
    arrays: dict[str, np.ndarray]
    ordered: bool = True
    aside: list[str] = field(default_factory=list)

    @property
    def torch_order(self) -> bool:
        """Whether such a file has the axes of kernels as torch does: out x in x height x width."""
        return self.kind in (TORCH, LEGACY, SAFETENSORS)


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights in a file.

    Raises:
        UserError: the file is no file of weights (the sentence says what it is and what to do), holds no weights, or
            values that are not finite.
    """
    kind = kind_of(path)
    read = {TORCH: _of_torch, LEGACY: _of_torch, SAFETENSORS: _of_safetensors, NPZ: _of_npz, MATLAB: _of_matlab,
            PICKLE: _of_pickle}[kind]
    found: dict[str, np.ndarray] = {}
    for raw, value in read(path):
        name = raw if raw.isprintable() else ascii(raw)[1:-1]  # no sign that a terminal would obey
        if name in found:
            raise UserError(f"{path.name} holds two arrays of the name {name!r}, so that nobody knows which is meant; "
                            "save them under names of their own.")
        found[name] = value
    return _sorted_out(path, kind, found)


def _sorted_out(path: Path, kind: str, found: dict[str, np.ndarray]) -> Checkpoint:
    """The weights among what was found, as float32; a `UserError` where there are none, or broken ones."""
    if not found:
        raise UserError(f"{path.name} holds no arrays at all; it is no file of weights, or one of settings alone.")
    of_optimiser = [name for name in found if OPTIMISER.search(name)]
    kept = {name: value for name, value in found.items() if name not in set(of_optimiser)}
    if not kept:
        raise UserError(f"{path.name} holds the state of an optimiser alone ({short(', '.join(of_optimiser))}), not "
                        "the weights; take the other file of that training, with `model` or `net` in its name mostly.")
    arrays: dict[str, np.ndarray] = {}
    for name, value in kept.items():
        if value.dtype.kind != "f":
            continue
        with np.errstate(over="ignore"):
            arrays[name] = np.ascontiguousarray(value, dtype=np.float32).reshape(value.shape)
        broken = int(arrays[name].size - np.isfinite(arrays[name]).sum())
        if broken:
            raise UserError(f"{path.name} is broken: {broken} of the {value.size} values of {name!r} are not finite "
                            "(NaN or infinite), as after a training that diverged; take an earlier or another file.")
    if not arrays:
        raise UserError(f"{path.name} holds whole numbers alone ({short(', '.join(kept))}); weights that were packed "
                        "for a device (quantised) are not read.")
    return Checkpoint(kind, arrays, kind != SAFETENSORS, [name for name in found if name not in arrays])


def _of_torch(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    import torch

    _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise of everything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise refuse_pickle(path, _pickles(path), reason) from None
    yield from _tensors(path, state)


def _check_archive(path: Path) -> None:
    """`UserError` for an archive that would unfold to far more than it is; weights hardly shrink."""
    try:
        with zipfile.ZipFile(path) as archive:
            unfolded = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError):  # none, or a broken one: its reader says so
        return
    if unfolded > UNFOLDED * path.stat().st_size + SLACK:
        raise UserError(f"{path.name} tells of far more numbers than it holds; it is not read.")


def _pickles(path: Path) -> bytes:
    """What of a file of torch is pickled."""
    if not zipfile.is_zipfile(path):
        data = path.read_bytes()
        return data if LEGACY_MARK in data[:64] else b""
    with zipfile.ZipFile(path) as archive:
        return next((archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")), b"")


def _of_safetensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except Exception as error:  # safetensors raises its own kinds
        raise UserError(f"{path.name} cannot be read as safetensors ({short(' '.join(str(error).split()), 200)}); "
                        f"{AGAIN}.") from None
    yield from _tensors(path, state)


def _tensors(path: Path, state: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of nested dictionaries and lists, by their names joined with points."""
    import torch

    leaves = list(islice(_leaves(path, state), MANY + 1))
    if len(leaves) > MANY:
        raise UserError(f"{path.name} holds more than {MANY:,} values in its dictionaries and lists; it is no file of "
                        "weights.")
    found = [(name, value) for name, value in leaves if isinstance(value, torch.Tensor)]
    if sum(value.numel() for _, value in found) > MOST * path.stat().st_size:
        raise UserError(f"{path.name} tells of far more numbers than it holds; it is not read.")
    for name, value in found:
        if value.layout != torch.strided or value.is_quantized or value.is_complex():
            raise UserError(f"{path.name} holds {name!r}, which is no plain tensor of real numbers; save them as "
                            "such.")
        plain = value.detach()
        yield name, (plain.float() if plain.is_floating_point() else plain).numpy()


def _leaves(path: Path, value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > DEEPEST:
        raise UserError(f"{path.name} holds more than {DEEPEST} dictionaries in each other; it is no file of weights.")
    if not isinstance(value, dict | list | tuple):
        yield name, value
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        yield from _leaves(path, inner, f"{name}.{key}" if name else str(key), depth + 1)


def _of_pickle(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    try:
        content = plain_arrays(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path.name} is a pickle, and: {error} Save its arrays as .npz.") from None
    yield from ((name, value) for name, value in _leaves(path, content) if isinstance(value, np.ndarray))


def _of_npz(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    _check_archive(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            for name in stored.files:
                if not isinstance(stored[name], np.ndarray):
                    raise OSError(f"{name} is no array")
                yield name, stored[name]
    except ValueError as error:
        word = "holds pickled objects beside arrays" if "allow_pickle" in str(error) else "is broken"
        raise UserError(f"{path.name} {word} ({short(' '.join(str(error).split()))}); save plain arrays with "
                        "`np.savez`.") from None
    except MemoryError:
        raise UserError(f"{path.name} tells of far more numbers than it holds; it is not read.") from None
    except Exception as error:  # numpy raises nearly anything on broken headers
        raise UserError(f"{path.name} is broken ({short(' '.join(str(error).split()))}); {AGAIN}.") from None


def _of_matlab(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except Exception as error:  # scipy raises nearly anything on broken bytes
        raise UserError(f"{path.name} is no whole MATLAB file ({short(' '.join(str(error).split()))}): it is cut off "
                        f"or broken; {AGAIN}.") from None
    for name, value in content.items():
        if not name.startswith("__"):
            yield from _cells(name, value)


def _cells(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a variable of MATLAB: fields of structs by name, entries of cells by number from 1."""
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names:
        for number, entry in enumerate(value.ravel(order="F"), 1):
            own = f"{name}.{number}" if value.size > 1 else name
            for part in value.dtype.names:
                yield from _cells(f"{own}.{part}", entry[part])
    elif value.dtype == object:
        entries = list(value.ravel(order="F"))
        parts = ("weight", "bias") if _is_pair(entries) else tuple(str(number) for number in range(1, len(entries) + 1))
        own = name if len(entries) > 1 or not _is_struct(entries) else ""
        for part, entry in zip(parts, entries, strict=True):
            yield from _cells(f"{name}.{part}" if own else name, entry)
    elif value.dtype.kind in "biuf" and value.size:
        yield name, value


def _is_struct(entries: list[Any]) -> bool:
    return bool(entries) and isinstance(entries[0], np.ndarray) and bool(entries[0].dtype.names)


def _is_pair(entries: list[Any]) -> bool:
    """Whether a cell is a layer of MatConvNet: its kernels and its biases."""
    if len(entries) != 2 or not all(isinstance(entry, np.ndarray) and entry.dtype.kind == "f" for entry in entries):
        return False
    kernels, biases = entries
    return bool(kernels.ndim > 2 and biases.size == max(biases.shape))
