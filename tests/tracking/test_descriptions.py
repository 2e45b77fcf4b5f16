"""What MLflow's pages say, how a shared view looks, and the address that leads to it."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from restore_ml.base import addresses, costs, layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.evaluation.scoring import read_scores
from restore_ml.tasks.protocol import protocol
from restore_ml.tracking import descriptions, door, shared_view, store, writing
from restore_ml.tracking.entry import Entry
from tests import many_runs
from tests.tracking.small_project import TASK


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, the best of them vdsr_00."""
    root = many_runs.build(tmp_path_factory.mktemp("many") / "project", runs=4, pictures=4)
    many_runs.promote(root, "vdsr_00", kept=0, pictures=3)
    return root


def entry(root: Path, run: str) -> Entry:
    scores = read_scores(root / layout.scores(TASK, run))
    return Entry(root, TASK, run, root / layout.model(TASK, run), scores, "data")


def test_the_view_shows_current_runs_best_first_with_the_guards() -> None:
    state = shared_view.state(protocol("inpainting"))
    assert state["orderByKey"] == "metrics.`psnr_hole`" and state["orderByAsc"] is False
    assert "tags.state = 'current'" in state["searchFilter"]
    assert state["selectedColumns"] == [
        "tags.`rank`", "metrics.`psnr_hole`", "tags.`interval`", "metrics.`ssim_hole`", "metrics.`l1_hole`",
        "metrics.`parameters`", "metrics.`ms_per_megapixel`", "metrics.`training_seconds`", "tags.`status`"]
    assert set(state["columnWidths"]) == set(state["columnOrder"]) > set(state["selectedColumns"])
    lower = shared_view.state(protocol("inpainting").__class__.__new__(LowerIsBetter))
    assert lower["orderByAsc"] is True


class LowerIsBetter(type(protocol("inpainting"))):  # type: ignore[misc]
    """A task ranked by an error."""

    primary = "l1_hole"


def test_a_run_says_what_it_is_and_where_it_stands(built: Path) -> None:
    words = descriptions.Task(built, TASK)
    table = pd.read_csv(built / f"comparison/{TASK}/table.csv")
    row = table[table["primary"] & (table["run"] == "vdsr_00")].iloc[0]
    tags = words.run_tags(entry(built, "vdsr_00"), is_champion=True)
    assert tags["rank"] == "1, champion"
    assert tags["interval"] == f"[{row['psnr_y_low']:.2f}, {row['psnr_y_high']:.2f}]"
    note = tags["mlflow.note.content"]
    assert "Kim, Lee, Lee, CVPR 2016" in note and "**Rank 1 of 4** on photos/x2 (4 pictures of 2 photographs" in note
    assert "biases in every layer" in note, "its reading"
    assert "3 pictures under CC0-1.0, 1 under CC-BY-NC-4.0" in note
    assert f"{addresses.UI}/gallery/{TASK}.html#run-vdsr_00" in note
    assert words.run_tags(entry(built, many_runs.LONG), is_champion=False)["rank"] in ("2", "2, tied")


def test_a_run_says_what_its_deployed_form_takes(built: Path, tmp_path: Path) -> None:
    plain = entry(built, "vdsr_00")
    model = {**plain.model, "method": "vdsr_bnn", "settings": {"layers": 4, "width": 8}}
    write_json(tmp_path / "model.json", model)
    binary = Entry(built, TASK, "vdsr_00", tmp_path, plain.scores, "data")
    note = descriptions.Task(built, TASK).run_tags(binary, is_champion=False)["mlflow.note.content"]
    assert "multiply-adds of bits with bits" in note and binary.params()["stored_bits"] == str(
        binary.footprint["stored_bits"])
    assert plain.footprint == {} and "stored_bits" not in plain.params()


def test_an_experiment_and_a_model_say_who_leads_and_why(built: Path) -> None:
    words = descriptions.Task(built, TASK)
    text = words.experiment()
    assert "4 runs" in text and "highest psnr_y on photos/x2 first" in text and "Guards" in text and "ssim_y" in text
    decision = built / f"champions/{TASK}/champion/decision.json"
    os.utime(decision, (1_760_000_000, 1_760_000_000))  # 2025-10-09
    text = words.registered_model("vdsr_00", "7", "3 pictures under CC0-1.0", provisional=False)
    assert "**Champion: vdsr_00**, version 7, since 2025-10-09" in text
    assert "vdsr_00 replaces bicubic" in text and "psnr_y +0.3 [" in text and "guard ssim_y: 0.94, holds" in text
    assert "`001122334455`" in text and "3 pictures under CC0-1.0" in text
    assert "provisionally" in words.registered_model("vdsr_00", "7", "", provisional=True)
    assert "no champion yet" in words.registered_model("", "", "", provisional=True)


