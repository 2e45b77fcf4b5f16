"""The patent's steps S1 to S5: what its discriminators see, its term of variation, candidates, acceptance, contours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import feature
from skimage.data import astronaut
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.method import Model
from restore_ml.methods.inpainting.diffusion_heat import METHOD as HEAT
from restore_ml.methods.inpainting.edge_connect import METHOD as EDGE_CONNECT
from restore_ml.methods.inpainting.edge_tv_patent import (
    METHOD,
    EdgeTvPatent,
    Verifier,
    _blurred,
    sharpened,
    verdict,
)
from restore_ml.nn.edge_networks import canny, rgb_to_grey
from restore_ml.restoring.harness import restore
from restore_ml.tasks.base import Material
from restore_ml.tasks.protocol import protocol
from tests.methods.holes import Fixed, Judge, Maps, context_of, pictures, softplus

STEPS = {"edge": 2, "inpaint_gt_edges": 2, "inpaint_predicted": 2, "joint": 0}
TINY = {"width": 4, "blocks": 1, "disc_width": 4, "sigma": 1.0, "patch": 32, "steps": STEPS}


def truth() -> Tensor:
    """Two pieces of a photograph, 32 x 32."""
    pieces = np.stack([astronaut()[top:top + 32, 200:232] for top in (60, 100)]).astype(np.float32) / 255
    return torch.from_numpy(pieces).permute(0, 3, 1, 2)


def middle(count: int = 2, side: int = 32) -> Tensor:
    mask = torch.zeros(count, 1, side, side)
    mask[..., 10:22, 10:22] = 1
    return mask


def step(features: Any = None, **settings: Any) -> tuple[EdgeTvPatent, Any]:
    networks = {"edges": Fixed(pictures(2, 32, 1, 1)), "colours": Fixed(pictures(2, 32, 2)), "edge_judge": Judge(),
                "colour_judge": Judge()}
    return METHOD(TINY | settings), context_of(truth(), middle(), networks, features)


def test_recipe_and_parameter_counts() -> None:
    paper = METHOD({})
    own = {"style": 0.0, "tv": 0.1, "judge_edges": True, "candidates": 4, "jitter": 0.5, "acceptance": 0.5,
           "refine_edges": 0}
    assert {key: value for key, value in paper.settings.items() if EDGE_CONNECT.paper.get(key) != value} == own
    assert paper.settings["l1"] == 1 and paper.settings["adversarial"] == paper.settings["perceptual"] == 0.1
    assert [phase.name for phase in paper.phases()] == ["edge", "inpaint_gt_edges", "inpaint_predicted"]
    with torch.device("meta"):
        made = paper.build()
    assert {name: sum(p.numel() for p in network.parameters()) for name, network in made.items()} == {
        "edges": 10_761_089, "colours": 10_774_595, "edge_judge": 2_762_752, "colour_judge": 2_764_800}
    assert set(paper.stored_networks) == set(made)
    with pytest.raises(UserError, match="judge_edges"):
        METHOD({"judge_edges": 2})
    small: Any = METHOD(TINY).build()["colour_judge"]
    assert all(hasattr(stage[0], "parametrizations") and stage[0].bias is None for stage in small.stages)
    assert not any(isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d) for part in small.modules())


@pytest.mark.parametrize("known", [True, False])
def test_the_pictures_discriminator_sees_the_edges_along_which_was_filled(known: bool) -> None:
    own, context = step()
    judge, made = context.networks["colour_judge"], context.networks["colours"].output
    terms = own.colour_judge_loss(context, known)
    edges = canny(rgb_to_grey(truth()), 1.0)
    guessed = context.networks["edges"].output.detach()
    shown = edges if known else torch.where(middle() > 0, guessed, edges)
    real, fake = torch.cat([truth(), shown], 1), torch.cat([made.detach(), shown], 1)
    assert torch.equal(judge.seen[0][0], real) and torch.equal(judge.seen[1][0], fake)
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real)) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(fake)) / 2, rel=1e-5)
    wanted = own.colour_loss(context, known)["adversarial"]
    assert torch.equal(judge.seen[2][0], fake)
    assert wanted.item() == pytest.approx(0.1 * softplus(-judge.score(fake)), rel=1e-5)


def test_in_the_joint_phase_it_sees_the_guessed_edges_and_they_learn_from_it() -> None:
    own, context = step()
    context.networks["edge_judge"] = own.build()["edge_judge"]
    guessed, made = context.networks["edges"].output, context.networks["colours"].output
    terms = own.joint_edge_loss(context)
    judge, hole = context.networks["colour_judge"], middle() > 0
    shown = torch.cat([made, torch.where(hole, guessed, canny(rgb_to_grey(truth()), 1.0))], 1).detach()
    assert torch.equal(judge.seen[0][0], shown)
    assert terms["picture_adversarial"].item() == pytest.approx(0.1 * softplus(-judge.score(shown)), rel=1e-5)
    gradient, = torch.autograd.grad(terms["picture_adversarial"], guessed)
    assert gradient[hole].abs().min() > 0 and not gradient[~hole].any()


def test_terms_are_edge_connects_and_the_variation_of_the_composed_hole() -> None:
    own, context = step(Maps(), tv=0.3)
    made = context.networks["colours"].output
    terms = own.colour_loss(context, True)
    assert set(terms) == {"l1", "adversarial", "perceptual@imagenet-89abcdef", "tv"}  # no style
    composed = torch.where(middle() > 0, made.detach(), truth()).double()[..., 9:23, 9:23]
    jumps = composed.diff(dim=-1).abs().sum() + composed.diff(dim=-2).abs().sum()
    assert terms["tv"].item() == pytest.approx(0.3 * jumps.item() / made.numel(), rel=1e-5)
    gradient, = torch.autograd.grad(terms["tv"], made)
    hole = middle().expand_as(gradient) > 0
    assert gradient[hole].abs().sum() > 0 and not gradient[~hole].any()
    own, context = step(Maps(), tv=0.0, style=1.0)
    assert set(own.colour_loss(context, True)) == {"l1", "adversarial", "perceptual@imagenet-89abcdef",
                                                   "style@imagenet-89abcdef"}


def test_without_its_own_it_is_edge_connect() -> None:
    plain = TINY | {"steps": {"edge": 2, "inpaint_gt_edges": 2, "inpaint_predicted": 2, "joint": 2}}
    same = {"tv": 0.0, "style": 250.0, "judge_edges": False, "candidates": 1}
    made, restored = [], []
    for own in (EDGE_CONNECT(plain), METHOD(plain | same)):
        torch.manual_seed(5)
        networks = own.build()
        terms: dict[str, float] = {}
        for phase in own.phases():
            context = context_of(truth(), middle(), networks, Maps())
            for player in phase.players:
                terms |= {f"{phase.name} {player.name} {name}": term.item()
                          for name, term in player.loss(context).items()}
        made.append(terms)
        inputs = {"image": truth()[:1] * (1 - middle(1)), "mask": middle(1)}
        with torch.no_grad():
            restored.append(own.restore(Model({name: each.eval() for name, each in networks.items()}), inputs, 3))
    assert made[0] == made[1] and len(made[0]) > 12
    hole = middle(1).expand(-1, 3, -1, -1) > 0
    assert torch.equal(restored[0]["image"][hole], restored[1]["image"][hole])


class Scripted(EdgeTvPatent):
    """Fillings of one grey each, with as many edges, by the sigma that was asked for."""

    def filled_along(self, model: Model, inputs: dict[str, Tensor], sigma: float) -> tuple[Tensor, Tensor]:
        self.sigmas = [*getattr(self, "sigmas", []), sigma]
        grey = 0.2 * len(self.sigmas)
        return torch.full_like(inputs["image"], grey), torch.full_like(inputs["mask"], 1 - grey)


class Slope(nn.Module):
    """Scores what it is shown by the mean of its channels, weighted; it is told what counts for true."""

    def __init__(self, weights: list[float], median: float = 0.5) -> None:
        super().__init__()
        self.weights, self.median = torch.tensor(weights).view(1, -1, 1, 1), torch.tensor(median)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return (self.weights * x).sum(1, keepdim=True)[..., ::7, ::7]


def seen_by(model: Model, name: str) -> list[Tensor]:
    """What a `Slope` was shown."""
    judge: Any = model.networks[name]
    return judge.seen


def test_the_candidate_with_the_greatest_product_of_verdicts_is_kept() -> None:
    inputs = {"image": torch.zeros(1, 3, 32, 32), "mask": torch.ones(1, 1, 32, 32)}
    for drawn, real, best in (([0.0, 0.0], [1.0, 0, 0, 0], 0.8), ([0.0, 5.0], [0.1, 0, 0, 0], 0.2),
                              ([0.0, 1.0], [0.0, 0, 0, 0], 0.2), ([3.0, 0.0], [-0.3, 0, 0, 0], 0.8)):
        own = Scripted(TINY | {"candidates": 4})
        model = Model({"edge_judge": Slope(drawn), "colour_judge": Slope(real)})
        filled, edges, found = own.verified(model, inputs, 1)
        assert filled.mean().item() == pytest.approx(best), (drawn, real)
        assert edges.mean().item() == pytest.approx(1 - best)
        assert found == pytest.approx(1 / (1 + np.exp(-real[0] * best)), rel=1e-5)
        assert own.restore(model, inputs, 1)["image"].shape == (1, 3, 32, 32)
        grey, line = seen_by(model, "edge_judge")[0][0]
        assert grey.mean().item() == pytest.approx(0.2, rel=1e-4) and line.mean().item() == pytest.approx(0.8)


def test_candidates_are_along_edges_of_other_scales_and_drawn_from_the_seed() -> None:
    inputs, asked = {"image": torch.zeros(1, 3, 32, 32), "mask": torch.ones(1, 1, 32, 32)}, []
    for seed in (1, 1, 2):
        own = Scripted(TINY | {"sigma": 2.0, "jitter": 0.25, "candidates": 5})
        own.verified(Model({"edge_judge": Slope([0, 0]), "colour_judge": Slope([0, 0, 0, 0])}), inputs, seed)
        asked.append(own.sigmas)
        assert own.sigmas[0] == 2.0 and len(set(own.sigmas)) == 5 and 1.5 <= min(own.sigmas) <= max(own.sigmas) <= 2.5
    assert asked[0] == asked[1] != asked[2]


def test_verdicts_are_of_the_composed_picture() -> None:
    own, mask = Scripted(TINY | {"candidates": 1}), middle(1)
    model = Model({"edge_judge": Slope([0, 0]), "colour_judge": Slope([0, 0, 0, 0])})
    own.verified(model, {"image": truth()[:1] * (1 - mask), "mask": mask}, 1)
    composed = torch.where(mask > 0, torch.tensor(0.2), truth()[:1])
    shown, = seen_by(model, "colour_judge")
    torch.testing.assert_close(shown, torch.cat([composed, torch.full_like(mask, 0.8)], 1))
    shown, = seen_by(model, "edge_judge")
    torch.testing.assert_close(shown, torch.cat([rgb_to_grey(composed), torch.full_like(mask, 0.8)], 1))


def test_a_verdict_is_the_sigmoid_of_the_mean_score_and_small_pictures_are_continued() -> None:
    shown = pictures(1, 40, 3, 4)
    judge = Verifier(4, 4)
    with torch.no_grad():
        score = judge(shown)
        assert score.numel() > 1
        assert verdict(judge, shown) == pytest.approx(1 / (1 + np.exp(-score.mean().item())), rel=1e-5)
        assert np.isfinite(verdict(judge, shown[..., :9, :12]))
        spread: Any = lambda _: torch.tensor([4.0, -4.0, 6.0])  # noqa: E731  whose sigmoids have another mean
        assert verdict(spread, shown) == pytest.approx(1 / (1 + np.exp(-2)))
    slope = Slope([1.0])
    verdict(slope, torch.arange(6.0).view(1, 1, 2, 3))
    assert slope.seen[0].shape == (1, 1, 32, 32) and slope.seen[0][0, 0, 20].tolist() == [3, 4] + [5] * 30


def test_training_ends_with_the_median_on_true_pictures_and_the_share_that_is_accepted(tmp_path: Path) -> None:
    images = [astronaut()[top:top + height, 150:190] for top, height in ((0, 40), (60, 50), (130, 60))]
    shards.write(tmp_path / "a.arrow", [shards.Record(str(n), {"image": np.ascontiguousarray(image)})
                                        for n, image in enumerate(images)])
    torch.manual_seed(2)
    own = METHOD(TINY | {"candidates": 2})
    networks = {name: network.eval() for name, network in own.build().items()}
    judge: Any = networks["colour_judge"]
    squares = [image[(len(image) - 32) // 2:][:32, 4:36] for image in images]
    found, fillings = [], []
    with torch.no_grad():
        for square in squares:
            grey = square @ np.array([0.2125, 0.7154, 0.0721]) / 255
            edges = torch.from_numpy(feature.canny(grey.astype(np.float32), sigma=1.0).astype(np.float32))[None, None]
            image = torch.from_numpy(square.copy()).permute(2, 0, 1)[None] / 255
            found.append(torch.sigmoid(judge(torch.cat([image, edges], 1)).mean()).item())
            mask = torch.zeros(1, 1, 32, 32)
            mask[..., 8:24, 8:24] = 1
            fillings.append(own.verified(Model(networks), {"image": image * (1 - mask), "mask": mask}, 7)[2])
    own.finish(networks, Material(tmp_path), 7)
    assert judge.median.item() == pytest.approx(np.median(found), rel=1e-5)
    assert judge.rate.item() == pytest.approx(np.mean([each > np.median(found) / 2 for each in fillings]))
    demanding = METHOD(TINY | {"candidates": 2, "acceptance": float(np.median(fillings) / np.median(found))})
    demanding.finish(networks, Material(tmp_path), 7)
    assert judge.rate.item() == pytest.approx(1 / 3, abs=0.01)
    assert {"colour_judge.median", "colour_judge.rate"} <= set(own.store(networks))


def test_acceptance() -> None:
    model = Model({"colour_judge": Slope([0.0], median=0.6)})
    own = METHOD(TINY | {"acceptance": 0.5})
    assert own.accepted(model, 0.31) and not own.accepted(model, 0.29)


def test_each_filling_says_whether_it_is_accepted() -> None:
    """Fillings of 0.2 and 0.4 of a batch of two, which the picture's discriminator gives as verdicts."""
    inputs = {"image": torch.zeros(2, 3, 32, 32), "mask": torch.ones(2, 1, 32, 32)}
    own = Scripted(TINY | {"candidates": 1, "acceptance": 0.5})
    lift = [1 / (1 + np.exp(-grey)) for grey in (0.2, 0.4)]
    model = Model({"edge_judge": Slope([0.0, 0.0]), "colour_judge": Slope([1.0, 0, 0, 0], median=2 * np.mean(lift))})
    made = own.restore(model, inputs, 1)
    assert made["accepted"].shape == (2, 1, 32, 32) and made["image"].shape == (2, 3, 32, 32)
    assert not made["accepted"][0].any() and made["accepted"][1].eq(1).all()


