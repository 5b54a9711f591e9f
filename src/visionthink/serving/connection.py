"""A client's connection."""

from __future__ import annotations

import asyncio

from starlette.types import Scope


async def peer_left(scope: Scope) -> None:
    """Return when the client has closed its connection although its body is not read yet."""
    await asyncio.Event().wait()
