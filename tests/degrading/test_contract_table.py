"""The contract's table: whatever the pieces, the same bytes; files that do not belong together are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from restore_ml.base.files import sha256_of_file
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degrading import contract_table
from restore_ml.degrading.contract_table import write_contract


def records(count, value):
    for number in range(count):
        array = np.full((4, 6, 1), value + number, np.float32)
        yield Record(f"{number:02x}", {"x": array}, {"name": f"p{number}", "group": "g", "synthetic": False})


@pytest.fixture
def samples(tmp_path):
    shards.write(tmp_path / "inputs/set/half.arrow", records(5, 0.0))
    shards.write(tmp_path / "targets/set/half.arrow", records(5, 10.0))
    shards.write(tmp_path / "train/0a.arrow", records(2, np.nan))
    return tmp_path


def test_a_row_holds_what_lies_on_disk(samples):
    assert write_contract(samples) == 7
    table = pd.read_parquet(samples / "contract.parquet")
    test, train = table[table.split == "test"], table[table.split == "train"]
    assert test.case.unique().tolist() == ["set/half"] and test.finite.all() and not train.finite.any()
    assert test["inputs.x.max"].tolist() == [0, 1, 2, 3, 4] and test["target.x.min"].tolist() == [10, 11, 12, 13, 14]
    assert (test["inputs.x.height"] == 4).all() and (train["record.x.width"] == 6).all()
    assert test["record.x.dtype"].isna().all() and train.arrays.tolist() == ["record.x"] * 2


def test_the_pieces_do_not_show(samples, monkeypatch):
    write_contract(samples)
    whole = sha256_of_file(samples / "contract.parquet")
    monkeypatch.setattr(contract_table, "CHUNK", 2)
    backwards = lambda function, items: reversed([function(item) for item in reversed(list(items))])  # noqa: E731
    assert write_contract(samples, mapper=backwards) == 7
    assert sha256_of_file(samples / "contract.parquet") == whole


def test_inputs_and_targets_of_different_length_are_refused(samples):
    shards.write(samples / "targets/set/half.arrow", records(4, 10.0))
    with pytest.raises(ValueError, match="same number of records"):
        write_contract(samples)
    assert not (samples / "contract.parquet").exists()
