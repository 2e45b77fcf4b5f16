"""Smooth pictures with a hole and networks that do next to nothing, for the tests of the inpainting methods."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.method import Context


def batch(size: int = 4, side: int = 32, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Smooth pictures with a centre hole."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    truth = np.stack([[0.5 + 0.4 * np.sin(6 * (x + c * y) + phase + c) for c in range(3)]
                      for phase in draws.uniform(0, 6, size)])
    target = torch.from_numpy(truth.astype(np.float32))
    mask = torch.zeros(size, 1, side, side)
    mask[..., side // 4:-side // 4, side // 4:-side // 4] = 1
    return {"image": target * (1 - mask), "mask": mask}, {"image": target}


class Fixed(nn.Module):
    """A network that gives one picture whatever it is shown, and remembers what that was."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output, self.seen = nn.Parameter(output.clone()), list[tuple[Tensor, ...]]()

    def forward(self, *shown: Tensor) -> Tensor:
        self.seen.append(tuple(each.detach().clone() for each in shown))
        return self.output


class Judge(nn.Module):
    """Scores a picture by its mean: sum over what it is shown of (2, 3, ...) x mean - 1, N x 1; remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.seen = nn.Parameter(torch.tensor(-1.0)), list[tuple[Tensor, ...]]()

    def forward(self, *shown: Tensor) -> Tensor:
        self.seen.append(tuple(each.detach().clone() for each in shown))
        return self.score(*shown)

    def score(self, *shown: Tensor) -> Tensor:
        means = (weight * each.flatten(1).mean(1, keepdim=True) for weight, each in enumerate(shown, 2))
        return sum(means, self.bias)


class Maps(nn.Module):
    """Stands for a feature network: tap number n is n times the picture."""

    source = "imagenet-89abcdef"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[str, ...], bool]] = []

    def forward(self, x: Tensor, taps: Iterable[str], normalise: bool = True) -> dict[str, Tensor]:
        names = tuple(taps)
        self.seen.append((names, normalise))
        return {name: number * x for number, name in enumerate(names, 1)}


def softplus(x: Tensor) -> float:
    """Mean of log(1 + e^x), in float64."""
    return float(np.log1p(np.exp(x.detach().double().numpy())).mean())


def pictures(count: int, side: int, seed: int = 0, channels: int = 3) -> Tensor:
    """Noise in [0, 1]."""
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def context_of(truth: Tensor, mask: Tensor, networks: dict[str, nn.Module], features: Any = None,
               step: int = 7) -> Context:
    """A step on damaged pictures; what lies under the hole is 0."""
    return Context({"image": truth * (1 - mask), "mask": mask}, {"image": truth}, [str(n) for n in range(len(truth))],
                   networks, step=step, steps=10, slots={"features": features},
                   generator=torch.Generator().manual_seed(step))
