"""The first template of docs/adding-a-method.md, installed as a package of its own, found by its entry point and
trained; and what the page quotes of the templates stands in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

DOCS = Path(__file__).parents[1] / "docs" / "adding-a-method.md"
TEMPLATES = DOCS.parent / "templates"
SLOTS = "empty: &empty {features: none, teacher: none, recogniser: none, parts: none}\n"
"""What every runs.yaml says before its runs."""

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from restore_ml import registry
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.data import shards
from restore_ml.degradations.resize import imresize
from restore_ml.method import Model
from restore_ml.runs.settings import load
from restore_ml.tasks.base import Material
from restore_ml.training.train import train_run

root = Path(sys.argv[1])
run = load(root / "params.yaml").runs["super_resolution/espcn"]
training = registry.parts("super_resolution").training
yy, xx = np.mgrid[0:96, 0:96]
wave = 127 + 100 * np.sin(xx / 5) * np.cos(yy / 7)
picture = np.repeat(wave[:, :, None], 3, 2).astype(np.uint8)
folder = root / "samples/super_resolution/train"
records = training.records([shards.Record("ab" * 32, {"image": picture}, {"name": "wave"})], 1, {"scales": [3]})
shards.write(folder / "a.arrow", records)
spec = {"run": "espcn", "task": run.task, "method": run.method, "slots": {}, "seed": 1, "settings": run.settings,
        "threads": 1, "precision": "fp32", "versions": {}, "modules": {}}
facts = train_run(spec, root, root / "models/espcn")
method, model = load_model(root / "models/espcn", root)
lr = imresize(picture, 1 / 3)
sr = restore(method, model, {"lr": lr, "scale": np.array(3, np.int32)}, 1)["sr"]
mse = float(((sr.astype(float) - picture) ** 2).mean())
print(json.dumps({"facts": facts, "shape": sr.shape, "mse": mse, "names": registry.method_names("super_resolution")}))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source" / "my_package"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "espcn.py").write_text((TEMPLATES / "espcn.py").read_text(encoding="utf-8"))
    (source.parent / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "my-package"\nversion = "1.0"\n[tool.setuptools]\npackages = ["my_package"]\n'
        + blocks("toml")[0])
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index",
                    "--target", str(folder / "site"), str(source.parent)], check=True, capture_output=True)
    return folder


def test_the_example_is_found_and_trains(installed):
    steps = "quick: {steps: 400, width: 16, patch: 48, batch: 4, lr: 0.003}"
    entry = re.sub(r"quick: \{.*\}", steps, blocks("yaml")[0])
    (installed / "params.yaml").write_text("profile: quick\n")
    graph = installed / "graph" / "super_resolution"
    graph.mkdir(parents=True)
    (graph / "runs.yaml").write_text("task: super_resolution\n" + SLOTS + entry)
    environment = os.environ | {"PYTHONPATH": str(installed / "site"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(installed)], env=environment, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert "espcn" in answer["names"] and "bicubic" in answer["names"]
    assert answer["facts"]["status"] == "ok" and answer["facts"]["steps"] == 400
    assert answer["facts"]["parameters_total"] == (75 * 16 + 16) + (144 * 8 + 8) + (72 * 27 + 27)
    assert answer["shape"] == [96, 96, 3]
    assert answer["mse"] < 400  # a grey picture would have about 2,500


def test_what_the_page_quotes_stands_in_the_templates():
    files = [path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.py"))]
    for block in blocks("python"):
        assert any(block in text for text in files), block
    quoted = YAML(typ="safe").load(SLOTS + blocks("yaml")[0])
    listed = YAML(typ="safe").load(TEMPLATES / "runs.yaml")["runs"]
    assert quoted["runs"] == {"espcn": quoted["empty"] | {key: value for key, value in listed["espcn"].items()
                                                          if key != "task"}}


def test_the_page_leads_to_every_template():
    linked = set(re.findall(r"\(templates/(\w+)\.py\)", DOCS.read_text(encoding="utf-8")))
    assert linked == {path.stem for path in TEMPLATES.glob("*.py")}
