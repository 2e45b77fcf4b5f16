"""The filling of least total variation: its iteration by hand, what it reaches, and the edge that it continues."""

import numpy as np
import pytest
from scipy.optimize import minimize

from restore_ml.methods.inpainting.tv_inpaint import METHOD
from restore_ml.nn.hole_filling import harmonic
from restore_ml.seeds import generator


def fill(image: np.ndarray, hole: np.ndarray, **settings: object) -> np.ndarray:
    return METHOD(settings).fill(np.where(hole[..., None], 0, image), hole)


def drawn(height: int = 7, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    hole = np.zeros((height, width), bool)
    hole[2:5, 2:5] = hole[5:, 6:] = True
    return generator("tv").random((height, width, 3)), hole


def variation(image: np.ndarray, smoothing: float = 0.0) -> float:
    """The sum of the lengths of the gradients (forward differences, all channels in one)."""
    down = np.diff(image, axis=0, append=image[-1:])
    right = np.diff(image, axis=1, append=image[:, -1:])
    return float(np.sqrt((down ** 2 + right ** 2).sum(axis=2) + smoothing ** 2).sum())


def by_hand(image: np.ndarray, hole: np.ndarray, iterations: int, pull: float | None = None) -> np.ndarray:
    """Chambolle and Pock's algorithm 1 on the whole picture, pixel by pixel, both steps 1 / sqrt(8)."""
    (height, width), step = hole.shape, 1 / np.sqrt(8)
    seen = harmonic(np.where(hole[..., None], 0, image), hole)
    now, ahead = seen.copy(), seen.copy()
    dual = np.zeros((2, *image.shape))
    for _ in range(iterations):
        for y, x in np.ndindex(height, width):
            if y + 1 < height:
                dual[0, y, x] += step * (ahead[y + 1, x] - ahead[y, x])
            if x + 1 < width:
                dual[1, y, x] += step * (ahead[y, x + 1] - ahead[y, x])
            dual[:, y, x] /= max(1.0, np.sqrt((dual[:, y, x] ** 2).sum()))
        before, now = now, now.copy()
        for y, x in np.ndindex(height, width):
            out = dual[0, y, x] + dual[1, y, x]
            out = out - (dual[0, y - 1, x] if y else 0) - (dual[1, y, x - 1] if x else 0)
            moved = before[y, x] + step * out
            if hole[y, x]:
                now[y, x] = moved
            elif pull is not None:
                now[y, x] = (moved + step * pull * seen[y, x]) / (1 + step * pull)
        ahead = 2 * now - before
    return np.clip(now, image[~hole].min(0), image[~hole].max(0))


@pytest.mark.parametrize("iterations", [1, 6, 12])
def test_the_iteration_by_hand(iterations):
    image, hole = drawn()
    found = fill(image, hole, iterations=iterations)
    np.testing.assert_allclose(found, by_hand(image, hole, iterations), atol=2e-6)
    # While no gradient is longer than 1 the steady state of heat does not move.
    assert iterations == 1 or np.abs(found - harmonic(image, hole)).max() > 1e-4


@pytest.mark.parametrize("fidelity", [15.0, 2.0])
def test_the_iteration_by_hand_where_known_pixels_are_noisy(fidelity):
    image, hole = drawn()
    found = fill(image, hole, iterations=6, noisy=True, fidelity=fidelity)
    np.testing.assert_allclose(found, by_hand(image, hole, 6, fidelity), atol=2e-6)
    assert np.abs(found - image)[~hole].max() > 1e-3


def test_the_variation_falls_to_its_least():
    image, hole = drawn()
    image = 0.3 * image + np.linspace(0, 0.7, 8)[:, None]
    energies = [variation(fill(image, hole, iterations=n)) for n in (10, 40, 160, 500)]
    assert variation(harmonic(image, hole)) > energies[0] and energies == sorted(energies, reverse=True)

    def energy(values: np.ndarray) -> float:
        return variation(np.where(hole[..., None], _placed(values, hole), image), 1e-3)

    start = harmonic(image, hole)[hole].ravel()
    least = minimize(energy, start, method="L-BFGS-B", options={"maxiter": 60}).x
    reached = variation(np.where(hole[..., None], _placed(least, hole), image))
    assert energies[-1] == pytest.approx(reached, rel=5e-3) and energies[-1] <= reached + 1e-3


def _placed(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    out = np.zeros((*hole.shape, 3))
    out[hole] = values.reshape(-1, 3)
    return out


def test_an_edge_is_continued_through_a_hole_that_heat_blurs():
    step = np.full((24, 24, 3), 0.2)
    step[:, 12:] = 0.8
    hole = np.zeros((24, 24), bool)
    hole[10:14, 6:18] = True
    by_tv, by_heat = (np.abs(filled - step)[hole].max() for filled in (fill(step, hole), harmonic(step, hole)))
    assert by_tv < 0.02 and by_heat > 0.2


def test_without_fidelity_noisy_pixels_give_a_constant():
    image, hole = drawn()
    filled = fill(image, hole, noisy=True, fidelity=1e-3, iterations=1500)
    assert np.ptp(filled, axis=(0, 1)).max() < 0.01
    np.testing.assert_allclose(filled.mean((0, 1)), image[~hole].mean(0), atol=0.05)
    held = fill(image, hole, noisy=True, fidelity=1e6, iterations=40)
    np.testing.assert_allclose(held, fill(image, hole, iterations=40), atol=1e-3)


def test_known_pixels_are_held():
    image, hole = drawn()
    assert np.array_equal(fill(image, hole, iterations=20)[~hole].astype(np.float32), image[~hole].astype(np.float32))


def test_the_published_settings():
    assert METHOD.paper == {"iterations": 500, "noisy": False, "fidelity": 15.0}
