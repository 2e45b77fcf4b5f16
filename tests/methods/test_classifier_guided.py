"""Filling by a classifier: each term of the energy by hand, what is trained and remembered, and what the filling keeps.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting import classifier_guided as module
from restore_ml.methods.inpainting.classifier_guided import (
    METHOD,
    Energy,
    Head,
    alike,
    blurred,
    heated,
    shifted,
    variation,
)
from restore_ml.methods.inpainting.diffusion_heat import METHOD as HEAT
from restore_ml.methods.inpainting.tv_inpaint import METHOD as TV
from restore_ml.restoring.harness import restore
from restore_ml.seeds import derive
from tests.methods.holes import pictures

SMALL = {"tap": "pixels", "channels": 3, "classes": 5, "window": 7, "steps": 6}


class Pixels(nn.Module):
    """A feature network whose only map is the squared picture."""

    def forward(self, x: Tensor, taps: list[str]) -> dict[str, Tensor]:
        assert taps == ["pixels"]
        return {"pixels": x.square()}


def guided(**settings: Any) -> tuple[Any, Model]:
    """The method with a head that was taught at random and remembers four classes."""
    torch.manual_seed(0)
    head = Head(3, 5)
    head.out.weight.data *= 10
    head.memory.copy_(torch.rand(5, 3))
    head.count.copy_(torch.tensor([1.0, 4, 0, 2, 3]))
    return METHOD(SMALL | settings), Model({"head": head}, slots={"features": Pixels()})


def holed(side: int = 24) -> tuple[Tensor, Tensor]:
    """Smooth colours with an edge through the hole."""
    y, x = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    image = torch.stack([0.3 + 0.3 * x * y, 0.5 - 0.2 * x, 0.2 + 0.1 * y])[None]
    image = image + 0.3 * (y > 0.3 + 0.4 * x)
    hole = torch.zeros(1, 1, side, side, dtype=torch.bool)
    hole[..., 7:16, 8:17] = True
    return image, hole


def test_published_and_read_recipe() -> None:
    assert METHOD({}).settings == {
        "tap": "relu5_4", "channels": 512, "classes": 1000, "head_steps": 100_000, "head_lr": 1e-3, "batch": 32,
        "patch": 224, "ema": 0.0, "weights": [1.0, 1.0, 0.5, 0.5], "nearest": 5, "window": 21, "scales": 2,
        "steps": 300, "lr": 0.02, "cases": []}
    with pytest.raises(UserError, match="a number for each of class, features, variation, graph"):
        METHOD({"weights": [1.0]})
    assert METHOD({}).unsupported("centre") is None and METHOD({"cases": ["text"]}).unsupported("centre")
    phase, = METHOD({}).phases()
    player, = phase.players
    assert phase.steps == 100_000 and list(player.networks) == ["head"]
    optimiser = player.optimiser([nn.Parameter(torch.zeros(1))])
    assert type(optimiser) is torch.optim.Adam and optimiser.param_groups[0]["lr"] == 1e-3
    assert player.schedule(0, 10) == 1 and player.schedule(10, 10) == pytest.approx(0)


def test_the_head_learns_which_picture_a_crop_is_of_and_remembers_it() -> None:
    method, model = guided()
    head, ids, truth = Head(3, 5), ["a", "b", "a"], pictures(3, 8)
    context = Context({"image": 0 * truth}, {"image": truth}, ids, {"head": head}, step=0, steps=1,
                      slots=model.slots, generator=torch.Generator())
    classes = torch.tensor([derive(identity) % 5 for identity in ids])
    assert classes[0] != classes[1]
    means = truth.square().mean((2, 3))
    terms = method.loss(context)
    torch.testing.assert_close(terms, {"class": F.cross_entropy(head.out(means), classes)})
    terms["class"].backward()
    assert head.out.weight.grad.abs().sum() > 0
    method.phases()[0].players[0].after(context)
    wanted = torch.zeros(5, 3)
    wanted[classes[0]], wanted[classes[1]] = (means[0] + means[2]) / 2, means[1]
    torch.testing.assert_close(head.memory, wanted)
    assert head.count[classes[0]] == 2 and head.count[classes[1]] == 1 and head.count.sum() == 3


def test_class_and_features_by_hand() -> None:
    image, hole = holed()
    method, model = guided(nearest=2)
    start = heated(image, hole)
    head, means = model.networks["head"], start.square().mean((2, 3))
    head.memory[2] = means[0]  # of a class that was never seen
    energy = Energy(method, model, start)
    posterior = F.softmax(head(means), 1)
    torch.testing.assert_close(energy.wanted_class, posterior ** 2 / (posterior ** 2).sum())  # temperature 1/2
    there = [0, 1, 3, 4]  # class 2 was never seen
    apart = torch.stack([(head.memory[place] - means[0]).square().mean() for place in there])
    near = apart.argsort()[:2]
    torch.testing.assert_close(energy.wanted, head.memory[[there[place] for place in near]])
    torch.testing.assert_close(energy.shares, torch.exp(-apart[near]) / torch.exp(-apart[near]).sum())
    energy.rebuild(start, hole)
    picture = pictures(1, 24, 5)
    terms = energy.terms(picture, hole, [0, 0], None)
    assert list(terms) == ["class", "features", "variation", "graph"]
    now = picture.square().mean((2, 3))
    entropy = -(energy.wanted_class * F.log_softmax(head(now), 1)).sum()
    torch.testing.assert_close(terms["class"], entropy)
    distance = sum(share * (now[0] - each).square().mean()
                   for share, each in zip(energy.shares, energy.wanted, strict=True))
    torch.testing.assert_close(terms["features"], distance)
    moved = energy.terms(picture, hole, [2, -1], None)
    other = shifted(picture, 2, -1).square().mean((2, 3))
    torch.testing.assert_close(moved["class"], -(energy.wanted_class * F.log_softmax(head(other), 1)).sum())
    assert torch.equal(moved["variation"], terms["variation"]) and torch.equal(moved["graph"], terms["graph"])


def test_each_term_is_its_weight_at_the_start_and_its_factor_stays() -> None:
    image, hole = holed()
    method, model = guided(weights=[1.0, 0.7, 0.5, 0.3])
    energy = Energy(method, model, heated(image, hole))
    first, second = pictures(1, 24, 1), pictures(1, 24, 2)
    energy.rebuild(first, hole)
    assert energy(first, hole, [0, 0]).item() == pytest.approx(2.5, rel=1e-5)
    begun, now = energy.terms(first, hole, [0, 0], None), energy.terms(second, hole, [0, 0], None)
    wanted = sum(weight * (now[name] / begun[name]).item() for name, weight in
                 zip(module.TERMS, (1.0, 0.7, 0.5, 0.3), strict=True))
    assert energy(second, hole, [0, 0]).item() == pytest.approx(wanted, rel=1e-4)
    alone, model = guided(weights=[0.0, 0.0, 1.0, 0.0])
    assert list(Energy(alone, model, first).terms(first, hole, [0, 0], None)) == ["variation"]


def test_variation_by_hand() -> None:
    picture, hole = pictures(1, 7), torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    hole[..., 5:, 2:4] = True  # at the border, beyond which nothing counts
    values, lengths = picture[0].double().numpy(), []
    for y in range(4, 7):
        for x in range(1, 5):
            right = values[:, y, x + 1] - values[:, y, x] if x < 6 else np.zeros(3)
            below = values[:, y + 1, x] - values[:, y, x] if y < 6 else np.zeros(3)
            lengths.append(np.sqrt((right ** 2 + below ** 2).sum() + 1e-6))
    assert variation(picture, hole).item() == pytest.approx(np.mean(lengths), rel=1e-5)


def test_alike_patches_by_hand() -> None:
    picture, hole = np.random.default_rng(0).random((14, 15, 3)).astype(np.float32), np.zeros((14, 15), bool)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)  # neighbours, some of which are missing, are alike
    hole[5:8, 6:9] = hole[0, 0] = True
    here, there, share = (part.numpy() for part in alike(picture, hole, 7))
    framed = np.pad(picture, ((2, 2), (2, 2), (0, 0)), "reflect").astype(float)
    assert np.array_equal(here, np.flatnonzero(hole))
    for place in (0, 5):
        y, x = divmod(int(here[place]), 15)
        if not (5 <= y < 9):
            continue
        found = {}
        for v in range(y - 3, y + 4):
            for u in range(x - 3, x + 4):
                if (v, u) != (y, x) and 0 <= v < 14 and 0 <= u < 15:
                    apart = np.square(framed[y:y + 5, x:x + 5] - framed[v:v + 5, u:u + 5]).mean()
                    found[v * 15 + u] = apart * (2 if hole[v, u] else 1)
        best = sorted(found, key=found.get)[:8]
        assert there[place].tolist() == best
        np.testing.assert_allclose(share[place], [np.exp(-found[each] / 0.01) for each in best], rtol=1e-3)
    corner = there[0]
    assert ((corner // 15 <= 3) & (corner % 15 <= 3)).all() and (corner >= 0).all()


def test_the_graph_term_by_hand() -> None:
    image, hole = holed()
    method, model = guided(weights=[0.0, 0.0, 0.0, 1.0])
    energy, picture = Energy(method, model, heated(image, hole)), pictures(1, 24, 3)
    energy.rebuild(picture, hole)
    here, there, share = alike(picture[0].permute(1, 2, 0).numpy(), hole[0, 0].numpy(), 7)
    flat = picture[0].reshape(3, -1).double()
    total = sum(share[n, k].item() * (flat[:, here[n]] - flat[:, there[n, k]]).square().sum().item()
                for n in range(len(here)) for k in range(8))
    assert energy.terms(picture, hole, [0, 0], None)["graph"].item() == pytest.approx(total / len(here), rel=1e-4)


def test_shifting_and_blurring() -> None:
    picture = pictures(1, 9)
    assert torch.equal(shifted(picture, 0, 0), picture)
    assert torch.equal(shifted(picture, 2, -1)[..., 2:, :-1], picture[..., :-2, 1:])
    assert torch.equal(shifted(picture, 2, 0)[..., :2, :], picture[..., :1, :].expand(1, 3, 2, 9))
    point = torch.zeros(1, 2, 15, 15)
    point[:, 1, 7, 7] = 1
    spread = blurred(point)
    assert spread.sum().item() == pytest.approx(1, rel=1e-5) and not spread[:, 0].any()
    assert (spread[0, 1, 7, 8] / spread[0, 1, 7, 7]).item() == pytest.approx(np.exp(-0.5), rel=1e-5)


def test_only_the_classifiers_gradient_is_blurred() -> None:
    image, hole = holed()
    asked: list[Tensor] = []

    def soften(gradient: Tensor) -> Tensor:
        asked.append(gradient.clone())
        return torch.zeros_like(gradient)

    method, model = guided()
    energy, pixels = Energy(method, model, heated(image, hole)), pictures(1, 24, 1).requires_grad_()
    energy.rebuild(pixels.detach(), hole)
    terms = energy.terms(pixels, hole, [0, 0], soften)
    gradient, = torch.autograd.grad(terms["class"] + terms["features"] + terms["variation"], pixels)
    plain, = torch.autograd.grad(variation(pixels, hole), pixels)
    torch.testing.assert_close(gradient, plain)
    assert len(asked) == 1 and asked[0].abs().sum() > 0


def test_gradients_are_blurred_in_the_first_half_and_the_rate_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    image, hole = holed()
    method, model = guided(scales=1, steps=4, lr=0.01)
    seen, built = [], []
    monkeypatch.setattr(module, "REBUILT", 3)

    class Watched(Energy):
        def rebuild(self, picture: Tensor, hole: Tensor) -> None:
            built.append(picture.clone())

        def __call__(self, picture: Tensor, hole: Tensor, shift: list[int], soften: Any = None) -> Tensor:
            seen.append((picture.detach().clone(), shift, soften))
            return picture[..., 7:16, 8:17].sum()  # a slope of 1 in the hole: Adam's steps are its rates

    monkeypatch.setattr(module, "Energy", Watched)
    start = heated(image, hole)
    made = method.fill(model, image, hole, 1)
    assert [soften is blurred for *_, soften in seen] == [True, True, False, False] and len(built) == 2
    assert all(-2 <= each <= 2 for _, shift, _ in seen for each in shift)
    assert torch.equal(seen[0][0], start)
    rates = [0.01 * 0.5 * (1 + np.cos(np.pi * step / 4)) for step in range(4)]
    driven, model = guided(scales=1, steps=4, lr=5.0)
    assert driven.fill(model, image, hole, 1)[hole.expand_as(image)].abs().max() == 0  # it ends at black
    moved = (made - start)[0, 0, 10, 11].item()
    assert moved == pytest.approx(-sum(rates), rel=1e-3)
    assert torch.equal(made[~hole.expand_as(made)], image[~hole.expand_as(made)])


def test_the_graph_is_made_anew_every_50_steps_and_shifts_reach_two_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    image, hole = holed()
    method, model = guided(scales=1, steps=101)
    shifts, built = [], []

    class Watched(Energy):
        def rebuild(self, picture: Tensor, hole: Tensor) -> None:
            built.append(len(shifts))

        def __call__(self, picture: Tensor, hole: Tensor, shift: list[int], soften: Any = None) -> Tensor:
            shifts.append(tuple(shift))
            return picture.sum()

    monkeypatch.setattr(module, "Energy", Watched)
    method.fill(model, image, hole, 1)
    assert built == [0, 50, 100] and len(shifts) == 101
    assert {down for down, _ in shifts} == {right for _, right in shifts} == {-2, -1, 0, 1, 2}
    assert any(down != right for down, right in shifts)


def test_coarse_to_fine_begins_from_heat_and_hands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    image, hole = holed()
    method, model = guided(scales=2)
    seen = []

    def descend(energy: Energy, start: Tensor, hole: Tensor, draws: torch.Generator) -> Tensor:
        seen.append((start, hole))
        return torch.where(hole, torch.tensor(0.25), start)

    method.descend = descend
    made = method.fill(model, image, hole, 1)
    (small, missing), (large, whole) = seen
    start = heated(image, hole)
    torch.testing.assert_close(small, F.avg_pool2d(start, 2))
    assert torch.equal(missing, F.max_pool2d(hole.float(), 2) > 0) and torch.equal(whole, hole)
    inside = hole.expand_as(large)
    torch.testing.assert_close(large[~inside], image[~inside])
    assert large[0, 0, 11, 12].item() == pytest.approx(0.25) and torch.equal(made[inside], torch.full((243,), 0.25))


def test_variation_alone_ends_where_total_variation_ends() -> None:
    image, hole = holed()
    method, model = guided(weights=[0.0, 0.0, 1.0, 0.0], scales=1, steps=300)
    made = method.fill(model, image, hole, 1)
    array, missing = (image * ~hole)[0].permute(1, 2, 0).double().numpy(), hole[0, 0].numpy()
    best = torch.from_numpy(TV({"iterations": 2000}).fill(array, missing)).permute(2, 0, 1)[None].float()
    least, ours = variation(best, hole).item(), variation(made, hole).item()
    assert ours == pytest.approx(least, rel=0.01) and variation(heated(image, hole), hole).item() > 1.02 * least


def test_the_energy_falls_and_the_class_becomes_likelier() -> None:
    image, hole = holed()
    method, model = guided(weights=[1.0, 0.0, 0.0, 0.0], scales=1, steps=60)
    start = heated(image, hole)
    energy = Energy(method, model, start)
    made = method.fill(model, image, hole, 1)
    before, after = (energy.terms(each, hole, [0, 0], None) for each in (start, made))
    assert after["class"] < before["class"]
    wanted = int(energy.wanted_class.argmax())
    chance = [F.softmax(energy.head(each.square().mean((2, 3))), 1)[0, wanted].item() for each in (start, made)]
    assert chance[1] > chance[0]
    fine = [np.abs(np.diff(np.diff(each[0].numpy(), axis=2), axis=2))[:, 8:15, 8:14].mean() for each in (made, image)]
    assert fine[0] < 2 * fine[1] + 0.01  # no noise that only the classifier sees


def test_all_terms_together_fall() -> None:
    """By the graph and the factors of the start, and not shifted."""
    image, hole = holed()
    method, model = guided(scales=1, steps=100)
    start = heated(image, hole)
    energy = Energy(method, model, start)
    energy.rebuild(start, hole)
    first = energy(start, hole, [0, 0]).item()
    assert first == pytest.approx(3, rel=1e-5)
    assert energy(method.fill(model, image, hole, 1), hole, [0, 0]).item() < 0.98 * first


def test_an_edge_stays_steeper_than_by_heat() -> None:
    """The comparison of the patent: along an edge that crosses the hole gradients inside it are longer, and the largest
    of each column is much larger. (Their squares say nothing: those of heat are the least of all fillings.)"""
    image, hole = holed()
    method, model = guided(weights=[1.0, 1.0, 0.5, 0.5], scales=2, steps=60)
    made = method.fill(model, image, hole, 1)
    array = (image * ~hole)[0].permute(1, 2, 0).double().numpy()
    heat = torch.from_numpy(HEAT({}).fill(array, hole[0, 0].numpy())).permute(2, 0, 1)[None].float()
    inside = [each[..., 7:16, 8:17] for each in (made, heat)]
    length = [(each.diff(dim=2)[..., :-1].square() + each.diff(dim=3)[..., :-1, :].square()).sum(1).sqrt().mean()
              for each in inside]
    largest = [each.diff(dim=2).abs().amax(2).mean() for each in inside]
    assert length[0] > 1.05 * length[1] and largest[0] > 1.4 * largest[1]


def test_known_pixels_stay_the_hole_tells_nothing_and_seeds_shift() -> None:
    image, hole = holed(25)
    method, model = guided(steps=8, lr=0.05)
    inputs = {"image": (image[0].permute(1, 2, 0) * 255).byte().numpy(),
              "mask": hole[0].permute(1, 2, 0).byte().numpy()}
    first = restore(method, model, inputs, 1)["image"]
    wild = inputs | {"image": np.where(inputs["mask"] > 0, 9, inputs["image"]).astype(np.uint8)}
    inside = inputs["mask"][..., 0] > 0
    assert np.array_equal(first, restore(method, model, inputs, 1)["image"])
    assert np.array_equal(first[inside], restore(method, model, wild, 1)["image"][inside])
    assert np.array_equal(first[~inside], inputs["image"][~inside])
    assert not np.array_equal(first, restore(method, model, inputs, 2)["image"])


def test_restoring_remembers_nothing() -> None:
    """Pictures that are restored never become those that others are compared with."""
    image, hole = holed()
    method, model = guided()
    before = {name: value.clone() for name, value in model.networks["head"].state_dict().items()}
    method.restore(model, {"image": image, "mask": hole.float()}, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.networks["head"].state_dict().items())


def test_what_does_not_fit_is_a_sentence_and_without_known_pixels_all_is_grey() -> None:
    image, hole = holed()
    method, model = guided()
    assert torch.equal(method.fill(model, image, torch.ones_like(hole), 1), torch.full_like(image, 0.5))
    torch.testing.assert_close(method.fill(model, image, torch.zeros_like(hole), 1), image)
    with pytest.raises(UserError, match="has 3 channels"):
        METHOD(SMALL | {"channels": 4}).means(Pixels(), image)
    with pytest.raises(UserError, match="needs a feature network"):
        method.means(None, image)
