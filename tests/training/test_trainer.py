"""The trainer on real episodes of the embedded model: tokens, masks, losses, rewards, traps.

Every trap of TRL that applies has a test named after what went wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from training.coaching import (
    BreaksDown,
    CannotTell,
    Exact,
    Unopenable,
    World,
    arguments,
    batch_of,
    rows_of,
    settings_of,
    trainer_of,
)
from training.replaying import in_turns
from visionthink.core.errors import TrainingError
from visionthink.core.protocol import direct_reply, request_reply
from visionthink.core.types import Example, Sampling, StopReason
from visionthink.data.rows import Rows
from visionthink.engines.hf import HFEngine
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.training.trainer import VisionThinkTrainer


def single_logps(checkpoint: Checkpoint, ids: Sequence[int], images: Any, keep: int) -> Any:
    """Log-probabilities of the last `keep` ids of one unpadded conversation, by plain logits."""
    row = torch.tensor([list(ids)])
    fields = checkpoint.image_processor(images=images, return_tensors="pt")
    logits = checkpoint.model(
        input_ids=row,
        attention_mask=torch.ones_like(row),
        mm_token_type_ids=(row == checkpoint.tokens.image).int(),
        pixel_values=fields["pixel_values"],
        image_grid_thw=fields["image_grid_thw"],
    ).logits
    logps = torch.log_softmax(logits[0, :-1].float(), -1)
    return logps.gather(1, row[0, 1:, None])[-keep:, 0]


def replaying(trainer: VisionThinkTrainer, scripts: Sequence[Sequence[str]]) -> None:
    """Let the policy say these things."""
    generate = in_turns(trainer.checkpoint, scripts)
    trainer.generate = generate  # pyright: ignore[reportAttributeAccessIssue]


STD = math.sqrt(1 / 3) + 1e-4

YES = [direct_reply("seen", "right")]
NO = [direct_reply("seen", "wrong")]
ASK = [request_reply("too small"), direct_reply("seen", "right")]


def test_one_and_two_image_samples_in_one_batch(fresh_mini: Checkpoint, tmp_path: Path):
    """Padded on both sides, images of all samples in one tensor: same as each sample alone."""
    trainer = trainer_of(fresh_mini, tmp_path)
    batch = batch_of(trainer, [0, 1])
    assert trainer.rollouts is not None
    episodes = trainer.rollouts.episodes
    assert {len(e.turns) for e in episodes} == {1, 2}  # the batch is worth testing
    packed = trainer._generate([])
    with torch.no_grad():
        together, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
            batch["completion_ids"].size(1),
            pixel_values=batch["pixel_values"],
            image_grid_thw=batch["image_grid_thw"],
            num_images=batch["num_images"],
            mm_token_type_ids=batch["mm_token_type_ids"],
        )
        for i, (prompt, completion, images) in enumerate(
            zip(packed[0], packed[1], packed[6], strict=True)
        ):
            alone = single_logps(fresh_mini, [*prompt, *completion], images, len(completion))
            torch.testing.assert_close(together[i, : len(completion)], alone, rtol=1e-4, atol=2e-4)


def test_loss_is_eq_1_to_3(fresh_mini: Checkpoint, tmp_path: Path):
    """At the first step the ratio is 1 and the KL 0: the loss is the mean over samples of the mean
    over generated tokens of -A, which is -mean(A); its gradient is what a hand-written loss gives.
    """
    trainer = trainer_of(fresh_mini, tmp_path)
    batch = batch_of(trainer, [0, 1])
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    torch.testing.assert_close(loss, -batch["advantages"].mean(), rtol=0, atol=1e-6)
    loss.backward()
    weight = fresh_mini.model.lm_head.weight
    theirs = weight.grad.clone()

    trainer.model.zero_grad()
    _, _, masks, *_ = (packed := trainer._generate([]))
    total = torch.zeros(())
    for i, (prompt, completion, images) in enumerate(
        zip(packed[0], packed[1], packed[6], strict=True)
    ):
        logps = single_logps(fresh_mini, [*prompt, *completion], images, len(completion))
        mask = torch.tensor(masks[i], dtype=torch.float32)
        ratio = torch.exp(logps - logps.detach())
        total = total - (ratio * batch["advantages"][i] * mask).sum() / mask.sum()
    (total / len(masks)).backward()
    torch.testing.assert_close(theirs, weight.grad, rtol=1e-3, atol=1e-6)


def test_greedy_episodes_equal_those_of_the_engine(fresh_mini: Checkpoint, tmp_path: Path):
    """What training evaluates is what `ask` does: same token ids, turn by turn."""
    import asyncio

    from visionthink.core.episode import run_episode

    trainer = trainer_of(fresh_mini, tmp_path)
    trainer.model.eval()
    examples = [row.open() for row in trainer.rows]
    with trainer.greedy():
        ours = trainer.roll_out(examples)
    engine = HFEngine(fresh_mini, max_batch=1)
    for example, episode in zip(examples, ours, strict=True):
        asked = asyncio.run(run_episode(example, engine, sampling=Sampling(max_tokens=32)))
        assert [t.token_ids for t in asked.turns] == [t.token_ids for t in episode.turns]


def test_rewards_of_a_group(fresh_mini: Checkpoint, tmp_path: Path):
    """Two direct and right, one after a request and right, one direct and wrong: r = 2/3 >= 0.2,
    so the request is penalised. Totals 1.5, 1.5, 1.4, 0.5; mean 1.225; unbiased variance
    (2 * 0.275^2 + 0.175^2 + 0.725^2) / 3 = 0.2358.
    """
    rows: Any = [World("colour", 0)]
    rows[0]._example = Example(rows[0]._example.images, "what?", "right", "row-0")
    trainer = trainer_of(
        fresh_mini, tmp_path, rows=Rows(rows, "test"), per_device_train_batch_size=4
    )
    replaying(trainer, [YES, YES, ASK, NO])
    batch = batch_of(trainer, [0])
    assert trainer.rollouts is not None
    (score,) = trainer.rollouts.scores
    assert score.r == pytest.approx(2 / 3)
    totals = [reward.total for reward in score.rewards if reward]
    assert totals == pytest.approx([1.5, 1.5, 1.4, 0.5])
    std = math.sqrt((2 * 0.275**2 + 0.175**2 + 0.725**2) / 3) + 1e-4
    expected = [0.275 / std, 0.275 / std, 0.175 / std, -0.725 / std]
    assert batch["advantages"].tolist() == pytest.approx(expected, abs=1e-5)
    assert batch["tool_mask"][2].sum() < len(batch["tool_mask"][2])


def test_unscored_samples_drop_out_whole(fresh_mini: Checkpoint, tmp_path: Path):
    """One of four is unscored: not a wrong answer, no advantage, not in the mean of the rest."""
    rows: Any = [World("colour", 0)]
    rows[0]._example = Example(rows[0]._example.images, "what?", "right", "row-0")
    trainer = trainer_of(
        fresh_mini,
        tmp_path,
        settings_of(judge_limits={"patience_s": 0, "max_unscored_rate": 0.5}),
        rows=Rows(rows, "test"),
        judge=Exact(failures=1),
        per_device_train_batch_size=4,
    )
    replaying(trainer, [YES, YES, NO, NO])
    batch = batch_of(trainer, [0])
    # scored: 1.5, 0.5, 0.5; mean 5/6, unbiased std sqrt(1/3)
    std = math.sqrt(1 / 3) + 1e-4
    expected = [0.0, (2 / 3) / std, (-1 / 3) / std, (-1 / 3) / std]
    assert batch["advantages"].tolist() == pytest.approx(expected, abs=1e-5)
    assert trainer.last_metrics["judge/unscored_rate"] == 0.25
    assert trainer.last_metrics["reward/accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("undecided", "expected"),
    [
        # totals 1.5, 0.5, 0.5, 0.5: mean 0.75, unbiased std 0.5
        ("wrong", [0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001]),
        # scored: 1.5, 0.5, 0.5: mean 5/6, unbiased std sqrt(1/3)
        ("leave_out", [(2 / 3) / STD, (-1 / 3) / STD, (-1 / 3) / STD, 0.0]),
    ],
)
def test_what_the_judge_cannot_tell_is_wrong_or_left_out(
    undecided: str, expected: list[float], fresh_mini: Checkpoint, tmp_path: Path
):
    """One direct answer right, two wrong, one in words that no rule can tell; no failure stops it.
    In neither case is one of them penalised: r = 1/1.
    """
    rows: Any = [World("colour", 0)]
    rows[0]._example = Example(rows[0]._example.images, "what?", "right", "row-0")
    trainer = trainer_of(
        fresh_mini,
        tmp_path,
        settings_of(reward={"undecided": undecided}, judge_limits={"max_unscored_rate": 0}),
        rows=Rows(rows, "test"),
        judge=CannotTell("perhaps"),
        per_device_train_batch_size=4,
    )
    replaying(trainer, [YES, NO, NO, [direct_reply("seen", "perhaps")]])
    batch = batch_of(trainer, [0])
    assert batch["advantages"].tolist() == pytest.approx(expected, abs=1e-5)
    assert trainer.last_metrics["judge/undecided_rate"] == 0.25
    assert trainer.last_metrics["judge/unscored_rate"] == 0.0


def test_a_judge_that_is_down_stops_the_run_with_a_checkpoint(
    fresh_mini: Checkpoint, tmp_path: Path
):
    """The first generation is scored; from the second on every verdict fails."""

    trainer = trainer_of(fresh_mini, tmp_path, judge=BreaksDown(8), max_steps=5)
    with pytest.raises(
        TrainingError, match=r"100% of the .*unscored.*judge is down\); checkpoint-1 is saved"
    ):
        trainer.train()
    assert (tmp_path / "checkpoint-1" / "trainer_state.json").is_file()


def test_a_batch_in_which_every_call_fails(fresh_mini: Checkpoint, tmp_path: Path):
    """TRL lost the images of such a batch; here it trains like any other."""
    trainer = trainer_of(fresh_mini, tmp_path, per_device_train_batch_size=4)
    replaying(trainer, [["<tool_call>{}</tool_call>", "<answer>x</answer>"]] * 4)
    batch = batch_of(trainer, [0])
    assert batch["num_images"] == [1, 1, 1, 1]
    assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


def test_malformed_replies_are_no_direct_answers(fresh_mini: Checkpoint, tmp_path: Path):
    trainer = trainer_of(fresh_mini, tmp_path, per_device_train_batch_size=4)
    replaying(trainer, [["<think>only thought</think>"]] * 4)
    batch_of(trainer, [0])
    assert trainer.rollouts is not None
    assert {fact.member.way for fact in trainer.rollouts.facts} == {"neither"}
    assert trainer.last_metrics["episode/malformed_rate"] == 1.0
    assert trainer.last_metrics["control/r_undefined"] == 1.0


def test_overlong_samples_are_counted_and_answered_nothing(fresh_mini: Checkpoint, tmp_path: Path):
    """Two tokens a reply: cut off inside the thought. TRL would have rolled a delivered image back
    and called it a direct answer.
    """
    trainer = trainer_of(fresh_mini, tmp_path, max_completion_length=2)
    batch = batch_of(trainer, [0, 1])
    assert trainer.rollouts is not None
    assert {fact.stop for fact in trainer.rollouts.facts} == {StopReason.LENGTH}
    assert {fact.member.way for fact in trainer.rollouts.facts} == {"neither"}
    assert trainer.last_metrics["episode/overlong_rate"] == 1.0
    assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


def test_delivered_images_do_not_count_as_reply_tokens(fresh_mini: Checkpoint, tmp_path: Path):
    """The limit bounds one reply: a completion with a delivered image may be longer."""
    trainer = trainer_of(fresh_mini, tmp_path, max_completion_length=24)
    batch = batch_of(trainer, [0, 1])
    assert trainer.rollouts is not None
    assert any(fact.requested for fact in trainer.rollouts.facts)
    assert batch["completion_ids"].size(1) > 24


def test_image_and_video_placeholders_are_never_sampled(fresh_mini: Checkpoint, tmp_path: Path):
    """Even when they are the likeliest tokens by far: a sampled one would shift every image."""
    with torch.no_grad():
        head = fresh_mini.model.lm_head
        head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
        head.bias[list(fresh_mini.tokens.banned)] = 1e4
    trainer = trainer_of(fresh_mini, tmp_path, beta=0.0)
    trainer.model.eval()
    episodes = trainer.roll_out([row.open() for row in trainer.rows])
    sampled = {token for e in episodes for turn in e.turns for token in turn.token_ids or ()}
    assert sampled
    assert not sampled & set(fresh_mini.tokens.banned)


def test_prompts_are_padded_on_the_left(fresh_mini: Checkpoint, tmp_path: Path):
    """Padding on the right made TRL's log-probabilities wrong without a word."""
    fresh_mini.tokenizer.padding_side = "right"
    trainer = trainer_of(fresh_mini, tmp_path)
    assert trainer.checkpoint.tokenizer.padding_side == "left"
    batch = batch_of(trainer, [0, 1])
    assert batch["prompt_mask"][:, -1].tolist() == [1] * 8


