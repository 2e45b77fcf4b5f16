"""The graph itself: what depends on what, one file a task and its copies, and DVC's commands over two commits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks import graph as toy
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data import domains
from restore_ml.registry import tables, task_names
from restore_ml.runs import graph, settings
from restore_ml.runs.run_entry import SLOTS
from restore_ml.tasks.protocol import protocol
from tests.graphs import write_runs

ROOT = Path(__file__).parents[2]


def read(path: Path) -> dict:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stages():
    return read(ROOT / "graph" / "task.yaml")["stages"]


def test_every_task_has_a_copy_of_the_one_file_byte_for_byte():
    one = (ROOT / "graph/task.yaml").read_bytes()
    tasks = settings.graph_tasks(ROOT)
    assert set(tasks) == set(task_names())
    for task in tasks:
        path = ROOT / layout.stages_file(task)
        assert path.read_bytes() == one and not path.is_symlink()
    graph.check(ROOT)


def test_restoring_never_sees_the_truth_and_training_never_the_tests(stages):
    def samples(stage):
        return [dep for dep in stages[stage]["do"]["deps"] if dep.startswith("samples")]

    assert samples("restore") == ["samples/${task}/inputs"]
    assert samples("train") == ["samples/${task}/train"]
    assert "validation/${task}.json" in stages["train"]["do"]["deps"]


def test_a_task_is_made_from_its_own_kinds_of_data_alone(stages):
    own = ["prepared/${domain}", "prepared/${other_domain}"]
    assert [dep for dep in stages["degrade"]["deps"] if dep.startswith("prepared")] == own
    assert [dep for dep in stages["validate"]["deps"] if dep.startswith("prepared")] == [
        *own, "prepared/quarantine.parquet"]
    outs = [next(iter(out)) for out in read(ROOT / "dvc.yaml")["stages"]["prepare"]["outs"]]
    assert outs == [*(f"prepared/{name}" for name in domains.names()), "prepared/quarantine.parquet"]


def test_settings_reach_dvc_through_the_code_folder_alone_and_tables_see_no_model(stages):
    for stage in stages.values():
        body = stage.get("do", stage)
        assert "params" not in body and any(dep.startswith("code/") for dep in body["deps"])
    assert stages["compare"]["do"]["deps"] == ["code/compare/${item}.json", "scores/${item}"]


def test_every_stage_has_its_module_and_every_module_its_stage(stages):
    names = {stage.get("do", stage)["cmd"].split()[3]
             for stage in (*stages.values(), *read(ROOT / "dvc.yaml")["stages"].values())}
    modules = {path.stem for path in (ROOT / "pipelines").glob("*.py") if not path.stem.startswith("__")}
    assert names == modules  # `ls pipelines` says what a rebuild does


def test_the_slots_of_a_run_are_dependencies_of_training_and_restoring(stages):
    for name in ("train", "restore"):
        assert {f"models/${{item.{slot}}}" for slot in SLOTS} <= set(stages[name]["do"]["deps"])


def test_plots_show_each_table_s_own_metric():
    plots = [next(iter(entry.items())) for entry in read(ROOT / "dvc.yaml")["plots"]]
    for task in tables():
        metric = protocol(task).primary
        assert any(value["x"] == metric and f"comparison/{task}/plots/primary.csv" in value["y"]
                   for _, value in plots)


def test_what_dvc_would_say_in_its_own_words_is_a_sentence(tmp_path):
    for name in ("dvc.yaml", "graph/task.yaml", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    path = write_runs(tmp_path, "inpainting", {"telea": {}})
    with pytest.raises(UserError, match=r"graph/inpainting/dvc.yaml is not what .* `restore-ml graph`"):
        graph.check(tmp_path)
    assert {file.name for file in graph.write(tmp_path)} == {"dvc.yaml"} and graph.write(tmp_path) == []
    graph.check(tmp_path)
    assert re.findall(r"graph/\w+/runs.yaml", (tmp_path / "dvc.yaml").read_text()) == ["graph/inpainting/runs.yaml"]
    good = path.read_text()
    path.write_text(good.replace("domain: photos", "domain: scenes", 1))
    with pytest.raises(UserError, match=r"says `domain: scenes` and `other_domain: photos`; inpainting draws from "
                                        r"`domain: photos` and `other_domain: photos`"):
        graph.check(tmp_path)
    path.write_text(good.replace("teacher: none", "seed: 1", 1))
    with pytest.raises(UserError, match=r"lacks teacher; write `<<: .empty`"):
        graph.check(tmp_path)


@pytest.mark.slow
def test_dvc_s_commands_work_over_two_commits(tmp_path):
    """With symbolic links in the graph these fail for ever once one commit has them."""
    root = tmp_path / "toy"
    toy.build(root, 2, 2)
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull}

    def run(*command):
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def commit():
        run("git", "add", "-A")
        run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "results")

    def dvc(*arguments):
        return run(sys.executable, "-m", "dvc", *arguments)

    run("git", "init", "-q")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    said = dvc("repro")
    assert said.count("Running stage") == 2 + 2 * 4 + 3 * 2  # at the top, everything
    commit()
    script = (root / "toy.sh").read_text()
    (root / "toy.sh").write_text(script.replace('{"x": 1}', '{"x": 2}'))
    (root / "code/compare/task_01.json").write_text("other code\n")
    assert dvc("repro", "graph/task_00/dvc.yaml").count("Running stage") == 0
    said = dvc("repro", "graph/task_01/dvc.yaml")
    assert re.findall(r"Running stage '([^']+)'", said) == ["graph/task_01/dvc.yaml:compare@task_01"]
    dvc("repro")
    commit()
    changed = dvc("metrics", "diff", "HEAD^", "--md")
    assert "comparison/task_01/metrics.json" in changed and "task_00" not in changed
    dvc("plots", "diff", "HEAD^")
    assert "metrics.json" in dvc("exp", "show", "-n", "2", "--csv") or "x" in dvc("exp", "show", "-n", "2", "--csv")
    dvc("gc", "--all-commits", "--force")
    assert not dvc("status").replace("Data and pipelines are up to date.", "").strip()
    run("git", "checkout", "-q", "HEAD^")
    dvc("checkout")
    assert '"x": 1' in (root / "comparison/task_01/metrics.json").read_text()


def test_the_makefile_knows_its_targets():
    done = subprocess.run(["make", "-n", "-C", str(ROOT), "repro", "PROFILE=quick", "TASK=inpainting"],
                          capture_output=True, text=True, check=True)
    assert '-m flows.rebuild --profile "quick" --task "inpainting" --methods ""' in done.stdout


def test_what_hides_this_folder_from_python_is_taken_out_of_the_environment():
    done = subprocess.run(["make", "-s", "-C", str(ROOT), "--eval", 'shown: ; @echo "<$$PYTHONSAFEPATH>"', "shown"],
                          capture_output=True, text=True, check=True, env=os.environ | {"PYTHONSAFEPATH": "1"})
    assert done.stdout == "<>\n"


def test_rebuild_refuses_unknown_names_in_a_sentence(tmp_path):
    done = subprocess.run([sys.executable, "-m", "flows.rebuild", "--task", "inpaintin"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2 and "Did you mean 'inpainting'?" in done.stderr and "Traceback" not in done.stderr
