"""EdgeConnect: first the edges inside the hole are guessed, then the picture is filled along them.

Source: Nazeri, Ng, Joseph, Qureshi, Ebrahimi, ICCVW 2019, and the layers of their code; method card `edge_connect`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, feature_matching, generator_term
from restore_ml.losses.perceptual import content, style, taps_of, term_name
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.edge_networks import Generator, canny, completed, rgb_to_grey, shown_to_colours, shown_to_edges
from restore_ml.nn.known_mean import known_mean
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.training.schedules import Schedule, constant, cosine


class EdgeConnect(Method):
    """Edge network; picture network on true edges; then on guessed ones; optionally both together (`joint`), where the
    picture's losses reach the edge network through the guessed edges.

    `sigma`: Canny's. While restoring, Canny is told the hole, so that its rim gives no edges. `disc_lr_factor`: the
    discriminators' learning rate relative to `lr`. `schedule`: `constant`, or `cosine` (each network's rate falls to 0
    over its phases before `joint`). `normalise_features`: whether ImageNet's mean is subtracted before the feature
    network (the authors do not). `content_taps`, `style_taps`: of the feature network, in the perceptual and the style
    term (VGG19's; `features: vgg16` needs others); `feature_phases`: those that have these terms. Without a feature
    network they are left out. `centred`: the picture network sees colours whose known ones are moved to a mean of 0.5,
    and what it says is moved back (the paper: not so); its instance normalisation takes each picture's level away.

    reading: two million steps a phase (the authors' limit), their plateau rule replaced by a constant rate; no joint
    phase by default; in it a step moves the edge network first, on losses of a pass of its own; training crops are cut
    from pictures of up to twice the task's `size`, where the authors resize whole pictures to 256; the irregular half
    of the masks is ours, as the published set cannot be had.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["irregular", "random_square"], "width": 64, "blocks": 8, "disc_width": 64, "sigma": 2.0,
        "matching": 10.0, "l1": 1.0, "adversarial": 0.1, "perceptual": 0.1, "style": 250.0, "normalise_features": False,
        "content_taps": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        "style_taps": ["relu2_2", "relu3_4", "relu4_4", "relu5_2"],
        "feature_phases": ["inpaint_gt_edges", "inpaint_predicted", "joint"],
        "steps": {"edge": 2_000_000, "inpaint_gt_edges": 2_000_000, "inpaint_predicted": 2_000_000, "joint": 0},
        "batch": 8, "patch": 256, "ema": 0.0, "lr": 1e-4, "disc_lr_factor": 0.1, "joint_lr_factor": 0.01,
        "betas": [0.0, 0.9], "schedule": "constant", "centred": False,
        "blend": "none",
    }
    reading = "number of steps, constant learning rate, crops, order of the joint phase"
    choices: ClassVar = {"schedule": ("constant", "cosine"), "feature_phases": (
        ["inpaint_gt_edges", "inpaint_predicted", "joint"], ["inpaint_predicted", "joint"], ["inpaint_predicted"],
        ["joint"]), "centred": (False, True), "blend": BLENDS}
    stored_networks: ClassVar[tuple[str, ...]] = ("edges", "colours")
    multiple = 4

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` when `steps` does not name the phases."""
        super().__init__(settings)
        if set(self.settings["steps"]) != set(self.paper["steps"]):
            raise self.wrong("steps", f"it must name {', '.join(self.paper['steps'])}")

    def build(self) -> dict[str, nn.Module]:
        """Two generators, two spectrally normalised PatchGANs (over grey and edges; over RGB)."""
        width, blocks, disc = (self.settings[key] for key in ("width", "blocks", "disc_width"))
        return {"edges": Generator(3, 1, width, blocks, spectral=True),
                "colours": Generator(4, 3, width, blocks, spectral=False),
                "edge_judge": PatchDiscriminator(2, disc, norm="none", spectral=True, bias=False),
                "colour_judge": PatchDiscriminator(3, disc, norm="none", spectral=True, bias=False)}

    def phases(self) -> list[Phase]:
        """Phases without steps are left out."""
        s = self.settings

        def adam(factor: float) -> Callable[[Any], torch.optim.Optimizer]:
            return lambda parameters: torch.optim.Adam(parameters, s["lr"] * factor, tuple(s["betas"]))

        def pair(network: str, judge: str, own: Any, judging: Any, phase: str) -> list[Player]:
            factor = self._schedule(phase)
            return [Player(judge, [judge], judging, adam(s["disc_lr_factor"]), schedule=factor),
                    Player(network, [network], own, adam(1.0), schedule=factor)]

        def edges(phase: str, loss: Any) -> list[Player]:
            return pair("edges", "edge_judge", loss, self.edge_judge_loss, phase)

        def colours(phase: str, true_edges: bool = False) -> list[Player]:
            seen = phase in s["feature_phases"]
            return pair("colours", "colour_judge", lambda context: self.colour_loss(context, true_edges, seen),
                        lambda context: self.colour_judge_loss(context, true_edges), phase)

        def joint_edges(context: Context) -> dict[str, Tensor]:
            return self.joint_edge_loss(context, "joint" in s["feature_phases"])

        players = {"edge": edges("edge", self.edge_loss), "inpaint_gt_edges": colours("inpaint_gt_edges", True),
                   "inpaint_predicted": colours("inpaint_predicted"),
                   "joint": [*edges("joint", joint_edges), *colours("joint")]}
        return [Phase(name, s["steps"][name], playing) for name, playing in players.items() if s["steps"][name]]

    def _schedule(self, phase: str) -> Schedule:
        """The factor on a phase's learning rates; with `cosine` the picture network's two phases are one fall."""
        steps = self.settings["steps"]
        if phase == "joint":
            return constant(self.settings["joint_lr_factor"])
        if self.settings["schedule"] == "constant":
            return constant()
        if phase == "edge":
            return cosine()
        first = steps["inpaint_gt_edges"]
        before = first if phase == "inpaint_predicted" else 0
        return cosine(before=before, whole=first + steps["inpaint_predicted"])

    # --- edges

    def edge_judge_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the binary cross-entropy of (grey, true edges) and (grey, guessed edges)."""
        judge = context.networks["edge_judge"]
        grey, edges = self._truth(context)
        terms = discriminator_terms("bce", judge(torch.cat([grey, edges], 1)),
                                    judge(torch.cat([grey, self._guessed(context).detach()], 1)))
        return {name: term / 2 for name, term in terms.items()}

    def edge_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D, and ten times the difference of the discriminator's five maps."""
        judge: Any = context.networks["edge_judge"]
        grey, edges = self._truth(context)
        with torch.no_grad():
            wanted = judge.features(torch.cat([grey, edges], 1))
        judged = judge.features(torch.cat([grey, self._guessed(context)], 1))
        return {"adversarial": generator_term("bce", judged[-1]),
                "matching": self.settings["matching"] * feature_matching(wanted, judged)}

    def joint_edge_loss(self, context: Context, with_features: bool = True) -> dict[str, Tensor]:
        """The edge network's own terms and the picture's, which reach it through the edges that it guessed."""
        mask, edges = context.inputs["mask"], self._truth(context)[1]
        composed = completed(self._guessed(context), edges, mask)
        fake = self.colour(context.networks["colours"], context.inputs["image"], composed, mask)
        through = self.picture_terms(context, fake, composed, with_features)
        return self.edge_loss(context) | {f"picture_{name}": term for name, term in through.items()}

    def guess(self, network: nn.Module, grey: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        """The edge network's map, N x 1 x H x W in [0, 1]; in the hole it sees white and no edge."""
        return network(shown_to_edges(grey, edges, mask))

    # --- colours

    def colour_judge_loss(self, context: Context, true_edges: bool) -> dict[str, Tensor]:
        """Half the binary cross-entropy of true and filled pictures."""
        judge = context.networks["colour_judge"]
        edges, fake = self._shown(context, true_edges), self._coloured(context, true_edges).detach()
        terms = discriminator_terms("bce", judge(self.judged(context.target["image"], edges)),
                                    judge(self.judged(fake, edges)))
        return {name: term / 2 for name, term in terms.items()}

    def judged(self, image: Tensor, edges: Tensor) -> Tensor:
        """What the picture's discriminator sees: the picture alone."""
        return image

    def colour_loss(self, context: Context, true_edges: bool, with_features: bool = True) -> dict[str, Tensor]:
        """L1 over the mean of the mask, -log D, features of the whole picture and Gram matrices of the hole's."""
        fake, edges = self._coloured(context, true_edges), self._shown(context, true_edges)
        return self.picture_terms(context, fake, edges, with_features)

    def picture_terms(self, context: Context, fake: Tensor, edges: Tensor, with_features: bool) -> dict[str, Tensor]:
        """The terms of a filled picture and the edges along which it was filled; those of weight 0 are left out."""
        s, truth, mask = self.settings, context.target["image"], context.inputs["mask"]
        judge = context.networks["colour_judge"]
        features = context.slots.get("features")
        terms = {"l1": s["l1"] * F.l1_loss(fake.float(), truth) / mask.mean().clamp(min=1e-3),
                 "adversarial": s["adversarial"] * generator_term("bce", judge(self.judged(fake, edges)))}
        if features is not None and with_features:
            flag = s["normalise_features"]
            for name, distance, seen in (("perceptual", content, torch.ones_like(mask)), ("style", style, mask)):
                if s[name]:
                    taps = s["content_taps" if name == "perceptual" else "style_taps"]
                    with torch.no_grad():
                        wanted = taps_of(features, truth * seen, taps, normalise=flag)
                    made = taps_of(features, fake * seen, taps, normalise=flag)
                    terms[term_name(name, features)] = s[name] * distance(made, wanted)
        return terms

    def colour(self, network: nn.Module, image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        """The picture network's whole picture in [0, 1]; in the hole it sees white and the edges."""
        level = known_mean(image, mask) - 0.5 if self.settings["centred"] else torch.zeros_like(image[..., :1, :1])
        return network(shown_to_colours(image - level, edges, mask)) + level

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The whole picture, blended as the setting says (known pixels are put back by the task)."""
        return {"image": self.filled_along(model, inputs, self.settings["sigma"])[0]}

    def filled_along(self, model: Model, inputs: Inputs, sigma: float) -> tuple[Tensor, Tensor]:
        """Canny with `sigma` on what is known, guessed edges in the hole: the picture drawn along them, and they."""
        image, mask = inputs["image"], inputs["mask"]
        grey = rgb_to_grey(image * (1 - mask))
        edges = canny(grey, sigma, mask)
        guessed = self.guess(model.networks["edges"], grey, edges, mask).float()
        composed = completed(guessed, edges, mask)
        filled = self.colour(model.networks["colours"], image, composed, mask)
        return blended(self.settings["blend"], filled, image, mask), composed

    # --- one step's shared maps

    def _truth(self, context: Context) -> tuple[Tensor, Tensor]:
        """Grey and Canny's edges of the complete picture."""
        grey = context.once("grey", lambda: rgb_to_grey(context.target["image"]))
        return grey, context.once("true edges", lambda: canny(grey, self.settings["sigma"]))

    def _guessed(self, context: Context) -> Tensor:
        return context.once("guessed", lambda: self.guess(context.networks["edges"], *self._truth(context),
                                                          context.inputs["mask"]))

    def _shown(self, context: Context, true_edges: bool) -> Tensor:
        """The edges that the picture network sees; guessed ones are given and not taught."""
        edges = self._truth(context)[1]
        if true_edges:
            return edges
        with torch.no_grad():
            return completed(self._guessed(context).detach(), edges, context.inputs["mask"])

    def _coloured(self, context: Context, true_edges: bool) -> Tensor:
        return context.once("coloured", lambda: self.colour(
            context.networks["colours"], context.inputs["image"], self._shown(context, true_edges),
            context.inputs["mask"]))


METHOD = EdgeConnect
