"""structure_crf_vae: the decoder of unaries and embeddings, the terms, the phases, a person's points, by hand."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Context, Model
from restore_ml.methods.colorization.div_vae_mdn import DivVaeMdn
from restore_ml.methods.colorization.structure_crf_vae import FieldDecoder, StructureCrfVae
from restore_ml.nn.colour_mixture import Mixture
from restore_ml.nn.colour_vae import AB_SCALE, ColourDecoder, GreyEncoder, at_side, colour_terms, scaled_lightness
from restore_ml.nn.gaussian_field import GaussianField
from tests.methods.by_hand import Calls, draw, optimiser_of
from tests.methods.colour_project import count

SMALL: dict[str, Any] = {
    "width": 4, "latent": 3, "components": 3, "mixture_widths": [4, 4, 4, 4, 4], "hidden": 8, "feature_channels": 8,
    "feature_side": 16, "start": "he", "mix": 0.5, "steps": {"vae": 4, "field": 6, "mdn": 5}, "batch": 2, "patch": 32,
    "embedding": 3, "radius": 1, "partners": 4, "iterations": 10}
RGB = draw(2, 3, 32, 32, seed=4)
LAB = rgb_to_lab(RGB)


def made(**settings: Any) -> StructureCrfVae:
    method = StructureCrfVae({**SMALL, **settings})
    method.constants = {"rarity": np.linspace(0.5, 2, 313).astype(np.float32)}
    return method


class Split(nn.Module):
    """A network that gives two tensors, held by parameters."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, *arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
        self.calls.append(arguments)
        return self.first, self.second


def networks() -> dict[str, Any]:
    return {"encoder": Split(draw(2, 3), draw(2, 3, seed=1) - 1),
            "grey": Calls(lambda grey: grey.mean((1, 2, 3))),
            "decoder": Split(0.5 * draw(2, 2, 32, 32, seed=2), draw(2, 3, 32, 32, seed=3))}


def step(nets: dict[str, Any], number: int) -> Context:
    return Context({"L": LAB[:, :1]}, {"ab": LAB[:, 1:]}, ["a"] * 2, nets, step=number, steps=6,
                   generator=torch.Generator().manual_seed(0))


def test_the_paper_s_networks_are_those_of_the_autoencoder_and_the_two_heads() -> None:
    with torch.device("meta"):
        paper = StructureCrfVae({}).build()
        parent = DivVaeMdn({}).build()
    assert [count(paper[name]) for name in ("encoder", "grey", "mixture")] == [14_594_048, 4_626_368, 117_851_336]
    assert count(paper["decoder"]) - count(parent["decoder"]) == 128 * 16 + 16
    assert StructureCrfVae({}).field.there.shape == (24 + 32, 1024)
    assert not any(True for _ in GaussianField(8).parameters())


def test_the_decoder_gives_unaries_and_embeddings_of_its_trunk() -> None:
    torch.manual_seed(0)
    decoder, maps = FieldDecoder(4, 3, 0.1, 5).eval(), GreyEncoder(4, 3, 0.1).eval()(draw(2, 1, 64, 64))
    z = draw(2, 3, seed=1)
    assert isinstance(decoder.colours, ColourDecoder)
    trunk = decoder.colours.trunk(z, maps)
    unary, embedding = decoder(z, maps)
    assert trunk.shape == (2, 4, 32, 32) and unary.shape == (2, 2, 32, 32) and embedding.shape == (2, 5, 32, 32)
    torch.testing.assert_close(unary, decoder.colours.last(trunk))
    torch.testing.assert_close(embedding, F.conv2d(trunk, decoder.embed.weight, decoder.embed.bias))
    last = next(decoder.colours.layers[-1].parameters())
    for part in (unary, embedding):
        assert torch.autograd.grad(part.square().sum(), last, retain_graph=True)[0].any()


