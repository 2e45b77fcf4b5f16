"""What a feature network says of a whole picture: the channel means of one of its maps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from restore_ml.base.errors import UserError


def channel_means(features: Any, pictures: Tensor, settings: dict[str, Any], method: str) -> Tensor:
    """N x 3 x H x W RGB in [0, 1] to N x `channels` float32: the means of the map `tap` over its places.

    `tap` and `channels` are settings of the method whose name is given. A `UserError` says where there is no feature
    network, or one whose map has another number of channels.
    """
    tap, channels = settings["tap"], settings["channels"]
    if features is None:
        raise UserError(f"{method} needs a feature network; name one in the slot `features` of its run.")
    maps = features(pictures.float(), [tap])[tap].float()
    if maps.shape[1] != channels:
        raise UserError(f"{tap} of the feature network has {maps.shape[1]} channels; set `channels` of {method}, "
                        f"which is {channels}, to that.")
    return maps.mean((2, 3))
