"""MPRNet: the card's counts, how its stages see quarters and halves, each block by hand, the loss and the recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.losses.reconstruction import laplacian
from restore_ml.method import Model
from restore_ml.methods.restoration.mprnet import (
    CAB,
    SAM,
    Decoder,
    Encoder,
    MPRNet,
    MPRNetRestoration,
    ORSNet,
    Resized,
    join,
    split,
)
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.layers import parameters

WIDTHS = [4, 6, 8]


def made(**settings: Any) -> MPRNetRestoration:
    return MPRNetRestoration({"width": 4, "unet": 2, "orsnet": 2, "cabs": 1, "reduction": 2, "patch": 16, **settings})


def network(seed: int = 0) -> MPRNet:
    torch.manual_seed(seed)
    return MPRNet(4, 2, 2, 1, 2).eval()


@pytest.mark.parametrize(("sizes", "count"), [
    ((40, 20, 16), 3_637_249), ((96, 48, 32), 20_127_073), ((80, 48, 32), 15_741_025)])
def test_parameters_of_the_card(sizes: tuple[int, int, int], count: int) -> None:
    with torch.device("meta"):
        assert parameters(MPRNet(*sizes)) == count
        assert parameters(MPRNetRestoration({}).build()["net"]) == 3_637_249


def test_no_biases_and_one_slope() -> None:
    names = [name for name, _ in network().named_parameters()]
    assert not any(name.endswith("bias") for name in names)
    slopes = [parameter for parameter in network().parameters() if parameter.numel() == 1]
    assert len(slopes) == 1 and slopes[0].item() == 0.25


def test_quarters_and_halves() -> None:
    """Top before bottom, left before right, and the way back."""
    x = torch.arange(2 * 16.0).view(2, 1, 4, 4)
    halves = split(x, 2)
    assert torch.equal(halves[:2], x[:, :, :2]) and torch.equal(halves[2:], x[:, :, 2:])
    assert torch.equal(split(x, 3)[:2], x[..., :2])
    assert torch.equal(join(halves, 2), x) and torch.equal(join(split(halves, 3), 3), halves)


def test_what_each_stage_sees() -> None:
    """The first stage's encoder sees a quarter alone and its picture a half; the second encoder a half, and its
    picture, like the third one, everything."""
    net, maps = network(), dict[str, list[Tensor]]()
    for number, encoder in enumerate(net.encoders):
        encoder.register_forward_hook(
            lambda _, __, out, number=number: maps.setdefault(f"e{number}", []).append(out[0]))
    x = draw(1, 3, 16, 16)
    other = x.clone()
    other[:, :, :8, :8] = draw(1, 3, 8, 8, seed=3)  # the first quarter of the first half
    with torch.no_grad():
        pictures, changed = net(x), net(other)
    before, after = maps["e0"]
    assert before.shape == (4, 4, 8, 8)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [False, True, True, True]
    before, after = maps["e1"]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [False, True]
    third, second, first = ([not torch.equal(part[0], part[1]) for part in (
        (a[:, :, :8], b[:, :, :8]), (a[:, :, 8:], b[:, :, 8:]))] for a, b in zip(pictures, changed, strict=True))
    assert first == [True, False] and second == third == [True, True]


def test_the_three_stages_by_hand() -> None:
    """Quarter by quarter and half by half, as the paper draws them."""
    net, x = network(), draw(1, 3, 16, 16)
    (first_enc, second_enc), (first_dec, second_dec) = net.encoders, net.decoders
    tops, pictures, halves = [], [], [x[:, :, :8], x[:, :, 8:]]
    with torch.no_grad():
        for half in halves:
            left, right = (first_enc(net.shallow[0](half[..., part])) for part in (slice(8), slice(8, 16)))
            encoded = [torch.cat(pair, 3) for pair in zip(left, right, strict=True)]
            decoded = first_dec(encoded)
            attended, picture = net.attention[0](decoded[0], half)
            pictures.append(picture)
            shallow = net.joined[0](torch.cat([net.shallow[1](half), attended], 1))
            tops.append(second_enc(shallow, encoded, decoded))
        encoded = [torch.cat(pair, 2) for pair in zip(*tops, strict=True)]
        decoded = second_dec(encoded)
        attended, second = net.attention[1](decoded[0], x)
        joined = net.joined[1](torch.cat([net.shallow[2](x), attended], 1))
        third = x + net.tail(net.orsnet(joined, encoded, decoded))
        for got, wanted in zip(net(x), (third, second, torch.cat(pictures, 2)), strict=True):
            torch.testing.assert_close(got, wanted)


def test_pictures_have_their_size_and_begin_as_the_input() -> None:
    """Without the last convolution the third stage gives its input; without the picture's of a SAM, that stage does."""
    net, x = network(), draw(2, 3, 16, 24)
    assert [picture.shape for picture in net(x)] == [x.shape] * 3
    for layer in (net.tail, net.attention[0].picture, net.attention[1].picture):
        nn.init.zeros_(layer.weight)  # type: ignore[arg-type,union-attr]
        with torch.no_grad():
            same = [torch.equal(picture, x) for picture in net(x)]
        assert same[{net.tail: 0, net.attention[1].picture: 1, net.attention[0].picture: 2}[layer]]
    with torch.no_grad():
        assert all(torch.equal(picture, x) for picture in net(x))


