"""Colour transfer from a reference picture: each pixel takes the colour of a sample that is as bright and as rough.

Source: Welsh, Ashikhmin, Mueller, "Transferring Color to Greyscale Images", SIGGRAPH 2002; method card
`welsh_transfer`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Method, Model
from restore_ml.nn.kept_pictures import kept
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material
from restore_ml.tasks.cropping import centre_square, resized_to_short_side

QUANTILES = 16
"""By which the greys of two pictures are compared."""
PIXELS = 4096
"""Matched at once."""


class WelshTransfer(Method):
    """The method's global matching: about `samples` jittered samples of the reference, whose lightness is first given
    the mean and standard deviation of the grey picture's; for each pixel the sample of least
    (|difference of lightness| + |difference of its deviation over `window` x `window` pixels|) / 2. Only a and b are
    taken, lightness is the picture's own.

    In the source a person picks the reference. Here `pictures` training pictures are kept, and the one is taken whose
    grey is most alike: the least sum of the mean distances of 16 quantiles of lightness and of 16 of its local
    deviation. Colour plays no part in the choice.

    reading: the choice of the reference; Lab instead of the source's l-alpha-beta. The variant in which a person
    matches swatches is not built.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {"samples": 200, "window": 5, "pictures": 64, "side": 256}
    reading = "the reference is the training picture whose grey is most alike; Lab instead of l-alpha-beta"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the window."""
        super().__init__(settings)
        if self.settings["window"] % 2 == 0:
            raise self.wrong("window", "it must be odd, as the pixel is in its middle")

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`references`: P x side x side x 3 uint8, the middle squares of all training pictures or of P drawn from them;
        `statistics`: P x 2 x 16 float32, of the grey of each (`grey_statistics`)."""
        s = self.settings
        squares = [centre_square(resized_to_short_side(record.arrays["rgb"], s["side"]), s["side"])
                   for record in kept(material, s["pictures"], seed, "welsh_transfer", "pictures")]
        statistics = [grey_statistics(rgb_to_lab(square)[..., 0], s["window"]) for square in squares]
        return {"references": np.stack(squares), "statistics": np.stack(statistics).astype(np.float32)}

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """Choose the reference, draw its samples, match."""
        s, lightness = self.settings, inputs["L"][..., 0].astype(np.float64)
        distance = np.abs(model.arrays["statistics"] - grey_statistics(lightness, s["window"])).mean(2).sum(1)
        reference = rgb_to_lab(model.arrays["references"][distance.argmin()])
        ab = transferred(lightness, reference, s["samples"], s["window"], generator(seed, "welsh_transfer"))
        return {"ab": ab.astype(np.float32)}


def transferred(lightness: np.ndarray, reference: np.ndarray, samples: int, window: int,
                draws: np.random.Generator) -> np.ndarray:
    """ab (H x W x 2) for a lightness (H x W) from a reference's Lab (h x w x 3, float64)."""
    bright = reference[..., 0]
    bright = (bright - bright.mean()) * lightness.std() / max(bright.std(), 1e-6) + lightness.mean()
    y, x = jittered(bright.shape, samples, draws)
    known = np.stack([bright[y, x], local_deviation(bright, window)[y, x]])
    wanted = np.stack([lightness.ravel(), local_deviation(lightness, window).ravel()])
    nearest = [np.abs(wanted[:, start:start + PIXELS, None] - known[:, None]).sum(0).argmin(1)
               for start in range(0, lightness.size, PIXELS)]
    return reference[y, x, 1:][np.concatenate(nearest)].reshape(*lightness.shape, 2)


def jittered(shape: tuple[int, ...], count: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of about `count` pixels, one at a random place of each cell of a grid over the picture."""
    height, width = shape
    rows = max(1, round((count * height / width) ** 0.5))
    columns = max(1, round(count / rows))
    cells = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2)
    places = (cells + draws.random(cells.shape)) * (height / rows, width / columns)
    y, x = places.astype(int).T
    return y, x


def local_deviation(lightness: np.ndarray, window: int) -> np.ndarray:
    """The standard deviation in a square of `window` pixels around each pixel, mirrored at the border."""
    size, kind = (window, window), cv2.BORDER_REFLECT_101
    mean = cv2.boxFilter(lightness, cv2.CV_64F, size, borderType=kind)
    square = cv2.boxFilter(np.square(lightness), cv2.CV_64F, size, borderType=kind)
    return np.sqrt(np.maximum(square - np.square(mean), 0))


def grey_statistics(lightness: np.ndarray, window: int) -> np.ndarray:
    """The middles of 16 equal shares of the pixels, by lightness and by local deviation: 2 x 16."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    maps = lightness.astype(np.float64), local_deviation(lightness.astype(np.float64), window)
    return np.stack([np.quantile(one, shares) for one in maps])


METHOD = WelshTransfer
