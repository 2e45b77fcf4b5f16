"""fca_gan: the card's counts, where attention stands, the small discriminator, a short training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.methods.colorization.fca_gan import FcaGan
from restore_ml.nn.frequency_attention import FrequencyAttention
from tests.methods.colour_project import PIX2PIX, count, error, trained

SMALL = {"levels": 6, "width": 16, "disc_width": 16, "patch": 64, "dropout": False}


def made(**settings: Any) -> FcaGan:
    return FcaGan({**SMALL, **settings})


def attention(blocks: Any) -> list[int]:
    """The channels of the attention that ends each block, 0 where there is none."""
    return [block[1].out_channels if isinstance(block[-1], FrequencyAttention) else 0 for block in blocks]


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper, rgb, small = FcaGan({}).build(), FcaGan({"space": "rgb"}).build(), made().build()
        assert paper["discriminator"](torch.empty(1, 3, 256, 256)).shape == (1, 1, 62, 62)
    assert [count(paper["generator"]), count(small["generator"])] == [54_409_858 + 152_576, 1_831_330]
    assert [count(paper["discriminator"]), count(rgb["discriminator"])] == [663_361, 664_385]


def test_attention_stands_behind_maps_of_8_pixels_and_more() -> None:
    with torch.device("meta"):
        paper = FcaGan({}).build()["generator"]
    assert attention(paper.down) == [64, 128, 256, 512, 512, 0, 0, 0]
    assert attention(paper.up) == [0, 0, 512, 512, 256, 128, 64, 0]
    small = made().build()["generator"]
    assert attention(small.down) == [16, 32, 64, 0, 0, 0] and attention(small.up) == [0, 0, 64, 32, 16, 0]
    seen: list[int] = []
    for module in small.modules():
        if isinstance(module, FrequencyAttention):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    small(torch.zeros(1, 1, 64, 64))
    assert seen == [32, 16, 8, 8, 16, 32]


def test_a_judge_s_score_sees_34_pixels() -> None:
    """Four convolutions: the scores that a pixel moves, and the pixels that move a score."""
    torch.manual_seed(0)
    judge = made(disc_width=2).build()["discriminator"].eval()
    picture = torch.randn(1, 3, 96, 96, requires_grad=True)
    scores = judge(picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert picture.grad is not None
    rows = picture.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 34
    assert sum(isinstance(layer, nn.Conv2d) for layer in judge.modules()) == 4


def test_the_basis_of_the_run() -> None:
    with torch.device("meta"):
        counts = {basis: count(made(basis=basis).build()["generator"]) for basis in ("dct", "learn", "random")}
    assert counts["dct"] == counts["random"] == counts["learn"] - 2 * 49 * (16 + 32 + 64)


def test_dropout_space_and_recipe() -> None:
    assert any(isinstance(layer, nn.Dropout) for layer in made(dropout=True).build()["generator"].modules())
    assert made(space="rgb").build()["generator"](torch.zeros(1, 1, 64, 64)).shape == (1, 3, 64, 64)
    paper = FcaGan.paper
    assert paper.items() >= {**PIX2PIX, "steps": 200 * 800}.items()  # DIV2K's pictures
    assert [paper[key] for key in ("space", "levels", "disc_layers", "gan", "gradient_penalty", "l1", "basis")] == [
        "lab", 8, 2, "bce", 0.0, 100.0, "dct"]
    for wrong in ({"width": 24}, {"basis": "cosine"}, {"gan": "hinge"}, {"patch": 72}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            made(**wrong)


def test_it_learns(project: Path) -> None:
    method, model, _ = trained(project, "fca_gan")
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
