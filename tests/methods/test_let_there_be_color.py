"""let_there_be_color: the card's counts, both branches, the joint loss and the classes by hand, a short training."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Model
from restore_ml.methods.colorization.let_there_be_color import GlobalLocalNet, LetThereBeColor, colour_statistics
from restore_ml.nn.initialisation import he
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import SMALL, batch_of, count, error, scene, trained

CONSTANTS = {"mean": np.float32([0.3]), "centres": np.float32([[0, 0, 5, 5], [30, 0, 5, 5], [0, -30, 5, 20]])}


def made(**settings: Any) -> LetThereBeColor:
    method = LetThereBeColor({**SMALL["let_there_be_color"], **settings})
    method.constants = CONSTANTS
    return method


def drawn(**changes: bool) -> GlobalLocalNet:
    """A small network whose signal neither dies nor grows without the statistics of a batch."""
    torch.manual_seed(0)
    network = GlobalLocalNet(4, 3, 32, **changes)
    he(network)
    return network.eval()


def test_the_paper_s_parameters() -> None:
    with torch.device("meta"):
        network = LetThereBeColor({}).build()["colorizer"]
        norms = sum(count(module) for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        parts = {name: count(module) for name, module in network.named_children()}
        colour, logits = network(torch.empty(2, 1, 64, 40), torch.empty(2, 1, 224, 224))
    assert (count(network), count(network) - norms) == (42_363_247, 42_353_839)
    assert parts["scene"] + parts["summary"] == 26_347_264
    assert [parts[name] for name in ("low", "mid", "seen", "classifier", "fusion", "colour")] == [
        2_290_176, 3_541_248, 9_443_328, 184_013, 131_840, 425_378]
    assert colour.shape == (2, 2, 32, 20) and logits.shape == (2, 205)
    assert count(GlobalLocalNet(8)) == 669_763


def test_the_layers() -> None:
    """3 x 3, batch normalisation and ReLU after each but the last; strides and channels of the card's table."""
    network = GlobalLocalNet(8, 5, 64)
    strides = {"low": [2, 1, 2, 1, 2, 1], "mid": [1, 1], "seen": [2, 1, 2, 1], "colour": [1] * 5}
    channels = {"low": [8, 16, 16, 32, 32, 64], "mid": [64, 32], "seen": [64] * 4, "colour": [16, 8, 8, 4, 2]}
    for name, wanted in strides.items():
        found = [layer for layer in getattr(network, name).modules() if isinstance(layer, nn.Conv2d)]
        assert [layer.stride[0] for layer in found] == wanted
        assert [layer.out_channels for layer in found] == channels[name]
        assert all(layer.kernel_size == (3, 3) for layer in found)
    short = {nn.Conv2d: "c", nn.BatchNorm2d: "n", nn.ReLU: "r", nn.Upsample: "u", nn.Sigmoid: "s", nn.Linear: "l"}

    def kinds(part: nn.Module) -> str:
        return "".join(short[type(layer)] for layer in part.modules() if type(layer) in short)

    assert [kinds(getattr(network, name)) for name in ("low", "mid", "seen", "fusion", "colour")] == [
        "cnr" * 6, "cnr" * 2, "cnr" * 4, "cnr", "cnrucnrcnrucnrcs"]
    assert [kinds(getattr(network, name)) for name in ("scene", "summary", "classifier")] == ["lrlr", "lr", "lrl"]
    ups = [layer for layer in network.colour.modules() if isinstance(layer, nn.Upsample)]
    assert all((layer.scale_factor, layer.mode) == (2, "nearest") for layer in ups)


def test_the_fusion_by_hand() -> None:
    """relu(b + W [global; local]) with one global vector of the small picture, through the same low-level layers."""
    network = drawn()
    grey, small = draw(2, 1, 24, 16) - 0.5, draw(2, 1, 32, 32, seed=1) - 0.5
    with torch.no_grad():
        colour, logits = network(grey, small)
        local, scene_vector = network.mid(network.low(grey)), network.scene(network.seen(network.low(small)).flatten(1))
        weight, summary = network.fusion[0].weight[..., 0, 0], network.summary(scene_vector)
        fused = torch.einsum("oc,nc->no", weight[:, :16], summary)[..., None, None] + torch.einsum(
            "oc,nchw->nohw", weight[:, 16:], local) + network.fusion[0].bias.view(1, -1, 1, 1)
        expected = network.colour(functional.relu(network.fusion[1](fused)))
        torch.testing.assert_close(colour, expected)
        torch.testing.assert_close(logits, network.classifier(scene_vector))


