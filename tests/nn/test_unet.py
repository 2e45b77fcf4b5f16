import pytest
import torch
import torch.nn.functional as F

from restore_ml.base.errors import SettingError, UserError
from restore_ml.nn.unet import UNet


@pytest.mark.parametrize(("sizes", "count"), [((1, 3, 64, 8), 54_411_907), ((1, 2, 64, 8), 54_409_858),
                                              ((3, 3, 64, 8), 54_413_955), ((1, 2, 64, 7), 41_824_898),
                                              ((1, 2, 16, 6), 1_829_538)])
def test_published_parameter_counts(sizes: tuple[int, int, int, int], count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet(*sizes).parameters()) == count


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_shape_and_range(norm: str) -> None:
    torch.manual_seed(0)
    network, x = UNet(2, 3, 8, 4, norm=norm, dropout=False), torch.rand(2, 2, 32, 48)
    out = network(x)
    assert out.shape == (2, 3, 32, 48) and out.abs().max() <= 1
    free = UNet(2, 3, 8, 4, norm=norm, dropout=False, final="none")
    free.load_state_dict(network.state_dict())
    torch.testing.assert_close(torch.tanh(free(x)), network(x))


def test_dropout_is_on_the_three_lowest_blocks_and_only_in_training() -> None:
    network = UNet(1, 1, 4, 6)
    assert [isinstance(block[-1], torch.nn.Dropout) for block in network.up] == [True] * 3 + [False] * 3
    network.eval()
    x = torch.rand(1, 1, 64, 64)
    assert torch.equal(network(x), network(x))
    assert not any(isinstance(block[-1], torch.nn.Dropout) for block in UNet(1, 1, 4, 6, dropout=False).up)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="normalisation 'bach'"):
        UNet(1, 1, 4, 3, norm="bach")
    with pytest.raises(SettingError, match="final"):
        UNet(1, 1, 4, 3, final="relu")


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_network_by_hand(norm: str) -> None:
    """Activation, convolution, normalisation; the first level and the lowest are not normalised; skips come first."""
    torch.manual_seed(0)
    network, x = UNet(2, 3, 4, 4, norm=norm), torch.randn(2, 2, 32, 32)

    def normed(y: torch.Tensor) -> torch.Tensor:
        if norm == "none":
            return y
        mean, spread = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), correction=0, keepdim=True)
        return (y - mean) / (spread + 1e-5).sqrt()

    for block in (*network.down, *network.up):
        if isinstance(block[2], torch.nn.BatchNorm2d):  # drawn around 1: pix2pix's start
            assert block[2].weight.std() > 0
            torch.nn.init.ones_(block[2].weight)
        if isinstance(block[-1], torch.nn.Dropout):
            assert block[-1].p == 0.5
            block[-1].p = 0.0
    y, skips = x, []
    for level, block in enumerate(network.down):
        y = F.conv2d(F.leaky_relu(y, 0.2) if level else y, block[1].weight, block[1].bias, 2, 1)
        y = normed(y) if 0 < level < 3 else y
        skips.append(y)
    y = skips.pop()
    for level, block in enumerate(network.up):
        y = F.conv_transpose2d(F.relu(y if not level else torch.cat([skips.pop(), y], 1)), block[1].weight,
                               block[1].bias, 2, 1)
        y = normed(y) if level < 3 else torch.tanh(y)
    torch.testing.assert_close(network(x), y, atol=1e-4, rtol=1e-3)
    weights = torch.cat([block[1].weight.flatten() for block in (*network.down, *network.up)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
