"""bccnn: the layers, the blend and the loss against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.bccnn import Bccnn, BiChannel
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

INPUTS, TARGET = {"lr": draw(3, 3, 8, 8)}, {"hr": draw(3, 3, 64, 64, seed=1)}


def bccnn(**settings) -> Bccnn:
    return registry.method("face_super_resolution", "bccnn", {"patch": 64, **settings})


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_card_s_numbers_of_parameters():
    """The full drawing head is the card's; the whole is a snapshot, since its other sizes are a reading."""
    with torch.device("meta"):
        full, narrow = Bccnn({}).build()["net"], BiChannel(rank=500)
    assert parameters(full.draw) == 98_353_152 and parameters(full.blend) == 2001
    # by hand: 5 x 5 of 3 -> 32, 3 x 3 of 32 -> 64 and 64 -> 128, 2,048 -> 2,000
    assert parameters(full.features) == 2_432 + 18_496 + 73_856 + 4_098_000
    assert parameters(full) == 102_547_937
    assert parameters(narrow.draw) == 2000 * 500 + 500 + 500 * 49_152 + 49_152


@pytest.mark.parametrize(("side", "rank"), [(128, 0), (64, 0), (64, 5)])
def test_layer_by_layer(side, rank):
    torch.manual_seed(1)
    net, lr = BiChannel(side, 4, 6, rank), draw(2, 3, side // 8, side // 8)
    first, second, third = (module for module in net.features if isinstance(module, nn.Conv2d))
    linear = next(module for module in net.features if isinstance(module, nn.Linear))
    with torch.no_grad():
        x = torch.tanh(functional.conv2d(lr, first.weight, first.bias, padding=2))
        x = torch.tanh(functional.conv2d(x, second.weight, second.bias, padding=1))
        assert x.shape == (2, 8, side // 8, side // 8)
        x = torch.tanh(functional.conv2d(functional.max_pool2d(x, 2), third.weight, third.bias, padding=1))
        x = functional.max_pool2d(x, 2).flatten(1)
        assert x.shape == (2, 16 * (side // 32) ** 2)
        x = torch.tanh(functional.linear(x, linear.weight, linear.bias))
        drawn = x
        for layer in net.draw:
            drawn = functional.linear(drawn, layer.weight, layer.bias)
        assert [layer.out_features for layer in net.draw][:-1] == [rank] * bool(rank)
        alpha = 1 / (1 + torch.exp(-functional.linear(x, net.blend.weight, net.blend.bias)))
        assert alpha.shape == (2, 1) and ((alpha > 0) & (alpha < 1)).all() and alpha[0] != alpha[1]
        alpha = alpha[:, :, None, None]
        expected = alpha * imresize(lr, 8.0) + (1 - alpha) * drawn.reshape(2, 3, side, side)
        np.testing.assert_allclose(net(lr), expected, atol=1e-5)


def test_alpha_of_one_is_bicubic_and_of_zero_is_drawn():
    net = BiChannel(64, 4, 6)
    with torch.no_grad():
        net.blend.bias.fill_(100)
        assert torch.equal(net(INPUTS["lr"]), imresize(INPUTS["lr"], 8.0))
        net.blend.bias.fill_(-100)
        drawn = net.draw(net.features(INPUTS["lr"])).view(3, 3, 64, 64)
        np.testing.assert_allclose(net(INPUTS["lr"]), drawn, atol=1e-6)


def test_the_bicubic_start():
    """0.88 of the enlarged face and a drawing of about mid-grey; the other first weights stay as they are drawn."""
    nets = []
    for start in ("random", "bicubic"):
        torch.manual_seed(3)
        nets.append(bccnn(start=start, width=4, hidden=6, head_rank=3).build()["net"])
    changed = {name for (name, a), (_, b) in zip(*(net.named_parameters() for net in nets), strict=True)
               if not torch.equal(a, b)}
    assert changed == {"draw.1.bias", "blend.bias"}
    assert (nets[1].draw[1].bias == 0.5).all() and (nets[1].blend.bias == 2).all()
    assert 1 / (1 + np.exp(-2.0)) == pytest.approx(0.88, abs=0.005)


def test_the_loss_is_the_mean_squared_error():
    lift = nn.Parameter(torch.tensor(0.25))
    networks = {"net": Calls(lambda lr: lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + lift)}
    [phase] = bccnn().phases()
    [player] = phase.players
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    gap = np.kron(INPUTS["lr"].double().numpy(), np.ones((8, 8))) + 0.25 - TARGET["hr"].double().numpy()
    assert list(terms) == ["mse"] and terms["mse"].item() == pytest.approx(np.square(gap).mean(), rel=1e-5)
    assert torch.autograd.grad(terms["mse"], lift)[0].item() == pytest.approx(2 * gap.mean(), rel=1e-4)
    lit = step_with(INPUTS, TARGET, networks)
    run = bccnn(jitter=0.2)
    assert run.loss(lit)["mse"] != terms["mse"]
    assert torch.equal(networks["net"].calls[-1][0], run.faces(lit)[0])
    expected = networks["net"](run.faces(lit)[0]).sub(run.faces(lit)[1]).square().mean()
    assert run.loss(lit)["mse"].item() == pytest.approx(expected.item(), rel=1e-5), "both in the same light"


def test_the_recipe():
    paper = Bccnn({})
    [phase] = paper.phases()
    [player] = phase.players
    assert (phase.steps, player.networks, paper.settings["batch"]) == (200_000, ["net"], 64)
    made = optimiser_of(player, {"net": nn.Linear(1, 1)})
    assert isinstance(made, torch.optim.Adam) and made.defaults["lr"] == 1e-4
    assert [player.schedule(step, 10) for step in (0, 9)] == [1, 1]
    [short] = bccnn(schedule="cosine", steps=7).phases()
    assert short.steps == 7 and [short.players[0].schedule(step, 10) for step in (0, 5)] == pytest.approx([1, 0.5])


def test_restore_clips_and_refuses_another_size():
    model = Model({"net": Calls(lambda lr: 3 * lr.repeat_interleave(8, 2).repeat_interleave(8, 3) - 1)})
    sr = bccnn().restore(model, INPUTS, 1)["sr"]
    expected = (3 * np.kron(INPUTS["lr"].double().numpy(), np.ones((8, 8))) - 1).clip(0, 1)
    np.testing.assert_allclose(sr, expected, atol=1e-5)
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        bccnn().restore(model, {"lr": draw(1, 3, 10, 9)}, 1)


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run = bccnn(width=4, hidden=16, head_rank=4, start="bicubic", lr=1e-2)
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
