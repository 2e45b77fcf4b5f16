"""Restoration along hallucinated edges, each step verified by a discriminator, regularised by total variation.

Source: Wan Jiashan, patent CN 110689495 A, 2020, steps S1 to S5 (paragraph 53 counts four). Its printed formulas are
those of EdgeConnect with slips (the answer among the inputs, edges in the place of the picture, a maximum for a
minimum); they are corrected to EdgeConnect's here, as the method card `edge_tv_patent` lists them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.variation import around_hole
from restore_ml.method import Context, Inputs, Model
from restore_ml.methods.inpainting.edge_connect import EdgeConnect
from restore_ml.nn.edge_networks import Generator, canny, completed, rgb_to_grey
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.seeds import derive
from restore_ml.tasks.base import Material
from restore_ml.tasks.cropping import centre_square

REACH = 2
"""Pixels around an edge within which contours are sharpened."""
FLAT = 1e-5
"""A Laplacian up to this is that of a ramp, whose sign is rounding."""
JUDGED = 32
"""A smaller side is continued before a discriminator sees it, which would have no patch of it."""


class Verifier(PatchDiscriminator):
    """EdgeConnect's discriminator with what S5 needs to know of it after training, as buffers.

    `median`: of its verdicts on true pictures; `rate`: the share of fillings of a centre hole that S5 accepted.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(in_channels, width, norm="none", spectral=True, bias=False)
        self.register_buffer("median", torch.tensor(0.5))
        self.register_buffer("rate", torch.tensor(0.0))


