"""text_guided and text_film: encoder, decoder, losses and recipes against values by hand; a ball is turned."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import to_rgb8
from restore_ml.method import Model
from restore_ml.methods.guided_colorization.palette_guided import PaletteGuided
from restore_ml.methods.guided_colorization.text_film import FilmNet, TextFilm
from restore_ml.methods.guided_colorization.text_guided import (
    PaletteDecoder,
    PaletteJudge,
    TextEncoder,
    TextGuided,
)
from restore_ml.methods.guided_colorization.user_hints import turned
from restore_ml.nn.hints_network import HintsNet
from restore_ml.nn.muon import Muon
from restore_ml.restoring import harness
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.guided_colorization.vocabulary import BYTES, MOST_WORDS, numbers, told
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.walk.material import picture

SMALL = {"width": 2, "judge_width": 2, "patch": 32, "batch": 4, "embedding": 4, "hidden": 6}
FILM = {"width": 2, "patch": 32, "batch": 4, "embedding": 4, "hidden": 6}
TEXTS = ("red ball", "blue sky brown ground red middle", "grey")
WORDS = torch.from_numpy(np.stack([numbers(one) for one in TEXTS])).float()


def count(network):
    return sum(one.numel() for one in network.parameters())


def batch(number=3, side=32):
    samples = [lab_sample(picture(seed, side, side)) for seed in range(number)]
    stacked = {name: torch.from_numpy(np.stack([{**one.inputs, **one.target}[name] for one in samples])).movedim(3, 1)
               for name in ("L", "ab")}
    inputs = {"L": stacked["L"], "words": WORDS[:number], "palette": 80 * draw(number, 15) - 20,
              "angle": torch.tensor([[0.0], [1.2], [4.0]])[:number]}
    return inputs, {"ab": stacked["ab"]}


# --- the networks -----------------------------------------------------------------------------------------------------


def test_the_parameter_counts():
    """By the layers of the code, with eighteen words and none."""
    with torch.device("meta"):
        networks = TextGuided({}).build()
        palette = PaletteGuided({}).build()
        film = TextFilm({}).build()
    gru = 3 * 150 * (300 + 150) + 6 * 150
    assert count(networks["encoder"]) == 19 * 300 + gru
    augmented, attention = 150 * 300 + 300, 2 * (150 * 150 + 150) + 151
    assert count(networks["decoder"]) == (augmented + attention + 3 * 150 * (153 + 150) + 6 * 150
                                          + 150 * 150 + 150 + 2 * 150 + 3 * 150 + 3)
    assert count(networks["critic"]) == 165 * 82 + 82 + 82 * 41 + 41 + 41 * 20 + 20 + 20 + 1
    assert all(count(networks[name]) == count(palette[name]) for name in ("colorizer", "judge"))
    assert count(film["encoder"]) == 19 * 16 + 3 * 150 * (16 + 150) + 6 * 150
    assert count(film["colorizer"]) == 34_051_074 + 150 * 1024 + 1024


def test_the_encoder_reads_as_many_words_as_there_are():
    torch.manual_seed(0)
    encoder = TextEncoder(4, 6)
    said, whole, there = encoder(WORDS.long())
    assert there[..., 0].tolist() == [[1.0] * n + [0.0] * (8 - n) for n in (2, 6, 1)]
    for number, one in enumerate(TEXTS):
        alone = torch.from_numpy(numbers(one))[None, :len(one.split())]
        expected, last = encoder.gru(encoder.embed.weight[alone])
        torch.testing.assert_close(said[number, :alone.shape[1]], expected[0])
        torch.testing.assert_close(whole[number], last[0, 0])
    none = encoder(torch.zeros(1, MOST_WORDS, dtype=torch.long))
    assert none[2][..., 0].tolist() == [[1.0] + [0.0] * 7] and torch.equal(none[1], none[0][:, 0])
    assert not encoder.embed.weight[0].any()


def test_the_decoder_by_hand():
    torch.manual_seed(0)
    decoder = PaletteDecoder(6).eval()
    nn.init.uniform_(decoder.colour[2].running_mean, -0.2, 0.2)
    for module in decoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.7)
    said, state = draw(2, 4, 6, seed=1) - 0.5, draw(2, 6, seed=2) - 0.5
    there = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])[..., None]
    noise = draw(2, 4, 6, seed=3)
    drawn, mean, log_variance = decoder.augmented(said, noise)
    both = (said @ decoder.augment.weight.T + decoder.augment.bias).clamp(min=0)
    torch.testing.assert_close(mean, both[..., :6])
    torch.testing.assert_close(log_variance, both[..., 6:])
    torch.testing.assert_close(drawn, both[..., :6] + torch.sqrt(both[..., 6:].exp()) * noise)
    found = decoder(drawn, state, there)
    for n, length in ((0, 2), (1, 4)):
        hidden, colour, context, expected = state[n], torch.zeros(3), drawn[n, :length].mean(0), []
        for number in range(5):
            if number:
                energies = torch.stack([decoder.energy(torch.sigmoid(
                    decoder.of_word(drawn[n, word]) + decoder.of_state(hidden)))[0] for word in range(length)])
                weights = energies.exp() / energies.exp().sum()
                context = sum(weights[word] * drawn[n, word] for word in range(length))
            hidden = decoder.gru(torch.cat([colour, context])[None], hidden[None])[0]
            first, _, norm, last = decoder.colour
            values = (hidden @ first.weight.T + first.bias).clamp(min=0)
            values = (values - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias
            colour = values @ last.weight.T + last.bias
            expected.append(colour)
        torch.testing.assert_close(found[n], torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_the_critic_by_hand_and_the_first_weights():
    torch.manual_seed(0)
    critic = PaletteJudge(150)
    colours, said = draw(3, 15), draw(3, 150, seed=1)
    x = torch.cat([colours, said], 1)
    layers = [layer for layer in critic.layers if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        x = (x @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(critic(colours, said), (x @ layers[-1].weight.T + layers[-1].bias)[:, 0])
    for layer in (layers[0], layers[1], PaletteDecoder(60).augment):
        assert layer.weight.std().item() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("points", [["conv7_3"], ["conv4_3", "conv10_2"]])
def test_film_scales_and_shifts_the_maps_at_its_points(points):
    torch.manual_seed(0)
    network, said, inputs = FilmNet(2, 6, points).eval(), draw(3, 6), batch()[0]
    plain = HintsNet(2).eval()
    plain.classes = nn.Identity()
    plain.load_state_dict(network.trunk.state_dict())
    blocks = {"conv4_3": (plain.conv4, 16), "conv7_3": (plain.conv7, 16), "conv10_2": (plain.conv10, 4)}
    for point in points:
        layer, channels = network.film[point], blocks[point][1]
        values = (said @ layer.weight.T + layer.bias)[..., None, None]
        blocks[point][0].register_forward_hook(lambda block, given, out, values=values, channels=channels: out * (
            1 + values[:, :channels]) + values[:, channels:])
    none = torch.zeros(3, 2, 32, 32)
    torch.testing.assert_close(network(inputs["L"], said), plain(inputs["L"], none, none[:, :1])[0])


# --- what is learned from ---------------------------------------------------------------------------------------------


def sample_of(seed=0, side=48):
    return lab_sample(picture(seed, side, side))


def test_words_and_palettes_are_derived_of_the_truth_in_training_alone():
    method, sample = TextGuided(SMALL), sample_of()
    inputs = {**sample.inputs, "text": text("blue sky", BYTES), "palette": np.full(15, 99.0, np.float32)}
    found = method.derive(inputs, None, np.random.default_rng(0))
    assert found["words"].tolist() == [7, 12, 0, 0, 0, 0, 0, 0] and not found["palette"].any() and not found["angle"]
    learned = method.derive(inputs, sample.target, np.random.default_rng(0))
    assert np.array_equal(learned["words"], found["words"]) and not learned["angle"].any()
    colours = learned["palette"].reshape(5, 3)
    lab = np.concatenate([sample.inputs["L"], sample.target["ab"]], 2).reshape(-1, 3)
    nearest = np.square(lab[:, None, 1:] - colours[None, :, 1:]).sum(2).min(1)
    assert nearest.mean() < 0.4 * np.square(lab[:, 1:] - lab[:, 1:].mean(0)).sum(1).mean()
    for name, spec in method.derived.items():
        assert spec.problem(learned[name]) is None


def test_turned_colours_are_told_anew():
    sample = sample_of()
    inputs = {**sample.inputs, "text": text("blue sky", BYTES)}
    turns = []
    for seed in range(60):
        found = TextGuided({**SMALL, "turned": 0.5}).derive(inputs, sample.target, np.random.default_rng(seed))
        angle = found["angle"]
        turns.append(bool(angle.any()))
        if angle.any():
            ab = turned(torch.from_numpy(sample.target["ab"]).movedim(2, 0)[None], torch.from_numpy(angle))[0]
            plain = TextGuided({**SMALL}).derive(inputs, sample.target, np.random.default_rng(seed))
            assert not np.array_equal(plain["palette"], found["palette"])
            lab = ab.movedim(0, 2).reshape(-1, 2).numpy()
            away = np.sqrt(np.square(lab[:, None] - found["palette"].reshape(5, 3)[None, :, 1:]).sum(2)).min(0)
            assert away.max() < 12  # each colour of the palette is near some turned pixel
    assert np.mean(turns) == pytest.approx(0.5, abs=0.2)
    always = TextGuided({**SMALL, "turned": 1.0})
    heard = {tuple(always.derive(inputs, sample.target, np.random.default_rng(seed))["words"]) for seed in range(12)}
    assert len(heard) > 6 and tuple(numbers("blue sky")) not in heard


# --- the losses -------------------------------------------------------------------------------------------------------


def by_hand(seen, colours, said, states):
    """Networks of a step in which the encoder gives `said`, the decoder `colours` and states as given."""
    class Decoder(nn.Module):
        def augmented(self, given, noise):
            seen.append((given, noise))
            return states

        def forward(self, drawn, whole, there):
            seen.append((drawn, whole, there))
            return colours

    return {"encoder": Calls(lambda words: said), "decoder": Decoder(), "critic": Calls(
        lambda colours, said: 3 * colours.sum(1) / 15 + said.sum(1))}


def test_the_terms_of_palettes_by_hand():
    inputs, target = batch()
    said, whole = draw(3, 8, 6, seed=1), draw(3, 6, seed=2)
    there = (WORDS > 0).float()[..., None]
    drawn, mean, log_variance = draw(3, 8, 6, seed=3), draw(3, 8, 6, seed=4), draw(3, 8, 6, seed=5)
    colours = inputs["palette"] / 100 + 0.2 * draw(3, 15, seed=6) - 0.1
    colours[:, :5] = inputs["palette"][:, :5] / 100 + 0.004
    seen = []
    networks = by_hand(seen, colours, (said, whole, there), (drawn, mean, log_variance))
    context = step_with(inputs, target, networks)
    method = TextGuided({**SMALL, "palette_l1": 7.0, "divergence": 0.25})
    judged, made = method.critic_loss(context), method.palette_loss(context)
    assert len(seen) == 2 and seen[0][0] is said and seen[1][0] is drawn and seen[1][1] is whole and seen[1][2] is there
    noise = seen[0][1]
    assert noise.shape == said.shape and abs(noise.mean()) < 0.3 and noise.std().item() == pytest.approx(1, abs=0.2)
    difference = np.abs((100 * colours - inputs["palette"]).double().numpy())
    smooth = np.where(difference < 1, 0.5 * difference**2, difference - 0.5).mean()
    assert list(made) == ["palette", "divergence", "palette_adversarial"]
    assert made["palette"].item() == pytest.approx(7 * smooth, rel=1e-4)
    divergences = [0.5 * (mean[n, w].square() + log_variance[n, w].exp() - 1 - log_variance[n, w]).mean().item()
                   for n, length in ((0, 2), (1, 6), (2, 1)) for w in range(length)]
    assert made["divergence"].item() == pytest.approx(0.25 * np.mean(divergences), rel=1e-4)
    average = torch.stack([drawn[n, :length].mean(0) for n, length in ((0, 2), (1, 6), (2, 1))])
    logits = {name: (3 * palettes.sum(1) / 15 + average.sum(1)).double().numpy()
              for name, palettes in (("real", inputs["palette"] / 100), ("fake", colours))}
    assert judged["real"].item() == pytest.approx(np.log1p(np.exp(-logits["real"])).mean(), rel=1e-4)
    assert judged["fake"].item() == pytest.approx(np.log1p(np.exp(logits["fake"])).mean(), rel=1e-4)
    assert made["palette_adversarial"].item() == pytest.approx(np.log1p(np.exp(-logits["fake"])).mean(), rel=1e-4)


def moved(networks):
    return {f"{name}.{key.partition('.')[0]}" for name, network in networks.items()
            for key, one in network.named_parameters() if one.grad is not None and one.grad.any()}


def test_what_each_term_of_palettes_moves():
    torch.manual_seed(0)
    method, (inputs, target) = TextGuided({**SMALL, "hidden": 16}), batch()
    rest = {"encoder.embed", "encoder.gru", "decoder.augment"}
    decoder = {"decoder.of_word", "decoder.of_state", "decoder.energy", "decoder.gru", "decoder.colour"}
    for term, expected in (("real", {"critic.layers"}), ("fake", {"critic.layers"}), ("palette", rest | decoder),
                           ("divergence", rest), ("palette_adversarial", rest | decoder | {"critic.layers"})):
        networks = method.build()
        loss = method.critic_loss if term in ("real", "fake") else method.palette_loss
        loss(step_with(inputs, target, networks))[term].backward()
        assert moved(networks) == expected


def test_pictures_are_coloured_from_their_own_palettes():
    """The parent's terms, of colours turned as the palette was; the palette in a random order, its colours whole."""
    inputs, target = batch()
    made = draw(3, 2, 32, 32, seed=8) - 0.5
    network = Calls(lambda lightness, palette: made)
    method = TextGuided({**SMALL, "adversarial": 0.0, "bend": 0.3, "turned": 1.0})
    terms = method.colours_loss(step_with(inputs, target, {"colorizer": network}))
    true = torch.stack([torch.from_numpy(np.stack([
        np.cos(angle) * ab[0].numpy() - np.sin(angle) * ab[1].numpy(),
        np.sin(angle) * ab[0].numpy() + np.cos(angle) * ab[1].numpy()]))
        for ab, angle in zip(target["ab"], (0.0, 1.2, 4.0), strict=True)])
    assert list(terms) == ["l1"]
    expected = functional.smooth_l1_loss(made, (true / 110).float(), beta=0.3).item()
    assert terms["l1"].item() == pytest.approx(expected, rel=1e-4)
    [(lightness, palette)] = network.calls
    assert torch.equal(lightness, inputs["L"]) and not torch.equal(palette, inputs["palette"])
    for given, shown in zip(inputs["palette"].view(3, 5, 3), palette.view(3, 5, 3), strict=True):
        assert sorted(given.tolist()) == sorted(shown.tolist())


