"""Colorization methods: the cards' counts and invariants, objectives against their formulas, real short trainings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2lab, rgb2yuv
from skimage.filters import threshold_multiotsu

from restore_ml import registry, restoration
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab, rgb_to_yuv
from restore_ml.errors import UserError
from restore_ml.method import Context, Method, Model
from restore_ml.methods.colorization import (
    colorful_colorization,
    deep_colorization,
    gabor_pix2pix,
    gray_slicing,
    gray_transform,
)
from restore_ml.nn.ab_classes import class_centres
from restore_ml.tasks.base import Material
from restore_ml.training.train import train_run

SMALL: dict[str, dict[str, Any]] = {
    "colorful_colorization": {"width": 4, "patch": 32, "batch": 4, "steps": 60, "lr": 3e-3},
    "deep_colorization": {"patch": 32, "batch": 4, "steps": 80, "pixels_per_image": 128, "daisy_radius": 4, "lr": 3e-3,
                          "semantic_radius": 1, "refine_radius": 3, "refine_sigma": 2.0, "prepare_crops": 12},
    "gabor_pix2pix": {"levels": 4, "width": 8, "dropout": False, "disc_width": 8, "disc_layers": 2, "patch": 32,
                      "batch": 4, "steps": 80, "lr": 2e-3},
}


def make(name: str, **changes: Any) -> Method:
    cls = registry.method_class("colorization", name)
    return cls({**cls.paper, **SMALL.get(name, {}), **changes})


def lightness_of(grey: np.ndarray) -> torch.Tensor:
    """The L input (1 x 1 x H x W) whose grey levels are `grey` (H x W, 0..255)."""
    return torch.from_numpy(rgb2lab(np.repeat(grey[..., None], 3, -1) / 255)[..., :1]).float().movedim(-1, 0)[None]


def batch_of(rgb: np.ndarray) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Inputs and target of uint8 pictures N x H x W x 3."""
    picture = torch.from_numpy(rgb.astype(np.float32) / 255).movedim(-1, 1)
    lab = rgb_to_lab(picture)
    return {"L": lab[:, :1]}, {"ab": lab[:, 1:], "rgb": picture}


def context(method: Method, rgb: np.ndarray, networks: dict[str, torch.nn.Module] | None = None) -> Context:
    inputs, target = batch_of(rgb)
    return Context(inputs, target, ["a"] * len(rgb), method.build() if networks is None else networks, step=0, steps=10,
                   generator=torch.Generator().manual_seed(0))


