"""The frozen feature network that a run names in `needs:`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore_ml import layout


def load_needed(root: Path, needs: str, weights: dict[str, str]) -> Any:
    """The feature network of the run `needs` (None for `none`), or the user's ImageNet file when one is given."""
    if needs == "none":
        return None
    from restore_ml.nn.features import load_features

    given = weights.get("vgg19")
    return load_features(Path(given) if given else root / layout.MODELS / needs)
