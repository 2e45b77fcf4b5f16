"""The fitting of an untrained network to one picture, as the deep image priors share it.

Source: Ulyanov, Vedaldi, Lempitsky, "Deep image prior", CVPR 2018, and the notebooks of their code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restore_ml.seeds import derive
from restore_ml.training.on_picture import RunningMean, optimise


def fixed_noise(channels: int, like: Tensor, seed: int) -> Tensor:
    """The network's input: one draw from U(0, 0.1), 1 x `channels` x the height and width of `like`."""
    draws = torch.Generator().manual_seed(derive(seed, "noise"))
    return 0.1 * torch.rand((1, channels, *like.shape[-2:]), generator=draws).to(like.device)


def meshgrid(like: Tensor) -> Tensor:
    """The other input of the paper: each pixel's column and row, from 0 to 1, 1 x 2 x the size of `like`."""
    height, width = like.shape[-2:]
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([columns, rows])[None].to(like.device)


def fresh(make: Callable[[], nn.Module], like: Tensor, seed: int) -> nn.Module:
    """The network that `make` gives, its first weights from `seed`, on the device of `like`."""
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(derive(seed, "init"))
        return make().to(like.device)


def fit(network: nn.Module, given: Tensor, objective: Callable[[Tensor], Tensor], seed: int, *, steps: int, lr: float,
        jitter: float = 0.0, average: float = 0.0, weight_jitter: float = 0.0, fallback: Fallback | None = None
        ) -> Tensor:
    """Move the network's weights down `objective(network(given))` by `steps` of Adam; gives the average of its outputs.

    `jitter`: standard deviation of the normal noise on what is given, anew each step. `average`: decay of the average
    of the outputs over the steps; with 0 it is the last one. `weight_jitter`: before each step every convolution's
    weights get normal noise of this share of their standard deviation.
    """
    mean = RunningMean(average)
    draws, shakes = (torch.Generator().manual_seed(derive(seed, name)) for name in ("jitter", "weights"))
    kernels = [each for each in network.parameters() if each.dim() == 4] if weight_jitter else []

    def loss(step: int) -> Tensor:
        with torch.no_grad():
            for each in kernels:
                shake = torch.randn(each.shape, generator=shakes).to(each.device)
                each.add_(shake * each.std() * weight_jitter)
        noise = torch.randn(given.shape, generator=draws).to(given.device) * jitter if jitter else 0.0
        output = network(given + noise)
        mean.add(output)
        value = objective(output)
        if fallback is not None:
            fallback.last = value.item()
        return value

    optimise(list(network.parameters()), loss, lambda p: torch.optim.Adam(p, lr), steps,
             after=None if fallback is None else lambda step: fallback.look(network, step))
    return mean.value


class Fallback:
    """Looks each `every` steps whether the squared error has grown by more than `decibels` since it last looked; then
    the weights of that time are put back, else the present ones are kept for the next time."""

    def __init__(self, every: int, decibels: float) -> None:
        self.every, self.factor, self.last = every, 10 ** (decibels / 10), float("inf")
        self.best, self.kept = float("inf"), dict[str, Tensor]()

    def look(self, network: nn.Module, step: int) -> None:
        """After the step of that number (from 0), whose error is `last`."""
        if (step + 1) % self.every:
            return
        if self.last > self.factor * self.best:
            network.load_state_dict(self.kept)
        else:
            self.best, self.kept = self.last, {name: each.clone() for name, each in network.state_dict().items()}
