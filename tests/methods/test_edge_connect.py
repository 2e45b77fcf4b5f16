"""EdgeConnect against its authors' layers and protocol, and every term worked out from fixed tensors."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from skimage import color, feature
from skimage.data import astronaut
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting.edge_connect import METHOD, EdgeConnect
from restore_ml.nn.blocks import ResidualBlock
from restore_ml.nn.edge_networks import canny, rgb_to_grey
from tests.methods.holes import Fixed, Judge, Maps, context_of, pictures, softplus

STEPS = {"edge": 20, "inpaint_gt_edges": 10, "inpaint_predicted": 30, "joint": 5}
SMALL = {"sigma": 1.0, "patch": 32, "steps": STEPS}
RGB = np.array([0.2125, 0.7154, 0.0721])


class PatchJudge(Judge):
    """Maps of two layers, the second the scores."""

    def features(self, x: Tensor) -> list[Tensor]:
        return [5 * x, self(x)]


def truth() -> Tensor:
    """Two pieces of a photograph, 32 x 32."""
    pieces = np.stack([astronaut()[top:top + 32, 200:232] for top in (60, 100)]).astype(np.float32) / 255
    return torch.from_numpy(pieces).permute(0, 3, 1, 2)


def step(features: Any = None, **settings: Any) -> tuple[EdgeConnect, Context, Tensor]:
    """Method, context and mask (the middle 12 x 12); both generators give fixed noise."""
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 10:22, 10:22] = 1
    networks = {"edges": Fixed(pictures(2, 32, 1, 1)), "colours": Fixed(pictures(2, 32, 2)),
                "edge_judge": PatchJudge(), "colour_judge": Judge()}
    return METHOD(SMALL | settings), context_of(truth(), mask, networks, features), mask


def true_edges() -> tuple[Tensor, Tensor]:
    """Grey and Canny's edges of the complete pictures, by scikit-image alone."""
    grey = np.stack([color.rgb2gray(each.permute(1, 2, 0).numpy()) for each in truth()])
    edges = np.stack([feature.canny(each, sigma=1.0) for each in grey])
    return tuple(torch.from_numpy(each[:, None].astype(np.float32)) for each in (grey, edges))


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in (
        "matching", "l1", "adversarial", "perceptual", "style", "sigma", "lr", "disc_lr_factor", "joint_lr_factor",
        "betas", "batch", "blocks", "masks", "normalise_features")} == {
        "matching": 10.0, "l1": 1.0, "adversarial": 0.1, "perceptual": 0.1, "style": 250.0, "sigma": 2.0, "lr": 1e-4,
        "disc_lr_factor": 0.1, "joint_lr_factor": 0.01, "betas": [0.0, 0.9], "batch": 8, "blocks": 8,
        "masks": ["irregular", "random_square"], "normalise_features": False}
    assert [phase.name for phase in paper.phases()] == ["edge", "inpaint_gt_edges", "inpaint_predicted"]
    assert paper.settings["content_taps"] == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert paper.settings["style_taps"] == ["relu2_2", "relu3_4", "relu4_4", "relu5_2"]


def test_phases_players_and_rates() -> None:
    own = METHOD(SMALL | {"schedule": "cosine", "lr": 1e-3})
    phases = {phase.name: phase for phase in own.phases()}
    edge, colour = [("edge_judge", ["edge_judge"]), ("edges", ["edges"])], [("colour_judge", ["colour_judge"]),
                                                                            ("colours", ["colours"])]
    assert {name: [(p.name, list(p.networks)) for p in phase.players] for name, phase in phases.items()} == {
        "edge": edge, "inpaint_gt_edges": colour, "inpaint_predicted": colour, "joint": [*edge, *colour]}
    assert {name: phase.steps for name, phase in phases.items()} == STEPS
    for phase in phases.values():
        for player in phase.players:
            made = player.optimiser([nn.Parameter(torch.zeros(1))])
            assert type(made) is torch.optim.Adam and made.param_groups[0]["betas"] == (0.0, 0.9)
            assert made.param_groups[0]["lr"] == pytest.approx(1e-4 if "judge" in player.name else 1e-3)
    factors = {name: [phase.players[0].schedule(place, phase.steps) for place in (0, phase.steps)]
               for name, phase in phases.items()}
    assert factors["edge"] == pytest.approx([1, 0]) and factors["joint"] == pytest.approx([0.01, 0.01])
    assert factors["inpaint_gt_edges"] == pytest.approx([1, 0.5 * (1 + np.cos(np.pi / 4))])  # 10 of 40 steps
    assert factors["inpaint_predicted"] == pytest.approx([factors["inpaint_gt_edges"][1], 0])
    assert all(phase.players[1].schedule(3, 9) == 1 for phase in METHOD({}).phases())
    for settings, said in (({"steps": {"edge": 1}}, "must name"), ({"schedule": "plateau"}, "constant or cosine")):
        with pytest.raises(UserError, match=said):
            METHOD(settings)


