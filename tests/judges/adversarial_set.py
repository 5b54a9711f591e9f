"""The shipped adversarial set, read by tests and counted for docs/judges.md.

`python tests/judges/adversarial_set.py` rewrites the table of the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from visionthink.judges.llm_prompt import read_verdict

PAGE = Path(__file__).parents[2] / "docs" / "judges.md"
BEGIN, END = "<!-- counted by tests/judges/adversarial_set.py -->", "<!-- end -->"


def cases(name: str) -> list[dict[str, Any]]:
    """`replies` or `predictions`."""
    path = files("visionthink.judges") / "adversarial" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def released(reply: str) -> int | None:
    """The parser of the authors' released judges, as their code has it in two of three places."""
    return 1 if "1" in reply else 0


def first_match(reply: str) -> int | None:
    """What most parsers do: the first statement decides, even in a quotation."""
    found = re.search(r"score:\s*([01])", reply, re.IGNORECASE)
    return int(found[1]) if found else None


PARSERS: dict[str, Callable[[str], int | None]] = {
    "`'1' in reply`": released,
    "first `Score: 0` or `1`": first_match,
    "ours": read_verdict,
}


def wrong(parser: Callable[[str], int | None], group: str | None = None) -> list[str]:
    """Ids of the replies that a parser reads otherwise than it should."""
    return [
        case["id"]
        for case in cases("replies")
        if group in (None, case["group"]) and parser(case["reply"]) != case["verdict"]
    ]


def table() -> str:
    replies = cases("replies")
    groups = list(dict.fromkeys(case["group"] for case in replies))
    lines = [
        f"| replies | cases | {' | '.join(f'{name} wrong' for name in PARSERS)} |",
        f"|---|---|{'---|' * len(PARSERS)}",
    ]
    for group in [*groups, None]:
        count = sum(group in (None, case["group"]) for case in replies)
        misses = " | ".join(str(len(wrong(parser, group))) for parser in PARSERS.values())
        lines.append(f"| {group or 'all'} | {count} | {misses} |")
    return "\n".join(lines)


def page_with_table() -> str:
    """docs/judges.md as it should be."""
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), encoding="utf-8")
