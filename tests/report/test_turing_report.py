import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.report.turing import console, report, wilson
from tests.report.conftest import answers, saved


def answered(session: str, share: float, seed: int, **changes: Any) -> dict[str, Any]:
    """A person who takes the method's picture for the real one in that share of the pairs."""
    facts, draw = answers(session, **changes), random.Random(seed)
    for trial in facts["trials"]:
        if trial["kind"] == "test":
            trial["answer"] = "second" if draw.random() < share else "first"
    return facts


def rows(root: Path, task: str = "super_resolution") -> dict[str, dict[str, Any]]:
    table = pd.read_csv(root / f"reports/turing/{task}.csv")
    return {f"{row['question']} {row['run']}": row for row in table.to_dict("records")}


def test_who_always_knows_gives_nought_and_who_guesses_a_half(tmp_path: Path) -> None:
    people = [answered(f"{place:08x}", 0, place) for place in range(12)]
    report(tmp_path, saved(tmp_path / "oracle", *people))
    found = rows(tmp_path)["fooled vdsr"]
    assert found["rate"] == 0 and 0 < found["high"] < 0.1 and found["verdict"] == "told from the truth"
    assert (found["pairs"], found["pictures"], found["people"]) == (240, 10, 12)

    report(tmp_path, saved(tmp_path / "coins", *(answered(f"{place:08x}", 0.5, place) for place in range(12))))
    found = rows(tmp_path)["fooled vdsr"]
    assert found["low"] < 0.5 < found["high"] and found["verdict"] == "not shown to be told from the truth"
    share = 1.96 * (0.25 / 240) ** 0.5
    assert (found["random_low"], found["random_high"]) == pytest.approx((0.5 - share, 0.5 + share), abs=0.01)


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 10), (250, 500), (9, 9), (1, 1)])
def test_wilson_is_that_of_scipy(hits: int, count: int) -> None:
    reference = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert wilson(hits, count) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_people_who_disagree_widen_the_interval(tmp_path: Path) -> None:
    agreed = [answered(f"{place:08x}", 0.5, place) for place in range(12)]
    split = [answered(f"{place:08x}", place % 2, place) for place in range(12)]
    report(tmp_path, saved(tmp_path / "agreed", *agreed))
    narrow = rows(tmp_path)["fooled vdsr"]
    report(tmp_path, saved(tmp_path / "split", *split))
    wide = rows(tmp_path)["fooled vdsr"]
    assert wide["interval"] == "people" and wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_pictures_of_one_photograph_are_resampled_together(tmp_path: Path) -> None:
    scores = pd.DataFrame({"picture": [f"{place:064x}" for place in range(10)], "group": list("abcdefghij"),
                           "run": "vdsr", "case": "photos/x2"})
    (tmp_path / "scores/super_resolution").mkdir(parents=True)
    facts = answers()
    for trial in facts["trials"][:20]:
        trial["answer"] = "second" if int(trial["picture"], 16) < 5 else "first"
    path = saved(tmp_path / "in", facts)
    scores.to_parquet(tmp_path / "scores/super_resolution/vdsr.parquet")
    report(tmp_path, path)
    apart = rows(tmp_path)["fooled vdsr"]
    assert apart["photographs"] == 10 and apart["interval"] == "photographs"
    scores.assign(group="one").to_parquet(tmp_path / "scores/super_resolution/vdsr.parquet")
    report(tmp_path, path)
    one = rows(tmp_path)["fooled vdsr"]
    assert one["photographs"] == 1 and one["interval"] == "pairs" and one["rate"] == 0.5


def test_inattentive_sessions_and_spoiled_pairs_are_left_out(tmp_path: Path) -> None:
    careless = answered("bbbbbbbb", 1, 0)
    careless["trials"][-1]["answer"] = "first"  # takes the control for the truth
    good = answers("aaaaaaaa")
    good["trials"][0]["shown_ms"] = [1000, 4000]
    made = report(tmp_path, saved(tmp_path / "in", careless, good))[0]
    found = rows(tmp_path)["fooled vdsr"]
    assert found["rate"] == 0 and found["pairs"] == 19
    text = (tmp_path / "reports/turing/super_resolution.md").read_text()
    assert "1 of 2 sessions counted" in text and "1 pairs left out" in text and "1 left out: fewer than 90 %" in text
    assert "told from the truth" in console(made)
    report(tmp_path, saved(tmp_path / "in", careless, good), attention=0.5)
    assert rows(tmp_path)["fooled vdsr"]["pairs"] == 39
    with pytest.raises(UserError, match="None of the 1 sessions"):
        report(tmp_path, saved(tmp_path / "alone", careless))
    with pytest.raises(UserError, match="share from 0 to 1"):
        report(tmp_path, [], attention=2)


def test_preferences_are_pooled_whichever_way_round(tmp_path: Path) -> None:
    models = {"vdsr": "0011223344556677", "bicubic": "8899aabbccddeeff"}
    files = []
    for session, names in (("aaaaaaaa", ["vdsr", "bicubic"]), ("bbbbbbbb", ["bicubic", "vdsr"])):
        facts = answers(session, mode="methods", methods=names, models=models)
        for trial in facts["trials"][:20]:
            trial |= {"first": names[0], "second": names[1], "answer": "first" if names[0] == "vdsr" else "second"}
        files.append(facts)
    report(tmp_path, saved(tmp_path / "in", *files))
    found = rows(tmp_path)["preferred bicubic"]
    assert found["against"] == "vdsr" and found["rate"] == 0 and found["pairs"] == 40
    assert found["verdict"] == "vdsr is preferred"


def test_models_that_differ_are_not_pooled(tmp_path: Path) -> None:
    (tmp_path / "models/super_resolution/vdsr").mkdir(parents=True)
    (tmp_path / "models/super_resolution/vdsr/model.json").write_text("{}")
    now = sha256_of_file(tmp_path / "models/super_resolution/vdsr/model.json")[:16]
    files = saved(tmp_path / "in", answers("aaaaaaaa"), answers("bbbbbbbb", models={"vdsr": now}))
    made = report(tmp_path, files)[0]
    own = made.table[made.table["question"] == "fooled"].set_index("model")
    assert own["pairs"].tolist() == [20, 20] and own["present"].to_dict() == {"0011223344556677": False, now: True}
    assert "earlier model 0011223344556677" in console(made)


def test_the_same_answers_give_the_same_files_in_any_order(tmp_path: Path) -> None:
    files = saved(tmp_path / "in", *(answered(f"{place:08x}", 0.3, place) for place in range(4)))
    report(tmp_path, files)
    first = [(tmp_path / f"reports/turing/super_resolution.{end}").read_bytes() for end in ("csv", "md")]
    report(tmp_path, files[::-1] + files[:1])
    assert [(tmp_path / f"reports/turing/super_resolution.{end}").read_bytes() for end in ("csv", "md")] == first
