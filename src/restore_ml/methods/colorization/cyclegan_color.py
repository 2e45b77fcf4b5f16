"""CycleGAN for colour: grey pictures become coloured ones and back, learned from pictures that are no pairs.

    G: grey to colour, F: colour to grey; x: a grey picture, y: another picture in colour
    generators:     (D_colour(G(x)) - 1)^2 + (D_grey(F(y)) - 1)^2 + 10 |F(G(x)) - x| + 10 |G(F(y)) - y|
    discriminators: 1/2 [(D(true) - 1)^2 + D(made)^2] each, made pictures by way of a pool of 50 earlier ones

Source: Zhu, Park, Isola, Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks",
ICCV 2017; for colour the baseline of the paper of `fca_gan`; method card `cyclegan_color`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey, grey_from_lightness, rgb_to_lab
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.cyclegan_parts import empty_pools, judge, pooled
from restore_ml.nn.resnet import ResNetGenerator
from restore_ml.training.schedules import linear_to_zero


class Luma(nn.Module):
    """N x 3 x H x W RGB -> its luma (BT.601) in all three channels, in the same range: F as a formula."""

    def forward(self, x: Tensor) -> Tensor:
        """The grey picture."""
        return grey(x, "y601")[:, None].expand(-1, 3, -1, -1)


class CycleGanColor(Method):
    """Pictures are RGB in [-1, 1]; grey ones have three equal channels, g with the lightness of the input, which for a
    grey picture is also its luma. Restoring uses G alone. There is no identity term: a grey picture is no coloured one.

    Unpaired: the coloured pictures of a step are those of the step before (at the very first step, those of their
    neighbours in the batch, where there are any), so within an epoch they are of other pictures than the grey ones; nor
    does any term compare a made picture with its own truth.

    `fixed_gray`: F is the luma, with nothing to learn. Then D_grey has nothing to judge, and |G(F(y)) - y| would be
    learning from pairs, so both are left out: the cycle holds the luminance, and colour comes from D_colour alone. The
    luma of a coloured picture is not quite the grey of its lightness (photographs: 0.003 to 0.016 apart on average, of
    1), so that the cycle of true colours would not be 0 either. A learned F may find the grey picture hidden in the
    colours, so what counts is ab joined to the true lightness.

    `pool` 0: the discriminators see the newest pictures alone.

    reading: 200 epochs of 1,231 photographs; crops of pictures at their own size, mirrored in half of the visits; what
    is left out with `fixed_gray`.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "fixed_gray": False, "width": 64, "blocks": 9, "disc_width": 64, "disc_layers": 3, "pool": 50, "cycle": 10.0,
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    zero_allowed = ("pool",)
    reading = "steps; crops at the pictures' own size; what a fixed way back leaves out"
    stored_networks = ("colourer",)
    multiple = 4

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple}")

    @property
    def sides(self) -> tuple[str, ...]:
        """What is made and judged: coloured pictures, and grey ones where F is learned."""
        return ("colour",) if self.settings["fixed_gray"] else ("colour", "grey")

    def build(self) -> dict[str, nn.Module]:
        """G (`colourer`), F (`greyer`), and a discriminator for each side."""
        s = self.settings

        def generator() -> nn.Module:
            return ResNetGenerator(3, 3, s["width"], s["blocks"])

        return {"colourer": generator(), "greyer": Luma() if s["fixed_gray"] else generator(),
                **{f"{side}_judge": judge(s["disc_width"], s["disc_layers"]) for side in self.sides}}

    def phases(self) -> list[Phase]:
        """The generators, then the discriminators; the rates fall to 0 over the second half."""
        s = self.settings

        def player(name: str, networks: list[str], loss: Any, rate: float) -> Player:
            return Player(name, networks, loss, lambda p: torch.optim.Adam(p, rate, tuple(s["betas"])),
                          schedule=linear_to_zero(0.5))

        learned = ["colourer"] if s["fixed_gray"] else ["colourer", "greyer"]
        judges = [f"{side}_judge" for side in self.sides]
        return [Phase("train", s["steps"], [
            player("generators", learned, self.generator_loss, s["lr"]),
            player("discriminators", judges, self.discriminator_loss, s["disc_lr"])])]

    def extra_state(self) -> dict[str, Tensor]:
        """The pools of made pictures, and the coloured pictures of the step before."""
        s = self.settings
        return {**empty_pools(self.sides, s["pool"], s["patch"]),
                "before": torch.zeros(s["batch"], 3, s["patch"], s["patch"])}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """Least squares to 1, and `cycle` times what a way there and back changes."""
        networks, cycle = context.networks, self.settings["cycle"]
        shown, coloured = self._true(context)
        made = self._made(context)
        terms = {"adversarial_colour": generator_term("lsgan", networks["colour_judge"](made["colour"])),
                 "cycle_grey": cycle * F.l1_loss(networks["greyer"](made["colour"]).float(), shown)}
        if "grey" in made:
            terms["adversarial_grey"] = generator_term("lsgan", networks["grey_judge"](made["grey"]))
            terms["cycle_colour"] = cycle * F.l1_loss(networks["colourer"](made["grey"]).float(), coloured)
        return terms

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the squares of true pictures to 1 and of made ones, from the pool, to 0."""
        shown, coloured = self._true(context)
        true, terms = {"colour": coloured, "grey": shown}, {}
        for side, made in self._made(context).items():
            network, earlier = context.networks[f"{side}_judge"], pooled(context, side, made.detach())
            for name, score in discriminator_terms("lsgan", network(true[side]), network(earlier)).items():
                terms[f"{name}_{side}"] = 0.5 * score
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """G's picture, and its ab, which the harness joins to the input's lightness."""
        rgb = (model.networks["colourer"](condition(inputs["L"])).float() + 1) / 2
        return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}

    def _true(self, context: Context) -> tuple[Tensor, Tensor]:
        """Grey pictures, and as many coloured ones of the step before."""

        def others() -> Tensor:
            own = 2 * context.target["rgb"] - 1
            before, context.state["before"] = context.state["before"], own
            return own.roll(1, 0) if context.step == 0 else before

        return condition(context.inputs["L"]), context.once("others", others)

    def _made(self, context: Context) -> dict[str, Tensor]:
        """What the generators make of both, once a step: by side."""
        shown, coloured = self._true(context)
        made = {"colour": context.once("colour", lambda: context.networks["colourer"](shown).float())}
        if "grey" in self.sides:
            made["grey"] = context.once("grey", lambda: context.networks["greyer"](coloured).float())
        return made


def condition(lightness: Tensor) -> Tensor:
    """The grey picture of Lab lightness, three equal channels in [-1, 1]."""
    return (2 * grey_from_lightness(lightness) - 1).expand(-1, 3, -1, -1)


METHOD = CycleGanColor
