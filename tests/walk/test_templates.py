"""The templates of docs/adding-a-method.md are walked like every method, and do what their papers say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from restore_ml.restoring import harness
from restore_ml.runs import run_entry, settings
from tests.graphs import write_runs
from tests.walk import checks
from tests.walk.entries import TEMPLATES, templates
from tests.walk.material import Project, sample


@pytest.mark.parametrize("name", templates())
def test_a_template_does_what_is_asked_of_all_methods(name: str, project: Project) -> None:
    findings = checks.walk(templates()[name], project, templates())
    assert not findings, f"{name}: " + "; ".join(findings)


@pytest.mark.parametrize("profile", settings.PROFILES)
def test_the_entries_are_accepted_as_runs(profile, tmp_path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_text(f"profile: {profile}\n")
    entries = yaml.safe_load((TEMPLATES / "runs.yaml").read_text())["runs"]
    for task in {entry["task"] for entry in entries.values()}:
        write_runs(tmp_path, task, {name: {key: value for key, value in entry.items() if key != "task"}
                                    for name, entry in entries.items() if entry["task"] == task})
    found = {entry.name: entry.method for entry in templates().values()}
    monkeypatch.setattr(run_entry, "method_class", lambda task, name: found[name])
    runs = settings.load(tmp_path / "params.yaml").runs
    assert {run.name for run in runs.values()} == set(found)


def test_the_network_has_the_paper_s_parameters() -> None:
    with torch.device("meta"):
        net = templates()["espcn"].method({}).build()["net"]
    # 5x5 x 3 -> 64, 3x3 x 64 -> 32, 3x3 x 32 -> 27, each with its biases
    assert sum(p.numel() for p in net.parameters()) == 4864 + 18464 + 7803


def test_the_gan_has_pix2pix_s_parameters() -> None:
    with torch.device("meta"):
        networks = templates()["pix2pix"].method({}).build()
    assert sum(p.numel() for p in networks["generator"].parameters()) == 54_409_858  # 1 -> 2 channels, as published


def test_the_regression_finds_a_filter_that_makes_the_high_resolution_exactly(tmp_path) -> None:
    """Pictures whose every high-resolution pixel is a fixed mixture of a low-resolution patch: the fit must find it."""
    from restore_ml.data import shards
    from restore_ml.tasks.base import Material

    draws = np.random.default_rng(0)
    low = draws.integers(60, 196, (40, 40, 3)).astype(np.uint8)
    framed = np.pad(low.astype(np.float64), ((1, 1), (1, 1), (0, 0)), "edge")
    up, left, here = framed[:-2, 1:-1], framed[1:-1, :-2], framed[1:-1, 1:-1]
    high = np.zeros((80, 80, 3))
    high[::2, ::2], high[::2, 1::2] = (up + left) / 2, here
    high[1::2, ::2], high[1::2, 1::2] = left, (up + here) / 2
    record = shards.Record("a" * 64, {"hr": np.rint(high).astype(np.uint8), "lr_x2": low})
    shards.write(tmp_path / "00.arrow", [record])
    method = templates()["global_regression"].method({"window": 3, "ridge": 0.0})
    weights = method.prepare(Material(tmp_path), 1)["filter"].reshape(2, 2, 9)
    # The mean is taken off and put back, so filters are determined up to a constant: compare what they weigh.
    whole = weights + (1 - weights.sum(-1, keepdims=True)) / 9
    expected = np.zeros((2, 2, 9))  # a patch row by row: 1 is above, 3 left, 4 the centre
    expected[0, 0, [1, 3]] = expected[1, 1, [1, 4]] = 0.5
    expected[0, 1, 4] = expected[1, 0, 3] = 1.0
    np.testing.assert_allclose(whole, expected, atol=0.01)


def test_the_prior_fits_the_known_pixels_and_leaves_the_random_state_alone() -> None:
    method = templates()["deep_image_prior"].method({"steps": 120, "widths": [8, 16], "channels": 8, "average": 0.9})
    given = sample("inpainting", "strokes", 5, (32, 32))
    state = torch.get_rng_state()
    output = harness.restore(method, checks.Model(), given.inputs, 3)["image"]
    assert torch.equal(state, torch.get_rng_state())
    hole = given.inputs["mask"][..., 0] > 0
    truth = given.target["image"].astype(float)
    error = np.square(output[hole].astype(float) - truth[hole]).mean()
    grey = np.square(truth[~hole].mean(0) - truth[hole]).mean()
    assert error < 0.8 * grey
