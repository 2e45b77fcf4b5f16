from pathlib import Path

from flows.work.rebuild import prune_checkpoints
from restore_ml.base.files import write_json, write_text
from restore_ml.tracking import store
from restore_ml.tracking.entry import curves
from restore_ml.tracking.follow import Follower, follow
from tests.graphs import edit_runs

HEADER = "phase,step,term,value\n"


def live(root: Path) -> dict[str, dict[str, float]]:
    client = store.client(root)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return {run.info.run_name: {**run.data.metrics, "id": run.info.run_id}
            for run in client.search_runs(experiments, "tags.live = 'true'")}


def test_steps_go_on_over_phases() -> None:
    text = HEADER + "one,0,net.l1,1\none,5,net.l1,0.5\ntwo,0,net.l1,0.4\ntwo,0,net.gan,2\ntwo,5,net.l1,0.2\n"
    assert curves(text) == [("one/net.l1", 0, 1.0), ("one/net.l1", 5, 0.5), ("two/net.l1", 6, 0.4),
                            ("two/net.gan", 6, 2.0), ("two/net.l1", 11, 0.2)]


def test_a_line_that_is_still_being_written_waits() -> None:
    assert curves(HEADER + "one,0,net.l1,1\none,1,net.l1,0.") == [("one/net.l1", 0, 1.0)]
    assert curves("") == [] and curves(HEADER + "one,x,net.l1,1\nnoise\n") == []


def test_a_growing_history_is_shipped_and_the_live_run_ends_with_the_training(project: Path) -> None:
    folder = project / ".state/checkpoints/abc"
    write_text(folder / "history.csv", HEADER + "train,0,net.l1,1\n")
    write_json(folder / "run.json", {"run": "vdsr", "task": "super_resolution"})
    follower = Follower(project)
    assert follower.ship() == ["abc"] and follower.ship() == []
    assert live(project)["vdsr (training)"]["train/net.l1"] == 1.0

    write_text(folder / "history.csv", HEADER + "train,0,net.l1,1\ntrain,1,net.l1,0.5\n")
    assert Follower(project).ship() == ["abc"], "another follower goes on where the first ended"
    run = live(project)["vdsr (training)"]
    assert run["train/net.l1"] == 0.5
    history = store.client(project).get_metric_history(run["id"], "train/net.l1")
    assert sorted(point.step for point in history) == [0, 1], "nothing is shipped twice"

    facts = project / "models/super_resolution/vdsr/model.json"
    facts.write_text(facts.read_text().replace('"fingerprint": "vdsr1"', '"fingerprint": "abc"'))
    Follower(project).ship()
    assert live(project) == {}


def test_a_resumed_training_is_followed_after_its_cut(project: Path) -> None:
    path = project / ".state/checkpoints/abc/history.csv"
    lines = [f"train,{step},net.l1,{1 / (step + 1):.4g}\n" for step in range(6)]
    write_text(path, HEADER + "".join(lines[:4]))
    follower = Follower(project)
    follower.ship()
    write_text(path, HEADER + "".join(lines[:2]))
    follower.ship()
    write_text(path, HEADER + "".join(lines))
    follower.ship()
    run = live(project)["abc (training)"]
    history = store.client(project).get_metric_history(run["id"], "train/net.l1")
    assert {point.step for point in history} == {0, 1, 2, 3, 4, 5}


def test_a_sync_ends_live_runs_that_nobody_follows(project: Path) -> None:
    from restore_ml.tracking.sync import sync

    edit_runs(project, "super_resolution", bicubic=None, vdsr=None)
    for name in ("abc", "def"):
        write_text(project / f".state/checkpoints/{name}/history.csv", HEADER + "train,0,net.l1,1\n")
        write_json(project / f".state/checkpoints/{name}/run.json", {"run": name, "task": "super_resolution"})
    Follower(project).ship()
    assert set(live(project)) == {"abc (training)", "def (training)"}
    (project / ".state/checkpoints/abc/history.csv").unlink()
    sync(project)
    assert set(live(project)) == {"def (training)"}


def test_following_stops_when_asked(project: Path) -> None:
    asked = []
    follow(project, 0.01, lambda: bool(asked.append(1)) or len(asked) == 2)
    assert len(asked) == 2


def test_an_ended_training_without_a_model_is_no_live_run(project: Path) -> None:
    """What an experiment leaves: its training has ended, and the workspace holds other models."""
    for name in ("abc", "def"):
        write_text(project / f".state/checkpoints/{name}/history.csv", HEADER + "train,0,net.l1,1\n")
    Follower(project).ship()
    write_text(project / ".state/checkpoints/abc/done", "")
    Follower(project).ship()
    assert set(live(project)) == {"def (training)"}
    assert prune_checkpoints(project) == ["abc"]
    assert [path.name for path in (project / ".state/checkpoints").iterdir()] == ["def"]
