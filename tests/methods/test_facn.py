"""facn: each loss term, the capsules and the layers, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.facn import CHOSEN, PLACES, Facn, by_muon
from restore_ml.nn.attribute_capsules import CapsuleHeads, CapsuleNetwork, Capsules, Decoder, Encoder, squash
from restore_ml.nn.muon import Muon
from tests.methods.by_hand import draw, optimiser_of, step_with
from tests.methods.layers import conv, layers_of, parameters

SMALL = {"encoder": [4, 6, 8], "decoder": [8, 8, 4, 4, 4], "hidden": 12, "size": 3, "patch": 64}
LIFT = nn.Parameter(torch.tensor(0.25))


def facn(**settings) -> Facn:
    return registry.method("face_super_resolution", "facn", {**SMALL, **settings})


def known(*rows: float) -> torch.Tensor:
    """Attributes as they are given, 40 a face: those of our eighteen have the row's value, the others 1."""
    made = torch.ones(len(rows), 40)
    for number, value in enumerate(rows):
        made[number, PLACES] = value
    return made


INPUTS = {"lr": draw(3, 3, 8, 8), "scale": torch.tensor([8, 8, 8])}
TARGET = {"hr": draw(3, 3, 64, 64, seed=1), "hr_attributes": known(1, -1, 0)}
MEAN, LOGVAR = 2 * draw(3, 18, 3, seed=2) - 1, 3 * draw(3, 18, 3, seed=3) - 2
SEMANTIC = draw(3, 18, 3, seed=4) - 0.5


class Stub(nn.Module):
    """A face of repeated pixels plus 0.25, and capsules that are known."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.heads, self.calls = CapsuleHeads(5, 18, 3), []

    def forward(self, small, draws=None):
        self.calls.append((small, draws))
        drawn = MEAN if draws is None else MEAN + (LOGVAR / 2).exp() * draws
        face = small.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT
        return face, Capsules(SEMANTIC, MEAN, LOGVAR, torch.cat([SEMANTIC, drawn], 2))


# --- the objective ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pixel", "weights"), [("mse", (1.0, 0.01, 1e-3)), ("l1", (2.0, 0.5, 0.1))])
def test_the_terms_by_hand(pixel, weights):
    run = facn(pixel=pixel, pixel_weight=weights[0], attribute_weight=weights[1], divergence_weight=weights[2])
    net, [player] = Stub(), run.phases()[0].players
    terms = player.loss(step_with(INPUTS, TARGET, {"net": net}))
    small, draws = net.calls[0]
    assert torch.equal(small, 2 * INPUTS["lr"] - 1) and draws.shape == (3, 18, 3) and draws.std() > 0.5
    wrong = np.kron(small.double().numpy(), np.ones((8, 8))) + 0.25 - (2 * TARGET["hr"].double().numpy() - 1)
    error = np.square(wrong).mean() if pixel == "mse" else np.abs(wrong).mean()
    mean, logvar, draws = MEAN.double().numpy(), LOGVAR.double().numpy(), draws.double().numpy()
    whole = np.concatenate([SEMANTIC.double().numpy(), mean + np.exp(logvar / 2) * draws], 2)
    logits = (whole * net.heads.attribute.detach().double().numpy()).sum(2)
    assert (net.heads.bias == 0).all()
    entropy = np.concatenate([np.log1p(np.exp(-logits[0])), np.log1p(np.exp(logits[1]))]).mean()
    divergence = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).mean()
    assert list(terms) == [pixel, "attributes", "divergence"]
    for term, value in zip(terms.values(), np.array([error, entropy, divergence]) * weights, strict=True):
        assert term.item() == pytest.approx(value, rel=1e-5)
    assert terms[pixel].requires_grad and player.networks == ["net"]


def test_what_is_known_of_no_face_supervises_nothing():
    net, step = Stub(), step_with(INPUTS, {**TARGET, "hr_attributes": torch.zeros(3, 40)}, {})
    step.networks = {"net": net}
    term = facn().loss(step)["attributes"]
    assert term.item() == 0
    term.backward()
    assert not net.heads.attribute.grad.any()


def test_each_attribute_has_its_own_capsule():
    """One attribute that is known moves its capsule's weights alone; the place in the list of forty is its own."""
    for number in (0, 7, 17):
        given = torch.zeros(3, 40)
        given[1, PLACES[number]] = 1
        net = Stub()
        facn().loss(step_with(INPUTS, {**TARGET, "hr_attributes": given}, {"net": net}))["attributes"].backward()
        assert np.flatnonzero(net.heads.attribute.grad.abs().sum(1).numpy()).tolist() == [number]


