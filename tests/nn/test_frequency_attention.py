"""Frequency attention: the cosines, which channel sees which, the count of the card, and maps that are no 7 x 7."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import nn

from restore_ml.base.errors import SettingError
from restore_ml.nn.frequency_attention import TOP16, FrequencyAttention, dct_bases


def test_the_bases_are_orthonormal_cosines() -> None:
    bases = dct_bases()
    flat = bases.flatten(1)
    assert bases.shape == (16, 7, 7) and (flat @ flat.T - torch.eye(16)).abs().max() < 1e-14
    picture = np.random.default_rng(0).normal(size=(7, 7))
    reference = dctn(picture, norm="ortho")  # the coefficient of row frequency u and column frequency v
    for (down, across), basis in zip(TOP16, bases.numpy(), strict=True):
        assert (basis * picture).sum() == pytest.approx(reference[down, across], abs=1e-12)
    assert (bases[0] * 3.5).sum().item() == pytest.approx(7 * 3.5)  # 7 times the global average
    assert len(set(TOP16)) == 16 and TOP16[2] == (6, 0) and TOP16[9] == (1, 6)


@pytest.mark.parametrize(("channels", "parameters"), [(64, 512), (128, 2048), (256, 8192), (512, 32_768), (16, 128)])
def test_parameters_of_the_card(channels: int, parameters: int) -> None:
    block = FrequencyAttention(channels)
    assert sum(weight.numel() for weight in block.parameters()) == parameters
    assert [name for name, _ in block.named_buffers()] == ["basis"]


@pytest.mark.parametrize("side", [7, 8, 9, 16, 33])
def test_the_block_by_hand(side: int) -> None:
    """Sixteenths of the channels by frequencies, on maps averaged to 7 x 7; two layers without bias; a sigmoid."""
    torch.manual_seed(0)
    block, x = FrequencyAttention(32), torch.randn(2, 32, side, side + 2)
    block.weigh[0].weight.data.normal_()  # type: ignore[operator,union-attr]
    block.weigh[2].weight.data.normal_()  # type: ignore[operator,union-attr]
    maps = x.numpy().astype(np.float64)
    strengths = np.empty((2, 32))
    for channel in range(32):
        down, across = TOP16[channel // 2]
        for picture in range(2):
            small = np.empty((7, 7))
            for i in range(7):
                for j in range(7):
                    rows = slice(i * side // 7, math.ceil((i + 1) * side / 7))
                    columns = slice(j * (side + 2) // 7, math.ceil((j + 1) * (side + 2) / 7))
                    small[i, j] = maps[picture, channel, rows, columns].mean()
            strengths[picture, channel] = dctn(small, norm="ortho")[down, across]
    first, second = (block.weigh[layer].weight.detach().double().numpy() for layer in (0, 2))  # type: ignore[operator,union-attr]
    scales = 1 / (1 + np.exp(-np.maximum(strengths @ first.T, 0) @ second.T))
    np.testing.assert_allclose(block(x).detach().numpy(), maps * scales[..., None, None], atol=1e-4)
    assert block.weigh[0].bias is None and block.weigh[2].bias is None  # type: ignore[union-attr]


def test_no_two_channels_groups_see_the_same_at_8_pixels() -> None:
    """At maps of 8 pixels, the smallest with attention, the sixteen frequencies are still apart."""
    block = FrequencyAttention(16)
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(1, 16, 8, 8)
    seen = (torch.nn.functional.adaptive_avg_pool2d(x, 7) * block.basis).sum((2, 3))[0]
    assert (seen[:, None] - seen[None]).abs().add(torch.eye(16)).min() > 1e-3


@pytest.mark.parametrize("channels", [64, 256])
def test_the_start_is_torch_s_and_tells_channels_apart(channels: int) -> None:
    """Linear weights from U(-1 / sqrt(inputs), 1 / sqrt(inputs)), as in the authors' code."""
    torch.manual_seed(0)
    block = FrequencyAttention(channels)
    for layer, inputs in ((0, channels), (2, channels // 16)):
        weight = block.weigh[layer].weight.detach()  # type: ignore[operator,union-attr]
        assert 0.9 * inputs**-0.5 < weight.abs().max() <= inputs**-0.5
        assert weight.std().item() == pytest.approx((3 * inputs)**-0.5, rel=0.15)
    scales = block(torch.ones(1, channels, 8, 8))[0, :, 0, 0]
    assert scales.std() > 0.02  # from N(0, 0.02) it would be below 0.01


def test_what_of_the_basis_is_learned() -> None:
    torch.manual_seed(0)
    blocks = {basis: FrequencyAttention(16, basis) for basis in ("dct", "learn", "random")}
    assert torch.equal(blocks["learn"].basis, blocks["dct"].basis)
    assert [isinstance(blocks[basis].basis, nn.Parameter) for basis in blocks] == [False, True, False]
    random = blocks["random"].basis
    assert not torch.allclose(random, blocks["dct"].basis) and "basis" in dict(blocks["random"].named_buffers())
    assert 0 <= random.min() < 0.02 and 0.98 < random.max() < 1  # U(0, 1), in every place another draw
    assert random.mean().item() == pytest.approx(0.5, abs=0.05)
    assert random.std().item() == pytest.approx(12**-0.5, abs=0.03)
    assert len(random.unique()) > 780
    with pytest.raises(SettingError, match="multiple of 16 channels"):
        FrequencyAttention(24)
    with pytest.raises(SettingError, match="'cosine'"):
        FrequencyAttention(16, "cosine")
