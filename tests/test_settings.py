from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_ml.errors import UserError
from restore_ml.registry import method_class
from restore_ml.settings import load, set_profile

GOOD = """
profile: cpu
seed: 3
tasks:
  super_resolution: {settings: {scales: [2, 3]}, quick: {scales: [2]}}
runs:
  bicubic: {task: super_resolution, needs: none}
  vdsr: {task: super_resolution, needs: none, settings: {width: 8}, cpu: {layers: 5}, quick: {layers: 3}}
  vdsr_wide: {task: super_resolution, method: vdsr, needs: none, seed: 9, cpu: {width: 32}}
"""


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(GOOD)
    return path


def test_settings_follow_the_profile(params):
    found = load(params)
    assert found.tasks["super_resolution"] == {"scales": [2, 3]}
    assert found.runs["vdsr"].settings["width"] == 8 and found.runs["vdsr"].settings["layers"] == 5
    assert found.runs["vdsr_wide"].method == "vdsr" and found.runs["vdsr_wide"].settings["layers"] == 20
    assert (found.runs["vdsr"].seed, found.runs["vdsr_wide"].seed) == (3, 9)
    assert set_profile("quick", params) and not set_profile("quick", params)
    found = load(params)
    assert found.tasks["super_resolution"] == {"scales": [2]} and found.runs["vdsr"].settings["layers"] == 3
    assert params.read_text().replace("profile: quick", "profile: cpu") == GOOD


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("profile: cpu", "profile: cpuu", "Did you mean 'cpu'"),
    ("runs:", "rums:", "Did you mean 'runs'"),
    ("{width: 8}", "{widht: 8}", "Did you mean 'width'"),
    ("{width: 8}", "{width: wide}", "same kind"),
    ("{width: 8}", "{steps: -5}", "at least 0"),
    ("{width: 8}", "[width]", "mapping of settings"),
    ("needs: none, settings", "needs: featurs, settings", "which is no run"),
    ("method: vdsr", "method: vdrs", "Did you mean 'vdsr'"),
    ("vdsr: {task: super_resolution", "vdsr: {task: superresolution", "Did you mean 'super_resolution'"),
    ("seed: 3", "seed: -3", "at least 0"),
    ("seed: 3", "seed: [", "not readable YAML"),
])
def test_mistakes_are_sentences(params, old, new, sentence):
    assert old in GOOD
    params.write_text(GOOD.replace(old, new, 1))
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
