"""What the tests of the colorization methods share: small settings, scenes, a project to train in, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.color import rgb2lab

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.method import Context, Method, Model
from restore_ml.restoring import harness
from restore_ml.restoring.loading import load_model
from restore_ml.training.train import train_run

SMALL: dict[str, dict[str, Any]] = {
    "colorful_colorization": {"width": 4, "patch": 32, "batch": 4, "steps": 60, "lr": 3e-3},
    "l2_regression": {"width": 4, "patch": 32, "batch": 4, "steps": 60, "lr": 3e-3},
    "let_there_be_color": {"width": 4, "side": 32, "classes": 3, "prepare_crops": 24, "patch": 32, "batch": 4,
                           "steps": 60, "optimiser": "adam", "lr": 3e-3},
    "hypercolumn_larsson": {"width": 4, "blocks": 3, "wide": 8, "hidden": 24, "dropout": 0.0, "pixels": 64, "margin": 4,
                            "patch": 32, "batch": 4, "steps": 70, "optimiser": "adam", "lr": 5e-3},
    "deep_colorization": {"patch": 32, "batch": 4, "steps": 80, "pixels_per_image": 128, "daisy_radius": 4, "lr": 3e-3,
                          "semantic_radius": 1, "refine_radius": 3, "refine_sigma": 2.0, "prepare_crops": 12},
    "gabor_pix2pix": {"levels": 4, "width": 8, "dropout": False, "disc_width": 8, "disc_layers": 2, "patch": 32,
                      "batch": 4, "steps": 80, "lr": 2e-3},
    "pix2pix_color": {"levels": 4, "width": 8, "dropout": False, "disc_width": 8, "disc_layers": 2, "patch": 32,
                      "batch": 4, "steps": 80, "lr": 2e-3},
    "deep_unet_pix2pix": {"space": "lab", "levels": 4, "width": 8, "dropout": False, "disc_width": 8, "disc_layers": 2,
                          "gradient_penalty": 0.0, "patch": 32, "batch": 4, "steps": 80, "lr": 2e-3},
    "mfrc_net": {"levels": 4, "width": 8, "dropout": False, "disc_width": 8, "disc_layers": 2, "patch": 32, "batch": 4,
                 "steps": 80, "lr": 2e-3},
    "fca_gan": {"levels": 4, "width": 16, "dropout": False, "disc_width": 8, "patch": 32, "batch": 4, "steps": 60,
                "lr": 2e-3},
    "cyclegan_color": {"width": 8, "blocks": 1, "disc_width": 8, "disc_layers": 2, "pool": 8, "patch": 32, "batch": 4,
                       "steps": 40, "lr": 2e-3, "disc_lr": 2e-3},
}


PIX2PIX = {"dropout": True, "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4,
           "betas": [0.5, 0.999]}
"""The recipe that pix2pix's successors take over: 200 epochs of 1,231 photographs."""


def make(name: str, **changes: Any) -> Method:
    cls = registry.method_class("colorization", name)
    return cls({**cls.paper, **SMALL.get(name, {}), **changes})


def lightness_of(grey: np.ndarray) -> torch.Tensor:
    """The L input (1 x 1 x H x W) whose grey levels are `grey` (H x W, 0..255)."""
    return torch.from_numpy(rgb2lab(np.repeat(grey[..., None], 3, -1) / 255)[..., :1]).float().movedim(-1, 0)[None]


def batch_of(rgb: np.ndarray) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Inputs and target of uint8 pictures N x H x W x 3."""
    picture = torch.from_numpy(rgb.astype(np.float32) / 255).movedim(-1, 1)
    lab = rgb_to_lab(picture)
    return {"L": lab[:, :1]}, {"ab": lab[:, 1:], "rgb": picture}


def context(method: Method, rgb: np.ndarray, networks: dict[str, torch.nn.Module] | None = None) -> Context:
    inputs, target = batch_of(rgb)
    return Context(inputs, target, ["a"] * len(rgb), method.build() if networks is None else networks, step=0, steps=10,
                   generator=torch.Generator().manual_seed(0))


def scene(seed: int) -> np.ndarray:
    """48 x 48: smooth blue above, rough green below, so that texture and lightness tell the colour."""
    draws = np.random.default_rng(seed)
    lab = np.empty((48, 48, 3), np.float32)
    horizon = int(draws.integers(16, 32))
    lab[:horizon] = np.array([75, -6, -32]) + draws.normal(0, 0.5, (horizon, 48, 1)) * [1, 0, 0]
    lab[horizon:] = np.array([45, -34, 38]) + draws.normal(0, 7, (48 - horizon, 48, 1)) * [1, 0, 0]
    return to_rgb8(lab[..., :1], lab[..., 1:])


def fill(root: Path) -> Path:
    """A project whose training split is six scenes."""
    task = registry.task("colorization")
    pictures = [Record(f"{number:064x}", {"image": scene(number)}) for number in range(6)]
    folder = root / "samples" / "colorization" / "train"
    shards.write(folder / "00.arrow", registry.parts(task.name).training.records(pictures, 1, {"size": 32}))
    for name, pool in registry.parts(task.name).training.pools(pictures, 1, {"size": 32}).items():
        shards.write(folder / "pools" / name / "pool.arrow", pool)
    return root


def trained(project: Path, name: str, **changes: Any) -> tuple[Method, Model, dict[str, Any]]:
    """Train through the real loop; the model as it is loaded again from disk."""
    spec = {"run": name, "task": "colorization", "method": name, "settings": make(name, **changes).settings, "seed": 1,
            "slots": {}, "precision": "fp32", "threads": 1}
    facts = train_run(spec, project, project / "models" / name, fresh=True)
    assert (facts["status"], facts["reason"]) == ("ok", "")
    return *load_model(project / "models" / name), facts


def error(method: Method, model: Model, seed: int = 100) -> tuple[float, float]:
    """Root mean square ab error of the restored and of the grey picture, on a scene that was not trained on."""
    lab = rgb2lab(scene(seed)).astype(np.float32)
    output = harness.restore(method, model, {"L": lab[..., :1]}, 1)
    assert output["ab"].shape == (48, 48, 2) and np.isfinite(output["ab"]).all()
    restored, grey = (float(np.sqrt(np.square(ab - lab[..., 1:]).sum(-1).mean())) for ab in (output["ab"], 0))
    return restored, grey


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
