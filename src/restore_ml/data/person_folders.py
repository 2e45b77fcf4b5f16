"""Pictures in a folder for each person, with what is known of them in files of the same name beside them.

`anna/1.jpg` is a record; `anna/1.parsing.png`, `anna/1.json` ... are its annotations. The person is the folder that
holds the picture, so the same name in two places (`train/anna`, `test/anna`) is one person. A picture outside any
folder counts as a person of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from restore_ml.data.domain import Domain
from restore_ml.data.folders import excludes
from restore_ml.data.pictures import PROMISING, Refused, read_bytes

JSON = "json"
TEXTS = frozenset((".json", ".txt", ".csv", ".pts", ".mat", ".md", ".html", ".xml", ".pdf", ".ini"))
"""Endings that promise no picture."""


class PersonFolders(Domain):
    """A domain of such folders; `tags` names the annotations that are pictures (`parsing` for `1.parsing.png`)."""

    suffixes = PROMISING
    parts_are_files = True
    tags: ClassVar[frozenset[str]]

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """A person's folder, with all that lies in it, holds records; a picture outside any folder is one itself."""
        ours = [file for file in files if Path(file).suffix.lower() in (*self.suffixes, ".json")]
        folders = {PurePosixPath(file).parent for file in ours if not file.lower().endswith(".json")}
        records: dict[str, list[str]] = {}
        for file in ours:
            persons = [folder for folder in reversed(PurePosixPath(file).parents) if folder in folders and folder.name]
            records.setdefault(persons[0].as_posix() if persons else file, []).append(file)
        return records

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """The pictures of a person's folder, and the annotations that no picture belongs to; none of a file."""
        if not path.is_dir():
            return ()
        files = [file for file in sorted(path.rglob("*")) if file.is_file() or file.is_symlink()]
        ours = [file for file in files if file.suffix.lower() in (*self.suffixes, ".json") and not excludes(file.name)]
        pictures = {file.with_name(self.stem(file)) for file in ours if not self.tag(file)}
        return [file.relative_to(path).as_posix() for file in ours
                if not self.tag(file) or file.with_name(self.stem(file)) not in pictures]

    def own_files(self, part: str, files: Sequence[str]) -> list[str]:
        """A picture and its annotations; an annotation alone."""
        path = Path(part)
        annotations = [] if self.tag(path) else [file for file in files if self.tag(Path(file)) and Path(
            file).parent == path.parent and self.stem(Path(file)) == self.stem(path)]
        return [file for file in files if file == part or file in annotations]

    def promises(self, record: str) -> bool:
        """Whether it is a picture, or a folder (which may be called anything)."""
        return Path(record).suffix.lower() not in TEXTS

    def group(self, record: str) -> str:
        """The person: the folder of a picture, the name of a folder or of a picture outside any."""
        path = PurePosixPath(record)
        if path.suffix.lower() not in (*self.suffixes, ".json"):
            return path.name
        return path.parent.name or self.stem(Path(record))

    def tag(self, file: Path) -> str:
        """Which annotation the file is (`json`, or one of `tags`); "" for a picture."""
        if file.suffix.lower() == ".json":
            return JSON
        inner = Path(file.stem).suffix.lower()[1:]
        return inner if inner in self.tags else ""

    def stem(self, file: Path) -> str:
        """The name that a picture and its annotations share."""
        tag = self.tag(file)
        return Path(file.stem).stem if tag and tag != JSON else file.stem

    def beside(self, path: Path, within: Path | None = None) -> dict[str, Path]:
        """The files of the annotations of the picture at `path`, by tag.

        Raises:
            Refused: it is none of a person's pictures, or what lies beside it may belong to another one.
        """
        if self.tag(path):
            raise Refused("an annotation without its picture" if self._has_folder(path, within)
                          else "an annotation outside a person's folder: put it and its picture into one")
        files: dict[str, Path] = {}
        if not self._has_folder(path, within) or not path.parent.is_dir():
            return files
        if outer := self._outer(path, within):
            raise Refused(f"a folder inside that of the person {outer!r}: move its pictures up, or each person's into "
                          "a folder of its own")
        for file in sorted(path.parent.iterdir()):
            tag = self.tag(file)
            if file == path or self.stem(file) != self.stem(path) or not (
                    file.suffix.lower() in self.suffixes or tag == JSON):
                continue
            if tag in files:
                raise Refused(f"two files for one annotation: {files[tag].name} and {file.name}")
            files[tag] = file
        if "" in files and len(files) > 1:
            raise Refused(f"{path.name} and {files[''].name} share their annotations: give one of them another name")
        files.pop("", None)
        return files

    @staticmethod
    def _has_folder(path: Path, within: Path | None) -> bool:
        return within is None or path.parent != within

    def _outer(self, path: Path, within: Path | None) -> str:
        """The name of a folder above that of the picture which holds pictures itself, or an empty text."""
        for folder in path.parent.parents if within is not None else ():
            if folder == within or within not in folder.parents:
                break
            if any(file.suffix.lower() in self.suffixes and file.is_file() for file in folder.iterdir()):
                return folder.name
        return ""


def read_annotations(path: Path, keys: Sequence[str], within: Path | None = None) -> dict[str, Any]:
    """What a JSON file says, a mapping with some of these keys.

    Raises:
        Refused: broken, no mapping, another key.
    """
    try:
        value = json.loads(read_bytes(path, within))
    except (ValueError, RecursionError) as error:
        raise Refused(f"broken {path.name}: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict) or not set(value) <= set(keys):
        raise Refused(f"{path.name} must be a mapping with {' and '.join(keys)}")
    return value


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Save H x W x C uint8 as a PNG file without compression, which no version of zlib changes; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(path, "PNG", compress_level=0)


def write_annotations(path: Path, annotations: Mapping[str, Any]) -> None:
    """Save what is known of a picture as JSON beside it."""
    path.write_text(json.dumps(annotations, sort_keys=True) + "\n", encoding="utf-8")
