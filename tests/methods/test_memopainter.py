"""memopainter: memory, triplet loss, judge and generator against values by hand; few pictures are remembered."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab, to_rgb8
from restore_ml.method import Context, Model
from restore_ml.methods.colorization import memopainter
from restore_ml.methods.colorization.memopainter import (
    Judge,
    MemoPainter,
    Memory,
    cosines,
    threshold_triplet,
)
from restore_ml.nn.colour_features import distribution, dominant_colours
from restore_ml.restoring import harness
from restore_ml.restoring.loading import load_model
from restore_ml.seeds import derive
from restore_ml.training.train import train_run
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.layers import conv, layers_of, parameters

SMALL: dict[str, Any] = {"slots": 5, "key": 4, "top": 3, "tap": "relu1_1", "channels": 3, "levels": 3, "width": 4,
                         "hidden": 8, "dropout": False, "disc_width": 2, "patch": 32}
LIGHT, AB = 100 * draw(2, 1, 32, 32), 80 * draw(2, 2, 32, 32, seed=1)
LIGHT[1], AB[1] = LIGHT[1] / 3, AB[1] - 80  # two pictures of other lightness and colours
COLOURS = distribution(AB)
LIFT = nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> MemoPainter:
    return MemoPainter({**SMALL, **settings})


def means(picture: torch.Tensor, taps: list[str]) -> dict[str, torch.Tensor]:
    """A feature network of three channels."""
    return {taps[0]: torch.cat([picture[:, :1], picture[:, :1].square(), 1 - picture[:, :1]], 1)}


def step(networks: dict[str, nn.Module], state: dict[str, torch.Tensor] | None = None, **changes: Any) -> Context:
    inputs = {"L": LIGHT, "colours": COLOURS, **changes}
    context = step_with(inputs, {"ab": AB}, networks, Calls(means))
    context.state = {} if state is None else state
    context.ids = ["a", "b"]
    return context


def memory_of(count: int = 5, key: int = 4) -> dict[str, torch.Tensor]:
    """A memory of unit vectors and one-hot colours, written long ago."""
    return {"keys": functional.normalize(draw(count, key, seed=4) - 0.5, dim=1), "values": torch.eye(313)[:count],
            "ages": torch.arange(10.0, 10 + count), "pictures": torch.full((count,), -1)}


# --- networks ---------------------------------------------------------------------------------------------------------


def test_networks_at_paper_size() -> None:
    with torch.device("meta"):
        networks = MemoPainter({}).build()
        assert parameters(networks["memory"]) == 512 * 512 + 512
        assert parameters(networks["generator"].unet) == 54_405_506
        judge = sum((conv(before, after, 4) for before, after in ((316, 64), (64, 128), (128, 256), (256, 512),
                                                                 (512, 1024))), 0) + 1024 * 1024 * 9
        assert parameters(networks["discriminator"]) == judge + 65_537
        assert networks["memory"].keys.shape == (982, 512) and networks["memory"].values.shape == (982, 313)
        rgb = MemoPainter({"feature": "rgb"}).build()
        assert rgb["memory"].values.shape == (982, 30) and rgb["generator"].numbers[0].in_features == 30
        assert rgb["discriminator"].first.in_channels == 33
    assert layers_of(networks["discriminator"]) == [
        word for width in (64, 128, 256, 512, 1024) for word in (f"conv4/2 {width}", "leaky 0.01")] + [
            "conv3/1 1024", "linear 1"]
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in networks["discriminator"].modules())


def test_the_judge_sees_ab_lightness_and_colours_at_every_pixel() -> None:
    torch.manual_seed(0)
    judge = Judge(316, 32, 2).eval()
    nn.init.normal_(judge.first.bias)
    seen = torch.cat([AB / 110, LIGHT / 100, COLOURS[:, :, None, None].expand(-1, -1, 32, 32)], 1)
    expected = judge.layers(functional.conv2d(seen, judge.first.weight, judge.first.bias, 2, 1))
    torch.testing.assert_close(judge(AB / 110, LIGHT / 100, COLOURS), expected)
    judge.layers = Calls(lambda x: x)  # type: ignore[assignment]
    torch.testing.assert_close(judge(AB / 110, LIGHT / 100, COLOURS), judge.first(seen), atol=1e-5, rtol=1e-4)


def test_the_judge_learns_to_tell_grey_from_colours() -> None:
    """Where each batch of true or of made pictures is normalised by itself, its loss never falls below 2 log 2."""
    torch.manual_seed(0)
    method, networks = made(), {"discriminator": Judge(316, 32, 2), "generator": Calls(
        lambda lightness, colours: torch.zeros(2, 2, 32, 32))}
    optimiser, losses = torch.optim.Adam(networks["discriminator"].parameters(), 0.02), []
    for _ in range(25):
        loss = sum(method.discriminator_loss(step(networks)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.1) and losses[-1] < 0.5


def test_queries_have_length_one_and_read_the_nearest_written_slot() -> None:
    torch.manual_seed(0)
    memory, seen = Memory(3, 4, 5, 2), draw(6, 3)
    queries = memory(seen)
    torch.testing.assert_close(queries, functional.normalize(memory.linear(seen), dim=1))
    memory.keys.copy_(functional.normalize(draw(5, 4, seed=2) - 0.5, dim=1))
    memory.values.copy_(draw(5, 2, seed=3))
    memory.pictures.copy_(torch.tensor([3, -1, 0, 8, -1]))
    every = torch.cat([queries.detach(), memory.keys])  # of the keys those that were written find themselves
    for query, found in zip(every, memory.colours(every), strict=True):
        nearest = max((0, 2, 3), key=lambda slot: float(query @ memory.keys[slot]))
        assert torch.equal(found, memory.values[nearest])


def test_features_are_channel_means_of_the_grey_of_that_lightness() -> None:
    network = Calls(means)
    found = made().features_of(network, LIGHT)
    grey = grey_from_lightness(LIGHT)
    torch.testing.assert_close(found, torch.stack([grey.mean((1, 2, 3)), grey.square().mean((1, 2, 3)),
                                                   1 - grey.mean((1, 2, 3))], 1))
    [(picture, taps)] = network.calls
    assert torch.equal(picture, grey.expand(-1, 3, -1, -1)) and taps == ["relu1_1"]
    made(tap="relu2_3").features_of(network, LIGHT)
    assert network.calls[1][1] == ["relu2_3"]
    with pytest.raises(UserError, match="3 channels; set `channels`"):
        made(channels=8).features_of(network, LIGHT)
    with pytest.raises(UserError, match="slot `features`"):
        made().features_of(None, LIGHT)


def test_keys_are_compared_in_float32_also_under_autocast() -> None:
    queries, keys = (functional.normalize(draw(count, 64, seed=count), dim=1) for count in (3, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = cosines(queries, keys)
    torch.testing.assert_close(found, queries @ keys.T)


# --- the triplet loss -------------------------------------------------------------------------------------------------


def test_the_threshold_triplet_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.6, 0.5], [0.9, 0.6, 0.5], [-0.2, -0.4, -0.9], [0.8, 0.7, 0.1], [0.8, 0.7, 0.1]])
    positive = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]]).bool()
    # the best of either: .9 - .6 + .5 = .8; .6 - .9 + .5 = .2; -.2 + .9 + .5 = 1.2; nothing alike: 0; all alike: 0
    assert threshold_triplet(scores, positive, 0.5).item() == pytest.approx((0.8 + 0.2 + 1.2 + 0 + 0) / 5)


def test_the_triplet_s_gradient_pulls_the_alike_and_pushes_the_other() -> None:
    scores = torch.tensor([[0.9, 0.6, 0.5], [0.8, 0.7, 0.1]], requires_grad=True)
    threshold_triplet(scores, torch.tensor([[0, 1, 1], [0, 0, 0]]).bool(), 0.1).backward()
    assert scores.grad is not None and scores.grad.tolist() == [[0.5, -0.5, 0], [0, 0, 0]]


def test_the_memory_s_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The `top` nearest keys, alike where the distance of their colours to the picture's is below the threshold."""
    torch.manual_seed(0)
    method, network, state = made(margin=0.3), Memory(3, 4, 5, 313), memory_of()
    state["values"] = torch.stack([COLOURS[0], COLOURS[1], *torch.eye(313)[:3]])
    given: list[Any] = []
    monkeypatch.setattr(memopainter, "threshold_triplet", lambda *a: (given.append(a), torch.tensor(0.4))[1])
    context = step({"memory": network}, state)
    terms = method.memory_loss(context)
    scores = network(method.features_of(Calls(means), LIGHT)) @ state["keys"].T
    best, slots = scores.topk(3, 1)
    assert set(terms) == {"triplet"} and terms["triplet"].item() == pytest.approx(0.4)
    torch.testing.assert_close(given[0][0], best)
    assert given[0][1].tolist() == [[int(slot) == place for slot in row] for place, row in enumerate(slots)] or (
        given[0][1].tolist() == [[bool(method.alike(state["values"][slot], COLOURS[place])) for slot in row]
                                 for place, row in enumerate(slots)])
    assert given[0][2] == 0.3 and given[0][0].requires_grad
    before = {name: value.clone() for name, value in state.items()}
    assert all(torch.equal(value, before[name]) for name, value in state.items())
    assert made(top=99).memory_loss(step({"memory": network}, state))  # more than there are slots: all


