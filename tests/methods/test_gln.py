"""gln: both networks, luma and the loss against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_ycbcr
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.gln import Gln, GlobalLocal
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

INPUTS, TARGET = {"lr": draw(3, 3, 8, 8)}, {"hr": draw(3, 3, 64, 64, seed=1)}


def gln(**settings) -> Gln:
    return registry.method("face_super_resolution", "gln", {"patch": 64, **settings})


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def luma(faces: torch.Tensor) -> np.ndarray:
    """Y of BT.601 studio swing over 255, by its weights."""
    red, green, blue = faces.double().numpy().transpose(1, 0, 2, 3)
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue)[:, None] / 255


@pytest.mark.parametrize(("local", "count", "sizes"), [
    ("LN4", 77_073, [(5, 16), (7, 64), (5, 16), (5, 1)]),
    ("LN6", 239_953, [(5, 16), (7, 32), (7, 64), (7, 32), (5, 16), (5, 1)]),
    ("LN8", 641_489, [(5, 16), (7, 32), (7, 64), (7, 64), (7, 64), (7, 32), (5, 16), (5, 1)])])
def test_the_card_s_numbers_of_parameters(local, count, sizes):
    with torch.device("meta"):
        net = Gln({"local": local}).build()["net"]
    assert parameters(net.local) == count and parameters(net.detail) == 4_408_064
    assert parameters(net.enlarge) == 16 * 16 + 1
    convolutions = [layer for layer in net.local if isinstance(layer, nn.Conv2d)]
    assert [(layer.kernel_size[0], layer.out_channels) for layer in convolutions] == sizes
    assert parameters(net.detail) > 6 * 641_489, "fully connected layers are most of it"


@pytest.mark.parametrize(("side", "channels"), [(128, 1), (64, 1), (64, 3)])
def test_layer_by_layer(side, channels):
    """Two maps a channel; ReLU between layers and none behind the last one of either network."""
    torch.manual_seed(1)
    net, small = GlobalLocal(side, (5, 6, 7), "LN4", 2, channels), draw(2, channels, side // 8, side // 8)
    linear = [module for module in net.detail if isinstance(module, nn.Linear)]
    convolutions = [module for module in net.local if isinstance(module, nn.Conv2d)]
    assert [layer.out_features for layer in linear] == [5, 6, 7, channels * side**2]
    with torch.no_grad():
        x = small.flatten(1)
        for layer in linear[:-1]:
            x = functional.relu(functional.linear(x, layer.weight, layer.bias))
        detail = functional.linear(x, linear[-1].weight, linear[-1].bias).reshape(2, channels, side, side)
        enlarged = functional.interpolate(small, scale_factor=8, mode="bilinear", align_corners=False)
        x = torch.cat([enlarged, detail], 1)
        for layer in convolutions[:-1]:
            x = functional.relu(functional.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2))
        x = functional.conv2d(x, convolutions[-1].weight, convolutions[-1].bias, padding=2)
        made = net(small)
        np.testing.assert_allclose(made, x, atol=1e-5)
    assert made.shape == (2, channels, side, side) and (made < 0).any() and (detail < 0).any()


@pytest.mark.parametrize("local", ["LN4", "LN8"])
@pytest.mark.parametrize("rgb", [False, True])
def test_without_detail_and_with_a_local_network_that_passes_on_it_is_bilinear(local, rgb):
    torch.manual_seed(2)
    run = gln(hidden=[4, 4, 4], local=local, local_width=3, start="interpolation", rgb=rgb)
    net, small = run.build()["net"], INPUTS["lr"] if rgb else INPUTS["lr"][:, :1]
    bilinear = functional.interpolate(small, scale_factor=8, mode="bilinear", align_corners=False)
    assert all(parameter.any() for parameter in net.parameters() if parameter.ndim > 1), "every layer can learn"
    with torch.no_grad():
        near = net(small)
        assert (near - bilinear).abs().max() < 0.03 and not torch.equal(near, bilinear)
        net.detail[-1].weight.zero_(), net.detail[-1].bias.fill_(0.25)
        channels = len(small[0])
        net.local[-1].weight[:, channels:] = 0
        np.testing.assert_allclose(net(small), bilinear + 0.25, atol=1e-5)


def test_the_interpolating_start_is_a_hundredth_of_the_rest():
    nets = []
    for start in ("random", "interpolation"):
        torch.manual_seed(3)
        nets.append(gln(hidden=[4, 4, 4], local_width=2, start=start).build()["net"])
    plain, made = nets
    assert torch.equal(made.detail[-1].weight, plain.detail[-1].weight * 0.01)
    assert torch.equal(made.detail[-1].bias, plain.detail[-1].bias * 0.01)
    assert torch.equal(made.local[-1].weight[:, 1:], plain.local[-1].weight[:, 1:] * 0.01)
    assert torch.equal(made.local[2].weight[1:], plain.local[2].weight[1:])
    assert torch.equal(made.local[0].bias[1:], plain.local[0].bias[1:])


def test_the_loss_is_the_mean_squared_error_of_luma_or_of_all_colours():
    lift = nn.Parameter(torch.tensor(0.25))
    networks = {"net": Calls(lambda small: small.repeat_interleave(8, 2).repeat_interleave(8, 3) + lift)}
    for run, seen in ((gln(), luma), (gln(rgb=True), lambda x: x.double().numpy())):
        terms = run.loss(step_with(INPUTS, TARGET, networks))
        gap = np.kron(seen(INPUTS["lr"]), np.ones((8, 8))) + 0.25 - seen(TARGET["hr"])
        assert list(terms) == ["mse"] and terms["mse"].item() == pytest.approx(np.square(gap).mean(), rel=1e-4)
        assert torch.autograd.grad(terms["mse"], lift)[0].item() == pytest.approx(2 * gap.mean(), rel=1e-3)
    run, lit = gln(jitter=0.2), step_with(INPUTS, TARGET, networks)
    value = run.loss(lit)["mse"].item()
    seen, truth = (luma(faces) for faces in run.faces(lit))
    assert value == pytest.approx(np.square(np.kron(seen, np.ones((8, 8))) + 0.25 - truth).mean(), rel=1e-4)
    np.testing.assert_allclose(networks["net"].calls[-1][0], seen, atol=1e-6)


def test_restored_luma_gets_bicubic_chroma():
    networks = {"net": Calls(lambda small: small.repeat_interleave(8, 2).repeat_interleave(8, 3) * 0.9)}
    mild = {"lr": 0.4 + 0.2 * INPUTS["lr"]}  # nothing is clipped
    sr = gln().restore(Model(networks), mild, 1)["sr"]
    np.testing.assert_allclose(luma(sr), 0.9 * np.kron(luma(mild["lr"]), np.ones((8, 8))), atol=1e-5)
    np.testing.assert_allclose(rgb_to_ycbcr(sr)[:, 1:], imresize(rgb_to_ycbcr(mild["lr"])[:, 1:], 8.0), atol=1e-3)
    assert networks["net"].calls[0][0].shape == (3, 1, 8, 8)
    np.testing.assert_allclose(gln(rgb=True).restore(Model(networks), mild, 1)["sr"],
                               0.9 * np.kron(mild["lr"], np.ones((8, 8))), atol=1e-5)


def test_restore_clips_and_refuses_another_size():
    model = Model({"net": Calls(lambda small: 3 * small.repeat_interleave(8, 2).repeat_interleave(8, 3) - 1)})
    sr = gln(rgb=True).restore(model, INPUTS, 1)["sr"]
    np.testing.assert_allclose(sr, (3 * np.kron(INPUTS["lr"], np.ones((8, 8))) - 1).clip(0, 1), atol=1e-5)
    assert gln().restore(model, INPUTS, 1)["sr"].min() == 0
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        gln().restore(model, {"lr": draw(1, 3, 10, 9)}, 1)


def test_the_recipe():
    paper = Gln({})
    [phase] = paper.phases()
    [player] = phase.players
    assert (phase.steps, player.networks, paper.settings["batch"]) == (200_000, ["net"], 64)
    made = optimiser_of(player, {"net": nn.Linear(1, 1)})
    assert isinstance(made, torch.optim.Adam) and made.defaults["lr"] == 1e-4
    assert [player.schedule(step, 10) for step in (0, 9)] == [1, 1]
    [short] = gln(schedule="cosine", steps=7).phases()
    assert short.steps == 7 and [short.players[0].schedule(step, 10) for step in (0, 5)] == pytest.approx([1, 0.5])
    with pytest.raises(UserError, match="local of gln is 'LN5'; it must be LN4, LN6 or LN8"):
        gln(local="LN5")


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run = gln(hidden=[16, 16, 16], local_width=2, start="interpolation", lr=1e-2)
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for _ in range(30):
        loss = player.loss(step_with(INPUTS, TARGET, networks))["mse"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
