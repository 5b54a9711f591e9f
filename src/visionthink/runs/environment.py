"""The environment of a run: versions, commit, machine, seeds; no names of hosts, users or paths."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("visionthink", "torch", "transformers", "trl", "accelerate", "peft", "datasets"),
    *("openai", "vllm", "numpy", "pillow"),
)
_ROOT = Path(__file__).parents[3]
"""Root of the checkout, if this file is in one."""


def describe_environment(
    *, seeds: Mapping[str, int] | None = None, gpu: str | None = None, **more: Any
) -> dict[str, Any]:
    """The contents of `environment.json`; imports none of the packages that it names.

    Args:
        seeds: the seeds of the run, by name.
        gpu: name and number of the accelerators, from a caller that has loaded torch.
        more: further facts, kept unchanged.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_bytes": _memory(),
            "gpu": gpu,
        },
        "seeds": dict(seeds or {}),
        **more,
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of our own code, with `-dirty` if files differ from it; None if unknown."""
    if not (_ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*command, "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # another git may be at work there
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
