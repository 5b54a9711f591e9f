"""What earlier requests of a conversation were shown: it stands in its place in later ones.

A client sends back only the answer. What came before it (the request, the look, the final reply
with its thoughts) is put in its place again, word for word, so that the upstream's prefix cache
hits and the model need not ask for the same look twice. Texts are kept, images are not: the client
sends them again. What is forgotten costs only tokens.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from visionthink.core.images import Picture, Pixels, Size
from visionthink.core.types import Box, Call, Delivered, Episode, Message, Role

MOST_BYTES = 32 * 2**20
ENTRY_BYTES = 500
"""About what an entry takes beside its texts."""


class Hash(Protocol):
    """A running hash, as hashlib makes them."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> Hash: ...


@dataclass(frozen=True)
class _Cut:
    """A picture as a part of the client's image."""

    image: int
    box: Box | None
    view: tuple[Pixels | None, Size, int | None] | None


@dataclass(frozen=True)
class _Said:
    """A message without its pictures."""

    role: Role
    parts: tuple[str | _Cut, ...]
    token_ids: tuple[int, ...] | None
    calls: tuple[Call, ...]
    call_id: str

    @property
    def bytes(self) -> int:
        texts = (len(part) for part in self.parts if isinstance(part, str))
        return ENTRY_BYTES + 4 * sum(texts) + 40 * len(self.token_ids or ())


class DeliveredLooks:
    """The looks that were delivered, by conversation; the least recently used go first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[bytes, tuple[_Said, ...]] = OrderedDict()
        self.bytes = 0

    def keep(self, key: bytes, episode: Episode) -> None:
        """Remember what `episode` said, if it delivered a look."""
        said = episode.messages[-(2 * len(episode.turns) - 1) :]
        if not episode.requested or said[0].role != "assistant":
            return
        self._forget(key)
        self._kept[key] = tuple(_without_pictures(message, episode) for message in said)
        self.bytes += sum(each.bytes for each in self._kept[key])
        while self.bytes > self._most:
            self._forget(next(iter(self._kept)))

    def find(self, key: bytes, images: Sequence[Picture]) -> tuple[list[Message], list[Delivered]]:
        """What was said before the answer, and the answer; nothing if it is not known."""
        said = self._kept.get(key, ())
        if said:
            self._kept.move_to_end(key)
        looks: list[Delivered] = []
        return [_with_pictures(each, images, looks) for each in said], looks

    def _forget(self, key: bytes) -> None:
        self.bytes -= sum(each.bytes for each in self._kept.pop(key, ()))


def conversation_hash(*names: str) -> Hash:
    """The start of a conversation's key: whose it is, with which model and profile."""
    key = hashlib.blake2b(digest_size=16)
    _add(key, *names)
    return key


def add_message(key: Hash, role: str, *contents: str | bytes) -> None:
    """One more message: its texts, and for each image something that stands for it."""
    _add(key, role, *contents)


def _add(key: Hash, *contents: str | bytes) -> None:
    for content in contents:
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        key.update(b"%d:" % len(data) + data)
    key.update(b";")


def called(calls: Sequence[Any]) -> list[str]:
    """The ids of calls, as they stand in the key of a message."""
    ids = [call.get("id") if isinstance(call, dict) else getattr(call, "id", "") for call in calls]
    return [str(each) for each in ids]


def _without_pictures(message: Message, episode: Episode) -> _Said:
    parts = tuple(part if isinstance(part, str) else _cut(part, episode) for part in message.parts)
    return _Said(message.role, parts, message.token_ids, message.calls, message.call_id)


def _cut(picture: Picture, episode: Episode) -> _Cut:
    look = next(look for look in episode.looks if look.picture is picture)
    return _Cut(look.image, look.box, episode.example.images[look.image].view_of(picture))


def _with_pictures(said: _Said, images: Sequence[Picture], looks: list[Delivered]) -> Message:
    parts: list[str | Picture] = []
    for part in said.parts:
        if isinstance(part, _Cut):
            original = images[part.image]
            picture = original
            if part.view is not None:
                pixels, size, budget = part.view
                picture = original.view(size, pixels, budget)
            looks.append(Delivered(part.image, picture, part.box))
            parts.append(picture)
        else:
            parts.append(part)
    return Message(
        said.role,
        tuple(parts),
        said.token_ids,
        calls=said.calls,
        call_id=said.call_id,
        verbatim=True,
    )
