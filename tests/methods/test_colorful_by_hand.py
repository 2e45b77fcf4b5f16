"""colorful_colorization: its loss, the network's parts, decoding and recipe against values by hand."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.method import Model
from restore_ml.methods.colorization.colorful_colorization import ColorfulColorization
from restore_ml.nn.ab_classes import class_centres
from restore_ml.nn.colorful_network import ColorfulNet
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

LIGHTNESS = {"L": 100 * draw(3, 1, 8, 12)}


def target() -> dict[str, torch.Tensor]:
    """Three pictures: one of strong colours, one whose largest |a| or |b| is just above 5, one just below."""
    ab = 120 * draw(3, 2, 8, 12, seed=2) - 60
    ab[1], ab[2] = ab[1].clamp(-4.9, 4.9), ab[2].clamp(-4.9, 4.9)
    ab[1, 1, 7, 3] = -5.1
    return {"ab": ab}


def made(**settings) -> ColorfulColorization:
    return ColorfulColorization({"width": 4, "patch": 32, **settings})


def test_the_classes_loss_by_hand() -> None:
    """Cross-entropy with the soft truth times its nearest class's weight; a grey picture adds nothing but counts."""
    logits, weights, truth = 3 * draw(3, 313, 2, 3, seed=4), draw(313, seed=5).numpy(), target()
    method = made(neighbours=3, sigma=8.0)
    method.constants = {"class_weights": weights}
    network = Calls(lambda lightness: logits)
    terms = method.loss(step_with(LIGHTNESS, truth, {"colorizer": network}))
    assert len(network.calls) == 1 and torch.equal(network.calls[0][0], LIGHTNESS["L"])  # ab is not shown to it
    total = 0.0
    for n, y, x in np.ndindex(2, 2, 3):
        squared = np.square(class_centres() - truth["ab"][n, :, 4 * y, 4 * x].numpy()).sum(1)
        nearest = np.argsort(squared, kind="stable")[:3]
        share = np.exp(-squared[nearest] / (2 * 64))
        values = logits[n, :, y, x].double().numpy()
        log_p = values - np.log(np.exp(values).sum())
        total -= weights[nearest[0]] * (share / share.sum() * log_p[nearest]).sum()
    assert list(terms) == ["classes"] and terms["classes"].item() == pytest.approx(total / (3 * 2 * 3), rel=1e-4)


