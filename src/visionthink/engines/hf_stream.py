"""Tokens that come one at a time, as text that grows at its end only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What bytes that are no character decode to; the next token may complete them."""


class Spelling:
    """The text of the tokens so far, without the half of a character at its end.

    It is a beginning of what `decode` makes of all tokens together, for tokenizers of bytes as the
    Qwen-VL families have them: text that ends with a whole character stays as it is, so only the
    tokens after it are decoded again.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._after: list[int] = []
        self.text = ""

    def add(self, token: int) -> bool:
        """Take in the next token; whether the text grew."""
        self._after.append(token)
        piece = self._decode(self._after)
        if piece.endswith(HALF):
            return False
        self._after.clear()
        self.text += piece
        return bool(piece)
