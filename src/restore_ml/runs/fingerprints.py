"""What each stage and run depends on, written down exactly: the folder `code`, which DVC tracks.

For every run there is one file with its resolved settings, threads, precision, the versions of torch and numpy, and a
hash of the sources that its method and its stage use (`restore_ml.runs.sources`). So a new block in `nn` retrains
only who uses it, a mended bug in a shared loss all who use it, and a metric, a new task or a new test case none.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file, write_json
from restore_ml.data import domains
from restore_ml.method import Method
from restore_ml.registry import evaluation_module, method_class, method_module, tables
from restore_ml.runs.brought import outputs_by_case
from restore_ml.runs.merging import OWN, RESNET29, VGG16
from restore_ml.runs.settings import Params, Run, built_at
from restore_ml.runs.sources import Edge, Sources
from restore_ml.training.precision import resolve

LIBRARIES = ("numpy", "torch")
"""Whose versions a training or restoring depends on."""
HERE = Path(__file__).parents[2]
IMPORTED = "restore_ml.imported.model"
TRAIN, RESTORE, SLOTS = "restore_ml.training.train", "restore_ml.restoring.stage", "restore_ml.training.slots"
LOADING, SEEDS, SCORE = "restore_ml.restoring.loading", "restore_ml.seeds", "pipelines.score"
GRADIENTS = ("restore_ml.training.loop", "restore_ml.training.sampler")
"""What `restore_ml.training.train` imports only for methods that gradients train."""
SHELF = ("restore_ml.nn.foreign_weights", "restore_ml.data.shelf")
"""An import that changes no number: what is read through it is pinned where it is used."""
NETWORK_OF_FEATURES, VGG16_FEATURES = "restore_ml.nn.features", "restore_ml.nn.vgg16_features"
FACE_RECOGNISER = "restore_ml.nn.face_recogniser"
PINNED = {(module, "restore_ml.nn.foreign_weights") for module in (VGG16_FEATURES, "restore_ml.nn.vgg16",
                                                                   FACE_RECOGNISER)}
"""Others: the hash of the weights is in the name that stands in the slot."""


def write_code(root: Path, params: Params) -> list[Path]:
    """Write the folder `code` of the project `root`; files of runs that are gone are removed.

    Returns the files, sorted. A file whose content stays the same is left alone.
    """
    out = root / layout.CODE
    content = code(root, params)
    for path in sorted(out.rglob("*")) if out.is_dir() else []:
        if path.is_file() and path.relative_to(out).as_posix() not in content:
            path.unlink()
    for name, value in content.items():
        path = out / name
        if not path.exists() or _differs(path, value):
            write_json(path, value)
    return [out / name for name in sorted(content)]


def stale(root: Path, params: Params) -> bool:
    """Whether the folder `code` no longer says what holds (another torch, another processor, an edited package)."""
    folder = root / layout.CODE
    content = code(root, params)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    return present != set(content) or any(_differs(folder / name, value) for name, value in content.items())


def _differs(path: Path, value: Any) -> bool:
    try:
        return read_json(path) != value
    except UserError:
        return True


def code(root: Path, params: Params, sources: Sources | None = None) -> dict[str, Any]:
    """The content of the folder `code`: file names (`train/super_resolution/vdsr.json`) -> JSON values."""
    from restore_ml.evaluation.perceptual import asked

    sources = sources or Sources([HERE, root])
    versions = {name: version(name).partition("+")[0] for name in LIBRARIES}
    common = {"threads": params.threads, "precision": resolve(params.precision), "versions": versions}
    content: dict[Path, Any] = {layout.CODE / "prepare.json": {
        "seed": params.seed, "modules": sources.hashes(["pipelines.prepare", "restore_ml.data.prepare", *(
            f"{domains.__name__}.{name}" for name in domains.names())])}}
    distances, _ = asked(params.profile)
    for task in sorted({*params.tasks, *(run.task for run in params.runs.values())}):
        content |= _of_task(root, sources, params, task, distances)
    for run in params.runs.values():
        content |= _of_outside(root, sources, run) if run.outputs else _of_run(sources, params, run, common)
    for run in params.elsewhere.values():
        kinds = ("train", "restore") if run.task in tables() else ("train",)
        content |= {layout.code(kind, run.task, run.name): {
            "run": run.name, "task": run.task, "method": run.method, layout.LEFT_OUT: built_at(run)} for kind in kinds}
    for run in filter(lambda run: run.weights, params.runs.values()):
        content |= {layout.code("train", run.task, run.name): _of_imported(
            root, sources, run, content[layout.code("train", run.task, run.name)])}
    return {path.relative_to(layout.CODE).as_posix(): value for path, value in content.items()}


def _of_imported(root: Path, sources: Sources, run: Run, trained: dict[str, Any]) -> dict[str, Any]:
    """Of a run whose weights others trained: the files by their contents, and the stage that does it. `trained`: what
    it would be of a training."""
    files = {}
    for network, named in run.weights.items():
        file, _, part = named.partition("#")
        if not (root / file).is_file():
            raise UserError(f"The run {run.key!r} has its weights from {file}, which is not there; `dvc checkout` (or "
                            "`dvc pull`) brings it, or `restore-ml weights import` once more.")
        files[network] = {"file": file, "part": part, "sha256": sha256_of_file(root / file)}
    method, module = method_class(run.task, run.method), method_module(run.task, run.method)
    skipped = frozenset((TRAIN, name) for name in (*GRADIENTS, SLOTS))
    return trained | {"stage": "brought.weights", "processes": 1,
                      "imported": {"files": files, "licence": run.weights_licence},
                      "modules": sources.hashes(["pipelines.brought.weights", IMPORTED, SEEDS, module],
                                                _package(module), skipped, overridden(method))}


def _of_task(root: Path, sources: Sources, params: Params, task: str, distances: dict[str, Any]) -> dict[Path, Any]:
    """`distances`: those by networks of others that can be measured here."""
    from restore_ml.evaluation.published import digest

    definition, settings = f"restore_ml.tasks.{task}.task", params.tasks.get(task, {})
    samples = [f"restore_ml.tasks.{task}.{part}" for part in ("task", "training", "cases", "optional")]
    content: dict[Path, Any] = {
        layout.code("degrade", task): {"task": task, "settings": settings, "seed": params.seed, "modules":
                                       sources.hashes(["pipelines.degrade", "restore_ml.degrading.stage", *samples])},
        layout.code("validate", task): {"task": task, "modules": sources.hashes(
            ["pipelines.validate", "restore_ml.degrading.contracts", definition, f"restore_ml.tasks.{task}.optional"])}}
    protocol = evaluation_module(task)
    if protocol is None:
        return content
    judge = _filled(params, {"judge": params.judges[task]}) if task in params.judges else {}
    without = {(SCORE, SLOTS)} if not judge else _unreached(judge, _networks(params, judge))
    content[layout.code("score", task)] = {
        "task": task, "settings": settings, "judge": judge.get("judge", layout.NONE),
        "primary_case": params.primary_cases.get(task, ""), "perceptual": _perceptual(task, distances),
        "modules": sources.hashes(
            [SCORE, "restore_ml.evaluation.scoring", "restore_ml.evaluation.set_figures",
             "restore_ml.evaluation.without_truth", protocol, definition],
            skipped=frozenset({SHELF, *without}))}
    content[layout.code("champion", task)] = {"task": task} | _of_champion(root, sources, task, [protocol, definition])
    content[layout.code("compare", task)] = {
        "task": task, "primary_case": params.primary_cases.get(task, ""),
        "runs": [{"run": run.name, "seed": run.seed, "of": run.of, "kind": kind(run)}
                 for run in params.runs_of(task)],
        "published": digest(task),
        "modules": sources.hashes(["pipelines.compare", "restore_ml.evaluation.comparison", protocol])}
    return content


def _perceptual(task: str, distances: dict[str, Any]) -> dict[str, Any]:
    """The distances that the task's scores have; nothing without any."""
    from restore_ml.tasks.protocol import protocol

    if not distances or not protocol(task).perceptual:
        return {}
    return {"figures": distances}


