"""welsh_transfer: statistics, samples and matching by hand, the choice of a reference by its grey alone."""

from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.method import Model
from restore_ml.methods.colorization import welsh_transfer
from restore_ml.methods.colorization.welsh_transfer import grey_statistics, jittered, local_deviation, transferred
from restore_ml.restoring import harness
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material
from tests.methods.colour_project import error, make, scene, trained


def maps(seed: int = 0, shape: tuple[int, int] = (14, 11)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 90, shape)


@pytest.mark.parametrize("window", [3, 5])
def test_the_local_deviation_by_hand(window: int) -> None:
    lightness = maps()
    padded = np.pad(lightness, window // 2, "reflect")
    expected = [[padded[y : y + window, x : x + window].std() for x in range(11)] for y in range(14)]
    np.testing.assert_allclose(local_deviation(lightness, window), expected, atol=1e-9)
    assert (local_deviation(np.full((8, 8), 53.7), window) < 1e-5).all()


def test_the_grey_statistics_by_hand() -> None:
    """160 values: the middle of each share of ten is between its fifth and sixth."""
    lightness = maps(shape=(16, 10))
    found = grey_statistics(lightness, 3)
    for values, row in zip((lightness, local_deviation(lightness, 3)), found, strict=True):
        ranked = np.sort(values.ravel()).reshape(16, 10)
        assert (ranked[:, 4] - 1e-9 <= row).all() and (row <= ranked[:, 5] + 1e-9).all()
    assert found.shape == (2, 16)


@pytest.mark.parametrize(("shape", "count", "grid"), [((42, 42), 200, (14, 14)), ((30, 60), 50, (5, 10)),
                                                      ((60, 30), 50, (10, 5)), ((9, 9), 1, (1, 1))])
def test_a_sample_lies_in_each_cell(shape: tuple[int, int], count: int, grid: tuple[int, int]) -> None:
    places = set()
    for seed in range(30):
        y, x = jittered(shape, count, np.random.default_rng(seed))
        cells = np.stack([y * grid[0] // shape[0], x * grid[1] // shape[1]], 1)
        assert cells.tolist() == [[*divmod(number, grid[1])] for number in range(grid[0] * grid[1])]
        places.add((int(y[0]), int(x[0])))
    assert len(places) > 3  # at random inside of it


def test_the_matching_by_hand() -> None:
    lightness, reference = maps(1), np.stack([maps(2, (20, 24)), maps(3, (20, 24)), maps(4, (20, 24))], -1)
    found = transferred(lightness, reference, 30, 5, np.random.default_rng(7))
    y, x = jittered((20, 24), 30, np.random.default_rng(7))
    bright = reference[..., 0]
    bright = (bright - bright.mean()) / bright.std() * lightness.std() + lightness.mean()
    rough, own = local_deviation(bright, 5), local_deviation(lightness, 5)
    for row, column in np.ndindex(14, 11):
        costs = [0.5 * abs(bright[v, u] - lightness[row, column]) + 0.5 * abs(rough[v, u] - own[row, column])
                 for v, u in zip(y, x, strict=True)]
        best = int(np.argmin(costs))
        np.testing.assert_allclose(found[row, column], reference[y[best], x[best], 1:])


def test_pixels_are_matched_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    lightness, reference = maps(1), np.stack([maps(2), maps(3), maps(4)], -1)
    whole = transferred(lightness, reference, 30, 5, np.random.default_rng(7))
    monkeypatch.setattr(welsh_transfer, "PIXELS", 50)
    assert np.array_equal(transferred(lightness, reference, 30, 5, np.random.default_rng(7)), whole)


def test_a_flat_reference_gives_its_colour() -> None:
    flat = np.tile([40.0, 12.0, -7.0], (9, 9, 1))
    assert (transferred(maps(), flat, 20, 5, np.random.default_rng(0)) == [12, -7]).all()


def test_the_reference_of_the_picture_itself_gives_nearly_its_colours() -> None:
    """The card's check; other pictures with the right kinds of ground do as well, one of another ground does not."""
    lab = rgb2lab(scene(1))
    own, kin = (np.sqrt(np.square(transferred(lab[..., 0], rgb2lab(other), 200, 5, np.random.default_rng(0))
                                  - lab[..., 1:]).sum(-1).mean()) for other in (scene(1), scene(5)))
    grey = np.sqrt(np.square(lab[..., 1:]).sum(-1).mean())
    assert own < 0.35 * grey and kin < 0.6 * grey


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Five pictures: dark, bright and of three strengths of grain, of five colours."""
    folder, pictures = tmp_path_factory.mktemp("unlike"), []
    for number, (level, grain) in enumerate([(20, 2), (80, 2), (50, 1), (50, 5), (50, 12)]):
        lightness = level + np.random.default_rng(number).normal(0, grain, (40, 52, 1))
        ab = np.broadcast_to([8.0 * number, -5.0 * number], (40, 52, 2))
        pictures.append(Record(f"{number:064x}", {"rgb": to_rgb8(lightness, ab)}))
    shards.write(folder / "00.arrow", pictures)
    return Material(folder)


def test_the_reference_is_chosen_by_its_grey(unlike: Material) -> None:
    method = make("welsh_transfer", side=32)
    arrays = method.prepare(unlike, 1)
    assert arrays["references"].shape == (5, 32, 32, 3) and arrays["statistics"].shape == (5, 2, 16)
    for number, (level, grain) in enumerate([(24, 2), (76, 2.2), (50, 1.1), (52, 5.5), (50, 11)]):
        grey = (level + np.random.default_rng(50 + number).normal(0, grain, (30, 30, 1))).astype(np.float32)
        ab = harness.restore(method, Model(arrays=arrays), {"L": grey}, 1)["ab"]
        reference = rgb_to_lab(arrays["references"][number])[..., 1:]
        assert np.abs(ab.mean((0, 1)) - reference.mean((0, 1))).max() < 1.5
        kept = {tuple(colour) for colour in reference.reshape(-1, 2).astype(np.float32)}
        assert {tuple(colour) for colour in ab.reshape(-1, 2)} <= kept  # colours are copied, not mixed
    swapped = {**arrays, "references": arrays["references"][..., ::-1].copy()}  # other colours, the same statistics
    grey = (24 + np.random.default_rng(50).normal(0, 2, (30, 30, 1))).astype(np.float32)
    other = harness.restore(method, Model(arrays=swapped), {"L": grey}, 1)["ab"].mean((0, 1))
    assert np.abs(other - rgb_to_lab(swapped["references"][0])[..., 1:].mean((0, 1))).max() < 1.5


def test_the_statistics_kept_are_those_of_the_pictures_kept(unlike: Material) -> None:
    arrays = make("welsh_transfer", side=32, window=3).prepare(unlike, 1)
    for square, kept in zip(arrays["references"], arrays["statistics"], strict=True):
        np.testing.assert_allclose(kept, grey_statistics(rgb2lab(square)[..., 0], 3), atol=1e-3)
    few = [make("welsh_transfer", side=32, pictures=3).prepare(unlike, seed)["references"] for seed in range(6)]
    every = make("welsh_transfer", side=32).prepare(unlike, 1)["references"]
    chosen = {tuple(next(n for n in range(5) if np.array_equal(every[n], one)) for one in found) for found in few}
    assert len(chosen) > 1 and all(len(found) == 3 and found[0] < found[1] < found[2] for found in chosen)


def test_of_two_greys_with_the_same_levels_the_one_as_rough_is_chosen() -> None:
    levels = np.linspace(20, 80, 1024)
    mixed = np.random.default_rng(0).permutation(levels)
    references = np.stack([to_rgb8(values.reshape(32, 32, 1), np.tile([a, 0.0], (32, 32, 1)))
                           for values, a in ((levels, 5.0), (mixed, -5.0))])
    statistics = np.stack([grey_statistics(values.reshape(32, 32), 5) for values in (levels, mixed)])
    model = Model(arrays={"references": references, "statistics": statistics.astype(np.float32)})
    for values, a in ((levels[::-1], 5), (np.random.default_rng(1).permutation(levels), -5)):
        grey = values.reshape(32, 32, 1).astype(np.float32)
        ab = harness.restore(make("welsh_transfer"), model, {"L": grey}, 1)["ab"]
        assert ab[..., 0].mean() == pytest.approx(a, abs=0.5)


def test_restoring_draws_so_many_samples_by_the_seed() -> None:
    """And with the window of the settings."""
    pictures = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    model = Model(arrays={"references": pictures, "statistics": np.zeros((1, 2, 16), np.float32)})
    grey = maps().astype(np.float32)
    for seed, samples, window in ((3, 200, 5), (4, 40, 3)):
        ab = harness.restore(make("welsh_transfer", samples=samples, window=window), model, {"L": grey[..., None]},
                             seed)["ab"]
        expected = transferred(grey.astype(np.float64), rgb_to_lab(pictures[0]), samples, window,
                               generator(seed, "welsh_transfer"))
        np.testing.assert_allclose(ab, expected, atol=1e-4)


def test_draws_come_from_the_seed(project: Path) -> None:
    method, model, _ = trained(project, "welsh_transfer", side=32)
    lightness = rgb2lab(scene(100))[..., :1].astype(np.float32)
    first, again, other = (harness.restore(method, model, {"L": lightness}, seed)["ab"] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    coloured, grey = error(method, model)
    assert coloured < 0.6 * grey


def test_the_window_has_a_middle() -> None:
    with pytest.raises(UserError, match="window"):
        make("welsh_transfer", window=4)
