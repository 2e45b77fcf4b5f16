"""Near-duplicates and crops: found when they are there, no false alarm on photographs."""

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from skimage import data

from restore_ml.data.likeness import Crops, Look, Looks, correlation, fingerprints, look, luma
from restore_ml.data.pictures import read_picture

COLOUR = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
GREY = [data.camera()[:, :, None], data.brick()[:, :, None], data.coins()[:, :, None], data.moon()[:, :, None]]
PHOTOS = COLOUR + GREY


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(buffer, "JPEG", quality=quality)
    found = np.asarray(Image.open(buffer))
    return found if found.ndim == 3 else found[:, :, None]


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    image = Image.fromarray(picture.squeeze())
    size = (round(image.width * factor), round(image.height * factor))
    found = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    return found if found.ndim == 3 else found[:, :, None]


CHANGES = {"jpeg": lambda p: jpeg(p, 20), "half": lambda p: resized(p, 0.5), "double": lambda p: resized(p, 2),
           "brighter": lambda p: np.clip(p * 1.15, 0, 255).astype(np.uint8), "grey": lambda p: luma(p)[:, :, None],
           "noise": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 15, p.shape), 0, 255).astype(np.uint8)}


def test_luma_is_bt601():
    picture = COLOUR[0]
    assert np.abs(luma(picture) - picture @ np.array([0.299, 0.587, 0.114])).max() < 1.5
    grey = GREY[0]
    assert np.array_equal(luma(grey), grey[:, :, 0])
    assert np.array_equal(luma(np.repeat(grey, 3, axis=2)), grey[:, :, 0])


def test_hash_is_the_dct_hash():
    """Bits against scipy's DCT of the same 32 x 32 reduction."""
    grey = luma(COLOUR[0])
    small = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BOX)).astype(float)
    low = dctn(small, type=2)[:8, :8].ravel()[1:]
    # scipy's unnormalised DCT is twice ours in each direction: the same signs against the median
    expected = sum(1 << int(place) for place in np.flatnonzero(low > np.median(low)))
    assert look(grey).phash == expected


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_near(change):
    looks = Looks({str(number): look(luma(picture)) for number, picture in enumerate(PHOTOS)})
    for number, picture in enumerate(PHOTOS):
        assert looks.near(look(luma(CHANGES[change](picture)))) == str(number)


def test_different_photographs_are_not_near():
    for first, second in combinations([look(luma(picture)) for picture in PHOTOS], 2):
        assert Looks({"x": first}).near(second) is None


def test_flat_pictures_have_no_hash():
    flat = look(np.full((40, 40), 77, np.uint8))
    assert flat.phash is None and Looks({"x": flat}).near(flat) is None
    assert len(fingerprints(np.full((400, 400), 255, np.uint8))) == 0
    assert correlation(flat.thumbnail, flat.thumbnail) == 0


def test_look_survives_json():
    for value in (look(luma(PHOTOS[0])), look(np.zeros((20, 20), np.uint8))):
        assert Look.from_json(value.as_json()) == value


@pytest.mark.parametrize(("y", "x"), [(0, 0), (13, 101), (255, 255)])
def test_an_exact_crop_is_found_wherever_it_lies(y, x):
    crops = Crops({"other": fingerprints(luma(COLOUR[1])), "astronaut": fingerprints(luma(COLOUR[0]))})
    crop = COLOUR[0][y:y + 120, x:x + 130]
    assert crops.overlap(fingerprints(luma(crop))) == "astronaut"
    # and the other way round: the tile is tested, the whole photograph comes as training
    assert Crops({"tile": fingerprints(luma(crop))}).overlap(fingerprints(luma(COLOUR[0]))) == "tile"
    assert crops.overlap(fingerprints(luma(COLOUR[2]))) is None


def test_strips_change_nothing():
    """A picture of several strips has the fingerprints of all its windows, also of those across a border."""
    grey = luma(COLOUR[0])[:, 100:180]
    parts = [fingerprints(grey[top:top + 60]) for top in range(0, 512 - 59)]
    assert np.array_equal(np.unique(np.concatenate(parts)), fingerprints(grey))
    assert len(fingerprints(grey[:10])) == 0