def _of_champion(root: Path, sources: Sources, task: str, entries: list[str]) -> dict[str, Any]:
    """What restoring and scoring with the champion's stored weights depends on: its own method, whichever run of
    today's has it, or none; and the baseline's, where that is restored beside it (`restore_ml.promotion.sweeps`)."""
    from restore_ml.tasks.protocol import protocol

    rules = protocol(task)
    beside = [method_module(task, rules.baselines[0])] if rules.sweep else []
    entries = ["pipelines.champion", "restore_ml.promotion.champion_scores", RESTORE, *entries, *beside]
    path = root / layout.champion(task) / "model.json"
    if not path.exists():
        return {"method": "", "modules": sources.hashes(entries)}
    about = read_json(path)
    try:
        method, module = method_class(task, about["method"]), method_module(task, about["method"])
    except UserError:  # its method has gone, and the rows will say so
        return {"method": about["method"], "modules": sources.hashes(entries)}
    used = {slot: run for slot, run in about.get("slots", {}).items() if slot in method.restoring_slots}
    return {"method": about["method"], "modules": sources.hashes(
        [*entries, module], _package(module), _unused(method, used, set(used.values())), overridden(method))}


def _of_run(sources: Sources, params: Params, run: Run, common: dict[str, Any]) -> dict[Path, Any]:
    method, module = method_class(run.task, run.method), method_module(run.task, run.method)
    slots = _filled(params, run.slots)
    networks = _networks(params, slots)
    about = {"run": run.name, "task": run.task, "method": run.method, "slots": slots, "seed": run.seed,
             "settings": run.settings, "weights": _weights(params) if networks else {}, **common}
    skipped, own = _unused(method, slots, networks), overridden(method)
    content: dict[Path, Any] = {layout.code("train", run.task, run.name): about | {
        "processes": params.processes_of(run) if method.stored_networks else 1,
        "modules": sources.hashes(["pipelines.train", TRAIN, SEEDS, module, f"restore_ml.tasks.{run.task}.training"],
                                  _package(module), skipped, own)}}
    if run.task in tables():
        content[layout.code("restore", run.task, run.name)] = about | {"modules": sources.hashes(
            ["pipelines.restore", RESTORE, SEEDS, module, f"restore_ml.tasks.{run.task}.task", *(
                [f"restore_ml.tasks.{run.task}.optional"] if method.inputs else [])], _package(module), skipped, own)}
    return content


