"""The tree of errors: parents, exit codes, messages, pickling."""

from __future__ import annotations

import inspect
import pickle

import pytest

from visionthink.core import errors
from visionthink.core.errors import (
    CheckpointError,
    DataError,
    EngineError,
    ImageError,
    JudgeError,
    MissingExtraError,
    PromptError,
    RunError,
    ServerError,
    TrainingError,
    UsageError,
    VisionThinkError,
)

TREE = {
    VisionThinkError: (Exception, 1),
    UsageError: (VisionThinkError, 2),
    ImageError: (VisionThinkError, 1),
    MissingExtraError: (VisionThinkError, 1),
    DataError: (VisionThinkError, 1),
    RunError: (VisionThinkError, 1),
    TrainingError: (VisionThinkError, 1),
    JudgeError: (VisionThinkError, 1),
    EngineError: (VisionThinkError, 1),
    CheckpointError: (EngineError, 1),
    PromptError: (EngineError, 1),
    ServerError: (EngineError, 1),
}

BUILT_IN = {
    UsageError: ValueError,
    ImageError: ValueError,
    MissingExtraError: ImportError,
    EngineError: RuntimeError,
    CheckpointError: RuntimeError,
    PromptError: RuntimeError,
    ServerError: RuntimeError,
}


def make(kind: type[VisionThinkError]) -> VisionThinkError:
    if kind is MissingExtraError:
        return MissingExtraError("the hf engine", "hf")
    return kind("wanted this, got that, do so")


def test_every_error_class_is_in_the_tree():
    found = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    assert set(found) == set(TREE)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_base_classes_and_exit_codes(kind: type[VisionThinkError]):
    parent, exit_code = TREE[kind]
    assert kind.__bases__[0] is parent
    assert kind.exit_code == exit_code
    assert issubclass(kind, BUILT_IN.get(kind, Exception))
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_pickling(kind: type[VisionThinkError]):
    error = make(kind)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.args == error.args


def test_a_missing_extra_says_what_to_install():
    error = MissingExtraError("the hf engine", "hf")
    assert (error.what, error.extra) == ("the hf engine", "hf")
    assert str(error) == (
        "the hf engine needs packages that are not installed: run pip install '.[hf]' in a clone "
        "of the repository"
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (copy.what, copy.extra) == ("the hf engine", "hf")


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_errors_are_also_built_in_exceptions(kind: type[VisionThinkError]):
    with pytest.raises(BUILT_IN.get(kind, Exception)):
        raise make(kind)
