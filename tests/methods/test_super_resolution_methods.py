"""bicubic, vdsr and sa_subpixel_sr: published parameter counts, invariants of the cards, published figures."""

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_ycbcr
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.method import Model
from restore_ml.methods.super_resolution.sa_subpixel_sr import Discriminator, Generator
from restore_ml.methods.super_resolution.vdsr import VDSRNet, luma
from restore_ml.metrics.fidelity import psnr, psnr_y
from restore_ml.nn.self_attention import SelfAttention
from tests.methods.enlarging import fixed_batch, inputs, method, paper, parameters, restored, step_of


def test_published_parameter_counts():
    with torch.device("meta"):
        assert parameters(paper("vdsr").build()["net"]) == 665_921
        assert parameters(paper("vdsr", bias=False).build()["net"]) == 664_704
        assert parameters(VDSRNet(channels=3, bias=False)) == 667_008
        assert parameters(VDSRNet(channels=3)) == 668_227
        networks = paper("sa_subpixel_sr").build()
        assert parameters(networks["generator"]) == 1_559_864
        assert parameters(networks["discriminator"]) == 23_565_505
        assert parameters(Generator(attention=False)) == 1_549_462
        assert parameters(Discriminator(128)) == 38_245_569
        assert parameters(SelfAttention(64)) == 5_201
    assert paper("bicubic").build() == {} and not paper("bicubic").trains


