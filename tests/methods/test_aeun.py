"""aeun and aeun_mean: each loss term, the margin, the layers and what is told, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, write
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.aeun import CHOSEN, PLACES, Aeun
from restore_ml.nn.attribute_autoencoder import Discriminator, Generator
from restore_ml.nn.spatial_transformer import SpatialTransformer
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.walk.entries import runs

MEAN = np.linspace(0.1, 0.9, 18, dtype=np.float32)
LIFT = nn.Parameter(torch.tensor(0.25))


def aeun(**settings) -> Aeun:
    made = registry.method("face_super_resolution", "aeun", {"margin": 0.0, "patch": 64, **settings})
    made.constants = {"mean": MEAN}
    return made


def known(*rows: float) -> torch.Tensor:
    """Attributes as they are given, 40 a face: those of our eighteen have the row's value, the others 1."""
    made = torch.ones(len(rows), 40)
    for number, value in enumerate(rows):
        made[number, PLACES] = value
    return made


INPUTS = {"lr": draw(3, 3, 8, 8), "scale": torch.tensor([8, 8, 8]), "attributes": known(1, -1, 1)}
TARGET = {"hr": draw(3, 3, 64, 64, seed=1), "hr_attributes": INPUTS["attributes"]}
TOLD = np.array([1.0, 0.0, 1.0])


def players() -> dict[str, nn.Module]:
    """A generator that repeats pixels and adds 0.25 and the first attribute, a judge that scores a face by its mean,
    its first pixel and its attributes."""
    return {"generator": Calls(lambda lr, told: lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT
                               + told[:, :1, None, None]),
            "discriminator": Calls(lambda x, told: 3 * x.mean((1, 2, 3))[:, None] - x[:, 0, 0, :1] + 2 * told[:, :1])}


def made() -> np.ndarray:
    """What that generator gives, in [-1, 1]."""
    lr = 2 * INPUTS["lr"].double().numpy() - 1
    return np.kron(lr, np.ones((8, 8))) + 0.25 + TOLD[:, None, None, None]


def score(pictures: np.ndarray, told: np.ndarray) -> np.ndarray:
    return 3 * pictures.mean((1, 2, 3)) - pictures[:, 0, 0, 0] + 2 * told


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


TRUTH = 2 * TARGET["hr"].double().numpy() - 1


def errors() -> tuple[float, float, float]:
    """Of real faces, of made ones, and of real ones with the attributes of the face before: those of the second and
    third differ from their own, the first one's are equal to the last one's."""
    wrong = softplus(score(TRUTH, np.roll(TOLD, 1)))[1:]
    return (softplus(-score(TRUTH, TOLD)).mean(), softplus(score(made(), TOLD)).mean(), wrong.mean())


class Features:
    source = "test-0"

    def __call__(self, pictures, taps=None, normalise=True):
        assert normalise and list(taps) == ["relu3_2"]
        return {"relu3_2": torch.stack([2 * pictures[:, 0], pictures[:, 1] - pictures[:, 2]], 1)}


# --- the objectives ---------------------------------------------------------------------------------------------------


def test_the_pixel_phase_minimises_the_squared_error_of_centred_pictures():
    [player] = aeun().phases()[0].players
    networks = players()
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["mse"] and player.networks == ["generator"]
    assert terms["mse"].item() == pytest.approx(np.square(made() - TRUTH).mean(), rel=1e-5)
    lr, told = networks["generator"].calls[0]
    assert torch.equal(lr, 2 * INPUTS["lr"] - 1) and np.array_equal(told.numpy(), np.tile(TOLD[:, None], 18))


def test_the_judge_s_terms_by_hand():
    """Real with its attributes is real; made, and real with attributes of another face, are not: a third each."""
    terms = aeun().discriminator_loss(step_with(INPUTS, TARGET, players()))
    assert list(terms) == ["real", "fake", "wrong"]
    for term, value in zip(terms.values(), errors(), strict=True):
        assert term.item() == pytest.approx(value / 3, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values()), "nothing reaches the generator"


def test_faces_of_equal_attributes_are_no_example_of_wrong_ones():
    inputs = {**INPUTS, "attributes": known(1, 1, 1)}
    terms = aeun().discriminator_loss(step_with(inputs, TARGET, players()))
    assert terms["wrong"].item() == 0 and terms["real"].item() > 0


