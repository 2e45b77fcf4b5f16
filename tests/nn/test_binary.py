"""Signs with their gradients, the packed form and its counting, and convolutions by XOR and popcount."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml.nn import xnor
from restore_ml.nn.binary import (
    BinaryConv,
    bits_of,
    kernel_of,
    multiply_adds,
    pack,
    sign,
    straight_through,
    unpack,
    with_signs,
    without_signs,
)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_value_goes_through_to_the_bit_and_its_gradient_to_the_path():
    made_of, path = numbers(1000).requires_grad_(), numbers(1000, seed=1).requires_grad_()
    value = made_of / 3
    through = straight_through(value, path * 2)
    assert torch.equal(through, value)
    (through * torch.arange(1000.0)).sum().backward()
    assert made_of.grad is None and torch.equal(path.grad, 2 * torch.arange(1000.0))


def test_a_sign_passes_gradients_where_its_input_is_small():
    x = torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.7, 1.0, 1.5], requires_grad=True)
    y = sign(x)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1] and sign(torch.tensor(-0.0)).item() == 1
    (y * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0]


def test_signs_are_packed_eight_a_byte_and_come_back():
    values = numbers(3, 5, 3, 3)
    packed = pack(values)
    assert packed.dtype == torch.uint8 and packed.numel() == 17
    assert pack(torch.tensor([1.0, -1, -1, -1, -1, -1, -1, 1, 1])).tolist() == [0b10000001, 0b10000000]
    assert torch.equal(unpack(packed, (3, 5, 3, 3)), torch.where(values > 0, 1.0, -1.0))


@pytest.mark.parametrize("packed", [torch.zeros(3, dtype=torch.uint8), torch.zeros(2)])
def test_packed_signs_of_another_number_are_refused(packed):
    with pytest.raises(RuntimeError, match="these are no 16 packed signs"):
        unpack(packed, (2, 8))


def test_a_kernel_is_the_sum_of_its_planes():
    planes = sign(numbers(2, 3, 4, 3, 3))
    expected = 0.5 * planes[0] + 2 * planes[1]
    torch.testing.assert_close(kernel_of((planes, torch.tensor([0.5, 2]))), expected)
    assert torch.equal(kernel_of((planes[0], torch.tensor(0.25))), 0.25 * planes[0])


class Two(nn.Module):
    """A binary layer of two planes, with what only training needs, between two convolutions of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(1, 4, 3, padding=1), BinaryConv(4, 4)
        self.last = nn.Conv2d(4, 2, 1)
        self.middle.planes, self.middle.pairs = (2,), 6
        self.middle.register_buffer("share", torch.ones(()))
        self.middle.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layer(self.first(x)))

    def layer(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm_of(self.middle(x)[0])

    def norm_of(self, x: torch.Tensor) -> torch.Tensor:
        return self.middle.norm(x)


def test_what_is_stored_has_signs_and_sizes_in_place_of_latent_weights():
    net = Two()
    planes = sign(numbers(2, 4, 4, 3, 3)), torch.tensor([0.5, 0.25])
    state = with_signs(net.state_dict(), {"middle": planes}, ("share",))
    assert {name for name in state if name.startswith("middle.")} == {
        "middle.signs", "middle.size", *(f"middle.norm.{key}" for key in net.middle.norm.state_dict())}
    assert state["middle.signs"].numel() == 36 and "first.weight" in state and "last.bias" in state
    fresh = Two()
    plain = without_signs(state, {"middle": fresh.middle}, ("share",))
    fresh.load_state_dict(plain)
    torch.testing.assert_close(fresh.middle.deployed, kernel_of(planes))
    assert "middle.deployed" not in fresh.state_dict() and torch.equal(fresh.first.weight, net.first.weight)
    assert fresh.double().middle.deployed.dtype == torch.float64  # it goes where its network goes


@pytest.mark.parametrize(("change", "words"), [
    (lambda state: state.pop("middle.signs"), "middle.signs is missing"),
    (lambda state: state.pop("middle.size"), "middle.size is missing"),
    (lambda state: state.update({"middle.size": torch.ones(())}), r"middle.size has the shape \(\) in place of \(2,\)"),
    (lambda state: state.update({"middle.signs": state["middle.signs"][1:]}), "middle.signs: these are no 288 packed"),
])
def test_a_stored_form_that_does_not_fit_is_refused(change, words):
    net = Two()
    state = with_signs(net.state_dict(), {"middle": (torch.ones(2, 4, 4, 3, 3), torch.ones(2))})
    change(state)
    with pytest.raises(RuntimeError, match=words):
        without_signs(state, {"middle": net.middle})


def test_bits_are_those_on_disk():
    state = {"a": torch.zeros(3, 2), "b": torch.zeros(5, dtype=torch.uint8), "c": torch.zeros(())}
    assert bits_of(state) == 192 + 40 + 32


def test_multiply_adds_of_numbers_and_of_bits(monkeypatch):
    monkeypatch.setattr(BinaryConv, "forward", lambda self, x: (functional.conv2d(x, self.weight, padding=1), x))
    net, x = Two(), torch.zeros(1, 1, 5, 6)
    assert multiply_adds(net, x) == (30 * (4 * 9 + 2 * 4), 30 * 4 * 4 * 9 * 6)
    net.middle.pairs = 0
    assert multiply_adds(net, x) == (30 * (4 * 9 + 4 * 4 * 9 + 2 * 4), 0)
    assert not net.first._forward_hooks and not net.middle._forward_hooks


@pytest.mark.parametrize(("channels", "outputs", "side", "height", "width"), [
    (64, 5, 3, 9, 7), (16, 4, 3, 6, 6), (70, 3, 3, 5, 8), (8, 2, 1, 4, 4), (3, 2, 5, 4, 3), (5, 2, 3, 1, 1)])
def test_xor_and_popcount_give_the_integers_of_a_convolution(channels, outputs, side, height, width, monkeypatch):
    monkeypatch.setattr(xnor, "STRIP", 11)
    a, b = sign(numbers(1, channels, height, width)), sign(numbers(outputs, channels, side, side, seed=1))
    expected = functional.conv2d(a, b, padding=side // 2)[0]
    sums = xnor.convolution(xnor.words_of(a[0].numpy(), 0), xnor.words_of(b.numpy(), 1), channels)
    assert sums.dtype == np.int32 and np.array_equal(sums, expected.numpy())


def test_signs_that_all_differ_or_all_agree_are_counted_too():
    a, b = np.ones((64, 3, 3)), np.ones((1, 64, 3, 3))
    for kernel, sign_of in ((b, 1), (-b, -1)):
        sums = xnor.convolution(xnor.words_of(a, 0), xnor.words_of(kernel, 1), 64)
        assert sums.tolist() == [[[sign_of * 64 * n for n in row] for row in ((4, 6, 4), (6, 9, 6), (4, 6, 4))]]


def test_words_have_the_first_sign_in_the_lowest_bit():
    signs = -np.ones((66, 2))
    signs[0, 0] = signs[65, 1] = 1
    assert xnor.words_of(signs, 0).tolist() == [[1, 0], [0, 2]]
