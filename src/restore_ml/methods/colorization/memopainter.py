"""MemoPainter: the colours of the training picture that looks most alike are looked up and painted by a U-Net.

Source: Yoo, Bahng, Chung, Lee, Chang, Choo, "Coloring with limited data: few-shot colorization via memory-augmented
networks", CVPR 2019, and a public implementation; the method card `memopainter`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.kinds import VECTOR
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.ab_classes import class_centres
from restore_ml.nn.adaptive_unet import AdaptiveUNet
from restore_ml.nn.channel_means import channel_means
from restore_ml.nn.colour_features import DOMINANT, distribution, dominant_colours, kl, palette_distance
from restore_ml.seeds import derive
from restore_ml.training.schedules import constant, linear_to_zero

AB_SCALE = 110.0
HALVINGS = 5
"""How often the judge halves the sides."""
NO_KEY = -2.0
"""Below every cosine."""


class Memory(nn.Module):
    """What a picture is looked up by, and the memory as it is after training.

    A linear layer makes queries of length 1 (N x `key`) of a picture's features (N x `channels`). `keys` (slots x key),
    `values` (the slots' colours) and `pictures` (whose they are; -1 for a slot that was never written) are the numbers
    that restoring reads.
    """

    keys: Tensor
    values: Tensor
    pictures: Tensor

    def __init__(self, channels: int, key: int, slots: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, key)
        self.register_buffer("keys", torch.zeros(slots, key))
        self.register_buffer("values", torch.zeros(slots, features))
        self.register_buffer("pictures", torch.full((slots,), -1))

    def forward(self, seen: Tensor) -> Tensor:
        """The queries."""
        return F.normalize(self.linear(seen).float(), dim=1)

    def colours(self, queries: Tensor) -> Tensor:
        """The colours of the written slot whose key is nearest to each query."""
        scores = cosines(queries, self.keys).masked_fill(self.pictures < 0, NO_KEY)
        return self.values[scores.argmax(1)]


class Judge(nn.Module):
    """ab, lightness and the colours' vector at every pixel (N x channels x side x side) to one logit a picture.

    Five 4 x 4 convolutions of stride 2 (`width` to 16 `width`), LeakyReLU 0.01 after each, one of 3 x 3 without bias,
    and a linear layer over all that is left; torch's own first weights.
    reading: without the batch normalisation that the code has before the linear layer. Behind it the mean of a batch's
    logits is one and the same number for true and for made pictures, whatever the weights, and no judge can tell them
    apart.
    """

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 4, 2, 1)
        layers: list[nn.Module] = [nn.LeakyReLU(0.01)]
        channels = width
        for _ in range(HALVINGS - 1):
            layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1), nn.LeakyReLU(0.01)]
            channels *= 2
        left = channels * (side >> HALVINGS) ** 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.Flatten(),
                                    nn.Linear(left, 1))

    def forward(self, ab: Tensor, lightness: Tensor, colours: Tensor) -> Tensor:
        """The logits, N x 1. What the first layer makes of a vector that is the same at every pixel is what a kernel of
        its own makes of ones: a hundredth of the work."""
        weight = self.first.weight
        seen = F.conv2d(torch.cat([ab, lightness], 1), weight[:, :3], self.first.bias, 2, 1)
        kernels = torch.einsum("nc,ocij->noij", colours, weight[:, 3:])
        ones = torch.ones_like(lightness[:1])
        return self.layers(seen + F.conv2d(ones, kernels.flatten(0, 1)[:, None], None, 2, 1).view_as(seen))


class MemoPainter(Method):
    """Three players a step: a layer behind a feature network that stands still learns what looks alike by the threshold
    triplet loss, then the step's pictures are written into the memory; the judge; the generator, which is given the
    picture's own colours. At restoring it is given those of the nearest key.

    `feature`: `dist`, the 313 ab classes' shares, or `rgb`, ten dominant colours; `thresholds`: below which distance
    (KL divergence, mean CIEDE2000) colours count as the same. `slots`: about 1.2 times the training pictures; `top`:
    how many nearest keys the loss looks at. `full_rate`: the share of the steps before the rate falls towards 0 in a
    straight line (1: it never does).

    The generator is given Lab lightness over 100, the feature network the grey (g, g, g) of that lightness.

    reading: the features are the channel means of `tap` (with `channels` channels) of the network in the slot
    `features`, where the paper has those of a ResNet-18 with ImageNet weights, which stands still as well. Hidden
    layers of 512 for scale and shift. The judge does not normalise (see there). Slots, margin, threshold and steps are
    the code's for 819 pictures. The pictures of a step are written one after the other (the code: all at once, of two
    that meet in a slot one is lost). A picture without a positive key among the nearest adds nothing to the loss. A
    slot that was never written is not read. What is learned and remembered are squares cut at random out of the
    pictures (the code: each whole, its middle as a square of 256); the U-Net begins with pix2pix's first weights.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "feature": "dist", "thresholds": {"dist": 0.7, "rgb": 10.0}, "slots": 982, "key": 512, "top": 256,
        "margin": 0.1, "age_noise": 4.0, "tap": "relu5_4", "channels": 512, "levels": 8, "width": 64, "hidden": 512,
        "dropout": True, "disc_width": 64, "adversarial": 1.0, "regression": 1.0, "lr": 1e-4, "memory_lr": 1e-4,
        "full_rate": 1.0, "steps": 10_200, "batch": 4, "patch": 256, "ema": 0.0,
    }
    choices: ClassVar = {"feature": ("dist", "rgb")}
    reading = ("looked up by the features of the slot, not of a ResNet-18; hidden layers of 512; pictures of a step "
               "are written one after the other; never written slots are not read; a judge without normalisation")
    stored_networks = ("memory", "generator")
    restoring_slots = ("features",)
    derived: ClassVar[Mapping[str, ArraySpec]] = {"colours": ArraySpec(VECTOR, 0)}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop and the average."""
        super().__init__(settings)
        s = self.settings
        self.multiple, least = 2 ** s["levels"], 2 ** max(s["levels"], HALVINGS)
        if s["patch"] % least:
            raise self.wrong("patch", f"it must be a multiple of {least} (U-Net and judge halve it so often)")
        if s["ema"]:
            raise self.wrong("ema", "it must be 0: keys belong to the network that made them, not to its average")
        if not 0 <= s["full_rate"] <= 1:
            raise self.wrong("full_rate", "it must be a share from 0 to 1")
        if not isinstance(s["thresholds"], dict) or s["feature"] not in s["thresholds"]:
            raise self.wrong("thresholds", "it must give one for the feature, such as {dist: 0.7}")

    @property
    def features(self) -> int:
        """How long the vector of a picture's colours is."""
        return len(class_centres()) if self.settings["feature"] == "dist" else 3 * DOMINANT

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training the vector of the true picture's colours; nothing when restoring."""
        if target is None:
            return {}
        if self.settings["feature"] == "rgb":
            return {"colours": dominant_colours(target["rgb"])}
        ab = torch.from_numpy(np.ascontiguousarray(np.moveaxis(target["ab"], -1, 0)))
        return {"colours": distribution(ab[None])[0].numpy()}

    def build(self) -> dict[str, nn.Module]:
        """`memory`, `generator` and `discriminator`."""
        s = self.settings
        return {"memory": Memory(s["channels"], s["key"], s["slots"], self.features),
                "generator": AdaptiveUNet(1, 2, self.features, s["width"], s["levels"], s["hidden"], s["dropout"]),
                "discriminator": Judge(3 + self.features, s["patch"], s["disc_width"])}

    def phases(self) -> list[Phase]:
        """Memory, judge, generator in turn. Several processes would each have a memory of their own: they
        are refused with a `UserError`."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError("memopainter has one memory and is trained in one process; set `processes` to 1.")
        s = self.settings

        def player(name: str, loss: Any, rate: float, **options: Any) -> Player:
            return Player(name, [name], loss, lambda parameters: torch.optim.Adam(parameters, rate), **options,
                          schedule=linear_to_zero(s["full_rate"]) if s["full_rate"] < 1 else constant())

        return [Phase("train", s["steps"], [
            player("memory", self.memory_loss, s["memory_lr"], after=self.remember),
            player("discriminator", self.discriminator_loss, s["lr"]),
            player("generator", self.generator_loss, s["lr"])])]

    def extra_state(self) -> dict[str, Tensor]:
        """The memory: `keys` (random, of length 1), `values` (random colours), `ages` in steps, `pictures` (-1)."""
        slots = self.settings["slots"]
        values = torch.rand(slots, self.features)
        return {"keys": F.normalize(torch.rand(slots, self.settings["key"]) - 0.5, dim=1),
                "values": F.normalize(values, p=1, dim=1) if self.settings["feature"] == "dist" else values,
                "ages": torch.zeros(slots), "pictures": torch.full((slots,), -1)}

    def memory_loss(self, context: Context) -> dict[str, Tensor]:
        """The threshold triplet loss of the step's pictures against the memory as it is."""
        state = context.state
        scores = cosines(context.networks["memory"](self._seen(context)), state["keys"])
        best, slots = scores.topk(min(self.settings["top"], scores.shape[1]), 1)
        positive = self.alike(state["values"][slots], context.inputs["colours"][:, None])
        return {"triplet": threshold_triplet(best, positive, self.settings["margin"])}

    def remember(self, context: Context) -> None:
        """Write the step's pictures into the memory, by the queries of the layer that has just moved; with the last
        step the memory becomes part of the network that is stored."""
        network, state = cast(Memory, context.networks["memory"]), context.state
        noise = self.settings["age_noise"]
        jitter = context.uniform(state["ages"], -noise, noise)
        state["ages"] += 1
        whose = [derive(identity) % 2**62 for identity in context.ids]
        for query, colours, picture in zip(network(self._seen(context)), context.inputs["colours"], whose, strict=True):
            slot = int((state["keys"] @ query).argmax())
            if self.alike(state["values"][slot], colours):
                state["keys"][slot] = F.normalize(state["keys"][slot] + query, dim=0)
            else:
                slot = int((state["ages"] + jitter).argmax())
                state["keys"][slot], state["values"][slot], state["pictures"][slot] = query, colours, picture
            state["ages"][slot] = 0
        if context.step == context.steps - 1:
            for name in ("keys", "values", "pictures"):
                getattr(network, name).copy_(state[name])

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy of true and made colours, each beside lightness and the true colours' vector."""
        fake, true, lightness = self._pair(context)
        judge, colours = context.networks["discriminator"], context.inputs["colours"]
        return discriminator_terms("bce", judge(true, lightness, colours), judge(fake.detach(), lightness, colours))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """To be taken for true, and the smooth L1 distance of ab / 110 to the truth (quadratic below 1)."""
        s, (fake, true, lightness) = self.settings, self._pair(context)
        judged = context.networks["discriminator"](fake, lightness, context.inputs["colours"])
        return {"adversarial": s["adversarial"] * generator_term("bce", judged),
                "smooth_l1": s["regression"] * F.smooth_l1_loss(fake, true)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` to `ab`, by the colours of the nearest key."""
        memory = cast(Memory, model.networks["memory"])
        colours = memory.colours(memory(self.features_of(model.slots.get("features"), inputs["L"])))
        return {"ab": AB_SCALE * model.networks["generator"](inputs["L"] / 100, colours).float()}

    def features_of(self, network: Any, lightness: Tensor) -> Tensor:
        """The channel means of the tap for the grey pictures, N x `channels`."""
        pictures = grey_from_lightness(lightness.float()).expand(-1, 3, -1, -1)
        return channel_means(network, pictures, self.settings, "memopainter")

    def alike(self, value: Tensor, colours: Tensor) -> Tensor:
        """Whether colours in the memory and a picture's count as the same."""
        distance = kl if self.settings["feature"] == "dist" else palette_distance
        return distance(value, colours) < self.settings["thresholds"][self.settings["feature"]]

    def _seen(self, context: Context) -> Tensor:
        with torch.no_grad():
            return context.once("seen", lambda: self.features_of(context.slots.get("features"), context.inputs["L"]))

    def _pair(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The generator's ab / 110 (one forward pass a step for both players), the true one, and lightness / 100."""
        lightness = context.inputs["L"] / 100
        fake = context.once("made", lambda: context.networks["generator"](lightness, context.inputs["colours"]).float())
        return fake, context.target["ab"] / AB_SCALE, lightness


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """Of vectors of length 1, N x D and M x D to N x M; in float32 also under autocast, as the nearest keys differ by
    less than 8 bits tell."""
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ keys.T


def threshold_triplet(scores: Tensor, positive: Tensor, margin: float) -> Tensor:
    """Mean of max(best score of another colour - best score of the same colour + margin, 0) over pictures; a picture
    with none of the same colour adds 0. `scores`, `positive`: N x K."""
    same = scores.masked_fill(~positive, NO_KEY).amax(1)
    other = scores.masked_fill(positive, NO_KEY).amax(1)
    return ((other - same + margin).clamp(min=0) * positive.any(1)).mean()


METHOD = MemoPainter
