"""benchmarks/mutations.py on a project of one file: what it changes, what it calls caught, and what it leaves alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "benchmarks" / "mutations.py"
sys.path.insert(0, str(TOOL.parent))
from mutants import Mutant, listed, made  # noqa: E402 - a script beside a script

SOURCE = '''"""A toy."""


def loss(real, fake, mask, weight: float = 2.0):
    """Not this 3.0."""
    if weight < 0:
        raise ValueError(f"negative: {weight - 1}")
    gap = (real - fake.detach()) * (1 - mask)
    return weight * gap.mean() + min(gap.sum(), 5.0)


def never(steps):
    while steps > 0:
        steps = steps - 1
    return steps
'''
TEST = '''from shop.toy import loss, never


class Vector(list):
    def __sub__(self, other): return Vector(a - b for a, b in zip(self, other))
    def __rsub__(self, one): return Vector(one - a for a in self)
    def __mul__(self, other): return Vector(a * b for a, b in zip(self, other))
    def mean(self): return sum(self) / len(self)
    def sum(self): return sum(self)
    def detach(self): return self


def test_loss():
    assert loss(Vector([3.0, 4.0]), Vector([1.0, 9.0]), Vector([0, 1])) == 2.0 * 1.0 + 2.0


def test_never():
    assert never(3) == 0
'''
MUTANTS = [("real - fake.detach()", "fake.detach() - real", "sign"), ("gap.mean()", "gap.sum()", "normalisation"),
           ("fake.detach()", "fake", "detach"), ("steps - 1", "steps - 0", "endless")]


@pytest.fixture
def project(tmp_path) -> Path:
    for name, text in {"src/shop/__init__.py": "", "src/shop/toy.py": SOURCE, "tests/test_toy.py": TEST}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write(tmp_path, MUTANTS)
    return tmp_path


def write(project: Path, mutants) -> None:
    entries = [{"file": "src/shop/toy.py", "old": old, "new": new, "kind": kind} for old, new, kind in mutants]
    path = project / "tests/mutants/toy.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"tests": ["tests/test_toy.py"], "mutants": entries}))


def run(project: Path, *arguments: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, str(TOOL), "--root", str(project), *arguments, "--preload"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=project)
    return done.returncode, done.stdout, done.stderr


def test_listed_mutants_are_caught_missed_or_timed_out_and_the_tree_stays(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    status, said, told = run(project, "toy", "--workers", "2", "--limit", "8", "--least", "90")
    assert status == 1, said + told
    lines = {line.split("  ")[2].partition(":")[0]: line for line in said.splitlines() if "src/shop/toy.py:" in line}
    assert {kind: line.split()[0] for kind, line in lines.items()} == {
        "sign": "caught", "normalisation": "caught", "detach": "MISSED", "endless": "caught"}
    assert lines["sign"].startswith("caught  src/shop/toy.py:8  sign: `real - fake.detach()` -> `fake.detach() - real`")
    assert lines["sign"].endswith("[tests/test_toy.py::test_loss]") and lines["endless"].endswith("[time]")
    assert said.splitlines()[-1] == "| toy | 4 | 3 | 1 | 75 % |"
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_failing_tests_and_a_stale_list_are_said_before_anything_is_tried(project):
    write(project, [("no such text", "x", "stale")])
    status, said, told = run(project, "toy")
    assert (status, said) == (2, "") and "'no such text' is 0 times in src/shop/toy.py" in told
    write(project, [("fake", "x", "ambiguous")])
    assert "is 2 times" in run(project, "toy")[2]
    assert "neither a list in tests/mutants, nor a method, nor a file" in run(project, "other")[2]
    write(project, MUTANTS)
    (project / "tests/test_toy.py").write_text("def test_red(): assert False\n")
    status, said, told = run(project, "toy")
    assert (status, said) == (2, "") and told == "toy: the unchanged tests failed: tests/test_toy.py::test_red\n"


def test_help_has_an_example():
    done = subprocess.run([sys.executable, str(TOOL), "--help"], capture_output=True, text=True, check=True)
    assert "python benchmarks/mutations.py loop" in done.stdout and "--workers" in done.stdout


def changes(text: str, count: int = 99) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for mutant in made("a.py", text, count, 1):
        found.setdefault(mutant.kind, set()).add((mutant.old, mutant.new))
    return found


def test_what_is_made_from_the_syntax_tree():
    found = changes(SOURCE)
    assert ("-", "+") in found["swap + and -"] and ("+", "-") in found["swap + and -"]
    assert found["drop a detach"] == {("fake.detach()", "fake")}
    assert found["drop a normalisation"] == {("gap.mean()", "gap.sum()")}
    assert found["negate a mask"] == {("1 - mask", "(mask)"), ("mask", "(1 - mask)")}
    assert ("real", "fake") in found["exchange a name"] and ("fake", "real") in found["exchange a name"]
    assert found["change a constant tenfold"] == {("2.0", "20.0"), ("5.0", "50.0")}
    assert ("weight * gap.mean() + min(gap.sum(), 5.0)", "(weight * gap.mean())") in found["drop a term"]
    assert ("weight * gap.mean()", "gap.mean()") in found["drop a factor"]
    assert found["turn a comparison"] == {("<", ">"), (">", "<")}
    assert changes("def f(a, b):\n    return g(a, b)\n")["swap two arguments"] == {("a, b", "b, a")}
    assert changes('def f(j, t):\n    return g("bce", j(t), -t)\n')["swap two arguments"] == {("j(t), -t", "-t, j(t)")}
    assert changes("x = a if on else b\n") == {"turn a condition": {("on", "not (on)")}}
    assert changes("x = f(flag=True)\n")["turn a flag"] == {("True", "False")}
    assert changes("x = context.inputs\n") == {"exchange a name": {("context.inputs", "context.target")}}


def test_what_is_only_said_is_left_alone():
    text = '"""1.0 - mask"""\nx: float\nraise ValueError(1.0 - mask)\nassert 1.0 - mask\ny = f"{1.0 - mask}"\n'
    assert changes(text) == {}


def test_made_mutants_are_valid_different_repeated_and_of_many_kinds():
    mutants = made("a.py", SOURCE, 12, 1)
    texts = [mutant.apply(SOURCE) for mutant in mutants]
    assert len(set(texts)) == 12 and SOURCE not in texts and all(ast.parse(text) for text in texts)
    assert mutants == made("a.py", SOURCE, 12, 1) != made("a.py", SOURCE, 12, 2)
    assert len({mutant.kind for mutant in mutants}) >= 8


def test_places_are_right_behind_letters_of_several_bytes():
    text = 'name = "é€𝄞"; x = "ß" if a + b else 1.5  # ü\n'
    assert {mutant.apply(text) for mutant in made("a.py", text, 99, 1) if mutant.kind == "swap + and -"} == {
        text.replace("+", "-")}
    mutant = listed("a.py", text, {"old": "1.5", "new": "2.5", "kind": "constant"})
    assert mutant == Mutant("a.py", text.index("1.5"), "1.5", "2.5", "constant")
    assert mutant.described(text) == "a.py:1  constant: `1.5` -> `2.5`"


@pytest.mark.parametrize("path", sorted((TOOL.parents[1] / "tests/mutants").glob("*.json")), ids=lambda path: path.stem)
def test_every_listed_mutant_still_fits_its_file(path: Path) -> None:
    listing = json.loads(path.read_text(encoding="utf-8"))
    for mutant in listing["mutants"]:
        text = (TOOL.parents[1] / mutant["file"]).read_text(encoding="utf-8")
        assert text.count(mutant["old"]) == 1 and mutant["old"] != mutant["new"], mutant
    files = [name.split("::")[0] for name in listing["tests"] if name.startswith("tests/")]
    assert files and all((TOOL.parents[1] / name).exists() for name in files)
