"""`restore-ml table`: what is best, second and tied, and that every form says the same and is well formed."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json
from restore_ml.evaluation import published
from restore_ml.evaluation.comparison import compare
from restore_ml.evaluation.published import Agreement, fingerprint
from restore_ml.report import paper
from restore_ml.report.paper import PaperTable, paper_table
from restore_ml.report.paper_forms import FORMS, escaped, latex
from tests.evaluation import made
from tests.graphs import write_task_scores
from tests.tracking import small_project

TASK = "super_resolution"
BASE = np.linspace(26, 34, 12)
WAVE = 0.3 * np.array([1, -1] * 6)
ABSENT = dict.fromkeys(("ms_ssim_rgb", "ifc_freq", "fsim"), float("nan"))
RUNS: dict[str, dict[str, Any]] = {
    "bicubic": {"psnr_y": BASE, "ssim_y": 0.81, "psnr_rgb": 0.5, **ABSENT},
    "vdsr": {"psnr_y": BASE + 2, "ssim_y": 0.9, "psnr_rgb": 0.499, **ABSENT},
    "near_1": {"psnr_y": BASE + 1.99 + WAVE, "ssim_y": 0.85, "psnr_rgb": 0.3,
               **ABSENT},
    "partial": {"psnr_y": BASE + 9, **ABSENT, "reason": "odd size",
                "status": ["failed" if number == 4 else "ok" for number in range(12)]},
    "narrow": {"status": "unsupported", "reason": "made for x4 & x8 only, 100%"}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scores of five runs in two cases, and the comparison."""
    small_project.settings_of(tmp_path)
    rows = made.rows(TASK, RUNS)
    import pandas

    other = made.rows(TASK, {name: {**given, "psnr_y": 25 - place} if "reason" not in given else given
                             for place, (name, given) in enumerate(RUNS.items())}, case="my_set 1/x3", synthetic=True)
    rows = pandas.concat([rows, other], ignore_index=True)
    write_task_scores(tmp_path, TASK, rows)
    facts = {"parameters": 1, "training_ops": 1, "reading": "", "history": ""}
    about = {run: {"method": "vdsr" if run == "near_1" else run, **facts} for run in RUNS}
    for run, fields in about.items():
        write_json(tmp_path / layout.about(TASK, run), fields)
    compare(TASK, rows, about, tmp_path / layout.comparison(TASK))
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = fingerprint(f"{number:064d}" for number in range(12))
    monkeypatch.setattr(published, "AGREEMENTS", (Agreement(TASK, "binary_sr", "Set5", "x2", pictures, "x2", (
        ("psnr", "psnr_y"), ("ssim", "ssim_y"))),))


def places(table: PaperTable, metric: str) -> dict[str, int]:
    column = [entry.name for entry in table.columns].index(metric)
    return {row.name: row.cells[column].place for row in table.rows if row.cells[column].place}


def test_best_second_and_tied(project: Path) -> None:
    table = paper_table(project, TASK)
    assert [row.name for row in table.rows] == ["vdsr", "near_1", "bicubic", "partial"]
    assert [metric.name for metric in table.columns] == ["psnr_y", "ssim_y", "psnr_rgb"], "none without a figure"
    assert places(table, "psnr_y") == {"vdsr": 1, "near_1": 2}, "what failed on a picture has no place"
    assert places(table, "psnr_rgb") == {"bicubic": 1, "vdsr": 1}, "0.50 and 0.499 read the same, and none is second"
    assert [row.name for row in table.rows if row.tied] == ["near_1"]
    assert table.rows[0].cells[0].mean == "32.00" and not table.rows[0].cells[0].interval
    assert table.rows[3].note == "11 of 12 pictures" and table.pictures == 12
    text = " ".join(table.caption)
    assert "Super resolution, photos/x2: 12 pictures of 6 photographs." in text
    assert "≈: cannot be told from the best" in text and "Profile quick, not committed." in text
    assert "narrow (unsupported: made for x4 & x8 only, 100%)" in text and "partial (11 of 12 pictures)" in text


def test_intervals_are_those_of_the_comparison(project: Path) -> None:
    row = paper_table(project, TASK, intervals=True).rows[0]
    text = (project / layout.comparison(TASK) / "table.md").read_text()
    cell = row.cells[0].mean + row.cells[0].interval
    assert re.fullmatch(r"32\.00 \[\d\d\.\d\d, \d\d\.\d\d\]", cell) and f"| vdsr | {cell} |" in text
    assert not any(cell.interval for cell in row.cells[1:])


def test_chosen_runs_are_ranked_among_themselves(project: Path) -> None:
    table = paper_table(project, TASK, runs=["near_1", "bicubic"])
    assert places(table, "psnr_y") == {"near_1": 1, "bicubic": 2} and not any(row.tied for row in table.rows)
    other = paper_table(project, TASK, "my_set 1/x3")
    assert "synthetic" in other.caption[0] and other.rows[0].name == "bicubic"
    assert all(float(row.cells[0].mean) < 26 for row in other.measured() if not row.note)


