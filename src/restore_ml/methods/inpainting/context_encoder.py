"""Context encoders: the surroundings are squeezed into one vector, from which the missing centre is drawn.

Source: Pathak, Krähenbühl, Donahue, Darrell, Efros, CVPR 2016, and the layers of their code; method card
`context_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.reconstruction import masked_mse
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.initialisation import normal
from restore_ml.nn.known_mean import known_mean

FILL = (117 / 255, 104 / 255, 123 / 255)
"""The colour of the hole, R, G, B in [0, 1]."""
RIM_WEIGHT = 10.0
"""How much more the rim of a centre hole counts, which the network sees (setting `overlap`)."""


class ChannelFC(nn.Module):
    """A fully connected layer over the places of each channel alone (C side^4 weights), then a 1x1 convolution that
    mixes the channels: N x C x side x side -> the same shape."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, side * side, side * side).normal_(0, 0.02))
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pass along places, then channels."""
        return self.mix(torch.einsum("ncp,cpq->ncq", x.flatten(2), self.weight).view_as(x))


def down(before: int, after: int, norm: bool = True) -> list[nn.Module]:
    """Convolution 4x4 of stride 2, batch normalisation, LeakyReLU 0.2: half the side."""
    return [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after) if norm else nn.Identity(), nn.LeakyReLU(0.2)]


def up(before: int, after: int, stride: int = 2) -> list[nn.Module]:
    """Transposed convolution 4x4 (stride 1: from 1x1 to 4x4), batch normalisation, ReLU."""
    return [nn.ConvTranspose2d(before, after, 4, stride, stride - 1), nn.BatchNorm2d(after), nn.ReLU()]


def generator(side: int, out_side: int, width: int, bottleneck: int, kind: str) -> nn.Sequential:
    """N x 3 x side x side in [-1, 1] -> N x 3 x out_side x out_side (tanh); sides are 4 times a power of 2.

    71,130,531 parameters for (128, 64, 64, 4000, "conv").
    """
    halvings, layers, before = (side // 4).bit_length() - 1, [], 3
    for level in range(halvings):
        after = width * min(2 ** max(level - 1, 0), 8)
        layers += down(before, after, norm=level > 0)
        before = after
    if kind == "channel_fc":
        layers += [ChannelFC(before, 4), nn.BatchNorm2d(before), nn.ReLU()]
    else:
        layers += [nn.Conv2d(before, bottleneck, 4), nn.BatchNorm2d(bottleneck), nn.LeakyReLU(0.2)]
        layers += up(bottleneck, before, stride=1)
    doublings = (out_side // 4).bit_length() - 1
    for level in reversed(range(1, doublings)):
        after = width * min(2 ** max(level - 1 - (doublings - 4), 0), 8)
        layers += up(before, after)
        before = after
    layers += [nn.ConvTranspose2d(before, 3, 4, 2, 1), nn.Tanh()]
    network = nn.Sequential(*layers)
    normal(network)
    return network


def discriminator(side: int, width: int) -> nn.Sequential:
    """N x 3 x side x side in [-1, 1] -> N x 1 x 1 x 1 logits; side is 4 times a power of 2.

    2,766,529 parameters for (64, 64). Sides above 64 add layers of `width` channels at the start.
    """
    halvings, layers, before = (side // 4).bit_length() - 1, [], 3
    for level in range(halvings):
        after = width * min(2 ** (level - max(0, min(level, halvings - 4))), 8)
        layers += down(before, after, norm=level > 0)
        before = after
    network = nn.Sequential(*layers, nn.Conv2d(before, 1, 4))
    normal(network)
    return network


class ContextEncoder(Method):
    """`variant: centre` predicts the middle half of each side; `random` the whole picture for holes of any place.

    The network has one size, `patch`; a picture of another size is resized to it and the prediction back (reading).
    `overlap`: pixels by which the hole stays within the centre, so that the network also predicts a rim that it sees;
    this counts tenfold. A picture to be restored is continued by reflection until its hole, the middle half of each
    side, has the share of the whole that it had in training (reading). `valid_weight`: how much known pixels count in
    the random variant (the paper: not at all).
    `blend` goes by what is known of the predicted region: of a centre its rim (nothing without `overlap`).
    `centred`: the network sees differences from the mean of the picture's known colours, which stands in the hole for
    the fill colour and is added to what it predicts (the paper: not so).
    `bottleneck_kind: channel_fc` is the paper's channel-wise layer, `conv` the released code's full one.

    reading: 100,000 steps, where the recipe is in epochs; training crops are cut from pictures of up to twice the
    task's `size`, where the code resizes each picture to 350 pixels before it crops 128.
    """

    task = "inpainting"
    zero_allowed = ("overlap",)
    paper: ClassVar[dict[str, Any]] = {
        "variant": "centre", "masks": ["centre"], "overlap": 4, "width": 64, "bottleneck": 4000,
        "bottleneck_kind": "conv", "disc_width": 64, "reconstruction": 0.999, "adversarial": 0.001, "valid_weight": 0.0,
        "steps": 100_000, "batch": 64, "patch": 128, "ema": 0.0, "lr": 2e-3, "disc_lr": 2e-4, "betas": [0.5, 0.999],
        "centred": False, "blend": "none",
    }
    reading = "pictures of another size are resized, continued where there is an overlap; crops; number of steps"
    choices: ClassVar = {"variant": ("centre", "random"), "bottleneck_kind": ("conv", "channel_fc"),
                         "centred": (False, True), "blend": BLENDS}
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for a patch that is no power of 2 from 32 and an overlap of a sixth of it or more."""
        super().__init__(settings)
        s = self.settings
        if s["patch"] < 32 or s["patch"] & (s["patch"] - 1):
            raise self.wrong("patch", "it must be a power of 2 of at least 32")
        if 6 * s["overlap"] >= s["patch"]:
            raise self.wrong("overlap", f"with a patch of {s['patch']} it must be below {-(-s['patch'] // 6)}")
        self.centre = s["variant"] == "centre"
        self.side = s["patch"] // 2 if self.centre else s["patch"]

    def unsupported(self, degradation: str) -> str | None:
        """The centre variant fills the centre only; the random one was made for holes of up to a quarter."""
        if self.centre:
            return None if degradation == "centre" else "fills a centre hole only"
        blocks = ("centre", "random_rect", "random_square", "pattern")
        return None if degradation in blocks else "made for blocks and random regions of about a quarter"

    def build(self) -> dict[str, nn.Module]:
        """Generator and discriminator of the predicted region."""
        s = self.settings
        return {"generator": generator(s["patch"], self.side, s["width"], s["bottleneck"], s["bottleneck_kind"]),
                "discriminator": discriminator(self.side, s["disc_width"])}

    def phases(self) -> list[Phase]:
        """Discriminator and generator in turn."""
        s = self.settings

        def adam(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
            return lambda parameters: torch.optim.Adam(parameters, rate, tuple(s["betas"]))

        return [Phase("train", s["steps"], [
            Player("discriminator", ["discriminator"], self.discriminator_loss, adam(s["disc_lr"])),
            Player("generator", ["generator"], self.generator_loss, adam(s["lr"]))])]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of the true and the predicted region; the context is not shown."""
        judge = context.networks["discriminator"]
        return discriminator_terms("bce", judge(self.region(2 * context.target["image"] - 1)),
                                   judge(self._predicted(context).detach()))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """0.999 of the squared error on [-1, 1] and 0.001 of -log D."""
        s, fake = self.settings, self._predicted(context)
        truth = self.region(2 * context.target["image"] - 1)
        judged = context.networks["discriminator"](fake)
        return {"reconstruction": s["reconstruction"] * masked_mse(fake, truth, self.weight(context.inputs["mask"])),
                "adversarial": s["adversarial"] * generator_term("bce", judged)}

    def weight(self, mask: Tensor) -> Tensor:
        """N x 1 x side x side: centre: 10 on the rim of `overlap` pixels, 1 inside; random: 1 in the hole and
        `valid_weight` elsewhere."""
        if not self.centre:
            return mask + self.settings["valid_weight"] * (1 - mask)
        rim = self.settings["overlap"]
        weight = torch.full((self.side, self.side), RIM_WEIGHT, device=mask.device)
        weight[rim:self.side - rim, rim:self.side - rim] = 1
        return weight.expand(len(mask), 1, -1, -1)

    def region(self, x: Tensor) -> Tensor:
        """What is predicted of N x C x patch x patch: the centre, or all."""
        edge = (x.shape[-1] - self.side) // 2
        return x[..., edge:edge + self.side, edge:edge + self.side]

    def shown(self, inputs: Inputs) -> Tensor:
        """What the network sees: the picture in [-1, 1] with the hole in the fill colour; where it is centred, less the
        level, with the hole at 0."""
        image, level = 2 * inputs["image"] - 1, self.level(inputs)
        fill = level if self.settings["centred"] else 2 * image.new_tensor(FILL).view(1, 3, 1, 1) - 1
        return torch.where(inputs["mask"] > 0.5, fill, image) - level

    def level(self, inputs: Inputs) -> Tensor:
        """What is added to a prediction, in [-1, 1]: the mean of the known colours where it is centred, else 0."""
        image = 2 * inputs["image"] - 1
        return known_mean(image, inputs["mask"]) if self.settings["centred"] else torch.zeros_like(image[..., :1, :1])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The prediction in its place, blended as the setting says; around a predicted centre stands the input."""
        size, patch, blend = inputs["image"].shape[-2:], self.settings["patch"], self.settings["blend"]
        down, right = (self.margin(length) for length in size) if self.centre else (0, 0)
        shown = continued(self.shown(inputs), down, right)
        said = model.networks["generator"](resized(shown, (patch, patch))).float()
        fake = (said + self.level(inputs) + 1) / 2
        if not self.centre:
            return {"image": blended(blend, resized(fake, size), inputs["image"], inputs["mask"])}
        top, left = shown.shape[-2] // 4 - down, shown.shape[-1] // 4 - right
        bottom, end = size[0] - top, size[1] - left
        image, place = inputs["image"].clone(), (..., slice(top, bottom), slice(left, end))
        image[place] = blended(blend, resized(fake, (bottom - top, end - left)), image[place], inputs["mask"][place])
        return {"image": image}

    def margin(self, length: int) -> int:
        """Pixels before and behind a side of `length` whose middle half is missing, with which what is missing takes
        patch / 2 - 2 overlap of patch pixels."""
        half, overlap = self.settings["patch"] // 2, self.settings["overlap"]
        return round(length * overlap / (half - 2 * overlap))

    def _predicted(self, context: Context) -> Tensor:
        return context.once("made", lambda: context.networks["generator"](self.shown(context.inputs))
                            + self.level(context.inputs))


def continued(x: Tensor, down: int, right: int) -> Tensor:
    """`down` more rows above and below, `right` more columns at either side, by reflection."""
    return F.pad(x, (right, right, down, down), mode="reflect") if down or right else x


def resized(x: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Cubic interpolation, widened where it makes smaller; the same tensor when the size is right already."""
    if x.shape[-2:] == torch.Size(size):
        return x
    return F.interpolate(x.float(), size=tuple(size), mode="bicubic", antialias=True)


METHOD = ContextEncoder
