"""MLflow's scoring protocol, read strictly: a body in one of its forms becomes rows of files and a few parameters.

The forms are `dataframe_split`, `dataframe_records`, `instances` and `inputs` in JSON, and CSV with a heading. What
MLflow would pass over in silence (an unknown column, a misspelt parameter) is refused with a sentence.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import MASK, FileKind
from restore_ml.registry import nearest
from restore_ml.serving.limits import Refusal
from restore_ml.serving.photos import options as checked
from restore_ml.tasks.photos import Exchange, Photos

PARAMETERS = ("scale", "seed")
JSON, CSV = "application/json", "text/csv"


def columns(photos: Exchange) -> tuple[str, ...]:
    """The columns of a task's tables. Everything that takes one picture has `mask` too, so that a mask for a task
    without one is refused by name and an empty column does no harm."""
    return tuple({**photos.names(), **({"mask": None} if isinstance(photos, Photos) else {})})


def signature(photos: Exchange) -> dict[str, list[dict[str, Any]]]:
    """The signature of the models that MLflow stores, in its own words (restore_ml.tracking.writing)."""
    always = {name for name, entry in photos.names().items()
              if all(any(entry == other and other.required for other in way.gives) for way in photos.ways)}
    always -= {"mask"}  # MLflow's own server would refuse what is missing in its own words
    return {
        "inputs": [{"type": "string", "name": name, "required": name in always} for name in columns(photos)],
        "outputs": [{"type": "string", "name": name, "required": len(photos.ways) == 1} for name in photos.results()],
        "params": [{"name": "seed", "type": "long", "default": 1, "shape": None},
                   {"name": "scale", "type": "long", "default": 0, "shape": None},
                   *({"name": option.name, "type": "string", "default": option.values[0], "shape": None}
                     for option in photos.options)],
    }


@dataclass(frozen=True)
class Row:
    """The files of one row by the names of their columns."""

    files: dict[str, bytes]


@dataclass(frozen=True)
class Query:
    """The files of a request in their order; `scale` None: the task's default; `options`: those that are given."""

    rows: list[Row]
    scale: int | None = None
    seed: int = 1
    options: dict[str, str] = field(default_factory=dict)


def media_type(content_type: str | None, encoding: str | None = None) -> str:
    """The content type without parameters; `Refusal` 415 for any but JSON and CSV in UTF-8, uncompressed."""
    kind, *parameters = [part.strip() for part in (content_type or "").split(";")]
    kind = kind.lower()
    if kind not in (JSON, CSV):
        said = f"not {kind[:60]!r}" if kind else "and name that content type"
        raise Refusal(415, f"Send {JSON} or {CSV}, {said}.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if parameter and (name.strip().lower() != "charset" or value.strip().strip('"').lower() not in ("utf-8",
                                                                                                         "utf8")):
            raise Refusal(415, f"The content type may only say charset=utf-8 after the type, not {parameter[:60]!r}.")
    if (encoding or "identity").strip().lower() != "identity":
        raise Refusal(415, "Send the body uncompressed; its content encoding is not taken.")
    return kind


def parse(body: bytes, kind: str, most: int, photos: Exchange) -> Query:
    """Rows and parameters of a body of that media type; `Refusal` 400 for its form, 422 for its contents, 413 for more
    than `most` pictures. `photos`: what the task takes."""
    records, parameters = _csv(body) if kind == CSV else _json(body)
    main = photos.ways[0].main.name
    if not records:
        raise Refusal(422, f"There is no picture in the request; give at least one row with {_an(main)}.")
    if len(records) > most:
        raise Refusal(413, f"There are {len(records)} pictures in the request; at most {most} are taken at once.")
    return Query([_row(record, photos) for record in records], **_parameters(parameters, photos))


