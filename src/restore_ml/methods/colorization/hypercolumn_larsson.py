"""Hypercolumns: each pixel is described by all layers of a deep network and given histograms of hue and chroma.

Source: Larsson, Maire, Shakhnarovich, "Learning Representations for Automatic Colorization", ECCV 2016, and the
authors' code; method card `hypercolumn_larsson`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.vgg16 import DEPTHS, WIDTHS
from restore_ml.training.schedules import cosine, drops

GREY_MEAN = 0.4488
"""What the code subtracts from grey, the mean of red, green and blue."""
BINS, WINDOW = 32, 7
"""Of each histogram; the side of the window that the true histograms are taken from."""
FIRST_STD = 1e-4
"""Of the first weights of the layer on hypercolumns."""


class HypercolumnNet(nn.Module):
    """VGG16 made fully convolutional on grey (N x 1 x H x W), and a small head on its hypercolumns.

    A hypercolumn is the input, all convolutions' outputs and those of fc6 and fc7 (convolutions here), each read
    bilinearly at the pixel: 12,417 numbers at the paper's size (`width` 64, `blocks` 5, `wide` 4096). The head has
    `hidden` units and two times 32 logits. Batch normalisation after each convolution, without learnt scale and shift
    as Caffe has it.
    """

    def __init__(self, width: int = 64, blocks: int = 5, wide: int = 4096, hidden: int = 1024,
                 dropout: float = 0.5) -> None:
        super().__init__()
        stages, before, dims = [], 1, 1
        for channels, depth in list(zip(WIDTHS, DEPTHS, strict=True))[:blocks]:
            stage = []
            for _ in range(depth):
                after = channels * width // WIDTHS[0]
                stage.append(_layer(nn.Conv2d(before, after, 3, padding=1)))
                before, dims = after, dims + after
            stages.append(nn.Sequential(*stage))
        stages.append(nn.Sequential(_layer(nn.Conv2d(before, wide, 7, padding=3), dropout),
                                    _layer(nn.Conv2d(wide, wide, 1), dropout)))
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(dims + 2 * wide, hidden)
        self.drop = nn.Dropout(dropout)
        self.hue, self.chroma = nn.Linear(hidden, BINS), nn.Linear(hidden, BINS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # Caffe's "xavier": by the inputs alone
                edge = math.sqrt(3 / module.weight[0].numel())
                nn.init.uniform_(module.weight, -edge, edge)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.hidden.weight, std=FIRST_STD)

    def maps(self, grey: Tensor) -> list[Tensor]:
        """What hypercolumns are made of, from the full size down to 1 / 2^blocks of it."""
        x = grey - GREY_MEAN
        found = [x]
        for number, stage in enumerate(self.stages):
            x = F.max_pool2d(x, 2) if number else x
            for layer in cast(nn.Sequential, stage):
                x = layer(x)
                found.append(x)
        return found

    def forward(self, grey: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of hue and of chroma (N x P x 32) at P pixels of each picture, `places` (N x P x 2: row, column)."""
        size = torch.tensor(grey.shape[-2:], device=grey.device)
        # Pixel centres; a place beyond the outermost centres of a small map has that centre's value.
        grid = ((2 * places + 1) / size - 1).flip(-1)[:, :, None]
        read = [F.grid_sample(one.float(), grid, padding_mode="border", align_corners=False)[..., 0]
                for one in self.maps(grey)]
        hidden = self.drop(F.relu(self.hidden(torch.cat(read, 1).transpose(1, 2))))
        return self.hue(hidden), self.chroma(hidden)

    def everywhere(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """The same at every pixel (N x 32 x H x W). The hidden layer is linear in each map, so each is multiplied by
        its part of the weights before it is enlarged, which is the same and needs no hypercolumns."""
        maps = self.maps(grey)
        total = self.hidden.bias.view(1, -1, 1, 1)
        for one, part in zip(maps, self.hidden.weight.split([one.shape[1] for one in maps], 1), strict=True):
            small = F.conv2d(one, part[..., None, None])
            total = total + F.interpolate(small, grey.shape[-2:], mode="bilinear", align_corners=False)
        hidden = F.relu(total)
        return tuple(F.conv2d(hidden, head.weight[..., None, None], head.bias)  # type: ignore[return-value]
                     for head in (self.hue, self.chroma))


class HypercolumnLarsson(Method):
    """Histograms of hue and chroma, learned at 128 random pixels of a picture; decoded by median and mean direction.

    The grey of the paper is (R + G + B) / 3. Of the input's lightness only the grey g with its lightness is known,
    whose (R + G + B) / 3 is g; it is shown in training as well.

    reading: trained from scratch (the paper starts from a network that classifies ImageNet); a place between two
    pixels' centres of a small map is between their values. Squares are cut from pictures of the size that the task
    keeps them in (the code first draws their shorter side from 352 to 600 pixels), and a picture is coloured at its own
    size (the code: reduced to a shorter side of 256). `optimiser` adam with a falling rate is for short trainings.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "blocks": 5, "wide": 4096, "hidden": 1024, "dropout": 0.5, "pixels": 128, "margin": 96,
        "hue_weight": 5.0, "fading": 0.03, "steps": 2_000_000, "batch": 8, "patch": 352, "ema": 0.0,
        "optimiser": "sgd", "lr": 1e-3, "weight_decay": 5e-4, "schedule": "drops",
        "lr_drops": {"1000000": 0.1, "1500000": 0.01, "1750000": 0.001},
    }
    choices: ClassVar = {"blocks": (1, 2, 3, 4, 5), "optimiser": ("sgd", "adam"), "schedule": ("drops", "cosine")}
    reading = "from scratch instead of from ImageNet's classes; grey from lightness; pixel centres of small maps"
    stored_networks = ("colorizer",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the margin; every pooling halves the padded input evenly."""
        super().__init__(settings)
        s = self.settings
        self.multiple = 2 ** s["blocks"]
        if s["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of blocks)")
        if not WINDOW // 2 <= s["margin"] < s["patch"] / 2:
            raise self.wrong("margin", f"it must be at least {WINDOW // 2} and less than half of patch")

    def build(self) -> dict[str, nn.Module]:
        """One network."""
        s = self.settings
        return {"colorizer": HypercolumnNet(s["width"], s["blocks"], s["wide"], s["hidden"], s["dropout"])}

    def phases(self) -> list[Phase]:
        """One phase, one player. Biases learn at twice the rate and do not decay, as in the code."""
        s = self.settings

        def optimiser(parameters: NamedParameters) -> torch.optim.Optimizer:
            weights = [value for name, value in parameters if not name.endswith("bias")]
            biases = [value for name, value in parameters if name.endswith("bias")]
            groups = [{"params": weights, "weight_decay": s["weight_decay"]}, {"params": biases, "lr": 2 * s["lr"]}]
            return torch.optim.Adam(groups, s["lr"]) if s["optimiser"] == "adam" else torch.optim.SGD(
                groups, s["lr"], momentum=0.9)

        schedule: Callable[[int, int], float] = cosine() if s["schedule"] == "cosine" else drops(s["lr_drops"])
        return [Phase("train", s["steps"], [Player("colorizer", ["colorizer"], self.loss, optimiser,
                                                   schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Kullback-Leibler divergences of the histograms of the 7 x 7 pixels around each of the drawn ones, averaged:
        of hue times `hue_weight` and the pixel's chroma, of chroma times min(1, 3 g, 3 (1 - g)) of its mean g of R, G
        and B (no colour can be strong where it is dark or bright)."""
        s, rgb = self.settings, context.target["rgb"]
        count, _, side, width = rgb.shape
        places = torch.stack([s["margin"] + context.integers(length - 2 * s["margin"], (count, s["pixels"]))
                              for length in (side, width)], -1).to(rgb.device)
        hue, chroma = hue_and_chroma(rgb)
        logits = context.networks["colorizer"](grey_from_lightness(context.inputs["L"]), places)
        own_chroma, grey = _at(chroma, places), _at(rgb.mean(1, keepdim=True), places)
        brightness = (3 * torch.minimum(grey, 1 - grey)).clamp(max=1)
        return {"hue": s["hue_weight"] * (own_chroma * divergence(logits[0], histograms(hue, places))).mean(),
                "chroma": (brightness * divergence(logits[1], histograms(chroma, places))).mean()}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Histograms at every pixel, decoded; the picture and its ab, which the harness joins to the lightness."""
        grey = grey_from_lightness(inputs["L"])
        hue, chroma = model.networks["colorizer"].everywhere(grey)  # type: ignore[operator]
        rgb = decoded(grey, hue.float().softmax(1), chroma.float().softmax(1), self.settings["fading"])
        return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}


def _layer(convolution: nn.Conv2d, dropout: float = 0.0) -> nn.Sequential:
    layer = nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, affine=False), nn.ReLU())
    return layer.append(nn.Dropout(dropout)) if dropout else layer


def hue_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """HSV's hue in [0, 1), 0 for greys, and chroma, the largest less the smallest of R, G and B: N x 1 x H x W each."""
    red, green, blue = rgb.split(1, 1)
    most = rgb.amax(1, keepdim=True)
    chroma = most - rgb.amin(1, keepdim=True)
    safe = chroma.clamp(min=1e-12)
    sixths = torch.where(most == red, (green - blue) / safe, torch.where(
        most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe))
    return (sixths / 6) % 1 * (chroma > 0), chroma


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """The values of N x 1 x H x W at N x P x 2 places (or N x P x W x 2): N x P (x W)."""
    flat = places[..., 0] * maps.shape[-1] + places[..., 1]
    return maps.flatten(1).gather(1, flat.flatten(1)).view(flat.shape)


def histograms(values: Tensor, places: Tensor) -> Tensor:
    """The histograms (32 bins of [0, 1]) of the 7 x 7 pixels around each place: N x 1 x H x W, N x P x 2 -> N x P x 32.
    """
    reach = torch.arange(WINDOW, device=places.device) - WINDOW // 2
    window = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), -1).view(1, 1, -1, 2)
    bins = (_at(values, places[:, :, None] + window) * BINS).long().clamp(max=BINS - 1)
    return F.one_hot(bins, BINS).float().mean(2)


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """KL(wanted || softmax(logits)) over the last axis."""
    return F.kl_div(logits.float().log_softmax(-1), wanted, reduction="none").sum(-1)


