"""vdsr_bam: its quantisers, sums, choice of shares and stored form, by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.super_resolution.vdsr_bam import BAMNet
from restore_ml.nn import xnor
from restore_ml.nn.binary import sign
from restore_ml.nn.bit_accumulation import binary_weights, choose_shares
from tests.methods import binary_vdsr as binary
from tests.methods.by_hand import draw, optimiser_of, step_with
from tests.methods.enlarging import method, paper

SMALL = {"layers": 5, "width": 6}
GRID = [0.0, 0.05, 0.1, 0.2, 0.4]


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(**settings) -> BAMNet:
    torch.manual_seed(0)
    net = BAMNet(**{**SMALL, **settings})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return net


def test_a_sign_passes_gradients_where_its_input_is_small():
    x = torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.7, 1.5], requires_grad=True)
    y = sign(x)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    (y * torch.arange(1.0, 7.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 0]


def test_bits_that_add_up_approach_the_full_precision():
    """r_0 = x, r_(k+1) = r_k - mean|r_k| sign(r_k): of normal numbers 1 - 2/pi of the energy is left after one bit."""
    x = weights(4_000_000)
    rest, left = x, []
    for _ in range(5):
        rest = rest - rest.abs().mean() * sign(rest)
        left.append((rest.square().sum() / x.square().sum()).item())
    assert left == pytest.approx([1 - 2 / np.pi, 0.1303, 0.0583, 0.0329, 0.0226], abs=6e-4)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_binary_weights_by_hand(share):
    """One size, the mean of |W_n|; the signs of W_n and its share of what came before, less their mean."""
    weight, before = weights(4, 4, 3, 3) + 0.2, weights(4, 4, 3, 3, seed=1)
    total = weight.numpy() + share * before.numpy()
    expected = np.where(total >= total.mean(), 1, -1) * np.abs(weight.numpy()).mean()
    np.testing.assert_allclose(binary_weights(weight, before, share).numpy(), expected, rtol=1e-6)
    assert (expected != np.where(weight.numpy() >= weight.numpy().mean(), 1, -1)
            * np.abs(weight.numpy()).mean()).any() == (share > 0)


def test_the_gradient_of_binary_weights_reaches_its_own_layer_alone():
    """d/dW of sum(g sign(z)) m with z = (W - mean) / std: g m where |z| <= 1, through the normalisation; m fixed."""
    weight = weights(2, 2, 3, 3).double().requires_grad_()
    before = weights(2, 2, 3, 3, seed=1).double().requires_grad_()
    g = weights(2, 2, 3, 3, seed=2).double()
    (g * binary_weights(weight, before, 0.3)).sum().backward()
    total = (weight + 0.3 * before).detach().numpy()
    z, size = (total - total.mean()) / total.std(), np.abs(weight.detach().numpy()).mean()
    upper = g.numpy() * size * (np.abs(z) <= 1)
    expected = (upper - upper.mean() - z * (upper * z).mean()) / total.std()
    np.testing.assert_allclose(weight.grad.numpy(), expected, rtol=1e-6, atol=1e-12)
    assert before.grad is None


def test_activations_add_up_scaled_by_their_own_mean_map():
    """Two binary layers written out; the network is in evaluation mode with set statistics."""
    net, x = network(layers=4).eval(), draw(2, 1, 7, 8)
    for number, norm in enumerate(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean.copy_(0.1 * weights(6, seed=number))
        norm.running_var.copy_(0.5 + draw(6, seed=number))
    first, second = net.body
    kernels = [binary_weights(first.weight, torch.zeros_like(first.weight), 0.0),
               binary_weights(second.weight, first.weight, second.share)]

    def normal(norm: nn.BatchNorm2d, value: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1)
        scaled = (value - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
        return scaled * norm.weight.view(shape) + norm.bias.view(shape)

    def bits(value: torch.Tensor) -> torch.Tensor:
        return torch.where(value >= 0, 1.0, -1.0)

    a1 = functional.conv2d(x, net.first.weight, net.first.bias, padding=1)
    sum1 = first.factor * a1.abs().mean(1, keepdim=True) * a1
    a2 = functional.conv2d(bits(normal(first.norm, sum1)), kernels[0], first.bias, padding=1)
    sum2 = sum1 + second.factor * a2.abs().mean(1, keepdim=True) * a2
    a3 = functional.conv2d(bits(normal(second.norm, sum2)), kernels[1], second.bias, padding=1)
    expected = x + functional.conv2d(normal(net.norm, a3), net.last.weight, net.last.bias, padding=1)
    torch.testing.assert_close(net(x), expected)
    net.skip = True
    a2 = a2 + a1
    sum2 = sum1 + second.factor * a2.abs().mean(1, keepdim=True) * a2
    a3 = a2 + functional.conv2d(bits(normal(second.norm, sum2)), kernels[1], second.bias, padding=1)
    torch.testing.assert_close(net(x), x + functional.conv2d(normal(net.norm, a3), net.last.weight, net.last.bias,
                                                             padding=1))


def test_weights_add_up_over_all_layers_before():
    net = network()
    first, second, third = net.body
    third.share.fill_(0.2)
    kernels = net.kernels()
    expected = binary_weights(third.weight, first.weight + second.weight, 0.2)
    assert torch.equal(kernels[2], expected)
    assert not torch.equal(kernels[2], binary_weights(third.weight, second.weight, 0.2))


def test_activations_add_up_in_full_precision_under_bf16():
    """In bf16 a sum of 256 would not feel another 0.5."""
    torch.manual_seed(0)
    layer = BAMNet(layers=3, width=4).body[0]
    x, before = draw(1, 4, 6, 6).bfloat16(), torch.full((1, 4, 6, 6), 256.0)
    with torch.autocast("cpu", torch.bfloat16):
        out, total = layer(x, before, layer.weight.sign())
    exact = x.float()
    torch.testing.assert_close(total, 256 + exact.abs().mean(1, keepdim=True) * exact)
    assert total.dtype == torch.float32 and out.dtype == torch.bfloat16


def test_the_first_weights():
    """He's start everywhere, N(0, 2 / fan-in), biases 0, factors and gains 1; `last_std` for the last layer alone."""
    torch.manual_seed(2)
    net, small = BAMNet(layers=4, width=64), BAMNet(layers=4, width=64, last_std=0.01)
    layers = [net.first, *net.body, net.last]
    for layer, fan_in in zip(layers, (9, 576, 576, 576), strict=True):
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
        assert not layer.bias.any()
    assert all(layer.factor.item() == 1 and layer.share.item() == 0 for layer in net.body)
    assert small.last.weight.std().item() == pytest.approx(0.01, rel=0.12)
    assert small.first.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.12)


