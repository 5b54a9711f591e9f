"""Replies of the hf engine, followed as they grow. The checkpoints say a byte with each token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from checkpoints import save_qwen2_5_vl, save_qwen2_vl, save_qwen3_vl
from visionthink.core import protocol
from visionthink.core.images import Picture, half_view
from visionthink.core.profiles import PROFILES
from visionthink.core.types import Completion, Message, Sampling
from visionthink.engines import hf_decode
from visionthink.engines.hf import HFEngine, Spelling
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.mini import CHECKPOINTS

SHORT = Sampling(max_tokens=12)
MINI = PROFILES["mini"]


@pytest.fixture(
    scope="module", params=[save_qwen2_vl, save_qwen2_5_vl, save_qwen3_vl], ids=["2", "2.5", "3"]
)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Checkpoint:
    return load_checkpoint(request.param(tmp_path_factory.mktemp("checkpoint")), device="cpu")


def asked(engine: HFEngine, seed: int, question: str = "what?") -> list[Message]:
    return list(protocol.opening(MINI, [half_view(picture(seed), engine.about.grid)], question))


def picture(seed: int) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    return Picture(Image.fromarray(noise))


async def follow(
    engine: HFEngine, messages: list[Message], sampling: Sampling = SHORT
) -> tuple[Completion, list[str]]:
    """The reply, and all that was heard of it."""
    heard: list[str] = []
    return await engine.stream(messages, sampling, heard.append), heard


def beginnings(text: str) -> list[str]:
    """Those that end with a whole character; sampled bytes may make none."""
    return [text[:end] for end in range(1, len(text) + 1) if text[end - 1] != "\ufffd"]


def test_a_reply_is_heard_character_by_character(checkpoint: Checkpoint) -> None:
    engine = HFEngine(checkpoint)
    messages = asked(engine, 1)
    unheard = asyncio.run(engine.generate(messages, SHORT))
    reply, heard = asyncio.run(follow(engine, messages))
    assert (reply.text, reply.token_ids) == (unheard.text, unheard.token_ids)
    assert heard == beginnings(reply.text)
    assert len(set(reply.text)) > 2


def test_what_stops_a_reply_is_not_heard(checkpoint: Checkpoint) -> None:
    """Let the sixth token of a reply be one that stops: its first use ends what is said."""
    messages = asked(HFEngine(checkpoint), 2)
    free = asyncio.run(HFEngine(checkpoint).generate(messages, SHORT))
    (stop,) = checkpoint.tokenizer.encode(free.text[5])
    reply, heard = asyncio.run(follow(HFEngine(replace(checkpoint, stop_ids=(stop,))), messages))
    assert reply.token_ids
    assert (reply.finish, reply.token_ids[-1]) == ("stop", stop)
    assert reply.text == free.text.partition(free.text[5])[0]
    assert heard == beginnings(reply.text)


def test_each_of_a_batch_hears_its_own(checkpoint: Checkpoint) -> None:
    """Sampled by seed; one of them does not listen, and every one says what it says alone."""
    engine = HFEngine(checkpoint)
    questions = [asked(engine, 3 + row, "which is it? " * (row + 1)) for row in range(4)]
    warm = [Sampling(max_tokens=8 + row, temperature=1.0, seed=row) for row in range(4)]
    jobs = list(zip(questions, warm, strict=True))
    alone = [asyncio.run(engine.generate(*job)).text for job in jobs]

    async def together() -> Any:
        asks = [follow(engine, *job) for job in jobs[1:]]
        return await asyncio.gather(engine.generate(*jobs[0]), *asks)

    silent, *followed = asyncio.run(together())
    assert [silent.text, *(reply.text for reply, _ in followed)] == alone
    assert [heard for _, heard in followed] == [beginnings(text) for text in alone[1:]]
    assert len({*alone}) == 4


def test_a_second_turn_goes_on_from_the_first_and_is_heard(checkpoint: Checkpoint) -> None:
    engine = HFEngine(checkpoint)
    first = asked(engine, 7)
    turn, _ = asyncio.run(follow(engine, first))
    spoken = Message("assistant", (turn.text,), turn.token_ids)
    second = [*first, spoken, protocol.tool_response(MINI, [picture(7)])]
    reply, heard = asyncio.run(follow(engine, second))
    known = turn.usage.prompt_tokens + turn.usage.completion_tokens - 1
    assert reply.usage.cached_tokens == known
    assert heard == beginnings(reply.text)


def test_nothing_is_heard_or_computed_after_the_listener_has_left(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3,000 tokens' worth hardly any more than the five that it waited for may come."""
    engine = HFEngine(replace(checkpoint, stop_ids=()))
    plain_forward = checkpoint.model.forward
    forwards, heard = 0, list[str]()

    def counting_forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal forwards
        forwards += 1
        return plain_forward(*args, **kwargs)

    async def leave() -> int:
        fifth = asyncio.Event()

        def hear(text: str) -> None:
            heard.append(text)
            if len(heard) == 5:
                fifth.set()

        messages = asked(engine, 8)
        task = asyncio.create_task(engine.stream(messages, Sampling(max_tokens=3000), hear))
        await fifth.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left_at = len(heard)
        await engine.generate(messages, SHORT)
        return left_at

    monkeypatch.setattr(checkpoint.model, "forward", counting_forward)
    assert asyncio.run(leave()) == len(heard)
    assert 5 <= forwards < 1000


