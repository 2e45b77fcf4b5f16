"""`restore-ml outputs add`: a folder that another tool wrote, taken in as a run of kind `outside`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError, shown
from restore_ml.base.files import write_text
from restore_ml.base.programs import dvc
from restore_ml.data.file_kinds import LABELS
from restore_ml.data.pictures import Refused
from restore_ml.data.shards import Shard
from restore_ml.outside import entry, kept, others
from restore_ml.outside.export import exported
from restore_ml.outside.inputs import MANIFEST, Inputs, case_hash, changed, read_manifest
from restore_ml.outside.names import listed, match
from restore_ml.outside.suspicions import Suspicions
from restore_ml.runs import settings
from restore_ml.runs.run_entry import RUN_NAME

Found = dict[str, tuple[str, dict[str, Path]]]
"""By the id of each sample its name and its files."""
MISSING = "there is no file"
MOST = 12
"""Sentences that are shown of what is wrong."""


@dataclass
class Seen:
    """What was found of a folder: files that can be used, why others cannot, and what is worth saying."""

    found: Found = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """By what is wrong, the names of the files (of missing ones those of the samples)."""
    left_out: dict[str, str] = field(default_factory=dict)
    """By the name of each sample whose output cannot be used, why."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    matched: int = 0
    """Files that belong to a sample by their names."""
    how: str = ""
    sentences: list[str] = field(default_factory=list)
    """Of what is wrong with the folder as a whole, or cannot be a result."""
    said: list[str] = field(default_factory=list)

    def leave_out(self, name: str, file: str, reason: str) -> None:
        """Note that a sample has no output that can be used."""
        self.faults.setdefault(reason, []).append(file)
        self.left_out[name] = reason


def add(root: Path, run: str, task: str, test_set: str, degradation: str, folder: Path,
        exported_folder: Path | None = None, partial: bool = False) -> list[str]:
    """Take in the outputs of one case, in place of those that the run had of it; returns sentences to show.

    `exported_folder`: where the inputs were exported to, where that is not the folder above `folder`. `partial`: take
    the outputs that can be used and leave the others out (the run then has no rank on the case). `UserError` where
    nothing is taken, with everything that is wrong.
    """
    check_name(root, task, run)
    inputs = Inputs(root, task, test_set, degradation)
    _check_folder(root, folder, inputs)
    hashes = inputs.hashes()
    _check_inputs(root, inputs, hashes, folder, exported_folder)
    seen = look(root, inputs, folder)
    wrong = [*seen.sentences, *(f"{_counted(names, 'samples' if reason == MISSING else 'files')}: {reason}."
                                for reason, names in seen.faults.items())]
    if not seen.found or seen.sentences or (wrong and not partial):
        if not seen.matched and not seen.sentences:
            asked = inputs.files.wanted(inputs.shard[0].arrays)
            part = next(iter(asked))
            wrong.append(others.named_like(root, inputs, folder / part if len(asked) > 1 else folder, asked[part]))
        elif MISSING in seen.faults and seen.over:
            wrong.append(f"Files that are no sample's by their names: {listed(seen.over)}.")
        rest = [f"And {len(wrong) - MOST} more of the kind."] if len(wrong) > MOST else []
        advice = ["--partial takes the others in; a run that lacks some has no rank."] if (
            seen.found and not seen.sentences) else []
        raise UserError("\n  ".join([f"{folder}: nothing was taken in.", *wrong[:MOST], *rest, *advice]))
    case = f"{test_set}/{degradation}"
    before = (root / layout.runs_file(task)).read_text(encoding="utf-8")
    written = entry.write(root, task, run)
    try:
        place = kept.keep(root, task, run, case, seen.found, {
            "task": task, "run": run, "case": case, "inputs": hashes, "inputs_sha256": case_hash(hashes),
            "left_out": {identity: seen.left_out[name] for identity, name in inputs.names.items()
                         if identity not in seen.found}})
    except BaseException:  # a full disk, Ctrl-C: no entry without outputs
        if written:
            write_text(root / layout.runs_file(task), before)
        raise
    pinned = pin(root, task, run)
    return [f"{place.relative_to(root)}: {len(seen.found)} of {len(inputs.names)} outputs taken in.",
            *_said(seen, wrong), *written, *pinned,
            f"`make repro TASK={task}` puts {run} into the table, or `dvc repro {layout.stages_file(task)}`."]


def check_name(root: Path, task: str, run: str) -> None:
    """`UserError` for what is no name, or that of a run that is built here."""
    if not RUN_NAME.fullmatch(run) or run in (layout.NONE, "champion") or run.lower().endswith(".dvc"):
        raise UserError(f"{shown(run)} is no name for a run; use letters, digits, dots, - and _, a letter or digit "
                        f"first, no .dvc at the end, and neither {layout.NONE!r} nor 'champion'.")
    params = settings.load(root / layout.PARAMS)
    there = {**params.elsewhere, **params.runs}.get(f"{task}/{run}")
    if there is not None and not there.outputs:
        raise UserError(f"{run} is a run of {task} that is built here; give the outputs another name, such as "
                        f"{run}_theirs.")


def _check_folder(root: Path, folder: Path, inputs: Inputs) -> None:
    if not folder.exists():
        raise UserError(f"There is no folder {folder}; give the one that the tool wrote its results to.")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; give the folder with the results of all samples.")
    if read_manifest(folder / MANIFEST) is not None:
        raise UserError(f"{folder} is the folder of exported inputs itself; give the one with the tool's results.")
    if read_manifest(folder.parent / MANIFEST) is not None and any(
            folder.name == part for _, record in inputs for part in inputs.files.given(record.arrays)):
        raise UserError(f"{folder} holds the exported inputs; give the folder with the tool's results.")
    if folder.resolve().is_relative_to((root / layout.BROUGHT).resolve()):
        raise UserError(f"{folder} lies where outputs are kept; give the folder that the tool wrote to.")
    if not any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"{folder} is empty; give the folder with the tool's results.")


