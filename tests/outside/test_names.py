import pytest

from restore_ml.outside.names import listed, match, plain_names


def matched(names: list[str], files: list[str]):
    return match(names, {f"{file}.png": file for file in files})


@pytest.mark.parametrize(("names", "files", "how"), [
    (["baby", "bird"], ["baby", "bird"], ""),
    (["baby", "bird"], ["baby_x4_swinir", "bird_x4_swinir"], "'_x4_swinir' after the name"),
    (["baby", "bird"], ["sr_baby", "sr_bird"], "'sr_' before the name"),
    (["baby", "bird"], ["out-baby-2", "out-bird-2"], "'out-' before the name, '-2' after the name"),
    (["0801", "0802"], ["801", "802"], "leading zeros of numbers"),
    (["img_003", "img_014"], ["img_3x4", "img_14x4"], "leading zeros of numbers, 'x4' after the name"),
    (["Baby", "Bird"], ["baby", "bird"], "small and capital letters"),
    ([str(number) for number in range(1, 13)], [f"{number}_x4" for number in range(1, 13)], "'_x4' after the name"),
    (["a", "aa"], ["out_a", "out_aa"], "'out_' before the name"),
    (["chelsea_225", "chelsea_225_54"], ["chelsea_225_o", "chelsea_225_54_o"], "'_o' after the name"),
    (["caf\u00e9"], ["cafe\u0301"], "")])
def test_each_file_is_found(names: list[str], files: list[str], how: str) -> None:
    found = matched(names, files)
    assert found.files == {name: f"{file}.png" for name, file in zip(names, files, strict=True)}
    assert (found.how, found.missing, found.over, found.faults) == (how, [], [], [])


def test_missing_and_left_over_are_named() -> None:
    found = matched(["baby", "bird"], ["baby", "horse"])
    assert found.files == {"baby": "baby.png"} and found.missing == ["bird"] and found.over == ["horse.png"]


def test_two_files_for_one_sample_are_named_and_neither_is_taken() -> None:
    found = match(["baby", "bird"], {"baby.png": "baby", "baby.jpg": "baby", "bird.png": "bird"})
    assert found.files == {"bird": "bird.png"} and found.missing == []
    assert found.faults == ["Two files for one sample, baby: baby.png, baby.jpg. Leave one of them."]


def test_a_file_beside_one_with_a_suffix_is_a_second_one() -> None:
    found = matched(["baby", "bird"], ["baby", "baby_x4", "bird"])
    assert found.files == {"bird": "bird.png"}
    assert found.faults == ["Two files for one sample, baby: baby.png, baby_x4.png. Leave one of them."]


def test_what_zeros_alone_tell_apart_is_not_guessed() -> None:
    found = matched(["001", "01"], ["1"])
    assert not found.files and found.faults == ["001 and 01 cannot be told apart by the names of the files: 1.png."]


def test_names_that_only_some_share_are_no_suffix() -> None:
    found = matched(["baby", "bird", "head"], ["baby_a", "bird_a", "head_b"])
    assert found.files == {"baby": "baby_a.png", "bird": "bird_a.png"} and found.missing == ["head"]
    assert found.over == ["head_b.png"]


def test_a_file_that_kept_its_name_belongs_to_it_whatever_others_add() -> None:
    found = matched(["baby", "bird", "head"], ["baby_a", "bird_a", "head"])
    assert found.files == {"baby": "baby_a.png", "bird": "bird_a.png", "head": "head.png"} and not found.over


def test_names_of_files_are_plain_and_different() -> None:
    assert plain_names({"1" * 9: "s1/8.png", "2" * 9: "b\u00fccher"}) == {"1" * 9: "s1_8_png", "2" * 9: "b\u00fccher"}
    assert plain_names({"1" * 9: "A", "2" * 9: "a"}) == {"1" * 9: "A-11111111", "2" * 9: "a-22222222"}
    assert plain_names({"1" * 9: "//"}) == {"1" * 9: "sample"}


def test_long_lists_are_counted() -> None:
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"
