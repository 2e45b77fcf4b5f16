"""Pairs of training pictures of the same person and of two."""

import numpy as np
import pytest

from restore_ml.data.shards import Record, Shards, write
from restore_ml.nn.person_pairs import PersonPairs

PERSONS = {0: "a", 1: "b", 2: "a", 3: "c", 4: "b", 5: "a"}


def pairs(folder, persons=PERSONS) -> PersonPairs:
    write(folder / "00.arrow", [Record(f"{number:064x}", {"hr": np.array([number], np.int32)},
                                       {"group": person} if person else {}) for number, person in persons.items()])
    return PersonPairs(Shards(folder))


def met(made: PersonPairs, number: int, same: bool) -> tuple[list[int], set[bool]]:
    """The partners of that record over twelve draws, and what is said of them."""
    drawn = [made.partner(f"{number:064x}", same, draw) for draw in range(12)]
    assert all(record.id == f"{int(record.arrays['hr'][0]):064x}" for record, _ in drawn)
    return [int(record.arrays["hr"][0]) for record, _ in drawn], {said for _, said in drawn}


@pytest.mark.parametrize(("number", "same", "expected"), [
    (0, True, {2, 5}), (2, True, {0, 5}), (5, True, {0, 2}), (1, True, {4}), (4, True, {1}),
    (0, False, {1, 3, 4}), (5, False, {1, 3, 4}), (1, False, {0, 2, 3, 5}), (3, False, {0, 1, 2, 4, 5})])
def test_partners_of_the_same_person_and_of_others(tmp_path, number, same, expected):
    """All of them are met equally often, and never the picture itself."""
    partners, said = met(pairs(tmp_path), number, same)
    assert set(partners) == expected and said == {same}
    counts = [partners.count(other) for other in expected]
    assert max(counts) - min(counts) <= 1


def test_a_person_with_one_picture_meets_others(tmp_path):
    partners, said = met(pairs(tmp_path), 3, True)
    assert set(partners) == {0, 1, 2, 4, 5} and said == {False}


def test_where_there_is_one_person_all_are_the_same(tmp_path):
    partners, said = met(pairs(tmp_path, {0: "a", 1: "a", 2: "a"}), 1, False)
    assert set(partners) == {0, 2} and said == {True}


def test_a_single_record_is_its_own_partner(tmp_path):
    assert met(pairs(tmp_path, {7: "a"}), 7, False) == ([7] * 12, {True})


def test_records_of_nobody_are_persons_of_their_own(tmp_path):
    partners, said = met(pairs(tmp_path, {0: "", 1: "", 2: "a"}), 0, True)
    assert set(partners) == {1, 2} and said == {False}


def test_an_unknown_picture_has_no_partner(tmp_path):
    with pytest.raises(KeyError):
        pairs(tmp_path).partner("f" * 64, True, 0)
