"""The config of a training run: our options, and the engine's own under `trainer`.

A config is a YAML file, or the name of a preset in `presets/`; `--set a.b=value` changes it.
Unknown keys are refused. `docs/training.md` has the descriptions of all options as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from visionthink.core.errors import UsageError
from visionthink.core.profiles import PROFILES
from visionthink.core.protocol import profile_for
from visionthink.core.rewards import FORMER_NAMES, RULES, RewardSettings
from visionthink.data.source import DataOptions
from visionthink.judges import JudgeOptions
from visionthink.mini import CHECKPOINTS, EMBEDDED, check_model_name
from visionthink.runs.folder import CONFIG, RunFolder
from visionthink.settings import apply_sets, checked, did_you_mean, read_yaml
from visionthink.training.arguments import (
    BATCH_FIELDS,
    DEFAULTS,
    BatchPlan,
    check_trainer,
    plan_batch,
    precision,
    processes_here,
    under_new_names,
)
from visionthink.training.rollout_facts import Undecided

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import TrainingArguments
    from trl.trainer.grpo_config import GRPOConfig

PRESETS = Path(__file__).parent / "presets"

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """Base of all options: unknown keys are refused, and values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraOptions(Options):
    """Low-rank adapters instead of all weights."""

    r: Positive = Field(default=16, description="Rank of the adapters.")
    alpha: float = Field(default=32.0, gt=0, description="The adapter is scaled by alpha / r.")
    dropout: Share = Field(default=0.0, description="Dropout before the adapter.")
    target_modules: str | list[str] = Field(
        default=r".*language_model.*\.(q|k|v|o|gate|up|down)_proj",
        description="Modules with an adapter: names, or a regular expression over full names.",
    )

    def build(self) -> LoraConfig:
        from peft import LoraConfig

        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # pyright: ignore[reportArgumentType] -- any number works
            lora_dropout=self.dropout,
            target_modules=self.target_modules,
            task_type="CAUSAL_LM",
        )


class ModelOptions(Options):
    """The model to train."""

    name: str = Field(default="mini-base", description="Embedded name, folder, or hub id.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Type of the weights. auto: bfloat16 with adapters on a GPU, else float32.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto, cpu or cuda; each process uses its own GPU."
    )
    max_pixels: Positive | None = Field(
        default=None,
        description="Shrink images to at most this many pixels; default: the checkpoint's bound.",
    )
    trust_remote_code: bool = Field(default=False, description="Run code from the checkpoint.")
    lora: LoraOptions | None = Field(
        default=None, description="Train adapters; default: all weights."
    )
    attention: str | None = Field(
        default=None,
        description="eager, sdpa, flash_attention_2, …; default: chosen by transformers.",
    )
    freeze_vision: bool = Field(default=False, description="Do not train the vision tower.")

    @field_validator("name")
    @classmethod
    def _not_misspelt(cls, value: str) -> str:
        check_model_name(value)
        return value

    @property
    def source(self) -> str:
        """What `load_checkpoint` takes: the folder of an embedded checkpoint, else `name`."""
        return str(CHECKPOINTS / self.name) if self.name in EMBEDDED else self.name

    @property
    def on_cpu(self) -> bool:
        """Whether training runs on the CPU: by choice, or because there is no accelerator."""
        if self.device != "auto":
            return self.device == "cpu"
        import torch

        return not (torch.cuda.is_available() or torch.backends.mps.is_available())

    @property
    def weights_dtype(self) -> str:
        """`dtype`, with `auto` resolved."""
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if self.lora is not None and not self.on_cpu else "float32"