def test_colours_are_alike_below_the_feature_s_own_threshold() -> None:
    one, other = torch.zeros(313), torch.zeros(313)
    one[0], other[0], other[1] = 1, 0.25, 0.75
    distance = math.log10(4)  # 0.602
    assert made(thresholds={"dist": 0.61}).alike(one, other) and not made(thresholds={"dist": 0.6}).alike(one, other)
    assert distance == pytest.approx(0.602, abs=1e-3)
    grey, dark = torch.full((30,), 0.5), torch.full((30,), 0.4)
    rgb = {"feature": "rgb"}
    # L of the two greys is 53.39 and 42.37: by CIEDE2000 11.0 over 1.003
    assert made(**rgb, thresholds={"rgb": 11.5}).alike(grey, dark)
    assert not made(**rgb, thresholds={"rgb": 9.5}).alike(grey, dark)


# --- the memory -------------------------------------------------------------------------------------------------------


def remembered(method: MemoPainter, network: nn.Module, state: dict[str, torch.Tensor], number: int = 0,
               steps: int = 10) -> Context:
    context = step({"memory": network}, state)
    context.step, context.steps = number, steps
    with torch.no_grad():
        method.remember(context)
    return context


def test_pictures_of_other_colours_go_to_the_oldest_slots() -> None:
    torch.manual_seed(0)
    method, network, state = made(age_noise=0.0), Memory(3, 4, 5, 313), memory_of()
    before = {name: value.clone() for name, value in state.items()}
    remembered(method, network, state)
    queries = network(method.features_of(Calls(means), LIGHT))
    for place, slot in ((0, 4), (1, 3)):  # the oldest, then the oldest of those that are left
        torch.testing.assert_close(state["keys"][slot], queries[place])
        assert torch.equal(state["values"][slot], COLOURS[place])
        assert int(state["pictures"][slot]) == derive("ab"[place]) % 2**62
    for name in ("keys", "values", "pictures"):
        assert torch.equal(state[name][:3], before[name][:3])
    assert state["ages"].tolist() == [11, 12, 13, 0, 0]


