"""Brains: the embedded collections, public layouts, orientation, and what is kept out of training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.files import sha256_of_file
from restore_ml.data import collections, domains, likeness, nifti, shelf
from restore_ml.data.domains.brains import CONTRASTS, DOMAIN, axial, contrast, eight_bit, from_axial
from restore_ml.data.nifti import Volume
from restore_ml.data.shards import Shards
from restore_ml.data.sources import brain_phantom, brain_template
from tests.data.domains.making import lay_out, needs, prepared, size
from tests.data.test_nifti import FORTY_EIGHT, affine_of

SHAPE = (20, 24, 3)


def volume(number: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Intensities of a made-up head: blocks of noise within a border of zeros."""
    rng = np.random.default_rng(number)
    values = np.zeros(shape, np.int16)
    coarse = rng.integers(50, 900, (6, 6, shape[2]))
    values[2:-2, 3:-3] = np.kron(coarse, np.ones((4, 4, 1), int))[:shape[0] - 4, :shape[1] - 6]
    return values


def save(folder: Path, number: int, names: tuple[str, ...] = ("t1", "t2"), suffix: str = ".nii",
         affine: np.ndarray | None = None, prefix: str = "") -> Path:
    """A patient's folder, the contrasts each of an own seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        values = volume(10 * number + index)
        if name == "seg":
            values = np.where(values > 700, 4, np.where(values > 500, 2, np.where(values > 300, 1, 0))).astype(np.int16)
        nifti.write(folder / f"{prefix}{name}{suffix}", Volume(values, np.eye(4) if affine is None else affine))
    return folder


def patients(folder: Path, numbers: range, names: tuple[str, ...] = ("t1", "t2")) -> Path:
    for number in numbers:
        save(folder / f"patient_{number}", number, names)
    return folder


# --- what a record is


def test_a_slice_has_its_contrasts_in_their_order_and_says_which_are_there(tmp_path: Path) -> None:
    place = save(tmp_path / "P1", 1, ("flair", "t1ce", "seg"))
    assert DOMAIN.parts(place) == ["slice_000", "slice_001", "slice_002"]
    arrays = DOMAIN.read(place / "slice_001")
    assert arrays["contrasts"].shape == (24, 20, 5) and arrays["contrasts"].dtype == np.uint8
    assert arrays["there"].tolist() == [0, 1, 0, 0, 1] and not arrays["contrasts"][:, :, [0, 2, 3]].any()
    flair, ce = volume(10), volume(11)
    expected = np.rint(np.clip(ce / np.percentile(ce[ce > 0], 99.5), 0, 1) * 255)
    for row in range(24):  # rows from front to back, columns from left to right
        assert np.array_equal(arrays["contrasts"][row, :, 1], expected[:, 23 - row, 1])
    assert np.array_equal(arrays["labels"][::-1, :, 0].T > 0, volume(12)[:, :, 1] > 300)
    assert np.unique(arrays["labels"]).tolist() == [0, 1, 2, 3]
    assert np.array_equal(DOMAIN.luma(arrays), arrays["contrasts"][:, :, 1]) and flair.any()


def test_the_brightest_voxels_are_clipped_where_the_volume_says() -> None:
    values = np.concatenate([np.zeros(1000), np.arange(1, 1001)]).reshape(2, 10, 100)
    scaled = eight_bit(values)  # the 99.5th percentile of 1..1000 is 995.005
    assert scaled.max() == 255 and (scaled == 255).sum() == 7  # 994 is 254.74, and so becomes 255 as well
    assert scaled.ravel()[1500] == 128 and not scaled[values == 0].any()  # 501 / 995.005 * 255 = 128.4


@pytest.mark.parametrize("turn", FORTY_EIGHT)
def test_left_stays_left_however_the_file_lies_and_a_result_goes_back(tmp_path: Path,
                                                                      turn: tuple[tuple[int, int], ...]) -> None:
    """A bright spot in the patient's left front top is at the left, at the top and in the last slice of every file."""
    ras = np.zeros((18, 20, 3), np.uint8)
    ras[1:-1, 1:-1] = 50
    ras[2, 17, 2] = 200
    file = Volume(ras.transpose([space for space, _ in turn]), affine_of(turn, (1, 1, 1)))
    for axis, (_, sign) in enumerate(turn):
        if sign < 0:
            file = Volume(np.flip(file.values, axis), file.affine)
    (tmp_path / "P").mkdir()
    nifti.write(tmp_path / "P/t1.nii.gz", file)
    read = [DOMAIN.read(tmp_path / "P" / name)["contrasts"][:, :, 0] for name in DOMAIN.parts(tmp_path / "P")]
    assert len(read) == 3 and read[2][2, 2] == 255 and (np.stack(read) == 255).sum() >= 1
    slices = axial(nifti.to_ras(file).values)
    assert np.array_equal(slices, axial(ras)) and slices[2, 2, 2] == 200
    assert np.array_equal(nifti.from_ras(from_axial(slices), file).values, file.values)