def _json(body: bytes) -> tuple[list[dict[str, Any]], Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # broken JSON, broken UTF-8, numbers of thousands of digits, depth
        raise Refusal(400, "The body is not readable JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise Refusal(400, f"The body must be a JSON object with one of {', '.join(FORMS)}.")
    forms = [name for name in value if name in FORMS]
    if len(forms) != 1:
        raise Refusal(400, f"The body must have exactly one of {', '.join(FORMS)}; it has {len(forms)}.")
    for key in value:
        if key not in (*FORMS, "params"):
            raise Refusal(400, f"The body has the unknown key {key[:60]!r}.{nearest(key[:60], (*FORMS, 'params'))}")
    return FORMS[forms[0]](value[forms[0]]), value.get("params")


def _records(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise Refusal(400, "dataframe_records and instances must be lists of objects, one for each picture.")
    return value


def _split(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict) or not {"columns", "data"} <= set(value) <= {"columns", "data", "index"}:
        raise Refusal(400, "dataframe_split must be an object with columns and data (and index, which is not used).")
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise Refusal(400, "The columns of dataframe_split must be a list of names.")
    if len(set(columns)) != len(columns):
        raise Refusal(400, "A column of dataframe_split is named twice.")
    if not isinstance(data, list) or not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        raise Refusal(400, f"The data of dataframe_split must be a list of rows of {len(columns)} values.")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _columns(value: Any) -> list[dict[str, Any]]:
    """`inputs`: an object of columns, each a list or, for one picture, a text; or a list of records."""
    if isinstance(value, list):
        return _records(value)
    if not isinstance(value, dict):
        raise Refusal(400, "inputs must be an object with a list for each column, such as image.")
    columns = {name: column if isinstance(column, list) else [column] for name, column in value.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise Refusal(400, "The columns of inputs must be lists of the same length.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


FORMS: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
    "dataframe_split": _split, "dataframe_records": _records, "instances": _records, "inputs": _columns}


def _csv(body: bytes) -> tuple[list[dict[str, Any]], None]:
    csv.field_size_limit(2**31 - 1)  # the body is already bounded
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise Refusal(400, "The body is not readable CSV in UTF-8.") from None
    rows = [row for row in rows if row]
    return (_split({"columns": rows[0], "data": rows[1:]}) if rows else []), None


def _row(record: dict[str, Any], photos: Exchange) -> Row:
    known, names = photos.names(), columns(photos)
    for name in record:
        if name not in names:
            raise Refusal(422, f"There is no column {name[:60]!r}; the columns are {' and '.join(names)}."
                               f"{nearest(name[:60], names)}")
    found = {name: _file(record.get(name), name, known[name].kind if name in known else MASK) for name in names}
    files = {name: data for name, data in found.items() if data is not None}
    if not any(name in files for way in photos.ways for name in (entry.name for entry in way.gives)):
        main = photos.ways[0].main
        raise Refusal(422, f"A row has no {main.name}; give base64 of {main.kind.what} in the column {main.name}.")
    return Row(files)


def _file(value: Any, column: str, kind: FileKind) -> bytes | None:
    from restore_ml.serving.restore_command import from_text

    nothing = value is None or value == "" or (isinstance(value, float) and math.isnan(value))  # NaN: pandas' nothing
    if nothing:
        return None
    if not isinstance(value, str):
        raise Refusal(422, f"The column {column} must hold texts ({'' if kind.text else 'base64 of '}{kind.what}).")
    try:
        return from_text(value, column, kind)
    except UserError as error:
        raise Refusal(422, str(error)) from None


def _parameters(value: Any, photos: Exchange) -> dict[str, Any]:
    if value is None:
        return {}
    options = {option.name for option in photos.options}
    names = (*PARAMETERS, *sorted(options))
    if not isinstance(value, dict):
        raise Refusal(400, f"params must be an object with {' or '.join(names)}.")
    for name, number in value.items():
        if name not in names:
            raise Refusal(422, f"There is no parameter {name[:60]!r}; there are {' and '.join(names)}."
                               f"{nearest(name[:60], names)}")
        if name in options:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not -2**63 <= number < 2**63:
            raise Refusal(422, f"The parameter {name} must be a whole number of 64 bits.")
    try:
        checked(photos, {name: value[name] for name in options & value.keys()})
    except UserError as error:
        raise Refusal(422, str(error)) from None
    return {"scale": value.get("scale") or None, "seed": value.get("seed") or 1,
            "options": {name: value[name] for name in options & value.keys()}}


def _an(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