def scene(seed: int) -> np.ndarray:
    """48 x 48: smooth blue above, rough green below, so that texture and lightness tell the colour."""
    draws = np.random.default_rng(seed)
    lab = np.empty((48, 48, 3), np.float32)
    horizon = int(draws.integers(16, 32))
    lab[:horizon] = np.array([75, -6, -32]) + draws.normal(0, 0.5, (horizon, 48, 1)) * [1, 0, 0]
    lab[horizon:] = np.array([45, -34, 38]) + draws.normal(0, 7, (48 - horizon, 48, 1)) * [1, 0, 0]
    from restore_ml.degradations.colour import to_rgb8

    return to_rgb8(lab[..., :1], lab[..., 1:])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose training split is six scenes."""
    root = tmp_path_factory.mktemp("project")
    task = registry.task("colorization")
    pictures = [Record(f"{number:064x}", {"image": scene(number)}) for number in range(6)]
    folder = root / "samples" / "colorization" / "train"
    shards.write(folder / "00.arrow", task.training_records(pictures, 1, {"size": 32}))
    for name, pool in task.training_pools(pictures, 1, {"size": 32}).items():
        shards.write(folder / "pools" / name / "pool.arrow", pool)
    return root


@pytest.fixture(scope="module")
def material(project: Path) -> Material:
    return Material(project / "samples" / "colorization" / "train")


def trained(project: Path, name: str, **changes: Any) -> tuple[Method, Model, dict[str, Any]]:
    """Train through the real loop; the model as it is loaded again from disk."""
    spec = {"run": name, "task": "colorization", "method": name, "settings": make(name, **changes).settings, "seed": 1,
            "needs": "none", "precision": "fp32", "threads": 1}
    facts = train_run(spec, project, project / "models" / name, fresh=True)
    assert (facts["status"], facts["reason"]) == ("ok", "")
    return *restoration.load_model(project / "models" / name), facts


def error(method: Method, model: Model, seed: int = 100) -> tuple[float, float]:
    """Root mean square ab error of the restored and of the grey picture, on a scene that was not trained on."""
    lab = rgb2lab(scene(seed)).astype(np.float32)
    output = restoration.restore(method, model, {"L": lab[..., :1]}, 1)
    assert output["ab"].shape == (48, 48, 2) and np.isfinite(output["ab"]).all()
    restored, grey = (float(np.sqrt(np.square(ab - lab[..., 1:]).sum(-1).mean())) for ab in (output["ab"], 0))
    return restored, grey


# -- slicing and transform -------------------------------------------------------------------------------------------

RAMP = np.arange(256).reshape(16, 16).astype(np.uint8)


@pytest.mark.parametrize("slices", [1, 3, 8, 256])
@pytest.mark.parametrize("thresholds", ["uniform", "otsu"])
def test_slicing_gives_at_most_n_colours_and_l_fixed_ab(slices: int, thresholds: str) -> None:
    method = make("gray_slicing", slices=slices, thresholds=thresholds)
    output = method.restore(Model(), {"L": lightness_of(RAMP)}, 1)
    colours = output["rgb"].flatten(2)[0].T.unique(dim=0)
    assert len(colours) == slices
    reference = rgb2lab(output["rgb"][0].movedim(0, -1).numpy())[..., 1:]
    np.testing.assert_allclose(output["ab"][0].movedim(0, -1).numpy(), reference, atol=2e-3)


@pytest.mark.parametrize("levels", [[64, 128, 192], [1, 2, 255]])
def test_a_level_belongs_to_the_upper_slice(levels: list[int]) -> None:
    output = make("gray_slicing", slices=4, levels=levels).restore(Model(), {"L": lightness_of(RAMP)}, 1)["rgb"]
    flat, table = output.flatten(2)[0].T, gray_slicing.slice_colours(4)
    for number, level in enumerate(levels):
        assert torch.equal(flat[level], table[number + 1]) and torch.equal(flat[level - 1], table[number])


@pytest.mark.parametrize("levels", [[64, 64, 192], [192, 128, 64], [0, 10, 20], [10, 20], [1, 2, 256]])
def test_thresholds_must_rise(levels: list[int]) -> None:
    with pytest.raises(UserError, match="rising"):
        make("gray_slicing", slices=4, levels=levels)


@pytest.mark.parametrize("slices", [2, 3, 4])
def test_otsu_thresholds_equal_scikit_image(slices: int) -> None:
    """scikit-image names the last level of the lower class, we the first of the upper."""
    picture = data.camera()[::4, ::4]
    found = gray_slicing.otsu_levels(np.bincount(picture.ravel(), minlength=256), slices)
    reference = threshold_multiotsu(picture, slices, nbins=256)

    def between(levels: np.ndarray) -> float:
        place = np.searchsorted(levels, picture.ravel(), side="right")
        return sum((place == k).mean() * picture.ravel()[place == k].var() for k in range(slices) if (place == k).any())

    # Both are optimal; empty bins between make several thresholds equally good.
    assert between(np.array(found)) == pytest.approx(between(reference + 1), rel=1e-9)


def test_the_rainbow_has_the_card_s_values() -> None:
    rgb = 255 * gray_transform.rainbow(torch.tensor([0, 64, 128, 255]).view(1, 1, 1, 4) / 255)[0, :, 0].T
    assert rgb.round().int().tolist() == [[0, 0, 255], [0, 255, 254], [2, 255, 0], [255, 0, 0]]
    output = make("gray_transform").restore(Model(), {"L": lightness_of(RAMP)}, 1)
    assert torch.allclose(255 * output["rgb"][0, :, 8, 0], torch.tensor([2.0, 255, 0]), atol=0.05)


def test_the_sinusoid_shifts_one_curve_by_thirds() -> None:
    rgb = gray_transform.sinusoid(torch.linspace(0, 1, 301).view(1, 1, 1, -1))[0, :, 0]
    assert float(rgb.min()) >= 0 and float(rgb.max()) <= 1
    torch.testing.assert_close(rgb[0, 100:], rgb[1, :-100], atol=1e-5, rtol=0)
    torch.testing.assert_close(rgb[1, 100:], rgb[2, :-100], atol=1e-5, rtol=0)
    twice = gray_transform.sinusoid(torch.linspace(0, 0.5, 301).view(1, 1, 1, -1), 2.0)[0, :, 0]
    torch.testing.assert_close(twice, rgb, atol=1e-5, rtol=0)


def test_the_cubic_is_the_least_squares_fit_over_all_training_pixels(project: Path, material: Material) -> None:
    lab = np.concatenate([rgb2lab(record.arrays["rgb"]).reshape(-1, 3) for record in material.records])
    reference = np.polynomial.polynomial.polyfit(lab[:, 0] / 100, lab[:, 1:], 3)
    np.testing.assert_allclose(gray_transform.fit_polynomial(material), reference, rtol=1e-6, atol=1e-6)
    method, model, facts = trained(project, "gray_transform", fit="poly3")
    assert facts["parameters_total"] == 8
    fitted, grey = error(method, model)
    assert fitted < 0.6 * grey  # here lightness alone nearly tells sky from ground


def test_wrong_names_are_refused() -> None:
    for name, changes in (("gray_transform", {"curve": "jet"}), ("gray_transform", {"fit": "poly9"}),
                          ("gray_slicing", {"thresholds": "mean"}), ("gray_slicing", {"slices": 0}),
                          ("colorful_colorization", {"loss": "l1"}), ("colorful_colorization", {"patch": 30})):
        with pytest.raises(UserError, match=str(next(iter(changes)))):
            make(name, **changes)


# -- colorful colorization -------------------------------------------------------------------------------------------


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_colorful_network_has_the_paper_s_parameters() -> None:
    with torch.device("meta"):
        network = colorful_colorization.ColorfulNet()
        norms = sum(count(module) for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
        assert (count(network), count(network) - norms) == (32_235_385, 32_230_393)
        assert count(colorful_colorization.ColorfulNet(16)) == 2_032_585
        assert network(torch.empty(1, 1, 256, 256)).shape == (1, 313, 64, 64)
        assert network(torch.empty(2, 1, 64, 40)).shape == (2, 313, 16, 10)


def colorful_with(weights: np.ndarray, **changes: Any) -> Method:
    method = make("colorful_colorization", **changes)
    method.constants = {"class_weights": weights.astype(np.float32)}
    return method


def test_colorful_loss_is_the_weighted_soft_cross_entropy() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2, 313)
    method = colorful_with(weights)
    step = context(method, np.stack([scene(1)[:32, :32], scene(2)[:32, :32]]))
    logits = torch.randn(2, 313, 8, 8)
    step.networks = {"colorizer": lambda lightness: logits}  # type: ignore[dict-item]
    found = float(method.loss(step)["classes"])  # type: ignore[attr-defined]
    truth, total = step.target["ab"][..., ::4, ::4].numpy(), 0.0
    for n, y, x in np.ndindex(2, 8, 8):
        squared = np.square(class_centres() - truth[n, :, y, x]).sum(1)
        nearest = np.argsort(squared, kind="stable")[:5]
        z = np.exp(-squared[nearest] / 50) / np.exp(-squared[nearest] / 50).sum()
        log_p = logits[n, :, y, x].log_softmax(0).numpy()
        total -= weights[nearest[0]] * (z * log_p[nearest]).sum()
    assert found == pytest.approx(total / (2 * 8 * 8), rel=1e-4)


def test_colorful_loss_ignores_grey_pictures() -> None:
    method = colorful_with(np.ones(313))
    networks = {"colorizer": method.build()["colorizer"].eval().requires_grad_(False)}
    colour, grey = scene(1)[:32, :32], np.repeat(scene(1)[:32, :32, :1], 3, -1)
    losses = [float(method.loss(context(method, np.stack(pictures), networks))["classes"])  # type: ignore[attr-defined]
              for pictures in ([grey], [colour], [colour, grey])]
    assert losses[0] == 0 and losses[1] > 1 and losses[2] == pytest.approx(losses[1] / 2, rel=1e-5)


def test_colorful_weights_come_from_the_training_split(material: Material) -> None:
    constants = make("colorful_colorization").prepare(material, 1)
    assert constants["prior"].sum() == pytest.approx(1, rel=1e-5)
    assert (constants["prior"] * constants["class_weights"]).sum() == pytest.approx(1, rel=1e-5)
    common = class_centres()[constants["class_weights"].argmin()]
    assert min(np.abs(common - colour).max() for colour in ((-6, -32), (-34, 38))) <= 10
    assert (make("colorful_colorization", rebalance=False).prepare(material, 1)["class_weights"] == 1).all()


def test_colorful_decoding_of_one_hot_logits_is_the_class_everywhere() -> None:
    logits = torch.zeros(1, 313, 4, 6)
    logits[:, 239] = 1e3
    model = Model({"colorizer": lambda lightness: logits})  # type: ignore[dict-item]
    ab = make("colorful_colorization").restore(model, {"L": torch.zeros(1, 1, 16, 24)}, 1)["ab"]
    assert ab.shape == (1, 2, 16, 24)
    assert torch.allclose(ab, torch.tensor([60.0, 30.0]).view(1, 2, 1, 1).expand_as(ab), atol=1e-3)


def test_the_learning_rate_drops_where_the_paper_drops_it() -> None:
    player = make("colorful_colorization", steps=450_000).phases()[0].players[0]
    rates = [3e-5 * player.schedule(step, 450_000) for step in (0, 199_999, 200_000, 374_999, 375_000, 449_999)]
    assert rates == pytest.approx([3e-5, 3e-5, 1e-5, 1e-5, 3e-6, 3e-6])


@pytest.mark.parametrize("loss", ["cls", "l2"])
def test_colorful_learns_and_temperature_trades_mean_for_mode(project: Path, loss: str) -> None:
    method, model, _ = trained(project, "colorful_colorization", loss=loss)
    learned, grey = error(method, model)
    assert learned < 0.75 * grey
    if loss == "cls":
        lightness = batch_of(scene(100)[None])[0]
        chroma = []
        for temperature in (1.0, 0.38, 0.05):
            method.settings["temperature"] = temperature
            chroma.append(float(method.restore(model, lightness, 1)["ab"].norm(dim=1).mean()))
        assert chroma[0] < min(chroma[1:])


# -- deep colorization -----------------------------------------------------------------------------------------------


def test_deep_colorization_has_128_features_and_16706_parameters() -> None:
    with torch.device("meta"):
        assert count(make("deep_colorization").build()["colorizer"]) == 16_706
        assert count(make("deep_colorization", clusters=3).build()["colorizer"]) == 3 * 16_706
    assert deep_colorization.FEATURES == 49 + 32 + 47 == 128


def test_patches_are_the_neighbourhood_row_by_row() -> None:
    grey = np.random.default_rng(1).uniform(size=(9, 11)).astype(np.float32)
    found = deep_colorization.patch_vectors(torch.from_numpy(grey)[None, None])[0].numpy()
    padded = np.pad(grey, 3, mode="symmetric")
    for y, x in ((0, 0), (4, 5), (8, 10)):
        assert (found[:, y, x] == padded[y : y + 7, x : x + 7].ravel()).all()


def test_soft_classes_are_gaussian_responsibilities() -> None:
    draws = np.random.default_rng(2)
    centres, vectors = draws.normal(size=(47, 51)), draws.normal(size=(1, 51, 2, 3))
    constants = {"centres": centres.astype(np.float32), "spread": np.array([40.0], np.float32)}
    found = deep_colorization.soft_classes(torch.from_numpy(vectors).float(), constants).numpy()
    likelihood = np.exp(-np.square(vectors[:, None] - centres[None, :, :, None, None]).sum(2) / 80)
    np.testing.assert_allclose(found, likelihood / likelihood.sum(1, keepdims=True), atol=1e-5)


@pytest.fixture(scope="module")
def deep(project: Path) -> tuple[Method, Model, dict[str, Any]]:
    return trained(project, "deep_colorization", clusters=2)


def test_deep_features_are_standardised_on_the_training_split(deep: Any, material: Material) -> None:
    method, model, _ = deep
    grey = torch.cat([grey_from_lightness(batch_of(record.arrays["rgb"][None])[0]["L"]) for record in material.records])
    features, _ = method._standardised(grey, model.arrays)
    assert features.shape[1] == 128
    assert float(features.mean((0, 2, 3)).abs().mean()) < 0.2 and 0.8 < float(features.std((0, 2, 3)).mean()) < 1.2


def test_deep_colorization_learns_with_a_network_a_cluster(deep: Any) -> None:
    method, model, facts = deep
    learned, grey = error(method, model)
    assert learned < 0.5 * grey
    assert facts["parameters_total"] == 2 * 16_706 and model.arrays["clusters"].shape == (2, 128)


def test_deep_colorization_keeps_luma_and_is_deterministic(deep: Any, material: Material) -> None:
    method, model, _ = deep
    inputs, _ = batch_of(scene(7)[None])
    output = method.restore(model, inputs, 1)
    inside = ((output["rgb"] > 1e-3) & (output["rgb"] < 1 - 1e-3)).all(1, keepdim=True)
    luma = rgb_to_yuv(output["rgb"])[:, :1]
    assert inside.float().mean() > 0.5
    assert torch.allclose(luma[inside], grey_from_lightness(inputs["L"])[inside], atol=1e-4)
    assert torch.equal(output["rgb"], method.restore(model, inputs, 2)["rgb"])
    again, other = method.prepare(material, 1), method.prepare(material, 2)
    assert all((again[name] == model.arrays[name]).all() for name in again)
    assert (other["centres"] != again["centres"]).any()


def test_deep_loss_is_the_mean_square_at_the_drawn_pixels(deep: Any) -> None:
    method, model, _ = deep
    method.constants = model.arrays
    nothing = lambda features, cluster: 0 * features[..., :2]  # noqa: E731
    step = context(method, scene(3)[None, :32, :32], {"colorizer": nothing})
    found = float(method.loss(step)["squares"])
    chosen = torch.randint(32 * 32, (1, 128, 1), generator=torch.Generator().manual_seed(0))[0, :, 0]
    truth = rgb2yuv(scene(3)[:32, :32])[..., 1:].reshape(-1, 2)[chosen] / (0.436, 0.615)
    assert found == pytest.approx(np.square(truth).mean(), rel=1e-4)


# -- gabor and pix2pix -----------------------------------------------------------------------------------------------

def test_gabor_networks_have_pix2pix_s_parameters() -> None:
    with torch.device("meta"):
        paper = registry.method_class("colorization", "gabor_pix2pix")({}).build()
        assert count(paper["generator"]) == 54_411_907
        assert count(paper["discriminator"]) in (2_766_657, 2_765_761)  # instance normalisation with or without scale
        batch = make("gabor_pix2pix", disc_width=64, disc_layers=3, gradient_penalty=0.0).build()["discriminator"]
        assert count(batch) == 2_766_657 and any(isinstance(m, torch.nn.BatchNorm2d) for m in batch.modules())
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in paper["discriminator"].modules())
        assert paper["discriminator"](torch.empty(1, 4, 256, 256)).shape == (1, 1, 30, 30)
        small = make("gabor_pix2pix", patch=64, levels=6, width=16, dropout=False).build()["generator"]
        assert count(small) == 1_830_051


def test_the_condition_is_the_texture_or_grey_and_texture() -> None:
    inputs, _ = batch_of(scene(1)[None])
    alone, both = (make("gabor_pix2pix", input=kind).condition(inputs["L"])  # type: ignore[attr-defined]
                   for kind in ("replace", "concat"))
    assert alone.shape == (1, 1, 48, 48) and both.shape == (1, 2, 48, 48) and torch.equal(both[:, 1:], alone)
    torch.testing.assert_close(both[:, :1], 2 * grey_from_lightness(inputs["L"]) - 1)
    flat = make("gabor_pix2pix").condition(torch.full((1, 1, 20, 20), 100.0))  # type: ignore[attr-defined]
    assert torch.allclose(flat, torch.tensor(2 * 2 / 3 - 1), atol=1e-4)  # the kernel's sum is 2/3


class Linear(torch.nn.Module):
    """Scores a picture by its product with a direction of the given norm; the condition counts nothing."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        direction = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
        self.direction = torch.nn.Parameter(norm * direction / direction.norm())

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture[:, 1:] * self.direction).sum((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


@pytest.mark.parametrize("norm", [1.0, 3.0, 0.25])
def test_the_penalty_of_a_linear_judge_is_known(norm: float) -> None:
    judge = Linear(norm)
    penalty = gabor_pix2pix.gradient_penalty(judge, torch.rand(2, 1, 6, 5), torch.rand(2, 3, 6, 5))
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-6)
    penalty.backward()  # a second derivative: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    assert judge.direction.grad is not None
    assert judge.direction.grad.norm().item() == pytest.approx(2 * abs(norm - 1), abs=1e-5)


def test_the_penalty_is_of_float32_also_under_autocast() -> None:
    torch.manual_seed(0)
    judge = make("gabor_pix2pix").build()["discriminator"]
    shown, mixed = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32)
    plain = gabor_pix2pix.gradient_penalty(judge, shown, mixed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed_precision = gabor_pix2pix.gradient_penalty(judge, shown.bfloat16().float(), mixed)
    assert mixed_precision.dtype == torch.float32 and mixed_precision.item() == pytest.approx(plain.item(), rel=2e-2)
    plain.backward()
    assert all(torch.isfinite(p.grad).all() for p in judge.parameters() if p.grad is not None)


@pytest.mark.parametrize(("gan", "penalty"), [("lsgan", 10.0), ("lsgan", 0.0), ("bce", 0.0), ("bce", 10.0)])
def test_gabor_losses_follow_their_formulas_and_reach_one_player_each(gan: str, penalty: float) -> None:
    method = make("gabor_pix2pix", gan=gan, gradient_penalty=penalty)
    assert isinstance(method, gabor_pix2pix.GaborPix2Pix)
    torch.manual_seed(0)
    step = context(method, np.stack([scene(1)[:32, :32], scene(2)[:32, :32]]))
    terms = method.discriminator_loss(step)
    assert set(terms) == {"real", "fake"} | ({"penalty"} if penalty else set())
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in step.networks["generator"].parameters())
    step.networks["discriminator"].eval()
    generator = method.generator_loss(step)
    shown, made, true = method._pair(step)
    assert generator["l1"].item() == pytest.approx(100 * (made - true).abs().mean().item(), rel=1e-5)
    judged = step.networks["discriminator"](torch.cat([shown, made], 1))
    expected = ((judged - 1) ** 2).mean() / 2 if gan == "lsgan" else torch.nn.functional.softplus(-judged).mean()
    assert generator["adversarial"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_gabor_pix2pix_learns(project: Path) -> None:
    method, model, facts = trained(project, "gabor_pix2pix")
    learned, grey = error(method, model)
    assert learned < 0.6 * grey
    assert set(facts["parameters"]) == {"generator", "discriminator"} and set(model.networks) == {"generator"}


@pytest.mark.parametrize("changes", [{"size": 8}, {"theta": 30}, {"input": "both"}, {"gan": "wgan"}, {"patch": 40}])
def test_gabor_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        make("gabor_pix2pix", **changes)


def test_gray_ab0_reproduces_the_published_grey_figures():
    """The grey-baseline row of the card for the bundled astronaut: PSNR 17.8029 dB, RMSE 31.2276."""

    from restore_ml.degradations.colour import to_rgb8
    from restore_ml.evaluation.colour import rmse_ab
    from restore_ml.evaluation.fidelity import psnr

    picture = data.astronaut()
    lab = rgb_to_lab(picture / 255.0)
    lightness = lab[..., :1].astype(np.float32)
    ab = restoration.restore(registry.method_class("colorization", "gray_ab0")({}), Model(), {"L": lightness}, 1)["ab"]
    assert not ab.any() and ab.shape == (512, 512, 2)
    assert psnr(to_rgb8(lightness, ab), picture) == pytest.approx(17.8029, abs=2e-3)
    assert rmse_ab(ab, lab[..., 1:].astype(np.float32)) == pytest.approx(31.2276, abs=1e-3)
