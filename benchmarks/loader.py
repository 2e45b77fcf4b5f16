"""How fast training batches come: paired random crops with flips, our shards against the usual ways and the bare limit.

    python benchmarks/loader.py [--folder PICTURES] [--pictures 100] [--batches 400] [--workers 0 1 2]

All ways cut the same crops (an enlargement by 2: 96 x 96 and its 48 x 48 twin, turned and flipped alike) from the same
pictures and give float tensors of 16: a folder of PNG files decoded a sample (the usual way), the same files in an LMDB
database, our shards, numpy's memory map of raw pixels with the crops cut by one plain function, and that map with every
operation as fast as we know how (turned by OpenCV, all draws of a batch at once), which bounds what any loader can do.
With W workers each way runs in torch's DataLoader. Beside the rate stands the processor time of all its processes a
sample, which other work on the machine disturbs less. `--memory` instead opens 40 to 40,000 pictures (shards that take
little room on the disk) in fresh processes and prints what each keeps resident.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.tasks.base import Material
from restore_ml.training.sampler import Sampler, Steps
from restore_ml.training.workers import WidePipes

BATCH, PATCH, SCALE = 16, 96, 2
RUN = {"batch": BATCH, "patch": PATCH, "scales": [SCALE]}
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="pictures to use (default: pictures made of noise and shapes)")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--resident", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        resident(options.resident)
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            memory(Path(folder))
        else:
            rates(Path(folder), options)


def rates(folder: Path, options: argparse.Namespace) -> None:
    with_lmdb = importlib.util.find_spec("lmdb") is not None
    if not with_lmdb:
        print("LMDB is left out: the package lmdb is not installed; `pip install -e '.[benchmarks]'` brings it.\n",
              flush=True)
    lay_out(folder, pictures(options.folder, options.pictures), with_lmdb)
    slow = max(2, options.batches // 10)
    ways: dict[str, Callable[[], Dataset[Any]]] = {  # made anew for workers: what is open does not travel
        "PNG folder": lambda: PngFolder(folder, slow), "LMDB of PNGs": lambda: Lmdb(folder, slow),
        "our shards": lambda: ours(folder, options.batches), "numpy memory map": lambda: Bare(folder, options.batches),
        "memory map, fastest operations": lambda: Fastest(folder, options.batches)}
    if not with_lmdb:
        del ways["LMDB of PNGs"]
    columns: list[str] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for workers in options.workers:
        columns += [f"samples/s, {workers} workers", f"CPU us/sample, {workers} workers"]
        loaders = {name: Loader(make(), workers) for name, make in ways.items()}
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, loader in loaders.items():
                seen[name].append(loader.once())
        for name, values in seen.items():
            found[name].append((statistics.median(rate for rate, _ in values),
                                statistics.median(cost for _, cost in values)))
    print(f"{options.pictures} pictures, batches of {BATCH}, median of {ROUNDS} rounds in turn\n\n"
          f"| way | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, pairs in found.items():
        print(f"| {name} | {' | '.join(f'{rate:.0f} | {cost:.1f}' for rate, cost in pairs)} |")
    for name in ("numpy memory map", "memory map, fastest operations", "PNG folder"):
        shares = [(a[0] / b[0], b[1] / a[1]) for a, b in zip(found["our shards"], found[name], strict=True)]
        print(f"| ours / {name} | {' | '.join(f'{rate:.2f} | {cost:.2f}' for rate, cost in shares)} |")


class Loader:
    """A way behind torch's DataLoader, its workers kept from round to round."""

    def __init__(self, dataset: Dataset[Any], workers: int) -> None:
        self.dataset = dataset
        self.samples = len(dataset) * BATCH  # type: ignore[arg-type]
        self.loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0,
                                 multiprocessing_context=self.context(dataset) if workers else None,
                                 prefetch_factor=4 if workers else None)
        before = set(multiprocessing.active_children())
        self.once()  # starts the workers and reads the files once
        self.processes = [os.getpid(), *(child.pid for child in set(multiprocessing.active_children()) - before)]

    @staticmethod
    def context(dataset: Dataset[Any]) -> str | WidePipes:
        """That of our own training for our shards; the usual one for the others, whose floats take no pipe."""
        return WidePipes() if isinstance(dataset, Steps) else "spawn"

    def once(self) -> tuple[float, float]:
        """(samples a second, processor time a sample in microseconds) of one pass."""
        processes = getattr(self, "processes", [])
        started, used = time.perf_counter(), sum(map(processor_time, processes))
        for batch in self.loader:
            if isinstance(self.dataset, Steps):  # the others hand over floats
                self.dataset.sampler.floats(batch, torch.device("cpu"))
        took = time.perf_counter() - started
        return self.samples / took, (sum(map(processor_time, processes)) - used) / self.samples * 1e6


