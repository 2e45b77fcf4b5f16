"""Answers of the blind test: files that people save and send, read without trust.

Nothing in them is executed or used as a path; sizes are bounded; a file that is not what the page writes is refused
with a sentence that names it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json
from restore_ml.registry import tables

FORMAT = "restore-ml turing 1"
MOST_BYTES, MOST_FILES, MOST_TRIALS = 2_000_000, 10_000, 2_000
KINDS = ("practice", "test", "catch")
TRUTH, CONTROL = "truth", "control"
NAME = re.compile(r"[\w@.+-]{1,80}")
HEX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Trial:
    """A pair that was shown. `first` and `second`: a run, `truth` or `control`; `chosen` is the one that was picked as
    real; `shown_ms`: how long each was on the screen; `seen`: whether that picture had come before in the session."""

    kind: str
    picture: str
    first: str
    second: str
    chosen: str
    shown_ms: tuple[float, float]
    seen: bool


@dataclass(frozen=True)
class Session:
    """One file. `rater`: the person's word, or the session's own identity; `models`: run -> start of the hash of its
    model.json; `text`: the whole file in one layout, equal for equal answers."""

    identity: str
    rater: str
    task: str
    case: str
    page: str
    mode: str
    methods: tuple[str, ...]
    models: dict[str, str]
    seconds: float
    trials: tuple[Trial, ...]
    text: str


def read_all(paths: Iterable[Path]) -> list[Session]:
    """The sessions of the files in a fixed order; one that is given twice counts once. `UserError` for the first file
    that is none, and for two different files that call themselves the same session."""
    paths = list(paths)
    if len(paths) > MOST_FILES:
        raise UserError(f"{len(paths)} files are more than the {MOST_FILES} that one report reads.")
    found: dict[str, Session] = {}
    for path in paths:
        session = read(path)
        other = found.setdefault(session.identity, session)
        if other.text != session.text:
            raise UserError(f"{path} and another file are both the session {session.identity}, with different answers; "
                            f"one of them was changed after it was saved. Leave the wrong one out.")
    return [found[identity] for identity in sorted(found)]


def read(path: Path) -> Session:
    """One file; `UserError` says what is wrong with it."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give files that the blind test saved.") from None
    if len(text) > MOST_BYTES:
        _refuse(path, f"is larger than {MOST_BYTES:,} bytes")
    try:
        facts = json.loads(text, parse_constant=lambda name: _refuse(path, f"holds {name}, which is no JSON"))
        canonical_json(facts).encode()  # refuses half characters, which JSON can spell and no file can hold
    except (ValueError, RecursionError):
        _refuse(path, "is not readable JSON")
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        _refuse(path, f"does not say that its format is {FORMAT!r}")
    return _session(path, facts)


def _refuse(path: Path, what: str) -> NoReturn:
    raise UserError(f"{path} {what}; it is no file of answers that the blind test's page saved.")


def _session(path: Path, facts: dict[str, Any]) -> Session:
    task, mode, seconds = facts.get("task"), facts.get("mode"), facts.get("seconds")
    identity, page, case = (facts.get(key) for key in ("session", "page", "case"))
    if task not in tables():
        _refuse(path, f"names the task {str(task)[:40]!r}, which is none of {', '.join(tables())}")
    if mode not in ("truth", "methods"):
        _refuse(path, "does not say whether methods were compared with the truth or with one another")
    if not _is(HEX, identity) or not _is(HEX, page) or not isinstance(case, str) or len(case) > 200:
        _refuse(path, "lacks its session, page or case")
    if not _number(seconds, 0.1, 10):
        _refuse(path, "does not say for how many seconds (0.1 to 10) each picture was shown")
    methods, models, rater = facts.get("methods"), facts.get("models"), facts.get("rater", "")
    if not isinstance(methods, list) or not methods or not all(_is(NAME, name) for name in methods) or (
            len(set(methods)) != len(methods) or (mode == "methods" and len(methods) != 2)):
        _refuse(path, "does not name its methods")
    if not isinstance(models, dict) or set(models) != set(methods) or not all(
            _is(HEX, mark) for mark in models.values()):
        _refuse(path, "does not name the models of its methods")
    if not isinstance(rater, str) or len(rater) > 40 or not rater.isprintable():
        _refuse(path, "has a rater's name of more than 40 characters, or of such as cannot be printed")
    trials = tuple(_trials(path, facts.get("trials"), mode, methods))
    if not any(trial.kind == "test" for trial in trials):
        _refuse(path, "holds no answered pair")
    return Session(str(identity), rater.strip().casefold() or f"session {identity}", str(task), str(case), str(page),
                   str(mode), tuple(methods), dict(models), float(str(seconds)), trials, canonical_json(facts))


def _trials(path: Path, given: Any, mode: str, methods: list[str]) -> Iterable[Trial]:
    if not isinstance(given, list) or not 0 < len(given) <= MOST_TRIALS:
        _refuse(path, f"does not hold between 1 and {MOST_TRIALS} pairs")
    seen: set[str] = set()
    for place, facts in enumerate(given, 1):
        if not isinstance(facts, dict):
            _refuse(path, f"has a pair {place} that is no pair")
        if "answer" not in facts:  # the session was saved before its end
            continue
        kind, picture, answer, shown = (facts.get(key) for key in ("kind", "picture", "answer", "shown_ms"))
        pair = [facts.get("first"), facts.get("second")]
        if kind not in KINDS or not _is(HEX, picture) or answer not in ("first", "second"):
            _refuse(path, f"has a pair {place} without its kind, picture or answer")
        if not _sensible(kind, mode, pair, methods):
            _refuse(path, f"has a pair {place} of {str(pair[0])[:40]!r} and {str(pair[1])[:40]!r}, which that test "
                          f"does not show")
        if not isinstance(shown, list) or len(shown) != 2 or not all(_number(ms, 0, 1e8) for ms in shown):
            _refuse(path, f"does not say how long the pictures of pair {place} were shown")
        yield Trial(str(kind), str(picture), str(pair[0]), str(pair[1]), str(pair[answer == "second"]),
                    (float(shown[0]), float(shown[1])), picture in seen)
        seen.add(str(picture))


def _sensible(kind: Any, mode: str, pair: list[Any], methods: list[str]) -> bool:
    """Whether a test shows that pair: both methods, or the truth against a method (or, to catch, the control)."""
    if not all(isinstance(name, str) for name in pair):
        return False
    if kind == "test" and mode == "methods":
        return sorted(pair) == sorted(methods)
    others = {"test": methods, "catch": [CONTROL], "practice": [*methods, CONTROL]}[kind]
    return TRUTH in pair and any(sorted(pair) == sorted((TRUTH, other)) for other in others)


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _number(value: Any, low: float, high: float) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            and math.isfinite(value))
