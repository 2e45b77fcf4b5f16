"""A value as YAML on one line, for entries that commands write into a file of a person's."""

from __future__ import annotations

import io
from typing import Any


def flow(value: Any) -> str:
    """The value as YAML reads it back: a text that would be read as a number or a date is in quotes.

    >>> flow("swinir"), flow("1e5"), flow({"layers": 3})
    ('swinir', "'1e5'", '{layers: 3}')
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, 100_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump([value], out)
    return out.getvalue().strip()[1:-1]
