"""What a person gives of her own and what she gets: files without a truth, of any size.

A task that takes a person's files has an `Exchange` in tasks/<task>/photos.py; one without takes none, and whoever is
asked to restore with it says so. Four classes, the shortest that fits:

- `Plain`: every input and output of the task is a file of its own. A line a file, nothing to write:
  `PHOTOS = Plain(Way((Given("image", PICTURE),), (Got("labels", LABELS),)))`;
- `Photos`: one picture in, perhaps with a mask, one picture out;
- `Annotated`: one picture in, the same out with what was found drawn over it, and the finding as a file of its own;
- `Exchange`: anything else.

How files of a kind are read and written stands in `restore_ml.data.file_kinds`. Nothing here counts for a result of a
comparison.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from restore_ml import kinds, registry
from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.data.file_kinds import MASK, PICTURE, FileKind, Read

if TYPE_CHECKING:
    from restore_ml.method import Method, Model


@dataclass(frozen=True)
class Given:
    """A file that a person gives. `name`: that of its column over HTTP and of `--with NAME=FILE`; `fits`: the name of
    the file that it must belong to (a mask to its picture, a contrast to the others); `array`: the task's input that it
    becomes, for `Plain` (empty: the one of that name)."""

    name: str
    kind: FileKind
    required: bool = True
    fits: str = ""
    array: str = ""


@dataclass(frozen=True)
class Got:
    """A file that she gets. `array`: the task's output that it is, for `Plain` (empty: the one of that name)."""

    name: str
    kind: FileKind
    array: str = ""


@dataclass(frozen=True)
class Way:
    """One way to use a task: what is given, the main file first, and what comes back, the main file first."""

    gives: tuple[Given, ...]
    gets: tuple[Got, ...]

    @property
    def main(self) -> Given:
        """The file that is named first."""
        return self.gives[0]

    def takes(self, names: set[str]) -> bool:
        """Whether files of these names, and no others, are what this way needs."""
        return bool(names) and {entry.name for entry in self.gives if entry.required} <= names <= {
            entry.name for entry in self.gives}

    def __str__(self) -> str:
        """`before and after`, `image (and mask)`."""
        needed = [entry.name for entry in self.gives if entry.required]
        free = [entry.name for entry in self.gives if not entry.required]
        if not needed:
            return f"any of {', '.join(free)}"
        return " and ".join(needed) + (f" (and {', '.join(free)})" if free else "")


@dataclass(frozen=True)
class Option:
    """Something that a person may choose (`--set NAME=VALUE`): one of `values`, the first where she says nothing."""

    name: str
    what: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What is asked beside the files. `scale`: a factor, None for the task's own; `options`: the values of its
    options, each of which is there."""

    scale: int | None = None
    seed: int = 1
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Restorer:
    """A loaded model at work on a person's files. `restore` is `restore_ml.restoring.harness.restore`."""

    method: Method
    model: Model
    seed: int
    restore: Callable[[Method, Model, Arrays, int], Arrays]

    def __call__(self, inputs: Arrays, tile: int | None = None, overlap: int = 0) -> Arrays:
        """The task's outputs; `tile`: cut into tiles of that side, though the method does not ask for it."""
        method = self.method
        if tile is not None:
            method = copy(method)
            method.tile, method.overlap = tile, overlap
        return self.restore(method, self.model, inputs, self.seed)

    @property
    def sees_the_whole(self) -> bool:
        """Whether a network normalises by the statistics of all that it sees, so that tiles would differ in tone."""
        from torch.nn import InstanceNorm2d

        return any(isinstance(module, InstanceNorm2d) for network in self.model.networks.values()
                   for module in network.modules())


class Exchange(ABC):
    """Subclass it in tasks/<task>/photos.py and set `PHOTOS = ...` there."""

    ways: tuple[Way, ...]
    """The first one that fits what is given is taken."""
    options: ClassVar[tuple[Option, ...]] = ()
    enlarges: ClassVar[bool] = False
    """Whether the result is larger than the picture by a factor that the person may choose."""
    says_what_it_is: ClassVar[bool] = False
    """Whether a file that may be one of several inputs must say by its name which (`name_of`); else one that says
    nothing is the way's first."""
    faster_in_bf16: ClassVar[bool] = False
    """Whether bf16 wins enough here to be taken where it is as good (`restore_ml.restoring.arithmetic`)."""

    @abstractmethod
    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The results by the names of `Got`; the `origin` of each is what its file keeps (usually that of the file that
        was given). All that is required is there and belongs together. `UserError` for what cannot be restored."""

    def name_of(self, file: str) -> str:
        """The input that a file of a folder is by its name; empty where it is none. Here `before.png` is `before`."""
        stem = PurePosixPath(file).name.partition(".")[0].lower()
        return next((entry.name for way in self.ways for entry in way.gives if entry.name.lower() == stem), "")

    def remark(self, method: Method, given: Mapping[str, Read]) -> str:
        """What a person must know of a restoration beside its result, such as what stood in for an input that she did
        not give: a sentence, or nothing."""
        return ""

    def probes(self, method: Method) -> tuple[str, ...]:
        """The degradations on which bf16 is compared with fp32; the first one that the method supports is taken."""
        return ()

    def shown(self, inputs: Arrays, output: Arrays) -> np.ndarray:
        """The 8-bit picture of a task's output or target, as a person gets it; asked where there are `probes`."""
        raise NotImplementedError

    def factor(self, method: Method, scale: int | None) -> int:
        """By how much the result is larger; 1 where the task does not enlarge."""
        return (scale or default_scale(method)) if self.enlarges else 1

    def together(self, files: Sequence[str]) -> dict[str, str]:
        """The files of a folder by what they are for, where several say it by their names (`name_of`), each something
        else, and together are what a way takes; else nothing. Files that say nothing are left alone."""
        known = self.names()
        own = [(name, file) for file in files if (name := self.name_of(file)) and known[name].kind.promises(file)]
        found = dict(own)
        return found if 1 < len(own) == len(found) and any(way.takes({*found}) for way in self.ways) else {}

    def names(self) -> dict[str, Given]:
        """Everything that may be given, by its name."""
        return {entry.name: entry for way in reversed(self.ways) for entry in way.gives}

    def results(self) -> dict[str, Got]:
        """Everything that may come back, by its name."""
        return {entry.name: entry for way in reversed(self.ways) for entry in way.gets}


