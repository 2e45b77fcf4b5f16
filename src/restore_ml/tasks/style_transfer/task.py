"""Style transfer: a photograph and a painting in, the photograph painted like it out. Nobody knows the truth.

Inputs: `content` (a photograph) and `style` (a painting that need not show the same), H x W x 3 uint8, each of its own
size. Output: `image`, of the size of `content`.
Setting: `size`, the pixels to which the shorter side of either is resized for a test.
Source: the method card `neural_style_transfer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.kinds import PICTURE
from restore_ml.tasks.base import Task

SMALLEST = 32
CONTENT, STYLE = "content", "style"
"""The two roles, and the inputs that they give."""


class StyleTransfer(Task):
    """See the module's docstring."""

    name = "style_transfer"
    roles: ClassVar = {CONTENT: "photos", STYLE: "paintings"}
    inputs: ClassVar = {CONTENT: ArraySpec(PICTURE, 3), STYLE: ArraySpec(PICTURE, 3)}
    target: ClassVar[dict[str, ArraySpec]] = {}
    output: ClassVar = {"image": ArraySpec(PICTURE, 3, size_of=CONTENT)}
    defaults: ClassVar = {"size": 256}

    def check(self, settings: Mapping[str, Any]) -> None:
        """`size` is a whole number of at least 32."""
        size = settings["size"]
        if isinstance(size, bool) or not isinstance(size, int) or size < SMALLEST:
            raise UserError(f"`size` of style_transfer is {size!r}; it must be a whole number of at least {SMALLEST}.")

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """Refuses grey photographs, which have no colours to change, and sides below 32 pixels."""
        if picture.shape[2] != 3:
            return "no colour channels"
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None


TASK = StyleTransfer()
