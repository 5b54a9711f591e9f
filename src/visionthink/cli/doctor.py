"""`visionthink doctor`: what is installed, what is missing, and how to install it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec

import click

from visionthink.mini import CHECKPOINTS, EMBEDDED

EXTRAS = {
    "hf": ("run models on this machine", ("torch", "transformers", "jinja2")),
    "openai": ("ask OpenAI-compatible servers", ("openai",)),
    "data": ("read Parquet, saved and hub data sets", ("datasets",)),
    "train": ("train: GRPO and SFT", ("torch", "transformers", "datasets", "trl", "peft")),
    "report": ("draw plots of runs", ("matplotlib",)),
    "serve": ("serve a model over OpenAI's API", ("fastapi", "uvicorn", "prometheus-client")),
    "mini": ("remake the embedded model", ("torch", "transformers", "scikit-learn")),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` is what to do, or empty."""

    name: str
    ok: bool
    found: str
    fix: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
def command(as_json: bool) -> None:
    """Show what is installed, what is missing, and how to install it.

    Exit code 0 if the embedded model can be asked, else 1.
    """
    findings = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "--  "
            fix = f"   ->  {finding.fix}" if finding.fix else ""
            click.echo(f"{mark}{finding.name:<12}{finding.found}{fix}")
    ready = {finding.name: finding.ok for finding in findings}
    if not (ready["hf"] and ready["model"]):
        raise click.exceptions.Exit(1)


def examine() -> list[Finding]:
    """Examine this machine; loads torch if it is installed."""
    return [
        Finding("python", True, f"{platform.python_version()} on {platform.machine()}"),
        Finding("visionthink", True, metadata.version("visionthink")),
        *(_extra(name, purpose, packages) for name, (purpose, packages) in EXTRAS.items()),
        _model(),
        _accelerator(),
        Finding("cores", True, f"{os.cpu_count()}"),
    ]


def _extra(name: str, purpose: str, packages: tuple[str, ...]) -> Finding:
    versions: list[str] = []
    missing: list[str] = []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        fix = f"pip install '.[{name}]' in a clone"
        return Finding(name, False, f"missing {', '.join(missing)}: needed to {purpose}", fix)
    return Finding(name, True, ", ".join(versions))


def _model() -> Finding:
    missing = [
        name for name in EMBEDDED if not (CHECKPOINTS / name / "model.safetensors").is_file()
    ]
    if missing:
        return Finding("model", False, f"no {', '.join(missing)} in {CHECKPOINTS}", "make mini")
    return Finding("model", True, f"{' and '.join(EMBEDDED)} are embedded")


def _accelerator() -> Finding:
    if find_spec("torch") is None:
        return Finding("device", False, "unknown without torch", "pip install '.[hf]' in a clone")
    import torch

    if torch.cuda.is_available():
        return Finding("device", True, f"CUDA: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Finding("device", True, "MPS")
    return Finding("device", True, f"CPU ({torch.get_num_threads()} threads)")
