"""Figures that sources print, kept as data (`published.csv`), and the rule by which one stands in a measured row.

Columns of published.csv, a row a figure; nothing in it was measured here:

    task      of ours, that the figure would belong to
    source    of `SOURCES`, and `line` of its text, where the figure is printed
    table     a name of ours for the printed table
    set, case the test set and its case (a scale, a direction, a degradation) as printed; empty where none is said
    method    by the name that a method has or would have here
    metric    as printed (`psnr`, `ssim_percent`); `value` keeps the printed digits
    bold      1 where it is printed bold, which is not always the best
    better    higher or lower; empty where the source does not say or is in doubt
    kind      figure; gain (a difference between two methods, never a figure of a row); misprint (cannot be right)
    note      what is wrong with it or was read into it

What belongs to no task (parameters of a layer, the size of a field) is left out.

A figure stands in a measured row only where `AGREEMENTS` says that task, table, printed set, printed case and metric
are those of one of our cases, and where the pictures of the case are, pixel for pixel, those of the printed set.
Everything else is shown as printed and compared with nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from restore_ml.base.files import canonical_json, sha256

SOURCES = {
    "000": "course text on learned image colorization and style transfer, topics 1 and 2",
    "002": "X. Gao, \"Cross-domain Image Reconstruction\", lecture",
    "004": "Z. Li, \"Computer vision\", lecture, week 6",
}
MISPRINT = "misprint"
TITLES = {
    "binary_sr": "Binary networks for super-resolution",
    "bam_claim": "Gains of bit accumulation",
    "fca_gan_gain": "Gains of frequency channel attention",
    "dcf_ssim": "Sketches by a deep collaborative framework, SSIM",
    "kt_fsim": "Sketches by knowledge transfer, FSIM",
    "sketch_transformer": "Sketches and photographs by a transformer",
    "face_sr": "Faces enlarged 8 times",
    "face_recognition": "Enlarged faces that are recognised",
    "video_face_sr": "Faces in videos",
    "style": "Style transfer",
    "ilsvrc": "Winners on ImageNet",
}
"""What a printed table is called on a page, in words of ours."""

Printed = Mapping[tuple[str, str], str]
"""(method, metric of ours) -> the figure as it is printed."""


@dataclass(frozen=True)
class Figure:
    """A row of published.csv; `value` as it is printed."""

    task: str
    source: str
    line: str
    table: str
    set: str
    case: str
    method: str
    metric: str
    value: str
    bold: str
    better: str
    kind: str
    note: str


@dataclass(frozen=True)
class Agreement:
    """A printed case that one of ours equals. `pictures`: `fingerprint` of the set; `metrics`: the printed name of each
    metric and ours."""

    task: str
    table: str
    set: str
    case: str
    pictures: str
    degradation: str
    metrics: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Block:
    """A printed table of one test set: `columns` are (case, metric), `rows` a method with a text a column and whether
    that is bold; `agrees`: with which of our cases, or why with none."""

    title: str
    source: str
    agrees: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]
    notes: tuple[str, ...]


SET5 = "8984a62143d43624171d48dae2cac37efe2831aa06f781fac63b998e95a463ca"
B100 = "410b5d585adaa01fd7316f20ed9ff9a2e14fe77c2e64940703ae1a111104bb0a"  # sides cropped to even numbers
B100_BY_3 = "09fcdf70ad406b8286e1de282d2c53bbc8a393aa3230ec26c73bb0961aafd8d4"  # to multiples of 3
LUMA = (("psnr", "psnr_y"), ("ssim", "ssim_y"))
AGREEMENTS = tuple(Agreement("super_resolution", "binary_sr", printed, case, pictures, case, LUMA)
                   for printed, case, pictures in (
    ("Set5", "x2", SET5), ("Set5", "x3", SET5), ("Set5", "x4", SET5),
    ("B100", "x2", B100), ("B100", "x3", B100_BY_3), ("B100", "x4", B100)))
"""Bicubic by MATLAB's imresize, luma of BT.601, a border of the scale shaved. Our rows are of 8-bit colour, the printed
ones of luma alone: on these cases our bicubic reads up to 0.02 dB and 0.0013 above its printed row."""
APART = {
    ("binary_sr", "Set14"): "does not agree with our rows: a picture of it that is grey but saved in colour counts "
                            "here as grey, which reads 0.10 dB lower",
    ("binary_sr", "Urban100"): "does not agree with our rows: pictures of it that are grey but saved in colour count "
                               "here as grey, which reads 0.09 dB lower",
    ("bam_claim", ""): "gains, not figures of a row",
    ("fca_gan_gain", ""): "gains over other methods on pictures that are not named",
    ("dcf_ssim", ""): "its test pairs are none of our sets, and sketches are compared by other rules",
    ("kt_fsim", ""): "its test pairs are none of our sets",
    ("sketch_transformer", ""): "its test pairs are none of our sets, and its networks measure nothing here",
    ("face_sr", ""): "neither its faces nor the strength of blur and noise are named",
    ("face_recognition", ""): "neither its faces nor its recogniser are named",
    ("video_face_sr", ""): "neither its clips nor their factor are named",
    ("style", ""): "its pictures are not named",
    ("ilsvrc", ""): "nothing here is tested on ImageNet",
}
"""Why a printed table, or one of its sets, agrees with no case of ours."""


@lru_cache(maxsize=1)
def everything() -> tuple[Figure, ...]:
    """All figures, in the order of the file."""
    text = resources.files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(Figure(**row) for row in csv.DictReader(text.splitlines()))


def figures(task: str) -> tuple[Figure, ...]:
    """Those of a task; none where no source prints any."""
    return tuple(figure for figure in everything() if figure.task == task)


def digest(task: str) -> str:
    """The hash of a task's figures, which its table depends on; empty where there are none."""
    rows = [list(vars(figure).values()) for figure in figures(task)]
    return sha256(canonical_json(rows).encode()) if rows else ""