def _of_outside(root: Path, sources: Sources, run: Run) -> dict[Path, Any]:
    """A run of another tool's outputs: their hashes, what reads them, and the stages that do it."""
    about = {"run": run.name, "task": run.task, "method": run.method, "slots": {}, "seed": run.seed, "settings": {},
             "outputs": outputs_by_case(root, run.task, run.name)}
    used = [f"restore_ml.tasks.{run.task}.task", f"restore_ml.tasks.{run.task}.sample_files"]
    return {layout.code(kind, run.task, run.name): about | {"stage": stage, "modules": sources.hashes(
        [f"pipelines.{stage}", *used], skipped=frozenset({SHELF}))}
        for kind, stage in (("train", "brought.no_model"), ("restore", "brought.outputs"))}


def _package(module: str) -> str:
    """The package of a method that is not ours, whose modules count as well."""
    return "" if module.startswith("restore_ml.") else module.partition(".")[0]


def _filled(params: Params, slots: dict[str, str]) -> dict[str, str]:
    """What fills each slot: the run that it names, or a network of others in the place of a feature network or of a
    recogniser where params.yaml asks for that."""
    filled = dict(slots)
    if params.features == VGG16:
        from restore_ml.nn.vgg16_features import SOURCE

        filled |= {slot: SOURCE for slot, run in slots.items() if _is_feature_network(params, run)}
    if params.recogniser == RESNET29 and any(_recognises_faces(params, run) for run in slots.values()):
        from restore_ml.nn.face_recogniser import SOURCE

        filled |= {slot: SOURCE for slot, run in slots.items() if _recognises_faces(params, run)}
    return filled


