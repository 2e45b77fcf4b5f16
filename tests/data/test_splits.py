"""The rules of the splits, on made-up pictures."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.data.likeness import Look, look
from restore_ml.data.splits import Array, Decoded, Entry, assign, split_of
from restore_ml.seeds import derive


def noise_look(key: object) -> Look:
    rng = np.random.default_rng(derive(key))
    return look(np.kron(rng.integers(0, 256, (8, 8), dtype=np.uint8), np.ones((8, 8), np.uint8)))


def made(name: str, stated: str = "", identity: str = "", seen: Look | None = None, collection: str = "mine",
         group: str = "", overlaps: str = "", domain: str = "photos") -> Decoded:
    entry = Entry(collection, f"{name}.png", domain, stated, group, False, "own")
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
    placed, refused = outcome([made("astro", "train", seen=whole)], reserved={"photos": {"photos (a)": whole}})
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
    assert placed == {"t": "train", "v": "train"} and refused == {}  # a group is on one side, training first
    placed, refused = outcome([made("t", "train", train), made("v", "validation", train)])
    assert placed == {"t": "train"} and refused["v"] == "duplicate of the training picture mine/pictures/t.png"


def test_domains_do_not_mix():
    same = noise_look("same")
    placed, refused = outcome([made("photo", "train", seen=same), made("scene", "test", seen=same, domain="scenes")])
    assert placed == {"photo": "train", "scene": "test"} and refused == {}


def frames(clips: int, count: int, stated: str = "", start: int = 0, collection: str = "clips") -> list[Decoded]:
    return [made(f"{collection}-{clip}-{number}", stated, group=f"clip {clip}", collection=collection)
            for clip in range(start, start + clips) for number in range(count)]


def groups_of(placed: dict[str, str]) -> dict[str, set[str]]:
    """The splits of each clip of `frames`."""
    found: dict[str, set[str]] = {}
    for name, split in placed.items():
        found.setdefault(name.rsplit("-", 1)[0], set()).add(split)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_twenty_clips_of_thirty_frames_are_divided_by_clip(seed):
    placed, refused = outcome(frames(20, 30), seed)
    groups = groups_of(placed)
    assert refused == {} and len(placed) == 600 and all(len(splits) == 1 for splits in groups.values())
    sides = [splits.pop() for splits in groups.values()]
    assert 1 <= sides.count("validation") <= 4 and sides.count("train") >= 16


def test_the_share_of_groups():
    """1,000 persons of two pictures: 5 % of the persons, drawn by their names."""
    placed, _ = outcome(frames(1000, 2))
    sides = groups_of(placed)
    assert abs(sum(splits == {"validation"} for splits in sides.values()) / 1000 - 0.05) < 0.02
    assert sides == {f"clips-{number}": {split_of(f"clips/clip {number}", 1)} for number in range(1000)}


def test_a_person_who_is_tested_trains_nothing():
    """Four persons with one test picture and two others each: nothing is left to train on."""
    tests = [made(f"p{person}-test", "test", group=f"person {person}") for person in range(4)]
    others = [made(f"p{person}-{number}", stated, group=f"person {person}") for person in range(4)
              for number, stated in enumerate(("", "train"))]
    placed, refused = outcome(tests + others)
    assert placed == {f"p{person}-test": "test" for person in range(4)}
    assert refused == {f"p{person}-{number}": f"same group as the test picture mine/pictures/p{person}-test.png"
                       for person in range(4) for number in range(2)}
    elsewhere, _ = outcome([*tests, made("q", "train", group="person 1", collection="other")])
    assert elsewhere["q"] == "train"  # names of groups belong to their collection


def test_a_patient_one_of_whose_slices_is_a_test_picture_trains_nothing():
    test = made("test", "test", collection="set")
    slices = [made("copy", "train", identity=test.id, group="patient 7"), made("other", "train", group="patient 7"),
              made("healthy", "train", group="patient 8"), made("alone", "train")]
    placed, refused = outcome([test, *slices])
    assert placed == {"test": "test", "healthy": "train", "alone": "train"}
    assert refused["copy"] == "duplicate of the test picture set/pictures/test.png"
    assert refused["other"] == ("same group as mine/pictures/copy.png, which is kept out: duplicate of the test "
                                "picture set/pictures/test.png")


def test_two_groups_are_enough_to_validate_and_one_is_not():
    for count in (2, 3, 5):
        groups = groups_of(outcome(frames(count, 3))[0])
        assert sum(splits == {"validation"} for splits in groups.values()) == 1
        assert sum(splits == {"train"} for splits in groups.values()) == count - 1
    assert set(outcome(frames(1, 5))[0].values()) == {"train"}
    assert sorted(outcome([made("a"), made("b")])[0].values()) == ["train", "validation"]
    assert set(outcome(frames(4, 2, "train"))[0].values()) == {"train"}  # what is stated holds


def test_who_stands_in_for_validation_is_the_group_drawn_next_to_it():
    found = groups_of(outcome(frames(8, 2))[0])
    draws = {f"clips-{number}": derive("split", 1, f"clips/clip {number}") for number in range(8)}
    assert [name for name, splits in found.items() if splits == {"validation"}] == [min(draws, key=draws.__getitem__)]


def test_a_group_that_resembles_the_rest_does_not_stand_in():
    """The clip that is drawn next shows what the others show; another one is taken."""
    draws = sorted(range(6), key=lambda number: derive("split", 1, f"clips/clip {number}"))
    same = noise_look("same")
    clips = frames(6, 1)
    alike = {f"clips-{number}-0" for number in (draws[0], draws[5])}
    clips = [replace(one, look=same) if one.entry.name in alike else one for one in clips]
    placed, refused = outcome(clips)
    assert refused == {} and placed[f"clips-{draws[1]}-0"] == "validation"
    assert sorted(placed.values()) == ["train"] * 5 + ["validation"]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "train", "validation", "test"]), st.integers(0, 20)),
                max_size=24), st.integers(0, 50))
@settings(deadline=None, max_examples=100)
def test_no_group_is_ever_on_two_sides_and_nothing_is_lost(rows, seed):
    pictures = [made(f"{number}", stated, identity=f"{value:064x}", seen=noise_look(value),
                     group=f"g{group}" if group else "")
                for number, (group, stated, value) in enumerate(rows)]
    placed, refused = outcome(pictures, seed)
    assert placed.keys() | refused.keys() == {one.entry.name for one in pictures} and not placed.keys() & refused.keys()
    sides: dict[str, set[str]] = {}
    for one in pictures:
        if one.entry.group and one.entry.name in placed:
            sides.setdefault(one.entry.group, set()).add(placed[one.entry.name])
    assert all(len(found) == 1 for found in sides.values())
    learned = {one.id for one in pictures if placed.get(one.entry.name) in ("train", "validation")}
    assert not learned & {one.id for one in pictures if placed.get(one.entry.name) == "test"}
