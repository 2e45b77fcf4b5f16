"""A sub-pixel super-resolution GAN with two self-attention modules (Li, Zheng, Yan, Tao, Qi, Wen, Mathematical
Biosciences and Engineering 18(5), 2021), on the generator and discriminator of SRGAN (Ledig et al., CVPR 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.base.errors import SettingError
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import feature_error
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blocks import MIDDLE, sub_pixel
from restore_ml.nn.self_attention import SelfAttention
from restore_ml.training import schedules

BICUBIC: dict[int, tuple[list[tuple[float, float, float]], tuple[float, float, float]]] = {
    2: ([(0.11342, 1.02315, -0.13657)], (0.17157, 0.65686, 0.17157)),
    4: ([(0.10695, 1.02661, -0.13356), (0.32507, 0.60727, 0.06766)], (0.0, 1.0, 0.0)),
    8: ([(0.11272, 1.02032, -0.13304), (0.31088, 0.68932, -0.0002), (0.35024, 0.54618, 0.10358)], (0.0, 1.0, 0.0)),
}
"""By scale, for each sub-pixel layer the weights of three pixels for the output pixel a quarter of a pixel before their
middle, and the weights of three pixels in the last convolution. They were fitted by least squares so that all together
enlarge as Keys' cubic (a = -1/2) does: exactly for 2, within 0.3 % of its kernel's norm for 4 and 8. (The cubic's own
weights in each layer are another kernel, 0.3 dB worse on photographs at 4.)"""


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
        self.up = sub_pixel(scale, width)
        self.tail = nn.Conv2d(width, 3, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        """Not clipped."""
        first = self.head(2 * lr - 1 if self.tanh else lr)
        enlarged = self.tail(self.up(first + self.body(first)))
        return (enlarged.tanh() + 1) / 2 if self.tanh else enlarged

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Change the first weights, in place, so that the network enlarges about as bicubic interpolation does.

        The first three channels carry the colours, less their mean, so that zeros beyond the border are no black frame:
        a 1 in the first convolution, the weights of `BICUBIC` in each sub-pixel layer and in the last convolution,
        slopes of 1 between them. The body adds nothing at first (its last normalisation has gain 0: Goyal et al.,
        2017), the other channels a hundredth of what they would.
        """
        colours, first, last = range(3), self.head[0], self.body[-1]
        layers = [layer for layer in self.up if isinstance(layer, nn.Conv2d)]
        weights, smooth = BICUBIC[2 ** len(layers)]
        assert isinstance(first, nn.Conv2d) and first.bias is not None and self.tail.bias is not None
        assert isinstance(last, nn.BatchNorm2d)
        last.weight.zero_()
        for layer in (*self.head, *self.up):
            if isinstance(layer, nn.PReLU):
                layer.weight.fill_(1)
        for layer, taps in zip(layers, weights, strict=True):
            by_phase = (torch.tensor(taps), torch.tensor(taps[::-1]))  # of the output pixel before and behind
            assert layer.bias is not None
            layer.weight[:12].zero_()
            layer.bias[:12].zero_()
            for colour in colours:
                for phase in range(4):
                    kernel = torch.outer(by_phase[phase // 2], by_phase[phase % 2])
                    layer.weight[4 * colour + phase, colour] = kernel
        first.weight[:3].zero_()
        first.bias[:3] = -MIDDLE
        self.tail.weight.mul_(0.01)
        self.tail.weight[:, :3].zero_()
        self.tail.bias.fill_(MIDDLE)
        for colour in colours:
            first.weight[colour, colour, 4, 4] = 1
            self.tail.weight[colour, colour, 3:6, 3:6] = torch.outer(torch.tensor(smooth), torch.tensor(smooth))


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
               "1.0 x pixel error kept in the adversarial phase, loss weights and steps of SRGAN; large pictures "
               "are restored in tiles of 64 x 64, so that 4,096 positions attend to each other at most; without a run "
               "under features there is no perceptual term, with it the features are those of the run it names, in "
               "VGG19's layers those of relu5_4 as in SRGAN (after the ReLU) and in VGG16's, which end before, of "
               "relu5_3 or, at the profiles quick and cpu, of relu3_3; the setting start: interpolation for short "
               "trainings is ours; without attention (attention: false, the run srgan) it is SRGAN, which itself "
               "drops the pixel error in its adversarial phase and counts it in [-1, 1]")
    stored_networks = ("generator",)
    tile = 64
    overlap = 16
    paper: ClassVar[dict[str, Any]] = {
        "scales": [4], "blocks": 16, "width": 64, "attention": True, "attn_pool": False, "attn_spectral": False,
        "tanh": False, "start": "random", "d_width": 64, "d_hidden": 1024,
        "pixel_weight": 1.0, "perceptual_weight": 0.006, "perceptual_tap": "relu5_4", "adversarial_weight": 1e-3,
        "lr": 1e-4, "schedule": "step", "steps": {"pixel": 1_000_000, "gan": 200_000}, "batch": 16,
        "patch": 96, "ema": 0.0,
    }
    """`scales`: exactly one of 2, 4, 8. `schedule`: `step` (constant; in the adversarial phase a tenth after its half)
    or `cosine` (to a tenth over the pixel phase, a tenth from then on). `attn_pool`: large maps pool keys and values,
    so that tiles are larger; `attn_spectral`: spectral normalisation in the attention modules; `tanh`: the network
    works in [-1, 1].

    reading: `start: interpolation` (see `Generator.start_as_interpolation`) is for short trainings and changes first
    weights alone. From random ones some hundred steps are too few to learn to pass colours on.
    """
    choices: ClassVar = {"scales": ([2], [4], [8]), "schedule": ("step", "cosine"),
                         "start": ("random", "interpolation")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check what makes whole pictures against what makes differences."""
        super().__init__(settings)
        if self.settings["tanh"] and self.settings["start"] == "interpolation":
            raise SettingError("start: interpolation of sa_subpixel_sr passes colours on unchanged, which tanh does "
                               "not; set one of them.")
        self.scale = int(self.settings["scales"][0])
        if self.settings["attn_pool"]:
            self.tile = 128  # as many keys as the plain attention has on a tile of 64

    def unsupported(self, degradation: str) -> str | None:
        """Only the scale that the generator is built for, and its variants."""
        return None if degradation.partition("_")[0] == f"x{self.scale}" else f"made for x{self.scale}"

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        settings = self.settings
        side = settings["patch"] - settings["patch"] % self.scale
        generator = Generator(self.scale, settings["blocks"], settings["width"], settings["attention"],
                              settings["attn_pool"], settings["attn_spectral"], settings["tanh"])
        if settings["start"] == "interpolation":
            generator.start_as_interpolation()
        return {"generator": generator,
                "discriminator": Discriminator(side, settings["d_width"], settings["d_hidden"])}

    def phases(self) -> list[Phase]:
        """The generator by its pixel error, then discriminator and generator against each other."""
        return [self.pixel_phase(), self.adversarial_phase()]

    def pixel_phase(self) -> Phase:
        """`pixel`: the generator alone."""
        schedule = schedules.constant() if self.settings["schedule"] == "step" else schedules.cosine(0.1)
        player = Player("generator", ["generator"], self.pixel_loss, self._adam, schedule=schedule)
        return Phase("pixel", self.settings["steps"]["pixel"], [player])

    def adversarial_phase(self) -> Phase:
        """`gan`: the discriminator, then the generator, on the same restored pictures."""
        schedule = schedules.steps(2) if self.settings["schedule"] == "step" else schedules.constant(0.1)
        return Phase("gan", self.settings["steps"]["gan"], [
            Player("discriminator", ["discriminator"], self.discriminator_loss, self._adam, schedule=schedule),
            Player("generator", ["generator"], self.generator_loss, self._adam, schedule=schedule)])

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error on RGB of 0 ... 1."""
        return {"mse": functional.mse_loss(self._restored(context), context.target["hr"])}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of real and restored."""
        judge = context.networks["discriminator"]
        return discriminator_terms("bce", judge(context.target["hr"]), judge(self._restored(context).detach()))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D, the pixel error, and the squared error of features when the run has them."""
        settings, restored, truth = self.settings, self._restored(context), context.target["hr"]
        judged = context.networks["discriminator"](restored)
        terms = {"adversarial": settings["adversarial_weight"] * generator_term("bce", judged),
                 "mse": settings["pixel_weight"] * functional.mse_loss(restored, truth)}
        return terms | feature_error(context.slots.get("features"), restored, truth, settings["perceptual_tap"],
                                     settings["perceptual_weight"])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        return {"sr": model.networks["generator"](inputs["lr"]).float().clip(0, 1)}

    def _restored(self, context: Context) -> Tensor:
        """The generator's pictures: one forward pass a step for both players."""
        return context.once("sr", lambda: context.networks["generator"](context.inputs["lr"]).float())

    def _adam(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.9, 0.999))


METHOD = SelfAttentionSubPixelSR
