"""Multi-scale neural patch synthesis: matches and energy by hand, and what its scales start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.inpainting import context_encoder, mnps
from restore_ml.methods.inpainting.mnps import METHOD, NeuralPatchSynthesis
from restore_ml.nn.features import FeatureNet, equalise
from tests.methods.holes import Maps, pictures


@pytest.fixture(scope="module")
def features() -> FeatureNet:
    torch.manual_seed(0)
    network = FeatureNet(4)
    equalise(network, pictures(4, 64))
    return network.requires_grad_(False)


class Content:
    """Stands for a content network: one colour everywhere; remembers what it was shown."""

    def __init__(self, colour: float = 0.5) -> None:
        self.colour, self.seen = colour, list[dict[str, Tensor]]()

    def restore(self, model: Model, inputs: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        self.seen.append({name: value.clone() for name, value in inputs.items()})
        return {"image": torch.full_like(inputs["image"], self.colour)}


def holed(side: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A picture without its middle half, and the mask."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4:-(side // 4), side // 4:-(side // 4)] = 1
    return pictures(1, side, seed) * (1 - mask), mask


def model(features: Any, content: Content) -> Model:
    return Model(slots={"features": features, "parts": (content, Model())})


def test_published_recipe() -> None:
    paper = METHOD({}).settings
    assert paper == {"taps": ["relu3_1", "relu4_1"], "content": 1.0, "texture": 5e-6, "tv": 5e-6, "scales": 3,
                     "steps": 100, "optimiser": "lbfgs", "lr": 1.0, "rim": 1 / 14, "blend": "none",
                     "cases": ["centre", "random_rect", "random_square"]}
    assert METHOD.per_picture and METHOD.restoring_slots == ("features", "parts") and not METHOD({}).trains
    assert mnps.SIDE == 3


def test_a_run_may_be_shown_on_some_cases_only() -> None:
    own = METHOD({"cases": ["centre"]})
    assert [own.unsupported(name) for name in ("centre", "random_rect", "irregular_3")] == [
        None, "left out by the run's setting cases", "made for one box"]
    with pytest.raises(UserError, match="'text' is none of centre, random_rect, random_square"):
        METHOD({"cases": ["text"]})


def test_what_is_missing_is_said() -> None:
    image, mask = holed()
    for slots in ({}, {"features": Maps()}, {"parts": (Content(), Model())}):
        with pytest.raises(UserError, match="a feature network and a content network"):
            METHOD({}).restore(Model(slots=slots), {"image": image, "mask": mask}, 1)


# --- matches ----------------------------------------------------------------------------------------------------------


def test_patches_of_the_hole_are_matched_to_whole_known_ones_by_correlation() -> None:
    maps = torch.rand(1, 2, 9, 11, generator=torch.Generator().manual_seed(0))
    hole = torch.zeros(1, 1, 18, 22)
    hole[..., 8:11, 9:14] = 1  # of the map's places: rows 4 and 5, columns 4 to 6
    maps[..., 0:3, 8:11] = 0.1 * maps[..., 3:6, 3:6] + 1e-4  # far weaker, and nearly alike
    found = mnps.matched(maps, hole)
    assert found is not None
    places, wanted = found
    seen = maps[0].numpy()

    def patch(row: int, column: int) -> np.ndarray:
        return seen[:, row - 1:row + 2, column - 1:column + 2].ravel()

    inside = [(row, column) for row in (4, 5) for column in (4, 5, 6)]
    clear = [(row, column) for row in range(1, 8) for column in range(1, 10)
             if not any(abs(row - down) <= 1 and abs(column - right) <= 1 for down, right in inside)]
    assert places.tolist() == [(row - 1) * 9 + column - 1 for row, column in inside]
    for number, place in enumerate(inside):
        alike = [float(patch(*place) @ patch(*other)) / np.linalg.norm(patch(*other)) for other in clear]
        np.testing.assert_allclose(wanted[:, number], patch(*clear[int(np.argmax(alike))]), rtol=1e-6)
    np.testing.assert_allclose(wanted[:, 0], patch(1, 9), rtol=1e-6)  # the weak one, not a stronger other one


@pytest.mark.parametrize("side", [2, 6])
def test_a_map_without_a_clear_patch_has_no_match(side: int) -> None:
    hole = torch.zeros(1, 1, 2 * side, 2 * side)
    hole[..., side // 2:-(side // 2), side // 2:-(side // 2)] = 1
    assert mnps.matched(torch.rand(1, 2, side, side), hole) is None
    assert mnps.matched(torch.rand(1, 2, 8, 8), torch.zeros(1, 1, 16, 16)) is None  # nothing is missing


def test_the_texture_is_never_taken_from_the_hole(features: FeatureNet) -> None:
    """Known maps of 1 and missing ones of 5: whatever is matched is 1."""
    hole = torch.zeros(1, 1, 24, 24)
    hole[..., 9:15, 8:13] = 1
    maps = 1 + 4 * torch.nn.functional.adaptive_max_pool2d(hole, 12).expand(-1, 3, -1, -1)
    _, wanted = mnps.matched(maps, hole)  # type: ignore[misc]
    assert (wanted == 1).all() and wanted.shape[0] == 27


# --- energy -----------------------------------------------------------------------------------------------------------


def test_energy_by_hand() -> None:
    own = METHOD({"content": 3.0, "texture": 0.5, "tv": 0.25})
    picture, start, features = pictures(1, 6, 1).requires_grad_(), pictures(1, 6), Maps()
    hole = torch.zeros(1, 1, 6, 6)
    hole[..., 2:4, 1:4] = 1
    made, known = picture.detach().double().numpy()[0], start.double().numpy()[0]
    content = 3 * ((made - known)[:, 2:4, 1:4] ** 2).mean()
    variation = 0.25 * ((np.diff(made, axis=1) ** 2).sum() + (np.diff(made, axis=2) ** 2).sum())
    assert own.energy(picture, start, hole, {}, features).item() == pytest.approx(content + variation, rel=1e-5)
    assert not features.seen
    places, targets = torch.tensor([4, 9]), torch.rand(27, 2)
    matches = {"relu3_1": (places, targets), "relu4_1": (places[:1], 0 * targets[:, :1])}
    first, second = made[:, 1:4, 0:3].ravel(), made[:, 2:5, 1:4].ravel()  # of 4 x 4 patches, numbers 4 and 9
    texture = (((first - targets[:, 0].numpy()) ** 2).sum() + ((second - targets[:, 1].numpy()) ** 2).sum()) / 2
    texture += ((2 * first) ** 2).sum()  # the second tap of this network is twice the picture
    total = own.energy(picture, start, hole, matches, features)
    assert total.item() == pytest.approx(content + variation + 0.5 * texture, rel=1e-5)
    assert features.seen == [(("relu3_1", "relu4_1"), True)]
    gradient, = torch.autograd.grad(total, picture)
    assert gradient[0, :, 2:4, 1:4].abs().min() > 0


class Watch:
    """Stands in for `optimise`: gives away what it is called with, and moves every pixel by `by`."""

    def __init__(self, by: float = 0.0) -> None:
        self.by, self.calls = by, list[dict[str, Any]]()

    def __call__(self, parameters: list[Tensor], loss: Callable[[int], Tensor], optimiser: Any, steps: int) -> float:
        pixels, = parameters
        assert pixels.requires_grad and pixels.is_leaf
        with torch.enable_grad():
            value = loss(0)
            gradient, = torch.autograd.grad(value, pixels)
        self.calls.append({"start": pixels.detach().clone(), "energy": value.item(), "gradient": gradient,
                           "steps": steps, "optimiser": optimiser(parameters)})
        with torch.no_grad():
            pixels += self.by
        return value.item()


def test_the_hole_alone_is_moved_and_known_pixels_count(monkeypatch: pytest.MonkeyPatch, features: FeatureNet) -> None:
    start, hole, watch = pictures(1, 32), holed()[1], Watch(by=2.0)
    monkeypatch.setattr(mnps, "optimise", watch)
    own = METHOD({"taps": ["relu1_2", "relu2_1"], "steps": 7, "texture": 0.01})
    made = own.synthesise(start, hole, features)
    call, = watch.calls
    assert torch.equal(call["start"], start) and call["steps"] == 7
    assert torch.equal(made, torch.where(hole > 0, torch.ones(()), start))  # moved by 2, clipped, composed
    missing = hole.expand_as(start) > 0
    assert not call["gradient"][~missing].any() and call["gradient"][missing].abs().min() > 0
    maps = features(start, own.settings["taps"])
    matches = {tap: mnps.matched(value, hole) for tap, value in maps.items()}
    assert all(matches.values())
    wanted = own.energy(start, start, hole, matches, features)  # type: ignore[arg-type]
    assert call["energy"] == pytest.approx(wanted.item(), rel=1e-5)


def test_the_rim_and_the_blending_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = holed()
    asked: list[tuple[Any, ...]] = []

    def content(method: Any, model: Model, inputs: dict[str, Tensor], *rest: Any) -> Tensor:
        asked.append(rest)
        return inputs["image"]

    monkeypatch.setattr(mnps, "content", content)
    monkeypatch.setattr(mnps, "optimise", Watch())
    METHOD({"scales": 1, "rim": 0.25, "blend": "level", "taps": ["relu1_1"]}).restore(
        model(Maps(), Content()), {"image": image, "mask": mask}, 9)
    assert asked == [(9, 0.25, "level")]


def test_each_scale_starts_from_the_coarser_ones_result(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = holed(64)
    calls: list[tuple[Tensor, Tensor]] = []

    def synthesise(self: NeuralPatchSynthesis, start: Tensor, hole: Tensor, features: Any) -> Tensor:
        calls.append((start, hole))
        return torch.where(hole > 0, 0.1 * len(calls), start)

    monkeypatch.setattr(NeuralPatchSynthesis, "synthesise", synthesise)
    content = Content(0.75)
    made = METHOD({"scales": 3, "rim": 0.0}).restore(model(Maps(), content), {"image": image, "mask": mask}, 3)["image"]
    assert [start.shape[-2:] for start, _ in calls] == [(16, 16), (32, 32), (64, 64)]
    whole = torch.where(mask > 0, torch.tensor(0.75), image)
    for number, (start, hole) in enumerate(calls):
        side = 16 * 2 ** number
        edge = side // 4
        assert hole.sum() == (side // 2) ** 2 and hole[..., edge:-edge, edge:-edge].min() == 1
        known = mnps.resized(whole, (side, side))
        torch.testing.assert_close(start[hole.expand_as(start) == 0], known[hole.expand_as(start) == 0])
        inner = start[..., edge + 2:-edge - 2, edge + 2:-edge - 2] if number else start[..., 7:9, 7:9]
        torch.testing.assert_close(inner, torch.full_like(inner, 0.1 * number if number else 0.75))
    assert torch.equal(made, torch.where(mask > 0, torch.tensor(0.1 * 3), image))
    assert len(content.seen) == 1


def test_one_missing_pixel_makes_its_place_of_a_coarser_scale_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = pictures(1, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 7, 9] = 1
    holes: list[Tensor] = []
    monkeypatch.setattr(NeuralPatchSynthesis, "synthesise", lambda self, start, hole, features: holes.append(hole)
                        or start)
    METHOD({"scales": 2}).restore(model(Maps(), Content()), {"image": image, "mask": mask}, 1)
    assert [hole.nonzero().tolist() for hole in holes] == [[[0, 0, 3, 4]], [[0, 0, 7, 9]]]


def test_sizes() -> None:
    assert mnps.sizes(torch.Size((512, 512)), 3) == [(128, 128), (256, 256), (512, 512)]
    assert mnps.sizes(torch.Size((67, 40)), 3) == [(17, 16), (34, 20), (67, 40)]
    assert mnps.sizes(torch.Size((12, 30)), 2) == [(12, 16), (12, 30)]


def test_every_pixel_counts_where_a_picture_is_made_smaller() -> None:
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., 0, 0] = 1  # two values of the four rows between them would miss it
    assert mnps.resized(corner, (2, 2))[..., 0, 0] > 0
    torch.testing.assert_close(mnps.resized(torch.full((1, 1, 8, 8), 0.3), (3, 5)), torch.full((1, 1, 3, 5), 0.3))


# --- the content network ----------------------------------------------------------------------------------------------


def test_the_content_network_sees_the_hole_in_the_middle_of_its_surroundings() -> None:
    image, mask = pictures(1, 40), torch.zeros(1, 1, 40, 40)
    mask[..., 2:12, 20:26] = 1
    given, content = {"image": image, "mask": mask}, Content(0.25)
    made = mnps.content(content, Model(), given, 1, 0.0, "none")  # type: ignore[arg-type]
    seen, = content.seen
    assert seen["image"].shape == (1, 3, 20, 12) and seen["mask"].shape == (1, 1, 20, 12)
    assert seen["mask"][..., 5:15, 3:9].min() == 1
    shown = torch.where(mask > 0, torch.zeros(()), image)
    assert torch.equal(seen["image"][..., 3:, :], shown[..., :17, 17:29])  # 3 rows lie above the picture
    assert torch.equal(seen["image"][..., :3, :], shown[..., 1:4, 17:29].flip(2))
    assert torch.equal(made, torch.where(mask > 0, torch.tensor(0.25), image))


def test_the_rim_of_the_box_is_hidden_too_and_what_is_said_of_it_sets_the_level() -> None:
    """A 14th of 14 pixels is one pixel; the picture's border ends the box on one side."""
    image, mask = pictures(1, 40), torch.zeros(1, 1, 40, 40)
    mask[..., 10:24, 26:40] = 1
    given, content = {"image": image, "mask": mask}, Content(0.25)
    made = mnps.content(content, Model(), given, 1, 1 / 14, "level")  # type: ignore[arg-type]
    seen, = content.seen
    assert seen["image"].shape == (1, 3, 32, 30)  # twice rows 9 to 24 and columns 25 to 39
    hidden = seen["mask"][..., 8:24, 7:22]
    assert hidden.min() == 1 and not seen["mask"][..., :8, :].any() and not seen["image"][..., 8:24, 7:22].any()
    ring = torch.cat([image[..., 9, 25:40], image[..., 24, 25:40], image[..., 10:24, 25]], 2).mean(2)
    torch.testing.assert_close(made[..., 15, 30], ring)  # a colour without structure takes the mean of what is known
    assert torch.equal(made * (1 - mask), image * (1 - mask))
    said = mnps.content(content, Model(), given, 1, 1 / 14, "none")[mask.expand_as(made) > 0]  # type: ignore[arg-type]
    assert (said == 0.25).all()
    plain = METHOD({"rim": 0.0}).settings
    assert (plain["rim"], plain["blend"]) == (0.0, "none")


