"""What users get wrong: for each case the exit code and the one line on standard error."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from cli.outcome import Run
from engines.chat_server import (
    Behaviour,
    ChatServer,
    closes_mid_body,
    hangs,
    says,
    sends,
    status,
)
from visionthink.core.protocol import direct_reply

ANSWER = direct_reply("Clear enough.", "red")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.png"
    Image.new("RGB", (112, 112), "red").save(path)
    return path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "replies.txt"
    path.write_text(ANSWER)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def truncated(folder: Path, kind: str) -> Path:
    path = folder / f"cut.{kind}"
    Image.effect_noise((200, 200), 90).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def strip(folder: Path) -> Path:
    Image.new("RGB", (3000, 10)).save(folder / "strip.png")
    return folder / "strip.png"


IMAGES = {
    "missing file": (lambda d: d / "none.png", "there is no such file"),
    "directory": (lambda d: d, "it is a directory"),
    "empty file": (lambda d: write(d, "empty.png", b""), "it is empty (0 bytes)"),
    "truncated PNG": (lambda d: truncated(d, "png"), "it is damaged or cut short"),
    "truncated JPEG": (lambda d: truncated(d, "jpg"), "it is damaged or cut short"),
    "text named .png": (lambda d: write(d, "t.png", b"hello"), "it does not hold an image"),
    "0 pixels": (lambda d: write(d, "zero.png", png_header(0, 10)), "it has no pixels"),
    "bomb": (lambda d: write(d, "b.png", png_header(50_000, 50_000)), "pixels"),
    "300:1 strip": (lambda d: strip(d), "a longer strip than 200:1"),
    "a URL": (lambda d: "https://example.org/a.png", "URLs are not fetched"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_bad_images_fail_with_one_line(case: str, tmp_path: Path, script: Path, run: Run) -> None:
    make, complaint = IMAGES[case]
    given = run("ask", make(tmp_path), "What?", "--engine", "scripted", "--model", script)
    assert given.code == 1
    assert given.out == ""
    assert given.err.startswith("Error: cannot read image '")
    assert complaint in given.err
    assert given.err.count("\n") == 1


def test_an_animated_gif_is_its_first_frame(tmp_path: Path, script: Path, run: Run) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    given = run("ask", tmp_path / "a.gif", "What?", "--engine", "scripted", "--model", script)
    assert (given.code, given.out) == (0, "red\n")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything, so give that up for a while."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


def test_an_unreadable_image_fails_with_one_line(good: Path, script: Path, run: Run) -> None:
    run("ask", good, "What?", "--engine", "scripted", "--model", script)  # imports all it needs
    good.chmod(0)
    good.parent.chmod(0o755)
    for parent in good.parents[1:3]:  # pytest keeps its folders to the user
        parent.chmod(0o755)
    with as_nobody():
        given = run("ask", good, "What?", "--engine", "scripted", "--model", script)
    assert given.code == 1
    assert "permission to read it is denied" in given.err
    assert given.err.count("\n") == 1


QUESTIONS = {
    "empty": ("", 2, "the question is empty"),
    "blank": (" \n", 2, "the question is empty"),
    "100,000 characters": ("x" * 100_000, 2, "the question has 100,000 characters"),
    "control tokens": ("<|im_end|><|image_pad|>", 0, "answered"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_empty_long_and_hostile_questions(case: str, good: Path, script: Path, run: Run) -> None:
    question, code, said = QUESTIONS[case]
    given = run("ask", good, question, "--engine", "scripted", "--model", script, "--json")
    assert given.code == code
    assert said in (given.err if code else given.out)
    assert given.err.count("\n") == (1 if code else 0)


OPTIONS = {
    "unknown profile": (("--profile", "nonsense"), "'nonsense' is not one of"),
    "profile that cannot request": (("--profile", "general"), "cannot request another look"),
    "unknown look": (("--look", "sideways"), "'sideways' is not one of"),
    "no turns": (("--max-turns", "0"), "max_turns must be at least 1"),
    "no tokens": (("--max-tokens", "0"), "max_tokens must be at least 1"),
    "negative temperature": (("--temperature", "-1"), "temperature must be 0 or more"),
    "no pixels": (("--max-pixels", "0"), "max_pixels must be at least 1"),
    "endless temperature": (("--temperature", "inf"), "temperature must be 0 or more"),
    "unknown option": (("--colour",), "No such option '--colour'"),
    "unknown engine": (("--engine", "steam"), "'steam' is not one of"),
    "server option without server": (("--timeout", "3"), "--timeout does not go with"),
    "server without URL": (("--engine", "openai"), "needs a base URL"),
    "URL that is none": (("--base-url", "localhost:8000"), "base URL"),
    "unknown dtype": (("--dtype", "int8"), "dtype must be one of"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options_are_refused_in_one_line(case: str, good: Path, run: Run) -> None:
    options, complaint = OPTIONS[case]
    given = run("ask", good, "What?", *options)
    assert given.code == 2
    assert complaint.lower() in given.err.lower()
    assert given.err.count("\n") == 1


def test_missing_arguments_are_named(run: Run) -> None:
    assert "expected IMAGE... QUESTION: one or more images, then" in run("ask", "a.png").err
    assert run("ask").code == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("aks",), "there is no command 'aks'; did you mean ask?"),
        (("eval_",), "there is no command 'eval_'; did you mean eval?"),
        (("xyz",), "there is no command 'xyz'; expected one of ask, demo, doctor, eval, judge, "),
        (("train", "gpro"), "there is no command 'gpro'; did you mean grpo?"),
        (("train", "grpo", "mini", "--outt", "x"), "did you mean"),
    ],
)
def test_misspelt_commands_and_options_are_corrected(
    run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    given = run(*arguments)
    assert (given.code, given.err.count("\n")) == (2, 1)
    assert complaint.lower() in given.err.lower()


def test_a_question_before_its_image_is_noticed(good: Path, run: Run) -> None:
    """So is an image where the question is missing."""
    for arguments in (("What?", good), (good, good)):
        given = run("ask", *arguments)
        assert (given.code, given.out) == (2, "")
        assert given.err == (
            f"Error: expected IMAGE... QUESTION with the question last, but {str(good)!r} is an "
            "image file (see visionthink ask --help)\n"
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "IMAGE", "What?", "--model", "minni"),
        ("eval", "mini", "--out", "OUT", "--model", "minni"),
        ("label", "mini", "--out", "OUT", "--model", "minni"),
        ("train", "grpo", "mini", "--out", "OUT", "--set", "model.name=minni"),
    ],
)
def test_a_misspelt_model_is_corrected(
    good: Path, tmp_path: Path, run: Run, arguments: tuple[str, ...]
) -> None:
    places = {"IMAGE": good, "OUT": tmp_path / "out"}
    given = run(*(places.get(each, each) for each in arguments))
    assert (given.code, given.err.count("\n")) == (2, 1)
    assert "there is no model 'minni'; did you mean mini?" in given.err
    assert not (tmp_path / "out").exists()


def folder_with(folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


MODELS = {
    "unknown folder": (lambda d: d / "none", "does not exist"),
    "no weights": (lambda d: folder_with(d / "m", config__json=b"{}"), "has no weights"),
    "pickle only": (
        lambda d: folder_with(d / "m", config__json=b"{}", pytorch_model__bin=b""),
        "has only pickle weights",
    ),
    "no checkpoint": (lambda d: folder_with(d / "m"), "has no config.json"),
    "unknown hub id": (lambda d: "nobody/nothing", "the hub cannot be reached"),
    "no hub id": (lambda d: "no body/no/thing", "neither a folder that exists nor a hub id"),
}


@pytest.mark.parametrize("case", MODELS)
def test_bad_models_fail_with_one_line(
    case: str, good: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    make, complaint = MODELS[case]
    given = run("ask", good, "What?", "--model", make(tmp_path))
    assert given.code == 1
    assert complaint in given.err
    assert given.err.count("\n") == 1


SERVERS: dict[str, tuple[Behaviour, str]] = {
    "HTML": (
        sends(b"<html>Welcome</html>", content_type="text/html"),
        "a web page instead of JSON",
    ),
    "500": (status(500, "it broke"), "500"),
    "401": (status(401, "bad key"), "OPENAI_API_KEY"),
    "empty choices": (sends(b'{"choices": []}'), "choice"),
    "invalid JSON": (sends(b'{"choices": ['), "JSON"),
    "closed connection": (closes_mid_body, "connection"),
    "hanging": (hangs, "0.3"),
}


@pytest.mark.parametrize("case", SERVERS)
def test_bad_servers_fail_with_one_line(case: str, good: Path, run: Run) -> None:
    behaviour, complaint = SERVERS[case]
    with ChatServer(behaviour) as server:
        given = run(
            "ask", good, "What?", "--base-url", server.url, "--timeout", "0.3", "--retries", "0"
        )
    assert given.code == 1
    assert complaint in given.err
    assert given.err.count("\n") == 1


def test_a_refused_connection_is_reported_in_words(good: Path, run: Run) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        given = run("ask", good, "What?", "--base-url", url, "--model", "m", "--retries", "0")
    assert given.code == 1
    assert given.err == (
        f"Error: {url}: the connection was refused; start the server or correct the base URL\n"
    )


def test_a_good_server_answers(good: Path, run: Run) -> None:
    with ChatServer(says(ANSWER)) as server:
        given = run("ask", good, "What?", "--base-url", server.url)
    assert (given.code, given.out) == (0, "red\n")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from visionthink.cli.main import main
    from visionthink.core.errors import ImageError

    with pytest.raises(ImageError):
        main(["--debug", "ask", str(tmp_path / "none.png"), "What?"])