class RewardOptions(Options):
    """R = accuracy + format - control (Eq. 4)."""

    rule: str = Field(
        default="paper",
        description="Control term: `paper` (Eq. 5), `rates` (Eq. 5 by success rates), `released` "
        "(the authors' code), `search-r1`, or `none`.",
    )
    theta: Share | None = Field(
        default=None,
        description="Direct answers count as lucky below this r (Eq. 5); default: 0.2, rates 0.4.",
    )
    penalty: float = Field(default=0.1, ge=0, description="Size of the control term.")
    format_weight: float = Field(default=0.5, ge=0, description="Reward of a valid format.")
    accuracy_weight: float = Field(default=1.0, ge=0, description="Reward of a correct answer.")
    advantage_floor: float = Field(
        default=1e-4, ge=0, description="Added to a group's standard deviation; see `advantages`."
    )
    undecided: Undecided = Field(
        default="wrong",
        description="An answer that the judge cannot tell: `wrong`, or `leave_out` (advantage 0, "
        "not in its group's statistics). The judge `cascade` asks a model instead.",
    )

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        value = FORMER_NAMES.get(value, value)
        if value not in RULES:
            raise ValueError(f"expected one of {', '.join(RULES)}; got {value!r}")
        return value

    def build(self) -> RewardSettings:
        return RewardSettings(**self.model_dump(exclude={"advantage_floor", "undecided"}))


class BatchOptions(Options):
    """The batch in prompts; the engine's step counts follow from it and the number of processes."""

    prompts: Positive = Field(description="Distinct prompts per generation.")
    update_prompts: Positive = Field(description="Prompts per optimizer step.")


class ResampleOptions(Options):
    """Replaces prompts whose samples all have the same reward, since they teach nothing."""

    max_rounds: Count = Field(
        default=0, description="Rounds of drawing other prompts; 0 keeps all."
    )


class WatchdogOptions(Options):
    """Detects a policy that always or never requests."""

    steps: Positive = Field(default=20, description="Generations in a row before it acts.")
    margin: float = Field(
        default=0.02,
        ge=0,
        lt=0.5,
        description="Request rates within this of 0 or 1 count as collapsed.",
    )
    action: Literal["warn", "stop", "off"] = Field(default="warn", description="What to do then.")


class JudgeLimits(Options):
    """How much a judge may fail before training stops."""

    max_unscored_rate: Share = Field(
        default=0.2, description="Largest share of unscored samples in a generation."
    )
    patience_s: float = Field(
        default=60.0, ge=0, description="Seconds to wait for a judge that is down."
    )


class EvalOptions(Options):
    """Held-out examples, asked at intervals and never learnt from."""

    data: DataOptions = Field(description="The held-out data.")
    every: Positive = Field(default=50, description="Optimizer steps between evaluations.")
    limit: Positive | None = Field(default=200, description="At most this many; null: all.")


class TrainOptions(Options):
    """Options that GRPO and SFT share."""

    model: ModelOptions = Field(default_factory=ModelOptions, description="The model to train.")
    profile: str | None = Field(
        default=None, description="Prompt profile; default: the checkpoint's, else agent."
    )
    data: DataOptions = Field(description="The training data.")
    seed: Count = Field(default=0, description="Seed of everything random.")
    trainer: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="Fields of TRL's or transformers' own arguments, by their names.",
    )

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str | None) -> str | None:
        if value is not None and value not in PROFILES:
            raise ValueError(f"there is no profile {value!r}{did_you_mean(value, PROFILES)}")
        return value

    @field_validator("trainer")
    @classmethod
    def _known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_trainer(cls.model_fields["kind"].default, value)

    @model_validator(mode="after")
    def _can_request(self) -> Self:
        if self.profile is not None:
            profile_for(getattr(self, "look", "auto"), self.profile)
        return self


