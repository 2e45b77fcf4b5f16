from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import color, feature
from torch import Tensor, nn

from restore_ml.data import shards
from restore_ml.errors import UserError
from restore_ml.method import Context, Method, Model
from restore_ml.methods.inpainting import context_encoder, edge_connect, glcic, partial_conv
from restore_ml.nn.features import FeatureNet
from restore_ml.restoration import restore
from restore_ml.tasks.base import Material
from tests.methods.holes import batch

SMALL: dict[str, dict[str, Any]] = {
    "partial_conv": {"widths": [8, 8, 8], "patch": 32, "batch": 4},
    "context_encoder": {"width": 4, "bottleneck": 16, "disc_width": 4, "patch": 32, "overlap": 2},
    "glcic": {"width": 4, "dilations": [2, 1], "disc_width": 4, "disc_hidden": 8, "patch": 32, "optimiser": "adam",
              "lr": 2e-3, "valid_weight": 1.0},
    "edge_connect": {"width": 4, "blocks": 1, "disc_width": 4, "sigma": 1.0, "patch": 32,
                     "steps": {"edge": 2, "inpaint_gt_edges": 2, "inpaint_predicted": 2, "joint": 2}},
}
METHODS = {"partial_conv": partial_conv.METHOD, "context_encoder": context_encoder.METHOD, "glcic": glcic.METHOD,
           "edge_connect": edge_connect.METHOD}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def make(name: str, **settings: Any) -> Method:
    method = METHODS[name](SMALL[name] | settings)
    method.constants = {"mean": np.array([0.4, 0.5, 0.6], np.float32)}
    return method


def context(networks: dict[str, nn.Module], step: int = 0, features: Any = None) -> Context:
    inputs, target = batch()
    return Context(inputs, target, ["a", "b", "c", "d"], networks, step=step, steps=1, slots={"features": features},
                   generator=torch.Generator().manual_seed(step))


def play(method: Method, networks: dict[str, nn.Module], player: Any, shared: Context) -> dict[str, Tensor]:
    terms = player.loss(shared)
    total = sum(terms.values(), torch.zeros(()))
    total.backward(inputs=[p for name in player.networks for p in networks[name].parameters()])
    return terms


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        counts = {name: {key: count(network) for key, network in cls({}).build().items()}
                  for name, cls in METHODS.items()}
        seven = partial_conv.METHOD({"widths": [64, 128, 256, 512, 512, 512, 512]}).build()
        judge = glcic.METHOD({}).build()["discriminator"]
        without_norm = sum(p.numel() for module in glcic.completion(64, [2, 4, 8, 16]).modules()
                           if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for p in module.parameters())
    assert sum(counts["partial_conv"].values()) == 32_859_732
    assert sum(count(network) for network in seven.values()) == 25_779_796
    assert counts["context_encoder"] == {"generator": 71_130_531, "discriminator": 2_766_529}
    assert counts["glcic"] == {"completion": 6_072_131, "discriminator": 45_063_681}
    assert without_norm == 6_066_179
    assert isinstance(judge, glcic.Discriminator)
    assert (count(judge.local), count(judge.whole)) == (19_253_248, 25_808_384)
    assert counts["edge_connect"] == {"edges": 10_761_089, "colours": 10_774_595, "edge_judge": 2_762_752,
                                      "colour_judge": 2_763_776}


@pytest.mark.parametrize("name", METHODS)
def test_every_phase_moves_its_own_networks_alone(name: str) -> None:
    torch.manual_seed(0)
    method = make(name)
    networks = method.build()
    features = FeatureNet(2, "minivgg-01234567").requires_grad_(False)
    for phase in method.phases():
        shared = context(networks, features=features)
        for player in phase.players:
            for network in networks.values():
                network.zero_grad()
            terms = play(method, networks, player, shared)
            assert all(torch.isfinite(term) for term in terms.values()) and terms
            moved = {key for key, network in networks.items()
                     if any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())}
            assert moved == set(player.networks), (phase.name, player.name)


@pytest.mark.parametrize("name", METHODS)
def test_training_lowers_the_error_in_the_hole(name: str) -> None:
    torch.manual_seed(0)
    method = make(name, **({"lr": 3e-3} if name != "glcic" else {"lr": 5e-3, "width": 8}))
    networks = method.build()
    phase = method.phases()[1 if name == "edge_connect" else 0]
    optimisers = [player.optimiser([p for key in player.networks for p in networks[key].parameters()])
                  for player in phase.players]

    def error() -> float:
        inputs, target = batch()
        for network in networks.values():
            network.eval()
        with torch.no_grad():
            made = method.restore(Model(networks), inputs, 1)["image"]
        for network in networks.values():
            network.train()
        return float(((made - target["image"]).square() * inputs["mask"]).sum())

    for step in range(80):
        shared = context(networks, step)
        for player, optimiser in zip(phase.players, optimisers, strict=True):
            optimiser.zero_grad()
            play(method, networks, player, shared)
            optimiser.step()
        if step == 2:
            first = error()
    assert error() < 0.63 * first  # 2 dB


