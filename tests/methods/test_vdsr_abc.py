"""vdsr_abc: its planes, solved sizes, trained activations and their gradients, and its stored form, by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from restore_ml.methods.super_resolution.vdsr_abc import ABCLayer, binary_activation, planes_of
from restore_ml.nn import xnor
from restore_ml.nn.binary import kernel_of
from tests.methods import binary_vdsr as binary
from tests.methods.binary_vdsr import normal, numbers
from tests.methods.by_hand import draw
from tests.methods.enlarging import method, paper

THREE = {"weight_planes": 3, "activation_planes": 3}


@pytest.mark.parametrize(("count", "shifts"), [(1, [0]), (2, [-1, 1]), (3, [-1, 0, 1])])
def test_planes_and_their_sizes_by_hand(count, shifts):
    weight = numbers(4, 4, 3, 3) + 0.3
    planes, sizes = planes_of(weight, count)
    flat = weight.double().numpy().ravel()
    rows = np.stack([np.where(flat - flat.mean() + u * flat.std() >= 0, 1, -1) for u in shifts])
    assert np.array_equal(planes.numpy().reshape(count, -1), rows)
    solved = np.linalg.lstsq(rows.T.astype(float), flat, rcond=None)[0]
    np.testing.assert_allclose(sizes.numpy(), solved, rtol=1e-5)
    if count == 1:
        assert sizes.item() == pytest.approx((flat @ rows[0]) / flat.size, rel=1e-5)


def test_more_planes_come_nearer():
    """The shifts of 1, 3 and 5 planes contain each other."""
    weight = numbers(5, 5, 3, 3)
    left = [(weight - kernel_of(planes_of(weight, count))).square().sum().item() for count in (1, 3, 5)]
    assert left[0] > left[1] > left[2]


def test_planes_that_are_alike_share_their_size():
    """Of weights of +-1 two planes are alike, and the third is 1 everywhere and has no part in them."""
    weight = torch.tensor([1.0, -1, 1, -1]).view(1, 1, 2, 2)
    planes, sizes = planes_of(weight, 3)
    assert torch.equal(planes[0], planes[1]) and torch.all(planes[2] == 1)
    torch.testing.assert_close(sizes, torch.tensor([0.5, 0.5, 0]))


def test_the_gradient_of_a_kernel_is_the_sum_of_the_sizes_times_its_own():
    layer, g = ABCLayer(4, 3, 1), numbers(4, 4, 3, 3, seed=1)
    kernel = layer.kernel()
    kernel.backward(g)
    planes, sizes = planes_of(layer.weight, 3)
    assert torch.equal(kernel.detach(), kernel_of((planes, sizes))) and not sizes.requires_grad
    torch.testing.assert_close(layer.weight.grad, sizes.sum() * g)


def test_an_activation_by_hand():
    x = torch.tensor([-0.9, -0.5, -0.2, 0.0, 0.3, 0.5, 0.7], requires_grad=True)
    shift = torch.tensor(0.5, requires_grad=True)
    y = binary_activation(x, shift)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    (y * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0] and shift.grad.item() == 20
    assert binary_activation(torch.tensor([0.4, 0.6]), torch.tensor(0.0)).tolist() == [-1, 1]


def test_activations_are_a_trained_sum_of_planes():
    layer = ABCLayer(3, 1, 3)
    assert layer.scales.tolist() == pytest.approx([1 / 3] * 3) and layer.shifts.tolist() == [0, 0.5, 1]
    with torch.no_grad():
        layer.scales.copy_(torch.tensor([0.5, 2, 3]))
    x = torch.tensor([-0.6, -0.4, 0.1, 0.8], requires_grad=True)
    y = layer.quantised(x)
    assert y.tolist() == [-5.5, -5.5 + 6, 4.5, 5.5]
    g = torch.tensor([1.0, 10, 100, 1000])
    y.backward(g)
    assert layer.scales.grad.tolist() == [1000 - 111, 1100 - 11, 1110 - 1]
    assert layer.shifts.grad.tolist() == [0.5 * 1100, 2 * 110, 3 * 11]
    assert x.grad.tolist() == [3, 50, 250, 500]
    one = ABCLayer(3, 1, 1)
    assert one.scales.tolist() == [1] and one.shifts.tolist() == [0.5]
    assert one.quantised(x).tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize("settings", [{}, THREE, {"skip": True}])
def test_layers_by_hand(settings):
    """A convolution is the sum of those of all pairs of planes, times their sizes."""
    _, net = binary.run_and_network("vdsr_abc", layers=4, **settings)
    x = draw(2, 1, 7, 8)
    value = functional.conv2d(x, net.first.weight, net.first.bias, padding=1)
    for layer in net.body:
        planes, sizes = planes_of(layer.weight, settings.get("weight_planes", 1))
        z, out = normal(layer.norm, value), 0.0
        for plane, size in zip(planes, sizes, strict=True):
            for scale, shift in zip(layer.scales, layer.shifts, strict=True):
                bits = torch.where((z + shift).clamp(0, 1) >= 0.5, 1.0, -1.0)
                out = out + size * scale * functional.conv2d(bits, plane, padding=1)
        value = out + value if net.skip else out
    expected = x + functional.conv2d(normal(net.norm, value), net.last.weight, net.last.bias, padding=1)
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(("planes", "settings"), [(1, {}), (3, THREE)])
def test_what_is_stored_is_a_bit_a_weight_and_plane_and_restores_the_same(planes, settings):
    binary.deployed_gives_the_same("vdsr_abc", planes, **settings)


def test_other_planes_than_the_network_has_are_refused():
    run, net = binary.run_and_network("vdsr_abc")
    three = method("vdsr_abc", **binary.SIZES, **THREE)
    with pytest.raises(RuntimeError, match=r"net.body.0.size has the shape \(1,\) in place of \(3,\)"):
        three.load(three.networks(), run.store({"net": net}))


def test_a_layer_by_xor_and_popcount_gives_the_same_numbers():
    _, net = binary.run_and_network("vdsr_abc", width=10, weight_planes=2, activation_planes=2)
    layer, x, total = net.body[1], numbers(1, 10, 8, 9), 0
    planes, sizes = layer.signs_and_sizes()
    for plane, size in zip(planes, sizes, strict=True):
        for scale, shift in zip(layer.scales.detach(), layer.shifts, strict=True):
            bits = binary_activation(normal(layer.norm, x), shift)[0].detach().numpy()
            sums = xnor.convolution(xnor.words_of(bits, 0), xnor.words_of(plane.numpy(), 1), 10)
            total = total + size * scale * torch.from_numpy(sums)
    torch.testing.assert_close(total, layer(x)[0].detach())


def test_latent_weights_are_not_cut():
    run, net = binary.run_and_network("vdsr_abc")
    with torch.no_grad():
        net.body[0].weight.mul_(100)
        before = net.body[0].weight.clone()
    binary.after_a_step(run, net)
    assert torch.equal(net.body[0].weight, before)


def test_without_its_last_layer_it_is_the_input():
    binary.is_the_input_without_its_last_layer("vdsr_abc", **THREE)


@pytest.mark.parametrize("settings", [{}, THREE])
def test_thirty_adam_steps_learn_one_batch(settings):
    binary.learns_one_batch("vdsr_abc", **settings)


@pytest.mark.parametrize(("settings", "count"), [({}, 667_237), (THREE, 667_309)])
def test_the_paper_s_size(settings, count):
    with torch.device("meta"):
        net = paper("vdsr_abc", **settings).build()["net"]
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_nine_convolutions_of_bits_are_counted_for_three_planes_of_each():
    one, three = (method("vdsr_abc", layers=4, width=8, **settings).footprint() for settings in ({}, THREE))
    assert three["binary_multiply_adds"] == 9 * one["binary_multiply_adds"] == 9 * 1280 * 720 * 2 * 576
    assert three["stored_bits"] - one["stored_bits"] == 2 * (2 * 576 + 2 * 32 + 4 * 32)
    assert one["multiply_adds"] == three["multiply_adds"] == 1280 * 720 * 144