def processor_time(process: int) -> float:
    """Seconds of a process on Linux: the clock whose number is made of its own, as clock_getcpuclockid makes it."""
    return time.clock_gettime(~process << 3 | 2)


def pictures(folder: Path | None, count: int) -> list[np.ndarray]:
    """RGB pictures of at least 128 pixels a side."""
    if folder is None:
        rng = np.random.default_rng(1)
        coarse = [rng.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(count)]
        return [np.clip(imresize(picture, 10).astype(int) + rng.integers(-8, 9, (400, 480, 3)), 0, 255).astype(np.uint8)
                for picture in coarse]
    found = []
    for path in sorted(folder.rglob("*"))[:count]:
        with Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB")))
    return found


def lay_out(folder: Path, hr: list[np.ndarray], with_lmdb: bool) -> None:
    """The same pairs as shards, PNG files, raw pixels and, where the package is installed, an LMDB database."""
    training = registry.parts("super_resolution").training
    records = [shards.Record(f"{number:064x}", {"image": picture}) for number, picture in enumerate(hr)]
    shards.write(folder / "shards" / "00.arrow", training.records(records, 1, {"scales": [SCALE]}))
    (folder / "png").mkdir()
    places: dict[str, Any] = {}
    with open(folder / "raw.bin", "wb") as raw:
        for number, picture in enumerate(hr):
            pair = {"hr": modcrop(picture, SCALE)}
            pair["lr"] = imresize(pair["hr"], 1 / SCALE)
            for name, array in pair.items():
                Image.fromarray(array).save(folder / "png" / f"{number}_{name}.png")
                places[f"{number}_{name}"] = (raw.tell(), array.shape)
                raw.write(array.tobytes())
    (folder / "places.json").write_text(json.dumps(places))
    if with_lmdb:
        import lmdb

        with lmdb.open(str(folder / "lmdb"), map_size=1 << 34) as database:
            for path in sorted((folder / "png").iterdir()):
                with database.begin(write=True) as transaction:
                    transaction.put(path.stem.encode(), path.read_bytes())


def ours(folder: Path, batches: int) -> Dataset[Any]:
    return Steps(Sampler(registry.parts("super_resolution"), Material(folder / "shards"), RUN, 1), 0, batches)  # type: ignore[return-value]


class Crops(Dataset[Any]):
    """Batches of crops by the usual code; how a pair of pictures is read is each way's own."""

    def __init__(self, folder: Path, batches: int) -> None:
        self.folder, self.batches = folder, batches
        self.count = len(json.loads((folder / "places.json").read_text())) // 2

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step >= self.batches:
            raise IndexError(step)
        rng, side = np.random.default_rng(step), PATCH // SCALE
        lr = np.empty((BATCH, side, side, 3), np.uint8)
        hr = np.empty((BATCH, PATCH, PATCH, 3), np.uint8)
        for slot in range(BATCH):
            small, large = self.pair(int(rng.integers(self.count)))
            top, left = int(rng.integers(small.shape[0] - side + 1)), int(rng.integers(small.shape[1] - side + 1))
            cut = small[top:top + side, left:left + side]
            twin = large[top * SCALE:(top + side) * SCALE, left * SCALE:(left + side) * SCALE]
            if rng.integers(2):
                cut, twin = cut[:, ::-1], twin[:, ::-1]
            if rng.integers(2):
                cut, twin = cut[::-1], twin[::-1]
            if rng.integers(2):
                cut, twin = cut.swapaxes(0, 1), twin.swapaxes(0, 1)
            lr[slot], hr[slot] = cut, twin
        return tuple(torch.from_numpy(array).permute(0, 3, 1, 2).float().div_(255) for array in (lr, hr))  # type: ignore[return-value]

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


