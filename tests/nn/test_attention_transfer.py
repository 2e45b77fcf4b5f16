"""The attention transfer network against its equations, place by place, in both ways of computing it."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore_ml.base.errors import SettingError
from restore_ml.nn import attention_transfer
from restore_ml.nn.attention_transfer import AttentionTransfer


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hole(rows: slice, columns: slice, count: int = 1, height: int = 24, width: int = 32) -> Tensor:
    mask = torch.zeros(count, 1, height, width)
    mask[..., rows, columns] = 1
    return mask


def corner_to_corner(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """H x W resized bilinearly so that the corners stay."""
    result = np.zeros((height, width))
    for i, y in enumerate(np.linspace(0, mask.shape[0] - 1, height)):
        for j, x in enumerate(np.linspace(0, mask.shape[1] - 1, width)):
            top, left = int(y), int(x)
            below, right = min(top + 1, mask.shape[0] - 1), min(left + 1, mask.shape[1] - 1)
            upper = mask[top, left] * (1 - x + left) + mask[top, right] * (x - left)
            lower = mask[below, left] * (1 - x + left) + mask[below, right] * (x - left)
            result[i, j] = upper * (1 - y + top) + lower * (y - top)
    return result


def by_hand(low: np.ndarray, high: np.ndarray, mask: np.ndarray, side: int, compat: bool) -> np.ndarray:
    """Before the convolutions, one picture: low C x 2h x 2w, high C' x h x w, mask H x W."""
    _, height, width = high.shape
    edge, places = side // 2, [(i, j) for i in range(height) for j in range(width)]
    wide = np.pad(high, [(0, 0), (edge, edge), (edge, edge)])
    missing = np.pad(corner_to_corner(mask, height, width), edge)
    lower, inside = np.pad(low, [(0, 0), (1, 1), (1, 1)]), np.pad(np.ones(low.shape[1:]), 1)
    around = [wide[:, i:i + side, j:j + side].ravel() for i, j in places]
    keys = [patch / max(np.sqrt((patch ** 2).sum()), 1e-4) for patch in around]
    known = np.array([not missing[i:i + side, j:j + side].any() for i, j in places])
    sources, there = ([each[..., 2 * i:2 * i + 4, 2 * j:2 * j + 4] for i, j in places] for each in (lower, inside))
    total, count = np.zeros_like(lower), np.zeros(lower.shape[1:])
    for (i, j), query in zip(places, around, strict=True):
        likeness = np.array([10 * query @ key for key in keys])
        if compat:
            likeness = likeness * known
            shares = np.exp(likeness - likeness.max())
            shares = np.maximum(shares / shares.sum() * known, 1e-8)
        elif known.any():
            shares = np.where(known, np.exp(likeness - likeness[known].max()), 0)
            shares = shares / shares.sum()
        else:
            return low
        for share, source, exists in zip(shares, sources, there, strict=True):
            total[:, 2 * i:2 * i + 4, 2 * j:2 * j + 4] += share * source
            count[2 * i:2 * i + 4, 2 * j:2 * j + 4] += share * exists
    return (total / (4 if compat else np.maximum(count, 1e-9)))[:, 1:-1, 1:-1]


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("side", [3, 1])
def test_equals_the_equations(side: int, compat: bool) -> None:
    layer = AttentionTransfer(2, kernel=side, fuse=False, compat=compat)
    low, high = draw(3, 2, 12, 16), 0.2 * draw(3, 3, 6, 8, seed=1)
    high[0, :, 4, 5] = 0  # a patch of zeros has no norm to be divided by
    mask = torch.cat([hole(slice(8, 12), slice(4, 20)), hole(slice(0, 3), slice(0, 3)), torch.ones(1, 1, 24, 32)])
    made = layer(low, high, mask)
    for number in range(3):
        maps = (each[number].double().numpy() for each in (low, high))
        wanted = by_hand(*maps, mask[number, 0].numpy(), side, compat)
        np.testing.assert_allclose(made[number].numpy(), wanted, atol=1e-5)
    assert torch.equal(made[2], low[2]) != compat  # nothing is known: the map stays, or is emptied
    assert not compat or made[2].abs().max() < 1e-5


def test_patches_are_known_that_hold_nothing_of_the_resized_hole() -> None:
    layer = AttentionTransfer(4)
    mask = hole(slice(10, 14), slice(0, 8), height=21, width=21)
    known = layer.valid(mask, 6, 6).view(6, 6)
    resized = corner_to_corner(mask[0, 0].numpy(), 6, 6)  # rows 0, 4, 8, 12, 16, 20
    assert np.argwhere(resized).tolist() == [[3, 0], [3, 1]]
    assert (~known).nonzero().tolist() == [[row, column] for row in (2, 3, 4) for column in (0, 1, 2)]
    single = AttentionTransfer(4, kernel=1).valid(mask, 6, 6).view(6, 6)
    assert (~single).nonzero().tolist() == [[3, 0], [3, 1]]
    edge = AttentionTransfer(4, kernel=1).valid(hole(slice(0, 1), slice(0, 21), height=21, width=21), 6, 6).view(6, 6)
    assert not edge[0].any() and edge[1:].all()  # the corners stay where they are
    between = hole(slice(9, 10), slice(0, 21), height=11, width=21)  # row 9 counts a little at row 8.75 of 10
    assert not AttentionTransfer(4, kernel=1).valid(between, 9, 3).view(9, 3)[7].any()


