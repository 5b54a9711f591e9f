"""`visionthink serve` in front of a real vLLM server, asked by the unmodified openai client.

The embedded checkpoint decides and answers: nothing is scripted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from conftest import EMBEDDED, Served
from vllm_server import BLOCK

from serving.gateway_process import Gateway, gateway, wait_for
from serving.gateways import image_part, request, user
from visionthink.core.episode import run_episode
from visionthink.core.types import Episode, Example, LookMode
from visionthink.mini.world import load_samples, make_example

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.parametrize("served", [EMBEDDED], indirect=True),
]

STRONG = ("receipt", "tag", "chart_label", "hatch")
WEAK = ("colour", "shape", "position", "large_print")


@pytest.fixture(scope="module")
def server(served: Served) -> Generator[Gateway]:
    # Greedy, so that answers can be compared.
    options = ("--grid", "mini", "--profile", "mini", "--set", "temperature=0")
    with gateway("--upstream", served.url, *options) as running:
        yield running


def asked(example: Example, model: str = EMBEDDED, **fields: Any) -> Any:
    """The request for an example, as any client writes it."""
    images = [image_part(picture.data_url()) for picture in example.images]
    return request(user(example.question, *images), model=model, **fields)


def answered(server: Gateway, example: Example, model: str = EMBEDDED) -> Any:
    return server.client().chat.completions.create(**asked(example, model))


def engine_episode(served: Served, example: Example, look: LookMode = "auto") -> Episode:
    """The same without a gateway."""
    return asyncio.run(run_episode(example, served.remote, look=look))


# One request


def test_samples_are_answered_at_once_or_after_a_request(served: Served, server: Gateway):
    """Weak ones from the half view, a quarter of the tokens; strong ones cost a quarter more."""
    for example in load_samples():
        reply = answered(server, example)
        usage, message = reply.usage, reply.choices[0].message
        strong = example.metadata["kind"] == "strong"
        assert message.content == example.answer
        assert message.reasoning_content
        assert usage.visionthink["requested"] == strong
        assert usage.visionthink["saved_ratio"] == (-0.25 if strong else 0.75)
        if strong:
            assert usage.prompt_tokens_details.cached_tokens >= BLOCK


def test_a_stream_has_the_same_answer_thoughts_and_usage(served: Served, server: Gateway):
    """Thoughts of both turns and the answer as they come.

    The number of pieces is up to vLLM, which joins tokens while the client is slow.
    """
    for example in load_samples():
        whole = answered(server, example)
        stream = server.client().chat.completions.create(
            **asked(example, stream=True, stream_options={"include_usage": True})
        )
        *chunks, last = list(stream)
        deltas = [c.choices[0].delta for c in chunks]
        thoughts = [d.reasoning_content for d in deltas if getattr(d, "reasoning_content", None)]
        contents = [d.content for d in deltas if d.content]
        message = whole.choices[0].message
        assert "".join(contents) == message.content == example.answer
        assert "".join(thoughts) == message.reasoning_content
        assert len(thoughts) >= (2 if last.usage.visionthink["requested"] else 1)
        assert last.usage.completion_tokens == whole.usage.completion_tokens
        assert last.usage.visionthink == whole.usage.visionthink


@pytest.mark.parametrize("look", ["auto", "low", "high"])
def test_several_images_give_the_same_as_the_engine_alone(
    served: Served, server: Gateway, look: LookMode
):
    """The model was not trained on two images; its reply is the same both ways."""
    tag, colour = (make_example(family, 900, "test") for family in ("tag", "colour"))
    example = Example((*tag.images, *colour.images), tag.question)
    reply = answered(server, example, EMBEDDED if look == "auto" else f"{EMBEDDED}:{look}")
    episode = engine_episode(served, example, look)
    assert reply.choices[0].message.content == episode.answer
    assert reply.usage.prompt_tokens == episode.ledger.prompt_tokens
    assert reply.usage.completion_tokens == episode.ledger.completion_tokens
    assert reply.usage.visionthink["visual_tokens"]["vanilla"] == episode.ledger.vanilla


def test_a_longer_conversation_finds_the_shorter_one_cached(served: Served, server: Gateway):
    example = make_example("colour", 901, "test")
    first = answered(server, example)
    said: list[Any] = [
        *asked(example)["messages"],
        {"role": "assistant", "content": first.choices[0].message.content},
        user(make_example("shape", 901, "test").question),
    ]
    second: Any = server.client().chat.completions.create(model=EMBEDDED, messages=said)
    blocks = first.usage.prompt_tokens // BLOCK * BLOCK
    assert second.usage.prompt_tokens_details.cached_tokens >= blocks > 0


def test_a_follow_up_finds_what_was_delivered_in_the_cache(served: Served, server: Gateway):
    """The original was requested once. It stands in the next prompt, at least 99 % of whose shared
    beginning, in whole blocks, vLLM does not compute again; no third turn is needed.
    """
    example = make_example("tag", 905, "test")
    client = server.client()
    first = answered(server, example, f"{EMBEDDED}:trace")
    cost = first.visionthink["turns"][-1]["cost"]
    said: list[Any] = [
        *asked(example)["messages"],
        {"role": "assistant", "content": first.choices[0].message.content},
        user(make_example("tag", 906, "test").question),
    ]
    second: Any = client.chat.completions.create(model=f"{EMBEDDED}:trace", messages=said)
    assert first.usage.visionthink["requested"]
    looks = [(look["turn"], look["size"]) for look in second.visionthink["looks"]]
    assert looks[:2] == [(0, look["size"]) for look in first.visionthink["looks"]]
    blocks = (cost["prompt_tokens"] + cost["completion_tokens"]) // BLOCK * BLOCK
    turn = second.visionthink["turns"][0]["cost"]
    assert turn["cached_tokens"] >= 0.99 * (blocks - BLOCK) > 0


def test_image_tokens_are_those_that_vllm_counts(served: Served, server: Gateway):
    """vLLM counts them in each reply; where they differ the server warns."""
    for example in load_samples():
        usage = answered(server, example).usage
        tokens = usage.visionthink["visual_tokens"]
        twice = tokens["first"] if usage.visionthink["requested"] else 0
        assert usage.prompt_tokens_details.image_tokens == tokens["processed"] + twice
    assert "image tokens" not in server.stderr


def test_vanilla_is_counted_as_vllm_counts(served: Served, server: Gateway):
    example = make_example("tag", 907, "test")
    reply = answered(server, example, f"{EMBEDDED}:vanilla")
    high = answered(server, example, f"{EMBEDDED}:high")
    counted = reply.usage.prompt_tokens_details.multimodal_tokens["image"]
    assert counted == high.usage.visionthink["visual_tokens"]["vanilla"]
    assert not hasattr(reply, "visionthink")


CODES = ["QXZ", "ZXQ"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_not_in_the_form_is_guided_by_vllm(
    served: Served, server: Gateway, stream: bool
):
    """The code on the tag is neither, and vLLM's structured output makes it one of the two. (The
    checkpoint's vocabulary has no piece for JSON's colon.)
    """
    example = make_example("tag", 908, "test")
    more = {"structured_outputs": {"choice": CODES}}
    reply: Any = server.client().chat.completions.create(
        **asked(example, extra_body=more, max_tokens=50, stream=stream)
    )
    if stream:
        content = "".join(chunk.choices[0].delta.content or "" for chunk in reply)
    else:
        content = reply.choices[0].message.content
        assert reply.usage.visionthink["guided"] is True
    assert content in CODES


def test_text_is_what_vllm_says_itself(served: Served, server: Gateway):
    body = {"model": EMBEDDED, "messages": [user("Which?")], "temperature": 0, "max_tokens": 9}
    through = server.client().chat.completions.create(**body)
    direct = openai.OpenAI(base_url=served.url, api_key="none").chat.completions.create(**body)
    assert through.choices[0].message.content == direct.choices[0].message.content
    assert through.usage == direct.usage


# Errors


def test_a_prompt_that_vllm_refuses(served: Served, server: Gateway):
    """Digits are a token each, and the context is 4096 tokens; the upstream's words say so."""
    example = make_example("tag", 902, "test")
    long = Example(example.images, "7" * 5000)
    with pytest.raises(openai.BadRequestError) as caught:
        answered(server, long)
    assert caught.value.code == "upstream_refused"
    assert "4096" in caught.value.message
    assert "127.0.0.1" not in caught.value.message