def test_zero_variance_groups_are_drawn_anew(fresh_mini: Checkpoint, tmp_path: Path):
    """Row 0 teaches nothing (all right, all direct); whatever row comes in its place, its members
    are new, and row 1's group, which teaches, is kept as it was.
    """
    trainer = trainer_of(fresh_mini, tmp_path, settings_of(resample={"max_rounds": 1}))
    calls: list[int] = []
    real = trainer.roll_out

    def roll_out(examples: Sequence[Example]) -> Any:
        calls.append(len(examples))
        right = str(examples[0].answer)
        first = len(calls) == 1
        scripts = [[direct_reply("s", right)]] * 4 if first else [[direct_reply("s", "none")]] * 4
        if first:
            right = str(examples[4].answer)
            scripts = [
                *scripts,
                *[[direct_reply("s", right)]] * 2,
                *[[direct_reply("s", "no")]] * 2,
            ]
        replaying(trainer, scripts)
        return real(examples)

    trainer.roll_out = roll_out  # pyright: ignore[reportAttributeAccessIssue]
    batch_of(trainer, [0, 1])
    assert calls == [8, 4]
    assert trainer.rollouts is not None
    assert [episode.answer for episode in trainer.rollouts.episodes[:4]] == ["none"] * 4
    assert [episode.answer for episode in trainer.rollouts.episodes[6:]] == ["no", "no"]
    assert [fact.row for fact in trainer.rollouts.facts] == trainer.rollouts.rows
    assert trainer.last_metrics["episode/zero_variance_rate"] == 0.5  # bounded: one round


