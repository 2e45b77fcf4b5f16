"""Twenty ways of damaging scenes: each is refused with its reason or kept with its right meaning, and the good records
beside it survive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import save_file

from restore_ml.data import collections, domains
from restore_ml.data.prepare import prepare
from tests.data.domains.test_scenes import bands, pair, patch, scene

KIND = domains.get("scenes")
CODES = "there are 0 clear, 1 cloud, 2 shadow, 3 snow, 4 nothing measured"


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def own(folder: Path, **arrays: np.ndarray) -> None:
    """A scene in the project's own form, of which some arrays are other ones."""
    save_file({"target": bands(1), "reference": bands(2), **arrays}, folder / "bad.safetensors")


def two(folder: Path, target: np.ndarray, reference: np.ndarray, mask: np.ndarray | None = None) -> None:
    for what, values in (("target", target), ("reference", reference), ("mask", mask)):
        if values is not None:
            np.save(folder / f"bad_{what}.npy", values)


def placed(folder: Path, east: float, what: str) -> None:
    tie = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, east, 4e6, 0.0), True)]
    tifffile.imwrite(folder / f"bad_{what}.tif", bands(1), photometric="minisblack", planarconfig="contig",
                     extratags=tie)


def broken_patch(folder: Path, change: Callable[[Path], None], **options: object) -> None:
    patch(folder / "bad", 9, **options)  # type: ignore[arg-type]
    change(folder / "bad")


MASK = np.zeros((24, 32), np.uint8)

