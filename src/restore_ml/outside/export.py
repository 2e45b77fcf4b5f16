"""`restore-ml inputs export`: the inputs of a test case as files, with a manifest and a README."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, read_json, sha256, write_json, write_text, write_whole
from restore_ml.data import films, pictures
from restore_ml.data.file_kinds import CLIP, VOLUME, Form
from restore_ml.outside.inputs import FORMAT, MANIFEST, WHAT, Inputs, case_hash, changed, read_manifest
from restore_ml.outside.names import listed
from restore_ml.tasks.base import Task
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.sample_files import PICTURE, Made, Wanted

README = "README.md"


def export(root: Path, task: str, test_set: str, degradation: str, folder: Path) -> str:
    """Write the inputs of a case to `folder`, which must be new, empty, or an earlier export of that case; returns what
    was written and what to do with it."""
    from restore_ml.runs import settings

    params = settings.load(root / layout.PARAMS)
    inputs = Inputs(root, task, test_set, degradation)
    hashes = inputs.hashes()
    _make_room(folder, inputs, hashes)
    samples: dict[str, dict[str, Any]] = {}
    given: dict[str, str] = {}
    wanted: dict[str, str] = {}
    endings: dict[str, list[str]] = {}
    for name, record in inputs:
        files, asked = inputs.files.given(record.arrays), inputs.files.wanted(record.arrays)
        written = {path: digest for part, made in files.items() for path, digest in _write(folder, part, name, made)}
        samples[name] = {"id": record.id, "sha256": hashes[record.id], "files": written,
                         "told": inputs.files.told(record.arrays),
                         "wanted": {part: _plain(want) for part, want in asked.items()}}
        given |= {part: made.kind.name for part, made in files.items()}
        wanted |= {part: str(want) for part, want in asked.items()}
        endings |= {part: _endings(want) for part, want in asked.items()}
    manifest: dict[str, Any] = {"what": WHAT, "format": FORMAT, "task": task, "set": test_set, "case": degradation,
                "seed": params.seed, "inputs_sha256": case_hash(hashes), "protocol": protocol_in_words(inputs),
                "given": given, "wanted": wanted, "endings": endings, "samples": samples}
    write_text(folder / README, _readme(manifest))
    write_json(folder / MANIFEST, manifest)
    remember(root, task, test_set, degradation, manifest["inputs_sha256"])
    return (f"{folder}: {len(samples)} samples of {task} {inputs.case}: {', '.join(given)}; {README} says what is "
            "wanted. When the tool has written its results:\n"
            f"  restore-ml outputs add NAME --task {task} --set {test_set} --case {degradation} RESULTS")


def _make_room(folder: Path, inputs: Inputs, hashes: dict[str, str]) -> None:
    """Refuse a place where something else lies; of an earlier export of the same case the files go. Of other inputs
    they stay where results lie beside them, which would be taken for those of the new ones."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        return
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None:
        raise UserError(f"{folder} is not empty; name a new folder.")
    if [manifest["task"], manifest["set"], manifest["case"]] != [inputs.task, inputs.case.test_set,
                                                                 inputs.case.degradation]:
        raise UserError(f"{folder} holds the inputs of {manifest['task']} {manifest['set']}/{manifest['case']}; name a "
                        "new folder, so that none is taken for the other.")
    parts = {Path(path).parts[0] for entry in manifest["samples"].values() for path in entry["files"]}
    beside = sorted(path.name for path in folder.iterdir() if path.name not in (*parts, MANIFEST, README)
                    and not path.name.startswith("."))
    if beside and changed({entry["id"]: entry["sha256"] for entry in manifest["samples"].values()}, hashes):
        raise UserError(f"The inputs of {inputs.task} {inputs.case} have changed since they were exported to {folder}, "
                        f"and what lies beside them ({listed(beside)}) was made of the old ones; name a new folder.")
    (folder / MANIFEST).unlink()
    for entry in manifest["samples"].values():
        for path in entry["files"]:
            (folder / path).unlink(missing_ok=True)


def _write(folder: Path, part: str, name: str, made: Made) -> Iterable[tuple[str, str]]:
    """Write one input, and give the files' names below the folder and their hashes."""
    if made.kind is CLIP:
        shutil.rmtree(folder / part / name, ignore_errors=True)
        files = {f"{part}/{name}/{own}": data for own, data in CLIP.frames(made.value, Form(""))}
    else:
        ending = ".nii.gz" if made.kind is VOLUME else next(iter(made.kind.writes))
        files = {f"{part}/{name}{ending}": made.kind.encode(made.value, Form(ending, made.origin))}
    for path, data in files.items():
        write_whole(folder / path, lambda temporary, data=data: temporary.write_bytes(data))  # type: ignore[misc]
        yield path, sha256(data)


