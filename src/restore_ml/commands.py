"""What each sub-command of `restore-ml` does with its options. Each function imports what it needs when it runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.registry import tables


def runs(options: argparse.Namespace) -> None:
    """Print the runs, their methods and what became of them."""
    from restore_ml.evaluation.comparison import model_facts
    from restore_ml.runs import settings

    root = layout.project()
    params = settings.load(root / "params.yaml")
    rows = [("run", "task", "method", "slots", "state")]
    for run in params.runs.values():
        if options.task in (None, run.task):
            status = model_facts(root / layout.models(run.task), run.name)["status"] or "not built"
            rows.append((run.name, run.task, run.method, ", ".join(run.slots.values()) or "-", status))
    rows += [(run.name, run.task, run.method, ", ".join(run.slots.values()) or "-", settings.built_at(run))
             for run in params.elsewhere.values() if options.task in (None, run.task)]
    _columns(rows)
    print(f"{len(rows) - 1} runs, profile {params.profile}.")


def methods(options: argparse.Namespace) -> None:
    """Print the methods of the tasks."""
    from restore_ml.registry import method_names

    for task in [options.task] if options.task else tables():
        names = method_names(task)
        print(f"{task} ({len(names)}): {', '.join(names)}")


def compare(options: argparse.Namespace) -> None:
    """Print the tables of comparison."""
    from restore_ml.evaluation.tables import console_table
    from restore_ml.report.comparison import read_table

    root = layout.project()
    there = [task for task in tables() if (root / layout.comparison(task) / "table.csv").exists()]
    if not there and options.task is None:
        raise UserError(f"There is no comparison in {root / layout.COMPARISON} yet; `make repro` makes it.")
    for task in [options.task] if options.task else there:
        table = read_table(root, task)
        cases = list(table["case"].unique())
        if options.case and options.case not in cases and options.task:
            raise UserError(f"{task} has no case {options.case!r}; it has {', '.join(cases)}.")
        print(console_table(task, table, options.case), end="\n\n")


def best_on(options: argparse.Namespace) -> int:
    """Try a task's runs on a person's pictures."""
    from restore_ml.own.command import best_on

    return best_on(options)


def table(options: argparse.Namespace) -> None:
    """Print a table for a paper."""
    from restore_ml.report.paper import paper_table
    from restore_ml.report.paper_forms import FORMS

    made = paper_table(layout.project(), options.task, options.case, options.runs or (), options.intervals,
                       options.published)
    print(FORMS[options.format](made))


def restore(options: argparse.Namespace) -> int:
    """Restore a picture or a folder; the exit code is 1 where pictures of a folder failed."""
    from restore_ml.serving.first_run import with_model

    def restore(model: str) -> int:
        from restore_ml.serving.places import is_one

        others, chosen = _pairs("--with", options.also), _pairs("--set", options.set)
        files, texts = _guides(options, others)
        given = {"mask": options.mask, "others": {name: Path(path) for name, path in files.items()}, "texts": texts,
                 "scale": options.scale, "seed": options.seed, "options": chosen, "precision": options.precision}
        if os.path.isdir(options.picture) and not is_one(options.task, options.picture):  # pathlib raises on long names
            from restore_ml.serving.batch import restore_folder

            return restore_folder(root, options.task, model, options.picture, options.output, **given)
        from restore_ml.serving.restore_command import restore_file

        print(restore_file(root, options.task, model, options.picture, options.output, **given))
        return 0

    root = layout.project()
    return with_model(root, options, restore)


def _guides(options: argparse.Namespace, others: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The files by name, those of `others` and the guides that are files among them, and the guides that are words;
    `UserError` for a guide that comes twice."""
    files = {"points": options.hints, "reference": options.reference}
    texts = {"palette": options.palette, "text": options.text}
    for name, given in (files | texts).items():
        if given is not None and name in others:
            raise UserError(f"--{'hints' if name == 'points' else name} and --with {name}={others[name]} are the same; "
                            "give one of them.")
    return (dict(others) | {name: str(path) for name, path in files.items() if path is not None},
            {name: told for name, told in texts.items() if told is not None})


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE by name; `UserError` for what is none, or comes twice."""
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value or name in pairs:
            raise UserError(f"{option} {text!r} {'comes twice' if name in pairs else 'is no NAME=VALUE'}; write it as "
                            f"{option} {'style=painting.png' if option == '--with' else 'NAME=VALUE'}.")
        pairs[name] = value
    return pairs


def serve(options: argparse.Namespace) -> int:
    """Answer requests until it is stopped."""
    from restore_ml.serving.command import serve
    from restore_ml.serving.first_run import with_model
    from restore_ml.serving.limits import Limits

    def answer(model: str) -> int:
        print(serve(root, options.task, model, host=options.host, port=options.port, limits=limits,
                    threads=options.threads, allowed_hosts=tuple(options.allowed_host), precision=options.precision))
        return 0

    root = layout.project()
    limits = Limits(options.max_megabytes, options.max_megapixels, options.max_pictures, options.queue)
    return with_model(root, options, answer)


def export(options: argparse.Namespace) -> int:
    """Write a model as ONNX."""
    from restore_ml.serving.export import export
    from restore_ml.serving.first_run import with_model

    def write(model: str) -> int:
        print(export(root, options.task, model, options.output, scale=options.scale))
        return 0

    root = layout.project()
    return with_model(root, options, write)


def gallery(options: argparse.Namespace) -> None:
    """Write the gallery."""
    from restore_ml.report.gallery import build

    if options.pictures < 1:
        raise UserError(f"--pictures is {options.pictures}; give a whole number of at least 1.")
    root = layout.project()
    print(build(root, options.out or root / layout.REPORTS / "gallery", pictures=options.pictures))


def turing_report(options: argparse.Namespace) -> None:
    """Turn answers of the blind test into rates."""
    from restore_ml.report.turing import console, report
    from restore_ml.tracking.turing import log

    root = layout.project()
    for result in report(root, options.answers, options.attention):
        print(console(result), log(root, result), sep="\n", end="\n\n")


def sync(options: argparse.Namespace) -> None:
    """Fill MLflow, once or until Ctrl-C."""
    from restore_ml.tracking.follow import follow
    from restore_ml.tracking.sync import sync

    if options.seconds <= 0:
        raise UserError(f"--seconds is {options.seconds}; give a number above 0.")
    if options.follow:
        print("Shipping the curves of running trainings to MLflow; Ctrl-C ends it.")
        follow(layout.project(), options.seconds)
    else:
        print(sync(layout.project()))


def promote(options: argparse.Namespace) -> None:
    """Decide on champions; DVC and MLflow are told."""
    from restore_ml.promotion.champions import promote

    root = layout.project()
    for sentence in promote(root, [options.task] if options.task else tables(), dry_run=options.dry_run):
        print(sentence)
    if not options.dry_run:
        _keep(root)


def rollback(options: argparse.Namespace) -> None:
    """Put the previous champion back."""
    from restore_ml.promotion.champions import rollback

    root = layout.project()
    print(rollback(root, options.task))
    _keep(root)


def _keep(root: Path) -> None:
    """Hand the champions to DVC and show them in MLflow."""
    from restore_ml.promotion.champions import dvc_add
    from restore_ml.tracking.sync import sync

    folders = dvc_add(root)
    if folders:
        print(f"Kept by DVC: {', '.join(folders)}.")
    for task in tables():
        page = root / layout.REPORTS / "promotion" / f"{task}.html"
        if page.exists():
            print(f"Page: {page}")
    print(sync(root))


def seeds(options: argparse.Namespace) -> None:
    """Write the runs that repeat others."""
    from restore_ml.runs.replicates import write

    print(write(layout.project(), options.count, options.runs))


def graph(options: argparse.Namespace) -> None:
    """Write the stages of every task."""
    from restore_ml.runs.graph import write

    changed = write(layout.project())
    print("\n".join(f"{path}: written." for path in changed) or "Nothing to change.")


def shelf(options: argparse.Namespace) -> None:
    """Print what is on the shelf, or fetch what is not."""
    from restore_ml.data import shelf

    if options.fetch is not None:
        if not os.environ.get(shelf.VARIABLE):
            layout.project()  # nothing is made in a folder that is none
        print("\n".join(shelf.fetch(options.fetch)) or f"The shelf is complete: {shelf.folder()}")
        return
    for item in shelf.PACKAGES:
        fault = shelf.fault(item)
        size = f"{item.megabytes:.1f} MB on the shelf" if item.archive else "installed"
        if fault and item.on_request:
            fault = f"{item.megabytes:.1f} MB, on request: `restore-ml shelf --fetch {item.name}`"
        print(f"{item.name} {item.version} ({fault or size})\n    {item.what}\n    {item.licence}")


def migrate(options: argparse.Namespace) -> None:
    """Move a project of the old layout."""
    from restore_ml.runs.migration import migrate

    print("\n".join(migrate(layout.project())) or "Nothing to move: the project has the layout of today.")


def _columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
