"""fsrnet and fsrgan: each loss term, what is known of landmarks and parts, and the networks, against values by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.fsrnet import Fsrnet, enlarged
from restore_ml.nn.face_priors import PriorNet, Restored
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.tasks.face_super_resolution.annotations import LEARNED
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

LIFT = nn.Parameter(torch.tensor(0.25))
SMALL = {"width": 4, "blocks": 1, "encoder_blocks": 1, "prior_width": 4, "hourglasses": 1, "depth": 2, "patch": 64}
POINTS = torch.tensor([[20.5, 24.5], [42.5, 24.5], [30.0, 37.0], [24.5, 46.5], [38.5, 50.5]])
LABELS = (torch.arange(64)[:, None] // 8 + torch.arange(64) // 5) % 9


def fsrnet(**settings) -> Fsrnet:
    return registry.method("face_super_resolution", "fsrnet", {**SMALL, **settings})


def fsrgan(**settings) -> Fsrnet:
    return fsrnet(steps={"pixel": 60, "gan": 20}, **settings)


def known(*rows: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Inputs of as many faces; of each, whether its landmarks and its parts are known. Unknown ones are zeros."""
    told = torch.tensor(rows).float()
    return {"lr": draw(len(rows), 3, 8, 8), "scale": torch.tensor([8] * len(rows)), "annotated": told,
            "landmarks": torch.stack([POINTS + number for number in range(len(rows))]) * told[:, :1, None],
            "parsing": (LABELS.expand(len(rows), 1, 64, 64) * told[:, 1:, None, None]).long()}


INPUTS = known((1, 1), (0, 0), (0, 1))
TARGET = {"hr": draw(3, 3, 64, 64, seed=1)}


def made(face: torch.Tensor) -> Restored:
    """A network of which everything can be told by hand."""
    maps = functional.avg_pool2d(face, 2)
    return Restored(face + LIFT, face - 2 * LIFT, maps[:, :1].expand(-1, 5, -1, -1) * LIFT,
                    maps[:, 1:2].expand(-1, 9, -1, -1) * LIFT)


def players() -> dict[str, nn.Module]:
    """That network, and a judge that scores a face by its mean and by the first pixel of what stands beside it."""
    return {"generator": Calls(made),
            "discriminator": Calls(lambda x: (3 * x[:, :3].mean((1, 2, 3)) - x[:, 3, 0, 0])[:, None, None, None])}


FACE = np.stack([imresize(lr.permute(1, 2, 0).double().numpy(), 8).transpose(2, 0, 1) for lr in INPUTS["lr"]])
TRUTH = TARGET["hr"].double().numpy()


def prior_by_hand() -> float:
    """Over the landmarks of the first face and the parts of the first and the third: what is known, and no more."""
    maps = FACE.reshape(3, 3, 32, 2, 32, 2).mean((3, 5)) * 0.25
    rows, columns = np.mgrid[:32, :32]
    total, values = 0.0, 0
    for x, y in POINTS.numpy():
        peak = np.exp(-((columns - ((x + 0.5) / 2 - 0.5))**2 + (rows - ((y + 0.5) / 2 - 0.5))**2) / 2)
        total, values = total + np.square(maps[0, 0] - peak).sum(), values + 1024
    for face in (0, 2):
        for part in range(9):
            share = (LABELS.numpy() == part).reshape(32, 2, 32, 2).mean((1, 3))
            total, values = total + np.square(maps[face, 1] - share).sum(), values + 1024
    return total / values


class Features:
    source = "test-0"

    def __call__(self, pictures, taps=None, normalise=True):
        assert normalise and list(taps) == ["relu3_3"]
        return {"relu3_3": torch.stack([2 * pictures[:, 0], pictures[:, 1] - pictures[:, 2]], 1)}


