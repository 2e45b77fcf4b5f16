"""Clean colour crops, for networks that learn what pictures look like (feature networks). Nothing is tested on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.errors import UserError
from restore_ml.tasks.base import ArraySpec, Sample, Task, augment

SHORTEST_SIDE = 32


class Representation(Task):
    """`image` in and the same `image` as target; what is asked of it is the method's own affair."""

    name = "representation"
    inputs: ClassVar = {"image": ArraySpec("picture", 3)}
    target: ClassVar = {"image": ArraySpec("picture", 3)}
    output: ClassVar[dict[str, ArraySpec]] = {}

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """None: these networks feed other runs and have no table."""
        return []

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """Refuses grey pictures (the features are of colour pictures) and sides of less than 32 pixels."""
        if picture.shape[2] != 3:
            return "no colour channels"
        return f"smaller than {SHORTEST_SIDE} pixels" if min(picture.shape[:2]) < SHORTEST_SIDE else None

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """There is none: raises `UserError`."""
        raise UserError(f"The task representation has no test degradation {degradation!r}; it only feeds other runs.")

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """`image`, as prepared."""
        for picture in pictures:
            yield Record(picture.id, {"image": picture.arrays["image"]}, picture.facts)

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """A random square of `patch` pixels, mirrored left to right in half of the visits; smaller pictures are
        mirrored at their edges."""
        side, image = run["patch"], record.arrays["image"]
        missing = [max(0, side - length) for length in image.shape[:2]]
        if any(missing):
            image = np.pad(image, [*((0, more) for more in missing), (0, 0)], "symmetric")
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        crop = augment({"image": image[top:top + side, left:left + side]}, rng, rotate=False)["image"]
        return Sample({"image": crop}, {"image": crop})


TASK = Representation()
