"""A small task and method for the loop's tests: undo a darkening, with a second player as in a GAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from restore_ml import registry
from restore_ml.arrays import ArraySpec, augment
from restore_ml.data import shards
from restore_ml.kinds import PICTURE
from restore_ml.method import Context, Method, Phase, Player
from restore_ml.tasks.base import Material, Parts, Sample, Task, Training, no_partner
from restore_ml.training.loop import Job
from restore_ml.training.sampler import Sampler


class ToyTask(Task):
    name = "toy"
    inputs = {"image": ArraySpec(PICTURE, 3)}
    target = {"image": ArraySpec(PICTURE, 3)}
    output = {"image": ArraySpec(PICTURE, 3, size_of="image")}


class ToyTraining(Training):
    task = ToyTask()

    def records(self, pictures, seed, settings):
        yield from pictures

    def sample(self, record, pools, rng, run, options, partner=no_partner):
        side = run["patch"]
        top, left = (int(rng.integers(n - side + 1)) for n in record.arrays["image"].shape[:2])
        square = {"image": record.arrays["image"][top:top + side, left:left + side]}
        crop = augment(square, ToyTask.inputs, rng)["image"]
        return Sample({"image": (crop // 2).astype(np.uint8)}, {"image": crop})


PARTS = Parts(ToyTask(), ToyTraining())


def register(monkeypatch) -> None:
    """Let the registry know the toy task, and no other."""
    monkeypatch.setattr(registry, "task", lambda name: PARTS.task)
    monkeypatch.setattr(registry, "parts", lambda name: PARTS)


class ToyMethod(Method):
    task = "toy"
    paper = {"steps": {"warm": 6, "joint": 8}, "batch": 4, "patch": 8, "ema": 0.9, "poison": -1}
    stored_networks = ("net",)

    def build(self):
        norm = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1)]
        return {"net": nn.Sequential(*norm, nn.Conv2d(8, 3, 3, padding=1)),
                "critic": nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))}

    def extra_state(self):
        return {"pool": torch.zeros(2, 3, 8, 8)}

    def _fake(self, context: Context):
        return context.once("fake", lambda: context.networks["net"](context.inputs["image"]))

    def _pixel(self, context: Context):
        fake = self._fake(context)
        loss = (fake - context.target["image"]).pow(2).mean()
        if context.step == self.settings["poison"]:
            loss = loss * float("nan")
        return {"mse": loss}

    def _adversarial(self, context: Context):
        return self._pixel(context) | {"gan": -0.01 * context.networks["critic"](self._fake(context)).mean()}

    def _critic(self, context: Context):
        critic = context.networks["critic"]
        context.state["pool"] = torch.cat([context.state["pool"][1:], self._fake(context)[:1].detach().float()])
        noise = context.uniform(context.target["image"], 0.0, 0.05)
        real = (critic(context.target["image"] + noise) - 1).pow(2).mean()
        return {"real": real, "fake": critic(context.state["pool"]).pow(2).mean()}

    def phases(self):
        adam = lambda p: torch.optim.Adam(p, 1e-2)  # noqa: E731
        generator = Player("generator", ["net"], self._pixel, adam, schedule=lambda s, n: 1 - s / n)
        joint = Player("generator", ["net"], self._adversarial, adam, clip_norm=1.0)
        critic = Player("critic", ["critic"], self._critic, lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9), every=2)
        steps = self.settings["steps"]
        return [Phase("warm", steps["warm"], [generator]), Phase("joint", steps["joint"], [critic, joint])]


def material(folder: Path, pictures: int = 5, seed: int = 0) -> Material:
    rng = np.random.default_rng(seed)
    records = [shards.Record(f"{number:02x}" * 8, {"image": rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)})
               for number in range(pictures)]
    shards.write(folder / "a.arrow", records)
    return Material(folder)


def job(data: Material, folder: Path, **changes) -> Job:
    settings = {key: changes.pop(key) for key in list(changes) if key in ToyMethod.paper}
    method = ToyMethod(settings)
    sampler = Sampler(PARTS, data, method.settings, 7)
    return Job(method, "toy", 7, sampler, folder, **changes)
