"""What is counted is called by its name, in the singular where there is one."""

import pytest

from restore_ml import registry
from restore_ml.data import domains
from restore_ml.evaluation.words import counted, groups, of_groups


@pytest.mark.parametrize(("task", "words"), [
    ("super_resolution", "34 pictures of 1 photograph"), ("contrast_synthesis", "34 slices of 1 patient"),
    ("face_super_resolution", "34 faces of 1 person"), ("frame_interpolation", "34 clips of 1 source"),
    ("segmentation", "34 pictures of 1 field"), ("cloud_removal", "34 scenes of 1 place"),
    ("classification", "34 pictures of 1 source"), ("sketch_photo", "34 drawings of 1 person"),
    ("style_transfer", "34 pictures of 1 photograph")])
def test_the_words_are_those_of_the_kind_of_data(task: str, words: str) -> None:
    assert counted(task, 34, 1) == words
    assert of_groups(task, 2) == f"2 {groups(task)}" and counted(task, 1, 2).startswith("1 ")


def test_every_task_has_words_in_the_plural() -> None:
    for name in domains.names():
        assert all(word.endswith("s") for word in domains.get(name).counted)
    assert all(groups(task) for task in registry.tables())
