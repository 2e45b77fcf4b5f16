"""The generator of EdgeConnect against its authors' layers, and edges against scikit-image's."""

from typing import Any

import numpy as np
import pytest
import torch
from skimage import color, feature
from skimage.data import astronaut
from torch import nn

from restore_ml.nn.edge_networks import Generator, canny, rgb_to_grey


@pytest.mark.parametrize("spectral", [True, False])
def test_the_generators_are_the_authors(spectral: bool) -> None:
    torch.manual_seed(0)
    network: Any = Generator(3, 2, 64, 2, spectral)
    convolutions = [(m.kernel_size[0], -m.stride[0] if isinstance(m, nn.ConvTranspose2d) else m.stride[0],
                     m.out_channels, hasattr(m, "parametrizations")) for m in network.body
                    if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert convolutions == [(7, 1, 64, spectral), (4, 2, 128, spectral), (4, 2, 256, spectral), (4, -2, 128, spectral),
                            (4, -2, 64, spectral), (7, 1, 2, False)]
    names = [type(part).__name__ for part in network.body]
    layer, up = ["Conv2d", "InstanceNorm2d", "ReLU"], ["ConvTranspose2d", "InstanceNorm2d", "ReLU"]
    plain = [name.replace("Parametrized", "") for name in names]
    assert plain == ["ReflectionPad2d", *layer, *layer, *layer, "ResidualBlock", "ResidualBlock", *up, *up,
                     "ReflectionPad2d", "Conv2d"]
    assert all(not part.affine and not part.track_running_stats for part in network.modules()
               if isinstance(part, nn.InstanceNorm2d))
    last = network.body[-1]
    assert last.weight.std().item() == pytest.approx(0.02, rel=0.05) and not last.bias.any()
    first = network.body[1].weight
    assert spectral or first.std().item() == pytest.approx(0.02, rel=0.05)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, -2.0]))
    made = network(torch.rand(1, 3, 16, 20))
    wanted = 1 / (1 + np.exp([-1, 2])) if spectral else (np.tanh([1, -2]) + 1) / 2
    assert made.shape == (1, 2, 16, 20) and made[0, :, 3, 4].tolist() == pytest.approx(list(wanted))


def test_spectral_normalisation_keeps_the_edge_networks_largest_singular_value_at_one() -> None:
    torch.manual_seed(0)
    network: Any = Generator(3, 1, 8, 1, True)
    for _ in range(40):
        network(torch.rand(1, 3, 12, 12))
    for part in network.modules():
        if hasattr(part, "parametrizations"):
            largest = torch.linalg.matrix_norm(part.weight.transpose(0, int(isinstance(part, nn.ConvTranspose2d)))
                                               .flatten(1), 2).item()
            assert largest == pytest.approx(1, abs=0.05)


def test_edges_are_cannys_and_a_hole_gives_none() -> None:
    picture = torch.from_numpy(astronaut()[:96, 150:246].astype(np.float32) / 255).permute(2, 0, 1)[None]
    grey = rgb_to_grey(picture)
    np.testing.assert_allclose(grey[0, 0].numpy(), color.rgb2gray(picture[0].permute(1, 2, 0).numpy()), atol=1e-6)
    whole = canny(grey, 2.0)
    assert np.array_equal(whole[0, 0].numpy() > 0, feature.canny(grey[0, 0].numpy(), sigma=2.0))
    flat, mask = torch.full((1, 1, 48, 48), 0.5), torch.zeros(1, 1, 48, 48)
    mask[..., 16:32, 16:32] = 1
    assert canny(flat * (1 - mask), 2.0, mask).sum() == 0 and canny(flat * (1 - mask), 2.0).sum() > 0
