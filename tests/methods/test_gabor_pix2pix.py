"""gabor_pix2pix: the card's counts, penalty and losses against their formulas, a real short training."""

import itertools
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.losses.gradient_penalty import gradient_penalty
from restore_ml.methods.colorization import gabor_pix2pix
from restore_ml.nn.gabor import DIRECTIONS, SIZES, gabor_kernel, normalise, texture
from tests.methods.colour_project import batch_of, context, count, error, make, scene, trained


def test_gabor_networks_have_pix2pix_s_parameters() -> None:
    with torch.device("meta"):
        paper = registry.method_class("colorization", "gabor_pix2pix")({}).build()
        assert count(paper["generator"]) == 54_411_907
        assert count(paper["discriminator"]) in (2_766_657, 2_765_761)  # instance normalisation with or without scale
        batch = make("gabor_pix2pix", disc_width=64, disc_layers=3, gradient_penalty=0.0).build()["discriminator"]
        assert count(batch) == 2_766_657 and any(isinstance(m, torch.nn.BatchNorm2d) for m in batch.modules())
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in paper["discriminator"].modules())
        assert paper["discriminator"](torch.empty(1, 4, 256, 256)).shape == (1, 1, 30, 30)
        small = make("gabor_pix2pix", patch=64, levels=6, width=16, dropout=False).build()["generator"]
        assert count(small) == 1_830_051
        both = registry.method_class("colorization", "gabor_pix2pix")({"input": "concat"}).build()
        # one channel more in each first convolution, 4 x 4 to 64
        assert [count(both[name]) - count(paper[name]) for name in ("generator", "discriminator")] == [1024, 1024]


def test_the_condition_is_the_texture_or_grey_and_texture() -> None:
    inputs, _ = batch_of(scene(1)[None])
    alone, both = (make("gabor_pix2pix", input=kind).condition(inputs["L"])  # type: ignore[attr-defined]
                   for kind in ("replace", "concat"))
    assert alone.shape == (1, 1, 48, 48) and both.shape == (1, 2, 48, 48) and torch.equal(both[:, 1:], alone)
    torch.testing.assert_close(both[:, :1], 2 * grey_from_lightness(inputs["L"]) - 1)
    flat = make("gabor_pix2pix").condition(torch.full((1, 1, 20, 20), 100.0))  # type: ignore[attr-defined]
    assert torch.allclose(flat, torch.tensor(2 * 2 / 3 - 1), atol=1e-4)  # the kernel's sum is 2/3


