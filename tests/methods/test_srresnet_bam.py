"""srresnet_bam: which convolutions are binary, how their sums run through the trunk, and the stored form."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.super_resolution.srresnet_bam import SRResNetBAM
from restore_ml.nn.bit_accumulation import AccumulatingConv, binary_weights, choose_shares, kernels
from restore_ml.nn.muon import Muon
from tests.methods.binary_vdsr import sums_pass_gradients_on
from tests.methods.by_hand import draw, optimiser_of, step_with
from tests.methods.enlarging import fixed_batch, method, paper, parameters, step_of

SMALL = {"blocks": 2, "width": 6, "scales": [2, 3]}


def network(**settings) -> SRResNetBAM:
    torch.manual_seed(0)
    net = SRResNetBAM(**{**SMALL, **settings})
    stir(net)
    return net


def stir(net: nn.Module) -> None:
    """Weights, statistics and shares that are no first ones."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
            if isinstance(layer, AccumulatingConv):
                layer.share.fill_(0.2)


def bits(value: torch.Tensor) -> torch.Tensor:
    return torch.where(value >= 0, 1.0, -1.0)


def test_the_published_size_and_recipe():
    """The parent's 1,546,771, and a normalisation and a factor for each of the 33 binary convolutions."""
    run = paper("srresnet_bam")
    with torch.device("meta"):
        net = run.network()
    assert parameters(net) == 1_546_771 + 33 * (2 * 64 + 1)
    assert run.settings["scales"] == [4] and len(net.chains()[0]) == 33
    [phase] = run.phases()
    optimiser = optimiser_of(phase.players[0], {"net": network()})
    assert type(optimiser) is torch.optim.Adam and optimiser.param_groups[0]["lr"] == 1e-4
    assert optimiser.param_groups[0]["weight_decay"] == 0 and run.settings["loss"] == "l1"
    assert [phase.players[0].schedule(step, 10**6) for step in (0, 199_999, 200_000, 999_999)] == [1, 1, 0.5, 0.0625]
    assert (phase.steps, run.settings["batch"], run.settings["patch"]) == (10**6, 16, 96)


