"""Builds a method's networks and fills them from files: what takes the place of a training in a run with `weights:`.

The model folder is written as a training writes it, with mapping.json (which array became which weight) in the place
of a history. Nothing is learned; arrays that the method takes from the training split (`prepare`) are taken, as the
networks do not bring them, and `finish`, which calibrates what was just trained, is left out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256_of_file, write_json
from restore_ml.imported.mapping import mapped
from restore_ml.imported.shapes import Found, Mismatch, Wanted
from restore_ml.method import Method
from restore_ml.nn.foreign_checkpoints import Checkpoint, read_checkpoint
from restore_ml.tasks.base import Material
from restore_ml.training.train import _end, _record, _status, _write_arrays, _write_weights

if TYPE_CHECKING:
    from torch import nn

ALL = ""
"""Stands for all stored networks where one file has them."""
UNKNOWN = "licence of the weights unknown"
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Source:
    """A file of weights, and the key below which they lie in it (empty: wherever they are)."""

    path: Path
    part: str = ""


@dataclass(frozen=True)
class Match:
    """What a file gave: to which network (`ALL`: to every one), read as what, found how."""

    network: str
    source: Source
    checkpoint: Checkpoint
    found: Found


def fingerprint_of(spec: dict[str, Any]) -> str:
    """Stands for a run's code, settings and files; no pictures count, for nothing is learned here."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:32]


def import_run(spec: dict[str, Any], root: Path, out: Path) -> dict[str, Any]:
    """Make the model of a run with weights of others, whose `spec` is the content of code/train/<task>/<run>.json;
    returns what model.json says.

    Weights that cannot be read or do not fit are no exception: the status is `failed`, with the reason.
    """
    started = time.monotonic()
    method = registry.method(spec["task"], spec["method"], spec["settings"])
    files = spec["imported"]["files"]
    fingerprint = fingerprint_of(spec)
    names = ", ".join(dict.fromkeys(Path(file["file"]).name for file in files.values()))
    record = _record(spec, method, fingerprint) | {
        "kind": "imported", "imported": files, "weights_licence": spec["imported"]["licence"] or UNKNOWN,
        "reading": f"imported: the weights are those of {names}, nothing was trained here"}
    try:
        if type(method).prepare is not Method.prepare:
            method.constants = method.prepare(Material(root / layout.material(spec["task"])), spec["seed"])
        for file in files.values():
            check_hash(root / file["file"], file["sha256"])
        record |= _filled(method, {network: Source(root / file["file"], file["part"])
                                   for network, file in files.items()}, spec["seed"], out)
        record |= _write_arrays(out, method.constants)
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        record |= {"status": status, "reason": " ".join(str(error).split()) or type(error).__name__}
    _end(record, root, out, root / layout.CHECKPOINTS / fingerprint,
         {"seconds": round(time.monotonic() - started, 3), "steps": 0})
    return record


def check_hash(path: Path, sha256: str) -> None:
    """`UserError` where the file is not the one that the stage `code` saw."""
    if not path.is_file() or sha256_of_file(path) != sha256:
        raise UserError(f"{path.name} is not the file that it was when this rebuild began; start again.")


