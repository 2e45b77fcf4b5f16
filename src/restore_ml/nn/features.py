"""The feature network behind perceptual losses and feature distances: VGG19's convolutions with its tap names.

Taps are `relu1_1` ... `relu5_4` (after the ReLU) and `pool1` ... `pool5`. Weights come from a run of this pipeline
(`source` = `minivgg-<sha8>`) or from a user's ImageNet file in torchvision's layout (`imagenet-<sha8>`); the source
belongs into the name of every figure made with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, sha256_of_file
from restore_ml.nn.initialisation import he
from restore_ml.restoring.model_files import fill, read_arrays

DEPTHS = (2, 2, 4, 4, 4)
"""Convolutions in each of VGG19's five blocks (Simonyan and Zisserman, ICLR 2015, configuration E)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB in [0, 1]."""
CONVOLUTIONS = tuple(f"{block}_{number}" for block, depth in enumerate(DEPTHS, 1) for number in range(1, depth + 1))
TAPS = tuple(f"relu{name}" for name in CONVOLUTIONS)


class FeatureNet(nn.Module):
    """N x 3 x H x W RGB in [0, 1] (H, W >= 16) -> feature maps by tap name.

    `width` is the first block's (64 in VGG19, then 128, 256, 512, 512). `source` names where the weights come from;
    a network fresh from here is `random` and good for tests only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 64, source: str = "random") -> None:
        super().__init__()
        self.width, self.source = width, source
        before = 3
        self.convolutions = nn.ModuleDict()
        for name in CONVOLUTIONS:
            after = width * min(2 ** (int(name[0]) - 1), 8)
            self.convolutions[name] = nn.Conv2d(before, after, 3, padding=1)
            before = after
        he(self)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, taps: Iterable[str] | None = None, normalise: bool = True) -> dict[str, Tensor]:
        """The maps of `taps` (all sixteen ReLU taps by default); nothing behind the last of them is computed.

        `normalise`: subtract ImageNet's mean and divide by its standard deviation first. An unknown tap is a
        `UserError`.
        """
        wanted = list(TAPS if taps is None else taps)
        names = {*TAPS, *(f"pool{block}" for block in range(1, 6))}
        for tap in wanted:
            if tap not in names:
                raise UserError(f"The feature network has no tap {tap!r}; there are relu1_1 ... relu5_4, pool1 ...")
        maps: dict[str, Tensor] = {}
        x = (x - self.mean) / self.std if normalise else x
        for name, convolution in self.convolutions.items():
            x = F.relu(convolution(x))
            maps[f"relu{name}"] = x
            if int(name[2]) == DEPTHS[int(name[0]) - 1] and not maps.keys() >= set(wanted):
                maps[f"pool{name[0]}"] = x = F.max_pool2d(x, 2)
            if maps.keys() >= set(wanted):
                break
        return {tap: maps[tap] for tap in wanted}


def equalise(network: FeatureNet, pictures: Tensor) -> None:
    """Rescale the filters in place so that every channel's root mean square over `pictures` is 1 at every ReLU tap.

    ReLU and max-pooling commute with positive factors, so each layer's factors are undone in the next one's weights
    and the function changes by scales of channels only (after Gatys et al., CVPR 2016, who set the mean to 1).
    reading: the root mean square, because a channel that fires at one place of 10,000 would get a gain of 10,000 times
    its height from its mean, squared again in a Gram matrix, and 100 times from this: with it every channel has the
    same weight on a Gram matrix's diagonal. A channel that is dead on all of the pictures keeps its scale.
    """
    with torch.no_grad():
        squares = {tap: value.double().square().mean((0, 2, 3)) for tap, value in network(pictures).items()}
        before: Tensor | None = None
        for name, module in network.convolutions.items():
            assert isinstance(module, nn.Conv2d)
            strength = squares[f"relu{name}"].sqrt()
            scale = torch.where(strength > 1e-12, strength, torch.ones_like(strength))
            weight, bias = module.weight.double(), module.bias.double()  # type: ignore[union-attr]
            weight = weight if before is None else weight * before.view(1, -1, 1, 1)
            module.weight.copy_(weight / scale.view(-1, 1, 1, 1))
            module.bias.copy_(bias / scale)  # type: ignore[union-attr]
            before = scale


def load_features(path: Path) -> FeatureNet:
    """The frozen network from a model folder of this pipeline, or from a VGG19 state dict in torchvision's layout
    (`features.N.weight`) as safetensors. A missing or wrong file, or a pickle, is a `UserError`."""
    if path.is_dir() or not path.suffix:
        return _from_run(path)
    return _from_file(path)


def _from_run(folder: Path) -> FeatureNet:
    model = read_json(folder / "model.json")
    if model["status"] != "ok":
        raise UserError(f"The feature network {folder} is not usable: {model['status']}, {model['reason']}")
    weights, start = folder / "weights.safetensors", "features."
    arrays = read_arrays(weights, model["weights_sha256"])
    network = FeatureNet(model["settings"]["width"], f"minivgg-{model['weights_sha256'][:8]}")
    fill(network, {key[len(start):]: value for key, value in arrays.items() if key.startswith(start)}, weights)
    return _frozen(network)


def _from_file(path: Path) -> FeatureNet:
    if not path.exists():
        raise UserError(f"The weights {path} do not exist; correct `weights` in params.yaml.")
    if path.suffix != ".safetensors":
        raise UserError(f"The weights {path} are no safetensors file, and pickles are never opened here. If you trust "
                        "them, convert them: python -c \"import torch, safetensors.torch as s; s.save_file(torch.load("
                        f"'{path.name}', weights_only=True), '{path.stem}.safetensors')\"")
    from safetensors.torch import load_file

    try:
        stored = load_file(path)
        state, index = {}, 0
        for name in CONVOLUTIONS:
            for part in ("weight", "bias"):
                state[f"convolutions.{name}.{part}"] = stored[f"features.{index}.{part}"]
            index += 3 if int(name[2]) == DEPTHS[int(name[0]) - 1] else 2  # a ReLU, and a pooling at a block's end
        network = FeatureNet(len(state["convolutions.1_1.bias"]), f"imagenet-{sha256_of_file(path)[:8]}")
        network.load_state_dict(state)
        return _frozen(network)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"The file {path} holds no VGG19 in torchvision's layout ({reason}); give vgg19's state dict "
                        "with the keys features.0.weight ... features.34.bias.") from None


def _frozen(network: FeatureNet) -> FeatureNet:
    return network.eval().requires_grad_(False)
