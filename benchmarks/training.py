"""What the training loop costs: the same network and batches in bare PyTorch loops and in ours, step by step in turn.

    python benchmarks/training.py [--rounds 60] [--threads 2] [--networks small tiny] [--cpu] [--bf16]

Bare loops, as one would write them by hand: fp32; fp32 and bf16 with channels_last; the last also with fused Adam.
Ours is `fit_networks` with all that it does at each step (seeds, NaN guard, schedule, history, progress, deterministic
algorithms), with the method's optimiser plain as in the first bare loops and fused as in the last. In each round every
loop makes one step, so that whatever else the machine does meets all of them. `small`: 6 residual blocks of 64 channels
in low-resolution space, sub-pixel output, bicubic skip, 16 patches of 32 x 32, Adam, L1. `tiny`: 2 blocks of 8
channels, 4 patches of 16 x 16, where nearly all is overhead. A row of the table: median milliseconds, the median over
rounds of the ratio to the best bare loop in that precision, how many times as fast as bare fp32, GFLOP/s (counted by
FlopCounterMode) and their share of the machine's own matrix product in that precision, measured in the same run. Then
the milliseconds of a checkpoint, which is made every 60 seconds. Rows come as they are measured; bf16 is left out where
the processor is slow at it. `--cpu` counts processor seconds: for a busy machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.nn.initialisation import he
from restore_ml.training import checkpoint
from restore_ml.training.loop import Job, fit_networks
from restore_ml.training.precision import fast_cpu
from restore_ml.training.sampler import Batch

SIZES = {"small": {"blocks": 6, "width": 64, "batch": 16, "patch": 32},
         "tiny": {"blocks": 2, "width": 8, "batch": 4, "patch": 16}}
BATCHES = 8
WARM = 5
"""Rounds before the clock starts."""
LR = 1e-3
EMA = 0.999
Step = Callable[[Batch[Tensor]], Any]
Clock = Callable[[], float]


class Block(nn.Module):
    """x + Conv-ReLU-Conv of x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Network(nn.Module):
    """Enlarges by 2."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *(Block(width) for _ in range(blocks)),
                                  nn.Conv2d(width, 12, 3, padding=1), nn.PixelShuffle(2))
        he(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + functional.interpolate(x, scale_factor=2.0, mode="bicubic")


def loss_of(network: nn.Module, lr: Tensor, hr: Tensor) -> Tensor:
    return functional.l1_loss(network(lr), hr)


class Small(Method):
    """The network and its loss as a method."""

    task = "super_resolution"
    paper: ClassVar[dict[str, Any]] = {"blocks": 6, "width": 64, "batch": 16, "patch": 32, "ema": 0.0, "steps": 0,
                                       "fused": False}
    stored_networks = ("net",)

    def build(self) -> dict[str, nn.Module]:
        return {"net": Network(self.settings["blocks"], self.settings["width"])}

    def phases(self) -> list[Phase]:
        def loss(context: Context) -> dict[str, Tensor]:
            return {"l1": loss_of(context.networks["net"], context.inputs["lr"], context.target["hr"])}

        return [Phase("train", self.settings["steps"], [Player("net", ["net"], loss,
                                                               lambda p: torch.optim.Adam(
                                                                   p, LR, fused=self.settings["fused"]))])]


class Ready:
    """Batches that are there already, in the place of the sampler: `benchmarks/loader.py` measures that one."""

    def __init__(self, batch: int, patch: int) -> None:
        draws = torch.Generator().manual_seed(1)
        self.batches = []
        for number in range(BATCHES):
            hr = torch.rand(batch, 3, 2 * patch, 2 * patch, generator=draws)
            lr = functional.avg_pool2d(hr, 2)
            self.batches.append(Batch({"lr": lr.to(memory_format=torch.channels_last)},
                                      {"hr": hr.to(memory_format=torch.channels_last)},
                                      [f"{number * batch + sample:064x}" for sample in range(batch)]))

    def __getitem__(self, step: int) -> Batch[Tensor]:
        return self.batches[step % BATCHES]

    def floats(self, batch: Batch[Tensor], device: torch.device) -> Batch[Tensor]:
        inputs, target = ({name: value.to(device) for name, value in side.items()}
                          for side in (batch.inputs, batch.target))
        return Batch(inputs, target, batch.ids)

    def ids(self, step: int) -> list[str]:
        return self[step].ids


def bare(blocks: int, width: int, dtype: torch.dtype, layout: torch.memory_format, fused: bool) -> Step:
    """A training step as it is written by hand."""
    torch.manual_seed(1)
    network = Network(blocks, width).to(memory_format=layout)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), LR, fused=fused)

    def step(batch: Batch[Tensor]) -> float:
        lr, hr = (value.to(memory_format=layout) for value in (batch.inputs["lr"], batch.target["hr"]))
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = loss_of(network, lr, hr)
        loss.backward()
        optimiser.step()
        return loss.item()  # whoever trains looks at the loss

    return step


BARE = {"bare fp32": (torch.float32, torch.contiguous_format, False),
        "bare fp32, channels_last": (torch.float32, torch.channels_last, False),
        "bare bf16, channels_last": (torch.bfloat16, torch.channels_last, False),
        "bare bf16, channels_last, fused Adam": (torch.bfloat16, torch.channels_last, True)}
OURS = {"ours, fp32": ("fp32", 0.0, False), "ours, bf16": ("bf16", 0.0, False),
        "ours, bf16, fused Adam": ("bf16", 0.0, True), f"ours, bf16, fused Adam, EMA {EMA}": ("bf16", EMA, True)}
REFERENCE, BRIDGE = "bare fp32", "bare bf16, channels_last"
"""All bare loops run beside our fp32 one, those in bf16 beside each of ours; BRIDGE joins their times to REFERENCE.
Where the processor is slow at bf16 there are fp32's alone."""