def test_the_network_block_by_block() -> None:
    """(L - 50) / 100; ReLU after each convolution, batch normalisation after the last ReLU of conv1 to conv7."""
    torch.manual_seed(0)
    net = ColorfulNet(4, 5).eval()
    convolutions = [layer for layer in net.trunk if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == [1, 2, 1, 2, 1, 1, 2, *[1] * 14]
    assert [layer.dilation[0] for layer in convolutions] == [*[1] * 10, *[2] * 6, *[1] * 5]
    assert [layer.out_channels for layer in convolutions] == [4, 4, 8, 8, *[16] * 3, *[32] * 12, 16, 16]
    kinds = "".join({nn.Conv2d: "c", nn.ReLU: "r", nn.BatchNorm2d: "n", nn.ConvTranspose2d: "t"}[type(layer)]
                    for layer in net.trunk)
    assert kinds == "crcrn" * 2 + "crcrcrn" * 5 + "trcrcr"
    with torch.no_grad():
        lightness = 100 * draw(1, 1, 64, 48)
        x = net.trunk((lightness - 50) / 100)
        assert x.abs().mean() > 1e-3
        torch.testing.assert_close(net(lightness), functional.conv2d(x, net.head.weight, net.head.bias))
    up = next(layer for layer in net.trunk if isinstance(layer, nn.ConvTranspose2d))
    assert (up.kernel_size, up.stride, up.padding, up.out_channels) == ((4, 4), (2, 2), (1, 1), 16)
    first = net.trunk[0]
    assert first.weight.std().item() == pytest.approx(np.sqrt(2 / 9), rel=0.35) and (first.bias == 0).all()


def enlarged(small: np.ndarray) -> np.ndarray:
    """2 x h x w to four times the size by OpenCV's bilinear interpolation."""
    return np.stack([cv2.resize(channel, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR) for channel in small])


def test_decoding_takes_the_paper_s_temperature_and_enlarges_bilinearly() -> None:
    """p = .5, .3, .2 at (60, 30), (10, -60), (0, 0): the annealed mean of T = .38 is (46.3611, 10.6310)."""
    logits = torch.full((1, 313, 2, 3), -1e4)
    for colour, share in (((60, 30), 0.5), ((10, -60), 0.3), ((0, 0), 0.2)):
        logits[:, (class_centres() == colour).all(1).nonzero()[0]] = float(np.log(share))
    logits[:, :, 1, 2] = -1e4
    logits[:, 120, 1, 2] = 0.0  # grey in one corner
    method = made()
    ab = method.restore(Model({"colorizer": Calls(lambda lightness: logits)}), LIGHTNESS, 1)["ab"][0].numpy()
    small = np.tile(np.array([46.3611, 10.6310]).reshape(2, 1, 1), (1, 2, 3))
    small[:, 1, 2] = 0
    np.testing.assert_allclose(ab, enlarged(small), atol=1e-3)
    hot = made(temperature=1.0).restore(Model({"colorizer": Calls(lambda lightness: logits)}), LIGHTNESS, 1)["ab"]
    np.testing.assert_allclose(hot[0, :, 0, 0].numpy(), (33, -3), atol=1e-3)


def test_the_recipe() -> None:
    method = made(lr=0.02, weight_decay=0.03, betas=[0.8, 0.95], lr_drops={"5": 0.5, "8": 0.2})
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, method.build())
    assert isinstance(optimiser, torch.optim.Adam)
    assert [optimiser.defaults[key] for key in ("lr", "betas", "weight_decay")] == [0.02, (0.8, 0.95), 0.03]
    assert [player.schedule(step, 10) for step in (0, 4, 5, 7, 8, 9)] == [1, 1, 0.5, 0.5, 0.2, 0.2]
    paper = ColorfulColorization.paper
    assert [paper[key] for key in ("lr", "betas", "weight_decay", "batch", "patch", "temperature", "mix", "sigma")] == [
        3e-5, [0.9, 0.99], 1e-3, 40, 176, 0.38, 0.5, 5.0]
    assert made().build()["colorizer"].head.out_channels == 313


@pytest.mark.parametrize(("mix", "sigma"), [(0.5, 5.0), (0.2, 9.0)])
def test_the_weights_by_hand(material: Material, mix: float, sigma: float) -> None:
    """Frequencies of nearest classes in the split, smoothed by a Gaussian, then 1 / ((1 - mix) p + mix / 313)."""
    constants = made(mix=mix, sigma=sigma).prepare(material, 1)
    counts = material.pool("ab_histogram").find("ab_histogram").arrays["counts"]
    centres, frequency = class_centres().astype(float), np.zeros(313)
    for row, column in zip(*np.nonzero(counts), strict=True):
        for da in (-0.25, 0.25):  # a bin's quarters: a colour between two classes counts half for each
            for db in (-0.25, 0.25):
                squared = np.square(centres - (row - 110 + da, column - 110 + db)).sum(1)
                frequency[squared.argmin()] += counts[row, column] / 4
    squared = np.square(centres[:, None] - centres).sum(-1)
    prior = np.exp(-squared / (2 * sigma**2)) @ frequency
    prior /= prior.sum()
    weights = 1 / ((1 - mix) * prior + mix / 313)
    np.testing.assert_allclose(constants["prior"], prior, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(constants["class_weights"], weights / (prior * weights).sum(), rtol=1e-5)
    flat = made(mix=mix, sigma=sigma, rebalance=False).prepare(material, 1)
    assert (flat["class_weights"] == 1).all() and np.array_equal(flat["prior"], constants["prior"])
    assert constants["prior"].dtype == constants["class_weights"].dtype == np.float32
