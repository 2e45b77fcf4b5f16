"""Global regression: one ridge regression from low-resolution patches to the pixels that belong to their centre.

Source: the global case of anchored neighbourhood regression (Timofte, De Smet, Van Gool, ICCV 2013, equations 4-5).
The template for a classical fit: `prepare` gives arrays instead of networks, and `restore` reads them.
"""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from restore_ml.base.errors import UserError
from restore_ml.method import Method


class GlobalRegression(Method):
    """Every channel alone: a `window` x `window` patch less its mean -> the `scale`^2 pixels of its centre less it.

    reading: pixels instead of gradients and PCA as features, so that the whole is one linear filter.
    """

    task = "super_resolution"
    paper: ClassVar[dict[str, Any]] = {"scales": [2], "window": 5, "ridge": 1e-5}
    reading = "pixels as features"

    def unsupported(self, degradation):
        """One regression a scale."""
        scale = self.settings["scales"][0]
        return None if degradation.startswith(f"x{scale}") else f"fitted for x{scale} only"

    def prepare(self, material, seed):
        """`filter`, scale^2 x window^2 float32: P = Y X^T (X X^T + lambda n I)^-1 over all n training patches."""
        scale, window, count = self.settings["scales"][0], self.settings["window"], 0
        products, moments = np.zeros((scale**2, window**2)), np.zeros((window**2, window**2))
        for record in material.records:
            if f"lr_x{scale}" not in record.arrays:
                raise UserError(f"The training material has no scale {scale}; add it to `scales` of the task in "
                                "params.yaml.")
            low = torch.from_numpy(record.arrays[f"lr_x{scale}"].astype(np.float32) / 255).permute(2, 0, 1)[None]
            height, width = low.shape[-2:]
            high = record.arrays["hr"][:height * scale, :width * scale].astype(np.float32) / 255
            patches, means = windows(low, window)
            fine = F.pixel_unshuffle(torch.from_numpy(high).permute(2, 0, 1)[:, None], scale).flatten(2)
            features = patches.permute(1, 0, 2).flatten(1).double().numpy()
            targets = (fine - means).permute(1, 0, 2).flatten(1).double().numpy()
            products += targets @ features.T
            moments += features @ features.T
            count += features.shape[1]
        damped = moments + self.settings["ridge"] * count * np.eye(window**2)
        return {"filter": np.linalg.solve(damped, products.T).T.astype(np.float32)}

    def restore(self, model, inputs, seed):
        """N x 3 x h x w -> N x 3 x sh x sw."""
        low, scale = inputs["lr"], self.settings["scales"][0]
        patches, means = windows(low, self.settings["window"])
        fine = torch.from_numpy(np.array(model.arrays["filter"])) @ patches + means
        whole = F.pixel_shuffle(fine.unflatten(2, low.shape[-2:]), scale)
        return {"sr": whole.reshape(*low.shape[:2], *whole.shape[-2:])}


def windows(low, side):
    """N x C x h x w -> the patch around every pixel less its mean (NC x side^2 x hw), and the means (NC x 1 x hw)."""
    edge = side // 2
    framed = F.pad(low.flatten(0, 1)[:, None], (edge, edge, edge, edge), "replicate")
    patches = F.unfold(framed, side)
    means = patches.mean(1, keepdim=True)
    return patches - means, means


METHOD = GlobalRegression
