"""A project with three small models, one a task, and an engine for each."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from restore_ml.base.files import sha256_of_file, write_json, write_text
from restore_ml.promotion import champions
from restore_ml.registry import method_class
from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Limits
from restore_ml.serving.restore_command import encode
from tests.tracking import small_project

MODELS = {"vdsr": ("super_resolution", "vdsr", {"layers": 3, "width": 4}), "telea": ("inpainting", "telea", {}),
          "bicubic": ("super_resolution", "bicubic", {}), "glcic": ("inpainting", "glcic", {"width": 4}),
          "colorful": ("colorization", "colorful_colorization", {"width": 4, "patch": 64})}
LIMITS = Limits(megabytes=1.0, megapixels=0.05, pictures=4, queue=3, seconds=2.0)


def add_model(root: Path, run: str) -> None:
    """models/<task>/<run> with an untrained network."""
    task, method, settings = MODELS[run]
    built = method_class(task, method)(settings)
    folder = root / "models" / task / run
    folder.mkdir(parents=True)
    facts = {"run": run, "task": task, "method": method, "settings": built.settings, "seed": 1, "slots": {},
             "status": "ok", "reason": "", "weights_sha256": ""}
    if method == "glcic":
        from safetensors.numpy import save_file as save_arrays

        save_arrays({"mean": np.full(3, 0.5, np.float32)}, folder / "arrays.safetensors")
        facts["arrays_sha256"] = sha256_of_file(folder / "arrays.safetensors")
    if built.trains:
        torch.manual_seed(3)
        networks = built.build()
        save_file({f"{name}.{key}": value.contiguous() for name in built.stored_networks
                   for key, value in networks[name].state_dict().items()}, folder / "weights.safetensors")
        facts["weights_sha256"] = sha256_of_file(folder / "weights.safetensors")
    write_json(folder / "model.json", facts)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champions are vdsr and telea."""
    root = tmp_path_factory.mktemp("served") / "project"
    for run in MODELS:
        add_model(root, run)
    write_text(root / "params.yaml", "profile: quick\n")
    champions.install(root, "super_resolution", "vdsr", {"sentence": "vdsr wins", "pictures": [1]})
    champions.install(root, "inpainting", "telea", {"sentence": "telea wins"})
    return root


@pytest.fixture(scope="session")
def enlarging(served: Path) -> Engine:
    """The champion of super-resolution, with small limits."""
    return Engine(served, "super_resolution", "champion", LIMITS, threads=1)


@pytest.fixture(scope="session")
def filling(served: Path) -> Engine:
    """The champion of inpainting, with small limits."""
    return Engine(served, "inpainting", "champion", LIMITS, threads=1)


def picture(number: int = 1, height: int = 40, width: int = 56) -> np.ndarray:
    """A smooth picture."""
    return small_project.picture(number, max(height, width))[:height, :width]


def as_text(array: np.ndarray, form: str = "PNG") -> str:
    """A picture as base64 of a file."""
    return base64.b64encode(encode(array, form)).decode()


def mask(height: int = 40, width: int = 56) -> np.ndarray:
    """A hole in the middle, H x W x 1."""
    hole = np.zeros((height, width, 1), np.uint8)
    hole[height // 4:height // 2, width // 4:width // 2] = 255
    return hole
