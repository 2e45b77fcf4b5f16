"""hypercolumn_larsson: the card's counts, reading hypercolumns, both terms, histograms and decoding by hand."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.color import hsv2rgb, rgb2hsv, rgb2lab
from torch import nn
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Model
from restore_ml.methods.colorization import hypercolumn_larsson
from restore_ml.methods.colorization.hypercolumn_larsson import HypercolumnLarsson, HypercolumnNet, decoded
from restore_ml.nn.initialisation import he
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.colour_project import SMALL, count, error, trained


def made(**settings: Any) -> HypercolumnLarsson:
    return HypercolumnLarsson({**SMALL["hypercolumn_larsson"], **settings})


def drawn() -> HypercolumnNet:
    """A small network in which every map counts, with statistics that are not those of the start."""
    torch.manual_seed(0)
    network = HypercolumnNet(4, 3, 6, 10, dropout=0.0)
    he(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            nn.init.normal_(layer.bias, std=0.3)
    return network.eval()


def test_the_paper_s_parameters() -> None:
    with torch.device("meta"):
        network = HypercolumnLarsson({}).build()["colorizer"]
        assert network.hidden.in_features == 12_417
        assert count(network) == 147_041_024  # in float32 588 MB, the size of the released weights
        logits = network(torch.empty(2, 1, 64, 64), torch.zeros(2, 5, 2))
    assert [one.shape for one in logits] == [(2, 5, 32)] * 2


def test_the_layers() -> None:
    network = HypercolumnNet(8, 5, 24, 16, dropout=0.4)
    short = {nn.Conv2d: "c", nn.BatchNorm2d: "n", nn.ReLU: "r", nn.Dropout: "d"}
    kinds = ["".join(short[type(layer)] for layer in stage.modules() if type(layer) in short)
             for stage in network.stages]
    assert kinds == ["cnrcnr", "cnrcnr", "cnrcnrcnr", "cnrcnrcnr", "cnrcnrcnr", "cnrdcnrd"]
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [8, 8, 16, 16, 32, 32, 32, *[64] * 6, 24, 24]
    assert [layer.kernel_size[0] for layer in convolutions] == [*[3] * 13, 7, 1]
    assert not any(layer.affine for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.4}
    assert len([layer for layer in network.modules() if isinstance(layer, nn.Dropout)]) == 3  # fc6, fc7, the head
    maps = network.eval().maps(draw(1, 1, 64, 96))
    assert [tuple(one.shape[-2:]) for one in maps] == [
        (64, 96)] * 3 + [(32, 48)] * 2 + [(16, 24)] * 3 + [(8, 12)] * 3 + [(4, 6)] * 3 + [(2, 3)] * 2
    torch.testing.assert_close(maps[0], draw(1, 1, 64, 96) - 0.4488)


def test_each_stage_sees_the_largest_of_two_by_two() -> None:
    network = drawn()
    with torch.no_grad():
        maps = network.maps(draw(2, 1, 16, 24))
        for before, after, stage in ((2, 3, 1), (4, 5, 2), (7, 8, 3)):
            seen = maps[before]
            largest = seen.view(2, -1, seen.shape[2] // 2, 2, seen.shape[3] // 2, 2).amax((3, 5))
            torch.testing.assert_close(maps[after], network.stages[stage][0](largest))


def test_the_start_is_that_of_the_code() -> None:
    torch.manual_seed(1)
    network = HypercolumnNet(16, 3, 16, 64)
    assert network.hidden.weight.std().item() == pytest.approx(1e-4, rel=0.05)
    layer = network.stages[2][1][0]
    assert layer.weight.abs().max().item() == pytest.approx(np.sqrt(3 / (9 * 64)), rel=0.02)
    assert not any(parameter.any() for name, parameter in network.named_parameters() if name.endswith("bias"))


def test_a_hypercolumn_reads_every_map_bilinearly_at_the_pixel() -> None:
    network, grey = drawn(), draw(2, 1, 24, 16)
    places = torch.tensor([[[0, 0], [23, 15], [7, 9]], [[11, 3], [0, 15], [16, 8]]])
    with torch.no_grad():
        maps = [one.numpy() for one in network.maps(grey)]
        hue, chroma = network(grey, places)
    for n in range(2):
        large = [cv2.resize(channel, (16, 24), interpolation=cv2.INTER_LINEAR) for one in maps for channel in one[n]]
        columns = np.stack(large)[:, places[n, :, 0], places[n, :, 1]].T
        assert columns.shape == (3, 1 + 4 * 2 + 8 * 2 + 16 * 3 + 6 * 2)
        hidden = functional.relu(network.hidden(torch.from_numpy(columns)))
        torch.testing.assert_close(hue[n], network.hue(hidden), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(chroma[n], network.chroma(hidden), atol=1e-4, rtol=1e-4)


def test_the_head_drops_of_its_hidden_units() -> None:
    """In training both heads see the same units, about 60 % of them 0 and the others enlarged."""
    torch.manual_seed(0)
    network, grey = HypercolumnNet(4, 3, 6, 50, dropout=0.6), draw(2, 1, 16, 16)
    nn.init.zeros_(network.hidden.weight)
    nn.init.ones_(network.hidden.bias)
    seen: list[torch.Tensor] = []
    for head in (network.hue, network.chroma):
        head.register_forward_hook(lambda module, arguments, output: seen.append(arguments[0]))
    network(grey, torch.zeros(2, 9, 2, dtype=torch.long))
    assert torch.equal(*seen) and seen[0].unique().tolist() == pytest.approx([0, 2.5])
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.6, abs=0.08)


def test_what_is_told_everywhere_is_what_is_told_at_each_pixel() -> None:
    network, grey = drawn(), draw(2, 1, 16, 24)
    places = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(24), indexing="ij"), -1).view(1, -1, 2)
    with torch.no_grad():
        sparse, dense = network(grey, places.expand(2, -1, -1)), network.everywhere(grey)
    for one, other in zip(sparse, dense, strict=True):
        torch.testing.assert_close(one.transpose(1, 2).reshape(2, 32, 16, 24), other, atol=1e-4, rtol=1e-4)


def test_hue_and_chroma_equal_scikit_image() -> None:
    rgb = draw(2, 3, 9, 7)
    rgb[0, :, 0] = torch.tensor([0.5, 0.5, 0.5]).view(3, 1)
    rgb[0, :, 1, :3] = torch.eye(3)  # red, green, blue
    hue, chroma = hypercolumn_larsson.hue_and_chroma(rgb)
    hsv = rgb2hsv(rgb.movedim(1, -1).numpy())
    np.testing.assert_allclose(hue[:, 0].numpy(), hsv[..., 0], atol=1e-5)
    np.testing.assert_allclose(chroma[:, 0].numpy(), hsv[..., 1] * hsv[..., 2], atol=1e-6)
    assert (hue[0, 0, 0] == 0).all()


def histogram(values: np.ndarray, row: int, column: int) -> np.ndarray:
    window = values[row - 3 : row + 4, column - 3 : column + 4]
    return np.bincount(np.minimum((window * 32).astype(int), 31).ravel(), minlength=32) / 49


def test_the_local_histograms_by_hand() -> None:
    values = draw(2, 1, 12, 15)
    values[0, 0, 4, 4] = 1.0  # the last bin, not one behind it
    places = torch.tensor([[[3, 3], [8, 11]], [[5, 7], [4, 3]]])
    found = hypercolumn_larsson.histograms(values, places).numpy()
    for n, p in np.ndindex(2, 2):
        np.testing.assert_allclose(found[n, p], histogram(values[n, 0].numpy(), *places[n, p].tolist()), atol=1e-6)


def test_both_terms_by_hand() -> None:
    """5 c KL(hue) and min(1, 3 g, 3 (1 - g)) KL(chroma), averaged over all drawn pixels."""
    rgb, lightness = draw(2, 3, 32, 32), 100 * draw(2, 1, 32, 32, seed=1)
    rgb[0, :, :, :20] *= 0.2  # dark
    rgb[1] = 1 - 0.3 * rgb[1]  # bright
    logits = [3 * draw(2, 11, 32, seed=2), 3 * draw(2, 11, 32, seed=3)]
    network = Calls(lambda grey, places: logits)
    method = made(pixels=11, margin=5)
    [player] = method.phases()[0].players
    terms = player.loss(step_with({"L": lightness}, {"rgb": rgb}, {"colorizer": network}))
    [(grey, places)] = network.calls
    torch.testing.assert_close(grey, grey_from_lightness(lightness))
    assert places.shape == (2, 11, 2) and places.min() >= 5 and places.max() < 32 - 5
    hue_term, chroma_term, hsv = 0.0, 0.0, rgb2hsv(rgb.movedim(1, -1).numpy())
    for n, p in np.ndindex(2, 11):
        row, column = places[n, p].tolist()
        pixel = rgb[n, :, row, column].numpy()
        g, c = pixel.mean(), pixel.max() - pixel.min()
        for number, values in enumerate((hsv[n, ..., 0], hsv[n, ..., 1] * hsv[n, ..., 2])):
            wanted = histogram(values, row, column)
            log_p = logits[number][n, p].double().log_softmax(0).numpy()
            some = wanted > 0
            divergence = (wanted[some] * (np.log(wanted[some]) - log_p[some])).sum()
            if number == 0:
                hue_term += 5 * c * divergence / 22
            else:
                chroma_term += min(1, 3 * g, 3 * (1 - g)) * divergence / 22
    assert list(terms) == ["hue", "chroma"]
    assert terms["hue"].item() == pytest.approx(hue_term, rel=1e-3)
    assert terms["chroma"].item() == pytest.approx(chroma_term, rel=1e-3)


def test_the_pixels_are_drawn_over_the_whole_inside_in_either_direction() -> None:
    network = Calls(lambda grey, places: [torch.zeros(*places.shape[:2], 32)] * 2)
    inputs, target = {"L": 100 * draw(1, 1, 32, 32)}, {"rgb": draw(1, 3, 32, 32)}
    made(pixels=4000, margin=8).loss(step_with(inputs, target, {"colorizer": network}))
    places = network.calls[0][1][0]
    for axis in range(2):
        assert sorted(set(places[:, axis].tolist())) == list(range(8, 24))
    assert np.corrcoef(places.T.numpy())[0, 1] < 0.1


def colour_by_hand(g: float, p: np.ndarray, q: np.ndarray, fading: float) -> np.ndarray:
    """The card's decoding of one pixel: hue distribution p, chroma distribution q."""
    middles = (np.arange(32) + 0.5) / 32
    c = middles[np.nonzero(np.cumsum(q) >= 0.5)[0][0]]
    mean = (p * np.exp(2j * np.pi * middles)).mean()
    c *= min(abs(mean), fading) / fading if fading else 1.0
    hsv = [np.angle(mean) / (2 * np.pi) % 1, 2 * c / (2 * g + c), g + c / 2]
    rgb = hsv2rgb(np.clip(hsv, 0, 1))
    return np.clip(rgb - rgb.mean() + g, 0, 1)


