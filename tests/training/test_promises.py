"""What the loop promises of players, phases, clipping, averaging and state, each against a hand computation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.files import read_json
from restore_ml.method import Context, Phase, Player
from restore_ml.training import checkpoint, loop, train
from restore_ml.training.divergence import Diverged
from restore_ml.training.loop import fit_networks
from tests.training import toy
from tests.training.scripted import Number, Scripted, job, player, pull, sgd
from tests.training.test_train import spec


def numbers(*names: str):
    return lambda: {name: Number() for name in names}


def fit(folder, phases, networks=None, **options):
    method = Scripted(networks or numbers("net"), phases, **options)
    return fit_networks(job(folder, method))


def value(training, name="net") -> float:
    return training.networks[name].value.item()


def test_the_schedule_is_a_factor_on_the_initial_rate_of_each_group(tmp_path):
    def groups(parameters):
        (_, first), (_, second) = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second], "lr": 0.25}], 1.0)

    both = Player("both", ["net", "other"],
                  lambda c: {"sum": c.networks["net"].value.sum() + 2 * c.networks["other"].value.sum()}, groups,
                  schedule=lambda step, steps: (step + 1) / steps)
    training = fit(tmp_path, [Phase("a", 4, [both])], numbers("net", "other"))
    assert value(training) == pytest.approx(-0.5 * (1 + 2 + 3 + 4) / 4)
    assert value(training, "other") == pytest.approx(-0.25 * 2 * (1 + 2 + 3 + 4) / 4)


def test_the_schedule_counts_within_the_phase(tmp_path):
    seen = []

    def schedule(step, steps):
        seen.append((step, steps))
        return 1.0

    fit(tmp_path, [Phase(name, steps, [player("net", schedule=schedule)]) for name, steps in (("a", 2), ("b", 3))])
    assert seen == [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]


def test_optimisers_get_names(tmp_path):
    seen = []

    def optimiser(parameters):
        seen.extend(name for name, _ in parameters)
        return torch.optim.SGD(parameters, 1.0)

    fit(tmp_path, [Phase("a", 1, [player("net", optimiser=optimiser)])])
    assert seen == ["net.value"]


def test_the_gradient_norm_is_clipped_over_all_networks_of_the_player(tmp_path):
    def both(context: Context):
        return {"sum": 3 * context.networks["net"].value.sum() + 4 * context.networks["other"].value.sum()}

    for clip, scale in ((1.0, 1 / 5), (10.0, 1.0)):
        one = Player("one", ["net", "other"], both, sgd(), clip_norm=clip)
        training = fit(tmp_path / str(clip), [Phase("a", 1, [one])], numbers("net", "other"))
        assert (value(training), value(training, "other")) == pytest.approx((-3 * scale, -4 * scale), rel=1e-4)


def test_values_are_clipped_by_what_the_current_rate_allows(tmp_path):
    """theta / rate: whatever the rate, a step moves by no more than theta (VDSR's adjustable clipping)."""
    one = player("net", 50.0, rate=0.5, clip_value=lambda rate: 0.1 / rate, schedule=lambda step, steps: 0.5**step)
    assert value(fit(tmp_path / "a", [Phase("a", 3, [one])])) == pytest.approx(-0.3)
    small = player("net", 0.02, rate=0.5, clip_value=lambda rate: 0.1 / rate)
    assert value(fit(tmp_path / "b", [Phase("a", 3, [small])])) == pytest.approx(-0.03)


def test_every_says_at_which_steps_a_player_plays(tmp_path):
    steps = []
    often = player("net", lambda c: steps.append(("net", c.step)) or 1.0)
    seldom = player("other", lambda c: steps.append(("other", c.step)) or 1.0, every=3)
    training = fit(tmp_path, [Phase("a", 7, [often, seldom])], numbers("net", "other"))
    assert [step for name, step in steps if name == "other"] == [0, 3, 6]
    assert [step for name, step in steps if name == "net"] == list(range(7))
    assert (value(training), value(training, "other")) == (-7, -3)


def test_players_play_in_their_order_and_see_each_others_steps(tmp_path):
    """The second is pulled by what the first has just become."""
    first = player("net", 1.0)
    second = player("other", lambda c: -c.networks["net"].value.item())
    training = fit(tmp_path, [Phase("a", 3, [first, second])], numbers("net", "other"))
    assert value(training, "other") == -(1 + 2 + 3)


def test_the_networks_of_other_players_get_no_gradient(tmp_path):
    def both(context: Context):
        assert context.networks["other"].value.requires_grad
        return {"sum": (context.networks["net"].value * 1 + context.networks["other"].value * 5).sum()}

    seen = []
    one = Player("one", ["net"], both, sgd(),
                 after=lambda c: seen.append([c.networks[name].value.grad for name in ("net", "other")]))
    training = fit(tmp_path, [Phase("a", 1, [one, player("other")])], numbers("net", "other"))
    assert (value(training), value(training, "other"), seen) == (-1, -1, [[1, None]])


def test_gradients_of_one_step_do_not_reach_the_next(tmp_path):
    assert value(fit(tmp_path, [Phase("a", 3, [player("net", lambda c: float(c.step == 0))])])) == -1


def test_all_terms_count_and_each_is_told_by_its_name(tmp_path):
    def loss(context: Context):
        return {"a": context.networks["net"].value.sum() * 2, "b": context.networks["net"].value.sum() * 3}

    training = fit(tmp_path, [Phase("only", 2, [Player("p", ["net"], loss, sgd())])])
    assert value(training) == -10
    lines = (tmp_path / "checkpoint/history.csv").read_text().splitlines()
    assert lines == ["phase,step,term,value", "only,0,p.a,0", "only,0,p.b,0", "only,1,p.a,-10", "only,1,p.b,-15"]


def test_after_a_step_the_hook_runs_without_gradients_and_only_when_the_player_played(tmp_path):
    seen = []

    def after(context: Context):
        number = context.networks["net"].value
        seen.append((context.step, number.item(), torch.is_grad_enabled()))
        number.clamp_(min=-1.5)

    clipped = player("net", after=after, every=2)
    training = fit(tmp_path, [Phase("a", 5, [clipped])])
    assert seen == [(0, -1.0, False), (2, -2.0, False), (4, -2.5, False)] and value(training) == -1.5


def test_phases_run_in_their_order_and_a_player_goes_on_with_its_optimiser(tmp_path):
    """Momentum 0.5 with gradient 1: velocities 1, 1.5 in the first phase, 1.75 in the second."""
    order = []

    def pulled(name):
        return lambda c: order.append((name, c.step, c.steps)) or 1.0

    heavy = sgd(momentum=0.5)
    phases = [Phase("first", 2, [player("net", pulled("first"), optimiser=heavy)]), Phase("none", 0, []),
              Phase("second", 1, [player("net", pulled("second"), optimiser=heavy)])]
    training = fit(tmp_path, phases)
    assert order == [("first", 0, 2), ("first", 1, 2), ("second", 0, 1)]
    assert value(training) == -(1 + 1.5 + 1.75) and (training.phase, training.step, training.done) == (2, 1, 3)


def normalised():
    return {"net": nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)), "other": nn.BatchNorm2d(3)}


