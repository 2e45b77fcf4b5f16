"""ssd: its counts, default boxes, matching, loss, offsets and suppression by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.detection.ssd import (
    SSD,
    ScaledNorm,
    SSDNet,
    _rows,
    answers,
    boxes_at,
    cells,
    default_boxes,
    matched,
    multibox_loss,
    normalised,
)
from restore_ml.nn.boxes import centred, cornered, decode, encode, shared_area, suppressed
from restore_ml.restoring.harness import restore
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

SMALL = {"width": 4, "size": 64, "patch": 64, "enlarge": 1.0, "maps": 3, "scales": [0.15, 0.3, 0.5, 0.8]}


def test_parameters_are_those_of_ssd300_on_voc():
    """VGG-16's 14,714,688, fc6 and fc7 as convolutions, the extra layers, the norm's 512, predictors of 21 classes."""
    with torch.device("meta"):
        net = SSDNet(64, 6, 20)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert count["early"] + count["late"] == 14_714_688 + 4_719_616 + 1_049_600
    assert count["extra"] == 2_459_520 and count["norm"] == 512 and sum(count.values()) == 26_285_486
    assert count["locate"] + count["classify"] == sum((9 * c + 1) * 25 * k for c, k in zip(
        (512, 1024, 512, 256, 256, 256), (4, 6, 6, 6, 4, 4), strict=True))


def test_the_paper_has_8732_default_boxes():
    grids = tuple((side, side) for side in cells(300, 6))
    assert [side for side, _ in grids] == [38, 19, 10, 5, 3, 1]
    with torch.device("meta"):
        offsets, scores, made = SSDNet(64, 6, 20)(torch.zeros(1, 3, 300, 300))
    assert tuple(made) == grids and offsets.shape == (1, 8732, 4) and scores.shape == (1, 8732, 21)
    assert [boxes_at(number) for number in range(6)] == [4, 6, 6, 6, 4, 4]
    boxes = default_boxes(grids, 300, tuple(SSD.paper["scales"]))
    assert boxes.shape == (8732, 4)
    first = 300 * 0.1
    assert boxes[0].tolist() == pytest.approx([150 / 38, 150 / 38, first, first], rel=1e-6)
    assert boxes[1, 2:].tolist() == pytest.approx([300 * math.sqrt(0.1 * 0.2)] * 2, rel=1e-6)
    assert boxes[2, 2:].tolist() == pytest.approx([first * math.sqrt(2), first / math.sqrt(2)], rel=1e-6)
    assert boxes[3, 2:].tolist() == pytest.approx([first / math.sqrt(2), first * math.sqrt(2)], rel=1e-6)
    assert boxes[4, :2].tolist() == pytest.approx([450 / 38, 150 / 38], rel=1e-6)  # row by row
    second = boxes[38 * 38 * 4:]
    assert second[4, 2:].tolist() == pytest.approx([60 * math.sqrt(3), 60 / math.sqrt(3)], rel=1e-6)
    assert boxes[-4].tolist() == pytest.approx([150, 150, 270, 270], rel=1e-6)
    assert boxes[-3, 2:].tolist() == pytest.approx([300 * math.sqrt(0.9 * 1.075)] * 2, rel=1e-6)


def test_scales_are_those_of_equation_4():
    scales = SSD.paper["scales"]
    assert scales[0] == 0.1 and scales[1:6] == pytest.approx([0.2 + 0.7 / 4 * k for k in range(5)])
    assert scales[6] == pytest.approx(0.2 + 0.7 / 4 * 5)


@pytest.mark.parametrize("size", [(64, 64), (67, 59), (96, 130)])
def test_each_prediction_has_its_default_box(size):
    net = SSDNet(2, 3, 2)
    offsets, scores, grids = net(torch.zeros(2, 3, *size))
    count = len(default_boxes(tuple(grids), 64, (0.15, 0.3, 0.5, 0.8)))
    assert offsets.shape == (2, count, 4) and scores.shape == (2, count, 3)
    if size == (64, 64):
        assert [side for side, _ in grids] == cells(64, 3) == [8, 4, 2]


def test_predictions_are_in_the_order_of_the_default_boxes():
    """A predictor whose bias counts its channels, on features that are 0: cell by cell, box by box."""
    net = SSDNet(2, 2, 1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for head in (*net.locate, *net.classify):
            head.bias.copy_(torch.arange(float(len(head.bias))))
    x = torch.arange(24.0).view(1, 4, 2, 3)  # one box in each of 2 x 3 cells
    assert _rows(x, 4)[0].equal(torch.stack([x[0, :, 0, 0], x[0, :, 0, 1], x[0, :, 0, 2], x[0, :, 1, 0], x[0, :, 1, 1],
                                             x[0, :, 1, 2]]))
    offsets, scores, grids = net(torch.zeros(1, 3, 32, 32))
    assert grids == [(4, 4), (2, 2)]
    assert offsets[0, :4].flatten().tolist() == list(range(16)) and offsets[0, 4:8].equal(offsets[0, :4])
    assert offsets[0, 64:70].flatten().tolist() == list(range(24)) and scores[0, 64:70].flatten().tolist() == list(
        range(12))


def test_layers_follow_vgg_16():
    net = SSDNet(2, 6, 1)
    widths = [layer.out_channels for layer in (*net.early, *net.late) if isinstance(layer, nn.Conv2d)]
    assert widths == [2, 2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32]
    assert [layer.out_channels for part in net.extra for layer in part if isinstance(layer, nn.Conv2d)] == [
        8, 16, 4, 8, 4, 8, 4, 8]
    convs = [layer for layer in net.late if isinstance(layer, nn.Conv2d)]
    assert convs[3].dilation == (6, 6) and convs[4].kernel_size == (1, 1)
    pools = [(layer.kernel_size, layer.stride) for layer in net.late if isinstance(layer, nn.MaxPool2d)]
    assert pools == [(2, 2), (3, 1)]
    for part in (net.early, net.late, *net.extra):
        layers = list(part)
        assert all(isinstance(after, nn.ReLU) for layer, after in itertools.pairwise(layers)
                   if isinstance(layer, nn.Conv2d)) and not isinstance(layers[-1], nn.Conv2d)


def test_the_first_map_is_normalised_the_next_ones_are_not():
    norm, x = ScaledNorm(3), draw(2, 3, 4, 5)
    torch.testing.assert_close(norm(x), 20 * x / x.square().sum(1, keepdim=True).sqrt())
    net, seen = SSDNet(2, 2, 1), []
    for head in net.locate:
        head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = draw(1, 3, 32, 32)
    net(x)
    features = net.early(x)
    torch.testing.assert_close(seen[0], net.norm(features))
    torch.testing.assert_close(seen[1], net.late(features))


def test_offsets_by_hand_and_back():
    defaults = torch.tensor([[10.0, 20.0, 8.0, 4.0]])
    box = torch.tensor([[8.0, 17.0, 16.0, 25.0]])  # centre 12, 21, size 8, 8
    found = encode(box, defaults, (0.1, 0.2))
    assert found[0].tolist() == pytest.approx([2 / 8 / 0.1, 1 / 4 / 0.1, 0, math.log(2) / 0.2], abs=1e-6)
    torch.testing.assert_close(decode(found, defaults, (0.1, 0.2)), box)
    boxes = torch.cat([draw(5, 2) * 30, draw(5, 2, seed=1) * 30 + 31], 1)
    torch.testing.assert_close(cornered(centred(boxes)), boxes)
    one, other = torch.tensor([[0.0, 0, 10, 10], [0, 0, 0, 0]]), torch.tensor([[5.0, 0, 15, 10]])
    assert shared_area(one, other)[:, 0].tolist() == pytest.approx([1 / 3, 0])


def test_matching_by_hand():
    """Above 0.5 every default box takes the truth that it overlaps most; a truth below it still has its best one."""
    defaults = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 5.0], [30, 30, 50, 50], [60, 60, 80, 80]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [30, 30, 38, 38]])
    assert matched(defaults, boxes).tolist() == [0, 0, -1, 1, -1]  # the third overlaps by exactly a half
    assert matched(defaults, boxes, 0.4).tolist() == [0, 0, 0, 1, -1]
    assert matched(defaults, boxes[:0]).tolist() == [-1] * 5
    # both want the first default box: the better overlap has it, though the other comes later
    both = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4]])
    assert matched(defaults[[0, 4]], both).tolist() == [0, -1]
    assert matched(defaults[[0, 4]], both.flip(0)).tolist() == [1, -1]


def test_the_loss_by_hand():
    """Two pictures: one object and two, so three and six negatives at most, the ones that are most wrong."""
    torch.manual_seed(0)
    offsets, wanted = torch.randn(2, 9, 4) * 2, torch.randn(2, 9, 4)
    scores = torch.randn(2, 9, 3) * 3
    labels = torch.tensor([[0, 0, 2, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 2, 0, 0, 0, 0]])
    located, classified = multibox_loss(offsets, scores, wanted, labels)
    share = torch.log_softmax(scores, 2)
    expected_location, expected_confidence = 0.0, 0.0
    for n, places in enumerate(([2], [0, 4])):
        for p in places:
            gap = (offsets[n, p] - wanted[n, p]).abs()
            expected_location += torch.where(gap < 1, gap ** 2 / 2, gap - 0.5).sum().item()
            expected_confidence -= share[n, p, labels[n, p]].item()
        negative = sorted((-share[n, p, 0].item() for p in range(9) if p not in places), reverse=True)
        expected_confidence += sum(negative[:3 * len(places)])
    assert located.item() == pytest.approx(expected_location / 3, rel=1e-5)
    assert classified.item() == pytest.approx(expected_confidence / 3, rel=1e-5)


def test_without_an_object_nothing_is_learned():
    offsets, scores = torch.ones(1, 4, 4, requires_grad=True), torch.randn(1, 4, 2, requires_grad=True)
    terms = multibox_loss(offsets, scores, torch.zeros(1, 4, 4), torch.zeros(1, 4, dtype=torch.int64))
    assert [term.item() for term in terms] == [0, 0]
    sum(terms).backward()
    assert not scores.grad.any() and not offsets.grad.any()


def test_the_loss_of_a_step_holds_boxes_against_default_boxes():
    """Predictions that are exactly what is wanted cost no location; labels count from the background on."""
    method = SSD(SMALL)
    grids = [(8, 8), (4, 4), (2, 2)]
    defaults = method.defaults(grids)
    true = torch.tensor([[6.0, 5, 18, 15], [20, 22, 44, 50], [0, 0, 0, 0]])
    rows = matched(decode(torch.zeros_like(defaults), defaults, (0.1, 0.2)), true[:2])
    assert set(rows.tolist()) == {-1, 0, 1}
    wanted = encode(true[rows], defaults, (0.1, 0.2))
    logits = torch.zeros(1, len(defaults), 2)
    net = Calls(lambda x: (torch.where((rows >= 0)[:, None], wanted, 7.0)[None], logits, grids))
    image = draw(1, 3, 64, 64)
    target = {"boxes": true[None], "labels": torch.zeros(1, 3)}
    terms = method.loss(step_with({"image": image}, target, {"net": net}))
    assert terms["location"].item() == pytest.approx(0, abs=1e-6)
    assert terms["confidence"].item() == pytest.approx(4 * math.log(2), rel=1e-5)  # one positive and three negatives
    torch.testing.assert_close(net.calls[0][0], normalised(image))
    logits[0, rows >= 0, 1], logits[0, rows < 0, 0] = 30.0, 30.0
    terms = method.loss(step_with({"image": image}, target, {"net": net}))
    assert terms["confidence"].item() == pytest.approx(0, abs=1e-6)
    empty = {"boxes": torch.zeros(1, 3, 4), "labels": torch.zeros(1, 3)}
    terms = method.loss(step_with({"image": image}, empty, {"net": net}))
    assert [term.item() for term in terms.values()] == [0, 0]


def test_suppression_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 6, 10, 16], [30, 30, 40, 40], [0, 3, 10, 13]], np.float32)
    scores = np.array([0.8, 0.9, 0.7, 0.95, 0.6])
    assert suppressed(boxes, scores, 0.45, 10).tolist() == [3, 1, 2]  # 2 overlaps 1 by 3/16, 4 overlaps 1 by 6/13
    assert suppressed(boxes, scores, 0.5, 10).tolist() == [3, 1, 2]  # 4 overlaps 2 by 7/13
    assert suppressed(boxes, scores, 0.55, 10).tolist() == [3, 1, 2, 4]
    assert suppressed(boxes, scores, 0.45, 2).tolist() == [3, 1]
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # an overlap that is the most is none too many
    assert suppressed(half, np.array([0.9, 0.8]), 0.5, 10).tolist() == [0, 1]
    assert suppressed(boxes[:0], scores[:0], 0.45, 2).tolist() == []
    kept = suppressed(boxes, scores, 0.45, 10)
    assert suppressed(boxes[kept], scores[kept], 0.45, 10).tolist() == [0, 1, 2]  # nothing more goes the second time


def test_answers_are_the_best_boxes_of_each_class():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 50, 50]], np.float32)
    shares = np.array([[0.1, 0.6, 0.3], [0.2, 0.1, 0.7], [0.985, 0.01, 0.005]], np.float32)
    found, labels, scores = answers(boxes, shares)
    assert found.shape == (200, 4) and scores[:3].tolist() == pytest.approx([0.7, 0.6, 0.0])
    assert labels[:2].tolist() == [1, 0] and found[0].tolist() == [1, 0, 11, 10] and found[1].tolist() == [0, 0, 10, 10]
    assert not found[2:].any() and not scores[2:].any()  # 0.01 is not above the least score


def test_a_small_picture_is_continued_and_a_large_one_is_seen_whole():
    method, seen = SSD(SMALL), []
    torch.manual_seed(0)
    net = SSDNet(4, 3, 1).eval()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    output = restore(method, Model({"net": net}), {"image": image}, 1)
    assert seen[0].shape == (1, 3, 64, 90)
    torch.testing.assert_close(seen[0][0, :, 63], seen[0][0, :, 39])
    expected = (image[3, 5] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    assert seen[0][0, :, 3, 5].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert output["boxes"][:, 2].max() <= 90 and output["boxes"][:, 3].max() <= 40
    assert (np.diff(output["scores"]) <= 0).all() and len(output["boxes"]) == len(output["labels"])


def test_boxes_of_an_enlarged_picture_are_in_its_own_pixels():
    """The network sees twice the size; the same network on the enlarged picture gives boxes twice as large."""
    torch.manual_seed(0)
    net, image = SSDNet(4, 3, 1).eval(), draw(1, 3, 48, 40)
    large = functional.interpolate(image, scale_factor=2, mode="bilinear")
    with torch.no_grad():
        small = SSD({**SMALL, "enlarge": 2.0}).restore(Model({"net": net}), {"image": image}, 1)
        twice = SSD(SMALL).restore(Model({"net": net}), {"image": large}, 1)
    torch.testing.assert_close(2 * small["boxes"], twice["boxes"])
    assert small["boxes"].any() and torch.equal(small["scores"], twice["scores"])


def test_moving_a_picture_by_the_first_stride_moves_its_boxes():
    """Far from the edges: what is found of a picture that lies 32 pixels further is the same 32 pixels further."""
    method = SSD({**SMALL, "maps": 2, "scales": [0.15, 0.3, 0.5]})
    torch.manual_seed(0)
    net = SSDNet(4, 2, 1).eval()
    defaults = [method.defaults([(24, 24), (12, 12)])[:24 * 24 * 4].view(24, 24, 4, 4)] * 2
    large = torch.zeros(1, 3, 192, 192)
    large[..., 80:100, 80:100] = draw(3, 20, 20)
    offsets, moved = (net(image)[0][0, :24 * 24 * 4].view(24, 24, 4, 4)
                      for image in (large, large.roll((32, 32), (2, 3))))
    torch.testing.assert_close(moved[12:20, 12:20], offsets[8:16, 8:16])
    torch.testing.assert_close(defaults[0][12:20, 12:20] - defaults[1][8:16, 8:16],
                               torch.tensor([32.0, 32, 0, 0]).expand(8, 8, 4, 4))


def test_the_recipe():
    method = SSD({})
    phase = method.phases()[0]
    assert phase.steps == 60_000 and [phase.players[0].schedule(step, 60_000) for step in (0, 39_999, 40_000, 50_000)] \
        == [1, 1, 0.1, 0.01]
    small = SSD(SMALL)
    groups = optimiser_of(small.phases()[0].players[0], small.build()).param_groups[0]
    assert (groups["lr"], groups["momentum"], groups["weight_decay"]) == (0.001, 0.9, 5e-4)
    player = SSD({**SMALL, "optimiser": "adam", "schedule": "linear"}).phases()[0].players[0]
    assert type(optimiser_of(player, small.build())) is torch.optim.Adam and player.schedule(5, 10) == 0.5


@pytest.mark.parametrize(("changed", "words"), [
    ({"scales": [0.1, 0.2, 0.3]}, "scales of ssd .* one for each of the 3 maps and one more"),
    ({"patch": 96}, "patch of ssd is 96; it must be the setting size, 64"),
    ({"size": 64, "maps": 5, "scales": [0.1] * 6}, "size of ssd is 64; it is too small for 5 maps")])
def test_settings_that_do_not_fit(changed, words):
    with pytest.raises(UserError, match=words):
        SSD({**SMALL, **changed})


def test_a_few_steps_find_a_square():
    method = registry.method("detection", "ssd", {**SMALL, "lr": 0.005})
    torch.manual_seed(0)
    net = method.build()["net"]
    image = torch.zeros(2, 3, 64, 64)
    image[0, :, 10:22, 20:32], image[1, :, 40:52, 30:42] = 1, 1
    boxes = torch.tensor([[[20.0, 10, 32, 22]], [[30.0, 40, 42, 52]]])
    target = {"boxes": boxes, "labels": torch.zeros(2, 1)}
    optimiser, losses = torch.optim.Adam(net.parameters(), 0.005), []
    for _ in range(30):
        loss = sum(method.loss(step_with({"image": image}, target, {"net": net})).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]
    with torch.no_grad():
        found = method.restore(Model({"net": net.eval()}), {"image": image}, 1)
    for n in range(2):
        assert shared_area(found["boxes"][n, :1], boxes[n])[0, 0] > 0.6
    assert functional.relu(found["scores"]).max() <= 1
