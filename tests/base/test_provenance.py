from pathlib import Path

import pytest

from restore_ml.base.errors import UserError
from restore_ml.base.provenance import UNCOMMITTED, Lock, commits


def test_the_hashes_of_a_lock(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  train@a:\n    cmd: x\n    deps:\n    - path: data\n      md5: aa.dir\n"
        "    outs:\n    - path: models/a\n      hash: md5\n      md5: bb.dir\n")
    lock = Lock(tmp_path)
    assert lock.outs == {"models/a": "bb.dir"} and lock.data == "aa.dir"


def test_the_data_come_from_the_pointer_before_the_first_rebuild(tmp_path: Path) -> None:
    assert Lock(tmp_path).data == "unknown"
    (tmp_path / "data.dvc").write_text("outs:\n- md5: cc.dir\n  path: data\n")
    assert Lock(tmp_path).data == "cc.dir"


def test_a_broken_lock_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: [")
    with pytest.raises(UserError, match=r"dvc\.lock is not readable YAML"):
        Lock(tmp_path)


def test_without_git_everything_is_uncommitted(tmp_path: Path) -> None:
    assert commits(tmp_path, {"a": {"x"}, "b": set()}) == {"a": UNCOMMITTED, "b": UNCOMMITTED}
