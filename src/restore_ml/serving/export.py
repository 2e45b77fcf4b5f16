"""Models as ONNX: the whole `restore` of a method where it is one pass that any size can take, else its one network.

What becomes of a method is found by trying, not by a list: `restore` is traced with free height and width; where that
is impossible and one network is called exactly once, that network is traced on what it was called with. A file is kept
only when ONNX Runtime gives torch's values at other sizes too.
"""

from __future__ import annotations

import inspect
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml import registry
from restore_ml.arrays import ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.data import licences
from restore_ml.kinds import CLIP, MASK, NUMBER, VECTOR
from restore_ml.method import Method, Model
from restore_ml.nn.pieces import in_one_piece
from restore_ml.seeds import generator
from restore_ml.serving import outputs
from restore_ml.serving.engine import model_hash
from restore_ml.serving.photos import of_task
from restore_ml.serving.restore_command import load_for, run_name, write_bytes

TOLERANCE = 1e-3
"""Largest difference to torch, as a share of the larger of 1 and torch's largest value."""
SIZES = ((64, 96), (80, 48), (72, 80))
"""Heights and widths (rounded up to the method's multiple): the first is traced, all are compared. The last is large
enough (4,096 pixels) that attention works in groups of positions."""
OPSET = 18
FRAMES = 5
"""Of the clips that a file is traced with."""
FACTS = ("run", "task", "method", "scale", "weights_sha256", "model_sha256", "licences")


@dataclass(frozen=True)
class Traced:
    """A module to export, with its inputs at each of SIZES and the names of inputs and outputs."""

    form: str
    module: nn.Module
    samples: list[tuple[Tensor, ...]]
    inputs: list[str]
    outputs: list[str]


def export(root: Path, task: str, model: str, target: Path, scale: int | None = None) -> str:
    """Write the model of a run or champion to `target`; returns a sentence with the largest difference to torch.

    Raises `UserError` where the packages are missing, the method is no single pass of a network, or ONNX Runtime does
    not give torch's values.
    """
    if target.suffix != ".onnx":
        raise UserError(f"{target} does not end in .onnx; name a file that does.")
    outputs.check_file(target)
    folder, method, loaded = load_for(root, task, model, "fp32")
    _needs_onnx()
    run = run_name(folder)
    photos = of_task(task)
    if scale is not None and not photos.enlarges:
        raise UserError(f"{task} takes no scale; leave it out.")
    factor = photos.factor(method, scale)
    if photos.enlarges and method.unsupported(f"x{factor}"):
        raise UserError(f"This model cannot enlarge by {factor}: {method.unsupported(f'x{factor}')}.")
    if not loaded.networks and not loaded.arrays:
        raise UserError(f"{run} ({type(method).__name__}) has learned nothing that a file could hold: it computes or "
                        "optimises on each picture, so there is no network to export.")
    facts = read_json(folder / "model.json") | {"model_sha256": model_hash(folder, root)}
    facts |= {"scale": factor} if photos.enlarges else {}
    under = licences.of_model(root, folder)
    facts |= {"licences": licences.described(under)} if under else {}
    reasons = []
    for candidate in _candidates(method, loaded, factor):
        if isinstance(candidate, str):
            reasons.append(candidate)
            continue
        try:
            data = _described(_onnx(candidate), candidate, method, facts)
            difference = compare(data, candidate)
        except Exception as error:  # the tracer raises nearly anything on what it cannot follow
            reasons.append(f"{candidate.form}: {_first_line(error)}")
            continue
        if difference > TOLERANCE:
            reasons.append(f"{candidate.form}: differs from torch by {difference:.2g}")
            continue
        write_bytes(target, data)
        return (f"{target}: {candidate.form} of {run} ({task}), {len(data) / 1e6:.2f} MB; inputs "
                f"{', '.join(candidate.inputs)}, outputs {', '.join(candidate.outputs)}; largest difference to torch "
                f"{difference:.1e} of its largest value, at {len(SIZES)} sizes. {licences.warning(under)}").rstrip()
    raise UserError(f"{run} cannot be exported: its restoring is no single pass of a network that any size can take "
                    f"({'; '.join(reasons)}).")


def _needs_onnx() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise UserError(f"Exporting needs {', '.join(missing)}; `pip install -c constraints.txt -e '.[onnx]'` in the "
                        "project's folder brings them.")


