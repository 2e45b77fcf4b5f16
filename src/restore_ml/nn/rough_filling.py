"""A first filling of a hole by pix2pix's U-Net, and its judges: what the two-stage method and its first stage share.

Source: the networks of the code of Liu, Jiang, Xiao, Yang (ICCV 2019); pictures are N x 3 x H x W in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from restore_ml.nn.initialisation import CONVOLUTIONS, normal
from restore_ml.nn.known_mean import known_mean
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.unet import UNet


def shown(image: Tensor, mask: Tensor, colour: Sequence[int], own_mean: bool = False) -> Tensor:
    """What a network sees of a picture in [0, 1]: its missing pixels (mask 1) in `colour`, R, G, B of 0 ... 255, or,
    with `own_mean`, in the mean of the picture's known ones (in `colour` where there is none)."""
    fill = image.new_tensor(colour).view(1, 3, 1, 1) / 255
    if own_mean:
        fill = torch.where(mask.amin((2, 3), keepdim=True) < 0.5, known_mean(image, mask), fill)
    return 2 * torch.where(mask > 0.5, fill, image) - 1


def rough_network(width: int, levels: int) -> UNet:
    """The U-Net with instance normalisation and without dropout: tanh, sides multiples of 2^levels.

    54,419,459 parameters for (64, 8).
    """
    network = UNet(3, 3, width, levels, norm="instance", dropout=False)
    add_biases(network)
    return network


def patch_judge(width: int) -> PatchDiscriminator:
    """A score for each 70 x 70 pixels of a picture. 2,766,529 parameters for 64."""
    network = PatchDiscriminator(3, width, norm="instance")
    add_biases(network)
    return network


def feature_judge(channels: int, width: int) -> nn.Sequential:
    """Maps of `channels` -> `width` scores for each of their patches, an eighth of their sides.

    10,487,296 parameters for (256, 512).
    """
    network = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 4, 2, 1), nn.InstanceNorm2d(width), nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 4, 2, 1))
    normal(network)
    return network


def add_biases(network: nn.Module) -> None:
    """Give every convolution a bias of 0, also before a normalisation, which takes it away again: so do the authors'
    networks, and their weights and counts have them."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS) and module.bias is None:
            module.bias = nn.Parameter(module.weight.new_zeros(module.out_channels))
