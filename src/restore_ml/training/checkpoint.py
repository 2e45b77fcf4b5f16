"""Checkpoints: everything that a run needs to go on to the very same weights, as safetensors and JSON, never pickle.

A checkpoint is one safetensors file (all tensors by name, and the plain values as JSON in its metadata), written to a
temporary neighbour, flushed and renamed: a kill at any moment leaves the old one or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole


def save(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write tensors and JSON values as one file, whole or not at all."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"values": json.dumps(values, sort_keys=True)}
    write_whole(path, lambda temporary: save_file(ready, temporary, metadata=metadata))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values of `save`; a broken file is a `UserError` that names it."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads(file.metadata()["values"])
    except Exception as error:  # safetensors raises its own kinds
        raise UserError(f"The checkpoint {path} cannot be read ({error}); delete it to train from the start.") from None


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds a NaN or an infinity, or None."""
    return next((name for name, value in tensors.items()
                 if value.is_floating_point() and not torch.isfinite(value).all()), None)


def network_tensors(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a network under `prefix`; a tensor shared by two names is stored under each."""
    return {f"{prefix}.{name}": value.clone() for name, value in network.state_dict().items()}


def fill_network(prefix: str, network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load what `network_tensors` gave; names must agree exactly."""
    start = f"{prefix}."
    network.load_state_dict({name[len(start):]: value for name, value in tensors.items() if name.startswith(start)})


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state: tensors by `prefix.<parameter>.<key>`, and its plain values."""
    state = optimiser.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{index}.{key}"] = value
            else:
                plain[f"{index}.{key}"] = value
    return tensors, {"groups": state["param_groups"], "plain": plain}


def fill_optimiser(prefix: str, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor],
                   values: dict[str, Any]) -> None:
    """Load what `optimiser_tensors` gave, in the memory layout of the parameters (the layout can change last bits)."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    start = f"{prefix}."
    for name, value in tensors.items():
        if name.startswith(start):
            index, _, key = name[len(start):].partition(".")
            state.setdefault(int(index), {})[key] = _like(value, parameters[int(index)])
    for name, value in values["plain"].items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": values["groups"]})


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.shape == parameter.shape else value