def test_figures_of_other_scores_than_the_tables_are_refused(project: Path) -> None:
    """The caption names the commit of the table: figures made from newer scores are none of it."""
    from restore_ml.evaluation.scoring import read_scores, write_scores

    path = project / layout.scores(TASK, "vdsr")
    scores = read_scores(path)
    write_scores(path, scores.assign(psnr_y=scores["psnr_y"] + 1e-4))
    with pytest.raises(UserError, match="are not those of its table"):
        paper_table(project, TASK, runs=["vdsr", "bicubic"])
    assert paper_table(project, TASK, runs=["near_1", "bicubic"]).rows


def test_a_profile_that_is_not_that_of_the_rebuild_is_not_named(project: Path) -> None:
    """params.yaml, or what a run was trained with, is another than the lock has."""
    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    code = project / layout.code("train", TASK, "vdsr")
    write_json(code, {"steps": 1})
    stage = "stages:\n  {}:\n    deps:\n    - path: {}\n      md5: {}\n"
    (project / "dvc.lock").write_text(stage.format("code", "params.yaml", md5(project / "params.yaml")))
    of_task = project / layout.lock_file(TASK)
    of_task.parent.mkdir(parents=True, exist_ok=True)
    of_task.write_text(stage.format("train", code.relative_to(project).as_posix(), md5(code)))
    assert paper_table(project, TASK).profile == "quick"
    write_json(code, {"steps": 2})
    table = paper_table(project, TASK)
    assert table.profile == "unknown" and "Profile unknown (settings changed since), not" in " ".join(table.caption)
    write_json(code, {"steps": 1})
    params = project / "params.yaml"
    params.write_text(params.read_text() + "# more\n")
    assert paper_table(project, TASK).profile == "unknown"


def test_what_is_measured_here_is_no_row_as_printed(project: Path, agreed: None) -> None:
    table = paper_table(project, TASK, runs=["vdsr"], published=True)
    names = {row.name for row in table.printed()}
    assert "bicubic" not in names and "vdsr_bam" in names
    assert 'printed in X. Gao, "Cross-domain Image Reconstruction", lecture, not measured' in " ".join(table.caption)
    scores = project / layout.comparison(TASK) / "table.csv"
    text = scores.read_text()
    scores.write_text(re.sub(r",partial,partial,", ",partial,vdsr,", text))
    partial = next(row for row in paper_table(project, TASK, published=True).measured() if row.name == "partial")
    assert partial.note and not partial.cells[0].printed, "a mean over other pictures"


def test_printed_figures_stand_only_where_they_agree(project: Path, agreed: None) -> None:
    table = paper_table(project, TASK, published=True)
    cells = {row.name: row.cells[0] for row in table.measured()}
    assert (cells["vdsr"].printed, cells["near_1"].printed, cells["bicubic"].printed) == ("37.53", "37.53", "33.66")
    assert table.rows[0].cells[2].printed == "", "a metric without a printed figure"
    printed = {row.name: [cell.mean for cell in row.cells] for row in table.printed()}
    assert printed["vdsr_bam"] == ["36.60", "0.953", "–"] and "vdsr" not in printed
    assert not any(cell.place for row in table.printed() for cell in row.cells)
    assert places(table, "psnr_y") == {"vdsr": 1, "near_1": 2}, "what is printed takes no place"
    other = paper_table(project, TASK, "my_set 1/x3", published=True)
    assert not other.printed() and "No printed figure agrees with this case" in " ".join(other.caption)
    assert not any(cell.printed for row in paper_table(project, TASK).rows for cell in row.cells)


def read_latex(text: str) -> list[list[str]]:
    """The cells of the rows of a table, after checking what a compiler would stumble over."""
    plain = re.sub(r"\\[\\{}$&#%_]", "", text)
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    bare = [re.sub(r"\\.", "", line) for line in lines]
    assert not any(letter in line for line in bare for letter in "#%~"), "signs that must be escaped"
    assert all(line.isascii() for line in lines)
    math = re.sub(r"\$[^$]*\$", "", "\n".join(re.sub(r"\\[$_^]", "", line) for line in lines))
    assert not set("_^<>|") & set(math.replace(r"\label", "")), "only in mathematics"
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert opened == [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]
    assert [name for name in re.findall(r"\\(\w+rule)", text)].count("midrule") in (1, 2)
    rows = [line.strip() for line in lines if line.strip().endswith(r"\\") and "multicolumn" not in line]
    return [re.split(r"(?<!\\)&", row.removesuffix(r"\\")) for row in rows]


def test_latex_is_well_formed(project: Path, agreed: None) -> None:
    for options in ({}, {"intervals": True}, {"published": True, "intervals": True}, {"case": "my_set 1/x3"}):
        table = paper_table(project, TASK, **options)  # type: ignore[arg-type]
        text = latex(table)
        rows = read_latex(text)
        columns = re.search(r"\{tabular\}\{(l(r+))\}", text)
        assert columns and {len(row) for row in rows} == {len(columns[1])} == {1 + len(table.columns)}
        assert len(rows) == 1 + len(table.rows)
        assert rf"\label{{tab:super-resolution-{'my-set-1-x3' if 'case' in options else 'photos-x2'}}}" in text
    text = latex(paper_table(project, TASK, published=True))
    assert r"\textbf{32.00} (37.53)" in text and r"near\_1$^{\approx}$ & \underline{31.99} (37.53)" in text
    assert r"made for x4 \& x8 only, 100\%" in text and r"psnr\_y $\uparrow$ (dB)" in text
    assert r"\multicolumn{4}{l}{\emph{as printed}} \\" in text and r"vdsr\_bam & 36.60 & 0.953 & -- \\" in text


