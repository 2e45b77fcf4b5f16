"""What became of a folder's pictures: the journal that a second call reads, a table and a page to look at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from restore_ml.base.files import write_text

JOURNAL = "journal.jsonl"
SAME = ("source", "output", "key", "source_sha256", "mask_sha256")
"""What must be equal for an output to be kept."""


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
    write_text(out / "report.html", seen(_page(title, folder, out, lines)))


def _page(title: str, folder: Path, out: Path, lines: list[Line]) -> str:
    """The page in `out`: what failed first, each picture beside what became of it; every value is escaped."""
    import jinja2

    def link(path: str) -> str:
        return quote(os.fsencode(path))

    failed = [line for line in lines if line.reason]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True,
                                     undefined=jinja2.StrictUndefined)
    template = resources.files("restore_ml.serving").joinpath("report.html.j2").read_text(encoding="utf-8")
    rows = [{"line": line, "before": link(os.path.relpath(folder.resolve() / line.source, out.resolve())),
             "after": link(line.output)} for line in [*failed, *(line for line in lines if not line.reason)]]
    return environment.from_string(template).render(title=title, folder=str(folder), rows=rows, failed=len(failed),
                                                    seconds=sum(line.seconds for line in lines))


def seen(text: str) -> str:
    """The text with a replacement character for bytes of file names that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _safe(row: dict[str, Any]) -> dict[str, Any]:
    """Names and reasons that a spreadsheet would take for a formula get an apostrophe in front."""
    return {name: f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
            for name, value in row.items()}
