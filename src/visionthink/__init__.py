"""Vision language models that look small first and ask for the original only when they need it.

    import visionthink
    episode = visionthink.ask("receipt.png", "How much is the tea?")
    episode.answer, episode.requested, episode.ledger.ratio

`ask` is the whole main job; `run_episode` and the engines are its parts. Names are imported when
they are first used, so that `import visionthink` and the command line stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visionthink.api import ask, open_engine
    from visionthink.core.episode import run_episode
    from visionthink.core.errors import (
        CheckpointError,
        EngineError,
        ImageError,
        MissingExtraError,
        ServerError,
        UsageError,
        VisionThinkError,
    )
    from visionthink.core.images import (
        Grid,
        Limits,
        Picture,
        half_view,
        open_picture,
        visual_tokens,
    )
    from visionthink.core.types import Episode, Example, Message, Sampling, StopReason, Turn, Usage

__version__ = "0.1.0"

_HOMES = {
    "core.episode": ("run_episode",),
    "core.errors": (
        "CheckpointError",
        "EngineError",
        "ImageError",
        "MissingExtraError",
        "ServerError",
        "UsageError",
        "VisionThinkError",
    ),
    "core.images": ("Grid", "Limits", "Picture", "half_view", "open_picture", "visual_tokens"),
    "core.types": ("Episode", "Example", "Message", "Sampling", "StopReason", "Turn", "Usage"),
    "api": ("ask", "open_engine"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CheckpointError",
    "EngineError",
    "Episode",
    "Example",
    "Grid",
    "ImageError",
    "Limits",
    "Message",
    "MissingExtraError",
    "Picture",
    "Sampling",
    "ServerError",
    "StopReason",
    "Turn",
    "Usage",
    "UsageError",
    "VisionThinkError",
    "ask",
    "half_view",
    "open_engine",
    "open_picture",
    "run_episode",
    "visual_tokens",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'visionthink' has no attribute {name!r}")
    return getattr(import_module(f"visionthink.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
