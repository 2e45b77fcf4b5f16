"""The filling by heat: its steady state, its sweeps and the flow of Perona and Malik, each against its definition."""

import numpy as np
import pytest

from restore_ml.base.errors import SettingError
from restore_ml.methods.inpainting.diffusion_heat import METHOD
from restore_ml.seeds import generator


def fill(image: np.ndarray, hole: np.ndarray, **settings: object) -> np.ndarray:
    return METHOD(settings).fill(np.where(hole[..., None], 0, image), hole)


def drawn(height: int = 9, width: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one hole inside and one at the border."""
    hole = np.zeros((height, width), bool)
    hole[2:6, 3:7] = hole[5:, -2:] = True
    return generator("heat").random((height, width, 3)), hole


def around(y: int, x: int, height: int, width: int) -> list[tuple[int, int]]:
    return [(i, j) for i, j in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)) if 0 <= i < height and 0 <= j < width]


def flow_over_edges(image: np.ndarray) -> float:
    """Dirichlet's energy."""
    return float((np.diff(image, axis=0) ** 2).sum() + (np.diff(image, axis=1) ** 2).sum())


def swept(image: np.ndarray, hole: np.ndarray, sweeps: int) -> np.ndarray:
    now = image.copy()
    now[hole] = image[~hole].mean(axis=0)
    for _ in range(sweeps):
        before = now.copy()
        for y, x in np.argwhere(hole):
            now[y, x] = np.mean([before[place] for place in around(y, x, *hole.shape)], axis=0)
    return now


def test_the_steady_state_is_the_mean_of_the_neighbours_within_the_rims_range():
    image, hole = drawn()
    filled = fill(image, hole)
    for y, x in np.argwhere(hole):
        np.testing.assert_allclose(filled[y, x], np.mean([filled[p] for p in around(y, x, *hole.shape)], axis=0))
    part = np.zeros_like(hole)
    part[2:6, 3:7] = True
    rim = np.array([image[p] for y, x in np.argwhere(part) for p in around(y, x, *hole.shape) if not hole[p]])
    assert (filled[part] >= rim.min(0)).all() and (filled[part] <= rim.max(0)).all()
    assert np.array_equal(filled[~hole], image[~hole])


def test_a_ramp_is_continued():
    y, x = np.mgrid[:20, :24] / 24
    ramp = np.stack([0.1 + 0.4 * x + 0.5 * y, 0.8 - 0.6 * x, 0.2 + 0.3 * y], axis=2)
    hole = np.zeros((20, 24), bool)
    hole[4:15, 6:19] = True
    np.testing.assert_allclose(fill(ramp, hole), ramp, atol=1e-10)


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_sweeps_start_from_the_known_mean_and_stop_after_so_many(sweeps):
    image, hole = drawn()
    found = fill(image, hole, variant="time_limited", sweeps=sweeps)
    np.testing.assert_allclose(found, swept(image, hole, sweeps), atol=1e-12)


def test_sweeps_end_where_nothing_changes_any_more():
    image, hole = drawn()
    changes = [np.abs(swept(image, hole, n + 1) - swept(image, hole, n)).max() for n in range(12)]
    stop = 5
    assert changes[stop] < changes[stop - 1]
    found = fill(image, hole, variant="time_limited", tolerance=(changes[stop] + changes[stop - 1]) / 2)
    np.testing.assert_allclose(found, swept(image, hole, stop + 1), atol=1e-12)


def test_sweeps_lead_to_the_steady_state_and_lower_the_energy():
    image, hole = drawn()
    np.testing.assert_allclose(fill(image, hole, variant="time_limited"), fill(image, hole), atol=1e-3)
    energies = [flow_over_edges(fill(image, hole, variant="time_limited", sweeps=n)) for n in (1, 2, 4, 8, 16, 64)]
    assert energies == sorted(energies, reverse=True) and energies[-1] >= flow_over_edges(fill(image, hole))


def step(side: int = 24) -> np.ndarray:
    image = np.full((side, side, 3), 0.2)
    image[:, side // 2:] = 0.8
    return image


def test_an_edge_through_the_hole_is_lost():
    hole = np.zeros((24, 24), bool)
    hole[6:18, 4:20] = True
    filled = fill(step(), hole)
    # The mean length of the gradient cannot fall: each row still has to climb from 0.2 to 0.8. Its square does.
    assert flow_over_edges(filled) < flow_over_edges(step()) * 0.7
    assert np.abs(np.diff(filled[11:13, 4:20], axis=1)).max() < 0.6 / 4


@pytest.mark.parametrize(("kappa", "rate"), [(0.1, 0.2), (0.3, 0.1)])
def test_perona_and_malik_let_less_flow_over_edges(kappa, rate):
    image, hole = drawn()
    expected = fill(image, hole)
    for _ in range(2):
        before = expected.copy()
        for y, x in np.argwhere(hole):
            for place in around(y, x, *hole.shape):
                change = before[place] - before[y, x]
                expected[y, x] += rate * np.exp(-np.mean(change ** 2) / kappa ** 2) * change
    found = fill(image, hole, variant="perona_malik", sweeps=2, kappa=kappa, rate=rate)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(found - fill(image, hole)).max() > 1e-3


def test_perona_and_malik_keep_an_edge_that_heat_blurs():
    hole = np.zeros((24, 24), bool)
    hole[10:14, 8:16] = True
    errors = [np.abs(fill(step(), hole, variant=v) - step())[hole].mean() for v in ("perona_malik", "steady")]
    assert errors[0] < errors[1] / 2


def test_the_published_settings():
    assert METHOD.paper == {"variant": "steady", "sweeps": 1000, "tolerance": 1e-4, "kappa": 0.1, "rate": 0.2}
    with pytest.raises(SettingError, match="steady, time_limited or perona_malik"):
        METHOD({"variant": "fast"})
