"""Published figures of super-resolution on Set5 and Set14: bicubic, and VDSR with its official weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restore_ml.data.shards import Record
from restore_ml.degradations.colour import rgb_to_ycbcr
from restore_ml.degradations.resize import imresize
from restore_ml.imported.model import Source, fill, match
from restore_ml.metrics.fidelity import psnr, psnr_y
from tests.methods.enlarging import PARTS, TASK, inputs, method, paper, restored

PUBLISHED = {"Set5": {2: 33.66, 3: 30.39, 4: 28.42}, "Set14": {2: 30.24, 3: 27.55, 4: 26.00}}
VDSR_SET5 = {2: 37.53, 3: 33.66, 4: 31.35}


def pictures(folder, name: str, scale: int) -> list[np.ndarray]:
    paths = sorted((folder / "sr_selfexsr" / name / f"image_SRF_{scale}").glob("*_HR.png"))
    return [np.asarray(Image.open(path)) for path in paths]


def whole(values: np.ndarray) -> np.ndarray:
    return np.floor(values.clip(0, 255) + 0.5)


def shaved_psnr(a: np.ndarray, b: np.ndarray, border: int) -> float:
    return psnr(a[border:-border, border:-border], b[border:-border, border:-border])


def published_psnr(hr: np.ndarray, enlarge, scale: int) -> float:
    """The protocol of the published tables: luma alone (a one-channel file is its own), rounded to 8 bit at the end."""
    y = rgb_to_ycbcr(hr)[..., 0] if hr.ndim == 3 else hr.astype(float)
    return shaved_psnr(whole(enlarge(imresize(y, 1 / scale))), whole(y), scale)


@pytest.mark.benchmark_data
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_bicubic_reaches_the_published_figures(benchmark_data, name, scale):
    run, theirs, ours = method("bicubic"), [], []
    for hr in pictures(benchmark_data, name, scale):
        theirs.append(published_psnr(hr, lambda y: imresize(y, scale), scale))
        picture = Record("a", {"image": hr if hr.ndim == 3 else hr[..., None]})
        sample = PARTS.cases.sample(picture, f"x{scale}", 1, {})
        given = {"lr": TASK.inputs["lr"].to_tensor(sample.inputs["lr"][None]).contiguous(),
                 "scale": torch.tensor([scale])}
        picture, truth = restored(run, {}, given), sample.target["hr"]
        one = sample.facts["channels"] == 1
        ours.append(shaved_psnr(picture[..., 0], truth[..., 0], scale) if one else psnr_y(picture, truth, scale))
    assert np.mean(theirs) == pytest.approx(PUBLISHED[name][scale], abs=0.02)
    # 8-bit RGB in and out and unrounded luma, as the task is scored, reads up to 0.022 dB higher
    assert np.mean(ours) == pytest.approx(PUBLISHED[name][scale], abs=0.025)


def official(path) -> nn.Module:
    """The authors' weights in our network, as a run with `weights: FILE` has them."""
    run = paper("vdsr")
    networks = run.networks()
    fill(run, networks, match(run, {"": Source(path)}, networks))
    return networks["net"].eval()


@pytest.mark.benchmark_data
@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_official_vdsr_weights_reach_the_published_figures(benchmark_data, scale):
    net, figures, small = official(benchmark_data / "sr_caffe_vdsr" / "VDSR_Official.mat"), [], None

    def enlarge(y: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            up = torch.from_numpy(imresize(y, scale) / 255)[None, None].float()
            return net(up)[0, 0].double().numpy() * 255

    for hr in pictures(benchmark_data, "Set5", scale):
        figures.append(published_psnr(hr, enlarge, scale))
        if small is None or hr.size < small[0].size:
            small = hr, figures[-1]
    assert np.mean(figures) == pytest.approx(VDSR_SET5[scale], abs=0.02)
    ours = psnr_y(restored(paper("vdsr"), {"net": net}, inputs(small[0], scale)), small[0], scale)
    assert ours == pytest.approx(small[1], abs=0.1)  # 8-bit RGB in and out, luma not rounded again
