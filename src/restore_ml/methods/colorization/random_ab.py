"""The colours of some other picture: the ab map of a training picture drawn at random, stretched over the grey one.

Source: the row "Random" of Zhang, Isola and Efros, "Colorful Image Colorization", ECCV 2016; method card `random_ab`.
Its colours are as frequent and as vivid as true ones and have nothing to do with the picture, which tells a figure that
looks for right colours from one that looks for colours, and people easily tell it from the truth.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.degradations.resize import imresize
from restore_ml.method import Inputs, Method, Model
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material


class RandomAb(Method):
    """Keeps the colours of `pictures` training pictures, each as a square of `side` pixels, and takes one at a time.

    The source draws from all training pictures at their full size; a model that carries them all would be as large as
    its training set. A training picture that is coloured itself may get its own colours.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {"pictures": 256, "side": 256}

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`colours`: P x side x side x 2 int8, ab in whole units, of all training pictures or of P drawn from them."""
        s, records = self.settings, material.records
        chosen = range(len(records))
        if len(records) > s["pictures"]:
            draws = generator(seed, "random_ab", "pictures")
            chosen = np.sort(draws.choice(len(records), s["pictures"], replace=False))
        maps = [imresize(rgb_to_lab(records[int(index)].arrays["rgb"])[..., 1:].astype(np.float32),
                         output_size=(s["side"], s["side"])) for index in chosen]
        return {"colours": np.clip(np.rint(maps), -128, 127).astype(np.int8)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """One map, chosen by the seed alone, enlarged or reduced bilinearly to the picture's size."""
        lightness, maps = inputs["L"], model.arrays["colours"]
        number = int(generator(seed, "random_ab").integers(len(maps)))
        ab = torch.from_numpy(maps[number].astype(np.float32)).to(lightness.device).movedim(-1, 0)[None]
        ab = F.interpolate(ab, lightness.shape[-2:], mode="bilinear", align_corners=False)
        return {"ab": ab.expand(len(lightness), -1, -1, -1)}


METHOD = RandomAb
