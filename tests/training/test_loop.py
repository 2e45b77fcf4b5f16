"""The loop against what the leading trainer gets wrong: eleven probes, each answered right here, and more."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.training import checkpoint, loop, workers
from restore_ml.training.divergence import Diverged
from restore_ml.training.loop import fit_networks
from restore_ml.training.sampler import Sampler, Steps
from tests.training import toy


def weights(training) -> torch.Tensor:
    parts = [value.flatten().double() for network in (*training.networks.values(), *training.average.networks.values())
             for value in network.state_dict().values()]
    return torch.cat(parts + [value.flatten().double() for value in training.state.values()])


def interrupt(monkeypatch, after: int) -> None:
    """Raise KeyboardInterrupt before step `after`, as a kill would end it."""
    real, count = loop._step, [0]

    def step(*arguments):
        if count[0] == after:
            raise KeyboardInterrupt
        count[0] += 1
        return real(*arguments)

    monkeypatch.setattr(loop, "_step", step)


@pytest.fixture
def data(tmp_path):
    return toy.material(tmp_path / "samples")


def test_probe_1_draws_differ_between_epochs_with_workers(data):
    sampler = toy.job(data, data.folder / "c").sampler
    seen: dict[str, list[torch.Tensor]] = {}
    for batch in workers.batches(Steps(sampler, 0, 10), 2):
        for identity, image in zip(batch.ids, batch.target["image"], strict=True):
            seen.setdefault(identity, []).append(image)
    for crops in seen.values():
        assert not all(np.array_equal(crops[0], crop) for crop in crops[1:])


def test_the_workers_pipes_hold_a_batch_of_pictures():
    fcntl = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_GETPIPE_SZ"):
        pytest.skip("this system does not say how wide a pipe is")
    queue = workers.WidePipes().Queue()
    assert fcntl.fcntl(queue._writer.fileno(), fcntl.F_GETPIPE_SZ) == 16 * 2**16
    queue.put(np.arange(300_000))
    assert np.array_equal(queue.get(timeout=30), np.arange(300_000))
    queue.close()


def test_probe_11_any_number_of_workers_gives_the_same_batches(data):
    sampler = toy.job(data, data.folder / "c").sampler

    def epoch(count):
        return np.concatenate([batch.inputs["image"] for batch in workers.batches(Steps(sampler, 3, 9), count)])

    want = epoch(0)
    assert np.array_equal(want, epoch(0))
    assert all(np.array_equal(want, epoch(count)) for count in (1, 3))


def test_processes_share_the_batch_without_overlap(data):
    whole = toy.job(data, data.folder / "c").sampler
    parts = [Sampler(whole.parts, data, whole.settings, 7, rank=rank, world=2) for rank in (0, 1)]
    assert whole[4].ids == [parts[slot % 2][4].ids[slot // 2] for slot in range(4)]
    with pytest.raises(UserError, match="cannot be shared evenly by 3"):
        Sampler(whole.parts, data, whole.settings, 7, rank=0, world=3)


@pytest.mark.parametrize("stop", [1, 5, 6, 9, 13])
def test_probes_2_to_5_resume_is_exact(data, tmp_path, monkeypatch, stop):
    whole = fit_networks(toy.job(data, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            fit_networks(toy.job(data, tmp_path / "cut", checkpoint_seconds=0.0))
    torch.rand(3)  # what the process drew in between must not matter
    resumed = fit_networks(toy.job(data, tmp_path / "cut"))
    assert torch.equal(weights(whole), weights(resumed))
    assert resumed.operations == whole.operations
    assert (tmp_path / "cut" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


def test_probe_3_checkpoints_hold_no_pickle_and_all_state(data, tmp_path):
    fit_networks(toy.job(data, tmp_path))
    raw = (tmp_path / "checkpoint.safetensors").read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    names = set(header)
    assert {"network.net.0.weight", "network.net.1.running_mean", "network.critic.0.bias", "average.net.0.weight",
            "state.pool", "optimiser.generator.0.exp_avg", "optimiser.critic.0.momentum_buffer"} <= names
    values = json.loads(header["__metadata__"]["values"])
    assert values["phase"] == 1 and values["step"] == 8 and values["done"] == 14
    assert values["history"] > 0


def test_probe_6_nan_stops_at_once_and_names_term_and_pictures(data, tmp_path):
    with pytest.raises(Diverged) as caught:
        fit_networks(toy.job(data, tmp_path, poison=3, checkpoint_seconds=0.0))
    text = str(caught.value)
    assert "step 3" in text and "generator.mse" in text
    assert any(identity[:12] in text for identity in data.records.ids)
    tensors, values = checkpoint.load(tmp_path / "checkpoint.safetensors")
    assert values["step"] == 3
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_probe_6_nan_gradient_with_finite_loss_stops(data, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyMethod, "_pixel",
                        lambda self, context: {"root": torch.sqrt((self._fake(context) * 0).pow(2)).sum()})
    with pytest.raises(Diverged, match="gradient of generator is not finite"):
        fit_networks(toy.job(data, tmp_path))


def test_probe_9b_order_does_not_follow_the_folder(tmp_path):
    one = toy.material(tmp_path / "one")
    two = toy.material(tmp_path / "two")
    path = two.folder / "a.arrow"
    records = [shards.Record(r.id, {k: v.copy() for k, v in r.arrays.items()}) for r in shards.Shard(path)][::-1]
    path.unlink()
    for number, record in enumerate(records):
        shards.write(two.folder / f"{number}.arrow", [record])
    left, right = (toy.job(data, tmp_path).sampler[2] for data in (one, two))
    assert left.ids == right.ids and np.array_equal(left.inputs["image"], right.inputs["image"])


def test_probe_10_a_lost_checkpoint_folder_is_an_error(data, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_whole", refuse)
    with pytest.raises(OSError, match="No space left"):
        fit_networks(toy.job(data, tmp_path))


def test_a_broken_checkpoint_is_named(data, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half of a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.safetensors cannot be read"):
        fit_networks(toy.job(data, tmp_path))


def test_adding_a_picture_changes_no_other_sample(tmp_path):
    more = toy.material(tmp_path / "more", 6)
    kept = [shards.Record(r.id, {k: v.copy() for k, v in r.arrays.items()}) for r in more.records][1:]
    shards.write(tmp_path / "few/a.arrow", kept)  # without the first: all others move up by one
    few = toy.Material(tmp_path / "few")

    def first_visits(data):
        sampler = toy.job(data, tmp_path).sampler
        found = {}
        for step in range(4):
            batch = sampler[step]
            for identity, image in zip(batch.ids, batch.target["image"], strict=True):
                found.setdefault(identity, image)
        return found

    before, after = first_visits(few), first_visits(more)
    assert set(before) < set(after)
    assert all(np.array_equal(image, after[identity]) for identity, image in before.items())


def test_same_settings_give_the_same_bits_and_the_loss_falls(data, tmp_path):
    one, two = (fit_networks(toy.job(data, tmp_path / name, steps={"warm": 40, "joint": 4})) for name in "ab")
    assert torch.equal(weights(one), weights(two))
    lines = [line.split(",") for line in (tmp_path / "a" / "history.csv").read_text().splitlines()[1:]]
    losses = [float(value) for phase, _, term, value in lines if (phase, term) == ("warm", "generator.mse")]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_player_moves_only_its_own_networks(data, tmp_path):
    training = fit_networks(toy.job(data, tmp_path, steps={"warm": 3, "joint": 0}))
    torch.manual_seed(loop.derive(7, "toy", "init"))
    fresh = toy.ToyMethod({}).build()
    assert all(torch.equal(a, b) for a, b in zip(fresh["critic"].parameters(),
                                                 training.networks["critic"].parameters(), strict=True))
    assert not torch.equal(fresh["net"][0].weight, training.networks["net"][0].weight)


def test_multiply_adds_are_counted(data, tmp_path):
    training = fit_networks(toy.job(data, tmp_path, steps={"warm": 1, "joint": 0}))
    forward = 4 * 8 * 8 * 9 * (3 * 8 + 8 * 3)  # batch x positions x kernel x channels, two layers
    first_layer_input = 4 * 8 * 8 * 9 * 3 * 8  # the gradient of the first layer's input is not needed
    assert training.operations["warm.generator"] == 3 * forward - first_layer_input


def test_bf16_trains_close_to_fp32_and_keeps_fp32_weights(data, tmp_path):
    losses = []
    for precision in ("fp32", "bf16"):
        job = toy.job(data, tmp_path / precision, steps={"warm": 40, "joint": 0}, precision=precision)
        training = fit_networks(job)
        assert {parameter.dtype for parameter in training.networks["net"].parameters()} == {torch.float32}
        lines = (tmp_path / precision / "history.csv").read_text().splitlines()[-5:]
        losses.append(np.mean([float(line.split(",")[3]) for line in lines]))
    assert losses[0] == pytest.approx(losses[1], rel=0.1) and losses[0] != losses[1]
