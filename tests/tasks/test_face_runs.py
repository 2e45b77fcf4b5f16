"""The runs of face super-resolution as graph/face_super_resolution/runs.yaml has them."""

from pathlib import Path

import pytest
import yaml

from restore_ml import registry
from restore_ml.runs.merging import merged
from restore_ml.runs.run_entry import PROFILES
from restore_ml.tasks.face_super_resolution.task import KINDS

RUNS = yaml.safe_load((Path(__file__).parents[2] / "graph/face_super_resolution/runs.yaml").read_text())["runs"]


@pytest.mark.parametrize("profile", ["quick", "cpu", "gpu"])
def test_one_network_a_run_learns_all_degradations_at_every_profile_but_paper(profile):
    """Without its `kinds` a run is at that profile the paper's, which is trained on, and restores, one of them."""
    left_out = []
    for name, entry in RUNS.items():
        method = entry.get("method", name)
        paper = {} if "." in method else registry.method_class("face_super_resolution", method).paper
        if "kinds" in paper and profile in entry.get("profiles", PROFILES):
            assert len(paper["kinds"]) == 1, name
            left_out += [name] if tuple({**paper, **merged(entry, profile, name)}["kinds"]) != KINDS else []
    assert left_out == []
