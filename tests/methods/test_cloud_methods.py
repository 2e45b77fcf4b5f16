"""Direct replacement and A+ between two dates, on procedural scenes and against their formulas."""

import itertools
import logging

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.clouds import scene
from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_aplus, rs_direct
from restore_ml.nn.scene_patches import radiometric_map
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material

PARTS = registry.parts("cloud_removal")

SMALL = {"anchors": 96, "iterations": 5, "signals": 1500, "neighbours": 512, "pool": 8000}


def sample(index: int, size: int = 96, changed: float = 0.0, case: str = "cloud_20"):
    return PARTS.cases.sample(Record(f"{index:064x}", scene(11, index, size, changed=changed)), case, 1, {})


def psnr(image: np.ndarray, given) -> float:
    hole = given.inputs["mask"][..., 0] > 0
    return float(-10 * np.log10(((image - given.target["truth"])[hole] ** 2).mean()))


def arrays(given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (given.inputs["target"].astype(float), given.inputs["reference"].astype(float),
            given.inputs["mask"][..., 0] > 0)


def run(method, given, model: Model | None = None) -> np.ndarray:
    return restore(method, model or Model(), given.inputs, 1)["image"]


# --- direct replacement -----------------------------------------------------------------------------------------------


def test_direct_replacement_is_the_reference_and_its_error_the_change_between_the_dates():
    given = sample(0)
    hole = given.inputs["mask"][..., 0] > 0
    image = run(rs_direct.METHOD({}), given)
    assert np.array_equal(image[hole], given.inputs["reference"][hole])
    assert np.array_equal(image[~hole], given.target["truth"][~hole])
    change = (given.inputs["reference"] - given.target["truth"])[hole]
    assert psnr(image, given) == pytest.approx(-10 * np.log10((change ** 2).mean()), abs=1e-4)


@pytest.mark.parametrize("match", rs_direct.MATCHES)
def test_equal_dates_are_restored_exactly(match):
    given = sample(1)
    given.inputs["reference"] = given.target["truth"]
    np.testing.assert_allclose(run(rs_direct.METHOD({"match": match}), given), given.target["truth"], atol=1e-6)


def test_matched_moments_are_exact_for_one_affine_change_and_the_seam_for_an_offset():
    given = sample(2)
    given.inputs["reference"] = (given.target["truth"] - np.float32(0.1)) / np.float32(0.8)
    np.testing.assert_allclose(run(rs_direct.METHOD({"match": "meanstd"}), given), given.target["truth"], atol=1e-5)
    given.inputs["reference"] = given.target["truth"] + np.array([0.1, -0.05, 0.2, 0], np.float32)
    np.testing.assert_allclose(run(rs_direct.METHOD({"match": "seam"}), given), given.target["truth"], atol=1e-5)


def test_the_cloned_gradient_solves_its_equation():
    """Inside the hole the difference to the reference is harmonic; on its rim it is the target's."""
    target, reference, hole = arrays(sample(3, 48))
    offset = rs_direct.clone_gradient(target, reference, hole) - reference
    known = np.where(hole[..., None], offset, target - reference)
    padded = np.pad(known, ((1, 1), (1, 1), (0, 0)), mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * known
    assert np.abs(laplacian[hole]).max() < 1e-9


def test_a_scene_all_under_clouds_gets_the_reference():
    given = sample(0, 48)
    given.inputs["mask"] = np.ones_like(given.inputs["mask"])
    for match in rs_direct.MATCHES:
        assert np.array_equal(run(rs_direct.METHOD({"match": match}), given), given.inputs["reference"])
    assert np.array_equal(run(rs_aplus.METHOD(SMALL), given), given.inputs["reference"])


@pytest.mark.parametrize(("method", "bad"), [(rs_direct.METHOD, {"match": "poisson"}),
                                             (rs_aplus.METHOD, {"dictionary": "none"}),
                                             (rs_aplus.METHOD, {"anchor": "odd"})])
def test_wrong_settings_are_sentences(method, bad):
    with pytest.raises(UserError, match="must be"):
        method(bad)


# --- A+ ---------------------------------------------------------------------------------------------------------------


def training_pairs(count: int = 400, width: int = 12, out: int = 7):
    rng = generator("pairs")
    features = rng.standard_normal((count, width))
    return features, features @ rng.standard_normal((width, out)) + 0.1 * rng.standard_normal((count, out))


def test_the_two_formulas_of_the_projection_agree():
    features, targets = training_pairs()
    anchors = np.linalg.qr(generator("anchors").standard_normal((12, 5)))[0]
    maps = rs_aplus.projections(features, targets, anchors, 60, 0.1)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit, scaled = features / lengths, targets / lengths
    for number in range(5):
        near = np.argsort(np.linalg.norm(unit - anchors[:, number], axis=1), kind="stable")[:60]
        phi, psi = unit[near].T, scaled[near].T
        by_samples = psi @ np.linalg.inv(phi.T @ phi + 0.1 * np.eye(60)) @ phi.T
        np.testing.assert_allclose(maps[number], by_samples, atol=1e-6)


def test_short_features_do_not_scale_their_targets():
    features, targets = np.full((4, 3), 0.01), np.ones((4, 2))
    anchors = np.full((3, 1), 1 / np.sqrt(3))
    (matrix,) = rs_aplus.projections(features, targets, anchors, 4, 0.1)
    unit = np.full((4, 3), 1 / np.sqrt(3))
    np.testing.assert_allclose(matrix, np.linalg.solve(unit.T @ unit + 0.1 * np.eye(3), unit.T @ targets).T)


def test_twice_the_training_set_and_neighbours_change_nothing_but_the_ridges_weight():
    features, targets = training_pairs()
    anchors = np.linalg.qr(generator("anchors").standard_normal((12, 5)))[0]
    once = rs_aplus.projections(features, targets, anchors, 60, 0.1)
    twice = rs_aplus.projections(np.tile(features, (2, 1)), np.tile(targets, (2, 1)), anchors, 120, 0.2)
    np.testing.assert_allclose(twice, once, atol=1e-9)


def test_the_anchor_rules():
    anchors, maps = np.eye(2), np.stack([np.eye(2), 10 * np.eye(2)])
    features = np.array([[1.0, -3.0], [3.0, -1.0], [1.0, 2.0]])
    signed, absolute = (rs_aplus.predict(features, anchors, maps, rule) for rule in ("signed", "abs"))
    np.testing.assert_array_equal(signed, features * [[1], [1], [10]])
    np.testing.assert_array_equal(absolute, features * [[10], [1], [10]])


def test_an_endless_ridge_leaves_the_radiometric_map():
    given = sample(1)
    image = run(rs_aplus.METHOD({**SMALL, "ridge": 1e15}), given)
    hole = given.inputs["mask"][..., 0] > 0
    np.testing.assert_allclose(image[hole], radiometric_map(*arrays(given))[hole], atol=1e-5)


def test_what_lies_under_the_cloud_is_not_looked_at():
    given, method = sample(2), rs_aplus.METHOD(SMALL)
    before = run(method, given)
    hole = given.inputs["mask"][..., 0] > 0
    given.inputs["target"] = np.where(hole[..., None], np.float32(0.123), given.inputs["target"])
    assert np.array_equal(run(method, given), before)


def test_direct_is_worse_than_the_radiometric_map_is_worse_than_aplus():
    rows = []
    for index in range(3):
        given = sample(20 + index)
        base = radiometric_map(*arrays(given))
        rows.append([psnr(run(rs_direct.METHOD({}), given), given), psnr(base, given),
                     psnr(run(rs_aplus.METHOD(SMALL), given), given),
                     psnr(run(rs_aplus.METHOD({**SMALL, "anchor": "abs"}), given), given)])
    direct, base, signed, absolute = np.mean(rows, axis=0)
    assert base > direct + 0.5
    assert signed > base + 2
    assert signed > absolute + 1
    assert all(row[2] > row[1] + 1 for row in rows)


def test_few_clear_windows_fall_back_to_the_radiometric_map_and_say_so(caplog):
    given = sample(0, 48, case="cloud_40")
    with caplog.at_level(logging.WARNING):
        image = run(rs_aplus.METHOD(SMALL), given)
    assert "fewer than 2000" in caplog.text
    hole = given.inputs["mask"][..., 0] > 0
    np.testing.assert_allclose(image[hole], radiometric_map(*arrays(given))[hole], atol=1e-6)


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    folder = tmp_path_factory.mktemp("train")
    scenes = [Record(f"{index:064x}", scene(11, index, 96)) for index in range(4)]
    shards.write(folder / "00.arrow", PARTS.training.records(scenes, 1, {}))
    pool = PARTS.training.pools(scenes, 1, {"size": 96, "pool": 2})["masks"]
    shards.write(folder / "pools" / "masks" / "pool.arrow", pool)
    return Material(folder)


def test_a_trained_dictionary_is_stored_repeatable_and_restores(material):
    method = rs_aplus.METHOD({**SMALL, "dictionary": "train"})
    fitted, again = method.prepare(material, 1), method.prepare(material, 1)
    assert set(fitted) == {"axes", "anchors", "maps"}
    assert all(np.array_equal(fitted[name], again[name]) and fitted[name].dtype == np.float32 for name in fitted)
    np.testing.assert_allclose(np.linalg.norm(fitted["anchors"], axis=0), 1, atol=1e-5)
    given = Material.records.fget(material)[0]  # a training scene: what was learnt fits it
    test = PARTS.cases.sample(Record(given.id, dict(given.arrays)), "cloud_20", 1, {})
    image = run(method, test, Model(arrays=fitted))
    assert psnr(image, test) > psnr(radiometric_map(*arrays(test)), test)
    assert np.isfinite(image).all()


def test_a_dictionary_of_the_scene_stores_nothing(material):
    assert rs_aplus.METHOD(SMALL).prepare(material, 1) == {}


def test_the_tensors_keep_their_shape_with_any_number_of_bands():
    made = scene(5, 0, 64, bands=6)
    given = PARTS.cases.sample(Record("0" * 64, made), "cloud_10", 1, {})
    inputs = {name: torch.from_numpy(np.ascontiguousarray(value.transpose(2, 0, 1)))[None].float()
              for name, value in given.inputs.items() if value.ndim == 3}
    for method in (rs_direct.METHOD({}), rs_aplus.METHOD({**SMALL, "least": 500})):
        output = method.restore(Model(), inputs, 1)["image"]
        assert output.shape == (1, 6, 64, 64) and output.dtype == torch.float32


@pytest.mark.benchmark_data
def test_order_on_real_dates(benchmark_data):
    """Vegetation index of Sentinel-2 over 68 dates: neighbouring clear dates, 20 % cloud, one band."""
    folder = benchmark_data / "remote_s2_eopatch" / "TestEOPatch"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    index, cloud = np.load(folder / "data" / "NDVI.npy"), np.load(folder / "mask" / "CLM.npy")
    clear = [date for date in range(len(index)) if cloud[date].mean() < 1e-3]
    rows = []
    for before, after in list(itertools.pairwise(clear))[::4]:
        dates = {"target": (index[after] + 1) / 2, "reference": (index[before] + 1) / 2}
        given = PARTS.cases.sample(Record(f"{after:064x}", dates), "cloud_20", 1, {})
        rows.append([psnr(run(rs_direct.METHOD({}), given), given), psnr(radiometric_map(*arrays(given)), given),
                     psnr(run(rs_direct.METHOD({"match": "seam"}), given), given),
                     psnr(run(rs_aplus.METHOD(SMALL), given), given)])
    direct, base, seam, aplus = np.mean(rows, axis=0)
    assert len(rows) >= 5 and direct + 1 < base < aplus and direct + 1 < seam
