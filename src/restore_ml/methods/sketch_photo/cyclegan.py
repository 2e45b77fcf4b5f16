"""CycleGAN: two generators and two discriminators, learned from photos and sketches that are no pairs.

    G: photo to sketch, F: sketch to photo
    generators:     (D_sketch(G(p)) - 1)^2 + (D_photo(F(s)) - 1)^2 + 10 |F(G(p)) - p| + 10 |G(F(s)) - s|
                    [+ 10 i (|G(s) - s| + |F(p) - p|)]
    discriminators: 1/2 [(D(true) - 1)^2 + D(made)^2] each, made pictures by way of a pool of 50 earlier ones

Source: Zhu, Park, Isola, Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks",
ICCV 2017; card `cyclegan`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.cyclegan_parts import empty_pools, judge, pooled
from restore_ml.nn.resnet import ResNetGenerator
from restore_ml.tasks.sketch_photo.task import DIRECTIONS, SIDES
from restore_ml.training.schedules import linear_to_zero


class CycleGan(Method):
    """Both directions in one run. `identity` is the factor i above; the authors use 0.5 where colours must stay (from
    paintings to photos) and 0 elsewhere. Without it light and dark are easily exchanged both ways, which no other term
    notices; the small profiles use it. `pool` 0: the discriminators see the newest pictures alone.

    reading: 200 epochs of CUFS's 268 photos; crops of pictures at their own size, mirrored in half of the visits.
    """

    task = "sketch_photo"
    paper: ClassVar[dict[str, Any]] = {
        "unpaired": True, "width": 64, "blocks": 9, "disc_width": 64, "disc_layers": 3, "pool": 50,
        "cycle": 10.0, "identity": 0.0,
        "steps": 53_600, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"unpaired": (True,)}
    zero_allowed = ("pool",)
    reading = "steps; crops at the pictures' own size"
    stored_networks = DIRECTIONS
    multiple = 4

    def build(self) -> dict[str, nn.Module]:
        """A generator for each direction, a discriminator for each side."""
        s = self.settings
        generators = {name: ResNetGenerator(3, 3, s["width"], s["blocks"]) for name in DIRECTIONS}
        return {**generators, **{f"{side}_judge": judge(s["disc_width"], s["disc_layers"]) for side in SIDES}}

    def phases(self) -> list[Phase]:
        """Both generators, then both discriminators; the rates fall to 0 over the second half."""
        s = self.settings

        def adam(parameters: Any) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, s["lr"], tuple(s["betas"]))

        return [Phase("train", s["steps"], [
            Player("generators", DIRECTIONS, self.generator_loss, adam, schedule=linear_to_zero(0.5)),
            Player("discriminators", [f"{side}_judge" for side in SIDES], self.discriminator_loss, adam,
                   schedule=linear_to_zero(0.5))])]

    def extra_state(self) -> dict[str, Tensor]:
        """For each side the pool of made pictures (`pool` x 3 x `patch` x `patch`) and how many it holds."""
        return empty_pools(SIDES, self.settings["pool"], self.settings["patch"])

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """Least squares to 1, `cycle` times what a way there and back changes, and the identity's part."""
        s, networks = self.settings, context.networks
        terms = {}
        for direction, back, (source, made, true), side in zip(DIRECTIONS, DIRECTIONS[::-1], self._pictures(context),
                                                               SIDES[::-1], strict=True):
            terms[f"adversarial_{side}"] = generator_term("lsgan", networks[f"{side}_judge"](made))
            terms[f"cycle_{side}"] = s["cycle"] * F.l1_loss(networks[back](made).float(), source)
            if s["identity"]:
                kept = networks[direction](true).float()
                terms[f"identity_{side}"] = s["cycle"] * s["identity"] * F.l1_loss(kept, true)
        return terms

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the squares of true pictures to 1 and of made ones, from the pool, to 0."""
        terms = {}
        for (_, made, true), side in zip(self._pictures(context), SIDES[::-1], strict=True):
            judge, shown = context.networks[f"{side}_judge"], pooled(context, side, made.detach())
            for name, score in discriminator_terms("lsgan", judge(true), judge(shown)).items():
                terms[f"{name}_{side}"] = 0.5 * score
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`source` to `picture`, each by the generator of its `direction`."""
        made = [model.networks[DIRECTIONS[int(direction)]](source[None]).float()
                for source, direction in zip(2 * inputs["source"] - 1, inputs["direction"], strict=True)]
        return {"picture": (torch.cat(made) + 1) / 2}

    def _pictures(self, context: Context) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each direction the source, what is made of it (once a step) and true pictures of what it becomes."""
        photo, sketch = (2 * picture - 1 for picture in (context.inputs["source"], context.target["truth"]))

        def made(direction: str, source: Tensor) -> Tensor:
            return context.once(direction, lambda: context.networks[direction](source).float())

        to_sketch, to_photo = (made(name, source) for name, source in zip(DIRECTIONS, (photo, sketch), strict=True))
        return [(photo, to_sketch, sketch), (sketch, to_photo, photo)]


METHOD = CycleGan
