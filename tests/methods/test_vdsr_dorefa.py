"""vdsr_dorefa: its k-bit quantisers and their gradients, the float network at 32 bits, its stored form, by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.methods.super_resolution.vdsr import VDSRNet, luma
from restore_ml.methods.super_resolution.vdsr_dorefa import (
    DoReFaLayer,
    quantize,
    quantize_activations,
    quantize_gradient,
    quantize_weights,
)
from restore_ml.nn import xnor
from restore_ml.nn.binary import kernel_of
from tests.methods import binary_vdsr as binary
from tests.methods.binary_vdsr import normal, numbers
from tests.methods.by_hand import draw
from tests.methods.enlarging import fixed_batch, method, paper, step_of


def test_levels():
    r = torch.tensor([0.0, 0.2, 0.4, 0.6, 1.0])
    assert quantize(r, 1).tolist() == [0, 0, 0, 1, 1]
    torch.testing.assert_close(quantize(r, 2), torch.tensor([0, 1 / 3, 1 / 3, 2 / 3, 1]))
    torch.testing.assert_close(quantize(torch.tensor(0.4), 3), torch.tensor(3 / 7))


def test_weights_of_one_bit_have_the_layer_s_mean_size_and_all_the_gradient():
    weight = (3 * numbers(4, 4, 3, 3)).requires_grad_()
    kernel = quantize_weights(weight, 1)
    mean = weight.detach().abs().mean()
    assert torch.equal(kernel.detach(), torch.where(weight >= 0, mean, -mean))
    g = numbers(4, 4, 3, 3, seed=1)
    kernel.backward(g)
    assert torch.equal(weight.grad, g)


def test_weights_of_two_bits_go_through_a_tanh():
    weight = numbers(3, 3, 3, 3).double().requires_grad_()
    kernel = quantize_weights(weight, 2)
    bounded = np.tanh(weight.detach().numpy())
    largest = np.abs(bounded).max()
    expected = 2 * np.round(3 * (bounded / (2 * largest) + 0.5)) / 3 - 1
    np.testing.assert_allclose(kernel.detach().numpy(), expected, atol=1e-12)
    g = numbers(3, 3, 3, 3, seed=1).double()
    kernel.backward(g)
    smooth = torch.tensor(weight.detach().numpy(), requires_grad=True)  # the roundings are as if they were not there
    (smooth.tanh() / smooth.tanh().abs().max() * g).sum().backward()
    torch.testing.assert_close(weight.grad, smooth.grad)


def test_activations_are_cut_and_rounded_and_pass_gradients_between_0_and_1():
    x = torch.tensor([-0.3, 0.0, 0.4, 0.7, 1.0, 1.2], requires_grad=True)
    y = quantize_activations(x, 1)
    assert y.tolist() == [0, 0, 0, 1, 1, 1]
    (y * torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]
    assert quantize_activations(torch.tensor([-1.0, 0.3, 5.0]), 32).tolist() == [0, pytest.approx(0.3), 5]


def test_gradients_by_hand():
    """By sample: f(g) = 2 m (quantize(g / 2m + 1/2 + noise) - 1/2)."""
    g, draws = numbers(2, 3, 4, 4), draw(2, 3, 4, 4, seed=1)
    g[1] *= 100
    expected = np.empty(g.shape)
    for number, (of, u) in enumerate(zip(g.numpy(), draws.numpy(), strict=True)):
        m = np.abs(of).max()
        r = np.clip(of / (2 * m) + 0.5 + (u - 0.5) / 3, 0, 1)
        expected[number] = 2 * m * (np.round(3 * r) / 3 - 0.5)
    np.testing.assert_allclose(quantize_gradient(g, 2, draws).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not quantize_gradient(torch.zeros(1, 1, 2, 2), 2, torch.rand(1, 1, 2, 2)).isnan().any()


def test_noise_makes_quantised_gradients_right_on_average():
    g = torch.tensor([0.1, -0.33, 1.0]).view(1, 3, 1, 1).repeat(1, 1, 200, 200)
    mean = quantize_gradient(g, 2, draw(1, 3, 200, 200)).mean((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.1, -0.33, 1.0]), atol=0.01, rtol=0)


def test_a_layer_quantises_the_gradient_of_its_output_where_it_is_given_draws():
    layer, x, g = DoReFaLayer(4, 1, 1, 2), numbers(2, 4, 5, 5), numbers(2, 4, 5, 5, seed=1)
    noise = draw(2, 4, 5, 5)
    layer(x, lambda like: noise).backward(g)
    given = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(x).backward(quantize_gradient(g, 2, noise))
    torch.testing.assert_close(given, layer.weight.grad)
    layer.weight.grad = None
    layer(x).backward(g)
    assert not torch.allclose(given, layer.weight.grad)


def test_quantised_gradients_draw_from_the_step():
    """The same step twice gives the same bits, without a global draw; 32 bits quantise nothing."""
    def gradients(bits: int, seed: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        run = method("vdsr_dorefa", layers=4, width=4, grad_bits=bits)
        nets, batch = run.build(), fixed_batch(2, 24)
        batch.generator = torch.Generator().manual_seed(seed)
        before = torch.get_rng_state()
        run.loss(step_of(batch, nets, 0))["l1"].backward()
        assert torch.equal(before, torch.get_rng_state())
        drawn = not torch.equal(batch.generator.get_state(), torch.Generator().manual_seed(seed).get_state())
        assert drawn == (bits < 32)
        return [parameter.grad for parameter in nets["net"].parameters()]

    def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
        return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))

    assert same(gradients(2, 1), gradients(2, 1)) and same(gradients(32, 1), gradients(32, 2))
    assert not same(gradients(2, 1), gradients(2, 2)) and not same(gradients(2, 1), gradients(32, 1))


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("mse", 2)])
def test_the_loss_is_that_of_the_enlarged_luma(loss, power):
    run, net = binary.run_and_network("vdsr_dorefa", loss=loss)
    batch = fixed_batch(2, 24)
    terms = run.loss(step_of(batch, {"net": net}, 0))
    y = luma(imresize(batch.inputs["lr"], 2.0))
    expected = (net(y) - luma(batch.target["hr"])).abs().pow(power).mean()
    assert list(terms) == [loss] and terms[loss].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("skip", [False, True])
def test_layers_by_hand(skip):
    _, net = binary.run_and_network("vdsr_dorefa", layers=4, skip=skip)
    x = draw(2, 1, 7, 8)
    value = functional.conv2d(x, net.first.weight, net.first.bias, padding=1)
    for layer in net.body:
        bits = (normal(layer.norm, value) > 0.5).float()
        kernel = torch.where(layer.weight >= 0, 1.0, -1.0) * layer.weight.abs().mean()
        value = functional.conv2d(bits, kernel, padding=1) + (value if skip else 0)
    expected = x + functional.conv2d(normal(net.norm, value), net.last.weight, net.last.bias, padding=1)
    torch.testing.assert_close(net(x), expected)


def test_32_bits_are_the_float_network():
    """VDSR itself, where the normalisations change nothing."""
    run, net = binary.run_and_network("vdsr_dorefa", weight_bits=32, activation_bits=32)
    parent = VDSRNet(5, 6)
    for norm in (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.zeros_(norm.running_mean)
        nn.init.constant_(norm.running_var, 1 - norm.eps)
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
    with torch.no_grad():
        convolutions = [layer for layer in parent.body if isinstance(layer, nn.Conv2d)]
        for theirs, ours in zip([*convolutions, parent.last], [net.first, *net.body, net.last], strict=True):
            theirs.weight.copy_(ours.weight)
            theirs.bias.copy_(ours.bias) if isinstance(ours, nn.Conv2d) else nn.init.zeros_(theirs.bias)
    x = draw(2, 1, 9, 8)
    torch.testing.assert_close(net(x), parent(x))
    state = run.store({"net": net})
    fresh = run.networks()
    run.load(fresh, state)
    assert torch.equal(fresh["net"].eval()(x), net(x)) and not [key for key in state if key.endswith("signs")]
    assert run.footprint()["binary_multiply_adds"] == 0


@pytest.mark.parametrize(("bits", "planes"), [(1, 1), (2, 2), (3, 3)])
def test_what_is_stored_is_a_plane_of_signs_a_bit_and_restores_the_same(bits, planes):
    binary.deployed_gives_the_same("vdsr_dorefa", planes, weight_bits=bits)
    layer = DoReFaLayer(3, bits, 2, 32)
    torch.testing.assert_close(kernel_of(layer.signs_and_sizes()), layer.kernel())
    assert layer.pairs == 2 * bits


def test_a_layer_by_xor_and_popcount_gives_the_same_numbers():
    """Activations of 0 and 1 are (1 + signs) / 2: half the sum of the signs' products and of the weights inside."""
    _, net = binary.run_and_network("vdsr_dorefa", width=10)
    layer, x = net.body[1], numbers(1, 10, 8, 9)
    planes, size = layer.signs_and_sizes()
    bits = quantize_activations(normal(layer.norm, x), 1)[0].detach().numpy()
    kernel = xnor.words_of(planes.numpy(), 1)
    products = xnor.convolution(xnor.words_of(bits, 0), kernel, 10)
    ones = xnor.convolution(xnor.words_of(np.ones_like(bits), 0), kernel, 10)
    torch.testing.assert_close(torch.from_numpy((products + ones) // 2) * size, layer(x)[0].detach())


def test_latent_weights_are_not_cut():
    run, net = binary.run_and_network("vdsr_dorefa")
    with torch.no_grad():
        net.body[0].weight.mul_(100)
        before = net.body[0].weight.clone()
    binary.after_a_step(run, net)
    assert torch.equal(net.body[0].weight, before)


def test_without_its_last_layer_it_is_the_input():
    binary.is_the_input_without_its_last_layer("vdsr_dorefa")


def test_thirty_adam_steps_learn_one_batch():
    binary.learns_one_batch("vdsr_dorefa")


def test_the_paper_s_size_and_bits():
    run = paper("vdsr_dorefa")
    with torch.device("meta"):
        net = run.build()["net"]
    assert sum(parameter.numel() for parameter in net.parameters()) == 667_201
    assert {key: run.settings[key] for key in ("weight_bits", "activation_bits", "grad_bits")} == {
        "weight_bits": 1, "activation_bits": 1, "grad_bits": 32}


@pytest.mark.parametrize("key", ["weight_bits", "activation_bits", "grad_bits"])
def test_bits_that_make_no_sense(key):
    with pytest.raises(UserError, match=f"{key} of vdsr_dorefa is 16; it must be 1, 2, 3, 4, 5, 6, 7, 8 or 32"):
        method("vdsr_dorefa", **{key: 16})
