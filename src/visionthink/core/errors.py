"""Every error this package raises on purpose.

    VisionThinkError
    ├── UsageError          an option or argument is wrong                       (exit code 2)
    ├── ImageError          an image cannot be used                              (exit code 1)
    ├── MissingExtraError   an optional dependency is not installed              (exit code 1)
    ├── DataError           rows of a data set cannot be used                    (exit code 1)
    ├── RunError            a run or result cannot be read, written or resumed   (exit code 1)
    ├── TrainingError       training cannot start, or had to stop                (exit code 1)
    ├── JudgeError          a judge gave no verdict                              (exit code 1)
    └── EngineError         a model could not reply                              (exit code 1)
        ├── CheckpointError     weights cannot be found, read or trusted
        ├── PromptError         what is asked does not fit the model
        └── ServerError         an OpenAI-compatible server failed

Each message is one line: what was expected, what was found, what to do. Each class also inherits
the built-in exception that a caller would expect, and can be pickled.
"""

from typing import Literal

Reason = Literal["refused", "timeout", "unreachable", "no_reply"]


class VisionThinkError(Exception):
    """Base of all errors raised on purpose by this package."""

    exit_code = 1


class UsageError(VisionThinkError, ValueError):
    """An option, argument or setting is wrong."""

    exit_code = 2


class ImageError(VisionThinkError, ValueError):
    """An image is missing, broken, too large or of a kind we do not read."""


class MissingExtraError(VisionThinkError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what = what
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs packages that are not installed: run pip install '.[{self.extra}]' "
            "in a clone of the repository"
        )


class DataError(VisionThinkError, ValueError):
    """Rows of a data set are missing, broken or not in the layout that was named."""


class RunError(VisionThinkError, RuntimeError):
    """A run folder, or a file of results, cannot be read, written or resumed."""


class TrainingError(VisionThinkError, RuntimeError):
    """Training cannot start, or had to stop."""


class JudgeError(VisionThinkError, RuntimeError):
    """A judge gave no verdict; this never counts as a score of 0."""


class EngineError(VisionThinkError, RuntimeError):
    """A model could not reply."""


class CheckpointError(EngineError):
    """Model weights cannot be found, read or trusted."""


class PromptError(EngineError):
    """A prompt is too long for the model, or its chat template cannot express it."""


class ServerError(EngineError):
    """An OpenAI-compatible server refused, failed, or returned something that is not a reply.

    Attributes:
        reason: "refused" by an error status, "timeout" (no reply in time), "unreachable" (no
            connection, or it broke), "no_reply" (a success that holds none).
        status: the HTTP status where it refused.
        said: an excerpt of what the server said, harmless to show.
    """

    reason: Reason = "no_reply"
    status: int | None = None
    said: str = ""
