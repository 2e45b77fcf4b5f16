"""What a model folder holds, loaded: the method and its model."""

from __future__ import annotations

from pathlib import Path

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.method import Method, Model
from restore_ml.restoring.model_files import fit, read_arrays


def load_model(folder: Path, root: Path | None = None) -> tuple[Method, Model]:
    """The method and the model that a model folder (models/<task>/<run>, champions/<task>/champion) holds.

    `root` is the project, where the runs in its slots lie; only methods that use them while restoring look there.
    Raises `UserError` when there is no usable model.
    """
    description = read_json(folder / "model.json")
    if description["status"] != "ok":
        raise UserError(f"The run {description['run']} has no model: {description['status']}, {description['reason']}")
    method = registry.method(description["task"], description["method"], description["settings"])
    model = Model()
    if description.get("arrays_sha256"):
        model.arrays = read_arrays(folder / "arrays.safetensors", description["arrays_sha256"], "np")
    method.constants = model.arrays
    if method.trains:
        _load_networks(method, model, folder / "weights.safetensors", description["weights_sha256"])
    used = {slot: run for slot, run in description.get("slots", {}).items() if slot in method.restoring_slots}
    if used and root is not None:
        from restore_ml.training.slots import load_slots

        model.slots = load_slots(root, used, {})
    return method, model


def _load_networks(method: Method, model: Model, path: Path, digest: str) -> None:
    import torch

    weights = read_arrays(path, digest)
    with torch.random.fork_rng():
        networks = {name: network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                    for name, network in method.networks().items()}  # a quarter less time for a convolution
    fit(lambda: method.load(networks, weights), path)
    model.networks = {name: networks[name].eval().requires_grad_(False) for name in method.stored_networks}
