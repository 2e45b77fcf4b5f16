"""What became of a folder's pictures: the journal that a second call reads, a table and a page to look at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from restore_ml.files import write_text

JOURNAL = "journal.jsonl"
SAME = ("source", "output", "key", "source_sha256", "mask_sha256")
"""What must be equal for an output to be kept."""
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid #ddd; padding: .4rem .6rem; text-align: left; vertical-align: top; }}
img {{ width: 160px; height: 120px; object-fit: contain; background: #f4f4f4; }}
.failed {{ color: #a00; }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<table><tr><th>picture</th><th>before</th><th>after</th><th>size</th><th>seconds</th></tr>
{rows}
</table></html>
"""


@dataclass(frozen=True)
class Line:
    """One picture: names, hashes, size of the output, seconds, and the reason where it failed."""

    source: str
    output: str
    key: str
    source_sha256: str = ""
    mask_sha256: str = ""
    output_sha256: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    reason: str = ""
    mask_share: float = 0.0
    """The share of the picture that its mask marks."""

    def same(self, facts: dict[str, Any]) -> bool:
        """Whether it tells of the same picture, mask, model, settings and output."""
        return all(getattr(self, name) == facts[name] for name in SAME)


def read_journal(path: Path) -> dict[str, Line]:
    """The last whole line of each picture; a torn or foreign line counts as none."""
    lines: dict[str, Line] = {}
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return lines
    kinds = {field.name: str(field.type) for field in fields(Line)}
    for text in texts:
        try:
            value = json.loads(text)
            line = Line(**value)
        except (ValueError, TypeError, RecursionError):
            continue
        if all(type(entry).__name__ == kinds[name] or (kinds[name] == "float" and isinstance(entry, int))
               for name, entry in value.items()):
            lines[line.source] = line
    return lines


def write_journal(path: Path, lines: Iterable[Line]) -> None:
    """Write it anew, whole or not at all."""
    write_text(path, "".join(_text(line) for line in lines))


def append(path: Path, line: Line) -> None:
    """Add a line and flush it to disk."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(_text(line))
        file.flush()
        os.fsync(file.fileno())


def _text(line: Line) -> str:
    return json.dumps(asdict(line)) + "\n"


def write_report(out: Path, folder: Path, title: str, lines: list[Line]) -> None:
    """report.csv and report.html in `out`, about the pictures of `folder`."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["source", "status", "reason", "output", "width", "height", "mask_share", "seconds",
                                    "source_sha256", "mask_sha256", "output_sha256"], extrasaction="ignore")
    writer.writeheader()
    for line in lines:
        writer.writerow(_safe({**asdict(line), "status": "failed" if line.reason else "ok"}))
    write_text(out / "report.csv", seen(table.getvalue()))
    failed = [line for line in lines if line.reason]
    rows = [_row(line, out, folder) for line in [*failed, *(line for line in lines if not line.reason)]]
    summary = (f"{len(lines) - len(failed)} pictures of {escape(str(folder))} restored, {len(failed)} failed, "
               f"{sum(line.seconds for line in lines):.1f} s.")
    write_text(out / "report.html", seen(PAGE.format(title=escape(title), summary=summary, rows="\n".join(rows))))


def seen(text: str) -> str:
    """The text with a replacement character for bytes of file names that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _safe(row: dict[str, Any]) -> dict[str, Any]:
    """Names and reasons that a spreadsheet would take for a formula get an apostrophe in front."""
    return {name: f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
            for name, value in row.items()}


def _row(line: Line, out: Path, folder: Path) -> str:
    before = _picture(os.path.relpath(folder.resolve() / line.source, out.resolve()))
    name = escape(line.source)
    if line.reason:
        return f'<tr class="failed"><td>{name}</td><td>{before}</td><td colspan="3">{escape(line.reason)}</td></tr>'
    return (f"<tr><td>{name}</td><td>{before}</td><td>{_picture(line.output)}</td>"
            f"<td>{line.width} x {line.height}</td><td>{line.seconds:.2f}</td></tr>")


def _picture(path: str) -> str:
    link = quote(os.fsencode(path))
    return f'<a href="{link}"><img loading="lazy" src="{link}" alt=""></a>'
