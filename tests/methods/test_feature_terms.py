"""The self-supervised objective of the feature network, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.method import Context
from restore_ml.methods.representation.features import METHOD, READ, Heads
from restore_ml.nn.features import FeatureNet
from restore_ml.seeds import derive
from tests.methods.holes import pictures


class Seen(nn.Module):
    """Hands the picture on as its one map, and remembers it."""

    def forward(self, x: Tensor, taps: Any) -> dict[str, Tensor]:
        self.x, self.taps = x, tuple(taps)
        return {"relu": x}


class Guesses(nn.Module):
    """Fixed logits of four turns and five classes."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(4)
        self.turn, self.picture = torch.randn(6, 4, generator=draws), torch.randn(6, 5, generator=draws)

    def forward(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.turn, self.picture


def cross_entropy(logits: Tensor, classes: list[int]) -> float:
    table = logits.double().numpy()
    return float(np.mean(np.log(np.exp(table).sum(1)) - table[range(len(classes)), classes]))


def test_terms_and_what_the_network_is_shown() -> None:
    method = METHOD({"buckets": 5, "jitter": 0.2, "turn_weight": 0.5, "picture_weight": 2.0})
    network, heads, image, ids = Seen(), Guesses(), pictures(6, 8) * 0.2 + 0.4, list("abcdef")
    context = Context({"image": image}, {"image": image}, ids, {"features": network, "heads": heads}, step=0, steps=1,
                      generator=torch.Generator().manual_seed(9))
    terms = method.loss(context)
    draws = torch.Generator().manual_seed(9)
    turns = torch.randint(4, (6,), generator=draws)
    gain, offset = (torch.rand(2, 6, 3, 1, 1, generator=draws) - 0.5) * 0.4
    turned = torch.from_numpy(np.stack([np.rot90(each, turn, (1, 2))
                                        for each, turn in zip(image.numpy(), turns.tolist(), strict=True)]))
    torch.testing.assert_close(network.x, turned * (1 + gain) + offset / 2)
    assert network.taps == READ and len(set(turns.tolist())) > 1
    assert set(terms) == {"turn", "picture"}
    assert terms["turn"].item() == pytest.approx(0.5 * cross_entropy(heads.turn, turns.tolist()))
    assert terms["picture"].item() == pytest.approx(2 * cross_entropy(heads.picture, [derive(i) % 5 for i in ids]))
    bright = torch.ones_like(image)
    method.loss(Context({"image": bright}, {"image": bright}, ids, {"features": network, "heads": heads}, step=0,
                        steps=1, generator=torch.Generator().manual_seed(9)))
    assert network.x.max() == 1  # what is lit beyond white is white


def test_heads_see_the_channel_means_of_four_depths() -> None:
    torch.manual_seed(0)
    heads, network = Heads(2, 5), FeatureNet(2)
    maps = network(torch.rand(3, 3, 16, 16), READ)
    means = torch.cat([maps[tap].mean((2, 3)) for tap in ("relu2_2", "relu3_4", "relu4_4", "relu5_4")], 1)
    turn, picture = heads(maps)
    torch.testing.assert_close(turn, means @ heads.turn.weight.T + heads.turn.bias)
    torch.testing.assert_close(picture, means @ heads.picture.weight.T + heads.picture.bias)
    assert turn.shape == (3, 4) and picture.shape == (3, 5)


def test_recipe() -> None:
    paper = METHOD({"steps": 10})
    phase, = paper.phases()
    player, = phase.players
    made = player.optimiser([nn.Parameter(torch.zeros(1))])
    assert type(made) is torch.optim.AdamW and made.param_groups[0]["lr"] == 1e-4
    assert made.param_groups[0]["weight_decay"] == 5e-4 and player.clip_norm == 5.0
    assert list(player.networks) == ["features", "heads"] and player.loss == paper.loss
    assert [player.schedule(place, 10) for place in (0, 5)] == pytest.approx([1, 0.5])
    assert set(paper.build()) == {"features", "heads"}