def test_shares_are_those_of_the_least_error_that_are_allowed():
    net = network()
    with torch.no_grad():
        net.body[1].weight.copy_(net.body[0].weight.sign() * 0.5 + 0.01 * weights(6, 6, 3, 3))  # the sum helps or not
        errors = choose_shares(net.body, GRID, 0.1)
    before, expected = torch.zeros_like(net.body[0].weight), []
    for number, layer in enumerate(net.body):
        tried = GRID[2:] if number else [0.0]
        losses = [(layer.weight - binary_weights(layer.weight, before, share)).square().sum().item() for share in tried]
        expected.append((tried[int(np.argmin(losses))], min(losses)))
        before = before + layer.weight.detach()
    assert [layer.share.item() for layer in net.body] == pytest.approx([share for share, _ in expected])
    assert errors == pytest.approx([error for _, error in expected])
    with torch.no_grad():
        free = choose_shares(net.body, GRID, 0.0)
    assert all(ours <= theirs + 1e-6 for ours, theirs in zip(free, errors, strict=True))
    with torch.no_grad():
        choose_shares(net.body, [0.1, 0.05], 0.1)  # as large as the least is large enough
    assert [layer.share.item() for layer in net.body] == pytest.approx([0, 0.1, 0.1])


def test_the_first_shares_are_the_least_that_are_allowed():
    net = method("vdsr_bam", **SMALL, grid=[0.4, 0.2, 0.05], least=0.1).networks()["net"]
    assert [layer.share.item() for layer in net.body] == pytest.approx([0, 0.2, 0.2])


def test_shares_are_chosen_after_every_hundredth_step(caplog):
    caplog.set_level("INFO")
    run = method("vdsr_bam", **SMALL)
    [player] = run.phases()[0].players
    for step, changed in ((0, False), (9, False), (49, False), (98, False), (99, True), (199, True)):
        net = network()
        for layer in net.body:
            layer.share.fill_(0.77)
        context = step_with({"lr": draw(1, 3, 4, 4)}, {"hr": draw(1, 3, 8, 8)}, {"net": net})
        context.step = step
        with torch.no_grad():
            player.after(context)
        assert (net.body[1].share.item() != pytest.approx(0.77)) == changed
        assert not changed or net.body[0].share.item() == 0
        distance = (net.body[0].weight - net.kernels()[0]).norm().item()
        assert changed == (f"step {step + 1}: ||W - W^B|| of the layers: {distance:.4g}, " in caplog.text)


