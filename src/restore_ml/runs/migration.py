"""`restore-ml migrate`: a project of the layout before each task had a file of its own becomes one of today's.

params.yaml held all runs (`tasks:`, `support:`, `runs:`, the margins of `promotion:`), results lay under the runs' bare
names, and a run named one other in `needs:`. The entries go to graph/<task>/runs.yaml as they are; champions keep their
weights and learn their slots; collections stay where they are. Results that only the old graph knew are removed: they
are in DVC's cache, and today's code would build them anew.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json, write_text
from restore_ml.registry import support, tables
from restore_ml.runs import graph, settings
from restore_ml.runs.run_entry import SLOTS

NEEDS_TASK = "representation"
"""All that `needs:` could name were its runs."""
RETIRED = "sa_subpixel_sr"
"""The method that lost settings with the old layout: `skip` is `start` now, and the phase `settle` is gone."""
EMPTY = {slot: layout.NONE for slot in SLOTS}


def migrate(root: Path) -> list[str]:
    """Move a project of the old layout; returns a sentence for each thing that moved, none where nothing had to.

    Raises:
        UserError: params.yaml cannot be read, or its new form would be refused; nothing is changed then.
    """
    path = root / layout.PARAMS
    raw = _rt().load(path.read_text(encoding="utf-8")) if path.exists() else None
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no settings; run the command in the project's folder.")
    if not (root / graph.TEMPLATE).exists():
        raise UserError(f"{root / graph.TEMPLATE} does not exist; take it from the repository, with {layout.STAGES}, "
                        "pipelines and flows.")
    said = []
    if any(key in raw for key in settings.OLD_KEYS):
        said += _params(root, raw)
    said += [sentence for folder in sorted((root / layout.CHAMPIONS).glob("*/*/model.json"))
             if (sentence := _champion(folder.parent))]
    if said:
        said += _old_results(root)
        graph.write(root)
    return said


def _rt() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()  # keeps comments, quotes and the way numbers are written
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    return yaml


def _params(root: Path, raw: Any) -> list[str]:
    """Write a runs.yaml for each task and take what went there out of params.yaml."""
    path = root / layout.PARAMS
    margins = (raw.get("promotion") or {}).get("margins") or {}
    files, moved = {}, []
    for name in (*support(), *tables()):
        sections = [raw.get("runs") or {}, raw.get("support") or {}]
        entries = {run: entry for section in sections for run, entry in section.items() if entry.get("task") == name}
        if not entries and name not in (raw.get("tasks") or {}):
            continue
        file = root / layout.runs_file(name)
        if file.exists():
            raise UserError(f"{file} exists, and {path} has {', '.join(settings.OLD_KEYS)} as well; remove one.")
        samples = (raw.get("tasks") or {}).get(name) or {}
        moved += [sentence for run, entry in entries.items() if (sentence := _without_retired(run, entry))]
        files[file] = runs_text(name, samples, margins.get(name) or {}, entries)
        moved.append(f"{layout.runs_file(name)}: {len(entries)} runs of params.yaml.")
    for key in settings.OLD_KEYS:
        raw.pop(key, None)
    if isinstance(raw.get("promotion"), dict):
        raw["promotion"].pop("margins", None)
    out = io.StringIO()
    _rt().dump(raw, out)
    before = path.read_text(encoding="utf-8")
    for file, text in files.items():
        write_text(file, text)
    write_text(path, out.getvalue())
    try:
        settings.load(path)
    except UserError:
        write_text(path, before)
        for file in files:
            shutil.rmtree(file.parent)
        raise
    return moved


def _without_retired(run: str, entry: dict[str, Any]) -> str:
    """Take from an entry, in place, what its method no longer has; a sentence where there was any."""
    if entry.get("method", run) != RETIRED:
        return ""
    changed = False
    for part in ("settings", *settings.PROFILES):
        values = entry.get(part)
        if not isinstance(values, dict):
            continue
        skip = values.pop("skip", None)
        if skip == "bicubic":
            values["start"] = "interpolation"
        steps = values.get("steps")
        settle = steps.pop("settle", None) if isinstance(steps, dict) else None
        changed |= skip is not None or settle is not None
    return (f"{run}: its network begins as interpolation (`start:`) where `skip: bicubic` stood, and its phase settle "
            "is left out; the method has neither any more.") if changed else ""


def runs_text(task: str, samples: dict[str, Any], margins: dict[str, Any], runs: dict[str, Any]) -> str:
    """A runs.yaml of the entries of an old params.yaml."""
    lines = [f"# {task.replace('_', ' ').capitalize()}: what is tested and learned from, and which runs there are.",
             f"task: {task}", f"tables: [{task if task in tables() else ''}]",
             *(f"{key}: {kind}" for key, kind in zip(("domain", "other_domain"), graph.domains_of(task), strict=True)),
             f"judge: {layout.NONE}  # a run (task/run) whose model the scores need"]
    lines += [f"samples: {_flow(samples)}"] if not samples else [
        "samples:", *(f"  {key}: {_flow(value)}" for key, value in samples.items())]
    lines += [f"margins: {_flow(margins)}  # how much worse than the champion other metrics may be", "",
              "# Slots hold other runs (task/run) whose models a run uses.", f"empty: &empty {_flow(EMPTY)}", "",
              "# A run is a method with its settings. The defaults in a method's file are its paper's recipe; a",
              "# profile lists only what differs from it, so `paper` has nothing to say.", "runs: &runs"]
    for name, entry in runs.items():
        lines += _entry(name, {key: value for key, value in entry.items() if key not in ("task", "needs")},
                        str(entry.get("needs") or layout.NONE))
    tested = f"tested: {'*runs' if task in tables() else '{}'}  # what restores the test pictures"
    return "\n".join([*lines, tested]) + "\n"


def _entry(name: str, entry: dict[str, Any], needs: str) -> list[str]:
    if needs != layout.NONE:
        entry = {"features": f"{NEEDS_TASK}/{needs}", **entry}
    if not entry:
        return [f"  {name}: *empty"]
    if "of" in entry:  # as `restore-ml seeds` writes and finds it
        return [f"  {name}: {_flow({'of': entry['of'], **EMPTY, **entry})}"]
    return [f"  {name}:", "    <<: *empty", *(f"    {key}: {_flow(value)}" for key, value in entry.items())]


def _flow(value: Any) -> str:
    """A value on one line."""
    yaml = _rt()
    yaml.default_flow_style = True
    out = io.StringIO()
    yaml.dump(json.loads(json.dumps(value)) if isinstance(value, dict) and not value else value, out)
    return out.getvalue().removesuffix("...\n").strip().replace("\n", " ")


def _champion(folder: Path) -> str:
    """Give a stored model its slots in place of `needs`."""
    model = read_json(folder / "model.json")
    if "needs" not in model:
        return ""
    needs = model.pop("needs")
    model["slots"] = {} if needs == layout.NONE else {"features": f"{NEEDS_TASK}/{needs}"}
    for kept in sorted((folder / layout.MODELS).glob("*/model.json")):
        _champion(kept.parent)
        if kept.parent.parent.name == layout.MODELS.name:
            target = folder / layout.MODELS / NEEDS_TASK / kept.parent.name
            target.parent.mkdir(parents=True, exist_ok=True)
            kept.parent.rename(target)
    write_json(folder / "model.json", model)  # last: what has `needs` is moved again
    return f"{folder.parent.name}: the {folder.name} {model['run']} keeps its weights."


def _old_results(root: Path) -> list[str]:
    """Remove what the old graph built under bare names, and its lock."""
    gone = [path.parent for path in (root / layout.MODELS).glob("*/model.json")]
    gone += [*(root / layout.SCORES).glob("*.parquet"), *(root / layout.CODE).glob("*/*.json"),
             *(root / layout.CODE).glob("*.json")]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / layout.lock_file()).unlink(missing_ok=True)
    return [f"{len(gone)} results of the old layout were removed; `make repro` builds today's."] if gone else []
