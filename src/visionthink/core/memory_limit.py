"""A bound on the memory of a process that works on what strangers sent."""

from __future__ import annotations

import os
from pathlib import Path


def limit_memory(count: int) -> None:
    """Allow `count` bytes beyond those that are mapped now (Linux)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        mapped = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (mapped + count, hard))
