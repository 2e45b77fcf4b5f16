"""tdae: what each network learns from and towards, each term, who plays and what is restored, by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

INPUTS = {"lr": draw(3, 3, 8, 8), "scale": torch.tensor([8, 8, 8])}
TARGET = {"hr": draw(3, 3, 64, 64, seed=1), "hr_attributes": torch.zeros(3, 40)}
TRUTH = 2 * TARGET["hr"].double().numpy() - 1
SMALL = {"patch": 64, "margin": 0.0, "width": 2, "encoder_width": 2, "d_width": 2, "d_hidden": 4}


def tdae(**settings):
    return registry.method("face_super_resolution", "tdae", {**SMALL, **settings})


def players() -> dict[str, nn.Module]:
    """Decoders that repeat pixels, brighten and strengthen, an encoder that takes means of 8 x 8, and judges that score
    a face by its mean and its first pixel."""
    lifts = {name: nn.Parameter(torch.tensor(value)) for name, value in (
        ("decoder_1", 0.4), ("encoder", -0.3), ("decoder_2", 0.2))}

    def larger(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(8, 2).repeat_interleave(8, 3)

    made = {"decoder_1": Calls(lambda x: 1.2 * larger(x) + lifts["decoder_1"]),
            "encoder": Calls(lambda x: 1.5 * x.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)) + lifts["encoder"]),
            "decoder_2": Calls(lambda x: 0.9 * larger(x) + lifts["decoder_2"]),
            "discriminator_1": Calls(lambda x: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1]),
            "discriminator_2": Calls(lambda x: 2 * x.mean((1, 2, 3))[:, None] + x[:, 0, 0, :1])}
    for name, lift in lifts.items():
        made[name].lift = lift
    return made


def by_hand() -> dict[str, np.ndarray]:
    """What the three give one after the other, clipped between them."""
    first = 1.2 * np.kron(2 * INPUTS["lr"].double().numpy() - 1, np.ones((8, 8))) + 0.4
    means = first.clip(-1, 1).reshape(3, 3, 8, 8, 8, 8).mean((3, 5))
    small = 1.5 * means - 0.3
    second = 0.9 * np.kron(small.clip(-1, 1), np.ones((8, 8))) + 0.2
    return {"decoder_1": first, "encoder": small, "decoder_2": second}


MADE = by_hand()
CLEAN = imresize(torch.from_numpy(TRUTH), 1 / 8).numpy()


def score(pictures: np.ndarray, number: int) -> np.ndarray:
    mean, first = pictures.mean((1, 2, 3)), pictures[:, 0, 0, 0]
    return 3 * mean - first if number == 1 else 2 * mean + first


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


# --- the objectives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "name", "truth"), [("pixel_1", "decoder_1", TRUTH), ("encoder", "encoder", CLEAN),
                                                      ("pixel_2", "decoder_2", TRUTH)])
def test_a_network_alone_minimises_its_squared_error(phase, name, truth):
    """Behind the ones before it, clipped between; the encoder towards the true face made small."""
    [player] = next(one for one in tdae().phases() if one.name == phase).players
    networks = players()
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["mse"] and player.networks == [name]
    assert terms["mse"].item() == pytest.approx(np.square(MADE[name] - truth).mean(), rel=1e-5)
    terms["mse"].backward()
    assert networks[name].lift.grad.item() == pytest.approx(2 * (MADE[name] - truth).mean(), rel=1e-4)
    assert [other for other in ("decoder_1", "encoder", "decoder_2") if networks[other].lift.grad is not None] == [name]
    assert (np.abs(MADE["decoder_1"]) > 1).any() and (np.abs(MADE["encoder"]) > 1).any(), "clipping is seen"


@pytest.mark.parametrize("number", [1, 2])
def test_a_judge_s_terms_by_hand(number):
    """True faces are real, made ones are not: half each; nothing reaches a decoder."""
    terms = tdae().discriminator_loss(step_with(INPUTS, TARGET, players()), number)
    expected = {"real": softplus(-score(TRUTH, number)).mean() / 2,
                "fake": softplus(score(MADE[f"decoder_{number}"], number)).mean() / 2}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("number", [1, 2])
def test_a_decoder_s_terms_by_hand(number):
    networks, made = players(), MADE[f"decoder_{number}"]
    run = tdae(adversarial_weight=0.05)
    terms = run.decoder_loss(step_with(INPUTS, TARGET, networks), number)
    probability = 1 / (1 + np.exp(-score(made, number)))
    expected = {"mse": np.square(made - TRUTH).mean(), "adversarial": -0.05 * np.log(probability).mean()}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    lift = networks[f"decoder_{number}"].lift
    slopes = {name: torch.autograd.grad(term, lift, retain_graph=True)[0].item() for name, term in terms.items()}
    gain = 2 if number == 1 else 3  # of the score, when a face gets brighter
    assert slopes == pytest.approx({"mse": 2 * (made - TRUTH).mean(),
                                    "adversarial": -0.05 * gain * (1 - probability).mean()}, rel=1e-4)


@pytest.mark.parametrize(("real", "fake", "margin", "plays"), [
    (0.5, 0.5, 0.3, (1, 1)), (0.2, 0.5, 0.3, (0, 1)), (0.5, 0.9, 0.3, (1, 0)), (0.2, 0.9, 0.3, (1, 1)),
    (0.2, 0.5, 0.0, (1, 1)), (0.65, 0.5, 0.4, (1, 0))])
def test_who_plays(real, fake, margin, plays, monkeypatch):
    run, step = tdae(margin=margin), step_with(INPUTS, TARGET, players())
    monkeypatch.setattr(run, "_errors", lambda context, number: (torch.tensor(real), torch.tensor(fake)))
    assert [bool(term) for term in run.discriminator_loss(step, 1).values()] == [bool(plays[0])] * 2
    assert [bool(term.detach()) for term in run.decoder_loss(step, 1).values()] == [bool(plays[1])] * 2


def test_the_adversarial_weight_falls_with_the_epochs():
    run = tdae(adversarial_weight=0.01)

    def adversarial(step: int) -> float:
        context = step_with(INPUTS, TARGET, players())
        context.step = step
        return run.decoder_loss(context, 2)["adversarial"].item()

    first = adversarial(0)
    assert [adversarial(step) / first for step in (467, 468, 936, 10**6)] == pytest.approx([1, 0.99, 0.99**2, 0.5])


# --- the order of training --------------------------------------------------------------------------------------------


def test_phases_are_one_network_after_the_other_behind_networks_that_stand_still():
    phases = tdae().phases()
    assert [(phase.name, [player.name for player in phase.players], tuple(phase.frozen_norm)) for phase in phases] == [
        ("pixel_1", ["decoder_1"], ()), ("decoder_1", ["discriminator_1", "decoder_1"], ()),
        ("encoder", ["encoder"], ("decoder_1",)), ("pixel_2", ["decoder_2"], ("decoder_1", "encoder")),
        ("decoder_2", ["discriminator_2", "decoder_2"], ("decoder_1", "encoder"))]
    assert all(player.networks == [player.name] for phase in phases for player in phase.players)
    assert [phase.steps for phase in phases] == [0, 46_800, 46_800, 0, 46_800]
    assert tdae().stored_networks == ("decoder_1", "encoder", "decoder_2")


@pytest.mark.parametrize("number", [1, 2])
def test_both_players_of_a_phase_share_a_forward_pass_and_their_own_judge(number):
    networks = players()
    step = step_with(INPUTS, TARGET, networks)
    judge, decoder = next(one for one in tdae().phases() if one.name == f"decoder_{number}").players
    assert set(judge.loss(step)) == {"real", "fake"} and set(decoder.loss(step)) == {"mse", "adversarial"}
    calls = {name: len(network.calls) for name, network in networks.items()}
    assert calls == {"decoder_1": 1, "encoder": number - 1, "decoder_2": number - 1,
                     "discriminator_1": 3 * (number == 1), "discriminator_2": 3 * (number == 2)}


def test_rates_and_optimisers():
    steps = {"pixel_1": 60, "decoder_1": 20, "encoder": 10, "pixel_2": 30, "decoder_2": 10}
    run = tdae(schedule="cosine", steps=steps, optimiser="adam", lr=2e-3)
    networks = run.build()
    first, gan, encoder, second, last = run.phases()
    assert first.players[0].schedule(40, 60) == pytest.approx(0.5), "a decoder's rate runs over both its phases"
    assert gan.players[1].schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert gan.players[0].schedule(10, 20) == encoder.players[0].schedule(5, 10) == pytest.approx(0.5)
    assert second.players[0].schedule(20, 30) == pytest.approx(0.5)
    assert last.players[1].schedule(0, 10) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert {type(optimiser_of(player, networks)) for phase in run.phases() for player in phase.players} == {
        torch.optim.Adam}
    paper = tdae()
    made = optimiser_of(paper.phases()[2].players[0], networks)
    assert type(made) is torch.optim.RMSprop and made.defaults["lr"] == 1e-3 and made.defaults["alpha"] == 0.9
    player = paper.phases()[1].players[1]
    assert [player.schedule(step, 1) for step in (0, 50, 100, 468, 936)] == pytest.approx(
        [1 / 50, 1 / 5, 1, 0.99, 0.99**2])
    settings = registry.method("face_super_resolution", "tdae", {}).settings
    assert (settings["margin"], settings["adversarial_weight"], settings["adversarial_floor"], settings["batch"]) == (
        0.3, 0.01, 0.005, 64)


# --- networks and restoring -------------------------------------------------------------------------------------------


def test_the_card_s_numbers_of_parameters():
    with torch.device("meta"):
        made = registry.method("face_super_resolution", "tdae", {"stn": False}).build()
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in made.items()}
    assert counts == {"decoder_1": 2_879_875, "encoder": 430_595, "decoder_2": 2_225_155,
                      "discriminator_1": 6_859_425, "discriminator_2": 6_859_425}


def test_restoring_goes_through_all_three_and_clips_between():
    model = Model(players())
    with torch.no_grad():
        sr = tdae().restore(model, INPUTS, 1)["sr"]
    np.testing.assert_allclose(sr, ((MADE["decoder_2"] + 1) / 2).clip(0, 1), atol=1e-5)


def test_the_residual_form_starts_as_bicubic_pictures():
    """Silent networks give the bicubic face, its bicubic small form, and the bicubic face of that."""
    run = tdae(residual=True, kinds=["plain"])
    silent = {"decoder_1": Calls(lambda x: torch.zeros(len(x), 3, 64, 64)),
              "encoder": Calls(lambda x: torch.zeros(len(x), 3, 8, 8)),
              "decoder_2": Calls(lambda x: torch.zeros(len(x), 3, 64, 64))}
    sr = run.restore(Model(silent), INPUTS, 1)["sr"]
    x = imresize(2 * INPUTS["lr"] - 1, 8.0).clamp(-1, 1)
    small = imresize(x, 1 / 8).clamp(-1, 1)
    np.testing.assert_allclose(sr, ((imresize(small, 8.0) + 1) / 2).clip(0, 1), atol=1e-5)
    error = run.error(step_with(INPUTS, TARGET, silent), "encoder").item()
    assert error == pytest.approx(np.square(imresize(x, 1 / 8).double().numpy() - CLEAN).mean(), rel=1e-4)
    torch.manual_seed(0)
    quiet, usual = (one.build()["encoder"].eval() for one in (run, tdae()))
    with torch.no_grad():
        assert quiet(TARGET["hr"]).abs().max() < 0.05 < usual(TARGET["hr"]).abs().max()


def test_jitter_lights_small_and_true_faces_alike():
    run, networks = tdae(jitter=0.2), players()
    step = step_with(INPUTS, TARGET, networks)
    run.discriminator_loss(step, 1), run.decoder_loss(step, 1)
    shown, truth = networks["decoder_1"].calls[0][0], networks["discriminator_1"].calls[0][0]
    lines = [np.array([[np.polyfit((2 * given - 1)[face, channel].ravel(), seen[face, channel].ravel(), 1)
                        for channel in range(3)] for face in range(3)])
             for seen, given in ((shown, INPUTS["lr"]), (truth, TARGET["hr"]))]
    np.testing.assert_allclose(lines[0], lines[1], atol=1e-4)
    assert np.ptp(lines[0][:, :, 0]) > 0.05


def test_other_sizes_and_kinds_are_refused_in_words():
    run = tdae()
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        run.restore(Model({}), {"lr": draw(1, 3, 10, 9)}, 1)
    assert run.unsupported("16_to_128") == "made for faces of 64 pixels" and run.unsupported("8_to_64") is None
    assert run.unsupported("8_to_64_noise") == "not trained on it (its setting kinds)"


def test_thirty_steps_on_one_batch_lower_each_network_s_error():
    torch.manual_seed(0)
    run = tdae(optimiser="adam", lr=1e-2, schedule="cosine")
    shade = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None]
    given, wanted = {**INPUTS, "lr": shade.expand(3, 3, 8, 8)}, {**TARGET, "hr": shade.expand(3, 3, 64, 64)}
    networks = run.build()
    for phase in (phase for phase in run.phases() if len(phase.players) == 1):
        [player] = phase.players
        optimiser, values = optimiser_of(player, networks), []
        for _ in range(30):
            loss = sum(player.loss(step_with(given, wanted, networks)).values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            values.append(loss.item())
        assert values[-1] < 0.7 * values[0], phase.name
