from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.base import files
from restore_ml.base.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def half(temporary):
        temporary.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, half)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_json_is_canonical_and_refuses_what_json_has_not(tmp_path):
    assert files.canonical_json({"b": 1, "a": [1.5, None]}) == files.canonical_json({"a": [1.5, None], "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.canonical_json({"a": float("nan")})
    path = tmp_path / "x" / "a.json"
    files.write_json(path, {"é": 1})
    assert files.read_json(path) == {"é": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_json_is_a_sentence(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is not readable JSON"):
        files.read_json(tmp_path / "a.json")


@given(st.text(min_size=1, max_size=40).filter(lambda name: "\x00" not in name))
@settings(deadline=None, max_examples=100)
def test_no_name_leads_out_of_its_folder(name):
    from pathlib import Path

    folder = Path("/nowhere/inside")
    try:
        assert files.inside(folder, name).is_relative_to(folder)
    except UserError as error:
        assert "leads out of" in str(error)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_ways_out_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="leads out of"):
        files.inside(tmp_path, name)


def test_a_link_out_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out of"):
        files.inside(tmp_path / "in", "link/secret")
