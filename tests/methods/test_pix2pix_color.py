"""pix2pix_color: the card's counts, both players' terms in either space, restoring, recipe, a short training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.colorization.pix2pix_color import Pix2PixColor
from restore_ml.nn import colour_translation
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import PIX2PIX, batch_of, count, error, trained

SMALL = {"levels": 3, "width": 4, "disc_width": 4, "disc_layers": 2, "patch": 16, "dropout": False}
INPUTS = {"L": 30 + 40 * draw(2, 1, 16, 16)}
TARGET = {"ab": 200 * draw(2, 2, 16, 16, seed=2) - 100, "rgb": draw(2, 3, 16, 16, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> Pix2PixColor:
    return Pix2PixColor({**SMALL, **settings})


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        lab, rgb = Pix2PixColor({}).build(), Pix2PixColor({"space": "rgb"}).build()
        small = Pix2PixColor({"levels": 6, "width": 16, "disc_width": 16, "disc_layers": 2, "patch": 64}).build()
        assert lab["discriminator"](torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)
        assert lab["generator"](torch.empty(1, 1, 256, 256)).shape == (1, 2, 256, 256)
    assert [count(network) for network in lab.values()] == [54_409_858, 2_765_633]
    assert [count(network) for network in rgb.values()] == [54_411_907, 2_766_657]
    assert [count(network) for network in small.values()] == [1_829_538, 42_961]


def players(colours: int) -> dict[str, nn.Module]:
    """A painter that scales what it is shown, and a judge that scores patches of the product of condition and first
    colour, less the second."""
    scales = torch.tensor([0.5, -0.3, 0.8])[:colours].view(-1, 1, 1)
    judge = Calls(lambda pair: (pair[:, :1] * pair[:, 1:2] - pair[:, 2:3]).unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)))
    return {"generator": Calls(lambda shown: shown * scales + LIFT), "discriminator": judge}


def by_hand(space: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is shown, the painter's colours and the true ones, in [-1, 1]."""
    lightness = INPUTS["L"].double().numpy()
    if space == "lab":
        shown, true = lightness / 50 - 1, TARGET["ab"].double().numpy() / 110
    else:  # the grey whose lightness it is, by the inverse of rgb2lab: L = 116 cbrt(Y) - 16, then sRGB's encoding
        luminance = ((lightness + 16) / 116) ** 3
        shown = 2 * (1.055 * luminance ** (1 / 2.4) - 0.055) - 1
        true = 2 * TARGET["rgb"].double().numpy() - 1
    scales = np.array([0.5, -0.3, 0.8])[:true.shape[1], None, None]
    return shown, shown * scales + 0.1, true


def score(shown: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return (shown[:, 0] * colours[:, 0] - colours[:, 1]).reshape(2, 2, 8, 2, 8).mean((2, 4))


@pytest.mark.parametrize("gan", ["bce", "lsgan"])
@pytest.mark.parametrize(("space", "colours"), [("lab", 2), ("rgb", 3)])
def test_the_judge_s_terms(space: str, colours: int, gan: str) -> None:
    """Half of each: true colours to 1, painted ones to 0, beside the condition; no gradient to the painter."""
    networks = players(colours)
    terms = made(space=space, gan=gan).discriminator_loss(step_with(INPUTS, TARGET, networks))
    shown, painted, true = by_hand(space)
    real, fake = score(shown, true), score(shown, painted)
    expected = ((np.log1p(np.exp(-real)).mean() / 2, np.log1p(np.exp(fake)).mean() / 2) if gan == "bce" else
                (np.square(real - 1).mean() / 2, np.square(fake).mean() / 2))
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert [terms["real"].item(), terms["fake"].item()] == pytest.approx(expected, rel=1e-4)
    assert networks["discriminator"].calls[0][0].shape[1] == 1 + colours  # type: ignore[union-attr,index]


@pytest.mark.parametrize("gan", ["bce", "lsgan"])
@pytest.mark.parametrize(("space", "colours"), [("lab", 2), ("rgb", 3)])
def test_the_painter_s_terms(space: str, colours: int, gan: str) -> None:
    """All of -log D (half the square of its score less 1), and `l1` times the mean difference in [-1, 1]."""
    terms = made(space=space, gan=gan, l1=7.0).generator_loss(step_with(INPUTS, TARGET, players(colours)))
    shown, painted, true = by_hand(space)
    fake = score(shown, painted)
    adversarial = np.log1p(np.exp(-fake)).mean() if gan == "bce" else np.square(fake - 1).mean() / 2
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"adversarial": adversarial, "l1": 7 * np.abs(painted - true).mean()}, rel=1e-4)
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_the_penalty_is_weighted_and_taken_between_true_and_painted_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(colour_translation, "gradient_penalty",
                        lambda *arguments: (taken.append(arguments), torch.tensor(0.3))[1])
    networks = players(2)
    terms = made(gradient_penalty=4.0).discriminator_loss(step_with(INPUTS, TARGET, networks))
    assert terms["penalty"].item() == pytest.approx(4 * 0.3)
    [(judge, condition, mixed)] = taken
    shown, painted, true = by_hand("lab")
    assert judge is networks["discriminator"] and not mixed.requires_grad
    np.testing.assert_allclose(condition.numpy(), shown, atol=1e-6)
    shares, sure = (mixed.numpy() - painted) / (true - painted), np.abs(true - painted) > 0.2
    assert all(share[fits].std() < 1e-3 and 0 < share[fits].mean() < 1
               for share, fits in zip(shares, sure, strict=True))
    assert abs(shares[0][sure[0]].mean() - shares[1][sure[1]].mean()) > 1e-3  # each picture has its own


