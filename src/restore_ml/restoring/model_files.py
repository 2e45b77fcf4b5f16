"""A model's arrays as they lie on disk, refused in a sentence when they are not those that its training wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file

if TYPE_CHECKING:
    from torch import Tensor, nn

REMEDY = "run `dvc checkout` (or `dvc pull`), or train it anew"


def read_arrays(path: Path, digest: str, framework: str = "pt") -> dict[str, Any]:
    """The arrays of a safetensors file by name, as tensors (`pt`) or numpy arrays (`np`).

    `digest`: the SHA-256 that model.json names. Raises `UserError` for a missing file, another hash, what is no
    safetensors file (a pickle is never opened) and values that are not finite.
    """
    if not path.exists():
        raise UserError(f"The weights {path} do not exist; `dvc repro` (or `dvc pull`) brings them.")
    if sha256_of_file(path) != digest:
        raise UserError(f"{path} is not the file that its model.json names: its SHA-256 differs; {REMEDY}.")
    if framework == "pt":
        from safetensors.torch import load_file
    else:
        from safetensors.numpy import load_file  # type: ignore[assignment]
    try:
        arrays: dict[str, Any] = load_file(path)
    except Exception as error:  # safetensors raises its own kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is no safetensors file ({reason}); nothing else is ever opened; {REMEDY}.") from None
    for name, value in arrays.items():
        if not _is_finite(value):
            raise UserError(f"{path} holds values that are not finite, in {name!r}; {REMEDY}.")
    return arrays


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a network's tensors, which must be all of its own and no others, in their shapes: else a `UserError`."""
    fit(lambda: network.load_state_dict(state), path)


def fit(load: Callable[[], Any], path: Path) -> None:
    """Call `load`, which puts tensors of the file `path` into networks; those that do not fit are a `UserError`."""
    try:
        load()
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path} does not fit the settings in its model.json ({reason}); {REMEDY}.") from None


def _is_finite(value: Any) -> bool:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    return not value.is_floating_point() or bool(value.isfinite().all())
