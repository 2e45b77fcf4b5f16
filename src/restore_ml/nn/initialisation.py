"""Ways to draw first weights; each changes a network in place, from torch's current generator."""

from __future__ import annotations

from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d)


def normal(network: nn.Module, std: float = 0.02) -> None:
    """DCGAN's start (Radford et al., ICLR 2016; pix2pix): convolution and linear weights N(0, std), biases 0, gains of
    normalisation layers N(1, std)."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS + NORMS + (nn.Linear,)) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0 if isinstance(module, NORMS) else 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def he(network: nn.Module, slope: float = 0.0) -> None:
    """He's start (ICCV 2015): weights N(0, 2 / ((1 + slope^2) fan_in)), biases 0; `slope` of the leaky ReLU behind."""
    for module in network.modules():
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