def test_eighteen_of_the_forty():
    from restore_ml.data.domains.faces import ATTRIBUTES

    assert len(CHOSEN) == len(set(CHOSEN)) == 18 and [ATTRIBUTES[place] for place in PLACES] == list(CHOSEN)


# --- capsules ---------------------------------------------------------------------------------------------------------


def test_squashing_keeps_the_direction_and_stays_below_one():
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [300.0, 400.0]])
    expected = [[0.6 * 25 / 26, 0.8 * 25 / 26], [0.6 * 0.25 / 1.25, 0.8 * 0.25 / 1.25], [0, 0]]
    np.testing.assert_allclose(squash(vectors)[:3].numpy(), expected, rtol=1e-5, atol=1e-7)
    assert (squash(vectors).norm(dim=1) < 1).all()


def test_the_divergence_is_zero_for_the_normal_distribution_alone():
    def of(mean: float, logvar: float) -> float:
        one = torch.ones(2, 3, 4)
        return Capsules(one, mean * one, logvar * one, one).divergence().item()

    assert of(0, 0) == 0 and min(of(0.1, 0), of(-0.1, 0), of(0, 0.1), of(0, -0.1)) > 0
    assert of(1, 2) == pytest.approx(0.5 * (1 + np.exp(2) - 1 - 2))


def test_the_heads_by_hand():
    torch.manual_seed(0)
    heads, numbers, draws = CapsuleHeads(5, 18, 3), draw(2, 5), draw(2, 18, 3, seed=8)
    with torch.no_grad():
        heads.logvar.bias[:2] = torch.tensor([100.0, -100.0])
        mean_only, drawn = heads(numbers), heads(numbers, draws)
        semantic = squash(heads.semantic(numbers).view(2, 18, 3))
        mean, logvar = heads.mean(numbers).view(2, 18, 3), heads.logvar(numbers).view(2, 18, 3).clamp(-8, 8)
        assert logvar[0, 0, :2].tolist() == [8, -8]
        assert torch.equal(mean_only.whole, torch.cat([semantic, mean], 2))
        torch.testing.assert_close(drawn.whole, torch.cat([semantic, mean + (logvar / 2).exp() * draws], 2))
        assert torch.equal(drawn.semantic, semantic) and torch.equal(drawn.logvar, logvar)
        expected = (drawn.whole * heads.attribute).sum(2) + heads.bias
        torch.testing.assert_close(heads.logits(drawn.whole), expected)
        assert (drawn.semantic.norm(dim=2) < 1).all()


def test_a_capsule_reaches_the_decoder_in_its_own_block_alone():
    seen = []
    decoder = Decoder(64, 4 * 6, [4, 4, 4, 4, 4], 2)
    decoder.first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    capsules, maps = draw(1, 4, 6), draw(1, 2, 8, 8)
    decoder(capsules, maps), decoder(capsules[:, [0, 3, 2, 1]], maps)
    changed = (seen[0] != seen[1])[0].view(4, 6)
    assert changed[[1, 3]].all() and not changed[[0, 2]].any()
    assert torch.equal(seen[1][0, 6:12], capsules[0, 3])


# --- the networks -----------------------------------------------------------------------------------------------------


def residual(width: int) -> int:
    return 2 * (conv(width, width) + 2 * width)


def test_the_number_of_parameters_at_paper_size():
    with torch.device("meta"):
        net = Facn({}).build()["net"]
    encoder = (conv(3, 64) + 3 * residual(64) + conv(64, 128, 4) + 256 + 2 * residual(128) + conv(128, 256, 4) + 512
               + 2 * residual(256) + 4096 * 1024 + 1024)
    heads = 3 * (1024 * 288 + 288) + 18 * 32 + 18
    decoder = (576 * 4096 + 4096 + 2 * (conv(256, 256) + 512) + residual(256) + residual(320) + conv(320, 128) + 256
               + residual(128) + conv(128, 64) + 128 + residual(64) + conv(64, 32) + 64 + residual(32) + conv(32, 3, 5))
    assert parameters(net) == encoder + heads + decoder == 16_339_061


