"""One file a task, found and not listed: a sample whose figures are known, for tests that ask the same of all tasks.

Each has `sample()`, the inputs, a wrong output and the target of one sample on a grid of 64 x 64 pixels, and `perfect`,
the output that is the truth. `BEST` is what the primary metric says of it where that is no capped PSNR. `beside`, where
the task asks for more than a picture, is what stands beside one of a number (its class).
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import skimage.data

from restore_ml.tasks.protocol import CAP

Arrays = dict[str, np.ndarray]
Example = tuple[Arrays, Arrays, Arrays]


def example(task: str) -> Any:
    """The module of a task."""
    return importlib.import_module(f"tests.tasks.examples.{task}")


def best(task: str) -> float:
    """The primary metric of the truth."""
    return getattr(example(task), "BEST", CAP)


def picture() -> np.ndarray:
    """A piece of a photograph, 64 x 64 x 3 uint8."""
    return np.ascontiguousarray(skimage.data.astronaut()[64:128, 200:264])


def noisy(rgb: np.ndarray) -> np.ndarray:
    """The same with visible noise."""
    noise = np.random.default_rng(0).normal(0, 12, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def hole() -> np.ndarray:
    """A mask of 64 x 64 x 1 uint8, 1 = missing."""
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[20:40, 10:50] = 1
    return mask


def beside(task: str, number: int) -> Arrays:
    """What stands beside the picture of that number; nothing for most tasks."""
    if importlib.util.find_spec(f"tests.tasks.examples.{task}") is None:  # a task that only feeds other runs
        return {}
    return getattr(example(task), "beside", lambda number: {})(number)
