"""udc_gan: networks at paper size and layer by layer, both players' terms by hand, clipping, noise, restoring."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.color import rgb2lab, rgb2yuv, yuv2rgb
from torch import nn

from restore_ml.base.errors import SettingError
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Context, Model
from restore_ml.methods.colorization import udc_gan
from restore_ml.methods.colorization.udc_gan import Critic, Generator, UdcGan
from restore_ml.nn.colour_vae import at_side
from restore_ml.seeds import derive
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import batch_of, count, scene

SMALL: dict[str, Any] = {"width": 8, "disc_width": 4, "noise": 5, "side": 16, "critic_steps": 2, "steps": 4, "batch": 2,
                         "patch": 16}
INPUTS, TARGET = {"L": 30 + 40 * draw(2, 1, 16, 16)}, {"rgb": draw(2, 3, 16, 16, seed=1)}
LIFT = nn.Parameter(torch.tensor(0.1))


def made(**settings: Any) -> UdcGan:
    return UdcGan({**SMALL, **settings})


def test_parameters_at_paper_size() -> None:
    with torch.device("meta"):
        assert count(Generator(maps=1)) == 895_350 and count(Critic()) == 4_832_769 == count(Critic(norm="layer"))
        paper = UdcGan({}).build()
    assert len(paper["generator"].noise) == 3 and isinstance(paper["critic"].convolutions[3], nn.BatchNorm2d)
    assert len(made(multi_noise=False).build()["generator"].noise) == 1


@pytest.mark.parametrize("maps", [1, 3])
def test_the_generator_takes_the_grey_in_every_layer_and_noise_in_the_first_half(maps: int) -> None:
    torch.manual_seed(0)
    network = Generator(8, 5, 16, maps).eval()
    grey, noise = 2 * draw(2, 1, 16, 16) - 1, 2 * draw(2, maps, 5, seed=1) - 1
    x = torch.zeros(2, 0, 16, 16)
    for place, layer in enumerate(network.layers):
        spread = [F.linear(noise[:, place], network.noise[place].weight).view(2, 1, 16, 16) / np.sqrt(1 + 1e-5)] \
            if place < maps else []
        x = F.conv2d(torch.cat([grey, *(one.relu() for one in spread), x], 1), layer[0].weight, layer[0].bias,
                     padding=3 if place == 0 else 2)
        x = (x / np.sqrt(1 + 1e-5)).relu() if place < 5 else x.tanh()
    torch.testing.assert_close(network(grey, noise), x, rtol=1e-4, atol=1e-6)
    assert [layer[0].out_channels for layer in network.layers] == [8, 4, 4, 4, 2, 2]
    assert [layer[0].kernel_size[0] for layer in network.layers] == [7, 5, 5, 5, 5, 5]
    assert (network(grey, noise) != network(grey, -noise)).any()  # two z, two colourings


def test_the_critic_layer_by_layer() -> None:
    torch.manual_seed(0)
    network, yuv = Critic(4, 32).eval(), 2 * draw(2, 3, 32, 32) - 1
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.convolutions if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.out_channels for layer in convolutions] == [4, 8, 16, 32] and len(norms) == 3
    x = yuv
    for place, layer in enumerate(convolutions):
        x = F.conv2d(x, layer.weight, layer.bias, 2, 2)
        x = F.leaky_relu(x / np.sqrt(1 + 1e-5) if place else x, 0.2)
    scores = F.linear(F.linear(x.flatten(1), network.hidden.weight), network.score.weight)
    torch.testing.assert_close(network(yuv), scores[:, :, None, None], rtol=1e-3, atol=1e-7)
    assert network.hidden.out_features == 64 and network(yuv).shape == (2, 1, 1, 1)


def test_with_a_penalty_a_score_is_a_picture_s_own() -> None:
    networks, yuv = made(gradient_penalty=10.0, side=32).build(), 2 * draw(3, 3, 32, 32) - 1
    torch.testing.assert_close(networks["critic"](yuv)[:1], networks["critic"](yuv[:1]))
    plain = made(side=32).build()["critic"]
    assert not torch.allclose(plain(yuv)[:1], plain(yuv[:1]), rtol=1e-3)


def test_the_first_weights() -> None:
    torch.manual_seed(0)
    network = Critic(16, 32)
    convolution = network.convolutions[5]
    assert convolution.weight.abs().max() <= 0.04 and convolution.weight.std().item() == pytest.approx(0.0176, rel=0.03)
    assert network.hidden.weight.std().item() == pytest.approx(0.02, rel=0.03) and network.hidden.weight.max() > 0.05
    assert not any(layer.bias.any() for layer in (convolution, network.hidden, network.score))
    assert (network.convolutions[3].weight == 1).all()
    generator = Generator(16, 50, 32)
    convolution, linear = generator.layers[1][0], generator.noise[1]
    assert convolution.weight.abs().max() <= 0.04 and convolution.weight.std().item() == pytest.approx(0.0176, rel=0.05)
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.03) and linear.weight.max() > 0.05
    assert not any(layer.bias.any() for layer in (convolution, linear))


def players() -> dict[str, nn.Module]:
    """A generator that says Y times its first noise, and a critic that weighs the three planes."""
    generator = Calls(lambda grey, noise: torch.cat([grey * noise[:, 0, :1, None, None], 0 * grey + 0.3], 1) * LIFT)
    critic = Calls(lambda yuv: (yuv * torch.tensor([5.0, 1.0, -2.0]).view(1, 3, 1, 1)).mean((1, 2, 3), keepdim=True))
    return {"generator": generator, "critic": critic}


def score(yuv: np.ndarray) -> float:
    return float((yuv * np.array([5.0, 1.0, -2.0]).reshape(1, 3, 1, 1)).mean())


def true_and_grey() -> tuple[np.ndarray, np.ndarray]:
    grey = 2 * grey_from_lightness(INPUTS["L"]).numpy() - 1
    yuv = np.moveaxis(rgb2yuv(np.moveaxis(TARGET["rgb"].numpy(), 1, -1)), -1, 1)
    return np.concatenate([grey, yuv[:, 1:2] / 0.436, yuv[:, 2:] / 0.615], 1), grey


def test_the_critic_s_terms() -> None:
    """The true colours' score is to rise, the made ones' to fall, both beside the grey of the input; the generator gets
    no gradient."""
    networks = players()
    terms = made().critic_loss(step_with(INPUTS, TARGET, networks))
    true, grey = true_and_grey()
    noise = networks["generator"].calls[0][1].numpy()
    fake = np.concatenate([grey, 0.1 * grey * noise[:, 0, :1, None, None], 0.03 + 0 * grey], 1)
    assert set(terms) == {"real", "fake"} and not any(term.requires_grad for term in terms.values())
    assert terms["real"].item() == pytest.approx(-score(true), rel=1e-4)
    assert terms["fake"].item() == pytest.approx(score(fake), rel=1e-4)


def test_the_generator_s_term_and_its_noise() -> None:
    """The score of pictures of other noise than the critic saw; no pixel of the truth is looked at."""
    networks = players()
    step = Context(INPUTS, {}, ["a"] * 2, networks, step=0, steps=10, generator=torch.Generator().manual_seed(0))
    seen = made().made(step, 2 * grey_from_lightness(INPUTS["L"]) - 1)
    terms = made().generator_loss(step)
    first, second = (call[1] for call in networks["generator"].calls)
    assert first.shape == (2, 3, 5) and not torch.equal(first, second) and seen.shape == (2, 2, 16, 16)
    _, grey = true_and_grey()
    fake = np.concatenate([grey, 0.1 * grey * second.numpy()[:, 0, :1, None, None], 0.03 + 0 * grey], 1)
    assert set(terms) == {"adversarial"} and terms["adversarial"].item() == pytest.approx(-score(fake), rel=1e-4)
    assert torch.autograd.grad(terms["adversarial"], LIFT)[0].abs() > 0
    many = made(noise=4000).made(Context(INPUTS, {}, [], networks, step=0, steps=1, generator=torch.Generator()),
                                 INPUTS["L"])
    assert many is not None
    drawn = networks["generator"].calls[-1][1]
    assert -1 <= drawn.min() < -0.99 and 0.99 < drawn.max() <= 1 and drawn.mean().abs() < 0.02


def test_the_penalty_is_weighted_and_taken_between_true_and_made_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(udc_gan, "gradient_penalty", lambda *given: (taken.append(given), torch.tensor(0.3))[1])
    networks = players()
    terms = made(gradient_penalty=4.0).critic_loss(step_with(INPUTS, TARGET, networks))
    assert terms["penalty"].item() == pytest.approx(1.2)
    critic, shown, mixed = taken[0]
    true, grey = true_and_grey()
    assert critic is networks["critic"] and np.allclose(shown.numpy(), grey, atol=1e-6)
    fake = networks["generator"](*networks["generator"].calls[0]).detach().numpy()
    shares = (mixed.numpy() - fake) / (true[:, 1:] - fake)
    sure = np.abs(true[:, 1:] - fake) > 0.3
    spread = [share[where] for share, where in zip(shares, sure, strict=True)]
    assert all(one.std() < 1e-3 and 0 < one.mean() < 1 for one in spread)
    assert abs(spread[0].mean() - spread[1].mean()) > 1e-3  # each picture has its own


def test_the_weights_of_the_critic_are_clipped_and_no_others() -> None:
    method = made(clip=0.015)
    networks = method.build()
    before = {name: value.clone() for name, value in networks["generator"].state_dict().items()}
    with torch.no_grad():
        method.clipped(step_with(INPUTS, TARGET, networks))
    weights = [one.detach() for one in networks["critic"].parameters()]
    assert max(one.abs().max() for one in weights) == pytest.approx(0.015)
    assert (networks["critic"].convolutions[3].weight == torch.tensor(0.015)).all()
    assert min(one.min() for one in weights) == pytest.approx(-0.015)
    assert all(torch.equal(value, before[name]) for name, value in networks["generator"].state_dict().items())


def test_phases_players_and_optimisers() -> None:
    method = made(lr=0.5, disc_lr=0.25)
    networks, [phase] = method.build(), method.phases()
    critic, generator = phase.players
    assert (critic.name, critic.networks, critic.every) == ("critic", ["critic"], 1)
    assert (generator.name, generator.networks, generator.every) == ("generator", ["generator"], 2)
    assert (critic.loss, generator.loss) == (method.critic_loss, method.generator_loss)
    assert critic.after == method.clipped and generator.after is None
    first, second = optimiser_of(critic, networks), optimiser_of(generator, networks)
    assert isinstance(first, torch.optim.RMSprop) and first.defaults["alpha"] == 0.9
    assert (first.defaults["lr"], second.defaults["lr"]) == (0.25, 0.5)
    critic, generator = made(gradient_penalty=10.0).phases()[0].players
    adam = optimiser_of(critic, networks)
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["betas"] == (0.5, 0.999) and critic.after is None


def test_restore_by_hand() -> None:
    """U and V of each draw at their scale, enlarged, joined to the grey of the input; its ab, and RGB of the first."""
    method = made()
    generator = Calls(lambda grey, noise: noise[:, 0, :2, None, None].expand(-1, -1, 16, 16) * 0.1 + 0 * grey)
    lightness = 40 + 20 * draw(2, 1, 24, 20)
    output = method.restore(Model({"generator": generator}), {"L": lightness}, 7)
    assert {name: tuple(value.shape) for name, value in output.items()} == {
        "ab": (2, 2, 24, 20), "drawn": (2, 16, 24, 20), "rgb": (2, 3, 24, 20)}
    torch.testing.assert_close(output["ab"], output["drawn"][:, :2])
    grey = grey_from_lightness(lightness).numpy()
    for number in (0, 5):
        draws = torch.Generator().manual_seed(derive(7, "draw", number))
        noise = (2 * torch.rand(1, 3, 5, generator=draws) - 1).numpy()
        assert np.allclose(generator.calls[number][1][1].numpy(), noise[0])
        uv = np.broadcast_to(0.1 * noise[:, 0, :2, None, None] * np.array([0.436, 0.615]).reshape(1, 2, 1, 1),
                             (2, 2, 24, 20))
        rgb = yuv2rgb(np.moveaxis(np.concatenate([grey, uv], 1), 1, -1))
        expected = np.moveaxis(rgb2lab(rgb)[..., 1:], -1, 1)
        np.testing.assert_allclose(output["drawn"][:, 2 * number:2 * number + 2].numpy(), expected, atol=2e-2)
        if number == 0:
            np.testing.assert_allclose(output["rgb"].numpy(), np.moveaxis(rgb, -1, 1), atol=1e-4)
    torch.testing.assert_close(generator.calls[0][0], 2 * grey_from_lightness(at_side(lightness, (16, 16))) - 1)


def test_colours_that_no_screen_shows_are_cut_off_in_rgb() -> None:
    generator = Calls(lambda grey, noise: torch.tensor([0.9, -0.8]).view(1, 2, 1, 1) + 0 * grey)
    lightness = torch.full((1, 1, 16, 16), 20.0)
    luma = grey_from_lightness(lightness).numpy()
    yuv = np.concatenate([luma, np.full_like(luma, 0.9 * 0.436), np.full_like(luma, -0.8 * 0.615)], 1)
    rgb = yuv2rgb(np.moveaxis(yuv, 1, -1))
    assert rgb.min() < -0.1
    expected = np.moveaxis(rgb2lab(rgb.clip(0, 1))[..., 1:], -1, 1)
    output = made().restore(Model({"generator": generator}), {"L": lightness}, 7)
    np.testing.assert_allclose(output["ab"].numpy(), expected, atol=2e-2)
    np.testing.assert_allclose(output["rgb"].numpy(), np.moveaxis(rgb.clip(0, 1), -1, 1), atol=1e-4)


def test_a_side_that_cannot_be_halved_four_times_is_refused() -> None:
    with pytest.raises(SettingError, match="multiple of 16"):
        made(side=40)


def test_a_few_steps_part_true_and_made_colours_and_then_bring_them_nearer() -> None:
    torch.manual_seed(1)
    method = made(gradient_penalty=10.0, side=32, lr=2e-3, disc_lr=1e-3)
    networks = method.build()
    inputs, target = batch_of(np.stack([scene(number)[:32, :32] for number in range(4)]))
    for player, least in zip(method.phases()[0].players, (4.0, 0.1), strict=True):
        optimiser, losses = optimiser_of(player, networks), []
        for number in range(12):
            context = Context(inputs, target, ["a"] * 4, networks, step=0, steps=1,
                              generator=torch.Generator().manual_seed(number))
            loss = sum(player.loss(context).values(), torch.zeros(()))
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward(inputs=[one for group in optimiser.param_groups for one in group["params"]])
            optimiser.step()
        assert np.median(losses[4:]) < losses[0] - least
