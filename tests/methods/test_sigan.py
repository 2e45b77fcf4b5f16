"""sigan: its pairs, each loss term and the layers, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, write
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Model
from restore_ml.methods.face_super_resolution.sigan import Generator, Judge, Pairs, Sigan, by_muon, contrastive
from restore_ml.nn.muon import Muon
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.layers import conv, layers_of, parameters

SMALL = {"width": 2, "d_width": 2, "e_width": 2, "dimension": 5, "patch": 64}
LIFT = nn.Parameter(torch.tensor(0.25))
SMALL_FACES, TRUE = 2 * draw(6, 3, 8, 8) - 1, 2 * draw(6, 3, 64, 64, seed=1) - 1
SAME = torch.tensor([True, False, True])


def sigan(**settings) -> Sigan:
    return registry.method("face_super_resolution", "sigan", {**SMALL, **settings})


def players() -> dict[str, nn.Module]:
    """A generator that repeats pixels and adds 0.25, a judge of the mean and the first pixel, and an embedding of five
    means."""
    return {"generator": Calls(lambda lr: lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT),
            "discriminator": Calls(lambda x: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1]),
            "embedding": Calls(lambda x: 4 * x[:, 0, ::13, 0])}


def step(networks: dict[str, nn.Module], monkeypatch, run: Sigan, pairs: Pairs | None = None) -> Context:
    monkeypatch.setattr(run, "pairs", lambda context: pairs or Pairs(SMALL_FACES, TRUE, SAME))
    return step_with({}, {"hr": TRUE[:3]}, networks)


def made(small: torch.Tensor = SMALL_FACES) -> np.ndarray:
    return np.kron(small.double().numpy(), np.ones((8, 8))) + 0.25


def score(faces: np.ndarray) -> np.ndarray:
    return 3 * faces.mean((1, 2, 3)) - faces[:, 0, 0, 0]


def embedded(faces: np.ndarray) -> np.ndarray:
    values = np.exp(4 * faces[:, 0, ::13, 0])
    return values / values.sum(1, keepdims=True)


# --- the objectives ---------------------------------------------------------------------------------------------------


def test_the_contrastive_error_by_hand():
    first, second = torch.tensor([[0.0, 0.0]] * 4), torch.tensor([[0.3, 0.4], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0]])
    same = torch.tensor([True, False, False, True])
    assert contrastive(first, second, same, 0.8).item() == pytest.approx((0.25 + 0.09 + 0 + 0) / 4, rel=1e-4)
    assert contrastive(first[3:], second[3:], same[3:], 0.8).item() == 0, "equal faces of one person"
    assert contrastive(first[3:], second[3:], ~same[3:], 0.8).item() == pytest.approx(0.64, rel=1e-3)
    assert contrastive(second, first, same, 0.8).item() == contrastive(first, second, same, 0.8).item()
    moving = torch.zeros(1, 2, requires_grad=True)
    contrastive(moving, torch.zeros(1, 2), torch.tensor([False]), 0.5).backward()
    assert torch.isfinite(moving.grad).all(), "where both are equal the distance has no slope of its own"


@pytest.mark.parametrize("weights", [(0.9, 0.1, 0.1, 0.5), (2.0, 0.3, 7.0, 0.2)])
def test_the_generator_s_terms_by_hand(weights, monkeypatch):
    pixel, adversarial, weight, margin = weights
    run = sigan(pixel_weight=pixel, adversarial_weight=adversarial, contrastive_weight=weight, margin=margin)
    networks = players()
    terms = run.generator_loss(step(networks, monkeypatch, run))
    truth, faces = TRUE.double().numpy(), made()
    apart = embedded(faces[:3]) - embedded(faces[3:])
    distance = np.sqrt((apart**2).sum(1))
    errors = [distance[0]**2, max(0, margin - distance[1])**2, distance[2]**2]
    probability = 1 / (1 + np.exp(-score(faces)))
    assert list(terms) == ["l1", "contrastive", "adversarial"]
    assert terms["l1"].item() == pytest.approx(pixel * np.abs(faces - truth).mean(), rel=1e-5)
    assert terms["contrastive"].item() == pytest.approx(weight * np.mean(errors), rel=1e-4)
    assert terms["adversarial"].item() == pytest.approx(-adversarial * np.log(probability).mean(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["l1"] == pytest.approx(pixel * np.sign(faces - truth).mean(), rel=1e-3)
    assert slopes["adversarial"] == pytest.approx(-adversarial * (2 * (1 - probability)).mean(), rel=1e-4)
    assert torch.equal(networks["generator"].calls[0][0], SMALL_FACES), "one generator for both faces"
    assert len(networks["generator"].calls) == len(networks["embedding"].calls) == 1


def test_swapping_the_pairs_changes_no_term(monkeypatch):
    run, order = sigan(), [3, 4, 5, 0, 1, 2]
    terms = run.generator_loss(step(players(), monkeypatch, run))
    swapped = run.generator_loss(step(players(), monkeypatch, run, Pairs(SMALL_FACES[order], TRUE[order], SAME)))
    for name, term in terms.items():
        assert swapped[name].item() == pytest.approx(term.item(), rel=1e-5)


def test_the_discriminator_s_terms_by_hand(monkeypatch):
    run = sigan()
    terms = run.discriminator_loss(step(players(), monkeypatch, run))
    truth = TRUE.double().numpy()
    assert list(terms) == ["real", "fake"]
    assert terms["real"].item() == pytest.approx(np.log1p(np.exp(-score(truth))).mean(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(np.log1p(np.exp(score(made()))).mean(), rel=1e-5)
    assert not any(term.requires_grad for term in terms.values()), "nothing reaches the generator"


def test_who_plays_in_which_phase(monkeypatch):
    run, networks = sigan(steps={"pixel": 60, "gan": 20}, schedule="cosine"), players()
    pixel, gan = run.phases()
    [first], (judge, second) = pixel.players, gan.players
    now = step(networks, monkeypatch, run)
    assert list(first.loss(now)) == ["l1", "contrastive"]
    assert list(judge.loss(now)) == ["real", "fake"]
    assert list(second.loss(now)) == ["l1", "contrastive", "adversarial"]
    assert len(networks["generator"].calls) == 1, "one forward pass for all players of a step"
    assert [player.networks for player in (first, judge, second)] == [
        ["generator", "embedding"], ["discriminator"], ["generator", "embedding"]]
    assert [(phase.name, phase.steps) for phase in (pixel, gan)] == [("pixel", 60), ("gan", 20)]
    assert first.name == second.name == "generator", "one optimiser for both"
    assert [first.schedule(step, 60) for step in (0, 40)] == pytest.approx([1, 0.5])
    assert second.schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert [judge.schedule(step, 20) for step in (0, 10)] == pytest.approx([1, 0.5])
    assert [phase.steps for phase in Sigan({}).phases()] == [0, 100_000]


def test_rate_and_optimisers():
    run = Sigan({})
    assert [run.rate(step, 10**6) for step in (0, 4999, 5000, 10_000)] == [1, 1, 0.5, 0.25]
    networks = sigan().build()
    for phase in sigan(lr=3e-3).phases():
        for player in phase.players:
            adam = optimiser_of(player, networks)
            assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 3e-3
            assert adam.defaults["betas"] == (0.5, 0.999)
    judge, pair = (optimiser_of(player, networks) for player in sigan(
        optimiser="muon", lr=3e-3, muon_lr=0.02).phases()[1].players)
    assert isinstance(judge, torch.optim.Adam) and isinstance(pair, Muon)
    assert [group["lr"] for group in pair.param_groups] == [0.02, 3e-3]
    names = [f"{network}.{name}" for network in ("generator", "embedding")
             for name, parameter in networks[network].named_parameters() if by_muon(f"{network}.{name}", parameter)]
    assert names == [f"generator.body.{number}.weight" for number in (4, 8, 12)]
    assert len(pair.param_groups[0]["params"]) == 3
    paper = Sigan.paper
    assert (paper["lr"], paper["batch"], paper["margin"], paper["pixel_weight"]) == (2e-4, 64, 0.5, 0.9)


# --- the pairs --------------------------------------------------------------------------------------------------------


def material(folder, persons) -> list[str]:
    """Faces of one shade each, grey ones of every second person; their ids."""
    def face(number: int) -> np.ndarray:
        return np.full((64, 64, 3 if number % 2 else 1), 40 * number + 20, np.uint8)

    ids = [f"{number:064x}" for number in range(len(persons))]
    write(folder / "00.arrow", [Record(identity, {"hr": face(number), "attributes": np.zeros(40, np.float32)},
                                       {"group": persons[number]}) for number, identity in enumerate(ids)])
    return ids


def test_a_batch_holds_pairs_of_the_same_and_of_different_persons(tmp_path):
    ids = material(tmp_path, ["a", "b", "a", "c", "b"])
    run = sigan(kinds=["plain"])
    assert run.prepare(Material(tmp_path), 1) == {}
    shades = torch.tensor([20, 60, 100, 140]) / 255

    def drawn(seed: int) -> tuple[Pairs, list[float]]:
        now = Context({"lr": shades[:, None, None, None].expand(4, 3, 8, 8)},
                      {"hr": shades[:, None, None, None].expand(4, 3, 64, 64)}, ids[:4], {}, step=0, steps=1,
                      generator=torch.Generator().manual_seed(seed))
        made = run.pairs(now)
        assert run.pairs(now) is made, "drawn once a step"
        return made, [round((float(face.mean()) + 1) / 2 * 255) for face in made.true[4:]]

    pairs, partners = drawn(1)
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.small.shape == (8, 3, 8, 8) and pairs.true.shape == (8, 3, 64, 64)
    torch.testing.assert_close(pairs.true[:4].mean((1, 2, 3)), 2 * shades - 1)
    torch.testing.assert_close(pairs.small.mean((1, 2, 3)), pairs.true.mean((1, 2, 3)), atol=1e-5, rtol=0)
    assert partners[0] == 100 and partners[2] == 20 and partners[1] in (20, 100, 140) and partners[3] != 140
    assert drawn(1)[1] == partners, "the same draws, the same partners"
    assert len({tuple(drawn(seed)[1]) for seed in range(2, 8)}) > 1


def test_partners_are_made_small_as_the_run_asks(tmp_path):
    """With noise of 10 grey levels, of 127.5, each with its own."""
    ids = material(tmp_path, ["a", "b"])
    run = sigan(kinds=["noise"])
    run.prepare(Material(tmp_path), 1)
    pairs = run.pairs(Context({"lr": torch.full((2, 3, 8, 8), 0.5)}, {"hr": torch.full((2, 3, 64, 64), 0.5)}, ids,
                              {}, step=0, steps=1, generator=torch.Generator().manual_seed(0)))
    noise = pairs.small[2:] - pairs.true[2:, :, :8, :8]
    assert all(0.06 < own.std() < 0.1 for own in noise) and (noise[0] - noise[1]).std() > 0.06


def test_partners_stand_in_light_of_their_own(tmp_path):
    ids = material(tmp_path, ["a", "a"])
    run = sigan(jitter=0.2)
    run.prepare(Material(tmp_path), 1)
    now = Context({"lr": torch.full((1, 3, 8, 8), 0.5)}, {"hr": torch.full((1, 3, 64, 64), 0.5)}, ids[:1], {}, step=0,
                  steps=1, generator=torch.Generator().manual_seed(0))
    pairs = run.pairs(now)
    assert torch.equal(pairs.true[:1], 2 * run.faces(now)[1] - 1)
    lit = (pairs.true[1, :, 0, 0] + 1) / 2 * 255
    assert (lit - 60).abs().min() > 0.5
    torch.testing.assert_close(pairs.small[1, :, 0, 0], pairs.true[1, :, 0, 0], atol=1e-5, rtol=0)


# --- the networks -----------------------------------------------------------------------------------------------------


def test_the_number_of_parameters_at_paper_size():
    with torch.device("meta"):
        networks = Sigan({}).build()
    trunk = conv(3, 64, 4) + conv(64, 128, 4) + 256 + conv(128, 256, 4) + 512 + conv(256, 512, 4) + 1024
    generator = (conv(3, 512) + 1024 + conv(512, 256) + 512 + conv(256, 128) + 256 + conv(128, 64) + 128
                 + conv(64, 3))
    assert parameters(networks["generator"]) == generator == 1_566_723
    assert parameters(networks["discriminator"]) == trunk + 512 * 64 + 1 == 2_791_105
    assert parameters(networks["embedding"]) == trunk + 512 * 64 * 128 + 128


@pytest.mark.parametrize("stem", ["conv", "linear"])
def test_the_generator_layer_by_layer(stem):
    generator = Generator(64, 2, stem).eval()
    ups = [line for width in (8, 4, 2) for line in ("nearest 2", f"conv3/1 {width}", "bn", "relu")]
    first = "conv3/1 16" if stem == "conv" else "linear 1024"
    assert layers_of(generator) == [first, "bn", "relu", *ups, "conv3/1 3"]
    small = draw(2, 3, 8, 8)
    with torch.no_grad():
        faces = generator(small)
        assert faces.shape == (2, 3, 64, 64) and (faces.abs() < 1).all()
        torch.testing.assert_close(faces, generator.tail(generator.body(small)).tanh())


def test_with_a_residual_it_begins_as_the_bicubic_picture():
    run, inputs = sigan(residual=True), {"lr": draw(2, 3, 8, 8)}
    generator = run.build()["generator"].eval()
    with torch.no_grad():
        expected = (imresize(2 * inputs["lr"] - 1, 8.0) + 1) / 2
        torch.testing.assert_close(run.restore(Model({"generator": generator}), inputs, 1)["sr"], expected.clip(0, 1),
                                   atol=1e-6, rtol=0)
        generator.tail.bias.fill_(0.5)
        torch.testing.assert_close(generator(2 * inputs["lr"] - 1), 2 * expected - 1 + np.tanh(0.5), atol=1e-5, rtol=0)
    assert not sigan().build()["generator"].residual


def test_the_judge_layer_by_layer():
    judge = Judge(64, 2, 5)
    assert layers_of(judge) == ["conv4/2 2", "leaky 0.2", "conv4/2 4", "bn", "leaky 0.2", "conv4/2 8", "bn",
                                "leaky 0.2", "conv4/2 16", "bn", "leaky 0.2", "linear 5"]
    assert judge(draw(2, 3, 64, 64)).shape == (2, 5)


def test_other_sizes_are_refused_in_words():
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        sigan().restore(Model({}), {"lr": draw(1, 3, 10, 9)}, 1)
    with pytest.raises(UserError, match="stem of sigan is 'dense'"):
        sigan(stem="dense")


def test_a_few_steps_lower_the_error(monkeypatch):
    torch.manual_seed(0)
    run = sigan(lr=1e-2, schedule="cosine", steps={"pixel": 30, "gan": 0}, stem="linear")
    shade = torch.tensor([0.1, 0.9, 0.5, 0.1, 0.5, 0.9])[:, None, None, None]
    pairs = Pairs((2 * shade - 1).expand(6, 3, 8, 8), (2 * shade - 1).expand(6, 3, 64, 64), SAME)
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for _ in range(30):
        terms = player.loss(step(networks, monkeypatch, run, pairs))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        values.append(terms["l1"].item())
    assert values[-1] < 0.7 * values[0]
