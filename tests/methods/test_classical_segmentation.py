"""classical_segmentation: what each kind must find, what must not change it, and the card's figures on real fields."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from restore_ml import registry
from restore_ml.data.domains import nuclei
from restore_ml.method import Model
from restore_ml.methods.segmentation.classical_segmentation import KINDS as METHODS
from restore_ml.methods.segmentation.classical_segmentation import noise
from restore_ml.metrics import segmentation as figures
from restore_ml.restoring import harness
from restore_ml.tasks.segmentation.instances import split_touching
from tests.tasks.test_segmentation import discs

KINDS = ("otsu", "kmeans", "region_grow", "canny_fill")
TRUTH = discs((20, 18), (20, 30), (50, 20), (46, 48), radius=7, shape=(64, 64))


def found(image: np.ndarray, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Labels and instances, H x W, of an H x W uint8 field."""
    method = registry.method_class("segmentation", "classical_segmentation")(settings)
    output = harness.restore(method, Model(), {"image": np.repeat(image[..., None], 3, 2)}, 1)
    assert output["labels"].dtype == np.uint8 and output["instances"].dtype == np.int32
    return output["labels"][..., 0], output["instances"][..., 0]


def field(dark: int = 20, bright: int = 180, noise: float = 4.0) -> np.ndarray:
    levels = np.where(TRUTH > 0, bright, dark) + np.random.default_rng(0).normal(0, noise, TRUTH.shape)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_bright_discs_and_splits_the_two_that_touch(kind):
    labels, instances = found(field(), kind=kind)
    assert figures.dice(TRUTH > 0, labels > 0) > (0.9 if kind in ("canny_fill", "region_grow") else 0.97)
    assert instances.max() == 4 and figures.aggregated_jaccard(TRUTH, instances) > 0.8
    assert np.array_equal(labels > 0, instances > 0)
    assert found(field(), kind=kind, separate="components")[1].max() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_bright_is_found_before_the_minority_decides(kind):
    assert figures.dice(TRUTH > 0, METHODS[kind](field())) > 0.85


@pytest.mark.parametrize("kind", ["otsu", "kmeans"])
def test_two_levels_give_these_levels_and_affine_changes_nothing(kind):
    flat = np.where(TRUTH > 0, 90, 40).astype(np.uint8)
    assert np.array_equal(found(flat, kind=kind, separate="components")[0] > 0, TRUTH > 0)
    half = field(noise=12.0) // 2 * 2
    assert np.array_equal(found(half, kind=kind)[0], found(half // 2 + 7, kind=kind)[0])


def test_edges_are_as_steep_as_the_contrast_wants():
    """A tenth of the contrast, lifted: the same edges but for the rounding of levels."""
    full, faint = field(20, 220, 1.0), field(100, 120, 0.5)
    for grey in (full, faint):
        assert figures.dice(TRUTH > 0, found(grey, kind="canny_fill")[0] > 0) > 0.9
    assert np.array_equal(found(full // 2 * 2, kind="canny_fill")[0], found(full // 2 + 60, kind="canny_fill")[0])


@pytest.mark.parametrize("kind", ["otsu", "kmeans"])
def test_nuclei_are_the_minority(kind):
    assert np.array_equal(found(255 - field(), kind=kind)[0], found(field(), kind=kind)[0])


def test_single_pixels_are_opened_away():
    spotted = np.where(TRUTH > 0, 90, 40).astype(np.uint8)
    spotted[2, 2] = spotted[60, 3] = 90
    labels = found(spotted)[0]
    assert not labels[2, 2] and not labels[60, 3] and labels[20, 18]


@pytest.mark.parametrize("kind", KINDS)
def test_an_even_field_has_no_nucleus(kind):
    labels, instances = found(np.full((40, 40), 77, np.uint8), kind=kind)
    assert not labels.any() and not instances.any()


def test_noise_is_estimated_whatever_lies_below_it():
    rng = np.random.default_rng(2)
    for deviation in (3.0, 9.0):
        waves = 120 + 60 * np.sin(np.mgrid[:64, :64].sum(axis=0) / 15) + 40 * (TRUTH > 0)
        grey = np.rint(waves + rng.normal(0, deviation, waves.shape)).clip(0, 255).astype(np.uint8)
        assert noise(grey) == pytest.approx(deviation, rel=0.12)
    assert noise(np.full((9, 9), 3, np.uint8)) == 0


def test_grown_regions_end_at_steps_and_follow_slopes():
    """A disc whose brightness falls slowly outwards is one region; a threshold in the middle would cut it."""
    rows, columns = np.mgrid[:64, :64]
    distance = np.hypot(rows - 32, columns - 32)
    slope = np.where(distance <= 20, 220 - 4 * distance, 20) + np.random.default_rng(1).normal(0, 3, distance.shape)
    labels = found(np.rint(slope).clip(0, 255).astype(np.uint8), kind="region_grow")[0]
    assert figures.dice(distance <= 20, labels > 0) > 0.93


def test_regions_do_not_leak_over_soft_edges():
    """No step from pixel to pixel is above 1.5 times the noise, which is 15 here, yet nuclei and background are 56
    apart: what counts is how far a pixel is from the extreme that it grew from."""
    soft = gaussian_filter(np.where(TRUTH > 0, 96.0, 40.0), 1.5)
    assert max(np.abs(np.diff(soft, axis=axis)).max() for axis in (0, 1)) < 1.5 * 10
    grey = np.rint(soft + np.random.default_rng(0).normal(0, 10, soft.shape)).clip(0, 255).astype(np.uint8)
    labels = found(grey, kind="region_grow")[0]
    assert figures.dice(TRUTH > 0, labels > 0) > 0.85


@pytest.mark.benchmark_data
def test_the_card_s_figures_on_real_fields(benchmark_data):
    """The 29 grey fluorescence pictures of 256 x 256 of the Data Science Bowl that the folder holds."""
    folders = sorted(path.parent for path in (benchmark_data / "nuclei_dsb2018").glob("**/masks"))
    rows = []
    for folder in folders:
        [file] = (folder / "images").iterdir()
        image = nuclei.read_image(file)
        if image.shape != (256, 256, 1) or image.mean() > 100:
            continue
        truth = nuclei.DOMAIN.read(folder)["instances"][..., 0]
        labels = found(image[..., 0])[0]
        instances = split_touching(labels > 0, apart=5, sigma=1.0)  # the card's settings
        parts = found(image[..., 0], separate="components")[1]
        rows.append((figures.dice(truth > 0, labels > 0), figures.aggregated_jaccard(truth, parts),
                     figures.aggregated_jaccard(truth, instances)))
    if not rows:
        pytest.skip("The Data Science Bowl is not among the benchmark pictures.")
    assert np.mean(rows, axis=0) == pytest.approx([0.901, 0.722, 0.775], abs=0.01), len(rows)
