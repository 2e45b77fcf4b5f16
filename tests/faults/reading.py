"""A process of its own that reads damaged files, so that the death of a decoder is seen and takes no test with it.

    python -m tests.faults.reading

reads lines `reader TAB path` and answers each with one line: `read`, `refused: ...` or `fault: ...`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from restore_ml.base.errors import UserError

MEMORY = 12 << 30
"""Address space that a reader may ask for: a length out of a damaged file must not end the process."""
MOST_PIXELS = 4_000_000
"""Instead of the reader's own bound, so that an example takes little time."""


def _picture(path: Path) -> None:
    import numpy as np

    from restore_ml.data import pictures

    pictures.MAX_PIXELS = MOST_PIXELS
    found = pictures.read_picture(path, path.parent)
    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] in (1, 3) and found.flags.c_contiguous
    assert min(found.shape[:2]) >= pictures.MIN_SIDE


def _scene(path: Path) -> None:
    from restore_ml.data.scenes import read_scene

    found = read_scene(path, path.parent)
    assert found["target"].shape == found["reference"].shape


def _manifest(path: Path) -> None:
    from restore_ml.data.manifest import read_table

    read_table(path).to_pandas()


def _shard(path: Path) -> None:
    from restore_ml.data.shards import Shard

    for record in Shard(path):
        for value in record.arrays.values():
            value.tobytes()


def _folder_of_shards(path: Path) -> None:
    from restore_ml.data.shards import Shards

    for record in Shards(path.parent):
        for value in record.arrays.values():
            value.tobytes()


def _params(path: Path) -> None:
    from restore_ml.base.files import canonical_json
    from restore_ml.runs.settings import load

    params = load(path)
    canonical_json([[run.name, run.settings] for run in params.runs.values()]).encode()
    canonical_json([params.tasks, params.promotion, params.weights]).encode()


def _runs(path: Path) -> None:
    """A task's runs.yaml, beside a params.yaml that is in order."""
    params = path.parents[2] / "params.yaml"
    params.write_text("profile: cpu\n")
    _params(params)


def _collection(path: Path) -> None:
    from restore_ml.data.collections import describe
    from restore_ml.data.prepare import scan

    describe(path.parent)
    scan(path.parents[1])


READERS: dict[str, Callable[[Path], None]] = {
    "picture": _picture, "scene": _scene, "manifest": _manifest, "shard": _shard, "shards": _folder_of_shards,
    "params": _params, "runs": _runs, "collection": _collection}


def answer(reader: str, path: Path) -> str:
    """What became of one file: everything but a value, a `UserError` and a `Refused` is a fault."""
    from restore_ml.data.pictures import Refused

    try:
        READERS[reader](path)
    except (UserError, Refused) as error:
        text = " ".join(str(error).split())
        return f"refused: {text}" if text else "fault: an empty sentence"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"fault: {type(error).__name__}: {' '.join(str(error).split())[:200]} ({last.filename}:{last.lineno})"
    return "read"


class Worker:
    """The process, started again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, reader: str, path: Path) -> str:
        """Have one file read; `died: ...` where the process ended."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen([sys.executable, "-m", "tests.faults.reading"], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(f"{reader}\t{path}\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline().strip()
        except BrokenPipeError:
            said = ""
        return said or f"died: return code {self._process.wait()}"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait(60)


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers, sys.stdout = sys.stdout, sys.stderr  # what a decoder prints is no answer
    for line in sys.stdin:
        reader, path = line.rstrip("\n").split("\t")
        print(answer(reader, Path(path)), file=answers, flush=True)


if __name__ == "__main__":
    main()