class TrainGrpo(TrainOptions):
    """Reinforcement learning of when to request. `trainer` holds TRL's `GRPOConfig`.

    TRL's `max_completion_length` bounds one reply in tokens; delivered images do not count.
    """

    kind: Literal["grpo"] = Field(default="grpo", description="grpo.")
    look: Literal["auto", "high"] = Field(
        default="auto",
        description="auto: may request. high: full size; rewards accuracy and format only.",
    )
    batch: BatchOptions | None = Field(
        default=None, description="Batch in prompts; default: from the engine's own fields."
    )
    eval: EvalOptions | None = Field(
        default=None, description="Held-out evaluation; default: none."
    )
    reward: RewardOptions = Field(default_factory=RewardOptions, description="The reward.")
    judge: JudgeOptions = Field(
        default_factory=JudgeOptions, description="Decides which answers are correct."
    )
    judge_limits: JudgeLimits = Field(
        default_factory=JudgeLimits, description="When a failing judge stops training."
    )
    resample: ResampleOptions = Field(
        default_factory=ResampleOptions, description="Replaces prompts that teach nothing."
    )
    watchdog: WatchdogOptions = Field(
        default_factory=WatchdogOptions, description="Detects a collapsed policy."
    )
    max_turns: Positive | None = Field(
        default=None, description="Maximum number of replies per episode; default: the profile's."
    )
    rollout_batch: Positive | None = Field(
        default=None, description="Replies generated together on a process; default: all."
    )
    samples_per_step: Count = Field(default=4, description="Episodes kept of each generation.")

    @model_validator(mode="after")
    def _fits(self) -> TrainGrpo:
        for name in BATCH_FIELDS:
            if self.batch is not None and name in self.trainer:
                raise ValueError(f"trainer.{name} cannot be set here: batch sets it in prompts")
        if self.look == "high" and self.reward.rule != "none":
            raise ValueError(
                "with look high there are no requests to control; set reward.rule to none"
            )
        if self.trainer.get("vllm_mode", "colocate") != "colocate":
            raise ValueError("trainer.vllm_mode must be colocate: server mode loses turns")
        return self


class MixtureOptions(Options):
    """How many conversations of each kind to learn from."""

    direct: Count | None = Field(
        default=None, description="Number of direct answers; default: all."
    )
    request: Count | None = Field(default=None, description="Number of requests; default: all.")


class ThoughtOptions(Options):
    """The thoughts in replies to rows without replies of their own."""

    direct: str = Field(default="Clear enough.", description="Thought before a direct answer.")
    request: str = Field(default="Too small to see.", description="Thought before a request.")
    after: str = Field(
        default="Clear now.", description="Thought before the answer to the original."
    )


class TrainSft(TrainOptions):
    """Supervised learning of conversations. `trainer` holds transformers' `TrainingArguments`."""

    kind: Literal["sft"] = Field(default="sft", description="sft.")
    mixture: MixtureOptions = Field(
        default_factory=MixtureOptions, description="How many conversations of each kind."
    )
    thoughts: ThoughtOptions = Field(
        default_factory=ThoughtOptions, description="Thoughts in the replies."
    )
    tool_turn_loss_weight: float = Field(
        default=1.0, ge=0, description="Factor on the loss of tokens in the requesting turn."
    )


TrainConfig = TrainGrpo | TrainSft

CONFIGS: dict[str, type[TrainGrpo] | type[TrainSft]] = {"grpo": TrainGrpo, "sft": TrainSft}

MAY_CHANGE = (
    *("trainer.max_steps", "trainer.num_train_epochs"),
    *("trainer.save_steps", "trainer.save_total_limit", "trainer.dataloader_num_workers"),
    *("trainer.logging_steps", "trainer.report_to", "trainer.run_name"),
    *("samples_per_step", "eval.every", "watchdog", "judge_limits", "judge.base_url"),
)
"""Options that may differ in a resumed run: how long it takes, what it saves and logs, when it
stops. Nothing else may, so that a resumed run learns what an uninterrupted one would have.
"""


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_config(source: str | Path, sets: Sequence[str] = ()) -> TrainConfig:
    """Read a config.

    Args:
        source: name of a preset, or a YAML file; write `./mini` for a file called `mini`.
        sets: `a.b.c=value`, in order; the values are YAML.

    Raises:
        UsageError: the config is wrong; names the file and the path of keys.
    """
    return _checked(apply_sets(read_yaml(_config_file(source)), sets), str(source))


def resumed_config(
    folder: Path, source: str | Path | None = None, sets: Sequence[str] = ()
) -> TrainConfig:
    """The config of the run in `folder`, with a config file and `sets` on top.

    A preset changes nothing: the run has its own settings, of its preset or set otherwise. Whether
    the result may continue the run is checked when the folder is opened for writing.

    Raises:
        RunError: there is no run in the folder.
        UsageError: as `load_config`.
    """
    held = RunFolder.open(folder).config
    config = _checked(held, str(folder / CONFIG))
    # Options at their defaults must stay unset: other kinds of data do not know them.
    options = {"kind": config.kind, **config.model_dump(mode="json", exclude_defaults=True)}
    where = str(folder / CONFIG)
    if source is not None and (path := _config_file(source)).parent != PRESETS:
        options, where = _merged(options, read_yaml(path)), str(source)
    return _checked(apply_sets(options, sets), where)