def test_with_a_context_encoder_a_centre_hole_has_its_prediction() -> None:
    """Of one size with the network, and of another, odd one."""
    torch.manual_seed(0)
    method = context_encoder.METHOD({"patch": 32, "overlap": 0, "width": 4, "bottleneck": 8})
    given = Model({"generator": method.build()["generator"].eval()})
    for side in (32, 45):
        image, mask = holed(side)
        inputs = {"image": image, "mask": mask}
        with torch.no_grad():
            made, rimmed = (mnps.content(method, given, inputs, 1, rim, "none") for rim in (0.0, 0.1))
            alone = method.restore(given, inputs, 1)["image"]
        if side == 32:
            torch.testing.assert_close(made, torch.where(mask > 0, alone, image))
        hole = made[mask.expand_as(made) > 0]
        assert hole.min() > 0.3 and hole.max() < 0.7 and hole.std() > 0  # an untrained network's grey, nowhere the 0
        assert torch.equal(made * (1 - mask), image) and not torch.equal(made, rimmed)


def test_a_picture_without_a_hole_and_one_without_anything_else(features: FeatureNet) -> None:
    image, content = pictures(1, 32), Content()
    own = METHOD({"steps": 1, "scales": 1, "taps": ["relu1_1"]})
    none = torch.zeros(1, 1, 32, 32)
    assert torch.equal(own.restore(model(features, content), {"image": image, "mask": none}, 1)["image"], image)
    assert not content.seen
    made = own.restore(model(features, content), {"image": image, "mask": none + 1}, 1)["image"]
    torch.testing.assert_close(made, torch.full_like(made, 0.5))


