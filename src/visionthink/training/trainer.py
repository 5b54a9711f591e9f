"""The GRPO trainer: TRL's, with our episodes, our rewards and our advantages in its three seams.

`_generate` hands over episodes rolled out by `run_episode`, `_calculate_rewards` the rewards of
whole groups, and the advantages are replaced by ours. Loss, clipping, KL, generation backends,
sharding and the optimiser remain TRL's (pinned to one version: these are private methods).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import GenerationConfig
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from visionthink.core.errors import DataError, ImageError, TrainingError, UsageError
from visionthink.core.rewards import advantages, has_signal, score_group
from visionthink.core.types import Episode, Example, Sampling
from visionthink.data.rows import Row
from visionthink.engines.hf_checkpoint import Checkpoint
from visionthink.engines.hf_prompt import Prompt
from visionthink.judges import Judge
from visionthink.training.config import TrainGrpo
from visionthink.training.packing import Packed, pack_episode
from visionthink.training.processor import processor_of
from visionthink.training.resume import EpochOrder, VisionTrainer
from visionthink.training.rollout import LockstepEngine, Rollouts, roll_out
from visionthink.training.rollout_facts import (
    Facts,
    Undecided,
    facts_of,
    is_unscored,
    judge_all,
    r_histogram,
    request_variance,
    reward_metrics,
    rollout_metrics,
    share,
)

SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p")

BROKEN_ROUNDS = 10
"""How often groups whose images cannot be opened are drawn again before training gives up."""


def _column(name: str) -> Any:
    """A function that names a column of rewards; `_calculate_rewards` fills it."""

    def reward(**_: Any) -> NoReturn:
        raise AssertionError("rewards are computed for whole groups")

    reward.__name__ = name
    return reward


class VisionThinkTrainer(VisionTrainer, GRPOTrainer):
    """GRPO over VisionThink episodes.

    Args:
        checkpoint: the policy before training, with what is needed to talk to it.
        rows: the training data; images are opened when a row is drawn.
        judge: scores answers.
        settings: how episodes are made and rewarded; the rest of the config is not read.
        args: TRL's settings. `max_completion_length` bounds one reply.
        options: what else `GRPOTrainer` takes, such as `peft_config` and `callbacks`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        rows: Sequence[Row],
        judge: Judge,
        settings: TrainGrpo,
        args: GRPOConfig,
        **options: Any,
    ) -> None:
        self.checkpoint = checkpoint
        self.rows = rows
        self.judge = judge
        self.settings = settings
        self.reply_tokens = int(args.max_completion_length or 0)
        self.group_size = int(args.num_generations or 0)
        self.rollouts: Rollouts | None = None
        self.last_metrics: dict[str, Any] = {}
        self._spare_prompt: Prompt | None = None
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._judge_failures: list[str] = []
        self.broken: dict[str, None] = {}  # ids of rows whose images could not be opened, in order
        if args.use_vllm and args.vllm_importance_sampling_correction:
            raise UsageError(
                "vllm_importance_sampling_correction needs the server's log-probabilities of every "
                "turn, which episodes do not keep; set it to false"
            )
        _ban_placeholders(args, checkpoint)
        super().__init__(
            model=checkpoint.model,
            reward_funcs=[_column(name) for name in ("accuracy", "format", "control")],
            args=args,
            train_dataset=_questions(rows),
            processing_class=processor_of(checkpoint),
            **options,
        )
        self.log_multimodal = False  # it gathers the pixels of all processes, logged or not
        # TRL lays out images that come after the first prompt only where there are tools.
        self.tools = [_column("none")]
        for model in (self.model, self.ref_model):
            if isinstance(model, torch.nn.Module):
                model.register_forward_pre_hook(self._before_forward, with_kwargs=True)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Checkpoints say what they are in the run folder."""

    # Rollouts

    def generate(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """Replies to prompts by TRL's backend: transformers or vLLM (`rollout.Generator`)."""
        together = self.is_fsdp_enabled or self.is_deepspeed_enabled or self.use_vllm
        if not prompts and not together:
            return []
        asked = list(prompts)
        if asked:
            self._spare_prompt = asked[0]
        elif self._spare_prompt is not None:  # sharded weights need every process in every round
            asked = [self._spare_prompt]
        pictures = [picture for prompt in asked for picture in prompt.pictures]
        if self.use_vllm:
            held = self.checkpoint
            ids = [held.runner.collapsed(prompt.ids, held.tokens) for prompt in asked]
            fields = {}
        else:
            ids = [list(prompt.ids) for prompt in asked]
            fields = self.checkpoint.inputs(pictures)
        images = [[picture.image for picture in prompt.pictures] for prompt in asked]
        replies, _ = self._generate_single_turn(ids, images, fields, 1, has_tool_images=True)
        return [tuple(reply) for reply in replies][: len(prompts)]

    def roll_out(self, examples: Sequence[Example]) -> list[Episode]:
        """Episodes of this process, drawn as training draws them."""
        settings = self.settings
        return roll_out(
            examples,
            LockstepEngine(self.checkpoint, self, settings.rollout_batch or max(1, len(examples))),
            look=settings.look,
            profile=settings.profile,
            max_turns=settings.max_turns,
            sampling=Sampling(temperature=self.temperature, max_tokens=self.reply_tokens),
        )

    @contextmanager
    def greedy(self) -> Iterator[None]:
        """Draw the likeliest token inside this block, with the model in its evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        kept: Any
        if self.use_vllm:
            kept, self.vllm_generation.temperature = self.vllm_generation.temperature, 0.0
        else:
            kept = self.generation_config
            plain = {k: v for k, v in self.generation_kwargs.items() if k not in SAMPLING_FIELDS}
            self.generation_config = GenerationConfig(
                **{**plain, "do_sample": False}, disable_compile=True
            )
        try:
            yield
        finally:
            if self.use_vllm:
                self.vllm_generation.temperature = kept
            else:
                self.generation_config = kept
            self.model.train(was_training)

    def evaluate_rows(self, rows: Sequence[Row]) -> None:
        """Log figures of greedy episodes of held-out rows, shared out among the processes."""
        mine = range(self.accelerator.process_index, len(rows), self.accelerator.num_processes)
        with self.greedy():
            # Sharded weights need every process: one without a row of its own answers the first.
            episodes = self.roll_out([rows[i].open() for i in mine or [0]])[: len(mine)]
            metrics = rollout_metrics(self._gather(self._judged(mine, episodes)))
            # Logged while evaluating, or the metrics of the running step would go with it.
            self.log({f"eval/{key.removeprefix('episode/')}": v for key, v in metrics.items()})

    def _gather(self, values: list[Any]) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        return gather_object(values) if self.accelerator.num_processes > 1 else list(values)

    def _roll_out_groups(self, rows: list[int]) -> Rollouts:
        """Roll out, judge and score this process's part of the generation batch.

        Groups may straddle processes; whatever is decided about a group is decided from gathered
        facts, alike on all of them.
        """
        rows, examples = self._open(rows)
        rollouts = Rollouts(rows, *self._roll_out_and_judge(rows, examples))
        self._score(rollouts)
        fresh = 0
        for round_ in range(1, self.settings.resample.max_rounds + 1):
            size = self.group_size
            dull = [i for i, score in enumerate(rollouts.scores) if not has_signal(score.totals)]
            if not dull:
                break
            draw = random.Random(f"{self.args.seed}/{self.state.global_step}/resample/{round_}")
            redrawn: dict[int, int] = {}  # place among the episodes of all processes → row
            for group in dull:
                places = range(group * size, (group + 1) * size)
                redrawn |= dict.fromkeys(places, draw.randrange(len(self.rows)))
            start = self.accelerator.process_index * len(rows)
            mine = [place for place in redrawn if start <= place < start + len(rows)]
            opened, examples = self._open([redrawn[place] for place in mine], round_)
            episodes, facts = self._roll_out_and_judge(opened, examples)
            for place, row, episode in zip(mine, opened, episodes, strict=True):
                rollouts.rows[place - start], rollouts.episodes[place - start] = row, episode
            for place, fact in zip(redrawn, facts, strict=True):
                rollouts.facts[place] = fact
            fresh += len(dull)
            self._score(rollouts)
        self._metrics["train"]["resample/groups"].append(float(fresh))
        return rollouts

    def _open(self, rows: list[int], round_: int = 0) -> tuple[list[int], list[Example]]:
        """Open the images of `rows`; a group with a broken one is replaced on every process."""
        for attempt in range(BROKEN_ROUNDS):
            opened: dict[int, Example | None] = {}
            for row in rows:
                if row not in opened:
                    try:
                        opened[row] = self.rows[row].open()
                    except (ImageError, DataError):
                        opened[row] = None
            broken = sorted(set(self._gather([r for r in opened if opened[r] is None])))
            if not broken:
                return rows, [example for row in rows if (example := opened[row]) is not None]
            self.broken |= dict.fromkeys(self.rows[row].id for row in broken)
            self._metrics["train"]["data/broken_rows"].append(float(len(broken)))
            draw = random.Random(
                f"{self.args.seed}/{self.state.global_step}/broken/{round_}/{attempt}"
            )
            other = {row: draw.randrange(len(self.rows)) for row in broken}
            rows = [other.get(row, row) for row in rows]
        raise TrainingError(
            f"images could not be opened in {BROKEN_ROUNDS} draws in a row; check the data set "
            f"(row {self.rows[broken[0]].id!r} for one)"
        )

    def _roll_out_and_judge(
        self, rows: list[int], examples: list[Example]
    ) -> tuple[list[Episode], list[Facts]]:
        """Episodes of this process and facts of all."""
        started = time.perf_counter()
        episodes = self.roll_out(examples)
        rolled = time.perf_counter()
        facts = self._judged(rows, episodes, self.settings.reward.undecided)
        self._seconds["time/rollout_s"] += rolled - started
        self._seconds["time/judge_s"] += time.perf_counter() - rolled
        return episodes, self._gather(facts)

    def _judged(
        self, rows: Sequence[int], episodes: Sequence[Episode], undecided: Undecided = "wrong"
    ) -> list[Facts]:
        """Facts of this process's episodes; why the judge failed is kept for `_check_judge`."""
        self._judge_failures = []
        verdicts = asyncio.run(
            judge_all(
                episodes, self.judge, self.settings.judge_limits.patience_s, self._judge_failures
            )
        )
        judged = zip(rows, episodes, verdicts, strict=True)
        return [facts_of(row, episode, verdict, undecided) for row, episode, verdict in judged]

    def _groups(self, facts: Sequence[Facts]) -> list[Sequence[Facts]]:
        size = self.group_size
        return [facts[i : i + size] for i in range(0, len(facts), size)]

    def _score(self, rollouts: Rollouts) -> None:
        """Rewards and advantages of all groups, from the gathered facts."""
        reward = self.settings.reward.build()
        rollouts.scores = [
            score_group([fact.member for fact in group], reward)
            for group in self._groups(rollouts.facts)
        ]
        floor = self.settings.reward.advantage_floor
        rollouts.shares = [
            each for score in rollouts.scores for each in advantages(score.totals, floor)
        ]

    def _check_judge(self, rollouts: Rollouts) -> None:
        """Stop with a checkpoint when the judge fails too often (nothing was learnt from it)."""
        rate = share([is_unscored(fact) for fact in rollouts.facts])
        limit = self.settings.judge_limits.max_unscored_rate
        if rate <= limit:
            return
        saved = ""
        if step := self.state.global_step:
            # One that is there already was made before this generation drew its random numbers.
            there = Path(self.args.output_dir or ".", f"checkpoint-{step}", "trainer_state.json")
            if self.any_process(self.accelerator.is_main_process and not there.exists()):
                self._save_checkpoint(self.model, trial=None)
            saved = f"; checkpoint-{step} is saved"
        why = f" ({self._judge_failures[-1]})" if self._judge_failures else ""
        raise TrainingError(
            f"the judge left {rate:.0%} of the answers unscored, more than {limit:.0%}{why}{saved}"
            "; see to the judge, then --resume"
        )

    # TRL's seams

    def _get_train_sampler(self, dataset: Dataset | None = None) -> EpochOrder:
        """Rows in TRL's order, a generation's prompts `group_size` times each."""
        args: Any = self.args
        return EpochOrder(
            lambda: int(self.state.epoch or 0),
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=args.seed,
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        rollouts = self.rollouts = self._roll_out_groups([example["row"] for example in inputs])
        self._check_judge(rollouts)
        self._record(rollouts)
        output = super()._generate_and_score_completions(inputs)
        start = self.accelerator.process_index * len(inputs)
        shares = rollouts.shares[start : start + len(inputs)]
        output["advantages"] = torch.tensor(shares, device=self.accelerator.device)
        return output

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        """The rolled-out episodes in the form that TRL expects."""
        assert self.rollouts is not None  # noqa: S101
        packed: list[Packed] = [pack_episode(e, self.checkpoint) for e in self.rollouts.episodes]
        images = [[picture.image for picture in episode.pictures] for episode in packed]
        completions = [
            [{"role": "assistant", "content": episode.turns[-1].text}]
            for episode in self.rollouts.episodes
        ]
        tokens = sum(len(e.prompt_ids) + sum(e.mask) for e in packed)
        self.state.num_input_tokens_seen += sum(self._gather([tokens]))
        return (
            [list(episode.prompt_ids) for episode in packed],
            [list(episode.completion_ids) for episode in packed],
            [list(episode.mask) for episode in packed],
            completions,
            None,
            {},
            images,
            images,
        )

    def _calculate_rewards(self, *_: Any) -> torch.Tensor:
        """(episodes of all processes, 3): accuracy, format, minus control; nan where unscored."""
        assert self.rollouts is not None  # noqa: S101
        rows = [
            [float("nan")] * 3
            if reward is None
            else [reward.accuracy, reward.format, -reward.control]
            for score in self.rollouts.scores
            for reward in score.rewards
        ]
        return torch.tensor(rows, device=self.accelerator.device)

    def _prepare_input(self, data: Any) -> Any:
        """Leave pixels on the host: a generation batch of them can be larger than the model."""
        if isinstance(data, Mapping) and "pixel_values" in data:
            kept: Any = self._without_foreign_marker(data)
            rest: Any = {key: value for key, value in kept.items() if key != "pixel_values"}
            moved: Any = super()._prepare_input(rest)
            return {**moved, "pixel_values": data["pixel_values"]}
        return super()._prepare_input(data)

    def _without_foreign_marker(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` without a mark of visual tokens that the model does not take: TRL adds
        `token_type_ids` wherever there is no `image_grid_thw`.
        """
        own = self.checkpoint.runner.marker_input
        return {k: v for k, v in inputs.items() if k != "token_type_ids" or k == own}

    def _before_forward(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Move pixels to the model for the one forward pass that needs them."""
        values = kwargs.get("pixel_values")
        if values is None:
            return args, kwargs
        kwargs = {**kwargs, "pixel_values": values.to(next(module.parameters()).device)}
        return args, self._without_foreign_marker(kwargs)

    def _record(self, rollouts: Rollouts) -> None:
        """Metrics of this generation: scalars for TRL's reporters, the rest for the run folder."""
        groups = self._groups(rollouts.facts)
        scalars = {
            **rollout_metrics(rollouts.facts),
            **reward_metrics(rollouts.scores),
            "episode/request_variance": request_variance(groups),
            **self._seconds,
        }
        self._seconds.clear()
        for key, value in scalars.items():
            self._metrics["train"][key].append(value)
        self.last_metrics = {**scalars, "control/r_histogram": r_histogram(rollouts.scores)}


def _questions(rows: Sequence[Row]) -> Dataset:
    """What TRL shuffles and repeats: places in the data set, never images."""
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": row.question}] for row in rows],
            "row": list(range(len(rows))),
        }
    )


def _ban_placeholders(args: GRPOConfig, checkpoint: Checkpoint) -> None:
    """Never sample an image or video placeholder: it would shift every later image."""
    banned = list(checkpoint.tokens.banned)
    ban = (
        {"logit_bias": dict.fromkeys(banned, -100.0)}
        if args.use_vllm
        else {"suppress_tokens": banned}
    )
    asked: Any = args.generation_kwargs or {}
    args.generation_kwargs = {**ban, **asked}
