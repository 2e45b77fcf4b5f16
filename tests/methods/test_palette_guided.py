"""palette_guided: the card's parameter counts, the network, the judge and the losses against values by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.guided_colorization.palette_guided import Judge, PaletteGuided, PaletteNet, numbers_of
from restore_ml.nn.muon import Muon
from restore_ml.restoring import harness
from restore_ml.serving.export import _candidates
from restore_ml.tasks.optional_inputs import add_optional
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.walk.material import picture

PARTS = registry.parts("guided_colorization")
L, PALETTE = 100 * draw(2, 1, 8, 16), 160 * draw(2, 15, seed=1) - 60
AB = 160 * draw(2, 2, 8, 16, seed=3) - 80


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts():
    """The card's count of the hints network without its classes, and layers of 16, 128, 256, 512 and 512 numbers, 16,
    128 and 256, and 16 and 128."""
    def branch(*sizes: int) -> int:
        return sum((before + 1) * after for before, after in pairwise(sizes))

    with torch.device("meta"):
        networks = PaletteGuided({}).build()
    assert parameters(networks["colorizer"]) == 34_051_074 + branch(16, 128, 256, 512, 512) + branch(
        16, 128, 256) + branch(16, 128) == 34_517_890
    layers = [18, 64, 128, 256, 512, 1024]
    judge = sum((16 * before + 1) * after for before, after in pairwise(layers))
    assert parameters(networks["judge"]) == judge + 9 * 1024**2 + 3 * 8 * 8 * 1024 + 1 == 20_795_329


def test_the_recipe():
    method = PaletteGuided({})
    train, settled = method.phases()
    assert [(phase.name, phase.steps, list(phase.frozen_norm)) for phase in (train, settled)] == [
        ("train", 276_000, []), ("settled", 0, ["colorizer"])]
    assert train.players == settled.players
    small = PaletteGuided({"width": 2, "judge_width": 1, "patch": 32})
    networks = small.build()
    for player, name in zip(small.phases()[0].players, ("judge", "colorizer"), strict=True):
        optimiser = optimiser_of(player, networks)
        assert (player.name, player.networks) == (name, [name]) and isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["weight_decay"]) == (5e-4, 5e-5)
        assert optimiser.defaults["betas"] == (0.9, 0.999) and player.schedule(1000, 276_000) == 1
    assert (method.paper["batch"], method.paper["patch"], method.paper["adversarial"]) == (32, 256, 0.1)
    assert method.inputs == ("palette",) and method.stored_networks == ("colorizer",)
    rates = PaletteGuided({"lr": 0.2, "judge_lr": 0.3, "lr_drops": {"5": 0.1}, "width": 2, "judge_width": 1}).phases()
    for player, rate in zip(rates[0].players, (0.3, 0.2), strict=True):
        assert optimiser_of(player, networks).defaults["lr"] == rate
        assert [player.schedule(step, 9) for step in (4, 5)] == [1, 0.1]


def test_without_an_adversarial_term_there_is_no_judge():
    method = PaletteGuided({"width": 2, "adversarial": 0.0})
    assert list(method.build()) == ["colorizer"]
    assert [player.name for phase in method.phases() for player in phase.players] == ["colorizer", "colorizer"]
    context = step_with({"L": L, "palette": PALETTE}, {"ab": AB}, {"colorizer": Calls(lambda *given: AB / 110)})
    assert list(method.colours_loss(context)) == ["l1"]


def test_small_profiles_move_inner_kernels_of_the_trunk_by_muon():
    method = PaletteGuided({"width": 2, "judge_width": 1, "patch": 32, "muon": 0.02, "lr": 0.003})
    network = method.build()["colorizer"]
    muon, adam = optimiser_of(method.phases()[0].players[1], {"colorizer": network}).param_groups
    assert (muon["lr"], adam["lr"]) == (0.02, 0.003)
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    inner = {named[id(one)] for one in muon["params"]}
    assert inner == {name for name, parameter in network.named_parameters() if parameter.ndim == 4
                     and name.startswith("trunk.") and name not in ("trunk.conv1.0.weight", "trunk.colours.weight")}
    assert len(muon["params"]) + len(adam["params"]) == len(named)
    assert isinstance(optimiser_of(method.phases()[1].players[1], {"colorizer": network}), Muon)


def test_the_numbers_of_a_palette():
    found = numbers_of(torch.full((1, 1, 8, 8), 70.0), torch.arange(15.0)[None])
    expected = []
    for colour in range(5):
        lightness, a, b = 3 * colour, 3 * colour + 1, 3 * colour + 2
        expected += [(lightness - 50) / 100, a / 110, b / 110]
    assert found.shape == (1, 16, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.tensor([*expected, 0.2]))
    two = numbers_of(torch.stack([torch.full((1, 4, 4), 20.0), torch.full((1, 4, 4), 90.0)]), PALETTE)
    torch.testing.assert_close(two[:, 15, 0, 0], torch.tensor([-0.3, 0.4]))


def test_the_palette_is_added_behind_conv4_conv8_and_conv9():
    """The trunk with what the branches give of the sixteen numbers, each of its layers by hand."""
    torch.manual_seed(0)
    net = PaletteNet(2).eval()
    assert set(net.branches) == {"conv4_3", "conv8_3", "conv9_3"}
    numbers = numbers_of(L, PALETTE)[..., 0, 0]
    sizes = {"conv4_3": [4, 8, 16, 16], "conv8_3": [4, 8], "conv9_3": [4]}
    added = {}
    for name, branch in net.branches.items():
        x, layers = numbers, [layer for layer in branch if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in layers] == sizes[name]
        for layer in layers:
            x = functional.linear(x, layer.weight[:, :, 0, 0], layer.bias).clamp(min=0)
        added[name] = x[..., None, None]
    none = torch.zeros(2, 1, 8, 16)
    seen = []

    def at(name, features):
        seen.append(name)
        return features + added.get(name, 0)

    expected = net.trunk(L, none.expand(-1, 2, -1, -1), none, at=at)[0]
    torch.testing.assert_close(net(L, PALETTE), expected)
    assert expected.abs().max() <= 1 and set(added) < set(seen)
    assert (net(L, PALETTE.flip(0)) - expected).abs().max() > 1e-4


def test_first_weights_are_he_s_and_small_where_the_palette_is_added():
    torch.manual_seed(0)
    branch = PaletteNet(16).branches["conv4_3"]
    for place, inputs, share in ((0, 16, 1), (2, 32, 1), (4, 64, 1), (6, 128, 0.1)):
        assert branch[place].weight.square().mean().sqrt().item() == pytest.approx(share * np.sqrt(2 / inputs), rel=0.2)
        assert not branch[place].bias.any()


def test_the_judge_by_hand():
    torch.manual_seed(0)
    judge = Judge(2, 64).eval()
    nn.init.uniform_(judge.score[1].running_mean, -0.2, 0.2)
    colours, numbers = draw(2, 2, 64, 64), draw(2, 16, 1, 1, seed=1)
    x = torch.cat([colours, numbers.repeat(1, 1, 64, 64)], 1)
    convolutions = [layer for layer in judge.main if isinstance(layer, nn.Conv2d)]
    for layer in convolutions[:-1]:
        x = functional.conv2d(x, layer.weight, layer.bias, 2, 1)
        x = torch.where(x > 0, x, 0.01 * x)
    assert len(convolutions) == 6 and convolutions[-1].bias is None and x.shape == (2, 32, 2, 2)
    x = functional.conv2d(x, convolutions[-1].weight, None, 1, 1).reshape(2, 128)
    norm, last = judge.score[1], judge.score[2]
    x = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(judge(colours, numbers), x @ last.weight[0] + last.bias, atol=1e-5, rtol=1e-4)


def step(method: PaletteGuided, made: torch.Tensor, judge: nn.Module):
    network = Calls(lambda lightness, palette: made)
    return network, step_with({"L": L, "palette": PALETTE}, {"ab": AB}, {"colorizer": network, "judge": judge})


@pytest.mark.parametrize("bend", [1.0, 0.05])
def test_the_losses_by_hand(bend):
    """Smooth L1 over pixels and channels; cross-entropy of the judge's scores, weighted in both objectives."""
    method = PaletteGuided({"adversarial": 0.3, "bend": bend})
    made = (1.6 * draw(2, 2, 8, 16, seed=4) - 0.8).requires_grad_()
    judge = Calls(lambda colours, numbers: torch.where(colours.mean((1, 2, 3)) == made.mean((1, 2, 3)), 1.5, -0.5)
                  + 0 * colours.sum())
    network, context = step(method, made, judge)
    terms = method.judge_loss(context)
    assert terms["real"].item() == pytest.approx(0.3 * np.log1p(np.exp(0.5)), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(0.3 * np.log1p(np.exp(1.5)), rel=1e-5)
    assert not terms["fake"].requires_grad
    terms = method.colours_loss(context)
    difference = (made.detach() - AB / 110).abs().double().numpy()
    smooth = np.where(difference < bend, 0.5 * difference**2 / bend, difference - bend / 2).mean()
    assert list(terms) == ["l1", "adversarial"]
    assert terms["l1"].item() == pytest.approx(smooth, rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(0.3 * np.log1p(np.exp(-1.5)), rel=1e-5)
    assert len(network.calls) == 1 and torch.equal(network.calls[0][0], L)  # one pass a step
    true, fake, again = judge.calls
    torch.testing.assert_close(true[0], AB / 110)
    assert torch.equal(fake[0], made) and not fake[0].requires_grad and again[0].requires_grad
    for call in judge.calls:
        torch.testing.assert_close(call[1], numbers_of(L, network.calls[0][1]))


def test_what_each_player_moves():
    torch.manual_seed(0)
    method = PaletteGuided({"width": 2, "judge_width": 1, "patch": 32})
    networks = method.build()
    inputs = {"L": 100 * draw(2, 1, 32, 32), "palette": PALETTE}
    context = step_with(inputs, {"ab": 160 * draw(2, 2, 32, 32, seed=3) - 80}, networks)
    sum(method.judge_loss(context).values()).backward()
    assert all(parameter.grad is not None for parameter in networks["judge"].parameters())
    assert all(parameter.grad is None for parameter in networks["colorizer"].parameters())
    sum(method.colours_loss(context).values()).backward()
    assert all(parameter.grad is not None for parameter in networks["colorizer"].parameters())


def colours_of(palette: torch.Tensor) -> list[set[tuple[float, ...]]]:
    return [{tuple(round(float(value), 3) for value in colour) for colour in one.view(5, 3)} for one in palette]


def test_training_gives_the_colours_of_a_palette_in_any_order():
    many = {"L": torch.zeros(60, 1, 8, 8), "palette": PALETTE[:1].expand(60, -1)}
    network = Calls(lambda lightness, palette: torch.zeros(60, 2, 8, 8))
    method = PaletteGuided({"adversarial": 0.0})
    method.colours_loss(step_with(many, {"ab": torch.zeros(60, 2, 8, 8)}, {"colorizer": network}))
    given = network.calls[0][1]
    assert colours_of(given) == 60 * colours_of(PALETTE[:1])
    assert len({tuple(one.tolist()) for one in given}) > 20
    firsts = [PALETTE[0].view(5, 3).tolist().index(one.view(5, 3)[0].tolist()) for one in given]
    assert set(firsts) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_truth_and_palette_of_a_share_of_the_samples_are_turned_alike(share):
    count = 300
    ab = torch.tensor([40.0, 10.0]).view(1, 2, 1, 1).expand(count, 2, 4, 4)
    palette = torch.tensor([50.0, 40, 10]).repeat(count, 5)
    network = Calls(lambda lightness, palette: palette[:, 1:3, None, None].expand(-1, -1, 4, 4) / 110)
    terms = PaletteGuided({"turned": share, "adversarial": 0.0}).colours_loss(step_with(
        {"L": torch.zeros(count, 1, 4, 4), "palette": palette}, {"ab": ab}, {"colorizer": network}))
    assert terms["l1"].item() == pytest.approx(0, abs=1e-9)  # truth and palette are the same colour still
    given = network.calls[0][1].view(count, 5, 3)
    assert (given[..., 0] == 50).all()
    angles = torch.atan2(given[:, 0, 2], given[:, 0, 1]) - np.arctan2(10, 40)
    assert (angles.abs() > 1e-3).float().mean().item() == pytest.approx(share, abs=0.08)
    torch.testing.assert_close(given[..., 1:].square().sum(2), torch.full((count, 5), 1700.0), rtol=1e-4, atol=0)


def test_restore_gives_ab():
    network = Calls(lambda lightness, palette: AB / 110)
    ab = PaletteGuided({}).restore(Model({"colorizer": network}), {"L": L, "palette": PALETTE}, 1)["ab"]
    torch.testing.assert_close(ab, AB)
    assert torch.equal(network.calls[0][0], L) and torch.equal(network.calls[0][1], PALETTE)


@pytest.mark.parametrize("wrong", [{"patch": 48}, {"turned": 1.5}, {"turned": -0.1}, {"bend": 0.0}, {"muon": -0.1},
                                   {"adversarial": -1.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        PaletteGuided(wrong)


def test_after_some_steps_another_palette_gives_other_colours_and_another_order_the_same():
    """Pictures of noise in the mean colour of their palette: another palette moves the result as far as it is away, and
    another order by less than a unit of ab, as the card asks. As in small profiles normalisation soon stands still."""
    method = PaletteGuided({"width": 8, "adversarial": 0.0, "bend": 0.01, "lr": 3e-3, "weight_decay": 0.0, "muon": 0.03,
                            "patch": 32})
    torch.manual_seed(0)
    networks = method.build()
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, networks)
    for number in range(100):
        networks["colorizer"].train(number < 30)
        colours = 80 * draw(8, 2, seed=number) - 40
        spread = colours[:, None] + 6 * draw(8, 5, 2, seed=2000 + number) - 3
        palette = torch.cat([torch.full((8, 5, 1), 50.0), spread], 2).flatten(1)
        inputs = {"L": 48 + 4 * draw(8, 1, 16, 16, seed=1000 + number), "palette": palette}
        terms = player.loss(step_with(inputs, {"ab": colours[..., None, None].expand(-1, -1, 16, 16)}, networks))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    model = Model({name: network.eval() for name, network in networks.items()})
    shown = {"L": 48 + 4 * draw(1, 1, 16, 16, seed=5)}

    def restored(a: float, b: float, roll: int = 0) -> torch.Tensor:
        spread = torch.tensor([[-2.0, 0], [2, 0], [0, 0], [0, -2], [0, 2]]) + torch.tensor([a, b])
        palette = torch.cat([torch.full((5, 1), 50.0), spread], 1).roll(roll, 0)
        with torch.no_grad():
            return method.restore(model, {**shown, "palette": palette.flatten()[None]}, 1)["ab"]

    warm, cold = restored(30, 20), restored(-20, -30)
    np.testing.assert_allclose((warm - cold).mean((0, 2, 3)).numpy(), [50, 50], atol=15)
    assert (restored(30, 20, 2) - warm).abs().mean() < 1


def test_any_size_is_padded():
    torch.manual_seed(0)
    method = PaletteGuided({"width": 2, "adversarial": 0.0})
    record = Record("a" * 64, {"image": picture(0, 45, 39)})
    sample = PARTS.cases.sample(record, "hints_10", 1, {"size": 0})
    add_optional(PARTS.optional, sample, "hints_10", 1, record.id)
    model = Model({name: network.eval() for name, network in method.build().items()})
    assert harness.restore(method, model, sample.inputs, 1)["ab"].shape == (45, 39, 2)


def test_an_exported_file_would_lack_the_palette():
    method = PaletteGuided({"width": 2, "adversarial": 0.0})
    model = Model({name: network.eval() for name, network in method.build().items()})
    assert list(_candidates(method, model, 1)) == ["the whole restore: needs the palette beside the picture"]
