"""BSRN: a super-resolution network designed for bits, by the Bit-Accumulation Mechanism (Xin, Wang, Jiang, Li, Huang,
Gao, "Binarized Neural Network for Single Image Super Resolution", ECCV 2020).

Everything between the first convolution and the sub-pixel layers is binary: blocks (HPB) of smaller blocks (LB), each a
3 x 3 convolution and two of 1 x 1. The weights of the 3 x 3 convolutions add up over the whole network, those of 1 x 1
within an LB; activations add up within an LB.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from restore_ml.methods.super_resolution.srresnet_bam import SRResNetBAMSR
from restore_ml.nn.bit_accumulation import AccumulatingConv, kernels
from restore_ml.nn.blocks import sub_pixel


class LB(nn.Module):
    """Binary convolutions 3 x 3, 1 x 1 and 1 x 1, each with a batch normalisation behind it; N x width x H x W.

    The sum of activations begins with the input of the first 1 x 1 convolution; the 3 x 3 one sees its own input alone.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = AccumulatingConv(width)
        self.points = nn.ModuleList(AccumulatingConv(width, 1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))

    def forward(self, x: Tensor, made: dict[nn.Module, Tensor]) -> Tensor:
        """`made`: the binary weights of its layers."""
        y, _ = self.wide(x, 0.0, made[self.wide])
        y, total = self.norms[0](y), 0.0
        for layer, norm in zip(self.points, self.norms[1:], strict=True):
            y, total = layer(y, total, made[layer])
            y = norm(y)
        return y


class BSRN(nn.Module):
    """N x 3 x h x w to N x 3 x sh x sw, for each s of `scales` (2, 3, 4 or 8); any size.

    Conv 3 x 3 and ReLU; `blocks` HPB of `per_block` LB; and for each scale an end of its own: sub-pixel layers and Conv
    3 x 3. Beyond the paper, for short trainings: `skip` adds the input of each LB to its output, in full precision;
    `last_std` > 0 draws the last convolutions from N(0, last_std) and begins, with skips, at LBs that add nothing.
    """

    def __init__(self, scales: list[int], blocks: int = 5, per_block: int = 4, width: int = 64, bias: bool = True,
                 skip: bool = False, last_std: float = 0.0) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        self.body = nn.ModuleList(nn.ModuleList(LB(width) for _ in range(per_block)) for _ in range(blocks))
        self.ends = nn.ModuleDict({f"x{scale}": nn.Sequential(*sub_pixel(scale, width),
                                                              nn.Conv2d(width, 3, 3, padding=1)) for scale in scales})
        self.skip = skip
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and not bias:
                layer.bias = None
        if last_std > 0:
            for lb in self.lbs() if skip else []:
                nn.init.zeros_(lb.norms[-1].weight)  # type: ignore[arg-type]
            for end in self.ends.values():
                nn.init.normal_(end[-1].weight, std=last_std)  # type: ignore[index]

    def lbs(self) -> list[LB]:
        """All of them, in their order."""
        return [layer for layer in self.body.modules() if isinstance(layer, LB)]

    def chains(self) -> list[list[AccumulatingConv]]:
        """The binary layers whose weights add up: all of 3 x 3, and the two of 1 x 1 of each LB."""
        return [[lb.wide for lb in self.lbs()], *(list(lb.points) for lb in self.lbs())]  # type: ignore[list-item]

    def forward(self, lr: Tensor, scale: int) -> Tensor:
        """Not clipped."""
        made = {layer: kernel for chain in self.chains() for layer, kernel in kernels(chain).items()}
        x = self.head(lr)
        for lb in self.lbs():
            x = lb(x, made) + x if self.skip else lb(x, made)
        return self.ends[f"x{scale}"](x)


class BSRNBAM(SRResNetBAMSR):
    """The same task and recipe around another network."""

    reading = ("the quantisers as in vdsr_bam; 5 HPB of 4 LB each, which with a batch normalisation behind each "
               "binary convolution, no biases of theirs and the two sub-pixel layers of x4 gives 1,215,489 "
               "parameters (the paper says 1216K; its 85 G multiply-adds are 96 G so); weights of 1 x 1 "
               "convolutions add up in pairs, those of 3 x 3 over all HPB, activations from the first of a pair on; "
               "no skips around blocks were to be seen: the setting skip, which every profile but paper has, is "
               "ours, and so are the recipe (L1, Adam, 1e-4 halved every 200,000 steps), one network for several "
               "scales, the settings residual: bicubic, last_std and Muon for short trainings")
    paper: ClassVar[dict[str, Any]] = {**SRResNetBAMSR.paper, "blocks": 5, "per_block": 4, "bias": True, "skip": False}
    """See srresnet and vdsr_bam; `per_block`: LBs of an HPB; `skip`: see `BSRN`; `bias`: of the convolutions that are
    not binary."""

    def network(self) -> nn.Module:
        """The network, with shares of 0."""
        return BSRN(**{key: self.settings[key]
                       for key in ("scales", "blocks", "per_block", "width", "bias", "skip", "last_std")})


METHOD = BSRNBAM
