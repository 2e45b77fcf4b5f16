"""mccgn: each loss term, whose class is wanted, and the networks, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.blur import gaussian_blur
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.mccgn import FACE, FAKE, TEXT, Mccgn
from restore_ml.nn.multi_class_gan import Discriminator, Generator
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

LIFT = nn.Parameter(torch.tensor(0.25))
SMALL = {"width": 4, "convolutions": 2, "d_width": 2, "d_hidden": 8, "patch": 64, "kinds": ["plain"],
         "text_share": 0.5}
INPUTS = {"lr": draw(4, 3, 8, 8), "text_lr": draw(4, 3, 8, 8, seed=2), "text": draw(4, 3, 64, 64, seed=3)}
TARGET = {"hr": draw(4, 3, 64, 64, seed=1)}


def mccgn(**settings) -> Mccgn:
    return registry.method("face_super_resolution", "mccgn", {**SMALL, **settings})


def judge(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of the three classes from the mean and the first pixel, and maps: a corner."""
    mean, first = x.mean((1, 2, 3)), x[:, 0, 0, 0]
    return torch.stack([3 * mean, first - mean, 0.5 - 2 * first], 1), 2 * x[..., :2, :2]


def players() -> dict[str, nn.Module]:
    return {"generator": Calls(lambda lr: lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT),
            "discriminator": Calls(judge)}


def both(name: str, text: str, given: dict) -> np.ndarray:
    """Four faces and, at a share of a half, the first two texts, in [-1, 1]."""
    return 2 * np.concatenate([given[name].double().numpy(), INPUTS[text][:2].double().numpy()]) - 1


TRUTH = both("hr", "text", TARGET)
MADE = np.kron(both("lr", "text_lr", INPUTS), np.ones((8, 8))) + 0.25
OWN = np.array([FACE] * 4 + [TEXT] * 2)


def entropy(pictures: np.ndarray, classes: np.ndarray) -> np.ndarray:
    mean, first = pictures.mean((1, 2, 3)), pictures[:, 0, 0, 0]
    scores = np.stack([3 * mean, first - mean, 0.5 - 2 * first], 1)
    return np.log(np.exp(scores).sum(1)) - scores[np.arange(len(scores)), classes]


# --- the objectives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_pixel_phase_minimises_the_squared_error_of_faces_and_texts(weight):
    networks, run = players(), mccgn(pixel_weight=weight)
    [player] = run.phases()[0].players
    terms = player.loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["mse"] and player.networks == ["generator"]
    assert terms["mse"].item() == pytest.approx(weight * np.square(MADE - TRUTH).mean(), rel=1e-5)
    [given] = networks["generator"].calls[0]
    np.testing.assert_allclose(given, both("lr", "text_lr", INPUTS), atol=1e-6)


def test_the_judge_tells_three_classes_apart():
    terms = mccgn().discriminator_loss(step_with(INPUTS, TARGET, players()))
    assert list(terms) == ["face", "text", "fake"] and (FACE, TEXT, FAKE) == (0, 1, 2)
    for name, pictures, number in (("face", TRUTH[:4], 0), ("text", TRUTH[4:], 1), ("fake", MADE, 2)):
        expected = entropy(pictures, np.full(len(pictures), number)).mean()
        assert terms[name].item() == pytest.approx(expected, rel=1e-5)
    assert not any(term.requires_grad for term in terms.values()), "nothing reaches the generator"


