"""A small DVC repository that pushes to a real server and pulls from it, by the commands that the scripts print."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from restore_ml.seeds import generator


class Repository:
    """A git and DVC repository with a folder of small files and one of 9 MB, which S3 gets in parts."""

    def __init__(self, root: Path, dvc: str = "dvc") -> None:
        self.root, self.program = root, dvc
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("AWS_", "SSH_", "GIT_"))}
        self.environment |= {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                             "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    @classmethod
    def make(cls, root: Path) -> Repository:
        """A new one, its data in the cache."""
        made = cls(root)
        (root / "data").mkdir(parents=True)
        for number in range(12):
            (root / "data" / f"{number}.bin").write_bytes(generator("remote", number).bytes(20_000))
        (root / "data" / "large.bin").write_bytes(generator("remote", "large").bytes(9_000_000))
        made.run("git", "init", "-q")
        made.dvc("init", "-q")
        made.dvc("add", "-q", "data")
        return made

    @classmethod
    def copy(cls, other: Repository, root: Path, dvc: str) -> Repository:
        """Another one's copy, used by the program `dvc`."""
        shutil.copytree(other.root, root)
        return cls(root, dvc)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False,
                              timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(self.program, *arguments, check=check)

    def refused(self, *arguments: str) -> str:
        """What DVC says on its screen when it cannot; never a stack trace."""
        done = self.dvc(*arguments, check=False)
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def follow(self, lines: str) -> None:
        """Run what a start script printed, except its last line, the push."""
        commands = [line for line in lines.splitlines() if not line.startswith("#")]
        assert commands[-1].split()[1] == "push"
        for command in commands[:-1]:
            self.run(*shlex.split(command))
        assert "config.local" not in self.run("git", "status", "--short", "-uall").stdout

    def configure(self, remote: str, **settings: object) -> None:
        """Write this checkout's settings of a remote, as `dvc remote modify --local` does."""
        lines = [f"['remote \"{remote}\"']", *[f"    {key} = {value}" for key, value in settings.items()]]
        (self.root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "data").iterdir()}

    def forget(self) -> None:
        """What another machine has: neither the cache nor the data."""
        shutil.rmtree(self.root / ".dvc" / "cache")
        shutil.rmtree(self.root / ".dvc" / "tmp")
        shutil.rmtree(self.root / "data")


def addresses(pid: int) -> set[str]:
    """The addresses that a process and its children listen on; a child that ends meanwhile listens on none."""
    process = psutil.Process(pid)
    found = {connection.laddr.ip for connection in process.net_connections() if connection.status == "LISTEN"}
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {connection.laddr.ip for connection in child.net_connections() if connection.status == "LISTEN"}
    return found
