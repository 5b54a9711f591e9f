"""Chat templates in a process of their own: the same prompts, within time and memory."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from visionthink import ask, open_picture
from visionthink.core.errors import PromptError
from visionthink.engines.template_process import TemplateProcess
from visionthink.mini import CHECKPOINTS, SAMPLES
from visionthink.serving.serve_options import ServeOptions
from visionthink.serving.server import open_gateway

MESSAGES = [
    {"role": "system", "content": "Look.\n"},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "é \ue000 <|x|>?"}]},
]
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
FILL = "{% set n = namespace(x='a') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
ON_DEMAND = "{% if messages|length > 1 %}" + FILL + "{% endif %}fine"


class Tokenizer:
    """As much of one as a template needs."""

    special_tokens_map: Mapping[str, Any] = {"eos_token": "<end>"}

    def get_chat_template(self) -> str:
        return ""


@pytest.fixture(scope="module")
def process() -> Generator[TemplateProcess]:
    """Starting one takes seconds, so the tests share it."""
    started = TemplateProcess(Tokenizer(), memory=64 * 2**20)
    yield started
    started.close()


def test_9_prompts_are_those_of_the_tokenizer(process: TemplateProcess):
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINTS / "mini")
    expected = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    process.template = tokenizer.get_chat_template()
    assert process(MESSAGES) == process(MESSAGES) == expected


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (FILL, "more than 64 MiB"),
        ("{{ 'a' * 10**10 }}", "more than 64 MiB"),
        (ON_DEMAND, "more than 64 MiB"),
        ("{{ raise_exception('no images') }}", "cannot express this: no images"),
    ],
    ids=["fill", "multiply", "on-demand", "refuse"],
)
def test_9_a_template_that_allocates_is_ended(process: TemplateProcess, template: str, said: str):
    process.template = template
    with pytest.raises(PromptError, match=said):
        process(MESSAGES)


def test_9_a_good_prompt_after_a_bad_one(process: TemplateProcess):
    process.template = ON_DEMAND
    assert process(MESSAGES[:1]) == "fine"
    with pytest.raises(PromptError):
        process(MESSAGES)
    assert process(MESSAGES[:1]) == "fine"


def test_9_a_template_that_loops_is_ended(process: TemplateProcess):
    process.template, process.seconds = LOOP, 0.2
    with pytest.raises(PromptError, match=r"longer than 0.2 s"):
        process(MESSAGES)
    process.template, process.seconds = "fine", 60.0
    assert process(MESSAGES) == "fine"


@pytest.mark.slow
def test_9_a_served_checkpoint_has_its_template_confined(tmp_path: Path):
    """It answers as the embedded one does; one whose template loops is not served."""
    folder = tmp_path / "model"
    shutil.copytree(CHECKPOINTS / "mini", folder)
    gateway = open_gateway(ServeOptions(model=str(folder)))
    engine: Any = gateway.pool.backends[0].engine
    assert isinstance(engine.checkpoint.render, TemplateProcess)
    picture = open_picture(SAMPLES / "tag.png")
    asked = [
        ask(picture, "What code is on the tag?", engine=each).answer for each in (engine, None)
    ]
    assert asked[0] == asked[1]
    engine.checkpoint.render.close()
    (folder / "chat_template.jinja").write_text(FILL)
    with pytest.raises(PromptError, match="more than 512 MiB"):
        open_gateway(ServeOptions(model=str(folder)))