@pytest.mark.parametrize(("name", "kind"), [
    ("BraTS20_Training_001_t1ce.nii.gz", "t1ce"), ("BraTS-GLI-00000-000-t1c.nii.gz", "t1ce"),
    ("BraTS-GLI-00000-000-t2f.nii", "flair"), ("sub-01_ses-2_T1w.nii.gz", "t1"), ("sub-01_PDw.nii", "pd"),
    ("sub-01_ce-gd_T1w.nii.gz", "t1ce"), ("FLAIR.NII.GZ", "flair"), ("x_seg.nii.gz", "labels"), ("dwi.nii", ""),
    ("t1_mask.nii.gz", "")])
def test_a_name_says_the_contrast(name: str, kind: str) -> None:
    assert contrast(name) == kind


# --- public layouts


def test_brats(tmp_path: Path) -> None:
    source = tmp_path / "in/MICCAI_BraTS2020_TrainingData"
    for number in range(1, 4):
        name = f"BraTS20_Training_{number:03d}"
        save(source / name, number, ("t1", "t1ce", "t2", "flair", "seg"), ".nii.gz", prefix=f"{name}_")
    (source / "survival_info.csv").write_text("x")
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="brains")
    assert report.good == 9 and report.refused == []
    assert report.note == "Read as a BraTS folder: 3 patients, 1 other files are not taken."
    about = collections.describe(tmp_path / "data/mine")
    assert about["layout"] == "brats" and about["pictures"][
        "MICCAI_BraTS2020_TrainingData/BraTS20_Training_002/slice_001"] == {"group": "BraTS20_Training_002"}


def test_bids_with_two_sessions_of_one_patient_in_one_group(tmp_path: Path) -> None:
    for session in (1, 2):
        save(tmp_path / f"in/sub-01/ses-{session}/anat", session, ("T1w", "PDw"), prefix=f"sub-01_ses-{session}_")
    save(tmp_path / "in/sub-02/anat", 3, ("T2w",), ".nii.gz", prefix="sub-02_")
    save(tmp_path / "in/sub-02/dwi", 4, ("dwi",), ".nii.gz", prefix="sub-02_")
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="brains")
    assert report.good == 9 and report.note.startswith("Read as a BIDS folder: 2 patients")
    pictures = collections.describe(tmp_path / "data/mine")["pictures"]
    assert {facts["group"] for name, facts in pictures.items() if "sub-01" in name} == {"sub-01"}
    there = DOMAIN.read(tmp_path / "data/mine/pictures/sub-01/ses-2/anat/slice_000")["there"]
    assert dict(zip(CONTRASTS, there.tolist(), strict=True)) == {"t1": 1, "t1ce": 0, "t2": 0, "pd": 1, "flair": 0}