def test_the_encoder_layer_by_layer():
    def block(width: int) -> list[str]:
        return [f"conv3/1 {width}", "bn", "relu", f"conv3/1 {width}", "bn"]

    encoder = Encoder(8, [4, 6, 8], 12)
    assert layers_of(encoder.first) == ["conv3/1 4", "relu", *block(4) * 3]
    assert layers_of(encoder.down) == ["conv4/2 6", "bn", "leaky 0.2", *block(6) * 2, "conv4/2 8", "bn", "leaky 0.2",
                                       *block(8) * 2, "linear 12", "relu"]
    maps, numbers = encoder.eval()(draw(2, 3, 8, 8))
    assert maps.shape == (2, 4, 8, 8) and numbers.shape == (2, 12) and (numbers >= 0).all()


@pytest.mark.parametrize(("side", "skip"), [(64, 4), (128, 4), (64, 0)])
def test_the_decoder_joins_the_small_face_s_maps_at_their_size(side, skip):
    decoder, sizes = Decoder(side, 24, [8, 6, 5, 4, 3], skip).eval(), []
    for block in decoder.blocks:
        block.register_forward_hook(lambda module, given, made: sizes.append(tuple(made.shape[1:])))
    face = decoder(draw(1, 4, 6), draw(1, 4, side // 8, side // 8))
    assert face.shape == (1, 3, side, side)
    assert sizes == [(width, side // 2**number, side // 2**number) for number, width in zip(
        (4, 3, 2, 1, 0), (8, 6 + skip, 5, 4, 3), strict=True)]
    assert layers_of(decoder.ups[0]) == ["nearest 2", "conv3/1 8", "bn", "relu"]
    assert layers_of(decoder.tail) == ["conv5/1 3"]
    if skip:
        maps = draw(1, 4, side // 8, side // 8, seed=9)
        assert not torch.equal(decoder(draw(1, 4, 6), maps), face)
        got = []
        decoder.blocks[1].register_forward_pre_hook(lambda module, given: got.append(given[0][:, 6:]))
        decoder(draw(1, 4, 6), maps)
        assert torch.equal(got[0], maps)


def test_the_decoder_s_first_maps_are_not_negative():
    decoder, seen = Decoder(64, 24, [8, 6, 5, 4, 3], 0).eval(), []
    decoder.ups[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    decoder(draw(1, 4, 6) - 0.5, draw(1, 4, 8, 8))
    assert seen[0].shape == (1, 8, 2, 2) and (seen[0] >= 0).all() and (seen[0] == 0).any()


def test_what_the_decoder_learns_reaches_the_capsules():
    decoder, capsules = Decoder(64, 24, [8, 6, 5, 4, 3], 0), (draw(2, 4, 6) - 0.5).requires_grad_()
    decoder(capsules, draw(2, 4, 8, 8)).square().sum().backward()
    assert capsules.grad is not None and (capsules.grad != 0).any()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_it_adds_to_the_bicubic_picture_and_may_begin_as_it():
    torch.manual_seed(0)
    run = facn(start="interpolation")
    net, inputs = run.build()["net"].eval(), {"lr": INPUTS["lr"]}
    with torch.no_grad():
        sr = run.restore(Model({"net": net}), inputs, 1)["sr"]
        expected = (imresize(2 * INPUTS["lr"] - 1, 8.0) + 1) / 2
        torch.testing.assert_close(sr, expected.clip(0, 1), atol=1e-6, rtol=0)
        assert (expected > 1).any() or (expected < 0).any()
        net.decoder.tail.bias.fill_(0.5)
        torch.testing.assert_close(run.restore(Model({"net": net}), inputs, 1)["sr"], (expected + 0.25).clip(0, 1),
                                   atol=1e-6, rtol=0)
        net.global_residual = False
        torch.testing.assert_close(run.restore(Model({"net": net}), inputs, 1)["sr"], torch.full((3, 3, 64, 64), 0.75))
    assert facn().build()["net"].decoder.tail.weight.any()
    assert not facn(global_residual=False).build()["net"].global_residual and not facn(
        lr_skip=False).build()["net"].decoder.skip
    with pytest.raises(UserError, match="without global_residual there is no bicubic picture"):
        facn(start="interpolation", global_residual=False)


def test_only_the_probabilistic_parts_are_drawn_and_in_training_alone():
    torch.manual_seed(0)
    net = CapsuleNetwork(64, [4, 6, 8], [8, 8, 4, 4, 4], 12, 18, 3).eval()
    with torch.no_grad():
        first, second = (net(INPUTS["lr"], draw(3, 18, 3, seed=seed))[1].whole for seed in (5, 6))
        assert torch.equal(first[:, :, :3], second[:, :, :3]) and (first[:, :, 3:] != second[:, :, 3:]).all()
        run, given = facn(), {"lr": INPUTS["lr"]}
        faces = [run.restore(Model({"net": net}), given, seed)["sr"] for seed in (1, 2)]
    assert torch.equal(*faces)


def test_other_sizes_and_stages_are_refused_in_words():
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        facn().restore(Model({}), {"lr": draw(1, 3, 10, 9)}, 1)
    with pytest.raises(UserError, match="it must name the channels of 3 stages"):
        facn(encoder=[4, 4])
    with pytest.raises(UserError, match="it must name the channels of 5 stages"):
        facn(decoder=[4, 4, 4, 4])


# --- training ---------------------------------------------------------------------------------------------------------


def test_rate_and_optimisers():
    run = Facn({})
    epoch = run.settings["epoch_steps"]
    assert [run.rate(step, 10**6) for step in (0, 10 * epoch - 1, 10 * epoch, 20 * epoch)] == [1, 1, 0.5, 0.25]
    assert facn(schedule="cosine").rate(5, 10) == pytest.approx(0.5)
    networks = facn().build()
    adam = optimiser_of(facn(lr=3e-3).phases()[0].players[0], networks)
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 3e-3
    assert adam.defaults["betas"] == (0.9, 0.99)
    muon = optimiser_of(facn(optimiser="muon", lr=3e-3, muon_lr=0.02).phases()[0].players[0], networks)
    assert isinstance(muon, Muon) and [group["lr"] for group in muon.param_groups] == [0.02, 3e-3]
    names = [name for name, parameter in networks["net"].named_parameters() if by_muon(f"net.{name}", parameter)]
    assert "encoder.down.0.weight" in names and "decoder.blocks.4.body.0.weight" in names
    others = {"encoder.first.0.weight", "decoder.tail.weight", "encoder.down.1.weight", "heads.mean.weight"}
    assert not others & set(names)
    assert len(muon.param_groups[0]["params"]) == len(names)
    paper = Facn.paper
    assert (paper["lr"], paper["batch"], paper["pixel_weight"]) == (2e-4, 64, 1.0)
    assert (paper["attribute_weight"], paper["divergence_weight"]) == (0.01, 1e-3)
    assert Facn({}).phases()[0].steps == 50 * epoch


def test_a_short_training_lowers_the_error_and_a_face_s_capsules_outlast_noise():
    """The capsules of a noisy and a clean face are nearer to each other than those of two faces."""
    torch.manual_seed(0)
    run = facn(lr=5e-3, schedule="cosine", global_residual=False)
    clean = torch.rand(3, 3, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = {**TARGET, "hr": clean.repeat_interleave(8, 2).repeat_interleave(8, 3)}
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for step in range(30):
        noisy = (clean + 0.04 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(step))).clip(0, 1)
        terms = player.loss(step_with({"lr": noisy}, wanted, networks))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        values.append(sum(terms.values()).item())
    assert values[-1] < 0.7 * values[0]
    net = networks["net"].eval()
    with torch.no_grad():
        whole = [net(2 * faces - 1)[1].whole.flatten(1) for faces in (clean, noisy)]
    likeness = nn.functional.cosine_similarity(whole[0][:, None], whole[1][None], dim=2)
    assert (likeness.diagonal() > (likeness - torch.eye(3)).max(1).values).all()
