"""Child processes, forked before anything has threads; they wait until they are needed and end with their parent."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from pipelines.machinery.client import die_with_parent
from restore_ml.base.errors import report

GO = "go "


class Child:
    """A forked process that waits; `run` lets it do `work(word)` and gives its exit status, negative for a signal."""

    def __init__(self, work: Callable[[str], int]) -> None:
        """Fork now: the parent must not have threads yet."""
        sys.stdout.flush()
        sys.stderr.flush()
        waiting, self._start = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid:
            os.close(waiting)
            return
        os.close(self._start)
        die_with_parent(parent)
        order = os.read(waiting, 256).decode()
        if os.getppid() != parent or not order.startswith(GO):
            os._exit(0)
        status = 1
        try:
            status = work(order.removeprefix(GO))
        except KeyboardInterrupt:
            status = 130
        except BaseException as error:
            status = report(error, f"a child of {' '.join(sys.argv)}")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def run(self, word: str = "") -> int:
        """Let it work and wait for its end."""
        return self._end(GO + word)

    def close(self) -> None:
        """Send it away without work."""
        self._end("leave")

    def _end(self, order: str) -> int:
        with contextlib.suppress(BrokenPipeError):  # it was killed while it waited
            os.write(self._start, order.encode())
        os.close(self._start)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)
