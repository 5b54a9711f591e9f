"""Memory and time of a large data set in training: `python bench/data_volume.py`.

10,000 rows of 1.6 megapixels each refer to a few distinct JPEG files. Each of our figures stands
beside the figure for images in the data set and in the messages, as TRL's trainer has them by
default: it reads the whole generation batch again at every micro-step, and gathers the prompts and
completions of all processes on each process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import pickle
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from datasets import Image as ImageColumn
from PIL import Image

from visionthink.core.episode import run_episode
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Episode, Example
from visionthink.data.rows import Row, Rows
from visionthink.data.source import DataOptions, load_rows
from visionthink.engines.scripted import ScriptedEngine
from visionthink.judges import Verdict
from visionthink.training.rollout_facts import facts_of
from visionthink.training.trainer import _questions

SIDE = 1264  # 1.6 megapixels
FILES = 8
PROMPTS, GROUP, PROCESSES = 512, 16, 32  # the paper's generation batch, on 4 machines of 8 GPUs
PER_PROCESS = PROMPTS * GROUP // PROCESSES
REQUEST = request_reply("Too small to read.")
ANSWER = direct_reply("Clear now.", "42")


def write_rows(folder: Path, count: int) -> Path:
    """A JSONL file whose rows refer to `FILES` images in turn."""
    noise = np.random.default_rng(0)
    for number in range(FILES):
        coarse = noise.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((SIDE, SIDE))
        picture.save(folder / f"{number}.jpg", quality=90)
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {
                "id": f"row-{number}",
                "image": f"{number % FILES}.jpg",
                "question": f"What is the total of invoice number {number}, with taxes included?",
                "answer": str(number),
            }
            file.write(json.dumps(row) + "\n")
    return path


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def heap(work: Callable[[], Any]) -> tuple[Any, int]:
    """The result of `work`, and the bytes that it holds on Python's heap."""
    gc.collect()
    tracemalloc.start()
    made = work()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return made, held


def requested(row: Row) -> Episode:
    """An episode in which the original was delivered, the largest kind."""
    engine = ScriptedEngine([REQUEST, ANSWER])
    return asyncio.run(run_episode(row.open(), engine, profile="agent"))


def gathered_by_us(episode: Episode) -> int:
    """Bytes of one sample: its facts, and the texts that the trainer hands to TRL."""
    prompt = [{"role": "user", "content": episode.example.question}]
    completion = [{"role": "assistant", "content": episode.turns[-1].text}]
    return sum(
        len(pickle.dumps(part))
        for part in (facts_of(0, episode, Verdict(1, "rules")), prompt, completion)
    )


def gathered_with_images(episode: Episode, example: Example) -> int:
    """Bytes of one sample whose messages hold their images, small and original."""
    original = example.images[0].image
    small = original.resize((original.width // 2, original.height // 2))

    def block(image: Image.Image) -> list[dict[str, Any]]:
        return [{"type": "image", "image": image}, {"type": "text", "text": example.question}]

    first, last = (turn.text for turn in episode.turns)
    prompt = [{"role": "user", "content": block(small)}]
    completion = [
        {"role": "assistant", "content": first},
        {"role": "tool", "content": block(original)},
        {"role": "assistant", "content": last},
    ]
    return len(pickle.dumps(prompt)) + len(pickle.dumps(completion))


def size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def span(count: float) -> str:
    return f"{count * 1e3:.3g} ms" if count < 1 else f"{count:.3g} s"


def report(count: int, folder: Path) -> None:
    path = write_rows(folder, count)
    options = DataOptions(path=str(path))
    took = seconds(lambda: load_rows(options))
    rows, held = heap(lambda: load_rows(options))
    assert isinstance(rows, Rows)
    data = _questions(rows)
    images = [str(folder / f"{number % FILES}.jpg") for number in range(count)]
    theirs = Dataset.from_dict({"image": images}).cast_column("image", ImageColumn())

    places = list(range(PER_PROCESS))
    fetch = seconds(lambda: data.__getitems__(places))
    decode = seconds(lambda: theirs.__getitems__(places[:FILES])) / FILES * PER_PROCESS
    episode = requested(rows[0])
    ours, with_images = gathered_by_us(episode), gathered_with_images(episode, rows[0].open())
    samples = PROMPTS * GROUP

    print(f"{count:,} rows of {SIDE} x {SIDE} pixels, {FILES} distinct files")
    print(f"  opening the data set                 {span(took)}, headers of all images included")
    print(f"  Rows on the heap                     {size(held / count)} a row, {size(held)} in all")
    print(
        f"  the trainer's Dataset                {size(data.data.nbytes / count)} a row, "
        f"{size(data.data.nbytes)} in all"
    )
    print(
        f"  decoded images of as many rows       {size(3 * SIDE**2)} a row, "
        f"{size(3 * SIDE**2 * count)} in all"
    )
    print(f"Each micro-step, {PER_PROCESS} rows of a process's generation batch are read again")
    print(f"  ours, without images                 {span(fetch)}")
    print(f"  with an image column ({FILES} timed)        {span(decode)}")
    print(f"Gathered on every process, each generation of {samples:,} samples that all requested")
    print(f"  ours: facts, question, last reply    {size(ours)} a sample, {size(ours * samples)}")
    print(
        f"  messages with their images           {size(with_images)} a sample, "
        f"{size(with_images * samples)}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    with tempfile.TemporaryDirectory() as where:
        report(parser.parse_args().rows, Path(where))
