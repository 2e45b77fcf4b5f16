"""l2_regression: the loss and the decoding by hand, the shared trunk, and what classes are there for."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.colorization.colorful_colorization import ColorfulColorization
from restore_ml.methods.colorization.l2_regression import L2Regression
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import count, error, trained

LIGHTNESS = {"L": 100 * draw(3, 1, 8, 12)}


def made(**settings) -> L2Regression:
    return L2Regression({"width": 4, "patch": 32, **settings})


def target() -> dict[str, torch.Tensor]:
    """Three pictures: one of strong colours, one whose largest |a| or |b| is just above 5, one just below."""
    ab = 120 * draw(3, 2, 8, 12, seed=2) - 60
    ab[1], ab[2] = ab[1].clamp(-4.9, 4.9), ab[2].clamp(-4.9, 4.9)
    ab[1, 1, 7, 3] = -5.1
    return {"ab": ab}


def test_the_network_is_the_classification_s_with_two_outputs() -> None:
    with torch.device("meta"):
        own, other = L2Regression({}).build()["colorizer"], ColorfulColorization({}).build()["colorizer"]
        assert count(own) == 32_235_385 - 311 * 257 and own(torch.empty(1, 1, 256, 256)).shape == (1, 2, 64, 64)
    assert str(own.trunk) == str(other.trunk)
    assert L2Regression.paper == {key: ColorfulColorization.paper[key] for key in L2Regression.paper}


def test_the_loss_by_hand() -> None:
    """Half the squares of ab / 110 at every fourth pixel, added over a picture; a grey picture adds nothing but counts.
    """
    network, truth = Calls(lambda lightness: lightness[:, :, ::4, ::4].repeat(1, 2, 1, 1) / 200), target()
    method = made()
    [player] = method.phases()[0].players
    terms = player.loss(step_with(LIGHTNESS, truth, {"colorizer": network}))
    wrong = LIGHTNESS["L"].numpy()[..., ::4, ::4] / 200 - truth["ab"].numpy()[..., ::4, ::4] / 110
    assert list(terms) == ["l2"]
    assert terms["l2"].item() == pytest.approx(0.5 * np.square(wrong[:2]).sum() / 3, rel=1e-5)
    assert len(network.calls) == 1 and torch.equal(network.calls[0][0], LIGHTNESS["L"])  # ab is not shown to it


def test_two_likely_colours_are_answered_by_their_mean() -> None:
    """The constant of least loss, where half the pictures are (60, 30) and half (0, -40), is (30, -5)."""
    colours = torch.tensor([[60.0, 30.0], [0.0, -40.0]]).view(2, 2, 1, 1).expand(2, 2, 8, 12)
    answer = torch.zeros(2, requires_grad=True)
    network = Calls(lambda lightness: answer.view(1, 2, 1, 1).expand(2, 2, 2, 3))
    terms = made().loss(step_with({"L": LIGHTNESS["L"][:2]}, {"ab": colours}, {"colorizer": network}))
    terms["l2"].backward()
    np.testing.assert_allclose(answer.grad.numpy(), [-6 * 30 / 110, 6 * 5 / 110], rtol=1e-5)  # 6 places


def test_the_regression_is_scaled_back_and_enlarged_bilinearly() -> None:
    small = draw(1, 2, 2, 3, seed=6) - 0.5
    ab = made().restore(Model({"colorizer": Calls(lambda lightness: small)}), LIGHTNESS, 1)["ab"][0].numpy()
    expected = [cv2.resize(channel, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
                for channel in 110 * small[0].numpy()]
    np.testing.assert_allclose(ab, expected, atol=1e-4)


def test_the_recipe() -> None:
    method = made(lr=0.02, weight_decay=0.03, betas=[0.8, 0.95], lr_drops={"5": 0.5, "8": 0.2})
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, method.build())
    assert isinstance(optimiser, torch.optim.Adam)
    assert [optimiser.defaults[key] for key in ("lr", "betas", "weight_decay")] == [0.02, (0.8, 0.95), 0.03]
    assert [player.schedule(step, 10) for step in (0, 4, 5, 7, 8, 9)] == [1, 1, 0.5, 0.5, 0.2, 0.2]


def test_it_learns(project: Path) -> None:
    method, model, _ = trained(project, "l2_regression")
    learned, grey = error(method, model)
    assert learned < 0.85 * grey


def test_the_crop_must_fit_the_strides() -> None:
    with pytest.raises(UserError, match="patch"):
        made(patch=30)