def test_the_colours_are_within_the_network_s_range() -> None:
    """All corners of RGB: |ab| / 110 is at most 0.981, so tanh reaches every colour."""
    corners = np.array([[[[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]]], np.uint8)
    inputs, target = batch_of(corners)
    _, _, true = made()._pair(step_with(inputs, target, players(2)))
    assert true.abs().max().item() == pytest.approx(0.9805, abs=1e-3)
    shown = made().condition(torch.tensor([0.0, 50.0, 100.0]).view(3, 1, 1, 1))
    assert shown.flatten().tolist() == [-1, 0, 1]


def test_one_forward_pass_a_step_and_who_moves_what() -> None:
    method, networks = made(steps=9), players(2)
    [phase] = method.phases()
    assert phase.steps == 9
    step = step_with(INPUTS, TARGET, networks)
    for player in phase.players:
        player.loss(step)
    assert len(networks["generator"].calls) == 1  # type: ignore[arg-type]
    assert [(player.name, player.networks) for player in phase.players] == [
        ("discriminator", ["discriminator"]), ("generator", ["generator"])]
    assert method.stored_networks == ("generator",)


def test_restore_by_hand() -> None:
    """ab in Lab's units; or the network's picture from [-1, 1] to [0, 1], and its own ab."""
    outputs = {}
    for space, colours in (("lab", 2), ("rgb", 3)):
        network = players(colours)["generator"]
        with torch.no_grad():
            outputs[space] = made(space=space).restore(Model({"generator": network}), INPUTS, 1)
    assert set(outputs["lab"]) == {"ab"} and set(outputs["rgb"]) == {"ab", "rgb"}
    np.testing.assert_allclose(outputs["lab"]["ab"].numpy(), 110 * by_hand("lab")[1], atol=1e-4)
    rgb = (by_hand("rgb")[1] + 1) / 2
    np.testing.assert_allclose(outputs["rgb"]["rgb"].numpy(), rgb, atol=1e-5)
    np.testing.assert_allclose(outputs["rgb"]["ab"].numpy(),
                               np.moveaxis(rgb2lab(np.moveaxis(rgb, 1, -1))[..., 1:], -1, 1), atol=5e-2)


def test_the_recipe() -> None:
    method = made(lr=0.02, disc_lr=0.03, betas=[0.4, 0.9])
    networks = method.build()
    judge, painter = method.phases()[0].players
    for player, rate in ((judge, 0.03), (painter, 0.02)):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.4, 0.9))
        assert [player.schedule(step, 8) for step in (0, 4, 5, 7)] == [1, 1, 0.75, 0.25]
    assert [Pix2PixColor.paper[key] for key in ("space", "gan", "gradient_penalty", "l1", "lr", "betas", "batch")] == [
        "lab", "bce", 0.0, 100.0, 2e-4, [0.5, 0.999], 1]
    assert Pix2PixColor.paper.items() >= PIX2PIX.items()
    assert [made(levels=levels, patch=64).multiple for levels in (3, 5)] == [8, 32]
    norms = {penalty: {type(layer) for layer in made(gradient_penalty=penalty).build()["discriminator"].modules()}
             for penalty in (0.0, 1.0)}
    assert nn.BatchNorm2d in norms[0.0] - norms[1.0] and nn.InstanceNorm2d in norms[1.0] - norms[0.0]
    drops = [any(isinstance(layer, nn.Dropout) for layer in made(dropout=dropout).build()["generator"].modules())
             for dropout in (True, False)]
    assert drops == [True, False]
    assert networks["discriminator"](torch.zeros(1, 3, 16, 16)).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("changes", [{"space": "yuv"}, {"gan": "wgan"}, {"patch": 20}])
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        made(**changes)


@pytest.mark.parametrize("space", ["lab", "rgb"])
def test_it_learns(project: Path, space: str) -> None:
    method, model, facts = trained(project, "pix2pix_color", space=space)
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
    assert set(facts["parameters"]) == {"generator", "discriminator"} and set(model.networks) == {"generator"}
    flat = np.full((1, 1, 48, 48), 60, np.float32)
    assert model.networks["generator"](method.condition(torch.from_numpy(flat))).abs().max() <= 1  # type: ignore[attr-defined]
