"""The deep image prior: parameter counts, blindness under the mask, known marks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.inpainting import dip_watermark
from restore_ml.nn.features import FeatureNet
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material
from tests.methods.holes import batch


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())

@pytest.mark.parametrize(("settings", "expected"), [
    ({}, 6_462_499), ({"input": "noise"}, 6_466_531), ({"extra_levels": 0}, 2_463_523),
    ({"widths": [64, 128, 256, 512, 1024]}, 103_356_547),
    ({"arch": "hourglass_deconv", "input": "noise", "widths": [16, 32, 64, 128, 128, 128]}, 2_638_603),
    ({"arch": "hourglass_deconv", "input": "noise", "widths": [128] * 6}, 4_257_147),
    ({"arch": "hourglass_deconv", "input": "noise", "widths": [128] * 5, "upsample": "bilinear"}, 2_217_831)])
def test_prior_parameter_counts(settings: dict[str, Any], expected: int) -> None:
    with torch.device("meta"):
        assert count(dip_watermark.METHOD(settings).network()) == expected


PRIOR = {"widths": [8, 8], "extra_levels": 1, "steps": 60, "input": "noise", "noise_channels": 4, "average": 0.9}


def damaged() -> dict[str, np.ndarray]:
    inputs, _ = batch(1)
    image = np.rint(inputs["image"][0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[8:24:4, 8:24] = 1
    return {"image": np.where(mask > 0, 255, image), "mask": mask}


@pytest.mark.parametrize("kind", ["image_mask", "noise", "both"])
@pytest.mark.parametrize("arch", ["unet_deconv", "hourglass_deconv"])
def test_prior_looks_at_no_pixel_under_the_mask_and_repeats(kind: str, arch: str) -> None:
    method = dip_watermark.METHOD(PRIOR | {"input": kind, "arch": arch, "steps": 3})
    sample, model = damaged(), Model(slots={"features": FeatureNet(2).requires_grad_(False)})
    state = torch.get_rng_state()
    first = restore(method, model, sample, 5)["image"]
    assert torch.equal(state, torch.get_rng_state())
    other = sample | {"image": np.where(sample["mask"] > 0, 7, sample["image"]).astype(np.uint8)}
    hole = sample["mask"][..., 0] > 0
    assert np.array_equal(first[hole], restore(method, model, other, 5)["image"][hole])
    assert np.array_equal(first[~hole], sample["image"][~hole])
    assert not np.array_equal(first[hole], restore(method, model, sample, 6)["image"][hole])


def test_prior_fits_the_known_pixels() -> None:
    sample, errors = damaged(), []
    known = sample["mask"][..., 0] == 0
    for steps in (1, 150):
        method = dip_watermark.METHOD(PRIOR | {"steps": steps})
        inputs = {name: torch.from_numpy(value.astype(np.float32)).permute(2, 0, 1)[None]
                  / (255 if name == "image" else 1) for name, value in sample.items()}
        made = method.restore(Model(), inputs, 3)["image"][0].permute(1, 2, 0).numpy()
        errors.append(np.square(made - sample["image"] / 255)[known].mean())
    assert errors[1] < errors[0] / 10


def test_no_step_is_refused() -> None:
    with pytest.raises(UserError, match="steps of dip_watermark is 0; it must be at least 1"):
        dip_watermark.METHOD(PRIOR | {"steps": 0})


def test_prior_is_for_thin_damage() -> None:
    method = dip_watermark.METHOD({})
    assert [method.unsupported(name) is None for name in ("watermark", "text", "scratches", "centre")] == [
        True, True, True, False]
    assert method.settings["steps"] == 3000 and not method.trains and method.multiple == 32
    for key in ("input", "arch", "upsample", "mode"):
        with pytest.raises(UserError, match=key):
            dip_watermark.METHOD({key: "other"})


def marked(folder: Path, height: int = 32, width: int = 32) -> tuple[dict[str, np.ndarray], np.ndarray, Path]:
    """Smooth colours with fine checks below stripes of a mark of opacity 0.6 (0.3 at their edges), as observed."""
    y, x = np.mgrid[:height, :width]
    truth = np.stack([128 + 60 * np.sin(x / 9 + y / 7 + c) + 40 * ((x // 2 + y // 2) % 2) - 20 for c in range(3)], -1)
    layer = np.zeros((height, width, 4), np.uint8)
    layer[..., :3] = 255, 230, 40
    for row in range(4, height - 6, 8):
        layer[row:row + 5, 2:-2, 3] = 76
        layer[row + 1:row + 4, 3:-3, 3] = 153
    opacity = layer[..., 3:] / 255
    seen = np.rint((1 - opacity) * truth + opacity * layer[..., :3]).astype(np.uint8)
    path = folder / "mark.png"
    Image.fromarray(layer, "RGBA").save(path)
    return {"image": seen, "mask": (layer[..., 3:] > 0).astype(np.uint8)}, truth, path


def test_known_mark_recovers_what_shines_through(tmp_path: Path) -> None:
    sample, truth, path = marked(tmp_path)
    hole = sample["mask"][..., 0] > 0
    settings, errors = PRIOR | {"steps": 40, "lr": 0.02, "input": "image_mask"}, {}
    for mode in ("opaque", "semi_transparent"):
        method = dip_watermark.METHOD(settings | {"mode": mode, "mark": str(path) if mode != "opaque" else ""})
        made = restore(method, Model(arrays=method.prepare(Material(tmp_path), 1)), sample, 1)["image"]
        errors[mode] = np.square(made.astype(float) - truth)[hole].mean()
        assert np.array_equal(made[~hole], sample["image"][~hole])
    observed = np.square(sample["image"].astype(float) - truth)[hole].mean()
    assert errors["semi_transparent"] < 0.1 * errors["opaque"] < 0.1 * observed


def test_known_mark_is_the_forward_model_on_all_pixels(tmp_path: Path) -> None:
    sample, truth, path = marked(tmp_path, 30, 29)  # padded by the harness to 32 x 32
    method = dip_watermark.METHOD(PRIOR | {"mode": "semi_transparent", "mark": str(path), "steps": 2})
    arrays = method.prepare(Material(tmp_path), 1)
    image = torch.from_numpy(np.pad(sample["image"], ((0, 2), (0, 3), (0, 0)), "reflect")).permute(2, 0, 1)[None] / 255
    there = torch.from_numpy(np.pad(truth, ((0, 2), (0, 3), (0, 0)), "reflect")).permute(2, 0, 1)[None].float() / 255
    put_on = dip_watermark._Watermark(arrays["mark"], image, method.multiple)
    torch.testing.assert_close(put_on(there), image, atol=0.6 / 255, rtol=0)
    features, model = FeatureNet(2).requires_grad_(False), Model(arrays=arrays)
    model = Model(arrays=arrays, slots={"features": features})
    first = restore(method, model, sample, 1)["image"]
    other = sample | {"image": np.where(sample["mask"] > 0, 7, sample["image"]).astype(np.uint8)}
    hole = sample["mask"][..., 0] > 0
    assert not np.array_equal(first[hole], restore(method, model, other, 1)[
        "image"][hole])  # what is seen through the mark counts
    with pytest.raises(UserError, match="29 x 30"):
        restore(method, model, {name: value[:16] for name, value in sample.items()}, 1)
    assert method.unsupported("watermark") == "takes off the one mark that it was given"


def test_wrong_marks_are_refused(tmp_path: Path) -> None:
    for settings in ({"mode": "semi_transparent"}, {"mark": "mark.png"}):
        with pytest.raises(UserError, match="mark of dip_watermark"):
            dip_watermark.METHOD(settings)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "opaque.png")
    for name, message in (("opaque.png", "no alpha"), ("missing.png", "cannot be read")):
        method = dip_watermark.METHOD({"mode": "semi_transparent", "mark": str(tmp_path / name)})
        with pytest.raises(UserError, match=message):
            method.prepare(Material(tmp_path), 1)
    assert dip_watermark.METHOD({}).prepare(Material(tmp_path), 1) == {}
