"""old_photo_vae: the card's counts, the partial non-local block, every term of the three trainings by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.dense import SEPIA
from restore_ml.method import Context, Model, Player
from restore_ml.methods.restoration.old_photo_vae import OldPhotoVae, aged
from restore_ml.nn.old_photo_networks import (
    Decoder,
    Encoder,
    Level,
    Mapping,
    MultiScaleJudge,
    PartialNonLocal,
    levelled,
)
from tests.methods.by_hand import draw, optimiser_of, step_with
from tests.methods.holes import Maps
from tests.methods.layers import parameters

SMALL = {"width": 4, "blocks": 1, "mapping_widths": [6, 8], "mapping_blocks": 1, "disc_width": 2, "disc_layers": 1,
         "patch": 16}
SEEN = {"image": draw(2, 3, 16, 16), "real": draw(2, 3, 16, 16, seed=1), "scratches": torch.zeros(2, 1, 16, 16)}
SEEN["scratches"][0, :, 3, 5] = 1
TRUTH = {"image": draw(2, 3, 16, 16, seed=2)}


def made(**settings: Any) -> OldPhotoVae:
    return OldPhotoVae({**SMALL, **settings})


# --- the networks -----------------------------------------------------------------------------------------------------


def test_parameters_of_the_card() -> None:
    with torch.device("meta"):
        assert (parameters(Encoder()), parameters(Decoder())) == (436_096, 436_035)
        assert (parameters(Mapping(non_local=False)), parameters(Mapping())) == (36_135_232, 51_344_704)
        assert Encoder()(torch.empty(1, 3, 64, 32)).shape == (1, 64, 16, 8)
        assert Decoder()(torch.empty(1, 64, 16, 8)).shape == (1, 3, 64, 32)


def test_codes_are_blind_to_level_and_contrast() -> None:
    torch.manual_seed(0)
    net, x = Encoder(4, 1), draw(1, 3, 16, 16)
    torch.testing.assert_close(net(0.5 * x + 0.2), net(x), atol=1e-2, rtol=1e-2)
    weights = net.body[1].weight
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)  # type: ignore[operator]


def normed(x: Tensor, layer: nn.Module, stride: int = 1, padding: int = 0) -> Tensor:
    return standard(F.conv2d(x, layer.weight, layer.bias, stride, padding))  # type: ignore[arg-type]


def standard(y: Tensor) -> Tensor:
    """Each map less its mean, in units of its deviation."""
    return (y - y.mean((2, 3), keepdim=True)) / (y.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()


def reflected(x: Tensor, side: int) -> Tensor:
    return F.pad(x, (side,) * 4, mode="reflect")


def residual(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
    return x + normed(reflected(normed(reflected(x, 1), first).clamp(min=0), 1), second)


def convolutions(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]


def test_both_halves_of_an_autoencoder_by_hand() -> None:
    torch.manual_seed(0)
    encoder, decoder, x = Encoder(4, 1), Decoder(4, 1), draw(2, 3, 16, 12) - 0.5
    first, second, third, *block = convolutions(encoder)
    y = normed(reflected(x, 3), first).clamp(min=0)
    for layer in (second, third):
        y = normed(y, layer, 2, 1).clamp(min=0)
    code = residual(y, *block)
    torch.testing.assert_close(encoder(x), code, atol=1e-4, rtol=1e-4)
    one, two, *larger, last = convolutions(decoder)
    y = residual(code, one, two)
    for layer in larger:
        y = standard(F.conv_transpose2d(y, layer.weight, layer.bias, 2, 1)).clamp(min=0)  # type: ignore[arg-type]
    drawn = F.conv2d(reflected(y, 3), last.weight, last.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(decoder(code), drawn.tanh(), atol=1e-4, rtol=1e-4)


def test_the_mapping_by_hand() -> None:
    torch.manual_seed(0)
    net, code = Mapping(4, [6, 8], 1, non_local=False), draw(1, 4, 5, 6) - 0.5
    first, second, one, two, third, last = convolutions(net)
    y = normed(normed(code, first, 1, 1).clamp(min=0), second, 1, 1).clamp(min=0)
    y = normed(residual(y, one, two), third, 1, 1).clamp(min=0)
    wanted = F.conv2d(y, last.weight, last.bias, padding=1)  # type: ignore[arg-type]
    torch.testing.assert_close(net(code), wanted, atol=1e-4, rtol=1e-4)


def test_first_weights() -> None:
    """N(0, 0.02) everywhere but in W of the non-local block, which is 0, as are all biases."""
    torch.manual_seed(0)
    mapping = Mapping(8, [16, 32], 1)
    assert mapping.non_local is not None
    for network in (Encoder(8, 1), Decoder(8, 1), mapping):
        for layer in convolutions(network):
            assert not layer.bias.any()  # type: ignore[operator,union-attr]
            if layer is mapping.non_local.out:
                assert not layer.weight.any()  # type: ignore[operator,union-attr]
            else:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)  # type: ignore[operator]


def block(known: Tensor | None = None) -> tuple[PartialNonLocal, Tensor, Tensor]:
    torch.manual_seed(0)
    net = PartialNonLocal(4)
    x = draw(2, 4, 3, 5) - 0.5
    mask = torch.ones(2, 1, 3, 5)
    mask[0, 0, 1, 2:4] = 0
    mask[1, 0, 0, 0] = 0
    return net, x, mask


def test_attention_leaves_the_scratched_positions_out() -> None:
    net, x, known = block()
    weights = net.attention(x, known)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 15))
    assert not weights[0, :, [7, 8]].any() and not weights[1, :, 0].any() and (weights > 0).sum() == 15 * (13 + 14)
    query, key = (torch.einsum("oc,nchw->nohw", layer.weight[:, :, 0, 0], x) + layer.bias[None, :, None, None]  # type: ignore[index]
                  for layer in (net.theta, net.phi))
    logits = torch.einsum("ncp,ncq->npq", query.flatten(2), key.flatten(2))[1]
    wanted = logits.exp()
    wanted[:, 0] = 0
    torch.testing.assert_close(weights[1], wanted / wanted.sum(1, keepdim=True))


def test_the_block_fills_scratches_from_what_is_known() -> None:
    net, x, known = block()
    found = torch.bmm(net.attention(x, known), net.g(x).flatten(2).mT).mT.unflatten(2, (3, 5))
    torch.testing.assert_close(net(x, known), known * x + (1 - known) * net.refine(net.out(found)))
    everywhere = torch.ones_like(known)
    assert torch.equal(net(x, everywhere), x)
    torch.testing.assert_close(net.attention(x, torch.zeros_like(known)).sum(2), torch.ones(2, 15))
    nowhere = net(x, torch.zeros_like(known))
    assert torch.isfinite(nowhere).all() and not torch.equal(nowhere, x)
    hidden = x.clone()
    hidden[1, :, 0, 0] += 5  # under a scratch: it moves nothing but its own question
    torch.testing.assert_close(net(hidden, known)[1, :, 1:], net(x, known)[1, :, 1:])


def test_the_mapping_passes_the_block_by_without_scratches() -> None:
    torch.manual_seed(0)
    net, code = Mapping(4, [6, 8], 1), draw(1, 4, 4, 4)
    assert net.non_local is not None and not net.non_local.out.weight.any()
    known: list[Tensor] = []
    net.non_local.register_forward_hook(lambda _, given, __: known.append(given[1]))
    assert torch.equal(net(code), net(code, torch.zeros(1, 1, 16, 16))) and not known
    scratches = torch.zeros(1, 1, 16, 16)
    scratches[0, 0, 5, 11] = 1
    touched = net(code, scratches)
    wanted = torch.ones(1, 1, 4, 4)
    wanted[0, 0, 1, 2] = 0
    assert torch.equal(known[0], wanted) and not torch.equal(touched, net(code))
    plain = Mapping(4, [6, 8], 1, non_local=False)
    assert plain.non_local is None and torch.equal(plain(code, scratches), plain(code))
    convolutions = [(layer.in_channels, layer.out_channels) for part in (plain.up, plain.down) for layer in part
                    if isinstance(layer, nn.Conv2d)]
    assert convolutions == [(4, 6), (6, 8), (8, 6), (6, 4)] and isinstance(plain.down[-1], nn.Conv2d)


def test_the_judge_sees_two_sizes() -> None:
    torch.manual_seed(0)
    judge, x = MultiScaleJudge(3, 2, 1), draw(1, 3, 16, 16)
    maps = judge(x)
    assert [len(scale) for scale in maps] == [3, 3] and [scale[0].shape[-1] for scale in maps] == [8, 4]
    mean = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    judge.eval()
    torch.testing.assert_close(judge(x)[1][-1], judge.judges[1](mean))
    assert any("parametrizations" in name for name, _ in judge.named_parameters())


def test_levels() -> None:
    x, level = draw(2, 3, 5, 6), Level()
    torch.testing.assert_close(level(x), x.mean((2, 3), keepdim=True))
    with torch.no_grad():
        level.weight[0, 3], level.bias[1] = 2.0, 0.5
    wanted = x.mean((2, 3), keepdim=True).clone()
    wanted[:, 0, 0, 0] += 2 * x[:, 0].flatten(1).std(1)
    wanted[:, 1] += 0.5
    torch.testing.assert_close(level(x), wanted)
    torch.testing.assert_close(levelled(x, wanted).mean((2, 3), keepdim=True), wanted)
    torch.testing.assert_close(levelled(x, wanted) - wanted, x - x.mean((2, 3), keepdim=True))


# --- the trainings ----------------------------------------------------------------------------------------------------


class Half(nn.Module):
    """Stands for a half of an autoencoder: a multiple of 4 x 4 means, or its enlargement; remembers what it saw."""

    def __init__(self, factor: float, up: bool = False) -> None:
        super().__init__()
        self.factor, self.up, self.seen = nn.Parameter(torch.tensor(factor)), up, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.factor * (F.interpolate(x, scale_factor=4.0) if self.up else F.avg_pool2d(x, 4))


class Mapped(nn.Module):
    """Stands for the mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.scratches = nn.Parameter(torch.tensor(1.5)), list[Any]()

    def forward(self, code: Tensor, scratches: Tensor | None = None) -> Tensor:
        self.scratches.append(scratches)
        return self.factor * code

    def level(self, picture: Tensor) -> Tensor:
        return 2 * picture.mean((2, 3), keepdim=True)


