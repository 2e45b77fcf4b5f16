"""pix2pix and copy_input: the card's counts, both players' terms by hand, noise and statistics when restoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.sketch_photo.pix2pix import Noise, Pix2Pix
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.unet import UNet
from restore_ml.seeds import derive
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

SMALL = {"levels": 3, "width": 4, "disc_width": 4, "disc_layers": 2, "patch": 16, "dropout": False}
INPUTS, TARGET = {"source": draw(2, 3, 16, 16)}, {"truth": draw(2, 3, 16, 16, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> Pix2Pix:
    return Pix2Pix({**SMALL, **settings})


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        paper = Pix2Pix({}).build()
        assert count(paper["generator"]) == 54_413_955 and count(paper["discriminator"]) == 2_768_705
        assert paper["discriminator"](torch.empty(1, 6, 256, 256)).shape == (1, 1, 30, 30)
        assert paper["generator"](torch.empty(1, 3, 256, 256)).shape == (1, 3, 256, 256)
        assert [count(UNet(3, *rest)) for rest in ((1,), (3, 64, 7), (3, 64, 6))] == [
            54_409_857, 41_828_995, 29_244_035]
        assert count(UNet(3, 1, 16, 6)) == 1_829_537
        small = Pix2Pix({"levels": 6, "patch": 64, "width": 16}).build()["generator"]
        assert count(small) == 1_829_537 + 2 * (32 * 16 + 1)  # two channels more
    drops = [layer for layer in paper["generator"].modules() if isinstance(layer, Noise)]
    assert len(drops) == 3 and not any(isinstance(layer, nn.Dropout) for layer in paper["generator"].modules())


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (3, 70)])
def test_the_receptive_field_of_the_judge(layers: int, field: int) -> None:
    """The pixels that one score in the middle depends on (without normalisation, which sees all)."""
    judge = PatchDiscriminator(6, 2, layers, norm="none")
    for stage in judge.stages:
        nn.init.constant_(stage[0].weight, 0.01)  # type: ignore[index,arg-type]
    picture = torch.ones(1, 6, 160, 160, requires_grad=True)
    scores = judge(picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert picture.grad is not None
    seen = picture.grad[0, 0].abs() > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (field, field)


def players() -> dict[str, nn.Module]:
    """A painter that darkens, and a judge that scores patches of the source's red times the picture's green, less the
    picture's blue."""
    painter = Calls(lambda source: 0.5 * source + LIFT)
    judge = Calls(lambda pair: (pair[:, :1] * pair[:, 4:5] - pair[:, 5:6]).unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)))
    return {"generator": painter, "discriminator": judge}


def score(source: np.ndarray, picture: np.ndarray) -> np.ndarray:
    values = source[:, 0] * picture[:, 1] - picture[:, 2]
    return values.reshape(2, 2, 8, 2, 8).mean((2, 4))


def by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source, true = (2 * tensor.double().numpy() - 1 for tensor in (INPUTS["source"], TARGET["truth"]))
    return source, 0.5 * source + 0.1, true


@pytest.mark.parametrize("l1", [100.0, 0.0])
def test_the_judge_s_terms(l1: float) -> None:
    """Half of each; no gradient to the painter, and none of them knows of the weight of L1."""
    networks = players()
    terms = made(l1=l1).discriminator_loss(step_with(INPUTS, TARGET, networks))
    source, painted, true = by_hand()
    expected = (np.log1p(np.exp(-score(source, true))).mean() / 2, np.log1p(np.exp(score(source, painted))).mean() / 2)
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert [terms["real"].item(), terms["fake"].item()] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(networks["discriminator"].calls[0][0][:, :3], source, atol=1e-6)  # type: ignore[union-attr,index]