def _filled(method: Method, sources: Mapping[str, Source], seed: int, out: Path) -> dict[str, Any]:
    """Fill the networks, write weights.safetensors and mapping.json; what model.json says of them."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = method.networks()
    matches = match(method, sources, networks)
    fill(method, networks, matches)
    for name in method.stored_networks:
        networks[name].eval()
    digest = _write_weights(out, method.store(networks))
    write_json(out / "mapping.json", [table(each) for each in matches])
    parameters = {name: sum(p.numel() for p in networks[name].parameters()) for name in method.stored_networks}
    return {"parameters": parameters, "parameters_total": sum(parameters.values()), "weights_sha256": digest}


def match(method: Method, sources: Mapping[str, Source], networks: Mapping[str, nn.Module]) -> list[Match]:
    """Find the weights of each stored network in its file, or of all in the one under `ALL`.

    Raises:
        UserError: a file that cannot be read, or whose weights do not fit; the sentence says what would.
    """
    found: list[Match] = []
    for network, source in sources.items():
        checkpoint = read_checkpoint(source.path)
        try:
            found += matches_of(network, source, checkpoint, method, networks)
        except Mismatch as error:
            from restore_ml.imported.suggestions import suggestion

            told = suggestion(method, partial(matches_of, network, source, checkpoint), checkpoint)
            raise UserError(f"{source.path.name} does not fit {_name(method)}: {error} {told}") from None
        except UserError as error:
            raise UserError(f"{source.path.name}: {error}") from None
    return found


def matches_of(network: str, source: Source, checkpoint: Checkpoint, method: Method,
               networks: Mapping[str, nn.Module]) -> list[Match]:
    """The same of one file that is read already."""
    wishes = wanted(method, networks)
    asked = method.stored_networks if network == ALL else (network,)
    if len(asked) == 1:
        return [_match(network or asked[0], wishes[asked[0]], source, checkpoint)]
    together = Wanted({f"{name}.{key}": shape for name in asked for key, shape in wishes[name].shapes.items()},
                      frozenset(f"{name}.{key}" for name in asked for key in wishes[name].constants))
    try:  # the order of networks tells nothing of which is which
        return [_match(ALL, together, source, checkpoint, guess=False)]
    except Mismatch:
        return [_match(name, wishes[name], source, checkpoint) for name in asked]


def _match(network: str, wish: Wanted, source: Source, checkpoint: Checkpoint, guess: bool = True) -> Match:
    return Match(network, source, checkpoint, mapped(
        wish, checkpoint.arrays, torch_order=checkpoint.torch_order, ordered=checkpoint.ordered, network=network,
        part=source.part, guess=guess))


def wanted(method: Method, networks: Mapping[str, nn.Module]) -> dict[str, Wanted]:
    """What each stored network needs. A buffer that is no statistic of a normalisation is fixed by the method."""
    wishes = {}
    for name in method.stored_networks:
        buffers = {key for key, _ in networks[name].named_buffers()}
        wishes[name] = Wanted({key: tuple(value.shape) for key, value in networks[name].state_dict().items()},
                              frozenset(key for key in buffers if not key.endswith((*STATISTICS, "_u", "_v"))))
    return wishes


def fill(method: Method, networks: Mapping[str, nn.Module], matches: list[Match]) -> None:
    """Put what was found into the networks; what a file may lack stays as built."""
    import torch

    states = {name: dict(networks[name].state_dict()) for name in method.stored_networks}
    for each in matches:
        for key, value in each.found.arrays(each.checkpoint.arrays).items():
            name, inner = (each.network, key) if each.network else key.split(".", 1)
            states[name][inner] = torch.from_numpy(value).to(states[name][inner].dtype)
    for name, state in states.items():
        networks[name].load_state_dict(state)


def table(each: Match) -> dict[str, Any]:
    """What mapping.json says of a file."""
    used = {pair.theirs for pair in each.found.pairs}
    return {"file": each.source.path.name, "kind": each.checkpoint.kind, "part": each.source.part,
            "network": each.network or "all", "by": each.found.how, "inside": each.found.inside.rstrip("."),
            "weights": [{"ours": pair.ours, "shape": list(pair.shape), "theirs": pair.theirs,
                         "stored": list(pair.stored), "axes": pair.axes} for pair in each.found.pairs],
            "unused": [name for name in each.checkpoint.arrays if name not in used] + each.checkpoint.aside}


def lines(each: Match) -> Iterator[str]:
    """The same for a person: a heading, a line a weight, and what was left."""
    from restore_ml.imported.names import shown

    told, pairs = table(each), each.found.pairs
    inside = f" below {told['inside']!r}" if told["inside"] else ""
    yield (f"{told['file']} ({told['kind']}, {len(each.checkpoint.arrays)} arrays): {len(pairs)} weights of "
           f"{'all networks' if each.network == ALL else each.network!r} found by {told['by']}{inside}.")
    rows = [("ours", "shape", "theirs", "stored as", "axes"), *(
        (pair.ours, shown(pair.shape), pair.theirs, shown(pair.stored), pair.axes) for pair in pairs)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if told["unused"]:
        more = ", ..." if len(told["unused"]) > 6 else ""
        yield f"Not used: {len(told['unused'])} arrays ({', '.join(told['unused'][:6])}{more})."


def _name(method: Method) -> str:
    return type(method).__module__.rpartition(".")[2]
