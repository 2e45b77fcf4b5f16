"""Fuzzing with hypothesis: whatever a file or a request holds, it is read or refused, and no process dies.

`RESTORE_ML_FUZZ_EXAMPLES=5000 pytest tests/faults/test_fuzz.py` is a campaign.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore_ml.base.files import canonical_json
from restore_ml.data import shards
from restore_ml.data.manifest import COLUMNS
from tests.faults.mutation import Edit, bounded, damaged, edits
from tests.faults.reading import Worker

Read = Callable[[str, str, bytes], str]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """`read(reader, name, data)`: what the process of its own says of the file; faults and deaths fail the test."""
    worker, folder = Worker(), tmp_path_factory.mktemp("fuzz")

    def run(reader: str, name: str, data: bytes) -> str:
        path = folder / reader / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        said = worker.read(reader, path)
        assert said == "read" or said.startswith("refused: "), said
        return said

    yield run
    worker.close()


RNG = np.random.default_rng(11)
RGB = np.kron(RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))


def encoded(form: str, array: np.ndarray = RGB, mode: str | None = None, **options: Any) -> bytes:
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, form, **options)
    return buffer.getvalue()


def deep(form: str, channels: int) -> bytes:
    import cv2

    values = np.repeat(RGB[:, :, :1].astype(np.uint16) * 257, channels, axis=2)
    return cv2.imencode(form, values)[1].tobytes()


EXIF = Image.Exif()
EXIF[0x0112] = 6
PICTURES = {
    "png": encoded("PNG"), "png palette": encoded("PNG", mode="P"), "png alpha": encoded("PNG", mode="RGBA"),
    "png 16": deep(".png", 3), "png 16 alpha": deep(".png", 4), "png 16 grey": deep(".png", 1),
    "jpeg": encoded("JPEG", exif=EXIF), "jpeg progressive": encoded("JPEG", progressive=True),
    "jpeg cmyk": encoded("JPEG", mode="CMYK"), "tiff": encoded("TIFF"),
    "tiff lzw": encoded("TIFF", compression="tiff_lzw"), "tiff deflate": encoded("TIFF", compression="tiff_deflate"),
    "tiff jpeg": encoded("TIFF", compression="jpeg"), "tiff 16": deep(".tif", 3), "tiff 16 alpha": deep(".tif", 4),
    "webp": encoded("WEBP"), "webp lossless": encoded("WEBP", lossless=True), "gif": encoded("GIF"),
    "bmp": encoded("BMP"), "ppm": encoded("PPM"), "jpeg 2000": encoded("JPEG2000"),
}


@bounded
@given(st.sampled_from(sorted(PICTURES)), edits)
def test_pictures(read: Read, kind: str, changes: list[Edit]) -> None:
    read("picture", "x.png", damaged(PICTURES[kind], changes))


@pytest.mark.parametrize("kind", sorted(PICTURES))
def test_the_whole_pictures_are_read(read: Read, kind: str) -> None:
    assert read("picture", "x.png", PICTURES[kind]) == "read"


def scene() -> bytes:
    from safetensors.numpy import save

    arrays = {key: RNG.integers(0, 5000, (16, 18, 2), dtype=np.uint16) for key in ("target", "reference")}
    return save({**arrays, "labels": RNG.integers(0, 5, (16, 18, 1), dtype=np.uint8)})


SCENE = scene()


@bounded
@given(edits)
def test_scenes(read: Read, changes: list[Edit]) -> None:
    assert read("scene", "x.safetensors", SCENE) == "read"
    read("scene", "x.safetensors", damaged(SCENE, changes))


def manifest(**options: Any) -> bytes:
    rows = [{"id": f"{number:064x}", "path": f"photos/pictures/{number}.png", "name": str(number),
             "collection": "photos", "group": str(number), "width": 20, "height": 30, "channels": 3, "dtype": "uint8",
             "split": "train", "synthetic": False, "licence": "CC0"} for number in range(20)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), sink, **options)
    return sink.getvalue()


MANIFESTS = (manifest(), manifest(compression="none", use_dictionary=False))


@bounded
@given(st.integers(0, len(MANIFESTS) - 1), edits)
def test_manifests(read: Read, kind: int, changes: list[Edit]) -> None:
    assert read("manifest", "manifest.parquet", MANIFESTS[kind]) == "read"
    read("manifest", "manifest.parquet", damaged(MANIFESTS[kind], changes))


def shard(folder: Path) -> bytes:
    arrays = {"image": RGB[:16, :20], "mask": RGB[:5, :7, :1], "scale": np.array(2, np.int32)}
    records = [shards.Record(f"{number:064x}", arrays, {"name": f"picture {number}", "group": None})
               for number in range(4)]
    shards.write(folder / "a.arrow", records)
    return (folder / "a.arrow").read_bytes()


@pytest.fixture(scope="module")
def whole_shard(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return shard(tmp_path_factory.mktemp("shard"))


@bounded
@given(st.sampled_from(["shard", "shards"]), edits)
def test_shards(read: Read, whole_shard: bytes, reader: str, changes: list[Edit]) -> None:
    assert read(reader, "a.arrow", whole_shard) == "read"
    read(reader, "a.arrow", damaged(whole_shard, changes))


PARAMS = """\
profile: cpu
seed: 3
threads: 1
weights: {}
seeds: {paper: 3}
promotion: {confidence: 0.95}
"""
RUNS = """\
task: super_resolution
samples: {settings: &s {scales: [2, 3]}, quick: {scales: [2]}}
margins: {ssim_y: 0.002}
empty: &empty {features: none, teacher: none, recogniser: none, parts: none}
runs: &runs
  bicubic: *empty
  vdsr: {<<: *empty, settings: {width: 8, lr: 1.0e-3}, cpu: {layers: 5, steps: 10}}
  vdsr_s2: {<<: *empty, of: vdsr, seed: 4}