@pytest.mark.parametrize("name", METHODS)
def test_values_under_the_hole_tell_nothing_and_known_pixels_stay(name: str) -> None:
    torch.manual_seed(0)
    method = make(name)
    model = Model({key: network.eval() for key, network in method.build().items()})
    rng = np.random.default_rng(2)
    image, mask = rng.integers(0, 256, (38, 45, 3), dtype=np.uint8), np.zeros((38, 45, 1), np.uint8)
    mask[9:29, 11:34] = 1
    other = np.where(mask > 0, 255 - image, image)
    first = restore(method, model, {"image": image, "mask": mask}, 1)["image"]
    assert np.array_equal(first, restore(method, model, {"image": other, "mask": mask}, 1)["image"])
    assert first.shape == image.shape and np.array_equal(first[mask[..., 0] == 0], image[mask[..., 0] == 0])


def test_partial_conv_terms_and_frozen_normalisation() -> None:
    method = make("partial_conv")
    networks = method.build()
    plain = method.phases()[0].players[0].loss(context(networks))
    assert set(plain) == {"valid", "hole", "tv"}
    named = method.phases()[0].players[0].loss(context(networks, features=FeatureNet(2, "imagenet-89abcdef")))
    assert set(named) - set(plain) == {"perceptual@imagenet-89abcdef", "style@imagenet-89abcdef"}
    assert [list(phase.frozen_norm) for phase in method.phases()] == [[], ["encoder"]]
    assert method.phases()[1].players[0].schedule(0, 1) == pytest.approx(5e-5 / 2e-4)


def test_context_encoder_variants() -> None:
    centre = make("context_encoder")
    assert isinstance(centre, context_encoder.ContextEncoder)
    assert centre.unsupported("centre") is None and centre.unsupported("strokes")
    weight = centre.weight(torch.zeros(2, 1, 32, 32))
    assert weight.shape == (2, 1, 16, 16) and (weight[..., 2:-2, 2:-2] == 1).all()
    assert int((weight == 10).sum()) == 2 * (16 * 16 - 12 * 12)
    assert centre.build()["generator"](torch.rand(2, 3, 32, 32)).shape == (2, 3, 16, 16)
    with torch.device("meta"):
        whole = context_encoder.METHOD({"variant": "random"}).build()
        x = torch.zeros(2, 3, 128, 128)
        assert whole["generator"](x).shape == x.shape and whole["discriminator"](x).shape == (2, 1, 1, 1)
        squeezed = context_encoder.METHOD({}).build()["generator"][:18](x)
        assert squeezed.shape == (2, 4000, 1, 1)
        layer = context_encoder.ChannelFC(512, 4)
    assert layer.weight.numel() == 512 * 4**4
    shown = centre.shown({"image": torch.rand(1, 3, 4, 4), "mask": torch.ones(1, 1, 4, 4)})
    assert shown[0, :, 0, 0].tolist() == pytest.approx([2 * value / 255 - 1 for value in (117, 104, 123)])
    with pytest.raises(UserError, match="power of 2"):
        make("context_encoder", patch=48)


def test_channel_layer_mixes_places_of_one_channel_before_channels() -> None:
    torch.manual_seed(0)
    layer = context_encoder.ChannelFC(3, 2)
    with torch.no_grad():
        layer.mix.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        layer.mix.bias.zero_()  # type: ignore[union-attr]
    x = torch.rand(1, 3, 2, 2)
    for channel in range(3):
        expected = x[0, channel].flatten() @ layer.weight[channel]
        torch.testing.assert_close(layer(x)[0, channel].flatten(), expected)


def test_glcic_sizes_and_receptive_field() -> None:
    assert glcic.receptive_field([2, 4, 8, 16]) == 307 and glcic.receptive_field([1, 1, 1, 1]) == 99
    torch.manual_seed(0)
    network = glcic.completion(2, [2, 4, 8, 16]).eval()
    with torch.no_grad():  # positive weights and no dead units: every path counts
        for p in network.parameters():
            p.abs_()
    x = torch.rand(1, 4, 360, 360, requires_grad=True)
    # Before the sigmoid, in float64: the outermost paths carry little.
    made = network.double()[:-1](x.double())
    for place in (180, 181):
        gradient, = torch.autograd.grad(made[0, 0, place, place], x, retain_graph=True)
        rows = torch.nonzero(gradient[0].abs().sum((0, 2))).flatten()
        assert int(rows[-1] - rows[0] + 1) in (299, 303)
    assert glcic.completion(2, [1])(torch.rand(2, 4, 20, 28)).shape == (2, 3, 20, 28)


def test_glcic_patches_lie_at_the_hole() -> None:
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 10:20, 4:8] = 1
    mask[1, :, 28:, 28:] = 1
    corners = glcic.around(mask, 16)
    assert corners.tolist() == [[7, 0], [16, 16]]
    cut = glcic.patches(mask, corners, 16)
    assert cut.shape == (2, 1, 16, 16) and cut.sum() == mask.sum()
    assert [phase.steps for phase in glcic.METHOD({}).phases()] == [90_000, 10_000, 400_000]


