"""The autoencoder of colours: sizes, the order of its layers, its loss against values by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.ab_classes import class_centres, smoothed_prior
from restore_ml.nn.colour_vae import (
    ColourDecoder,
    ColourEncoder,
    GreyEncoder,
    at_side,
    class_rarity,
    colour_terms,
    divergence,
    drawn_z,
    scaled_lightness,
    small_start,
)
from tests.methods.by_hand import draw


def stirred(network: nn.Module) -> nn.Module:
    """Evaluation mode, every parameter and statistic its own."""
    for place, tensor in enumerate([*network.parameters(), *network.buffers()]):
        if tensor.is_floating_point():
            tensor.data.copy_(0.05 + 0.3 * draw(*tensor.shape, seed=place))
    return network.eval()


def test_parameters_at_paper_size() -> None:
    with torch.device("meta"):
        made = [ColourEncoder(), GreyEncoder(), ColourDecoder()]
    assert [sum(one.numel() for one in network.parameters()) for network in made] == [14_594_048, 4_626_368, 26_865_542]


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    mean, variance, gain, shift = (value.view(1, -1, 1, 1) for value in (norm.running_mean, norm.running_var,
                                                                         norm.weight, norm.bias))
    return (x - mean) / (variance + 1e-4).sqrt() * gain + shift


def test_the_encoders_are_four_strided_convolutions_with_the_normalisation_behind_the_relu() -> None:
    encoder, grey = stirred(ColourEncoder(2, 3)), stirred(GreyEncoder(2, 3))
    for network, given in ((encoder, draw(2, 2, 64, 64) - 0.5), (grey, draw(2, 1, 64, 64) - 0.5)):
        maps, x = [], given
        for number, layer in enumerate(network.layers):
            convolution, _, norm = layer
            wide = 4 if number == 3 else 5
            assert convolution.kernel_size == (wide, wide)
            x = normalised(F.conv2d(x, convolution.weight, convolution.bias, 2, (wide - 1) // 2).relu(), norm)
            maps.append(x)
        assert [one.shape[1:] for one in maps[:3]] == [(2, 32, 32), (4, 16, 16), (8, 8, 8)]
        if network is grey:
            assert maps[3].shape[1:] == (3, 4, 4)
            for one, other in zip(grey(given), maps, strict=True):
                torch.testing.assert_close(one, other)
        else:
            assert maps[3].shape[1:] == (16, 4, 4)
            told = encoder.head(maps[3].flatten(1))
            torch.testing.assert_close(torch.cat(encoder(given), 1), told)
            assert encoder(given)[0].shape == (2, 3)


def test_the_encoder_drops_three_features_in_ten_in_training_alone() -> None:
    encoder = stirred(ColourEncoder(2, 3))
    nn.init.constant_(encoder.layers[3][2].weight, 0.0)
    nn.init.constant_(encoder.layers[3][2].bias, 1.0)
    nn.init.constant_(encoder.head.weight, 1.0)
    nn.init.constant_(encoder.head.bias, 0.0)
    ab = draw(64, 2, 64, 64)
    assert (encoder(ab)[0] == 256).all()
    encoder.train()
    for layer in encoder.layers:
        layer[2].eval()
    torch.manual_seed(0)
    kept = encoder(ab)[0][:, 0] * 0.7  # as many of 256 as are left, each of them enlarged by 1 / 0.7
    assert (kept - kept.round()).abs().max() < 0.01 and 0.68 < kept.mean() / 256 < 0.72 and kept.std() > 2
    assert (encoder(ab, dropped=False)[0] == 256).all()


def test_the_decoder_layer_by_layer() -> None:
    decoder = stirred(ColourDecoder(2, 3))
    maps = (draw(2, 2, 32, 32), draw(2, 4, 16, 16, seed=1), draw(2, 8, 8, 8, seed=2), draw(2, 3, 4, 4, seed=3))
    z = draw(2, 3, seed=4) - 0.5
    _, convolution, _, norm = decoder.first
    assert convolution.kernel_size == (4, 4)
    x = F.pad(z[:, :, None, None] * maps[3], (1, 2, 1, 2))
    x = normalised(F.conv2d(x, convolution.weight, convolution.bias).relu(), norm)
    for layer, known in zip(decoder.layers, (maps[2], maps[1], maps[0]), strict=True):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = F.conv2d(torch.cat([x, known], 1), layer[0].weight, layer[0].bias, padding=2).relu()
        x = normalised(x, layer[2])
    torch.testing.assert_close(decoder.trunk(z, maps), x)
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = F.conv2d(x, decoder.last[0].weight, decoder.last[0].bias, padding=2)
    torch.testing.assert_close(decoder(z, maps), normalised(x, decoder.last[1]).tanh())


def test_pictures_at_the_side_of_the_networks() -> None:
    picture = draw(1, 2, 64, 64)
    assert at_side(picture) is picture
    board = (torch.arange(128)[:, None] + torch.arange(128)).remainder(2).float()[None, None]
    assert (at_side(board)[..., 4:-4, 4:-4] - 0.5).abs().max() < 0.01  # smoothed, not picked
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    large = at_side(ramp, (64, 96))
    assert large.shape == (1, 1, 64, 96) and torch.allclose(large[0, 0, 5, 1:5], torch.tensor([0.0, 1 / 3, 2 / 3, 1]))


def test_scales() -> None:
    assert scaled_lightness(torch.tensor([0.0, 50.0, 100.0])).tolist() == pytest.approx([-1, -0.5 / 128, 127 / 128])
    z = drawn_z(torch.tensor([[1.0, -1.0]]), torch.tensor([[math.log(4.0), 0.0]]), torch.tensor([[0.5, 2.0]]))
    assert z.tolist()[0] == pytest.approx([2.0, 1.0])


def test_rarity_is_the_inverse_of_the_smoothed_frequency() -> None:
    counts = np.zeros(313)
    counts[120], counts[239] = 900, 100  # grey, and (60, 30)
    prior = np.maximum(smoothed_prior(counts), 1e-6)
    prior /= prior.sum()
    rarity = class_rarity(counts)
    assert rarity.dtype == np.float32 and rarity.shape == (313,)
    np.testing.assert_allclose(rarity, 1 / prior, rtol=1e-5)
    assert rarity[239] / rarity[120] == pytest.approx(9, rel=1e-3) and rarity.max() < 1.001e6 * 1.001
    assert float((rarity * prior).sum()) == pytest.approx(313, rel=1e-5)
    mixed = class_rarity(counts, mix=0.5)
    assert float((mixed * prior).sum()) == pytest.approx(313, rel=1e-5) and mixed.max() < rarity.max()
    np.testing.assert_allclose(class_rarity(counts, mix=1.0), 313, rtol=1e-5)
    assert class_rarity(counts, sigma=20.0)[120] > 2 * rarity[120]  # spread over more classes


def test_colour_terms_by_hand() -> None:
    rarity = torch.ones(313)
    centres = {tuple(map(int, centre)): number for number, centre in enumerate(class_centres())}
    rarity[centres[60, 30]] = 4.0
    truth = torch.zeros(2, 2, 2, 3)
    truth[0, :, 0, 0] = torch.tensor([60.0, 30.0]) / 128
    made = truth.clone()
    made[0, :, 0, 0] += torch.tensor([0.3, -0.4])
    made[0, 0, 1, 2] += 0.1  # a corner, which no pair of neighbours holds
    made[1, 1, 0, 1] -= 0.2
    made = made.requires_grad_(True)
    terms = colour_terms(made, truth, rarity)
    assert set(terms) == {"colour", "edges"}
    assert terms["colour"].item() == pytest.approx((math.sqrt(4 * 0.25 + 0.01) + 0.2) / 2, rel=1e-5)
    # neighbours are looked at from all but the last row and column: (0, 0) and (0, 1)
    first = 2 * 0.25
    second = 0.04 * 3  # (0, 1) down and across, and (0, 0) across
    assert terms["edges"].item() == pytest.approx(1e-3 * (math.sqrt(first) + math.sqrt(second)) / 2, rel=1e-4)
    same = colour_terms(truth.requires_grad_(True), truth.detach(), rarity)
    assert sum(term.item() for term in same.values()) < 1e-5
    sum(same.values(), torch.zeros(())).backward()
    assert truth.grad is not None and torch.isfinite(truth.grad).all()


def test_the_divergence_is_summed_over_the_batch() -> None:
    assert divergence(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)], [0.0, -1.0]])
    expected = 0.5 * 1 + 0.5 * (4 - math.log(4) - 1) + 0.5 * (math.exp(-1) + 1 - 1)
    assert divergence(mean, log_variance).item() == pytest.approx(expected, rel=1e-6)


def test_the_first_weights_of_the_release() -> None:
    torch.manual_seed(0)
    network = ColourEncoder(8, 4)
    small_start(network)
    assert network.layers[2][0].weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert network.head.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert abs(network.head.weight.mean().item()) < 1e-4
    assert (network.head.bias == 0.001).all() and (network.layers[0][0].bias == 0.001).all()
    assert (network.layers[0][2].weight == 1).all() and (network.layers[0][2].bias == 0).all()
