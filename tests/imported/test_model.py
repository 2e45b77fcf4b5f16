"""A run with weights of others: its networks, its model folder, what counts for it and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.torch import load_file, save_file

from pipelines.brought import weights
from pipelines.machinery.stage import _doer
from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_json
from restore_ml.data import licences
from restore_ml.imported.model import Source, fill, import_run, lines, match
from restore_ml.own.usable import usable
from restore_ml.promotion.champion_folders import install
from restore_ml.report.view import kind_of_run
from restore_ml.restoring.loading import load_model
from restore_ml.runs import fingerprints, replicates, settings
from tests.data.test_licences import prepared
from tests.graphs import edit_runs
from tests.imported.conftest import SETTINGS, TASK

FILE = "brought/weights/net.pth"


def spec(root: Path, **more) -> dict:
    """code/train of the run `theirs`."""
    entry = {"method": "vdsr", "weights": FILE, "settings": SETTINGS} | more
    edit_runs(root, TASK, theirs=entry)
    return fingerprints.code(root, settings.load())[f"train/{TASK}/theirs.json"]


def put(root: Path, state: dict, name: str = FILE) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def test_the_model_folder_is_that_of_a_training(root, state):
    put(root, {"params": state})
    out = root / "models" / TASK / "theirs"
    record = import_run(spec(root, weights_licence="CC BY-NC 4.0"), root, out)
    assert record == json.loads((out / "model.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == ["mapping.json", "model.json", "weights.safetensors"]
    assert (record["status"], record["kind"], record["steps"], record["training_ops"]) == ("ok", "imported", 0, 0)
    assert record["imported"] == {"": {"file": FILE, "part": "", "sha256": sha256_of_file(root / FILE)}}
    assert record["parameters"] == {"net": 225} and record["parameters_total"] == 225
    assert record["weights_licence"] == "CC BY-NC 4.0" and "net.pth" in record["reading"]
    _, model = load_model(out)
    for name, value in model.networks["net"].state_dict().items():
        assert torch.equal(value, state[name])
    table = json.loads((out / "mapping.json").read_text())
    assert table[0]["by"] == "name" and table[0]["inside"] == "params" and len(table[0]["weights"]) == 6
    assert table[0]["weights"][0] == {"ours": "body.0.weight", "theirs": "params.body.0.weight", "shape": [4, 1, 3, 3],
                                      "stored": [4, 1, 3, 3], "axes": "as it is"}
    assert import_run(spec(root, weights_licence="CC BY-NC 4.0"), root, root / "again") == record
    assert (root / "again/weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()
    install(root, TASK, "theirs", {"licences": {}})
    assert load_model(root / "champions" / TASK / "champion")[1].networks


def test_weights_that_do_not_fit_are_a_failed_run_that_says_what_would(root, state):
    put(root, state)
    record = import_run(spec(root, settings={"layers": 3}), root, root / "m")
    assert record["status"] == "failed" and "width: 4" in record["reason"] and "net.pth" in record["reason"]
    assert not (root / "m/weights.safetensors").exists()


def test_a_file_that_changed_meanwhile_is_not_taken(root, state):
    put(root, state)
    wish = spec(root)
    put(root, {name: value + 1 for name, value in state.items()})
    assert "not the file that it was" in import_run(wish, root, root / "m")["reason"]


def test_the_file_counts_for_the_run_and_for_no_other(root, state):
    put(root, state)
    spec(root)
    before = fingerprints.code(root, settings.load())
    one = before[f"train/{TASK}/theirs.json"]
    assert one["stage"] == "brought.weights" and "stage" not in before[f"train/{TASK}/vdsr.json"]
    assert "pipelines.brought.weights" in one["modules"] and "pipelines.train" not in one["modules"]
    assert not {"restore_ml.training.loop", "restore_ml.training.sampler"} & set(one["modules"]) - {
        name for name in one["modules"] if name in before[f"train/{TASK}/bicubic.json"]["modules"]}
    put(root, {name: value + 1 for name, value in state.items()})
    after = fingerprints.code(root, settings.load())
    assert {name for name in before if before[name] != after[name]} == {f"train/{TASK}/theirs.json"}
    (root / FILE).unlink()
    with pytest.raises(UserError, match=rf"'{TASK}/theirs' has its weights from {FILE}, which is not there; `dvc"):
        fingerprints.code(root, settings.load())


def test_another_module_does_the_stage_of_that_run_alone(root, state):
    put(root, state)
    write_json(root / f"code/train/{TASK}/theirs.json", spec(root))
    write_json(root / f"code/train/{TASK}/vdsr.json", {"run": "vdsr"})
    assert _doer("train", f"{TASK}/theirs") == "brought.weights" and _doer("train", f"{TASK}/vdsr") == "train"
    assert _doer("restore", f"{TASK}/theirs") == "restore" and _doer("degrade", TASK) == "degrade"
    weights.import_weights(f"{TASK}/theirs")
    assert json.loads((root / f"models/{TASK}/theirs/model.json").read_text())["status"] == "ok"


def test_it_is_tried_on_a_person_s_own_pictures_while_the_file_is_the_same(root, state):
    put(root, state)
    write_json(root / f"code/train/{TASK}/theirs.json", spec(root))
    weights.import_weights(f"{TASK}/theirs")
    assert "theirs" in [run.name for run in usable(root, settings.load(), TASK, ["theirs"]).runs]
    put(root, {name: value + 1 for name, value in state.items()})
    assert "other code" in usable(root, settings.load(), TASK, ["theirs"]).left_out["theirs"]


def test_a_lack_of_memory_is_tried_again(root, state, monkeypatch):
    put(root, state)
    write_json(root / f"code/train/{TASK}/theirs.json", spec(root))
    mark = root / layout.retry_mark("train", TASK, "theirs")

    def lacking(*arguments):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("restore_ml.imported.model.match", lacking)
        weights.import_weights(f"{TASK}/theirs")
    told = json.loads((root / f"models/{TASK}/theirs/model.json").read_text())
    assert mark.exists() and told["status"] == "transient"
    weights.import_weights(f"{TASK}/theirs")
    assert not mark.exists()


def test_what_it_is_is_said_everywhere(root, state):
    prepared(root, "photos", CC0=2)  # from which it learned nothing
    put(root, state)
    wish = spec(root)
    import_run(wish, root, root / "models" / TASK / "theirs")
    run = settings.load().runs[f"{TASK}/theirs"]
    assert fingerprints.kind(run) == "imported" and not replicates.draws(run)
    assert kind_of_run(root, TASK, "theirs", "vdsr") == "imported" and kind_of_run(root, TASK, "x", "vdsr") == "network"
    under = licences.of_model(root, root / "models" / TASK / "theirs")
    assert under == {"licence of the weights unknown: weights of net.pth": 0} and not licences.warning(under)
    import_run(spec(root, weights_licence="research only"), root, root / "models" / TASK / "theirs")
    under = licences.of_model(root, root / "models" / TASK / "theirs")
    assert licences.warning(under).startswith("For research only")


@pytest.mark.parametrize(("entry", "match"), [
    ({"weights": "/etc/net.pth"}, "must be a file in brought/weights/"),
    ({"weights": "brought/weights/../../x.pth"}, "must be a file in brought/weights/"),
    ({"weights": 3}, "must be a file in brought/weights/"),
    ({"weights": {"other": FILE}}, "names other; it must name a file for each of net"),
    ({"weights": FILE, "weights_licence": 3}, "weights_licence of .* is 3; it must be a text"),
    ({"weights_licence": "MIT"}, "it must be a text, beside `weights`"),
    ({"weights": FILE, "method": "bicubic", "settings": {}}, "its method has no networks")])
def test_entries_that_are_refused(root, entry, match):
    with pytest.raises(UserError, match=match):
        spec(root, **{"weights": None} | entry)


def test_a_replicate_of_one_is_refused(root, state):
    put(root, state)
    spec(root)
    edit_runs(root, TASK, theirs_s2={"of": "theirs", "seed": 2})
    with pytest.raises(UserError, match="whose weights were trained by others; they have no seeds"):
        settings.load()


def two(root: Path) -> tuple:
    method = registry.method("sketch_photo", "cyclegan", {"width": 4, "blocks": 1})
    networks = method.networks()
    return method, {name: networks[name].state_dict() for name in method.stored_networks}


def test_two_networks_from_one_file_and_from_two(root):
    method, states = two(root)
    torch.save({f"{name}.{key}": value for name, state in states.items() for key, value in state.items()},
               root / "a.pth")
    torch.save({"netG_A": states["photo_to_sketch"], "netG_B": states["sketch_to_photo"]}, root / "b.pth")
    with pytest.raises(UserError, match=r"b.pth: The file holds such a network 2 times: below 'netG_A', 'netG_B'.*#"):
        match(method, {"": Source(root / "b.pth")}, method.networks())
    for sources in ({"": Source(root / "a.pth")},
                    {"photo_to_sketch": Source(root / "b.pth", "netG_A"),
                     "sketch_to_photo": Source(root / "b.pth", "netG_B")}):
        networks = method.networks()
        fill(method, networks, match(method, sources, networks))
        for name, state in states.items():
            assert all(torch.equal(value, state[key]) for key, value in networks[name].state_dict().items())


@pytest.mark.parametrize(("settings", "told"), [
    ({"layers": 5, "width": 4}, "layers: 3"), ({"layers": 3, "width": 16}, "width: 4"),
    ({"layers": 3, "width": 4, "bias": False}, "bias: true"), ({"layers": 7, "width": 9}, "width: 4, layers: 3")])
def test_the_settings_that_would_fit_are_told(root, state, settings, told):
    torch.save({name.replace("body", "features"): value for name, value in state.items()}, root / "a.pth")
    method = registry.method(TASK, "vdsr", settings)
    with pytest.raises(UserError, match=rf"a.pth does not fit vdsr: .* They fit with these settings .*: `{told}`"):
        match(method, {"": Source(root / "a.pth")}, method.networks())


def test_another_network_is_told_to_be_one(root):
    torch.save({"x.weight": torch.ones(7, 5, 11, 11), "x.bias": torch.ones(7)}, root / "a.pth")
    method = registry.method(TASK, "vdsr", SETTINGS)
    with pytest.raises(UserError, match="may be the weights of another network"):
        match(method, {"": Source(root / "a.pth")}, method.networks())


@pytest.mark.benchmark_data
def test_the_official_weights_of_vdsr_in_every_format(benchmark_data, tmp_path):
    method = registry.method(TASK, "vdsr", {})
    official = benchmark_data / "sr_caffe_vdsr" / "VDSR_Official.mat"
    from_matlab = match(method, {"": Source(official)}, method.networks())[0]
    arrays = from_matlab.found.arrays(from_matlab.checkpoint.arrays)
    there = scipy.io.loadmat(official)["model"][0, 0]
    for number, name in enumerate([*(f"body.{2 * place}" for place in range(19)), "last"]):
        kernel = there["weight"].ravel()[number]
        kernel = kernel.reshape(3, 3, -1, arrays[f"{name}.bias"].size)  # MATLAB drops a last length of 1
        assert np.array_equal(arrays[f"{name}.weight"], kernel.transpose(3, 2, 0, 1).astype(np.float32))
        assert np.array_equal(arrays[f"{name}.bias"], there["bias"].ravel()[number].ravel().astype(np.float32))
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}}, tmp_path / "v.pth")
    save_file(tensors, tmp_path / "v.safetensors")
    np.savez(tmp_path / "v.npz", **{f"conv{place}/{part}": (value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
                                    for place, stem in enumerate([*(f"body.{2 * n}" for n in range(19)), "last"])
                                    for part, value in (("kernel", arrays[f"{stem}.weight"]),
                                                        ("bias", arrays[f"{stem}.bias"]))})
    for name in ("v.pth", "v.safetensors", "v.npz"):
        one = match(method, {"": Source(tmp_path / name)}, method.networks())[0]
        again = one.found.arrays(one.checkpoint.arrays)
        assert set(again) == set(arrays) and all(np.array_equal(again[key], arrays[key]) for key in arrays)
    text = list(lines(from_matlab))
    assert text[0] == "VDSR_Official.mat (MATLAB file, 40 arrays): 40 weights of 'net' found by order."
    assert text[-2].endswith("  height x width x in x out") and len(text) == 42
    assert load_file(tmp_path / "v.safetensors").keys() == arrays.keys()
