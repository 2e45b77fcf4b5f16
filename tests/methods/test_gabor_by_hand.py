"""gabor_pix2pix: both players' terms, restoring and recipe against values by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import nn

from restore_ml.losses.gradient_penalty import gradient_penalty
from restore_ml.method import Model
from restore_ml.methods.colorization.gabor_pix2pix import GaborPix2Pix
from restore_ml.nn import colour_translation
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

SMALL = {"levels": 3, "width": 4, "disc_width": 4, "disc_layers": 2, "patch": 16, "dropout": False}
INPUTS, TARGET = {"L": 30 + 40 * draw(2, 1, 16, 16)}, {"rgb": draw(2, 3, 16, 16, seed=1)}
LIFT = torch.nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> GaborPix2Pix:
    return GaborPix2Pix({**SMALL, **settings})


def players() -> dict[str, nn.Module]:
    """A painter that makes three scaled copies of what it is shown, and a judge that scores patches of the product of
    condition and red, less green."""
    painter = Calls(lambda shown: torch.cat([shown[:, :1] * 0.5, shown[:, :1], shown[:, :1] - 0.3], 1) + LIFT)
    judge = Calls(lambda pair: (pair[:, :1] * pair[:, -3:-2] - pair[:, -2:-1]).unfold(2, 8, 8).unfold(3, 8, 8)
                  .mean((4, 5)))
    return {"generator": painter, "discriminator": judge}


def score(shown: np.ndarray, picture: np.ndarray) -> np.ndarray:
    values = shown[:, 0] * picture[:, 0] - picture[:, 1]
    return values.reshape(2, 2, 8, 2, 8).mean((2, 4))


def by_hand(method: GaborPix2Pix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is shown, the painter's picture and the true one, in [-1, 1]."""
    shown = method.condition(INPUTS["L"]).double().numpy()
    painted = np.concatenate([shown[:, :1] * 0.5, shown[:, :1], shown[:, :1] - 0.3], 1) + 0.1
    return shown, painted, 2 * TARGET["rgb"].double().numpy() - 1


@pytest.mark.parametrize("gan", ["lsgan", "bce"])
@pytest.mark.parametrize("kind", ["replace", "concat"])
def test_the_judge_s_terms(gan: str, kind: str) -> None:
    """Half of each: the true picture to 1, the painted one to 0, beside the condition; no gradient to the painter."""
    method = made(gan=gan, gradient_penalty=0.0, input=kind)
    networks = players()
    terms = method.discriminator_loss(step_with(INPUTS, TARGET, networks))
    shown, painted, true = by_hand(method)
    real, fake = score(shown, true), score(shown, painted)
    expected = ((np.square(real - 1).mean() / 2, np.square(fake).mean() / 2) if gan == "lsgan" else
                (np.log1p(np.exp(-real)).mean() / 2, np.log1p(np.exp(fake)).mean() / 2))
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert [terms["real"].item(), terms["fake"].item()] == pytest.approx(expected, rel=1e-4)
    assert networks["discriminator"].calls[0][0].shape[1] == (4 if kind == "replace" else 5)