def test_rows_that_cannot_be_opened_are_replaced(fresh_mini: Checkpoint, tmp_path: Path):
    broken: Any = [Unopenable("colour", 0), *[World("colour", i) for i in range(1, 8)]]
    trainer = trainer_of(fresh_mini, tmp_path, rows=Rows(broken, "test"))
    batch_of(trainer, [0, 1])
    assert trainer.rollouts is not None
    assert 0 not in trainer.rollouts.rows
    assert [*trainer.broken] == [trainer.rows[0].id]
    assert trainer.rollouts.rows[4:] == [1] * 4
    assert len(set(trainer.rollouts.rows[:4])) == 1


def test_a_data_set_that_cannot_be_opened(fresh_mini: Checkpoint, tmp_path: Path):
    broken: Any = [Unopenable("colour", i) for i in range(4)]
    trainer = trainer_of(fresh_mini, tmp_path, rows=Rows(broken, "test"))
    with pytest.raises(TrainingError, match="could not be opened in 10 draws"):
        batch_of(trainer, [0, 1])


def test_pixels_stay_on_the_host(mini: Checkpoint, tmp_path: Path):
    """The very tensor comes back: nothing copied a generation batch of pixels to the device."""
    trainer = trainer_of(mini, tmp_path, beta=0.0)
    values = torch.zeros(4, 3)
    prepared = trainer._prepare_input({"pixel_values": values, "ids": torch.ones(2)})
    assert prepared["pixel_values"] is values


