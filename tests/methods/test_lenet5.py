"""lenet5: its layers, start, criterion and rates by hand, and the card's counts."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.classification.lenet5 import (
    TABLE,
    LeNet,
    LeNet5,
    Subsampling,
    TabledConv,
    codes,
    framed,
    passes,
    penalty,
    squash,
)
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with


def network(outputs: int = 10) -> LeNet5:
    torch.manual_seed(0)
    return LeNet5(outputs)


def test_parameters_are_those_of_the_paper():
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in network().named_children()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164}
    assert sum(p.numel() for p in network(12).parameters()) == 60_000  # the codes are fixed


def test_grids_are_28_14_10_5_1():
    net, sides = network(), []
    for layer in (net.c1, net.s2, net.c3, net.s4, net.c5):
        layer.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 10) and sides == [28, 14, 10, 5, 1]


def test_the_table_of_connections():
    """Six maps of three neighbours, six of four, three of four apart, one of all: each of S2's maps is seen by ten."""
    assert [len(row) for row in TABLE] == [3] * 6 + [4] * 9 + [6]
    assert sum(map(len, TABLE)) == 60 and [sum(one in row for row in TABLE) for one in range(6)] == [10] * 6
    runs = [tuple(sorted((first + place) % 6 for place in range(3))) for first in range(6)]
    assert sorted(TABLE[:6]) == sorted(runs)
    runs = [tuple(sorted((first + place) % 6 for place in range(4))) for first in range(6)]
    assert sorted(TABLE[6:12]) == sorted(runs)
    assert TABLE[12:] == ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)) and len(set(TABLE)) == 16


def test_a_map_sees_its_own_maps_alone():
    torch.manual_seed(0)
    conv, x = TabledConv(6, TABLE), draw(2, 6, 9, 8)
    y, first = conv(x), 0
    for number, seen in enumerate(TABLE):
        own = nn.functional.conv2d(x[:, list(seen)], conv.weight[None, first:first + len(seen)],
                                   conv.bias[number:number + 1])
        torch.testing.assert_close(y[:, number:number + 1], own)
        first += len(seen)
    y.sum().backward()
    assert conv.weight.grad.shape == (60, 5, 5) and (conv.weight.grad != 0).all()


def test_the_squashing_function():
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 50.0])
    assert squash(x).tolist() == pytest.approx([1.7159 * math.tanh(2 * value / 3) for value in x.tolist()], abs=1e-6)
    assert squash(x)[3].item() == pytest.approx(1, abs=1e-3)


def test_subsampling_by_hand():
    layer, x = Subsampling(2), draw(1, 2, 4, 6)
    with torch.no_grad():
        layer.coefficient.copy_(torch.tensor([0.5, -0.2]))
        layer.bias.copy_(torch.tensor([0.1, 0.3]))
    y = layer(x)
    assert y.shape == (1, 2, 2, 3)
    total = x[0, 1, 2:4, 4:6].sum().item()
    assert y[0, 1, 1, 2].item() == pytest.approx(1.7159 * math.tanh(2 / 3 * (-0.2 * total + 0.3)), abs=1e-6)
    total = x[0, 0, :2, :2].sum().item()
    assert y[0, 0, 0, 0].item() == pytest.approx(1.7159 * math.tanh(2 / 3 * (0.5 * total + 0.1)), abs=1e-6)


def test_the_network_is_its_layers_one_after_the_other():
    net, x = network(), draw(3, 1, 32, 32) - 0.1
    y = net.s4(squash(net.c3(net.s2(squash(net.c1(x))))))
    state = squash(net.f6(squash(net.c5(y))[:, :, 0, 0]))
    expected = [[sum((state[n] - net.codes[k]) ** 2).item() for k in range(10)] for n in range(3)]
    torch.testing.assert_close(net(x), torch.tensor(expected), rtol=1e-5, atol=1e-4)


def test_weights_begin_uniform_within_their_limits():
    """2.4 by the number of a unit's inputs: 25, 4, 25 times the maps that are seen, 400, 120."""
    net = network()
    for parameter, inputs in ((net.c1.weight, 25), (net.c5.weight, 400), (net.f6.weight, 120), (net.c5.bias, 400)):
        largest = parameter.abs().max().item()
        assert 0.9 * 2.4 / inputs < largest <= 2.4 / inputs, (inputs, largest)
        assert abs(parameter.mean().item()) < 0.25 * 2.4 / inputs
    assert 0.9 * 2.4 / 75 < net.c3.weight[:18].abs().max() <= 2.4 / 75
    assert 0.9 * 2.4 / 100 < net.c3.weight[18:54].abs().max() <= 2.4 / 100
    assert 0.9 * 2.4 / 150 < net.c3.weight[54:].abs().max() <= 2.4 / 150
    assert net.c3.bias[:6].abs().max() <= 2.4 / 75 and net.c3.bias[15].abs() <= 2.4 / 150
    assert 0 < net.s4.coefficient.abs().max() <= 0.6 and 0 < net.s2.bias.abs().max() <= 0.6


def test_codes_are_bitmaps_that_differ():
    digits = codes(10)
    assert digits.shape == (10, 84) and set(digits.unique().tolist()) == {-1.0, 1.0}
    apart = torch.cdist(digits, digits).square() / 4  # pixels that differ
    assert (apart + 100 * torch.eye(10)).min() >= 5
    one = digits[1].view(12, 7)
    assert one[:, 3].eq(1).all() and one[5].tolist() == [-1, -1, -1, 1, -1, -1, -1]
    assert digits[0].view(12, 7).flip(1).equal(digits[0].view(12, 7))
    drawn = codes(12)
    assert drawn.shape == (12, 84) and drawn.equal(codes(12)) and abs(drawn.mean().item()) < 0.15


