"""Colorization Transformer: coarse colours drawn pixel by pixel, then refined in value and in size by two networks.

Source: Kumar, Weissenborn, Kalchbrenner, ICLR 2021, and the authors' code; method card `coltran`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.axial_attention import EPSILON, AxialAttention, AxialEncoder, glorot
from restore_ml.nn.axial_decoder import Affine, AxialDecoder
from restore_ml.seeds import derive
from restore_ml.tasks.colorization.task import DRAWN
from restore_ml.training.schedules import cosine


class Colorizer(nn.Module):
    """Grey levels (N x side x side, 0 ... 255) and classes of colour of the same shape -> logits of the classes.

    The logits at a position depend on the grey picture and on the classes before it in reading order. The outer decoder
    (rows without a mask, columns with one, then down by one row) tells of the rows above, the inner one (of the classes
    moved right by one, rows with a mask) of the pixels to the left; both are conditioned on the grey encoding.
    """

    def __init__(self, hidden: int, inner: int, heads: int, layers: tuple[int, int, int], side: int,
                 colours: int) -> None:
        """`layers`: of the encoder, the outer and the inner decoder."""
        super().__init__()
        encoder, outer, within = layers
        self.grey, self.grey_bias = nn.Embedding(256, hidden), nn.Parameter(torch.zeros(hidden))
        self.encoder = AxialEncoder(hidden, inner, heads, encoder, side)
        self.parallel = nn.Linear(hidden, colours, bias=False)
        self.colour = nn.Embedding(colours, hidden)
        self.outer = AxialDecoder([AxialAttention(hidden, heads, side, axis, axis == 1, hidden)
                                   for _ in range(outer) for axis in (2, 1)], hidden, inner, hidden, side)
        self.inner = AxialDecoder([AxialAttention(hidden, heads, side, 2, True, 2 * hidden) for _ in range(within)],
                                  hidden, inner, 2 * hidden, side)
        self.norm, self.logits = nn.LayerNorm(hidden, EPSILON), nn.Linear(hidden, colours)
        for layer in (self.grey, self.parallel, self.colour, self.logits):
            glorot(layer)

    def encode(self, grey: Tensor) -> Tensor:
        """The grey picture's encoding, N x side x side x hidden."""
        return self.encoder(self.grey(grey) + self.grey_bias)

    def forward(self, grey: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits from the classes before, and from the grey picture alone: N x side x side x colours each."""
        z, seen = self.encode(grey), self.colour(classes)
        above = F.pad(self.rows(seen, z, self.outer.affines(z)), (0, 0, 0, 0, 1, 0))[:, :-1]
        left = F.pad(seen, (0, 0, 1, 0))[:, :, :-1]
        return self.within(left, above, z, self.inner.affines(z)), self.parallel(z)

    def rows(self, seen: Tensor, z: Tensor, affines: Sequence[Affine]) -> Tensor:
        """What the first rows of colours (embedded) tell, each with those above it."""
        z = z[:, :seen.shape[1]]
        return self.outer(self.outer.positions(seen) + z, z, affines)

    def within(self, left: Tensor, above: Tensor, z: Tensor, affines: Sequence[Affine], row: int = 0) -> Tensor:
        """Logits of the positions of `left`, from this row and the first column on."""
        z = z[:, row:row + left.shape[1], :left.shape[2]]
        above = above[:, :, :left.shape[2]]
        x = self.inner.positions(left, row) + z + above
        return self.logits(self.norm(self.inner(x, torch.cat([z, above], -1), affines))).float()

    def draw(self, grey: Tensor, uniform: Tensor, temperature: float) -> Tensor:
        """Classes drawn in reading order, one picture for each of `uniform` (draws x side x side, in [0, 1)), of one
        grey picture (1 x side x side). The logits are divided by the temperature."""
        z = self.encode(grey).expand(len(uniform), -1, -1, -1)
        outer, inner = self.outer.affines(z[:1]), self.inner.affines(z[:1])
        classes, seen = torch.zeros_like(uniform, dtype=torch.long), torch.zeros_like(z)
        above = torch.zeros_like(z[:, :1])
        for row, column in ((row, column) for row in range(z.shape[1]) for column in range(z.shape[2])):
            if row and not column:
                above = self.rows(seen[:, :row], z, outer)[:, -1:]
            left = F.pad(seen[:, row:row + 1, :column], (0, 0, 1, 0))
            chances = (self.within(left, above, z, inner, row)[:, 0, -1].double() / temperature).softmax(-1)
            chosen = (chances.cumsum(-1) <= uniform[:, row, column, None]).sum(-1).clamp(max=chances.shape[-1] - 1)
            classes[:, row, column] = chosen
            seen[:, row, column] = self.colour(chosen).to(seen.dtype)
        return classes


class Upsampler(nn.Module):
    """A channel in `levels` coarse levels (N x side x side; `channel` N: 0 red, 1 green, 2 blue) and the grey picture
    -> logits of 256 levels."""

    def __init__(self, hidden: int, inner: int, heads: int, layers: int, side: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.channel, self.grey = nn.Embedding(3 * levels, hidden), nn.Embedding(256, hidden)
        self.join = nn.Linear(2 * hidden, hidden)
        self.encoder, self.logits = AxialEncoder(hidden, inner, heads, layers, side), nn.Linear(hidden, 256)
        for layer in (self.channel, self.grey, self.join, self.logits):
            glorot(layer)

    def forward(self, coarse: Tensor, channel: Tensor, grey: Tensor) -> Tensor:
        """N x side x side x 256."""
        coded = self.channel(coarse + self.levels * channel[:, None, None])
        return self.logits(self.encoder(self.join(torch.cat([coded, self.grey(grey)], -1)))).float()

    def picture(self, coarse: Tensor, grey: Tensor) -> Tensor:
        """The likeliest levels of the three channels (3 x side x side) of a picture; `grey` 1 x side x side."""
        return self(coarse, torch.arange(3, device=coarse.device), grey.expand(3, -1, -1)).argmax(-1)


class ColTran(Method):
    """Three networks, trained one after the other on true pictures. The colorizer draws one of 2^(3 `bits`) coarse
    colours for each pixel of a square of `low`; the colour upsampler makes 8 bits a channel of them, the spatial
    upsampler a square of `high` of that picture enlarged by repetition; each sees the grey picture at its own size.

    `temperature` divides the logits of the drawing (1 in the source). `result: colour` ends with the picture of `low`,
    `coarse` with the colours drawn, a level being the least value that it stands for (`dequant: low`, as the authors
    show them) or the one in the middle (`mid`). `optimiser: adam` and `lr_end`, what is left of the rate after half a
    cosine, are for short trainings.

    The grey is the g whose (g, g, g) has the input's lightness, not the luma of the colour picture, which a method of
    this task cannot see. What is given is the colour of the RGB made, joined to the input's lightness; the eight draws
    are `drawn`, the first of them the result.

    reading: the whole picture is squeezed to a square (the source cuts one); the spatial upsampler has three layers,
    as its authors' settings say; Glorot's start throughout; one batch size for the three networks (authors' settings
    per core: 7, 24 and 1); in drawing, as in training, the normalisations of the inner decoder are told the encoding of
    the whole grey picture (the authors' code tells them, in drawing alone, that of the row at hand).
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "hidden": 512, "upsampler_hidden": 512, "heads": 4, "encoder_layers": 4, "outer_layers": 2, "inner_layers": 2,
        "colour_layers": 4, "space_layers": 3, "bits": 3, "low": 64, "high": 256, "parallel": 0.01, "temperature": 1.0,
        "result": "space", "dequant": "low", "optimiser": "rmsprop", "lr": 3e-4, "upsampler_lr": 3e-4, "lr_end": 1.0,
        "steps": {"colorizer": 450_000, "colour": 300_000, "space": 300_000}, "batch": 7, "patch": 256, "ema": 0.999,
    }
    choices: ClassVar = {"result": ("space", "colour", "coarse"), "dequant": ("low", "mid"),
                         "optimiser": ("rmsprop", "adam")}
    reading = "pictures squeezed to a square; layers of the spatial upsampler; first weights; one batch size"
    stored_networks = ("colorizer", "colour", "space")

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check what cannot be meant."""
        super().__init__(settings)
        s = self.settings
        if not s["temperature"] > 0:
            raise self.wrong("temperature", "it must be above 0")
        if not 1 <= s["bits"] <= 8:
            raise self.wrong("bits", "it must be from 1 to 8")
        if s["high"] % s["low"]:
            raise self.wrong("high", "it must be a multiple of low")
        self.levels = 2 ** s["bits"]

    def build(self) -> dict[str, nn.Module]:
        """The colorizer and the two upsamplers; dense blocks are as wide as the networks."""
        s, wide = self.settings, self.settings["upsampler_hidden"]
        layers = (s["encoder_layers"], s["outer_layers"], s["inner_layers"])
        return {"colorizer": Colorizer(s["hidden"], s["hidden"], s["heads"], layers, s["low"], self.levels ** 3),
                "colour": Upsampler(wide, wide, s["heads"], s["colour_layers"], s["low"], self.levels),
                "space": Upsampler(wide, wide, s["heads"], s["space_layers"], s["high"], 256)}

    def phases(self) -> list[Phase]:
        """A phase for each network: none sees another's results in training."""
        s = self.settings

        def player(name: str, rate: float, loss: Callable[[Context], dict[str, Tensor]]) -> Player:
            return Player(name, [name], loss, lambda p: self.optimiser(p, rate), schedule=cosine(s["lr_end"]))

        players = [player("colorizer", s["lr"], self.colorizer_loss),
                   player("colour", s["upsampler_lr"], self.colour_loss),
                   player("space", s["upsampler_lr"], self.space_loss)]
        return [Phase(one.name, s["steps"][one.name], [one]) for one in players]

    def optimiser(self, parameters: NamedParameters, rate: float) -> torch.optim.Optimizer:
        """RMSprop with the decay of the authors' library, or Adam."""
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, rate)
        return torch.optim.RMSprop(parameters, rate, alpha=0.9, eps=1e-7)

    def colorizer_loss(self, context: Context) -> dict[str, Tensor]:
        """Bits a pixel: .99 of those after the classes before, .01 of those from the grey picture alone."""
        low, share = self.settings["low"], self.settings["parallel"]
        classes = self.classes(values(context.target["rgb"], low))
        drawn, alone = context.networks["colorizer"](grey(context.inputs["L"], low), classes)
        return {"drawn": (1 - share) * bits(drawn, classes), "alone": share * bits(alone, classes)}

    def colour_loss(self, context: Context) -> dict[str, Tensor]:
        """Bits a pixel of one channel of each picture, drawn, at `low`, from its coarse levels."""
        true, channel = self._channel(context, self.settings["low"])
        shown = grey(context.inputs["L"], self.settings["low"])
        return {"colour": bits(context.networks["colour"](true * self.levels // 256, channel, shown), true)}

    def space_loss(self, context: Context) -> dict[str, Tensor]:
        """Bits a pixel of one channel of each picture, drawn, at `high`, from that of `low` enlarged."""
        true, channel = self._channel(context, self.settings["high"])
        blurred = self._enlarged(self._channel(context, self.settings["low"])[0])
        shown = grey(context.inputs["L"], self.settings["high"])
        return {"space": bits(context.networks["space"](blurred, channel, shown), true)}

    def _channel(self, context: Context, side: int) -> tuple[Tensor, Tensor]:
        """The drawn channel of each picture at this size, N x side x side, and which it is; the same ones in a step."""
        rgb = values(context.target["rgb"], side)
        channel = context.once("channel", lambda: context.integers(3, (len(rgb),)).to(rgb.device))
        return rgb[torch.arange(len(rgb), device=rgb.device), channel], channel

    def _enlarged(self, picture: Tensor) -> Tensor:
        """Levels of `low` at `high`, each repeated."""
        times = self.settings["high"] // self.settings["low"]
        return picture.repeat_interleave(times, -1).repeat_interleave(times, -2)

    def classes(self, rgb: Tensor) -> Tensor:
        """N x 3 x H x W levels of 0 ... 255 -> the class of each pixel: with 3 bits 64 r + 8 g + b."""
        red, green, blue = (rgb * self.levels // 256).unbind(1)
        return (red * self.levels + green) * self.levels + blue

    def coarse(self, classes: Tensor) -> Tensor:
        """Classes ... x H x W -> the levels of their channels (... x 3 x H x W, 0 ... 2^bits - 1)."""
        return torch.stack([classes // self.levels ** 2, classes // self.levels % self.levels, classes % self.levels],
                           -3)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Eight draws of each picture; colours at the networks' size are enlarged bilinearly."""
        networks: dict[str, Any] = model.networks
        low, size = self.settings["low"], inputs["L"].shape[2:]
        uniform = torch.stack([torch.rand((low, low), dtype=torch.float64, generator=torch.Generator().manual_seed(
            derive(seed, "draw", number))) for number in range(DRAWN)]).to(inputs["L"].device)
        rgb, drawn = [], []
        for lightness in inputs["L"].split(1):
            classes = networks["colorizer"].draw(grey(lightness, low), uniform, self.settings["temperature"])
            made = torch.cat([self._refined(networks, self.coarse(one), lightness) for one in classes])
            rgb.append(F.interpolate(made[:1], size, mode="bilinear", align_corners=False))
            ab = F.interpolate(rgb_to_lab(made)[:, 1:], size, mode="bilinear", align_corners=False)
            drawn.append(ab.flatten(0, 1))
        colours = torch.stack(drawn)
        return {"ab": colours[:, :2], "rgb": torch.cat(rgb), "drawn": colours}

    def _refined(self, networks: dict[str, Any], coarse: Tensor, lightness: Tensor) -> Tensor:
        """RGB in [0, 1] (1 x 3 x side x side) of coarse levels 3 x low x low."""
        s = self.settings
        if s["result"] == "coarse":
            step = 256 / self.levels
            return (coarse * step + (step / 2 if s["dequant"] == "mid" else 0))[None] / 255
        made = networks["colour"].picture(coarse, grey(lightness, s["low"]))
        if s["result"] == "space":
            made = networks["space"].picture(self._enlarged(made), grey(lightness, s["high"]))
        return made[None] / 255


def values(rgb: Tensor, side: int) -> Tensor:
    """A picture in [0, 1] as a square of whole levels of 0 ... 255: means over areas."""
    return (255 * F.interpolate(rgb, (side, side), mode="area")).round().long()


def grey(lightness: Tensor, side: int) -> Tensor:
    """The grey levels (N x side x side, 0 ... 255) of a lightness."""
    return values(grey_from_lightness(lightness), side)[:, 0]


def bits(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy in bits; logits ... x classes."""
    return F.cross_entropy(logits.flatten(0, -2), classes.flatten()) / math.log(2)


METHOD = ColTran
