"""Every picture left out anywhere is counted by reason and named."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from restore_ml import cli
from restore_ml.base.errors import UserError
from restore_ml.data.left_out import COLUMNS, LeftOut, in_words, kind_of, left_out
from restore_ml.data.manifest import write_quarantine
from restore_ml.data.splits import Quarantined


def write(path: Path, rows: list[tuple[str, ...]], schema: pa.Schema = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    pq.write_table(table, path)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose `prepare` and two tasks left something out."""
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text("profile: quick\n")
    write_quarantine(tmp_path / "prepared", [Quarantined("mine/pictures/a.png", "mine", "train", "0",
                                                         "duplicate of the test picture x/pictures/b.png")])
    write(tmp_path / "samples/inpainting/left_out.parquet",
          [(f"{number}", f"{number}", "tiny", "train", "smaller than 64 pixels") for number in range(5)])
    write(tmp_path / "samples/colorization/left_out.parquet", [
        ("1", "grey", "thumbs", "thumbs", "it has no colour"), ("1", "grey", "thumbs", "thumbs", "it has no colour")])
    return tmp_path


def test_all_tables_are_read(root: Path) -> None:
    found = left_out(root)
    assert len(found) == 8 and found[0] == LeftOut("colorization", "thumbs", "thumbs", "grey", "it has no colour")
    assert found[-1] == LeftOut("prepare", "mine", "train", "a.png", "duplicate of the test picture x/pictures/b.png")


def test_in_words(root: Path) -> None:
    assert in_words(left_out(root)).splitlines() == [
        "Pictures left out: 1 by colorization, 5 by inpainting, 1 by prepare.",
        "  colorization, thumbs: 1 left out, it has no colour (grey)",
        "  inpainting, tiny: 5 left out, smaller than 64 pixels (0, 1, 2 and 2 more)",
        "  prepare, mine: 1 left out, duplicate of the test picture x/pictures/b.png (a.png)"]
    assert in_words([]) == ""


def test_data_check_lists_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "check"]) == 0
    assert "Pictures left out: 1 by colorization, 5 by inpainting, 1 by prepare." in capsys.readouterr().out


def test_the_end_of_a_rebuild_lists_them(root: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    from flows.work import rebuild

    for name in ("promotion.champions.dvc_add", "tracking.sync.sync", "tracking.store.shown"):
        monkeypatch.setattr(f"restore_ml.{name}", lambda root: "")
    rebuild.finish(root, [], promote=False)
    assert f"\n{in_words(left_out(root))}\n" in capsys.readouterr().out


def test_nothing_there_and_a_foreign_table(tmp_path: Path) -> None:
    assert left_out(tmp_path) == []
    write(tmp_path / "samples/x/left_out.parquet", [("a",)], pa.schema([("id", pa.string())]))
    with pytest.raises(UserError, match="has the columns id"):
        left_out(tmp_path)
    (tmp_path / "samples/x/left_out.parquet").write_bytes(b"broken")
    with pytest.raises(UserError, match="is broken"):
        left_out(tmp_path)


@pytest.mark.parametrize(("reason", "kind"), [
    ("duplicate of the test picture a/pictures/b.png", "duplicate"), ("zero bytes", "zero bytes"),
    ("same group as the test picture a/pictures/b.png", "same group"), ("too small: 8 x 8, the ...", "too small"),
    ("shares an area with the test picture x", "shares an area"), ("left out when it was added: zero bytes",
                                                                   "left out when it was added")])
def test_kinds(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind
