"""A recogniser of faces: small networks that embed a face in 128 numbers, trained to tell the training persons apart.

reading: no paper; section 1.5 of the super-resolution cards asks for a small embedding network (softmax over the
training identities behind 128 numbers) that is frozen afterwards and never sees a restored picture, and for the mean
over three of them. Ours see luma, so that grey and coloured faces are one matter and colour alone tells nobody apart.
What the pictures of one training person differ in is made small in the embedding before vectors are compared:
within-class covariance normalisation (Hatch, Kajarekar and Stolcke, Interspeech 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Method, Model, Phase, Player
from restore_ml.tasks.base import Material
from restore_ml.training.schedules import cosine

LUMA = (0.299, 0.587, 0.114)
"""BT.601, full swing."""
SHRUNK = 0.1
"""Of the mean variance, added to every one."""
AT_ONCE = 64
"""Pictures that are embedded together."""


class Member(nn.Module):
    """N x 1 x side x side luma in [-1, 1] to N x `dimension`: four times convolution 3 x 3, batch norm, ReLU and 2 x 2
    maximum (`width`, 2, 4, 4 `width` channels), then one linear layer. `side`: a multiple of 16."""

    def __init__(self, side: int, width: int, dimension: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for factor in (1, 2, 4, 4):
            layers += [nn.Conv2d(channels, factor * width, 3, padding=1, bias=False), nn.BatchNorm2d(factor * width),
                       nn.ReLU(), nn.MaxPool2d(2)]
            channels = factor * width
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (side // 16) ** 2, dimension))

    def forward(self, luma: Tensor) -> Tensor:
        """Not normalised."""
        return self.net(luma)


class Embedding(nn.Module):
    """`members` networks of the same kind beside each other: N x 3 x side x side in [0, 1] to members x N x D."""

    mean: Tensor
    spread: Tensor

    def __init__(self, members: int, side: int, width: int, dimension: int) -> None:
        super().__init__()
        self.members = nn.ModuleList([Member(side, width, dimension) for _ in range(members)])
        self.register_buffer("mean", torch.zeros(members, dimension))
        self.register_buffer("spread", torch.eye(dimension).repeat(members, 1, 1))

    def normalised(self, embedded: Tensor) -> Tensor:
        """members x N x D of `forward` as vectors of length 1, after what pictures of one person differ in was made
        small: less the `mean`, times the `spread` (within-class covariance normalisation)."""
        return F.normalize((embedded - self.mean[:, None]) @ self.spread, dim=2)

    def forward(self, pictures: Tensor) -> Tensor:
        """Not normalised."""
        luma = torch.einsum("nchw,c->nhw", pictures, pictures.new_tensor(LUMA))[:, None]
        return torch.stack([member(2 * luma - 1) for member in self.members])


class Heads(nn.Module):
    """A linear classifier of its own for each member: members x N x D to members x N x classes."""

    def __init__(self, members: int, dimension: int, classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(dimension, classes) for _ in range(members)])

    def forward(self, embedded: Tensor) -> Tensor:
        """Logits."""
        return torch.stack([head(own) for head, own in zip(self.heads, embedded, strict=True)])


class Recogniser(Method):
    """`members`: networks that are trained at once, on the same faces, from first weights of their own. `classes`:
    outputs of the classifier; training persons are counted through and begin again at 0 where there are more of them.
    `jitter`: largest relative change of a face's gain and offset. `patch`: the side that faces are resized to.

    reading: widths, steps and jitter are ours; `classes` is the number of CelebA's identities.
    """

    task = "face_identity"
    paper: ClassVar[dict[str, Any]] = {
        "members": 3, "width": 64, "dimension": 128, "classes": 10_177, "jitter": 0.2, "lr": 1e-3,
        "weight_decay": 5e-4, "steps": 100_000, "batch": 64, "patch": 64, "ema": 0.0,
    }
    reading = ("no paper: a small network of four convolutions on luma, three members, vectors compared after "
               "within-class covariance normalisation")
    stored_networks = ("embedding",)
    recognises_faces = True

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the side: four times it is halved."""
        super().__init__(settings)
        if self.settings["patch"] % 16:
            raise self.wrong("patch", "it must be a multiple of 16")

    def build(self) -> dict[str, nn.Module]:
        """`embedding`, and the `heads` that are thrown away."""
        s = self.settings
        return {"embedding": Embedding(s["members"], s["patch"], s["width"], s["dimension"]),
                "heads": Heads(s["members"], s["dimension"], s["classes"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`persons`: the numbers of all training persons, int64, sorted."""
        records = material.records
        return {"persons": np.unique([int(records.arrays(number)["person"]) for number in range(len(records))])}

    def phases(self) -> list[Phase]:
        """One, with one player; the learning rate falls to 0 as a half cosine."""
        s = self.settings
        player = Player("recogniser", ["embedding", "heads"], self.loss, schedule=cosine(), clip_norm=5.0,
                        after=self.learn_spread,
                        optimiser=lambda p: torch.optim.AdamW(p, s["lr"], weight_decay=s["weight_decay"]))
        return [Phase("train", s["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy of the persons, averaged over members and faces, on faces of changed gain and offset."""
        faces, jitter = context.target["image"], self.settings["jitter"]
        gain, offset = context.uniform(faces.new_empty(2, len(faces), 1, 1, 1), -jitter, jitter)
        seen = (faces * (1 + gain) + offset / 2).clamp(0, 1)
        logits = context.networks["heads"](context.networks["embedding"](seen)).float()
        classes = self.classes(context.target["person"])
        return {"identity": F.cross_entropy(logits.flatten(0, 1), classes.repeat(len(logits)))}

    def extra_state(self) -> dict[str, Tensor]:
        """Of each class its embeddings' sum and number, of all the sum of their products: those of the last steps, in
        float64, as covariances are small differences of them."""
        members, classes, dimension = (self.settings[name] for name in ("members", "classes", "dimension"))
        return {"sums": torch.zeros(members, classes, dimension, dtype=torch.float64),
                "counts": torch.zeros(classes, dtype=torch.float64),
                "products": torch.zeros(members, dimension, dimension, dtype=torch.float64)}

    def learn_spread(self, context: Context) -> None:
        """Gather how the faces of the last fifth of the steps are embedded. With the last step the embedding's `mean`
        is that of all, and its `spread` the inverse root of the covariance around the classes' means, a tenth of its
        mean variance added."""
        if context.step < 0.8 * context.steps:
            return
        network = cast(Embedding, context.networks["embedding"]).eval()
        embedded = network(context.target["image"]).double()
        network.train()
        classes, state = self.classes(context.target["person"]), context.state
        state["sums"].index_add_(1, classes, embedded)
        state["counts"].index_add_(0, classes, torch.ones_like(classes, dtype=state["counts"].dtype))
        state["products"] += embedded.transpose(1, 2) @ embedded
        if context.step < context.steps - 1:
            return
        number = state["counts"].sum()
        means = state["sums"] / state["counts"].clamp(min=1)[:, None]
        within = (state["products"] - means.transpose(1, 2) @ state["sums"]) / number
        floor = SHRUNK * within.diagonal(dim1=1, dim2=2).mean(1)
        values, vectors = torch.linalg.eigh(within + floor[:, None, None] * torch.eye(within.shape[1]).to(within))
        network.mean.copy_(state["sums"].sum(1) / number)
        network.spread.copy_(vectors @ torch.diag_embed(values.clamp(min=1e-12).rsqrt()) @ vectors.transpose(1, 2))

    def classes(self, persons: Tensor) -> Tensor:
        """The class of each person's number: its place among the training persons, modulo `classes`."""
        known = torch.from_numpy(np.asarray(self.constants["persons"], np.int64)).to(persons.device)
        return torch.searchsorted(known, persons) % self.settings["classes"]

    def embed(self, model: Model, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Faces (each H x W x 3 uint8, square, of any size) as members x N x D float32 vectors of length 1.

        They are resized to `patch` pixels first, so that faces of every size are compared; a vector is the mean of the
        face's and its mirror picture's.
        """
        side, network = self.settings["patch"], cast(Embedding, model.networks["embedding"])
        parts = []
        for start in range(0, len(pictures), AT_ONCE):
            batch = np.stack([imresize(np.ascontiguousarray(picture), output_size=(side, side))
                              for picture in pictures[start:start + AT_ONCE]])
            with torch.no_grad():
                faces = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
                parts.append((network(faces).float() + network(faces.flip(3)).float()) / 2)
        vectors: np.ndarray = network.normalised(torch.cat(parts, 1)).numpy()
        return vectors


METHOD = Recogniser
