"""A note in the usage of a reply that an upstream wrote."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

MOST_HELD = 16 * 2**20
"""Bytes of a reply that are held back to be changed; a larger one is passed on as it is."""


class UsageNote:
    """Adds `visionthink.untouched` to the usage of a reply, whole or streamed.

    Called with each piece of the body, and with b"" at its end; returns what can be sent.
    """

    def __init__(self, note: str, *, stream: bool) -> None:
        self._note = note
        self._stream = stream
        self._held = b""
        self._gave_up = False

    def __call__(self, piece: bytes) -> bytes:
        if self._gave_up:
            return piece
        self._held += piece
        if self._stream:
            *lines, self._held = self._held.split(b"\n")
            sent = b"".join(self._event(line) + b"\n" for line in lines)
        else:
            sent = b""
        if len(self._held) > MOST_HELD:
            self._gave_up = True
        elif piece:
            return sent
        rest, self._held = self._held, b""
        return sent + (rest if self._stream or self._gave_up else self._noted(rest, always=True))

    def _event(self, line: bytes) -> bytes:
        data = line.removeprefix(b"data:")
        if data == line or b'"usage"' not in data:
            return line
        return b"data: " + self._noted(data.strip(), always=False)

    def _noted(self, body: bytes, *, always: bool) -> bytes:
        """JSON with the note; as it is where it is no JSON, or has no usage."""
        try:
            reply: Any = from_json(body)
        except ValueError:
            return body
        if not isinstance(reply, dict) or not (always or reply.get("usage")):
            return body
        usage = reply.get("usage")
        kept = usage if isinstance(usage, dict) else {}
        return to_json(reply | {"usage": kept | {"visionthink": {"untouched": self._note}}})
