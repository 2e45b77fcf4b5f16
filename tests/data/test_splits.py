"""The rules of the splits, on made-up pictures."""

import random

import numpy as np
import pytest

from restore_ml.data.likeness import Look, look
from restore_ml.data.splits import Array, Decoded, Entry, assign, split_of
from restore_ml.seeds import derive


def noise_look(key: object) -> Look:
    rng = np.random.default_rng(derive(key))
    return look(np.kron(rng.integers(0, 256, (8, 8), dtype=np.uint8), np.ones((8, 8), np.uint8)))


def made(name: str, stated: str = "", identity: str = "", seen: Look | None = None, collection: str = "mine",
         group: str = "", overlaps: str = "", domain: str = "photos") -> Decoded:
    entry = Entry(collection, f"{name}.png", domain, stated, group or name, False, "own")
    return Decoded(entry, identity or f"{derive('id', name):064x}", (Array("image", "uint8", (20, 20, 3), 0),),
                   seen or noise_look(name), overlaps)


def outcome(pictures, seed=1, reserved=None):
    placed, refused = assign(pictures, seed, reserved)
    return ({item.picture.entry.name: item.split for item in placed},
            {item.path.split("/")[-1].removesuffix(".png"): item.reason for item in refused})


def of_split(split: str, count: int = 1, start: int = 0) -> list[str]:
    """Hashes that fall into a split."""
    found = (f"{number:064x}" for number in range(start, 10**6))
    return [next(value for value in found if split_of(value, 1) == split) for _ in range(count)]


def test_share_and_independence_of_the_seed():
    ids = [f"{derive('x', number):064x}" for number in range(20000)]
    chosen = [split_of(identity, 1) == "validation" for identity in ids]
    assert abs(np.mean(chosen) - 0.05) < 0.005
    assert [split_of(identity, 1) == "validation" for identity in ids] == chosen
    other = [split_of(identity, 2) == "validation" for identity in ids]
    assert np.mean(np.logical_and(chosen, other)) < 0.005


def test_order_of_files_does_not_matter_and_no_picture_moves():
    pictures = [made(f"p{number}") for number in range(300)]
    placed, refused = outcome(pictures)
    shuffled = pictures[:]
    random.Random(1).shuffle(shuffled)
    assert outcome(shuffled) == (placed, refused) and refused == {}
    more, _ = outcome(pictures + [made(f"q{number}") for number in range(300)])
    assert {name: more[name] for name in placed} == placed
    renamed = [made(f"other{number}", identity=one.id, seen=one.look) for number, one in enumerate(pictures)]
    assert list(outcome(renamed)[0].values()).count("train") == list(placed.values()).count("train")


def test_stated_splits_hold():
    placed, _ = outcome([made("a", "train"), made("b", "validation"), made("c", "test")])
    assert placed == {"a": "train", "b": "validation", "c": "test"}


@pytest.mark.parametrize("stated", ["", "train", "validation"])
def test_a_test_picture_never_trains(stated):
    """Equal, alike, or sharing an area: the learner goes, the test picture stays."""
    test = made("test", "test", collection="set")
    copies = [made("same", stated, identity=test.id), made("alike", stated, seen=test.look),
              made("crop", stated, overlaps="set/pictures/test.png")]
    placed, refused = outcome([test, *copies])
    assert placed == {"test": "test"}
    assert refused == {"same": "duplicate of the test picture set/pictures/test.png",
                       "alike": "near-duplicate of the test picture set/pictures/test.png",
                       "crop": "shares an area with the test picture set/pictures/test.png"}


def test_reserved_photographs_never_train():
    whole = noise_look("whole")
    placed, refused = outcome([made("astro", "train", seen=whole)], reserved={"photos (a)": whole})
    assert placed == {} and refused == {"astro": "near-duplicate of the test picture photos (a)"}


def test_duplicates_count_once():
    same = "a" * 64
    placed, refused = outcome([made("b", "train", same), made("a", "train", same),
                               made("c", "train", same, collection="z")])
    assert placed == {"a": "train"}
    assert refused == {"b": "duplicate of mine/pictures/a.png", "c": "duplicate of mine/pictures/a.png"}


def test_two_test_sets_may_share_a_picture_one_may_not_hold_it_twice():
    same = "a" * 64
    placed, refused = outcome([made("x", "test", same, collection="one"), made("y", "test", same, collection="two"),
                               made("z", "test", same, collection="two")])
    assert placed == {"x": "test", "y": "test"} and refused == {"z": "duplicate of two/pictures/y.png"}


def test_near_duplicates_lie_on_one_side():
    """A validation picture that a training picture resembles is kept out; the training picture stays."""
    train, validation = of_split("train")[0], of_split("validation", 3)
    shared = noise_look("shared")
    placed, refused = outcome([made("t", identity=train, seen=shared), made("v", identity=validation[0], seen=shared),
                               made("own", identity=validation[1])])
    assert placed == {"t": "train", "own": "validation"}
    assert refused == {"v": "near-duplicate of the training picture mine/pictures/t.png"}
    placed, refused = outcome([made("t", "train", train, group="g"), made("v", "validation", validation[0], group="g")])
    assert placed == {"t": "train"} and "same group" in refused["v"]
    placed, refused = outcome([made("t", "train", train), made("v", "validation", train)])
    assert placed == {"t": "train"} and refused["v"] == "duplicate of the training picture mine/pictures/t.png"


def test_domains_do_not_mix():
    same = noise_look("same")
    placed, refused = outcome([made("photo", "train", seen=same), made("scene", "test", seen=same, domain="scenes")])
    assert placed == {"photo": "train", "scene": "test"} and refused == {}
