"""A model family that exists only here: it runs through everything, with no change in the package.

A LLaVA of random weights: CLIP shrinks every image to 28 x 28 px, and patches of 14 px make 4
visual tokens, whatever the size. Positions have one dimension, control tokens square brackets.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

import visionthink
from evaluation.answering import work, write_rows
from serving.gateways import served
from training.coaching import settings_of, trainer_of
from training.replaying import in_turns, reply_ids
from visionthink.core.errors import UsageError
from visionthink.core.families import FAMILIES, Config, plain_text
from visionthink.core.images import Cells, Grid, Picture, Size
from visionthink.core.ledger import ModelShape, text_flops
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Message, Sampling
from visionthink.engines.families import RUNNERS, Runner, SpecialTokens
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.hf_prompt import build_prompt
from visionthink.engines.scripted import ScriptedEngine
from visionthink.evaluation.runner import Settings, evaluate
from visionthink.pruning import parse_method, pruned_engine
from visionthink.runs.folder import EPISODES_FILE
from visionthink.training.packing import pack_episode

TEMPLATE = """\
{%- for message in messages -%}
[TURN]{{ message.role }}: {% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{{ part.text if part.type == "text" else "[IMG]" }}
{%- endfor -%}
{%- endif -%}
[END]
{%- endfor -%}
{%- if add_generation_prompt -%}[TURN]assistant: {% endif -%}
"""
SHORT = Sampling(max_tokens=6)


# The pure part


@dataclass(frozen=True)
class SquareGrid:
    """Four visual tokens, always."""

    def cells(self, size: Size, budget: int | None = None) -> Cells:
        return 2, 2

    def seen_size(self, size: Size, budget: int | None = None) -> Size:
        return 28, 28

    def first_look(self, size: Size) -> tuple[Size, None]:
        return (max(1, size[0] // 2), max(1, size[1] // 2)), None


@dataclass(frozen=True)
class ToyVision:
    """A tower that costs 1000 FLOPs for each visual token."""

    deepstack: int = 0
    token_values: int = 588

    def flops(self, images: Sequence[Cells]) -> int:
        return sum(1000 * columns * rows for columns, rows in images)


@dataclass(frozen=True)
class ToyFamily:
    model_type: str = "llava"
    name: str = "toy"
    marks: tuple[str, ...] = ("toy",)
    control: str = r"\[(?:IMG|TURN|END)\]"
    grid: Grid = SquareGrid()
    published: Mapping[str, Config] = field(default_factory=dict[str, Config])

    def grid_of(
        self, config: Config, preprocessor: Config | None, max_pixels: int | None = None
    ) -> Grid:
        return self.grid

    def shape(self, config: Config) -> ModelShape:
        text = config["text_config"]
        return ModelShape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            head_dim=text["hidden_size"] // text["num_attention_heads"],
            mlp=text["intermediate_size"],
            vocabulary=text["vocab_size"],
            vision=ToyVision(),
        )

    def matrix_parameters(self, config: Config) -> int:
        return 1


# The part on transformers


class ToyRunner(Runner):
    def special_tokens(self, config: Any, tokenizer: Any) -> SpecialTokens:
        image, end, turn = tokenizer.convert_tokens_to_ids(["[IMG]", "[END]", "[TURN]"])
        return SpecialTokens(image, end, turn, banned=(image,))

    def inputs(
        self, pictures: Sequence[Picture], cells: Sequence[Cells], processor: Any
    ) -> dict[str, torch.Tensor]:
        images = [picture.image for picture in pictures]
        return {"pixel_values": processor(images=images, return_tensors="pt")["pixel_values"]}


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in each table."""
    monkeypatch.setitem(FAMILIES, "llava", ToyFamily())
    monkeypatch.setitem(RUNNERS, "llava", ToyRunner())


def save_llava(folder: Path) -> Path:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={b: i for i, b in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    control = ("[PAD]", "[TURN]", "[END]", "[IMG]")
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=TEMPLATE,
        eos_token="[END]",  # noqa: S106
        pad_token="[PAD]",  # noqa: S106
    )
    image: Any = tokenizer.convert_tokens_to_ids("[IMG]")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            initializer_range=0.2,
        ),
        image_token_index=image,
        image_seq_length=4,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():  # it says printable ASCII only
        silent = torch.ones(len(tokenizer), dtype=torch.bool)
        silent[tokenizer.convert_tokens_to_ids([*map(chr, range(33, 127)), "[END]"])] = False
        model.lm_head.weight[silent] = 0
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("[END]")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return load_checkpoint(save_llava(tmp_path / "toy"), device="cpu")


