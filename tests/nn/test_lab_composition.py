"""Lab joined to RGB: the usual colours where they exist, and a gradient to ab everywhere."""

import numpy as np
import torch
from skimage.color import lab2rgb

from restore_ml.degradations.colour import lab_to_rgb, rgb_to_lab
from restore_ml.nn.lab_composition import composed


def test_colours_that_exist_are_skimage_s() -> None:
    rgb = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lab = rgb_to_lab(rgb)
    made = composed(lab[:, :1], lab[:, 1:])
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made.numpy(), rgb.numpy(), atol=2e-5)
    np.testing.assert_allclose(made.movedim(1, -1).numpy(), lab2rgb(lab.movedim(1, -1).numpy()), atol=2e-5)


def test_other_colours_go_on_where_the_clip_would_cut() -> None:
    draws = torch.Generator().manual_seed(0)
    lightness = 100 * torch.rand(1, 1, 32, 32, generator=draws)
    ab = (160 * torch.rand(1, 2, 32, 32, generator=draws) - 80).requires_grad_(True)
    made = composed(lightness, ab)
    clipped = lab_to_rgb(torch.cat([lightness, ab], 1))
    assert ((made < 0) | (made > 1)).any(1).float().mean() > 0.4  # most random colours lie outside sRGB
    torch.testing.assert_close(made.clip(0, 1), clipped, atol=1e-5, rtol=1e-4)
    gradient, = torch.autograd.grad(made.sum(), ab)
    assert torch.isfinite(gradient).all() and (gradient.abs().sum(1) > 0).all()


def test_grey_is_grey() -> None:
    made = composed(torch.full((1, 1, 2, 2), 53.5850), torch.zeros(1, 2, 2, 2))
    torch.testing.assert_close(made, torch.full((1, 3, 2, 2), 128 / 255), atol=1e-4, rtol=0)
