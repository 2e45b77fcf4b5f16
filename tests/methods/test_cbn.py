"""cbn: its stages, gate, prior and loss, against what they are by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, write
from restore_ml.degradations.colour import rgb_to_ycbcr
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.methods.face_super_resolution.cbn import Branch, Cbn, Correspondence, Stage, by_muon
from restore_ml.nn.muon import Muon
from restore_ml.tasks.base import Material
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.methods.layers import conv, layers_of, parameters

SMALL = {"widths": [3, 4, 2], "gate": 3, "align": 2, "patch": 64}
INPUTS, TARGET = {"lr": draw(2, 3, 8, 8)}, {"hr": draw(2, 3, 64, 64, seed=1)}
PRIORS = {f"prior{number + 1}": draw(16 * 2**number, 16 * 2**number, seed=number).numpy() - 0.5 for number in range(3)}


def cbn(**settings) -> Cbn:
    made = registry.method("face_super_resolution", "cbn", {**SMALL, **settings})
    made.constants = PRIORS
    return made


def luma(faces: torch.Tensor) -> torch.Tensor:
    """Y of 0 ... 1: from 16 / 255 for black to 235 / 255 for white."""
    weights = torch.tensor([65.481, 128.553, 24.966])
    return (16 + (faces * weights[:, None, None]).sum(1, keepdim=True)) / 255


def stages() -> dict[str, nn.Module]:
    """Each adds a multiple of a weight of its own, and the prior."""
    made = {}
    for number in (1, 2, 3):
        weight = nn.Parameter(torch.tensor(0.1 * number))
        made[f"stage{number}"] = Calls(lambda picture, prior, weight=weight: picture + weight + prior)
        made[f"stage{number}"].weight = weight
    return made


# --- the cascade and its loss -----------------------------------------------------------------------------------------


def by_hand(last: int) -> torch.Tensor:
    y = luma(INPUTS["lr"])
    for number in range(1, last + 2):
        y = imresize(y, 2.0) + 0.1 * number + torch.from_numpy(PRIORS[f"prior{number}"])
    return y


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_error_of_each_stage_is_that_of_its_own_size(stage):
    run, networks = cbn(), stages()
    [player] = run.phases()[stage].players
    [term] = player.loss(step_with(INPUTS, TARGET, networks)).values()
    target = luma(TARGET["hr"])
    if stage < 2:
        target = imresize(target, 1 / 2 ** (2 - stage))
    wrong = by_hand(stage) - target
    assert wrong.shape[2] == 16 * 2**stage and term.item() == pytest.approx(wrong.square().mean().item(), rel=1e-4)
    assert player.networks == [f"stage{stage + 1}"]
    term.backward()
    slopes = [networks[f"stage{number}"].weight.grad for number in (1, 2, 3)]
    assert [slope is not None for slope in slopes] == [number == stage for number in range(3)], "greedy"
    assert slopes[stage].item() == pytest.approx(2 * wrong.mean().item(), rel=1e-3)


def test_one_phase_a_stage():
    run = cbn(steps={"stage1": 5, "stage2": 3, "stage3": 2}, schedule="cosine")
    assert [(phase.name, phase.steps, len(phase.players)) for phase in run.phases()] == [
        ("stage1", 5, 1), ("stage2", 3, 1), ("stage3", 2, 1)]
    assert len({phase.players[0].name for phase in run.phases()}) == 3, "an optimiser for each"
    assert run.phases()[1].players[0].schedule(5, 10) == pytest.approx(0.5)
    assert cbn().phases()[1].players[0].schedule(5, 10) == 1


def test_restoring_goes_through_all_stages_and_enlarges_colours_bicubically():
    networks = stages()
    with torch.no_grad():
        sr = cbn().restore(Model(networks), INPUTS, 1)["sr"]
    ycbcr = rgb_to_ycbcr(INPUTS["lr"])
    expected = torch.cat([255 * by_hand(2), imresize(ycbcr[:, 1:], 8.0)], 1)
    inside = (sr > 0).all(1) & (sr < 1).all(1)
    assert inside.float().mean() > 0.02 and sr.min() >= 0 and sr.max() <= 1
    torch.testing.assert_close(rgb_to_ycbcr(sr).permute(0, 2, 3, 1)[inside],
                               expected.permute(0, 2, 3, 1)[inside], atol=0.02, rtol=0)
    assert [networks[name].calls[0][0].shape[2] for name in networks] == [16, 32, 64]


# --- the prior --------------------------------------------------------------------------------------------------------


def test_the_prior_is_the_mean_high_frequency_face_mirrored_and_not(tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    grey = np.random.default_rng(1).integers(0, 256, (64, 64, 1)).astype(np.uint8)
    write(tmp_path / "00.arrow", [Record(f"{number:064x}", {"hr": face, "attributes": np.zeros(40, np.float32)})
                                  for number, face in enumerate([*faces, grey])])
    made = cbn().prepare(Material(tmp_path), 1)
    shown = [luma(torch.from_numpy(np.repeat(face, 3 // face.shape[2], 2)).permute(2, 0, 1)[None].double() / 255)
             for face in [*faces, grey]]
    for number, side in enumerate((16, 32, 64)):
        high = []
        for face in shown:
            y = imresize(face, output_size=(side, side))
            high += [y - imresize(imresize(y, 0.5), 2.0)]
            high += [high[-1].flip(3)]
        prior = made[f"prior{number + 1}"]
        assert prior.shape == (side, side) and prior.dtype == np.float32
        np.testing.assert_allclose(prior, torch.cat(high).mean(0)[0], atol=1e-6)
        np.testing.assert_allclose(prior, prior[:, ::-1], atol=1e-6)
    assert set(made) == {"prior1", "prior2", "prior3"} and np.abs(made["prior3"]).max() > 0.01


def test_the_prior_is_moved_as_the_network_says():
    torch.manual_seed(0)
    network, picture, prior = Correspondence(16, 2), draw(2, 1, 16, 16), draw(2, 1, 16, 16, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(network(picture, prior), prior, atol=1e-6, rtol=0)
        network.locate[-1].bias.copy_(torch.tensor([0.0, 0.0, 2 / 16, 0.0]))
        moved = network(picture, prior)
        torch.testing.assert_close(moved[:, :, :, :-1], prior[:, :, :, 1:], atol=1e-5, rtol=0)
        assert not moved[:, :, :, -1].any(), "what lies outside is 0"
        network.locate[-1].weight.fill_(0.1)
        assert not torch.equal(network(picture, prior), network(1 - picture, prior)), "the picture says where"
        assert not torch.equal(network(picture, prior)[0], network(picture, 3 * prior)[0] / 3), "so does the prior"
    layers = [type(layer).__name__ for layer in network.locate]
    assert layers == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Flatten", "Linear", "ReLU", "Linear"]
    assert [tuple(network.locate[place].weight.shape) for place in (0, 2, 5, 7)] == [
        (2, 2, 3, 3), (4, 2, 3, 3), (8, 4 * 16), (4, 8)]


# --- a stage ----------------------------------------------------------------------------------------------------------


def replaced(common: float, high: float, gate: float) -> tuple[Stage, dict[str, Calls]]:
    """A stage whose parts give constants, and these."""
    stage = Stage(16, [3, 4, 2], 3, 0)
    parts = {"common": Calls(lambda x: torch.full_like(x[:, :1], common)),
             "high": Calls(lambda x: torch.full_like(x[:, :1], high)),
             "gate": Calls(lambda x: torch.full_like(x[:, :1], gate))}
    for name, part in parts.items():
        setattr(stage, name, part)
    return stage, parts


@pytest.mark.parametrize(("gate", "added"), [(1.0, 0.2), (0.0, -0.5), (0.25, 0.25 * 0.2 - 0.75 * 0.5)])
def test_the_gate_weighs_the_common_branch(gate, added):
    stage, parts = replaced(0.2, -0.5, gate)
    picture, prior = draw(2, 1, 16, 16), draw(2, 1, 16, 16, seed=1)
    torch.testing.assert_close(stage(picture, prior), picture + added)
    [(common,)], [(high,)], [(seen,)] = (parts[name].calls for name in ("common", "high", "gate"))
    assert torch.equal(common, picture - 0.45) and torch.equal(high, torch.cat([picture - 0.45, prior], 1))
    assert torch.equal(seen, torch.cat([torch.full_like(picture, -0.5), torch.full_like(picture, 0.2),
                                        picture - 0.45, prior], 1))


def test_the_gate_lies_between_0_and_1_and_sees_the_moved_prior():
    torch.manual_seed(0)
    stage, picture, prior = Stage(16, [3, 4, 2], 3, 2), draw(2, 1, 16, 16), draw(2, 1, 16, 16, seed=1)
    gates, moved = [], []
    stage.gate.register_forward_hook(lambda module, given, made: gates.append((given[0], made)))
    stage.high.register_forward_pre_hook(lambda module, given: moved.append(given[0][:, 1:]))
    with torch.no_grad():
        stage.align.locate[-1].bias.copy_(torch.tensor([0.0, 0.0, 2 / 16, 0.0]))
        stage(picture, prior)
    assert (gates[0][1] > 0).all() and (gates[0][1] < 1).all() and gates[0][1].shape == (2, 1, 16, 16)
    assert torch.equal(gates[0][0][:, 3:], moved[0]) and not torch.equal(moved[0], prior)
    with torch.no_grad():
        assert torch.equal(moved[0], stage.align(picture - 0.45, prior)), "the prior moves, not the picture"
    assert layers_of(stage.gate) == ["conv3/1 3", "relu"] * 3 + ["conv3/1 1", "sigmoid"]
    assert stage.gate[0].in_channels == 4


def test_a_branch_layer_by_layer():
    branch = Branch(2, [3, 4, 5])
    inner = [line for width in [3] * 4 + [4] * 4 + [5] * 3 for line in (f"conv3/1 {width}", "relu")]
    assert layers_of(branch) == [*inner, "conv3/1 1"] and branch[0].in_channels == 2
    assert branch(draw(1, 2, 9, 7)).shape == (1, 1, 9, 7)


def test_it_may_begin_as_the_bicubic_picture():
    for start, equal in (("interpolation", True), ("random", False)):
        run = cbn(start=start)
        networks = run.build()
        with torch.no_grad():
            made = run.cascade(networks, luma(INPUTS["lr"]))
        expected = imresize(imresize(imresize(luma(INPUTS["lr"]), 2.0), 2.0), 2.0)
        assert torch.allclose(made, expected, atol=1e-6) == equal


def test_the_number_of_parameters_at_paper_size():
    """Branches and gate as in the released network of 64 pixels, but for one channel of the picture and one of the
    prior; and the correspondence, which grows with the side."""
    with torch.device("meta"):
        networks = Cbn({}).build()
    rest = 3 * conv(64, 64) + conv(64, 128) + 3 * conv(128, 128) + conv(128, 32) + 2 * conv(32, 32) + conv(32, 1)
    both = 2 * rest + conv(1, 64) + conv(2, 64)
    gate = conv(4, 64) + 2 * conv(64, 64) + conv(64, 1)
    for number, side in enumerate((32, 64, 128)):
        align = conv(2, 16) + conv(16, 32) + 32 * (side // 4) ** 2 * 64 + 64 + 64 * 4 + 4
        assert parameters(networks[f"stage{number + 1}"]) == both + gate + align
    assert sum(map(parameters, networks.values())) == 7_102_725


def test_the_first_weights_are_for_relu():
    torch.manual_seed(0)
    stage = Stage(16, [16, 32, 8], 16, 0)
    assert stage.common[10].weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.1)
    assert stage.align is None and not stage.common[0].bias.any() and stage.high[-1].weight.any()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_what_is_refused_in_words():
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        cbn().restore(Model({}), {"lr": draw(1, 3, 10, 9)}, 1)
    with pytest.raises(UserError, match="it must name the channels of a branch's three parts"):
        cbn(widths=[3, 4])


def test_optimisers():
    networks = cbn().build()
    adam = optimiser_of(cbn(lr=3e-3).phases()[0].players[0], networks)
    assert isinstance(adam, torch.optim.Adam) and adam.defaults["lr"] == 3e-3
    muon = optimiser_of(cbn(optimiser="muon", lr=3e-3, muon_lr=0.02).phases()[2].players[0], networks)
    assert isinstance(muon, Muon) and [group["lr"] for group in muon.param_groups] == [0.02, 3e-3]
    assert by_muon(torch.zeros(3, 5, 3, 3)) and not by_muon(torch.zeros(1, 5, 3, 3))
    assert not by_muon(torch.zeros(3, 4, 3, 3)) and not by_muon(torch.zeros(3, 5))
    assert cbn(align=0).build()["stage1"].align is None


def test_a_few_steps_lower_the_error():
    torch.manual_seed(0)
    run = cbn(lr=1e-2, widths=[8, 8, 8], schedule="cosine")
    networks = run.build()
    [player] = run.phases()[0].players
    optimiser, values = optimiser_of(player, networks), []
    for _ in range(30):
        [term] = player.loss(step_with(INPUTS, TARGET, networks)).values()
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
        values.append(term.item())
    assert values[-1] < 0.7 * values[0]
