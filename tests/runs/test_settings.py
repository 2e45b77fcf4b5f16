from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.nn.vgg16 import TAPS
from restore_ml.nn.vgg16_features import POOLS
from restore_ml.promotion.rule import resolve
from restore_ml.registry import method_class
from restore_ml.runs.settings import built_at, load, set_profile
from tests.graphs import write_runs

GOOD = """
profile: cpu
seed: 3
"""
GRAPH = """
task: super_resolution
tables: [super_resolution]
judge: none
samples: {settings: {scales: [2, 3]}, quick: {scales: [2]}}
margins: {ssim_y: 0.01}
empty: &empty {features: none, teacher: none, recogniser: none, parts: none}
runs: &runs
  bicubic: *empty
  vdsr: {<<: *empty, settings: {width: 8}, cpu: {layers: 5}, quick: {layers: 3}}
  vdsr_wide: {<<: *empty, method: vdsr, seed: 9, teacher: super_resolution/vdsr, cpu: {width: 32}}
tested: *runs
"""


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    graph = tmp_path / "graph" / "super_resolution" / "runs.yaml"
    graph.parent.mkdir(parents=True)
    graph.write_text(GRAPH)
    return path


def test_settings_follow_the_profile(params):
    found = load(params)
    assert found.tasks["super_resolution"] == {"scales": [2, 3]}
    runs = {run.name: run for run in found.runs_of("super_resolution")}
    assert list(found.runs) == [f"super_resolution/{name}" for name in ("bicubic", "vdsr", "vdsr_wide")]
    assert runs["vdsr"].settings["width"] == 8 and runs["vdsr"].settings["layers"] == 5
    assert runs["vdsr_wide"].method == "vdsr" and runs["vdsr_wide"].settings["layers"] == 20
    assert runs["vdsr_wide"].slots == {"teacher": "super_resolution/vdsr"} and runs["vdsr"].slots == {}
    assert (runs["vdsr"].seed, runs["vdsr_wide"].seed) == (3, 9)
    assert found.promotion["margins"] == {"super_resolution": {"ssim_y": 0.01}}
    assert found.primary_cases == {}
    assert set_profile("quick", params) and not set_profile("quick", params)
    found = load(params)
    assert found.tasks["super_resolution"] == {"scales": [2]}
    assert found.runs["super_resolution/vdsr"].settings["layers"] == 3
    assert params.read_text().replace("profile: quick", "profile: cpu") == GOOD


def test_a_task_may_name_the_run_that_people_get(params):
    graph = params.parent / "graph/super_resolution/runs.yaml"
    graph.write_text(GRAPH.replace("judge: none", "judge: none\ndefault: vdsr"))
    assert load(params).defaults == {"super_resolution": "vdsr"}
    assert resolve("super_resolution", load(params).promotion).default == "vdsr"
    graph.write_text(GRAPH.replace("judge: none", "judge: none\ndefault: vdsrr"))
    with pytest.raises(UserError, match=r"default of super_resolution is 'vdsrr', which is no run of it. Did you mean"):
        load(params)


def test_a_task_s_own_case_reaches_the_rule_of_promotion(params):
    graph = params.parent / "graph" / "super_resolution" / "runs.yaml"
    graph.write_text(GRAPH.replace("margins:", "primary_case: photos/x3\nmargins:"))
    found = load(params)
    assert found.primary_cases == {"super_resolution": "photos/x3"}
    rule = resolve("super_resolution", found.promotion)
    assert rule.primary_case == "photos/x3" and rule.margins == {"ssim_y": 0.01}


def test_feature_networks_have_no_margins(params):
    write_runs(params.parent, "representation", {"features": {}}, margins={})
    assert resolve("super_resolution", load(params).promotion).margins == {"ssim_y": 0.01}
    write_runs(params.parent, "representation", {"features": {}}, margins={"psnr": 0.1})
    with pytest.raises(UserError, match="margins of promotion names the unknown task 'representation'"):
        resolve("super_resolution", load(params).promotion)


def test_two_tasks_may_have_runs_of_one_name(params):
    """`bicubic` of super-resolution names a method of its own task, the other one a method that serves both."""
    write_runs(params.parent, "inpainting", {"bicubic": {"method": "telea"}})
    found = load(params)
    assert {"inpainting/bicubic", "super_resolution/bicubic"} <= set(found.runs)
    assert found.runs["inpainting/bicubic"].method == "telea"