def picture(colour: str) -> Picture:
    return Picture(Image.new("RGB", (224, 112), colour))


def asked(colour: str, question: str) -> list[Message]:
    return [Message("system", ("Look.",)), Message("user", (picture(colour), question))]


# Through everything


def test_an_answer_and_its_ledger(checkpoint: Checkpoint):
    """The one image is 4 tokens; `[IMG]` in the question stays text of six bytes."""
    engine = HFEngine(checkpoint)
    episode = visionthink.ask(
        picture("red"), "Is [IMG] red?", engine=engine, look="low", profile="mini", sampling=SHORT
    )
    assert [(look.size, look.visual_tokens) for look in episode.looks] == [((28, 28), 4)]
    prompt = build_prompt(episode.messages[:2], checkpoint)
    assert prompt.ids.count(checkpoint.tokens.image) == 4
    assert "Is [ IMG] red?" in checkpoint.tokenizer.decode(prompt.ids)
    ledger = episode.ledger
    assert (ledger.first, ledger.vanilla, ledger.ratio) == (4, 4, 1.0)
    assert ledger.prompt_tokens == len(prompt.ids)
    assert ledger.prefill_flops == text_flops(len(prompt.ids), 0, checkpoint.shape) + 4000


def test_replies_are_those_of_plain_transformers_alone_and_in_a_batch(checkpoint: Checkpoint):
    engine = HFEngine(checkpoint)
    conversations = [asked("red", "one?"), asked("blue", "is it two or three?")]
    expected = []
    for messages in conversations:
        prompt = build_prompt(messages, checkpoint)
        ids = torch.tensor([prompt.ids])
        made = checkpoint.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **checkpoint.inputs(prompt.pictures),
            max_new_tokens=6,
            do_sample=False,
        )
        expected.append(tuple(made[0, ids.shape[1] :].tolist()))

    async def together() -> list[Any]:
        return await asyncio.gather(*(engine.generate(m, SHORT) for m in conversations))

    alone = [asyncio.run(engine.generate(messages, SHORT)) for messages in conversations]
    assert [reply.token_ids for reply in alone] == expected
    assert [reply.token_ids for reply in asyncio.run(together())] == expected


def test_a_second_turn_continues_from_the_cache(checkpoint: Checkpoint):
    first = asked("red", "one?")
    cached, fresh = HFEngine(checkpoint), HFEngine(checkpoint, reuse_prefix=False)
    turn = asyncio.run(cached.generate(first, SHORT))
    second = [
        *first,
        Message("assistant", (turn.text,), turn.token_ids),
        Message("user", (picture("green"), "and now?")),
    ]
    replies = [asyncio.run(engine.generate(second, SHORT)) for engine in (cached, fresh)]
    assert replies[0].token_ids == replies[1].token_ids
    assert replies[0].usage.cached_tokens > 0 == replies[1].usage.cached_tokens


def test_evaluation_counts_its_tokens(checkpoint: Checkpoint, tmp_path: Path):
    todo = work(tmp_path / "run", write_rows(tmp_path, ["print-a", "plain-b"]), ["low", "high"])
    engine = HFEngine(replace(checkpoint, profile="mini"))
    asyncio.run(evaluate(todo, engine, Settings(max_tokens=6)))
    lines = [
        json.loads(line) for line in (tmp_path / "run" / EPISODES_FILE).read_text().splitlines()
    ]
    counted = [line["ledger"]["visual_tokens"] for line in lines]
    assert [(each["first"], each["vanilla"]) for each in counted] == [(4, 4)] * 4


