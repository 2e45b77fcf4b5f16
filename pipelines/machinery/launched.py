"""A training in several processes (`pipelines.machinery.process`), started by `accelerate launch`.

The processes meet over a file and talk over the loopback interface (gloo on processors, NCCL on GPUs), so nothing
listens to the network. Each leaves a note of how it ended, for the launcher says only that one of them failed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError, report_bug
from restore_ml.base.files import read_json

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
        notes = [read_json(path) for path in sorted(Path(folder).glob("[0-9]*.json"))]
    if not failed:
        return 0
    return _judge(notes, reason)


def command(key: str, word: str, processes: int, threads: int, folder: Path) -> list[str]:
    """What stands behind `accelerate launch`."""
    return ["--multi_gpu", "--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no",
            "--dynamo_backend", "no", "--num_cpu_threads_per_process", str(threads), "--main_process_port", "0",
            "--rdzv_backend", "c10d", "--rdzv_conf", "store_type=file",
            "--module", "pipelines.machinery.process", key, str(folder), str(os.getpid()), word]


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
        return report_bug(by_end[BUG], " ".join(sys.argv))
    if type(reason).__name__ not in ("ChildFailedError", "SignalException"):
        print(f"The launcher says: {' '.join(str(reason).split())[:2000]}", file=sys.stderr)
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)  # so that who watches this process sees what befell the training
    return 1
