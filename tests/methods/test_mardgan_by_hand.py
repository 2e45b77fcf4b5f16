"""mardgan: each loss term, phase and start against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.enlarging import fixed_batch, method, paper, step_of

LR, TRUTH = {"lr": draw(2, 3, 4, 4), "scale": torch.tensor([4, 4])}, {"hr": draw(2, 3, 16, 16, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.25))
SMALL = {"width": 8, "blocks": 1, "growth": 3, "d_width": 4, "d_hidden": 8, "patch": 32}


def repeated(lr: torch.Tensor) -> torch.Tensor:
    return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)


def players() -> dict[str, nn.Module]:
    """A generator that repeats pixels and adds 0.25, a judge that scores a picture by its mean and its first pixel."""
    return {"generator": Calls(lambda lr: repeated(lr) + LIFT),
            "discriminator": Calls(lambda x: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1])}


def score(pictures: torch.Tensor) -> np.ndarray:
    values = pictures.detach().double().numpy()
    return 3 * values.mean((1, 2, 3)) - values[:, 0, 0, 0]


class Features:
    source = "test-0"

    def __call__(self, pictures, taps=None, normalise=True):
        assert normalise and list(taps) == ["relu5_4"] and pictures.dtype == torch.float32
        return {"relu5_4": torch.stack([2 * pictures[:, 0], pictures[:, 1] - pictures[:, 2]], 1)}


def test_the_pixel_phase_minimises_the_absolute_error():
    [player] = paper("mardgan").phases()[0].players
    networks = players()
    terms = player.loss(step_with(LR, TRUTH, networks))
    assert list(terms) == ["l1"] and player.networks == ["generator"]
    made = repeated(LR["lr"]) + 0.25
    assert terms["l1"].item() == pytest.approx(np.abs(made.numpy() - TRUTH["hr"].numpy()).mean(), rel=1e-6)
    assert torch.equal(networks["generator"].calls[0][0], LR["lr"])


def test_both_phases_train_what_is_restored_over_the_bicubic_picture():
    """The network sees the colours less 0.45, and its picture is added to the bicubic one before any error."""
    run, networks = paper("mardgan", residual="bicubic"), players()
    step = step_with(LR, TRUTH, networks)
    made = imresize(LR["lr"].double(), 4.0) + repeated(LR["lr"].double() - 0.45) + 0.25
    error = (made - TRUTH["hr"]).abs().mean().item()
    assert run.pixel_loss(step)["l1"].item() == pytest.approx(error, rel=1e-5)
    assert run.generator_loss(step)["l1"].item() == pytest.approx(error, rel=1e-5)
    assert run.discriminator_loss(step)["fake"].item() == pytest.approx(np.log1p(np.exp(score(made))).mean(), rel=1e-5)
    torch.testing.assert_close(networks["generator"].calls[0][0], LR["lr"] - 0.45)


def test_the_judge_s_terms_by_hand():
    """-log D of the truth and -log (1 - D) of what the generator gives, which gets no gradient from them."""
    terms = paper("mardgan").discriminator_loss(step_with(LR, TRUTH, players()))
    real, fake = (1 / (1 + np.exp(-score(pictures))) for pictures in (TRUTH["hr"], repeated(LR["lr"]) + 0.25))
    assert set(terms) == {"real", "fake"}
    assert terms["real"].item() == pytest.approx(-np.log(real).mean(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(-np.log(1 - fake).mean(), rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("weights", [(0.05, 2.0, 0.3), (1e-3, 1.0, 0.006)])
def test_the_generator_s_terms_by_hand(weights):
    adversarial, pixel, perceptual = weights
    run = paper("mardgan", adversarial_weight=adversarial, pixel_weight=pixel, perceptual_weight=perceptual)
    terms = run.generator_loss(step_with(LR, TRUTH, players(), Features()))
    restored, truth = (repeated(LR["lr"]) + 0.25).double().numpy(), TRUTH["hr"].double().numpy()
    probability = 1 / (1 + np.exp(-score(repeated(LR["lr"]) + 0.25)))
    features = [np.stack([2 * x[:, 0], x[:, 1] - x[:, 2]], 1) for x in (restored, truth)]
    assert set(terms) == {"adversarial", "l1", "perceptual@test-0"}
    assert terms["adversarial"].item() == pytest.approx(-adversarial * np.log(probability).mean(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(pixel * np.abs(restored - truth).mean(), rel=1e-5)
    assert terms["perceptual@test-0"].item() == pytest.approx(
        perceptual * np.square(features[0] - features[1]).mean(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["l1"] == pytest.approx(pixel * np.sign(restored - truth).mean(), rel=1e-4)
    assert slopes["adversarial"] == pytest.approx(-adversarial * (2 * (1 - probability)).mean(), rel=1e-4)
    assert slopes["perceptual@test-0"] == pytest.approx(perceptual * 2 * (features[0] - features[1])[:, 0].mean(),
                                                        rel=1e-4)


def test_no_perceptual_term_without_features_or_weight():
    for run, features in ((paper("mardgan"), None), (paper("mardgan", perceptual_weight=0.0), Features())):
        assert set(run.generator_loss(step_with(LR, TRUTH, players(), features))) == {"adversarial", "l1"}


def test_both_players_share_one_forward_pass():
    networks, run = players(), paper("mardgan")
    [judge, generator] = run.phases()[1].players
    step = step_with(LR, TRUTH, networks)
    judge.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1
    assert [(player.name, player.networks) for player in (judge, generator)] == [
        ("discriminator", ["discriminator"]), ("generator", ["generator"])]
    assert (judge.loss, generator.loss) == (run.discriminator_loss, run.generator_loss)


def test_the_recipe():
    run, networks = paper("mardgan"), method("mardgan", **SMALL).build()
    pixel, gan = run.phases()
    assert (pixel.steps, gan.steps, run.settings["batch"]) == (200_000, 200_000, 16)
    for phase in (pixel, gan):
        for player in phase.players:
            assert [player.schedule(step, 200_000) for step in (0, 99_999, 100_000)] == [1, 1, 0.5]
            optimiser = optimiser_of(player, networks)
            assert type(optimiser) is torch.optim.Adam
            assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (1e-4, (0.9, 0.999))
    pixel, gan = paper("mardgan", schedule="cosine", steps={"pixel": 60, "gan": 10}).phases()
    assert [pixel.players[0].schedule(step, 60) for step in (0, 30, 60)] == pytest.approx([1, 0.55, 0.1])
    assert {player.schedule(step, 10) for player in gan.players for step in range(10)} == {0.1}


def test_restore_clips_what_the_generator_gives():
    model = Model({"generator": Calls(lambda lr: repeated(3 * lr - 1))})
    sr = paper("mardgan").restore(model, LR, 1)["sr"]
    torch.testing.assert_close(sr, repeated(3 * LR["lr"] - 1).clip(0, 1))
    over = paper("mardgan", residual="bicubic").restore(model, LR, 1)["sr"]
    expected = imresize(LR["lr"], 4.0) + repeated(3 * (LR["lr"] - 0.45) - 1)
    torch.testing.assert_close(over, expected.clip(0, 1), atol=1e-5, rtol=0)


def test_the_start_at_the_bicubic_picture():
    torch.manual_seed(0)
    run = method("mardgan", **SMALL, residual="bicubic", last_std=1e-5)
    x = draw(1, 3, 9, 9)
    networks = {name: network.eval() for name, network in run.build().items()}
    with torch.no_grad():
        networks["generator"].tail.bias.zero_()
        sr = run.restore(Model(networks), {"lr": x, "scale": torch.tensor([4])}, 1)["sr"]
    torch.testing.assert_close(sr, imresize(x, 4.0).clip(0, 1), atol=1e-3, rtol=0)
    assert networks["generator"].tail.weight.std().item() == pytest.approx(1e-5, rel=0.1)


def test_thirty_adam_steps_learn_one_batch():
    torch.manual_seed(0)
    run = method("mardgan", **SMALL)
    networks, batch, [player] = run.build(), fixed_batch(4, 16, size=2), run.phases()[0].players
    optimiser, losses = torch.optim.Adam(networks["generator"].parameters(), 5e-3), []
    for step in range(31):
        loss = player.loss(step_of(batch, networks, step))["l1"]
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in networks["generator"].parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