def test_a_listener_that_fails_ends_its_own_reply(checkpoint: Checkpoint) -> None:
    engine = HFEngine(checkpoint)
    messages = asked(engine, 9)

    def fail(_: str) -> None:
        raise ZeroDivisionError

    async def both() -> Any:
        asks = (engine.stream(messages, SHORT, fail), follow(engine, messages))
        return await asyncio.gather(*asks, return_exceptions=True)

    failed, (reply, heard) = asyncio.run(both())
    assert isinstance(failed, ZeroDivisionError)
    assert heard == beginnings(reply.text)


def test_it_is_heard_in_the_event_loop(checkpoint: Checkpoint) -> None:
    engine = HFEngine(checkpoint)
    threads: set[threading.Thread] = set()
    asyncio.run(
        engine.stream(asked(engine, 10), SHORT, lambda _: threads.add(threading.current_thread()))
    )
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize(
    ("said", "bytes_cut", "heard"),
    [
        ("é日😀!", 0, ["é", "é日", "é日😀", "é日😀!"]),
        ("a😀", 1, ["a"]),  # max_tokens ends it in the middle of the face
        ("a\ufffdb", 0, ["a", "a\ufffdb"]),  # the model itself says the sign for what is no text
    ],
)
def test_half_a_character_is_not_heard(
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    bytes_cut: int,
    heard: list[str],
) -> None:
    ids = checkpoint.tokenizer.encode(said)
    assert len(ids) == len(said.encode())
    left = iter([*ids[: len(ids) - bytes_cut], checkpoint.stop_ids[-1]])
    monkeypatch.setattr(hf_decode._Sampler, "__call__", lambda *_: torch.tensor([next(left)]))
    engine = HFEngine(checkpoint)
    sampling = Sampling(max_tokens=len(ids) - bytes_cut + (not bytes_cut))
    reply, told = asyncio.run(follow(engine, asked(engine, 11), sampling))
    assert told == heard
    assert reply.text == (f"{said[:-1]}\ufffd" if bytes_cut else said)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(CHECKPOINTS / "mini")


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_no_token_takes_back_what_was_spelt(tokenizer: Any, data: st.DataObject) -> None:
    """Any tokens of the embedded model: words, half characters, control tokens between them."""

    def spell(ids: Sequence[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    some = st.lists(st.integers(0, len(tokenizer) - 1), max_size=30)
    ids = data.draw(some | st.text(max_size=30).map(tokenizer.encode))
    spelling = Spelling(spell)
    for end in range(1, len(ids) + 1):
        before = spelling.text
        assert spelling.add(ids[end - 1]) == (spelling.text != before)
        assert spelling.text.startswith(before)
        whole = spell(ids[:end])
        assert whole.startswith(spelling.text)
        assert whole in (spelling.text, f"{whole[:-1]}\ufffd")