def test_the_criterion_by_hand():
    distances = torch.tensor([[1.0, 3.0, 0.5], [4.0, 0.2, 2.0]])
    right, others = penalty(distances, torch.tensor([0, 2]), 0.1)
    assert right.tolist() == pytest.approx([1.0, 2.0])
    expected = [math.log(math.exp(-0.1) + sum(math.exp(-value) for value in row)) for row in distances.tolist()]
    assert others.tolist() == pytest.approx(expected, abs=1e-6)
    far, _ = penalty(distances, torch.tensor([1, 0]), 7.0)
    assert far.tolist() == [3.0, 4.0]
    assert penalty(distances, torch.tensor([1, 0]), 7.0)[1][0].item() == pytest.approx(
        math.log(math.exp(-7) + math.exp(-1) + math.exp(-3) + math.exp(-0.5)), abs=1e-6)


@pytest.mark.parametrize("loss", ["map", "mse"])
def test_the_loss_is_the_mean_of_its_terms(loss):
    distances = torch.tensor([[1.0, 3.0, 0.5], [4.0, 0.2, 2.0]])
    net = Calls(lambda x: distances)
    method = LeNet({"loss": loss, "j": 0.1, "outputs": 3})
    image = draw(2, 3, 28, 28)
    terms = method.loss(step_with({"image": image}, {"label": torch.tensor([0, 2])}, {"net": net}))
    assert terms["distance"].item() == pytest.approx(1.5)
    others = penalty(distances, torch.tensor([0, 2]), 0.1)[1]
    assert terms.keys() == ({"distance", "penalty"} if loss == "map" else {"distance"})
    if loss == "map":
        assert terms["penalty"].item() == pytest.approx(others.mean().item())
    assert torch.equal(net.calls[0][0], framed(image))


def test_pictures_come_in_a_frame_of_paper():
    """Black is -0.1 and white 1.175; any size and colour becomes 28 x 28 grey levels."""
    image = torch.zeros(2, 3, 28, 28)
    image[0, :, 0, 0], image[1, :, 27, 5] = 1.0, 51 / 255
    x = framed(image)
    assert x.shape == (2, 1, 32, 32)
    assert x[0, 0, 2, 2].item() == pytest.approx(1.175) and x[1, 0, 29, 7].item() == pytest.approx(-0.1 + 1.275 / 5)
    assert (x < 0).sum() == 2 * 1024 - 2 and x.min().item() == pytest.approx(-0.1)
    colour = torch.zeros(1, 3, 8, 8)
    colour[:, 1] = 1
    assert framed(colour)[0, 0, 10, 10].item() == pytest.approx(-0.1 + 1.275 * 150 / 255)


def test_the_smallest_distance_answers():
    distances = torch.tensor([[1.0, 3.0, 0.5], [4.0, 0.2, 2.0]])
    method = LeNet({"outputs": 3})
    made = method.restore(Model({"net": Calls(lambda x: distances)}), {"image": draw(2, 3, 9, 9)}, 1)
    assert made["label"].argmax(1).tolist() == [2, 1] and torch.equal(made["label"], -distances)
    weights = [math.exp(-value) for value in (1.0, 3.0, 0.5)]
    assert made["probabilities"][0].tolist() == pytest.approx([one / sum(weights) for one in weights])


def test_rates_fall_over_twenty_passes():
    rates = [5e-4 * passes(step, 200) for step in range(0, 200, 10)]
    assert rates == pytest.approx([5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8)
    assert passes(19, 200) == 1 and passes(20, 200) == 0.4


def test_the_recipe():
    method = LeNet({})
    phase = method.phases()[0]
    assert phase.steps == 20 * 60_000 and phase.players[0].schedule is passes
    optimiser = optimiser_of(phase.players[0], method.build())
    assert type(optimiser) is torch.optim.SGD and optimiser.param_groups[0]["momentum"] == 0
    other = LeNet({"optimiser": "adam", "schedule": "linear", "lr": 0.002}).phases()[0].players[0]
    optimiser = optimiser_of(other, method.build())
    assert type(optimiser) is torch.optim.Adam and optimiser.param_groups[0]["lr"] == 0.002
    assert other.schedule(5, 10) == 0.5
    assert method.unsupported("digits") is None and method.unsupported("crops") == "learned the classes of digits"
    with pytest.raises(UserError, match="patch of lenet5 is 32; it must be 28"):
        LeNet({"patch": 32})


def test_a_few_steps_learn_three_pictures():
    method = registry.method("classification", "lenet5", {"lr": 0.01})
    torch.manual_seed(0)
    net = method.build()["net"]
    image, label = (draw(3, 1, 28, 28) > 0.5).float().expand(-1, 3, -1, -1), torch.tensor([1, 4, 7])
    optimiser, losses = torch.optim.Adam(net.parameters(), 0.01), []
    for _ in range(56):
        loss = sum(method.loss(step_with({"image": image}, {"label": label}, {"net": net})).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        made = method.restore(Model({"net": net.eval()}), {"image": image}, 1)
    assert made["label"].argmax(1).tolist() == label.tolist()
    assert np.isfinite(made["probabilities"].numpy()).all()
