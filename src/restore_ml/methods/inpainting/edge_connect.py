"""EdgeConnect: first the edges inside the hole are guessed, then the picture is filled along them.

Source: Nazeri, Ng, Joseph, Qureshi, Ebrahimi, ICCVW 2019, and the layers of their code; method card `edge_connect`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, feature_matching, generator_term
from restore_ml.losses.perceptual import content, style, taps_of, term_name
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blocks import ResidualBlock, maybe_spectral
from restore_ml.nn.initialisation import normal
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.training.schedules import Schedule, constant, cosine


class Generator(nn.Module):
    """N x in_channels x H x W -> N x out_channels x H x W in [0, 1]; H and W multiples of 4, at least 12.

    7x7 convolution, two of stride 2, `blocks` residual blocks of dilation 2 and the way back, all with instance
    normalisation. `spectral` also ends in a sigmoid (edges), otherwise (tanh + 1) / 2 (colours). With width 64 and 8
    blocks 10,761,089 parameters for 3 -> 1 with spectral normalisation, 10,774,595 for 4 -> 3 without.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: int, spectral: bool) -> None:
        super().__init__()

        def layer(module: nn.Module, channels: int) -> list[nn.Module]:
            return [maybe_spectral(module, spectral), nn.InstanceNorm2d(channels), nn.ReLU()]

        def down(before: int, after: int) -> list[nn.Module]:
            return layer(nn.Conv2d(before, after, 4, 2, 1), after)

        def up(before: int, after: int) -> list[nn.Module]:
            return layer(nn.ConvTranspose2d(before, after, 4, 2, 1), after)

        self.body = nn.Sequential(
            nn.ReflectionPad2d(3), *layer(nn.Conv2d(in_channels, width, 7), width),
            *down(width, 2 * width), *down(2 * width, 4 * width),
            *(ResidualBlock(4 * width, 2, spectral) for _ in range(blocks)),
            *up(4 * width, 2 * width), *up(2 * width, width), nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7))
        self.last = torch.sigmoid if spectral else _half_tanh
        normal(self.body[-1] if spectral else self)  # spectral normalisation fixes the scale of all the others

    def forward(self, x: Tensor) -> Tensor:
        """Edges or colours."""
        return self.last(self.body(x))


def _half_tanh(x: Tensor) -> Tensor:
    return (torch.tanh(x) + 1) / 2