class Judges(nn.Module):
    """Two sizes; of each a map, and scores: the mean of all channels, weighted 1, 2, 3 ..., times a number."""

    def __init__(self, scales: int = 2) -> None:
        super().__init__()
        self.weight, self.scales, self.seen = nn.Parameter(torch.tensor(0.7)), scales, list[Tensor]()

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        self.seen.append(x.detach().clone())
        return [[self.weight * size * x, self.weight * size * weighted(x)] for size in range(1, self.scales + 1)]


def weighted(x: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", x, torch.arange(1.0, x.shape[1] + 1))


def players() -> dict[str, nn.Module]:
    return {"encoder_a": Half(0.8), "decoder_a": Half(0.6, up=True), "encoder_b": Half(0.9),
            "decoder_b": Half(0.5, up=True), "mapping": Mapped(), "judge_a": Judges(), "judge_b": Judges(),
            "judge_codes": Judges(1), "judge_mapping": Judges()}


def step(networks: dict[str, nn.Module], features: Any = None) -> Context:
    return step_with(SEEN, TRUTH, networks, features)


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


def coded(side: str) -> tuple[Tensor, Tensor, Tensor]:
    """By hand: the pictures, the means of their codes, what is decoded of these with noise."""
    pictures = 2 * (torch.cat([SEEN["image"], SEEN["real"]]) if side == "a" else TRUTH["image"]) - 1
    first, second = {"a": (0.8, 0.6), "b": (0.9, 0.5)}[side]
    means = first * F.avg_pool2d(pictures, 4)
    return pictures, means, second * F.interpolate(means + noise(means), scale_factor=4.0)


def squares(scores: Tensor, wanted: float, scales: int = 2) -> float:
    return sum((0.7 * size * scores - wanted).square().mean().item() for size in range(1, scales + 1))


@pytest.mark.parametrize("side", ["a", "b"])
def test_what_an_autoencoder_minimises(side: str) -> None:
    networks, features = players(), Maps()
    method = made(l1=3.0, kl=0.5, adversarial=0.2, matching=6.0, perceptual=4.0, perceptual_taps={"x": 1.0, "y": 0.5},
                  disc_layers=1)
    terms = method.vae_loss(side)(step(networks, features))
    pictures, means, decoded = coded(side)
    apart = (decoded - pictures).abs().mean().item()
    assert set(terms) == {"l1", "kl", "adversarial", "matching", "perceptual@imagenet-89abcdef",
                          *(["codes"] if side == "a" else [])}
    assert terms["l1"].item() == pytest.approx(3 * apart, rel=1e-5)
    assert terms["kl"].item() == pytest.approx(0.5 * means.square().mean().item(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(0.2 * squares(weighted(decoded), 1), rel=1e-5)
    assert terms["matching"].item() == pytest.approx(6 * 4 / 2 / 2 * 0.7 * (1 + 2) * apart, rel=1e-5)
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(4 * (1 + 0.5 * 2) * apart / 2, rel=1e-4)
    assert features.seen == 2 * [(("x", "y"), True)]
    if side == "a":  # real damage, the second half, is to pass for synthetic
        assert terms["codes"].item() == pytest.approx(0.2 * squares(weighted(means[2:]), 1, 1), rel=1e-5)
    for name, term in terms.items():
        moved = [networks[f"encoder_{side}"].factor, networks[f"decoder_{side}"].factor]
        gradients = torch.autograd.grad(term, moved, retain_graph=True, allow_unused=True)  # type: ignore[arg-type]
        assert gradients[0] is not None and gradients[0].abs() > 0
        assert name in ("kl", "codes") or (gradients[1] is not None and gradients[1].abs() > 0)


@pytest.mark.parametrize("side", ["a", "b"])
def test_what_its_judge_minimises(side: str) -> None:
    networks = players()
    terms = made().judge_loss(side)(step(networks))
    pictures, _, decoded = coded(side)
    assert terms["real"].item() == pytest.approx(squares(weighted(pictures), 1) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(squares(weighted(decoded), 0) / 2, rel=1e-5)
    total = terms["real"] + terms["fake"]
    assert torch.autograd.grad(total, networks[f"judge_{side}"].weight, retain_graph=True)[0].abs() > 0  # type: ignore[arg-type]
    assert torch.autograd.grad(total, networks[f"encoder_{side}"].factor, allow_unused=True)[0] is None  # type: ignore[arg-type]


def test_the_judge_of_codes() -> None:
    """Synthetic damage counts as true."""
    networks = players()
    terms = made().codes_judge_loss(step(networks))
    _, means, _ = coded("a")
    assert terms["real"].item() == pytest.approx(squares(weighted(means[:2]), 1, 1) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(squares(weighted(means[2:]), 0, 1) / 2, rel=1e-5)
    total = terms["real"] + terms["fake"]
    assert torch.autograd.grad(total, networks["encoder_a"].factor, allow_unused=True)[0] is None  # type: ignore[arg-type]


def mapped() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    damaged, true = 2 * SEEN["image"] - 1, 2 * TRUTH["image"] - 1
    code = 1.5 * 0.8 * F.avg_pool2d(damaged, 4)
    return damaged, true, code, 0.5 * F.interpolate(code, scale_factor=4.0)


def test_what_the_mapping_minimises() -> None:
    networks, features = players(), Maps()
    method = made(code=5.0, mapping_l1=2.0, adversarial=0.2, matching=6.0, perceptual=4.0, disc_layers=3,
                  perceptual_taps={"x": 1.0})
    terms = method.mapping_loss(step(networks, features))
    damaged, true, code, restored = mapped()
    apart = (restored - true).abs().mean().item()
    assert set(terms) == {"code", "l1", "adversarial", "matching", "perceptual@imagenet-89abcdef"}
    assert terms["code"].item() == pytest.approx(
        5 * (code - 0.9 * F.avg_pool2d(true, 4)).abs().mean().item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(2 * apart, rel=1e-5)
    scores = weighted(torch.cat([damaged, restored], 1))
    assert terms["adversarial"].item() == pytest.approx(0.2 * squares(scores, 1), rel=1e-5)
    assert terms["matching"].item() == pytest.approx(6 / 2 * 0.7 * 3 * apart / 2, rel=1e-5)  # half the channels differ
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(4 * apart / 2, rel=1e-4)
    assert torch.equal(networks["mapping"].scratches[0], SEEN["scratches"])  # type: ignore[index]
    for term in terms.values():
        gradients = torch.autograd.grad(term, [networks["mapping"].factor, networks["encoder_a"].factor,  # type: ignore[arg-type]
                                               networks["encoder_b"].factor], retain_graph=True, allow_unused=True)
        assert gradients[0].abs() > 0 and gradients[1] is None and gradients[2] is None


def test_the_mapping_s_judge() -> None:
    networks = players()
    terms = made().mapping_judge_loss(step(networks))
    damaged, true, _, restored = mapped()
    assert terms["real"].item() == pytest.approx(squares(weighted(torch.cat([damaged, true], 1)), 1) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(squares(weighted(torch.cat([damaged, restored], 1)), 0) / 2, rel=1e-5)
    total = terms["real"] + terms["fake"]
    assert torch.autograd.grad(total, networks["mapping"].factor, allow_unused=True)[0] is None  # type: ignore[arg-type]


def test_a_level_around_the_codes() -> None:
    """Autoencoders are compared at their picture's own level, the mapping at the one that its layer says."""
    networks = players()
    method = made(level="around", adversarial=0.0, l1=1.0, mapping_l1=1.0)
    terms = method.vae_loss("b")(step(networks))
    pictures, _, decoded = coded("b")
    same = levelled(decoded, pictures.mean((2, 3), keepdim=True))
    assert terms["l1"].item() == pytest.approx((same - pictures).abs().mean().item(), rel=1e-5)
    damaged, true, _, restored = mapped()
    wanted = levelled(restored, 2 * damaged.mean((2, 3), keepdim=True))
    terms = method.mapping_loss(step(networks))
    assert terms["l1"].item() == pytest.approx((wanted - true).abs().mean().item(), rel=1e-5)
    output = method.restore(Model(networks), {"image": SEEN["image"]}, 1)["image"]
    torch.testing.assert_close(output, ((wanted + 1) / 2).clip(0, 1))
    assert made(level="around").build()["mapping"].level is not None and made().build()["mapping"].level is None


def test_restore_by_hand() -> None:
    """Without noise; scratches are given on, and none are none."""
    networks = players()
    output = made().restore(Model(networks), {"image": SEEN["image"], "scratches": SEEN["scratches"]}, 1)["image"]
    torch.testing.assert_close(output, ((mapped()[3] + 1) / 2).clip(0, 1))
    made().restore(Model(networks), {"image": SEEN["image"]}, 1)
    first, second = networks["mapping"].scratches  # type: ignore[misc]
    assert torch.equal(first, SEEN["scratches"]) and second is None


def test_who_plays_when() -> None:
    method = made(steps={"vae_a": 3, "vae_b": 4, "mapping": 5}, lr=0.01)
    phases = method.phases()
    assert [(phase.name, phase.steps, [(player.name, list(player.networks)) for player in phase.players])
            for phase in phases] == [
        ("vae_a", 3, [("vae_a", ["encoder_a", "decoder_a"]), ("judge_a", ["judge_a"]),
                      ("judge_codes", ["judge_codes"])]),
        ("vae_b", 4, [("vae_b", ["encoder_b", "decoder_b"]), ("judge_b", ["judge_b"])]),
        ("mapping", 5, [("mapping", ["mapping"]), ("judge_mapping", ["judge_mapping"])])]
    networks = method.build()

    def recipe(player: Player) -> tuple[float, Any]:
        defaults = optimiser_of(player, networks).defaults
        return defaults["lr"], defaults["betas"]

    assert [[recipe(player) for player in phase.players] for phase in phases] == [
        [(0.01, (0.5, 0.999))] * 3, [(0.01, (0.5, 0.999))] * 2, [(0.005, (0.0, 0.9)), (0.02, (0.0, 0.9))]]
    rates = [[[player.schedule(at, 10) for at in (0, 5, 6, 8)] for player in phase.players] for phase in phases]
    coding, translating = pytest.approx([1, 1, 0.8, 0.4]), pytest.approx([1, 1, 1, 0.5])  # 100 + 100, 150 + 100 epochs
    assert rates == [[coding] * 3, [coding] * 2, [translating] * 2]
    falling = made(schedule="cosine").phases()
    assert all(player.schedule(5, 10) == pytest.approx(0.5) for phase in falling for player in phase.players)


def test_without_an_adversary() -> None:
    method = made(adversarial=0.0, level="coded")
    assert set(method.build()) == {"encoder_a", "decoder_a", "encoder_b", "decoder_b", "mapping"}
    assert [len(phase.players) for phase in method.phases()] == [1, 1, 1]
    networks = {name: network for name, network in players().items() if not name.startswith("judge")}
    assert set(method.vae_loss("a")(step(networks))) == {"l1", "kl"}
    assert set(method.mapping_loss(step(networks))) == {"code"}


def test_the_networks_are_of_the_settings() -> None:
    networks = made().build()
    assert all(any(isinstance(module, nn.InstanceNorm2d) for module in network.modules())
               for network in networks.values())
    channels = [networks[f"judge_{name}"].judges[0].stages[0][0].in_channels  # type: ignore[index,union-attr]
                for name in ("a", "b", "codes", "mapping")]
    scales = [len(networks[f"judge_{name}"].judges) for name in ("a", "b", "codes", "mapping")]  # type: ignore[arg-type]
    assert channels == [3, 3, 4, 6] and scales == [2, 2, 1, 2]


def test_published_recipe() -> None:
    """Of 17,125 pictures 250 epochs by 80 are 53,516 steps and 200 by 120 are 28,542; of 22,843 200 by 100 are 45,686.
    """
    assert OldPhotoVae({}).settings == {
        "kinds": ["old_photo"], "width": 64, "blocks": 4, "mapping_widths": [128, 256, 512, 512], "mapping_blocks": 6,
        "non_local": True, "level": "coded", "disc_width": 64, "disc_layers": 3, "disc_scales": 2, "l1": 10.0,
        "adversarial": 1.0, "matching": 10.0, "perceptual": 10.0, "kl": 1.0, "code": 60.0, "mapping_l1": 0.0,
        "perceptual_taps": {"relu1_1": 0.03125, "relu2_1": 0.0625, "relu3_1": 0.125, "relu4_1": 0.25, "relu5_1": 1.0},
        "steps": {"vae_a": 45_700, "vae_b": 28_500, "mapping": 53_500}, "batch": 100, "patch": 256, "ema": 0.0,
        "lr": 2e-4, "schedule": "constant"}
    assert OldPhotoVae({}).multiple == 4
    with torch.device("meta"):
        built = OldPhotoVae({}).build()
    assert {name: parameters(network) for name, network in built.items() if "judge" not in name} == {
        "encoder_a": 436_096, "decoder_a": 436_035, "encoder_b": 436_096, "decoder_b": 436_035, "mapping": 51_344_704}


def test_real_photographs_are_blurred_and_sepia() -> None:
    """A flat picture shows tone and contrast, an edge the blur; nothing of it is needed to restore."""
    colour = np.array([60, 120, 180])
    flat = aged(np.broadcast_to(colour.astype(np.uint8), (16, 16, 3)).copy(), np.random.default_rng(0))
    rng = np.random.default_rng(0)
    rng.uniform(2, 5)
    tone, contrast = rng.uniform(0.6, 1), rng.uniform(0.5, 0.9)
    toned = (1 - tone) * colour / 255 + tone * np.clip(SEPIA @ (colour / 255), 0, 1)
    np.testing.assert_allclose(flat[8, 8], 255 * (0.5 + contrast * (toned - 0.5)), atol=0.51)
    edge = np.zeros((16, 16, 3), np.uint8)
    edge[:, 8:] = 255
    assert len(np.unique(aged(edge, np.random.default_rng(0))[8, :, 0])) > 4
    method = made()
    assert method.derive({}, None, np.random.default_rng(0)) == {}
    np.testing.assert_array_equal(method.derive({}, {"image": edge}, np.random.default_rng(0))["real"],
                                  aged(edge, np.random.default_rng(0)))


def test_it_restores_old_photographs_alone() -> None:
    assert made().unsupported("old_photo") is None and made().unsupported("as_found") is None
    assert made().unsupported("rain") == "learned from old_photo alone (its setting kinds)"
