"""Vision language models that look small first and ask for the original only when they need it.

    import visionthink
    episode = visionthink.ask("receipt.png", "How much is the tea?")
    episode.answer, episode.requested, episode.ledger.ratio

This is the public API; docs/api.md has an example of each name. A name is imported when it is
first used, so `import visionthink` and the command line start fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; a test keeps it equal to _HOMES
    from visionthink.api import ask as ask
    from visionthink.api import ask_many as ask_many
    from visionthink.api import open_engine as open_engine
    from visionthink.core.engine import Engine as Engine
    from visionthink.core.engine import EngineInfo as EngineInfo
    from visionthink.core.episode import run_episode as run_episode
    from visionthink.core.errors import CheckpointError as CheckpointError
    from visionthink.core.errors import DataError as DataError
    from visionthink.core.errors import EngineError as EngineError
    from visionthink.core.errors import ImageError as ImageError
    from visionthink.core.errors import JudgeError as JudgeError
    from visionthink.core.errors import MissingExtraError as MissingExtraError
    from visionthink.core.errors import PromptError as PromptError
    from visionthink.core.errors import RunError as RunError
    from visionthink.core.errors import ServerError as ServerError
    from visionthink.core.errors import TrainingError as TrainingError
    from visionthink.core.errors import UsageError as UsageError
    from visionthink.core.errors import VisionThinkError as VisionThinkError
    from visionthink.core.images import Limits as Limits
    from visionthink.core.images import Picture as Picture
    from visionthink.core.images import open_picture as open_picture
    from visionthink.core.rewards import Member as Member
    from visionthink.core.rewards import RewardSettings as RewardSettings
    from visionthink.core.rewards import score_group as score_group
    from visionthink.core.types import Completion as Completion
    from visionthink.core.types import Episode as Episode
    from visionthink.core.types import Example as Example
    from visionthink.core.types import Look as Look
    from visionthink.core.types import Message as Message
    from visionthink.core.types import Sampling as Sampling
    from visionthink.core.types import StopReason as StopReason
    from visionthink.core.types import Turn as Turn
    from visionthink.core.types import Usage as Usage
    from visionthink.data.source import DataOptions as DataOptions
    from visionthink.data.source import load_rows as load_rows
    from visionthink.engines.scripted import ScriptedEngine as ScriptedEngine
    from visionthink.judges import JudgeOptions as JudgeOptions
    from visionthink.judges import open_judge as open_judge
    from visionthink.reports.page import save_page as save_page

__version__ = "0.1.0"

_HOMES = {
    "api": "ask ask_many open_engine",
    "core.engine": "Engine EngineInfo",
    "core.episode": "run_episode",
    "core.errors": "CheckpointError DataError EngineError ImageError JudgeError MissingExtraError "
    "PromptError RunError ServerError TrainingError UsageError VisionThinkError",
    "core.images": "Limits Picture open_picture",
    "core.rewards": "Member RewardSettings score_group",
    "core.types": "Completion Episode Example Look Message Sampling StopReason Turn Usage",
    "data.source": "DataOptions load_rows",
    "engines.scripted": "ScriptedEngine",
    "judges": "JudgeOptions open_judge",
    "reports.page": "save_page",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'visionthink' has no attribute {name!r}")
    return getattr(import_module(f"visionthink.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
