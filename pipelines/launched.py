"""A training in several processes, started by `accelerate launch`: the side that starts them and the side that trains.

The processes meet over a file and talk over the loopback interface (gloo on processors, NCCL on GPUs), so nothing
listens to the network. Each leaves a note of how it ended, for the launcher says only that one of them failed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from pipelines.client import die_with_parent
from restore_ml.errors import UserError
from restore_ml.files import read_json, write_json

LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": LOOPBACK, "NCCL_SOCKET_IFNAME": LOOPBACK,
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # the launcher's own server would listen on every interface
}
ENDED, BUG, MISTAKE, TRANSIENT, LOST = "ended", "bug", "mistake", "transient", "lost"


def launch(key: str, word: str, processes: int, threads: int) -> int:
    """Train the run `key` in `processes` processes; the exit status, with the process killed where one of them was.

    Raises:
        UserError: a user's mistake in one of them, or fewer GPUs than processes.
    """
    os.environ.update(ENVIRONMENT)
    from accelerate.commands.launch import launch_command, launch_command_parser

    _check_devices(key, processes)
    logging.disable(logging.ERROR)  # the launcher's own words on what failed; the notes say it better
    with tempfile.TemporaryDirectory(prefix="restore-ml-") as folder:
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = None  # look at TMPDIR again: the launcher's meeting place is to go with the folder
        arguments = launch_command_parser().parse_args(command(key, word, processes, threads, Path(folder)))
        failed = True
        try:
            launch_command(arguments)
            failed = False
        except Exception as error:  # the launcher's own kinds, for a process that failed or a signal
            reason = error
        notes = [read_json(path) for path in sorted(Path(folder).glob("*.json"))]
    if not failed:
        return 0
    return _judge(notes, reason)


def command(key: str, word: str, processes: int, threads: int, folder: Path) -> list[str]:
    """What stands behind `accelerate launch`."""
    return ["--multi_gpu", "--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no",
            "--dynamo_backend", "no", "--num_cpu_threads_per_process", str(threads), "--main_process_port", "0",
            "--rdzv_backend", "c10d", "--rdzv_conf", "store_type=file",
            "--module", "pipelines.launched", key, str(folder), str(os.getpid()), word]


def _check_devices(key: str, processes: int) -> None:
    import torch

    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise UserError(f"The training of {key} is one of {processes} processes, and this machine has "
                        f"{torch.cuda.device_count()} GPUs; lower `processes` in params.yaml.")


def _judge(notes: list[dict[str, Any]], reason: Exception) -> int:
    """What the end of all was: the first of a lack (whose outcome is written), a mistake, a bug, a killed process."""
    by_end = {note["end"]: note["text"] for note in reversed(notes)}
    if TRANSIENT in by_end:
        return 0
    if MISTAKE in by_end:
        raise UserError(by_end[MISTAKE])
    if BUG in by_end:
        print(by_end[BUG], file=sys.stderr)
        return 1
    if type(reason).__name__ not in ("ChildFailedError", "SignalException"):
        print(f"The launcher says: {' '.join(str(reason).split())[:2000]}", file=sys.stderr)
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)  # so that who watches this process sees what befell the training
    return 1


def main(key: str, folder: str, parent: str, word: str = "") -> int:
    """One of the processes: join the others, train, leave a note; the exit status."""
    die_with_parent()
    if os.getppid() != int(parent):
        return 1
    end, text = ENDED, ""
    try:
        if _train(key, Path(folder), word)["status"] == TRANSIENT:
            end = TRANSIENT
    except UserError as error:
        end, text = MISTAKE, str(error)
    except Exception as error:
        end = LOST if type(error).__name__ == "PeerLost" else BUG
        text = traceback.format_exc()
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
