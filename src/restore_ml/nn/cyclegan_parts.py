"""What CycleGANs share beside their generators: the discriminator, and the pool of pictures that were made earlier.

Source: Zhu, Park, Isola, Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks",
ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from restore_ml.method import Context
from restore_ml.nn.patchgan import PatchDiscriminator


def judge(width: int, layers: int) -> PatchDiscriminator:
    """PatchGAN with instance normalisation and, unlike pix2pix's, a bias in every convolution: 2,764,737 parameters
    for 64 and 3."""
    network = PatchDiscriminator(3, width, layers, norm="none")
    for stage in network.stages[1:-1]:
        stage[1] = nn.InstanceNorm2d(stage[0].out_channels)  # type: ignore[index,operator]
    return network


def empty_pools(sides: Iterable[str], size: int, patch: int) -> dict[str, Tensor]:
    """For each side the pool of made pictures (size x 3 x patch x patch) and how many it holds (`<side>_held`)."""
    return {name: value for side in sides for name, value in (
        (side, torch.zeros(size, 3, patch, patch)), (f"{side}_held", torch.zeros((), dtype=torch.int64)))}


def pooled(context: Context, side: str, made: Tensor) -> Tensor:
    """What a discriminator sees for `made` (N x 3 x H x W): while the pool of the `side` fills, each picture itself;
    then with even chance the picture, or one of the pool, whose place it takes (Shrivastava et al., CVPR 2017)."""
    pool = context.state[side]
    if not len(pool):
        return made
    held, shown = int(context.state[f"{side}_held"]), []
    chances, places = context.uniform(made[:, 0, 0, 0]).tolist(), context.integers(len(pool), (len(made),)).tolist()
    for picture, chance, place in zip(made, chances, places, strict=True):
        swapped = held == len(pool) and chance < 0.5
        shown.append(pool[place].clone() if swapped else picture)
        if held < len(pool):
            pool[held], held = picture, held + 1
        elif swapped:
            pool[place] = picture
    context.state[f"{side}_held"].fill_(held)
    return torch.stack(shown)
