"""The exponential moving average of the weights and running statistics that a model keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from restore_ml.training import checkpoint


class Average:
    """Averages networks with `decay`, warmed up as min(decay, (1 + t) / (10 + t)) after step t of a network's own.

    A network's own steps (from 0) are those of the phases that move it. In other phases its average stands still: it is
    neither pulled to weights that move no more, nor does it keep a share of random ones that have not moved yet.
    Running statistics are averaged as the weights are: those of the live weights belong to other activations. Counters,
    and the vectors of spectral normalisation, whose length must stay 1, are copied. With a decay of 0 there is no
    average and `networks` are the live ones.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        """Copy the networks when decay is positive."""
        self.live, self.decay = dict(networks), decay
        self.networks = self.live if not decay else {name: _copy(network) for name, network in networks.items()}
        self._averaged: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self._copied: list[tuple[Tensor, Tensor]] = []

    def follow(self, moved: Mapping[str, int]) -> None:
        """The networks that move from now on, each with the number of its own steps before."""
        self._averaged, self._copied = {}, []
        for name, before in moved.items() if self.decay else ():
            mine, theirs = self._averaged.setdefault(before, ([], []))
            mine += self.networks[name].parameters()
            theirs += self.live[name].parameters()
            for module, live in zip(self.networks[name].modules(), self.live[name].modules(), strict=True):
                for pair in zip(module.buffers(recurse=False), live.buffers(recurse=False), strict=True):
                    if isinstance(module, _SpectralNorm) or not pair[0].is_floating_point():
                        self._copied.append(pair)
                    else:
                        mine.append(pair[0])
                        theirs.append(pair[1])

    def update(self, step: int) -> None:
        """Move the average towards the live weights after step `step` (from 0) since `follow`."""
        with torch.no_grad():
            for before, (mine, theirs) in self._averaged.items():
                passed = before + step
                torch._foreach_lerp_(mine, theirs, 1.0 - min(self.decay, (1 + passed) / (10 + passed)))
            for one, other in self._copied:
                one.copy_(other)

    def hand_over(self, names: Iterable[str]) -> None:
        """Give live networks, whose training is over, their averages: what comes learns on what will be kept."""
        for name in names if self.decay else ():
            self.live[name].load_state_dict(self.networks[name].state_dict())

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


def _copy(network: nn.Module) -> nn.Module:
    import copy

    twin = copy.deepcopy(network)
    return twin.requires_grad_(False)