def test_glcic_mean_colour(tmp_path: Path) -> None:
    images = [np.full((4, 6, 3), value, np.uint8) for value in (0, 255)]
    images[0][..., 1] = 51
    shards.write(tmp_path / "a.arrow", [shards.Record(str(n), {"image": image}) for n, image in enumerate(images)])
    mean = glcic.METHOD({}).prepare(Material(tmp_path), 1)["mean"]
    assert mean.tolist() == pytest.approx([0.5, 0.6, 0.5]) and mean.dtype == np.float32


def test_edges_equal_canny_outside_the_hole_and_its_rim_gives_none() -> None:
    from skimage.data import astronaut

    picture = torch.from_numpy(astronaut()[:96, 150:246].astype(np.float32) / 255).permute(2, 0, 1)[None]
    grey = edge_connect.rgb_to_grey(picture)
    np.testing.assert_allclose(grey[0, 0].numpy(), color.rgb2gray(picture[0].permute(1, 2, 0).numpy()), atol=1e-6)
    whole = edge_connect.canny(grey, 2.0)
    assert np.array_equal(whole[0, 0].numpy() > 0, feature.canny(grey[0, 0].numpy(), sigma=2.0))
    flat, mask = torch.full((1, 1, 48, 48), 0.5), torch.zeros(1, 1, 48, 48)
    mask[..., 16:32, 16:32] = 1
    assert edge_connect.canny(flat * (1 - mask), 2.0, mask).sum() == 0
    assert edge_connect.canny(flat * (1 - mask), 2.0).sum() > 0


def test_precision_and_recall_of_guessed_edges_rise_in_the_first_phase() -> None:
    """Counted inside the hole at a threshold of 0.5, on stripes that go on through it."""
    torch.manual_seed(0)
    y, x = np.mgrid[:32, :32]
    stripes = np.stack([((x if number % 2 else y) + 3 * number) // 8 % 2 for number in range(6)]) * 0.8 + 0.1
    truth = torch.from_numpy(stripes.astype(np.float32))[:, None].repeat(1, 3, 1, 1)
    mask = torch.zeros(6, 1, 32, 32)
    mask[..., 8:-8, 8:-8] = 1
    method = make("edge_connect", width=8, disc_width=8, lr=2e-3, betas=[0.5, 0.9])
    assert isinstance(method, edge_connect.EdgeConnect)
    networks, players = method.build(), method.phases()[0].players
    optimisers = [player.optimiser([p for key in player.networks for p in networks[key].parameters()])
                  for player in players]
    grey = edge_connect.rgb_to_grey(truth)
    edges = edge_connect.canny(grey, 1.0)

    def precision_and_recall() -> tuple[float, float]:
        with torch.no_grad():
            guessed = (method.guess(networks["edges"], grey, edges, mask) > 0.5) & (mask > 0)
        wanted = (edges > 0) & (mask > 0)
        hits = float((guessed & wanted).sum())
        return hits / max(1.0, float(guessed.sum())), hits / float(wanted.sum())

    before = precision_and_recall()
    for step in range(60):
        shared = Context({"image": truth * (1 - mask), "mask": mask}, {"image": truth}, list("abcdef"), networks,
                         step=step, steps=60, generator=torch.Generator().manual_seed(step))
        for player, optimiser in zip(players, optimisers, strict=True):
            optimiser.zero_grad()
            play(method, networks, player, shared)
            optimiser.step()
    after = precision_and_recall()
    assert before[0] < 0.5 and after[0] > 0.9 and after[1] > max(0.9, before[1])


def test_edge_connect_shows_white_in_the_hole_and_composed_edges() -> None:
    method = make("edge_connect")
    assert isinstance(method, edge_connect.EdgeConnect)
    networks = method.build()
    seen: dict[str, Tensor] = {}
    for name in ("edges", "colours"):
        networks[name].register_forward_pre_hook(lambda module, given, name=name: seen.update({name: given[0]}))
    inputs, target = batch()
    mask = inputs["mask"]
    shared = context(networks)
    method.phases()[2].players[1].loss(shared)
    assert seen["edges"].shape[1] == 3 and seen["colours"].shape[1] == 4
    assert (seen["edges"][:, :1][mask > 0] == 1).all() and (seen["edges"][:, 1:2][mask > 0] == 0).all()
    assert (seen["colours"][:, :3][mask.expand(-1, 3, -1, -1) > 0] == 1).all()
    truth = edge_connect.canny(edge_connect.rgb_to_grey(target["image"]), 1.0)
    assert torch.equal(seen["colours"][:, 3:][mask == 0], truth[mask == 0])
    named = [phase.name for phase in method.phases()]
    assert named == ["edge", "inpaint_gt_edges", "inpaint_predicted", "joint"]
    assert [phase.name for phase in edge_connect.METHOD({}).phases()] == named[:3]