def test_another_picture_s_global_vector_changes_the_colours() -> None:
    network = drawn()
    grey, other = draw(1, 1, 32, 32), draw(1, 1, 32, 32, seed=1)
    with torch.no_grad():
        own, itself, transferred = network(grey)[0], network(grey, grey)[0], network(grey, other)[0]
    assert torch.equal(own, itself) and own.shape == transferred.shape == (1, 2, 16, 16)
    assert (own - transferred).abs().max() > 1e-3


def test_without_fusion_the_colours_are_local() -> None:
    network = drawn(fusion=False)
    grey, other = draw(1, 1, 32, 32), draw(1, 1, 32, 32, seed=1)
    with torch.no_grad():
        assert torch.equal(network(grey, other)[0], network(grey)[0])
        assert not torch.equal(network(grey, other)[1], network(grey)[1])
    assert "summary" not in dict(network.named_parameters()) and network.fusion[0].in_channels == 16


def test_the_network_sees_grey_less_its_mean_and_the_whole_picture_made_small() -> None:
    network = Calls(lambda grey, whole=None: (grey, whole))
    lightness = 100 * draw(2, 1, 64, 96)
    made().coloured(network, lightness, CONSTANTS)
    [(grey, whole)] = network.calls
    expected = grey_from_lightness(lightness) - 0.3
    torch.testing.assert_close(grey, expected)
    assert whole.shape == (2, 1, 32, 32)
    # Reduced with antialiasing: each pixel of 1/2 by 1/3 is the mean of its surroundings under a triangle.
    row = np.float32([1, 3, 3, 1]) / 8
    column = np.float32([1, 2, 3, 2, 1]) / 9
    middle = (row[:, None] * column * expected[1, 0, 19:23, 29:34].numpy()).sum()
    assert whole[1, 0, 10, 10].item() == pytest.approx(middle, abs=1e-5)
    network.calls.clear()
    made().coloured(network, lightness[:, :, :32, :32], CONSTANTS)
    assert len(network.calls[0]) == 1  # of its own size already: seen once


def test_both_losses_by_hand() -> None:
    """Mean of (s - (ab / 100 + 1) / 2)^2 over means of 2 x 2 pixels; -alpha log p of the nearest centre."""
    red = 10 * draw(1, 2, 8, 12, seed=3) + torch.tensor([25.0, -5.0]).view(1, 2, 1, 1)
    ab = torch.cat([120 * draw(1, 2, 8, 12, seed=2) - 60, red])
    ab[0, 1] -= 20
    colour, logits = draw(2, 2, 4, 6, seed=4), 3 * draw(2, 3, seed=5)
    method = made(alpha=0.01)
    [player] = method.phases()[0].players
    terms = player.loss(step_with({"L": 100 * draw(2, 1, 8, 12)}, {"ab": ab},
                                  {"colorizer": Calls(lambda grey, whole=None: (colour, logits))}))
    truth = ab.numpy().reshape(2, 2, 4, 2, 6, 2).mean((3, 5))
    statistics = np.concatenate([ab.numpy().mean((2, 3)), ab.numpy().std((2, 3))], 1)
    classes = np.square(statistics[:, None] - CONSTANTS["centres"]).sum(-1).argmin(1)
    assert classes.tolist() == [2, 1]
    log_p = torch.log_softmax(logits.double(), 1).numpy()
    assert list(terms) == ["colour", "classes"]
    assert terms["colour"].item() == pytest.approx(np.square(colour.numpy() - (truth / 100 + 1) / 2).mean(), rel=1e-5)
    assert terms["classes"].item() == pytest.approx(-0.01 * (log_p[0, 2] + log_p[1, 1]) / 2, rel=1e-5)
    np.testing.assert_allclose(colour_statistics(ab), statistics, rtol=1e-5)