def decoded(grey: Tensor, hue: Tensor, chroma: Tensor, fading: float) -> Tensor:
    """RGB from grey (N x 1 x H x W) and the distributions of hue and chroma (N x 32 x H x W).

    Chroma c is the middle of the bin that holds the median; hue the direction of the mean of e^(2 pi i h). Where that
    mean, over 32 bins, is shorter than `fading`, hue is uncertain and c fades with it (0: never). With value g + c / 2
    and saturation 2 c / (2 g + c) they make a colour, whose channels are then shifted to the mean g.
    """
    middles = (torch.arange(BINS, device=grey.device) + 0.5).view(1, -1, 1, 1) / BINS
    c = ((chroma.cumsum(1) < 0.5).sum(1, keepdim=True) + 0.5) / BINS
    across = (hue * (2 * math.pi * middles).cos()).mean(1, keepdim=True)
    along = (hue * (2 * math.pi * middles).sin()).mean(1, keepdim=True)
    if fading:
        c = c * (torch.hypot(across, along) / fading).clamp(max=1)
    h = torch.atan2(along, across) / (2 * math.pi) % 1
    value = (grey + c / 2).clamp(0, 1)
    saturation = (2 * c / (2 * grey + c).clamp(min=1e-6)).clamp(0, 1)
    turns = (torch.tensor([5.0, 3.0, 1.0], device=grey.device).view(1, 3, 1, 1) + 6 * h) % 6
    rgb = value * (1 - saturation * torch.minimum(turns, 4 - turns).clamp(0, 1))
    return (rgb - rgb.mean(1, keepdim=True) + grey).clamp(0, 1)


METHOD = HypercolumnLarsson
