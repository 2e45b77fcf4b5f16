import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.base.errors import UserError
from restore_ml.losses import adversarial, huber, perceptual, reconstruction, variation
from restore_ml.nn.features import FeatureNet


def scores(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(seed)).unbind()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_adversarial_terms_equal_their_formulas(seed: int) -> None:
    real, fake = scores(seed)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = {"bce": (bce(real, torch.ones_like(real)), bce(fake, torch.zeros_like(fake)),
                        bce(fake, torch.ones_like(fake))),
                "lsgan": (((real - 1) ** 2).mean(), (fake ** 2).mean(), ((fake - 1) ** 2).mean()),
                "hinge": ((1 - real).clamp(min=0).mean(), (1 + fake).clamp(min=0).mean(), -fake.mean())}
    for kind, (for_real, for_fake, for_generator) in expected.items():
        terms = adversarial.discriminator_terms(kind, real, fake)
        torch.testing.assert_close(terms["real"], for_real)
        torch.testing.assert_close(terms["fake"], for_fake)
        torch.testing.assert_close(adversarial.generator_term(kind, fake), for_generator)


def test_unknown_adversary_is_refused() -> None:
    with pytest.raises(UserError, match="wgan"):
        adversarial.generator_term("wgan", torch.zeros(1))
    with pytest.raises(UserError, match="wgan"):
        adversarial.discriminator_terms("wgan", torch.zeros(1), torch.zeros(1))


def test_relativistic_least_squares() -> None:
    real, fake = scores(3)
    judge = adversarial.relativistic_terms(real, fake)
    expected = (((real - fake.mean() - 1) ** 2).mean() + ((fake - real.mean() + 1) ** 2).mean()) / 2
    torch.testing.assert_close(judge["real"] + judge["fake"], expected)
    apart = adversarial.relativistic_terms(torch.ones(4), torch.zeros(4))
    assert float(apart["real"]) == 0 and float(apart["fake"]) == 0


def test_feature_matching_gives_no_gradient_to_the_real_maps() -> None:
    real, fake = (each.clone().requires_grad_() for each in scores(4))
    value = adversarial.feature_matching([real, real], [fake, fake])
    torch.testing.assert_close(value, 2 * (real - fake).abs().mean())
    value.backward()
    assert real.grad is None and fake.grad is not None


def test_variation_of_a_ramp_and_of_the_hole() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 6, 8)
    assert float(variation.anisotropic(ramp)) == pytest.approx(1)
    assert float(variation.isotropic(ramp, eps=1e-3)) == pytest.approx(np.sqrt(1 + 1e-6))
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., 2:4, 3:5] = 1  # widened: rows 1-4, columns 2-5: 4 rows x 3 pairs of difference 1
    assert float(variation.around_hole(ramp, mask)) == pytest.approx(12 / 48)
    assert float(variation.around_hole(ramp, torch.zeros_like(mask))) == 0
    tilted = ramp + 2 * torch.arange(6.0).view(1, 1, 6, 1)
    assert float(variation.anisotropic(tilted)) == pytest.approx(3)
    assert float(variation.isotropic(tilted)) == pytest.approx(np.sqrt(5 + 1e-6))
    assert float(variation.around_hole(tilted, mask)) == pytest.approx((12 + 2 * 12) / 48)


def test_masked_distances() -> None:
    x, target = torch.full((2, 3, 4, 4), 0.5), torch.zeros(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :1] = 1
    assert float(reconstruction.masked_l1(x, target, mask)) == pytest.approx(0.125)
    assert float(reconstruction.masked_mse(x, target, mask)) == pytest.approx(0.0625)
    assert float(reconstruction.charbonnier(x, x)) == pytest.approx(1e-3)


@pytest.mark.parametrize("size", [(16, 12), (15, 11)])
def test_laplacian_against_opencv(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(5).random(size, dtype=np.float32)
    kernel = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(x, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    kept = np.zeros_like(picture)
    kept[::2, ::2] = 4 * blur(picture)[::2, ::2]
    got = reconstruction.laplacian(torch.from_numpy(picture)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(got, picture - blur(kept), atol=1e-5)
    x = torch.from_numpy(picture)[None, None]
    assert float(reconstruction.edge_loss(x, x)) == pytest.approx(1e-3)


def test_gram_and_content_by_hand() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 4, 5)
    expected = torch.einsum("nchw,ndhw->ncd", maps, maps) / 60
    torch.testing.assert_close(perceptual.gram(maps), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(perceptual.gram(maps), expected)
    other = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(perceptual.style({"a": maps}, {"a": other}),
                               (perceptual.gram(maps) - perceptual.gram(other)).abs().mean())
    weighted = perceptual.content({"a": maps, "b": maps}, {"a": other, "b": other}, {"a": 2.0, "b": 0.5})
    torch.testing.assert_close(weighted, 2.5 * (maps - other).abs().mean())


def test_terms_name_their_features_and_send_gradients_to_the_picture() -> None:
    torch.manual_seed(0)
    network = FeatureNet(2, "minivgg-01234567").requires_grad_(False)
    assert perceptual.term_name("style", network) == "style@minivgg-01234567"
    x, target = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(1, 3, 16, 16)
    taps = ("relu1_2", "relu3_3")
    maps, wanted = (perceptual.taps_of(network, each, taps) for each in (x, target))
    (perceptual.content(maps, wanted) + perceptual.style(maps, wanted)).backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    same = perceptual.taps_of(network, target, taps)
    assert float(perceptual.content(same, wanted)) == 0 and float(perceptual.style(same, wanted)) == 0


def test_targets_get_no_gradient_and_the_normalisation_is_handed_on() -> None:
    torch.manual_seed(0)
    maps, target = (torch.rand(2, 3, 4, 5, requires_grad=True) for _ in range(2))
    for distance in (perceptual.content, perceptual.style):
        distance({"a": maps}, {"a": target}).backward()
    assert maps.grad is not None and target.grad is None
    network, x = FeatureNet(2).requires_grad_(False), torch.rand(1, 3, 16, 16)
    for flag in (True, False):
        torch.testing.assert_close(perceptual.taps_of(network, x, ["relu1_2"], normalise=flag),
                                   network(x, ["relu1_2"], flag))
    assert not torch.allclose(network(x, ["relu1_2"], True)["relu1_2"], network(x, ["relu1_2"], False)["relu1_2"])


def test_huber_is_quadratic_below_the_bend_and_sums_over_channels() -> None:
    difference = torch.tensor([[0.0, 0.1, 0.2, 1.0], [-0.1, -0.3, 0.0, -2.0]]).view(1, 2, 2, 2)
    # 0.01 / 0.4 = 0.025 below the bend of 0.2, |d| - 0.1 from it on
    expected = ((0 + 0.025) + (0.025 + 0.2) + (0.1 + 0) + (0.9 + 1.9)) / 4
    assert huber.huber(difference + 3, torch.full_like(difference, 3.0), 0.2).item() == pytest.approx(expected)
