"""The deep image prior: the authors' four networks, what it asks for and of whom, and its two tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.inpainting import dip
from restore_ml.nn.declared_cases import left_out
from restore_ml.nn.hourglass import Hourglass
from restore_ml.restoring.harness import restore
from tests.methods.holes import pictures
from tests.walk.entries import params

LARGE_HOLE = {"channels": 1, "widths": [16, 32, 64, 128, 128, 128], "skip": 0, "kernel": 5, "pointwise": False,
              "jitter": 0.0, "weight_jitter": 0.02, "steps": 3001}
MESHGRID = {"input": "meshgrid", "skip": 0, "steps": 5001}
NOISE = {"skip": 4, "upsample": "bilinear", "jitter": 1 / 30, "average": 0.99, "steps": 3000}
SMALL = {"channels": 4, "widths": [8, 8], "skip": 4, "steps": 60}


class Painted(nn.Module):
    """One colour for the whole picture, learnt; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.colour, self.shown = nn.Parameter(torch.full((1, 3, 1, 1), 0.2)), list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.shown.append(x.detach().clone())
        return self.colour + torch.zeros(1, 3, *x.shape[-2:])


def painted(**settings: Any) -> tuple[dip.DeepImagePrior, Painted]:
    method, network = dip.METHOD(SMALL | settings), Painted()
    method.network = lambda: network  # type: ignore[method-assign]
    return method, network


def holed(side: int = 8) -> tuple[Tensor, Tensor]:
    mask = torch.zeros(1, 1, side, side)
    mask[..., 2:4, 1:6] = 1
    return pictures(1, side), mask


@pytest.mark.parametrize(("settings", "count"), [({}, 3_002_627), (LARGE_HOLE, 2_996_467), (MESHGRID, 2_157_955),
                                                 (NOISE, 2_217_831)])
def test_parameters_of_the_published_networks(settings: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in dip.METHOD(settings).network().parameters()) == count


def test_published_recipe_of_text() -> None:
    assert dip.METHOD({}).settings == {
        "input": "noise", "channels": 32, "widths": [128] * 5, "skip": 128, "kernel": 3, "pointwise": True,
        "upsample": "nearest", "steps": 6001, "lr": 0.01, "jitter": 0.03, "weight_jitter": 0.0, "average": 0.0,
        "check": 50, "fallback": 5.0, "blend": "none", "cases": []}
    assert dip.METHOD({}).multiple == 32 and not dip.METHOD({}).trains


@pytest.mark.parametrize(("run", "recipe"), [("dip_large_hole", LARGE_HOLE), ("dip_meshgrid", MESHGRID)])
def test_the_runs_at_the_paper_s_profile_are_the_published_recipes(run: str, recipe: dict[str, Any]) -> None:
    entry = params("paper").runs[f"inpainting/{run}"]
    assert entry.settings == dip.METHOD.paper | recipe


def test_a_level_without_a_skip_or_the_last_1x1_convolution() -> None:
    torch.manual_seed(0)
    network, x = Hourglass(2, [3], 0, "nearest", 5, False).eval(), torch.rand(1, 2, 16, 16)
    level = network.body
    assert level.skip is None and len(level.join) == 4 and level.join[0].num_features == 3
    down = x
    for first, stride in ((0, 2), (3, 1)):
        convolution, norm = level.down[first], level.down[first + 1]
        padded = nn.functional.pad(down, (2, 2, 2, 2), mode="reflect")
        down = nn.functional.leaky_relu(norm(nn.functional.conv2d(padded, convolution.weight, convolution.bias,
                                                                  stride)), 0.2)
    grown = nn.functional.interpolate(down, scale_factor=2, mode="nearest")
    torch.testing.assert_close(network(x), torch.sigmoid(network.head(level.join(grown))))


def test_maps_too_small_to_be_reflected_repeat_their_edge() -> None:
    network = Hourglass(1, [4, 4], 0, "nearest", 5, False)
    assert network(torch.rand(1, 1, 8, 4)).shape == (1, 3, 8, 4)


