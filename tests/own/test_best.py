"""`restore-ml best-on`: which run is best on a person's own pictures."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

import restore_ml
from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.evaluation.scoring import read_scores
from restore_ml.own import plan as planning
from restore_ml.own.best import Wish, best_on, best_words
from tests.own.made import TASK, photograph, rebuilt


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rebuilt(tmp_path_factory.mktemp("own") / "project")


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(built, root)
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures that nothing has learned from: those of the project's own test set."""
    folder = tmp_path / "My Holidays!"
    folder.mkdir()
    for number in (10, 11, 12):
        Image.fromarray(photograph(number)).save(folder / f"piece {number}.png")
    return folder


def call(root: Path, folder: Path, **more: Any) -> Any:
    return best_on(root, Wish(TASK, folder, **more))


def state(root: Path) -> dict[str, str]:
    """Every file that is not the person's cache or page, by its content."""
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*")) if path.is_file()
            and path.relative_to(root).parts[0] not in (".state", "reports")}


def test_the_figures_are_those_of_a_test_set(project: Path, pictures: Path, capsys: pytest.CaptureFixture[str],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pictures as a folder: every figure of every picture has the same bits, nothing of the project changes,
    nothing is trained, and what is not built is named."""
    before = state(project)
    monkeypatch.setattr("restore_ml.training.train.train_run", None)
    table = call(project, pictures)
    assert state(project) == before
    home = project / ".state/own/my-holidays"
    for run in ("bicubic", "vdsr"):
        own, known = (read_scores(root / layout.scores(TASK, run)).drop(columns=["case", "test_set"])
                      for root in (home, project))
        assert own.equals(known) and len(own) == 6
    said = capsys.readouterr().out
    assert re.search(r"^3 pictures \(0\.00\d\d megapixels each, as they are tested\), 2 runs, 1 at once: about ", said,
                     re.MULTILINE)
    assert f"{pictures}: 3 photographs." in said and "nothing is trained" in said
    assert f"{TASK}, my-holidays/x2, 3 pictures of 3 photographs" in said and "Best on these: " in said
    assert "Left out: later: it has no model here." in said
    assert 'href="index.html"' in (project / f"reports/own/my-holidays/{TASK}.html").read_text(encoding="utf-8")
    assert (project / "reports/own/my-holidays/index.html").exists()
    assert re.search(r"vdsr: 6 pictures of 2 cases restored and scored in \d+ s \(\d of 2\)", said)
    pages = project / "reports/own/my-holidays"
    page = (pages / f"{TASK}.html").read_text(encoding="utf-8")
    assert "my-holidays/x3" in page and (pages / f"{TASK}.md").exists() and list((pages / "pictures").rglob("*.png"))
    assert set(table["run"]) == {"bicubic", "vdsr"} and set(table["case"]) == {"my-holidays/x2", "my-holidays/x3"}
    assert (pages / f"{TASK}.csv").read_text().startswith("case,")
    assert not (project / "comparison").exists()


def test_a_second_call_restores_only_what_is_new(project: Path, pictures: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    first = call(project, pictures)
    seen: list[str] = []
    from restore_ml.restoring import stage

    restore = stage.restore
    monkeypatch.setattr(stage, "restore", lambda *given: seen.append("") or restore(*given))
    again = call(project, pictures)
    assert not seen and again.drop(columns="machine").equals(first.drop(columns="machine"))
    Image.fromarray(photograph(15)).save(pictures / "new.png")
    assert call(project, pictures)["pictures"].tolist() == [4] * 4
    assert len(seen) == 4  # two runs, two cases, one new picture
    (pictures / "new.png").unlink()
    assert call(project, pictures, runs=("bicubic",), cases=("x3",))["case"].tolist() == ["my-holidays/x3"]


def test_after_ctrl_c_finished_cases_are_kept(project: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on behind the last finished case: that is what the page promises a person with a long call."""
    from restore_ml.restoring import stage

    calls: list[int] = []
    restore, most = stage.restore, 5  # one to count its operations, three of x2, one of x3

    def interrupted(*given: Any) -> Any:
        calls.append(1)
        if len(calls) > most:
            raise KeyboardInterrupt
        return restore(*given)

    monkeypatch.setattr(stage, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(project, pictures, runs=("vdsr",))
    calls, most = [], 100
    table = call(project, pictures, runs=("vdsr",))
    assert len(calls) == 3, "x3 alone is restored again"
    assert table["pictures_ok"].tolist() == [3, 3]
    home, known = project / ".state/own/my-holidays", read_scores(project / layout.scores(TASK, "vdsr"))
    own = read_scores(home / layout.scores(TASK, "vdsr"))
    columns = ["case", "test_set"]
    assert own.drop(columns=columns).equals(known.drop(columns=columns))


def test_a_function_joins_on_the_same_pictures(project: Path, pictures: Path) -> None:
    call(project, pictures)
    result = restore_ml.compare(lambda inputs: inputs["lr"].repeat(2, 0).repeat(2, 1), task=TASK, sets=["my-holidays"],
                                cases="x2")
    assert result.cases == ["my-holidays/x2"] and result.baseline == "bicubic" and not result.problems
    assert result.scores["lpips_alex"].notna().all()
    with pytest.raises(UserError, match="has no test set 'holiday'"):
        restore_ml.compare(lambda inputs: None, task=TASK, sets=["holiday"])


def test_where_no_figure_chooses_none_is_called_best(project: Path, pictures: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert call(project, pictures, runs=("bicubic",)) is not None
    assert "bicubic alone restored them all: nothing to compare." in capsys.readouterr().out
    runs = project / layout.runs_file(TASK)
    runs.write_text(f"default: vdsr\n{runs.read_text()}")
    assert call(project, pictures) is not None
    said = capsys.readouterr().out
    assert "No figure says which of these is best; look at the pictures." in said and "Best on" not in said


def test_the_case_that_ranks_is_the_tasks_own(project: Path, pictures: Path) -> None:
    runs = project / layout.runs_file(TASK)
    runs.write_text(f"primary_case: photos/x3\n{runs.read_text()}")
    table = call(project, pictures, runs=("bicubic",))
    assert table.set_index("case")["primary"].to_dict() == {"my-holidays/x3": True, "my-holidays/x2": False}


def test_processes_give_the_same(project: Path, pictures: Path) -> None:
    alone = call(project, pictures, name="alone")
    both = call(project, pictures, name="both", workers=2)
    costs = ["case", "machine", "ms_per_megapixel", "peak_memory_mb"]
    assert alone.drop(columns=costs).equals(both.drop(columns=costs))


def test_a_model_that_is_not_of_today_is_left_out(project: Path, pictures: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    path = project / layout.model(TASK, "vdsr") / "model.json"
    about = read_json(path)
    write_json(path, about | {"fingerprint": "0" * 32})
    assert set(call(project, pictures)["run"]) == {"bicubic"}
    said = capsys.readouterr().out
    assert "Left out: vdsr: its model is of other code, settings or training pictures than today's." in said
    assert f"`make repro TASK={TASK}` trains what is missing or of yesterday." in said
    write_json(path, about | {"status": "failed", "reason": "diverged at step 7"})
    assert set(call(project, pictures)["run"]) == {"bicubic"}
    assert "Left out: vdsr: its training ended as failed: diverged at step 7." in capsys.readouterr().out
    with pytest.raises(UserError, match=r"No run of super_resolution can restore here \(vdsr: its training.*make re"):
        call(project, pictures, runs=("vdsr",))
    write_json(path, about)
    shutil.rmtree(project / layout.material(TASK))
    assert set(call(project, pictures)["run"]) == {"bicubic", "vdsr"}
    assert ("today's code, settings and training pictures could not be told: samples/super_resolution/train is not here"
            in capsys.readouterr().out)


def test_a_mixed_folder_is_kept_or_refused_with_a_sentence_each(project: Path, pictures: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    image = Image.fromarray(photograph(20))
    turned = Image.Exif()
    turned[0x0112] = 6
    image.crop((0, 0, 64, 48)).save(pictures / "turned.jpg", exif=turned, quality=95)
    Image.fromarray(photograph(21)).convert("L").save(pictures / "grey.png")
    Image.fromarray(photograph(22)).convert("CMYK").save(pictures / "cmyk.jpg")
    Image.fromarray(photograph(23)[..., 0].astype(np.uint16) * 257).save(pictures / "deep.png")
    image.resize((8, 8)).save(pictures / "tiny.png")
    (pictures / "torn.jpg").write_bytes((pictures / "turned.jpg").read_bytes()[:900])
    (pictures / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / "empty.png").touch()
    Image.fromarray(photograph(10)).save(pictures / "twice.bmp")
    Image.fromarray(photograph(1)).save(pictures / "learned.png")
    Image.fromarray(photograph(2)).save(pictures / "learned too.jpg", quality=90)
    table = call(project, pictures)
    said = capsys.readouterr().out
    assert table["pictures"].tolist() == [7] * 4
    for words in ("7 photographs, 1 other files left out, 7 refused", "'tiny.png': too small: 8 x 8",
                  "'torn.jpg': truncated", "'phone.heic': a HEIC picture", "'empty.png': zero bytes",
                  "'twice': the same pixels as 'piece 10'",
                  "'learned': it is the picture train/piece 1, which models learned from",
                  "'learned too': it shows the same as train/piece 2, which models learned from"):
        assert words in said, words
    scores = read_scores(project / ".state/own/my-holidays" / layout.scores(TASK, "bicubic"))
    assert {"turned", "grey", "cmyk", "deep"} <= set(scores["name"])


def test_what_a_task_does_not_take_is_named(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    Image.fromarray(photograph(11)[:20, :20]).save(folder / "small.png")
    with pytest.raises(UserError, match=r"super_resolution takes none of the pictures.*'small'"):
        call(project, folder)


def test_a_crop_and_a_draw_make_it_smaller(project: Path, pictures: Path) -> None:
    from restore_ml.data.shards import Shard

    call(project, pictures, crop=48, pictures=2)
    home = project / ".state/own/my-holidays"
    truths = list(Shard(home / layout.samples(TASK) / "targets/my-holidays/x2.arrow"))
    assert len(truths) == 2
    for record in truths:
        number = int(str(record.facts["name"]).split()[-1])
        assert np.array_equal(record.arrays["hr"], photograph(number)[8:56, 8:56])
    drawn = {record.facts["name"] for record in truths}
    call(project, pictures, crop=48, pictures=2)
    assert {record.facts["name"] for record in Shard(
        home / layout.samples(TASK) / "targets/my-holidays/x2.arrow")} == drawn


def test_what_is_long_or_large_is_asked_first(project: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(planning, "LONG", 0.0)
    with pytest.raises(UserError, match=r"That is long or large, so it was not begun. Give --yes .*--crop 500 cuts"):
        call(project, pictures)
    assert not (project / ".state/own/my-holidays/samples").exists()
    assert call(project, pictures, yes=True) is not None
    for answer, done in (("n\n", False), ("y\n", True)):
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr", terminal_of())
        assert (call(project, pictures) is not None) == done
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 10))  # type: ignore
    with pytest.raises(UserError, match=r"has 0 MB of disk left, and this takes about \d+; give --pictures N"):
        call(project, pictures, yes=True)


def terminal_of() -> io.StringIO:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    return screen


def test_the_estimate_is_what_was_recorded(project: Path, pictures: Path) -> None:
    """Megapixels to restore by what a megapixel took, and to score by what the stage took for the project's own."""
    from restore_ml import registry
    from restore_ml.base import costs
    from restore_ml.own.folder import Folder
    from restore_ml.own.plan import plan
    from restore_ml.runs import settings

    params = settings.load(project / "params.yaml")
    status = project / layout.restored(TASK, "vdsr") / "status.json"
    costs.write(project, "restore", status, {"seconds": 1.0, "ms_per_megapixel": 50_000.0})
    (project / layout.COSTS).mkdir(parents=True, exist_ok=True)
    write_json(project / layout.COSTS / "stages.json", {"quick": {layout.stage("score", TASK, "vdsr"): [3.0, 0.0]}})
    costs.path(project, "restore", project / layout.restored(TASK, "bicubic") / "status.json").unlink(missing_ok=True)
    from restore_ml.data import domains

    folder = Folder(pictures, domains.get("photos"), (), project / ".state/arranged")
    made = plan(project, registry.parts(TASK), params.tasks[TASK], 1, params.runs_of(TASK), folder, 0)
    pixels = 3 * (64 * 64 + 63 * 63) / 1e6  # three pictures, x2 and x3; the project tests the same
    assert made.by_run["vdsr"] == pytest.approx(pixels * 50 + 2.0, rel=1e-6)
    assert made.unknown == ["bicubic", "later"] and not folder.report.refused
    assert "bicubic, later never restored here and are not counted" in made.sentence(2)
    assert "at once: more than " in made.sentence(2), "what is not counted comes on top"
    assert made.megabytes == pytest.approx(3 * 64 * 64 * 3 / 1e6 + 3 * (
        (64 * 64 + 32 * 32 + 63 * 63 + 21 * 21) * 3 + 8) / 1e6 + 3 * 3 * pixels
        + 5 * planning.ON_A_PAGE * pixels, rel=1e-6)
    many = Folder(pictures, domains.get("photos"), (), project / ".state/arranged")
    many.found *= 8
    pages = (5 * 12 / 24) * 8 * pixels * planning.ON_A_PAGE
    assert plan(project, registry.parts(TASK), params.tasks[TASK], 1, params.runs_of(TASK), many, 0).megabytes == (
        pytest.approx(8 * (made.megabytes - 5 * planning.ON_A_PAGE * pixels) + pages)), "12 of 24 stand on the pages"


def test_places_with_many_records_and_with_none_are_counted(project: Path, pictures: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """A patient's slices, a film's shots: the megapixels are those of all records, not of the places."""
    from restore_ml import registry
    from restore_ml.data import domains
    from restore_ml.own.folder import Folder
    from restore_ml.own.plan import plan
    from restore_ml.runs import settings

    params = settings.load(project / "params.yaml")

    def megabytes() -> tuple[float, str]:
        made = plan(project, registry.parts(TASK), params.tasks[TASK], 1, params.runs_of(TASK), folder, 0)
        return made.megabytes, made.size

    folder = Folder(pictures, domains.get("photos"), (), project / ".state/arranged")
    monkeypatch.setattr(planning, "ON_A_PAGE", 0.0)
    folder.found *= 2
    alone = megabytes()
    read = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, item: [*read(self, item)] * 5)
    assert megabytes() == (pytest.approx(5 * alone[0]), alone[1])
    monkeypatch.setattr(Folder, "read", lambda self, item: iter(
        [] if item.path == "piece 10.png" else [*read(self, item)]))
    assert megabytes() == (pytest.approx(alone[0] * 2 / 3), alone[1]), "one of three read is refused"
    folder.found = [*folder.found[:1], *folder.found[1:3] * 2, *folder.found[:1]]
    monkeypatch.setattr(Folder, "read", lambda self, item: iter(
        [*read(self, item)] if item.path == "piece 11.png" else []))
    assert megabytes()[0] > 0, "the first, a middle and the last are refused, and another is not"


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no folder": (["nowhere"], "'nowhere' is not a folder"),
    "a file": (["FOLDER/piece 10.png"], "is not a folder; give a folder with photographs"),
    "run": (["FOLDER", "--runs", "vdrs"], "has no run 'vdrs'; it has bicubic, vdsr, later. Did you mean"),
    "case": (["FOLDER", "--cases", "x4"], "has no case 'x4'; it has x2, x3"),
    "name": (["FOLDER", "--as", "My Set"], "'My Set' is no name: use small letters"),
    "taken": (["FOLDER", "--as", "photos"], "has a test set 'photos' already; take another name"),
    "pictures": (["FOLDER", "--pictures", "-1"], "--pictures is -1; give a whole number of at least 1"),
    "nothing": (["FOLDER", "--crop", "0"], "--crop is 0; give a whole number of at least 1"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_are_sentences(project: Path, pictures: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, sentence = MISTAKES[kind]
    given = [word.replace("FOLDER", str(pictures)) for word in words]
    assert cli.main(["best-on", *given, "--task", TASK]) == 2
    assert sentence in capsys.readouterr().err
    assert not (project / ".state/own/nowhere").exists()


def test_runs_that_are_equally_good_are_both_named() -> None:
    row = {"primary": True, "psnr_y": 30.0, "groups": 3, "vs_best_low": 0.0, "vs_best_high": 0.0}
    table = pandas.DataFrame([row | {"run": "one", "rank": 1.0}, row | {"run": "two", "rank": 1.0},
                              row | {"run": "far", "rank": 3.0, "vs_best_low": -2.0, "vs_best_high": -1.0}])
    assert best_words(TASK, table) == "Best on these: one (psnr_y 30.00). Not told from it: two."


def test_a_folder_without_pictures(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert cli.main(["best-on", str(folder), "--task", TASK]) == 2
    assert "There is nothing in" in capsys.readouterr().err
    (folder / "torn.png").write_bytes(b"\x89PNG")
    assert cli.main(["best-on", str(folder), "--task", TASK]) == 2
    assert "No picture is left to try. " in capsys.readouterr().err


def test_a_folder_named_like_a_test_set_gets_another_name(project: Path, pictures: Path) -> None:
    folder = pictures.rename(pictures.with_name("Photos"))
    assert set(call(project, folder)["case"]) == {"own-photos/x2", "own-photos/x3"}
