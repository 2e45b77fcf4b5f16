"""Which wrong lines the tests notice: one mutant at a time in a copy of the project, and its tests.

    python benchmarks/mutations.py loop                    # the mutants of tests/mutants/loop.json
    python benchmarks/mutations.py vdsr glcic --auto 12    # the listed ones and twelve more from the syntax tree
    python benchmarks/mutations.py src/restore_ml/nn/unet.py --tests tests/nn/test_unet.py --auto 20

A target is a list in tests/mutants, a method or a source file. A list is {"tests": [arguments of pytest], "mutants":
[{"file", "old", "new", "kind"}]}; each `old` is in its file exactly once. Without a list 12 mutants are made (swapped
signs and arguments, dropped terms, factors, detaches and means, turned masks and comparisons, exchanged real and fake,
constants tenfold), always the same for a seed, and a method is tested by the files of tests/methods that name it.

A mutant is caught when a test fails, or takes more processor time than the limit. The working tree is never touched.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mutants import Mutant, listed, made

ROOT = Path(__file__).parents[1]
LISTS = "tests/mutants"
FEWEST = 12
"""How many are made for a target without a list."""
NEVER = 3600.0
WAITED = 20
"""Times the limit that a mutant may take on the clock: one that waits for ever uses no processor."""
PRELOADED = ["hypothesis", "numpy", "scipy.stats", "pyarrow", "cv2", "PIL.Image", "skimage.color", "accelerate",
             "safetensors.torch", "torch", "torch._dynamo", "torch.utils.flop_counter", "torch.utils.data"]
"""What the tests of most targets import; nothing of the project, which each fork reads anew."""


@dataclass
class Target:
    """What is changed and what must notice."""

    name: str
    tests: list[str]
    mutants: list[Mutant]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--auto", type=int, default=0, metavar="N", help="so many mutants from the syntax tree")
    parser.add_argument("--seed", type=int, default=1, help="which ones are made")
    parser.add_argument("--tests", nargs="+", default=[], help="arguments of pytest instead of those of the list")
    parser.add_argument("--workers", type=int, default=1, help="how many mutants are tested at a time")
    parser.add_argument("--limit", type=float, default=0.0, help="processor seconds a mutant (at least 30)")
    parser.add_argument("--least", type=float, default=0.0, metavar="PERCENT", help="end with 1 when a target has less")
    parser.add_argument("--root", type=Path, default=ROOT, help="the project (this one)")
    parser.add_argument("--list", action="store_true", help="say what would be changed, and end")
    parser.add_argument("--preload", nargs="*", default=PRELOADED, help="libraries that are loaded once, not each time")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.preload)
    if not options.targets:
        parser.error("name a target: a list in tests/mutants, a method or a source file")
    try:
        targets = [target(options.root, name, options) for name in options.targets]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        for each in targets:
            for mutant in each.mutants:
                print(mutant.described(_read(options.root, mutant.file)))
        return 0
    return run(targets, options)


def target(root: Path, name: str, options: argparse.Namespace) -> Target:
    """A target by its name. Raises `ValueError` where there is none or its list does not fit the files."""
    path = root / LISTS / f"{name}.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    files = list(dict.fromkeys(entry["file"] for entry in entries.get("mutants", []))) or _files(root, name)
    mutants = []
    for entry in entries.get("mutants", []):
        try:
            mutants.append(listed(entry["file"], _read(root, entry["file"]), entry))
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: {error}") from None
    wanted = options.auto or (0 if mutants else FEWEST)
    for file in files:
        mutants += made(file, _read(root, file), -(-wanted // len(files)), options.seed)
    tests = options.tests or entries.get("tests") or _tests(root, files[0])
    if not tests:
        raise ValueError(f"No test of tests/methods names {name}; say which with --tests.")
    return Target(name, tests, mutants)


def _files(root: Path, name: str) -> list[str]:
    """The source file that a target without a list means."""
    if (root / name).is_file():
        return [name]
    found = sorted((root / "src").glob(f"*/methods/*/{name}.py"))
    if not found:
        raise ValueError(f"{name} is neither a list in {LISTS}, nor a method, nor a file of {root}.")
    return [found[0].relative_to(root).as_posix()]


def _tests(root: Path, file: str) -> list[str]:
    word = re.compile(rf"\b{re.escape(Path(file).stem)}\b")
    return [path.relative_to(root).as_posix() for path in sorted((root / "tests/methods").glob("test_*.py"))
            if word.search(path.read_text(encoding="utf-8"))]


def _read(root: Path, file: str) -> str:
    return (root / file).read_text(encoding="utf-8")


# --- running ----------------------------------------------------------------------------------------------------------


def run(targets: list[Target], options: argparse.Namespace) -> int:
    """Test all mutants; prints each and a table. 0, 1 below the `least`, 2 when unchanged tests fail."""
    root, workers = options.root, options.workers
    results: dict[str, list[bool]] = {each.name: [] for each in targets}
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        pool: SimpleQueue[Copy] = SimpleQueue()
        copies = [Copy(root, Path(folder) / str(number), options.preload) for number in range(workers)]
        try:
            for copy in copies:
                pool.put(copy)
            for each in targets:
                outcome = copies[0].test(each.tests, NEVER)
                if outcome["word"] != "passed":
                    print(f"{each.name}: the unchanged tests {outcome['word']}: {outcome['why']}", file=sys.stderr)
                    return 2
                most = options.limit or max(30.0, 5 * outcome["seconds"])
                print(f"{each.name}: {len(each.mutants)} mutants, {outcome['seconds']:.1f} processor seconds unchanged",
                      flush=True)
                with ThreadPoolExecutor(workers) as threads:
                    results[each.name] = list(threads.map(
                        lambda mutant, each=each, most=most: _one(root, pool, each, mutant, most), each.mutants))
        finally:
            for copy in copies:
                copy.close()
    print("\n| target | mutants | caught | missed | share |\n|---|---|---|---|---|")
    shares = {name: 100 * sum(caught) / max(1, len(caught)) for name, caught in results.items()}
    for name, caught in results.items():
        print(f"| {name} | {len(caught)} | {sum(caught)} | {len(caught) - sum(caught)} | {shares[name]:.0f} % |")
    return int(min(shares.values()) < options.least)


def _one(root: Path, pool: SimpleQueue[Copy], each: Target, mutant: Mutant, limit: float) -> bool:
    copy, text = pool.get(), _read(root, mutant.file)
    try:
        outcome = copy.test(each.tests, limit, {mutant.file: mutant.apply(text)}, {mutant.file: text})
    finally:
        pool.put(copy)
    caught = outcome["word"] != "passed"
    # In one piece: `print` writes the end of a line by itself, and two threads' lines would run together.
    sys.stdout.write(f"{'caught' if caught else 'MISSED'}  {mutant.described(text)}  [{outcome['why']}]\n")
    sys.stdout.flush()
    return caught


class Copy:
    """A copy of the project's files (what git tracks or would) and a process in which the libraries are loaded: it
    forks for each run of the tests, which saves their start."""

    def __init__(self, root: Path, folder: Path, preload: list[str]) -> None:
        self.folder = folder
        for name in _tracked(root):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
        path = os.pathsep.join([str(folder / "src"), str(folder)])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen([sys.executable, str(Path(__file__).resolve()), "--work", "--preload",
                                         *preload], cwd=folder,
                                        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def test(self, tests: list[str], limit: float, changed: dict[str, str] | None = None,
             after: dict[str, str] | None = None) -> dict[str, Any]:
        """Run pytest with some files changed: {"word": passed, failed or timed out, "why", "seconds"}."""
        assert self.process.stdin and self.process.stdout
        self._write(changed or {})
        try:
            self.process.stdin.write(json.dumps([tests, limit]) + "\n")
            self.process.stdin.flush()
            return dict(json.loads(self.process.stdout.readline()))
        finally:
            self._write(after or {})

    def _write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _tracked(root: Path) -> list[str]:
    done = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "-c", "-o", "--exclude-standard"],
                          capture_output=True, text=True, check=False)
    names = done.stdout.split("\0") if done.returncode == 0 else [
        path.relative_to(root).as_posix() for path in root.rglob("*")]
    return [name for name in names if name and (root / name).is_file()]


def work(preload: list[str]) -> int:
    """The process of a copy: for each line on its input it forks, runs pytest and says how it ended."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import pytest

    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if "hypothesis" in sys.modules:
        from hypothesis import Phase, settings

        # A failure is enough; the search for its smallest example would take most of the time.
        settings.register_profile("mutants", phases=[Phase.explicit, Phase.reuse, Phase.generate])
        settings.load_profile("mutants")
    for line in sys.stdin:
        tests, limit = json.loads(line)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            child = os.fork()
            if child == 0:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 5))
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
                status = 3
                try:
                    status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
                finally:
                    os._exit(status)
            code, seconds = _wait(child, WAITED * limit)
            said.seek(0)
            word, why = _outcome(code, said.read())
        answers.write(json.dumps({"word": word, "why": why, "seconds": seconds}) + "\n")
        answers.flush()
    return 0


def _wait(child: int, limit: float) -> tuple[int | None, float]:
    """The exit status (negative: a signal; None after the limit) and the processor time of the child and of its own
    children; nothing of it is left running."""
    end = time.monotonic() + limit
    status, seconds = None, 0.0
    while time.monotonic() < end:
        ended, code, used = os.wait4(child, os.WNOHANG)
        if ended:
            status, seconds = os.waitstatus_to_exitcode(code), used.ru_utime + used.ru_stime
            break
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status, seconds


def _outcome(status: int | None, said: str) -> tuple[str, str]:
    if status in (None, -signal.SIGXCPU):
        return "timed out", "time"
    if status == 0:
        return "passed", "-"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return "failed", failed[1] if failed else " ".join(said.split())[-300:] or f"exit {status}"


if __name__ == "__main__":
    sys.exit(main())
