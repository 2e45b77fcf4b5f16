"""Which file of a folder is the output of which sample, by their names alone.

Tools keep a picture's name, or add to it what they are called (`baby_x4_swinir.png`), or lose zeros (`1.png` for
`0001.png`). What is added must be the same for all files; where one name could be two samples, or two files one sample,
nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NAMED = 5
"""Names that a sentence lists before it counts the rest."""
LONGEST = 100
"""Characters of the name of an exported file."""


@dataclass
class Matched:
    """`files`: by the name of its sample, the file that is its output. `how`: what of the names was looked through, in
    words (empty where they are the same); `missing`: samples without a file; `over`: files without a sample; `faults`:
    sentences of what cannot be told."""

    files: dict[str, str] = field(default_factory=dict)
    how: str = ""
    missing: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def plain_names(named: Mapping[str, str]) -> dict[str, str]:
    """Names for files by the ids of the samples: letters, digits, - and _ of their own names, each only once, also on
    disks that take A for a.

    >>> plain_names({"ab12": "s1/8.png", "cd34": "s1_8_png"})
    {'ab12': 's1_8_png-ab12', 'cd34': 's1_8_png-cd34'}
    """
    short = {identity: re.sub(r"[^\w-]", "_", unicodedata.normalize("NFC", name))[:LONGEST].strip("_") or "sample"
             for identity, name in named.items()}
    count = Counter(name.casefold() for name in short.values())
    return {identity: name if count[name.casefold()] == 1 else f"{name}-{identity[:8]}"
            for identity, name in short.items()}


def match(names: Sequence[str], files: Mapping[str, str]) -> Matched:
    """Find the file of each of `names`; `files`: the names of files without their endings, by the whole name."""
    ways: list[tuple[Callable[[str], str], str]] = [
        (_composed, ""), (lambda name: _composed(name).casefold(), "small and capital letters"),
        (lambda name: _without_zeros(_composed(name).casefold()), "leading zeros of numbers")]
    best = Matched(missing=[*names], over=[*files])
    for alike, how in ways:
        found = _match(names, files, alike, how)
        if len(found.missing) + 2 * len(found.faults) < len(best.missing) + 2 * len(best.faults) or (
                not best.files and found.faults and not best.faults):
            best = found
        if not best.missing and not best.faults:
            break
    return best


def _match(names: Sequence[str], files: Mapping[str, str], alike: Callable[[str], str], how: str) -> Matched:
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(alike(name), []).append(name)
    stems = {file: alike(stem) for file, stem in files.items()}
    before, after = _added(known, stems.values())
    found: dict[str, list[str]] = {}
    over = []
    for file, stem in stems.items():
        inner = stem[len(before):len(stem) - len(after)] if (
            len(stem) > len(before) + len(after) and stem.startswith(before) and stem.endswith(after)) else ""
        plain = stem in known  # a file that has lost nothing keeps its name, whatever others add
        key = stem if plain else inner
        found.setdefault(key, []).append(file) if key in known else over.append(file)
    faults = [f"{_and(known[key])} cannot be told apart by the names of the files: {listed(own)}."
              for key, own in found.items() if len(known[key]) > 1]
    faults += [f"Two files for one sample, {known[key][0]}: {listed(own)}. Leave one of them."
               for key, own in found.items() if len(known[key]) == 1 and len(own) > 1]
    files_of = {known[key][0]: own[0] for key, own in found.items() if len(known[key]) == 1 and len(own) == 1}
    for file in [*over]:
        name = known.get(_named(known, stems[file]), [""])[0]
        if name in files_of:  # which of the two is the output?
            faults.append(f"Two files for one sample, {name}: {listed([files_of.pop(name), file])}. Leave one of them.")
            found.setdefault(alike(name), [])
            over.remove(file)
    doubtful = {name for key in found for name in known[key]} - {*files_of}
    through = [how] * bool(how) + [f"{before!r} before the name"] * bool(before) + [
        f"{after!r} after the name"] * bool(after)
    return Matched(files_of, ", ".join(through), [name for name in names if name not in files_of
                                                  and name not in doubtful], over, faults)


def _added(known: Iterable[str], stems: Iterable[str]) -> tuple[str, str]:
    """What most files have before and after a known name; of equally many the shortest, so that `1` is not found in
    `12_x4`."""
    names, counts = [*known], Counter[tuple[str, str]]()
    for stem in stems:
        own = {(stem[:place], stem[place + len(name):]) for name in names
               if name and (place := stem.find(name)) >= 0}
        own |= {(stem[:-len(name)], "") for name in names if name and stem.endswith(name)}
        counts.update(own)
    if not counts:
        return "", ""
    return min(counts, key=lambda ends: (-counts[ends], len(ends[0]) + len(ends[1]), ends))


def _named(known: Iterable[str], stem: str) -> str:
    """The longest known name that a stem begins or ends with as a word of its own; empty where there is none."""
    return max((name for name in known if name and (
        (stem.startswith(name) and not stem[len(name):len(name) + 1].isalnum())
        or (stem.endswith(name) and not stem[-len(name) - 1:-len(name)].isalnum()))), key=len, default="")


def _composed(name: str) -> str:
    """Letters with accents as one sign each: disks of Macs keep them as two."""
    return unicodedata.normalize("NFC", name)


def _without_zeros(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def listed(names: Sequence[str]) -> str:
    """`a.png, b.png and 3 more`; signs that a terminal would obey are written out."""
    rest = len(names) - NAMED
    told = (name if name.isprintable() else repr(name)[1:-1] for name in names[:NAMED])
    return ", ".join(told) + (f" and {rest} more" if rest > 0 else "")


def _and(names: Sequence[str]) -> str:
    return " and ".join(names[:NAMED])

