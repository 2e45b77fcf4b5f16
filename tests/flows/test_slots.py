"""One computation per GPU: the locks, with cards that are only names."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from pipelines.machinery import slots
from restore_ml.base.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from pipelines.machinery import slots
with slots.held(Path(sys.argv[1]), cards=["0"]) as given:
    print(given["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(60)
"""


def test_without_a_card_there_is_nothing_to_hold(tmp_path):
    with slots.held(tmp_path, 4, cards=[]) as given:
        assert given == {}
    assert not (tmp_path / ".state").exists()


def test_each_holder_has_a_card_of_its_own_and_the_third_waits(tmp_path):
    order = []

    def third():
        with slots.held(tmp_path, cards=["0", "1"], pause=0.02) as given:
            order.append(given[slots.VISIBLE])

    with slots.held(tmp_path, cards=["0", "1"]) as first:
        with slots.held(tmp_path, cards=["0", "1"]) as second:
            assert {first[slots.VISIBLE], second[slots.VISIBLE]} == {"0", "1"}
            waiting = threading.Thread(target=third)
            waiting.start()
            time.sleep(0.3)
            assert order == []
        waiting.join(10)
    assert order == [second[slots.VISIBLE]]


def test_a_training_in_several_processes_gets_all_its_cards_or_waits(tmp_path):
    with slots.held(tmp_path, 2, cards=["0", "1", "2"]) as given:
        assert given == {slots.VISIBLE: "0,1"}
    with pytest.raises(UserError, match="3 GPUs are wanted, and this machine has 2"), slots.held(
            tmp_path, 3, cards=["0", "1"]):
        raise AssertionError


def test_a_killed_holder_frees_its_card(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline().strip() == "0"
    holder.kill()
    holder.wait()
    with slots.held(tmp_path, cards=["0"], pause=0.02) as given:
        assert given == {slots.VISIBLE: "0"}


def test_cards_that_the_environment_names_are_the_ones(monkeypatch):
    monkeypatch.setenv(slots.VISIBLE, "3, 5")
    assert slots.devices() == ["3", "5"]
    monkeypatch.setenv(slots.VISIBLE, "")
    assert slots.devices() == []
