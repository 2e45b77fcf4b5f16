import pytest
import torch
import torch.nn.functional as F

from restore_ml.nn.patchgan import PatchDiscriminator


@pytest.mark.parametrize(("channels", "options", "count"), [
    (4, {}, 2_766_657), (4, {"norm": "instance"}, 2_766_657), (3, {}, 2_765_633), (6, {}, 2_768_705),
    (2, {"norm": "none", "bias": False, "spectral": True}, 2_762_752),
    (3, {"norm": "none", "bias": False, "spectral": True}, 2_763_776), (3, {"width": 16, "layers": 2}, 42_961)])
def test_published_parameter_counts(channels: int, options: dict, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in PatchDiscriminator(channels, **options).parameters()) == count


def test_a_score_sees_seventy_pixels() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(1, 4, norm="none")
    x = torch.rand(1, 1, 256, 256, requires_grad=True)
    scores = judge(x)
    assert scores.shape == (1, 1, 30, 30)
    gradient, = torch.autograd.grad(scores[0, 0, 15, 15], x)
    rows = torch.nonzero(gradient[0, 0].abs().sum(1)).flatten()
    assert int(rows[-1] - rows[0] + 1) == 70


def test_features_end_in_the_scores() -> None:
    judge = PatchDiscriminator(3, 4, layers=2, sigmoid=True).eval()
    x = torch.rand(2, 3, 32, 32)
    maps = judge.features(x)
    assert len(maps) == 4 and torch.equal(maps[-1], judge(x))
    assert ((maps[-1] >= 0) & (maps[-1] <= 1)).all()


def test_spectral_normalisation_keeps_the_largest_singular_value_near_one() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(3, 8, norm="none", spectral=True)
    for _ in range(30):
        judge(torch.rand(1, 3, 32, 32))
    for stage in judge.stages:
        assert torch.linalg.matrix_norm(stage[0].weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_judge_by_hand(norm: str) -> None:
    torch.manual_seed(0)
    judge, x = PatchDiscriminator(3, 2, layers=4, norm=norm), torch.randn(2, 3, 64, 64)
    assert [stage[0].out_channels for stage in judge.stages] == [2, 4, 8, 16, 16, 1]  # at most eight times the first
    y = x
    for number, stage in enumerate(judge.stages):
        y = F.conv2d(y, stage[0].weight, stage[0].bias, 2 if number < 4 else 1, 1)
        if 0 < number < 5 and norm == "batch":
            torch.nn.init.ones_(stage[1].weight)
            mean, spread = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), correction=0, keepdim=True)
            y = (y - mean) / (spread + 1e-5).sqrt()
        y = F.leaky_relu(y, 0.2) if number < 5 else y
    torch.testing.assert_close(judge(x), y, atol=1e-4, rtol=1e-3)
    weights = torch.cat([stage[0].weight.flatten() for stage in judge.stages])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
