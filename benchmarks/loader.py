"""How fast training batches come: paired random crops with flips, our shards against the usual ways and the bare limit.

    python benchmarks/loader.py [--folder PICTURES] [--pictures 100] [--batches 200] [--workers 0 1 2]

All four ways cut the same crops (an enlargement by 2: 96 x 96 and its 48 x 48 twin, turned and flipped alike) from the
same pictures and give float tensors of 16: a folder of PNG files decoded a sample (the usual way), the same files in an
LMDB database, our shards, and numpy's memory map of raw pixels with the crops cut by one plain function, which is the
limit. With W workers each way runs in torch's DataLoader. `--memory` instead opens 40 and 40,000 pictures (shards that
take no room on the disk) in fresh processes and prints what each keeps resident.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.tasks.base import Material
from restore_ml.training.sampler import Sampler, Steps

BATCH, PATCH, SCALE = 16, 96, 2
RUN = {"batch": BATCH, "patch": PATCH, "scales": [SCALE]}
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="pictures to use (default: pictures made of noise and shapes)")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--batches", type=int, default=200)
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
    lay_out(folder, pictures(options.folder, options.pictures))
    ways: dict[str, Callable[[], Dataset[Any]]] = {
        "PNG folder": lambda: PngFolder(folder, options.batches), "LMDB of PNGs": lambda: Lmdb(folder, options.batches),
        "our shards": lambda: ours(folder, options.batches), "bare memory map": lambda: Bare(folder, options.batches)}
    print(f"samples a second, {options.pictures} pictures, batches of {BATCH}, median of {ROUNDS} rounds in turn\n\n"
          f"| way | {' | '.join(f'{workers} workers' for workers in options.workers)} |\n"
          f"|---|{'---|' * len(options.workers)}")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for workers in options.workers:
        seen: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, make in ways.items():
                seen[name].append(rate(make(), workers))
        for name, values in seen.items():
            found[name].append(statistics.median(values))
    for name, values in found.items():
        print(f"| {name} | {' | '.join(f'{value:.0f}' for value in values)} |")
    for name in ("bare memory map", "PNG folder"):
        shares = [ours_ / other for ours_, other in zip(found["our shards"], found[name], strict=True)]
        print(f"| ours / {name} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def rate(dataset: Dataset[Any], workers: int) -> float:
    """Samples a second after a warm-up of a tenth, workers started before the clock."""
    total = len(dataset)  # type: ignore[arg-type]
    loader = iter(DataLoader(dataset, batch_size=None, num_workers=workers,
                             multiprocessing_context="spawn" if workers else None,
                             prefetch_factor=4 if workers else None))
    warm = max(1, total // 10)
    for _ in range(warm):
        next(loader)
    started, count = time.perf_counter(), 0
    for _ in loader:
        count += 1
    return count * BATCH / (time.perf_counter() - started)


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


def lay_out(folder: Path, hr: list[np.ndarray]) -> None:
    """The same pairs as shards, PNG files, an LMDB database and raw pixels."""
    import lmdb

    task = registry.task("super_resolution")
    records = [shards.Record(f"{number:064x}", {"image": picture}) for number, picture in enumerate(hr)]
    shards.write(folder / "shards" / "00.arrow", task.training_records(records, 1, {"scales": [SCALE], "variants": []}))
    (folder / "png").mkdir()
    places: dict[str, Any] = {}
    with open(folder / "raw.bin", "wb") as raw, lmdb.open(str(folder / "lmdb"), map_size=1 << 34) as database:
        for number, picture in enumerate(hr):
            pair = {"hr": modcrop(picture, SCALE)}
            pair["lr"] = imresize(pair["hr"], 1 / SCALE)
            for name, array in pair.items():
                buffer = io.BytesIO()
                Image.fromarray(array).save(buffer, "PNG")
                (folder / "png" / f"{number}_{name}.png").write_bytes(buffer.getvalue())
                with database.begin(write=True) as transaction:
                    transaction.put(f"{number}_{name}".encode(), buffer.getvalue())
                places[f"{number}_{name}"] = (raw.tell(), array.shape)
                raw.write(array.tobytes())
    (folder / "places.json").write_text(json.dumps(places))


def ours(folder: Path, batches: int) -> Dataset[Any]:
    return Steps(Sampler(registry.task("super_resolution"), Material(folder / "shards"), RUN, 1), 0, batches)  # type: ignore[return-value]


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
            self.raw = np.memmap(self.folder / "raw.bin", mode="r")
            found = json.loads((self.folder / "places.json").read_text())
            self.views = [tuple(self.raw[start:start + int(np.prod(shape))].reshape(shape) for start, shape in
                                (found[f"{number}_{name}"] for name in ("lr", "hr"))) for number in range(self.count)]
        return self.views[number]  # type: ignore[return-value]


def memory(folder: Path) -> None:
    """Resident memory after 200 batches from 40 and from 40,000 pictures of 96 x 96."""
    print("| pictures | resident, MB | of it files mapped, MB | seconds to open |\n|---|---|---|---|")
    for count in (40, 400, 4_000, 40_000):
        place = folder / str(count)
        blank = np.zeros((96, 96, 3), np.uint8)
        arrays = {"hr": blank, "lr_x2": np.zeros((48, 48, 3), np.uint8)}
        for part in range(-(-count // 1000)):
            shards.write(place / f"{part:03d}.arrow", (shards.Record(f"{number:064x}", arrays) for number in
                                                        range(part * 1000, min(count, (part + 1) * 1000))))
        print(subprocess.run([sys.executable, __file__, "--resident", str(place)], check=True, capture_output=True,
                             text=True).stdout.strip(), flush=True)


def resident(place: Path) -> None:
    started = time.perf_counter()
    sampler = Sampler(registry.task("super_resolution"), Material(place), RUN, 1)
    opened = time.perf_counter() - started
    for step in range(200):
        sampler[step]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    size = {key: int(status[key].split()[0]) / 1024 for key in ("VmRSS", "RssFile")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {len(sampler.records)} | {size['VmRSS']:.0f} (peak {peak:.0f}) | {size['RssFile']:.0f} | {opened:.2f} |")


if __name__ == "__main__":
    main()
