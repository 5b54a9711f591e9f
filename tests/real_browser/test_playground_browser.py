"""The playground in a real Chromium: what a person does with it, and what they see then.

Every visit also checks that the console stays empty, that no other host is asked, and that nothing
is wider than the window (see `visit`).
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from contextlib import ExitStack

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Locator, Page, expect
from visit import (
    PATIENCE,
    assert_fits,
    choose_file,
    choose_sample,
    finished,
    look,
    opened,
    press_ask,
    visit,
)

from engines.chat_server import ChatServer, Handler, hangs, says, sends, status
from serving.gateways import KEY, Served, png, served, upstream
from visionthink.api import open_engine
from visionthink.core.images import half_view, open_picture
from visionthink.core.protocol import direct_reply, render_tool_call, request_reply
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini import SAMPLES

pytestmark = pytest.mark.browser

TAG = "What code is on the tag?"
TRIANGLE = "Which colour does the triangle have?"
DIRECT = direct_reply("I see.", "red")
REQUEST = request_reply("Too small.")
TIMES = "\N{MULTIPLICATION SIGN}"


def scripted(*replies: str) -> ScriptedEngine:
    return ScriptedEngine(replies, profile="agent")


def ask_about(page: Page, data: bytes, question: str = "What colour?", name: str = "a.png") -> None:
    choose_file(page, name, data)
    expect(page.locator("#chosen")).to_contain_text(name)
    page.get_by_label("Question").fill(question)
    press_ask(page)


def pixels(picture: Locator) -> Image.Image:
    """What an image on the page holds."""
    url = picture.get_attribute("src")
    assert url is not None
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")


def equal(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


# With the embedded model


def test_an_answer_from_the_small_look(chromium: Browser, mini: Served):
    """The sample has 112 x 112 px, 16 tokens; its half 56 x 56, 4 of them: 75 % saved."""
    with visit(chromium, mini) as page:
        expect(page.locator("#model")).to_have_text("Model: mini")
        expect(page.locator("#embedded")).to_be_visible()
        choose_sample(page, TRIANGLE)
        press_ask(page)
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("green")
        expect(card.locator(".decision")).to_have_text("✓ answers from the small look")
        expect(card.locator(".size")).to_have_text([f"56 {TIMES} 56 px, 4 tokens"])
        expect(card.locator(".share")).to_have_text("4 of 16, 75 % saved")
        expect(card.locator(".time")).to_have_text(re.compile(r"^\d+\.\d+ s$"))
        expect(page.get_by_role("status")).to_contain_text("auto: green, 4 of 16 visual tokens")


def test_an_answer_from_the_original(chromium: Browser, mini: Served):
    """224 x 112 px are 32 tokens, their half 8: 40 of 32, a quarter more."""
    with visit(chromium, mini) as page:
        choose_sample(page, TAG)
        press_ask(page)
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("UJA")
        expect(card.locator(".decision")).to_have_text("→ requests the original")
        sizes = [f"112 {TIMES} 56 px, 8 tokens", f"224 {TIMES} 112 px, 32 tokens"]
        expect(card.locator(".size")).to_have_text(sizes)
        expect(card.locator(".share")).to_have_text("40 of 32, 25 % more")
        original = open_picture(SAMPLES / "tag.png")
        small = half_view(original, open_engine().about.grid)
        first, second = card.locator("figure img").all()
        assert equal(pixels(first), small.image)
        assert equal(pixels(second), original.image)


def test_reasoning_and_turns_can_be_unfolded(chromium: Browser, mini: Served):
    with visit(chromium, mini) as page:
        choose_sample(page, TAG)
        press_ask(page)
        (card,) = finished(page)
        thought, words = card.locator(".reasoning .text"), card.locator(".turns pre")
        expect(thought).to_be_hidden()
        card.get_by_text("Reasoning").click()
        expect(thought).to_be_visible()
        assert thought.inner_text().strip()
        card.get_by_text("Turns, word for word").click()
        expect(words).to_have_count(2)
        expect(words.first).to_contain_text("resize_image")
        expect(words.last).to_contain_text("UJA")


def test_side_by_side(chromium: Browser, mini: Served):
    with visit(chromium, mini) as page:
        choose_sample(page, TAG)
        look(page, "side by side")
        press_ask(page)
        auto, low, high = finished(page, 3)
        for card, name in ((auto, "auto"), (low, "low"), (high, "high")):
            expect(card.get_by_role("heading", level=2)).to_contain_text(name)
        expect(auto.locator(".share")).to_have_text("40 of 32, 25 % more")
        expect(low.locator(".share")).to_have_text("8 of 32, 75 % saved")
        expect(high.locator(".share")).to_have_text("32 of 32, none saved")
        expect(auto.locator(".said")).to_have_text("UJA")
        expect(high.locator(".said")).to_have_text("UJA")
        expect(high.locator("figcaption")).to_contain_text("Original")
        assert not equal(pixels(low.locator("img").first), pixels(high.locator("img").first))
        tops = [card.bounding_box() for card in (auto, low, high)]
        assert len({box["y"] for box in tops if box}) == 1


@pytest.mark.parametrize("name", ["low", "high"])
def test_a_fixed_look(name: str, chromium: Browser, mini: Served):
    with visit(chromium, mini) as page:
        choose_sample(page, TAG)
        look(page, name)
        press_ask(page)
        (card,) = finished(page)
        expect(card.locator("figure")).to_have_count(1)
        share = {"low": "8 of 32, 75 % saved", "high": "32 of 32, none saved"}[name]
        expect(card.locator(".share")).to_have_text(share)


def test_by_keyboard_alone(chromium: Browser, mini: Served):
    """To the first sample, with the arrows to another look, and Enter in the question."""
    with visit(chromium, mini) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_label("Choose, drop or paste an image")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Question")).to_have_value(TRIANGLE)
        page.get_by_label("auto").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_label("low")).to_be_checked()
        page.keyboard.press("Shift+Tab")
        expect(page.get_by_label("Question")).to_be_focused()
        page.keyboard.press("Enter")
        (card,) = finished(page)
        expect(card.get_by_role("heading", level=2)).to_contain_text("low")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_every_width_and_both_colour_schemes(
    width: int, scheme: str, chromium: Browser, mini: Served
):
    """Nothing is cut off or needs scrolling sideways, before and after; unfolded, too."""
    window = {"width": width, "height": 740}
    with visit(chromium, mini, viewport=window, color_scheme=scheme) as page:
        assert_fits(page)
        choose_sample(page, TAG)
        look(page, "side by side")
        press_ask(page)
        for card in finished(page, 3):
            for summary in card.locator("summary").all():
                summary.click()
        assert_fits(page)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"
        assert dark is (scheme == "dark")


# Images


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_kind_of_image(kind: str, chromium: Browser):
    buffer = io.BytesIO()
    Image.new("RGB", (168, 168), "red").save(buffer, kind)
    with opened(chromium, scripted(DIRECT)) as page:
        ask_about(page, buffer.getvalue(), name=f"a.{kind.lower()}")
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("red")
        expect(card.locator(".size")).to_have_text(f"84 {TIMES} 84 px, 9 tokens")
        expect(page.locator("#embedded")).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("notes.png", b"dear diary", "notes.png is not a PNG, JPEG, WebP, GIF or BMP image"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg is not a PNG"),
        ("empty.png", b"", "empty.png is not a PNG"),
        ("half.png", png()[:20], "half.png is damaged or cut short"),
    ],
    ids=["text", "svg", "empty", "half"],
)
def test_a_bad_file_shows_an_error_and_keeps_the_image_before(
    name: str, data: bytes, said: str, chromium: Browser
):
    """It is said; the image before stays chosen, and can be asked about."""
    with opened(chromium, scripted(DIRECT)) as page:
        choose_sample(page, TAG)
        choose_file(page, name, data)
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.locator("#chosen")).to_contain_text("tag.png")
        press_ask(page)
        finished(page)
        expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize(
    ("data", "said"),
    [(png(3000, 10), "a longer strip than 200:1"), (png(3000, 300)[:-40], "damaged or cut short")],
    ids=["strip", "cut short"],
)
def test_an_image_that_only_the_server_refuses(data: bytes, said: str, chromium: Browser):
    """Browsers show what there is of a broken image. The message is the server's own."""
    with opened(chromium, scripted(), failures=1) as page:
        ask_about(page, data)
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.get_by_role("article")).to_have_count(0)


