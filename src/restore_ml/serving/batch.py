"""A folder of pictures, clips or volumes restored into another: with a bar, taken up again where it stopped, with one
report.

The output folder gets one file each (a folder for the frames of a folder), `journal.jsonl` (a line for each when it is
done; what a second call reads), `report.csv` and `report.html`. One is passed over when its line and its output are
whole and were made from the same bytes by the same model with the same settings.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError, keep, sentence, short
from restore_ml.base.files import canonical_json, inside, sha256, sha256_of_file
from restore_ml.data import folders
from restore_ml.data.file_kinds import MASK, Read, ending
from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.serving import outputs, places
from restore_ml.serving.engine import model_hash
from restore_ml.serving.items import Job, items, listed
from restore_ml.serving.photos import answer, checked, of_task, way_of
from restore_ml.serving.report import JOURNAL, Line, append, read_journal, write_journal, write_report
from restore_ml.serving.restore_command import (
    decode_file,
    files_of,
    in_words,
    load_for,
    read_file,
    run_name,
    write_files,
)
from restore_ml.tasks.photos import Asked, Photos

if TYPE_CHECKING:
    from restore_ml.method import Method, Model

VERSION = 2
"""Goes up when the same model and picture give another output than before."""


def restore_folder(root: Path, task: str, model: str, folder: Path, out: Path, *, mask: Path | None = None,
                   others: Mapping[str, Path] | None = None, scale: int | None = None, seed: int = 1,
                   options: Mapping[str, str] | None = None, texts: Mapping[str, str] | None = None,
                   precision: str = "auto") -> int:
    """Restore everything below `folder` that the task takes into `out`; returns 0, or 1 when something failed. Prints a
    last sentence.

    `mask`, `others`: what else is given, each a folder with files of the same names (any ending), or one file for all;
    `texts`: what is given in words, for all.
    Raises `UserError` for a folder without pictures, an unknown model, or an output folder that is the input folder.
    """
    photos, said = of_task(task), in_words(task, texts or {})
    outputs.check_folder(out)
    if folder.resolve() == out.resolve():
        raise UserError("The pictures would be written among their originals; name another folder with -o.")
    more = dict(others or {}) | ({} if mask is None else {"mask": mask})
    if isinstance(photos, Photos) and photos.takes_mask and mask is None:
        raise UserError("Inpainting needs masks: give --mask with a folder of masks of the same names, white where to "
                        "fill, or with one mask for all.")
    for name, path in more.items():
        if not os.path.exists(path):
            raise UserError(f"There is no {path}; give {'--mask' if name == 'mask' else f'--with {name}='} with a "
                            f"folder of {name}s or a {name} file.")
    closed: list[str] = []
    excluded: Counter[str] = Counter()
    files = listed(folder, [out, *more.values()], closed, excluded)
    if excluded:
        print(folders.in_words(excluded))
    for name in closed:
        print(f"The folder {name} cannot be opened; what is in it is left out.", file=sys.stderr)
    # a name that the task does not take is refused with each picture, whose reason stands in the report
    todo, left = items(photos, files, {*more, *said} & photos.names().keys())
    if not todo and isinstance(photos, Photos):
        raise UserError(f"There is no picture in {folder}; it needs files that end in .png, .jpg, .tif ...")
    if not todo:
        raise UserError(f"There is nothing in {folder} that {task} takes ({', or '.join(map(str, photos.ways))}); "
                        "docs/serving.md says which files.")
    asked = Asked(scale, seed, checked(task, None, options or {}))
    model_folder, method, loaded = load_for(root, task, model, precision)
    identity = {"task": task, "model": model_hash(model_folder, root), "scale": scale, "seed": seed, "version": VERSION,
                "precision": loaded.precision, **({"options": dict(asked.options)} if options else {}),
                **({"texts": dict(texts)} if texts else {})}
    key = sha256(canonical_json(identity).encode())[:32]
    batch = _Batch(folder, out, more, said, method, loaded, asked, key)
    out.mkdir(parents=True, exist_ok=True)
    counts = batch.run(todo, f"{run_name(model_folder)} ({task})")
    print(_sentence(counts, left, out))
    for remark, number in batch.remarks.items():
        print(f"{number} of {len(todo)}: {remark}")
    return 1 if counts["failed"] else 0


@dataclass
class _Batch:
    folder: Path
    out: Path
    others: Mapping[str, Path]
    said: Mapping[str, Read]
    method: Method
    model: Model
    asked: Asked
    key: str
    mine: set[str] = field(default_factory=set)
    """The outputs that an earlier call wrote: what else is there is a person's and stays."""
    remarks: Counter[str] = field(default_factory=Counter)
    """What is to be said of what was restored (`Exchange.remark`), and of how many."""

    def run(self, todo: list[Job], title: str) -> Counter[str]:
        """Restore what is not there yet; the report is written also when a person stops it."""
        from tqdm import tqdm

        before = read_journal(self.out / JOURNAL)
        self.mine = {line.output for line in before.values() if not line.reason}
        write_journal(self.out / JOURNAL, before.values())  # without what was overwritten or torn
        lines: dict[str, Line] = {}
        counts: Counter[str] = Counter()
        try:
            with tqdm(todo, unit="picture", desc=title, mininterval=0.5) as bar:
                for job in bar:
                    bar.set_postfix_str(Path(job.source).name[:30], refresh=False)
                    line, fresh = self._one(job, before.get(job.source))
                    if fresh:
                        append(self.out / JOURNAL, line)
                    lines[job.source] = line
                    counts["failed" if line.reason else "restored" if fresh else "kept"] += 1
        except KeyboardInterrupt:
            counts["left"] = len(todo) - len(lines)
            print(_sentence(counts, 0, self.out))
            raise
        finally:
            write_report(self.out, self.folder, title, list(lines.values()))
        return counts

    def _one(self, job: Job, before: Line | None) -> tuple[Line, bool]:
        """The picture's line and whether it was worked on."""
        started = time.monotonic()
        facts: dict[str, Any] = {"source": job.source, "output": job.output, "key": self.key}
        try:
            sources = self._sources(job)
            data = {name: _bytes(path, within) for name, (path, within) in sources.items()}
            own = [sha256(data[name]) if data[name] else hash_of(sources[name][0]) for name in job.files]
            more = [sha256(data[name]) for name in sources if name not in job.files]
            facts |= {"source_sha256": _joined(own), "mask_sha256": _joined(more)}
            target = inside(self.out, job.output)
            if before is not None and not before.reason and before.same(facts) and _whole(target, before):
                return before, False
            facts |= self._restored(job, target, self._given(sources, data))
        except Refused as refused:
            facts["reason"] = refused.reason
        except UserError as error:
            facts["reason"] = str(error)
        except Exception as error:  # one picture must not take the others with it
            facts["reason"] = sentence(error) or self._bug(error)
        return Line(seconds=round(time.monotonic() - started, 3), **facts), True

    def _sources(self, job: Job) -> dict[str, tuple[Path, Path | None]]:
        """The files of a job by what they are for, each with the folder that links may not lead out of."""
        own: dict[str, tuple[Path, Path | None]] = {name: (self.folder / file, self.folder)
                                                    for name, file in job.files.items()}
        beside = {name: self._other(name, job.source) for name in self.others if name not in own}
        return own | {name: found for name, found in beside.items() if found is not None}

    def _given(self, sources: Mapping[str, tuple[Path, Path | None]], data: Mapping[str, bytes]) -> dict[str, Read]:
        known = of_task(self.method.task).names()
        way_of(self.method.task, [*sources, *self.said])
        return {**self.said} | {name: read_file(known[name].kind, path, name, within) if not data[name] else
                decode_file(known[name].kind, data[name], "picture" if name == "image" else name, ending(path.name))
                for name, (path, within) in sources.items()}

    def _restored(self, job: Job, target: Path, given: dict[str, Read]) -> dict[str, Any]:
        """Restore and write one; what the journal says of it."""
        found = answer(self.method, self.model, given, self.asked)
        if remark := of_task(self.method.task).remark(self.method, given):
            self.remarks[remark] += 1
        way, kinds = way_of(self.method.task, given), of_task(self.method.task).results()
        main = given.get(way.main.name, next(iter(given.values())))
        made = {place: files_of(kinds[entry].kind, found[entry], main, ending(place.name))
                for entry, place in places.of_results(way, target).items()}
        for place, files in made.items():  # all before the first is written: a result is whole or not there
            self._leave_others(place, job, files)
        for place, files in made.items():
            write_files(place, files)
        mask = given.get("mask")
        first = next(iter(found.values())).value
        height, width = kinds[next(iter(found))].kind.sides(first)
        return {"mask_share": 0.0 if mask is None else round(float(mask.value.mean()), 6), "width": width,
                "height": height, "output_sha256": hash_of(target)}

    def _leave_others(self, target: Path, job: Job, files: Mapping[str, bytes]) -> None:
        """`UserError` where a file that no earlier call wrote is in the way. One with the very bytes is our own: a kill
        came before its line in the journal."""
        if job.output not in self.mine and os.path.lexists(target) and hash_of(target) != hash_of_files(files):
            name = Path(job.output).with_name(target.name).as_posix()
            raise UserError(f"There is a file {name} in {self.out} already that was not restored from here, and "
                            "it stays; move it away or name another folder with -o.")

    def _bug(self, error: Exception) -> str:
        """The reason of a picture at which a bug of ours was met, whose trace is kept."""
        kept = keep("".join(traceback.format_exception(error)), f"restoring the folder {self.folder}")
        text = short(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        return f"a bug of restore-ml, {text}{f' (what led to it is kept in {kept})' if kept else ''}"

    def _other(self, name: str, source: str) -> tuple[Path, Path | None] | None:
        """The file that goes with a picture: of that very name, or of the same name with another ending; None where
        there is none and none is needed."""
        place = self.others[name]
        if place.is_file():
            return place, None
        exact = inside(place, source)
        if exact.is_file():
            return exact, place
        entry = of_task(self.method.task).names().get(name)
        kind = MASK if entry is None else entry.kind
        found = [path for path in sorted(exact.parent.glob("*")) if path.stem == exact.stem
                 and kind.promises(path.name)] if exact.parent.is_dir() else []
        if len(found) == 1:
            return found[0], place
        if not found and entry is not None and not entry.required:
            return None
        raise UserError(f"There is no {name} {source} in {place}." if not found else
                        f"There are several {name}s for {source} in {place}; leave one.")


def _bytes(path: Path, within: Path | None) -> bytes:
    """A file's bytes; none of a folder."""
    return b"" if path.is_dir() else read_bytes(path, within)


def _joined(hashes: list[str]) -> str:
    """One hash for several; that of one as it is."""
    return "".join(hashes) if len(hashes) < 2 else sha256(canonical_json(hashes).encode())


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of a folder's files; empty where there is none."""
    if path.is_dir():
        return _joined_names({file.name: sha256_of_file(file) for file in path.iterdir() if file.is_file()})
    return sha256_of_file(path) if path.is_file() else ""


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """That which `hash_of` will give of `restore_command.files_of` once it is written."""
    hashes = {name: sha256(data) for name, data in files.items()}
    return hashes[""] if "" in hashes else _joined_names(hashes)


def _joined_names(hashes: Mapping[str, str]) -> str:
    return sha256(canonical_json(dict(hashes)).encode())


def _whole(target: Path, before: Line) -> bool:
    return bool(before.output_sha256) and hash_of(target) == before.output_sha256


def _sentence(counts: Counter[str], others: int, out: Path) -> str:
    parts = [f"{counts['restored']} restored", f"{counts['kept']} kept from before", f"{counts['failed']} failed"]
    parts += [f"{counts['left']} left (the same command goes on from here)"] if counts["left"] else []
    parts += [f"{others} files that are no pictures passed over"] if others else []
    return f"{', '.join(parts)}. The report is {out / 'report.html'}."
