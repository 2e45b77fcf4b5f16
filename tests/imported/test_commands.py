"""`restore-ml weights import` as a person types it: what it shows, what it writes, and every way to mistype it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from restore_ml import cli, registry
from restore_ml.imported.entry import Wish
from restore_ml.runs import settings
from tests.graphs import edit_runs, write_runs
from tests.imported.conftest import TASK

SMALL = ("--set", "layers=3", "--set", "width=4")


@pytest.fixture
def file(root, state) -> Path:
    torch.save({"params": state}, root / "net.pth")
    return root / "net.pth"


def run(capsys, *words) -> tuple[int, str, str]:
    status = cli.main(["weights", "import", *map(str, words)])
    told = capsys.readouterr()
    return status, told.out, told.err


def runs_file(root) -> str:
    return (root / "graph" / TASK / "runs.yaml").read_text()


def test_a_dry_run_shows_the_mapping_and_writes_nothing(root, file, capsys):
    before = runs_file(root)
    status, out, _ = run(capsys, "theirs", file, "--method", "vdsr", *SMALL, "--dry-run")
    assert status == 0
    assert out.startswith("net.pth (torch file, 6 arrays): 6 weights of 'net' found by name below 'params'.")
    assert "body.2.weight  4 x 4 x 3 x 3  params.body.2.weight  4 x 4 x 3 x 3  as it is" in out
    assert out.endswith("These would be the weights of super_resolution/theirs, method vdsr; nothing was written.\n")
    assert runs_file(root) == before and not (root / "brought/weights").exists()


def test_it_writes_the_entry_and_copies_the_file(root, file, capsys):
    before = runs_file(root)
    status, out, _ = run(capsys, "theirs", file, "--method", "vdsr", *SMALL, "--licence", "CC BY-NC 4.0: see page")
    assert status == 0 and (root / "brought/weights/net.pth").read_bytes() == file.read_bytes()
    made = settings.load().runs[f"{TASK}/theirs"]
    assert made.weights == {"": "brought/weights/net.pth"} and made.weights_licence == "CC BY-NC 4.0: see page"
    assert (made.settings["layers"], made.settings["width"], made.settings["batch"]) == (3, 4, 64)
    assert all(line in runs_file(root) for line in before.splitlines())
    assert "no DVC repository" in out and "The licence of the weights is unknown" not in out
    assert f"dvc repro graph/{TASK}/dvc.yaml:score@theirs" in out


def test_again_with_another_file_replaces_the_entry_alone(root, file, capsys):
    run(capsys, "theirs", file, "--method", "vdsr", *SMALL, "--licence", "MIT")
    once = runs_file(root)
    run(capsys, "last", file, "--method", "vdsr", *SMALL)
    run(capsys, "theirs", file)
    assert runs_file(root).startswith(once.partition("tested")[0])
    state = torch.load(file, weights_only=True)
    torch.save({"params": {name: value + 1 for name, value in state["params"].items()}}, root / "other.pth")
    assert run(capsys, "theirs", root / "other.pth")[0] == 0
    made = settings.load().runs
    assert made[f"{TASK}/theirs"].weights == {"": "brought/weights/other.pth"}
    assert made[f"{TASK}/theirs"].weights_licence == "MIT" and made[f"{TASK}/theirs"].settings["width"] == 4
    assert made[f"{TASK}/last"].weights == {"": "brought/weights/net.pth"}


def test_comments_and_anchors_of_the_file_stay(root, file, capsys):
    path = root / "graph" / TASK / "runs.yaml"
    path.write_text("task: super_resolution\ntables: [super_resolution]\n# Slots.\nempty: &empty {features: none, "
                    "teacher: none, recogniser: none, parts: none}\nruns: &runs\n  bicubic: *empty  # the "
                    "baseline\n\n# Tested.\ntested: *runs\n")
    before = path.read_text()
    run(capsys, "theirs", file, "--method", "vdsr", *SMALL)
    assert runs_file(root) == before.replace("baseline\n", (
        "baseline\n  theirs:\n    <<: *empty\n    method: vdsr\n    weights: brought/weights/net.pth\n"
        "    settings: {layers: 3, width: 4}\n"))


def test_an_entry_that_says_more_is_left_to_its_author(root, file, capsys):
    run(capsys, "theirs", file, "--method", "vdsr", *SMALL)
    edit_runs(root, TASK, theirs={"method": "vdsr", "weights": "brought/weights/net.pth", "seed": 3,
                                  "settings": {"layers": 3, "width": 4}})
    before = runs_file(root)
    status, _, err = run(capsys, "theirs", file)
    assert status == 2 and "also has seed, which this command does not write" in err and runs_file(root) == before


@pytest.mark.parametrize(("words", "match"), [
    (["theirs", "nowhere.pth", "--method", "vdsr"], "There is no file nowhere.pth"),
    (["theirs", "{file}"], "There is no method 'theirs'; name the one whose networks the file fills with --method"),
    (["theirs", "{file}", "--method", "vsdr"], "Did you mean 'vdsr'"),
    (["theirs", "{file}", "--method", "vdsr", "--task", "superresolution"], "Did you mean 'super_resolution'"),
    (["theirs", "{file}", "--method", "bicubic"], "'bicubic' has no networks"),
    (["vdsr", "{file}"], "'vdsr' of super_resolution is one of this project's own; give yours another name, and"),
    (["a b", "{file}", "--method", "vdsr", *SMALL], "'a b' is no name for a run"),
    (["theirs", "{file}", "--method", "vdsr", "--set", "widht=4"], "no setting 'widht'.*Did you mean 'width'"),
    (["theirs", "{file}", "--method", "vdsr", "--set", "width"], "'width' is no NAME=VALUE"),
    (["theirs", "{file}", "--method", "vdsr", "--set", "width=many"], "it must be of the same kind as 64"),
    (["theirs", "{file}#ema", "--method", "vdsr", *SMALL], "nothing below the key 'ema'; it has params"),
    (["theirs", "{file}", "--method", "vdsr"], "They fit with these settings of the run: `width: 4, layers: 3`"),
    (["theirs", "net={file}", "net={file}", "--method", "vdsr"], "write each as NETWORK=FILE, every network once"),
    (["theirs", "main={file}", "--method", "vdsr", *SMALL], "stores net; give one FILE, or NETWORK=FILE for each"),
])
def test_what_is_mistyped_is_told(root, file, capsys, words, match):
    before = runs_file(root)
    status, _, err = run(capsys, *(word.replace("{file}", str(file)) for word in words))
    assert status == 2 and err.startswith("error: ") and "Traceback" not in err
    assert re.search(match, err), err
    assert runs_file(root) == before and not (root / "brought/weights").exists()


def test_names_of_files_that_others_use_are_kept(root, file, capsys):
    run(capsys, "theirs", file, "--method", "vdsr", *SMALL)
    other = root / "elsewhere" / "net.pth"
    other.parent.mkdir()
    state = torch.load(file, weights_only=True)["params"]
    torch.save({name: value * 2 for name, value in state.items()}, other)
    status, _, err = run(capsys, "more", other, "--method", "vdsr", *SMALL)
    assert status == 2 and "another file of that name, which super_resolution/theirs uses; rename yours" in err
    assert run(capsys, "theirs", other)[0] == 0
    assert (root / "brought/weights/net.pth").read_bytes() == other.read_bytes()
    odd = root / "my net#2.pth"
    odd.write_bytes(other.read_bytes())
    status, _, err = run(capsys, "more", odd, "--method", "vdsr", *SMALL)
    assert status == 2 and "'my net#2.pth' is no name for a file in brought/weights; rename it" in err


def test_several_networks_are_named_in_the_entry(root, capsys):
    write_runs(root, "sketch_photo", {"copy_input": {}})
    small = {"width": 4, "blocks": 1}
    networks = registry.method("sketch_photo", "cyclegan", small).networks()
    torch.save({f"net{letter}": networks[name].state_dict() for letter, name in
                (("A", "photo_to_sketch"), ("B", "sketch_to_photo"))}, root / "c.pth")
    status, _, err = run(capsys, "theirs", f"photo_to_sketch={root}/c.pth#netA",
                         f"sketch_to_photo={root}/c.pth#netB", "--method", "cyclegan", "--set", "width=4",
                         "--set", "blocks=1")
    assert status == 0, err
    assert settings.load().runs["sketch_photo/theirs"].weights == {
        "photo_to_sketch": "brought/weights/c.pth#netA", "sketch_to_photo": "brought/weights/c.pth#netB"}


@pytest.mark.parametrize("name", ["1e5", "2024-01-01", "12"])
def test_a_name_that_yaml_would_read_as_something_else_is_quoted(root, file, capsys, name):
    for _ in range(2):  # and found again
        assert run(capsys, name, file, "--method", "vdsr", *SMALL)[0] == 0
        assert settings.load().runs[f"{TASK}/{name}"].weights == {"": "brought/weights/net.pth"}


def test_an_entry_that_does_not_hold_has_replaced_no_file(root, file, capsys, monkeypatch):
    run(capsys, "theirs", file, "--method", "vdsr", *SMALL)
    before, kept = runs_file(root), (root / "brought/weights/net.pth").read_bytes()
    other = root / "elsewhere" / "net.pth"
    other.parent.mkdir()
    torch.save({name: value * 2 for name, value in torch.load(file, weights_only=True)["params"].items()}, other)
    monkeypatch.setattr("restore_ml.imported.entry.end_of_runs", lambda lines, path: 0)  # the entry at a wrong place
    fresh = file.rename(root / "fresh.pth")
    status, _, _ = run(capsys, "more", fresh, "--method", "vdsr", *SMALL)
    assert status == 2 and runs_file(root) == before and not (root / "brought/weights/fresh.pth").exists()
    monkeypatch.undo()
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))

    def refuse(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("restore_ml.imported.entry._copy", refuse)
    assert run(capsys, "theirs", other, "--licence", "MIT")[0] == 130
    assert runs_file(root) == before and (root / "brought/weights/net.pth").read_bytes() == kept


def test_another_method_has_its_own_settings(root, file, capsys):
    entry = {"method": "vdsr", "weights": "brought/weights/net.pth"}
    edit_runs(root, TASK, theirs=entry)
    wish = Wish(TASK, "theirs", "rapid_sr")
    assert wish.settings(root) == registry.method(TASK, "rapid_sr", {}).settings


def test_outputs_of_another_tool_are_no_weights(root, file, capsys):
    edit_runs(root, TASK, theirs={"outputs": f"brought/outputs/{TASK}/theirs"})
    status, _, err = run(capsys, "theirs", file, "--method", "vdsr")
    assert status == 2 and "is outputs of another tool; give the weights another name" in err
