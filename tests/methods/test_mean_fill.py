"""The floor of the tables: the mean colour of what is known."""

import numpy as np
import torch

from restore_ml.method import Model
from restore_ml.methods.inpainting.mean_fill import METHOD
from restore_ml.restoring.harness import restore


def test_every_missing_pixel_becomes_its_own_pictures_known_mean() -> None:
    image = torch.tensor([[[[0.2, 0.4], [0.6, 0.9]], [[0.0, 0.3], [0.9, 0.9]], [[1.0, 1.0], [1.0, 0.9]]],
                          [[[0.5, 0.1], [0.1, 0.1]], [[0.25, 0.1], [0.1, 0.1]], [[0.75, 0.1], [0.1, 0.1]]]])
    mask = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]], [[[0.0, 1.0], [1.0, 1.0]]]])
    filled = METHOD({}).restore(Model(), {"image": image, "mask": mask}, 1)["image"]
    assert filled.dtype == torch.float32
    torch.testing.assert_close(filled[0, :, 1, 1], torch.tensor([0.4, 0.4, 1.0]))
    torch.testing.assert_close(filled[1].flatten(1), torch.tensor([[0.5], [0.25], [0.75]]).expand(-1, 4))
    assert torch.equal(filled[0, :, 0], image[0, :, 0])


def test_nothing_known_becomes_mid_grey_and_grey_pictures_stay_grey() -> None:
    whole = torch.ones(1, 1, 4, 4)
    filled = METHOD({}).restore(Model(), {"image": torch.rand(1, 1, 4, 4), "mask": whole}, 1)["image"]
    assert filled.shape == (1, 1, 4, 4) and (filled == 0.5).all()


def test_in_the_harness() -> None:
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    mask = np.zeros((5, 7, 1), np.uint8)
    mask[1:3, 2:6] = 1
    hole, wild = mask[..., 0] > 0, np.where(mask > 0, 255 - image, image)
    filled = restore(METHOD({}), Model(), {"image": image, "mask": mask}, 1)["image"]
    assert np.array_equal(filled[~hole], image[~hole])
    assert np.array_equal(filled[hole], np.tile(np.rint(image[~hole].mean(0)).astype(np.uint8), (hole.sum(), 1)))
    assert np.array_equal(filled, restore(METHOD({}), Model(), {"image": wild, "mask": mask}, 1)["image"])


def test_it_trains_nothing() -> None:
    assert not METHOD({}).trains and METHOD({}).phases() == [] and METHOD({}).build() == {}