def stored_config(held: Mapping[str, Any]) -> dict[str, Any]:
    """The config in a run folder as it would be written today: with the names of today."""
    return _checked(held, CONFIG).model_dump(mode="json")


def _config_file(source: str | Path) -> Path:
    name = str(source)
    known = presets()
    path = PRESETS / f"{name}.yaml" if name in known else Path(name)
    if not path.exists():
        raise UsageError(
            f"config {name!r} is neither a file nor a preset{did_you_mean(name, known)}"
        )
    return path


def _checked(options: Mapping[str, Any], where: str) -> TrainConfig:
    kind = options.get("kind")
    if kind not in CONFIGS:
        raise UsageError(f"{where}: kind: must be one of {', '.join(CONFIGS)}; got {kind!r}")
    return checked(CONFIGS[kind], options, where)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options, `above` where both say something."""
    merged = {**below, **above}
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping):
            merged[key] = _merged(below[key], cast(Mapping[str, Any], value))
    return merged


def resolved(config: TrainConfig) -> dict[str, Any]:
    """The whole config as plain data, with our defaults in `trainer`; it can be loaded again."""
    options = config.model_dump(mode="json")
    options["trainer"] = {**DEFAULTS[config.kind], **options["trainer"]}
    # Data options at their defaults must stay unset: other layouts do not know them.
    options["data"] = config.data.model_dump(mode="json", exclude_unset=True)
    if isinstance(config, TrainGrpo):
        options["reward"]["theta"] = config.reward.build().threshold
    if isinstance(config, TrainGrpo) and config.eval is not None:
        options["eval"]["data"] = config.eval.data.model_dump(mode="json", exclude_unset=True)
    return {"kind": options.pop("kind"), **options}


def batch_plan(config: TrainGrpo, processes: int | None = None) -> BatchPlan:
    """How the samples of a generation are divided; default: among the current processes.

    Raises:
        UsageError: the numbers do not fit.
    """
    batch = config.batch
    return plan_batch(
        config.trainer,
        None if batch is None else batch.prompts,
        None if batch is None else batch.update_prompts,
        processes_here() if processes is None else processes,
    )


def grpo_arguments(config: TrainGrpo, out: Path) -> GRPOConfig:
    """TRL's arguments for this run: our defaults, then the config's, then those we force.

    Raises:
        UsageError: numbers do not fit, or TRL refuses them.
    """
    from trl.trainer.grpo_config import GRPOConfig

    plan = batch_plan(config)
    every = config.trainer.get("save_steps", 10 * plan.updates)
    by_steps = config.trainer.get("save_strategy", "steps") == "steps"
    if by_steps and every >= 1 and every % plan.updates:
        raise UsageError(
            f"trainer.save_steps {every:g} is not a multiple of the {plan.updates} updates of a "
            "generation; a resumed run would answer its prompts a second time"
        )
    return _arguments(
        GRPOConfig,
        config,
        out,
        save_steps=every,
        gradient_accumulation_steps=plan.accumulation,
        steps_per_generation=plan.steps_per_generation,
        generation_batch_size=None,
    )


def sft_arguments(config: TrainSft, out: Path) -> TrainingArguments:
    """The arguments of transformers' `Trainer` for this run.

    Raises:
        UsageError: transformers refuses them.
    """
    from transformers import TrainingArguments

    return _arguments(TrainingArguments, config, out)


def _arguments(engine: type[Any], config: TrainConfig, out: Path, **computed: Any) -> Any:
    """Our defaults, then the config's values, then those that a config may not give."""
    arguments = {
        **DEFAULTS[config.kind],
        **precision(config.trainer, config.model.on_cpu),
        **config.trainer,
        "remove_unused_columns": False,
        "output_dir": str(out),
        "seed": config.seed,
        "use_cpu": config.model.on_cpu,
        **computed,
    }
    try:
        return engine(**under_new_names(config.kind, arguments))
    except (ValueError, TypeError, ImportError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{engine.__name__} refuses the trainer options: {text}") from error
