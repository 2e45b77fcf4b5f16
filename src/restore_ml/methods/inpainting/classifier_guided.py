"""Filling by what a trained classifier would like to see: the pixels of the hole are moved until the picture looks like
its class and like the training pictures nearest to it, smooth and like its own patches.

Sources: patent CN 110689495 A (a pre-trained network's output layer guides the filling, total variation keeps edges);
Fawzi, Samulowitz, Turaga, Frossard, "Image inpainting through neural networks hallucinations", IVMSP 2016; method card
`classifier_guided`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.channel_means import channel_means
from restore_ml.nn.declared_cases import left_out
from restore_ml.nn.hole_filling import harmonic
from restore_ml.seeds import derive
from restore_ml.training.on_picture import optimise
from restore_ml.training.schedules import cosine

TERMS = ("class", "features", "variation", "graph")
REBUILT = 50
"""Steps after which the graph of alike patches is made anew."""


class Head(nn.Module):
    """The classifier's output layer over the channel means of a feature map, N x channels -> N x classes. It also keeps
    `memory`, each class's mean channel means in training (classes x channels), and `count`, of how many crops."""

    memory: Tensor
    count: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(channels, classes)
        self.register_buffer("memory", torch.zeros(classes, channels))
        self.register_buffer("count", torch.zeros(classes))

    def forward(self, means: Tensor) -> Tensor:
        """Logits."""
        return self.out(means)

    @torch.no_grad()
    def remember(self, means: Tensor, classes: Tensor) -> None:
        """Add crops to their classes' means."""
        for each, number in zip(means, classes.tolist(), strict=True):
            self.count[number] += 1
            self.memory[number] += (each - self.memory[number]) / self.count[number]