def test_nearest_is_what_comparing_with_every_hash_finds():
    """Clusters of hashes a few bits apart, thumbnails that correlate or not, ties, and pictures without a hash."""
    rng = np.random.default_rng(3)
    centres = [(int(rng.integers(2**64, dtype=np.uint64)), rng.integers(0, 256, 256)) for _ in range(12)]

    def made() -> Look:
        phash, thumbnail = centres[int(rng.integers(12))]
        for bit in rng.integers(64, size=int(rng.integers(0, 7))).tolist():
            phash ^= 1 << bit
        thumbnail = np.clip(thumbnail + rng.integers(-14, 15, 256) * int(rng.integers(0, 3)), 0, 255)
        return Look(None if rng.random() < 0.05 else phash, thumbnail.astype(np.uint8).tobytes())

    known, asked = {str(number): made() for number in range(300)}, [made() for _ in range(600)]
    named = [(name, value) for name, value in known.items() if value.phash is not None]
    expected: list[str | None] = []
    for value in asked:
        near = [] if value.phash is None else sorted(
            (bin(other.phash ^ value.phash).count("1"), number) for number, (_, other) in enumerate(named))
        expected.append(next((named[number][0] for distance, number in near[:16] if distance <= 6
                              and correlation(named[number][1].thumbnail, value.thumbnail) >= 0.985), None))
    assert Looks(known).nearest(asked) == expected and 100 < sum(name is not None for name in expected) < 590
    assert [Looks(known).near(value) for value in asked[:20]] == expected[:20]


def test_every_pair_within_the_distance_is_a_candidate():
    """Six bits turned anywhere, also all in one word of the hash and spread over all four."""
    rng = np.random.default_rng(4)
    thumbnail = rng.integers(0, 256, 256, dtype=np.uint8).tobytes()
    phash = int(rng.integers(2**64, dtype=np.uint64))
    looks = Looks({"x": Look(phash, thumbnail)})
    anywhere = [rng.choice(64, 6, replace=False) for _ in range(300)]
    for bits in [*anywhere, range(6), range(58, 64), (0, 1, 16, 32, 33, 48)]:
        turned = phash
        for bit in bits:
            turned ^= 1 << int(bit)
        assert looks.near(Look(turned, thumbnail)) == "x"


@pytest.mark.parametrize("side", [16, 17, 64, 300])
def test_fingerprints_are_those_of_the_definition(side):
    """Against whole numbers of any size, a block at a time."""
    grey = np.random.default_rng(side).integers(0, 256, (side, side + 3), dtype=np.uint8)[:64, :90]
    base, mix, limit, found = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 2**64, set()
    for y in range(grey.shape[0] - 15):
        for x in range(grey.shape[1] - 15):
            block = grey[y:y + 16, x:x + 16].tolist()
            value = 0
            for row in block:
                hashed = 0
                for pixel in row:
                    hashed = (hashed * base + pixel) % limit
                value = (value * mix + hashed) % limit
            value = value * mix % limit
            value = (value ^ value >> 32) * base % limit
            if value < 2**56 and np.std(block) >= 4:
                found.add(value)
    assert fingerprints(grey).tolist() == sorted(found)


def test_empty_indices():
    assert Looks({}).near(look(luma(PHOTOS[0]))) is None
    assert Crops({}).overlap(fingerprints(luma(PHOTOS[0]))) is None


@pytest.mark.benchmark_data
def test_benchmark_photographs(benchmark_data: Path):
    """No false alarm among 300 benchmark photographs; the five true duplicates across sets are found."""
    files = [*sorted((benchmark_data / "sr_selfexsr").glob("Set*/image_SRF_2/*_HR.png")),
             *sorted((benchmark_data / "train_bsd200_jpg").rglob("*.jpg")),
             *sorted((benchmark_data / "set12_gray").glob("*"))]
    if len(files) < 200:
        pytest.skip("The benchmark folder lacks Set5, Set14, BSD200 or Set12.")
    looks = {file: look(luma(read_picture(file))) for file in files
             if file.suffix in (".png", ".jpg")}
    near = set()
    for number, a in enumerate(looks):
        found = Looks({str(b.relative_to(benchmark_data)): looks[b] for b in list(looks)[number + 1:]}).near(looks[a])
        if found:
            near.add((str(a.relative_to(benchmark_data)), found))
    assert len(near) == 5
    # three of Set14 are in Set12, one face is in Set5 and Set14, the woman of Set5 is in BSD200
    known = ("Set5", "Set14", "bsd200", "set12")
    sets = sorted(sorted(next(word for word in known if word in name) for name in pair) for pair in near)
    assert sets == [["Set14", "Set5"]] + [["Set14", "set12"]] * 3 + [["Set5", "bsd200"]]
