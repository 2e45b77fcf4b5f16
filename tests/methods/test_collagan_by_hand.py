"""collagan: what a step makes, and both players' terms against values by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restore_ml.method import Context
from restore_ml.methods.contrast_synthesis.collagan import CollaGan
from restore_ml.metrics import fidelity
from tests.methods.by_hand import Calls, draw, optimiser_of

CHANNELS = [0, 2, 4]
M = 3
LIFT = nn.Parameter(torch.tensor(0.1))
TRUTH = draw(2, 5, 16, 16)
WANTED = torch.tensor([[0., 0, 1, 0, 0], [1, 0, 0, 0, 0]])
GIVEN = torch.tensor([[1., 0, 0, 0, 0], [0, 0, 1, 0, 1]])  # of the first slice FLAIR is hidden too
WEIGHTS = torch.tensor([0.5, 0.3, 0.2])


def made(**settings: Any) -> CollaGan:
    return CollaGan({"contrasts": ["t1", "t2", "flair"], "width": 6, "disc_width": 2, "patch": 32, "scale": 0.0,
                     **settings})


def players() -> dict[str, nn.Module]:
    """A painter that adds what it sees with weights, the wanted one left out; a judge of four patches and of classes
    that are means of thirds."""

    def paint(x: Tensor, wanted: Tensor) -> Tensor:
        seen = x * (1 - wanted)[:, :, None, None]
        return (seen * WEIGHTS[:, None, None]).sum(1, keepdim=True) + 0.05 * wanted.argmax(1)[
            :, None, None, None] + LIFT

    def judge(pictures: Tensor) -> tuple[Tensor, Tensor]:
        patches = pictures.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5))
        return patches * 2 - 0.3, torch.stack([pictures[:, 0, :5].mean((1, 2)), pictures[:, 0, 5:10].mean((1, 2)),
                                               3 * pictures[:, 0, 10:].mean((1, 2))], 1)

    return {"generator": Calls(paint), "discriminator": Calls(judge)}


def step(networks: dict[str, nn.Module], there: Tensor | None = None, number: int = 0) -> Context:
    there = torch.ones(2, 5) if there is None else there
    truth = TRUTH * there[:, :, None, None]
    inputs = {"contrasts": truth * GIVEN[:, :, None, None], "given": GIVEN, "wanted": WANTED}
    return Context(inputs, {"truth": truth, "there": there}, ["a" * 64] * 2, networks, step=number, steps=10,
                   generator=torch.Generator().manual_seed(0))


def painted(truth: np.ndarray | None = None) -> np.ndarray:
    """What a step makes, 2 x M x 16 x 16, slice by slice and contrast by contrast."""
    truth = TRUTH[:, CHANNELS].double().numpy() if truth is None else truth
    seen = truth * GIVEN[:, CHANNELS].numpy()[:, :, None, None]
    result = np.zeros_like(truth)
    for one in range(2):
        target = int(WANTED[one, CHANNELS].argmax())

        def paint(planes: np.ndarray, number: int) -> np.ndarray:
            weights = WEIGHTS.double().numpy().copy()
            weights[number] = 0
            return np.tensordot(weights, planes, 1) + 0.05 * number + 0.1

        result[one, target] = paint(seen[one], target)
        whole = truth[one].copy()
        whole[target] = result[one, target]
        for other in {0, 1, 2} - {target}:
            result[one, other] = paint(whole, other)
    return result


def judged(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores, 2 x M x 4, and cross-entropies to be each contrast, 2 x M."""
    scores = pictures.reshape(2, M, 2, 8, 2, 8).mean((3, 5)).reshape(2, M, 4) * 2 - 0.3
    logits = np.stack([pictures[:, :, :5].mean((2, 3)), pictures[:, :, 5:10].mean((2, 3)),
                       3 * pictures[:, :, 10:].mean((2, 3))], 2)
    logs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
    return scores, -np.stack([logs[:, number, number] for number in range(M)], 1)


def test_what_a_step_makes():
    """The wanted contrast from what is given; each other one from it and the true rest, hidden or not."""
    method, networks = made(), players()
    passes = method.passes(step(networks))
    for one in range(2):
        np.testing.assert_allclose(passes.made[one].detach().numpy(), painted()[one, passes.which[one]], atol=1e-6)
        assert torch.equal(passes.true[one], TRUTH[one, CHANNELS][passes.which[one]])
        assert sorted(passes.which[one].tolist()) == [0, 1, 2]
    assert torch.equal(passes.which[:, 0], WANTED[:, CHANNELS].argmax(1)) and (passes.counted == 1).all()
    assert torch.equal(passes.truth, TRUTH[:, CHANNELS])
    assert [call[0].shape[0] for call in networks["generator"].calls] == [2, 2 * (M - 1)]