@pytest.mark.parametrize("tile", [None, 24])
def test_the_harness_keeps_whether_a_filling_is_accepted(tile: int | None) -> None:
    """In tiles, as large pictures of a person are filled, each has its own verdict."""
    torch.manual_seed(4)
    own = METHOD(TINY)
    own.tile, own.overlap = tile, 8
    networks = {name: network.eval() for name, network in own.build().items()}
    judge: Any = networks["colour_judge"]
    holes = np.zeros((36, 34, 1), np.uint8)
    holes[10:20, 8:18] = 1
    inputs = {"image": astronaut()[60:96, 150:184] * (1 - holes), "mask": holes}
    for median, wanted in ((9.0, 0), (0.0, 1)):
        judge.median.fill_(median)
        made = restore(own, Model(networks), inputs, 1)
        assert made["accepted"].dtype == np.uint8 and made["accepted"].shape == (36, 34, 1)
        assert (made["accepted"] == wanted).all()
        assert protocol("inpainting").measure(inputs, made, {"image": inputs["image"]}, None)["accepted"] == wanted


def test_none_is_withheld_and_each_picture_of_a_batch_has_its_own_candidates() -> None:
    torch.manual_seed(4)
    own = METHOD(TINY | {"refine_edges": 2})
    networks = {name: network.eval() for name, network in own.build().items()}
    judge: Any = networks["colour_judge"]
    judge.median.fill_(9.0)  # nothing is accepted
    inputs = {"image": truth() * (1 - middle()), "mask": middle()}
    with torch.no_grad():
        both = own.restore(Model(networks), inputs, 1)["image"]
        alone = own.restore(Model(networks), {name: value[1:] for name, value in inputs.items()}, 1)["image"]
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)
    assert torch.equal(both * (1 - middle()), inputs["image"])
    with torch.no_grad():
        filled, edges, _ = own.verified(Model(networks), {name: value[:1] for name, value in inputs.items()}, 1)
    composed = torch.where(middle(1) > 0, filled, inputs["image"][:1])
    torch.testing.assert_close(both[:1], sharpened(composed, edges, middle(1), 2), atol=1e-5, rtol=0)
    assert not torch.equal(sharpened(composed, edges, middle(1), 2), composed)


