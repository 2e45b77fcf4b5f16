"""Which arithmetic to train in: bf16 autocast where the processor is fast at it, fp32 elsewhere.

The rule reads the processor's flags and never a clock, so that it gives the same answer on the same machine; the
answer is a tracked setting of a run.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

CPU_FLAG = "amx_bf16"  # a VDSR step in bf16 with channels_last takes a quarter to a fifth of fp32 there
CUDA_CAPABILITY = (8, 0)  # Ampere and later multiply bf16 on tensor cores


def resolve(precision: str) -> str:
    """`auto`, `fp32` or `bf16` -> `fp32` or `bf16` for this machine."""
    if precision != "auto":
        return precision
    return "bf16" if _fast_cuda() or fast_cpu() else "fp32"


def fast_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bf16 many times faster than fp32."""
    return cpuinfo.exists() and CPU_FLAG in cpuinfo.read_text(encoding="utf-8", errors="replace").split()


def _fast_cuda() -> bool:
    if not any(Path("/dev").glob("nvidia[0-9]*")):  # spares the import of torch where there is no card
        return False
    import torch

    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= CUDA_CAPABILITY


def autocast(device_type: str, precision: str) -> AbstractContextManager[None]:
    """The autocast context of a resolved precision."""
    import torch

    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bf16")
