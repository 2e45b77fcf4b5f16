"""Muon: momentum whose update is made orthogonal (K. Jordan et al., "Muon", 2024), with Adam for what is no matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration, as published: steep at 0, so that five rounds are enough."""


class Muon(torch.optim.Optimizer):
    """One optimiser for a convolutional network: Muon for inner layers, Adam for first and last layers and vectors.

    A kernel (out x in x kh x kw) counts as the matrix out x (in kh kw). Its Nesterov momentum is replaced by the
    nearest matrix with orthonormal rows (or columns), times sqrt(max(1, rows / columns)): all directions of a layer
    learn at the same speed. Kernels of the same shape go through the iteration together. Agrees with torch.optim.Muon,
    which takes plain matrices only; that one and Adam could not share a step of gradients.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], lr: float = 0.02,
                 adam_lr: float = 0.002, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        """`lr` moves the matrices and `adam_lr` the others."""
        groups: list[dict[str, Any]] = [{"params": list(matrices), "lr": lr, "momentum": momentum, "orthogonal": True},
                                        {"params": list(others), "lr": adam_lr, "betas": betas, "eps": eps,
                                         "orthogonal": False}]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["orthogonal"]:
                self._orthogonal_step(parameters, group)
            else:
                self._adam_step(parameters, group)

    def _orthogonal_step(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        for shape, alike in shapes.items():
            gradients = [_gradient(parameter) for parameter in alike]
            momenta = [self._zeros(parameter, "momentum_buffer") for parameter in alike]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"])
            rows = shape[0]
            changes = orthogonal(torch.stack([update.reshape(rows, -1) for update in updates]))
            rate = group["lr"] * max(1.0, rows / changes.shape[2]) ** 0.5
            torch._foreach_add_([*alike], [change.view(shape) for change in changes.float()], alpha=-rate)

    def _adam_step(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in parameters:
            mean, square = self._zeros(parameter, "exp_avg"), self._zeros(parameter, "exp_avg_sq")
            gradient, state, (first, second) = _gradient(parameter), self.state[parameter], group["betas"]
            state["step"] = state.get("step", 0) + 1
            mean.lerp_(gradient, 1 - first)
            square.lerp_(gradient.square(), 1 - second)
            scale = (1 - second ** state["step"]) ** 0.5
            parameter.addcdiv_(mean, square.sqrt().div_(scale).add_(group["eps"]),
                               value=-group["lr"] / (1 - first ** state["step"]))

    def _zeros(self, parameter: nn.Parameter, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        tensor: Tensor = state[name]
        return tensor


def orthogonal(matrices: Tensor, rounds: int = 5) -> Tensor:
    """N matrices (N x r x c) with singular values near 1 (0.7 to 1.2) and their own singular vectors, in bfloat16."""
    first, second, third = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT.bfloat16() if tall else matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), x, beta=first)
    return x.mT if tall else x


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError("a parameter without a gradient cannot be moved")
    return parameter.grad