class EdgeConnect(Method):
    """Edge network; picture network on true edges; then on guessed ones; optionally both together (`joint`), where the
    picture's losses reach the edge network through the guessed edges.

    `sigma`: Canny's. While restoring, Canny is told the hole, so that its rim gives no edges. `disc_lr_factor`: the
    discriminators' learning rate relative to `lr`. `schedule`: `constant`, or `cosine` (each network's rate falls to 0
    over its phases before `joint`). `normalise_features`: whether ImageNet's mean is subtracted before the feature
    network (the authors do not). `content_taps`, `style_taps`: of the feature network, in the perceptual and the style
    term (VGG19's; `features: vgg16` needs others); `feature_phases`: those that have these terms. Without a feature
    network they are left out.

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
        "betas": [0.0, 0.9], "schedule": "constant",
    }
    reading = "number of steps, constant learning rate, crops, order of the joint phase"
    choices: ClassVar = {"schedule": ("constant", "cosine"), "feature_phases": (
        ["inpaint_gt_edges", "inpaint_predicted", "joint"], ["inpaint_predicted", "joint"], ["inpaint_predicted"])}
    stored_networks = ("edges", "colours")
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
        composed = mask * self._guessed(context) + (1 - mask) * edges
        fake = self.colour(context.networks["colours"], context.inputs["image"], composed, mask)
        through = self._picture_terms(context, fake, with_features)
        return self.edge_loss(context) | {f"picture_{name}": term for name, term in through.items()}

    def guess(self, network: nn.Module, grey: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        """The edge network's map, N x 1 x H x W in [0, 1]; in the hole it sees white and no edge."""
        return network(torch.cat([grey * (1 - mask) + mask, edges * (1 - mask), mask], 1))

    # --- colours

    def colour_judge_loss(self, context: Context, true_edges: bool) -> dict[str, Tensor]:
        """Half the binary cross-entropy of true and filled pictures."""
        judge = context.networks["colour_judge"]
        terms = discriminator_terms("bce", judge(context.target["image"]),
                                    judge(self._coloured(context, true_edges).detach()))
        return {name: term / 2 for name, term in terms.items()}

    def colour_loss(self, context: Context, true_edges: bool, with_features: bool = True) -> dict[str, Tensor]:
        """L1 over the mean of the mask, -log D, features of the whole picture and Gram matrices of the hole's."""
        return self._picture_terms(context, self._coloured(context, true_edges), with_features)

    def _picture_terms(self, context: Context, fake: Tensor, with_features: bool) -> dict[str, Tensor]:
        s, truth, mask = self.settings, context.target["image"], context.inputs["mask"]
        features = context.slots.get("features")
        terms = {"l1": s["l1"] * F.l1_loss(fake.float(), truth) / mask.mean().clamp(min=1e-3),
                 "adversarial": s["adversarial"] * generator_term("bce", context.networks["colour_judge"](fake))}
        if features is not None and with_features:
            flag, content_taps, style_taps = s["normalise_features"], s["content_taps"], s["style_taps"]
            with torch.no_grad():
                whole, hole = (taps_of(features, x, taps, normalise=flag)
                               for x, taps in ((truth, content_taps), (truth * mask, style_taps)))
            terms[term_name("perceptual", features)] = s["perceptual"] * content(
                taps_of(features, fake, content_taps, normalise=flag), whole)
            terms[term_name("style", features)] = s["style"] * style(
                taps_of(features, fake * mask, style_taps, normalise=flag), hole)
        return terms

    def colour(self, network: nn.Module, image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
        """The picture network's whole picture in [0, 1]; in the hole it sees white and the edges."""
        return network(torch.cat([image * (1 - mask) + mask, edges], 1))

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Canny on what is known, guessed edges in the hole, the whole picture (known pixels put back by the task)."""
        image, mask = inputs["image"], inputs["mask"]
        grey = rgb_to_grey(image * (1 - mask))
        edges = canny(grey, self.settings["sigma"], mask)
        guessed = self.guess(model.networks["edges"], grey, edges, mask).float()
        composed = mask * guessed + (1 - mask) * edges
        return {"image": self.colour(model.networks["colours"], image, composed, mask).float()}

    # --- one step's shared maps

    def _truth(self, context: Context) -> tuple[Tensor, Tensor]:
        """Grey and Canny's edges of the complete picture."""
        grey = context.once("grey", lambda: rgb_to_grey(context.target["image"]))
        return grey, context.once("true edges", lambda: canny(grey, self.settings["sigma"]))

    def _guessed(self, context: Context) -> Tensor:
        return context.once("guessed", lambda: self.guess(context.networks["edges"], *self._truth(context),
                                                          context.inputs["mask"]))

    def _coloured(self, context: Context, true_edges: bool) -> Tensor:
        def compute() -> Tensor:
            mask, edges = context.inputs["mask"], self._truth(context)[1]
            if not true_edges:
                with torch.no_grad():
                    edges = mask * self._guessed(context).detach() + (1 - mask) * edges
            return self.colour(context.networks["colours"], context.inputs["image"], edges, mask)

        return context.once("coloured", compute)


def rgb_to_grey(x: Tensor) -> Tensor:
    """N x 3 x H x W -> N x 1 x H x W: 0.2125 R + 0.7154 G + 0.0721 B (scikit-image's `rgb2gray`)."""
    return (x * x.new_tensor([0.2125, 0.7154, 0.0721]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def canny(grey: Tensor, sigma: float, mask: Tensor | None = None) -> Tensor:
    """scikit-image's Canny with its default thresholds: N x 1 x H x W {0, 1} float32; nothing within or at a hole."""
    from skimage import feature

    known = [None] * len(grey) if mask is None else mask[:, 0].cpu().numpy() < 0.5
    edges = [feature.canny(picture, sigma=sigma, mask=region)
             for picture, region in zip(grey[:, 0].detach().float().cpu().numpy(), known, strict=True)]
    return torch.from_numpy(np.stack(edges)[:, None].astype(np.float32)).to(grey.device)


METHOD = EdgeConnect
