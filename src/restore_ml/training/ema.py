"""The exponential moving average of the weights and running statistics that a model keeps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml.training import checkpoint


class Average:
    """Averages the networks' parameters and floating buffers with `decay`, warmed up as min(decay, (1 + t) / (10 + t)).

    Running statistics are averaged as the weights are: those of the live weights belong to other activations. Counters,
    and the vectors of spectral normalisation, whose length must stay 1, are copied. With a decay of 0 there is no
    average and `networks` are the live ones.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        """Copy the networks when decay is positive."""
        self.live, self.decay = dict(networks), decay
        self.networks = self.live if not decay else {name: _copy(network) for name, network in networks.items()}
        self._parameters = _parameters(self.networks), _parameters(self.live)
        self._with_buffers = _with_buffers(self.networks), _with_buffers(self.live)

    def update(self, step: int) -> None:
        """Move the average towards the live weights after step `step` (from 0)."""
        if not self.decay:
            return
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._parameters[0], self._parameters[1], weight)
            averaged: tuple[list[Tensor], list[Tensor]] = [], []
            for module, live in zip(*self._with_buffers, strict=True):
                copied = isinstance(module, _SpectralNorm)
                for mine, theirs in zip(module.buffers(recurse=False), live.buffers(recurse=False), strict=True):
                    if copied or not mine.is_floating_point():
                        mine.copy_(theirs)
                    else:
                        averaged[0].append(mine)
                        averaged[1].append(theirs)
            if averaged[0]:
                torch._foreach_lerp_(*averaged, weight)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a checkpoint holds of the average (nothing when there is none)."""
        if not self.decay:
            return {}
        return {key: value for name, network in self.networks.items()
                for key, value in checkpoint.network_tensors(f"{prefix}.{name}", network).items()}

    def fill(self, prefix: str, tensors: dict[str, Tensor]) -> None:
        """Load what `tensors` gave."""
        if self.decay:
            for name, network in self.networks.items():
                checkpoint.fill_network(f"{prefix}.{name}", network, tensors)


def _parameters(networks: Mapping[str, nn.Module]) -> list[Tensor]:
    return [parameter for network in networks.values() for parameter in network.parameters()]


def _with_buffers(networks: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The modules that hold buffers themselves, few of all that a walk at each step would visit."""
    return [module for network in networks.values() for module in network.modules()
            if next(module.buffers(recurse=False), None) is not None]


def _copy(network: nn.Module) -> nn.Module:
    import copy

    twin = copy.deepcopy(network)
    return twin.requires_grad_(False)