@pytest.mark.parametrize("weights", [(0.05, 2.0, 0.3), (0.01, 1.0, 0.01)])
def test_the_generator_s_terms_by_hand(weights):
    adversarial, pixel, perceptual = weights
    run = aeun(adversarial_weight=adversarial, pixel_weight=pixel, perceptual_weight=perceptual)
    terms = run.generator_loss(step_with(INPUTS, TARGET, players(), Features()))
    probability = 1 / (1 + np.exp(-score(made(), TOLD)))
    shown = [(value + 1) / 2 for value in (made(), TRUTH)]
    features = [np.stack([2 * x[:, 0], x[:, 1] - x[:, 2]], 1) for x in shown]
    assert set(terms) == {"mse", "adversarial", "perceptual@test-0"}
    assert terms["mse"].item() == pytest.approx(pixel * np.square(made() - TRUTH).mean(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(-adversarial * np.log(probability).mean(), rel=1e-5)
    assert terms["perceptual@test-0"].item() == pytest.approx(
        perceptual * np.square(features[0] - features[1]).mean(), rel=1e-5)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes["mse"] == pytest.approx(pixel * 2 * (made() - TRUTH).mean(), rel=1e-4)
    assert slopes["adversarial"] == pytest.approx(-adversarial * (2 * (1 - probability)).mean(), rel=1e-4)
    assert slopes["perceptual@test-0"] == pytest.approx(perceptual * 2 * (features[0] - features[1])[:, 0].mean() / 2,
                                                        rel=1e-3)


def test_no_perceptual_term_without_features_or_weight():
    for run, features in ((aeun(), None), (aeun(perceptual_weight=0.0), Features())):
        assert set(run.generator_loss(step_with(INPUTS, TARGET, players(), features))) == {"mse", "adversarial"}


@pytest.mark.parametrize(("real", "fake", "wrong", "margin", "plays"), [
    (0.5, 0.5, 0.5, 0.3, (1, 1)), (0.2, 0.5, 0.5, 0.3, (0, 1)), (0.5, 0.1, 0.4, 0.3, (0, 1)),
    (0.5, 0.1, 0.6, 0.3, (1, 1)), (0.8, 0.5, 0.5, 0.3, (1, 0)), (0.5, 0.9, 0.7, 0.3, (1, 0)),
    (0.5, 0.9, 0.4, 0.3, (1, 1)), (0.2, 0.9, 0.9, 0.3, (1, 1)), (0.2, 0.5, 0.5, 0.0, (1, 1)),
    (1.5, 0.5, 0.5, 0.0, (1, 1)), (0.35, 0.5, 0.5, 0.4, (0, 1)), (0.65, 0.5, 0.5, 0.4, (1, 0))])
def test_who_plays(real, fake, wrong, margin, plays, monkeypatch):
    """The judge rests below the margin, the generator above one less it; both play where both would rest."""
    run = aeun(margin=margin)
    monkeypatch.setattr(run, "_errors", lambda context: tuple(torch.tensor(value) for value in (real, fake, wrong)))
    step = step_with(INPUTS, TARGET, players())
    assert tuple(int(gate) for gate in run.gates(step)) == plays
    judge = run.discriminator_loss(step)
    assert [bool(term) for term in judge.values()] == [bool(plays[0])] * 3
    assert [bool(term.detach()) for term in run.generator_loss(step).values()] == [bool(plays[1])] * 2


@pytest.mark.parametrize("kind", ["rmsprop", "adam"])
def test_a_player_that_is_stopped_keeps_its_weights_and_averages(kind):
    """Zero gradients are no step, though momentum would move on; one that is not zero is a step of all."""
    weight, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    optimiser = aeun(optimiser=kind, lr=0.1)._optimiser([("weight", weight), ("other", other)])

    def step(*gradients: float) -> None:
        weight.grad, other.grad = (torch.full_like(p, value) for p, value in zip((weight, other), gradients,
                                                                                 strict=True))
        optimiser.step()

    step(0.5, 2.0)
    kept = [weight.detach().clone(), other.detach().clone()]
    state = {name: value.clone() for name, value in optimiser.state[weight].items() if torch.is_tensor(value)}
    step(0.0, 0.0)
    assert torch.equal(weight, kept[0]) and torch.equal(other, kept[1])
    assert state and all(torch.equal(optimiser.state[weight][name], value) for name, value in state.items())
    step(0.0, 1.0)
    assert not torch.equal(other, kept[1])
    assert any(not torch.equal(optimiser.state[weight][name], value) for name, value in state.items())


def test_the_generator_s_rate_runs_over_both_phases_and_the_judge_s_over_its_own():
    pixel, gan = aeun(schedule="cosine", steps={"pixel": 60, "gan": 20}).phases()
    [first], (judge, second) = pixel.players, gan.players
    assert [first.schedule(step, 60) for step in (0, 40)] == pytest.approx([1, 0.5])
    assert second.schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert [judge.schedule(step, 20) for step in (0, 10)] == pytest.approx([1, 0.5])
    assert first.name == second.name == "generator", "one optimiser for both"


def test_jitter_changes_small_and_true_faces_alike():
    run, networks = aeun(jitter=0.2), players()
    step = step_with(INPUTS, TARGET, networks)
    run.discriminator_loss(step), run.generator_loss(step)
    shown, truth = networks["generator"].calls[0][0], networks["discriminator"].calls[0][0]
    slopes = []
    for seen, given in ((shown, INPUTS["lr"]), (truth, TARGET["hr"])):
        lit = ((seen + 1) / 2).double().numpy()
        fits = [[np.polyfit(given[face, channel].double().numpy().ravel(), lit[face, channel].ravel(), 1)
                 for channel in range(3)] for face in range(3)]
        for face in range(3):
            for channel in range(3):
                line = np.polyval(fits[face][channel], given[face, channel].double().numpy())
                np.testing.assert_allclose(lit[face, channel], line, atol=1e-5)
        slopes.append(np.array(fits))
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-4)
    assert (np.abs(slopes[0] - [1, 0]) <= 0.2).all() and np.ptp(slopes[0], axis=(0, 1)).min() > 0.1
    assert np.ptp(slopes[0], axis=1).min() > 0.01, "each channel its own"
    assert torch.equal(networks["discriminator"].calls[2][0], truth), "also with wrong attributes"
    plain = step_with(INPUTS, TARGET, players())
    assert torch.equal(aeun()._faces(plain)[1], 2 * TARGET["hr"] - 1)


def test_both_players_share_one_forward_pass_and_the_judge_s_errors():
    networks, run = players(), aeun()
    judge, generator = run.phases()[1].players
    step = step_with(INPUTS, TARGET, networks)
    judge.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1 and len(networks["discriminator"].calls) == 4
    assert [player.networks for player in (judge, generator)] == [["discriminator"], ["generator"]]
    assert [phase.name for phase in run.phases()] == ["pixel", "gan"]
    assert [phase.steps for phase in Aeun({}).phases()] == [0, 174_000]


def test_weight_rate_and_optimiser_are_the_paper_s():
    run = Aeun({})
    assert [run.adversarial_weight(step) for step in (0, 2560, 2561, 5122)] == pytest.approx(
        [0.01, 0.01, 0.00995, 0.01 * 0.995**2])
    assert run.adversarial_weight(10**6) == 0.005
    assert [run.rate(step, 10**6) for step in (0, 49, 50, 99, 100, 2561, 5122)] == pytest.approx(
        [1 / 50, 1 / 50, 1 / 5, 1 / 5, 1, 0.95, 0.95**2])
    assert run.rate(10**6, 10**6) == pytest.approx(1e-3), "a rate of 1e-6"
    assert aeun(schedule="cosine").rate(5, 10) == pytest.approx(0.5)
    networks = aeun(width=8, d_width=4, d_hidden=8).build()
    for optimiser, kind in (("rmsprop", torch.optim.RMSprop), ("adam", torch.optim.Adam)):
        for phase in aeun(optimiser=optimiser, lr=2e-3).phases():
            for player in phase.players:
                made = optimiser_of(player, networks)
                assert isinstance(made, kind) and made.defaults["lr"] == 2e-3
                assert made.defaults.get("alpha", 0.9) == 0.9 and made.defaults["eps"] == 1e-8
                assert made.defaults.get("betas", (0.5, 0.999)) == (0.5, 0.999)
                assert player.schedule(120, 200) == 1.0
    paper = Aeun.paper
    assert (paper["lr"], paper["margin"], paper["batch"], paper["perceptual_weight"]) == (1e-3, 0.3, 64, 0.01)


def test_a_run_of_the_paper_s_recipe_has_the_term_on_features():
    entry = runs("paper")["face_super_resolution/aeun_perceptual"]
    assert entry.method is Aeun and entry.slots == {"features": "representation/features"}
    assert {**Aeun.paper, **entry.settings} == Aeun.paper and Aeun.paper["perceptual_tap"] == "relu3_2"


# --- what is told -----------------------------------------------------------------------------------------------------


def test_unknown_attributes_are_the_mean_and_all_are_where_none_are_given():
    run, given = aeun(), known(1, -1, 0)
    told = run.told({**INPUTS, "attributes": given}).numpy()
    assert (told[0] == 1).all() and (told[1] == 0).all() and np.array_equal(told[2], MEAN)
    assert np.array_equal(run.told({"lr": INPUTS["lr"]}).numpy(), np.tile(MEAN, (3, 1)))
    one = torch.zeros(1, 40)
    one[0, PLACES[3]] = 1
    assert np.flatnonzero(run.told({"lr": INPUTS["lr"][:1], "attributes": one}).numpy() != MEAN).tolist() == [3]


def test_the_mean_is_over_those_of_whom_it_is_known(tmp_path):
    rows = np.zeros((4, 40), np.float32)
    rows[:, PLACES[0]] = [1, 1, -1, 0]
    rows[:, PLACES[1]] = [-1, 0, 0, 0]
    write(tmp_path / "00.arrow", [Record(f"{number:064x}", {"attributes": row}) for number, row in enumerate(rows)])
    mean = aeun().prepare(Material(tmp_path), 1)["mean"]
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, [2 / 3, 0, *[0.5] * 16], atol=1e-6)


