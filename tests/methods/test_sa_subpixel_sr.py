"""sa_subpixel_sr: each loss term, the generator and the discriminator against what they are by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.super_resolution.sa_subpixel_sr import METHOD, Discriminator, Generator, ResidualBlock
from restore_ml.nn.self_attention import SelfAttention
from restore_ml.runs.merging import OWN, VGG16, merged
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.enlarging import method, paper

LR, TRUTH = {"lr": draw(2, 3, 4, 4), "scale": torch.tensor([4, 4])}, {"hr": draw(2, 3, 16, 16, seed=1)}
LIFT = torch.nn.Parameter(torch.tensor(0.25))


def enlarged() -> torch.Tensor:
    return LR["lr"].repeat_interleave(4, 2).repeat_interleave(4, 3) + 0.25


def players() -> dict[str, nn.Module]:
    """A generator that repeats pixels and adds 0.25, a judge that scores a picture by its mean and its first pixel."""
    generator = Calls(lambda lr: lr.repeat_interleave(4, 2).repeat_interleave(4, 3) + LIFT)
    return {"generator": generator, "discriminator": Calls(lambda x: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1])}


def score(pictures: torch.Tensor) -> np.ndarray:
    values = pictures.detach().double().numpy()
    return 3 * values.mean((1, 2, 3)) - values[:, 0, 0, 0]


class Features:
    source = "test-0"

    def __call__(self, pictures, taps=None, normalise=True):
        assert normalise and list(taps) == ["relu5_4"] and pictures.dtype == torch.float32
        return {"relu5_4": torch.stack([2 * pictures[:, 0], pictures[:, 1] - pictures[:, 2]], 1)}


def test_the_pixel_phase_minimises_the_squared_error():
    [player] = method("sa_subpixel_sr").phases()[0].players
    networks = players()
    terms = player.loss(step_with(LR, TRUTH, networks))
    assert list(terms) == ["mse"] and player.networks == ["generator"]
    error = np.square(enlarged().numpy() - TRUTH["hr"].numpy()).mean()
    assert terms["mse"].item() == pytest.approx(error, rel=1e-6)
    assert torch.equal(networks["generator"].calls[0][0], LR["lr"])


def test_the_judge_s_terms_by_hand():
    """-log D of the truth and -log (1 - D) of what the generator gives, which gets no gradient from them."""
    networks = players()
    terms = method("sa_subpixel_sr").discriminator_loss(step_with(LR, TRUTH, networks))
    probability = [1 / (1 + np.exp(-score(pictures))) for pictures in (TRUTH["hr"], enlarged())]
    assert set(terms) == {"real", "fake"}
    assert terms["real"].item() == pytest.approx(-np.log(probability[0]).mean(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(-np.log(1 - probability[1]).mean(), rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("weights", [(0.05, 2.0, 0.3), (1e-3, 1.0, 0.006)])
def test_the_generator_s_terms_by_hand(weights):
    """-log D of its own picture with its weight, the squared error with its, the squared error of features with its."""
    adversarial, pixel, perceptual = weights
    run = method("sa_subpixel_sr", adversarial_weight=adversarial, pixel_weight=pixel, perceptual_weight=perceptual)
    networks = players()
    terms = run.generator_loss(step_with(LR, TRUTH, networks, Features()))
    restored, truth = enlarged().double().numpy(), TRUTH["hr"].double().numpy()
    probability = 1 / (1 + np.exp(-score(enlarged())))
    features = [np.stack([2 * x[:, 0], x[:, 1] - x[:, 2]], 1) for x in (restored, truth)]
    assert set(terms) == {"adversarial", "mse", "perceptual@test-0"}
    assert terms["adversarial"].item() == pytest.approx(-adversarial * np.log(probability).mean(), rel=1e-5)
    assert terms["mse"].item() == pytest.approx(pixel * np.square(restored - truth).mean(), rel=1e-5)
    assert terms["perceptual@test-0"].item() == pytest.approx(
        perceptual * np.square(features[0] - features[1]).mean(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["mse"] == pytest.approx(pixel * 2 * (restored - truth).mean(), rel=1e-4)
    assert slopes["adversarial"] == pytest.approx(-adversarial * (2 * (1 - probability)).mean(), rel=1e-4)
    assert slopes["perceptual@test-0"] == pytest.approx(perceptual * 2 * (features[0] - features[1])[:, 0].mean(),
                                                        rel=1e-4)


def test_no_perceptual_term_without_features_or_weight():
    for run, features in ((method("sa_subpixel_sr"), None), (method("sa_subpixel_sr", perceptual_weight=0.0),
                                                             Features())):
        assert set(run.generator_loss(step_with(LR, TRUTH, players(), features))) == {"adversarial", "mse"}


def test_both_players_share_one_forward_pass():
    networks, [judge, generator] = players(), method("sa_subpixel_sr").phases()[1].players
    step = step_with(LR, TRUTH, networks)
    judge.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1
    assert [player.networks for player in (judge, generator)] == [["discriminator"], ["generator"]]
    assert [player.name for player in (judge, generator)] == ["discriminator", "generator"]
    assert generator.loss == method("sa_subpixel_sr").generator_loss.__func__.__get__(generator.loss.__self__)


def test_adam_has_srgan_s_rate_and_betas():
    networks = method("sa_subpixel_sr", lr=3e-4).build()
    for phase in method("sa_subpixel_sr", lr=3e-4).phases():
        for player in phase.players:
            optimiser = optimiser_of(player, networks)
            assert isinstance(optimiser, torch.optim.Adam)
            assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (3e-4, (0.9, 0.999))
    assert paper("sa_subpixel_sr").settings["lr"] == 1e-4


def test_restore_clips_what_the_generator_gives():
    model = Model({"generator": Calls(lambda lr: 3 * lr.repeat_interleave(4, 2).repeat_interleave(4, 3) - 1)})
    sr = paper("sa_subpixel_sr").restore(model, LR, 1)["sr"]
    np.testing.assert_allclose(sr.numpy(), np.clip(3 * np.kron(LR["lr"].numpy(), np.ones((4, 4))) - 1, 0, 1), atol=1e-6)


def test_the_generator_layer_by_layer():
    """Head, half the blocks, attention, the other half, attention, convolution and norm, the long skip, two sub-pixel
    layers, tail."""
    torch.manual_seed(1)
    net, x = Generator(4, 4, 8).eval(), draw(1, 3, 5, 6)
    kinds = [type(layer) for layer in net.body]
    assert kinds == [ResidualBlock] * 2 + [SelfAttention] + [ResidualBlock] * 2 + [SelfAttention, nn.Conv2d,
                                                                                 nn.BatchNorm2d]
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, SelfAttention):
                layer.gamma.fill_(0.5)
        first = functional.prelu(functional.conv2d(x, net.head[0].weight, net.head[0].bias, padding=4),
                                 net.head[1].weight)
        y = first
        for layer in net.body:
            y = layer(y)
        y = first + y
        for number in (0, 3):
            convolution, slope = net.up[number], net.up[number + 2].weight
            y = functional.prelu(functional.pixel_shuffle(functional.conv2d(y, convolution.weight, convolution.bias,
                                                                            padding=1), 2), slope)
        torch.testing.assert_close(net(x), functional.conv2d(y, net.tail.weight, net.tail.bias, padding=4))
        block = net.body[0]
        torch.testing.assert_close(block(first), first + block.body(first))
    assert [type(layer) for layer in block.body] == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d]


def test_the_discriminator_layer_by_layer():
    """SRGAN's: widths 1 1 2 2 4 4 8 8, every second of stride 2, a norm after all but the first, slopes of 0.2."""
    torch.manual_seed(1)
    net, x = Discriminator(32, 4, 16).eval(), draw(2, 3, 32, 32)
    convolutions = [layer for layer in net.net if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels // 4 for layer in convolutions] == [1, 1, 2, 2, 4, 4, 8, 8]
    assert [layer.stride[0] for layer in convolutions] == [1, 2] * 4
    kinds = [type(layer) for layer in net.net]
    assert kinds == [nn.Conv2d, nn.LeakyReLU] + [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 7 + [
        nn.Flatten, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert {layer.negative_slope for layer in net.net if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert net(x).shape == (2, 1) and net.net[-3].in_features == 32 * 2 * 2


@pytest.mark.parametrize(("scale", "share"), [(2, 5e-4), (4, 0.004), (8, 0.006)])
def test_the_start_as_interpolation_enlarges_as_bicubic_does(scale, share):
    """Against imresize, of which the network knows nothing: `share` of the deviation is left."""
    torch.manual_seed(3)
    net, x = Generator(scale, 2, 16).eval(), draw(1, 3, 19, 17)
    net.start_as_interpolation()
    rest = net.tail.weight[:, 3:].abs().max().item()
    assert 0 < rest < 0.01 / math.sqrt(16 * 81) * 1.01  # a hundredth of torch's bound
    inside = (..., slice(6 * scale, -6 * scale), slice(6 * scale, -6 * scale))  # beyond the border the layers see grey
    bicubic = imresize(x, float(scale))[inside]
    with torch.no_grad():
        near = net(x)[inside]
        net.tail.weight[:, 3:] = 0
        found = net(x)[inside]
    assert (found - bicubic).std() < share * bicubic.std()
    assert (near - bicubic).abs().max() < 0.02


def test_beyond_the_border_the_start_sees_the_middle_grey():
    net = Generator(4, 2, 16).eval()
    net.start_as_interpolation()
    with torch.no_grad():
        net.tail.weight[:, 3:] = 0
        grey = net(torch.full((1, 3, 6, 6), 0.45))
    torch.testing.assert_close(grey, torch.full_like(grey, 0.45))


def test_the_start_changes_no_shape_and_leaves_the_body_to_learn():
    networks = [method("sa_subpixel_sr", start=start).build()["generator"] for start in ("random", "interpolation")]
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in networks]
    assert shapes[0] == shapes[1]
    started = networks[1].train()
    started(draw(2, 3, 6, 6)).square().mean().backward()
    assert started.body[-1].weight.grad.abs().sum() > 0 and started.up[0].weight.grad.abs().sum() > 0
    assert networks[0].body[-1].weight.abs().sum() > 0 == started.body[-1].weight.abs().sum()


def test_the_reading_names_every_layer_that_the_perceptual_term_takes():
    """SRGAN's, after the ReLU, with VGG19's layers; VGG16 ends before."""
    file = Path(__file__).parents[2] / "graph/super_resolution/runs.yaml"
    entry = yaml.safe_load(file.read_text())["runs"]["sa_subpixel_sr"]
    own, published = ([(METHOD.paper | merged(entry, profile, "run", features))["perceptual_tap"]
                       for profile in ("quick", "cpu", "gpu", "paper")] for features in (OWN, VGG16))
    assert own == ["relu5_4"] * 4 and published == ["relu3_3", "relu3_3", "relu5_3", "relu5_3"]
    words = " ".join(METHOD.reading.split())
    assert "VGG19's layers those of relu5_4 as in SRGAN (after the ReLU)" in words
    assert "in VGG16's, which end before, of relu5_3 or, at the profiles quick and cpu, of relu3_3" in words