def test_more_images_than_vllm_takes(served: Served, server: Gateway):
    """It takes 8."""
    example = make_example("tag", 903, "test")
    with pytest.raises(openai.BadRequestError) as caught:
        answered(server, Example(example.images * 9, example.question))
    assert caught.value.code == "upstream_refused"
    assert "8 image" in caught.value.message


def test_an_upstream_without_the_model(served: Served):
    """The client gets 503; the operator reads the reason."""
    with gateway("--upstream", served.url, "--upstream-model", "gpt-0") as wrong:
        assert wrong.status("/health") == 200
        assert wrong.status("/ready") == 503
        with pytest.raises(openai.InternalServerError) as caught:
            answered(wrong, make_example("tag", 904, "test"), "gpt-0")
        assert (caught.value.status_code, caught.value.code) == (503, "upstream_unreachable")
        assert f"has no model 'gpt-0'; it has {EMBEDDED}" in wrong.stderr


# Many clients


def test_many_clients_get_their_own_answers(served: Served, server: Gateway):
    """320 questions of 16 clients, half of which need the original.

    Whatever the model gets wrong, it gets wrong without the gateway too. In at least 99 of 100
    second turns, all whole blocks of the first prompt, its image among them, are found in the
    prefix cache.
    """
    families = [*WEAK, *STRONG]
    examples = [make_example(f, seed, "test") for seed in range(1000, 1040) for f in families]
    client = server.client()

    def ask(example: Example) -> Any:
        return client.chat.completions.create(**asked(example, f"{EMBEDDED}:trace"))

    with ThreadPoolExecutor(16) as clients:
        replies = list(clients.map(ask, examples))
    wrong = [
        (example, reply.choices[0].message.content)
        for example, reply in zip(examples, replies, strict=True)
        if reply.choices[0].message.content != example.answer
    ]
    assert len(wrong) <= 0.03 * len(examples)
    for example, said in wrong:
        assert engine_episode(served, example).answer == said
    turns = [reply.visionthink["turns"] for reply in replies]
    second = [(first["cost"], *rest) for first, *rest in turns if rest]
    assert len(second) >= 0.45 * len(examples)
    hits = [
        then["cost"]["cached_tokens"] >= first["prompt_tokens"] // BLOCK * BLOCK > 0
        for first, then in second
    ]
    assert sum(hits) >= 0.99 * len(hits)


