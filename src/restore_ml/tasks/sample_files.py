"""A task's test samples as files for other tools, and what these give as the task's outputs.

`SampleFiles` here does it by the kinds of arrays: pictures, masks and label maps are PNG, clips folders of frames,
bands .npy; numbers, vectors and words stand in the manifest. A task whose arrays are not what people keep in files
(lightness, probabilities) says in tasks/<task>/sample_files.py what they become, and sets `FILES = ...` there.
Nothing here counts for a run that is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from restore_ml import kinds
from restore_ml.arrays import Arrays, ArraySpec, expected_size, words
from restore_ml.data.file_kinds import CLIP, LABELS, FileKind, Picture
from restore_ml.data.file_kinds.bands import BANDS
from restore_ml.data.pictures import Refused
from restore_ml.tasks.base import Task

PICTURE = Picture(least=1)
"""A test sample may be smaller than what a person's picture must be."""


@dataclass(frozen=True)
class Made:
    """An input as a file. `origin`: what its kind needs beside the value to write it."""

    kind: FileKind
    value: Any
    origin: Any = None


@dataclass(frozen=True)
class Wanted:
    """A file that is asked of a tool for each sample. `size`: height and width, None where it has none; `channels`: of
    pictures, clips and bands, 0 of others; `frames`: of clips."""

    kind: FileKind
    size: tuple[int, int] | None = None
    channels: int = 0
    frames: int = 0

    def __str__(self) -> str:
        """`a picture file, 192 x 192 pixels, colour (RGB, 8 bit)`."""
        parts = ["a folder of frames (PNG, numbered) or a film" if self.kind is CLIP else self.kind.what]
        parts += [f"{self.frames} frames of"] if self.frames else []
        parts += [f"{self.size[1]} x {self.size[0]} pixels"] if self.size else []
        text = ", ".join(parts).replace("of, ", "of ")
        if isinstance(self.kind, Picture) or self.kind is CLIP:
            text += ", colour (RGB, 8 bit)" if self.channels == 3 else ", grey (8 bit)"
        elif self.kind is BANDS:
            text += f", {self.channels} bands"
        return text


class SampleFiles:
    """The files of a task by the kinds of its arrays; see the module's docstring."""

    hides_names: ClassVar[bool] = False
    """Whether the names of the samples would tell the answer (that of a class), so that they are numbers of theirs."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def given(self, inputs: Arrays) -> dict[str, Made]:
        """The inputs that are files, by the name of the folder that they go to."""
        made = {name: self._made(spec, inputs[name]) for name, spec in self._specs(inputs).items()}
        return {name: file for name, file in made.items() if file is not None}

    def told(self, inputs: Arrays) -> dict[str, Any]:
        """The inputs that are numbers and words, as JSON values by name."""
        found: dict[str, Any] = {}
        for name, spec in self._specs(inputs).items():
            if spec.kind is kinds.TEXT:
                found[name] = words(inputs[name])
            elif self._made(spec, inputs[name]) is None:
                found[name] = np.round(inputs[name].astype(np.float64), 6).tolist()
                found[name] = int(inputs[name]) if spec.kind is kinds.NUMBER else found[name]
        return found

    def wanted(self, inputs: Arrays) -> dict[str, Wanted]:
        """What is asked of a tool for this sample, by name; of one file the name says nothing."""
        found = {}
        for name, spec in self.task.output.items():
            if name in self.task.optional_output:
                continue
            size = expected_size(spec, inputs, self.task.arrays)
            first = next(iter(inputs[own] for own in self.task.inputs if inputs[own].ndim > 2))
            if spec.kind is kinds.PICTURE:
                found[name] = Wanted(PICTURE, size, spec.channels)
            elif spec.kind is kinds.CLIP:
                found[name] = Wanted(CLIP, size, spec.channels, len(first))
            elif spec.kind in (kinds.LABELS, kinds.INSTANCES):
                found[name] = Wanted(LABELS, size)
            elif spec.kind is kinds.FLOAT:
                found[name] = Wanted(BANDS, size, spec.channels or first.shape[-1])
            else:
                raise Refused(f"an output of the kind {spec.kind.name} is no file: give {self.task.name} a "
                              "sample_files.py")
        return found

    def output(self, inputs: Arrays, files: Mapping[str, Any]) -> Arrays:
        """The task's outputs of the values of the files that are wanted (checked before), by name; `Refused` for what
        means nothing."""
        return {name: np.ascontiguousarray(value, dtype=self.task.output[name].kind.dtype)
                for name, value in files.items()}

    def _specs(self, inputs: Arrays) -> dict[str, ArraySpec]:
        """What the inputs are, those of the task first, then optional ones that the sample has."""
        from restore_ml.registry import parts

        optional = parts(self.task.name).optional
        specs = {**self.task.inputs, **(optional.inputs if optional else {})}
        return {name: spec for name, spec in specs.items() if name in inputs}

    def _made(self, spec: ArraySpec, value: np.ndarray) -> Made | None:
        """The file of an array; None for numbers and words."""
        if spec.kind is kinds.PICTURE:
            return Made(PICTURE, value)
        if spec.kind is kinds.MASK:
            return Made(PICTURE, value * np.uint8(255))
        if spec.kind is kinds.CLIP:
            return Made(CLIP, value)
        if spec.kind in (kinds.LABELS, kinds.INSTANCES):
            return Made(LABELS, value)
        return Made(BANDS, value) if spec.kind in (kinds.FLOAT, kinds.FLOW) else None