def fingerprint(pictures: Iterable[str]) -> str:
    """The hash of a set of pictures from their ids, which are hashes of pixels."""
    return sha256("\n".join(sorted(set(pictures))).encode())


def agreeing(task: str, case: str, pictures: Iterable[str]) -> dict[tuple[str, str], str]:
    """The printed figures that may stand in the measured rows of `case` (`set/degradation`), by (method, our metric).

    `pictures`: the ids of the case's pictures. What the person calls the set does not matter; misprints never agree.
    """
    degradation, print_of_set = case.partition("/")[2], fingerprint(pictures)
    names = {(found.table, found.set, found.case, printed): ours for found in AGREEMENTS
             if (found.task, found.degradation, found.pictures) == (task, degradation, print_of_set)
             for printed, ours in found.metrics}
    return {(figure.method, names[figure.table, figure.set, figure.case, figure.metric]): figure.value
            for figure in figures(task)
            if figure.kind == "figure" and (figure.table, figure.set, figure.case, figure.metric) in names}


def with_printed(text: str, printed: Printed, method: str, metric: str) -> str:
    """A measured cell with the printed figure of its method behind it, where one agrees: `33.68 (printed 33.66)`."""
    value = printed.get((method.rpartition(".")[2], metric))
    return text if value is None else f"{text} (printed {value})"


def blocks(task: str) -> list[Block]:
    """All figures of a task as printed, a block a table and test set, in the order of the file."""
    return [_block(table, printed_set, [figure for figure in figures(task)
                                        if (figure.table, figure.set) == (table, printed_set)])
            for table, printed_set in dict.fromkeys((figure.table, figure.set) for figure in figures(task))]


def _block(table: str, printed_set: str, found: list[Figure]) -> Block:
    columns = tuple(dict.fromkeys((figure.case, figure.metric) for figure in found))
    cells = {(figure.method, figure.case, figure.metric): figure for figure in found}
    rows = tuple((method, tuple(_cell(cells.get((method, *column))) for column in columns))
                 for method in dict.fromkeys(figure.method for figure in found))
    lines = sorted({int(figure.line) for figure in found})
    source = f"{SOURCES[found[0].source]}, line{'s' * (len(lines) > 1)} {lines[0]}" + (
        f" to {lines[-1]}" if len(lines) > 1 else "")
    cases = [entry.case for entry in AGREEMENTS if (entry.table, entry.set) == (table, printed_set)]
    agrees = ("agrees with our " + ", ".join(cases) + " on the same pictures" if cases
              else APART.get((table, printed_set)) or APART.get((table, ""), "agrees with no case of ours"))
    notes = dict.fromkeys(f"{figure.method}{f' {figure.case}' if figure.case else ''} {figure.metric}: {figure.note}"
                          for figure in found if figure.note)
    title = TITLES[table] + (f", {printed_set}" if printed_set else "")
    return Block(title, source, agrees, columns, rows, tuple(notes))


def _cell(figure: Figure | None) -> tuple[str, bool]:
    if figure is None:
        return "–", False
    return figure.value + " (misprint)" * (figure.kind == MISPRINT), figure.bold == "1"


def markdown(task: str) -> list[str]:
    """The lines of the block "as printed" of table.md; none where no source prints figures of the task."""
    lines: list[str] = []
    for block in blocks(task):
        heads = ["method", *(" ".join(filter(None, column)) for column in block.columns)]
        lines += [f"### {block.title}", "", f"{block.source}; {block.agrees}.", "",
                  "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        lines += ["| " + " | ".join([method, *(f"**{text}**" if bold else text for text, bold in cells)]) + " |"
                  for method, cells in block.rows]
        lines += ["", *(f"- {note}" for note in block.notes), *([""] if block.notes else [])]
    return ["## As printed", "", EXPLAINED, "", *lines] if lines else []


EXPLAINED = ("Figures that sources print, bold as printed. None was measured here; only where a table says that it "
             "agrees do our rows show its figures, in brackets behind their own.")