def test_a_picture_of_the_same_colours_moves_its_key_and_keeps_the_slot_s_colours() -> None:
    torch.manual_seed(0)
    method, network, state = made(), Memory(3, 4, 5, 313), memory_of()
    queries = network(method.features_of(Calls(means), LIGHT)).detach()
    near = 0.9 * COLOURS[0] + 0.1 * COLOURS[1]
    key = functional.normalize(queries[0] + 0.05, dim=0)
    state["keys"][1], state["values"][1] = key, near
    state["keys"][2], state["values"][2] = -key, near  # the same colours far away are another matter
    both = {"L": LIGHT[:1].repeat(2, 1, 1, 1), "colours": COLOURS[:1].repeat(2, 1)}
    context = step({"memory": network}, state, **both)
    with torch.no_grad():
        method.remember(context)
    once = functional.normalize(key + queries[0], dim=0)
    torch.testing.assert_close(state["keys"][1], functional.normalize(once + queries[0], dim=0))  # one after the other
    assert torch.equal(state["values"][1], near) and int(state["pictures"][1]) == -1
    assert state["ages"].tolist() == [11, 0, 13, 14, 15]
    torch.testing.assert_close(state["keys"].norm(dim=1), torch.ones(5))


def test_the_divergence_is_of_the_memory_s_colours_from_the_picture_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one class in the memory, a quarter of it in the picture: log 4 = 0.602; the other way round it is above 5.
    """
    torch.manual_seed(0)
    method, network, state = made(thresholds={"dist": 0.61}), Memory(3, 4, 5, 313), memory_of()
    colours = torch.zeros(2, 313)
    colours[:, 0], colours[:, 1] = 0.25, 0.75
    state["values"][:] = torch.eye(313)[0]
    given: list[Any] = []
    monkeypatch.setattr(memopainter, "threshold_triplet", lambda *a: (given.append(a), torch.tensor(0.4))[1])
    context = step({"memory": network}, state, colours=colours)
    method.memory_loss(context)
    assert given[0][1].all()
    with torch.no_grad():
        method.remember(context)
    assert (state["pictures"] == -1).all() and (state["values"] == torch.eye(313)[0]).all()


def test_noise_decides_between_slots_of_about_one_age() -> None:
    torch.manual_seed(0)
    method, network = made(age_noise=4.0), Memory(3, 4, 5, 313)
    chosen = set()
    for seed in range(12):
        state = memory_of()
        state["ages"] = torch.tensor([0.0, 20, 21, 22, 23])
        context = step({"memory": network}, state)
        context.generator.manual_seed(seed)
        with torch.no_grad():
            method.remember(context)
        chosen |= set(torch.nonzero(state["ages"] == 0).flatten().tolist())
        assert len(torch.nonzero(state["ages"] == 0)) == 2
    assert len(chosen) >= 3 and 0 not in chosen


def test_the_same_picture_again_and_again_takes_one_slot() -> None:
    torch.manual_seed(0)
    method, network = made(), Memory(3, 4, 5, 313)
    state = method.extra_state()
    for number in range(9):
        remembered(method, network, state, number, 99)
    assert int((state["pictures"] >= 0).sum()) == 2 and state["keys"].shape == (5, 4)  # two pictures
    assert (state["ages"] >= 0).all()
    torch.testing.assert_close(state["keys"].norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("feature", ["dist", "rgb"])
def test_the_memory_begins_with_keys_of_length_one_that_no_picture_wrote(feature: str) -> None:
    state = made(feature=feature).extra_state()
    torch.testing.assert_close(state["keys"].norm(dim=1), torch.ones(5))
    assert state["keys"].min() < -0.1 and not state["ages"].any() and (state["pictures"] == -1).all()
    assert state["values"].shape == (5, 313 if feature == "dist" else 30) and state["values"].min() >= 0
    assert feature == "rgb" or torch.allclose(state["values"].sum(1), torch.ones(5))
    assert feature == "dist" or state["values"].max() > 0.9


def test_with_the_last_step_the_memory_becomes_part_of_the_model() -> None:
    torch.manual_seed(0)
    method, network, state = made(), Memory(3, 4, 5, 313), memory_of()
    remembered(method, network, state, 8)
    assert not network.keys.any() and (network.pictures == -1).all()
    remembered(method, network, state, 9)
    for name in ("keys", "values", "pictures"):
        assert torch.equal(getattr(network, name), state[name])
    assert {"memory.keys", "memory.values", "memory.pictures"} <= set(method.store({**method.build(),
                                                                                    "memory": network}))


# --- judge and generator ----------------------------------------------------------------------------------------------


def players() -> dict[str, nn.Module]:
    """A painter whose colours are lightness and half of it, and a judge of ab, lightness and colours."""
    return {"generator": Calls(lambda lightness, colours: torch.cat([lightness + LIFT, lightness / 2 + LIFT], 1)),
            "discriminator": Calls(lambda ab, lightness, colours: 3 * (ab * lightness).mean((1, 2, 3))[:, None]
                                   + colours[:, :150].sum(1)[:, None])}


def by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The painter's ab / 110, the true one, and the judge's logits of both."""
    lightness = LIGHT.double().numpy() / 100
    fake = np.concatenate([lightness + 0.1, lightness / 2 + 0.1], 1)
    true = AB.double().numpy() / 110
    own = COLOURS[:, :150].double().numpy().sum(1)
    return fake, true, *(3 * (ab * lightness).mean((1, 2, 3)) + own for ab in (fake, true))


