"""The PatchGAN discriminator of pix2pix: one score for each overlapping patch of a picture."""

from __future__ import annotations

from torch import Tensor, nn

from restore_ml.nn.blocks import maybe_spectral, norm_layer
from restore_ml.nn.initialisation import normal


class PatchDiscriminator(nn.Module):
    """N x in_channels x H x W -> N x 1 x h x w patch logits (probabilities with `sigmoid`).

    4x4 convolutions, padding 1: `layers` of stride 2 (width, 2 width, 4 width ... at most 8 width), one of stride 1
    and the score, LeakyReLU 0.2 between. With `layers=3` a score sees 70x70 pixels and 256x256 give 30x30 scores.
    `norm` (`batch`, `instance`, `none`) follows all but the first and the last. Convolutions before a normalisation
    have no bias; `bias=False` takes it from the others too. `spectral`: spectral normalisation of every convolution.

    Source: Isola et al., CVPR 2017. 2,766,657 parameters for 4 channels with `batch` or `instance`; 2,762,752 for 2
    channels with neither normalisation nor bias (EdgeConnect).
    """

    def __init__(self, in_channels: int, width: int = 64, layers: int = 3, norm: str = "batch", spectral: bool = False,
                 sigmoid: bool = False, bias: bool = True) -> None:
        """Raises `UserError` for an unknown `norm`."""
        super().__init__()
        self.stages, before = nn.ModuleList(), in_channels
        for layer in range(layers + 1):
            after = width * min(2 ** layer, 8)
            plain = layer == 0 or norm == "none"
            self.stages.append(nn.Sequential(
                nn.Conv2d(before, after, 4, 2 if layer < layers else 1, 1, bias=bias and plain),
                nn.Identity() if layer == 0 else norm_layer(norm, after), nn.LeakyReLU(0.2)))
            before = after
        self.stages.append(nn.Sequential(nn.Conv2d(before, 1, 4, 1, 1, bias=bias)))
        self.last = nn.Sigmoid() if sigmoid else nn.Identity()
        normal(self)
        for stage in self.stages:
            stage[0] = maybe_spectral(stage[0], spectral)  # type: ignore[index,operator]

    def features(self, x: Tensor) -> list[Tensor]:
        """The map after each convolution's activation, the last of them the scores that `forward` gives."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        maps[-1] = self.last(maps[-1])
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """The scores."""
        return self.features(x)[-1]
