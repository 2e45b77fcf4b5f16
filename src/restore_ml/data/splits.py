"""Which record trains, validates or tests, and which may do none of it.

- A test collection, or a split stated in collection.json, is taken as it is.
- A group (a person, clip, patient: what its collection says) is wholly on one side. A group with a test record trains
  nothing: its other records are quarantined.
- Every other group follows its name, and a record without a group its content: 95 % train, 5 % validation by (seed,
  group or pixel hash), never by the order of files, so that nothing moves when others come. Where no group falls into
  validation, the one that comes nearest to it does, as long as another one is left to train on.
- Test records come first: one that equals one of them, shows the same, or shares an area is kept out of training and
  validation. Then training: a validation record that equals or resembles a training record is kept out, so that
  near-duplicates never lie on both sides and a newcomer takes none from training.
- What is kept out is quarantined with the reason; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from restore_ml.data import domains
from restore_ml.data.likeness import Likeness, Look, Looks
from restore_ml.seeds import derive

VALIDATION_SHARE = 0.05
NOT_SPILLED = -1
"""The offset of an array whose values were not decoded this time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to prepare: where it lies (a file or a folder) and what its collection says of it.

    `stated`: its split, or empty; `group`: its group, or empty where it is its own; `held_by`: the file or folder that
    holds it beside other records, or empty where it is a file or folder itself; `as_found`: damaged itself.
    """

    collection: str
    file: str
    domain: str
    stated: str
    group: str
    synthetic: bool
    licence: str
    held_by: str = ""
    as_found: bool = False

    @property
    def path(self) -> str:
        """The path below data/, as manifests show it."""
        return f"{self.collection}/pictures/{self.file}"

    @property
    def name(self) -> str:
        """The file's path in its collection without the suffix."""
        folder, slash, last = self.file.rpartition("/")
        return folder + slash + (last.rpartition(".")[0] or last)

    @property
    def shown_group(self) -> str:
        """The group as manifests show it: intervals resample whole groups, and a record without one is its own."""
        return self.group or self.name


@dataclass(frozen=True, slots=True)
class Array:
    """Where decoded values lie in the file of all decoded pixels, or NOT_SPILLED."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded record: its pixel hash, where its values lie, how it looks, and the test record it overlaps."""

    entry: Entry
    id: str
    arrays: tuple[Array, ...]
    look: Look
    overlaps: str = ""

    @property
    def main(self) -> Array:
        """The array that manifests describe, as its domain says."""
        name = domains.get(self.entry.domain).main
        return next(array for array in self.arrays if array.name == name)

    @property
    def spilled(self) -> bool:
        """Whether its values were decoded this time."""
        return all(array.offset != NOT_SPILLED for array in self.arrays)


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture with its split (train, validation or test)."""

    picture: Decoded
    split: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A picture that is not used: its path, the split it would have had, its hash ('' if unreadable) and the reason."""

    path: str
    collection: str
    split: str
    id: str
    reason: str


Unit = tuple[str, str]
"""What is split as one: (collection, group), or ("", id) of a record without a group."""


def split_of(key: str, seed: int) -> str:
    """`train` or `validation` from the seed and a record's id, or the path of its group, alone.

    >>> split_of("faces/person 1", seed=1)
    'train'
    """
    return "validation" if _draw(key, seed) < VALIDATION_SHARE else "train"


def _draw(key: str, seed: int) -> float:
    """A number from 0 to 1."""
    return derive("split", seed, key) / 2**63


def assign(pictures: Iterable[Decoded], seed: int, reserved: dict[str, dict[str, Look]] | None = None,
           ) -> tuple[list[Placed], list[Quarantined]]:
    """Place every record in one split or quarantine it; the result depends on the set of records, not on its order.

    `reserved`: by domain, looks of whole records (by name) of which only parts are tested.
    """
    placed: list[Placed] = []
    out: list[Quarantined] = []
    for domain, members in _by_domain(pictures).items():
        kept, refused = _assign_domain(domain, members, seed, (reserved or {}).get(domain, {}))
        placed += kept
        out += refused
    return placed, sorted(out, key=lambda item: (item.path, item.reason))


def _by_domain(pictures: Iterable[Decoded]) -> dict[str, list[Decoded]]:
    by_domain: dict[str, list[Decoded]] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.entry.collection, picture.entry.file)):
        by_domain.setdefault(picture.entry.domain, []).append(picture)
    return by_domain


def _assign_domain(domain: str, pictures: list[Decoded], seed: int,
                   reserved: dict[str, Look]) -> tuple[list[Placed], list[Quarantined]]:
    likeness = domains.get(domain).likeness
    test, refused = _distinct([item for item in pictures if item.entry.stated == "test"], "test", per_collection=True)
    tests = _Tests({picture.id: picture.entry.path for picture in test},
                   {_unit(picture): picture.entry.path for picture in test if picture.entry.group})
    looks = Looks({**reserved, **{picture.entry.path: picture.look for picture in test}}, likeness)
    others = [item for item in pictures if item.entry.stated != "test"]
    near = looks.nearest([item.look for item in others])
    reasons = _for_whole_groups(others, [tests.clash(*pair) for pair in zip(others, near, strict=True)])
    splits = _splits_of_units(others, seed)
    refused += [_quarantine(picture, _split(picture, splits), reason)
                for picture, reason in zip(others, reasons, strict=True) if reason]
    learn = [picture for picture, reason in zip(others, reasons, strict=True) if not reason]
    train, validation, kept_out = _divide(learn, splits, seed, likeness)
    kept = [Placed(picture, split) for split, members in
            (("train", train), ("validation", validation), ("test", test)) for picture in members]
    return kept, refused + kept_out


