"""What an estimate tells before any training, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from visionthink.core.intervals import wilson
from visionthink.evaluation.savings import estimate_text, estimates
from visionthink.evaluation.summary import Sample


def samples(both: int, only_high: int, only_low: int, neither: int) -> list[Sample]:
    """Questions whose small image has 4 visual tokens and takes 1 s, the original 16 and 2 s."""
    rights = [(1.0, 1.0)] * both + [(0.0, 1.0)] * only_high
    rights += [(1.0, 0.0)] * only_low + [(0.0, 0.0)] * neither
    found: list[Sample] = []
    for number, (low, high) in enumerate(rights):
        for policy, score, tokens, seconds in (("low", low, 4, 1.0), ("high", high, 16, 2.0)):
            found.append(
                Sample(
                    *("s", policy, str(number), None, None, score),
                    tokens=(tokens, 0, 16),
                    seconds=seconds,
                )
            )
    return found


def test_the_four_counts_and_what_follows():
    """Of 20 questions 10 are right at both, 5 at high only, 1 at low only, 4 at neither.

    The ceiling requests 5: (20 · 4 + 5 · 16) / (20 · 16) = 160/320 tokens, (20 + 5 · 2) / 40 s. The
    careful model requests 9: (80 + 144) / 320 = 0.7 tokens, (20 + 18) / 40 s. Both are right on 16.
    """
    (row,) = estimates(samples(10, 5, 1, 4), ["s"])
    interval = row.pop("low_vs_high")
    assert interval["difference"] == -0.2
    assert interval["low"] < -0.2 < interval["high"]
    assert row.pop("accuracy_high_interval") == wilson(0.75, 20)
    assert row.pop("accuracy_low_interval") == wilson(0.55, 20)
    assert len(row.pop("wrong_at_high")) == 5
    assert (row.pop("advice")[:14], row.pop("verdict")) == ("No advice yet:", "unclear")
    assert row.pop("more_questions") == 50
    assert row == {
        "suite": "s",
        "family": "all",
        "n": 20,
        "both": 10,
        "only_high": 5,
        "only_low": 1,
        "neither": 4,
        "accuracy_high": 0.75,
        "accuracy_low": 0.55,
        "accuracy_ceiling": 0.8,
        "low": {"request_rate": 0.0, "visual_token_ratio": 0.25, "seconds_ratio": 0.5},
        "ceiling": {"request_rate": 0.25, "visual_token_ratio": 0.5, "seconds_ratio": 0.75},
        "careful": {"request_rate": 0.45, "visual_token_ratio": 0.7, "seconds_ratio": 0.95},
        "break_even": 0.75,
        "break_even_time": 0.5,
        "contained_high": 0,
        "contained_low": 0,
        "errors": 0,
    }


def test_images_that_have_no_smaller_view():
    found = [
        Sample("s", look, "0", None, None, score, tokens=(4, 0, 4), seconds=1.0)
        for look, score in (("low", 0.0), ("high", 1.0))
    ]
    (row,) = estimates(found, ["s"])
    assert row["break_even"] == 0
    assert row["advice"].startswith("Nothing to save: the images are so small")


def test_questions_with_an_error_are_left_out_and_counted():
    found = samples(1, 1, 0, 0)
    found[1] = Sample("s", "high", "0", None, None, None, error="no image")
    (row,) = estimates(found, ["s"])
    assert (row["n"], row["only_high"], row["errors"]) == (1, 1, 1)
    assert "s: 1 question," in estimate_text([row])
    assert "1 more have errors" in estimate_text([row])


def test_no_question_at_both_looks():
    found = [Sample("s", "low", "0", None, None, 1.0), Sample("s", "high", "0", None, None, None)]
    (row,) = estimates(found, ["s"])
    assert (row["n"], row["errors"], row["verdict"]) == (0, 1, "unclear")
    assert estimate_text([row]) == (
        "s: 1 question\n\nNo advice: no question was scored at both looks."
    )


def test_families_have_rows_of_their_own():
    found = [
        Sample("s", policy, family, family, None, score, tokens=(tokens, 0, 16), seconds=1.0)
        for family, low in (("print", 0.0), ("plain", 1.0))
        for policy, score, tokens in (("low", low, 4), ("high", 1.0, 16))
    ]
    rows = estimates(found, ["s"])
    assert [(r["family"], r["only_high"]) for r in rows] == [("print", 1), ("plain", 0), ("all", 1)]
    text = estimate_text(rows)
    assert text.splitlines()[-2:] == [
        "print   1           0          1         0        0         125.0 %",
        "plain   1           1          0         0        0          25.0 %",
    ]


def test_the_text_of_an_estimate():
    """Of 100 questions the careful model requests 45, at most 55 by the interval: below 75 %."""
    text = estimate_text(estimates(samples(50, 25, 5, 20), ["s"]))
    assert (
        text
        == """\
s: 100 questions, answered from the small image (low) and from the original (high)

            high right   high wrong
low right  50 (50.0 %)    5 (5.0 %)
low wrong  25 (25.0 %)  20 (20.0 %)

                                       requests  accuracy        [95 %]  visual tokens     time
the original always (high)                    -    75.0 %  [65.7, 82.5]        100.0 %  100.0 %
the small image always (low)                  -    55.0 %  [45.2, 64.4]         25.0 %   50.0 %
requests where needed (ceiling)          25.0 %    80.0 %                       50.0 %   75.0 %
requests where low is wrong (careful)    45.0 %    80.0 %                       70.0 %   95.0 %

Worth training: a model that learns when to request can save 30.0 % to 50.0 % of the visual \
tokens and keep the accuracy.
low minus high: -20.0 points (95 %: -29.8 to -9.4).
Break-even: cheaper than originals up to a request rate of 75.0 % in visual tokens, \
50.0 % in time as measured here.
Right at low only is usually chance (5); as many of those right at high only may be chance, too."""
    )


def test_without_advice_answers_are_shown_and_what_to_try():
    """Of wrong answers those that contain the truth come first; long ones are cut."""
    said = ["coffee" * 20, "It is\ntea.", "cup"]
    found = [
        replace(sample, truth="tea", answer=said[int(sample.id)]) for sample in samples(0, 0, 0, 3)
    ]
    (row,) = estimates(found, ["s"])
    assert (row["contained_high"], row["contained_low"]) == (1, 1)
    assert row["wrong_at_high"][0] == {"id": "1", "expected": "tea", "got": "It is\ntea."}
    lines = estimate_text([row]).splitlines()
    at = lines.index("Answers from the original that score wrong:")
    assert lines[at + 1 : at + 4] == [
        r"  expected 'tea'  got 'It is\ntea.'",
        f"  expected 'tea'  got '{('coffee' * 10)[:59]}…'",
        "  expected 'tea'  got 'cup'",
    ]
    assert "prompt_suffix" in lines[at + 5]
    assert "--judge cascade" in estimate_text([row])


def test_what_scores_high_never_had_tokens():
    """A model that reports none, such as a scripted one, is no division by zero."""
    found = [replace(sample, tokens=(0, 0, 0)) for sample in samples(10, 5, 0, 0)]
    assert estimates(found, ["s"])[0]["verdict"] == "nothing_to_save"
