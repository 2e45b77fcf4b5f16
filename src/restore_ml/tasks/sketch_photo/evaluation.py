"""Face photo and sketch: FSIM and SSIM of grey pictures as the tables of CUFS have them, PSNR, and rank-1 recognition.

All are measured on the BT.601 luma, whole pictures, no border (cards 1.3, 1.5 and 1.10). LPIPS stands beside them. FID
is missing: it needs Inception's weights and more pictures than there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.metrics.fidelity import psnr, ssim
from restore_ml.metrics.fsim import fsim, grey
from restore_ml.metrics.nlda import REPEATS, recognised
from restore_ml.tasks.base import Sample
from restore_ml.tasks.cropping import at_most
from restore_ml.tasks.protocol import Canary, Guard, Metric, Protocol, SetRow, capped

SEEN = 128
"""Pixels of the shorter side at which persons are recognised; larger pictures are made smaller."""


class SketchPhoto(Protocol):
    """Ranked on real photos: each of their persons is a group.

    reading: of the two figures of the published tables FSIM ranks. The sketches are hatched, and to SSIM each stroke
    that lies elsewhere is an error: a blurred picture without strokes, even the photo itself, is worth more to it.
    """

    task = "sketch_photo"
    metrics = (Metric("fsim", 1, 4), Metric("ssim", 1, 4), Metric("psnr", 1, 2, "dB"))
    set_metrics = (Metric("rank1_nlda", 1, 3),)
    primary = "fsim"
    primary_set = "drawings"
    primary_degradation = "photo_to_sketch"
    perceptual = True
    baselines = ("copy_input",)
    guards = (Guard("psnr", margin=0.5),)
    reading = ("FSIM ranks and not SSIM, to which each stroke of a hatched sketch that lies elsewhere is an error. "
               "rank1_nlda: a null-space discriminant learns from a part of the persons (150 of 338 and 300 of 944, as "
               "published for CUFS and CUFSF; half of any other number, which is our choice) and finds the others; "
               f"mean of {REPEATS} partings, of grey pictures of at most {SEEN} pixels.")
    minimum_gain = 0.002

    def measure(self, inputs: Arrays, output: Arrays, target: Arrays, context: Any) -> dict[str, float]:
        """On grey levels from 0 to 255."""
        picture, truth = grey(output["picture"]), grey(target["truth"])
        return {"ssim": ssim(picture, truth), "fsim": fsim(picture, truth), "psnr": capped(psnr(picture, truth))}

    def measure_set(self, rows: Iterable[SetRow], context: Any, judge: Any) -> dict[str, float]:
        """`rank1_nlda`: how many true pictures find their person among the made ones (`metrics.nlda.recognised`); none
        where there are fewer than 4 persons or pictures of several sizes."""
        persons, made, true = [], [], []
        for row in rows:
            persons.append(str(row.record.facts.get("group", row.record.id)))
            made.append(_features(row.output["picture"]))
            true.append(_features(row.target["truth"]))
        if len(set(persons)) < 4 or len({len(features) for features in made}) != 1:
            return {}
        return {"rank1_nlda": recognised(np.stack(made), np.stack(true), persons)}

    def canary(self) -> Canary:
        """See `Canary`."""
        return Canary("picture", "truth", 0.0, 255.0, shift=100.0, floor=80.0)

    def trivial(self, sample: Sample) -> np.ndarray:
        """The picture that was given."""
        return sample.inputs["source"]

    def show(self, inputs: Arrays, output: Arrays | None, target: Arrays) -> Arrays:
        """The three pictures."""
        pictures = {"input": inputs["source"], "truth": target["truth"]}
        return pictures if output is None else {**pictures, "output": output["picture"]}


def _features(picture: np.ndarray) -> np.ndarray:
    return grey(at_most(picture, SEEN)).astype(np.float32).ravel()


PROTOCOL = SketchPhoto()
