from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from restore_ml.methods.super_resolution.vdsr import VDSRNet
from restore_ml.nn.pieces import in_pieces


@given(st.integers(1, 70), st.integers(1, 70), st.integers(9, 40))
@settings(deadline=None, max_examples=25)
def test_pieces_give_what_the_whole_gives(height: int, width: int, side: int) -> None:
    """Four layers see four pixels, so a margin of four is enough."""
    torch.manual_seed(2)
    net = VDSRNet(layers=4, width=3, channels=2)
    x = torch.rand(2, 2, height, width)
    seen: list[tuple[int, int]] = []

    def watched(piece: torch.Tensor) -> torch.Tensor:
        seen.append((piece.shape[2], piece.shape[3]))
        return net(piece)

    with torch.no_grad():
        assert torch.allclose(in_pieces(watched, x, side, 4), net(x), atol=1e-6)
    assert max(max(size) for size in seen) <= max(side, 12), "12: a stretch as long as a margin, and two margins"


def test_a_margin_that_is_too_small_shows() -> None:
    torch.manual_seed(2)
    net, x = nn.Conv2d(1, 1, 7, padding=3), torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        assert not torch.allclose(in_pieces(net, x, 20, 1), net(x), atol=1e-4)
        assert torch.allclose(in_pieces(net, x, 20, 3), net(x), atol=1e-6)


@pytest.mark.parametrize("length", [20, 8])
def test_a_small_picture_stays_whole(length: int) -> None:
    calls: list[torch.Size] = []
    in_pieces(lambda x: (calls.append(x.shape), x)[1], torch.rand(1, 1, length, 20), 20, 5)
    assert calls == [torch.Size([1, 1, length, 20])]
