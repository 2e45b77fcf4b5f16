"""Fingerprints on a small tree of their own: an edit changes the hashes of those who import it, and of nobody else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.base.files import write_json
from restore_ml.runs import fingerprints
from restore_ml.runs.settings import Params, Run
from restore_ml.runs.sources import Sources

TREE = {
    "restore_ml/__init__.py": '"""Package."""\n',
    "restore_ml/registry.py": "import importlib\n\nget = importlib.import_module\n",
    "restore_ml/nn/__init__.py": '"""Blocks."""\n',
    "restore_ml/nn/block.py": '"""A block."""\n\n\ndef block(x):\n    """Twice."""\n    return 2 * x\n',
    "restore_ml/nn/other.py": "VALUE = 1\n",
    "restore_ml/losses/__init__.py": "",
    "restore_ml/losses/shared.py": "def loss(a, b):\n    return a - b\n",
    "restore_ml/metric.py": "def metric():\n    return 1\n",
    "restore_ml/methods/__init__.py": "",
    "restore_ml/methods/a.py": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from restore_ml import registry
        from restore_ml.nn.block import block
        if TYPE_CHECKING:
            from restore_ml.nn import other

        def train(x):
            '''Trains.'''
            from restore_ml.losses import shared
            return shared.loss(block(x), 1)
    """,
    "restore_ml/methods/b.py": """
        import restore_ml.losses.shared as losses
        from ..nn import other

        class B:
            value = other.VALUE
            '''What it is.'''
    """,
    "restore_ml/score.py": "from restore_ml.metric import metric\n",
    "pipelines/train.py": "from pipelines.machinery.steps import Steps\n",
    "pipelines/machinery/steps.py": "class Steps: ...\n",
    "foreign/__init__.py": "",
    "foreign/method.py": "from foreign import parts\nfrom restore_ml.nn.block import block\nimport numpy\n",
    "foreign/parts.py": "PART = 1\n",
}
ENTRIES = {"a": ["restore_ml.methods.a", "pipelines.train"], "b": ["restore_ml.methods.b", "pipelines.train"],
           "score": ["restore_ml.score"]}