@pytest.mark.parametrize(("adversarial", "matching", "pixel"), [(1e-3, 1e-3, 1.0), (0.5, 2.0, 0.3)])
def test_the_generator_wants_each_picture_s_own_real_class(adversarial, matching, pixel):
    run = mccgn(adversarial_weight=adversarial, matching_weight=matching, pixel_weight=pixel)
    networks = players()
    terms = run.generator_loss(step_with(INPUTS, TARGET, networks))
    assert list(terms) == ["mse", "adversarial", "matching"]
    assert terms["mse"].item() == pytest.approx(pixel * np.square(MADE - TRUTH).mean(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(adversarial * entropy(MADE, OWN).mean(), rel=1e-5)
    gap = 2 * (MADE - TRUTH)[..., :2, :2]
    assert terms["matching"].item() == pytest.approx(matching * np.square(gap).mean(), rel=1e-5)
    slope = torch.autograd.grad(terms["matching"], LIFT, retain_graph=True)[0].item()
    assert slope == pytest.approx(matching * 4 * gap.mean(), rel=1e-4)
    step = 1e-4
    expected = (entropy(MADE + step, OWN) - entropy(MADE - step, OWN)).mean() / (2 * step)
    assert torch.autograd.grad(terms["adversarial"], LIFT)[0].item() == pytest.approx(adversarial * expected, rel=1e-3)


@pytest.mark.parametrize(("share", "texts"), [(1.0, 4), (0.25, 1), (0.01, 1)])
def test_a_batch_has_so_many_texts_behind_its_faces(share, texts):
    networks = players()
    mccgn(text_share=share).pixel_loss(step_with(INPUTS, TARGET, networks))
    [given] = networks["generator"].calls[0]
    assert len(given) == 4 + texts and torch.equal(given[4:], 2 * INPUTS["text_lr"][:texts] - 1)


def test_both_players_share_one_forward_pass():
    networks, run = players(), mccgn(steps={"pixel": 60, "gan": 20})
    discriminator, generator = run.phases()[1].players
    step = step_with(INPUTS, TARGET, networks)
    discriminator.loss(step), generator.loss(step)
    assert len(networks["generator"].calls) == 1 and len(networks["discriminator"].calls) == 5
    assert [player.networks for player in (discriminator, generator)] == [["discriminator"], ["generator"]]
    assert [(phase.name, phase.steps) for phase in run.phases()] == [("pixel", 60), ("gan", 20)]


def test_jitter_changes_faces_and_leaves_texts():
    networks = players()
    mccgn(jitter=0.2).discriminator_loss(step_with(INPUTS, TARGET, networks))
    [given], [faces], [texts] = networks["generator"].calls[0], *networks["discriminator"].calls[:2]
    for face in range(4):
        for channel in range(3):
            lines = [np.polyfit(plain[face, channel].numpy().ravel(), (seen[face, channel].numpy().ravel() + 1) / 2, 1)
                     for plain, seen in ((INPUTS["lr"], given), (TARGET["hr"], faces))]
            np.testing.assert_allclose(lines[0], lines[1], atol=1e-4)
            assert abs(lines[0][0] - 1) <= 0.2 and abs(lines[0][1]) <= 0.2
    assert not torch.allclose(faces, 2 * TARGET["hr"] - 1, atol=0.05)
    assert torch.equal(texts, 2 * INPUTS["text"][:2] - 1)


def test_rate_and_optimiser():
    run = mccgn(schedule="cosine", steps={"pixel": 60, "gan": 20}, lr=2e-3)
    pixel, gan = run.phases()
    [first], (discriminator, second) = pixel.players, gan.players
    assert [first.schedule(step, 60) for step in (0, 40)] == pytest.approx([1, 0.5])
    assert second.schedule(0, 20) == pytest.approx((1 + np.cos(np.pi * 0.75)) / 2)
    assert [discriminator.schedule(step, 20) for step in (0, 10)] == pytest.approx([1, 0.5])
    assert all(player.schedule(7, 60) == 1 for phase in mccgn().phases() for player in phase.players)
    networks = run.build()
    for player in (first, discriminator, second):
        optimiser = optimiser_of(player, networks)
        assert isinstance(optimiser, torch.optim.Adam) and optimiser.defaults["lr"] == 2e-3
        assert optimiser.defaults["betas"] == (0.5, 0.999)


# --- text -------------------------------------------------------------------------------------------------------------


def test_a_text_is_made_small_as_a_face_is_and_serves_training_alone():
    face = np.zeros((64, 64, 3), np.uint8)
    assert mccgn().derive({}, None, np.random.default_rng(0)) == {} and mccgn().inputs == ()
    told = mccgn().derive({}, {"hr": face}, np.random.default_rng(0))
    assert set(told) == set(mccgn().derived) and np.array_equal(told["text_lr"], imresize(told["text"], 1 / 8))
    for name, spec in mccgn().derived.items():
        assert spec.problem(told[name]) is None
    again = mccgn().derive({}, {"hr": face}, np.random.default_rng(0))
    assert all(np.array_equal(told[name], again[name]) for name in told)
    kinds, blurred = set(), mccgn(kinds=["plain", "blur_noise"])
    for seed in range(12):
        made = blurred.derive({}, {"hr": face}, np.random.default_rng(seed))
        gaps = [np.abs(imresize(text, 1 / 8).astype(float) - made["text_lr"]).mean()
                for text in (made["text"], gaussian_blur(made["text"], 2.75, 17))]
        kinds.add("plain" if gaps[0] == 0 else "blur_noise")
        assert gaps[0] == 0 or gaps[1] < 12, "the task's blur, and its noise of 10 levels"
    assert kinds == {"plain", "blur_noise"}


# --- the networks -----------------------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_numbers_of_parameters_at_paper_size():
    """By hand from the card's layers."""
    up = 64 * (3 + 2 * 64) * 16 + 3 * 3 * 64
    body = 4 * 64 * (64 * 25 + 3) + 4 * 64 * (64 * 9 + 3)
    sizes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    maps = sum(after * (9 * before + 1) for before, after in sizes) + 2 * sum(after for _, after in sizes[1:])
    with torch.device("meta"):
        networks = Mccgn({}).build()
    assert parameters(networks["generator"]) == up + body + 3 * (64 * 9 + 1) == 695_043
    assert parameters(networks["discriminator"]) == maps + 1024 * (512 * 64 + 1) + 3 * 1025 == 38_247_619


def stirred(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize(("skips", "residual"), [(False, False), (True, False), (False, True)])
def test_the_generator_layer_by_layer(skips, residual):
    torch.manual_seed(0)
    net, lr = stirred(Generator(4, 4, skips, residual)), draw(2, 3, 5, 4) * 2 - 1
    with torch.no_grad():
        x = lr
        for layer, norm, _ in net.up:
            x = functional.relu(norm(functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1)))
        assert x.shape == (2, 4, 40, 32)
        for pair, size in zip(net.body, (5, 3), strict=True):
            y = x
            for layer, norm, _ in pair:
                assert layer.kernel_size == (size, size)
                y = functional.relu(norm(functional.conv2d(y, layer.weight, layer.bias, padding=size // 2)))
            x = x + y if skips else y
        expected = torch.tanh(functional.conv2d(x, net.tail.weight, net.tail.bias, padding=1))
        expected = expected + imresize(lr, 8) if residual else expected
        result = net(lr)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert result.shape == (2, 3, 40, 32)
    gap = (result - imresize(lr, 8)).abs().max()
    assert (gap < 0.005) == residual, "small differences at first"


def test_the_discriminator_layer_by_layer():
    torch.manual_seed(0)
    net, x = stirred(Discriminator(32, 2, 8)), draw(3, 3, 32, 32)
    with torch.no_grad():
        y = x
        for number in range(8):
            layer, norm = net.maps[3 * number], net.maps[3 * number + 1]
            assert layer.out_channels == 2 * 2 ** (number // 2) and isinstance(norm, nn.BatchNorm2d) == (number > 0)
            y = functional.leaky_relu(norm(functional.conv2d(y, layer.weight, layer.bias, 1 + number % 2, 1)), 0.2)
        first, last = net.classes[1], net.classes[3]
        scores = last(functional.leaky_relu(first(y.flatten(1)), 0.2))
        result = net(x)
    np.testing.assert_allclose(result[0], scores, atol=1e-5)
    np.testing.assert_allclose(result[1], y, atol=1e-5)
    assert y.shape == (3, 16, 2, 2) and scores.shape == (3, 3)


# --- restoring --------------------------------------------------------------------------------------------------------


def test_restore_centres_and_clips():
    model = Model({"generator": Calls(lambda lr: 2 * lr.repeat_interleave(8, 2).repeat_interleave(8, 3) + LIFT)})
    with torch.no_grad():
        sr = mccgn().restore(model, {"lr": INPUTS["lr"]}, 1)["sr"].numpy()
    expected = (2 * np.kron(2 * INPUTS["lr"].double().numpy() - 1, np.ones((8, 8))) + 0.25 + 1) / 2
    np.testing.assert_allclose(sr, expected.clip(0, 1), atol=1e-5)


def test_what_does_not_fit_is_refused_in_words():
    run = mccgn()
    assert run.unsupported("8_to_64") is None and run.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert run.unsupported("8_to_64_noise") == "not trained on it (its setting kinds)"
    for wrong, reason in (({"kinds": []}, "some of plain, noise, blur_noise"), ({"kinds": ["blur"]}, "some of plain"),
                          ({"text_share": 0.0}, "above 0 and at most 1"), ({"text_share": 1.5}, "above 0 and at most"),
                          ({"convolutions": 3}, "an even number")):
        with pytest.raises(UserError, match=reason):
            mccgn(**wrong)


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run, networks = mccgn(lr=1e-2), None
    shade = torch.tensor([0.1, 0.4, 0.7, 0.9])[:, None, None, None]
    given = {"lr": shade.expand(4, 3, 8, 8), "text_lr": shade.expand(4, 3, 8, 8), "text": shade.expand(4, 3, 64, 64)}
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser = optimiser_of(player, networks)
    values = []
    for _ in range(30):
        loss = player.loss(step_with(given, {"hr": given["text"]}, networks))["mse"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
