"""Champions on disk: moved on evidence, kept through kills, scored again when the test pictures change."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.work import rebuild
from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.data import shards
from restore_ml.evaluation.scoring import read_task
from restore_ml.promotion import champion_folders, champions, decisions
from restore_ml.promotion import champion_scores as standing
from restore_ml.report.promotion import page
from tests.graphs import write_task_scores
from tests.tracking import small_project

TASK = "super_resolution"


def held(root: Path, place: str = "champion") -> str:
    return read_json(root / f"champions/{TASK}/{place}/model.json")["run"]


def serious(root: Path, gain: float, **promotion: Any) -> None:
    """Profile cpu, three pictures suffice, and vdsr's rows better than bicubic's by about `gain` dB."""
    params = root / "params.yaml"
    rule = json.dumps({"min_pictures": 2, "min_photographs": 2, "canaries": False, **promotion})
    kept = params.read_text().replace("profile: quick", "profile: cpu").partition("promotion:")[0]
    params.write_text(f"{kept}promotion: {rule}\n")
    scores = read_task(root, TASK)
    assert scores is not None
    base = scores[scores["run"] == "bicubic"].set_index("picture")
    for index, row in scores[scores["run"] == "vdsr"].iterrows():
        scores.loc[index, ["psnr_y", "ssim_y"]] = [base.loc[row["picture"], "psnr_y"] + gain + 0.001 * index,
                                                   base.loc[row["picture"], "ssim_y"]]
    write_task_scores(root, TASK, scores)


def everything(root: Path) -> dict[str, bytes]:
    """All files that promoting may write, by name."""
    return {str(path.relative_to(root)): path.read_bytes() for folder in ("champions", "reports", "scores")
            for path in sorted((root / folder).rglob("*")) if path.is_file()}


def test_quick_promotes_and_writes_nothing(project: Path) -> None:
    before = everything(project)
    assert "quick" in champions.promote(project)[0]
    assert everything(project) == before


def test_without_scores_it_says_so(project: Path) -> None:
    shutil.rmtree(project / f"scores/{TASK}")
    assert "make repro" in champions.promote(project)[0]


def test_a_mistake_in_the_rule_is_told_before_anything_moves(project: Path) -> None:
    serious(project, 1.0, confidense=0.9)
    with pytest.raises(UserError, match="Did you mean 'confidence'"):
        champions.promote(project)
    assert not (project / "champions").exists()


def test_a_champion_for_research_alone_is_named_and_keeps_the_list(project: Path, monkeypatch: Any) -> None:
    """When it is promoted, and when it would be; where the old one stays nothing is said."""
    from restore_ml.data.sources.orl import LICENCE

    used = {"CC0": 3, LICENCE: 2}
    monkeypatch.setattr("restore_ml.data.licences.of_model", lambda root, folder: (
        used if folder == root / f"models/{TASK}/vdsr" else {}))
    serious(project, 1.0)
    sentence = f"For research only, as it learned from 2 pictures under {LICENCE}."
    assert champions.promote(project, dry_run=True)[0].endswith(sentence)
    assert champions.promote(project)[0].endswith(f"hold. {sentence}") and held(project) == "vdsr"
    decision = read_json(project / f"champions/{TASK}/champion/decision.json")
    assert decision["licences"] == used and "research" not in decision["sentence"]
    assert "research" not in champions.promote(project)[0]
    serious(project, -1.0)
    assert "research" not in champions.promote(project)[0]


def test_the_first_champion_the_one_that_beats_it_and_the_way_back(project: Path) -> None:
    serious(project, -1.0)
    assert "first champion" in champions.promote(project)[0]
    assert held(project) == "bicubic"
    decision = read_json(project / f"champions/{TASK}/champion/decision.json")
    assert decision["promoted"] and decision["data"] == "0123456789abcdef0123456789abcdef.dir"
    assert decision["latency"]["ms_per_megapixel"] > 0 and decision["profile"] == "cpu" and decision["evidence"]

    serious(project, 1.0)
    before = everything(project)
    assert "vdsr replaces bicubic" in champions.promote(project, dry_run=True)[0]
    assert everything(project) == before
    said = champions.promote(project)
    assert "vdsr replaces bicubic" in said[0]
    assert (held(project), held(project, "previous")) == ("vdsr", "bicubic")
    assert (project / f"champions/{TASK}/champion/weights.safetensors").exists()
    assert len(decisions.history(project, TASK)) == 2

    before = everything(project)
    task, _, decided = said[0].partition(": ")
    assert champions.promote(project) == [f"{task}: nothing new; decided before: {decided}"]  # and nothing written
    assert everything(project) == before

    assert champions.rollback(project, TASK) == f"bicubic is the champion of {TASK} again, in place of vdsr."
    assert (held(project), held(project, "previous")) == ("bicubic", "vdsr")
    assert "bicubic is the champion" in champions.promote(project)[0]  # it holds until there is new evidence
    assert held(project) == "bicubic"
    champions.rollback(project, TASK)
    assert (held(project), held(project, "previous")) == ("vdsr", "bicubic")
    assert [record["kind"] for record in decisions.history(project, TASK)] == [
        "promoted", "promoted", "rollback", "rollback"]
    assert "was put back" in (project / f"reports/promotion/{TASK}.html").read_text()

    serious(project, -1.0)  # new evidence
    assert "bicubic replaces vdsr" in champions.promote(project)[0] or held(project) == "vdsr"
    assert len(decisions.history(project, TASK)) == 5


def test_a_kept_decision_is_recorded_once(project: Path) -> None:
    serious(project, -1.0)
    champions.promote(project)
    serious(project, 1.0, minimum_gain=5)
    assert "vdsr gains less than 5" in champions.promote(project)[0]
    before = everything(project)
    for _ in range(2):
        assert "vdsr gains less than 5" in champions.promote(project)[0]
    assert everything(project) == before
    kept = decisions.history(project, TASK)[-1]
    assert kept["kind"] == "kept" and kept["run"] == "vdsr" and kept["model_sha256"] == champion_folders.digest(
        project / f"champions/{TASK}/champion")


def test_latency_is_measured_once(project: Path) -> None:
    serious(project, -1.0)
    champions.promote(project)
    first = decisions.history(project, TASK)[0]["latency"]
    shutil.rmtree(project / f"champions/{TASK}/champion")
    serious(project, -0.9)
    champions.promote(project)
    again = decisions.history(project, TASK)
    assert len(again) == 2 and again[1]["latency"] == first and again[1]["evidence"] != again[0]["evidence"]


def test_canaries_are_looked_at(project: Path) -> None:
    """An untrained VDSR restores nothing sanely, whatever its rows say."""
    serious(project, 1.0, canaries=True)
    assert "bicubic becomes the first champion" in champions.promote(project)[0] or held(project) == "vdsr"
    record = decisions.history(project, TASK)[0]
    assert {entry["name"] for entry in record["canaries"]["pictures"]} == {
        "flat", "gradient", "strokes", "chart", "lines", "odd size"}


def test_a_champion_trained_anew_is_scored_with_its_stored_weights(project: Path) -> None:
    champion_folders.install(project, TASK, "vdsr", {"sentence": "vdsr becomes the first champion."})
    scores = read_task(project, TASK)
    assert scores is not None
    small_project.add_run(project, "vdsr", "vdsr", {"layers": 3, "width": 4}, seed=2)
    rows = standing.rows(project, TASK, scores)
    assert rows is not None and set(rows["run"]) == {standing.name(project / f"champions/{TASK}/champion")}
    first = scores[scores["run"] == "vdsr"].set_index("picture")["psnr_y"]
    assert rows.set_index("picture")["psnr_y"].to_dict() == pytest.approx(first.to_dict(), abs=1e-9)
    serious(project, 0.0)
    assert "was trained anew since" not in champions.promote(project)[0]


def test_what_promote_takes_over_is_what_the_stage_would_find(project: Path) -> None:
    serious(project, -1.0)
    small_project.rescore(project)
    champions.promote(project)
    kept = pd.read_parquet(standing.path(project, TASK))
    pd.testing.assert_frame_equal(kept, standing.score_champion(project, TASK).reset_index(drop=True))


def test_a_champion_short_of_memory_is_restored_again_by_the_next_rebuild(project: Path,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    champion_folders.install(project, TASK, "vdsr", {"sentence": "vdsr becomes the first champion."})
    mark = project / f".state/transient/champion/{TASK}"
    cls = registry.method_class(TASK, "vdsr")
    real, calls = cls.restore, [0]

    def restore(self: Any, *given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:  # the second picture: the first one is restored twice
            raise MemoryError("no memory")
        return real(self, *given)

    monkeypatch.setattr(cls, "restore", restore)
    rows = standing.score_champion(project, TASK)
    assert mark.exists() and sorted(rows["status"]) == ["failed", "ok", "ok"]
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(rebuild, "dvc", lambda root, environment, *arguments: commands.append(arguments))
    assert rebuild.force_transient(project, "", [], {}) == [f"graph/{TASK}/dvc.yaml:champion@{TASK}"]
    assert commands[0][:2] == ("repro", "--force")
    rows = standing.score_champion(project, TASK)
    assert not mark.exists() and set(rows["status"]) == {"ok"}
    assert rebuild.force_transient(project, "", [], {}) == []


def grow(root: Path) -> None:
    """One more test picture, restored and scored by the present runs."""
    small = root.parent / "grown"
    small_project.build(small, pictures=4)
    for name in ("samples", "restored", "scores", "comparison"):
        shutil.rmtree(root / name)
        shutil.copytree(small / name, root / name)


def test_more_test_pictures_have_the_champion_restored_before_any_decision(project: Path) -> None:
    serious(project, -1.0)
    champions.promote(project)
    small_project.add_run(project, "bicubic", "vdsr", {"layers": 3, "width": 4}, seed=9)  # its run is another now
    grow(project)
    serious(project, 1.0)
    assert standing.path(project, TASK).exists() is False or len(pd.read_parquet(standing.path(project, TASK))) == 3
    champions.promote(project)
    record = decisions.history(project, TASK)[-1]
    assert record["compared_with"].startswith("champion bicubic (") and len(record["pictures"]) == 4
    text = (project / f"reports/promotion/{TASK}.html").read_text()
    assert record["compared_with"] in text and "picture 3.png" in text
    case = shards.Shard(project / f"samples/{TASK}/targets/photos/x2.arrow")
    assert {entry["picture"] for entry in record["pictures"]} == {entry.id for entry in case}


def test_a_champion_whose_method_is_gone_stays_and_says_why(project: Path) -> None:
    champion_folders.install(project, TASK, "vdsr", {"sentence": "a"})
    path = project / f"champions/{TASK}/champion/model.json"
    path.write_text(path.read_text().replace('"method": "vdsr"', '"method": "vdsrr"'))
    rows = standing.score_champion(project, TASK)
    assert (rows["status"] == "failed").all() and "no method 'vdsrr'" in rows["reason"].iloc[0]
    serious(project, 1.0)
    assert "was not scored on all pictures" in champions.promote(project)[0]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("move", ["first", "second", "third", "back"])
@pytest.mark.parametrize("step", range(5))
def test_a_kill_at_any_step_loses_no_champion(project: Path, monkeypatch: pytest.MonkeyPatch, move: str,
                                              step: int) -> None:
    """Every rename and every file that is written is a step; the process dies before the `step`th."""
    home = project / f"champions/{TASK}"
    runs = {"first": [], "second": ["bicubic"], "third": ["bicubic", "vdsr"], "back": ["bicubic", "vdsr"]}[move]
    for run in runs:
        champion_folders.install(project, TASK, run, {"sentence": run})
    before = {place: held(project, place) for place in ("champion", "previous") if (home / place).exists()}
    left = [step]

    def dying(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return function(*arguments, **options)
        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(champion_folders, "write_json", dying(champion_folders.write_json))
        patch.setattr(champion_folders, "sync_folder", dying(champion_folders.sync_folder))
        try:
            if move == "back":
                champion_folders.swap(home)
            else:
                champion_folders.install(project, TASK, "bicubic" if move == "third" else "vdsr", {"sentence": "new"})
        except Killed:
            pass
    whole = [place for place in ("champion", "previous") if (home / place / "decision.json").exists()]
    assert whole or not runs
    champion_folders.recover(home)
    after = {place: held(project, place) for place in ("champion", "previous") if (home / place).exists()}
    moved = {"first": {"champion": "vdsr"}, "second": {"champion": "vdsr", "previous": "bicubic"},
             "third": {"champion": "bicubic", "previous": "vdsr"},
             "back": {"champion": "bicubic", "previous": "vdsr"}}[move]
    assert after in (before, moved)
    assert not home.exists() or {path.name for path in home.iterdir()} == set(after)


def test_a_kill_before_the_history_is_written_is_healed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serious(project, -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(decisions, "append", lambda *arguments: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            champions.promote(project)
    assert held(project) == "bicubic" and decisions.history(project, TASK) == []
    champions.promote(project)
    assert [record["kind"] for record in decisions.history(project, TASK)] == ["promoted"]


def _hold(root: str, ready: Any, done: Any) -> None:
    with champions.writing(Path(root)):
        ready.set()
        done.wait(60)


def test_a_second_promote_waits_and_then_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(project), ready, done))
    other.start()
    assert ready.wait(60)
    monkeypatch.setattr(champions, "WAIT", 0.2)
    with pytest.raises(UserError, match="Another process is moving the champions"):
        champions.promote(project)
    done.set()
    other.join(60)
    assert "quick" in champions.promote(project)[0]


def test_without_a_previous_champion_there_is_no_way_back(project: Path) -> None:
    with pytest.raises(UserError, match="no previous champion"):
        champions.rollback(project, TASK)


def test_outside_dvc_nothing_is_added(project: Path) -> None:
    champion_folders.install(project, TASK, "bicubic", {"sentence": "a"})
    assert champions.dvc_add(project) == []


def test_decisions_reach_mlflow_once_and_outlive_the_store(project: Path) -> None:
    from restore_ml.tracking import store

    serious(project, -1.0)
    champions.promote(project)
    client = store.client(project)
    experiment = client.create_experiment("decisions", artifact_location=(project / "artifacts").as_uri())

    def known() -> set[str]:
        return {run.data.tags["fingerprint"] for run in client.search_runs([experiment])}

    written, kept = decisions.log(client, experiment, project, TASK, known())
    assert len(written) == 1 and not kept
    assert decisions.log(client, experiment, project, TASK, known()) == ([], written)
    run = client.search_runs([experiment])[0]
    assert run.info.run_name == f"promotion {decisions.short(decisions.history(project, TASK)[0])}"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"decision.json", "promotion.html"}
    assert run.data.tags["entry"].startswith("promotion/") and run.data.metrics["wins"] >= 0
    client.delete_run(run.info.run_id)  # lost
    assert decisions.log(client, experiment, project, TASK, known())[0] == written


def test_the_page_says_everything_and_nothing_unescaped() -> None:
    record = {"kind": "kept", "sentence": "a <b> stays.", "run": "new", "champion": "a <b>", "evidence": "e",
              "model_sha256": "m", "metric": "psnr_y", "case": "photos/x2", "compared_with": "a <b>",
              "gain": {"mean": 0.1, "low": -0.2, "high": 0.4, "confidence": 0.95, "photographs": 6}, "noise": 0.1,
              "pictures": [{"picture": "p", "name": "n", "challenger": 1.0, "champion": 2.0, "difference": -1.0}]}
    text = page("super_resolution", [record])
    assert "a &lt;b&gt; stays the champion" in text and "<b> stays" not in text and "+0.1 [-0.2, +0.4]" in text
    assert text == page("super_resolution", [dict(record)])


@pytest.mark.slow
@pytest.mark.pipeline
def test_dvc_stays_clean_and_scores_the_champion_again(project: Path) -> None:
    """Real DVC with the stage `champion` alone: promoting and rolling back leave the status clean, and new test
    pictures make DVC run the stage on the stored weights."""
    def dvc(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = (f"{sys.executable} -c \"from pathlib import Path; "
               f"from restore_ml.promotion import champion_scores as s; "
               f"from restore_ml.evaluation.scoring import write_scores as w; r = Path('.'); "
               f"w(s.path(r, '{TASK}'), s.score_champion(r, '{TASK}'))\"")
    (project / f"graph/{TASK}/dvc.yaml").write_text(json.dumps({"stages": {
        "score": {"foreach": ["bicubic", "vdsr", "broken"], "do": {
            "wdir": "../..", "cmd": "true", "deps": [f"samples/{TASK}/inputs"]}},
        "champion": {"foreach": [TASK], "do": {
            "wdir": "../..", "cmd": command,
            "deps": ["champions/${item}", "samples/${item}/inputs", "samples/${item}/targets"],
            "outs": ["scores/champion/${item}.parquet"]}}}}))
    register = {"cmd": "true", "deps": ["scores/champion"]}
    (project / "dvc.yaml").write_text(json.dumps({"stages": {"register": register}}))
    (project / ".dvcignore").write_text("/champions/*/history/\n")
    dvc("init", "--no-scm", "-q")
    (project / f"champions/{TASK}").mkdir(parents=True)
    (project / f"champions/{TASK}/.gitignore").write_text("/champion\n/previous\n")
    (project / f"graph/{TASK}/dvc.lock").unlink()
    dvc("repro", "-q", "--all-pipelines")
    assert len(pd.read_parquet(standing.path(project, TASK))) == 0

    for gain in (-1.0, 1.0):
        serious(project, gain)
        champions.promote(project)
        champions.dvc_add(project)
        assert json.loads(dvc("status", "--json")) == {}
    champions.rollback(project, TASK)
    champions.dvc_add(project)
    assert json.loads(dvc("status", "--json")) == {} and held(project) == "bicubic"
    assert standing.is_current(project, TASK)
    champion = standing.name(project / f"champions/{TASK}/champion")

    kept = standing.path(project, TASK).read_bytes()
    grow(project)
    (project / "scores/champion").mkdir(exist_ok=True)
    standing.path(project, TASK).write_bytes(kept)
    changed = {stage.partition(":")[2] for stage in json.loads(dvc("status", "--json"))}
    assert changed == {"score@bicubic", "score@vdsr", "score@broken", f"champion@{TASK}"}
    dvc("repro", "-q", "--all-pipelines")
    rows = pd.read_parquet(standing.path(project, TASK))
    assert set(rows["run"]) == {champion} and len(rows) == 4 and (rows["status"] == "ok").all()
    assert json.loads(dvc("status", "--json")) == {}
