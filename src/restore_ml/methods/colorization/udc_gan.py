"""Unsupervised diverse colorization: a generator without any stride, told the grey in every layer, against a critic.

Source: Cao, Zhou, Zhang, Yu, "Unsupervised Diverse Colorization via Generative Adversarial Networks", ECML-PKDD 2017,
and the authors' released code; method card `udc_gan`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from restore_ml.losses.gradient_penalty import gradient_penalty
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.colour_vae import at_side
from restore_ml.nn.several_results import several

UV_SCALE = (0.436, 0.615)
"""The largest |U| and |V| of a colour: both are shown to the networks in [-1, 1]."""
NOISY = 3
"""Convolutions that get noise of their own: the first half."""


class Generator(nn.Module):
    """Y (N x 1 x side x side in [-1, 1]) and noise (N x maps x `noise`) -> U and V in (-1, 1), N x 2 x side x side.

    A vector of noise becomes a map by a linear layer, normalisation, ReLU. Six convolutions keep the size: one of
    7 x 7 (`width`), then 5 x 5 (half as many, three times; a quarter; 2), with normalisation and ReLU behind all but
    the last. Y stands beside what each of them takes, and before the first half of them a map of new noise (with one
    map: before the first alone, as in the release). `width` is the paper's 128.
    """

    def __init__(self, width: int = 128, noise: int = 100, side: int = 64, maps: int = NOISY) -> None:
        """`maps`: of noise, 1 to 3."""
        super().__init__()
        self.side = side
        self.noise = nn.ModuleList([nn.Linear(noise, side * side) for _ in range(maps)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(1) for _ in range(maps)])
        half, quarter = width // 2, width // 4
        widths, before = (width, half, half, half, quarter, 2), 0
        self.layers = nn.ModuleList()
        for place, after in enumerate(widths):
            kernel = 7 if place == 0 else 5
            convolution = nn.Conv2d(before + 1 + (place < maps), after, kernel, padding=kernel // 2)
            behind = [nn.BatchNorm2d(after), nn.ReLU()] if place < 5 else [nn.Tanh()]
            self.layers.append(nn.Sequential(convolution, *behind))
            before = after
        first_weights(self)

    def forward(self, grey: Tensor, noise: Tensor) -> Tensor:
        """The colours of that noise."""
        x = grey[:, :0]
        for place, layer in enumerate(self.layers):
            beside = [grey]
            if place < len(self.noise):
                spread = self.noise[place](noise[:, place]).view(-1, 1, self.side, self.side)
                beside.append(self.norms[place](spread).relu())
            x = layer(torch.cat([*beside, x], 1))
        return x.float()


class Critic(nn.Module):
    """YUV, N x 3 x side x side in [-1, 1] -> a score a picture, N x 1 x 1 x 1.

    Four 5 x 5 convolutions of stride 2 (`width`, twice as many each time; LeakyReLU 0.2), normalised from the second
    on, a linear layer of 64 and one of 1, with nothing between them. `width` is the paper's 64. `layer` normalises each
    picture by itself, as a penalty on the gradient of a picture's score needs, `batch` over the batch.
    """

    def __init__(self, width: int = 64, side: int = 64, norm: str = "batch") -> None:
        """Truncated normal weights."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for place in range(4):
            after = width * 2 ** place
            layers.append(nn.Conv2d(before, after, 5, 2, 2))
            if place:
                layers.append(nn.GroupNorm(1, after) if norm == "layer" else nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(before * (side // 16) ** 2, 64)
        self.score = nn.Linear(64, 1)
        first_weights(self)

    def forward(self, yuv: Tensor) -> Tensor:
        """The score, without a sigmoid."""
        return self.score(self.hidden(self.convolutions(yuv).flatten(1)))[:, :, None, None].float()


def first_weights(network: nn.Module) -> None:
    """The release's: N(0, 0.02^2), cut off at two deviations in convolutions; biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class UdcGan(Method):
    """No pixel of the truth is compared with the result: the critic alone, which sees Y with U and V, says what colours
    a picture may have.

    `multi_noise`: noise in the first half of the generator instead of its first layer alone. `gradient_penalty` 0 is
    the release's recipe, weights clipped to `clip` and RMSProp; above 0 the clipping ends, the critic normalises each
    picture by itself and both players use Adam with the first beta of 0.5. The critic plays `critic_steps` times for
    each step of the generator; `steps` are the critic's.

    Y is not the luma of the colour picture, which a method under this task's protocol cannot see, but the grey g whose
    (g, g, g) has the input's lightness; true and made colours are shown beside the same. The networks see the whole
    picture at `side` pixels; U and V are enlarged and joined to Y.

    reading: the further maps of noise have layers of their own, as the first one; U and V are scaled by what they can
    be (the release: by their 8 bits, which cut off some); the penalty takes the norm of the whole gradient by U and V
    (the release sums it over one axis by mistake); the generator plays on the pictures that the critic saw last (the
    release draws others for it); strided convolutions are padded alike on all sides (the release's library pads one
    side more); training sees squares of the pictures (the paper: the largest centre square of bedrooms); restored with
    the statistics of training (the release: with those of the batch).
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "width": 128, "disc_width": 64, "noise": 100, "side": 64, "multi_noise": True,
        "clip": 0.01, "gradient_penalty": 0.0, "critic_steps": 5,
        "steps": 3_950_000, "batch": 64, "patch": 256, "ema": 0.0, "lr": 1e-4, "disc_lr": 2e-4,
    }
    reading = ("layers of the further noise, scales of U and V, the penalty's norm over all of the gradient, squares "
               "of pictures in training, statistics of training when restoring")
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the side."""
        super().__init__(settings)
        if self.settings["side"] % 16:
            raise self.wrong("side", "it must be a multiple of 16")

    @property
    def maps(self) -> int:
        """How many vectors of noise the generator takes."""
        return NOISY if self.settings["multi_noise"] else 1

    def build(self) -> dict[str, nn.Module]:
        """Generator and critic."""
        s = self.settings
        return {"generator": Generator(s["width"], s["noise"], s["side"], self.maps),
                "critic": Critic(s["disc_width"], s["side"], "layer" if s["gradient_penalty"] else "batch")}

    def phases(self) -> list[Phase]:
        """The critic each step, the generator each `critic_steps`-th."""
        s = self.settings

        def optimiser(parameters: NamedParameters, rate: float) -> torch.optim.Optimizer:
            if s["gradient_penalty"]:
                return torch.optim.Adam(parameters, rate, (0.5, 0.999))
            return torch.optim.RMSprop(parameters, rate, 0.9)

        critic = Player("critic", ["critic"], self.critic_loss, lambda p: optimiser(p, s["disc_lr"]),
                        after=None if s["gradient_penalty"] else self.clipped)
        generator = Player("generator", ["generator"], self.generator_loss, lambda p: optimiser(p, s["lr"]),
                           every=s["critic_steps"])
        return [Phase("train", s["steps"], [critic, generator])]

    def critic_loss(self, context: Context) -> dict[str, Tensor]:
        """Scores of true pictures up, of made ones down: their difference is the distance of the two."""
        critic, grey = context.networks["critic"], self.grey(context.inputs["L"])
        true = self.colours(context.target["rgb"])
        with torch.no_grad():
            fake = self.made(context, grey)
        terms = {"real": -critic(torch.cat([grey, true], 1)).mean(), "fake": critic(torch.cat([grey, fake], 1)).mean()}
        if self.settings["gradient_penalty"]:
            share = context.uniform(true[:, :1, :1, :1])
            mixed = share * true + (1 - share) * fake
            terms["penalty"] = self.settings["gradient_penalty"] * gradient_penalty(critic, grey, mixed)
        return terms

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The critic's score of pictures made anew, up."""
        grey = self.grey(context.inputs["L"])
        return {"adversarial": -context.networks["critic"](torch.cat([grey, self.made(context, grey)], 1)).mean()}

    def clipped(self, context: Context) -> None:
        """Every weight of the critic back to [-clip, clip], those of its normalisation too."""
        for parameter in context.networks["critic"].parameters():
            parameter.clamp_(-self.settings["clip"], self.settings["clip"])

    def made(self, context: Context, grey: Tensor) -> Tensor:
        """Colours from new noise, uniform in [-1, 1]."""
        like = grey.new_empty((len(grey), self.maps, self.settings["noise"]))
        return context.networks["generator"](grey, context.uniform(like, -1.0, 1.0))

    def grey(self, lightness: Tensor) -> Tensor:
        """Y in [-1, 1] as the networks see it."""
        return 2 * grey_from_lightness(self.small(lightness)) - 1

    def colours(self, rgb: Tensor) -> Tensor:
        """U and V in [-1, 1] as the networks see them."""
        return rgb_to_yuv(self.small(rgb))[:, 1:] / _uv_scale(rgb)

    def small(self, picture: Tensor) -> Tensor:
        """The whole picture at the networks' size."""
        return at_side(picture, (self.settings["side"], self.settings["side"]))

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Several vectors of noise; the colours of each are enlarged, joined to Y as it was given, and turned into ab.
        `rgb` is the first of these pictures."""
        lightness = inputs["L"]
        luma, grey = grey_from_lightness(lightness), self.grey(lightness)
        pictures: list[Tensor] = []

        def one(number: int, own_seed: int) -> Tensor:
            draws = torch.Generator().manual_seed(own_seed)
            noise = 2 * torch.rand(1, self.maps, self.settings["noise"], generator=draws).to(grey.device) - 1
            uv = model.networks["generator"](grey, noise.expand(len(grey), -1, -1)) * _uv_scale(grey)
            pictures.append(yuv_to_rgb(torch.cat([luma, at_side(uv, lightness.shape[-2:])], 1)).clamp(0, 1))
            return rgb_to_lab(pictures[-1])[:, 1:]

        return {**several(one, seed), "rgb": pictures[0]}


def _uv_scale(like: Tensor) -> Tensor:
    return like.new_tensor(UV_SCALE).view(1, 2, 1, 1)


METHOD = UdcGan
