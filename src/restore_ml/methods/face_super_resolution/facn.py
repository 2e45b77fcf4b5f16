"""A facial attribute capsules network (Xin, Wang, Jiang, Li, Gao, Li, Facial attribute capsules for noise face super
resolution, AAAI 2020): the small face is encoded into a capsule for each attribute, half of it a vector and half a
distribution, and the face is drawn from the capsules. Attributes supervise the training alone.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.data.domains.faces import ATTRIBUTES
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.attribute_capsules import CapsuleNetwork, Capsules
from restore_ml.nn.face_enlarging import centred, known_mean, to_unit
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.muon import Muon
from restore_ml.training import schedules

CHOSEN = ("Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows",
          "Eyeglasses", "Gray_Hair", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Smiling",
          "Wearing_Lipstick", "Young")
"""reading: those of CelebA's forty that AEUN is told."""
PLACES = [ATTRIBUTES.index(name) for name in CHOSEN]


class Facn(FixedFaces):
    """One network, trained by the error of the picture, of the attributes, and of the distributions.

    `encoder`, `decoder`: channels of its three and five stages; `hidden`: numbers between encoder and capsules;
    `size`: numbers in each of a capsule's two parts. `lr_skip`: the decoder sees maps of the small face;
    `global_residual`: it adds to the bicubic picture. `pixel`: `mse` or `l1`, of pictures in [-1, 1]. `schedule`:
    `paper` (half the rate every ten epochs of `epoch_steps`) or `cosine` (to zero). `optimiser`: `adam`, or `muon`,
    which moves the kernels between the first and the last layer, at `muon_lr`. `start`: `interpolation` begins with a
    last layer of zeros, as the bicubic picture.
    """

    paper: ClassVar[dict[str, Any]] = {
        "encoder": [64, 128, 256], "decoder": [256, 256, 128, 64, 32], "hidden": 1024, "size": 16, "lr_skip": True,
        "global_residual": True, "start": "random", "kinds": ["plain"], "pixel": "mse", "pixel_weight": 1.0,
        "attribute_weight": 0.01, "divergence_weight": 1e-3, "jitter": 0.0, "optimiser": "adam", "lr": 2e-4,
        "muon_lr": 0.01, "schedule": "paper", "epoch_steps": 2544, "steps": 127_200, "batch": 64, "patch": 128,
        "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "pixel": ("mse", "l1"), "schedule": ("paper", "cosine"),
                         "optimiser": ("adam", "muon"), "start": ("random", "interpolation")}
    reading = ("the paper's text was not available: all layers, sizes, weights and the recipe (fifty epochs) follow "
               "what its abstract says of the capsules; which 18 attributes; an attribute that is not known of a face "
               "supervises nothing; the optional adversarial term, of which the figures have none, is left out; short "
               "trainings begin as the bicubic picture and show faces in other light")
    stored_networks = ("net",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the stages."""
        super().__init__(settings)
        for key, count in (("encoder", 3), ("decoder", 5)):
            if len(self.settings[key]) != count:
                raise self.wrong(key, f"it must name the channels of {count} stages")
        if self.settings["start"] == "interpolation" and not self.settings["global_residual"]:
            raise self.wrong("start", "without global_residual there is no bicubic picture to begin with")

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        s = self.settings
        net = CapsuleNetwork(s["patch"], s["encoder"], s["decoder"], s["hidden"], len(CHOSEN), s["size"], s["lr_skip"],
                             s["global_residual"])
        if s["start"] == "interpolation":
            nn.init.zeros_(net.decoder.tail.weight)
            if net.decoder.tail.bias is not None:
                nn.init.zeros_(net.decoder.tail.bias)
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser, schedule=self.rate)])]

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate in that step of `steps`."""
        if self.settings["schedule"] == "cosine":
            return schedules.cosine()(step, steps)
        return 0.5 ** (step // (10 * self.settings["epoch_steps"]))

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The picture's error, the binary cross-entropy of the attributes that are known, and how far the capsules'
        distributions are from N(0, 1)."""
        s, net = self.settings, context.networks["net"]
        small, true = (centred(faces) for faces in self.faces(context))
        draws = context.normal(small.new_empty(len(small), len(CHOSEN), s["size"]))
        face, capsules = net(small, draws)
        error = functional.mse_loss if s["pixel"] == "mse" else functional.l1_loss
        return {s["pixel"]: s["pixel_weight"] * error(face.float(), true),
                "attributes": s["attribute_weight"] * self.attribute_error(net, capsules,
                                                                           context.target["hr_attributes"]),
                "divergence": s["divergence_weight"] * capsules.divergence()}

    def attribute_error(self, net: nn.Module, capsules: Capsules, attributes: Tensor) -> Tensor:
        """The mean over the attributes that are known of the faces of the batch; 0 where none is.

        `attributes`: N x 40 of the task; 1 has it, -1 has it not, 0 unknown.
        """
        given = attributes[:, PLACES].float()
        logits = net.heads.logits(capsules.whole).float()  # type: ignore[operator,union-attr]
        errors = functional.binary_cross_entropy_with_logits(logits, (given > 0).float(), reduction="none")
        return known_mean(errors, given != 0)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]; nothing is drawn and no attribute is asked for.
        `UserError` for another size than the network's own."""
        small = centred(self.small(inputs))
        return {"sr": to_unit(model.networks["net"](small)[0])}

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.9, 0.99))
        inner = [parameter for name, parameter in parameters if by_muon(name, parameter)]
        others = [parameter for name, parameter in parameters if not by_muon(name, parameter)]
        return Muon(inner, others, self.settings["muon_lr"], self.settings["lr"], betas=(0.9, 0.99))


def by_muon(name: str, parameter: Tensor) -> bool:
    """Whether Muon moves it: the kernels of convolutions between the first and the last layer."""
    return parameter.ndim == 4 and name not in ("net.encoder.first.0.weight", "net.decoder.tail.weight")


METHOD = Facn
