"""inst_color: fusion blocks, boxes, the three phases and restoring against values by hand."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.colorization import inst_color
from restore_ml.methods.colorization.inst_color import FusionBlock, FusionNet, InstColor, boxes_of, place, unhinted
from restore_ml.nn.hints_network import POINTS, HintsNet
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.layers import parameters

SMALL: dict[str, Any] = {"width": 2, "inner": 3, "instances": 3, "patch": 16}
LIGHT, AB = 100 * draw(2, 1, 32, 24), 160 * draw(2, 2, 32, 24, seed=1) - 80
BOXES = torch.zeros(2, 3, 4)
BOXES[0, 0], BOXES[0, 1], BOXES[1, 0] = (torch.tensor(box, dtype=torch.float32) for box in (
    (2, 3, 14, 21), (10, 8, 24, 32), (0, 0, 9, 16)))


def made(**settings: Any) -> InstColor:
    return InstColor({**SMALL, **settings})


def step(networks: dict[str, nn.Module]) -> Any:
    return step_with({"L": LIGHT, "boxes": BOXES}, {"ab": AB}, networks)


def huber_by_hand(found: np.ndarray, ab: np.ndarray) -> float:
    """Ten times Huber's loss, quadratic below 1 / 110, summed over a and b."""
    difference = np.abs(found - ab / 110)
    return 10 * float(np.where(difference < 1 / 110, 0.5 * 110 * difference**2, difference - 0.5 / 110).sum(1).mean())


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics that are not those of the start, and colours ten times as strong."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, HintsNet):
            module.colours.weight.data *= 10
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    return network.eval()


# --- networks ---------------------------------------------------------------------------------------------------------


def test_the_card_s_counts() -> None:
    with torch.device("meta"):
        networks = InstColor({}).build()
        blocks = networks["fusion"].blocks
        assert [parameters(FusionBlock(channels)) for channels in (64, 128, 256, 512)] == [
            23_394, 41_826, 78_690, 152_418]
        assert parameters(blocks) == 1_078_266 and list(blocks) == list(POINTS)
        for net in (networks["full"], networks["instance"], networks["fusion"].net):
            assert isinstance(net, HintsNet) and parameters(net) == 34_051_074
        moved = {name.rsplit(".", 2)[0] for name, one in networks["fusion"].named_parameters() if one.requires_grad}
        assert {name for name in moved if name.startswith("net")} == {"net.conv10", "net"}  # net.colours.weight
        learned = sum(one.numel() for one in networks["fusion"].parameters() if one.requires_grad)
        assert learned == 1_078_266 + 128 * 128 * 9 + 128 + 128 * 2 + 2
        assert all(one.requires_grad for one in networks["full"].parameters())


