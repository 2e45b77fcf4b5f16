"""CollaGAN: one generator for whichever contrast is missing, taught by making every other contrast again from its own.

Source: Lee, Kim, Moon, Ye, "CollaGAN: collaborative GAN for missing image data imputation", CVPR 2019, in the form for
magnetic resonance; method card `collagan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.similarity import ssim
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.tasks.contrast_synthesis.task import CONTRASTS, missing_contrasts
from restore_ml.training.schedules import cosine

SLOPE = 0.2


class CollaGan(Method):
    """The given contrasts and a plane a contrast that says which one is wanted -> that contrast.

    A step makes the wanted contrast x' of a slice, and then each of the M - 1 others once more from x' and the true
    rest (multiple cycle consistency). The generator's terms: `cycle` times the sum over these of the mean absolute
    difference, `ssim` times the sum of -log((1 + SSIM) / 2), `adversarial` times the sum of the least-squares scores of
    all M pictures, `classification` times that of the cross-entropies of which contrast they seem to be; `direct` times
    the mean absolute difference of x' (0 for magnetic resonance, 10 for faces), `cycle_l2` and `direct_l2` times the
    squared differences of both kinds (0 in the authors' program, which has them). The discriminator: the mean score of
    the true pictures, that of the made ones, and the cross-entropy of the true ones.

    `contrasts`: those that the networks know (M of them). `cycled`: so many of the M - 1 others are made again in a
    step (the paper: all), drawn anew each step; where they are fewer their terms stand for all. `most_missing`: up to
    so many are hidden from the first pass, the wanted one among them. `scale`: all contrasts of a slice are multiplied
    by one number from 1 - scale to 1 + scale. `disc_steps`: steps of the discriminator for one of the generator;
    `steps` counts those of the discriminator. `schedule`: `stairs`, 0.99 times the rates after each 400 steps of the
    generator, or `cosine` to zero at the end. `patch` must be that of whole slices: instance normalisation takes levels
    away, and the networks find them again by how much of what they see is head, which is another share in a crop.

    reading: where the card says too little, the authors' program (jongcye/CollaGAN_MRI): sums, pairs of true and made
    pictures, first weights, the stairs; there x' is scored twice. SSIM of the cycled pictures alone, with Wang's
    window; the cycled passes are given everything else; how many contrasts are hidden; one factor a slice; leaky ReLU
    throughout the discriminator; the number of slices in the recipe's 1000 epochs (224).
    """

    task = "contrast_synthesis"
    paper: ClassVar[dict[str, Any]] = {
        "contrasts": ["t1", "t1ce", "t2", "flair"], "levels": 4, "width": 64, "disc_width": 4,
        "cycle": 10.0, "ssim": 1.0, "adversarial": 1.0, "classification": 1.0, "direct": 0.0,
        "cycle_l2": 0.0, "direct_l2": 0.0, "cycled": 3,
        "most_missing": 3, "scale": 0.1, "disc_steps": 2, "lr": 1e-5, "disc_lr": 1e-5, "betas": [0.5, 0.999],
        "schedule": "stairs", "steps": 448_000, "batch": 1, "patch": 240, "ema": 0.0,
    }
    choices: ClassVar = {"schedule": ("stairs", "cosine")}
    reading = ("how often x' is scored, SSIM's window, what is hidden and scaled, the discriminator's activations, "
               "number of steps")
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop, and that the width can be shared by the contrasts."""
        super().__init__(settings)
        names = self.settings["contrasts"]
        unknown = [name for name in names if name not in CONTRASTS]
        if unknown or len(set(names)) != len(names) or len(names) < 2:
            raise self.wrong("contrasts", f"it must be two or more of {', '.join(CONTRASTS)}, each once")
        self.channels = [CONTRASTS.index(name) for name in names]
        if self.settings["width"] % len(names):
            raise self.wrong("width", f"it must be a multiple of {len(names)}, the number of contrasts")
        self.multiple = 2 ** self.settings["levels"]
        least = max(self.multiple, 16)  # the discriminator halves four times, whatever the generator does
        if self.settings["patch"] % least or self.settings["patch"] < 2 * least:
            raise self.wrong("patch", f"it must be a multiple of {least}, and {2 * least} at least")

    def unsupported(self, degradation: str) -> str | None:
        """Contrasts that the networks do not know cannot be made."""
        unknown = [CONTRASTS[channel] for channel in missing_contrasts(degradation) if channel not in self.channels]
        return f"made without {', '.join(unknown)}" if unknown else None

    def build(self) -> dict[str, nn.Module]:
        """The generator, and a discriminator for crops of `patch` pixels."""
        s = self.settings
        return {"generator": Generator(len(self.channels), s["width"], s["levels"]),
                "discriminator": Discriminator(len(self.channels), s["disc_width"], s["patch"])}

    def phases(self) -> list[Phase]:
        """The discriminator plays each step, the generator each `disc_steps`-th."""
        s = self.settings
        schedule = cosine() if s["schedule"] == "cosine" else lambda step, _: 0.99 ** (step // (400 * s["disc_steps"]))

        def adam(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
            return lambda parameters: torch.optim.Adam(parameters, rate, tuple(s["betas"]))

        return [Phase("train", s["steps"], [
            Player("discriminator", ["discriminator"], self.discriminator_loss, adam(s["disc_lr"]), schedule=schedule),
            Player("generator", ["generator"], self.generator_loss, adam(s["lr"]), every=s["disc_steps"],
                   schedule=schedule)])]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Least squares over true and made pictures, and the class of the true ones."""
        s, passes = self.settings, self.passes(context)
        judge, count = context.networks["discriminator"], len(self.channels)
        real, classes = _judged(judge, passes.truth)
        fake, _ = _judged(judge, passes.made.detach())
        return {"real": s["adversarial"] * _mean((real - 1).square(), passes.there),
                "fake": s["adversarial"] * _mean(fake.square(), passes.counted),
                "class": s["classification"] * _mean(_class_error(classes, torch.arange(count)), passes.there)}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """See the class; contrasts that a patient does not have count nowhere."""
        s, passes = self.settings, self.passes(context)
        scores, classes = _judged(context.networks["discriminator"], passes.made)
        similar = torch.stack([ssim(made[:, None], true[:, None]) for made, true in zip(
            passes.made.unbind(1), passes.true.unbind(1), strict=True)], 1)

        def averaged(values: Tensor) -> Tensor:
            """N x K -> K: the mean over the slices."""
            return (values * passes.counted).mean(0)

        def others(values: Tensor) -> Tensor:
            """K -> the sum over the cycled pictures; where a step makes some of them alone, they stand for all."""
            return values[1:].sum() * (len(self.channels) - 1) / (len(values) - 1)

        error = passes.made - passes.true
        off, square = averaged(error.abs().mean((2, 3))), averaged(error.square().mean((2, 3)))
        unlike = averaged(-torch.log((1 + similar) / 2))
        fooled, named = averaged((scores - 1).square().mean(2)), averaged(_class_error(classes, passes.which))
        terms = {"cycle": s["cycle"] * others(off), "ssim": s["ssim"] * others(unlike),
                 "adversarial": s["adversarial"] * (fooled[0] + others(fooled)),
                 "class": s["classification"] * (named[0] + others(named))}
        extra = {"direct": off[0], "cycle_l2": others(square), "direct_l2": square[0]}
        return terms | {name: s[name] * value for name, value in extra.items() if s[name]}

    def passes(self, context: Context) -> Passes:
        """What the generator makes in a step, once for both players; without gradients where it does not play."""
        plays = context.step % self.settings["disc_steps"] == 0
        return context.once("passes", lambda: self._passes(context, plays))

    def _passes(self, context: Context, plays: bool) -> Passes:
        generator, count = context.networks["generator"], len(self.channels)
        truth, there = context.target["truth"][:, self.channels], context.target["there"][:, self.channels]
        seen, wanted = (context.inputs[name][:, self.channels] for name in ("contrasts", "wanted"))
        scale = self.settings["scale"]
        factor = context.uniform(truth[:, :1, :1, :1], 1 - scale, 1 + scale)
        truth, seen = truth * factor, seen * factor
        here, many = wanted[:, :, None, None], min(self.settings["cycled"], count - 1)
        turns = 1 + torch.randperm(count - 1, generator=context.generator, device=context.generator.device)[:many]
        others = [wanted.roll(turn, 1) for turn in turns.tolist()]
        with torch.set_grad_enabled(plays and torch.is_grad_enabled()):
            first = generator(seen, wanted).float()
            whole = here * first + (1 - here) * truth
            again = generator(whole.repeat(many, 1, 1, 1), torch.cat(others)).float()
            made = torch.cat([first, *again.split(len(truth))], 1)
        planes = torch.stack([wanted, *others], 1)
        return Passes(truth, there, made, torch.einsum("nkm,nmhw->nkhw", planes, truth),
                      torch.einsum("nkm,nm->nk", planes, there), planes.argmax(2))

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Each wanted contrast in a pass of its own, from those that are given: N x 5 x H x W in [0, 1]."""
        made, seen = inputs["contrasts"].clone(), inputs["contrasts"][:, self.channels]
        for number, channel in enumerate(self.channels):
            asked = inputs["wanted"][:, channel] > 0
            if asked.any():
                wanted = F.one_hot(torch.tensor(number), len(self.channels)).to(seen).expand(len(seen), -1)
                picture = model.networks["generator"](seen, wanted).float()[:, 0]
                made[:, channel] = torch.where(asked[:, None, None], picture, made[:, channel])
        return {"contrasts": made}


class Passes(NamedTuple):
    """One step: `truth`, the true pictures, N x M x H x W, and which of them are `there`, N x M of 0 and 1. `made`: the
    wanted contrast from those that were given, then others from it and the true rest, N x K x H x W; `true`: what they
    should be; `counted`: N x K, whether that is there; `which`: N x K, the contrasts' numbers."""

    truth: Tensor
    there: Tensor
    made: Tensor
    true: Tensor
    counted: Tensor
    which: Tensor


def _judged(judge: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """N x K x H x W -> patch scores, N x K x places, and logits of classes, N x K x M."""
    count, number = pictures.shape[:2]
    scores, classes = judge(pictures.flatten(0, 1)[:, None])
    return scores.float().reshape(count, number, -1), classes.float().reshape(count, number, -1)


def _class_error(classes: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy of each picture to be the contrast `right` (N x K, or K for all), N x K."""
    right = right.to(classes.device).expand(classes.shape[:2])
    return F.cross_entropy(classes.flatten(0, 1), right.flatten(), reduction="none").view_as(right)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """Mean over the pictures that are there; `values`: N x K, or N x K x places, which are averaged first."""
    values = values.mean(2) if values.ndim == 3 else values
    return (values * there).sum() / there.sum()


class ConditionalAttention(nn.Module):
    """CCAM: gates of the channels, from their means and from which contrast is wanted.

    N x C x H x W and N x M -> x times a gate in (0, 1) a channel: two layers of C / 4 with leaky ReLU, one of C with a
    sigmoid.
    """

    def __init__(self, contrasts: int, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.gate = nn.Sequential(nn.Linear(contrasts + channels, inner), nn.LeakyReLU(SLOPE),
                                  nn.Linear(inner, inner), nn.LeakyReLU(SLOPE), nn.Linear(inner, channels),
                                  nn.Sigmoid())

    def forward(self, x: Tensor, wanted: Tensor) -> Tensor:
        """The gated channels."""
        return x * self.gate(torch.cat([wanted.to(x), x.mean((2, 3))], 1))[:, :, None, None]


def _glorot(network: nn.Module) -> None:
    """The authors' first weights (Glorot and Bengio, 2010): uniform, of variance 2 / (fan in + fan out); biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _twice(before: int, after: int) -> nn.Sequential:
    """Twice: convolution, instance normalisation, leaky ReLU."""
    return nn.Sequential(*(layer for channels in (before, after) for layer in (
        nn.Conv2d(channels, after, 3, padding=1), nn.InstanceNorm2d(after, affine=True), nn.LeakyReLU(SLOPE))))


class Branch(nn.Module):
    """The encoder of one contrast: levels, halved by 2x2 convolutions of stride 2 without bias."""

    def __init__(self, contrasts: int, width: int, levels: int) -> None:
        super().__init__()
        widths = [width * 2 ** level for level in range(levels)]
        self.levels = nn.ModuleList(_twice(wide if level else 1 + contrasts, wide) for level, wide in enumerate(widths))
        self.down = nn.ModuleList(nn.Conv2d(wide, 2 * wide, 2, 2, bias=False) for wide in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps of the levels, and what is handed to the bottleneck."""
        maps = []
        for level, down in zip(self.levels, self.down, strict=True):
            maps.append(level(x))
            x = down(maps[-1])
        return [*maps, x]


class Generator(nn.Module):
    """N x M x H x W and N x M (1 at the wanted contrast) -> N x 1 x H x W, at least 0; H and W multiples of 2^levels.

    A U-Net with an encoder for each contrast, which sees its contrast and M planes that say which one is wanted; what
    the wanted channel holds is not seen. Conditional attention behind the bottleneck and all levels of the decoder but
    the last. 34,123,520 parameters for 4 contrasts, 4 levels and width 64, 2,137,664 with width 16.
    """

    def __init__(self, contrasts: int, width: int, levels: int = 4) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(contrasts, width // contrasts, levels) for _ in range(contrasts))
        deep = width * 2 ** levels
        self.bottleneck, self.attend = _twice(deep, deep), nn.ModuleList([ConditionalAttention(contrasts, deep)])
        self.up, self.levels = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(levels)):
            wide = width * 2 ** level
            self.up.append(nn.ConvTranspose2d(2 * wide, wide, 2, 2))
            self.levels.append(_twice(2 * wide, wide))
            if level:
                self.attend.append(ConditionalAttention(contrasts, wide))
        self.last = nn.Conv2d(width, 1, 1, bias=False)
        _glorot(self)

    def forward(self, x: Tensor, wanted: Tensor) -> Tensor:
        """The wanted contrast."""
        planes = wanted.to(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = x * (1 - planes)
        maps = [branch(torch.cat([x[:, [number]], planes], 1)) for number, branch in enumerate(self.branches)]
        *skips, y = (torch.cat(level, 1) for level in zip(*maps, strict=True))
        y = self.attend[0](self.bottleneck(y), wanted)
        for number, (up, level) in enumerate(zip(self.up, self.levels, strict=True), 1):
            y = level(torch.cat([skips[-number], up(y)], 1))
            if number < len(self.attend):
                y = self.attend[number](y, wanted)
        return F.relu(self.last(y))


class Discriminator(nn.Module):
    """N x 1 x P x P -> patch scores, N x 1 x P/16 x P/16, and logits of the M contrasts, N x M. P is a multiple of 16.

    Three paths of different reach see the picture and meet at a quarter of its size.
    """

    def __init__(self, contrasts: int, width: int, side: int) -> None:
        super().__init__()
        w = width
        self.fine = nn.Sequential(*_conv(1, w), *_conv(w, w), *_conv(w, w), *_conv(w, 4 * w, 4, 4, 0))
        self.middle = nn.Sequential(*_conv(1, w), nn.MaxPool2d(2), *_conv(w, 2 * w), nn.MaxPool2d(2),
                                    *_conv(2 * w, 4 * w))
        self.coarse = nn.Sequential(*_conv(1, 4 * w, 4, 4, 0), *_conv(4 * w, 4 * w), *_conv(4 * w, 4 * w),
                                    *_conv(4 * w, 4 * w))
        self.joined = nn.Sequential(*_conv(12 * w, 8 * w, 4, 2), *_conv(8 * w, 16 * w, 4, 2), nn.Dropout(0.5))
        self.score = nn.Conv2d(16 * w, 1, 3, padding=1)
        self.classes = nn.Conv2d(16 * w, contrasts, side // 16)
        _glorot(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and logits."""
        maps = self.joined(torch.cat([self.fine(x), self.middle(x), self.coarse(x)], 1))
        return self.score(maps), self.classes(maps).flatten(1)


def _conv(before: int, after: int, side: int = 3, stride: int = 1, padding: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, side, stride, padding), nn.LeakyReLU(SLOPE)


METHOD = CollaGan
