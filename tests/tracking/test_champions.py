from pathlib import Path

import pandas as pd
import pytest

from restore_ml.errors import UserError
from restore_ml.files import read_json
from restore_ml.tracking import champions
from tests.tracking import small_project

TASK = "super_resolution"


def held(root: Path, place: str = "champion") -> str:
    return read_json(root / f"champions/{TASK}/{place}/model.json")["run"]


def serious(root: Path, gain: float) -> None:
    """Profile cpu, two pictures suffice, and vdsr's rows better than bicubic's by about `gain` dB."""
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("profile: quick", "profile: cpu") + "promotion: {min_pictures: 2}\n")
    path = root / f"scores/{TASK}.parquet"
    scores = pd.read_parquet(path)
    base = scores[scores["run"] == "bicubic"].set_index("picture")
    for index, row in scores[scores["run"] == "vdsr"].iterrows():
        scores.loc[index, "psnr_y"] = base.loc[row["picture"], "psnr_y"] + gain + 0.001 * index
    scores.to_parquet(path)


def test_quick_promotes_nothing(project: Path) -> None:
    assert "quick" in champions.promote(project)[0]
    assert not (project / "champions" / TASK / "champion").exists()


def test_without_scores_it_says_so(project: Path) -> None:
    (project / f"scores/{TASK}.parquet").unlink()
    assert "make repro" in champions.promote(project)[0]


def test_the_first_champion_and_the_one_that_beats_it(project: Path) -> None:
    serious(project, -1.0)
    assert "first champion" in champions.promote(project)[0]
    assert held(project) == "bicubic"
    decision = read_json(project / f"champions/{TASK}/champion/decision.json")
    assert decision["promoted"] and decision["data"] == "0123456789abcdef0123456789abcdef.dir"
    champions.promote(project)
    assert held(project) == "bicubic" and not (project / f"champions/{TASK}/previous").exists()

    serious_params = project / "params.yaml"
    serious_params.write_text(serious_params.read_text().replace("promotion: {min_pictures: 2}\n", ""))
    serious(project, 1.0)
    assert "replaces bicubic" in champions.promote(project)[0]
    assert (held(project), held(project, "previous")) == ("vdsr", "bicubic")
    assert (project / f"champions/{TASK}/champion/weights.safetensors").exists()

    assert champions.rollback(project, TASK) == f"bicubic is the champion of {TASK} again."
    assert (held(project), held(project, "previous")) == ("bicubic", "vdsr")


def test_a_champion_trained_anew_is_scored_with_its_stored_weights(project: Path) -> None:
    champions.install(project, TASK, "vdsr", {"sentence": "vdsr becomes the first champion."})
    stored = read_json(project / f"champions/{TASK}/champion/model.json")
    small_project.add_run(project, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    scores = pd.read_parquet(project / f"scores/{TASK}.parquet")
    name, rows = champions._scored_again(project, TASK, scores, stored) or ("", None)
    assert name == "champion vdsr" and rows is not None and len(rows) == 3
    first = scores[scores["run"] == "vdsr"].set_index("picture")["psnr_y"]
    assert rows.set_index("picture")["psnr_y"].to_dict() == pytest.approx(first.to_dict(), abs=1e-9)
    serious(project, 0.0)
    assert "trained anew" not in champions.promote(project)[0]


@pytest.mark.parametrize("state", ["next and no champion", "previous moved away", "half a next"])
def test_a_kill_in_the_middle_loses_no_champion(project: Path, state: str) -> None:
    home = champions.install(project, TASK, "bicubic", {"sentence": "a"}).parent
    champions.install(project, TASK, "vdsr", {"sentence": "b"})
    if state == "next and no champion":  # between the two renames
        (home / "champion").rename(home / ".next")
        expected = ("vdsr", "bicubic")
    elif state == "previous moved away":
        (home / "previous").rename(home / ".old")
        expected = ("vdsr", "bicubic")
    else:
        (home / ".next").mkdir()
        (home / ".next/model.json").write_text("{")
        expected = ("vdsr", "bicubic")
    champions.recover(home)
    assert (held(project), held(project, "previous")) == expected
    assert sorted(path.name for path in home.iterdir()) == ["champion", "previous"]


def test_without_a_previous_champion_there_is_no_way_back(project: Path) -> None:
    with pytest.raises(UserError, match="no previous champion"):
        champions.rollback(project, TASK)


def test_outside_dvc_nothing_is_added(project: Path) -> None:
    champions.install(project, TASK, "bicubic", {"sentence": "a"})
    assert champions.dvc_add(project) == []
