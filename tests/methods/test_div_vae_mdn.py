"""div_vae_mdn: both phases' terms by hand, who moves what, what is drawn, and that both phases learn."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.base.errors import SettingError, UserError
from restore_ml.method import Context, Model
from restore_ml.methods.colorization.colorful_colorization import ColorfulNet
from restore_ml.methods.colorization.div_vae_mdn import DivVaeMdn
from restore_ml.nn.ab_classes import classes_of_histogram
from restore_ml.nn.colour_mixture import Mixture, conv7_3, mixture_loss
from restore_ml.nn.colour_vae import at_side, class_rarity, colour_terms, divergence
from restore_ml.seeds import derive
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of
from tests.methods.colour_project import batch_of, scene

SMALL: dict[str, Any] = {"width": 4, "latent": 4, "components": 3, "mixture_widths": [6, 5, 4, 4, 3], "hidden": 16,
                         "feature_channels": 16, "feature_side": 32, "start": "he", "momentum": 0.1, "mix": 0.5,
                         "steps": {"vae": 4, "mdn": 3}, "batch": 3, "patch": 32, "lr": 3e-3, "mdn_optimiser": "adam",
                         "mdn_lr": 3e-3}


def made(**settings: Any) -> DivVaeMdn:
    method = DivVaeMdn({**SMALL, **settings})
    method.constants = {"rarity": np.linspace(1, 4, 313, dtype=np.float32)}
    return method


def slot() -> dict[str, Any]:
    torch.manual_seed(3)
    return {"parts": (None, Model({"colorizer": ColorfulNet(2).eval().requires_grad_(False)}))}


class Encoder(nn.Module):
    """One that says the same of all colours, and remembers what it was asked."""

    def __init__(self, mean: torch.Tensor) -> None:
        super().__init__()
        self.mean, self.calls = mean, []  # type: ignore[var-annotated]

    def forward(self, ab: torch.Tensor, dropped: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls.append((ab, dropped))
        return self.mean * 1, ab


def step(networks: dict[str, nn.Module], number: int = 3, size: int = 32) -> Context:
    inputs = {"L": 20 + 60 * draw(2, 1, size, size)}
    target = {"ab": 60 * draw(2, 2, size, size, seed=1) - 30}
    return Context(inputs, target, ["a"] * 2, networks, step=number, steps=10,
                   generator=torch.Generator().manual_seed(0), slots=slot())


def test_the_terms_of_the_autoencoder() -> None:
    method = made(kl=0.5)
    log_variance = torch.full((2, 4), -1.0)
    encoder = Calls(lambda ab: (ab.mean((1, 2, 3))[:, None].expand(2, 4) * 40, log_variance))
    grey = Calls(lambda x: (x,))
    decoder = Calls(lambda z, maps: (z[:, :2, None, None] * maps[0]).tanh())
    context = step({"encoder": encoder, "grey": grey, "decoder": decoder}, size=64)
    terms = method.vae_loss(context)
    ab, lightness = context.target["ab"] / 128, context.inputs["L"]
    torch.testing.assert_close(encoder.calls[0][0], ab)
    torch.testing.assert_close(grey.calls[0][0], (lightness * 2.55 - 128) / 128)
    mean = 40 * ab.mean((1, 2, 3))[:, None].expand(2, 4)
    noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    z = mean + noise * np.exp(-0.5)
    torch.testing.assert_close(decoder.calls[0][0], z)
    pixels = colour_terms((z[:, :2, None, None] * grey.calls[0][0]).tanh(), ab,
                          torch.from_numpy(method.constants["rarity"]))
    assert set(terms) == {"colour", "edges", "divergence"}
    assert terms["colour"].item() == pytest.approx(pixels["colour"].item(), rel=1e-5)
    assert terms["edges"].item() == pytest.approx(pixels["edges"].item(), rel=1e-5)
    assert terms["divergence"].item() == pytest.approx(0.5 * 0.3 * divergence(mean, log_variance).item(), rel=1e-5)
    encoder_first = method.vae_loss(step(context.networks, number=0, size=64))
    assert encoder_first["divergence"].item() == 0


def test_the_autoencoder_s_loss_reaches_its_three_networks_and_not_the_mixture() -> None:
    method = made()
    networks = method.build()
    sum(method.vae_loss(step(networks)).values(), torch.zeros(())).backward()
    reached = {name: [one.grad is not None and bool(one.grad.any()) for one in network.parameters()]
               for name, network in networks.items()}
    assert all(all(reached[name]) for name in ("encoder", "grey", "decoder")) and not any(reached["mixture"])


def test_the_mixture_learns_the_mean_of_the_code_from_the_features() -> None:
    method = made()
    networks = method.build()
    context = step(networks)
    mean = draw(2, 4, seed=9).requires_grad_(True)
    encoder = networks["encoder"] = Encoder(mean)
    mixture = Mixture(draw(2, 3, 4), draw(2, 3).requires_grad_(True))
    networks["mixture"] = mixer = Calls(lambda features: mixture)
    terms = method.mixture_loss(context)
    assert set(terms) == {"mixture"}
    assert terms["mixture"].item() == pytest.approx(mixture_loss(mixture, mean).item(), rel=1e-6)
    [(ab, dropped)] = encoder.calls
    assert ab.shape == (2, 2, 64, 64) and ab.abs().max() < 0.25 and dropped is False
    trunk = context.slots["parts"][1].networks["colorizer"].trunk
    torch.testing.assert_close(mixer.calls[0][0], conv7_3(trunk, context.inputs["L"], 16))
    terms["mixture"].backward()
    assert mean.grad is None


def test_the_features_are_taken_at_a_size_of_their_own() -> None:
    method, [lightness] = made(feature_side=64), [50 * draw(1, 1, 40, 48)]
    assert method.features(slot(), lightness).shape == (1, 16, 8, 8)
    assert made().features(slot(), lightness).shape == (1, 16, 4, 4)
    for nothing in ({}, {"parts": (None, Model({"generator": nn.Identity()}))}):
        with pytest.raises(UserError, match="holds no run of colorful_colorization; name one"):
            made().features(nothing, lightness)


def test_phases_players_and_optimisers() -> None:
    method = made(mdn_optimiser="sgd", mdn_lr=0.25, lr=0.125)
    networks = method.build()
    first, second = method.phases()
    assert (first.name, first.steps, second.name, second.steps) == ("vae", 4, "mdn", 3)
    assert list(first.frozen_norm) == [] and list(second.frozen_norm) == ["encoder"]
    [coder], [mixer] = first.players, second.players
    assert (coder.networks, mixer.networks) == (["encoder", "grey", "decoder"], ["mixture"])
    assert (coder.loss, mixer.loss) == (method.vae_loss, method.mixture_loss)
    adam, plain = optimiser_of(coder, networks), optimiser_of(mixer, networks)
    assert isinstance(adam, torch.optim.Adam) and isinstance(plain, torch.optim.SGD)
    assert (adam.defaults["lr"], adam.defaults["eps"], plain.defaults["lr"]) == (0.125, 1e-6, 0.25)
    assert isinstance(optimiser_of(made().phases()[1].players[0], networks), torch.optim.Adam)


def test_networks_and_first_weights() -> None:
    with torch.device("meta"):
        counts = {name: sum(one.numel() for one in network.parameters())
                  for name, network in DivVaeMdn({}).build().items()}
    assert counts == {"encoder": 14_594_048, "grey": 4_626_368, "decoder": 26_865_542, "mixture": 117_851_336}
    torch.manual_seed(0)
    small, he = made(start="small").build(), made(start="he").build()
    for name in small:
        weights = [one for one in small[name].parameters() if one.dim() > 1]
        assert all(one.std() < 0.0015 for one in weights)
    assert all(one.std() > 0.02 for one in he["decoder"].parameters() if one.dim() > 1)
    assert (he["decoder"].last[1].weight == 0.1).all() and (small["decoder"].last[1].weight == 1).all()
    norms = [one for network in small.values() for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert len(norms) == 4 + 4 + 5 + 5 and {(one.eps, one.momentum) for one in norms} == {(1e-4, 0.1)}


def test_rarity_comes_from_the_training_pictures(material: Material) -> None:
    counts = material.pool("ab_histogram").find("ab_histogram").arrays["counts"]
    found = DivVaeMdn({**SMALL, "sigma": 7.0, "mix": 0.25}).prepare(material, 1)
    np.testing.assert_array_equal(found["rarity"], class_rarity(classes_of_histogram(counts), 7.0, 0.25))


def model_of(logits: list[float]) -> Model:
    """A mixture whose component k has z = (k + 1) / 8 in every number, and a decoder that says z itself."""
    means = (torch.arange(3.0) + 1)[None, :, None].expand(1, 3, 4) / 8
    mixture = Calls(lambda features: Mixture(means.expand(len(features), -1, -1),
                                             torch.tensor([logits]).expand(len(features), -1)))
    decoder = Calls(lambda z, maps: z[:, :2, None, None].expand(-1, -1, 64, 64) + 0 * maps[0])
    return Model({"mixture": mixture, "grey": Calls(lambda x: (x,)), "decoder": decoder}, slots=slot())


def test_the_means_come_first_by_their_likelihood_then_draws() -> None:
    lightness = 50 * draw(1, 1, 40, 56)
    model = model_of([0.0, 2.0, 1.0])
    output = made().restore(model, {"L": lightness}, 5)
    [(shown,)], [(features,)] = model.networks["grey"].calls, model.networks["mixture"].calls
    torch.testing.assert_close(shown, (2.55 * at_side(lightness) - 128) / 128)
    torch.testing.assert_close(features, conv7_3(model.slots["parts"][1].networks["colorizer"].trunk,
                                                 at_side(lightness, (32, 32)), 16))
    assert output["ab"].shape == (1, 2, 40, 56) and output["drawn"].shape == (1, 16, 40, 56)
    torch.testing.assert_close(output["ab"], output["drawn"][:, :2])
    values = output["drawn"][0, :, 3, 3].view(8, 2)
    assert values[:3, 0].tolist() == pytest.approx([128 * 2 / 8, 128 * 3 / 8, 128 / 8], rel=1e-5)
    assert len({round(value, 3) for value in values[:, 0].tolist()}) == 8
    again, other = (made().restore(model_of([0.0, 2.0, 1.0]), {"L": lightness}, seed)["drawn"] for seed in (5, 6))
    assert torch.equal(again, output["drawn"]) and torch.equal(other[:, :6], again[:, :6])
    assert (other[:, 6:] != again[:, 6:]).all()


def test_draws_alone_come_from_seeds_of_their_own() -> None:
    method, lightness = made(sampling="mixture"), 50 * draw(1, 1, 64, 64)
    output = method.restore(model_of([0.0, 0.0, 0.0]), {"L": lightness}, 5)
    for number in (0, 7):
        draws = torch.Generator().manual_seed(derive(5, "draw", number))
        share, noise = torch.rand(1, generator=draws).item(), torch.randn(4, generator=draws)
        z = (1 + int(share * 3)) / 8 + np.sqrt(0.1) * noise[:2]
        torch.testing.assert_close(output["drawn"][0, 2 * number:2 * number + 2, 0, 0], 128 * z.float(), rtol=1e-4,
                                   atol=1e-3)


@pytest.mark.parametrize(("setting", "value", "reason"), [
    ("feature_side", 60, "multiple of 8"), ("mixture_widths", [4, 4], "five numbers"),
    ("start", "large", "small or he"), ("sampling", "best", "means or mixture"),
    ("mdn_optimiser", "rmsprop", "sgd or adam")])
def test_settings_that_make_no_sense_are_refused(setting: str, value: Any, reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        made(**{setting: value})


def test_both_phases_learn_and_the_results_differ() -> None:
    method = made(lr=1e-2)
    torch.manual_seed(1)
    networks = method.build()
    inputs, target = batch_of(np.stack([scene(number) for number in range(3)]))
    for phase in method.phases():
        [player] = phase.players
        optimiser, losses = optimiser_of(player, networks), []
        for number in range(25):
            context = Context(inputs, target, ["a"] * 3, networks, step=0, steps=10, slots=slot(),
                              generator=torch.Generator().manual_seed(number))
            loss = sum(player.loss(context).values(), torch.zeros(()))
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward(inputs=[one for group in optimiser.param_groups for one in group["params"]])
            optimiser.step()
        assert np.mean(losses[-5:]) < 0.8 * losses[0]
    model = Model({name: networks[name].eval() for name in method.stored_networks}, slots=slot())
    with torch.no_grad():
        drawn = method.restore(model, {"L": inputs["L"][:1]}, 1)["drawn"].view(8, 2, 48, 48)
    errors = (drawn - target["ab"][0]).square().sum(1).mean((1, 2)).sqrt()
    assert errors.min() < errors[0] and drawn.var(0).mean() > 0  # a code of 25 steps says little beside the grey
