"""bsrn_bam: its size, its blocks, which weights and activations add up, its skips and its stored form."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.methods.super_resolution.bsrn_bam import BSRN, LB
from restore_ml.nn.bit_accumulation import AccumulatingConv, binary_weights, kernels
from tests.methods.by_hand import draw, optimiser_of
from tests.methods.enlarging import fixed_batch, method, paper, parameters, step_of
from tests.methods.test_srresnet_bam import bits, stir

SMALL = {"blocks": 2, "per_block": 2, "width": 6, "scales": [2, 3]}


def network(**settings) -> BSRN:
    torch.manual_seed(0)
    net = BSRN(**{**SMALL, **settings})
    stir(net)
    return net


def test_its_size_and_recipe():
    """20 LB of 45,056 weights; in all 1,215,489 parameters where the paper says 1216K."""
    run = paper("bsrn_bam")
    with torch.device("meta"):
        net = run.network()
    assert len(net.lbs()) == 20 and len(net.body) == 5
    assert [sum(layer.weight.numel() for layer in lb.modules() if isinstance(layer, AccumulatingConv))
            for lb in net.lbs()] == [45_056] * 20
    assert parameters(net) == 1_215_489 and abs(parameters(net) / 1_216_000 - 1) < 1e-3
    [phase] = run.phases()
    assert type(optimiser_of(phase.players[0], {"net": network()})) is torch.optim.Adam
    assert (phase.steps, run.settings["loss"], run.settings["lr"], run.settings["skip"]) == (10**6, "l1", 1e-4, False)


def test_its_multiply_adds_at_1280_x_720():
    """96.1 G at x4, of which 51.9 G are of bits with bits (the paper says 85 G in all)."""
    with torch.device("meta"):
        net = paper("bsrn_bam").network()
    of_bits = sum(layer.weight.numel() for chain in net.chains() for layer in chain)
    convolutions = [layer.weight.numel() for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    of_numbers = sum(count * often for count, often in zip(convolutions, (1, 1, 4, 16), strict=True))
    assert of_bits * 320 * 180 == 20 * 45_056 * 320 * 180
    assert (of_bits + of_numbers) * 320 * 180 == pytest.approx(96.06e9, rel=1e-4)


def test_which_weights_add_up():
    """Those of 3 x 3 over all LB, those of 1 x 1 in pairs."""
    net = network()
    wide, *pairs = net.chains()
    assert wide == [lb.wide for lb in net.lbs()] and [layer.weight.shape[2] for layer in wide] == [3] * 4
    assert pairs == [list(lb.points) for lb in net.lbs()] and {layer.weight.shape[2] for layer in pairs[0]} == {1}
    before = torch.zeros(6, 6, 3, 3)
    for layer in wide:
        assert torch.equal(kernels(wide)[layer], binary_weights(layer.weight, before, 0.2))
        before = before + layer.weight.detach()
    first, second = pairs[1]
    assert torch.equal(kernels(pairs[1])[second], binary_weights(second.weight, first.weight, 0.2))
    assert torch.equal(kernels(pairs[1])[first], binary_weights(first.weight, torch.zeros(6, 6, 1, 1), 0.2))


@pytest.mark.parametrize("skip", [False, True])
def test_the_network_block_by_block(skip):
    net, lr = network(skip=skip).eval(), draw(1, 3, 5, 7)
    made = {layer: kernel for chain in net.chains() for layer, kernel in kernels(chain).items()}

    def scaled(layer: AccumulatingConv, value: torch.Tensor) -> torch.Tensor:
        return layer.factor * value.abs().mean(1, keepdim=True) * value

    with torch.no_grad():
        x = functional.conv2d(lr, net.head[0].weight, net.head[0].bias, padding=1).relu()
        for lb in net.lbs():
            y = lb.norms[0](functional.conv2d(bits(lb.wide.norm(scaled(lb.wide, x))), made[lb.wide], padding=1))
            one, two = lb.points
            total = scaled(one, y)
            y = lb.norms[1](functional.conv2d(bits(one.norm(total)), made[one]))
            total = total + scaled(two, y)
            y = lb.norms[2](functional.conv2d(bits(two.norm(total)), made[two]))
            x = y + x if skip else y
        end = net.ends["x3"]
        y = functional.pixel_shuffle(functional.conv2d(x, end[0].weight, end[0].bias, padding=1), 3)
        y = functional.conv2d(functional.prelu(y, end[2].weight), end[3].weight, end[3].bias, padding=1)
        torch.testing.assert_close(net(lr, 3), y)
        assert net(lr, 2).shape == (1, 3, 10, 14)


def test_the_start_of_a_short_training():
    torch.manual_seed(0)
    net = BSRN(**{**SMALL, "width": 16}, skip=True, last_std=0.01)
    assert all(isinstance(lb, LB) and not lb.norms[-1].weight.any() and lb.norms[1].weight.all() for lb in net.lbs())
    assert all(end[-1].weight.std().item() == pytest.approx(0.01, rel=0.15) for end in net.ends.values())
    plain = BSRN(**SMALL, last_std=0.01)
    assert all(lb.norms[-1].weight.all() for lb in plain.lbs())  # without skips nothing else carries the picture
    assert [layer.bias for layer in BSRN(**SMALL, bias=False).modules() if isinstance(layer, nn.Conv2d)] == [None] * 5


def test_what_is_stored_is_a_bit_a_weight_and_restores_the_same():
    run, networks = method("bsrn_bam", **SMALL), {"net": network()}
    networks["net"].train()(draw(2, 3, 9, 9), 2)
    networks["net"].eval()
    state = run.store(networks)
    signs = {name: value for name, value in state.items() if name.endswith(".signs")}
    assert len(signs) == 4 * 3 and {value.numel() for value in signs.values()} == {-(-324 // 8), -(-36 // 8)}
    assert not any(name.replace(".signs", ".weight") in state for name in signs)
    torch.manual_seed(9)
    fresh = run.networks()
    run.load(fresh, state)
    x = draw(1, 3, 11, 10)
    for scale in (2, 3):
        torch.testing.assert_close(fresh["net"].eval()(x, scale), networks["net"](x, scale), rtol=0, atol=1e-5)


def test_thirty_adam_steps_learn_one_batch():
    """By 5 % at least, as the card asks of binary networks; every parameter of the scale has a gradient."""
    torch.manual_seed(0)
    run = method("bsrn_bam", **{**SMALL, "scales": [2]}, skip=True)
    networks, batch, [player] = run.build(), fixed_batch(2, 24), run.phases()[0].players
    optimiser, losses = torch.optim.Adam(networks["net"].parameters(), 2e-3), []
    for step in range(31):
        loss = player.loss(step_of(batch, networks, step))["l1"]
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in networks["net"].parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
