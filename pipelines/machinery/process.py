"""One of the processes that share a training: joins the others, trains its part, leaves a note of how it ended."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from pipelines.machinery.client import die_with_parent
from pipelines.machinery.launched import BUG, ENDED, LOST, MISTAKE, TRANSIENT
from restore_ml.base.errors import sentence
from restore_ml.base.files import write_json


def main(key: str, folder: str, parent: str, word: str = "") -> int:
    """One of the processes: join the others, train, leave a note; the exit status."""
    die_with_parent(int(parent))
    end, text = ENDED, ""
    try:
        if _train(key, Path(folder), word)["status"] == TRANSIENT:
            end = TRANSIENT
    except Exception as error:
        told = sentence(error)
        end = MISTAKE if told else LOST if type(error).__name__ == "PeerLost" else BUG
        text = told or traceback.format_exc()
    write_json(Path(folder) / f"{os.environ['RANK']}.json", {"end": end, "text": text})
    return 0 if end == ENDED else 1


def _train(key: str, folder: Path, word: str) -> dict[str, Any]:
    import torch

    from pipelines.train import train

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group(backend, init_method=f"file://{folder / 'meeting'}", rank=rank,
                                         world_size=world)
    return train(key, word, shown=rank == 0)


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without the farewells of the process group, whose other members may be gone
