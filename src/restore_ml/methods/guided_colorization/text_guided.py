"""Coloring with words: a text becomes a palette of five colours, and the palette colours the picture.

Source: Bahng, Yoo, Cho, Park, Wu, Ma, Choo, "Coloring with words: guiding image colorization through text-based palette
generation" (Text2Colors), ECCV 2018, and the authors' code; the method card `text_guided`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.arrays import Arrays, ArraySpec, words
from restore_ml.kinds import VECTOR
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.methods.guided_colorization.palette_guided import PaletteGuided
from restore_ml.methods.guided_colorization.user_hints import turned
from restore_ml.nn.hints_network import AB_SCALE
from restore_ml.seeds import derive as derived_seed
from restore_ml.tasks.guided_colorization.palette import COLOURS, ENTRIES, palette
from restore_ml.tasks.guided_colorization.vocabulary import MOST_WORDS, VOCABULARY, numbers, told

LAB_SCALE = 100.0
"""The palette's networks have Lab units divided by this; its error is measured in Lab units, as in the code."""
FIRST = 0.05
"""Deviation of the first weights of linear layers."""


class TextEncoder(nn.Module):
    """Word numbers (N x W, 0 behind the last) -> what each word says, N x W x hidden; what all say, N x hidden; where
    words are, N x W x 1 in {0, 1}. A text without words is one of a word that means nothing."""

    def __init__(self, embedding: int = 300, hidden: int = 150) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(VOCABULARY) + 1, embedding, padding_idx=0)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The state behind the last word stands for all."""
        count = (words > 0).sum(1).clamp(min=1)
        said, _ = self.gru(self.embed(words))
        whole = said.gather(1, (count - 1).view(-1, 1, 1).expand(-1, 1, said.shape[2]))[:, 0]
        there = torch.arange(words.shape[1], device=words.device) < count[:, None]
        return said, whole, there[..., None].float()


class PaletteDecoder(nn.Module):
    """What a text says -> five Lab colours / 100, one after another, N x 15.

    Each word's state is first drawn anew about a mean, with a deviation, that the network makes of it (conditioning
    augmentation; ReLU behind both, so that no deviation is below 1). A GRU has the colour before and the words, weighed
    by attention, and gives the next colour. For the first one all words weigh alike.
    reading: that is their mean; the code's line takes that of the batch.
    """

    def __init__(self, hidden: int = 150) -> None:
        super().__init__()
        self.augment = nn.Linear(hidden, 2 * hidden)
        self.of_word, self.of_state, self.energy = (nn.Linear(hidden, size) for size in (hidden, hidden, 1))
        self.gru = nn.GRUCell(hidden + 3, hidden)
        self.colour = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.BatchNorm1d(hidden), nn.Linear(hidden, 3))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, FIRST)

    def augmented(self, said: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The drawn states, their means and logarithms of variances; `noise` is from N(0, 1) (0: the means)."""
        mean, log_variance = F.relu(self.augment(said)).chunk(2, 2)
        return mean + (0.5 * log_variance).exp() * noise, mean, log_variance

    def forward(self, drawn: Tensor, state: Tensor, there: Tensor) -> Tensor:
        """`drawn`: N x W x hidden; `state`: N x hidden, what all words say; `there`: N x W x 1."""
        colour, context, colours = drawn.new_zeros(len(drawn), 3), mean_of_words(drawn, there), []
        for number in range(COLOURS):
            if number:
                context = (self.attention(drawn, state, there) * drawn).sum(1)
            state = self.gru(torch.cat([colour, context], 1), state)
            colour = self.colour(state)
            colours.append(colour)
        return torch.cat(colours, 1)

    def attention(self, drawn: Tensor, state: Tensor, there: Tensor) -> Tensor:
        """Weights of the words, N x W x 1, with a sum of 1."""
        energies = self.energy(torch.sigmoid(self.of_word(drawn) + self.of_state(state)[:, None]))
        return energies.masked_fill(there == 0, -torch.inf).softmax(1)


