"""Scene completion: scenes and places by hand, the seam's part in the choice, and that no test picture is a donor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.inpainting import scene_completion_knn as module
from restore_ml.methods.inpainting.scene_completion_knn import METHOD, SIDE, Scene, filters, in_cells, lab
from restore_ml.nn.seams import distance_to, minimum_cut, poisson_paste
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material

SMALL = {"frequencies": 3, "scenes": 4, "band": 4, "reach": 0.3, "donor_side": 60, "cuts": 3}


def photograph(number: int, height: int = 48, width: int = 56) -> np.ndarray:
    """Blurred blotches of colours of its own, with an oblique edge."""
    rng = np.random.default_rng(number)
    image = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), rng.uniform(2, 6))
    image = (image - image.min()) / np.ptp(image) * rng.uniform(0.4, 0.8) + rng.uniform(0, 0.2, 3)
    y, x = np.mgrid[:height, :width]
    image[y > rng.uniform(-1, 1) * x + rng.uniform(0.2, 0.8) * height] *= 0.6
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def material(folder: Path, numbers: list[int], **size: int) -> Material:
    records = [Record(f"{number:064x}", {"image": photograph(number, **size)}, {}) for number in numbers]
    shards.write(folder / "train" / "00.arrow", records)
    return Material(folder / "train")


def holed(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture as RGB in [0, 1], without what is in its hole, and the hole."""
    truth, hole = photograph(number) / 255, np.zeros((48, 56), bool)
    hole[16:30, 20:38] = True
    return truth, np.where(hole[..., None], 0, truth), hole


def test_published_recipe() -> None:
    settings = METHOD({}).settings
    assert settings == {"orientations": 6, "frequencies": 5, "cells": 4, "colour": 0.5, "least": 0.0, "scenes": 200,
                        "mirrored": False, "sizes": [0.81, 0.9, 1.0], "reach": 1.0, "band": 80, "seam": "cut",
                        "cuts": 200, "donor_side": 768, "cases": []}
    with pytest.raises(UserError, match="seam"):
        METHOD({"seam": "soft"})
    assert METHOD({}).unsupported("centre") is None and METHOD({"cases": ["text"]}).unsupported("centre")