@pytest.mark.parametrize("phase", ["vae", "field"])
def test_the_autoencoder_s_terms_by_hand(phase: str) -> None:
    """The unaries are compared on the lattice; the divergence's weight rises over both phases; the field's L1 is the
    mean distance of the solved colours."""
    method, nets = made(kl=0.3, l1=2.5, balance=0.5, temperature=0.2), networks()
    terms = (method.vae_loss if phase == "vae" else method.field_loss)(step(nets, 3))
    unary, embedding = nets["decoder"].first, nets["decoder"].second
    truth = at_side(LAB[:, 1:], (32, 32)) / 128
    expected = colour_terms(unary, truth, torch.from_numpy(method.constants["rarity"]))
    mean, log_variance = nets["encoder"].first, nets["encoder"].second
    noise = torch.randn((2, 3), generator=torch.Generator().manual_seed(0))
    z, maps = nets["decoder"].calls[0]
    torch.testing.assert_close(z, mean + noise * (log_variance / 2).exp())
    torch.testing.assert_close(maps, scaled_lightness(at_side(LAB[:, :1])).mean((1, 2, 3)))
    torch.testing.assert_close(nets["encoder"].calls[0][0], at_side(LAB[:, 1:]) / 128)
    for name in ("colour", "edges"):
        torch.testing.assert_close(terms[name], expected[name])
    kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
    torch.testing.assert_close(terms["divergence"], 0.3 * (3 if phase == "vae" else 7) / 10 * kl)
    assert set(terms) == {"colour", "edges", "divergence"} | ({"l1"} if phase == "field" else set())
    assert torch.autograd.grad(terms["colour"], nets["decoder"].second, allow_unused=True, retain_graph=True)[0] is None
    if phase == "field":
        solved = GaussianField(32, 1, 4, 10)(0.5 * unary, embedding, 0.5, 0.2)
        torch.testing.assert_close(terms["l1"], 2.5 * (solved - truth).abs().mean())
        for part in (nets["decoder"].first, nets["decoder"].second):
            assert torch.autograd.grad(terms["l1"], part, retain_graph=True)[0].any()


def test_the_phases() -> None:
    method = made(lr=0.02, mdn_lr=0.03)
    nets = method.build()
    phases = method.phases()
    assert [(phase.name, phase.steps) for phase in phases] == [("vae", 4), ("field", 6), ("mdn", 5)]
    for phase, loss in zip(phases[:2], (method.vae_loss, method.field_loss), strict=True):
        [player] = phase.players
        assert player.networks == ["encoder", "grey", "decoder"] and player.loss == loss
        optimiser = optimiser_of(player, nets)
        assert isinstance(optimiser, torch.optim.Adam)
        assert (optimiser.defaults["lr"], optimiser.defaults["eps"]) == (0.02, 1e-6)
    assert phases[2].players[0].networks == ["mixture"] and list(phases[2].frozen_norm) == ["encoder"]
    assert phases[2].players[0].loss == method.mixture_loss
    paper, parent = StructureCrfVae.paper, DivVaeMdn.paper
    assert paper["steps"] == {"vae": 0, "field": parent["steps"]["vae"], "mdn": parent["steps"]["mdn"]}
    assert [paper[key] for key in ("embedding", "radius", "partners", "iterations", "balance", "temperature",
                                   "hint_weight")] == [16, 3, 32, 20, 1.0, 1.0, 1e3]
    assert all(paper[key] == parent[key] for key in parent if key != "steps")
    assert method.stored_networks == ("grey", "decoder", "mixture") and isinstance(nets["decoder"], FieldDecoder)
    assert method.field.there.shape == (4 + 4, 1024) and method.field.iterations == 10
    small = made(start="small").build()["decoder"].embed.weight
    assert small.std() < 0.002 < nets["decoder"].embed.weight.std()
    assert (nets["decoder"].colours.last[1].weight == 1).all()


@pytest.mark.parametrize("changes", [{"balance": 0.0}, {"hint_weight": 0.0}, {"temperature": -1.0}])
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        made(**changes)


# --- restoring --------------------------------------------------------------------------------------------------------


def restoring(**settings: Any) -> tuple[StructureCrfVae, Model]:
    """Three components whose means differ; the decoder's unaries are the first numbers of z."""
    means = torch.tensor([[0.1, 0.2, 0.0], [0.5, -0.4, 0.0], [-0.3, 0.3, 0.0]])
    mixture = Calls(lambda features: Mixture(means.expand(len(features), 3, 3),
                                             torch.tensor([0.0, 2.0, 1.0]).expand(len(features), 3)))  # type: ignore[return-value]
    decoder = Calls(lambda z, maps: (z[:, :2, None, None] + 0.1 * draw(1, 2, 32, 32),  # type: ignore[return-value]
                                     draw(len(z), 3, 32, 32)))
    method = made(**settings)
    method.features = lambda slots, lightness: lightness  # type: ignore[method-assign,assignment]
    return method, Model({"mixture": mixture, "grey": Calls(lambda grey: grey), "decoder": decoder})


