"""The openai engine on a real HTTP server: what it sends, which model it finds, how it lives."""

import asyncio
import re
import subprocess
import sys
import time

import pytest
from asking import HELLO, KEY, ask, no_environment  # noqa: F401  (the fixture acts by its presence)
from chat_server import ChatServer, hangs, says, status
from PIL import Image

from visionthink.core.engine import EngineInfo
from visionthink.core.errors import EngineError, MissingExtraError, ServerError, UsageError
from visionthink.core.families import QWEN2_5_VL, QWEN3_VL
from visionthink.core.images import Picture
from visionthink.core.types import Message, Sampling, Usage
from visionthink.engines.openai import OpenAIEngine

# Requests and replies


def test_a_reply_with_its_usage():
    usage = {
        "prompt_tokens": 40,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 32},
    }
    with ChatServer(says("hi there", finish="length", usage=usage, delay=0.05)) as server:
        (reply,) = ask(server.url)
    assert (reply.text, reply.finish, reply.token_ids) == ("hi there", "length", None)
    assert reply.usage == Usage(40, 2, 32, reply.usage.seconds)
    assert 0.05 <= reply.usage.seconds < 5


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": None, "completion_tokens": -1}])
def test_usage_that_is_missing_or_senseless_counts_0(usage):
    with ChatServer(says("hi", usage=usage)) as server:
        (reply,) = ask(server.url)
    assert reply.usage == Usage(0, 0, 0, reply.usage.seconds)


def test_what_is_sent():
    """Text alone is a string; with an image, parts in order. extra_body wins, its None removes."""
    picture = Picture(Image.new("RGB", (4, 2)))
    conversation = (
        Message("system", ("Be ", "brief.")),
        Message("user", ("Look: ", picture, " What?")),
    )
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, seed=3)
    extra = {"top_k": 5, "seed": None, "temperature": 0.25}
    with ChatServer() as server:
        ask(server.url, conversation, sampling=sampling, extra_body=extra, api_key=KEY)
        (seen,) = server.chats
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body == {
        "model": "qwen2.5-vl",
        "temperature": 0.25,
        "top_p": 0.9,
        "max_tokens": 7,
        "top_k": 5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look: "},
                    {"type": "image_url", "image_url": {"url": picture.data_url()}},
                    {"type": "text", "text": " What?"},
                ],
            },
        ],
    }


def test_an_image_is_the_same_bytes_in_every_turn():
    """Prefix caches of servers are keyed by a hash of the encoded image."""
    first = (Message("user", (Picture(Image.linear_gradient("L").convert("RGB")), "what?")),)
    second = (*first, Message("assistant", ("hm",)), Message("user", ("and now?",)))
    with ChatServer() as server:
        ask(server.url, first, second)
        turns = [seen.body["messages"][0]["content"][0] for seen in server.chats]
    assert turns[0]["type"] == "image_url"
    assert turns[0] == turns[1]


# Finding the model and its grid


def test_the_only_model_is_found_once():
    async def run(url):
        engine = OpenAIEngine(url)
        for _ in range(2):
            await engine.generate(HELLO, Sampling())
        found = engine.about.model
        await engine.close()
        return found

    with ChatServer(models=["the-one"]) as server:
        assert asyncio.run(run(server.url)) == "the-one"
        assert {seen.body["model"] for seen in server.chats} == {"the-one"}
        assert len(server.lookups) == 1


@pytest.mark.parametrize(("models", "listed"), [(["b", "a"], "b, a"), ([], "(none)")])
def test_no_or_several_models_are_a_usage_error(models, listed):
    with (
        ChatServer(models=models) as server,
        pytest.raises(
            UsageError, match=re.escape(f"{len(models)} models; name the one to use: {listed}")
        ),
    ):
        ask(server.url, model=None)


@pytest.mark.parametrize(
    ("model", "root", "grid", "lookups"),
    [
        ("Qwen/Qwen3-VL-8B", "", QWEN3_VL, 0),
        ("Qwen/Qwen2.5-VL-7B", "", QWEN2_5_VL, 0),
        ("mine", "/weights/qwen3-vl", QWEN3_VL, 1),
        ("mine", "/weights/qwen2.5-vl", QWEN2_5_VL, 1),
        ("mine", None, QWEN2_5_VL, 1),
        ("other", "/weights/qwen3-vl", QWEN2_5_VL, 1),
    ],
)
def test_the_grid_follows_from_the_name_else_from_the_root(model, root, grid, lookups):
    with ChatServer(models=[{"id": "mine", "root": root}]) as server:
        engine = OpenAIEngine(server.url, model)
        assert (engine.about.grid, engine.about.grid) == (grid, grid)
        assert len(server.lookups) == lookups


