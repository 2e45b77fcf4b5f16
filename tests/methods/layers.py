"""What the tests share that count a network's parameters and name its layers."""

from __future__ import annotations

from torch import nn

WORDS = {nn.Conv2d: lambda x: f"conv{x.kernel_size[0]}/{x.stride[0]} {x.out_channels}",
         nn.BatchNorm2d: lambda x: "bn", nn.ReLU: lambda x: "relu", nn.Sigmoid: lambda x: "sigmoid",
         nn.LeakyReLU: lambda x: f"leaky {x.negative_slope}", nn.Linear: lambda x: f"linear {x.out_features}",
         nn.Upsample: lambda x: f"{x.mode} {x.scale_factor:g}"}


def layers_of(network: nn.Module) -> list[str]:
    """The layers of these kinds in order: `conv3/1 64` is a convolution 3 x 3 of stride 1 to 64 channels."""
    return [WORDS[type(module)](module) for module in network.modules() if type(module) in WORDS]


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in network.parameters())


def conv(before: int, after: int, size: int = 3) -> int:
    """The parameters of a convolution with biases."""
    return before * after * size * size + after
