"""The public pictures of super-resolution for the benchmarks: T91 and BSD200 to train on, Set5 and Set14 to measure.

No program of its own. `$RESTORE_ML_BENCHMARK_DATA` names the folder that holds them: train_t91, train_bsd200_jpg, and
sr_selfexsr/<set>/image_SRF_<scale> with the high-resolution pictures `*_HR.png`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from restore_ml.data.pictures import SUFFIXES, pixel_hash, read_picture
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import rgb_to_ycbcr
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.metrics.fidelity import psnr, ssim

VARIABLE = "RESTORE_ML_BENCHMARK_DATA"
TRAINING = ("train_t91", "train_bsd200_jpg")
SETS = ("Set5", "Set14")
Run = Callable[[dict[str, torch.Tensor]], torch.Tensor]
"""From a batch `lr` and `scale` to `sr`."""


def data() -> Path:
    """The folder of the public pictures."""
    given = os.environ.get(VARIABLE, "")
    folder = Path(given)
    missing = [name for name in (*TRAINING, "sr_selfexsr") if not (folder / name).is_dir()]
    if not given or missing:
        raise SystemExit(f"${VARIABLE} must name the folder with train_t91, train_bsd200_jpg and sr_selfexsr"
                         + (f"; in {given} there is no {' and no '.join(missing)}." if given else "; it is not set."))
    return folder


def training_folders(folder: Path) -> list[Path]:
    """T91 and BSD200."""
    return [folder / name for name in TRAINING]


def test_folder(folder: Path, name: str, scale: int) -> Path:
    """Of Set5 or Set14 at a scale."""
    return folder / "sr_selfexsr" / name / f"image_SRF_{scale}"


def read(folders: list[Path], every: int) -> tuple[list[Record], list[Record]]:
    """(training, held-out) pictures of the folders; every `every`-th file by name is held out, none for 0."""
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    images = [read_picture(path) for path in paths]
    records = [Record(pixel_hash(image), {"image": image}) for image in images]
    held_out = [record for number, record in enumerate(records) if every and number % every == 0]
    known = {record.id for record in held_out}
    return list({record.id: record for record in records if record.id not in known}.values()), held_out


def high_resolution(folder: Path, scale: int) -> list[np.ndarray]:
    """The pictures of a test set, cropped to multiples of the scale; those named `*_HR` where any is, else all but
    `*_LR`."""
    paths = sorted(path for path in folder.iterdir() if not path.stem.endswith("_LR"))
    return [modcrop(read_picture(path), scale) for path in paths if path.stem.endswith("_HR")] or [
        modcrop(read_picture(path), scale) for path in paths]


def on_luma(run: Run, hr: np.ndarray, scale: int) -> tuple[float, float]:
    """PSNR and SSIM by the published protocol: Y made small without rounding, the restored Y rounded, a border of
    `scale` pixels left out.

    The methods take RGB; a grey picture with the wanted luma stands for Y alone.
    """
    truth = rgb_to_ycbcr(hr)[..., 0] if hr.shape[2] == 3 else hr[..., 0].astype(np.float64)
    small = (imresize(truth, 1 / scale) - 16) / 219
    found = run({"lr": torch.from_numpy(np.stack([small] * 3)).float()[None], "scale": torch.tensor([scale])})
    restored = found[0].mean(0).double().numpy() * 219 + 16
    inner = (slice(scale, -scale),) * 2
    pair = np.floor(restored + 0.5)[inner], np.floor(truth + 0.5)[inner]
    return float(psnr(*pair)), float(ssim(*pair))