def test_a_method_of_another_task_must_serve_the_run_s_task(params, monkeypatch):
    write_runs(params.parent, "inpainting", {"enlarged": {"method": "super_resolution.bicubic"}})
    with pytest.raises(UserError, match=r"serves super_resolution, .*not inpainting"):
        load(params)
    monkeypatch.setattr(method_class("super_resolution", "bicubic"), "serves", ("inpainting",))
    run = load(params).runs["inpainting/enlarged"]
    assert run.method == "super_resolution.bicubic"
    assert registry.method(run.task, run.method, run.settings).task == "inpainting"


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("profile: cpu", "profile: cpuu", "Did you mean 'cpu'"),
    ("profile: cpu", "profile: cpu\nthreds: 1", "Did you mean 'threads'"),
    ("seed: 3", "seed: -3", "at least 0"),
    ("seed: 3", "seed: [", "not readable YAML"),
    ("seed: 3", "runs: {}", "restore-ml migrate"),
    ("seed: 3", "promotion: {margins: {}}", r"graph/<task>/runs\.yaml, not in"),
    ("runs: &", "rums: &", "Did you mean 'runs'"),
    ("{width: 8}", "{widht: 8}", "Did you mean 'width'"),
    ("{width: 8}", "{width: wide}", "same kind"),
    ("{width: 8}", "{steps: -5}", "at least 0"),
    ("{width: 8}", "[width]", "mapping of settings"),
    ("teacher: super_resolution/vdsr", "teacher: super_resolution/vdrs", "Did you mean 'super_resolution/vdsr'"),
    ("teacher: super_resolution/vdsr", "teacher: super_resolution/vdsr_wide", "no other run"),
    ("teacher: super_resolution/vdsr", "teacher: vdsr", "name a run as task/run"),
    ("teacher: super_resolution/vdsr", "techer: super_resolution/vdsr", "Did you mean 'teacher'"),
    ("method: vdsr", "method: vdrs", "Did you mean 'vdsr'"),
    ("task: super_resolution", "task: inpainting", "it must be super_resolution"),
    ("tables: [super_resolution]", "tables: [inpainting]", r"it must be \[super_resolution\]"),
    ("tested: *runs", "tested: {bicubic: *empty}", "must repeat runs"),
])
def test_mistakes_are_sentences(params, old, new, sentence):
    graph = params.parent / "graph" / "super_resolution" / "runs.yaml"
    path, text = (params, GOOD) if old in GOOD else (graph, GRAPH)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=sentence):
        load(params)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "params.yaml")