DAMAGES: dict[str, tuple[str, Callable[[Path], object], dict[str, str], int]] = {
    # content
    "a truncated scene": ("plain", lambda f: cut(scene(f / "bad.safetensors", 1), 300), {
        "bad.safetensors": "not a safetensors file: Error while deserializing: incomplete metadata, file not fully "
                           "covered"}, 0),
    "bands as signed numbers": ("plain", lambda f: own(f, target=bands(1).astype(np.int16)), {
        "bad.safetensors": "target and reference must be uint16 (reflectance x 10000)"}, 0),
    "a reference of another size": ("pairs", lambda f: two(f, bands(1), bands(2, (24, 28))), {
        "bad_target.npy": "target and reference differ: 32 x 24 with 4 bands and 28 x 24 with 4 bands"}, 0),
    "a truncated GeoTIFF": ("pairs", lambda f: (pair(f, "bad", 1), cut(f / "bad_target.tif", 4)), {
        "bad_target.tif": "target.tif cannot be read: unpack requires a buffer of 4 bytes"}, 0),
    "numbers that are no reflectance": ("pairs", lambda f: two(f, bands(1).astype(np.float32), bands(2)), {
        "bad_target.npy": "target.npy has values up to 5989: reflectance, or whole numbers of reflectance x 10000, are "
                          "read"}, 0),
    "8-bit levels": ("pairs", lambda f: two(f, bands(1).astype(np.uint8), bands(2)), {
        "bad_target.npy": "target.npy holds 8-bit levels, which are no reflectance x 10000: save pictures as PNG"}, 0),
    "a scene of 12 pixels": ("pairs", lambda f: two(f, bands(1, (12, 32)), bands(2, (12, 32))), {
        "bad_target.npy": "target.npy is too small: 32 x 12 with 4 bands"}, 0),
    "an array of objects": ("pairs", lambda f: two(f, np.array([{}], object), bands(2)), {
        "bad_target.npy": "target.npy is no whole .npy file of numbers: Object arrays cannot be loaded when "
                          "allow_pickle=False"}, 0),
    "nothing measured anywhere": ("pairs", lambda f: two(f, np.full((24, 32, 4), -9999, np.int16), bands(2)), {
        "bad_target.npy": "nothing was measured anywhere in target.npy"}, 0),
    # annotation
    "a mask of another size": ("pairs", lambda f: two(f, bands(1), bands(2), MASK[:20]), {
        "bad_target.npy": "mask.npy is 32 x 20, its scene 32 x 24"}, 0),
    "a code that masks have not": ("pairs", lambda f: two(f, bands(1), bands(2), MASK + np.uint8(7)), {
        "bad_target.npy": f"a mask with the code 7: {CODES}"}, 0),
    "a mask in colour": ("pairs", lambda f: two(f, bands(1), bands(2), np.zeros((24, 32, 3), np.uint8)), {
        "bad_target.npy": "mask.npy must have one channel of whole numbers"}, 0),
    "names for fewer bands": ("plain", lambda f: scene(f / "bad.safetensors", 1, "B2 B3"), {
        "bad.safetensors": "2 names for 4 bands"}, 0),
    "further bands at one date only": ("plain", lambda f: own(f, target_further=bands(3)), {
        "bad.safetensors": "a scene holds target, reference and perhaps labels, mask and further bands of both, not "
                           "['reference', 'target', 'target_further']"}, 0),
    "clouds of other dates": ("eopatch", lambda f: broken_patch(f, lambda p: np.save(
        p / "mask/CLM.npy", np.zeros((3, 24, 32, 1), np.uint8))), {
            "bad": "CLM.npy is 3 x 24 x 32 x 1, BANDS.npy 5 x 24 x 32 x 4"}, 0),
    # layout
    "no reference": ("pairs", lambda f: np.save(f / "bad_target.npy", bands(1)), {
        "bad_target.npy": "no reference in it"}, 0),
    "two files for one date": ("pairs", lambda f: (pair(f, "bad", 1), np.save(f / "bad_target.npy", bands(2))), {
        "bad_target.tif": "two files for one date: target.npy and target.tif"}, 0),
    "two places on the ground": ("pairs", lambda f: (placed(f, 3e5, "target"), placed(f, 4e5, "reference")), {
        "bad_target.tif": "target and reference lie at different places on the ground"}, 0),
    "one clear date": ("eopatch", lambda f: broken_patch(f, lambda p: None, cloudy=(0, 1, 2, 3)), {
        "bad": "1 clear dates: two are needed"}, 0),
    "a date alone among scenes": ("plain", lambda f: np.save(f / "2018.npy", bands(1)), {
        "2018.npy": "no scene of two dates: name the files <name>_target and <name>_reference"}, 0),
    "a clear picture without its cloudy one": ("rice", lambda f: Image.fromarray(
        bands(1)[..., :3].astype(np.uint8)).save(f / "label/bad.png"), {"label/bad.png": "no reference in it"}, 0),
}


def good(folder: Path, layout: str) -> int:
    """Records of that layout that nothing is wrong with; how many they are."""
    if layout == "plain":
        scene(folder / "good.safetensors", 50)
        scene(folder / "better.safetensors", 51)
    elif layout == "pairs":
        pair(folder, "good", 50)
        pair(folder, "better", 51, "npy")
    elif layout == "eopatch":
        patch(folder / "good", 5, dates=3, cloudy=())
    else:
        for number in range(2):
            for side in ("cloud", "label"):
                (folder / side).mkdir(exist_ok=True)
                values = np.random.default_rng(10 * number + len(side)).integers(0, 256, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(values).save(folder / side / f"{number}.png")
    return 2


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(tmp_path: Path, name: str) -> None:
    layout, damage, refused, survivors = DAMAGES[name]
    source = tmp_path / "in"
    source.mkdir()
    count = good(source, layout)
    damage(source)
    report = collections.add(tmp_path, "mine", source, role="train", domain="scenes")
    assert dict(report.refused) == refused
    assert report.good == count + survivors
    assert collections.describe(tmp_path / "data/mine")["refused"] == refused
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.counts["scenes/train"] + summary.counts["scenes/validation"] == count + survivors


def test_there_are_twenty_and_one() -> None:
    assert len(DAMAGES) == 21
