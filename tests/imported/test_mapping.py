"""Which array becomes which weight: by name under any wrapper, by order in any library's spelling, never by guess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_ml.base.errors import UserError
from restore_ml.imported.mapping import mapped
from restore_ml.imported.names import Layer, layers, numbered, role, shown
from restore_ml.imported.shapes import AS_TORCH, TURNED, Mismatch, Wanted, arranged, fits, one_place

SHAPES = {"head.weight": (8, 3, 3, 3), "head.bias": (8,), "body.0.weight": (8, 8, 3, 3), "body.0.bias": (8,),
          "body.2.weight": (8, 8, 3, 3), "body.2.bias": (8,), "body.10.weight": (8, 8, 3, 3), "body.10.bias": (8,),
          "norm.weight": (8,), "norm.bias": (8,), "norm.running_mean": (8,), "norm.running_var": (8,),
          "norm.num_batches_tracked": (), "last.weight": (3, 8, 3, 3), "last.bias": (3,), "window": (1, 1, 5, 5)}
WANTED = Wanted(SHAPES, frozenset({"window"}))
NEEDED = [name for name in SHAPES if name not in ("norm.num_batches_tracked", "window")]


def values(names=NEEDED, shapes=SHAPES) -> dict[str, np.ndarray]:
    """Arrays that differ, by the network's names."""
    return {name: np.full(shapes[name], place, np.float32) + np.arange(shapes[name][0], dtype=np.float32).reshape(
        -1, *(1,) * (len(shapes[name]) - 1)) / 100 for place, name in enumerate(names)}


def same(found, stored, wanted=None) -> bool:
    wanted = values() if wanted is None else wanted
    got = found.arrays(stored)
    return set(got) == set(wanted) and all(np.array_equal(got[name], wanted[name]) for name in wanted)


def find(stored, wanted=WANTED, **more):
    return mapped(wanted, stored, **{"torch_order": True} | more)