def test_what_is_stored_is_a_bit_a_weight_and_restores_the_same():
    run, networks = method("vdsr_bam", **SMALL), {"net": network()}
    networks["net"].train()(draw(2, 1, 9, 9))
    networks["net"].eval()
    state = run.store(networks)
    body = {name: value for name, value in state.items() if ".body." in name and ".norm." not in name}
    assert {name.rpartition(".")[2] for name in body} == {"signs", "size", "bias", "factor"}
    assert all(value.dtype == torch.uint8 and value.numel() == -(-6 * 6 * 9 // 8)
               for name, value in body.items() if name.endswith("signs"))
    torch.manual_seed(9)
    fresh = run.networks()
    run.load(fresh, state)
    x = draw(1, 1, 11, 10)
    torch.testing.assert_close(fresh["net"].eval()(x), networks["net"](x), rtol=0, atol=1e-6)
    inputs = {"lr": draw(1, 3, 8, 7), "scale": torch.tensor([2])}
    loaded, trained = (run.restore(Model(nets), inputs, 1)["sr"] for nets in (fresh, networks))
    torch.testing.assert_close(loaded, trained)


def test_a_layer_by_xor_and_popcount_gives_the_same_numbers():
    net, x = network(width=10).eval(), weights(1, 10, 8, 9)
    layer, kernel = net.body[1], net.kernels()[1]
    assert kernel.abs().unique().numel() == 1
    out, total = layer(x, torch.ones(1, 10, 8, 9), kernel)
    sums = xnor.convolution(xnor.words_of(sign(layer.norm(total))[0].detach().numpy(), 0),
                            xnor.words_of(kernel.detach().numpy(), 1), 10)
    expected = kernel.abs().amax() * torch.from_numpy(sums) + layer.bias[:, None, None]
    torch.testing.assert_close(out[0], expected)


@pytest.mark.parametrize("change", [
    lambda state: state.pop("net.body.1.signs"),
    lambda state: state.update({"net.body.1.signs": torch.zeros(3, dtype=torch.uint8)}),
    lambda state: state.update({"net.body.0.signs": state["net.body.0.signs"].float()}),
    lambda state: state.pop("net.first.weight"),
])
def test_a_stored_form_that_does_not_fit_is_refused(change):
    run = method("vdsr_bam", **SMALL)
    state = run.store({"net": network()})
    change(state)
    with pytest.raises(RuntimeError):
        run.load(run.networks(), state)


def test_without_its_last_layer_it_is_the_input():
    net, x = network().eval(), draw(1, 1, 6, 6)
    nn.init.zeros_(net.last.weight)
    nn.init.zeros_(net.last.bias)
    assert torch.equal(net(x), x)


def test_the_paper_s_size_and_recipe():
    run = paper("vdsr_bam")
    with torch.device("meta"):
        net = BAMNet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 668_371
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, {"net": network()})
    assert type(optimiser) is torch.optim.Adam and optimiser.param_groups[0]["lr"] == 1e-4
    assert [player.schedule(step, 1_000_000) for step in (0, 199_999, 200_000, 999_999)] == [1, 1, 0.5, 0.0625]
    assert run.phases()[0].steps == 1_000_000 and run.settings["batch"] == 16
    assert optimiser.param_groups[0]["weight_decay"] == 0 and run.settings["loss"] == "l1"
    for name, half in (("linear", 0.75), ("cosine", 0.5 + 0.25 * 2 ** 0.5)):
        [player] = method("vdsr_bam", **SMALL, schedule=name).phases()[0].players
        assert player.schedule(250, 1000) == pytest.approx(half)


def test_thirty_adam_steps_learn_one_batch():
    binary.learns_one_batch("vdsr_bam")


def test_gradients_reach_earlier_activations_through_the_sums():
    binary.sums_pass_gradients_on(BAMNet(layers=3, width=4).body[0])


@pytest.mark.parametrize(("settings", "words"), [
    ({"grid": []}, "grid of vdsr_bam is .*; it must be a list of shares from 0 to 1"),
    ({"grid": [0.0, 2.0]}, "it must be a list of shares"),
    ({"least": 0.5}, "least of vdsr_bam is 0.5; the grid has no share as large"),
    ({"layers": 2}, "layers of vdsr_bam is 2; it must be at least 3"),
])
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(UserError, match=words):
        method("vdsr_bam", **settings)


def test_a_start_that_does_not_see_an_even_brightness():
    net = network(zero_mean=True)
    torch.manual_seed(3)
    fresh = BAMNet(**SMALL, zero_mean=True)
    assert fresh.first.weight.detach().sum((1, 2, 3)).abs().max() < 1e-6 and net.first.weight.sum().abs() > 1e-3
    torch.manual_seed(3)
    plain = BAMNet(**SMALL)
    expected = plain.first.weight - plain.first.weight.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(fresh.first.weight, expected)
