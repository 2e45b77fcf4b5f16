from pathlib import Path

import numpy as np
import pytest
import torch

from restore_ml.data import shards
from restore_ml.method import Context
from restore_ml.methods.representation.features import METHOD
from restore_ml.nn.features import TAPS
from restore_ml.tasks.base import Material

SMALL = {"width": 4, "buckets": 5, "patch": 24, "calibration": 9}


@pytest.fixture
def material(tmp_path: Path) -> Material:
    rng = np.random.default_rng(1)
    records = [shards.Record(f"{number:02x}", {"image": rng.integers(0, 256, (40, 32 + number, 3), dtype=np.uint8)})
               for number in range(4)]
    shards.write(tmp_path / "a.arrow", records)
    return Material(tmp_path)


def test_finish_gives_every_living_channel_a_mean_square_of_one(material: Material) -> None:
    torch.manual_seed(0)
    method = METHOD(SMALL)
    networks = method.build()
    crops = method.calibration_crops(material, 1)
    assert crops.shape == (9, 3, 24, 24) and float(crops.max()) <= 1
    assert torch.equal(crops, method.calibration_crops(material, 1))
    assert not torch.equal(crops, method.calibration_crops(material, 2))
    assert all(not torch.equal(crops[n], crops[n + 4]) for n in range(4))  # of one picture, from another place
    with torch.no_grad():
        alive = {tap: maps.mean((0, 2, 3)) > 0 for tap, maps in networks["features"](crops).items()}
        method.finish(networks, material, 1)
        for tap, maps in networks["features"](crops).items():
            means = maps.square().mean((0, 2, 3))[alive[tap]]
            torch.testing.assert_close(means, torch.ones_like(means), atol=2e-3, rtol=0)
    assert set(alive) == set(TAPS)


def test_objective_learns_to_tell_two_pictures_apart() -> None:
    torch.manual_seed(0)
    method = METHOD(SMALL | {"steps": 25, "lr": 3e-3})
    networks = method.build()
    phase, = method.phases()
    player, = phase.players
    optimiser = player.optimiser([p for name in player.networks for p in networks[name].parameters()])
    red, blue = torch.zeros(4, 3, 24, 24), torch.zeros(4, 3, 24, 24)
    red[:, 0], blue[:, 2] = 0.9, 0.9
    pictures, ids = torch.cat([red, blue]), ["a"] * 4 + ["c"] * 4
    seen = []
    for step in range(25):
        context = Context({"image": pictures}, {"image": pictures}, ids, networks, step=step, steps=25,
                          generator=torch.Generator().manual_seed(step))
        terms = player.loss(context)
        assert set(terms) == {"turn", "picture"}
        optimiser.zero_grad()
        sum(terms.values(), torch.zeros(())).backward()
        optimiser.step()
        seen.append(float(terms["picture"].detach()))
    assert seen[0] > 1 and np.mean(seen[-5:]) < 0.5 * seen[0]
