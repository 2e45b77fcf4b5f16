from __future__ import annotations

import subprocess
import sys

import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Method


@pytest.mark.parametrize("task", registry.task_names())
def test_every_method_file_follows_the_protocol(task):
    names = registry.method_names(task)
    assert names
    for name in names:
        cls = registry.method_class(task, name)
        assert issubclass(cls, Method) and cls.task == task
        method = cls({})
        assert cls.__doc__ or sys.modules[cls.__module__].__doc__
        assert isinstance(method.reading, str) and "`" not in method.reading, "pages show it as it is"
        if method.trains:
            assert {"steps", "batch", "patch", "ema"} <= set(cls.paper)
            phases = method.phases()
            assert phases and all(phase.players for phase in phases)
            assert len({phase.name for phase in phases}) == len(phases)


def test_a_wrong_name_is_a_sentence_with_the_nearest_right_one():
    with pytest.raises(UserError, match="Did you mean 'bicubic'"):
        registry.method_class("super_resolution", "bicubik")
    with pytest.raises(UserError, match="Did you mean 'inpainting'"):
        registry.task("inpaintin")


def test_listing_methods_imports_none_of_them():
    code = ("import sys; from restore_ml import registry; registry.method_names('super_resolution');"
            "print('torch' in sys.modules, [m for m in sys.modules if 'methods.super' in m])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False []"


def test_installed_packages_are_looked_through_once(monkeypatch):
    """It takes 20 ms, and a rebuild looks methods up some hundred times."""
    looked = []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **asked: looked.append(asked) or ())
    registry._foreign.cache_clear()
    try:
        for _ in range(3):
            registry.method_names("super_resolution")
            registry.method_class("super_resolution", "bicubic")
        assert looked == [{"group": "restore_ml.methods"}]
    finally:
        registry._foreign.cache_clear()