def test_the_edge_network_cannot_see_edges_of_the_hole() -> None:
    torch.manual_seed(0)
    own = METHOD(TINY)
    network, grey, mask = own.build()["edges"].eval(), rgb_to_grey(truth()), middle()
    edges = canny(grey, 1.0)
    with torch.no_grad():
        assert torch.equal(own.guess(network, grey, edges, mask), own.guess(network, grey, edges * (1 - mask), mask))
        assert not torch.equal(own.guess(network, grey, edges, mask), own.guess(network, grey, edges * mask, mask))


def blurred_step() -> tuple[Tensor, Tensor, Tensor]:
    """A vertical step blurred by sigma 2 at column 16, its edge, and a hole of rows 8 to 23."""
    step = np.zeros((32, 32), np.float32)
    step[:, 16:] = 1
    image = torch.from_numpy(gaussian_filter(step, 2, mode="nearest"))[None, None].expand(1, 3, 32, 32).contiguous()
    edges, mask = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    edges[..., 15:17], mask[..., 8:24, :] = 1, 1
    return image, edges, mask


def test_contours_are_sharpened_in_the_hole_along_edges_alone() -> None:
    image, edges, mask = blurred_step()
    assert torch.equal(sharpened(image, edges, mask, 0), image)
    made = sharpened(image, edges, mask, 10)
    steepest = [np.abs(np.gradient(each[0, 0].numpy(), axis=1)[8:24]).max() for each in (image, made)]
    assert steepest[0] == pytest.approx(0.188, abs=1e-3) and steepest[1] > 0.44  # a step without blur has 0.5
    assert made.min() >= 0 and made.max() <= 1
    changed = (made != image)[0].any(0)
    rows, columns = np.nonzero(changed.numpy())
    assert {*rows} == {*range(8, 24)} and {*columns} <= {*range(13, 19)} and len({*columns}) >= 4
    assert torch.equal(sharpened(image, 0.5 * edges, mask, 10), image), "an edge is above 0.5"
    once = sharpened(image, edges, mask, 1)[0, 0, 12]
    row = image[0, 0, 12].double()
    wanted = row[14] - 0.4 * (row[14] - row[13])  # below the bend: the smaller difference is the one to the left
    assert once[14].item() == pytest.approx(wanted.item(), abs=1e-6)