def test_residual_blocks_are_dilated_by_two() -> None:
    networks = METHOD({"width": 4, "blocks": 2, "disc_width": 4}).build()
    for name in ("edges", "colours"):
        blocks = [part for part in networks[name].body if isinstance(part, ResidualBlock)]
        assert [block.body[1].dilation for block in blocks] == [(2, 2)] * 2
    assert networks["edges"].body[1].in_channels == 3 and networks["colours"].body[1].in_channels == 4
    assert networks["edges"].body[-1].out_channels == 1 and networks["colours"].body[-1].out_channels == 3
    assert hasattr(networks["edges"].body[1], "parametrizations") and not hasattr(networks["colours"].body[1],
                                                                                   "parametrizations")
    for name, channels in (("edge_judge", 2), ("colour_judge", 3)):
        first, *_, last = [stage[0] for stage in networks[name].stages]
        assert first.in_channels == channels and hasattr(last, "parametrizations") and last.bias is None
        assert not any(isinstance(part, nn.BatchNorm2d) for part in networks[name].modules())


def test_the_edge_network_sees_white_and_no_edge_in_the_hole() -> None:
    own, context, mask = step()
    own.edge_judge_loss(context)
    (seen,), = context.networks["edges"].seen
    grey, edges = true_edges()
    hole = mask > 0
    torch.testing.assert_close(seen[:, :1], torch.where(hole, torch.ones(()), grey))
    assert torch.equal(seen[:, 1:2], torch.where(hole, torch.zeros(()), edges)) and torch.equal(seen[:, 2:], mask)
    assert edges[hole].any()


def test_edge_terms() -> None:
    own, context, _ = step(matching=10.0)
    judge, guessed = context.networks["edge_judge"], context.networks["edges"].output
    grey, edges = true_edges()
    real, fake = torch.cat([grey, edges], 1), torch.cat([grey, guessed.detach()], 1)
    terms = own.edge_judge_loss(context)
    torch.testing.assert_close(judge.seen[0][0], real)
    torch.testing.assert_close(judge.seen[1][0], fake)
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real)) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(fake)) / 2, rel=1e-5)
    sum(terms.values()).backward()
    assert guessed.grad is None and judge.bias.grad is not None
    wanted = own.edge_loss(context)
    assert set(wanted) == {"adversarial", "matching"}
    assert wanted["adversarial"].item() == pytest.approx(softplus(-judge.score(fake)), rel=1e-5)
    apart = 5 * (real - fake).abs().mean() + (judge.score(real) - judge.score(fake)).abs().mean()
    assert wanted["matching"].item() == pytest.approx(10 * apart.item(), rel=1e-5)
    gradient, = torch.autograd.grad(wanted["adversarial"], guessed, retain_graph=True)
    assert (gradient < 0).all() and torch.autograd.grad(wanted["matching"], guessed)[0].abs().sum() > 0
    assert len(context.networks["edges"].seen) == 1


@pytest.mark.parametrize("known", [True, False])
def test_the_picture_network_sees_white_and_edges_in_the_hole(known: bool) -> None:
    own, context, mask = step()
    own.colour_judge_loss(context, known)
    (seen,), = context.networks["colours"].seen
    _, edges = true_edges()
    hole, guessed = mask > 0, context.networks["edges"].output.detach()
    assert torch.equal(seen[:, :3], torch.where(hole, torch.ones(()), truth()))
    assert torch.equal(seen[:, 3:], edges if known else torch.where(hole, guessed, edges))
    phases = {phase.name: phase.players for phase in own.phases()}
    for name, real in (("inpaint_gt_edges", True), ("inpaint_predicted", False), ("joint", False)):
        for number in (-2, -1):  # the judge and the network are shown the same
            _, context, _ = step()
            phases[name][number].loss(context)
            assert torch.equal(context.networks["colours"].seen[0][0][:, 3:],
                               edges if real else torch.where(hole, guessed, edges)), name


