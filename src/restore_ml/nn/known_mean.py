"""The mean colour of a picture's known pixels, which a network of holes may be spared to learn.

Few training pictures do not teach the colours of all others. A network that sees differences from the mean of what is
known, to which what it says is added, begins as `mean_fill` and learns what goes beyond (the setting `centred`). One
that only has the hole shown in that mean (the setting `own_mean`) still has to say the level itself.
"""

from __future__ import annotations

from torch import Tensor


def known_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Of each channel of each picture where `mask` (N x 1 x H x W, 1 = missing) is 0: N x C x 1 x 1; 0 where nothing is
    known."""
    known = 1 - mask
    return (x * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
