"""Adversarial objectives on a discriminator's scores, by name, and feature matching.

`bce`: binary cross-entropy on logits, the generator maximising log D (non-saturating); `lsgan`: squares to 1 and 0
(Mao et al., ICCV 2017); `hinge`: margins of 1 (Lim and Ye, 2017; Miyato et al., 2018). All are float32 scalars,
averaged over pictures and patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from restore_ml.base.errors import UserError


def discriminator_terms(kind: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """What the discriminator minimises: the terms `real` and `fake`, from its scores of either. Another kind is a
    `UserError`."""
    real, fake = real.float(), fake.float()
    if kind == "bce":
        return {"real": F.softplus(-real).mean(), "fake": F.softplus(fake).mean()}
    if kind == "lsgan":
        return {"real": (real - 1).square().mean(), "fake": fake.square().mean()}
    if kind == "hinge":
        return {"real": F.relu(1 - real).mean(), "fake": F.relu(1 + fake).mean()}
    raise _unknown(kind)


def generator_term(kind: str, fake: Tensor) -> Tensor:
    """What the generator minimises, from the scores of its pictures. Another kind is a `UserError`."""
    fake = fake.float()
    if kind == "bce":
        return F.softplus(-fake).mean()
    if kind == "lsgan":
        return (fake - 1).square().mean()
    if kind == "hinge":
        return -fake.mean()
    raise _unknown(kind)


def relativistic_terms(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Relativistic average least squares (Jolicoeur-Martineau, ICLR 2019): each score against the other set's mean.

    For the discriminator call it with (real, fake), for the generator with (fake, real).
    """
    real, fake = real.float(), fake.float()
    return {"real": 0.5 * (real - fake.mean() - 1).square().mean(),
            "fake": 0.5 * (fake - real.mean() + 1).square().mean()}


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Sum over the discriminator's maps of the mean absolute difference; no gradient flows to the real ones."""
    terms = [F.l1_loss(b.float(), a.detach().float()) for a, b in zip(real, fake, strict=True)]
    return sum(terms[1:], terms[0])


def _unknown(kind: str) -> UserError:
    return UserError(f"There is no adversarial loss {kind!r}; there are bce, lsgan and hinge.")
