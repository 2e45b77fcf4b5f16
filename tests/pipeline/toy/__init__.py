"""A task and a kind of data that no other file knows: what they need to go through everything.

Clips in, class maps out; an unpaired picture beside each clip; no truth; a figure of the whole set that needs the model
of another run. `lay` puts the files into a copy of the project.
"""

from __future__ import annotations

import shutil
from pathlib import Path

HERE = Path(__file__).parent
PLACES = {"films.py": "data/domains", "task.py": "tasks/motion", "training.py": "tasks/motion",
          "cases.py": "tasks/motion", "evaluation.py": "tasks/motion", "still.py": "methods/motion",
          "mover.py": "methods/motion"}
"""Each file's folder below src/restore_ml."""
RUNS = """\
task: motion
tables: [motion]
domain: films
other_domain: photos
judge: representation/features
default: mover
samples: {}
margins: {}
empty: &empty {features: none, teacher: none, recogniser: none, parts: none}
runs: &runs
  still: *empty
  mover: *empty
tested: *runs
"""


def lay(root: Path) -> None:
    """The three places of a task (its folder of tasks/, its folder of methods/, its runs) and the file of a domain."""
    for name, place in PLACES.items():
        target = root / "src/restore_ml" / place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / f"{name}.txt", target)
    (root / "graph/motion").mkdir()
    (root / "graph/motion/runs.yaml").write_text(RUNS, encoding="utf-8")
    for folder in ("tasks", "methods"):
        (root / f"src/restore_ml/{folder}/motion/__init__.py").write_text('"""Motion."""\n', encoding="utf-8")
