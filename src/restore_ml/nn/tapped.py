"""The maps of a feature network under another pooling than its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from restore_ml.base.errors import UserError

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {"average": lambda x: F.avg_pool2d(x, 2),
                                                   "max": lambda x: F.max_pool2d(x, 2)}
"""Between two blocks: the mean or the largest of 2 x 2."""


def tapped(network: Any, x: Tensor, taps: Iterable[str], pooling: str = "average") -> dict[str, Tensor]:
    """The ReLU maps of `taps` (`relu1_1` ...), float32, in their order; nothing behind the last of them is computed.

    `network`: a `restore_ml.nn.features.FeatureNet` or a `restore_ml.nn.vgg16.VGG16`, whose own pass pools by the
    maximum. x: N x 3 x H x W RGB in [0, 1]. An unknown tap is a `UserError`.
    """
    wanted = list(taps)
    known = [f"relu{name}" for name in network.convolutions]
    if missing := [tap for tap in wanted if tap not in known]:
        raise UserError(f"The feature network {network.source} has no tap {missing[0]!r}; there are "
                        f"{', '.join(known)}.")
    maps: dict[str, Tensor] = {}
    x = (x.float() - network.mean) / network.std
    for name, convolution in network.convolutions.items():
        x = POOLINGS[pooling](x) if name.endswith("_1") and maps else x
        maps[f"relu{name}"] = x = F.relu(convolution(x))
        if maps.keys() >= set(wanted):
            break
    return {tap: maps[tap] for tap in wanted}
