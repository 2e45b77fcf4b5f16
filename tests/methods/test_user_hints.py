"""user_hints: the card's parameter counts, the network, both losses and what each moves, against values by hand."""

import numpy as np
import pytest
import torch
from accelerate import PartialState
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.guided_colorization.user_hints import UserHints, class_of, turned
from restore_ml.metrics.colour import ab_class
from restore_ml.nn.hints_network import POINTS, HintsNet
from restore_ml.nn.muon import Muon
from restore_ml.restoring import harness
from restore_ml.training import loop
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.walk.material import picture

PARTS = registry.parts("guided_colorization")
AB = 160 * draw(2, 2, 8, 16, seed=3) - 80
INPUTS = {"L": 100 * draw(2, 1, 8, 16), "hint": 100 * draw(2, 2, 8, 16, seed=1) - 50,
          "hinted": (draw(2, 1, 8, 16, seed=2) > 0.8).float()}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_card_s_parameter_counts():
    with torch.device("meta"):
        for width, count in ((64, 34_051_074), (8, 533_954)):
            net = HintsNet(width)
            assert parameters(net) - parameters(net.classes) == count
        assert parameters(HintsNet(16)) == 2_165_843
        assert parameters(UserHints({}).build()["colorizer"]) == 34_187_027


def test_the_recipe():
    classes, colours, settled = UserHints({}).phases()
    assert [phase.name for phase in (classes, colours, settled)] == ["classes", "colours", "settled"]
    assert (classes.steps, colours.steps, settled.steps) == (768_000, 768_000, 0)
    assert [list(phase.frozen_norm) for phase in (classes, colours, settled)] == [[], [], ["colorizer"]]
    assert settled.players == colours.players  # one optimiser, which goes on
    network = UserHints({"width": 2}).build()
    for phase, rate in ((classes, 1e-4), (colours, 1e-5)):
        [player] = phase.players
        optimiser = optimiser_of(player, network)
        assert isinstance(optimiser, torch.optim.Adam) and player.networks == ["colorizer"]
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.9, 0.999))
    assert [classes.players[0].schedule(step, 768_000) for step in (0, 767_999)] == [1, 1]
    assert [colours.players[0].schedule(step, 768_000) for step in (0, 511_999, 512_000)] == [1, 1, 0.1]
    assert (UserHints.paper["batch"], UserHints.paper["patch"], UserHints.paper["hint_rate"]) == (25, 176, 1 / 8)
    assert (UserHints.paper["hint_sides"], UserHints.paper["hint_whole"]) == ([1, 9], 0.01)
    mine = UserHints({"steps": {"classes": 3, "colours": 4, "settled": 5}}).phases()
    assert [phase.steps for phase in mine] == [3, 4, 5]


def test_each_phase_trains_at_its_own_rate(tmp_path):
    """The loop makes one optimiser for each name of a player: a shared name would keep the first phase's rate."""
    method = UserHints({"width": 2})
    training = loop._start(loop.Job(method, "user_hints", 1, None, tmp_path), PartialState(cpu=True))
    rates = []
    for number, phase in enumerate(method.phases()):
        loop._enter(training, method.phases(), number)
        rates += [training.optimisers[player.name].param_groups[0]["initial_lr"] for player in phase.players]
    assert rates == [1e-4, 1e-5, 1e-5]


def test_small_profiles_move_inner_kernels_by_muon_and_the_rest_by_adam():
    method = UserHints({"width": 2, "muon": 0.02, "colour_lr": 0.003, "betas": [0.8, 0.9]})
    network = method.build()["colorizer"]
    optimiser = optimiser_of(method.phases()[1].players[0], {"colorizer": network})
    muon, adam = optimiser.param_groups
    assert isinstance(optimiser, Muon) and (muon["lr"], adam["lr"], adam["betas"]) == (0.02, 0.003, (0.8, 0.9))
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    first = ["conv1.0.weight", "conv1.0.bias", "colours.weight", "colours.bias", "classes.weight", "classes.bias"]
    assert sorted(named[id(one)] for one in muon["params"]) == sorted(
        name for name, parameter in network.named_parameters() if parameter.ndim == 4 and name not in first)
    assert set(first) < {named[id(one)] for one in adam["params"]}
    assert len(muon["params"]) + len(adam["params"]) == len(named)