HAND_OVER = """([type, name, bytes, target]) => {
    const data = new DataTransfer();
    if (bytes) data.items.add(new File([new Uint8Array(bytes)], name));
    else data.setData("text/uri-list", name);
    const options = {bubbles: true, cancelable: true};
    const event = type === "paste"
        ? new ClipboardEvent(type, {...options, clipboardData: data})
        : new DragEvent(type, {...options, dataTransfer: data});
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize(
    ("how", "target"), [("drop", "body"), ("drop", "#text"), ("paste", "#text")]
)
def test_an_image_can_be_dropped_and_pasted(how: str, target: str, chromium: Browser):
    with opened(chromium, scripted(DIRECT)) as page:
        page.evaluate(HAND_OVER, [how, "b.png", [*png(56, 28)], target])
        expect(page.locator("#chosen")).to_have_text(f"b.png, 56 {TIMES} 28 px")


def test_an_image_dragged_from_another_page(chromium: Browser):
    with opened(chromium, scripted()) as page:
        page.evaluate(HAND_OVER, ["drop", "https://example.com/a.png", None, "body"])
        expect(page.get_by_role("alert")).to_contain_text("save images of other pages first")


def test_a_missing_image_or_question_shows_an_error(chromium: Browser):
    with opened(chromium, scripted()) as page:
        press_ask(page)
        expect(page.get_by_role("alert")).to_have_text("Choose an image first.")
        choose_file(page, "a.png", png())
        expect(page.get_by_role("alert")).to_be_empty()
        press_ask(page)
        expect(page.get_by_role("alert")).to_have_text("Ask something about the image.")
        expect(page.get_by_label("Question")).to_be_focused()


# What models say


def test_model_output_and_file_names_are_shown_as_text(chromium: Browser):
    """In answers, thoughts, notes of turns, and names of files."""
    html = "<img src=x onerror=\"document.title='owned'\"><b>bold</b><script>alert(1)</script>"
    reply = direct_reply(f"I see {html}", html)
    with opened(chromium, scripted(reply)) as page:
        ask_about(page, png(), question=html, name="<b onclick=alert(1)>.png")
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text(html)
        card.get_by_text("Reasoning").click()
        expect(card.locator(".reasoning .text")).to_have_text(f"I see {html}")
        assert card.locator("script, .said *, .reasoning .text *, pre *").count() == 0
        expect(page.locator("#chosen")).to_contain_text("<b onclick=alert(1)>.png")
        expect(page).to_have_title("VisionThink playground")


def test_an_upstream_error_is_shown_as_text(chromium: Browser):
    with (
        ChatServer(status(400, "<b>no</b>")) as vllm,
        opened(chromium, upstream(vllm.url), failures=1) as page,
    ):
        ask_about(page, png())
        expect(page.get_by_role("alert")).to_contain_text("<b>no</b>")


@pytest.mark.parametrize(
    ("replies", "decisions", "said"),
    [
        ([" "], ["✗ malformed reply"], "neither an answer nor a valid request"),
        (
            [REQUEST, REQUEST],
            ["→ requests the original", "→ requests too late"],
            "a request in its last turn",
        ),
        ([direct_reply("", "")], ["✓ answers from the small look"], "The answer is empty."),
        ([render_tool_call("zoom", "{}"), DIRECT], ["✗ malformed reply"], "red"),
    ],
    ids=["malformed", "out of turns", "empty", "failed call"],
)
def test_decisions_and_replies_without_an_answer(
    replies: list[str], decisions: list[str], said: str, chromium: Browser
):
    with opened(chromium, scripted(*replies)) as page:
        ask_about(page, png())
        (card,) = finished(page)
        expect(card.locator(".decision")).to_have_text(decisions)
        expect(card.locator(".said")).to_contain_text(said)


def test_every_look_is_drawn_with_its_action_box_size_and_tokens(chromium: Browser):
    """A stream as one of three turns would be: the half view, a part of the image, the original.

    9 + 4 + 36 = 49 of 36 tokens; the part is the upper left quarter, framed on the half view.
    """
    half, part = (f"data:image/png;base64,{base64.b64encode(png(s, s)).decode()}" for s in (84, 56))
    looks = [
        look_record(0, None, None, 84, 9) | {"picture": half},
        look_record(1, "region", [0, 0, 500, 500], 56, 4) | {"picture": part},
        look_record(2, "original", None, 168, 36) | {"picture": None},
    ]
    cost = {"prompt_tokens": 9, "cached_tokens": 0, "completion_tokens": 2, "seconds": 0.1}
    outcomes = ("request", "request", "answer")
    turns = [{"text": "…", "outcome": each, "note": "", "cost": cost} for each in outcomes]
    tokens = {"first": 9, "requested": 40, "processed": 49, "vanilla": 36}
    usage = {"visionthink": {"visual_tokens": tokens, "saved_ratio": -0.3611}}
    events: list[dict[str, object]] = [
        *({"visionthink": {"turn": each["turn"], "looks": [each]}} for each in looks),
        {"choices": [{"delta": {"content": "red"}}]},
        {"visionthink": {"stop_reason": "answered", "looks": looks, "turns": turns}},
        {"choices": [], "usage": usage},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    with opened(chromium, scripted()) as page:
        page.route(
            "**/v1/chat/completions",
            lambda route: route.fulfill(content_type="text/event-stream", body=body),
        )
        ask_about(page, png())
        (card,) = finished(page)
        captions = ["Small look", "Region 0, 0, 500, 500", "Original"]
        expect(card.locator("figcaption b")).to_have_text(captions)
        sizes = [
            f"{side} {TIMES} {side} px, {n} tokens" for side, n in ((84, 9), (56, 4), (168, 36))
        ]
        expect(card.locator(".size")).to_have_text(sizes)
        decisions = ["→ requests region 0, 0, 500, 500", "→ requests the original"]
        expect(card.locator(".decision")).to_have_text(decisions)
        expect(card.locator(".share")).to_have_text("49 of 36, 36 % more")
        legend = ["small look 9", "region 0, 0, 500, 500 4", "original 36", "the original alone 36"]
        expect(card.locator(".legend .part")).to_have_text(legend)
        picture, frame = (card.locator(f"figure {each}").first for each in ("img", ".box"))
        (whole, box) = (picture.bounding_box(), frame.bounding_box())
        assert whole is not None
        assert box is not None
        assert (box["x"], box["y"]) == pytest.approx((whole["x"], whole["y"]), abs=1)
        assert box["width"] == pytest.approx(whole["width"] / 2, abs=1)
        assert box["height"] == pytest.approx(whole["height"] / 2, abs=1)


def look_record(
    turn: int, action: str | None, box: list[int] | None, side: int, tokens: int
) -> dict[str, object]:
    size = [side, side]
    return {
        **{"turn": turn, "image": 0, "action": action, "box": box},
        **{"size": size, "visual_tokens": tokens},
    }


def test_an_answer_that_a_limit_cut_off(chromium: Browser):
    """12 tokens: `<think>` and `</think>` take 7, `<answer>` 3, two words are left."""
    cut = {"default_tokens": 12, "tokens": 12}
    with opened(chromium, scripted(direct_reply("", "one two three")), limits=cut) as page:
        ask_about(page, png())
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("one two … (cut off by the token limit)")


def test_thoughts_are_shown_as_they_come(chromium: Browser):
    """The second half of the reply is sent only when the first is on the page."""
    gate = threading.Event()

    def behave(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for text in ("<think>Let me see. ", "More.</think><answer>red</answer>"):
            row = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
            handler.wfile.write(b"data: %s\n\n" % json.dumps(row).encode())
            handler.wfile.flush()
            assert gate.wait(60)
        row = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        handler.wfile.write(b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(row).encode())

    with ChatServer(behave) as vllm, opened(chromium, upstream(vllm.url)) as page:
        ask_about(page, png())
        card = page.get_by_role("article")
        card.get_by_text("Reasoning").click()
        expect(card.locator(".reasoning .text")).to_have_text("Let me see.", timeout=PATIENCE)
        expect(card.locator("figure img")).to_be_visible()
        expect(card.locator(".decision")).to_have_text("looks …")
        expect(card).to_have_attribute("aria-busy", "true")
        gate.set()
        finished(page)
        expect(card.locator(".said")).to_have_text("red")


# Trouble


def arrived(page: Page, vllm: ChatServer) -> None:
    """Waits until the upstream has been asked."""
    while not vllm.chats:
        page.wait_for_timeout(20)


def test_cancel(chromium: Browser):
    """The request ends at the upstream too, and the next one is answered."""
    with (
        ChatServer(hangs, says(DIRECT)) as vllm,
        served(upstream(vllm.url)) as server,
        visit(chromium, server) as page,
    ):
        ask_about(page, png())
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
        arrived(page, vllm)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("status")).to_have_text("Cancelled.")
        expect(page.get_by_role("article")).to_have_count(0)
        press_ask(page)
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("red")
        assert server.metric('visionthink_requests_total{outcome="gone"}') == 1


def test_a_server_that_is_down_shows_an_error(chromium: Browser):
    with ExitStack() as stack, chromium.new_page() as page:
        server = stack.enter_context(served(scripted(DIRECT)))
        page.goto(f"http://127.0.0.1:{server.port}/", wait_until="networkidle")
        ask_about(page, png())
        finished(page)
        stack.close()
        press_ask(page)
        alert = page.get_by_role("alert")
        expect(alert).to_have_text("The server cannot be reached. Is it still running?")
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


def test_a_key_is_asked_for_and_kept_in_memory_only(chromium: Browser):
    with opened(chromium, scripted(DIRECT), keys=[KEY], failures=2) as page:
        field, alert = (
            page.get_by_label("This server requires an API key"),
            page.locator("#key-error"),
        )
        expect(field).to_be_focused()
        field.fill("wrong")
        page.get_by_role("button", name="Use key").click()
        expect(alert).to_have_text("The server does not accept this key.")
        field.fill("schlüssel")
        page.get_by_role("button", name="Use key").click()
        expect(alert).to_contain_text("This is not an API key")
        field.fill(KEY)
        page.keyboard.press("Enter")
        expect(field).to_be_hidden()
        expect(page.locator("#model")).to_have_text("Model: m")
        ask_about(page, png())
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("red")
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert page.evaluate(kept) == '[{},{},""]'
        assert KEY not in page.content()


def test_a_busy_server_can_be_asked_again_after_retry_after(chromium: Browser):
    """One runs and none may wait, so that the second is turned away with Retry-After."""
    with (
        ChatServer(hangs, says(DIRECT)) as vllm,
        served(upstream(vllm.url), limits={"running": 1, "waiting": 0}) as server,
        visit(chromium, server) as first,
        visit(chromium, server, failures=1) as second,
    ):
        ask_about(first, png())
        arrived(first, vllm)
        ask_about(second, png())
        expect(second.get_by_role("alert")).to_have_text("The server is busy with other questions.")
        again = second.get_by_role("button", name="Ask again")
        expect(again).to_be_disabled()
        first.get_by_role("button", name="Cancel").click()
        expect(again).to_have_text("Ask again", timeout=PATIENCE)
        again.click()
        (card,) = finished(second)
        expect(card.locator(".said")).to_have_text("red")
        expect(again).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<h1>Welcome</h1>"),
        ("application/json", b"{}"),
        ("text/event-stream", b"data: {not json\n\n"),
        ("text/event-stream", b"data: null\n\ndata: [DONE]\n\n"),
        ("text/event-stream", b'data: {"choices": 7}\n\ndata: [DONE]\n\n'),
        ("text/event-stream", b'data: {"visionthink": {"turns": [{}]}}\n\ndata: [DONE]\n\n'),
    ],
    ids=["page", "whole", "no json", "null", "odd", "no figures"],
)
def test_a_response_of_another_server_shows_an_error(kind: str, body: bytes, chromium: Browser):
    """As proxies send them."""
    with opened(chromium, scripted()) as page:
        page.route("**/v1/chat/completions", lambda r: r.fulfill(content_type=kind, body=body))
        ask_about(page, png())
        expect(page.get_by_role("alert")).to_contain_text("reply cannot be read.")
        expect(page.get_by_role("article")).to_have_count(0)


def test_a_stream_that_breaks_off_shows_an_error(chromium: Browser):
    said = b'data: {"choices": [{"delta": {"content": "re"}}]}\n\n'
    with opened(chromium, scripted()) as page:
        page.route(
            "**/v1/chat/completions",
            lambda route: route.fulfill(content_type="text/event-stream", body=said),
        )
        ask_about(page, png())
        expect(page.get_by_role("alert")).to_contain_text("broke before the answer was complete")


def test_an_error_inside_a_stream(chromium: Browser):
    """The upstream fails in the second turn, after the first was sent."""
    with (
        ChatServer(says(REQUEST), sends(b"{}", 500)) as vllm,
        opened(chromium, upstream(vllm.url)) as page,
    ):
        ask_about(page, png())
        expect(page.get_by_role("alert")).to_have_text("The model's server failed.")


def test_another_model_since_the_page_was_opened(chromium: Browser):
    """The server's message names the models; the next question goes to the new one."""
    with served(scripted(DIRECT)) as server, visit(chromium, server, failures=1) as page:
        server.gateway.name = "other"
        ask_about(page, png())
        expect(page.get_by_role("alert")).to_contain_text("There is no model 'm'")
        press_ask(page)
        (card,) = finished(page)
        expect(card.locator(".said")).to_have_text("red")


def test_a_server_without_the_page_answers_404(chromium: Browser):
    with served(scripted(), playground=False) as server, chromium.new_page() as page:
        response = page.goto(f"http://127.0.0.1:{server.port}/")
        assert response is not None
        assert response.status == 404