def test_its_multiply_adds_at_1280_x_720():
    """127.8 G, of which 70.1 G are of bits with bits; the paper says 127.9 G."""
    of_bits = 33 * 9 * 64 * 64
    of_numbers = 81 * 3 * 64 + 9 * 64 * 256 * (1 + 4) + 16 * 81 * 64 * 3
    with torch.device("meta"):
        net = paper("srresnet_bam").network()
    assert sum(layer.weight.numel() for layer in net.chains()[0]) == of_bits
    convolutions = [layer.weight.numel() for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(count * often for count, often in zip(convolutions, (1, 1, 4, 16), strict=True)) == of_numbers
    assert (of_bits + of_numbers) * 320 * 180 == pytest.approx(127.9e9, rel=2e-3)
    assert of_bits * 320 * 180 == pytest.approx(70.1e9, rel=1e-3)


def test_what_the_deployed_form_takes():
    """At width 6 and x2: head 81 * 3 * 6, sub-pixel 9 * 6 * 24 and tail 4 * 81 * 6 * 3 numbers a small pixel, 5 binary
    convolutions of 9 * 6 * 6 bits; 41 bytes of signs and a size in place of 324 floats."""
    taken = method("srresnet_bam", **{**SMALL, "scales": [2]}).footprint()
    pixels, numbers, bits = 640 * 360, 81 * 18 + 9 * 144 + 4 * 81 * 18, 5 * 324
    assert (taken["multiply_adds"], taken["binary_multiply_adds"]) == (pixels * numbers, pixels * bits)
    assert taken["multiply_adds_as_float"] == pixels * (numbers + bits)
    assert taken["stored_bits_as_float"] - taken["stored_bits"] == 5 * 8 * (324 * 4 - 41 - 4)


def test_the_convolutions_of_the_trunk_are_binary_and_no_others():
    net = network()
    binary = [layer for layer in net.modules() if isinstance(layer, AccumulatingConv)]
    assert net.chains() == [binary] and len(binary) == 5
    assert binary == [net.body[0].body[0], net.body[0].body[3], net.body[1].body[0], net.body[1].body[3], net.body[2]]
    floats = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert floats == [net.head[0], *(end[place] for end in net.ends.values() for place in (0, 3))]
    assert not any(name.endswith("bias") for layer in binary for name, _ in layer.named_parameters(recurse=False))
    for block in net.body[:2]:
        assert [type(layer) for layer in block.body] == [AccumulatingConv, nn.BatchNorm2d, nn.PReLU,
                                                         AccumulatingConv, nn.BatchNorm2d]


def test_weights_add_up_over_all_layers_before():
    net = network()
    [chain] = net.chains()
    made, before = kernels(chain), torch.zeros(6, 6, 3, 3)
    for layer in chain:
        assert torch.equal(made[layer], binary_weights(layer.weight, before, 0.2))
        assert made[layer].abs().unique().numel() == 1
        before = before + layer.weight.detach()


def test_activations_add_up_through_the_trunk_and_skips_stay_float():
    net, first = network().eval(), draw(1, 6, 5, 7) - 0.3
    [chain] = net.chains()
    made, layers, total, x = kernels(chain), iter(chain), 0.0, first
    with torch.no_grad():
        def binary(value: torch.Tensor) -> torch.Tensor:
            nonlocal total
            layer = next(layers)
            total = total + layer.factor * value.abs().mean(1, keepdim=True) * value
            return functional.conv2d(bits(layer.norm(total)), made[layer], padding=1)

        for block in net.body[:2]:
            y = functional.prelu(block.body[1](binary(x)), block.body[2].weight)
            x = x + block.body[4](binary(y))
        torch.testing.assert_close(net.trunk(first), first + net.body[3](binary(x)))
        lr = draw(1, 3, 5, 7)
        torch.testing.assert_close(net(lr, 3), net.ends["x3"](net.trunk(net.head(lr))))


@pytest.mark.parametrize("side", [3, 1])
def test_a_binary_layer_in_bf16_adds_up_in_float32(side):
    torch.manual_seed(0)
    layer = AccumulatingConv(4, side)
    x, before = draw(1, 4, 6, 6).bfloat16(), torch.full((1, 4, 6, 6), 256.0)
    with torch.autocast("cpu", torch.bfloat16):
        out, total = layer(x, before, layer.weight.sign())
    exact = x.float()
    torch.testing.assert_close(total, 256 + exact.abs().mean(1, keepdim=True) * exact)
    assert total.dtype == torch.float32 and out.dtype == torch.bfloat16 and out.shape == x.shape
    assert (out.float() % 2 == 0).all() and out.abs().max() <= 4 * side**2  # sums of an even number of +-1


@pytest.mark.parametrize("side", [3, 1])
def test_gradients_reach_earlier_activations_through_the_sums(side):
    sums_pass_gradients_on(AccumulatingConv(4, side))


@pytest.mark.parametrize(("name", "sizes"), [("srresnet_bam", {"blocks": 2}), ("bsrn_bam", {
    "blocks": 1, "per_block": 2})])
def test_muon_moves_the_latent_weights_of_all_binary_layers(name, sizes):
    """And the sub-pixel layers; Adam the first and last layers, factors, slopes and normalisations."""
    run = method(name, **sizes, width=6, scales=[2, 3], optimiser="muon", lr=3e-3, muon_lr=0.04)
    networks, [player] = run.build(), run.phases()[0].players
    net, optimiser = networks["net"], optimiser_of(player, networks)
    inner, others = optimiser.param_groups
    kernels = [layer.weight for chain in net.chains() for layer in chain]
    kernels += [end[0].weight for end in net.ends.values()]
    assert isinstance(optimiser, Muon) and {id(p) for p in inner["params"]} == {id(p) for p in kernels}
    assert len(kernels) + len(others["params"]) == len(list(net.parameters()))


def test_packed_signs_give_the_integers_of_the_convolution():
    """n - 2 popcount(a xor b) of the signs at each place inside is the binary convolution there."""
    net = network()
    layer = net.chains()[0][1]
    kernel, x = bits(kernels(net.chains()[0])[layer]), bits(torch.randn(1, 6, 5, 6))
    sums = functional.conv2d(x, kernel)
    patches = functional.unfold(x, 3)[0].T > 0
    unequal = (patches[:, None] != (kernel.flatten(1) > 0)[None]).sum(2)
    assert torch.equal(sums[0].flatten(1).T, (6 * 9 - 2 * unequal).float())


def test_the_first_shares_and_when_they_are_chosen(caplog):
    caplog.set_level("INFO")
    run = method("srresnet_bam", **SMALL, grid=[0.4, 0.2, 0.05], least=0.1)
    net = run.build()["net"]
    [chain] = net.chains()
    assert [layer.share.item() for layer in chain] == pytest.approx([0] + [0.2] * 4)
    [player] = run.phases()[0].players
    for step in (0, 98, 99, 100, 199):
        for layer in chain:
            layer.share.fill_(0.77)
        context = step_with({"lr": draw(1, 3, 4, 4)}, {"hr": draw(1, 3, 8, 8)}, {"net": net})
        context.step = step
        with torch.no_grad():
            player.after(context)
        chosen = [layer.share.item() for layer in chain]
        assert (chosen[0] == 0 and set(chosen[1:]) <= {torch.tensor(0.4).item(), torch.tensor(0.2).item()}) == (
            step in (99, 199)) == (f"step {step + 1}: ||W - W^B||" in caplog.text)
    with torch.no_grad():
        best = choose_shares(chain, [0.4, 0.2, 0.05], 0.1)
    assert chosen == pytest.approx([layer.share.item() for layer in chain])
    assert f"{best[0] ** 0.5:.4g}, " in caplog.text


def test_what_is_stored_is_a_bit_a_weight_and_restores_the_same():
    run, networks = method("srresnet_bam", **SMALL), {"net": network()}
    networks["net"].train()(draw(2, 3, 9, 9), 2)
    networks["net"].eval()
    state = run.store(networks)
    names = {name for name in state if name.endswith(".signs")}
    assert names == {f"net.body.{place}.signs" for place in ("0.body.0", "0.body.3", "1.body.0", "1.body.3", "2")}
    assert all(state[name].dtype == torch.uint8 and state[name].numel() == -(-6 * 6 * 9 // 8) for name in names)
    assert not any(name.endswith(".share") or name.replace(".signs", ".weight") in state for name in [*names, *state]
                   if name.endswith((".share", ".signs")))
    torch.manual_seed(9)
    fresh = run.networks()
    run.load(fresh, state)
    x = draw(1, 3, 11, 10)
    for scale in (2, 3):
        torch.testing.assert_close(fresh["net"].eval()(x, scale), networks["net"](x, scale), rtol=0, atol=1e-5)
    given = {"lr": x, "scale": torch.tensor([3])}
    loaded, trained = (run.restore(Model(nets), given, 1)["sr"] for nets in (fresh, networks))
    torch.testing.assert_close(loaded, trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", [
    lambda state: state.pop("net.body.1.body.0.signs"),
    lambda state: state.update({"net.body.2.signs": torch.zeros(3, dtype=torch.uint8)}),
    lambda state: state.pop("net.head.0.weight"),
])
def test_a_stored_form_that_does_not_fit_is_refused(change):
    run = method("srresnet_bam", **SMALL)
    state = run.store({"net": network()})
    change(state)
    with pytest.raises(RuntimeError):
        run.load(run.networks(), state)


@pytest.mark.parametrize(("settings", "words"), [
    ({"grid": []}, "grid of srresnet_bam is .*; it must be a list of shares from 0 to 1"),
    ({"grid": [0.0, 2.0]}, "it must be a list of shares"),
    ({"least": 0.5}, "least of srresnet_bam is 0.5; the grid has no share as large"),
    ({"schedule": "constant"}, "it must be halved or cosine"),
])
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(UserError, match=words):
        method("srresnet_bam", **settings)


def test_thirty_adam_steps_learn_one_batch():
    """By 5 % at least, as the card asks of binary networks; every parameter of the scale has a gradient."""
    torch.manual_seed(0)
    run = method("srresnet_bam", **{**SMALL, "scales": [2]})
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