class PngFolder(Crops):
    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.asarray(Image.open(self.folder / "png" / f"{number}_{name}.png")) for name in ("lr", "hr"))  # type: ignore[return-value]


class Lmdb(Crops):
    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        import lmdb

        if not hasattr(self, "database"):
            self.database = lmdb.open(str(self.folder / "lmdb"), readonly=True, lock=False)
        with self.database.begin() as transaction:
            return tuple(np.asarray(Image.open(io.BytesIO(transaction.get(f"{number}_{name}".encode()))))  # type: ignore[return-value]
                         for name in ("lr", "hr"))


class Bare(Crops):
    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "raw"):
            self.raw = np.asarray(np.memmap(self.folder / "raw.bin", mode="r"))
            found = json.loads((self.folder / "places.json").read_text())
            self.views = [tuple(self.raw[start:start + int(np.prod(shape))].reshape(shape) for start, shape in
                                (found[f"{number}_{name}"] for name in ("lr", "hr"))) for number in range(self.count)]
        return self.views[number]  # type: ignore[return-value]


class Fastest(Bare):
    """The same work by the fastest operations known here."""

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step >= self.batches:
            raise IndexError(step)
        side = PATCH // SCALE
        lr = np.empty((BATCH, side, side, 3), np.uint8)
        hr = np.empty((BATCH, PATCH, PATCH, 3), np.uint8)
        draws = np.random.default_rng(step).random((BATCH, 5)).tolist()
        for slot, (number, row, column, flip, turn) in enumerate(draws):
            small, large = self.pair(int(number * self.count))
            top, left = int(row * (small.shape[0] - side + 1)), int(column * (small.shape[1] - side + 1))
            turns = int(turn * 4)
            cut = small[top:top + side, left:left + side]
            twin = large[top * SCALE:(top + side) * SCALE, left * SCALE:(left + side) * SCALE]
            if flip < 0.5:
                cut, twin = cv2.flip(cut, 1), cv2.flip(twin, 1)
            if turns:
                cut, twin = cv2.rotate(cut, turns - 1), cv2.rotate(twin, turns - 1)
            lr[slot], hr[slot] = cut, twin
        return tuple(torch.from_numpy(np.divide(array, np.float32(255))).permute(0, 3, 1, 2) for array in (lr, hr))  # type: ignore[return-value]


def memory(folder: Path) -> None:
    """Resident memory after 400 batches from 40 and from 40,000 pictures of 96 x 96."""
    print("| pictures | resident (peak), MB | its own, MB | of files mapped, MB | CPU seconds to open |\n"
          "|---|---|---|---|---|", flush=True)
    for count in (40, 400, 4_000, 40_000):
        place = folder / str(count)
        blank = np.zeros((96, 96, 3), np.uint8)
        arrays = {"hr": blank, "lr_x2": np.zeros((48, 48, 3), np.uint8)}
        for part in range(-(-count // 1000)):
            shards.write(place / f"{part:03d}.arrow", (shards.Record(f"{number:064x}", arrays) for number in
                                                        range(part * 1000, min(count, (part + 1) * 1000))))
            subprocess.run(["fallocate", "--dig-holes", str(place / f"{part:03d}.arrow")], check=True)
        print(subprocess.run([sys.executable, __file__, "--resident", str(place)], check=True, capture_output=True,
                             text=True).stdout.strip(), flush=True)


def resident(place: Path) -> None:
    started = time.process_time()
    sampler = Sampler(registry.parts("super_resolution"), Material(place), RUN, 1)
    opened = time.process_time() - started
    for step in range(400):
        sampler[step]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    now, own, mapped = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon", "RssFile"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {len(sampler.records)} | {now:.0f} ({peak:.0f}) | {own:.0f} | {mapped:.0f} | {opened:.2f} |")


if __name__ == "__main__":
    main()
