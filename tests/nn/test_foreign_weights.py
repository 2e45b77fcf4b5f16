"""Files of others are opened for their numbers alone, converted once, and refused in a sentence otherwise."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from restore_ml.base.errors import UserError
from restore_ml.data import shelf
from restore_ml.nn import foreign_weights
from restore_ml.nn.foreign_files import plain_arrays, plain_floats, plain_tensors
from restore_ml.nn.foreign_weights import Weights, digest, load


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Mine(np.ndarray):
    """An array of a class that nobody knows."""


def described(shape: Any, kind: Any, data: Any) -> bytes:
    """A pickle that describes an array in numpy's way, whether that makes sense or not."""
    function, arguments, _ = np.empty(0).__reduce__()  # type: ignore[misc]

    class Told:
        def __reduce__(self) -> Any:
            return function, arguments, (1, shape, kind, False, data)

    return pickle.dumps(Told(), protocol=4)


@settings(deadline=None, max_examples=40)
@given(value=arrays_of.arrays(st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", ">i2", "|u1", "|b1"]),
                              arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
       fortran=st.booleans(), protocol=st.sampled_from([3, 4]))
def test_arrays_come_back_as_numpy_pickled_them(value: np.ndarray, fortran: bool, protocol: int) -> None:
    value = np.asfortranarray(value) if fortran else value
    found = plain_arrays(pickle.dumps({"a": [value, (value,)]}, protocol=protocol))
    for again in (found["a"][0], found["a"][1][0]):
        assert again.dtype == value.dtype.newbyteorder("=") and again.shape == value.shape
        np.testing.assert_array_equal(again, value)


HEADERS = (b"\x01\x02" b"\x01\x02\x01\x03\x01\x01\x01\x01", b"\x01\x02" b"\x02\x2c\x01\x01\x01\x01\x01\x01\x01")
"""Of arrays of 2 x 3 x 1 x 1 and of 300 x 1 x 1 x 1 numbers, as dlib writes them."""


def test_the_numbers_of_a_network_of_dlibs_are_read_in_their_order() -> None:
    first, second = np.arange(6, dtype="<f4").reshape(2, 3, 1, 1), np.arange(300, dtype="<f4").reshape(300, 1, 1, 1)
    data = b"words" + HEADERS[0] + first.tobytes() + b"more words" + HEADERS[1] + second.tobytes() + b"end"
    found = plain_floats([first.shape, second.shape])(data)
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], second)
    for broken in (b"", data[:-4], data.replace(HEADERS[1], b""), HEADERS[1] + second.tobytes() + HEADERS[0]):
        with pytest.raises(ValueError, match=r"no array of \((2, 3|300, 1), 1, 1\) where one belongs"):
            plain_floats([first.shape, second.shape])(broken)