@given(st.text(max_size=200))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_crashes_the_reader(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text("profile: cpu\n" + text, encoding="utf-8", errors="replace")
    try:
        load(path)
    except UserError as error:
        assert str(error)


def test_what_cannot_be_built_is_told_in_a_sentence():
    method = method_class("super_resolution", "sa_subpixel_sr")({"width": 4})
    with pytest.raises(UserError, match=r"cannot be built with its settings in params\.yaml: .*at least 8 channels"):
        method.networks()


VGG16 = GRAPH.replace("settings: {width: 8}, cpu: {layers: 5}",
                      "settings: {width: 8, vgg16: {width: 4, lr: 0.5}}, "
                      "cpu: {layers: 5, vgg16: {layers: 6, width: 9}}")


@pytest.mark.parametrize(("line", "expected"), [
    ("", {"width": 8, "layers": 5, "lr": 0.1}), ("features: own\n", {"width": 8, "layers": 5, "lr": 0.1}),
    ("features: vgg16\n", {"width": 9, "layers": 6, "lr": 0.5}),
    ("features: vgg16\n#quick", {"width": 4, "layers": 3, "lr": 0.5})])
def test_settings_of_a_run_where_features_are_vgg16(params, line, expected):
    """Each part's own lie over its others; the profile's part lies over `settings`."""
    (params.parent / "graph/super_resolution/runs.yaml").write_text(VGG16)
    params.write_text((GOOD + line).replace("cpu", "quick" if "quick" in line else "cpu"))
    found = load(params)
    assert found.features == ("vgg16" if "vgg16" in line else "own")
    resolved = found.runs["super_resolution/vdsr"].settings
    assert {key: resolved[key] for key in expected} == expected and "vgg16" not in resolved


@pytest.mark.parametrize("source", ["own", "vgg16"])
@pytest.mark.parametrize(("old", "new", "said"), [
    ("vgg16: {width: 4", "vgg16: {widht: 4", r"no setting 'widht' \(the run 'vdsr'.* Did you mean 'width'"),
    ("lr: 0.5", "lr: fast", "lr of the run 'vdsr' of super_resolution is 'fast'"),
    ("vgg16: {layers: 6, width: 9}", "vgg16: [9]", "'vgg16' of cpu of the run 'vdsr' .* must be a mapping of settings"),
    ("scales: [2, 3]", "vgg16: {}, scales: [2, 3]", "has no setting 'vgg16'"),
])
def test_settings_for_vgg16_are_checked_whichever_features_there_are(params, source, old, new, said):
    assert old in VGG16
    (params.parent / "graph/super_resolution/runs.yaml").write_text(VGG16.replace(old, new))
    params.write_text(GOOD + f"features: {source}\n")
    with pytest.raises(UserError, match=said):
        load(params)


def test_one_feature_network_for_one_place(params):
    params.write_text(GOOD + "features: vgg16\nweights: {vgg19: a.safetensors}\n")
    with pytest.raises(UserError, match=r"two feature networks for one place. Write `features: own` to use the file, "
                                        r"or `weights: \{\}` to use VGG16."):
        load(params)
    params.write_text(GOOD + "features: vgg61\n")
    with pytest.raises(UserError, match=r"features in .* is 'vgg61'; it must be one of own, vgg16. Did you mean"):
        load(params)


ELSEWHERE = """\
runs:
  bicubic:
  vdsr:
    profiles: [paper, gpu]
    teacher: none
  student:
    method: vdsr
    profiles: [cpu, gpu]
    cpu: {layers: 6}
"""


def test_a_run_stands_where_it_says(params):
    runs = params.parent / "graph/super_resolution/runs.yaml"
    runs.write_text(ELSEWHERE)
    found = load(params)
    assert found.profile == "cpu" and set(found.runs) == {"super_resolution/bicubic", "super_resolution/student"}
    (other,) = found.elsewhere.values()
    assert other.key == "super_resolution/vdsr" and other.profiles == ("gpu", "paper")
    assert built_at(other) == "built at gpu and paper alone"
    assert found.order["super_resolution"] == ["bicubic", "vdsr", "student"]


@pytest.mark.parametrize(("old", "new", "said"), [
    ("[paper, gpu]", "gpu", r"profiles of the run 'vdsr' of super_resolution is 'gpu'; it must be a list, such as"),
    ("[paper, gpu]", "[]", r"must be a list"),
    ("[paper, gpu]", "[cup]", r"a profile under profiles of the run 'vdsr' .* is 'cup'; .* Did you mean 'cpu'"),
    ("cpu: {layers: 6}", "teacher: super_resolution/vdsr", r"slot teacher of the run 'super_resolution/student' holds "
     r"'super_resolution/vdsr', which is built at gpu and paper alone; give 'student' these profiles too"),
    ("runs:", "judge: super_resolution/vdsr\nruns:", r"judge of super_resolution is 'super_resolution/vdsr', which is "
     r"built at gpu and paper alone; it is needed at cpu"),
    ("runs:", "default: vdsr\nruns:", r"default of super_resolution is 'super_resolution/vdsr', which is built at gpu"),
])
def test_what_is_needed_must_stand_there_too(params, old, new, said):
    assert ELSEWHERE.count(old) == 1
    (params.parent / "graph/super_resolution/runs.yaml").write_text(ELSEWHERE.replace(old, new))
    with pytest.raises(UserError, match=said):
        load(params)


def test_recognisers_are_own_or_dlibs(params):
    params.write_text(GOOD + "recogniser: resnet29\n")
    assert load(params).recogniser == "resnet29"
    params.write_text(GOOD + "recogniser: resnet92\n")
    with pytest.raises(UserError, match=r"recogniser in .* is 'resnet92'; it must be one of own, resnet29. Did you m"):
        load(params)


def test_every_run_of_the_project_can_be_asked_for_with_vgg16(tmp_path):
    """In every profile; what the methods say of such settings is said when they are made."""
    import shutil
    from pathlib import Path

    root = Path(__file__).parents[2]
    for file in (root / "graph").glob("*/runs.yaml"):
        (tmp_path / "graph" / file.parent.name).mkdir(parents=True)
        shutil.copy(file, tmp_path / "graph" / file.parent.name)
    text = (root / "params.yaml").read_text(encoding="utf-8").replace("features: own ", "features: vgg16 ")
    for profile in ("quick", "cpu", "gpu", "paper"):
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        set_profile(profile, tmp_path / "params.yaml")
        found = load(tmp_path / "params.yaml")
        assert found.features == "vgg16"
        for run in found.runs.values():
            made = registry.method(run.task, run.method, run.settings)
            taps = [tap for key, value in made.settings.items() if key.endswith(("_tap", "_taps"))
                    for tap in (value if isinstance(value, (list, dict)) else [value])]
            assert not run.slots or set(taps) <= {*TAPS, *POOLS}, run.key
            if profile in ("quick", "cpu"):  # what a processor can pay for
                assert all(int(tap.lstrip("relupo")[0]) <= 3 for tap in taps), run.key
                phases = {phase.name: phase.steps for phase in made.phases()}
                for phase in made.settings.get("feature_phases", []):
                    assert phases.get(phase, 0) <= 40, run.key