def test_a_rollback_has_little_to_say_and_that_is_said(built: Path, tmp_path: Path) -> None:
    home = tmp_path / f"champions/{TASK}/champion"
    write_json(home / "model.json", read_json(built / layout.model(TASK, "vdsr_00") / "model.json"))
    write_json(home / "decision.json", {"kind": "rollback", "sentence": "vdsr_00 is the champion again."})
    text = descriptions.Task(tmp_path, TASK).registered_model("vdsr_00", "1", "", provisional=False)
    assert "vdsr_00 is the champion again." in text and "guard" not in text


def test_the_times_of_a_run_are_those_of_its_costs(built: Path) -> None:
    one = entry(built, "vdsr_00")
    files = [costs.path(built, "train", built / layout.model(TASK, "vdsr_00") / "model.json"),
             costs.path(built, "restore", built / f"restored/{TASK}/vdsr_00/status.json")]
    for path, time in zip(files, (1000, 2000), strict=True):
        os.utime(path, (time, time))
    assert [read_json(path)["seconds"] for path in files] == [3.0, 1.5]
    assert one.times() == (2_000_000 - 4500, 2_000_000)
    assert one.costs()["training_seconds"] == 3.0 and one.costs()["restoring_seconds"] == 1.5


def test_the_case_that_a_task_names_is_the_one_whose_figures_are_shown(built: Path) -> None:
    rows = read_scores(built / layout.scores(TASK, "vdsr_00"))
    means = rows.groupby("case")["psnr_y"].mean()
    assert abs(means["photos/x2"] - means["holiday/x2"]) > 0.001, "else one case could pass for the other"
    ours = entry(built, "vdsr_00")
    before = ours.fingerprint  # of now: it is read once
    assert ours.metrics()["psnr_y"] == pytest.approx(means["photos/x2"], abs=1e-4)
    named = built / layout.code("compare", TASK)
    write_json(named, {"primary_case": "holiday/x2"})
    other = entry(built, "vdsr_00")
    assert other.metrics()["psnr_y"] == pytest.approx(means["holiday/x2"], abs=1e-4)
    assert other.fingerprint != before, "so that the next sync writes it"
    named.unlink()


@pytest.fixture(scope="module")
def opened(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("door")
    for name in ("gallery/index.html", "data_docs/secret.html"):
        (root / "reports" / name).parent.mkdir(parents=True)
        (root / "reports" / name).write_text(name)
    client = store.client(root)
    shared_view.ensure(client, client.create_experiment(writing.registry_name(TASK)), TASK, "words")
    assert not shared_view.ensure(client, client.get_experiment_by_name(writing.registry_name(TASK)).experiment_id,
                                  TASK, "words"), "a second time nothing changes"
    with pytest.MonkeyPatch.context() as patch, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        patch.setattr(addresses, "UI", f"http://127.0.0.1:{probe.getsockname()[1]}")
        probe.close()
        server = door.serve(root, "http://127.0.0.1:1")
        yield root
        server.shutdown()
        server.server_close()


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *arguments: object) -> None:
        return None


def ask(path: str, host: str = "") -> tuple[int, str]:
    """Status, and the text or where it leads."""
    request = urllib.request.Request(addresses.UI + path, headers={"Host": host} if host else {})
    try:
        with urllib.request.build_opener(Stay).open(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location", "")


def test_the_door_leads_to_the_view_and_to_the_gallery_and_nowhere_else(opened: Path) -> None:
    client = store.client(opened)
    experiment = client.get_experiment_by_name(writing.registry_name(TASK))
    assert json.loads(experiment.tags[shared_view.TAG]) == shared_view.state(protocol(TASK))
    code, place = ask(f"/mlflow/{TASK}")
    assert code == 302 and place == f"http://127.0.0.1:1{shared_view.address(experiment.experiment_id)}"
    assert "viewStateShareKey=best-first" in place
    assert ask("/mlflow/inpainting") == (302, "http://127.0.0.1:1/#/experiments"), "no experiment yet"
    assert ask("/") == (302, "/gallery/index.html")
    assert ask("/gallery/index.html") == (200, "gallery/index.html")
    for path in ("/gallery/", "/mlflow/other", "/data_docs/secret.html", "/gallery/../data_docs/secret.html",
                 "/gallery/%2e%2e/data_docs/secret.html", "/gallery//../../params.yaml"):
        assert ask(path)[0] in (404, 200) and "secret" not in ask(path)[1], path
    assert ask("/gallery/index.html", host="evil.example")[0] == 403


def test_a_second_door_is_a_sentence(opened: Path) -> None:
    with pytest.raises(UserError, match="another `make ui` may be running"):
        door.serve(opened, "http://127.0.0.1:1")