def without_weights(params: Params) -> str:
    """Why a network of others that params.yaml asks for cannot be had, and which line to change; empty where it can."""
    from restore_ml.nn import foreign_weights

    for key, choice, name in (("features", params.features, VGG16), ("recogniser", params.recogniser, RESNET29)):
        if choice == name and (fault := foreign_weights.fault(name)):
            return (f"{layout.PARAMS} asks for `{key}: {name}`, and its weights cannot be had: {fault} Or change that "
                    f"line of {layout.PARAMS} to `{key}: {OWN}`, the network that is trained here.")
    return ""


def _networks(params: Params, slots: dict[str, str]) -> set[str]:
    """Which of the fillers are feature networks."""
    return {filler for filler in slots.values()
            if filler.startswith(f"{VGG16}-") or _is_feature_network(params, filler)}


def _is_feature_network(params: Params, run: str) -> bool:
    return run in params.runs and method_class(params.runs[run].task, params.runs[run].method).feature_network


def _recognises_faces(params: Params, run: str) -> bool:
    return run in params.runs and method_class(params.runs[run].task, params.runs[run].method).recognises_faces


def _unused(method: type[Method], slots: dict[str, str], networks: set[str]) -> frozenset[Edge]:
    """Imports that this run never reaches: the loop where nothing is trained, what fills slots where they are empty.

    `networks`: which of the runs in the slots are feature networks.
    """
    edges: set[Edge] = set()
    if not method.stored_networks:
        edges |= {(TRAIN, module) for module in (*GRADIENTS, SLOTS)}
    if not slots:
        edges |= {(TRAIN, SLOTS), (LOADING, SLOTS)}
    return frozenset(edges | _unreached(slots, networks))


def _unreached(slots: dict[str, str], networks: set[str]) -> set[Edge]:
    """What filling these slots never imports."""
    edges: set[Edge] = set(PINNED)
    if all(filler in networks or not layout.is_run(filler) for filler in slots.values()):
        edges.add((SLOTS, LOADING))
    if not any(map(layout.is_run, networks)):
        edges.add((SLOTS, NETWORK_OF_FEATURES))
    if all(map(layout.is_run, networks)):
        edges.add((SLOTS, VGG16_FEATURES))
    if not any(filler.startswith(f"{RESNET29}-") for filler in slots.values()):
        edges.add((SLOTS, FACE_RECOGNISER))
    return edges


def overridden(method: type[Method]) -> frozenset[str]:
    """The names of `Method` that the class or its bases define themselves: their defaults never run."""
    return frozenset(name for cls in method.__mro__ if cls not in (Method, object) for name in vars(cls))


def kind(run: Run) -> str:
    """`network`, `per picture` (optimised on the picture itself), `fitted`, `no training`, `imported` where others
    trained it, or `outside` where another tool made the outputs."""
    brought = layout.OUTSIDE if run.outputs else "imported" if run.weights else ""
    return brought or kind_of_method(method_class(run.task, run.method))


def kind_of_method(method: type[Method]) -> str:
    """The same of a method."""
    if method.stored_networks:
        return "network"
    if method.per_picture:
        return "per picture"
    return "fitted" if method.prepare is not Method.prepare else "no training"


def _weights(params: Params) -> dict[str, str]:
    """The files that a user supplies: by path, with their contents' hash, so that a changed file retrains."""
    paths = dict(params.weights)
    return paths | {f"{name}.sha256": sha256_of_file(Path(path)) for name, path in paths.items()
                    if Path(path).is_file()}
