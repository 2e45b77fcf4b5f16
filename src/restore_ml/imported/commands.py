"""The command `restore-ml weights import`: a file of weights becomes a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, shown

EXAMPLE = """\
examples:
  restore-ml weights import vdsr_official VDSR_Official.mat --method vdsr --dry-run
  restore-ml weights import vdsr_official VDSR_Official.mat --method vdsr --licence "research only"
  restore-ml weights import vdsr_small net.pth --method vdsr --set layers=8 --set width=32
  restore-ml weights import faces photo_to_sketch=cycle.pth#netG_A sketch_to_photo=cycle.pth#netG_B --method cyclegan
"""


DOES = """\
Fill a method's networks from a file instead of training them: find which array is which weight, copy the file to
brought/weights/, hand it to DVC and write the run's entry. `make repro` then restores, scores and shows the run as any
other."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `weights import` to the parser; `command` of the parsed arguments is the function to call."""
    parser = subparsers.add_parser("weights", help="make a run from weights that others trained")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = commands.add_parser("import", help="fill a method's networks from a file instead of training them",
                              epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter, description=DOES)
    add.add_argument("run", help="the name of the run")
    add.add_argument("files", nargs="+", metavar="FILE", help="safetensors, .pth, .pt, .ckpt, .npz or .mat; FILE#KEY "
                     "for what lies below a key of it; NETWORK=FILE for each network of a method that stores several")
    add.add_argument("--task", help="of the run (default: the only one that has the method)")
    add.add_argument("--method", help="whose networks are filled (default: the run's entry, or its name)")
    add.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the run that "
                     "differs from its method's paper, such as width=32; repeatable")
    add.add_argument("--licence", default="", help="what one may do with the weights; it travels with the model")
    add.add_argument("--dry-run", action="store_true", help="show which array becomes which weight, write nothing")
    add.set_defaults(command=import_command)


def import_command(options: argparse.Namespace) -> int:
    """`restore-ml weights import`: show the mapping, and without --dry-run make the run."""
    from restore_ml import registry
    from restore_ml.imported.entry import Wish, write
    from restore_ml.imported.model import Source, lines, match

    root = layout.project()
    wish = _wish(root, options)
    method = registry.method(wish.task, wish.method, wish.settings(root))
    sources = {network: Source(*_source(text)) for network, text in _files(options.files).items()}
    stored = method.stored_networks
    if "" not in sources and set(sources) != set(stored):
        raise UserError(f"The method {wish.method!r} stores {', '.join(stored) or 'no network'}; give one FILE, or "
                        f"NETWORK=FILE for each: {' '.join(f'{name}=FILE' for name in stored)}.")
    matches = match(method, sources, method.networks())
    print("\n".join(line for each in matches for line in lines(each)))
    if options.dry_run:
        print(f"These would be the weights of {wish.task}/{wish.run}, method {wish.method}; nothing was written.")
        return 0
    for sentence in write(root, wish, sources, Wish.of(root, wish.task, wish.run)):
        print(sentence)
    return 0


def _wish(root: Path, options: argparse.Namespace) -> Any:
    """What run is to be made: its task, method and settings, from the options and the entry that is there."""
    from restore_ml import registry
    from restore_ml.imported.entry import Wish
    from restore_ml.runs.settings import graph_tasks

    tasks = graph_tasks(root)
    if options.task and options.task not in tasks:
        raise UserError(f"There is no task {shown(options.task)} in this project; the tasks are {', '.join(tasks)}."
                        f"{registry.nearest(options.task, tasks)}")
    looked = [options.task] if options.task else tasks
    present = [found for task in looked if (found := Wish.of(root, task, options.run))]
    if len(present) > 1:
        raise UserError(f"{', '.join(found.task for found in present)} each have a run {options.run!r}; say which with "
                        "--task.")
    if present and present[0].outside:
        raise UserError(f"The run {options.run!r} of {present[0].task} is outputs of another tool; give the weights "
                        "another name.")
    if present and not present[0].files:
        raise UserError(f"The run {options.run!r} of {present[0].task} is one of this project's own; give yours "
                        f"another name, and `--method {present[0].method}`.")
    method = options.method or (present[0].method if present else options.run)
    homes = [present[0].task] if present else [task for task in looked if method in registry.method_names(task)]
    if len(homes) != 1:
        names = [name for task in looked for name in registry.method_names(task)]
        raise UserError(f"{', '.join(homes)} each have a method {method!r}; say which with --task." if homes else
                        f"There is no method {shown(method)}; name the one whose networks the file fills with "
                        f"--method. `restore-ml methods` lists them.{registry.nearest(method, names)}")
    changed = dict(_setting(text) for text in options.set)
    before = present[0].changed if present else {}
    return Wish(homes[0], options.run, method, before | changed,
                options.licence or (present[0].licence if present else ""))


def _files(texts: list[str]) -> dict[str, str]:
    """Network -> file; one file for all stands under the empty name."""
    if len(texts) == 1 and ("=" not in texts[0] or Path(texts[0].partition("#")[0]).exists()):
        return {"": texts[0]}
    pairs = [text.partition("=") for text in texts]
    named = {network for network, equals, file in pairs if equals and network and file}
    if len(named) < len(pairs):
        raise UserError("Several files are given; write each as NETWORK=FILE, every network once.")
    return {network: file for network, _, file in pairs}


def _source(text: str) -> tuple[Path, str]:
    """A file and the key within it."""
    file, _, part = text.partition("#")
    return (Path(text), "") if Path(text).exists() else (Path(file).expanduser(), part)


def _setting(text: str) -> tuple[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    name, equals, value = text.partition("=")
    try:
        parsed = YAML(typ="safe").load(value)
    except YAMLError:
        equals = ""
    if not equals or not name or not value:
        raise UserError(f"--set {shown(text)} is no NAME=VALUE; write it as --set width=32.")
    return name, parsed
