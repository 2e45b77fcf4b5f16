"""The attention transfer network of PEN-Net (Zeng, Fu, Chao, Guo, CVPR 2019): a hole in a shallow feature map is filled
from that map's own known patches, chosen by how alike the places are in the deeper map of half the size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import SettingError

SCALE = 10.0
"""Of the likenesses before the softmax."""
FLOOR = 1e-4
"""Least norm that a patch is divided by."""
DILATIONS = (1, 2, 4, 8)
ROWS = 1024
"""Positions that are filled at a time: what is held then grows with the map, not with its square."""


class AttentionTransfer(nn.Module):
    """(low N x C x 2h x 2w, high N x C' x h x w, mask N x 1 x H x W with 1 = hole) -> N x C x 2h x 2w.

    Each position of `high` is compared with every patch of `high` that lies outside the hole: the product of the patch
    around it (of side `kernel`) with that patch divided by its norm. The softmax of ten times these weighs patches of
    `low`, 4 x 4 pixels with a stride of 2, which are laid over each other at the position's own place and averaged.
    With `fuse` four 3 x 3 convolutions C -> C / 4 of dilation 1, 2, 4 and 8 with ReLU, side by side, then refine it.
    For C = 32: 9,248 parameters.

    `compat` computes what the authors' code does: patches in the hole keep a likeness of 0 and their share of the
    softmax, which is then thrown away, and every pixel is divided by 4, so that the outermost rows and columns, which
    half as many patches cover, are at half their strength. Without it (reading: what the paper's equations ask for)
    patches in the hole have no share, each pixel is divided by the shares that were laid over it, those of the padding
    around `low` not counted, and where no patch is known `low` stays as it is.
    """

    def __init__(self, channels: int, kernel: int = 3, fuse: bool = True, compat: bool = False) -> None:
        """Raises `SettingError` for channels that the four convolutions cannot share."""
        super().__init__()
        if fuse and channels % len(DILATIONS):
            raise SettingError(f"Attention transfer needs a number of channels that 4 divides, not {channels}.")
        self.kernel, self.compat = kernel, compat
        self.fuse = nn.ModuleList(nn.Conv2d(channels, channels // len(DILATIONS), 3, 1, dilation, dilation)
                                  for dilation in DILATIONS if fuse)

    def valid(self, mask: Tensor, height: int, width: int) -> Tensor:
        """N x 1 x hw: True where the patch around a position of the deep map holds nothing of the hole."""
        resized = F.interpolate(mask.float(), (height, width), mode="bilinear", align_corners=True)
        return F.unfold(resized, self.kernel, padding=self.kernel // 2).sum(1, keepdim=True) == 0

    def weights(self, queries: Tensor, patches: Tensor, valid: Tensor) -> Tensor:
        """N x n x hw, what each of n positions takes from each patch. `queries` N x n x d, `patches` N x hw x d."""
        likeness = SCALE * queries @ (patches / patches.norm(dim=2, keepdim=True).clamp(min=FLOOR)).mT
        if self.compat:
            return ((likeness * valid).softmax(2) * valid).clamp(min=1e-8)
        return likeness.masked_fill(~valid & valid.any(2, keepdim=True), -torch.inf).softmax(2)

    def forward(self, low: Tensor, high: Tensor, mask: Tensor) -> Tensor:
        """`low` as it is put together from its known patches."""
        with torch.autocast(low.device.type, enabled=False):  # likenesses of tens, which bf16 would round to whole ones
            filled = self.filled(low.float(), high.float(), self.valid(mask, *high.shape[2:]))
        return torch.cat([F.relu(layer(filled)) for layer in self.fuse], 1) if self.fuse else filled

    def filled(self, low: Tensor, high: Tensor, valid: Tensor) -> Tensor:
        """What `forward` gives before its convolutions; `valid` as `valid` has it."""
        size, around = low.shape[2:], F.unfold(high, self.kernel, padding=self.kernel // 2).mT
        counted = low if self.compat else torch.cat([low, torch.ones_like(low[:, :1])], 1)
        sources = F.unfold(counted, 4, stride=2, padding=1).mT
        taken = torch.cat([self.weights(some, around, valid) @ sources for some in around.split(ROWS, 1)], 1)
        summed = F.fold(taken.mT, size, 4, stride=2, padding=1)
        if self.compat:
            return summed / 4
        return torch.where(valid.any(2)[:, :, None, None], summed[:, :-1] / summed[:, -1:], low)
