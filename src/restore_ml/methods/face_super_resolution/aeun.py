"""An attribute-embedded upsampling network (Yu, Fernando, Hartley, Porikli, Super-resolving very low-resolution face
images with supplementary attributes, CVPR 2018): an autoencoder that is told the face's attributes where it is
narrowest, and a discriminator that sees whether face and attributes belong together.

What the paper leaves open was read in the authors' released code: layers, optimiser, weights, the margin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.data.domains.faces import ATTRIBUTES
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import taps_of, term_name
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.attribute_autoencoder import Discriminator, Generator
from restore_ml.tasks.base import Material
from restore_ml.tasks.face_super_resolution.cases import parse_degradation
from restore_ml.tasks.face_super_resolution.task import KINDS, SCALE
from restore_ml.training import schedules

CHOSEN = ("Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows",
          "Eyeglasses", "Gray_Hair", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Smiling",
          "Wearing_Lipstick", "Young")
"""reading: the paper takes 18 of CelebA's forty and says not which; these are seen in a face that is cut closely."""
PLACES = [ATTRIBUTES.index(name) for name in CHOSEN]


class Aeun(Method):
    """Squared error first (`pixel`, of which the paper has nothing), then against the discriminator (`gan`).

    `patch`: height and width of the faces, 64 or 128, those of the task. `kinds`: the degradations that it is trained
    on, one drawn a sample. `width`, `d_width`, `d_hidden`: channels of generator, discriminator and its linear layer;
    `stn`: with spatial transformers. `adversarial_decay` an epoch of `epoch_steps` down to `adversarial_floor`;
    `lr_decay` an epoch down to 1e-6. `margin`: see `gates`; 0 lets both play always. `schedule`: `paper` (a fiftieth of
    the rate for 50 steps, a fifth for 50 more, then the decay) or `cosine` (to zero); the generator's runs over both
    phases as one. `jitter`: largest relative change of a training face's gain and offset, a draw a channel. Without
    `features:` there is no perceptual term.
    """

    task = "face_super_resolution"
    inputs = ("attributes",)
    paper: ClassVar[dict[str, Any]] = {
        "width": 32, "stn": True, "d_width": 32, "d_hidden": 1024, "kinds": ["plain"], "pixel_weight": 1.0,
        "adversarial_weight": 0.01, "adversarial_decay": 0.995, "adversarial_floor": 0.005, "epoch_steps": 2561,
        "perceptual_weight": 0.01, "perceptual_tap": "relu3_2", "margin": 0.3, "optimiser": "rmsprop", "lr": 1e-3,
        "lr_decay": 0.95, "schedule": "paper", "jitter": 0.0, "steps": {"pixel": 0, "gan": 174_000}, "batch": 64,
        "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {"patch": (128, 64), "optimiser": ("rmsprop", "adam"), "schedule": ("paper", "cosine")}
    reading = ("which 18 attributes; an unknown one is the mean over the training faces; faces of 64 pixels drop one "
               "encoder stage; the discriminator sees the whole batch three times instead of half of it; wrong "
               "attributes are those of another face of the batch; its loss is the mean over all three, a third each; "
               "a phase of pixels alone may come first, the generator's rate running over both as one; the perceptual "
               "term is on the features that the run names, in their own units")
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the kinds of degradation."""
        super().__init__(settings)
        unknown = [kind for kind in self.settings["kinds"] if kind not in KINDS]
        if unknown or not self.settings["kinds"]:
            raise self.wrong("kinds", f"it must name some of {', '.join(KINDS)}")

    def unsupported(self, degradation: str) -> str | None:
        """Another size of faces, and kinds that it was not trained on."""
        size, kind = parse_degradation(degradation)
        if size != self.settings["patch"]:
            return f"made for faces of {self.settings['patch']} pixels"
        return None if kind in self.settings["kinds"] else "not trained on it (its setting `kinds`)"

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        s = self.settings
        return {"generator": Generator(s["patch"], s["width"], len(CHOSEN), s["stn"]),
                "discriminator": Discriminator(s["patch"], s["d_width"], len(CHOSEN), s["d_hidden"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`mean`: the share of the training faces that has each of the 18 attributes, among those of whom it is known;
        a half where it is known of none."""
        records = material.records
        known = np.stack([records.arrays(number)["attributes"][PLACES] for number in range(len(records))])
        has, there = (known > 0).sum(0), (known != 0).sum(0)
        return {"mean": np.where(there > 0, has / np.maximum(there, 1), 0.5).astype(np.float32)}

    def phases(self) -> list[Phase]:
        """The generator by its pixel error, then the discriminator and the generator, on the same restored faces."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def generator(loss: Callable[[Context], dict[str, Tensor]], before: int) -> Player:
            """Its rate runs over both phases as one: a second start at the full rate undoes what was learned."""
            return Player("generator", ["generator"], loss, self._optimiser,
                          schedule=lambda step, steps: self.rate(before + step, pixel + gan))

        return [Phase("pixel", pixel, [generator(self.pixel_loss, 0)]), Phase("gan", gan, [
            Player("discriminator", ["discriminator"], self.discriminator_loss, self._optimiser, schedule=self.rate),
            generator(self.generator_loss, pixel)])]

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate in that step of `steps`."""
        s = self.settings
        if s["schedule"] == "cosine":
            return schedules.cosine()(step, steps)
        warm = 1 / 50 if step < 50 else 1 / 5 if step < 100 else 1.0
        return warm * max(s["lr_decay"] ** (step // s["epoch_steps"]), 1e-6 / s["lr"])

    def adversarial_weight(self, step: int) -> float:
        """Its weight in that step of the phase: it falls with the epochs."""
        s = self.settings
        epoch = step // s["epoch_steps"]
        return max(s["adversarial_weight"] * s["adversarial_decay"] ** epoch, s["adversarial_floor"])

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of pictures in [-1, 1]."""
        return {"mse": functional.mse_loss(self._restored(context), self._faces(context)[1])}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy, a third each, as the released code averages over its batch of three parts: true faces
        with their attributes are real; restored ones with these, and true ones with attributes of another face, are
        not."""
        plays = self.gates(context)[0]
        terms = zip(("real", "fake", "wrong"), self._errors(context), strict=True)
        return {name: plays * term / 3 for name, term in terms}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The squared error, -log D with its weight, and the squared error of features where the run has them."""
        s, restored, truth = self.settings, self._restored(context), self._faces(context)[1]
        plays = self.gates(context)[1]
        judged = context.networks["discriminator"](restored, self.told(context.inputs))
        terms = {"mse": s["pixel_weight"] * functional.mse_loss(restored, truth),
                 "adversarial": self.adversarial_weight(context.step) * generator_term("bce", judged)}
        features = context.slots.get("features")
        if features is not None and s["perceptual_weight"] > 0:
            tap = s["perceptual_tap"]
            with torch.no_grad():
                target = taps_of(features, (truth + 1) / 2, [tap])[tap]
            error = functional.mse_loss(taps_of(features, (restored + 1) / 2, [tap])[tap], target)
            terms[term_name("perceptual", features)] = s["perceptual_weight"] * error
        return {name: plays * term for name, term in terms.items()}

    def gates(self, context: Context) -> tuple[Tensor, Tensor]:
        """1 or 0 for the discriminator and the generator: who plays in this step.

        The discriminator rests while it is too good (its error on the real or on the unreal below `margin`), the
        generator while it is too bad (one of them above 1 - `margin`); both play where both would rest.
        """
        def decide() -> tuple[Tensor, Tensor]:
            real, fake, wrong = (term.detach() for term in self._errors(context))
            margin = self.settings["margin"]
            unreal = (fake + wrong) / 2
            good = (torch.minimum(real, unreal) < margin).float()
            bad = (torch.maximum(real, unreal) > 1 - margin).float()
            if margin <= 0:
                good, bad = torch.zeros_like(good), torch.zeros_like(bad)
            both = good * bad
            return 1 - good + both, 1 - bad + both

        return context.once("gates", decide)

    def told(self, inputs: Inputs) -> Tensor:
        """N x 18 of what the networks are told: 1 has it, 0 has it not, the training faces' mean where it is unknown,
        and everywhere where no attributes are given."""
        lr = inputs["lr"]
        mean = torch.from_numpy(np.asarray(self.constants["mean"], np.float32)).to(lr.device).expand(len(lr), -1)
        if "attributes" not in inputs:
            return mean
        given = inputs["attributes"][:, PLACES].float()
        return torch.where(given == 0, mean, (given > 0).float())

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) and, where they are known, `attributes`, to `sr`, clipped to [0, 1].
        `UserError` for another size than the network's own."""
        side = self.settings["patch"] // SCALE
        if tuple(inputs["lr"].shape[2:]) != (side, side):
            height, width = inputs["lr"].shape[2:]
            raise self.wrong("patch", f"its network takes faces of {side} x {side} pixels, not {width} x {height}")
        restored = model.networks["generator"](_centred(inputs["lr"]), self.told(inputs)).float()
        return {"sr": ((restored + 1) / 2).clip(0, 1)}

    def _faces(self, context: Context) -> tuple[Tensor, Tensor]:
        """The small faces and the true ones in [-1, 1], in other light where the run has `jitter`: each channel of a
        face is multiplied by 1 + u and v is added, u and v uniform up to `jitter`. Making a face small keeps that."""
        jitter, pair = self.settings["jitter"], (context.inputs["lr"], context.target["hr"])
        if not jitter:
            return _centred(pair[0]), _centred(pair[1])

        def lit() -> tuple[Tensor, Tensor]:
            count, channels = pair[0].shape[:2]
            gain, offset = context.uniform(pair[0].new_empty(2, count, channels, 1, 1), -jitter, jitter)
            return _centred((1 + gain) * pair[0] + offset), _centred((1 + gain) * pair[1] + offset)

        return context.once("faces", lit)

    def _restored(self, context: Context) -> Tensor:
        """The generator's faces in [-1, 1]: one forward pass a step for both players."""
        return context.once("sr", lambda: context.networks["generator"](
            self._faces(context)[0], self.told(context.inputs)).float())

    def _errors(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The discriminator's errors on true faces, on restored ones and on true ones with wrong attributes."""
        def judge() -> tuple[Tensor, Tensor, Tensor]:
            network, truth = context.networks["discriminator"], self._faces(context)[1]
            told, others = self.told(context.inputs), self.told(context.inputs).roll(1, 0)
            terms = discriminator_terms("bce", network(truth, told), network(self._restored(context).detach(), told))
            mistaken = (told != others).any(1).float()  # two faces with equal attributes are no example
            scores = functional.softplus(network(truth, others).float())[:, 0]
            return terms["real"], terms["fake"], (mistaken * scores).sum() / mistaken.sum().clamp(min=1)

        return context.once("errors", judge)

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer
        if self.settings["optimiser"] == "adam":
            made = torch.optim.Adam(parameters, self.settings["lr"], betas=(0.5, 0.999))
        else:
            made = torch.optim.RMSprop(parameters, self.settings["lr"], alpha=0.9, eps=1e-8)
        made.register_step_pre_hook(rest)
        return made


def rest(optimiser: torch.optim.Optimizer, *_: Any) -> None:
    """Before a step: where all gradients are zero, as of a player whom the margin stops, take them away, so that the
    step changes nothing, neither weights (Adam's momentum would move them) nor the optimiser's averages."""
    parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    if not any(p.grad.any() for p in parameters):
        for parameter in parameters:
            parameter.grad = None


def _centred(pictures: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * pictures - 1


METHOD = Aeun