class _Restoring(nn.Module):
    """A method's `restore` as a module; numbers among the inputs are constants."""

    def __init__(self, method: Method, model: Model, arrays: list[str], numbers: dict[str, Tensor],
                 outputs: list[str]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(model.networks)
        self.method, self.model, self.arrays, self.numbers, self.outputs = method, model, arrays, numbers, outputs

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """The task's outputs in their order."""
        result = self.method.restore(self.model, {**dict(zip(self.arrays, arrays, strict=True)), **self.numbers}, 1)
        return tuple(result[name] for name in self.outputs)


def _candidates(method: Method, model: Model, scale: int) -> Iterator[Traced | str]:
    """What could be exported, the whole `restore` first; a text says why something could not."""
    task = registry.task(method.task)
    names = [name for name, spec in task.inputs.items() if spec.kind is not NUMBER]
    numbers = {name: torch.tensor([scale if name == "scale" else _middle(spec)])
               for name, spec in task.inputs.items() if spec.kind is NUMBER}
    batches = [_inputs(task, names, size, method.multiple) for size in SIZES]
    calls: list[dict[str, list[tuple[Any, ...]]]] = []
    try:
        with torch.no_grad(), in_one_piece():
            for batch in batches:
                with _watched(model.networks) as seen:
                    result = method.restore(model, {**batch, **numbers}, 1)
                calls.append(seen)
    except KeyError as error:
        if error.args[0] not in method.inputs:
            raise
        yield f"the whole restore: needs the {error.args[0]} beside the picture"
        return
    outputs = [name for name in task.output if name in result]
    yield Traced("the whole restore", _Restoring(method, model, names, numbers, outputs),
                 [tuple(batch[name] for name in names) for batch in batches], names,
                 [f"restored_{name}" if name in names else name for name in outputs])
    called = {name: len(found) for name, found in calls[0].items() if found}
    if len(called) != 1 or set(called.values()) != {1}:
        said = ", ".join(f"{name} {count}x" for name, count in called.items()) or "none"
        yield f"a single network: calls {said}"
        return
    name = next(iter(called))
    samples = [seen[name][0] for seen in calls]
    if not all(isinstance(value, Tensor) for sample in samples for value in sample):
        yield f"the network {name}: takes more than tensors"
        return
    if len({tuple(value.shape for value in sample) for sample in samples}) == 1:
        samples = samples[:1]  # it always sees one size; the harness resizes to it
    inputs = [f"input_{number}" for number in range(len(samples[0]))] if len(samples[0]) > 1 else ["input"]
    yield Traced(f"the network {name!r}", model.networks[name], samples, inputs, ["output"])


def _inputs(task: Any, names: list[str], size: tuple[int, int], multiple: int) -> dict[str, Tensor]:
    """Random inputs of a task, as tensors in its units; masks have a hole in the middle half."""
    height, width = (-(-side // multiple) * multiple for side in size)
    draws, made = generator("onnx", height, width), {}
    for name in names:
        spec = task.inputs[name]
        if spec.kind in (CLIP, VECTOR):
            shape = (FRAMES, height, width, spec.channels) if spec.kind is CLIP else (spec.channels,)
            values = draws.integers(0, 256, shape) if spec.kind is CLIP else draws.random(shape)
            made[name] = spec.to_tensor(values.astype(spec.kind.dtype)[None])
            continue
        values = draws.random((1, spec.channels, height, width)) * (100.0 if name == "L" else 1.0)
        if spec.kind is MASK:
            values[:] = 0
            values[..., height // 4:height - height // 4, width // 4:width - width // 4] = 1
        made[name] = torch.from_numpy(values.astype(np.float32))
    if "mask" in made and "image" in made:
        made["image"] = made["image"] * (1 - made["mask"])
    return made


def _middle(spec: ArraySpec) -> int:
    """A number in the middle of its range."""
    low, high = spec.range
    return round(((low or 0) + (high or 0)) / 2)


@contextmanager
def _watched(networks: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """What each network was called with."""
    seen: dict[str, list[tuple[Any, ...]]] = {name: [] for name in networks}
    hooks = [network.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given))
             for name, network in networks.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _onnx(traced: Traced, optimise: bool = True) -> bytes:
    """The bytes of the ONNX file; axes in which the samples differ are free. A graph that the optimiser stumbles over
    is written as it is."""
    sample = traced.samples[0]
    shapes = tuple({axis: torch.export.Dim.DYNAMIC for axis in range(value.ndim)
                    if len({other[number].shape[axis] for other in traced.samples}) > 1}
                   for number, value in enumerate(sample))
    dynamic = (shapes,) if isinstance(traced.module, _Restoring) else shapes
    try:
        with tempfile.TemporaryDirectory() as name, _silence():
            path = Path(name) / "model.onnx"
            program = torch.onnx.export(traced.module.eval(), sample, dynamo=True, dynamic_shapes=dynamic,
                                        opset_version=OPSET, input_names=traced.inputs, output_names=traced.outputs,
                                        verbose=False, optimize=optimise)
            program.save(path, external_data=False)  # type: ignore[union-attr]
            return path.read_bytes()
    except Exception as error:
        if optimise and type(error).__name__ == "PassError":
            return _onnx(traced, optimise=False)
        raise


def _described(data: bytes, traced: Traced, method: Method, facts: dict[str, Any]) -> bytes:
    """With what a user must know in the metadata: where it comes from, and what stands around it in torch."""
    import onnx

    model = onnx.load_model_from_string(data)
    notes: dict[str, str] = {name: str(facts[name]) for name in FACTS if name in facts}
    notes |= {"settings": json.dumps(facts["settings"]), "form": traced.form, "multiple": str(method.multiple),
              "units": "pictures N x 3 x H x W (clips N x T x 3 x H x W) in [0, 1]; masks N x 1 x H x W, 1 = missing; "
                       "L in [0, 100]; height and width multiples of `multiple`; see `restore` for what stands around "
                       "a network",
              "restore": inspect.getsource(type(method).restore)}
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def compare(data: bytes, traced: Traced) -> float:
    """The largest difference between ONNX Runtime and torch over all samples, as a share of torch's largest value."""
    session = open_session(data)
    worst = 0.0
    for sample in traced.samples:
        with torch.no_grad():
            wanted = traced.module(*sample)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        given = session.run(None, {name: value.numpy() for name, value in zip(traced.inputs, sample, strict=True)})
        for found, value in zip(given, wanted, strict=True):
            if found.shape != tuple(value.shape):
                raise ValueError(f"gives {found.shape} where torch gives {tuple(value.shape)}")
            worst = max(worst, float(np.abs(found - value.numpy()).max()) / max(1.0, float(value.abs().max())))
    return worst


def open_session(data: bytes, threads: int = 0) -> Any:
    """ONNX Runtime on the processor; `threads` 0 for its own choice."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@contextmanager
def _silence() -> Iterator[None]:
    """The tracer prints its progress and warns of its own inner workings."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: BaseException) -> str:
    """The first line of what was at the bottom of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
