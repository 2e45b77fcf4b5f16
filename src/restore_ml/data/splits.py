"""Which picture trains, validates or tests, and which may do none of it.

- A test collection, or a split stated in collection.json, is taken as it is.
- Every other picture follows its content: 95 % train, 5 % validation by (seed, pixel hash), never by the order of
  files, so that no picture moves when others come.
- Test pictures come first: a picture that equals one, shows the same, or shares an area with one is kept out of
  training and validation. Then training: a validation picture that equals or resembles a training picture, or is of
  its group, is kept out, so that near-duplicates never lie on both sides and a newcomer takes none from training.
- What is kept out is quarantined with the reason; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from restore_ml.data.likeness import Look, Looks
from restore_ml.seeds import derive

VALIDATION_SHARE = 0.05
NOT_SPILLED = -1
"""The offset of an array whose values were not decoded this time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to prepare: where it lies and what its collection says of it. `stated`: its split, or empty."""

    collection: str
    file: str
    domain: str
    stated: str
    group: str
    synthetic: bool
    licence: str

    @property
    def path(self) -> str:
        """The path below data/, as manifests show it."""
        return f"{self.collection}/pictures/{self.file}"

    @property
    def name(self) -> str:
        """The file's path in its collection without the suffix."""
        stem, _, _ = self.file.rpartition(".")
        return stem or self.file


@dataclass(frozen=True, slots=True)
class Array:
    """Where decoded values lie in the file of all decoded pixels, or NOT_SPILLED."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture: its pixel hash, where its values lie, how it looks, and the test picture it overlaps."""

    entry: Entry
    id: str
    arrays: tuple[Array, ...]
    look: Look
    overlaps: str = ""

    @property
    def main(self) -> Array:
        """The array that manifests describe: the photo, or the scene's target date."""
        return next(array for array in self.arrays if array.name in ("image", "target"))

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


def split_of(identity: str, seed: int) -> str:
    """`train` or `validation` from the seed and the pixel hash alone."""
    return "validation" if derive("split", seed, identity) / 2**63 < VALIDATION_SHARE else "train"


def assign(pictures: Iterable[Decoded], seed: int,
           reserved: dict[str, Look] | None = None) -> tuple[list[Placed], list[Quarantined]]:
    """Place every picture in one split or quarantine it; the result depends on the set of pictures, not on its order.

    `reserved`: looks of whole photographs (by name) of which only parts are tested.
    """
    placed: list[Placed] = []
    out: list[Quarantined] = []
    for domain, members in _by_domain(pictures).items():
        kept, refused = _assign_domain(members, seed, (reserved or {}) if domain == "photos" else {})
        placed += kept
        out += refused
    return placed, sorted(out, key=lambda item: (item.path, item.reason))


def _by_domain(pictures: Iterable[Decoded]) -> dict[str, list[Decoded]]:
    domains: dict[str, list[Decoded]] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.entry.collection, picture.entry.file)):
        domains.setdefault(picture.entry.domain, []).append(picture)
    return domains


def _assign_domain(pictures: list[Decoded], seed: int,
                   reserved: dict[str, Look]) -> tuple[list[Placed], list[Quarantined]]:
    test, refused = _distinct([item for item in pictures if item.entry.stated == "test"], "test", per_collection=True)
    learn: dict[str, list[Decoded]] = {"train": [], "validation": []}
    tested = {picture.id: picture.entry.path for picture in test}
    looks = Looks({**reserved, **{picture.entry.path: picture.look for picture in test}})
    others = [item for item in pictures if item.entry.stated != "test"]
    for picture, near in zip(others, looks.nearest([item.look for item in others]), strict=True):
        split = picture.entry.stated or split_of(picture.id, seed)
        reason = _clash_with_test(picture, tested, near)
        if reason:
            refused.append(_quarantine(picture, split, reason))
        else:
            learn[split].append(picture)
    train, twice = _distinct(learn["train"], "train")
    validation, again = _distinct(learn["validation"], "validation")
    validation, both = _apart(train, validation)
    kept = [Placed(picture, split) for split, members in
            (("train", train), ("validation", validation), ("test", test)) for picture in members]
    return kept, refused + twice + again + both


def _clash_with_test(picture: Decoded, tested: dict[str, str], near: str | None) -> str:
    """Why the picture may not train or validate, or an empty text; `near`: the test picture that shows the same."""
    if picture.id in tested:
        return f"duplicate of the test picture {tested[picture.id]}"
    if near is not None:
        return f"near-duplicate of the test picture {near}"
    return f"shares an area with the test picture {picture.overlaps}" if picture.overlaps else ""


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


def _apart(train: list[Decoded], validation: list[Decoded]) -> tuple[list[Decoded], list[Quarantined]]:
    """The validation pictures that neither equal nor resemble a training picture nor belong to its group."""
    ids = {picture.id: picture.entry.path for picture in train}
    groups = {(picture.entry.collection, picture.entry.group): picture.entry.path for picture in train}
    looks = Looks({picture.entry.path: picture.look for picture in train})
    kept, refused = [], []
    for picture, near in zip(validation, looks.nearest([item.look for item in validation]), strict=True):
        group = (picture.entry.collection, picture.entry.group)
        if picture.id in ids:
            reason = f"duplicate of the training picture {ids[picture.id]}"
        elif group in groups:
            reason = f"of the same group as the training picture {groups[group]}"
        else:
            reason = f"near-duplicate of the training picture {near}" if near is not None else ""
        if reason:
            refused.append(_quarantine(picture, "validation", reason))
        else:
            kept.append(picture)
    return kept, refused


def _quarantine(picture: Decoded, split: str, reason: str) -> Quarantined:
    return Quarantined(picture.entry.path, picture.entry.collection, split, picture.id, reason)
