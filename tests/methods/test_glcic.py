"""GLCIC against its table of layers, and every term against the same figure worked out from fixed tensors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting import glcic
from restore_ml.tasks.base import Material
from tests.methods.holes import Fixed, Judge, context_of, pictures, softplus

MEAN = np.array([0.5, 0.25, 0.0], np.float32)


def method(**settings: Any) -> glcic.GLCIC:
    made = glcic.METHOD({"patch": 16} | settings)
    made.constants = {"mean": MEAN}
    return made


def step(**settings: Any) -> tuple[glcic.GLCIC, Context, Tensor, Tensor, Tensor]:
    """Method, context, truth, mask (3 x 5 pixels of 16 x 16 missing) and what the network gives."""
    truth, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[:, :, 9:12, 1:6] = 1
    networks = {"completion": Fixed(pictures(2, 16, 1)), "discriminator": Judge()}
    return method(**settings), context_of(truth, mask, networks), truth, mask, networks["completion"].output


def test_published_recipe() -> None:
    paper = glcic.METHOD({})
    assert {key: paper.settings[key] for key in ("adversarial", "valid_weight", "dilations", "optimiser", "lr", "batch",
                                                 "patch", "masks")} == {
        "adversarial": 4e-4, "valid_weight": 0.0, "dilations": [2, 4, 8, 16], "optimiser": "adadelta", "lr": 1.0,
        "batch": 96, "patch": 256, "masks": ["random_rect"]}
    assert [(phase.name, phase.steps, [(p.name, list(p.networks)) for p in phase.players])
            for phase in paper.phases()] == [
        ("completion", 90_000, [("completion", ["completion"])]),
        ("discriminator", 10_000, [("discriminator", ["discriminator"])]),
        ("joint", 400_000, [("discriminator", ["discriminator"]), ("completion", ["completion"])])]
    first, second, (judge, joint) = (phase.players for phase in paper.phases())
    assert first[0].loss == paper.reconstruction_loss and joint.loss == paper.joint_loss
    assert second[0].loss == judge.loss == paper.discriminator_loss
    assert paper.multiple == 4


@pytest.mark.parametrize(("optimiser", "kind"), [("adadelta", torch.optim.Adadelta), ("adam", torch.optim.Adam)])
def test_optimiser_and_schedule(optimiser: str, kind: type) -> None:
    steps = {"completion": 60, "discriminator": 10, "joint": 40}
    falling = method(optimiser=optimiser, lr=0.5, schedule="cosine", steps=steps)
    alone, judging, (judge, joint) = (phase.players for phase in falling.phases())
    made = alone[0].optimiser([nn.Parameter(torch.zeros(1))])
    assert type(made) is kind and made.param_groups[0]["lr"] == 0.5
    assert alone[0].schedule(0, 60) == 1 and alone[0].schedule(50, 60) == pytest.approx(0.5)
    assert joint.schedule(0, 40) == pytest.approx(0.5 * (1 + np.cos(0.6 * np.pi)))
    assert 0 < joint.schedule(39, 40) < 0.001
    assert judging[0].schedule(9, 10) == judge.schedule(39, 40) == 1
    constant = method(steps=steps)
    assert {player.schedule(place, 40) for phase in constant.phases() for player in phase.players
            for place in (0, 39)} == {1.0}


def test_wrong_settings_are_sentences() -> None:
    for settings, said in (({"patch": 48}, "power of 2"), ({"patch": 8}, "power of 2"),
                           ({"optimiser": "sgd"}, "adadelta"), ({"schedule": "linear"}, "constant or cosine")):
        with pytest.raises(UserError, match=said):
            method(**settings)


def test_the_completion_network_is_the_papers_table() -> None:
    """Kernel, dilation, stride and channels by layer; a transposed convolution halves the stride."""
    network = glcic.completion(64, [2, 4, 8, 16])
    wanted = [(5, 1, 1, 64), (3, 1, 2, 128), (3, 1, 1, 128), (3, 1, 2, 256), (3, 1, 1, 256), (3, 1, 1, 256),
              (3, 2, 1, 256), (3, 4, 1, 256), (3, 8, 1, 256), (3, 16, 1, 256), (3, 1, 1, 256), (3, 1, 1, 256),
              (4, 1, -2, 128), (3, 1, 1, 128), (4, 1, -2, 64), (3, 1, 1, 32), (3, 1, 1, 3)]
    found = []
    for block in network[:-1]:
        layer = block if isinstance(block, nn.Conv2d) else block[0]
        backwards = isinstance(layer, nn.ConvTranspose2d)
        found.append((layer.kernel_size[0], layer.dilation[0], -layer.stride[0] if backwards else layer.stride[0],
                      layer.out_channels))
        if block is not network[-2]:
            assert [type(part) for part in block[1:]] == [nn.BatchNorm2d, nn.ReLU]
    assert found == wanted and isinstance(network[-1], nn.Sigmoid) and network[0][0].in_channels == 4


def test_the_judges_end_in_vectors_of_their_halves() -> None:
    with torch.device("meta"):
        judge = glcic.Discriminator(256, 64, 1024)
    for part, widths in ((judge.whole, [64, 128, 256, 512, 512, 512]), (judge.local, [64, 128, 256, 512, 512])):
        blocks = [block for block in part if isinstance(block, nn.Sequential)]
        assert [block[0].out_channels for block in blocks] == widths
        assert {(block[0].kernel_size, block[0].stride) for block in blocks} == {((5, 5), (2, 2))}
        assert all([type(part) for part in block[1:]] == [nn.BatchNorm2d, nn.ReLU] for block in blocks)
        assert part[-2].in_features == 4 * 4 * 512 and part[-2].out_features == 1024
    small = glcic.Discriminator(32, 4, 8).eval()
    whole, local = pictures(2, 32), pictures(2, 16, 1)
    vector = torch.cat([small.whole(whole), small.local(local)], 1)
    torch.testing.assert_close(small(whole, local), vector @ small.verdict.weight.T + small.verdict.bias)
    assert vector.shape == (2, 16) and vector.min() >= 0


def test_the_network_sees_the_centred_picture_without_its_hole_and_the_mask() -> None:
    network, image, mask = Fixed(torch.zeros(1, 3, 4, 4)), torch.full((1, 3, 4, 4), 0.75), torch.zeros(1, 1, 4, 4)
    mask[..., 1, 2] = 1
    made = method().restore(Model({"completion": network}), {"image": image, "mask": mask}, 1)["image"]
    (seen,), = network.seen
    assert seen[0, :, 0, 0].tolist() == [0.25, 0.5, 0.75, 0.0] and seen[0, :, 1, 2].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert torch.equal(seen[:, 3:], mask) and torch.equal(made, network.output)


def test_centred_it_sees_and_gives_differences_from_the_mean_of_what_is_known() -> None:
    network, image, mask = Fixed(pictures(1, 4, 1)), pictures(1, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    made = method(centred=True).fill(network, {"image": image * (1 - mask), "mask": mask})
    (seen,), = network.seen
    known = image[..., 2:].mean((2, 3), keepdim=True)
    torch.testing.assert_close(seen[:, :3], (image - known) * (1 - mask))
    torch.testing.assert_close(made, network.output + known - torch.from_numpy(MEAN).view(1, 3, 1, 1))
    assert method().settings["centred"] is False


@pytest.mark.parametrize("blend", ["none", "level", "poisson"])
def test_the_filling_is_blended_as_the_setting_says(blend: str) -> None:
    truth, mask, dark = pictures(2, 16) * 0.6 + 0.3, torch.zeros(2, 1, 16, 16), pictures(2, 16) * 0.6 + 0.1
    mask[..., 5:9, 4:12] = 1
    made = method(blend=blend).restore(Model({"completion": Fixed(dark)}), {"image": truth * (1 - mask), "mask": mask},
                                       1)["image"]
    torch.testing.assert_close(made * mask, (dark if blend == "none" else truth) * mask)
    assert method().settings["blend"] == "none"


@pytest.mark.parametrize("valid", [0.0, 0.5])
def test_squared_error_counts_the_hole_and_known_pixels_by_their_weight(valid: float) -> None:
    own, context, truth, _, made = step(valid_weight=valid)
    terms = own.reconstruction_loss(context)
    squared = (made.detach() - truth).double().square()
    inside, outside = squared[..., 9:12, 1:6].sum(), squared.sum() - squared[..., 9:12, 1:6].sum()
    assert list(terms) == ["mse"] and terms["mse"].item() == pytest.approx(float(inside + valid * outside) / 1536)


def test_the_judge_calls_true_pictures_real_and_composed_ones_fake() -> None:
    own, context, truth, mask, made = step()
    terms = own.discriminator_loss(context)
    judge = context.networks["discriminator"]
    (real, real_patch), (fake, fake_patch) = judge.seen
    corners = torch.randint(9, (2, 2), generator=torch.Generator().manual_seed(7)).tolist()
    assert torch.equal(real, truth)
    for picture, patch, (top, left) in zip(truth, real_patch, corners, strict=True):
        assert torch.equal(patch, picture[:, top:top + 8, left:left + 8])
    assert torch.equal(fake, torch.where(mask > 0, made.detach(), truth))
    assert torch.equal(fake_patch, fake[:, :, 6:14, 0:8])  # centred on rows 9-11, columns 1-5, moved into the picture
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real, real_patch)), rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(fake, fake_patch)), rel=1e-5)
    assert not terms["real"].isclose(terms["fake"])
    sum(terms.values()).backward()
    assert made.grad is None and judge.bias.grad is not None


def test_the_completion_network_is_to_pass_for_real_in_the_hole() -> None:
    own, context, truth, mask, made = step(adversarial=0.01)
    terms = own.joint_loss(context)
    judge = context.networks["discriminator"]
    (fake, patch), = judge.seen
    assert torch.equal(fake, torch.where(mask > 0, made.detach(), truth)) and torch.equal(patch, fake[:, :, 6:14, 0:8])
    assert set(terms) == {"mse", "adversarial"}
    assert terms["mse"].item() == pytest.approx(float((made.detach() - truth).square()[..., 9:12, 1:6].sum()) / 1536)
    assert terms["adversarial"].item() == pytest.approx(0.01 * softplus(-judge.score(fake, patch)), rel=1e-5)
    gradient, = torch.autograd.grad(terms["adversarial"], made)
    assert (gradient[mask.expand_as(gradient) > 0] < 0).all()  # a brighter filling has a higher score: it is wanted
    assert not gradient[mask.expand_as(gradient) == 0].any()


def test_patches_lie_at_the_hole() -> None:
    mask = torch.zeros(3, 1, 32, 32)
    mask[0, :, 10:20, 4:8] = 1
    mask[1, :, 28:, 28:] = 1
    corners = glcic.around(mask, 16)
    assert corners.tolist() == [[7, 0], [16, 16], [8, 8]]  # the third has no hole
    cut = glcic.patches(mask, corners, 16)
    assert cut.shape == (3, 1, 16, 16) and cut.sum() == mask.sum()


def test_mean_colour_counts_each_picture_the_same(tmp_path: Path) -> None:
    images = [np.full((4, 6, 3), 0, np.uint8), np.full((8, 6, 3), 255, np.uint8)]
    images[0][..., 1] = 51
    shards.write(tmp_path / "a.arrow", [shards.Record(str(n), {"image": image}) for n, image in enumerate(images)])
    mean = glcic.METHOD({}).prepare(Material(tmp_path), 1)["mean"]
    assert mean.tolist() == pytest.approx([0.5, 0.6, 0.5]) and mean.dtype == np.float32


def test_receptive_field() -> None:
    """307 by the paper's way of counting and 99 without dilation; measured 299 or 303 by the output's place."""
    assert glcic.receptive_field([2, 4, 8, 16]) == 307 and glcic.receptive_field([1, 1, 1, 1]) == 99
    network = positive(glcic.completion(2, [2, 4, 8, 16]))
    x = torch.rand(1, 4, 312, 312, dtype=torch.float64, requires_grad=True)
    made = network[:-1](x)  # before the sigmoid: the outermost paths carry little
    for place in (156, 157):
        gradient, = torch.autograd.grad(made[0, 0, place, place], x, retain_graph=True)
        rows = torch.nonzero(gradient[0].abs().sum((0, 2))).flatten()
        assert int(rows[-1] - rows[0] + 1) in (299, 303)
    assert glcic.completion(2, [1])(torch.rand(2, 4, 20, 28)).shape == (2, 3, 20, 28)


def test_known_pixels_beyond_the_field_do_not_reach_the_middle_of_a_hole() -> None:
    """The method's stated limit: a hole wider than the field is filled blindly in its middle."""
    network, field = positive(glcic.completion(2, [1])), glcic.receptive_field([1])
    for half, blind in ((field // 2 + 6, True), (field // 2 - 8, False)):
        x, known = torch.rand(1, 4, 128, 128, dtype=torch.float64, requires_grad=True), torch.ones(128, 128)
        known[64 - half:64 + half, 64 - half:64 + half] = 0
        gradient, = torch.autograd.grad(network[:-1](x)[0, 0, 64, 64], x)
        assert bool((gradient[0, :3] * known).abs().sum() == 0) == blind


def positive(network: nn.Sequential) -> nn.Sequential:
    """In evaluation mode and float64 with positive weights: every path counts and no unit is dead."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    return network.eval().double()
