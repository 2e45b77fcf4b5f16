"""The walk finds what it looks for: copies of sound methods, each broken in one place, and what is said of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.method import Method, Phase, Player
from tests.walk import checks, exemptions
from tests.walk.entries import Entry, runs, templates
from tests.walk.material import Project

Espcn: Any = templates()["espcn"].method
Pix2Pix: Any = templates()["pix2pix"].method
Regression: Any = templates()["global_regression"].method
SETTINGS = {"espcn": {"width": 8, "steps": 1, "batch": 4, "patch": 24},
            "pix2pix": {"levels": 3, "width": 4, "disc_width": 4, "disc_layers": 1, "batch": 2, "patch": 32,
                        "steps": 1},
            "global_regression": {}}


def findings(broken: type[Method], project: Project, name: str | None = None) -> list[str]:
    base = next(word for word, cls in (("pix2pix", Pix2Pix), ("global_regression", Regression), ("espcn", Espcn))
                if issubclass(broken, cls))
    entry = Entry(name or broken.__name__, broken.task, broken, settings=SETTINGS[base])
    return checks.walk(entry, project, {})


class UnusedLayer(Espcn):
    def build(self):
        networks = super().build()
        networks["net"].spare = nn.Conv2d(3, 3, 1)
        networks["net"].forward = nn.Sequential(*list(networks["net"])[:-1]).forward
        return networks


class MovesNothing(Espcn):
    """A second network that no player moves."""

    def build(self):
        return {**super().build(), "second": nn.Conv2d(3, 3, 1)}


class Detached(Pix2Pix):
    """The generator learns from L1 alone, and that is multiplied by 0."""

    def generator_loss(self, context):
        terms = super().generator_loss(context)
        return {"adversarial": terms["adversarial"].detach(), "l1": 0 * terms["l1"]}


class BatchStatistics(Espcn):
    """Batch normalisation that stays in training mode when it restores."""

    def build(self):
        net = super().build()["net"]
        return {"net": nn.Sequential(net[0], nn.BatchNorm2d(8), *net[1:])}

    def restore(self, model, inputs, seed):
        model.networks["net"].train()
        return super().restore(model, inputs, seed)


class Company(Espcn):
    """Normalises by the mean of the whole batch."""

    def restore(self, model, inputs, seed):
        return super().restore(model, {**inputs, "lr": inputs["lr"] - inputs["lr"].mean()}, seed)


class TorchDraw(Espcn):
    def restore(self, model, inputs, seed):
        return super().restore(model, {**inputs, "lr": inputs["lr"] + 0.3 * torch.rand(inputs["lr"].shape)}, seed)


class NumpyDraw(Espcn):
    def restore(self, model, inputs, seed):
        return super().restore(model, {**inputs, "lr": inputs["lr"] + float(np.random.normal()) / 2}, seed)


class FreshDraw(Espcn):
    def loss(self, context):
        return {name: term * float(np.random.default_rng().random()) for name, term in super().loss(context).items()}


class FitDraw(Regression):
    def prepare(self, material, seed):
        return {name: value + np.random.rand() for name, value in super().prepare(material, seed).items()}


class Memory(Espcn):
    """What was restored before shines through."""

    last = 0.0

    def restore(self, model, inputs, seed):
        given = {**inputs, "lr": inputs["lr"] + 0.5 * self.last}
        self.last = float(inputs["lr"].mean())
        return super().restore(model, given, seed)


class Learning(Espcn):
    """Weights that move while it restores."""

    def restore(self, model, inputs, seed):
        with torch.no_grad():
            model.networks["net"][0].bias.add_(0.25)
        return super().restore(model, inputs, seed)


class NotFinite(Espcn):
    def restore(self, model, inputs, seed):
        return {"sr": super().restore(model, inputs, seed)["sr"] / 0}


class WrongShape(Espcn):
    def restore(self, model, inputs, seed):
        return {"sr": super().restore(model, inputs, seed)["sr"][..., :-1]}


class OutOfRange(Pix2Pix):
    def restore(self, model, inputs, seed):
        return {"ab": 1000 + super().restore(model, inputs, seed)["ab"]}


class EvenOnly(Pix2Pix):
    """Halves what it cannot halve and says nothing of it."""

    def __init__(self, settings):
        super().__init__(settings)
        self.multiple = 1


class NoPaper(Espcn):
    def build(self):
        if self.settings["width"] == 64:
            raise ValueError("no such width")
        return super().build()


class NoPlayer(Espcn):
    def phases(self):
        return [Phase("train", 1, [Player("net", ["nett"], self.loss, lambda p: torch.optim.Adam(p, 1e-3))])]


class NoCase(Espcn):
    def unsupported(self, degradation):
        return "nothing"


@pytest.mark.parametrize(("broken", "expected"), [
    (UnusedLayer, "the parameter net.spare.weight gets no gradient"),
    (MovesNothing, "the parameter second.weight is moved by no player"),
    (Detached, "the parameter generator.down.0.1.weight gets a gradient of zeros"),
    (BatchStatistics, "restores with net in training mode"),
    (BatchStatistics, "changes net.1.running_mean while it restores"),
    (BatchStatistics, "restores a picture differently beside another one"),
    (Company, "restores a picture differently beside another one"),
    (TorchDraw, "restores x3 differently the second time"),
    (NumpyDraw, "draws from numpy's global random state while it restores"),
    (FreshDraw, "draws from numpy.random.default_rng() without a seed while it trains"),
    (FitDraw, "draws from numpy's global random state while it trains"),
    (Memory, "restores x3 differently the second time"),
    (Learning, "changes net.0.bias while it restores"),
    (NotFinite, "not finite"),
    (WrongShape, "x3: the output 'sr' is (66, 56) pixels; it must be (66, 57)"),
    (OutOfRange, "outside -128 to 128"),
    (EvenOnly, "fails on lab_grey of 67 x 59"),
    (NoPaper, "cannot be built at paper settings: ValueError: no such width"),
    (NoPlayer, "has the player 'net' of the network 'nett', which `build` does not make"),
    (NoCase, "supports no case of its task"),
])
def test_a_broken_copy_is_found(broken: type[Method], expected: str, project: Project) -> None:
    found = findings(broken, project)
    assert any(expected in finding for finding in found), found


@pytest.mark.parametrize("sound", [Espcn, Pix2Pix, Regression])
def test_what_the_copies_were_made_of_is_sound(sound: type[Method], project: Project) -> None:
    assert findings(sound, project) == []


def test_a_method_that_writes_into_its_inputs_or_a_task_that_keeps_nothing_is_found(project, monkeypatch) -> None:
    """The task puts known pixels back whatever a method does, so the task is broken here."""
    from restore_ml.tasks.inpainting.task import Inpainting

    monkeypatch.setattr(Inpainting, "compose", lambda self, inputs, output: output)
    telea = runs()["inpainting/telea"]

    class Blurs(telea.method):
        def restore(self, model, inputs, seed):
            return {"image": super().restore(model, inputs, seed)["image"] * 0.9}

    found = checks.walk(Entry("Blurs", "inpainting", Blurs), project, {})
    assert "centre: changes known pixels" in found
    monkeypatch.undo()
    assert checks.walk(Entry("Blurs", "inpainting", Blurs), project, {}) == []


def test_a_network_of_one_size_must_refuse_others_in_a_sentence(project, monkeypatch) -> None:
    class OneSize(Pix2Pix):
        error: type[Exception] = UserError

        def restore(self, model, inputs, seed):
            if inputs["L"].shape[-1] != 32:
                raise self.error("It restores pictures of 32 x 32 only.")
            return super().restore(model, inputs, seed)

    class Silent(OneSize):
        error = RuntimeError

    monkeypatch.setitem(exemptions.FIXED_SIZE, "OneSize", "a test")
    monkeypatch.setitem(exemptions.FIXED_SIZE, "Silent", "a test")
    monkeypatch.setitem(exemptions.FIXED_SIZE, "Pix2Pix", "a test")
    assert findings(OneSize, project) == []
    assert any("without a sentence" in finding for finding in findings(Silent, project, "Silent"))
    assert findings(Pix2Pix, project) == ["is exempt as a network of one size but restores any"]


def test_exemptions_hold_for_what_they_name_and_must_exempt_something(project, monkeypatch) -> None:
    monkeypatch.setitem(exemptions.WITHOUT_GRADIENT, ("UnusedLayer", r"net\.spare\..*"), "a test")
    monkeypatch.setitem(exemptions.WITHOUT_GRADIENT, ("UnusedLayer", r"net\.0\.bias"), "a test")
    found = findings(UnusedLayer, project)
    assert r"the exemption net\.0\.bias of gradients exempts nothing" in found
    assert not any("spare" in finding and "parameter" in finding for finding in found)
