"""Partial convolutions' U-Net against its table of layers, and each of the six terms worked out from fixed tensors."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting import partial_conv
from restore_ml.methods.inpainting.partial_conv import METHOD, Decoder, Encoder
from restore_ml.methods.inpainting.telea import telea
from restore_ml.nn.features import FeatureNet
from tests.methods.holes import Maps, context_of, pictures

MEAN, STD = (torch.tensor(value).view(1, 3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
PLAIN = {"valid": 1.0, "hole": 1.0, "perceptual": 1.0, "style": 1.0, "tv": 1.0}


class Shown(nn.Module):
    """An encoder that hands on what it is shown."""

    def forward(self, x: Tensor, v: Tensor) -> list[partial_conv.Level]:
        return [(x, v)]


class Drawn(nn.Module):
    """A decoder that gives one picture, and remembers what it was shown."""

    def __init__(self, raw: Tensor) -> None:
        super().__init__()
        self.raw = nn.Parameter(raw.clone())

    def forward(self, levels: list[partial_conv.Level]) -> Tensor:
        self.seen = levels
        return self.raw


def step(features: Any = None, **settings: float) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """The terms, what the network gives and the truth (both normalised), and the mask: rows 3-5, columns 2-6 of 8."""
    truth, mask = pictures(2, 8), torch.zeros(2, 1, 8, 8)
    mask[..., 3:6, 2:7] = 1
    decoder = Drawn(pictures(2, 8, 1) * 3 - 1)
    context = context_of(truth, mask, {"encoder": Shown(), "decoder": decoder}, features)
    return METHOD(PLAIN | settings).loss(context), decoder.raw, (truth - MEAN) / STD, mask


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in ("valid", "hole", "perceptual", "style", "tv", "lr", "finetune_lr",
                                                 "batch", "widths")} == {
        "valid": 1.0, "hole": 6.0, "perceptual": 0.05, "style": 120.0, "tv": 0.1, "lr": 2e-4, "finetune_lr": 5e-5,
        "batch": 6, "widths": [64, 128, 256, 512, 512, 512, 512, 512]}
    first, finer = paper.phases()
    assert [(phase.name, list(phase.frozen_norm)) for phase in (first, finer)] == [("train", []),
                                                                                    ("finetune", ["encoder"])]
    networks = [list(player.networks) for phase in (first, finer) for player in phase.players]
    assert networks == [["encoder", "decoder"]] * 2
    assert first.players[0].schedule(5, 10) == 1 and finer.players[0].schedule(5, 10) == pytest.approx(0.25)
    made = first.players[0].optimiser([nn.Parameter(torch.zeros(1))])
    assert type(made) is torch.optim.Adam and made.param_groups[0]["lr"] == 2e-4
    falling = METHOD({"schedule": "cosine"}).phases()
    factors = [falling[0].players[0].schedule(place, 10) for place in (0, 5, 10)]
    assert factors == pytest.approx([1, 0.625, 0.25]) and falling[1].players[0].schedule(3, 9) == pytest.approx(0.25)
    assert paper.multiple == 256
    with pytest.raises(UserError, match="constant or cosine"):
        METHOD({"schedule": "step"})


def test_the_encoder_is_the_papers_table() -> None:
    encoder = Encoder([64, 128, 256, 512, 512])
    layers = [(each.convolution.kernel_size[0], each.convolution.stride[0], each.convolution.in_channels,
               each.convolution.out_channels, type(each.norm), type(each.activation)) for each in encoder.layers]
    batch, none = nn.BatchNorm2d, nn.Identity
    assert layers == [(7, 2, 3, 64, none, nn.ReLU), (5, 2, 64, 128, batch, nn.ReLU), (5, 2, 128, 256, batch, nn.ReLU),
                      (3, 2, 256, 512, batch, nn.ReLU), (3, 2, 512, 512, batch, nn.ReLU)]
    assert all(each.convolution.bias is None for each in encoder.layers)
    weight = encoder.layers[2].convolution.weight
    assert weight.std().item() == pytest.approx((2 / (128 * 25)) ** 0.5, rel=0.02)  # He's


def test_the_decoder_sees_the_enlarged_map_and_the_encoders_and_ends_without_activation() -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder([4, 6]).eval(), Decoder([4, 6]).eval()
    (inner, last) = decoder.layers
    own = inner.convolution
    assert (own.kernel_size, own.in_channels, own.out_channels) == ((3, 3), 10, 4)
    assert isinstance(inner.norm, nn.BatchNorm2d) and inner.activation.negative_slope == 0.2
    assert (last.kernel_size, last.in_channels, last.out_channels) == ((3, 3), 7, 3) and last.bias is not None
    x, v = torch.randn(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    v[..., 2:6, 1:5] = 0
    levels = encoder(x, v)
    assert [each.shape[-1] for each, _ in levels] == [8, 4, 2] and levels[0][0] is x
    (_, _), (skip, skip_known), (deep, deep_known) = levels
    y, known = inner(torch.cat([F.interpolate(deep, scale_factor=2), skip], 1),
                     torch.cat([F.interpolate(deep_known, scale_factor=2), skip_known], 1))
    y, _ = last(torch.cat([F.interpolate(y, scale_factor=2), x], 1),
                torch.cat([F.interpolate(known, scale_factor=2), v], 1))
    torch.testing.assert_close(decoder(levels), y)


def test_the_network_sees_normalised_colours_and_a_mask_of_what_is_known() -> None:
    image, mask, decoder = pictures(1, 4), torch.zeros(1, 1, 4, 4), Drawn(torch.full((1, 3, 4, 4), 2.0))
    mask[..., 1, 2] = 1
    model = Model({"encoder": Shown(), "decoder": decoder})
    made = METHOD({}).restore(model, {"image": image, "mask": mask}, 1)["image"]
    (shown, known), = decoder.seen
    torch.testing.assert_close(shown, (image - MEAN) / STD)
    assert torch.equal(known, (1 - mask).expand(-1, 3, -1, -1))
    torch.testing.assert_close(made[0, :, 0, 0], torch.tensor([0.943, 0.904, 0.856]))  # 2 std + mean


def test_centred_networks_see_and_give_differences_from_the_mean_of_what_is_known() -> None:
    image, mask, raw = pictures(2, 4), torch.zeros(2, 1, 4, 4), pictures(2, 4, 1)
    mask[0, :, :2], mask[1] = 1, 1
    decoder = Drawn(raw)
    made = METHOD({"centred": True}).fill({"encoder": Shown(), "decoder": decoder}, {"image": image, "mask": mask})
    (shown, _), = decoder.seen
    seen = (image - MEAN) / STD
    level = seen[0, :, 2:].mean((1, 2))
    torch.testing.assert_close(shown[0], seen[0] - level[:, None, None])
    torch.testing.assert_close(made[0], raw[0] + level[:, None, None])
    torch.testing.assert_close(made[1], raw[1])  # nothing is known there
    assert METHOD({}).settings["centred"] is False


@pytest.mark.parametrize("blend", ["none", "level", "poisson"])
def test_the_filling_is_blended_as_the_setting_says(blend: str) -> None:
    truth, mask = pictures(1, 8) * 0.6 + 0.3, torch.zeros(1, 1, 8, 8)
    mask[..., 3:6, 2:5] = 1
    model = Model({"encoder": Shown(), "decoder": Drawn((truth - 0.2 - MEAN) / STD)})
    made = METHOD({"blend": blend}).restore(model, {"image": truth * (1 - mask), "mask": mask}, 1)["image"]
    torch.testing.assert_close(made * mask, (truth - (0.2 if blend == "none" else 0)) * mask)
    assert METHOD({}).settings["blend"] == "none"


def test_pixel_terms_by_hand() -> None:
    terms, raw, truth, mask = step(valid=0.5, hole=6.0, tv=0.1)
    apart = (raw.detach() - truth).double().abs()
    inside = apart[..., 3:6, 2:7].sum().item()
    assert set(terms) == {"valid", "hole", "tv"}
    assert terms["valid"].item() == pytest.approx(0.5 * (apart.sum().item() - inside) / 384)
    assert terms["hole"].item() == pytest.approx(6 * inside / 384)
    composed = torch.where(mask > 0, raw.detach(), truth).double()[..., 2:7, 1:8]  # the hole and a pixel around it
    jumps = composed.diff(dim=-1).abs().sum() + composed.diff(dim=-2).abs().sum()
    assert terms["tv"].item() == pytest.approx(0.1 * jumps.item() / 384, rel=1e-5)
    for name, outside in (("valid", True), ("hole", False), ("tv", False)):
        gradient, = torch.autograd.grad(terms[name], raw, retain_graph=True)
        hole = mask.expand_as(gradient) > 0
        assert bool(gradient[hole].abs().sum() > 0) != outside and bool(gradient[~hole].abs().sum() > 0) == outside


def test_feature_terms_are_those_of_the_raw_and_of_the_composed_picture() -> None:
    features = Maps()
    terms, raw, truth, mask = step(features, perceptual=0.05, style=120.0)
    composed = torch.where(mask > 0, raw, truth)
    assert features.seen and set(features.seen) == {(("pool1", "pool2", "pool3"), False)}  # normalised already

    def gram(x: Tensor) -> Tensor:
        return torch.einsum("nchw,ndhw->ncd", x, x) / 192

    apart = sum((each - truth).abs().mean().item() for each in (raw, composed))
    styled = sum((gram(each) - gram(truth)).abs().mean().item() for each in (raw, composed))
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(0.05 * 6 * apart, rel=1e-4)  # taps x, 2x, 3x
    assert terms["style@imagenet-89abcdef"].item() == pytest.approx(120 * 14 * styled, rel=1e-4)  # squared: 1 + 4 + 9
    for name in ("perceptual", "style"):
        assert torch.autograd.grad(terms[f"{name}@imagenet-89abcdef"], raw, retain_graph=True)[0].abs().sum() > 0


def test_terms_without_weight_leave_the_feature_network_alone() -> None:
    features = Maps()
    terms, *_ = step(features, perceptual=0.0, style=0.0)
    assert set(terms) == {"valid", "hole", "tv"} and not features.seen


def test_each_term_has_its_own_taps() -> None:
    features = Maps()
    terms, *_ = step(features, perceptual=1.0, style=1.0, content_taps=["a"], style_taps=["b", "a"])
    assert set(features.seen) == {(("a", "b"), False)}
    plain, *_ = step(Maps(), perceptual=1.0, style=1.0, content_taps=["a"], style_taps=["a"])
    same = "perceptual@imagenet-89abcdef"
    assert terms[same].item() == pytest.approx(plain[same].item())
    assert terms["style@imagenet-89abcdef"].item() == pytest.approx(
        5 * plain["style@imagenet-89abcdef"].item(), rel=1e-5)  # the second map is twice the first: 1 + 2 x 2


@pytest.mark.parametrize("chosen", [["train", "finetune"], ["finetune"]])
def test_phases_without_feature_terms(chosen: list[str]) -> None:
    own = METHOD({"feature_phases": chosen})
    losses = {phase.name: phase.players[0].loss for phase in own.phases()}
    assert losses == {name: own.loss if name in chosen else own.pixel_loss for name in ("train", "finetune")}


def test_the_pixel_terms_are_the_same_without_features() -> None:
    torch.manual_seed(0)
    mask, truth = torch.zeros(2, 1, 16, 16), pictures(2, 16)
    mask[:, :, 4:9, 3:12] = 1
    own, features = METHOD({"widths": [4, 4]}), Maps()
    context = context_of(truth, mask, own.build(), features)
    own_terms, pixels = own.loss(context), own.pixel_loss(context)
    assert set(pixels) == {"valid", "hole", "tv"}
    assert all(torch.equal(pixels[name], own_terms[name]) for name in pixels)


def test_it_fits_a_feature_network_as_it_is() -> None:
    torch.manual_seed(0)
    method = METHOD({"widths": [4, 4, 4]})
    context = context_of(pictures(2, 16), torch.ones(2, 1, 16, 16), method.build(), FeatureNet(2, "imagenet-89abcdef"))
    terms = method.loss(context)
    assert set(terms) == {"valid", "hole", "tv", "perceptual@imagenet-89abcdef", "style@imagenet-89abcdef"}
    assert all(np.isfinite(term.item()) for term in terms.values()) and isinstance(context, Context)


def test_on_telea_the_network_sees_the_filling_and_the_mask_and_gives_the_difference() -> None:
    image, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[..., 5:9, 4:10] = 1
    image = (image * 255).round() / 255 * (1 - mask)
    decoder = Drawn(torch.full((2, 3, 16, 16), 0.25))
    method = METHOD({"base": "telea"})
    made = method.restore(Model({"encoder": Shown(), "decoder": decoder}), {"image": image, "mask": mask}, 1)["image"]
    filled = torch.stack([torch.from_numpy(telea((each * 255).round().byte().permute(1, 2, 0).numpy(), hole[0].numpy()))
                          for each, hole in zip(image, mask, strict=True)]).permute(0, 3, 1, 2) / 255
    (shown, known), = decoder.seen
    torch.testing.assert_close(shown, torch.cat([(filled - MEAN) / STD, mask], 1))
    assert torch.equal(known, torch.ones(2, 4, 16, 16))
    torch.testing.assert_close(made, (filled + 0.25 * STD).clip(0, 1))
    assert "Telea" in method.reading and "Telea" not in METHOD({}).reading


def test_on_telea_training_starts_from_the_filling_and_its_terms_are_the_plain_ones() -> None:
    truth, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[..., 5:9, 4:10] = 1
    method = METHOD(PLAIN | {"base": "telea", "widths": [4, 4]})
    networks = method.build()
    assert networks["encoder"].layers[0].convolution.in_channels == 4
    assert networks["decoder"].layers[-1].in_channels == 8
    inputs = {"image": truth * (1 - mask), "mask": mask}
    filled = partial_conv.telea_filled(truth * (1 - mask), mask)
    torch.testing.assert_close(method.fill(networks, inputs), (filled - MEAN) / STD)
    assert (filled - truth).abs().max() > 0.1 and (filled * (1 - mask) - truth * (1 - mask)).abs().max() < 0.6 / 255
    terms = method.loss(context_of(truth, mask, networks))
    apart = ((filled - truth) / STD).abs() * mask
    assert terms["hole"].item() == pytest.approx(apart.mean().item(), rel=1e-4)
    sum(terms.values()).backward()
    assert networks["decoder"].layers[-1].weight.grad.abs().sum() > 0


def test_telea_under_a_network_is_blind_under_the_mask() -> None:
    image, mask = pictures(1, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 5:9, 4:10] = 1
    assert torch.equal(partial_conv.telea_filled(image, mask),
                       partial_conv.telea_filled(torch.where(mask > 0, torch.ones(()), image), mask))
