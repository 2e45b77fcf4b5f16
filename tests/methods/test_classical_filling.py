"""What every classical filling must bear: holes of all shapes, grey pictures, hardly anything known; and its time."""

import time

import numpy as np
import pytest

from restore_ml.method import Model
from restore_ml.methods.inpainting.biharmonic import METHOD as BIHARMONIC
from restore_ml.methods.inpainting.diffusion_heat import METHOD as HEAT
from restore_ml.methods.inpainting.navier_stokes import METHOD as NAVIER_STOKES
from restore_ml.methods.inpainting.tv_inpaint import METHOD as TV
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator

METHODS = {"navier_stokes": NAVIER_STOKES, "biharmonic": BIHARMONIC, "diffusion_heat": HEAT, "tv_inpaint": TV}
each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
SIDE = 24


def picture(channels: int = 3, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return np.stack([127 + 100 * np.sin(3 * x + 2 * y + c) for c in range(channels)], axis=2).astype(np.uint8)


def holes(side: int = SIDE) -> dict[str, np.ndarray]:
    masks = {name: np.zeros((side, side), np.uint8) for name in ("frame", "a corner", "a side", "lines")}
    masks["frame"][:] = 1
    masks["frame"][5:-5, 4:-6] = 0
    masks["a corner"][:9, :7] = 1
    masks["a side"][:, -8:] = 1
    masks["lines"][::4] = masks["lines"][:, 3] = 1
    masks["grain"] = (generator("grain").random((side, side)) < 0.5).astype(np.uint8)
    for name, known in {"one known pixel": [(0, 0)], "three known pixels": [(3, 4), (3, 5), (side - 1, 9)]}.items():
        masks[name] = np.ones((side, side), np.uint8)
        for place in known:
            masks[name][place] = 0
    return masks


@each
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", holes())
def test_known_pixels_stay_and_what_is_under_the_hole_tells_nothing(method, channels, name):
    image, mask = picture(channels), holes()[name]
    hole, noise = mask > 0, generator("noise").integers(0, 256, (SIDE, SIDE, channels), dtype=np.uint8)
    filled, other = (method({}).restore_arrays(Model(), {"image": shown, "mask": mask[..., None]}, 1)["image"]
                     for shown in (image, np.where(hole[..., None], noise, image)))
    assert np.array_equal(filled, other) and filled.shape == image.shape and np.isfinite(filled).all()
    unit = image if filled.dtype == np.uint8 else image / np.float32(255)
    assert np.array_equal(filled[~hole], unit[~hole])
    lowest, highest = unit[~hole].min(0), unit[~hole].max(0)
    slack = 1 if filled.dtype == np.uint8 else 1e-6
    assert (filled[hole] >= lowest - slack).all() and (filled[hole] <= highest + slack).all()


@each
def test_three_equal_channels_are_filled_like_a_grey_picture(method):
    grey, mask = picture(1), holes()["grain"][..., None]
    one = restore(method({}), Model(), {"image": grey, "mask": mask}, 1)["image"]
    three = restore(method({}), Model(), {"image": np.repeat(grey, 3, 2), "mask": mask}, 1)["image"]
    assert one.shape == grey.shape and np.abs(three.astype(int) - one).max() <= 1


@each
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_constant_picture_stays_constant(method, level):
    for name, mask in holes().items():
        inputs = {"image": np.full((SIDE, SIDE, 3), level, np.uint8) * (1 - mask[..., None]), "mask": mask[..., None]}
        assert (restore(method({}), Model(), inputs, 1)["image"] == level).all(), name


@each
def test_a_picture_wholly_known_comes_back(method):
    inputs = {"image": picture(), "mask": np.zeros((SIDE, SIDE, 1), np.uint8)}
    assert np.array_equal(restore(method({}), Model(), inputs, 1)["image"], picture())


@each
def test_nothing_is_trained(method):
    assert not method({}).trains and method({}).phases() == [] and method({}).build() == {}


@each
def test_a_hole_of_nearly_128_by_128_pixels_takes_less_than_a_second(method):
    mask = np.zeros((128, 128, 1), np.uint8)
    mask[1:-1, 1:-1] = 1
    inputs = {"image": picture(side=128) * (1 - mask), "mask": mask}
    restore(method({}), Model(), {"image": picture(), "mask": holes()["a corner"][..., None]}, 1)  # imports
    started = time.process_time()
    restore(method({}), Model(), inputs, 1)
    assert time.process_time() - started < 1