def test_the_judge_s_terms_by_hand() -> None:
    networks = players()
    terms = made().discriminator_loss(step(networks))
    _, _, of_fake, of_true = by_hand()
    assert terms["real"].item() == pytest.approx(np.log1p(np.exp(-of_true)).mean(), rel=1e-4)
    assert terms["fake"].item() == pytest.approx(np.log1p(np.exp(of_fake)).mean(), rel=1e-4)
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert torch.equal(networks["generator"].calls[0][1], COLOURS)  # its own colours, not the memory's


def test_the_generator_s_terms_by_hand() -> None:
    terms = made(adversarial=2.0, regression=5.0).generator_loss(step(players()))
    fake, true, of_fake, _ = by_hand()
    difference = np.abs(fake - true)
    smooth = np.where(difference < 1, difference**2 / 2, difference - 0.5)
    assert difference.max() > 1  # both branches
    assert terms["adversarial"].item() == pytest.approx(2 * np.log1p(np.exp(-of_fake)).mean(), rel=1e-4)
    assert terms["smooth_l1"].item() == pytest.approx(5 * smooth.mean(), rel=1e-4)
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_features_and_generator_run_once_a_step_and_nothing_moves_the_features() -> None:
    torch.manual_seed(0)
    method, networks = made(), {**players(), "memory": Memory(3, 4, 5, 313)}
    state = memory_of()
    state["values"][:] = COLOURS[0]
    state["values"][:2] = torch.eye(313)[:2]
    context = step(networks, state)
    [phase] = method.phases()
    for player in phase.players:
        player.loss(context)
        if player.after:
            with torch.no_grad():
                player.after(context)
    assert len(networks["generator"].calls) == 1 and len(context.slots["features"].calls) == 1
    assert [(player.name, player.networks, bool(player.after)) for player in phase.players] == [
        ("memory", ["memory"], True), ("discriminator", ["discriminator"], False),
        ("generator", ["generator"], False)]