def test_a_network_that_begins_as_its_input() -> None:
    x = draw(1, 3, 16, 16)
    with torch.no_grad():
        begun = made(start="input").build()["net"](x)
        assert all(torch.equal(picture, x) for picture in begun)
        assert not any(torch.equal(picture, x) for picture in made().build()["net"](x))


def test_a_channel_attention_block_by_hand() -> None:
    torch.manual_seed(0)
    act = nn.PReLU()
    block, x = CAB(8, 2, act), draw(3, 8, 5, 5) - 0.5
    with torch.no_grad():
        for layer in (block.attention[1], block.attention[3]):
            layer.weight.mul_(10)  # what a negative value would let through must be seen
    first, _, second = block.body
    y = second(torch.where((z := first(x)) > 0, z, 0.25 * z))
    mean = y.mean((2, 3))
    weights = torch.sigmoid(torch.relu(mean @ block.attention[1].weight[:, :, 0, 0].T)  # type: ignore[index]
                            @ block.attention[3].weight[:, :, 0, 0].T)  # type: ignore[index]
    torch.testing.assert_close(block(x), x + y * weights[:, :, None, None])
    assert (mean @ block.attention[1].weight[:, :, 0, 0].T < 0).any()  # type: ignore[index]
    assert block.attention[1].weight.shape == (4, 8, 1, 1) and first.weight.shape == (8, 8, 3, 3)


def test_supervised_attention_by_hand() -> None:
    torch.manual_seed(0)
    sam, x, seen = SAM(4), draw(1, 4, 3, 3), draw(1, 3, 3, 3, seed=1)
    features, restored = sam(x, seen)

    def one(layer: nn.Module, y: Tensor) -> Tensor:
        return torch.einsum("oc,nchw->nohw", layer.weight[:, :, 0, 0], y)  # type: ignore[index]

    torch.testing.assert_close(restored, seen + one(sam.picture, x))
    torch.testing.assert_close(features, x + one(sam.features, x) * torch.sigmoid(one(sam.mask, restored)))


