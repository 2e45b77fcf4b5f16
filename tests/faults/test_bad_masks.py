"""Bad masks wherever one enters: of another size, without a hole, over everything, no picture at all."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.data_docs import run
from restore_ml.data.manifest import read_table
from restore_ml.data.pictures import read_picture
from restore_ml.data.shards import Record
from restore_ml.degrading.contract_table import write_contract
from restore_ml.degrading.contracts import CONTRACT, task_suites
from restore_ml.method import Model
from restore_ml.restoring.harness import restore
from restore_ml.serving.batch import restore_folder
from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Limits
from restore_ml.serving.restore_command import encode, restore_file
from tests.faults import zoo
from tests.serving.conftest import add_model, as_text
from tests.serving.test_server import send

SIDE = (zoo.HEIGHT, zoo.WIDTH, 1)
EMPTY, FULL = np.zeros(SIDE, np.uint8), np.full(SIDE, 255, np.uint8)
HOLE = EMPTY.copy()
HOLE[8:16, 8:24] = 255
ALMOST = FULL.copy()
ALMOST[3, 4] = 0
BAD = {"small": (HOLE[:20], "of the same size"), "turned": (HOLE.transpose(1, 0, 2), "of the same size"),
       "full": (FULL, "covers the whole picture"), "empty": (EMPTY, "marks nothing"),
       "photograph": (zoo.pixels(5), "a picture in colours")}
ZERO_ONE = HOLE // 255
GOOD = {"hole": HOLE, "zero and one": ZERO_ONE, "one known pixel": ALMOST, "half grey": HOLE // 2 + 1,
        "rgb": np.repeat(HOLE, 3, axis=2)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with Telea's inpainting and bicubic enlargement."""
    root = tmp_path_factory.mktemp("model")
    for name in ("telea", "bicubic"):
        add_model(root, name)
    (root / "params.yaml").write_text("profile: quick\n")
    return root


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(encode(zoo.pixels(1)))
    return path


def test_restore_command(model: Path, picture: Path, tmp_path: Path) -> None:
    out, given = tmp_path / "out.png", tmp_path / "mask.png"

    def fill(mask: Path | None, task: str = "inpainting", run: str = "telea") -> str:
        return restore_file(model, task, run, picture, out, mask=mask)

    for mask, said in BAD.values():
        given.write_bytes(encode(mask))
        with pytest.raises(UserError, match=said):
            fill(given)
    given.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"The mask .*mask\.png cannot be used: not an image"):
        fill(given)
    with pytest.raises(UserError, match="needs a mask"):
        fill(None)
    with pytest.raises(UserError, match="There is no mask"):
        fill(tmp_path / "nowhere.png")
    given.write_bytes(encode(HOLE))
    with pytest.raises(UserError, match="super_resolution takes no mask"):
        fill(given, "super_resolution", "bicubic")
    assert not out.exists()
    for name, mask in GOOD.items():
        given.write_bytes(encode(mask))
        said = fill(given)
        known = mask.min(axis=2) == mask.min()
        assert f"The mask marks {1 - known.mean():.1%} of the picture" in said, name
        assert np.array_equal(read_picture(out)[known], zoo.pixels(1)[known]), name


def test_a_folder_of_masks(model: Path, tmp_path: Path) -> None:
    source, masks = tmp_path / "in", tmp_path / "masks"
    source.mkdir()
    masks.mkdir()
    made = {**{name: mask for name, (mask, _) in BAD.items()}, **GOOD}
    for number, (name, mask) in enumerate(made.items()):
        (source / f"{name}.png").write_bytes(encode(zoo.pixels(number)))
        (masks / f"{name}.tif").write_bytes(encode(mask, "TIFF"))
    for name, data in (("text", b"no picture"), ("zero", b"")):
        (source / f"{name}.png").write_bytes(encode(zoo.pixels(1)))
        (masks / f"{name}.png").write_bytes(data)
    for name in ("none", "two"):
        (source / f"{name}.png").write_bytes(encode(zoo.pixels(1)))
    for ending in ("tif", "bmp"):
        (masks / f"two.{ending}").write_bytes(encode(HOLE, "TIFF"))
    (source / "out.png").write_bytes(encode(zoo.pixels(1)))
    (masks / "out.png").symlink_to(source / "out.png")
    assert restore_folder(model, "inpainting", "telea", source, tmp_path / "out", mask=masks) == 1
    rows = {row["source"]: row for row in csv.DictReader((tmp_path / "out/report.csv").open())}
    wanted = {**{name: said for name, (_, said) in BAD.items()}, "text": "cannot be used: not an image",
              "zero": "zero bytes", "none": "There is no mask none.png", "two": "several masks for two.png",
              "out": "out.png"}
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {f"{name}.png" for name in wanted}
    for name, said in wanted.items():
        assert said in rows[f"{name}.png"]["reason"], rows[f"{name}.png"]
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == set(GOOD)
    shares = {name: float(rows[f"{name}.png"]["mask_share"]) for name in GOOD}
    assert shares == pytest.approx({name: (mask > mask.min()).all(axis=2).mean() for name, mask in GOOD.items()},
                                   abs=1e-6)


def test_one_mask_for_all_that_fits_only_some(model: Path, tmp_path: Path) -> None:
    source, mask = tmp_path / "in", tmp_path / "mask.png"
    source.mkdir()
    mask.write_bytes(encode(HOLE))
    (source / "fits.png").write_bytes(encode(zoo.pixels(1)))
    (source / "other.png").write_bytes(encode(zoo.pixels(1)[:20]))
    assert restore_folder(model, "inpainting", "telea", source, tmp_path / "out", mask=mask) == 1
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["fits.png"]
    with pytest.raises(UserError, match="There is no"):
        restore_folder(model, "inpainting", "telea", source, tmp_path / "out", mask=tmp_path / ("m" * 300))


