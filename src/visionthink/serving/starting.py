"""What a server finds out about its upstreams when it starts, and says at once."""

from __future__ import annotations

import json
from typing import Any

from visionthink.core.profiles import Profile
from visionthink.serving.passthrough import Passthrough
from visionthink.serving.pool import Pool
from visionthink.serving.telemetry import console


async def check_functions(pool: Pool, passes: Passthrough, profile: Profile) -> None:
    """Warn where the profile offers functions that an upstream's chat template leaves out.

    The prompt then has as many tokens with functions as without. Only servers that count tokens
    without generating (vLLM) are asked.
    """
    if not profile.tools:
        return
    for backend in pool.backends:
        if not backend.alive:
            continue
        chat: dict[str, Any] = {"model": backend.engine.about.model}
        chat["messages"] = [{"role": "user", "content": "Hi"}]
        without = await passes.prompt_tokens(backend, chat)
        offering = chat | {"tools": json.loads(profile.tools)}
        if without and without == await passes.prompt_tokens(backend, offering):
            console.error(
                "upstream %s: the model's chat template leaves functions out, so that under the "
                "profile %r it can never request a look; use another model or profile",
                backend.name,
                profile.name,
            )