def test_picture_terms() -> None:
    own, context, mask = step(Maps(), l1=0.5, adversarial=0.2, perceptual=0.3, style=40.0)
    judge, made, real = context.networks["colour_judge"], context.networks["colours"].output, truth()
    terms = own.colour_judge_loss(context, True)
    assert torch.equal(judge.seen[0][0], real) and torch.equal(judge.seen[1][0], made.detach())
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real)) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(made)) / 2, rel=1e-5)
    sum(terms.values()).backward()
    assert made.grad is None and judge.bias.grad is not None
    wanted = own.colour_loss(context, True)
    assert set(wanted) == {"l1", "adversarial", "perceptual@imagenet-89abcdef", "style@imagenet-89abcdef"}
    apart, share = (made.detach() - real).double(), 144 / 1024
    assert wanted["l1"].item() == pytest.approx(0.5 * apart.abs().mean().item() / share)
    assert wanted["adversarial"].item() == pytest.approx(0.2 * softplus(-judge.score(made)), rel=1e-5)
    assert wanted["perceptual@imagenet-89abcdef"].item() == pytest.approx(
        0.3 * 15 * apart.abs().mean().item(), rel=1e-5)  # taps x, 2x ... 5x of the whole picture

    def gram(x: Tensor) -> Tensor:
        return torch.einsum("nchw,ndhw->ncd", x * mask, x * mask) / (3 * 32 * 32)

    assert wanted["style@imagenet-89abcdef"].item() == pytest.approx(
        40 * 30 * (gram(made.detach()) - gram(real)).abs().mean().item(), rel=1e-4)  # 1 + 4 + 9 + 16
    assert set(context.slots["features"].seen) == {
        (tuple(own.settings[name]), False) for name in ("content_taps", "style_taps")}
    gradient, = torch.autograd.grad(wanted["adversarial"], made, retain_graph=True)
    assert (gradient < 0).all()
    gradient, = torch.autograd.grad(wanted["l1"], made)
    assert (gradient[mask.expand_as(gradient) == 0] != 0).all()  # known pixels count too
    own, context, _ = step(Maps(), normalise_features=True)
    own.colour_loss(context, True)
    assert {flag for _, flag in context.slots["features"].seen} == {True}
    own, context, _ = step(Maps(), content_taps=["a"], style_taps=["b", "c"])
    terms = own.colour_loss(context, True)
    apart = (context.networks["colours"].output.detach() - real).double()
    assert terms["perceptual@imagenet-89abcdef"].item() == pytest.approx(0.1 * apart.abs().mean().item(), rel=1e-5)
    assert set(context.slots["features"].seen) == {(("a",), False), (("b", "c"), False)}
    own, context, _ = step()
    assert set(own.colour_loss(context, True)) == {"l1", "adversarial"}


@pytest.mark.parametrize("chosen", [["inpaint_gt_edges", "inpaint_predicted", "joint"], ["inpaint_predicted", "joint"],
                                    ["inpaint_predicted"]])
def test_phases_without_feature_terms(chosen) -> None:
    own, _, _ = step(feature_phases=chosen)
    for phase in own.phases()[1:]:
        _, context, _ = step(Maps())
        terms = {name for player in phase.players for name in player.loss(context)}
        assert any("perceptual@" in name for name in terms) == (phase.name in chosen), phase.name


def test_guessed_edges_are_given_and_not_taught_but_in_the_joint_phase() -> None:
    own, context, mask = step(Maps(), perceptual=0.3, style=40.0)
    guessed = context.networks["edges"].output

    class Mixed(nn.Module):
        """The colours are the edges shown, so that a gradient could flow."""

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :3] * 0.5 + x[:, 3:] * 0.25

    context.networks["colours"] = Mixed()
    joint = {phase.name: phase.players for phase in own.phases()}["joint"][1]
    terms = joint.loss(context)
    assert set(terms) == {"adversarial", "matching", "picture_l1", "picture_adversarial",
                          "picture_perceptual@imagenet-89abcdef", "picture_style@imagenet-89abcdef"}
    plain = own.colour_loss(context, False)
    for name, term in plain.items():
        assert not term.requires_grad or name == "adversarial", name
        assert terms[f"picture_{name}"].item() == pytest.approx(term.item())
    assert not torch.autograd.grad(plain["adversarial"], guessed, allow_unused=True, retain_graph=True)[0]
    for name in ("picture_l1", "picture_adversarial"):
        gradient, = torch.autograd.grad(terms[name], guessed, retain_graph=True)
        assert gradient[mask > 0].abs().sum() > 0 and not gradient[mask == 0].any()
    for first, second in pairwise([own.edge_loss(context), terms]):
        assert all(second[name].item() == pytest.approx(term.item()) for name, term in first.items())


