"""LPIPS against the method card's toy network, an independent formula, and the values of its authors' code."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics.lpips import Lpips, load_lpips
from tests.metrics.test_perceptual import toy

UNIFORM = Lpips(toy, {"one": torch.full((4,), 1 / 4), "two": torch.full((8,), 1 / 8)})


def picture(folder: Path, name: str) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(folder / "metric_pairs" / f"{name}.png"))[:, :, ::-1])


def official(folder: Path, metric: str) -> dict[str, float]:
    """What the authors' code gives for each pair of pictures."""
    with open(folder / "metric_pairs" / "official.csv") as file:
        row = next(row for row in csv.DictReader(file) if row["metric"] == metric)
    return {pair: float(value) for pair, value in row.items() if pair != "metric"}


def pictures(seed: int, shape: tuple[int, int] = (40, 33)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(2))  # type: ignore[return-value]


def test_the_toy_network_of_the_card() -> None:
    k = torch.arange(2 * 3 * 256, dtype=torch.float32)
    x = torch.sin(0.05 * k).reshape(2, 3, 16, 16)
    y = 0.8 * x + 0.1 * torch.cos(0.11 * k).reshape(2, 3, 16, 16)
    a, b = UNIFORM.scaled(toy(x)), UNIFORM.scaled(toy(y))
    assert UNIFORM.distances(a, b).tolist() == pytest.approx([0.0370353, 0.0324069], abs=2e-6)
    assert torch.equal(UNIFORM.distances(a, b), UNIFORM.distances(b, a))
    assert UNIFORM.distances(a, a).tolist() == [0, 0]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_it_is_the_formula_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heads = {"one": rng.random(4), "two": rng.random(8) * (rng.random(8) > 0.5)}
    a, b = pictures(seed)
    expected = 0.0
    for name, weights in heads.items():
        maps = [toy(torch.from_numpy(value.transpose(2, 0, 1)[None] / np.float32(255)))[name][0].double().numpy()
                for value in (a, b)]
        one, two = (value / (np.sqrt((value**2).sum(0)) + 1e-10) for value in maps)
        expected += float(np.einsum("c,chw->hw", weights, (one - two) ** 2).mean())
    measure = Lpips(toy, {name: torch.tensor(weights, dtype=torch.float32) for name, weights in heads.items()})
    assert measure(a, b) == pytest.approx(expected, rel=1e-4)
    assert measure(b, a) == measure(a, b)
    assert measure(a, a) == 0


def test_features_are_worked_out_once_and_belong_to_one_size() -> None:
    a, b = pictures(3)
    known = UNIFORM.features(a)
    assert UNIFORM.distance(known, UNIFORM.features(b)) == UNIFORM(a, b)
    assert not known["one"].requires_grad
    with pytest.raises(ValueError, match="must be equal"):
        UNIFORM.distance(known, UNIFORM.features(pictures(3, (40, 40))[0]))
    with pytest.raises(ValueError, match="must be equal"):
        UNIFORM(a, b[:-1])
    with pytest.raises(ValueError, match="at least 32 pixels"):
        UNIFORM.features(a[:31])


@pytest.mark.benchmark_data
@pytest.mark.usefixtures("published_weights")
def test_alexnet_equals_the_official_values(benchmark_data: Path) -> None:
    measure = load_lpips("alex")
    for pair, expected in official(benchmark_data, "lpips").items():
        truth, distorted = (measure.features(picture(benchmark_data, f"{pair}_{which}")) for which in ("ref", "dist"))
        assert measure.distance(truth, distorted) == pytest.approx(expected, abs=0.001)
        assert measure.distance(distorted, truth) == measure.distance(truth, distorted)
        assert measure.distance(truth, truth) == 0


@pytest.mark.benchmark_data
@pytest.mark.usefixtures("published_weights")
def test_the_authors_example(benchmark_data: Path) -> None:
    truth, first, second = (picture(benchmark_data, f"lpips_ex_{which}") for which in ("ref", "p0", "p1"))
    alex, vgg = load_lpips("alex"), load_lpips("vgg")
    assert alex(truth, first) == pytest.approx(0.722, abs=0.001)
    assert alex(truth, second) == pytest.approx(0.138, abs=0.001)
    assert vgg(truth, first) > vgg(truth, second) > 0
    assert vgg(truth, truth) == 0 and vgg(first, truth) == pytest.approx(vgg(truth, first), abs=1e-6)
