"""What a deployed form takes, as a run's page and MLflow say it."""

from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.files import write_json
from restore_ml.evaluation.footprint import footprint, sentence, sentences

BNN = {"task": "super_resolution", "method": "vdsr_bnn", "settings": {"layers": 4, "width": 8}}
FACTS = {"stored_bits": 8000, "stored_bits_as_float": 196_000, "binary_multiply_adds": 1_234_000_000_000,
         "multiply_adds": 560_000_000, "multiply_adds_as_float": 1_234_560_000_000}


def test_methods_with_a_deployed_form_of_their_own_have_one() -> None:
    assert set(footprint(BNN)) == set(FACTS)
    assert footprint(BNN)["binary_multiply_adds"] == 1280 * 720 * 2 * 576
    assert footprint({**BNN, "method": "vdsr"}) == {}
    assert footprint({**BNN, "method": "no_longer_there"}) == {} and footprint({**BNN, "settings": {"layers": 2}}) == {}
    assert footprint({**BNN, "method": layout.OUTSIDE}) == {}


def test_it_is_said_in_a_sentence_beside_float() -> None:
    assert sentence(FACTS) == (
        "Stored in 1.0 kB, 24.5 times less than the same network of float32 (24.5 kB). A picture of 1280 x 720 takes "
        "1,234.00 G multiply-adds of bits with bits and 0.56 G of numbers, where float32 takes 1,234.56 G.")
    assert sentence({}) == ""


def test_runs_without_one_and_without_a_model_are_left_out(tmp_path: Path) -> None:
    write_json(tmp_path / layout.model("super_resolution", "small") / "model.json", BNN)
    write_json(tmp_path / layout.model("super_resolution", "plain") / "model.json", {**BNN, "method": "vdsr"})
    assert sentences(tmp_path, "super_resolution", ["gone", "plain", "small"]) == [("small", sentence(footprint(BNN)))]
