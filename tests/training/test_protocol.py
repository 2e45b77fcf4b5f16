"""The protocol's own promises: declared choices, one hook before training, arrays, deployed forms, draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import SettingError, UserError
from restore_ml.method import Context, Method, Model
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.runs import fingerprints
from restore_ml.runs.settings import Run
from restore_ml.training import train
from tests.training import toy
from tests.training.test_train import spec


class Chosen(Method):
    task = "toy"
    paper = {"ensemble": 1, "scales": [2], "loss": "l1", "steps": 3}
    choices = {"ensemble": (1, 8), "scales": ([2], [4]), "loss": ("l1",)}


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"ensemble": 4}, "ensemble of test_protocol is 4; it must be 1 or 8."),
    ({"scales": [3]}, "scales of test_protocol is [3]; it must be [2] or [4]."),
    ({"loss": "l2"}, "loss of test_protocol is 'l2'; it must be l1."),
])
def test_a_value_that_is_no_choice_is_refused(settings, sentence):
    with pytest.raises(SettingError) as caught:
        Chosen(settings)
    assert str(caught.value) == sentence


def test_choices_pass_and_are_those_of_every_method():
    assert Chosen({"ensemble": 8, "scales": [4]}).settings["ensemble"] == 8
    for task in registry.tables():
        for name in registry.method_names(task):
            cls = registry.method_class(task, name)
            assert set(cls.choices) <= set(cls.paper), name
            for key, values in cls.choices.items():
                assert cls.paper[key] in values, (name, key)


def test_an_optimisation_on_the_picture_needs_a_step():
    class PerPicture(Chosen):
        per_picture = True

    assert PerPicture({"steps": 1}).settings["steps"] == 1 and Chosen({"steps": 0}).settings["steps"] == 0
    with pytest.raises(SettingError, match="steps of test_protocol is 0; it must be at least 1"):
        PerPicture({"steps": 0})


def test_only_a_setting_error_of_build_is_a_persons():
    class Builds(Chosen):
        def __init__(self, error):
            super().__init__({})
            self.error = error

        def build(self):
            raise self.error

    with pytest.raises(UserError, match=r"Builds cannot be built with its settings in params\.yaml: too narrow"):
        Builds(SettingError("too narrow")).networks()
    for bug in (ValueError("a bug"), RuntimeError("a bug")):
        with pytest.raises(type(bug)) as caught:
            Builds(bug).networks()
        assert caught.value is bug


def context(step: int = 0) -> Context:
    return Context({}, {}, [], {}, step=step, steps=9, generator=torch.Generator().manual_seed(step))


def test_draws_of_a_step_are_torchs_from_its_generator():
    like, same = torch.zeros(2, 3, dtype=torch.float64), torch.Generator().manual_seed(0)
    drawn = context()
    assert torch.equal(drawn.uniform(like), torch.rand(2, 3, generator=same))
    assert torch.equal(drawn.normal(like, 2.0), 2 * torch.randn(2, 3, generator=same))
    assert torch.equal(drawn.integers(7, [4]), torch.randint(7, (4,), generator=same))
    assert torch.equal(drawn.uniform(like, -1, 3), -1 + 4 * torch.rand(2, 3, generator=same))
    assert not torch.equal(context(1).uniform(like), context(0).uniform(like))


def test_once_computes_once_a_step_and_by_name():
    calls, shared = [], context()
    for name in ("a", "a", "b"):
        assert shared.once(name, lambda key=name: calls.append(key) or key) == name
    assert calls == ["a", "b"]


class Brightened(Method):
    """Classical: adds what `prepare` measured, on arrays."""

    task = "toy"
    paper: dict = {}

    def prepare(self, material, seed):
        return {"offset": np.array([material.records[0].arrays["image"].shape[0]], np.uint8)}

    def restore_arrays(self, model, inputs, seed):
        assert inputs["image"].dtype == np.uint8 and inputs["image"].flags.c_contiguous
        return {"image": inputs["image"] + model.arrays["offset"]}


class Halved(Brightened):
    """The same in floats."""

    def restore_arrays(self, model, inputs, seed):
        return {"image": inputs["image"].astype(np.float64) / 255 / 2}


class Signs(toy.ToyMethod):
    """Keeps its network as signs and a scale a layer, one byte a weight."""

    def build(self):
        return {"net": nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False)), "critic": super().build()["critic"]}

    def store(self, networks):
        weight = networks["net"][0].weight
        return {"signs": (weight > 0).to(torch.uint8), "scale": weight.abs().mean().reshape(1)}

    def load(self, networks, state):
        with torch.no_grad():
            networks["net"][0].weight.copy_((2.0 * state["signs"] - 1) * state["scale"])

    def restore(self, model, inputs, seed):
        return {"image": model.networks["net"](inputs["image"])}


class Constants(toy.ToyMethod):
    """A network whose training reads constants: both kinds in one."""

    def prepare(self, material, seed):
        self.asked = getattr(self, "asked", 0) + 1
        return {"target": np.array([seed], np.float32)}

    def _pixel(self, given):
        assert self.constants["target"] == [3] and self.asked == 1
        return super()._pixel(given)


@pytest.fixture
def project(tmp_path, monkeypatch):
    classes = {"brightened": Brightened, "halved": Halved, "signs": Signs, "toy": toy.ToyMethod, "constants": Constants}
    monkeypatch.setattr(registry, "method_class", lambda task, method: classes[method])
    toy.register(monkeypatch)
    toy.material(tmp_path / "samples/toy/train")
    return tmp_path


def trained(project, name, **settings):
    facts = train.train_run(spec(name, **settings), project, project / "models" / name)
    assert facts["status"] == "ok", facts["reason"]
    return load_model(project / "models" / name)


def test_a_classical_method_works_on_the_arrays_of_the_disk(project):
    method, model = trained(project, "brightened")
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    assert np.array_equal(restore(method, model, {"image": image}, 1)["image"], image + 20)
    assert np.array_equal(method.constants["offset"], [20])
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None] / 255  # as every other method is called
    torch.testing.assert_close(method.restore(model, {"image": tensor}, 1)["image"], tensor + 20 / 255)
    halved, model = trained(project, "halved")
    want = np.rint(image / 2).astype(np.uint8)
    assert np.array_equal(restore(halved, model, {"image": image}, 1)["image"], want)


def test_a_method_with_networks_has_the_same_hook_and_keeps_its_constants(project):
    method, model = trained(project, "constants")
    assert model.arrays["target"] == [3] and method.constants is model.arrays and set(model.networks) == {"net"}


def test_a_deployed_form_is_stored_and_loaded_by_its_own_hooks(project):
    from safetensors.torch import load_file

    method, model = trained(project, "signs", ema=0.0)
    stored = load_file(project / "models/signs/weights.safetensors")
    assert {name: value.dtype for name, value in stored.items()} == {"signs": torch.uint8, "scale": torch.float32}
    weight = model.networks["net"][0].weight
    assert torch.equal(weight.abs(), stored["scale"].expand_as(weight))
    assert torch.equal(weight > 0, stored["signs"].bool()) and 0 < stored["signs"].sum() < weight.numel()
    image = np.full((4, 4, 3), 100, np.uint8)
    assert restore(method, model, {"image": image}, 1)["image"].shape == (4, 4, 3)


def test_weights_that_do_not_fit_are_a_sentence(project, monkeypatch):
    class Wider(toy.ToyMethod):
        def build(self):
            networks = super().build()
            networks["net"][4] = nn.Conv2d(8, 4, 3)
            return networks

    trained(project, "toy")
    monkeypatch.setattr(registry, "method_class", lambda task, method: Wider)
    with pytest.raises(UserError, match="does not fit the settings"):
        load_model(project / "models/toy")


def test_stored_names_are_those_of_the_networks():
    method = toy.ToyMethod({})
    networks = method.build()
    state = method.store(networks)
    assert {name.partition(".")[0] for name in state} == {"net"} and "net.1.running_mean" in state
    other = method.build()
    method.load(other, state)
    assert all(torch.equal(a, b) for a, b in zip(networks["net"].state_dict().values(),
                                                 other["net"].state_dict().values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(networks["critic"].parameters(), other["critic"].parameters(),
                                                     strict=True))


def test_a_model_without_arrays_or_networks_is_empty():
    assert (Model().networks, Model().arrays, Model().slots) == ({}, {}, {})


@pytest.mark.parametrize(("task", "method", "kind"), [
    ("super_resolution", "vdsr", "network"), ("inpainting", "dip_watermark", "per picture"),
    ("cloud_removal", "rs_aplus", "fitted"), ("super_resolution", "bicubic", "no training")])
def test_a_methods_kind_is_what_it_declares(task, method, kind):
    assert fingerprints.kind(Run(method, task, method, "none", 1, {})) == kind
