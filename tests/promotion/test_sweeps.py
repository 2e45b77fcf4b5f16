"""A degradation of rising strength, at which the champion and the baseline alone are restored."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data.shards import Record, Shard, write
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.fidelity import psnr_y
from restore_ml.promotion import champion_scores, sweeps
from restore_ml.report.sweep import chart
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import protocol
from restore_ml.training.train import train_run

TASK = "face_super_resolution"
RULES = protocol(TASK)
CASE = "faces_drawn/8_to_64"


def face(number: int) -> np.ndarray:
    i, j = np.mgrid[:64, :64]
    planes = [127 + 90 * np.sin(i / (9 + number) + channel) * np.cos(j / 11) for channel in range(3)]
    return np.stack(planes, -1).astype(np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two faces in two cases, and bicubic as the champion under the name of another run."""
    parts, samples = registry.parts(TASK), tmp_path / layout.samples(TASK)
    assert parts.cases is not None
    for case in (CASE, f"{CASE}_noise"):
        inputs, targets = [], []
        for number in range(2):
            picture = Record(f"{number:064d}", {"image": face(number)}, {"group": f"p{number}"})
            sample = parts.cases.sample(picture, case.partition("/")[2], 1, {})
            add_optional(parts.optional, sample, "8_to_64", 1, picture.id)
            inputs.append(Record(picture.id, sample.inputs, picture.facts))
            targets.append(Record(picture.id, sample.target, picture.facts))
        write(samples / "inputs" / f"{case}.arrow", inputs)
        write(samples / "targets" / f"{case}.arrow", targets)
    (samples / "train").mkdir()
    spec = {"run": "mine", "task": TASK, "method": "super_resolution.bicubic", "slots": {}, "seed": 3, "settings": {},
            "threads": 1, "processes": 1, "precision": "fp32", "versions": {}, "modules": {}, "weights": {}}
    train_run(spec, tmp_path, tmp_path / layout.model(TASK, "mine"))
    shutil.copytree(tmp_path / layout.model(TASK, "mine"), tmp_path / layout.champion(TASK))
    return tmp_path


def test_both_are_restored_at_every_strength_and_nobody_else_is(project: Path) -> None:
    rows = champion_scores.score_champion(project, TASK)
    champion = champion_scores.name(project / layout.champion(TASK))
    swept = sweeps.of_sweep(TASK, rows)
    assert RULES.sweep is not None and RULES.sweep.strengths == (5, 10, 15, 20, 25, 30)
    assert swept.groupby(["run", "strength"]).size().to_dict() == {
        (run, strength): 2 for run in ("bicubic", champion) for strength in RULES.sweep.strengths}
    assert set(swept["status"]) == {"ok"} and swept["fsim"].isna().all()
    assert set(swept["degradation"]) == {f"8_to_64_noise_{strength}" for strength in RULES.sweep.strengths}
    means = swept.groupby(["run", "strength"])["psnr_y"].mean()
    assert means["bicubic"].is_monotonic_decreasing and means["bicubic"].tolist() == means[champion].tolist()
    by_hand = []
    for number in range(2):
        rng = sweeps.generator("sweep", f"{number:064d}", 15)
        degradation, sample = RULES.swept({"hr": face(number), "hr_attributes": np.zeros(40, np.float32)}, 15, rng)
        plain = imresize(face(number), 1 / 8)
        assert degradation == "8_to_64_noise" and 11 < (sample.inputs["lr"].astype(int) - plain).std() < 19
        by_hand.append(psnr_y(imresize(sample.inputs["lr"], 8), face(number), 0))
    assert means["bicubic", 15] == pytest.approx(np.mean(by_hand), abs=1e-9)
    own = sweeps.tested(TASK, rows)
    assert set(own["case"]) == {CASE, f"{CASE}_noise"} and set(own["run"]) == {champion}
    assert own.loc[own["case"] == CASE, "fsim"].notna().all()
    again = champion_scores.score_champion(project, TASK)
    assert again.equals(rows), "the same bits"


def test_what_is_kept_is_current_only_with_its_sweep(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was promoted just now brings its own rows; the sweep is missing, so the stage is to run."""
    from restore_ml.evaluation.scoring import write_scores

    rows = champion_scores.score_champion(project, TASK)
    own = sweeps.tested(TASK, rows)
    champion_scores.take_over(project, TASK, own.assign(run="mine"))
    assert not champion_scores.is_current(project, TASK) and chart(project, TASK, "mine") is None
    write_scores(champion_scores.path(project, TASK), rows)
    assert champion_scores.is_current(project, TASK)
    monkeypatch.setattr(champion_scores, "score_champion", None)  # nothing is restored again
    taken = champion_scores.rows(project, TASK, own)
    assert taken is not None and len(taken) == len(own) and set(taken["case"]) == set(own["case"])


def test_the_drawing_has_a_line_each(project: Path) -> None:
    from restore_ml.evaluation.scoring import write_scores

    rows = champion_scores.score_champion(project, TASK)
    better = rows["run"].str.startswith("champion ")
    write_scores(champion_scores.path(project, TASK), rows.assign(psnr_y=rows["psnr_y"] + better))
    drawn = chart(project, TASK, "mine")
    assert drawn is not None and [line["name"] for line in drawn["lines"]] == ["mine (champion)", "bicubic"]
    for line in drawn["lines"]:
        heights, places = ([dot[axis] for dot in line["values"]] for axis in "yx")
        assert places == [tick["place"] for tick in drawn["strengths"]] and min(np.diff(places)) > 20
        assert heights == sorted(heights) and len(heights) == 6, "it falls"
        assert all(drawn["left"] < dot["x"] <= drawn["right"] and 0 < dot["y"] < drawn["bottom"]
                   for dot in line["values"])
    first, second = (line["values"][0] for line in drawn["lines"])
    assert first["y"] < second["y"] and float(first["value"]) == pytest.approx(float(second["value"]) + 1, abs=0.011)
    assert (drawn["case"], drawn["pictures"], drawn["unit"]) == ("faces_drawn", 2, "dB")
    assert chart(project, TASK, "") is None and chart(project, "super_resolution", "vdsr") is None


def test_a_champion_that_cannot_do_it_leaves_the_baseline_s_line(project: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    cls = registry.method_class(TASK, "super_resolution.bicubic")
    folder, loaded = project / layout.champion(TASK), []

    class Other(cls):  # type: ignore[misc, valid-type]
        def unsupported(self, degradation: str) -> str | None:
            return "not trained on it" if "noise" in degradation else None

    def load(path: Path, root: Path) -> tuple:
        from restore_ml.method import Model

        loaded.append(path)
        return Other({}), Model()

    monkeypatch.setattr("restore_ml.serving.restore_command.load", load)
    monkeypatch.setattr(Other, "task", TASK)
    rows = sweeps.of_sweep(TASK, champion_scores.score_champion(project, TASK))
    assert loaded == [folder]
    assert set(rows.loc[rows["run"] != "bicubic", "status"]) == {"unsupported"}
    assert rows.loc[rows["run"] == "bicubic", "psnr_y"].notna().all()


def test_targets_stay_as_they_are(project: Path) -> None:
    before = [Shard(path).path.read_bytes() for path in sorted(project.glob("samples/**/*.arrow"))]
    champion_scores.score_champion(project, TASK)
    assert before == [path.read_bytes() for path in sorted(project.glob("samples/**/*.arrow"))]
