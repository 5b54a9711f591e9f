"""Supervised learning: exact tokens and weights, the loss by hand, resuming, adapters, export."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from checkpoints import save_qwen2_5_vl, save_qwen3_vl
from training.replaying import Replay
from visionthink.core import protocol
from visionthink.core.episode import run_episode
from visionthink.core.errors import DataError, RunError, TrainingError, UsageError
from visionthink.core.format import format_valid
from visionthink.core.images import half_view
from visionthink.core.protocol import PROFILES, direct_reply, request_reply
from visionthink.core.runs import RunFolder
from visionthink.core.types import Example, Sampling
from visionthink.data.options import DataOptions
from visionthink.data.rows import Row
from visionthink.data.source import load_rows
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint, load_checkpoint
from visionthink.engines.hf_prompt import build_prompt
from visionthink.mini import CHECKPOINTS
from visionthink.mini.world import make_example
from visionthink.training.config import (
    MixtureOptions,
    ModelOptions,
    ThoughtOptions,
    TrainSft,
    load_config,
)
from visionthink.training.export import export_checkpoint
from visionthink.training.packing import pack_episode
from visionthink.training.resume import last_checkpoint, load_weights
from visionthink.training.rollout import LockstepEngine, roll_out
from visionthink.training.sft import SftTrainer, train_sft, trainable
from visionthink.training.sft_data import Collator, Lesson, lessons_of, tokenise, written_replies

MINI = PROFILES["mini"]
DIRECT = (direct_reply("Clear.", "red"),)
REQUEST = (request_reply("Small."), direct_reply("Now.", "up, down"))
END = "<|im_end|>"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Random weights; every byte is a token."""
    return load_checkpoint(save_qwen2_5_vl(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def example() -> Example:
    return make_example("hatch", 3, "train")


def rows(*families: str, size: int = 8) -> Sequence[Row]:
    return load_rows(DataOptions(families=list(families), size=size))


def labelled(**metadata: Any) -> Row:
    row = rows("colour", size=1)[0]
    return Row(row.id, row.images, row.question, row.answer, metadata)


def lessons(*given: Row, **mixture: int) -> list[Lesson]:
    return lessons_of(
        given, MINI, mixture=MixtureOptions(**mixture), thoughts=ThoughtOptions(), seed=0
    )


# Lessons


def test_kinds_and_labels_say_how_a_conversation_goes():
    """Half size is enough for weak and low; what `label` found goes before the family's kind."""
    given = [
        labelled(kind="weak"),
        labelled(kind="strong"),
        labelled(kind="lucky"),
        labelled(label="low", kind="strong"),
        labelled(label="high", kind="weak"),
        labelled(label="undecided", kind="weak"),
        labelled(label="failed", kind="weak"),
    ]
    found = lessons(*given)
    assert [(given.index(lesson.row), lesson.way) for lesson in found] == [
        (0, "direct"),
        (3, "direct"),
        (1, "request"),
        (2, "request"),
        (4, "request"),
    ]


def test_replies_of_our_own():
    answer = rows("colour", size=1)[0].answer
    [lesson] = lessons(labelled(kind="strong"))
    assert lesson.replies == (
        request_reply("Too small to see."),
        direct_reply("Clear now.", answer),
    )
    marked = written_replies("request", "x", PROFILES["simple-resize"], ThoughtOptions())
    assert marked[0].endswith("<resize></resize>")
    assert format_valid(marked, PROFILES["simple-resize"])


def test_answers_are_data_not_control_tokens():
    [reply] = written_replies("direct", f"a{END}b", MINI, ThoughtOptions())
    assert END not in reply


def test_rows_may_bring_their_replies():
    assert lessons(labelled(replies=list(REQUEST)))[0].replies == REQUEST
    assert lessons(labelled(replies=list(REQUEST)))[0].way == "request"


@pytest.mark.parametrize(
    ("replies", "told"),
    [
        ([request_reply("a")], "request"),
        ([*DIRECT, *DIRECT], "answer, answer"),
        ([""], "malformed"),
        ([], "nothing"),
    ],
)
def test_replies_that_are_no_conversation(replies: list[str], told: str):
    with pytest.raises(DataError, match=rf"its replies are read as {told}; wanted an answer"):
        lessons(labelled(replies=replies))


def test_rows_without_a_label():
    with pytest.raises(DataError, match=r"none of 2 rows says .*got None, undecided; run vision"):
        lessons(labelled(), labelled(label="undecided"))


def test_the_mixture():
    given = rows("colour", "hatch", size=20)
    chosen = lessons(*given, direct=3, request=7)
    assert [lesson.way for lesson in chosen] == ["direct"] * 3 + ["request"] * 7
    assert len({lesson.row.id for lesson in chosen}) == 10
    assert chosen == lessons(*given, direct=3, request=7)
    with pytest.raises(UsageError, match=r"mixture\.request is 11, but the data has only 10"):
        lessons(*given, request=11)


# Tokens


def spoken(text: str, checkpoint: Checkpoint) -> list[int]:
    return checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_exact_mask_of_a_direct_answer(tiny: Checkpoint, example: Example):
    """The prompt is that of an episode; then the reply and its end, and nothing after it."""
    tokens = tokenise(example, DIRECT, MINI, tiny, 1.0)
    first = [half_view(picture, tiny.grid) for picture in example.images]
    prompt = build_prompt(protocol.opening(MINI, first, example.question), tiny).ids
    reply = spoken(DIRECT[0] + END, tiny)
    assert tokens.ids == (*prompt, *reply)
    assert tokens.labels == (*[-100] * len(prompt), *reply)
    assert tokens.weights == (*[0.0] * len(prompt), *[1.0] * len(reply))
    assert [picture.size for picture in tokens.pictures] == [picture.size for picture in first]


def test_exact_mask_of_a_request(tiny: Checkpoint, example: Example):
    """Between the replies stands what the episode puts there: the line break of the template and
    the user turn with the original, and no label in it.
    """
    tokens = tokenise(example, REQUEST, MINI, tiny, 0.5)
    first = tuple(half_view(picture, tiny.grid) for picture in example.images)
    opening = protocol.opening(MINI, first, example.question)
    one, two = (spoken(reply + END, tiny) for reply in REQUEST)
    prompt = build_prompt(opening, tiny).ids
    columns, rows = tiny.grid.cells(example.images[0].size)
    response = MINI.tool_response
    assert response is not None
    image = "<|vision_start|>" + "<|image_pad|>" * (columns * rows) + "<|vision_end|>"
    between = spoken(
        f"\n<|im_start|>user\n{response.replace('{image}', image)}{END}\n<|im_start|>assistant\n",
        tiny,
    )
    assert tokens.ids == (*prompt, *one, *between, *two)
    nothing = [-100] * len(prompt), [-100] * len(between)
    assert tokens.labels == (*nothing[0], *one, *nothing[1], *two)
    assert tokens.weights == (
        *[0.0] * len(prompt),
        *[0.5] * len(one),
        *[0.0] * len(between),
        *[1.0] * len(two),
    )
    seen = [picture.size for picture in (*first, *example.images)]
    assert [picture.size for picture in tokens.pictures] == seen


@pytest.mark.parametrize("replies", [DIRECT, REQUEST])
def test_the_tokens_are_those_of_an_episode(
    tiny: Checkpoint, example: Example, replies: tuple[str, ...]
):
    """What reinforcement learning trains on when `run_episode` hears the same replies."""
    engine = LockstepEngine(tiny, Replay(tiny, [replies]), 1)
    sampling = Sampling(temperature=1.0, max_tokens=200)
    (episode,) = roll_out(
        [example], engine, look="auto", profile="mini", max_turns=2, sampling=sampling
    )
    packed = pack_episode(episode, tiny)
    tokens = tokenise(example, replies, MINI, tiny, 1.0)
    assert tokens.ids == packed.prompt_ids + packed.completion_ids
    learnt = [int(label != -100) for label in tokens.labels]
    assert learnt == [0] * len(packed.prompt_ids) + list(packed.mask)


# The loss


def by_hand(checkpoint: Checkpoint, lesson: Lesson, factor: float) -> tuple[float, int]:
    """Sum of weighted -log p over the reply tokens of one conversation, and how many there are."""
    tokens = tokenise(lesson.row.open(), lesson.replies, MINI, checkpoint, factor)
    batch = Collator(checkpoint, MINI)([lesson])
    inputs = {
        name: batch[name]
        for name in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values")
    }
    with torch.no_grad():
        logits = checkpoint.model(**inputs, image_grid_thw=batch["image_grid_thw"]).logits[0]
    total, count = 0.0, 0
    for place in range(1, len(tokens.ids)):
        if tokens.labels[place] != -100:
            logp = torch.log_softmax(logits[place - 1].double(), dim=0)[tokens.ids[place]].item()
            total -= tokens.weights[place] * logp
            count += 1
    return total, count


def trainer_of(checkpoint: Checkpoint, out: Path, factor: float = 1.0, **more: Any) -> SftTrainer:
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 2,
        "max_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        **more,
    }
    given = rows("colour", "hatch", size=4)
    return SftTrainer(
        model=checkpoint.model,
        args=TrainingArguments(output_dir=str(out), **settings),
        train_dataset=lessons_of(
            given, MINI, mixture=MixtureOptions(), thoughts=ThoughtOptions(), seed=0
        ),
        data_collator=Collator(checkpoint, MINI, factor),
    )


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_loss_is_the_hand_written_cross_entropy(tiny: Checkpoint, tmp_path: Path, factor: float):
    """A one- and a two-image conversation in one batch, of different lengths: the mean over all
    reply tokens, the requesting turn's scaled.
    """
    trainer = trainer_of(tiny, tmp_path, factor)
    pair = [
        Lesson(rows("colour", size=1)[0], DIRECT),
        Lesson(rows("hatch", size=1)[0], REQUEST),
    ]
    batch = Collator(tiny, MINI, factor)(pair)
    tiny.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(tiny.model, batch)
        shared = trainer.compute_loss(tiny.model, batch, num_items_in_batch=1000)
    sums = [by_hand(tiny, lesson, factor) for lesson in pair]
    total, count = (sum(column) for column in zip(*sums, strict=True))
    assert loss.item() == pytest.approx(total / count, rel=1e-5)
    assert shared.item() == pytest.approx(total / 1000, rel=1e-5)


def test_qwen3_vl_learns_the_same_way(tmp_path: Path):
    checkpoint = load_checkpoint(save_qwen3_vl(tmp_path / "tiny"), device="cpu")
    lesson = Lesson(rows("hatch", size=1)[0], REQUEST)
    trainer = trainer_of(checkpoint, tmp_path)
    checkpoint.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(checkpoint.model, Collator(checkpoint, MINI)([lesson]))
    total, count = by_hand(checkpoint, lesson, 1.0)
    assert loss.item() == pytest.approx(total / count, rel=1e-5)


def test_accumulated_batches_count_as_one(tmp_path: Path):
    """Two micro-batches of 2 give the weights that one batch of 4 gives, whatever their lengths."""
    folder = save_qwen2_5_vl(tmp_path / "tiny")
    results = []
    for size, accumulated in ((4, 1), (2, 2)):
        checkpoint = load_checkpoint(folder, device="cpu")
        trainer = trainer_of(
            checkpoint,
            tmp_path / "out",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
            optim="sgd",
            learning_rate=0.1,
            max_grad_norm=1e9,
        )
        trainer.train()
        results.append(checkpoint.model.lm_head.weight.detach().clone())
    before = load_checkpoint(folder, device="cpu").model.lm_head.weight
    assert torch.allclose(results[0], results[1], atol=1e-6)
    assert not torch.allclose(results[0], before, atol=1e-4)


# Runs


def config_of(model: Path | str, *sets: str) -> TrainSft:
    given = [
        f"model.name={model}",
        "model.device=cpu",
        "data.size=16",
        "mixture={}",
        "trainer.per_device_train_batch_size=2",
        "trainer.max_steps=4",
        "trainer.save_steps=2",
        *sets,
    ]
    config = load_config("mini-cold-start", given)
    assert isinstance(config, TrainSft)
    return config


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def quiet(_: str) -> None:
    pass


def test_a_resumed_run_ends_bit_equal(tmp_path: Path):
    """Trap: `Trainer` loads nothing into Qwen2.5-VL when it resumes, and only warns."""
    config = config_of(save_qwen2_5_vl(tmp_path / "tiny"))
    whole = tmp_path / "whole"
    train_sft(config, whole, say=quiet)
    broken = tmp_path / "broken"
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    shutil.rmtree(broken / "model")
    train_sft(config, broken, resume=True, say=quiet)
    first, second = weights(whole), weights(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    steps = [line["step"] for line in RunFolder.open(broken).metrics()]
    assert steps == [1, 2, 3, 4]
    losses = [
        [line["train/loss"] for line in RunFolder.open(run).metrics()] for run in (whole, broken)
    ]
    assert losses[0] == losses[1]


def test_a_run_is_not_overwritten(tmp_path: Path):
    config = config_of("mini-base", "trainer.max_steps=1")
    train_sft(config, tmp_path / "run", say=quiet)
    with pytest.raises(RunError, match="holds a run already: resume it"):
        train_sft(config, tmp_path / "run", say=quiet)


def test_the_exported_checkpoint_is_complete(tmp_path: Path):
    """Another bound on pixels than the source has. Of 16 rows 7/13 are weak: 8.6, so 9; the
    strong and the lucky ones need more.
    """
    config = config_of("mini-base", "trainer.max_steps=1", "model.max_pixels=12544")
    said: list[str] = []
    folder = train_sft(config, tmp_path / "run", say=said.append)
    checkpoint = load_checkpoint(folder, device="cpu")
    assert checkpoint.profile == "mini"
    assert checkpoint.grid.max_pixels == 12544
    source = CHECKPOINTS / "mini-base"
    assert checkpoint.stop_ids == load_checkpoint(source, device="cpu").stop_ids
    for name in ("chat_template.jinja", "tokenizer.json", "generation_config.json"):
        assert (folder / name).is_file()
    exported = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert exported.get("use_cache", True) is True
    named = (folder / "tokenizer_config.json").read_text(encoding="utf-8")
    assert "processor_class" not in named  # ours would be found nowhere else
    assert said[0] == "training mini-base on 16 conversations, 9 direct and 7 with a request"
    assert said[-1] == f"the trained checkpoint is {folder}"


def test_export_replaces_what_was_there(tiny: Checkpoint, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("x", encoding="utf-8")
    export_checkpoint(trainer_of(tiny, tmp_path / "out"), tiny, "agent", tmp_path / "model")
    assert not (tmp_path / "model" / "old").exists()
    assert load_checkpoint(tmp_path / "model", device="cpu").profile == "agent"
    modes = {file.stat().st_mode for file in (tmp_path / "model").iterdir()}
    assert len(modes) == 1  # safetensors keeps its files to their owner


def test_adapters_are_saved_alone_and_merged(tmp_path: Path):
    """The merged checkpoint says what the base with the adapter says, and the base is untouched
    where no adapter is.
    """
    from peft import PeftModel

    base = save_qwen2_5_vl(tmp_path / "tiny")
    config = config_of(base, "model.lora={r: 4}", "trainer.learning_rate=1e-2")
    folder = train_sft(config, tmp_path / "run", say=quiet)
    merged = load_checkpoint(folder, device="cpu")
    plain = load_checkpoint(base, device="cpu")
    batch = Collator(plain, MINI)([Lesson(rows("hatch", size=1)[0], REQUEST)])
    for name in ("labels", "loss_weights"):
        del batch[name]
    with torch.no_grad():
        before = plain.model(**batch).logits
        adapted = PeftModel.from_pretrained(plain.model, folder / "adapter")(**batch).logits
        after = merged.model(**batch).logits
    assert torch.allclose(adapted, after, atol=1e-4)
    assert not torch.allclose(before, after, atol=1e-2)
    old, new = load_file(base / "model.safetensors"), weights(tmp_path / "run")
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all("visual" not in name and "_proj" in name for name in changed)


def test_adapters_resume_bit_equal(tmp_path: Path):
    config = config_of(save_qwen2_5_vl(tmp_path / "tiny"), "model.lora={r: 4}")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_sft(config, whole, say=quiet)
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints" / "checkpoint-4")
    train_sft(config, broken, resume=True, say=quiet)
    first, second = weights(whole), weights(broken)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_frozen_vision_tower_stays(tmp_path: Path):
    base = save_qwen2_5_vl(tmp_path / "tiny")
    config = config_of(base, "model.freeze_vision=true", "trainer.learning_rate=1e-3")
    train_sft(config, tmp_path / "run", say=quiet)
    old, new = load_file(base / "model.safetensors"), weights(tmp_path / "run")
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert [name for name in changed if "visual" in name] == []


def request_rate(model: Path, family: str, count: int) -> float:
    async def ask() -> float:
        engine = HFEngine(model, device="cpu")
        episodes = [
            await run_episode(
                make_example(family, seed, "test"),
                engine,
                sampling=Sampling(temperature=1.0, seed=seed, max_tokens=32),
            )
            for seed in range(count)
        ]
        await engine.close()
        return sum(episode.requested for episode in episodes) / count

    return asyncio.run(ask())


def test_a_few_steps_move_the_request_rate(tmp_path: Path):
    """mini-base requests about half of the time; 20 steps of hatching that always requests."""
    config = config_of(
        "mini-base",
        "data.families=[hatch]",
        "data.size=64",
        "trainer.max_steps=20",
        "trainer.per_device_train_batch_size=4",
        "trainer.learning_rate=5e-4",
        "trainer.save_strategy=no",
    )
    before = request_rate(CHECKPOINTS / "mini-base", "hatch", 16)
    folder = train_sft(config, tmp_path / "run", say=quiet)
    assert 0.2 <= before <= 0.8
    assert request_rate(folder, "hatch", 16) >= 0.95


def test_two_processes_learn_what_one_does(tmp_path: Path):
    """The same batches of 4, as 4 or as 2 + 2 conversations; the second process writes nothing."""
    base = save_qwen2_5_vl(tmp_path / "tiny")
    same = [f"--set=model.name={base}", "--set=model.device=cpu", "--set=data.size=16"]
    same += ["--set=mixture={}", "--set=trainer.max_steps=2", "--set=trainer.save_strategy=no"]
    same += ["--set=trainer.optim=sgd", "--set=trainer.learning_rate=0.1"]
    started = [[], ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]]
    for processes, start in enumerate(started, start=1):
        out = tmp_path / str(processes)
        batch = f"--set=trainer.per_device_train_batch_size={4 // processes}"
        verb = ["-m", "visionthink", "train", "sft", "mini-cold-start", f"--out={out}"]
        done = subprocess.run(
            [sys.executable, *start, *verb, *same, batch],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{out / 'model'}\n"
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    before = load_file(base / "model.safetensors")
    assert any(not torch.allclose(one[name], before[name], atol=1e-5) for name in one)


# Resuming


def test_the_newest_whole_checkpoint(tmp_path: Path):
    """A crash while saving leaves no state, or half of it; 10 is newer than 9."""
    for step, state in (("2", "{}"), ("9", "{}"), ("10", "{}"), ("11", '{"a'), ("12", None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state, encoding="utf-8")
    (tmp_path / "checkpoint-best").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_weights_of_another_model_are_refused(tiny: Checkpoint, tmp_path: Path):
    other = trainable(load_checkpoint(CHECKPOINTS / "mini-base", device="cpu"), None)
    with pytest.raises(TrainingError, match=r"cannot resume from '.*': .*; resume from an earlier"):
        load_weights(other, tmp_path)
    with pytest.raises(TrainingError, match="cannot resume from"):
        load_weights(other, tiny.name)


def test_embedded_names_are_folders():
    assert ModelOptions(name="mini-base").source == str(CHECKPOINTS / "mini-base")
    assert ModelOptions(name="some/thing").source == "some/thing"
