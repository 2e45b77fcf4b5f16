"""Replicates: runs of params.yaml that repeat another one under a seed of their own."""

from pathlib import Path

import pytest

from restore_ml.base.errors import UserError
from restore_ml.runs import replicates, settings

PARAMS = """\
profile: paper
seed: 1
seeds: {paper: 3, cpu: 1}
"""
RUNS = """\
task: super_resolution
empty: &empty {features: none, teacher: none, recogniser: none, parts: none}
# What is compared.
runs: &runs
  bi-cubic: {<<: *empty, method: bicubic}
  v.d-sr:
    <<: *empty
    method: vdsr
    settings: {layers: 5}
    paper: {width: 8}

# What restores.
tested: *runs
"""
"""With names that hold all that a name may hold."""
FILE = Path("graph/super_resolution/runs.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text(RUNS)
    return tmp_path


def names(root: Path) -> list[str]:
    return [run.name for run in settings.load(root / "params.yaml").runs_of("super_resolution")]


def test_they_have_the_settings_of_what_they_repeat_and_their_own_seed(root: Path) -> None:
    assert settings.load(root / "params.yaml").seeds == 3
    assert "1 runs with 3 seeds each, 2 entries" in replicates.write(root)
    assert names(root) == ["bi-cubic", "v.d-sr", "v.d-sr_s2", "v.d-sr_s3"]  # bicubic draws nothing
    runs = {run.name: run for run in settings.load(root / "params.yaml").runs_of("super_resolution")}
    base, other = runs["v.d-sr"], runs["v.d-sr_s3"]
    assert other.settings == base.settings and (other.method, other.of, other.seed) == ("vdsr", "v.d-sr", 3)
    assert "Nothing to change" in replicates.write(root)
    replicates.write(root, 2, ["v.d-sr"])
    assert names(root) == ["bi-cubic", "v.d-sr", "v.d-sr_s2"]
    replicates.write(root, 3, ["super_resolution/v.d-sr"])
    assert names(root) == ["bi-cubic", "v.d-sr", "v.d-sr_s2", "v.d-sr_s3"]
    replicates.write(root, 1)
    assert (root / FILE).read_text() == RUNS  # comments and all


def test_without_seeds_a_profile_asks_for_one(root: Path) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("profile: paper", "profile: gpu"))
    assert settings.load(root / "params.yaml").seeds == 1
    assert "Nothing to change" in replicates.write(root)


@pytest.mark.parametrize(("line", "word"), [
    ("{<<: *empty, of: v.d-rs, seed: 2}", "Did you mean 'v.d-sr'"),
    ("{<<: *empty, of: v.d-sr, seed: 1}", "another one"),
    ("{<<: *empty, of: v.d-sr}", "seed of the run 'again'"),
    ("{<<: *empty, of: v.d-sr, seed: 2, teacher: super_resolution/bi-cubic}", "write teacher: none"),
    ("{<<: *empty, of: v.d-sr, seed: 2, cpu: {steps: 1}}", "unknown key 'cpu'")])
def test_mistakes_are_told_in_a_sentence(root: Path, line: str, word: str) -> None:
    (root / FILE).write_text(RUNS.replace("\n# What restores", f"  again: {line}\n# What restores"))
    with pytest.raises(UserError, match=word):
        settings.load(root / "params.yaml")


def test_unknown_runs_are_told_in_a_sentence(root: Path) -> None:
    with pytest.raises(UserError, match=r"Did you mean 'v\.d-sr'"):
        replicates.write(root, 2, ["v.d-sar"])
    with pytest.raises(UserError, match="at least 1"):
        replicates.write(root, 0)


@pytest.mark.parametrize(("text", "word"), [("seeds: 3", "mapping from profiles"), ("seeds: {papr: 3}", "'paper'"),
                                            ("seeds: {paper: 0}", "at least 1")])
def test_wrong_seeds_are_refused(root: Path, text: str, word: str) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("seeds: {paper: 3, cpu: 1}", text))
    with pytest.raises(UserError, match=word):
        settings.load(root / "params.yaml")
