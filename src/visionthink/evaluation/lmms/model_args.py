"""The options in `--model_args`, and how a task's generation settings are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from visionthink.api import open_engine
from visionthink.core.engine import Engine
from visionthink.core.errors import UsageError
from visionthink.core.families import GRIDS
from visionthink.core.types import LookMode, Sampling, seed_of
from visionthink.evaluation.policies import Policy, parse_policy
from visionthink.settings import GridName, checked


class ModelArgs(
    BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True, protected_namespaces=()
):
    """The options in `--model_args`, and those that lmms-eval adds itself.

    Attributes:
        pretrained: folder or hub id of a checkpoint, or the name that a server serves; default:
            the embedded checkpoint, or the only model of the server.
        base_url: OpenAI-compatible server, up to its /v1; without one transformers reply.
        api_key: of the server; default: environment variable OPENAI_API_KEY.
        grid: how a served model cuts images; default: by its name.
        look: auto, low or high.
        profile: prompts; default: those that the checkpoint names, else agent.
        policy: in place of both, one of `evaluation.policies` that asks the model, as fastv:0.5.
        max_turns: replies of an episode; default: as many as the profile says.
        seed: of sampling, where a task samples.
        thought_tokens: tokens of a reply beyond the task's max_new_tokens, which are meant for the
            answer alone and would cut off the thoughts before it. 0: the task's limit as it is.
        run: folder that keeps every episode; an interrupted run continues with it.
        gallery: of how many first samples of each task the images are kept there.
        num_concurrent: episodes at once with a server.
        max_failures: how many failures in a row end the run; 0: never.
        batch_size: episodes at once with transformers (lmms-eval's --batch_size).
        max_batch_size: not used.
        device, dtype, max_pixels, trust_remote_code: see `engines.hf`.
    """

    pretrained: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    grid: GridName | None = None
    look: LookMode | None = None
    profile: str | None = None
    policy: str | None = None
    max_turns: int | None = Field(default=None, ge=1)
    seed: int = 0
    thought_tokens: int = Field(default=2048, ge=0)
    run: str | None = None
    gallery: int = Field(default=2, ge=0)
    num_concurrent: int = Field(default=16, ge=1)
    max_failures: int = Field(default=5, ge=0)
    batch_size: int = Field(default=1, ge=1)
    max_batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    max_pixels: int | None = None
    trust_remote_code: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ModelArgs:
        """Raises UsageError: an option is wrong or unknown."""
        return checked(cls, given, "--model_args")

    @property
    def asked(self) -> Policy:
        """Who answers; default: auto.

        Raises:
            UsageError: there is no such policy, or it asks no model.
        """
        if self.policy is None:
            look = self.look or "auto"
            name = look if self.profile is None else f"{look}:{self.profile}"
            return Policy(name, look, self.profile)
        if self.look or self.profile:
            raise UsageError("--model_args: give policy, or look and profile, not both")
        policy = parse_policy(self.policy)
        if not isinstance(policy, Policy):
            raise UsageError(f"--model_args: policy {policy.name} asks no model; run low and high")
        return policy

    @property
    def at_once(self) -> int:
        """How many episodes run at once."""
        return self.batch_size if self.base_url is None else self.num_concurrent

    def open(self) -> Engine:
        """The engine that the options describe.

        Raises:
            UsageError: an option goes with the other engine.
            EngineError: the model cannot be had.
        """
        for_hf = {
            "dtype": self.dtype,
            "max_pixels": self.max_pixels,
            "trust_remote_code": self.trust_remote_code,
        }
        for_server = {"api_key": self.api_key, "grid": GRIDS.get(self.grid or "")}
        served = self.base_url is not None
        for name, value in (for_hf if served else for_server).items():
            if value is not None:
                problem = "does not go with base_url" if served else "needs base_url"
                raise UsageError(f"--model_args: {name} {problem}")
        options: dict[str, Any] = for_server if served else {**for_hf, "device": self.device}
        given = {name: value for name, value in options.items() if value is not None}
        if not served:
            given["max_batch"] = self.batch_size
        return open_engine(self.pretrained, base_url=self.base_url, **given)

    def config(self, model: str) -> dict[str, Any]:
        """The config of the run folder, which a resumed run must share."""
        return {
            "lmms_eval": True,
            "model": model,
            "engine": "hf" if self.base_url is None else "openai",
            "policies": [self.asked.name],
            **self.model_dump(include={"profile", "max_turns", "seed", "thought_tokens"}),
            "concurrency": self.at_once,
        }

    def sampling(self, generation: Mapping[str, Any], sample: str) -> Sampling:
        """How replies about a sample are sampled, by the task's `generation_kwargs`.

        `until` is ignored: a reply ends where the model ends it, and the blank line at which tasks
        stop by default may stand between thoughts. Each sample has a seed of its own.
        """
        greedy = generation.get("do_sample") is False
        return Sampling(
            temperature=0.0 if greedy else float(generation.get("temperature") or 0.0),
            top_p=float(generation.get("top_p") or 1.0),
            max_tokens=int(generation.get("max_new_tokens") or 1024) + self.thought_tokens,
            seed=seed_of(self.seed, sample),
        )
