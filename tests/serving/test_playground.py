"""The page at `/`: its files and headers, and the pictures of the looks that it shows.

Its behaviour is tested in a real browser (tests/real_browser).
"""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops

from serving.gateways import KEY, Served, image_part, png, request, served, user
from visionthink.cli.serve import command
from visionthink.core.families import QWEN2_5_VL
from visionthink.core.images import half_view, open_picture
from visionthink.core.protocol import direct_reply, render_tool_call, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini import SAMPLES
from visionthink.serving import server as process
from visionthink.serving.app import PAGE, page_routes

DIRECT = direct_reply("I see.", "red")
REQUEST = request_reply("Too small.")
PATHS = [route.path for route in page_routes(embedded=False)]
MODULES = sorted(PAGE.glob("*.js"))


def scripted(*replies: str, **options: Any) -> ScriptedEngine:
    return ScriptedEngine(replies, profile="agent", **options)


class Tags(HTMLParser):
    """All elements of a page with their attributes, and the text inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("script", "style"):
            self.inline += data


TAGS = Tags((PAGE / "index.html").read_text(encoding="utf-8"))


# The page


def test_the_page_loads_what_is_served_and_nothing_else():
    """Its addresses are relative, so that it also works below a path of a reverse proxy."""
    with served(scripted()) as server:
        page = server.call("GET", "/")
        addresses = [attrs.get("src") or attrs.get("href") for _, attrs in TAGS.found]
        loaded = {address for address in addresses if address}
        for module in MODULES:
            names = re.findall(r'from "\./(\S+)"', module.read_text(encoding="utf-8"))
            loaded |= {f"page/{name}" for name in names}
        assert {f"page/{path.name}" for path in PAGE.iterdir()} == loaded | {"page/index.html"}
        types = {at: server.call("GET", f"/{at}").headers["content-type"] for at in sorted(loaded)}
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert {at.rpartition(".")[2]: kind for at, kind in types.items()} == {
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }


def test_the_page_has_no_inline_script_or_style():
    """The policy would stop them; then the page would be broken."""
    assert TAGS.inline == ""
    for tag, attrs in TAGS.found:
        assert tag != "style"
        assert [name for name in attrs if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_turns_text_into_html(module: Path):
    code = module.read_text(encoding="utf-8")
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
    assert re.findall(ways, code) == []


def test_no_file_of_the_page_names_another_host():
    for path in PAGE.iterdir():
        found = re.findall(r"(?:https?:)?//[\w.]+\w", path.read_text(encoding="utf-8"))
        assert [name for name in found if "www.w3.org" not in name] == [], path.name


def test_every_form_field_has_a_label():
    """A label for each field; text or a name for each button is in its template."""
    labelled = {attrs.get("for") for tag, attrs in TAGS.found if tag == "label"}
    fields = [attrs for tag, attrs in TAGS.found if tag in ("input", "textarea")]
    wrapped = [attrs for attrs in fields if attrs.get("type") == "radio"]
    assert len(wrapped) == 4
    assert {attrs["id"] for attrs in fields if attrs not in wrapped} <= labelled
    assert ("html", {"lang": "en"}) in TAGS.found


def test_the_headers_of_the_page():
    with served(scripted()) as server:
        replies = [server.call("GET", path) for path in PATHS]
    for reply in replies:
        assert reply.status == 200
        policy = dict(
            rule.strip().split(" ", 1)
            for rule in reply.headers["content-security-policy"].split(";")
        )
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self' data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-opener-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-cache"


def test_the_api_keeps_its_stricter_policy():
    with served(scripted()) as server:
        policy = server.call("GET", "/v1/models").headers["content-security-policy"]
    assert policy == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/page/",
        "/page/index.html",
        "/page/../playground.py",
        "/page/..%2fplayground.py",
        "/page/%2e%2e/playground.py",
        "/page/samples/samples.json",
        "/page/samples/../../mini/model.py",
        "/page//etc/passwd",
        "/index.html",
    ],
)
def test_paths_beside_the_page_are_404(path: str):
    with served(scripted()) as server:
        reply = server.call("GET", path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


def test_the_page_accepts_only_get_and_head():
    with served(scripted()) as server:
        head = server.call("HEAD", "/")
        assert (head.status, head.body) == (200, b"")
        assert server.call("POST", "/", b"{}").status == 405


def test_the_page_can_be_turned_off():
    with served(scripted(DIRECT), playground=False) as server:
        assert {server.call("GET", path).status for path in PATHS} == {404}
        assert server.post(request()).status == 200


def test_the_page_is_turned_off_by_option_or_config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """By its option or by the config file; the option wins."""
    served_pages: list[bool] = []
    monkeypatch.setattr(
        process, "serve", lambda options, _: served_pages.append(options.playground)
    )
    config = tmp_path / "serve.yaml"
    config.write_text("playground: false\n")
    without = ["--config", str(config)]
    for options in ([], ["--no-playground"], without, [*without, "--playground"]):
        assert CliRunner().invoke(command, options).exit_code == 0
    assert served_pages == [True, False, False, True]


def test_the_page_needs_no_key_and_contains_none():
    with served(scripted(), keys=[KEY]) as server:
        replies = [server.call("GET", path) for path in PATHS]
        assert server.call("GET", "/v1/models").status == 401
    assert {reply.status for reply in replies} == {200}
    assert not any(KEY.encode() in reply.body for reply in replies)


def test_the_page_is_refused_under_a_foreign_host_name():
    with served(scripted()) as server:
        assert server.call("GET", "/", headers={"Host": "evil.example"}).status == 403


# The samples


def start(server: Served) -> Any:
    return server.call("GET", "/page/start.json").json


def test_the_samples_are_those_that_ship():
    rows = json.loads((SAMPLES / "samples.json").read_text(encoding="utf-8"))
    with served(scripted()) as server:
        samples = start(server)["samples"]
        images = [server.call("GET", f"/{sample['image']}") for sample in samples]
    assert [sample["question"] for sample in samples] == [row["question"] for row in rows]
    assert {image.headers["content-type"] for image in images} == {"image/png"}
    assert [image.body for image in images] == [
        (SAMPLES / row["file"]).read_bytes() for row in rows
    ]


@pytest.mark.parametrize(("model", "embedded"), [("mini", True), ("mini-sft", True), ("m", False)])
def test_the_page_knows_the_embedded_model(model: str, embedded: bool):
    with served(scripted(model=model)) as server:
        assert start(server)["embedded"] is embedded


# Pictures of the looks, where they are asked for

VIEWS = {"views": True}


def pattern() -> bytes:
    """168 x 168, no two rows alike, so that every way to halve it gives other pixels."""
    image = Image.linear_gradient("L").resize((168, 168)).convert("RGB")
    image.putpixel((3, 5), (255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def decoded(url: str) -> Image.Image:
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_first_look_has_the_pixels_that_the_model_got():
    data = pattern()
    engine = scripted(DIRECT)
    with served(engine) as server:
        reply = server.post(request(user("?", image_part(data)), visionthink=VIEWS))
    (look,) = reply.json["visionthink"]["looks"]
    view = decoded(look["picture"])
    ((messages, _),) = engine.calls
    (given,) = messages[-1].images
    half = half_view(open_picture(data), QWEN2_5_VL)
    assert (view.size, look["size"], look["visual_tokens"]) == ((84, 84), [84, 84], 9)
    assert ImageChops.difference(view, given.image).getbbox() is None
    assert ImageChops.difference(view, half.image).getbbox() is None


def test_an_original_that_was_requested_is_not_sent_back():
    with served(scripted(REQUEST, DIRECT)) as server:
        reply = server.post(request(visionthink=VIEWS))
    first, second = reply.json["visionthink"]["looks"]
    assert decoded(first["picture"]).size == (84, 84)
    assert second == {
        "turn": 1,
        "image": 0,
        "action": "original",
        "box": None,
        "size": [168, 168],
        "visual_tokens": 36,
        "picture": None,
    }


def test_looks_of_several_images_and_of_a_tiny_one():
    """An image of one cell has no smaller view: it is shown as it is."""
    asked = user("?", image_part(png(168, 112)), image_part(png(28, 28)))
    with served(scripted(DIRECT)) as server:
        looks = server.post(request(asked, visionthink=VIEWS)).json["visionthink"]["looks"]
    assert [(look["image"], look["size"]) for look in looks] == [(0, [84, 56]), (1, [28, 28])]
    assert decoded(looks[0]["picture"]).size == (84, 56)
    assert looks[1]["picture"] is None


@pytest.mark.parametrize("stream", [False, True])
def test_ordinary_clients_get_no_pictures(stream: bool):
    with served(scripted(REQUEST, DIRECT)) as server:
        reply = server.post(request(stream=stream, model="m:trace"))
    assert b"upstream_model" in reply.body
    assert b"picture" not in reply.body
    assert reply.body.count(b'"looks"') == 1


def events(server: Served, **wishes: Any) -> list[dict[str, Any]]:
    """What the chunks of a stream say under `visionthink`, and the words between, in order."""
    body = server.post(request(stream=True, visionthink=VIEWS | wishes)).body.decode()
    chunks = [json.loads(row[6:]) for row in body.split("\n\n") if row.startswith("data: {")]
    return [
        chunk["choices"][0]["delta"] | chunk.get("visionthink", {})
        for chunk in chunks
        if "role" not in chunk["choices"][0]["delta"]
    ]


def test_a_stream_announces_its_turns_with_their_looks():
    with served(scripted(REQUEST, DIRECT)) as server:
        first, *rest = events(server)
    (look,) = first["looks"]
    assert (first["turn"], look["action"], look["turn"]) == (0, None, 0)
    assert decoded(look["picture"]).size == (84, 84)
    assert "".join(piece.pop("reasoning_content", "") for piece in rest) == "Too small.\n\nI see."
    second, answer, end = (piece for piece in rest if piece)
    assert second["turn"] == 1
    assert [(look["action"], look["picture"]) for look in second["looks"]] == [("original", None)]
    assert answer == {"content": "red"}
    assert (end["stop_reason"], len(end["looks"])) == ("answered", 2)


def test_a_turn_after_a_failed_call_has_no_looks():
    failed = render_tool_call("zoom", "{}")
    with served(scripted(failed, DIRECT)) as server:
        pieces = events(server)
    assert {"turn": 1, "looks": []} in pieces


def test_a_stream_that_starts_at_the_original_sends_no_picture():
    with served(scripted(DIRECT)) as server:
        first, *_ = events(server, look="high")
    (look,) = first["looks"]
    assert (look["size"], look["action"], look["picture"]) == ([168, 168], None, None)
