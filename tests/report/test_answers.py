import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.base.errors import UserError
from restore_ml.report.answers import MOST_BYTES, read, read_all
from tests.report.conftest import answers, saved


def test_a_file_is_read_as_it_was_saved(tmp_path: Path) -> None:
    session = read(saved(tmp_path, answers(rater=" Ada "))[0])
    assert session.rater == "ada" and session.methods == ("vdsr",) and session.seconds == 1.0
    assert len(session.trials) == 22 and session.trials[0].chosen == "truth"
    assert [trial.seen for trial in session.trials[:20]] == [False] * 10 + [True] * 10


def test_without_a_name_each_session_is_a_person_of_its_own(tmp_path: Path) -> None:
    files = saved(tmp_path, answers("aaaaaaaa"), answers("bbbbbbbb"), answers("cccccccc", rater="x"))
    assert len({session.rater for session in read_all(files)}) == 3


def test_pairs_without_an_answer_are_left_out(tmp_path: Path) -> None:
    facts = answers()
    del facts["trials"][3]["answer"]
    assert len(read(saved(tmp_path, facts)[0]).trials) == 21


def test_a_file_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    path = saved(tmp_path, answers())[0]
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(answers(), indent=4))
    assert len(read_all([path, copy])) == 1
    changed = answers()
    changed["trials"][0]["answer"] = "second"
    copy.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="with different answers"):
        read_all([path, copy])


def pair(**changes: Any) -> dict[str, Any]:
    return {"trials": [{**answers()["trials"][0], **changes}]}


BAD = {
    "format": {"format": "restore-ml turing 2"}, "task": {"task": "../etc"}, "mode": {"mode": "both"},
    "session": {"session": "../../x"}, "page": {"page": None}, "seconds": {"seconds": 0}, "long": {"seconds": 1e6},
    "methods": {"methods": []}, "twice": {"methods": ["vdsr", "vdsr"]}, 
    "name": {"methods": ["<b>"], "models": {"<b>": "00112233"}},
    "models": {"models": {}}, "one method": {"mode": "methods"}, "rater": {"rater": "x" * 41},
    "control characters": {"rater": "a\x1b[2J"}, "no pairs": {"trials": []}, "many": {"trials": [{}] * 3000},
    "no list": {"trials": {"0": 1}}, "kind": pair(kind="other"), "answer": pair(answer="third"), 
    "picture": pair(picture="../x"),
    "stranger": pair(second="telea"), "no truth": pair(first="vdsr"), "times": pair(shown_ms=[1]),
    "negative": pair(shown_ms=[-1, 5]), "truth value": pair(shown_ms=[True, 5]), "no pair": {"trials": [3]},
    "only practice": pair(kind="practice"), "half a letter": {"rater": "\ud800"},
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_page_does_not_write_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, answers())[0]
    path.write_text(json.dumps({**answers(), **BAD[name]}))
    with pytest.raises(UserError, match=path.name):
        read(path)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", '{"format": NaN}', "[" * 100_000, "\x00",
                                  '{"a": ' + "9" * 5000 + "}", "x" * (MOST_BYTES + 1)], ids=range(9))
def test_what_is_no_json_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"answers\.json"):
        read(path)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                                     max_size=3))


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(answers())), st.sampled_from(sorted(answers()["trials"][0])), VALUES, st.booleans())
def test_whatever_stands_in_a_field_only_sentences_come_out(tmp_path_factory: pytest.TempPathFactory, field: str,
                                                            key: str, value: Any, inner: bool) -> None:
    facts = answers()
    if inner:
        facts["trials"][0][key] = value
    else:
        facts[field] = value
    path = tmp_path_factory.mktemp("fuzz") / "answers.json"
    path.write_text(json.dumps(facts))
    try:
        read(path)
    except UserError as error:
        assert "answers.json" in str(error)