def test_frozen_normalisation_keeps_its_statistics_and_nothing_else_is_frozen(tmp_path):
    modes, means = [], []

    def loss(context: Context):
        net, other = context.networks["net"], context.networks["other"]
        modes.append((net.training, net[0].training, net[1].training, other.training))
        made = net(context.inputs["image"]) + other(context.inputs["image"])
        means.append((net[0].running_mean.clone(), other.running_mean.clone()))
        return {"mean": made.mean()}

    def one():
        return [Player("p", ["net", "other"], loss, sgd(0.0))]

    fit(tmp_path, [Phase("a", 1, one()), Phase("b", 2, one(), frozen_norm=["net"]), Phase("c", 1, one())], normalised)
    assert modes == [(True,) * 4, *[(True, False, True, True)] * 2, (True,) * 4]
    frozen = [mean for mean, _ in means]
    assert not torch.equal(frozen[0], torch.zeros(3)) and torch.equal(frozen[0], frozen[2])
    assert not torch.equal(frozen[2], frozen[3])
    assert not any(torch.equal(before, after) for (_, before), (_, after) in pairwise(means))


def averaged(*lives: float, before: int = 0, start: float = 0.0) -> float:
    """The average of a number after it was each of these: 9/10, 9/11, 9/12, ... of the live one, by its own steps."""
    for step, live in enumerate(lives, before):
        kept = (1 + step) / (10 + step)
        start = kept * start + (1 - kept) * live
    return start


