"""A run's settings under the active profile: what its entry in runs.yaml says over its method's paper recipe.

An entry has `settings`, for every profile, and one mapping a profile with only what differs. Either may hold a mapping
`vgg16`, which counts where feature networks are VGG16 (`features: vgg16` in params.yaml).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore_ml.base.errors import UserError, shown
from restore_ml.runs.checks import known, right_one, same_kind, whole

if TYPE_CHECKING:
    from restore_ml.method import Method

OWN, VGG16 = "own", "vgg16"
FEATURES = (OWN, VGG16)
"""Where feature networks come from: a run of this pipeline, or ImageNet's VGG16 of the shelf in its place."""
RESNET29 = "resnet29"
RECOGNISERS = (OWN, RESNET29)
"""Where recognisers of faces come from: a run of this pipeline, or dlib's network of the shelf in its place."""


def merged(entry: dict[str, Any], profile: str, where: str, features: str = "") -> dict[str, Any]:
    """`settings` below the profile's own; a mapping value is replaced, not merged, so that what is written holds.

    `features` (of a run, empty for samples): with `VGG16` each part's mapping of that name lies over its other
    settings; with `OWN` it is left out.
    """
    found: dict[str, Any] = {}
    for part in ("settings", profile):
        value = _of_settings(entry, part, where)
        of_vgg16 = _of_settings(value, VGG16, f"{part} of {where}") if features else {}
        found |= {key: own for key, own in value.items() if not features or key != VGG16}
        found |= of_vgg16 if features == VGG16 else {}
    return found


def _of_settings(entry: dict[str, Any], part: str, where: str) -> dict[str, Any]:
    value = entry.get(part) or {}
    if not isinstance(value, dict):
        raise UserError(f"{part!r} of {where} must be a mapping of settings, not {shown(value)}.")
    return value


def resolved(cls: type[Method], method: str, settings: dict[str, Any], where: str) -> dict[str, Any]:
    """The method's paper settings with these over them, checked."""
    for key, value in settings.items():
        if key not in cls.paper:
            raise UserError(f"The method {method!r} has no setting {shown(key)} ({where})."
                            f"{right_one(key, cls.paper)}")
        same_kind(cls.paper[key], value, f"{key} of {where}", 0 if key in ("steps", *cls.zero_allowed) else 1)
    found = {**cls.paper, **settings}
    if isinstance(cls.paper.get("steps"), dict):
        phases = tuple(cls.paper["steps"])
        known(found["steps"], phases, f"steps of {where}")
        if missing := [name for name in phases if name not in found["steps"]]:
            raise UserError(f"steps of {where} lacks {', '.join(missing)}; write 0 for a phase that is left out.")
    for key in ("steps", "batch", "patch"):
        for number in (found[key].values() if isinstance(found.get(key), dict) else [found.get(key, 1)]):
            whole(number, f"{key} of {where}", 0 if key == "steps" else 1)
    return found