def block(layers: nn.Sequential, x: torch.Tensor, dilation: int = 1) -> torch.Tensor:
    """3 x 3 convolutions, each with ReLU, then batch normalisation by its running statistics."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            assert layer.kernel_size == (3, 3)
            x = functional.conv2d(x, layer.weight, layer.bias, 1, dilation, dilation).clamp(min=0)
    norm = layers[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)


def test_the_network_by_hand():
    torch.manual_seed(0)
    net = HintsNet(2).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    seen = torch.cat([INPUTS["L"] / 100 - 0.5, INPUTS["hint"] * INPUTS["hinted"] / 110, INPUTS["hinted"] - 0.5], 1)
    one = block(net.conv1, seen)
    two = block(net.conv2, one[:, :, ::2, ::2])
    three = block(net.conv3, two[:, :, ::2, ::2])
    deep = block(net.conv4, three[:, :, ::2, ::2])
    deep = block(net.conv7, block(net.conv6, block(net.conv5, deep, 2), 2))

    def up(layer, shortcut, x, before):
        return (functional.conv_transpose2d(x, layer.weight, layer.bias, 2, 1)
                + functional.conv2d(before, shortcut.weight, shortcut.bias, padding=1)).clamp(min=0)

    eight = block(net.conv8, up(net.up8, net.short8, deep, three))
    nine = block(net.conv9, up(net.up9, net.short9, eight, two))
    layer = net.conv10[1]
    ten = functional.conv2d(up(net.up10, net.short10, nine, one), layer.weight, layer.bias, padding=1)
    ten = torch.where(ten > 0, ten, 0.2 * ten)
    expected = functional.conv2d(ten, net.colours.weight, net.colours.bias).tanh()
    classes = functional.conv2d(eight, net.classes.weight, net.classes.bias)
    found = net(*INPUTS.values())
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1], classes, atol=1e-5, rtol=1e-4)
    assert found[0].shape == (2, 2, 8, 16) and found[1].shape == (2, 529, 2, 4)
    assert [len([layer for layer in part if isinstance(layer, nn.Conv2d)]) for part in (
        net.conv1, net.conv2, net.conv3, net.conv4, net.conv5, net.conv6, net.conv7, net.conv8, net.conv9)] == [
            2, 2, 3, 3, 3, 3, 3, 2, 1]


def test_features_are_shown_at_thirteen_points_and_what_is_given_back_goes_on():
    torch.manual_seed(0)
    net, seen = HintsNet(2).eval(), {}
    plain = net(*INPUTS.values())
    assert torch.equal(net(*INPUTS.values(), at=seen.setdefault)[0], plain[0])
    assert {name: (one.shape[1], 8 // one.shape[2]) for name, one in seen.items()} == {
        name: (2 * channels, divisor) for name, (channels, divisor) in POINTS.items()}
    assert list(seen) == list(POINTS) and len(POINTS) == 13
    torch.testing.assert_close(seen["conv8_3"], net.conv8(seen["conv8_up"]))
    torch.testing.assert_close(seen["conv10_2"], net.conv10(seen["conv10_up"]))
    torch.testing.assert_close(plain[0], net.colours(seen["conv10_2"]).tanh())
    torch.testing.assert_close(seen["conv10_up"], net.up10(seen["conv9_3"]) + net.short10(seen["conv1_2"]))
    for point in POINTS:
        changed = net(*INPUTS.values(), at=lambda name, x, point=point: x + 1 if name == point else x)[0]
        assert not torch.equal(changed, plain[0])


def test_the_first_weights_are_he_s_but_small_in_the_last_layers_and_large_for_hints():
    torch.manual_seed(0)
    net = HintsNet(16)
    first = net.conv1[0].weight.square().mean((0, 2, 3)).sqrt() / np.sqrt(2 / (4 * 9))
    assert first.tolist() == pytest.approx([1, 5, 5, 1], rel=0.25)
    for layer, inputs, share in ((net.conv1[2], 16 * 9, 1), (net.conv7[0], 128 * 9, 1), (net.short8, 64 * 9, 1),
                                 (net.colours, 32, 0.1), (net.classes, 64, 0.1)):
        assert layer.weight.square().mean().sqrt().item() == pytest.approx(share * np.sqrt(2 / inputs), rel=0.2)
        assert not layer.bias.any()


def test_hints_count_where_they_are_given_alone():
    """Noise under hinted = 0 changes nothing; a hint of (0, 0) is not the same as none."""
    torch.manual_seed(0)
    net = HintsNet(2).eval()
    clean = net(INPUTS["L"], INPUTS["hint"] * INPUTS["hinted"], INPUTS["hinted"])[0]
    torch.testing.assert_close(net(*INPUTS.values())[0], clean)
    none = torch.zeros_like(INPUTS["hinted"])
    assert (net(INPUTS["L"], 0 * INPUTS["hint"], none)[0] - net(INPUTS["L"], 0 * INPUTS["hint"], none + 1)[0]
            ).abs().max() > 1e-3


@pytest.mark.parametrize(("settings", "share"), [({}, 0.01), ({"hint_whole": 0.3}, 0.3), ({"hint_whole": 0.0}, 0.0)])
def test_a_share_of_the_training_pictures_gives_every_colour(settings, share):
    [record] = PARTS.training.records([Record("a", {"image": picture(0, 32, 32)})], 1, {"size": 32})
    run = {"patch": 16, "hint_sides": [1, 2], **settings}
    samples = [PARTS.training.sample(record, {}, np.random.default_rng(seed), run, {}) for seed in range(600)]
    whole = [sample for sample in samples if sample.inputs["hinted"].all()]
    assert len(whole) / 600 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 600))
    assert all(np.array_equal(sample.inputs["hint"], sample.target["ab"]) for sample in whole)


def test_classes_are_the_nearest_points_of_the_grid():
    np.testing.assert_array_equal(class_of(AB).numpy(), [ab_class(one.permute(1, 2, 0).numpy()) for one in AB])
    edge = torch.tensor([[-110.0, 110.0, 4.9, -200.0], [110.0, -110.0, 5.1, 200.0]]).view(1, 2, 1, 4)
    assert class_of(edge).flatten().tolist() == [22, 22 * 23, 11 * 23 + 12, 22]


@pytest.mark.parametrize("phase", ["classes", "colours"])
def test_the_losses_by_hand(phase):
    """Cross-entropy at every fourth pixel; ten times Huber's loss, quadratic below 1 / 110, summed over a and b."""
    logits, colours = draw(2, 529, 2, 4, seed=5), 1.6 * draw(2, 2, 8, 16, seed=4) - 0.8
    colours[:, :, :4] = AB[:, :, :4] / 110 + 0.004
    network = Calls(lambda *arguments: (colours, logits))
    method = UserHints({})
    loss = method.classes_loss if phase == "classes" else method.colours_loss
    terms = loss(step_with(dict(INPUTS), {"ab": AB, "rgb": AB}, {"colorizer": network}))
    truth = np.rint(AB[:, :, ::4, ::4].double().numpy() / 10) + 11
    entropy = -logits.double().log_softmax(1).numpy()
    expected = [entropy[n, int(23 * truth[n, 0, row, column] + truth[n, 1, row, column]), row, column]
                for n in range(2) for row in range(2) for column in range(4)]
    difference = np.abs(colours.double().numpy() - AB.double().numpy() / 110)
    huber = np.where(difference < 1 / 110, 0.5 * 110 * difference**2, difference - 0.5 / 110).sum(1).mean()
    assert list(terms) == ["classes", "huber"]
    assert terms["classes"].item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert terms["huber"].item() == pytest.approx(10 * huber, rel=1e-5)
    [call] = network.calls
    assert torch.equal(call[0], INPUTS["L"]) and call[3] is (phase == "classes")
    for place, name in ((1, "hint"), (2, "hinted")):
        assert torch.equal(call[place], INPUTS[name]) == (phase == "colours")
        assert phase == "colours" or not call[place].any()