@pytest.fixture
def tree(tmp_path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return tmp_path


def hashes(tree: Path) -> dict[str, dict[str, str]]:
    found = {name: Sources([tree]).hashes(entries) for name, entries in ENTRIES.items()}
    return found | {"foreign": Sources([tree]).hashes(["foreign.method"], "foreign")}


def changed_by(tree: Path, name: str, old: str, new: str) -> set[str]:
    before = hashes(tree)
    path = tree / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    after = hashes(tree)
    return {key for key in before if before[key] != after[key]}


def test_what_counts_is_exactly_what_is_imported(tree):
    found = hashes(tree)
    assert set(found["a"]) == {"restore_ml", "restore_ml.nn", "restore_ml.nn.block", "restore_ml.losses",
                               "restore_ml.losses.shared", "restore_ml.methods",
                               "restore_ml.methods.a", "pipelines.train"}
    assert set(found["b"]) == {"restore_ml", "restore_ml.nn", "restore_ml.nn.other", "restore_ml.losses",
                               "restore_ml.losses.shared", "restore_ml.methods", "restore_ml.methods.b",
                               "pipelines.train"}
    assert set(found["score"]) == {"restore_ml", "restore_ml.score", "restore_ml.metric"}
    assert set(found["foreign"]) == {"foreign", "foreign.method", "foreign.parts", "restore_ml", "restore_ml.nn",
                                     "restore_ml.nn.block"}


@pytest.mark.parametrize(("name", "old", "new", "expected"), [
    ("restore_ml/methods/a.py", "block(x), 1", "block(x), 2", {"a"}),
    ("restore_ml/nn/block.py", "2 * x", "3 * x", {"a", "foreign"}),
    ("restore_ml/losses/shared.py", "a - b", "a + b", {"a", "b"}),
    ("restore_ml/metric.py", "return 1", "return 2", {"score"}),
    ("restore_ml/nn/other.py", "VALUE = 1", "VALUE = 2", {"b"}),
    ("restore_ml/nn/block.py", '"""Twice."""', '"""Two times."""  # a comment', set()),
    ("restore_ml/nn/__init__.py", "Blocks", "All blocks", set()),
    ("restore_ml/methods/b.py", "'''What it is.'''", "", set()),
    ("restore_ml/losses/shared.py", "loss(a, b):\n    return a", "loss(\n    a, b,\n):\n\n    return a", set()),
    ("pipelines/machinery/steps.py", "...", "x = 1", set()),
    ("foreign/parts.py", "PART = 1", "PART = 2", {"foreign"}),
])
def test_an_edit_changes_those_who_use_it_and_nobody_else(tree, name, old, new, expected):
    assert changed_by(tree, name, old, new) == expected


def test_a_skipped_edge_is_not_followed_but_others_to_the_same_module_are(tree):
    edge = ("restore_ml.methods.b", "restore_ml.nn.other")
    assert "restore_ml.nn.other" not in Sources([tree]).hashes(ENTRIES["b"], "", frozenset({edge}))
    (tree / "restore_ml/losses/shared.py").write_text("from restore_ml.nn import other\n")
    assert "restore_ml.nn.other" in Sources([tree]).hashes(ENTRIES["b"], "", frozenset({edge}))


@settings(deadline=None, max_examples=25)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters='"\\\0\r')))
def test_no_docstring_changes_a_hash(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("module")
    package = folder / "restore_ml"
    package.mkdir()
    found = set()
    for doc in ("", text):
        (package / "one.py").write_text(f'"""{doc} """\n\n\nclass A:\n    """{doc} """\n\n    x: int = 1\n',
                                        encoding="utf-8")
        found.add(Sources([folder]).hashes(["restore_ml.one"])["restore_ml.one"])
    assert len(found) == 1


# --- the real tree ----------------------------------------------------------------------------------------------------


def params(**changes) -> Params:
    run = Run("bicubic", "super_resolution", "bicubic", {}, 1, {})
    values = {"profile": "quick", "seed": 1, "threads": 2, "precision": "fp32", "weights": {},
              "tasks": {"super_resolution": {"scales": [2]}, "representation": {}}, "runs": {run.key: run},
              "promotion": {}}
    return Params(**(values | changes))


def test_the_folder_holds_one_file_a_stage_and_run_and_forgets_those_that_are_gone(tmp_path):
    files = fingerprints.write_code(tmp_path, params())
    names = {path.relative_to(tmp_path / "code").as_posix() for path in files}
    assert names == {"prepare.json", "degrade/super_resolution.json", "degrade/representation.json",
                     "validate/super_resolution.json", "validate/representation.json", "score/super_resolution.json",
                     "compare/super_resolution.json", "champion/super_resolution.json",
                     "train/super_resolution/bicubic.json", "restore/super_resolution/bicubic.json"}
    assert not fingerprints.stale(tmp_path, params())
    assert fingerprints.stale(tmp_path, params(threads=1))
    before = {path: path.read_bytes() for path in files}
    fingerprints.write_code(tmp_path, params())
    assert before == {path: path.read_bytes() for path in files}
    fingerprints.write_code(tmp_path, params(runs={}))
    assert not (tmp_path / "code/train/super_resolution/bicubic.json").exists()
    assert (tmp_path / "code/prepare.json").exists()


def test_threads_seed_and_precision_belong_to_the_runs_and_not_to_the_data(tmp_path):
    plain = fingerprints.code(tmp_path, params())
    other = fingerprints.code(tmp_path, params(threads=3, precision="bf16"))
    assert {name for name in plain if plain[name] != other[name]} == {
        "train/super_resolution/bicubic.json", "restore/super_resolution/bicubic.json"}


def test_processes_belong_to_the_trainings_of_networks_and_divide_their_batches(tmp_path):
    runs = {name: Run(name, "super_resolution", "vdsr", {}, 1, {"batch": batch})
            for name, batch in (("even", 6), ("odd", 5), ("single", 1))}
    runs["bicubic"] = Run("bicubic", "super_resolution", "bicubic", {}, 1, {})
    plain, other = (fingerprints.code(tmp_path, params(runs=runs, processes=number)) for number in (1, 4))
    assert {name for name in plain if plain[name] != other[name]} == {"train/super_resolution/even.json"}
    found = {name: other[f"train/super_resolution/{name}.json"]["processes"] for name in runs}
    assert found == {"even": 3, "odd": 1, "single": 1, "bicubic": 1}


def test_training_depends_on_no_metric_and_without_gradients_not_on_the_loop(tmp_path):
    content = fingerprints.code(tmp_path, params())
    modules = content["train/super_resolution/bicubic.json"]["modules"]
    assert "restore_ml.training.train" in modules and "restore_ml.methods.super_resolution.bicubic" in modules
    assert "restore_ml.training.loop" not in modules
    for name in ("train/super_resolution/bicubic.json", "restore/super_resolution/bicubic.json"):
        assert not [module for module in content[name]["modules"]
                    if module.startswith(("restore_ml.evaluation", "restore_ml.report", "restore_ml.tracking"))]
    trained = Run("vdsr", "super_resolution", "vdsr", {}, 1, {})
    modules = fingerprints.code(tmp_path, params(runs={"vdsr": trained}))["train/super_resolution/vdsr.json"]["modules"]
    assert "restore_ml.training.loop" in modules
    assert "restore_ml.nn.features" not in modules


def test_a_user_s_weights_count_only_where_a_slot_holds_a_feature_network(tmp_path):
    file = tmp_path / "vgg.safetensors"
    file.write_bytes(b"weights")
    features = Run("features", "representation", "features", {}, 1, {})
    runs = [features, Run("one", "super_resolution", "vdsr", {"features": features.key}, 1, {}),
            Run("two", "super_resolution", "vdsr", {"teacher": "super_resolution/one"}, 1, {})]
    content = fingerprints.code(tmp_path, params(runs={run.key: run for run in runs}, weights={"vgg19": str(file)}))
    assert set(content["train/super_resolution/one.json"]["weights"]) == {"vgg19", "vgg19.sha256"}
    assert content["train/super_resolution/two.json"]["weights"] == {}
    modules = {name: content[f"train/super_resolution/{name}.json"]["modules"] for name in ("one", "two")}
    assert "restore_ml.nn.features" in modules["one"] and "restore_ml.restoring.loading" not in modules["one"]
    assert "restore_ml.nn.features" not in modules["two"] and "restore_ml.restoring.loading" in modules["two"]


def test_the_champion_s_own_method_counts_and_no_other(tmp_path):
    """Whichever runs there are today: editing another method of the task leaves the champion alone."""
    write_json(tmp_path / "champions/super_resolution/champion/model.json", {"method": "vdsr", "slots": {}})
    spec = fingerprints.code(tmp_path, params())["champion/super_resolution.json"]
    assert spec["method"] == "vdsr"
    methods = [name for name in spec["modules"] if name.startswith("restore_ml.methods.super_resolution.")]
    assert methods == ["restore_ml.methods.super_resolution.vdsr"]
    write_json(tmp_path / "champions/super_resolution/champion/model.json", {"method": "gone", "slots": {}})
    assert fingerprints.code(tmp_path, params())["champion/super_resolution.json"]["method"] == "gone"


def of_features(source: str) -> dict[str, dict]:
    """What `code` says of a run with a feature network, one with a teacher and one with nothing in its slots."""
    features = Run("features", "representation", "features", {}, 1, {})
    runs = [features, Run("one", "super_resolution", "vdsr", {"features": features.key}, 1, {}),
            Run("two", "super_resolution", "vdsr", {"teacher": "super_resolution/one"}, 1, {}),
            Run("three", "super_resolution", "vdsr", {}, 1, {})]
    return fingerprints.code(Path("nowhere"), params(runs={run.key: run for run in runs}, features=source,
                                                     judges={"super_resolution": features.key}))


def test_vgg16_stands_in_the_slots_of_feature_networks_and_changes_nobody_else():
    """By its source, which names the hash of the weights; the tables of others and of wheels do not count."""
    own, vgg16 = of_features("own"), of_features("vgg16")
    assert {name for name in own if own[name] != vgg16[name]} == {
        "train/super_resolution/one.json", "restore/super_resolution/one.json", "score/super_resolution.json"}
    for content, slot, module, other in ((own, "representation/features", "features", "vgg16_features"),
                                         (vgg16, "vgg16-0c84596c", "vgg16_features", "features")):
        for kind in ("train", "restore"):
            spec = content[f"{kind}/super_resolution/one.json"]
            assert spec["slots"] == {"features": slot}
            assert (f"restore_ml.nn.{module}" in spec["modules"]) and f"restore_ml.nn.{other}" not in spec["modules"]
            assert "restore_ml.nn.foreign_weights" not in spec["modules"]
            assert "restore_ml.data.shelf" not in spec["modules"]
        score = content["score/super_resolution.json"]
        assert score["judge"] == slot and f"restore_ml.nn.{module}" in score["modules"]
        assert f"restore_ml.nn.{other}" not in score["modules"]


def of_faces(source: str) -> dict[str, dict]:
    """The same of a recogniser that judges and of a run that has it in a slot."""
    runs = [Run("recogniser", "face_identity", "recogniser", {}, 1, {}),
            Run("one", "super_resolution", "vdsr", {"recogniser": "face_identity/recogniser"}, 1, {}),
            Run("two", "super_resolution", "vdsr", {"teacher": "super_resolution/one"}, 1, {})]
    return fingerprints.code(Path("nowhere"), params(runs={run.key: run for run in runs}, recogniser=source,
                                                     judges={"super_resolution": runs[0].key}))


def test_resnet29_stands_in_the_places_of_recognisers_and_changes_nobody_else():
    own, other = of_faces("own"), of_faces("resnet29")
    assert {name for name in own if own[name] != other[name]} == {
        "train/super_resolution/one.json", "restore/super_resolution/one.json", "score/super_resolution.json"}
    spec, score = other["train/super_resolution/one.json"], other["score/super_resolution.json"]
    assert spec["slots"] == {"recogniser": "resnet29-cfb9b4ff"} and score["judge"] == "resnet29-cfb9b4ff"
    for modules in (spec["modules"], score["modules"]):
        assert {"restore_ml.nn.face_recogniser", "restore_ml.nn.face_resnet"} <= modules.keys()
        assert "restore_ml.nn.features" not in modules
    assert "restore_ml.nn.foreign_weights" not in spec["modules"]
    for content in (own, of_features("own"), of_features("vgg16")):
        assert not [name for name, value in content.items()
                    if "restore_ml.nn.face_recogniser" in value["modules"] and not name.startswith("champion/")]
    assert "restore_ml.restoring.loading" in own["score/super_resolution.json"]["modules"]


def test_scores_without_a_judge_do_not_depend_on_what_fills_slots(tmp_path):
    spec = fingerprints.code(tmp_path, params())["score/super_resolution.json"]
    assert spec["judge"] == "none" and "restore_ml.training.slots" not in spec["modules"]
    assert "restore_ml.nn.features" not in spec["modules"]


@pytest.mark.parametrize("there", [True, False])
def test_weights_that_are_not_there_are_said_with_the_line_to_change(monkeypatch, there):
    monkeypatch.setattr("restore_ml.nn.foreign_weights.fault", lambda name: "" if there else f"{name} is not there.")
    assert fingerprints.without_weights(params()) == ""
    said = fingerprints.without_weights(params(features="vgg16"))
    assert bool(said) != there
    faces = fingerprints.without_weights(params(recogniser="resnet29"))
    assert bool(faces) != there and (there or "asks for `recogniser: resnet29`" in faces)
    assert there or said == (
        "params.yaml asks for `features: vgg16`, and its weights cannot be had: vgg16 is not there. Or change that "
        "line of params.yaml to `features: own`, the network that is trained here.")
