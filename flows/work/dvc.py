"""DVC at work for a rebuild: what it says goes to the screen, and it ends with the process that started it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pipelines.machinery.client import with_parent
from restore_ml.base.errors import UserError


def dvc(root: Path, environment: dict[str, str], *arguments: str) -> None:
    """Run DVC in the project.

    Raises:
        UserError: it failed; its own words are on the screen.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=False,
                          preexec_fn=with_parent())
    if done.returncode:
        raise UserError(f"`dvc {arguments[0]}` stopped for the reason above; what was finished is kept.")


def changed(root: Path, environment: dict[str, str], stages: list[str]) -> set[str]:
    """The stages that `dvc status` names, of `stages` or of all.

    Raises:
        UserError: DVC failed, in its own words.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", "status", "--json", *stages], cwd=root, env=environment,
                          capture_output=True, text=True, check=False, preexec_fn=with_parent())
    try:
        return set(json.loads(done.stdout))
    except ValueError:
        raise UserError(f"`dvc status` said: {' '.join((done.stderr or done.stdout).split())[-500:]}") from None