class Plain(Exchange):
    """A task each of whose inputs and outputs is a file."""

    def __init__(self, *ways: Way) -> None:
        self.ways = ways

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The files as the task's arrays, restored, and its outputs as files that keep what the main file was."""
        task = registry.task(restorer.method.task)
        way = next(way for way in self.ways if way.takes({*given}))
        files = [(entry, entry.array or entry.name) for entry in way.gives if entry.name in given]
        inputs = {name: as_array(given[entry.name].value, task.inputs.get(name)) for entry, name in files}
        output = restorer(inputs)
        origin = given[files[0][0].name].origin
        return {entry.name: Read(self.value(entry, output), origin) for entry in way.gets}

    def value(self, entry: Got, output: Arrays) -> Any:
        """What a file holds; overridden where it is not simply one of the task's outputs."""
        return output[entry.array or entry.name]


class Photos(Exchange):
    """One picture in, one picture out."""

    takes_mask: ClassVar[bool] = False
    """Whether a mask goes with each picture (white where to restore)."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """`image`, with a `mask` where there is one."""
        mask = (Given("mask", MASK, fits="image"),) if self.takes_mask else ()
        return (Way((Given("image", PICTURE), *mask), (Got("image", PICTURE),)),)

    def together(self, files: Sequence[str]) -> dict[str, str]:
        """Only where nothing else lies there: a picture that is called `image` may be one of many."""
        found = super().together(files)
        pictures = sum(PICTURE.promises(file) for file in found.values())
        return found if pictures == sum(PICTURE.promises(file) for file in files) else {}

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """See `restore`."""
        picture, mask = given["image"], given.get("mask")
        restored = self.restore(as_array(picture.value, THREE), None if mask is None else mask.value, asked.scale,
                                restorer)
        return {"image": Read(restored, picture.origin)}

    @abstractmethod
    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The restored picture, H x W x 3 uint8, of one with 3 channels. `mask`: H x W, nonzero = missing. `scale`: the
        factor where the task enlarges (None: `default_scale`). `UserError` for what cannot be restored."""


class Annotated(Photos):
    """One picture in; out come the picture with what was found drawn over it (`shown`) and the finding (`found`)."""

    finding: ClassVar[Got]
    picture: ClassVar[FileKind] = PICTURE
    """The kind of the picture on both sides."""

    @property
    def ways(self) -> tuple[Way, ...]:  # type: ignore[override]
        """A picture in, the drawn picture and the finding out."""
        return (Way((Given("image", self.picture),), (Got("image", self.picture), self.finding)),)

    def restore(self, picture: np.ndarray, mask: np.ndarray | None, scale: int | None,
                restorer: Restorer) -> np.ndarray:
        """The drawn picture alone."""
        inputs = self.inputs(picture, restorer)
        return self.shown(inputs, restorer(inputs))

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The drawn picture and the finding, of one output."""
        picture = given["image"]
        inputs = self.inputs(as_array(picture.value, THREE), restorer)
        output = restorer(inputs)
        return {"image": Read(self.shown(inputs, output), picture.origin),
                self.finding.name: Read(self.found(inputs, output))}

    def inputs(self, picture: np.ndarray, restorer: Restorer) -> Arrays:
        """The task's inputs of an H x W x 3 uint8 picture; `UserError` for what the model cannot be asked."""
        return {"image": np.ascontiguousarray(picture)}

    @abstractmethod
    def found(self, inputs: Arrays, output: Arrays) -> Any:
        """What the file of the finding holds; `UserError` where it cannot hold it."""


THREE = ArraySpec(kinds.PICTURE, 3)


def as_array(value: np.ndarray, spec: ArraySpec | None) -> np.ndarray:
    """A file's value as the array that `spec` describes: grey in three equal channels (a view) or colour as luma where
    it wants another number, a mask with its channel, class numbers in their dtype."""
    if spec is None:
        return value
    if spec.kind in (kinds.PICTURE, kinds.CLIP) and spec.channels and value.shape[-1] != spec.channels:
        if value.shape[-1] == 1:
            return np.broadcast_to(value, (*value.shape[:-1], spec.channels))
        from restore_ml.data.likeness import luma

        frames = [luma(frame)[:, :, None] for frame in (value if value.ndim == 4 else value[None])]
        return np.stack(frames) if value.ndim == 4 else frames[0]
    if spec.kind is kinds.MASK and value.ndim == 2:
        return value[:, :, None]
    return value.astype(spec.kind.dtype, copy=False)


def default_scale(method: Method) -> int:
    """The factor of super-resolution where none is given: 2, or the smallest that the method can do."""
    return next((scale for scale in range(2, 17) if method.unsupported(f"x{scale}") is None), 2)
