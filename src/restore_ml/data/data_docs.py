"""Great Expectations, kept in one place: runs suites on data frames and writes the Data Docs.

One process, an ephemeral context, no telemetry, no progress bars. The import takes seconds, so it happens here, inside
the function, and all suites of a rebuild run in one call.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SEEN = ("observed_value", "details", "partial_missing_list", "partial_unexpected_list")
"""What a result may say of a table that does not fulfil an expectation as a whole."""
SHOWN = 5
"""How many failing rows a sentence names."""


@dataclass(frozen=True)
class Expect:
    """One expectation: the class in `great_expectations.expectations` without its `Expect`, and its arguments."""

    kind: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        """`ColumnValuesToBeUnique(column='id')`."""
        return f"{self.kind}({', '.join(f'{key}={value!r}' for key, value in sorted(self.arguments.items()))})"


@dataclass(frozen=True)
class Suite:
    """Expectations of one frame. `rows`: the columns that name a failing row to a person."""

    name: str
    frame: pd.DataFrame
    expectations: Sequence[Expect]
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A broken expectation: its suite and a sentence part that names rows or what was seen."""

    suite: str
    expectation: Expect
    detail: str
    rows: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """`suite: expectation: detail`."""
        return f"{self.suite}: {self.expectation}: {self.detail}"


def run(suites: Sequence[Suite], docs: Path) -> list[Failure]:
    """Check every suite, write the Data Docs to `docs` (replaced), return what failed in the order of the suites.

    A full disk and a lack of permission are the `OSError` that they are.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations import expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # of temporary folders
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_or_update_pandas("frames")
    failures = []
    for suite in suites:
        batches = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
        built = {str(item): getattr(gxe, f"Expect{item.kind}")(**item.arguments) for item in suite.expectations}
        stored = context.suites.add_or_update(gx.ExpectationSuite(name=suite.name, expectations=list(built.values())))
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=suite.name, data=batches, suite=stored))
        # a row is named only by columns that are there: a missing one is itself a broken expectation
        rows = [column for column in suite.rows if column in suite.frame]
        outcome = definition.run(batch_parameters={"dataframe": suite.frame}, result_format={
            "result_format": "COMPLETE", "unexpected_index_column_names": rows})
        failures += _failures(suite, outcome.results)
    shutil.rmtree(docs, ignore_errors=True)
    context.add_data_docs_site(site_name="docs", site_config={
        "class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}})
    with _told(docs):
        context.build_data_docs(site_names=["docs"])
    return failures


@contextmanager
def _told(docs: Path) -> Iterator[None]:
    """Raise the system's errors, which Great Expectations logs with a stack trace and then goes on without the page."""
    numbers: list[int] = []

    def pass_on(record: logging.LogRecord) -> bool:
        match = re.search(r'Error: "\[Errno (\d+)\]', record.getMessage())
        numbers.extend(int(number) for number in (match.groups() if match else ()))
        return match is None

    log = logging.getLogger("great_expectations.render.renderer.site_builder")
    log.addFilter(pass_on)
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or str(docs)) from error
    finally:
        log.removeFilter(pass_on)
    if numbers:
        raise OSError(numbers[0], os.strerror(numbers[0]), str(docs))


def _failures(suite: Suite, results: Sequence[Any]) -> list[Failure]:
    """Failed results in the order of the suite's expectations."""
    by_text: dict[tuple[str, Any], list[Any]] = {}
    for result in results:
        config = result.expectation_config
        kind = "".join(part.capitalize() for part in config.type.split("_")).removeprefix("Expect")
        column = config.kwargs.get("column") or tuple(config.kwargs.get("column_list") or ())
        if not result.success:
            by_text.setdefault((kind.lower(), column), []).append(result)
    failures = []
    for item in suite.expectations:
        column = item.arguments.get("column") or tuple(item.arguments.get("column_list") or ())
        for result in by_text.pop((item.kind.lower(), column), []):
            failures.append(_failure(suite, item, result))
    return failures


def _failure(suite: Suite, item: Expect, result: Any) -> Failure:
    column = item.arguments.get("column")
    if column and column not in suite.frame:
        return Failure(suite.name, item, f"there is no column {column!r}")
    rows = []
    for entry in result.result.get("unexpected_index_list") or []:
        name = " ".join(str(entry[key]) for key in suite.rows if key in entry)
        value = entry.get(column) if column not in suite.rows else None
        rows.append(f"{name} ({value!r})" if column and column not in suite.rows else name)
    if rows:
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        return Failure(suite.name, item, f"{len(rows)} rows fail: {', '.join(rows[:SHOWN])}{more}", rows)
    seen = {key: result.result[key] for key in SEEN if result.result.get(key)}
    return Failure(suite.name, item, f"seen {seen}" if seen else "the table does not fulfil it")