def test_where_some_are_cycled_alone_they_stand_for_all():
    """One of two others: which one is drawn anew each step; the wanted contrast is always made."""
    method, seen = made(cycle=7.0, ssim=3.0, adversarial=2.0, classification=5.0, direct=4.0, cycled=1), set()
    truth = TRUTH[:, CHANNELS].double().numpy()
    for number in range(12):
        context = step(players())
        context.generator.manual_seed(number)
        terms, which = method.generator_loss(context), method.passes(context).which.numpy()
        seen.add(tuple(which[:, 1]))
        every, rows = painted(), np.arange(2)[:, None]
        scores, entropies = judged(every)
        off = np.abs(every - truth).mean((2, 3))[rows, which]
        similar = [fidelity.ssim(every[one, k], truth[one, k], 1.0) for one, k in enumerate(which[:, 1])]
        fooled, named = np.square(scores - 1).mean(2)[rows, which].mean(0), entropies[rows, which].mean(0)
        expected = {"cycle": 7 * 2 * off[:, 1].mean(), "ssim": 3 * 2 * -np.log((1 + np.array(similar)) / 2).mean(),
                    "adversarial": 2 * (fooled[0] + 2 * fooled[1]), "class": 5 * (named[0] + 2 * named[1]),
                    "direct": 4 * off[:, 0].mean()}
        assert {name: term.item() for name, term in terms.items()} == {
            name: pytest.approx(value, rel=1e-3) for name, value in expected.items()}
    assert seen == {(2, 1), (0, 2)}


def test_the_painter_s_terms():
    method = made(cycle=7.0, ssim=3.0, adversarial=2.0, classification=5.0)
    terms = method.generator_loss(step(players()))
    pictures, truth = painted(), TRUTH[:, CHANNELS].double().numpy()
    scores, entropies = judged(pictures)
    cycled = 1 - WANTED[:, CHANNELS].numpy()
    off = np.abs(pictures - truth).mean((2, 3))
    similar = np.array([[fidelity.ssim(pictures[one, k], truth[one, k], 1.0) for k in range(M)] for one in range(2)])
    expected = {"cycle": 7 * (off * cycled).sum(1).mean(),
                "ssim": 3 * (-np.log((1 + similar) / 2) * cycled).sum(1).mean(),
                "adversarial": 2 * np.square(scores - 1).mean(2).sum(1).mean(), "class": 5 * entropies.sum(1).mean()}
    assert {name: term.item() for name, term in terms.items()} == {
        name: pytest.approx(value, rel=1e-3) for name, value in expected.items()}
    for term in terms.values():
        assert torch.autograd.grad(term, LIFT, retain_graph=True)[0].abs() > 0


def test_the_direct_term_is_that_of_the_wanted_contrast():
    terms = made(direct=4.0).generator_loss(step(players()))
    pictures, truth = painted(), TRUTH[:, CHANNELS].double().numpy()
    expected = 4 * (np.abs(pictures - truth).mean((2, 3)) * WANTED[:, CHANNELS].numpy()).sum(1).mean()
    assert terms["direct"].item() == pytest.approx(expected, rel=1e-4)
    assert set(terms) - {"direct"} == set(made().generator_loss(step(players())))


def test_squared_differences_by_hand():
    terms = made(direct_l2=6.0, cycle_l2=9.0).generator_loss(step(players()))
    wanted = WANTED[:, CHANNELS].numpy()
    square = np.square(painted() - TRUTH[:, CHANNELS].double().numpy()).mean((2, 3))
    assert terms["direct_l2"].item() == pytest.approx(6 * (square * wanted).sum(1).mean(), rel=1e-4)
    assert terms["cycle_l2"].item() == pytest.approx(9 * (square * (1 - wanted)).sum(1).mean(), rel=1e-4)
    assert set(terms) - {"direct_l2", "cycle_l2"} == set(made().generator_loss(step(players())))


def test_the_judge_s_terms():
    """True pictures weigh as much as those that were made, however many these are; classes of true ones."""
    terms = made(adversarial=2.0, classification=5.0).discriminator_loss(step(players()))
    real, entropies = judged(TRUTH[:, CHANNELS].double().numpy())
    fake, _ = judged(painted())
    expected = {"real": 2 * np.square(real - 1).mean(), "fake": 2 * np.square(fake).mean(),
                "class": 5 * entropies.mean()}
    assert {name: term.item() for name, term in terms.items()} == {
        name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}
    assert not any(term.requires_grad for term in terms.values())  # nothing flows back to the painter


