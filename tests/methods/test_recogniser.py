"""The recogniser: its layers, its objective and its embedding against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, write
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_identity.recogniser import Embedding, Heads, Member, Recogniser
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

SMALL = {"members": 2, "width": 4, "dimension": 8, "classes": 5, "patch": 32, "jitter": 0.0}


def recogniser(**settings) -> Recogniser:
    made = registry.method("face_identity", "recogniser", {**SMALL, **settings})
    made.constants = {"persons": np.array([3, 10, 20, 70, 71, 90])}
    return made


def test_a_member_layer_by_layer_on_luma():
    torch.manual_seed(0)
    net, faces = Embedding(2, 32, 4, 8).eval(), draw(3, 3, 32, 32)
    luma = (0.299 * faces[:, 0] + 0.587 * faces[:, 1] + 0.114 * faces[:, 2])[:, None]
    with torch.no_grad():
        for member, given in zip(net.members, net(faces), strict=True):
            x = 2 * luma - 1
            for number in range(4):
                layer, norm = member.net[4 * number], member.net[4 * number + 1]
                assert layer.bias is None and layer.weight.shape[:2] == ((4, 1), (8, 4), (16, 8), (16, 16))[number]
                x = functional.conv2d(x, layer.weight, padding=1)
                x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
                x = functional.max_pool2d((x * norm.weight[:, None, None] + norm.bias[:, None, None]).relu(), 2)
            x = functional.linear(x.flatten(1), member.net[-1].weight, member.net[-1].bias)
            np.testing.assert_allclose(given, x, atol=1e-5)
    assert not torch.equal(net(faces)[0], net(faces)[1]), "members begin apart"
    assert Member(64, 4, 8).net[-1].in_features == 16 * 16


def test_each_member_has_a_classifier_of_its_own():
    torch.manual_seed(0)
    heads, embedded = Heads(2, 8, 5), draw(2, 3, 8)
    by_hand = [functional.linear(embedded[number], heads.heads[number].weight, heads.heads[number].bias)
               for number in (0, 1)]
    assert torch.equal(heads(embedded), torch.stack(by_hand))


def test_the_objective_by_hand():
    """Cross-entropy of the places of the persons among all, over both members."""
    networks = {"embedding": Calls(lambda x: torch.stack([x.mean((2, 3)), 2 * x.mean((2, 3)) - 1])),
                "heads": Calls(lambda e: torch.cat([4 * e, e - 3], 2))}
    faces = draw(3, 3, 8, 8)
    target = {"image": faces, "person": torch.tensor([20, 3, 90])}
    terms = recogniser(classes=6).loss(step_with({"image": faces}, target, networks))
    means = faces.double().numpy().mean((2, 3))
    by_hand = []
    for embedded in (means, 2 * means - 1):
        logits = np.concatenate([4 * embedded, embedded - 3], 1)
        by_hand += [np.log(np.exp(row).sum()) - row[place] for row, place in zip(logits, (2, 0, 5), strict=True)]
    assert list(terms) == ["identity"] and terms["identity"].item() == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_faces_are_seen_with_other_gains_and_offsets_within_the_jitter():
    networks = {"embedding": Calls(lambda x: x.mean((2, 3))[None]), "heads": Calls(lambda e: e)}
    faces = torch.full((64, 3, 4, 4), 0.5)
    target = {"image": faces, "person": torch.full((64,), 3)}
    recogniser(jitter=0.2).loss(step_with({"image": faces}, target, networks))
    seen = networks["embedding"].calls[0][0]
    assert (seen == seen[:, :1, :1, :1]).all(), "the same of all channels and pixels"
    values = seen[:, 0, 0, 0]
    assert 0.5 * 0.8 - 0.1 <= values.min() < 0.37 and 0.63 < values.max() <= 0.5 * 1.2 + 0.1
    recogniser().loss(step_with({"image": faces}, target, networks))
    assert torch.equal(networks["embedding"].calls[1][0], faces)
    bright = torch.cat([torch.zeros_like(faces), torch.ones_like(faces)])
    target = {"image": bright, "person": torch.full((128,), 3)}
    recogniser(jitter=0.2).loss(step_with({"image": bright}, target, networks))
    seen = networks["embedding"].calls[2][0]
    assert seen.min() == 0 and seen.max() == 1, "light that a picture cannot hold is cut off"


def test_more_persons_than_classes_begin_again():
    run = recogniser()
    assert run.classes(torch.tensor([3, 10, 20, 70, 71, 90])).tolist() == [0, 1, 2, 3, 4, 0]


def test_what_one_person_s_pictures_differ_in_is_made_small_by_hand():
    """Over the last fifth of the steps: the covariance around the persons' means, a tenth of its mean variance added,
    and the mean of all; with the last step they are the embedding's."""
    run = recogniser(classes=6)
    torch.manual_seed(0)
    network, pictures = Embedding(2, 32, 4, 8), [draw(5, 3, 32, 32, seed=seed) for seed in range(5)]
    with torch.no_grad():
        batches = [network.eval()(faces) for faces in pictures]
    persons, state = torch.tensor([3, 10, 3, 90, 10]), run.extra_state()
    for step, faces in zip((15, 16, 17, 18, 19), pictures, strict=True):
        context = step_with({}, {"image": faces, "person": persons}, {"embedding": network.train()})
        context.step, context.steps, context.state = step, 20, state
        if step == 19:
            assert torch.equal(network.spread[0], torch.eye(8)) and not network.mean.any(), "until the last step"
        with torch.no_grad():
            run.learn_spread(context)
        assert network.training, "the next step trains again"
    for member in range(2):
        seen = np.concatenate([batch[member].double().numpy() for batch in batches[1:]])
        owners = np.tile([0, 1, 0, 5, 1], 4)
        apart = seen - np.stack([seen[owners == owner].mean(0) for owner in owners])
        within = apart.T @ apart / len(seen)
        values, vectors = np.linalg.eigh(within + 0.1 * np.trace(within) / 8 * np.eye(8))
        np.testing.assert_allclose(network.mean[member], seen.mean(0), atol=1e-5)
        np.testing.assert_allclose(network.spread[member], vectors / np.sqrt(values) @ vectors.T, rtol=2e-3, atol=2e-3)
    vectors = network.normalised(batches[0])
    by_hand = (batches[0][1] - network.mean[1]) @ network.spread[1]
    np.testing.assert_allclose(vectors[1].detach(), by_hand / by_hand.norm(dim=1, keepdim=True), atol=1e-5)