tested: *runs
"""
RUNS_FILE = "graph/super_resolution/runs.yaml"
words = st.sampled_from(["profile", "cpu", "seed", "threads", "processes", "precision", "weights", "tasks", "runs",
                         "support", "promotion", "seeds", "super_resolution", "inpainting", "bicubic", "vdsr", "task",
                         "method", "features", "none", "samples", "margins", "empty", "tested",
                         "settings", "of", "steps", "scales", "width", "cases", "a b", ""])
scalars = (words | st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=6) | st.dates()
           | st.binary(max_size=4))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | scalars, inner,
                                                                                          max_size=4), max_leaves=15)
SNIPPETS = ("&a [*a]", "*a", "&a {<<: *a}", "<<: *a", "!!python/object:os.system {}", "!!binary aGk=", "!!set {a}",
            "2001-99-99", "9" * 5000, "[" * 3000, "{a: " * 3000, "0x", "1_", ".nan", "-.inf", "1e999", "\u2028",
            "? [a]\n: 1", "\t", "---\n", "...\n", "%YAML 9.9\n", "!<x> a", "'", '"\\ud800"', "|+\n", "- ", ": ", "#",
            "\x00", "\ufeff")


def dumped(value: Any) -> str:
    from ruamel.yaml import YAML

    buffer = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, buffer)
    return buffer.getvalue()


@bounded
@given(st.dictionaries(words, values, max_size=6))
def test_params_of_any_values(read: Read, value: dict[str, Any]) -> None:
    try:
        text = dumped({"profile": "cpu", **value}).encode()
    except Exception:  # what cannot be written as YAML is no file of params
        return
    read("params", "params.yaml", text)


@bounded
@given(st.lists(st.tuples(st.integers(0, len(PARAMS)), st.sampled_from(SNIPPETS) | st.text(max_size=5) | words),
                max_size=3), edits | st.just([]))
def test_params_of_any_text(read: Read, added: list[tuple[int, str]], changes: list[Edit]) -> None:
    text = PARAMS
    for place, what in added:
        text = text[:place] + what + text[place:]
    read("params", "params.yaml", damaged(text.encode("utf-8", "surrogatepass"), changes))


@bounded
@given(st.dictionaries(words, values, max_size=6))
def test_runs_of_any_values(read: Read, value: dict[str, Any]) -> None:
    try:
        text = dumped({"task": "super_resolution", **value}).encode()
    except Exception:  # what cannot be written as YAML is no file of runs
        return
    read("runs", RUNS_FILE, text)


@bounded
@given(st.lists(st.tuples(st.integers(0, len(RUNS)), st.sampled_from(SNIPPETS) | st.text(max_size=5) | words),
                max_size=3), edits | st.just([]))
def test_runs_of_any_text(read: Read, added: list[tuple[int, str]], changes: list[Edit]) -> None:
    text = RUNS
    for place, what in added:
        text = text[:place] + what + text[place:]
    read("runs", RUNS_FILE, damaged(text.encode("utf-8", "surrogatepass"), changes))


COLLECTION = {"name": "collection", "role": "test", "domain": "photos", "synthetic": False, "source": "a camera",
              "licence": "own", "layout": "plain", "refused": {"bad.png": "zero bytes"},
              "pictures": {"a.png": {"split": "test", "group": "g", "licence": "CC0"}},
              "reserved": {"whole": {"phash": "00ff00ff00ff00ff", "thumbnail": "07" * 256}}}
keys = st.sampled_from([*COLLECTION, "split", "group", "phash", "thumbnail", "a.png", "../a.png", "/etc/passwd",
                        "a\x00b", ""])
json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                           | st.text(max_size=6) | keys,
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
                           max_leaves=8)


@bounded
@given(st.dictionaries(keys, json_values, max_size=4))
def test_collections_of_any_values(read: Read, change: dict[str, Any]) -> None:
    text = canonical_json({**COLLECTION, **change})
    read("collection", "collection/collection.json", text.encode("utf-8", "surrogatepass"))


@bounded
@given(edits)
def test_collections_of_any_text(read: Read, changes: list[Edit]) -> None:
    assert read("collection", "collection/collection.json", canonical_json(COLLECTION).encode()) == "read"
    read("collection", "collection/collection.json", damaged(canonical_json(COLLECTION).encode(), changes))
