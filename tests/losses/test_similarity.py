"""SSIM as an objective is the metric, and teaches."""

import numpy as np
import pytest
import torch

from restore_ml.losses.similarity import ssim
from restore_ml.metrics import fidelity


@pytest.mark.parametrize(("peak", "channels", "size"), [(1.0, 1, (11, 30)), (255.0, 3, (25, 19))])
def test_it_is_the_metric(peak, channels, size):
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(2, channels, *size, generator=draws)
    y = (0.7 * x + 0.3 * torch.rand(x.shape, generator=draws))
    values = ssim(x * peak, y * peak, peak)
    for number in range(2):
        a, b = (np.moveaxis(one[number].double().numpy(), 0, 2) for one in (x, y))
        assert values[number].item() == pytest.approx(fidelity.ssim(a * peak, b * peak, peak), abs=1e-4)
    assert values.shape == (2,) and values.dtype == torch.float32


def test_it_is_1_for_equal_pictures_symmetric_and_has_a_gradient():
    draws = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 1, 2, 16, 16, generator=draws)
    assert torch.allclose(ssim(x, x), torch.ones(1)) and torch.allclose(ssim(x, y), ssim(y, x))
    x.requires_grad_(True)
    before = ssim(x, y)
    gradient, = torch.autograd.grad(before.sum(), x)
    assert ssim(x.detach() + 0.1 * gradient / gradient.abs().max(), y) > before