@pytest.mark.parametrize("gan", ["lsgan", "bce"])
def test_the_painter_s_terms(gan: str) -> None:
    """Half the square of its score less 1 (all of -log D), and `l1` times the mean difference in [-1, 1]."""
    method = made(gan=gan, l1=7.0)
    terms = method.generator_loss(step_with(INPUTS, TARGET, players()))
    shown, painted, true = by_hand(method)
    fake = score(shown, painted)
    adversarial = np.square(fake - 1).mean() / 2 if gan == "lsgan" else np.log1p(np.exp(-fake)).mean()
    assert set(terms) == {"adversarial", "l1"}
    assert terms["adversarial"].item() == pytest.approx(adversarial, rel=1e-4)
    assert terms["l1"].item() == pytest.approx(7 * np.abs(painted - true).mean(), rel=1e-4)
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_the_penalty_is_weighted_and_taken_between_the_true_and_the_painted_picture(
        monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(colour_translation, "gradient_penalty",
                        lambda *arguments: (taken.append(arguments), torch.tensor(0.3))[1])
    method, networks = made(gradient_penalty=4.0), players()
    terms = method.discriminator_loss(step_with(INPUTS, TARGET, networks))
    assert terms["penalty"].item() == pytest.approx(4 * 0.3)
    judge, shown, mixed = taken[0]
    condition, painted, true = by_hand(method)
    assert judge is networks["discriminator"]
    np.testing.assert_allclose(shown.numpy(), condition, atol=1e-6)
    shares = (mixed.detach().numpy() - painted) / (true - painted)
    for share in shares:
        sure = np.abs(true - painted)[0] > 0.2
        assert share[sure].std() < 1e-3 and 0 < share[sure].mean() < 1
    assert abs(shares[0, 0, 0, 0] - shares[1, 0, 0, 0]) > 1e-3  # each picture has its own
    assert not mixed.requires_grad


def test_the_penalty_of_a_judge_by_hand() -> None:
    """D = mean of a squared picture times a: the gradient is 2 a x / n, its norm over all values of a picture."""
    slope = torch.nn.Parameter(torch.tensor(50.0))
    judge = Calls(lambda pair: (slope * pair[:, 1:].square()).mean((1, 2, 3), keepdim=True).expand(-1, 1, 3, 3))
    shown, mixed = draw(2, 1, 4, 4), draw(2, 3, 4, 4, seed=3)
    penalty = gradient_penalty(judge, shown, mixed)
    norms = np.linalg.norm((2 * 50 * mixed / 48).flatten(1).numpy(), axis=1)
    assert penalty.item() == pytest.approx(np.square(norms - 1).mean(), rel=1e-4)
    assert torch.equal(judge.calls[0][0][:, :1], shown)


def test_one_forward_pass_a_step_and_who_moves_what() -> None:
    method, networks = made(gradient_penalty=0.0), players()
    [phase] = method.phases()
    step = step_with(INPUTS, TARGET, networks)
    for player in phase.players:
        player.loss(step)
    assert len(networks["generator"].calls) == 1
    assert [(player.name, player.networks) for player in phase.players] == [
        ("discriminator", ["discriminator"]), ("generator", ["generator"])]


def test_restore_by_hand() -> None:
    """The network's picture from [-1, 1] to [0, 1], and its own ab."""
    method, networks = made(), players()
    with torch.no_grad():
        output = method.restore(Model({"generator": Calls(lambda shown: networks["generator"](shown).tanh())}), INPUTS,
                                1)
    rgb = (np.tanh(by_hand(method)[1]) + 1) / 2
    np.testing.assert_allclose(output["rgb"].numpy(), rgb, atol=1e-5)
    np.testing.assert_allclose(output["ab"].numpy(), np.moveaxis(rgb2lab(np.moveaxis(rgb, 1, -1))[..., 1:], -1, 1),
                               atol=5e-2)


def test_the_recipe() -> None:
    method = made(lr=0.02, disc_lr=0.03, betas=[0.4, 0.9])
    networks = method.build()
    judge, painter = method.phases()[0].players
    for player, rate in ((judge, 0.03), (painter, 0.02)):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.4, 0.9))
        assert [player.schedule(step, 8) for step in (0, 4, 5, 7)] == [1, 1, 0.75, 0.25]
    paper = GaborPix2Pix.paper
    assert [paper[key] for key in ("size", "theta", "norm", "input", "gradient_penalty", "l1", "lr", "betas")] == [
        7, 0, "sum", "replace", 10.0, 100.0, 2e-4, [0.5, 0.999]]
    assert [made(levels=levels, patch=64).multiple for levels in (3, 5)] == [8, 32]
    norms = {penalty: {type(layer) for layer in made(gradient_penalty=penalty).build()["discriminator"].modules()}
             for penalty in (0.0, 1.0)}
    assert nn.BatchNorm2d in norms[0.0] - norms[1.0] and nn.InstanceNorm2d in norms[1.0] - norms[0.0]
    drops = [any(isinstance(layer, nn.Dropout) for layer in made(dropout=dropout).build()["generator"].modules())
             for dropout in (True, False)]
    assert drops == [True, False]
    assert networks["discriminator"](torch.zeros(1, 4, 16, 16)).shape == (1, 1, 2, 2)
    assert networks["generator"](torch.zeros(1, 1, 16, 16)).shape == (1, 3, 16, 16)