def test_a_file_a_contrast_and_a_folder_a_patient(tmp_path: Path) -> None:
    report = collections.add(tmp_path, "mine", patients(tmp_path / "in", range(3), ("t1", "pd")), domain="brains")
    assert (report.good, report.note) == (9, "")
    for year in (2019, 2020):
        save(tmp_path / f"years/P1/{year}", year)
    collections.add(tmp_path, "years", tmp_path / "years", layout_name="folders", domain="brains")
    pictures = collections.describe(tmp_path / "data/years")["pictures"]
    assert len(pictures) == 6 and {facts["group"] for facts in pictures.values()} == {"P1"}


@pytest.mark.benchmark_data
def test_a_real_patient_of_brats(tmp_path: Path, benchmark_data: Path) -> None:
    folder = benchmark_data / "medical_brats18/Brats18_2013_3_1"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    names = DOMAIN.parts(folder)
    assert len(names) == 137 and (names[0], names[-1]) == ("slice_005", "slice_141")  # as numpy alone counts them
    arrays = DOMAIN.read(folder / "slice_080")
    assert arrays["contrasts"].shape == (240, 240, 5) and arrays["there"].tolist() == [1, 1, 1, 0, 1]
    raw = nifti.read(folder / f"{folder.name}_seg.nii.gz").values[:, :, 80]  # stored from right to left, back to front
    assert np.array_equal(arrays["labels"][:, :, 0], np.where(raw == 4, 3, raw)[::-1].T)


@pytest.mark.benchmark_data
def test_real_pairs_of_t1_and_pd_as_volumes(tmp_path: Path, benchmark_data: Path) -> None:
    """Slices of one subject, put into two volumes as a person would, come back as they were but for the scaling."""
    folder = benchmark_data / "medical_t1_pd_aligned_derived"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    stacks = {}
    (tmp_path / "P").mkdir()
    for kind in ("t1", "pd"):
        stacks[kind] = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob(f"*_{kind}.png"))])
        nifti.write(tmp_path / f"P/{kind}.nii", Volume(from_axial(stacks[kind]), np.eye(4)))
    names = DOMAIN.parts(tmp_path / "P")
    assert len(names) == len(stacks["t1"]) == 14
    for index in (0, 13):
        arrays = DOMAIN.read(tmp_path / "P" / names[index])
        for kind in ("t1", "pd"):
            seen = stacks[kind][stacks[kind] > 0]
            expected = np.clip(stacks[kind][index] / np.percentile(seen, 99.5), 0, 1) * 255
            assert np.abs(arrays["contrasts"][:, :, CONTRASTS.index(kind)] - expected).max() <= 0.5


# --- the embedded collections


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, object]]]:
    needs("bids-manager")
    root = tmp_path_factory.mktemp("brains")
    return root, lay_out(root, "brains", "brains", "brains_phantom", "brains_train")


def test_counts_by_side_and_group(embedded: tuple[Path, dict[str, dict]]) -> None:
    root, about = embedded
    sides: dict[str, set[str]] = {}
    for name, made in about.items():
        for facts in made["pictures"].values():
            split = "test" if made["role"] == "test" else facts["split"]
            sides.setdefault(f"{name}:{split}", set()).add(facts["group"])
    assert {side: len(groups) for side, groups in sides.items()} == {
        "brains:test": 1, "brains_phantom:test": 12, "brains_train:train": 32, "brains_train:validation": 4}
    assert len(set.union(*sides.values())) == 49  # no group on two sides
    assert {name: len(made["pictures"]) for name, made in about.items()} == {
        "brains": 29, "brains_phantom": 72, "brains_train": 216}
    assert [made["synthetic"] for made in about.values()] == [False, True, True]
    assert about["brains"]["licence"].startswith("MIT; templates: Copyright (C)")
    assert about["brains_train"]["licence"] == "same licence as this project"
    assert "Fonov" in about["brains"]["source"]
    assert all(facts["computed_contrasts"].startswith("pd and flair are computed from the tissue maps")
               for facts in about["brains"]["pictures"].values())
    assert "above copyright notice appear in all copies" in " ".join(
        (root / "data/brains/pictures/mni152/LICENCE.txt").read_text().split())
    assert size(root / "data") < 40e6