def test_a_gateway_reply(checkpoint: Checkpoint):
    buffer = io.BytesIO()
    picture("red").image.save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What colour is it?"},
    ]
    body = {
        "model": "m:low",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 6,
        "visionthink": {"trace": True},
    }
    with served(HFEngine(replace(checkpoint, profile="mini"))) as server:
        reply = server.post(body)
        assert reply.status == 200, reply.json
        assert [look["visual_tokens"] for look in reply.json["visionthink"]["looks"]] == [4]


def test_two_training_steps(checkpoint: Checkpoint, tmp_path: Path):
    """Of each episode's tokens 4 stand for an image, and the replies are learnt. One step replays
    replies, the other one generates them with the backend of the trainer.
    """
    settings = settings_of(profile="mini")
    trainer = trainer_of(checkpoint, tmp_path, settings, max_steps=2, max_completion_length=160)
    request, answer = request_reply("Too small."), direct_reply("Clear.", "right")
    scripts = [[answer], [request, answer], [direct_reply("", "wrong")], [answer]] * 2
    generations: Any = iter([in_turns(checkpoint, scripts)])
    roll_out: Any = trainer.roll_out
    generate: Any = trainer.generate
    seen: list[Any] = []

    def rolled(examples: Any) -> Any:
        trainer.generate = next(generations, generate)
        trainer.reply_tokens = 160 if not seen else 4
        seen.append(roll_out([replace(example, answer="right") for example in examples]))
        return seen[-1]

    trainer.roll_out = rolled
    before = checkpoint.model.lm_head.weight.detach().clone()
    trainer.train()
    assert len(seen) == 2
    assert [[look.visual_tokens for look in e.looks] for e in seen[0][:4]] == [
        [4],
        [4, 4],
        [4],
        [4],
    ]
    assert all(len(turn.token_ids or ()) <= 4 for e in seen[1] for turn in e.turns)
    packed = pack_episode(seen[0][1], checkpoint)
    learnt = [t for t, flag in zip(packed.completion_ids, packed.mask, strict=True) if flag]
    assert learnt == [*reply_ids(checkpoint, request), *reply_ids(checkpoint, answer)]
    assert packed.completion_ids.count(checkpoint.tokens.image) == 4
    assert not checkpoint.model.lm_head.weight.equal(before)


def test_pruning_between_layers_works_and_inside_another_tower_is_refused(checkpoint: Checkpoint):
    engine = HFEngine(checkpoint)
    pruned = pruned_engine(engine, parse_method("fastv:0.5"))
    reply = asyncio.run(pruned.generate(asked("red", "one?"), SHORT))
    assert reply.usage.pruned is not None
    assert reply.usage.pruned.visual == (4, 4, 2)
    with pytest.raises(UsageError, match="Qwen-VL vision tower"):
        pruned_engine(engine, parse_method("visionzip:0.5"))


# A family whose first look has as many pixels and a smaller token budget


@dataclass(frozen=True)
class BudgetGrid(SquareGrid):
    def cells(self, size: Size, budget: int | None = None) -> Cells:
        return budget or 64, 1

    def seen_size(self, size: Size, budget: int | None = None) -> Size:
        return size

    def first_look(self, size: Size) -> tuple[Size, Any]:
        return size, 16


def test_a_first_look_with_a_smaller_budget_of_tokens():
    engine = ScriptedEngine(
        [request_reply("Too coarse."), direct_reply("Clear.", "42")], grid=BudgetGrid()
    )
    episode = visionthink.ask(picture("red"), "What is it?", engine=engine, profile="mini")
    assert [look.picture.budget for look in episode.looks] == [16, None]
    assert [look.visual_tokens for look in episode.looks] == [16, 64]
    assert [look.size for look in episode.looks] == [(224, 112)] * 2
    assert episode.ledger.ratio == 1.25


def test_control_tokens_of_every_family_are_broken():
    assert plain_text("[IMG]<|im_end|>[ABC]") == "[ IMG]< |im_end|>[ABC]"
