"""Neural style transfer: its terms by hand, what it starts from, and that pixels get the painting's style."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.style_transfer import neural_style_transfer
from restore_ml.methods.style_transfer.neural_style_transfer import METHOD
from restore_ml.nn.features import FeatureNet, equalise
from restore_ml.nn.vgg16 import CONVOLUTIONS, WIDTHS

SMALL = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu2_1"]}
ARANGE = torch.arange(24, dtype=torch.float64).reshape(1, 2, 3, 4) / 10


@pytest.fixture(scope="module")
def features() -> FeatureNet:
    torch.manual_seed(0)
    network = FeatureNet(4)
    equalise(network, texture(64, 0).expand(4, -1, -1, -1))
    return network.requires_grad_(False)


def texture(side: int, kind: int) -> Tensor:
    """Stripes that lie (0) or stand (1), in other colours."""
    rows, columns = torch.meshgrid(*2 * [torch.arange(side).float()], indexing="ij")
    wave = 0.5 + 0.4 * torch.sin((columns if kind else rows) / (2 - kind))
    return torch.stack([wave, 1 - wave, wave * 0 + 0.7 * kind])[None]


def test_published_recipe() -> None:
    paper = METHOD({}).settings
    assert paper["content_taps"] == ["relu4_2"] and paper["pooling"] == "average" and paper["steps"] == 500
    assert paper["style_taps"] == [f"relu{block}_1" for block in range(1, 6)]
    assert paper["content_weight"] / paper["style_weight"] == 1e-3 and paper["units"] == "paper" and not paper["tv"]
    with torch.device("meta"):
        network = FeatureNet()
    held = sum(p.numel() for name, module in network.convolutions.items() if name <= "4_1"
               for p in module.parameters())
    assert held == 3_505_728  # VGG19 to conv4_1
    assert METHOD.per_picture and METHOD.restoring_slots == ("features",) and not METHOD({}).trains
    assert len(CONVOLUTIONS) == 13 and WIDTHS[-1] == 512  # the other network has all of these taps too


def test_content_is_half_the_sum_of_squares() -> None:
    own, wanted = METHOD({}), {"a": ARANGE, "b": ARANGE[:, :1]}
    maps = {"a": ARANGE + 0.5, "b": ARANGE[:, :1] - 2, "c": ARANGE}
    assert own.content_loss(maps, wanted).item() == pytest.approx((24 * 0.25 + 12 * 4) / 2)
    assert own.content_loss(wanted, wanted).item() == 0
    shares = METHOD({"units": "relative"}).content_loss(maps, wanted).item()
    squares = sum((n / 10) ** 2 for n in range(24)) / 24, sum((n / 10) ** 2 for n in range(12)) / 12
    assert shares == pytest.approx((0.25 / squares[0] + 4 / squares[1]) / 2)


def test_style_is_the_paper_s_error_of_gram_matrices() -> None:
    """E = sum (G - A)^2 / (4 N^2 M^2) with the card's G of 2 channels and 12 places, and G of twice the maps, 4 G."""
    own, card = METHOD({}), torch.tensor([[5.06, 12.98], [12.98, 38.18]], dtype=torch.float64)
    wanted = {"a": ARANGE}
    error = (9 * card.square()).sum().item() / (4 * 2 ** 2 * 12 ** 2)
    assert own.style_loss({"a": 2 * ARANGE}, wanted).item() == pytest.approx(error)
    two = own.style_loss({"a": 2 * ARANGE, "b": ARANGE}, {"a": ARANGE, "b": ARANGE})
    assert two.item() == pytest.approx(error / 2)  # each of two layers has the weight 1/2
    assert own.style_loss(wanted, wanted).item() == 0
    shuffled = ARANGE.flatten(2)[..., torch.randperm(12)].reshape(ARANGE.shape)
    assert own.style_loss({"a": shuffled}, wanted).item() == pytest.approx(0, abs=1e-12)
    relative = METHOD({"units": "relative"}).style_loss({"a": 2 * ARANGE}, wanted)
    assert relative.item() == pytest.approx(9)


class Watch:
    """Stands in for `optimise`: gives away what it is called with."""

    def __call__(self, parameters, loss, optimiser, steps) -> float:
        self.pixels, self.loss, self.made, self.steps = parameters[0], loss, optimiser(parameters), steps
        with torch.enable_grad():
            self.first = loss(0)
            self.gradient, = torch.autograd.grad(self.first, self.pixels)
        return self.first.item()


def watched(monkeypatch: pytest.MonkeyPatch, features: FeatureNet, **settings) -> tuple[Watch, Tensor]:
    watch = Watch()
    monkeypatch.setattr(neural_style_transfer, "optimise", watch)
    inputs = {"content": texture(24, 0), "style": texture(32, 1)}
    made = METHOD(SMALL | settings).restore(Model(slots={"features": features}), inputs, 3)["image"]
    return watch, made