def test_prepare_takes_all_of_them(embedded: tuple[Path, dict[str, dict]]) -> None:
    counts, reasons = prepared(embedded[0])
    assert reasons == {}
    assert counts == {"brains/test/brains": 29, "brains/test/brains_phantom": 72, "brains/train": 192,
                      "brains/validation": 24}
    record = Shards(embedded[0] / "prepared/brains/test/brains")[0]
    assert record.arrays["contrasts"].shape == (115, 97, 5) and record.arrays["there"].tolist() == [1, 0, 1, 1, 1]


def test_slices_of_the_template_lie_in_blocks() -> None:
    brain = np.zeros((10, 10, 40))
    brain[:5, :, 10:31] = 1
    assert [number for _, number in brain_template.slices(brain)] == [10, 11, 12, 13, 18, 19, 20, 21, 26, 27, 28, 29]


def test_computed_contrasts_follow_the_signal_equations() -> None:
    """Pure voxels: fluid vanishes in FLAIR alone. By hand, spin echo TR 3300 TE 30 gives white .5271, grey .6173, fluid
    .5534; inversion recovery .1886, .2451 and .0330."""
    needs("bids-manager")
    for tissue, pd, flair in (("wm", 0.5271, 0.1886), ("gm", 0.6173, 0.2451), ("csf", 0.5534, 0.0330)):
        assert brain_template.signal("pd", tissue) == pytest.approx(pd, abs=1e-4)
        assert brain_template.signal("flair", tissue) == pytest.approx(flair, abs=1e-4)
    volumes = brain_template.contrasts()
    maps = {name: nifti.decode(shelf.read("bids-manager", f"{brain_template.FOLDER}{name}.nii.gz")).values
            for name in ("wm", "gm", "csf", "brain_mask")}
    for name, full in (("pd", 0.6173), ("flair", 0.2451)):
        for tissue, values in (("wm", (0.5271, 0.1886)), ("gm", (0.6173, 0.2451)), ("csf", (0.5534, 0.0330))):
            pure = (maps[tissue] > 0.98) & (maps["brain_mask"] > 0.5)
            expected = values[name == "flair"] / full * 230
            assert pure.sum() > 200
            assert np.median(volumes[name].values[pure]) == pytest.approx(expected, rel=0.08, abs=4)
    assert all(not volume.values[maps["brain_mask"] < 0.5].any() for volume in volumes.values())
    real = nifti.decode(shelf.read("bids-manager", f"{brain_template.FOLDER}T1w.nii.gz")).values
    inside = maps["brain_mask"] > 0.5
    assert np.array_equal(volumes["t1"].values[inside], np.rint(real[inside] * 255))


def test_a_drawn_patient_has_what_only_some_contrasts_show() -> None:
    """T1 and T1ce differ in the lesion alone, edema is brightest in FLAIR, fluid is dark in FLAIR and bright in T2."""
    volumes = brain_phantom.patient(100)
    labels = volumes["seg"]
    assert set(np.unique(labels).tolist()) == {0, 1, 2, 4}
    means = {kind: {value: float(volumes[kind][labels == value].mean()) for value in (0, 1, 2, 4)}
             for kind in CONTRASTS}
    assert means["t1ce"][4] > 1.4 * means["t1"][4] and means["flair"][2] > 1.15 * means["t2"][2]
    assert abs(means["t1ce"][2] / means["t1"][2] - 1) < 0.15
    fluid = (volumes["t2"] > 190) & (labels == 0)
    assert fluid.sum() > 1000 and volumes["flair"][fluid].mean() < 40
    assert all((values.shape, values.dtype) == ((96, 96, 6), np.uint8) for values in volumes.values())


