"""coltran: who sees what, its three losses, its drawing and restoring, against values by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Model
from restore_ml.methods.colorization import coltran
from restore_ml.methods.colorization.coltran import Colorizer, ColTran, Upsampler
from restore_ml.nn.axial_attention import AxialAttention
from restore_ml.nn.axial_decoder import AxialDecoder, ConditionalNorm
from restore_ml.seeds import derive
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import count, lightness_of
from tests.nn.test_axial_attention import stirred

SIDE, COLOURS = 4, 8
SMALL: dict[str, Any] = {
    "hidden": 8, "upsampler_hidden": 8, "heads": 2, "encoder_layers": 1, "outer_layers": 1, "inner_layers": 1,
    "colour_layers": 1, "space_layers": 1, "low": 4, "high": 8, "steps": {"colorizer": 2, "colour": 3, "space": 4},
    "batch": 2, "patch": 16}


def made(**settings: Any) -> ColTran:
    return ColTran({**SMALL, **settings})


def colorizer(layers: tuple[int, int, int] = (1, 2, 2)) -> Colorizer:
    network = stirred(Colorizer(6, 7, 2, layers, SIDE, COLOURS))
    assert isinstance(network, Colorizer)
    return network


def whole(high: int, *shape: int, seed: int = 0) -> Tensor:
    return (high * draw(*shape, seed=seed)).long()


# --- the networks -----------------------------------------------------------------------------------------------------


def attention(hidden: int, side: int, heads: int, context: int = 0) -> int:
    return 4 * hidden ** 2 + heads * 2 * side + 6 * hidden * context


def encoder(hidden: int, side: int, heads: int, layers: int) -> int:
    dense = 2 * (hidden + 1) * hidden
    return 2 * side * hidden + layers * (2 * (attention(hidden, side, heads) + dense) + 4 * 2 * hidden)


def decoder(hidden: int, side: int, heads: int, attentions: int, context: int) -> int:
    dense, norm = 2 * (hidden + 1) * hidden, side ** 2 + (hidden + 1) * 2 * hidden
    one = attention(hidden, side, heads, context) + dense + (context + 1) * 2 * hidden + 2 * norm
    return 2 * side * hidden + attentions * one


def test_the_paper_s_networks_have_the_numbers_that_follow_from_their_layers() -> None:
    with torch.device("meta"):
        networks = ColTran({}).build()
    d, low, high = 512, 64, 256
    core = (256 + 1) * d + encoder(d, low, 4, 4) + d * 512 + 512 * d + decoder(d, low, 4, 4, d) \
        + decoder(d, low, 4, 2, 2 * d) + 2 * d + (d + 1) * 512
    ends = 256 * d + (2 * d + 1) * d + (d + 1) * 256
    assert count(networks["colorizer"]) == core == 46_310_400
    assert count(networks["colour"]) == 24 * d + ends + encoder(d, low, 4, 4) == 13_476_608
    assert count(networks["space"]) == 768 * d + ends + encoder(d, high, 4, 3) == 10_910_464


def test_logits_depend_on_no_colour_at_or_after_their_own_pixel_and_on_every_one_before() -> None:
    """Every pixel of the colours is changed in turn. The grey picture may matter everywhere."""
    network = colorizer()
    grey, classes = whole(256, 1, SIDE, SIDE), whole(COLOURS, 1, SIDE, SIDE, seed=1)
    with torch.no_grad():
        before, alone = network(grey, classes)
        for place in range(SIDE ** 2):
            changed = classes.clone()
            changed.view(-1)[place] = (changed.view(-1)[place] + 1) % COLOURS
            after, still = network(grey, changed)
            moved = (after - before).abs().amax(-1).flatten()
            assert not moved[:place + 1].any()
            assert (moved[place + 1:] > 1e-6).all()  # each later one is reached, by rows or by columns
            assert torch.equal(alone, still)
        turned = grey.clone()
        turned[0, -1, -1] = (turned[0, -1, -1] + 90) % 256
        after, other = network(turned, classes)
    assert ((after - before).abs().amax(-1) > 1e-6).all() and ((other - alone).abs().amax(-1) > 1e-6).all()


def test_the_norm_on_condition_by_hand() -> None:
    norm = stirred(ConditionalNorm(6, SIDE))
    assert isinstance(norm, ConditionalNorm)
    x, context = torch.randn(2, SIDE, SIDE, 6), torch.randn(2, SIDE, SIDE, 6)
    pooled = (norm.weights * context).sum((1, 2)) / SIDE ** 2
    scale, shift = (pooled @ norm.dense.weight.T + norm.dense.bias)[:, None, None].chunk(2, -1)
    plain = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(norm(x, norm.affine(context)), plain * scale + shift, rtol=1e-4, atol=1e-5)
    fresh = ConditionalNorm(6, SIDE)
    assert bool((fresh.weights == 1).all()) and not fresh.dense.bias.any()


def test_a_decoder_conditions_attention_dense_blocks_and_norms() -> None:
    layers = [AxialAttention(6, 2, SIDE, 2, False, 5), AxialAttention(6, 2, SIDE, 1, True, 5)]
    network = stirred(AxialDecoder(layers, 6, 7, 5, SIDE))
    assert isinstance(network, AxialDecoder)
    x, context, z = torch.randn(1, SIDE, SIDE, 6), torch.randn(1, SIDE, SIDE, 5), torch.randn(1, SIDE, SIDE, 6)
    affines, norms = network.affines(z), list(network.norms)
    value = x
    for number, layer in enumerate(layers):
        value = norms[2 * number](value + layer(value, context), affines[2 * number])
        scale, shift = network.affine[number](context).chunk(2, -1)
        value = norms[2 * number + 1](value + scale * network.dense[number](value) + shift, affines[2 * number + 1])
    torch.testing.assert_close(network(x, context, affines), value)
    torch.testing.assert_close(affines[1][0], norms[1].affine(z)[0])


def test_the_colorizer_s_parts_meet_as_in_the_paper() -> None:
    """Encoding; outer decoder on colours, positions and encoding, one row down; inner decoder on the colours to the
    left, positions, encoding and what lies above, conditioned on the last two; norms on the encoding alone."""
    network = colorizer((2, 1, 2))
    outer, inner = network.outer, network.inner
    assert [(layer.axis, layer.masked) for layer in outer.attention] == [(2, False), (1, True)]
    assert [(layer.axis, layer.masked) for layer in inner.attention] == [(2, True)] * 2
    grey, classes = whole(256, 2, SIDE, SIDE), whole(COLOURS, 2, SIDE, SIDE, seed=1)
    z = network.encoder(network.grey.weight[grey] + network.grey_bias)
    seen = network.colour.weight[classes]
    told = outer(outer.positions(seen) + z, z, outer.affines(z))
    above = torch.cat([torch.zeros_like(told[:, :1]), told[:, :-1]], 1)
    left = torch.cat([torch.zeros_like(seen[:, :, :1]), seen[:, :, :-1]], 2)
    here = inner(inner.positions(left) + z + above, torch.cat([z, above], -1), inner.affines(z))
    logits, alone = network(grey, classes)
    torch.testing.assert_close(logits, network.logits(network.norm(here)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, z @ network.parallel.weight.T, rtol=1e-4, atol=1e-5)
    assert len(network.encoder.layers) == 8


def test_drawing_follows_the_logits_of_the_whole_picture() -> None:
    """Pixel by pixel with what was drawn before gives the classes that the inverse of the distribution gives, were the
    whole picture known: at each place the first class whose summed chance is above the number drawn."""
    network, grey = colorizer(), whole(256, 1, SIDE, SIDE)
    uniform = draw(6, SIDE, SIDE).double()
    with torch.no_grad():
        for temperature in (1.0, 0.5):
            classes = network.draw(grey, uniform, temperature)
            logits, _ = network(grey.expand(6, -1, -1), classes)
            summed = (logits.double() / temperature).softmax(-1).cumsum(-1)
            distance = (summed - uniform[..., None]).abs().amin(-1)
            sure = distance > 1e-4
            assert sure.float().mean() > 0.95
            expected = torch.searchsorted(summed, uniform[..., None], right=True)[..., 0].clamp(max=COLOURS - 1)
            assert torch.equal(classes[sure], expected[sure])
            assert len(classes.unique()) > 2
        cold = network.draw(grey, uniform, 1e-4)
        assert torch.equal(cold, network(grey.expand(6, -1, -1), cold)[0].argmax(-1))
        assert torch.equal(network.draw(grey, torch.ones_like(uniform), 1.0), torch.full_like(cold, COLOURS - 1))


def test_an_upsampler_tells_channels_apart_and_takes_the_likeliest_level() -> None:
    network = stirred(Upsampler(6, 7, 2, 1, SIDE, 8))
    assert isinstance(network, Upsampler)
    coarse, grey, channel = whole(8, 3, SIDE, SIDE), whole(256, 1, SIDE, SIDE, seed=1), torch.tensor([0, 1, 2])
    coded = torch.stack([network.channel.weight[coarse[number] + 8 * number] for number in range(3)])
    shown = network.grey.weight[grey].expand(3, -1, -1, -1)
    expected = network.logits(network.encoder(network.join(torch.cat([coded, shown], -1))))
    logits = network(coarse, channel, grey.expand(3, -1, -1))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(network.picture(coarse, grey), logits.argmax(-1)) and network.channel.weight.shape[0] == 24


# --- colours ----------------------------------------------------------------------------------------------------------


def test_classes_and_levels() -> None:
    method = made()
    rgb = torch.tensor([[31, 32, 255], [0, 128, 96], [224, 63, 64]]).T.reshape(1, 3, 1, 3)
    classes = method.classes(rgb)
    assert classes.flatten().tolist() == [64 * 0 + 8 * 1 + 7, 64 * 0 + 8 * 4 + 3, 64 * 7 + 8 * 1 + 2]
    assert torch.equal(method.coarse(classes)[0], rgb[0] // 32)
    assert made(bits=2).classes(rgb).flatten().tolist() == [0 + 0 + 3, 0 + 4 * 2 + 1, 16 * 3 + 0 + 1]
    assert made(bits=8).classes(rgb).flatten()[2] == (224 * 256 + 63) * 256 + 64
    every = torch.arange(512).view(1, 8, 64)
    assert torch.equal(method.classes(32 * method.coarse(every)), every)


def test_levels_of_a_picture_are_means_over_areas_rounded() -> None:
    rgb = draw(1, 3, 16, 16)
    expected = np.rint(255 * rgb.numpy().astype(np.float64).reshape(1, 3, 4, 4, 4, 4).mean((3, 5)))
    np.testing.assert_array_equal(coltran.values(rgb, 4).numpy(), expected)
    levels = np.random.default_rng(0).integers(0, 256, (8, 8))
    np.testing.assert_array_equal(coltran.grey(lightness_of(levels), 8)[0].numpy(), levels)
    odd = draw(1, 1, 9, 5)
    assert coltran.values(odd, 4).shape == (1, 1, 4, 4)


# --- training ---------------------------------------------------------------------------------------------------------


RGB = draw(3, 3, 16, 16, seed=5)
INPUTS, TARGET = {"L": rgb_to_lab(RGB)[:, :1]}, {"rgb": RGB}


def entropy(logits: np.ndarray, classes: np.ndarray) -> float:
    """Mean bits."""
    shifted = logits - logits.max(-1, keepdims=True)
    chances = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return float(-np.take_along_axis(chances, classes[..., None], -1).mean() / math.log(2))


def shrunk(side: int) -> np.ndarray:
    part = 16 // side
    return np.rint(255 * RGB.double().numpy().reshape(3, 3, side, part, side, part).mean((3, 5))).astype(np.int64)


def shown(side: int) -> np.ndarray:
    part = 16 // side
    grey = grey_from_lightness(INPUTS["L"].double()).numpy()
    return np.rint(255 * grey.reshape(3, side, part, side, part).mean((2, 4))).astype(np.int64)


def test_the_colorizer_s_loss_by_hand() -> None:
    drawn, alone = nn.Parameter(torch.randn(3, 4, 4, 512)), nn.Parameter(torch.randn(3, 4, 4, 512))
    network = Calls(lambda grey, classes: (drawn, alone))  # type: ignore[arg-type,return-value]
    terms = made(parallel=0.2).colorizer_loss(step_with(INPUTS, TARGET, {"colorizer": network}))
    rgb = shrunk(4) // 32
    classes = 64 * rgb[:, 0] + 8 * rgb[:, 1] + rgb[:, 2]
    assert set(terms) == {"drawn", "alone"}
    assert terms["drawn"].item() == pytest.approx(0.8 * entropy(drawn.detach().numpy(), classes), rel=1e-4)
    assert terms["alone"].item() == pytest.approx(0.2 * entropy(alone.detach().numpy(), classes), rel=1e-4)
    grey, given = network.calls[0]
    np.testing.assert_array_equal(grey.numpy(), shown(4))
    np.testing.assert_array_equal(given.numpy(), classes)
    for term, moved in ((terms["drawn"], drawn), (terms["alone"], alone)):
        assert torch.autograd.grad(term, moved)[0].any()
    sure = Calls(lambda grey, classes: (torch.zeros(3, 4, 4, 512),) * 2)  # type: ignore[arg-type,return-value]
    plain = made().colorizer_loss(step_with(INPUTS, TARGET, {"colorizer": sure}))
    assert [plain["drawn"].item(), plain["alone"].item()] == pytest.approx([0.99 * 9, 0.01 * 9], rel=1e-5)


def upsampled(name: str, side: int) -> tuple[dict[str, Tensor], Calls, Tensor, ColTran]:
    logits = nn.Parameter(torch.randn(3, side, side, 256))
    network, method = Calls(lambda coarse, channel, grey: logits), made()
    terms = getattr(method, f"{name}_loss")(step_with(INPUTS, TARGET, {name: network}))
    assert set(terms) == {name} and torch.autograd.grad(terms[name], logits, retain_graph=True)[0].any()
    return terms, network, logits, method


@pytest.mark.parametrize(("name", "side"), [("colour", 4), ("space", 8)])
def test_the_upsamplers_losses_by_hand(name: str, side: int) -> None:
    terms, network, logits, _ = upsampled(name, side)
    coarse, channel, grey = network.calls[0]
    order = channel.tolist()
    assert order == torch.randint(3, (3,), generator=torch.Generator().manual_seed(0)).tolist()
    true = shrunk(side)[range(3), order]
    assert terms[name].item() == pytest.approx(entropy(logits.detach().numpy(), true), rel=1e-4)
    np.testing.assert_array_equal(grey.numpy(), shown(side))
    low = shrunk(4)[range(3), order]
    np.testing.assert_array_equal(coarse.numpy(), low // 32 if name == "colour" else low.repeat(2, 1).repeat(2, 2))


def test_the_channels_are_drawn_anew_for_each_picture_and_once_a_step() -> None:
    step = step_with({"L": INPUTS["L"][:1].expand(64, -1, -1, -1)}, {"rgb": RGB[:1].expand(64, -1, -1, -1)}, {})
    method = made()
    values, channel = method._channel(step, 4)
    assert set(channel.tolist()) == {0, 1, 2} and torch.equal(method._channel(step, 8)[1], channel)
    np.testing.assert_array_equal(values.numpy(), shrunk(4)[0][channel.tolist()])


def test_the_recipe() -> None:
    method = made(lr=0.02, upsampler_lr=0.04)
    networks = method.build()
    phases = method.phases()
    assert [(phase.name, phase.steps) for phase in phases] == [("colorizer", 2), ("colour", 3), ("space", 4)]
    for phase, loss in zip(phases, (method.colorizer_loss, method.colour_loss, method.space_loss), strict=True):
        [player] = phase.players
        assert player.networks == [phase.name] and player.loss == loss
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.RMSprop)
        assert [optimiser.defaults[key] for key in ("lr", "alpha", "eps", "momentum")] == [
            0.02 if phase.name == "colorizer" else 0.04, 0.9, 1e-7, 0]
        assert [player.schedule(step, 8) for step in (0, 4, 7)] == [1, 1, 1]
    short = made(optimiser="adam", lr=0.03, lr_end=0.0)
    [player] = short.phases()[0].players
    optimiser = optimiser_of(player, networks)
    assert isinstance(optimiser, torch.optim.Adam) and optimiser.defaults["lr"] == 0.03
    assert player.schedule(4, 8) == pytest.approx(0.5)
    paper = ColTran.paper
    assert [paper[key] for key in ("hidden", "heads", "encoder_layers", "outer_layers", "inner_layers", "bits", "low",
                                   "high", "parallel", "temperature", "result", "optimiser", "lr",
                                   "upsampler_lr", "batch", "ema")] == [
        512, 4, 4, 2, 2, 3, 64, 256, 0.01, 1.0, "space", "rmsprop", 3e-4, 3e-4, 7, 0.999]
    assert paper["steps"] == {"colorizer": 450_000, "colour": 300_000, "space": 300_000}
    assert method.stored_networks == tuple(networks) == ("colorizer", "colour", "space")
    sizes = made(hidden=16, upsampler_hidden=8, bits=2, encoder_layers=2, outer_layers=3, inner_layers=1,
                 colour_layers=2, space_layers=3).build()
    assert [len(part) for part in (sizes["colorizer"].encoder.layers, sizes["colorizer"].outer.attention,
                                   sizes["colorizer"].inner.attention, sizes["colour"].encoder.layers,
                                   sizes["space"].encoder.layers)] == [8, 6, 1, 8, 12]
    assert sizes["colorizer"].logits.weight.shape == (64, 16)
    assert [sizes[name].channel.weight.shape for name in ("colour", "space")] == [(12, 8), (768, 8)]
    assert [sizes[name].encoder.positions.rows.shape[0] for name in ("colour", "space")] == [4, 8]


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"bits": 0}, {"bits": 9}, {"high": 10}, {"result": "all"},
                                     {"dequant": "high"}, {"optimiser": "sgd"}])
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        made(**changes)


def test_a_few_steps_on_one_batch_lower_every_objective() -> None:
    torch.manual_seed(0)
    method = made(optimiser="adam", lr=0.01, upsampler_lr=0.01)
    networks = method.build()
    for phase in method.phases():
        [player] = phase.players
        optimiser, losses = optimiser_of(player, networks), []
        for _ in range(12):
            loss = sum(player.loss(step_with(INPUTS, TARGET, networks)).values())
            assert isinstance(loss, Tensor)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert 7 < losses[0] < 11 and losses[-1] < losses[0] - 1


# --- restoring --------------------------------------------------------------------------------------------------------


class Drawer(nn.Module):
    """Draws the class that the number drawn and the mean grey level tell."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, float]] = []

    def draw(self, grey: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        self.calls.append((grey, uniform, temperature))
        return (500 * uniform).long()


class Painter(nn.Module):
    """The coarse level times a factor, brighter with the grey."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor, self.calls = factor, []  # type: ignore[var-annotated]

    def picture(self, coarse: Tensor, grey: Tensor) -> Tensor:
        self.calls.append((coarse, grey))
        return (self.factor * coarse + grey // 8).clamp(max=255)


def restored(**settings: Any) -> tuple[dict[str, Tensor], dict[str, Any], np.ndarray]:
    """The output for two pictures of 12 x 8, the networks, and the classes drawn for either."""
    networks: dict[str, Any] = {"colorizer": Drawer(), "colour": Painter(20), "space": Painter(1)}
    output = made(**settings).restore(Model(networks), {"L": 100 * draw(2, 1, 12, 8, seed=3)}, 11)
    uniform = torch.stack([torch.rand((4, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(
        derive(11, "draw", number))) for number in range(8)])
    return output, networks, (500 * uniform).long().numpy()


@pytest.mark.parametrize("result", ["space", "colour", "coarse"])
def test_restore_by_hand(result: str) -> None:
    output, networks, classes = restored(result=result, temperature=0.7)
    greys = {side: coltran.grey(100 * draw(2, 1, 12, 8, seed=3), side).numpy() for side in (4, 8)}
    for picture in range(2):
        grey, uniform, temperature = networks["colorizer"].calls[picture]
        np.testing.assert_array_equal(grey.numpy(), greys[4][picture:picture + 1])
        assert uniform.shape == (8, 4, 4) and temperature == 0.7
        for number in range(8):
            levels = np.stack([classes[number] // 64, classes[number] // 8 % 8, classes[number] % 8])
            rgb = 32 * levels
            if result != "coarse":
                rgb = np.minimum(20 * levels + greys[4][picture] // 8, 255)
            if result == "space":
                rgb = np.minimum(rgb.repeat(2, 1).repeat(2, 2) + greys[8][picture] // 8, 255)
            small = torch.from_numpy(rgb / 255).float()[None]
            wanted, colours = (nn.functional.interpolate(part, (12, 8), mode="bilinear")[0]
                               for part in (rgb_to_lab(small)[:, 1:], small))
            drawn = output["drawn"][picture, 2 * number:2 * number + 2]
            torch.testing.assert_close(drawn, wanted, rtol=1e-4, atol=1e-3)
            if number == 0:
                assert torch.equal(output["ab"][picture], drawn)
                torch.testing.assert_close(output["rgb"][picture], colours, rtol=1e-4, atol=1e-4)
    assert output["drawn"].shape == (2, 16, 12, 8)


def test_coarse_colours_in_the_middle_of_what_they_stand_for() -> None:
    low, _, classes = restored(result="coarse", dequant="low")
    middle, _, _ = restored(result="coarse", dequant="mid")
    torch.testing.assert_close(middle["rgb"] - low["rgb"], torch.full_like(low["rgb"], 16 / 255))
    assert classes.max() > 400
    assert low["rgb"].max() <= 224 / 255  # 7 x 32, as the authors' code has it


def test_a_card_check_eight_draws_differ_and_are_the_same_again() -> None:
    torch.manual_seed(0)
    method = made()
    model = Model({name: network.eval() for name, network in method.build().items()})
    lightness = {"L": 100 * draw(1, 1, 13, 9)}
    with torch.no_grad():
        first, again, other = (method.restore(model, lightness, seed) for seed in (1, 1, 2))
    drawn = first["drawn"].reshape(8, 2, 13, 9)
    assert torch.equal(first["drawn"], again["drawn"]) and not torch.equal(first["drawn"], other["drawn"])
    assert drawn.var(0).mean() > 1 and torch.equal(first["ab"][0], drawn[0])