def test_both_spellings_of_numpys_module_are_known() -> None:
    data = pickle.dumps(np.arange(3.0), protocol=3)
    for spelling in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        old = data.replace(b"numpy._core.multiarray", spelling).replace(b"numpy.core.multiarray", spelling)
        assert plain_arrays(old).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("value", "reason"), [
    (Calls(os.system, "touch HERE"), "posix.system"),
    (Calls(os.mkdir, "HERE"), "posix.mkdir"),
    (Calls(eval, "open('HERE', 'w')"), "builtins.eval"),
    (Calls(getattr, "text", "upper"), "builtins.getattr"),
    ({"weights": np.zeros(2), "more": Calls(os.system, "touch HERE")}, "posix.system"),
    (Calls(np.load, "HERE"), "numpy.load"),
    (Calls(np.fromfile, "HERE"), "numpy.fromfile"),
    (np.float32(1), "scalar"),
    (Path("HERE"), "pathlib"),
    (OrderedDict(a=np.zeros(2)), "collections.OrderedDict"),
    (np.zeros(2).view(Mine), "Mine"),
    (np.array([{}, None], dtype=object), "arrays of 'O8'"),
    (np.array(["text"]), "arrays of 'U4'"),
    (np.zeros(2, dtype=[("a", "f4")]), "arrays of 'V4'"),
    (np.zeros(2, dtype=complex), "arrays of 'c16'"),
    (Calls(np.ndarray, (10**12,)), "not callable"),
    (np.dtype("f4"), "not described as numpy"),
    (Calls(np.dtype, 7), "arrays of 7"),
    ({1: np.zeros(2)}, "a dict"),
    ([np.zeros(2), None], "a NoneType"),
    ([np.zeros(2), 3.0], "a float"),
    ({"a": "text"}, "a str"),
    ({np.pi}, "a set"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_pickle_of_anything_else_is_refused(value: Any, reason: str, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="plain arrays") as said:
        plain_arrays(pickle.dumps(value, protocol=4))
    assert reason in str(said.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [
    b"", b"\x80\x04.", b"cos\nsystem\n(S'touch HERE'\ntR.", pickle.dumps(np.zeros(100))[:-50], b"PK\x03\x04",
    b"(" * 9000, pickle.dumps([np.zeros(1)])[:-1] + b"}b.",  # a state for what is a list
    b"cnumpy\nndarray\n}b.", b"cnumpy\ndtype\n}b.", b"\x80\x02\x8a\xff" + b"\x00" * 20, b"P1\n.",
    described((3,), np.dtype("f4"), b"\0" * 11), described((10**15,), np.dtype("f4"), b""),
    described((-1, -3), np.dtype("f4"), b"\0" * 12), described((3.0,), np.dtype("f4"), b"\0" * 12),
    described((3,), "f4", b"\0" * 12), described((3,), np.dtype("f4"), [1.0, 2.0, 3.0]),
])
def test_a_broken_pickle_is_refused(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="it is not opened"):
        plain_arrays(data)
    assert not list(tmp_path.iterdir())


def saved(value: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def test_tensors_come_back_as_torch_saved_them() -> None:
    found = plain_tensors(saved({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}))
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and set(found) == {"a", "b"}


@pytest.mark.parametrize("data", [
    saved({"a": Calls(os.system, "touch HERE")}), saved(torch.nn.Linear(2, 2)), saved([torch.ones(2)]),
    saved({"a": "text"}), saved({1: torch.ones(2)}), b"", b"\x80\x02.", saved({"a": torch.ones(9)})[:-200]])
def test_a_file_of_torch_with_anything_else_is_refused(data: bytes, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="plain arrays"):
        plain_tensors(data)
    assert not list(tmp_path.iterdir())


VALUES = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A shelf with weights named `toy`; the files that were read from it."""
    files: list[str] = []

    def of_shelf(package: str, file: str) -> bytes:
        files.append(f"{package}/{file}")
        return pickle.dumps([VALUES["a"].astype(np.float64), VALUES["b"]], protocol=4)

    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "shelf"))
    monkeypatch.setattr(shelf, "read", of_shelf)
    monkeypatch.setitem(foreign_weights.WEIGHTS, "toy", Weights(
        "toys", "toy.ckpt", plain_arrays, lambda found: dict(zip("ab", found, strict=True)), digest(VALUES)))
    return files


def test_weights_are_converted_once(read: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        found = load("toy")
        assert found["a"].dtype == torch.float32
        assert {name: value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in VALUES.items()}
    assert read == ["toys/toy.ckpt"]
    assert [path.name for path in (tmp_path / "shelf" / "converted").iterdir()] == ["toy.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "half", "another"])
def test_a_damaged_conversion_is_made_again(read: list[str], tmp_path: Path, damage: str) -> None:
    load("toy")
    path = tmp_path / "shelf" / "converted" / "toy.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "another": whole[:-1] + b"\x01"}[damage])
    assert load("toy")["b"].tolist() == [1, 1]
    assert len(read) == 2 and path.read_bytes() == whole


def test_other_values_than_the_pinned_ones_are_refused_and_not_kept(read: list[str], tmp_path: Path) -> None:
    VALUES["b"][1] += 1
    try:
        with pytest.raises(UserError, match=r"'toy' from toy.ckpt of toys are not those"):
            load("toy")
    finally:
        VALUES["b"][1] -= 1
    assert not (tmp_path / "shelf" / "converted").exists()


def test_a_file_of_another_layout_is_refused(read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "read", lambda package, file: pickle.dumps([VALUES["a"]], protocol=4))
    with pytest.raises(UserError, match="does not hold the weights 'toy'"):
        load("toy")


def test_weights_are_there_where_nothing_can_be_kept(read: list[str], tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("a file where a folder belongs")
    assert load("toy")["b"].tolist() == [1, 1]


def test_what_is_not_on_the_shelf_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path))
    for name in foreign_weights.WEIGHTS:
        with pytest.raises(shelf.Missing, match="not on the shelf"):
            load(name)


def test_the_digest_sees_names_shapes_kinds_and_values() -> None:
    flat = {**VALUES, "a": VALUES["a"].reshape(3, 2)}
    other = {**VALUES, "a": VALUES["a"] + np.float32(1e-3)}
    renamed = {"a": VALUES["a"], "c": VALUES["b"]}
    double = {**VALUES, "b": VALUES["b"].astype(np.float64)}
    assert len({digest(found) for found in (VALUES, flat, other, renamed, double)}) == 5
    assert digest(dict(reversed(VALUES.items()))) == digest(VALUES)


def test_nothing_else_opens_pickles_or_files_of_torch() -> None:
    library = Path(foreign_weights.__file__).parents[1]
    opened = {path.relative_to(library).as_posix() for path in library.rglob("*.py")
              if any(word in path.read_text() for word in ("pickle.load", "Unpickler", " torch.load("))}
    assert opened == {"nn/foreign_files.py", "nn/foreign_checkpoints.py"}


@pytest.mark.usefixtures("published_weights")
def test_the_weights_of_the_shelf() -> None:
    counts = {name: sum(value.numel() for value in load(name).values()) for name in foreign_weights.WEIGHTS
              if name != "resnet29"}  # on request; its own test is test_face_resnet.py
    assert counts == {"alexnet": 2_469_696, "vgg16": 14_714_688, "lpips_alex": 1152, "lpips_vgg": 1472, "dists": 2950}
    assert all(float(value.min()) >= 0 for name in ("lpips_alex", "lpips_vgg") for value in load(name).values())
