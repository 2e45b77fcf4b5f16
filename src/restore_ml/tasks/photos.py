"""What a person gives of her own and what she gets: a picture without a truth, of any size.

A task that takes photographs has a `Photos` in tasks/<task>/photos.py; one without takes none, and whoever is asked to
restore with it says so. Nothing here counts for a result of a comparison.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from restore_ml.arrays import Arrays

if TYPE_CHECKING:
    from restore_ml.method import Method, Model


@dataclass(frozen=True)
class Restorer:
    """A loaded model at work on a person's picture. `restore` is `restore_ml.restoring.harness.restore`."""

    method: Method
    model: Model
    seed: int
    restore: Callable[[Method, Model, Arrays, int], Arrays]
    given: Arrays = field(default_factory=dict)
    """The optional inputs that the person gave, see `Photos.given`; they go along with every call."""

    def __call__(self, inputs: Arrays, tile: int | None = None, overlap: int = 0) -> Arrays:
        """The task's outputs; `tile`: cut into tiles of that side, though the method does not ask for it."""
        method = self.method
        if tile is not None:
            method = copy(method)
            method.tile, method.overlap = tile, overlap
        return self.restore(method, self.model, {**inputs, **self.given}, self.seed)

    @property
    def sees_the_whole(self) -> bool:
        """Whether a network normalises by the statistics of all that it sees, so that tiles would differ in tone."""
        from torch.nn import InstanceNorm2d

        return any(isinstance(module, InstanceNorm2d) for network in self.model.networks.values()
                   for module in network.modules())


class Photos(ABC):
    """Subclass it in tasks/<task>/photos.py and set `PHOTOS = ...` there."""

    takes_mask: ClassVar[bool] = False
    """Whether a mask goes with each picture (white where to restore)."""
    enlarges: ClassVar[bool] = False
    """Whether the result is larger than the picture by a factor that the person may choose."""
    faster_in_bf16: ClassVar[bool] = False
    """Whether bf16 wins enough here to be taken where it is as good (`restore_ml.restoring.arithmetic`)."""

    @abstractmethod
    def probes(self, method: Method) -> tuple[str, ...]:
        """The degradations on which bf16 is compared with fp32; the first one that the method supports is taken."""

    @abstractmethod
    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The restored picture, H x W x 3 uint8, of one with 3 channels. `mask`: H x W, nonzero = missing. `scale`: the
        factor where the task enlarges (None: `default_scale`). `UserError` for what cannot be restored."""

    def given(self, path: Path) -> Arrays:
        """The optional inputs of the task that a person gives in files beside the picture at `path`, by name; none by
        default. `UserError` for a file that is no such input."""
        return {}

    def remark(self, method: Method, given: Arrays) -> str:
        """What a person must know of a restoration beside its result, such as what stood in for an input that she did
        not give: a sentence, or nothing."""
        return ""

    @abstractmethod
    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The 8-bit picture of a task's output or target, as a person gets it."""

    def factor(self, method: Method, scale: int | None) -> int:
        """By how much the result is larger; 1 where the task does not enlarge."""
        return (scale or default_scale(method)) if self.enlarges else 1


def default_scale(method: Method) -> int:
    """The factor of super-resolution where none is given: 2, or the smallest that the method can do."""
    return next((scale for scale in range(2, 17) if method.unsupported(f"x{scale}") is None), 2)