def kept(training, name="net") -> float:
    return training.average.networks[name].value.item()


def test_the_average_counts_on_in_each_phase_that_moves_its_network(tmp_path):
    training = fit(tmp_path, [Phase("a", 2, [player("net")]), Phase("b", 1, [player("net")])], ema=0.99)
    assert kept(training) == pytest.approx(averaged(-1, -2, -3), rel=1e-6) and value(training) == -3


THREE = [Phase("a", 2, [player("net")]), Phase("b", 3, [player("other"), player("judge")]),
         Phase("none", 0, []), Phase("c", 2, [player("net")])]
"""`net` moves, rests and moves again; `other` moves in between."""


def test_an_average_moves_with_its_own_network_alone(tmp_path):
    """`net` is not pulled to its last weights while `other` learns; `other` forgets its start 5 from its first step."""
    training = fit(tmp_path, THREE, lambda: {"net": Number(), "other": Number(5.0), "judge": Number()}, ema=0.99,
                   stored=("net", "other"))
    assert kept(training) == pytest.approx(averaged(-1, -2, -3, -4), rel=1e-6) and value(training) == -4
    want = averaged(4, 3, 2, start=5.0)
    assert kept(training, "other") == pytest.approx(want, rel=1e-6)
    assert value(training, "other") == kept(training, "other")  # what learned behind it saw what is kept


def test_what_is_over_takes_its_average_before_the_next_phase_and_not_before_it_is_over(tmp_path):
    seen = []

    def looks(context: Context) -> float:
        seen.append((context.networks["net"].value.item(), context.networks["other"].value.item()))
        return 1.0

    phases = [Phase("a", 1, [player("other"), player("net")]), Phase("b", 1, [player("net", looks)]),
              Phase("c", 1, [player("judge", looks)])]
    fit(tmp_path, phases, numbers("net", "other", "judge"), ema=0.5, stored=("net", "other"))
    assert seen[0] == pytest.approx((-1, 0.9 * -1), rel=1e-6)  # net goes on from -1, other is over
    assert seen[1] == pytest.approx((2 / 11 * -0.9 + 9 / 11 * -2, -0.9), rel=1e-6)


def test_what_is_over_is_handed_over_once(tmp_path):
    """What a hook puts into it later stays there."""
    phases = [Phase("a", 1, [player("other")]),
              Phase("b", 1, [player("judge", after=lambda c: c.networks["other"].value.fill_(7.0))]),
              Phase("c", 1, [player("judge")])]
    training = fit(tmp_path, phases, numbers("net", "other", "judge"), ema=0.5, stored=("net", "other"))
    assert value(training, "other") == 7 and kept(training, "other") == pytest.approx(-0.9)


def test_without_an_average_nothing_is_handed_over(tmp_path):
    training = fit(tmp_path, THREE, numbers("net", "other", "judge"), stored=("net", "other"))
    assert (value(training), value(training, "other"), value(training, "judge")) == (-4, -3, -3)


def test_the_average_of_a_teacher_that_no_player_moves_has_all_steps(tmp_path):
    def teach(context: Context) -> None:
        context.networks["net"].value.copy_(context.networks["pupil"].value)

    phases = [Phase(name, 2, [player("pupil", after=teach)]) for name in "ab"]
    training = fit(tmp_path, phases, numbers("net", "pupil"), ema=0.99)
    assert kept(training) == pytest.approx(averaged(-1, -2, -3, -4), rel=1e-6) and value(training) == -4


