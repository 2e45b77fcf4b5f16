"""Context encoders against the released code's layers; loss terms and the way through the network by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting import context_encoder
from restore_ml.methods.inpainting.context_encoder import METHOD, ContextEncoder
from tests.methods.holes import Fixed, Judge, context_of, pictures, softplus


def method(**settings: Any) -> ContextEncoder:
    return METHOD({"patch": 32, "overlap": 2} | settings)


def step(**settings: Any) -> tuple[ContextEncoder, Context, Tensor, Tensor]:
    """Method, context, truth of the predicted region in [-1, 1] and what the generator gives for it."""
    truth, mask = pictures(2, 32), torch.zeros(2, 1, 32, 32)
    mask[..., 10:22, 10:22] = 1
    own = method(**settings)
    networks = {"generator": Fixed(pictures(2, own.side, 1) * 2 - 1), "discriminator": Judge()}
    region = truth[..., 8:24, 8:24] if own.centre else truth
    return own, context_of(truth, mask, networks), 2 * region - 1, networks["generator"].output


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in ("reconstruction", "adversarial", "lr", "disc_lr", "betas", "batch",
                                                 "patch", "overlap", "bottleneck", "valid_weight")} == {
        "reconstruction": 0.999, "adversarial": 0.001, "lr": 2e-3, "disc_lr": 2e-4, "betas": [0.5, 0.999], "batch": 64,
        "patch": 128, "overlap": 4, "bottleneck": 4000, "valid_weight": 0.0}
    phase, = paper.phases()
    judge, own = phase.players
    assert (judge.loss, own.loss) == (paper.discriminator_loss, paper.generator_loss)
    assert (list(judge.networks), list(own.networks)) == (["discriminator"], ["generator"])
    for player, rate in ((judge, 2e-4), (own, 2e-3)):
        made = player.optimiser([nn.Parameter(torch.zeros(1))])
        assert type(made) is torch.optim.Adam
        assert (made.param_groups[0]["lr"], made.param_groups[0]["betas"]) == (rate, (0.5, 0.999))


def layers(network: nn.Sequential) -> list[tuple[Any, ...]]:
    """Convolutions (kernel, stride, padding, channels; negative stride: transposed) and what stands between them."""
    found: list[tuple[Any, ...]] = []
    for part in network:
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            sign = -1 if isinstance(part, nn.ConvTranspose2d) else 1
            found.append((part.kernel_size[0], sign * part.stride[0], part.padding[0], part.out_channels))
        elif isinstance(part, nn.LeakyReLU):
            found.append(("leaky", part.negative_slope))
        elif not isinstance(part, nn.Identity):
            found.append((type(part).__name__,))
    return found


def test_the_networks_are_the_released_codes() -> None:
    leaky, norm, relu = ("leaky", 0.2), ("BatchNorm2d",), ("ReLU",)
    down = [(4, 2, 1, 64), leaky, (4, 2, 1, 64), norm, leaky, (4, 2, 1, 128), norm, leaky, (4, 2, 1, 256), norm, leaky,
            (4, 2, 1, 512), norm, leaky]
    up = [(4, -1, 0, 512), norm, relu, (4, -2, 1, 256), norm, relu, (4, -2, 1, 128), norm, relu, (4, -2, 1, 64), norm,
          relu, (4, -2, 1, 3), ("Tanh",)]
    judge = [(4, 2, 1, 64), leaky, (4, 2, 1, 128), norm, leaky, (4, 2, 1, 256), norm, leaky, (4, 2, 1, 512), norm,
             leaky, (4, 1, 0, 1)]
    with torch.device("meta"):
        assert layers(context_encoder.generator(128, 64, 64, 4000, "conv")) == [
            *down, (4, 1, 0, 4000), norm, leaky, *up]
        whole = layers(context_encoder.generator(128, 128, 64, 4000, "conv"))
        assert whole[-5:] == [(4, -2, 1, 64), norm, relu, (4, -2, 1, 3), ("Tanh",)] and len(whole) == len(down + up) + 6
        assert layers(context_encoder.generator(128, 64, 64, 1, "channel_fc")) == [*down, ("ChannelFC",), norm, relu,
                                                                                    *up[3:]]
        assert layers(context_encoder.discriminator(64, 64)) == judge
        assert layers(context_encoder.discriminator(128, 64))[:5] == [(4, 2, 1, 64), leaky, (4, 2, 1, 64), norm, leaky]
    torch.manual_seed(0)
    first, weight = (network[0].weight for network in (context_encoder.generator(32, 16, 64, 8, "conv"),
                                                       context_encoder.discriminator(32, 64)))
    assert first.std().item() == pytest.approx(0.02, rel=0.1) and weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_squared_error_counts_the_rim_tenfold() -> None:
    own, context, truth, made = step(reconstruction=0.5)
    apart = (made.detach() - truth).double().square()
    inside = apart[..., 2:-2, 2:-2].sum().item()
    wanted = 0.5 * (inside + 10 * (apart.sum().item() - inside)) / (2 * 3 * 16 * 16)
    assert own.generator_loss(context)["reconstruction"].item() == pytest.approx(wanted)
    weight = own.weight(torch.zeros(2, 1, 32, 32))
    assert weight.shape == (2, 1, 16, 16) and int((weight == 10).sum()) == 2 * (16 * 16 - 12 * 12)
    assert (weight[..., 2:-2, 2:-2] == 1).all()


def test_no_term_asks_for_anything_outside_the_centre() -> None:
    own, context, *_ = step()
    before = {**own.generator_loss(context), **own.discriminator_loss(context)}
    context.target["image"] = context.target["image"].clone()
    context.target["image"][..., :8, :] = 0.5
    context.target["image"][..., 24:] = 0.5
    after = {**own.generator_loss(context), **own.discriminator_loss(context)}
    assert {name: term.item() for name, term in before.items()} == {name: term.item() for name, term in after.items()}


@pytest.mark.parametrize("valid", [0.0, 0.25])
def test_the_random_variant_counts_the_hole_and_known_pixels_by_their_weight(valid: float) -> None:
    own, context, truth, made = step(variant="random", reconstruction=1.0, valid_weight=valid)
    apart = (made.detach() - truth).double().square()
    inside = apart[..., 10:22, 10:22].sum().item()
    wanted = (inside + valid * (apart.sum().item() - inside)) / (2 * 3 * 32 * 32)
    assert own.generator_loss(context)["reconstruction"].item() == pytest.approx(wanted)


def test_adversarial_terms() -> None:
    own, context, truth, made = step(adversarial=0.01)
    judge = context.networks["discriminator"]
    terms = own.discriminator_loss(context)
    (real,), (fake,) = judge.seen
    assert torch.equal(real, truth) and torch.equal(fake, made.detach())
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real)), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(fake)), rel=1e-5)
    sum(terms.values()).backward()
    assert made.grad is None and judge.bias.grad is not None
    wanted = own.generator_loss(context)
    assert set(wanted) == {"reconstruction", "adversarial"} and torch.equal(judge.seen[2][0], made.detach())
    assert wanted["adversarial"].item() == pytest.approx(0.01 * softplus(-judge.score(fake)), rel=1e-5)
    gradient, = torch.autograd.grad(wanted["adversarial"], made)
    assert (gradient < 0).all()  # a brighter picture has a higher score: it is wanted
    assert len(context.networks["generator"].seen) == 1  # one pass serves both players


def test_the_hole_is_shown_in_the_fill_colour_on_minus_one_to_one() -> None:
    image, mask = torch.full((1, 3, 2, 2), 0.75), torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    shown = method().shown({"image": image, "mask": mask})
    assert shown[0, :, 0, 1].tolist() == pytest.approx([2 * value / 255 - 1 for value in (117, 104, 123)])
    assert (shown[0, :, 1] == 0.5).all() and (shown[0, :, 0, 0] == 0.5).all()
    own, context, *_ = step()
    own.generator_loss(context)
    assert torch.equal(context.networks["generator"].seen[0][0], own.shown(context.inputs))


def test_the_prediction_is_put_in_the_middle() -> None:
    own, made, image = method(overlap=0), pictures(1, 16, 1) * 2 - 1, pictures(1, 32)
    model, mask = Model({"generator": Fixed(made)}), torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    restored = own.restore(model, {"image": image, "mask": mask}, 1)["image"]
    torch.testing.assert_close(restored[..., 8:24, 8:24], (made + 1) / 2)
    outside = restored.clone()
    outside[..., 8:24, 8:24] = image[..., 8:24, 8:24]
    assert torch.equal(outside, image)
    whole = pictures(1, 32, 1) * 2 - 1
    model = Model({"generator": Fixed(whole)})
    restored = method(variant="random").restore(model, {"image": image, "mask": mask}, 1)["image"]
    torch.testing.assert_close(restored, (whole + 1) / 2)


def test_a_picture_of_another_size_is_resized_and_back() -> None:
    own, model = method(overlap=0), Model({"generator": Fixed(torch.full((1, 3, 16, 16), 0.5))})
    image, mask = torch.full((1, 3, 64, 96), 0.25), torch.zeros(1, 1, 64, 96)
    mask[..., 16:48, 24:72] = 1
    restored = own.restore(model, {"image": image, "mask": mask}, 1)["image"]
    assert model.networks["generator"].seen[0][0].shape == (1, 3, 32, 32)
    assert torch.allclose(restored[..., 16:48, 24:72], torch.tensor(0.75)) and restored[..., :16, :].eq(0.25).all()
    assert restored[..., :24].eq(0.25).all() and restored[..., 72:].eq(0.25).all()
    noise = pictures(1, 64)
    for size in ((32, 24), (80, 96)):  # Pillow widens its cubic kernel too where it makes smaller
        wanted = np.stack([np.asarray(Image.fromarray(each).resize(size[::-1], Image.Resampling.BICUBIC))
                           for each in noise[0].numpy()])
        np.testing.assert_allclose(context_encoder.resized(noise, size)[0].numpy(), wanted, atol=1e-4)
    assert context_encoder.resized(noise, (64, 64)) is noise


def test_with_an_overlap_the_network_sees_a_hole_of_the_size_it_was_trained_for() -> None:
    """48 pixels with 24 missing are continued to 64 (8 by reflection at each side), of which 24 are 12 of 32."""
    own, made = method(), pictures(1, 16, 1) * 2 - 1
    image, mask = torch.rand(1, 3, 48, 48), torch.zeros(1, 1, 48, 48)
    mask[..., 12:36, 12:36] = 1
    model = Model({"generator": Fixed(made)})
    restored = own.restore(model, {"image": image, "mask": mask}, 1)["image"]
    assert own.margin(48) == 8
    flat = {"image": torch.full((1, 3, 48, 48), 0.9), "mask": mask}
    own.restore(model, flat, 1)
    shown = model.networks["generator"].seen[1][0]
    trained = own.shown({"image": torch.full((1, 3, 32, 32), 0.9),
                         "mask": nn.functional.pad(torch.ones(1, 1, 12, 12), (10, 10, 10, 10))})
    assert shown.shape == trained.shape
    for rows in (slice(12, 20), slice(0, 8), slice(24, 32)):  # but for a pixel or two at the hole's border
        torch.testing.assert_close(shown[..., rows, 12:20], trained[..., rows, 12:20], atol=0.02, rtol=0)
        torch.testing.assert_close(shown[..., rows, :8], trained[..., rows, :8], atol=0.02, rtol=0)
    seen = model.networks["generator"].seen[0][0]
    mirrored = nn.functional.pad(2 * image - 1, (8, 8, 8, 8), mode="reflect")
    torch.testing.assert_close(seen[..., :3, :], context_encoder.resized(mirrored, (32, 32))[..., :3, :])
    wide = context_encoder.resized((made + 1) / 2, (32, 32)).clip(0, 1)  # of 64, that is 8-40 of 48
    torch.testing.assert_close(restored[..., 8:40, 8:40], wide)
    assert torch.equal(restored[..., :8, :], image[..., :8, :]) and torch.equal(restored[..., 40:], image[..., 40:])
    assert METHOD({}).margin(256) == 18 and METHOD({"overlap": 0}).margin(256) == 0


@pytest.mark.parametrize("variant", ["centre", "random"])
def test_centred_it_sees_and_predicts_differences_from_the_mean_of_what_is_known(variant: str) -> None:
    own, image, mask = method(overlap=0, centred=True, variant=variant), pictures(2, 32), torch.zeros(2, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    inputs, said = {"image": image * (1 - mask), "mask": mask}, pictures(2, own.side, 1) - 0.5
    known = (image * (1 - mask)).sum((2, 3), keepdim=True) / (32 * 32 - 256)
    network = Fixed(said)
    made = own.restore(Model({"generator": network}), inputs, 1)["image"]
    torch.testing.assert_close(network.seen[0][0], 2 * (image - known) * (1 - mask))
    torch.testing.assert_close(own.region(made), (own.region(torch.zeros_like(image)) + known + said / 2).clip(0, 1))
    networks = {"generator": Fixed(said), "discriminator": Judge()}
    own.generator_loss(context_of(image, mask, networks))
    torch.testing.assert_close(networks["discriminator"].seen[0][0], said + 2 * known - 1)
    assert METHOD({}).settings["centred"] is False


@pytest.mark.parametrize("blend", ["none", "level", "poisson"])
def test_a_predicted_centre_is_blended_by_its_rim_alone(blend: str) -> None:
    """A prediction too dark by 0.1 is mended where the rim of 4 pixels is known, and left where nothing of it is."""
    image, mask = 0.2 + 0.6 * pictures(1, 32), torch.zeros(1, 1, 32, 32)
    dark = Model({"generator": Fixed(2 * (image[..., 8:24, 8:24] - 0.1) - 1)})
    for hole, mended in ((slice(12, 20), blend != "none"), (slice(8, 24), False)):
        mask.zero_()[..., hole, hole] = 1
        made = method(overlap=0, blend=blend).restore(dark, {"image": image * (1 - mask), "mask": mask}, 1)["image"]
        wanted = image if mended else image - 0.1
        torch.testing.assert_close(made[..., hole, hole], wanted[..., hole, hole])
    whole = Model({"generator": Fixed(2 * (image - 0.1) - 1)})
    made = method(variant="random", blend=blend).restore(whole, {"image": image * (1 - mask), "mask": mask}, 1)["image"]
    torch.testing.assert_close(made * mask, (image - (0.1 if blend == "none" else 0)) * mask)


def test_channel_layer_mixes_places_of_one_channel_before_channels() -> None:
    torch.manual_seed(0)
    layer = context_encoder.ChannelFC(3, 2)
    with torch.no_grad():
        layer.mix.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        layer.mix.bias.zero_()  # type: ignore[union-attr]
    x = torch.rand(1, 3, 2, 2)
    for channel in range(3):
        expected = x[0, channel].flatten() @ layer.weight[channel]
        torch.testing.assert_close(layer(x)[0, channel].flatten(), expected)
    with torch.device("meta"):
        assert context_encoder.ChannelFC(512, 4).weight.numel() == 512 * 4**4


def test_shapes_and_cases() -> None:
    centre, anywhere = method(width=4, bottleneck=16), method(variant="random", width=4, bottleneck=16)
    assert centre.build()["generator"](torch.rand(2, 3, 32, 32)).shape == (2, 3, 16, 16)
    assert anywhere.build()["generator"](torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    cases = ("centre", "random_rect", "random_square", "pattern", "strokes", "irregular_3", "text")
    assert [name for name in cases if centre.unsupported(name) is None] == ["centre"]
    assert [name for name in cases if anywhere.unsupported(name) is None] == list(cases[:4])
    for settings, said in (({"patch": 48}, "power of 2"), ({"patch": 16}, "power of 2"), ({"overlap": 6}, "below 6"),
                           ({"variant": "left"}, "centre or random"),
                           ({"bottleneck_kind": "fc"}, "conv or channel_fc")):
        with pytest.raises(UserError, match=said):
            method(**settings)