def test_eighteen_of_the_forty():
    from restore_ml.data.domains.faces import ATTRIBUTES

    assert len(CHOSEN) == len(set(CHOSEN)) == 18 and [ATTRIBUTES[place] for place in PLACES] == list(CHOSEN)


# --- the networks -----------------------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_card_s_numbers_of_parameters():
    with torch.device("meta"):
        assert parameters(Generator(stn=False)) == 42_620_899 and parameters(Discriminator()) == 17_390_657
        first, second = (module for module in Generator().modules() if isinstance(module, SpatialTransformer))
    # by hand: 3 x 3 of 256 -> 128, 128 -> 20, 20 -> 20, 80 -> 20 and 20 -> 4; 5 x 5 of 128 -> 64 and 64 -> 20, 3 x 3 of
    # 20 -> 20, 180 -> 20 and 20 -> 4
    assert parameters(first) == 295_040 + 23_060 + 3_620 + 1_620 + 84
    assert parameters(second) == 204_864 + 32_020 + 3_620 + 3_620 + 84


@pytest.mark.parametrize(("side", "widths", "narrow", "decoded"), [
    (128, [4, 16, 64], 256, [128, 96, 64, 32]), (64, [4, 16], 64, [96, 64, 32])])
def test_the_generator_layer_by_layer(side, widths, narrow, decoded):
    """Four times the channels a stage; the attributes at one place; each decoder stage joined with the encoder's maps
    of its size; then three times larger by repeating pixels."""
    torch.manual_seed(1)
    net, lr, told = Generator(side, 4, 18, stn=False).eval(), draw(2, 3, side // 8, side // 8) * 2 - 1, draw(2, 18)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)

    def normal(x, norm):
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)

    with torch.no_grad():
        x, skips = lr, []
        for stage, width in zip(net.encoder, widths, strict=True):
            x = functional.conv2d(x, stage[0].weight, stage[0].bias, stride=2, padding=1)
            x = functional.leaky_relu(normal(x, stage[1]), 0.2)
            assert x.shape[1] == width
            skips.append(x)
        x = functional.conv2d(x, net.code[0].weight, net.code[0].bias)
        x = functional.leaky_relu(normal(x, net.code[1]), 0.2)
        assert x.shape[1:] == (narrow, 1, 1) and skips[-1].shape[2:] == (2, 2)
        x = torch.cat([x, told[:, :, None, None]], 1)
        for number, (stage, width) in enumerate(zip(net.decoder, decoded, strict=True)):
            stride, padding = (2, 1) if number else (1, 0)
            x = functional.conv_transpose2d(x, stage[0].weight, stage[0].bias, stride=stride, padding=padding)
            x = functional.relu(normal(x, stage[1]))
            assert x.shape[1:] == (width, 2 ** (number + 1), 2 ** (number + 1))
            x = torch.cat([x, skips.pop()], 1) if skips else x
        for stage in net.ups:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            layer, norm = stage[-1][0], stage[-1][1]
            x = functional.relu(normal(functional.conv2d(x, layer.weight, layer.bias, padding=1), norm))
        expected = functional.conv2d(x, net.tail.weight, net.tail.bias, padding=2)
        np.testing.assert_allclose(net(lr, told), expected, atol=1e-5)
        assert expected.shape == (2, 3, side, side)


