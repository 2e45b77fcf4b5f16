"""A sub-pixel super-resolution GAN with two self-attention modules (Li, Zheng, Yan, Tao, Qi, Wen, Mathematical
Biosciences and Engineering 18(5), 2021), on the generator and discriminator of SRGAN (Ledig et al., CVPR 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.errors import UserError
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.self_attention import SelfAttention


class ResidualBlock(nn.Module):
    """x + Conv-BN-PReLU-Conv-BN of x, 3 x 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.PReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        return x + self.body(x)


class Generator(nn.Module):
    """N x 3 x h x w in [0, 1] to N x 3 x sh x sw, s = 2, 4 or 8; any size.

    Conv 9 x 9 and PReLU; `blocks` residual blocks with an attention after the first half and one at the end; Conv 3 x 3
    and BN plus the first features; log2(s) sub-pixel layers (Conv 3 x 3, PixelShuffle(2), PReLU); Conv 9 x 9.
    `attention=False` is SRGAN's generator (SRResNet); `pool` and `spectral`: see `SelfAttention`. `tanh`: the network
    works in [-1, 1] and ends in a hyperbolic tangent (`lr` and the result stay in [0, 1]).
    """

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64, attention: bool = True, pool: bool = False,
                 spectral: bool = False, tanh: bool = False) -> None:
        super().__init__()
        self.tanh = tanh
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        half = blocks // 2
        body: list[nn.Module] = [ResidualBlock(width) for _ in range(half)]
        body += [SelfAttention(width, spectral=spectral, pool=pool)] if attention else []
        body += [ResidualBlock(width) for _ in range(blocks - half)]
        body += [SelfAttention(width, spectral=spectral, pool=pool)] if attention else []
        self.body = nn.Sequential(*body, nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        up: list[nn.Module] = []
        for _ in range(int(math.log2(scale))):
            up += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.up = nn.Sequential(*up)
        self.tail = nn.Conv2d(width, 3, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        """Not clipped."""
        first = self.head(2 * lr - 1 if self.tanh else lr)
        made = self.tail(self.up(first + self.body(first)))
        return (made.tanh() + 1) / 2 if self.tanh else made


class Discriminator(nn.Module):
    """SRGAN's: N x 3 x side x side to N x 1 logits (positive: real). `side`: at least 16, its crops' size."""

    def __init__(self, side: int = 96, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        channels = width
        for out, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
            layers += [nn.Conv2d(channels, out * width, 3, stride, 1), nn.BatchNorm2d(out * width), nn.LeakyReLU(0.2)]
            channels = out * width
        last = math.ceil(side / 16)
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * last * last, hidden), nn.LeakyReLU(0.2),
                                 nn.Linear(hidden, 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Logits."""
        return self.net(picture)


class SelfAttentionSubPixelSR(Method):
    """Squared error first, then adversarial with a squared error and, when the run names features, a perceptual one."""

    task = "super_resolution"
    reading = ("the paper's text was not available: attention after half of the residual blocks and after the last, "
               "1.0 x pixel error kept in the adversarial phase, loss weights and steps of SRGAN; without `features:` "
               "there is no perceptual term, with it the features are those of the run it names; the options "
               "`skip` and `settle` for short trainings are ours")
    restores_with = ("generator",)
    tile = 128
    overlap = 32
    paper: ClassVar[dict[str, Any]] = {
        "scales": [4], "blocks": 16, "width": 64, "attention": True, "attn_pool": False, "attn_spectral": False,
        "tanh": False, "skip": "none", "d_width": 64, "d_hidden": 1024,
        "pixel_weight": 1.0, "perceptual_weight": 0.006, "perceptual_tap": "relu5_4", "adversarial_weight": 1e-3,
        "lr": 1e-4, "schedule": "step", "steps": {"pixel": 1_000_000, "settle": 0, "gan": 200_000}, "batch": 16,
        "patch": 96, "ema": 0.0,
    }
    """`scales`: exactly one of 2, 4, 8. `schedule`: `step` (constant; in the adversarial phase a tenth after its half)
    or `cosine` (to a tenth over the pixel and settle phases, a tenth from then on). `attn_pool`: large maps pool keys
    and values, so that tiles are larger; `attn_spectral`: spectral normalisation in the attention modules; `tanh`: the
    network works in [-1, 1].

    reading: two options for short trainings, off in the paper's recipe. `skip: bicubic`: the network makes what bicubic
    interpolation lacks, with a last layer that starts at a hundredth of its usual size; without it 2,000 steps are too
    few to learn to pass colours on, which costs most on smooth pictures. Steps of `settle`: the pixel phase goes on
    with the statistics of batch normalisation held, as they are when restoring.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the settings that only this method knows."""
        super().__init__(settings)
        if self.settings["scales"] not in ([2], [4], [8]):
            raise UserError(f"scales of sa_subpixel_sr is {self.settings['scales']!r}; it must be [2], [4] or [8].")
        if self.settings["schedule"] not in ("step", "cosine"):
            raise UserError(f"schedule of sa_subpixel_sr is {self.settings['schedule']!r}; it must be step or cosine.")
        if self.settings["tanh"] and self.settings["skip"] == "bicubic":
            raise UserError("tanh of sa_subpixel_sr makes whole pictures, skip: bicubic differences; set one.")
        if self.settings["skip"] not in ("none", "bicubic"):
            raise UserError(f"skip of sa_subpixel_sr is {self.settings['skip']!r}; it must be none or bicubic.")
        self.scale = int(self.settings["scales"][0])
        if self.settings["attn_pool"]:
            self.tile = 256  # as many keys as the plain attention has on a tile of 128

    def unsupported(self, degradation: str) -> str | None:
        """Only the scale that the generator is built for, and its variants."""
        return None if degradation.partition("_")[0] == f"x{self.scale}" else f"made for x{self.scale}"

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        given = self.settings
        side = given["patch"] - given["patch"] % self.scale
        generator = Generator(self.scale, given["blocks"], given["width"], given["attention"], given["attn_pool"],
                              given["attn_spectral"], given["tanh"])
        if given["skip"] == "bicubic":
            with torch.no_grad():
                for part in generator.tail.parameters():
                    part.mul_(0.01)
        return {"generator": generator,
                "discriminator": Discriminator(side, given["d_width"], given["d_hidden"])}

    def phases(self) -> list[Phase]:
        """`pixel`: the generator alone; `settle`: the same with its normalisation statistics held, as when restoring.
        `gan`: the discriminator, then the generator, on the same restored pictures; statistics stay held if they were.
        """
        steps, step = self.settings["steps"], self.settings["schedule"] == "step"
        settle = steps.get("settle", 0)
        early = _constant if step else _Cosine(0, steps["pixel"] + settle)
        after = _constant if step else _Cosine(steps["pixel"], steps["pixel"] + settle)
        late = _tenth_after_half if step else _a_tenth
        held = ["generator"] if settle else []

        def generator(loss: Any, schedule: Any) -> Player:
            return Player("generator", ["generator"], loss, self._adam, schedule=schedule)

        discriminator = Player("discriminator", ["discriminator"], self.discriminator_loss, self._adam, schedule=late)
        return [Phase("pixel", steps["pixel"], [generator(self.pixel_loss, early)]),
                Phase("settle", settle, [generator(self.pixel_loss, after)], held),
                Phase("gan", steps["gan"], [discriminator, generator(self.generator_loss, late)], held)]

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error on RGB of 0 ... 1."""
        return {"mse": functional.mse_loss(self._restored(context).float(), context.target["hr"])}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of real and restored."""
        judge = context.networks["discriminator"]
        return {"real": functional.softplus(-judge(context.target["hr"]).float()).mean(),
                "fake": functional.softplus(judge(self._restored(context).detach()).float()).mean()}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D, the pixel error, and the squared error of features when the run has them."""
        restored, truth = self._restored(context), context.target["hr"]
        logits = context.networks["discriminator"](restored).float()
        terms = {"adversarial": self.settings["adversarial_weight"] * functional.softplus(-logits).mean(),
                 "mse": self.settings["pixel_weight"] * functional.mse_loss(restored.float(), truth)}
        features = context.slots.get("features")
        if features is not None and self.settings["perceptual_weight"] > 0:
            tap = self.settings["perceptual_tap"]
            with torch.no_grad():
                wanted = features(truth)[tap]
            error = functional.mse_loss(features(restored.float())[tap].float(), wanted.float())
            terms["perceptual"] = self.settings["perceptual_weight"] * error
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        return {"sr": self._enlarge(model.networks["generator"], inputs["lr"]).float().clip(0, 1)}

    def _restored(self, context: Context) -> Tensor:
        return context.once("sr", lambda: self._enlarge(context.networks["generator"], context.inputs["lr"]))

    def _enlarge(self, generator: nn.Module, lr: Tensor) -> Tensor:
        made = generator(lr)
        return made if self.settings["skip"] == "none" else imresize(lr, self.scale) + made

    def _adam(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.9, 0.999))


def _constant(step: int, steps: int) -> float:
    return 1.0


def _tenth_after_half(step: int, steps: int) -> float:
    return 1.0 if 2 * step < steps else 0.1


def _a_tenth(step: int, steps: int) -> float:
    return 0.1


class _Cosine:
    """From 1 to a tenth over `whole` steps, of which `before` were done in earlier phases."""

    def __init__(self, before: int, whole: int) -> None:
        self.before, self.whole = before, whole

    def __call__(self, step: int, steps: int) -> float:
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (self.before + step) / max(1, self.whole)))


METHOD = SelfAttentionSubPixelSR