@pytest.mark.parametrize("fading", [0.03, 0.01, 0.0])
def test_the_decoding_by_hand(fading: float) -> None:
    grey = draw(1, 1, 5, 6)
    hue, chroma = (4 * draw(1, 32, 5, 6, seed=1)).softmax(1), (9 * draw(1, 32, 5, 6, seed=2)).softmax(1)
    for column in range(6):  # certain hues: at its bin's middle
        hue[0, :, 2, column] = functional.one_hot(torch.tensor(5 * column), 32)
    found = decoded(grey, hue, chroma, fading)[0].numpy()
    for y, x in np.ndindex(5, 6):
        expected = colour_by_hand(float(grey[0, 0, y, x]), hue[0, :, y, x].numpy(), chroma[0, :, y, x].numpy(), fading)
        np.testing.assert_allclose(found[:, y, x], expected, atol=2e-4)


def test_an_unknown_hue_fades_to_grey_and_the_grey_mean_is_kept() -> None:
    grey = torch.linspace(0.3, 0.6, 8).view(1, 1, 1, 8)
    hue, chroma = torch.full((1, 32, 1, 8), 1 / 32), torch.zeros(1, 32, 1, 8)
    chroma[:, 6] = 1
    faded = decoded(grey, hue, chroma, 0.03)
    torch.testing.assert_close(faded, grey.expand(-1, 3, -1, -1), atol=1e-4, rtol=0)
    hue = functional.one_hot(torch.tensor(3), 32).float().view(1, 32, 1, 1).expand(-1, -1, 1, 8)
    vivid = decoded(grey, hue, chroma, 0.03)
    torch.testing.assert_close(vivid.mean(1, keepdim=True), grey)
    assert (vivid.amax(1) - vivid.amin(1) - 6.5 / 32).abs().max() < 1e-3  # the very chroma
    black = decoded(torch.zeros(1, 1, 1, 1), hue[..., :1], 0 * chroma[..., :1] + 1 / 32, 0.03)
    assert torch.isfinite(black).all() and black.max() <= 1


