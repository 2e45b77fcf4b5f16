"""Parts of taking results in, by themselves: what changed of the inputs, what an output is, where a tool has a say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restore_ml.data.pictures import Refused
from restore_ml.outside.inputs import Inputs, changed
from restore_ml.outside.kept import output_of
from restore_ml.outside.suspicions import _free
from tests.outside import project as made


def test_what_became_of_the_inputs_in_words() -> None:
    then = {"a": "1", "b": "2", "c": "3"}
    assert changed(then, dict(then)) == ""
    assert changed(then, {"a": "1", "b": "9", "d": "4", "e": "5"}) == "1 changed, 2 new, 1 gone"


def test_what_reads_well_and_is_no_output_of_the_task_is_refused(root: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = next(iter(Inputs(root, "super_resolution", "photos", "x2")))
    height, width = (2 * side for side in record.arrays["lr"].shape[:2])
    made.save(tmp_path / "a.png", np.full((height, width, 3), 90, np.uint8))
    assert (output_of("super_resolution", record, {"sr": tmp_path / "a.png"})[0]["sr"] == 90).all()

    def refuse(*arguments: Any) -> None:
        raise ValueError("it is none")

    monkeypatch.setattr("restore_ml.evaluation.scoring.check", refuse)
    with pytest.raises(Refused, match="it is none"):
        output_of("super_resolution", record, {"sr": tmp_path / "a.png"})


def test_a_tool_has_a_say_where_the_task_puts_nothing_back() -> None:
    mask = np.zeros((4, 5, 1), np.uint8)
    mask[1:3, 2] = 1
    picture = np.full((4, 5, 3), 7, np.uint8)
    free = _free("inpainting", {"image": picture, "mask": mask}, {"image": picture})["image"]
    assert (free == np.broadcast_to(mask == 1, free.shape)).all()
