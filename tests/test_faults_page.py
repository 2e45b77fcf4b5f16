"""The page that says which test holds which fault names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_test_that_the_page_names_is_there() -> None:
    page = (TESTS.parent / "docs/reliability.md").read_text(encoding="utf-8")
    rows = page[page.index("## Which test holds which fault"):].splitlines()
    named = 0
    for row in rows:
        file = ""
        for word in re.findall(r"`([^` ]+)`", row):
            path, colons, test = word.partition("::")
            file = path or file
            if colons:
                named += 1
                assert f"def {test}(" in (TESTS / file).read_text(encoding="utf-8"), word
    assert named > 50
