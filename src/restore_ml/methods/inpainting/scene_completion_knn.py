"""Scene completion: a hole is filled with a piece of another photograph, of those most alike the one whose surroundings
fit best, cut along a hidden seam and blended.

Source: Hays, Efros, "Scene completion using millions of photographs", SIGGRAPH 2007; method card
`scene_completion_knn`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Model
from restore_ml.nn.declared_cases import left_out
from restore_ml.nn.hole_filling import harmonic, surroundings
from restore_ml.nn.hole_methods import HolesOnly
from restore_ml.nn.seams import distance_to, minimum_cut, poisson_paste

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

SIDE = 64
"""Of the square on which a scene is described."""


def lab(image: np.ndarray) -> np.ndarray:
    """RGB in [0, 1] as CIE Lab in units of L / 100: H x W x 3 float32."""
    return cv2.cvtColor(np.ascontiguousarray(image, np.float32), cv2.COLOR_RGB2LAB) / 100


def filters(frequencies: int, orientations: int) -> np.ndarray:
    """Transfer functions of Gabor filters on the square's spectrum, frequencies x orientations x SIDE x SIDE: Gaussians
    around 16, 8, 4 ... cycles a side in evenly spaced directions, half as wide as they are far from 0."""
    y, x = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    made = []
    for centre in 0.25 / 2.0 ** np.arange(frequencies):
        for angle in np.pi * np.arange(orientations) / orientations:
            away = (x - centre * np.cos(angle)) ** 2 + (y - centre * np.sin(angle)) ** 2
            made.append(np.exp(-away / (2 * (centre / 2) ** 2)))
    return np.stack(made)


def in_cells(values: np.ndarray, cells: int) -> np.ndarray:
    """N x SIDE x SIDE -> the means over cells x cells squares, N x cells^2."""
    side = SIDE // cells
    return values[:, :side * cells, :side * cells].reshape(-1, cells, side, cells, side).mean((2, 4)).reshape(
        len(values), -1)


@dataclass
class Scene:
    """What a picture looks like as a whole: `gist` (filters x cells^2), `colour` (3 x cells^2, Lab), `share` (cells^2,
    how much of each cell is known)."""

    gist: np.ndarray
    colour: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, hole: np.ndarray, bank: np.ndarray, cells: int) -> Scene:
        """Of RGB in [0, 1] that is smoothly filled under its hole; colours are those of known pixels alone."""
        square = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        known = cv2.resize((~hole).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        seen = lab(square)
        energy = np.abs(np.fft.ifft2(np.fft.fft2(seen[..., 0]) * bank))
        share = in_cells(known[None], cells)[0]
        colour = in_cells(seen.transpose(2, 0, 1) * known, cells) / np.maximum(share, 1e-6)
        return cls(in_cells(energy, cells), colour, share)


@dataclass
class Fit:
    """A donor laid over the picture: `donor` (H x W x 3 RGB in [0, 1], the picture itself where the donor does not
    reach), and what speaks against it."""

    donor: np.ndarray
    scene: float
    context: float
    texture: float


class SceneCompletion(HolesOnly):
    """Donors are the training pictures alone. Restoring has four parts:

    scenes: the gist (energies of `orientations` x `frequencies` Gabor filters in `cells` x `cells` squares) and the
    mean Lab colours of the same squares, compared by squared differences weighted with how much of a cell is known
    (cells below the share `least` count nothing); both terms in units of their mean over the donors, the colours times
    `colour`. The `scenes` nearest donors stay, with `mirrored` each also reversed;
    places: at each of `sizes` and each place within `reach` of the shorter side around the middle, the squared Lab
    difference from the picture on a band of `band` pixels around the hole, times 1 + the distance from the middle in
    shorter sides; the best is the donor's place. There also the texture is compared: gradients' magnitude after a
    median of 5 x 5;
    seam: of the `cuts` donors with the least sum of scene, context and texture (each in units of its mean over them), a
    minimum cut through the band, in which a known pixel costs (k d)^3, d its distance from the hole, k = 0.002 at a
    band of 80 pixels; the seam's cost is the fourth summand. As the task puts the known pixels back, a seam among them
    leaves a step at the hole's rim: with `seam` ranks it only ranks the donors and the hole itself is cut out, with
    none it is not looked for;
    pasting: Poisson blending. The task puts the known pixels back.

    `donor_side`: the shorter side to which donors are made smaller. `cases`: the degradations that the run is shown on
    (none named: all).

    reading: the filters' widths, the units of all terms, the size 1, at which a donor is larger than the picture by
    1 / the least of `sizes` (so that every size covers it), 1 + the distance from the middle (the paper multiplies with
    the distance alone, which is 0 there), the difference in the hole of the cut, the best donor instead of twenty to
    choose from; a smoothly filled hole when the gist is taken.
    """

    paper: ClassVar[dict[str, Any]] = {
        "orientations": 6, "frequencies": 5, "cells": 4, "colour": 0.5, "least": 0.0, "scenes": 200, "mirrored": False,
        "sizes": [0.81, 0.9, 1.0], "reach": 1.0, "band": 80, "seam": "cut", "cuts": 200, "donor_side": 768, "cases": [],
    }
    choices: ClassVar = {"seam": ("cut", "ranks", "none"), "mirrored": (True, False)}
    reading = ("filters, units of all terms, what size 1 is, what distance costs, the cut at the hole's rim, the best "
               "donor is taken")

    def unsupported(self, degradation: str) -> str | None:
        """Holes of any kind."""
        return super().unsupported(degradation) or left_out(self.settings["cases"], degradation)

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`donor_00000` ...: the training pictures, H x W x 3 uint8, in the order of their ids; `gist`, `colour`: N x
        filters x cells^2 and N x 3 x cells^2, their scenes."""
        s = self.settings
        bank = filters(s["frequencies"], s["orientations"])
        records = sorted(material.records, key=lambda record: record.id)
        pictures = [_at_most(record.arrays["image"], s["donor_side"]) for record in records]
        scenes = [Scene.of(each / 255, np.zeros(each.shape[:2], bool), bank, s["cells"]) for each in pictures]
        return {**{f"donor_{place:05d}": each for place, each in enumerate(pictures)},
                "gist": np.stack([each.gist for each in scenes]).astype(np.float32),
                "colour": np.stack([each.colour for each in scenes]).astype(np.float32)}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`image` H x W x 3 uint8, `mask` H x W x 1 -> `image`, float32 in [0, 1]; nothing random. Where nothing is
        known, everything becomes mid grey."""
        hole = inputs["mask"][..., 0] > 0
        image = np.where(hole[..., None], 0.0, inputs["image"] / 255)
        if hole.all():
            return {"image": np.full(image.shape, 0.5, np.float32)}
        return {"image": self.complete(image, hole, model.arrays) if hole.any() else image.astype(np.float32)}

    def complete(self, image: np.ndarray, hole: np.ndarray, arrays: Arrays) -> np.ndarray:
        """The filled picture, float32; `arrays` as `prepare` gives them."""
        s, away = self.settings, distance_to(hole)
        band = (away > 0) & (away <= s["band"])
        fits = [_placed(image, hole, band, donor, distance, s["sizes"], s["reach"])
                for donor, distance in self.nearest(image, hole, arrays)]
        best = sorted(_sums([[fit.scene, fit.context, fit.texture] for fit in fits]))[:s["cuts"]]
        chosen = [fits[place] for _, place in best]
        regions, costs = [hole] * len(chosen), [0.0] * len(chosen)
        if s["seam"] != "none":
            far = (0.002 * 80 / s["band"] * away) ** 3
            for place, fit in enumerate(chosen):
                difference = np.square(lab(image) - lab(fit.donor)).sum(2)
                region, costs[place] = minimum_cut(difference, hole, band, far)
                regions[place] = region if s["seam"] == "cut" else hole
        place = min(_sums([[fit.scene, fit.context, fit.texture, cost]
                           for fit, cost in zip(chosen, costs, strict=True)]))[1]
        pasted = poisson_paste(image, chosen[place].donor, regions[place])
        return np.clip(pasted, 0, 1).astype(np.float32)

    def nearest(self, image: np.ndarray, hole: np.ndarray, arrays: Arrays) -> list[tuple[np.ndarray, float]]:
        """The donors (uint8) whose scenes are nearest, and how far away they are, the nearest first."""
        s = self.settings
        scene = Scene.of(harmonic(image, hole), hole, filters(s["frequencies"], s["orientations"]), s["cells"])
        weight = np.where(scene.share >= min(s["least"], scene.share.max()), scene.share, 0)
        count = len(arrays["gist"])
        apart = [np.square(arrays[name] - value).sum(1) @ weight / weight.sum()
                 for name, value in (("gist", scene.gist), ("colour", scene.colour))]
        distance = apart[0] / max(apart[0].mean(), 1e-12) + s["colour"] * apart[1] / max(apart[1].mean(), 1e-12)
        found = []
        for place in np.argsort(distance, kind="stable")[:min(s["scenes"], count)]:
            donor = arrays[f"donor_{place:05d}"]
            found += [(each, float(distance[place])) for each in (donor, donor[:, ::-1])[:1 + s["mirrored"]]]
        return found


def _at_most(image: np.ndarray, side: int) -> np.ndarray:
    """A picture made smaller to that shorter side where it is larger."""
    factor = side / min(image.shape[:2])
    return image if factor >= 1 else _scaled(image, factor)


def _scaled(image: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(1, round(length * factor)) for length in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way)


def _placed(image: np.ndarray, hole: np.ndarray, band: np.ndarray, donor: np.ndarray, scene: float, sizes: list[float],
            reach: float) -> Fit:
    """The donor (uint8) at the size and place where it fits the band best."""
    height, width = hole.shape
    box = surroundings(hole | band)
    top, left = box[0].start, box[1].start
    wanted, shown = lab(image)[box], np.repeat(band[box][..., None], 3, 2).astype(np.float32)
    cover = max(height / donor.shape[0], width / donor.shape[1]) / min(sizes)
    best: tuple[float, np.ndarray, int, int] | None = None
    for size in sizes:
        large = _scaled(donor, cover * size) / np.float32(255)
        middle = ((large.shape[0] - height) / 2, (large.shape[1] - width) / 2)
        error = np.maximum(cv2.matchTemplate(lab(large), wanted, cv2.TM_SQDIFF, mask=shown), 0)
        y, x = np.ogrid[:error.shape[0], :error.shape[1]]
        away = np.hypot(y - top - middle[0], x - left - middle[1]) / min(height, width)
        error = np.where(away <= max(reach, float(away.min())), error * (1 + away), np.inf)
        at = np.unravel_index(int(error.argmin()), error.shape)
        if best is None or error[at] < best[0]:
            best = float(error[at]), large, int(at[0]), int(at[1])
    assert best is not None
    context, large, down, right = best
    laid = image.astype(np.float32)
    rows, columns = box[0].stop - top, box[1].stop - left
    laid[box] = large[down:down + rows, right:right + columns]
    seen = np.where(hole[..., None], laid, image.astype(np.float32))  # the hole's rim is no edge of the picture
    texture = float(np.square(_texture(seen) - _texture(laid))[band].sum())
    return Fit(laid, scene, context, texture)


def _texture(image: np.ndarray) -> np.ndarray:
    """Gradients' magnitude of the lightness, median of 5 x 5."""
    light = lab(image)[..., 0]
    slopes = [cv2.Sobel(light, cv2.CV_32F, *order, ksize=3) / 8 for order in ((1, 0), (0, 1))]
    return cv2.medianBlur(np.hypot(*slopes), 5)


def _sums(rows: list[list[float]]) -> list[tuple[float, int]]:
    """Of each row the sum of its entries, each in units of its column's mean, and its number."""
    values = np.array(rows)
    total = (values / np.maximum(values.mean(0), 1e-12)).sum(1)
    return [(float(value), place) for place, value in enumerate(total)]


METHOD = SceneCompletion
