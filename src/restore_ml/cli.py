"""The command `restore-ml`. Each sub-command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.errors import Terminated, UserError, heeding_termination, prepare_screen, report
from restore_ml.registry import tables

Command = Callable[[argparse.Namespace], int | None]
"""A sub-command: prints, and returns an exit code where it has another one than 0 to give."""

EPILOG = """\
examples:
  restore-ml data init                                        lay out the embedded photographs
  restore-ml compare super_resolution                         print the table of a task
  restore-ml restore --task colorization old.jpg -o new.png   restore a picture with the champion
  restore-ml sync                                             fill MLflow from the results
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, or what `restore_ml.base.errors.report` gives for what ended it."""
    prepare_screen()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given).parse_args(given)
    try:
        with heeding_termination():
            status = options.command(options) or 0
            sys.stdout.flush()  # what cannot be written is met here, not when the interpreter ends
            return status
    except BrokenPipeError:  # `restore-ml runs | head`
        sys.stderr.close()
        return 0
    except (Exception, KeyboardInterrupt, Terminated) as error:
        return report(error, f"restore-ml {' '.join(given)}")


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("restore-ml", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Compare, rebuild and ship image-restoration models on your own "
                                                 "pictures. Run it in the project's folder.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_data(commands, given)
    runs = _add(commands, "runs", _runs, "list the runs of all tasks and what became of them",
                "restore-ml runs --task inpainting")
    runs.add_argument("--task", choices=tables(), help="only the runs of this task")
    methods = _add(commands, "methods", _methods, "list the methods that a run can use", "restore-ml methods")
    methods.add_argument("--task", choices=tables(), help="only the methods of this task")
    compare = _add(commands, "compare", _compare, "print the comparison of the tasks",
                   "restore-ml compare super_resolution --case photos/x4")
    compare.add_argument("task", nargs="?", choices=tables(), help="only this task")
    compare.add_argument("--case", metavar="SET/DEGRADATION", help="another case than the primary one")
    restore = _add(commands, "restore", _restore, "restore a picture, or all pictures of a folder",
                   "restore-ml restore --task inpainting torn.jpg --mask holes.png -o whole.png\n"
                   "  restore-ml restore --task colorization old/ -o coloured/")
    restore.add_argument("picture", type=Path, help="the picture file, of any size, or a folder of them")
    restore.add_argument("--task", required=True, choices=tables())
    restore.add_argument("-o", "--output", required=True, type=Path, help="where the restored picture "
                         "goes (.png ...); of a folder: the folder for PNGs and a report")
    restore.add_argument("--mask", type=Path, help="a picture of the same size, white where pixels are missing; of a "
                         "folder: a folder with masks of the same names, or one mask for all")
    restore.add_argument("--scale", type=int, help="factor of super-resolution (default: the method's own)")
    _add_model(restore)
    restore.add_argument("--seed", type=int, default=1, help="for methods that draw random numbers (default: 1)")
    _add_precision(restore)
    serve = _add(commands, "serve", _serve, "answer requests for restored pictures over HTTP (MLflow's protocol)",
                 "restore-ml serve --task colorization\n"
                 "  restore-ml serve --task super_resolution --model vdsr --port 5006 --max-megapixels 4")
    serve.add_argument("--task", required=True, choices=tables())
    _add_model(serve)
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=5005, help="default: 5005; 0 takes a free one")
    serve.add_argument("--max-megabytes", type=float, default=64.0, metavar="N", help="of a request (default: 64)")
    serve.add_argument("--max-megapixels", type=float, default=25.0, metavar="N",
                       help="of a request's pictures, or of what they become where that is more (default: 25)")
    serve.add_argument("--max-pictures", type=int, default=64, metavar="N", help="in a request (default: 64)")
    serve.add_argument("--queue", type=int, default=8, metavar="N", help="requests held at a time (default: 8)")
    serve.add_argument("--threads", type=int, metavar="N", help="for torch (default: one a core)")
    _add_precision(serve)
    serve.add_argument("--allowed-host", action="append", default=[], metavar="NAME",
                       help="a name, besides those of this machine, under which it may be asked; repeatable")
    export = _add(commands, "export", _export, "write a model as ONNX, compared with torch",
                  "restore-ml export --task super_resolution --model vdsr -o vdsr.onnx")
    export.add_argument("--task", required=True, choices=tables())
    _add_model(export)
    export.add_argument("--scale", type=int, help="factor of super-resolution that the file is made for")
    export.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.onnx")
    gallery = _add(commands, "gallery", _gallery, "write the gallery, web pages that need no server",
                   "restore-ml gallery --pictures 30")
    gallery.add_argument("--out", type=Path, metavar="FOLDER", help=f"default: {layout.REPORTS / 'gallery'}")
    gallery.add_argument("--pictures", type=int, default=12, metavar="N", help="shown of each case (default: 12)")
    _add_turing(commands)
    sync = _add(commands, "sync", _sync, "fill MLflow from the results; run twice it changes nothing",
                "restore-ml sync --follow")
    sync.add_argument("--follow", action="store_true", help="ship the curves of trainings that run, until Ctrl-C")
    sync.add_argument("--seconds", type=float, default=5.0, metavar="S", help="between two looks (default: 5)")
    _add_champions(commands)
    _add(commands, "graph", _graph, "write the stages of every task (graph/<task>/dvc.yaml) anew from graph/task.yaml",
         "restore-ml graph")
    _add(commands, "migrate", _migrate, "move a project whose runs stand in params.yaml to the layout of today",
         "restore-ml migrate")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="champion", metavar="champion|RUN", help="default: champion")
    parser.add_argument("--yes", action="store_true", help="build the model without asking where there is none yet")


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="arithmetic of the "
                        "networks: fp32 as in the tables, bf16, or (default) the faster one that is as good")


def _add_champions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    promote = _add(commands, "promote", _promote, "let the best run of each task become its champion, if it wins "
                   "beyond the interval", "restore-ml promote --dry-run\n  restore-ml promote --task inpainting")
    promote.add_argument("--task", choices=tables(), help="only this task")
    promote.add_argument("--dry-run", action="store_true", help="say what would be decided, write nothing")
    rollback = _add(commands, "rollback", _rollback, "put a task's previous champion back; twice is back again",
                    "restore-ml rollback --task inpainting")
    rollback.add_argument("--task", required=True, choices=tables())
    seeds = _add(commands, "seeds", _seeds, "write the runs that repeat others under more seeds",
                 "restore-ml seeds            (as many as `seeds:` asks for)\n  restore-ml seeds 3 vdsr telea")
    seeds.add_argument("count", nargs="?", type=int, help="seeds a run (default: what `seeds:` says of the profile)")
    seeds.add_argument("runs", nargs="*", metavar="RUN", help="only these (default: every run that draws numbers)")


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, text: str,
         example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.",
                                 epilog=f"example:\n  {example}",
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=command)
    return parser


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser], given: Sequence[str]) -> None:
    """The data commands bring their own options; their module is read only when one of them is called."""
    if given and given[0] == "data":
        from restore_ml.data.commands import add_parser

        add_parser(commands)
    else:
        commands.add_parser("data", help="lay out, add and check collections of pictures")


def _add_turing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    turing = commands.add_parser("turing", help="report the blind test of the gallery (turing.html)",
                                 description="The blind test of the gallery's page turing.html.")
    report = _add(turing.add_subparsers(title="commands", metavar="COMMAND", required=True), "report", _turing_report,
                  "turn files of answers into rates with intervals, in reports/turing and MLflow",
                  "restore-ml turing report turing-colorization-*.json")
    report.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS.json", help="files that the page saved")
    report.add_argument("--attention", type=float, default=0.9, metavar="SHARE", help="of the control pairs that a "
                        "session must have right to be counted (default: 0.9)")


def _runs(options: argparse.Namespace) -> None:
    from restore_ml.evaluation.comparison import model_facts
    from restore_ml.runs import settings

    root = layout.project()
    params = settings.load(root / "params.yaml")
    rows = [("run", "task", "method", "slots", "state")]
    for run in params.runs.values():
        if options.task in (None, run.task):
            status = model_facts(root / layout.models(run.task), run.name)["status"] or "not built"
            rows.append((run.name, run.task, run.method, ", ".join(run.slots.values()) or "-", status))
    _columns(rows)
    print(f"{len(rows) - 1} runs, profile {params.profile}.")


def _methods(options: argparse.Namespace) -> None:
    from restore_ml.registry import method_names

    for task in [options.task] if options.task else tables():
        names = method_names(task)
        print(f"{task} ({len(names)}): {', '.join(names)}")


def _compare(options: argparse.Namespace) -> None:
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


def _restore(options: argparse.Namespace) -> int:
    from restore_ml.serving.first_run import with_model

    def restore(model: str) -> int:
        if os.path.isdir(options.picture):  # pathlib raises on names that are too long
            from restore_ml.serving.batch import restore_folder

            return restore_folder(root, options.task, model, options.picture, options.output, mask=options.mask,
                                  scale=options.scale, seed=options.seed, precision=options.precision)
        from restore_ml.serving.restore_command import restore_file

        print(restore_file(root, options.task, model, options.picture, options.output, mask=options.mask,
                           scale=options.scale, seed=options.seed, precision=options.precision))
        return 0

    root = layout.project()
    return with_model(root, options, restore)


def _serve(options: argparse.Namespace) -> int:
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


def _export(options: argparse.Namespace) -> int:
    from restore_ml.serving.export import export
    from restore_ml.serving.first_run import with_model

    def write(model: str) -> int:
        print(export(root, options.task, model, options.output, scale=options.scale))
        return 0

    root = layout.project()
    return with_model(root, options, write)


def _gallery(options: argparse.Namespace) -> None:
    from restore_ml.report.gallery import build

    if options.pictures < 1:
        raise UserError(f"--pictures is {options.pictures}; give a whole number of at least 1.")
    root = layout.project()
    print(build(root, options.out or root / layout.REPORTS / "gallery", pictures=options.pictures))


def _turing_report(options: argparse.Namespace) -> None:
    from restore_ml.report.turing import console, report
    from restore_ml.tracking.turing import log

    root = layout.project()
    for made in report(root, options.answers, options.attention):
        print(console(made), log(root, made), sep="\n", end="\n\n")


def _sync(options: argparse.Namespace) -> None:
    from restore_ml.tracking.follow import follow
    from restore_ml.tracking.sync import sync

    if options.seconds <= 0:
        raise UserError(f"--seconds is {options.seconds}; give a number above 0.")
    if options.follow:
        print("Shipping the curves of running trainings to MLflow; Ctrl-C ends it.")
        follow(layout.project(), options.seconds)
    else:
        print(sync(layout.project()))


def _promote(options: argparse.Namespace) -> None:
    from restore_ml.promotion.champions import promote

    root = layout.project()
    for sentence in promote(root, [options.task] if options.task else tables(), dry_run=options.dry_run):
        print(sentence)
    if not options.dry_run:
        _keep(root)


def _rollback(options: argparse.Namespace) -> None:
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


def _seeds(options: argparse.Namespace) -> None:
    from restore_ml.runs.replicates import write

    print(write(layout.project(), options.count, options.runs))


def _graph(options: argparse.Namespace) -> None:
    from restore_ml.runs.graph import write

    changed = write(layout.project())
    print("\n".join(f"{path}: written." for path in changed) or "Nothing to change.")


def _migrate(options: argparse.Namespace) -> None:
    from restore_ml.runs.migration import migrate

    print("\n".join(migrate(layout.project())) or "Nothing to move: the project has the layout of today.")


def _columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