def test_paper_recipes():
    [phase] = paper("vdsr").phases()
    [player] = phase.players
    assert (phase.steps, paper("vdsr").settings["batch"], paper("vdsr").settings["patch"]) == (9960, 64, 41)
    assert [player.schedule(step, 9960) for step in (0, 2489, 2490, 4980, 9959)] == pytest.approx([1, 1, .1, .01, .001])
    assert player.clip_value(0.1) == pytest.approx(1e-3) and player.clip_value(1e-4) == pytest.approx(1)
    assert player.clip_norm is None and paper("vdsr").settings["augment_scales"] == [1.0, 0.9, 0.8, 0.7, 0.6]
    for settings, clips in (({"clip": 0.4, "clip_by": "norm"}, (0.4, True)), ({"clip": 0.0}, (None, True))):
        [other] = paper("vdsr", **settings).phases()[0].players
        assert (other.clip_norm, other.clip_value is None) == clips
    optimiser = player.optimiser([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimiser, torch.optim.SGD)
    assert [optimiser.defaults[key] for key in ("lr", "momentum", "weight_decay")] == [0.1, 0.9, 1e-4]
    pixel, gan = paper("sa_subpixel_sr").phases()
    assert (pixel.steps, gan.steps) == (1_000_000, 200_000)
    assert [pixel.players[0].schedule(step, 1_000_000) for step in (0, 999_999)] == [1, 1]
    assert [player.name for player in gan.players] == ["discriminator", "generator"]
    assert [gan.players[1].schedule(step, 200_000) for step in (0, 99_999, 100_000)] == [1, 1, 0.1]
    cosine = method("sa_subpixel_sr", schedule="cosine").phases()[0].players[0].schedule
    assert cosine(0, 1_000_000) == pytest.approx(1) and cosine(1_000_000, 1_000_000) == pytest.approx(0.1)
    pixel, gan = method("sa_subpixel_sr", schedule="cosine", steps={"pixel": 60, "gan": 10}).phases()
    factors = [pixel.players[0].schedule(step, 60) for step in range(60)]
    assert factors == pytest.approx([0.1 + 0.45 * (1 + np.cos(np.pi * step / 60)) for step in range(60)])
    assert {player.schedule(step, 10) for player in gan.players for step in range(10)} == {0.1}


@pytest.mark.parametrize(("name", "settings"), [("vdsr", {"loss": "l2"}), ("vdsr", {"schedule": "x"}), ("vdsr", {
    "optimiser": "lion"}), ("vdsr", {"clip_by": "mean"}), ("vdsr", {"augment_scales": []}), ("vdsr", {
        "augment_scales": [1.0, 1.2]}), ("sa_subpixel_sr", {"scales": [3]}), ("sa_subpixel_sr", {"scales": [2, 4]}),
    ("sa_subpixel_sr", {"schedule": "linear"}), ("sa_subpixel_sr", {"start": "zero"}), (
        "sa_subpixel_sr", {"start": "interpolation", "tanh": True})])
def test_wrong_settings_are_refused(name, settings):
    with pytest.raises(UserError):
        method(name, **settings)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("shape", [(37, 45), (48, 33)])
def test_any_size_gives_scale_times_the_size(scale, shape):
    given = inputs(data.astronaut()[:shape[0] * scale, :shape[1] * scale], scale)
    runs = [method("bicubic"), method("vdsr")] + ([method("sa_subpixel_sr", scales=[scale])] if scale != 3 else [])
    for run in runs:
        networks = run.build()
        picture = restored(run, networks, given)
        assert picture.shape == (shape[0] * scale, shape[1] * scale, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, restored(run, networks, given))


def test_bicubic_is_the_resize():
    hr = data.astronaut()[:60, :80]
    lr = imresize(hr, 0.5)
    difference = restored(method("bicubic"), {}, inputs(hr, 2)).astype(int) - imresize(lr, 2)
    assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 1e-3  # halves, in float32


def test_bicubic_stays_in_the_range_where_the_cubic_overshoots():
    edge = torch.tensor([0.0, 0, 0, 1, 1, 1]).expand(1, 3, 6, 6)
    found = method("bicubic").restore(Model(), {"lr": edge, "scale": torch.tensor([4])}, 1)["sr"]
    assert (found.min(), found.max()) == (0, 1)
    assert imresize(edge, 4.0).min() < -0.01 and imresize(edge, 4.0).max() > 1.01


def test_bicubic_figures_of_the_card():
    for name, figures in (("astronaut", {2: 31.7127, 4: 26.8439, 8: 23.0598}), ("camera", {2: 29.8939, 4: 26.1696})):
        image = getattr(data, name)()
        for scale, figure in figures.items():
            hr = modcrop(image, scale)
            up = imresize(imresize(hr, 1 / scale), scale)
            inside = (slice(scale, -scale), slice(scale, -scale))
            got = psnr_y(up, hr, scale) if hr.ndim == 3 else psnr(up[inside], hr[inside])
            assert got == pytest.approx(figure, abs=2e-3), (name, scale)


def test_vdsr_without_its_last_layer_is_bicubic():
    hr = data.astronaut()[100:190, 100:190]
    for scale in (2, 3):
        run = method("vdsr")
        networks = run.build()
        nn.init.zeros_(networks["net"].last.weight)
        given = inputs(hr, scale)
        difference = restored(run, networks, given).astype(int) - restored(method("bicubic"), {}, given)
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 1e-3  # to YCbCr and back in float32


def test_vdsr_sees_41_pixels():
    """A disturbance moves outputs up to 20 pixels away, no further."""
    torch.manual_seed(0)
    net = VDSRNet(20, 4).double()
    x = torch.rand(1, 1, 61, 61, dtype=torch.float64, requires_grad=True)
    net(x)[0, 0, 30, 30].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert 10 <= rows.min() < 30 < rows.max() <= 50
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.abs_()
    x.grad = None
    net(x)[0, 0, 30, 30].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero()[:, 0]
    assert (int(rows.min()), int(rows.max())) == (10, 50)


def test_vdsr_changes_luma_only():
    run, hr = method("vdsr", last_std=0.0), data.astronaut()[:64, :64]
    torch.manual_seed(0)
    given = inputs(hr, 2)
    networks = run.build()
    with torch.no_grad():
        networks["net"].last.weight.mul_(0.05)
        change = (rgb_to_ycbcr(run.restore(Model(networks), given, 0)["sr"])
                  - rgb_to_ycbcr(imresize(given["lr"], 2).clip(0, 1)))
        inside = (imresize(given["lr"], 2).min(1).values > 0.2) & (imresize(given["lr"], 2).max(1).values < 0.8)
    assert change[:, 0][inside].abs().max() > 0.05 and change[:, 1:].transpose(0, 1)[:, inside].abs().max() < 0.05


def test_pixel_shuffle_by_its_definition():
    torch.manual_seed(0)
    x, shuffle = torch.randn(1, 8, 3, 4), nn.PixelShuffle(2)
    out = shuffle(x)
    for c, i, j, p, q in ((0, 0, 0, 0, 1), (1, 2, 3, 1, 0), (1, 1, 2, 1, 1)):
        assert out[0, c, 2 * i + p, 2 * j + q] == x[0, 4 * c + 2 * p + q, i, j]
    assert [type(layer) for layer in Generator(4).up] == [nn.Conv2d, nn.PixelShuffle, nn.PReLU] * 2


def test_batches_do_not_mix():
    torch.manual_seed(0)
    for network, channels in ((VDSRNet(4, 8), 1), (Generator(2, 2, 16), 3)):
        pair = torch.rand(2, channels, 12, 14)
        with torch.no_grad():
            torch.testing.assert_close(network.eval()(pair)[:1], network(pair[:1]), atol=1e-5, rtol=0)


def test_only_its_own_scale_is_supported():
    run = paper("sa_subpixel_sr")
    assert run.unsupported("x4") is None and run.unsupported("x4_noise") is None
    assert run.unsupported("x2") == "made for x4" and run.unsupported("x2_noise") == "made for x4"
    assert all(paper(name).unsupported("x2_blur") is None for name in ("bicubic", "vdsr"))


def test_vdsr_loss_values():
    context = fixed_batch(2, 16)
    truth = luma(context.target["hr"])
    zero = type("Zero", (nn.Module,), {"forward": lambda self, x: torch.zeros_like(x)})()
    values = {name: float(method("vdsr", loss=name).loss(step_of(context, {"net": zero}, 0))[name])
              for name in ("sse", "mse", "l1")}
    assert values["mse"] == pytest.approx(float(truth.square().mean()), rel=1e-5)
    assert values["sse"] == pytest.approx(values["mse"] * 16 * 16 / 2, rel=1e-5)
    assert values["l1"] == pytest.approx(float(truth.mean()), rel=1e-5)


def train(name: str, scale: int, steps: int, **settings) -> list[float]:
    """Adam on one fixed batch; the loss before each step and after the last."""
    torch.manual_seed(0)
    run = method(name, **settings)
    networks, context, player = run.build(), fixed_batch(scale, 32), run.phases()[0].players[0]
    optimiser = torch.optim.Adam([p for key in player.networks for p in networks[key].parameters()], 5e-3)
    losses = []
    for step in range(steps + 1):
        loss = sum(player.loss(step_of(context, networks, step)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(("name", "scale", "settings"), [("vdsr", 2, {"last_std": 0.0}), ("vdsr", 3, {
    "last_std": 0.0, "loss": "sse"}), ("sa_subpixel_sr", 4, {}), ("sa_subpixel_sr", 2, {"scales": [2]}), (
        "sa_subpixel_sr", 4, {"tanh": True})])
def test_thirty_adam_steps_learn_one_batch(name, scale, settings):
    losses = train(name, scale, 30, **settings)
    assert losses[-1] < 0.7 * losses[0]


def paper_losses(steps: int, **settings) -> list[float]:
    """The recipe of VDSR's paper (rate, momentum, decay, clipping; a narrow network of 20 layers) on one batch."""
    torch.manual_seed(0)
    run = paper("vdsr", width=16, **settings)
    net, context, player = run.build()["net"], fixed_batch(2, 24), run.phases()[0].players[0]
    optimiser, losses = player.optimiser(net.parameters()), []
    for step in range(steps + 1):
        loss = player.loss(step_of(context, {"net": net}, step))["sse"]
        optimiser.zero_grad()
        loss.backward()
        if player.clip_norm:
            nn.utils.clip_grad_norm_(net.parameters(), player.clip_norm)
        if player.clip_value:
            nn.utils.clip_grad_value_(net.parameters(), player.clip_value(optimiser.defaults["lr"]))
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_the_paper_s_recipe_of_vdsr_learns_and_a_larger_theta_does_not():
    context = fixed_batch(2, 24)
    difference = imresize(luma(context.inputs["lr"]), 2) - luma(context.target["hr"])
    bicubic = float(difference.square().sum()) / 2 / 4
    assert paper_losses(40)[-1] < 0.7 * bicubic
    assert paper_losses(40, clip=0.4, clip_by="norm", bias=False)[-1] < 0.75 * bicubic
    assert max(paper_losses(40, clip=0.01)[20:]) > 2 * bicubic


def test_vdsr_that_starts_at_bicubic_becomes_better_than_bicubic():
    losses = train("vdsr", 2, 150)
    context = fixed_batch(2, 32)
    bicubic = float((imresize(luma(context.inputs["lr"]), 2) - luma(context.target["hr"])).square().mean())
    assert losses[0] == pytest.approx(bicubic, rel=0.02)
    assert losses[-1] < 0.8 * bicubic


def test_adversarial_players_learn_against_each_other():
    torch.manual_seed(0)
    run = method("sa_subpixel_sr", lr=1e-3, adversarial_weight=0.05)
    networks, context = run.build(), fixed_batch(4, 32)
    [discriminator, generator] = run.phases()[1].players
    optimisers = {player.name: player.optimiser([p for key in player.networks for p in networks[key].parameters()])
                  for player in (discriminator, generator)}
    first = last = {}
    for step in range(25):
        now = step_of(context, networks, step)
        for player in (discriminator, generator):
            terms = player.loss(now)
            optimisers[player.name].zero_grad()
            sum(terms.values()).backward(inputs=[p for key in player.networks for p in networks[key].parameters()])
            optimisers[player.name].step()
            last = {**last, **{f"{player.name}.{key}": float(value.detach()) for key, value in terms.items()}}
        first = first or last
    assert set(first) == {"discriminator.real", "discriminator.fake", "generator.adversarial", "generator.mse"}
    assert last["discriminator.real"] < first["discriminator.real"]
    assert last["generator.mse"] < first["generator.mse"]