# --- what it does -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind", "lr"), [("lbfgs", torch.optim.LBFGS, 1.0), ("adam", torch.optim.Adam, 0.5)])
def test_one_iteration_a_step(name: str, kind: type, lr: float) -> None:
    made = METHOD({"optimiser": name, "lr": lr}).optimiser()([torch.zeros(1, requires_grad=True)])
    assert type(made) is kind and made.param_groups[0]["lr"] == lr
    assert name == "adam" or [made.param_groups[0][key] for key in ("max_iter", "max_eval", "line_search_fn")] == [
        1, 20, "strong_wolfe"]


def test_the_energy_never_rises_and_what_is_put_in_is_the_known_parts_texture(features: FeatureNet) -> None:
    """Stripes with noise in the hole: the energy falls, and the stripes come out of the noise."""
    stripes = (0.5 + 0.4 * torch.sin(torch.arange(48.0) / 2)).expand(1, 3, 48, 48)
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 16:32, 16:32] = 1
    start = stripes + 0.3 * mask * (pictures(1, 48) - 0.5)
    settings = {"scales": 1, "taps": ["relu1_2"], "texture": 1e-2, "content": 0.01, "tv": 0.0}
    own = METHOD(settings)
    matches = {"relu1_2": mnps.matched(features(start, ["relu1_2"])["relu1_2"], mask)}
    energies = [own.energy(start, start, mask, matches, features).item()]  # type: ignore[arg-type]
    for steps in (1, 5, 30):
        made = METHOD(settings | {"steps": steps}).synthesise(start, mask, features)
        energies.append(own.energy(made, start, mask, matches, features).item())  # type: ignore[arg-type]
    assert energies == sorted(energies, reverse=True) and energies[-1] < 0.5 * energies[0]
    noise = ((start - stripes) * mask).square().sum().item()
    assert ((made - stripes) * mask).square().sum().item() < 0.8 * noise