def test_restore_by_hand() -> None:
    """The colours of the nearest key, lightness over 100, ab times 110."""
    torch.manual_seed(0)
    method, memory = made(), Memory(3, 4, 5, 313)
    memory.keys.copy_(memory_of()["keys"])
    memory.values.copy_(memory_of()["values"])
    memory.pictures.fill_(1)
    network = Calls(lambda lightness, colours: torch.cat([lightness, colours.argmax(1).view(-1, 1, 1, 1) / 10
                                                          + 0 * lightness], 1))
    with torch.no_grad():
        ab = method.restore(Model({"memory": memory, "generator": network}, slots={"features": Calls(means)}),
                            {"L": LIGHT}, 1)["ab"]
    slots = (memory(method.features_of(Calls(means), LIGHT)) @ memory.keys.T).argmax(1)
    torch.testing.assert_close(ab[:, :1], 1.1 * LIGHT)
    assert ab[:, 1, 0, 0].tolist() == pytest.approx([11.0 * int(slot) for slot in slots])


# --- recipe -----------------------------------------------------------------------------------------------------------


def test_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made(lr=0.02, memory_lr=0.03, full_rate=0.5, steps=7)
    networks = {**method.build()}
    [phase] = method.phases()
    assert phase.steps == 7
    for player, rate in zip(phase.players, (0.03, 0.02, 0.02), strict=True):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam) and optimiser.defaults["lr"] == rate
        assert optimiser.defaults["betas"] == (0.9, 0.999)
        assert [player.schedule(number, 8) for number in (0, 4, 6)] == [1, 1, 0.5]
    assert [MemoPainter({}).phases()[0].players[0].schedule(number, 8) for number in (0, 7)] == [1, 1]
    paper = MemoPainter.paper
    assert [paper[key] for key in ("slots", "key", "top", "margin", "age_noise", "lr", "batch", "patch")] == [
        982, 512, 256, 0.1, 4.0, 1e-4, 4, 256]
    assert (paper["adversarial"], paper["regression"], paper["thresholds"]) == (1, 1, {"dist": 0.7, "rgb": 10.0})
    assert made(levels=4).multiple == 16
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        method.phases()


