"""Small steps of networks that enlarge faces."""

import torch

from restore_ml.degradations.resize import imresize
from restore_ml.nn.face_enlarging import bicubic, centred, known_mean, to_unit
from tests.methods.by_hand import draw


def test_ranges_and_the_bicubic_picture():
    values = torch.tensor([0.0, 0.5, 1.0])
    assert centred(values).tolist() == [-1, 0, 1]
    assert to_unit(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert to_unit(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    small = draw(3, 3, 8, 8)
    assert torch.equal(bicubic(small), imresize(small, 8.0))


def test_the_mean_of_what_is_known():
    values, known = torch.tensor([1.0, 5.0, float("inf")]), torch.tensor([True, True, False])
    assert known_mean(values, known).item() == 3
    assert known_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0