def test_restoring_gives_the_picture_and_its_ab() -> None:
    class Told(nn.Module):
        def everywhere(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.grey = grey
            return 4 * draw(1, 32, 6, 5, seed=1), 4 * draw(1, 32, 6, 5, seed=2)

    network, lightness = Told(), 100 * draw(1, 1, 6, 5)
    output = made(fading=0.02).restore(Model({"colorizer": network}), {"L": lightness}, 1)
    grey = grey_from_lightness(lightness)
    torch.testing.assert_close(network.grey, grey)
    hue, chroma = ((4 * draw(1, 32, 6, 5, seed=seed)).softmax(1) for seed in (1, 2))
    expected = decoded(grey, hue, chroma, 0.02)
    torch.testing.assert_close(output["rgb"], expected)
    np.testing.assert_allclose(output["ab"][0].movedim(0, -1).numpy(),
                               rgb2lab(expected[0].movedim(0, -1).numpy())[..., 1:], atol=2e-3)
    torch.testing.assert_close(output["ab"], rgb_to_lab(expected)[:, 1:])


def test_the_recipe() -> None:
    paper = HypercolumnLarsson.paper
    assert [paper[key] for key in ("hue_weight", "fading", "pixels", "margin", "patch", "batch")] == [
        5.0, 0.03, 128, 96, 352, 8]
    method = HypercolumnLarsson({"width": 4, "blocks": 2, "wide": 4, "hidden": 4})
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, method.build())
    assert isinstance(optimiser, torch.optim.SGD)
    weights, biases = optimiser.param_groups
    assert [weights[key] for key in ("lr", "momentum", "weight_decay")] == [1e-3, 0.9, 5e-4]
    assert [biases[key] for key in ("lr", "momentum", "weight_decay")] == [2e-3, 0.9, 0]
    assert all(parameter.ndim > 1 for parameter in weights["params"])
    assert all(parameter.ndim == 1 for parameter in biases["params"])
    assert [player.schedule(step, 2_000_000) for step in (999_999, 1_000_000, 1_500_000, 1_750_000)] == pytest.approx(
        [1, 0.1, 0.01, 0.001])
    [short] = made(schedule="cosine").phases()[0].players
    assert isinstance(optimiser_of(short, made().build()), torch.optim.Adam)
    assert [short.schedule(step, 10) for step in (0, 5, 10)] == pytest.approx([1, 0.5, 0])


def test_it_learns(project: Path) -> None:
    method, model, _ = trained(project, "hypercolumn_larsson")
    learned, grey = error(method, model)
    assert learned < 0.8 * grey


@pytest.mark.parametrize("changes", [{"margin": 2}, {"margin": 16}, {"patch": 36}, {"blocks": 6}])
def test_settings_are_checked(changes: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        made(**changes)
