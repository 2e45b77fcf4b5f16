import pytest
import torch

from restore_ml.errors import SettingError, UserError
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
