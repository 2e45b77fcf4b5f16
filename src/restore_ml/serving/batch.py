"""A folder of pictures restored into another: with a bar, taken up again where it stopped, with one report.

The output folder gets one PNG a picture, `journal.jsonl` (a line for each picture when it is done; what a second call
reads), `report.csv` and `report.html`. A picture is passed over when its line and its output are whole and were made
from the same bytes by the same model with the same settings.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError, keep, sentence, short
from restore_ml.base.files import canonical_json, inside, sha256, sha256_of_file
from restore_ml.data import folders
from restore_ml.data.containers import read_container
from restore_ml.data.pictures import PROMISING, SUFFIXES, Refused, read_bytes
from restore_ml.serving import outputs
from restore_ml.serving.engine import model_hash
from restore_ml.serving.photos import of_task
from restore_ml.serving.report import JOURNAL, Line, append, read_journal, write_journal, write_report
from restore_ml.serving.restore_command import (
    decode,
    decode_mask,
    encode,
    load_for,
    restore_picture,
    run_name,
    write_bytes,
)

if TYPE_CHECKING:
    from restore_ml.method import Method, Model

VERSION = 2
"""Goes up when the same model and picture give another output than before."""


@dataclass(frozen=True)
class Job:
    """One picture: its name below the input folder, its output's name below the output folder."""

    source: str
    output: str


def restore_folder(root: Path, task: str, model: str, folder: Path, out: Path, *, mask: Path | None = None,
                   scale: int | None = None, seed: int = 1, precision: str = "auto") -> int:
    """Restore every picture below `folder` into `out`; returns 0, or 1 when a picture failed. Prints a last sentence.

    `mask`: a folder with masks of the same names (any picture format), or one file for all. Raises `UserError` for a
    folder without pictures, an unknown model, or an output folder that is the input folder.
    """
    photos = of_task(task)
    outputs.check_folder(out)
    if folder.resolve() == out.resolve():
        raise UserError("The pictures would be written among their originals; name another folder with -o.")
    if photos.takes_mask and mask is None:
        raise UserError("Inpainting needs masks: give --mask with a folder of masks of the same names, white where to "
                        "fill, or with one mask for all.")
    if mask is not None and not os.path.exists(mask):
        raise UserError(f"There is no {mask}; give --mask with a folder of masks or a mask file.")
    closed: list[str] = []
    excluded: Counter[str] = Counter()
    names, others = pictures_in(folder, [path for path in (out, mask) if path is not None], closed, excluded)
    if excluded:
        print(folders.in_words(excluded))
    for name in closed:
        print(f"The folder {name} cannot be opened; what is in it is left out.", file=sys.stderr)
    if not names:
        raise UserError(f"There is no picture in {folder}; it needs files that end in .png, .jpg, .tif ...")
    model_folder, method, loaded = load_for(root, task, model, precision)
    identity = {"task": task, "model": model_hash(model_folder, root), "scale": scale, "seed": seed, "version": VERSION,
                "precision": loaded.precision}
    batch = _Batch(folder, out, mask, method, loaded, scale, seed, sha256(canonical_json(identity).encode())[:32])
    out.mkdir(parents=True, exist_ok=True)
    counts = batch.run(jobs(names), f"{run_name(model_folder)} ({task})")
    print(_sentence(counts, others, out))
    for remark, number in batch.remarks.items():
        print(f"{number} of {len(names)} pictures: {remark}")
    return 1 if counts["failed"] else 0


def pictures_in(folder: Path, without: list[Path], closed: list[str],
                excluded: Counter[str] | None = None) -> tuple[list[str], int]:
    """The names (sorted, with `/`) of the files below `folder` that promise a picture, and how many others there are.

    Hidden files, thumbnails and bins of disks (`restore_ml.data.folders`) and what lies in the folders `without` do not
    count (`excluded` says how many of which); linked folders are not entered. Folders that cannot be read are added to
    `closed`.
    """
    listing = folders.walk(folder, without=without)
    closed += [str(folder / name) for name, _ in listing.closed]
    if excluded is not None:
        excluded.update(listing.excluded)
    names = [name for name in listing.files if Path(name).suffix.lower() in PROMISING]
    return names, len(listing.files) - len(names)


def jobs(names: list[str]) -> list[Job]:
    """`a.jpg` becomes `a.png`; where two would meet, also on disks that take A for a, each keeps its whole name
    (`a.jpg.png`), with a number where even that is taken."""
    wanted = {name: str(Path(name).with_suffix(".png")) for name in names}
    count = Counter(output.lower() for output in wanted.values())
    taken = {output.lower() for output in wanted.values() if count[output.lower()] == 1}
    done = []
    for name, output in wanted.items():
        done.append(Job(name, output if count[output.lower()] == 1 else _free(name, taken)))
    return done


