"""collagan: the layers of its networks, what it hides and how it restores."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.contrast_synthesis.collagan import (
    CollaGan,
    ConditionalAttention,
    Discriminator,
    Generator,
)
from restore_ml.restoring import harness
from tests.methods.by_hand import Calls, draw, optimiser_of

SMALL: dict[str, Any] = {"width": 8, "disc_width": 2, "patch": 32, "lr": 0.01}


def count(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize(("width", "parameters"), [(64, 34_123_520), (16, 2_137_664)])
def test_the_generator_of_the_card_has_its_parameters(width, parameters):
    with torch.device("meta"):
        assert count(Generator(4, width)) == parameters


def test_the_paper_s_networks_are_built_by_its_settings():
    with torch.device("meta"):
        networks = CollaGan({}).build()
    assert count(networks["generator"]) == 34_123_520
    # three paths of widths 4, 8, 16; 32 and 64 where they have met; heads of 3 x 3 and, of 240 / 16, of 15 x 15
    fine = (9 + 1) * 4 + 2 * (9 * 4 + 1) * 4 + (16 * 4 + 1) * 16
    middle, coarse = (9 + 1) * 4 + (9 * 4 + 1) * 8 + (9 * 8 + 1) * 16, (16 + 1) * 16 + 3 * (9 * 16 + 1) * 16
    joined = (16 * 48 + 1) * 32 + (16 * 32 + 1) * 64
    assert count(networks["discriminator"]) == fine + middle + coarse + joined + (9 * 64 + 1) + (225 * 64 + 1) * 4


def test_first_weights_are_those_of_the_authors():
    """Uniform, of variance 2 / (fan in + fan out); biases 0 and gains 1."""
    torch.manual_seed(0)
    for network in CollaGan(SMALL).build().values():
        for one in network.modules():
            if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                shape = one.weight.shape
                bound = (6 / ((shape[0] + shape[1]) * shape[2:].numel())) ** 0.5
                assert 0.4 * bound < one.weight.abs().max() <= bound
                if one.weight.numel() > 400:
                    assert one.weight.std().item() == pytest.approx(bound / 3 ** 0.5, rel=0.1)
                    assert abs(one.weight.mean().item()) < 0.1 * bound
            if isinstance(one, nn.InstanceNorm2d):
                assert (one.weight == 1).all()
            if getattr(one, "bias", None) is not None:
                assert not one.bias.any()


def test_the_wanted_contrast_is_not_seen():
    torch.manual_seed(0)
    network, x = Generator(4, 8), draw(2, 4, 32, 32)
    wanted = torch.eye(4)[[1, 3]]
    made, other = network(x, wanted), x.clone()
    other[0, 1], other[1, 3] = 7.0, 0.0
    assert torch.equal(network(other, wanted), made)
    other[0, 0] += 0.1
    changed = network(other, wanted)
    assert not torch.equal(changed[0], made[0]) and torch.equal(changed[1], made[1])
    assert not torch.allclose(network(x, torch.eye(4)[[2, 3]])[0], made[0])  # which one is wanted matters
    assert made.shape == (2, 1, 32, 32) and made.min() == 0 and made.max() > 0


def test_each_branch_sees_its_contrast_and_the_planes():
    network, seen = Generator(3, 6), []
    for branch in network.branches:
        branch.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x, wanted = draw(2, 3, 32, 32), torch.eye(3)[[2, 0]]
    network(x, wanted)
    for number, value in enumerate(seen):
        hidden = x[:, number] * (1 - wanted[:, number])[:, None, None]
        assert torch.equal(value[:, 0], hidden)
        assert torch.equal(value[:, 1:], wanted[:, :, None, None].expand(-1, -1, 32, 32))
    assert len(seen) == 3


def test_branches_halve_and_double_and_the_decoder_joins_them():
    network, shapes = Generator(2, 8), {}

    def note(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda one, inputs, output: shapes.update({name: (
            *inputs[0].shape[1:], *output.shape[1:])}))

    for level in range(4):
        note(f"level {level}", network.branches[0].levels[level])
        note(f"down {level}", network.branches[0].down[level])
        note(f"up {level}", network.up[level])
        note(f"join {level}", network.levels[level])
    note("bottleneck", network.bottleneck)
    network(draw(1, 2, 32, 32), torch.eye(2)[:1])
    assert [shapes[f"level {level}"] for level in range(4)] == [
        (3, 32, 32, 4, 32, 32), (8, 16, 16, 8, 16, 16), (16, 8, 8, 16, 8, 8), (32, 4, 4, 32, 4, 4)]
    assert shapes["down 3"] == (32, 4, 4, 64, 2, 2) and shapes["bottleneck"] == (128, 2, 2, 128, 2, 2)
    assert [shapes[f"up {level}"][3] for level in range(4)] == [64, 32, 16, 8]
    assert [shapes[f"join {level}"] for level in range(4)] == [
        (128, 4, 4, 64, 4, 4), (64, 8, 8, 32, 8, 8), (32, 16, 16, 16, 16, 16), (16, 32, 32, 8, 32, 32)]
    layers = [type(layer) for layer in network.bottleneck]
    assert layers == 2 * [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU]
    norms = [one for one in network.modules() if isinstance(one, nn.InstanceNorm2d)]
    assert all(norm.affine for norm in norms)
    slopes = {one.negative_slope for one in network.modules() if isinstance(one, nn.LeakyReLU)}
    assert slopes == {0.2} and all(down.bias is None for down in network.branches[0].down)


def test_attention_is_behind_the_bottleneck_and_three_levels():
    network, seen = Generator(2, 8), []
    assert [gate.gate[-2].out_features for gate in network.attend] == [128, 64, 32, 16]
    for gate in network.attend:
        gate.register_forward_hook(lambda module, inputs, output: torch.full_like(output, 3.0))
    for up in network.up:
        up.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(draw(1, 2, 32, 32), torch.eye(2)[:1])
    assert len(seen) == 4 and all((one == 3).all() for one in seen)


def test_fewer_levels():
    """Of 3 levels and width 8 in 4 branches: 2, 4 and 8 channels each, 64 at the bottleneck; the last has no gate."""
    method = CollaGan({**SMALL, "levels": 3})
    network, shapes = method.build()["generator"], []
    network.bottleneck.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    assert network(draw(1, 4, 24, 40), torch.eye(4)[:1]).shape == (1, 1, 24, 40) and shapes == [(1, 64, 3, 5)]
    assert [gate.gate[-2].out_features for gate in network.attend] == [64, 32, 16] and method.multiple == 8
    assert [down.out_channels for down in network.branches[3].down] == [4, 8, 16]


def test_the_gate_by_hand():
    gate, x, wanted = ConditionalAttention(3, 8), draw(2, 8, 4, 4), torch.eye(3)[[0, 2]]
    first, _, second, _, third, _ = gate.gate
    value = torch.cat([wanted, x.mean((2, 3))], 1)
    for layer in (first, second):
        value = value @ layer.weight.T + layer.bias
        value = torch.where(value > 0, value, 0.2 * value)
    share = torch.sigmoid(value @ third.weight.T + third.bias)
    assert (share > 0).all() and (share < 1).all() and first.out_features == second.out_features == 2
    np.testing.assert_allclose(gate(x, wanted).detach(), (x * share[:, :, None, None]).detach(), rtol=1e-5)


def test_the_discriminator_s_paths():
    torch.manual_seed(0)
    judge = Discriminator(5, 4, 64).eval()
    scores, classes = judge(draw(3, 1, 64, 64))
    assert scores.shape == (3, 1, 4, 4) and classes.shape == (3, 5)
    kinds = {name: [(one.kernel_size[0], one.stride[0], one.out_channels) for one in getattr(judge, name)
                    if isinstance(one, nn.Conv2d)] for name in ("fine", "middle", "coarse", "joined")}
    assert kinds == {"fine": [(3, 1, 4)] * 3 + [(4, 4, 16)], "middle": [(3, 1, 4), (3, 1, 8), (3, 1, 16)],
                     "coarse": [(4, 4, 16)] + [(3, 1, 16)] * 3, "joined": [(4, 2, 32), (4, 2, 64)]}
    assert sum(isinstance(one, nn.MaxPool2d) for one in judge.middle) == 2 and judge.joined[-1].p == 0.5
    assert judge.classes.kernel_size == (4, 4)
    for path in (judge.fine, judge.middle, judge.coarse):
        other = Discriminator(5, 4, 64).eval()
        assert path(draw(1, 1, 64, 64)).shape == (1, 16, 16, 16) and other is not judge
        weight = path[0].weight.detach().clone()
        with torch.no_grad():
            path[0].weight.mul_(2)
            assert not torch.allclose(judge(draw(3, 1, 64, 64))[0], scores)
            path[0].weight.copy_(weight)


# --- restoring --------------------------------------------------------------------------------------------------------


def stub() -> Calls:
    """Whichever is wanted: a tenth of the sum of what is seen, and a hundredth of its number more."""
    return Calls(lambda x, wanted: 0.1 * x.sum(1, keepdim=True) + 0.01 * wanted.argmax(1)[:, None, None, None])


def test_restore_makes_each_wanted_contrast_from_what_is_given():
    method, net = CollaGan({**SMALL, "contrasts": ["t1", "t2", "pd", "flair"]}), stub()
    wanted = torch.tensor([[0., 0, 1, 0, 1], [0, 0, 0, 0, 1]])
    given = torch.tensor([[1., 1, 0, 1, 0], [1, 1, 1, 0, 0]])
    contrasts = draw(2, 5, 16, 16) * given[:, :, None, None]
    made = method.restore(Model({"generator": net}), {"contrasts": contrasts, "given": given, "wanted": wanted}, 1)
    whole = 0.1 * contrasts[:, [0, 2, 3, 4]].sum(1)
    expected = contrasts.clone()
    expected[0, 2] = whole[0] + 0.01
    expected[:, 4] = whole + 0.03
    np.testing.assert_allclose(made["contrasts"].numpy(), expected.numpy(), atol=1e-6)
    assert [call[1].argmax(1).tolist() for call in net.calls] == [[1, 1], [3, 3]]
    assert all(torch.equal(call[0], contrasts[:, [0, 2, 3, 4]]) for call in net.calls)


def test_the_truth_of_the_wanted_contrast_cannot_leak():
    """Whatever lies in the wanted channels of the truth, inputs and outputs are the same: they are hidden before."""
    from restore_ml import registry
    from restore_ml.data.shards import Record

    torch.manual_seed(0)
    method = CollaGan({**SMALL, "contrasts": ["t1", "t1ce", "t2", "flair"]})
    model = Model({"generator": method.build()["generator"].eval()})
    contrasts = (255 * draw(33, 41, 5)).to(torch.uint8).numpy()
    outputs = []
    for value in (0, 255):
        arrays = {"contrasts": contrasts.copy(), "there": np.ones(5, np.uint8)}
        arrays["contrasts"][..., [1, 4]] = value
        sample = registry.parts("contrast_synthesis").cases.sample(Record("a" * 64, arrays, {}), "missing_t1ce_flair",
                                                                   1, {})
        outputs.append(harness.restore(method, model, sample.inputs, 1)["contrasts"])
    assert np.array_equal(*outputs) and outputs[0][..., [1, 4]].any()
    assert np.array_equal(outputs[0][..., [0, 2, 3]], contrasts[..., [0, 2, 3]])


@pytest.mark.parametrize(("degradation", "words"), [("missing_t1_flair", None), ("missing_pd", "made without pd"),
                                                    ("missing_t1_pd", "made without pd")])
def test_contrasts_that_the_networks_do_not_know_are_unsupported(degradation, words):
    assert CollaGan({}).unsupported(degradation) == words
    assert CollaGan({"contrasts": ["t1", "t1ce", "t2", "pd", "flair"], "width": 80}).unsupported(degradation) is None


# --- recipe -----------------------------------------------------------------------------------------------------------


def test_the_recipe():
    method = CollaGan({**SMALL, "disc_lr": 0.02, "betas": [0.3, 0.8]})
    networks = method.build()
    [phase] = method.phases()
    judge, painter = phase.players
    assert [(one.name, one.networks, one.every) for one in phase.players] == [
        ("discriminator", ["discriminator"], 1), ("generator", ["generator"], 2)]
    for player, rate in ((judge, 0.02), (painter, 0.01)):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.3, 0.8))
        assert [player.schedule(step, 4000) for step in (0, 799, 800, 1600)] == pytest.approx([1, 1, 0.99, 0.99 ** 2])
    for player in CollaGan({**SMALL, "schedule": "cosine"}).phases()[0].players:
        assert [player.schedule(step, 4000) for step in (0, 2000, 4000)] == pytest.approx([1, 0.5, 0])
    paper = CollaGan.paper
    assert [paper[key] for key in ("contrasts", "levels", "cycle", "ssim", "adversarial", "classification", "direct",
                                   "cycled", "scale", "most_missing", "disc_steps", "lr", "disc_lr", "betas",
                                   "schedule", "batch", "patch")] == [
        ["t1", "t1ce", "t2", "flair"], 4, 10.0, 1.0, 1.0, 1.0, 0.0, 3, 0.1, 3, 2, 1e-5, 1e-5, [0.5, 0.999], "stairs", 1,
        240]
    assert method.multiple == 16 and method.channels == [0, 1, 2, 4]


@pytest.mark.parametrize(("settings", "words"), [
    ({"contrasts": ["t1"]}, "two or more of t1, t1ce, t2, pd, flair, each once"),
    ({"contrasts": ["t1", "t1"]}, "each once"), ({"contrasts": ["t1", "ct"]}, "each once"),
    ({"width": 10}, "width of collagan is 10; it must be a multiple of 4, the number of contrasts"),
    ({"patch": 40}, "patch of collagan is 40; it must be a multiple of 16, and 32 at least"),
    ({"patch": 16}, "patch of collagan is 16; it must be"),
    ({"patch": 24, "levels": 3}, "it must be a multiple of 16, and 32 at least"),
    ({"patch": 48, "levels": 5}, "it must be a multiple of 32, and 64 at least")])
def test_settings_that_do_not_fit_are_sentences(settings, words):
    with pytest.raises(UserError, match=words):
        CollaGan({**SMALL, **settings})
