"""What to conclude from an estimate (`savings`), or why nothing can be concluded yet.

There is no advice where accuracy at full size is near zero, where many wrong answers contain the
truth (the metric may be at fault), and where an interval is too wide to tell. In these cases it
says how many more questions it would take: the fewest at which the interval would be narrow enough
if all shares stayed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from visionthink.core.intervals import fewest, paired_interval, wilson
from visionthink.evaluation.table import percent

NEAR_ZERO = 0.1
"""Accuracy at full size below which nothing follows from what the small image changes; so it does
where the interval reaches below.
"""
WIDEST = 0.2
"""The widest 95 % interval of accuracy at full size, and the largest share of answers that contain
the truth but score wrong is half of it.
"""
ENOUGH = 0.01
"""The loss of accuracy up to which the small image counts as enough, and the saving up to which
nothing is saved.
"""
MARGIN = 0.05
"""The loss that the interval must exclude before the small image counts as enough."""

Verdict = Literal["unclear", "nothing_to_save", "low", "train", "doubtful", "originals"]


@dataclass(frozen=True)
class Advice:
    """A conclusion in one word and in one sentence.

    Attributes:
        more_questions: how many it would take to conclude something; None where that is not what
            is missing.
    """

    verdict: Verdict
    text: str
    more_questions: int | None = None


def advise(row: Mapping[str, Any]) -> Advice:
    """The conclusion from an estimate."""
    if 1 - row["low"]["visual_token_ratio"] <= ENOUGH:
        return Advice(
            "nothing_to_save",
            "Nothing to save: the images are so small that their half size has as many tokens.",
        )
    return _no_advice(row) or _of_low(row) or _of_requests(row)


def _no_advice(row: Mapping[str, Any]) -> Advice | None:
    """Why the scores at full size say nothing, if they do not."""
    n, accuracy, contained = row["n"], row["accuracy_high"], row["contained_high"]
    low, high = row["accuracy_high_interval"]
    right = f"{row['both'] + row['only_high']} of {n} answers from the original score right"
    wide = high - low > WIDEST
    if accuracy < NEAR_ZERO or (low < NEAR_ZERO and not wide):
        # The accuracy will be another one once answers score right: none needs more than one half.
        more = _more(0.5, n) if wide else None
        then = f", and ask about {more} more questions" if more else ""
        why = f"No advice: only {right}, so what the small image loses cannot be seen"
        return Advice("unclear", f"{why}. First find out why{then}.", more)
    if contained > WIDEST / 2 * n:
        why = (
            f"No advice: {contained} of {n} answers from the original score wrong although they "
            "contain the expected answer, so the scores may be wrong"
        )
        return Advice("unclear", f"{why}. First compare these.")
    if wide:
        more = _more(accuracy, n)
        why = (
            f"No advice yet: {right}, so their accuracy is anywhere from {percent(low)} to "
            f"{percent(high)}"
        )
        return Advice("unclear", f"{why}. Ask about {more} more questions.", more)
    return None


def _more(share: float, n: int) -> int | None:
    """How many more questions make the interval of a share narrow enough."""

    def narrow(n: int) -> bool:
        low, high = wilson(share, n) or (0, 1)
        return high - low <= WIDEST

    found = fewest(narrow, above=n)
    return None if found is None else found - n


def _of_low(row: Mapping[str, Any]) -> Advice | None:
    """Whether the small image alone is enough, if it scores about as much."""
    versus = row["low_vs_high"]
    if versus["difference"] < -ENOUGH:
        return None
    n, saved = row["n"], percent(1 - row["low"]["visual_token_ratio"])
    if versus["low"] < -MARGIN:
        square = (row["only_high"] + row["only_low"]) / n
        needed = fewest(
            lambda m: paired_interval(versus["difference"], square, m)[0] >= -MARGIN, above=n
        )
        more = None if needed is None else needed - n
        return Advice(
            "unclear",
            f"No advice yet: the small image alone scores about as much, but may lose up to "
            f"{-100 * versus['low']:.1f} points. Ask about {more} more questions.",
            more,
        )
    if versus["low"] > 0:
        return Advice(
            "low",
            f"The small image alone is better here: look low scores more, and saves {saved} of the "
            "visual tokens without any training. Originals may be too large for this model.",
        )
    return Advice(
        "low",
        f"The small image alone is good enough here: look low saves {saved} of the visual tokens "
        "without any training.",
    )


def _of_requests(row: Mapping[str, Any]) -> Advice:
    """Whether requests pay, where the small image alone loses accuracy."""
    n, careful, ceiling = row["n"], row["careful"], row["ceiling"]
    least, most = (1 - cost["visual_token_ratio"] for cost in (careful, ceiling))
    _, most_asked = wilson(careful["request_rate"], n) or (0, 1)
    least_asked, _ = wilson(ceiling["request_rate"], n) or (0, 1)
    if least > 0:
        saved = percent(most)
        if percent(least) != saved:
            saved = f"{percent(least)} to {saved}"
        sure = "Worth" if most_asked < row["break_even"] else "Probably worth"
        text = (
            f"{sure} training: a model that learns when to request can save {saved} of the visual "
            "tokens and keep the accuracy."
        )
        if row["low_vs_high"]["high"] >= 0:
            text += " What the small image alone loses may be chance: it may be enough, too."
        return Advice("train", text)
    if most > 0:
        return Advice(
            "doubtful",
            f"Doubtful: at best {percent(most)} of the visual tokens are saved, but a model that "
            "requests whenever it cannot answer costs more than the originals; start from a "
            "better model, or from easier questions.",
        )
    sure = "Not worth it" if least_asked > row["break_even"] else "Probably not worth it"
    return Advice(
        "originals",
        f"{sure}: {percent(ceiling['request_rate'])} of the questions need the original, more than "
        f"the break-even of {percent(row['break_even'])}; show originals.",
    )
