"""Files of weights that people bring: what each kind holds, and what a file is that holds none."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.torch import save_file
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.nn.foreign_checkpoints import read_checkpoint

WEIGHT, BIAS = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3), np.array([1.5, -2.0], np.float32)
STATE = {"conv.weight": torch.from_numpy(WEIGHT), "conv.bias": torch.from_numpy(BIAS)}


def refused(path: Path, match: str) -> None:
    """The file is refused in one sentence that names it; nothing else is raised."""
    with pytest.raises(UserError, match=match) as raised:
        read_checkpoint(path)
    assert str(raised.value).startswith(path.name) and str(raised.value).endswith((".", "`."))


def saved(path: Path, content: object, **more) -> Path:
    torch.save(content, path, **more)
    return path


def holds(path: Path, expected: dict[str, np.ndarray]) -> None:
    found = read_checkpoint(path).arrays
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.float32 and found[name].shape == value.shape
        assert np.array_equal(found[name], value)


# What is read.

@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "a"])
def test_torch_s_own_files_old_and_new(tmp_path, new, name):
    path = saved(tmp_path / name, STATE, _use_new_zipfile_serialization=new)
    holds(path, {"conv.weight": WEIGHT, "conv.bias": BIAS})
    assert read_checkpoint(path).torch_order and read_checkpoint(path).ordered


def test_nested_dictionaries_lists_and_parameters_are_seen_through(tmp_path):
    content = {"epoch": 3, "name": "x", "params_ema": OrderedDict(STATE), "list": [nn.Parameter(torch.ones(2))],
               "counter": torch.tensor(7), "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}}
    found = read_checkpoint(saved(tmp_path / "a.pth", content))
    assert list(found.arrays) == ["params_ema.conv.weight", "params_ema.conv.bias", "list.0"]
    assert found.aside == ["counter", "optimizer.state.0.exp_avg"]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(tmp_path, kind):
    holds(saved(tmp_path / "a.pth", {"w": torch.tensor([1.5, -2.0], dtype=kind)}), {"w": BIAS})


def test_safetensors_have_no_order_of_their_own(tmp_path):
    save_file({"b": torch.ones(2), "a": torch.zeros(3)}, tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert set(found.arrays) == {"a", "b"} and not found.ordered and found.torch_order


def test_npz_keeps_its_order(tmp_path):
    np.savez(tmp_path / "a.npz", **{"z/kernel": WEIGHT, "a/bias": BIAS})
    holds(tmp_path / "a.npz", {"z/kernel": WEIGHT, "a/bias": BIAS})
    assert not read_checkpoint(tmp_path / "a.npz").torch_order


def test_a_pickle_of_numpy_arrays(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"params": {"w": BIAS}}))
    holds(tmp_path / "a.pkl", {"params.w": BIAS})


def test_structs_and_cells_of_matlab(tmp_path):
    weights, pairs = np.empty((1, 2), object), np.empty((1, 1), object)
    weights[0, 0], weights[0, 1] = WEIGHT, 2 * WEIGHT
    layer = np.empty((1, 2), object)
    layer[0, 0], layer[0, 1] = WEIGHT, BIAS[:, None]
    pairs[0, 0] = {"type": "conv", "weights": layer}
    scipy.io.savemat(tmp_path / "a.mat", {"model": {"weight": weights}, "layers": pairs, "single": BIAS})
    holds(tmp_path / "a.mat", {"model.weight.1": WEIGHT, "model.weight.2": 2 * WEIGHT, "layers.weights.weight": WEIGHT,
                               "layers.weights.bias": BIAS[:, None], "single": BIAS[None]})


# What holds none, or not all.

def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"There is no file .*a.pth"):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(UserError, match=r" is a folder; give the path of a file of weights"):
        read_checkpoint(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    refused(tmp_path / "a.pth", r"is empty \(0 bytes\); download it again")


def test_a_pointer_of_git_lfs(tmp_path):
    (tmp_path / "a.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2490083\n")
    refused(tmp_path / "a.pth", r"pointer of Git LFS .*2,490,083 bytes.* `git lfs pull`")


@pytest.mark.parametrize("text", ["<!DOCTYPE html><html><head><title>Drive &amp; quota</title>",
                                  "\n <HTML><title>\nDrive &amp; quota </title>"])
def test_a_web_page(tmp_path, text):
    (tmp_path / "a.pth").write_text(text)
    refused(tmp_path / "a.pth", r"is a web page \(its title: 'Drive & quota'\).*save the file itself")


def test_a_text(tmp_path):
    (tmp_path / "a.pth").write_text('{"error": "not found"}')
    refused(tmp_path / "a.pth", r"is a text, not weights: '\{\"error\": \"not found\"\}'")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["pth", "old", "safetensors", "npz", "mat"])
def test_a_download_that_was_cut_off(tmp_path, kind, share):
    path = tmp_path / f"a.{kind}"
    many = {f"w{number}": torch.full((40, 40), float(number)) for number in range(4)}
    if kind in ("pth", "old"):
        saved(path, many, _use_new_zipfile_serialization=kind == "pth")
    elif kind == "safetensors":
        save_file(many, path)
    elif kind == "npz":
        np.savez(path, **{name: value.numpy() for name, value in many.items()})
    else:
        scipy.io.savemat(path, {name: value.numpy() for name, value in many.items()})
    data = path.read_bytes()
    path.write_bytes(data[:int(share * len(data))])
    refused(path, rf"({'cannot be read|' * (kind == 'old')}is cut off).*download it again")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.conv(x)


def test_torchscript(tmp_path):
    torch.jit.save(torch.jit.trace(Net(), torch.zeros(1, 1, 5, 5)), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", r"is TorchScript, a program .*torch.jit.load\('a.pt'\).state_dict\(\)")


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_pickled_network(tmp_path, new):
    path = saved(tmp_path / "a.pth", Net(), _use_new_zipfile_serialization=new)
    refused(path, r"is a whole pickled network \(of the class tests.nn.test_foreign_checkpoints.Net\).*state_dict\(\)")


class Evil:
    def __reduce__(self):
        return (open, ("ran", "w"))


def test_code_in_a_pickle_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(saved(tmp_path / "a.pth", {"state_dict": STATE, "args": Evil()}),
            r"holds other things beside its tensors \(.*open\).*\[KEY\]")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(Evil()))
    refused(tmp_path / "b.pkl", r"is a pickle, and: .*not opened.* Save its arrays as .npz")
    np.savez(tmp_path / "c.npz", w=np.array([Evil()], dtype=object))
    refused(tmp_path / "c.npz", "holds pickled objects beside arrays")
    assert not (tmp_path / "ran").exists()


def test_an_optimiser_alone(tmp_path):
    net = Net()
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 1, 5, 5)).sum().backward()
    optimiser.step()
    content = {"optimizer": optimiser.state_dict(), "epoch": 1}
    refused(saved(tmp_path / "a.pth", content), "holds the state of an optimiser alone .*take the other file")
    refused(saved(tmp_path / "b.pth", optimiser.state_dict()),
            "holds the state of an optimiser alone")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_values_that_are_not_finite(tmp_path, value):
    content = {"conv.weight": torch.tensor([1.0, value, value], dtype=torch.float64)}
    refused(saved(tmp_path / "a.pth", content), r"is broken: 2 of the 3 values of 'conv.weight' are not finite")


def test_no_arrays_and_whole_numbers_alone(tmp_path):
    refused(saved(tmp_path / "a.pth", {"epoch": 1}), "holds no arrays at all")
    refused(saved(tmp_path / "b.pth", {"w": torch.ones(3, dtype=torch.int8)}), r"whole numbers alone \(w\).*quantised")


def test_tensors_that_are_no_plain_ones(tmp_path):
    refused(saved(tmp_path / "a.pth", {"w": torch.ones(3, dtype=torch.complex64)}), "no plain tensor of real numbers")


def test_a_small_file_that_tells_of_a_huge_tensor(tmp_path):
    refused(saved(tmp_path / "a.pth", {"w": torch.ones(1).expand(10**6, 10**6)}), "far more numbers than it holds")


def test_matlab_7_3_is_told_of(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(600))
    refused(tmp_path / "a.mat", r"version 7.3.*'-v7'")


def archive(names: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names:
            made.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize(("name", "data", "match"), [
    ("a.zip", archive(["net.pth", "README"]), r"zip archive of other files \(net.pth, README\); unpack it"),
    ("a.tar.gz", b"\x1f\x8b\x08" + b"0" * 50, r"an archive \(gzip\); unpack it"),
    ("a.tar", b"x" * 257 + b"ustar" + b"0" * 50, r"an archive \(tar\); unpack it"),
    ("a.npy", b"\x93NUMPY" + b"0" * 50, "one array"), ("a.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX file"),
    ("a.h5", b"\x89HDF\r\n\x1a\n" + b"0" * 50, "an HDF5 file"), ("m.ckpt.data-00000-of-00001", b"\x00\x01" * 9,
                                                                "TensorFlow checkpoint"),
    ("a.t7", b"\x04\x00\x00\x00", "Lua Torch"), ("a.pth", b"\x00\x01\x02\x03", "none of the kinds .*00 01 02 03")])
def test_other_kinds_are_named(tmp_path, name, data, match):
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, match)


def test_two_arrays_of_one_name_are_refused_not_chosen(tmp_path):
    nested = {"a": {"b": torch.ones(2)}, "a.b": torch.zeros(2)}
    refused(saved(tmp_path / "a.pth", nested), "two arrays of the name 'a.b'")
    refused(saved(tmp_path / "b.pth", {1: torch.ones(2), "1": torch.zeros(2)}), "two arrays of the name '1'")


def test_signs_in_names_reach_no_terminal_and_no_file(tmp_path):
    content = {"a\x1b[31m\n.weight": torch.ones(2), "\udcff": torch.ones(2)}
    assert list(read_checkpoint(saved(tmp_path / "a.pth", content)).arrays) == ["a\\x1b[31m\\n.weight", "\\udcff"]


def test_lists_that_unfold_without_end_are_refused(tmp_path):
    content = [torch.ones(1)]
    for _ in range(28):
        content = [content, content]
    refused(saved(tmp_path / "a.pth", content), "holds more than 100,000 values in its dictionaries and lists")


def npy(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return out.getvalue()


@pytest.mark.parametrize(("data", "match"), [
    (npy((10**7, 10**7)), "far more numbers than it holds"), (npy((10, 10)) + b"0000", "is broken"),
    (b"no array at all", "is broken"), (b"\x93NUMPY\x01\x00\x10\x00{(((((((((((((((\n", "is broken")])
def test_a_broken_array_of_an_npz(tmp_path, data, match):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as made:
        made.writestr("w.npy", data)
    refused(tmp_path / "a.npz", match)


def test_a_line_to_be_copied_into_a_shell_names_no_file_of_odd_signs(tmp_path):
    for name in ("$(touch x).pth", "a'); b.pth"):
        path = saved(tmp_path / name, Net())
        with pytest.raises(UserError, match=r"torch\.load\('FILE', weights_only=False\)"):
            read_checkpoint(path)


@pytest.mark.parametrize("ending", ["pth", "npz"])
def test_an_archive_that_unfolds_to_far_more_is_refused_before_it_is_read(tmp_path, monkeypatch, ending):
    zeros = torch.zeros(2_000_000)
    if ending == "npz":
        np.savez_compressed(tmp_path / "a.npz", w=zeros.numpy())
    else:
        with (zipfile.ZipFile(saved(tmp_path / "plain.pth", {"w": zeros})) as plain,
              zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as folded):
            for name in plain.namelist():
                folded.writestr(name, plain.read(name))
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: pytest.fail("it was read"))
    monkeypatch.setattr(np, "load", lambda *arguments, **options: pytest.fail("it was read"))
    refused(tmp_path / f"a.{ending}", "far more numbers than it holds")