def test_serving(model: Path) -> None:
    engine = Engine(model, "inpainting", "telea", Limits(megapixels=1.0), threads=1)
    image = as_text(zoo.pixels(1))

    def status(mask: str | None) -> tuple[int, str]:
        reply = send(engine, {"instances": [{"image": image, "mask": mask}]})
        return reply.status_code, reply.text

    for mask, _ in BAD.values():
        code, text = status(as_text(mask))
        assert code == 422 and any(words in text for words in ("size", "whole picture", "marks nothing", "colours"))
    for mask in (None, "", "@", "aGVsbG8="):
        assert status(mask)[0] == 422
    for name, mask in GOOD.items():
        assert status(as_text(mask))[0] == 200, name


METHODS = {"telea": {}, "partial_conv": {"widths": [4, 4, 4]}, "context_encoder": {"width": 4, "bottleneck": 8},
           "glcic": {"width": 4, "dilations": [2]}, "edge_connect": {"width": 4, "blocks": 1, "disc_width": 4},
           "dip_watermark": {"widths": [4, 4], "extra_levels": 0, "steps": 1, "perceptual": 0.0, "noise_channels": 4}}


@pytest.mark.parametrize("name", METHODS)
def test_no_method_breaks_on_an_empty_or_full_mask(name: str) -> None:
    """Each method of inpainting in the harness: the output is whole and what is known stays to the bit."""
    import torch

    torch.manual_seed(1)
    method = registry.method_class("inpainting", name)(METHODS[name])
    networks = {key: value.eval() for key, value in method.build().items() if key in method.stored_networks}
    model = Model(networks, {"mean": np.full(3, 0.5, np.float32)} if name == "glcic" else {})
    method.constants = model.arrays
    side = 64
    image = np.kron(zoo.pixels(3)[:16, :16], np.ones((4, 4, 1), np.uint8))
    one = np.zeros((side, side, 1), np.uint8)
    one[5, 6] = 1
    for mask in (np.zeros((side, side, 1), np.uint8), np.ones((side, side, 1), np.uint8), one, 1 - one):
        found = restore(method, model, {"image": image * (1 - mask), "mask": mask}, 1)["image"]
        assert found.shape == image.shape and found.dtype == np.uint8
        assert np.array_equal(found[mask[:, :, 0] == 0], image[mask[:, :, 0] == 0])


CLOUDS = {"rs_direct": {}, "rs_global_linear": {}, "rs_ksvd": {"atoms": 4, "iterations": 1, "signals": 60},
          "rs_anr": {"anchors": 4, "iterations": 1, "signals": 60},
          "rs_aplus": {"anchors": 4, "iterations": 1, "signals": 60, "neighbours": 16, "pool": 200},
          "rs_jnr": {"anchors": 4, "iterations": 1, "signals": 60, "neighbours": 16, "pool": 200}}


@pytest.mark.parametrize("name", CLOUDS)
def test_no_cloud_method_breaks_on_an_empty_or_full_mask(name: str) -> None:
    method = registry.method_class("cloud_removal", name)(CLOUDS[name])
    rng = np.random.default_rng(1)
    scene = rng.random((32, 32, 3)).astype(np.float32)
    one = np.zeros((32, 32, 1), np.uint8)
    one[5, 6] = 1
    for mask in (np.zeros_like(one), np.ones_like(one), one, 1 - one):
        inputs = {"target": scene * (1 - mask), "reference": scene[::-1].copy(), "mask": mask}
        found = restore(method, Model(), inputs, 1)["image"]
        assert found.shape == scene.shape and np.isfinite(found).all()
        assert np.array_equal(found[mask[:, :, 0] == 0], inputs["target"][mask[:, :, 0] == 0])


def test_the_contract_sees_a_sample_without_a_hole_or_without_a_known_pixel(tmp_path: Path) -> None:
    """In the pipeline such a sample stops the stage `validate`, before anything is trained on it."""
    image = zoo.pixels(1)[:8, :8]
    facts = {"name": "a", "group": "a", "collection": "photos", "synthetic": False}
    masks = [np.full((8, 8, 1), value, np.uint8) for value in (0, 1)]
    for part in ("inputs", "targets"):
        samples = [Record(f"{number:064x}", {"image": image, **({"mask": mask} if part == "inputs" else {})}, facts)
                   for number, mask in enumerate(masks)]
        shards.write(tmp_path / f"samples/inpainting/{part}/photos/centre.arrow", samples)
    write_contract(tmp_path / "samples/inpainting")
    table = read_table(tmp_path / "samples/inpainting" / CONTRACT).to_pandas()
    assert list(table["inputs.mask.mean"]) == [0.0, 1.0]
    suites = task_suites(registry.task("inpainting"), table, {}, tmp_path / "prepared")
    said = "\n".join(map(str, run(suites, tmp_path / "docs")))
    assert "inputs.mask.mean" in said and all(f"{number:064x}" in said for number in range(2)), said


def test_a_mask_of_the_wrong_size_never_becomes_a_sample() -> None:
    from restore_ml.degrading.cases import check
    from restore_ml.tasks.base import Sample

    task, image = registry.task("inpainting"), zoo.pixels(1)
    wrong = {"two channels": np.zeros((*image.shape[:2], 2), np.uint8), "flat": np.zeros(image.shape[:2], np.uint8),
             "of another kind": np.zeros((*image.shape[:2], 1), np.float32)}
    for mask in wrong.values():
        with pytest.raises(ValueError, match="mask"):
            check(task, Sample({"image": image, "mask": mask}, {"image": image}))