def turned(value: np.ndarray) -> np.ndarray:
    """Out x in x height x width as TensorFlow and MATLAB keep it."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


# By name.

WRAPPERS = st.lists(st.sampled_from(["module", "params", "params_ema", "state_dict", "model", "generator", "netG_A",
                                     "_orig_mod", "x1"]), max_size=4)


@given(WRAPPERS, st.permutations(NEEDED))
def test_names_are_found_in_any_order_under_any_wrapper(wrappers, order):
    before = "".join(f"{word}." for word in wrappers)
    stored = {f"{before}{name}": values()[name] for name in order}
    found = find(stored, ordered=False)
    assert same(found, stored) and (found.how, found.inside) == ("name", before)


@given(WRAPPERS)
def test_other_networks_of_a_file_are_left_alone(wrappers):
    before = "".join(f"{word}." for word in [*wrappers, "generator"])
    stored = {f"{before}{name}": value for name, value in values().items()} | {
        "discriminator.head.weight": np.ones((4, 3, 3, 3), np.float32), "other": np.ones(3, np.float32)}
    found = find(stored)
    assert same(found, stored) and "discriminator.head.weight" not in {pair.theirs for pair in found.pairs}


def test_counters_and_constants_may_lack_and_are_taken_where_they_are():
    stored = values() | {"window": np.ones((1, 1, 5, 5), np.float32)}
    assert {pair.ours for pair in find(stored).pairs} == {*NEEDED, "window"}
    assert {pair.ours for pair in find(values()).pairs} == set(NEEDED)


def test_a_statistic_that_lacks_is_named():
    stored = values()
    del stored["norm.running_var"]
    with pytest.raises(Mismatch, match=r"lacks 1 of the network's 14 weights: norm.running_var \(8\)") as raised:
        find(stored)
    assert raised.value.close == 13


def test_other_shapes_are_named_with_both():
    stored = values() | {"head.weight": np.ones((16, 3, 3, 3), np.float32), "last.bias": np.ones(4, np.float32)}
    with pytest.raises(Mismatch, match=r"2 of the network's 14 .* head.weight is 8 x 3 x 3 x 3 here and 16 x 3 x 3 x 3 "
                                       r"there; last.bias is 3 here and 4 there"):
        find(stored)


@pytest.mark.parametrize("wrapper", ["", "params."])
def test_a_deeper_network_is_not_cut_off(wrapper):
    stored = {f"{wrapper}{name}": value for name, value in values().items()}
    stored[f"{wrapper}body.12.weight"] = np.ones((8, 8, 3, 3), np.float32)
    with pytest.raises(Mismatch, match=rf"1 weights that the network has no place for: {wrapper}body.12.weight"):
        find(stored)


def test_averaged_weights_go_before_the_others():
    stored = {f"{top}.{name}": value + (top == "params") for top in ("params", "params_ema")
              for name, value in values().items()}
    found = find(stored)
    assert found.inside == "params_ema." and same(found, stored)


def test_the_network_s_own_name_chooses():
    stored = {f"{top}.{name}": value + (top == "teacher") for top in ("teacher", "student") for name, value in
              values().items()}
    assert same(find(stored, network="student"), stored)
    with pytest.raises(UserError, match=r"holds such a network 2 times: below 'teacher', 'student'.*FILE#student"):
        find(stored, network="net")
    assert same(find(stored, network="net", part="student"), stored)


def test_a_key_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="nothing below the key 'ema'; it has head, body"):
        find(values(), part="ema")


@pytest.mark.parametrize(("places", "chosen"), [
    (["a."], "a."), (["model.", "ema."], "ema."), (["state_dict.", "state_dict_ema."], "state_dict_ema."),
    (["g.", "g_avg."], "g_avg.")])
def test_the_place_of_several(places, chosen):
    assert one_place(places, "") == chosen


def test_two_averaged_networks_are_two():
    with pytest.raises(UserError, match="2 times"):
        one_place(["a_ema.", "b_ema."], "")


def test_our_names_with_kernels_turned_are_turned_back():
    stored = {name: np.ascontiguousarray(turned(value)) for name, value in values().items()}
    found = find(stored, torch_order=False)
    assert same(found, stored) and {pair.axes for pair in found.pairs if len(pair.shape) > 1} == {TURNED}


# By order.

SPELLINGS = {
    "torch": lambda number, part: f"layers.{number}.{part}",
    "tensorflow": lambda number, part: f"conv{number}/{'kernel' if part == 'weight' else part}:0",
    "matlab": lambda number, part: f"net.{part}.{number}",
    "short": lambda number, part: f"c{number}_{'W' if part == 'weight' else 'b'}",
}
PLAIN = {name: shape for name, shape in SHAPES.items() if name.split(".")[0] in ("head", "body", "last")}


def spelled(spelling: str, turn: bool) -> dict[str, np.ndarray]:
    own = values([*PLAIN])
    stems = list(dict.fromkeys(name.rpartition(".")[0] for name in PLAIN))
    return {SPELLINGS[spelling](stems.index(name.rpartition(".")[0]) + 8, name.rpartition(".")[2]):
            np.ascontiguousarray(turned(value)) if turn else value for name, value in own.items()}


@given(st.sampled_from([*SPELLINGS]), st.booleans(), st.randoms())
def test_numbers_in_names_are_the_order_however_the_file_has_them(spelling, turn, random):
    stored = spelled(spelling, turn)
    mixed = list(stored.items())
    random.shuffle(mixed)  # 8, 9, 10 ... sorted as texts would be 10, 11, 12, 8, 9
    found = mapped(Wanted(PLAIN), dict(mixed), torch_order=False, ordered=False)
    assert same(found, stored, values([*PLAIN])) and found.how == "order"


def test_arrays_without_words_go_one_by_one():
    own = values()
    stored = {f"arr_{place}": value for place, value in enumerate(own.values())}
    assert same(find(stored), stored)
    with pytest.raises(Mismatch, match="safetensors keeps no order"):
        find(stored, ordered=False)
    cut = dict(list(stored.items())[:-1])
    with pytest.raises(Mismatch, match="has 14 weights and the file 13; the first 13 fit"):
        find(cut)
    with pytest.raises(Mismatch, match=r"Number 1 is head.weight \(8 x 3 x 3 x 3\) here and arr_1 \(8\) there"):
        find(dict(list(stored.items())[1:]))


def test_layers_of_one_shape_and_other_names_are_not_guessed_without_an_order():
    two = Wanted({"a.weight": (8, 8, 3, 3), "b.weight": (8, 8, 3, 3)})
    stored = {"second.weight": np.ones((8, 8, 3, 3), np.float32), "first.weight": np.zeros((8, 8, 3, 3), np.float32)}
    with pytest.raises(Mismatch, match=r"second.weight .* and first.weight .* both fit a.weight"):
        find(stored, two, ordered=False)
    found = find(stored, two)
    assert [(pair.ours, pair.theirs) for pair in found.pairs] == [("a.weight", "second.weight"),
                                                                  ("b.weight", "first.weight")]


def test_the_kernels_alone_or_one_layer_are_never_a_network():
    one = Wanted({"only.weight": (8, 8, 3, 3)})
    with pytest.raises(Mismatch, match=r"has 1 layers and the file 2; left over: net.2.weight"):
        find({f"net.{number}.weight": np.ones((8, 8, 3, 3), np.float32) for number in (1, 2)}, one)
    without_bias = Wanted({name: shape for name, shape in PLAIN.items() if name.endswith("weight")})
    with pytest.raises(Mismatch, match=r"For head.weight \(8 x 3 x 3 x 3\) the file has no such layer left; next in "
                                       r"it is net.weight.8 \(8 x 3 x 3 x 3\), net.bias.8 \(8\)"):
        find(spelled("matlab", False), without_bias)


def test_by_order_the_averaged_and_the_named_network_are_found_among_several():
    own = spelled("torch", False)
    stored = {f"{top}.{name}": value + (top != "model_ema") for top in ("model", "model_ema") for name, value in
              own.items()} | {"discriminator.layers.0.weight": np.ones((4, 3, 3, 3), np.float32)}
    found = find(stored, Wanted(PLAIN))
    assert found.inside == "model_ema." and same(found, stored, values([*PLAIN]))


def test_other_layers_are_named():
    stored = {name: value for name, value in spelled("torch", False).items() if "10" not in name}
    with pytest.raises(Mismatch, match=r"has 5 layers and the file 4. For body.10.weight .*, body.10.bias \(8\) the "
                                       r"file has no such layer left; next in it is layers.12.weight"):
        find(stored, Wanted(PLAIN))


def test_two_readings_of_the_axes_are_refused_but_for_torch_s_own():
    square = Wanted({"conv.weight": (3, 3, 3, 3)})
    value = np.arange(81, dtype=np.float32).reshape(3, 3, 3, 3)
    with pytest.raises(UserError, match="nothing says which is meant"):
        find({"c1/kernel": value}, square, torch_order=False)
    for stored in ({"c1.weight": value}, {"conv.weight": value}):
        found = find(stored, square, torch_order="conv.weight" not in stored)
        assert np.array_equal(found.arrays(stored)["conv.weight"], value)


# Shapes and names.

@pytest.mark.parametrize(("stored", "wanted", "axes", "fit"), [
    ((8, 3, 3, 3), (8, 3, 3, 3), AS_TORCH, True), ((3, 3, 3, 8), (8, 3, 3, 3), TURNED, True),
    ((3, 3, 3, 8), (8, 3, 3, 3), AS_TORCH, False), ((3, 3, 8), (1, 8, 3, 3), TURNED, True),
    ((3, 3, 8), (1, 8, 3, 3), AS_TORCH, False), ((8, 1), (8,), AS_TORCH, True), ((1, 8), (8,), TURNED, True),
    ((1, 1), (1,), AS_TORCH, True), ((), (1,), AS_TORCH, True), ((1,), (), AS_TORCH, True),
    ((9,), (8,), AS_TORCH, False), ((4, 2), (2, 4), TURNED, True), ((5, 3, 2), (2, 3, 5), TURNED, True),
    ((8,), (8, 1, 1, 1), TURNED, False),
    ((1, 3, 3, 3, 8), (8, 3, 3, 3), TURNED, False)])
def test_fits(stored, wanted, axes, fit):
    assert fits(stored, wanted, axes) is fit


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple))
def test_turned_arrays_come_back(shape):
    value = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    there = value.transpose(*range(2, len(shape)), 1, 0)
    assert fits(there.shape, shape, TURNED) and np.array_equal(arranged(there, shape, TURNED), value)


@pytest.mark.parametrize(("name", "stem", "part"), [
    ("body.0.weight", ("body", "0"), "weight"), ("conv1/kernel:0", ("conv", "1"), "weight"),
    ("bn.running_mean", ("bn",), "mean"), ("bn/moving_variance", ("bn",), "var"), ("W12", ("12",), "weight"),
    ("model.bias.3", ("model", "3"), "bias"), ("bn/gamma", ("bn",), "weight"), ("bn/beta", ("bn",), "bias"),
    ("arr_3", ("arr", "3"), "")])
def test_role(name, stem, part):
    assert role(name) == (stem, part)


def test_names_that_say_nothing_or_the_same_are_no_layers():
    assert layers(["a.weight", "arr_1"]) is None and layers(["a.weight", "a.kernel"]) is None


def test_families_keep_their_places():
    found = numbered([Layer(("x", "10")), Layer(("head",)), Layer(("x", "2"))])
    assert [layer.stem for layer in found] == [("x", "2"), ("head",), ("x", "10")]


def test_shapes_are_shown():
    assert shown((64, 1, 3, 3)) == "64 x 1 x 3 x 3" and shown(()) == "one number"