def _check_inputs(root: Path, inputs: Inputs, hashes: Mapping[str, str], folder: Path, given: Path | None) -> None:
    """`UserError` unless the tool was given the inputs that the case has now."""
    place = given or folder.resolve().parent
    manifest = read_manifest(place / MANIFEST)
    if given is not None and manifest is None:
        raise UserError(f"{given} holds no exported inputs (no {MANIFEST} of them); give the folder that `restore-ml "
                        "inputs export` wrote.")
    case, now = inputs.case, case_hash(dict(hashes))
    if manifest is not None:
        if [manifest["task"], manifest["set"], manifest["case"]] != [inputs.task, case.test_set, case.degradation]:
            raise UserError(f"The inputs in {place} are those of {manifest['task']} {manifest['set']}/"
                            f"{manifest['case']}, not of {inputs.task} {case}; name the right case, or the folder of "
                            "its inputs with --inputs.")
        then = {own["id"]: own["sha256"] for own in manifest["samples"].values()}
        if difference := changed(then, dict(hashes)):
            raise UserError(f"The inputs of {inputs.task} {case} have changed since they were exported ({difference}): "
                            f"{kept.AGAIN}.")
        renamed = [(name, inputs.names[own["id"]]) for name, own in manifest["samples"].items()
                   if name != inputs.names[own["id"]]]
        if renamed:
            raise UserError(f"{len(renamed)} samples of {inputs.task} {case} have other names than when they were "
                            f"exported ({renamed[0][0]} is {renamed[0][1]} now), so that files could be taken for "
                            f"those of others: {kept.AGAIN}.")
        return
    known = exported(root, inputs.task, case.test_set, case.degradation)
    if known == [now]:
        return
    if not known:
        raise UserError(f"Which inputs the tool was given is not known: those of {inputs.task} {case} were not "
                        "exported on this machine. Name the folder that they were exported to with --inputs.")
    if now not in known:
        raise UserError(f"The inputs of {inputs.task} {case} have changed since they were exported: {kept.AGAIN}.")
    raise UserError(f"The inputs of {inputs.task} {case} were exported before and after a change; name the folder that "
                    "the tool was given with --inputs.")


def look(root: Path, inputs: Inputs, folder: Path) -> Seen:
    """Match, read and check all files of a folder; nothing is written."""
    seen, suspicions = Seen(), Suspicions(inputs.task)
    asked = inputs.files.wanted(inputs.shard[0].arrays)
    matched = {part: match([*inputs.names.values()], others.files(folder / part if len(asked) > 1 else folder, want))
               for part, want in asked.items()}
    if lacking := [part for part in asked if len(asked) > 1 and not (folder / part).is_dir()]:
        seen.sentences.append(f"{' and '.join(asked)} are wanted of each sample, each in a folder of its name; there "
                              f"is no {' and no '.join(lacking)}.")
        return seen
    for part, found in matched.items():
        seen.sentences += found.faults
        seen.over += [f"{part}/{name}" if len(asked) > 1 else name for name in found.over]
        seen.how, seen.matched = seen.how or found.how, seen.matched + len(found.files)
    path = root / layout.samples(inputs.task) / "targets" / f"{inputs.case}.arrow"
    targets = Shard(path) if path.exists() else None  # nobody knows the truth of some cases
    true = {targets.id(number): number for number in range(len(targets))} if targets is not None else {}
    for name, record in inputs:
        paths = {part: (folder / part if len(asked) > 1 else folder) / found.files[name]
                 for part, found in matched.items() if name in found.files}
        if len(paths) < len(asked):
            if any(name in found.missing for found in matched.values()):  # of others a sentence was said
                seen.leave_out(name, name, MISSING)
            continue
        try:
            output, notes = kept.output_of(inputs.task, record, paths)
        except Refused as refused:
            seen.leave_out(name, ", ".join(found.files[name] for found in matched.values()), refused.reason)
            continue
        for note in notes:
            seen.notes.setdefault(note, []).append(name)
        if targets is not None and record.id in true:
            suspicions.look(name, record.arrays, output, targets.arrays(true[record.id]))
            targets.release()
        seen.found[record.id] = (name, paths)
    seen.sentences += suspicions.refused()
    if not any(want.kind.text or want.kind is LABELS for want in asked.values()):  # those may be equal: nothing found
        seen.sentences += others.same_files(root, inputs.task, str(inputs.case), seen.found)
    seen.said = [*suspicions.said(), *others.named_otherwise(root, inputs, seen.how)]
    return seen


def _said(seen: Seen, wrong: list[str]) -> list[str]:
    told = [f"Names were matched without {seen.how}."] if seen.how else []
    told += [f"{_counted(names)}: {note}." for note, names in seen.notes.items()]
    told += [f"Left out: {sentence}" for sentence in wrong]
    told += [f"No sample's: {listed(seen.over)}; left where they are."] if seen.over else []
    return told + seen.said


def _counted(names: list[str], what: str = "files") -> str:
    return names[0] if len(names) == 1 else f"{len(names)} {what} ({listed(names)})"


def pin(root: Path, task: str, run: str) -> list[str]:
    """Have DVC keep the run's outputs; returns what to say of it."""
    home = layout.outputs(task, run)
    if not (root / ".dvc").is_dir():
        return [f"{root} is no DVC repository, so {home} is not pinned."]
    dvc(root, "add", "--quiet", home.as_posix())
    return [f"{home}.dvc: pinned by DVC; commit {layout.BROUGHT}/ and {layout.runs_file(task)}."]