def test_the_class_moves_the_shared_and_global_layers_alone() -> None:
    torch.manual_seed(0)
    method = made()
    networks = method.build()
    inputs, target = batch_of(np.stack([scene(1)[:32, :32], scene(2)[:32, :32]]))
    method.loss(step_with(inputs, target, networks))["classes"].backward()
    parts = {name: any(p.grad is not None and p.grad.any() for p in part.parameters())
             for name, part in networks["colorizer"].named_children()}
    assert parts == {"low": True, "mid": False, "seen": True, "scene": True, "summary": False, "classifier": True,
                     "fusion": False, "colour": False}
    networks["colorizer"].zero_grad()
    method.loss(step_with(inputs, target, networks))["colour"].backward()
    reached = {name for name, p in networks["colorizer"].named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[0] for name in reached} == {"low", "mid", "seen", "scene", "summary", "fusion", "colour"}


def test_the_sigmoids_span_a_hundred_units_and_are_enlarged_bilinearly() -> None:
    small = draw(1, 2, 4, 6, seed=6)
    model = Model({"colorizer": Calls(lambda grey, whole=None: (small, None))}, CONSTANTS)
    ab = made().restore(model, {"L": 100 * draw(1, 1, 8, 12)}, 1)["ab"][0].numpy()
    wide = 200 * small[0].numpy() - 100
    expected = [cv2.resize(channel, (12, 8), interpolation=cv2.INTER_LINEAR) for channel in wide]
    np.testing.assert_allclose(ab, expected, atol=1e-3)
    assert np.abs(ab).max() <= 100  # pure blue, b = -107.9, cannot be said


def test_the_recipe() -> None:
    paper = LetThereBeColor.paper
    assert [paper[key] for key in ("alpha", "classes", "steps", "batch", "patch", "side", "optimiser")] == [
        1 / 300, 205, 200_000, 128, 224, 224, "adadelta"]
    for name, kind, rates in (("adadelta", torch.optim.Adadelta, [1, 1, 1]), ("adam", torch.optim.Adam, [1, 0.5, 0.0])):
        method = made(optimiser=name, lr=0.02, schedule="constant" if name == "adadelta" else "cosine")
        [player] = method.phases()[0].players
        optimiser = optimiser_of(player, method.build())
        assert type(optimiser) is kind and optimiser.defaults["lr"] == 0.02
        assert [player.schedule(step, 10) for step in (0, 5, 10)] == pytest.approx(rates)


def test_the_classes_are_clusters_of_crops_of_the_training_pictures(material: Material) -> None:
    """Crops as large as the scenes (48 pixels of 48): the statistics of the six pictures themselves."""
    constants = made(patch=48, prepare_crops=6, classes=2).prepare(material, 1)
    labs = [rgb2lab(record.arrays["rgb"]) for record in material.records]
    rows = np.array([[*lab[..., 1:].mean((0, 1)), *lab[..., 1:].std((0, 1))] for lab in labs])
    own = np.square(rows[:, None] - constants["centres"]).sum(-1).argmin(1)
    expected = [rows[own == k].mean(0) for k in range(2)]  # each centre is the mean of those that are nearest to it
    np.testing.assert_allclose(constants["centres"], expected, atol=0.05)
    grey = [record.arrays["rgb"] for record in material.records]
    lightness = [torch.from_numpy(lab[..., 0]) for lab in labs]
    mean = np.mean([float(grey_from_lightness(one).mean()) for one in lightness])
    assert len(grey) == 6 and constants["mean"].shape == (1,) and constants["mean"][0] == pytest.approx(mean, abs=1e-4)
    many = made(prepare_crops=13, classes=3).prepare(material, 1)
    assert many["centres"].shape == (3, 4) and many["centres"].dtype == many["mean"].dtype == np.float32
    other = made(prepare_crops=13, classes=3).prepare(material, 2)
    assert not np.array_equal(many["centres"], other["centres"])


def test_it_learns_colours_and_classes(project: Path) -> None:
    method, model, _ = trained(project, "let_there_be_color")
    learned, grey = error(method, model)
    assert learned < 0.7 * grey
    pictures = np.stack([scene(number)[:32, :32] for number in range(200, 216)])
    inputs, target = batch_of(pictures)
    assert isinstance(method, LetThereBeColor)
    _, logits = method.coloured(model.networks["colorizer"], inputs["L"], model.arrays)
    statistics = colour_statistics(target["ab"])[:, None] - torch.from_numpy(np.array(model.arrays["centres"]))
    right = (logits.argmax(1) == statistics.square().sum(-1).argmin(1)).float().mean()
    assert right > 0.7


@pytest.mark.parametrize("changes", [{"patch": 30}, {"side": 48}, {"width": 5}, {"prepare_crops": 2}])
def test_settings_are_checked(changes: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        made(**changes)
