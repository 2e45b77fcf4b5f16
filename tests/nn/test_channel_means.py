"""The channel means of a feature network's map, and what is said where the network does not fit."""

import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.nn.channel_means import channel_means
from restore_ml.nn.features import FeatureNet
from tests.methods.by_hand import draw


def test_the_means_of_the_map_that_is_asked_for() -> None:
    torch.manual_seed(0)
    network, pictures = FeatureNet(4), draw(2, 3, 16, 20)
    found = channel_means(network, pictures.half(), {"tap": "relu2_1", "channels": 8}, "memopainter")
    maps = network(pictures.half().float(), ["relu2_1"])["relu2_1"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.stack([maps[:, channel].mean((1, 2)) for channel in range(8)], 1))


def test_a_network_that_does_not_fit_is_a_sentence() -> None:
    for channels in (7, 16):
        settings = {"tap": "relu2_1", "channels": channels}
        with pytest.raises(UserError, match="relu2_1 of the feature network has 8 channels; set `channels` of "
                                            f"memopainter, which is {channels}, to that"):
            channel_means(FeatureNet(4), draw(1, 3, 16, 16), settings, "memopainter")
    with pytest.raises(UserError, match="classifier_guided needs a feature network; name one in the slot `features`"):
        channel_means(None, draw(1, 3, 16, 16), settings, "classifier_guided")
