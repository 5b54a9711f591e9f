"""Keys of clients: their names, and what each may use in a minute.

Kept in this process: several processes each allow that much.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from visionthink.core.errors import UsageError
from visionthink.serving.api_error import ApiError
from visionthink.serving.guards import keys_in
from visionthink.serving.serve_options import KeyOptions, ServeOptions


class Allowance:
    """So many units a minute, refilled steadily; a use that was not foreseen is paid back first."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._at = time.monotonic()

    def wait(self, least: float) -> float:
        """Seconds until `least` units are there; 0: they are."""
        now = time.monotonic()
        refilled = self._left + (now - self._at) * self._per_minute / 60
        self._left, self._at = min(refilled, float(self._per_minute)), now
        return max(0.0, (least - self._left) * 60 / self._per_minute)

    @property
    def used(self) -> int:
        """Of what is allowed in a minute, not refilled yet."""
        self.wait(0)
        return round(self._per_minute - self._left)

    def use(self, count: int) -> None:
        self._left -= count


@dataclass
class Key:
    """A client's key by its name; the key itself is not kept."""

    name: str
    digest: bytes
    requests: Allowance | None = None
    visual_tokens: Allowance | None = None

    def admit(self) -> None:
        """Count a request.

        Raises:
            ApiError: 429; the key has used what it may in a minute.
        """
        waits = {
            "requests": self.requests.wait(1) if self.requests else 0.0,
            "visual tokens": self.visual_tokens.wait(1) if self.visual_tokens else 0.0,
        }
        what, seconds = max(waits.items(), key=lambda each: each[1])
        if seconds > 0:
            message = f"the key {self.name!r} has used its {what} of this minute; try again later"
            code = "rate_limit_exceeded"
            raise ApiError(429, message, code=code, retry_after=ceil(seconds))
        if self.requests:
            self.requests.use(1)

    def spent(self, visual_tokens: int) -> None:
        """Count visual tokens, which are known only afterwards."""
        if self.visual_tokens:
            self.visual_tokens.use(visual_tokens)


@dataclass
class Keys:
    """The keys of one server; none: no key is required."""

    keys: Sequence[Key] = field(default_factory=tuple)

    @classmethod
    def unnamed(cls, keys: Sequence[str]) -> Keys:
        """Keys named by their numbers, from 1."""
        return cls([Key(str(number), _digest(key)) for number, key in enumerate(keys, 1)])

    @classmethod
    def of(cls, options: ServeOptions) -> Keys:
        """The keys that options name.

        Raises:
            UsageError: a variable holds no usable key, or two names have the same.
        """
        named = [_named(name, each) for name, each in options.keys.items()]
        keys = [*cls.unnamed(keys_in(options.api_key_env)).keys, *named]
        if len({key.digest for key in keys}) < len(keys):
            raise UsageError("two of the keys are the same; each name needs its own")
        return cls(keys)

    def replace(self, keys: Keys) -> None:
        """Take the keys of new options; a key that stays keeps what it has used."""
        before = {(key.name, key.digest): key for key in self.keys}
        self.keys = [_continued(key, before.get((key.name, key.digest))) for key in keys.keys]

    def find(self, authorization: bytes) -> Key | None:
        """The key in an Authorization header; the comparison takes the same time for every key."""
        scheme, _, token = authorization.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        equal = [key for key in self.keys if hmac.compare_digest(digest, key.digest)]
        return equal[0] if equal and scheme.lower() == b"bearer" else None


def _named(name: str, options: KeyOptions) -> Key:
    (key, *more) = keys_in(options.env)
    if more:
        raise UsageError(f"expected one key in {options.env}, got {len(more) + 1}; name each")
    requests, tokens = options.requests_per_minute, options.visual_tokens_per_minute
    return Key(
        name,
        _digest(key),
        Allowance(requests) if requests else None,
        Allowance(tokens) if tokens else None,
    )


def _continued(key: Key, before: Key | None) -> Key:
    for new, old in (
        (key.requests, before and before.requests),
        (key.visual_tokens, before and before.visual_tokens),
    ):
        if new and old:
            new.use(old.used)
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
