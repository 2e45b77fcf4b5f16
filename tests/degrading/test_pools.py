"""Pools that add up: the parts of some pictures and of others are those of all."""

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.data.shards import Record
from restore_ml.degrading.pools import add_up, packed
from restore_ml.tasks.base import Training


def records(numbers):
    return [Record(str(number), {"image": np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)})
            for number in numbers]


FROM = {name: registry.parts(name).training.pools_from for name in registry.tables()}


@pytest.mark.parametrize("name", [name for name, source in FROM.items() if source == "shards"])
def test_the_pools_of_a_task_that_says_so_add_up(name):
    training = registry.parts(name).training
    whole = training.pools(records(range(7)), 1, {})
    parts = [packed(training.pools(records(part), 1, {})) for part in (range(3), [], range(3, 7))]
    found = add_up(training.pools([], 1, {}), parts)
    assert set(found) == set(whole)
    for pool, members in whole.items():
        for one, other in zip(found[pool], members, strict=True):
            assert one.id == other.id and one.facts == other.facts and set(one.arrays) == set(other.arrays)
            for array, value in other.arrays.items():
                assert value.any() and one.arrays[array].dtype == value.dtype
                assert np.array_equal(one.arrays[array], value)


@pytest.mark.parametrize("name", [name for name, source in FROM.items() if source == "nothing"
                                  and type(registry.parts(name).training).pools is not Training.pools])
def test_the_pools_of_a_task_that_says_so_ask_for_no_picture(name):
    class Untouchable(list):
        def __iter__(self):
            raise AssertionError("the pictures were read")

        __getitem__ = __len__ = __iter__

    assert registry.parts(name).training.pools(Untouchable(), 1, {"size": 32, "pool": 1})
