from PIL import Image

from visionthink.reports.canvas import Canvas, enlarged, fold, text_width, wrap


def test_text_is_folded_into_what_the_font_has():
    assert fold("Café  \u2013  2 \u00d7 3 → “6 €”") == "Cafe - 2 x 3 -> “6 EUR ”"
    assert fold("漢👩\u200d👧") == "\uffff\uffff\uffff"
    assert fold("\x1b\u202e") == ""


def test_lines_fit_and_the_last_says_that_there_is_more():
    lines = wrap("the quick brown fox " * 10, 14, 150, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(text_width(line, 14) <= 150 for line in lines)
    assert " ".join(lines).startswith("the quick brown fox")


def test_what_fits_is_not_changed():
    assert wrap("a short line.", 14, 150, 1) == ["a short line."]
    assert wrap("", 14, 150, 2) == []


def test_long_words_are_broken():
    lines = wrap("x" * 100, 14, 100, 50)
    assert "".join(lines) == "x" * 100
    assert all(text_width(line, 14) <= 100 for line in lines)


def test_enlarged_pixels_stay_squares():
    image = Image.new("RGB", (2, 1), "red")
    image.putpixel((1, 0), (0, 0, 255))
    big = enlarged(image, (6, 3))
    assert {big.getpixel((x, y)) for x in range(3) for y in range(3)} == {(255, 0, 0)}
    assert {big.getpixel((x, y)) for x in range(3, 6) for y in range(3)} == {(0, 0, 255)}
    # 5 pixels for 2: the middle one is half of each, none is left out
    assert [enlarged(image, (5, 1)).getpixel((x, 0)) for x in (1, 2, 3)] == [
        (255, 0, 0),
        (128, 0, 128),
        (0, 0, 255),
    ]


def test_shapes_are_where_they_were_put():
    canvas = Canvas(20, 20)
    canvas.box((2, 2, 18, 18), radius=4, fill="#ffffff", line="#0072b2", width=2)
    assert canvas.image.size == (40, 40)
    assert canvas.image.getpixel((0, 0)) == (0, 0, 0, 0)
    assert canvas.image.getpixel((20, 5)) == (0, 0x72, 0xB2, 255)
    assert canvas.image.getpixel((20, 20)) == (255, 255, 255, 255)
    canvas.arrow([(4, 10), (16, 10)], "#000000")
    assert canvas.image.getpixel((12, 20)) == (0, 0, 0, 255)
    assert canvas.image.getpixel((12, 14)) == (255, 255, 255, 255)
