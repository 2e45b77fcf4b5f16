"""How a person's files are read and written, one object a kind of file; the table stands in docs/serving.md.

What lies in collections is read by the domains; here is a single file, or a folder of frames, of which nothing else is
known, and what becomes of a task's result.
"""

from restore_ml.data.file_kinds.clips import CLIP
from restore_ml.data.file_kinds.kind import FileKind, Form, Read, ending
from restore_ml.data.file_kinds.notes import BOXES, CLASSES, NUMBERS, POINTS, Boxes, Points, Stroke
from restore_ml.data.file_kinds.pictures import LABELS, MASK, PICTURE, Picture
from restore_ml.data.file_kinds.said import COLOURS, WORDS
from restore_ml.data.file_kinds.volumes import VOLUME

KINDS: tuple[FileKind, ...] = (PICTURE, MASK, LABELS, CLIP, VOLUME, BOXES, CLASSES, POINTS, NUMBERS, COLOURS, WORDS)

__all__ = ["BOXES", "CLASSES", "CLIP", "COLOURS", "KINDS", "LABELS", "MASK", "NUMBERS", "PICTURE", "POINTS", "VOLUME",
           "WORDS", "Boxes", "FileKind", "Form", "Picture", "Points", "Read", "Stroke", "ending"]