def test_the_term_of_film_by_hand():
    inputs, target = batch()
    made, said = draw(3, 2, 32, 32, seed=8) - 0.5, draw(3, 6)
    encoder, network = Calls(lambda words: (None, said, None)), Calls(lambda lightness, said: made)
    terms = TextFilm({**FILM, "bend": 0.2}).loss(step_with(inputs, target, {"encoder": encoder, "colorizer": network}))
    true = turned(target["ab"], inputs["angle"][:, 0]) / 110
    difference = np.abs((made - true).double().numpy())
    smooth = np.where(difference < 0.2, 0.5 * difference**2 / 0.2, difference - 0.1).sum(1).mean()
    assert list(terms) == ["l1"] and terms["l1"].item() == pytest.approx(smooth, rel=1e-4)
    assert torch.equal(encoder.calls[0][0], WORDS.long()) and encoder.calls[0][0].dtype == torch.int64
    assert torch.equal(network.calls[0][0], inputs["L"]) and network.calls[0][1] is said
    torch.manual_seed(0)
    method = TextFilm(FILM)
    networks = method.build()
    method.loss(step_with(inputs, target, networks))["l1"].backward()
    assert {"encoder.embed", "encoder.gru", "colorizer.film", "colorizer.trunk"} <= moved(networks)


