"""The container of arrays: what is written comes back, by memory map, whole or not at all."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from restore_ml.base.errors import UserError
from restore_ml.data.shards import DTYPES, Record, Shard, Shards, write, write_together

ARRAY = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0)))


@given(st.dictionaries(st.text(min_size=1, max_size=5), ARRAY, max_size=3), st.dictionaries(st.text(), st.integers()))
@settings(deadline=None, max_examples=25)
def test_round_trip(tmp_path_factory, values, facts):
    path = tmp_path_factory.mktemp("shard") / "x.arrow"
    assert write(path, [Record("a", values, facts), Record("b", {})]) == 2
    first, second = Shard(path)
    assert (first.id, first.facts, second.id, second.arrays) == ("a", facts, "b", {})
    assert set(first.arrays) == set(values)
    for name, value in values.items():
        found = first.arrays[name]
        assert found.dtype == value.dtype and found.shape == value.shape and found.tobytes() == value.tobytes()
        assert not found.flags.writeable


def test_folder_is_read_in_the_order_of_ids(tmp_path):
    def record(name: str) -> Record:
        return Record(name, {"x": np.full(3, int(name), np.int32)})

    write(tmp_path / "b.arrow", [record("1"), record("4")])
    write(tmp_path / "a.arrow", [record("3"), record("2")])
    found = Shards(tmp_path)
    assert found.ids == [item.id for item in found] == ["1", "2", "3", "4"] and len(found) == 4
    assert found.find("3").arrays["x"].tolist() == [3, 3, 3]
    with pytest.raises(KeyError):
        found.find("5")
    with pytest.raises(IndexError):
        found[4]
    again = pickle.loads(pickle.dumps(found))  # what worker processes do
    assert again.ids == found.ids
    assert pickle.loads(pickle.dumps(Shard(tmp_path / "a.arrow")))[0].id == "3"


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    def broken():
        yield Record("a", {"x": np.zeros(3, np.float32)})
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write(tmp_path / "x.arrow", broken())
    with pytest.raises(RuntimeError):
        write_together([tmp_path / "x.arrow", tmp_path / "y.arrow"], ((item, item) for item in broken()))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="float64"):
        write(tmp_path / "x.arrow", [Record("a", {"x": np.zeros(3)})])


def test_missing_and_broken_files_are_sentences(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Shard(tmp_path / "x.arrow")
    (tmp_path / "x.arrow").write_bytes(b"no arrow")
    with pytest.raises(UserError, match="is broken"):
        Shard(tmp_path / "x.arrow")
    write(tmp_path / "y.arrow", [Record("a", {"x": np.zeros((50, 50), np.uint8)})])
    (tmp_path / "y.arrow").write_bytes((tmp_path / "y.arrow").read_bytes()[:-100])
    with pytest.raises(UserError, match="is broken"):
        Shard(tmp_path / "y.arrow")
    assert len(Shards(tmp_path / "nowhere")) == 0


def test_equal_records_give_equal_bytes(tmp_path):
    record = Record("a", {"y": np.ones((4, 4), np.uint8), "x": np.zeros(2, np.uint16)}, {"b": 1, "a": [1, 2]})
    turned = Record("a", dict(reversed(record.arrays.items())), {"a": [1, 2], "b": 1})
    write(tmp_path / "x.arrow", [record])
    write(tmp_path / "y.arrow", [turned])
    assert (tmp_path / "x.arrow").read_bytes() == (tmp_path / "y.arrow").read_bytes()
