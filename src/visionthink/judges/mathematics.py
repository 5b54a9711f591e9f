r"""Expressions that are equal in mathematics: \frac{\sqrt{2}}{2} and 1/\sqrt{2}.

Math-Verify compares them (extra `judges`), in a process of its own: an expression from outside may
take hours or all memory, so a comparison that is late ends with its process. It is blind to units,
currencies, words, brackets and case, so it sees nothing that holds any or differs in them.
"Different" is believed where a number or a point shows it.
"""

# people type these:
# ruff: noqa: RUF001

from __future__ import annotations

import atexit
import json
import re
import select
import subprocess
import sys
import threading
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from visionthink.judges.word_classes import words

LONGEST = 400
"""Characters of an expression."""
LONGEST_TEXT = 4000
"""Characters at the end of a text with LaTeX in it."""
MOST_FORMULAS = 50
SECONDS = 2.0
"""For one comparison."""
STARTING_SECONDS = 60.0
MOST_BYTES = 2 << 30
"""Of memory, for the process."""

_FUNCTIONS = words(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log exp sqrt det gcd lcm mod max "
    "min lim inf sup abs and"
)
_WORD = re.compile(r"[a-zA-Z]{2,}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_CURRENCY = re.compile(
    r"\\\$|(?<![\w\\])\$\s?[0-9][0-9.,]*(?![^$]*\$)|[€£¥₹%°]|\\%|\\circ|\\degree"
)
_TELLING = re.compile(r"[\\^*=√∞π|{}()<>≤≥±]|[a-z]\s?[-+/]|[-+/]\s?[a-z]")
_MARKED = re.compile(r"<!|--|[-+*'!/^]\s*$|[a-zA-Z]\s*'|[-+]\s*[cC]\s*\$?$")  # f', and constants
_FORMULA = re.compile(r"\$[^$]|\\boxed|\\[(\[]")
_IN_BRACKETS = re.compile(r"\s*\(\s*[0-9][0-9.,]{2,}\s*\)\s*")
"""(500), which is -500 to accountants."""
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{")


def same_expression(truth: str, said: str) -> bool | None:
    """Whether two expressions are equal; None where that cannot be told."""
    if not (_TELLING.search(truth) or _TELLING.search(said)):
        return None
    truth, said = _written_out(truth), _written_out(said)
    if not (_is_expression(truth) and _is_expression(said)) or _brackets(truth) != _brackets(said):
        return None
    if find_spec("math_verify") is None:
        return None
    verdict = _compared(truth, said)
    return None if verdict and _letters(truth) != _letters(said) else verdict


def same_in_text(truth: str, said: str) -> bool | None:
    """Whether Math-Verify finds equal answers in two texts with LaTeX in them."""
    truth, said = truth[-LONGEST_TEXT:], said[-LONGEST_TEXT:]
    if find_spec("math_verify") is None or _marks(truth) != _marks(said):
        return None
    for text in (truth, said):
        formulas = text.count("$") // 2 + text.count("\\boxed") + bool(_FORMULA.search(text))
        if formulas > MOST_FORMULAS or (not formulas and len(text) > LONGEST):
            return None  # without any, the whole text would be read as one expression
    if _is_expression(truth) and _is_expression(said) and _brackets(truth) != _brackets(said):
        return False if _half_open(truth) or _half_open(said) else None
    return _compared(truth, said)


def _half_open(text: str) -> bool:
    """Whether a text is an interval that holds one of its ends."""
    text = text.strip(" $.").replace("\\left", "").replace("\\right", "")
    return re.fullmatch(r"\[[^()\[\]]*,[^()\[\]]*\)|\([^()\[\]]*,[^()\[\]]*\]", text) is not None


def _marks(text: str) -> set[str]:
    """Signs of units, currencies and primes in what a text ends in."""
    last = text.rpartition("\\boxed")[2] or text
    return set(re.findall(r"\\%|%|percent|\\circ|°|€|£|¥|(?<=[a-zA-Z])'", last[-200:])) - {
        "percent"
    }


_WRITTEN = (
    *(("−", "-"), ("×", r"\times "), ("·", r"\cdot "), ("÷", "/"), ("π", r"\pi "), ("²", "^2")),
    *(("³", "^3"), ("⁴", "^4"), ("≥", r"\ge "), ("≤", r"\le ")),
)


def _written_out(text: str) -> str:
    """Signs that people type as LaTeX, and x = 5 as 5."""
    text = text.strip().rstrip(".")
    for sign, command in _WRITTEN:
        text = text.replace(sign, command)
    text = re.sub(r"(?:√|(?<![a-zA-Z\\])sqrt)\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"√\s*(\w+)", r"\\sqrt{\1}", text)
    return re.sub(r"^(\$?)\s*[a-zA-Z]\s*(?:=|\\in\b)\s*(?=\S)", r"\1", text)


def _letters(text: str) -> set[str]:
    """Variables: Math-Verify does not tell f from F, nor f(x) from f'(x)."""
    return set(re.findall("[a-zA-Z']", _COMMAND.sub(" ", text)))


def _brackets(text: str) -> list[str]:
    """Those of an interval, which Math-Verify does not tell apart."""
    return re.findall(r"[\[\]]|-?\s*(?:\\infty|∞)", text.replace(" ", ""))


@lru_cache(maxsize=4096)
def _is_expression(text: str) -> bool:
    """Whether a text is mathematics throughout."""
    if (
        not 0 < len(text) <= LONGEST
        or _CURRENCY.search(text)
        or _TEXT.search(text)
        or _MARKED.search(text)
        or text.count("|") % 2  # 7|9
        or _IN_BRACKETS.fullmatch(text)
    ):
        return False
    words = _WORD.findall(_COMMAND.sub(" ", text))
    return all(word.lower() in _FUNCTIONS or len(word) == 2 for word in words)


@lru_cache(maxsize=4096)
def _compared(truth: str, said: str) -> bool | None:
    return {b"equal\n": True, b"different\n": False}.get(_WORKER.ask(truth, said))


class _Worker:
    """The process that compares; started when it is first needed, and again after a late reply."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, truth: str, said: str) -> bytes:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            process = self._process
            if process is None or process.stdin is None:
                return b""
            try:
                process.stdin.write(json.dumps([truth, said]).encode() + b"\n")
                process.stdin.flush()
                return self._line(SECONDS)
            except OSError:
                self.end()
                return b""

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._line(STARTING_SECONDS) != b"ready\n":
            self.end()

    def _line(self, seconds: float) -> bytes:
        """The next line; the process ends if it is late."""
        output = self._process.stdout if self._process else None
        if output is None or not select.select([output], [], [], seconds)[0]:
            self.end()
            return b""
        return output.readline()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_WORKER = _Worker()
atexit.register(_WORKER.end)


def _serve() -> None:
    """Read pairs from standard input, one JSON list a line; answer equal, different or unknown."""
    import resource
    from importlib import import_module

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    sympy, math_verify = import_module("sympy"), import_module("math_verify")  # untyped

    def reading(text: str) -> list[Any]:
        text = text.strip()
        marks = ("$", "\\(", "\\[", "\\boxed")
        marked = text if any(mark in text for mark in marks) else f"${text}$"
        return math_verify.parse(marked, parsing_timeout=None, raise_on_error=False)

    def differ(true: Any, given: Any) -> bool:
        """Whether two expressions have other values at a point, or two sets other elements."""
        if isinstance(true, sympy.Expr) and isinstance(given, sympy.Expr):
            symbols = sorted(true.free_symbols | given.free_symbols, key=str)
            if {"i", "I"} & {str(symbol) for symbol in symbols}:
                return False
            point = {symbol: 0.7390851 + 0.5772157 * at for at, symbol in enumerate(symbols)}
            values = [complex(sympy.N(each.subs(point))) for each in (true, given)]
            return abs(values[0] - values[1]) > 0.01 * max(map(abs, values))
        relations = [isinstance(each, sympy.core.relational.Relational) for each in (true, given)]
        if any(relations):
            return all(relations) or isinstance(given if relations[0] else true, sympy.Expr)
        if isinstance(true, (sympy.Tuple, sympy.Interval)) and type(true) is type(given):
            pairs = zip(true.args, given.args, strict=False)
            return len(true.args) != len(given.args) or any(differ(*pair) for pair in pairs)
        if isinstance(true, sympy.FiniteSet) and isinstance(given, sympy.FiniteSet):
            return len(true) != len(given)
        if isinstance(true, sympy.MatrixBase) and isinstance(given, sympy.MatrixBase):
            return true.shape != given.shape or any(map(differ, true, given))
        return False

    def rounds_to(true: Any, given: Any) -> bool:
        """Whether a number that no decimals write out is given to four digits or more."""
        if not (isinstance(true, sympy.Expr) and isinstance(given, sympy.Float)):
            return False
        if true.free_symbols or true.has(sympy.Float) or true.is_rational:
            return False
        return abs(complex(sympy.N(true)) - float(given)) <= 5e-5 * abs(float(given))

    def verdict(truth: str, said: str) -> str:
        true, given = reading(truth), reading(said)
        if not true or not given:
            return "unknown"
        if math_verify.verify(true, given, timeout_seconds=None) or rounds_to(true[0], given[0]):
            return "equal"
        return "different" if differ(true[0], given[0]) else "unknown"

    verdict("$x^{2}$", r"$\frac{1}{2}$")  # the first one loads the parser
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            found = verdict(*json.loads(line))
        except Exception:
            found = "unknown"
        print(found, flush=True)


if __name__ == "__main__":
    _serve()
