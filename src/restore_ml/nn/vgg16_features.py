"""ImageNet's VGG16 in the place of a feature network (`features: vgg16` in params.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.nn import foreign_weights
from restore_ml.nn.vgg16 import LAST_OF_BLOCKS, TAPS, VGG16, halved

POOLS = tuple(f"pool{block}" for block in range(1, 6))
SOURCE = f"vgg16-{foreign_weights.WEIGHTS['vgg16'].sha256[:8]}"
"""The name of the network with these weights, in the names of terms and figures and in the slots of models."""


class Vgg16Features(VGG16):
    """VGG16 with the taps of `restore_ml.nn.features.FeatureNet`: `pool1` ... `pool5` beside the thirteen ReLU taps."""

    source = SOURCE

    def forward(self, x: Tensor, taps: Iterable[str] | None = None, normalise: bool = True,
                pool: Callable[[Tensor], Tensor] = halved) -> dict[str, Tensor]:
        """The maps of `taps` in their order (all thirteen ReLU taps by default); see `VGG16`."""
        wanted = list(TAPS if taps is None else taps)
        before = {name: LAST_OF_BLOCKS[number] for number, name in enumerate(POOLS)}
        maps = super().forward(x, {before.get(tap, tap) for tap in wanted}, normalise, pool)
        return {tap: pool(maps[before[tap]]) if tap in before else maps[tap] for tap in wanted}


def load_vgg16_features(source: str = SOURCE) -> Vgg16Features:
    """The frozen network with torchvision's ImageNet weights from the shelf.

    Raises:
        restore_ml.data.shelf.Missing: the shelf does not have them.
        UserError: `source` names other weights than those known here.
    """
    if source != SOURCE:
        raise UserError(f"The feature network {source!r} is not the VGG16 of this version, which is {SOURCE}; train "
                        "the run anew.")
    network = Vgg16Features()
    network.load_state_dict(foreign_weights.load("vgg16"))
    return network.eval().requires_grad_(False)
