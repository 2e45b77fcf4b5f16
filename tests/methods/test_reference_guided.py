"""reference_guided: correlation, warp, both terms and the recipe against values by hand, and the card's checks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import grey_from_lightness, lab_to_rgb, rgb_to_lab, to_rgb8
from restore_ml.method import Model
from restore_ml.methods.guided_colorization import reference_guided
from restore_ml.methods.guided_colorization.reference_guided import ReferenceGuided, described, fitted, warped
from restore_ml.metrics.colour import ab_distance, auc
from restore_ml.nn.features import FeatureNet
from restore_ml.restoring import harness
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.guided_colorization.reference import augmented
from tests.methods.by_hand import Calls, draw, optimiser_of, step_with
from tests.walk.material import picture

PARTS = registry.parts("guided_colorization")
SMALL = {"levels": 4, "width": 4, "patch": 32, "batch": 4}


class Tapped:
    """A feature network by functions of the picture."""

    source = "by hand"

    def __init__(self, **maps):
        self.maps, self.seen = maps, []

    def __call__(self, x, taps, normalise=True):
        self.seen.append(x)
        return {tap: self.maps[tap](x) for tap in taps}


def features() -> FeatureNet:
    torch.manual_seed(0)
    return FeatureNet(8).eval().requires_grad_(False)


def batch(count=3, side=32):
    rgb = np.stack([picture(number, side, side) for number in range(count)])
    samples = [lab_sample(one) for one in rgb]
    lightness, ab = (torch.from_numpy(np.stack([getattr(one, part)[name] for one in samples])).movedim(3, 1)
                     for part, name in (("inputs", "L"), ("target", "ab")))
    truth = torch.from_numpy(rgb).movedim(3, 1) / 255
    return {"L": lightness, "reference": truth.flip(3)}, {"ab": ab, "rgb": truth}


def test_the_parameter_count_and_the_recipe():
    """pix2pix's 54,411,907 for 1 -> 3 channels and three more input channels: warped ab and its correlation."""
    with torch.device("meta"):
        network = ReferenceGuided({}).build()["colorizer"]
    assert sum(one.numel() for one in network.parameters()) == 54_411_907 + 3 * 64 * 16
    [phase] = ReferenceGuided({"steps": 8}).phases()
    [player] = phase.players
    assert phase.steps == 8 and player.networks == ["colorizer"]
    assert [player.schedule(step, 8) for step in (0, 3, 4, 6)] == [1, 1, 1, 0.5]
    optimiser = player.optimiser([("a", nn.Parameter(torch.zeros(1)))])
    assert isinstance(optimiser, torch.optim.Adam)
    assert (optimiser.defaults["lr"], optimiser.defaults["betas"]) == (2e-4, (0.9, 0.999))
    assert ReferenceGuided.paper["copies"] == 0.4
    assert ReferenceGuided.paper["taps"] == ["relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert ReferenceGuided.inputs == ("reference",) and ReferenceGuided.restoring_slots == ("features",)


def test_the_last_layer_begins_small_and_nothing_is_dropped():
    torch.manual_seed(0)
    network = ReferenceGuided({"levels": 4, "width": 16, "patch": 32}).build()["colorizer"]
    assert network.up[-1][1].weight.std().item() == pytest.approx(0.002, rel=0.1)
    assert isinstance(network.up[-1][2], nn.Identity)
    assert network.up[-2][1].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not any(isinstance(one, nn.Dropout) for one in network.modules())


def test_places_are_described_by_centred_maps_of_equal_say():
    first, second = draw(2, 3, 8, 12, seed=1), draw(2, 5, 4, 6, seed=2)
    lightness = 100 * draw(2, 1, 16, 24, seed=3)
    network = Tapped(one=lambda x: first, two=lambda x: 40 * second)
    found = described(network, lightness, ["one", "two"])
    grey = grey_from_lightness(lightness)
    assert torch.equal(network.seen[0], torch.cat([grey, grey, grey], 1))
    half = first.reshape(2, 3, 4, 2, 6, 2).mean((3, 5))  # bilinear by half is the mean of four
    parts = []
    for maps in (half, second):
        centred = maps.double().numpy() - maps.double().numpy().mean((2, 3), keepdims=True)
        parts.append(centred / np.sqrt(np.square(centred).sum(1, keepdims=True)) / np.sqrt(2))
    np.testing.assert_allclose(found.numpy(), np.concatenate(parts, 1), atol=1e-5)
    torch.testing.assert_close(found.square().sum(1), torch.ones(2, 4, 6))


@pytest.mark.parametrize("at_once", [2048, 5])
def test_the_warp_by_hand(at_once, monkeypatch):
    """Another size than the target's, whole or in pieces."""
    monkeypatch.setattr(reference_guided, "AT_ONCE", at_once)
    target = functional.normalize(draw(2, 4, 3, 4, seed=1) - 0.5, dim=1)
    reference, ab = functional.normalize(draw(2, 4, 2, 5, seed=2) - 0.5, dim=1), 100 * draw(2, 2, 2, 5, seed=3)
    colours, likeness = warped(target, reference, ab)
    assert colours.shape == (2, 2, 3, 4) and likeness.shape == (2, 1, 3, 4)
    for n in range(2):
        for y in range(3):
            for x in range(4):
                cosines = np.array([float(target[n, :, y, x] @ reference[n, :, v, u])
                                    for v in range(2) for u in range(5)])
                weights = np.exp(100 * (cosines - cosines.max()))
                expected = ab[n].flatten(1).numpy() @ (weights / weights.sum())
                np.testing.assert_allclose(colours[n, :, y, x].numpy(), expected, atol=1e-2)
                assert likeness[n, 0, y, x].item() == pytest.approx(cosines.max(), abs=1e-6)


def test_references_of_any_size_are_fitted():
    """Sides become multiples of 4 from 32 to 256; what fits is not touched, what is far too large is averaged."""
    sizes = {(64, 64): (64, 64), (128, 256): (128, 256), (512, 256): (256, 128), (45, 39): (44, 40), (8, 16): (32, 64),
             (20, 1000): (32, 256)}
    for size, expected in sizes.items():
        assert fitted(torch.zeros(1, 3, *size)).shape[2:] == expected
    fits = draw(1, 3, 64, 36)
    assert fitted(fits) is fits
    fine = torch.zeros(1, 3, 1024, 1024)
    fine[..., ::4] = 1
    torch.testing.assert_close(fitted(fine)[..., 8:-8], torch.full((1, 3, 256, 240), 0.25), atol=0.05, rtol=0)


def test_colours_are_carried_at_a_quarter_of_the_size():
    """One tap that is the grey itself: each target pixel finds the reference's stripe of its lightness."""
    dark, light = torch.tensor([30.0, 40.0, -20.0]), torch.tensor([70.0, -30.0, 25.0])
    reference = torch.cat([dark.view(1, 3, 1, 1).expand(1, 3, 32, 16), light.view(1, 3, 1, 1).expand(1, 3, 32, 24)], 3)
    lightness = torch.cat([torch.full((1, 1, 32, 24), 70.0), torch.full((1, 1, 32, 8), 30.0)], 3)
    network = Tapped(grey=lambda x: functional.avg_pool2d(x, 4))
    ab, likeness = ReferenceGuided({**SMALL, "taps": ["grey"]}).carried(network, lightness, lab_to_rgb(reference))
    assert ab.shape == (1, 2, 32, 32) and likeness.shape == (1, 1, 32, 32) and not ab.requires_grad
    torch.testing.assert_close(ab[0, :, 5, 5], light[1:], atol=0.1, rtol=0)
    torch.testing.assert_close(ab[0, :, 20, 30], dark[1:], atol=0.1, rtol=0)
    torch.testing.assert_close(likeness, torch.ones_like(likeness))


def carried_as(ab, likeness):
    class Carried(ReferenceGuided):
        def carried(self, features, lightness, reference):
            self.given = reference
            return ab, likeness

    return Carried


def test_carried_and_own_colours_are_mixed():
    """By the sigmoid of the network's logit and 20 times what the correlation is above 0.6."""
    inputs, _ = batch(2)
    ab, likeness = 100 * draw(2, 2, 32, 32) - 50, 2 * draw(2, 1, 32, 32, seed=1) - 1
    made = torch.cat([draw(2, 2, 32, 32, seed=2) - 0.5, 4 * draw(2, 1, 32, 32, seed=3) - 2], 1)
    network = Calls(lambda seen: made)
    method = carried_as(ab, likeness)(SMALL)
    found = method.restore(Model({"colorizer": network}, slots={"features": None}), inputs, 1)["ab"]
    share = 1 / (1 + np.exp(-(made[:, 2:] + 20 * (likeness - 0.6)).double().numpy()))
    expected = share * ab.double().numpy() + (1 - share) * 110 * made[:, :2].double().numpy()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
    [[seen]] = network.calls
    torch.testing.assert_close(seen, torch.cat([inputs["L"] / 50 - 1, ab / 110, likeness], 1))
    assert method.given is inputs["reference"]


def test_the_terms_by_hand():
    """Ten times smooth L1 of ab / 110, quadratic below 1 / 110, summed; 3 times the squared error of a tap's maps."""
    inputs, target = batch(2)
    made = target["ab"] + 20 * draw(2, 2, 32, 32, seed=5) - 10
    made[:, :, :8] = target["ab"][:, :, :8] + 0.4
    network = Calls(lambda seen: torch.cat([made / 110, torch.zeros(2, 1, 32, 32)], 1))
    method = carried_as(torch.zeros(2, 2, 32, 32), torch.full((2, 1, 32, 32), -1.0))(
        {**SMALL, "perceptual": 3.0, "perceptual_tap": "two"})
    tapped = Tapped(two=lambda x: 2 * x)
    terms = method.loss(step_with(inputs, target, {"colorizer": network}, tapped))
    assert list(terms) == ["smooth_l1", "perceptual@by hand"]
    difference = np.abs((made - target["ab"]).double().numpy()) / 110
    smooth = np.where(difference < 1 / 110, 0.5 * 110 * difference**2, difference - 0.5 / 110).sum(1).mean()
    assert terms["smooth_l1"].item() == pytest.approx(10 * smooth, rel=1e-4)
    rgb = lab_to_rgb(torch.cat([inputs["L"], made], 1))
    expected = 3 * (2 * rgb - 2 * target["rgb"]).double().square().mean()
    assert terms["perceptual@by hand"].item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(tapped.seen[0], target["rgb"])


@pytest.mark.parametrize(("copies", "expected"), [(1.0, "own"), (0.0, "other")])
def test_others_get_the_reference_of_the_picture_before(copies, expected):
    inputs, target = batch(3)
    method = carried_as(torch.zeros(3, 2, 32, 32), torch.zeros(3, 1, 32, 32))(
        {**SMALL, "copies": copies, "perceptual": 0.0})
    terms = method.loss(step_with(inputs, target, {"colorizer": Calls(lambda seen: seen[:, 1:])}, None))
    reference = inputs["reference"]
    assert list(terms) == ["smooth_l1"]
    assert torch.equal(method.given, reference if expected == "own" else reference[[2, 0, 1]])


def test_copies_are_in_their_share_of_the_batches():
    inputs, target = batch(2)
    method = carried_as(torch.zeros(2, 2, 32, 32), torch.zeros(2, 1, 32, 32))({**SMALL, "perceptual": 0.0})
    own = 0
    for seed in range(400):
        context = step_with(inputs, target, {"colorizer": Calls(lambda seen: seen[:, 1:])})
        context.generator.manual_seed(seed)
        method.loss(context)
        own += torch.equal(method.given, inputs["reference"])
    assert own / 400 == pytest.approx(0.4, abs=0.07)


def test_both_terms_move_the_whole_network_and_no_feature():
    inputs, target = batch(2)
    torch.manual_seed(0)
    method, network = ReferenceGuided({**SMALL, "perceptual_tap": "relu3_1"}), features().requires_grad_(True)
    for name in ("smooth_l1", f"perceptual@{network.source}"):
        networks = method.build()
        terms = method.loss(step_with(inputs, target, networks, network))
        terms[name].backward()
        assert all(one.grad is not None and one.grad.any() for one in networks["colorizer"].parameters())
        if name == "smooth_l1":  # what is carried over is given, not learned
            assert all(one.grad is None for one in network.parameters())


@pytest.mark.parametrize("wrong", [{"patch": 40}, {"copies": 1.5}, {"copies": -0.1}, {"batch": 1}, {"levels": 3}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        ReferenceGuided(wrong)
    assert ReferenceGuided({"batch": 1, "copies": 1.0}).settings["batch"] == 1


def smooth_scene(number, side=64):
    """Textured regions of a few colours."""
    draws = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    region = (y > side * draws.uniform(0.3, 0.6)) * 1 + (np.hypot(y - side / 2, x - side / 2) < side / 4) * 2
    lab = np.array([[75, -10, -30], [45, -30, 35], [55, 50, 30], [60, 10, 55]], np.float32)[region]
    lab[..., 0] += draws.normal(0, 1, (side, side)) * (1 + 3 * region) + 6 * np.sin(x / (2 + region)) * (region > 0)
    return to_rgb8(lab[..., :1], lab[..., 1:])


def trained():
    """A small network after a few steps on scenes, with random features: places are told apart by what they look
    like."""
    torch.manual_seed(0)
    method, network = ReferenceGuided({**SMALL, "width": 8, "lr": 2e-3, "perceptual": 0.0}), features()
    networks = method.build()
    [player] = method.phases()[0].players
    optimiser = optimiser_of(player, networks)
    for step in range(40):
        scenes = [smooth_scene(4 * step + number, 32) for number in range(4)]
        samples = [lab_sample(one) for one in scenes]
        stacked = {name: torch.from_numpy(np.stack([{**one.inputs, **one.target}[name] for one in samples])
                                          ).movedim(3, 1) for name in ("L", "ab")}
        copies = np.stack([augmented(one, np.random.default_rng(step)) for one in scenes])
        context = step_with({"L": stacked["L"], "reference": torch.from_numpy(copies).movedim(3, 1) / 255},
                            {"ab": stacked["ab"], "rgb": torch.from_numpy(np.stack(scenes)).movedim(3, 1) / 255},
                            networks, network)
        context.generator.manual_seed(step)
        optimiser.zero_grad()
        sum(player.loss(context).values()).backward()
        optimiser.step()
    return method, Model({name: one.eval() for name, one in networks.items()}, slots={"features": network})


def test_the_card_s_checks():
    """The picture itself as reference gives AuC above .97, by the warp and after a short training; a wrong one changes
    the colours, never lightness, which the output has none of."""
    method, model = trained()
    scene = smooth_scene(1000, 128)
    sample = lab_sample(scene)
    lightness, ab = sample.inputs["L"], sample.target["ab"]
    inputs = {"L": lightness, "hint": np.zeros_like(ab), "hinted": np.zeros_like(lightness)}
    tensor = torch.from_numpy(lightness).movedim(2, 0)[None], torch.from_numpy(scene).movedim(2, 0)[None] / 255
    alone = method.carried(model.slots["features"], *tensor)[0][0].movedim(0, 2).numpy()
    assert auc(ab_distance(alone, ab)) > 0.97
    right = harness.restore(method, model, {**inputs, "reference": scene}, 1)
    assert auc(ab_distance(right["ab"], ab)) > 0.97
    wrong = harness.restore(method, model, {**inputs, "reference": picture(3, 50, 41)}, 1)
    assert list(wrong) == ["ab"] and np.abs(wrong["ab"] - right["ab"]).mean() > 3
    drawn = rgb_to_lab(to_rgb8(lightness, wrong["ab"]))[..., 0]
    assert np.abs(drawn - lightness[..., 0]).max() < 0.25


def test_any_size_of_picture_and_reference_is_restored():
    torch.manual_seed(0)
    method = ReferenceGuided(SMALL)
    model = Model({name: one.eval() for name, one in method.build().items()}, slots={"features": features()})
    sample = lab_sample(picture(0, 45, 39))
    inputs = {**sample.inputs, "hint": np.zeros((45, 39, 2), np.float32), "hinted": np.zeros((45, 39, 1), np.float32)}
    ab = harness.restore(method, model, {**inputs, "reference": picture(1, 70, 300)}, 1)["ab"]
    assert ab.shape == (45, 39, 2) and np.isfinite(ab).all()