def test_the_painter_s_terms() -> None:
    """All of -log D of its picture beside the source, and `l1` times the mean difference in [-1, 1]."""
    terms = made(l1=7.0).generator_loss(step_with(INPUTS, TARGET, players()))
    source, painted, true = by_hand()
    assert set(terms) == {"adversarial", "l1"}
    assert terms["adversarial"].item() == pytest.approx(np.log1p(np.exp(-score(source, painted))).mean(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(7 * np.abs(painted - true).mean(), rel=1e-5)
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_one_forward_pass_a_step_and_who_moves_what() -> None:
    networks = players()
    [phase] = made(steps=9).phases()
    step = step_with(INPUTS, TARGET, networks)
    for player in phase.players:
        player.loss(step)
    assert len(networks["generator"].calls) == 1  # type: ignore[arg-type]
    assert phase.steps == 9 and [(player.name, player.networks) for player in phase.players] == [
        ("discriminator", ["discriminator"]), ("generator", ["generator"])]


def test_the_recipe() -> None:
    method = made(lr=0.02, betas=[0.4, 0.9])
    networks = method.build()
    for player in method.phases()[0].players:
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (0.02, (0.4, 0.9))
        assert [player.schedule(step, 8) for step in (0, 4, 5, 7)] == [1, 1, 0.75, 0.25]
    assert [Pix2Pix.paper[key] for key in ("l1", "lr", "betas", "batch", "patch", "dropout", "eval_norm")] == [
        100.0, 2e-4, [0.5, 0.999], 1, 256, True, "picture"]
    assert [made(levels=levels, patch=64).multiple for levels in (3, 5)] == [8, 32]
    with pytest.raises(UserError, match="patch of pix2pix is 40; it must be a multiple of 64"):
        Pix2Pix({"levels": 6, "patch": 40})
    with pytest.raises(UserError, match="direction of pix2pix is 'sideways'"):
        made(direction="sideways")


def test_a_run_has_one_direction() -> None:
    assert made().unsupported("photo_to_sketch") is None
    assert made().unsupported("sketch_to_photo") == "made for photo_to_sketch"
    assert made(direction="sketch_to_photo").unsupported("sketch_to_photo") is None


def test_restore_by_hand() -> None:
    painter = Calls(lambda source: 0.5 * source + 0.1)
    output = made().restore(Model({"generator": painter}), INPUTS, 1)["picture"]
    np.testing.assert_allclose(output.numpy(), (by_hand()[1] + 1) / 2, atol=1e-6)
    assert [call[0].shape[0] for call in painter.calls] == [1, 1]


def test_the_noise_stays_on_and_comes_from_the_seed() -> None:
    method = made(dropout=True)
    torch.manual_seed(0)
    model = Model({"generator": method.build()["generator"].eval()})
    with torch.no_grad():
        first, other = (method.restore(model, INPUTS, seed)["picture"] for seed in (1, 2))
        state = torch.get_rng_state()
        again = method.restore(model, INPUTS, 1)["picture"]
        assert torch.equal(torch.get_rng_state(), state)  # the state that others draw from is left alone
        alone = method.restore(model, {"source": INPUTS["source"][1:]}, 1)["picture"]
        torch.manual_seed(derive(1, "dropout"))
        by_itself = model.networks["generator"](2 * INPUTS["source"][1:] - 1)
    assert torch.equal(first, again) and torch.equal(first[1:], alone) and not torch.equal(first, other)
    torch.testing.assert_close((by_itself + 1) / 2, alone)


def test_half_of_the_values_drop() -> None:
    torch.manual_seed(0)
    dropped = Noise().eval()(torch.ones(10_000))
    assert set(dropped.tolist()) == {0.0, 2.0} and dropped.mean().item() == pytest.approx(1, abs=0.05)


def test_whose_statistics_normalise() -> None:
    """`picture`: those of the picture at hand, so that contrast does not matter before the first normalisation;
    `running`: those of training, which the stored model holds."""
    for kind, held in (("picture", 0), ("running", 3 * 3)):  # mean, variance and count of 3 layers
        torch.manual_seed(0)
        generator = made(eval_norm=kind, levels=3).build()["generator"]
        assert sum("running" in key or "tracked" in key for key in generator.state_dict()) == held
        norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
        assert len(norms) == 3
        generator.eval()
        x = 5 + 3 * torch.rand(1, norms[0].num_features, 8, 8)
        mean = norms[0](x).mean().item()
        assert abs(mean) < 0.1 if kind == "picture" else mean > 4


def test_copying_is_the_input() -> None:
    method = registry.method("sketch_photo", "copy_input", {})
    output = method.restore(Model(), INPUTS, 1)["picture"]
    assert torch.equal(output, INPUTS["source"]) and output is not INPUTS["source"]
    assert not method.trains and method.unsupported("sketch_to_photo") is None


def test_a_few_steps_on_one_pair_bring_its_sketch_near() -> None:
    method = made(lr=2e-3)
    torch.manual_seed(0)
    networks = method.build()
    step = {"source": draw(2, 3, 16, 16)}, {"truth": 1 - draw(2, 3, 16, 16)}
    moves = [(player, optimiser_of(player, networks)) for player in method.phases()[0].players]
    values = []
    for _ in range(40):
        context = step_with(*step, networks)
        for player, optimiser in moves:
            optimiser.zero_grad()
            terms = player.loss(context)
            sum(terms.values()).backward(inputs=[p for group in optimiser.param_groups for p in group["params"]])  # type: ignore[union-attr]
            optimiser.step()
        values.append(terms["l1"].item())
    assert values[-1] < 0.85 * values[0]