class Times(nn.Module):
    """Stands for a block: a multiple."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def test_the_encoder_adds_both_of_the_earlier_stage_at_each_size() -> None:
    torch.manual_seed(0)
    encoder = Encoder(WIDTHS, 2, nn.PReLU(), fused=True)
    encoder.levels = nn.ModuleList(Times(factor) for factor in (2.0, 3.0, 5.0))
    x = draw(1, 4, 8, 8)
    sides = [8, 4, 2]
    encoded, decoded = ([draw(1, width, side, side, seed=seed + side)
                         for width, side in zip(WIDTHS, sides, strict=True)] for seed in (1, 20))
    maps = encoder(x, encoded, decoded)
    expected: list[Tensor] = []
    for level, factor in enumerate((2.0, 3.0, 5.0)):
        y = factor * (encoder.down[level - 1](expected[-1]) if level else x)
        expected.append(y + encoder.from_encoder[level](encoded[level]) + encoder.from_decoder[level](decoded[level]))
    for got, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, wanted)
    plain = Encoder(WIDTHS, 2, nn.PReLU(), fused=False)
    assert len(plain.from_encoder) == len(plain.from_decoder) == 0 and [len(level) for level in plain.levels] == [2] * 3  # type: ignore[arg-type]
    assert [y.shape[1:] for y in plain(x)] == [(4, 8, 8), (6, 4, 4), (8, 2, 2)]


def test_the_decoder_adds_what_the_skips_let_through() -> None:
    torch.manual_seed(0)
    decoder = Decoder(WIDTHS, 2, nn.PReLU())
    assert [len(level) for level in decoder.levels] == [2] * 3 and len(decoder.skips) == 2  # type: ignore[arg-type]
    decoder.levels = nn.ModuleList(Times(factor) for factor in (2.0, 3.0, 5.0))
    decoder.skips = nn.ModuleList(Times(factor) for factor in (7.0, 11.0))
    encoded = [draw(1, width, side, side, seed=side) for width, side in zip(WIDTHS, (8, 4, 2), strict=True)]
    third = 5 * encoded[2]
    second = 3 * (decoder.up[1](third) + 11 * encoded[1])
    first = 2 * (decoder.up[0](second) + 7 * encoded[0])
    for got, wanted in zip(decoder(encoded), (first, second, third), strict=True):
        torch.testing.assert_close(got, wanted)
    flat = torch.ones(1, 8, 2, 2)
    assert decoder.up[1](flat).shape == (1, 6, 4, 4)
    torch.testing.assert_close(decoder.up[1](flat), decoder.up[1][1].weight.sum((1, 2, 3))[None, :, None, None]  # type: ignore[index]
                               .expand(1, 6, 4, 4))  # bilinear enlargement keeps a flat map


def test_the_third_stage_adds_the_second_s_maps_after_each_block() -> None:
    torch.manual_seed(0)
    net = ORSNet(6, WIDTHS, 3, 2, nn.PReLU())
    assert [len(block) for block in net.blocks] == [4] * 3  # type: ignore[arg-type]
    net.blocks = nn.ModuleList(Times(factor) for factor in (2.0, 3.0, 5.0))
    x = draw(1, 6, 8, 8)
    encoded, decoded = ([draw(1, width, side, side, seed=seed + side) for width, side in zip(WIDTHS, (8, 4, 2),
                         strict=True)] for seed in (1, 20))
    wanted = x
    for level, factor in enumerate((2.0, 3.0, 5.0)):
        wanted = wanted + factor * wanted + net.from_encoder[level](encoded[level]) + net.from_decoder[level](
            decoded[level])
    torch.testing.assert_close(net(x, encoded, decoded), wanted)
    assert [len(part) for part in net.from_encoder] == [1, 2, 3]  # type: ignore[arg-type]


def test_sizes_change_bilinearly_between_the_centres_of_pixels() -> None:
    """Halves are the means of two by two; twice the size, a quarter of the neighbour is mixed in."""
    larger, smaller, x = Resized(1, 1, 2), Resized(1, 1, 0.5), draw(1, 1, 4, 4)
    for layer in (larger, smaller):
        nn.init.ones_(layer[1].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(smaller(x), x.view(1, 1, 2, 2, 2, 2).mean((3, 5)))
    row = torch.tensor([1.0, 5.0]).expand(1, 1, 2, 2)
    torch.testing.assert_close(larger(row), torch.tensor([1.0, 2.0, 4.0, 5.0]).expand(1, 1, 4, 4))


TRUTH, SEEN = draw(2, 3, 16, 16), draw(2, 3, 16, 16, seed=1)


class Three(nn.Module):
    """Three pictures from one number each."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor([0.1, 0.7, -0.4]))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x + shift for shift in self.shift]


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt((x - y) ** 2 + 1e-6).mean())


