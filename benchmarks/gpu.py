"""One training step of every method at its paper's settings on a GPU: milliseconds, memory, and whether all learn.

    python benchmarks/gpu.py [--runs vdsr glcic] [--settings paper|gpu|cpu|quick] [--device cuda|cpu] [--seconds 300]

The same walk as `tests/walk`, which finds the methods, on a card: each phase of a method makes two steps (more where
one does not reach all parameters) through the real loop in bf16 on pictures made in code; the last is timed, batch and
all. Memory is the most that the card held for the method. Beside it stands what the walk finds: parameters without a
gradient, what is not finite. Classical methods and those that are optimised on the picture train nothing, and restoring
is the processor's work, so neither is measured here. After --seconds nothing more is begun, and no method takes more
than a fifth of them. Where there is no GPU it says so; `--device cpu --settings quick` then tries the walk itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

CHEAPER = {"prepare_crops": 16}
"""Settings of what precedes the steps, and of nothing in them: fewer will do."""
SIDE = 300
"""The shorter side of the pictures, above every paper's crop."""


class TooLong(Exception):
    """A method had its share of the time."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="*", help="names, or task/name (default: all)")
    parser.add_argument("--settings", default="paper", choices=("quick", "cpu", "gpu", "paper"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args(arguments)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # torch reads it when it is loaded
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU that torch sees here; `--device cpu --settings quick` tries the same walk without "
                 "one.")
    from restore_ml.training.precision import resolve
    from tests.walk.entries import runs

    entries = runs(options.settings)
    names = {asked: [key for key, entry in entries.items() if asked in (key, entry.name)]
             for asked in options.runs or ()}
    unknown = [asked for asked, found in names.items() if not found]
    if unknown:
        sys.exit(f"There is no run {unknown[0]!r} in params.yaml; there are {', '.join(entries)}.")
    precision = "bf16" if options.device == "cuda" else resolve("auto")
    card = torch.cuda.get_device_name() if options.device == "cuda" else "the processor"
    print(f"{card}, torch {torch.__version__}, {precision}, {options.settings} settings\n\n"
          "| run | task | parameters | ms a step, by phase | peak memory, MiB | findings |\n|---|---|---|---|---|---|",
          flush=True)
    chosen = [key for found in names.values() for key in found] or list(entries)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder), options.settings, chosen, precision,
                        time.monotonic() + options.seconds, options.seconds / 5):
            print(row, flush=True)


def rows(folder: Path, profile: str, names: list[str], precision: str, until: float, share: float) -> Iterator[str]:
    """The lines of the table."""
    from tests.walk.entries import runs
    from tests.walk.material import Project

    project, entries = Project(folder, profile, SIDE, 4), runs(profile)
    for name in names:
        start = f"| {entries[name].name} | {entries[name].task} | "
        if time.monotonic() > until:
            yield start + "out of time | | | |"
            continue
        try:
            with limited(min(share, until - time.monotonic())):
                yield start + " | ".join(measured(name, project, entries, precision)) + " |"
        except TooLong:
            yield start + f"| | | no two steps of each phase within {share:.0f} s |"


def measured(name: str, project: Any, entries: dict[str, Any], precision: str) -> list[str]:
    """Parameters, milliseconds, memory and findings of one run."""
    from dataclasses import replace

    import torch

    from restore_ml.base import layout
    from restore_ml.base.files import read_json
    from tests.walk import checks, exemptions

    entry = entries[name]
    cheap = {key: value for key, value in CHEAPER.items() if key in entry.method.paper}
    entry = replace(entry, settings={**entry.settings, **cheap})
    if not entry.method({**entry.method.paper, **entry.settings}).trains:
        return ["", "", "", "trains nothing"]
    ends: dict[str, list[float]] = {}

    def progress(phase: str, done: int, total: int, loss: float) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.setdefault(phase, []).append(time.perf_counter())

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        steps = max(2, exemptions.MORE_STEPS.get(entry.name, (1, ""))[0])
        reached = checks.trained(entry, project, entries, precision, steps=steps, progress=progress)
        findings = checks.gradients(entry.name, reached)
    except TooLong:
        raise
    except Exception as error:  # one method must not take the others with it
        return ["", "", memory(), f"does not train: {checks.told(error)}"]
    facts = read_json(project.root / layout.model(entry.task, entry.name) / "model.json")
    times = ", ".join(f"{phase} {1000 * (last - before):.1f}" for phase, (*_, before, last) in ends.items())
    return [f"{sum(facts['parameters'].values()):,}", times, memory(), "; ".join(findings) or "none"]


def memory() -> str:
    """The most that the card held since the last reset."""
    import torch

    return f"{torch.cuda.max_memory_allocated() >> 20:,}" if torch.cuda.is_available() else ""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises `TooLong` in what it holds after so many seconds."""

    def ring(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
