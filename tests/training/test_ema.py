"""The moving average against hand-computed values."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.training.ema import Average


def linear(weight: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


def test_the_average_moves_towards_the_live_weights_after_a_warm_up():
    """t = 0 keeps 1/10 of the old, t = 1 keeps 2/11, t = 89 would keep 90/99 but keeps the decay 0.9."""
    live = linear(0.0)
    average = Average({"net": live}, 0.9)
    average.follow({"net": 0})
    kept = average.networks["net"]
    for step, value, want in ((0, 10.0, 9.0), (1, 20.0, 9 * 2 / 11 + 20 * 9 / 11)):
        nn.init.constant_(live.weight, value)
        average.update(step)
        assert kept.weight.item() == pytest.approx(want, rel=1e-6) and live.weight.item() == value
    before = kept.weight.item()
    nn.init.constant_(live.weight, 0.0)
    average.update(89)
    assert kept.weight.item() == pytest.approx(0.9 * before, rel=1e-6)


def test_running_statistics_are_averaged_as_the_weights_and_counters_copied():
    live = nn.BatchNorm1d(1)
    average = Average({"net": live}, 0.5)
    average.follow({"net": 0})
    kept = average.networks["net"]
    live.running_mean.fill_(4.0)
    live.running_var.fill_(3.0)
    live.num_batches_tracked.fill_(7)
    average.update(100)
    assert (kept.running_mean.item(), kept.running_var.item()) == (2.0, 2.0)  # from 0 and 1, half way
    assert kept.num_batches_tracked.item() == 7
    assert (live.running_mean.item(), live.running_var.item()) == (4.0, 3.0)
    average.update(101)
    assert (kept.running_mean.item(), kept.running_var.item()) == (3.0, 2.5)


def test_vectors_of_spectral_normalisation_stay_of_length_one():
    torch.manual_seed(0)
    live = spectral_norm(nn.Linear(4, 3))
    average = Average({"net": live}, 0.9)
    average.follow({"net": 0})
    for step in range(5):
        with torch.no_grad():
            live.parametrizations.weight.original.normal_()
        live(torch.zeros(1, 4))
        average.update(step)
    kept = average.networks["net"].parametrizations.weight
    for vector, other in zip(kept[0].buffers(), live.parametrizations.weight[0].buffers(), strict=True):
        assert torch.equal(vector, other) and vector.norm().item() == pytest.approx(1, abs=1e-5)
    assert not torch.equal(kept.original, live.parametrizations.weight.original)


def test_without_decay_there_is_no_copy_and_nothing_to_store():
    live = linear(1.0)
    average = Average({"net": live}, 0.0)
    average.follow({"net": 0})
    average.update(0)
    average.hand_over(["net"])
    assert average.networks["net"] is live and average.tensors("average") == {}
    average.fill("average", {})
    assert live.weight.item() == 1


def test_the_average_asks_for_no_gradient_and_is_stored_apart():
    live = nn.Sequential(linear(1.0), nn.BatchNorm1d(1))
    average = Average({"net": live}, 0.5)
    average.follow({"net": 0})
    assert not any(parameter.requires_grad for parameter in average.networks["net"].parameters())
    assert all(parameter.requires_grad for parameter in live.parameters())
    nn.init.constant_(live[0].weight, 3.0)
    live[1].running_mean.fill_(8.0)
    average.update(10)
    stored = average.tensors("average")
    assert stored["average.net.0.weight"].item() == 2 and stored["average.net.1.running_mean"].item() == 4
    other = Average({"net": nn.Sequential(linear(0.0), nn.BatchNorm1d(1))}, 0.5)
    other.fill("average", stored)
    assert other.networks["net"][0].weight.item() == 2 and other.networks["net"][1].running_mean.item() == 4
    assert other.live["net"][0].weight.item() == 0


def test_only_what_is_followed_moves_each_by_its_own_steps():
    live = {name: linear(0.0) for name in ("young", "old", "still")}
    average = Average(live, 0.9)
    for network in live.values():
        nn.init.constant_(network.weight, 10.0)
    average.follow({"young": 0, "old": 81})
    average.update(0)
    average.update(1)
    kept = {name: network.weight.item() for name, network in average.networks.items()}
    assert kept == pytest.approx({"young": 10 * (1 - 1 / 10 * 2 / 11), "old": 10 * (1 - 0.9 * 0.9), "still": 0.0})
    average.follow({})
    average.update(2)
    assert {name: network.weight.item() for name, network in average.networks.items()} == kept


def test_handing_over_gives_the_live_network_weights_and_statistics_of_the_average():
    live = {"net": nn.BatchNorm1d(1), "other": nn.BatchNorm1d(1)}
    average = Average(live, 0.9)
    for network in live.values():
        nn.init.constant_(network.weight, 5.0)
        network.running_mean.fill_(3.0)
    average.hand_over(["net"])
    assert (live["net"].weight.item(), live["net"].running_mean.item()) == (1.0, 0.0)
    assert (live["other"].weight.item(), live["other"].running_mean.item()) == (5.0, 3.0)
    assert live["net"].weight.requires_grad