def test_restore_solves_each_result_and_enlarges_it() -> None:
    method, model = restoring(balance=0.6, temperature=0.5)
    lightness = LAB[:, :1, :, :20]
    output = method.restore(model, {"L": lightness}, 5)
    assert output["drawn"].shape == (2, 16, 32, 20) and torch.equal(output["drawn"][:, :2], output["ab"])
    torch.testing.assert_close(model.networks["grey"].calls[0][0], scaled_lightness(at_side(lightness)))
    for number, place in enumerate((1, 2, 0)):  # by their weights
        z = torch.tensor([[0.1, 0.2], [0.5, -0.4], [-0.3, 0.3]])[place].view(1, 2, 1, 1)
        solved = GaussianField(32, 1, 4, 10)(0.6 * (z + 0.1 * draw(1, 2, 32, 32)).expand(2, -1, -1, -1),
                                             draw(2, 3, 32, 32), 0.6, 0.5)
        expected = F.interpolate(128 * solved, (32, 20), mode="bilinear", align_corners=False)
        torch.testing.assert_close(output["drawn"][:, 2 * number:2 * number + 2], expected, rtol=1e-4, atol=1e-3)
    assert not torch.equal(output["drawn"][:, 6:8], output["drawn"][:, 8:10])  # draws
    assert torch.equal(method.restore(model, {"L": lightness}, 5)["drawn"], output["drawn"])
    assert AB_SCALE == 128


def test_a_person_s_points_are_kept_and_change_their_surroundings_alone() -> None:
    """Points at twice the lattice's size; two in one pixel of the lattice give it their mean."""
    method, model = restoring(iterations=30)
    inputs = {"L": 50 * torch.ones(1, 1, 64, 64), "hint": torch.zeros(1, 2, 64, 64),
              "hinted": torch.zeros(1, 1, 64, 64)}
    plain = method.restore(model, inputs, 5)["ab"]
    for row, column, colour in ((10, 20, (60.0, -40.0)), (11, 21, (40.0, -20.0)), (50, 50, (-30.0, 20.0))):
        inputs["hint"][0, :, row, column], inputs["hinted"][0, 0, row, column] = torch.tensor(colour), 1
    given = method.restore(model, inputs, 5)
    assert set(given) == {"ab"} and given["ab"].shape == (1, 2, 64, 64)
    unary, embedding = model.networks["decoder"](torch.tensor([[0.5, -0.4, 0.0]]), None)
    lattice = 128 * method.solved(unary, embedding, inputs)
    torch.testing.assert_close(given["ab"], F.interpolate(lattice, (64, 64), mode="bilinear", align_corners=False))
    assert lattice[0, :, 5, 10].tolist() == pytest.approx([50, -30], abs=1e-2 * 128)
    assert lattice[0, :, 25, 25].tolist() == pytest.approx([-30, 20], abs=1e-2 * 128)
    place, colour = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    for row, column, ab in ((5, 10, (50.0, -30.0)), (25, 25, (-30.0, 20.0))):
        place[..., row, column], colour[..., row, column] = 1, torch.tensor(ab) / 128
    expected = GaussianField(32, 1, 4, 30)(unary + 1e3 * place * colour, embedding, 1.0, 1.0, 1e3 * place)
    torch.testing.assert_close(lattice / 128, expected)
    change = (given["ab"] - plain).abs().mean(1)[0]
    assert change[10, 20] > 5 * change[30:40, 20:30].mean()
    none = {**inputs, "hint": torch.zeros(1, 2, 64, 64), "hinted": torch.zeros(1, 1, 64, 64)}
    torch.testing.assert_close(method.restore(model, none, 5)["ab"], plain)


def test_without_links_it_is_the_autoencoder_and_with_them_flat_regions_vary_less() -> None:
    method, model = restoring(temperature=0.0)
    lightness = {"L": LAB[:1, :1]}
    plain = method.restore(model, lightness, 5)["ab"]
    unary, _ = model.networks["decoder"](torch.tensor([[0.5, -0.4, 0.0]]), None)
    torch.testing.assert_close(plain, 128 * unary, rtol=1e-4, atol=1e-3)
    other, model = restoring(temperature=1.0)
    assert other.restore(model, lightness, 5)["ab"].var((2, 3)).max() < 0.5 * plain.var((2, 3)).min()