def test_a_server_without_a_model_list_gets_the_default_grid_unless_it_failed():
    with ChatServer(list_models=status(404)) as server:
        assert OpenAIEngine(server.url, "mine").about.grid == QWEN2_5_VL
    with ChatServer(list_models=status(503)) as server, pytest.raises(ServerError, match="503"):
        _ = OpenAIEngine(server.url, "mine", max_retries=0).about.grid


def test_model_and_grid_can_be_read_inside_a_running_loop():
    async def run(url):
        engine = OpenAIEngine(url, grid=QWEN3_VL, profile="agent")
        return engine.about

    with ChatServer(models=["the-one"]) as server:
        assert asyncio.run(run(server.url)) == EngineInfo(
            "the-one", QWEN3_VL, profile="agent", takes_tools=True
        )


# Concurrency and life time


def test_no_more_requests_are_open_than_allowed():
    async def run(url):
        engine = OpenAIEngine(url, "m", max_concurrency=3)
        await asyncio.gather(*(engine.generate(HELLO, Sampling()) for _ in range(9)))
        await engine.close()

    with ChatServer(says("hi", delay=0.05)) as server:
        asyncio.run(run(server.url))
        assert (len(server.chats), server.most_at_once) == (9, 3)


def test_a_cancelled_request_ends_at_once_and_gives_its_slot_back():
    async def run(url):
        engine = OpenAIEngine(url, "m", max_concurrency=1)
        stuck = asyncio.create_task(engine.generate(HELLO, Sampling()))
        await asyncio.sleep(0.3)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        reply = await engine.generate(HELLO, Sampling())
        await engine.close()
        return reply.text

    begin = time.perf_counter()
    with ChatServer(hangs, says("free")) as server:
        assert asyncio.run(run(server.url)) == "free"
    assert time.perf_counter() - begin < 5


@pytest.mark.filterwarnings("error")
def test_an_engine_works_in_several_event_loops_one_after_the_other():
    with ChatServer() as server:
        engine = OpenAIEngine(server.url, "m", max_concurrency=1)

        async def twice():
            return await asyncio.gather(*(engine.generate(HELLO, Sampling()) for _ in range(2)))

        texts = [reply.text for _ in range(3) for reply in asyncio.run(twice())]
        asyncio.run(engine.close())
    assert texts == ["hello"] * 6


def test_close_ends_requests_under_way_and_refuses_new_ones():
    async def run(url):
        engine = OpenAIEngine(url, "m", max_concurrency=1)
        tasks = [asyncio.create_task(engine.generate(HELLO, Sampling())) for _ in range(2)]
        await asyncio.sleep(0.3)
        await engine.close()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        with pytest.raises(EngineError, match="after close"):
            await engine.generate(HELLO, Sampling())
        return results

    with ChatServer(hangs) as server:
        assert all(isinstance(result, EngineError) for result in asyncio.run(run(server.url)))


# Settings


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8000/v1", "ftp://h/v1", "http://", "http:///v1", "http://h:port/v1"),
        *("http://[::1", "http://a..b/v1", "http://u:p@h/v1", "http://h/v1?key=k", "http://h/a b"),
        "http://h:99999",
    ],
)
def test_a_base_url_must_be_http_with_a_host(url):
    with pytest.raises(UsageError, match=r"the base URL .* like http://host:8000/v1"):
        OpenAIEngine(url)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"max_retries": -1}, {"max_concurrency": 0}, {"api_key": "sk-\né"}]
)
def test_senseless_settings_are_usage_errors(options):
    with pytest.raises(UsageError):
        OpenAIEngine("http://h/v1", **options)


@pytest.mark.parametrize(
    ("value", "sent"), [("from-env\n", "from-env"), ("", "none"), (None, "none")]
)
def test_the_key_comes_from_the_environment(value, sent, monkeypatch):
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with ChatServer() as server:
        ask(server.url)
        assert server.chats[0].headers["authorization"] == f"Bearer {sent}"


def test_without_the_client_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[openai\]'"):
        OpenAIEngine("http://h/v1")


def test_importing_the_engine_does_not_import_the_client():
    code = "import sys, visionthink.engines.openai; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
