"""Whether binary pays: storage, operations and time of the binary VDSRs beside VDSR itself, on this processor.

    python benchmarks/binary.py [--layers 20] [--width 64] [--side 128] [--times 3]

The first table is counted: bits of the stored model and multiply-adds for a picture of 1280 x 720. The second is
measured: milliseconds of each form for a luma of `--side` pixels squared, one thread, the least of `--times` runs, and
by how much the form's output differs from the training graph's. The forms:

    float network       VDSR itself in torch, float32, memory as torch has it by default
    ..., channels_last  the same in the memory layout in which models are served
    signs in float32    the binary network as it is served: torch convolves its signs as if they were any numbers
    XOR and popcount    the same network of packed signs in numpy (`restore_ml.nn.xnor`), no compiler needed;
                        the first and the last convolution and all normalisations are torch's

The third does so for one layer. Weights are random: they change no time. The paper's size takes about a minute.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.methods.super_resolution.vdsr import VDSRNet
from restore_ml.nn import xnor

Form = tuple[str, Callable[[], Tensor], bool]
"""Its name, what is timed, and whether its output is compared."""
LAYOUT: Any = {"memory_format": torch.channels_last}
RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("vdsr_bnn", "vdsr_bnn", {}), ("vdsr_dorefa", "vdsr_dorefa", {}), ("vdsr_abc", "vdsr_abc", {}),
    ("vdsr_abc3", "vdsr_abc", {"weight_planes": 3, "activation_planes": 3}), ("vdsr_bam", "vdsr_bam", {}))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=20, help="convolutions in all (default: 20)")
    parser.add_argument("--width", type=int, default=64, help="channels (default: 64)")
    parser.add_argument("--side", type=int, default=128, help="of the picture in pixels (default: 128)")
    parser.add_argument("--times", type=int, default=3, help="runs of each form (default: 3)")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    sizes = {"layers": options.layers, "width": options.width}
    count(sizes)
    with torch.inference_mode():
        whole(sizes, options.side, options.times)
        layer(options.width, options.side, options.times)


def count(sizes: dict[str, int]) -> None:
    """The first table."""
    print(f"{sizes['layers']} layers of {sizes['width']}; multiply-adds for 1280 x 720\n\n"
          "| run | stored, kbit | of VDSR's | multiply-adds of bits, G | of numbers, G | VDSR's, G |\n"
          "|---|---|---|---|---|---|")
    for name, method, settings in RUNS:
        facts = registry.method("super_resolution", method, {**sizes, **settings}).footprint()
        smaller = facts["stored_bits_as_float"] / facts["stored_bits"]
        bits, numbers, parent = (facts[key] / 1e9 for key in (
            "binary_multiply_adds", "multiply_adds", "multiply_adds_as_float"))
        print(f"| {name} | {facts['stored_bits'] / 1000:,.0f} | 1/{smaller:.1f} | {bits:,.1f} | {numbers:.2f}"
              f" | {parent:,.1f} |", flush=True)


def whole(sizes: dict[str, int], side: int, times: int) -> None:
    """The second table."""
    method = registry.method("super_resolution", "vdsr_bnn", sizes)
    torch.manual_seed(0)
    served: dict[str, nn.Module] = method.networks()
    trained: Any = method.networks()["net"].to(**LAYOUT).train()
    for norm in (module for module in trained.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
    trained(torch.rand(1, 1, side, side))  # so that its normalisations are those of a picture
    method.load(served, method.store({"net": trained.eval()}))
    deployed = served["net"].eval().to(**LAYOUT)
    parent, last = VDSRNet(sizes["layers"], sizes["width"]).eval(), VDSRNet(sizes["layers"], sizes["width"]).eval()
    last.to(**LAYOUT)
    x = torch.rand(1, 1, side, side)
    expected, kernels = trained(x), [xnor.words_of(layer.signs_and_sizes()[0].numpy(), 1) for layer in trained.body]
    print(f"\n{side} x {side}, one thread\n")
    rows([
        ("float network", lambda: parent(x), False), ("float network, channels_last", lambda: last(x), False),
        ("BNN, signs in float32", lambda: deployed(x), True),
        ("BNN, XOR and popcount", lambda: packed(trained, kernels, x), True)], times, expected)


def packed(net: Any, kernels: list[xnor.Words], x: Tensor) -> Tensor:
    """BNN's network with its binary layers by XOR and popcount."""
    features = net.first(x)
    for layer, kernel in zip(net.body, kernels, strict=True):
        signs = (layer.norm(features)[0] >= 0).numpy()
        features = torch.from_numpy(xnor.convolution(xnor.words_of(signs, 0), kernel, len(signs)))[None].float()
    return x + net.last(net.norm(features))


def layer(width: int, side: int, times: int) -> None:
    """The third table."""
    bits, kernel = (torch.randn(shape).sign() for shape in ((1, width, side, side), (width, width, 3, 3)))
    words, packed_kernel = xnor.words_of(bits[0].numpy(), 0), xnor.words_of(kernel.numpy(), 1)
    expected = functional.conv2d(bits, kernel, padding=1)
    many, ordered = bits.to(memory_format=torch.channels_last), kernel.to(memory_format=torch.channels_last)
    print(f"\nA layer, {width} to {width} channels\n")
    rows([("float32", lambda: functional.conv2d(bits, kernel, padding=1), True),
          ("float32, channels_last", lambda: functional.conv2d(many, ordered, padding=1), True),
          ("packing the signs", lambda: torch.from_numpy(xnor.words_of(bits[0].numpy(), 0).view("int64")), False),
          ("XOR and popcount", lambda: torch.from_numpy(xnor.convolution(words, packed_kernel, width)), True)],
         times, expected[0])


def rows(forms: list[Form], times: int, expected: Tensor) -> None:
    """Print a row a form as it comes: the least time of `times` runs, and the difference from what is expected."""
    print("| form | ms | times the float's | differs by |\n|---|---|---|---|", flush=True)
    floats = math.inf
    for name, run, compared in forms:
        seconds, output = math.inf, torch.empty(0)
        for _ in range(times):
            started = time.perf_counter()
            output = run()
            seconds = min(seconds, time.perf_counter() - started)
        if name.startswith("float"):
            floats = min(floats, seconds)
        differs = f"{(output - expected).abs().max().item():.1g}" if compared else ""
        print(f"| {name} | {1000 * seconds:,.1f} | {seconds / floats:.2f} | {differs} |", flush=True)


if __name__ == "__main__":
    main()