def test_a_restored_picture_is_drawn_along_what_canny_finds_outside_and_the_network_guesses_inside() -> None:
    own, _, mask = step()
    image, mask = truth()[:1], mask[:1]
    image = torch.where(mask > 0, torch.tensor(0.37), image)  # values under the hole
    edges, colours = Fixed(pictures(1, 32, 1, 1)), Fixed(pictures(1, 32, 2))
    made = own.restore(Model({"edges": edges, "colours": colours}), {"image": image, "mask": mask}, 1)["image"]
    assert torch.equal(made, colours.output)
    grey = (image * (1 - mask)).permute(0, 2, 3, 1).numpy() @ RGB
    found = feature.canny(grey[0].astype(np.float32), sigma=1.0, mask=mask[0, 0].numpy() == 0)
    outside = torch.from_numpy(found.astype(np.float32))[None, None]
    assert not np.array_equal(found, feature.canny(grey[0].astype(np.float32), sigma=1.0))  # the rim would be an edge
    hole = mask > 0
    (shown,), = edges.seen
    torch.testing.assert_close(shown[:, 0].double(), torch.from_numpy(np.where(hole[:, 0], 1, grey)))
    assert torch.equal(shown[:, 1:2], outside) and torch.equal(shown[:, 2:], mask)
    (shown,), = colours.seen
    assert torch.equal(shown[:, :3], torch.where(hole, torch.ones(()), image))
    assert torch.equal(shown[:, 3:], torch.where(hole, edges.output, outside))


def test_centred_the_picture_network_sees_colours_around_a_half_and_gives_them_back() -> None:
    own, _, mask = step(centred=True)
    image, edges, network = truth(), pictures(2, 32, 3, 1), Fixed(pictures(2, 32, 2))
    made = own.colour(network, image * (1 - mask), edges, mask)
    (seen,), = network.seen
    known = (image * (1 - mask)).sum((2, 3), keepdim=True) / (32 * 32 - 144)
    torch.testing.assert_close(seen, torch.cat([torch.where(mask > 0, 1.0, image - known + 0.5), edges], 1))
    torch.testing.assert_close(made, network.output + known - 0.5)
    assert METHOD({}).settings["centred"] is False


@pytest.mark.parametrize("blend", ["none", "level", "poisson"])
def test_the_filling_is_blended_as_the_setting_says(blend: str) -> None:
    own, _, mask = step(blend=blend)
    real = truth() * 0.6 + 0.3
    model = Model({"edges": Fixed(pictures(2, 32, 1, 1)), "colours": Fixed(real - 0.2)})
    made = own.restore(model, {"image": real * (1 - mask), "mask": mask}, 1)["image"]
    torch.testing.assert_close(made * mask, (real - (0.2 if blend == "none" else 0)) * mask)
    assert METHOD({}).settings["blend"] == "none"


def test_precision_and_recall_of_guessed_edges_rise_in_the_first_phase() -> None:
    """Counted inside the hole at a threshold of 0.5, on stripes that go on through it."""
    torch.manual_seed(0)
    y, x = np.mgrid[:32, :32]
    stripes = np.stack([((x if number % 2 else y) + 3 * number) // 8 % 2 for number in range(6)]) * 0.8 + 0.1
    stripes_seen = torch.from_numpy(stripes.astype(np.float32))[:, None].repeat(1, 3, 1, 1)
    mask = torch.zeros(6, 1, 32, 32)
    mask[..., 8:-8, 8:-8] = 1
    method = METHOD(SMALL | {"width": 8, "blocks": 1, "disc_width": 8, "lr": 2e-3, "betas": [0.5, 0.9]})
    networks, players = method.build(), method.phases()[0].players
    optimisers = [player.optimiser([p for key in player.networks for p in networks[key].parameters()])
                  for player in players]
    grey = rgb_to_grey(stripes_seen)
    edges = canny(grey, 1.0)

    def precision_and_recall() -> tuple[float, float]:
        with torch.no_grad():
            guessed = (method.guess(networks["edges"], grey, edges, mask) > 0.5) & (mask > 0)
        wanted = (edges > 0) & (mask > 0)
        hits = float((guessed & wanted).sum())
        return hits / max(1.0, float(guessed.sum())), hits / float(wanted.sum())

    before = precision_and_recall()
    for step in range(60):
        shared = context_of(stripes_seen, mask, networks, step=step)
        for player, optimiser in zip(players, optimisers, strict=True):
            optimiser.zero_grad()
            total = sum(player.loss(shared).values(), torch.zeros(()))
            total.backward(inputs=[p for key in player.networks for p in networks[key].parameters()])
            optimiser.step()
    after = precision_and_recall()
    assert before[0] < 0.5 and after[0] > 0.9 and after[1] > max(0.9, before[1])
