"""Axial attention against loops in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.base.errors import SettingError
from restore_ml.nn.axial_attention import AxialAttention, AxialEncoder, Positions, feed_forward

SIDE, HIDDEN, HEADS = 4, 6, 2


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn, so that none is the 0 or 1 that it begins with."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=draws))
    return network


def maps(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_loops(layer: AxialAttention, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
    """One position of one line after the other."""
    weights = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    query, key, value = np.split(x @ weights["inner.weight"].T, 3, -1)
    if context is not None:
        scale, shift = np.split(context @ weights["condition.weight"].T, 2, -1)
        query, key, value = (part * factor + more for part, factor, more in zip(
            (query, key, value), np.split(scale, 3, -1), np.split(shift, 3, -1), strict=True))
    if layer.axis == 1:
        query, key, value = (part.swapaxes(1, 2) for part in (query, key, value))
    out, width, middle = np.zeros_like(query), HIDDEN // HEADS, weights["distances"].shape[1] // 2 - 1
    for picture, line, here, head in np.ndindex(*query.shape[:3], HEADS):
        part = np.s_[head * width:(head + 1) * width]
        seen = range(here + 1) if layer.masked else range(query.shape[2])
        score = np.array([query[picture, line, here, part] @ key[picture, line, other, part] / np.sqrt(width)
                          + weights["distances"][head, other - here + middle] for other in seen])
        share = np.exp(score) / np.exp(score).sum()
        out[picture, line, here, part] = sum(share[n] * value[picture, line, n, part] for n in seen)
    return (out.swapaxes(1, 2) if layer.axis == 1 else out) @ weights["out.weight"].T


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("context", [0, 5])
def test_attention_is_that_of_loops(axis: int, masked: bool, context: int) -> None:
    layer = stirred(AxialAttention(HIDDEN, HEADS, SIDE, axis, masked, context))
    assert isinstance(layer, AxialAttention)
    x, given = maps(2, SIDE, SIDE, HIDDEN), maps(2, SIDE, SIDE, context, seed=2) if context else None
    expected = by_loops(layer, x.double().numpy(), None if given is None else given.double().numpy())
    np.testing.assert_allclose(layer(x, given).detach().numpy(), expected, atol=1e-4)
    part = x[:, :3, :2]  # shorter lines have the same distances
    shorter = by_loops(layer, part.double().numpy(), None if given is None else given[:, :3, :2].double().numpy())
    result = layer(part, None if given is None else given[:, :3, :2])
    np.testing.assert_allclose(result.detach().numpy(), shorter, atol=1e-4)


def test_attention_begins_without_preferred_distances_and_with_glorot_s_weights() -> None:
    torch.manual_seed(0)
    layer = AxialAttention(64, 4, 8, 2, context=64)
    assert not layer.distances.any() and layer.distances.shape == (4, 16)
    assert layer.condition is not None
    limit = np.sqrt(6 / 128)
    for part in (*layer.inner.weight.split(64), layer.out.weight, *layer.condition.weight.split(64)):
        assert 0.97 * limit < part.abs().max() <= limit
    assert not any(isinstance(one, nn.Linear) and one.bias is not None for one in layer.modules())
    with pytest.raises(SettingError, match="heads"):
        AxialAttention(6, 4, 8, 2)


def test_positions_are_added() -> None:
    torch.manual_seed(0)
    positions, x = Positions(5, 400), maps(1, 2, 3, 400)
    expected = x + positions.rows[3:5] + positions.columns[:3]
    torch.testing.assert_close(positions(x, row=3), expected)
    torch.testing.assert_close(positions(x)[0, 1, 2], x[0, 1, 2] + positions.rows[1, 0] + positions.columns[2])
    assert [part.std().item() for part in (positions.rows, positions.columns)] == pytest.approx([0.05, 0.05], rel=0.1)


def test_the_encoder_adds_and_then_normalises() -> None:
    encoder = stirred(AxialEncoder(HIDDEN, 8, HEADS, 2, SIDE))
    assert isinstance(encoder, AxialEncoder)
    x = maps(2, SIDE, SIDE, HIDDEN)
    value = encoder.positions(x)
    for number, (layer, norm) in enumerate(zip(encoder.layers, encoder.norms, strict=True)):
        if number % 2 == 0:
            assert isinstance(layer, AxialAttention) and layer.axis == (2, 1)[number // 2 % 2] and not layer.masked
            assert layer.condition is None
        value = value + layer(value)
        mean, variance = value.mean(-1, keepdim=True), value.var(-1, unbiased=False, keepdim=True)
        assert isinstance(norm, nn.LayerNorm)
        value = (value - mean) / (variance + 1e-3).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(encoder(x), value, rtol=1e-4, atol=1e-4)
    assert len(encoder.layers) == 8
    dense = feed_forward(HIDDEN, 8)
    assert [type(layer) for layer in dense] == [nn.Linear, nn.ReLU, nn.Linear] and not dense[0].bias.any()
