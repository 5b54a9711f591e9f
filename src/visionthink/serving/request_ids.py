"""Which request is which: ids that are taken from the client, sent on, and returned."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

REQUEST_ID = "x-request-id"
TRACED = ("traceparent", "tracestate")
"""The headers of W3C Trace Context."""

_SAFE = re.compile(r"[!-~]{1,200}")

RawHeader = tuple[bytes, bytes]


def ids_of(headers: Sequence[RawHeader]) -> dict[str, str]:
    """The request's id, made where the client sends none that is usable, and its trace."""
    given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    ids = {
        name: given[name] for name in (REQUEST_ID, *TRACED) if _SAFE.fullmatch(given.get(name, ""))
    }
    return {REQUEST_ID: f"req-{secrets.token_hex(12)}"} | ids


def returned(ids: dict[str, str], headers: Sequence[RawHeader]) -> list[RawHeader]:
    """A response's headers with the ids, where an upstream has not set them itself."""
    names = {name.lower() for name, _ in headers}
    more = [(name.encode(), value.encode()) for name, value in ids.items()]
    return [*headers, *(each for each in more if each[0] not in names)]


def sent_on(ids: dict[str, str], headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A client's headers with the ids."""
    return [*(each for each in headers if each[0].lower() not in ids), *ids.items()]