def _free(name: str, taken: set[str]) -> str:
    """`name.png`, or `name-2.png` ... where that is in `taken`, to which it is added."""
    numbers = (f"-{number}" if number > 1 else "" for number in range(1, len(taken) + 2))
    output = next(path for path in (f"{name}{number}.png" for number in numbers) if path.lower() not in taken)
    taken.add(output.lower())
    return output


class _Batch:
    def __init__(self, folder: Path, out: Path, mask: Path | None, method: Method, model: Model, scale: int | None,
                 seed: int, key: str) -> None:
        self.folder, self.out, self.mask = folder, out, mask
        self.method, self.model, self.scale, self.seed, self.key = method, model, scale, seed, key
        self.photos = of_task(method.task)
        self.remarks: Counter[str] = Counter()
        """What is to be said of pictures (`Photos.remark`), and of how many."""
        self.mine: set[str] = set()
        """The outputs that an earlier call wrote: what else is there is a person's and stays."""

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
            image = read_bytes(self.folder / job.source, self.folder)
            mask = self._mask(job.source)
            given = self.photos.given(self.folder / job.source)
            if given:  # they are part of what the output is made from
                told = {name: value.tolist() for name, value in given.items()}
                facts["key"] = sha256(f"{self.key} {canonical_json(told)}".encode())[:32]
            facts |= {"source_sha256": sha256(image), "mask_sha256": sha256(mask) if mask else ""}
            if remark := self.photos.remark(self.method, given):
                self.remarks[remark] += 1
            target = inside(self.out, job.output)
            if before is not None and not before.reason and before.same(facts) and _whole(target, before):
                return before, False
            picture, marked = decode(image), None if mask is None else decode_mask(mask)
            restored = restore_picture(self.method, self.model, picture, None if marked is None else marked.hole,
                                       self.scale, self.seed, given)
            facts["mask_share"] = 0.0 if marked is None else round(marked.share, 6)
            data = encode(restored, original=read_container(image), scale=restored.shape[0] / picture.shape[0])
            self._leave_others(target, job, data)
            write_bytes(target, data)
            facts |= {"output_sha256": sha256(data), "width": restored.shape[1], "height": restored.shape[0]}
        except Refused as refused:
            facts["reason"] = refused.reason
        except UserError as error:
            facts["reason"] = str(error)
        except Exception as error:  # one picture must not take the others with it
            facts["reason"] = sentence(error) or self._bug(error)
        return Line(seconds=round(time.monotonic() - started, 3), **facts), True

    def _leave_others(self, target: Path, job: Job, data: bytes) -> None:
        """`UserError` where a file that no earlier call wrote is in the way. One with the very bytes is our own: a kill
        came before its line in the journal."""
        if job.output not in self.mine and os.path.lexists(target) and not (
                target.is_file() and sha256_of_file(target) == sha256(data)):
            raise UserError(f"There is a file {job.output} in {self.out} already that was not restored from here, and "
                            "it stays; move it away or name another folder with -o.")

    def _bug(self, error: Exception) -> str:
        """The reason of a picture at which a bug of ours was met, whose trace is kept."""
        kept = keep("".join(traceback.format_exception(error)), f"restoring the folder {self.folder}")
        text = short(" ".join(f"{type(error).__name__}: {error}".split()), 300)
        return f"a bug of restore-ml, {text}{f' (what led to it is kept in {kept})' if kept else ''}"

    def _mask(self, source: str) -> bytes | None:
        """The mask's bytes: of that very name, or of the same name with another ending."""
        if self.mask is None:
            return None
        if self.mask.is_file():
            return read_bytes(self.mask)
        exact = inside(self.mask, source)
        if exact.is_file():
            return read_bytes(exact, self.mask)
        found = [path for path in sorted(exact.parent.glob("*")) if path.stem == exact.stem
                 and path.suffix.lower() in SUFFIXES] if exact.parent.is_dir() else []
        if len(found) == 1:
            return read_bytes(found[0], self.mask)
        raise UserError(f"There is no mask {source} in {self.mask}." if not found else
                        f"There are several masks for {source} in {self.mask}; leave one.")


def _whole(target: Path, before: Line) -> bool:
    return target.is_file() and sha256_of_file(target) == before.output_sha256


def _sentence(counts: Counter[str], others: int, out: Path) -> str:
    parts = [f"{counts['restored']} restored", f"{counts['kept']} kept from before", f"{counts['failed']} failed"]
    parts += [f"{counts['left']} left (the same command goes on from here)"] if counts["left"] else []
    parts += [f"{others} files that are no pictures passed over"] if others else []
    return f"{', '.join(parts)}. The report is {out / 'report.html'}."