def test_colours_are_turned_about_grey():
    """By a quarter: a becomes b, b becomes -a; chroma stays."""
    angles = torch.tensor([torch.pi / 2, 0.4])
    found = turned(AB, angles)
    torch.testing.assert_close(found[0], torch.stack([-AB[0, 1], AB[0, 0]]), atol=1e-4, rtol=0)
    expected = np.exp(0.4j) * (AB[1, 0] + 1j * AB[1, 1]).numpy()
    np.testing.assert_allclose(found[1].numpy(), [expected.real, expected.imag], atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_truth_and_hints_of_a_share_of_the_samples_are_turned_alike(share):
    count = 400
    inputs = {name: torch.zeros(count, channels, 4, 4) for name, channels in (("L", 1), ("hint", 2), ("hinted", 1))}
    inputs["hint"][:, 0] = 50.0
    network = Calls(lambda lightness, hint, hinted, classify: (hint / 110, torch.zeros(count, 529, 1, 1)))
    terms = UserHints({"turned": share}).colours_loss(step_with(inputs, {"ab": inputs["hint"].clone()},
                                                                {"colorizer": network}))
    assert terms["huber"].item() == pytest.approx(0, abs=1e-9)  # truth and hints are the same colour still
    a, b = network.calls[0][1][:, :, 0, 0].T
    angles = torch.atan2(b, a)
    assert (angles.abs() > 1e-3).float().mean().item() == pytest.approx(share, abs=0.08)
    torch.testing.assert_close(a.square() + b.square(), torch.full((count,), 2500.0), rtol=1e-4, atol=0)
    assert share == 0 or (angles.min() < -2.5 and angles.max() > 2.5)


@pytest.mark.parametrize(("classify", "term", "moved"), [
    (True, "classes", "conv1 conv2 conv3 conv4 conv5 conv6 conv7 up8 short8 conv8 classes"),
    (True, "huber", "up9 short9 conv9 up10 short10 conv10 colours"),
    (False, "classes", "classes"),
    (False, "huber", "conv1 conv2 conv3 conv4 conv5 conv6 conv7 up8 short8 conv8 up9 short9 conv9 up10 short10 conv10 "
                     "colours")])
def test_what_each_term_moves(classify, term, moved):
    torch.manual_seed(0)
    method = UserHints({"width": 2})
    networks = method.build()
    loss = method.classes_loss if classify else method.colours_loss
    loss(step_with(dict(INPUTS), {"ab": AB}, networks))[term].backward()
    found = {name.partition(".")[0] for name, parameter in networks["colorizer"].named_parameters()
             if parameter.grad is not None and parameter.grad.any()}
    assert found == set(moved.split())


def test_restore_gives_ab():
    network = Calls(lambda *arguments: (0.5 * INPUTS["hint"] / 50, None))
    ab = UserHints({}).restore(Model({"colorizer": network}), INPUTS, 1)["ab"]
    torch.testing.assert_close(ab, 1.1 * INPUTS["hint"])
    assert all(torch.equal(one, other) for one, other in zip(network.calls[0], INPUTS.values(), strict=True))


@pytest.mark.parametrize("wrong", [{"patch": 60}, {"hint_sides": [3, 1]}, {"hint_sides": [0, 3]}, {"hint_sides": [1]},
                                   {"hint_rate": 0.0}, {"hint_rate": 1.5}, {"turned": 1.5}, {"hint_whole": -0.1},
                                   {"muon": -0.1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        UserHints(wrong)


def test_a_few_steps_lower_the_objective_and_hints_are_used():
    """One picture: the loss falls by half, and with its hints the network is nearer to the truth than without."""
    method = UserHints({"width": 4, "patch": 32, "colour_lr": 3e-3, "lr_drops": {}})
    [record] = PARTS.training.records([Record("a", {"image": picture(0, 64, 80)})], 1, {"size": 32})
    run = {"patch": 32, "hint_rate": 0.05, "hint_sides": [2, 4]}
    samples = [PARTS.training.sample(record, {}, np.random.default_rng(seed), run, {}) for seed in range(6)]
    sides = [{name: torch.from_numpy(np.stack([getattr(sample, side)[name] for sample in samples])).movedim(3, 1)
              for name in names} for side, names in (("inputs", ("L", "hint", "hinted")), ("target", ("ab",)))]
    torch.manual_seed(0)
    networks, values = method.build(), []
    [player] = method.phases()[1].players
    optimiser = optimiser_of(player, networks)
    for _ in range(40):
        terms = player.loss(step_with(*sides, networks))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        values.append(terms["huber"].item())
    assert values[-1] < 0.5 * values[0]
    none = {**sides[0], "hint": 0 * sides[0]["hint"], "hinted": 0 * sides[0]["hinted"]}
    assert method.colours_loss(step_with(none, sides[1], networks))["huber"].item() > 1.1 * values[-1]


def test_any_size_is_padded():
    torch.manual_seed(0)
    method = UserHints({"width": 2})
    sample = PARTS.cases.sample(Record("a" * 64, {"image": picture(0, 45, 39)}), "hints_10", 1, {"size": 0})
    model = Model({name: network.eval() for name, network in method.build().items()})
    assert harness.restore(method, model, sample.inputs, 1)["ab"].shape == (45, 39, 2)