def test_a_fusion_block_by_hand() -> None:
    torch.manual_seed(0)
    block, features, instances = FusionBlock(4, 3), draw(1, 4, 8, 6), draw(2, 4, 5, 5, seed=1)
    places = [(1, 5, 0, 3), (2, 8, 1, 6)]
    layers = [layer for layer in block.instance if isinstance(layer, nn.Conv2d)]
    assert [(layer.kernel_size, layer.out_channels) for layer in layers] == [((3, 3), 3), ((3, 3), 3), ((3, 3), 1)]
    for scorer in (block.instance, block.background):  # in part below 0 before the last ReLU
        nn.init.zeros_(scorer[4].bias)

    def scored(scorer: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        for layer in scorer:
            if isinstance(layer, nn.Conv2d):
                x = functional.conv2d(x, layer.weight, layer.bias, padding=1).clamp(min=0)
        return x

    put, scores = [], []
    for number, (top, bottom, left, right) in enumerate(places):
        for values, kept in ((instances, put), (scored(block.instance, instances), scores)):
            canvas = torch.zeros(1, values.shape[1], 8, 6)
            canvas[..., top:bottom, left:right] = functional.interpolate(
                values[number:number + 1], (bottom - top, right - left), mode="bilinear", align_corners=False)
            kept.append(canvas)
    covered = torch.zeros(8, 6)
    covered[1:5, 0:3] = covered[2:8, 1:6] = 1
    exps = [score[0, 0].exp() for score in (*scores, scored(block.background, features))]
    whole = sum(exps)
    expected = sum(share / whole * layer[0] for share, layer in zip(exps, (*put, features), strict=True))
    expected = torch.where(covered > 0, expected, features[0])  # nothing but the background where no box is
    torch.testing.assert_close(block(features, instances, places)[0], expected)
    assert torch.equal(block(features, instances, places)[0][:, covered == 0], features[0][:, covered == 0])


def test_weights_of_a_block_add_up_to_one_and_one_pixel_survives() -> None:
    torch.manual_seed(0)
    block, same = FusionBlock(4, 3), torch.ones(1, 4, 8, 6)
    found = block(same, torch.ones(1, 4, 5, 5), [(2, 7, 1, 5)])
    torch.testing.assert_close(found, same)
    point = block(0 * same, torch.ones(1, 4, 5, 5), [(7, 8, 5, 6)])
    assert (point[0, 0] > 0).nonzero().tolist() == [[7, 5]] and 0 < point[0, 0, 7, 5] < 1


def test_scores_begin_alive_and_about_equal() -> None:
    torch.manual_seed(0)
    block = FusionBlock(16)
    scores = torch.cat([scorer(draw(3, 16, 8, 8)) for scorer in (block.instance, block.background)])
    assert scores.min() > 0 and scores.mean().item() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(("box", "divisor", "expected"), [
    ((2, 3, 14, 21), 1, (3, 21, 2, 14)), ((2, 3, 14, 21), 4, (0, 5, 0, 3)), ((9, 9, 10, 10), 8, (1, 2, 1, 2)),
    ((22, 30, 24, 32), 8, (3, 4, 2, 3)), ((0, 0, 24, 32), 8, (0, 4, 0, 3)), ((23, 31, 24, 32), 2, (15, 16, 11, 12))])
def test_places_are_rounded_down_and_never_empty(box: Any, divisor: int, expected: Any) -> None:
    assert place(list(map(float, box)), divisor, 32 // divisor, 24 // divisor) == expected


def test_the_fusion_network_changes_what_it_sees_at_every_point_in_its_box_alone() -> None:
    torch.manual_seed(0)
    method = made()
    fusion, instance = randomised(FusionNet(2, 3)), randomised(HintsNet(2, classes=False), 1)
    given: list[Any] = []
    fusion.blocks = nn.ModuleDict({name: Calls(lambda *arguments: (given.append(arguments), arguments[0])[1])
                                   for name in POINTS})
    boxes = BOXES[0, :2]
    features: dict[str, torch.Tensor] = {}
    crops = method.cut(LIGHT[:1], boxes)
    unhinted(instance, crops, features.setdefault)
    found = method.fused({"instance": instance, "fusion": fusion}, LIGHT[:1], boxes)
    torch.testing.assert_close(found, unhinted(fusion.net, LIGHT[:1]))  # the blocks change nothing here
    for (name, (channels, divisor)), arguments in zip(POINTS.items(), given, strict=True):
        own, theirs, places = arguments
        assert own.shape == (1, 2 * channels, 32 // divisor, 24 // divisor)
        torch.testing.assert_close(theirs, features[name])
        assert theirs.shape == (2, 2 * channels, 16 // divisor, 16 // divisor) and not theirs.requires_grad
        assert places == [place(box, divisor, 32 // divisor, 24 // divisor) for box in boxes.tolist()]


def test_crops_are_what_is_in_the_box_at_the_side_of_training() -> None:
    crops = made().cut(torch.cat([LIGHT, AB], 1)[:1], BOXES[0, :2])
    assert crops.shape == (2, 3, 16, 16)
    part = torch.cat([LIGHT, AB], 1)[:1, :, 8:32, 10:24]
    torch.testing.assert_close(crops[1:], functional.interpolate(part, (16, 16), mode="bilinear", align_corners=False))


# --- boxes ------------------------------------------------------------------------------------------------------------


def test_boxes_are_around_what_stands_out() -> None:
    """Two bright squares on dark ground: the larger first; the ground's own box is the whole picture and none."""
    lightness = np.full((64, 64), 20, np.float32)
    lightness[10:20, 5:21], lightness[30:62, 26:60] = 80, 75
    lightness[2, 62] = 90  # a speck
    assert (lightness == 20).mean() < inst_color.LARGEST  # not the ground's area but its box is too large
    found = boxes_of(lightness, 4)
    assert found.dtype == np.float32 and found.shape == (4, 4)
    np.testing.assert_allclose(found[:2], [[26, 30, 60, 62], [5, 10, 21, 20]], atol=1)
    assert not found[2:].any() and np.array_equal(boxes_of(lightness, 1)[0], found[0])
    dark = boxes_of(100 - lightness, 4)  # and dark ones on bright ground
    np.testing.assert_allclose(dark[:2], found[:2], atol=1)
    assert not boxes_of(np.full((64, 64), 50, np.float32), 4).any()
    assert boxes_of(lightness, 1).shape == (1, 4)


def test_boxes_are_not_of_small_things_and_not_torn_by_noise() -> None:
    """Of 64 x 64 pixels a 64th are 64. Pixels in turn bright and dark touch only where they are smoothed."""
    lightness = np.full((64, 64), 20, np.float32)
    lightness[4:11, 4:11], lightness[30:42, 8:20] = 80, 80  # 49 and 144 pixels
    found = boxes_of(lightness, 4)
    np.testing.assert_allclose(found[0], [8, 30, 20, 42], atol=1)
    assert not found[1:].any()
    y, x = np.mgrid[:64, :64]
    board = np.where((y + x) % 2, 80, 20).astype(np.float32)
    board[:20], board[50:], board[:, :20], board[:, 50:] = 20, 20, 20, 20
    np.testing.assert_allclose(boxes_of(board, 4)[0], [20, 20, 50, 50], atol=2)


def test_boxes_are_derived_in_training_from_the_grey_picture_alone() -> None:
    lightness = np.full((64, 64, 1), 20, np.float32)
    lightness[40:60, 30:58] = 75
    derived = made().derive({"L": lightness}, {"ab": None}, np.random.default_rng(0))
    assert np.array_equal(derived["boxes"], boxes_of(lightness[..., 0], 3)) and derived["boxes"].shape == (3, 4)
    assert made().derive({"L": lightness}, None, np.random.default_rng(0)) == {}
    reference = cv2.boundingRect((lightness[..., 0] > 50).astype(np.uint8))
    assert derived["boxes"][0, :2].tolist() == pytest.approx(reference[:2], abs=1)


# --- losses -----------------------------------------------------------------------------------------------------------


def seen_by(call: tuple[Any, ...]) -> torch.Tensor:
    """The lightness of a call of the hints network, which must be without a hint."""
    assert call[1].shape[1] == 2 and not call[1].any() and call[2].shape[1] == 1 and not call[2].any()
    return call[0]


def test_the_full_loss_by_hand() -> None:
    colours = 1.6 * draw(2, 2, 32, 24, seed=4) - 0.8
    colours[:, :, :8] = AB[:, :, :8] / 110 + 0.004
    network = Calls(lambda *arguments: (colours, None))
    terms = made().full_loss(step({"full": network}))
    assert list(terms) == ["huber"]
    expected = huber_by_hand(colours.double().numpy(), AB.double().numpy())
    assert terms["huber"].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(seen_by(network.calls[0]), LIGHT)


def test_the_instance_loss_is_of_one_box_of_each_picture() -> None:
    network, method = Calls(lambda lightness, hint, hinted: (lightness.expand(-1, 2, -1, -1) / 100, None)), made()
    chosen = set()
    for seed in range(12):
        context = step({"instance": network})
        context.generator.manual_seed(seed)
        terms = method.instance_loss(context)
        seen = seen_by(network.calls[-1])
        both = torch.cat([LIGHT, AB], 1)
        first = [method.cut(both[:1], BOXES[0, number][None]) for number in (0, 1)]
        [number] = [number for number in (0, 1) if torch.equal(first[number][:, :1], seen[:1])]
        crops = torch.cat([first[number], method.cut(both[1:], BOXES[1, :1])])
        assert torch.equal(seen, crops[:, :1])
        expected = huber_by_hand(seen.expand(-1, 2, -1, -1).double().numpy() / 100, crops[:, 1:].double().numpy())
        assert terms["huber"].item() == pytest.approx(expected, rel=1e-5)
        chosen.add(number)
    assert chosen == {0, 1}


def test_a_picture_in_which_nothing_stands_out_is_an_instance() -> None:
    network = Calls(lambda lightness, hint, hinted: (lightness.expand(-1, 2, -1, -1) / 100, None))
    made().instance_loss(step_with({"L": LIGHT[:1], "boxes": 0 * BOXES[:1]}, {"ab": AB[:1]}, {"instance": network}))
    torch.testing.assert_close(seen_by(network.calls[0]), functional.interpolate(
        LIGHT[:1], (16, 16), mode="bilinear", align_corners=False))


def test_the_fusion_loss_and_what_it_moves() -> None:
    torch.manual_seed(0)
    method, networks = made(), {}
    networks = {name: randomised(network) for name, network in method.build().items()}
    context = step(networks)
    terms = method.fusion_loss(context)
    found = torch.cat([method.fused(networks, LIGHT[:1], BOXES[0, :2]),
                       method.fused(networks, LIGHT[1:], BOXES[1, :1])])
    assert list(terms) == ["huber"]
    assert terms["huber"].item() == pytest.approx(
        huber_by_hand(found.detach().double().numpy(), AB.double().numpy()), rel=1e-4)
    terms["huber"].backward()
    moved = {name for name, one in networks["fusion"].named_parameters() if one.grad is not None and one.grad.any()}
    assert moved == {name for name, one in networks["fusion"].named_parameters() if one.requires_grad}
    assert {name.split(".")[1] for name in moved if name.startswith("net.")} == {"conv10", "colours"}
    assert all(one.grad is None for name in ("full", "instance") for one in networks[name].parameters())


def test_both_copies_begin_as_the_trained_network() -> None:
    torch.manual_seed(0)
    method = made()
    networks = method.build()
    randomised(networks["full"])
    copies = networks["instance"], networks["fusion"].net
    context = step(networks)
    for number, same in ((8, False), (9, True)):
        context.step = number
        method.hand_on(context)
        for copy in copies:
            assert all(torch.equal(value, copy.state_dict()[name])
                       for name, value in networks["full"].state_dict().items()) == same
    assert networks["full"].conv1[-1].running_mean.any()  # statistics too


# --- restoring --------------------------------------------------------------------------------------------------------


def test_restore_fuses_where_boxes_are_and_is_the_first_network_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    method = made()
    networks = {name: randomised(network, seed) for seed, (name, network) in enumerate(method.build().items())}
    given: list[Any] = []

    def boxes(lightness: np.ndarray, most: int) -> np.ndarray:
        given.append((lightness, most))
        return BOXES[0].numpy() if len(given) == 1 else np.zeros((3, 4), np.float32)

    monkeypatch.setattr(inst_color, "boxes_of", boxes)
    with torch.no_grad():
        found = method.restore(Model(networks), {"L": LIGHT}, 1)["ab"]
        torch.testing.assert_close(found[:1], 110 * method.fused(networks, LIGHT[:1], BOXES[0, :2]))
        assert torch.equal(found[1:], 110 * networks["full"](LIGHT[1:], torch.zeros(1, 2, 32, 24),
                                                             torch.zeros(1, 1, 32, 24))[0])
    assert [most for _, most in given] == [3, 3] and np.array_equal(given[1][0], LIGHT[1, 0].numpy())


def test_without_boxes_the_fusion_network_is_the_copy_that_it_began_as() -> None:
    torch.manual_seed(0)
    method = made()
    networks = method.build()
    randomised(networks["full"])
    context = step(networks)
    context.step = 9
    method.hand_on(context)
    networks["fusion"].eval()
    with torch.no_grad():
        none = method.fused({**networks, "instance": networks["instance"].eval()}, LIGHT[:1], BOXES[0, 2:2])
        assert torch.equal(none, unhinted(networks["full"], LIGHT[:1]))


# --- recipe -----------------------------------------------------------------------------------------------------------


def test_the_recipe() -> None:
    paper, networks = InstColor({}).phases(), made().build()
    assert [phase.name for phase in paper] == ["full", "instance", "fusion"]
    assert [phase.steps for phase in paper] == [1_108_950, 1_108_950, 221_790]
    assert [list(phase.frozen_norm) for phase in paper] == [[], [], ["instance", "fusion"]]
    for phase, rate, ends in zip(paper, (5e-4, 5e-4, 5e-5), ((100, 1), (100, 1), (50, 1)), strict=True):
        [player] = phase.players
        assert player.networks == [phase.name] and bool(player.after) == (phase.name == "full")
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (rate, (0.9, 0.999))
        assert [player.schedule(number, 150) for number in (0, ends[0])] == [1, 1]
        assert player.schedule(125, 150) == pytest.approx(0.5 if phase.name != "fusion" else 0.25)
        held = {id(one) for group in optimiser.param_groups for one in group["params"]}
        assert held == {id(one) for one in networks[phase.name].parameters() if one.requires_grad}
    assert (InstColor.paper["batch"], InstColor.paper["patch"], InstColor.paper["instances"]) == (16, 256, 8)


@pytest.mark.parametrize("wrong", [{"patch": 60}, {"ema": 0.9}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        made(**wrong)
