"""vdsr_bnn: its signs, whole numbers, clipping, first weights, stored form and footprint, by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.methods.super_resolution.vdsr_bnn import BinaryVDSRNet, BNNLayer
from restore_ml.nn import xnor
from tests.methods import binary_vdsr as binary
from tests.methods.binary_vdsr import normal, numbers
from tests.methods.by_hand import draw, optimiser_of
from tests.methods.enlarging import method, paper


def test_layers_by_hand():
    """Two binary layers written out, without and with the sums of `skip`."""
    _, net = binary.run_and_network("vdsr_bnn", layers=4)
    first, second = net.body
    x = draw(2, 1, 7, 8)

    def layer(made: BNNLayer, value: torch.Tensor) -> torch.Tensor:
        bits = torch.where(normal(made.norm, value) >= 0, 1.0, -1.0)
        return functional.conv2d(bits, torch.where(made.weight >= 0, 1.0, -1.0), padding=1)

    a1 = functional.conv2d(x, net.first.weight, net.first.bias, padding=1)
    a2 = layer(first, a1)
    a3 = layer(second, a2)
    tail = {"weight": net.last.weight, "bias": net.last.bias, "padding": 1}
    torch.testing.assert_close(net(x), x + functional.conv2d(normal(net.norm, a3), **tail))
    net.skip = True
    a2 = layer(first, a1) + a1
    a3 = layer(second, a2) + a2
    torch.testing.assert_close(net(x), x + functional.conv2d(normal(net.norm, a3), **tail))


def test_a_binary_layer_gives_whole_numbers_of_the_parity_of_its_bits():
    layer = BNNLayer(7).train()
    inside = layer(numbers(2, 7, 9, 9))[:, :, 1:-1, 1:-1].detach()
    assert torch.equal(inside, inside.round()) and inside.abs().max() <= 63
    assert torch.all(inside % 2 == 1)
    assert set(layer.kernel().unique().tolist()) == {-1, 1}


def test_the_size_of_latent_weights_says_nothing():
    layer, x = BNNLayer(6), numbers(1, 6, 5, 5)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(0.5)
    assert torch.equal(layer(x), before)


def test_gradients_pass_small_activations_and_weights_alone():
    layer = BNNLayer(4).eval()
    with torch.no_grad():
        layer.weight.mul_(8)
    x = (2 * numbers(1, 4, 6, 6)).requires_grad_()
    g = numbers(1, 4, 6, 6, seed=1)
    layer(x).backward(g)
    z = normal(layer.norm, x.detach())
    kernel, bits = layer.weight.detach().sign(), torch.where(z >= 0, 1.0, -1.0)
    upper = torch.nn.grad.conv2d_input(x.shape, kernel, g, padding=1)
    scale = (layer.norm.running_var + layer.norm.eps).rsqrt().view(1, -1, 1, 1)
    torch.testing.assert_close(x.grad, upper * (z.abs() <= 1) * scale)
    lower = torch.nn.grad.conv2d_weight(bits, layer.weight.shape, g, padding=1)
    torch.testing.assert_close(layer.weight.grad, lower * (layer.weight.detach().abs() <= 1))
    assert (z.abs() > 1).any() and (layer.weight.abs() > 1).any()


def test_latent_weights_are_cut_after_a_step_and_nothing_else_is():
    run, net = binary.run_and_network("vdsr_bnn")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(30)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    binary.after_a_step(run, net)
    latent = [f"body.{number}.weight" for number in range(3)]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name].clamp(-1, 1) if name in latent else before[name])
    assert all((before[name].abs() > 1).any() for name in latent)


def test_a_layer_by_xor_and_popcount_gives_the_same_whole_numbers():
    _, net = binary.run_and_network("vdsr_bnn", width=10)
    layer, x = net.body[1], numbers(1, 10, 8, 9)
    words = xnor.words_of(normal(layer.norm, x)[0].detach().numpy() + 1e-30, 0)
    kernel = xnor.words_of(layer.signs_and_sizes()[0].numpy(), 1)
    assert np.array_equal(xnor.convolution(words, kernel, 10), layer(x)[0].detach().numpy())


def test_what_is_stored_is_a_bit_a_weight_and_restores_the_same():
    binary.deployed_gives_the_same("vdsr_bnn", 1)
    binary.deployed_gives_the_same("vdsr_bnn", 1, skip=True)


def test_without_its_last_layer_it_is_the_input():
    binary.is_the_input_without_its_last_layer("vdsr_bnn")


def test_thirty_adam_steps_learn_one_batch():
    binary.learns_one_batch("vdsr_bnn")


def test_the_first_weights():
    torch.manual_seed(2)
    net = BinaryVDSRNet(BNNLayer, layers=4, width=64)
    layers = [net.first, *net.body, net.last]
    for layer, fan_in in zip(layers, (9, 576, 576, 576), strict=True):
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
    assert not net.first.bias.any() and not net.last.bias.any()
    assert all(not norm.bias.any() and torch.all(norm.weight == 1) for norm in (net.norm, *(
        layer.norm for layer in net.body)))


def test_starts_for_short_trainings():
    torch.manual_seed(3)
    plain = BinaryVDSRNet(BNNLayer, layers=5, width=5)
    torch.manual_seed(3)
    net = BinaryVDSRNet(BNNLayer, layers=5, width=5, last_std=0.01, zero_mean=True, spread=2.0)
    torch.testing.assert_close(net.first.weight,
                               plain.first.weight - plain.first.weight.mean((1, 2, 3), keepdim=True))
    assert 0.004 < net.last.weight.std().item() < 0.02
    assert all(layer.norm.bias.tolist() == [-2, -1, 0, 1, 2] for layer in net.body) and not net.norm.bias.any()


def test_the_paper_s_size_and_recipe():
    run = paper("vdsr_bnn")
    with torch.device("meta"):
        net = run.build()["net"]
    assert sum(parameter.numel() for parameter in net.parameters()) == 667_201
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, {"net": binary.run_and_network("vdsr_bnn")[1]})
    assert type(optimiser) is torch.optim.Adam and optimiser.param_groups[0]["lr"] == 1e-4
    assert optimiser.param_groups[0]["weight_decay"] == 0 and run.settings["loss"] == "l1"
    assert [player.schedule(step, 1_000_000) for step in (0, 199_999, 200_000, 999_999)] == [1, 1, 0.5, 0.0625]
    assert run.phases()[0].steps == 1_000_000 and run.settings["batch"] == 16
    for name, half in (("linear", 0.75), ("cosine", 0.5 + 0.25 * 2 ** 0.5)):
        [player] = method("vdsr_bnn", layers=3, width=2, schedule=name).phases()[0].players
        assert player.schedule(250, 1000) == pytest.approx(half)


def test_the_footprint_counts_what_is_stored_and_multiplied():
    """4 layers of 8: two binary ones of 576 weights and three normalisations of 8 channels, as tensors on disk."""
    seed = torch.get_rng_state()
    facts = method("vdsr_bnn", layers=4, width=8).footprint()
    assert torch.equal(seed, torch.get_rng_state())
    norms = 3 * (4 * 8 * 32 + 64)
    convolutions = 32 * (72 + 8 + 72 + 1)
    assert facts == {
        "stored_bits": 2 * (576 + 32) + norms + convolutions,
        "stored_bits_as_float": 32 * (72 + 8 + 2 * (576 + 8) + 72 + 1),
        "multiply_adds": 1280 * 720 * 144, "binary_multiply_adds": 1280 * 720 * 2 * 576,
        "multiply_adds_as_float": 1280 * 720 * (144 + 2 * 576)}


def test_a_network_without_a_binary_layer_is_refused():
    with pytest.raises(UserError, match="layers of vdsr_bnn is 2; it must be at least 3, as the first and the last"):
        method("vdsr_bnn", layers=2)
