"""unet_baseline: its layers, its weights and both losses by hand, and that it learns."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.segmentation.unet_baseline import (
    UNet,
    UNetBaseline,
    border_weights,
    parted_nuclei,
    soft_dice_loss,
)
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.tasks.test_segmentation import discs

SMALL = {"width": 2, "patch": 32, "dropout": 0.0}


def made(**settings: Any) -> UNetBaseline:
    method = UNetBaseline({**SMALL, **settings})
    method.constants = {"class_weights": np.array([0.6, 3.0], np.float32)}
    return method


@pytest.mark.parametrize(("width", "channels", "count"), [(64, 3, 34_527_041), (64, 1, 34_525_889)])
def test_the_network_of_the_card_has_its_parameters(width, channels, count):
    with torch.device("meta"):
        network = UNet(channels, 1, width)
    assert sum(one.numel() for one in network.parameters()) == count


def test_the_paper_s_network_is_built_by_its_settings():
    with torch.device("meta"):
        network = UNetBaseline({}).build()["net"]
    assert sum(one.numel() for one in network.parameters()) == 34_527_041
    assert network.dropout.p == 0.5


def test_levels_halve_the_picture_and_double_the_channels():
    network, shapes = UNet(3, 1, 4), []
    for block in (*network.down, *network.enlarge, *network.up):
        block.register_forward_hook(lambda module, inputs, output: shapes.append((
            inputs[0].shape[1], *output.shape[1:])))
    assert network(torch.zeros(2, 3, 32, 48)).shape == (2, 1, 32, 48)
    down = [(3, 4, 32, 48), (4, 8, 16, 24), (8, 16, 8, 12), (16, 32, 4, 6), (32, 64, 2, 3)]
    up = [pair for wide, height in ((32, 4), (16, 8), (8, 16), (4, 32)) for pair in (
        (2 * wide, wide, height, height * 3 // 2), (2 * wide, wide, height, height * 3 // 2))]
    assert shapes == down + up


def test_the_skip_comes_first_and_pooling_takes_the_largest():
    network = UNet(1, 1, 1).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        for block, convolution in ((network.down[0], 0), (network.down[0], 3)):
            block[convolution].weight[:, :, 1, 1] = 1
        network.up[-1][0].weight[0, 0, 1, 1] = 1  # the first channel is the skip's
        network.up[-1][3].weight[0, 0, 1, 1] = 1
        network.last.weight[:] = 2
        network.last.bias[:] = -1
        picture = draw(1, 1, 16, 16)
        expected = 2 * picture / np.sqrt(1 + 1e-5) ** 4 - 1
        np.testing.assert_allclose(network(picture).numpy(), expected.numpy(), rtol=1e-4)
        seen = []
        network.down[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        network(picture)
        blocks = picture.reshape(1, 1, 8, 2, 8, 2).amax((3, 5)) / (1 + 1e-5)
    np.testing.assert_allclose(seen[0].numpy(), blocks.numpy(), rtol=1e-4)


def test_dropout_is_at_the_end_of_the_contracting_path():
    torch.manual_seed(0)
    network, zeros = UNet(3, 1, 4, dropout=0.5), []
    network.down[3].register_forward_hook(lambda *hooked: torch.ones_like(hooked[2]))
    network.down[4].register_forward_hook(lambda *hooked: torch.ones_like(hooked[2]))
    network.down[2].register_forward_hook(lambda *hooked: torch.ones_like(hooked[2]))
    network.enlarge[0].register_forward_pre_hook(lambda module, inputs: zeros.append(inputs[0]))
    network.up[0].register_forward_pre_hook(lambda module, inputs: zeros.append(inputs[0][:, :32]))
    network.up[1].register_forward_pre_hook(lambda module, inputs: zeros.append(inputs[0][:, :16]))
    network(torch.zeros(2, 3, 64, 64))
    assert [round(float((one == 0).float().mean()), 1) for one in zeros] == [0.5, 0.5, 0.0]


# --- weights ----------------------------------------------------------------------------------------------------------


def test_the_border_term_by_hand():
    """Two nuclei on a line: between them the distances are 1 to 3, beyond them they grow."""
    instances = np.zeros((1, 12), np.int32)
    instances[0, 2:4], instances[0, 7:9] = 5, 9
    weights = border_weights(instances, 10.0, 5.0)
    nearest = np.abs(np.arange(12)[:, None, None] - np.array([[2, 3], [7, 8]])).min(axis=2)
    expected = np.where(instances[0] == 0, 10 * np.exp(-nearest.sum(axis=1) ** 2 / 50), 0)
    np.testing.assert_allclose(weights[0], expected, rtol=1e-5)
    assert weights.dtype == np.float32 and weights[0, 4] == pytest.approx(10 * np.exp(-16 / 50))


def test_the_border_term_needs_two_nuclei_and_takes_the_two_nearest():
    for alone in (discs((20, 14)), np.zeros((4, 4), np.int32)):
        assert not border_weights(alone, 10.0, 5.0).any()
    two, three = discs((20, 14), (20, 30)), discs((20, 14), (20, 30), (34, 44))
    near = np.s_[16:24, 21:23]
    np.testing.assert_allclose(border_weights(two, 10, 5)[near], border_weights(three, 10, 5)[near])


def test_touching_nuclei_are_parted_by_a_pixel():
    instances = np.array([[1, 1, 2, 2, 2], [1, 1, 2, 2, 2], [3, 3, 0, 0, 2], [3, 3, 0, 4, 0]])
    expected = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 1], [1, 1, 0, 0, 0]], bool)
    assert np.array_equal(parted_nuclei(instances), expected)
    apart = discs((20, 14), (20, 30))
    assert np.array_equal(parted_nuclei(apart), apart > 0)


def test_class_weights_are_half_the_inverse_shares(tmp_path):
    fields = [np.zeros((32, 32, 1), np.int32), np.zeros((64, 32, 1), np.int32)]
    fields[0][:12, :16], fields[1][:, :12] = 4, 7  # 192 and 768 of 3072 pixels
    shards.write(tmp_path / "00.arrow", [Record(f"{number:064x}", {"instances": field}, {})
                                         for number, field in enumerate(fields)])
    share = (192 + 768) / 3072
    weights = made().prepare(Material(tmp_path), 1)["class_weights"]
    assert weights.tolist() == pytest.approx([0.5 / (1 - share), 0.5 / share]) and weights.dtype == np.float32
    shards.write(tmp_path / "00.arrow", [Record("a" * 64, {"instances": 0 * fields[0]}, {})])
    assert np.isfinite(made().prepare(Material(tmp_path), 1)["class_weights"]).all()


@pytest.mark.parametrize("loss", ["border", "bce_dice"])
def test_what_is_derived(loss):
    instances = discs((20, 14), (20, 26), (20, 44))
    method = made(loss=loss, w0=7.0, sigma=3.0)
    derived = method.derive({}, {"instances": instances[..., None]}, np.random.default_rng(0))
    inside = parted_nuclei(instances) if loss == "border" else instances > 0
    assert np.array_equal(derived["inside"][..., 0] > 0, inside)
    expected = border_weights(np.where(inside, instances, 0), 7.0, 3.0) if loss == "border" else 0
    assert np.array_equal(derived["border"][..., 0], expected + np.zeros(instances.shape, np.float32))
    if loss == "border":
        gap = (instances > 0) & ~inside
        assert gap.any() and (derived["border"][..., 0][gap] > 3).all()
    for name, spec in method.derived.items():
        assert spec.problem(derived[name]) is None
    assert method.derive({}, None, np.random.default_rng(0)) == {}


# --- losses -----------------------------------------------------------------------------------------------------------


def inputs() -> dict[str, torch.Tensor]:
    return {"image": draw(2, 3, 6, 6), "inside": (draw(2, 1, 6, 6, seed=1) > 0.6).long(),
            "border": 5 * draw(2, 1, 6, 6, seed=2)}


def test_the_weighted_cross_entropy_by_hand():
    net, batch = Calls(lambda image: image[:, :1] * 4 - 1), inputs()
    terms = made().loss(step_with(batch, {"labels": batch["inside"]}, {"net": net}))
    logits, inside = (4 * batch["image"][:, :1] - 1).double().numpy(), batch["inside"].numpy()
    share = 1 / (1 + np.exp(-logits))
    entropy = -np.where(inside, np.log(share), np.log(1 - share))
    weights = np.where(inside, 3.0, 0.6) + batch["border"].double().numpy()
    assert set(terms) == {"cross_entropy"}
    assert terms["cross_entropy"].item() == pytest.approx((weights * entropy).mean(), rel=1e-5)


def test_cross_entropy_and_dice_by_hand():
    net, batch = Calls(lambda image: image[:, :1] * 4 - 1), inputs()
    terms = made(loss="bce_dice").loss(step_with(batch, {"labels": batch["inside"]}, {"net": net}))
    logits, inside = (4 * batch["image"][:, :1] - 1).double().numpy(), batch["inside"].numpy()
    share = 1 / (1 + np.exp(-logits))
    entropy = -np.where(inside, np.log(share), np.log(1 - share))
    dice = [1 - (2 * (s * t).sum() + 1) / (s.sum() + t.sum() + 1) for s, t in zip(share, inside, strict=True)]
    assert terms["cross_entropy"].item() == pytest.approx(entropy.mean(), rel=1e-5)
    assert terms["dice"].item() == pytest.approx(np.mean(dice), rel=1e-5)
    assert soft_dice_loss(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 0.0


def test_restore_gives_the_probability_of_both_classes():
    image = torch.linspace(0, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    logits = 6 * image[:, 2:] - 3
    output = made().restore(Model({"net": Calls(lambda image: 6 * image[:, 2:] - 3)}), {"image": image}, 1)["labels"]
    share = 1 / (1 + np.exp(-logits.double().numpy()))
    np.testing.assert_allclose(output.numpy(), np.concatenate([1 - share, share], 1), atol=1e-6)


@pytest.mark.parametrize("norm", ["picture", "running"])
def test_a_picture_is_normalised_by_its_own_statistics_or_by_remembered_ones(norm):
    """By its own, half the brightness changes nothing; either way no picture depends on its company."""
    torch.manual_seed(0)
    method = made(eval_norm=norm)
    model = Model({"net": method.build()["net"].eval()})
    image = draw(2, 3, 32, 32)
    both = method.restore(model, {"image": image}, 1)["labels"]
    alone = torch.cat([method.restore(model, {"image": one[None]}, 1)["labels"] for one in image])
    assert torch.equal(both, alone)
    network = model.networks["net"]
    assert (not list(network.buffers())) == (norm == "picture")
    seen = []
    network.down[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    for changed in (image[:1], 0.5 * image[:1]):
        method.restore(model, {"image": changed}, 1)
    same = torch.allclose(seen[0], seen[1], atol=1e-3)
    assert same == (norm == "picture")


def test_tiles_of_probabilities_are_averaged_before_a_class_is_chosen():
    """And instances are found after that, across the seams."""
    method = made()
    method.tile, method.overlap = 64, 16
    truth = discs((20, 32), (50, 60), (80, 62), radius=9, shape=(96, 112))
    image = np.repeat(np.where(truth > 0, 200, 30)[..., None], 3, 2).astype(np.uint8)
    net = Calls(lambda shown: 20 * (shown[:, :1] - 0.5))
    output = harness.restore(method, Model({"net": net}), {"image": image}, 1)
    assert len(net.calls) > 2 and np.array_equal(output["labels"][..., 0], truth > 0)
    assert output["instances"].max() == 3 and output["labels"].dtype == np.uint8


# --- recipe -----------------------------------------------------------------------------------------------------------


def test_the_recipe():
    method = made(lr=0.02, momentum=0.8)
    networks = method.build()
    [phase] = method.phases()
    [player] = phase.players
    optimiser = optimiser_of(player, networks)
    assert isinstance(optimiser, torch.optim.SGD)
    assert (optimiser.defaults["lr"], optimiser.defaults["momentum"]) == (0.02, 0.8)
    adam = optimiser_of(made(optimiser="adam", lr=0.03).phases()[0].players[0], networks)
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 0.03
    paper = UNetBaseline.paper
    assert [paper[key] for key in ("w0", "sigma", "momentum", "batch", "patch", "elastic", "loss", "optimiser",
                                   "eval_norm")] == [10.0, 5.0, 0.99, 1, 512, 10.0, "border", "sgd", "picture"]
    assert method.multiple == 16 and player.networks == ["net"] and phase.steps == paper["steps"]
    with pytest.raises(UserError, match="patch of unet_baseline is 40; it must be a multiple of 16"):
        made(patch=40)


def test_a_few_steps_on_one_batch_lower_the_objective():
    torch.manual_seed(0)
    method = made(width=4, optimiser="adam", lr=0.01)
    networks = method.build()
    fields = [discs((8, 9), (8, 20), (22, 16), shape=(32, 32)), discs((20, 8), (20, 19), shape=(32, 32))]
    derived = [method.derive({}, {"instances": field[..., None]}, np.random.default_rng(0)) for field in fields]
    batch = {"image": torch.stack([torch.from_numpy(0.1 + 0.6 * (field > 0)).float().expand(3, -1, -1)
                                   for field in fields])}
    batch |= {name: torch.from_numpy(np.stack([one[name] for one in derived])).permute(0, 3, 1, 2)
              for name in ("inside", "border")}
    player = method.phases()[0].players[0]
    optimiser, seen = optimiser_of(player, networks), []
    for _ in range(12):
        loss = sum(player.loss(step_with(batch, {"labels": batch["inside"]}, networks)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < 0.5 * seen[0]
    assert registry.method_class("segmentation", "unet_baseline") is UNetBaseline