# --- recipes and restoring --------------------------------------------------------------------------------------------


def test_the_recipe():
    method = TextGuided({"steps": {"palette": 2, "train": 3, "settled": 4}})
    phases = method.phases()
    assert [(phase.name, phase.steps) for phase in phases] == [("palette", 2), ("train", 3), ("settled", 4)]
    assert [(player.name, list(player.networks)) for player in phases[0].players] == [
        ("critic", ["critic"]), ("palette", ["encoder", "decoder"])]
    for player in phases[0].players:
        optimiser = player.optimiser([("a", nn.Parameter(torch.zeros(1)))])
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (5e-4, (0.5, 0.99))
    settings = TextGuided.paper
    assert (settings["palette_l1"], settings["divergence"], settings["embedding"], settings["hidden"]) == (
        100, 0.5, 300, 150)
    assert (settings["batch"], settings["adversarial"], settings["sampled"]) == (32, 0.1, True)
    assert (TextFilm.paper["points"], TextFilm.paper["embedding"]) == (["conv7_3"], 16)
    train, settled = TextFilm({"lr_drops": {"2": 0.1}, "steps": {"train": 3, "settled": 4}}).phases()
    assert (train.steps, settled.steps, list(train.frozen_norm), list(settled.frozen_norm)) == (3, 4, [], ["colorizer"])
    [player] = train.players
    assert list(player.networks) == ["encoder", "colorizer"] and settled.players == train.players
    assert [player.schedule(step, 3) for step in (0, 1, 2)] == [1, 1, 0.1]
    assert isinstance(player.optimiser([("a", nn.Parameter(torch.zeros(1)))]), torch.optim.Adam)
    networks = TextFilm(FILM).build()
    optimiser = optimiser_of(TextFilm({**FILM, "muon": 0.02, "lr": 0.01}).phases()[0].players[0], networks)
    assert isinstance(optimiser, Muon)
    named = {id(one): name for name, one in networks["colorizer"].named_parameters()}
    moved_so = {named[id(one)] for one in optimiser.param_groups[0]["params"]}
    assert "trunk.conv1.2.weight" in moved_so and not moved_so & {"trunk.conv1.0.weight", "trunk.colours.weight"}


