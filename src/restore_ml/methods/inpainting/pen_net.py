"""PEN-Net: a U-Net whose skips are filled, from the deepest to the shallowest, by attention to the known part.

Source: Zeng, Fu, Chao, Guo, "Learning pyramid-context encoder network for high-quality image inpainting", CVPR 2019,
and the layers, losses and settings of their code; method card `pen_net`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.reconstruction import masked_l1
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.attention_transfer import AttentionTransfer
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.initialisation import he, normal
from restore_ml.nn.spectral_patch_critic import spectral_patch_critic
from restore_ml.training.schedules import constant, cosine

SLOPE = 0.2
"""Of the leaky ReLU."""
Made = tuple[list[Tensor], Tensor]
"""The pictures that a generator gives at its inner sizes, the largest first, and the picture itself."""


class Generator(nn.Module):
    """(N x 4 x H x W, mask N x 1 x H x W) -> pictures in [-1, 1]: one at each inner size and N x 3 x H x W.

    Encoder: 3 x 3 convolutions of stride 2, LeakyReLU 0.2 (ReLU after the last). Each level but the last is then
    replaced by what attention transfer makes of it and of the level below, as filled before; the deepest is matched by
    single positions and without convolutions behind. Decoder: enlarged bilinearly by 2, 3 x 3 convolution, ReLU, beside
    it the filled level; 1 x 1 convolutions with tanh give the inner pictures. H, W: multiples of 2^levels.
    10,231,538 parameters at the paper's six widths.
    """

    def __init__(self, widths: list[int], compat: bool) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in
                                  zip([4, *widths], widths, strict=False))
        *shallow, last = widths[:-1]
        self.transfer = nn.ModuleList([*(AttentionTransfer(width, compat=compat) for width in shallow),
                                       AttentionTransfer(last, kernel=1, fuse=False, compat=compat)])
        ins = [*(2 * width for width in widths[1:-1]), widths[-1]]
        self.up = nn.ModuleList(nn.Conv2d(before, after, 3, 1, 1) for before, after in zip(ins, widths, strict=False))
        self.heads = nn.ModuleList(nn.Conv2d(2 * width, 3, 1) for width in widths[:-1])
        self.last = nn.Sequential(nn.Conv2d(2 * widths[0], widths[0], 3, 1, 1), nn.ReLU(),
                                  nn.Conv2d(widths[0], 3, 3, 1, 1), nn.Tanh())

    def forward(self, x: Tensor, mask: Tensor) -> Made:
        """The pictures."""
        levels: list[Tensor] = []
        for number, layer in enumerate(self.down, 1):
            x = layer(x)
            x = F.relu(x) if number == len(self.down) else F.leaky_relu(x, SLOPE)
            levels.append(x)
        *skips, x = levels
        deeper, pictures = x, []
        for number in reversed(range(len(skips))):
            skips[number] = deeper = self.transfer[number](skips[number], deeper, mask)
        for number in reversed(range(len(skips))):
            x = torch.cat([F.relu(self.up[number](enlarged(x))), skips[number]], 1)
            pictures.append(torch.tanh(self.heads[number](x)))
        return pictures[::-1], self.last(enlarged(x))


def enlarged(x: Tensor) -> Tensor:
    """Twice as high and wide, bilinear from corner to corner."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class PENNet(Method):
    """One phase of both players; before it, only where `steps` says so, the generator alone on the pixels. All pictures
    are shown and compared in [-1, 1], the hole white.

    `hole`, `valid`, `pyramid`, `adversarial`: the weights of the generator's terms. `compat`: attention as the authors'
    code computes it (see `AttentionTransfer`). `initial`: the generator's first weights, `normal` (N(0, 0.02), the
    authors') or `he`. `schedule`: `constant`, or `cosine` (every player's rate falls to 0 over each phase, so
    that a short phase of both still moves the generator). `blend`: see `restore_ml.nn.blending`.

    reading: 330,000 steps at a constant rate (the authors' settings for faces); crops where they resize whole pictures
    to 256; squares are neither turned nor widened, colours are not jittered.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["random_square"], "widths": [32, 64, 128, 256, 512, 512], "disc_width": 64, "compat": True,
        "hole": 6.0, "valid": 1.0, "pyramid": 0.5, "adversarial": 0.1, "initial": "normal",
        "steps": {"alone": 0, "adversarial": 330_000}, "batch": 16, "patch": 256, "ema": 0.0,
        "lr": 1e-4, "betas": [0.5, 0.999], "schedule": "constant", "blend": "none",
    }
    reading = "number of steps, crops, squares that are not turned"
    choices: ClassVar = {"initial": ("normal", "he"), "schedule": ("constant", "cosine"), "blend": BLENDS}
    stored_networks = ("generator",)
    tile = 512

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for fewer than three widths, and for a patch that they or the discriminator cannot
        take."""
        super().__init__(settings)
        if len(self.settings["widths"]) < 3:
            raise self.wrong("widths", "it must have at least 3 numbers")
        if set(self.settings["steps"]) != set(self.paper["steps"]):
            raise self.wrong("steps", f"it must name {' and '.join(self.paper['steps'])}")
        self.multiple = 2 ** len(self.settings["widths"])
        if self.settings["patch"] % self.multiple or self.settings["patch"] < 48:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} of at least 48")

    def build(self) -> dict[str, nn.Module]:
        """Generator and discriminator."""
        generator = self.generator()
        self.initialise(generator)
        return {"generator": generator, "discriminator": spectral_patch_critic(self.settings["disc_width"])}

    def generator(self) -> nn.Module:
        """The generator; what derives from this method has another."""
        return Generator(self.settings["widths"], self.settings["compat"])

    def initialise(self, generator: nn.Module) -> None:
        """Draw its first weights."""
        normal(generator) if self.settings["initial"] == "normal" else he(generator, SLOPE)

    def phases(self) -> list[Phase]:
        """The paper's one phase, and the one before it where it has steps."""
        s = self.settings
        alone, both = s["steps"]["alone"], s["steps"]["adversarial"]

        def adam(parameters: Any) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, s["lr"], tuple(s["betas"]))

        falling = cosine() if s["schedule"] == "cosine" else constant()
        judge = Player("discriminator", ["discriminator"], self.discriminator_loss, adam, schedule=falling)
        first = Player("generator", ["generator"], self.content_loss, adam, schedule=falling)
        second = Player("generator", ["generator"], self.generator_loss, adam, schedule=falling)
        phases = [Phase("alone", alone, [first]), Phase("adversarial", both, [judge, second])]
        return [phase for phase in phases if phase.steps]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the hinge loss of true pictures and of composed ones."""
        judge = context.networks["discriminator"]
        terms = discriminator_terms("hinge", judge(2 * context.target["image"] - 1),
                                    judge(self._composed(context).detach()))
        return {name: term / 2 for name, term in terms.items()}

    def content_loss(self, context: Context) -> dict[str, Tensor]:
        """L1 in the hole and outside it, each over the share of its pixels, and of the inner pictures against the
        truth of their size."""
        s, mask, truth = self.settings, context.inputs["mask"], 2 * context.target["image"] - 1
        pictures, made = self._made(context)
        inner = [F.l1_loss(each.float(), F.interpolate(truth, each.shape[2:], mode="bilinear", align_corners=True))
                 for each in pictures]
        return {"hole": s["hole"] * masked_l1(made, truth, mask) / share(mask),
                "valid": s["valid"] * masked_l1(made, truth, 1 - mask) / share(1 - mask),
                "pyramid": s["pyramid"] * sum(inner[1:], inner[0])}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The same, and minus the discriminator's scores of composed pictures."""
        judged = context.networks["discriminator"](self._composed(context))
        return self.content_loss(context) | {
            "adversarial": self.settings["adversarial"] * generator_term("hinge", judged)}

    @staticmethod
    def fill(network: nn.Module, inputs: Inputs) -> Made:
        """The generator's pictures in [-1, 1]; it sees the picture with a white hole, and the hole."""
        image, mask = 2 * inputs["image"] - 1, inputs["mask"]
        return network(torch.cat([image * (1 - mask) + mask, mask], 1), mask)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The whole picture in [0, 1] (the known pixels are put back by the task)."""
        filled = (self.fill(model.networks["generator"], inputs)[1].float() + 1) / 2
        return {"image": blended(self.settings["blend"], filled, inputs["image"], inputs["mask"])}

    def _made(self, context: Context) -> Made:
        return context.once("made", lambda: self.fill(context.networks["generator"], context.inputs))

    def _composed(self, context: Context) -> Tensor:
        """What the generator gives in the hole and the truth around it, in [-1, 1]."""
        mask = context.inputs["mask"]
        return mask * self._made(context)[1].float() + (1 - mask) * (2 * context.target["image"] - 1)


def share(mask: Tensor) -> Tensor:
    """The mean of a mask; never so small that a batch without holes has an endless loss."""
    return mask.mean().clamp(min=1e-3)


METHOD = PENNet
