"""The numbers of the cards of methods that enlarge, at `paper`: weights, shares and rates, and that our additions are
off there."""

import pytest
import torch

from restore_ml import registry
from restore_ml.methods.face_super_resolution.fsrnet import Fsrnet

BINARY = {"loss": "l1", "lr": 1e-4, "schedule": "halved", "steps": 1_000_000, "batch": 16, "patch": 96,
          "last_std": 0.0, "ema": 0.0}
ON_VDSR = {**BINARY, "layers": 20, "width": 64, "scales": [2, 3, 4], "augment_scales": [1.0], "skip": False,
           "zero_mean": False, "spread": 0.0}
SHARES = {"grid": [0.0, 0.05, 0.1, 0.2, 0.4], "least": 0.1}
SRRESNET = {"scales": [4], "width": 64, "residual": "none", "optimiser": "adam", "warm_up": 0, "muon_lr": 0.02}
SRGAN = {"scales": [4], "pixel_weight": 1.0, "perceptual_weight": 0.006, "perceptual_tap": "relu5_4",
         "adversarial_weight": 1e-3, "lr": 1e-4, "batch": 16, "patch": 96, "ema": 0.0, "width": 64, "d_width": 64,
         "d_hidden": 1024}
FACES = {"batch": 16, "patch": 128, "ema": 0.0, "residual": False, "jitter": 0.0, "schedule": "constant"}
RECIPES = {
    "super_resolution": {
        "vdsr_bnn": ON_VDSR,
        "vdsr_dorefa": {**ON_VDSR, "weight_bits": 1, "activation_bits": 1, "grad_bits": 32},
        "vdsr_abc": {**ON_VDSR, "weight_planes": 1, "activation_planes": 1},
        "vdsr_bam": {**ON_VDSR, **SHARES},
        "srresnet": {**BINARY, **SRRESNET, "blocks": 16, "bias": False, "loss": "mse", "schedule": "constant"},
        "srresnet_bam": {**BINARY, **SRRESNET, **SHARES, "blocks": 16, "bias": False},
        "bsrn_bam": {**BINARY, **SRRESNET, **SHARES, "blocks": 5, "per_block": 4, "bias": True,
                     "skip": False},
        "sa_subpixel_sr": {**SRGAN, "blocks": 16, "attention": True, "attn_pool": False, "attn_spectral": False,
                           "tanh": False, "start": "random", "schedule": "step",
                           "steps": {"pixel": 1_000_000, "gan": 200_000}},
        "mardgan": {**SRGAN, "blocks": 4, "growth": 32, "spp": [], "residual": "none", "last_std": 0.0,
                    "schedule": "halved", "steps": {"pixel": 200_000, "gan": 200_000}},
    },
    "face_super_resolution": {
        "fsrnet": {**FACES, "width": 64, "blocks": 3, "encoder_blocks": 12, "prior_width": 128, "hourglasses": 2,
                   "depth": 4, "d_width": 64, "kinds": ["plain"], "fine_weight": 1.0, "prior_weight": 1.0, "sigma": 1.0,
                   "adversarial_weight": 1e-3, "perceptual_weight": 0.1, "perceptual_tap": "relu3_3",
                   "optimiser": "rmsprop", "lr": 2.5e-4, "batch": 14, "steps": {"pixel": 200_000, "gan": 0}},
        "mccgn": {**FACES, "width": 64, "convolutions": 8, "skips": False, "d_width": 64, "d_hidden": 1024,
                  "kinds": ["blur_noise"], "text_share": 1.0, "pixel_weight": 1.0, "adversarial_weight": 1e-3,
                  "matching_weight": 1e-3, "lr": 2e-4, "steps": {"pixel": 100_000, "gan": 100_000}},
    },
}


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, recipes in RECIPES.items() for name in recipes])
def test_the_paper_s_recipe(task, name):
    assert registry.method_class(task, name)({}).settings == RECIPES[task][name]


def test_fsrgan_s_discriminator_is_that_of_70_pixels():
    """Of pix2pix: 2,766,657 parameters for four channels, and two channels more here."""
    with torch.device("meta"):
        judge = Fsrnet({"steps": {"pixel": 1, "gan": 1}}).build()["discriminator"]
    assert sum(p.numel() for p in judge.parameters()) == 2_766_657 + 2 * 64 * 16