def _plain(wanted: Wanted) -> dict[str, Any]:
    """What is expected of a file, for programs."""
    found: dict[str, Any] = {"kind": wanted.kind.name}
    if wanted.size is not None:
        found |= {"height": wanted.size[0], "width": wanted.size[1]}
    return found | {name: value for name, value in (("channels", wanted.channels), ("frames", wanted.frames)) if value}


def _endings(wanted: Wanted) -> list[str]:
    """Those that are read; a folder of frames has none."""
    own = {PICTURE: pictures.SUFFIXES, CLIP: films.SUFFIXES}
    return sorted(own.get(wanted.kind, wanted.kind.reads))


def protocol_in_words(inputs: Inputs) -> list[str]:
    """How outputs are judged: sentences from the task's own words."""
    task, rules = registry.task(inputs.task), protocol(inputs.task)
    better = "higher" if rules.metric(rules.primary).direction > 0 else "lower"
    cases = registry.parts(inputs.task).cases
    found = [_joined(sys.modules[type(part).__module__].__doc__) for part in (task, cases, rules)]
    found = [*filter(None, found),
             "Each sample is restored from its own inputs alone, none is left out, and nothing is chosen by the truth.",
             f"The table ranks by {rules.primary} ({better} is better)."]
    if type(task).compose is not Task.compose:
        found.append(f"Before measuring, every method's output is composed: {_joined(inspect.getdoc(task.compose))}")
    if rules.reading:
        found.append(rules.reading)
    told = _joined(inspect.getdoc(type(inputs.files)))
    return [*found, told] if type(inputs.files).__module__ != "restore_ml.tasks.sample_files" else found


def _joined(text: str | None) -> str:
    return " ".join((text or "").split())


def _readme(manifest: dict[str, Any]) -> str:
    task, case = manifest["task"], f"{manifest['set']}/{manifest['case']}"
    first = next(iter(manifest["samples"]))
    entry = manifest["samples"][first]
    told = next(iter(entry["told"].items()), None)
    several = len(manifest["wanted"]) > 1
    lines = [f"# {task}, {case}: {len(manifest['samples'])} samples, seed {manifest['seed']}", "", "Given:", "",
             *(f"- `{part}/`: {kind} files, such as `{next(path for path in entry['files'] if path.startswith(part))}`"
               for part, kind in manifest["given"].items())]
    if told:
        lines += ["- in `manifest.json`, under `told` of each sample: "
                  f"{', '.join(entry['told'])} (of {first}: {told[0]} = {_short(told[1])})"]
    lines += ["", "Wanted of each sample:", ""]
    lines += [f"- {f'in a folder `{part}/`: ' if several else ''}{words}"
              + (" (each sample has its own size, see `wanted` in `manifest.json`)" if _sizes(manifest, part) > 1
                 else "") for part, words in manifest["wanted"].items()]
    lines += ["", f"Name each result like its input (`{first}`); what a tool adds to all names, another ending or "
              "missing leading zeros do no harm. Write the results into a folder of their own. Then, in the project:",
              "", f"    restore-ml outputs add NAME --task {task} --set {manifest['set']} --case {manifest['case']} "
              "RESULTS", "", "How they are judged:", "", *(f"- {sentence}" for sentence in manifest["protocol"]), ""]
    return "\n".join(lines)


def _sizes(manifest: dict[str, Any], part: str) -> int:
    return len({canonical_json(entry["wanted"].get(part)) for entry in manifest["samples"].values()})


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def remember(root: Path, task: str, test_set: str, degradation: str, digest: str) -> None:
    """Keep in mind, on this machine, that inputs of that hash were exported."""
    path = root / layout.EXPORTS / task / test_set / f"{degradation}.json"
    known = exported(root, task, test_set, degradation)
    if digest not in known:
        write_json(path, [*known, digest])


def exported(root: Path, task: str, test_set: str, degradation: str) -> list[str]:
    """The hashes of the inputs of a case that were exported on this machine so far."""
    path = root / layout.EXPORTS / task / test_set / f"{degradation}.json"
    try:
        return [str(digest) for digest in read_json(path)] if path.exists() else []
    except UserError:  # a state of this machine alone: as if nothing were known
        return []