@pytest.mark.parametrize("units", ["paper", "relative"])
def test_the_terms_are_weighted_and_the_content_is_the_photograph_s(monkeypatch, features, units) -> None:
    content, style = texture(24, 0), texture(32, 1)
    watch, made = watched(monkeypatch, features, units=units, content_weight=3.0, style_weight=7.0)
    assert torch.equal(watch.pixels.detach(), content) and torch.equal(made, content) and watch.steps == 500
    own = METHOD(SMALL | {"units": units})
    maps = {name: neural_style_transfer.tapped(features, picture, SMALL["style_taps"])
            for name, picture in (("content", content), ("style", style))}
    assert watch.first.item() == pytest.approx(7 * own.style_loss(maps["content"], maps["style"]).item(), rel=1e-5)
    noise, _ = watched(monkeypatch, features, units=units, content_weight=3.0, style_weight=7.0, start="noise")
    moved = neural_style_transfer.tapped(features, noise.pixels.detach(), SMALL["style_taps"])
    only = {"relu2_1": maps["content"]["relu2_1"]}
    assert noise.first.item() == pytest.approx(3 * own.content_loss(moved, only).item()
                                               + 7 * own.style_loss(moved, maps["style"]).item(), rel=1e-5)
    assert watch.gradient.abs().max() > 0 and noise.gradient.abs().max() > 0


def test_a_photograph_that_is_the_painting_has_nothing_to_lose(monkeypatch, features) -> None:
    watch = Watch()
    monkeypatch.setattr(neural_style_transfer, "optimise", watch)
    same = texture(24, 1)
    METHOD(SMALL).restore(Model(slots={"features": features}), {"content": same, "style": same}, 1)
    assert watch.first.item() == 0


def test_total_variation_pooling_and_start(monkeypatch, features) -> None:
    plain, _ = watched(monkeypatch, features)
    smooth, _ = watched(monkeypatch, features, tv=2.0)
    content = texture(24, 0)
    variation = (content[..., 1:, :] - content[..., :-1, :]).abs().mean()  # the stripes lie
    assert smooth.first.item() - plain.first.item() == pytest.approx(2 * variation.item(), rel=1e-3)
    for watch in (smooth, plain):  # the variation is that of the pixels that move: none in a plain picture
        watch.pixels.data.fill_(0.5)
    assert smooth.loss(0).item() == pytest.approx(plain.loss(0).item(), rel=1e-6)
    largest, _ = watched(monkeypatch, features, pooling="max")
    assert largest.first.item() != pytest.approx(plain.first.item(), rel=1e-3)
    one, other = (watched(monkeypatch, features, start="noise")[0].pixels.detach() for _ in range(2))
    draws = METHOD({"start": "noise"})
    assert torch.equal(draws.start(content, 3), one) and not torch.equal(draws.start(content, 4), one)
    assert torch.equal(one, other) and one.min() >= 0 and one.max() <= 1 and 0.25 < one.std() < 0.33


@pytest.mark.parametrize(("name", "kind", "lr"), [("lbfgs", torch.optim.LBFGS, 1.0), ("adam", torch.optim.Adam, 0.5)])
def test_one_iteration_a_step(monkeypatch, features, name, kind, lr) -> None:
    watch, _ = watched(monkeypatch, features, optimiser=name, lr=lr)
    assert type(watch.made) is kind and watch.made.param_groups[0]["lr"] == lr
    assert name == "adam" or watch.made.param_groups[0]["max_iter"] == 1


@pytest.mark.parametrize(("settings", "times"), [
    ({"units": "relative", "style_weight": 100.0}, 10), ({"style_weight": 1e6}, 5),
    ({"units": "relative", "style_weight": 100.0, "optimiser": "adam", "lr": 0.03}, 9)])
def test_the_style_s_error_falls_by_ten_and_the_picture_stays_a_picture(features, settings, times) -> None:
    """The card: more than ten times less in 60 steps, in the units of its small preset; 9.6 here by Adam."""
    content, style = texture(32, 0), texture(32, 1)
    own = METHOD(SMALL | {"steps": 60} | settings)
    model = Model(slots={"features": features})
    made = own.restore(model, {"content": content, "style": style}, 1)["image"]
    assert made.shape == content.shape and made.min() >= 0 and made.max() <= 1 and not made.requires_grad
    judged = METHOD(SMALL | {"units": "relative"})
    maps = [neural_style_transfer.tapped(features, picture, SMALL["style_taps"]) for picture in (content, made, style)]
    before, after = (judged.style_loss(value, maps[2]).item() for value in maps[:2])
    assert after < before / times, (before, after)
    assert torch.equal(own.restore(model, {"content": content, "style": style}, 1)["image"], made)


def test_it_says_what_it_needs() -> None:
    with pytest.raises(UserError, match="needs a feature network; name a run of one in its slot `features`"):
        METHOD(SMALL).restore(Model(), {"content": texture(16, 0), "style": texture(16, 1)}, 1)
    for key in ("units", "pooling", "start", "optimiser"):
        with pytest.raises(UserError, match=f"{key} of neural_style_transfer is 'other'; it must be"):
            METHOD({key: "other"})


def test_the_copy_is_the_photograph() -> None:
    content = texture(16, 0)
    made = registry.method_class("style_transfer", "content_copy")({}).restore(
        Model(), {"content": content, "style": texture(16, 1)}, 1)["image"]
    assert torch.equal(made, content) and made is not content