@pytest.mark.parametrize("killed", [1, 2, 3, 5, 6])
def test_averages_of_several_phases_go_on_after_a_kill_as_without_it(tmp_path, killed):
    def stop(phase, done, total, loss):
        if done == killed:
            raise KeyboardInterrupt

    def method():
        return Scripted(lambda: {"net": Number(), "other": Number(5.0), "judge": Number()}, THREE, 0.99,
                        stored=("net", "other"))

    whole = fit_networks(job(tmp_path / "whole", method()))
    with pytest.raises(KeyboardInterrupt):
        fit_networks(job(tmp_path / "cut", method(), progress=stop, checkpoint_seconds=0.0))
    again = fit_networks(job(tmp_path / "cut", method()))
    for name in ("net", "other"):
        assert (kept(again, name), value(again, name)) == (kept(whole, name), value(whole, name))


def test_the_average_is_of_the_stored_networks_alone(tmp_path):
    training = fit(tmp_path, [Phase("a", 1, [player("net"), player("other")])], numbers("net", "other"), ema=0.5)
    assert set(training.average.networks) == {"net"} and set(training.networks) == {"net", "other"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stops_before_anything_moves(tmp_path, bad):
    afters = []
    networks = {"net": Number(), "other": Number()}
    one = player("net", lambda c: bad if c.step == 1 else 1.0, after=lambda c: afters.append(c.step))
    with pytest.raises(Diverged, match=r"step 1: .*net\.pull is (nan|inf|-inf)"):
        fit(tmp_path, [Phase("a", 3, [one, player("other")])], lambda: networks)
    assert (networks["net"].value.item(), networks["other"].value.item(), afters) == (-1, -1, [0])


def test_a_gradient_that_is_not_finite_stops_before_anything_moves(tmp_path):
    networks = {"net": Number()}

    def root(context: Context):
        return {"root": (context.networks["net"].value * 0).pow(2).sqrt().sum()}

    with pytest.raises(Diverged, match="step 0: the gradient of p is not finite"):
        fit(tmp_path, [Phase("a", 1, [Player("p", ["net"], root, sgd())])], lambda: networks)
    assert networks["net"].value.item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_never_saved(tmp_path, bad):
    def spoil(context: Context):
        if context.step == 1:
            context.networks["net"].value.fill_(bad)

    method = Scripted(numbers("net"), [Phase("a", 2, [player("net", after=spoil)])])
    with pytest.raises(Diverged, match=r"step 1: the weight net\.value is not finite"):
        fit_networks(job(tmp_path, method, checkpoint_seconds=0.0))
    _, values = checkpoint.load(tmp_path / "checkpoint/checkpoint.safetensors")
    assert values["done"] == 1


def test_extra_state_survives_a_kill(tmp_path, monkeypatch):
    def remember(context: Context):
        context.state["memory"] = torch.cat([context.state["memory"][1:], torch.tensor([context.step + 1.0])])

    def method():
        return Scripted(numbers("net"), [Phase("a", 5, [player("net", after=remember)])],
                        state={"memory": torch.zeros(3)})

    real = loop._step

    def step(job_, training, *others):
        if training.done == 3:
            raise KeyboardInterrupt
        return real(job_, training, *others)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            fit_networks(job(tmp_path, method(), checkpoint_seconds=0.0))
    training = fit_networks(job(tmp_path, method()))
    assert training.state["memory"].tolist() == [3, 4, 5] and (training.began, training.done) == (3, 5)
    assert value(training) == -5


def test_a_step_draws_from_its_own_seed_whatever_was_drawn_before(tmp_path):
    def drawn(folder, spoil):
        seen = []

        def loss(context: Context):
            torch.rand(spoil)
            seen.append((torch.rand(1).item(), context.uniform(torch.zeros(1)).item()))
            torch.rand(spoil)
            return pull("net")(context)

        fit(folder, [Phase("a", 3, [Player("p", ["net"], loss, sgd())]), Phase("b", 1, [
            Player("p", ["net"], loss, sgd())])])
        return seen

    one, two = drawn(tmp_path / "a", 0), drawn(tmp_path / "b", 5)
    assert [draw for _, draw in one] == [draw for _, draw in two]
    assert len({draw for draws in one for draw in draws}) == 8  # steps, phases and the two streams all differ
    assert one[0][0] != two[0][0]


def test_batches_go_on_over_phases(tmp_path):
    seen = []

    def loss(context: Context):
        seen.append((context.ids, context.inputs["image"].sum().item()))
        return pull("net")(context)

    method = Scripted(numbers("net"), [Phase(name, 2, [Player("p", ["net"], loss, sgd())]) for name in "ab"])
    given = job(tmp_path, method)
    fit_networks(given)
    assert [ids for ids, _ in seen] == [given.sampler[step].ids for step in range(4)]
    sums = [given.sampler[step].inputs["image"].sum() / 255 for step in range(4)]
    np.testing.assert_allclose([total for _, total in seen], sums, rtol=1e-4)


def test_progress_counts_all_phases_and_gives_the_sum_of_the_terms(tmp_path):
    told = []
    method = Scripted(lambda: {"net": Number(2.0)}, [Phase("a", 1, [player("net")]), Phase("b", 2, [player("net")])])
    fit_networks(job(tmp_path, method, progress=lambda *words: told.append(words)))
    assert told == [("a", 1, 3, 2.0), ("b", 2, 3, 1.0), ("b", 3, 3, 0.0)]


def test_multiply_adds_of_a_turn_are_counted_for_each_phase_once(tmp_path):
    layer = nn.Linear(4, 2, bias=False)

    def loss(context: Context):
        return {"sum": context.networks["net"](torch.ones(3 if context.step == 0 else 99, 4)).sum()}

    training = fit(tmp_path, [Phase(name, 2, [Player("p", ["net"], loss, sgd())]) for name in "ab"],
                   lambda: {"net": layer})
    assert training.operations == {"a.p": 2 * 3 * 4 * 2, "b.p": 2 * 3 * 4 * 2}  # forward, and the weight's gradient


def test_finish_sees_the_average_in_evaluation_mode_and_what_it_changes_is_stored(tmp_path, monkeypatch):
    from safetensors.numpy import load_file

    seen = []

    class Finishing(toy.ToyMethod):
        def finish(self, networks, material, seed):
            seen.append((set(networks), [module.training for module in networks["net"].modules()],
                         len(material.records), seed))
            with torch.no_grad():
                networks["net"][0].bias.fill_(7.0)

    monkeypatch.setattr(registry, "method_class", lambda task, method: Finishing)
    toy.register(monkeypatch)
    toy.material(tmp_path / "samples/toy/train")
    for decay in (0.0, 0.9):
        seen.clear()
        out = tmp_path / f"models/{decay}"
        train.train_run(spec(ema=decay), tmp_path, out)
        assert seen == [({"net"}, [False] * 6, 5, 3)]
        assert (load_file(out / "weights.safetensors")["net.0.bias"] == 7).all()
        assert read_json(out / "model.json")["status"] == "ok"


def test_the_stored_model_is_the_average(tmp_path, monkeypatch):
    from safetensors.torch import load_file

    monkeypatch.setattr(registry, "method_class", lambda task, method: toy.ToyMethod)
    toy.register(monkeypatch)
    toy.material(tmp_path / "samples/toy/train")
    facts = train.train_run(spec(ema=0.9), tmp_path, tmp_path / "models/toy")
    stored = load_file(tmp_path / "models/toy/weights.safetensors")
    saved, _ = checkpoint.load(tmp_path / ".state/checkpoints" / facts["fingerprint"] / "checkpoint.safetensors")
    assert all(torch.equal(value, saved[f"average.{name}"]) for name, value in stored.items())
    for name in ("net.0.weight", "net.1.running_mean"):
        assert not torch.equal(stored[name], saved[f"network.{name}"])