def test_contrasts_that_a_patient_does_not_have_count_nowhere():
    there = torch.tensor([[1., 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    truth = TRUTH[:, CHANNELS].double().numpy().copy()
    truth[0, 2] = 0
    method = made(cycle=7.0, ssim=3.0, adversarial=2.0, classification=5.0)
    terms = method.generator_loss(step(players(), there))
    pictures = painted(truth)
    scores, entropies = judged(pictures)
    counts, cycled = there[:, CHANNELS].numpy(), (there * (1 - WANTED))[:, CHANNELS].numpy()
    off = np.abs(pictures - truth).mean((2, 3))
    similar = np.array([[fidelity.ssim(pictures[one, k], truth[one, k], 1.0) for k in range(M)] for one in range(2)])
    expected = {"cycle": 7 * (off * cycled).sum(1).mean(),
                "ssim": 3 * (-np.log((1 + similar) / 2) * cycled).sum(1).mean(),
                "adversarial": 2 * (np.square(scores - 1).mean(2) * counts).sum(1).mean(),
                "class": 5 * (entropies * counts).sum(1).mean()}
    assert {name: term.item() for name, term in terms.items()} == {
        name: pytest.approx(value, rel=1e-3) for name, value in expected.items()}
    terms = method.discriminator_loss(step(players(), there))
    real, entropies = judged(truth)
    expected = {"real": 2 * (np.square(real - 1).mean(2) * counts).sum() / 5,
                "fake": 2 * (np.square(scores).mean(2) * counts).sum() / 5,
                "class": 5 * (entropies * counts).sum() / 5}
    assert {name: term.item() for name, term in terms.items()} == {
        name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}


def test_a_slice_is_scaled_as_a_whole():
    networks = players()
    passes = made(scale=0.1).passes(step(networks))
    factors = (passes.truth / TRUTH[:, CHANNELS]).flatten(1)
    assert (factors.std(1) < 1e-5).all() and factors.mean(1)[0] != factors.mean(1)[1]
    assert ((factors > 0.9) & (factors < 1.1)).all()
    first = networks["generator"].calls[0][0]
    seen = TRUTH[:, CHANNELS] * GIVEN[:, CHANNELS][:, :, None, None] * factors.mean(1)[:, None, None, None]
    np.testing.assert_allclose(first.numpy(), seen.numpy(), rtol=1e-5)
    draws = [made(scale=0.1).passes(step(players())).truth for _ in range(2)]
    assert torch.equal(*draws)  # of the step's own generator
    seen = []
    for number in range(40):
        context = step(players())
        context.generator.manual_seed(number)
        seen += (made(scale=0.1).passes(context).truth / TRUTH[:, CHANNELS]).mean((1, 2, 3)).tolist()
    assert 0.9 <= min(seen) < 0.92 and 1.08 < max(seen) <= 1.1


def test_one_forward_pass_a_step_without_gradients_where_the_painter_does_not_play():
    method, networks = made(disc_steps=2), players()
    for number, wanted in ((0, True), (1, False), (2, True)):
        networks["generator"].calls.clear()
        context = step(networks, number=number)
        method.discriminator_loss(context)
        assert method.passes(context).made.requires_grad is wanted
        method.discriminator_loss(context)
        assert len(networks["generator"].calls) == 2  # the first pass, and all cycled ones together


@torch.backends.mkldnn.flags(enabled=False)  # which spends seconds on each new size, and here all sizes are small
def test_a_few_steps_on_one_batch_lower_the_painter_s_objective():
    torch.manual_seed(0)
    method = made(disc_steps=1, direct=10.0, lr=0.01)
    networks = method.build()
    base = draw(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    truth = torch.cat([base, 0 * base, 1 - base, 0 * base, 0.2 + 0.5 * base], 1)
    there = torch.tensor([[1., 0, 1, 0, 1]]).expand(2, -1)
    inputs = {"contrasts": truth * (there - WANTED)[:, :, None, None], "given": there - WANTED, "wanted": WANTED}
    painter, seen = method.phases()[0].players[1], []
    optimiser = optimiser_of(painter, networks)
    for number in range(8):
        torch.manual_seed(number)
        context = Context(inputs, {"truth": truth, "there": there}, ["a", "b"], networks, step=0, steps=10,
                          generator=torch.Generator().manual_seed(0))
        terms = painter.loss(context)
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        seen.append((terms["cycle"] + terms["direct"]).item())
    assert seen[-1] < 0.8 * seen[0]