@pytest.mark.parametrize(("side", "sides"), [(128, (32, 64)), (64, (16, 32))])
def test_transformers_stand_behind_the_first_two_enlargements(side, sides):
    torch.manual_seed(0)
    net = Generator(side, 4)
    seen = []
    for stage in net.ups:
        for module in stage:
            if isinstance(module, SpatialTransformer):
                module.register_forward_hook(lambda own, given, made: seen.append((given[0].shape[2:], made.shape[2:])))
    plain = Generator(side, 4, stn=False)
    plain.load_state_dict({name: value for name, value in net.state_dict().items()
                           if "locate" not in name and "similarity" not in name}
                          | {name.replace(".2.", ".1."): value for name, value in net.state_dict().items()
                             if name.startswith(("ups.0.2", "ups.1.2"))}, strict=False)
    lr, told = draw(2, 3, side // 8, side // 8), draw(2, 18)
    with torch.no_grad():
        np.testing.assert_allclose(net.eval()(lr, told), plain.eval()(lr, told), atol=1e-4)
    assert seen == [((number, number), (number, number)) for number in sides]
    assert [type(module) for module in net.ups[0]][:2] == [nn.Upsample, SpatialTransformer]


def test_the_discriminator_layer_by_layer():
    """Convolution, maximum, ReLU; the attributes behind the second; dropout of maps, then of numbers."""
    torch.manual_seed(2)
    net, x, told = Discriminator(32, 4, 18, 8).eval(), draw(2, 3, 32, 32), draw(2, 18)

    def layer(x, convolution, size):
        return functional.relu(functional.max_pool2d(functional.conv2d(x, convolution.weight, convolution.bias,
                                                                       padding=size // 2), 2))
    with torch.no_grad():
        y = layer(layer(x, net.picture[0], 5), net.picture[3], 5)
        y = torch.cat([y, told[:, :, None, None].expand(2, 18, 8, 8)], 1)
        y = layer(layer(y, net.both[0], 5), net.both[4], 3).flatten(1)
        y = functional.linear(functional.relu(functional.linear(y, net.both[9].weight, net.both[9].bias)),
                              net.both[12].weight, net.both[12].bias)
        np.testing.assert_allclose(net(x, told), y, atol=1e-5)
    dropped = [(type(module), module.p) for module in net.both if isinstance(module, nn.Dropout | nn.Dropout2d)]
    assert dropped == [(nn.Dropout2d, 0.2), (nn.Dropout2d, 0.2), (nn.Dropout, 0.5)]


# --- restoring --------------------------------------------------------------------------------------------------------


def test_restore_tells_clips_and_centres():
    model = Model({"generator": Calls(lambda lr, told: 3 * lr.repeat_interleave(8, 2).repeat_interleave(8, 3)
                                      + told[:, :1, None, None])})
    sr = aeun().restore(model, INPUTS, 1)["sr"]
    expected = (3 * np.kron(2 * INPUTS["lr"].double().numpy() - 1, np.ones((8, 8))) + TOLD[:, None, None, None] + 1) / 2
    np.testing.assert_allclose(sr.numpy(), expected.clip(0, 1), atol=1e-5)


def test_other_sizes_and_kinds_are_refused_in_words():
    run = aeun()
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        run.restore(Model({}), {"lr": draw(1, 3, 10, 9)}, 1)
    assert run.unsupported("8_to_64") is None and run.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert run.unsupported("8_to_64_noise") == "not trained on it (its setting kinds)"
    assert aeun(kinds=["plain", "noise"]).unsupported("8_to_64_noise") is None
    for kinds in ([], ["plain", "blur"]):
        with pytest.raises(UserError, match="it must name some of plain, noise, blur_noise"):
            aeun(kinds=kinds)


def test_the_mean_row_restores_with_the_same_network_and_no_attributes():
    other = registry.method("face_super_resolution", "aeun_mean", {"patch": 64, "kinds": ["plain"]})
    model = Model({"generator": Generator(64, 4).eval()})
    with torch.no_grad():
        told, mean = (method.restore(with_model, INPUTS, 1)["sr"] for method, with_model in (
            (aeun(), model), (other, Model(slots={"parts": (aeun(), model)}))))
        blind = aeun().restore(model, {"lr": INPUTS["lr"]}, 1)["sr"]
    assert torch.equal(mean, blind) and not torch.equal(told, mean), "attributes change the face"
    assert other.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert other.unsupported("8_to_64_noise") == aeun().unsupported("8_to_64_noise")
    assert not other.trains and other.restoring_slots == ("parts",)


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run = aeun(width=4, d_width=4, d_hidden=8, optimiser="adam", lr=1e-2, schedule="cosine")
    shade = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None]
    given, wanted = {**INPUTS, "lr": shade.expand(3, 3, 8, 8)}, {**TARGET, "hr": shade.expand(3, 3, 64, 64)}
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, networks)
    values = []
    for _ in range(30):
        loss = sum(player.loss(step_with(given, wanted, networks)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