def test_what_latex_reads_otherwise_is_written_out() -> None:
    assert escaped(r"a_b & 5% #1 {x} $y ~z^2 \q") == (
        r"a\_b \& 5\% \#1 \{x\} \$y \textasciitilde{}z\textasciicircum{}2 \textbackslash{}q")
    assert escaped("-1.20 [-2.00, 0.10], x-3") == "$-$1.20 [$-$2.00, 0.10], x-3"


def test_csv_holds_the_figures_and_says_what_it_is(project: Path, agreed: None) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMS["csv"](paper_table(project, TASK, intervals=True, published=True)))))
    first = rows[0]
    assert (first["run"], first["psnr_y"], first["psnr_y_place"], first["tied"]) == ("vdsr", "32.00", "1", "0")
    assert float(first["psnr_y_low"]) < 32 < float(first["psnr_y_high"]) and first["psnr_y_printed"] == "37.53"
    assert (first["case"], first["pictures"], first["profile"], first["commit"]) == (
        "photos/x2", "12", "quick", "uncommitted")
    assert rows[1]["tied"] == "1" and rows[3]["note"] == "11 of 12 pictures" and "ssim_y_low" not in first
    printed = next(row for row in rows if row["run"] == "vdsr_bam")
    assert (printed["source"], printed["psnr_y"], printed["psnr_y_printed"]) == ("printed", "", "36.60")
    plain = next(csv.reader(io.StringIO(FORMS["csv"](paper_table(project, TASK)))))
    assert "psnr_y_low" not in plain and "psnr_y_printed" not in plain


def test_markdown_rows_have_one_width(project: Path, agreed: None) -> None:
    lines = FORMS["markdown"](paper_table(project, TASK, published=True)).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table} == {5}
    assert "| vdsr | **32.00** (37.53) |" in lines[2] and "| near_1 ≈ | <ins>31.99</ins> (37.53) |" in lines[3]
    assert "| vdsr_bam (as printed) | 36.60 | 0.953 | – |" in lines


class Page(HTMLParser):
    """Checks that tags close in order and counts the cells of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[int] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.asked += [str(value) for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += int(dict(attributes).get("colspan") or 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_one_file(project: Path, agreed: None) -> None:
    text = FORMS["html"](paper_table(project, TASK, intervals=True, published=True))
    page = Page()
    page.feed(text)
    assert page.open == [] and page.asked == [] and set(page.rows) == {4}
    assert "<b>32.00</b>" in text and "made for x4 &amp; x8 only" in text and "url(" not in text


def test_the_command_prints_each_form(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starts = {"latex": "% needs", "markdown": "| run |", "csv": "run,tied", "html": "<!doctype html>"}
    for form, start in starts.items():
        assert cli.main(["table", "--task", TASK, "--format", form, "--runs", "vdsr", "bicubic"]) == 0
        assert capsys.readouterr().out.startswith(start)


def test_bad_input_is_told_in_sentences(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
            (["--task", TASK, "--case", "photos/x9"], "no case 'photos/x9'; it has photos/x2, my_set 1/x3. Did you"),
            (["--task", TASK, "--runs", "vdrs"], "no run 'vdrs' in its table; it has vdsr, near_1, bicubic, partial, "
                                                 "narrow. Did you mean 'vdsr'?"),
            (["--task", TASK, "--runs", "narrow"], "No run of super_resolution did photos/x2, so there is no table"),
            (["--task", "inpainting"], "There is no comparison of inpainting yet")):
        assert cli.main(["table", *arguments]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["table", "--task", "superresolution"])
    assert "invalid choice: 'superresolution'" in capsys.readouterr().err
    (project / layout.scores(TASK, "vdsr")).unlink()
    with pytest.raises(UserError, match="are not those of its table"):
        paper_table(project, TASK, runs=["vdsr"])


def test_the_commit_is_that_of_the_table_as_it_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / layout.comparison(TASK) / "table.csv"
    path.parent.mkdir(parents=True)
    path.write_text("run\n", encoding="utf-8")
    locked = {path.relative_to(tmp_path).as_posix(): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}
    monkeypatch.setattr(paper, "Lock", lambda root: SimpleNamespace(outs=locked))
    monkeypatch.setattr(paper, "commits", lambda root, asked, task: {
        "table": "c" * 40 if asked["table"] else paper.UNCOMMITTED})
    assert paper._commit(tmp_path, TASK) == "c" * 10
    path.write_text("run\nother\n", encoding="utf-8")
    assert paper._commit(tmp_path, TASK) == paper.UNCOMMITTED
