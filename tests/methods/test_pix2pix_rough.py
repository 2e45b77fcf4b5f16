"""The rough network alone: its recipe, what it is shown, and both players' terms worked out from fixed pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Model
from restore_ml.methods.inpainting.pix2pix_rough import METHOD, Pix2PixRough
from tests.methods.by_hand import optimiser_of
from tests.methods.holes import Fixed, Judge, batch, context_of, pictures, softplus

SMALL = {"levels": 3, "width": 4, "disc_width": 4, "patch": 16}


def step(**settings: Any) -> tuple[Pix2PixRough, Context, Tensor, Tensor, Fixed]:
    """Method, context, truth in [-1, 1], mask (3 x 5 pixels of 16 x 16) and the network of one fixed picture."""
    truth, mask = pictures(2, 16), torch.zeros(2, 1, 16, 16)
    mask[:, :, 9:12, 1:6] = 1
    network = Fixed(2 * pictures(2, 16, 1) - 1)
    context = context_of(truth, mask, {"rough": network, "discriminator": Judge()})
    return METHOD(SMALL | settings), context, 2 * truth - 1, mask, network


def test_published_recipe() -> None:
    paper = METHOD({})
    assert {key: paper.settings[key] for key in (
        "l1", "adversarial", "lr", "betas", "batch", "patch", "masks", "overlap", "fill", "own_mean", "blend", "width",
        "levels", "disc_width", "steps")} == {
        "l1": 100.0, "adversarial": 1.0, "lr": 2e-4, "betas": [0.5, 0.999], "batch": 1, "patch": 256,
        "masks": ["centre"], "overlap": 4, "fill": [123, 104, 117], "own_mean": False, "blend": "none", "width": 64,
        "levels": 8, "disc_width": 64, "steps": 120 * 504}
    with torch.device("meta"):
        counts = {name: sum(p.numel() for p in network.parameters()) for name, network in paper.build().items()}
    assert counts == {"rough": 54_419_459, "discriminator": 2_766_529} and paper.stored_networks == ("rough",)
    assert paper.multiple == 256 and METHOD(SMALL).multiple == 8


def test_players_and_rates() -> None:
    own = METHOD(SMALL | {"lr": 0.02, "betas": [0.4, 0.9], "steps": 60})
    networks, [phase] = own.build(), own.phases()
    assert (phase.name, phase.steps) == ("train", 60)
    assert [(player.name, list(player.networks), player.loss) for player in phase.players] == [
        ("discriminator", ["discriminator"], own.discriminator_loss), ("rough", ["rough"], own.rough_loss)]
    for player in phase.players:
        made = optimiser_of(player, networks)
        assert isinstance(made, torch.optim.Adam)
        assert (made.defaults["lr"], made.defaults["betas"]) == (0.02, (0.4, 0.9))
        assert [player.schedule(place, 60) for place in (0, 10, 35)] == pytest.approx([1, 1, 0.5])
    falling = METHOD(SMALL | {"schedule": "cosine"}).phases()[0].players
    assert [player.schedule(place, 60) for player in falling for place in (30, 60)] == pytest.approx([0.5, 0] * 2)


def test_wrong_settings_are_sentences() -> None:
    for settings, said in (({"patch": 20}, "patch of pix2pix_rough is 20; it must be a multiple of 8"),
                           ({"schedule": "plateau"}, "linear or cosine"), ({"blend": "yes"}, "none, level or poisson")):
        with pytest.raises(UserError, match=said):
            METHOD(SMALL | settings)


def test_what_the_network_is_shown_and_what_it_restores() -> None:
    image, mask, network = pictures(1, 4), torch.zeros(1, 1, 4, 4), Fixed(torch.full((1, 3, 4, 4), 0.5))
    mask[..., 1, 2] = 1
    own = METHOD(SMALL | {"fill": [255, 0, 51]})
    made = own.restore(Model({"rough": network}), {"image": image, "mask": mask}, 1)["image"]
    (seen,), = network.seen
    assert seen[0, :, 1, 2].tolist() == pytest.approx([1, -1, -0.6])
    torch.testing.assert_close(seen * (1 - mask), (2 * image - 1) * (1 - mask))
    assert made.flatten().tolist() == [0.75] * 48
    METHOD(own.settings | {"own_mean": True}).restore(Model({"rough": network}), {"image": image, "mask": mask}, 1)
    known = image.flatten(2)[..., mask.flatten() == 0].mean(2)
    torch.testing.assert_close(network.seen[1][0][..., 1, 2], 2 * known - 1)


def test_the_blend_is_the_runs_choice() -> None:
    """A network that says the negative of a picture: `level` turns no contrast round and keeps the mean."""
    image, mask = pictures(1, 8), torch.zeros(1, 1, 8, 8)
    mask[..., 2:4, 2:4] = 1
    model, inputs = Model({"rough": Fixed(1 - 2 * image)}), {"image": image, "mask": mask}
    plain, levelled = (METHOD(SMALL | {"blend": kind}).restore(model, inputs, 1)["image"] for kind in ("none", "level"))
    torch.testing.assert_close(plain, 1 - image)
    known = image[mask.expand_as(image) == 0].view(3, -1).mean(1)
    torch.testing.assert_close(levelled[..., 2, 2], known[None])


def test_half_the_cross_entropy_tells_true_pictures_from_filled_ones() -> None:
    own, context, truth, _, network = step()
    terms = own.discriminator_loss(context)
    judge = context.networks["discriminator"]
    (real,), (fake,) = judge.seen
    torch.testing.assert_close(real, truth)
    assert torch.equal(fake, network.output)  # the network's whole picture, known pixels included
    assert set(terms) == {"real", "fake"}
    assert terms["real"].item() == pytest.approx(softplus(-judge.score(real)) / 2, rel=1e-5)
    assert terms["fake"].item() == pytest.approx(softplus(judge.score(fake)) / 2, rel=1e-5)
    sum(terms.values()).backward()
    assert network.output.grad is None and judge.bias.grad is not None


def test_the_network_is_to_pass_for_true_and_to_be_near() -> None:
    own, context, truth, _, network = step(adversarial=0.5, l1=7.0)
    own.discriminator_loss(context)
    terms = own.rough_loss(context)
    judge, made = context.networks["discriminator"], network.output
    assert set(terms) == {"adversarial", "l1"} and len(network.seen) == 1  # one forward pass a step
    assert terms["adversarial"].item() == pytest.approx(0.5 * softplus(-judge.score(made)), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(7 * (made.detach() - truth).abs().mean().item(), rel=1e-5)
    wanted, = torch.autograd.grad(terms["adversarial"], made, retain_graph=True)
    assert (wanted < 0).all()  # brighter has a higher score
    pulled, = torch.autograd.grad(terms["l1"], made)
    torch.testing.assert_close(pulled, 7 * (made.detach() - truth).sign() / made.numel())


def test_a_few_steps_on_a_batch_lower_its_objective() -> None:
    torch.manual_seed(0)
    own = METHOD(SMALL | {"lr": 3e-3, "patch": 32})
    networks, (inputs, target) = own.build(), batch(4, 32)
    player = own.phases()[0].players[1]
    optimiser, values = optimiser_of(player, networks), []
    for number in range(15):
        context = context_of(target["image"], inputs["mask"], networks, step=number)
        total = player.loss(context)["l1"]
        optimiser.zero_grad()
        total.backward(inputs=list(networks["rough"].parameters()))
        optimiser.step()
        values.append(total.item())
    assert values[-1] < 0.7 * values[0]
