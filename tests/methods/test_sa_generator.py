"""The attention and the generator of sa_subpixel_sr by their definitions."""

import numpy as np
import pytest
import torch
from skimage import data

from restore_ml.base.errors import SettingError
from restore_ml.methods.super_resolution.sa_subpixel_sr import Generator
from restore_ml.nn import self_attention
from restore_ml.nn.self_attention import SelfAttention
from tests.methods.enlarging import inputs, method, paper, parameters, restored


def test_attention_rows_sum_to_one_and_gamma_zero_is_the_identity():
    torch.manual_seed(0)
    layer, x = SelfAttention(16), torch.randn(2, 16, 5, 7)
    rows = layer.attention(x)
    assert rows.shape == (2, 35, 35) and (rows >= 0).all()
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 35))
    assert torch.equal(layer(x), x)
    with pytest.raises(SettingError, match="at least 8"):
        SelfAttention(4)


def test_attention_by_its_definition():
    torch.manual_seed(0)
    layer, x = SelfAttention(16, spectral=True).eval(), torch.randn(2, 16, 5, 7)
    with torch.no_grad():
        layer.gamma.fill_(0.7)
        value = layer.value(x).flatten(2)
        expected = x + 0.7 * torch.einsum("bij,bcj->bci", layer.attention(x), value).view_as(x)
        torch.testing.assert_close(layer(x), expected)
        scores = torch.einsum("bci,bcj->bij", layer.query(x).flatten(2), layer.key(x).flatten(2))
        torch.testing.assert_close(layer.attention(x), scores.exp() / scores.exp().sum(2, keepdim=True))
        order = torch.randperm(35)
        moved = layer(x.flatten(2)[..., order].view_as(x)).flatten(2)
        torch.testing.assert_close(moved, layer(x).flatten(2)[..., order])


def test_pooled_attention_by_its_definition(monkeypatch):
    """The largest of 2 x 2 keys and values, an odd edge on its own; only above the limit of positions."""
    torch.manual_seed(0)
    layer, plain = SelfAttention(16, pool=True).eval(), SelfAttention(16).eval()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 16, 5, 7)
    with torch.no_grad():
        layer.gamma.fill_(0.7)
        plain.gamma.fill_(0.7)
        assert self_attention.POOLED_ABOVE == 4096 and torch.equal(layer(x), plain(x))
        monkeypatch.setattr(self_attention, "POOLED_ABOVE", 35)
        assert torch.equal(layer(x), plain(x))
        monkeypatch.setattr(self_attention, "POOLED_ABOVE", 34)
        rows = layer.attention(x)
        assert rows.shape == (2, 35, 12)
        torch.testing.assert_close(rows.sum(-1), torch.ones(2, 35))
        key, value = (torch.stack([made[..., i:i + 2, j:j + 2].amax((2, 3)) for i in range(0, 5, 2)
                                   for j in range(0, 7, 2)], -1) for made in (layer.key(x), layer.value(x)))
        weights = torch.einsum("bci,bcj->bij", layer.query(x).flatten(2), key).softmax(-1)
        expected = x + 0.7 * torch.einsum("bij,bcj->bci", weights, value).view_as(x)
        torch.testing.assert_close(layer(x), expected)
        assert not torch.allclose(expected, plain(x))


def test_pooling_acts_above_4096_positions_and_costs_no_parameter():
    torch.manual_seed(0)
    layer = SelfAttention(8, pool=True).eval()
    with torch.no_grad():
        assert layer.attention(torch.randn(1, 8, 64, 64)).shape == (1, 4096, 4096)
        assert layer.attention(torch.randn(1, 8, 64, 65)).shape == (1, 4160, 32 * 33)
    with torch.device("meta"):
        assert parameters(SelfAttention(64, pool=True)) == parameters(SelfAttention(64)) == 5_201
        for settings in ({"pool": True}, {"spectral": True}, {"tanh": True}):
            assert parameters(Generator(**settings)) == 1_559_864
    assert paper("sa_subpixel_sr").settings["attn_pool"] is False
    assert paper("sa_subpixel_sr").tile == 64 and paper("sa_subpixel_sr", attn_pool=True).tile == 128


def test_attention_has_the_gradient_of_its_definition():
    torch.manual_seed(0)
    layer, x = SelfAttention(16), torch.randn(2, 16, 5, 7, dtype=torch.float64, requires_grad=True)
    layer.double()
    weights = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        layer.gamma.fill_(0.7)
    value = layer.value(x).flatten(2)
    expected = x + 0.7 * torch.einsum("bij,bcj->bci", layer.attention(x), value).view_as(x)
    [reference] = torch.autograd.grad((expected * weights).sum(), x)
    [gradient] = torch.autograd.grad((layer(x) * weights).sum(), x)
    torch.testing.assert_close(gradient, reference)


def test_options_of_the_generator_change_what_they_name():
    torch.manual_seed(0)
    given = inputs(data.astronaut()[:64, :64], 4)
    runs = {name: method("sa_subpixel_sr", **settings) for name, settings in (
        ("plain", {}), ("pool", {"attn_pool": True}), ("spectral", {"attn_spectral": True}), ("tanh", {"tanh": True}),
        ("start", {"start": "interpolation"}))}
    networks = {name: run.build()["generator"].eval() for name, run in runs.items()}
    assert [layer.pool for layer in networks["pool"].body if isinstance(layer, SelfAttention)] == [True, True]
    assert hasattr(networks["spectral"].body[1].query, "parametrizations")
    with torch.no_grad():
        made = networks["tanh"](given["lr"])
        assert made.min() > 0 and made.max() < 1  # a hyperbolic tangent, moved to [0, 1]
        networks["plain"].load_state_dict(networks["tanh"].state_dict())
        torch.testing.assert_close(made, (networks["plain"](2 * given["lr"] - 1).tanh() + 1) / 2)
        difference = (restored(runs["start"], {"generator": networks["start"]}, given).astype(int)
                      - restored(method("bicubic"), {}, {**given, "scale": torch.tensor([4])}))
    inside = difference[8:-8, 8:-8]  # beyond the border the layers see zeros
    assert np.abs(inside).mean() < 2  # starts near bicubic interpolation


def test_generator_with_gamma_zero_equals_the_one_without_attention():
    torch.manual_seed(0)
    with_it = Generator(4, 4, 16).eval()
    without = Generator(4, 4, 16, attention=False).eval()
    kept = {key: value for key, value in with_it.state_dict().items() if not key.startswith(("body.2.", "body.5."))}
    without.load_state_dict(dict(zip(without.state_dict(), kept.values(), strict=True)))
    x = torch.rand(1, 3, 11, 13)
    with torch.no_grad():
        assert torch.equal(with_it(x), without(x))