def test_shares_of_known_patches_sum_to_one_and_the_others_have_none() -> None:
    queries, known = draw(2, 5, 6), torch.ones(2, 1, 7, dtype=torch.bool)
    known[:, :, [1, 4]] = False
    patches = draw(2, 7, 6, seed=1)
    plain = AttentionTransfer(4).weights(queries, patches, known)
    torch.testing.assert_close(plain.sum(2), torch.ones(2, 5))
    assert not plain[:, :, [1, 4]].any()
    authors = AttentionTransfer(4, compat=True).weights(queries, patches, known)
    assert (authors.sum(2) < 1).any() and torch.equal(authors[:, :, [1, 4]], torch.full((2, 5, 2), 1e-8))
    norms = patches.square().sum(2).sqrt()
    likeness = 10 * torch.einsum("nqd,npd->nqp", queries, patches) / norms[:, None]
    torch.testing.assert_close(plain, torch.where(known, likeness, -torch.inf).softmax(2))
    torch.testing.assert_close(2 * likeness[:, :2], 10 * torch.einsum("nqd,npd->nqp", 2 * queries[:, :2], patches)
                               / norms[:, None])  # the queries keep their length
    assert not torch.allclose(plain, AttentionTransfer(4).weights(2 * queries, patches, known))
    torch.testing.assert_close(AttentionTransfer(4).weights(queries, 5e-4 * patches, known), plain)  # above the floor


def test_with_one_known_patch_every_place_is_that_patch_laid_over_itself() -> None:
    layer, low = AttentionTransfer(1, fuse=False), draw(1, 1, 12, 16)
    known = torch.zeros(1, 1, 48, dtype=torch.bool)
    known[..., 2 * 8 + 3] = True  # row 2, column 3: rows 3 to 6 and columns 5 to 8 of `low`
    made = layer.filled(low, draw(1, 3, 6, 8, seed=1), known)[0, 0]
    patch = low[0, 0, 3:7, 5:9]
    tile = (patch[:2, :2] + patch[2:, :2] + patch[:2, 2:] + patch[2:, 2:]) / 4
    torch.testing.assert_close(made[1:-1, 1:-1], tile.repeat(5, 7))
    torch.testing.assert_close(made[0, 1:3], (patch[1, :2] + patch[1, 2:]) / 2)  # the first row lies under half as many


def test_what_is_constant_stays_so_and_fades_at_the_border_only_with_compat() -> None:
    low, high, mask = torch.full((1, 4, 12, 16), 0.7), draw(1, 3, 6, 8), hole(slice(8, 12), slice(4, 20))
    torch.testing.assert_close(AttentionTransfer(4, fuse=False)(low, high, mask), low)
    known, one = torch.zeros(1, 1, 48, dtype=torch.bool), AttentionTransfer(4, fuse=False, compat=True)
    known[..., 2 * 8 + 3] = True
    one.weights = lambda queries, patches, valid: valid.float().expand(1, queries.shape[1], 48)
    faded = one.filled(low, high, known)
    torch.testing.assert_close(faded[..., 1:-1, 1:-1], low[..., 1:-1, 1:-1])
    torch.testing.assert_close(faded[..., 0, 1:-1], low[..., 0, 1:-1] / 2)
    torch.testing.assert_close(faded[..., 0, 0], low[..., 0, 0] / 4)


def test_four_dilated_convolutions_refine_side_by_side() -> None:
    torch.manual_seed(0)
    layer = AttentionTransfer(32)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 9_248
    assert not list(AttentionTransfer(6, fuse=False).parameters())
    low, high, mask = draw(1, 32, 12, 16), draw(1, 3, 6, 8), hole(slice(8, 12), slice(4, 20))
    filled = AttentionTransfer(32, fuse=False)(low, high, mask)
    parts = [F.relu(F.conv2d(filled, convolution.weight, convolution.bias, padding=dilation, dilation=dilation))
             for convolution, dilation in zip(layer.fuse, (1, 2, 4, 8), strict=True)]
    torch.testing.assert_close(layer(low, high, mask), torch.cat(parts, 1))
    with pytest.raises(SettingError, match="that 4 divides, not 6"):
        AttentionTransfer(6)


def test_positions_in_groups_give_the_same(monkeypatch: Any) -> None:
    for compat in (False, True):
        layer = AttentionTransfer(4, fuse=False, compat=compat)
        given = draw(2, 4, 12, 16), draw(2, 3, 6, 8, seed=1), hole(slice(8, 12), slice(4, 20), 2)
        whole = layer(*given)
        monkeypatch.setattr(attention_transfer, "ROWS", 7)
        torch.testing.assert_close(layer(*given), whole)
        monkeypatch.undo()


def test_gradients_reach_both_maps_and_likenesses_are_never_rounded() -> None:
    layer, mask = AttentionTransfer(4, fuse=False), hole(slice(8, 12), slice(4, 20))
    low, high = draw(1, 4, 12, 16).requires_grad_(), draw(1, 3, 6, 8, seed=1).requires_grad_()
    layer(low, high, mask).square().sum().backward()
    assert low.grad is not None and high.grad is not None
    assert low.grad.isfinite().all() and high.grad.isfinite().all() and low.grad.any() and high.grad.any()
    whole = torch.ones_like(mask)  # nothing is known: nothing but `low` itself
    low.grad = high.grad = None
    layer(low, high, whole).sum().backward()
    assert torch.equal(low.grad, torch.ones_like(low)) and not high.grad.any()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(low, high, mask), AttentionTransfer(4, fuse=False)(low.float(), high.float(), mask))
    with torch.no_grad():
        exact = layer(low, high, mask)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(low, high, mask), exact)
