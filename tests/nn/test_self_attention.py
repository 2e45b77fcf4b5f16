"""Self-attention with fewer value channels and with keys and values pooled to a side; the rest is tested with
sa_subpixel_sr."""

import torch
import torch.nn.functional as F

from restore_ml.nn.self_attention import SelfAttention


def test_fewer_value_channels_and_pooled_positions_by_the_definition() -> None:
    torch.manual_seed(0)
    layer, x = SelfAttention(16, value_reduction=2, factor=3), torch.randn(2, 16, 5, 7)
    assert torch.equal(layer(x), x)  # gamma is 0 at first
    with torch.no_grad():
        layer.gamma.fill_(0.7)
    key, value = (torch.stack([each(x)[..., i:i + 3, j:j + 3].amax((2, 3)) for i in range(0, 5, 3)
                               for j in range(0, 7, 3)], -1) for each in (layer.key, layer.value))
    assert value.shape == (2, 8, 6)
    weights = torch.einsum("bci,bcj->bij", layer.query(x).flatten(2), key).softmax(-1)
    torch.testing.assert_close(layer.attention(x), weights)
    attended = torch.einsum("bij,bcj->bci", weights, value).unflatten(2, (5, 7))
    torch.testing.assert_close(layer(x), x + 0.7 * F.conv2d(attended, layer.back.weight, layer.back.bias))


def test_maps_of_any_size_are_pooled() -> None:
    layer = SelfAttention(8, factor=4, pool=True)
    for height, width, wanted in ((8, 12, 2 * 3), (9, 12, 3 * 3), (68, 64, 17 * 16)):
        with torch.no_grad():
            assert layer.attention(torch.rand(1, 8, height, width)).shape == (1, height * width, wanted)


def test_parameters() -> None:
    assert sum(each.numel() for each in SelfAttention(32, value_reduction=2, factor=4).parameters()) == 1_337
    plain = SelfAttention(16)
    assert set(plain.state_dict()) == {f"{name}.{kind}" for name in ("query", "key", "value")
                                       for kind in ("weight", "bias")} | {"gamma"}
    layer = SelfAttention(16, spectral=True, value_reduction=2)
    assert all(hasattr(each, "parametrizations") for each in (layer.query, layer.key, layer.value, layer.back))
