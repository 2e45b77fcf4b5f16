"""The embedded photographs and scenes alone, for tests that need some pictures and not all that there are."""

from __future__ import annotations

from pathlib import Path

from restore_ml.data import domains
from restore_ml.data.embedded import lay_out


def lay_out_photos_and_scenes(root: Path) -> None:
    """Lay them under root/data, the drawn scenes alone."""
    names = {name for domain in domains.names() for name in domains.get(domain).embedded()}
    lay_out(root, without=names - {"photos", "photos_train", "scenes", "scenes_train"})
