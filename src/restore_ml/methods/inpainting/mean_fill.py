"""The mean colour of the known pixels in every missing one: the floor of every table, which looks at no place."""

from __future__ import annotations

import torch

from restore_ml.method import Inputs, Model
from restore_ml.nn.hole_methods import HolesOnly


class MeanFill(HolesOnly):
    """Per channel the mean of the known pixels of the picture itself. Source: method card `mean_fill`.

    Where nothing is known, the hole becomes mid grey (reading).
    """

    paper = {}  # noqa: RUF012
    reading = "mid grey where nothing is known"

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`image` N x C x H x W in [0, 1], `mask` N x 1 x H x W (1 = missing) -> `image` of the same shape."""
        image, known = inputs["image"].double(), (inputs["mask"] <= 0.5).double()
        count = known.sum((2, 3), keepdim=True)
        mean = torch.where(count > 0, (image * known).sum((2, 3), keepdim=True) / count.clamp(min=1), 0.5)
        return {"image": torch.where(known > 0, image, mean).float()}


METHOD = MeanFill
