"""--model_args, and generation settings of tasks."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import visionthink
from visionthink.core.errors import UsageError
from visionthink.core.families import QWEN3_VL
from visionthink.evaluation.lmms.model_args import ModelArgs


def test_the_default_is_the_embedded_model():
    options = ModelArgs.of({"batch_size": 1})
    assert (options.asked.name, options.asked.look, options.at_once) == ("auto", "auto", 1)
    engine = options.open()
    assert options.config(engine.about.model)["model"] == "mini"


def test_options_of_a_server():
    """Names and folders that look like numbers came as numbers."""
    given = {"pretrained": 7, "run": 2026, "base_url": "http://127.0.0.1:1/v1", "batch_size": 1}
    options = ModelArgs.of({**given, "grid": "qwen3-vl", "look": "low", "profile": "general"})
    engine = options.open()
    about = engine.about
    assert (about.model, about.grid, options.run, options.at_once) == ("7", QWEN3_VL, "2026", 16)
    assert (options.asked.look, options.asked.profile) == ("low", "general")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lok": "low"}, "--model_args: lok: is not an option; did you mean look?"),
        ({"look": "far"}, "--model_args: look: input should be 'auto', 'low' or 'high'; got 'far'"),
        ({"batch_size": 0}, "--model_args: batch_size: input should be greater than or equal to 1"),
        ({"batch_size": "auto"}, "--model_args: batch_size: input should be a valid integer"),
        ({"api_key": "x"}, "--model_args: api_key needs base_url"),
        (
            {"base_url": "http://h/v1", "dtype": "float16"},
            "--model_args: dtype does not go with base_url",
        ),
        ({"policy": "fast"}, "there is no policy 'fast'"),
        ({"policy": "oracle"}, "--model_args: policy oracle asks no model; run low and high"),
        (
            {"policy": "low", "look": "low"},
            "--model_args: give policy, or look and profile, not both",
        ),
    ],
)
def test_wrong_options_are_refused(given: dict[str, Any], said: str):
    with pytest.raises(UsageError) as caught:
        opened(given)
    assert str(caught.value).startswith(said)


def opened(given: dict[str, Any]) -> object:
    options = ModelArgs.of(given)
    return options.asked, options.open()


def test_policies_of_evaluation():
    assert ModelArgs.of({"policy": "high:general"}).asked.profile == "general"
    assert ModelArgs.of({"policy": "fastv:0.5"}).asked.look == "high"


@pytest.mark.parametrize(
    ("generation", "temperature", "top_p", "max_tokens"),
    [
        ({"until": ["\n\n"], "max_new_tokens": 16, "temperature": 0}, 0, 1, 16 + 2048),
        ({"max_new_tokens": 8192, "temperature": 0.2, "do_sample": False}, 0, 1, 8192 + 2048),
        ({"temperature": 0.7, "top_p": 0.9, "do_sample": True}, 0.7, 0.9, 1024 + 2048),
        ({"temperature": None, "top_p": None, "num_beams": 1}, 0, 1, 1024 + 2048),
    ],
)
def test_generation_settings(
    generation: dict[str, Any], temperature: float, top_p: float, max_tokens: int
):
    found = ModelArgs.of({}).sampling(generation, "pope/0")
    assert (found.temperature, found.top_p, found.max_tokens) == (temperature, top_p, max_tokens)


def test_a_task_s_limit_as_it_is():
    options = ModelArgs.of({"thought_tokens": 0})
    assert options.sampling({"max_new_tokens": 16}, "pope/0").max_tokens == 16


def test_each_sample_draws_with_a_seed_of_its_own():
    one, other = ModelArgs.of({}), ModelArgs.of({"seed": 1})
    seeds = {options.sampling({}, s).seed for options in (one, other) for s in ("a", "b")}
    assert len(seeds) == 4


def test_the_entry_point_is_light_and_names_what_there_is():
    """lmms-eval itself is asked in tests/real_lmms. `model` cannot be imported without it."""
    root = Path(visionthink.__file__).parent
    project = tomllib.loads((root.parents[1] / "pyproject.toml").read_text("utf-8"))
    (target,) = project["project"]["entry-points"]["lmms_eval.models"].values()
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert "lmms_eval" not in sys.modules
    source = (root / "evaluation" / "lmms" / "model.py").read_text("utf-8")
    assert all(f"\nclass VisionThink{kind}(" in source for kind in ("Chat", "Simple"))