@pytest.mark.parametrize("clip", [False, True])
def test_the_loss_by_hand(clip: bool) -> None:
    """All three pictures count alike; those of `clip` are compared within [0, 1]."""
    net = Three()
    terms = made(edge=0.3, clip=clip).loss(step_with({"image": SEEN}, {"image": TRUTH}, {"net": net}))
    pictures = [SEEN.double() + shift for shift in (0.1, 0.7, -0.4)]
    if clip:
        pictures = [picture.clip(0, 1) for picture in pictures]
    assert set(terms) == {"charbonnier", "edge"}
    assert terms["charbonnier"].item() == pytest.approx(
        sum(distance(picture.numpy(), TRUTH.double().numpy()) for picture in pictures), rel=1e-5)
    edges = [distance(laplacian(picture).numpy(), laplacian(TRUTH.double()).numpy()) for picture in pictures]
    assert terms["edge"].item() == pytest.approx(0.3 * sum(edges), rel=1e-4)
    assert torch.autograd.grad(terms["charbonnier"], net.shift)[0].abs().min() > 0


def test_without_the_edge_term() -> None:
    assert set(made(edge=0.0).loss(step_with({"image": SEEN}, {"image": TRUTH}, {"net": Three()}))) == {"charbonnier"}


def test_the_recipe() -> None:
    method = made(lr=0.02, last_lr=0.002, warm_up=2, steps=12)
    [phase] = method.phases()
    [player] = phase.players
    optimiser = optimiser_of(player, method.build())
    assert isinstance(optimiser, torch.optim.Adam)
    assert [optimiser.defaults[key] for key in ("lr", "betas", "weight_decay")] == [0.02, (0.9, 0.999), 0]
    assert (phase.steps, player.networks) == (12, ["net"])
    assert player.schedule(6, 12) == pytest.approx(0.55) and player.schedule(12, 12) == pytest.approx(0.1)
    assert player.schedule(0, 12) == pytest.approx(0.5)
    assert [MPRNetRestoration.paper[key] for key in ("edge", "lr", "last_lr", "batch", "patch", "cabs", "reduction",
                                                     "clip", "kinds")] == [
        0.05, 2e-4, 1e-6, 16, 256, 8, 4, False, ["rain"]]
    assert method.multiple == 8


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="patch of mprnet is 20; it must be a multiple of 8"):
        made(patch=20)
    with pytest.raises(UserError, match="width of mprnet is 1; it must be at least `reduction`"):
        made(width=1)
    with pytest.raises(UserError, match=r"kinds of mprnet is \['snow'\]; it must name some of haze"):
        made(kinds=["snow"])
    with pytest.raises(UserError, match="kinds of mprnet"):
        made(kinds=[])


def test_it_restores_what_it_learned_from() -> None:
    assert made().unsupported("rain") is None
    assert made().unsupported("haze") == "learned from rain alone (its setting kinds)"
    assert made(kinds=["noise"]).unsupported("noise_25") is None
    assert made(kinds=["noise", "blur"]).unsupported("rain") == "learned from noise, blur alone (its setting kinds)"


def test_restore_takes_the_third_stage_and_clips() -> None:
    net = Calls(lambda x: [x + 0.5, x, x])  # type: ignore[arg-type,return-value]
    output = made().restore(Model({"net": net}), {"image": SEEN}, 1)["image"]
    torch.testing.assert_close(output, (SEEN + 0.5).clip(0, 1))


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    method = made(lr=0.005, warm_up=0)
    networks = method.build()
    step = step_with({"image": TRUTH + 0.2}, {"image": TRUTH}, networks)
    optimiser = optimiser_of(method.phases()[0].players[0], networks)
    losses = []
    for _ in range(12):
        loss = sum(method.loss(step).values(), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
