"""Peak memory while answering: the GPU's if the model is on one, otherwise this process's."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

from visionthink.core.engine import Engine

STATUS = Path("/proc/self/status")
FORGET = Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # see clear_refs in proc(5)


class PeakMemory:
    """Bytes at the highest point since `restart`, the model's weights included.

    None for a model in another process, and on systems other than Linux and CUDA.
    """

    def __init__(self, engine: Engine) -> None:
        self._device = engine.about.device

    def restart(self) -> None:
        """Free unused memory and start counting from what is left."""
        gc.collect()
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        elif self._device == "cpu":
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory otherwise
                FORGET.write_text(FORGET_PEAK)

    def peak(self) -> int | None:
        if self._device == "cuda":
            import torch

            return torch.cuda.max_memory_allocated()
        if self._device == "cpu":
            with suppress(OSError):
                for line in STATUS.read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        return int(line.split()[1]) * 1024
        return None
