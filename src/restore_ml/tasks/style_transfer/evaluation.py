"""Style transfer: how much of the photograph is kept, and how far the picture is from the photograph's contents and
from the painting's style.

There is no truth. The structural similarity of the grey photograph and the result orders the table, as in the published
tables of these methods; a copy of the photograph has 1 and no style at all, so no champion comes of it
(`default` in graph/style_transfer/runs.yaml). The two distances describe a whole case. They are measured by the task's
judge, a feature network, and carry its name: other weights give other figures. With the usual settings it is the
network whose features neural_style_transfer moves pixels by, so they say how far that got, not what people would see.

The card's `style_class_acc` (do classifiers find the painting's family in the result?) is missing. The judge cannot
give it: a classifier over the maps that a method moves pixels by finds whatever the method was told to make. One that
knows nothing of them must be learned from training paintings, which scoring does not see, and have a run of its own
beside the judge; and of a dozen pairs of seven painted families its rate would be known to a quarter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.fidelity import luma, ssim
from restore_ml.metrics.style import content_distance, style_distance
from restore_ml.tasks.base import Sample
from restore_ml.tasks.cropping import resized_to_short_side
from restore_ml.tasks.protocol import Metric, Protocol, SetRow
from restore_ml.tasks.style_transfer.task import CONTENT, STYLE

if TYPE_CHECKING:
    from torch import Tensor

CONTENT_TAPS = ("relu4_2",)
STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Gatys, Ecker and Bethge's (CVPR 2016); both feature networks have them."""
NETWORKS = ("minivgg", "vgg16", "imagenet")
"""How the sources of feature networks begin: that of a run, the shelf's VGG16, a user's VGG19."""
INSET = 3
"""The painting is shown in a corner of the photograph, so many times smaller."""


class StyleTransfer(Protocol):
    """See the module's docstring. `content_<network>` and `style_<network>`: 0 for the photograph itself, and for the
    painting itself (`restore_ml.metrics.style`)."""

    task = "style_transfer"
    metrics = (Metric("ssim_content", 1, 4),)
    set_metrics = tuple(Metric(f"{what}_{network}", 0, 4) for network in NETWORKS for what in (CONTENT, STYLE))
    primary = "ssim_content"
    primary_set = "photos"
    primary_degradation = "painting"
    baselines = ("content_copy",)
    reading = ("Nobody knows the truth: ssim_content says how much of the photograph is kept, and a copy is first. "
               "content_ and style_ are measured by the feature network that their name ends with: minivgg is this "
               "project's own small one, trained on its training photographs, vgg16 and imagenet are ImageNet's. It is "
               "the network that neural_style_transfer moves pixels by, so both say how far that got and not what "
               "people would see; figures by two networks cannot be compared.")

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """`ssim_content`: SSIM (Wang) of the lumas of result and photograph."""
        return {"ssim_content": ssim(luma(output["image"]), luma(inputs[CONTENT]))}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """Means over the pictures of both distances; none without a judge."""
        import torch

        if judge is None:
            return {}
        found = []
        with torch.no_grad():
            for row in rows:
                made = judge(_tensor(row.output["image"]), [*CONTENT_TAPS, *STYLE_TAPS])
                kept = judge(_tensor(row.record.arrays[CONTENT]), CONTENT_TAPS)
                wanted = judge(_tensor(row.record.arrays[STYLE]), STYLE_TAPS)
                found.append((float(content_distance(made, kept)), float(style_distance(made, wanted))))
        name = str(judge.source).partition("-")[0]
        return {f"{what}_{name}": float(value) for what, value in zip((CONTENT, STYLE), np.mean(found, axis=0),
                                                                      strict=True)} if found else {}

    def canary(self) -> None:
        """Nothing can be asked of a picture whose truth nobody knows."""

    def trivial(self, sample: Sample) -> np.ndarray:
        """The photograph."""
        return sample.inputs[CONTENT]

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The photograph with the painting in its lower right corner."""
        seen = inputs[CONTENT].copy()
        side = max(1, min(seen.shape[:2]) // INSET)
        small = resized_to_short_side(inputs[STYLE], side)[:side, :side]
        seen[-small.shape[0]:, -small.shape[1]:] = small
        return {"input": seen} if output is None else {"input": seen, "output": output["image"]}


def _tensor(picture: np.ndarray) -> Tensor:
    """H x W x 3 uint8 -> 1 x 3 x H x W in [0, 1]."""
    import torch

    return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float() / 255


PROTOCOL = StyleTransfer()
