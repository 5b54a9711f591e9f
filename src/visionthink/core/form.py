"""The form that a caller demands of an answer, such as JSON that follows a schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """An answer that does not have it is asked for once more, guided by the server.

    Attributes:
        read: the part of an answer that has the form; None if there is none. Called in a thread.
        words: what the further turn says.
        fields: what makes the server guide that turn; further fields of its request.
    """

    read: Callable[[str], str | None]
    words: str
    fields: Mapping[str, Any]
