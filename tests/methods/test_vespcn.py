"""vespcn and bicubic of clips: the card's counts and invariants, and every term against values by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage import data
from skimage.color import rgb2ycbcr, ycbcr2rgb
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Model
from restore_ml.methods.video_super_resolution.vespcn import EarlyFusion, Vespcn, roughness
from restore_ml.nn.motion import MotionTransformer, warp
from restore_ml.restoring import harness
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

PARTS = registry.parts("video_super_resolution")
LR, HR = draw(2, 3, 3, 8, 12), draw(2, 3, 3, 32, 48, seed=1)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def luma(rgb: torch.Tensor) -> np.ndarray:
    return rgb2ycbcr(rgb.double().numpy(), channel_axis=-3)[..., :1, :, :] / 255


def enlarged(y: np.ndarray, scale: float = 4.0) -> np.ndarray:
    return np.stack([imresize(one[0], scale)[None] for one in y])


def repeated(y: torch.Tensor, scale: int = 4) -> torch.Tensor:
    return y.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def clip(frames: int = 9, shift: float = 2.0, height: int = 60, width: int = 76) -> np.ndarray:
    """A picture that moves to the left by `shift` pixels a frame."""
    columns = np.arange(width) + 100
    picture = data.astronaut()[:height].astype(float)
    steps = [map_coordinates(picture[..., channel], np.meshgrid(np.arange(height), columns + shift * step,
                                                                indexing="ij"), order=3)
             for step in range(frames) for channel in range(3)]
    return np.rint(np.clip(steps, 0, 255)).astype(np.uint8).reshape(frames, 3, height, width).transpose(0, 2, 3, 1)


def test_the_card_s_parameter_counts():
    with torch.device("meta"):
        assert [parameters(EarlyFusion(frames)) for frames in (3, 5, 7)] == [40_600, 41_032, 41_464]
        assert parameters(MotionTransformer()) == 53_392
        assert [parameters(part) for part in (MotionTransformer().coarse, MotionTransformer().fine)] == [33_008, 20_384]
        networks = Vespcn({}).build()
        assert {name: parameters(network) for name, network in networks.items()} == {"motion": 53_392, "net": 40_600}
        assert parameters(Vespcn({"degradation": "x3", "frames": 5}).build()["net"]) == 41_032 - 7 * 217


def test_the_recipe():
    [phase] = Vespcn({}).phases()
    [player] = phase.players
    assert player.networks == ["motion", "net"] and phase.steps == Vespcn.paper["steps"]
    assert (Vespcn.paper["batch"], Vespcn.paper["patch"], Vespcn.paper["frames"]) == (16, 4 * 33, 3)
    optimiser = optimiser_of(player, Vespcn({"width": 4, "layers": 2}).build())
    assert isinstance(optimiser, torch.optim.Adam) and optimiser.defaults["lr"] == 1e-4
    assert len(optimiser.param_groups[0]["params"]) == 2 * (5 + 5 + 2)
    assert {player.schedule(step, 10) for step in range(10)} == {1.0}
    linear = Vespcn({"schedule": "linear"}).phases()[0].players[0].schedule
    assert linear(5, 10) == 0.5


# --- motion -----------------------------------------------------------------------------------------------------------


def test_warping_reads_at_the_place_that_the_flow_says():
    """out(p) = x(p + flow(p)), bilinear, the last pixels go on beyond the edges; u counts columns, v rows."""
    frame, flow = draw(2, 3, 9, 11), 6 * draw(2, 2, 9, 11, seed=1) - 3
    rows, columns = np.mgrid[:9, :11]
    expected = [[map_coordinates(channel, [rows + flow[n, 1].numpy(), columns + flow[n, 0].numpy()], order=1,
                                 mode="nearest") for channel in frame[n].double().numpy()] for n in range(2)]
    np.testing.assert_allclose(warp(frame, flow).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(warp(frame, torch.zeros_like(flow)), frame, atol=1e-6, rtol=0)
    flow[:, 0], flow[:, 1] = 1, 0
    torch.testing.assert_close(warp(frame, flow)[..., :-1], frame[..., 1:], atol=1e-5, rtol=0)


def by_hand_layers(part, x: torch.Tensor, kernels: list[tuple[int, int]], shuffle: int) -> torch.Tensor:
    convolutions = [module for module in part if hasattr(module, "weight")]
    for layer, (kernel, stride) in zip(convolutions, kernels, strict=False):
        assert tuple(layer.weight.shape[2:]) == (kernel, kernel)
        x = functional.conv2d(x, layer.weight, layer.bias, stride, kernel // 2).clamp(min=0)
    last = convolutions[-1]
    x = functional.conv2d(x, last.weight, last.bias, 1, 1).tanh()
    n, _, h, w = x.shape
    return x.view(n, 2, shuffle, shuffle, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, h * shuffle, w * shuffle)


def test_the_flow_is_found_coarse_to_fine():
    torch.manual_seed(0)
    motion = MotionTransformer(gain=3.0)
    for part in (motion.coarse, motion.fine):
        torch.nn.init.normal_(part[-3].weight, std=0.1)
    frame, reference = draw(2, 1, 8, 12), draw(2, 1, 8, 12, seed=1)
    coarse = by_hand_layers(motion.coarse, torch.cat([frame, reference], 1), [(5, 2), (3, 1), (5, 2), (3, 1)], 4)
    moved = warp(frame, 3 * coarse)
    fine = by_hand_layers(motion.fine, torch.cat([frame, reference, coarse, moved], 1),
                          [(5, 2), (3, 1), (3, 1), (3, 1)], 2)
    flow = motion(frame, reference)
    torch.testing.assert_close(flow, 3 * (coarse + fine))
    assert flow.abs().mean() > 0.05


def test_odd_sizes_are_mirrored_at_the_far_edges():
    torch.manual_seed(0)
    motion, frame, reference = MotionTransformer(), draw(1, 1, 15, 18), draw(1, 1, 15, 18, seed=1)
    frames = [np.pad(one[0, 0].numpy(), ((0, 1), (0, 2)), mode="reflect") for one in (frame, reference)]
    larger = motion(*(torch.from_numpy(one)[None, None] for one in frames))
    torch.testing.assert_close(motion(frame, reference), larger[..., :15, :18])


def test_training_begins_with_frames_that_stand_still():
    """`gain` pixels at the very most; at the start less than a tenth of a pixel."""
    torch.manual_seed(0)
    motion, frame, reference = MotionTransformer(gain=2.0), draw(1, 1, 16, 16), draw(1, 1, 16, 16, seed=1)
    assert motion(frame, reference).abs().max() < 0.1
    for part in (motion.coarse, motion.fine):
        torch.nn.init.constant_(part[-3].bias, 50.0)
    torch.testing.assert_close(motion(frame, reference), torch.full((1, 2, 16, 16), 4.0))


def test_motion_is_learned_from_the_warping_error_alone():
    """A clip that moves by one low-resolution pixel a frame."""
    torch.manual_seed(0)
    motion = MotionTransformer(gain=2.0)
    frames = torch.from_numpy(luma(torch.from_numpy(clip(3, 1.0, 44, 52)).permute(0, 3, 1, 2) / 255)).float()
    optimiser, errors = torch.optim.Adam(motion.parameters(), 4e-3), []
    for _ in range(30):
        flow = motion(frames[1:], frames[:-1])
        error = functional.mse_loss(warp(frames[1:], flow), frames[:-1])
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.25 * errors[0]
    inner = flow[..., 8:-8, 8:-8]  # the content comes from one pixel further left in the next frame
    assert inner[:, 0].median().item() == pytest.approx(-1, abs=0.25) and abs(inner[:, 1].median().item()) < 0.25


# --- fusion -----------------------------------------------------------------------------------------------------------


def test_the_fusion_by_hand():
    torch.manual_seed(0)
    net, x = EarlyFusion(3, 2, layers=3, width=5), draw(1, 3, 6, 7)
    first, second = net.body[0], net.body[2]
    features = functional.conv2d(x, first.weight, first.bias, padding=1).clamp(min=0)
    features = functional.conv2d(features, second.weight, second.bias, padding=1).clamp(min=0)
    detail = functional.conv2d(features, net.last.weight, net.last.bias, padding=1)
    expected = detail.view(1, 2, 2, 6, 7).permute(0, 3, 1, 4, 2).reshape(1, 1, 12, 14)
    torch.testing.assert_close(net(x), expected)


def test_first_weights():
    torch.manual_seed(0)
    he, small = EarlyFusion(width=64), EarlyFusion(width=64, last_std=0.01)
    assert he.body[2].weight.std().item() == pytest.approx(np.sqrt(2 / 576), rel=0.05)
    assert he.last.weight.std().item() == pytest.approx(np.sqrt(2 / 576), rel=0.05)
    assert small.last.weight.std().item() == pytest.approx(0.01, rel=0.05) and not small.last.bias.any()
    motion = MotionTransformer()
    assert motion.coarse[0].weight.std().item() == pytest.approx(np.sqrt(2 / 50), rel=0.1)
    assert [part[-3].weight.std().item() for part in (motion.coarse, motion.fine)] == pytest.approx([1e-3] * 2, rel=0.1)


# --- the loss ---------------------------------------------------------------------------------------------------------


def by_hand_roughness(flow: np.ndarray) -> float:
    total = []
    for field in flow:
        for row in range(field.shape[1]):
            for column in range(field.shape[2]):
                square = 0.01
                for part in field:
                    if row + 1 < part.shape[0]:
                        square += (part[row + 1, column] - part[row, column]) ** 2
                    if column + 1 < part.shape[1]:
                        square += (part[row, column + 1] - part[row, column]) ** 2
                total.append(np.sqrt(square))
    return float(np.mean(total))


def test_roughness_by_hand():
    flow = draw(2, 2, 4, 5)
    assert roughness(flow).item() == pytest.approx(by_hand_roughness(flow.double().numpy()), rel=1e-5)
    assert roughness(torch.full((1, 2, 4, 5), 3.0)).item() == pytest.approx(0.1)


def test_the_loss_by_hand():
    """MSE of the middle frame; per neighbour beta times the warping error and lambda times the roughness."""
    flows = 0.5 * draw(2, 2, 2, 8, 12, seed=2)
    motion = Calls(lambda frame, reference: flows[len(motion.calls) - 1])
    net = Calls(lambda aligned: 0.1 * repeated(aligned[:, :1]) - 0.2 * repeated(aligned[:, 2:]) + 0.05)
    context = step_with({"lr": LR, "scale": torch.tensor([4, 4])}, {"hr": HR}, {"motion": motion, "net": net})
    terms = Vespcn({"beta": 0.7, "huber": 0.03}).loss(context)
    low, truth = luma(LR), luma(HR)[:, 1]
    for call, neighbour in zip(motion.calls, (0, 2), strict=True):
        np.testing.assert_allclose(call[0], low[:, neighbour], atol=1e-5)
        np.testing.assert_allclose(call[1], low[:, 1], atol=1e-5)
    moved = [warp(torch.from_numpy(low[:, neighbour]).float(), flow).double().numpy()
             for neighbour, flow in zip((0, 2), flows, strict=True)]
    np.testing.assert_allclose(net.calls[0][0], np.concatenate([moved[0], low[:, 1], moved[1]], 1), atol=1e-5)
    detail = np.kron(0.1 * moved[0] - 0.2 * moved[1], np.ones((4, 4))) + 0.05
    assert list(terms) == ["mse", "warping", "huber"]
    assert terms["mse"].item() == pytest.approx(np.square(enlarged(low[:, 1]) + detail - truth).mean(), rel=1e-4)
    assert terms["warping"].item() == pytest.approx(0.7 * sum(np.square(one - low[:, 1]).mean() for one in moved),
                                                    rel=1e-4)
    assert terms["huber"].item() == pytest.approx(0.03 * sum(by_hand_roughness(flow.double().numpy())
                                                             for flow in flows), rel=1e-4)
    plain = Vespcn({"residual": False})
    assert plain.enlarged(net, torch.from_numpy(low).float(), [torch.zeros(2, 1, 8, 12)] * 2).mean().item() == (
        pytest.approx(0.05))


def test_five_frames_are_fused_in_the_order_of_time():
    low = draw(1, 5, 1, 8, 12)
    motion = Calls(lambda frame, reference: torch.zeros(1, 2, 8, 12))
    net = Calls(lambda aligned: 0 * repeated(low[:, 0]))
    method = Vespcn({"frames": 5})
    moved, flows = method.aligned(motion, low)
    method.enlarged(net, low, moved)
    torch.testing.assert_close(net.calls[0][0], low[:, :, 0], atol=1e-5, rtol=0)
    assert len(flows) == 4 and all(torch.equal(call[1], low[:, 2]) for call in motion.calls)


@pytest.mark.parametrize(("term", "moved"), [("mse", "motion net"), ("warping", "motion"), ("huber", "motion")])
def test_what_each_term_moves(term, moved):
    """The error of the restored frame reaches the motion through the moved frames."""
    torch.manual_seed(0)
    method = Vespcn({"layers": 2, "width": 4})
    networks = method.build()
    method.loss(step_with({"lr": LR, "scale": torch.tensor([4, 4])}, {"hr": HR}, networks))[term].backward()
    for name, network in networks.items():
        gradients = [parameter.grad is not None and parameter.grad.any() for parameter in network.parameters()]
        assert all(gradients) if name in moved.split() else not any(gradients)


# --- restoring --------------------------------------------------------------------------------------------------------


def test_every_frame_is_restored_with_its_neighbours():
    """Beyond the ends the first and the last frame stand in; the chroma is bicubic; the result is clipped."""
    lr = 0.3 + 0.4 * draw(1, 4, 3, 8, 12)
    net = Calls(lambda aligned: 0.3 * repeated(aligned[:, :1]) - 0.3 * repeated(aligned[:, 2:]))
    motion = Calls(lambda frame, reference: torch.zeros(len(frame), 2, 8, 12))
    sr = Vespcn({}).restore(Model({"motion": motion, "net": net}), {"lr": lr, "scale": torch.tensor([4])}, 1)["sr"]
    ycbcr = rgb2ycbcr(lr[0].double().numpy(), channel_axis=1)
    for number, (before, after) in enumerate([(0, 1), (0, 2), (1, 3), (2, 3)]):
        large = np.stack([imresize(channel, 4.0) for channel in ycbcr[number]])
        large[0] += 0.3 * np.kron(ycbcr[before, 0] - ycbcr[after, 0], np.ones((4, 4)))
        expected = np.clip(ycbcr2rgb(large, channel_axis=0), 0, 1)
        np.testing.assert_allclose(sr[0, number].numpy(), expected, atol=2e-4)
    bright = Vespcn({}).restore(Model({"motion": motion, "net": Calls(lambda aligned: repeated(aligned[:, :1]) + 2)}),
                                {"lr": lr, "scale": torch.tensor([4])}, 1)["sr"]
    assert bright.max() == 1


@pytest.mark.parametrize("settings", [{}, {"frames": 5}, {"degradation": "x3"}])
def test_with_a_last_layer_of_zeros_it_is_bicubic_s_luma(settings):
    method = Vespcn({"layers": 3, "width": 4, **settings})
    networks = method.build()
    torch.nn.init.zeros_(networks["net"].last.weight)
    name = method.settings["degradation"]
    sample = PARTS.cases.sample(Record("a", {"frames": clip()}), name, 1, {})
    model = Model({key: network.eval() for key, network in networks.items()})
    sr = harness.restore(method, model, sample.inputs, 1)["sr"]
    bicubic = registry.method("video_super_resolution", "super_resolution.bicubic", {})
    plain = harness.restore(bicubic, Model(), sample.inputs, 1)["sr"]
    assert sr.shape == plain.shape == sample.target["hr"].shape
    assert np.abs(sr.astype(int) - plain).max() <= 1
    for frame, small in zip(plain, sample.inputs["lr"], strict=True):
        assert np.abs(imresize(small, float(method.scale)).astype(int) - frame).max() <= 1


def test_tiles_of_a_large_clip_fit_together():
    torch.manual_seed(0)
    method = Vespcn({"layers": 3, "width": 4, "last_std": 0.01})
    model = Model({key: network.eval() for key, network in method.build().items()})
    inputs = PARTS.cases.sample(Record("a", {"frames": clip(7, height=200, width=240)}), "x4", 1, {}).inputs
    whole = harness.restore(method, model, inputs, 1)["sr"]
    method.tile, method.overlap = 40, 16
    tiled = harness.restore(method, model, inputs, 1)["sr"]
    assert np.abs(tiled.astype(int) - whole).mean() < 0.1


def test_cases_and_settings():
    assert Vespcn({}).unsupported("x4") is None and Vespcn({}).unsupported("x4_bd") == "trained for x4"
    assert Vespcn({"degradation": "x4_bd"}).unsupported("x4_bd") is None
    for wrong in ({"degradation": "x8"}, {"frames": 4}, {"frames": 1}, {"schedule": "step"}):
        with pytest.raises(UserError):
            Vespcn(wrong)
    with pytest.raises(UserError, match=r"serves super_resolution, .*video_super_resolution, not inpainting"):
        registry.method_class("inpainting", "super_resolution.bicubic")


def test_a_few_steps_lower_the_objective():
    method = Vespcn({"layers": 4, "width": 12, "last_std": 1e-3, "gain": 2.0, "lr": 2e-3, "patch": 48, "steps": 30})
    [record] = PARTS.training.records([Record("a", {"frames": clip()})], 1, {"degradations": ["x4"]})
    samples = [PARTS.training.sample(record, {}, np.random.default_rng(seed), method.settings, {}) for seed in range(4)]
    sides = [{name: spec.to_tensor(np.stack([getattr(sample, side)[name] for sample in samples]))
              for name, spec in getattr(PARTS.task, side).items()} for side in ("inputs", "target")]
    torch.manual_seed(0)
    networks, totals = method.build(), []
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, networks)
    for step in range(30):
        terms = player.loss(Context(*sides, ["a"] * 4, networks, step=step, steps=30,
                                    generator=torch.Generator().manual_seed(0)))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        totals.append(terms["mse"].item())
    assert totals[-1] < 0.9 * totals[0]
