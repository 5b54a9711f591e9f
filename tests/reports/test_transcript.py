import pytest
from acting import EXTREME, answered, play, requested, scene, zoomed
from PIL import Image

from visionthink.core.protocol import direct_reply, request_reply
from visionthink.reports.transcript import transcript, wrap


def test_an_answer_without_a_request():
    assert transcript(answered()) == "\n".join(
        (
            "question     What colour is the house?",
            "first look   224 x 168 px, 48 visual tokens, of an image of 448 x 336 px",
            "thought      Its wall is red.",
            "answer       red",
            # Text: mini's system prompt 10 tokens, the question 6, the reply 14 of tags + 5 + 1.
            "tokens       visual 48 processed, 25 % of vanilla (the original alone: 192); text 36",
            "cost         0.25 s",
        )
    )


def test_a_requested_original():
    assert transcript(requested()) == "\n".join(
        (
            "question     How much is the tea?",
            "first look   224 x 168 px, 48 visual tokens, of an image of 448 x 336 px",
            "thought      The prices are too small.",
            "request      original",
            "look         original: 448 x 336 px, 192 visual tokens",
            "thought      Tea is 4.20.",
            "answer       4.20",
            # text: 10 + 6, the request 43 (13 thought, 30 call), its response 7, the answer 23
            "tokens       visual 240 processed, 125 % of vanilla (the original alone: 192); "
            "text 89; cached 50",
            # vanilla: 362,792 text + 4,835,328 vision; ours: 37,928 + 324,096 in the first turn,
            # 773,608 + 324,096 + 4,835,328 in the second
            "cost         prefill 6.30 MFLOPs vs 5.20 MFLOPs vanilla; 0.50 s",
        )
    )


def test_malformed_calls_and_refused_requests_have_a_line():
    lines = transcript(EXTREME["errors, late"]).splitlines()
    assert "malformed    there is no function 'zoom', only 'resize_image'" in lines
    assert "request      original (refused)" in lines
    assert "malformed    there is neither an answer nor a request" in lines
    assert "no answer    the last reply holds neither an answer nor a valid request" in lines


def test_a_request_in_the_last_turn():
    lines = transcript(EXTREME["no turn left"]).splitlines()
    assert "request      original (no turn was left to serve it)" in lines
    assert "no answer    the last turn was used for a request" in lines


def test_a_first_look_at_the_original():
    lines = transcript(EXTREME["high"]).splitlines()
    assert lines[1] == "first look   448 x 336 px, 192 visual tokens; this is the original"


def test_a_long_thought_is_cut_and_the_rest_counted():
    episode = play([scene()], "Q?", [direct_reply("word " * 400, "a")])
    thought = [
        line for line in transcript(episode).splitlines() if "word" in line or "more" in line
    ]
    # 87 columns hold 17 words of 4 letters and the spaces between; 7 lines are shown.
    assert [line.count("word") for line in thought] == [17] * 7 + [0]
    # 281 words are left: 16 lines of 17 words (84 characters) and one of 9 (44).
    assert thought[-1].strip() == f"… {16 * 84 + 44:,} more characters"


def test_escape_codes_cannot_reach_the_terminal():
    episode = play([scene()], "\x1b]0;title\x07?", [direct_reply("\x9b2J", "\x1b[31mred\u202e")])
    text = transcript(episode)
    assert "␛]0;title␇?" in text
    assert "answer       ␛[31mred\ufffd" in text
    assert all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize("name", EXTREME)
def test_lines_fit_into_100_columns(name: str):
    lines = transcript(EXTREME[name]).splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)


def test_wide_characters_take_two_columns():
    assert wrap("漢字漢字", 5, 8) == ["漢字", "漢字"]
    assert wrap("a漢字", 4, 8) == ["a漢", "字"]
    assert wrap("漢字", 4, 8) == ["漢字"]
    assert wrap("", 4, 8) == [""]


def test_a_refused_request_shows_no_other_look():
    replies = [request_reply("a"), request_reply("b"), direct_reply("c", "d")]
    lines = transcript(play([scene()], "Q?", replies, max_turns=3)).splitlines()
    assert sum(line.startswith("look ") for line in lines) == 1


def test_every_look_has_a_line_with_its_part():
    lines = transcript(zoomed()).splitlines()
    assert [line for line in lines if line.startswith(("first look", "look"))] == [
        "first look   224 x 168 px, 48 visual tokens, of an image of 448 x 336 px",
        "look         original: 448 x 336 px, 192 visual tokens",
        "look         region, x 50-87.5 %, y 0-50 %: 168 x 168 px, 36 visual tokens",
    ]
    # 48 + 192 + 36
    assert any("visual 276 processed, 144 % of vanilla" in line for line in lines)


def test_an_original_beyond_the_models_pixel_limit_has_the_size_that_the_model_saw():
    """168 x 112 px are the most: 24 visual tokens. The file's size is only said of the image."""
    replies = [request_reply("a"), direct_reply("b", "c")]
    episode = play([Image.new("RGB", (1500, 1000))], "Q?", replies, max_pixels=20_000)
    lines = transcript(episode).splitlines()
    assert lines[1] == "first look   84 x 56 px, 6 visual tokens, of an image of 1,500 x 1,000 px"
    assert "look         original: 168 x 112 px, 24 visual tokens" in lines
