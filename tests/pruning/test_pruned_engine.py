"""The pruned engine: episodes, several images, what is refused, and that nothing stays behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pruning_models import (
    LAYERS,
    MINI,
    deep_checkpoint,
    hooks_in,
    logits_of,
    messages_about,
    picture,
    prompt_about,
    visual_places,
)
from transformers import StaticCache

from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from visionthink import open_engine
from visionthink.core import protocol
from visionthink.core.engine import Engine
from visionthink.core.episode import run_episode
from visionthink.core.errors import EngineError, UsageError
from visionthink.core.images import Picture, half_view
from visionthink.core.ledger import pruned_text_flops
from visionthink.core.types import Completion, Example, Message, Sampling
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.scripted import ScriptedEngine
from visionthink.mini.world import make_example
from visionthink.pruning import FastV, Method, SparseVLM, VisionZip, parse_method, pruned_engine
from visionthink.pruning.cost import predict
from visionthink.pruning.engine import Pruning

SHORT = Sampling(max_tokens=8)
HALVES: tuple[Method, ...] = (FastV(0.5), SparseVLM(0.5), VisionZip(0.5))
EACH = pytest.mark.parametrize("method", HALVES, ids=str)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return deep_checkpoint(save_qwen2_5_vl, tmp_path_factory.mktemp("deep"))


def ask(engine: Engine, messages: list[Message]) -> Completion:
    return asyncio.run(engine.generate(messages, SHORT))


def second_turn(first: list[Message], reply: Completion, original: Picture) -> list[Message]:
    spoken = Message("assistant", (reply.text,), reply.token_ids)
    return [*first, spoken, protocol.tool_response(MINI, [original])]


# What an episode costs


@EACH
def test_what_a_reply_ran_reaches_the_ledger_and_was_foretold(
    checkpoint: Checkpoint, method: Method
):
    """8 x 6 visual tokens; the tower is paid in full, the layers for what they ran."""
    engine = pruned_engine(HFEngine(checkpoint), method)
    example = Example((picture(1),), "what?")
    episode = asyncio.run(run_episode(example, engine, look="high", profile="mini", sampling=SHORT))
    ((turn,), (cost,)) = episode.turns, episode.ledger.turns
    pruned = turn.usage.pruned
    assert pruned is not None
    text = turn.usage.prompt_tokens - 48
    foretold = predict(method, [(8, 6)], text, checkpoint.shape)
    if isinstance(method, SparseVLM):  # foretold as if every word told and came after the image
        assert 0 < pruned.extra_flops < foretold.extra_flops
        foretold = replace(foretold, extra_flops=pruned.extra_flops)
    assert pruned == foretold
    assert pruned.visual[-1] == cost.kept_visual_tokens == episode.ledger.kept == 24
    assert cost.visual_tokens == episode.ledger.first == round(sum(pruned.visual) / LAYERS)
    assert episode.ledger.vanilla == 48
    vision = checkpoint.shape.vision.flops([(8, 6)])
    spent, vanilla = cost.prefill_flops, episode.ledger.vanilla_prefill_flops
    assert spent is not None
    assert vanilla is not None
    assert spent == pruned_text_flops(pruned, checkpoint.shape) + vision
    assert spent < vanilla


@EACH
def test_keys_and_values_of_dropped_tokens_are_gone(
    checkpoint: Checkpoint, method: Method, monkeypatch: pytest.MonkeyPatch
):
    """In each layer's cache: what it ran of the prompt, and the reply but for its last token."""
    caches: list[Any] = []
    forward = checkpoint.model.forward

    def keeping(*args: Any, **kwargs: Any) -> Any:
        caches.append(kwargs["past_key_values"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(checkpoint.model, "forward", keeping)
    reply = ask(pruned_engine(HFEngine(checkpoint), method), messages_about(picture(2)))
    assert reply.usage.pruned is not None
    spoken = reply.usage.completion_tokens - 1
    lengths = [layer.keys.shape[2] for layer in caches[-1].layers]
    assert lengths == [run + spoken for run in reply.usage.pruned.run]
    assert lengths[-1] < reply.usage.prompt_tokens + spoken


# Several images, small images


@EACH
def test_several_images_in_one_prompt(checkpoint: Checkpoint, method: Method):
    """48 and 12 visual tokens: 30 are left."""
    engine = pruned_engine(HFEngine(checkpoint), method)
    reply = ask(engine, messages_about(picture(3), picture(4, (112, 84))))
    assert reply.usage.pruned is not None
    assert reply.usage.pruned.visual[-1] == 30


@pytest.mark.parametrize("text", ["fastv:0.01", "sparsevlm:0.01", "visionzip:0.01"])
def test_every_image_keeps_a_token(checkpoint: Checkpoint, text: str):
    """Images of one, two and 48 tokens: in the last layer there is one position of each."""
    pictures = picture(5, (28, 28)), picture(6, (56, 28)), picture(7)
    prompt = prompt_about(checkpoint, *pictures)
    rotary: list[torch.Tensor] = []
    last = checkpoint.model.model.language_model.layers[-1].self_attn
    handle = last.register_forward_pre_hook(
        lambda module, args, kwargs: rotary.append(kwargs["position_embeddings"][0][0]),
        with_kwargs=True,
    )
    for method in (None, parse_method(text)):
        logits_of(checkpoint, prompt, method)
    handle.remove()
    whole, left = rotary
    visual = visual_places(prompt, checkpoint)
    images = visual[:1], visual[1:3], visual[3:]
    kept = [
        sum(bool((left == whole[place]).all(dim=1).any()) for place in image) for image in images
    ]
    assert kept == [1, 1, 1]


# Two turns


@pytest.mark.parametrize("first_look_only", [True, False])
def test_a_second_turn_under_visionzip_goes_on_from_the_pruned_first(
    checkpoint: Checkpoint, first_look_only: bool
):
    """It chooses by the image alone, so that a fresh prefill of both turns drops the same tokens.
    First look 4 x 3 = 12 tokens, 6 of them left; original 48, or 24 of them."""
    original = picture(8)
    plain = HFEngine(checkpoint)
    engine = pruned_engine(plain, VisionZip(0.5), first_look_only)
    fresh = pruned_engine(HFEngine(checkpoint, reuse_prefix=False), VisionZip(0.5), first_look_only)
    first = messages_about(half_view(original, engine.about.grid))
    reply = ask(engine, first)
    second = second_turn(first, reply, original)
    reused, recomputed = ask(engine, second), ask(fresh, second)

    known = reply.usage.prompt_tokens + reply.usage.completion_tokens - 1
    assert (reused.usage.cached_tokens, recomputed.usage.cached_tokens) == (known, 0)
    assert reused.token_ids == recomputed.token_ids
    assert reused.token_ids != ask(plain, second).token_ids
    told, told_too = reused.usage.pruned, recomputed.usage.pruned
    assert told is not None
    assert told_too is not None
    left = 48 if first_look_only else 24
    assert told.visual == told_too.visual == (left,) * LAYERS
    assert told.cached == (known - 6,) * LAYERS
    assert told.run[0] + told.cached[0] == told_too.run[0]
    assert told_too.run[0] == reused.usage.prompt_tokens - 6 - (48 - left)


@pytest.mark.parametrize("method", [FastV(0.5), SparseVLM(0.5)], ids=str)
@pytest.mark.parametrize("first_look_only", [True, False])
def test_a_second_turn_under_other_methods_is_prefilled_anew(
    checkpoint: Checkpoint, method: Method, first_look_only: bool
):
    """12 and 48 visual tokens; without the original that came on request, 6 are dropped."""
    original = picture(9)
    engine = pruned_engine(HFEngine(checkpoint), method, first_look_only)
    fresh = pruned_engine(HFEngine(checkpoint), method, first_look_only)
    first = messages_about(half_view(original, engine.about.grid))
    second = second_turn(first, ask(engine, first), original)
    reply = ask(engine, second)
    assert reply.usage.cached_tokens == 0
    assert reply.token_ids == ask(fresh, second).token_ids
    pruned = reply.usage.pruned
    assert pruned is not None
    dropped = reply.usage.prompt_tokens - pruned.run[-1]
    assert dropped == (6 if first_look_only else 30)
    assert (pruned.visual[-1] == 48) == first_look_only


def test_an_auto_episode_with_a_zipped_first_look():
    """The embedded model asks for a receipt's original: half of the first look, all of that."""
    engine = pruned_engine(open_engine("mini"), VisionZip(0.5), first_look_only=True)
    example = make_example("receipt", 1, "test")
    episode = asyncio.run(run_episode(example, engine))
    assert episode.requested
    first, second = (turn.usage for turn in episode.turns)
    (original,) = example.images
    columns, rows = engine.about.grid.cells(half_view(original, engine.about.grid).size)
    ledger = episode.ledger
    assert ledger.first == ledger.turns[0].kept_visual_tokens == round(columns * rows * 0.5)
    assert ledger.requested == ledger.turns[1].kept_visual_tokens == ledger.vanilla
    assert second.cached_tokens == first.prompt_tokens + first.completion_tokens - 1


# Nothing stays behind


@EACH
def test_the_plain_engine_is_as_before(checkpoint: Checkpoint, method: Method):
    plain = HFEngine(checkpoint)
    before, hooks = ask(plain, messages_about(picture(10))), hooks_in(checkpoint.model)
    pruned = ask(pruned_engine(plain, method), messages_about(picture(10)))
    assert hooks_in(checkpoint.model) == hooks
    again = ask(HFEngine(checkpoint), messages_about(picture(10)))
    assert again.token_ids == before.token_ids
    assert again.usage.pruned is None
    assert pruned.token_ids != before.token_ids


@EACH
def test_an_error_leaves_no_hook(
    checkpoint: Checkpoint, method: Method, monkeypatch: pytest.MonkeyPatch
):
    engine = pruned_engine(HFEngine(checkpoint), method)
    hooks = hooks_in(checkpoint.model)

    def fail(*args: Any, **kwargs: Any) -> None:
        seen.append(hooks_in(checkpoint.model))
        raise RuntimeError("the machine is on fire")

    seen: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.model.lm_head, "forward", fail)
        with pytest.raises(RuntimeError, match="on fire"):
            ask(engine, messages_about(picture(11)))
    assert seen[0] > hooks
    assert hooks_in(checkpoint.model) == hooks
    assert ask(engine, messages_about(picture(11))).usage.pruned is not None


@EACH
def test_both_engines_asked_at_once(checkpoint: Checkpoint, method: Method):
    """They share the model and so take turns; the pruned one answers one by one."""
    plain = HFEngine(checkpoint)
    pruned = pruned_engine(plain, method)
    asked = [messages_about(picture(seed)) for seed in (12, 13)]
    alone = [ask(engine, messages).token_ids for messages in asked for engine in (plain, pruned)]

    async def together() -> list[Completion]:
        return await asyncio.gather(
            *(engine.generate(m, SHORT) for m in asked for engine in (plain, pruned))
        )

    assert [reply.token_ids for reply in asyncio.run(together())] == alone


# What is refused


def test_an_engine_without_a_model_here():
    with pytest.raises(UsageError, match="needs the hf engine; got ScriptedEngine"):
        pruned_engine(ScriptedEngine([]), FastV(0.5))


@EACH
def test_flash_attention_is_refused(
    checkpoint: Checkpoint, method: Method, monkeypatch: pytest.MonkeyPatch
):
    config = checkpoint.model.config.get_text_config()
    monkeypatch.setattr(config, "_attn_implementation_internal", "flash_attention_2")
    with pytest.raises(UsageError, match="sdpa and eager attention; this model runs 'flash_att"):
        pruned_engine(HFEngine(checkpoint), method)


def test_a_model_with_too_few_layers_is_refused(tmp_path: Path):
    engine = HFEngine(load_checkpoint(save_qwen2_5_vl(tmp_path), device="cpu"))
    with pytest.raises(UsageError, match="prunes after 2 layers; the model has 2 altogether"):
        pruned_engine(engine, FastV(0.5))


def test_layers_with_a_window_are_refused(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    config = checkpoint.model.config.get_text_config()
    monkeypatch.setattr(config, "layer_types", ["full_attention", "sliding_attention"])
    with pytest.raises(UsageError, match="layers that attend to everything"):
        pruned_engine(HFEngine(checkpoint), FastV(0.5))


@EACH
@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_or_a_static_cache_under_the_hooks_is_refused(
    checkpoint: Checkpoint, method: Method, batch: int
):
    """Who calls the model while the hooks are in place."""
    prompt = prompt_about(checkpoint, picture(14))
    ids = torch.tensor([prompt.ids] * batch)
    cache = StaticCache(config=checkpoint.model.config.get_text_config(), max_cache_len=512)
    complaint = "a batch of 2" if batch == 2 else "DynamicCache; got StaticCache"
    with (
        Pruning(method, False).during(checkpoint, prompt, 0),
        pytest.raises(EngineError, match=complaint),
    ):
        checkpoint.model(input_ids=ids, past_key_values=cache)


def test_qwen3_and_visionzip(tmp_path: Path):
    """Visual features are added after the first layer too."""
    engine = HFEngine(deep_checkpoint(save_qwen3_vl, tmp_path))
    with pytest.raises(UsageError, match="no way to merge those is published; take fastv"):
        pruned_engine(engine, VisionZip(0.5))
    for method in (VisionZip(1.0), FastV(0.5), SparseVLM(0.5)):
        reply = ask(pruned_engine(engine, method), messages_about(picture(1)))
        assert reply.usage.pruned is not None