def test_only_numbers_and_short_questions_are_gathered(fresh_mini: Checkpoint, tmp_path: Path):
    """What TRL keeps and gathers of prompts and completions holds no images."""
    trainer = trainer_of(fresh_mini, tmp_path)
    batch_of(trainer, [0, 1])
    kept = [*trainer._logs["prompt"], *trainer._logs["completion"]]
    assert kept
    assert all(isinstance(message["content"], str) for talk in kept for message in talk)
    assert not trainer._logs["images"]


def test_general_mode_rewards_accuracy_and_format_only(fresh_mini: Checkpoint, tmp_path: Path):
    """Look high: the original at once, no request, no control term."""
    settings = settings_of(look="high", reward={"rule": "none"})
    trainer = trainer_of(fresh_mini, tmp_path, settings)
    batch_of(trainer, [0, 1])
    assert trainer.rollouts is not None
    assert not any(fact.requested for fact in trainer.rollouts.facts)
    assert trainer.last_metrics["reward/control"] == 0.0
    assert trainer.last_metrics["cost/visual_token_ratio"] == 1.0


def test_lora_trains_adapters_only(fresh_mini: Checkpoint, tmp_path: Path):
    from peft import LoraConfig

    peft = LoraConfig(r=4, target_modules=r".*language_model.*\.q_proj", task_type="CAUSAL_LM")
    trainer = VisionThinkTrainer(
        fresh_mini,
        rows_of(),
        Exact(),
        settings_of(),
        arguments(tmp_path, learning_rate=1e-2),
        peft_config=peft,
    )
    trained = {n for n, p in trainer.model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert moved <= trained


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_changes_the_weights(fresh_mini: Checkpoint, tmp_path: Path, checkpointing: bool):
    trainer = trainer_of(
        fresh_mini, tmp_path, gradient_checkpointing=checkpointing, learning_rate=1e-3, max_steps=2
    )
    before = fresh_mini.model.lm_head.weight.detach().clone()
    trainer.train()
    assert not torch.equal(before, fresh_mini.model.lm_head.weight)


def test_bfloat16_trains_with_float32_weights(fresh_mini: Checkpoint, tmp_path: Path):
    """Autocast only: the weights that the optimizer moves stay float32."""
    trainer = trainer_of(fresh_mini, tmp_path, bf16=True, learning_rate=1e-3)
    before = fresh_mini.model.lm_head.weight.detach().clone()
    trainer.train()
    assert fresh_mini.model.lm_head.weight.dtype is torch.float32
    assert not torch.equal(before, fresh_mini.model.lm_head.weight)


def test_reporters_of_trl_get_our_metrics(
    fresh_mini: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """TensorBoard's event file has the request rate and the reward of the one step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    trainer_of(fresh_mini, tmp_path, report_to="tensorboard").train()
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    tags = board.Tags()["scalars"]
    assert {"train/episode/request_rate", "train/reward/total"} <= set(tags)