@pytest.mark.parametrize("wrong", [{"patch": 48}, {"ema": 0.9}, {"full_rate": 1.5}, {"feature": "lab"},
                                   {"thresholds": {"rgb": 1.0}}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        made(**wrong)


def test_colours_are_derived_from_the_truth_in_training_alone() -> None:
    rgb = (255 * draw(8, 8, 3, seed=3).numpy()).astype(np.uint8)
    ab = np.moveaxis(AB[0].numpy(), 0, -1)
    assert made().derive({}, None, np.random.default_rng(0)) == {}
    found = made().derive({}, {"ab": ab, "rgb": rgb}, np.random.default_rng(0))["colours"]
    np.testing.assert_allclose(found, COLOURS[0], atol=1e-6)
    of_rgb = made(feature="rgb").derive({}, {"ab": ab, "rgb": rgb}, np.random.default_rng(0))["colours"]
    np.testing.assert_array_equal(of_rgb, dominant_colours(rgb))
    assert found.dtype == of_rgb.dtype == np.float32


# --- few pictures are remembered --------------------------------------------------------------------------------------

COUNT = 8


def striped(number: int) -> np.ndarray:
    """48 x 48: waves of a direction and a lightness of its own, all in one colour of its own."""
    draws, (y, x) = np.random.default_rng(number), np.mgrid[:48, :48]
    angle, hue = np.pi * number / COUNT, 2 * np.pi * number / COUNT
    wave = np.sin(0.8 * (x * np.cos(angle) + y * np.sin(angle)))
    light = 35 + 45 * (3 * number % COUNT) / COUNT + 8 * wave + draws.normal(0, 0.5, (48, 48))
    return to_rgb8(light[..., None], np.broadcast_to(40 * np.array([np.cos(hue), np.sin(hue)]), (48, 48, 2)))


class Levels(nn.Module):
    """A feature network whose eight maps tell levels of grey apart."""

    def forward(self, picture: torch.Tensor, taps: list[str]) -> dict[str, torch.Tensor]:
        return {taps[0]: torch.cat([torch.cos(np.pi * number * picture[:, :1]) for number in range(1, 9)], 1)}


def test_few_pictures_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real loop and from the disk again: a picture finds what was written of it, and gets its colours."""
    features = Levels()
    monkeypatch.setattr("restore_ml.training.slots.load_slots", lambda *arguments: {"features": features})
    pictures = [Record(f"{number:064x}", {"image": striped(number)}) for number in range(COUNT)]
    folder = tmp_path / "samples" / "colorization" / "train"
    shards.write(folder / "00.arrow", registry.parts("colorization").training.records(pictures, 1, {"size": 32}))
    settings = {**MemoPainter.paper, **SMALL, "slots": 12, "key": 32, "top": 12, "channels": 8, "levels": 4, "width": 8,
                "hidden": 32, "margin": 0.3, "age_noise": 0.5, "regression": 50.0, "lr": 4e-3, "memory_lr": 3e-4,
                "full_rate": 0.5, "steps": 70}
    spec = {"run": "memopainter", "task": "colorization", "method": "memopainter", "settings": settings, "seed": 1,
            "slots": {"features": "representation/features"}, "precision": "fp32", "threads": 1}
    facts = train_run(spec, tmp_path, tmp_path / "model", fresh=True)
    assert (facts["status"], facts["reason"]) == ("ok", "")
    method, model = load_model(tmp_path / "model", tmp_path)
    assert isinstance(method, MemoPainter) and set(model.networks) == {"memory", "generator"}
    memory, found, errors, greys = model.networks["memory"], 0, [], []
    for picture in pictures:
        lab = rgb_to_lab(picture.arrays["image"].astype(np.float32) / 255)
        lightness = torch.from_numpy(lab[None, None, ..., 0].copy())
        scores = (memory(method.features_of(features, lightness)) @ memory.keys.T).masked_fill(memory.pictures < 0, -2)
        found += int(memory.pictures[scores.argmax()]) == derive(picture.id) % 2**62
        ab = harness.restore(method, model, {"L": lab[..., :1].copy()}, 1)["ab"]
        errors.append(np.square(ab - lab[..., 1:]).sum(-1).mean())
        greys.append(np.square(lab[..., 1:]).sum(-1).mean())
    assert found / COUNT > 0.9
    assert math.sqrt(np.mean(errors)) < 15 < 0.5 * math.sqrt(np.mean(greys))
