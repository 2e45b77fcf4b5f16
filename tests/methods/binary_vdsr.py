"""What the tests of the binary networks on VDSR share."""

import torch
from torch import nn

from restore_ml.method import Model
from tests.methods.by_hand import draw, step_with
from tests.methods.enlarging import fixed_batch, method, step_of

SIZES = {"layers": 5, "width": 6}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def run_and_network(name: str, **settings):
    """The method, and its network away from its first weights, with statistics, in evaluation mode."""
    run = method(name, **{**SIZES, **settings})
    torch.manual_seed(0)
    net = run.build()["net"]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        for norm in (layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)):
            norm.running_mean.copy_(0.1 * torch.randn(norm.num_features))
            norm.running_var.copy_(0.5 + torch.rand(norm.num_features))
    return run, net.eval()


def normal(norm: nn.BatchNorm2d, value: torch.Tensor) -> torch.Tensor:
    """A batch normalisation in evaluation mode, written out."""
    shape = (1, -1, 1, 1)
    scaled = (value - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return scaled * norm.weight.view(shape) + norm.bias.view(shape)


def deployed_gives_the_same(name: str, planes: int, **settings) -> None:
    """What is stored holds a bit a latent weight and plane, and gives the training graph's output to 1e-5."""
    run, net = run_and_network(name, **settings)
    state = run.store({"net": net})
    packed = [value for key, value in state.items() if key.endswith("signs")]
    assert len(packed) == 3 and all(value.numel() == -(-planes * 6 * 6 * 9 // 8) for value in packed)
    assert not [key for key in state if ".body." in key and key.endswith(".weight") and ".norm." not in key]
    torch.manual_seed(9)
    fresh = run.networks()
    run.load(fresh, state)
    x = draw(1, 1, 11, 10)
    torch.testing.assert_close(fresh["net"].eval()(x), net(x), rtol=0, atol=1e-5)
    inputs = {"lr": draw(1, 3, 8, 7), "scale": torch.tensor([2])}
    loaded, trained = (run.restore(Model(nets), inputs, 1)["sr"] for nets in (fresh, {"net": net}))
    torch.testing.assert_close(loaded, trained, rtol=0, atol=1e-5)
    again = run.store(fresh | {"net": net})
    assert all(torch.equal(again[key], value) for key, value in state.items())


def learns_one_batch(name: str, **settings) -> None:
    """By 5 % at least within thirty steps; every parameter has a gradient."""
    torch.manual_seed(0)
    run = method(name, **{**SIZES, **settings})
    networks, batch, [player] = run.build(), fixed_batch(2, 24), run.phases()[0].players
    optimiser, losses = torch.optim.Adam(networks["net"].parameters(), 2e-3), []
    for step in range(31):
        loss = player.loss(step_of(batch, networks, step))["l1"]
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in networks["net"].parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def is_the_input_without_its_last_layer(name: str, **settings) -> None:
    _, net = run_and_network(name, **settings)
    nn.init.zeros_(net.last.weight)
    nn.init.zeros_(net.last.bias)
    x = draw(1, 1, 6, 7)
    assert torch.equal(net(x), x)


def after_a_step(run, net) -> None:
    """What the player does after a step, on this network."""
    [player] = run.phases()[0].players
    with torch.no_grad():
        player.after(step_with({"lr": draw(1, 3, 4, 4)}, {"hr": draw(1, 3, 8, 8)}, {"net": net}))


def sums_pass_gradients_on(layer) -> None:
    """A layer that adds up activations: what reaches its input, the sum before it, its factor and its kernel, where its
    output has the gradient g and the new sum h. The sum gets what the signs let through and h, and hands it on whole;
    the mean map of |A| has its gradient too. Two samples that do not mix."""
    layer.eval()
    side, f = layer.weight.shape[2], 0.7
    x, before = numbers(2, 4, 5, 6).requires_grad_(), numbers(2, 4, 5, 6, seed=1).requires_grad_()
    kernel = numbers(4, 4, side, side, seed=2).requires_grad_()
    g, h = numbers(2, 4, 5, 6, seed=3), numbers(2, 4, 5, 6, seed=4)
    with torch.no_grad():
        layer.factor.fill_(f)
        layer.norm.running_var.copy_(0.5 + draw(4))
        layer.norm.bias.copy_(numbers(4, seed=5) / 4)
    out, total = layer(x, before, kernel)
    ((g * out).sum() + (h * total).sum()).backward()
    with torch.no_grad():
        size = x.abs().mean(1, keepdim=True)
        z = normal(layer.norm, before + f * size * x)
        scale = layer.norm.weight / (layer.norm.running_var + layer.norm.eps).sqrt()
        lower = torch.nn.grad.conv2d_input(x.shape, kernel, g, padding=side // 2) * (z.abs() <= 1)
        at_sum = lower * scale.view(1, -1, 1, 1) + h
        own = f * (size * at_sum + x.sign() / 4 * (at_sum * x).sum(1, keepdim=True))
        bits = torch.where(z >= 0, 1.0, -1.0)
        at_kernel = torch.nn.grad.conv2d_weight(bits, kernel.shape, g, padding=side // 2)
    torch.testing.assert_close(before.grad, at_sum)
    torch.testing.assert_close(x.grad, own, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.factor.grad, (at_sum * size * x).sum().detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kernel.grad, at_kernel)
    assert (z.abs() > 1).any() and (z.abs() < 1).any()