def _for_whole_groups(pictures: list[Decoded], reasons: list[str]) -> list[str]:
    """The reasons why records are kept out, given to all of a group one of whose records shows what is tested on."""
    first: dict[Unit, str] = {}
    for picture, reason in zip(pictures, reasons, strict=True):
        if reason and picture.entry.group:
            first.setdefault(_unit(picture), f"same group as {picture.entry.path}, which is kept out: {reason}")
    return [reason or first.get(_unit(picture), "") for picture, reason in zip(pictures, reasons, strict=True)]


def _unit(picture: Decoded) -> Unit:
    entry = picture.entry
    return (entry.collection, entry.group) if entry.group else ("", picture.id)


def _key(unit: Unit) -> str:
    """What a unit's split is drawn from: `collection/group`, or the pixel hash."""
    return "/".join(unit) if unit[0] else unit[1]


def _splits_of_units(pictures: list[Decoded], seed: int) -> dict[Unit, str]:
    """The split of every unit: what is stated of any of its records (train before validation), else what is drawn."""
    stated: dict[Unit, set[str]] = {}
    for picture in pictures:
        stated.setdefault(_unit(picture), set()).add(picture.entry.stated)
    return {unit: next((split for split in ("train", "validation") if split in splits), split_of(_key(unit), seed))
            for unit, splits in stated.items()}


def _split(picture: Decoded, splits: dict[Unit, str]) -> str:
    """The split of a record: of its group, else as stated of it alone, else of its unit."""
    own = "" if picture.entry.group else picture.entry.stated
    return own or splits[_unit(picture)]


@dataclass(frozen=True)
class _Tests:
    """The paths of test records by id and by group."""

    ids: dict[str, str]
    groups: dict[Unit, str]

    def clash(self, picture: Decoded, near: str | None) -> str:
        """Why the record may not train or validate, or an empty text; `near`: the test record that shows the same."""
        if picture.id in self.ids:
            return f"duplicate of the test picture {self.ids[picture.id]}"
        if _unit(picture) in self.groups:
            return f"same group as the test picture {self.groups[_unit(picture)]}"
        if near is not None:
            return f"near-duplicate of the test picture {near}"
        return f"shares an area with the test picture {picture.overlaps}" if picture.overlaps else ""


def _divide(pictures: list[Decoded], splits: dict[Unit, str], seed: int, likeness: Likeness | None,
            ) -> tuple[list[Decoded], list[Decoded], list[Quarantined]]:
    """Training, validation, and what is kept out of both. If nothing is left to validate on, units that are drawn next
    to the share, and that no collection has stated, are tried for it."""
    train, validation, refused = _sides(pictures, splits, likeness)
    units = {_unit(picture) for picture in train}
    fixed = {_unit(picture) for picture in train if picture.entry.stated}
    for unit in sorted(units - fixed, key=lambda unit: _draw(_key(unit), seed))[:TRIES]:
        if validation or len(units) < 2:
            break
        tried = _sides(pictures, {**splits, unit: "validation"}, likeness)
        if tried[0] and tried[1]:
            return tried
    return train, validation, refused


TRIES = 16
"""Units that are tried for validation where none falls into it and those tried resemble the rest."""


def _sides(pictures: list[Decoded], splits: dict[Unit, str], likeness: Likeness | None,
           ) -> tuple[list[Decoded], list[Decoded], list[Quarantined]]:
    train, twice = _distinct([item for item in pictures if _split(item, splits) == "train"], "train")
    validation, again = _distinct([item for item in pictures if _split(item, splits) == "validation"], "validation")
    validation, both = _apart(train, validation, likeness)
    return train, validation, twice + again + both


def _distinct(pictures: list[Decoded], split: str,
              per_collection: bool = False) -> tuple[list[Decoded], list[Quarantined]]:
    """One picture of each hash (the first path), within a collection or over all."""
    first: dict[tuple[str, str], Decoded] = {}
    kept, refused = [], []
    for picture in pictures:
        key = (picture.entry.collection if per_collection else "", picture.id)
        if key in first:
            refused.append(_quarantine(picture, split, f"duplicate of {first[key].entry.path}"))
        else:
            first[key] = picture
            kept.append(picture)
    return kept, refused


def _apart(train: list[Decoded], validation: list[Decoded],
           likeness: Likeness | None) -> tuple[list[Decoded], list[Quarantined]]:
    """The validation records that neither equal nor resemble a training record."""
    ids = {picture.id: picture.entry.path for picture in train}
    looks = Looks({picture.entry.path: picture.look for picture in train} if validation else {}, likeness)
    kept, refused = [], []
    for picture, near in zip(validation, looks.nearest([item.look for item in validation]), strict=True):
        if picture.id in ids:
            refused.append(_quarantine(picture, "validation", f"duplicate of the training picture {ids[picture.id]}"))
        elif near is not None:
            refused.append(_quarantine(picture, "validation", f"near-duplicate of the training picture {near}"))
        else:
            kept.append(picture)
    return kept, refused


def _quarantine(picture: Decoded, split: str, reason: str) -> Quarantined:
    return Quarantined(picture.entry.path, picture.entry.collection, split, picture.id, reason)
