"""What the tests of the super-resolution methods share."""

import numpy as np
import torch
from skimage import data
from torch import nn

from restore_ml import registry
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.method import Context, Model

TASK = registry.task("super_resolution")
PARTS = registry.parts("super_resolution")
SMALL = {"vdsr": {"layers": 5, "width": 12, "optimiser": "adam", "lr": 2e-3, "loss": "mse", "last_std": 1e-3,
                  "clip": 0.0, "schedule": "linear", "weight_decay": 0.0},
         "sa_subpixel_sr": {"blocks": 2, "width": 16, "d_width": 4, "d_hidden": 16, "patch": 32}}


def method(name: str, **settings):
    return registry.method_class("super_resolution", name)({**SMALL.get(name, {}), **settings})


def paper(name: str, **settings):
    return registry.method_class("super_resolution", name)(settings)


def inputs(hr: np.ndarray, scale: int) -> dict[str, torch.Tensor]:
    lr = imresize(modcrop(hr, scale), 1 / scale)
    return {"lr": TASK.inputs["lr"].to_tensor(lr[None]).contiguous(), "scale": torch.tensor([scale])}


def restored(run, networks, given) -> np.ndarray:
    model = Model({name: network.eval() for name, network in networks.items()})
    with torch.no_grad():
        return TASK.output["sr"].to_array(run.restore(model, given, 0)["sr"][0])


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def fixed_batch(scale: int, patch: int, size: int = 4) -> Context:
    record = next(PARTS.training.records([Record("a" * 64, {"image": data.astronaut()})], 1, {}))
    samples = [PARTS.training.sample(record, {}, np.random.default_rng(seed), {"patch": patch}, {"scale": scale})
               for seed in range(size)]
    sides = [{name: spec.to_tensor(np.stack([getattr(sample, side)[name] for sample in samples]))
              for name, spec in getattr(TASK, side).items()}
             for side in ("inputs", "target")]
    return Context(*sides, ["a" * 64] * size, {}, step=0, steps=30, generator=torch.Generator().manual_seed(0))


def step_of(context: Context, networks, step: int, features=None) -> Context:
    return Context(context.inputs, context.target, context.ids, networks, step=step, steps=30,
                   generator=context.generator, slots={"features": features})
