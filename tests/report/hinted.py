"""A server of guided colorization for the tests of the page of hints: Levin's method, which needs no training."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from skimage import data

from restore_ml.base.files import write_json, write_text
from restore_ml.registry import method_class
from restore_ml.serving.command import listen
from restore_ml.serving.engine import Engine
from restore_ml.serving.limits import Limits
from restore_ml.serving.server import create_app

TASK, RUN = "guided_colorization", "levin_scribble"
SENT = Path(__file__).with_name("hints_sent.json")
"""What the page sends for one red dab of three pixels about (40, 10); PICTURE stands for the file."""
LIMITS = Limits(megabytes=1.0, megapixels=0.02, pictures=1, queue=2)


def grey() -> np.ndarray:
    """60 x 80 pixels of a photograph."""
    return np.ascontiguousarray(data.camera()[100:160, 150:230])


def engine(root: Path, task: str = TASK, run: str = RUN) -> Engine:
    """The run of a project that has only that one."""
    method = method_class(task, run)({})
    write_json(root / "models" / task / run / "model.json", {
        "run": run, "task": task, "method": run, "settings": method.settings, "seed": 1, "slots": {}, "status": "ok",
        "reason": "", "weights_sha256": ""})
    write_text(root / "params.yaml", "profile: quick\n")
    return Engine(root, task, run, LIMITS, threads=1)


@contextmanager
def serving(own: Engine) -> Iterator[str]:
    """The address of a real server in a thread of this process."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(own), log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def file_of(folder: Path, picture: np.ndarray, name: str = "old.png") -> Path:
    """A picture file."""
    path = folder / name
    Image.fromarray(picture).save(path)
    return path
