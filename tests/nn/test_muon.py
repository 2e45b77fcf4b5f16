"""Muon against torch's own (which takes plain matrices only) and against the singular value decomposition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restore_ml.nn.muon import Muon, orthogonal
from restore_ml.training import checkpoint


def kernels(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    draws = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=draws)) for shape in shapes]


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_singular_vectors_stay_and_singular_values_come_near_one(shape):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))
    found = orthogonal(matrices).float()
    for matrix, near in zip(matrices, found, strict=True):
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        inside = u.mT @ near @ v.mT
        values = inside.diagonal()
        assert values.min() > 0.3 and values.max() < 1.35
        assert (inside - values.diag()).abs().max() < 0.15


def test_a_matrix_of_zeros_stays_zero():
    assert orthogonal(torch.zeros(1, 4, 6)).abs().max() == 0


@pytest.mark.parametrize("shapes", [[(8, 8, 3, 3), (8, 8, 3, 3), (8, 8, 1, 1)], [(12, 4, 1, 1)]])
def test_steps_agree_with_torch(shapes):
    """torch's Muon on the flattened kernels; both iterate in bfloat16, ours several kernels at once."""
    ours = kernels(*shapes)
    theirs = [nn.Parameter(kernel.detach().reshape(len(kernel), -1).clone()) for kernel in ours]
    mine = Muon(ours, [], lr=0.02, momentum=0.95)
    reference = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.0, nesterov=True)
    draws = torch.Generator().manual_seed(3)
    for _ in range(4):
        for kernel, matrix in zip(ours, theirs, strict=True):
            kernel.grad = torch.randn(kernel.shape, generator=draws)
            matrix.grad = kernel.grad.reshape(matrix.shape).clone()
        mine.step()
        reference.step()
    for kernel, matrix in zip(ours, theirs, strict=True):
        moved = (matrix - kernel.reshape(matrix.shape)).abs().max()
        assert moved < 0.02 * 4 * 0.02  # of the four steps of 0.02


def test_what_is_no_matrix_moves_as_adam_moves_it():
    ours, theirs = kernels((5,), (4, 3)), kernels((5,), (4, 3))
    mine, reference = Muon([], ours, adam_lr=0.01), torch.optim.Adam(theirs, 0.01)
    draws = torch.Generator().manual_seed(4)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=draws)
            other.grad = one.grad.clone()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_what_has_no_gradient_stays():
    matrix, vector = kernels((4, 4, 1, 1), (3,))
    before = [matrix.detach().clone(), vector.detach().clone()]
    Muon([matrix], [vector]).step()
    assert torch.equal(matrix, before[0]) and torch.equal(vector, before[1])


def test_it_goes_on_from_a_checkpoint_to_the_same_bits():
    draws = [torch.randn(2, 8, 8, 3, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]

    def steps(kernel, vector, optimiser, some):
        for gradient, other in some:
            kernel.grad, vector.grad = gradient.clone(), other[0, 0, 0].clone()
            optimiser.step()

    whole = kernels((8, 8, 3, 3), (3,))
    steps(*whole, Muon(whole[:1], whole[1:]), draws)
    parts = kernels((8, 8, 3, 3), (3,))
    first = Muon(parts[:1], parts[1:])
    steps(*parts, first, draws[:2])
    tensors, plain = checkpoint.optimiser_tensors("o", first)
    second = Muon(parts[:1], parts[1:])
    checkpoint.fill_optimiser("o", second, tensors, plain)
    steps(*parts, second, draws[2:])
    assert torch.equal(parts[0], whole[0]) and torch.equal(parts[1], whole[1])