def test_sums_of_squares_are_not_rounded_in_a_run_of_mixed_precision(features: FeatureNet) -> None:
    image, mask = holed(32)
    own, given = METHOD({"scales": 1, "steps": 2, "taps": ["relu1_2"], "texture": 1e-2}), model(features, Content())
    plain = own.restore(given, {"image": image, "mask": mask}, 1)["image"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(own.restore(given, {"image": image, "mask": mask}, 1)["image"], plain)


def test_variation_falls_with_its_weight(features: FeatureNet) -> None:
    image, mask = holed(32)
    found = []
    for weight in (0.0, 1e-4, 1e-2):
        own = METHOD({"scales": 1, "steps": 12, "taps": ["relu1_2"], "texture": 1e-4, "tv": weight})
        start = torch.where(mask > 0, pictures(1, 32, 5), image)
        found.append(mnps.squared_variation(own.synthesise(start, mask, features)).item())
    assert found[0] > 1.001 * found[1] > 1.002 * found[2]


def test_values_under_the_hole_tell_nothing(features: FeatureNet) -> None:
    torch.manual_seed(0)
    method = context_encoder.METHOD({"patch": 32, "overlap": 0, "width": 4, "bottleneck": 8})
    given = Model(slots={"features": features, "parts": (method, Model({"generator": method.build()["generator"].eval()
                                                                        }))})
    image, mask = holed(40)
    own = METHOD({"scales": 2, "steps": 2, "taps": ["relu1_2"], "texture": 1e-3})
    first, second = (own.restore(given, {"image": image + mask * under, "mask": mask}, 1)["image"]
                     for under in (0.0, 0.7))
    assert torch.equal(first, second) and torch.equal(first * (1 - mask), image)