class EdgeTvPatent(EdgeConnect):
    """S1 the edge network guesses the edges in the hole, S2 a discriminator verifies them; S3 the picture network fills
    along them, S4 a second discriminator verifies the picture; S5 keeps what looks real.

    The networks, phases and losses are EdgeConnect's, without a style term, and `tv` times the total variation of the
    composed picture in the hole and a pixel around it. `judge_edges`: the picture's discriminator sees the edges too.

    S5: `candidates` fillings are made, the first along Canny's edges with `sigma`, the others with that times 1 -
    `jitter` to 1 + `jitter`; the one is kept whose two verdicts have the greatest product. A verdict is the sigmoid of
    the mean score. A filling is `accepted` when the picture's verdict exceeds `acceptance` times the median verdict on
    true pictures. None is withheld: who asks for a restored picture gets the best, and `accepted` beside it says
    whether S5 took it; the share of a case stands in the table. `refine_edges`: so many steps of a shock filter
    complete the contours in the hole.

    reading: weights, recipe and order of steps are EdgeConnect's, as the patent has none; that `jitter`, `acceptance`
    and the product; the edges are verified with the grey of the filled picture, since that of the hole is not known;
    the median and the rate are those on the middles of training pictures, as training sees no others; the filter, for
    the patent's "complete the contours of objects".
    """

    paper: ClassVar[dict[str, Any]] = EdgeConnect.paper | {
        "style": 0.0, "tv": 0.1, "judge_edges": True, "candidates": 4, "jitter": 0.5, "acceptance": 0.5,
        "refine_edges": 0}
    reading = "weights and recipe of EdgeConnect, candidates and acceptance, the filter that completes contours"
    choices: ClassVar = EdgeConnect.choices | {"judge_edges": (True, False)}
    zero_allowed = ("refine_edges",)
    stored_networks = ("edges", "colours", "edge_judge", "colour_judge")

    def build(self) -> dict[str, nn.Module]:
        """EdgeConnect's four networks; the picture's discriminator sees a channel more, and keeps what S5 asks for."""
        width, blocks, disc = (self.settings[key] for key in ("width", "blocks", "disc_width"))
        return {"edges": Generator(3, 1, width, blocks, spectral=True),
                "colours": Generator(4, 3, width, blocks, spectral=False),
                "edge_judge": PatchDiscriminator(2, disc, norm="none", spectral=True, bias=False),
                "colour_judge": Verifier(4 if self.settings["judge_edges"] else 3, disc)}

    # --- training

    def judged(self, image: Tensor, edges: Tensor) -> Tensor:
        """What the picture's discriminator sees: the picture and the edges along which it was filled."""
        return torch.cat([image, edges], 1) if self.settings["judge_edges"] else image

    def picture_terms(self, context: Context, fake: Tensor, edges: Tensor, with_features: bool) -> dict[str, Tensor]:
        """EdgeConnect's terms, and the total variation around the hole."""
        terms = super().picture_terms(context, fake, edges, with_features)
        if self.settings["tv"]:
            mask = context.inputs["mask"]
            composed = completed(fake.float(), context.target["image"], mask)
            terms["tv"] = self.settings["tv"] * around_hole(composed, mask)
        return terms

    def finish(self, networks: dict[str, nn.Module], material: Material, seed: int) -> None:
        """Measure what S5 compares with: `median` and `rate` of the picture's discriminator."""
        judge: Any = networks["colour_judge"]
        model, verdicts, fillings = Model(networks), [], []
        with torch.no_grad():
            for record in material.records:
                picture = record.arrays["image"]
                square = centre_square(picture, min(self.settings["patch"], *picture.shape[:2]) // 4 * 4)
                image = torch.from_numpy(square).movedim(-1, 0)[None].to(judge.median.device) / 255
                edges = canny(rgb_to_grey(image), self.settings["sigma"])
                verdicts.append(verdict(judge, self.judged(image, edges)))
                mask, quarter = torch.zeros_like(image[:, :1]), image.shape[-1] // 4
                mask[..., quarter:-quarter, quarter:-quarter] = 1
                fillings.append(self.verified(model, {"image": image * (1 - mask), "mask": mask}, seed))
            judge.median.fill_(float(np.median(verdicts)))
            judge.rate.fill_(float(np.mean([self.accepted(model, found) for _, _, found in fillings])))

    # --- restoring

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The best of the candidates, its contours completed (the known pixels are put back by the task), and whether
        S5 accepts it: the verdict is on the filling, as the contours are completed after the repair."""
        made, taken = [], []
        for number in range(len(inputs["image"])):
            one = {name: inputs[name][number:number + 1] for name in ("image", "mask")}
            filled, edges, found = self.verified(model, one, seed)
            composed = completed(filled, one["image"], one["mask"])
            taken.append(torch.full_like(one["mask"], float(self.accepted(model, found))))
            made.append(sharpened(composed, edges, one["mask"], self.settings["refine_edges"]))
        return {"image": torch.cat(made), "accepted": torch.cat(taken)}

    def verified(self, model: Model, inputs: Inputs, seed: int) -> tuple[Tensor, Tensor, float]:
        """S5 for a batch of one: of the candidates the filling that is kept, its edges, and the picture's verdict."""
        s, found = self.settings, []
        draws = np.random.default_rng(derive(seed, "candidates")).uniform(-s["jitter"], s["jitter"], s["candidates"])
        for factor in [0.0, *draws[1:]]:
            filled, edges = self.filled_along(model, inputs, s["sigma"] * (1 + factor))
            composed = completed(filled, inputs["image"], inputs["mask"])
            drawn = verdict(model.networks["edge_judge"], torch.cat([rgb_to_grey(composed), edges], 1))
            real = verdict(model.networks["colour_judge"], self.judged(composed, edges))
            found.append((filled, edges, real, drawn * real))
        filled, edges, real, _ = max(found, key=lambda each: each[3])
        return filled, edges, real

    def accepted(self, model: Model, found: float) -> bool:
        """Whether S5 takes a filling with this verdict for real."""
        judge: Any = model.networks["colour_judge"]
        return found > self.settings["acceptance"] * float(judge.median)


def verdict(judge: nn.Module, shown: Tensor) -> float:
    """A discriminator's verdict on one picture, N = 1: the sigmoid of its patches' mean score."""
    height, width = shown.shape[-2:]
    shown = F.pad(shown, (0, max(0, JUDGED - width), 0, max(0, JUDGED - height)), mode="replicate")
    return float(torch.sigmoid(judge(shown).float().mean()))


def sharpened(image: Tensor, edges: Tensor, mask: Tensor, steps: int) -> Tensor:
    """Osher and Rudin's shock filter (SIAM Journal on Numerical Analysis, 1990) in the hole along edges: `steps` times
    x - 0.4 sign(Laplacian of x blurred by sigma 1) |gradient of x|, the gradient of the smaller one-sided differences.

    image N x C x H x W; edges N x 1 x H x W above 0.5. Pixels beyond `REACH` from an edge and known ones stay.
    """
    near = F.max_pool2d((edges > 0.5).float(), 2 * REACH + 1, 1, REACH) * mask
    for _ in range(steps):
        down, right = (_smaller_difference(image, axis) for axis in (-2, -1))
        bend = _laplacian(_blurred(image))
        turn = torch.where(bend.abs() > FLAT, bend.sign(), 0)
        image = image - 0.4 * near * turn * (down.square() + right.square()).sqrt()
    return image


def _smaller_difference(x: Tensor, axis: int) -> Tensor:
    """Of the differences to both neighbours the smaller one where they have one sign, else 0 (`minmod`)."""
    padded = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, -1, 1)], axis)
    steps = padded.diff(dim=axis)
    before, after = steps.narrow(axis, 0, x.shape[axis]), steps.narrow(axis, 1, x.shape[axis])
    return torch.where(before * after > 0, torch.where(before.abs() < after.abs(), before, after), 0)


def _laplacian(x: Tensor) -> Tensor:
    """The four neighbours less four times itself, edges repeated."""
    around = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]) - 4 * x


def _blurred(x: Tensor) -> Tensor:
    """A Gaussian of sigma 1 cut off at 4 pixels, edges repeated."""
    row = torch.exp(-torch.arange(-4.0, 5.0, device=x.device).square() / 2)
    kernel = torch.outer(row, row) / row.sum() ** 2
    return F.conv2d(F.pad(x, (4, 4, 4, 4), mode="replicate"), kernel.expand(x.shape[1], 1, 9, 9), groups=x.shape[1])


METHOD = EdgeTvPatent