def test_the_network_is_shown_noise_or_places() -> None:
    image, _ = holed()
    noise = dip.METHOD({}).network_input(image, 5)
    assert noise.shape == (1, 32, 8, 8) and noise.min() >= 0 and 0.09 < noise.max() <= 0.1
    assert torch.equal(noise, dip.METHOD({}).network_input(1 - image, 5))
    places = dip.METHOD({"input": "meshgrid"}).network_input(image, 5)
    assert places.shape == (1, 2, 8, 8) and places[0, :, 0, -1].tolist() == [1, 0]


def test_only_known_pixels_are_asked_for_by_their_squared_error() -> None:
    image, mask = holed()
    method, network = painted(steps=400, lr=0.01, jitter=0.0)
    made = method.restore(Model(), {"image": image, "mask": mask}, 3)["image"]
    known = mask[0, 0] == 0
    mean = image[0, :, known].mean(1)  # of all colours, the mean has the least squared error
    torch.testing.assert_close(made[0, :, 0, 0], mean, atol=2e-3, rtol=0)
    median = image[0, :, known].median(1).values
    assert (made[0, :, 0, 0] - median).abs().max() > 0.004
    wild = torch.where(mask > 0, torch.tensor(9.0), image)
    again, _ = painted(steps=400, lr=0.01, jitter=0.0)
    assert torch.equal(made, again.restore(Model(), {"image": wild, "mask": mask}, 3)["image"])
    assert torch.equal(network.shown[0], method.network_input(image, 3))


def test_settings_reach_the_fitting() -> None:
    image, mask = holed()
    inputs = {"image": image, "mask": mask}
    shaken, network = painted(steps=2, jitter=0.5)
    shaken.restore(Model(), inputs, 3)
    apart = network.shown[0] - shaken.network_input(image, 3)
    assert apart.std().item() == pytest.approx(0.5, rel=0.15)
    start = painted(steps=1, average=0.0)[0].restore(Model(), inputs, 3)["image"]
    assert torch.equal(start, torch.full_like(start, 0.2))
    gone = painted(steps=2, average=0.0, lr=0.1)[0].restore(Model(), inputs, 3)["image"]
    half = painted(steps=2, average=0.5, lr=0.1)[0].restore(Model(), inputs, 3)["image"]
    torch.testing.assert_close(gone, torch.full_like(gone, 0.3), atol=1e-4, rtol=0)  # Adam's first step is its rate
    torch.testing.assert_close(half, torch.full_like(gone, 0.2 / 3 + 0.6 / 3), atol=1e-4, rtol=0)


def test_what_is_drawn_is_blended_with_what_is_known() -> None:
    """A flat drawing at the level of the known pixels is their mean; with no mask all pixels are known."""
    image, mask = holed()
    wild = torch.where(mask > 0, torch.tensor(9.0), image)
    mean = image[0, :, mask[0, 0] == 0].mean(1)
    made = painted(steps=1, blend="level")[0].restore(Model(), {"image": wild, "mask": mask}, 3)["image"]
    torch.testing.assert_close(made, mean.view(1, 3, 1, 1).expand(1, 3, 8, 8))
    whole = painted(steps=1, blend="level")[0].restore(Model(), {"image": image}, 3)["image"]
    torch.testing.assert_close(whole, image.mean((2, 3), keepdim=True).expand(1, 3, 8, 8))


def test_a_prior_that_breaks_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(dip, "Fallback", lambda *values: made.append(values))
    image, mask = holed()
    painted(steps=1, check=7, fallback=4.0)[0].restore(Model(), {"image": image, "mask": mask}, 3)
    assert made == [(7, 4.0)]


def test_kernels_are_shaken_where_the_recipe_says_so() -> None:
    image, mask = holed()
    plain, shaken = (dip.METHOD(SMALL | {"steps": 2, "jitter": 0.0, "weight_jitter": share}).restore(
        Model(), {"image": image, "mask": mask}, 3)["image"] for share in (0.0, 0.5))
    assert (plain - shaken).abs().mean() > 0.01


