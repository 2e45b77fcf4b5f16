"""wavelet_srnet: its four terms, its layers, its counts and its restoring, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.wavelet_srnet import Residual, WaveletSRNet, energy
from restore_ml.nn.haar_packet import haar_kernels
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with

INPUTS = {"lr": draw(2, 3, 8, 8), "scale": torch.tensor([8, 8])}
TARGET = {"hr": draw(2, 3, 64, 64, seed=1), "hr_attributes": torch.zeros(2, 40)}
GIVEN = 0.6 * draw(2, 192, 8, 8, seed=2) - 0.3
LIFT = nn.Parameter(torch.tensor(0.1))
SMALL = {"patch": 64, "width": 4, "stages": 2, "blocks": 1, "band_width": 2}


def srnet(**settings):
    return registry.method("face_super_resolution", "wavelet_srnet", {**SMALL, **settings})


def net() -> nn.Module:
    """One that gives GIVEN and 0.1 more, whatever it sees."""
    return Calls(lambda lr: GIVEN + LIFT)


def packet(pictures: np.ndarray) -> np.ndarray:
    """N x 3 x 64 x 64 to N x 64 bands x 3 x 8 x 8, block by block."""
    blocks = pictures.reshape(len(pictures), 3, 8, 8, 8, 8).transpose(0, 1, 2, 4, 3, 5)
    return np.einsum("ncyxij,bij->nbcyx", blocks, haar_kernels(3).double().numpy())


TRUTH = packet(TARGET["hr"].double().numpy())
MADE = (GIVEN.double().numpy() + 0.1).reshape(2, 64, 3, 8, 8)


def test_the_four_terms_by_hand():
    """Sums of squares over twice the number of faces, not means; too little detail as a mean. Squares of the picture
    sum to the same as those of its coefficients."""
    run = srnet()
    terms = run.loss(step_with(INPUTS, TARGET, {"net": net()}))
    error = MADE - TRUTH
    lack = np.maximum(1.2 * np.square(TRUTH[:, 1:]).sum(2) - np.square(MADE[:, 1:]).sum(2), 0)
    assert (lack == 0).any() and (lack > 0).any()
    by_hand = {"detail": 0.99 * np.square(error[:, 1:]).sum() / 4, "low": 0.01 * np.square(error[:, :1]).sum() / 4,
               "image": 0.1 * np.square(error).sum() / 4, "texture": lack.mean()}
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(by_hand, rel=1e-4)
    slopes = {name: torch.autograd.grad(term, LIFT, retain_graph=True)[0].item() for name, term in terms.items()}
    assert slopes == pytest.approx({
        "detail": 0.99 * error[:, 1:].sum() / 2, "low": 0.01 * error[:, :1].sum() / 2, "image": 0.1 * error.sum() / 2,
        "texture": -(2 * MADE[:, 1:].sum(2) * (lack > 0)).mean()}, rel=1e-3)


def test_the_weights_are_settings():
    weights = {"detail_weight": 2.0, "low_weight": 3.0, "image_weight": 4.0, "texture_weight": 5.0}
    step = step_with(INPUTS, TARGET, {"net": net()})
    usual, other = srnet().loss(step), srnet(**weights).loss(step)
    ratios = {name: (other[name] / usual[name]).item() for name in usual}
    assert ratios == pytest.approx({"detail": 2 / 0.99, "low": 300.0, "image": 40.0, "texture": 5.0}, rel=1e-4)


@pytest.mark.parametrize(("factor", "cost"), [(1.0, 0.2), (1.1, 0.0), (0.5, 0.95)])
def test_the_texture_term_is_not_least_at_the_truth(factor, cost):
    """As released: 1.2 times the true energy is asked of every band, so that the truth costs a fifth of its own energy
    and details 1.1 times as strong nothing (1.21 is more than 1.2)."""
    right = torch.from_numpy(TRUTH.reshape(2, 192, 8, 8)).float() * factor
    terms = srnet().loss(step_with(INPUTS, TARGET, {"net": Calls(lambda lr: right)}))
    assert terms["texture"].item() == pytest.approx(cost * np.square(TRUTH[:, 1:]).sum(2).mean(), rel=1e-4, abs=1e-9)
    if factor == 1:
        assert sum(terms[name].item() for name in ("detail", "low", "image")) == pytest.approx(0, abs=1e-6)


def test_energy_sums_the_colours_of_a_band():
    coefficients = torch.arange(12.0).reshape(1, 6, 2, 1)
    assert energy(coefficients).flatten().tolist() == [0 + 4 + 16, 1 + 9 + 25, 36 + 64 + 100, 49 + 81 + 121]


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "count"), [(2, 51_353_968), (3, 74_999_296), (4, 226_203_712)])
def test_the_card_s_numbers_of_parameters(levels, count):
    with torch.device("meta"):
        network = WaveletSRNet(levels)
        paper = registry.method("face_super_resolution", "wavelet_srnet", {}).build()["net"]
    assert sum(p.numel() for p in network.parameters()) == count
    assert levels != 3 or sum(p.numel() for p in paper.parameters()) == count


def residual(x: torch.Tensor, block: Residual, groups: int, first_groups: int) -> torch.Tensor:
    """The sum stands before the last batch norm and ReLU."""
    def normal(x, norm):
        return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)

    inner = functional.relu(normal(functional.conv2d(x, block.first.weight, padding=1, groups=first_groups),
                                   block.norm))
    inner = functional.conv2d(inner, block.second.weight, padding=1, groups=groups)
    shortcut = x if isinstance(block.shortcut, nn.Identity) else functional.conv2d(x, block.shortcut.weight)
    return functional.relu(normal(shortcut + inner, block.sum_norm))


def test_the_network_layer_by_layer():
    torch.manual_seed(1)
    network, x = WaveletSRNet(3, width=4, stages=2, blocks=2, band_width=2).eval(), draw(2, 3, 8, 8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2), nn.init.normal_(module.bias, 0, 0.1)
    with torch.no_grad():
        first, norm = network.embedding[0], network.embedding[1]
        y = functional.relu(norm(functional.conv2d(x, first.weight, padding=1)))
        blocks = [module for module in network.embedding if isinstance(module, Residual)]
        assert [(block.first.in_channels, block.first.out_channels) for block in blocks] == [(4, 4), (4, 4), (4, 8),
                                                                                            (8, 8)]
        for block in blocks:
            y = residual(y, block, 1, 1)
        parts = []
        for level, groups in zip(network.levels, (1, 3, 12, 48), strict=True):
            interim, detail, last = level
            assert interim.first.out_channels == 2 * groups and detail.first.out_channels == 4 * groups
            z = residual(residual(y, interim, groups, 1), detail, groups, groups)
            parts.append(functional.conv2d(z, last.weight, last.bias, padding=1, groups=groups))
        expected = torch.cat(parts, 1)
        np.testing.assert_allclose(network(x), expected, atol=1e-5)
    assert expected.shape == (2, 192, 8, 8)
    assert all(module.bias is None for block in network.modules() if isinstance(block, Residual)
               for module in block.children() if isinstance(module, nn.Conv2d)) and network.embedding[0].bias is None


def test_a_shortcut_has_a_layer_only_where_channels_change():
    assert isinstance(Residual(4, 4).shortcut, nn.Identity) and Residual(4, 8, 2, 2).shortcut.groups == 1


# --- training and restoring -------------------------------------------------------------------------------------------


def test_the_recipe_is_the_paper_s():
    run = registry.method("face_super_resolution", "wavelet_srnet", {})
    paper = run.settings
    assert (paper["batch"], paper["steps"], paper["residual"], paper["jitter"]) == (64, 1_272_000, False, 0.0)
    small = srnet()
    [phase] = small.phases()
    [player] = phase.players
    made = optimiser_of(player, small.build())
    assert type(made) is torch.optim.Adam and made.defaults["lr"] == 2e-4 and made.defaults["betas"] == (0.9, 0.999)
    assert made.defaults["weight_decay"] == 5e-4 and player.networks == ["net"]
    assert [player.schedule(step, 10) for step in (0, 9)] == [1.0, 1.0]
    [player] = srnet(schedule="cosine").phases()[0].players
    assert player.schedule(5, 10) == pytest.approx(0.5)


def test_the_bicubic_face_is_what_is_left_of_a_silent_net_in_the_residual_form():
    silent = Model({"net": Calls(lambda lr: torch.zeros(len(lr), 192, 8, 8))})
    sr = srnet(residual=True).restore(silent, INPUTS, 1)["sr"]
    np.testing.assert_allclose(sr, imresize(INPUTS["lr"], 8.0).clip(0, 1), atol=1e-5)
    assert not srnet().restore(silent, INPUTS, 1)["sr"].any()
    torch.manual_seed(0)
    quiet, usual = (run.build()["net"].eval() for run in (srnet(residual=True), srnet()))
    with torch.no_grad():
        assert quiet(INPUTS["lr"]).abs().max() < 0.05 < usual(INPUTS["lr"]).abs().max()


def test_training_and_restoring_use_the_same_form():
    run = srnet(residual=True)
    network = Calls(lambda lr: GIVEN + LIFT)
    terms = run.loss(step_with(INPUTS, TARGET, {"net": network}))
    error = MADE + packet(imresize(INPUTS["lr"], 8.0).double().numpy()) - TRUTH
    assert terms["image"].item() == pytest.approx(0.1 * np.square(error).sum() / 4, rel=1e-4)
    assert torch.equal(network.calls[0][0], INPUTS["lr"]), "values of 0 to 1"


def test_restoring_inverts_the_packet_and_clips():
    blocks = np.einsum("nbcyx,bij->ncyixj", 20 * MADE, haar_kernels(3).double().numpy()).reshape(2, 3, 64, 64)
    model = Model({"net": Calls(lambda lr: 20 * (GIVEN + 0.1))})
    sr = srnet().restore(model, INPUTS, 1)["sr"]
    assert blocks.min() < 0 and blocks.max() > 1
    np.testing.assert_allclose(sr, blocks.clip(0, 1), atol=1e-4)


def test_jitter_lights_small_and_true_faces_alike():
    network = Calls(lambda lr: GIVEN + LIFT)
    terms = srnet(jitter=0.2, detail_weight=1.0).loss(step_with(INPUTS, TARGET, {"net": network}))
    lit = network.calls[0][0]
    lines = np.array([[np.polyfit(INPUTS["lr"][face, channel].ravel(), lit[face, channel].ravel(), 1)
                       for channel in range(3)] for face in range(2)])
    truth = TARGET["hr"].double().numpy() * lines[:, :, 0, None, None] + lines[:, :, 1, None, None]
    assert terms["detail"].item() == pytest.approx(np.square((MADE - packet(truth))[:, 1:]).sum() / 4, rel=1e-3)
    assert (np.abs(lines - [1, 0]) <= 0.2 + 1e-5).all() and np.ptp(lines, axis=(0, 1)).min() > 0.05


def test_other_sizes_and_kinds_are_refused_in_words():
    run = srnet(kinds=["plain", "noise"])
    assert run.unsupported("8_to_64") is None and run.unsupported("8_to_64_noise") is None
    assert run.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert run.unsupported("8_to_64_blur_noise") == "not trained on it (its setting kinds)"
    for kinds in ([], ["plain", "blur"]):
        with pytest.raises(UserError, match="it must name some of plain, noise, blur_noise"):
            srnet(kinds=kinds)


def test_thirty_steps_on_one_batch_lower_the_error():
    torch.manual_seed(0)
    run = srnet(lr=1e-2, schedule="cosine")
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for _ in range(30):
        loss = sum(player.loss(step_with(INPUTS, TARGET, networks)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]
