from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_json
from restore_ml.nn.features import CONVOLUTIONS, MEAN, STD, TAPS, FeatureNet, equalise, load_features


def torchvision_layout(network: FeatureNet) -> nn.Sequential:
    """VGG19's `features` as torchvision numbers them, with the network's weights: an independent forward pass."""
    layers: list[nn.Module] = []
    for index, name in enumerate(CONVOLUTIONS):
        layers += [network.convolutions[name], nn.ReLU()]
        if index + 1 == len(CONVOLUTIONS) or CONVOLUTIONS[index + 1][0] != name[0]:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def test_paper_width_is_vgg19() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in FeatureNet(64).parameters()) == 20_024_384


def test_taps_equal_a_plain_vgg19() -> None:
    torch.manual_seed(0)
    network = FeatureNet(4)
    plain, x = torchvision_layout(network), torch.rand(2, 3, 32, 32)
    assert [index for index, layer in enumerate(plain) if isinstance(layer, nn.Conv2d)] == [
        0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    assert network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])  # ImageNet's red, green, blue
    assert network.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    maps = network(x, [*TAPS, "pool3"])
    torch.testing.assert_close(maps["relu2_1"], plain[:7]((x - mean) / std))
    torch.testing.assert_close(maps["pool3"], plain[:19]((x - mean) / std))
    torch.testing.assert_close(maps["relu5_4"], plain[:36]((x - mean) / std))
    torch.testing.assert_close(network(x, ["relu1_2"], normalise=False)["relu1_2"], plain[:4](x))
    assert list(network(x)) == list(TAPS)


def test_unknown_tap_is_refused() -> None:
    with pytest.raises(UserError, match="relu9_9"):
        FeatureNet(2)(torch.rand(1, 3, 16, 16), ["relu9_9"])


def test_equalised_channels_have_a_mean_square_of_one_and_the_same_function() -> None:
    torch.manual_seed(1)
    network, pictures = FeatureNet(4), torch.rand(8, 3, 32, 32)
    before = network(pictures)
    equalise(network, pictures)
    after = network(pictures)
    for tap in TAPS:
        strength, first = (maps[tap].square().mean((0, 2, 3)).sqrt() for maps in (after, before))
        alive = first > 0
        torch.testing.assert_close(strength[alive], torch.ones_like(strength[alive]), atol=1e-3, rtol=0)
        assert alive.float().mean() > 0.5 and not strength[~alive].any()
        scaled = before[tap] / torch.where(alive, first, torch.ones_like(first)).view(1, -1, 1, 1)
        torch.testing.assert_close(after[tap], scaled, atol=1e-3, rtol=1e-3)


def test_a_channel_that_fires_at_one_place_of_4096_is_not_blown_up() -> None:
    """Set to a mean of 1 it would peak at 4096; with a mean square of 1 it peaks at 64, its square root."""
    torch.manual_seed(2)
    network, pictures = FeatureNet(2), torch.full((4, 3, 32, 32), 0.25)
    pictures[1, :, 16, 9] = 1.0
    first = network.convolutions["1_1"]
    assert isinstance(first, nn.Conv2d) and first.bias is not None
    with torch.no_grad():  # channel 0: the centre's red, in [0, 1], above a half; channel 1: everywhere 1
        first.weight.zero_()
        first.weight[0, 0, 1, 1] = STD[0]
        first.bias.copy_(torch.tensor([MEAN[0] - 0.5, 1.0]))
    assert int((network(pictures, ["relu1_1"])["relu1_1"][:, 0] > 0).sum()) == 1
    equalise(network, pictures)
    maps = network(pictures, ["relu1_1"])["relu1_1"]
    assert maps[1, 0, 16, 9].item() == pytest.approx(64) and torch.allclose(maps[:, 1], torch.ones(1))
    assert maps.square().mean((0, 2, 3)).tolist() == pytest.approx([1, 1])


def test_loads_torchvision_layout(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = FeatureNet(4)
    state = {f"features.{key}": value.clone() for key, value in torchvision_layout(network).state_dict().items()}
    path = tmp_path / "vgg19.safetensors"
    save_file(state | {"classifier.0.bias": torch.zeros(3)}, path)
    loaded, x = load_features(path), torch.rand(1, 3, 16, 16)
    assert loaded.source.startswith("imagenet-") and not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(loaded(x)["relu5_4"], network(x)["relu5_4"])


def test_loads_a_run_and_refuses_what_is_none(tmp_path: Path) -> None:
    network = FeatureNet(2)
    save_file({f"features.{key}": value for key, value in network.state_dict().items()},
              tmp_path / "weights.safetensors")
    digest = sha256_of_file(tmp_path / "weights.safetensors")
    facts = {"status": "ok", "reason": "", "settings": {"width": 2}, "weights_sha256": digest}
    write_json(tmp_path / "model.json", facts)
    assert load_features(tmp_path).source == f"minivgg-{digest[:8]}"
    write_json(tmp_path / "model.json", facts | {"status": "failed", "reason": "diverged"})
    with pytest.raises(UserError, match="diverged"):
        load_features(tmp_path)
    broken = tmp_path / "vgg.safetensors"
    broken.write_bytes(b"not a state dict")
    with pytest.raises(UserError, match="torchvision's layout"):
        load_features(broken)
    with pytest.raises(UserError, match="correct `weights`"):
        load_features(tmp_path / "absent.safetensors")


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="pickles are never opened here"):
        load_features(path)
    assert not (tmp_path / "ran").exists()
    torch.save({"features.0.bias": torch.zeros(3)}, tmp_path / "harmless.pth")
    with pytest.raises(UserError, match=r"'harmless.safetensors'"):
        load_features(tmp_path / "harmless.pth")