@pytest.mark.parametrize(("method", "wrong"), [(TextFilm, {"patch": 60}), (TextFilm, {"turned": -0.1}),
                                               (TextFilm, {"bend": 0.0}), (TextFilm, {"points": []}),
                                               (TextFilm, {"points": ["conv9"]}), (TextGuided, {"turned": 1.5})])
def test_wrong_settings_are_refused(method, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        method(wrong)


def model_of(method):
    torch.manual_seed(0)
    return Model({name: network.eval() for name, network in method.build().items() if name in method.stored_networks})


def guided(words, side=32, **more):
    sample = sample_of(1, side)
    ab = sample.target["ab"]
    return {**sample.inputs, "hint": np.zeros_like(ab), "hinted": np.zeros_like(ab[..., :1]),
            "text": text(words, BYTES), **more}


def test_restoring_draws_states_from_the_seed_or_takes_their_means():
    method = TextGuided({**SMALL, "sampled": True})
    model = model_of(method)
    nn.init.normal_(model.networks["decoder"].augment.weight)
    first, again, other = (harness.restore(method, model, guided("red ball"), seed)["ab"] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    mean = TextGuided({**SMALL, "sampled": False})
    one, two = (harness.restore(mean, model, guided("red ball"), seed)["ab"] for seed in (1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, first)
    truth = harness.restore(mean, model, guided("red ball", palette=np.full(15, 60, np.float32)), 1)["ab"]
    assert np.array_equal(truth, one)  # a palette that a test sample has is not looked at


def test_restoring_colours_with_the_palette_of_the_text():
    method = TextGuided({**SMALL, "sampled": False})
    model = model_of(method)
    colorizer = Calls(lambda lightness, palette: palette[:, :2, None, None].expand(-1, 2, 32, 32) / 110)
    model.networks["colorizer"] = colorizer
    found = harness.restore(method, model, guided("red ball"), 1)["ab"]
    said, whole, there = model.networks["encoder"](torch.from_numpy(numbers("red ball"))[None])
    decoder = model.networks["decoder"]
    drawn = decoder.augmented(said, torch.zeros_like(said))[0]
    colours = 100 * decoder(drawn, whole, there)
    torch.testing.assert_close(colorizer.calls[0][1], colours)
    np.testing.assert_allclose(found[3, 4], colours[0, :2].detach().numpy(), rtol=1e-4)


@pytest.mark.parametrize("method", [TextGuided(SMALL), TextFilm(FILM)])
def test_any_size_is_restored_and_unknown_words_are_refused(method):
    model = model_of(method)
    sample = lab_sample(picture(0, 45, 39))
    inputs = {**sample.inputs, "text": text("blue sky", BYTES)}
    assert harness.restore(method, model, inputs, 1)["ab"].shape == (45, 39, 2)
    with pytest.raises(UserError, match="The word 'bleu' means nothing here"):
        harness.restore(method, model, {**inputs, "text": text("bleu sky", BYTES)}, 1)


# --- the card's check -------------------------------------------------------------------------------------------------


def toy(seed, hue, side=32):
    """A ball of one of two colours on grey ground, both of any lightness: grey tells nothing of the ball's colour."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    middle, radius = draws.uniform(11, 21, 2), draws.uniform(6, 9)
    ball = np.hypot(y - middle[0], x - middle[1]) < radius
    lab = np.zeros((side, side, 3), np.float32)
    lab[..., 0] = np.where(ball, draws.uniform(38, 55), draws.uniform(62, 80)) + draws.normal(0, 1, (side, side))
    lab[ball, 1:] = {"red": (60, 45), "blue": (20, -55)}[hue]
    return to_rgb8(lab[..., :1], lab[..., 1:]), ball


def toys(step, number, told_as=None):
    hues = [("red", "blue")[(step + one) % 2] for one in range(number)]
    pictures = [toy(100 * step + one, hue) for one, hue in enumerate(hues)]
    samples = [lab_sample(rgb) for rgb, _ in pictures]
    stacked = {name: torch.from_numpy(np.stack([{**one.inputs, **one.target}[name] for one in samples])).movedim(3, 1)
               for name in ("L", "ab")}
    return stacked, hues, samples, [ball for _, ball in pictures]


def trained(method, steps):
    """After so many steps of each phase on toys, of which the words say the ball's colour."""
    torch.manual_seed(0)
    networks = method.build()
    for phase in method.phases():
        optimisers = {player.name: optimiser_of(player, networks) for player in phase.players}
        for name, network in networks.items():
            network.train()
            for module in network.modules():
                if name in phase.frozen_norm and isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for step in range(steps.get(phase.name, 0)):
            stacked, hues, samples, _ = toys(step, 8)
            derived = [method.derive({"L": one.inputs["L"], "text": text(f"{hue} ball", BYTES)}, one.target,
                                     np.random.default_rng(step)) for one, hue in zip(samples, hues, strict=True)]
            inputs = {"L": stacked["L"], **{name: torch.from_numpy(np.stack([one[name] for one in derived]))
                                            for name in method.derived}}
            context = step_with(inputs, {"ab": stacked["ab"]}, networks)
            context.generator.manual_seed(step)
            for player in phase.players:
                optimisers[player.name].zero_grad()
                sum(player.loss(context).values()).backward()
                optimisers[player.name].step()
    return Model({name: network.eval() for name, network in networks.items()})


@pytest.mark.parametrize(("method", "steps"), [
    (TextFilm({**FILM, "width": 4, "hidden": 12, "turned": 0.0, "lr": 5e-3}), {"train": 150}),
    (TextGuided({**SMALL, "width": 4, "hidden": 12, "lr": 5e-3, "adversarial": 0.0, "bend": 0.01, "sampled": False,
                 "palette_lr": 1e-2, "steps": {"palette": 60, "train": 180, "settled": 0}}),
     {"palette": 60, "train": 180})])
def test_red_or_blue_turns_the_colour_of_a_ball(method, steps):
    """The card: "red ball" and "blue ball" flip the ball's hue in more than 90 % of the pictures."""
    assert "red ball" in told(*(lab_sample(toy(0, "red")[0]).inputs["L"], lab_sample(toy(0, "red")[0]).target["ab"]),
                              None)
    model = trained(method, steps)
    flipped = 0
    for seed in range(20):
        rgb, ball = toy(9000 + seed, "red")
        inputs = {**lab_sample(rgb).inputs}
        red, blue = (harness.restore(method, model, {**inputs, "text": text(f"{hue} ball", BYTES)}, 1)["ab"][ball]
                     .mean(0) for hue in ("red", "blue"))
        flipped += red[1] > 10 and blue[1] < -10
    assert flipped > 18
