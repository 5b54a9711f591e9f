"""Metrics, the request log and the console: figures, and content only where configured."""

from __future__ import annotations

import json
import logging
import resource
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engines.chat_server import ChatServer, says
from serving.gateways import QUESTION, RED, Served, request, served, upstream, user
from visionthink.core.errors import UsageError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.serving.telemetry import RequestLog

DIRECT = direct_reply("I see.", "secret answer")
REQUEST = request_reply("Too small.")


def values(server: Served) -> dict[str, float]:
    """Sample with its labels → value, without buckets and times."""
    text = server.call("GET", "/metrics").body.decode()
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def test_metrics():
    """One direct answer (9 of 36 tokens), one requested (45 of 36), one at low, one refused.

    Processed 9 + 45 + 9 = 63, vanilla 3 x 36 = 108, saved 45.
    """
    engine = ScriptedEngine([DIRECT, REQUEST, DIRECT, DIRECT], profile="agent")
    with served(engine) as server:
        assert server.call("GET", "/metrics").headers["content-type"].startswith("text/plain")
        statuses = [
            server.post(request()).status,
            server.post(request(stream=True)).status,
            server.post(request(model="m:low")).status,
            server.post(request(model="other")).status,
        ]
        assert statuses == [200, 200, 200, 404]
        found = values(server)
    generated = found.pop("visionthink_tokens_total completion")
    assert generated == 3 * 19 + 40  # 3 + 3 + 4 and 3 + 2 + 4; 3 + 3 + 4 and 3 + 23 + 4
    assert found.pop("visionthink_tokens_total prompt") > 0
    assert found.pop("visionthink_request_seconds_sum") > 0
    assert found.pop("visionthink_image_seconds_sum open") > 0
    assert found.pop("visionthink_image_seconds_sum halve") > 0
    assert found == {
        "visionthink_requests_running": 0,
        "visionthink_requests_waiting": 0,
        "visionthink_requests_total answered": 3,
        "visionthink_requests_total refused": 1,
        "visionthink_passed_total text 200": 0,
        "visionthink_episodes_total auto false": 1,
        "visionthink_episodes_total auto true": 1,
        "visionthink_episodes_total low false": 1,
        "visionthink_visual_tokens_total first": 27,
        "visionthink_visual_tokens_total requested": 36,
        "visionthink_visual_tokens_total processed": 63,
        "visionthink_visual_tokens_total vanilla": 108,
        "visionthink_visual_tokens_saved": 45,
        "visionthink_tokens_total cached": 0,
        "visionthink_request_seconds_count": 4,
        "visionthink_image_seconds_count open": 3,
        "visionthink_image_seconds_count halve": 3,
        "visionthink_upstream_up scripted": 1,
        "visionthink_upstream_running scripted": 0,
        "visionthink_upstream_failures_total scripted": 0,
    }


def test_encoding_half_views_for_an_upstream_is_timed():
    with ChatServer(says(DIRECT)) as vllm, served(upstream(vllm.url)) as server:
        assert server.post(request()).status == 200
        assert values(server)["visionthink_image_seconds_count encode"] == 1


# The log

SECRET = user("What is the secret?", RED)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_has_figures_and_no_content(tmp_path: Path):
    path = tmp_path / "requests.jsonl"
    engine = ScriptedEngine([REQUEST, DIRECT], profile="agent")
    with served(engine, log=str(path)) as server:
        reply = server.post(request(SECRET))
        server.post(request(SECRET, foo=1))
    answered, refused = lines(path)
    assert answered.pop("time") != refused.pop("time")
    for line in (answered, refused):
        seconds = line.pop("seconds")
        assert isinstance(seconds, float)
        assert str(line.pop("request_id")).startswith("req-")
        assert line.pop("client") == "127.0.0.1"
    assert answered == {
        "status": 200,
        "outcome": "answered",
        "id": reply.json["id"],
        "model": "m",
        "upstream": "scripted",
        "look": "auto",
        "stream": False,
        "stop_reason": "answered",
        "looks": reply.json["visionthink"]["looks"],
        "usage": reply.json["usage"],
    }
    assert refused == {
        "status": 400,
        "outcome": "refused",
        "code": "unknown_parameter",
        "param": "foo",
    }
    assert "secret" not in path.read_text()


def test_a_log_has_content_when_asked(tmp_path: Path):
    path = tmp_path / "requests.jsonl"
    engine = ScriptedEngine([REQUEST, DIRECT], profile="agent")
    with served(engine, log=str(path), log_content=True) as server:
        server.post(request(SECRET))
    (line,) = lines(path)
    assert line["question"] == "What is the secret?"
    assert line["answer"] == "secret answer"
    assert line["turns"] == [REQUEST, DIRECT]
    assert "base64" not in path.read_text()


def test_a_log_that_cannot_be_written(tmp_path: Path):
    with (
        pytest.raises(UsageError, match="cannot write the log"),
        served(ScriptedEngine([]), log=str(tmp_path)),
    ):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
def test_a_full_log_disk_costs_no_answer_and_prints_no_traceback(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    engine = ScriptedEngine([DIRECT, DIRECT], profile="agent")
    with (
        caplog.at_level(logging.ERROR, "visionthink"),
        served(engine, log="/dev/full") as server,
    ):
        assert [server.post(request(SECRET)).status for _ in range(2)] == [200, 200]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the log cannot be written: No space left on device"]
    assert "Traceback" not in capfd.readouterr().err


def test_a_log_line_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path):
    """`{"id": 1}` and its line end have 10 bytes; files may grow to 14, so the second line gets 4.

    When there is room again, the third stands on a line of its own.
    """
    path = tmp_path / "requests.jsonl"
    log = RequestLog(path, content=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (14, hard))
        log.write({"id": 1})
        log.write({"id": 2})
        log.write({"id": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write({"id": 4})
    log.close()
    assert path.read_text() == '{"id": 1}\n{"id\n{"id": 4}\n'


def test_the_console_shows_no_content(caplog: pytest.LogCaptureFixture):
    """Neither for answers nor for failures, whatever an unexpected error says."""

    def fails(_: object) -> str:
        raise KeyError("the secret question")

    engine = ScriptedEngine(fails, profile="agent")
    with caplog.at_level(logging.DEBUG, "visionthink"):
        with served(ScriptedEngine([DIRECT], profile="agent")) as server:
            assert server.post(request(SECRET)).status == 200
        with served(engine) as server:
            reply = server.post(request(SECRET))
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert reply.error["message"] == "the server failed"
    answered, failed = (record.getMessage() for record in caplog.records)
    assert answered.startswith("200 auto, 9 of 36 visual tokens")
    assert failed.startswith("500 KeyError at ")
    assert "test_telemetry.py" in failed
    assert "secret" not in caplog.text


def test_a_question_appears_in_no_output_of_the_process(capfd: pytest.CaptureFixture[str]):
    with served(ScriptedEngine([DIRECT], profile="agent")) as server:
        assert server.post(request(SECRET)).status == 200
        assert server.post(request(QUESTION, n=0)).status == 400
    out, err = capfd.readouterr()
    assert "secret" not in out + err