def test_each_filter_answers_waves_of_its_frequency_and_direction_most() -> None:
    bank = filters(3, 6)
    assert bank.shape == (18, SIDE, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for place, (cycles, angle) in enumerate((c, a) for c in (16, 8, 4) for a in np.pi * np.arange(6) / 6):
        wave = np.cos(2 * np.pi * (round(cycles * np.cos(angle)) * x + round(cycles * np.sin(angle)) * y))
        answers = np.abs(np.fft.ifft2(np.fft.fft2(wave) * bank)).mean((1, 2))
        assert answers.argmax() == place and answers[place] > 1.1 * np.sort(answers)[-2]
    flat = np.abs(np.fft.ifft2(np.fft.fft2(np.ones((SIDE, SIDE))) * bank))
    assert flat.max() == pytest.approx(np.exp(-2))  # two widths away from its centre


def test_cells_are_means_of_squares() -> None:
    values = np.random.default_rng(0).random((2, SIDE, SIDE))
    made = in_cells(values, 4)
    assert made.shape == (2, 16) and made[1, 6] == pytest.approx(values[1, 16:32, 32:48].mean())


def test_a_scene_by_hand() -> None:
    image, hole, bank = photograph(1, SIDE, SIDE) / 255, np.zeros((SIDE, SIDE), bool), filters(2, 3)
    hole[:16, :8] = True
    scene = Scene.of(image, hole, bank, 4)
    colours = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2LAB) / 100
    np.testing.assert_allclose(lab(image), colours)
    assert scene.share[0] == pytest.approx(0.5) and scene.share[1:].min() == 1
    np.testing.assert_allclose(scene.colour[:, 0], colours[:16, 8:16].mean((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(scene.colour[:, 7], colours[16:32, 48:].mean((0, 1)), rtol=1e-4)
    energy = np.abs(np.fft.ifft2(np.fft.fft2(colours[..., 0]) * bank[4]))
    np.testing.assert_allclose(scene.gist[4, 2], energy[:16, 32:48].mean(), rtol=1e-4)


def test_the_nearest_scenes_by_hand(tmp_path: Path) -> None:
    """Both terms in units of their mean over the donors, cells by how much of them is known; weak cells count nothing.
    """
    _, image, hole = holed(3)
    numbers = [7, 1, 2, 9, 4]
    given = material(tmp_path, numbers)
    for least in (0.0, 0.9):
        method = METHOD(SMALL | {"least": least, "colour": 0.3})
        arrays = method.prepare(given, 1)
        bank = filters(3, 6)
        smooth = module.harmonic(image, hole)
        own = Scene.of(smooth, hole, bank, 4)
        weight = np.where(own.share < least, 0, own.share)
        assert (weight == 0).any() == (least > 0)
        donors = [Scene.of(photograph(number) / 255, np.zeros_like(hole), bank, 4) for number in sorted(numbers)]
        gist = np.array([(weight * np.square(each.gist - own.gist)).sum() for each in donors])
        colour = np.array([(weight * np.square(each.colour - own.colour)).sum() for each in donors])
        wanted = gist / gist.mean() + 0.3 * colour / colour.mean()
        found = method.nearest(image, hole, arrays)
        np.testing.assert_allclose([distance for _, distance in found], np.sort(wanted)[:4], rtol=1e-4)
        assert all(np.array_equal(donor, photograph(sorted(numbers)[place]))
                   for (donor, _), place in zip(found, wanted.argsort(), strict=False))
    both = METHOD(SMALL | {"mirrored": True, "scenes": 1}).nearest(image, hole, arrays)
    assert len(both) == 2 and np.array_equal(both[1][0], both[0][0][:, ::-1])


def test_a_donor_lies_where_the_band_fits_best() -> None:
    """A window of a large picture is found again, at the size that makes it so; elsewhere it stays the picture."""
    large = photograph(5, 80, 90)
    window = large[14:14 + 48, 11:11 + 56]
    hole = np.zeros((48, 56), bool)
    hole[16:30, 20:38] = True
    band = (distance_to(hole) > 0) & (distance_to(hole) <= 4)
    image = np.where(hole[..., None], 0, window / 255)
    cover = max(48 / 80, 56 / 90)
    fit = module._placed(image, hole, band, large, 0.7, [cover * 0.8, cover], 1.0)  # its second size is its own
    box = (slice(12, 34), slice(16, 42))
    exact = module._placed(image, hole, band, large, 0.7, [cover, 1.0], 1.0)
    np.testing.assert_allclose(exact.donor[box], window[box] / 255, atol=1e-6)
    assert exact.context < 1e-3 and exact.texture < 1e-3 and exact.scene == 0.7
    outside = np.ones_like(hole)
    outside[box] = False
    np.testing.assert_allclose(exact.donor[outside], image[outside], atol=1e-6)
    near = module._placed(image, hole, band, large, 0.7, [cover, 1.0], 0.02)
    assert near.context > exact.context and fit.context > exact.context


def test_what_speaks_against_a_place_by_hand() -> None:
    _, image, hole = holed(3)
    other = photograph(8)
    band = (distance_to(hole) > 0) & (distance_to(hole) <= 4)
    fit = module._placed(image, hole, band, other, 0.0, [1.0], 0.0)  # one size, and only the middle
    apart = np.square(lab(image) - lab(other / 255))
    assert fit.context == pytest.approx(apart[band].sum(), rel=1e-3)
    light = [lab(each)[..., 0] for each in (np.where(hole[..., None], fit.donor, image), fit.donor)]
    texture = [cv2.medianBlur(np.hypot(*(cv2.Sobel(each, cv2.CV_32F, *order, ksize=3) / 8
                                         for order in ((1, 0), (0, 1)))), 5) for each in light]
    assert fit.texture == pytest.approx(np.square(texture[0] - texture[1])[band].sum(), rel=1e-3)
    assert fit.texture > 0


def test_distance_from_the_middle_makes_a_place_dearer() -> None:
    """The same window lies twice in a strip, once 3 pixels right of its middle and once 9 left: the nearer one wins."""
    tile = photograph(2, 40, 12)
    strip = np.concatenate([tile] * 6, 1)  # of period 12: offsets 3 and -9 show the same
    hole = np.zeros((40, 24), bool)
    hole[14:22, 9:15] = True
    start = (72 - 24) // 2 + 3
    image = np.where(hole[..., None], 0, strip[:, start:start + 24] / 255)
    band = (distance_to(hole) > 0) & (distance_to(hole) <= 3)
    noisy = np.clip(image + np.where(hole, 0, 0.1)[..., None], 0, 1)
    fit = module._placed(noisy, hole, band, strip, 0.0, [1.0], 1.0)
    exact = np.square(lab(noisy) - lab(strip[:, start:start + 24] / 255))[band].sum()
    assert fit.context == pytest.approx(exact * (1 + 3 / 24), rel=1e-2)


def made_fits(costs: list[list[float]]) -> Any:
    """Stands for `_placed`: donors are flat, of the level 0.1 times their number."""
    rows = iter(enumerate(costs))

    def placed(image: np.ndarray, *_: Any) -> module.Fit:
        number, row = next(rows)
        return module.Fit(np.full(image.shape, 0.1 * number, np.float32), *row)

    return placed


def test_of_scene_context_and_texture_each_counts_in_units_of_its_mean(monkeypatch: pytest.MonkeyPatch,
                                                                      tmp_path: Path) -> None:
    _, image, hole = holed(3)
    arrays = METHOD(SMALL).prepare(material(tmp_path, [1, 2, 4]), 1)
    seen = []
    monkeypatch.setattr(module, "poisson_paste", lambda _, donor, region: (seen.append((donor, region)), donor)[1])
    for rows, best in (([[1, 500, 3], [2, 100, 3], [2, 300, 3]], 1), ([[1, 110, 3], [5, 100, 3], [5, 100, 3]], 0),
                       ([[1, 200, 9], [1, 200, 9], [1, 200, 3]], 2)):
        monkeypatch.setattr(module, "_placed", made_fits(rows))
        made = METHOD(SMALL | {"seam": "none", "scenes": 3}).complete(image, hole, arrays)
        assert made[0, 0, 0] == pytest.approx(0.1 * best) and np.array_equal(seen[-1][1], hole)


def test_the_seam_is_the_fourth_summand_and_is_cut_or_only_ranks(monkeypatch: pytest.MonkeyPatch,
                                                                 tmp_path: Path) -> None:
    _, image, hole = holed(3)
    arrays, seen, asked = METHOD(SMALL).prepare(material(tmp_path, [1, 2, 4]), 1), [], []
    wider = hole.copy()
    wider[15] = True

    def cut(difference: np.ndarray, *rest: Any) -> tuple[np.ndarray, float]:
        asked.append((difference, *rest))
        return wider, [1.0, 9.0][len(asked) % 2]

    monkeypatch.setattr(module, "minimum_cut", cut)
    monkeypatch.setattr(module, "poisson_paste", lambda _, donor, region: (seen.append((donor, region)), donor)[1])
    for seam, region in (("cut", wider), ("ranks", hole)):
        monkeypatch.setattr(module, "_placed", made_fits([[1, 1, 1], [1.1, 1.1, 1.1], [5, 5, 5]]))
        asked.clear()
        made = METHOD(SMALL | {"seam": seam, "scenes": 3, "cuts": 2}).complete(image, hole, arrays)
        assert len(asked) == 2 and np.array_equal(seen[-1][1], region)
        assert made[0, 0, 0] == pytest.approx(0.1)  # the second one has the cheaper seam
    difference, given, band, away = asked[0]
    np.testing.assert_allclose(difference, np.square(lab(image) - lab(np.zeros_like(image))).sum(2), rtol=1e-4)
    distance = distance_to(hole)
    assert np.array_equal(given, hole) and np.array_equal(band, (distance > 0) & (distance <= 4))
    np.testing.assert_allclose(away, (0.002 * 80 / 4 * distance) ** 3, rtol=1e-5)


def test_the_picture_itself_among_the_donors_is_the_nearest_and_fills_the_hole(tmp_path: Path) -> None:
    truth, image, hole = holed(3)
    method = METHOD(SMALL | {"frequencies": 5, "scenes": 5, "sizes": [0.81, 0.9, 1.0]})
    arrays = method.prepare(material(tmp_path, [7, 1, 3, 9, 4, 12, 15, 18]), 1)
    nearest = method.nearest(image, hole, arrays)
    assert np.array_equal(nearest[0][0], photograph(3))
    for seam in ("cut", "ranks", "none"):
        settings = method.settings | {"seam": seam}
        made = METHOD(settings).complete(image, hole, arrays)
        assert np.square(made - truth)[hole].mean() < 10 ** -3.5, seam  # 35 dB


def test_no_picture_beyond_the_training_split_is_a_donor(tmp_path: Path) -> None:
    """The folder beside the training material holds a test picture; the donors are the training pictures, all of them.
    """
    given = material(tmp_path, [7, 1, 9])
    tested = Record(f"{3:064x}", {"image": photograph(3)}, {})
    shards.write(tmp_path / "inputs" / "photos" / "centre.arrow", [tested])
    shards.write(tmp_path / "targets" / "photos" / "centre.arrow", [tested])
    arrays = METHOD(SMALL).prepare(given, 1)
    donors = [arrays[f"donor_{place:05d}"] for place in range(3)]
    assert set(arrays) == {"gist", "colour", "donor_00000", "donor_00001", "donor_00002"}
    assert all(np.array_equal(donor, photograph(number)) for donor, number in zip(donors, (1, 7, 9), strict=True))
    before = {name: value.copy() for name, value in arrays.items()}
    hole = np.zeros((48, 56, 1), np.uint8)
    hole[16:30, 20:38] = 1
    inputs = {"image": photograph(3) * (1 - hole), "mask": hole}
    restore(METHOD(SMALL), Model(arrays=arrays), inputs, 1)
    assert all(np.array_equal(arrays[name], value) for name, value in before.items())  # restoring adds none


def test_donors_are_made_smaller_never_larger(tmp_path: Path) -> None:
    arrays = METHOD(SMALL | {"donor_side": 24}).prepare(material(tmp_path, [1]), 1)
    assert arrays["donor_00000"].shape == (24, 28, 3)
    wanted = cv2.resize(photograph(1), (28, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(arrays["donor_00000"], wanted)


@pytest.mark.parametrize("seam", ["cut", "ranks", "none"])
def test_known_pixels_stay_and_what_is_under_the_hole_tells_nothing(seam: str, tmp_path: Path) -> None:
    method = METHOD(SMALL | {"seam": seam, "mirrored": True})
    model = Model(arrays=method.prepare(material(tmp_path, [7, 1, 9]), 1))
    hole = np.zeros((48, 56, 1), np.uint8)
    hole[:14, 20:38] = hole[40, :] = 1
    image = photograph(3)
    first = restore(method, model, {"image": image, "mask": hole}, 1)["image"]
    other = restore(method, model, {"image": np.where(hole > 0, 9, image).astype(np.uint8), "mask": hole}, 1)["image"]
    assert np.array_equal(first, other)
    known = hole[..., 0] == 0
    assert np.array_equal(first[known], image[known])


def test_the_seam_runs_through_the_band_and_the_paste_is_poissons(tmp_path: Path) -> None:
    _, image, hole = holed(3)
    method = METHOD(SMALL | {"scenes": 1, "sizes": [1.0]})
    arrays = method.prepare(material(tmp_path, [8]), 1)
    distance = distance_to(hole)
    band = (distance > 0) & (distance <= 4)
    fit = module._placed(image, hole, band, photograph(8), 0.0, [1.0], 0.3)
    difference = np.square(lab(image) - lab(fit.donor)).sum(2)
    region, _ = minimum_cut(difference, hole, band, (0.04 * distance) ** 3)
    assert region.sum() > hole.sum()
    wanted = np.clip(poisson_paste(image, fit.donor, region), 0, 1)
    np.testing.assert_allclose(method.complete(image, hole, arrays), wanted, atol=1e-6)


def test_with_nothing_known_or_nothing_missing(tmp_path: Path) -> None:
    model = Model(arrays=METHOD(SMALL).prepare(material(tmp_path, [7]), 1))
    image = photograph(3)
    for value in (0, 1):
        mask = np.full((48, 56, 1), value, np.uint8)
        made = METHOD(SMALL).restore_arrays(model, {"image": image, "mask": mask}, 1)["image"]
        wanted = np.full(image.shape, 0.5) if value else image / 255
        np.testing.assert_allclose(made, wanted, atol=1e-6)