def damaged() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:32, :32] / 32
    image = np.stack([128 + 90 * np.sin(5 * x + c * y) for c in range(3)], -1).astype(np.uint8)
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[8:24:4, 8:24] = 1
    return {"image": np.where(mask > 0, 255, image).astype(np.uint8), "mask": mask}


@pytest.mark.parametrize("recipe", [{}, {"skip": 0, "kernel": 5, "pointwise": False, "weight_jitter": 0.02},
                                    {"input": "meshgrid"}, {"upsample": "bilinear", "average": 0.9}])
def test_it_looks_at_no_pixel_under_the_mask_and_repeats(recipe: dict[str, Any]) -> None:
    method, sample = dip.METHOD(SMALL | recipe | {"steps": 3}), damaged()
    state = torch.get_rng_state()
    first = restore(method, Model(), sample, 5)["image"]
    assert torch.equal(state, torch.get_rng_state())
    other = sample | {"image": np.where(sample["mask"] > 0, 7, sample["image"]).astype(np.uint8)}
    hole = sample["mask"][..., 0] > 0
    assert np.array_equal(first[hole], restore(method, Model(), other, 5)["image"][hole])
    assert np.array_equal(first[~hole], sample["image"][~hole])
    assert not np.array_equal(first[hole], restore(method, Model(), sample, 6)["image"][hole])


def test_the_error_on_known_pixels_falls_tenfold_and_the_hole_comes_nearer() -> None:
    sample = damaged()
    y, x = np.mgrid[:32, :32] / 32
    truth = np.stack([128 + 90 * np.sin(5 * x + c * y) for c in range(3)], -1).astype(np.uint8) / 255
    hole, known, inside = sample["mask"][..., 0] > 0, [], []
    inputs = {"image": torch.from_numpy(sample["image"]).permute(2, 0, 1)[None] / 255,
              "mask": torch.from_numpy(sample["mask"]).permute(2, 0, 1)[None].float()}
    for steps in (10, 150):
        made = dip.METHOD(SMALL | {"steps": steps}).restore(Model(), inputs, 3)["image"][0].permute(1, 2, 0).numpy()
        known.append(np.square(made - truth)[~hole].mean())
        inside.append(np.square(made - truth)[hole].mean())
    assert known[1] < known[0] / 10 and inside[1] < inside[0] / 10 ** 0.2


def test_noise_is_taken_off_before_it_is_learnt() -> None:
    """Without a mask everything is asked for. The distance to the clean picture falls, and rises once noise is fitted.
    """
    truth = torch.full((1, 3, 32, 32), 0.3)
    truth[..., 12:20, :] = 0.7
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    errors = []
    for steps in (3, 30, 120):
        method = dip.METHOD({"channels": 8, "widths": [16, 16], "skip": 4, "jitter": 0.0, "lr": 0.02, "steps": steps})
        method.task = "restoration"
        errors.append((method.restore(Model(), {"image": noisy}, 3)["image"] - truth).square().mean().item())
    assert errors[1] < errors[0] / 4 and errors[1] < 0.2 * 0.1 ** 2 and errors[2] > 2 * errors[1]


def test_what_it_is_for() -> None:
    method = dip.METHOD({})
    assert dip.METHOD.serves == ("restoration",)
    assert [method.unsupported(name) for name in ("centre", "text", "irregular_6")] == [None] * 3
    method.task = "restoration"
    assert [method.unsupported(name) is None for name in ("noise_25", "haze", "old_photo")] == [True, False, False]
    some = dip.METHOD({"cases": ["text"]})
    assert some.unsupported("text") is None and "cases" in str(some.unsupported("centre"))
    assert left_out(["a"], "a") is None and left_out([], "a") is None and left_out(["a"], "b")


def test_what_does_not_fit_is_a_sentence() -> None:
    for key, value in (("input", "fourier"), ("blend", "soft"), ("upsample", "deconv"), ("kernel", 4), ("steps", 0)):
        with pytest.raises(UserError, match=key):
            dip.METHOD({key: value})
    image, mask = holed()
    with pytest.raises(UserError, match="one of its sides must be above 8"):
        dip.METHOD(SMALL | {"widths": [8, 8, 8]}).restore(Model(), {"image": image, "mask": mask}, 1)
