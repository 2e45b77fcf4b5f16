"""The Gaussian random field against dense matrices in numpy, and what its card asks of it."""

import numpy as np
import torch

from restore_ml.nn.gaussian_field import GaussianField, conjugate_gradients, links

SIDE = 16


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def dense(field: GaussianField, embedding: np.ndarray) -> np.ndarray:
    """A of one picture (D x side x side), link by link."""
    places = embedding.reshape(len(embedding), -1).T
    matrix = np.zeros((len(places),) * 2)
    for there, real in zip(field.there.numpy(), field.real.numpy(), strict=True):
        for here in np.flatnonzero(real):
            other = there[here]
            weight = np.exp(-np.square(places[here] - places[other]).sum())
            matrix[here, here] += weight
            matrix[other, other] += weight
            matrix[here, other] -= weight
            matrix[other, here] -= weight
    return matrix


def by_columns(field: GaussianField, weights: torch.Tensor) -> np.ndarray:
    """The same matrix, as `laplacian` applies it."""
    return field.laplacian(weights, torch.eye(len(weights[0]))[:, None]).squeeze(1).double().numpy()


def test_links_are_those_of_the_square_around_and_drawn_ones() -> None:
    there, real = links(5, 2, 3)
    assert there.shape == real.shape == (12 + 3, 25)
    near = set()
    for kind in range(12):
        assert sorted(there[kind].tolist()) == list(range(25))
        near |= {frozenset((here, int(there[kind, here]))) for here in range(25) if real[kind, here]}
    expected = {frozenset((here, other)) for here in range(25) for other in range(25) if here != other
                and max(abs(here // 5 - other // 5), abs(here % 5 - other % 5)) <= 2}
    assert near == expected and real[:12].sum() == len(expected)  # each of them once
    far = there[12:]
    assert all(sorted(kind.tolist()) == list(range(25)) for kind in far)
    assert len({tuple(kind.tolist()) for kind in far}) == 3
    assert torch.equal(real[12:] == 0, far == torch.arange(25))
    assert torch.equal(links(5, 2, 3)[0], there) and links(4, 1, 0)[0].shape == (4, 16)


def test_the_laplacian_is_symmetric_sums_to_nothing_and_is_that_of_the_links() -> None:
    field = GaussianField(SIDE, 1, 8)
    embedding = numbers(1, 3, SIDE, SIDE, scale=0.5)
    matrix = by_columns(field, field.weights(embedding))
    np.testing.assert_allclose(matrix, dense(field, embedding[0].double().numpy()), atol=1e-5)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(1), 0, atol=1e-5)
    assert np.linalg.eigvalsh(matrix + 0.3 * np.eye(SIDE**2)).min() > 0.29


def test_the_solution_is_that_of_the_dense_system() -> None:
    field, unary = GaussianField(SIDE, 2, 8, 40), numbers(2, 2, SIDE, SIDE)
    embedding = numbers(2, 3, SIDE, SIDE, seed=1, scale=0.3)
    anchors = (numbers(2, 1, SIDE, SIDE, seed=2) > 1.5).float() * 1e3
    for own in (None, anchors):
        solved = field(unary, embedding, 0.7, 0.4, own)
        for picture in range(2):
            system = 0.4 * dense(field, embedding[picture].double().numpy()) + 0.7 * np.eye(SIDE**2)
            if own is not None:
                system += np.diag(own[picture].flatten().double().numpy())
            expected = np.linalg.solve(system, unary[picture].flatten(1).double().numpy().T).T
            np.testing.assert_allclose(solved[picture].flatten(1).numpy(), expected, atol=1e-4)


def test_without_links_the_unaries_come_back() -> None:
    unary, embedding = numbers(1, 2, SIDE, SIDE), numbers(1, 3, SIDE, SIDE, seed=1)
    torch.testing.assert_close(GaussianField(SIDE)(unary, embedding, 0.5, 0.0), unary / 0.5)
    torch.testing.assert_close(GaussianField(SIDE)(unary, 100 * embedding, 2.0), unary / 2)  # all far apart


def test_a_flat_region_becomes_more_uniform_and_an_edge_of_the_embedding_is_kept() -> None:
    embedding = torch.zeros(1, 1, SIDE, SIDE)
    embedding[..., SIDE // 2:] = 3
    unary = 0.2 * numbers(1, 1, SIDE, SIDE) + embedding / 3
    solved = GaussianField(SIDE, 1, 8, 10)(unary, embedding)
    halves = [part[..., :SIDE // 2] for part in (unary, solved)], [part[..., SIDE // 2:] for part in (unary, solved)]
    for before, after in halves:
        assert after.var() < 0.1 * before.var()
        assert abs(after.mean() - before.mean()) < 0.02
    assert abs(solved.mean() - unary.mean()) < 1e-3  # links only exchange


def test_points_of_a_person_are_kept_and_spread() -> None:
    """Two points, at weights a thousand times that of a unary, in two regions: each fills its own."""
    embedding, unary = torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    embedding[..., SIDE // 2:] = 4
    anchors, colour = torch.zeros_like(unary), torch.zeros_like(unary)
    for place, value in ((2, 0.6), (13, -0.4)):
        anchors[0, 0, 5, place], colour[0, 0, 5, place] = 1e3, value
    solved = GaussianField(SIDE, 1, 8, 20)(anchors * colour, embedding, 0.001, 1.0, anchors)[0, 0]
    assert abs(solved[5, 2] - 0.6) < 1e-2 and abs(solved[5, 13] + 0.4) < 1e-2
    assert (solved[:, :8] > 0.3).all() and (solved[:, 8:] < -0.2).all()


def test_how_far_a_point_may_be_missed_where_all_links_weigh_one() -> None:
    draws = torch.Generator().manual_seed(0)
    place = torch.randperm(32 * 32, generator=draws)[:50]
    colour = torch.rand(1, 2, 32, 32, generator=draws) - 0.5
    anchors = torch.zeros(1, 1, 32, 32)
    anchors.view(-1)[place] = 1e3
    for radius, partners, iterations, least, most in ((1, 8, 10, 0.005, 0.015), (3, 32, 20, 0.02, 0.06)):
        field = GaussianField(32, radius, partners, iterations)
        solved = field(anchors * colour, torch.zeros(1, 2, 32, 32), 1.0, 1.0, anchors)
        assert least < (solved - colour).flatten(2)[..., place].abs().max() < most


def test_gradients_reach_unaries_and_embeddings_and_are_those_of_the_dense_solution() -> None:
    field = GaussianField(4, 1, 2, 30)
    unary, embedding = (numbers(1, count, 4, 4, seed=count, scale=0.5).requires_grad_() for count in (2, 3))
    field(unary, embedding).square().sum().backward()
    found = embedding.grad
    assert found is not None and unary.grad is not None
    places = embedding.detach().double().clone().requires_grad_()
    flat, matrix = places.flatten(2)[0].T, torch.eye(16, dtype=torch.float64)
    for there, real in zip(field.there, field.real, strict=True):
        step = torch.eye(16, dtype=torch.float64) - torch.eye(16, dtype=torch.float64)[there]
        weights = (flat - flat[there]).square().sum(1).neg().exp() * real
        matrix = matrix + step.T @ (weights[:, None] * step)
    torch.linalg.solve(matrix, unary.detach().double().flatten(2)[0].T).square().sum().backward()
    assert places.grad is not None
    torch.testing.assert_close(found.double(), places.grad, atol=1e-4, rtol=1e-3)


def test_conjugate_gradients_end_where_the_system_is_solved() -> None:
    diagonal = torch.tensor([1.0, 4.0, 1000.0])[:, None, None]
    b = torch.tensor([2.0, 8.0, 500.0])[:, None, None]
    for count in (1, 7):  # divided by the diagonal, one step does it
        solved = conjugate_gradients(lambda y: diagonal * y, b, diagonal, count)
        torch.testing.assert_close(solved.flatten(), torch.tensor([2.0, 2.0, 0.5]))
    assert not conjugate_gradients(lambda y: diagonal * y, torch.zeros_like(b), diagonal, 3).any()


def test_the_division_by_the_diagonal_solves_systems_of_very_different_weights_in_few_steps() -> None:
    field, unary = GaussianField(SIDE, 1, 4, 12), numbers(1, 1, SIDE, SIDE)
    embedding, anchors = numbers(1, 2, SIDE, SIDE, seed=1), 10 ** numbers(1, 1, SIDE, SIDE, seed=2, scale=2.0)
    system = dense(field, embedding[0].double().numpy()) + np.diag(1 + anchors.flatten().double().numpy())
    expected = np.linalg.solve(system, unary.flatten().double().numpy())
    np.testing.assert_allclose(field(unary, embedding, anchors=anchors).flatten().numpy(), expected, atol=1e-6)
    plain = conjugate_gradients(lambda y: (1 + anchors.view(-1, 1, 1)) * y
                                + field.laplacian(field.weights(embedding), y), unary.view(-1, 1, 1),
                                torch.ones(SIDE**2, 1, 1), 12)
    assert np.abs(plain.flatten().numpy() - expected).max() > 1e-3