# --- the objectives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fine", "prior"), [(1.0, 1.0), (3.0, 0.2)])
def test_the_three_terms_by_hand(fine, prior):
    networks, run = players(), fsrnet(fine_weight=fine, prior_weight=prior)
    [phase] = run.phases()
    [player] = phase.players
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["coarse", "fine", "prior"] and player.networks == ["generator"]
    assert terms["coarse"].item() == pytest.approx(0.5 * np.square(FACE - 0.5 - TRUTH).mean(), rel=1e-5)
    assert terms["fine"].item() == pytest.approx(fine / 2 * np.square(FACE + 0.25 - TRUTH).mean(), rel=1e-5)
    assert terms["prior"].item() == pytest.approx(prior / 2 * prior_by_hand(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["coarse"] == pytest.approx(-2 * (FACE - 0.5 - TRUTH).mean(), rel=1e-4)
    assert slopes["fine"] == pytest.approx(fine * (FACE + 0.25 - TRUTH).mean(), rel=1e-4)
    assert slopes["prior"] and np.allclose(networks["generator"].calls[0][0], FACE, atol=1e-5)


def test_faces_of_which_nothing_is_known_have_no_error_of_priors():
    """An unknown face beside known ones changes nothing, and alone there is no error, and no gradient."""
    alone, run = known((1, 1)), fsrnet()
    beside = {name: torch.cat([value, INPUTS[name][1:2]]) for name, value in alone.items()}
    values = [run.face_loss(step_with(given, {"hr": TARGET["hr"][:len(given["lr"])]}, players()))["prior"].item()
              for given in (alone, beside)]
    assert values[0] == pytest.approx(values[1], rel=1e-6) and values[0] > 0
    nothing = run.face_loss(step_with(known((0, 0), (0, 0)), {"hr": TARGET["hr"][:2]}, players()))["prior"]
    assert nothing.item() == 0 and torch.autograd.grad(nothing, LIFT)[0].item() == 0


def test_without_a_weight_of_priors_it_trains_as_two_stages():
    assert list(fsrnet(prior_weight=0.0).face_loss(step_with(INPUTS, TARGET, players()))) == ["coarse", "fine"]


def test_the_judge_s_terms_by_hand():
    terms = fsrgan().discriminator_loss(step_with(INPUTS, TARGET, players()))
    real, fake = (3 * face.mean((1, 2, 3)) - FACE[:, 0, 0, 0] for face in (TRUTH, FACE + 0.25))
    assert list(terms) == ["real", "fake"]
    assert terms["real"].item() == pytest.approx(np.log1p(np.exp(-real)).mean(), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(np.log1p(np.exp(fake)).mean(), rel=1e-5)
    assert not any(term.requires_grad for term in terms.values()), "nothing reaches the generator"


@pytest.mark.parametrize(("adversarial", "perceptual"), [(1e-3, 0.1), (0.5, 2.0)])
def test_the_generator_s_terms_by_hand(adversarial, perceptual):
    run = fsrgan(adversarial_weight=adversarial, perceptual_weight=perceptual)
    terms = run.generator_loss(step_with(INPUTS, TARGET, players(), Features()))
    assert list(terms) == ["coarse", "fine", "prior", "adversarial", "perceptual@test-0"]
    score = 3 * (FACE + 0.25).mean((1, 2, 3)) - FACE[:, 0, 0, 0]
    assert terms["adversarial"].item() == pytest.approx(adversarial * np.log1p(np.exp(-score)).mean(), rel=1e-5)
    features = [np.stack([2 * x[:, 0], x[:, 1] - x[:, 2]], 1) for x in (FACE + 0.25, TRUTH)]
    assert terms["perceptual@test-0"].item() == pytest.approx(
        perceptual * np.square(features[0] - features[1]).mean(), rel=1e-5)
    assert terms["prior"].item() == pytest.approx(prior_by_hand() / 2, rel=1e-5)
    slope = torch.autograd.grad(terms["adversarial"], LIFT, retain_graph=True)[0].item()
    assert slope == pytest.approx(-adversarial * (3 / (1 + np.exp(score))).mean(), rel=1e-4)
    assert torch.autograd.grad(terms["perceptual@test-0"], LIFT)[0].item() == pytest.approx(
        perceptual * 2 * (features[0] - features[1])[:, 0].mean(), rel=1e-3)


def test_no_perceptual_term_without_features_or_weight():
    for run, features in ((fsrgan(), None), (fsrgan(perceptual_weight=0.0), Features())):
        terms = run.generator_loss(step_with(INPUTS, TARGET, players(), features))
        assert list(terms) == ["coarse", "fine", "prior", "adversarial"]


def test_both_players_share_one_forward_pass():
    networks, run = players(), fsrgan()
    judge, generator = run.phases()[1].players
    step = step_with(INPUTS, TARGET, networks)
    judge.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1 and len(networks["discriminator"].calls) == 3
    assert [player.networks for player in (judge, generator)] == [["discriminator"], ["generator"]]
    assert [phase.name for phase in run.phases()] == ["pixel", "gan"] and len(fsrnet().phases()) == 1
    assert set(fsrgan().build()) == {"generator", "discriminator"} and set(fsrnet().build()) == {"generator"}


def test_jitter_changes_small_and_true_faces_alike():
    networks = players()
    terms = fsrnet(jitter=0.2).face_loss(step_with(INPUTS, TARGET, networks))
    shown = networks["generator"].calls[0][0].double().numpy()
    truth = np.empty_like(TRUTH)
    for face in range(3):
        for channel in range(3):
            gain, offset = np.polyfit(FACE[face, channel].ravel(), shown[face, channel].ravel(), 1)
            assert 0.8 <= gain <= 1.2 and abs(offset) <= 0.2
            truth[face, channel] = gain * TRUTH[face, channel] + offset
    assert np.abs(truth - TRUTH).max() > 0.05
    assert terms["fine"].item() == pytest.approx(np.square(shown + 0.25 - truth).mean() / 2, rel=1e-3)


def test_rate_optimiser_and_weights_are_the_paper_s():
    networks = fsrgan(d_width=2).build()
    for kind, expected in (("rmsprop", torch.optim.RMSprop), ("adam", torch.optim.Adam)):
        for phase in fsrgan(optimiser=kind).phases():
            for player in phase.players:
                optimiser = optimiser_of(player, networks)
                assert isinstance(optimiser, expected) and optimiser.defaults["lr"] == 2.5e-4
                assert player.schedule(7, 60) == 1.0
    pixel, gan = fsrgan(schedule="cosine").phases()
    [first], (judge, second) = pixel.players, gan.players
    assert [first.schedule(step, 60) for step in (0, 40)] == pytest.approx([1, 0.5])
    assert second.schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert [judge.schedule(step, 20) for step in (0, 10)] == pytest.approx([1, 0.5])
    paper = Fsrnet.paper
    assert (paper["fine_weight"], paper["prior_weight"], paper["adversarial_weight"], paper["perceptual_weight"],
            paper["batch"]) == (1.0, 1.0, 1e-3, 0.1, 14)


# --- landmarks and parts ----------------------------------------------------------------------------------------------


def test_what_is_derived_serves_training_alone():
    face = np.zeros((64, 64, 3), np.uint8)
    assert fsrnet().derive({}, None, np.random.default_rng(0)) == {} and fsrnet().inputs == ()
    told = fsrnet().derive({}, {"hr": face, "landmarks": POINTS.numpy()}, np.random.default_rng(0))
    assert set(told) == set(fsrnet().derived) == set(LEARNED) and told["annotated"].tolist() == [1, 0]


# --- the networks -----------------------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def convolution(before: int, after: int, kernel: int) -> int:
    return after * (before * kernel**2 + 1)


def test_the_numbers_of_parameters_at_paper_size():
    """By hand from the card's layers; with CelebA's 81 landmarks and 11 parts the heads alone are larger."""
    def block(width: int) -> int:
        return 2 * (convolution(width, width, 3) + 2 * width)

    bottleneck = 2 * 128 + convolution(128, 64, 1) + 2 * 64 + convolution(64, 64, 3) + 2 * 64 + convolution(64, 128, 1)
    hourglass = (3 * 4 + 1) * bottleneck + convolution(128, 128, 1) + 256
    prior = convolution(3, 128, 7) + 256 + 3 * block(128) + 2 * hourglass + convolution(128, 14, 1)
    coarse = convolution(3, 64, 3) + 128 + 3 * block(64) + convolution(64, 3, 3)
    encoder = convolution(3, 64, 3) + 128 + 12 * block(64) + convolution(64, 64, 3)
    decoder = convolution(192, 64, 3) + convolution(64, 64, 4) + 2 * 128 + 3 * block(64) + convolution(64, 3, 3)
    with torch.device("meta"):
        networks = Fsrnet({"steps": {"pixel": 1, "gan": 1}}).build()
        published = PriorNet(128, 3, 2, 4, 81, 11)
    assert parameters(networks["generator"]) == coarse + encoder + prior + decoder == 3_900_756
    assert parameters(published) - parameters(networks["generator"].prior) == 129 * (81 + 11 - 14)
    assert isinstance(networks["discriminator"], PatchDiscriminator)
    assert networks["discriminator"].stages[0][0].weight.shape == (64, 6, 4, 4)


def test_one_step_against_the_judge_moves_both_networks():
    torch.manual_seed(0)
    run = fsrgan(d_width=2)
    networks = run.build()
    step = step_with(INPUTS, TARGET, networks)
    for player in run.phases()[1].players:
        others = [name for name in networks if name not in player.networks]
        for network in networks.values():
            network.zero_grad()
        sum(player.loss(step).values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for name in player.networks
                   for p in networks[name].parameters())
        assert player.name == "generator" or not any(p.grad is not None and p.grad.any() for name in others
                                                     for p in networks[name].parameters())


# --- restoring --------------------------------------------------------------------------------------------------------


def test_restore_enlarges_and_clips_the_fine_face():
    model = Model({"generator": Calls(lambda face: made(2 * face))})
    sr = fsrnet().restore(model, {"lr": INPUTS["lr"]}, 1)["sr"]
    np.testing.assert_allclose(sr.detach(), (2 * FACE + 0.25).clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(enlarged(INPUTS["lr"]), FACE, atol=1e-5)


def test_other_sizes_kinds_and_depths_are_refused_in_words():
    run = fsrnet()
    assert run.unsupported("8_to_64") is None and run.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert run.unsupported("8_to_64_noise") == "not trained on it (its setting kinds)"
    assert fsrnet(kinds=["plain", "noise"]).unsupported("8_to_64_noise") is None
    for kinds in ([], ["plain", "blur"]):
        with pytest.raises(UserError, match="it must name some of plain, noise, blur_noise"):
            fsrnet(kinds=kinds)
    with pytest.raises(UserError, match="depth of fsrnet is 6; faces of 64 pixels cannot be halved so often"):
        fsrnet(depth=6)
    assert [fsrnet(depth=depth).multiple for depth in (2, 4, 5)] == [1, 4, 8], "small faces are padded to it"


def test_thirty_steps_on_one_batch_lower_every_error():
    torch.manual_seed(0)
    run = fsrnet(optimiser="adam", lr=1e-2, depth=1)
    shade = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None]
    given, wanted = {**INPUTS, "lr": shade.expand(3, 3, 8, 8)}, {"hr": shade.expand(3, 3, 64, 64)}
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, networks)
    values = []
    for _ in range(30):
        terms = player.loss(step_with(given, wanted, networks))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        values.append({name: term.item() for name, term in terms.items()})
    assert all(values[-1][name] < 0.7 * values[0][name] for name in values[0])
