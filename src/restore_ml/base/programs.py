"""The programs of others that a project needs, git and DVC. What they say when they refuse is kept and told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from restore_ml.base.errors import UserError

LONGEST = 2000
"""Characters of a program's words in a sentence."""
LOCATIONS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""Set while git runs a hook, and meant for the repository of that hook."""
NO_REPOSITORY = ("not a git repository", "does not have any commits yet", "needed a single revision")
CHATTER = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|^.*(?:dvc\.org/support|Having any troubles).*$", re.MULTILINE)
"""What DVC says beside the matter: colours, and where to ask for help."""
HINTS = {
    "is not a git repository": "A downloaded archive is none: `git init` makes one",
    "inside symlinked directories": "Make it a folder again; `dvc cache dir` puts the cache, where the pictures "
                                    "lie, on another disk",
    "possible merge conflicts": "Take one side with `git checkout --ours` or --theirs of that file",
    "it is being blocked by": "Wait for that command and run this one again",
    "dubious ownership": "It belongs to another user",
}
"""What to do about the words of git and DVC that do not say it."""


class ProgramError(UserError):
    """A program refused or is not there: what was asked of it and what it said."""


class NoRepository(ProgramError):
    """There is no git, no git repository, or nothing committed in it yet: no answer, but no refusal either."""


def git(root: Path, *arguments: str) -> str:
    """The output of `git` in the folder `root`.

    Raises:
        NoRepository: `root` is in no repository of git, or nothing is committed there.
        ProgramError: git refused (a repository of somebody else, a hook, a conflict), in its own words.
    """
    kept = {name: value for name, value in os.environ.items() if name not in LOCATIONS}
    environment = kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = _run(["git", "-C", str(root), *arguments], root, environment)
    except FileNotFoundError:
        raise NoRepository("git is not installed; install it and start again.") from None
    if done.returncode:
        said = _words(done)
        kind = NoRepository if any(words in said.lower() for words in NO_REPOSITORY) else ProgramError
        raise kind(f"`git {arguments[0]}` failed in {root}: {said}")
    return done.stdout


def dvc(root: Path, *arguments: str) -> str:
    """The output of `dvc` in the project `root`; waits for another DVC that is at work there.

    Raises:
        ProgramError: DVC refused, in its own words.
    """
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    if _is_locked(root / ".dvc" / "tmp" / "lock"):
        print("Another DVC command is at work in this project; waiting for its end.", file=sys.stderr, flush=True)
    done = _run([sys.executable, "-m", "dvc", "--wait-for-lock", *arguments], root, environment)
    if done.returncode:
        shown = " ".join(["dvc", *arguments[:3], *(["..."] if len(arguments) > 3 else [])])
        raise ProgramError(f"`{shown}` failed in {root}: {_words(done)}")
    return done.stdout


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8", errors="surrogateescape", check=False)


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said, in one line that ends like a sentence."""
    said = " ".join(CHATTER.sub("", done.stderr).split()) or " ".join(CHATTER.sub("", done.stdout).split())
    said = said.replace("ERROR: ", "") or f"it ended with status {done.returncode} and no word"
    said = said if len(said) <= LONGEST else f"...{said[3 - LONGEST:]}"  # the cause stands at the end
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    return " ".join([said, *(f"{hint}." for words, hint in HINTS.items() if words in said)])


def _is_locked(path: Path) -> bool:
    """Whether some process holds a lock on the file; False where the system does not say."""
    try:
        number = f":{path.stat().st_ino}"
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(number in [word[-len(number):] for word in line.split()] for line in locks)
