"""Coherent semantic attention against the released code's layers, and every term worked out from fixed tensors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting.csa_inpaint import METHOD, CSAInpaint, Refined, Refinement, fitted
from restore_ml.metrics.fidelity import ssim as metric_ssim
from restore_ml.nn.coherent_attention import coherent
from restore_ml.nn.features import FeatureNet
from tests.methods.by_hand import optimiser_of
from tests.methods.holes import Fixed, Judge, Maps, batch, context_of, pictures, softplus

SMALL = {"levels": 3, "rough_levels": 3, "csa_level": 2, "width": 4, "disc_width": 4, "feature_channels": 3,
         "feature_disc_width": 4, "patch": 16}
SOURCE = "@imagenet-89abcdef"


class Refines(nn.Module):
    """A refinement network of fixed answers that remembers what it is shown."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.picture = nn.Parameter(2 * pictures(2, side, 2) - 1)
        self.encoded, self.decoded = (nn.Parameter(pictures(2, side // 4, seed)) for seed in (3, 4))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, shown: Tensor, hole: Tensor) -> Refined:
        self.seen.append((shown, hole))
        return Refined(self.picture, self.encoded, self.decoded)


def step(features: Any = None, side: int = 16, **settings: Any) -> tuple[CSAInpaint, Context, Tensor, Tensor]:
    """Method, context, truth in [-1, 1] and mask (8 x 4 pixels); both networks give fixed pictures."""
    truth, mask = pictures(2, side), torch.zeros(2, 1, side, side)
    mask[:, :, 4:12, 8:12] = 1
    networks = {"rough": Fixed(2 * pictures(2, side, 1) - 1), "refinement": Refines(side), "discriminator": Judge(),
                "feature_discriminator": Judge()}
    return METHOD(SMALL | settings), context_of(truth, mask, networks, features), 2 * truth - 1, mask


def relativistic(judge: Judge, real: Tensor, fake: Tensor) -> tuple[float, float]:
    """The two halves of what a discriminator minimises."""
    of_real, of_fake = (judge.score(each).detach().double().numpy() for each in (real, fake))
    return (0.5 * float(((of_real - of_fake.mean() - 1) ** 2).mean()),
            0.5 * float(((of_fake - of_real.mean() + 1) ** 2).mean()))


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in (
        "reconstruction", "consistency", "adversarial", "ssim", "perceptual", "gan", "rec", "feature_tap",
        "consistency_tap", "csa_level", "use_csa", "identity_grad", "end_to_end", "lr", "betas", "batch", "patch",
        "masks", "overlap", "fill", "own_mean", "blend", "steps")} == {
        "reconstruction": 1.0, "consistency": 0.01, "adversarial": 0.002, "ssim": 0.0, "perceptual": 0.0,
        "gan": "ra_lsgan", "rec": "l1", "feature_tap": "relu3_3", "consistency_tap": "relu4_3", "csa_level": 3,
        "use_csa": True, "identity_grad": False, "end_to_end": True, "lr": 2e-4, "betas": [0.5, 0.999], "batch": 1,
        "patch": 256, "masks": ["centre"], "overlap": 4, "fill": [123, 104, 117], "own_mean": False, "blend": "none",
        "steps": {"reconstruction": 0, "joint": 120 * 504}}
    with torch.device("meta"):
        counts = {name: sum(p.numel() for p in network.parameters()) for name, network in paper.build().items()}
    assert counts == {"rough": 54_419_459, "refinement": 77_692_291, "discriminator": 2_766_529,
                      "feature_discriminator": 10_487_296}
    assert paper.stored_networks == ("rough", "refinement") and paper.multiple == 256


def test_players_and_rates() -> None:
    own = METHOD(SMALL | {"lr": 0.02, "betas": [0.4, 0.9], "steps": {"reconstruction": 20, "joint": 60}})
    networks, stages, [first, joint] = own.build(), ["rough", "refinement"], own.phases()
    assert [(phase.name, phase.steps) for phase in (first, joint)] == [("reconstruction", 20), ("joint", 60)]
    assert [(player.name, list(player.networks), player.loss) for player in (*first.players, *joint.players)] == [
        ("stages", stages, own.reconstruction_loss),
        ("discriminators", ["discriminator", "feature_discriminator"], own.discriminator_loss),
        ("stages", stages, own.joint_loss)]
    for player in (*first.players, *joint.players):
        made = optimiser_of(player, networks)
        assert isinstance(made, torch.optim.Adam)
        assert (made.defaults["lr"], made.defaults["betas"]) == (0.02, (0.4, 0.9))
    assert [player.schedule(place, 60) for player in joint.players for place in (0, 10, 35)] == pytest.approx(
        [1, 1, 0.5] * 2)
    assert first.players[0].schedule(19, 20) == 1
    for phase in METHOD(own.settings | {"schedule": "cosine"}).phases():  # each has a fall of its own
        for player in phase.players:
            assert [player.schedule(place, 60) for place in (0, 30, 60)] == pytest.approx([1, 0.5, 0])
    assert [phase.name for phase in METHOD({}).phases()] == ["joint"]


def test_settings_make_the_networks() -> None:
    networks = METHOD(SMALL | {"rough_levels": 4, "patch": 32, "use_csa": False, "identity_grad": True}).build()
    assert networks["rough"].levels == 4 and networks["refinement"].csa_level == 2
    assert not networks["refinement"].attend and networks["refinement"].identity_grad
    assert METHOD(SMALL).build()["refinement"].attend
    assert networks["feature_discriminator"][0].in_channels == 3
    assert METHOD(SMALL | {"rough_levels": 4}).multiple == METHOD(SMALL | {"levels": 4}).multiple == 16
    for settings, said in (({"patch": 20}, "patch of csa_inpaint is 20; it must be a multiple of 8"),
                           ({"csa_level": 3}, "csa_level of csa_inpaint is 3; with 3 levels it must be below 3"),
                           ({"gan": "wgan"}, "ra_lsgan, bce, lsgan or hinge"), ({"rec": "l0"}, "l1, l2 or smooth_l1")):
        with pytest.raises(UserError, match=said):
            METHOD(SMALL | settings)


# --- the refinement network


def test_the_refinement_network_is_the_released_table() -> None:
    """At the paper's size: kernel, stride, dilation and channels of every convolution, and its map's side."""
    with torch.device("meta"):
        network = Refinement(64, 8, attend=False)
    sides: dict[nn.Module, int] = {}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda own, given, made: sides.__setitem__(own, made.shape[-1]))
    with torch.device("meta"):
        made = network(torch.empty(1, 6, 256, 256), torch.empty(1, 1, 32, 32))
    found = [(layer.kernel_size[0], layer.stride[0], layer.dilation[0], layer.in_channels, layer.out_channels, side)
             for layer, side in sides.items()]
    channels = [64, 128, 256, 512, 512, 512, 512, 512]
    wanted = [(3, 1, 1, 6, 64, 256)]
    for level, (outer, inner) in enumerate(pairwise(channels), 1):
        wanted += [(4, 2, 2, outer, outer, 256 >> level), (3, 1, 1, outer, inner, 256 >> level)]
    wanted += [(4, 2, 2, 512, 512, 1), (4, 2, 1, 512, 512, 2)]
    for level, (outer, inner) in reversed(list(enumerate(pairwise(channels), 1))):
        wanted += [(3, 1, 1, 2 * inner, outer, 256 >> level), (4, 2, 1, outer, outer, 512 >> level)]
    assert found == [*wanted, (3, 1, 1, 128, 3, 256)]
    assert made.picture.shape == (1, 3, 256, 256)
    assert made.encoded.shape == made.decoded.shape == (1, 512, 32, 32)  # an eighth of the sides


@pytest.mark.parametrize("attend", [True, False])
def test_one_pass_of_the_refinement_network_layer_by_layer(attend: bool) -> None:
    """Three levels with the attention at the second, between its convolution and its normalisation."""
    torch.manual_seed(0)
    network = Refinement(3, 3, 2, attend)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.3 if parameter.ndim == 1 else 0, 0.3)
    layers = {name: [layer for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
              for name, part in network.named_children()}
    norms = {name: [layer for layer in part.modules() if isinstance(layer, nn.InstanceNorm2d)]
             for name, part in network.named_children()}
    shown, hole = torch.randn(2, 6, 16, 16), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    hole[0, :, 1:3, 1:3] = True

    def conv(name: str, number: int, x: Tensor, stride: int = 1, padding: int = 1, dilation: int = 1) -> Tensor:
        own = layers[name][number]
        return F.conv2d(x, own.weight, own.bias, stride, padding, dilation)

    def back(name: str, number: int, x: Tensor, stride: int = 1) -> Tensor:
        own = layers[name][number]
        return F.conv_transpose2d(x, own.weight, own.bias, stride, 1)

    def norm(name: str, number: int, x: Tensor) -> Tensor:
        own, apart = norms[name][number], x - x.mean((2, 3), keepdim=True)
        scaled = apart / (apart.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        return scaled * own.weight.view(1, -1, 1, 1) + own.bias.view(1, -1, 1, 1)

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    outer = conv("first", 0, shown)
    x = conv("down", 1, leaky(norm("down", 0, conv("down", 0, leaky(outer), 2, 3, 2))))
    middle = norm("norms", 0, x)
    encoded = conv("down", 3, leaky(norm("down", 1, conv("down", 2, leaky(middle), 2, 3, 2))))
    encoded = coherent(encoded, hole) if attend else encoded
    inner = norm("norms", 1, encoded)
    decoded = norm("bottom", 0, back("bottom", 1, conv("bottom", 0, leaky(inner), 2, 3, 2).relu(), 2))
    x = norm("up", 0, back("up", 0, torch.cat([decoded, inner], 1).relu()))
    x = norm("up", 1, back("up", 1, x.relu(), 2))
    x = norm("up", 2, back("up", 2, torch.cat([x, middle], 1).relu()))
    x = norm("up", 3, back("up", 3, x.relu(), 2))
    made = network(shown, hole)
    for found, wanted in zip(made, (back("last", 0, torch.cat([x, outer], 1).relu()), encoded, decoded), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_the_first_weights_are_small() -> None:
    torch.manual_seed(0)
    network = Refinement(32, 3, 2)
    assert network.first.weight.std().item() == pytest.approx(0.02, rel=0.1) and not network.first.bias.any()
    assert network.norms[1].weight.mean().item() == pytest.approx(1, abs=0.02)


def test_what_the_attention_replaced_gets_its_gradient_by_choice() -> None:
    hole = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hole[..., 1:3, 1:3] = True
    gaps = []
    for identity in (False, True):
        torch.manual_seed(0)
        network = Refinement(3, 3, 2, True, identity)
        before: list[Tensor] = []
        network.down[1].register_forward_hook(lambda own, given, made, kept=before: kept.append(made))  # type: ignore[misc]
        gradient, = torch.autograd.grad(network(torch.randn(1, 6, 16, 16), hole).picture.square().sum(), before)
        gaps.append((gradient * hole).abs().sum().item())
    assert gaps[0] == 0 < gaps[1]


# --- the two stages


@pytest.mark.parametrize("end_to_end", [True, False])
def test_the_rough_picture_is_pasted_into_what_is_known(end_to_end: bool) -> None:
    own, context, truth, mask = step(end_to_end=end_to_end, fill=[255, 0, 51])
    made = own.stages(context.networks, context.inputs)
    rough, refinement = context.networks["rough"], context.networks["refinement"]
    ((seen,),), ((stacked, hole),) = rough.seen, refinement.seen
    colour = torch.tensor([1, -1, -0.6]).view(1, 3, 1, 1)
    torch.testing.assert_close(seen, torch.where(mask > 0, colour, truth))
    torch.testing.assert_close(stacked, torch.cat([torch.where(mask > 0, rough.output, truth), seen], 1))
    assert hole is made.hole and hole[0, 0].tolist() == [
        [False] * 4, [False, False, True, False], [False, False, True, False], [False] * 4]
    assert made.rough is rough.output and made.refined.picture is refinement.picture
    assert stacked.requires_grad == end_to_end
    if end_to_end:
        gradient, = torch.autograd.grad(stacked.sum(), rough.output)
        assert torch.equal(gradient, mask.expand_as(gradient))
    METHOD(own.settings | {"own_mean": True}).stages(context.networks, context.inputs)
    known = (truth * (1 - mask)).sum((2, 3)) / (1 - mask).sum((2, 3))
    torch.testing.assert_close(rough.seen[1][0][..., 5, 9], known)


def test_restore_gives_the_refined_picture_blended_by_choice() -> None:
    image, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    refinement = Refines(16)
    model = Model({"rough": Fixed(2 * pictures(2, 16, 1) - 1), "refinement": refinement})
    plain = METHOD(SMALL).restore(model, {"image": image, "mask": mask}, 1)["image"]
    torch.testing.assert_close(plain, (refinement.picture + 1) / 2)
    with torch.no_grad():
        refinement.picture.copy_(1 - 2 * image)  # the negative: `level` turns no contrast round
    levelled = METHOD(SMALL | {"blend": "level"}).restore(model, {"image": image, "mask": mask}, 1)["image"]
    known = (image * (1 - mask)).sum((2, 3)) / (1 - mask).sum((2, 3))
    torch.testing.assert_close(levelled[..., 5, 5], known)


# --- the terms


def test_distances_of_both_pictures() -> None:
    own, context, truth, _ = step(reconstruction=3.0)
    terms = own.reconstruction_loss(context)
    assert set(terms) == {"rough", "refined"} and set(own.joint_loss(context)) == {"rough", "refined", "adversarial"}
    assert own.joint_loss(context)["refined"].item() == terms["refined"].item()
    networks = context.networks
    for name, made in (("rough", networks["rough"].output), ("refined", networks["refinement"].picture)):
        assert terms[name].item() == pytest.approx(3 * (made.detach() - truth).double().abs().mean().item(), rel=1e-5)
        gradient, = torch.autograd.grad(terms[name], made, retain_graph=True)
        torch.testing.assert_close(gradient, 3 * (made.detach() - truth).sign() / made.numel())
    assert len(networks["rough"].seen) == 1


@pytest.mark.parametrize(("rec", "value"), [("l2", lambda d: d ** 2),
                                            ("smooth_l1", lambda d: np.where(abs(d) < 1, d ** 2 / 2, abs(d) - 0.5))])
def test_other_distances(rec: str, value: Any) -> None:
    own, context, truth, _ = step(rec=rec)
    terms, networks = own.reconstruction_loss(context), context.networks
    for name, made in (("rough", networks["rough"].output), ("refined", networks["refinement"].picture)):
        assert terms[name].item() == pytest.approx(value((made.detach() - truth).double().numpy()).mean(), rel=1e-5)


def test_the_discriminators_tell_true_from_refined() -> None:
    own, context, truth, _ = step(Maps(), adversarial=0.5)
    terms = own.discriminator_loss(context)
    judge, feature_judge = context.networks["discriminator"], context.networks["feature_discriminator"]
    picture = context.networks["refinement"].picture
    (real,), (fake,) = judge.seen
    torch.testing.assert_close(real, truth)
    assert torch.equal(fake, picture)  # all of it, known pixels included
    assert set(terms) == {"real", "fake", f"feature_real{SOURCE}", f"feature_fake{SOURCE}"}
    found = [term.item() for term in terms.values()]
    assert found[:2] == pytest.approx(relativistic(judge, real, fake), rel=1e-5)
    (real,), (fake,) = feature_judge.seen  # the first tap of the stand-in is the picture itself
    torch.testing.assert_close(real, (truth + 1) / 2)
    torch.testing.assert_close(fake, (picture + 1) / 2)
    assert found[2:] == pytest.approx(relativistic(feature_judge, real, fake), rel=1e-5)
    own = METHOD(SMALL | {"gan": "bce"})
    apart = own.discriminator_loss(context)
    assert apart["real"].item() == pytest.approx(softplus(-judge.score(truth)), rel=1e-5)
    assert apart[f"feature_fake{SOURCE}"].item() == pytest.approx(softplus(feature_judge.score(fake)), rel=1e-5)
    sum(terms.values()).backward()
    assert picture.grad is None and judge.bias.grad is not None


def test_the_stages_are_to_be_taken_for_true() -> None:
    own, context, truth, _ = step(Maps(), adversarial=0.5)
    terms = own.joint_loss(context)
    networks = context.networks
    judge, picture = networks["discriminator"], networks["refinement"].picture
    wanted = sum(relativistic(judge, picture, truth))  # the roles change
    assert terms["adversarial"].item() == pytest.approx(0.5 * wanted, rel=1e-5)
    judge, seen = networks["feature_discriminator"], (picture + 1) / 2
    wanted = sum(relativistic(judge, seen, (truth + 1) / 2))
    assert terms[f"feature_adversarial{SOURCE}"].item() == pytest.approx(0.5 * wanted, rel=1e-5)
    for name in ("adversarial", f"feature_adversarial{SOURCE}"):
        gradient, = torch.autograd.grad(terms[name], picture, retain_graph=True)
        assert (gradient < 0).all()  # a brighter picture scores higher: it is wanted, through the features too


@pytest.mark.parametrize(("gan", "value"), [("bce", lambda score: np.log1p(np.exp(-score))),
                                            ("lsgan", lambda score: (score - 1) ** 2), ("hinge", lambda score: -score)])
def test_other_adversarial_terms(gan: str, value: Any) -> None:
    own, context, _, _ = step(gan=gan, adversarial=2.0)
    score = context.networks["discriminator"].score(context.networks["refinement"].picture).detach().double().numpy()
    assert own.joint_loss(context)["adversarial"].item() == pytest.approx(2 * value(score).mean(), rel=1e-5)


def test_consistency_at_the_missing_features_of_encoder_and_decoder() -> None:
    own, context, truth, _ = step(Maps(), consistency=0.7)
    terms = own.joint_loss(context)
    refinement, name = context.networks["refinement"], f"consistency{SOURCE}"
    features = (truth + 1).view(2, 3, 4, 4, 4, 4).mean((3, 5))  # the second tap is twice the picture; means of 4 x 4
    missing = torch.zeros(1, 1, 4, 4)
    missing[..., 1:3, 2] = 1
    wanted = sum((((each.detach() - features) * missing) ** 2).mean().item()
                 for each in (refinement.encoded, refinement.decoded))
    assert terms[name].item() == pytest.approx(0.7 * wanted, rel=1e-5)
    for each in (refinement.encoded, refinement.decoded):
        gradient, = torch.autograd.grad(terms[name], each, retain_graph=True)
        torch.testing.assert_close(gradient, 0.7 * 2 * (each.detach() - features) * missing / each.numel())
    for settings in ({"use_csa": False}, {"consistency": 0.0}):
        assert name not in METHOD(SMALL | settings).joint_loss(context)


def test_the_studys_further_terms() -> None:
    own, context, truth, _ = step(Maps(), ssim=0.3, perceptual=4.0)
    terms = own.joint_loss(context)
    picture = (context.networks["refinement"].picture.detach() + 1) / 2
    likeness = [metric_ssim(*((255 * each).permute(1, 2, 0).double().numpy() for each in pair), peak=255.0)
                for pair in zip(picture, (truth + 1) / 2, strict=True)]
    assert terms["ssim"].item() == pytest.approx(0.3 * (1 - np.mean(likeness)), rel=1e-3)
    gradient, = torch.autograd.grad(terms["ssim"], context.networks["refinement"].picture, retain_graph=True)
    with torch.no_grad():  # a step against the gradient makes the pictures more alike
        nearer = ((context.networks["refinement"].picture - 10 * gradient + 1) / 2).double().numpy()
    after = [metric_ssim(255 * each.transpose(1, 2, 0), (255 * other).permute(1, 2, 0).double().numpy(), peak=255.0)
             for each, other in zip(nearer, (truth + 1) / 2, strict=True)]
    assert np.mean(after) > np.mean(likeness)
    assert terms[f"perceptual{SOURCE}"].item() == pytest.approx(
        4 * ((picture - (truth + 1) / 2) ** 2).mean().item(), rel=1e-5)
    gradient, = torch.autograd.grad(terms[f"perceptual{SOURCE}"], context.networks["refinement"].picture)
    torch.testing.assert_close(gradient, 4 * (picture - (truth + 1) / 2) / picture.numel())
    assert set(METHOD(SMALL).joint_loss(context)) == set(terms) - {"ssim", f"perceptual{SOURCE}"}


def test_features_are_taken_once_a_step_and_in_imagenets_units() -> None:
    features = Maps()
    own, context, *_ = step(features)
    for loss in (own.discriminator_loss, own.joint_loss):
        loss(context)
    assert sorted(features.seen) == [(("relu3_3",), True), (("relu3_3", "relu4_3"), True)]
    assert len(context.networks["refinement"].seen) == 1


def test_features_are_fitted_to_what_is_compared() -> None:
    maps = torch.arange(2 * 4 * 2 * 2.0).view(2, 4, 2, 2)
    assert fitted(maps, torch.Size([4, 2, 2])) is maps
    torch.testing.assert_close(fitted(maps, torch.Size([2, 2, 2])), maps.view(2, 2, 2, 2, 2).mean(2))
    torch.testing.assert_close(fitted(maps, torch.Size([8, 2, 2])), maps.repeat_interleave(2, 1))
    torch.testing.assert_close(fitted(maps, torch.Size([4, 1, 1])), maps.mean((2, 3), keepdim=True))
    seen = Judge()
    own, context, *_ = step(Maps(), feature_channels=1)
    context.networks["feature_discriminator"] = seen
    own.discriminator_loss(context)
    assert [each.shape for (each,) in seen.seen] == [(2, 1, 16, 16)] * 2


def test_every_network_learns_from_every_term_of_its_own() -> None:
    """With real networks: the consistency and the feature discriminator's term reach both stages."""
    torch.manual_seed(0)
    own = METHOD(SMALL | {"patch": 32})
    networks, (inputs, target) = own.build(), batch(2, 32)
    context = context_of(target["image"], inputs["mask"], networks, FeatureNet(2))
    terms = own.joint_loss(context)
    assert {name.partition("@")[0] for name in terms} == {"rough", "refined", "adversarial", "feature_adversarial",
                                                          "consistency"}
    for name, term in terms.items():
        own_networks = ["rough"] if name == "rough" else ["rough", "refinement"]
        for network in own_networks:
            weight = networks["rough"].down[0][1].weight if network == "rough" else networks["refinement"].first.weight
            gradient, = torch.autograd.grad(term, weight, retain_graph=True)
            assert gradient.abs().max() > 0, (name, network)


def test_a_few_steps_on_a_batch_lower_its_objective() -> None:
    torch.manual_seed(0)
    own = METHOD(SMALL | {"patch": 32, "lr": 3e-3})
    networks, (inputs, target) = own.build(), batch(4, 32)
    player = own.phases()[0].players[1]
    optimiser, values = optimiser_of(player, networks), []
    for number in range(15):
        context = context_of(target["image"], inputs["mask"], networks, step=number)
        terms = player.loss(context)
        optimiser.zero_grad()
        sum(terms.values()).backward(inputs=[p for name in player.networks for p in networks[name].parameters()])
        optimiser.step()
        values.append(terms["refined"].item())
    assert values[-1] < 0.7 * values[0]