def test_the_persons_are_those_of_the_training_split(tmp_path):
    write(tmp_path / "00.arrow", [Record(f"{number:064x}", {"person": np.array(person, np.int32)})
                                  for number, person in enumerate((70, 3, 70, 20))])
    assert recogniser().prepare(Material(tmp_path), 1)["persons"].tolist() == [3, 20, 70]


def test_embeddings_are_unit_vectors_of_resized_faces_in_their_order():
    torch.manual_seed(0)
    run = recogniser()
    model = Model({name: network.eval() for name, network in run.build().items() if name == "embedding"})
    rng = np.random.default_rng(0)
    faces = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in [32, 64, 48] * 23]
    vectors = run.embed(model, faces)
    assert vectors.shape == (2, 69, 8) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.square(vectors).sum(2), 1, atol=1e-5)
    for place in (0, 1, 65):
        resized = imresize(faces[place], output_size=(32, 32))
        with torch.no_grad():
            seen = torch.from_numpy(np.stack([resized, resized[:, ::-1]])).permute(0, 3, 1, 2).float() / 255
            own = model.networks["embedding"](seen).sum(1)
        np.testing.assert_allclose(vectors[:, place], own / own.norm(dim=1, keepdim=True), atol=1e-5)


def test_sizes_optimiser_and_what_is_kept():
    run = recogniser()
    networks = run.build()
    assert isinstance(networks["heads"], Heads) and networks["heads"](torch.zeros(2, 3, 8)).shape == (2, 3, 5)
    assert run.stored_networks == ("embedding",)
    [phase] = run.phases()
    [player] = phase.players
    optimiser = optimiser_of(player, networks)
    assert isinstance(optimiser, torch.optim.AdamW) and optimiser.defaults["weight_decay"] == 5e-4
    assert optimiser.defaults["lr"] == 1e-3 and player.schedule(5, 10) == pytest.approx(0.5)
    with pytest.raises(UserError, match="patch of recogniser is 40; it must be a multiple of 16"):
        recogniser(patch=40)


def test_it_learns_to_tell_three_persons_apart():
    torch.manual_seed(0)
    run = recogniser(width=8, jitter=0.1)
    persons = torch.tensor([3, 10, 20]).repeat(4)
    base = draw(3, 3, 32, 32)
    faces = (base.repeat(4, 1, 1, 1) + 0.1 * draw(12, 3, 32, 32, seed=1)).clamp(0, 1)
    networks: dict[str, nn.Module] = run.build()
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, networks)
    values = []
    for _ in range(12):
        loss = player.loss(step_with({"image": faces}, {"image": faces, "person": persons}, networks))["identity"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
