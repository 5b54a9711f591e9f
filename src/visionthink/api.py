"""Ask one question or many, synchronously, and open an engine by name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from PIL import Image

from visionthink.core.concurrency import run_bounded
from visionthink.core.engine import Engine
from visionthink.core.episode import check_question, run_episode
from visionthink.core.errors import UsageError, VisionThinkError
from visionthink.core.images import Limits, Picture, open_picture
from visionthink.core.types import Episode, Example, LookMode, Sampling
from visionthink.mini import CHECKPOINTS, DEFAULT_CHECKPOINT, EMBEDDED, check_model_name

ENGINES = ("hf", "openai", "scripted")
ImageSource = str | os.PathLike[str] | bytes | Image.Image | Picture
Images = ImageSource | Sequence[ImageSource]

T = TypeVar("T")


def open_engine(
    model: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    base_url: str | None = None,
    **options: Any,
) -> Engine:
    """Open an engine by name. The packages that it needs are imported here, not earlier.

    Args:
        model: for "hf" a folder, a hub id or the name of a shipped checkpoint (default: `mini`);
            for "openai" the served name (default: the only one); for "scripted" a file with one
            reply per line.
        engine: "hf", "openai" or "scripted"; default: "openai" with a base URL, else "hf".
        base_url: URL of the OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`.
        options: passed to the engine class.

    Raises:
        UsageError: an argument is wrong or missing.
        MissingExtraError: the engine's packages are not installed.
        EngineError: the model cannot be found or loaded.
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
            check_model_name(name)
            return HFEngine(name, **options)
        case "openai":
            from visionthink.engines.openai import OpenAIEngine

            if base_url is None:
                raise UsageError(
                    "engine 'openai' needs a base URL, for example http://127.0.0.1:8000/v1"
                )
            return OpenAIEngine(base_url, None if model is None else str(model), **options)
        case "scripted":
            from visionthink.engines.scripted import ScriptedEngine

            if model is None:
                raise UsageError(
                    "engine 'scripted' needs a file with one reply per line as its model"
                )
            return ScriptedEngine(_lines(Path(model)), **options)
        case _:
            raise UsageError(f"engine must be one of {', '.join(ENGINES)}; got {engine!r}")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read replies from {str(path)!r}: {why}") from error


def ask(
    image: Images,
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
    """Ask one question about one or more images, synchronously.

    Args:
        image: path, encoded bytes, PIL image or `Picture`, or several of them.
        question: the question, as text.
        engine: the engine that replies; default: an hf engine with `model`, opened for this call.
            Open one yourself with `open_engine` when you ask more than once.
        model: folder or hub id when `engine` is not given; default: the embedded checkpoint.
        look, profile, max_turns, sampling: see `run_episode`.
        limits: bounds on each image; default: `images.DEFAULT_LIMITS`.

    Raises:
        ImageError, UsageError, EngineError, MissingExtraError: see `core.errors`.
    """
    example = _example(image, question, limits)
    check_question(example, look, profile, max_turns)  # fails before a model is loaded
    asked = partial(
        run_episode, example, look=look, profile=profile, max_turns=max_turns, sampling=sampling
    )
    return _run(_with_engine(asked, engine, model))


@overload
def ask_many(
    questions: Iterable[tuple[Images, str]],
    *,
    engine: Engine | None = ...,
    model: str | os.PathLike[str] | None = ...,
    concurrency: int = ...,
    return_errors: Literal[False] = ...,
    look: LookMode = ...,
    profile: str | None = ...,
    max_turns: int | None = ...,
    sampling: Sampling | None = ...,
    limits: Limits | None = ...,
) -> list[Episode]: ...
@overload
def ask_many(
    questions: Iterable[tuple[Images, str]],
    *,
    engine: Engine | None = ...,
    model: str | os.PathLike[str] | None = ...,
    concurrency: int = ...,
    return_errors: bool,
    look: LookMode = ...,
    profile: str | None = ...,
    max_turns: int | None = ...,
    sampling: Sampling | None = ...,
    limits: Limits | None = ...,
) -> list[Episode | VisionThinkError]: ...
def ask_many(
    questions: Iterable[tuple[Images, str]],
    *,
    engine: Engine | None = None,
    model: str | os.PathLike[str] | None = None,
    concurrency: int = 16,
    return_errors: bool = False,
    look: LookMode = "auto",
    profile: str | None = None,
    max_turns: int | None = None,
    sampling: Sampling | None = None,
    limits: Limits | None = None,
) -> Sequence[Episode | VisionThinkError]:
    """Ask many questions of one engine, synchronously; episodes come in the order of `questions`.

    Args:
        questions: (image, question) pairs, each as `ask` takes them. They may be lazy: a pair is
            taken, and its image opened, when one of the `concurrency` places is free.
        concurrency: episodes at a time. The hf engine computes concurrent replies in batches.
        return_errors: put the error of a question that failed in the place of its episode. By
            default the first error ends the call and is raised, with a note quoting it.
        engine, model, look, profile, max_turns, sampling, limits: see `ask`.

    Raises:
        UsageError: `concurrency` is below 1, or both an engine and a model are given.
        ImageError, UsageError, EngineError, MissingExtraError: see `ask`.
    """
    if concurrency < 1:
        raise UsageError(f"concurrency must be at least 1; got {concurrency}")
    done: dict[int, Episode | VisionThinkError] = {}

    async def one(used: Engine, numbered: tuple[int, tuple[Images, str]]) -> None:
        number, (image, question) = numbered
        try:
            done[number] = await run_episode(
                await asyncio.to_thread(_example, image, question, limits),
                used,
                look=look,
                profile=profile,
                max_turns=max_turns,
                sampling=sampling,
            )
        except VisionThinkError as error:
            error.add_note(f"question {number} (from 0): {question[:100]!r}")
            if not return_errors:
                raise
            done[number] = error

    async def all_of(used: Engine) -> None:
        await run_bounded(concurrency, enumerate(questions), partial(one, used))

    _run(_with_engine(all_of, engine, model))
    return [done[number] for number in sorted(done)]


def _example(image: Images, question: str, limits: Limits | None) -> Example:
    alone = isinstance(image, str | os.PathLike | bytes | Image.Image | Picture)
    sources = [image] if alone else image
    return Example(tuple(open_picture(each, limits or Limits()) for each in sources), question)


async def _with_engine(
    work: Callable[[Engine], Awaitable[T]],
    engine: Engine | None,
    model: str | os.PathLike[str] | None,
) -> T:
    """`work` with the engine given, or with one of `model` that is closed afterwards."""
    if engine is not None:
        if model is not None:
            raise UsageError("give an engine or a model, not both: an engine has its model")
        return await work(engine)
    opened = open_engine(model)
    try:
        return await work(opened)
    finally:
        await opened.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in another thread if this one runs an event loop (notebooks)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