class PaletteJudge(nn.Module):
    """A palette (N x 15, Lab / 100) and what the words say on average (N x hidden) -> N logits."""

    def __init__(self, hidden: int = 150) -> None:
        super().__init__()
        size = ENTRIES + hidden
        sizes = (size, size // 2, size // 4, size // 8)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, FIRST)

    def forward(self, colours: Tensor, said: Tensor) -> Tensor:
        """Logits."""
        scores: Tensor = self.layers(torch.cat([colours, said], 1))[:, 0]
        return scores


def mean_of_words(drawn: Tensor, there: Tensor) -> Tensor:
    """N x W x hidden -> N x hidden, over the words that are there."""
    return (drawn * there).sum(1) / there.sum(1)


class TextGuided(PaletteGuided):
    """First palettes are made of texts, by a GAN; then pictures are coloured from their own palettes, as
    `palette_guided` does (its settings hold). Restoring makes the palette of the text and colours with it.

    Palettes and texts of training pictures are told by the task's simulators; the colour of most pixels comes first.
    The code's dropout lies between layers of a GRU that has one, so that nothing is dropped. `sampled`: the states of
    words are drawn in restoring too, from the seed, as in the paper: another seed gives another palette. Without it
    their means are taken.
    reading: an own vocabulary and pictures in place of the 10,183 named palettes and pretrained embeddings; words that
    are not there take no part in attention, mean and divergence; the card's momenta for both players (the code's
    generator has Adam's usual ones, and a weight decay of 5e-5, which ours has in colouring alone); the decoder is fed
    and the critic sees Lab / 100 (in the code Lab); Lab of D65. Small profiles weigh the divergence a tenth as much.
    """

    reading = ("an own vocabulary, told by rules, in place of named palettes and pretrained embeddings; missing words "
               "take no part; as in palette_guided; small profiles restore with the means of words and turn colours")
    stored_networks = ("encoder", "decoder", "colorizer")  # type: ignore[assignment]
    inputs = ("text",)
    derived: ClassVar = {"words": ArraySpec(VECTOR, MOST_WORDS, low=0, high=len(VOCABULARY)),
                         "palette": ArraySpec(VECTOR, ENTRIES), "angle": ArraySpec(VECTOR, 1)}
    paper: ClassVar[dict[str, Any]] = {
        **PaletteGuided.paper, "embedding": 300, "hidden": 150, "palette_l1": 100.0, "divergence": 0.5,
        "palette_lr": 5e-4, "palette_betas": [0.5, 0.99], "sampled": True,
        "steps": {"palette": 318_000, **PaletteGuided.paper["steps"]},
    }
    """`turned`: as in `palette_guided`; the text is told of the turned colours, so that each word is heard of many
    pictures."""

    def build(self) -> dict[str, nn.Module]:
        """The networks of `palette_guided`, and `encoder`, `decoder` and `critic` of palettes."""
        s = self.settings
        return {**super().build(), "encoder": TextEncoder(s["embedding"], s["hidden"]),
                "decoder": PaletteDecoder(s["hidden"]), "critic": PaletteJudge(s["hidden"])}

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """`words`; in training also the true palette and the angle that all colours of the sample are turned by."""
        text, angle, colours = words(inputs["text"]), 0.0, np.zeros(ENTRIES, np.float32)
        if target is not None:
            ab = target["ab"]
            if rng.random() < self.settings["turned"]:
                angle = rng.uniform(0, 2 * np.pi)
                cosine, sine = np.cos(angle), np.sin(angle)
                ab = ab @ np.array([[cosine, sine], [-sine, cosine]])
                text = told(inputs["L"], ab, rng)
            colours = palette(inputs["L"], ab, rng)
        return {"words": numbers(text).astype(np.float32), "palette": colours, "angle": np.array([angle], np.float32)}

    def phases(self) -> list[Phase]:
        """`palette`, then those of `palette_guided`."""
        s = self.settings

        def adam(p: Any) -> torch.optim.Optimizer:
            return torch.optim.Adam(p, s["palette_lr"], tuple(s["palette_betas"]))

        critic = Player("critic", ["critic"], self.critic_loss, adam)
        writer = Player("palette", ["encoder", "decoder"], self.palette_loss, adam)
        return [Phase("palette", s["steps"]["palette"], [critic, writer]), *super().phases()]

    def critic_loss(self, context: Context) -> dict[str, Tensor]:
        """True and made palettes told apart by cross-entropy, beside what the words say."""
        made, said, _ = self._palettes(context)
        critic, true = context.networks["critic"], context.inputs["palette"] / LAB_SCALE
        return discriminator_terms("bce", critic(true, said.detach()), critic(made.detach(), said.detach()))

    def palette_loss(self, context: Context) -> dict[str, Tensor]:
        """Smooth L1 in Lab units, what the critic takes for made, and the divergence of words' states from N(0, 1)."""
        made, said, divergence = self._palettes(context)
        error = F.smooth_l1_loss(LAB_SCALE * made, context.inputs["palette"])
        return {"palette": self.settings["palette_l1"] * error, "divergence": self.settings["divergence"] * divergence,
                "palette_adversarial": generator_term("bce", context.networks["critic"](made, said))}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` and `words` to `ab`; all pictures of a batch have the same draws."""
        said, whole, there = model.networks["encoder"](inputs["words"].long())
        noise = torch.zeros(1, *said.shape[1:])
        if self.settings["sampled"]:
            noise.normal_(generator=torch.Generator().manual_seed(derived_seed(seed, "words")))
        decoder: Any = model.networks["decoder"]
        drawn, _, _ = decoder.augmented(said, noise.to(said))
        colours = LAB_SCALE * decoder(drawn, whole, there).float()
        return {"ab": AB_SCALE * model.networks["colorizer"](inputs["L"], colours).float()}

    def _palettes(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Made palettes, what the words say on average, the divergence (one forward pass a step for both players)."""
        def made() -> tuple[Tensor, Tensor, Tensor]:
            said, whole, there = context.networks["encoder"](context.inputs["words"].long())
            decoder: Any = context.networks["decoder"]
            drawn, mean, log_variance = decoder.augmented(said, context.normal(said))
            each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(2, keepdim=True)
            return (decoder(drawn, whole, there).float(), mean_of_words(drawn, there),
                    (each * there).sum() / there.sum())

        result: tuple[Tensor, Tensor, Tensor] = context.once("palettes", made)
        return result

    def _shuffled(self, context: Context) -> tuple[Tensor, Tensor]:
        """True ab, turned as the palette was, and the palette in a random order."""
        colours = context.inputs["palette"].unflatten(1, (COLOURS, 3))
        order = context.uniform(colours[..., 0]).argsort(1)
        shuffled = colours.gather(1, order[..., None].expand_as(colours)).flatten(1)
        return turned(context.target["ab"], context.inputs["angle"][:, 0]), shuffled


METHOD: type[Method] = TextGuided