class Linear(torch.nn.Module):
    """Scores a picture by its product with a direction of the given norm; the condition counts nothing."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        direction = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
        self.direction = torch.nn.Parameter(norm * direction / direction.norm())

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture[:, 1:] * self.direction).sum((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


@pytest.mark.parametrize("norm", [1.0, 3.0, 0.25])
def test_the_penalty_of_a_linear_judge_is_known(norm: float) -> None:
    judge = Linear(norm)
    penalty = gradient_penalty(judge, torch.rand(2, 1, 6, 5), torch.rand(2, 3, 6, 5))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-6)
    penalty.backward()  # a second derivative: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    assert judge.direction.grad is not None
    assert judge.direction.grad.norm().item() == pytest.approx(2 * abs(norm - 1), abs=1e-5)


def test_the_penalty_is_of_float32_also_under_autocast() -> None:
    torch.manual_seed(0)
    judge = make("gabor_pix2pix").build()["discriminator"]
    shown, mixed = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32)
    plain = gradient_penalty(judge, shown, mixed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed_precision = gradient_penalty(judge, shown.bfloat16().float(), mixed)
    assert mixed_precision.dtype == torch.float32 and mixed_precision.item() == pytest.approx(plain.item(), rel=2e-2)
    plain.backward()
    assert all(torch.isfinite(p.grad).all() for p in judge.parameters() if p.grad is not None)


@pytest.mark.parametrize(("gan", "penalty"), [("lsgan", 10.0), ("lsgan", 0.0), ("bce", 0.0), ("bce", 10.0)])
def test_gabor_losses_follow_their_formulas_and_reach_one_player_each(gan: str, penalty: float) -> None:
    method = make("gabor_pix2pix", gan=gan, gradient_penalty=penalty)
    assert isinstance(method, gabor_pix2pix.GaborPix2Pix)
    torch.manual_seed(0)
    step = context(method, np.stack([scene(1)[:32, :32], scene(2)[:32, :32]]))
    terms = method.discriminator_loss(step)
    assert set(terms) == {"real", "fake"} | ({"penalty"} if penalty else set())
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in step.networks["generator"].parameters())
    step.networks["discriminator"].eval()
    generator = method.generator_loss(step)
    shown, made, true = method._pair(step)
    assert generator["l1"].item() == pytest.approx(100 * (made - true).abs().mean().item(), rel=1e-5)
    judged = step.networks["discriminator"](torch.cat([shown, made], 1))
    expected = ((judged - 1) ** 2).mean() / 2 if gan == "lsgan" else torch.nn.functional.softplus(-judged).mean()
    assert generator["adversarial"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_gabor_pix2pix_learns(project: Path) -> None:
    method, model, facts = trained(project, "gabor_pix2pix")
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
    assert set(facts["parameters"]) == {"generator", "discriminator"} and set(model.networks) == {"generator"}


@pytest.mark.parametrize("changes", [{"size": 8}, {"theta": 30}, {"input": "both"}, {"gan": "wgan"}, {"patch": 40}])
def test_gabor_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        make("gabor_pix2pix", **changes)


def test_all_24_kernels_give_a_training_step_with_either_norm() -> None:
    pictures = np.stack([scene(1)[:32, :32], scene(2)[:32, :32]])
    networks = make("gabor_pix2pix", width=4, disc_width=4).build()
    for size, theta in itertools.product(SIZES, DIRECTIONS):
        reference = cv2.getGaborKernel((size, size), 1.0, np.deg2rad(theta), np.pi / 2, 0.5, 0)
        for norm, divisor in (("sum", 1.5 * reference.sum()), ("l1", np.abs(reference).sum())):
            method = make("gabor_pix2pix", size=size, theta=theta, norm=norm, width=4, disc_width=4)
            assert isinstance(method, gabor_pix2pix.GaborPix2Pix)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                kernel = method.kernel
            saturates = norm == "sum" and abs(reference.sum()) < 0.1
            assert len(warned) == saturates == (norm == "sum" and theta in (45, 135))
            np.testing.assert_allclose(kernel.numpy(), reference / divisor, atol=1e-9 / abs(divisor))
            step = context(method, pictures, networks)
            terms = method.generator_loss(step) | method.discriminator_loss(step)
            assert all(torch.isfinite(term) for term in terms.values())


def test_recipe_s_norm_saturates_at_45_degrees_and_l1_does_not() -> None:
    """The card's figures on the camera picture: mean 86.0 and deviation 54.7 at 0 degrees; 307 and more at 45."""
    camera = data.camera().astype(np.float64)
    deviations = {}
    for theta in (0, 45):
        kernel = normalise(gabor_kernel(7, theta), "none").numpy()
        response = cv2.filter2D(camera, cv2.CV_64F, kernel / (1.5 * kernel.sum()), borderType=cv2.BORDER_REFLECT_101)
        deviations[theta] = response.std()
        if theta == 0:
            assert response.mean() == pytest.approx(86.0, abs=0.1)
    assert deviations[0] == pytest.approx(54.7, abs=0.1) and deviations[45] >= 306
    grey = torch.from_numpy(camera / 255)[None, None].float()
    with pytest.warns(UserWarning, match="saturates"):
        kernels = {norm: normalise(gabor_kernel(7, 45), norm) for norm in ("sum", "l1")}
    shares = {norm: float((texture(grey, kernel) >= 1).float().mean()) for norm, kernel in kernels.items()}
    assert shares["sum"] > 0.1 and shares["l1"] == 0
