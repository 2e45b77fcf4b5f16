"""Small pieces that several networks are made of: normalisation by name, dilated residual block, stacked layers."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.base.errors import UserError

Wrap = Callable[[nn.Module], nn.Module]

MIDDLE = 0.45
"""About the mean of luma and of RGB (0 ... 1) over photographs: a network that sees a picture less it does not take
zeros beyond the border for a black frame."""


def norm_layer(kind: str, channels: int) -> nn.Module:
    """`batch`: BatchNorm; `instance`: InstanceNorm with learnt scale and shift (as many parameters as BatchNorm);
    `plain_instance`: InstanceNorm without them; `none`: nothing. Another name is a `UserError`."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "plain_instance":
        return nn.InstanceNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    raise UserError(f"There is no normalisation {kind!r}; there are batch, instance, plain_instance and none.")


def maybe_spectral(module: nn.Module, spectral: bool) -> nn.Module:
    """The layer, with its weight divided by its largest singular value (Miyato et al., ICLR 2018) when `spectral`."""
    return spectral_norm(module) if spectral else module


def sub_pixel(scale: int, width: int) -> nn.Sequential:
    """N x width x h x w to N x width x sh x sw: Conv 3 x 3, PixelShuffle, PReLU, by 2 as often as the scale (2, 4, 8)
    needs, or once by 3."""
    factors = [3] if scale == 3 else [2] * int(math.log2(scale))
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(width, factor**2 * width, 3, padding=1), nn.PixelShuffle(factor), nn.PReLU()]
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """x + conv3x3(ReLU(conv3x3, dilated)) with instance normalisation after both and nothing after the sum.

    N x C x H x W -> the same shape; reflection padding, so H and W must exceed `dilation`. EdgeConnect's block.
    """

    def __init__(self, channels: int, dilation: int = 2, spectral: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(dilation),
            maybe_spectral(nn.Conv2d(channels, channels, 3, dilation=dilation, bias=not spectral), spectral),
            nn.InstanceNorm2d(channels), nn.ReLU(), nn.ReflectionPad2d(1),
            maybe_spectral(nn.Conv2d(channels, channels, 3, bias=not spectral), spectral), nn.InstanceNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return x + self.body(x)


def of_its_input(network: nn.Module) -> None:
    """Batch normalisation by the statistics of what is at hand, in restoring as in training: none are remembered."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # torch takes those at hand where there are no others
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