# An upstream that dies


def test_vllm_is_killed_under_load_and_started_again(served: Served, server: Gateway):
    """Each request gets its answer or one clear error, and after the restart answers again.

    Half of the clients stream. Nobody touches the gateway, and nothing is left in it: neither
    requests nor connections, which it had before.
    """
    server.client().models.list()
    files = server.files
    outcomes: list[list[str]] = [[] for _ in range(8)]
    enough = threading.Event()

    def ask_on(number: int) -> None:
        example = make_example(STRONG[number % 4], 1100 + number, "test")
        with server.client() as client:
            while not enough.is_set():
                outcomes[number].append(outcome(client, example, stream=number % 2 == 1))
                time.sleep(0.5)

    def all_have(good: str, since: list[int]) -> bool:
        return all(good in of[start:] for of, start in zip(outcomes, since, strict=True))

    def so_far() -> list[int]:
        return [len(of) for of in outcomes]

    with ThreadPoolExecutor(len(outcomes)) as clients:
        running = [clients.submit(ask_on, number) for number in range(len(outcomes))]
        try:
            wait_for(lambda: all_have("right", [0] * 8))
            wait_for(lambda: served.server.metric("vllm:num_requests_running") > 0)
            served.server.kill()
            killed = so_far()
            wait_for(lambda: all_have("upstream_unreachable", killed))
            assert server.status("/ready") == 503
            served.server.start()
            wait_for(lambda: server.status("/ready") == 200)
            started = so_far()
            wait_for(lambda: all_have("right", started))
        finally:
            enough.set()
        for client in running:
            client.result()
    assert {each for of in outcomes for each in of} == {"right", "upstream_unreachable"}
    wait_for(lambda: server.files <= files)
    assert server.metric("visionthink_requests_running") == 0
    assert server.metric(f"visionthink_upstream_running {served.url}") == 0
    assert server.metric(f"visionthink_upstream_up {served.url}") == 1


def outcome(client: openai.OpenAI, example: Example, *, stream: bool) -> str:
    """What a client got: right, wrong, or the code of the error."""
    try:
        if stream:
            chunks = client.chat.completions.create(**asked(example, stream=True))
            said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            reply = client.chat.completions.create(**asked(example))
            said = reply.choices[0].message.content or ""
    except openai.APIError as error:
        return error.code or type(error).__name__
    return "right" if said == example.answer else f"wrong: {said}"
