"""Replicates: runs of params.yaml that repeat another one under a seed of their own."""

from pathlib import Path

import pytest

from restore_ml import replicates, settings
from restore_ml.errors import UserError

PARAMS = """\
profile: paper
seed: 1
seeds: {paper: 3, cpu: 1}
# What is compared.
runs:
  bicubic: {task: super_resolution, needs: none}
  vdsr:
    task: super_resolution
    needs: none
    settings: {layers: 5}
    paper: {width: 8}

# How a challenger becomes champion.
promotion: {}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_they_have_the_settings_of_what_they_repeat_and_their_own_seed(root: Path) -> None:
    assert settings.load(root / "params.yaml").seeds == 3
    assert "1 runs with 3 seeds each, 2 entries" in replicates.write(root)
    params = settings.load(root / "params.yaml")
    assert list(params.runs) == ["bicubic", "vdsr", "vdsr_s2", "vdsr_s3"]  # bicubic draws nothing
    base, other = params.runs["vdsr"], params.runs["vdsr_s3"]
    assert other.settings == base.settings and (other.method, other.of, other.seed) == ("vdsr", "vdsr", 3)
    assert "Nothing to change" in replicates.write(root)
    replicates.write(root, 2, ["vdsr"])
    assert list(settings.load(root / "params.yaml").runs) == ["bicubic", "vdsr", "vdsr_s2"]
    replicates.write(root, 1)
    assert (root / "params.yaml").read_text() == PARAMS  # comments and all


def test_without_seeds_a_profile_asks_for_one(root: Path) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("profile: paper", "profile: gpu"))
    assert settings.load(root / "params.yaml").seeds == 1
    assert "Nothing to change" in replicates.write(root)


@pytest.mark.parametrize(("line", "word"), [
    ("{of: vdrs, task: super_resolution, needs: none, seed: 2}", "Did you mean 'vdsr'"),
    ("{of: vdsr, task: super_resolution, needs: none, seed: 1}", "another one"),
    ("{of: vdsr, task: super_resolution, needs: none}", "seed of the run 'again'"),
    ("{of: vdsr, task: inpainting, needs: none, seed: 2}", "write task: super_resolution"),
    ("{of: vdsr, task: super_resolution, needs: features, seed: 2}", "write needs: none"),
    ("{of: vdsr, task: super_resolution, needs: none, seed: 2, cpu: {steps: 1}}", "unknown key 'cpu'")])
def test_mistakes_are_told_in_a_sentence(root: Path, line: str, word: str) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("\n# How", f"  again: {line}\n# How"))
    with pytest.raises(UserError, match=word):
        settings.load(root / "params.yaml")


@pytest.mark.parametrize(("text", "word"), [("seeds: 3", "mapping from profiles"), ("seeds: {papr: 3}", "'paper'"),
                                            ("seeds: {paper: 0}", "at least 1")])
def test_wrong_seeds_are_refused(root: Path, text: str, word: str) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("seeds: {paper: 3, cpu: 1}", text))
    with pytest.raises(UserError, match=word):
        settings.load(root / "params.yaml")


def test_unknown_runs_and_numbers_are_refused(root: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'vdsr'"):
        replicates.write(root, 2, ["vdrs"])
    with pytest.raises(UserError, match="at least 1"):
        replicates.write(root, 0)
