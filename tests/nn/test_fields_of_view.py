"""Fields of view: the card's counts, what each branch sees, the sum."""

import pytest
import torch
from torch import nn

from restore_ml.base.errors import SettingError
from restore_ml.nn.fields_of_view import FieldsOfView


@pytest.mark.parametrize(("channels", "parameters"), [(64, 15_456), (128, 61_120), (256, 243_072), (512, 969_472)])
def test_parameters_of_the_card(channels: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in FieldsOfView(channels).parameters()) == parameters


def view(network: nn.Module, channels: int) -> int:
    """The side in pixels of what a pixel of the output depends on."""
    x = torch.randn(1, channels, 21, 21, requires_grad=True)
    network(x)[0, :, 10, 10].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    return int(rows.max() - rows.min()) + 1


@pytest.mark.parametrize(("mode", "views"), [("dilations", [1, 3, 5, 9]), ("kernels", [1, 3, 5, 7])])
def test_the_branches_fields_of_view(mode: str, views: list[int]) -> None:
    torch.manual_seed(0)
    block = FieldsOfView(32, mode).eval()
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.bias.data.fill_(1.0)  # so that no ReLU hides a pixel
    assert [view(branch, 32) for branch in block.branches] == views
    assert block(torch.randn(2, 32, 11, 6)).shape == (2, 32, 11, 6)
    assert all(branch(torch.randn(1, 32, 5, 5)).shape[1] == 8 for branch in block.branches)


def test_the_block_by_hand() -> None:
    """Branch by branch with its layers, joined in order, fused, normalised, added, cut at 0."""
    torch.manual_seed(0)
    block, x = FieldsOfView(8), torch.randn(2, 8, 9, 9)
    block.train()
    parts = []
    for index, branch in enumerate(block.branches):
        y = x
        for layer in [module for module in branch.modules() if isinstance(module, nn.Conv2d)]:
            assert layer.bias is None
            y = nn.functional.conv2d(y, layer.weight, padding="same", dilation=layer.dilation)
            y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
            scale = next(other for other in branch.modules()
                         if isinstance(other, nn.BatchNorm2d) and _follows(branch, layer, other)).weight
            y = (y * scale.view(1, -1, 1, 1)).relu()
        assert len([module for module in branch.modules() if isinstance(module, nn.Conv2d)]) == (2 if index else 1)
        parts.append(y)
    y = nn.functional.conv2d(torch.cat(parts, 1), block.fuse[0].weight)  # type: ignore[arg-type]
    y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = (x + y * block.fuse[1].weight.view(1, -1, 1, 1)).relu()  # type: ignore[operator,union-attr]
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def _follows(branch: nn.Module, layer: nn.Module, other: nn.Module) -> bool:
    """Whether `other` is the layer right behind `layer`."""
    layers = [module for module in branch.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    return layers.index(other) == layers.index(layer) + 1  # type: ignore[arg-type]


def test_without_the_fusion_s_scale_only_the_relu_is_left() -> None:
    block, x = FieldsOfView(16), torch.randn(2, 16, 8, 8)
    nn.init.zeros_(block.fuse[1].weight)  # type: ignore[arg-type]
    assert torch.equal(block(x), x.relu())


def test_the_start_is_pix2pix_s_and_what_does_not_fit_is_refused() -> None:
    block = FieldsOfView(128)
    assert block.fuse[0].weight.std().item() == pytest.approx(0.02, rel=0.1)  # type: ignore[operator,union-attr]
    for channels, mode in ((6, "dilations"), (8, "dilation")):
        with pytest.raises(SettingError, match="Fields of view"):
            FieldsOfView(channels, mode)
