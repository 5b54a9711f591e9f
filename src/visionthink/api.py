"""The front door: one synchronous call for the main job, and the choice of an engine by name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from visionthink.core.engine import Engine
from visionthink.core.episode import check_question, run_episode
from visionthink.core.errors import UsageError
from visionthink.core.images import Limits, Picture, open_picture
from visionthink.core.types import Episode, Example, LookMode, Sampling
from visionthink.mini import CHECKPOINTS, DEFAULT_CHECKPOINT

ENGINES = ("hf", "openai", "scripted")
EMBEDDED = ("mini", "mini-base", "mini-sft")
ImageSource = str | os.PathLike[str] | bytes | Image.Image | Picture


def open_engine(
    model: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    base_url: str | None = None,
    **options: Any,
) -> Engine:
    """Make an engine by name; what it needs is imported here and not before.

    Args:
        model: folder or hub id for "hf" (default: the embedded checkpoint; `mini`,
            `mini-base` and `mini-sft` name those that ship), the served name for "openai" (default:
            the only one), a file with one reply a line for "scripted".
        engine: "hf", "openai" or "scripted"; default: "openai" with a base URL, else "hf".
        base_url: where the OpenAI-compatible server is, such as `http://127.0.0.1:8000/v1`.
        options: passed on to the engine class.

    Raises:
        UsageError: an argument is wrong or missing.
        MissingExtraError: the engine's packages are not installed.
        EngineError: the model cannot be had.
    """
    engine = engine or ("hf" if base_url is None else "openai")
    if base_url is not None and engine != "openai":
        raise UsageError(f"base_url goes with engine 'openai', not {engine!r}")
    match engine:
        case "hf":
            from visionthink.engines.hf import HFEngine

            name = str(model or DEFAULT_CHECKPOINT)
            if name in EMBEDDED:
                return HFEngine(CHECKPOINTS / name, name=name, **options)
            return HFEngine(name, **options)
        case "openai":
            from visionthink.engines.openai import OpenAIEngine

            if base_url is None:
                raise UsageError("engine 'openai' needs a base URL, http://127.0.0.1:8000/v1 say")
            return OpenAIEngine(base_url, None if model is None else str(model), **options)
        case "scripted":
            from visionthink.engines.scripted import ScriptedEngine

            if model is None:
                raise UsageError(
                    "engine 'scripted' needs a file with one reply a line as its model"
                )
            return ScriptedEngine(_lines(Path(model)), **options)
        case _:
            raise UsageError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read replies from {str(path)!r}: {error}") from error


def ask(
    image: ImageSource | Sequence[ImageSource],
    question: str,
    *,
    engine: Engine | None = None,
    model: str | os.PathLike[str] | None = None,
    look: LookMode = "auto",
    profile: str | None = None,
    max_turns: int | None = None,
    sampling: Sampling | None = None,
    limits: Limits | None = None,
) -> Episode:
    """Ask one question about one or more images: the main job, synchronously.

    Args:
        image: path, encoded bytes, PIL image or `Picture`, or several of them.
        question: what to ask.
        engine: what replies; default: an hf engine with `model`, opened for this call. Open one
            yourself with `open_engine` when you ask more than once.
        model: folder or hub id when `engine` is not given; default: the embedded checkpoint.
        look, profile, max_turns, sampling: see `run_episode`.
        limits: what an image may be; default: `images.DEFAULT_LIMITS`.

    Raises:
        ImageError, UsageError, EngineError, MissingExtraError: see `core.errors`.
    """
    alone = isinstance(image, str | os.PathLike | bytes | Image.Image | Picture)
    if engine is not None and model is not None:
        raise UsageError("give an engine or a model, not both: an engine has its model")
    sources = [image] if alone else list(image)
    pictures = tuple(open_picture(source, limits or Limits()) for source in sources)
    example = Example(pictures, question)
    check_question(example, look, profile, max_turns)  # before the wait for a model
    used = engine or open_engine(model)
    episode = run_episode(
        example, used, look=look, profile=profile, max_turns=max_turns, sampling=sampling
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(episode)
    with ThreadPoolExecutor(1) as thread:  # notebooks run a loop in this one
        return thread.submit(asyncio.run, episode).result()