def test_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain_phantom, "LEARNED", range(2))
    monkeypatch.setattr(brain_phantom, "VALIDATED", range(2, 3))
    made = [brain_phantom.make_training(tmp_path / name) for name in ("a", "b")]
    files = [{path.relative_to(tmp_path / name): sha256_of_file(path) for path in (tmp_path / name).rglob("*.nii")}
             for name in ("a", "b")]
    assert made[0] == made[1] and files[0] == files[1] and len(files[0]) == 3 * 6
    assert len(set(files[0].values())) == 18


def test_the_template_is_made_with_the_same_bytes_twice(tmp_path: Path) -> None:
    needs("bids-manager")
    assert brain_template.make(tmp_path / "a") == brain_template.make(tmp_path / "b")
    for path in (tmp_path / "a/mni152").iterdir():
        assert path.read_bytes() == (tmp_path / "b/mni152" / path.name).read_bytes()


def test_what_is_missing_on_the_shelf_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path))
    with pytest.raises(shelf.Missing, match=r"bids-manager 1\.5\.2 is not on the shelf"):
        DOMAIN.embedded()["brains"](tmp_path / "pictures")


# --- what is tested on trains nothing


def test_a_patient_that_is_tested_on_trains_nothing(tmp_path: Path) -> None:
    """By group within a collection, by equal pixels under another name, and by their look after a little noise."""
    source = patients(tmp_path / "in", range(8))
    collections.add(tmp_path, "mine", source, role="train", domain="brains")
    tests = tmp_path / "tests"
    shutil.copytree(source / "patient_1", tests / "someone")
    noisy = nifti.read(source / "patient_2/t1.nii")
    changed = noisy.values + np.random.default_rng(0).integers(-3, 4, noisy.values.shape) * (noisy.values > 0)
    (tests / "noisy").mkdir()
    nifti.write(tests / "noisy/t1.nii.gz", Volume(changed.astype(np.int16), noisy.affine))
    collections.add(tmp_path, "tested", tests, domain="brains")
    about = collections.describe(tmp_path / "data/mine")
    about["pictures"]["patient_3/slice_001"]["split"] = "test"
    collections.write_json(tmp_path / "data/mine/collection.json", about)
    counts, reasons = prepared(tmp_path)
    assert counts == {"brains/test/mine": 1, "brains/test/tested": 6, "brains/train": 12, "brains/validation": 3}
    assert reasons["mine/pictures/patient_1/slice_000"] == \
        "duplicate of the test picture tested/pictures/someone/slice_000"
    assert reasons["mine/pictures/patient_2/slice_001"] == \
        "near-duplicate of the test picture tested/pictures/noisy/slice_001"
    assert reasons["mine/pictures/patient_3/slice_000"] == \
        "same group as the test picture mine/pictures/patient_3/slice_001"
    assert len(reasons) == 3 + 3 + 2


@pytest.mark.benchmark_data
def test_patients_are_told_apart_by_their_look(benchmark_data: Path) -> None:
    folder = benchmark_data / "medical_brats18"
    if not folder.is_dir():
        pytest.skip(f"There is no {folder}.")
    seen = {}
    for name in ("Brats18_2013_11_1", "Brats18_2013_3_1"):
        t1 = eight_bit(nifti.to_ras(nifti.read(folder / name / f"{name}_t1.nii.gz")).values)
        seen[name] = [likeness.look(np.ascontiguousarray(grey)) for grey in axial(t1)[20:130:5]]
    first, second = seen.values()
    looks = likeness.Looks({str(number): look for number, look in enumerate(first)}, DOMAIN.likeness)
    assert looks.nearest(second) == [None] * len(second)
    assert all(looks.nearest(first))


def test_the_domain_is_found() -> None:
    assert domains.get("brains") is DOMAIN and DOMAIN.promises("P1") and DOMAIN.promises("P1/t1.nii.gz")