def against(size: dict[str, int], ours: str, rounds: int, folder: Path, clock: Clock,
            precisions: list[str]) -> dict[str, list[float]]:
    """Seconds of each step of our loop and of the bare ones, which make theirs inside our progress report."""
    precision, ema, fused = OURS[ours]
    data = Ready(size["batch"], size["patch"])
    loops = {name: bare(size["blocks"], size["width"], *way) for name, way in BARE.items()
             if any(word in name for word in precisions) and (precision == "fp32" or "bf16" in name)}
    seen: dict[str, list[float]] = {name: [] for name in (ours, *loops)}
    left = clock()

    def progress(phase: str, done: int, total: int, loss: float) -> None:
        nonlocal left
        seen[ours].append(clock() - left)
        deterministic(False)
        for name, step in loops.items():
            started = clock()
            step(data[done])
            seen[name].append(clock() - started)
        deterministic(True)
        left = clock()

    deterministic(True)
    method = Small({**size, "ema": ema, "fused": fused, "steps": rounds + WARM})
    fit_networks(Job(method, "small", 1, data, folder, precision, checkpoint_seconds=1e9, progress=progress))  # type: ignore[arg-type]
    return {name: values[WARM:] for name, values in seen.items()}


def deterministic(wanted: bool) -> None:
    """As `train_run` has it."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def operations(size: dict[str, int]) -> int:
    """Floating-point operations of a step."""
    network, batch = Network(size["blocks"], size["width"]), Ready(size["batch"], size["patch"])[0]
    with FlopCounterMode(display=False) as counter:
        loss_of(network, batch.inputs["lr"], batch.target["hr"]).backward()
    return int(counter.get_total_flops())


def peak(dtype: torch.dtype, clock: Clock, side: int = 2048) -> float:
    """GFLOP/s of the machine's square matrix product, the best of ten."""
    left, right = (torch.rand(side, side, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started = clock()
        left @ right
        best = min(best, clock() - started)
    return 2 * side ** 3 / best / 1e9


def table(name: str, rounds: int, folder: Path, peaks: dict[str, float], clock: Clock) -> Iterator[str]:
    """The lines of one network's table, each as soon as it is measured; bf16 where `peaks` has it."""
    size = SIZES[name]
    flops = operations(size)
    parameters = sum(p.numel() for p in Network(size["blocks"], size["width"]).parameters())
    yield (f"\n{name}: {parameters:,} parameters, {size['batch']} patches of {size['patch']} x {size['patch']}, "
           f"{flops / 1e9:.2f} GFLOP a step\n")
    yield "| loop | ms a step | to the best bare one | times bare fp32 | GFLOP/s | of the matrix product |"
    yield "|---|---|---|---|---|---|"
    bridge, gain, shown = BRIDGE if "bf16" in peaks else REFERENCE, 1.0, set()
    last = ""
    for ours, (precision, _, _) in OURS.items():
        if precision not in peaks:
            continue
        seen = against(size, ours, max(10, rounds // 3) if precision == "fp32" else rounds, folder / f"{name}-{ours}",
                       clock, list(peaks))
        medians = {loop: statistics.median(values) for loop, values in seen.items()}
        if precision == "fp32":
            gain = ratio(seen[REFERENCE], seen[bridge])
        best = min((other for other in seen if precision in other and other in BARE), key=lambda other: medians[other])
        last = ours
        for loop in sorted(loop for loop in seen if precision in loop and loop not in shown):
            shown.add(loop)
            rate = flops / medians[loop] / 1e9
            yield (f"| {loop} | {1000 * medians[loop]:.2f} | {ratio(seen[loop], seen[best]):.3f} | "
                   f"{gain / ratio(seen[loop], seen[bridge]):.2f} | {rate:.0f} | "
                   f"{100 * rate / peaks[precision]:.0f} % |")
    path = folder / f"{name}-{last}" / "checkpoint.safetensors"
    tensors, values = checkpoint.load(path)
    started = time.perf_counter()
    checkpoint.save(path, tensors, values)
    seconds = time.perf_counter() - started
    yield f"\nA checkpoint of {path.stat().st_size / 1e6:.1f} MB takes {1000 * seconds:.0f} ms: " \
          f"{100 * seconds / 60:.2f} % of the 60 seconds between two."


def ratio(left: list[float], right: list[float]) -> float:
    """The median over rounds."""
    return statistics.median(a / b for a, b in zip(left, right, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--cpu", action="store_true", help="processor seconds instead of the clock's")
    parser.add_argument("--bf16", action="store_true", help="also where the processor is slow at it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu else time.perf_counter
    peaks = {"fp32": peak(torch.float32, clock)}
    print(f"torch {torch.__version__}, {options.threads} threads, {options.rounds} rounds; matrix product: "
          f"{peaks['fp32']:.0f} GFLOP/s in fp32", flush=True)
    if options.bf16 or fast_cpu():
        peaks["bf16"] = peak(torch.bfloat16, clock)
        print(f"and {peaks['bf16']:.0f} in bf16", flush=True)
    else:
        print("bf16 is left out: this processor is slow at it, and no run is trained in it here; --bf16 measures it "
              "all the same.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            for line in table(name, options.rounds, Path(folder), peaks, clock):
                print(line, flush=True)


if __name__ == "__main__":
    main()
