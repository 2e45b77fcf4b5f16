"""The Haar packet against sums and differences of neighbours, written out one split at a time."""

import numpy as np
import pytest
import torch

from restore_ml.nn.haar_packet import HaarPacket, haar_kernels

PICTURES = torch.rand((2, 3, 16, 24), generator=torch.Generator().manual_seed(0))


def split(maps: list[np.ndarray]) -> list[np.ndarray]:
    """Each N x H x W map once: mean, detail across, down and both, all halved sums of four."""
    made = []
    for x in maps:
        a, b, c, d = x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]
        made += [(a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2]
    return made


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_bands_are_those_of_one_split_after_the_other(levels):
    """The first digit is the first split, and a band's colours stand together."""
    packet = HaarPacket(levels)
    expected = np.empty((2, 3, 4**levels, 16 // 2**levels, 24 // 2**levels))
    for colour in range(3):
        maps = [PICTURES[:, colour].double().numpy()]
        for _ in range(levels):
            maps = split(maps)
        expected[:, colour] = np.stack(maps, 1)
    bands = packet(PICTURES).numpy().reshape(2, 4**levels, 3, *expected.shape[3:])
    np.testing.assert_allclose(bands, expected.swapaxes(1, 2), atol=1e-5)


@pytest.mark.parametrize("levels", [1, 3])
def test_the_inverse_gives_the_picture_back_and_squares_keep_their_sum(levels):
    packet = HaarPacket(levels)
    coefficients = packet(PICTURES)
    np.testing.assert_allclose(packet.inverse(coefficients), PICTURES, atol=1e-5)
    assert coefficients.square().sum().item() == pytest.approx(PICTURES.square().sum().item(), rel=1e-5)
    other = torch.rand(coefficients.shape, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(packet(packet.inverse(other)), other, atol=1e-5)


def test_a_constant_lies_in_the_first_band():
    coefficients = HaarPacket(3)(torch.full((1, 3, 16, 16), 0.3))
    np.testing.assert_allclose(coefficients[:, :3], 8 * 0.3, atol=1e-6)
    np.testing.assert_allclose(coefficients[:, 3:], 0, atol=1e-6)


def test_the_first_bands_are_the_packet_of_the_smaller_picture():
    smaller = PICTURES.reshape(2, 3, 4, 4, 6, 4).sum((3, 5)) / 4
    np.testing.assert_allclose(HaarPacket(3)(PICTURES)[:, :12], HaarPacket(1)(smaller), atol=1e-5)


def test_kernels_are_orthonormal_and_nothing_is_trained_or_stored():
    kernels = haar_kernels(3).reshape(64, 64)
    assert torch.equal(kernels.abs(), torch.full((64, 64), 0.125)) and torch.equal(kernels @ kernels.T, torch.eye(64))
    packet = HaarPacket(2)
    assert not list(packet.parameters()) and not packet.state_dict()


def test_it_stays_exact_in_bfloat16():
    packet = HaarPacket(3)
    with torch.autocast("cpu", torch.bfloat16):
        coefficients = packet(PICTURES)
        again = packet.inverse(coefficients)
    assert torch.equal(coefficients, packet(PICTURES)) and torch.equal(again, packet.inverse(coefficients))
