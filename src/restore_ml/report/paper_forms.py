"""The forms of a table for a paper (`restore_ml.report.paper.PaperTable`): LaTeX, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable

from restore_ml.report.paper import TIE, Cell, PaperTable, Row
from restore_ml.tasks.protocol import Metric

_LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
          "|": r"\textbar{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "–": "--", "−": "$-$",
          "`": r"\textquoteleft{}", '"': r"\textquotedbl{}"}


def latex(table: PaperTable) -> str:
    """A floating table with booktabs' rules; its caption and label are in it, `\\usepackage{booktabs}` is not."""
    lines = [r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}", r"\begin{table}", r"  \centering",
             rf"  \caption{{{escaped(_caption(table))}}}", rf"  \label{{tab:{label(table)}}}",
             rf"  \begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"    \toprule",
             _latex_row(["run", *(escaped(heading(metric)) for metric in table.columns)]), r"    \midrule"]
    lines += [_latex_row([_latex_name(row), *map(_latex_cell, row.cells)]) for row in table.measured()]
    if table.printed():
        lines += [r"    \midrule", rf"    \multicolumn{{{len(table.columns) + 1}}}{{l}}{{\emph{{as printed}}}} \\"]
        lines += [_latex_row([_latex_name(row), *map(_latex_cell, row.cells)]) for row in table.printed()]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"])


def escaped(text: str) -> str:
    """Text as LaTeX sets it: every sign that means something there is written out; a minus before a figure is one."""
    return re.sub(r"(?<![\w\]])-(?=\d)", "$-$", "".join(_LATEX.get(letter, letter) for letter in text))


def label(table: PaperTable) -> str:
    """`super-resolution-photos-x2`: what a label may hold."""
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{table.task}-{table.case}").strip("-")


def _latex_row(cells: list[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"


def _latex_name(row: Row) -> str:
    return escaped(row.name) + (r"$^{\approx}$" if row.tied else "")


def _latex_cell(cell: Cell) -> str:
    mean = escaped(cell.mean)
    mean = {1: rf"\textbf{{{mean}}}", 2: rf"\underline{{{mean}}}"}.get(cell.place, mean)
    between = rf" {{\footnotesize{escaped(cell.interval)}}}" if cell.interval else ""
    return mean + between + (f" ({escaped(cell.printed)})" if cell.printed else "")


def markdown(table: PaperTable) -> str:
    """A table of GitHub's Markdown with its caption below."""
    heads = ["run", *(heading(metric) for metric in table.columns)]
    lines = [_bars(heads), "| --- |" + " ---: |" * len(table.columns)]
    lines += [_bars([row.name + (f" {TIE}" if row.tied else "") + (" (as printed)" if row.printed else ""),
                     *map(_markdown_cell, row.cells)]) for row in table.rows]
    return "\n".join([*lines, "", _caption(table)])


def _bars(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    mean = {1: f"**{cell.mean}**", 2: f"<ins>{cell.mean}</ins>"}.get(cell.place, cell.mean)
    return mean + cell.interval + (f" ({cell.printed})" if cell.printed else "")


def csv_text(table: PaperTable) -> str:
    """A row a run: of each metric the mean, its rank where it is first or second, of the metric that ranks the ends of
    the interval, the printed figure; then what holds for the whole table, so that the file says by itself what it is.
    """
    heads, first = ["run", "tied", "source"], table.columns[0]
    for metric in table.columns:
        heads += [metric.name, f"{metric.name}_place"]
        heads += [f"{metric.name}_low", f"{metric.name}_high"] if table.intervals and metric is first else []
        heads += [f"{metric.name}_printed"] if table.published else []
    heads += ["note", "task", "case", "pictures", "profile", "commit"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        line: list[str] = [row.name, str(int(row.tied)), "printed" if row.printed else "measured"]
        for metric, cell in zip(table.columns, row.cells, strict=True):
            mean = cell.mean.replace("–", "")
            line += ["" if row.printed else mean, str(cell.place or "")]
            ends = re.findall(r"[-+\d.]+", cell.interval) or ["", ""]
            line += ends if table.intervals and metric is first else []
            line += [mean if row.printed else cell.printed] if table.published else []
        writer.writerow([*line, row.note, table.task, table.case, str(table.pictures), table.profile, table.commit])
    return out.getvalue().rstrip("\n")


def page(table: PaperTable) -> str:
    """A whole page of HTML that needs no other file."""
    rows = "\n".join(_html_row(row) for row in table.measured())
    if table.printed():
        rows += (f'\n<tr><th colspan="{len(table.columns) + 1}" class="part">as printed</th></tr>\n'
                 + "\n".join(_html_row(row) for row in table.printed()))
    heads = "".join(f'<th scope="col">{html.escape(heading(metric))}</th>' for metric in table.columns)
    caption = html.escape(_caption(table))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(f"{table.task}, {table.case}")}</title>
<style>
body{{font:16px/1.45 Georgia,"DejaVu Serif",serif;margin:1.5rem;color:#111;background:#fff}}
div{{overflow-x:auto}}
table{{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid;font-variant-numeric:tabular-nums}}
caption{{caption-side:bottom;text-align:left;font-size:.85rem;padding-top:.6rem}}
th,td{{padding:.2rem .8rem;text-align:right;white-space:nowrap;font-weight:400}}
th:first-child{{text-align:left}}
thead th{{border-bottom:1px solid}}
.part{{border-top:1px solid;font-style:italic}}
small{{color:#555}}
</style>
</head>
<body>
<div><table>
<caption>{caption}</caption>
<thead><tr><th scope="col">run</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</body>
</html>"""


def _html_row(row: Row) -> str:
    mark = f' <span title="cannot be told from the best">{TIE}</span>' if row.tied else ""
    cells = "".join(f"<td>{_html_cell(cell)}</td>" for cell in row.cells)
    return f'<tr><th scope="row">{html.escape(row.name)}{mark}</th>{cells}</tr>'


def _html_cell(cell: Cell) -> str:
    mean = {1: f"<b>{cell.mean}</b>", 2: f"<u>{cell.mean}</u>"}.get(cell.place, cell.mean)
    between = f"<small>{html.escape(cell.interval)}</small>" if cell.interval else ""
    return mean + between + (f" ({html.escape(cell.printed)})" if cell.printed else "")


def heading(metric: Metric) -> str:
    """`psnr_y ↑ (dB)`."""
    return metric.heading + (f" ({metric.unit})" if metric.unit else "")


def _caption(table: PaperTable) -> str:
    return " ".join(table.caption)


FORMS: dict[str, Callable[[PaperTable], str]] = {"latex": latex, "markdown": markdown, "csv": csv_text, "html": page}