class ClassifierGuided(Method):
    """Only the classifier's output layer is trained, over a frozen feature network: which training picture a crop is of
    (a hash of its id modulo `classes`), `head_steps` steps at `head_lr`.

    Restoring starts from the steady state of heat and moves the hole's pixels by `steps` of Adam at a rate that falls
    from `lr` to 0, on each of `scales` (halved before the last one), down the sum of
    class: the cross entropy of the class posterior with that of the start, sharpened by the temperature 1/2;
    features: the mean squared differences from the channel means of the `nearest` remembered training pictures,
    weighted by a softmax of minus these squared distances at the start;
    variation: total variation of all channels together on the hole widened by a pixel, eps 0.001;
    graph: squared differences between each missing pixel and the 8 whose 5 x 5 patches are most alike within `window` x
    `window`, weighted by exp(-d^2 / 0.1^2), d^2 the patches' mean squared difference, made anew every 50 steps.
    `weights`: what each term is at the start, measured once, after which its factor stays. The classifier sees the
    picture shifted by up to 2 pixels each step, and its gradient is blurred (sigma 1) in the first half of the steps.
    `tap`: the feature map, with `channels` channels. `cases`: the degradations that the run is shown on (none named:
    all).

    reading: all of it but the output layer's use and the total variation, as the sources say no more; a patch with a
    missing centre counts as twice as far; pictures carry no label, so the class is the start's own.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "tap": "relu5_4", "channels": 512, "classes": 1000, "head_steps": 100_000, "head_lr": 1e-3, "batch": 32,
        "patch": 224, "ema": 0.0, "weights": [1.0, 1.0, 0.5, 0.5], "nearest": 5, "window": 21, "scales": 2,
        "steps": 300, "lr": 0.02, "cases": [],
    }
    reading = "the energy, the optimiser, the classes (which training picture a crop is of)"
    stored_networks = ("head",)
    restoring_slots = ("features",)
    per_picture = True

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for another number of weights."""
        super().__init__(settings)
        if len(self.settings["weights"]) != len(TERMS):
            raise self.wrong("weights", f"it must have a number for each of {', '.join(TERMS)}")

    def unsupported(self, degradation: str) -> str | None:
        """Holes of any kind."""
        return left_out(self.settings["cases"], degradation)

    def build(self) -> dict[str, nn.Module]:
        """The output layer."""
        return {"head": Head(self.settings["channels"], self.settings["classes"])}

    def phases(self) -> list[Phase]:
        """One, with one player; the rate falls to 0 as a half cosine."""
        s = self.settings
        player = Player("head", ["head"], self.loss, lambda p: torch.optim.Adam(p, s["head_lr"]), schedule=cosine(),
                        after=self.remember)
        return [Phase("train", s["head_steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Cross entropy of the pictures' classes."""
        logits = context.networks["head"](self._seen(context))
        return {"class": F.cross_entropy(logits, self._classes(context.ids).to(logits.device))}

    def remember(self, context: Context) -> None:
        """Put the step's crops into the memory."""
        head = context.networks["head"]
        assert isinstance(head, Head)
        head.remember(self._seen(context), self._classes(context.ids))

    def _seen(self, context: Context) -> Tensor:
        with torch.no_grad():
            return context.once("means", lambda: self.means(context.slots.get("features"), context.target["image"]))

    def _classes(self, ids: list[str]) -> Tensor:
        return torch.tensor([derive(identity) % self.settings["classes"] for identity in ids])

    def means(self, features: Any, pictures: Tensor) -> Tensor:
        """The channel means of the tap, N x `channels`."""
        return channel_means(features, pictures, self.settings, "classifier_guided")

    # --- restoring ----------------------------------------------------------------------------------------------------

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Each picture by itself; where nothing is known it becomes mid grey."""
        return {"image": torch.cat([self.fill(model, image[None], mask[None] > 0.5, seed)
                                    for image, mask in zip(inputs["image"], inputs["mask"], strict=True)])}

    def fill(self, model: Model, image: Tensor, hole: Tensor, seed: int) -> Tensor:
        """1 x 3 x H x W and 1 x 1 x H x W (bool) -> the filled picture."""
        if hole.all():
            return torch.full_like(image, 0.5)
        start = heated(image, hole)
        if not hole.any():
            return start
        energy = Energy(self, model, start)
        draws = torch.Generator().manual_seed(derive(seed, "shifts"))
        filled = None
        for scale in reversed(range(self.settings["scales"])):
            known, missing = (start, hole) if scale == 0 else _smaller(start, hole, 2 ** scale)
            begun = known if filled is None else torch.where(missing, F.interpolate(
                filled, known.shape[-2:], mode="bilinear", align_corners=False), known)
            filled = self.descend(energy, begun, missing, draws)
        assert filled is not None
        return filled

    def descend(self, energy: Energy, start: Tensor, hole: Tensor, draws: torch.Generator) -> Tensor:
        """Move the hole's pixels from `start` on one scale."""
        steps, lr = self.settings["steps"], self.settings["lr"]
        pixels, movers = start.clone().requires_grad_(), list[torch.optim.Optimizer]()
        falling = cosine()

        def optimiser(parameters: list[Tensor]) -> torch.optim.Optimizer:
            movers.append(torch.optim.Adam(parameters, lr))
            return movers[0]

        def loss(step: int) -> Tensor:
            picture = torch.where(hole, pixels, start)
            if step % REBUILT == 0:
                energy.rebuild(picture.detach(), hole)
            shift = torch.randint(-2, 3, (2,), generator=draws).tolist()
            return energy(picture, hole, shift, blurred if step < steps / 2 else None)

        def after(step: int) -> None:
            pixels.clamp_(0, 1)
            movers[0].param_groups[0]["lr"] = lr * falling(step + 1, steps)

        optimise([pixels], loss, optimiser, steps, after)
        return torch.where(hole, pixels.detach(), start)


class Energy:
    """What is made least, for one picture: the terms by name and their factors, which are set at the first call."""

    def __init__(self, method: ClassifierGuided, model: Model, start: Tensor) -> None:
        """`start`: the picture filled by heat, from which the class and the nearest training pictures are taken."""
        self.method, self.features = method, model.slots.get("features")
        head = model.networks["head"]
        assert isinstance(head, Head)
        self.head = head
        self.factors: dict[str, float] = {}
        means = method.means(self.features, start)
        self.wanted_class = F.softmax(2 * head(means), 1)  # temperature 1/2
        there = torch.nonzero(head.count > 0)[:, 0]
        apart = (head.memory[there] - means).square().mean(1)
        nearest = apart.argsort()[:method.settings["nearest"]]
        self.wanted, self.shares = head.memory[there[nearest]], F.softmax(-apart[nearest], 0)

    def rebuild(self, picture: Tensor, hole: Tensor) -> None:
        """Look anew for the patches that are alike."""
        self.graph = alike(picture[0].permute(1, 2, 0).cpu().numpy(), hole[0, 0].cpu().numpy(),
                           self.method.settings["window"])

    def terms(self, picture: Tensor, hole: Tensor, shift: list[int], soften: Callable[[Tensor], Tensor] | None
              ) -> dict[str, Tensor]:
        """Each term by name, not weighted; those of weight 0 are left out."""
        asked = {name for name, weight in zip(TERMS, self.method.settings["weights"], strict=True) if weight}
        made: dict[str, Tensor] = {}
        if asked & {"class", "features"}:
            seen = picture.clone()
            if soften is not None and seen.requires_grad:
                seen.register_hook(soften)
            means = self.method.means(self.features, shifted(seen, *shift))
            made["class"] = F.cross_entropy(self.head(means), self.wanted_class)
            made["features"] = self.shares @ (means - self.wanted).square().mean(1)
        made["variation"] = variation(picture, hole)
        if "graph" in asked:
            here, there, share = (part.to(picture.device) for part in self.graph)
            flat = picture[0].flatten(1)
            made["graph"] = (share * (flat[:, here, None] - flat[:, there]).square().sum(0)).sum(1).mean()
        return {name: value for name, value in made.items() if name in asked}

    def __call__(self, picture: Tensor, hole: Tensor, shift: list[int],
                 soften: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The weighted sum; the first call sets the factors so that each term is its weight."""
        made = self.terms(picture, hole, shift, soften)
        if not self.factors:
            weights = dict(zip(TERMS, self.method.settings["weights"], strict=True))
            self.factors = {name: weights[name] / max(value.item(), 1e-6) for name, value in made.items()}
        return sum((self.factors[name] * value for name, value in made.items()), torch.zeros((), device=picture.device))


def heated(image: Tensor, hole: Tensor) -> Tensor:
    """1 x 3 x H x W with the hole at the steady state of heat; what lies there is not read."""
    missing = hole[0, 0].cpu().numpy()
    values = torch.where(hole, torch.zeros_like(image), image)[0].permute(1, 2, 0).cpu().double().numpy()
    filled = harmonic(values, missing) if missing.any() else values
    return torch.from_numpy(filled).permute(2, 0, 1)[None].float().clamp(0, 1).to(image.device)


def _smaller(start: Tensor, hole: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Picture and hole on a coarser scale: means, and missing where any pixel is."""
    return (F.avg_pool2d(start, factor, ceil_mode=True, count_include_pad=False),
            F.max_pool2d(hole.float(), factor, ceil_mode=True) > 0)


def shifted(picture: Tensor, down: int, right: int) -> Tensor:
    """Moved by up to 2 pixels, edges repeated."""
    height, width = picture.shape[-2:]
    return F.pad(picture, (2, 2, 2, 2), mode="replicate")[..., 2 - down:2 - down + height, 2 - right:2 - right + width]


def blurred(gradient: Tensor) -> Tensor:
    """A Gaussian of sigma 1 over each channel, 0 beyond the picture."""
    line = torch.exp(-torch.arange(-3.0, 4.0) ** 2 / 2).to(gradient.device)
    kernel = torch.outer(line, line) / line.sum() ** 2
    return F.conv2d(gradient, kernel.expand(gradient.shape[1], 1, 7, 7), padding=3, groups=gradient.shape[1])


def variation(picture: Tensor, hole: Tensor, eps: float = 1e-3) -> Tensor:
    """The mean over the hole widened by a pixel of the length of the gradient, all channels in one (differences to the
    right and below, 0 beyond the picture)."""
    region = F.max_pool2d(hole.float(), 3, 1, 1)[0, 0] > 0
    right = F.pad(picture[..., 1:] - picture[..., :-1], (0, 1))
    below = F.pad(picture[..., 1:, :] - picture[..., :-1, :], (0, 0, 0, 1))
    length = (right.square() + below.square()).sum(1)[0].add(eps ** 2).sqrt()
    return length[region].mean()


def alike(picture: np.ndarray, hole: np.ndarray, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each missing pixel (H x W bool) of H x W x C the 8 pixels of most alike 5 x 5 patches: n, n x 8 flat indices
    and n x 8 weights. A patch with a missing centre counts as twice as far."""
    height, width, radius = *hole.shape, window // 2
    y, x = np.nonzero(hole)
    moves = [(down, right) for down in range(-radius, radius + 1) for right in range(-radius, radius + 1)
             if (down, right) != (0, 0) and abs(down) < height and abs(right) < width]
    padded = np.pad(picture.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), "edge")
    distances = np.full((len(y), len(moves)), np.inf, np.float32)
    for number, (down, right) in enumerate(moves):
        moved = padded[radius + down:radius + down + height, radius + right:radius + right + width]
        apart = cv2.blur(np.square(picture - moved).mean(2), (5, 5), borderType=cv2.BORDER_REFLECT_101)[y, x]
        inside = (y + down >= 0) & (y + down < height) & (x + right >= 0) & (x + right < width)
        missing = hole[np.clip(y + down, 0, height - 1), np.clip(x + right, 0, width - 1)]
        distances[:, number] = np.where(inside, apart * (1 + missing), np.inf)
    best = np.argsort(distances, axis=1, kind="stable")[:, :8]
    least = np.take_along_axis(distances, best, 1)
    there = np.array([down * width + right for down, right in moves])[best] + (y * width + x)[:, None]
    there = np.where(np.isfinite(least), there, (y * width + x)[:, None])
    return (torch.from_numpy(y * width + x), torch.from_numpy(there),
            torch.from_numpy(np.exp(-least / 0.1 ** 2).astype(np.float32)))


METHOD = ClassifierGuided
