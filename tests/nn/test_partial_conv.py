import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.nn.partial_conv import PartialConv2d


def by_hand(x: np.ndarray, v: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The paper's equation, place by place, stride 1."""
    out_channels, channels, side, _ = weight.shape
    edge = side // 2
    xs, vs = (np.pad(each, [(0, 0), (edge, edge), (edge, edge)]) for each in (x, v))
    out = np.zeros((out_channels, *x.shape[1:]))
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            seen = vs[:, row:row + side, column:column + side]
            window = xs[:, row:row + side, column:column + side]
            if seen.sum() > 0:
                out[:, row, column] = (weight * window * seen).sum((1, 2, 3)) * side**2 * channels / seen.sum() + bias
    return out


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 5]))
def test_equals_the_equation(seed: int, side: int) -> None:
    torch.manual_seed(seed)
    layer = PartialConv2d(2, 3, side)
    x, v = torch.rand(1, 2, 7, 6), (torch.rand(1, 2, 7, 6) > 0.6).float()
    y, known = layer(x, v)
    assert layer.bias is not None
    expected = by_hand(x[0].numpy(), v[0].numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy())
    np.testing.assert_allclose(y[0].detach().numpy(), expected, atol=1e-5)
    count = F.conv2d(v.sum(1, keepdim=True), torch.ones(1, 1, side, side), padding=side // 2)
    assert known.shape == y.shape and torch.equal(known, (count > 0).float().expand_as(known))


def test_with_everything_known_only_the_border_differs_from_a_plain_convolution() -> None:
    layer = PartialConv2d(3, 4, 5)
    x = torch.rand(2, 3, 16, 16)
    y, known = layer(x, torch.ones_like(x))
    plain = F.conv2d(x, layer.weight, layer.bias, padding=2)
    torch.testing.assert_close(y[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2])
    assert not torch.allclose(y, plain) and known.min() == 1


def test_values_under_the_hole_and_gradients_do_not_matter() -> None:
    layer = PartialConv2d(3, 4, 3, 2)
    x, v = torch.rand(1, 3, 12, 12), torch.ones(1, 3, 12, 12)
    v[..., 2:9, 3:10] = 0
    wild = torch.where(v > 0, x, torch.full_like(x, 1e6)).requires_grad_()
    y, known = layer(wild, v)
    assert torch.equal(y, layer(x, v)[0]) and not known.requires_grad
    gradient, = torch.autograd.grad(y.sum(), wild)
    assert gradient[v == 0].abs().max() == 0 and gradient[v > 0].abs().max() > 0
    assert (y[known == 0] == 0).all() and (known == 0).any()


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_layers_needed_to_close_a_square_hole(side: int) -> None:
    layer = PartialConv2d(1, 1, 3)
    v = torch.ones(1, 1, 20, 20)
    v[..., 6:6 + side, 6:6 + side] = 0
    x, layers = v.clone(), 0
    while v.min() == 0:
        x, after = layer(x, v)
        assert (after >= v).all()
        v, layers = after, layers + 1
    assert layers == -(-side // 2)