def test_contours_along_edges_everywhere_become_as_steep_as_the_card_says() -> None:
    """The gradient's largest length in the hole, from 0.188 to 0.509 in ten steps."""
    image, edges, mask = blurred_step()
    steepest = [np.hypot(*np.gradient(each[0, 0].numpy()))[8:24].max()
                for each in (image, sharpened(image, torch.ones_like(edges), mask, 10))]
    assert steepest == pytest.approx([0.188, 0.509], abs=5e-4)


def test_bends_are_those_of_the_picture_blurred_by_a_gaussian_of_sigma_1() -> None:
    picture = pictures(1, 12)
    wanted = [gaussian_filter(channel.numpy(), 1, mode="nearest") for channel in picture[0]]
    np.testing.assert_allclose(_blurred(picture)[0].numpy(), wanted, atol=1e-6)


def test_rows_are_sharpened_as_columns_are() -> None:
    image, edges, mask = blurred_step()
    other, lines, hole = (each.transpose(-1, -2).contiguous() for each in (image, edges, mask))
    turned = sharpened(other, lines, hole, 5)
    torch.testing.assert_close(turned.transpose(-1, -2), sharpened(image, edges, mask, 5))
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    torch.testing.assert_close(sharpened(ramp, edges, mask, 5)[..., 4:28], ramp[..., 4:28], atol=1e-5, rtol=0)
    peak = torch.zeros(1, 1, 32, 32)
    peak[..., 16] = 1
    assert torch.equal(sharpened(peak, edges, mask, 5), peak), "differences of two signs move nothing"


def test_diffusion_the_patents_baseline_loses_the_edge_in_the_hole() -> None:
    picture = np.full((48, 48, 3), 40, np.uint8)
    picture[:, 24:] = 220
    mask = np.zeros((48, 48, 1), np.uint8)
    mask[12:36, 12:36] = 1
    filled = HEAT({}).restore_arrays(Model(), {"image": picture * (1 - mask), "mask": mask}, 1)["image"]

    def energy(image: np.ndarray) -> float:
        down, right = np.gradient(image[..., 0].astype(float))[:2]
        return float(np.hypot(down, right)[16:32, 16:32].mean())

    assert energy(filled * 255) < 0.8 * energy(picture)
