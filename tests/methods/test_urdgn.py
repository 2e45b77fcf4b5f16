"""urdgn: each loss term, who plays and the generator's layers against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Model
from restore_ml.methods.face_super_resolution.urdgn import Generator, Urdgn
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

INPUTS, TARGET = {"lr": draw(3, 3, 8, 8)}, {"hr": draw(3, 3, 64, 64, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.25))


def urdgn(**settings) -> Urdgn:
    return registry.method("face_super_resolution", "urdgn", {"margin": 0.0, "patch": 64, **settings})


def players() -> dict[str, nn.Module]:
    """A generator that repeats pixels and adds 0.25, a judge that scores a face by its mean and its first pixel."""
    return {"generator": Calls(lambda lr: lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT),
            "discriminator": Calls(lambda x: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1])}


MADE = np.kron(2 * INPUTS["lr"].double().numpy() - 1, np.ones((8, 8))) + 0.25
TRUTH = 2 * TARGET["hr"].double().numpy() - 1


def probability(faces: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(3 * faces.mean((1, 2, 3)) - faces[:, 0, 0, 0])))


def at(step: int, networks: dict[str, nn.Module]) -> Context:
    made = step_with(INPUTS, TARGET, networks)
    made.step = step
    return made


# --- the losses -------------------------------------------------------------------------------------------------------


def test_the_pixel_phase_minimises_the_squared_error_of_centred_pictures():
    [player] = urdgn().phases()[0].players
    networks = players()
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["mse"] and player.networks == ["generator"]
    assert terms["mse"].item() == pytest.approx(np.square(MADE - TRUTH).mean(), rel=1e-5)
    assert torch.equal(networks["generator"].calls[0][0], 2 * INPUTS["lr"] - 1)


def test_the_judge_s_terms_by_hand():
    """Half of it on true faces, half on made ones."""
    terms = urdgn().discriminator_loss(step_with(INPUTS, TARGET, players()))
    assert list(terms) == ["real", "fake"]
    assert terms["real"].item() == pytest.approx(-np.log(probability(TRUTH)).mean() / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(-np.log(1 - probability(MADE)).mean() / 2, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values()), "nothing reaches the generator"


@pytest.mark.parametrize(("step", "weight"), [(0, 0.05), (114, 0.05), (115, 0.045), (10_000, 0.02)])
def test_the_generator_s_terms_by_hand(step, weight):
    run = urdgn(adversarial_weight=0.05, adversarial_decay=0.9, adversarial_floor=0.02)
    terms = run.generator_loss(at(step, players()))
    assert list(terms) == ["mse", "adversarial"]
    assert terms["mse"].item() == pytest.approx(np.square(MADE - TRUTH).mean(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(-weight * np.log(probability(MADE)).mean(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["mse"] == pytest.approx(2 * (MADE - TRUTH).mean(), rel=1e-4)
    assert slopes["adversarial"] == pytest.approx(-weight * (2 * (1 - probability(MADE))).mean(), rel=1e-4)


def test_paper_weights_rates_and_margin():
    run = Urdgn({})
    s = run.settings
    assert [s[name] for name in ("adversarial_weight", "adversarial_decay", "adversarial_floor", "margin", "lr",
                                 "lr_decay", "batch", "epoch_steps")] == [0.01, 0.99, 0.005, 0.3, 1e-3, 0.99, 128, 115]
    assert s["epoch_steps"] == 14_720 / s["batch"]
    assert [phase.steps for phase in run.phases()] == [0, 230 * 115]
    assert [run.rate(step, 10**6) for step in (0, 50, 100, 115)] == pytest.approx([1 / 50, 1 / 5, 1, 0.99])
    assert run.rate(10**7, 10**8) == pytest.approx(1e-3), "a rate of 1e-6"
    networks = {"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1)}
    for method, kind in ((run, torch.optim.RMSprop), (urdgn(optimiser="adam", lr=2e-3), torch.optim.Adam)):
        for phase in method.phases():
            for player in phase.players:
                made = optimiser_of(player, networks)
                assert isinstance(made, kind) and made.defaults["lr"] == method.settings["lr"]


@pytest.mark.parametrize(("real", "fake", "plays"), [(0.5, 0.5, (1, 1)), (0.2, 0.5, (0, 1)), (0.5, 0.8, (1, 0)),
                                                     (0.2, 0.8, (1, 1))])
def test_each_player_has_its_own_gate(real, fake, plays, monkeypatch):
    run, step = urdgn(margin=0.3), step_with(INPUTS, TARGET, players())
    monkeypatch.setattr(run, "_errors", lambda context: (torch.tensor(real), torch.tensor(fake)))
    judge, generator = run.discriminator_loss(step), run.generator_loss(step)
    assert judge["real"].item() == pytest.approx(plays[0] * real / 2)
    assert judge["fake"].item() == pytest.approx(plays[0] * fake / 2)
    assert [bool(term.detach()) for term in generator.values()] == [bool(plays[1])] * 2


def test_both_players_share_one_forward_pass_and_the_judge_s_errors():
    networks, run = players(), urdgn(margin=0.3, jitter=0.2)
    judge, generator = run.phases()[1].players
    step = step_with(INPUTS, TARGET, networks)
    judge.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1 and len(networks["discriminator"].calls) == 3
    lr, hr = run.faces(step)
    assert torch.equal(networks["generator"].calls[0][0], 2 * lr - 1) and not torch.equal(lr, INPUTS["lr"])
    assert torch.equal(networks["discriminator"].calls[0][0], 2 * hr - 1), "in the same light"
    assert [player.networks for player in (judge, generator)] == [["discriminator"], ["generator"]]
    assert [phase.name for phase in run.phases()] == ["pixel", "gan"]


def test_the_generator_s_rate_runs_over_both_phases_and_the_judge_s_over_its_own():
    pixel, gan = urdgn(schedule="cosine", steps={"pixel": 60, "gan": 20}).phases()
    [first], (judge, second) = pixel.players, gan.players
    assert [first.schedule(step, 60) for step in (0, 40)] == pytest.approx([1, 0.5])
    assert second.schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert [judge.schedule(step, 20) for step in (0, 10)] == pytest.approx([1, 0.5])
    assert first.name == second.name == "generator", "one optimiser for both"


# --- the generator ----------------------------------------------------------------------------------------------------


def test_the_card_s_numbers_of_parameters():
    with torch.device("meta"):
        networks = Urdgn({}).build()
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counts == {"generator": 1_054_243, "discriminator": 6_859_425}


def test_the_generator_layer_by_layer():
    """Convolution, batch norm, ReLU, then pixels repeated; the last two are at full size."""
    torch.manual_seed(1)
    net, x = Generator(2).eval(), draw(2, 3, 8, 8) * 2 - 1
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    convolutions = [module for module in net.body if isinstance(module, nn.Conv2d)]
    norms = [module for module in net.body if isinstance(module, nn.BatchNorm2d)]
    assert [(layer.out_channels, layer.kernel_size[0]) for layer in convolutions] == [(2, 3), (8, 3), (16, 5), (32, 5)]
    with torch.no_grad():
        y = x
        for number, (layer, norm) in enumerate(zip(convolutions, norms, strict=True)):
            y = functional.conv2d(y, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
            y = functional.relu(functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias))
            y = y.repeat_interleave(2, 2).repeat_interleave(2, 3) if number < 3 else y
        expected = functional.conv2d(y, net.tail.weight, net.tail.bias, padding=2)
        np.testing.assert_allclose(net(x), expected, atol=1e-5)
    assert expected.shape == (2, 3, 64, 64) and Generator(1)(draw(2, 3, 5, 7)).shape == (2, 3, 40, 56)


def test_a_residual_generator_starts_as_bicubic():
    networks, x = [], draw(2, 3, 8, 8)
    for residual in (False, True):
        torch.manual_seed(3)
        networks.append(urdgn(width=1, residual=residual, d_width=4, d_hidden=8).build()["generator"].eval())
    with torch.no_grad():
        plain, made = (network(x) for network in networks)
        np.testing.assert_allclose(made - imresize(x, 8.0), 0.01 * (plain - networks[0].tail.bias[:, None, None]),
                                   atol=1e-6)
    assert (made - imresize(x, 8.0)).abs().max() > 0


# --- restoring and learning -------------------------------------------------------------------------------------------


def test_restore_centres_clips_and_refuses_another_size():
    model = Model({"generator": Calls(lambda lr: 3 * lr.repeat_interleave(8, 2).repeat_interleave(8, 3))})
    sr = urdgn().restore(model, INPUTS, 1)["sr"]
    expected = (3 * np.kron(2 * INPUTS["lr"].double().numpy() - 1, np.ones((8, 8))) + 1) / 2
    np.testing.assert_allclose(sr, expected.clip(0, 1), atol=1e-5)
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        urdgn().restore(model, {"lr": draw(1, 3, 10, 9)}, 1)


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run = urdgn(width=1, d_width=4, d_hidden=8, optimiser="adam", lr=1e-2, schedule="cosine")
    shade = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None]
    given, wanted = {"lr": shade.expand(3, 3, 8, 8)}, {"hr": shade.expand(3, 3, 64, 64)}
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for _ in range(30):
        loss = player.loss(step_with(given, wanted, networks))["mse"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
